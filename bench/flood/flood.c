/*
 * tradewind-flood - knocks at a server from addresses that are not its own, at a given rate.
 *
 *   tradewind-flood IPV4 PORT KIND PER_SECOND SECONDS [KEY]
 *
 * KIND: `garbage`: INITs whose message does not open; `cookie`: the same with cookies that are not
 * valid; `true`: INITs that open, for the server's KEY; `noise`: datagrams of no type; `packets`:
 * packets of connections that there are not. Sources are random addresses of 198.18.0.0/15, which
 * is set apart for such measurements. One line of JSON says what was sent. Needs the right to raw
 * sockets. For namespaces of one's own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "core/endpoint.h"
#include "wire/datagram.h"

#define BATCH 32
#define TEMPLATES 2048 /* true INITs made beforehand: to make one takes longer than to send it */
#define SOURCES UINT32_C(0xc6120000)

struct packet {
	struct iphdr ip;
	struct udphdr udp;
	uint8_t payload[TW_DATAGRAM_INIT_MIN];
} __attribute__((packed));

enum kind { GARBAGE, COOKIE, TRUE_INIT, NOISE, PACKETS, KINDS };
static const char *const kind_names[] = { "garbage", "cookie", "true", "noise", "packets" };

struct flood {
	int fd;
	enum kind kind;
	struct sockaddr_in to;
	struct tw_prng prng;
	struct packet packets[BATCH];
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	uint8_t (*templates)[TW_DATAGRAM_INIT_MIN];
	uint64_t sent;
};

static int64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void make_templates(struct flood *flood, const struct tw_public_key *key)
{
	static uint8_t bytes[TW_DATAGRAM_MAX];
	struct tw_random random = tw_prng_random(&flood->prng);
	struct tw_identity self;
	struct tw_endpoint_config config = { .identity = &self, .random = random };
	struct tw_connect connect = { .remote = { TW_FAMILY_IPV4, { 127, 0, 0, 1 }, 1, 0 },
				      .peer_key = *key,
				      .cipher = TW_CIPHER_128 };
	struct tw_endpoint *endpoint;
	struct tw_conn *conn;

	flood->templates = calloc(TEMPLATES, sizeof *flood->templates);
	if (!flood->templates || tw_identity_generate(&random, &self) ||
	    tw_endpoint_new(&config, 1, &endpoint))
		die("templates");
	for (unsigned i = 0; i < TEMPLATES; i++) {
		struct tw_train train = { .bytes = bytes, .room = sizeof bytes };

		if (tw_endpoint_connect(endpoint, &connect, i + 2, &conn) ||
		    !tw_endpoint_send(endpoint, &train, i + 2))
			die("template");
		memcpy(flood->templates[i], bytes, TW_DATAGRAM_INIT_MIN);
	}
	tw_endpoint_free(endpoint);
}

static void make_payload(struct flood *flood, uint8_t payload[TW_DATAGRAM_INIT_MIN])
{
	uint8_t message[256], cookie[TW_COOKIE_SIZE];
	struct tw_random random = tw_prng_random(&flood->prng);
	struct tw_datagram init = { .type = TW_DATAGRAM_INIT,
				    .version = TW_VERSION_1,
				    .scid = tw_prng_u64(&flood->prng),
				    .pattern = TW_PATTERN_IK,
				    .cookie = flood->kind == COOKIE ? cookie : NULL,
				    .message = message,
				    .message_length = sizeof message };

	if (flood->kind == TRUE_INIT) {
		memcpy(payload, flood->templates[tw_prng_below(&flood->prng, TEMPLATES)],
		       TW_DATAGRAM_INIT_MIN);
		return;
	}
	if (flood->kind == PACKETS) {
		tw_datagram_write_packet_header(tw_prng_u64(&flood->prng), false,
						tw_prng_u64(&flood->prng), payload);
		return;
	}
	tw_random_fill(&random, message, 32);
	memset(message + 32, 0x5a, sizeof message - 32);
	tw_random_fill(&random, cookie, sizeof cookie);
	tw_datagram_write_init(&init, payload, TW_DATAGRAM_INIT_MIN);
	if (flood->kind == NOISE)
		payload[0] = 0x7f;
}

static void prepare(struct flood *flood)
{
	for (unsigned i = 0; i < BATCH; i++) {
		struct packet *packet = &flood->packets[i];

		packet->ip = (struct iphdr){ .version = 4,
					     .ihl = 5,
					     .ttl = 64,
					     .protocol = IPPROTO_UDP,
					     .tot_len = htons(sizeof *packet),
					     .daddr = flood->to.sin_addr.s_addr };
		packet->udp =
			(struct udphdr){ .uh_dport = flood->to.sin_port,
					 .uh_ulen = htons(sizeof *packet - sizeof packet->ip) };
		flood->parts[i] = (struct iovec){ packet, sizeof *packet };
		flood->messages[i].msg_hdr = (struct msghdr){ .msg_name = &flood->to,
							      .msg_namelen = sizeof flood->to,
							      .msg_iov = &flood->parts[i],
							      .msg_iovlen = 1 };
	}
}

static void send_batch(struct flood *flood)
{
	int r;

	for (unsigned i = 0; i < BATCH; i++) {
		uint64_t who = tw_prng_u64(&flood->prng);

		flood->packets[i].ip.saddr = htonl(SOURCES | (uint32_t)(who & 0x1ffff));
		flood->packets[i].udp.uh_sport = (uint16_t)(who >> 32 | 1);
		make_payload(flood, flood->packets[i].payload);
	}
	r = sendmmsg(flood->fd, flood->messages, BATCH, 0);
	if (r < 0 && errno != ENOBUFS && errno != EAGAIN)
		die("sendmmsg");
	if (r > 0)
		flood->sent += (unsigned)r;
}

static void run(struct flood *flood, double per_second, double seconds)
{
	int64_t start = clock_ns(), end = start + (int64_t)(seconds * 1e9), now = start;

	while (now < end) {
		int64_t due = start + (int64_t)((double)flood->sent / per_second * 1e9);

		if (due > now) {
			struct timespec pause = { .tv_nsec = due - now > 1000000 ? 1000000
										 : due - now };

			nanosleep(&pause, NULL);
		} else {
			send_batch(flood);
		}
		now = clock_ns();
	}
	printf("{\"sent\":%llu,\"seconds\":%.3f}\n", (unsigned long long)flood->sent,
	       (double)(now - start) / 1e9);
}

int main(int argc, char **argv)
{
	static struct flood flood = { .kind = KINDS };
	struct tw_public_key key;

	if (argc < 6) {
		fputs("tradewind-flood IPV4 PORT garbage|cookie|true|noise|packets PER_SECOND "
		      "SECONDS [KEY]\n",
		      stderr);
		return 2;
	}
	flood.to = (struct sockaddr_in){ .sin_family = AF_INET,
					 .sin_port = htons((uint16_t)atoi(argv[2])) };
	for (unsigned i = 0; i < KINDS; i++)
		if (strcmp(argv[3], kind_names[i]) == 0)
			flood.kind = (enum kind)i;
	if (inet_pton(AF_INET, argv[1], &flood.to.sin_addr) != 1 || flood.kind == KINDS ||
	    (flood.kind == TRUE_INIT && (argc < 7 || tw_public_key_parse(argv[6], &key)))) {
		fputs("bad address, kind or key\n", stderr);
		return 2;
	}
	tw_prng_init(&flood.prng, (uint64_t)clock_ns());
	if (flood.kind == TRUE_INIT)
		make_templates(&flood, &key);
	flood.fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	if (flood.fd < 0)
		die("raw socket");
	prepare(&flood);
	run(&flood, atof(argv[4]), atof(argv[5]));
	close(flood.fd);
	free(flood.templates);
	return 0;
}
