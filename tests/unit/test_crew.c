/* Several workers at one address: ids, the kernel's filter, post, letters, homes, endpoints. */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "core/endpoint.h"
#include "netio/clock.h"
#include "netio/crew.h"
#include "netio/sockaddr.h"
#include "netio/udp.h"
#include "wire/steer.h"

#define PLACES 3 /* no power of two */

/* The filter: whatever comes, it is where tw_steer() says. */

struct group {
	struct tw_crew *crew;
	struct tw_udp sockets[PLACES];
	int sources[4];
	struct sockaddr_storage address;
	socklen_t length;
};

static bool open_group(struct group *group, bool ipv6)
{
	struct tw_address local = tw_address_any(ipv6 ? TW_FAMILY_IPV6 : TW_FAMILY_IPV4, 0);
	struct tw_udp_options options = { .group = TW_UDP_FOUNDS };

	local.ip[0] = ipv6 ? 0 : 127;
	local.ip[ipv6 ? 15 : 3] = 1;
	assert_int_equal(tw_crew_new(PLACES, &group->crew), 0);
	for (unsigned i = 0; i < PLACES; i++) {
		options.local = i ? group->sockets[0].local : local;
		if (tw_udp_open(&options, &group->sockets[i])) {
			tw_crew_free(group->crew);
			return false;
		}
		options.group = TW_UDP_JOINS;
		if (i)
			assert_int_equal(tw_crew_steer(group->crew, group->sockets[i].fd), 0);
	}
	group->length = tw_address_to_sockaddr(&group->sockets[0].local, &group->address);
	for (unsigned i = 0; i < ARRAY_SIZE(group->sources); i++)
		group->sources[i] = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return true;
}

static void close_group(struct group *group)
{
	for (unsigned i = 0; i < PLACES; i++)
		tw_udp_close(&group->sockets[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(group->sources); i++)
		close(group->sources[i]);
	tw_crew_free(group->crew);
}

/* On loopback it is there when it has been sent. */
static unsigned place_of(struct group *group, unsigned source, const uint8_t *bytes, size_t length)
{
	uint8_t got[2048];
	unsigned place = PLACES;

	assert_int_equal(sendto(group->sources[source], bytes, length, 0,
				(struct sockaddr *)&group->address, group->length),
			 length);
	for (unsigned i = 0; i < PLACES; i++) {
		if (recv(group->sockets[i].fd, got, sizeof got, MSG_DONTWAIT) < 0)
			continue;
		assert_int_equal(place, PLACES);
		place = i;
	}
	return place;
}

static void steer_all(struct group *group)
{
	static const uint8_t types[] = { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
					 0x08, 0x10, 0x11, 0x12, 0x20, 0x21, 0xff };
	static const size_t lengths[] = { 1, 4, 5, 8, 9, 24, 64, 1200, 1452 };
	unsigned seen[PLACES] = { 0 };
	uint8_t bytes[1452];
	struct tw_prng prng;
	struct tw_random random = tw_prng_random(&prng);

	tw_prng_init(&prng, 1);
	for (unsigned round = 0; round < 8; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(types) * ARRAY_SIZE(lengths); i++) {
			size_t length = lengths[i / ARRAY_SIZE(types)];
			unsigned place;

			tw_random_fill(&random, bytes, sizeof bytes);
			bytes[0] = types[i % ARRAY_SIZE(types)];
			place = place_of(group, round % ARRAY_SIZE(group->sources), bytes, length);
			assert_int_equal(place, tw_steer(bytes, length, PLACES));
			seen[place]++;
		}
	}
	for (unsigned i = 0; i < PLACES; i++)
		assert_true(seen[i] > 50);
}

static void the_filter_steers(void **state)
{
	struct group group;

	(void)state;
	assert_true(open_group(&group, false));
	steer_all(&group);
	close_group(&group);
	/* A machine may have no IPv6. */
	if (!open_group(&group, true))
		return;
	steer_all(&group);
	close_group(&group);
}

/* Nobody joins those who were there before, whatever they are. */
static void founders_are_alone(void **state)
{
	struct tw_udp_options options = { .group = TW_UDP_FOUNDS };
	struct group group;
	struct tw_udp udp;

	(void)state;
	assert_true(open_group(&group, false));
	options.local = group.sockets[0].local;
	assert_int_equal(tw_udp_open(&options, &udp), -EADDRINUSE);
	options.group = TW_UDP_ALONE;
	assert_int_equal(tw_udp_open(&options, &udp), -EADDRINUSE);
	close_group(&group);
}

static void ids_lead_back(void **state)
{
	uint8_t packet[24] = { TW_DATAGRAM_PACKET }, init[32] = { TW_DATAGRAM_INIT };
	struct tw_prng prng;

	(void)state;
	tw_prng_init(&prng, 2);
	for (unsigned places = 1; places <= TW_STEER_PLACES_MAX; places++) {
		uint64_t cid = tw_prng_u64(&prng);
		struct tw_writer writer;
		unsigned found = 0, place = 0;

		for (unsigned i = 0; i < places; i++) {
			found += tw_steer_leads(cid, i, places);
			place = tw_steer_leads(cid, i, places) ? i : place;
		}
		assert_int_equal(found, 1);
		tw_writer_init(&writer, packet + 1, 8);
		tw_write_u64(&writer, cid);
		memcpy(init + 5, packet + 1, 8);
		assert_int_equal(tw_steer(packet, sizeof packet, places), place);
		assert_int_equal(tw_steer(init, sizeof init, places), place);
		assert_int_equal(tw_steer(packet, 4, places), 0);
		assert_int_equal(tw_steer(packet, 0, places), 0);
	}
}

/* Post. */

static void post_arrives_in_order(void **state)
{
	struct tw_crew *crew;
	struct tw_post post = { .path.remote.port = 7 }, got;
	uint8_t bytes[1500];
	unsigned sent = 0, taken = 0;

	(void)state;
	assert_int_equal(tw_crew_new(2, &crew), 0);
	assert_false(tw_crew_take(crew, 1, &got));
	post.bytes = bytes;
	for (;;) {
		memset(bytes, (int)sent, sizeof bytes);
		post.length = 1 + sent % sizeof bytes;
		post.vouched = sent % 5 == 0;
		if (!tw_crew_post(crew, 1, &post))
			break;
		sent++;
	}
	/* Full, and of much. */
	assert_true(sent > TW_POST_BYTES / 1000 && sent < TW_POST_BYTES / 500);
	assert_false(tw_crew_take(crew, 0, &got));
	while (tw_crew_take(crew, 1, &got)) {
		assert_int_equal(got.length, 1 + taken % sizeof bytes);
		assert_int_equal(got.bytes[got.length - 1], (uint8_t)taken);
		assert_int_equal(got.vouched, taken % 5 == 0);
		assert_int_equal(got.path.remote.port, 7);
		if (taken++ == 0)
			assert_true(tw_crew_post(crew, 1, &post));
	}
	assert_int_equal(taken, sent);
	/* What came meanwhile is another round's, and rings. */
	assert_true(tw_crew_take(crew, 1, &got));
	assert_false(tw_crew_take(crew, 1, &got));
	tw_crew_free(crew);
}

#define POSTED 20000

static void *post_much(void *context)
{
	struct tw_crew *crew = context;
	uint8_t bytes[100] = { 0 };
	struct tw_post post = { .bytes = bytes, .length = sizeof bytes };

	for (unsigned i = 0; i < POSTED; i++) {
		memcpy(bytes, &i, sizeof i);
		while (!tw_crew_post(crew, 0, &post))
			sched_yield();
	}
	return NULL;
}

static void post_from_many_threads(void **state)
{
	struct tw_crew *crew;
	pthread_t threads[3];
	struct tw_post got;
	unsigned count = 0;

	(void)state;
	assert_int_equal(tw_crew_new(2, &crew), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, post_much, crew), 0);
	while (count < POSTED * ARRAY_SIZE(threads)) {
		while (tw_crew_take(crew, 0, &got)) {
			unsigned number;

			assert_int_equal(got.length, 100);
			memcpy(&number, got.bytes, sizeof number);
			assert_true(number < POSTED);
			count++;
		}
	}
	for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	assert_false(tw_crew_take(crew, 0, &got));
	tw_crew_free(crew);
}

/* Letters. */

struct letter {
	struct tw_letter letter; /* first */
	unsigned writer, number;
};

static struct letter *letter_of(struct tw_letter *letter)
{
	return (struct letter *)letter;
}

static void letters_are_not_lost(void **state)
{
	struct tw_crew *crew;
	struct letter letters[3] = { { .number = 0 }, { .number = 1 }, { .number = 2 } };
	struct tw_mailbox *box;
	struct tw_letter *got;

	(void)state;
	assert_int_equal(tw_crew_new(2, &crew), 0);
	box = tw_crew_mailbox(crew, 1);
	/* Nobody reads yet. */
	assert_false(tw_mailbox_put(box, &letters[0].letter));
	tw_mailbox_open(box);
	for (unsigned i = 0; i < 2; i++)
		assert_true(tw_mailbox_put(box, &letters[i].letter));
	assert_null(tw_mailbox_take(tw_crew_mailbox(crew, 0)));
	/* Not before all has been read. */
	assert_false(tw_mailbox_shut(box));
	got = tw_mailbox_take(box);
	assert_int_equal(letter_of(got)->number, 0);
	assert_int_equal(letter_of(got->next)->number, 1);
	assert_null(got->next->next);
	assert_true(tw_mailbox_put(box, &letters[2].letter));
	assert_false(tw_mailbox_shut(box));
	assert_ptr_equal(tw_mailbox_take(box), &letters[2].letter);
	assert_true(tw_mailbox_shut(box));
	assert_false(tw_mailbox_put(box, &letters[2].letter));
	tw_crew_free(crew);
}

#define LETTERS 20000
#define WRITERS 3

struct writer {
	struct tw_mailbox *box;
	unsigned number;
};

static void *write_letters(void *context)
{
	const struct writer *writer = context;

	for (unsigned i = 0; i < LETTERS; i++) {
		struct letter *letter = malloc(sizeof *letter);

		*letter = (struct letter){ .writer = writer->number, .number = i };
		/* It is not open from the beginning. */
		while (!tw_mailbox_put(writer->box, &letter->letter))
			sched_yield();
	}
	return NULL;
}

static void letters_come_in_order(void **state)
{
	struct tw_mailbox box;
	struct writer writers[WRITERS];
	pthread_t threads[WRITERS];
	unsigned next[WRITERS] = { 0 }, count = 0;

	(void)state;
	assert_int_equal(tw_mailbox_init(&box), 0);
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ &box, i };
		assert_int_equal(pthread_create(&threads[i], NULL, write_letters, &writers[i]), 0);
	}
	tw_mailbox_open(&box);
	while (count < LETTERS * WRITERS) {
		struct pollfd fd = { .fd = box.fd, .events = POLLIN };
		struct tw_letter *at, *after;

		/* Whatever lies there has rung. */
		assert_int_equal(poll(&fd, 1, 60000), 1);
		for (at = tw_mailbox_take(&box); at; at = after) {
			struct letter *letter = letter_of(at);

			after = at->next;
			assert_int_equal(letter->number, next[letter->writer]++);
			free(letter);
			count++;
		}
	}
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(threads[i], NULL);
	assert_true(tw_mailbox_shut(&box));
	tw_mailbox_deinit(&box);
}

/* Homes. */

static struct tw_public_key peer(unsigned number)
{
	struct tw_public_key key = { { 0 } };

	memcpy(key.bytes, &number, sizeof number);
	return key;
}

static void homes_spread_and_stay(void **state)
{
	struct tw_random random = tw_system_random();
	struct tw_homes *homes;
	unsigned counts[PLACES] = { 0 };
	tw_ns now = TW_SECOND;

	(void)state;
	assert_int_equal(tw_homes_new(PLACES, &random, &homes), 0);
	for (unsigned i = 0; i < 10 * PLACES; i++) {
		struct tw_public_key key = peer(i);
		unsigned place = tw_homes_find(homes, &key, i % 2, now);

		assert_true(place < PLACES);
		counts[place]++;
		tw_homes_hold(homes, &key, place, TW_RECEIVER_HELD_CONN, 1);
		/* From wherever he knocks next. */
		assert_int_equal(tw_homes_find(homes, &key, (i + 1) % PLACES, now), place);
	}
	for (unsigned i = 0; i < PLACES; i++)
		assert_int_equal(counts[i], 10);
	/* One that sends much is spared. */
	tw_homes_busy(homes, 0, 5);
	for (unsigned i = 100; i < 103; i++) {
		struct tw_public_key key = peer(i);

		assert_true(tw_homes_find(homes, &key, 0, now) != 0);
	}
	tw_homes_free(homes);
}

/* As long as anything of his is there, and as long as he is expected. */
static void homes_are_given_up(void **state)
{
	struct tw_random random = tw_system_random();
	struct tw_public_key key = peer(1), others[2] = { peer(2), peer(3) };
	struct tw_homes *homes;
	tw_ns now = TW_SECOND;

	(void)state;
	assert_int_equal(tw_homes_new(PLACES, &random, &homes), 0);
	assert_int_equal(tw_homes_find(homes, &key, 1, now), 1);
	assert_int_equal(tw_homes_find(homes, &key, 2, now), 1);
	tw_homes_hold(homes, &key, 1, TW_RECEIVER_HELD_CONN, 1);
	tw_homes_hold(homes, &key, 1, TW_RECEIVER_HELD_TRANSFER, 1);
	tw_homes_hold(homes, &key, 1, TW_RECEIVER_HELD_CONN, -1);
	now += TW_SECOND * 3600;
	assert_int_equal(tw_homes_find(homes, &key, 2, now), 1);
	tw_homes_hold(homes, &key, 1, TW_RECEIVER_HELD_TRANSFER, -1);
	now += TW_HOMES_RESERVED;
	assert_int_equal(tw_homes_find(homes, &key, 2, now), 2);
	/* Those who never came are no load. */
	now += TW_HOMES_RESERVED;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(tw_homes_find(homes, &others[i], 2 * i, now), 2 * i);
	/* Served where nobody expected him. */
	tw_homes_hold(homes, &others[0], 1, TW_RECEIVER_HELD_CONN, 1);
	assert_int_equal(tw_homes_find(homes, &others[0], 2, now), 1);
	tw_homes_hold(homes, &others[0], 1, TW_RECEIVER_HELD_CONN, -1);
	tw_homes_hold(homes, &others[0], 1, TW_RECEIVER_HELD_CONN, -1);
	tw_homes_free(homes);
}

static void lanes_are_beside_homes(void **state)
{
	struct tw_random random = tw_system_random();
	struct tw_public_key key = peer(1);
	struct tw_homes *homes;
	unsigned place;

	(void)state;
	assert_int_equal(tw_homes_new(PLACES, &random, &homes), 0);
	assert_false(tw_homes_lane(homes, &key, 1, &place));
	/* Who has only knocked has nothing that a lane could belong to. */
	assert_int_equal(tw_homes_find(homes, &key, 2, TW_SECOND), 2);
	assert_false(tw_homes_lane(homes, &key, 1, &place));
	tw_homes_hold(homes, &key, 2, TW_RECEIVER_HELD_CONN, 1);
	for (unsigned lane = 1; lane < PLACES; lane++) {
		assert_true(tw_homes_lane(homes, &key, lane, &place));
		assert_int_equal(place, (2 + lane) % PLACES);
	}
	/* It would be at home. */
	assert_false(tw_homes_lane(homes, &key, PLACES, &place));
	tw_homes_hold(homes, &key, 2, TW_RECEIVER_HELD_CONN, -1);
	assert_false(tw_homes_lane(homes, &key, 1, &place));
	tw_homes_free(homes);
}

static void lanes_of_a_peer_are_counted(void **state)
{
	struct tw_random random = tw_system_random();
	struct tw_public_key key = peer(1), other = peer(2);
	struct tw_homes *homes;
	unsigned place;

	(void)state;
	assert_int_equal(tw_homes_new(PLACES, &random, &homes), 0);
	tw_homes_hold(homes, &key, 2, TW_RECEIVER_HELD_CONN, 1);
	tw_homes_hold(homes, &other, 0, TW_RECEIVER_HELD_CONN, 1);
	for (unsigned i = 0; i < TW_HOMES_LANES_MAX; i++) {
		assert_true(tw_homes_lane(homes, &key, 1, &place));
		tw_homes_hold_lane(homes, &key, 1);
	}
	assert_false(tw_homes_lane(homes, &key, 1, &place));
	assert_true(tw_homes_lane(homes, &other, 1, &place));
	/* Nor are they forgotten with the connection, made anew. */
	tw_homes_hold(homes, &key, 2, TW_RECEIVER_HELD_CONN, -1);
	tw_homes_hold(homes, &key, 2, TW_RECEIVER_HELD_CONN, 1);
	assert_false(tw_homes_lane(homes, &key, 1, &place));
	tw_homes_hold_lane(homes, &key, -1);
	assert_true(tw_homes_lane(homes, &key, 1, &place));
	for (unsigned i = 1; i < TW_HOMES_LANES_MAX; i++)
		tw_homes_hold_lane(homes, &key, -1);
	/* One too many does no harm. */
	tw_homes_hold_lane(homes, &key, -1);
	assert_true(tw_homes_lane(homes, &key, 1, &place));
	tw_homes_hold(homes, &key, 2, TW_RECEIVER_HELD_CONN, -1);
	tw_homes_hold_lane(homes, &key, 1); /* nobody's */
	assert_int_equal(tw_homes_find(homes, &key, 3, TW_SECOND), 3);
	tw_homes_free(homes);
}

/* Endpoints: one that is asked hands on to the one that serves. */

struct endpoints {
	struct tw_prng prng;
	struct tw_endpoint *responders[PLACES], *initiator;
	struct tw_identity ours, theirs;
	unsigned home, elsewhere, admitted;
	uint8_t at_hand[TW_DATAGRAM_MAX], handed[TW_DATAGRAM_MAX];
	size_t at_hand_length, handed_length;
	struct tw_address address, remote;
	tw_ns now;
	bool established, came_in;
};

static void on_established(void *app, struct tw_conn *conn)
{
	(void)conn;
	*(bool *)app = true;
}

static const struct tw_conn_app app = { .established = on_established };

struct admission {
	struct endpoints *scene;
	unsigned place;
};

static enum tw_verdict admit(void *context, const struct tw_public_key *key,
			     const struct tw_path *path, struct tw_conn_config *ret_config,
			     const struct tw_conn_app **ret_app, void **ret_context)
{
	struct admission *admission = context;
	struct endpoints *scene = admission->scene;

	(void)path;
	assert_memory_equal(key, &scene->theirs.public_key, sizeof *key);
	if (admission->place != scene->home) {
		memcpy(scene->handed, scene->at_hand, scene->at_hand_length);
		scene->handed_length = scene->at_hand_length;
		scene->elsewhere++;
		return TW_ACCEPT_ELSEWHERE;
	}
	scene->admitted++;
	*ret_config = (struct tw_conn_config){ .limits.max_bps = UINT64_MAX };
	*ret_app = &app;
	*ret_context = &scene->came_in;
	return TW_ACCEPT_YES;
}

/* What @from has to say, each datagram to whom it is steered. Returns how many there were. */
static unsigned carry(struct endpoints *scene, struct tw_endpoint *from)
{
	static uint8_t buffer[65536];
	struct tw_train train = { .bytes = buffer, .room = sizeof buffer };
	unsigned count = 0;

	while (tw_endpoint_send(from, &train, scene->now)) {
		bool out = from == scene->initiator;
		struct tw_path path = { out ? scene->address : scene->remote,
					out ? scene->remote : scene->address };
		unsigned to = tw_steer(buffer, train.length, PLACES);

		assert_true(train.length <= train.segment);
		memcpy(scene->at_hand, buffer, train.length);
		scene->at_hand_length = train.length;
		tw_endpoint_receive(out ? scene->responders[to] : scene->initiator, &path, buffer,
				    train.length, scene->now);
		if (scene->handed_length)
			tw_endpoint_receive_vouched(scene->responders[scene->home], &path,
						    scene->handed, scene->handed_length,
						    scene->now);
		scene->handed_length = 0;
		count++;
	}
	return count;
}

static void endpoints_hand_on(void **state)
{
	struct endpoints *scene = calloc(1, sizeof *scene);
	struct admission admissions[PLACES];
	struct tw_endpoint_config config = { .accept = true, .admit = admit, .places = PLACES };
	struct tw_connect connect = { .cipher = TW_CIPHER_128, .app = &app };
	struct tw_conn *conn;
	unsigned found = 0;

	(void)state;
	tw_prng_init(&scene->prng, 3);
	config.random = tw_prng_random(&scene->prng);
	scene->now = TW_SECOND;
	scene->address = (struct tw_address){ .family = TW_FAMILY_IPV4, .port = 8886 };
	scene->remote = (struct tw_address){ .family = TW_FAMILY_IPV4, .ip = { 1 }, .port = 1 };
	assert_int_equal(tw_identity_generate(&config.random, &scene->ours), 0);
	assert_int_equal(tw_identity_generate(&config.random, &scene->theirs), 0);
	config.identity = &scene->ours;
	tw_cid_salt_init(&config.salt, &config.random);
	for (unsigned i = 0; i < PLACES; i++) {
		admissions[i] = (struct admission){ scene, i };
		config.place = i;
		config.context = &admissions[i];
		assert_int_equal(tw_endpoint_new(&config, scene->now, &scene->responders[i]), 0);
	}
	config = (struct tw_endpoint_config){ .identity = &scene->theirs,
					      .random = tw_prng_random(&scene->prng) };
	assert_int_equal(tw_endpoint_new(&config, scene->now, &scene->initiator), 0);
	scene->home = 2;
	connect.remote = scene->address;
	connect.peer_key = scene->ours.public_key;
	connect.app_context = &scene->established;
	/* As often as it takes to knock elsewhere. */
	while (!scene->elsewhere) {
		scene->established = scene->came_in = false;
		assert_int_equal(tw_endpoint_connect(scene->initiator, &connect, scene->now, &conn),
				 0);
		for (unsigned i = 0; i < 200 && !(scene->established && scene->came_in); i++) {
			carry(scene, scene->initiator);
			for (unsigned k = 0; k < PLACES; k++)
				carry(scene, scene->responders[k]);
			scene->now += TW_MSEC;
		}
		assert_true(scene->established && scene->came_in);
		found++;
		assert_int_equal(scene->admitted, found);
	}
	/* All connections are with the one who serves, and their ids lead there. */
	for (unsigned i = 0; i < PLACES; i++)
		assert_int_equal(tw_endpoint_count(scene->responders[i]),
				 i == scene->home ? found : 0);
	for (unsigned i = 0; i < found; i++) {
		struct tw_conn_info info;

		tw_conn_info(tw_endpoint_conn(scene->responders[2], i), &info);
		assert_true(tw_steer_leads(info.id, 2, PLACES));
	}
	tw_endpoint_free(scene->initiator);
	for (unsigned i = 0; i < PLACES; i++)
		tw_endpoint_free(scene->responders[i]);
	free(scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_lead_back),          cmocka_unit_test(the_filter_steers),
		cmocka_unit_test(founders_are_alone),     cmocka_unit_test(post_arrives_in_order),
		cmocka_unit_test(post_from_many_threads), cmocka_unit_test(homes_spread_and_stay),
		cmocka_unit_test(homes_are_given_up),     cmocka_unit_test(endpoints_hand_on),
		cmocka_unit_test(letters_are_not_lost),   cmocka_unit_test(letters_come_in_order),
		cmocka_unit_test(lanes_are_beside_homes),
		cmocka_unit_test(lanes_of_a_peer_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
