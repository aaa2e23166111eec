#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/identity_file.h"

static char folder[] = "/tmp/tw-identity-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -r %s", folder);
	return system(command);
}

static const char *in_folder(const char *name)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

static void test_made_once(void **state)
{
	char complaint[TW_COMPLAINT_FILE];
	const char *path = in_folder("a/b/identity");
	struct tw_identity first, second;
	struct stat status;

	(void)state;
	assert_int_equal(tw_identity_file_load(path, &first, complaint), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(status.st_nlink, 1);
	assert_int_equal(tw_identity_file_load(path, &second, complaint), 0);
	assert_memory_equal(&first, &second, sizeof first);
	assert_int_equal(stat(in_folder("a/b"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0700);
}

static void test_too_open(void **state)
{
	char complaint[TW_COMPLAINT_FILE], wanted[PATH_MAX + 16];
	const char *path = in_folder("open");
	struct tw_identity identity;

	(void)state;
	assert_int_equal(tw_identity_file_load(path, &identity, complaint), 0);
	for (unsigned mode = 0601; mode <= 0640; mode += 7) {
		assert_int_equal(chmod(path, mode), 0);
		assert_int_equal(tw_identity_file_load(path, &identity, complaint),
				 mode & 077 ? TW_E_DENIED : 0);
		if (mode & 077) {
			snprintf(wanted, sizeof wanted, "chmod 600 %s", path);
			assert_non_null(strstr(complaint, wanted));
		}
	}
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(tw_identity_file_load(path, &identity, complaint), 0);
}

static void test_not_an_identity(void **state)
{
	char complaint[TW_COMPLAINT_FILE] = "";
	const char *path = in_folder("garbage");
	struct tw_identity identity;
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "private-key: no\n", 16), 16);
	close(fd);
	assert_int_equal(tw_identity_file_load(path, &identity, complaint), TW_E_FORMAT);
	assert_non_null(strstr(complaint, path));
	assert_int_equal(tw_identity_file_load(folder, &identity, complaint), TW_E_DENIED);
	assert_int_equal(tw_identity_file_load("/proc/nothing/identity", &identity, complaint),
			 -ENOENT);
	assert_non_null(strstr(complaint, "--identity"));
}

static void test_renew(void **state)
{
	char complaint[TW_COMPLAINT_FILE], old[PATH_MAX + 8];
	const char *path = in_folder("renewed");
	struct tw_identity first, second, again;

	(void)state;
	snprintf(old, sizeof old, "%s.old", path);
	assert_int_equal(tw_identity_file_load(path, &first, complaint), 0);
	assert_int_equal(tw_identity_file_renew(path, &second, complaint), 0);
	assert_memory_not_equal(&first, &second, sizeof first);
	assert_int_equal(tw_identity_file_load(path, &again, complaint), 0);
	assert_memory_equal(&second, &again, sizeof second);
	assert_int_equal(tw_identity_file_load(old, &again, complaint), 0);
	assert_memory_equal(&first, &again, sizeof first);
}

static pthread_barrier_t barrier;

static void *load_at_once(void *context)
{
	char complaint[TW_COMPLAINT_FILE], path[PATH_MAX];

	snprintf(path, sizeof path, "%s/race", folder);
	pthread_barrier_wait(&barrier);
	return (void *)(intptr_t)tw_identity_file_load(path, context, complaint);
}

/* Many that start at the same moment end up with the same key. */
static void test_race(void **state)
{
	struct tw_identity identities[8];
	pthread_t threads[8];

	(void)state;
	pthread_barrier_init(&barrier, NULL, 8);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, load_at_once, &identities[i]),
				 0);
	for (unsigned i = 0; i < 8; i++) {
		void *result;

		pthread_join(threads[i], &result);
		assert_null(result);
		assert_memory_equal(&identities[0], &identities[i], sizeof identities[0]);
	}
	pthread_barrier_destroy(&barrier);
}

static void test_where(void **state)
{
	char path[PATH_MAX], long_name[PATH_MAX];

	(void)state;
	memset(long_name, 'a', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = '\0';
	unsetenv("TRADEWIND_IDENTITY");
	setenv("XDG_DATA_HOME", "/data", 1);
	assert_int_equal(tw_identity_file_path(NULL, path), 0);
	assert_string_equal(path, "/data/tradewind/identity");
	setenv("TRADEWIND_IDENTITY", "/env", 1);
	assert_int_equal(tw_identity_file_path(NULL, path), 0);
	assert_string_equal(path, "/env");
	assert_int_equal(tw_identity_file_path("option", path), 0);
	assert_string_equal(path, "option");
	assert_int_equal(tw_identity_file_path(long_name, path), TW_E_FULL);
	unsetenv("TRADEWIND_IDENTITY");
	unsetenv("XDG_DATA_HOME");
	setenv("HOME", "/home/me", 1);
	assert_int_equal(tw_identity_file_path(NULL, path), 0);
	assert_string_equal(path, geteuid() == 0 ? "/var/lib/tradewind/identity"
						 : "/home/me/.local/share/tradewind/identity");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_once),
		cmocka_unit_test(test_too_open),
		cmocka_unit_test(test_not_an_identity),
		cmocka_unit_test(test_renew),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_where),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
