#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/temp_dir.h"
#include "base/error.h"
#include "engine/watch_scan.h"

#define WALL (INT64_C(1700000000) * 1000000000)
#define SETTLE (5 * TW_SECOND)

struct world {
	char folder[TEMP_PATH_MAX];
	struct tw_watch_table table;
	struct tw_fs fs;
	tw_ns now;
};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof *world);

	temp_dir_make(world->folder);
	assert_int_equal(tw_fs_posix_open("/", false, &world->fs), 0);
	world->now = 100 * TW_SECOND;
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	tw_watch_table_deinit(&world->table);
	tw_fs_posix_close(&world->fs);
	temp_dir_remove(world->folder);
	free(world);
	return 0;
}

static void put(const struct world *world, const char *name, const char *text)
{
	char path[TEMP_PATH_MAX + 64];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", world->folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void make_folder(const struct world *world, const char *name)
{
	char path[TEMP_PATH_MAX + 64];

	snprintf(path, sizeof path, "%s/%s", world->folder, name);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void drop(const struct world *world, const char *name)
{
	char path[TEMP_PATH_MAX + 64];

	snprintf(path, sizeof path, "%s/%s", world->folder, name);
	assert_int_equal(unlink(path), 0);
}

/* The files' own times lie in the future of @wall_ns: only our clock tells when they settle. */
static struct tw_watch_scan scan_of(const struct world *world)
{
	return (struct tw_watch_scan){
		.fs = &world->fs,
		.folder = world->folder,
		.now = world->now,
		.wall_ns = WALL,
		.settle_ns = SETTLE,
		.inotify_fd = -1,
	};
}

static void mark_sent(struct tw_watch_table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		struct tw_watch_file *file = &table->files[i];

		file->sent = true;
		file->sent_size = file->size;
		file->sent_mtime_ns = file->mtime_ns;
	}
}

static void test_settles(void **state)
{
	struct world *world = *state;
	struct tw_watch_scan scan = scan_of(world);

	put(world, "a", "one");
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	assert_int_equal(scan.ready, 0);
	assert_int_equal(scan.waiting, 1);
	assert_int_equal(scan.settles_in, SETTLE);

	/* It grows: the time begins anew. */
	put(world, "a", "longer");
	world->now += 4 * TW_SECOND;
	scan = scan_of(world);
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	assert_int_equal(scan.settles_in, SETTLE);

	world->now += SETTLE;
	scan = scan_of(world);
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	assert_int_equal(scan.ready, 1);
	assert_int_equal(scan.waiting, 0);
	assert_int_equal(scan.settles_in, TW_NEVER);
}

static void test_old_files_are_ready_at_once(void **state)
{
	struct world *world = *state;
	struct tw_watch_scan scan = scan_of(world);
	struct stat st;

	put(world, "old", "text");
	assert_int_equal(stat(world->folder, &st), 0);
	scan.wall_ns = ((int64_t)st.st_mtime + 3600) * 1000000000;
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	assert_int_equal(scan.ready, 1);
}

static void test_only_what_changed(void **state)
{
	struct world *world = *state;
	struct tw_watch_scan scan = scan_of(world);

	put(world, "a", "1");
	make_folder(world, "sub");
	put(world, "sub/b", "2");
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	assert_int_equal(world->table.count, 2);
	assert_string_equal(world->table.files[0].path, "a");
	assert_string_equal(world->table.files[1].path, "sub/b");
	mark_sent(&world->table);

	put(world, "sub/b", "changed");
	put(world, "sub/c", "new");
	for (unsigned i = 0; i < 2; i++) {
		world->now += SETTLE;
		scan = scan_of(world);
		assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	}
	assert_int_equal(scan.ready, 2);
	assert_false(tw_watch_file_ready(&world->table.files[0], world->now, SETTLE));
	assert_true(tw_watch_file_ready(&world->table.files[1], world->now, SETTLE));
	assert_true(tw_watch_file_ready(&world->table.files[2], world->now, SETTLE));
}

static void test_removed(void **state)
{
	struct world *world = *state;
	struct tw_watch_scan scan = scan_of(world);

	put(world, "a", "1");
	put(world, "b", "1");
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	mark_sent(&world->table);
	drop(world, "a");
	scan = scan_of(world);
	scan.want_removed = true;
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	assert_int_equal(scan.removed, 1);
	assert_int_equal(world->table.count, 2);
	assert_false(world->table.files[0].present);

	/* Nobody wants to know: it is forgotten. */
	scan = scan_of(world);
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	assert_int_equal(scan.removed, 0);
	assert_int_equal(world->table.count, 1);
	assert_string_equal(world->table.files[0].path, "b");
}

/* A file system of which a part cannot be looked at for a moment. */
static struct {
	struct tw_fs under;
	const char *away; /* what; NULL: nothing */
	bool list;        /* it cannot be listed; else there is no telling what it is */
} broken;

static int broken_stat(void *context, const char *path, bool follow, struct tw_file_stat *ret)
{
	(void)context;
	if (broken.away && !broken.list && strstr(path, broken.away))
		return -EIO;
	return broken.under.ops->stat(broken.under.context, path, follow, ret);
}

static int broken_list(void *context, const char *path,
		       int (*each)(void *context, const char *name), void *each_context)
{
	(void)context;
	if (broken.away && broken.list && strstr(path, broken.away))
		return -EIO;
	return broken.under.ops->list(broken.under.context, path, each, each_context);
}

/* What could not be looked at has not been removed, here or at the other side. */
static void test_not_seen_is_not_removed(void **state)
{
	struct world *world = *state;
	const struct tw_fs_ops ops = { .stat = broken_stat, .list = broken_list };
	const struct tw_fs fs = { &ops, NULL };
	struct tw_watch_scan scan = scan_of(world);

	broken.under = world->fs;
	make_folder(world, "deep");
	put(world, "deep/a", "1");
	put(world, "goes", "1");
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	mark_sent(&world->table);
	drop(world, "goes");
	for (int list = 0; list < 2; list++) {
		broken.away = list ? "/deep" : "/deep/a";
		broken.list = list;
		scan = scan_of(world);
		scan.fs = &fs;
		scan.want_removed = true;
		assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
		assert_int_equal(scan.unreadable, 1);
		assert_int_equal(scan.removed, 0);
		assert_int_equal(world->table.count, 2);
		assert_true(world->table.files[0].unknown && world->table.files[1].unknown);
	}
	/* All of it is there again: what is gone is gone, the rest was sent. */
	broken.away = NULL;
	scan = scan_of(world);
	scan.fs = &fs;
	scan.want_removed = true;
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	assert_int_equal(scan.removed, 1);
	assert_int_equal(scan.ready + scan.waiting, 0);
	assert_true(world->table.files[0].present && !world->table.files[0].unknown);
	assert_string_equal(world->table.files[1].path, "goes");
	assert_false(world->table.files[1].present || world->table.files[1].unknown);
}

/* All watches of an owner together remember so much, and what is left out was not removed. */
static void test_memory_of_an_owner(void **state)
{
	struct world *world = *state;
	struct tw_watch_scan scan = scan_of(world);

	put(world, "a", "1");
	put(world, "b", "1");
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	assert_false(scan.too_many);
	mark_sent(&world->table);
	scan = scan_of(world);
	scan.want_removed = true;
	scan.others = TW_WATCH_OWNER_BYTES - tw_watch_table_bytes(&world->table) + 1;
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	assert_true(scan.too_many);
	assert_int_equal(scan.removed, 0);
	assert_int_equal(world->table.count, 2);
	assert_int_equal(world->table.files[0].present + world->table.files[1].present, 1);
	scan = scan_of(world);
	scan.others = TW_WATCH_OWNER_BYTES - tw_watch_table_bytes(&world->table);
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	assert_false(scan.too_many);
	assert_int_equal(world->table.files[0].present + world->table.files[1].present, 2);
}

static void test_patterns_links_and_our_own_files(void **state)
{
	static const char *const include[] = { "*.mov" }, *const exclude[] = { "tmp/" };
	struct world *world = *state;
	struct tw_watch_scan scan = scan_of(world);
	char link[TEMP_PATH_MAX + 64];

	make_folder(world, "tmp");
	put(world, "tmp/x.mov", "no");
	put(world, "y.mov", "yes");
	put(world, "z.txt", "no");
	put(world, ".tradewind-0123456789abcdef.part", "no");
	snprintf(link, sizeof link, "%s/l.mov", world->folder);
	assert_int_equal(symlink("y.mov", link), 0);
	scan.include = include;
	scan.include_count = 1;
	scan.exclude = exclude;
	scan.exclude_count = 1;
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	assert_int_equal(world->table.count, 1);
	assert_string_equal(world->table.files[0].path, "y.mov");
}

static void test_new_folders_are_watched(void **state)
{
	struct world *world = *state;
	struct tw_watch_scan scan = scan_of(world);
	char bytes[4096];

	scan.inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	make_folder(world, "deep");
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	assert_false(scan.unwatched);
	assert_true(read(scan.inotify_fd, bytes, sizeof bytes) < 0);
	put(world, "deep/a", "1");
	assert_true(read(scan.inotify_fd, bytes, sizeof bytes) > 0);
	close(scan.inotify_fd);
}

static void test_folder_that_is_not_there(void **state)
{
	struct world *world = *state;
	struct tw_watch_scan scan = scan_of(world);

	put(world, "a", "1");
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	scan.folder = "/nowhere/at/all";
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), -ENOENT);
	assert_int_equal(world->table.count, 1);
}

static bool always(void *context)
{
	return context == NULL;
}

static void test_cancelled(void **state)
{
	struct world *world = *state;
	struct tw_watch_scan scan = scan_of(world);

	scan.cancelled = always;
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), TW_E_CLOSED);
}

static void test_stored(void **state)
{
	struct world *world = *state;
	struct tw_watch_scan scan = scan_of(world);
	struct tw_watch_table table;
	size_t length;
	void *bytes;

	put(world, "a", "1");
	put(world, "b", "22");
	put(world, "c", "333");
	assert_int_equal(tw_watch_scan_run(&scan, &world->table), 0);
	world->table.files[0].sent = true;
	world->table.files[0].sent_size = 1;
	world->table.files[0].sent_mtime_ns = -5;
	world->table.files[2].busy = true;
	world->table.files[2].busy_size = 3;
	world->table.files[2].busy_mtime_ns = 77;
	assert_int_equal(tw_watch_table_encode(&world->table, &bytes, &length), 0);
	assert_int_equal(tw_watch_table_decode(bytes, length, &table), 0);
	assert_int_equal(table.count, 2);
	assert_string_equal(table.files[0].path, "a");
	assert_true(table.files[0].sent && !table.files[0].busy && !table.files[0].present);
	assert_int_equal(table.files[0].sent_mtime_ns, -5);
	assert_string_equal(table.files[1].path, "c");
	assert_true(table.files[1].busy && !table.files[1].sent);
	assert_int_equal(table.files[1].busy_size, 3);
	tw_watch_table_deinit(&table);
	/* Cut anywhere, it is refused, whole or not at all. */
	for (size_t cut = 0; cut < length; cut++)
		assert_int_equal(tw_watch_table_decode(bytes, cut, &table), TW_E_FORMAT);
	free(bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(settles),
		TEST(old_files_are_ready_at_once),
		TEST(only_what_changed),
		TEST(removed),
		TEST(not_seen_is_not_removed),
		TEST(memory_of_an_owner),
		TEST(patterns_links_and_our_own_files),
		TEST(new_folders_are_watched),
		TEST(folder_that_is_not_there),
		TEST(cancelled),
		TEST(stored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
