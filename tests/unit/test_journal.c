#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

#include "../support/temp_dir.h"
#include "base/error.h"
#include "base/random.h"
#include "content/journal.h"

static char root[TEMP_PATH_MAX], file_path[TEMP_PATH_MAX + 8];
static struct tw_fs fs;
static struct tw_fs_ops ops;
static uint8_t boot = 1;

static void test_boot_id(void *context, uint8_t ret[16])
{
	(void)context;
	memset(ret, boot, 16);
}

static int setup(void **state)
{
	(void)state;
	temp_dir_make(root);
	snprintf(file_path, sizeof(file_path), "%s/j", root);
	if (tw_fs_posix_open(root, true, &fs))
		return -1;
	ops = *fs.ops;
	ops.boot_id = test_boot_id;
	fs.ops = &ops;
	boot = 1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tw_fs_posix_close(&fs);
	temp_dir_remove(root);
	return 0;
}

/*
 * Records as text: E<path> R<path>:<start>-<end> C<path>:<chunk> D<path> A<path> H<path>:... B F L
 */
static int print(void *context, const struct tw_journal_record *record)
{
	static const char letters[] = "?BERCDAFLH";
	char *text = context;

	assert_true(record->type < sizeof(letters) - 1);
	text += strlen(text);
	text += sprintf(text, "%c", letters[record->type]);
	switch (record->type) {
	case TW_JOURNAL_ENTRY:
		sprintf(text, "%d=%d@%d ", (int)record->path_hash, (int)record->size,
			(int)record->mtime_ns);
		break;
	case TW_JOURNAL_RANGE:
	case TW_JOURNAL_HOLE:
		sprintf(text, "%d:%d-%d ", (int)record->path_hash, (int)record->start,
			(int)record->end);
		break;
	case TW_JOURNAL_CHUNK:
		assert_int_equal(record->digest.bytes[3], 0x77);
		sprintf(text, "%d:%d ", (int)record->path_hash, (int)record->start);
		break;
	case TW_JOURNAL_DONE:
		assert_int_equal(record->digest.bytes[15], 0x77);
		/* fall through */
	case TW_JOURNAL_ABANDONED:
		sprintf(text, "%d ", (int)record->path_hash);
		break;
	default:
		strcat(text, " ");
	}
	return 0;
}

static struct tw_journal *reopen(const char *expected)
{
	struct tw_journal *journal;
	char text[4096] = "";

	assert_int_equal(tw_journal_open(&fs, "j", print, text, &journal), 0);
	assert_string_equal(text, expected);
	return journal;
}

static void add(struct tw_journal *journal, enum tw_journal_type type, uint64_t path,
		uint64_t start, uint64_t end)
{
	struct tw_journal_record record = {
		.type = type,
		.path_hash = path,
		.start = start,
		.end = end,
		.size = 55,
		.mtime_ns = -7,
	};

	memset(record.digest.bytes, 0x77, sizeof(record.digest.bytes));
	assert_int_equal(tw_journal_add(journal, &record), 0);
}

static void test_round_trip(void **state)
{
	struct tw_journal *journal = reopen("");

	(void)state;
	add(journal, TW_JOURNAL_ENTRY, 1, 0, 0);
	add(journal, TW_JOURNAL_RANGE, 1, 10, 20);
	add(journal, TW_JOURNAL_CHUNK, 1, 3, 0);
	add(journal, TW_JOURNAL_HOLE, 1, 4, 9);
	assert_int_equal(tw_journal_write(journal), 0);
	add(journal, TW_JOURNAL_DONE, 1, 0, 0);
	add(journal, TW_JOURNAL_ABANDONED, 2, 0, 0);
	assert_int_equal(tw_journal_write(journal), 0);
	assert_int_equal(tw_journal_write(journal), 0);
	add(journal, TW_JOURNAL_DONE, 3, 0, 0);
	/* Never written: it does not count. */
	tw_journal_close(journal);
	journal = reopen("B E1=55@-7 R1:10-20 C1:3 H1:4-9 D1 A2 ");
	add(journal, TW_JOURNAL_DONE, 4, 0, 0);
	assert_int_equal(tw_journal_write(journal), 0);
	assert_int_equal(tw_journal_sync(journal), 0);
	tw_journal_close(journal);
	tw_journal_close(reopen("B E1=55@-7 R1:10-20 C1:3 H1:4-9 D1 A2 D4 "));
}

static void test_other_boot(void **state)
{
	struct tw_journal *journal = reopen("");

	(void)state;
	add(journal, TW_JOURNAL_RANGE, 1, 0, 10);
	add(journal, TW_JOURNAL_FLUSHED, 0, 0, 0);
	add(journal, TW_JOURNAL_RANGE, 1, 10, 20);
	add(journal, TW_JOURNAL_ENTRY, 9, 0, 0);
	assert_int_equal(tw_journal_write(journal), 0);
	tw_journal_close(journal);
	journal = reopen("B R1:0-10 F R1:10-20 E9=55@-7 ");
	tw_journal_close(journal);
	boot = 2;
	journal = reopen("B R1:0-10 F E9=55@-7 ");
	add(journal, TW_JOURNAL_RANGE, 1, 30, 40);
	add(journal, TW_JOURNAL_FLUSHED, 0, 0, 0);
	add(journal, TW_JOURNAL_RANGE, 1, 40, 50);
	assert_int_equal(tw_journal_write(journal), 0);
	tw_journal_close(journal);
	/* A later flush does not bring back what an earlier boot lost. */
	tw_journal_close(reopen("B R1:0-10 F E9=55@-7 B R1:30-40 F R1:40-50 "));
	boot = 3;
	tw_journal_close(reopen("B R1:0-10 F E9=55@-7 B R1:30-40 F "));
}

static void test_lost(void **state)
{
	struct tw_journal *journal = reopen("");

	(void)state;
	add(journal, TW_JOURNAL_RANGE, 1, 0, 10);
	add(journal, TW_JOURNAL_FLUSHED, 0, 0, 0);
	add(journal, TW_JOURNAL_RANGE, 1, 10, 20);
	add(journal, TW_JOURNAL_LOST, 0, 0, 0);
	add(journal, TW_JOURNAL_RANGE, 1, 20, 30);
	assert_int_equal(tw_journal_write(journal), 0);
	tw_journal_close(journal);
	tw_journal_close(reopen("B R1:0-10 F L R1:20-30 "));
	boot = 2;
	tw_journal_close(reopen("B R1:0-10 F "));
}

static size_t load(uint8_t *bytes, size_t room)
{
	int fd = open(file_path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, bytes, room);

	close(fd);
	assert_true(n >= 0);
	return (size_t)n;
}

static void store(const uint8_t *bytes, size_t length)
{
	int fd = open(file_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, bytes, length), length);
	close(fd);
}

static int count(void *context, const struct tw_journal_record *record)
{
	unsigned *n = context;

	if (record->type == TW_JOURNAL_RANGE) {
		assert_int_equal(record->path_hash, 5);
		assert_int_equal(record->start, *n * 10);
		++*n;
	}
	return 0;
}

/* A prefix of what was written, and the journal goes on from there. */
static void test_torn_at_every_byte(void **state)
{
	enum { RECORDS = 20 };
	struct tw_journal *journal = reopen("");
	uint8_t bytes[4096];
	size_t length;
	unsigned most = 0;

	(void)state;
	for (unsigned i = 0; i < RECORDS; i++)
		add(journal, TW_JOURNAL_RANGE, 5, i * 10, i * 10 + 5);
	assert_int_equal(tw_journal_write(journal), 0);
	tw_journal_close(journal);
	length = load(bytes, sizeof(bytes));
	for (size_t cut = 0; cut <= length; cut++) {
		unsigned n = 0, again = 0;

		store(bytes, cut);
		assert_int_equal(tw_journal_open(&fs, "j", count, &n, &journal), 0);
		assert_true(n >= most && n <= most + 1);
		most = n;
		add(journal, TW_JOURNAL_RANGE, 5, n * 10, n * 10 + 5);
		assert_int_equal(tw_journal_write(journal), 0);
		tw_journal_close(journal);
		assert_int_equal(tw_journal_open(&fs, "j", count, &again, &journal), 0);
		assert_int_equal(again, n + 1);
		tw_journal_close(journal);
	}
	assert_int_equal(most, RECORDS);
}

/*
 * One flipped bit anywhere ends the journal there: nothing behind it and nothing wrong is believed.
 */
static void test_flipped_bits(void **state)
{
	struct tw_journal *journal = reopen("");
	uint8_t bytes[4096];
	size_t length;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		add(journal, TW_JOURNAL_RANGE, 5, i * 10, i * 10 + 5);
	assert_int_equal(tw_journal_write(journal), 0);
	tw_journal_close(journal);
	length = load(bytes, sizeof(bytes));
	for (size_t bit = 0; bit < length * 8; bit++) {
		unsigned n = 0;

		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		store(bytes, length);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(tw_journal_open(&fs, "j", count, &n, &journal), 0);
		assert_true(n < 10);
		tw_journal_close(journal);
	}
}

static void test_many_records(void **state)
{
	enum { RECORDS = 50000 };
	struct tw_journal *journal = reopen("");
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < RECORDS; i++) {
		add(journal, TW_JOURNAL_RANGE, 5, i * 10, i * 10 + 5);
		if (i % 777 == 0)
			assert_int_equal(tw_journal_write(journal), 0);
	}
	assert_int_equal(tw_journal_write(journal), 0);
	tw_journal_close(journal);
	assert_int_equal(tw_journal_open(&fs, "j", count, &n, &journal), 0);
	assert_int_equal(n, RECORDS);
	tw_journal_close(journal);
}

static int refuse(void *context, const struct tw_journal_record *record)
{
	(void)context;
	(void)record;
	return -ENOMEM;
}

static void test_errors(void **state)
{
	struct tw_journal *journal = reopen("");

	(void)state;
	add(journal, TW_JOURNAL_RANGE, 5, 0, 5);
	assert_int_equal(tw_journal_write(journal), 0);
	tw_journal_close(journal);
	assert_int_equal(tw_journal_open(&fs, "j", refuse, NULL, &journal), -ENOMEM);
	assert_int_equal(tw_journal_open(&fs, "none/j", refuse, NULL, &journal), -ENOENT);
	store((const uint8_t *)"something else altogether", 25);
	tw_journal_close(reopen(""));
	tw_journal_close(reopen(""));
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_round_trip),   CASE(test_other_boot),
		CASE(test_lost),         CASE(test_torn_at_every_byte),
		CASE(test_flipped_bits), CASE(test_many_records),
		CASE(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
