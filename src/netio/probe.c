#include "netio/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "core/endpoint.h"
#include "netio/clock.h"
#include "wire/datagram.h"

#define PROBES 40
#define PROBE_EVERY (25 * TW_MSEC)
#define PROBE_PATIENCE (1500 * TW_MSEC) /* for the last answers */
#define SIZE_TRIES 3
#define NOBODYS_VERSION UINT32_C(0x5457ffff)
#define HANDSHAKE_LIMIT (4 * TW_SECOND)
#define DISK_SPAN TW_SECOND
#define DISK_BLOCK ((size_t)4 << 20)
#define DISK_MOST ((uint64_t)2 << 30)

/* Payloads that fill what networks are built with: jumbo frames, Ethernet, tunnels, IPv6's least.
 */
static const uint32_t sizes[] = {
	8972, 8952, 8152, 4048, 1472, 1452, 1432, 1412, 1392, 1372, 1232
};
#define SIZES (sizeof sizes / sizeof *sizes)

struct prober {
	struct tw_udp udp;
	uint64_t cid; /* of the first; the others count on */
	tw_ns sent_at[PROBES];
	bool seen[PROBES + SIZES];
	tw_ns rtt_sum;
	struct tw_probe_udp *result;
};

static void send_probe(struct prober *prober, unsigned number, uint32_t length)
{
	uint8_t bytes[TW_DATAGRAM_MAX] = { 0 };
	struct tw_writer writer;
	struct tw_train train = { .bytes = bytes, .length = length, .segment = length };
	size_t sent = 0;
	int r;

	tw_writer_init(&writer, bytes, sizeof bytes);
	tw_write_u8(&writer, TW_DATAGRAM_INIT);
	tw_write_u32(&writer, NOBODYS_VERSION);
	tw_write_u64(&writer, prober->cid + number);
	r = tw_udp_send(&prober->udp, &train, &sent);
	/* A refusal is told once, by whatever call comes first. */
	if (r == TW_E_UNREACHABLE) {
		prober->result->error = prober->udp.error;
		(void)tw_udp_send(&prober->udp, &train, &sent);
	}
}

static void take_answer(struct prober *prober, const uint8_t *bytes, size_t length, tw_ns now)
{
	struct tw_datagram answer;
	uint64_t number;
	tw_ns rtt;

	if (tw_datagram_parse(bytes, length, &answer) || answer.type != TW_DATAGRAM_VERSIONS)
		return;
	number = answer.dcid - prober->cid;
	if (number >= PROBES + SIZES || prober->seen[number])
		return;
	prober->seen[number] = true;
	if (number >= PROBES) {
		if (sizes[number - PROBES] > prober->result->datagram_bytes)
			prober->result->datagram_bytes = sizes[number - PROBES];
		return;
	}
	rtt = tw_ns_max(tw_ns_since(now, prober->sent_at[number]), 1);
	prober->rtt_sum += rtt;
	prober->result->answered++;
	if (!prober->result->rtt_min || rtt < prober->result->rtt_min)
		prober->result->rtt_min = rtt;
	if (prober->result->datagram_bytes < TW_DATAGRAM_INIT_MIN)
		prober->result->datagram_bytes = TW_DATAGRAM_INIT_MIN;
}

/* Takes what comes until @until, or until all that has been sent is answered. */
static void listen_for_answers(struct prober *prober, tw_ns until)
{
	uint8_t bytes[2048];

	for (tw_ns now = tw_clock_now(); now < until; now = tw_clock_now()) {
		struct pollfd fd = { .fd = prober->udp.fd, .events = POLLIN };
		struct tw_udp_message message = { .bytes = bytes, .room = sizeof bytes };
		struct timespec limit = { .tv_sec = (time_t)((until - now) / TW_SECOND),
					  .tv_nsec = (long)((until - now) % TW_SECOND) };
		unsigned count;
		int r;

		if (ppoll(&fd, 1, &limit, NULL) <= 0)
			continue;
		r = tw_udp_receive(&prober->udp, &message, 1, &count);
		if (r == TW_E_UNREACHABLE)
			prober->result->error = prober->udp.error;
		for (size_t at = 0; !r && at < message.length; at += message.segment)
			take_answer(prober, bytes + at,
				    message.length - at < message.segment ? message.length - at
									  : message.segment,
				    tw_clock_now());
	}
}

static void try_sizes(struct prober *prober)
{
	tw_ns pause = prober->result->rtt_mean * 2 + 50 * TW_MSEC;

	for (unsigned turn = 0; turn < SIZE_TRIES; turn++) {
		for (unsigned i = 0; i < SIZES; i++)
			if (!prober->seen[PROBES + i] && sizes[i] > prober->result->datagram_bytes)
				send_probe(prober, PROBES + i, sizes[i]);
		listen_for_answers(prober, tw_clock_now() + pause);
	}
}

int tw_probe_udp(const struct tw_address *remote, struct tw_probe_udp *ret)
{
	struct prober prober = { .result = ret };
	struct tw_udp_options options = { .remote = *remote };
	struct tw_random random = tw_system_random();
	int r = tw_udp_open(&options, &prober.udp);

	*ret = (struct tw_probe_udp){ .error = -r };
	if (r)
		return r;
	ret->local = prober.udp.local;
	ret->receive_granted = prober.udp.receive_granted;
	ret->send_granted = prober.udp.send_granted;
	tw_udp_advice(&prober.udp, ret->advice);
	/* So far from the end that it does not wrap. */
	prober.cid = tw_random_u64(&random) >> 1;
	for (unsigned i = 0; i < PROBES; i++) {
		prober.sent_at[i] = tw_clock_now();
		send_probe(&prober, i, TW_DATAGRAM_INIT_MIN);
		ret->sent++;
		listen_for_answers(&prober, prober.sent_at[i] + PROBE_EVERY);
		/* Nobody there, for sure: the rest would say the same. */
		if (ret->error == ECONNREFUSED && i >= 3 && !ret->answered)
			break;
	}
	if (ret->answered < ret->sent && ret->error != ECONNREFUSED)
		listen_for_answers(&prober, tw_clock_now() + PROBE_PATIENCE);
	if (ret->answered) {
		ret->rtt_mean = prober.rtt_sum / ret->answered;
		try_sizes(&prober);
	}
	tw_udp_close(&prober.udp);
	return 0;
}

/* The handshake. */

struct handshake {
	struct tw_probe_handshake *result;
	bool over;
};

static void note(struct handshake *handshake, struct tw_conn *conn)
{
	struct tw_conn_info info;

	tw_conn_info(conn, &info);
	handshake->result->observed = info.observed;
	handshake->over = true;
}

static void on_established(void *app, struct tw_conn *conn)
{
	struct handshake *handshake = app;

	handshake->result->established = true;
	note(handshake, conn);
	tw_conn_close(conn, 0, "");
}

static void on_closed(void *app, struct tw_conn *conn, enum tw_conn_end end, uint64_t code,
		      const char *reason)
{
	struct handshake *handshake = app;

	(void)code;
	(void)reason;
	if (handshake->over)
		return;
	handshake->result->end = end;
	note(handshake, conn);
}

static const struct tw_conn_app handshake_app = {
	.established = on_established,
	.closed = on_closed,
};

/* Until @handshake is over and what is to be said has left. */
static void run_endpoint(struct tw_endpoint *endpoint, struct tw_udp *udp,
			 const struct handshake *handshake, tw_ns until)
{
	static uint8_t out[TW_UDP_TRAIN_MAX], in[65536];
	tw_ns now = tw_clock_now();

	for (bool last = false; now < until && !last; now = tw_clock_now()) {
		struct tw_train train = { .bytes = out, .room = sizeof out };
		struct tw_udp_message message = { .bytes = in, .room = sizeof in };
		struct pollfd fd = { .fd = udp->fd, .events = POLLIN };
		unsigned count;

		last = handshake->over;
		while (tw_endpoint_send(endpoint, &train, now)) {
			size_t sent = 0;

			(void)tw_udp_send(udp, &train, &sent);
		}
		if (last || poll(&fd, 1, 20) <= 0)
			continue;
		if (tw_udp_receive(udp, &message, 1, &count))
			continue;
		for (size_t at = 0; at < message.length; at += message.segment)
			tw_endpoint_receive(endpoint, &message.path, in + at,
					    message.length - at < message.segment
						    ? message.length - at
						    : message.segment,
					    tw_clock_now());
	}
}

int tw_probe_handshake(const struct tw_address *remote, const struct tw_identity *identity,
		       const struct tw_public_key *key, struct tw_probe_handshake *ret)
{
	struct handshake handshake = { .result = ret };
	struct tw_endpoint_config config = { .identity = identity, .random = tw_system_random() };
	struct tw_connect connect = { .remote = *remote,
				      .peer_key = *key,
				      .cipher = TW_CIPHER_128,
				      .app = &handshake_app,
				      .app_context = &handshake,
				      .handshake_timeout = HANDSHAKE_LIMIT };
	struct tw_udp_options options = { .remote = *remote };
	struct tw_endpoint *endpoint = NULL;
	struct tw_conn *conn;
	struct tw_udp udp;
	tw_ns start = tw_clock_now();
	int r = tw_udp_open(&options, &udp);

	if (r)
		return r;
	*ret = (struct tw_probe_handshake){ .end = TW_CONN_TIMEOUT };
	r = tw_endpoint_new(&config, start, &endpoint);
	if (!r)
		r = tw_endpoint_connect(endpoint, &connect, start, &conn);
	if (!r)
		run_endpoint(endpoint, &udp, &handshake, start + HANDSHAKE_LIMIT + TW_SECOND);
	ret->took = tw_ns_since(tw_clock_now(), start);
	/* What is told from now on is nobody's. */
	handshake.over = true;
	tw_endpoint_free(endpoint);
	tw_udp_close(&udp);
	return r;
}

/* The disk. */

static uint64_t rate_of(uint64_t bytes, tw_ns span)
{
	return span ? (uint64_t)((double)bytes * 8e9 / (double)span) : 0;
}

static int write_for_a_while(int fd, const uint8_t *block, uint64_t *ret_bytes, tw_ns *ret_span)
{
	tw_ns start = tw_clock_now();
	uint64_t bytes = 0;

	while (bytes < DISK_MOST && tw_ns_since(tw_clock_now(), start) < DISK_SPAN) {
		ssize_t written = write(fd, block, DISK_BLOCK);

		if (written < 0 && errno == EINTR)
			continue;
		/* A full disk is as far as this goes. */
		if (written < 0 && (errno != ENOSPC || !bytes))
			return -errno;
		if (written <= 0)
			break;
		bytes += (uint64_t)written;
	}
	if (fdatasync(fd))
		return -errno;
	*ret_bytes = bytes;
	*ret_span = tw_ns_since(tw_clock_now(), start);
	return 0;
}

static void read_for_a_while(int fd, uint8_t *block, struct tw_probe_disk *ret)
{
	uint64_t bytes = 0;
	tw_ns start;

	if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) || lseek(fd, 0, SEEK_SET) < 0)
		return;
	start = tw_clock_now();
	while (tw_ns_since(tw_clock_now(), start) < DISK_SPAN) {
		ssize_t got = read(fd, block, DISK_BLOCK);

		if (got <= 0)
			break;
		bytes += (uint64_t)got;
	}
	ret->read_bps = rate_of(bytes, tw_ns_since(tw_clock_now(), start));
}

int tw_probe_disk(const char *folder, struct tw_probe_disk *ret)
{
	uint8_t *block = malloc(DISK_BLOCK);
	struct tw_random random = tw_system_random();
	struct statvfs space;
	uint64_t bytes = 0;
	tw_ns span = 0;
	int fd = -1, r = block ? 0 : -ENOMEM;

	*ret = (struct tw_probe_disk){ 0 };
	if (!r && (fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) < 0)
		r = -errno;
	if (!r) {
		/* No file system shall find it easy. */
		tw_random_fill(&random, block, DISK_BLOCK);
		if (statvfs(folder, &space) == 0)
			ret->free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
		r = write_for_a_while(fd, block, &bytes, &span);
	}
	if (!r) {
		ret->write_bps = rate_of(bytes, span);
		read_for_a_while(fd, block, ret);
	}
	if (fd >= 0)
		close(fd);
	free(block);
	return r;
}
