#include "auth/agent.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/passing.h"
#include "base/time.h"
#include "netio/clock.h"

#define CLIENTS_MAX 256
#define GRACE (5 * TW_SECOND)
#define LOOK_MS 1000

struct agent {
	int control;
	pthread_mutex_t lock; /* over what follows */
	pthread_cond_t left;
	unsigned clients;
};

struct client {
	struct agent *agent;
	int socket;
};

static void *serve(void *context)
{
	struct client client = *(struct client *)context;
	struct agent *agent = client.agent;

	free(context);
	tw_agent_serve(client.socket);
	pthread_mutex_lock(&agent->lock);
	if (!--agent->clients)
		pthread_cond_signal(&agent->left);
	pthread_mutex_unlock(&agent->lock);
	return NULL;
}

static unsigned count_clients(struct agent *agent, unsigned more)
{
	unsigned count;

	pthread_mutex_lock(&agent->lock);
	count = agent->clients += more;
	pthread_mutex_unlock(&agent->lock);
	return count;
}

/* Takes @socket. Whoever is turned away sees it closed. */
static void admit(struct agent *agent, int socket)
{
	struct client *client = malloc(sizeof(*client));
	pthread_attr_t attributes;
	pthread_t thread;
	bool started = false;

	if (client && count_clients(agent, 0) < CLIENTS_MAX) {
		*client = (struct client){ agent, socket };
		count_clients(agent, 1);
		pthread_attr_init(&attributes);
		pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
		started = !pthread_create(&thread, &attributes, serve, client);
		pthread_attr_destroy(&attributes);
		if (!started)
			count_clients(agent, (unsigned)-1);
	}
	if (started)
		return;
	free(client);
	close(socket);
}

/* One more client. -EAGAIN, -EPIPE. */
static int take_client(struct agent *agent, int flags)
{
	struct tw_passed passed;
	char byte;
	int r = tw_passing_receive(agent->control, &byte, 1, flags, &passed);

	if (r)
		return r < 0 ? r : 0;
	if (passed.count == 1)
		admit(agent, passed.fds[0]);
	else
		tw_passed_close(&passed);
	return 0;
}

/* Until nobody comes any more: the other side has gone, or there was nothing to do for a while. */
static int take_clients(struct agent *agent)
{
	struct pollfd poller = { .fd = agent->control, .events = POLLIN };
	tw_ns idle_since = tw_clock_now();
	int r = 0;

	while (!r) {
		int n = poll(&poller, 1, LOOK_MS);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			r = take_client(agent, MSG_DONTWAIT);
		if (r == -EAGAIN)
			r = 0;
		if (n > 0 || count_clients(agent, 0))
			idle_since = tw_clock_now();
		else if (tw_clock_now() - idle_since >= GRACE)
			break;
	}
	shutdown(agent->control, SHUT_RD);
	while (!r)
		r = take_client(agent, MSG_DONTWAIT);
	return r == -EPIPE || r == -EAGAIN ? 0 : r;
}

int tw_agent_run(int control)
{
	struct agent agent = { .control = control };
	int r;

	pthread_mutex_init(&agent.lock, NULL);
	pthread_cond_init(&agent.left, NULL);
	r = take_clients(&agent);
	pthread_mutex_lock(&agent.lock);
	while (agent.clients)
		pthread_cond_wait(&agent.left, &agent.lock);
	pthread_mutex_unlock(&agent.lock);
	pthread_cond_destroy(&agent.left);
	pthread_mutex_destroy(&agent.lock);
	close(control);
	return r;
}
