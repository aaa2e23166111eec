#include "engine/password.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/secret.h"
#include "base/text.h"
#include "netio/clock.h"

#define COST_N 16384
#define COST_R 8
#define COST_P 1
#define MEMORY_MAX (UINT64_C(64) << 20)
#define SALT 16
#define HASH 32

const char tw_password_nobody[] =
	"scrypt:00000000000000000000000000000000:"
	"0000000000000000000000000000000000000000000000000000000000000000";

static bool derive(const char *password, const uint8_t salt[SALT], uint8_t ret[HASH])
{
	return EVP_PBE_scrypt(password, strlen(password), salt, SALT, COST_N, COST_R, COST_P,
			      MEMORY_MAX, ret, HASH) == 1;
}

char *tw_password_make(const char *password)
{
	struct tw_random random = tw_system_random();
	char salt_text[2 * SALT + 1], hash_text[2 * HASH + 1], *made;
	uint8_t salt[SALT], hash[HASH];

	tw_random_fill(&random, salt, sizeof(salt));
	if (!derive(password, salt, hash))
		return NULL;
	tw_text_hex(salt, sizeof(salt), salt_text);
	tw_text_hex(hash, sizeof(hash), hash_text);
	tw_wipe(hash, sizeof(hash));
	return asprintf(&made, "scrypt:%s:%s", salt_text, hash_text) < 0 ? NULL : made;
}

bool tw_password_check(const char *made, const char *password)
{
	static const char prefix[] = "scrypt:";
	uint8_t salt[SALT], wanted[HASH], hash[HASH];
	char salt_text[2 * SALT + 1] = "";
	const char *at = made + sizeof(prefix) - 1;
	bool right;

	if (strncmp(made, prefix, sizeof(prefix) - 1) != 0 ||
	    strlen(at) != 2 * SALT + 1 + 2 * HASH)
		return false;
	memcpy(salt_text, at, 2 * SALT);
	if (tw_text_unhex(salt_text, salt, SALT) || tw_text_unhex(at + 2 * SALT + 1, wanted, HASH))
		return false;
	right = derive(password, salt, hash) && tw_equal_secret(hash, wanted, HASH);
	tw_wipe(hash, sizeof(hash));
	return right;
}
