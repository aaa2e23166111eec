/* test_sandbox.c - mounts as texts, and views of several mounts. */
#include "agentworld.h"

#include "auth/recent.h"
#include "auth/sandbox.h"

static const struct tw_sandbox_account ada = { .user = "ada", .home = "/home/ada", .uid = 1001 };

static void test_normal(void **state)
{
	static const struct {
		const char *path, *normal; /* NULL: leads out */
	} rows[] = {
		{ "", "" },
		{ "/", "" },
		{ ".", "" },
		{ "///a//b/", "a/b" },
		{ "./a/./b/.", "a/b" },
		{ "a/..", "" },
		{ "a/../b", "b" },
		{ "a/b/../../c", "c" },
		{ "a/b/..", "a" },
		{ "...", "..." },
		{ "a/..b/c..", "a/..b/c.." },
		{ "..", NULL },
		{ "/..", NULL },
		{ "a/../..", NULL },
		{ "a/../../a", NULL },
		{ "./..", NULL },
		{ "//..//a", NULL },
	};
	char normal[TW_SANDBOX_PATH_ROOM], *long_path = malloc(2 * TW_SANDBOX_PATH_ROOM);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int r = tw_sandbox_normal(rows[i].path, normal);

		assert_int_equal(r, rows[i].normal ? 0 : TW_E_UNSAFE);
		if (rows[i].normal)
			assert_string_equal(normal, rows[i].normal);
	}
	assert_non_null(long_path);
	memset(long_path, 'a', TW_SANDBOX_PATH_ROOM);
	long_path[TW_SANDBOX_PATH_ROOM] = '\0';
	assert_int_equal(tw_sandbox_normal(long_path, normal), -ENAMETOOLONG);
	long_path[TW_SANDBOX_PATH_ROOM - 2] = '\0';
	assert_int_equal(tw_sandbox_normal(long_path, normal), 0);
	free(long_path);
}

static void test_check(void **state)
{
	static const struct {
		struct tw_sandbox_pair pair;
		bool fine;
	} rows[] = {
		{ { "/", "/srv" }, true },
		{ { "/a/b", "/srv/{user}/{uid}" }, true },
		{ { "/a/", "{home}" }, true },
		{ { "/", "{home}/upload" }, true },
		{ { "/", "/" }, true },
		{ { "", "/srv" }, false },
		{ { "a", "/srv" }, false },
		{ { "/a/../b", "/srv" }, false },
		{ { "/./a", "/srv" }, false },
		{ { "/a//b", "/srv" }, false },
		{ { "/", "srv" }, false },
		{ { "/", "" }, false },
		{ { "/", "/srv/.." }, false },
		{ { "/", "/srv/{name}" }, false },
		{ { "/", "/srv/{" }, false },
		{ { "/", "/srv/}" }, false },
		{ { "/", "/srv/{home}" }, false },
		{ { "/", "x{home}" }, false },
		{ { "/", "{user}" }, false },
		{ { "/", "/srv/../{user}" }, false },
	};
	char message[TW_SANDBOX_MESSAGE];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		*message = '\0';
		assert_int_equal(tw_sandbox_check(&rows[i].pair, message),
				 rows[i].fine ? 0 : TW_E_FORMAT);
		assert_true(rows[i].fine == !*message);
	}
}

static void test_placeholders(void **state)
{
	static const struct {
		const char *target, *user, *home, *result; /* NULL: unusable */
	} rows[] = {
		{ "/srv/{user}", "ada", "/h", "/srv/ada" },
		{ "/srv/x-{user}-{uid}", "ada", "/h", "/srv/x-ada-1001" },
		{ "/srv/{user}/{user}", "a.b", "/h", "/srv/a.b/a.b" },
		{ "{home}", "ada", "/home/ada/", "/home/ada/" },
		{ "{home}/up", "ada", "/home/ada", "/home/ada/up" },
		{ "{home}/up", "ada", "/", "/up" },
		{ "/srv/{user}", "", "/h", NULL },
		{ "/srv/{user}", ".", "/h", NULL },
		{ "/srv/{user}", "..", "/h", NULL },
		{ "/srv/{user}", "a/b", "/h", NULL },
		{ "/srv/{user}", "../root", "/h", NULL },
		{ "/srv/{user}", "/", "/h", NULL },
		{ "/srv/x{user}", "/../y", "/h", NULL },
		{ "/srv/{user}", "{home}", "/h", "/srv/{home}" },
		{ "{home}/up", "ada", "", NULL },
		{ "{home}/up", "ada", "home", NULL },
		{ "{home}/up", "ada", "/home/../root", NULL },
		{ "{home}/up", "ada", "//root", NULL },
		{ "/srv/{uid}", "..", "..", "/srv/1001" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct tw_sandbox_pair pair = { "/", rows[i].target };
		const struct tw_sandbox_account who = { rows[i].user, rows[i].home, 1001 };
		struct tw_mounts mounts = { 0 };
		int r = tw_sandbox_make(&pair, 1, &who, NULL, &mounts);

		assert_int_equal(r, rows[i].result ? 0 : TW_E_UNSAFE);
		if (rows[i].result)
			assert_string_equal(mounts.items[0].target, rows[i].result);
		tw_mounts_deinit(&mounts);
	}
}

static void test_find(void **state)
{
	static const struct tw_sandbox_pair pairs[] = {
		{ "/ab", "/2" },
		{ "/a", "/1" },
		{ "/a/b/c", "/3" },
		{ "/x/y", "/4" },
	};
	static const struct {
		const char *path, *target, *rest; /* NULL: above mounts; rest NULL: nothing */
	} rows[] = {
		{ "", NULL, "" },      { "a", "/1", "" },        { "a/b", "/1", "b" },
		{ "a/b/c", "/3", "" }, { "a/b/c/d", "/3", "d" }, { "a/b/cd", "/1", "b/cd" },
		{ "ab", "/2", "" },    { "ab/c", "/2", "c" },    { "abc", NULL, NULL },
		{ "x", NULL, "" },     { "x/y/z", "/4", "z" },   { "x/yz", NULL, NULL },
		{ "x/z", NULL, NULL }, { "A", NULL, NULL },
	};
	struct tw_sandbox_place place;
	struct tw_mounts mounts;

	(void)state;
	assert_int_equal(tw_sandbox_make(pairs, 4, &ada, NULL, &mounts), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int r = tw_sandbox_find(&mounts, rows[i].path, &place);

		assert_int_equal(r, rows[i].rest ? 0 : -ENOENT);
		if (r)
			continue;
		assert_true(!rows[i].target == !place.mount);
		if (!place.mount)
			continue;
		assert_string_equal(place.mount->target, rows[i].target);
		assert_string_equal(place.rest, rows[i].rest);
	}
	assert_true(tw_sandbox_holds_mounts(&mounts, "a/b"));
	assert_true(tw_sandbox_holds_mounts(&mounts, "a"));
	assert_false(tw_sandbox_holds_mounts(&mounts, "a/b/c/d"));
	assert_false(tw_sandbox_holds_mounts(&mounts, "x/yy"));
	tw_mounts_deinit(&mounts);
}

static void test_twice(void **state)
{
	static const struct tw_sandbox_pair pairs[] = { { "/a", "/1" }, { "/a/", "/2" } };
	struct tw_mounts mounts = { 0 };

	(void)state;
	assert_int_equal(tw_sandbox_make(pairs, 2, &ada, NULL, &mounts), TW_E_UNSAFE);
	assert_int_equal(tw_sandbox_make(pairs, 0, &ada, NULL, &mounts), 0);
	assert_int_equal(mounts.count, 0);
	tw_mounts_deinit(&mounts);
}

/* What is mounted where, seen from a fence: "at=target+inside" of each. */
static void test_fence(void **state)
{
	static const struct tw_sandbox_pair pairs[] = {
		{ "/", "/0" },
		{ "/a/b", "/1" },
		{ "/a/b/c", "/2" },
		{ "/ab", "/3" },
	};
	static const struct {
		const char *fence, *mounts;
	} rows[] = {
		{ "", "=/0+ a/b=/1+ a/b/c=/2+ ab=/3+ " },
		{ "/", "=/0+ a/b=/1+ a/b/c=/2+ ab=/3+ " },
		{ "/x/y", "=/0+x/y " },
		{ "/a", "=/0+a b=/1+ b/c=/2+ " },
		{ "/a/b", "=/1+ c=/2+ " },
		{ "/a/b/d", "=/1+d " },
		{ "/a/b/c/d/../e", "=/2+e " },
		{ "/ab/", "=/3+ " },
		{ "/..", NULL },
		{ "/a/../..", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct tw_mounts mounts = { 0 };
		char text[256] = "";
		int r = tw_sandbox_make(pairs, 4, &ada, rows[i].fence, &mounts);

		assert_int_equal(r, rows[i].mounts ? 0 : TW_E_UNSAFE);
		for (size_t j = 0; j < mounts.count; j++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s=%s+%s ",
				 mounts.items[j].at, mounts.items[j].target,
				 mounts.items[j].inside);
		if (rows[i].mounts)
			assert_string_equal(text, rows[i].mounts);
		tw_mounts_deinit(&mounts);
	}
}

static void test_fence_elsewhere(void **state)
{
	static const struct tw_sandbox_pair pair = { "/a/b", "/1" };
	struct tw_mounts mounts = { 0 };

	(void)state;
	assert_int_equal(tw_sandbox_make(&pair, 1, &ada, "/x", &mounts), -ENOENT);
	assert_int_equal(tw_sandbox_make(&pair, 1, &ada, "/a", &mounts), 0);
	assert_int_equal(mounts.count, 1);
	assert_string_equal(mounts.items[0].at, "b");
	tw_mounts_deinit(&mounts);
}

static void test_names_of_mounts(void **state)
{
	static const struct tw_sandbox_pair pairs[] = {
		{ "/a", "/1" },     { "/a.b", "/2" }, { "/a/c", "/3" },
		{ "/a/d/e", "/4" }, { "/z/y", "/5" },
	};
	struct tw_mounts mounts;
	char name[256], text[256] = "";
	size_t cursor = 0;

	(void)state;
	assert_int_equal(tw_sandbox_make(pairs, 5, &ada, NULL, &mounts), 0);
	while (tw_sandbox_next_name(&mounts, "", &cursor, name))
		strcat(strcat(text, name), " ");
	assert_string_equal(text, "a a.b z ");
	cursor = 0;
	*text = '\0';
	while (tw_sandbox_next_name(&mounts, "a", &cursor, name))
		strcat(strcat(text, name), " ");
	assert_string_equal(text, "c d ");
	cursor = 0;
	assert_false(tw_sandbox_next_name(&mounts, "a/c", &cursor, name));
	tw_mounts_deinit(&mounts);
}

/* Listings that are remembered. */

static void push(struct tw_recent *recent, const char *folder, const char *names, tw_ns now)
{
	struct tw_recent_listing *listing = tw_recent_begin(folder, now);

	assert_non_null(listing);
	for (; *names; names++) {
		const char name[2] = { *names, '\0' };
		const struct tw_file_stat stat = { .kind = *names == 'l' ? TW_KIND_SYMLINK
									 : TW_KIND_FILE };

		tw_recent_add(listing, name, &stat);
	}
	tw_recent_push(recent, listing);
}

static void test_recent(void **state)
{
	struct tw_recent recent = { 0 };
	struct tw_file_stat stat;

	(void)state;
	assert_false(tw_recent_take(&recent, "a", false, 1, &stat));
	push(&recent, "", "abcl", 1);
	push(&recent, "b", "xy", 1);
	assert_true(tw_recent_take(&recent, "b/x", false, 1, &stat));
	assert_false(tw_recent_take(&recent, "b/x", false, 1, &stat));
	assert_true(tw_recent_take(&recent, "b/y", true, 1, &stat));
	/* Back to the folder above; out of order, too. */
	assert_true(tw_recent_take(&recent, "c", false, 1, &stat));
	assert_true(tw_recent_take(&recent, "a", false, 1, &stat));
	assert_false(tw_recent_take(&recent, "b/y", false, 1, &stat));
	assert_false(tw_recent_take(&recent, "l", true, 1, &stat));
	assert_true(tw_recent_take(&recent, "l", false, 1, &stat));
	assert_false(tw_recent_take(&recent, "none", false, 1, &stat));
	assert_false(tw_recent_take(&recent, "b", false, 2 + TW_RECENT_AGE, &stat));
	/* Beside: the other one goes. */
	push(&recent, "b", "x", 1);
	push(&recent, "bb", "x", 1);
	assert_false(tw_recent_take(&recent, "b/x", false, 1, &stat));
	assert_true(tw_recent_take(&recent, "bb/x", false, 1, &stat));
	tw_recent_deinit(&recent);
}

/* Views of several mounts. */

static void make_trees(struct agent_world *world)
{
	static const struct tw_sandbox_pair pairs[] = {
		{ "/", "in" },
		{ "/media", "in2" },
		{ "/far/away", "in3" },
	};

	agent_make(world, "in2");
	agent_make(world, "in3");
	agent_put(world, "in/own", "1");
	agent_make(world, "in/media");
	agent_put(world, "in/media/hidden", "22");
	agent_put(world, "in2/film", "333");
	agent_put(world, "in3/star", "4444");
	agent_world_view(world, pairs, 3, NULL);
}

static int take(void *context, const char *name)
{
	strcat(strcat(context, name), " ");
	return 0;
}

static void test_view(void **state)
{
	struct agent_world *world = *state;
	const struct tw_fs_ops *ops;
	struct tw_file_stat stat;
	struct tw_file *file;
	char text[256] = "";

	make_trees(world);
	ops = world->fs.ops;
	assert_int_equal(ops->list(world->fs.context, "", take, text), 0);
	assert_string_equal(text, "far media own ");
	*text = '\0';
	assert_int_equal(ops->list(world->fs.context, "/media", take, text), 0);
	assert_string_equal(text, "film ");
	*text = '\0';
	assert_int_equal(ops->list(world->fs.context, "far", take, text), 0);
	assert_string_equal(text, "away ");
	*text = '\0';
	assert_int_equal(ops->list(world->fs.context, "far/away", take, text), 0);
	assert_string_equal(text, "star ");
	assert_int_equal(ops->stat(world->fs.context, "far", false, &stat), 0);
	assert_int_equal(stat.kind, TW_KIND_DIRECTORY);
	assert_int_equal(ops->stat(world->fs.context, "far/none", false, &stat), -ENOENT);
	assert_int_equal(ops->stat(world->fs.context, "media/film", false, &stat), 0);
	assert_int_equal(stat.size, 3);
	assert_int_equal(ops->stat(world->fs.context, "media/hidden", false, &stat), -ENOENT);
	assert_int_equal(ops->open(world->fs.context, "far", TW_OPEN_READ, &file), -ENOENT);
	assert_int_equal(ops->open(world->fs.context, "../in2/film", TW_OPEN_READ, &file),
			 TW_E_UNSAFE);
	assert_int_equal(ops->rename(world->fs.context, "media/film", "own", true), -EXDEV);
	assert_int_equal(ops->rename(world->fs.context, "media", "m", false), -EBUSY);
	assert_int_equal(ops->unlink(world->fs.context, "far/away"), -EBUSY);
}

static int operate(const struct agent_world *world, enum tw_files_operation operation,
		   const char *path, const char *to, struct tw_files_result *result)
{
	const struct tw_files_request request = {
		.operation = operation, .path = path, .to = to, .recursive = true
	};

	tw_view_files_run(world->view, &request, NULL, NULL, result);
	return result->error;
}

static int outcome(const struct agent_world *world, enum tw_files_operation operation,
		   const char *path, const char *to)
{
	struct tw_files_result result;
	int r = operate(world, operation, path, to, &result);

	tw_files_result_deinit(&result);
	return r;
}

static void test_view_files(void **state)
{
	struct agent_world *world = *state;
	struct tw_files_result result;

	make_trees(world);
	assert_int_equal(operate(world, TW_FILES_LS, "/", NULL, &result), 0);
	assert_int_equal(result.listings[0].entry_count, 3);
	assert_string_equal(result.listings[0].entries[0].name, "far");
	assert_true(result.listings[0].entries[0].is_directory);
	assert_string_equal(result.listings[0].entries[1].name, "media");
	tw_files_result_deinit(&result);
	assert_int_equal(operate(world, TW_FILES_LS, "/far", NULL, &result), 0);
	assert_int_equal(result.listings[0].entry_count, 1);
	tw_files_result_deinit(&result);
	assert_int_equal(outcome(world, TW_FILES_LS, "/far/none", NULL), -ENOENT);

	assert_int_equal(operate(world, TW_FILES_DU, "/far", NULL, &result), 0);
	assert_int_equal(result.bytes, 4);
	tw_files_result_deinit(&result);
	assert_int_equal(operate(world, TW_FILES_DU, "/media", NULL, &result), 0);
	assert_int_equal(result.bytes, 3);
	tw_files_result_deinit(&result);

	/* Between mounts. */
	assert_int_equal(outcome(world, TW_FILES_MV, "/media/film", "/far/away/film"), 0);
	assert_true(agent_exists(world, "in3/film"));
	assert_int_equal(outcome(world, TW_FILES_MV, "/far/away/film", "/film"), 0);
	assert_true(agent_exists(world, "in/film"));
	assert_int_equal(operate(world, TW_FILES_MV, "/media/none", "/x", &result), -ENOENT);
	assert_string_equal(result.path, "media/none");
	tw_files_result_deinit(&result);

	/* What leads to a mount stays. */
	assert_int_equal(outcome(world, TW_FILES_RM, "/media", NULL), -EBUSY);
	assert_int_equal(outcome(world, TW_FILES_RM, "/far", NULL), -EBUSY);
	assert_int_equal(outcome(world, TW_FILES_RM, "/", NULL), -EBUSY);
	assert_int_equal(outcome(world, TW_FILES_MV, "/far", "/near"), -EBUSY);
	assert_int_equal(outcome(world, TW_FILES_MV, "/own", "/media"), -EBUSY);
	assert_int_equal(outcome(world, TW_FILES_MK_FILE, "/media", NULL), -EEXIST);
	assert_int_equal(outcome(world, TW_FILES_MKDIR, "/media", NULL), 0);
	assert_int_equal(outcome(world, TW_FILES_RM, "/own", NULL), 0);
}

/* Nothing mounted at the top: only the way to the mounts is there. */
static void test_view_without_top(void **state)
{
	static const struct tw_sandbox_pair pair = { "/a/b", "in" };
	struct agent_world *world = *state;
	struct tw_files_result result;

	agent_world_view(world, &pair, 1, NULL);
	assert_int_equal(operate(world, TW_FILES_LS, "/", NULL, &result), 0);
	assert_int_equal(result.listings[0].entry_count, 1);
	assert_string_equal(result.listings[0].entries[0].name, "a");
	tw_files_result_deinit(&result);
	assert_int_equal(outcome(world, TW_FILES_MKDIR, "/a/c", NULL), -EACCES);
	assert_int_equal(outcome(world, TW_FILES_MKDIR, "/a", NULL), 0);
	assert_int_equal(outcome(world, TW_FILES_MK_FILE, "/x", NULL), -EACCES);
	assert_int_equal(outcome(world, TW_FILES_RM, "/a", NULL), -EBUSY);
	assert_int_equal(outcome(world, TW_FILES_RM, "/x", NULL), -EACCES);
	assert_int_equal(outcome(world, TW_FILES_MK_FILE, "/a/b/x", NULL), 0);
	assert_int_equal(outcome(world, TW_FILES_MV, "/a/b/x", "/x"), -EACCES);
	assert_true(agent_exists(world, "in/x"));
	/* A view with nothing in it. */
	agent_world_view(world, &pair, 0, NULL);
	assert_int_equal(operate(world, TW_FILES_LS, "/", NULL, &result), 0);
	assert_int_equal(result.listings[0].entry_count, 0);
	tw_files_result_deinit(&result);
	assert_int_equal(outcome(world, TW_FILES_LS, "/in", NULL), -ENOENT);
	assert_int_equal(outcome(world, TW_FILES_DU, "/", NULL), 0);
	assert_int_equal(outcome(world, TW_FILES_MK_FILE, "/", NULL), -EEXIST);
	assert_int_equal(outcome(world, TW_FILES_MKDIR, "/", NULL), 0);
	assert_int_equal(outcome(world, TW_FILES_RM, "/", NULL), -EBUSY);
	assert_int_equal(outcome(world, TW_FILES_MV, "/", "/x"), -EBUSY);
}

static void test_view_fence(void **state)
{
	static const struct tw_sandbox_pair top = { "/", "in" };
	struct agent_world *world = *state;
	struct tw_file_stat stat;

	agent_make(world, "in/shared");
	agent_put(world, "in/shared/yes", "1");
	agent_put(world, "in/no", "1");
	assert_int_equal(symlink("../no", agent_at(world, "in/shared/up")), 0);
	assert_int_equal(symlink("../out", agent_at(world, "in/away")), 0);
	agent_world_view(world, &top, 1, "/shared");
	assert_int_equal(world->fs.ops->stat(world->fs.context, "yes", true, &stat), 0);
	assert_int_equal(world->fs.ops->stat(world->fs.context, "up", true, &stat), TW_E_UNSAFE);
	assert_int_equal(world->fs.ops->stat(world->fs.context, "../no", true, &stat), TW_E_UNSAFE);
	/* A fence that is a link out of the target. */
	agent_world_view(world, &top, 1, "/away");
	assert_int_equal(world->fs.ops->stat(world->fs.context, "secret", true, &stat),
			 TW_E_UNSAFE);
	agent_world_view(world, &top, 1, "/none");
	assert_int_equal(world->fs.ops->stat(world->fs.context, "", true, &stat), -ENOENT);
}

/* Nobody who is not granted. */
static void test_view_of_stranger(void **state)
{
	struct agent_world *world = *state;
	const struct tw_sandbox_pair pair = { "/", "/" };
	const struct tw_view_options options = {
		.accounts = world->accounts,
		.user = "no-such-account",
		.pairs = &pair,
		.pair_count = 1,
	};
	const struct tw_files_request request = { .operation = TW_FILES_LS, .path = "/" };
	struct tw_files_result result;
	struct tw_view *view;

	assert_int_equal(tw_view_new(&options, &view), 0);
	tw_view_files_run(view, &request, NULL, NULL, &result);
	assert_int_equal(result.error, -EACCES);
	tw_files_result_deinit(&result);
	tw_view_drop(view);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_normal),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_placeholders),
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_twice),
		cmocka_unit_test(test_fence),
		cmocka_unit_test(test_fence_elsewhere),
		cmocka_unit_test(test_names_of_mounts),
		cmocka_unit_test(test_recent),
		agent_test(test_view),
		agent_test(test_view_files),
		agent_test(test_view_without_top),
		agent_test(test_view_fence),
		agent_test(test_view_of_stranger),
	};

	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
