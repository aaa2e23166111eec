#include "netio/relay_host.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "netio/clock.h"
#include "netio/gather.h"
#include "netio/joiner.h"
#include "netio/sockaddr.h"
#include "netio/tls.h"
#include "netio/udp.h"
#include "netio/valve.h"

#define EVENTS 64
/* Bytes a port may move in a turn; with a shared limit what it lets through in 2 ms, so that who
 * has little to move does not wait behind who has much. */
#define QUANTUM ((int64_t)4 * 65536)
#define QUANTUM_LEAST ((int64_t)16384)
#define MESSAGE_ROOM ((size_t)65536)
/* A message costs time by itself, about as much as so many bytes: who is sent many small ones must
 * not have more of it than others. */
#define MESSAGE_COST ((int64_t)8192)
/* Bytes a batch is to bring, so that they are still in the cache when they leave. */
#define BATCH_BYTES ((size_t)256 << 10)
#define BATCH_LEAST 4
/* While so much is moving, waking up for each train costs more than all the rest: the relay looks
 * once in a while, when so much will have come. */
#define NAP_RATE 62.5e6 /* bytes a second */
#define NAP_BYTES 131072.0
#define NAP_MAX (100 * TW_USEC)
#define RATE_EVERY (2 * TW_MSEC)
#define READS 16         /* of a control connection in a turn */
#define UNSENT (128 << 10) /* bytes with the kernel: the queue that is bounded is ours */
#define STRANGERS_MAX 64 /* control connections without a server; above: the oldest goes */
#define STRANGERS_OF_ONE 32 /* from one address; above: its oldest */
#define STRANGERS_PAUSE 1   /* what they cost is waited as often before the next */
#define STRANGERS_BURST (20 * TW_MSEC)
#define HANDSHAKE_LIMIT (5 * TW_SECOND)
#define FAREWELL (200 * TW_MSEC) /* for last words */
#define BUFFER_LEAST ((uint32_t)256 << 10)

enum watch_type {
	WATCH_STOP,
	WATCH_LISTENER,
	WATCH_LINK,
	WATCH_SOCKET,
};

struct watch {
	enum watch_type type;
	void *owner;
};

struct listener {
	struct watch watch;
	int fd;
};

struct port;

struct port_socket {
	struct watch watch;
	struct port *port;
	struct tw_udp udp;
	struct tw_valve valve;
	bool ready;
};

/* A server's public port: a socket for each bind. */
struct port {
	struct tw_relay_server *server;
	struct port_socket sockets[TW_RELAY_HOST_BINDS_MAX];
	unsigned count;
	int64_t credit;
	bool paused, closed;
	struct port *next;
};

struct link {
	struct watch watch;
	struct tw_tls tls;
	struct tw_relay_link *link; /* NULL: TLS is not done */
	struct tw_address from;
	struct tw_relay_server *told; /* JOINED was reported */
	tw_ns born;
	tw_ns over_at;    /* it was seen to be over; 0: it is not */
	uint32_t watched; /* events */
	bool paused;      /* its server has used up what it may move */
	bool dead;
	struct link *next;
};

struct tw_relay_host {
	struct tw_relay_host_options options;
	struct tw_relay *relay;
	struct tw_tls_context *tls;
	int epoll_fd;
	struct listener listeners[TW_RELAY_HOST_BINDS_MAX];
	unsigned listener_count;
	struct link *links;
	struct port *ports;
	size_t link_count;
	tw_ns strangers_at; /* from here on, again, something is done for who has shown no key */
	int64_t quantum;
	bool stop;
	uint8_t *buffers; /* TW_UDP_BATCH of MESSAGE_ROOM */
	/* What came by UDP lately, and before. */
	tw_ns counted_since;
	uint64_t counted, turn_bytes;
	double rate, message_bytes; /* a second; the mean */
	bool more;                  /* of what was served, some has more to give */
	struct tw_joiner joiner;    /* of what comes by UDP */
	struct tw_gather gather; /* of what comes over a link */
	bool no_pwait2;
};

static int watch_fd(struct tw_relay_host *host, int operation, int fd, struct watch *watch,
		    uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };

	return epoll_ctl(host->epoll_fd, operation, fd, &event) ? -errno : 0;
}

static void free_port(struct port *port)
{
	for (unsigned i = 0; i < port->count; i++)
		tw_udp_close(&port->sockets[i].udp);
	free(port);
}

/* A port may be closed while it is being served: it goes at the end of the turn. */
static void sweep_ports(struct tw_relay_host *host)
{
	struct port **at = &host->ports;

	while (*at) {
		struct port *port = *at;

		if (!port->closed) {
			at = &port->next;
			continue;
		}
		*at = port->next;
		free_port(port);
	}
}

/* 0: there is none. */
static uint64_t least_limit(const struct tw_relay_config *config)
{
	if (!config->rate_bps || !config->server_rate_bps)
		return config->rate_bps + config->server_rate_bps;
	return config->rate_bps < config->server_rate_bps ? config->rate_bps
							  : config->server_rate_bps;
}

static size_t known_sources(void *context, struct tw_address *ret, size_t room)
{
	const struct port *port = context;

	return port->server ? tw_relay_server_sources(port->server, ret, room) : 0;
}

static void open_valve(struct tw_relay_host *host, struct port_socket *socket)
{
	tw_valve_init(&socket->valve, socket->udp.fd, socket->udp.local.family == TW_FAMILY_IPV6,
		      NULL, &host->options.relay.random, tw_clock_now());
	socket->valve.known = known_sources;
	socket->valve.context = socket->port;
}

static int open_port(void *context, struct tw_relay_server *server, uint16_t number)
{
	struct tw_relay_host *host = context;
	struct port *port = calloc(1, sizeof *port);
	uint64_t share = least_limit(&host->options.relay) / 80; /* 100 ms */
	int r = 0;

	if (!port)
		return -ENOMEM;
	port->server = server;
	for (unsigned i = 0; i < host->options.bind_count && !r; i++) {
		struct tw_udp_options options = { .local = host->options.binds[i],
						  .receive_bytes = host->options.buffer_bytes,
						  .send_bytes = host->options.buffer_bytes };

		options.local.port = number;
		/* A limited rate must not have a queue of seconds before it. */
		if (share && share < TW_UDP_BUFFER_WANTED && !options.receive_bytes)
			options.receive_bytes =
				share > BUFFER_LEAST ? (uint32_t)share : BUFFER_LEAST;
		port->sockets[i].watch = (struct watch){ WATCH_SOCKET, &port->sockets[i] };
		port->sockets[i].port = port;
		r = tw_udp_open(&options, &port->sockets[i].udp);
		if (r)
			break;
		port->count++;
		open_valve(host, &port->sockets[i]);
		r = watch_fd(host, EPOLL_CTL_ADD, port->sockets[i].udp.fd, &port->sockets[i].watch,
			     EPOLLIN);
	}
	if (r) {
		free_port(port);
		return r;
	}
	port->next = host->ports;
	host->ports = port;
	tw_relay_server_set_io(server, port);
	return 0;
}

static void close_port(void *context, struct tw_relay_server *server)
{
	struct port *port = tw_relay_server_io(server);

	(void)context;
	port->closed = true;
	port->server = NULL;
	/* At once: another server may be given its number in this turn. */
	for (unsigned i = 0; i < port->count; i++)
		tw_udp_close(&port->sockets[i].udp);
}

/* @relay.allowed and @relay.target are called with the host; they want the caller's context. */
static bool allowed(void *context, const struct tw_public_key *key)
{
	struct tw_relay_host *host = context;

	return host->options.relay.allowed(host->options.context, key);
}

static bool target(void *context, const struct tw_address *to)
{
	struct tw_relay_host *host = context;

	return host->options.relay.target(host->options.context, to);
}

static int listen_on(struct tw_relay_host *host, const struct tw_address *bind_to)
{
	struct listener *listener = &host->listeners[host->listener_count];
	struct sockaddr_storage name;
	socklen_t length = tw_address_to_sockaddr(bind_to, &name);
	int one = 1, r;

	listener->watch = (struct watch){ WATCH_LISTENER, listener };
	listener->fd = socket(name.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0)
		return -errno;
	host->listener_count++;
	setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (name.ss_family == AF_INET6)
		setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
	if (bind(listener->fd, (struct sockaddr *)&name, length) || listen(listener->fd, 64))
		return -errno;
	r = watch_fd(host, EPOLL_CTL_ADD, listener->fd, &listener->watch, EPOLLIN);
	return r;
}

static int64_t choose_quantum(uint64_t rate_bps)
{
	uint64_t share = rate_bps / 8 / 500;

	if (!rate_bps || share > (uint64_t)QUANTUM)
		return QUANTUM;
	return share < (uint64_t)QUANTUM_LEAST ? QUANTUM_LEAST : (int64_t)share;
}

int tw_relay_host_new(const struct tw_relay_host_options *options, struct tw_relay_host **ret,
		      struct tw_address *ret_failed)
{
	struct tw_relay_host *host = calloc(1, sizeof *host);
	struct tw_relay_config config = options->relay;
	int r;

	if (!host)
		return -ENOMEM;
	host->options = *options;
	tw_joiner_init(&host->joiner);
	tw_gather_init(&host->gather);
	host->quantum = choose_quantum(options->relay.rate_bps);
	config.allowed = allowed;
	config.target = options->relay.target ? target : NULL;
	config.open_port = open_port;
	config.close_port = close_port;
	config.context = host;
	host->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	host->buffers = aligned_alloc(64, TW_UDP_BATCH * MESSAGE_ROOM);
	r = host->epoll_fd < 0 ? -errno : host->buffers ? 0 : -ENOMEM;
	if (!r)
		r = tw_tls_context_new(true, &host->tls);
	if (!r)
		r = tw_relay_new(&config, tw_clock_now(), &host->relay);
	for (unsigned i = 0; i < options->bind_count && !r; i++) {
		r = listen_on(host, &options->binds[i]);
		if (r)
			*ret_failed = options->binds[i];
	}
	if (r) {
		tw_relay_host_free(host);
		return r;
	}
	*ret = host;
	return 0;
}

static void free_link(struct tw_relay_host *host, struct link *link, tw_ns now)
{
	if (link->link)
		tw_relay_link_free(link->link, now);
	tw_tls_close(&link->tls);
	host->link_count--;
	free(link);
}

void tw_relay_host_free(struct tw_relay_host *host)
{
	tw_ns now = tw_clock_now();

	if (!host)
		return;
	while (host->links) {
		struct link *link = host->links;

		host->links = link->next;
		free_link(host, link, now);
	}
	tw_relay_free(host->relay);
	sweep_ports(host);
	for (unsigned i = 0; i < host->listener_count; i++)
		close(host->listeners[i].fd);
	tw_tls_context_free(host->tls);
	if (host->epoll_fd >= 0)
		close(host->epoll_fd);
	free(host->buffers);
	free(host);
}

const struct tw_relay *tw_relay_host_relay(const struct tw_relay_host *host)
{
	return host->relay;
}

/* Datagrams. */

/* NULL: no address of ours has that family. */
static struct tw_udp *socket_to(struct port *port, const struct tw_path *path)
{
	for (unsigned i = 0; i < port->count; i++)
		if (port->sockets[i].udp.local.family == path->remote.family)
			return &port->sockets[i].udp;
	return NULL;
}

/* Something that came in a row of datagrams belonged to no connection. */
static void count_stray(struct port_socket *socket, const struct tw_relay_train *train,
			size_t length)
{
	if (tw_valve_class(train->bytes[0]) == TW_VALVE_CONNECTED)
		tw_valve_count_strays(&socket->valve, (length - 1) / train->segment + 1);
}

/* What a refused or full socket does not take is lost, as anywhere on the way. */
static void forward(struct tw_relay_host *host, struct port_socket *socket,
		    const struct tw_udp_message *message, tw_ns now)
{
	struct port *port = socket->port;
	struct tw_relay_train train = { .from = { .there = true, .path = message->path },
					.bytes = message->bytes,
					.length = message->length,
					.segment = message->segment };

	for (size_t at = 0; at < message->length && port->server;) {
		struct tw_relay_hop hop;
		struct tw_udp *udp;

		tw_relay_forward(host->relay, port->server, &train, now, &hop);
		udp = hop.to.there && !hop.to.link ? socket_to(port, &hop.to.path) : NULL;
		if (udp) {
			const struct tw_train out = { .bytes = message->bytes + at,
						      .room = hop.length,
						      .length = hop.length,
						      .segment = train.segment,
						      .path = hop.to.path };

			tw_joiner_add(&host->joiner, udp, &out);
		} else if (!hop.to.there) {
			count_stray(socket, &train, hop.length);
		}
		at += hop.length;
		train.bytes += hop.length;
		train.length -= hop.length;
	}
}

static void send_replies(struct tw_relay_host *host)
{
	struct tw_relay_reply reply;

	while (tw_relay_reply(host->relay, &reply)) {
		struct tw_udp *udp = socket_to(tw_relay_server_io(reply.server), &reply.path);
		const struct iovec piece = { reply.bytes, reply.length };

		if (udp)
			tw_udp_send_pieces(udp, &reply.path, (uint32_t)reply.length, &piece, 1);
	}
}

/* How many messages to take from a port. */
static unsigned batch(const struct tw_relay_host *host, const struct port *port)
{
	double wanted = (double)BATCH_BYTES / (host->message_bytes + 1);
	uint64_t left = ((uint64_t)port->credit + MESSAGE_ROOM - 1) / MESSAGE_ROOM;

	/* What is too much is owed; with a limit that would be time of others. */
	if (host->quantum != QUANTUM)
		wanted = (double)left;
	else if (wanted < BATCH_LEAST)
		wanted = BATCH_LEAST;
	return wanted < TW_UDP_BATCH ? (unsigned)wanted : TW_UDP_BATCH;
}

static void note_message(struct tw_relay_host *host, size_t bytes)
{
	host->turn_bytes += bytes;
	host->message_bytes += ((double)bytes - host->message_bytes) / 32;
}

/* Up to one batch of one socket. Returns true when it may have more. */
static bool receive(struct tw_relay_host *host, struct port_socket *socket, tw_ns now)
{
	struct port *port = socket->port;
	struct tw_udp_message messages[TW_UDP_BATCH];
	unsigned wanted = batch(host, port), got;
	int r;

	for (unsigned i = 0; i < wanted; i++) {
		messages[i].bytes = host->buffers + i * MESSAGE_ROOM;
		messages[i].room = MESSAGE_ROOM;
	}
	r = tw_udp_receive(&socket->udp, messages, wanted, &got);
	if (r)
		return r == TW_E_UNREACHABLE;
	for (unsigned i = 0; i < got; i++) {
		if (messages[i].length > 0)
			tw_valve_count(&socket->valve, messages[i].bytes[0],
				       (messages[i].length - 1) / messages[i].segment + 1);
		port->credit -= (int64_t)messages[i].length + MESSAGE_COST;
		note_message(host, messages[i].length);
		forward(host, socket, &messages[i], now);
	}
	/* Before the buffers are used again, and before the port may go. */
	tw_joiner_flush(&host->joiner);
	return got == wanted;
}

static void pause_port(struct tw_relay_host *host, struct port *port, bool paused)
{
	if (port->paused == paused)
		return;
	for (unsigned i = 0; i < port->count; i++)
		watch_fd(host, EPOLL_CTL_MOD, port->sockets[i].udp.fd, &port->sockets[i].watch,
			 paused ? 0 : EPOLLIN);
	port->paused = paused;
}

/* Who was served goes behind the others, so that what a shared limit leaves goes round. */
static void go_last(struct tw_relay_host *host, struct port *port)
{
	struct port **at = &host->ports;

	while (*at && *at != port)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = port->next;
	while (*at)
		at = &(*at)->next;
	*at = port;
	port->next = NULL;
}

/* A turn of one socket: as many bytes as its port has credit for, which grows by @quantum. */
static void serve_socket(struct tw_relay_host *host, struct port_socket *socket, int64_t quantum,
			 tw_ns now)
{
	struct port *port = socket->port;
	bool more = true;

	socket->ready = false;
	if (port->closed || tw_relay_ready_at(host->relay, port->server) > now) {
		if (!port->closed)
			pause_port(host, port, true);
		return;
	}
	port->credit = port->credit > 0 ? quantum : port->credit + quantum;
	if (host->options.relay.rate_bps)
		go_last(host, port);
	while (more && port->credit > 0 && !port->closed) {
		more = receive(host, socket, now);
		if (more && port->server && tw_relay_ready_at(host->relay, port->server) > now)
			break;
	}
	host->more |= more;
}

/* Also of ports that nothing comes to: a valve may be shut. */
static void turn_valves(struct tw_relay_host *host, tw_ns now)
{
	for (struct port *port = host->ports; port; port = port->next)
		for (unsigned i = 0; i < port->count && !port->closed; i++)
			tw_valve_turn(&port->sockets[i].valve, now);
}

/* In the order of the list: the kernel then tells of the first one first. */
static tw_ns resume_ports(struct tw_relay_host *host, tw_ns now)
{
	tw_ns next = TW_NEVER;

	for (struct port *port = host->ports; port; port = port->next) {
		tw_ns at = port->closed || !port->paused
				   ? TW_NEVER
				   : tw_relay_ready_at(host->relay, port->server);

		if (at <= now)
			pause_port(host, port, false);
		else
			next = tw_ns_min(next, at);
	}
	return next;
}

/* Control connections. */

/* Whoever only holds a connection open keeps nobody out. */
static void make_room(struct tw_relay_host *host, const struct tw_address *from)
{
	struct link *oldest = NULL, *oldest_there = NULL;
	unsigned strangers = 0, strangers_there = 0;

	/* The newest come first. */
	for (struct link *link = host->links; link; link = link->next) {
		if (link->told || link->dead)
			continue;
		strangers++;
		oldest = link;
		if (link->from.family != from->family ||
		    memcmp(link->from.ip, from->ip, sizeof from->ip) != 0)
			continue;
		strangers_there++;
		oldest_there = link;
	}
	if (strangers_there >= STRANGERS_OF_ONE)
		oldest_there->dead = true;
	else if (strangers >= STRANGERS_MAX)
		oldest->dead = true;
}

static void accept_links(struct tw_relay_host *host, struct listener *listener, tw_ns now)
{
	for (unsigned i = 0; i < 16; i++) {
		struct sockaddr_storage name;
		socklen_t length = sizeof name;
		int one = 1, unsent = UNSENT,
		    fd = accept4(listener->fd, (struct sockaddr *)&name, &length,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct tw_address from;
		struct link *link;

		if (fd < 0)
			return;
		from = tw_address_from_sockaddr(&name);
		make_room(host, &from);
		/* Those that go are still there until the end of the turn. */
		link = host->link_count < host->options.relay.servers_max + 2 * STRANGERS_MAX
			       ? calloc(1, sizeof *link)
			       : NULL;
		if (!link) {
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
		link->watch = (struct watch){ WATCH_LINK, link };
		link->from = from;
		link->born = now;
		link->watched = EPOLLIN;
		if (tw_tls_init(host->tls, fd, &link->tls) ||
		    watch_fd(host, EPOLL_CTL_ADD, fd, &link->watch, EPOLLIN)) {
			tw_tls_close(&link->tls);
			free(link);
			continue;
		}
		link->next = host->links;
		host->links = link;
		host->link_count++;
	}
}

static void shake_hands(struct tw_relay_host *host, struct link *link, tw_ns now)
{
	uint8_t binding[TW_TLS_BINDING];
	int r = tw_tls_handshake(&link->tls);

	static_assert(TW_TLS_BINDING == TW_RELAY_BINDING, "one is the other");
	if (r == TW_E_AGAIN)
		return;
	if (r || tw_tls_binding(&link->tls, binding) ||
	    tw_relay_link_new(host->relay, binding, &link->from, now, &link->link))
		link->dead = true;
}

static void tell(struct tw_relay_host *host, struct link *link)
{
	struct tw_relay_server *server = tw_relay_link_server(link->link);
	struct tw_relay_server_info info;

	if (server == link->told || !host->options.event || !server)
		return;
	link->told = server;
	tw_relay_server_info(server, &info);
	host->options.event(host->options.context, TW_RELAY_HOST_JOINED, &info, &link->from);
}

/* What came over a link, message by message; its datagrams are gathered. */
static void feed(struct tw_relay_host *host, struct link *link, const uint8_t *bytes, size_t length)
{
	tw_ns now = tw_clock_now();

	for (size_t done = 0; done < length;) {
		size_t taken = tw_relay_link_receive(link->link, bytes + done, length - done, now);
		struct tw_relay_hop hop;
		const uint8_t *datagram;
		struct tw_udp *udp;

		done += taken;
		while (tw_relay_link_datagram(link->link, now, &datagram, &hop)) {
			struct tw_relay_server *server = tw_relay_link_server(link->link);

			if (!server || !hop.to.there || hop.to.link)
				continue;
			udp = socket_to(tw_relay_server_io(server), &hop.to.path);
			if (udp)
				tw_gather_add(&host->gather, udp, &hop.to.path, datagram,
					      hop.length);
		}
		if (tw_relay_link_over(link->link))
			return;
	}
}

/* What is tunnelled counts as what comes by UDP does. */
static tw_ns link_ready_at(const struct tw_relay_host *host, const struct link *link)
{
	const struct tw_relay_server *server = link->link ? tw_relay_link_server(link->link) : NULL;

	return server ? tw_relay_ready_at(host->relay, server) : host->strangers_at;
}

/* Handshakes are the dearest that a stranger can ask for: half of the time is for datagrams. */
static void bill_strangers(struct tw_relay_host *host, tw_ns began)
{
	tw_ns spent = tw_ns_since(tw_clock_now(), began);

	host->strangers_at = tw_ns_max(host->strangers_at, tw_ns_since(began, STRANGERS_BURST)) +
			     (1 + STRANGERS_PAUSE) * spent;
}

static void read_link(struct tw_relay_host *host, struct link *link, tw_ns now)
{
	static uint8_t bytes[16384];
	bool stranger = !link->link || !tw_relay_link_server(link->link);
	tw_ns began = stranger ? tw_clock_now() : 0;

	link->paused = link_ready_at(host, link) > now;
	if (link->paused)
		return;
	if (!link->link)
		shake_hands(host, link, now);
	for (unsigned i = 0; i < READS && link->link && !link->dead; i++) {
		size_t length;
		int r;

		link->paused = !stranger && link_ready_at(host, link) > now;
		if (link->paused)
			break;
		r = tw_tls_read(&link->tls, bytes, sizeof bytes, &length);
		if (r == TW_E_AGAIN)
			break;
		if (r)
			link->dead = true;
		else
			feed(host, link, bytes, length);
	}
	tw_gather_flush(&host->gather);
	if (stranger)
		bill_strangers(host, began);
	if (link->link)
		tell(host, link);
}

static void write_link(struct tw_relay_host *host, struct link *link)
{
	bool wait = !link->link && link->tls.wants_write;
	uint32_t watched;

	while (link->link && !link->dead) {
		size_t length, written;
		const uint8_t *bytes = tw_relay_link_output(link->link, &length);
		int r;

		if (!length) {
			if (tw_relay_link_over(link->link))
				link->dead = true;
			break;
		}
		r = tw_tls_write(&link->tls, bytes, length, &written);
		if (r == TW_E_AGAIN) {
			wait = true;
			break;
		}
		if (r)
			link->dead = true;
		else
			tw_relay_link_sent(link->link, written);
	}
	watched = (link->paused ? 0 : EPOLLIN) | (wait ? EPOLLOUT : 0);
	if (watched == link->watched || link->dead)
		return;
	watch_fd(host, EPOLL_CTL_MOD, link->tls.fd, &link->watch, watched);
	link->watched = watched;
}

/* When the next of those that are paused may go on. */
static tw_ns links_ready_at(const struct tw_relay_host *host)
{
	tw_ns at = TW_NEVER;

	for (const struct link *link = host->links; link; link = link->next)
		if (link->paused && !link->dead)
			at = tw_ns_min(at, link_ready_at(host, link));
	return at;
}

/* TLS may hold something that the kernel knows nothing of: they are read without being asked. */
static void resume_links(struct tw_relay_host *host, tw_ns now)
{
	struct link *oldest = NULL;

	for (struct link *link = host->links; link; link = link->next) {
		if (!link->paused || link->dead || link_ready_at(host, link) > now)
			continue;
		if (link->told)
			read_link(host, link, now);
		else
			oldest = link;
	}
	/* Of strangers who waited one, the first who came: who calls ever again gains nothing. */
	if (oldest)
		read_link(host, oldest, now);
}

static void farewell(struct tw_relay_host *host, struct link *link)
{
	struct tw_relay_server_info info;

	if (!host->options.event)
		return;
	if (link->told && tw_relay_link_server(link->link) == link->told) {
		tw_relay_server_info(link->told, &info);
		host->options.event(host->options.context, TW_RELAY_HOST_LEFT, &info, &link->from);
	} else if (!link->told) {
		host->options.event(host->options.context, TW_RELAY_HOST_REFUSED, NULL,
				    &link->from);
	}
}

/* It is over, and does not even take the last words: others need its place. */
static bool is_deaf(struct link *link, tw_ns now)
{
	if (!link->link || !tw_relay_link_over(link->link))
		return false;
	if (!link->over_at)
		link->over_at = now;
	return tw_ns_since(now, link->over_at) >= FAREWELL;
}

/* Output that any event may have made leaves; what is over goes. */
static void tend_links(struct tw_relay_host *host, tw_ns now)
{
	struct link **at = &host->links;

	while (*at) {
		struct link *link = *at;

		if (!link->link && tw_ns_since(now, link->born) >= HANDSHAKE_LIMIT)
			link->dead = true;
		write_link(host, link);
		if (!link->dead && !is_deaf(link, now)) {
			at = &link->next;
			continue;
		}
		*at = link->next;
		farewell(host, link);
		free_link(host, link, now);
	}
}

/* The loop. */

static int wait_events(struct tw_relay_host *host, struct epoll_event *events, tw_ns deadline)
{
	tw_ns now = tw_clock_now(), left = tw_ns_since(deadline, now);
	struct timespec limit = { .tv_sec = (time_t)(left / TW_SECOND),
				  .tv_nsec = (long)(left % TW_SECOND) };
	int count = -1;

	if (!host->no_pwait2) {
		count = epoll_pwait2(host->epoll_fd, events, EVENTS,
				     deadline == TW_NEVER ? NULL : &limit, NULL);
		host->no_pwait2 = count < 0 && errno == ENOSYS;
	}
	if (host->no_pwait2)
		count = epoll_wait(host->epoll_fd, events, EVENTS,
				   deadline == TW_NEVER ? -1
							: (int)((left + TW_MSEC - 1) / TW_MSEC));
	if (count < 0)
		return errno == EINTR ? 0 : -errno;
	return count;
}

/* Between turns: a moment, if much is moving, the last turn found little of it, and nobody was kept
 * waiting. */
static void nap(struct tw_relay_host *host, tw_ns now)
{
	tw_ns counted = tw_ns_since(now, host->counted_since), length;
	double little = NAP_BYTES - (double)host->turn_bytes;
	bool more = host->more;

	host->counted += host->turn_bytes;
	host->turn_bytes = 0;
	host->more = false;
	if (counted >= RATE_EVERY) {
		host->rate = (double)host->counted * (double)TW_SECOND / (double)counted;
		host->counted_since = now;
		host->counted = 0;
	}
	if (more || little <= 0 || host->rate < NAP_RATE)
		return;
	length = tw_ns_min((tw_ns)(little * (double)TW_SECOND / host->rate), NAP_MAX);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){ .tv_nsec = (long)length }, NULL);
}

static void take_event(struct tw_relay_host *host, struct watch *watch, tw_ns now)
{
	switch (watch->type) {
	case WATCH_STOP:
		host->stop = true;
		break;
	case WATCH_LISTENER:
		accept_links(host, watch->owner, now);
		break;
	case WATCH_LINK:
		read_link(host, watch->owner, now);
		break;
	case WATCH_SOCKET:
		((struct port_socket *)watch->owner)->ready = true;
		break;
	}
}

static struct port_socket *ready_socket(const struct epoll_event *event)
{
	const struct watch *watch = event->data.ptr;
	struct port_socket *socket = watch->type == WATCH_SOCKET ? watch->owner : NULL;

	return socket && socket->ready && !socket->port->closed ? socket : NULL;
}

/* In the order of the events: the kernel puts who was served behind the others. Those of one key
 * share a turn. */
static void serve_sockets(struct tw_relay_host *host, const struct epoll_event *events, int count,
			  tw_ns now)
{
	int64_t quanta[EVENTS];

	for (int i = 0; i < count; i++) {
		const struct port_socket *mine = ready_socket(&events[i]);
		int64_t sharers = 0;

		for (int k = 0; mine && k < count; k++) {
			const struct port_socket *other = ready_socket(&events[k]);

			sharers +=
				other && tw_relay_same_key(mine->port->server, other->port->server);
		}
		quanta[i] = mine ? host->quantum / sharers : 0;
	}
	for (int i = 0; i < count; i++) {
		struct port_socket *socket = ready_socket(&events[i]);

		if (socket)
			serve_socket(host, socket, quanta[i], now);
	}
}

static int turn(struct tw_relay_host *host, tw_ns limit)
{
	struct epoll_event events[EVENTS];
	tw_ns now = tw_clock_now(), deadline;
	int count;

	nap(host, now);
	deadline = tw_relay_deadline(host->relay);
	deadline = tw_ns_min(tw_ns_min(deadline, limit), resume_ports(host, now));
	if (host->links)
		deadline = tw_ns_min(tw_ns_min(deadline, now + TW_SECOND), links_ready_at(host));
	count = wait_events(host, events, deadline);
	if (count < 0)
		return count;
	now = tw_clock_now();
	for (int i = 0; i < count; i++)
		take_event(host, events[i].data.ptr, now);
	serve_sockets(host, events, count, now);
	turn_valves(host, now);
	resume_links(host, now);
	tw_relay_timeout(host->relay, now);
	send_replies(host);
	tend_links(host, now);
	sweep_ports(host);
	return 0;
}

int tw_relay_host_run(struct tw_relay_host *host, int stop_fd)
{
	struct watch stop = { WATCH_STOP, NULL };
	int r = watch_fd(host, EPOLL_CTL_ADD, stop_fd, &stop, EPOLLIN);
	tw_ns end;

	while (!r && !host->stop)
		r = turn(host, TW_NEVER);
	epoll_ctl(host->epoll_fd, EPOLL_CTL_DEL, stop_fd, NULL);
	/* A word to the servers, so that they need not find out by silence. */
	tw_relay_say_end(host->relay);
	end = tw_clock_now() + FAREWELL;
	while (!r && host->links && tw_clock_now() < end)
		r = turn(host, end);
	return r;
}
