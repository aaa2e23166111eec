#include "api/http.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "api/http_internal.h"
#include "netio/clock.h"
#include "netio/sockaddr.h"

#define BACKLOG 1024

/* Whether both are one account, or one other machine: of IPv6, one network of 64 bits. */
static bool is_of(const struct tw_http_conn *conn, const struct tw_http_peer *peer)
{
	const struct tw_address *one = &conn->peer.from, *other = &peer->from;

	if (peer->local)
		return conn->peer.uid == peer->uid;
	return peer->remote && one->family == other->family &&
	       memcmp(one->ip, other->ip, one->family == TW_FAMILY_IPV4 ? 4 : 8) == 0;
}

/* How many connections an account or a machine has, and which of them has waited for longest. */
static size_t count_of(const struct tw_http_side *side, const struct tw_http_peer *peer,
		       struct tw_http_conn **ret_oldest)
{
	struct tw_http_conn *conn;
	size_t count = 0;

	*ret_oldest = NULL;
	for (conn = TAILQ_FIRST(&side->waiting); conn; conn = TAILQ_NEXT(conn, links)) {
		if (!is_of(conn, peer))
			continue;
		count++;
		*ret_oldest = *ret_oldest ? *ret_oldest : conn;
	}
	for (conn = TAILQ_FIRST(&side->busy); conn; conn = TAILQ_NEXT(conn, links)) {
		count += is_of(conn, peer);
	}
	return count;
}

/* One account, or one machine, cannot keep others out: what it has too much goes before what others
 * have. */
static bool make_room(struct tw_http_side *side, const struct tw_http_peer *peer)
{
	struct tw_http_conn *oldest;
	bool much = count_of(side, peer, &oldest) >=
		    (side->local ? TW_HTTP_ACCOUNT_MAX : TW_HTTP_SOURCE_MAX);

	if (side->count < TW_HTTP_CONNECTIONS_MAX && !much)
		return true;
	if (!much)
		oldest = TAILQ_FIRST(&side->waiting);
	if (!oldest) {
		side->http->refused++;
		return false;
	}
	side->http->dropped++;
	tw_http_conn_close(oldest);
	return true;
}

static int learn_peer(int fd, const struct sockaddr *address, struct tw_http_peer *ret)
{
	struct ucred credentials;
	socklen_t length = sizeof credentials;

	if (address->sa_family != AF_UNIX) {
		ret->from = tw_address_from_sockaddr(
			(const struct sockaddr_storage *)(const void *)address);
		tw_address_format_ip(&ret->from, ret->address);
		ret->port = ret->from.port;
		ret->remote = !tw_address_is_loopback(&ret->from);
		return ret->from.family == TW_FAMILY_NONE ? -EAFNOSUPPORT : 0;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length))
		return -errno;
	ret->local = true;
	ret->uid = credentials.uid;
	ret->gid = credentials.gid;
	return 0;
}

static void accepted(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
		     int length, void *context)
{
	struct tw_http_side *side = context;
	struct tw_http_peer peer = { 0 };
	int on = 1;

	(void)listener;
	(void)length;
	if (learn_peer(fd, address, &peer) || peer.local != side->local ||
	    !make_room(side, &peer)) {
		close(fd);
		return;
	}
	if (!peer.local)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	side->http->connections++;
	tw_http_conn_open(side, fd, &peer);
}

/* No descriptors or no memory: to ask again at once would only spin. */
static void accept_failed(struct evconnlistener *listener, void *context)
{
	struct tw_http_side *side = context;
	struct tw_http *http = side->http;
	struct tw_http_conn *oldest = TAILQ_FIRST(&side->waiting);

	if (oldest) {
		http->dropped++;
		tw_http_conn_close(oldest);
		return;
	}
	evconnlistener_disable(listener);
	http->paused = true;
}

static void write_date(struct tw_http *http)
{
	time_t now = time(NULL);
	struct tm parts;

	gmtime_r(&now, &parts);
	strftime(http->date, sizeof http->date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

static void sweep_queue(struct tw_http_queue *queue, tw_ns now)
{
	for (struct tw_http_conn *conn = TAILQ_FIRST(queue), *next; conn; conn = next) {
		next = TAILQ_NEXT(conn, links);
		tw_http_conn_sweep(conn, now);
	}
}

static void sweep(evutil_socket_t fd, short what, void *context)
{
	struct tw_http *http = context;
	tw_ns now = tw_clock_now();

	(void)fd;
	(void)what;
	write_date(http);
	for (size_t i = 0; i < 2; i++) {
		sweep_queue(&http->sides[i].waiting, now);
		sweep_queue(&http->sides[i].busy, now);
	}
	for (size_t i = 0; http->paused && i < http->listener_count; i++)
		evconnlistener_enable(http->listeners[i]);
	http->paused = false;
}

int tw_http_new(struct event_base *base, const struct tw_http_handler *handler,
		struct tw_http **ret)
{
	const struct timeval second = { 1, 0 };
	struct tw_http *http = calloc(1, sizeof *http);

	if (!http)
		return -ENOMEM;
	http->base = base;
	http->handler = *handler;
	for (size_t i = 0; i < 2; i++) {
		http->sides[i].http = http;
		http->sides[i].local = i == 1;
		TAILQ_INIT(&http->sides[i].waiting);
		TAILQ_INIT(&http->sides[i].busy);
	}
	write_date(http);
	http->sweep = event_new(base, -1, EV_PERSIST, sweep, http);
	if (!http->sweep || event_add(http->sweep, &second)) {
		tw_http_free(http);
		return -ENOMEM;
	}
	*ret = http;
	return 0;
}

void tw_http_use_tls(struct tw_http *http, struct ssl_ctx_st *tls)
{
	http->tls = tls;
}

void tw_http_free(struct tw_http *http)
{
	struct tw_http_conn *conn;

	for (size_t i = 0; i < http->listener_count; i++)
		evconnlistener_free(http->listeners[i]);
	for (size_t i = 0; i < 2; i++) {
		while ((conn = TAILQ_FIRST(&http->sides[i].waiting)))
			tw_http_conn_close(conn);
		while ((conn = TAILQ_FIRST(&http->sides[i].busy)))
			tw_http_conn_close(conn);
	}
	if (http->sweep)
		event_free(http->sweep);
	free(http);
}

static int listen_on(struct tw_http *http, int fd, bool local)
{
	struct evconnlistener *listener;

	if (http->listener_count == TW_HTTP_LISTENERS_MAX)
		return -ENOSPC;
	listener = evconnlistener_new(http->base, accepted, &http->sides[local],
				      LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
	if (!listener)
		return errno ? -errno : -ENOMEM;
	evconnlistener_set_error_cb(listener, accept_failed);
	http->listeners[http->listener_count++] = listener;
	if (local)
		http->unix_listener = listener;
	return 0;
}

int tw_http_listen_tcp(struct tw_http *http, const struct tw_address *at, uint16_t *ret_port)
{
	struct sockaddr_storage address;
	socklen_t length = tw_address_to_sockaddr(at, &address), told = sizeof address;
	int fd, on = 1, r = 0;

	if (!length)
		return -EINVAL;
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (address.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, length) ||
	    getsockname(fd, (struct sockaddr *)&address, &told))
		r = -errno;
	errno = 0;
	if (!r)
		r = listen_on(http, fd, false);
	if (r) {
		close(fd);
		return r;
	}
	*ret_port = tw_address_from_sockaddr(&address).port;
	return 0;
}

int tw_http_listen_unix(struct tw_http *http, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat there;
	int fd, r = 0;

	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (lstat(path, &there) == 0 && S_ISSOCK(there.st_mode))
		unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof address) || chmod(path, 0666))
		r = -errno;
	errno = 0;
	if (!r)
		r = listen_on(http, fd, true);
	if (r)
		close(fd);
	return r;
}

int tw_http_unix_socket(const struct tw_http *http)
{
	return http->unix_listener ? evconnlistener_get_fd(http->unix_listener) : -1;
}

void tw_http_figures(const struct tw_http *http, struct tw_http_figures *ret)
{
	*ret = (struct tw_http_figures){
		.connections = http->connections,
		.refused = http->refused,
		.dropped = http->dropped,
		.requests = http->requests,
		.open = http->sides[0].count + http->sides[1].count,
	};
}
