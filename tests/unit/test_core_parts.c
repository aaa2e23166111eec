/*
 * The organs of a connection one by one: acknowledgement tracker, sent map, path MTU search, table
 * of ids, streams.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/random.h"
#include "core/ack.h"
#include "core/cid.h"
#include "core/mtu.h"
#include "core/sent.h"
#include "core/stream.h"
#include "core/table.h"

static void test_ack_repeats(void **state)
{
	(void)state;
	struct tw_ack_tracker tracker;
	tw_ack_tracker_init(&tracker);
	assert_true(tw_ack_tracker_fresh(&tracker, 0));
	for (uint64_t number = 0; number < 100; number += 2)
		assert_int_equal(tw_ack_tracker_add(&tracker, number, true, number), 0);
	for (uint64_t number = 0; number < 100; number++)
		assert_int_equal(tw_ack_tracker_fresh(&tracker, number), number % 2);
	/* Far ahead: what falls out of the window counts as seen, what stays inside does not. */
	uint64_t far = 4 * TW_ACK_WINDOW;
	assert_int_equal(tw_ack_tracker_add(&tracker, far, true, 0), 0);
	assert_false(tw_ack_tracker_fresh(&tracker, 1));
	assert_true(tw_ack_tracker_fresh(&tracker, far - TW_ACK_WINDOW));
	assert_false(tw_ack_tracker_fresh(&tracker, far - TW_ACK_WINDOW - 1));
	tw_ack_tracker_deinit(&tracker);
}

/* At the worst loss there is too, the whole window is remembered: what came, and what did not. */
static void test_ack_window(void **state)
{
	(void)state;
	struct tw_ack_tracker tracker;
	struct tw_prng prng;
	tw_prng_init(&prng, 1);
	tw_ack_tracker_init(&tracker);
	for (uint64_t number = 0; number <= 3 * TW_ACK_WINDOW; number += 2)
		assert_int_equal(tw_ack_tracker_add(&tracker, number, true, 0), 0);
	assert_true(tracker.received.count * sizeof(struct tw_range) <= (size_t)2400 << 10);
	for (unsigned i = 0; i < 1000000; i++) {
		uint64_t number = tw_prng_below(&prng, 3 * TW_ACK_WINDOW);
		if (tw_ack_tracker_fresh(&tracker, number & ~UINT64_C(1)))
			fail_msg("%lu was taken again", number);
		if (number >= 2 * TW_ACK_WINDOW && !tw_ack_tracker_fresh(&tracker, number | 1))
			fail_msg("%lu was not taken", number | 1);
	}
	tw_ack_tracker_deinit(&tracker);
}

/* Takes in @count packets that ask for an acknowledgement; when is it due? */
static tw_ns due_after(struct tw_ack_tracker *tracker, unsigned count, tw_ns now)
{
	while (count-- > 0)
		assert_int_equal(tw_ack_tracker_add(tracker, tracker->total, true, now), 0);
	return tw_ack_tracker_due(tracker, 200 * TW_MSEC);
}

/* How the first packets come says what the path carries: they are reported early. */
static void test_ack_early(void **state)
{
	const tw_ns at = 2 * TW_SECOND;
	struct tw_ack_tracker tracker;

	(void)state;
	tw_ack_tracker_init(&tracker);
	/* The very first at once. */
	assert_int_equal(due_after(&tracker, 1, at), at);
	tw_ack_tracker_sent(&tracker, at);
	assert_int_equal(due_after(&tracker, TW_ACK_EARLY_FIRST - 1, at), at + TW_ACK_EARLY_MAX);
	assert_int_equal(due_after(&tracker, 1, at), at + TW_ACK_INTERVAL_MIN);
	assert_int_equal(due_after(&tracker, TW_ACK_EARLY_PACKETS, at), at + TW_ACK_INTERVAL_MIN);
	tw_ack_tracker_sent(&tracker, at);
	assert_int_equal(due_after(&tracker, TW_ACK_EARLY_FAST - 1, at), at + TW_ACK_EARLY_MAX);
	assert_int_equal(due_after(&tracker, 1, at), at + TW_ACK_INTERVAL_MIN);
	tw_ack_tracker_sent(&tracker, at);
	/* And after eight round trips as any. */
	assert_int_equal(due_after(&tracker, TW_ACK_EARLY_FAST, at + 2 * TW_SECOND),
			 at + 2 * TW_SECOND + TW_ACK_INTERVAL_MAX);
	tw_ack_tracker_deinit(&tracker);
}

static void test_ack_times(void **state)
{
	(void)state;
	struct tw_ack_tracker tracker;
	tw_ack_tracker_init(&tracker);
	assert_int_equal(tw_ack_tracker_due(&tracker, 80 * TW_MSEC), TW_NEVER);
	assert_int_equal(tw_ack_tracker_add(&tracker, 0, false, 5), 0);
	assert_int_equal(tw_ack_tracker_due(&tracker, 80 * TW_MSEC), TW_NEVER);
	for (uint64_t number = 1; number < 1000; number++)
		assert_int_equal(tw_ack_tracker_add(&tracker, number, true, 2 * TW_SECOND), 0);
	assert_int_equal(tw_ack_tracker_due(&tracker, 80 * TW_MSEC), 2 * TW_SECOND + 10 * TW_MSEC);
	assert_int_equal(tw_ack_tracker_due(&tracker, 0), 2 * TW_SECOND + TW_ACK_INTERVAL_MIN);
	assert_int_equal(tw_ack_tracker_due(&tracker, 240 * TW_MSEC),
			 2 * TW_SECOND + TW_ACK_INTERVAL_MAX);
	tw_ack_tracker_sent(&tracker, 2 * TW_SECOND);
	assert_int_equal(tw_ack_tracker_due(&tracker, 80 * TW_MSEC), TW_NEVER);
	/* A few packets wait twice as long. */
	assert_int_equal(tw_ack_tracker_add(&tracker, 1000, true, 3 * TW_SECOND), 0);
	assert_int_equal(tw_ack_tracker_due(&tracker, 80 * TW_MSEC), 3 * TW_SECOND + 20 * TW_MSEC);
	/* Where packets get lost the last word is said four times, or until it has been heard. */
	tw_ack_tracker_sent(&tracker, 3 * TW_SECOND);
	assert_int_equal(tw_ack_tracker_add(&tracker, 1010, true, 3 * TW_SECOND), 0);
	for (tw_ns said = 1; said <= 4; said++) {
		tw_ack_tracker_sent(&tracker, 3 * TW_SECOND + said * TW_MSEC);
		assert_int_equal(tw_ack_tracker_due(&tracker, 80 * TW_MSEC),
				 said == 4 ? TW_NEVER : 3 * TW_SECOND + (10 + said) * TW_MSEC);
	}
	assert_int_equal(tw_ack_tracker_add(&tracker, 1011, true, 3500 * TW_MSEC), 0);
	tw_ack_tracker_sent(&tracker, 3500 * TW_MSEC);
	tw_ack_tracker_confirmed(&tracker, 1010);
	assert_int_equal(tw_ack_tracker_due(&tracker, 80 * TW_MSEC), 3510 * TW_MSEC);
	tw_ack_tracker_confirmed(&tracker, 1011);
	assert_int_equal(tw_ack_tracker_due(&tracker, 80 * TW_MSEC), TW_NEVER);
	/* What comes after a long silence is answered once. */
	assert_int_equal(tw_ack_tracker_add(&tracker, 1020, true, 9 * TW_SECOND), 0);
	tw_ack_tracker_sent(&tracker, 9 * TW_SECOND);
	assert_int_equal(tw_ack_tracker_due(&tracker, 80 * TW_MSEC), TW_NEVER);
	tw_ack_tracker_deinit(&tracker);
}

static void test_ack_frames(void **state)
{
	(void)state;
	static struct tw_ack_frame frame;
	struct tw_ack_tracker tracker;
	tw_ack_tracker_init(&tracker);
	assert_false(tw_ack_tracker_frame(&tracker, 0, &frame));
	for (uint64_t number = 0; number < 30; number++) {
		if (number % 10 != 9)
			assert_int_equal(
				tw_ack_tracker_add(&tracker, number, true, number * TW_USEC), 0);
	}
	assert_true(tw_ack_tracker_frame(&tracker, 40 * TW_USEC, &frame));
	assert_int_equal(frame.range_count, 3);
	assert_int_equal(frame.largest, 28);
	assert_int_equal(frame.receive_time_us, 28);
	assert_int_equal(frame.delay_us, 12);
	assert_int_equal(frame.ranges[0].start, 20);
	assert_int_equal(frame.ranges[2].end, 9);
	/* What the peer has heard of is not said again, until something below turns up late. */
	tw_ack_tracker_confirmed(&tracker, 18);
	assert_true(tw_ack_tracker_frame(&tracker, 0, &frame));
	assert_int_equal(frame.range_count, 1);
	assert_int_equal(tw_ack_tracker_add(&tracker, 9, true, 0), 0);
	assert_true(tw_ack_tracker_frame(&tracker, 0, &frame));
	assert_int_equal(frame.range_count, 2);
	assert_int_equal(frame.ranges[1].start, 0);
	assert_int_equal(frame.ranges[1].end, 19);
	tw_ack_tracker_deinit(&tracker);
}

static void test_sent_map(void **state)
{
	(void)state;
	struct tw_sent_map map;
	tw_sent_map_init(&map);
	uint64_t number;
	for (uint64_t i = 0; i < 5000; i++) {
		assert_int_equal(tw_sent_map_reserve(&map, 1), 0);
		struct tw_sent *sent = tw_sent_map_push(&map, &number);
		assert_int_equal(number, i);
		sent->sent_at = i;
		sent->state = i % 3 ? TW_SENT_FLIGHT : TW_SENT_IDLE;
		if (i % 7 == 0)
			tw_sent_map_trim(&map, 0);
	}
	for (uint64_t i = map.base; i < map.next; i++)
		assert_int_equal(tw_sent_map_get(&map, i)->sent_at, i);
	for (uint64_t i = map.base; i < map.next; i++)
		tw_sent_map_get(&map, i)->state = TW_SENT_LOST;
	tw_sent_map_trim(&map, 3000);
	assert_int_equal(map.base, 3000);
	assert_int_equal(tw_sent_map_reserve(&map, TW_SENT_MAX), TW_E_FULL);
	tw_sent_map_deinit(&map);
}

/* Searches on a path that carries @limit bytes; returns what was found, counts probes. */
static uint32_t search(struct tw_mtu *mtu, uint32_t limit, unsigned *ret_probes)
{
	unsigned probes = 0;
	uint32_t size;
	while ((size = tw_mtu_wants(mtu, 0)) && probes < 1000) {
		tw_mtu_sent(mtu, size);
		assert_int_equal(tw_mtu_wants(mtu, 0), 0);
		probes++;
		if (size <= limit)
			tw_mtu_probe_acked(mtu, size, 0);
		else
			tw_mtu_probe_lost(mtu, size, 0);
	}
	*ret_probes = probes;
	return mtu->current;
}

static void test_mtu(void **state)
{
	(void)state;
	static const struct {
		uint32_t limit, max, found;
		unsigned probes_max;
	} cases[] = {
		{ 1200, 8972, 1200, 20 }, { 1472, 8972, 1472, 20 }, { 1452, 8972, 1452, 20 },
		{ 8972, 8972, 8972, 2 },  { 8952, 8972, 8952, 20 }, { 1472, 1472, 1472, 1 },
		{ 9000, 4100, 4048, 8 },  { 1250, 8972, 1232, 20 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tw_mtu mtu;
		unsigned probes;
		tw_mtu_init(&mtu, cases[i].max, 0);
		assert_int_equal(mtu.current, TW_MTU_BASE);
		assert_int_equal(search(&mtu, cases[i].limit, &probes), cases[i].found);
		assert_true(probes <= cases[i].probes_max);
		/* Later it looks upward again. */
		if (cases[i].found < 8972 && cases[i].max == 8972) {
			assert_int_equal(tw_mtu_deadline(&mtu), TW_MTU_RAISE);
			assert_true(tw_mtu_wants(&mtu, TW_MTU_RAISE) > cases[i].found);
		}
	}
}

static void test_mtu_black_hole(void **state)
{
	(void)state;
	struct tw_mtu mtu;
	unsigned probes;
	tw_mtu_init(&mtu, 8972, 0);
	assert_int_equal(search(&mtu, 8972, &probes), 8972);
	for (unsigned i = 0; i < TW_MTU_BLACK_HOLE - 1; i++)
		assert_false(tw_mtu_packet_lost(&mtu, 8972, 0));
	tw_mtu_packet_acked(&mtu, 1000);
	tw_mtu_packet_acked(&mtu, 8972);
	for (unsigned i = 0; i < TW_MTU_BLACK_HOLE - 1; i++)
		assert_false(tw_mtu_packet_lost(&mtu, 8972, 0));
	assert_true(tw_mtu_packet_lost(&mtu, 8972, 0));
	assert_int_equal(mtu.current, TW_MTU_BASE);
	assert_int_equal(search(&mtu, 1472, &probes), 1472);
	/* The system's own refusal of what was in use. */
	assert_true(tw_mtu_too_long(&mtu, 1472, 0));
	assert_int_equal(search(&mtu, 1412, &probes), 1412);
}

static void test_table(void **state)
{
	(void)state;
	struct tw_table table;
	struct tw_prng prng;
	static uint64_t keys[2000];
	tw_prng_init(&prng, 3);
	tw_table_init(&table, 77);
	assert_null(tw_table_get(&table, 1));
	tw_table_remove(&table, 1);
	for (size_t i = 0; i < 2000; i++) {
		keys[i] = tw_prng_u64(&prng);
		assert_int_equal(tw_table_put(&table, keys[i], &keys[i]), 0);
	}
	assert_int_equal(tw_table_put(&table, keys[5], &keys[5]), -EEXIST);
	for (size_t i = 0; i < 2000; i += 2)
		tw_table_remove(&table, keys[i]);
	for (size_t i = 0; i < 2000; i++)
		assert_ptr_equal(tw_table_get(&table, keys[i]), i % 2 ? &keys[i] : NULL);
	assert_int_equal(table.count, 1000);
	tw_table_deinit(&table);
}

/* The longest row of places that are taken: as far as anybody may have to look. */
static size_t longest_row(const struct tw_table *table)
{
	size_t longest = 0, row = 0;

	for (size_t i = 0; i < 2 * table->size; i++) {
		row = table->slots[i % table->size].value ? row + 1 : 0;
		longest = row > longest ? row : longest;
	}
	return longest;
}

/*
 * Ids that were chosen to fall on one place: those that differ in the same bits of both halves, and
 * in none of the low ones. Who does not know the secret gains nothing by it.
 */
static void test_chosen_ids(void **state)
{
	(void)state;
	for (uint64_t secret = 1; secret <= 3; secret++) {
		struct tw_table table;

		tw_table_init(&table, secret * UINT64_C(0x9e3779b97f4a7c15));
		for (uint64_t i = 0; i < 4096; i++) {
			uint64_t id = UINT64_C(0x0123456789abcdef) ^ (i << 52 | i << 20);

			assert_int_equal(tw_table_put(&table, id, &table), 0);
		}
		assert_in_range(longest_row(&table), 1, 200);
		tw_table_deinit(&table);
	}
}

/* Two halves of a stream with pieces lost, repeated and out of order; windows held. */
/* Ids are all different and pass; of invented ones, or with another salt, one in 4096 does. */
static void test_cid(void **state)
{
	enum { IDS = 40960 };
	static uint64_t ids[IDS];
	struct tw_prng prng;
	struct tw_random random = tw_prng_random(&prng);
	struct tw_cid_salt salt, other;
	struct tw_table table;
	unsigned passed = 0, foreign = 0, flipped = 0;

	(void)state;
	tw_prng_init(&prng, 3);
	tw_cid_salt_init(&salt, &random);
	tw_cid_salt_init(&other, &random);
	tw_table_init(&table, 0);
	for (unsigned i = 0; i < IDS; i++) {
		ids[i] = tw_cid_make(&salt, &random);
		assert_true(ids[i]);
		assert_true(tw_cid_marked(&salt, ids[i]));
		assert_int_equal(tw_table_put(&table, ids[i], ids), 0);
		passed += tw_cid_marked(&salt, tw_prng_u64(&prng));
		foreign += tw_cid_marked(&other, ids[i]);
		flipped += tw_cid_marked(&salt, ids[i] ^ 1ULL << i % 64);
	}
	tw_table_deinit(&table);
	assert_in_range(passed, 1, 30);
	assert_in_range(foreign, 1, 30);
	assert_in_range(flipped, 0, IDS / 50);
}

static void test_streams_at_random(void **state)
{
	(void)state;
	enum { LENGTH = 1500000 };
	uint8_t *sent = malloc(LENGTH), *got = malloc(LENGTH);
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct tw_prng prng;
		struct tw_stream_table out, in;
		size_t written = 0, read = 0;
		bool ended = false;
		tw_prng_init(&prng, seed);
		tw_stream_table_init(&out);
		tw_stream_table_init(&in);
		for (size_t i = 0; i < LENGTH; i++)
			sent[i] = (uint8_t)tw_prng_u64(&prng);
		struct tw_send_stream *sender = tw_send_stream_open(&out, 9, TW_STREAM_BUFFER);
		struct tw_receive_stream *receiver = NULL;
		for (unsigned turn = 0; !ended; turn++) {
			assert_true(turn < 1000000);
			written += tw_send_stream_write(sender, sent + written, LENGTH - written);
			sender->finished = written == LENGTH;
			struct tw_range piece;
			bool last;
			uint8_t bytes[1400];
			if (tw_send_stream_next(sender, 1 + tw_prng_below(&prng, sizeof(bytes)),
						&piece, &last)) {
				assert_true(piece.end <= sender->window);
				tw_send_stream_take(sender, &piece, last, bytes);
				uint64_t length = piece.end - piece.start;
				uint64_t fate = tw_prng_below(&prng, 10);
				if (fate < 8)
					assert_int_equal(tw_receive_stream_add(&in, 9, &piece,
									       bytes, last,
									       &receiver),
							 0);
				/* Fate 7: it arrived, but is taken for lost. */
				if (fate < 7)
					assert_int_equal(tw_send_stream_acked(sender, piece.start,
									      length, last),
							 0);
				else
					assert_int_equal(tw_send_stream_lost(sender, piece.start,
									     length, last),
							 0);
			}
			if (receiver && tw_prng_below(&prng, 4) == 0) {
				read += tw_receive_stream_read(receiver, got + read, LENGTH - read,
							       &ended);
				if (receiver->window_owed)
					sender->window = receiver->window;
			}
		}
		assert_int_equal(read, LENGTH);
		assert_memory_equal(sent, got, LENGTH);
		tw_receive_stream_drop(&in, receiver);
		struct tw_range end = { LENGTH, LENGTH };
		assert_int_equal(tw_receive_stream_add(&in, 9, &end, sent, true, &receiver),
				 TW_E_END);
		tw_send_streams_deinit(&out);
		tw_receive_streams_deinit(&in);
	}
	free(sent);
	free(got);
}

static void test_stream_refusals(void **state)
{
	(void)state;
	struct tw_stream_table in;
	struct tw_receive_stream *stream;
	static uint8_t bytes[100];
	tw_stream_table_init(&in);
	struct tw_range beyond = { TW_STREAM_BUFFER - 50, TW_STREAM_BUFFER + 50 };
	assert_int_equal(tw_receive_stream_add(&in, 1, &beyond, bytes, false, &stream),
			 TW_E_FORMAT);
	struct tw_range first = { 0, 100 }, second = { 100, 150 };
	assert_int_equal(tw_receive_stream_add(&in, 1, &second, bytes, false, &stream), 0);
	assert_int_equal(tw_receive_stream_add(&in, 1, &first, bytes, true, &stream), TW_E_FORMAT);
	assert_int_equal(tw_receive_stream_add(&in, 1, &second, bytes, true, &stream), 0);
	struct tw_range third = { 140, 160 };
	assert_int_equal(tw_receive_stream_add(&in, 1, &third, bytes, false, &stream), TW_E_FORMAT);
	for (uint64_t id = 2; id < TW_STREAMS_MAX + 1; id++)
		assert_int_equal(tw_receive_stream_add(&in, id, &first, bytes, false, &stream), 0);
	assert_int_equal(tw_receive_stream_add(&in, TW_STREAMS_MAX + 1, &first, bytes, false,
					       &stream),
			 TW_E_FULL);
	tw_receive_streams_deinit(&in);
}

/* 100 000 streams one after the other, some numbers left out: all that ended stay ended, and the
 * memory of them does not grow. */
static void test_streams_without_end(void **state)
{
	(void)state;
	const struct tw_range nothing = { 0, 0 };
	struct tw_stream_table out, in;
	struct tw_receive_stream *receiver;
	const uint64_t count = 100000;
	tw_stream_table_init(&out);
	tw_stream_table_init(&in);
	for (uint64_t id = 0; id < count; id++) {
		if (id % 5 == 3)
			continue;
		struct tw_send_stream *sender = tw_send_stream_open(&out, id, TW_STREAM_BUFFER);
		assert_non_null(sender);
		tw_send_stream_drop(&out, sender);
		assert_int_equal(tw_receive_stream_add(&in, id, &nothing, NULL, true, &receiver),
				 0);
		tw_receive_stream_drop(&in, receiver);
	}
	assert_int_equal(in.count + out.count, 0);
	assert_true(in.over.count <= TW_STREAMS_OVER_MAX);
	assert_true(out.over.count <= TW_STREAMS_OVER_MAX);
	for (uint64_t id = 0; id < count; id++) {
		if (id % 5 == 3 && id >= 1000)
			continue;
		assert_int_equal(tw_receive_stream_add(&in, id, &nothing, NULL, true, &receiver),
				 TW_E_END);
		assert_null(tw_send_stream_open(&out, id, TW_STREAM_BUFFER));
	}
	tw_send_streams_deinit(&out);
	tw_receive_streams_deinit(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ack_repeats),
		cmocka_unit_test(test_ack_window),
		cmocka_unit_test(test_ack_times),
		cmocka_unit_test(test_ack_early),
		cmocka_unit_test(test_ack_frames),
		cmocka_unit_test(test_sent_map),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_mtu_black_hole),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_chosen_ids),
		cmocka_unit_test(test_cid),
		cmocka_unit_test(test_streams_at_random),
		cmocka_unit_test(test_stream_refusals),
		cmocka_unit_test(test_streams_without_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
