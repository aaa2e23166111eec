/*
 * Any bytes as the content of a packet: every frame that is taken is written again and taken again
 * as the same.
 */
#include "fuzz.h"

#include "../support/frame_again.h"
#include "base/error.h"

static void check_ack(const struct tw_ack_frame *ack)
{
	CHECK(ack->range_count >= 1 && ack->range_count <= TW_ACK_RANGES_MAX);
	CHECK(ack->largest <= TW_VARINT_MAX && ack->ranges[0].end == ack->largest + 1);
	CHECK(ack->receive_time_us < UINT64_C(1) << 48);
	for (size_t i = 0; i < ack->range_count; i++) {
		CHECK(ack->ranges[i].start < ack->ranges[i].end);
		CHECK(i == 0 || ack->ranges[i].end < ack->ranges[i - 1].start);
	}
}

/*
 * @taken: how many bytes the frame had. Canonical forms are never longer, so that much room
 * suffices.
 */
static void check_again(const struct tw_frame *frame, const struct tw_ack_frame *ack, size_t taken)
{
	static struct tw_ack_frame ack_again;
	static uint8_t bytes[65536];
	struct tw_frame read_again;
	struct tw_writer writer;
	struct tw_reader reader;

	if (taken > sizeof bytes)
		return;
	/*
	 * A zero ends what the writer takes as text: such a reason comes out shorter, which is no
	 * fault.
	 */
	if (frame->type == TW_FRAME_CLOSE && frame->close.reason_length > 0 &&
	    memchr(frame->close.reason, 0, frame->close.reason_length))
		return;
	tw_writer_init(&writer, bytes, taken);
	CHECK(frame_again(&writer, frame, ack, taken));
	tw_reader_init(&reader, bytes, tw_writer_length(&writer));
	CHECK(tw_frame_read(&reader, &read_again, &ack_again) == 0);
	CHECK(tw_reader_left(&reader) == 0);
	CHECK(frames_same(frame, &read_again));
	CHECK(frame->type != TW_FRAME_ACK || acks_same(ack, &ack_again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tw_ack_frame ack;
	struct tw_reader reader;
	struct tw_frame frame;

	tw_reader_init(&reader, data, size);
	for (;;) {
		const uint8_t *before = reader.at;
		int error = tw_frame_read(&reader, &frame, &ack);

		if (error) {
			CHECK(error == TW_E_FORMAT ||
			      (error == TW_E_END && tw_reader_left(&reader) == 0));
			return 0;
		}
		CHECK(reader.at > before && reader.at <= data + size);
		(void)tw_frame_elicits_ack(frame.type);
		if (frame.type == TW_FRAME_ACK)
			check_ack(&ack);
		check_again(&frame, &ack, (size_t)(reader.at - before));
	}
}
