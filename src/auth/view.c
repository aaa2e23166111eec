#include "auth/view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/recent.h"
#include "auth/view_internal.h"
#include "base/error.h"
#include "content/fs_fd.h"
#include "netio/clock.h"

/* Life. */

static int copy_pairs(struct tw_view *view, const struct tw_view_options *options)
{
	view->pairs = calloc(options->pair_count + 1, sizeof(*view->pairs));
	if (!view->pairs)
		return -ENOMEM;
	for (size_t i = 0; i < options->pair_count; i++) {
		struct tw_sandbox_pair *pair = &view->pairs[view->pair_count++];

		pair->mount = strdup(options->pairs[i].mount);
		pair->target = strdup(options->pairs[i].target);
		if (!pair->mount || !pair->target)
			return -ENOMEM;
	}
	return 0;
}

static void view_free(struct tw_view *view)
{
	for (size_t i = 0; view->roots && i < view->mounts.count; i++)
		tw_agent_root_free(view->roots[i]);
	free(view->roots);
	tw_mounts_deinit(&view->mounts);
	for (size_t i = 0; i < view->pair_count; i++) {
		free((char *)view->pairs[i].mount);
		free((char *)view->pairs[i].target);
	}
	free(view->pairs);
	free(view->user);
	free(view->fence);
	pthread_mutex_destroy(&view->lock);
	free(view);
}

int tw_view_new(const struct tw_view_options *options, struct tw_view **ret)
{
	struct tw_view *view = calloc(1, sizeof(*view));

	if (!view)
		return -ENOMEM;
	view->references = 1;
	view->accounts = options->accounts;
	pthread_mutex_init(&view->lock, NULL);
	view->user = strdup(options->user);
	view->fence = strdup(options->fence ? options->fence : "");
	if (!view->user || !view->fence || copy_pairs(view, options)) {
		view_free(view);
		return -ENOMEM;
	}
	*ret = view;
	return 0;
}

struct tw_view *tw_view_hold(struct tw_view *view)
{
	atomic_fetch_add(&view->references, 1);
	return view;
}

void tw_view_drop(struct tw_view *view)
{
	if (view && atomic_fetch_sub(&view->references, 1) == 1)
		view_free(view);
}

const char *tw_view_user(const struct tw_view *view)
{
	return view->user;
}

bool tw_view_is_idle(struct tw_view *view)
{
	return atomic_load(&view->references) == 1;
}

/* Mounting. */

static int connect_agent(void *context, int *ret_socket)
{
	struct tw_view *view = context;

	return view->accounts->ops->agent(view->accounts, view->user, ret_socket);
}

static int make_roots(struct tw_view *view, const struct tw_mounts *mounts,
		      struct tw_agent_root **roots)
{
	for (size_t i = 0; i < mounts->count; i++) {
		const struct tw_agent_root_options options = {
			.connect = connect_agent,
			.context = view,
			.target = mounts->items[i].target,
			.inside = mounts->items[i].inside,
		};
		int r = tw_agent_root_new(&options, &roots[i]);

		if (r)
			return r;
	}
	return 0;
}

/* With the lock held. */
static int mount_view(struct tw_view *view)
{
	struct tw_sandbox_account who;
	struct tw_mounts mounts = { 0 };
	struct tw_agent_root **roots;
	struct tw_account account;
	int r = view->accounts->ops->find(view->accounts, view->user, &account);

	if (r)
		return r;
	who = (struct tw_sandbox_account){ account.name, account.home, account.uid };
	r = tw_sandbox_make(view->pairs, view->pair_count, &who, view->fence, &mounts);
	if (r)
		return r;
	roots = calloc(mounts.count + 1, sizeof(struct tw_agent_root *));
	r = roots ? make_roots(view, &mounts, roots) : -ENOMEM;
	if (r) {
		for (size_t i = 0; roots && i < mounts.count; i++)
			tw_agent_root_free(roots[i]);
		free(roots);
		tw_mounts_deinit(&mounts);
		return r;
	}
	view->mounts = mounts;
	view->roots = roots;
	view->ready = true;
	return 0;
}

int tw_view_ready(struct tw_view *view)
{
	int r;

	pthread_mutex_lock(&view->lock);
	r = view->ready ? 0 : mount_view(view);
	pthread_mutex_unlock(&view->lock);
	return r;
}

int tw_view_mounts(struct tw_view *view, const struct tw_mounts **ret)
{
	int r = tw_view_ready(view);

	if (!r)
		*ret = &view->mounts;
	return r;
}

void tw_view_rest(struct tw_view *view)
{
	/* Not ready by now: there is nothing that could rest. */
	if (pthread_mutex_trylock(&view->lock))
		return;
	for (size_t i = 0; view->ready && i < view->mounts.count; i++)
		tw_agent_root_rest(view->roots[i]);
	pthread_mutex_unlock(&view->lock);
}

int tw_view_find(struct tw_view *view, const char *path, struct tw_view_place *ret)
{
	struct tw_sandbox_place place;
	int r = tw_view_ready(view);

	if (!r)
		r = tw_sandbox_normal(path, ret->path);
	if (!r)
		r = tw_sandbox_find(&view->mounts, ret->path, &place);
	if (r)
		return r;
	ret->root = place.mount ? view->roots[place.mount - view->mounts.items] : NULL;
	ret->at = place.mount ? place.mount->at : "";
	ret->rest = place.rest;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

int tw_view_names(struct tw_view *view, const char *path, char (**ret)[256], size_t *ret_count)
{
	char(*names)[256] = calloc(view->mounts.count + 1, sizeof(*names));
	size_t cursor = 0, count = 0;

	if (!names)
		return -ENOMEM;
	while (tw_sandbox_next_name(&view->mounts, path, &cursor, names[count]))
		count++;
	qsort(names, count, sizeof(*names), compare_names);
	*ret = names;
	*ret_count = count;
	return 0;
}

/* As a file system. */

struct session {
	atomic_uint references;
	struct tw_view *view;
	pthread_mutex_t lock; /* over what follows */
	struct tw_recent recent;
};

/* A folder that is nowhere but here. */
static void describe_folder(const char *path, struct tw_file_stat *ret)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *path; path++)
		hash = (hash ^ (uint8_t)*path) * UINT64_C(0x100000001b3);
	*ret = (struct tw_file_stat){
		.kind = TW_KIND_DIRECTORY,
		.mode = 0555,
		.device = UINT64_MAX,
		.inode = hash,
	};
}

/* What the storage does not know, but mounts lead through. */
static bool only_here(const struct session *session, const struct tw_view_place *place, int error)
{
	return error == -ENOENT && tw_sandbox_leads_to_mounts(&session->view->mounts, place->path);
}

static int session_stat(void *context, const char *path, bool follow, struct tw_file_stat *ret)
{
	struct session *session = context;
	struct tw_view_place place;
	bool known;
	int r = tw_view_find(session->view, path, &place);

	if (r)
		return r;
	pthread_mutex_lock(&session->lock);
	known = tw_recent_take(&session->recent, place.path, follow, tw_clock_now(), ret);
	pthread_mutex_unlock(&session->lock);
	if (known)
		return 0;
	r = place.root ? tw_agent_stat(place.root, place.rest, follow, ret) : -ENOENT;
	if (r && (!place.root || only_here(session, &place, r))) {
		describe_folder(place.path, ret);
		r = 0;
	}
	return r;
}

static int session_open(void *context, const char *path, unsigned flags, struct tw_file **ret)
{
	struct session *session = context;
	struct tw_view_place place;
	int fd, r = tw_view_find(session->view, path, &place);

	if (r)
		return r;
	if (!place.root)
		return -EISDIR;
	r = tw_agent_open(place.root, place.rest, flags, &fd);
	return r ? r : tw_fd_file(fd, place.root, ret);
}

/* What @path is called in the folder @folder; NULL: it lies elsewhere. */
static const char *name_in(const char *folder, size_t length, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	return (slash ? (size_t)(slash - path) : 0) == length && !strncmp(path, folder, length)
		       ? name
		       : NULL;
}

/* The names of those of @paths that lie in the folder of the first one. Returns how many. */
static unsigned join_names(struct session *session, const char *const *paths, unsigned count,
			   struct tw_view_place *first, char *ret)
{
	struct tw_view_place place;
	size_t length, used = 0;
	unsigned joined = 0;

	if (tw_view_find(session->view, paths[0], first) || !first->root || !*first->rest)
		return 0;
	length = strlen(first->path);
	while (length && first->path[--length] != '/')
		continue;
	for (; joined < count && joined < TW_AGENT_SEVERAL_MAX; joined++) {
		const char *name;
		size_t n;

		if (tw_view_find(session->view, paths[joined], &place) || place.root != first->root)
			break;
		name = name_in(first->path, length, place.path);
		n = name ? strlen(name) : 0;
		if (!n || used + n + 1 >= TW_ROOT_PATH_ROOM)
			break;
		if (used)
			ret[used++] = '/';
		memcpy(ret + used, name, n + 1);
		used += n;
	}
	return joined;
}

static unsigned session_open_several(void *context, const char *const *paths, unsigned count,
				     struct tw_file **ret)
{
	int fds[TW_AGENT_SEVERAL_MAX];
	char names[TW_ROOT_PATH_ROOM], *slash;
	struct tw_view_place first;
	unsigned joined = join_names(context, paths, count, &first, names);

	for (unsigned i = 0; i < joined; i++) {
		ret[i] = NULL;
		fds[i] = -1;
	}
	if (joined < 2)
		return joined;
	/* The folder: what is left of the first path in its mount without its name. */
	slash = strrchr(first.rest, '/');
	if (slash)
		*slash = '\0';
	if (tw_agent_open_several(first.root, slash ? first.rest : "", names, fds))
		return joined;
	for (unsigned i = 0; i < joined; i++)
		if (fds[i] >= 0 && tw_fd_file(fds[i], first.root, &ret[i]))
			ret[i] = NULL;
	return joined;
}

static int session_set_meta(struct tw_file *file, uint32_t mode, int64_t mtime_ns)
{
	return tw_agent_set_meta(file->context, file->fd, mode, mtime_ns);
}

/* Where something is to be changed. */
static int find_for_change(struct session *session, const char *path, struct tw_view_place *ret)
{
	int r = tw_view_find(session->view, path, ret);

	if (r)
		return r == -ENOENT ? -EACCES : r;
	return ret->root ? 0 : -EACCES;
}

static int session_mkdir(void *context, const char *path, uint32_t mode)
{
	struct tw_view_place place;
	int r = find_for_change(context, path, &place);

	return r ? r : tw_agent_mkdir(place.root, place.rest, mode);
}

static int session_rename(void *context, const char *from, const char *to, bool replace)
{
	struct session *session = context;
	struct tw_view_place from_place, to_place;
	int r = find_for_change(session, from, &from_place);

	if (!r)
		r = find_for_change(session, to, &to_place);
	if (r)
		return r;
	if (tw_sandbox_holds_mounts(&session->view->mounts, from_place.path) ||
	    tw_sandbox_holds_mounts(&session->view->mounts, to_place.path))
		return -EBUSY;
	if (from_place.root != to_place.root)
		return -EXDEV;
	return tw_agent_rename(from_place.root, from_place.rest, to_place.rest, replace);
}

static int session_unlink(void *context, const char *path)
{
	struct session *session = context;
	struct tw_view_place place;
	int r = find_for_change(session, path, &place);

	if (!r && tw_sandbox_holds_mounts(&session->view->mounts, place.path))
		r = -EBUSY;
	return r ? r : tw_agent_unlink(place.root, place.rest);
}

static int session_set_directory_meta(void *context, const char *path, uint32_t mode,
				      int64_t mtime_ns)
{
	struct tw_view_place place;
	int r = find_for_change(context, path, &place);

	return r ? r : tw_agent_set_directory_meta(place.root, place.rest, mode, mtime_ns);
}

static int session_sync_directory(void *context, const char *path)
{
	struct tw_view_place place;
	int r = find_for_change(context, path, &place);

	return r ? r : tw_agent_sync_directory(place.root, place.rest);
}

static int session_sync_all(void *context)
{
	struct session *session = context;
	struct tw_view *view = session->view;
	int r = tw_view_ready(view);

	for (size_t i = 0; !r && i < view->mounts.count; i++)
		r = tw_agent_sync_all(view->roots[i]);
	return r;
}

static void session_boot_id(void *context, uint8_t ret[16])
{
	struct session *session = context;
	struct tw_view *view = session->view;

	if (tw_view_ready(view) || !view->mounts.count || tw_agent_boot_id(view->roots[0], ret))
		tw_fd_boot_id(ret);
}

/* A folder's own names and those of mounts in it, each once and in order. */
struct merge {
	struct tw_recent_listing *listing; /* NULL: no memory */
	char (*names)[256];
	size_t count, at;
	int (*each)(void *context, const char *name);
	void *context;
};

static int merge_mounts(struct merge *merge, const char *before)
{
	int r = 0;

	while (!r && merge->at < merge->count &&
	       (!before || strcmp(merge->names[merge->at], before) < 0))
		r = merge->each(merge->context, merge->names[merge->at++]);
	return r;
}

static int merge_entry(void *context, const struct tw_agent_entry *entry)
{
	struct merge *merge = context;
	int r = merge_mounts(merge, entry->name);

	if (r)
		return r;
	/* Another folder than the storage's: whoever asks hears of the mount. */
	if (merge->at < merge->count && !strcmp(merge->names[merge->at], entry->name))
		return 0;
	if (merge->listing)
		tw_recent_add(merge->listing, entry->name, &entry->stat);
	return merge->each(merge->context, entry->name);
}

static int session_list(void *context, const char *path,
			int (*each)(void *context, const char *name), void *each_context)
{
	struct session *session = context;
	struct merge merge = { .each = each, .context = each_context };
	struct tw_view_place place;
	int r = tw_view_find(session->view, path, &place);

	if (!r)
		r = tw_view_names(session->view, place.path, &merge.names, &merge.count);
	if (r)
		return r;
	merge.listing = tw_recent_begin(place.path, tw_clock_now());
	if (place.root)
		r = tw_agent_list(place.root, place.rest, merge_entry, &merge);
	if (only_here(session, &place, r))
		r = 0;
	if (!r)
		r = merge_mounts(&merge, NULL);
	free(merge.names);
	pthread_mutex_lock(&session->lock);
	if (merge.listing && !r)
		tw_recent_push(&session->recent, merge.listing);
	else
		tw_recent_listing_free(merge.listing);
	pthread_mutex_unlock(&session->lock);
	return r;
}

static int session_listen(void *context, const char *path, int inotify, uint32_t mask)
{
	struct session *session = context;
	struct tw_view_place place;
	int r = tw_view_find(session->view, path, &place);

	if (r)
		return r;
	r = place.root ? tw_agent_listen(place.root, place.rest, inotify, mask) : 0;
	return only_here(session, &place, r) ? 0 : r;
}

static void session_hold(void *context)
{
	struct session *session = context;

	atomic_fetch_add(&session->references, 1);
}

static void session_drop(void *context)
{
	struct session *session = context;

	if (atomic_fetch_sub(&session->references, 1) != 1)
		return;
	tw_recent_deinit(&session->recent);
	pthread_mutex_destroy(&session->lock);
	tw_view_drop(session->view);
	free(session);
}

static const struct tw_fs_ops session_ops = {
	.open = session_open,
	.open_several = session_open_several,
	.close = tw_fd_close,
	.read = tw_fd_read,
	.write = tw_fd_write,
	.resize = tw_fd_resize,
	.stat_file = tw_fd_stat_file,
	.sync = tw_fd_sync,
	.set_meta = session_set_meta,
	.next_data = tw_fd_next_data,
	.in_memory = tw_fd_in_memory,
	.stat = session_stat,
	.mkdir = session_mkdir,
	.rename = session_rename,
	.unlink = session_unlink,
	.set_directory_meta = session_set_directory_meta,
	.sync_directory = session_sync_directory,
	.sync_all = session_sync_all,
	.list = session_list,
	.boot_id = session_boot_id,
	.listen = session_listen,
	.hold = session_hold,
	.drop = session_drop,
};

int tw_view_fs(struct tw_view *view, struct tw_fs *ret)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return -ENOMEM;
	session->references = 1;
	session->view = tw_view_hold(view);
	pthread_mutex_init(&session->lock, NULL);
	*ret = (struct tw_fs){ &session_ops, session };
	return 0;
}
