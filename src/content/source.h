/*
 * source.h - the sending side of content: walks the paths once into a manifest, then reads any part
 * of the tape.
 *
 * Lives on a disk thread; blocking calls. The walk goes in steps, so that reading and transport
 * start before it is over. Every read checks that the file still is what the manifest says (size,
 * modification and change time): if not, TW_E_CHANGED, and none of that read's bytes may be used;
 * versions are never mixed. An unreadable file among many is a problem of its own, reported and
 * left out, never the end of the transfer. Keeps at most 64 files open.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "content/digest.h"
#include "content/fs.h"
#include "content/manifest.h"

enum tw_symlinks {
	/* send what they point to; dangling ones and loops are noted and left out */
	TW_SYMLINKS_FOLLOW = 0,
	TW_SYMLINKS_IGNORE,
};

struct tw_source_mapping {
	/* path in the source view; NULL: a file called @destination is removed at the receiver */
	const char *source;
	const char *destination;        /* relative; "" puts the contents of a folder at the top */
};

struct tw_source_options {
	const struct tw_source_mapping *mappings;
	size_t mapping_count;
	/* globs, matched against the path and the last component; none: everything */
	const char *const *include;
	size_t include_count;
	const char *const *exclude;
	size_t exclude_count;
	enum tw_symlinks symlinks;
	/* of a named folder only the files in it, not its folders */
	bool flat;
	/* false (TRANSFER_FLAG_READ off): zeros instead of the file's bytes */
	bool read_content;
};

struct tw_source;

/* Copies the options. @fs held, if it is one that counts, else borrowed. -ENOMEM. */
int tw_source_new(const struct tw_fs *fs, const struct tw_source_options *options,
		  struct tw_source **ret);
void tw_source_free(struct tw_source *source);

/*
 * Walks on, about @entries more entries. 0: more to do; TW_E_END: the walk is over. Problems on the
 * way are noted, not returned. A named source path that does not exist: noted as a problem with
 * @fatal.
 */
int tw_source_walk(struct tw_source *source, unsigned entries);
const struct tw_manifest *tw_source_manifest(const struct tw_source *source);

/* Something that was left out, or went bad while sending. */
struct tw_problem {
	uint64_t entry;                 /* index in the manifest, UINT64_MAX when it never got in */
	int error;                      /* -errno or TW_E_CHANGED, TW_E_UNSAFE, ... */
	/* a named source is missing: the transfer should not start */
	bool fatal;
	bool harmless;                  /* a dangling link, a socket: left out by design */
	/* the source path, cleaned for display, its end if it is long */
	char path[256];
};
/* Takes the next noted problem out; false when there is none. */
bool tw_source_problem(struct tw_source *source, struct tw_problem *ret);

/* A stretch of the tape read in one go: whole chunks only. */
#define TW_BLOCK_CHUNKS_MAX 4096
struct tw_block {
	uint64_t start, end;            /* tape offsets */
	/* zeros; no bytes were stored. May be far longer than a chunk */
	bool hole;
	uint64_t chunk_first;
	size_t chunk_count;             /* how many digests follow; 0 for a hole */
	struct tw_digest *digests;      /* caller's array of TW_BLOCK_CHUNKS_MAX, filled */
};
/*
 * Reads the chunk that holds tape @offset and as many whole chunks behind it as fit into @room (at
 * least TW_CHUNK_SIZE) and up to @limit on the tape; small files are read many at a time.
 * @ret->start is the start of the first chunk. TW_E_CHANGED or -errno: the entry *@ret_entry cannot
 * be sent (it is remembered as bad; reading it again gives the same error; a problem is noted).
 */
int tw_source_read(struct tw_source *source, uint64_t offset, uint64_t limit, uint8_t *bytes,
		   size_t room, struct tw_block *ret, uint64_t *ret_entry);
/*
 * True when that would do no more than copy and hash, for a @room of TW_CHUNK_SIZE: the chunk is a
 * full one of a file that is open and in memory.
 */
bool tw_source_read_is_quick(struct tw_source *source, uint64_t offset);
/* SHA-256 of an entry's whole file. As tw_source_read(). */
int tw_source_sha256(struct tw_source *source, uint64_t entry, uint8_t ret[32]);
