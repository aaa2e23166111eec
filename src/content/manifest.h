/*
 * manifest.h - the ordered list of what a transfer carries, and its address space.
 *
 * Each entry is a file or a folder with its path at the destination, size, mode and modification
 * time. The contents of the files laid end to end are the **tape**; an entry knows where its
 * content starts. Each file is cut into **chunks** of 1 MiB from its own start (the last may be
 * shorter; an empty file has none), numbered through the whole manifest: the unit of digests.
 * Folders come before what is inside them.
 *
 * A manifest grows at its end only, so that transport can begin before the walk is over. Memory: 48
 * bytes an entry and its name without the leading part it shares with its folder. One owner at a
 * time; no locks.
 *
 * Wire form (docs/protocol.md, "Manifest"): records with the path's common prefix with the entry
 * before left out, the whole a zstd stream. A decoder takes bytes in pieces of any size and checks
 * every path: relative, no empty, "." or ".." component, no NUL, at most 4096 bytes, components at
 * most 255, no name used twice in a row; total tape below 2^62.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "content/fs.h"

#define TW_CHUNK_SIZE (UINT64_C(1) << 20)
#define TW_PATH_MAX 4096
#define TW_ENTRIES_MAX (UINT64_C(1) << 27)

/* Beside the kinds of files: no content, a file of that name at the destination goes. */
#define TW_KIND_REMOVAL 5

enum tw_entry_flags {
	TW_ENTRY_SPARSE = 1,            /* has holes at the source: zeros need not be written */
};

struct tw_entry {
	uint64_t tape_start;
	uint64_t size;                  /* 0 for a folder */
	uint64_t chunk_first;
	int64_t mtime_ns;
	uint32_t path;                  /* private: where the path is kept */
	uint16_t mode;
	uint8_t kind;                   /* TW_KIND_FILE, _DIRECTORY or _REMOVAL */
	uint8_t flags;
};

struct tw_manifest;

struct tw_manifest *tw_manifest_new(void);
/*
 * The entries, of which there are none yet, come from somebody else, who can say a million names
 * with a few bytes: all such manifests of the program have half of the machine's memory at most,
 * then append says TW_E_FULL.
 */
void tw_manifest_set_foreign(struct tw_manifest *manifest);
/* Another bound than that, for tests; 0: none. */
extern uint64_t tw_manifest_foreign_max;
void tw_manifest_free(struct tw_manifest *manifest);
/*
 * Appends. tape_start, chunk_first and path are filled in. TW_E_FULL, TW_E_UNSAFE (the path),
 * -ENOMEM.
 */
int tw_manifest_append(struct tw_manifest *manifest, const char *path,
		       const struct tw_entry *entry);
uint64_t tw_manifest_count(const struct tw_manifest *manifest);
uint64_t tw_manifest_tape_size(const struct tw_manifest *manifest);
uint64_t tw_manifest_chunk_count(const struct tw_manifest *manifest);
uint64_t tw_manifest_file_count(const struct tw_manifest *manifest);
/* Borrowed, valid until the next append. */
const struct tw_entry *tw_manifest_entry(const struct tw_manifest *manifest, uint64_t index);
/* Writes the whole path, NUL included, to @ret (TW_PATH_MAX + 1). Returns its length. */
size_t tw_manifest_path(const struct tw_manifest *manifest, uint64_t index, char *ret);
/* The index of the file entry whose content holds tape @offset (below the tape's size). */
uint64_t tw_manifest_find(const struct tw_manifest *manifest, uint64_t offset);
/* The index of the file entry that holds @chunk. */
uint64_t tw_manifest_find_chunk(const struct tw_manifest *manifest, uint64_t chunk);
static inline uint64_t tw_entry_chunks(const struct tw_entry *entry)
{
	return (entry->size + TW_CHUNK_SIZE - 1) / TW_CHUNK_SIZE;
}

/* 0, or TW_E_UNSAFE for a path that must not be used below a destination folder (rules above). */
int tw_path_check(const char *path, size_t length);

/* Wire form, writing: entries [next, count) of @manifest are encoded in order. */
struct tw_manifest_encoder;
struct tw_manifest_encoder *tw_manifest_encoder_new(const struct tw_manifest *manifest);
void tw_manifest_encoder_free(struct tw_manifest_encoder *encoder);
/*
 * Writes up to @room bytes. @complete: no entry will be appended any more. TW_E_AGAIN: all entries
 * so far are encoded and flushed; TW_E_END: the stream is finished (as of this or an earlier call).
 */
int tw_manifest_encode(struct tw_manifest_encoder *encoder, bool complete, uint8_t *bytes,
		       size_t room, size_t *ret_length);

/* Wire form, reading: appends to @manifest (borrowed). */
struct tw_manifest_decoder;
struct tw_manifest_decoder *tw_manifest_decoder_new(struct tw_manifest *manifest);
void tw_manifest_decoder_free(struct tw_manifest_decoder *decoder);
/*
 * TW_E_FORMAT, TW_E_UNSAFE, TW_E_FULL: the transfer must be refused. TW_E_END: the last entry has
 * been read.
 */
int tw_manifest_decode(struct tw_manifest_decoder *decoder, const uint8_t *bytes, size_t length);
/* After TW_E_UNSAFE: the offending path, cleaned for display (lent). */
const char *tw_manifest_decoder_offender(const struct tw_manifest_decoder *decoder);
