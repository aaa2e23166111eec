#include "unit.h"

#include <unistd.h>

#include "engine/pool.h"

#define JOBS 200

struct work {
	struct tw_pool_job job;
	unsigned *order;
	unsigned seen, done;
	bool ran, hold;
};

static struct work *of(struct tw_pool_job *job)
{
	return (struct work *)job;
}

static void run(struct tw_pool_job *job)
{
	struct work *work = of(job);

	work->seen++;
	while (work->hold && !tw_pool_cancelled(job))
		usleep(100);
}

static void done(struct tw_pool_job *job)
{
	struct work *work = of(job);

	work->done++;
	work->ran = tw_pool_ran(job);
	if (work->order)
		(*work->order)++;
}

static void loop_until(struct event_base *base, const unsigned *count, unsigned wanted)
{
	while (*count < wanted)
		event_base_loop(base, EVLOOP_ONCE);
}

static void test_every_job_comes_back_once(void **state)
{
	struct event_base *base = event_base_new();
	static struct work works[JOBS];
	struct tw_pool *pool;
	unsigned count = 0;

	(void)state;
	assert_int_equal(tw_pool_new(base, 3, &pool), 0);
	for (unsigned i = 0; i < JOBS; i++) {
		works[i] = (struct work){ .job = { .run = run, .done = done }, .order = &count };
		tw_pool_submit(pool, &works[i].job);
	}
	loop_until(base, &count, JOBS);
	for (unsigned i = 0; i < JOBS; i++) {
		assert_int_equal(works[i].seen, 1);
		assert_int_equal(works[i].done, 1);
		assert_true(works[i].ran);
	}
	assert_int_equal(tw_pool_count(pool), 0);
	tw_pool_free(pool);
	event_base_free(base);
}

static void test_cancel(void **state)
{
	struct event_base *base = event_base_new();
	struct work first = { .job = { .run = run, .done = done }, .hold = true };
	struct work second = { .job = { .run = run, .done = done } };
	struct tw_pool *pool;
	unsigned count = 0;

	(void)state;
	first.order = second.order = &count;
	assert_int_equal(tw_pool_new(base, 1, &pool), 0);
	tw_pool_submit(pool, &first.job);
	tw_pool_submit(pool, &second.job);
	/* The second one cannot have begun: the only thread holds the first one. */
	tw_pool_cancel(&second.job);
	tw_pool_cancel(&first.job);
	loop_until(base, &count, 2);
	assert_int_equal(second.seen, 0);
	assert_false(second.ran);
	tw_pool_free(pool);
	event_base_free(base);
}

/* What one owner has waits for storage that does not answer: others go on, and he does as soon as
 * some of it comes back. */
static void test_owners(void **state)
{
	struct event_base *base = event_base_new();
	struct work others = { .job = { .run = run, .done = done, .owner = tw_pool_owner("b") } };
	struct work nobodys = { .job = { .run = run, .done = done } };
	static struct work works[6];
	struct tw_pool *pool;
	unsigned count = 0, stuck = 0;

	(void)state;
	others.order = nobodys.order = &count;
	assert_int_equal(tw_pool_new(base, 4, &pool), 0);
	for (unsigned i = 0; i < 6; i++) {
		works[i] = (struct work){ .job = { .run = run, .done = done }, .hold = true };
		works[i].job.owner = tw_pool_owner("a");
		works[i].order = &stuck;
		tw_pool_submit(pool, &works[i].job);
	}
	tw_pool_submit(pool, &others.job);
	tw_pool_submit(pool, &nobodys.job);
	loop_until(base, &count, 2);
	assert_true(others.ran && nobodys.ran);
	assert_int_equal(tw_pool_count(pool), 6);
	/* One that was cancelled while it waited is not run; the others come after one another. */
	tw_pool_cancel(&works[5].job);
	for (unsigned i = 0; i < 5; i++) {
		tw_pool_cancel(&works[i].job);
		loop_until(base, &stuck, i + 1);
	}
	loop_until(base, &stuck, 6);
	assert_false(works[5].ran);
	tw_pool_free(pool);
	event_base_free(base);
}

static void test_free_brings_everything_back(void **state)
{
	struct event_base *base = event_base_new();
	static struct work works[10];
	struct tw_pool *pool;

	(void)state;
	assert_int_equal(tw_pool_new(base, 2, &pool), 0);
	for (unsigned i = 0; i < 10; i++) {
		works[i] = (struct work){ .job = { .run = run, .done = done }, .hold = true };
		tw_pool_submit(pool, &works[i].job);
	}
	tw_pool_free(pool);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(works[i].done, 1);
		assert_int_equal(works[i].ran, works[i].seen == 1);
	}
	event_base_free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_job_comes_back_once),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_free_brings_everything_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
