#include "rooted.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/error.h"
#include "base/random.h"
#include "content/listing.h"

/* Sanitizers keep memory of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif

#define HEAD_SIZE 24 /* what stands before the bytes that the digest is of */

static int setup(void **state)
{
	(void)state;
	return root_make(false);
}

static struct tw_listing *walk(const struct tw_source_options *options)
{
	struct tw_listing *listing;
	struct tw_source *source;

	assert_int_equal(tw_source_new(&fs, options, &source), 0);
	while (!tw_source_walk(source, 100))
		;
	assert_int_equal(tw_listing_from_source(source, &listing), 0);
	return listing;
}

/* Four files under two mappings and one of its own, with folders, links and an empty file. */
static struct tw_listing *small_listing(void)
{
	static char absolute[TEMP_PATH_MAX + 8200];
	const struct tw_source_mapping mappings[] = {
		{ "t/one", "" },
		{ "empty-folder", "" },
		{ "t", "out/there" },
		{ absolute, "" },
	};
	const struct tw_source_options options = { .mappings = mappings,
						   .mapping_count = ARRAY_SIZE(mappings),
						   .read_content = true };

	assert_int_equal(mkdir(at("t"), 0755), 0);
	assert_int_equal(mkdir(at("t/deep"), 0700), 0);
	assert_int_equal(mkdir(at("empty-folder"), 0755), 0);
	put("t/one", "one", 3);
	put("t/deep/two", "twotwo", 6);
	put("t/deep/\xff\x1b", "odd", 3);
	put("t/none", "", 0);
	assert_int_equal(chmod(at("t/deep/two"), 0700), 0);
	snprintf(absolute, sizeof(absolute), "%s/", at("t/deep"));
	return walk(&options);
}

static struct tw_listing *again(const struct tw_listing *listing)
{
	struct tw_listing *copy;
	size_t length;
	void *bytes;

	assert_int_equal(tw_listing_encode(listing, &bytes, &length), 0);
	assert_int_equal(tw_listing_decode(bytes, length, &copy), 0);
	free(bytes);
	return copy;
}

static void assert_equal(const struct tw_listing *a, const struct tw_listing *b)
{
	static char one[TW_SOURCE_PATH_MAX + 1], two[TW_SOURCE_PATH_MAX + 1];

	assert_int_equal(tw_listing_entries(a), tw_listing_entries(b));
	assert_int_equal(tw_listing_files(a), tw_listing_files(b));
	assert_int_equal(tw_listing_bytes(a), tw_listing_bytes(b));
	for (uint64_t i = 0; i < tw_listing_entries(a); i++) {
		const struct tw_entry *x = tw_manifest_entry(tw_listing_manifest(a), i),
				      *y = tw_manifest_entry(tw_listing_manifest(b), i);
		size_t length;

		assert_int_equal(x->tape_start, y->tape_start);
		assert_int_equal(x->size, y->size);
		assert_int_equal(x->mtime_ns, y->mtime_ns);
		assert_int_equal(x->mode, y->mode);
		assert_int_equal(x->kind, y->kind);
		assert_int_equal(x->flags, y->flags);
		tw_manifest_path(tw_listing_manifest(a), i, one);
		tw_manifest_path(tw_listing_manifest(b), i, two);
		assert_string_equal(one, two);
		length = tw_listing_source_path(a, i, one, sizeof(one));
		assert_int_equal(length, strlen(one));
		tw_listing_source_path(b, i, two, sizeof(two));
		assert_string_equal(one, two);
	}
}

static void test_round_trip(void **state)
{
	static const char *const places[] = {
		"t/one", "t", "t/deep", "t/deep/two", "t/deep/\xff\x1b", "t/none", "t/one",
	};
	struct tw_listing *listing = small_listing(), *copy = again(listing);
	char path[TW_SOURCE_PATH_MAX + 1], expected[TEMP_PATH_MAX * 3];

	(void)state;
	assert_int_equal(tw_listing_entries(listing), 9);
	assert_int_equal(tw_listing_files(listing), 7);
	assert_int_equal(tw_listing_bytes(listing), 3 + 6 + 3 + 3 + 6 + 3);
	assert_equal(listing, copy);
	for (uint64_t i = 0; i < ARRAY_SIZE(places); i++) {
		tw_listing_source_path(copy, i, path, sizeof(path));
		assert_string_equal(path, places[i]);
	}
	/* The system does not mind two slashes. */
	snprintf(expected, sizeof(expected), "%s/t/deep//two", root);
	tw_listing_source_path(copy, 7, path, sizeof(path));
	assert_string_equal(path, expected);
	tw_listing_drop(copy);
	tw_listing_drop(listing);
}

/* Names that go at the destination come from nowhere. */
static void test_removals(void **state)
{
	const struct tw_source_mapping mappings[] = {
		{ NULL, "gone/first" }, { "f", "kept/f" }, { NULL, "kept/gone" },
	};
	const struct tw_source_options options = { .mappings = mappings,
						   .mapping_count = ARRAY_SIZE(mappings),
						   .read_content = true };
	static char path[TW_SOURCE_PATH_MAX + 1];
	struct tw_listing *listing, *copy;

	(void)state;
	put("f", "content", 7);
	listing = walk(&options);
	copy = again(listing);
	assert_equal(listing, copy);
	assert_int_equal(tw_listing_entries(copy), 3);
	assert_int_equal(tw_listing_files(copy), 1);
	assert_int_equal(tw_manifest_entry(tw_listing_manifest(copy), 2)->kind, TW_KIND_REMOVAL);
	assert_int_equal(tw_listing_source_path(copy, 0, path, sizeof(path)), 0);
	assert_int_equal(tw_listing_source_path(copy, 1, path, sizeof(path)), 1);
	assert_int_equal(tw_listing_source_path(copy, 2, path, sizeof(path)), 0);
	tw_listing_drop(copy);
	tw_listing_drop(listing);
}

static void test_nothing(void **state)
{
	const struct tw_source_options options = { .read_content = true };
	struct tw_listing *listing = walk(&options), *copy = again(listing);

	(void)state;
	assert_int_equal(tw_listing_entries(copy), 0);
	assert_equal(listing, copy);
	tw_listing_drop(copy);
	tw_listing_drop(listing);
	tw_listing_drop(NULL);
}

static struct tw_source *listed(struct tw_listing *listing, bool read_content)
{
	struct tw_source *source;

	assert_int_equal(tw_source_new_listed(&fs, listing, read_content, &source), 0);
	assert_int_equal(tw_source_walk(source, 1), TW_E_END);
	return source;
}

static void test_reading(void **state)
{
	struct tw_listing *listing = small_listing(), *copy = again(listing), *same;
	struct tw_digest *digests = malloc(TW_BLOCK_CHUNKS_MAX * sizeof(*digests));
	struct tw_block block = { .digests = digests };
	uint8_t *bytes = malloc(TW_CHUNK_SIZE);
	struct tw_source *source = listed(copy, true), *zeros = listed(copy, false);
	uint64_t entry;

	(void)state;
	/* The sources hold it. */
	tw_listing_drop(copy);
	tw_listing_drop(listing);
	assert_int_equal(tw_source_read(source, 0, 24, bytes, TW_CHUNK_SIZE, &block, &entry), 0);
	assert_int_equal(block.end, 24);
	assert_memory_equal(bytes, "onetwotwooddonetwotwoodd", 24);
	assert_int_equal(tw_source_read(zeros, 0, 24, bytes, TW_CHUNK_SIZE, &block, &entry), 0);
	assert_int_equal(bytes[0] | bytes[23], 0);
	/* Nothing walked, so it is what it was. */
	assert_int_equal(tw_listing_from_source(zeros, &same), 0);
	assert_int_equal(tw_listing_entries(same), 9);
	tw_listing_drop(same);
	tw_source_free(source);
	free(bytes);
	free(digests);
}

static void change_bytes_keep_mtime(const char *path)
{
	/* So that the file system's clock has moved on. */
	const struct timespec wait = { .tv_nsec = 12 * 1000 * 1000 };
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	struct stat st;

	nanosleep(&wait, NULL);
	assert_int_equal(stat(at(path), &st), 0);
	put(path, "xyz", 3);
	times[1] = st.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, at(path), times, 0), 0);
}

static void test_changed(void **state)
{
	struct tw_listing *listing = small_listing(), *copy = again(listing);
	struct tw_digest *digests = malloc(TW_BLOCK_CHUNKS_MAX * sizeof(*digests));
	struct tw_block block = { .digests = digests };
	uint8_t *bytes = malloc(TW_CHUNK_SIZE);
	struct tw_problem problem;
	struct tw_source *source;
	uint64_t entry = 0;

	(void)state;
	/* One shows by its change time alone, one is gone, one has grown. */
	change_bytes_keep_mtime("t/one");
	source = listed(copy, true);
	assert_int_equal(tw_source_read(source, 0, 3, bytes, TW_CHUNK_SIZE, &block, &entry),
			 TW_E_CHANGED);
	assert_int_equal(entry, 0);
	assert_true(tw_source_problem(source, &problem));
	assert_string_equal(problem.path, "t/one");
	assert_int_equal(unlink(at("t/deep/two")), 0);
	put("t/deep/\xff\x1b", "odd, and more", 13);
	assert_int_equal(tw_source_read(source, 3, 9, bytes, TW_CHUNK_SIZE, &block, &entry),
			 TW_E_CHANGED);
	assert_int_equal(tw_source_read(source, 9, 12, bytes, TW_CHUNK_SIZE, &block, &entry),
			 TW_E_CHANGED);
	tw_source_free(source);
	/* What one source found bad is nothing to another, but for the same reason. */
	source = listed(listing, true);
	assert_int_equal(tw_source_read(source, 0, 3, bytes, TW_CHUNK_SIZE, &block, &entry),
			 TW_E_CHANGED);
	tw_source_free(source);
	tw_listing_drop(copy);
	tw_listing_drop(listing);
	free(bytes);
	free(digests);
}

/* Every bit and every length of a stored listing. */
static void test_damage(void **state)
{
	struct tw_listing *listing = small_listing(), *copy;
	size_t length;
	void *bytes;
	uint8_t *damaged;

	(void)state;
	assert_int_equal(tw_listing_encode(listing, &bytes, &length), 0);
	damaged = malloc(length + 1);
	for (size_t i = 0; i < length * 8; i++) {
		int r;

		memcpy(damaged, bytes, length);
		damaged[i / 8] ^= (uint8_t)(1u << i % 8);
		r = tw_listing_decode(damaged, length, &copy);
		assert_int_equal(r, i / 8 == 4 ? TW_E_VERSION : TW_E_FORMAT);
	}
	memcpy(damaged, bytes, length);
	damaged[length] = 0;
	for (size_t i = 0; i <= length + 1; i++) {
		if (i != length)
			assert_int_equal(tw_listing_decode(damaged, i, &copy), TW_E_FORMAT);
	}
	free(damaged);
	free(bytes);
	tw_listing_drop(listing);
}

/* What no damage makes: another first part, with a digest that fits. */
static void test_parts_that_do_not_fit(void **state)
{
	struct tw_listing *listing = small_listing(), *copy;
	const struct tw_source_options none = { .read_content = true };
	struct tw_listing *empty = walk(&none);
	size_t length, other_length;
	void *bytes, *other;
	struct tw_digest digest;
	uint8_t *mixed;
	uint64_t part;

	(void)state;
	assert_int_equal(tw_listing_encode(listing, &bytes, &length), 0);
	assert_int_equal(tw_listing_encode(empty, &other, &other_length), 0);
	/* Head, length and manifest of the one; places and times of the other. */
	memcpy(&part, (uint8_t *)bytes + HEAD_SIZE, 8);
	part = __builtin_bswap64(part) + HEAD_SIZE + 8;
	mixed = malloc(length + other_length);
	memcpy(mixed, bytes, part);
	memcpy(mixed + part, (uint8_t *)other + other_length - 10, 10);
	for (size_t tail = 1; tail <= 10; tail++) {
		memcpy(mixed + part, (uint8_t *)other + other_length - tail, tail);
		digest = tw_digest_of(mixed + HEAD_SIZE, part + tail - HEAD_SIZE);
		memcpy(mixed + 8, digest.bytes, sizeof(digest.bytes));
		assert_int_equal(tw_listing_decode(mixed, part + tail, &copy), TW_E_FORMAT);
	}
	free(mixed);
	free(other);
	free(bytes);
	tw_listing_drop(empty);
	tw_listing_drop(listing);
}

struct reader {
	struct tw_source *source;
	const uint8_t *tape;
	uint64_t size, seed;
	bool good;
};

static void *read_about(void *context)
{
	struct tw_digest *digests = malloc(TW_BLOCK_CHUNKS_MAX * sizeof(*digests));
	struct tw_block block = { .digests = digests };
	uint8_t *bytes = malloc(TW_CHUNK_SIZE);
	struct reader *reader = context;
	struct tw_prng prng;

	tw_prng_init(&prng, reader->seed);
	reader->good = true;
	for (unsigned i = 0; i < 500 && reader->good; i++) {
		uint64_t offset = tw_prng_below(&prng, reader->size), entry;

		reader->good = !tw_source_read(reader->source, offset, reader->size, bytes,
					       TW_CHUNK_SIZE, &block, &entry) &&
			       !memcmp(bytes, reader->tape + block.start, block.end - block.start);
	}
	tw_source_free(reader->source);
	free(bytes);
	free(digests);
	return NULL;
}

static void test_two_threads(void **state)
{
	enum { FILES = 200, SIZE = 1000 };
	const struct tw_source_mapping mapping = { "", "" };
	const struct tw_source_options options = { .mappings = &mapping,
						   .mapping_count = 1,
						   .read_content = true };
	static uint8_t tape[FILES * SIZE];
	struct reader readers[2];
	struct tw_listing *listing;
	pthread_t threads[2];

	(void)state;
	for (unsigned i = 0; i < FILES; i++) {
		char name[16];

		memset(tape + (size_t)i * SIZE, (int)i, SIZE);
		snprintf(name, sizeof(name), "%03u", i);
		put(name, tape + (size_t)i * SIZE, SIZE);
	}
	listing = walk(&options);
	for (unsigned i = 0; i < 2; i++) {
		readers[i] = (struct reader){ listed(listing, true), tape, sizeof(tape), i, false };
		assert_int_equal(pthread_create(&threads[i], NULL, read_about, &readers[i]), 0);
	}
	tw_listing_drop(listing);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_true(readers[i].good);
	}
}

/* A file system of a million small files in folders of a thousand, as far as a walk looks. */
#define MANY_FOLDERS 1000u
#define MANY_FILES 999u

static int many_list(void *context, const char *path, int (*each)(void *, const char *), void *more)
{
	unsigned count = strchr(path, '/') ? MANY_FILES : MANY_FOLDERS;
	char name[32];

	(void)context;
	for (unsigned i = 0; i < count; i++) {
		int r;

		snprintf(name, sizeof(name), count == MANY_FILES ? "file-%05u.data" : "folder-%04u",
			 i);
		r = each(more, name);
		if (r)
			return r;
	}
	return 0;
}

static int many_stat(void *context, const char *path, bool follow, struct tw_file_stat *ret)
{
	static uint64_t serial = 1;

	(void)context;
	(void)follow;
	serial++;
	*ret = (struct tw_file_stat){
		.kind = strstr(path, "file-") ? TW_KIND_FILE : TW_KIND_DIRECTORY,
		.size = serial * 7919 % 5000,
		.allocated = 8192,
		.mode = 0644,
		.mtime_ns = (int64_t)(UINT64_C(1700000000000000000) + serial * 12345678),
		.ctime_ns = (int64_t)(UINT64_C(1700000000000000000) + serial * 12345678 +
				      (serial % 3 ? 0 : serial * 997)),
		.inode = serial,
	};
	return 0;
}

static void work_on_a_million(void)
{
	static const struct tw_fs_ops ops = { .list = many_list, .stat = many_stat };
	const struct tw_source_mapping mapping = { "many", "" };
	const struct tw_source_options options = { .mappings = &mapping, .mapping_count = 1 };
	struct tw_listing *listing, *copy;
	struct tw_source *source;

	fs = (struct tw_fs){ .ops = &ops };
	listing = walk(&options);
	assert_int_equal(tw_listing_entries(listing), 1000000);
	copy = again(listing);
	assert_equal(listing, copy);
	tw_listing_drop(listing);
	source = listed(copy, true);
	tw_listing_drop(copy);
	tw_source_free(source);
}

/* Walked, encoded, decoded and compared, with both and the bytes in memory at a time. */
static void test_a_million(void **state)
{
	struct rusage usage;
	int status;
	pid_t child;

	(void)state;
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		work_on_a_million();
		getrusage(RUSAGE_SELF, &usage);
		if (getenv("TEST_VERBOSE"))
			fprintf(stderr, "%ld KiB, %ld ms\n", usage.ru_maxrss,
				usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000);
		_exit(SANITIZED || usage.ru_maxrss < 256 * 1024 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_round_trip, setup, root_free),
		cmocka_unit_test_setup_teardown(test_removals, setup, root_free),
		cmocka_unit_test_setup_teardown(test_nothing, setup, root_free),
		cmocka_unit_test_setup_teardown(test_reading, setup, root_free),
		cmocka_unit_test_setup_teardown(test_changed, setup, root_free),
		cmocka_unit_test_setup_teardown(test_damage, setup, root_free),
		cmocka_unit_test_setup_teardown(test_parts_that_do_not_fit, setup, root_free),
		cmocka_unit_test_setup_teardown(test_two_threads, setup, root_free),
		cmocka_unit_test(test_a_million),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
