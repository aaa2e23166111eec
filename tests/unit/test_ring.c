#include "unit.h"

#include <pthread.h>
#include <sched.h>

#include "base/ring.h"

struct item {
	uint64_t number, square;
	uint8_t tail[3];
};

static void test_bounds(void **state)
{
	struct tw_ring ring;
	uint32_t value;

	(void)state;
	assert_int_equal(tw_ring_init(&ring, sizeof(value), 4), 0);
	for (uint32_t round = 0; round < 10; round++) {
		for (uint32_t i = 0; i < 4; i++) {
			value = round * 4 + i;
			assert_true(tw_ring_push(&ring, &value));
			assert_int_equal(tw_ring_count(&ring), i + 1);
		}
		assert_false(tw_ring_push(&ring, &value));
		for (uint32_t i = 0; i < 4; i++) {
			assert_true(tw_ring_pop(&ring, &value));
			assert_int_equal(value, round * 4 + i);
		}
		value = 99;
		assert_false(tw_ring_pop(&ring, &value));
		assert_int_equal(value, 99);
		assert_int_equal(tw_ring_count(&ring), 0);
	}
	tw_ring_deinit(&ring);
}

/* Positions that pass the largest number go on as before. */
static void test_wrap(void **state)
{
	struct tw_ring ring;
	uint16_t value;

	(void)state;
	assert_int_equal(tw_ring_init(&ring, sizeof(value), 8), 0);
	atomic_store(&ring.head, SIZE_MAX - 2);
	atomic_store(&ring.tail, SIZE_MAX - 2);
	for (value = 0; value < 8; value++)
		assert_true(tw_ring_push(&ring, &value));
	assert_false(tw_ring_push(&ring, &value));
	assert_int_equal(tw_ring_count(&ring), 8);
	for (uint16_t i = 0; i < 8; i++) {
		assert_true(tw_ring_pop(&ring, &value));
		assert_int_equal(value, i);
	}
	assert_false(tw_ring_pop(&ring, &value));
	tw_ring_deinit(&ring);
}

static void test_too_large(void **state)
{
	struct tw_ring ring;

	(void)state;
	assert_int_equal(tw_ring_init(&ring, SIZE_MAX / 4, 16), -ENOMEM);
	tw_ring_deinit(&ring);
}

#define ITEMS 300000

static void *produce(void *argument)
{
	struct tw_ring *ring = argument;

	for (uint64_t i = 0; i < ITEMS;) {
		struct item item = { i, i * i, { (uint8_t)i, (uint8_t)(i >> 8), 77 } };

		if (tw_ring_push(ring, &item))
			i++;
		else
			sched_yield();
	}
	return NULL;
}

static void test_two_threads(void **state)
{
	struct tw_ring ring;
	pthread_t thread;

	(void)state;
	assert_int_equal(tw_ring_init(&ring, sizeof(struct item), 64), 0);
	assert_int_equal(pthread_create(&thread, NULL, produce, &ring), 0);
	for (uint64_t i = 0; i < ITEMS;) {
		struct item item;

		assert_true(tw_ring_count(&ring) <= 64);
		if (!tw_ring_pop(&ring, &item)) {
			sched_yield();
			continue;
		}
		assert_int_equal(item.number, i);
		assert_int_equal(item.square, i * i);
		assert_int_equal(item.tail[1], (uint8_t)(i >> 8));
		i++;
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(tw_ring_count(&ring), 0);
	tw_ring_deinit(&ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
