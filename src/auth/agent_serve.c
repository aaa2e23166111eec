/* agent_serve.c - the file calls of one client of an agent. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/agent.h"
#include "auth/agent_message.h"
#include "auth/passing.h"
#include "base/error.h"
#include "content/fs_fd.h"
#include "content/root.h"

struct client {
	int socket;
	struct tw_root root;
	bool rooted;
	/* Of the question under way. */
	struct tw_agent_question question;
	int passed;                       /* the descriptor that came along; -1: none */
	int opened[TW_AGENT_SEVERAL_MAX]; /* what goes back */
	unsigned opened_count;
	bool broken; /* the client does not listen any more, or says what makes no sense */
	struct tw_agent_answer answer;
	struct tw_agent_batch batch;
	struct tw_files_result result;
	uint8_t in[TW_AGENT_MESSAGE_MAX], out[TW_AGENT_MESSAGE_MAX];
};

static void send_out(struct client *client, size_t length)
{
	const struct iovec bytes = { client->out, length };

	if (tw_passing_send_all(client->socket, 0, &bytes, client->opened, client->opened_count))
		client->broken = true;
}

/* Entries. */

static void begin_batch(struct client *client)
{
	tw_agent_batch_begin(&client->batch, client->out, sizeof(client->out));
}

static void send_batch(struct client *client)
{
	if (client->batch.count)
		send_out(client, tw_agent_batch_end(&client->batch));
	begin_batch(client);
}

static int add_entry(struct client *client, const char *name, bool symlink,
		     const struct tw_file_stat *stat)
{
	if (!tw_agent_batch_add(&client->batch, name, symlink, stat)) {
		send_batch(client);
		tw_agent_batch_add(&client->batch, name, symlink, stat);
	}
	return client->broken ? -EPIPE : 0;
}

/* The calls: 0, -errno or TW_E_UNSAFE each. */

static int open_root(const char *target, const char *inside, struct tw_root *ret)
{
	struct tw_root outer;
	int r;

	if (*target != '/')
		return -EINVAL;
	r = tw_root_open(target, &outer);
	if (r)
		return r;
	if (!*inside) {
		*ret = outer;
		return 0;
	}
	r = tw_root_narrow(&outer, inside, ret);
	tw_root_close(&outer);
	return r;
}

static int do_root(struct client *client)
{
	int r;

	if (client->rooted)
		return -EINVAL;
	r = open_root(client->question.to, client->question.path, &client->root);
	client->rooted = !r;
	tw_fd_boot_id(client->answer.boot_id);
	return r;
}

static int stat_fd(int fd, struct tw_file_stat *ret)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	tw_fd_stat(&st, ret);
	return 0;
}

static int do_open(struct client *client)
{
	unsigned flags = client->question.flags;
	int fd, r;

	r = tw_root_open_in(&client->root, client->question.path, tw_fd_open_flags(flags), 0600,
			    &fd);
	if (r)
		return r;
	r = tw_fd_check_opened(fd, flags);
	if (!r)
		r = stat_fd(fd, &client->answer.stat);
	if (r)
		close(fd);
	else
		client->opened[client->opened_count++] = fd;
	return r;
}

/* The file @name in the question's folder, by a path from the root: a link is resolved there. */
static int open_one(struct client *client, const char *name, size_t length, int *ret_fd)
{
	char path[TW_ROOT_PATH_ROOM];
	int r;

	if (snprintf(path, sizeof(path), "%s/%.*s", client->question.path, (int)length, name) >=
	    (int)sizeof(path))
		return -ENAMETOOLONG;
	r = tw_root_open_in(&client->root, path, tw_fd_open_flags(TW_OPEN_READ), 0, ret_fd);
	if (r)
		return r;
	r = tw_fd_check_opened(*ret_fd, TW_OPEN_READ);
	if (r)
		close(*ret_fd);
	return r;
}

static int do_open_several(struct client *client)
{
	const char *at = client->question.to;

	for (unsigned i = 0; i < TW_AGENT_SEVERAL_MAX && *at; i++) {
		size_t length = strcspn(at, "/");
		int fd;

		if (!open_one(client, at, length, &fd)) {
			client->opened[client->opened_count++] = fd;
			client->answer.files |= UINT64_C(1) << i;
		}
		at += length + (at[length] == '/');
	}
	return 0;
}

static int do_stat(struct client *client)
{
	bool follow = client->question.flags & TW_AGENT_FOLLOW;
	int fd, r;

	r = tw_root_open_in(&client->root, client->question.path,
			    O_PATH | (follow ? 0 : O_NOFOLLOW), 0, &fd);
	if (r)
		return r;
	r = stat_fd(fd, &client->answer.stat);
	close(fd);
	return r;
}

static int do_mkdir(struct client *client)
{
	struct tw_place place;
	int r = tw_root_find_place(&client->root, client->question.path, &place);

	if (r)
		return r;
	if (mkdirat(place.folder, place.name, client->question.mode & 0777))
		r = -errno;
	close(place.folder);
	return r;
}

static int do_rename(struct client *client)
{
	struct tw_place from, to;
	int r = tw_root_find_place(&client->root, client->question.path, &from);

	if (r)
		return r;
	r = tw_root_find_place(&client->root, client->question.to, &to);
	if (!r) {
		r = tw_fd_rename(from.folder, from.name, to.folder, to.name,
				 client->question.flags & TW_AGENT_REPLACE);
		close(to.folder);
	}
	close(from.folder);
	return r;
}

static int do_unlink(struct client *client)
{
	struct tw_place place;
	int r = tw_root_find_place(&client->root, client->question.path, &place);

	if (r)
		return r;
	if (unlinkat(place.folder, place.name, 0))
		r = -errno;
	if (r == -EISDIR)
		r = unlinkat(place.folder, place.name, AT_REMOVEDIR) ? -errno : 0;
	close(place.folder);
	return r;
}

static int do_set_meta(struct client *client)
{
	if (client->passed < 0)
		return -EBADF;
	return tw_fd_set_times(client->passed, client->question.mode, client->question.mtime_ns);
}

static int open_folder(struct client *client, int *ret_fd)
{
	return tw_root_open_in(&client->root, client->question.path, O_RDONLY | O_DIRECTORY, 0,
			       ret_fd);
}

static int do_set_directory_meta(struct client *client)
{
	int fd, r = open_folder(client, &fd);

	if (r)
		return r;
	r = tw_fd_set_times(fd, client->question.mode, client->question.mtime_ns);
	close(fd);
	return r;
}

static int do_sync_directory(struct client *client)
{
	int fd, r = open_folder(client, &fd);

	if (r)
		return r;
	if (fsync(fd))
		r = -errno;
	close(fd);
	return r;
}

static int do_sync_all(struct client *client)
{
	int fd, r = tw_root_open_in(&client->root, ".", O_RDONLY | O_DIRECTORY, 0, &fd);

	if (r)
		return r;
	if (syncfs(fd))
		r = -errno;
	close(fd);
	return r;
}

struct listing {
	struct client *client;
	int folder;
};

static int list_name(void *context, const char *name)
{
	const struct listing *listing = context;
	struct tw_file_stat stat = { 0 };
	struct stat st;

	if (!fstatat(listing->folder, name, &st, AT_SYMLINK_NOFOLLOW))
		tw_fd_stat(&st, &stat);
	return add_entry(listing->client, name, stat.kind == TW_KIND_SYMLINK, &stat);
}

static int do_list(struct client *client)
{
	struct listing listing = { .client = client };
	int fd, r = open_folder(client, &fd);

	if (r)
		return r;
	listing.folder = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (listing.folder < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	begin_batch(client);
	r = tw_fd_list(fd, list_name, &listing);
	close(listing.folder);
	send_batch(client);
	return r;
}

/* The queue is the engine's; that the folder may be read is asked of this account. */
static int do_listen(struct client *client)
{
	int fd, r;

	if (client->passed < 0)
		return -EBADF;
	r = open_folder(client, &fd);
	if (r)
		return r;
	r = tw_fd_listen(fd, client->passed, client->question.mode);
	close(fd);
	return r;
}

static bool hung_up(void *context)
{
	const struct client *client = context;
	struct pollfd poller = { .fd = client->socket, .events = POLLRDHUP };

	return poll(&poller, 1, 0) != 0;
}

static void send_listing(struct client *client, const struct tw_files_listing *listing)
{
	begin_batch(client);
	for (size_t i = 0; i < listing->entry_count; i++) {
		const struct tw_files_entry *entry = &listing->entries[i];
		const struct tw_file_stat stat = {
			.kind = entry->is_directory ? TW_KIND_DIRECTORY : TW_KIND_FILE,
			.mode = entry->executable ? 0111 : 0,
			.size = entry->size,
			.mtime_ns = entry->mtime_ns,
		};

		if (add_entry(client, entry->name, entry->is_symlink, &stat))
			return;
	}
	send_batch(client);
	client->answer.stat = (struct tw_file_stat){
		.kind = listing->is_directory ? TW_KIND_DIRECTORY : TW_KIND_FILE,
		.size = listing->size,
		.mtime_ns = listing->mtime_ns,
	};
}

static int do_files(struct client *client)
{
	const struct tw_agent_question *question = &client->question;
	struct tw_files_result *result = &client->result;
	struct tw_root other = { .fd = -1 };
	struct tw_files_request request = {
		.operation = question->files,
		.root = &client->root,
		.path = question->path,
		.to = question->to,
		.overwrite = question->flags & TW_AGENT_REPLACE,
		.recursive = question->flags & TW_AGENT_RECURSIVE,
	};
	int r = 0;

	if (*question->other) {
		r = open_root(question->other, question->other_inside, &other);
		request.to_root = &other;
	}
	if (r)
		return r;
	tw_files_run(&request, hung_up, client, result);
	tw_root_close(&other);
	if (!result->error && result->listing_count)
		send_listing(client, &result->listings[0]);
	client->answer.bytes = result->bytes;
	client->answer.files = result->files;
	client->answer.unreadable = result->unreadable;
	client->answer.path = result->path;
	return result->error;
}

static int (*const calls[TW_AGENT_OPERATIONS_END])(struct client *client) = {
	[TW_AGENT_ROOT] = do_root,
	[TW_AGENT_OPEN] = do_open,
	[TW_AGENT_OPEN_SEVERAL] = do_open_several,
	[TW_AGENT_STAT] = do_stat,
	[TW_AGENT_MKDIR] = do_mkdir,
	[TW_AGENT_RENAME] = do_rename,
	[TW_AGENT_UNLINK] = do_unlink,
	[TW_AGENT_SET_META] = do_set_meta,
	[TW_AGENT_SET_DIRECTORY_META] = do_set_directory_meta,
	[TW_AGENT_SYNC_DIRECTORY] = do_sync_directory,
	[TW_AGENT_SYNC_ALL] = do_sync_all,
	[TW_AGENT_LIST] = do_list,
	[TW_AGENT_LISTEN] = do_listen,
	[TW_AGENT_FILES] = do_files,
};

static void answer(struct client *client)
{
	enum tw_agent_operation operation = client->question.operation;

	client->opened_count = 0;
	client->answer = (struct tw_agent_answer){ 0 };
	client->answer.error =
		operation != TW_AGENT_ROOT && !client->rooted ? -EINVAL : calls[operation](client);
	send_out(client, tw_agent_answer_encode(&client->answer, client->out, sizeof(client->out)));
	while (client->opened_count)
		close(client->opened[--client->opened_count]);
	tw_files_result_deinit(&client->result);
}

/* False: it is over. */
static bool serve_one(struct client *client)
{
	struct tw_passed passed;

	if (tw_passing_receive(client->socket, client->in, sizeof(client->in), 0, &passed))
		return false;
	client->passed = passed.count ? passed.fds[0] : -1;
	if (tw_agent_question_decode(client->in, passed.length, &client->question))
		client->broken = true;
	else
		answer(client);
	tw_passed_close(&passed);
	return !client->broken;
}

void tw_agent_serve(int socket)
{
	struct client *client = calloc(1, sizeof(*client));

	if (client) {
		client->socket = socket;
		client->root.fd = -1;
		while (serve_one(client))
			continue;
		tw_root_close(&client->root);
	}
	free(client);
	close(socket);
}
