#include "rooted.h"

#include <sys/stat.h>
#include <time.h>

#include <openssl/sha.h>

#include "base/error.h"
#include "base/random.h"
#include "content/source.h"

static int setup(void **state)
{
	(void)state;
	return root_make(false);
}

static void make(const char *path)
{
	assert_int_equal(mkdir(at(path), 0755), 0);
}

static struct tw_source *open_source(const struct tw_source_options *options)
{
	struct tw_source *source;

	assert_int_equal(tw_source_new(&fs, options, &source), 0);
	return source;
}

static struct tw_source *walk_all(const struct tw_source_options *options)
{
	struct tw_source *source = open_source(options);
	unsigned steps = 0;

	while (!tw_source_walk(source, 7))
		assert_true(++steps < 1000000);
	return source;
}

/* All paths, folders with a slash, in one text. */
static const char *listing(const struct tw_source *source)
{
	static char text[8192];
	char path[TW_PATH_MAX + 1];
	const struct tw_manifest *manifest = tw_source_manifest(source);

	size_t length = 0;

	text[0] = '\0';
	for (uint64_t i = 0; i < tw_manifest_count(manifest); i++) {
		tw_manifest_path(manifest, i, path);
		length += (size_t)snprintf(
			text + length, sizeof(text) - length, "%s%s%s", i ? " " : "", path,
			tw_manifest_entry(manifest, i)->kind == TW_KIND_DIRECTORY ? "/" : "");
		assert_true(length < sizeof(text));
	}
	return text;
}

static void make_tree(void)
{
	make("t");
	make("t/a");
	make("t/a/deep");
	make("t/empty");
	put("t/a/one.c", "one", 3);
	put("t/a/two.h", "two", 3);
	put("t/a/deep/three.c", "three", 5);
	put("t/z", "", 0);
	put("t/\xff\x1b[2J", "odd", 3);
	assert_int_equal(symlink("a/one.c", at("t/link")), 0);
	assert_int_equal(symlink("a", at("t/folder-link")), 0);
	assert_int_equal(symlink("nowhere", at("t/dangling")), 0);
	assert_int_equal(symlink("..", at("t/a/up")), 0);
	assert_int_equal(symlink("self", at("t/self")), 0);
	assert_int_equal(mkfifo(at("t/pipe"), 0600), 0);
}

static unsigned count_problems(struct tw_source *source, unsigned *ret_harmless)
{
	struct tw_problem problem;
	unsigned count = 0;

	*ret_harmless = 0;
	while (tw_source_problem(source, &problem)) {
		count++;
		*ret_harmless += problem.harmless;
		for (const char *c = problem.path; *c; c++)
			assert_true((unsigned char)*c >= 32);
	}
	return count;
}

static void test_walk_follow(void **state)
{
	const struct tw_source_mapping mapping = { "t", "out" };
	const struct tw_source_options options = { .mappings = &mapping,
						   .mapping_count = 1,
						   .read_content = true };
	struct tw_source *source;
	unsigned harmless;

	(void)state;
	make_tree();
	source = walk_all(&options);
	assert_string_equal(
		listing(source),
		"out/ out/a/ out/a/deep/ out/a/deep/three.c out/a/one.c out/a/two.h out/empty/ "
		"out/folder-link/ out/folder-link/deep/ out/folder-link/deep/three.c "
		"out/folder-link/one.c out/folder-link/two.h out/link out/z out/\xff\x1b[2J");
	/* dangling, self, pipe, and up twice. */
	assert_int_equal(count_problems(source, &harmless), 5);
	assert_int_equal(harmless, 5);
	tw_source_free(source);
}

static void test_walk_ignore_links(void **state)
{
	const struct tw_source_mapping mapping = { "t", "" };
	const struct tw_source_options options = {
		.mappings = &mapping, .mapping_count = 1, .symlinks = TW_SYMLINKS_IGNORE,
	};
	struct tw_source *source;
	unsigned harmless;

	(void)state;
	make_tree();
	source = walk_all(&options);
	assert_string_equal(listing(source),
			    "a/ a/deep/ a/deep/three.c a/one.c a/two.h empty/ z \xff\x1b[2J");
	assert_int_equal(count_problems(source, &harmless), 1);
	assert_int_equal(harmless, 1);
	tw_source_free(source);
}

static void test_include_exclude(void **state)
{
	static const char *const c_files[] = { "*.c" }, *const deep[] = { "deep" },
				 *const all_c[] = { "a/**/*.c" };
	const struct tw_source_mapping mapping = { "t", "" };
	struct tw_source_options options = {
		.mappings = &mapping, .mapping_count = 1, .symlinks = TW_SYMLINKS_IGNORE,
		.include = c_files, .include_count = 1,
	};
	struct tw_source *source;

	(void)state;
	make_tree();
	source = walk_all(&options);
	assert_string_equal(listing(source), "a/ a/deep/ a/deep/three.c a/one.c");
	tw_source_free(source);
	options.exclude = deep;
	options.exclude_count = 1;
	source = walk_all(&options);
	assert_string_equal(listing(source), "a/ a/one.c");
	tw_source_free(source);
	options.include_count = 0;
	source = walk_all(&options);
	assert_string_equal(listing(source), "a/ a/one.c a/two.h empty/ z \xff\x1b[2J");
	tw_source_free(source);
	options.exclude_count = 0;
	options.include = all_c;
	options.include_count = 1;
	source = walk_all(&options);
	assert_string_equal(listing(source), "a/ a/deep/ a/deep/three.c a/one.c");
	tw_source_free(source);
}

static void test_mappings(void **state)
{
	char absolute[TEMP_PATH_MAX * 2];
	const struct tw_source_mapping mappings[] = {
		{ "t/a/one.c", "" }, { "t/a/two.h", "x/renamed" }, { absolute, "deep" },
		{ "missing", "m" },  { "t/z", "../out" },          { "t/dangling", "" },
		{ "t/link", "" },
	};
	const struct tw_source_options options = {
		.mappings = mappings,
		.mapping_count = ARRAY_SIZE(mappings),
		.symlinks = TW_SYMLINKS_IGNORE,
		.read_content = true,
	};
	struct tw_digest digests[TW_BLOCK_CHUNKS_MAX];
	struct tw_block block = { .digests = digests };
	uint8_t *bytes = malloc(TW_CHUNK_SIZE);
	struct tw_source *source;
	struct tw_problem problem;
	uint64_t entry;

	(void)state;
	make_tree();
	strcpy(absolute, at("t/a/deep/"));
	source = walk_all(&options);
	assert_string_equal(listing(source), "one.c x/renamed deep/ deep/three.c link");
	for (unsigned i = 0; i < 3; i++) {
		assert_true(tw_source_problem(source, &problem));
		assert_true(problem.fatal);
		assert_int_equal(problem.error, i == 1 ? TW_E_UNSAFE : -ENOENT);
	}
	assert_false(tw_source_problem(source, &problem));
	assert_int_equal(tw_source_read(source, 4, 100, bytes, TW_CHUNK_SIZE, &block, &entry), 0);
	assert_int_equal(block.start, 3);
	assert_int_equal(block.end, 14);
	assert_int_equal(block.chunk_first, 1);
	assert_int_equal(block.chunk_count, 3);
	assert_memory_equal(bytes, "twothreeone", 11);
	tw_source_free(source);
	free(bytes);
}

static void test_unreadable(void **state)
{
	const struct tw_source_mapping mapping = { "", "" };
	const struct tw_source_options options = { .mappings = &mapping,
						   .mapping_count = 1,
						   .read_content = true };
	struct tw_digest digests[TW_BLOCK_CHUNKS_MAX];
	struct tw_block block = { .digests = digests };
	uint8_t *bytes = malloc(TW_CHUNK_SIZE);
	struct tw_problem problem;
	struct tw_source *source;
	uint64_t entry;

	(void)state;
	put("a", "aaa", 3);
	put("b", "bbb", 3);
	put("c", "ccc", 3);
	source = walk_all(&options);
	assert_int_equal(unlink(at("b")), 0);
	/*
	 * What is good in front of it comes first; then the trouble, again and again, noted once.
	 */
	assert_int_equal(tw_source_read(source, 0, 9, bytes, TW_CHUNK_SIZE, &block, &entry), 0);
	assert_int_equal(block.end, 3);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(tw_source_read(source, 4, 9, bytes, TW_CHUNK_SIZE, &block, &entry),
				 TW_E_CHANGED);
		assert_int_equal(entry, 1);
	}
	assert_int_equal(tw_source_read(source, 6, 9, bytes, TW_CHUNK_SIZE, &block, &entry), 0);
	assert_memory_equal(bytes, "ccc", 3);
	assert_true(tw_source_problem(source, &problem));
	assert_int_equal(problem.entry, 1);
	assert_string_equal(problem.path, "./b");
	assert_false(tw_source_problem(source, &problem));
	tw_source_free(source);
	free(bytes);
}

/* Waits until the file system's clock has moved on, so that a change shows. */
static void tick(void)
{
	const struct timespec wait = { .tv_nsec = 12 * 1000 * 1000 };

	nanosleep(&wait, NULL);
}

static void change_size(void)
{
	put("f", "longer than before", 18);
}

static void change_bytes(void)
{
	put("f", "xyz", 3);
}

static void change_bytes_keep_mtime(void)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	struct stat st;

	assert_int_equal(stat(at("f"), &st), 0);
	put("f", "xyz", 3);
	times[1] = st.st_mtim;
	assert_int_equal(utimensat(AT_FDCWD, at("f"), times, 0), 0);
}

static void change_file(void)
{
	char from[TEMP_PATH_MAX * 2];

	put("g", "abc", 3);
	strcpy(from, at("g"));
	assert_int_equal(rename(from, at("f")), 0);
}

static void change_to_folder(void)
{
	assert_int_equal(unlink(at("f")), 0);
	make("f");
}

static void test_changes(void **state)
{
	static void (*const changes[])(void) = {
		change_size, change_bytes, change_bytes_keep_mtime, change_file, change_to_folder,
	};
	const struct tw_source_mapping mapping = { "f", "f" };
	const struct tw_source_options options = { .mappings = &mapping,
						   .mapping_count = 1,
						   .read_content = true };
	struct tw_digest digests[TW_BLOCK_CHUNKS_MAX];
	struct tw_block block = { .digests = digests };
	uint8_t *bytes = malloc(TW_CHUNK_SIZE);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		struct tw_source *source;
		uint64_t entry;

		put("f", "abc", 3);
		source = walk_all(&options);
		assert_int_equal(tw_source_read(source, 0, 3, bytes, TW_CHUNK_SIZE, &block, &entry),
				 0);
		tick();
		changes[i]();
		assert_int_equal(tw_source_read(source, 0, 3, bytes, TW_CHUNK_SIZE, &block, &entry),
				 TW_E_CHANGED);
		assert_int_equal(tw_source_sha256(source, 0, bytes), TW_E_CHANGED);
		tw_source_free(source);
	}
	free(bytes);
}

/* Any part of the tape equals the files, chunks are whole, digests fit. */
static void test_reading(void **state)
{
	enum { FILES = 40, ROOM = 3 * 1024 * 1024 + 1000 };
	const struct tw_source_mapping mapping = { "", "" };
	const struct tw_source_options options = { .mappings = &mapping,
						   .mapping_count = 1,
						   .read_content = true };
	struct tw_digest *digests = malloc(TW_BLOCK_CHUNKS_MAX * sizeof(*digests));
	struct tw_block block = { .digests = digests };
	uint8_t *tape = malloc(FILES * 5 * TW_CHUNK_SIZE), *bytes = malloc(ROOM), sha256[32],
		expected[32];
	struct tw_source *source;
	struct tw_prng prng;
	uint64_t size = 0, entry;

	(void)state;
	tw_prng_init(&prng, 11);
	for (unsigned i = 0; i < FILES; i++) {
		uint64_t length = tw_prng_below(&prng, i % 4 ? 3000 : 5 * TW_CHUNK_SIZE);
		char name[16];

		if (i % 10 == 7)
			length = 0;
		for (uint64_t k = 0; k < length; k += 8) {
			uint64_t value = tw_prng_u64(&prng);

			memcpy(tape + size + k, &value, 8);
		}
		snprintf(name, sizeof(name), "%02u", i);
		put(name, tape + size, length);
		size += length;
	}
	source = walk_all(&options);
	assert_int_equal(tw_manifest_tape_size(tw_source_manifest(source)), size);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t offset = tw_prng_below(&prng, size),
			 limit = offset + 1 + tw_prng_below(&prng, size - offset);
		size_t room = TW_CHUNK_SIZE + tw_prng_below(&prng, ROOM - TW_CHUNK_SIZE + 1), n = 0;

		assert_int_equal(tw_source_read(source, offset, limit, bytes, room, &block, &entry),
				 0);
		assert_true(block.start <= offset && offset < block.end);
		assert_true(block.end - block.start <= room);
		assert_false(block.hole);
		assert_memory_equal(bytes, tape + block.start, block.end - block.start);
		for (uint64_t k = block.start; k < block.end; ) {
			const struct tw_manifest *manifest = tw_source_manifest(source);
			const struct tw_entry *e = tw_manifest_entry(
				manifest, tw_manifest_find_chunk(manifest, block.chunk_first + n));
			uint64_t chunk = (block.chunk_first + n - e->chunk_first) * TW_CHUNK_SIZE;
			uint64_t length =
				e->size - chunk < TW_CHUNK_SIZE ? e->size - chunk : TW_CHUNK_SIZE;
			struct tw_digest digest = tw_digest_of(tape + k, length);

			assert_int_equal(e->tape_start + chunk, k);
			assert_memory_equal(&digest, &block.digests[n], sizeof(digest));
			k += length;
			n++;
		}
		assert_int_equal(n, block.chunk_count);
	}
	assert_int_equal(tw_source_sha256(source, 0, sha256), 0);
	SHA256(tape, tw_manifest_entry(tw_source_manifest(source), 0)->size, expected);
	assert_memory_equal(sha256, expected, 32);
	tw_source_free(source);
	free(tape);
	free(bytes);
	free(digests);
}

static void test_holes(void **state)
{
	const struct tw_source_mapping mapping = { "s", "s" };
	const struct tw_source_options options = { .mappings = &mapping,
						   .mapping_count = 1,
						   .read_content = true };
	struct tw_digest digests[TW_BLOCK_CHUNKS_MAX];
	struct tw_block block = { .digests = digests };
	uint8_t *bytes = malloc(2 * TW_CHUNK_SIZE);
	const uint64_t size = 100 * TW_CHUNK_SIZE + 5;
	struct tw_source *source;
	uint64_t entry;
	int fd;

	(void)state;
	fd = open(at("s"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(pwrite(fd, "data", 4, 40 * TW_CHUNK_SIZE + 70000), 4);
	close(fd);
	source = walk_all(&options);
	assert_int_equal(tw_manifest_entry(tw_source_manifest(source), 0)->flags, TW_ENTRY_SPARSE);
	assert_int_equal(tw_source_read(source, 5, size, bytes, 2 * TW_CHUNK_SIZE, &block, &entry),
			 0);
	assert_true(block.hole);
	assert_int_equal(block.start, 0);
	assert_int_equal(block.end, 40 * TW_CHUNK_SIZE);
	assert_int_equal(block.chunk_count, 0);
	assert_int_equal(tw_source_read(source, block.end, size, bytes, 2 * TW_CHUNK_SIZE, &block,
					&entry),
			 0);
	assert_false(block.hole);
	assert_int_equal(block.end, 41 * TW_CHUNK_SIZE);
	assert_int_equal(block.chunk_first, 40);
	assert_memory_equal(bytes + 70000, "data", 4);
	assert_int_equal(tw_source_read(source, block.end, size, bytes, 2 * TW_CHUNK_SIZE, &block,
					&entry),
			 0);
	assert_true(block.hole);
	assert_int_equal(block.end, size);
	assert_int_equal(tw_source_read(source, 3, 2 * TW_CHUNK_SIZE - 1, bytes, TW_CHUNK_SIZE,
					&block, &entry),
			 0);
	assert_int_equal(block.end, 2 * TW_CHUNK_SIZE);
	tw_source_free(source);
	free(bytes);
}

static void test_without_reading(void **state)
{
	const struct tw_source_mapping mapping = { "f", "f" };
	const struct tw_source_options options = { .mappings = &mapping, .mapping_count = 1 };
	struct tw_digest digests[TW_BLOCK_CHUNKS_MAX], zeros;
	struct tw_block block = { .digests = digests };
	uint8_t *bytes = malloc(TW_CHUNK_SIZE);
	struct tw_source *source;
	uint64_t entry;

	(void)state;
	put("f", "abcd", 4);
	source = walk_all(&options);
	assert_int_equal(tw_source_read(source, 0, 4, bytes, TW_CHUNK_SIZE, &block, &entry), 0);
	assert_memory_equal(bytes, "\0\0\0\0", 4);
	zeros = tw_digest_of("\0\0\0\0", 4);
	assert_memory_equal(&digests[0], &zeros, sizeof(zeros));
	tw_source_free(source);
	free(bytes);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, root_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_walk_follow),     CASE(test_walk_ignore_links),
		CASE(test_include_exclude), CASE(test_mappings),
		CASE(test_unreadable),      CASE(test_changes),
		CASE(test_reading),         CASE(test_holes),
		CASE(test_without_reading),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
