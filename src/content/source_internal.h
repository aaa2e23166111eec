/*
 * source_internal.h - what walk.c (paths into a manifest) and source.c (reading) share.
 */
#pragma once

#include "content/source.h"

/* Sources may be absolute and long; the system takes no longer path than this. */
#define SOURCE_PATH_MAX 8192
#define FILES_MAX 64
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
	char source[SOURCE_PATH_MAX + 1];
	char path[TW_PATH_MAX + 1];     /* at the destination */
};

/* Where entries from @first on come from: @source, then the path behind its first @skip bytes. */
struct source_place {
	uint64_t first;
	const char *source;             /* borrowed from the options */
	size_t skip;
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
	struct tw_manifest *manifest;   /* owned */
	struct walk walk;
	struct source_place *places;
	size_t place_count, place_room;
	/* By entry: what a stat call said of its change time, and what made it bad. */
	int64_t *ctimes;
	int16_t *errors;
	uint64_t entry_room;

	struct source_note *notes;
	size_t note_first, note_count, note_room, harmless_count;

	struct source_file files[FILES_MAX];
	uint64_t clock;
};

/*
 * Notes a problem with @path (of the source). Never fails: without memory the problem is lost, and
 * only then.
 */
void tw_source_note(struct tw_source *source, const struct source_note *note, const char *path);
void tw_source_walk_free(struct walk *walk);
