/*
 * What arrives in any order, what is said about it, and what the other side reads: orders of two
 * bytes and up, against a plain map of the newest numbers. A number is never taken twice, nothing
 * is acknowledged that did not come, and an acknowledgement is read as it was written. The first
 * byte says whether the rest is such orders, or an acknowledgement as a peer might invent it.
 */
#include "fuzz.h"

#include "base/error.h"
#include "core/ack.h"
#include "wire/frame.h"

#define NUMBERS 4096

static bool came[NUMBERS];

static void check_frame(struct tw_ack_tracker *tracker, tw_ns now, size_t room, uint64_t base)
{
	static struct tw_ack_frame said, heard;
	static uint8_t bytes[8192];
	struct tw_frame frame;
	struct tw_writer writer;
	struct tw_reader reader;
	size_t count;

	if (!tw_ack_tracker_frame(tracker, now, &said))
		return;
	CHECK(said.range_count > 0 && said.range_count <= TW_ACK_RANGES_MAX);
	CHECK(said.largest == said.ranges[0].end - 1);
	for (size_t i = 0; i < said.range_count; i++)
		for (uint64_t at = said.ranges[i].start; at < said.ranges[i].end; at++)
			CHECK(at >= base && at - base < NUMBERS && came[at - base]);
	tw_writer_init(&writer, bytes, room);
	if (!tw_frame_write_ack(&writer, &said, &count))
		return;
	CHECK(count > 0 && count <= said.range_count);
	tw_reader_init(&reader, bytes, tw_writer_length(&writer));
	CHECK(tw_frame_read(&reader, &frame, &heard) == 0 && frame.type == TW_FRAME_ACK);
	CHECK(heard.largest == said.largest && heard.range_count == count);
	CHECK(memcmp(heard.ranges, said.ranges, count * sizeof *said.ranges) == 0);
	tw_ack_tracker_sent(tracker, now);
}

static void orders(const uint8_t *data, size_t size)
{
	struct tw_ack_tracker tracker;
	/* Near the end of what fits, too. */
	uint64_t base = size && data[0] & 1 ? (UINT64_C(1) << 62) - NUMBERS : 0;
	tw_ns now = TW_SECOND;

	memset(came, 0, sizeof came);
	tw_ack_tracker_init(&tracker);
	for (size_t at = 1; at + 2 < size; at += 3) {
		uint64_t low = (uint64_t)(data[at + 1] << 8 | data[at + 2]) % NUMBERS;

		now += data[at] >> 4;
		switch (data[at] % 8) {
		case 0:
			tw_ack_tracker_confirmed(&tracker, base + low);
			break;
		case 1:
			check_frame(&tracker, now, 16 + low % 8000, base);
			break;
		default:
			CHECK(tw_ack_tracker_fresh(&tracker, base + low) == !came[low]);
			if (came[low])
				break;
			CHECK(tw_ack_tracker_add(&tracker, base + low, data[at] & 8, now) == 0);
			came[low] = true;
			CHECK(!tw_ack_tracker_fresh(&tracker, base + low));
		}
	}
	check_frame(&tracker, now, 8192, base);
	tw_ack_tracker_deinit(&tracker);
}

/* Ranges that go down, do not touch, and lie where numbers can lie. */
static void invented(const uint8_t *data, size_t size)
{
	static struct tw_ack_frame ack;
	static uint8_t bytes[4200];
	struct tw_frame frame;
	struct tw_reader reader;

	if (size >= sizeof bytes)
		return;
	bytes[0] = TW_FRAME_ACK;
	memcpy(bytes + 1, data, size);
	tw_reader_init(&reader, bytes, size + 1);
	if (tw_frame_read(&reader, &frame, &ack))
		return;
	CHECK(frame.type == TW_FRAME_ACK);
	CHECK(ack.range_count > 0 && ack.range_count <= TW_ACK_RANGES_MAX);
	CHECK(ack.ranges[0].end == ack.largest + 1 && ack.largest <= TW_VARINT_MAX);
	for (size_t i = 0; i < ack.range_count; i++) {
		CHECK(ack.ranges[i].start < ack.ranges[i].end);
		CHECK(i == 0 || ack.ranges[i].end < ack.ranges[i - 1].start);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	if (data[0] & 1)
		invented(data + 1, size - 1);
	else
		orders(data + 1, size - 1);
	return 0;
}
