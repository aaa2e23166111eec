#include "tape.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define GROUP 45

void tape_init(struct tape *tape, uint64_t seed)
{
	*tape = (struct tape){ .manifest = tw_manifest_new() };
	tw_ranges_init(&tape->owed, 1 << 20);
	tw_ranges_init(&tape->held, 1 << 20);
	tw_prng_init(&tape->prng, seed);
}

void tape_deinit(struct tape *tape)
{
	tw_manifest_free(tape->manifest);
	tw_ranges_deinit(&tape->owed);
	tw_ranges_deinit(&tape->held);
	free(tape->bytes);
}

static void add(struct tape *tape, const char *path, const struct tw_entry *entry)
{
	if (tw_manifest_append(tape->manifest, path, entry))
		abort();
	if (tape->size + entry->size + 8 > tape->room) {
		tape->room = (tape->size + entry->size + 8) * 2;
		tape->bytes = realloc(tape->bytes, tape->room);
		if (!tape->bytes)
			abort();
	}
}

void tape_file(struct tape *tape, const char *path, uint64_t size)
{
	const struct tw_entry entry = {
		.kind = TW_KIND_FILE,
		.size = size,
		.mode = 0640,
		.mtime_ns = INT64_C(1600000000123456789),
	};

	add(tape, path, &entry);
	for (uint64_t i = 0; i < size; i += 8) {
		uint64_t value = tw_prng_u64(&tape->prng);

		memcpy(tape->bytes + tape->size + i, &value, 8);
	}
	tape->size += size;
}

void tape_sparse(struct tape *tape, const char *path, uint64_t size, uint64_t data_start,
		 uint64_t data_end)
{
	const struct tw_entry entry = {
		.kind = TW_KIND_FILE,
		.size = size,
		.mode = 0600,
		.mtime_ns = 7,
		.flags = TW_ENTRY_SPARSE,
	};

	add(tape, path, &entry);
	memset(tape->bytes + tape->size, 0, size);
	memset(tape->bytes + tape->size + data_start, 'd', data_end - data_start);
	tape->size += size;
}

void tape_folder(struct tape *tape, const char *path)
{
	const struct tw_entry entry = {
		.kind = TW_KIND_DIRECTORY,
		.mode = 0750,
		.mtime_ns = INT64_C(1500000000987654321),
	};

	add(tape, path, &entry);
}

int tape_offer(struct tape *tape, struct tw_sink *sink)
{
	struct tw_manifest_encoder *encoder = tw_manifest_encoder_new(tape->manifest);
	uint8_t bytes[3000];
	struct tw_range held;
	uint64_t ready = 0;
	size_t length;
	int encoded, r = 0;

	do {
		encoded = tw_manifest_encode(encoder, true, bytes, sizeof(bytes), &length);
		r = tw_sink_manifest(sink, bytes, length);
		while (!r || r == TW_E_END) {
			r = tw_sink_prepare(sink, 100, &ready);
			if (r)
				break;
		}
	} while (encoded == 0 && (r == TW_E_AGAIN || r == TW_E_END));
	tw_manifest_encoder_free(encoder);
	if (r != TW_E_END)
		return r ? r : TW_E_FORMAT;
	if (ready != tape->size)
		return TW_E_FORMAT;
	tw_ranges_clear(&tape->owed);
	tw_ranges_clear(&tape->held);
	tape->all_done = false;
	r = tw_ranges_add(&tape->owed, 0, tape->size);
	while (tw_sink_held(sink, &held)) {
		/* In order, never twice. */
		if (tape->held.count && tape->held.at[tape->held.count - 1].end > held.start)
			return TW_E_FORMAT;
		tw_ranges_add(&tape->held, held.start, held.end);
		tw_ranges_remove(&tape->owed, held.start, held.end);
	}
	tape_events(tape, sink);
	return r ? r : TW_E_END;
}

void tape_events(struct tape *tape, struct tw_sink *sink)
{
	struct tw_sink_event event;

	while (tw_sink_event(sink, &event)) {
		tape->done += event.type == TW_SINK_FILE_DONE;
		tape->skipped += event.type == TW_SINK_FILE_SKIPPED;
		tape->failed += event.type == TW_SINK_FILE_FAILED;
		tape->all_done = tape->all_done || event.type == TW_SINK_ALL_DONE;
		if (event.type != TW_SINK_AGAIN && event.error)
			tape->last_error = event.error;
		if (event.type == TW_SINK_FILE_FAILED)
			tw_ranges_remove(&tape->owed, event.range.start, event.range.end);
		if (event.type == TW_SINK_AGAIN) {
			tape->again++;
			tw_ranges_add(&tape->owed, event.range.start, event.range.end);
		}
	}
}

/* The next piece to send: up to piece_max bytes out of the first owed ranges. */
static bool draw(struct tape *tape, struct tw_range *ret)
{
	uint64_t most = tape->piece_max ? tape->piece_max : 1433, start;
	const struct tw_range *range;

	if (!tape->owed.count)
		return false;
	range = &tape->owed.at[tape->shuffle ? tw_prng_below(&tape->prng, tape->owed.count) : 0];
	start = range->start;
	/* Cut somewhere in front: the rest becomes a range of its own. */
	if (tape->shuffle && tape->owed.count < tape->shuffle)
		start += tw_prng_below(&tape->prng, (range->end - start + most - 1) / most) * most;
	ret->start = start;
	ret->end = range->end - start < most ? range->end : start + most;
	return true;
}

static int send_digests(struct tape *tape, struct tw_sink *sink, const struct tw_range *range)
{
	for (uint64_t at = range->start; at < range->end;) {
		uint64_t index = tw_manifest_find(tape->manifest, at);
		const struct tw_entry *entry = tw_manifest_entry(tape->manifest, index);
		uint64_t chunk = (at - entry->tape_start) / TW_CHUNK_SIZE;
		uint64_t start = chunk * TW_CHUNK_SIZE, n = entry->size - start;
		struct tw_digest digest;
		int r;

		if (n > TW_CHUNK_SIZE)
			n = TW_CHUNK_SIZE;
		digest = tw_digest_of(tape->bytes + entry->tape_start + start, n);
		r = tw_sink_digests(sink, entry->chunk_first + chunk, &digest, 1);
		if (r)
			return r;
		at = entry->tape_start + start + n;
	}
	return 0;
}

/* Digests go along with a chunk's last piece, or with any one when the order is by chance. */
static bool wants_digests(const struct tape *tape, const struct tw_range *range)
{
	uint64_t index = tw_manifest_find(tape->manifest, range->end - 1);
	const struct tw_entry *entry = tw_manifest_entry(tape->manifest, index);
	uint64_t at = range->end - entry->tape_start;

	return tape->shuffle || tape->held.count || tape->again ||
	       range->start < entry->tape_start || at == entry->size ||
	       at % TW_CHUNK_SIZE < range->end - range->start;
}

static int send_group(struct tape *tape, struct tw_sink *sink)
{
	struct tw_sink_piece pieces[2 * GROUP];
	struct tw_range ranges[GROUP];
	uint8_t *copies[GROUP] = { NULL };
	size_t count = 0, drawn = 0;
	int r = 0;

	for (; drawn < GROUP && draw(tape, &ranges[drawn]); drawn++) {
		const struct tw_range *range = &ranges[drawn];
		uint64_t length = range->end - range->start;
		const uint8_t *bytes = tape->bytes + range->start;

		tw_ranges_remove(&tape->owed, range->start, range->end);
		if (tape->corrupt && !tw_prng_below(&tape->prng, tape->corrupt)) {
			copies[drawn] = malloc(length);
			memcpy(copies[drawn], bytes, length);
			copies[drawn][tw_prng_below(&tape->prng, length)] ^= 0x40;
			bytes = copies[drawn];
		}
		pieces[count++] = (struct tw_sink_piece){ range->start, bytes, length };
		if (tape->duplicate && !tw_prng_below(&tape->prng, tape->duplicate)) {
			pieces[count] = pieces[count - 1];
			count++;
		}
		tape->sent += length;
	}
	r = tw_sink_write(sink, pieces, count);
	for (size_t i = 0; !r && i < drawn; i++) {
		if (!tape->no_digests && wants_digests(tape, &ranges[i]))
			r = send_digests(tape, sink, &ranges[i]);
	}
	/* What the sink could not take is still owed. */
	for (size_t i = 0; i < drawn; i++) {
		if (r)
			tw_ranges_add(&tape->owed, ranges[i].start, ranges[i].end);
		free(copies[i]);
	}
	return r;
}

int tape_send(struct tape *tape, struct tw_sink *sink, uint64_t bytes)
{
	uint64_t until = bytes > UINT64_MAX - tape->sent ? UINT64_MAX : tape->sent + bytes;
	int r = 0;

	while (!r && tape->owed.count && tape->sent < until) {
		r = send_group(tape, sink);
		if (!r)
			r = tw_sink_settle(sink);
		if (!r && tape->checkpoint && !tw_prng_below(&tape->prng, tape->checkpoint))
			r = tw_sink_checkpoint(sink);
		tape_events(tape, sink);
	}
	return r;
}
