#include "core/cid.h"

#define PLAIN_BITS (32 - TW_CID_MARK_BITS) /* of the upper half; the mark stands above them */

void tw_cid_salt_init(struct tw_cid_salt *salt, const struct tw_random *random)
{
	uint64_t bits = tw_random_u64(random);

	*salt = (struct tw_cid_salt){ (uint32_t)bits | 1, (uint32_t)(bits >> 32) | 1 };
}

/* What the kernel's filters can do: 32 bits, and nothing that takes more than a multiplication. */
static uint32_t mark(const struct tw_cid_salt *salt, uint64_t cid)
{
	uint32_t hash = (uint32_t)cid * salt->first;

	hash ^= hash >> TW_CID_MARK_SHIFT;
	hash += (uint32_t)(cid >> 32) & ((UINT32_C(1) << PLAIN_BITS) - 1);
	return (hash * salt->second) >> PLAIN_BITS;
}

uint64_t tw_cid_make(const struct tw_cid_salt *salt, const struct tw_random *random)
{
	uint64_t cid;

	do {
		cid = tw_random_u64(random) >> TW_CID_MARK_BITS;
		cid |= (uint64_t)mark(salt, cid) << (64 - TW_CID_MARK_BITS);
	} while (!cid);
	return cid;
}

bool tw_cid_marked(const struct tw_cid_salt *salt, uint64_t cid)
{
	return cid >> (64 - TW_CID_MARK_BITS) == mark(salt, cid);
}
