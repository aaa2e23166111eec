#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include <linux/fs.h>

#include "../support/temp_dir.h"
#include "base/error.h"
#include "content/fs.h"
#include "content/fs_posix_path.h"

static char outer[TEMP_PATH_MAX], root[TEMP_PATH_MAX + 8], secret[TEMP_PATH_MAX + 16];

static int setup(void **state)
{
	(void)state;
	temp_dir_make(outer);
	snprintf(root, sizeof(root), "%s/root", outer);
	snprintf(secret, sizeof(secret), "%s/secret", outer);
	assert_int_equal(mkdir(root, 0700), 0);
	assert_int_equal(mkdir(secret, 0700), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	temp_dir_remove(outer);
	return 0;
}

static int put(const struct tw_fs *fs, const char *path, const char *text)
{
	const struct iovec piece = { (char *)text, strlen(text) };
	struct tw_file *file;
	int r = fs->ops->open(fs->context, path, TW_OPEN_READ | TW_OPEN_WRITE | TW_OPEN_CREATE,
			      &file);

	if (r)
		return r;
	r = fs->ops->write(file, &piece, 1, 0);
	fs->ops->close(file);
	return r;
}

static void test_basics(void **state)
{
	const struct iovec pieces[3] = { { "ab", 2 }, { "cde", 3 }, { "f", 1 } };
	struct tw_file_stat st;
	struct tw_file *file;
	uint64_t start, end;
	char bytes[16];
	struct tw_fs fs;

	(void)state;
	assert_int_equal(tw_fs_posix_open(root, true, &fs), 0);
	assert_int_equal(fs.ops->mkdir(fs.context, "d", 0750), 0);
	assert_int_equal(fs.ops->mkdir(fs.context, "d", 0750), -EEXIST);
	assert_int_equal(fs.ops->open(fs.context, "d/f", TW_OPEN_READ, &file), -ENOENT);
	assert_int_equal(fs.ops->open(fs.context, "d", TW_OPEN_READ, &file), -EISDIR);
	assert_int_equal(fs.ops->open(fs.context, "d/f",
				      TW_OPEN_READ | TW_OPEN_WRITE | TW_OPEN_CREATE |
					      TW_OPEN_EXCLUSIVE,
				      &file),
			 0);
	assert_int_equal(fs.ops->write(file, pieces, 3, 4), 0);
	assert_int_equal(fs.ops->read(file, bytes, sizeof(bytes), 0), 10);
	assert_memory_equal(bytes, "\0\0\0\0abcdef", 10);
	assert_int_equal(fs.ops->resize(file, 1 << 20), 0);
	assert_int_equal(fs.ops->next_data(file, 0, &start, &end), 0);
	assert_int_equal(start, 0);
	assert_int_equal(fs.ops->next_data(file, 1 << 19, &start, &end), TW_E_END);
	assert_int_equal(fs.ops->set_meta(file, 0640, -1500000001), 0);
	assert_int_equal(fs.ops->sync(file), 0);
	assert_int_equal(fs.ops->stat_file(file, &st), 0);
	assert_int_equal(st.kind, TW_KIND_FILE);
	assert_int_equal(st.size, 1 << 20);
	assert_true(st.allocated < 1 << 20);
	assert_int_equal(st.mode, 0640);
	assert_int_equal(st.mtime_ns, -1500000001);
	fs.ops->close(file);
	assert_int_equal(fs.ops->open(fs.context, "d/f",
				      TW_OPEN_WRITE | TW_OPEN_CREATE | TW_OPEN_EXCLUSIVE, &file),
			 -EEXIST);
	assert_int_equal(fs.ops->open(fs.context, "d/f", TW_OPEN_WRITE | TW_OPEN_TRUNCATE, &file),
			 0);
	fs.ops->close(file);
	assert_int_equal(fs.ops->stat(fs.context, "d/f", false, &st), 0);
	assert_int_equal(st.size, 0);
	assert_int_equal(put(&fs, "d/g", "g"), 0);
	assert_int_equal(fs.ops->rename(fs.context, "d/g", "d/f", false), -EEXIST);
	assert_int_equal(fs.ops->rename(fs.context, "d/g", "h", false), 0);
	assert_int_equal(fs.ops->rename(fs.context, "h", "d/f", true), 0);
	assert_int_equal(fs.ops->stat(fs.context, "d/f", false, &st), 0);
	assert_int_equal(st.size, 1);
	assert_int_equal(fs.ops->set_directory_meta(fs.context, "d", 0711, 123456789012345), 0);
	assert_int_equal(fs.ops->sync_directory(fs.context, "d"), 0);
	assert_int_equal(fs.ops->sync_directory(fs.context, ""), 0);
	assert_int_equal(fs.ops->sync_all(fs.context), 0);
	assert_int_equal(fs.ops->stat(fs.context, "d", false, &st), 0);
	assert_int_equal(st.kind, TW_KIND_DIRECTORY);
	assert_int_equal(st.mode, 0711);
	assert_int_equal(st.mtime_ns, 123456789012345);
	assert_int_equal(fs.ops->unlink(fs.context, "d"), -ENOTEMPTY);
	assert_int_equal(fs.ops->unlink(fs.context, "d/f"), 0);
	assert_int_equal(fs.ops->unlink(fs.context, "d"), 0);
	assert_int_equal(fs.ops->stat(fs.context, "d", false, &st), -ENOENT);
	tw_fs_posix_close(&fs);
}

static int collect(void *context, const char *name)
{
	strcat(strcat(context, name), " ");
	return strcmp(name, "stop") ? 0 : 77;
}

static void test_list(void **state)
{
	char names[100] = "";
	struct tw_fs fs;

	(void)state;
	assert_int_equal(tw_fs_posix_open(root, true, &fs), 0);
	assert_int_equal(put(&fs, "b", ""), 0);
	assert_int_equal(put(&fs, "\xff", ""), 0);
	assert_int_equal(put(&fs, "B", ""), 0);
	assert_int_equal(put(&fs, "a", ""), 0);
	assert_int_equal(fs.ops->list(fs.context, "", collect, names), 0);
	assert_string_equal(names, "B a b \xff ");
	assert_int_equal(put(&fs, "stop", ""), 0);
	names[0] = '\0';
	assert_int_equal(fs.ops->list(fs.context, ".", collect, names), 77);
	assert_string_equal(names, "B a b stop ");
	assert_int_equal(fs.ops->list(fs.context, "none", collect, names), -ENOENT);
	tw_fs_posix_close(&fs);
}

static void plant(const char *name, const char *target)
{
	char path[TEMP_PATH_MAX * 2];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(symlink(target, path), 0);
}

/* Every call, on a path that would leave the root. */
static void expect_unsafe(const struct tw_fs *fs, const char *path)
{
	struct tw_file_stat st;
	struct tw_file *file;
	char names[100] = "";

	assert_int_equal(fs->ops->open(fs->context, path, TW_OPEN_READ, &file), TW_E_UNSAFE);
	assert_int_equal(fs->ops->open(fs->context, path, TW_OPEN_WRITE | TW_OPEN_CREATE, &file),
			 TW_E_UNSAFE);
	assert_int_equal(fs->ops->stat(fs->context, path, true, &st), TW_E_UNSAFE);
	assert_int_equal(fs->ops->mkdir(fs->context, path, 0755), TW_E_UNSAFE);
	assert_int_equal(fs->ops->rename(fs->context, path, "x", true), TW_E_UNSAFE);
	assert_int_equal(fs->ops->rename(fs->context, "mine", path, true), TW_E_UNSAFE);
	assert_int_equal(fs->ops->unlink(fs->context, path), TW_E_UNSAFE);
	assert_int_equal(fs->ops->set_directory_meta(fs->context, path, 0755, 0), TW_E_UNSAFE);
	assert_int_equal(fs->ops->sync_directory(fs->context, path), TW_E_UNSAFE);
	assert_int_equal(fs->ops->list(fs->context, path, collect, names), TW_E_UNSAFE);
}

static void escapes(bool openat2)
{
	static const char *const paths[] = {
		"/etc/passwd", "../secret", "..",      "d/..",       "d/../../secret/f",
		"out/f",       "out/new",   "d/out/f", "absolute/f", "here/f",
		"d//f",        "./f",       "d/./f",   "magic/f",    "up/secret/f",
	};
	char target[TEMP_PATH_MAX * 2];
	struct tw_file_stat st;
	struct tw_file *file;
	struct tw_fs fs;

	assert_int_equal(tw_fs_posix_open(root, true, &fs), 0);
	if (!openat2)
		((struct tw_fs_posix *)fs.context)->have_openat2 = false;
	assert_int_equal(fs.ops->mkdir(fs.context, "d", 0755), 0);
	assert_int_equal(put(&fs, "mine", "m"), 0);
	assert_int_equal(put(&fs, "d/f", "f"), 0);
	plant("out", "../secret");
	plant("absolute", secret);
	plant("here", "d");
	plant("d/out", "../../secret");
	plant("up", "..");
	plant("magic", "/proc/self/cwd");
	snprintf(target, sizeof(target), "%s/f", secret);
	plant("file-out", target);
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		expect_unsafe(&fs, paths[i]);
	/* A link itself as the last component: not followed; it may be looked at and removed. */
	assert_int_equal(fs.ops->open(fs.context, "file-out", TW_OPEN_WRITE | TW_OPEN_CREATE,
				      &file),
			 TW_E_UNSAFE);
	assert_int_equal(fs.ops->open(fs.context, "out", TW_OPEN_READ, &file), TW_E_UNSAFE);
	assert_int_equal(fs.ops->set_directory_meta(fs.context, "out", 0777, 0), TW_E_UNSAFE);
	assert_int_equal(fs.ops->stat(fs.context, "out", true, &st), 0);
	assert_int_equal(st.kind, TW_KIND_SYMLINK);
	assert_int_equal(fs.ops->open(fs.context, "mine/f", TW_OPEN_READ, &file), -ENOTDIR);
	assert_int_equal(access(target, F_OK), -1);
	tw_fs_posix_close(&fs);
}

static void test_escapes_openat2(void **state)
{
	(void)state;
	escapes(true);
}

static void test_escapes_component_wise(void **state)
{
	(void)state;
	escapes(false);
}

/*
 * A folder becomes a link while its descriptor is kept: writing goes on in the folder that it was,
 * or is refused.
 */
static void test_swapped_folder(void **state)
{
	char path[TEMP_PATH_MAX * 2], away[TEMP_PATH_MAX * 2], leak[TEMP_PATH_MAX * 2];
	struct tw_fs fs;

	(void)state;
	assert_int_equal(tw_fs_posix_open(root, true, &fs), 0);
	assert_int_equal(fs.ops->mkdir(fs.context, "d", 0755), 0);
	assert_int_equal(put(&fs, "d/one", "1"), 0);
	snprintf(path, sizeof(path), "%s/d", root);
	snprintf(away, sizeof(away), "%s/e", root);
	snprintf(leak, sizeof(leak), "%s/two", secret);
	assert_int_equal(rename(path, away), 0);
	assert_int_equal(symlink("../secret", path), 0);
	put(&fs, "d/two", "2");
	assert_int_equal(access(leak, F_OK), -1);
	assert_int_equal(fs.ops->sync_all(fs.context), 0);
	assert_int_equal(put(&fs, "d/two", "2"), TW_E_UNSAFE);
	assert_int_equal(access(leak, F_OK), -1);
	tw_fs_posix_close(&fs);
}

static void test_many_folders(void **state)
{
	char path[64];
	struct tw_fs fs;

	(void)state;
	assert_int_equal(tw_fs_posix_open(root, true, &fs), 0);
	for (int i = 0; i < 3 * TW_FS_FOLDERS_MAX; i++) {
		snprintf(path, sizeof(path), "d%d", i);
		assert_int_equal(fs.ops->mkdir(fs.context, path, 0755), 0);
		strcat(path, "/f");
		assert_int_equal(put(&fs, path, path), 0);
	}
	for (int i = 0; i < 3 * TW_FS_FOLDERS_MAX; i++) {
		char to[64];

		snprintf(path, sizeof(path), "d%d/f", i);
		snprintf(to, sizeof(to), "d%d/g", 3 * TW_FS_FOLDERS_MAX - 1 - i);
		assert_int_equal(fs.ops->rename(fs.context, path, to, false), 0);
	}
	tw_fs_posix_close(&fs);
}

static struct tw_fs shared;
static atomic_bool stop;

static void *make_and_move(void *context)
{
	unsigned worker = (unsigned)(uintptr_t)context;
	uintptr_t failed = 0;
	char from[64], to[64];

	for (unsigned i = 0; i < 2000; i++) {
		struct tw_file_stat st;

		snprintf(from, sizeof(from), "d%u/%u-%u", i % 40, worker, i);
		snprintf(to, sizeof(to), "d%u/%u-%u", (i + 7) % 40, worker, i);
		failed += put(&shared, from, from) != 0;
		failed += shared.ops->rename(shared.context, from, to, false) != 0;
		failed += shared.ops->stat(shared.context, to, false, &st) != 0;
		if (i % 100 == 0)
			tw_fs_posix_forget(shared.context);
	}
	return (void *)failed;
}

/* Several disk threads share a view, with more folders than it keeps. */
static void test_threads(void **state)
{
	pthread_t threads[3];
	char path[64];
	void *failed;

	(void)state;
	assert_int_equal(tw_fs_posix_open(root, true, &shared), 0);
	for (int i = 0; i < 40; i++) {
		snprintf(path, sizeof(path), "d%d", i);
		assert_int_equal(shared.ops->mkdir(shared.context, path, 0755), 0);
	}
	for (uintptr_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_and_move, (void *)i), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	tw_fs_posix_close(&shared);
}

/* Exchanges a folder and a link that leads out, as fast as it can. */
static void *swap(void *context)
{
	char folder[TEMP_PATH_MAX * 2], other[TEMP_PATH_MAX * 2];
	uintptr_t swaps = 0;

	(void)context;
	snprintf(folder, sizeof(folder), "%s/d", root);
	snprintf(other, sizeof(other), "%s/link", root);
	while (!atomic_load(&stop))
		swaps +=
			!syscall(SYS_renameat2, AT_FDCWD, folder, AT_FDCWD, other, RENAME_EXCHANGE);
	return (void *)swaps;
}

static void swapping(bool openat2)
{
	unsigned made = 0, refused = 0;
	pthread_t swapper;
	char path[64];
	void *swaps;

	assert_int_equal(tw_fs_posix_open(root, true, &shared), 0);
	if (!openat2)
		((struct tw_fs_posix *)shared.context)->have_openat2 = false;
	assert_int_equal(shared.ops->mkdir(shared.context, "d", 0755), 0);
	plant("link", "../secret");
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&swapper, NULL, swap, NULL), 0);
	for (unsigned i = 0; i < 20000 || (!made || !refused); i++) {
		int r;

		snprintf(path, sizeof(path), "d/%u", i % 500);
		r = put(&shared, path, "x");
		made += !r;
		refused += r == TW_E_UNSAFE;
		if (r && r != TW_E_UNSAFE)
			assert_int_equal(r, -ENOENT);
		tw_fs_posix_forget(shared.context);
	}
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(swapper, &swaps), 0);
	assert_true((uintptr_t)swaps > 100);
	tw_fs_posix_close(&shared);
	/* Nothing came out. */
	assert_int_equal(rmdir(secret), 0);
	assert_int_equal(mkdir(secret, 0700), 0);
}

static void test_swapping_openat2(void **state)
{
	(void)state;
	swapping(true);
}

static void test_swapping_component_wise(void **state)
{
	(void)state;
	swapping(false);
}

/* A sending view follows links and takes absolute paths. A pipe must not make it wait. */
static void test_sending_view(void **state)
{
	char path[TEMP_PATH_MAX * 2];
	struct tw_file_stat st;
	struct tw_file *file;
	struct tw_fs fs;

	(void)state;
	plant("out", "../secret");
	plant("loop", "loop");
	assert_int_equal(tw_fs_posix_open(root, false, &fs), 0);
	snprintf(path, sizeof(path), "%s/f", secret);
	assert_int_equal(put(&fs, path, "text"), 0);
	assert_int_equal(fs.ops->stat(fs.context, "out/f", false, &st), 0);
	assert_int_equal(st.size, 4);
	assert_int_equal(fs.ops->stat(fs.context, "../secret/f", false, &st), 0);
	assert_int_equal(fs.ops->stat(fs.context, "out", false, &st), 0);
	assert_int_equal(st.kind, TW_KIND_SYMLINK);
	assert_int_equal(fs.ops->stat(fs.context, "out", true, &st), 0);
	assert_int_equal(st.kind, TW_KIND_DIRECTORY);
	assert_int_equal(fs.ops->stat(fs.context, "loop", true, &st), -ELOOP);
	snprintf(path, sizeof(path), "%s/pipe", root);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(fs.ops->open(fs.context, "pipe", TW_OPEN_READ, &file), -EINVAL);
	tw_fs_posix_close(&fs);
}

static void test_boot_id(void **state)
{
	uint8_t a[16], b[16];
	struct tw_fs one, two;

	(void)state;
	assert_int_equal(tw_fs_posix_open(root, true, &one), 0);
	assert_int_equal(tw_fs_posix_open(secret, true, &two), 0);
	one.ops->boot_id(one.context, a);
	two.ops->boot_id(two.context, b);
	if (!access("/proc/sys/kernel/random/boot_id", R_OK))
		assert_memory_equal(a, b, 16);
	one.ops->boot_id(one.context, b);
	assert_memory_equal(a, b, 16);
	tw_fs_posix_close(&one);
	tw_fs_posix_close(&two);
	assert_int_equal(tw_fs_posix_open("/nonexistent/folder", true, &one), -ENOENT);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_basics),
		CASE(test_list),
		CASE(test_escapes_openat2),
		CASE(test_escapes_component_wise),
		CASE(test_swapped_folder),
		CASE(test_many_folders),
		CASE(test_sending_view),
		CASE(test_boot_id),
		CASE(test_threads),
		CASE(test_swapping_openat2),
		CASE(test_swapping_component_wise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
