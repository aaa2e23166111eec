#include "core/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define RING_MASK (TW_STREAM_BUFFER - 1)

/* Both kinds of stream begin with their number: the table needs no more. */
struct any_stream {
	uint64_t id;
};

void tw_stream_table_init(struct tw_stream_table *table)
{
	*table = (struct tw_stream_table){ 0 };
	tw_ranges_init(&table->over, TW_STREAMS_OVER_MAX);
}

static size_t place_of(const struct tw_stream_table *table, uint64_t id)
{
	size_t low = 0, high = table->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (((const struct any_stream *)table->streams[middle])->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void *find(const struct tw_stream_table *table, uint64_t id)
{
	size_t place = place_of(table, id);
	if (place == table->count || ((const struct any_stream *)table->streams[place])->id != id)
		return NULL;
	return table->streams[place];
}

static int insert(struct tw_stream_table *table, uint64_t id, void *stream)
{
	if (table->count >= TW_STREAMS_MAX)
		return TW_E_FULL;
	if (table->count == table->room) {
		size_t room = table->room ? table->room * 2 : 8;
		void **streams = realloc(table->streams, room * sizeof(*streams));
		if (!streams)
			return -ENOMEM;
		table->streams = streams;
		table->room = room;
	}
	size_t place = place_of(table, id);
	memmove(&table->streams[place + 1], &table->streams[place],
		(table->count - place) * sizeof(*table->streams));
	table->streams[place] = stream;
	table->count++;
	return 0;
}

static void take_out(struct tw_stream_table *table, uint64_t id)
{
	size_t place = place_of(table, id);
	table->count--;
	memmove(&table->streams[place], &table->streams[place + 1],
		(table->count - place) * sizeof(*table->streams));
	if (tw_ranges_add(&table->over, id, id + 1) != TW_E_FULL)
		return;
	/* A full memory of ended streams closes its lowest gap: numbers that were left out so long
	 * ago are not used any more. Those that are still open are found before it is asked. */
	const struct tw_range *lowest = table->over.at;
	(void)tw_ranges_add(&table->over, lowest[0].end, lowest[1].start);
	(void)tw_ranges_add(&table->over, id, id + 1);
}

static void ring_put(uint8_t *ring, uint64_t offset, const uint8_t *bytes, size_t length)
{
	size_t at = (size_t)offset & RING_MASK;
	size_t first = length < TW_STREAM_BUFFER - at ? length : TW_STREAM_BUFFER - at;
	memcpy(ring + at, bytes, first);
	memcpy(ring, bytes + first, length - first);
}

static void ring_get(const uint8_t *ring, uint64_t offset, uint8_t *bytes, size_t length)
{
	size_t at = (size_t)offset & RING_MASK;
	size_t first = length < TW_STREAM_BUFFER - at ? length : TW_STREAM_BUFFER - at;
	memcpy(bytes, ring + at, first);
	memcpy(bytes + first, ring, length - first);
}

/* Sending. */

static void send_stream_free(struct tw_send_stream *stream)
{
	tw_ranges_deinit(&stream->acked);
	tw_ranges_deinit(&stream->lost);
	free(stream->ring);
	free(stream);
}

void tw_send_streams_deinit(struct tw_stream_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		send_stream_free(table->streams[i]);
	free(table->streams);
	tw_ranges_deinit(&table->over);
	*table = (struct tw_stream_table){ 0 };
}

struct tw_send_stream *tw_send_stream_find(const struct tw_stream_table *table, uint64_t id)
{
	return find(table, id);
}

struct tw_send_stream *tw_send_stream_open(struct tw_stream_table *table, uint64_t id,
					   uint64_t window)
{
	struct tw_send_stream *stream = find(table, id);
	if (stream)
		return stream;
	if (tw_ranges_contain(&table->over, id, id + 1))
		return NULL;
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return NULL;
	stream->id = id;
	stream->window = window;
	tw_ranges_init(&stream->acked, TW_STREAM_RANGES_MAX);
	tw_ranges_init(&stream->lost, TW_STREAM_RANGES_MAX);
	stream->ring = malloc(TW_STREAM_BUFFER);
	if (!stream->ring || insert(table, id, stream)) {
		send_stream_free(stream);
		return NULL;
	}
	return stream;
}

size_t tw_send_stream_write(struct tw_send_stream *stream, const void *bytes, size_t length)
{
	if (stream->finished)
		return 0;
	size_t room = TW_STREAM_BUFFER - (size_t)(stream->end - stream->base);
	if (length > room) {
		length = room;
		stream->was_full = true;
	}
	ring_put(stream->ring, stream->end, bytes, length);
	stream->end += length;
	return length;
}

bool tw_send_stream_next(const struct tw_send_stream *stream, size_t room, struct tw_range *ret,
			 bool *ret_last)
{
	*ret_last = false;
	if (stream->lost.count) {
		*ret = stream->lost.at[0];
	} else {
		uint64_t end = stream->end < stream->window ? stream->end : stream->window;
		*ret = (struct tw_range){ stream->next, end };
		if (stream->next >= end) {
			bool owes_last = stream->finished && stream->next == stream->end &&
					 (!stream->last_sent || stream->last_lost);
			ret->end = ret->start;
			*ret_last = owes_last;
			return owes_last;
		}
	}
	if (ret->end - ret->start > room)
		ret->end = ret->start + room;
	*ret_last = stream->finished && ret->end == stream->end;
	return ret->end > ret->start || *ret_last;
}

void tw_send_stream_take(struct tw_send_stream *stream, const struct tw_range *piece, bool last,
			 uint8_t *bytes)
{
	ring_get(stream->ring, piece->start, bytes, (size_t)(piece->end - piece->start));
	/* Only ever cuts at the front of the first lost range. */
	(void)tw_ranges_remove(&stream->lost, piece->start, piece->end);
	if (piece->end > stream->next)
		stream->next = piece->end;
	if (last) {
		stream->last_sent = true;
		stream->last_lost = false;
	}
}

int tw_send_stream_acked(struct tw_send_stream *stream, uint64_t offset, uint64_t length, bool last)
{
	if (last)
		stream->last_acked = true;
	uint64_t end = offset + length;
	if (offset < stream->base)
		offset = stream->base;
	if (offset >= end)
		return 0;
	int error = tw_ranges_add(&stream->acked, offset, end);
	if (!error)
		error = tw_ranges_remove(&stream->lost, offset, end);
	if (error)
		return error;
	if (stream->acked.at[0].start == stream->base) {
		stream->base = stream->acked.at[0].end;
		return tw_ranges_remove(&stream->acked, 0, stream->base);
	}
	return 0;
}

int tw_send_stream_lost(struct tw_send_stream *stream, uint64_t offset, uint64_t length, bool last)
{
	if (last && !stream->last_acked)
		stream->last_lost = true;
	uint64_t end = offset + length;
	struct tw_range gap;
	if (offset < stream->base)
		offset = stream->base;
	while (offset < end && tw_ranges_next_gap(&stream->acked, offset, end, &gap)) {
		int error = tw_ranges_add(&stream->lost, gap.start, gap.end);
		if (error)
			return error;
		offset = gap.end;
	}
	return 0;
}

bool tw_send_stream_done(const struct tw_send_stream *stream)
{
	return stream->finished && stream->last_acked && stream->base == stream->end;
}

void tw_send_stream_drop(struct tw_stream_table *table, struct tw_send_stream *stream)
{
	take_out(table, stream->id);
	send_stream_free(stream);
}

/* Receiving. */

static void receive_stream_free(struct tw_receive_stream *stream)
{
	tw_ranges_deinit(&stream->arrived);
	free(stream->ring);
	free(stream);
}

void tw_receive_streams_deinit(struct tw_stream_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		receive_stream_free(table->streams[i]);
	free(table->streams);
	tw_ranges_deinit(&table->over);
	*table = (struct tw_stream_table){ 0 };
}

struct tw_receive_stream *tw_receive_stream_find(const struct tw_stream_table *table, uint64_t id)
{
	return find(table, id);
}

static int receive_stream_open(struct tw_stream_table *table, uint64_t id,
			       struct tw_receive_stream **ret)
{
	if (tw_ranges_contain(&table->over, id, id + 1))
		return TW_E_END;
	struct tw_receive_stream *stream = calloc(1, sizeof(*stream));
	if (!stream)
		return -ENOMEM;
	stream->id = id;
	stream->window = TW_STREAM_BUFFER;
	stream->last = UINT64_MAX;
	tw_ranges_init(&stream->arrived, TW_STREAM_RANGES_MAX);
	stream->ring = malloc(TW_STREAM_BUFFER);
	int error = stream->ring ? insert(table, id, stream) : -ENOMEM;
	if (error) {
		receive_stream_free(stream);
		return error;
	}
	*ret = stream;
	return 0;
}

int tw_receive_stream_add(struct tw_stream_table *table, uint64_t id, const struct tw_range *piece,
			  const uint8_t *bytes, bool last, struct tw_receive_stream **ret)
{
	struct tw_receive_stream *stream = find(table, id);
	if (!stream) {
		int error = receive_stream_open(table, id, &stream);
		if (error)
			return error;
	}
	if (piece->end > stream->window || piece->end > stream->last)
		return TW_E_FORMAT;
	if (last) {
		uint64_t reached = stream->arrived.count
					   ? stream->arrived.at[stream->arrived.count - 1].end
					   : stream->read;
		if ((stream->last != UINT64_MAX && stream->last != piece->end) ||
		    reached > piece->end)
			return TW_E_FORMAT;
		stream->last = piece->end;
	}
	uint64_t start = piece->start > stream->read ? piece->start : stream->read;
	if (start < piece->end) {
		int error = tw_ranges_add(&stream->arrived, start, piece->end);
		if (error)
			return error;
		ring_put(stream->ring, start, bytes + (start - piece->start),
			 (size_t)(piece->end - start));
	}
	*ret = stream;
	return 0;
}

size_t tw_receive_stream_read(struct tw_receive_stream *stream, void *bytes, size_t room,
			      bool *ret_ended)
{
	size_t length = 0;
	if (stream->arrived.count && stream->arrived.at[0].start == stream->read) {
		uint64_t ready = stream->arrived.at[0].end - stream->read;
		length = ready < room ? (size_t)ready : room;
		ring_get(stream->ring, stream->read, bytes, length);
		(void)tw_ranges_remove(&stream->arrived, stream->read, stream->read + length);
		stream->read += length;
		if (stream->last == UINT64_MAX &&
		    stream->read + TW_STREAM_BUFFER - stream->window >= TW_STREAM_BUFFER / 4) {
			stream->window = stream->read + TW_STREAM_BUFFER;
			stream->window_owed = true;
		}
	}
	if (ret_ended)
		*ret_ended = stream->read == stream->last;
	return length;
}

void tw_receive_stream_drop(struct tw_stream_table *table, struct tw_receive_stream *stream)
{
	take_out(table, stream->id);
	receive_stream_free(stream);
}
