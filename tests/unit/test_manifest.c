#include "unit.h"

#include "base/bytes.h"
#include "base/error.h"
#include "base/random.h"
#include "content/manifest.h"

#include <malloc.h>
#include <zstd.h>

static int add(struct tw_manifest *manifest, const char *path, int kind, uint64_t size)
{
	const struct tw_entry entry = {
		.kind = (uint8_t)kind, .size = size, .mode = 0644, .mtime_ns = -5
	};

	return tw_manifest_append(manifest, path, &entry);
}

static int add_file(struct tw_manifest *manifest, const char *path, uint64_t size)
{
	return add(manifest, path, TW_KIND_FILE, size);
}

static const char *path_of(const struct tw_manifest *manifest, uint64_t index)
{
	static char path[TW_PATH_MAX + 1];
	size_t length = tw_manifest_path(manifest, index, path);

	assert_int_equal(length, strlen(path));
	return path;
}

static void test_path_rules(void **state)
{
	static const char *const good[] = {
		"a",        "a/b",      "...",  "a/.b", "..a/b..", " ",   "\n",
		"\x1b[31m", "\xff\xfe", "a\\b", ".a",   "C:",      "-rf",
	};
	static const char *const bad[] = {
		"",    "/",   "/a",   "a/",     "a//b", ".",     "..",
		"./a", "a/.", "a/..", "a/../b", "../a", "a/./b",
	};
	char longest[TW_PATH_MAX + 2], component[257];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(tw_path_check(good[i], strlen(good[i])), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(tw_path_check(bad[i], strlen(bad[i])), TW_E_UNSAFE);
	assert_int_equal(tw_path_check("a\0b", 3), TW_E_UNSAFE);
	memset(component, 'c', sizeof(component));
	assert_int_equal(tw_path_check(component, 255), 0);
	assert_int_equal(tw_path_check(component, 256), TW_E_UNSAFE);
	for (size_t i = 0; i < sizeof(longest); i++)
		longest[i] = i % 2 ? '/' : 'x';
	assert_int_equal(tw_path_check(longest, TW_PATH_MAX - 1), 0);
	assert_int_equal(tw_path_check(longest, TW_PATH_MAX), TW_E_UNSAFE);
	longest[TW_PATH_MAX - 1] = 'y';
	assert_int_equal(tw_path_check(longest, TW_PATH_MAX), 0);
	longest[TW_PATH_MAX] = 'z';
	assert_int_equal(tw_path_check(longest, TW_PATH_MAX + 1), TW_E_UNSAFE);
}

static void test_append_and_find(void **state)
{
	struct tw_manifest *manifest = tw_manifest_new();
	const struct tw_entry *entry;

	(void)state;
	assert_int_equal(add(manifest, "d", TW_KIND_DIRECTORY, 99), 0);
	assert_int_equal(add_file(manifest, "d/empty", 0), 0);
	assert_int_equal(add_file(manifest, "d/one", 1), 0);
	assert_int_equal(add_file(manifest, "d/two", 2 * TW_CHUNK_SIZE), 0);
	assert_int_equal(add(manifest, "d/sub", TW_KIND_DIRECTORY, 0), 0);
	assert_int_equal(add_file(manifest, "d/sub/x", TW_CHUNK_SIZE + 1), 0);
	assert_int_equal(add_file(manifest, "d/zero", 0), 0);
	assert_int_equal(add_file(manifest, "e", 10), 0);
	assert_int_equal(add_file(manifest, "e", 10), TW_E_UNSAFE);
	assert_int_equal(add_file(manifest, "../e", 10), TW_E_UNSAFE);
	assert_int_equal(add_file(manifest, "f", UINT64_C(1) << 62), TW_E_FULL);
	assert_int_equal(tw_manifest_count(manifest), 8);
	assert_int_equal(tw_manifest_file_count(manifest), 6);
	assert_int_equal(tw_manifest_tape_size(manifest), 1 + 3 * TW_CHUNK_SIZE + 1 + 10);
	assert_int_equal(tw_manifest_chunk_count(manifest), 1 + 2 + 2 + 1);
	assert_string_equal(path_of(manifest, 0), "d");
	assert_string_equal(path_of(manifest, 5), "d/sub/x");
	assert_string_equal(path_of(manifest, 6), "d/zero");
	assert_string_equal(path_of(manifest, 7), "e");
	entry = tw_manifest_entry(manifest, 5);
	assert_int_equal(entry->tape_start, 1 + 2 * TW_CHUNK_SIZE);
	assert_int_equal(entry->chunk_first, 3);
	assert_int_equal(entry->mtime_ns, -5);
	assert_int_equal(tw_manifest_entry(manifest, 0)->size, 0);
	assert_int_equal(tw_manifest_find(manifest, 0), 2);
	assert_int_equal(tw_manifest_find(manifest, 1), 3);
	assert_int_equal(tw_manifest_find(manifest, 2 * TW_CHUNK_SIZE), 3);
	assert_int_equal(tw_manifest_find(manifest, 2 * TW_CHUNK_SIZE + 1), 5);
	assert_int_equal(tw_manifest_find(manifest, tw_manifest_tape_size(manifest) - 1), 7);
	assert_int_equal(tw_manifest_find_chunk(manifest, 0), 2);
	assert_int_equal(tw_manifest_find_chunk(manifest, 2), 3);
	assert_int_equal(tw_manifest_find_chunk(manifest, 3), 5);
	assert_int_equal(tw_manifest_find_chunk(manifest, 5), 7);
	tw_manifest_free(manifest);
}

static void expect_equal(const struct tw_manifest *a, const struct tw_manifest *b)
{
	char path[TW_PATH_MAX + 1];

	assert_int_equal(tw_manifest_count(a), tw_manifest_count(b));
	for (uint64_t i = 0; i < tw_manifest_count(a); i++) {
		const struct tw_entry *x = tw_manifest_entry(a, i), *y = tw_manifest_entry(b, i);

		tw_manifest_path(a, i, path);
		assert_string_equal(path_of(b, i), path);
		assert_int_equal(x->tape_start, y->tape_start);
		assert_int_equal(x->size, y->size);
		assert_int_equal(x->chunk_first, y->chunk_first);
		assert_int_equal(x->mtime_ns, y->mtime_ns);
		assert_int_equal(x->mode, y->mode);
		assert_int_equal(x->kind, y->kind);
		assert_int_equal(x->flags, y->flags);
	}
}

/* A tree as a walk gives it: folders that nest and end, names of any bytes. */
static void grow(struct tw_manifest *manifest, struct tw_prng *prng, unsigned count)
{
	char path[TW_PATH_MAX + 1] = "";
	size_t length = 0;

	for (unsigned i = 0; i < count; i++) {
		struct tw_entry entry = {
			.kind = tw_prng_below(prng, 5) ? TW_KIND_FILE : TW_KIND_DIRECTORY,
			.size = tw_prng_below(prng, 4) ? tw_prng_below(prng, 100000) : 0,
			.mode = (uint16_t)tw_prng_below(prng, 01000),
			.mtime_ns = (int64_t)tw_prng_u64(prng),
			.flags = (uint8_t)(tw_prng_below(prng, 8) == 0),
		};
		size_t at;

		while (length && (length > 3000 || !tw_prng_below(prng, 4))) {
			path[length] = '\0';
			at = (size_t)(strrchr(path, '/') ? strrchr(path, '/') - path : 0);
			length = at;
		}
		at = length;
		if (at)
			path[at++] = '/';
		at += (size_t)sprintf(path + at, "%u", i);
		for (unsigned n = (unsigned)tw_prng_below(prng, 20); n; n--) {
			path[at] = (char)(tw_prng_below(prng, 255) + 1);
			at += path[at] != '/';
		}
		path[at] = '\0';
		if (entry.kind == TW_KIND_DIRECTORY) {
			entry.flags = 0;
			length = at;
		}
		assert_int_equal(tw_manifest_append(manifest, path, &entry), 0);
	}
}

static void test_pieces_of_every_size(void **state)
{
	(void)state;
	for (size_t room = 1; room <= 1500; room = room < 64 ? room + 1 : room + 97) {
		struct tw_manifest *sent = tw_manifest_new(), *got = tw_manifest_new();
		struct tw_manifest_encoder *encoder = tw_manifest_encoder_new(sent);
		struct tw_manifest_decoder *decoder = tw_manifest_decoder_new(got);
		uint8_t bytes[1500];
		struct tw_prng prng;
		size_t length;
		int r = 0, decoded = 0;

		tw_prng_init(&prng, room);
		for (unsigned part = 0; r != TW_E_END; part++) {
			if (part < 3)
				grow(sent, &prng, 40);
			do {
				r = tw_manifest_encode(encoder, part >= 3, bytes, room, &length);
				assert_true(r == 0 || r == TW_E_AGAIN || r == TW_E_END);
				assert_true(length <= room);
				decoded = tw_manifest_decode(decoder, bytes, length);
				assert_true(decoded == 0 || decoded == TW_E_END);
			} while (!r);
			/* What was flushed can be read at once. */
			if (r == TW_E_AGAIN)
				assert_int_equal(tw_manifest_count(got), tw_manifest_count(sent));
		}
		assert_int_equal(decoded, TW_E_END);
		assert_int_equal(tw_manifest_encode(encoder, true, bytes, room, &length), TW_E_END);
		assert_int_equal(length, 0);
		expect_equal(sent, got);
		tw_manifest_encoder_free(encoder);
		tw_manifest_decoder_free(decoder);
		tw_manifest_free(sent);
		tw_manifest_free(got);
	}
}

static void test_hundred_thousand(void **state)
{
	struct tw_manifest *sent = tw_manifest_new(), *got = tw_manifest_new();
	struct tw_manifest_encoder *encoder = tw_manifest_encoder_new(sent);
	struct tw_manifest_decoder *decoder = tw_manifest_decoder_new(got);
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd, length, wire = 0;
	uint8_t *bytes = malloc(65536);
	char path[100];
	int r;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		if (i % 100 == 0) {
			snprintf(path, sizeof(path), "photographs-of-the-year/folder-%05u",
				 i / 100);
			assert_int_equal(add(sent, path, TW_KIND_DIRECTORY, 0), 0);
		}
		snprintf(path, sizeof(path),
			 "photographs-of-the-year/folder-%05u/image-number-%06u.jpeg", i / 100, i);
		assert_int_equal(add_file(sent, path, i), 0);
	}
	/* 48 bytes an entry and its own name: far below the promise of 32 MiB. */
	assert_true(mallinfo2().uordblks + mallinfo2().hblkhd - before < 12 << 20);
	do {
		r = tw_manifest_encode(encoder, true, bytes, 65536, &length);
		assert_int_equal(tw_manifest_decode(decoder, bytes, length),
				 r == TW_E_END ? TW_E_END : 0);
		wire += length;
	} while (r != TW_E_END);
	expect_equal(sent, got);
	assert_true(wire < 101000 * 12);
	free(bytes);
	tw_manifest_encoder_free(encoder);
	tw_manifest_decoder_free(decoder);
	tw_manifest_free(sent);
	tw_manifest_free(got);
}

/* Decodes @length raw records, wrapped as a zstd stream. */
static int decode_raw(const uint8_t *records, size_t length, char *ret_offender)
{
	struct tw_manifest *manifest = tw_manifest_new();
	struct tw_manifest_decoder *decoder = tw_manifest_decoder_new(manifest);
	uint8_t packed[20000];
	size_t n = ZSTD_compress(packed, sizeof(packed), records, length, 1);
	int r = tw_manifest_decode(decoder, packed, n);

	if (ret_offender)
		strcpy(ret_offender, tw_manifest_decoder_offender(decoder));
	/* The first error stays. */
	if (r && r != TW_E_END)
		assert_int_equal(tw_manifest_decode(decoder, packed, n), r);
	tw_manifest_decoder_free(decoder);
	tw_manifest_free(manifest);
	return r;
}

static void write_file(struct tw_writer *writer, uint8_t kind, uint64_t size, uint64_t shared,
		       const char *suffix)
{
	tw_write_u8(writer, kind);
	tw_write_u8(writer, 0);
	tw_write_u16(writer, 0644);
	tw_write_u64(writer, 0);
	if (kind == TW_KIND_FILE)
		tw_write_varint(writer, size);
	tw_write_varint(writer, shared);
	tw_write_varint(writer, strlen(suffix));
	tw_write_bytes(writer, suffix, strlen(suffix));
}

static void write_end(struct tw_writer *writer, uint64_t count, uint64_t tape)
{
	tw_write_u8(writer, 0);
	tw_write_varint(writer, count);
	tw_write_varint(writer, tape);
}

static void test_hostile_streams(void **state)
{
	static const struct {
		uint8_t kind;
		uint64_t size, shared;
		const char *suffix;
		uint64_t count, tape;
		int expected;
	} cases[] = {
		{ TW_KIND_FILE, 5, 0, "a", 1, 5, TW_E_END },
		{ TW_KIND_DIRECTORY, 0, 0, "a", 1, 0, TW_E_END },
		{ TW_KIND_FILE, 5, 0, "a", 2, 5, TW_E_FORMAT },
		{ TW_KIND_FILE, 5, 0, "a", 1, 6, TW_E_FORMAT },
		{ TW_KIND_FILE, 5, 1, "a", 1, 5, TW_E_FORMAT },
		{ TW_KIND_SYMLINK, 5, 0, "a", 1, 5, TW_E_FORMAT },
		{ TW_KIND_OTHER, 5, 0, "a", 1, 5, TW_E_FORMAT },
		{ TW_KIND_FILE, 5, 0, "../a", 1, 5, TW_E_UNSAFE },
		{ TW_KIND_FILE, 5, 0, "/etc/passwd", 1, 5, TW_E_UNSAFE },
		{ TW_KIND_FILE, 5, 0, "", 1, 5, TW_E_UNSAFE },
		{ TW_KIND_FILE, TW_VARINT_MAX, 0, "a", 1, TW_VARINT_MAX, TW_E_END },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tw_writer writer;
		uint8_t bytes[200];

		tw_writer_init(&writer, bytes, sizeof(bytes));
		write_file(&writer, cases[i].kind, cases[i].size, cases[i].shared, cases[i].suffix);
		write_end(&writer, cases[i].count, cases[i].tape);
		assert_int_equal(decode_raw(bytes, tw_writer_length(&writer), NULL),
				 cases[i].expected);
		/* The stream ends, the manifest does not. */
		assert_int_equal(decode_raw(bytes, tw_writer_length(&writer) - 1, NULL) == TW_E_END,
				 0);
	}
}

static void test_tape_overflow_and_repeats(void **state)
{
	struct tw_writer writer;
	uint8_t bytes[200];
	char offender[256];

	(void)state;
	tw_writer_init(&writer, bytes, sizeof(bytes));
	write_file(&writer, TW_KIND_FILE, TW_VARINT_MAX, 0, "a");
	write_file(&writer, TW_KIND_FILE, 1, 0, "b");
	assert_int_equal(decode_raw(bytes, tw_writer_length(&writer), NULL), TW_E_FULL);

	tw_writer_init(&writer, bytes, sizeof(bytes));
	write_file(&writer, TW_KIND_FILE, 1, 0, "a");
	write_file(&writer, TW_KIND_FILE, 1, 1, "");
	assert_int_equal(decode_raw(bytes, tw_writer_length(&writer), NULL), TW_E_UNSAFE);

	tw_writer_init(&writer, bytes, sizeof(bytes));
	write_file(&writer, TW_KIND_FILE, 1, 0, "a/\x1b[2J/../../x");
	assert_int_equal(decode_raw(bytes, tw_writer_length(&writer), offender), TW_E_UNSAFE);
	assert_string_equal(offender, "a/\\x1B[2J/../../x");

	/* More after the end. */
	tw_writer_init(&writer, bytes, sizeof(bytes));
	write_end(&writer, 0, 0);
	write_end(&writer, 0, 0);
	assert_int_equal(decode_raw(bytes, tw_writer_length(&writer), NULL), TW_E_FORMAT);
	memset(bytes, 0xa5, sizeof(bytes));
	assert_int_equal(decode_raw(bytes, sizeof(bytes), NULL), TW_E_FORMAT);
}

static void test_flipped_bytes(void **state)
{
	struct tw_manifest *sent = tw_manifest_new();
	struct tw_manifest_encoder *encoder = tw_manifest_encoder_new(sent);
	uint8_t bytes[16384];
	struct tw_prng prng;
	size_t length;

	(void)state;
	tw_prng_init(&prng, 3);
	grow(sent, &prng, 100);
	assert_int_equal(tw_manifest_encode(encoder, true, bytes, sizeof(bytes), &length),
			 TW_E_END);
	/* Any outcome is allowed but a crash or a path that breaks the rules. */
	for (unsigned i = 0; i < 3000; i++) {
		struct tw_manifest *got = tw_manifest_new();
		struct tw_manifest_decoder *decoder = tw_manifest_decoder_new(got);
		size_t at = tw_prng_below(&prng, length);
		uint8_t old = bytes[at];

		bytes[at] ^= (uint8_t)(1 + tw_prng_below(&prng, 255));
		tw_manifest_decode(decoder, bytes, length);
		for (uint64_t k = 0; k < tw_manifest_count(got); k++) {
			const char *path = path_of(got, k);

			assert_int_equal(tw_path_check(path, strlen(path)), 0);
		}
		bytes[at] = old;
		tw_manifest_decoder_free(decoder);
		tw_manifest_free(got);
	}
	tw_manifest_encoder_free(encoder);
	tw_manifest_free(sent);
}

/* Two long paths by turns: a few bytes of a stream for each, kilobytes of memory. Appends until
 * there is no room; returns how many. */
static unsigned append_all(struct tw_manifest *manifest)
{
	const struct tw_entry entry = { .kind = TW_KIND_FILE, .size = 1 };
	char path[TW_PATH_MAX + 1];
	unsigned count = 0;
	int r;

	for (size_t i = 0; i < TW_PATH_MAX; i++)
		path[i] = i % 2 ? '/' : 'a';
	path[TW_PATH_MAX - 1] = '\0';
	do {
		path[0] = count % 2 ? 'b' : 'c';
		r = tw_manifest_append(manifest, path, &entry);
		count++;
	} while (!r && count < 100000);
	assert_int_equal(r, TW_E_FULL);
	return count;
}

/* What comes from others takes no more memory than all of that may have, and gives it back. */
static void test_foreign(void **state)
{
	const struct tw_entry entry = { .kind = TW_KIND_FILE, .size = 1 };
	struct tw_manifest *own = tw_manifest_new();
	unsigned count, before = 0;

	(void)state;
	tw_manifest_foreign_max = 4 << 20;
	for (unsigned i = 0; i < 3; i++) {
		struct tw_manifest *one = tw_manifest_new(), *other = tw_manifest_new();

		tw_manifest_set_foreign(one);
		tw_manifest_set_foreign(other);
		count = append_all(one);
		count += append_all(other);
		/* A path takes 12 KiB. */
		assert_in_range(count, 150, 350);
		assert_true(!i || count == before);
		before = count;
		assert_int_equal(tw_manifest_append(own, i % 2 ? "a" : "b", &entry), 0);
		tw_manifest_free(one);
		tw_manifest_free(other);
	}
	tw_manifest_free(own);
	tw_manifest_foreign_max = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_path_rules),
		cmocka_unit_test(test_append_and_find),
		cmocka_unit_test(test_pieces_of_every_size),
		cmocka_unit_test(test_hundred_thousand),
		cmocka_unit_test(test_hostile_streams),
		cmocka_unit_test(test_tape_overflow_and_repeats),
		cmocka_unit_test(test_flipped_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
