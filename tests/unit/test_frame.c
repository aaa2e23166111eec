/*
 * Every frame of docs/protocol.md, "Frames": its vector read and written, its limits, its
 * truncations, and random frames there and back.
 */
#include "unit.h"

#include "../support/document.h"
#include "../support/frame_again.h"
#include "../support/guarded.h"
#include "base/error.h"
#include "base/random.h"

/* clang-format off */
#define BYTES(...) \
	.bytes = (const uint8_t[]){ __VA_ARGS__ }, .length = sizeof(const uint8_t[]){ __VA_ARGS__ }
/* clang-format on */
#define LENT(text) .bytes = (const uint8_t *)(text), .length = sizeof(text) - 1

struct vector {
	const char *section;
	const uint8_t *bytes;
	size_t length;
	struct tw_frame frame;
	const struct tw_ack_frame *ack;
};

static const struct tw_ack_frame ack_one = {
	.largest = 1000,
	.receive_time_us = 0x000102030405,
	.delay_us = 25,
	.range_count = 1,
	.ranges = { { 1000, 1001 } },
};

static const struct tw_ack_frame ack_three = {
	.largest = 1000,
	.receive_time_us = 0xffffffffffff,
	.delay_us = 300000,
	.range_count = 3,
	.ranges = { { 996, 1001 }, { 990, 994 }, { 900, 901 } },
};

static const struct vector vectors[] = {
	{ "PADDING", BYTES(0x00, 0x00, 0x00), { .type = TW_FRAME_PADDING }, NULL },
	{ "PING", BYTES(0x01), { .type = TW_FRAME_PING }, NULL },
	{ "ACK",
	  BYTES(0x02, 0x43, 0xe8, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x19, 0x00, 0x00),
	  { .type = TW_FRAME_ACK },
	  &ack_one },
	{ "ACK",
	  BYTES(0x02, 0x43, 0xe8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x80, 0x04, 0x93, 0xe0, 0x02,
		0x04, 0x01, 0x03, 0x40, 0x58, 0x00),
	  { .type = TW_FRAME_ACK },
	  &ack_three },
	{ "STREAM",
	  BYTES(0x03, 0x04, 0x80, 0x00, 0x40, 0x00, 0x03, 0x61, 0x62, 0x63),
	  { .type = TW_FRAME_STREAM, .stream = { .stream = 4, .offset = 16384, LENT("abc") } },
	  NULL },
	{ "STREAM",
	  BYTES(0x04, 0x00, 0x05, 0x00),
	  { .type = TW_FRAME_STREAM_LAST,
	    .stream = { .stream = 0, .offset = 5, LENT(""), .last = true } },
	  NULL },
	{ "STREAM_WINDOW",
	  BYTES(0x05, 0x04, 0x80, 0x10, 0x00, 0x00),
	  { .type = TW_FRAME_STREAM_WINDOW,
	    .stream_window = { .stream = 4, .offset_max = 1048576 } },
	  NULL },
	{ "DATA_WINDOW",
	  BYTES(0x06, 0xc0, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00),
	  { .type = TW_FRAME_DATA_WINDOW, .data_window = { .bytes_max = UINT64_C(1) << 32 } },
	  NULL },
	{ "DATA",
	  BYTES(0x07, 0x01, 0xc0, 0x00, 0x00, 0x01, 0x40, 0x00, 0x00, 0x00, 0x64, 0x61, 0x74, 0x61),
	  { .type = TW_FRAME_DATA,
	    .data = { .transfer = 1, .offset = UINT64_C(5) << 30, LENT("data") } },
	  NULL },
	{ "PATH_CHALLENGE and PATH_RESPONSE",
	  BYTES(0x08, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8),
	  { .type = TW_FRAME_PATH_CHALLENGE,
	    .path_token = (const uint8_t[]){ 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8 } },
	  NULL },
	{ "PATH_CHALLENGE and PATH_RESPONSE",
	  BYTES(0x09, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8),
	  { .type = TW_FRAME_PATH_RESPONSE,
	    .path_token = (const uint8_t[]){ 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8 } },
	  NULL },
	{ "CLOSE",
	  BYTES(0x0a, 0x02, 0x04, 0x62, 0x79, 0x65, 0x21),
	  { .type = TW_FRAME_CLOSE,
	    .close = { .code = 2, .reason = (const uint8_t *)"bye!", .reason_length = 4 } },
	  NULL },
	{ "CLOSE",
	  BYTES(0x0a, 0x00, 0x00),
	  { .type = TW_FRAME_CLOSE,
	    .close = { .code = 0, .reason = (const uint8_t *)"", .reason_length = 0 } },
	  NULL },
	{ "DATA_BLOCKED",
	  BYTES(0x0b, 0x80, 0x01, 0x00, 0x00),
	  { .type = TW_FRAME_DATA_BLOCKED, .data_blocked = { .bytes_max = 65536 } },
	  NULL },
};

static struct tw_ack_frame ack; /* too big for comfort on the stack */
static struct guarded guarded;

static int guard_up(void **state)
{
	(void)state;
	guarded_init(&guarded, 65536);
	return 0;
}

static int guard_down(void **state)
{
	(void)state;
	guarded_deinit(&guarded);
	return 0;
}

/* Reads one frame from @bytes that end at a guard page. @ret_left: what is behind it. */
static int read_one(const uint8_t *bytes, size_t length, struct tw_frame *ret, size_t *ret_left)
{
	struct tw_reader reader;
	int error;

	tw_reader_init(&reader, guarded_copy(&guarded, bytes, length), length);
	error = tw_frame_read(&reader, ret, &ack);
	*ret_left = tw_reader_left(&reader);
	return error;
}

static void every_type_has_a_vector(void **state)
{
	bool seen[TW_FRAME_TYPE_COUNT] = { false };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++)
		seen[vectors[i].bytes[0]] = true;
	for (size_t i = 0; i < TW_FRAME_TYPE_COUNT; i++)
		assert_true(seen[i]);
}

/* The page has these vectors and no others. */
static void vectors_are_the_documents(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *vector = &vectors[i];
		size_t count = 0;

		if (!document_has(vector->section, vector->bytes, vector->length))
			fail_msg("section %s lacks vector %zu", vector->section, i);
		for (size_t j = 0; j < ARRAY_SIZE(vectors); j++)
			count += strcmp(vectors[j].section, vector->section) == 0;
		assert_int_equal(document_count(vector->section), count);
	}
}

static void vectors_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *vector = &vectors[i];
		struct tw_frame frame;
		size_t left;

		if (read_one(vector->bytes, vector->length, &frame, &left) != 0 || left != 0)
			fail_msg("vector %zu, section %s: not read", i, vector->section);
		if (!frames_same(&frame, &vector->frame) ||
		    (vector->ack && !acks_same(&ack, vector->ack)))
			fail_msg("vector %zu, section %s: read as something else", i,
				 vector->section);
	}
}

/* Into exactly enough room, and into every smaller one: then the writer is as before. */
static void vectors_are_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *vector = &vectors[i];
		uint8_t *bytes = guarded_tail(&guarded, vector->length);
		struct tw_writer writer;

		tw_writer_init(&writer, bytes, vector->length);
		if (!frame_again(&writer, &vector->frame, vector->ack, 3) ||
		    tw_writer_length(&writer) != vector->length ||
		    memcmp(bytes, vector->bytes, vector->length) != 0)
			fail_msg("vector %zu, section %s: written as something else", i,
				 vector->section);
		for (size_t room = 0; room < vector->length; room++) {
			/*
			 * An ACK drops old ranges and DATA has a header of its own: their tests are
			 * below.
			 */
			if (vector->frame.type == TW_FRAME_ACK ||
			    vector->frame.type == TW_FRAME_DATA)
				continue;
			tw_writer_init(&writer, guarded_tail(&guarded, room), room);
			assert_false(frame_again(&writer, &vector->frame, vector->ack, 3));
			assert_int_equal(tw_writer_length(&writer), 0);
			assert_false(writer.failed);
		}
	}
}

/* Cut anywhere, a frame is an error - but for those that simply last as long as the packet does. */
static void vectors_cut_short(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *vector = &vectors[i];
		struct tw_frame frame;
		size_t left;

		assert_int_equal(read_one(vector->bytes, 0, &frame, &left), TW_E_END);
		for (size_t cut = 1; cut < vector->length; cut++) {
			int error = read_one(vector->bytes, cut, &frame, &left);

			if (vector->frame.type == TW_FRAME_PADDING) {
				assert_int_equal(error, 0);
			} else if (vector->frame.type == TW_FRAME_DATA &&
				   cut > vector->length - vector->frame.data.length) {
				assert_int_equal(error, 0);
				assert_int_equal(
					frame.data.length,
					cut - (vector->length - vector->frame.data.length));
			} else if (error != TW_E_FORMAT) {
				fail_msg("section %s cut to %zu: %d", vector->section, cut, error);
			}
		}
	}
}

static void bad_frames_are_refused(void **state)
{
	const struct {
		const char *why;
		const uint8_t *bytes;
		size_t length;
	} bad[] = {
		{ "type behind the last", BYTES(0x0c) },
		{ "type 0x40", BYTES(0x40, 0x01) },
		{ "type 0xff", BYTES(0xff, 0xff) },
		{ "first range below zero", BYTES(0x02, 0x05, 0, 0, 0, 0, 0, 0, 0x00, 0x00, 0x06) },
		{ "second range below zero",
		  BYTES(0x02, 0x05, 0, 0, 0, 0, 0, 0, 0x00, 0x01, 0x00, 0x03, 0x01) },
		{ "gap below zero",
		  BYTES(0x02, 0x05, 0, 0, 0, 0, 0, 0, 0x00, 0x01, 0x00, 0x05, 0x00) },
		{ "gap beyond all numbers",
		  BYTES(0x02, 0x05, 0, 0, 0, 0, 0, 0, 0x00, 0x01, 0x00, 0xff, 0xff, 0xff, 0xff,
			0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) },
		{ "range count without ranges",
		  BYTES(0x02, 0x05, 0, 0, 0, 0, 0, 0, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
			0xff, 0xff, 0x00) },
		{ "stream past the end",
		  BYTES(0x03, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x61) },
		{ "stream longer than all",
		  BYTES(0x03, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x61) },
		{ "data without content", BYTES(0x07, 0x01, 0x00) },
		{ "data past the end",
		  BYTES(0x07, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x61) },
		{ "reason longer than the packet", BYTES(0x0a, 0x00, 0x05, 0x61) },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct tw_frame frame = { .type = TW_FRAME_TYPE_COUNT };
		size_t left;

		if (read_one(bad[i].bytes, bad[i].length, &frame, &left) != TW_E_FORMAT)
			fail_msg("%s: taken", bad[i].why);
		assert_int_equal(frame.type, TW_FRAME_TYPE_COUNT);
	}
}

/* What a writer can produce at the edges is still read. */
static void edges_are_taken(void **state)
{
	const struct {
		const char *what;
		const uint8_t *bytes;
		size_t length;
	} good[] = {
		{ "lowest range ends at zero",
		  BYTES(0x02, 0x05, 0, 0, 0, 0, 0, 0, 0x00, 0x01, 0x00, 0x03, 0x00) },
		{ "all from zero", BYTES(0x02, 0x05, 0, 0, 0, 0, 0, 0, 0x00, 0x00, 0x05) },
		{ "last byte of a stream",
		  BYTES(0x03, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x01, 0x61) },
		{ "last byte of a tape",
		  BYTES(0x07, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0x61) },
		{ "longer form of a number", BYTES(0x06, 0x40, 0x01) },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct tw_frame frame;
		size_t left;

		if (read_one(good[i].bytes, good[i].length, &frame, &left) != 0 || left != 0)
			fail_msg("%s: refused", good[i].what);
	}
}

/* @count single packets, every other one missing. */
static void ack_comb(struct tw_ack_frame *ret, size_t count)
{
	ret->largest = 4 * TW_ACK_RANGES_MAX;
	ret->receive_time_us = 7;
	ret->delay_us = 8;
	ret->range_count = count;
	for (size_t i = 0; i < count; i++)
		ret->ranges[i] =
			(struct tw_range){ ret->largest - 2 * i, ret->largest - 2 * i + 1 };
}

static void ack_range_limit(void **state)
{
	static struct tw_ack_frame comb;
	uint8_t bytes[2048];
	struct tw_frame frame;
	struct tw_writer writer;
	size_t length, left;

	(void)state;
	ack_comb(&comb, TW_ACK_RANGES_MAX);
	tw_writer_init(&writer, bytes, sizeof bytes);
	assert_true(tw_frame_write_ack(&writer, &comb, NULL));
	length = tw_writer_length(&writer);
	assert_int_equal(read_one(bytes, length, &frame, &left), 0);
	assert_true(acks_same(&ack, &comb));
	/*
	 * One range more: type, largest (2), time (6), delay (1), then the count in two bytes: 511
	 * -> 512.
	 */
	assert_int_equal(bytes[10], 0x41);
	assert_int_equal(bytes[11], 0xff);
	bytes[10] = 0x42;
	bytes[11] = 0x00;
	bytes[length] = 0;
	bytes[length + 1] = 0;
	assert_int_equal(read_one(bytes, length + 2, &frame, &left), TW_E_FORMAT);
}

/*
 * In any room: the newest ranges, as many as possible; what was written reads back as exactly
 * those.
 */
static void ack_keeps_the_newest(void **state)
{
	static struct tw_ack_frame comb;
	size_t before = 0;

	(void)state;
	ack_comb(&comb, 100);
	for (size_t room = 0; room < 260; room++) {
		struct tw_writer writer;
		struct tw_frame frame;
		size_t count = 0, left;

		tw_writer_init(&writer, guarded_tail(&guarded, room), room);
		if (!tw_frame_write_ack(&writer, &comb, &count)) {
			assert_true(room < 12);
			assert_int_equal(tw_writer_length(&writer), 0);
			assert_false(writer.failed);
			continue;
		}
		assert_true(room >= 12);
		assert_true(count >= before && count <= 100);
		/*
		 * Not even one range more would have fitted: two bytes, and one when the count
		 * grows to two bytes.
		 */
		if (count < 100)
			assert_true(room - tw_writer_length(&writer) < (count == 64 ? 3u : 2u));
		before = count;
		assert_int_equal(read_one(writer.start, tw_writer_length(&writer), &frame, &left),
				 0);
		assert_int_equal(ack.range_count, count);
		assert_memory_equal(ack.ranges, comb.ranges, count * sizeof *ack.ranges);
	}
	assert_int_equal(before, 100);
}

static void data_header_size_is_right(void **state)
{
	static const uint64_t numbers[] = { 0,     63,         64,         16383,
					    16384, 1073741823, 1073741824, TW_VARINT_MAX - 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(numbers); j++) {
			size_t size = tw_frame_data_header_size(numbers[i], numbers[j]);
			struct tw_writer writer;

			tw_writer_init(&writer, guarded_tail(&guarded, size), size);
			assert_true(tw_frame_write_data_header(&writer, numbers[i], numbers[j]));
			assert_int_equal(tw_writer_length(&writer), size);
			tw_writer_init(&writer, guarded_tail(&guarded, size - 1), size - 1);
			assert_false(tw_frame_write_data_header(&writer, numbers[i], numbers[j]));
			assert_int_equal(tw_writer_length(&writer), 0);
			if (numbers[i] < 64)
				assert_true(size <= TW_DATA_FRAME_OVERHEAD_MAX);
		}
	}
}

static void close_reason_is_cut(void **state)
{
	char reason[400];
	uint8_t bytes[400];
	struct tw_writer writer;
	struct tw_frame frame;
	size_t left;

	(void)state;
	/* "a" and then characters of three bytes: the 256th byte is the first of one of them. */
	reason[0] = 'a';
	for (size_t i = 0; i < 100; i++)
		memcpy(reason + 1 + 3 * i, "\xe2\x82\xac", 3);
	reason[301] = '\0';
	tw_writer_init(&writer, bytes, sizeof bytes);
	assert_true(tw_frame_write_close(&writer, 1, reason));
	assert_int_equal(read_one(bytes, tw_writer_length(&writer), &frame, &left), 0);
	assert_int_equal(frame.close.reason_length, 256);
	/* One byte further in, the limit falls inside a character. */
	tw_writer_init(&writer, bytes, sizeof bytes);
	assert_true(tw_frame_write_close(&writer, 1, reason + 1));
	assert_int_equal(read_one(bytes, tw_writer_length(&writer), &frame, &left), 0);
	assert_int_equal(frame.close.reason_length, 255);
	/* Bytes that are no text at all. */
	memset(reason, '\x80', 300);
	reason[300] = '\0';
	tw_writer_init(&writer, bytes, sizeof bytes);
	assert_true(tw_frame_write_close(&writer, 1, reason));
	assert_int_equal(read_one(bytes, tw_writer_length(&writer), &frame, &left), 0);
	assert_int_equal(frame.close.reason_length, 256);
	/* One more than the limit is refused when read. */
	assert_int_equal(bytes[2], 0x41);
	assert_int_equal(bytes[3], 0x00);
	bytes[3] = 0x01;
	bytes[4 + 256] = 'x';
	assert_int_equal(read_one(bytes, 4 + 257, &frame, &left), TW_E_FORMAT);
	tw_writer_init(&writer, bytes, sizeof bytes);
	assert_true(tw_frame_write_close(&writer, 1, NULL));
	assert_int_equal(tw_writer_length(&writer), 3);
}

static void who_asks_for_an_ack(void **state)
{
	(void)state;
	for (unsigned type = 0; type < TW_FRAME_TYPE_COUNT; type++)
		assert_int_equal(tw_frame_elicits_ack((enum tw_frame_type)type),
				 type != TW_FRAME_PADDING && type != TW_FRAME_ACK &&
					 type != TW_FRAME_CLOSE);
}

static void a_failed_cursor_stays_failed(void **state)
{
	uint8_t bytes[64] = { TW_FRAME_PING };
	struct tw_reader reader;
	struct tw_writer writer;
	struct tw_frame frame;

	(void)state;
	tw_reader_init(&reader, bytes, sizeof bytes);
	reader.failed = true;
	assert_int_equal(tw_frame_read(&reader, &frame, &ack), TW_E_FORMAT);
	for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
		tw_writer_init(&writer, bytes, sizeof bytes);
		writer.failed = true;
		assert_false(frame_again(&writer, &vectors[i].frame, vectors[i].ack, 3));
	}
}

static uint64_t random_number(struct tw_prng *prng, uint64_t max)
{
	/* Every size of number as often as any other. */
	uint64_t number = tw_prng_u64(prng) >> 2 >> tw_prng_below(prng, 62);

	return number < max ? number : max;
}

static void random_ack(struct tw_prng *prng, struct tw_ack_frame *ret)
{
	uint64_t top;

	ret->largest = random_number(prng, TW_VARINT_MAX);
	ret->receive_time_us = tw_prng_below(prng, UINT64_C(1) << 48);
	ret->delay_us = random_number(prng, TW_VARINT_MAX);
	ret->range_count = 0;
	top = ret->largest + 1;
	while (ret->range_count < 1 + tw_prng_below(prng, TW_ACK_RANGES_MAX)) {
		uint64_t length = 1 + random_number(prng, top - 1);

		ret->ranges[ret->range_count++] = (struct tw_range){ top - length, top };
		top -= length;
		if (top < 2)
			break;
		top -= 1 + random_number(prng, top - 2);
	}
}

static void random_frame(struct tw_prng *prng, const uint8_t *noise, struct tw_frame *ret,
			 struct tw_ack_frame *ret_ack)
{
	ret->type = (enum tw_frame_type)tw_prng_below(prng, TW_FRAME_TYPE_COUNT);
	switch (ret->type) {
	case TW_FRAME_STREAM:
	case TW_FRAME_STREAM_LAST:
		ret->stream.length = tw_prng_below(prng, 300);
		ret->stream.stream = random_number(prng, TW_VARINT_MAX);
		ret->stream.offset = random_number(prng, TW_VARINT_MAX - ret->stream.length);
		ret->stream.bytes = noise;
		ret->stream.last = ret->type == TW_FRAME_STREAM_LAST;
		break;
	case TW_FRAME_DATA:
		ret->data.length = 1 + tw_prng_below(prng, 300);
		ret->data.transfer = random_number(prng, TW_VARINT_MAX);
		ret->data.offset = random_number(prng, TW_VARINT_MAX - ret->data.length);
		ret->data.bytes = noise;
		break;
	case TW_FRAME_STREAM_WINDOW:
		ret->stream_window.stream = random_number(prng, TW_VARINT_MAX);
		ret->stream_window.offset_max = random_number(prng, TW_VARINT_MAX);
		break;
	case TW_FRAME_DATA_WINDOW:
		ret->data_window.bytes_max = random_number(prng, TW_VARINT_MAX);
		break;
	case TW_FRAME_DATA_BLOCKED:
		ret->data_blocked.bytes_max = random_number(prng, TW_VARINT_MAX);
		break;
	case TW_FRAME_PATH_CHALLENGE:
	case TW_FRAME_PATH_RESPONSE:
		ret->path_token = noise;
		break;
	case TW_FRAME_CLOSE:
		ret->close.code = random_number(prng, TW_VARINT_MAX);
		ret->close.reason =
			(const uint8_t *)"no room left on the device; free some and start again";
		ret->close.reason_length = 53;
		break;
	case TW_FRAME_ACK:
		random_ack(prng, ret_ack);
		break;
	default:
		break;
	}
}

/* Rows of random frames, DATA at the end: read back they are the same, and nothing is left. */
static void random_packets_there_and_back(void **state)
{
	static struct tw_ack_frame acks[12];
	const uint64_t seed = 20240601;
	struct tw_prng prng;
	uint8_t noise[300];

	(void)state;
	tw_prng_init(&prng, seed);
	for (size_t i = 0; i < sizeof noise; i++)
		noise[i] = (uint8_t)tw_prng_u64(&prng);
	for (unsigned round = 0; round < 3000; round++) {
		struct tw_frame frames[12], frame;
		struct tw_writer writer;
		struct tw_reader reader;
		size_t count = 0, length;

		tw_writer_init(&writer, guarded.map, guarded.room);
		while (count < 12) {
			random_frame(&prng, noise, &frames[count], &acks[count]);
			/* Two runs of padding in a row would be read as one. */
			if (count > 0 && frames[count].type == TW_FRAME_PADDING)
				continue;
			assert_true(frame_again(&writer, &frames[count], &acks[count],
						1 + tw_prng_below(&prng, 40)));
			if (frames[count++].type == TW_FRAME_DATA)
				break;
		}
		length = tw_writer_length(&writer);
		memmove(guarded_tail(&guarded, length), writer.start, length);
		tw_reader_init(&reader, guarded_tail(&guarded, length), length);
		for (size_t i = 0; i < count; i++) {
			if (tw_frame_read(&reader, &frame, &ack) != 0 ||
			    !frames_same(&frame, &frames[i]) ||
			    (frame.type == TW_FRAME_ACK && !acks_same(&ack, &acks[i])))
				fail_msg("seed %llu, round %u, frame %zu", (unsigned long long)seed,
					 round, i);
		}
		assert_int_equal(tw_frame_read(&reader, &frame, &ack), TW_E_END);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_has_a_vector),
		cmocka_unit_test(vectors_are_the_documents),
		cmocka_unit_test(vectors_are_read),
		cmocka_unit_test(vectors_are_written),
		cmocka_unit_test(vectors_cut_short),
		cmocka_unit_test(bad_frames_are_refused),
		cmocka_unit_test(edges_are_taken),
		cmocka_unit_test(ack_range_limit),
		cmocka_unit_test(ack_keeps_the_newest),
		cmocka_unit_test(data_header_size_is_right),
		cmocka_unit_test(close_reason_is_cut),
		cmocka_unit_test(who_asks_for_an_ack),
		cmocka_unit_test(a_failed_cursor_stays_failed),
		cmocka_unit_test(random_packets_there_and_back),
	};

	return cmocka_run_group_tests(tests, guard_up, guard_down);
}
