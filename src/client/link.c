#include "client/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "client/fault.h"
#include "client/quiet.h"

#define CONNECT_MS 10000
#define DIGEST_SIZE 32

static int no_memory(struct tw_client_error *error)
{
	return tw_fault(error, TW_CLIENT_NO_MEMORY, NULL, "out of memory");
}

int tw_link_init(struct tw_link *link, const struct tw_client_options *options,
		 struct tw_client_error *error)
{
	int r;

	*link = (struct tw_link){ .trust = options->trust, .context = options->context };
	r = tw_place_find(&link->place, options, error);
	if (r)
		return r;
	link->connect_ms =
		options->connect_timeout_ms ? (long)options->connect_timeout_ms : CONNECT_MS;
	if (options->server_key && !tw_known_is_pin(options->server_key))
		return tw_fault(error, TW_CLIENT_INVALID_PARAMETER, "server_key",
				"a server's key reads sha256// and 44 characters of base64");
	if (options->server_key) {
		snprintf(link->pin, sizeof link->pin, "%s", options->server_key);
	} else if (link->place.secure) {
		link->known_servers = tw_known_path(options->known_servers);
		if (!link->known_servers)
			return tw_fault(error, TW_CLIENT_INVALID_PARAMETER, "known_servers",
					"no home folder to remember servers in: set HOME, or name "
					"the server's key");
	}
	r = tw_link_set_bearer(link, options->token, error);
	if (r)
		tw_link_deinit(link);
	return r;
}

int tw_link_copy(struct tw_link *to, const struct tw_link *from, struct tw_client_error *error)
{
	struct tw_link link = *from;
	int r;

	link.bearer = NULL;
	link.known_servers = from->known_servers ? strdup(from->known_servers) : NULL;
	if (from->known_servers && !link.known_servers)
		return no_memory(error);
	r = tw_link_set_bearer(&link, from->bearer, error);
	if (r)
		free(link.known_servers);
	else
		*to = link;
	return r;
}

void tw_link_deinit(struct tw_link *link)
{
	tw_link_set_bearer(link, NULL, NULL);
	free(link->known_servers);
	link->known_servers = NULL;
}

int tw_link_set_bearer(struct tw_link *link, const char *token, struct tw_client_error *error)
{
	char *copy = token ? strdup(token) : NULL;

	if (token && !copy)
		return no_memory(error);
	if (link->bearer)
		explicit_bzero(link->bearer, strlen(link->bearer));
	free(link->bearer);
	link->bearer = copy;
	return 0;
}

/* "sha256//BASE64" of the public key in a certificate, as libcurl compares it. */
static bool pin_of(const char *pem, char ret[TW_PIN_TEXT])
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	unsigned char digest[DIGEST_SIZE], *key = NULL;
	int length = certificate ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &key) : -1;
	bool ok = length > 0 &&
		  EVP_Digest(key, (size_t)length, digest, NULL, EVP_sha256(), NULL) == 1;

	if (ok) {
		memcpy(ret, "sha256//", 8);
		EVP_EncodeBlock((unsigned char *)ret + 8, digest, DIGEST_SIZE);
	}
	OPENSSL_free(key);
	X509_free(certificate);
	BIO_free(bio);
	return ok;
}

/* The first certificate that the server showed. */
static bool shown_key(CURL *curl, char ret[TW_PIN_TEXT])
{
	struct curl_certinfo *info = NULL;

	if (curl_easy_getinfo(curl, CURLINFO_CERTINFO, &info) || !info || info->num_of_certs < 1)
		return false;
	for (struct curl_slist *at = info->certinfo[0]; at; at = at->next)
		if (strncmp(at->data, "Cert:", 5) == 0)
			return pin_of(at->data + 5, ret);
	return false;
}

static void set_tls(CURL *curl, const struct tw_link *link)
{
	/* The key is what the server is known by; who signed its certificate says nothing more. */
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
	if (link->pin[0])
		curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, link->pin);
}

static void set_up(CURL *curl, const struct tw_link *link)
{
	curl_easy_reset(curl);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, link->connect_ms);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "tradewind-client");
	if (link->place.socket[0])
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, link->place.socket);
	if (link->place.secure)
		set_tls(curl, link);
}

/* Connects, shakes hands, leaves. */
static int ask_key(const struct tw_link *link, char ret[TW_PIN_TEXT], struct tw_client_error *error)
{
	CURL *curl = curl_easy_init();
	struct tw_quiet quiet;
	CURLcode code;
	bool shown;

	if (!curl)
		return no_memory(error);
	set_up(curl, link);
	curl_easy_setopt(curl, CURLOPT_URL, link->place.url);
	curl_easy_setopt(curl, CURLOPT_CERTINFO, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
	tw_quiet_begin(&quiet);
	code = curl_easy_perform(curl);
	tw_quiet_end(&quiet);
	shown = code == CURLE_OK && shown_key(curl, ret);
	curl_easy_cleanup(curl);
	if (code)
		return tw_link_fault(link, code, error);
	return shown ? 0
		     : tw_fault(error, TW_CLIENT_INTERNAL, NULL, "%s shows no key that can be read",
				link->place.shown);
}

int tw_link_secure(struct tw_link *link, struct tw_client_error *error)
{
	char pin[TW_PIN_TEXT] = "";
	int r;

	if (!link->place.secure || link->pin[0])
		return 0;
	r = tw_known_find(link->known_servers, link->place.key_name, pin, &link->known_line, error);
	if (!r && !pin[0]) {
		link->known_line = 0;
		r = ask_key(link, pin, error);
		if (!r && link->trust && !link->trust(link->context, link->place.key_name, pin))
			r = tw_fault(error, TW_CLIENT_KEY_CHANGED, NULL,
				     "the key of %s is not known and was not accepted",
				     link->place.shown);
		if (!r)
			r = tw_known_add(link->known_servers, link->place.key_name, pin, error);
	}
	if (!r)
		memcpy(link->pin, pin, sizeof pin);
	return r;
}

static int add_header(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (!longer)
		return TW_CLIENT_NO_MEMORY;
	*list = longer;
	return 0;
}

int tw_link_aim(const struct tw_link *link, CURL *curl, const char *path, const char *const *extra,
		struct curl_slist **ret_headers)
{
	struct curl_slist *headers = NULL;
	char *bearer = NULL, *url = NULL;
	int r = 0;

	set_up(curl, link);
	if (asprintf(&url, "%s%s", link->place.url, path) < 0)
		return TW_CLIENT_NO_MEMORY;
	if (curl_easy_setopt(curl, CURLOPT_URL, url))
		r = TW_CLIENT_NO_MEMORY;
	/* No pause for a permission that is always given. */
	if (!r)
		r = add_header(&headers, "Expect:");
	for (; !r && *extra; extra++)
		r = add_header(&headers, *extra);
	if (!r && link->bearer) {
		if (asprintf(&bearer, "Authorization: Bearer %s", link->bearer) < 0)
			bearer = NULL;
		r = bearer ? add_header(&headers, bearer) : TW_CLIENT_NO_MEMORY;
	}
	if (bearer)
		explicit_bzero(bearer, strlen(bearer));
	free(bearer);
	free(url);
	if (r)
		curl_slist_free_all(headers);
	else
		*ret_headers = headers;
	if (!r)
		curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	return r;
}

/* A path as a shell reads it. Cut to fit @room. */
static void quote_path(const char *path, char *ret, size_t room)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789/._-+";
	size_t at = 0;

	if (strspn(path, plain) == strlen(path)) {
		snprintf(ret, room, "%s", path);
		return;
	}
	ret[at++] = '\'';
	for (; *path && at + 6 < room; path++) {
		if (*path == '\'')
			at += (size_t)snprintf(ret + at, room - at, "'\\''");
		else
			ret[at++] = *path;
	}
	ret[at++] = '\'';
	ret[at] = '\0';
}

/* What the server shows now; "" if it cannot be asked. It says nothing about who answers. */
static void key_now(const struct tw_link *link, char ret[TW_PIN_TEXT])
{
	struct tw_link naked = *link;

	naked.pin[0] = '\0';
	ret[0] = '\0';
	ask_key(&naked, ret, NULL);
}

static int changed_key(const struct tw_link *link, struct tw_client_error *error)
{
	char now[TW_PIN_TEXT], path[300];
	bool filed = link->known_servers && link->known_line;
	int r;

	key_now(link, now);
	r = tw_fault(error, TW_CLIENT_KEY_CHANGED, NULL,
		     "the key of %.200s has changed: it is known by %s and shows %s now; it was "
		     "set up anew, or somebody else answers in its place, and would have read the "
		     "password; nothing was sent",
		     link->place.shown, link->pin, now[0] ? now : "none that can be read");
	if (!error)
		return r;
	if (filed)
		quote_path(link->known_servers, path, sizeof path);
	else
		snprintf(path, sizeof path, "%.290s",
			 link->known_servers ? link->known_servers : "");
	if (filed)
		snprintf(error->remedy, sizeof error->remedy,
			 "compare it with what the server said at its start; only if it is the "
			 "same, forget the old one: sed -i %ud %s",
			 link->known_line, path);
	else
		snprintf(error->remedy, sizeof error->remedy,
			 "compare it with what the server said at its start; only if it is the "
			 "same, %s%s",
			 path[0] ? "correct it in " : "ask for that one", path);
	return r;
}

int tw_link_fault(const struct tw_link *link, CURLcode code, struct tw_client_error *error)
{
	const char *shown = link->place.shown;

	switch (code) {
	case CURLE_COULDNT_CONNECT:
		return tw_fault(error, TW_CLIENT_UNAVAILABLE, NULL,
				"nobody answers at %s; is `tradewind server` running there?",
				shown);
	case CURLE_COULDNT_RESOLVE_HOST:
		return tw_fault(error, TW_CLIENT_UNAVAILABLE, NULL, "the host of %s is not known",
				shown);
	case CURLE_OPERATION_TIMEDOUT:
		return tw_fault(error, TW_CLIENT_TIMEOUT, NULL, "%s does not answer in time",
				shown);
	case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
		return changed_key(link, error);
	case CURLE_OUT_OF_MEMORY:
		return no_memory(error);
	case CURLE_WRITE_ERROR:
		return tw_fault(error, TW_CLIENT_INTERNAL, NULL,
				"%s sends more than %u MiB in one answer", shown,
				TW_CLIENT_ANSWER_MAX >> 20);
	case CURLE_SSL_CONNECT_ERROR:
		return tw_fault(
			error, TW_CLIENT_UNAVAILABLE, NULL,
			"%s does not speak TLS; is it a Tradewind server that allows remote "
			"control?",
			shown);
	default:
		return tw_fault(error, TW_CLIENT_UNAVAILABLE, NULL, "%s: %s", shown,
				curl_easy_strerror(code));
	}
}

size_t tw_body_write(char *bytes, size_t size, size_t count, void *userdata)
{
	struct tw_body *body = userdata;
	size_t length = size * count, room = body->room ? body->room : 4096;

	if (length > TW_CLIENT_ANSWER_MAX - body->length) {
		body->too_long = true;
		return 0;
	}
	while (room < body->length + length + 1)
		room *= 2;
	if (room != body->room) {
		char *larger = realloc(body->bytes, room);

		if (!larger)
			return 0;
		body->bytes = larger;
		body->room = room;
	}
	memcpy(body->bytes + body->length, bytes, length);
	body->length += length;
	body->bytes[body->length] = '\0';
	return length;
}
