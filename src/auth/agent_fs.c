#include "auth/agent_fs.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/passing.h"
#include "base/error.h"

#define RESTING_MAX 4
/* How often a call that can be cancelled asks whether it was. */
#define LOOK_MS 20

struct tw_agent_root {
	int (*connect)(void *context, int *ret_socket);
	void *context;
	char *target, *inside;
	pthread_mutex_t lock; /* over what follows */
	int resting[RESTING_MAX];
	unsigned resting_count;
	bool known; /* boot_id is */
	uint8_t boot_id[16];
};

/* A question on its way. */
struct call {
	struct tw_agent_root *root;
	struct tw_agent_question question;
	int pass; /* goes along; -1: none */
	int (*each)(void *context, const struct tw_agent_entry *entry);
	void *context;
	bool (*cancelled)(void *context);
	void *cancelled_context;

	int socket;
	struct tw_agent_answer answer;
	char *ret_path; /* where the answer's path goes; NULL: nowhere */
	int opened[TW_AGENT_SEVERAL_MAX];
	unsigned opened_count;
};

int tw_agent_root_new(const struct tw_agent_root_options *options, struct tw_agent_root **ret)
{
	struct tw_agent_root *root = calloc(1, sizeof(*root));

	if (!root)
		return -ENOMEM;
	root->connect = options->connect;
	root->context = options->context;
	root->target = strdup(options->target);
	root->inside = strdup(options->inside);
	pthread_mutex_init(&root->lock, NULL);
	if (!root->target || !root->inside) {
		tw_agent_root_free(root);
		return -ENOMEM;
	}
	*ret = root;
	return 0;
}

void tw_agent_root_rest(struct tw_agent_root *root)
{
	pthread_mutex_lock(&root->lock);
	while (root->resting_count)
		close(root->resting[--root->resting_count]);
	pthread_mutex_unlock(&root->lock);
}

void tw_agent_root_free(struct tw_agent_root *root)
{
	if (!root)
		return;
	tw_agent_root_rest(root);
	pthread_mutex_destroy(&root->lock);
	free(root->target);
	free(root->inside);
	free(root);
}

static void give_back(struct tw_agent_root *root, int socket)
{
	pthread_mutex_lock(&root->lock);
	if (root->resting_count < RESTING_MAX) {
		root->resting[root->resting_count++] = socket;
		socket = -1;
	}
	pthread_mutex_unlock(&root->lock);
	if (socket >= 0)
		close(socket);
}

static int take_resting(struct tw_agent_root *root)
{
	int socket = -1;

	pthread_mutex_lock(&root->lock);
	if (root->resting_count)
		socket = root->resting[--root->resting_count];
	pthread_mutex_unlock(&root->lock);
	return socket;
}

/* One conversation. */

/* A call that may be cancelled waits in small steps. */
static int wait_for(const struct call *call)
{
	struct pollfd poller = { .fd = call->socket, .events = POLLIN };

	if (!call->cancelled)
		return 0;
	for (;;) {
		int n = poll(&poller, 1, LOOK_MS);

		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (call->cancelled(call->cancelled_context))
			return -ECANCELED;
	}
}

/* Only opened files are answered with descriptors, and those with as many. */
static int take_descriptors(struct call *call, struct tw_passed *passed)
{
	enum tw_agent_operation operation = call->question.operation;
	unsigned wanted = 0;

	if (operation == TW_AGENT_OPEN)
		wanted = !call->answer.error;
	else if (operation == TW_AGENT_OPEN_SEVERAL && !call->answer.error)
		wanted = (unsigned)__builtin_popcountll(call->answer.files);
	if (passed->count != wanted ||
	    (operation == TW_AGENT_OPEN_SEVERAL && call->answer.files >> TW_AGENT_SEVERAL_MAX))
		return TW_E_FORMAT;
	memcpy(call->opened, passed->fds, wanted * sizeof(*call->opened));
	call->opened_count = wanted;
	passed->count = 0;
	return 0;
}

/* 0: answered, whatever the answer. Else the socket is of no use any more. */
static int hear(struct call *call, uint8_t *bytes)
{
	struct tw_passed passed;
	int r;

	do {
		r = wait_for(call);
		if (!r)
			r = tw_passing_receive(call->socket, bytes, TW_AGENT_MESSAGE_MAX, 0,
					       &passed);
		if (r)
			return r;
		r = tw_agent_answer_decode(bytes, passed.length, &call->answer, call->each,
					   call->context);
		if (r == TW_E_END)
			r = take_descriptors(call, &passed) ? TW_E_FORMAT : TW_E_END;
		tw_passed_close(&passed);
	} while (!r);
	if (r != TW_E_END)
		return r;
	/* The bytes go with this function's caller. */
	if (call->ret_path)
		snprintf(call->ret_path, TW_ROOT_PATH_ROOM, "%s", call->answer.path);
	call->answer.path = NULL;
	return 0;
}

static int no_entry(void *context, const struct tw_agent_entry *entry)
{
	(void)context;
	(void)entry;
	return TW_E_FORMAT;
}

/*
 * -ENOTCONN: nobody was there to hear the question. -EIO: the agent went, or speaks something else.
 * Others are those of @each and -ECANCELED.
 */
static int converse(struct call *call, uint8_t *bytes)
{
	size_t length = tw_agent_question_encode(&call->question, bytes, TW_AGENT_MESSAGE_MAX);
	int r;

	if (!length)
		return -ENAMETOOLONG;
	if (!call->each)
		call->each = no_entry;
	if (tw_passing_send(call->socket, bytes, length, call->pass))
		return -ENOTCONN;
	r = hear(call, bytes);
	return r == -EPIPE || r == TW_E_FORMAT ? -EIO : r;
}

static int introduce(struct tw_agent_root *root, int socket, uint8_t *bytes)
{
	struct call call = {
		.question = { .operation = TW_AGENT_ROOT,
			      .path = root->inside,
			      .to = root->target },
		.pass = -1,
		.socket = socket,
	};
	int r = converse(&call, bytes);

	if (r)
		return r == -EIO ? -ENOTCONN : r;
	if (call.answer.error)
		return call.answer.error;
	pthread_mutex_lock(&root->lock);
	memcpy(root->boot_id, call.answer.boot_id, sizeof(root->boot_id));
	root->known = true;
	pthread_mutex_unlock(&root->lock);
	return 0;
}

/* A new socket with its root. An agent that just ends has not seen it: another one is asked. */
static int begin(struct tw_agent_root *root, uint8_t *bytes, int *ret_socket)
{
	int r = -ENOTCONN;

	for (unsigned tries = 0; r == -ENOTCONN && tries < 3; tries++) {
		int socket = -1;

		r = root->connect(root->context, &socket);
		if (r)
			return r;
		r = introduce(root, socket, bytes);
		if (r)
			close(socket);
		else
			*ret_socket = socket;
	}
	return r == -ENOTCONN ? -EIO : r;
}

static int ask_with(struct call *call, uint8_t *bytes)
{
	struct tw_agent_root *root = call->root;
	int r = -ENOTCONN;

	while (r == -ENOTCONN && (call->socket = take_resting(root)) >= 0) {
		r = converse(call, bytes);
		if (r)
			close(call->socket);
	}
	if (r == -ENOTCONN) {
		r = begin(root, bytes, &call->socket);
		if (r)
			return r;
		r = converse(call, bytes);
		if (r)
			close(call->socket);
	}
	if (r)
		return r == -ENOTCONN ? -EIO : r;
	give_back(root, call->socket);
	return call->answer.error;
}

static int ask(struct call *call)
{
	uint8_t *bytes = malloc(TW_AGENT_MESSAGE_MAX);
	int r;

	if (!bytes)
		return -ENOMEM;
	r = ask_with(call, bytes);
	free(bytes);
	return r;
}

/* The calls. */

static int ask_simply(struct tw_agent_root *root, const struct tw_agent_question *question)
{
	struct call call = { .root = root, .question = *question, .pass = -1 };

	return ask(&call);
}

int tw_agent_open(struct tw_agent_root *root, const char *path, unsigned flags, int *ret_fd)
{
	struct call call = {
		.root = root,
		.question = { .operation = TW_AGENT_OPEN, .path = path, .flags = flags },
		.pass = -1,
	};
	int r = ask(&call);

	if (!r)
		*ret_fd = call.opened[0];
	return r;
}

int tw_agent_open_several(struct tw_agent_root *root, const char *folder, const char *names,
			  int *ret_fds)
{
	struct call call = {
		.root = root,
		.question = { .operation = TW_AGENT_OPEN_SEVERAL, .path = folder, .to = names },
		.pass = -1,
	};
	unsigned at = 0;
	int r = ask(&call);

	if (r)
		return r;
	for (unsigned i = 0; i < TW_AGENT_SEVERAL_MAX; i++)
		ret_fds[i] = call.answer.files >> i & 1 ? call.opened[at++] : -1;
	return 0;
}

int tw_agent_stat(struct tw_agent_root *root, const char *path, bool follow,
		  struct tw_file_stat *ret)
{
	struct call call = {
		.root = root,
		.question = { .operation = TW_AGENT_STAT,
			      .path = path,
			      .flags = follow ? TW_AGENT_FOLLOW : 0 },
		.pass = -1,
	};
	int r = ask(&call);

	if (!r && !call.answer.stat.kind)
		r = -EIO;
	if (!r)
		*ret = call.answer.stat;
	return r;
}

int tw_agent_mkdir(struct tw_agent_root *root, const char *path, uint32_t mode)
{
	return ask_simply(root, &(struct tw_agent_question){
					.operation = TW_AGENT_MKDIR, .path = path, .mode = mode });
}

int tw_agent_rename(struct tw_agent_root *root, const char *from, const char *to, bool replace)
{
	return ask_simply(root,
			  &(struct tw_agent_question){ .operation = TW_AGENT_RENAME,
						       .path = from,
						       .to = to,
						       .flags = replace ? TW_AGENT_REPLACE : 0 });
}

int tw_agent_unlink(struct tw_agent_root *root, const char *path)
{
	return ask_simply(root, &(struct tw_agent_question){ .operation = TW_AGENT_UNLINK,
							     .path = path });
}

int tw_agent_set_meta(struct tw_agent_root *root, int fd, uint32_t mode, int64_t mtime_ns)
{
	struct call call = {
		.root = root,
		.question = { .operation = TW_AGENT_SET_META, .mode = mode, .mtime_ns = mtime_ns },
		.pass = fd,
	};

	return ask(&call);
}

int tw_agent_set_directory_meta(struct tw_agent_root *root, const char *path, uint32_t mode,
				int64_t mtime_ns)
{
	return ask_simply(root,
			  &(struct tw_agent_question){ .operation = TW_AGENT_SET_DIRECTORY_META,
						       .path = path,
						       .mode = mode,
						       .mtime_ns = mtime_ns });
}

int tw_agent_sync_directory(struct tw_agent_root *root, const char *path)
{
	return ask_simply(root, &(struct tw_agent_question){ .operation = TW_AGENT_SYNC_DIRECTORY,
							     .path = path });
}

int tw_agent_sync_all(struct tw_agent_root *root)
{
	return ask_simply(root, &(struct tw_agent_question){ .operation = TW_AGENT_SYNC_ALL });
}

int tw_agent_boot_id(struct tw_agent_root *root, uint8_t ret[16])
{
	struct tw_file_stat stat;
	bool known;
	int r;

	pthread_mutex_lock(&root->lock);
	known = root->known;
	pthread_mutex_unlock(&root->lock);
	/* Whatever is asked first brings it. */
	r = known ? 0 : tw_agent_stat(root, "", false, &stat);
	if (r)
		return r;
	pthread_mutex_lock(&root->lock);
	memcpy(ret, root->boot_id, sizeof(root->boot_id));
	pthread_mutex_unlock(&root->lock);
	return 0;
}

int tw_agent_list(struct tw_agent_root *root, const char *path,
		  int (*each)(void *context, const struct tw_agent_entry *entry), void *context)
{
	struct call call = {
		.root = root,
		.question = { .operation = TW_AGENT_LIST, .path = path },
		.pass = -1,
		.each = each,
		.context = context,
	};

	return ask(&call);
}

int tw_agent_listen(struct tw_agent_root *root, const char *path, int inotify, uint32_t mask)
{
	struct call call = {
		.root = root,
		.question = { .operation = TW_AGENT_LISTEN, .path = path, .mode = mask },
		.pass = inotify,
	};

	return ask(&call);
}

/* files.h. */

struct taken {
	struct tw_files_listing *listing; /* NULL: none is wanted */
	size_t room;
};

static int take_entry(void *context, const struct tw_agent_entry *entry)
{
	struct taken *taken = context;
	struct tw_files_listing *listing = taken->listing;
	struct tw_files_entry *place;

	if (!listing || listing->entry_count == TW_FILES_ENTRIES_MAX)
		return TW_E_FULL;
	if (listing->entry_count == taken->room) {
		size_t room = taken->room ? taken->room * 2 : 64;

		place = realloc(listing->entries, room * sizeof(*place));
		if (!place)
			return -ENOMEM;
		listing->entries = place;
		taken->room = room;
	}
	place = &listing->entries[listing->entry_count];
	*place = (struct tw_files_entry){
		.name = strdup(entry->name),
		.is_directory = entry->stat.kind == TW_KIND_DIRECTORY,
		.executable = entry->stat.mode & 0111,
		.is_symlink = entry->symlink,
		.size = entry->stat.size,
		.mtime_ns = entry->stat.mtime_ns,
	};
	if (!place->name)
		return -ENOMEM;
	listing->entry_count++;
	return 0;
}

static int make_listing(const char *path, struct tw_files_result *ret)
{
	ret->listings = calloc(1, sizeof(*ret->listings));
	if (!ret->listings)
		return -ENOMEM;
	ret->listing_count = 1;
	ret->listings->path = strdup(path);
	return ret->listings->path ? 0 : -ENOMEM;
}

static void take_answer(const struct call *call, int r, struct tw_files_result *ret)
{
	struct tw_files_listing *listing = ret->listings;

	ret->error = r;
	ret->bytes = call->answer.bytes;
	ret->files = call->answer.files;
	ret->unreadable = call->answer.unreadable;
	if (r && !*ret->path)
		snprintf(ret->path, sizeof(ret->path), "%s", call->question.path);
	if (!listing)
		return;
	listing->error = r;
	listing->is_directory = call->answer.stat.kind == TW_KIND_DIRECTORY;
	listing->size = call->answer.stat.size;
	listing->mtime_ns = call->answer.stat.mtime_ns;
	if (r)
		tw_files_listing_empty(listing);
}

void tw_agent_files_run(const struct tw_agent_files *files, struct tw_files_result *ret)
{
	const struct tw_files_request *request = files->request;
	struct taken taken = { 0 };
	struct call call = {
		.root = files->root,
		.question = { .operation = TW_AGENT_FILES,
			      .files = request->operation,
			      .path = request->path,
			      .to = request->to,
			      .flags = (request->overwrite ? TW_AGENT_REPLACE : 0u) |
				       (request->recursive ? TW_AGENT_RECURSIVE : 0u) },
		.pass = -1,
		.each = take_entry,
		.context = &taken,
		.cancelled = files->cancelled,
		.cancelled_context = files->context,
		.ret_path = ret->path,
	};
	int r = 0;

	*ret = (struct tw_files_result){ 0 };
	if (files->to_root && files->to_root != files->root) {
		call.question.other = files->to_root->target;
		call.question.other_inside = files->to_root->inside;
	}
	if (request->operation == TW_FILES_LS)
		r = make_listing(request->path, ret);
	taken.listing = ret->listings;
	if (!r)
		r = ask(&call);
	take_answer(&call, r, ret);
}
