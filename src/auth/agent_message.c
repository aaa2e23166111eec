#include "auth/agent_message.h"

#include <string.h>

#include "base/error.h"

enum part { PART_END = 1, PART_ENTRIES };

/* A message of entries begins with its kind and their number. */
#define BATCH_HEAD 5
#define STAT_SIZE (1 + 2 + 6 * 8)
#define FLAGS_KNOWN 31 /* those of TW_OPEN_... are more than ours */

static void write_text(struct tw_writer *writer, const char *text)
{
	size_t length = text ? strlen(text) : 0;

	if (length >= TW_ROOT_PATH_ROOM) {
		writer->failed = true;
		return;
	}
	tw_write_u16(writer, (uint16_t)length);
	if (length)
		tw_write_bytes(writer, text, length);
	tw_write_u8(writer, 0);
}

/* NULL and a failed reader: longer than it may be, or a NUL where none may be. */
static const char *read_text(struct tw_reader *reader)
{
	size_t length = tw_read_u16(reader);
	const uint8_t *text = length < TW_ROOT_PATH_ROOM ? tw_read_bytes(reader, length + 1) : NULL;

	if (text && memchr(text, '\0', length + 1) == text + length)
		return (const char *)text;
	reader->failed = true;
	return NULL;
}

static void write_stat(struct tw_writer *writer, const struct tw_file_stat *stat)
{
	tw_write_u8(writer, (uint8_t)stat->kind);
	tw_write_u16(writer, (uint16_t)stat->mode);
	tw_write_u64(writer, stat->size);
	tw_write_u64(writer, stat->allocated);
	tw_write_u64(writer, (uint64_t)stat->mtime_ns);
	tw_write_u64(writer, (uint64_t)stat->ctime_ns);
	tw_write_u64(writer, stat->device);
	tw_write_u64(writer, stat->inode);
}

static void read_stat(struct tw_reader *reader, struct tw_file_stat *ret)
{
	uint8_t kind = tw_read_u8(reader);

	*ret = (struct tw_file_stat){ .kind = (enum tw_file_kind)kind };
	ret->mode = tw_read_u16(reader);
	ret->size = tw_read_u64(reader);
	ret->allocated = tw_read_u64(reader);
	ret->mtime_ns = (int64_t)tw_read_u64(reader);
	ret->ctime_ns = (int64_t)tw_read_u64(reader);
	ret->device = tw_read_u64(reader);
	ret->inode = tw_read_u64(reader);
	if (kind > TW_KIND_OTHER || ret->mode > 0777)
		reader->failed = true;
}

/* Questions. */

size_t tw_agent_question_encode(const struct tw_agent_question *question, uint8_t *bytes,
				size_t room)
{
	struct tw_writer writer;

	tw_writer_init(&writer, bytes, room);
	tw_write_u8(&writer, (uint8_t)question->operation);
	tw_write_u8(&writer, (uint8_t)question->files);
	tw_write_u8(&writer, (uint8_t)question->flags);
	tw_write_u32(&writer, question->mode);
	tw_write_u64(&writer, (uint64_t)question->mtime_ns);
	write_text(&writer, question->path);
	write_text(&writer, question->to);
	write_text(&writer, question->other);
	write_text(&writer, question->other_inside);
	return writer.failed ? 0 : tw_writer_length(&writer);
}

int tw_agent_question_decode(const uint8_t *bytes, size_t length, struct tw_agent_question *ret)
{
	struct tw_agent_question question = { 0 };
	struct tw_reader reader;
	uint8_t operation, files;

	tw_reader_init(&reader, bytes, length);
	operation = tw_read_u8(&reader);
	files = tw_read_u8(&reader);
	question.operation = (enum tw_agent_operation)operation;
	question.files = (enum tw_files_operation)files;
	question.flags = tw_read_u8(&reader);
	question.mode = tw_read_u32(&reader);
	question.mtime_ns = (int64_t)tw_read_u64(&reader);
	question.path = read_text(&reader);
	question.to = read_text(&reader);
	question.other = read_text(&reader);
	question.other_inside = read_text(&reader);
	if (reader.failed || tw_reader_left(&reader) || !operation ||
	    operation >= TW_AGENT_OPERATIONS_END || question.flags > FLAGS_KNOWN ||
	    files > TW_FILES_RM || (operation == TW_AGENT_FILES) != (files != 0))
		return TW_E_FORMAT;
	*ret = question;
	return 0;
}

/* Answers. */

size_t tw_agent_answer_encode(const struct tw_agent_answer *answer, uint8_t *bytes, size_t room)
{
	struct tw_writer writer;

	tw_writer_init(&writer, bytes, room);
	tw_write_u8(&writer, PART_END);
	tw_write_u32(&writer, (uint32_t)answer->error);
	write_stat(&writer, &answer->stat);
	tw_write_bytes(&writer, answer->boot_id, sizeof(answer->boot_id));
	tw_write_u64(&writer, answer->bytes);
	tw_write_u64(&writer, answer->files);
	tw_write_u64(&writer, answer->unreadable);
	write_text(&writer, answer->path);
	return writer.failed ? 0 : tw_writer_length(&writer);
}

void tw_agent_batch_begin(struct tw_agent_batch *batch, uint8_t *bytes, size_t room)
{
	batch->count = 0;
	tw_writer_init(&batch->writer, bytes, room);
	tw_write_zeros(&batch->writer, BATCH_HEAD);
}

bool tw_agent_batch_add(struct tw_agent_batch *batch, const char *name, bool symlink,
			const struct tw_file_stat *stat)
{
	size_t length = strlen(name);

	if (!length || length > TW_AGENT_NAME_MAX)
		return true;
	if (tw_writer_room(&batch->writer) < 1 + length + 1 + STAT_SIZE)
		return false;
	tw_write_u8(&batch->writer, (uint8_t)length);
	tw_write_bytes(&batch->writer, name, length);
	tw_write_u8(&batch->writer, symlink);
	write_stat(&batch->writer, stat);
	batch->count++;
	return true;
}

size_t tw_agent_batch_end(struct tw_agent_batch *batch)
{
	struct tw_writer head;

	tw_writer_init(&head, batch->writer.start, BATCH_HEAD);
	tw_write_u8(&head, PART_ENTRIES);
	tw_write_u32(&head, batch->count);
	return tw_writer_length(&batch->writer);
}

static int decode_end(struct tw_reader *reader, struct tw_agent_answer *ret)
{
	struct tw_agent_answer answer = { .error = (int)tw_read_u32(reader) };

	read_stat(reader, &answer.stat);
	tw_read_copy(reader, answer.boot_id, sizeof(answer.boot_id));
	answer.bytes = tw_read_u64(reader);
	answer.files = tw_read_u64(reader);
	answer.unreadable = tw_read_u64(reader);
	answer.path = read_text(reader);
	/* The numbers of errno end long before that. */
	if (reader->failed || tw_reader_left(reader) || answer.error < -4095 ||
	    answer.error >= TW_E_LIMIT)
		return TW_E_FORMAT;
	*ret = answer;
	return TW_E_END;
}

/* A name is one component, and none that leads elsewhere. */
static bool read_entry(struct tw_reader *reader, struct tw_agent_entry *entry)
{
	size_t length = tw_read_u8(reader);
	const uint8_t *name = tw_read_bytes(reader, length);
	uint8_t symlink = tw_read_u8(reader);

	read_stat(reader, &entry->stat);
	if (reader->failed || !length || symlink > 1 || memchr(name, '\0', length) ||
	    memchr(name, '/', length))
		return false;
	memcpy(entry->name, name, length);
	entry->name[length] = '\0';
	entry->symlink = symlink;
	return strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0;
}

int tw_agent_answer_decode(const uint8_t *bytes, size_t length, struct tw_agent_answer *ret_answer,
			   int (*each)(void *context, const struct tw_agent_entry *entry),
			   void *context)
{
	struct tw_agent_entry entry;
	struct tw_reader reader;
	uint8_t part;
	uint32_t count;
	int r = 0;

	tw_reader_init(&reader, bytes, length);
	part = tw_read_u8(&reader);
	if (part == PART_END)
		return decode_end(&reader, ret_answer);
	count = tw_read_u32(&reader);
	if (part != PART_ENTRIES || reader.failed || !count)
		return TW_E_FORMAT;
	for (uint32_t i = 0; !r && i < count; i++)
		r = read_entry(&reader, &entry) ? each(context, &entry) : TW_E_FORMAT;
	return !r && tw_reader_left(&reader) ? TW_E_FORMAT : r;
}
