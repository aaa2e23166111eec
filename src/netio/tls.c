#include "netio/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"

struct tw_tls_context {
	SSL_CTX *ssl;
	bool server;
};

#define CERTIFICATE_LIFE (10L * 366 * 86400) /* nobody looks at it */

static X509 *make_certificate(EVP_PKEY *key)
{
	X509 *certificate = X509_new();
	X509_NAME *name;

	if (!certificate)
		return NULL;
	name = X509_get_subject_name(certificate);
	if (X509_set_version(certificate, 2) &&
	    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) &&
	    X509_gmtime_adj(X509_getm_notBefore(certificate), -86400) &&
	    X509_gmtime_adj(X509_getm_notAfter(certificate), CERTIFICATE_LIFE) &&
	    X509_set_pubkey(certificate, key) &&
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"tradewind", -1,
				       -1, 0) &&
	    X509_set_issuer_name(certificate, name) && X509_sign(certificate, key, NULL))
		return certificate;
	X509_free(certificate);
	return NULL;
}

static bool use_new_certificate(SSL_CTX *ssl)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	X509 *certificate = key ? make_certificate(key) : NULL;
	bool done = certificate && SSL_CTX_use_certificate(ssl, certificate) == 1 &&
		    SSL_CTX_use_PrivateKey(ssl, key) == 1;

	X509_free(certificate);
	EVP_PKEY_free(key);
	return done;
}

int tw_tls_context_new(bool server, struct tw_tls_context **ret)
{
	struct tw_tls_context *context = calloc(1, sizeof *context);

	if (!context)
		return -ENOMEM;
	context->server = server;
	context->ssl = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (!context->ssl || !SSL_CTX_set_min_proto_version(context->ssl, TLS1_3_VERSION) ||
	    (server &&
	     (!use_new_certificate(context->ssl) || !SSL_CTX_set_num_tickets(context->ssl, 0)))) {
		tw_tls_context_free(context);
		ERR_clear_error();
		return -ENOMEM;
	}
	SSL_CTX_set_verify(context->ssl, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_mode(context->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
					       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					       SSL_MODE_RELEASE_BUFFERS);
	*ret = context;
	return 0;
}

void tw_tls_context_free(struct tw_tls_context *context)
{
	if (!context)
		return;
	SSL_CTX_free(context->ssl);
	free(context);
}

int tw_tls_init(struct tw_tls_context *context, int fd, struct tw_tls *ret)
{
	SSL *ssl = SSL_new(context->ssl);

	if (!ssl || !SSL_set_fd(ssl, fd)) {
		SSL_free(ssl);
		close(fd);
		ERR_clear_error();
		return -ENOMEM;
	}
	if (context->server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	*ret = (struct tw_tls){ .ssl = ssl, .fd = fd };
	return 0;
}

void tw_tls_close(struct tw_tls *tls)
{
	if (!tls->ssl)
		return;
	SSL_free(tls->ssl);
	close(tls->fd);
	*tls = (struct tw_tls){ .fd = -1 };
}

static int outcome(struct tw_tls *tls, int result)
{
	int error = SSL_get_error(tls->ssl, result);

	ERR_clear_error();
	tls->wants_write = error == SSL_ERROR_WANT_WRITE;
	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? TW_E_AGAIN
									     : TW_E_CLOSED;
}

int tw_tls_handshake(struct tw_tls *tls)
{
	int result = SSL_do_handshake(tls->ssl);

	if (result != 1)
		return outcome(tls, result);
	tls->open = true;
	tls->wants_write = false;
	return 0;
}

int tw_tls_read(struct tw_tls *tls, void *ret, size_t room, size_t *ret_length)
{
	int result = SSL_read_ex(tls->ssl, ret, room, ret_length);

	return result == 1 ? 0 : outcome(tls, result);
}

int tw_tls_write(struct tw_tls *tls, const void *bytes, size_t length, size_t *ret_written)
{
	int result = SSL_write_ex(tls->ssl, bytes, length, ret_written);

	tls->wants_write = false;
	return result == 1 ? 0 : outcome(tls, result);
}

int tw_tls_binding(const struct tw_tls *tls, uint8_t ret[TW_TLS_BINDING])
{
	static const char label[] = "EXPORTER-tradewind-relay";

	return SSL_export_keying_material(tls->ssl, ret, TW_TLS_BINDING, label, sizeof label - 1,
					  NULL, 0, 0) == 1
		       ? 0
		       : -EIO;
}
