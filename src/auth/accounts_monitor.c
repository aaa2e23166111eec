/*
 * accounts_monitor.c - accounts.h by questions to the monitor. Many threads ask over one socket:
 * of those that wait one reads, and hands what is not its own to whom it belongs; when it has its
 * answer another reads on.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/message.h"
#include "auth/monitor.h"
#include "auth/passing.h"
#include "base/secret.h"

struct call {
	struct call *next;
	struct tw_auth_message message; /* the question, then the answer */
	struct tw_passed passed;        /* with the answer */
	uint32_t serial;
	int error;
	bool over;
};

struct remote {
	struct tw_accounts accounts;
	int socket;
	pthread_mutex_t lock; /* over what follows */
	pthread_cond_t changed;
	struct call *calls;
	uint32_t serial;
	bool reading, gone;
	struct tw_auth_message incoming; /* whoever reads */
};

static struct remote *of(struct tw_accounts *accounts)
{
	return (struct remote *)accounts;
}

static struct call *take(struct remote *remote, uint32_t serial)
{
	for (struct call **place = &remote->calls; *place; place = &(*place)->next)
		if ((*place)->serial == serial) {
			struct call *call = *place;

			*place = call->next;
			return call;
		}
	return NULL;
}

/* Nobody gets an answer any more. */
static void lose(struct remote *remote)
{
	remote->gone = true;
	while (remote->calls) {
		struct call *call = remote->calls;

		remote->calls = call->next;
		call->error = -EPIPE;
		call->over = true;
	}
}

/* Reads one answer, without the lock. */
static void read_one(struct remote *remote)
{
	struct tw_auth_message *message = &remote->incoming;
	struct tw_passed passed = { 0 };
	struct call *call = NULL;
	int r;

	remote->reading = true;
	pthread_mutex_unlock(&remote->lock);
	r = tw_auth_receive(remote->socket, 0, message, &passed);
	pthread_mutex_lock(&remote->lock);
	remote->reading = false;
	if (!r && message->kind >= TW_AUTH_RESULT)
		call = take(remote, message->serial);
	if (call) {
		call->message = *message;
		call->passed = passed;
		call->over = true;
	} else {
		/* The monitor is gone, or speaks of what nobody asked: there is no going on. */
		tw_passed_close(&passed);
		lose(remote);
	}
	pthread_cond_broadcast(&remote->changed);
}

/* The answer is in @call afterwards. -EPIPE. */
static int ask(struct remote *remote, struct call *call, int fd)
{
	int r;

	pthread_mutex_lock(&remote->lock);
	call->serial = call->message.serial = ++remote->serial;
	r = remote->gone ? -EPIPE
			 : tw_auth_send(remote->socket, 0, &call->message, &fd, fd >= 0 ? 1 : 0);
	if (!r) {
		call->next = remote->calls;
		remote->calls = call;
	}
	while (!r && !call->over) {
		if (remote->reading)
			pthread_cond_wait(&remote->changed, &remote->lock);
		else
			read_one(remote);
	}
	pthread_mutex_unlock(&remote->lock);
	return r ? r : call->error;
}

static struct call *new_call(enum tw_auth_kind kind, const char *user, const char *text)
{
	struct call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->message.kind = kind;
	if ((user && strlen(user) >= sizeof(call->message.user)) ||
	    (text && strlen(text) >= sizeof(call->message.text))) {
		free(call);
		return NULL;
	}
	if (user)
		memcpy(call->message.user, user, strlen(user) + 1);
	if (text)
		memcpy(call->message.text, text, strlen(text) + 1);
	return call;
}

static void free_call(struct call *call)
{
	if (!call)
		return;
	tw_passed_close(&call->passed);
	tw_wipe(&call->message, sizeof(call->message));
	free(call);
}

/* Asks and sees that the answer is of @kind; else what it says instead. */
static int get(struct remote *remote, struct call *call, int fd, enum tw_auth_kind kind)
{
	int r = call ? ask(remote, call, fd) : -EACCES;

	if (r || call->message.kind == kind)
		return r;
	if (call->message.kind != TW_AUTH_RESULT)
		return -EPROTO;
	return call->message.result ? call->message.result : -EPROTO;
}

static int get_account(struct remote *remote, struct call *call, int fd, struct tw_account *ret)
{
	int r = get(remote, call, fd, TW_AUTH_ACCOUNT);

	if (!r)
		*ret = call->message.account;
	free_call(call);
	return r;
}

static int remote_check(struct tw_accounts *accounts, const char *user, const char *password,
			struct tw_account *ret)
{
	return get_account(of(accounts), new_call(TW_AUTH_CHECK, user, password), -1, ret);
}

static int remote_vouch(struct tw_accounts *accounts, int socket, struct tw_account *ret)
{
	return get_account(of(accounts), new_call(TW_AUTH_VOUCH, NULL, NULL), socket, ret);
}

static int remote_find(struct tw_accounts *accounts, const char *user, struct tw_account *ret)
{
	return get_account(of(accounts), new_call(TW_AUTH_FIND, user, NULL), -1, ret);
}

static bool remote_in_group(struct tw_accounts *accounts, const char *user, const char *group)
{
	struct call *call = new_call(TW_AUTH_IN_GROUP, user, group);
	bool in = call && !ask(of(accounts), call, -1) && call->message.kind == TW_AUTH_RESULT &&
		  call->message.result == 1;

	free_call(call);
	return in;
}

static int remote_agent(struct tw_accounts *accounts, const char *user, int *ret_socket)
{
	struct call *call = new_call(TW_AUTH_AGENT, user, NULL);
	int r = get(of(accounts), call, -1, TW_AUTH_DESCRIPTORS);

	if (!r) {
		*ret_socket = call->passed.fds[0];
		/* A second one nobody asked for. */
		if (call->passed.count == 2)
			close(call->passed.fds[1]);
		call->passed.count = 0;
	}
	free_call(call);
	return r;
}

static int remote_resolve(struct tw_accounts *accounts, const char *host, uint16_t port,
			  struct tw_address *ret, unsigned room, unsigned *ret_count)
{
	struct call *call = new_call(TW_AUTH_RESOLVE, NULL, host);
	unsigned count;
	int r;

	if (call) {
		call->message.port = port;
		call->message.room =
			room < TW_ACCOUNTS_ADDRESSES_MAX ? room : TW_ACCOUNTS_ADDRESSES_MAX;
	}
	r = get(of(accounts), call, -1, TW_AUTH_ADDRESSES);
	if (!r) {
		count = call->message.address_count < room ? call->message.address_count : room;
		memcpy(ret, call->message.addresses, count * sizeof(*ret));
		*ret_count = count;
	}
	free_call(call);
	return r;
}

static int remote_buffers(struct tw_accounts *accounts, int socket, size_t receive, size_t send)
{
	struct call *call = new_call(TW_AUTH_BUFFERS, NULL, NULL);
	int r = -ENOMEM;

	if (call) {
		call->message.receive = receive;
		call->message.send = send;
		r = ask(of(accounts), call, socket);
	}
	if (!r)
		r = call->message.kind == TW_AUTH_RESULT ? call->message.result : -EPROTO;
	free_call(call);
	return r;
}

static bool add_argument(struct tw_auth_message *message, const char *argument)
{
	size_t size = strlen(argument) + 1;

	if (message->argument_count == TW_TRIGGER_ARGUMENTS_MAX ||
	    size > sizeof(message->arguments) - message->arguments_length)
		return false;
	memcpy(message->arguments + message->arguments_length, argument, size);
	message->arguments_length += size;
	message->argument_count++;
	return true;
}

static int remote_trigger(struct tw_accounts *accounts, const struct tw_trigger_order *order,
			  struct tw_trigger_run *ret)
{
	struct call *call = new_call(TW_AUTH_TRIGGER, order->user, order->event);
	bool fits = call != NULL;
	int r = -E2BIG;

	for (char *const *argument = order->arguments; fits && argument && *argument; argument++)
		fits = add_argument(&call->message, *argument);
	if (fits)
		r = get(of(accounts), call, order->input, TW_AUTH_DESCRIPTORS);
	if (!r && call->passed.count != 2)
		r = -EPROTO;
	if (!r) {
		ret->output = call->passed.fds[0];
		ret->control = call->passed.fds[1];
		call->passed.count = 0;
	}
	free_call(call);
	return r;
}

static const struct tw_accounts_ops remote_ops = {
	.check = remote_check,
	.vouch = remote_vouch,
	.find = remote_find,
	.in_group = remote_in_group,
	.agent = remote_agent,
	.resolve = remote_resolve,
	.buffers = remote_buffers,
	.trigger = remote_trigger,
};

int tw_accounts_monitor_new(int socket, struct tw_accounts **ret)
{
	struct remote *remote = calloc(1, sizeof(*remote));

	if (!remote)
		return -ENOMEM;
	remote->accounts.ops = &remote_ops;
	remote->socket = socket;
	pthread_mutex_init(&remote->lock, NULL);
	pthread_cond_init(&remote->changed, NULL);
	*ret = &remote->accounts;
	return 0;
}

void tw_accounts_monitor_free(struct tw_accounts *accounts)
{
	struct remote *remote = of(accounts);

	if (!accounts)
		return;
	close(remote->socket);
	pthread_cond_destroy(&remote->changed);
	pthread_mutex_destroy(&remote->lock);
	free(remote);
}

int tw_accounts_monitor_ready(struct tw_accounts *accounts, int listener)
{
	const struct tw_auth_message message = { .kind = TW_AUTH_READY };

	return tw_auth_send(of(accounts)->socket, 0, &message, &listener, listener >= 0 ? 1 : 0);
}

int tw_accounts_monitor_stopping(struct tw_accounts *accounts)
{
	const struct tw_auth_message message = { .kind = TW_AUTH_STOPPING };

	return tw_auth_send(of(accounts)->socket, 0, &message, NULL, 0);
}
