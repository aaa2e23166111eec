#include "content/journal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "base/bytes.h"
#include "base/error.h"

#define MAGIC "TWJRNL\x00\x01"
#define MAGIC_SIZE 8
#define HEAD_SIZE 4
#define CHECK_SIZE 8
#define BODY_MAX 64
#define RECORD_MAX (HEAD_SIZE + 1 + BODY_MAX + CHECK_SIZE)
#define READ_SIZE 65536

struct tw_journal {
	struct tw_fs fs;
	struct tw_file *file; /* owned */
	uint64_t offset;      /* where @bytes go */
	uint64_t check;       /* of the last record */
	uint8_t *bytes;       /* owned: added, not yet written */
	size_t length, room;
};

/* One run of the machine, as the records tell it. */
struct section {
	bool current;
	uint64_t flushed_end; /* records that end at or before it count for ever */
};

struct scan {
	const struct tw_fs *fs;
	struct tw_file *file;
	uint64_t offset, end, check; /* of the next record; the file's size */
	uint64_t window;             /* where @bytes begin in the file */
	size_t length;
	uint8_t bytes[READ_SIZE];
};

static const struct {
	bool known, path, digest;
	uint8_t numbers; /* of the two in the body: start, end */
} kinds[] = {
	[TW_JOURNAL_BOOT] = { .known = true },
	[TW_JOURNAL_ENTRY] = { .known = true, .path = true, .numbers = 2 },
	[TW_JOURNAL_RANGE] = { .known = true, .path = true, .numbers = 2 },
	[TW_JOURNAL_CHUNK] = { .known = true, .path = true, .numbers = 1, .digest = true },
	[TW_JOURNAL_DONE] = { .known = true, .path = true, .digest = true },
	[TW_JOURNAL_ABANDONED] = { .known = true, .path = true },
	[TW_JOURNAL_FLUSHED] = { .known = true },
	[TW_JOURNAL_LOST] = { .known = true },
	[TW_JOURNAL_HOLE] = { .known = true, .path = true, .numbers = 2 },
};

static void write_body(struct tw_writer *writer, const struct tw_journal_record *record)
{
	bool entry = record->type == TW_JOURNAL_ENTRY;

	if (record->type == TW_JOURNAL_BOOT)
		tw_write_bytes(writer, record->boot_id, sizeof(record->boot_id));
	if (kinds[record->type].path)
		tw_write_u64(writer, record->path_hash);
	if (kinds[record->type].numbers >= 1)
		tw_write_u64(writer, entry ? record->size : record->start);
	if (kinds[record->type].numbers >= 2)
		tw_write_u64(writer, entry ? (uint64_t)record->mtime_ns : record->end);
	if (kinds[record->type].digest)
		tw_write_bytes(writer, record->digest.bytes, sizeof(record->digest.bytes));
}

/* False: not a record. */
static bool read_body(struct tw_reader *reader, struct tw_journal_record *ret)
{
	uint64_t numbers[2] = { 0 };
	uint8_t type = tw_read_u8(reader);

	*ret = (struct tw_journal_record){ .type = type };
	if (type >= sizeof(kinds) / sizeof(kinds[0]) || !kinds[type].known)
		return false;
	if (type == TW_JOURNAL_BOOT)
		tw_read_copy(reader, ret->boot_id, sizeof(ret->boot_id));
	if (kinds[type].path)
		ret->path_hash = tw_read_u64(reader);
	for (unsigned i = 0; i < kinds[type].numbers; i++)
		numbers[i] = tw_read_u64(reader);
	if (kinds[type].digest)
		tw_read_copy(reader, ret->digest.bytes, sizeof(ret->digest.bytes));
	if (type == TW_JOURNAL_ENTRY) {
		ret->size = numbers[0];
		ret->mtime_ns = (int64_t)numbers[1];
	} else {
		ret->start = numbers[0];
		ret->end = numbers[1];
	}
	return !reader->failed && !tw_reader_left(reader);
}

/* At least one record's bytes at scan->offset, or all that is left. -errno. */
static int fill(struct scan *scan, const uint8_t **ret_at, size_t *ret_length)
{
	size_t skip = (size_t)(scan->offset - scan->window);

	if (skip > scan->length ||
	    (scan->length - skip < RECORD_MAX && scan->window + scan->length < scan->end)) {
		int64_t n = scan->fs->ops->read(scan->file, scan->bytes, sizeof(scan->bytes),
						scan->offset);

		if (n < 0)
			return (int)n;
		scan->window = scan->offset;
		scan->length = (size_t)n;
		skip = 0;
		if (!n)
			scan->end = scan->offset;
	}
	*ret_at = scan->bytes + skip;
	*ret_length = scan->length - skip;
	return 0;
}

/* The next record. TW_E_END: no more, or no more that is whole. */
static int next_record(struct scan *scan, struct tw_journal_record *ret)
{
	struct tw_reader reader, body;
	const uint8_t *at = NULL;
	size_t length = 0, n;
	uint64_t check;
	int r;

	r = fill(scan, &at, &length);
	if (r)
		return r;
	tw_reader_init(&reader, at, length);
	n = tw_read_u32(&reader);
	if (reader.failed || !n || n > 1 + BODY_MAX || n > length - HEAD_SIZE ||
	    length - HEAD_SIZE - n < CHECK_SIZE)
		return TW_E_END;
	check = XXH3_64bits_withSeed(at, HEAD_SIZE + n, scan->check);
	tw_reader_init(&body, tw_read_bytes(&reader, n), n);
	if (tw_read_u64(&reader) != check || !read_body(&body, ret))
		return TW_E_END;
	scan->check = check;
	scan->offset += HEAD_SIZE + n + CHECK_SIZE;
	return 0;
}

static void rewind_scan(struct scan *scan)
{
	scan->offset = scan->window = MAGIC_SIZE;
	scan->length = 0;
	scan->check = 0;
}

struct sections {
	struct section *at; /* owned */
	size_t count, room;
};

static int add_section(struct sections *sections, bool current)
{
	if (sections->count == sections->room) {
		size_t room = sections->room * 2 + 4;
		struct section *at = realloc(sections->at, room * sizeof(*at));

		if (!at)
			return -ENOMEM;
		sections->at = at;
		sections->room = room;
	}
	sections->at[sections->count++] = (struct section){ .current = current };
	return 0;
}

/*
 * A record that begins a section; what LOST leaves behind no longer counts as written in this run
 * of the machine.
 */
static bool begins_section(const struct tw_journal_record *record)
{
	return record->type == TW_JOURNAL_BOOT || record->type == TW_JOURNAL_LOST;
}

/*
 * First pass: where each section was last flushed. On return the scan stands behind the last whole
 * record.
 */
static int find_sections(struct scan *scan, const uint8_t boot_id[16], struct sections *ret)
{
	struct tw_journal_record record;
	bool current = false;
	int r;

	while (!(r = next_record(scan, &record))) {
		if (record.type == TW_JOURNAL_BOOT)
			current = !memcmp(record.boot_id, boot_id, sizeof(record.boot_id));
		if (record.type == TW_JOURNAL_LOST && ret->count)
			ret->at[ret->count - 1].current = false;
		if (begins_section(&record))
			r = add_section(ret, current);
		if (r)
			return r;
		if (record.type == TW_JOURNAL_FLUSHED && ret->count)
			ret->at[ret->count - 1].flushed_end = scan->offset;
	}
	return r == TW_E_END ? 0 : r;
}

/* Second pass: what counts goes to @each. */
static int replay(struct scan *scan, const struct sections *sections, uint64_t end,
		  int (*each)(void *context, const struct tw_journal_record *record), void *context)
{
	struct tw_journal_record record;
	size_t begun = 0;

	rewind_scan(scan);
	while (scan->offset < end) {
		const struct section *section;
		int r = next_record(scan, &record);

		if (r)
			return r == TW_E_END ? -EIO : r;
		begun += begins_section(&record);
		/* More than the first pass saw: the file is being changed under us. */
		if (begun > sections->count)
			return -EIO;
		if (!begun)
			continue;
		section = &sections->at[begun - 1];
		if (!section->current && scan->offset > section->flushed_end &&
		    record.type != TW_JOURNAL_ENTRY && record.type != TW_JOURNAL_ABANDONED)
			continue;
		r = each(context, &record);
		if (r)
			return r;
	}
	return 0;
}

static int begin(struct tw_journal *journal, const uint8_t boot_id[16])
{
	struct tw_journal_record record = { .type = TW_JOURNAL_BOOT };

	memcpy(record.boot_id, boot_id, sizeof(record.boot_id));
	return tw_journal_add(journal, &record);
}

static int load(struct tw_journal *journal, struct scan *scan, const uint8_t boot_id[16],
		int (*each)(void *context, const struct tw_journal_record *record), void *context)
{
	struct sections sections = { 0 };
	int r;

	rewind_scan(scan);
	r = find_sections(scan, boot_id, &sections);
	if (!r) {
		journal->offset = scan->offset;
		journal->check = scan->check;
		r = replay(scan, &sections, journal->offset, each, context);
	}
	if (!r && journal->offset < scan->end)
		r = journal->fs.ops->resize(journal->file, journal->offset);
	if (!r && (!sections.count || !sections.at[sections.count - 1].current))
		r = begin(journal, boot_id);
	free(sections.at);
	return r;
}

static int start_over(struct tw_journal *journal, const uint8_t boot_id[16])
{
	const struct iovec magic = { MAGIC, MAGIC_SIZE };
	int r;

	r = journal->fs.ops->resize(journal->file, 0);
	if (!r)
		r = journal->fs.ops->write(journal->file, &magic, 1, 0);
	journal->offset = MAGIC_SIZE;
	return r ? r : begin(journal, boot_id);
}

int tw_journal_open(const struct tw_fs *fs, const char *path,
		    int (*each)(void *context, const struct tw_journal_record *record),
		    void *context, struct tw_journal **ret)
{
	struct tw_journal *journal = calloc(1, sizeof(*journal));
	struct scan *scan = calloc(1, sizeof(*scan));
	uint8_t magic[MAGIC_SIZE], boot_id[16];
	struct tw_file_stat st;
	int64_t n;
	int r = -ENOMEM;

	if (!journal || !scan)
		goto out;
	journal->fs = *fs;
	r = fs->ops->open(fs->context, path, TW_OPEN_READ | TW_OPEN_WRITE | TW_OPEN_CREATE,
			  &journal->file);
	if (r)
		goto out;
	r = fs->ops->stat_file(journal->file, &st);
	if (r)
		goto out;
	fs->ops->boot_id(fs->context, boot_id);
	n = fs->ops->read(journal->file, magic, sizeof(magic), 0);
	scan->fs = fs;
	scan->file = journal->file;
	scan->end = st.size;
	if (n < 0)
		r = (int)n;
	else if (n < MAGIC_SIZE || memcmp(magic, MAGIC, MAGIC_SIZE) != 0)
		r = start_over(journal, boot_id);
	else
		r = load(journal, scan, boot_id, each, context);
out:
	free(scan);
	if (r)
		tw_journal_close(journal);
	else
		*ret = journal;
	return r;
}

void tw_journal_close(struct tw_journal *journal)
{
	if (!journal)
		return;
	if (journal->file)
		journal->fs.ops->close(journal->file);
	free(journal->bytes);
	free(journal);
}

int tw_journal_add(struct tw_journal *journal, const struct tw_journal_record *record)
{
	struct tw_writer writer, head;
	size_t n;

	assert(kinds[record->type].known);
	if (journal->room - journal->length < RECORD_MAX) {
		size_t room = journal->room * 2 + 4096;
		uint8_t *bytes = realloc(journal->bytes, room);

		if (!bytes)
			return -ENOMEM;
		journal->bytes = bytes;
		journal->room = room;
	}
	tw_writer_init(&writer, journal->bytes + journal->length, journal->room - journal->length);
	tw_write_u32(&writer, 0);
	tw_write_u8(&writer, (uint8_t)record->type);
	write_body(&writer, record);
	n = tw_writer_length(&writer);
	tw_writer_init(&head, journal->bytes + journal->length, HEAD_SIZE);
	tw_write_u32(&head, (uint32_t)(n - HEAD_SIZE));
	journal->check = XXH3_64bits_withSeed(journal->bytes + journal->length, n, journal->check);
	tw_write_u64(&writer, journal->check);
	journal->length += n + CHECK_SIZE;
	return 0;
}

int tw_journal_write(struct tw_journal *journal)
{
	const struct iovec piece = { journal->bytes, journal->length };
	int r;

	if (!journal->length)
		return 0;
	/* After a failure the same bytes go to the same place again. */
	r = journal->fs.ops->write(journal->file, &piece, 1, journal->offset);
	if (r)
		return r;
	journal->offset += journal->length;
	journal->length = 0;
	return 0;
}

int tw_journal_sync(struct tw_journal *journal)
{
	return journal->fs.ops->sync(journal->file);
}
