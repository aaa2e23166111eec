#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/random.h"
#include "netio/valve.h"
#include "wire/datagram.h"

#define SOURCES 200

struct scene {
	struct tw_valve valve;
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

static bool set_up(struct scene *scene, bool ipv6)
{
	struct tw_prng prng;
	struct tw_random random = tw_prng_random(&prng);

	tw_prng_init(&prng, 1);
	for (unsigned i = 0; i < SOURCES; i++)
		scene->sources[i] = open_socket(scene, ipv6);
	scene->listening = open_socket(scene, ipv6);
	scene->now = TW_SECOND;
	if (scene->listening >= 0)
		tw_valve_init(&scene->valve, scene->listening, ipv6, &random, scene->now);
	return scene->listening >= 0;
}

static void tear_down(struct scene *scene)
{
	close(scene->listening);
	for (unsigned i = 0; i < SOURCES; i++)
		close(scene->sources[i]);
}

/* Does a datagram of this type come through? On loopback it is there when it has been sent. */
static bool passes(struct scene *scene, unsigned source, uint8_t type)
{
	uint8_t bytes[32] = { type }, got[64];

	assert_int_equal(sendto(scene->sources[source], bytes, sizeof bytes, 0,
				(struct sockaddr *)&scene->address, scene->length),
			 sizeof bytes);
	return recv(scene->listening, got, sizeof got, MSG_DONTWAIT) == sizeof bytes;
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

/* As if for @span so many INITs a second had been sent, of which the window lets its share in. */
static void flooded(struct scene *scene, double a_second, tw_ns span)
{
	scene->now += span;
	tw_valve_count(&scene->valve, (uint64_t)(a_second * (double)span / (double)TW_SECOND *
						 scene->valve.width / TW_VALVE_OPEN));
	tw_valve_turn(&scene->valve, scene->now);
}

static void run(bool ipv6)
{
	static struct scene scene;
	bool passed[SOURCES] = { false };
	unsigned windows, some;

	if (!set_up(&scene, ipv6)) {
		assert_true(ipv6); /* a machine without it */
		return;
	}
	if (scene.valve.fd < 0) {
		print_message("# this kernel takes no filter\n");
		tear_down(&scene);
		return;
	}
	for (unsigned type = 0; type < 256; type++)
		assert_int_equal(passes(&scene, type % SOURCES, (uint8_t)type),
				 type > 0 && type < 0x30);
	flooded(&scene, TW_VALVE_INITS, TW_VALVE_PERIOD);
	assert_int_equal(scene.valve.width, TW_VALVE_OPEN);

	/* Sixteen times too many: about a sixteenth comes through, of INITs alone. */
	flooded(&scene, 16.0 * TW_VALVE_INITS, TW_VALVE_PERIOD);
	assert_in_range(scene.valve.width, TW_VALVE_OPEN / 16 - 2, TW_VALVE_OPEN / 16);
	some = count(&scene, TW_DATAGRAM_INIT, NULL);
	assert_in_range(some, 1, SOURCES / 6);
	assert_int_equal(count(&scene, TW_DATAGRAM_INIT, NULL), some); /* the same ones */
	assert_int_equal(count(&scene, TW_DATAGRAM_PACKET, NULL), SOURCES);
	assert_int_equal(count(&scene, TW_DATAGRAM_ACCEPT, NULL), SOURCES);

	/* Everybody has his turn. */
	for (windows = 0; count(&scene, TW_DATAGRAM_INIT, passed) && windows < 20; windows++)
		flooded(&scene, 16.0 * TW_VALVE_INITS, TW_VALVE_WINDOW);
	for (unsigned i = 0; i < SOURCES; i++)
		assert_true(passed[i]);

	/* It is over: open again, in a few steps. */
	for (windows = 0; scene.valve.width < TW_VALVE_OPEN && windows < 10; windows++)
		flooded(&scene, 0, TW_VALVE_WINDOW);
	assert_in_range(windows, 4, 5);
	assert_int_equal(count(&scene, TW_DATAGRAM_INIT, NULL), SOURCES);
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

static void test_width(void **state)
{
	(void)state;
	assert_int_equal(tw_valve_width(TW_VALVE_OPEN, 0), TW_VALVE_OPEN);
	assert_int_equal(tw_valve_width(TW_VALVE_OPEN, TW_VALVE_INITS), TW_VALVE_OPEN);
	assert_int_equal(tw_valve_width(TW_VALVE_OPEN, 2.0 * TW_VALVE_INITS), TW_VALVE_OPEN / 2);
	assert_int_equal(tw_valve_width(TW_VALVE_OPEN / 4, TW_VALVE_INITS), TW_VALVE_OPEN / 4);
	assert_int_equal(tw_valve_width(1, 1e12), 1);
	assert_int_equal(tw_valve_width(1, 0), TW_VALVE_OPEN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_width),
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
