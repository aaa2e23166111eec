#include "netio/udp.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "netio/sockaddr.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define SINGLES_BATCH 64

static int set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value) ? -errno : 0;
}

static uint32_t get_buffer(int fd, int name)
{
	int granted = 0;
	socklen_t length = sizeof granted;

	if (getsockopt(fd, SOL_SOCKET, name, &granted, &length) || granted < 0)
		return 0;
	return (uint32_t)granted;
}

/* The FORCE forms need CAP_NET_ADMIN and pass by the system's maximum. */
static uint32_t set_buffer(int fd, int force, int plain, uint32_t bytes)
{
	if (set(fd, SOL_SOCKET, force, (int)bytes))
		set(fd, SOL_SOCKET, plain, (int)bytes);
	return get_buffer(fd, plain);
}

static uint32_t wanted(uint32_t bytes)
{
	return bytes ? bytes : TW_UDP_BUFFER_WANTED;
}

static void set_buffers(struct tw_udp *udp, const struct tw_udp_helper *helper)
{
	uint32_t receive = udp->receive_asked, send = udp->send_asked;

	udp->receive_granted = set_buffer(udp->fd, SO_RCVBUFFORCE, SO_RCVBUF, receive);
	udp->send_granted = set_buffer(udp->fd, SO_SNDBUFFORCE, SO_SNDBUF, send);
	/* The kernel counts twice what was asked for. */
	if (!helper || (udp->receive_granted / 2 >= receive && udp->send_granted / 2 >= send) ||
	    helper->set_buffers(helper->context, udp->fd, receive, send))
		return;
	udp->receive_granted = get_buffer(udp->fd, SO_RCVBUF);
	udp->send_granted = get_buffer(udp->fd, SO_SNDBUF);
}

static unsigned segments_probed;

static bool segments_accepted(int fd, const struct sockaddr_in *self, unsigned segments)
{
	static const uint8_t bytes[128];
	uint8_t sink[1];
	bool sent;

	assert(segments <= sizeof bytes);
	sent = sendto(fd, bytes, segments, MSG_DONTWAIT, (const struct sockaddr *)self,
		      sizeof *self) == (ssize_t)segments;
	while (recv(fd, sink, sizeof sink, MSG_DONTWAIT) >= 0)
		;
	return sent;
}

static void probe_segments(void)
{
	struct sockaddr_in self = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof self;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	segments_probed = 1;
	if (fd < 0)
		return;
	if (set(fd, SOL_UDP, UDP_SEGMENT, 1) == 0) {
		segments_probed = 64;
		if (bind(fd, (struct sockaddr *)&self, sizeof self) == 0 &&
		    getsockname(fd, (struct sockaddr *)&self, &length) == 0 &&
		    segments_accepted(fd, &self, 128))
			segments_probed = 128;
	}
	close(fd);
}

unsigned tw_udp_segments_probe(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, probe_segments);
	return segments_probed;
}

static int read_names(struct tw_udp *udp)
{
	struct sockaddr_storage storage;
	socklen_t length = sizeof storage;

	memset(&storage, 0, sizeof storage);
	if (getsockname(udp->fd, (struct sockaddr *)&storage, &length))
		return -errno;
	udp->local = tw_address_from_sockaddr(&storage);
	return 0;
}

static int connect_to(int fd, const struct tw_address *remote)
{
	struct sockaddr_storage storage;
	socklen_t length = tw_address_to_sockaddr(remote, &storage);

	return connect(fd, (struct sockaddr *)&storage, length) ? -errno : 0;
}

static int configure(int fd, bool ipv6)
{
	int r;

	if (ipv6) {
		r = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
		if (!r)
			r = set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
		if (!r)
			r = set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
	} else {
		r = set(fd, IPPROTO_IP, IP_PKTINFO, 1);
		if (!r)
			r = set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	}
	/* Kernels before 5.0 hand in single datagrams; nothing else changes. */
	set(fd, SOL_UDP, UDP_GRO, 1);
	return r;
}

int tw_udp_open(const struct tw_udp_options *options, struct tw_udp *ret)
{
	bool connected = options->remote.family != TW_FAMILY_NONE;
	const struct tw_address *named = connected ? &options->remote : &options->local;
	struct tw_udp udp = { .connected = connected,
			      .remote = options->remote,
			      .segments_max = 1 };
	struct sockaddr_storage storage;
	socklen_t length;
	int r;

	assert(named->family != TW_FAMILY_NONE);
	udp.fd = socket(named->family == TW_FAMILY_IPV6 ? AF_INET6 : AF_INET,
			SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (udp.fd < 0)
		return -errno;
	r = configure(udp.fd, named->family == TW_FAMILY_IPV6);
	udp.receive_asked = wanted(options->receive_bytes);
	udp.send_asked = wanted(options->send_bytes);
	udp.receive_told = options->receive_bytes != 0;
	udp.send_told = options->send_bytes != 0;
	set_buffers(&udp, options->helper);
	if (!options->no_segmentation)
		udp.segments_max = tw_udp_segments_probe();
	if (!r && options->shared_port)
		r = set(udp.fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!r && options->group == TW_UDP_JOINS)
		r = set(udp.fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!r && options->local.family != TW_FAMILY_NONE) {
		length = tw_address_to_sockaddr(&options->local, &storage);
		if (bind(udp.fd, (struct sockaddr *)&storage, length))
			r = -errno;
	}
	/* Not before: it would join whoever is there. */
	if (!r && options->group == TW_UDP_FOUNDS)
		r = set(udp.fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!r && connected)
		r = connect_to(udp.fd, &options->remote);
	/* Now that the system has chosen a port that is nobody else's. */
	if (!r && connected)
		r = set(udp.fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!r)
		r = read_names(&udp);
	if (r) {
		close(udp.fd);
		return r;
	}
	*ret = udp;
	return 0;
}

void tw_udp_close(struct tw_udp *udp)
{
	if (udp->fd >= 0)
		close(udp->fd);
	udp->fd = -1;
}

int tw_udp_reconnect(struct tw_udp *udp)
{
	struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	int r;

	assert(udp->connected);
	if (connect(udp->fd, &nobody, sizeof nobody) && errno != EAFNOSUPPORT)
		return -errno;
	r = connect_to(udp->fd, &udp->remote);
	return r ? r : read_names(udp);
}

/* Room for a source address and a segment size beside each other. */
union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
};

static void *add_control(struct msghdr *header, size_t *used, int level, int type, size_t length)
{
	struct cmsghdr *control = (struct cmsghdr *)((uint8_t *)header->msg_control + *used);

	control->cmsg_level = level;
	control->cmsg_type = type;
	control->cmsg_len = CMSG_LEN(length);
	*used += CMSG_SPACE(length);
	return CMSG_DATA(control);
}

/* Whence and whither of an unconnected send. Returns the control bytes used. */
static size_t address_message(struct msghdr *header, const struct tw_path *path,
			      struct sockaddr_storage *name)
{
	size_t used = 0;

	header->msg_namelen = tw_address_to_sockaddr(&path->remote, name);
	header->msg_name = name;
	if (path->local.family != path->remote.family || tw_address_is_any(&path->local))
		return 0;
	if (path->local.family == TW_FAMILY_IPV4) {
		struct in_pktinfo info = { 0 };

		memcpy(&info.ipi_spec_dst, path->local.ip, 4);
		memcpy(add_control(header, &used, IPPROTO_IP, IP_PKTINFO, sizeof info), &info,
		       sizeof info);
	} else {
		struct in6_pktinfo info = { .ipi6_ifindex = path->local.scope };

		memcpy(&info.ipi6_addr, path->local.ip, 16);
		memcpy(add_control(header, &used, IPPROTO_IPV6, IPV6_PKTINFO, sizeof info), &info,
		       sizeof info);
	}
	return used;
}

/* One system call for all of @pieces. Bytes sent or -errno. */
static ssize_t send_segmented(struct tw_udp *udp, const struct tw_path *path,
			      const struct iovec *pieces, unsigned count, uint32_t segment)
{
	struct msghdr header = { .msg_iov = (struct iovec *)(uintptr_t)pieces,
				 .msg_iovlen = count };
	struct sockaddr_storage name;
	union control control;
	size_t length = 0, used = 0;
	ssize_t sent;
	int r;

	for (unsigned i = 0; i < count; i++)
		length += pieces[i].iov_len;
	if (udp->fail_segmentation && length > segment)
		return -EIO;
	memset(&control, 0, sizeof control);
	header.msg_control = control.bytes;
	if (!udp->connected)
		used = address_message(&header, path, &name);
	if (length > segment && udp->connected && udp->segment_set != segment) {
		r = set(udp->fd, SOL_UDP, UDP_SEGMENT, (int)segment);
		if (r)
			return r;
		udp->segment_set = segment;
	} else if (length > segment && !udp->connected) {
		uint16_t size = (uint16_t)segment;

		memcpy(add_control(&header, &used, SOL_UDP, UDP_SEGMENT, sizeof size), &size,
		       sizeof size);
	} else if (length <= segment && udp->segment_set && length > udp->segment_set) {
		/*
		 * A lone datagram longer than the size in force, a probe of the path MTU, must not
		 * be cut up.
		 */
		r = set(udp->fd, SOL_UDP, UDP_SEGMENT, 0);
		if (r)
			return r;
		udp->segment_set = 0;
	}
	header.msg_controllen = used;
	if (!used)
		header.msg_control = NULL;
	do
		sent = sendmsg(udp->fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

/*
 * Datagram by datagram, many to a call. Bytes sent (whole datagrams) or -errno when not even one
 * went.
 */
static ssize_t send_singly(struct tw_udp *udp, const struct tw_path *path, uint8_t *bytes,
			   size_t length, uint32_t segment)
{
	struct mmsghdr headers[SINGLES_BATCH];
	struct iovec pieces[SINGLES_BATCH];
	struct sockaddr_storage name;
	union control control;
	struct msghdr first = { .msg_control = control.bytes };
	size_t used = 0, done = 0;
	unsigned count = 0;
	int sent, r;

	memset(&control, 0, sizeof control);
	if (!udp->connected)
		used = address_message(&first, path, &name);
	first.msg_controllen = used;
	if (!used)
		first.msg_control = NULL;
	if (udp->segment_set) {
		r = set(udp->fd, SOL_UDP, UDP_SEGMENT, 0);
		if (r)
			return r;
		udp->segment_set = 0;
	}
	for (size_t at = 0; at < length && count < SINGLES_BATCH; at += segment, count++) {
		pieces[count] =
			(struct iovec){ bytes + at, length - at < segment ? length - at : segment };
		headers[count] = (struct mmsghdr){ .msg_hdr = first };
		headers[count].msg_hdr.msg_iov = &pieces[count];
		headers[count].msg_hdr.msg_iovlen = 1;
	}
	do
		sent = sendmmsg(udp->fd, headers, count, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	for (int i = 0; i < sent; i++)
		done += pieces[i].iov_len;
	return (ssize_t)done;
}

/*
 * What a refused segmented send says about the socket. EIO: the card or driver cannot, for good.
 * EINVAL: too many segments for this kernel, or datagrams longer than the interface carries, which
 * the single send tells apart.
 */
static void note_segmentation_failure(struct tw_udp *udp, int error, unsigned segments,
				      bool singles_work)
{
	if (error == -EINVAL && segments > 64)
		udp->segments_max = 64;
	else if (error == -EIO || error == -EOPNOTSUPP || singles_work)
		udp->segments_max = 1;
}

static bool segmentation_failed(ssize_t sent)
{
	return sent == -EIO || sent == -EINVAL || sent == -EMSGSIZE || sent == -EOPNOTSUPP;
}

static ssize_t send_some(struct tw_udp *udp, const struct tw_train *train, size_t from)
{
	size_t left = train->length - from;
	struct iovec piece;
	unsigned segments;
	ssize_t sent, singly;

	if (left > train->segment && udp->segments_max == 1)
		return send_singly(udp, &train->path, train->bytes + from, left, train->segment);
	if (left > (size_t)train->segment * udp->segments_max)
		left = (size_t)train->segment * udp->segments_max;
	segments = (unsigned)((left + train->segment - 1) / train->segment);
	piece = (struct iovec){ train->bytes + from, left };
	sent = send_segmented(udp, &train->path, &piece, 1, train->segment);
	if (segments == 1 || !segmentation_failed(sent))
		return sent;
	singly = send_singly(udp, &train->path, train->bytes + from, left, train->segment);
	note_segmentation_failure(udp, (int)sent, segments, singly > 0);
	return singly;
}

static int failure(struct tw_udp *udp, int error)
{
	switch (-error) {
	case EAGAIN:
		return TW_E_AGAIN;
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
		udp->counters.refused++;
		udp->error = -error;
		return TW_E_UNREACHABLE;
	case EMSGSIZE:
		udp->counters.too_long++;
		return error;
	case ENOBUFS:
	case ENOMEM:
	case EPERM:
		/*
		 * A full queue below us, or a packet filter: to the path this is loss, and the core
		 * deals with loss.
		 */
		udp->counters.dropped++;
		return 0;
	default:
		udp->counters.dropped++;
		return error;
	}
}

static void count_sent(struct tw_udp *udp, size_t bytes, uint32_t segment)
{
	udp->counters.sends++;
	udp->counters.packets_sent += (bytes + segment - 1) / segment;
	udp->counters.bytes_sent += bytes;
}

int tw_udp_send(struct tw_udp *udp, const struct tw_train *train, size_t *sent)
{
	assert(train->segment > 0 && train->length <= TW_UDP_TRAIN_MAX && *sent <= train->length);
	while (*sent < train->length) {
		ssize_t now = send_some(udp, train, *sent);

		if (now <= 0)
			return failure(udp, (int)now);
		count_sent(udp, (size_t)now, train->segment);
		*sent += (size_t)now;
	}
	return 0;
}

static void send_piece(struct tw_udp *udp, const struct tw_path *path, uint32_t segment,
		       const struct iovec *piece)
{
	const struct tw_train train = { .bytes = piece->iov_base,
					.room = piece->iov_len,
					.length = piece->iov_len,
					.segment = segment,
					.path = *path };
	size_t sent = 0;

	/* A refusal that belongs to an earlier datagram took the call: once more. */
	if (tw_udp_send(udp, &train, &sent) == TW_E_UNREACHABLE)
		(void)tw_udp_send(udp, &train, &sent);
}

void tw_udp_send_pieces(struct tw_udp *udp, const struct tw_path *path, uint32_t segment,
			const struct iovec *pieces, unsigned count)
{
	size_t length = 0, segments;
	ssize_t sent;

	assert(count > 0 && count <= TW_UDP_PIECES_MAX);
	for (unsigned i = 0; i < count; i++)
		length += pieces[i].iov_len;
	segments = (length + segment - 1) / segment;
	if (count > 1 && segments <= udp->segments_max) {
		sent = send_segmented(udp, path, pieces, count, segment);
		if (sent > 0) {
			count_sent(udp, (size_t)sent, segment);
			return;
		}
		if (sent == -EAGAIN || sent == -ENOBUFS || sent == -ENOMEM) {
			udp->counters.dropped++;
			return;
		}
		note_segmentation_failure(udp, (int)sent, (unsigned)segments, false);
	}
	for (unsigned i = 0; i < count; i++)
		send_piece(udp, path, segment, &pieces[i]);
}

union receive_control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
};

static void read_control(const struct tw_udp *udp, struct msghdr *header,
			 struct tw_udp_message *message)
{
	message->path.local = udp->local;
	for (struct cmsghdr *at = CMSG_FIRSTHDR(header); at; at = CMSG_NXTHDR(header, at)) {
		if (at->cmsg_level == SOL_UDP && at->cmsg_type == UDP_GRO) {
			int segment;

			memcpy(&segment, CMSG_DATA(at), sizeof segment);
			if (segment > 0)
				message->segment = (uint32_t)segment;
		} else if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(at), sizeof info);
			memcpy(message->path.local.ip, &info.ipi_spec_dst, 4);
		} else if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(at), sizeof info);
			memcpy(message->path.local.ip, &info.ipi6_addr, 16);
			message->path.local.scope =
				IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) ? info.ipi6_ifindex : 0;
		}
	}
}

int tw_udp_receive(struct tw_udp *udp, struct tw_udp_message *messages, unsigned count,
		   unsigned *ret_count)
{
	struct mmsghdr headers[TW_UDP_BATCH];
	struct iovec pieces[TW_UDP_BATCH];
	struct sockaddr_storage names[TW_UDP_BATCH];
	union receive_control controls[TW_UDP_BATCH];
	int got;

	assert(count > 0 && count <= TW_UDP_BATCH);
	for (unsigned i = 0; i < count; i++) {
		pieces[i] = (struct iovec){ messages[i].bytes, messages[i].room };
		headers[i].msg_hdr = (struct msghdr){
			.msg_name = &names[i],
			.msg_namelen = sizeof names[i],
			.msg_iov = &pieces[i],
			.msg_iovlen = 1,
			.msg_control = controls[i].bytes,
			.msg_controllen = sizeof controls[i],
		};
	}
	do
		got = recvmmsg(udp->fd, headers, count, MSG_DONTWAIT, NULL);
	while (got < 0 && errno == EINTR);
	if (got < 0) {
		int r = failure(udp, -errno);

		return r ? r : TW_E_AGAIN;
	}
	udp->counters.receives++;
	for (int i = 0; i < got; i++) {
		struct tw_udp_message *message = &messages[i];

		message->length = headers[i].msg_len;
		message->segment = headers[i].msg_len ? headers[i].msg_len : 1;
		if (headers[i].msg_hdr.msg_flags & MSG_TRUNC)
			message->length = 0;
		message->path.remote =
			udp->connected ? udp->remote : tw_address_from_sockaddr(&names[i]);
		read_control(udp, &headers[i].msg_hdr, message);
		udp->counters.packets_received +=
			(message->length + message->segment - 1) / message->segment;
		udp->counters.bytes_received += message->length;
	}
	*ret_count = (unsigned)got;
	return 0;
}

/* Steps of two: a rate that grows does not mean a call each time. */
static uint32_t ask(uint32_t needed)
{
	uint32_t bytes = TW_UDP_BUFFER_WANTED;

	while (bytes < needed)
		bytes *= 2;
	return bytes;
}

static bool grow(uint32_t *needed, uint32_t *asked, bool told, uint64_t bytes)
{
	uint32_t more;

	if (told || bytes <= *needed)
		return false;
	*needed = bytes < TW_UDP_BUFFER_MOST ? (uint32_t)bytes : TW_UDP_BUFFER_MOST;
	more = ask(*needed);
	if (more <= *asked)
		return false;
	*asked = more;
	return true;
}

void tw_udp_fit(struct tw_udp *udp, uint64_t receive, uint64_t send,
		const struct tw_udp_helper *helper)
{
	bool more = grow(&udp->receive_needed, &udp->receive_asked, udp->receive_told, receive);

	if (grow(&udp->send_needed, &udp->send_asked, udp->send_told, send) || more)
		set_buffers(udp, helper);
}

static uint32_t least(uint32_t needed, uint32_t asked, bool told)
{
	if (needed)
		return needed;
	return told && asked < TW_UDP_BUFFER_LEAST ? asked : TW_UDP_BUFFER_LEAST;
}

/* The kernel counts each buffer twice, half of it for its own bookkeeping. */
static const char *command(const struct tw_udp *udp, uint32_t receive, uint32_t send,
			   char ret[TW_UDP_ADVICE])
{
	size_t at = 0;

	ret[0] = '\0';
	if (udp->receive_granted / 2 < receive)
		at = (size_t)snprintf(ret, TW_UDP_ADVICE, "sysctl -w net.core.rmem_max=%" PRIu32,
				      udp->receive_asked);
	if (udp->send_granted / 2 < send)
		snprintf(ret + at, TW_UDP_ADVICE - at, "%s net.core.wmem_max=%" PRIu32,
			 at ? "" : "sysctl -w", udp->send_asked);
	return ret;
}

const char *tw_udp_advice(const struct tw_udp *udp, char ret[TW_UDP_ADVICE])
{
	return command(udp, least(udp->receive_needed, udp->receive_asked, udp->receive_told),
		       least(udp->send_needed, udp->send_asked, udp->send_told), ret);
}

const char *tw_udp_shortage(const struct tw_udp *udp, char ret[TW_UDP_ADVICE])
{
	return command(udp, udp->receive_needed, udp->send_needed, ret);
}
