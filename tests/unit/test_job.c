/*
 * The jobs of disk threads: a whole transfer carried by hand from a source to a sink, and what each
 * job reports when something is wrong.
 */
#include "unit.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <openssl/sha.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "../support/temp_dir.h"
#include "base/error.h"
#include "base/random.h"
#include "content/fs_fd.h"
#include "content/job.h"

#define MIB ((size_t)1 << 20)

static char from_root[TEMP_PATH_MAX], to_root[TEMP_PATH_MAX];
static struct tw_fs from, to;
static struct tw_job source_job, sink_job;
static uint8_t manifest[1 << 16], content[4 << 20];
static struct tw_digest digests[TW_BLOCK_CHUNKS_MAX];

static int setup(void **state)
{
	(void)state;
	temp_dir_make(from_root);
	temp_dir_make(to_root);
	memset(&source_job, 0, sizeof(source_job));
	memset(&sink_job, 0, sizeof(sink_job));
	return tw_fs_posix_open(from_root, false, &from) || tw_fs_posix_open(to_root, true, &to);
}

static int teardown(void **state)
{
	(void)state;
	if (source_job.source) {
		source_job.type = TW_JOB_SOURCE_FREE;
		tw_job_run(&source_job);
	}
	if (sink_job.sink) {
		sink_job.type = TW_JOB_SINK_FREE;
		tw_job_run(&sink_job);
	}
	tw_fs_posix_close(&from);
	tw_fs_posix_close(&to);
	temp_dir_remove(from_root);
	temp_dir_remove(to_root);
	return 0;
}

static const char *at(const char *root, const char *path)
{
	static char full[TEMP_PATH_MAX + 256];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	return full;
}

static void put(const char *path, const void *bytes, size_t length)
{
	int fd = open(at(from_root, path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
	close(fd);
}

static int run(struct tw_job *job, enum tw_job_type type)
{
	job->type = type;
	tw_job_run(job);
	return job->result;
}

static void open_source(const char *path)
{
	const struct tw_source_mapping mapping = { path, path };
	const struct tw_source_options options = { .mappings = &mapping,
						   .mapping_count = 1,
						   .read_content = true };

	assert_int_equal(tw_source_new(&from, &options, &source_job.source), 0);
	source_job.bytes = manifest;
	source_job.room = sizeof(manifest);
	source_job.limit = 100;
	source_job.block.digests = digests;
}

static void open_sink(bool sha256)
{
	static const struct tw_sink_options plain = { .destination = "in",
						      .overwrite =
							      TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
						      .write_content = true };
	static const struct tw_sink_options proven = { .destination = "in",
						       .overwrite =
							       TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
						       .write_content = true,
						       .sha256 = true };

	sink_job.fs = &to;
	sink_job.sink_options = sha256 ? &proven : &plain;
	assert_int_equal(run(&sink_job, TW_JOB_SINK_OPEN), 0);
	assert_non_null(sink_job.sink);
}

static void make_tree(void)
{
	struct tw_prng prng;
	size_t i;

	tw_prng_init(&prng, 5);
	for (i = 0; i < sizeof(content); i += 8) {
		uint64_t word = tw_prng_u64(&prng);

		memcpy(content + i, &word, 8);
	}
	assert_int_equal(mkdir(at(from_root, "tree"), 0755), 0);
	put("tree/large", content, 2 * MIB + 5);
	put("tree/none", content, 0);
	put("tree/small", content + 3 * MIB, 77);
}

/* The whole manifest, in whatever pieces the walk gives. */
static void carry_manifest(void)
{
	int error;

	do {
		assert_int_equal(run(&source_job, TW_JOB_WALK), 0);
		sink_job.bytes = source_job.bytes;
		sink_job.length = source_job.length;
		error = source_job.length ? run(&sink_job, TW_JOB_MANIFEST) : 0;
	} while (!source_job.walk_over && !error);
	while (!error && sink_job.prepare_more)
		error = run(&sink_job, TW_JOB_PREPARE);
	assert_int_equal(error, TW_E_END);
}

/* Reads one block at @offset and writes it. Returns where it ends. */
static uint64_t carry_block(uint64_t offset, uint64_t limit)
{
	static uint8_t bytes[1 << 20];

	source_job.offset = offset;
	source_job.limit = limit;
	source_job.bytes = bytes;
	source_job.room = sizeof(bytes);
	assert_int_equal(run(&source_job, TW_JOB_READ), 0);
	assert_int_equal(source_job.block.start, offset);
	assert_false(source_job.block.hole);
	sink_job.block = source_job.block;
	assert_int_equal(run(&sink_job, TW_JOB_DIGESTS), 0);
	sink_job.pieces[0] = (struct tw_sink_piece){ offset, bytes, source_job.block.end - offset };
	sink_job.piece_count = 1;
	assert_int_equal(run(&sink_job, TW_JOB_WRITE), 0);
	return source_job.block.end;
}

static void expect_file(const char *path, const uint8_t *bytes, size_t length)
{
	static uint8_t got[4 << 20];
	int fd = open(at(to_root, path), O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail_msg("%s is missing", path);
	assert_int_equal(read(fd, got, sizeof(got)), length);
	assert_memory_equal(got, bytes, length);
	close(fd);
}

/* Takes events until all is done; returns how many files are. */
static unsigned finish_sink(void)
{
	unsigned files = 0;
	bool all = false;

	assert_int_equal(run(&sink_job, TW_JOB_CHECKPOINT), 0);
	for (;;) {
		for (size_t i = 0; i < sink_job.event_count; i++) {
			files += sink_job.events[i].type == TW_SINK_FILE_DONE;
			all |= sink_job.events[i].type == TW_SINK_ALL_DONE;
		}
		if (!sink_job.events_more)
			break;
		assert_int_equal(run(&sink_job, TW_JOB_SETTLE), 0);
	}
	return all ? files : 0;
}

static void whole_transfer(void **state)
{
	uint64_t offset = 0, total;
	unsigned files = 0;

	(void)state;
	make_tree();
	open_source("tree");
	open_sink(false);
	carry_manifest();
	total = source_job.total_bytes;
	assert_int_equal(total, 2 * MIB + 5 + 77);
	assert_int_equal(source_job.total_files, 3);
	assert_int_equal(source_job.total_entries, 4);
	assert_int_equal(source_job.total_chunks, 4);
	assert_int_equal(sink_job.ready, total);
	assert_int_equal(sink_job.held_count, 0);
	while (offset < total) {
		offset = carry_block(offset, total);
		for (size_t i = 0; i < sink_job.event_count; i++)
			files += sink_job.events[i].type == TW_SINK_FILE_DONE;
	}
	assert_int_equal(sink_job.progress.bytes_written, total);
	files += finish_sink();
	assert_int_equal(files, 3);
	assert_int_equal(sink_job.progress.files_done, 3);
	assert_int_equal(sink_job.progress.bytes_durable, total);
	expect_file("in/tree/large", content, 2 * MIB + 5);
	expect_file("in/tree/none", content, 0);
	expect_file("in/tree/small", content + 3 * MIB, 77);
}

static bool in_memory;

static bool say_in_memory(struct tw_file *file)
{
	(void)file;
	return in_memory;
}

static bool is_quick(struct tw_job *job, enum tw_job_type type)
{
	job->type = type;
	return tw_job_is_quick(job);
}

static bool write_is_quick(uint64_t offset, size_t length)
{
	sink_job.pieces[0] = (struct tw_sink_piece){ offset, content, length };
	sink_job.piece_count = 1;
	return is_quick(&sink_job, TW_JOB_WRITE);
}

static bool digests_are_quick(uint64_t first, size_t count)
{
	sink_job.block.chunk_first = first;
	sink_job.block.chunk_count = count;
	return is_quick(&sink_job, TW_JOB_DIGESTS);
}

static bool read_is_quick(uint64_t offset)
{
	source_job.offset = offset;
	return is_quick(&source_job, TW_JOB_READ);
}

/* What is done in passing: the middle of a large file that is open and in memory, nothing else. */
static void quick_jobs(void **state)
{
	static struct tw_fs_ops from_ops, to_ops;
	const uint64_t large = 2 * MIB + 5, total = large + 77;

	(void)state;
	in_memory = *(const bool *)*state;
	from_ops = *from.ops;
	to_ops = *to.ops;
	from_ops.in_memory = to_ops.in_memory = say_in_memory;
	from.ops = &from_ops;
	to.ops = &to_ops;
	make_tree();
	open_source("tree");
	open_sink(false);
	assert_false(is_quick(&source_job, TW_JOB_WALK));
	carry_manifest();
	assert_false(read_is_quick(0));
	assert_false(write_is_quick(0, 1000));
	/* The first bytes open the files. */
	assert_int_equal(carry_block(0, 1), MIB);
	assert_int_equal(read_is_quick(MIB), in_memory);
	assert_false(read_is_quick(2 * MIB)); /* its end, and the next file's beginning */
	assert_false(read_is_quick(total));
	assert_int_equal(write_is_quick(MIB, 1000), in_memory);
	assert_false(write_is_quick(2 * MIB - 10, 15)); /* both chunks that are left */
	assert_false(write_is_quick(large - 1, 2));
	assert_false(write_is_quick(large, 77));
	assert_false(write_is_quick(total, 1));
	assert_false(write_is_quick(total - 1, SIZE_MAX));
	sink_job.piece_count = 0;
	assert_false(is_quick(&sink_job, TW_JOB_WRITE));
	assert_int_equal(digests_are_quick(1, 1), in_memory);
	assert_false(digests_are_quick(1, 2));
	assert_false(digests_are_quick(2, 2));
	assert_false(digests_are_quick(4, 1));
	assert_false(digests_are_quick(0, SIZE_MAX));
	assert_false(is_quick(&sink_job, TW_JOB_CHECKPOINT));
	assert_int_equal(is_quick(&sink_job, TW_JOB_SETTLE), in_memory);
	/* What is left of the file could make it whole. */
	assert_int_equal(carry_block(MIB, MIB + 1), 2 * MIB);
	assert_false(write_is_quick(2 * MIB, 5));
	assert_false(digests_are_quick(2, 1));
	assert_int_equal(carry_block(2 * MIB, total), total);
	finish_sink();
	assert_int_equal(sink_job.progress.files_done, 3);
	expect_file("in/tree/large", content, large);
}

/* The system's storage knows itself whether it is. */
static void storage_in_memory(void **state)
{
	struct tw_file *file;
	struct statfs st;

	(void)state;
	put("file", content, 100);
	assert_int_equal(statfs(from_root, &st), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(from.ops->open(from.context, "file", TW_OPEN_READ, &file), 0);
		assert_int_equal(from.ops->in_memory(file), st.f_type == TMPFS_MAGIC);
		assert_int_equal(from.ops->in_memory(file), st.f_type == TMPFS_MAGIC);
		from.ops->close(file);
	}
	assert_int_equal(tw_fd_file(memfd_create("test", MFD_CLOEXEC), NULL, &file), 0);
	assert_true(tw_fd_in_memory(file));
	tw_fd_close(file);
}

/* The same bytes again, from the first one on. */
static void manifest_encoded_anew(void **state)
{
	static uint8_t first[1 << 16];
	size_t length = 0;

	(void)state;
	make_tree();
	open_source("tree");
	do {
		source_job.bytes = first + length;
		source_job.room = sizeof(first) - length;
		assert_int_equal(run(&source_job, TW_JOB_WALK), 0);
		length += source_job.length;
	} while (!source_job.walk_over);
	/* Once more, into a sink: it is whole. */
	source_job.bytes = manifest;
	source_job.room = 16;
	source_job.restart = true;
	open_sink(false);
	carry_manifest();
	assert_false(source_job.restart);
	assert_int_equal(sink_job.ready, 2 * MIB + 5 + 77);
}

static void entries_and_digests(void **state)
{
	uint8_t expected[SHA256_DIGEST_LENGTH];

	(void)state;
	make_tree();
	open_source("tree");
	open_sink(true);
	carry_manifest();
	source_job.offset = 100;
	assert_int_equal(run(&source_job, TW_JOB_ENTRY), 0);
	assert_int_equal(source_job.block.start, 0);
	assert_int_equal(source_job.block.end, 2 * MIB + 5);
	assert_string_equal(source_job.offender, "tree/large");
	source_job.offset = UINT64_MAX;
	assert_int_equal(run(&source_job, TW_JOB_ENTRY), TW_E_FORMAT);
	/* The folder is passed over; the file is not all below the limit yet. */
	source_job.entry = 0;
	source_job.limit = 2 * MIB;
	assert_int_equal(run(&source_job, TW_JOB_SHA256), TW_E_AGAIN);
	assert_int_equal(source_job.entry, 1);
	source_job.limit = 2 * MIB + 5;
	assert_int_equal(run(&source_job, TW_JOB_SHA256), 0);
	SHA256(content, 2 * MIB + 5, expected);
	assert_memory_equal(source_job.sha256, expected, sizeof(expected));
	source_job.entry = 4;
	assert_int_equal(run(&source_job, TW_JOB_SHA256), TW_E_END);
	/* The sink waits for them. */
	for (uint64_t offset = 0; offset < source_job.total_bytes;)
		offset = carry_block(offset, source_job.total_bytes);
	assert_int_equal(finish_sink(), 0);
	source_job.limit = source_job.total_bytes;
	for (source_job.entry = 0; run(&source_job, TW_JOB_SHA256) == 0; source_job.entry++) {
		sink_job.entry = source_job.entry;
		memcpy(sink_job.sha256, source_job.sha256, sizeof(sink_job.sha256));
		assert_int_equal(run(&sink_job, TW_JOB_CHECK_SHA256), 0);
	}
	finish_sink();
	assert_int_equal(sink_job.progress.files_done, 3);
}

static void source_that_changes(void **state)
{
	(void)state;
	make_tree();
	open_source("tree");
	open_sink(false);
	carry_manifest();
	put("tree/large", content + 7, 3 * MIB);
	source_job.offset = MIB + 3;
	source_job.limit = source_job.total_bytes;
	source_job.bytes = content;
	source_job.room = MIB;
	assert_int_equal(run(&source_job, TW_JOB_READ), TW_E_CHANGED);
	/* Which entry, and where its bytes would have been. */
	assert_int_equal(source_job.entry, 1);
	assert_int_equal(source_job.block.start, 0);
	assert_int_equal(source_job.block.end, 2 * MIB + 5);
	assert_int_equal(source_job.problem_count, 1);
	assert_int_equal(source_job.problems[0].error, TW_E_CHANGED);
	sink_job.entry = 1;
	assert_int_equal(run(&sink_job, TW_JOB_ABANDON), 0);
	assert_int_equal(sink_job.progress.files_failed, 1);
	sink_job.entry = 99;
	assert_int_equal(run(&sink_job, TW_JOB_ABANDON), TW_E_FORMAT);
}

static void missing_source(void **state)
{
	(void)state;
	open_source("nowhere");
	assert_int_equal(run(&source_job, TW_JOB_WALK), 0);
	assert_int_equal(source_job.problem_count, 1);
	assert_true(source_job.problems[0].fatal);
	assert_int_equal(source_job.problems[0].error, -ENOENT);
}

static void what_a_peer_may_not(void **state)
{
	static const uint8_t nonsense[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	const struct tw_sink_options outside = { .destination = "../out", .write_content = true };

	(void)state;
	sink_job.fs = &to;
	sink_job.sink_options = &outside;
	assert_int_equal(run(&sink_job, TW_JOB_SINK_OPEN), TW_E_UNSAFE);
	assert_null(sink_job.sink);
	open_sink(false);
	sink_job.bytes = (uint8_t *)(uintptr_t)nonsense;
	sink_job.length = sizeof(nonsense);
	assert_int_equal(run(&sink_job, TW_JOB_MANIFEST), TW_E_FORMAT);
	assert_false(sink_job.prepare_more);
	sink_job.offset = 0;
	sink_job.limit = 100;
	assert_int_equal(run(&sink_job, TW_JOB_HOLE), TW_E_FORMAT);
	sink_job.block =
		(struct tw_block){ .chunk_first = 5, .chunk_count = 1, .digests = digests };
	assert_int_equal(run(&sink_job, TW_JOB_DIGESTS), TW_E_FORMAT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(whole_transfer, setup, teardown),
		{ "quick_jobs: in memory", quick_jobs, setup, teardown, &(bool){ true } },
		{ "quick_jobs: on a disk", quick_jobs, setup, teardown, &(bool){ false } },
		cmocka_unit_test_setup_teardown(storage_in_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(manifest_encoded_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(entries_and_digests, setup, teardown),
		cmocka_unit_test_setup_teardown(source_that_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(missing_source, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_peer_may_not, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
