#include "unit.h"

#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/any_account.h"
#include "../support/temp_dir.h"
#include "base/error.h"
#include "engine/files.h"

/* A root ("in"), and what lies beside it and must stay as it is. */
struct world {
	char base[TEMP_PATH_MAX];
	struct tw_root root;
	struct tw_files_result result;
};

static const char *at(const struct world *world, const char *name)
{
	static char path[TEMP_PATH_MAX * 2];

	snprintf(path, sizeof(path), "%s/%s", world->base, name);
	return path;
}

static void put(const struct world *world, const char *name, const char *text)
{
	int fd = open(at(world, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void make(const struct world *world, const char *name)
{
	assert_int_equal(mkdir(at(world, name), 0755), 0);
}

static bool exists(const struct world *world, const char *name)
{
	struct stat st;

	return !lstat(at(world, name), &st);
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	temp_dir_make(world->base);
	make(world, "in");
	make(world, "out");
	put(world, "out/secret", "secret");
	assert_int_equal(tw_root_open(at(world, "in"), &world->root), 0);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	assert_true(exists(world, "out/secret"));
	tw_files_result_deinit(&world->result);
	tw_root_close(&world->root);
	temp_dir_remove(world->base);
	free(world);
	return 0;
}

static int run(struct world *world, const struct tw_files_request *request)
{
	struct tw_files_request copy = *request;

	tw_files_result_deinit(&world->result);
	copy.root = &world->root;
	tw_files_run(&copy, NULL, NULL, &world->result);
	assert_true(world->result.error || !*world->result.path);
	return world->result.error;
}

static int on_path(struct world *world, enum tw_files_operation operation, const char *path)
{
	const struct tw_files_request request = { .operation = operation, .path = path };

	return run(world, &request);
}

static int move(struct world *world, const char *from, const char *to, bool overwrite)
{
	const struct tw_files_request request = {
		.operation = TW_FILES_MV,
		.path = from,
		.to = to,
		.overwrite = overwrite,
	};

	return run(world, &request);
}

static int remove_all(struct world *world, const char *path)
{
	const struct tw_files_request request = {
		.operation = TW_FILES_RM,
		.path = path,
		.recursive = true,
	};

	return run(world, &request);
}

static void test_ls(void **state)
{
	static const char *const names[] = {
		"dangling", "empty", "folder", "link", "out", "run.sh"
	};
	struct world *world = *state;
	const struct tw_files_listing *listing;
	const struct tw_files_entry *entries;

	put(world, "in/run.sh", "#!/bin/sh\n");
	assert_int_equal(chmod(at(world, "in/run.sh"), 0755), 0);
	put(world, "in/empty", "");
	make(world, "in/folder");
	put(world, "in/folder/one", "1");
	assert_int_equal(symlink("folder", at(world, "in/link")), 0);
	assert_int_equal(symlink("nowhere", at(world, "in/dangling")), 0);
	assert_int_equal(symlink("../out/secret", at(world, "in/out")), 0);
	assert_int_equal(on_path(world, TW_FILES_LS, ""), 0);
	assert_int_equal(world->result.listing_count, 1);
	listing = &world->result.listings[0];
	entries = listing->entries;
	assert_true(listing->is_directory);
	assert_int_equal(listing->entry_count, ARRAY_SIZE(names));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_string_equal(entries[i].name, names[i]);
	assert_true(entries[2].is_directory && !entries[2].is_symlink && !entries[2].size);
	assert_true(entries[3].is_directory && entries[3].is_symlink);
	assert_true(entries[0].is_symlink && !entries[0].is_directory);
	/* What lies outside says nothing of itself: this is the link's own length. */
	assert_true(entries[4].is_symlink);
	assert_int_equal(entries[4].size, strlen("../out/secret"));
	assert_true(entries[5].executable);
	assert_int_equal(entries[5].size, 10);
	assert_false(entries[1].executable);
	assert_true(entries[1].mtime_ns > INT64_C(1500000000) * 1000000000);

	assert_int_equal(on_path(world, TW_FILES_LS, "/link/"), 0);
	assert_int_equal(world->result.listings[0].entry_count, 1);
	assert_int_equal(on_path(world, TW_FILES_LS, "run.sh"), 0);
	assert_false(world->result.listings[0].is_directory);
	assert_int_equal(world->result.listings[0].size, 10);
	assert_int_equal(on_path(world, TW_FILES_LS, "no/such"), -ENOENT);
	assert_string_equal(world->result.path, "no/such");
	assert_int_equal(world->result.listing_count, 1);
	assert_int_equal(world->result.listings[0].error, -ENOENT);
}

static void test_ls_list(void **state)
{
	static const char *const paths[] = { "a", "missing", "../out", "f" };
	struct world *world = *state;
	const struct tw_files_request request = {
		.operation = TW_FILES_LS,
		.paths = paths,
		.path_count = ARRAY_SIZE(paths),
	};

	make(world, "in/a");
	put(world, "in/f", "four");
	assert_int_equal(run(world, &request), 0);
	assert_int_equal(world->result.listing_count, 4);
	assert_int_equal(world->result.listings[0].error, 0);
	assert_int_equal(world->result.listings[1].error, -ENOENT);
	assert_int_equal(world->result.listings[2].error, TW_E_UNSAFE);
	assert_int_equal(world->result.listings[3].size, 4);
	assert_string_equal(world->result.listings[3].path, "f");
}

/* Beyond the limit it is an error, not half a list. */
static void test_ls_limit(void **state)
{
	static const char *paths[101];
	struct world *world = *state;
	const struct tw_files_request request = {
		.operation = TW_FILES_LS,
		.paths = paths,
		.path_count = ARRAY_SIZE(paths),
	};

	for (unsigned i = 0; i < 1000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "in/%03u", i);
		put(world, name, "");
	}
	for (unsigned i = 0; i < 101; i++)
		paths[i] = ".";
	assert_int_equal(run(world, &request), 0);
	assert_int_equal(world->result.listings[99].error, 0);
	assert_int_equal(world->result.listings[99].entry_count, 1000);
	assert_int_equal(world->result.listings[100].error, TW_E_FULL);
	assert_int_equal(world->result.listings[100].entry_count, 0);
}

static void test_du(void **state)
{
	struct world *world = *state;

	make(world, "in/a");
	make(world, "in/a/b");
	put(world, "in/a/one", "1234");
	put(world, "in/a/b/two", "123456");
	assert_int_equal(symlink("../../out", at(world, "in/a/out")), 0);
	assert_int_equal(symlink("..", at(world, "in/a/up")), 0);
	assert_int_equal(on_path(world, TW_FILES_DU, "a"), 0);
	assert_int_equal(world->result.bytes, 10);
	assert_int_equal(world->result.files, 2);
	assert_int_equal(world->result.unreadable, 0);
	assert_int_equal(on_path(world, TW_FILES_DU, "a/one"), 0);
	assert_int_equal(world->result.bytes, 4);
	assert_int_equal(world->result.files, 1);
	assert_int_equal(on_path(world, TW_FILES_DU, "a/out"), TW_E_UNSAFE);
	assert_int_equal(on_path(world, TW_FILES_DU, "x"), -ENOENT);
}

static void test_making(void **state)
{
	struct world *world = *state;

	assert_int_equal(on_path(world, TW_FILES_MKDIR, "/a/b//c/"), 0);
	assert_true(exists(world, "in/a/b/c"));
	assert_int_equal(on_path(world, TW_FILES_MKDIR, "a/b/c"), 0);
	assert_int_equal(on_path(world, TW_FILES_MKDIR, ""), 0);
	assert_int_equal(symlink("a/b", at(world, "in/inside")), 0);
	assert_int_equal(on_path(world, TW_FILES_MKDIR, "inside/../d"), 0);
	assert_true(exists(world, "in/a/d"));
	assert_int_equal(on_path(world, TW_FILES_MK_FILE, "a/file"), 0);
	assert_int_equal(on_path(world, TW_FILES_MK_FILE, "a/file"), -EEXIST);
	assert_string_equal(world->result.path, "a/file");
	assert_int_equal(on_path(world, TW_FILES_MK_FILE, "a/no/file"), -ENOENT);
	assert_int_equal(on_path(world, TW_FILES_MKDIR, "a/file/x"), -ENOTDIR);
	assert_int_equal(on_path(world, TW_FILES_MKDIR, "a/file"), -ENOTDIR);
	/* A link in its place is something that exists, wherever it leads. */
	assert_int_equal(symlink("../out/new", at(world, "in/trap")), 0);
	assert_int_equal(on_path(world, TW_FILES_MK_FILE, "trap"), -EEXIST);
	assert_false(exists(world, "out/new"));
}

static void test_moving(void **state)
{
	struct world *world = *state;

	put(world, "in/a", "a");
	put(world, "in/b", "b");
	make(world, "in/folder");
	make(world, "in/folder/full");
	assert_int_equal(move(world, "a", "b", false), -EEXIST);
	assert_string_equal(world->result.path, "b");
	assert_int_equal(move(world, "a", "folder/a", false), 0);
	assert_true(exists(world, "in/folder/a") && !exists(world, "in/a"));
	assert_int_equal(move(world, "folder/a", "b", true), 0);
	assert_false(exists(world, "in/folder/a"));
	assert_int_equal(move(world, "missing", "x", false), -ENOENT);
	assert_string_equal(world->result.path, "missing");
	assert_int_equal(move(world, "folder", "folder/full/x", false), -EINVAL);
	assert_int_equal(move(world, "b", "folder", true), -EISDIR);
	assert_int_equal(move(world, "folder", "other", false), 0);
	assert_true(exists(world, "in/other/full"));
}

static void test_two_roots(void **state)
{
	struct world *world = *state;
	struct tw_root other;
	const struct tw_files_request request = {
		.operation = TW_FILES_MV,
		.path = "a",
		.to = "moved",
		.to_root = &other,
	};

	put(world, "in/a", "a");
	make(world, "second");
	assert_int_equal(tw_root_open(at(world, "second"), &other), 0);
	assert_int_equal(run(world, &request), 0);
	assert_true(exists(world, "second/moved") && !exists(world, "in/a"));
	tw_root_close(&other);
}

static void test_removing(void **state)
{
	struct world *world = *state;

	put(world, "in/file", "x");
	make(world, "in/empty");
	make(world, "in/full");
	make(world, "in/full/deep");
	put(world, "in/full/one", "x");
	put(world, "in/full/deep/two", "x");
	assert_int_equal(symlink("../../out", at(world, "in/full/link")), 0);
	assert_int_equal(symlink("../out", at(world, "in/link")), 0);
	assert_int_equal(on_path(world, TW_FILES_RM, "file"), 0);
	assert_int_equal(world->result.files, 1);
	assert_int_equal(on_path(world, TW_FILES_RM, "file"), -ENOENT);
	assert_int_equal(on_path(world, TW_FILES_RM, "empty/"), 0);
	assert_int_equal(on_path(world, TW_FILES_RM, "full"), -ENOTEMPTY);
	assert_true(exists(world, "in/full/deep/two"));
	assert_int_equal(remove_all(world, "full/"), 0);
	assert_int_equal(world->result.files, 5);
	assert_false(exists(world, "in/full"));
	assert_int_equal(remove_all(world, "link"), 0);
	assert_false(exists(world, "in/link"));
	assert_int_equal(remove_all(world, "full"), -ENOENT);
}

/* As deep as it goes, and one too deep: an error, and nothing outside is touched. */
static void test_depth(void **state)
{
	struct world *world = *state;
	char path[TW_FILES_DEPTH_MAX * 2 + 16] = "d";

	for (unsigned i = 0; i < TW_FILES_DEPTH_MAX; i++)
		strcat(path, "/d");
	assert_int_equal(on_path(world, TW_FILES_MKDIR, path), 0);
	assert_int_equal(on_path(world, TW_FILES_DU, "d"), 0);
	assert_int_equal(remove_all(world, "d"), 0);
	assert_int_equal(world->result.files, TW_FILES_DEPTH_MAX + 1);
	strcat(path, "/d");
	assert_int_equal(on_path(world, TW_FILES_MKDIR, path), 0);
	assert_int_equal(on_path(world, TW_FILES_DU, "d"), TW_E_FULL);
	assert_int_equal(remove_all(world, "d"), TW_E_FULL);
	assert_true(strlen(world->result.path) > TW_FILES_DEPTH_MAX);
	assert_int_equal(remove_all(world, "d/d"), 0);
}

/* Wide enough that a folder is read in several goes while it is emptied. */
static void test_wide(void **state)
{
	struct world *world = *state;

	make(world, "in/wide");
	for (unsigned i = 0; i < 3000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "in/wide/a-rather-long-name-%u", i);
		if (i % 10)
			put(world, name, "x");
		else
			make(world, name);
	}
	assert_int_equal(on_path(world, TW_FILES_DU, "wide"), 0);
	assert_int_equal(world->result.files, 2700);
	assert_int_equal(remove_all(world, "wide"), 0);
	assert_int_equal(world->result.files, 3001);
	assert_false(exists(world, "in/wide"));
}

/* Every way out, for every operation. */
static void test_escapes(void **state)
{
	static const char *const outs[] = {
		"../out/secret",      "a/../../out/secret", "/../out/secret",
		"up/out/secret",      "absolute/secret",    "deep/secret",
		"a/up/../out/secret", "chain/secret",       "./../in/../out/secret",
	};
	struct world *world = *state;
	char absolute[TEMP_PATH_MAX * 2];

	snprintf(absolute, sizeof(absolute), "%s", at(world, "out"));
	make(world, "in/a");
	put(world, "in/mine", "mine");
	assert_int_equal(symlink("..", at(world, "in/up")), 0);
	assert_int_equal(symlink("../..", at(world, "in/a/up")), 0);
	assert_int_equal(symlink(absolute, at(world, "in/absolute")), 0);
	assert_int_equal(symlink("a/../../out", at(world, "in/deep")), 0);
	assert_int_equal(symlink("absolute", at(world, "in/chain")), 0);
	for (unsigned fallback = 0; fallback < 2; fallback++) {
		for (size_t i = 0; i < ARRAY_SIZE(outs); i++) {
			/* Without openat2 a link on the way is no folder. */
			for (int what = TW_FILES_LS; what <= TW_FILES_RM; what++) {
				const struct tw_files_request request = {
					.operation = (enum tw_files_operation)what,
					.path = outs[i],
					.to = "taken",
					.overwrite = true,
					.recursive = true,
				};
				int r = run(world, &request);

				if (r != TW_E_UNSAFE && !(fallback && r == -ENOTDIR))
					fail_msg("%s, %d: %d", outs[i], what, r);
			}
			assert_true(move(world, "mine", outs[i], true) != 0);
		}
		assert_true(exists(world, "in/mine"));
		world->root.openat2 = false;
	}
	world->root.openat2 = true;
	assert_false(exists(world, "in/taken"));
}

static void test_odd_paths(void **state)
{
	struct world *world = *state;
	char longest[TW_ROOT_PATH_ROOM + 10], name[300];

	make(world, "in/a");
	memset(longest, 'x', sizeof(longest));
	for (size_t i = 100; i < sizeof(longest); i += 100)
		longest[i] = '/';
	longest[sizeof(longest) - 1] = '\0';
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	for (int what = TW_FILES_LS; what <= TW_FILES_RM; what++) {
		const struct tw_files_request request = {
			.operation = (enum tw_files_operation)what,
			.path = longest,
			.to = "b",
		};

		for (unsigned fallback = 0; fallback < 2; fallback++) {
			world->root.openat2 = !fallback;
			assert_int_equal(run(world, &request), -ENAMETOOLONG);
			assert_int_equal(on_path(world, TW_FILES_LS, name), -ENAMETOOLONG);
		}
		world->root.openat2 = true;
	}
	/* The root stays. */
	assert_int_equal(remove_all(world, ""), -EBUSY);
	assert_int_equal(remove_all(world, "."), -EBUSY);
	assert_int_equal(remove_all(world, "//"), -EBUSY);
	assert_int_equal(remove_all(world, "a/.."), -EINVAL);
	assert_int_equal(remove_all(world, "a/."), -EINVAL);
	assert_int_equal(move(world, "", "x", true), -EBUSY);
	assert_int_equal(move(world, "a", "/", true), -EBUSY);
	assert_true(exists(world, "in/a"));
}

/* The system's own root has no outside: absolute links and ".." go where they go. */
static void test_system_root(void **state)
{
	struct world *world = *state;
	struct tw_root system, mine = world->root;
	char target[TEMP_PATH_MAX * 2], path[TEMP_PATH_MAX * 2];

	snprintf(target, sizeof(target), "%s", at(world, "out"));
	assert_int_equal(symlink(target, at(world, "in/absolute")), 0);
	assert_int_equal(tw_root_open("/", &system), 0);
	assert_true(system.system);
	assert_false(mine.system);
	snprintf(path, sizeof(path), "%s", at(world, "in/absolute"));
	world->root = system;
	assert_int_equal(on_path(world, TW_FILES_LS, path), 0);
	assert_int_equal(world->result.listings[0].entry_count, 1);
	world->root = mine;
	tw_root_close(&system);
	assert_int_equal(tw_root_open(at(world, "missing"), &system), -ENOENT);
	assert_int_equal(tw_root_open(at(world, "out/secret"), &system), -ENOTDIR);
}

struct swapper {
	const struct world *world;
	atomic_bool stop;
	unsigned swaps;
};

/* A folder and a link that leads out take each other's place, as fast as it goes. */
static void *swap(void *context)
{
	struct swapper *swapper = context;
	char one[TEMP_PATH_MAX * 2], two[TEMP_PATH_MAX * 2];

	snprintf(one, sizeof(one), "%s", at(swapper->world, "in/place"));
	snprintf(two, sizeof(two), "%s", at(swapper->world, "in/other"));
	while (!atomic_load(&swapper->stop)) {
		if (renameat2(AT_FDCWD, one, AT_FDCWD, two, RENAME_EXCHANGE))
			break;
		swapper->swaps++;
	}
	return NULL;
}

static void test_swapped_folders(void **state)
{
	struct world *world = *state;
	struct swapper swapper = { .world = world };
	unsigned made = 0, refused = 0;
	pthread_t thread;

	make(world, "in/place");
	make(world, "out/folder");
	assert_int_equal(symlink("../out", at(world, "in/other")), 0);
	assert_int_equal(pthread_create(&thread, NULL, swap, &swapper), 0);
	for (unsigned i = 0; i < 3000 || !made || !refused; i++) {
		int r = on_path(world, TW_FILES_MK_FILE, "place/new");

		made += r == 0;
		refused += r == TW_E_UNSAFE;
		on_path(world, TW_FILES_MKDIR, "place/folder/x");
		remove_all(world, "place/folder");
		on_path(world, TW_FILES_RM, "place/new");
		on_path(world, TW_FILES_RM, "place/secret");
		move(world, "place/secret", "stolen", true);
		assert_true(i < 1000000);
	}
	atomic_store(&swapper.stop, true);
	pthread_join(thread, NULL);
	assert_true(swapper.swaps > 0);
	assert_false(exists(world, "out/new"));
	assert_false(exists(world, "out/folder/x"));
	assert_true(exists(world, "out/folder"));
	assert_false(exists(world, "in/stolen"));
}

static bool after_some(void *context)
{
	return ++*(unsigned *)context > 20;
}

static void test_cancelling(void **state)
{
	struct world *world = *state;
	struct tw_files_request request = { .root = &world->root, .path = "a", .recursive = true };

	make(world, "in/a");
	for (unsigned i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "in/a/%u", i);
		put(world, name, "x");
	}
	for (unsigned i = 0; i < 3; i++) {
		static const enum tw_files_operation what[] = { TW_FILES_DU, TW_FILES_LS,
								TW_FILES_RM };
		unsigned asked = 0;

		request.operation = what[i];
		tw_files_result_deinit(&world->result);
		tw_files_run(&request, after_some, &asked, &world->result);
		assert_int_equal(world->result.error, -ECANCELED);
		assert_int_equal(asked, 21);
	}
	/* What was removed by then is gone, the rest is there. */
	assert_int_equal(world->result.files, 20);
	assert_int_equal(on_path(world, TW_FILES_DU, "a"), 0);
	assert_int_equal(world->result.files, 80);
}

/* On a pool. */
struct hearing {
	struct event_base *base;
	unsigned heard, cancelled;
	uint64_t bytes;
};

static void heard(void *context, struct tw_files_result *result)
{
	struct hearing *hearing = context;

	hearing->heard++;
	hearing->cancelled += result->error == -ECANCELED;
	hearing->bytes += result->bytes;
	for (size_t i = 0; i < result->listing_count; i++)
		hearing->bytes += result->listings[i].entry_count;
	if (hearing->heard == 3)
		event_base_loopbreak(hearing->base);
}

static void test_on_a_pool(void **state)
{
	static const char *const paths[] = { "", "a" };
	struct world *world = *state;
	struct hearing hearing = { .base = event_base_new() };
	const struct timeval limit = { .tv_sec = 30 };
	struct tw_files_request request = { .operation = TW_FILES_DU };
	struct tw_accounts *accounts = any_account_new();
	const struct tw_sandbox_pair pair = { "/", at(world, "in") };
	const struct tw_view_options options = {
		.accounts = accounts, .user = "", .pairs = &pair, .pair_count = 1
	};
	struct tw_files_work *work;
	struct tw_view *view;
	struct tw_pool *pool;
	char path[8] = "a";

	assert_int_equal(tw_view_new(&options, &view), 0);
	make(world, "in/a");
	put(world, "in/a/f", "12345");
	assert_int_equal(tw_pool_new(hearing.base, 2, &pool), 0);
	request.path = path;
	assert_int_equal(tw_files_start(pool, view, &request, heard, &hearing, &work), 0);
	/* Nothing of the request is needed any more. */
	strcpy(path, "gone");
	request = (struct tw_files_request){
		.operation = TW_FILES_LS,
		.paths = paths,
		.path_count = 2,
	};
	assert_int_equal(tw_files_start(pool, view, &request, heard, &hearing, &work), 0);
	request = (struct tw_files_request){
		.operation = TW_FILES_MV,
		.path = "a",
		.to = "b",
	};
	event_base_loopexit(hearing.base, &limit);
	/* The move goes last, whatever the threads do. */
	while (hearing.heard < 2)
		event_base_loop(hearing.base, EVLOOP_ONCE);
	assert_int_equal(tw_files_start(pool, view, &request, heard, &hearing, &work), 0);
	event_base_dispatch(hearing.base);
	assert_int_equal(hearing.heard, 3);
	assert_int_equal(hearing.cancelled, 0);
	assert_int_equal(hearing.bytes, 5 + 1 + 1);
	assert_true(exists(world, "in/b/f"));
	tw_pool_free(pool);

	/* Stopped before it begins, and dropped with the pool: both are heard of. */
	assert_int_equal(tw_pool_new(hearing.base, 1, &pool), 0);
	request.operation = TW_FILES_DU;
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(tw_files_start(pool, view, &request, heard, &hearing, &work), 0);
		tw_files_stop(work);
	}
	tw_pool_free(pool);
	assert_int_equal(hearing.heard, 23);
	tw_view_drop(view);
	any_account_free(accounts);
	event_base_free(hearing.base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ls, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ls_list, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ls_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_du, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_making, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_moving, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_two_roots, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_removing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_depth, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wide, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_escapes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_odd_paths, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_system_root, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_swapped_folders, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cancelling, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_on_a_pool, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
