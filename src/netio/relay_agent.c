#include "netio/relay_agent.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "netio/clock.h"
#include "netio/gather.h"
#include "netio/sockaddr.h"
#include "netio/tls.h"
#include "wire/datagram.h"

#define ADDRESSES_MAX 8
#define CONNECT_LIMIT (3 * TW_SECOND)
#define READS 16
#define BATCHES 8
#define ROOM ((size_t)65536)
/* Of what waits for the control connection, as many bytes with us, with the kernel, and before the
 * door: more would only make the way longer. */
#define TUNNEL_QUEUE ((size_t)256 << 10)
#define UNSENT (128 << 10)
#define DOOR_QUEUE (1 << 20)
#define CALLERS 256 /* connections begun here that are tunnelled, newest first */

enum step {
	STEP_APART,
	STEP_CONNECTING,
	STEP_TLS,
	STEP_OPEN,
};

/* A socket of the worker's that tunnelled datagrams are for, and its family's door on loopback. */
struct target {
	int fd; /* a duplicate: LEGs leave by it */
	struct tw_address local;
};

struct caller {
	uint64_t cid;
	struct tw_address from;
};

struct tw_relay_agent {
	struct tw_relay_agent_options options;
	pthread_t thread;
	bool started;
	atomic_bool stop;
	int wake_fd, told_fd;
	pthread_mutex_t lock; /* of all below that other threads read: client, status */
	struct tw_relay_client *client;
	struct tw_relay_agent_status status;

	/* The thread's own. */
	struct tw_tls_context *context;
	struct tw_tls tls;
	int fd; /* of the TCP connection while connecting; -1 */
	enum step step;
	struct tw_address addresses[ADDRESSES_MAX];
	unsigned address_count, address_next;
	tw_ns step_limit;
	struct tw_udp ask; /* connected to the public port; fd -1: closed */
	struct tw_udp door;
	struct target targets[TW_RELAY_AGENT_SOCKETS_MAX];
	unsigned target_count;
	struct caller callers[CALLERS];
	unsigned caller_next;
	uint8_t *buffers; /* TW_UDP_BATCH of ROOM */
	struct tw_gather gather; /* of what comes tunnelled */
};

static void wake(int fd)
{
	uint64_t one = 1;

	/* A full counter wakes just as well. */
	if (write(fd, &one, sizeof one) < 0)
		return;
}

static void drain(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof count) < 0)
		return;
}

static int open_door(struct tw_relay_agent *agent)
{
	struct tw_udp_options options = { .local = { .family = TW_FAMILY_IPV4,
						     .ip = { 127, 0, 0, 1 } },
					  .receive_bytes = DOOR_QUEUE };
	int r;

	for (unsigned i = 0; i < agent->target_count; i++)
		if (agent->targets[i].local.family == TW_FAMILY_IPV4) {
			r = tw_udp_open(&options, &agent->door);
			agent->status.local = agent->door.local;
			return r;
		}
	if (agent->target_count)
		options.local = (struct tw_address){ .family = TW_FAMILY_IPV6, .ip[15] = 1 };
	r = tw_udp_open(&options, &agent->door);
	if (!r)
		agent->status.local = agent->door.local;
	return r;
}

static int copy_targets(struct tw_relay_agent *agent)
{
	for (unsigned i = 0; i < agent->options.socket_count; i++) {
		struct target *target = &agent->targets[i];

		target->fd = fcntl(agent->options.sockets[i]->fd, F_DUPFD_CLOEXEC, 0);
		if (target->fd < 0)
			return -errno;
		target->local = agent->options.sockets[i]->local;
		agent->target_count++;
		/* Bound to every address: loopback is one of them. */
		if (!tw_address_is_any(&target->local))
			continue;
		memset(target->local.ip, 0, sizeof target->local.ip);
		if (target->local.family == TW_FAMILY_IPV4)
			memcpy(target->local.ip, (uint8_t[]){ 127, 0, 0, 1 }, 4);
		else
			target->local.ip[15] = 1;
	}
	return 0;
}

static void *run(void *context);

static int start(struct tw_relay_agent *agent)
{
	struct tw_relay_client_config config = { .identity = agent->options.identity,
						 .relay = agent->options.key,
						 .random = tw_system_random(),
						 .accepts = agent->options.socket_count > 0,
						 .tunnelled = agent->options.tunnelled };
	sigset_t all, before;
	int r = tw_relay_client_new(&config, tw_clock_now(), &agent->client);

	if (!r)
		r = tw_tls_context_new(false, &agent->context);
	if (!r)
		r = copy_targets(agent);
	if (!r)
		r = open_door(agent);
	if (r)
		return r;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&agent->thread, NULL, run, agent);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	agent->started = r == 0;
	return r;
}

int tw_relay_agent_new(const struct tw_relay_agent_options *options, struct tw_relay_agent **ret)
{
	struct tw_relay_agent *agent = calloc(1, sizeof *agent);
	int r;

	if (!agent)
		return -ENOMEM;
	assert(options->socket_count <= TW_RELAY_AGENT_SOCKETS_MAX);
	agent->options = *options;
	tw_gather_init(&agent->gather);
	agent->fd = agent->ask.fd = agent->door.fd = agent->tls.fd = -1;
	pthread_mutex_init(&agent->lock, NULL);
	agent->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	agent->told_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	agent->buffers = aligned_alloc(64, TW_UDP_BATCH * ROOM);
	r = agent->wake_fd < 0 || agent->told_fd < 0 ? -errno : agent->buffers ? 0 : -ENOMEM;
	if (!r)
		r = start(agent);
	if (r) {
		tw_relay_agent_free(agent);
		return r;
	}
	*ret = agent;
	return 0;
}

void tw_relay_agent_free(struct tw_relay_agent *agent)
{
	if (!agent)
		return;
	if (agent->started) {
		atomic_store(&agent->stop, true);
		wake(agent->wake_fd);
		pthread_join(agent->thread, NULL);
	}
	tw_tls_close(&agent->tls);
	if (agent->fd >= 0)
		close(agent->fd);
	tw_udp_close(&agent->ask);
	tw_udp_close(&agent->door);
	for (unsigned i = 0; i < agent->target_count; i++)
		close(agent->targets[i].fd);
	tw_relay_client_free(agent->client);
	tw_tls_context_free(agent->context);
	if (agent->wake_fd >= 0)
		close(agent->wake_fd);
	if (agent->told_fd >= 0)
		close(agent->told_fd);
	pthread_mutex_destroy(&agent->lock);
	free(agent->buffers);
	free(agent);
}

int tw_relay_agent_fd(const struct tw_relay_agent *agent)
{
	return agent->told_fd;
}

void tw_relay_agent_status(struct tw_relay_agent *agent, struct tw_relay_agent_status *ret)
{
	drain(agent->told_fd);
	pthread_mutex_lock(&agent->lock);
	*ret = agent->status;
	tw_relay_client_status(agent->client, &ret->client);
	pthread_mutex_unlock(&agent->lock);
}

unsigned tw_relay_agent_offers(const struct tw_relay_agent_status *status,
			       const struct tw_address *own, unsigned own_count,
			       struct tw_address ret[TW_OFFERS_MAX])
{
	struct tw_address seen = status->client.seen_leg;
	unsigned count = own_count < TW_OFFERS_MAX ? own_count : TW_OFFERS_MAX - 1;

	/* A relay that does not tell: a NAT is likely to keep the port. */
	if (seen.family == TW_FAMILY_NONE && own_count) {
		seen = status->client.seen_udp;
		seen.port = own[0].port;
	}
	memcpy(ret, own, count * sizeof *ret);
	for (unsigned i = 0; i < count; i++)
		if (tw_address_equal(&ret[i], &seen))
			return count;
	if (seen.family != TW_FAMILY_NONE)
		ret[count++] = seen;
	return count;
}

bool tw_relay_agent_is(struct tw_relay_agent *agent, const struct tw_address *remote)
{
	bool is;

	pthread_mutex_lock(&agent->lock);
	is = tw_address_equal(remote, &agent->status.via) ||
	     tw_address_equal(remote, &agent->status.local);
	pthread_mutex_unlock(&agent->lock);
	return is;
}

int tw_relay_agent_way(struct tw_relay_agent *agent, const struct tw_address *to,
		       struct tw_address *ret_via, struct tw_ticket *ret_ticket)
{
	struct tw_relay_client_status client;
	int r;

	pthread_mutex_lock(&agent->lock);
	r = tw_relay_client_destination(agent->client, to, ret_ticket);
	tw_relay_client_status(agent->client, &client);
	if (!r)
		r = tw_relay_client_destination_state(agent->client, ret_ticket->index);
	if (!r && agent->status.via.family == TW_FAMILY_NONE)
		r = TW_E_AGAIN;
	if (!r)
		*ret_via = client.tunnelled ? agent->status.local : agent->status.via;
	pthread_mutex_unlock(&agent->lock);
	wake(agent->wake_fd);
	return r;
}

/* Connecting. */

static void lose(struct tw_relay_agent *agent, int error)
{
	tw_ns now = tw_clock_now();

	tw_tls_close(&agent->tls);
	if (agent->fd >= 0)
		close(agent->fd);
	agent->fd = -1;
	agent->step = STEP_APART;
	agent->status.error = error;
	tw_relay_client_disconnected(agent->client, now);
	wake(agent->told_fd);
}

/* Without the lock: it may take as long as the resolver likes. */
static void look_up(struct tw_relay_agent *agent)
{
	struct tw_address found[ADDRESSES_MAX];
	unsigned count = 0;
	const struct tw_relay_agent_options *options = &agent->options;
	int r = options->resolve ? options->resolve(options->resolve_context, options->host,
						    options->port, found, ADDRESSES_MAX, &count)
				 : tw_resolve(options->host, options->port, found, ADDRESSES_MAX,
					      &count);

	pthread_mutex_lock(&agent->lock);
	agent->status.resolver[0] = '\0';
	/* A name service that fails now does not make wrong what it said before. */
	if (r)
		snprintf(agent->status.resolver, sizeof agent->status.resolver, "%s",
			 tw_resolve_error(r));
	if (!r && count) {
		memcpy(agent->addresses, found, sizeof found);
		agent->address_count = count;
	}
	pthread_mutex_unlock(&agent->lock);
}

static void begin_connect(struct tw_relay_agent *agent, tw_ns now)
{
	struct sockaddr_storage name;
	const struct tw_address *to;
	socklen_t length;
	int one = 1, unsent = UNSENT;

	if (!agent->address_count) {
		lose(agent, EHOSTUNREACH);
		return;
	}
	to = &agent->addresses[agent->address_next++ % agent->address_count];
	length = tw_address_to_sockaddr(to, &name);
	agent->status.control = *to;
	agent->fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (agent->fd < 0 ||
	    (connect(agent->fd, (struct sockaddr *)&name, length) && errno != EINPROGRESS)) {
		lose(agent, errno);
		return;
	}
	setsockopt(agent->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	setsockopt(agent->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
	agent->step = STEP_CONNECTING;
	agent->step_limit = now + CONNECT_LIMIT;
}

static void finish_connect(struct tw_relay_agent *agent)
{
	int error = 0, fd = agent->fd;
	socklen_t length = sizeof error;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) || error) {
		lose(agent, error ? error : errno);
		return;
	}
	agent->fd = -1;
	if (tw_tls_init(agent->context, fd, &agent->tls)) {
		lose(agent, ENOMEM);
		return;
	}
	agent->step = STEP_TLS;
}

static void shake_hands(struct tw_relay_agent *agent, tw_ns now)
{
	uint8_t binding[TW_TLS_BINDING];
	int r = tw_tls_handshake(&agent->tls);

	if (r == TW_E_AGAIN)
		return;
	if (r || tw_tls_binding(&agent->tls, binding)) {
		lose(agent, EPROTO);
		return;
	}
	tw_relay_client_connected(agent->client, binding, now);
	agent->step = STEP_OPEN;
}

/* Where the relay's public port is, once it has said; the asking socket follows. */
static void find_way(struct tw_relay_agent *agent)
{
	struct tw_relay_client_status client;
	struct tw_udp_options options = { .receive_bytes = 65536, .send_bytes = 65536 };
	struct tw_address via;

	tw_relay_client_status(agent->client, &client);
	if (client.state != TW_RELAY_CLIENT_SERVED)
		return;
	/* The address that it names may be of the family that this machine does not speak; the one
	 * that was dialled is not. */
	via = client.public.family == agent->status.control.family ? client.public
								   : agent->status.control;
	via.port = client.port;
	if (tw_address_equal(&via, &agent->status.via) && agent->ask.fd >= 0)
		return;
	tw_udp_close(&agent->ask);
	options.remote = via;
	agent->status.via = via;
	/* A system that knows no way there will not let UDP pass either. */
	if (tw_udp_open(&options, &agent->ask))
		agent->ask.fd = -1;
}

/* Tunnelled datagrams. */

static uint64_t u64_at(const uint8_t *bytes)
{
	struct tw_reader reader;

	tw_reader_init(&reader, bytes, 8);
	return tw_read_u64(&reader);
}

static void note_caller(struct tw_relay_agent *agent, const uint8_t *init,
			const struct tw_address *from)
{
	uint64_t cid = u64_at(init + 5);
	unsigned place = 0;

	while (place < CALLERS && agent->callers[place].cid != cid)
		place++;
	if (place == CALLERS)
		place = agent->caller_next++ % CALLERS;
	agent->callers[place] = (struct caller){ .cid = cid, .from = *from };
}

/* To whom on this machine a datagram from the relay is; NULL: to nobody. */
static const struct tw_address *find_target(const struct tw_relay_agent *agent,
					    const uint8_t *bytes, size_t length)
{
	size_t at = bytes[0] == TW_DATAGRAM_ACCEPT || bytes[0] == TW_DATAGRAM_RETRY ? 5 : 1;

	if (bytes[0] != TW_DATAGRAM_INIT && length >= at + 8) {
		uint64_t cid = u64_at(bytes + at);

		for (unsigned i = 0; i < CALLERS; i++)
			if (agent->callers[i].from.family != TW_FAMILY_NONE &&
			    agent->callers[i].cid == cid)
				return &agent->callers[i].from;
	}
	for (unsigned i = 0; i < agent->target_count; i++)
		if (agent->targets[i].local.family == agent->door.local.family)
			return &agent->targets[i].local;
	return NULL;
}

static void hand_in(struct tw_relay_agent *agent, const uint8_t *bytes, size_t length)
{
	const struct tw_address *to = find_target(agent, bytes, length);
	struct tw_path path = { .local.family = TW_FAMILY_NONE };

	if (!to)
		return;
	path.remote = *to;
	tw_gather_add(&agent->gather, &agent->door, &path, bytes, length);
}

static void carry_out(struct tw_relay_agent *agent, const struct tw_udp_message *message)
{
	for (size_t at = 0; at < message->length; at += message->segment) {
		size_t left = message->length - at;
		size_t length = left < message->segment ? left : message->segment;
		const uint8_t *bytes = message->bytes + at;

		if (bytes[0] == TW_DATAGRAM_INIT && length >= TW_DATAGRAM_INIT_MIN)
			note_caller(agent, bytes, &message->path.remote);
		/* Full or cut: lost, as on any path. */
		(void)tw_relay_client_tunnel(agent->client, bytes, length);
	}
}

static bool door_open(const struct tw_relay_agent *agent)
{
	size_t waiting;

	(void)tw_relay_client_output(agent->client, &waiting);
	return waiting < TUNNEL_QUEUE;
}

static void read_door(struct tw_relay_agent *agent)
{
	struct tw_udp_message messages[TW_UDP_BATCH];
	unsigned count = TW_UDP_BATCH;

	for (unsigned batch = 0; batch < BATCHES && count == TW_UDP_BATCH && door_open(agent);
	     batch++) {
		for (unsigned i = 0; i < TW_UDP_BATCH; i++) {
			messages[i].bytes = agent->buffers + i * ROOM;
			messages[i].room = ROOM;
		}
		if (tw_udp_receive(&agent->door, messages, TW_UDP_BATCH, &count))
			return;
		for (unsigned i = 0; i < count; i++)
			carry_out(agent, &messages[i]);
	}
}

static void read_answers(struct tw_relay_agent *agent, tw_ns now)
{
	uint8_t bytes[256];

	for (unsigned i = 0; i < READS; i++) {
		ssize_t length = recv(agent->ask.fd, bytes, sizeof bytes, MSG_DONTWAIT);

		if (length <= 0)
			return;
		tw_relay_client_leg_answer(agent->client, bytes, (size_t)length, now);
	}
}

/* The control connection. */

static void feed(struct tw_relay_agent *agent, const uint8_t *bytes, size_t length, tw_ns now)
{
	for (size_t done = 0; done < length;) {
		const uint8_t *datagram;
		size_t datagram_length;

		done += tw_relay_client_receive(agent->client, bytes + done, length - done, now);
		while (tw_relay_client_datagram(agent->client, now, &datagram, &datagram_length))
			hand_in(agent, datagram, datagram_length);
		if (tw_relay_client_dead(agent->client))
			return;
	}
}

static void read_control(struct tw_relay_agent *agent, tw_ns now)
{
	uint8_t bytes[16384];

	for (unsigned i = 0; i < READS && agent->step == STEP_OPEN; i++) {
		size_t length;
		int r = tw_tls_read(&agent->tls, bytes, sizeof bytes, &length);

		if (r == TW_E_AGAIN)
			break;
		if (r) {
			lose(agent, ECONNRESET);
			break;
		}
		feed(agent, bytes, length, now);
	}
	tw_gather_flush(&agent->gather);
}

/* True: some waits for room in the socket. */
static bool write_control(struct tw_relay_agent *agent)
{
	while (agent->step == STEP_OPEN) {
		size_t length, written;
		const uint8_t *bytes = tw_relay_client_output(agent->client, &length);
		int r;

		if (!length)
			return false;
		r = tw_tls_write(&agent->tls, bytes, length, &written);
		if (r == TW_E_AGAIN)
			return true;
		if (r)
			lose(agent, ECONNRESET);
		else
			tw_relay_client_sent(agent->client, written);
	}
	return false;
}

static void send_by_targets(const struct tw_relay_agent *agent, const struct tw_address *to,
			    const uint8_t *bytes, size_t length)
{
	struct sockaddr_storage name;
	socklen_t name_length = tw_address_to_sockaddr(to, &name);

	for (unsigned i = 0; i < agent->target_count; i++) {
		if (agent->targets[i].local.family != to->family)
			continue;
		/* As good as lost: it comes again. */
		if (sendto(agent->targets[i].fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL,
			   (struct sockaddr *)&name, name_length) < 0)
			continue;
	}
}

static void send_legs(struct tw_relay_agent *agent, tw_ns now)
{
	uint8_t leg[TW_RELAY_LEG_SIZE], punch[TW_PROBE_SIZE];
	struct tw_address to;
	size_t length;
	bool asks;

	while ((length = tw_relay_client_leg(agent->client, now, &asks, leg)) > 0) {
		if (!asks)
			send_by_targets(agent, &agent->status.via, leg, length);
		else if (agent->ask.fd >= 0 &&
			 send(agent->ask.fd, leg, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			continue; /* as good as lost: it is asked again */
	}
	while ((length = tw_relay_client_punch(agent->client, now, &to, punch)) > 0)
		send_by_targets(agent, &to, punch, length);
}

/* The loop. */

enum { POLL_WAKE, POLL_CONTROL, POLL_ASK, POLL_DOOR, POLLS };

static void set_polls(const struct tw_relay_agent *agent, bool writing, struct pollfd polls[POLLS])
{
	int fd = agent->step == STEP_CONNECTING ? agent->fd : agent->tls.fd;
	bool out = writing || agent->step == STEP_CONNECTING ||
		   (agent->step == STEP_TLS && agent->tls.wants_write);

	polls[POLL_WAKE] = (struct pollfd){ .fd = agent->wake_fd, .events = POLLIN };
	polls[POLL_CONTROL] =
		(struct pollfd){ .fd = agent->step == STEP_APART ? -1 : fd,
				 .events = (short)((agent->step == STEP_CONNECTING ? 0 : POLLIN) |
						   (out ? POLLOUT : 0)) };
	polls[POLL_ASK] = (struct pollfd){ .fd = agent->ask.fd, .events = POLLIN };
	polls[POLL_DOOR] =
		(struct pollfd){ .fd = door_open(agent) ? agent->door.fd : -1, .events = POLLIN };
}

static tw_ns next_deadline(const struct tw_relay_agent *agent)
{
	tw_ns at = tw_relay_client_deadline(agent->client);

	if (agent->step == STEP_CONNECTING || agent->step == STEP_TLS)
		at = agent->step_limit;
	return at;
}

static void dial_due(struct tw_relay_agent *agent)
{
	bool due;

	pthread_mutex_lock(&agent->lock);
	due = agent->step == STEP_APART && tw_relay_client_dial_at(agent->client) <= tw_clock_now();
	pthread_mutex_unlock(&agent->lock);
	if (!due)
		return;
	look_up(agent);
	pthread_mutex_lock(&agent->lock);
	begin_connect(agent, tw_clock_now());
	pthread_mutex_unlock(&agent->lock);
}

static void take_events(struct tw_relay_agent *agent, const struct pollfd polls[POLLS], tw_ns now)
{
	if (polls[POLL_WAKE].revents)
		drain(agent->wake_fd);
	if (polls[POLL_CONTROL].revents) {
		if (agent->step == STEP_CONNECTING)
			finish_connect(agent);
		if (agent->step == STEP_TLS)
			shake_hands(agent, now);
		if (agent->step == STEP_OPEN)
			read_control(agent, now);
	}
	if (polls[POLL_ASK].revents)
		read_answers(agent, now);
	if (polls[POLL_DOOR].revents)
		read_door(agent);
}

/* In what somebody may wait for; figures alone are read when somebody looks. */
static bool differ(const struct tw_relay_client_status *a, const struct tw_relay_client_status *b)
{
	return a->state != b->state || a->port != b->port || a->tunnelled != b->tunnelled ||
	       a->refusal != b->refusal || a->failures != b->failures ||
	       a->destinations_known != b->destinations_known ||
	       !tw_address_equal(&a->seen_leg, &b->seen_leg) ||
	       !tw_address_equal(&a->seen_udp, &b->seen_udp);
}

static void *run(void *context)
{
	struct tw_relay_agent *agent = context;
	struct tw_relay_client_status before = { 0 }, after;
	bool writing = false;

	pthread_setname_np(pthread_self(), "relay");
	while (!atomic_load(&agent->stop)) {
		struct pollfd polls[POLLS];
		struct timespec limit;
		tw_ns left, now;

		dial_due(agent);
		pthread_mutex_lock(&agent->lock);
		set_polls(agent, writing, polls);
		left = tw_ns_since(next_deadline(agent), tw_clock_now());
		pthread_mutex_unlock(&agent->lock);
		limit = (struct timespec){ .tv_sec = (time_t)(left / TW_SECOND % 3600),
					   .tv_nsec = (long)(left % TW_SECOND) };
		if (ppoll(polls, POLLS, &limit, NULL) < 0)
			continue;
		now = tw_clock_now();
		pthread_mutex_lock(&agent->lock);
		take_events(agent, polls, now);
		tw_relay_client_timeout(agent->client, now);
		find_way(agent);
		send_legs(agent, now);
		writing = write_control(agent);
		if (agent->step == STEP_OPEN && tw_relay_client_dead(agent->client))
			lose(agent, 0);
		else if ((agent->step == STEP_CONNECTING || agent->step == STEP_TLS) &&
			 now >= agent->step_limit)
			lose(agent, ETIMEDOUT);
		tw_relay_client_status(agent->client, &after);
		if (differ(&before, &after))
			wake(agent->told_fd);
		before = after;
		pthread_mutex_unlock(&agent->lock);
	}
	return NULL;
}
