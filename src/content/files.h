/*
 * files.h - file operations of the interface: listing, measuring, making, moving, removing.
 *
 * They block. Every path is relative to a root and stays in it (root.h). Links that stay inside are
 * followed on the way; what is removed or moved is the link itself.
 *
 * Nothing here asks who the caller is: it runs with the rights of the process. Names are any bytes
 * but '/' and NUL: whoever shows them cleans them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "content/root.h"

/* Entries that a listing may have, all its paths together. */
#define TW_FILES_ENTRIES_MAX 100000
/* How deep folders may be nested in what is measured or removed: each level holds one open. */
#define TW_FILES_DEPTH_MAX 200

enum tw_files_operation {
	TW_FILES_LS = 1,  /* @path, or @paths: one listing each, with an error of its own */
	TW_FILES_DU,      /* counts below @path, links not followed */
	TW_FILES_MKDIR,   /* @path with its parents; it may be there already */
	TW_FILES_MK_FILE, /* @path, empty; -EEXIST */
	/* @path to @to. Not @overwrite: -EEXIST; else a file replaces a file, a folder an empty
	 * one. -EXDEV: they lie on two file systems. */
	TW_FILES_MV,
	/* @path. A folder that is not empty only with @recursive (else -ENOTEMPTY); links are
	 * removed, not followed; it stays on one file system (-EXDEV) and ends at the first
	 * trouble, what is gone by then is gone. */
	TW_FILES_RM,
};

struct tw_files_request {
	enum tw_files_operation operation;
	const struct tw_root *root;
	const char *path; /* "" and "." are the root itself; slashes in front do not count */
	const char *const *paths; /* LS: NULL: @path alone */
	size_t path_count;
	const struct tw_root *to_root; /* MV: NULL: @root */
	const char *to;
	bool overwrite, recursive;
};

struct tw_files_entry {
	char *name; /* owned */
	/* Of what a link points to, if that is inside the root; else of the link itself. */
	bool is_directory, executable;
	bool is_symlink;
	uint64_t size; /* 0 for a folder */
	int64_t mtime_ns;
};

/* What one path is and, for a folder, what is in it, in the order of the names' bytes. */
struct tw_files_listing {
	char *path; /* owned: as it was asked for */
	int error;  /* as struct tw_files_result has it */
	bool is_directory;
	uint64_t size;
	int64_t mtime_ns;
	struct tw_files_entry *entries; /* owned */
	size_t entry_count;
};

struct tw_files_result {
	/*
	 * 0; -errno; TW_E_UNSAFE: the path leads out of its root; TW_E_FULL: one of the limits
	 * above; -EBUSY: it would be the root itself that goes; -ECANCELED. For LS with one path
	 * that of its listing, with @paths 0.
	 */
	int error;
	char path[TW_ROOT_PATH_ROOM]; /* where the error happened, below the root; "" after 0 */
	struct tw_files_listing *listings; /* owned; LS */
	size_t listing_count;
	/* DU: bytes of regular files and their number; RM: @files is what was removed. */
	uint64_t bytes, files;
	uint64_t unreadable; /* DU: folders that could not be looked into */
};

/*
 * Blocks. @cancelled (may be NULL) is asked often; a single system call on a dead network file
 * system cannot be cut short. @ret is always filled and has to be deinited.
 */
void tw_files_run(const struct tw_files_request *request, bool (*cancelled)(void *context),
		  void *context, struct tw_files_result *ret);
void tw_files_result_deinit(struct tw_files_result *result);

/* For those who carry them out in other ways, and tell the same. */

/* What went wrong, and where; returns @error. */
int tw_files_fail(struct tw_files_result *result, int error, const char *path);
/*
 * LS: a listing for each path of @request. @list fills one, whose path is there already; what it
 * returns is its error, after which no entries are kept. 0, or what @result has as its error.
 */
int tw_files_list(const struct tw_files_request *request,
		  int (*list)(void *context, struct tw_files_listing *listing), void *context,
		  struct tw_files_result *result);
/* Frees its entries. */
void tw_files_listing_empty(struct tw_files_listing *listing);
/* For qsort() and bsearch(): the order of entries. */
int tw_files_compare_entries(const void *a, const void *b);
