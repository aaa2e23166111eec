/* The sink on the system's storage: what ends up at the destination. */
#include "rooted.h"

#include <sys/stat.h>

#include <openssl/sha.h>

#include "../support/tape.h"
#include "base/error.h"
#include "content/names.h"
#include "content/sink_internal.h"

static int setup(void **state)
{
	(void)state;
	return root_make(true);
}

static void expect_bytes(const char *path, const void *bytes, size_t length)
{
	uint8_t *got = malloc(length + 1);
	int fd = open(at(path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		fail_msg("%s is missing", path);
	assert_int_equal(read(fd, got, length + 1), length);
	assert_memory_equal(got, bytes, length);
	close(fd);
	free(got);
}

static bool there(const char *path)
{
	struct stat st;

	return !lstat(at(path), &st);
}

static struct tw_sink *open_sink_at(enum tw_overwrite overwrite, const char *destination)
{
	const struct tw_sink_options options = {
		.transfer_key = "0123456789abcde",
		.destination = destination,
		.overwrite = overwrite,
		.write_content = true,
	};
	struct tw_sink *sink;

	assert_int_equal(tw_sink_new(&fs, &options, &sink), 0);
	return sink;
}

static struct tw_sink *open_sink(enum tw_overwrite overwrite)
{
	return open_sink_at(overwrite, "");
}

/* Everything that was sent is there, and nothing of ours is left. */
static void expect_tree(const struct tape *tape, const char *prefix)
{
	char path[TW_PATH_MAX + 64];
	struct stat st;

	for (uint64_t i = 0; i < tw_manifest_count(tape->manifest); i++) {
		const struct tw_entry *entry = tw_manifest_entry(tape->manifest, i);

		strcpy(path, prefix);
		tw_manifest_path(tape->manifest, i, path + strlen(prefix));
		assert_int_equal(lstat(at(path), &st), 0);
		assert_int_equal(st.st_mode & 0777, entry->mode);
		assert_int_equal(st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec,
				 entry->mtime_ns);
		if (entry->kind == TW_KIND_FILE)
			expect_bytes(path, tape->bytes + entry->tape_start, entry->size);
		else
			assert_true(S_ISDIR(st.st_mode));
	}
	assert_false(there(TW_STATE_FOLDER));
}

static int none_of_ours(void *context, const char *name)
{
	(void)context;
	return tw_name_reserved(name, strlen(name));
}

/* All of it, in one go. */
static void deliver(struct tape *tape, struct tw_sink *sink)
{
	assert_int_equal(tape_offer(tape, sink), TW_E_END);
	assert_int_equal(tape_send(tape, sink, UINT64_MAX), 0);
	assert_int_equal(tw_sink_checkpoint(sink), 0);
	tape_events(tape, sink);
	assert_true(tape->all_done);
	assert_int_equal(fs.ops->list(fs.context, "", none_of_ours, NULL), 0);
}

static void mixed_tree(struct tape *tape)
{
	char path[64];

	tape_folder(tape, "d");
	tape_file(tape, "d/empty", 0);
	tape_file(tape, "d/one", 1);
	tape_folder(tape, "d/sub");
	tape_folder(tape, "d/sub/nothing");
	for (unsigned i = 0; i < 300; i++) {
		snprintf(path, sizeof(path), "d/sub/%u", i);
		tape_file(tape, path, 1 + tw_prng_below(&tape->prng, 9000));
	}
	tape_file(tape, "exact", 2 * TW_CHUNK_SIZE);
	tape_file(tape, "large", 5 * TW_CHUNK_SIZE + 12345);
	tape_file(tape, "with no folder/of its own/x", 77);
	tape_file(tape, "odd \xff\n\x1b[31m name", 33);
	tape_folder(tape, "last");
}

static void test_in_order(void **state)
{
	struct tw_sink *sink = open_sink_at(TW_OVERWRITE_WITH_PARTFILE_ALWAYS, "to/here");
	struct tw_sink_progress progress;
	struct tape tape;

	(void)state;
	tape_init(&tape, 1);
	mixed_tree(&tape);
	deliver(&tape, sink);
	expect_tree(&tape, "to/here/");
	tw_sink_progress(sink, &progress);
	assert_int_equal(progress.bytes_written, tape.size);
	assert_int_equal(progress.bytes_durable, tape.size);
	assert_int_equal(progress.files_done, tw_manifest_file_count(tape.manifest));
	assert_int_equal(tape.done, progress.files_done);
	tw_sink_free(sink);
	tape_deinit(&tape);
}

static struct tw_digest expected_digest(const struct tape *tape)
{
	struct tw_digest_state *all = tw_digest_new(), *file = tw_digest_new();
	struct tw_digest result;
	char path[TW_PATH_MAX + 1];

	for (uint64_t i = 0; i < tw_manifest_count(tape->manifest); i++) {
		const struct tw_entry *entry = tw_manifest_entry(tape->manifest, i);
		size_t length = tw_manifest_path(tape->manifest, i, path);
		const uint8_t *bytes = tape->bytes + entry->tape_start;
		struct tw_digest digest;

		if (entry->kind != TW_KIND_FILE)
			continue;
		tw_digest_reset(file);
		for (uint64_t k = 0; k < entry->size; k += TW_CHUNK_SIZE) {
			uint64_t n =
				entry->size - k < TW_CHUNK_SIZE ? entry->size - k : TW_CHUNK_SIZE;

			digest = tw_digest_of(bytes + k, n);
			tw_digest_update(file, digest.bytes, sizeof(digest.bytes));
		}
		if (entry->size <= TW_CHUNK_SIZE)
			digest = tw_digest_of(bytes, entry->size);
		else
			digest = tw_digest_final(file);
		tw_digest_update(all, path, length + 1);
		tw_digest_update(all, digest.bytes, sizeof(digest.bytes));
	}
	result = tw_digest_final(all);
	tw_digest_free(all);
	tw_digest_free(file);
	return result;
}

/* Any order, pieces of any size, duplicates, checkpoints: the same tree. */
static void test_any_order(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		static const enum tw_overwrite modes[] = {
			TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
			TW_OVERWRITE_IN_PLACE_ALWAYS,
			TW_OVERWRITE_IN_PLACE_NEVER,
		};
		struct tw_sink *sink;
		struct tw_sink_progress progress;
		struct tw_digest expected;
		struct tape tape;
		char to[16];

		print_message("# seed %d\n", (int)seed);
		snprintf(to, sizeof(to), "%d", (int)seed);
		sink = open_sink_at(modes[seed % 3], to);
		tape_init(&tape, seed);
		mixed_tree(&tape);
		tape.shuffle = 1 + (unsigned)tw_prng_below(&tape.prng, 2000);
		tape.piece_max = 1 + tw_prng_below(&tape.prng, seed % 4 ? 3000 : 3 * TW_CHUNK_SIZE);
		if (tape.piece_max < 300)
			tape.piece_max += 300;
		tape.duplicate = 20;
		tape.checkpoint = 500;
		deliver(&tape, sink);
		strcat(to, "/");
		expect_tree(&tape, to);
		expected = expected_digest(&tape);
		tw_sink_progress(sink, &progress);
		assert_memory_equal(&progress.digest, &expected, sizeof(expected));
		assert_int_equal(progress.bytes_written, tape.size);
		assert_int_equal(tape.again, 0);
		tw_sink_free(sink);
		tape_deinit(&tape);
	}
}

/* Names that the sender says are gone: files go, by the rules for files that are replaced. */
static void test_removals(void **state)
{
	static const struct {
		enum tw_overwrite mode;
		bool goes, backup;
	} cases[] = {
		{ TW_OVERWRITE_WITH_PARTFILE_ALWAYS, true, false },
		{ TW_OVERWRITE_IN_PLACE_ALWAYS, true, false },
		{ TW_OVERWRITE_WITH_PARTFILE_BACKUP, true, true },
		{ TW_OVERWRITE_WITH_PARTFILE_NEVER, false, false },
		{ TW_OVERWRITE_IN_PLACE_NEVER, false, false },
	};
	const struct tw_entry removal = { .kind = TW_KIND_REMOVAL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tw_sink *sink = open_sink(cases[i].mode);
		struct tape tape;

		tape_init(&tape, 5);
		mkdir(at("d"), 0755);
		mkdir(at("d/folder"), 0755);
		put("d/old", "gone", 4);
		put("d/folder/kept", "kept", 4);
		tape_file(&tape, "new", 3000);
		assert_int_equal(tw_manifest_append(tape.manifest, "d/old", &removal), 0);
		assert_int_equal(tw_manifest_append(tape.manifest, "d/never/was", &removal), 0);
		assert_int_equal(tw_manifest_append(tape.manifest, "d/folder", &removal), 0);
		deliver(&tape, sink);
		assert_int_equal(there("d/old"), !cases[i].goes);
		assert_int_equal(there("d/old.bak"), cases[i].backup);
		expect_bytes("d/folder/kept", "kept", 4);
		assert_true(there("new"));
		tw_sink_free(sink);
		tape_deinit(&tape);
		unlink(at("new"));
		unlink(at("d/old.bak"));
	}
}

/* What stood at the destination before, what is sent, and what must stand there after. */
static void test_overwrite_modes(void **state)
{
	enum outcome { NEW, OLD, BACKUP };
	static const struct {
		enum tw_overwrite mode;
		const char *old;
		enum outcome outcome;
	} cases[] = {
		{ TW_OVERWRITE_IN_PLACE_NEVER, NULL, NEW },
		{ TW_OVERWRITE_IN_PLACE_NEVER, "old", OLD },
		{ TW_OVERWRITE_IN_PLACE_NEVER, "", OLD },
		{ TW_OVERWRITE_IN_PLACE_ALWAYS, NULL, NEW },
		{ TW_OVERWRITE_IN_PLACE_ALWAYS, "old", NEW },
		{ TW_OVERWRITE_IN_PLACE_ALWAYS, "old and much longer", NEW },
		{ TW_OVERWRITE_IN_PLACE_SAME_SIZE, NULL, NEW },
		{ TW_OVERWRITE_IN_PLACE_SAME_SIZE, "", NEW },
		{ TW_OVERWRITE_IN_PLACE_SAME_SIZE, "12345678", NEW },
		{ TW_OVERWRITE_IN_PLACE_SAME_SIZE, "1234567", OLD },
		{ TW_OVERWRITE_WITH_PARTFILE_NEVER, NULL, NEW },
		{ TW_OVERWRITE_WITH_PARTFILE_NEVER, "old", OLD },
		{ TW_OVERWRITE_WITH_PARTFILE_ALWAYS, NULL, NEW },
		{ TW_OVERWRITE_WITH_PARTFILE_ALWAYS, "old", NEW },
		{ TW_OVERWRITE_WITH_PARTFILE_BACKUP, NULL, NEW },
		{ TW_OVERWRITE_WITH_PARTFILE_BACKUP, "old", BACKUP },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct tw_sink *sink;
		struct tape tape;
		char to[16], path[32], backup[40];

		snprintf(to, sizeof(to), "case%zu", i);
		snprintf(path, sizeof(path), "%s/f", to);
		snprintf(backup, sizeof(backup), "%s.bak", path);
		assert_int_equal(mkdir(at(to), 0755), 0);
		if (cases[i].old)
			put(path, cases[i].old, strlen(cases[i].old));
		if (cases[i].outcome == BACKUP)
			put(backup, "older", 5);
		sink = open_sink_at(cases[i].mode, to);
		tape_init(&tape, i);
		tape_file(&tape, "f", 8);
		deliver(&tape, sink);
		assert_int_equal(tape.skipped, cases[i].outcome == OLD);
		assert_int_equal(tape.last_error, cases[i].outcome == OLD ? TW_E_EXISTS : 0);
		assert_int_equal(tape.sent, cases[i].outcome == OLD ? 0 : 8);
		if (cases[i].outcome == OLD)
			expect_bytes(path, cases[i].old, strlen(cases[i].old));
		else
			expect_bytes(path, tape.bytes, 8);
		if (cases[i].outcome == BACKUP)
			expect_bytes(backup, cases[i].old, strlen(cases[i].old));
		else
			assert_false(there(backup));
		tw_sink_free(sink);
		tape_deinit(&tape);
	}
}

static void test_mode_names(void **state)
{
	enum tw_overwrite mode;

	(void)state;
	for (unsigned i = 0; i < TW_OVERWRITE_COUNT; i++) {
		char number[4];

		assert_true(tw_overwrite_parse(tw_overwrite_name((enum tw_overwrite)i), &mode));
		assert_int_equal(mode, i);
		snprintf(number, sizeof(number), "%u", i);
		assert_true(tw_overwrite_parse(number, &mode));
		assert_int_equal(mode, i);
	}
	assert_true(tw_overwrite_parse("never", &mode));
	assert_int_equal(mode, TW_OVERWRITE_WITH_PARTFILE_NEVER);
	assert_true(tw_overwrite_parse("backup", &mode));
	assert_int_equal(mode, TW_OVERWRITE_WITH_PARTFILE_BACKUP);
	assert_false(tw_overwrite_parse("sometimes", &mode));
	assert_false(tw_overwrite_parse("6", &mode));
}

/* The new file appears under its name only when it is whole. */
static void test_old_file_stays_until_the_end(void **state)
{
	struct tw_sink *sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	struct tape tape;

	(void)state;
	put("f", "old", 3);
	tape_init(&tape, 5);
	tape_file(&tape, "f", 3 * TW_CHUNK_SIZE);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	assert_int_equal(tape_send(&tape, sink, 2 * TW_CHUNK_SIZE), 0);
	assert_int_equal(tw_sink_checkpoint(sink), 0);
	expect_bytes("f", "old", 3);
	assert_int_equal(tape_send(&tape, sink, UINT64_MAX), 0);
	expect_tree(&tape, "");
	tw_sink_free(sink);
	tape_deinit(&tape);
}

static void test_wrong_kinds(void **state)
{
	struct tw_sink *sink;
	struct tape tape;

	(void)state;
	assert_int_equal(mkdir(at("folder"), 0755), 0);
	put("file", "x", 1);
	assert_int_equal(mkfifo(at("pipe"), 0600), 0);
	sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	tape_init(&tape, 6);
	tape_file(&tape, "folder", 10);
	tape_folder(&tape, "file");
	tape_file(&tape, "file/below", 10);
	tape_file(&tape, "pipe", 10);
	tape_file(&tape, "good", 10);
	tape_file(&tape, "twice", 10);
	tape_file(&tape, "between", 10);
	tape_file(&tape, "twice", 10);
	deliver(&tape, sink);
	assert_int_equal(tape.failed, 5);
	assert_int_equal(tape.done, 3);
	assert_int_equal(tape.sent, 30);
	expect_bytes("file", "x", 1);
	expect_bytes("twice", tape.bytes + 40, 10);
	tw_sink_free(sink);
	tape_deinit(&tape);
}

/* Links planted at the destination, our own names, paths that leave it. */
static void test_unsafe(void **state)
{
	char outside[TEMP_PATH_MAX];
	const struct tw_sink_options away = { .destination = "link", .write_content = true };
	static const char *const destinations[] = {
		"../x", "/x", "a/../../x", "a//b", "x/", ".tradewind", "a/.tradewind/b",
	};
	struct tw_sink *sink;
	struct tape tape;

	(void)state;
	temp_dir_make(outside);
	assert_int_equal(symlink(outside, at("link")), 0);
	assert_int_equal(symlink("/etc/passwd", at("name")), 0);
	assert_int_equal(tw_sink_new(&fs, &away, &sink), TW_E_UNSAFE);
	for (size_t i = 0; i < ARRAY_SIZE(destinations); i++) {
		const struct tw_sink_options options = {
			.destination = destinations[i],
			.write_content = true,
		};

		assert_int_equal(tw_sink_new(&fs, &options, &sink), TW_E_UNSAFE);
	}
	sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	tape_init(&tape, 7);
	tape_folder(&tape, "link");
	tape_file(&tape, "link/in", 10);
	tape_file(&tape, "link/deeper/in", 10);
	tape_file(&tape, ".tradewind/00.journal", 10);
	tape_folder(&tape, "x/.tradewind");
	tape_file(&tape, ".tradewind-0123456789abcdef.part", 10);
	/* A new name replaces a link and never writes through it. */
	tape_file(&tape, "name", 10);
	deliver(&tape, sink);
	assert_int_equal(tape.failed, 6);
	assert_int_equal(tape.last_error, TW_E_UNSAFE);
	assert_int_equal(tape.done, 1);
	expect_bytes("name", tape.bytes + 40, 10);
	tw_sink_free(sink);
	tape_deinit(&tape);

	assert_int_equal(unlink(at("name")), 0);
	assert_int_equal(symlink("/etc/passwd", at("name")), 0);
	sink = open_sink(TW_OVERWRITE_IN_PLACE_ALWAYS);
	tape_init(&tape, 7);
	tape_file(&tape, "name", 10);
	deliver(&tape, sink);
	assert_int_equal(tape.failed, 1);
	assert_int_equal(tape.last_error, TW_E_UNSAFE);
	tw_sink_free(sink);
	tape_deinit(&tape);
	/* Nothing came out. */
	assert_int_equal(rmdir(outside), 0);
}

static void test_sparse(void **state)
{
	static const enum tw_overwrite modes[] = {
		TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
		TW_OVERWRITE_IN_PLACE_ALWAYS,
	};
	const uint64_t size = 20 * TW_CHUNK_SIZE + 99;
	uint8_t *dirt = malloc(size);

	(void)state;
	memset(dirt, 'x', size);
	for (unsigned i = 0; i < 4; i++) {
		struct tw_digest digest;
		struct tw_sink *sink;
		struct tape tape;
		struct stat st;

		unlink(at("s"));
		/* In place over a file that is full of other bytes: its holes must become zeros. */
		if (i >= 2)
			put("s", dirt, size);
		sink = open_sink(modes[i % 2]);
		tape_init(&tape, 8);
		tape_sparse(&tape, "s", size, 5 * TW_CHUNK_SIZE + 1000, 5 * TW_CHUNK_SIZE + 3000);
		assert_int_equal(tape_offer(&tape, sink), TW_E_END);
		assert_int_equal(tw_sink_hole(sink, 6 * TW_CHUNK_SIZE, size), 0);
		/* A hole may begin and end anywhere. */
		assert_int_equal(tw_sink_hole(sink, 0, 3 * TW_CHUNK_SIZE), 0);
		assert_int_equal(tw_sink_hole(sink, 3 * TW_CHUNK_SIZE, 5 * TW_CHUNK_SIZE + 500), 0);
		tw_ranges_clear(&tape.owed);
		tw_ranges_add(&tape.owed, 5 * TW_CHUNK_SIZE + 500, 6 * TW_CHUNK_SIZE);
		assert_int_equal(tape_send(&tape, sink, UINT64_MAX), 0);
		assert_int_equal(tw_sink_checkpoint(sink), 0);
		tape_events(&tape, sink);
		digest = tw_digest_of(tape.bytes, 10);
		assert_int_equal(tw_sink_digests(sink, 0, &digest, 1), 0);
		assert_true(tape.all_done);
		expect_tree(&tape, "");
		assert_int_equal(stat(at("s"), &st), 0);
		if (i != 3)
			assert_true(st.st_blocks * 512 <= 256 * 1024);
		tw_sink_free(sink);
		tape_deinit(&tape);
	}
	free(dirt);
}

static void test_zeros_without_write(void **state)
{
	struct tw_sink *sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	struct tape tape;
	struct stat st;

	(void)state;
	/* Zeros that come as bytes are not written either, in whatever order. */
	tape_init(&tape, 9);
	tape_sparse(&tape, "s", 4 * TW_CHUNK_SIZE, TW_CHUNK_SIZE + 5, TW_CHUNK_SIZE + 6000);
	tape.shuffle = 50;
	tape.piece_max = 4096;
	deliver(&tape, sink);
	expect_tree(&tape, "");
	assert_int_equal(stat(at("s"), &st), 0);
	assert_true(st.st_blocks * 512 <= 64 * 1024);
	tw_sink_free(sink);
	tape_deinit(&tape);
}

/* Damaged pieces: the chunk comes again, until the file is right. */
static void test_damage_is_mended(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct tw_sink *sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
		struct tape tape;

		tape_init(&tape, seed);
		tape_file(&tape, "f", 6 * TW_CHUNK_SIZE + 100);
		tape_file(&tape, "g", 5000);
		tape.corrupt = 3000;
		tape.shuffle = seed % 2 ? 100 : 0;
		deliver(&tape, sink);
		assert_true(tape.again > 0 || tape.sent == tape.size);
		assert_int_equal(tape.failed, 0);
		expect_tree(&tape, "");
		tw_sink_free(sink);
		tape_deinit(&tape);
	}
}

static void test_damage_without_end(void **state)
{
	struct tw_sink *sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	struct tape tape;

	(void)state;
	tape_init(&tape, 3);
	tape_file(&tape, "bad", 2 * TW_CHUNK_SIZE);
	tape_file(&tape, "fine", 0);
	tape.corrupt = 1;
	deliver(&tape, sink);
	assert_int_equal(tape.failed, 1);
	assert_int_equal(tape.last_error, TW_E_DIGEST);
	assert_int_equal(tape.done, 1);
	assert_true(tape.again == 3 || tape.again == 6);
	assert_false(there("bad"));
	assert_true(there("fine"));
	tw_sink_free(sink);
	tape_deinit(&tape);
}

static void test_abandon(void **state)
{
	struct tw_sink *sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	struct tape tape;

	(void)state;
	put("b", "old", 3);
	tape_init(&tape, 4);
	tape_file(&tape, "a", 1000);
	tape_file(&tape, "b", 3 * TW_CHUNK_SIZE);
	tape_file(&tape, "c", 1000);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	assert_int_equal(tape_send(&tape, sink, TW_CHUNK_SIZE), 0);
	assert_int_equal(tw_sink_abandon(sink, 1), 0);
	assert_int_equal(tw_sink_abandon(sink, 1), 0);
	assert_int_equal(tw_sink_abandon(sink, 3), TW_E_FORMAT);
	/* What is still on the way for it is dropped. */
	assert_int_equal(tape_send(&tape, sink, UINT64_MAX), 0);
	assert_int_equal(tw_sink_checkpoint(sink), 0);
	tape_events(&tape, sink);
	assert_true(tape.all_done);
	expect_bytes("b", "old", 3);
	expect_bytes("c", tape.bytes + 1000 + 3 * TW_CHUNK_SIZE, 1000);
	assert_int_equal(fs.ops->list(fs.context, "", none_of_ours, NULL), 0);
	tw_sink_free(sink);
	tape_deinit(&tape);
}

static void test_sha256(void **state)
{
	const struct tw_sink_options options = {
		.destination = "",
		.overwrite = TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
		.write_content = true,
		.sha256 = true,
	};
	uint8_t proof[32];
	struct tw_sink *sink;
	struct tape tape;

	(void)state;
	assert_int_equal(tw_sink_new(&fs, &options, &sink), 0);
	tape_init(&tape, 4);
	tape_file(&tape, "early", 2 * TW_CHUNK_SIZE + 1);
	tape_file(&tape, "late", 100);
	tape_file(&tape, "wrong", 100);
	tape_file(&tape, "empty", 0);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	SHA256(tape.bytes, 2 * TW_CHUNK_SIZE + 1, proof);
	assert_int_equal(tw_sink_sha256(sink, 0, proof), 0);
	assert_int_equal(tw_sink_sha256(sink, 2, proof), 0);
	assert_int_equal(tw_sink_sha256(sink, 4, proof), TW_E_FORMAT);
	assert_int_equal(tape_send(&tape, sink, UINT64_MAX), 0);
	assert_int_equal(tw_sink_checkpoint(sink), 0);
	tape_events(&tape, sink);
	assert_int_equal(tape.done, 1);
	assert_int_equal(tape.failed, 1);
	assert_int_equal(tape.last_error, TW_E_DIGEST);
	assert_false(there("late"));
	SHA256(tape.bytes + 2 * TW_CHUNK_SIZE + 1, 100, proof);
	assert_int_equal(tw_sink_sha256(sink, 1, proof), 0);
	SHA256(NULL, 0, proof);
	assert_int_equal(tw_sink_sha256(sink, 3, proof), 0);
	assert_int_equal(tw_sink_settle(sink), 0);
	tape_events(&tape, sink);
	assert_true(tape.all_done);
	assert_true(there("late") && there("empty") && !there("wrong"));
	tw_sink_free(sink);
	tape_deinit(&tape);
}

/* A long file is read for its SHA-256 part by part, and takes its name when all of it is right;
 * others do not wait for it. */
static void test_sha256_in_parts(void **state)
{
	const struct tw_sink_options options = {
		.destination = "",
		.overwrite = TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
		.write_content = true,
		.sha256 = true,
	};
	const uint64_t size = 3 * TW_CHUNK_SIZE + 1;
	uint8_t proof[32];
	struct tw_sink *sink;
	struct tape tape;

	(void)state;
	assert_int_equal(tw_sink_new(&fs, &options, &sink), 0);
	sink->proof_step = TW_CHUNK_SIZE;
	tape_init(&tape, 4);
	tape_file(&tape, "long", size);
	tape_file(&tape, "lie", size);
	tape_file(&tape, "left", size);
	tape_file(&tape, "short", 100);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	SHA256(tape.bytes, size, proof);
	for (uint64_t i = 0; i < 3; i++)
		assert_int_equal(tw_sink_sha256(sink, i, proof), 0);
	SHA256(tape.bytes + 3 * size, 100, proof);
	assert_int_equal(tw_sink_sha256(sink, 3, proof), 0);
	assert_int_equal(tape_send(&tape, sink, UINT64_MAX), 0);
	for (unsigned i = 0; i < 4; i++) {
		/* The last piece may have begun it. */
		tape_events(&tape, sink);
		assert_true(!there("long") || i > 1);
		assert_false(there("lie"));
		assert_int_equal(tw_sink_checkpoint(sink), 0);
		assert_true(there("short"));
		if (i == 1)
			assert_int_equal(tw_sink_abandon(sink, 2), 0);
	}
	tape_events(&tape, sink);
	assert_true(there("long") && !there("lie") && !there("left"));
	assert_int_equal(tape.last_error, TW_E_DIGEST);
	assert_true(tape.all_done);
	tw_sink_free(sink);
	tape_deinit(&tape);
}

/* The last byte of a file that is as long as any may be: what is kept of it is what has come. */
static void test_endless_file(void **state)
{
	const struct tw_sink_options options = { .destination = "",
						 .overwrite = TW_OVERWRITE_WITH_PARTFILE_ALWAYS };
	const struct tw_entry entry = { .kind = TW_KIND_FILE, .size = (UINT64_C(1) << 61) + 1 };
	const uint8_t byte = 7;
	const struct tw_sink_piece last = { .offset = entry.size - 1, .bytes = &byte, .length = 1 };
	const struct tw_digest digest = tw_digest_of(&byte, 1);
	struct tw_manifest *manifest = tw_manifest_new();
	struct tw_manifest_encoder *encoder;
	struct tw_sink *sink;
	uint8_t bytes[512];
	uint64_t ready;
	size_t length;

	(void)state;
	assert_int_equal(tw_manifest_append(manifest, "a", &entry), 0);
	encoder = tw_manifest_encoder_new(manifest);
	assert_int_equal(tw_manifest_encode(encoder, true, bytes, sizeof(bytes), &length),
			 TW_E_END);
	assert_int_equal(tw_sink_new(&fs, &options, &sink), 0);
	assert_int_equal(tw_sink_manifest(sink, bytes, length), TW_E_END);
	assert_int_equal(tw_sink_prepare(sink, 10, &ready), TW_E_END);
	assert_int_equal(ready, entry.size);
	assert_int_equal(tw_sink_write(sink, &last, 1), 0);
	assert_int_equal(tw_sink_digests(sink, entry.size / TW_CHUNK_SIZE, &digest, 1), 0);
	assert_int_equal(sink->progress.bytes_written, 1);
	assert_int_equal(sink->chunks.count, 0);
	assert_int_equal(tw_sink_abandon(sink, 0), 0);
	tw_sink_free(sink);
	tw_manifest_encoder_free(encoder);
	tw_manifest_free(manifest);
}

/* Content is checked and dropped. */
static void test_without_writing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		const struct tw_sink_options options = { .destination = "nowhere" };
		struct tw_digest expected;
		struct tw_sink_progress progress;
		struct tw_sink *sink;
		struct tape tape;

		assert_int_equal(tw_sink_new(&fs, &options, &sink), 0);
		tape_init(&tape, seed);
		mixed_tree(&tape);
		tape.shuffle = seed % 2 ? 100 : 0;
		tape.corrupt = 4000;
		assert_int_equal(tape_offer(&tape, sink), TW_E_END);
		assert_int_equal(tape_send(&tape, sink, UINT64_MAX), 0);
		assert_int_equal(tw_sink_checkpoint(sink), 0);
		tape_events(&tape, sink);
		assert_true(tape.all_done);
		assert_int_equal(tape.failed, 0);
		tw_sink_progress(sink, &progress);
		expected = expected_digest(&tape);
		assert_memory_equal(&progress.digest, &expected, sizeof(expected));
		assert_false(there("nowhere"));
		assert_false(there(TW_STATE_FOLDER));
		tw_sink_free(sink);
		tape_deinit(&tape);
	}
}

static void test_peer_breaks_the_rules(void **state)
{
	struct tw_sink *sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	struct tw_digest digests[2] = { 0 };
	uint8_t byte = 0;
	struct tape tape;

	(void)state;
	assert_int_equal(tw_sink_write(sink, &(struct tw_sink_piece){ 0, &byte, 1 }, 1),
			 TW_E_FORMAT);
	assert_int_equal(tw_sink_digests(sink, 0, digests, 1), TW_E_FORMAT);
	tape_init(&tape, 4);
	tape_file(&tape, "a", 1000);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	assert_int_equal(tw_sink_write(sink, &(struct tw_sink_piece){ 1000, &byte, 1 }, 1),
			 TW_E_FORMAT);
	assert_int_equal(tw_sink_write(sink, &(struct tw_sink_piece){ UINT64_MAX, &byte, 1 }, 1),
			 TW_E_FORMAT);
	assert_int_equal(tw_sink_hole(sink, 0, 1001), TW_E_FORMAT);
	assert_int_equal(tw_sink_hole(sink, 5, 4), TW_E_FORMAT);
	assert_int_equal(tw_sink_digests(sink, 0, digests, 2), TW_E_FORMAT);
	assert_int_equal(tw_sink_digests(sink, UINT64_MAX, digests, 2), TW_E_FORMAT);
	assert_int_equal(tape_send(&tape, sink, UINT64_MAX), 0);
	expect_tree(&tape, "");
	tw_sink_free(sink);
	tape_deinit(&tape);
}

/* One byte here and there, more gaps than any account holds: they come again, and it ends well. */
static void test_crumbs(void **state)
{
	struct tw_sink *sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	struct tape tape;

	(void)state;
	tape_init(&tape, 4);
	tape_file(&tape, "a", TW_CHUNK_SIZE);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	for (uint64_t i = 0; i < 10000; i++) {
		const struct tw_sink_piece piece = { i * 50, tape.bytes + i * 50, 1 };

		assert_int_equal(tw_sink_write(sink, &piece, 1), 0);
		tw_ranges_remove(&tape.owed, i * 50, i * 50 + 1);
	}
	tape_events(&tape, sink);
	assert_true(tape.again > 5000);
	tape.piece_max = 700;
	assert_int_equal(tape_send(&tape, sink, UINT64_MAX), 0);
	assert_int_equal(tw_sink_checkpoint(sink), 0);
	expect_tree(&tape, "");
	tw_sink_free(sink);
	tape_deinit(&tape);
}

/* A second delivery into a tree whose folders may not be written to. */
static void test_closed_folders(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		const struct tw_entry closed = { .kind = TW_KIND_DIRECTORY, .mode = 0555 };
		struct tw_sink *sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
		struct tape tape;

		tape_init(&tape, i);
		assert_int_equal(tw_manifest_append(tape.manifest, "closed", &closed), 0);
		tape_file(&tape, "closed/f", 100);
		deliver(&tape, sink);
		expect_tree(&tape, "");
		tw_sink_free(sink);
		tape_deinit(&tape);
	}
}

static void test_nothing_to_send(void **state)
{
	struct tw_sink *sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	struct tape tape;

	(void)state;
	tape_init(&tape, 1);
	deliver(&tape, sink);
	tw_sink_free(sink);
	tape_deinit(&tape);
	sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	tape_init(&tape, 1);
	tape_folder(&tape, "only");
	tape_file(&tape, "only/empty", 0);
	deliver(&tape, sink);
	expect_tree(&tape, "");
	tw_sink_free(sink);
	tape_deinit(&tape);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, root_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_in_order),
		CASE(test_any_order),
		CASE(test_removals),
		CASE(test_overwrite_modes),
		cmocka_unit_test(test_mode_names),
		CASE(test_old_file_stays_until_the_end),
		CASE(test_wrong_kinds),
		CASE(test_unsafe),
		CASE(test_sparse),
		CASE(test_zeros_without_write),
		CASE(test_damage_is_mended),
		CASE(test_damage_without_end),
		CASE(test_abandon),
		CASE(test_sha256),
		CASE(test_sha256_in_parts),
		CASE(test_endless_file),
		CASE(test_without_writing),
		CASE(test_peer_breaks_the_rules),
		CASE(test_crumbs),
		CASE(test_closed_folders),
		CASE(test_nothing_to_send),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
