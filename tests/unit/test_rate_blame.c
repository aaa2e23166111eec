/*
 * Whose loss it is: round trips of a path whose own loss, policer and rate the test sets.
 */
#include "unit.h"

#include "base/random.h"
#include "rate/blame.h"
#include "rate/units.h"

#define MBIT UINT64_C(1000000)
#define RTT (100 * TW_MSEC)
#define DATAGRAM 1250u
#define ACKS 8 /* in a round trip */

struct scene {
	struct tw_blame blame;
	struct tw_prng prng;
	tw_ns now;
	double loss, burst; /* of the path */
	uint64_t most_bps;  /* a policer lets through; 0: all */
	bool bad;
};

static void begin(struct scene *scene, double loss, double burst, uint64_t most_bps)
{
	*scene = (struct scene){
		.now = TW_SECOND, .loss = loss, .burst = burst, .most_bps = most_bps
	};
	tw_prng_init(&scene->prng, 1);
	tw_blame_begin(&scene->blame, scene->now);
}

static bool is_lost(struct scene *scene, double policed)
{
	double enter = scene->loss / (scene->burst * (1 - scene->loss));

	scene->bad = tw_prng_unit(&scene->prng) < (scene->bad ? 1 - 1 / scene->burst : enter);
	return scene->bad || tw_prng_unit(&scene->prng) < policed;
}

/* Sends a round trip at @rate_bps; the last verdict other than none. */
static enum tw_blame_verdict go(struct scene *scene, uint64_t rate_bps, bool queued)
{
	uint64_t packets = tw_rate_bytes(rate_bps, RTT) / DATAGRAM / ACKS;
	double policed = scene->most_bps > 0 && rate_bps > scene->most_bps
				 ? 1 - (double)scene->most_bps / (double)rate_bps
				 : 0;
	enum tw_blame_verdict verdict = TW_BLAME_NONE, one;

	for (unsigned i = 1; i <= ACKS; i++) {
		struct tw_rate_sample sample = { .round_start = i == ACKS };

		sample.now = scene->now += RTT / ACKS;
		for (uint64_t packet = 0; packet < packets; packet++)
			if (is_lost(scene, policed))
				sample.lost_packets++;
			else
				sample.acked_packets++;
		sample.lost_bytes = sample.lost_packets * DATAGRAM;
		sample.acked_bytes = sample.acked_packets * DATAGRAM;
		one = tw_blame_sample(&scene->blame, &sample, queued);
		if (one != TW_BLAME_NONE)
			verdict = one;
	}
	return verdict;
}

/* A path that always lost, in bursts: growing shows it, and then nothing is anybody's. */
static void test_path(void **state)
{
	enum tw_blame_verdict verdict = TW_BLAME_NONE;
	struct scene scene;

	(void)state;
	begin(&scene, 0.1, 5, 0);
	for (unsigned i = 0; i < 8 && verdict == TW_BLAME_NONE; i++)
		verdict = go(&scene, 100 * MBIT + i * 8 * MBIT, false);
	assert_int_equal(verdict, TW_BLAME_PATH);
	assert_true(scene.blame.known);
	for (unsigned i = 0; i < 40; i++)
		assert_int_not_equal(go(&scene, 130 * MBIT, false), TW_BLAME_OURS);
	assert_true(scene.blame.base > 0.07 && scene.blame.base < 0.13);
}

/* A policer that the rate grows into. */
static void test_policer(void **state)
{
	enum tw_blame_verdict verdict = TW_BLAME_NONE;
	struct scene scene;
	double most;

	(void)state;
	begin(&scene, 0, 1, 100 * MBIT);
	for (unsigned i = 0; i < 12 && verdict == TW_BLAME_NONE; i++)
		verdict = go(&scene, 90 * MBIT + i * 5 * MBIT, false);
	assert_int_equal(verdict, TW_BLAME_OURS);
	assert_true(tw_blame_got(&scene.blame, 2, &most) > 95e6 && most < 105e6);
	tw_blame_hold(&scene.blame);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(go(&scene, 95 * MBIT, false), TW_BLAME_NONE);
	assert_true(scene.blame.base < 0.02);
}

/* The same from far above it: nobody knows at first, what growing does tells. */
static void test_far_above(void **state)
{
	enum tw_blame_verdict verdict = TW_BLAME_NONE;
	struct scene scene;

	(void)state;
	begin(&scene, 0, 1, 100 * MBIT);
	for (unsigned i = 0; i < 8 && verdict == TW_BLAME_NONE; i++)
		verdict = go(&scene, 150 * MBIT + i * 10 * MBIT, false);
	assert_int_equal(verdict, TW_BLAME_OURS);
}

/* A path begins to lose: that is ours until sending less does not help. It stops: known at once. */
static void test_sets_in(void **state)
{
	enum tw_blame_verdict verdict = TW_BLAME_NONE;
	struct scene scene;

	(void)state;
	begin(&scene, 0.01, 1, 0);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(go(&scene, 100 * MBIT, false), TW_BLAME_NONE);
	scene.loss = 0.3;
	for (unsigned i = 0; i < 4 && verdict == TW_BLAME_NONE; i++)
		verdict = go(&scene, 100 * MBIT, false);
	assert_int_equal(verdict, TW_BLAME_OURS);
	tw_blame_hold(&scene.blame);
	verdict = TW_BLAME_NONE;
	for (unsigned i = 0; i < 5 && verdict == TW_BLAME_NONE; i++)
		verdict = go(&scene, 66 * MBIT, false);
	assert_int_equal(verdict, TW_BLAME_PATH);
	assert_true(scene.blame.base > 0.25 && scene.blame.base < 0.35);
	scene.loss = 0.01;
	for (unsigned i = 0; i < 3; i++)
		go(&scene, 100 * MBIT, false);
	assert_true(scene.blame.base < 0.03);
}

/* What is lost with a queue is the queue's; another path starts from nothing. */
static void test_queue(void **state)
{
	struct scene scene;

	(void)state;
	begin(&scene, 0, 1, 100 * MBIT);
	for (unsigned i = 0; i < 4; i++)
		go(&scene, 90 * MBIT, false);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(go(&scene, 140 * MBIT, true), TW_BLAME_NONE);
	assert_true(scene.blame.spilled && scene.blame.known && scene.blame.base < 0.01);
	tw_blame_forget(&scene.blame);
	assert_false(scene.blame.known);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path),      cmocka_unit_test(test_policer),
		cmocka_unit_test(test_far_above), cmocka_unit_test(test_sets_in),
		cmocka_unit_test(test_queue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
