/*
 * digest.h - digests of content. A chunk's digest is XXH3-128 of its bytes (canonical, big-endian
 * form). A file's digest is that of its only chunk, or XXH3-128 over the digests of its chunks in
 * order; of an empty file, XXH3-128 of nothing. A transfer's digest is XXH3-128 over {path, NUL,
 * file digest} of its files in order. Chunks can be checked in any order and a resumed file needs
 * no reading again. SHA-256 of a whole file, in order, on request.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define TW_DIGEST_SIZE 16

struct tw_digest {
	uint8_t bytes[TW_DIGEST_SIZE];
};

struct tw_digest tw_digest_of(const void *bytes, size_t length);

/* Incremental form; the state is 64-byte aligned, about 600 bytes. */
struct tw_digest_state;
struct tw_digest_state *tw_digest_new(void);
void tw_digest_free(struct tw_digest_state *state);
void tw_digest_reset(struct tw_digest_state *state);
void tw_digest_update(struct tw_digest_state *state, const void *bytes, size_t length);
struct tw_digest tw_digest_final(const struct tw_digest_state *state);
