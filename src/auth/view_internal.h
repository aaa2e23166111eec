/*
 * view_internal.h - what the two halves of a view share: view.c and view_files.c.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "auth/agent_fs.h"
#include "auth/view.h"

struct tw_view {
	atomic_uint references;
	struct tw_accounts *accounts;
	char *user, *fence;
	struct tw_sandbox_pair *pairs;
	size_t pair_count;

	pthread_mutex_t lock; /* until it is ready */
	bool ready;
	struct tw_mounts mounts;
	struct tw_agent_root **roots; /* one a mount */
};

/* Looked up and mounted, if it was not before. */
int tw_view_ready(struct tw_view *view);

/* Where a path of the view leads. */
struct tw_view_place {
	char path[TW_SANDBOX_PATH_ROOM]; /* normal */
	struct tw_agent_root *root;      /* NULL: a folder above mounts */
	const char *at;                  /* of its mount */
	const char *rest;                /* within @path */
};
int tw_view_find(struct tw_view *view, const char *path, struct tw_view_place *ret);

/* The names that mounts put into the folder @path (normal), in order. @ret owned. -ENOMEM. */
int tw_view_names(struct tw_view *view, const char *path, char (**ret)[256], size_t *ret_count);
