/*
 * source_internal.h - what walk.c (paths into a listing), source.c (reading) and listing.c share.
 */
#pragma once

#include <stdatomic.h>

#include "content/listing.h"
#include "content/source.h"

#define FILES_MAX 64
#define AHEAD_MAX 16 /* files opened at one go */
#define HARMLESS_MAX 10000

/* A folder being walked. */
struct walk_folder {
	char *names;                    /* owned: sorted, each with its NUL */
	size_t length, at, room;
	size_t source_length, path_length; /* of the walk's paths, down to this folder */
	uint64_t device, inode;
	struct tw_entry entry;
	bool appended;                  /* false: only once something inside goes */
};

struct walk {
	size_t mapping;                 /* the next one to begin */
	struct walk_folder *folders;    /* owned: from the mapping's root down */
	size_t depth, room;
	char source[TW_SOURCE_PATH_MAX + 1];
	char path[TW_PATH_MAX + 1];     /* at the destination */
};

/* Where entries from @first on come from: @source, then the path behind its first @skip bytes. */
struct source_place {
	uint64_t first;
	char *source; /* owned */
	size_t skip;
};

/* Grows while the source that has the only reference walks; nobody changes it afterwards. */
struct tw_listing {
	atomic_uint references;
	struct tw_manifest *manifest; /* owned */
	int64_t *ctimes;              /* owned: by entry, 0 for a folder */
	uint64_t ctime_room;
	struct source_place *places; /* owned, ascending */
	size_t place_count, place_room;
};

struct source_file {
	struct tw_file *file;           /* NULL: free */
	uint64_t entry, used;
};

struct source_note {
	uint64_t entry;
	int error;
	bool fatal, harmless;
	char *path;                     /* owned, cleaned */
};

struct tw_source {
	struct tw_fs fs;
	struct tw_source_options options; /* owned copies */
	struct tw_listing *listing;       /* a reference */
	struct walk walk;
	int16_t *errors; /* owned: by entry, what made it bad */
	uint64_t error_room;

	struct source_note *notes;
	size_t note_first, note_count, note_room, harmless_count;

	struct source_file files[FILES_MAX];
	uint64_t clock;
	uint64_t opened_last;                  /* an entry, and one */
	char (*ahead)[TW_SOURCE_PATH_MAX + 1]; /* owned: room for paths; NULL: not needed yet */
};

/*
 * Notes a problem with @path (of the source). Never fails: without memory the problem is lost, and
 * only then.
 */
void tw_source_note(struct tw_source *source, const struct source_note *note, const char *path);
void tw_source_walk_free(struct walk *walk);
bool tw_source_walk_over(const struct tw_source *source);

/* An empty one, with one reference. NULL: no memory. */
struct tw_listing *tw_listing_new(void);
/* Entries from here on come from @source (copied). -ENOMEM. */
int tw_listing_add_place(struct tw_listing *listing, const char *source, size_t skip);
/* As tw_manifest_append(), with what a stat call said of the change time. */
int tw_listing_append(struct tw_listing *listing, const char *path, const struct tw_entry *entry,
		      int64_t ctime_ns);
