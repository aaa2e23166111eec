#include "base/secret.h"

#include <string.h>

void tw_wipe(void *bytes, size_t length)
{
	if (length)
		explicit_bzero(bytes, length);
}

bool tw_equal_secret(const void *a, const void *b, size_t length)
{
	const volatile uint8_t *left = a, *right = b;
	uint8_t difference = 0;

	for (size_t i = 0; i < length; i++)
		difference |= (uint8_t)(left[i] ^ right[i]);
	return !difference;
}

bool tw_public_key_known(const struct tw_public_key *key)
{
	static const struct tw_public_key unknown;

	return memcmp(key, &unknown, sizeof(unknown)) != 0;
}
