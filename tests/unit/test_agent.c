/* test_agent.c - calls through a file agent: all of fs.h, all of files.h, and agents that go. */
#include "agentworld.h"

#include <poll.h>
#include <pthread.h>
#include <sys/inotify.h>

#include "auth/agent_fs.h"
#include "auth/agent_message.h"
#include "auth/passing.h"
#include "content/fs_fd.h"

static struct tw_file *open_file(const struct agent_world *world, const char *path, unsigned flags)
{
	struct tw_file *file = NULL;

	assert_int_equal(world->fs.ops->open(world->fs.context, path, flags, &file), 0);
	assert_non_null(file);
	return file;
}

static void test_files(void **state)
{
	struct agent_world *world = *state;
	const struct tw_fs_ops *ops = world->fs.ops;
	void *fs = world->fs.context;
	const struct iovec pieces[] = { { "hello ", 6 }, { "world", 5 } };
	struct tw_file *file;
	struct tw_file_stat stat;
	uint64_t start, end;
	char text[32] = "";

	file = open_file(world, "new",
			 TW_OPEN_READ | TW_OPEN_WRITE | TW_OPEN_CREATE | TW_OPEN_EXCLUSIVE);
	assert_int_equal(ops->write(file, pieces, 2, 0), 0);
	assert_int_equal(ops->read(file, text, sizeof(text), 6), 5);
	assert_string_equal(text, "world");
	assert_int_equal(ops->resize(file, 5), 0);
	assert_int_equal(ops->sync(file), 0);
	assert_int_equal(ops->set_meta(file, 0640, 1234567890123456789), 0);
	assert_int_equal(ops->stat_file(file, &stat), 0);
	assert_int_equal(stat.mode, 0640);
	assert_int_equal(stat.mtime_ns, 1234567890123456789);
	assert_int_equal(stat.size, 5);
	assert_int_equal(ops->next_data(file, 0, &start, &end), 0);
	assert_int_equal(end, 5);
	ops->close(file);

	assert_int_equal(ops->open(fs, "new", TW_OPEN_WRITE | TW_OPEN_CREATE | TW_OPEN_EXCLUSIVE,
				   &file),
			 -EEXIST);
	assert_int_equal(ops->open(fs, "none", TW_OPEN_READ, &file), -ENOENT);
	assert_int_equal(ops->open(fs, ".", TW_OPEN_READ, &file), -EISDIR);
	/* What was not made now is looked at, whatever else is asked for. */
	assert_int_equal(ops->open(fs, ".", TW_OPEN_READ | TW_OPEN_EXCLUSIVE, &file), -EISDIR);
	assert_int_equal(mkfifo(agent_at(world, "in/pipe"), 0600), 0);
	assert_int_equal(ops->open(fs, "pipe", TW_OPEN_READ | TW_OPEN_EXCLUSIVE, &file), -EINVAL);
	file = open_file(world, "/new", TW_OPEN_WRITE | TW_OPEN_TRUNCATE);
	assert_int_equal(ops->stat_file(file, &stat), 0);
	assert_int_equal(stat.size, 0);
	ops->close(file);
}

static void test_names(void **state)
{
	struct agent_world *world = *state;
	const struct tw_fs_ops *ops = world->fs.ops;
	void *fs = world->fs.context;
	struct tw_file_stat stat;
	uint8_t boot[16], own[16];

	agent_put(world, "in/file", "12345");
	assert_int_equal(symlink("file", agent_at(world, "in/link")), 0);
	assert_int_equal(ops->mkdir(fs, "folder", 0750), 0);
	assert_int_equal(ops->mkdir(fs, "folder", 0750), -EEXIST);
	assert_int_equal(ops->mkdir(fs, "", 0750), -EBUSY);
	assert_int_equal(ops->stat(fs, "folder", false, &stat), 0);
	assert_int_equal(stat.kind, TW_KIND_DIRECTORY);
	assert_int_equal(ops->stat(fs, "", false, &stat), 0);
	assert_int_equal(stat.kind, TW_KIND_DIRECTORY);
	assert_int_equal(ops->stat(fs, "link", false, &stat), 0);
	assert_int_equal(stat.kind, TW_KIND_SYMLINK);
	assert_int_equal(ops->stat(fs, "link", true, &stat), 0);
	assert_int_equal(stat.kind, TW_KIND_FILE);
	assert_int_equal(stat.size, 5);
	assert_int_equal(ops->rename(fs, "file", "folder/moved", false), 0);
	agent_put(world, "in/file", "x");
	assert_int_equal(ops->rename(fs, "file", "folder/moved", false), -EEXIST);
	assert_int_equal(ops->rename(fs, "file", "folder/moved", true), 0);
	assert_int_equal(ops->unlink(fs, "folder"), -ENOTEMPTY);
	assert_int_equal(ops->set_directory_meta(fs, "folder", 0700, 5000000000), 0);
	assert_int_equal(ops->stat(fs, "folder", false, &stat), 0);
	assert_int_equal(stat.mode, 0700);
	assert_int_equal(stat.mtime_ns, 5000000000);
	assert_int_equal(ops->sync_directory(fs, "folder"), 0);
	assert_int_equal(ops->sync_all(fs), 0);
	assert_int_equal(ops->unlink(fs, "folder/moved"), 0);
	assert_int_equal(ops->unlink(fs, "folder"), 0);
	assert_int_equal(ops->unlink(fs, "folder"), -ENOENT);
	ops->boot_id(fs, boot);
	tw_fd_boot_id(own);
	assert_memory_equal(boot, own, sizeof(own));
}

/* Files at one go: those of one folder, and each as if it had been opened alone. */
static void test_several(void **state)
{
	static const char *const paths[] = { "f/a", "f/none", "/f/./b", "f/away", "f/in", "g/x" };
	struct agent_world *world = *state;
	const struct tw_fs_ops *ops = world->fs.ops;
	struct tw_file *files[6] = { 0 };
	char text[8] = "";

	agent_make(world, "in/f");
	agent_make(world, "in/g");
	agent_put(world, "in/f/a", "first");
	agent_put(world, "in/f/b", "second");
	agent_put(world, "in/g/x", "third");
	assert_int_equal(symlink("../../out/secret", agent_at(world, "in/f/away")), 0);
	assert_int_equal(symlink("../g/x", agent_at(world, "in/f/in")), 0);
	assert_int_equal(ops->open_several(world->fs.context, paths, 6, files), 5);
	assert_null(files[1]);
	assert_null(files[3]);
	assert_int_equal(ops->read(files[0], text, sizeof(text), 0), 5);
	assert_memory_equal(text, "first", 5);
	assert_int_equal(ops->read(files[2], text, sizeof(text), 0), 6);
	assert_memory_equal(text, "second", 6);
	assert_int_equal(ops->read(files[4], text, sizeof(text), 0), 5);
	assert_memory_equal(text, "third", 5);
	for (unsigned i = 0; i < 5; i++)
		if (files[i])
			ops->close(files[i]);
	/* One alone is not worth it. */
	assert_int_equal(ops->open_several(world->fs.context, paths, 1, files), 1);
	assert_null(files[0]);
	assert_int_equal(ops->open_several(world->fs.context, &paths[5], 1, files), 1);
}

struct names {
	const struct agent_world *world;
	char last[256];
	size_t count, stats;
};

static int take_name(void *context, const char *name)
{
	struct names *names = context;

	assert_true(strcmp(names->last, name) < 0);
	snprintf(names->last, sizeof(names->last), "%s", name);
	names->count++;
	return 0;
}

/* More than fit into one message; the stats that came along are those of the files. */
static void test_many_names(void **state)
{
	struct agent_world *world = *state;
	const struct tw_fs_ops *ops = world->fs.ops;
	struct names names = { .world = world };
	struct tw_file_stat stat;
	char name[256];

	agent_make(world, "in/many");
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "in/many/%04u", i);
		agent_put(world, name, i % 7 ? "x" : "xyz");
	}
	assert_int_equal(ops->list(world->fs.context, "many", take_name, &names), 0);
	assert_int_equal(names.count, 3000);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(name, sizeof(name), "many/%04u", i);
		assert_int_equal(ops->stat(world->fs.context, name, false, &stat), 0);
		assert_int_equal(stat.kind, TW_KIND_FILE);
		assert_int_equal(stat.size, i % 7 ? 1 : 3);
	}
	/* Told once: the next one is asked of the storage. */
	agent_put(world, "in/many/0001", "longer");
	assert_int_equal(ops->stat(world->fs.context, "many/0001", false, &stat), 0);
	assert_int_equal(stat.size, 6);
	assert_int_equal(ops->list(world->fs.context, "none", take_name, &names), -ENOENT);
	assert_int_equal(ops->list(world->fs.context, "many/0001", take_name, &names), -ENOTDIR);
}

static int stop_soon(void *context, const char *name)
{
	size_t *left = context;

	(void)name;
	return --*left ? 0 : 77;
}

static void test_stopped_listing(void **state)
{
	struct agent_world *world = *state;
	const struct tw_fs_ops *ops = world->fs.ops;
	struct tw_file_stat stat;
	size_t left = 2;

	agent_put(world, "in/a", "");
	agent_put(world, "in/b", "");
	agent_put(world, "in/c", "");
	assert_int_equal(ops->list(world->fs.context, "", stop_soon, &left), 77);
	assert_int_equal(ops->stat(world->fs.context, "a", false, &stat), 0);
}

static void test_listen(void **state)
{
	struct agent_world *world = *state;
	int queue = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	struct pollfd poller = { .fd = queue, .events = POLLIN };

	assert_true(queue >= 0);
	agent_make(world, "in/heard");
	assert_int_equal(world->fs.ops->listen(world->fs.context, "heard", queue, IN_CREATE), 0);
	assert_int_equal(poll(&poller, 1, 0), 0);
	agent_put(world, "in/heard/file", "x");
	assert_int_equal(poll(&poller, 1, 10000), 1);
	assert_int_equal(world->fs.ops->listen(world->fs.context, "none", queue, IN_CREATE),
			 -ENOENT);
	close(queue);
}

/* Operations. */

static int run(const struct agent_world *world, const struct tw_files_request *request,
	       struct tw_files_result *result)
{
	tw_view_files_run(world->view, request, NULL, NULL, result);
	return result->error;
}

static int on_path(const struct agent_world *world, enum tw_files_operation operation,
		   const char *path)
{
	const struct tw_files_request request = { .operation = operation,
						  .path = path,
						  .recursive = true };
	struct tw_files_result result;
	int r = run(world, &request, &result);

	tw_files_result_deinit(&result);
	return r;
}

static void test_operations(void **state)
{
	struct agent_world *world = *state;
	const char *paths[] = { "/deep", "/none", "/deep/er/file" };
	struct tw_files_request request = { .operation = TW_FILES_LS, .path = "/" };
	struct tw_files_result result;

	assert_int_equal(on_path(world, TW_FILES_MKDIR, "/deep/er"), 0);
	assert_int_equal(on_path(world, TW_FILES_MK_FILE, "/deep/er/file"), 0);
	assert_int_equal(on_path(world, TW_FILES_MK_FILE, "/deep/er/file"), -EEXIST);
	agent_put(world, "in/deep/er/file", "123");
	assert_int_equal(chmod(agent_at(world, "in/deep/er/file"), 0755), 0);
	assert_int_equal(symlink("../out", agent_at(world, "in/deep/away")), 0);
	assert_int_equal(symlink("er", agent_at(world, "in/deep/here")), 0);

	request.path = "/deep";
	assert_int_equal(run(world, &request, &result), 0);
	assert_int_equal(result.listing_count, 1);
	assert_true(result.listings[0].is_directory);
	assert_int_equal(result.listings[0].entry_count, 3);
	assert_string_equal(result.listings[0].entries[0].name, "away");
	assert_true(result.listings[0].entries[0].is_symlink);
	assert_false(result.listings[0].entries[0].is_directory);
	assert_true(result.listings[0].entries[1].is_directory);
	assert_true(result.listings[0].entries[2].is_directory);
	assert_true(result.listings[0].entries[2].is_symlink);
	tw_files_result_deinit(&result);

	request.path = NULL;
	request.paths = paths;
	request.path_count = 3;
	assert_int_equal(run(world, &request, &result), 0);
	assert_int_equal(result.listing_count, 3);
	assert_int_equal(result.listings[0].error, 0);
	assert_int_equal(result.listings[1].error, -ENOENT);
	assert_string_equal(result.listings[1].path, "/none");
	assert_int_equal(result.listings[2].error, 0);
	assert_int_equal(result.listings[2].size, 3);
	tw_files_result_deinit(&result);

	request = (struct tw_files_request){ .operation = TW_FILES_DU, .path = "deep" };
	assert_int_equal(run(world, &request, &result), 0);
	assert_int_equal(result.bytes, 3);
	assert_int_equal(result.files, 1);
	tw_files_result_deinit(&result);

	request = (struct tw_files_request){ .operation = TW_FILES_MV,
					     .path = "/deep/er",
					     .to = "/moved" };
	assert_int_equal(run(world, &request, &result), 0);
	tw_files_result_deinit(&result);
	assert_true(agent_exists(world, "in/moved/file"));
	assert_int_equal(run(world, &request, &result), -ENOENT);
	assert_string_equal(result.path, "deep/er");
	tw_files_result_deinit(&result);

	request = (struct tw_files_request){ .operation = TW_FILES_RM, .path = "/moved" };
	assert_int_equal(run(world, &request, &result), -ENOTEMPTY);
	tw_files_result_deinit(&result);
	request.recursive = true;
	assert_int_equal(run(world, &request, &result), 0);
	assert_int_equal(result.files, 2);
	tw_files_result_deinit(&result);
	assert_int_equal(on_path(world, TW_FILES_RM, "/"), -EBUSY);
}

static bool always(void *context)
{
	(void)context;
	return true;
}

static void test_cancelled(void **state)
{
	struct agent_world *world = *state;
	const struct tw_files_request request = { .operation = TW_FILES_DU, .path = "" };
	struct tw_files_result result;
	char name[64];

	for (unsigned i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "in/%u", i);
		agent_put(world, name, "");
	}
	tw_view_files_run(world->view, &request, always, NULL, &result);
	/* It may be over before anybody asks. */
	assert_true(result.error == -ECANCELED || (!result.error && result.files == 2000));
	tw_files_result_deinit(&result);
	assert_int_equal(on_path(world, TW_FILES_MKDIR, "after"), 0);
}

/* Agents that go. */

static int ends[8];
static unsigned end_count;

static void *serve(void *context)
{
	tw_agent_serve((int)(intptr_t)context);
	return NULL;
}

/* Keeps a copy of the agent's end, by which the connection is cut. */
static int connect_and_keep(void *context, int *ret_socket)
{
	pthread_t thread;
	int pair[2];

	(void)context;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	ends[end_count++] = dup(pair[1]);
	assert_int_equal(pthread_create(&thread, NULL, serve, (void *)(intptr_t)pair[1]), 0);
	pthread_detach(thread);
	*ret_socket = pair[0];
	return 0;
}

static void test_agent_gone(void **state)
{
	struct agent_world *world = *state;
	const struct tw_agent_root_options options = {
		.connect = connect_and_keep,
		.target = agent_at(world, "in"),
		.inside = "",
	};
	struct tw_agent_root *root;

	end_count = 0;
	assert_int_equal(tw_agent_root_new(&options, &root), 0);
	assert_int_equal(tw_agent_mkdir(root, "one", 0755), 0);
	assert_int_equal(tw_agent_mkdir(root, "two", 0755), 0);
	assert_int_equal(end_count, 1);
	/* It goes while nothing is asked: nobody notices. */
	assert_int_equal(shutdown(ends[0], SHUT_RDWR), 0);
	assert_int_equal(tw_agent_mkdir(root, "three", 0755), 0);
	assert_int_equal(end_count, 2);
	assert_true(agent_exists(world, "in/three"));
	tw_agent_root_rest(root);
	assert_int_equal(tw_agent_unlink(root, "three"), 0);
	assert_int_equal(end_count, 3);
	tw_agent_root_free(root);
	for (unsigned i = 0; i < end_count; i++)
		close(ends[i]);
}

/* Says what is set here instead of an answer, or nothing. */
static uint8_t lie[64];
static size_t lie_length;
static unsigned lies_from; /* the first answers are true */
static pthread_t liars[8];
static unsigned liar_count;

static void *serve_lies(void *context)
{
	uint8_t bytes[TW_AGENT_MESSAGE_MAX];
	int socket = (int)(intptr_t)context;
	struct tw_agent_answer truth = { .stat.kind = TW_KIND_FILE };
	struct tw_passed passed;
	unsigned count = 0;

	while (!tw_passing_receive(socket, bytes, sizeof(bytes), 0, &passed)) {
		tw_passed_close(&passed);
		if (count++ < lies_from) {
			size_t length = tw_agent_answer_encode(&truth, bytes, sizeof(bytes));

			tw_passing_send(socket, bytes, length, -1);
		} else if (!lie_length) {
			break;
		} else {
			tw_passing_send(socket, lie, lie_length, -1);
		}
	}
	close(socket);
	return NULL;
}

static int connect_to_liar(void *context, int *ret_socket)
{
	int pair[2];

	(void)context;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(pthread_create(&liars[liar_count++], NULL, serve_lies,
					(void *)(intptr_t)pair[1]),
			 0);
	*ret_socket = pair[0];
	return 0;
}

static void end_lies(struct tw_agent_root *root)
{
	tw_agent_root_free(root);
	while (liar_count)
		pthread_join(liars[--liar_count], NULL);
}

static void test_liar(void **state)
{
	const struct tw_agent_root_options options = { .connect = connect_to_liar,
						       .target = "/",
						       .inside = "" };
	struct tw_agent_root *root;
	struct tw_file_stat stat;
	int fd;

	(void)state;
	for (lies_from = 0; lies_from < 2; lies_from++)
		for (lie_length = 0; lie_length < sizeof(lie); lie_length += 21) {
			memset(lie, (int)lie_length & 2, sizeof(lie));
			assert_int_equal(tw_agent_root_new(&options, &root), 0);
			assert_int_equal(tw_agent_stat(root, "x", false, &stat), -EIO);
			end_lies(root);
		}
	/* "Opened", and no descriptor. */
	lies_from = 2;
	assert_int_equal(tw_agent_root_new(&options, &root), 0);
	assert_int_equal(tw_agent_open(root, "x", TW_OPEN_READ, &fd), -EIO);
	end_lies(root);
}

/* What a client that makes no sense gets: an end. */
static void test_bad_client(void **state)
{
	struct agent_world *world = *state;
	struct tw_agent_question question = { .operation = TW_AGENT_STAT, .path = "" };
	uint8_t bytes[TW_AGENT_MESSAGE_MAX];
	struct tw_agent_answer answer;
	struct tw_passed passed;
	size_t length;
	int socket;

	assert_int_equal(world->accounts->ops->agent(world->accounts, "", &socket), 0);
	/* Nothing before there is a root. */
	length = tw_agent_question_encode(&question, bytes, sizeof(bytes));
	assert_int_equal(tw_passing_send(socket, bytes, length, -1), 0);
	assert_int_equal(tw_passing_receive(socket, bytes, sizeof(bytes), 0, &passed), 0);
	assert_int_equal(tw_agent_answer_decode(bytes, passed.length, &answer, NULL, NULL),
			 TW_E_END);
	assert_int_equal(answer.error, -EINVAL);
	/* A root that is not absolute. */
	question = (struct tw_agent_question){ .operation = TW_AGENT_ROOT, .to = "tmp" };
	length = tw_agent_question_encode(&question, bytes, sizeof(bytes));
	assert_int_equal(tw_passing_send(socket, bytes, length, -1), 0);
	assert_int_equal(tw_passing_receive(socket, bytes, sizeof(bytes), 0, &passed), 0);
	assert_int_equal(tw_agent_answer_decode(bytes, passed.length, &answer, NULL, NULL),
			 TW_E_END);
	assert_int_equal(answer.error, -EINVAL);
	bytes[0] = 0xff;
	assert_int_equal(tw_passing_send(socket, bytes, 7, -1), 0);
	assert_int_equal(tw_passing_receive(socket, bytes, sizeof(bytes), 0, &passed), -EPIPE);
	close(socket);
}

/* The codec: what is written is read, cut anywhere it is not. */
static void test_messages(void **state)
{
	const struct tw_agent_question question = {
		.operation = TW_AGENT_FILES,
		.files = TW_FILES_MV,
		.flags = TW_AGENT_REPLACE,
		.mode = 0644,
		.mtime_ns = -5,
		.path = "a/b",
		.to = "c",
		.other = "/srv",
		.other_inside = "x",
	};
	struct tw_agent_question read;
	char longest[TW_ROOT_PATH_ROOM + 1];
	uint8_t bytes[TW_AGENT_MESSAGE_MAX];
	size_t length = tw_agent_question_encode(&question, bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(tw_agent_question_decode(bytes, length, &read), 0);
	assert_int_equal(read.files, TW_FILES_MV);
	assert_int_equal(read.mtime_ns, -5);
	assert_string_equal(read.path, "a/b");
	assert_string_equal(read.to, "c");
	assert_string_equal(read.other, "/srv");
	assert_string_equal(read.other_inside, "x");
	for (size_t cut = 0; cut < length; cut++)
		assert_int_equal(tw_agent_question_decode(bytes, cut, &read), TW_E_FORMAT);
	assert_int_equal(tw_agent_question_decode(bytes, length + 1, &read), TW_E_FORMAT);
	memset(longest, 'x', sizeof(longest));
	longest[TW_ROOT_PATH_ROOM - 1] = '\0';
	read = (struct tw_agent_question){ .operation = TW_AGENT_STAT, .path = longest };
	length = tw_agent_question_encode(&read, bytes, sizeof(bytes));
	assert_true(length > 0);
	assert_int_equal(tw_agent_question_decode(bytes, length, &read), 0);
	longest[TW_ROOT_PATH_ROOM - 1] = 'x';
	longest[TW_ROOT_PATH_ROOM] = '\0';
	read.path = longest;
	assert_int_equal(tw_agent_question_encode(&read, bytes, sizeof(bytes)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		agent_test(test_files),           agent_test(test_names),
		agent_test(test_several),         agent_test(test_many_names),
		agent_test(test_stopped_listing), agent_test(test_listen),
		agent_test(test_operations),      agent_test(test_cancelled),
		agent_test(test_agent_gone),      agent_test(test_liar),
		agent_test(test_bad_client),      agent_test(test_messages),
	};

	return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
