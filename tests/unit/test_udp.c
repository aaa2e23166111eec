#include "unit.h"

#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "netio/gather.h"
#include "netio/joiner.h"
#include "netio/sockaddr.h"
#include "netio/udp.h"

struct pair {
	struct tw_udp server, client;
};

static bool has_ipv6(void)
{
	struct tw_udp_options options = { .local = { .family = TW_FAMILY_IPV6,
						     .ip = { [15] = 1 } } };
	struct tw_udp udp;

	if (tw_udp_open(&options, &udp))
		return false;
	tw_udp_close(&udp);
	return true;
}

/* A listening socket on a loopback address and one connected to it. */
static void open_pair(struct pair *pair, const char *ip, bool no_segmentation)
{
	struct tw_udp_options options = { .no_segmentation = no_segmentation };

	assert_true(tw_address_parse_ip(ip, &options.local));
	assert_int_equal(tw_udp_open(&options, &pair->server), 0);
	options.remote = pair->server.local;
	options.local = (struct tw_address){ 0 };
	assert_int_equal(tw_udp_open(&options, &pair->client), 0);
	assert_true(pair->client.connected);
	assert_int_not_equal(pair->client.local.port, 0);
	assert_int_not_equal(pair->server.local.port, 0);
}

static void close_pair(struct pair *pair)
{
	tw_udp_close(&pair->server);
	tw_udp_close(&pair->client);
}

static uint8_t train_bytes[65536], received[TW_UDP_BATCH][65536];

static struct tw_train make_train(uint32_t segment, size_t length, const struct tw_path *path)
{
	struct tw_train train = { .bytes = train_bytes,
				  .room = sizeof train_bytes,
				  .length = length,
				  .segment = segment };

	if (path)
		train.path = *path;
	for (size_t i = 0; i < length; i++)
		train_bytes[i] = (uint8_t)(i * 7 + i / 251);
	return train;
}

static int receive_some(struct tw_udp *udp, struct tw_udp_message *messages, unsigned *ret_count)
{
	struct pollfd fd = { .fd = udp->fd, .events = POLLIN };

	for (unsigned i = 0; i < TW_UDP_BATCH; i++) {
		messages[i].bytes = received[i];
		messages[i].room = sizeof received[i];
	}
	assert_int_equal(poll(&fd, 1, 5000), 1);
	return tw_udp_receive(udp, messages, TW_UDP_BATCH, ret_count);
}

/*
 * Receives until @length bytes have come; checks their order, their cutting and whence they came.
 */
static void expect_train(struct tw_udp *udp, const struct tw_train *train, struct tw_path *ret_path)
{
	size_t at = 0;

	while (at < train->length) {
		struct tw_udp_message messages[TW_UDP_BATCH];
		unsigned count;

		assert_int_equal(receive_some(udp, messages, &count), 0);
		for (unsigned i = 0; i < count; i++) {
			assert_true(messages[i].length <= train->length - at);
			if (messages[i].length > train->segment)
				assert_int_equal(messages[i].segment, train->segment);
			else
				assert_int_equal(messages[i].segment, messages[i].length);
			assert_memory_equal(messages[i].bytes, train->bytes + at,
					    messages[i].length);
			at += messages[i].length;
			*ret_path = messages[i].path;
		}
	}
}

/* Both directions; the answer leaves from the address that was asked. */
static void round_trip(const char *ip, bool no_segmentation, bool fail, uint32_t segment,
		       size_t length)
{
	struct tw_path path;
	struct tw_train train = make_train(segment, length, NULL);
	struct pair pair;
	size_t sent = 0;

	open_pair(&pair, ip, no_segmentation);
	pair.client.fail_segmentation = pair.server.fail_segmentation = fail;
	assert_int_equal(tw_udp_send(&pair.client, &train, &sent), 0);
	assert_int_equal(sent, length);
	assert_int_equal(pair.client.counters.packets_sent, (length + segment - 1) / segment);
	expect_train(&pair.server, &train, &path);
	assert_true(tw_address_equal(&path.remote, &pair.client.local));
	assert_true(tw_address_equal(&path.local, &pair.server.local));
	assert_int_equal(pair.server.counters.packets_received, (length + segment - 1) / segment);

	train = make_train(segment, length, &path);
	sent = 0;
	assert_int_equal(tw_udp_send(&pair.server, &train, &sent), 0);
	assert_int_equal(sent, length);
	expect_train(&pair.client, &train, &path);
	assert_true(tw_address_equal(&path.remote, &pair.server.local));
	assert_true(tw_address_equal(&path.local, &pair.client.local));
	if (fail && length > segment) {
		assert_int_equal(pair.client.segments_max, 1);
		assert_int_equal(pair.server.segments_max, 1);
	}
	close_pair(&pair);
}

static const struct {
	uint32_t segment;
	size_t length;
} shapes[] = {
	{ 1200, 1200 },
	{ 1200, 54 * 1200 },
	{ 1200, 10 * 1200 + 17 },
	{ 1472, 44 * 1472 },
	{ 8972, 7 * 8972 + 1 },
	{ 40, 200 * 40 }, /* more than the kernel takes in one train */
	{ 300, 3 },
};

static void test_trains(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		round_trip("127.0.0.1", false, false, shapes[i].segment, shapes[i].length);
		round_trip("127.0.0.1", true, false, shapes[i].segment, shapes[i].length);
		round_trip("127.0.0.1", false, true, shapes[i].segment, shapes[i].length);
	}
}

static void test_trains_ipv6(void **state)
{
	(void)state;
	if (!has_ipv6()) {
		print_message("# no IPv6 loopback here\n");
		skip();
	}
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		round_trip("::1", false, false, shapes[i].segment, shapes[i].length);
		round_trip("::1", false, true, shapes[i].segment, shapes[i].length);
	}
}

/* A connected socket goes from one size to another, and a lone long datagram is not cut. */
static void test_sizes_change(void **state)
{
	static const uint32_t sizes[][2] = {
		{ 1000, 5000 }, { 1400, 14000 }, { 3000, 3000 }, { 1400, 2800 },
		{ 9, 5 },       { 1400, 1400 },  { 1500, 3000 },
	};
	struct tw_path path;
	struct pair pair;

	(void)state;
	open_pair(&pair, "127.0.0.1", false);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct tw_train train = make_train(sizes[i][0], sizes[i][1], NULL);
		size_t sent = 0;

		assert_int_equal(tw_udp_send(&pair.client, &train, &sent), 0);
		expect_train(&pair.server, &train, &path);
	}
	close_pair(&pair);
}

/* With segmentation a full train is one system call. */
static void test_one_call_a_train(void **state)
{
	struct tw_path path;
	struct tw_train train = make_train(1400, 40 * 1400, NULL);
	struct pair pair;
	size_t sent = 0;

	(void)state;
	if (tw_udp_segments_probe() == 1) {
		print_message("# this kernel has no UDP_SEGMENT\n");
		skip();
	}
	open_pair(&pair, "127.0.0.1", false);
	assert_int_equal(tw_udp_send(&pair.client, &train, &sent), 0);
	assert_int_equal(pair.client.counters.sends, 1);
	expect_train(&pair.server, &train, &path);
	assert_int_equal(pair.server.counters.receives, 1);
	close_pair(&pair);
}

/* Moves this program into a network of its own, with a loopback of @mtu. The last test to run. */
static bool enter_small_network(int mtu)
{
	struct ifreq request = { .ifr_name = "lo" };
	bool done;
	int fd;

	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return false;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	request.ifr_mtu = mtu;
	done = fd >= 0 && ioctl(fd, SIOCSIFMTU, &request) == 0;
	request.ifr_flags = IFF_UP;
	done = done && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	close(fd);
	return done;
}

/*
 * Longer than the interface carries: told at once, alone and in trains, and nothing is fragmented.
 */
static void test_too_long(void **state)
{
	struct tw_train train;
	struct tw_path path;
	struct pair pair;
	size_t sent;

	(void)state;
	tw_udp_segments_probe();
	if (!enter_small_network(1500)) {
		print_message("# needs root or user namespaces for a network of its own\n");
		skip();
	}
	open_pair(&pair, "127.0.0.1", false);
	train = make_train(1472, 5 * 1472, NULL);
	for (unsigned way = 0; way < 2; way++) {
		struct tw_udp *from = way ? &pair.server : &pair.client;
		struct tw_udp *to = way ? &pair.client : &pair.server;

		for (unsigned segments = 1; segments <= 4; segments += 3) {
			uint64_t before = from->counters.too_long;

			train = make_train(1473, segments * 1473, way ? &path : NULL);
			sent = 0;
			assert_int_equal(tw_udp_send(from, &train, &sent), -EMSGSIZE);
			assert_int_equal(sent, 0);
			assert_int_equal(from->counters.too_long, before + 1);
		}
		train = make_train(1472, 5 * 1472, way ? &path : NULL);
		sent = 0;
		assert_int_equal(tw_udp_send(from, &train, &sent), 0);
		assert_int_equal(from->counters.sends, 1);
		expect_train(to, &train, &path);
	}
	close_pair(&pair);
}

/* A port that nobody listens on: the refusal comes back, and the socket goes on working. */
static void test_refused(void **state)
{
	struct tw_train train = make_train(100, 300, NULL);
	struct tw_udp_message messages[TW_UDP_BATCH];
	struct tw_address closed;
	struct tw_path path;
	struct pair pair;
	unsigned count;
	size_t sent = 0;
	int r;

	(void)state;
	open_pair(&pair, "127.0.0.1", false);
	closed = pair.server.local;
	tw_udp_close(&pair.server);
	assert_int_equal(tw_udp_send(&pair.client, &train, &sent), 0);
	assert_int_equal(receive_some(&pair.client, messages, &count), TW_E_UNREACHABLE);
	/* Each refused datagram is an error of its own; they end. */
	do
		r = tw_udp_receive(&pair.client, messages, 1, &count);
	while (r == TW_E_UNREACHABLE);
	assert_int_equal(r, TW_E_AGAIN);
	assert_true(pair.client.counters.refused >= 1);

	struct tw_udp_options options = { .local = closed };
	assert_int_equal(tw_udp_open(&options, &pair.server), 0);
	sent = 0;
	assert_int_equal(tw_udp_send(&pair.client, &train, &sent), 0);
	expect_train(&pair.server, &train, &path);
	close_pair(&pair);
}

static void test_port_in_use(void **state)
{
	struct tw_udp_options options = { 0 };
	struct tw_udp first, second;

	(void)state;
	assert_true(tw_address_parse_ip("127.0.0.1", &options.local));
	assert_int_equal(tw_udp_open(&options, &first), 0);
	options.local = first.local;
	assert_int_equal(tw_udp_open(&options, &second), -EADDRINUSE);
	tw_udp_close(&first);
	assert_int_equal(tw_udp_open(&options, &second), 0);
	tw_udp_close(&second);
}

/* A full socket holds back the rest of the train, and it goes on from there. */
static void test_full_socket(void **state)
{
	struct tw_udp_options options = { .send_bytes = 4096, .receive_bytes = 4 << 20 };
	struct tw_train train = make_train(1400, 40 * 1400, NULL);
	struct tw_udp_message messages[TW_UDP_BATCH];
	struct pair pair;
	size_t total = 0, sent = 0;
	unsigned count;
	int r;

	(void)state;
	open_pair(&pair, "127.0.0.1", true);
	options.remote = pair.server.local;
	options.no_segmentation = true;
	tw_udp_close(&pair.client);
	assert_int_equal(tw_udp_open(&options, &pair.client), 0);
	while (sent < train.length) {
		r = tw_udp_send(&pair.client, &train, &sent);
		assert_true(r == 0 || r == TW_E_AGAIN);
		assert_int_equal(r == 0, sent == train.length);
		while (total < sent) {
			assert_int_equal(receive_some(&pair.server, messages, &count), 0);
			for (unsigned i = 0; i < count; i++) {
				assert_memory_equal(messages[i].bytes, train.bytes + total,
						    messages[i].length);
				total += messages[i].length;
			}
		}
	}
	assert_int_equal(total, train.length);
	close_pair(&pair);
}

static void test_reconnect(void **state)
{
	struct tw_train train = make_train(500, 1000, NULL);
	struct tw_path path;
	struct pair pair;
	size_t sent = 0;

	(void)state;
	open_pair(&pair, "127.0.0.1", false);
	assert_int_equal(tw_udp_reconnect(&pair.client), 0);
	assert_int_equal(tw_udp_send(&pair.client, &train, &sent), 0);
	expect_train(&pair.server, &train, &path);
	assert_true(tw_address_equal(&path.remote, &pair.client.local));
	close_pair(&pair);
}

/* Receives datagrams of these lengths, that lie behind each other at @bytes. */
static void expect_datagrams(struct tw_udp *udp, const uint8_t *bytes, const size_t *lengths,
			     size_t count)
{
	struct tw_udp_message messages[TW_UDP_BATCH];
	size_t next = 0, at = 0;
	unsigned got;

	while (next < count) {
		assert_int_equal(receive_some(udp, messages, &got), 0);
		for (unsigned i = 0; i < got; i++) {
			assert_memory_equal(messages[i].bytes, bytes + at, messages[i].length);
			for (size_t part = 0; part < messages[i].length; part += lengths[next++]) {
				assert_true(next < count);
				assert_int_equal(messages[i].length - part < messages[i].segment
							 ? messages[i].length - part
							 : messages[i].segment,
						 lengths[next]);
			}
			at += messages[i].length;
		}
	}
}

/* What was put in comes out in that order, cut as it was, in as few calls as it can. */
static void test_gather(void **state)
{
	static const size_t lengths[] = { 1000, 1000, 1000, 400, 1000, 1200, 1200, 1, 7, 65507 };
	struct tw_gather *gather = malloc(sizeof *gather);
	struct tw_path to = { .local.family = TW_FAMILY_NONE };
	size_t total = 0, at = 0;
	struct tw_train train;
	struct pair pair;

	(void)state;
	assert_non_null(gather);
	open_pair(&pair, "127.0.0.1", false);
	to.remote = pair.client.local;
	tw_gather_init(gather);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		total += lengths[i] < 65507 ? lengths[i] : 0;
	train = make_train(1000, total, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(lengths) - 1; at += lengths[i++])
		tw_gather_add(gather, &pair.server, &to, train.bytes + at, lengths[i]);
	tw_gather_flush(gather);
	tw_gather_flush(gather);
	/* 1000 1000 1000 400 | 1000 | 1200 1200 1 | 7 */
	assert_int_equal(pair.server.counters.sends, 4);
	assert_int_equal(pair.server.counters.packets_sent, ARRAY_SIZE(lengths) - 1);
	expect_datagrams(&pair.client, train.bytes, lengths, ARRAY_SIZE(lengths) - 1);
	/* The longest, alone; nothing; one that is too long. */
	memset(gather->bytes, 0, sizeof gather->bytes);
	tw_gather_add(gather, &pair.server, &to, train_bytes, 65507);
	tw_gather_add(gather, &pair.server, &to, train_bytes, 0);
	tw_gather_add(gather, &pair.server, &to, train_bytes, 65508);
	tw_gather_flush(gather);
	assert_int_equal(pair.server.counters.packets_sent, ARRAY_SIZE(lengths));
	free(gather);
	close_pair(&pair);
}

struct joined_part {
	unsigned to; /* of two peers */
	uint32_t segment;
	size_t length;
};

/* Adds the parts; each peer gets its own in that order, cut as they were. Returns the calls. */
static uint64_t join(struct tw_udp *from, struct tw_udp *const to[2],
		     const struct joined_part *parts, size_t part_count)
{
	static uint8_t streams[2][262144];
	static size_t lengths[2][512];
	uint64_t before = from->counters.sends, calls;
	size_t at[2] = { 0 }, counts[2] = { 0 };
	struct tw_joiner *joiner = calloc(1, sizeof *joiner);

	assert_non_null(joiner);
	tw_joiner_init(joiner);
	for (size_t i = 0; i < sizeof streams[0]; i++) {
		streams[0][i] = (uint8_t)(i * 7 + i / 251);
		streams[1][i] = (uint8_t)(i * 5 + i / 253);
	}
	for (size_t i = 0; i < part_count; i++) {
		unsigned peer = parts[i].to;
		const struct tw_train train = { .bytes = streams[peer] + at[peer],
						.length = parts[i].length,
						.segment = parts[i].segment,
						.path.remote = to[peer]->local };

		for (size_t done = 0; done < parts[i].length; done += parts[i].segment)
			lengths[peer][counts[peer]++] = parts[i].length - done < parts[i].segment
								? parts[i].length - done
								: parts[i].segment;
		tw_joiner_add(joiner, from, &train);
		at[peer] += parts[i].length;
	}
	tw_joiner_flush(joiner);
	calls = from->counters.sends - before;
	tw_joiner_flush(joiner);
	assert_int_equal(from->counters.sends - before, calls);
	for (unsigned peer = 0; peer < 2; peer++)
		expect_datagrams(to[peer], streams[peer], lengths[peer], counts[peer]);
	free(joiner);
	return calls;
}

static void test_joiner(void **state)
{
	static const struct joined_part by_turns[] = {
		{ 0, 1000, 3000 }, { 1, 700, 700 },   { 0, 1000, 2000 },  { 1, 700, 2000 },
		{ 0, 400, 400 },   { 0, 1000, 1000 }, { 0, 1000, 60000 }, { 0, 1000, 10000 },
		{ 1, 1200, 2400 }, { 0, 1200, 1200 }, { 1, 1200, 1200 },
	};
	static struct joined_part single[3 * TW_UDP_PIECES_MAX];
	struct pair pair, other;
	struct tw_udp *peers[2] = { &pair.client, &other.client };

	(void)state;
	open_pair(&pair, "127.0.0.1", false);
	open_pair(&other, "127.0.0.1", false);
	/* The other one listens to the first. */
	other.client.remote = pair.server.local;
	assert_int_equal(tw_udp_reconnect(&other.client), 0);
	if (tw_udp_segments_probe() < 64)
		skip();
	/*
	 * To the first: 3000 2000 400 | 64 or 65 of 1000 | the rest | 1200. To the second:
	 * 700 2000, whose last is shorter | 1200 in threes.
	 */
	assert_int_equal(join(&pair.server, peers, by_turns, ARRAY_SIZE(by_turns)), 6);
	for (size_t i = 0; i < ARRAY_SIZE(single); i++)
		single[i] = (struct joined_part){ i % 2, 300, 300 };
	assert_int_equal(join(&pair.server, peers, single, ARRAY_SIZE(single)), 4);
	/* A system that cannot gives the same datagrams. */
	pair.server.fail_segmentation = true;
	join(&pair.server, peers, by_turns, ARRAY_SIZE(by_turns));
	assert_int_equal(pair.server.segments_max, 1);
	join(&pair.server, peers, single, ARRAY_SIZE(single));
	close_pair(&pair);
	close_pair(&other);
}

static void test_granted_and_advice(void **state)
{
	struct tw_udp_options options = { .receive_bytes = 8 << 20, .send_bytes = 65536 };
	char advice[TW_UDP_ADVICE];
	struct tw_udp udp;

	(void)state;
	assert_true(tw_address_parse_ip("127.0.0.1", &options.local));
	assert_int_equal(tw_udp_open(&options, &udp), 0);
	assert_true(udp.receive_granted >= 65536);
	assert_int_equal(udp.send_granted, 2 * 65536);
	/* As small as it was asked for is no want. */
	udp.receive_granted = 2 * TW_UDP_BUFFER_LEAST;
	assert_string_equal(tw_udp_advice(&udp, advice), "");
	udp.receive_granted--;
	assert_string_equal(tw_udp_advice(&udp, advice), "sysctl -w net.core.rmem_max=8388608");
	udp.send_granted--;
	assert_string_equal(
		tw_udp_advice(&udp, advice),
		"sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=65536");
	udp.receive_granted++;
	assert_string_equal(tw_udp_advice(&udp, advice), "sysctl -w net.core.wmem_max=65536");
	assert_string_equal(tw_udp_shortage(&udp, advice), "");
	tw_udp_close(&udp);
}

/* Who has the rights of this test but in name: it is asked as a user, and answers as root. */
struct helping {
	uid_t root;
	unsigned asked;
	size_t receive, send;
};

static int help(void *context, int fd, size_t receive, size_t send)
{
	struct helping *helping = context;
	int size = (int)receive, r;

	helping->asked++;
	helping->receive = receive;
	helping->send = send;
	if (helping->root != 0)
		return -EPERM;
	assert_int_equal(seteuid(0), 0);
	r = setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
	assert_int_equal(seteuid(65534), 0);
	return r ? -errno : 0;
}

static void test_helped(void **state)
{
	struct helping helping = { .root = geteuid() };
	const struct tw_udp_helper helper = { help, &helping };
	struct tw_udp_options options = { .receive_bytes = 512 << 20,
					  .send_bytes = 65536,
					  .helper = &helper };
	struct tw_udp udp;

	(void)state;
	assert_true(tw_address_parse_ip("127.0.0.1", &options.local));
	if (helping.root == 0)
		assert_int_equal(seteuid(65534), 0);
	assert_int_equal(tw_udp_open(&options, &udp), 0);
	if (helping.root == 0)
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(helping.asked, 1);
	assert_int_equal(helping.receive, 512 << 20);
	assert_int_equal(helping.send, 65536);
	if (helping.root == 0)
		assert_int_equal(udp.receive_granted, 1024 << 20);
	assert_int_equal(udp.send_granted, 2 * 65536);
	tw_udp_close(&udp);

	/* Not for what this process may by itself. */
	options.receive_bytes = 65536;
	assert_int_equal(tw_udp_open(&options, &udp), 0);
	assert_int_equal(helping.asked, 1);
	tw_udp_close(&udp);
}

static void test_fit(void **state)
{
	struct helping helping = { .root = geteuid() };
	const struct tw_udp_helper helper = { help, &helping };
	struct tw_udp_options options = { .helper = &helper };
	char advice[TW_UDP_ADVICE];
	struct tw_udp udp;

	(void)state;
	assert_true(tw_address_parse_ip("127.0.0.1", &options.local));
	if (helping.root == 0)
		assert_int_equal(seteuid(65534), 0);
	assert_int_equal(tw_udp_open(&options, &udp), 0);
	helping.asked = 0;
	/* What fits already costs no call. */
	tw_udp_fit(&udp, 5000000, 0, &helper);
	assert_int_equal(helping.asked, 0);
	assert_int_equal(udp.receive_needed, 5000000);
	/* 1 Gbit/s and 200 ms. */
	tw_udp_fit(&udp, 25000000, 1000000, &helper);
	assert_int_equal(helping.asked, 1);
	assert_int_equal(helping.receive, 32 << 20);
	assert_int_equal(helping.send, 8 << 20);
	tw_udp_fit(&udp, 33000000, 0, &helper);
	assert_int_equal(helping.asked, 1);
	tw_udp_fit(&udp, UINT64_MAX, 0, &helper);
	assert_int_equal(helping.receive, TW_UDP_BUFFER_MOST);
	/* Nobody who would: what it says then. */
	udp.receive_granted = 2 * 1000000;
	udp.send_granted = 2 * 1000000;
	assert_string_equal(tw_udp_shortage(&udp, advice),
			    "sysctl -w net.core.rmem_max=67108864");
	udp.send_granted--;
	assert_string_equal(
		tw_udp_shortage(&udp, advice),
		"sysctl -w net.core.rmem_max=67108864 net.core.wmem_max=8388608");
	tw_udp_close(&udp);

	/* Sizes by somebody's word stay. */
	options.receive_bytes = options.send_bytes = 65536;
	assert_int_equal(tw_udp_open(&options, &udp), 0);
	helping.asked = 0;
	tw_udp_fit(&udp, 25000000, 25000000, &helper);
	assert_int_equal(helping.asked, 0);
	assert_int_equal(udp.receive_granted, 2 * 65536);
	assert_string_equal(tw_udp_shortage(&udp, advice), "");
	tw_udp_close(&udp);
	if (helping.root == 0)
		assert_int_equal(seteuid(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trains),
		cmocka_unit_test(test_trains_ipv6),
		cmocka_unit_test(test_sizes_change),
		cmocka_unit_test(test_one_call_a_train),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_port_in_use),
		cmocka_unit_test(test_full_socket),
		cmocka_unit_test(test_reconnect),
		cmocka_unit_test(test_gather),
		cmocka_unit_test(test_joiner),
		cmocka_unit_test(test_granted_and_advice),
		cmocka_unit_test(test_helped),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
