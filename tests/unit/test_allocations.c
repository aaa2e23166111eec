/*
 * The n-th allocation fails, for every n of a run: nothing crashes, nothing leaks (the sanitized
 * build looks), what is tried again succeeds and nothing was lost. And flushes that fail. The
 * linker puts the functions below in front of the system's.
 */
#include "storeworld.h"

#include <stdatomic.h>
#include <time.h>

#include "content/listing.h"
#include "engine/files.h"

static unsigned fail_at, allocations; /* 0: none fails */
static atomic_uint failing_flushes;

static bool fails(void)
{
	allocations++;
	return fail_at && allocations == fail_at;
}

#define WRAP(type, name, parameters, arguments) \
	type __real_##name parameters; \
	type __wrap_##name parameters; \
	type __wrap_##name parameters \
	{ \
		return fails() ? NULL : __real_##name arguments; \
	}

WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *bytes, size_t size), (bytes, size))
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
WRAP(char *, strdup, (const char *text), (text))

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

/* Only the store's own: SQLite's are behind its library. */
int __wrap_fdatasync(int fd)
{
	if (failing_flushes) {
		failing_flushes--;
		errno = EIO;
		return -1;
	}
	return __real_fdatasync(fd);
}

static void arm(unsigned n)
{
	allocations = 0;
	fail_at = n;
}

/* Whether the n-th has been reached at all. */
static bool disarm(void)
{
	bool reached = allocations >= fail_at;

	fail_at = 0;
	return reached;
}

/* Once more after a failure: only one of them fails. */
#define MUST(call) \
	do { \
		int must = (call); \
		if (must) { \
			assert_int_equal(must, -ENOMEM); \
			assert_int_equal((call), 0); \
		} \
	} while (0)

static struct tw_store *open_in_need(void)
{
	char message[TW_STORE_MESSAGE];
	struct tw_store *store;
	int r = tw_store_open(root, &store, message);

	if (!r)
		return store;
	assert_int_equal(r, -ENOMEM);
	assert_true(strlen(message) > 0);
	assert_int_equal(tw_store_open(root, &store, message), 0);
	return store;
}

/* No allocations of its own. */
static int count_each(void *context, const struct tw_store_record *record)
{
	*(size_t *)context += strlen(record->body);
	return 0;
}

static int load_length(struct tw_store *store, size_t *ret)
{
	*ret = 0;
	return tw_store_load(store, TW_STORE_TRANSFER, count_each, ret);
}

static void use_store(struct tw_store *store)
{
	const struct tw_store_event happened = { .name = "launch", .owner = "", .body = "{}" };
	size_t length = 0;
	uint64_t id = 0;
	char *value;
	void *blob;

	for (unsigned round = 0; round < 2; round++) {
		MUST(put(store, TW_STORE_TRANSFER, "one", 1, "12345"));
		MUST(put(store, TW_STORE_TRANSFER, "two", 2, "12"));
		MUST(put_blob(store, "listing", "bytes", 5));
		MUST(tw_store_set(store, "name", "value"));
		MUST(tw_store_event_add(store, &happened, &id));
		assert_int_equal(id, round + 1);
		MUST(load_length(store, &length));
		assert_int_equal(length, 7);
		MUST(tw_store_remove(store, TW_STORE_TRANSFER, "two"));
		MUST(tw_store_commit(store));
		MUST(load_length(store, &length));
		assert_int_equal(length, 5);
		MUST(tw_store_blob(store, TW_STORE_MANIFEST, "listing", &blob, &length));
		assert_int_equal(length, 5);
		free(blob);
		MUST(tw_store_get(store, "name", &value));
		assert_string_equal(value, "value");
		free(value);
		MUST(put(store, TW_STORE_TRANSFER, "two", 2, "12"));
		MUST(tw_store_remove(store, TW_STORE_TRANSFER, "two"));
	}
	MUST(tw_store_sync(store));
}

static void test_store(void **state)
{
	bool reached = true;

	(void)state;
	for (unsigned n = 1; reached; n++) {
		struct tw_store *store;

		temp_dir_remove(root);
		temp_dir_make(root);
		arm(n);
		store = open_in_need();
		use_store(store);
		tw_store_close(store);
		reached = disarm();
		store = open_store();
		assert_string_equal(loaded(store, TW_STORE_TRANSFER),
				    "3 one anna pending 1 12345\n");
		assert_string_equal(ids(store, 0, 0, 10), "1 2 ");
		tw_store_close(store);
		assert_true(n < 1000);
	}
}

static void make_tree(void)
{
	assert_int_equal(mkdir(at("tree"), 0755), 0);
	assert_int_equal(mkdir(at("tree/sub"), 0755), 0);
	write_file(at("tree/one"), "1", 1);
	write_file(at("tree/sub/two"), "22", 2);
}

/* A source that has walked, with nothing failing. */
static struct tw_source *walked(const struct tw_fs *fs)
{
	const struct tw_source_mapping mapping = { "tree", "" };
	const struct tw_source_options options = { .mappings = &mapping,
						   .mapping_count = 1,
						   .read_content = true };
	struct tw_source *source;

	assert_int_equal(tw_source_new(fs, &options, &source), 0);
	while (!tw_source_walk(source, 100))
		;
	return source;
}

static void test_listing(void **state)
{
	struct tw_listing *listing, *copy;
	bool reached = true;
	struct tw_fs fs;

	(void)state;
	make_tree();
	assert_int_equal(tw_fs_posix_open(root, false, &fs), 0);
	for (unsigned n = 1; reached; n++) {
		struct tw_source *source = walked(&fs);
		size_t length;
		void *bytes;

		arm(n);
		MUST(tw_listing_from_source(source, &listing));
		MUST(tw_listing_encode(listing, &bytes, &length));
		MUST(tw_listing_decode(bytes, length, &copy));
		MUST(tw_source_new_listed(&fs, copy, true, &source));
		reached = disarm();
		assert_int_equal(tw_listing_entries(copy), 3);
		tw_source_free(source);
		tw_listing_drop(copy);
		tw_listing_drop(listing);
		free(bytes);
		assert_true(n < 1000);
	}
	tw_fs_posix_close(&fs);
}

static void test_files(void **state)
{
	struct tw_files_request request = { .operation = TW_FILES_LS, .path = "tree" };
	struct tw_files_result result;
	struct tw_root files;
	bool reached = true;

	(void)state;
	make_tree();
	assert_int_equal(tw_root_open(root, &files), 0);
	request.root = &files;
	for (unsigned n = 1; reached; n++) {
		arm(n);
		tw_files_run(&request, NULL, NULL, &result);
		reached = disarm();
		assert_int_equal(result.error, reached ? -ENOMEM : 0);
		tw_files_result_deinit(&result);
		assert_true(n < 1000);
	}
	tw_root_close(&files);
}

/* What a failed flush may have lost counts as stored only after a whole checkpoint. */
static void test_flush_fails(void **state)
{
	struct tw_store *store = open_store();
	struct stat before, after;
	char body[100000];
	int r;

	(void)state;
	assert_int_equal(tw_store_sync(store), 0);
	assert_int_equal(stat(at("tradewind.db"), &before), 0);
	memset(body, 'x', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	failing_flushes = 1000;
	assert_int_equal(put(store, TW_STORE_TRANSFER, "one", 1, body), 0);
	r = tw_store_sync(store);
	/* Either this flush failed, or the thread's before did and this was a checkpoint. */
	assert_true(r == -EIO || r == 0);
	assert_int_equal(tw_store_sync(store), 0);
	/* The log is not trusted: its content is in the database now. */
	assert_int_equal(stat(at("tradewind.db"), &after), 0);
	assert_true(after.st_size >= before.st_size + (off_t)sizeof(body) / 2);
	failing_flushes = 0;
	assert_int_equal(put(store, TW_STORE_TRANSFER, "one", 1, "{}"), 0);
	assert_int_equal(tw_store_sync(store), 0);
	store = reopen(store);
	assert_string_equal(loaded(store, TW_STORE_TRANSFER), "3 one anna pending 1 {}\n");
	tw_store_close(store);
}

/* The thread folds a long log into the database, nobody waits for it. */
static void test_log_is_folded(void **state)
{
	const struct timespec wait = { .tv_nsec = 50 * 1000 * 1000 };
	struct tw_store *store = open_store();
	char *blob = calloc(1, 1 << 20);
	struct stat st;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%u", i);
		assert_int_equal(put_blob(store, id, blob, 1 << 20), 0);
		assert_int_equal(tw_store_commit(store), 0);
	}
	for (unsigned i = 0;; i++) {
		assert_int_equal(stat(at("tradewind.db"), &st), 0);
		if (st.st_size > 20 << 20)
			break;
		assert_true(i < 1000);
		nanosleep(&wait, NULL);
	}
	/* And the log begins anew. */
	assert_int_equal(put_blob(store, "more", blob, 1 << 20), 0);
	assert_int_equal(tw_store_commit(store), 0);
	assert_int_equal(stat(at("tradewind.db-wal"), &st), 0);
	assert_true(st.st_size < 22 << 20);
	free(blob);
	tw_store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_store, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flush_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(test_log_is_folded, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
