/*
 * The stored form of a listing:
 *
 *   "TWLS" | u8 version | 3 zero bytes | digest | u64 length of the first part | parts
 *
 * The digest (XXH3-128) is that of everything behind it: storage that turns a bit is noticed before
 * anything is unpacked. The first part is the manifest in its wire form, the second a zstd frame:
 *
 *   varint places | for each: varint first, varint skip, varint length, path
 *   for each file: u64 change time less modification time (mostly 0, which packs well)
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "content/digest.h"
#include "content/source_internal.h"

#define MAGIC "TWLS"
#define VERSION 1
#define HEAD_SIZE (8 + TW_DIGEST_SIZE)
#define LENGTH_SIZE 8
#define LEVEL 3
/* As in the manifest's wire form: a megabyte of history. */
#define WINDOW_LOG 20
#define STEP (64 * 1024)

/* Bytes that grow. */
struct output {
	uint8_t *bytes; /* owned */
	size_t length, room;
};

static int reserve(struct output *output, size_t more)
{
	size_t room;
	uint8_t *bytes;

	if (output->room - output->length >= more)
		return 0;
	room = output->room + output->room / 2 + more;
	bytes = realloc(output->bytes, room);
	if (!bytes)
		return -ENOMEM;
	output->bytes = bytes;
	output->room = room;
	return 0;
}

static int encode_manifest(const struct tw_manifest *manifest, struct output *output)
{
	struct tw_manifest_encoder *encoder = tw_manifest_encoder_new(manifest);
	int r = encoder ? 0 : -ENOMEM;

	while (!r) {
		size_t length = 0;

		r = reserve(output, STEP);
		if (r)
			break;
		r = tw_manifest_encode(encoder, true, output->bytes + output->length,
				       output->room - output->length, &length);
		output->length += length;
	}
	tw_manifest_encoder_free(encoder);
	return r == TW_E_END ? 0 : r;
}

/* A zstd frame on its way into an output. */
struct packer {
	struct output *output;
	ZSTD_CCtx *zstd; /* owned */
	int error;       /* the first one */
};

static void pack(struct packer *packer, const void *bytes, size_t length, ZSTD_EndDirective how)
{
	ZSTD_inBuffer in = { bytes, length, 0 };
	size_t left = 1;

	while (!packer->error && (in.pos < in.size || (how == ZSTD_e_end && left))) {
		ZSTD_outBuffer out;

		packer->error = reserve(packer->output, STEP);
		if (packer->error)
			return;
		out = (ZSTD_outBuffer){ packer->output->bytes, packer->output->room,
					packer->output->length };
		left = ZSTD_compressStream2(packer->zstd, &out, &in, how);
		packer->output->length = out.pos;
		if (ZSTD_isError(left))
			packer->error = -ENOMEM;
	}
}

static void pack_places(struct packer *packer, const struct tw_listing *listing)
{
	struct tw_writer writer;
	uint8_t head[3 * 8];

	tw_writer_init(&writer, head, sizeof(head));
	tw_write_varint(&writer, listing->place_count);
	pack(packer, head, tw_writer_length(&writer), ZSTD_e_continue);
	for (size_t i = 0; i < listing->place_count; i++) {
		const struct source_place *place = &listing->places[i];
		size_t length = strlen(place->source);

		tw_writer_init(&writer, head, sizeof(head));
		tw_write_varint(&writer, place->first);
		tw_write_varint(&writer, place->skip);
		tw_write_varint(&writer, length);
		pack(packer, head, tw_writer_length(&writer), ZSTD_e_continue);
		pack(packer, place->source, length, ZSTD_e_continue);
	}
}

static void pack_times(struct packer *packer, const struct tw_listing *listing)
{
	uint64_t count = tw_listing_entries(listing);

	for (uint64_t i = 0; i < count; i++) {
		const struct tw_entry *entry = tw_manifest_entry(listing->manifest, i);
		struct tw_writer writer;
		uint8_t bytes[8];

		if (entry->kind != TW_KIND_FILE)
			continue;
		tw_writer_init(&writer, bytes, sizeof(bytes));
		tw_write_u64(&writer, (uint64_t)listing->ctimes[i] - (uint64_t)entry->mtime_ns);
		pack(packer, bytes, sizeof(bytes), ZSTD_e_continue);
	}
}

static int encode_rest(const struct tw_listing *listing, struct output *output)
{
	struct packer packer = { .output = output, .zstd = ZSTD_createCCtx() };

	if (!packer.zstd ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(packer.zstd, ZSTD_c_compressionLevel, LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(packer.zstd, ZSTD_c_windowLog, WINDOW_LOG)))
		packer.error = -ENOMEM;
	pack_places(&packer, listing);
	pack_times(&packer, listing);
	pack(&packer, NULL, 0, ZSTD_e_end);
	ZSTD_freeCCtx(packer.zstd);
	return packer.error;
}

/* What stands before the parts, once they are all there. */
static void write_head(struct output *output, size_t first_part)
{
	struct tw_digest digest;
	struct tw_writer writer;

	tw_writer_init(&writer, output->bytes, HEAD_SIZE + LENGTH_SIZE);
	tw_write_bytes(&writer, MAGIC, 4);
	tw_write_u8(&writer, VERSION);
	tw_write_zeros(&writer, 3 + TW_DIGEST_SIZE);
	tw_write_u64(&writer, first_part);
	digest = tw_digest_of(output->bytes + HEAD_SIZE, output->length - HEAD_SIZE);
	memcpy(output->bytes + HEAD_SIZE - TW_DIGEST_SIZE, digest.bytes, TW_DIGEST_SIZE);
}

int tw_listing_encode(const struct tw_listing *listing, void **ret, size_t *ret_length)
{
	struct output output = { 0 };
	size_t first_part = 0;
	int r;

	r = reserve(&output, STEP);
	if (!r) {
		output.length = HEAD_SIZE + LENGTH_SIZE;
		r = encode_manifest(listing->manifest, &output);
	}
	if (!r) {
		first_part = output.length - HEAD_SIZE - LENGTH_SIZE;
		r = encode_rest(listing, &output);
	}
	if (r) {
		free(output.bytes);
		return r;
	}
	write_head(&output, first_part);
	*ret = output.bytes;
	*ret_length = output.length;
	return 0;
}

static int decode_manifest(struct tw_manifest *manifest, const uint8_t *bytes, size_t length)
{
	struct tw_manifest_decoder *decoder = tw_manifest_decoder_new(manifest);
	int r;

	if (!decoder)
		return -ENOMEM;
	r = tw_manifest_decode(decoder, bytes, length);
	tw_manifest_decoder_free(decoder);
	if (r == TW_E_END)
		return 0;
	/* Unsafe paths, too many entries, an end too early: nothing that was ever written. */
	return r < 0 ? r : TW_E_FORMAT;
}

/* A zstd frame being read. */
struct unpacker {
	ZSTD_DCtx *zstd; /* owned */
	ZSTD_inBuffer in;
	bool over;   /* the frame has ended */
	bool failed; /* every later read gives zeros */
	size_t at, length;
	uint8_t bytes[STEP];
};

/* Unpacks more. False: there is no more. */
static bool refill(struct unpacker *unpacker)
{
	ZSTD_outBuffer out = { unpacker->bytes, sizeof(unpacker->bytes), 0 };

	while (!unpacker->over && !out.pos) {
		size_t before = unpacker->in.pos;
		size_t left = ZSTD_decompressStream(unpacker->zstd, &out, &unpacker->in);

		/* No step forward: the frame is cut off. */
		if (ZSTD_isError(left) || (left && !out.pos && unpacker->in.pos == before))
			return false;
		unpacker->over = left == 0;
	}
	unpacker->at = 0;
	unpacker->length = out.pos;
	return out.pos > 0;
}

static void unpack(struct unpacker *unpacker, void *ret, size_t length)
{
	uint8_t *to = ret;

	while (length && !unpacker->failed) {
		size_t n = unpacker->length - unpacker->at;

		if (!n) {
			unpacker->failed = !refill(unpacker);
			continue;
		}
		if (n > length)
			n = length;
		memcpy(to, unpacker->bytes + unpacker->at, n);
		unpacker->at += n;
		to += n;
		length -= n;
	}
	memset(to, 0, length);
}

static uint64_t unpack_varint(struct unpacker *unpacker)
{
	struct tw_reader reader;
	uint8_t bytes[8];

	unpack(unpacker, bytes, 1);
	/* The first two bits say how many follow. */
	unpack(unpacker, bytes + 1, ((size_t)1 << (bytes[0] >> 6)) - 1);
	tw_reader_init(&reader, bytes, sizeof(bytes));
	return tw_read_varint(&reader);
}

static int decode_place(struct unpacker *unpacker, struct tw_listing *listing)
{
	uint64_t first = unpack_varint(unpacker), skip = unpack_varint(unpacker),
		 length = unpack_varint(unpacker), count = tw_listing_entries(listing);
	uint64_t before =
		listing->place_count ? listing->places[listing->place_count - 1].first : 0;
	char source[TW_SOURCE_PATH_MAX + 1];
	int r;

	if (unpacker->failed || first < before || first > count ||
	    (!listing->place_count && first) || skip > TW_PATH_MAX ||
	    (!length && !skip) || length > TW_SOURCE_PATH_MAX)
		return TW_E_FORMAT;
	unpack(unpacker, source, length);
	source[length] = '\0';
	if (unpacker->failed || strlen(source) != length)
		return TW_E_FORMAT;
	r = tw_listing_add_place(listing, source, skip);
	if (!r)
		listing->places[listing->place_count - 1].first = first;
	return r;
}

static int decode_places(struct unpacker *unpacker, struct tw_listing *listing)
{
	uint64_t count = unpack_varint(unpacker);
	int r = 0;

	if (unpacker->failed || (!count && tw_listing_entries(listing)))
		return TW_E_FORMAT;
	for (; count && !r; count--)
		r = decode_place(unpacker, listing);
	return r;
}

static bool removal(const struct tw_listing *listing, uint64_t index)
{
	return tw_manifest_entry(listing->manifest, index)->kind == TW_KIND_REMOVAL;
}

/* Each entry's path at the source can be told from that at the destination; what is removed there
 * comes from nowhere. */
static int check_places(const struct tw_listing *listing)
{
	uint64_t count = tw_listing_entries(listing);
	size_t at = 0, length = 0;
	char path[TW_PATH_MAX + 1];

	for (uint64_t i = 0; i < count; i++) {
		size_t path_length = tw_manifest_path(listing->manifest, i, path), skip;

		while (at + 1 < listing->place_count && listing->places[at + 1].first <= i)
			length = 0, at++;
		if (!length)
			length = strlen(listing->places[at].source);
		skip = listing->places[at].skip;
		if (!length != removal(listing, i) || (!length && path_length != skip))
			return TW_E_FORMAT;
		if (path_length < skip || (skip && path[skip] && path[skip] != '/') ||
		    length + (skip == 0) + path_length - skip > TW_SOURCE_PATH_MAX)
			return TW_E_FORMAT;
	}
	return 0;
}

static int decode_times(struct unpacker *unpacker, struct tw_listing *listing)
{
	uint64_t count = tw_listing_entries(listing);

	listing->ctimes = calloc(count + 1, sizeof(*listing->ctimes));
	if (!listing->ctimes)
		return -ENOMEM;
	listing->ctime_room = count + 1;
	for (uint64_t i = 0; i < count; i++) {
		const struct tw_entry *entry = tw_manifest_entry(listing->manifest, i);
		struct tw_reader reader;
		uint8_t bytes[8];

		if (entry->kind != TW_KIND_FILE)
			continue;
		unpack(unpacker, bytes, sizeof(bytes));
		tw_reader_init(&reader, bytes, sizeof(bytes));
		listing->ctimes[i] = (int64_t)(tw_read_u64(&reader) + (uint64_t)entry->mtime_ns);
	}
	return unpacker->failed ? TW_E_FORMAT : 0;
}

static int decode_rest(struct tw_listing *listing, const uint8_t *bytes, size_t length)
{
	struct unpacker *unpacker = calloc(1, sizeof(*unpacker));
	int r = -ENOMEM;

	if (!unpacker)
		return -ENOMEM;
	unpacker->in = (ZSTD_inBuffer){ bytes, length, 0 };
	unpacker->zstd = ZSTD_createDCtx();
	if (unpacker->zstd &&
	    !ZSTD_isError(ZSTD_DCtx_setParameter(unpacker->zstd, ZSTD_d_windowLogMax, WINDOW_LOG)))
		r = decode_places(unpacker, listing);
	if (!r)
		r = decode_times(unpacker, listing);
	/* Exactly the last byte: nothing more in the frame, nothing behind it. */
	if (!r && (unpacker->at < unpacker->length || refill(unpacker) || !unpacker->over ||
		   unpacker->in.pos < length))
		r = TW_E_FORMAT;
	ZSTD_freeDCtx(unpacker->zstd);
	free(unpacker);
	return r ? r : check_places(listing);
}

static int check_head(const uint8_t *bytes, size_t length)
{
	static const uint8_t zeros[3];
	struct tw_digest digest;

	if (length < HEAD_SIZE + LENGTH_SIZE || memcmp(bytes, MAGIC, 4) != 0)
		return TW_E_FORMAT;
	if (bytes[4] != VERSION)
		return TW_E_VERSION;
	digest = tw_digest_of(bytes + HEAD_SIZE, length - HEAD_SIZE);
	if (memcmp(bytes + 5, zeros, sizeof(zeros)) != 0 ||
	    memcmp(bytes + HEAD_SIZE - TW_DIGEST_SIZE, digest.bytes, TW_DIGEST_SIZE) != 0)
		return TW_E_FORMAT;
	return 0;
}

int tw_listing_decode(const void *bytes, size_t length, struct tw_listing **ret)
{
	struct tw_listing *listing;
	struct tw_reader reader;
	const uint8_t *first;
	uint64_t first_length;
	int r;

	r = check_head(bytes, length);
	if (r)
		return r;
	tw_reader_init(&reader, (const uint8_t *)bytes + HEAD_SIZE, length - HEAD_SIZE);
	first_length = tw_read_u64(&reader);
	if (first_length > tw_reader_left(&reader))
		return TW_E_FORMAT;
	first = tw_read_bytes(&reader, first_length);
	listing = tw_listing_new();
	if (!listing)
		return -ENOMEM;
	r = decode_manifest(listing->manifest, first, first_length);
	if (!r)
		r = decode_rest(listing, reader.at, tw_reader_left(&reader));
	if (r) {
		tw_listing_drop(listing);
		return r;
	}
	*ret = listing;
	return 0;
}
