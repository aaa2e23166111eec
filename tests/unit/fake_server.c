#include "fake_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "unit.h"

#define REQUEST_MAX 65536

struct wire {
	int fd;
	SSL *ssl; /* NULL: plain */
};

static ssize_t wire_read(struct wire *wire, char *to, size_t room)
{
	struct pollfd poll_fd = { .fd = wire->fd, .events = POLLIN };

	if (wire->ssl)
		return SSL_read(wire->ssl, to, (int)room);
	if (poll(&poll_fd, 1, 10000) <= 0)
		return -1;
	return read(wire->fd, to, room);
}

static void wire_write(struct wire *wire, const char *bytes, size_t length)
{
	if (wire->ssl)
		SSL_write(wire->ssl, bytes, (int)length);
	else
		send(wire->fd, bytes, length, MSG_NOSIGNAL);
}

/* A head and as much body as it announces; false: the client hung up. */
static bool read_request(struct wire *wire, char *text)
{
	size_t length = 0, whole = SIZE_MAX;

	while (length < whole && length < REQUEST_MAX - 1) {
		ssize_t count = wire_read(wire, text + length, REQUEST_MAX - 1 - length);
		const char *end, *header;

		if (count <= 0)
			return false;
		length += (size_t)count;
		text[length] = '\0';
		end = strstr(text, "\r\n\r\n");
		if (!end)
			continue;
		header = strcasestr(text, "content-length:");
		whole = (size_t)(end + 4 - text) +
			(header && header < end ? strtoul(header + 15, NULL, 10) : 0);
	}
	return true;
}

static void answer(struct wire *wire, const struct fake_step *step)
{
	char head[256];
	int length;

	usleep(step->stay_ms * 1000);
	if (!step->answer)
		return;
	length = step->stream
			 ? snprintf(head, sizeof head,
				    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
				    "Connection: close\r\n\r\n")
			 : snprintf(head, sizeof head,
				    "HTTP/1.1 %s\r\nContent-Type: application/json\r\n"
				    "Content-Length: %zu\r\n\r\n",
				    step->status ? step->status : "200 OK", strlen(step->answer));
	wire_write(wire, head, (size_t)length);
	wire_write(wire, step->answer, strlen(step->answer));
}

/* Serves one connection until it ends. */
static void serve(struct fake_server *server, struct wire *wire, char *text)
{
	while (server->done < server->count && read_request(wire, text)) {
		const struct fake_step *step = &server->steps[server->done];

		if (!server->complaint && step->expects && !strstr(text, step->expects))
			server->complaint = step->expects;
		if (!server->complaint && step->lacks && strstr(text, step->lacks))
			server->complaint = step->lacks;
		answer(wire, step);
		server->done++;
		if (!step->answer || step->stream)
			return;
	}
}

static void *run(void *argument)
{
	struct fake_server *server = argument;
	char *text = malloc(REQUEST_MAX);

	while (text && server->done < server->count) {
		struct pollfd listening = { .fd = server->listener, .events = POLLIN };
		struct wire wire = { .fd = -1 };

		if (poll(&listening, 1, 10000) <= 0)
			break;
		wire.fd = accept(server->listener, NULL, NULL);
		if (server->tls) {
			wire.ssl = SSL_new(server->tls);
			SSL_set_fd(wire.ssl, wire.fd);
		}
		if (!wire.ssl || SSL_accept(wire.ssl) == 1)
			serve(server, &wire, text);
		if (wire.ssl) {
			SSL_shutdown(wire.ssl);
			SSL_free(wire.ssl);
		}
		close(wire.fd);
	}
	free(text);
	return NULL;
}

static void start(struct fake_server *server)
{
	assert_int_equal(listen(server->listener, 8), 0);
	assert_int_equal(pthread_create(&server->thread, NULL, run, server), 0);
}

void fake_start(struct fake_server *server, const struct fake_step *steps, size_t count)
{
	static unsigned number;
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	*server = (struct fake_server){ .steps = steps, .count = count };
	snprintf(server->path, sizeof server->path, "/tmp/tw-fake-%d-%u.sock", (int)getpid(),
		 number++);
	unlink(server->path);
	memcpy(address.sun_path, server->path, sizeof server->path);
	server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof address), 0);
	start(server);
}

/* A key, a certificate that it signs itself, and the pin of it. */
static SSL_CTX *make_identity(char pin[64])
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = X509_new();
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	unsigned char *der = NULL, digest[32];
	int length;

	assert_non_null(key);
	X509_set_version(certificate, 2);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, key);
	assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
	assert_int_equal(SSL_CTX_use_certificate(context, certificate), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
	length = i2d_PUBKEY(key, &der);
	assert_true(length > 0);
	EVP_Digest(der, (size_t)length, digest, NULL, EVP_sha256(), NULL);
	memcpy(pin, "sha256//", 8);
	EVP_EncodeBlock((unsigned char *)pin + 8, digest, 32);
	OPENSSL_free(der);
	X509_free(certificate);
	EVP_PKEY_free(key);
	return context;
}

void fake_start_tls(struct fake_server *server, const struct fake_step *steps, size_t count)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;

	*server = (struct fake_server){ .steps = steps, .count = count };
	server->tls = make_identity(server->pin);
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof address), 0);
	getsockname(server->listener, (struct sockaddr *)&address, &length);
	server->port = ntohs(address.sin_port);
	start(server);
}

void fake_stop(struct fake_server *server)
{
	pthread_join(server->thread, NULL);
	close(server->listener);
	if (server->path[0])
		unlink(server->path);
	SSL_CTX_free(server->tls);
	if (server->complaint)
		fail_msg("a request was not as expected: %s", server->complaint);
	assert_int_equal(server->done, server->count);
}
