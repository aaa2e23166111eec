/* test_grants.c - the list of accounts that have proved themselves. */
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/grants.h"
#include "base/error.h"

struct place {
	char path[64];
	int folder;
};

static int place_make(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	snprintf(place->path, sizeof(place->path), "/tmp/test_grants-XXXXXX");
	assert_non_null(mkdtemp(place->path));
	place->folder = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(place->folder >= 0);
	*state = place;
	return 0;
}

static int place_free(void **state)
{
	struct place *place = *state;

	unlinkat(place->folder, TW_GRANTS_FILE, 0);
	unlinkat(place->folder, "other", 0);
	close(place->folder);
	assert_int_equal(rmdir(place->path), 0);
	free(place);
	return 0;
}

static struct tw_account account(const char *name, uid_t uid, gid_t gid)
{
	struct tw_account made = { .uid = uid, .gid = gid };

	snprintf(made.name, sizeof(made.name), "%s", name);
	return made;
}

static void put(const struct place *place, const char *text, mode_t mode)
{
	int fd = openat(place->folder, TW_GRANTS_FILE, O_WRONLY | O_CREAT | O_TRUNC, mode);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static unsigned entries(const struct place *place)
{
	DIR *folder = opendir(place->path);
	unsigned count = 0;

	while (readdir(folder))
		count++;
	closedir(folder);
	return count - 2;
}

static void test_survives(void **state)
{
	const struct place *place = *state;
	struct tw_account alice = account("alice", 1000, 100), spaced = account("ad\\a b", 5, 6);
	const struct tw_grant *grant;
	struct tw_grants grants;
	struct stat st;

	assert_int_equal(tw_grants_open(place->folder, &grants), 0);
	assert_null(tw_grants_find(&grants, "alice"));
	assert_int_equal(tw_grants_add(&grants, &alice), 0);
	assert_int_equal(tw_grants_add(&grants, &spaced), 0);
	assert_int_equal(tw_grants_add(&grants, &alice), 0);
	tw_grants_close(&grants);

	assert_int_equal(fstatat(place->folder, TW_GRANTS_FILE, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(entries(place), 1);
	assert_int_equal(tw_grants_open(place->folder, &grants), 0);
	assert_int_equal(grants.count, 2);
	grant = tw_grants_find(&grants, "alice");
	assert_non_null(grant);
	assert_int_equal(grant->uid, 1000);
	assert_int_equal(grant->gid, 100);
	assert_non_null(tw_grants_find(&grants, "ad\\a b"));

	/* Another id under the same name takes the place of the one before. */
	alice.uid = 1001;
	assert_int_equal(tw_grants_add(&grants, &alice), 0);
	assert_int_equal(grants.count, 2);
	assert_int_equal(tw_grants_find(&grants, "alice")->uid, 1001);
	assert_int_equal(tw_grants_remove(&grants, "alice"), 0);
	assert_int_equal(tw_grants_remove(&grants, "alice"), 0);
	tw_grants_close(&grants);
	assert_int_equal(tw_grants_open(place->folder, &grants), 0);
	assert_int_equal(grants.count, 1);
	assert_null(tw_grants_find(&grants, "alice"));
	tw_grants_close(&grants);
}

static void test_names(void **state)
{
	const struct place *place = *state;
	struct tw_account bad = account("two\nlines", 1, 1), none = account("", 1, 1);
	struct tw_grants grants;

	assert_int_equal(tw_grants_open(place->folder, &grants), 0);
	assert_int_equal(tw_grants_add(&grants, &bad), -EINVAL);
	assert_int_equal(tw_grants_add(&grants, &none), -EINVAL);
	assert_int_equal(grants.count, 0);
	assert_int_equal(entries(place), 0);
	tw_grants_close(&grants);
}

static void test_damaged(void **state)
{
	static const char *const texts[] = {
		"",
		"tradewind grants 2\n1 1 a\n",
		"tradewind grants 1\n1 1 a",
		"tradewind grants 1\n1 1 a\n1 1\n",
		"tradewind grants 1\n-1 1 a\n",
		"tradewind grants 1\n4294967295 1 a\n",
		"tradewind grants 1\n1 4294967295 a\n",
		"tradewind grants 1\n1 1 \n",
		"tradewind grants 1\n1 1 a\tb\n",
		"tradewind grants 1\n1 1 a\n\n",
		"tradewind grants 1\n01x 1 a\n",
		"tradewind grants 1\n99999999999999999999 1 a\n",
	};
	const struct place *place = *state;
	struct tw_account bob = account("bob", 2, 2);
	struct tw_grants grants;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		put(place, texts[i], 0600);
		if (tw_grants_open(place->folder, &grants) != TW_E_FORMAT)
			fail_msg("taken: %s", texts[i]);
		assert_int_equal(grants.count, 0);
		tw_grants_close(&grants);
	}
	/* It begins anew. */
	assert_int_equal(tw_grants_open(place->folder, &grants), TW_E_FORMAT);
	assert_int_equal(tw_grants_add(&grants, &bob), 0);
	tw_grants_close(&grants);
	assert_int_equal(tw_grants_open(place->folder, &grants), 0);
	assert_int_equal(grants.count, 1);
	tw_grants_close(&grants);
}

static const char good[] = "tradewind grants 1\n0 0 root\n";

static void test_not_its_own(void **state)
{
	const struct place *place = *state;
	struct tw_grants grants;

	put(place, good, 0600);
	assert_int_equal(tw_grants_open(place->folder, &grants), 0);
	assert_int_equal(grants.count, 1);
	tw_grants_close(&grants);

	put(place, good, 0620);
	assert_int_equal(tw_grants_open(place->folder, &grants), TW_E_UNSAFE);
	assert_int_equal(grants.count, 0);
	tw_grants_close(&grants);

	put(place, good, 0600);
	assert_int_equal(linkat(place->folder, TW_GRANTS_FILE, place->folder, "other", 0), 0);
	assert_int_equal(tw_grants_open(place->folder, &grants), TW_E_UNSAFE);
	tw_grants_close(&grants);
	assert_int_equal(unlinkat(place->folder, TW_GRANTS_FILE, 0), 0);
	assert_int_equal(symlinkat("other", place->folder, TW_GRANTS_FILE), 0);
	assert_int_equal(tw_grants_open(place->folder, &grants), TW_E_UNSAFE);
	tw_grants_close(&grants);
	assert_int_equal(unlinkat(place->folder, TW_GRANTS_FILE, 0), 0);
	if (geteuid() == 0) {
		put(place, good, 0600);
		assert_int_equal(fchownat(place->folder, TW_GRANTS_FILE, 65534, 65534, 0), 0);
		assert_int_equal(tw_grants_open(place->folder, &grants), TW_E_UNSAFE);
		tw_grants_close(&grants);
	}
}

static void test_cap(void **state)
{
	struct tw_grants grants;
	struct tw_account each;
	char name[32];

	(void)state;
	assert_int_equal(tw_grants_open(-1, &grants), 0);
	for (unsigned i = 0; i < TW_GRANTS_MAX + 2; i++) {
		snprintf(name, sizeof(name), "user%u", i);
		each = account(name, i, i);
		assert_int_equal(tw_grants_add(&grants, &each), 0);
	}
	assert_int_equal(grants.count, TW_GRANTS_MAX);
	assert_null(tw_grants_find(&grants, "user1"));
	assert_non_null(tw_grants_find(&grants, "user2"));
	assert_non_null(tw_grants_find(&grants, name));
	tw_grants_close(&grants);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_survives, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_names, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_damaged, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_not_its_own, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_cap, place_make, place_free),
	};

	return cmocka_run_group_tests_name("grants", tests, NULL, NULL);
}
