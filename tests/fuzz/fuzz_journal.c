/*
 * A journal file of any bytes, on a storage made of memory. The first byte says how: as it comes,
 * or each record sealed here first, so that the checksums are passed. It opens whatever it holds,
 * says the same when it is opened again, and what is added comes back.
 */
#include "fuzz.h"

#include <errno.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "base/bytes.h"
#include "content/journal.h"

struct tw_file {
	uint8_t bytes[1 << 16];
	size_t size;
};

static int memory_open(void *fs, const char *path, unsigned flags, struct tw_file **ret)
{
	(void)path;
	(void)flags;
	*ret = fs;
	return 0;
}

static void memory_close(struct tw_file *file)
{
	(void)file;
}

static int64_t memory_read(struct tw_file *file, void *bytes, size_t length, uint64_t offset)
{
	if (offset >= file->size)
		return 0;
	if (length > file->size - offset)
		length = file->size - offset;
	memcpy(bytes, file->bytes + offset, length);
	return (int64_t)length;
}

static int memory_write(struct tw_file *file, const struct iovec *pieces, int count,
			uint64_t offset)
{
	for (int i = 0; i < count; i++) {
		CHECK(offset <= file->size);
		if (pieces[i].iov_len > sizeof(file->bytes) - offset)
			return -ENOSPC;
		memcpy(file->bytes + offset, pieces[i].iov_base, pieces[i].iov_len);
		offset += pieces[i].iov_len;
		if (offset > file->size)
			file->size = offset;
	}
	return 0;
}

static int memory_resize(struct tw_file *file, uint64_t size)
{
	CHECK(size <= file->size);
	file->size = size;
	return 0;
}

static int memory_stat(struct tw_file *file, struct tw_file_stat *ret)
{
	*ret = (struct tw_file_stat){ .kind = TW_KIND_FILE, .size = file->size };
	return 0;
}

static int memory_sync(struct tw_file *file)
{
	(void)file;
	return 0;
}

static void memory_boot_id(void *fs, uint8_t ret[16])
{
	(void)fs;
	memset(ret, 0, 16);
}

static const struct tw_fs_ops ops = {
	.open = memory_open,
	.close = memory_close,
	.read = memory_read,
	.write = memory_write,
	.resize = memory_resize,
	.stat_file = memory_stat,
	.sync = memory_sync,
	.boot_id = memory_boot_id,
};

/* What a journal said: its records folded into one number, after each of them. */
struct story {
	uint64_t folds[2048];
	size_t count;
	struct tw_journal_record last;
};

static int listen_to(void *context, const struct tw_journal_record *record)
{
	struct story *story = context;
	uint64_t numbers[] = { record->type,
			       record->path_hash,
			       record->size,
			       (uint64_t)record->mtime_ns,
			       record->start,
			       record->end,
			       story->count ? story->folds[story->count - 1] : 0 };
	uint64_t fold = XXH3_64bits_withSeed(&record->digest, sizeof record->digest,
					     XXH3_64bits(numbers, sizeof numbers));

	CHECK(story->count < sizeof story->folds / sizeof story->folds[0]);
	story->folds[story->count++] = fold;
	story->last = *record;
	return 0;
}

/* Wraps what follows each length byte as a record. */
static void seal(struct tw_file *file, const uint8_t *data, size_t size)
{
	struct tw_writer writer;
	uint64_t check = 0;

	tw_writer_init(&writer, file->bytes, sizeof file->bytes);
	tw_write_bytes(&writer, "TWJRNL\x00\x01", 8);
	while (size > 1) {
		size_t length = 1 + data[0] % 65;
		const uint8_t *head = writer.at;

		if (length > size - 1)
			length = size - 1;
		tw_write_u32(&writer, (uint32_t)length);
		tw_write_bytes(&writer, data + 1, length);
		if (!writer.failed)
			check = XXH3_64bits_withSeed(head, 4 + length, check);
		tw_write_u64(&writer, check);
		data += 1 + length;
		size -= 1 + length;
	}
	CHECK(!writer.failed);
	file->size = tw_writer_length(&writer);
}

static void run(struct tw_file *file)
{
	static struct story first, second;
	const struct tw_journal_record more = {
		.type = TW_JOURNAL_RANGE, .path_hash = 1, .start = 2, .end = 3
	};
	const struct tw_fs fs = { &ops, file };
	struct tw_journal *journal = NULL;

	first.count = second.count = 0;
	CHECK(tw_journal_open(&fs, "journal", listen_to, &first, &journal) == 0);
	CHECK(tw_journal_add(journal, &more) == 0);
	CHECK(tw_journal_write(journal) == 0 && tw_journal_sync(journal) == 0);
	tw_journal_close(journal);
	CHECK(tw_journal_open(&fs, "journal", listen_to, &second, &journal) == 0);
	tw_journal_close(journal);
	/* Behind the old there is the new record, and a mark of this boot where it was not the
	 * last. */
	CHECK(second.count > first.count && second.count <= first.count + 2);
	CHECK(!first.count || first.folds[first.count - 1] == second.folds[first.count - 1]);
	CHECK(second.last.type == more.type && second.last.path_hash == 1);
	CHECK(second.last.start == 2 && second.last.end == 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tw_file file;

	if (!size || size > 4096)
		return 0;
	if (data[0] & 1) {
		seal(&file, data + 1, size - 1);
	} else {
		file.size = size - 1;
		memcpy(file.bytes, data + 1, size - 1);
	}
	run(&file);
	return 0;
}
