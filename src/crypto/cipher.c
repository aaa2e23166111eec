#include "crypto/cipher.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

static const char *const names[] = {
	[TW_CIPHER_NONE] = "none",
	[TW_CIPHER_AUTH] = "auth",
	[TW_CIPHER_128] = "128",
	[TW_CIPHER_256] = "256",
};
static_assert(sizeof names / sizeof names[0] == TW_CIPHER_COUNT, "a name per level");

const char *tw_cipher_name(enum tw_cipher cipher)
{
	assert(cipher < TW_CIPHER_COUNT);
	return names[cipher];
}

bool tw_cipher_parse(const char *name, enum tw_cipher *ret)
{
	for (size_t i = 0; i < TW_CIPHER_COUNT; i++) {
		if (strcmp(name, names[i]) == 0) {
			*ret = (enum tw_cipher)i;
			return true;
		}
	}
	return false;
}

/* AES and carry-less multiplication as instructions: without them AES-GCM is slow and its tables
 * leak by timing. */
static bool has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
	unsigned long needed = HWCAP_AES | HWCAP_PMULL;

	return (getauxval(AT_HWCAP) & needed) == needed;
#else
	return false;
#endif
}

uint64_t tw_aead_supported(void)
{
	return TW_AEAD_CHACHA20_POLY1305 | (has_aes() ? TW_AEAD_AES_GCM : 0);
}

uint64_t tw_aead_choose(uint64_t ours, uint64_t theirs)
{
	uint64_t both = ours & theirs;

	if (both & TW_AEAD_AES_GCM)
		return TW_AEAD_AES_GCM;
	return both & TW_AEAD_CHACHA20_POLY1305;
}
