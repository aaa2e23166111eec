/*
 * agent_fs.h - the engine's side of a file agent: a folder that an account may reach, and the calls
 * of fs.h and files.h in it.
 *
 * The folder is opened by the agent, with the account's rights: a target that is trusted, and a
 * path below it that is not and cannot lead out of it. Opened files are descriptors of the engine's
 * own: reading and writing them asks nobody. Everything else is a question to the agent over a
 * socket; each call has one for itself, a few are kept for the next ones. Any number of threads may
 * call; a call takes as long as the storage does.
 *
 * An agent that has gone is noticed by the next call. One that had nothing in its hands yet goes on
 * with a new agent; otherwise the call fails (-EIO) and the next one gets the new agent.
 */
#pragma once

#include "auth/agent_message.h"
#include "content/files.h"
#include "content/fs.h"

struct tw_agent_root;

struct tw_agent_root_options {
	/* A new socket to an agent of the account. -errno. Called from any thread. */
	int (*connect)(void *context, int *ret_socket);
	void *context;
	const char *target; /* copied; absolute */
	const char *inside; /* copied; "" or a path below it */
};

/* Asks nobody yet. -ENOMEM. */
int tw_agent_root_new(const struct tw_agent_root_options *options, struct tw_agent_root **ret);
/* No call is under way. */
void tw_agent_root_free(struct tw_agent_root *root);
/* Sockets that rest are closed, so that an agent without work may end. */
void tw_agent_root_rest(struct tw_agent_root *root);

/* As those of struct tw_fs_ops. */
int tw_agent_open(struct tw_agent_root *root, const char *path, unsigned flags, int *ret_fd);
/*
 * For reading: the files @names, with '/' between, of the folder @folder, in one round trip.
 * @ret_fds has room for TW_AGENT_SEVERAL_MAX, the most there may be: -1 where one could not be
 * opened.
 */
int tw_agent_open_several(struct tw_agent_root *root, const char *folder, const char *names,
			  int *ret_fds);
int tw_agent_stat(struct tw_agent_root *root, const char *path, bool follow,
		  struct tw_file_stat *ret);
int tw_agent_mkdir(struct tw_agent_root *root, const char *path, uint32_t mode);
int tw_agent_rename(struct tw_agent_root *root, const char *from, const char *to, bool replace);
int tw_agent_unlink(struct tw_agent_root *root, const char *path);
int tw_agent_set_meta(struct tw_agent_root *root, int fd, uint32_t mode, int64_t mtime_ns);
int tw_agent_set_directory_meta(struct tw_agent_root *root, const char *path, uint32_t mode,
				int64_t mtime_ns);
int tw_agent_sync_directory(struct tw_agent_root *root, const char *path);
int tw_agent_sync_all(struct tw_agent_root *root);
int tw_agent_boot_id(struct tw_agent_root *root, uint8_t ret[16]);
/* In the order of the names, with what each is; one round trip altogether. */
int tw_agent_list(struct tw_agent_root *root, const char *path,
		  int (*each)(void *context, const struct tw_agent_entry *entry), void *context);
/* Adds the folder to the queue @inotify with @mask. */
int tw_agent_listen(struct tw_agent_root *root, const char *path, int inotify, uint32_t mask);

/*
 * As tw_files_run(); the request's roots do not count: @path is below @root, @to below @to_root
 * (NULL: @root), which is one of the same account. One @path at a time.
 */
struct tw_agent_files {
	struct tw_agent_root *root, *to_root;
	const struct tw_files_request *request;
	bool (*cancelled)(void *context);
	void *context;
};
void tw_agent_files_run(const struct tw_agent_files *files, struct tw_files_result *ret);
