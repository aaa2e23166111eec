/*
 * A manifest from a hostile sender, in pieces of any size. The first byte says how: as it comes, or
 * compressed here first, so that what is inside the compression is reached too. What was accepted
 * is safe, hangs together, and comes out the same after another way over the wire.
 */
#include "fuzz.h"

#include <zstd.h>

#include "base/error.h"
#include "content/manifest.h"

#define ENTRIES_CHECKED 200

/* In pieces of @step bytes. */
static int decode(struct tw_manifest *manifest, const uint8_t *bytes, size_t length, size_t step)
{
	struct tw_manifest_decoder *decoder = tw_manifest_decoder_new(manifest);
	int r = 0;

	CHECK(decoder);
	for (size_t at = 0; !r && at < length; at += step)
		r = tw_manifest_decode(decoder, bytes + at,
				       length - at < step ? length - at : step);
	CHECK(r == 0 || r == TW_E_FORMAT || r == TW_E_UNSAFE || r == TW_E_FULL || r == TW_E_END);
	if (r == TW_E_UNSAFE)
		CHECK(tw_manifest_decoder_offender(decoder));
	tw_manifest_decoder_free(decoder);
	return r;
}

static void check_entry(const struct tw_manifest *manifest, uint64_t i)
{
	const struct tw_entry *entry = tw_manifest_entry(manifest, i);
	char path[TW_PATH_MAX + 1];
	size_t length = tw_manifest_path(manifest, i, path);

	CHECK(length == strlen(path) && tw_path_check(path, length) == 0);
	CHECK(entry->kind == TW_KIND_FILE || entry->kind == TW_KIND_DIRECTORY ||
	      entry->kind == TW_KIND_REMOVAL);
	CHECK(entry->kind != TW_KIND_REMOVAL || (!entry->mode && !entry->mtime_ns));
	CHECK(entry->kind == TW_KIND_FILE || !entry->size);
	if (!entry->size)
		return;
	CHECK(tw_manifest_find(manifest, entry->tape_start) == i);
	CHECK(tw_manifest_find(manifest, entry->tape_start + entry->size - 1) == i);
	CHECK(tw_manifest_find_chunk(manifest, entry->chunk_first) == i);
}

static void check(const struct tw_manifest *manifest)
{
	uint64_t tape = 0, chunks = 0, files = 0;

	for (uint64_t i = 0; i < tw_manifest_count(manifest); i++) {
		const struct tw_entry *entry = tw_manifest_entry(manifest, i);

		CHECK(entry->tape_start == tape && entry->chunk_first == chunks);
		tape += entry->size;
		chunks += tw_entry_chunks(entry);
		files += entry->kind == TW_KIND_FILE;
		if (i < ENTRIES_CHECKED)
			check_entry(manifest, i);
	}
	CHECK(tape == tw_manifest_tape_size(manifest) && tape < UINT64_C(1) << 62);
	CHECK(chunks == tw_manifest_chunk_count(manifest));
	CHECK(files == tw_manifest_file_count(manifest));
}

static void compare(const struct tw_manifest *a, const struct tw_manifest *b, uint64_t i)
{
	const struct tw_entry *one = tw_manifest_entry(a, i), *two = tw_manifest_entry(b, i);
	char path[TW_PATH_MAX + 1], other[TW_PATH_MAX + 1];

	tw_manifest_path(a, i, path);
	tw_manifest_path(b, i, other);
	CHECK(!strcmp(path, other) && one->size == two->size && one->mode == two->mode);
	CHECK(one->mtime_ns == two->mtime_ns && one->kind == two->kind && one->flags == two->flags);
}

static void send_again(const struct tw_manifest *manifest, size_t step)
{
	struct tw_manifest_encoder *encoder = tw_manifest_encoder_new(manifest);
	struct tw_manifest *copy = tw_manifest_new();
	struct tw_manifest_decoder *decoder = tw_manifest_decoder_new(copy);
	uint8_t bytes[256];
	int sent = 0, got = 0;

	CHECK(encoder && copy && decoder);
	while (!sent) {
		size_t length = 0;

		sent = tw_manifest_encode(encoder, true, bytes, 1 + step % sizeof bytes, &length);
		CHECK(sent == 0 || sent == TW_E_END);
		CHECK(got == 0 || !length);
		if (length)
			got = tw_manifest_decode(decoder, bytes, length);
		CHECK(got == 0 || got == TW_E_END);
	}
	CHECK(got == TW_E_END && tw_manifest_count(copy) == tw_manifest_count(manifest));
	for (uint64_t i = 0; i < tw_manifest_count(copy); i++)
		compare(manifest, copy, i);
	tw_manifest_decoder_free(decoder);
	tw_manifest_encoder_free(encoder);
	tw_manifest_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tw_manifest *manifest = tw_manifest_new();
	static uint8_t stream[ZSTD_COMPRESSBOUND(4096)];

	CHECK(manifest);
	if (size > 2 && size <= 4096) {
		size_t length = size - 2, step = 1 + (size_t)data[1];

		if (data[0] & 1) {
			length = ZSTD_compress(stream, sizeof stream, data + 2, size - 2, 1);
			CHECK(!ZSTD_isError(length));
		} else {
			memcpy(stream, data + 2, length);
		}
		decode(manifest, stream, length, step);
		check(manifest);
		send_again(manifest, step);
	}
	tw_manifest_free(manifest);
	return 0;
}
