#include "api/asker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/secret.h"
#include "engine/password.h"
#include "engine/pool.h"

#define THREADS 8
#define GUESSES_MAX (TW_ASKER_QUESTIONS_MAX / 2)
#define GUESSES 1 /* whose jobs they are, for the pool */

struct tw_asker {
	struct tw_pool *pool;
	struct tw_accounts *accounts;
	size_t count, guesses;
	LIST_HEAD(, tw_question) makings;
};

struct tw_question {
	struct tw_pool_job job; /* first */
	struct tw_asker *asker;
	LIST_ENTRY(tw_question) links; /* of those that make a password */
	uint64_t maker;                /* whose it is; 0: it makes none */
	int (*ask)(struct tw_question *question);
	tw_answered *answered;
	void *context;
	bool forgotten;
	char *user, *password; /* owned; NULL: of no use to it */
	char *made;            /* owned; NULL: nothing yet */
	json_t *groups;        /* owned, a copy: jansson counts without a lock */
	int socket, r;
	struct tw_account account;
};

int tw_asker_new(struct event_base *base, struct tw_accounts *accounts, struct tw_asker **ret)
{
	struct tw_asker *asker = calloc(1, sizeof *asker);
	int r;

	if (!asker)
		return -ENOMEM;
	asker->accounts = accounts;
	LIST_INIT(&asker->makings);
	r = tw_pool_new(base, THREADS, &asker->pool);
	if (r)
		free(asker);
	else
		*ret = asker;
	return r;
}

void tw_asker_free(struct tw_asker *asker)
{
	if (!asker)
		return;
	tw_pool_free(asker->pool);
	free(asker);
}

static void free_text(char *text)
{
	if (text)
		tw_wipe(text, strlen(text));
	free(text);
}

static void free_question(struct tw_question *question)
{
	if (question->socket >= 0)
		close(question->socket);
	free_text(question->password);
	free(question->user);
	free(question->made);
	json_decref(question->groups);
	free(question);
}

static void run(struct tw_pool_job *job)
{
	struct tw_question *question = (struct tw_question *)job;

	question->r = question->ask(question);
}

static void done(struct tw_pool_job *job)
{
	struct tw_question *question = (struct tw_question *)job;

	question->asker->count--;
	question->asker->guesses -= job->owner == GUESSES;
	if (question->maker)
		LIST_REMOVE(question, links);
	if (!question->forgotten && tw_pool_ran(job))
		question->answered(question->context, question->r, &question->account);
	free_question(question);
}

static struct tw_question *begin(struct tw_asker *asker, tw_answered *answered, void *context,
				 int (*ask)(struct tw_question *question))
{
	struct tw_question *question;

	if (asker->count >= TW_ASKER_QUESTIONS_MAX)
		return NULL;
	question = calloc(1, sizeof *question);
	if (!question)
		return NULL;
	*question = (struct tw_question){
		.job = { .run = run, .done = done },
		.asker = asker,
		.ask = ask,
		.answered = answered,
		.context = context,
		.socket = -1,
	};
	return question;
}

static struct tw_question *submit(struct tw_question *question)
{
	question->asker->count++;
	question->asker->guesses += question->job.owner == GUESSES;
	tw_pool_submit(question->asker->pool, &question->job);
	return question;
}

/* A password that is right or not, or is made, which takes as long. */
static struct tw_question *begin_guess(struct tw_asker *asker, tw_answered *answered, void *context,
				       int (*ask)(struct tw_question *question))
{
	struct tw_question *question =
		asker->guesses < GUESSES_MAX ? begin(asker, answered, context, ask) : NULL;

	if (question)
		question->job.owner = GUESSES;
	return question;
}

/* False, and the question is gone: no memory. */
static bool copy_texts(struct tw_question *question, const char *user, const char *password)
{
	question->user = user ? strdup(user) : NULL;
	question->password = password ? strdup(password) : NULL;
	if ((!user || question->user) && (!password || question->password))
		return true;
	free_question(question);
	return false;
}

static struct tw_accounts *accounts_of(const struct tw_question *question)
{
	return question->asker->accounts;
}

static int ask_check(struct tw_question *question)
{
	struct tw_accounts *accounts = accounts_of(question);

	return accounts ? accounts->ops->check(accounts, question->user, question->password,
					       &question->account)
			: -EACCES;
}

struct tw_question *tw_ask_check(struct tw_asker *asker, const char *user, const char *password,
				 tw_answered *answered, void *context)
{
	struct tw_question *question = begin_guess(asker, answered, context, ask_check);

	return question && copy_texts(question, user, password) ? submit(question) : NULL;
}

static int ask_vouch(struct tw_question *question)
{
	struct tw_accounts *accounts = accounts_of(question);

	return accounts ? accounts->ops->vouch(accounts, question->socket, &question->account)
			: -EACCES;
}

struct tw_question *tw_ask_vouch(struct tw_asker *asker, int socket, tw_answered *answered,
				 void *context)
{
	struct tw_question *question = begin(asker, answered, context, ask_vouch);

	if (!question)
		return NULL;
	question->socket = fcntl(socket, F_DUPFD_CLOEXEC, 3);
	if (question->socket >= 0)
		return submit(question);
	free_question(question);
	return NULL;
}

static int ask_find(struct tw_question *question)
{
	struct tw_accounts *accounts = accounts_of(question);

	return accounts ? accounts->ops->find(accounts, question->user, &question->account)
			: -EACCES;
}

struct tw_question *tw_ask_find(struct tw_asker *asker, const char *user, tw_answered *answered,
				void *context)
{
	struct tw_question *question = begin(asker, answered, context, ask_find);

	return question && copy_texts(question, user, NULL) ? submit(question) : NULL;
}

static int ask_groups(struct tw_question *question)
{
	struct tw_accounts *accounts = accounts_of(question);
	json_t *group;
	size_t i;

	json_array_foreach (question->groups, i, group) {
		if (accounts &&
		    accounts->ops->in_group(accounts, question->user, json_string_value(group)))
			return 0;
	}
	return -EACCES;
}

struct tw_question *tw_ask_groups(struct tw_asker *asker, const char *user, json_t *groups,
				  tw_answered *answered, void *context)
{
	struct tw_question *question = begin(asker, answered, context, ask_groups);

	if (!question || !copy_texts(question, user, NULL))
		return NULL;
	question->groups = json_deep_copy(groups);
	if (question->groups)
		return submit(question);
	free_question(question);
	return NULL;
}

static int ask_password(struct tw_question *question)
{
	return tw_password_check(question->user, question->password) ? 0 : -EACCES;
}

struct tw_question *tw_ask_password(struct tw_asker *asker, const char *made, const char *password,
				    tw_answered *answered, void *context)
{
	struct tw_question *question = begin_guess(asker, answered, context, ask_password);

	return question && copy_texts(question, made, password) ? submit(question) : NULL;
}

static int ask_to_make(struct tw_question *question)
{
	question->made = tw_password_make(question->password);
	return question->made ? 0 : -ENOMEM;
}

static unsigned count_makings(const struct tw_asker *asker, uint64_t maker)
{
	const struct tw_question *question;
	unsigned count = 0;

	LIST_FOREACH (question, &asker->makings, links)
		count += question->maker == maker;
	return count;
}

struct tw_question *tw_ask_to_make(struct tw_asker *asker, const char *account,
				   const char *password, tw_answered *answered, void *context)
{
	uint64_t maker = tw_pool_owner(account);
	struct tw_question *question = NULL;

	if (count_makings(asker, maker) < TW_ASKER_MAKING_MAX)
		question = begin_guess(asker, answered, context, ask_to_make);
	if (!question || !copy_texts(question, NULL, password))
		return NULL;
	question->maker = maker;
	LIST_INSERT_HEAD(&asker->makings, question, links);
	return submit(question);
}

const char *tw_question_made(const struct tw_question *question)
{
	return question->made;
}

void tw_question_forget(struct tw_question *question)
{
	question->forgotten = true;
	tw_pool_cancel(&question->job);
}
