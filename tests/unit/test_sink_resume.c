/* The sink when it is killed, when the machine falls, and when storage fails. */
#include "unit.h"

#include "../support/memory_fs.h"
#include "../support/tape.h"
#include "base/error.h"
#include "content/names.h"

static struct memory_fs memory;
static struct tw_fs fs;
static struct tape tape;

static int setup(void **state)
{
	(void)state;
	memory_fs_init(&memory);
	fs = memory_fs_view(&memory);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	memory_fs_deinit(&memory);
	return 0;
}

static struct tw_sink *open_sink(enum tw_overwrite overwrite)
{
	const struct tw_sink_options options = {
		.transfer_key = "0123456789abcde",
		.destination = "to",
		.overwrite = overwrite,
		.write_content = true,
		.journal_bytes = 4 * TW_CHUNK_SIZE,
	};
	struct tw_sink *sink;

	assert_int_equal(tw_sink_new(&fs, &options, &sink), 0);
	return sink;
}

/* As kill -9 does it: whatever the sink tries on its way out, nothing reaches the storage. */
static void kill_sink(struct tw_sink *sink)
{
	memory.frozen = true;
	tw_sink_free(sink);
	memory.frozen = false;
	memory.calls = memory.calls_max = 0;
}

static void expect_delivered(void)
{
	char path[TW_PATH_MAX + 16];
	char to[TW_PATH_MAX + 32];

	for (uint64_t i = 0; i < tw_manifest_count(tape.manifest); i++) {
		const struct tw_entry *entry = tw_manifest_entry(tape.manifest, i);
		const struct memory_node *node;

		tw_manifest_path(tape.manifest, i, path);
		snprintf(to, sizeof(to), "to/%s", path);
		node = memory_fs_find(&memory, to);
		assert_non_null(node);
		assert_int_equal(node->kind, entry->kind);
		assert_int_equal(node->mode, entry->mode);
		assert_int_equal(node->mtime_ns, entry->mtime_ns);
		if (entry->kind != TW_KIND_FILE)
			continue;
		assert_int_equal(node->size, entry->size);
		if (entry->size)
			assert_memory_equal(node->bytes, tape.bytes + entry->tape_start,
					    entry->size);
	}
	for (size_t i = 0; i < memory.now.count; i++) {
		const char *slash = strrchr(memory.now.at[i].path, '/');
		const char *name = slash ? slash + 1 : memory.now.at[i].path;

		assert_false(tw_name_reserved(name, strlen(name)));
	}
}

/* A new attempt that must come to the end. */
static void finish(enum tw_overwrite overwrite)
{
	struct tw_sink *sink = open_sink(overwrite);

	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	assert_int_equal(tape_send(&tape, sink, UINT64_MAX), 0);
	assert_int_equal(tw_sink_checkpoint(sink), 0);
	tape_events(&tape, sink);
	assert_true(tape.all_done);
	assert_int_equal(tape.failed, 0);
	expect_delivered();
	tw_sink_free(sink);
}

static void one_large_file(uint64_t seed)
{
	tape_init(&tape, seed);
	tape_file(&tape, "large", 25 * TW_CHUNK_SIZE + 4321);
	tape.piece_max = 60000;
}

/* Killed without a checkpoint: what 16 MiB of journal do not cover yet is sent again, no more. */
static void test_killed(void **state)
{
	static const enum tw_overwrite modes[] = {
		TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
		TW_OVERWRITE_IN_PLACE_NEVER,
		TW_OVERWRITE_IN_PLACE_SAME_SIZE,
	};

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		enum tw_overwrite mode = modes[i % 3];
		struct tw_sink *sink;

		memory_fs_deinit(&memory);
		memory_fs_init(&memory);
		one_large_file(i);
		tape.shuffle = i >= 3 ? 20 : 0;
		sink = open_sink(mode);
		assert_int_equal(tape_offer(&tape, sink), TW_E_END);
		assert_int_equal(tape_send(&tape, sink, 17 * TW_CHUNK_SIZE), 0);
		kill_sink(sink);
		memory.reads = 0;
		finish(mode);
		assert_true(tape.sent <= tape.size + 7 * TW_CHUNK_SIZE);
		tape_deinit(&tape);
	}
}

/* What is journaled as checked is not read again. */
static void test_no_rehash(void **state)
{
	struct tw_sink *sink;
	uint64_t before;

	(void)state;
	one_large_file(1);
	sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	assert_int_equal(tape_send(&tape, sink, 17 * TW_CHUNK_SIZE), 0);
	tw_sink_free(sink);
	before = memory.reads;
	finish(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	/* The journal itself, and what is before the gap of one chunk. */
	assert_true(memory.reads - before < 10);
	assert_true(tape.sent <= tape.size + 4096);
	tape_deinit(&tape);
}

static void test_machine_falls(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct tw_sink_progress progress;
		struct tw_sink *sink;

		memory_fs_deinit(&memory);
		memory_fs_init(&memory);
		one_large_file(i);
		tape.shuffle = i % 2 ? 20 : 0;
		sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
		assert_int_equal(tape_offer(&tape, sink), TW_E_END);
		assert_int_equal(tape_send(&tape, sink, 10 * TW_CHUNK_SIZE), 0);
		if (i < 2)
			assert_int_equal(tw_sink_checkpoint(sink), 0);
		assert_int_equal(tape_send(&tape, sink, 5 * TW_CHUNK_SIZE), 0);
		tw_sink_progress(sink, &progress);
		kill_sink(sink);
		memory_fs_reboot(&memory);
		finish(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
		/* Nothing that was called durable is sent again, and no more than that is kept. */
		assert_true(tape.held.total <= progress.bytes_durable);
		assert_true(tape.held.total + 20 * 1024 + (i % 2 ? 2 : 1) * TW_CHUNK_SIZE >=
			    progress.bytes_durable);
		assert_true(i < 2 ? progress.bytes_durable >= 10 * TW_CHUNK_SIZE
				  : progress.bytes_durable == 0);
		tape_deinit(&tape);
	}
}

static void many_files(uint64_t seed)
{
	char path[32];

	tape_init(&tape, seed);
	for (unsigned i = 0; i < 60; i++) {
		if (i % 10 == 0) {
			snprintf(path, sizeof(path), "d%u", i / 10);
			tape_folder(&tape, path);
		}
		snprintf(path, sizeof(path), "d%u/%u", i / 10, i);
		tape_file(&tape, path, i % 7 ? tw_prng_below(&tape.prng, 6000) : 0);
	}
	tape_file(&tape, "big", 3 * TW_CHUNK_SIZE + 5);
	tape.piece_max = 5000;
}

/* No file may take its name before all of it is right, and on storage. */
static void watch_names(struct memory_fs *watched, const char *path, struct memory_node *node)
{
	char full[TW_PATH_MAX + 16];

	for (uint64_t i = 0; i < tw_manifest_count(tape.manifest); i++) {
		const struct tw_entry *entry = tw_manifest_entry(tape.manifest, i);

		strcpy(full, "to/");
		tw_manifest_path(tape.manifest, i, full + 3);
		if (entry->kind != TW_KIND_FILE || strcmp(full, path) != 0)
			continue;
		assert_int_equal(node->stored_size, entry->size);
		if (entry->size)
			assert_memory_equal(node->stored, tape.bytes + entry->tape_start,
					    entry->size);
		assert_int_equal(node->stored_mtime_ns, entry->mtime_ns);
		assert_int_equal(node->stored_mode, entry->mode);
	}
	(void)watched;
}

/* Killed, or the machine felled, after every possible number of changes to the storage. */
static void cut_everywhere(enum tw_overwrite mode, bool reboot)
{
	bool in_place = mode == TW_OVERWRITE_IN_PLACE_NEVER;
	uint64_t total, cut = 1;

	many_files(1);
	memory_fs_deinit(&memory);
	memory_fs_init(&memory);
	memory.named = in_place ? NULL : watch_names;
	memory.calls_max = UINT64_MAX;
	finish(mode);
	total = memory.calls;
	tape_deinit(&tape);
	for (; cut < total; cut += 1 + cut / 15) {
		struct tw_sink_progress progress = { 0 };
		struct tw_sink *sink = NULL;
		const struct tw_sink_options options = {
			.transfer_key = "0123456789abcde",
			.destination = "to",
			.overwrite = mode,
			.write_content = true,
		};
		uint64_t sent;
		int r;

		memory_fs_deinit(&memory);
		memory_fs_init(&memory);
		memory.named = in_place ? NULL : watch_names;
		memory.calls_max = cut;
		many_files(1);
		tape.checkpoint = 10;
		r = tw_sink_new(&fs, &options, &sink);
		if (!r) {
			r = tape_offer(&tape, sink);
			if (r == TW_E_END)
				r = tape_send(&tape, sink, UINT64_MAX);
			if (!r)
				tw_sink_checkpoint(sink);
			tw_sink_progress(sink, &progress);
			kill_sink(sink);
		}
		sent = tape.sent;
		memory.frozen = false;
		memory.calls = memory.calls_max = 0;
		if (reboot)
			memory_fs_reboot(&memory);
		tape.checkpoint = 0;
		tape.all_done = false;
		finish(mode);
		/* A whole delivery that lost its journal may come twice: there is nothing to hold.
		 */
		if (!tape.held.total && sent == tape.size)
			assert_true(cut + 30 >= total || reboot);
		if (reboot && progress.bytes_durable < tape.size)
			assert_true(tape.held.total + 2 * TW_CHUNK_SIZE >= progress.bytes_durable);
		tape_deinit(&tape);
	}
}

static void test_killed_everywhere(void **state)
{
	(void)state;
	cut_everywhere(TW_OVERWRITE_WITH_PARTFILE_ALWAYS, false);
	cut_everywhere(TW_OVERWRITE_IN_PLACE_NEVER, false);
}

static void test_felled_everywhere(void **state)
{
	(void)state;
	cut_everywhere(TW_OVERWRITE_WITH_PARTFILE_ALWAYS, true);
	cut_everywhere(TW_OVERWRITE_IN_PLACE_NEVER, true);
}

/* Files delivered by the earlier attempt are not sent again; changed ones are. */
static void test_delivered_files_are_held(void **state)
{
	struct tw_sink *sink;

	(void)state;
	many_files(3);
	sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_NEVER);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	assert_int_equal(tape_send(&tape, sink, 100000), 0);
	assert_int_equal(tw_sink_checkpoint(sink), 0);
	tape_events(&tape, sink);
	assert_true(tape.done > 10);
	kill_sink(sink);
	/* Somebody writes to one of them. */
	memory_fs_find(&memory, "to/d0/1")->mtime_ns++;
	tape.skipped = 0;
	sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_NEVER);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	assert_int_equal(tape.skipped, tape.done);
	/* One because it is there and not ours any more. */
	assert_int_equal(tape.last_error, TW_E_EXISTS);
	assert_int_equal(tape_send(&tape, sink, UINT64_MAX), 0);
	assert_int_equal(tw_sink_checkpoint(sink), 0);
	tape_events(&tape, sink);
	assert_true(tape.all_done);
	tw_sink_free(sink);
	tape_deinit(&tape);
}

/* The source has another version of the file now: nothing of the old one may get in. */
static void test_changed_source(void **state)
{
	struct tw_sink *sink;

	(void)state;
	one_large_file(1);
	sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	assert_int_equal(tape_send(&tape, sink, 12 * TW_CHUNK_SIZE), 0);
	assert_int_equal(tw_sink_checkpoint(sink), 0);
	tw_sink_free(sink);
	tape_deinit(&tape);
	tape_init(&tape, 2);
	tape_file(&tape, "large", 15 * TW_CHUNK_SIZE);
	tape.piece_max = 60000;
	finish(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	assert_int_equal(tape.held.total, 0);
	tape_deinit(&tape);
}

/* All bytes were there, no digest was: the chunks are asked for in part, and so proven. */
static void test_unchecked_chunks(void **state)
{
	struct tw_sink *sink;

	(void)state;
	tape_init(&tape, 1);
	tape_file(&tape, "a", 10 * TW_CHUNK_SIZE);
	tape.piece_max = 60000;
	tape.no_digests = true;
	sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	assert_int_equal(tape_send(&tape, sink, UINT64_MAX), 0);
	assert_int_equal(tw_sink_checkpoint(sink), 0);
	kill_sink(sink);
	tape.no_digests = false;
	finish(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	assert_int_equal(tape.sent, tape.size + 10 * 1024);
	tape_deinit(&tape);
}

/*
 * The part file that the journal tells of is gone. A new one is begun, and that attempt dies at
 * once: the third one must not believe of the new part file what was true of the old one.
 */
static void test_lost_part(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct tw_sink *sink;

		memory_fs_deinit(&memory);
		memory_fs_init(&memory);
		one_large_file(8);
		sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
		assert_int_equal(tape_offer(&tape, sink), TW_E_END);
		assert_int_equal(tape_send(&tape, sink, 10 * TW_CHUNK_SIZE), 0);
		assert_int_equal(tw_sink_checkpoint(sink), 0);
		kill_sink(sink);
		for (size_t k = 0; k < memory.now.count; k++) {
			if (strstr(memory.now.at[k].path, ".part")) {
				fs.ops->unlink(fs.context, memory.now.at[k].path);
				break;
			}
		}
		sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
		assert_int_equal(tape_offer(&tape, sink), TW_E_END);
		assert_int_equal(tape.held.total, 0);
		assert_int_equal(tape_send(&tape, sink, 1), 0);
		/* The new file reaches the platter by itself. */
		if (i) {
			assert_int_equal(fs.ops->sync_directory(fs.context, "to"), 0);
			for (struct memory_node *node = memory.nodes; node; node = node->next) {
				if (node->size == tape.size && !node->stored) {
					node->stored = calloc(1, node->size);
					node->stored_size = node->size;
				}
			}
		}
		kill_sink(sink);
		if (i)
			memory_fs_reboot(&memory);
		finish(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
		tape_deinit(&tape);
	}
}

/* It took its name, and the program died before the journal said so: also with holes in it. */
static void test_named_and_not_journaled(void **state)
{
	const struct tw_sink_options options = {
		.transfer_key = "0123456789abcde",
		.destination = "to",
		.overwrite = TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
		.write_content = true,
	};
	bool seen = false;

	(void)state;
	for (uint64_t cut = 1; cut < 60; cut++) {
		struct tw_sink *sink;
		int r;

		memory_fs_deinit(&memory);
		memory_fs_init(&memory);
		memory.calls_max = cut;
		tape_init(&tape, 1);
		tape_sparse(&tape, "s", 3 * TW_CHUNK_SIZE, 10, 20);
		tape_file(&tape, "unsent", 100);
		r = tw_sink_new(&fs, &options, &sink);
		if (!r) {
			r = tape_offer(&tape, sink);
			tw_ranges_remove(&tape.owed, TW_CHUNK_SIZE, tape.size);
			if (r == TW_E_END && !tape_send(&tape, sink, UINT64_MAX) &&
			    !tw_sink_hole(sink, TW_CHUNK_SIZE, 3 * TW_CHUNK_SIZE))
				tw_sink_checkpoint(sink);
			kill_sink(sink);
		}
		memory.frozen = false;
		memory.calls = memory.calls_max = 0;
		tape.skipped = 0;
		r = memory_fs_find(&memory, "to/s") != NULL;
		assert_int_equal(tw_sink_new(&fs, &options, &sink), 0);
		assert_int_equal(tape_offer(&tape, sink), TW_E_END);
		assert_int_equal(tape.skipped, r);
		seen = seen || r;
		tw_sink_free(sink);
		tape_deinit(&tape);
	}
	assert_true(seen);
}

static void test_holes_are_held(void **state)
{
	const uint64_t size = 500 * TW_CHUNK_SIZE;
	struct tw_sink *sink;
	struct tw_range held;

	(void)state;
	tape_init(&tape, 1);
	tape_sparse(&tape, "s", size, 10, 20);
	sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	assert_int_equal(tw_sink_hole(sink, TW_CHUNK_SIZE, size), 0);
	assert_int_equal(tw_sink_checkpoint(sink), 0);
	kill_sink(sink);
	memory_fs_reboot(&memory);
	sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	assert_int_equal(tape.held.count, 1);
	held = tape.held.at[0];
	assert_int_equal(held.start, TW_CHUNK_SIZE);
	assert_int_equal(held.end, size);
	assert_int_equal(tape_send(&tape, sink, UINT64_MAX), 0);
	assert_int_equal(tw_sink_checkpoint(sink), 0);
	expect_delivered();
	tw_sink_free(sink);
	tape_deinit(&tape);
}

/* A full disk: the call fails, nothing is lost, and it goes on when there is room. */
static void test_full_disk(void **state)
{
	struct tw_sink *sink;
	unsigned full = 0;

	(void)state;
	many_files(9);
	sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	memory.room = 100000;
	while (!tape.all_done) {
		int r = tape_send(&tape, sink, UINT64_MAX);

		if (!r)
			r = tw_sink_checkpoint(sink);
		tape_events(&tape, sink);
		if (!r)
			continue;
		assert_int_equal(r, -ENOSPC);
		assert_true(++full < 1000);
		memory.room += 50000;
	}
	assert_true(full > 10);
	assert_int_equal(tape.failed, 0);
	expect_delivered();
	tw_sink_free(sink);
	tape_deinit(&tape);
}

static void test_full_disk_and_a_new_attempt(void **state)
{
	struct tw_sink *sink;

	(void)state;
	one_large_file(4);
	sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	memory.room = 15 * TW_CHUNK_SIZE;
	assert_int_equal(tape_send(&tape, sink, UINT64_MAX), -ENOSPC);
	memory.room = UINT64_MAX;
	tw_sink_free(sink);
	finish(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	assert_true(tape.held.total >= 12 * TW_CHUNK_SIZE);
	tape_deinit(&tape);
}

/* One entry that cannot be written is its own trouble. */
static void test_trouble_with_one(void **state)
{
	static const int errors[] = { -EACCES, -EPERM, -EISDIR, -ENAMETOOLONG, TW_E_UNSAFE };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		struct tw_sink *sink;

		memory_fs_deinit(&memory);
		memory_fs_init(&memory);
		memory.open_error = errors[i];
		memory.open_error_name = "to/bad/";
		tape_init(&tape, i);
		tape_file(&tape, "a", 5000);
		tape_folder(&tape, "bad");
		tape_file(&tape, "bad/b", 5000);
		tape_file(&tape, "bad/empty", 0);
		tape_file(&tape, "c", 5000);
		sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
		assert_int_equal(tape_offer(&tape, sink), TW_E_END);
		assert_int_equal(tape_send(&tape, sink, UINT64_MAX), 0);
		assert_int_equal(tw_sink_checkpoint(sink), 0);
		tape_events(&tape, sink);
		assert_true(tape.all_done);
		assert_int_equal(tape.done, 2);
		assert_int_equal(tape.failed, 2);
		assert_int_equal(tape.last_error, errors[i]);
		tw_sink_free(sink);
		tape_deinit(&tape);
	}
}

/* A flush that fails has kept nobody knows what: nothing since the one before counts, ever. */
static void test_failed_flush(void **state)
{
	struct tw_sink *sink;

	(void)state;
	one_large_file(5);
	sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	assert_int_equal(tape_send(&tape, sink, 8 * TW_CHUNK_SIZE), 0);
	assert_int_equal(tw_sink_checkpoint(sink), 0);
	assert_int_equal(tape_send(&tape, sink, 8 * TW_CHUNK_SIZE), 0);
	memory.sync_error = -EIO;
	assert_int_equal(tw_sink_checkpoint(sink), -EIO);
	memory.sync_error = 0;
	/* It does not come right by trying again. */
	assert_int_equal(tw_sink_checkpoint(sink), -EIO);
	assert_int_equal(tape_send(&tape, sink, 8 * TW_CHUNK_SIZE), -EIO);
	tw_sink_free(sink);
	finish(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	assert_true(tape.held.total >= 8 * TW_CHUNK_SIZE && tape.held.total <= 11 * TW_CHUNK_SIZE);
	tape_deinit(&tape);
}

/* The journal's size follows what is new, whatever the order bytes come in. */
static void test_journal_stays_small(void **state)
{
	struct memory_node *journal;
	struct tw_sink *sink;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		memory_fs_deinit(&memory);
		memory_fs_init(&memory);
		one_large_file(6);
		tape.piece_max = 1433;
		tape.shuffle = i ? 3000 : 0;
		sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
		assert_int_equal(tape_offer(&tape, sink), TW_E_END);
		assert_int_equal(tape_send(&tape, sink, 23 * TW_CHUNK_SIZE), 0);
		assert_int_equal(tw_sink_checkpoint(sink), 0);
		journal = memory_fs_find(&memory, ".tradewind/303132333435363738396162636465"
						  "00.journal");
		assert_non_null(journal);
		assert_true(journal->size < (i ? tape.sent / 20 : 20000));
		tw_sink_free(sink);
		tape_deinit(&tape);
	}
}

/* A journal with any bit wrong: less is held, and what arrives is right. */
static void test_damaged_journal(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		struct memory_node *journal;
		struct tw_sink *sink;
		struct tw_prng prng;

		memory_fs_deinit(&memory);
		memory_fs_init(&memory);
		many_files(i);
		sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
		assert_int_equal(tape_offer(&tape, sink), TW_E_END);
		assert_int_equal(tape_send(&tape, sink, TW_CHUNK_SIZE), 0);
		tw_sink_free(sink);
		journal = memory_fs_find(&memory, ".tradewind/303132333435363738396162636465"
						  "00.journal");
		tw_prng_init(&prng, i);
		journal->bytes[tw_prng_below(&prng, journal->size)] ^=
			(uint8_t)(1 << tw_prng_below(&prng, 8));
		finish(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
		tape_deinit(&tape);
	}
}

/* Bytes of a part file went bad while nobody looked: the digest finds what was not checked yet. */
static void test_rotten_part(void **state)
{
	struct tw_sink *sink;

	(void)state;
	tape_init(&tape, 1);
	tape_file(&tape, "a", 3 * TW_CHUNK_SIZE / 2);
	tape.piece_max = 5000;
	sink = open_sink(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	assert_int_equal(tape_offer(&tape, sink), TW_E_END);
	assert_int_equal(tape_send(&tape, sink, TW_CHUNK_SIZE / 2), 0);
	assert_int_equal(tw_sink_checkpoint(sink), 0);
	kill_sink(sink);
	for (struct memory_node *node = memory.nodes; node; node = node->next) {
		if (node->size == 3 * TW_CHUNK_SIZE / 2)
			node->bytes[1000] ^= 1;
	}
	finish(TW_OVERWRITE_WITH_PARTFILE_ALWAYS);
	assert_int_equal(tape.again, 1);
	tape_deinit(&tape);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_killed),
		CASE(test_no_rehash),
		CASE(test_machine_falls),
		CASE(test_killed_everywhere),
		CASE(test_felled_everywhere),
		CASE(test_delivered_files_are_held),
		CASE(test_changed_source),
		CASE(test_unchecked_chunks),
		CASE(test_lost_part),
		CASE(test_named_and_not_journaled),
		CASE(test_holes_are_held),
		CASE(test_full_disk),
		CASE(test_full_disk_and_a_new_attempt),
		CASE(test_trouble_with_one),
		CASE(test_failed_flush),
		CASE(test_journal_stays_small),
		CASE(test_damaged_journal),
		CASE(test_rotten_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
