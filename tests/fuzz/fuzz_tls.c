/*
 * The way in from other machines: TCP, TLS, HTTP, the interface over a fake engine. A client that
 * speaks TLS sends what the input's orders say: its records whole, changed, cut, twice, with other
 * bytes between them, before, during and after the handshake; requests within. What is left alone
 * must work, and nothing may stay behind.
 */
#include "fuzz.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../support/temp_dir.h"
#include "api/private.h"
#include "support/fake_engine.h"

#define ORDERS_MAX 64
#define CLOSING_TURNS 10000

enum order { RAW, PASS, CHANGED, CUT, TWICE, REQUEST, HALF, FAREWELL, ORDERS };

struct client {
	int fd;
	SSL *tls;
	BIO *in, *out; /* owned by @tls */
	bool tampered; /* the server may end it */
	char answer[16384];
	size_t answer_length;
};

struct orders {
	const uint8_t *at;
	size_t left;
};

static struct event_base *base;
static struct tw_api *api;
static SSL_CTX *client_tls;

static void terminate(void *context)
{
	(void)context;
}

static struct tw_certificate *make_certificate(void)
{
	char folder[TEMP_PATH_MAX], message[TW_CERTIFICATE_MESSAGE];
	struct tw_certificate_options options = { .folder = folder, .host_name = "host" };
	struct tw_certificate *certificate;

	temp_dir_make(folder);
	CHECK(!tw_certificate_open(&options, &certificate, message));
	temp_dir_remove(folder);
	return certificate;
}

static void begin(void)
{
	struct tw_api_options options = { .host = "127.0.0.1",
					  .auth_required = true,
					  .api_tokens = true,
					  .shared_tokens = true,
					  .certificate = make_certificate(),
					  .terminate = terminate };
	char message[TW_API_MESSAGE];

	base = event_base_new();
	options.base = base;
	options.engine = fake_engine_new(base);
	CHECK(!tw_api_new(&options, &api, message));
	client_tls = SSL_CTX_new(TLS_client_method());
	CHECK(client_tls && SSL_CTX_set_min_proto_version(client_tls, TLS1_3_VERSION));
}

static void dial(struct client *client)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(api->port),
				       .sin_addr = { htonl(INADDR_LOOPBACK) } };
	/* The end is a reset: no port stays taken. */
	const struct linger linger = { 1, 0 };
	int on = 1;

	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(client->fd >= 0 &&
	      !connect(client->fd, (struct sockaddr *)&address, sizeof address) &&
	      !setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) &&
	      !setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
	client->tls = SSL_new(client_tls);
	client->in = BIO_new(BIO_s_mem());
	client->out = BIO_new(BIO_s_mem());
	CHECK(client->tls && client->in && client->out);
	SSL_set_bio(client->tls, client->in, client->out);
	SSL_set_connect_state(client->tls);
}

static uint8_t take(struct orders *orders)
{
	if (!orders->left)
		return 0;
	orders->left--;
	return *orders->at++;
}

static size_t take_some(struct orders *orders, const uint8_t **ret)
{
	size_t length = take(orders);

	length = length < orders->left ? length : orders->left;
	*ret = orders->at;
	orders->at += length;
	orders->left -= length;
	return length;
}

static void put(struct client *client, const void *bytes, size_t length)
{
	/* It may be over already. */
	if (length)
		send(client->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* What the server has to say goes to the client's TLS, and what comes out of that is kept. */
static void listen_to_it(struct client *client)
{
	uint8_t bytes[16384];
	ssize_t length;
	int r;

	for (int i = 0; i < 3; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
	while ((length = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
		CHECK(BIO_write(client->in, bytes, (int)length) == length);
	if (!SSL_is_init_finished(client->tls))
		SSL_do_handshake(client->tls);
	while (SSL_is_init_finished(client->tls) &&
	       client->answer_length < sizeof client->answer - 1 &&
	       (r = SSL_read(client->tls, client->answer + client->answer_length,
			     (int)(sizeof client->answer - 1 - client->answer_length))) > 0)
		client->answer_length += (size_t)r;
	ERR_clear_error();
}

static void pass(struct client *client, enum order order, struct orders *orders)
{
	uint8_t bytes[16384];
	int got = BIO_read(client->out, bytes, sizeof bytes);
	size_t length = got > 0 ? (size_t)got : 0, where = take(orders);

	if (!length)
		return;
	where = where << 8 | take(orders);
	if (order == CHANGED)
		bytes[where % length] ^= (uint8_t)(1 + where % 255);
	if (order == CUT)
		length = where % length;
	put(client, bytes, length);
	if (order == TWICE)
		put(client, bytes, length);
}

static void request(struct client *client, struct orders *orders)
{
	const uint8_t *bytes;
	size_t length = take_some(orders, &bytes);

	if (length && SSL_is_init_finished(client->tls))
		SSL_write(client->tls, bytes, (int)length);
	ERR_clear_error();
}

static void follow(struct client *client, struct orders *orders)
{
	enum order order = take(orders) % ORDERS;
	const uint8_t *bytes;
	size_t length;

	switch (order) {
	case RAW:
		length = take_some(orders, &bytes);
		put(client, bytes, length);
		client->tampered |= length > 0;
		break;
	case CHANGED:
	case CUT:
	case TWICE:
		client->tampered = true;
		pass(client, order, orders);
		break;
	case REQUEST:
		request(client, orders);
		break;
	case HALF:
		client->tampered = true;
		shutdown(client->fd, SHUT_WR);
		break;
	case FAREWELL:
		client->tampered = true;
		SSL_shutdown(client->tls);
		ERR_clear_error();
		break;
	default:
		pass(client, PASS, orders);
	}
}

/* A client that nobody disturbed gets in, and an answer. */
static void check_undisturbed(struct client *client)
{
	static const char ask[] = "GET /nothing HTTP/1.1\r\nHost: localhost\r\n"
				  "Connection: close\r\n\r\n";
	static const uint8_t nothing[2] = { 0 };

	for (int i = 0; i < 8; i++) {
		struct orders none = { nothing, 0 };

		pass(client, PASS, &none);
		listen_to_it(client);
	}
	CHECK(SSL_is_init_finished(client->tls));
	if (client->answer_length)
		return;
	CHECK(SSL_write(client->tls, ask, sizeof ask - 1) == (int)sizeof ask - 1);
	for (int i = 0; i < 100 && !client->answer_length; i++) {
		struct orders none = { nothing, 0 };

		pass(client, PASS, &none);
		listen_to_it(client);
	}
	CHECK(client->answer_length);
}

static void leave(struct client *client)
{
	struct tw_http_figures figures = { 0 };

	SSL_free(client->tls);
	close(client->fd);
	for (int i = 0; i < CLOSING_TURNS; i++) {
		event_base_loop(base, EVLOOP_NONBLOCK);
		tw_http_figures(api->http, &figures);
		if (!figures.open)
			break;
	}
	CHECK(!figures.open);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct orders orders = { data, size };
	struct client *client;

	if (size > 4096)
		return 0;
	if (!api)
		begin();
	client = calloc(1, sizeof *client);
	CHECK(client);
	dial(client);
	SSL_do_handshake(client->tls);
	for (int i = 0; i < ORDERS_MAX && orders.left; i++) {
		follow(client, &orders);
		listen_to_it(client);
	}
	/* A request that is not whole would swallow ours. */
	if (!client->tampered && !SSL_is_init_finished(client->tls))
		check_undisturbed(client);
	if (client->answer_length)
		CHECK(client->answer_length < 9 || !memcmp(client->answer, "HTTP/1.1 ", 9));
	leave(client);
	free(client);
	return 0;
}
