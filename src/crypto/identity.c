#include "crypto/identity.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/error.h"
#include "base/text.h"

static bool is_zero(const void *bytes)
{
	static const uint8_t zero[TW_KEY_SIZE];

	return tw_equal_secret(bytes, zero, sizeof zero);
}

static EVP_PKEY *load_private(const struct tw_secret *key)
{
	return EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, key->bytes, sizeof key->bytes);
}

int tw_identity_generate(const struct tw_random *random, struct tw_identity *ret)
{
	struct tw_secret key;
	int error;

	tw_random_fill(random, key.bytes, sizeof key.bytes);
	error = tw_identity_from_private(&key, ret);
	tw_wipe(&key, sizeof key);
	return error;
}

int tw_identity_from_private(const struct tw_secret *private_key, struct tw_identity *ret)
{
	EVP_PKEY *key = load_private(private_key);
	struct tw_public_key public_key;
	size_t length = sizeof public_key.bytes;
	int ok;

	if (!key)
		return -ENOMEM;
	ok = EVP_PKEY_get_raw_public_key(key, public_key.bytes, &length);
	EVP_PKEY_free(key);
	if (!ok || length != sizeof public_key.bytes)
		return -ENOMEM;
	if (is_zero(public_key.bytes))
		return TW_E_FORMAT;
	ret->private_key = *private_key;
	ret->public_key = public_key;
	return 0;
}

void tw_identity_wipe(struct tw_identity *identity)
{
	tw_wipe(identity, sizeof *identity);
}

/* 0, -ENOMEM, or TW_E_AUTH when the library refuses the result. */
static int derive(EVP_PKEY *ours, EVP_PKEY *theirs, struct tw_secret *ret)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, ours, NULL);
	size_t length = sizeof ret->bytes;
	int error = -ENOMEM;

	if (context && EVP_PKEY_derive_init(context) > 0 &&
	    EVP_PKEY_derive_set_peer_ex(context, theirs, 0) > 0)
		error = EVP_PKEY_derive(context, ret->bytes, &length) > 0 ? 0 : TW_E_AUTH;
	EVP_PKEY_CTX_free(context);
	return error;
}

int tw_x25519(const struct tw_secret *ours, const struct tw_public_key *theirs,
	      struct tw_secret *ret)
{
	struct tw_secret shared = { { 0 } };
	EVP_PKEY *private_key, *public_key;
	int error = -ENOMEM;

	/* What a stranger's bad point leaves in the library's error queue is no news to anybody. */
	ERR_set_mark();
	private_key = load_private(ours);
	public_key = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, theirs->bytes,
						    sizeof theirs->bytes);
	if (private_key && public_key)
		error = derive(private_key, public_key, &shared);
	if (!error && is_zero(shared.bytes))
		error = TW_E_AUTH;
	if (!error)
		*ret = shared;
	EVP_PKEY_free(public_key);
	EVP_PKEY_free(private_key);
	ERR_pop_to_mark();
	tw_wipe(&shared, sizeof shared);
	return error;
}

static const char field[] = "private-key: ";
#define FIELD_LENGTH (sizeof field - 1)
#define KEY_LENGTH   (TW_KEY_TEXT - 1)

static char *append(char *at, const char *text)
{
	size_t length = strlen(text);

	memcpy(at, text, length + 1);
	return at + length;
}

size_t tw_identity_format(const struct tw_identity *identity, char ret[TW_IDENTITY_TEXT])
{
	char *at = ret;

	at = append(at, "# Tradewind identity, keep it secret. Public key: ");
	tw_public_key_format(&identity->public_key, at);
	at = append(at + KEY_LENGTH, "\n");
	at = append(at, field);
	tw_text_base64url(identity->private_key.bytes, TW_KEY_SIZE, at);
	at = append(at + KEY_LENGTH, "\n");
	assert(at < ret + TW_IDENTITY_TEXT);
	return (size_t)(at - ret);
}

static int parse_private(const char *line, size_t length, struct tw_secret *ret)
{
	char text[TW_KEY_TEXT];
	int error;

	if (length != FIELD_LENGTH + KEY_LENGTH || memcmp(line, field, FIELD_LENGTH) != 0)
		return TW_E_FORMAT;
	memcpy(text, line + FIELD_LENGTH, KEY_LENGTH);
	text[KEY_LENGTH] = '\0';
	error = tw_text_unbase64url(text, ret->bytes, sizeof ret->bytes);
	tw_wipe(text, sizeof text);
	return error;
}

/* Comments, empty lines, and exactly one key. A line may end with a carriage return. */
int tw_identity_parse(const char *text, size_t length, struct tw_identity *ret)
{
	struct tw_secret key = { { 0 } };
	bool found = false;
	int error = 0;

	for (const char *at = text, *end = text + length; at < end && !error;) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		const char *next = stop ? stop + 1 : end;

		stop = stop ? stop : end;
		if (stop > at && stop[-1] == '\r')
			stop--;
		if (stop > at && *at != '#') {
			error = found ? TW_E_FORMAT : parse_private(at, (size_t)(stop - at), &key);
			found = true;
		}
		at = next;
	}
	if (!error)
		error = found ? tw_identity_from_private(&key, ret) : TW_E_FORMAT;
	tw_wipe(&key, sizeof key);
	return error;
}

const char *tw_public_key_format(const struct tw_public_key *key, char ret[TW_KEY_TEXT])
{
	return tw_text_base64url(key->bytes, sizeof key->bytes, ret);
}

int tw_public_key_parse(const char *text, struct tw_public_key *ret)
{
	struct tw_public_key key;
	int error = tw_text_unbase64url(text, key.bytes, sizeof key.bytes);

	if (error)
		return error;
	if (!tw_public_key_known(&key))
		return TW_E_FORMAT;
	*ret = key;
	return 0;
}
