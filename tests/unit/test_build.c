#include "unit.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../support/temp_dir.h"
#include "base/error.h"
#include "engine/build.h"

struct world {
	char folder[TEMP_PATH_MAX];
	struct event_base *base;
	struct tw_pool *pool;
	struct tw_fs fs;
	unsigned heard;
	struct tw_build_result result;
};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	temp_dir_make(world->folder);
	world->base = event_base_new();
	assert_int_equal(tw_pool_new(world->base, 1, &world->pool), 0);
	assert_int_equal(tw_fs_posix_open(world->folder, false, &world->fs), 0);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	tw_pool_free(world->pool);
	event_base_free(world->base);
	tw_fs_posix_close(&world->fs);
	tw_listing_drop(world->result.listing);
	free(world->result.blob);
	temp_dir_remove(world->folder);
	free(world);
	return 0;
}

static void put(const struct world *world, const char *name, const char *text)
{
	char path[TEMP_PATH_MAX + 64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", world->folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void hear(void *context, struct tw_build_result *result)
{
	struct world *world = context;

	world->heard++;
	world->result = *result;
}

static struct tw_build *start(struct world *world, const struct tw_fs *fs, const char *path)
{
	const struct tw_source_mapping mapping = { path, "" };
	const struct tw_source_options options = { .mappings = &mapping, .mapping_count = 1 };
	struct tw_build *build;

	assert_int_equal(tw_build_start(world->pool, fs, &options, 0, &build), 0);
	tw_build_on_done(build, hear, world);
	return build;
}

/* Until nothing is on the pool; at most half a minute. */
static void turn(struct world *world)
{
	const struct timespec wait = { .tv_nsec = 2000000 };

	for (unsigned i = 0; tw_pool_count(world->pool); i++) {
		assert_true(i < 15000);
		event_base_loop(world->base, EVLOOP_NONBLOCK);
		nanosleep(&wait, NULL);
	}
}

static void test_made(void **state)
{
	struct world *world = *state;
	struct tw_listing *copy;

	put(world, "one", "1");
	put(world, "two", "22");
	start(world, &world->fs, ".");
	turn(world);
	assert_int_equal(world->heard, 1);
	assert_int_equal(world->result.error, 0);
	assert_string_equal(world->result.message, "");
	assert_int_equal(tw_listing_files(world->result.listing), 2);
	assert_int_equal(tw_listing_bytes(world->result.listing), 3);
	assert_int_equal(tw_listing_decode(world->result.blob, world->result.blob_length, &copy),
			 0);
	assert_int_equal(tw_listing_bytes(copy), 3);
	tw_listing_drop(copy);
}

static void test_missing(void **state)
{
	struct world *world = *state;

	start(world, &world->fs, "no/such");
	turn(world);
	assert_int_equal(world->heard, 1);
	assert_int_equal(world->result.error, -ENOENT);
	assert_null(world->result.listing);
	assert_null(world->result.blob);
	assert_non_null(strstr(world->result.message, "no/such"));
}

/* A folder with a million files, one of which in ten cannot be looked at; the walk waits when it
 * has looked at @pause of them. */
#define MANY 1000000u

static atomic_uint looked, limit, unreadable;
static atomic_bool go_on, slow; /* slow: a quarter of an hour for all of them */

static int many_list(void *context, const char *path, int (*each)(void *, const char *), void *more)
{
	(void)context;
	(void)path;
	for (unsigned i = 0; i < atomic_load(&limit); i++) {
		char name[16];
		int r;

		snprintf(name, sizeof(name), "%07u", i);
		r = each(more, name);
		if (r)
			return r;
	}
	return 0;
}

static int many_stat(void *context, const char *path, bool follow, struct tw_file_stat *ret)
{
	const struct timespec wait = { .tv_nsec = 1000000 };
	bool top = !strchr(path, '/');

	(void)context;
	(void)follow;
	*ret = (struct tw_file_stat){
		.kind = top ? TW_KIND_DIRECTORY : TW_KIND_FILE,
		.size = 7,
		.allocated = 7,
	};
	if (top)
		return 0;
	if (atomic_fetch_add(&looked, 1) == 1000)
		while (!atomic_load(&go_on))
			nanosleep(&wait, NULL);
	if (atomic_load(&slow))
		nanosleep(&wait, NULL);
	return atomic_load(&unreadable) && path[strlen(path) - 1] == '0' ? -EACCES : 0;
}

static const struct tw_fs_ops many_ops = { .list = many_list, .stat = many_stat };
static const struct tw_fs many = { .ops = &many_ops };

static void begin_many(unsigned count, unsigned with_unreadable)
{
	atomic_store(&looked, 0);
	atomic_store(&limit, count);
	atomic_store(&unreadable, with_unreadable);
	atomic_store(&go_on, false);
}

static void wait_for_pause(void)
{
	const struct timespec wait = { .tv_nsec = 1000000 };

	for (unsigned i = 0; atomic_load(&looked) <= 1000; i++) {
		assert_true(i < 30000);
		nanosleep(&wait, NULL);
	}
}

static void test_progress_and_problems(void **state)
{
	struct world *world = *state;
	uint64_t files, bytes;
	struct tw_build *build;

	begin_many(2000, 1);
	build = start(world, &many, "many");
	wait_for_pause();
	tw_build_progress(build, &files, &bytes);
	assert_true(files > 0 && files <= 900);
	assert_int_equal(bytes, files * 7);
	atomic_store(&go_on, true);
	turn(world);
	assert_int_equal(world->heard, 1);
	assert_int_equal(world->result.error, 0);
	assert_int_equal(tw_listing_files(world->result.listing), 1800);
	assert_non_null(strstr(world->result.message, "200 left out"));
	assert_non_null(strstr(world->result.message, "many/0000000"));
}

/* It ends at once, a million files or not. */
static void test_stop(void **state)
{
	struct world *world = *state;
	struct tw_build *build;

	begin_many(MANY, 0);
	build = start(world, &many, "many");
	wait_for_pause();
	tw_build_stop(build);
	atomic_store(&go_on, true);
	turn(world);
	assert_true(atomic_load(&looked) < 3000);
	assert_int_equal(world->heard, 0);
	/* One that has not begun. */
	begin_many(MANY, 0);
	start(world, &many, "many");
	wait_for_pause();
	build = start(world, &world->fs, ".");
	tw_build_stop(build);
	/* The pool ends with one running: it is heard of, as stopped. */
	atomic_store(&slow, true);
	atomic_store(&go_on, true);
	tw_pool_free(world->pool);
	world->pool = NULL;
	assert_int_equal(world->heard, 1);
	assert_int_equal(world->result.error, -ECANCELED);
	assert_null(world->result.listing);
	assert_true(atomic_load(&looked) < MANY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_made, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_missing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_progress_and_problems, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stop, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
