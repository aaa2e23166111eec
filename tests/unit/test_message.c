/*
 * docs/protocol.md, "Session messages": the vectors, every message there and back, cut off at every
 * byte, out of bounds, damaged at random.
 */
#include "unit.h"

#include "../support/document.h"
#include "../support/guarded.h"
#include "base/error.h"
#include "base/random.h"
#include "session/message.h"

static struct guarded guarded;

static int guard_up(void **state)
{
	(void)state;
	guarded_init(&guarded, TW_MESSAGE_ROOM);
	return 0;
}

static int guard_down(void **state)
{
	(void)state;
	guarded_deinit(&guarded);
	return 0;
}

static const struct tw_range ranges[] = { { 0, 1 << 20 }, { 3 << 20, 4 << 20 } };

static struct tw_message offer(void)
{
	struct tw_message message = { .type = TW_MESSAGE_OFFER };
	size_t i;

	for (i = 0; i < TW_TRANSFER_KEY_SIZE; i++)
		message.offer.key[i] = (uint8_t)i;
	message.offer.instance = 1;
	message.offer.overwrite = 4;
	message.offer.flags = TW_OFFER_READ | TW_OFFER_WRITE;
	message.offer.checkpoint_seconds = 5;
	message.offer.destination = (struct tw_message_text){ "in", 2 };
	return message;
}

static void vectors(void **state)
{
	struct tw_message messages[] = {
		{ .type = TW_MESSAGE_HELLO, .hello.version = 1 },
		offer(),
		{ .type = TW_MESSAGE_HELD, .ranges = { .count = 2, .at = ranges } },
		{ .type = TW_MESSAGE_READY, .ready.offset = 1 << 20 },
		{ .type = TW_MESSAGE_DONE_ACK },
		{ .type = TW_MESSAGE_CANCEL, .transfer = 1, .cancel = { 6, { "", 0 }, true } },
		{ .type = TW_MESSAGE_LIMIT, .limit.max_bps = 100000000 },
		{ .type = TW_MESSAGE_HELLO, .hello = { .version = 1, .lanes = 3 } },
		{ .type = TW_MESSAGE_LANE },
	};
	static const uint8_t digest[TW_DIGEST_SIZE] = { 0xb5, 0xe9, 0xc1, 0xad, 0x07, 0x1b,
							0x3e, 0x7f, 0xc7, 0x79, 0xcf, 0xaa,
							0x5e, 0x52, 0x38, 0x18 };
	uint8_t bytes[256];
	size_t length = 0, i;

	(void)state;
	for (i = 0; i < TW_LANE_TOKEN_SIZE; i++)
		messages[7].hello.lane_token[i] = messages[8].lane.token[i] = (uint8_t)i;
	for (i = 0; i < ARRAY_SIZE(messages); i++)
		length += tw_message_write(&messages[i], bytes + length, sizeof(bytes) - length);
	assert_true(document_has("Session messages", bytes, length));
	length = tw_digest_record_write(0, (const struct tw_digest *)digest, 1, bytes,
					sizeof(bytes));
	assert_true(document_has("Session messages", bytes, length));
	assert_int_equal(document_count("Session messages"), 2);
}

static struct tw_message hello_with_ids(void)
{
	return (struct tw_message){
		.type = TW_MESSAGE_HELLO,
		.hello = { .version = 1,
			   .ids_known = true,
			   .server_id = { 1 },
			   .server_uid = { 2 } },
	};
}

static size_t examples(struct tw_message ret[24])
{
	size_t count = 0;

	ret[count++] = hello_with_ids();
	ret[count++] = (struct tw_message){ .type = TW_MESSAGE_HELLO, .hello.version = 9 };
	ret[count++] = offer();
	ret[count++] = (struct tw_message){ .type = TW_MESSAGE_ANSWER,
					    .transfer = 63,
					    .answer = { 4, TW_ANSWER_LIVE, { "no", 2 } } };
	ret[count++] = (struct tw_message){ .type = TW_MESSAGE_HELD,
					    .ranges = { .count = 2, .at = ranges } };
	ret[count++] =
		(struct tw_message){ .type = TW_MESSAGE_READY, .ready.offset = TW_VARINT_MAX };
	ret[count++] =
		(struct tw_message){ .type = TW_MESSAGE_TOTAL, .total = { 1, 2, 3, 4, true } };
	ret[count++] = (struct tw_message){ .type = TW_MESSAGE_HOLE, .hole = { 5, TW_VARINT_MAX } };
	ret[count++] =
		(struct tw_message){ .type = TW_MESSAGE_ABANDON, .abandon = { 7, -EIO, { 9, 9 } } };
	ret[count++] =
		(struct tw_message){ .type = TW_MESSAGE_SHA256, .sha256 = { 8, { 1, 2, 3 } } };
	ret[count++] = (struct tw_message){ .type = TW_MESSAGE_AGAIN,
					    .ranges = { .count = 1, .at = ranges } };
	ret[count++] = (struct tw_message){ .type = TW_MESSAGE_PROGRESS,
					    .progress = { 1, 2, 3, 4, 5, 6 } };
	ret[count++] = (struct tw_message){ .type = TW_MESSAGE_PROBLEM,
					    .problem = { 3, TW_E_CHANGED, { "a\nb", 3 } } };
	ret[count++] = (struct tw_message){
		.type = TW_MESSAGE_DONE,
		.done = { 1, { 6, 5, 4, 3, 2, 1 }, { { 9, 9 } }, { "some", 4 } }
	};
	ret[count++] = (struct tw_message){ .type = TW_MESSAGE_DONE_ACK, .transfer = 5 };
	ret[count++] =
		(struct tw_message){ .type = TW_MESSAGE_CANCEL, .cancel = { 6, { "", 0 }, false } };
	ret[count++] = (struct tw_message){ .type = TW_MESSAGE_CANCEL,
					    .transfer = TW_SESSION_NUMBER_MAX,
					    .cancel = { 6, { "later", 5 }, true } };
	ret[count++] =
		(struct tw_message){ .type = TW_MESSAGE_LIMIT, .limit.max_bps = TW_VARINT_MAX };
	ret[count++] = (struct tw_message){ .type = TW_MESSAGE_LANE, .lane = { { 1, 2, 3 } } };
	ret[count++] = (struct tw_message){ .type = TW_MESSAGE_MISSED,
					    .transfer = 5,
					    .ranges = { .count = 2, .at = ranges } };
	return count;
}

static void assert_text(const struct tw_message_text *a, const struct tw_message_text *b)
{
	assert_int_equal(a->length, b->length);
	assert_memory_equal(a->bytes, b->bytes, a->length);
}

static void assert_same_offer(const struct tw_message *a, const struct tw_message *b)
{
	assert_memory_equal(a->offer.key, b->offer.key, TW_TRANSFER_KEY_SIZE);
	assert_int_equal(a->offer.instance, b->offer.instance);
	assert_int_equal(a->offer.overwrite, b->offer.overwrite);
	assert_int_equal(a->offer.checkpoint_seconds, b->offer.checkpoint_seconds);
	assert_text(&a->offer.destination, &b->offer.destination);
}

static void assert_same_ranges(struct tw_message *a, const struct tw_message *b)
{
	struct tw_range range;

	for (size_t i = 0; i < b->ranges.count; i++) {
		assert_true(tw_message_next_range(a, &range));
		assert_memory_equal(&range, &b->ranges.at[i], sizeof(range));
	}
	assert_false(tw_message_next_range(a, &range));
}

static void assert_same_hello(const struct tw_message *a, const struct tw_message *b)
{
	assert_int_equal(a->hello.version, b->hello.version);
	assert_int_equal(a->hello.ids_known, b->hello.ids_known);
	if (b->hello.ids_known)
		assert_memory_equal(a->hello.server_id, b->hello.server_id, 32);
	assert_int_equal(a->hello.lanes, b->hello.lanes);
	if (b->hello.lanes)
		assert_memory_equal(a->hello.lane_token, b->hello.lane_token, TW_LANE_TOKEN_SIZE);
}

static void assert_same(struct tw_message *a, const struct tw_message *b)
{
	assert_int_equal(a->type, b->type);
	assert_int_equal(a->transfer, b->transfer);
	switch (a->type) {
	case TW_MESSAGE_HELLO:
		assert_same_hello(a, b);
		break;
	case TW_MESSAGE_OFFER:
		assert_same_offer(a, b);
		break;
	case TW_MESSAGE_ANSWER:
		assert_int_equal(a->answer.error, b->answer.error);
		assert_int_equal(a->answer.flags, b->answer.flags);
		assert_text(&a->answer.text, &b->answer.text);
		break;
	case TW_MESSAGE_HELD:
	case TW_MESSAGE_AGAIN:
	case TW_MESSAGE_MISSED:
		assert_same_ranges(a, b);
		break;
	case TW_MESSAGE_READY:
		assert_int_equal(a->ready.offset, b->ready.offset);
		break;
	case TW_MESSAGE_TOTAL:
		assert_int_equal(a->total.bytes, b->total.bytes);
		assert_int_equal(a->total.chunks, b->total.chunks);
		assert_int_equal(a->total.final, b->total.final);
		break;
	case TW_MESSAGE_HOLE:
		assert_memory_equal(&a->hole, &b->hole, sizeof(a->hole));
		break;
	case TW_MESSAGE_ABANDON:
		assert_int_equal(a->abandon.entry, b->abandon.entry);
		assert_int_equal(a->abandon.error, b->abandon.error);
		assert_memory_equal(&a->abandon.range, &b->abandon.range, sizeof(a->hole));
		break;
	case TW_MESSAGE_SHA256:
		assert_int_equal(a->sha256.entry, b->sha256.entry);
		assert_memory_equal(a->sha256.digest, b->sha256.digest, 32);
		break;
	case TW_MESSAGE_PROGRESS:
		assert_memory_equal(&a->progress, &b->progress, sizeof(a->progress));
		break;
	case TW_MESSAGE_PROBLEM:
		assert_int_equal(a->problem.entry, b->problem.entry);
		assert_int_equal(a->problem.error, b->problem.error);
		assert_text(&a->problem.path, &b->problem.path);
		break;
	case TW_MESSAGE_DONE:
		assert_int_equal(a->done.error, b->done.error);
		assert_memory_equal(&a->done.progress, &b->done.progress, sizeof(a->done.progress));
		assert_memory_equal(&a->done.digest, &b->done.digest, TW_DIGEST_SIZE);
		assert_text(&a->done.text, &b->done.text);
		break;
	case TW_MESSAGE_CANCEL:
		assert_int_equal(a->cancel.error, b->cancel.error);
		assert_text(&a->cancel.text, &b->cancel.text);
		assert_int_equal(a->cancel.paused, b->cancel.paused);
		break;
	case TW_MESSAGE_LIMIT:
		assert_int_equal(a->limit.max_bps, b->limit.max_bps);
		break;
	case TW_MESSAGE_LANE:
		assert_memory_equal(a->lane.token, b->lane.token, TW_LANE_TOKEN_SIZE);
		break;
	case TW_MESSAGE_DONE_ACK:
		break;
	}
}

static void there_and_back(void **state)
{
	struct tw_message all[24], back;
	size_t count = examples(all), i, cut, length, taken;
	uint8_t bytes[512];

	(void)state;
	for (i = 0; i < count; i++) {
		length = tw_message_write(&all[i], bytes, sizeof(bytes));
		assert_true(length > 0);
		assert_int_equal(tw_message_read(guarded_copy(&guarded, bytes, length), length,
						 &back, &taken),
				 0);
		assert_int_equal(taken, length);
		assert_same(&back, &all[i]);
		for (cut = 0; cut < length; cut++)
			assert_int_equal(tw_message_read(guarded_copy(&guarded, bytes, cut), cut,
							 &back, &taken),
					 TW_E_AGAIN);
		/* No room by one byte. */
		assert_int_equal(tw_message_write(&all[i], bytes, length - 1), 0);
	}
}

/* A body that ends too early although its length is right. */
static void cut_inside(void **state)
{
	struct tw_message all[24], back;
	size_t count = examples(all), i, cut, length, taken;
	uint8_t bytes[512];

	(void)state;
	for (i = 0; i < count; i++) {
		length = tw_message_write(&all[i], bytes, sizeof(bytes));
		/* All examples but one are short: their length takes one byte. */
		if (bytes[0] >= 0x40)
			continue;
		for (cut = 2; cut < length; cut++) {
			bytes[0] = (uint8_t)(cut - 1);
			assert_int_equal(tw_message_read(guarded_copy(&guarded, bytes, cut), cut,
							 &back, &taken),
					 TW_E_FORMAT);
		}
	}
}

/* Who knows of no lanes says nothing of them, and nothing is said where there are none. */
static void lanes(void **state)
{
	struct tw_message hello = hello_with_ids(), back;
	uint8_t bytes[128];
	size_t without = tw_message_write(&hello, bytes, sizeof(bytes)), with, cut, taken;

	(void)state;
	assert_int_equal(without, 2 + 1 + 1 + 32);
	hello.hello.lanes = TW_LANES_MAX;
	memset(hello.hello.lane_token, 9, sizeof(hello.hello.lane_token));
	with = tw_message_write(&hello, bytes, sizeof(bytes));
	assert_int_equal(with, without + 1 + TW_LANE_TOKEN_SIZE);
	assert_int_equal(tw_message_read(guarded_copy(&guarded, bytes, with), with, &back, &taken),
			 0);
	assert_same(&back, &hello);
	/* A token that is cut off. */
	for (cut = without + 1; cut < with; cut++) {
		bytes[0] = (uint8_t)(cut - 1);
		assert_int_equal(tw_message_read(guarded_copy(&guarded, bytes, cut), cut, &back,
						 &taken),
				 TW_E_FORMAT);
	}
	bytes[0] = (uint8_t)(without - 1);
	assert_int_equal(
		tw_message_read(guarded_copy(&guarded, bytes, without), without, &back, &taken), 0);
	assert_int_equal(back.hello.lanes, 0);
}

/* Later versions may add types and fields. */
static void passed_over(void **state)
{
	static const uint8_t unknown[] = { 0x03, 0x3f, 0x01, 0x02 };
	static const uint8_t longer[] = { 0x04, 0x0e, 0x00, 0xaa, 0xbb };
	struct tw_message message;
	size_t taken;

	(void)state;
	assert_int_equal(tw_message_read(unknown, sizeof(unknown), &message, &taken), TW_E_END);
	assert_int_equal(taken, sizeof(unknown));
	assert_int_equal(tw_message_read(longer, sizeof(longer), &message, &taken), 0);
	assert_int_equal(taken, sizeof(longer));
	assert_int_equal(message.type, TW_MESSAGE_DONE_ACK);
}

static void refused(void **state)
{
	static const struct {
		const char *what;
		uint8_t bytes[20];
		size_t length;
	} cases[] = {
		{ "empty", { 0x00 }, 1 },
		{ "longer than 65536", { 0x80, 0x01, 0x00, 0x01 }, 4 },
		{ "transfer 2^30", { 0x09, 0x0e, 0xc0, 0, 0, 0, 0x40, 0, 0, 0 }, 10 },
		{ "paused is 2", { 0x05, 0x0f, 0x00, 0x06, 0x00, 0x02 }, 6 },
		{ "hello with 16 bytes of ids", { 0x03, 0x01, 0x01, 0x10 }, 4 },
		{ "2049 ranges", { 0x04, 0x04, 0x00, 0x48, 0x01 }, 5 },
		{ "an empty range", { 0x05, 0x04, 0x00, 0x01, 0x05, 0x00 }, 6 },
		{ "an empty hole", { 0x04, 0x07, 0x00, 0x05, 0x00 }, 5 },
		{ "a range beyond all",
		  { 0x0b, 0x07, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01 },
		  12 },
		{ "an error beyond all",
		  { 0x09, 0x08, 0x00, 0x01, 0x80, 0x00, 0x40, 0x01, 0x00, 0x00 },
		  10 },
		{ "final is 2", { 0x07, 0x06, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02 }, 8 },
		{ "code 256", { 0x05, 0x0f, 0x00, 0x41, 0x00, 0x00 }, 6 },
	};
	struct tw_message message;
	size_t i, taken;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int error = tw_message_read(guarded_copy(&guarded, cases[i].bytes, cases[i].length),
					    cases[i].length, &message, &taken);

		if (error != TW_E_FORMAT)
			fail_msg("%s gives %d", cases[i].what, error);
	}
}

static void refused_offers(void **state)
{
	struct tw_message message = offer(), back;
	char name[TW_PATH_MAX + 1];
	uint8_t bytes[8192];
	size_t length, taken;

	(void)state;
	message.offer.overwrite = TW_OVERWRITE_COUNT;
	length = tw_message_write(&message, bytes, sizeof(bytes));
	assert_int_equal(tw_message_read(bytes, length, &back, &taken), TW_E_FORMAT);
	message = offer();
	message.offer.checkpoint_seconds = TW_CHECKPOINT_SECONDS_MAX + 1;
	length = tw_message_write(&message, bytes, sizeof(bytes));
	assert_int_equal(tw_message_read(bytes, length, &back, &taken), TW_E_FORMAT);
	message = offer();
	message.offer.destination = (struct tw_message_text){ "a\0b", 3 };
	length = tw_message_write(&message, bytes, sizeof(bytes));
	assert_int_equal(tw_message_read(bytes, length, &back, &taken), TW_E_FORMAT);
	memset(name, 'n', sizeof(name));
	message = offer();
	message.offer.destination = (struct tw_message_text){ name, TW_PATH_MAX };
	length = tw_message_write(&message, bytes, sizeof(bytes));
	assert_int_equal(tw_message_read(bytes, length, &back, &taken), 0);
	assert_int_equal(back.offer.destination.length, TW_PATH_MAX);
}

static void most_ranges(void **state)
{
	static struct tw_range many[TW_MESSAGE_RANGES_MAX];
	static uint8_t bytes[TW_MESSAGE_ROOM];
	struct tw_message message = { .type = TW_MESSAGE_HELD,
				      .ranges = { .count = TW_MESSAGE_RANGES_MAX, .at = many } };
	struct tw_message back;
	struct tw_range range;
	size_t i, length, taken;

	(void)state;
	for (i = 0; i < TW_MESSAGE_RANGES_MAX; i++) {
		many[i].start = i * (UINT64_C(1) << 50) + (UINT64_C(1) << 49);
		many[i].end = many[i].start + (UINT64_C(1) << 49);
	}
	length = tw_message_write(&message, bytes, sizeof(bytes));
	assert_true(length > 0 && length <= TW_MESSAGE_ROOM);
	assert_int_equal(tw_message_read(bytes, length, &back, &taken), 0);
	for (i = 0; tw_message_next_range(&back, &range); i++)
		assert_memory_equal(&range, &many[i], sizeof(range));
	assert_int_equal(i, TW_MESSAGE_RANGES_MAX);
}

static void digest_records(void **state)
{
	static struct tw_digest digests[TW_DIGEST_RECORD_CHUNKS];
	static uint8_t bytes[TW_DIGEST_RECORD_MAX];
	static const uint8_t none[] = { 0x00, 0x00 };
	static const uint8_t many[] = { 0x00, 0x44, 0x01 };
	struct tw_digest_record record;
	size_t length, taken, cut;

	(void)state;
	memset(digests, 7, sizeof(digests));
	length = tw_digest_record_write(TW_VARINT_MAX - TW_DIGEST_RECORD_CHUNKS, digests,
					TW_DIGEST_RECORD_CHUNKS, bytes, sizeof(bytes));
	assert_true(length > 0);
	assert_int_equal(tw_digest_record_read(bytes, length, &record, &taken), 0);
	assert_int_equal(taken, length);
	assert_int_equal(record.count, TW_DIGEST_RECORD_CHUNKS);
	assert_memory_equal(record.digests, digests, sizeof(digests));
	for (cut = 0; cut < length; cut += 100)
		assert_int_equal(tw_digest_record_read(guarded_copy(&guarded, bytes, cut), cut,
						       &record, &taken),
				 TW_E_AGAIN);
	assert_int_equal(tw_digest_record_read(none, sizeof(none), &record, &taken), TW_E_FORMAT);
	assert_int_equal(tw_digest_record_read(many, sizeof(many), &record, &taken), TW_E_FORMAT);
}

/* Damaged messages are refused or read as something within bounds; nothing else happens. */
static void damaged(void **state)
{
	struct tw_message all[24], back;
	struct tw_prng prng;
	size_t count = examples(all), length, taken, refusals = 0;
	uint8_t bytes[512];
	int i, error;

	(void)state;
	tw_prng_init(&prng, 42);
	for (i = 0; i < 200000; i++) {
		struct tw_range range, before = { 0, 0 };

		length = tw_message_write(&all[tw_prng_below(&prng, count)], bytes, sizeof(bytes));
		bytes[tw_prng_below(&prng, length)] = (uint8_t)tw_prng_u64(&prng);
		bytes[tw_prng_below(&prng, length)] = (uint8_t)tw_prng_u64(&prng);
		error = tw_message_read(guarded_copy(&guarded, bytes, length), length, &back,
					&taken);
		refusals += error == TW_E_FORMAT;
		if (error)
			continue;
		assert_true(taken <= length && back.transfer <= TW_SESSION_NUMBER_MAX);
		if (back.type != TW_MESSAGE_HELD && back.type != TW_MESSAGE_AGAIN)
			continue;
		while (tw_message_next_range(&back, &range)) {
			assert_true(range.start >= before.end && range.start < range.end);
			before = range;
		}
	}
	assert_true(refusals > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors),        cmocka_unit_test(there_and_back),
		cmocka_unit_test(cut_inside),     cmocka_unit_test(lanes),
		cmocka_unit_test(passed_over),    cmocka_unit_test(refused),
		cmocka_unit_test(refused_offers), cmocka_unit_test(most_ranges),
		cmocka_unit_test(digest_records), cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, guard_up, guard_down);
}
