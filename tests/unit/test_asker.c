/* test_asker.c - who waits behind whom. */
#include "unit.h"

#include <semaphore.h>

#include "api/asker.h"

static sem_t let_go;
static unsigned guessed, found;

/* PAM takes its time. */
static int slow_check(struct tw_accounts *accounts, const char *user, const char *password,
		      struct tw_account *ret)
{
	(void)accounts;
	(void)user;
	(void)password;
	(void)ret;
	while (sem_wait(&let_go))
		continue;
	return -EACCES;
}

static int quick_find(struct tw_accounts *accounts, const char *user, struct tw_account *ret)
{
	(void)accounts;
	(void)user;
	*ret = (struct tw_account){ .uid = 7 };
	return 0;
}

static void on_guessed(void *context, int r, const struct tw_account *account)
{
	(void)context;
	(void)account;
	assert_int_equal(r, -EACCES);
	guessed++;
}

static void on_found(void *context, int r, const struct tw_account *account)
{
	(void)context;
	assert_int_equal(r, 0);
	assert_int_equal(account->uid, 7);
	found++;
}

/* As many guesses as there may be at a time, none of them answered: whoever has a session, or came
 * by the Unix socket, is. */
static void test_guesses_hold_up_nobody_else(void **state)
{
	static const struct tw_accounts_ops ops = { .check = slow_check, .find = quick_find };
	struct tw_accounts accounts = { &ops };
	struct event_base *base = event_base_new();
	struct tw_asker *asker;
	unsigned guesses = 0;

	(void)state;
	assert_int_equal(sem_init(&let_go, 0, 0), 0);
	assert_int_equal(tw_asker_new(base, &accounts, &asker), 0);
	while (guesses <= TW_ASKER_QUESTIONS_MAX &&
	       tw_ask_check(asker, "somebody", "guess", on_guessed, NULL))
		guesses++;
	assert_int_equal(guesses, TW_ASKER_QUESTIONS_MAX / 2);
	for (unsigned i = 0; i < 20; i++)
		assert_non_null(tw_ask_find(asker, "somebody", on_found, NULL));
	while (found < 20)
		event_base_loop(base, EVLOOP_ONCE);
	assert_int_equal(guessed, 0);
	for (unsigned i = 0; i < guesses; i++)
		sem_post(&let_go);
	while (guessed < guesses)
		event_base_loop(base, EVLOOP_ONCE);
	/* There is room again. */
	sem_post(&let_go);
	assert_non_null(tw_ask_check(asker, "somebody", "guess", on_guessed, NULL));
	while (guessed <= guesses)
		event_base_loop(base, EVLOOP_ONCE);
	tw_asker_free(asker);
	event_base_free(base);
	sem_destroy(&let_go);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_guesses_hold_up_nobody_else) };

	return cmocka_run_group_tests_name("asker", tests, NULL, NULL);
}
