/*
 * The manifest's wire form: one zstd stream of records (docs/protocol.md, "Manifest").
 *
 *   file    u8 1 | u8 flags | u16 mode | u64 mtime | varint size | path
 *   folder  u8 2 | u8 flags | u16 mode | u64 mtime | path
 *   end     u8 0 | varint count | varint tape size
 *   path    varint shared | varint length | bytes: @shared bytes of the path before, then these
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "base/text.h"
#include "content/manifest.h"

#define RECORD_END 0
/* Head, size, two lengths and a path. */
#define RECORD_MAX (4 + 8 + 8 + 8 + 8 + TW_PATH_MAX)
#define LEVEL 3
/* 1 MiB of history at either side: what a peer can make a decoder allocate. */
#define WINDOW_LOG 20

struct tw_manifest_encoder {
	const struct tw_manifest *manifest;     /* borrowed */
	ZSTD_CStream *stream;                   /* owned; NULL once the end is out */
	uint64_t next;                          /* entry */
	bool end_added, ended, dirty;           /* dirty: given to zstd and not flushed yet */
	size_t record_length, record_done;
	uint8_t record[RECORD_MAX];
	size_t path_length;
	char path[TW_PATH_MAX + 1], other[TW_PATH_MAX + 1];
};

struct tw_manifest_decoder {
	struct tw_manifest *manifest;           /* borrowed */
	ZSTD_DStream *stream;                   /* owned */
	bool end_read, frame_over;
	int error;                              /* the first one, for good */
	size_t path_length;
	char path[TW_PATH_MAX + 1];
	char offender[256];
	size_t length;
	uint8_t bytes[64 * 1024];               /* records taken apart as far as they are whole */
};

struct tw_manifest_encoder *tw_manifest_encoder_new(const struct tw_manifest *manifest)
{
	struct tw_manifest_encoder *encoder = calloc(1, sizeof(*encoder));

	if (!encoder)
		return NULL;
	encoder->manifest = manifest;
	encoder->stream = ZSTD_createCStream();
	if (!encoder->stream ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(encoder->stream, ZSTD_c_compressionLevel, LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(encoder->stream, ZSTD_c_windowLog, WINDOW_LOG))) {
		tw_manifest_encoder_free(encoder);
		return NULL;
	}
	return encoder;
}

void tw_manifest_encoder_free(struct tw_manifest_encoder *encoder)
{
	if (!encoder)
		return;
	ZSTD_freeCStream(encoder->stream);
	free(encoder);
}

static void make_entry(struct tw_manifest_encoder *encoder)
{
	const struct tw_entry *entry = tw_manifest_entry(encoder->manifest, encoder->next);
	size_t length = tw_manifest_path(encoder->manifest, encoder->next, encoder->other);
	struct tw_writer writer;
	size_t shared = 0;

	while (shared < length && shared < encoder->path_length &&
	       encoder->other[shared] == encoder->path[shared])
		shared++;
	tw_writer_init(&writer, encoder->record, sizeof(encoder->record));
	tw_write_u8(&writer, entry->kind);
	if (entry->kind != TW_KIND_REMOVAL) {
		tw_write_u8(&writer, entry->flags);
		tw_write_u16(&writer, entry->mode);
		tw_write_u64(&writer, (uint64_t)entry->mtime_ns);
	}
	if (entry->kind == TW_KIND_FILE)
		tw_write_varint(&writer, entry->size);
	tw_write_varint(&writer, shared);
	tw_write_varint(&writer, length - shared);
	tw_write_bytes(&writer, encoder->other + shared, length - shared);
	assert(!writer.failed);
	encoder->record_length = tw_writer_length(&writer);
	encoder->record_done = 0;
	memcpy(encoder->path + shared, encoder->other + shared, length - shared);
	encoder->path_length = length;
	encoder->next++;
}

static void make_end(struct tw_manifest_encoder *encoder)
{
	struct tw_writer writer;

	tw_writer_init(&writer, encoder->record, sizeof(encoder->record));
	tw_write_u8(&writer, RECORD_END);
	tw_write_varint(&writer, tw_manifest_count(encoder->manifest));
	tw_write_varint(&writer, tw_manifest_tape_size(encoder->manifest));
	encoder->record_length = tw_writer_length(&writer);
	encoder->record_done = 0;
	encoder->end_added = true;
}

/* Hands the pending record to zstd as far as there is room. */
static int feed(struct tw_manifest_encoder *encoder, ZSTD_outBuffer *out)
{
	ZSTD_inBuffer in = { encoder->record, encoder->record_length, encoder->record_done };
	size_t r = ZSTD_compressStream2(encoder->stream, out, &in, ZSTD_e_continue);

	if (ZSTD_isError(r))
		return -ENOMEM;
	encoder->record_done = in.pos;
	encoder->dirty = true;
	return 0;
}

static int flush(struct tw_manifest_encoder *encoder, ZSTD_outBuffer *out)
{
	ZSTD_inBuffer nothing = { NULL, 0, 0 };
	size_t r = ZSTD_compressStream2(encoder->stream, out, &nothing,
					encoder->end_added ? ZSTD_e_end : ZSTD_e_flush);

	if (ZSTD_isError(r))
		return -ENOMEM;
	if (r)
		return 0;
	encoder->dirty = false;
	encoder->ended = encoder->end_added;
	if (encoder->ended) {
		/* Megabytes, and its transfer may stay for long. */
		ZSTD_freeCStream(encoder->stream);
		encoder->stream = NULL;
	}
	return encoder->ended ? TW_E_END : TW_E_AGAIN;
}

int tw_manifest_encode(struct tw_manifest_encoder *encoder, bool complete, uint8_t *bytes,
		       size_t room, size_t *ret_length)
{
	ZSTD_outBuffer out = { bytes, room, 0 };
	int r = 0;

	while (!r) {
		if (encoder->ended) {
			r = TW_E_END;
		} else if (encoder->record_done < encoder->record_length) {
			if (out.pos == out.size)
				break;
			r = feed(encoder, &out);
		} else if (encoder->next < tw_manifest_count(encoder->manifest)) {
			make_entry(encoder);
		} else if (complete && !encoder->end_added) {
			make_end(encoder);
		} else if (!encoder->dirty) {
			r = TW_E_AGAIN;
		} else {
			if (out.pos == out.size)
				break;
			r = flush(encoder, &out);
		}
	}
	if (r < 0)
		return r;
	*ret_length = out.pos;
	return r;
}

struct tw_manifest_decoder *tw_manifest_decoder_new(struct tw_manifest *manifest)
{
	struct tw_manifest_decoder *decoder = calloc(1, sizeof(*decoder));

	if (!decoder)
		return NULL;
	decoder->manifest = manifest;
	decoder->stream = ZSTD_createDStream();
	if (!decoder->stream || ZSTD_isError(ZSTD_DCtx_setParameter(
					decoder->stream, ZSTD_d_windowLogMax, WINDOW_LOG))) {
		tw_manifest_decoder_free(decoder);
		return NULL;
	}
	return decoder;
}

void tw_manifest_decoder_free(struct tw_manifest_decoder *decoder)
{
	if (!decoder)
		return;
	ZSTD_freeDStream(decoder->stream);
	free(decoder);
}

static int read_end(struct tw_manifest_decoder *decoder, struct tw_reader *reader)
{
	uint64_t count = tw_read_varint(reader), tape = tw_read_varint(reader);

	if (reader->failed)
		return TW_E_AGAIN;
	if (count != tw_manifest_count(decoder->manifest) ||
	    tape != tw_manifest_tape_size(decoder->manifest))
		return TW_E_FORMAT;
	decoder->end_read = true;
	return 0;
}

/* @path joins what is shared and what follows; only then may the decoder's own state change. */
static int read_path(struct tw_manifest_decoder *decoder, struct tw_reader *reader)
{
	uint64_t shared = tw_read_varint(reader), length = tw_read_varint(reader);
	const uint8_t *bytes;

	if (reader->failed)
		return TW_E_AGAIN;
	if (shared > decoder->path_length || length > TW_PATH_MAX || shared + length > TW_PATH_MAX)
		return TW_E_FORMAT;
	bytes = tw_read_bytes(reader, length);
	if (!bytes)
		return TW_E_AGAIN;
	memcpy(decoder->path + shared, bytes, length);
	decoder->path_length = shared + length;
	decoder->path[decoder->path_length] = '\0';
	return 0;
}

static int add_entry(struct tw_manifest_decoder *decoder, const struct tw_entry *entry)
{
	int r = tw_path_check(decoder->path, decoder->path_length);

	if (!r)
		r = tw_manifest_append(decoder->manifest, decoder->path, entry);
	if (r == TW_E_UNSAFE)
		tw_text_clean(decoder->path, decoder->path_length, decoder->offender,
			      sizeof(decoder->offender));
	return r;
}

/* One record. TW_E_AGAIN: it has not arrived whole. */
static int read_record(struct tw_manifest_decoder *decoder, struct tw_reader *reader)
{
	uint8_t kind = tw_read_u8(reader);
	struct tw_entry entry = { .kind = kind };
	int r;

	if (reader->failed)
		return TW_E_AGAIN;
	if (decoder->end_read)
		return TW_E_FORMAT;
	if (kind == RECORD_END)
		return read_end(decoder, reader);
	if (kind != TW_KIND_FILE && kind != TW_KIND_DIRECTORY && kind != TW_KIND_REMOVAL)
		return TW_E_FORMAT;
	if (kind != TW_KIND_REMOVAL) {
		entry.flags = tw_read_u8(reader);
		entry.mode = tw_read_u16(reader);
		entry.mtime_ns = (int64_t)tw_read_u64(reader);
	}
	if (kind == TW_KIND_FILE)
		entry.size = tw_read_varint(reader);
	if (reader->failed)
		return TW_E_AGAIN;
	if (entry.mode & ~0777u || entry.flags & ~TW_ENTRY_SPARSE)
		return TW_E_FORMAT;
	r = read_path(decoder, reader);
	return r ? r : add_entry(decoder, &entry);
}

/* Takes apart what is in @bytes and moves the torn rest to its front. */
static int read_records(struct tw_manifest_decoder *decoder)
{
	struct tw_reader reader;
	const uint8_t *done = decoder->bytes;
	int r = 0;

	tw_reader_init(&reader, decoder->bytes, decoder->length);
	while (!r && reader.at < reader.end) {
		r = read_record(decoder, &reader);
		if (!r)
			done = reader.at;
	}
	decoder->length -= (size_t)(done - decoder->bytes);
	memmove(decoder->bytes, done, decoder->length);
	return r == TW_E_AGAIN ? 0 : r;
}

static int decode(struct tw_manifest_decoder *decoder, const uint8_t *bytes, size_t length)
{
	ZSTD_inBuffer in = { bytes, length, 0 };
	bool more = true;

	while (more && !decoder->frame_over) {
		ZSTD_outBuffer out = { decoder->bytes, sizeof(decoder->bytes), decoder->length };
		size_t left = ZSTD_decompressStream(decoder->stream, &out, &in);
		int r;

		if (ZSTD_isError(left))
			return TW_E_FORMAT;
		decoder->frame_over = left == 0;
		/* A full output may hide more inside zstd although the input is used up. */
		more = out.pos == out.size || in.pos < in.size;
		decoder->length = out.pos;
		r = read_records(decoder);
		if (r)
			return r;
	}
	/* The stream's end and the last record must agree, and nothing follows. */
	if (decoder->frame_over && (!decoder->end_read || decoder->length || in.pos < in.size))
		return TW_E_FORMAT;
	return decoder->end_read ? TW_E_END : 0;
}

int tw_manifest_decode(struct tw_manifest_decoder *decoder, const uint8_t *bytes, size_t length)
{
	int r;

	if (decoder->error)
		return decoder->error;
	r = decode(decoder, bytes, length);
	if (r && r != TW_E_END)
		decoder->error = r;
	return r;
}

const char *tw_manifest_decoder_offender(const struct tw_manifest_decoder *decoder)
{
	return decoder->offender;
}
