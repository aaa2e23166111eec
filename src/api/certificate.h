/*
 * certificate.h - the certificate and the key that the interface is known by to other machines.
 *
 * Unless the operator names files of his own, they are made at the first start and kept in the
 * state folder. Clients remember the public key, as with ssh, and not who signed the certificate:
 * what stands in the certificate is for browsers, and a new one over the same key is made by itself
 * before the old one ends. The key is ECDSA's on P-256, because browsers know no Ed25519. A key
 * that is there and cannot be used is never replaced: all clients would have to be told.
 *
 * Reads its files once, when it is opened; a connection later opens none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_CERTIFICATE_PIN 64 /* "sha256//" and 44 characters, NUL included */
#define TW_CERTIFICATE_MESSAGE 512

struct tw_certificate;

struct tw_certificate_options {
	const char *folder;            /* for what is made; exists. A link in it is not followed */
	const char *certificate, *key; /* PEM files of the operator's; NULL, both: none */
	const char *host_name;         /* for what is made; NULL: the system's */
	const char *external_address;  /* the same; a name or an address; NULL: none */
};

/* A sentence for the operator in @ret_message when it fails: -EINVAL (a file's content), -EACCES (a
 * key that others can read), or the system's -errno. */
int tw_certificate_open(const struct tw_certificate_options *options, struct tw_certificate **ret,
			char ret_message[TW_CERTIFICATE_MESSAGE]);
void tw_certificate_free(struct tw_certificate *certificate);

/* Of the public key: "sha256//BASE64", as clients and curl compare it. */
const char *tw_certificate_pin(const struct tw_certificate *certificate);
/* When it ends, in microseconds since 1970. */
int64_t tw_certificate_end_us(const struct tw_certificate *certificate);
/* Whether it is made out for this host name. */
bool tw_certificate_names(const struct tw_certificate *certificate, const char *host);
/* For servers' connections, TLS 1.3 alone; lent. */
struct ssl_ctx_st *tw_certificate_tls(const struct tw_certificate *certificate);
