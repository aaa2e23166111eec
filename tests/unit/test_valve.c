#include "unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/random.h"
#include "core/cid.h"
#include "netio/sockaddr.h"
#include "netio/valve.h"
#include "wire/datagram.h"

#define SOURCES 200

struct scene {
	struct tw_valve valve;
	struct tw_cid_salt ids;
	bool crowded; /* too many sources are known */
	struct sockaddr_storage address;
	socklen_t length;
	int listening, sources[SOURCES];
	tw_ns now;
};

static int open_socket(struct scene *scene, bool ipv6)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_in four = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, ipv6 ? (struct sockaddr *)&six : (struct sockaddr *)&four,
			   ipv6 ? sizeof six : sizeof four))
		return -1;
	scene->length = sizeof scene->address;
	assert_int_equal(getsockname(fd, (struct sockaddr *)&scene->address, &scene->length), 0);
	return fd;
}

static bool set_up(struct scene *scene, bool ipv6, bool marked)
{
	struct tw_prng prng;
	struct tw_random random = tw_prng_random(&prng);

	tw_prng_init(&prng, 1);
	tw_cid_salt_init(&scene->ids, &random);
	for (unsigned i = 0; i < SOURCES; i++)
		scene->sources[i] = open_socket(scene, ipv6);
	scene->listening = open_socket(scene, ipv6);
	scene->now = TW_SECOND;
	scene->crowded = false;
	if (scene->listening >= 0)
		tw_valve_init(&scene->valve, scene->listening, ipv6, marked ? &scene->ids : NULL,
			      &random, scene->now);
	return scene->listening >= 0;
}

static void tear_down(struct scene *scene)
{
	close(scene->listening);
	for (unsigned i = 0; i < SOURCES; i++)
		close(scene->sources[i]);
}

/* Does it come through? On loopback it is there when it has been sent. */
static bool comes_through(struct scene *scene, unsigned source, const uint8_t bytes[32])
{
	uint8_t got[64];

	assert_int_equal(sendto(scene->sources[source], bytes, 32, 0,
				(struct sockaddr *)&scene->address, scene->length),
			 32);
	return recv(scene->listening, got, sizeof got, MSG_DONTWAIT) == 32;
}

static bool passes(struct scene *scene, unsigned source, uint8_t type)
{
	return comes_through(scene, source, (uint8_t[32]){ type });
}

static unsigned count(struct scene *scene, uint8_t type, bool *ret_passed)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < SOURCES; i++) {
		bool passed = passes(scene, i, type);

		sum += passed;
		if (ret_passed)
			ret_passed[i] |= passed;
	}
	return sum;
}

/* As if for @span so many of @type a second had been sent, of which the window lets its share in.
 */
static void flooded(struct scene *scene, uint8_t type, double a_second, tw_ns span)
{
	unsigned width = scene->valve.windows[tw_valve_class(type)].width;
	uint64_t came;

	scene->now += span;
	came = (uint64_t)(a_second * (double)span / (double)TW_SECOND * width / TW_VALVE_OPEN);
	if (tw_valve_class(type) == TW_VALVE_CONNECTED)
		tw_valve_count_strays(&scene->valve, came);
	else
		tw_valve_count(&scene->valve, type, came);
	tw_valve_turn(&scene->valve, scene->now);
}

static const uint8_t known[] = { TW_DATAGRAM_INIT,      TW_DATAGRAM_ACCEPT,     TW_DATAGRAM_RETRY,
				 TW_DATAGRAM_VERSIONS,  TW_DATAGRAM_PROBE,      TW_DATAGRAM_ECHO,
				 TW_DATAGRAM_DISCOVER,  TW_DATAGRAM_DISCOVERED, TW_DATAGRAM_PACKET,
				 TW_DATAGRAM_PACKET | 1 };

/* The first ten sources have connections. */
static size_t known_sources(void *context, struct tw_address *ret, size_t room)
{
	const struct scene *scene = context;

	assert_true(room >= 10);
	for (unsigned i = 0; i < 10; i++) {
		struct sockaddr_storage name;
		socklen_t length = sizeof name;

		assert_int_equal(getsockname(scene->sources[i], (struct sockaddr *)&name, &length),
				 0);
		ret[i] = tw_address_from_sockaddr(&name);
	}
	return scene->crowded ? room + 1 : 10;
}

/* @type's flood shuts out what is of its class and nothing else; everybody has his turn. */
static void flood(struct scene *scene, uint8_t type)
{
	const struct tw_valve_window *window = &scene->valve.windows[tw_valve_class(type)];
	bool passed[SOURCES] = { false };
	unsigned turns, some;

	flooded(scene, type, TW_VALVE_MOST, TW_VALVE_PERIOD);
	assert_int_equal(window->width, TW_VALVE_OPEN);

	/* Sixteen times too many: about a sixteenth comes through. */
	flooded(scene, type, 16.0 * TW_VALVE_MOST, TW_VALVE_PERIOD);
	assert_in_range(window->width, TW_VALVE_OPEN / 16 - 2, TW_VALVE_OPEN / 16);
	some = count(scene, type, NULL);
	assert_in_range(some, 1, SOURCES / 6);
	assert_int_equal(count(scene, type, NULL), some); /* the same ones */
	for (unsigned i = 0; i < sizeof known; i++)
		if (tw_valve_class(known[i]) != tw_valve_class(type))
			assert_int_equal(count(scene, known[i], NULL), SOURCES);

	for (turns = 0; count(scene, type, passed) && turns < 20; turns++)
		flooded(scene, type, 16.0 * TW_VALVE_MOST, TW_VALVE_WINDOW);
	for (unsigned i = 0; i < SOURCES; i++)
		assert_true(passed[i]);

	/* It is over: open again, in a few steps. */
	for (turns = 0; window->width < TW_VALVE_OPEN && turns < 10; turns++)
		flooded(scene, type, 0, TW_VALVE_WINDOW);
	assert_in_range(turns, 4, 5);
	assert_int_equal(count(scene, type, NULL), SOURCES);
}

static void run(bool ipv6)
{
	static struct scene scene;

	if (!set_up(&scene, ipv6, false)) {
		assert_true(ipv6); /* a machine without it */
		return;
	}
	if (scene.valve.fd < 0) {
		print_message("# this kernel takes no filter\n");
		tear_down(&scene);
		return;
	}
	for (unsigned type = 0; type < 256; type++) {
		bool good = type >= 0x20 && type < 0x30;

		for (unsigned i = 0; i < sizeof known; i++)
			good |= type == known[i];
		assert_int_equal(passes(&scene, type % SOURCES, (uint8_t)type), good);
	}
	flood(&scene, TW_DATAGRAM_INIT);
	flood(&scene, TW_DATAGRAM_DISCOVERED);
	flood(&scene, TW_DATAGRAM_PACKET);

	/* Who has a connection comes through nevertheless. */
	scene.valve.known = known_sources;
	scene.valve.context = &scene;
	flooded(&scene, TW_DATAGRAM_PACKET, 16.0 * TW_VALVE_MOST, TW_VALVE_PERIOD);
	for (unsigned i = 0; i < 10; i++)
		assert_true(passes(&scene, i, TW_DATAGRAM_PACKET));
	assert_in_range(count(&scene, TW_DATAGRAM_PACKET, NULL), 10, 10 + SOURCES / 6);
	for (unsigned turns = 0; turns < 20; turns++) {
		flooded(&scene, TW_DATAGRAM_PACKET, 16.0 * TW_VALVE_MOST, TW_VALVE_WINDOW);
		assert_true(passes(&scene, turns % 10, TW_DATAGRAM_ECHO));
	}
	scene.crowded = true;
	flooded(&scene, TW_DATAGRAM_PACKET, 16.0 * TW_VALVE_MOST, TW_VALVE_WINDOW);
	assert_int_equal(count(&scene, TW_DATAGRAM_PACKET, NULL), SOURCES);
	tear_down(&scene);
}

static void test_ipv4(void **state)
{
	(void)state;
	run(false);
}

static void test_ipv6(void **state)
{
	(void)state;
	run(true);
}

/* A datagram that names the connection @cid, where its type has it. */
static bool names(struct scene *scene, uint8_t type, uint64_t cid)
{
	uint8_t bytes[32] = { type };
	unsigned at = type == TW_DATAGRAM_ACCEPT || type == TW_DATAGRAM_RETRY ? 5 : 1;

	for (unsigned i = 0; i < 8; i++)
		bytes[at + i] = (uint8_t)(cid >> (56 - 8 * i));
	return comes_through(scene, 0, bytes);
}

/* What names a connection comes through if there can be such a one. */
static void test_ids(void **state)
{
	static struct scene scene;
	struct tw_prng prng;
	struct tw_random random = tw_prng_random(&prng);

	(void)state;
	tw_prng_init(&prng, 2);
	assert_true(set_up(&scene, false, true));
	for (unsigned i = 0; i < 500 && scene.valve.fd >= 0; i++) {
		uint64_t good = tw_cid_make(&scene.ids, &random), bad = tw_prng_u64(&prng);

		for (unsigned k = 0; k < sizeof known; k++) {
			bool free = tw_valve_class(known[k]) != TW_VALVE_CONNECTED;

			assert_true(names(&scene, known[k], good));
			assert_int_equal(names(&scene, known[k], bad),
					 free || tw_cid_marked(&scene.ids, bad));
			assert_int_equal(names(&scene, known[k], good ^ 1ULL << i % 64),
					 free || tw_cid_marked(&scene.ids, good ^ 1ULL << i % 64));
		}
	}
	tear_down(&scene);
}

static void test_width(void **state)
{
	(void)state;
	assert_int_equal(tw_valve_width(TW_VALVE_OPEN, 0), TW_VALVE_OPEN);
	assert_int_equal(tw_valve_width(TW_VALVE_OPEN, TW_VALVE_MOST), TW_VALVE_OPEN);
	assert_int_equal(tw_valve_width(TW_VALVE_OPEN, 2.0 * TW_VALVE_MOST), TW_VALVE_OPEN / 2);
	assert_int_equal(tw_valve_width(TW_VALVE_OPEN / 4, TW_VALVE_MOST), TW_VALVE_OPEN / 4);
	assert_int_equal(tw_valve_width(1, 1e12), 1);
	assert_int_equal(tw_valve_width(1, 0), TW_VALVE_OPEN);
}

/* Moves this program into a network of its own, where a socket has room for one long filter and not
 * for two, as kernels before 6.8 give it. The last test to run. */
static bool enter_narrow_network(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	bool done;
	int fd;

	if (unshare(CLONE_NEWNET))
		return false;
	fd = open("/proc/sys/net/core/optmem_max", O_WRONLY | O_CLOEXEC);
	done = fd >= 0 && write(fd, "20480", 5) == 5;
	close(fd);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	done &= fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	close(fd);
	return done;
}

/* As many as there may be. The first ten are ours, the others somewhere. */
static size_t many_sources(void *context, struct tw_address *ret, size_t room)
{
	size_t count = known_sources(context, ret, room);

	for (; count < room; count++)
		ret[count] = (struct tw_address){ .family = TW_FAMILY_IPV4,
						  .ip = { 198, 51, 100, (uint8_t)count },
						  .port = (uint16_t)(1000 + count) };
	return count;
}

/* However long the filter: the known ones come through, the window moves on, and it opens again. */
static void test_little_room(void **state)
{
	static struct scene scene;
	bool passed[SOURCES] = { false };

	(void)state;
	if (!enter_narrow_network() || !set_up(&scene, false, false) || scene.valve.fd < 0) {
		print_message("# needs root for a network of its own, and filters\n");
		skip();
	}
	scene.valve.known = many_sources;
	scene.valve.context = &scene;
	for (unsigned turns = 0; turns < 20; turns++) {
		flooded(&scene, TW_DATAGRAM_PACKET, 16.0 * TW_VALVE_MOST, TW_VALVE_WINDOW);
		assert_in_range(count(&scene, TW_DATAGRAM_PACKET, passed), 10, 10 + SOURCES / 6);
	}
	for (unsigned i = 0; i < SOURCES; i++)
		assert_true(passed[i]);
	for (unsigned turns = 0; turns < 6; turns++)
		flooded(&scene, TW_DATAGRAM_PACKET, 0, TW_VALVE_WINDOW);
	assert_int_equal(count(&scene, TW_DATAGRAM_PACKET, NULL), SOURCES);
	tear_down(&scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_width),       cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),        cmocka_unit_test(test_ids),
		cmocka_unit_test(test_little_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
