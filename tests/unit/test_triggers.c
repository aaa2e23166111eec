#include "unit.h"

#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/temp_dir.h"
#include "engine/triggers.h"

struct world {
	struct event_base *base;
	struct tw_accounts *accounts;
	struct tw_triggers *triggers;
	char folder[TEMP_PATH_MAX], log[TEMP_PATH_MAX + 16], out[TEMP_PATH_MAX + 16];
};

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof *world);
	struct tw_trigger_options options = { .limit_seconds = 1 };

	temp_dir_make(world->folder);
	snprintf(world->log, sizeof world->log, "%s/log", world->folder);
	snprintf(world->out, sizeof world->out, "%s/out", world->folder);
	world->base = event_base_new();
	options.base = world->base;
	assert_int_equal(tw_accounts_local_new(NULL, NULL, &world->accounts), 0);
	assert_int_equal(tw_accounts_local_triggers(world->accounts, world->folder), 0);
	options.accounts = world->accounts;
	options.log_path = world->log;
	assert_int_equal(tw_triggers_new(&options, &world->triggers), 0);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	tw_triggers_free(world->triggers);
	tw_accounts_local_free(world->accounts);
	event_base_free(world->base);
	temp_dir_remove(world->folder);
	free(world);
	return 0;
}

static void script(const struct world *world, const char *event, const char *text, mode_t mode)
{
	char path[TEMP_PATH_MAX + 64];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", world->folder, event);
	file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file, "#!/bin/sh\nout='%s'\n%s\n", world->out, text);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
}

static void run_all(struct world *world)
{
	while (tw_triggers_count(world->triggers))
		event_base_loop(world->base, EVLOOP_ONCE);
}

static char *content(const char *path)
{
	static char text[65536];
	FILE *file = fopen(path, "r");
	size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;

	if (file)
		fclose(file);
	text[length] = '\0';
	return text;
}

static json_t *complete_event(void)
{
	return json_pack("{s:s, s:s, s:s, s:i, s:s, s:n}", "_event", "send.transferComplete",
			 "transferId", "abc", "destinationIP", "2001:db8::1", "destinationPort",
			 8886, "destinationPath", "a b; $(touch /x)", "errorMessage");
}

static void test_arguments_and_entry(void **state)
{
	struct world *world = *state;
	json_t *entry = complete_event();
	char *text = json_dumps(entry, JSON_COMPACT), expected[1024];

	script(world, "send.transferComplete",
	       "printf '<%s>' \"$#\" \"$@\" \"$TRADEWIND_EVENT\" \"$(pwd)\" > \"$out\"; cat >> \"$out\"",
	       0755);
	tw_triggers_run(world->triggers, "send.transferComplete", "", entry);
	run_all(world);
	snprintf(expected, sizeof expected,
		 "<4><abc><[2001:db8::1]:8886><a b; $(touch /x)><><send.transferComplete></>%s",
		 text);
	assert_string_equal(content(world->out), expected);
	free(text);
	json_decref(entry);
}

/* Programs run in /, where a relative path of the server's would lead nowhere. */
static void test_a_folder_that_is_not_absolute(void **state)
{
	struct world *world = *state;
	struct tw_trigger_options options = { .base = world->base, .accounts = world->accounts };
	json_t *entry = complete_event();
	struct tw_triggers *triggers;
	char *before = get_current_dir_name();

	script(world, "send.transferComplete", "echo done > \"$out\"", 0755);
	assert_int_equal(chdir(world->folder), 0);
	assert_int_equal(tw_accounts_local_triggers(world->accounts, "."), 0);
	assert_int_equal(tw_triggers_new(&options, &triggers), 0);
	assert_int_equal(chdir("/"), 0);
	tw_triggers_run(triggers, "send.transferComplete", "", entry);
	while (tw_triggers_count(triggers))
		event_base_loop(world->base, EVLOOP_ONCE);
	assert_string_equal(content(world->out), "done\n");
	tw_triggers_free(triggers);
	assert_int_equal(chdir(before), 0);
	free(before);
	json_decref(entry);
}

static void test_only_executable_files_of_that_name(void **state)
{
	struct world *world = *state;
	json_t *entry = complete_event();

	script(world, "send.transferError", "echo no > \"$out\"", 0755);
	script(world, "send.transferComplete", "echo no > \"$out\"", 0644);
	tw_triggers_run(world->triggers, "send.transferComplete", "", entry);
	tw_triggers_run(world->triggers, "../send.transferError", "", entry);
	assert_int_equal(tw_triggers_count(world->triggers), 0);
	assert_int_equal(access(world->out, F_OK), -1);
	json_decref(entry);
}

static void test_output_goes_to_the_log_cleaned(void **state)
{
	struct world *world = *state;
	json_t *entry = complete_event();

	script(world, "send.transferComplete",
	       "printf 'fine\\n\\033[31mred'; echo oops >&2; exit 3", 0755);
	tw_triggers_run(world->triggers, "send.transferComplete", "", entry);
	run_all(world);
	assert_non_null(strstr(content(world->log), ": fine\n"));
	assert_non_null(strstr(content(world->log), "\\x1B[31mred"));
	assert_non_null(strstr(content(world->log), "ended with 3"));
	assert_null(strchr(content(world->log), '\033'));
	json_decref(entry);
}

static void test_limit_ends_its_children_too(void **state)
{
	struct world *world = *state;
	json_t *entry = complete_event();
	int pid;

	script(world, "send.transferComplete", "sleep 600 & echo $! > \"$out\"; wait", 0755);
	tw_triggers_run(world->triggers, "send.transferComplete", "", entry);
	run_all(world);
	assert_non_null(strstr(content(world->log), "killed"));
	pid = atoi(content(world->out));
	assert_true(pid > 1);
	/* Gone, or a zombie that nobody has collected yet. */
	for (unsigned i = 0; i < 1000; i++) {
		char path[64];

		snprintf(path, sizeof path, "/proc/%d/stat", pid);
		if (!content(path)[0] || strstr(content(path), ") Z "))
			break;
		usleep(10000);
		assert_true(i < 999);
	}
	json_decref(entry);
}

/* Its owner may do with its processes as he likes: one that writes without end, and whose keeper
 * does not go on, takes neither our time nor a place for others. */
static void test_owner_who_misbehaves(void **state)
{
	struct world *world = *state;
	json_t *entry = complete_event();
	int keeper;

	script(world, "send.transferComplete",
	       "echo $PPID > \"$out\"; kill -STOP $PPID; yes '' & yes '' & yes '' & wait", 0755);
	tw_triggers_run(world->triggers, "send.transferComplete", "", entry);
	run_all(world);
	assert_non_null(strstr(content(world->log), "killed"));
	assert_non_null(strstr(content(world->log), "nobody says how it ended"));
	keeper = atoi(content(world->out));
	assert_true(keeper > 1);
	kill(keeper, SIGCONT);
	json_decref(entry);
}

static void test_many_in_order_none_lost(void **state)
{
	struct world *world = *state;
	unsigned lines = 0;
	const char *at;

	script(world, "recv.fileComplete", "echo \"$1\" >> \"$out\"", 0755);
	for (int i = 0; i < 100; i++) {
		json_t *entry = json_pack("{s:s}", "path", "x");

		tw_triggers_run(world->triggers, "recv.fileComplete", "", entry);
		json_decref(entry);
	}
	assert_int_equal(tw_triggers_count(world->triggers), 100);
	run_all(world);
	for (at = content(world->out); (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, 100);
}

static void test_runs_as_the_owner(void **state)
{
	struct world *world = *state;
	json_t *entry = complete_event();
	struct passwd *nobody = getpwnam("nobody");
	char expected[64];

	if (geteuid() != 0 || !nobody) {
		skip();
		return;
	}
	assert_int_equal(chmod(world->folder, 0777), 0);
	script(world, "send.transferComplete", "echo \"$(id -u) $(id -G) $USER\" > \"$out\"", 0755);
	tw_triggers_run(world->triggers, "send.transferComplete", "nobody", entry);
	run_all(world);
	snprintf(expected, sizeof expected, "%u %u nobody\n", (unsigned)nobody->pw_uid,
		 (unsigned)nobody->pw_gid);
	assert_string_equal(content(world->out), expected);

	unlink(world->out);
	tw_triggers_run(world->triggers, "send.transferComplete", "no-such-account", entry);
	run_all(world);
	assert_int_equal(access(world->out, F_OK), -1);
	assert_non_null(strstr(content(world->log), "has no account"));
	json_decref(entry);
}

static void test_ends_with_the_server(void **state)
{
	struct world *world = *state;
	json_t *entry = complete_event();

	script(world, "send.transferComplete", "sleep 600", 0755);
	for (unsigned i = 0; i < TW_TRIGGERS_RUNNING + 3; i++)
		tw_triggers_run(world->triggers, "send.transferComplete", "", entry);
	json_decref(entry);
	/* tear_down() must not wait for any of them. */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(arguments_and_entry),
		TEST(a_folder_that_is_not_absolute),
		TEST(only_executable_files_of_that_name),
		TEST(output_goes_to_the_log_cleaned),
		TEST(limit_ends_its_children_too),
		TEST(owner_who_misbehaves),
		TEST(many_in_order_none_lost),
		TEST(runs_as_the_owner),
		TEST(ends_with_the_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
