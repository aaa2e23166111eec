/*
 * listing.h - the finished result of a walk: which entries a manifest has and where each comes
 * from. Immutable and counted, so that any number of transfers, on any threads, read from one; its
 * encoded form is what the service stores.
 *
 * Memory: that of the manifest, and 8 bytes an entry for its change time. It knows no content and
 * opens nothing: whether a file still is what the listing says shows when a source reads it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "content/manifest.h"
#include "content/source.h"

struct tw_listing;

/* Sources may be absolute and long; the system takes no longer path than this. */
#define TW_SOURCE_PATH_MAX 8192

/*
 * Takes what @source has found when its walk is over (tw_source_walk() said TW_E_END; asserted);
 * @source is freed. -ENOMEM: @source is left as it was. One reference is the caller's.
 */
int tw_listing_from_source(struct tw_source *source, struct tw_listing **ret);
struct tw_listing *tw_listing_hold(struct tw_listing *listing); /* atomic */
void tw_listing_drop(struct tw_listing *listing);               /* NULL is fine */

uint64_t tw_listing_entries(const struct tw_listing *listing); /* folders included */
uint64_t tw_listing_files(const struct tw_listing *listing);
uint64_t tw_listing_bytes(const struct tw_listing *listing);
/* The manifest inside; borrowed. */
const struct tw_manifest *tw_listing_manifest(const struct tw_listing *listing);
/*
 * Where entry @index comes from, NUL included; returns its length. @room at least
 * TW_SOURCE_PATH_MAX + 1 (asserted).
 */
size_t tw_listing_source_path(const struct tw_listing *listing, uint64_t index, char *ret,
			      size_t room);

/* @ret malloc'd: the stored form, with a version and a digest. -ENOMEM. */
int tw_listing_encode(const struct tw_listing *listing, void **ret, size_t *ret_length);
/*
 * Any bytes at all may come. TW_E_FORMAT: damaged, or never a listing; TW_E_VERSION: written by a
 * newer program; -ENOMEM.
 */
int tw_listing_decode(const void *bytes, size_t length, struct tw_listing **ret);

/*
 * A source that reads the entries of @listing (held until tw_source_free()) and walks nothing: its
 * walk is over at the first step. Each read checks size, modification and change time as always.
 * @read_content false: zeros. @fs: the view that was walked; held, if it is
 * one that counts, else borrowed. -ENOMEM.
 */
int tw_source_new_listed(const struct tw_fs *fs, struct tw_listing *listing, bool read_content,
			 struct tw_source **ret);
