#include "netio/valve.h"

#include <assert.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include "wire/datagram.h"

#define PORT 0 /* the filter begins at the UDP header */
#define PAYLOAD 8
#define SOURCE_IPV4 12 /* in the IP header; of IPv6 the last 32 bits */
#define SOURCE_IPV6 20
#define HIGHEST_TYPE 0x2f /* those between relays included */
#define ALL UINT32_C(0xffffffff)
#define WIDTH_BITS 10
static_assert(1 << WIDTH_BITS == TW_VALVE_OPEN, "the top bits of the hash");

#define LOAD(size, at) BPF_STMT(BPF_LD | (size) | BPF_ABS, (uint32_t)(at))
#define DO(operation, value) BPF_STMT(BPF_ALU | (operation), value)
#define IF(test, value, yes, no) BPF_JUMP(BPF_JMP | (test) | BPF_K, value, yes, no)

/* What is in force stays so when it fails: nothing, or the last window. */
static void set_filter(struct tw_valve *valve)
{
	struct sock_filter code[] = {
		LOAD(BPF_B, PAYLOAD),
		IF(BPF_JEQ, TW_DATAGRAM_INIT, 2, 0),
		IF(BPF_JEQ, 0, 12, 0),
		IF(BPF_JGT, HIGHEST_TYPE, 11, 10),
		/* Address and port of the source, mixed. */
		LOAD(BPF_W, SKF_NET_OFF + (valve->ipv6 ? SOURCE_IPV6 : SOURCE_IPV4)),
		DO(BPF_MUL | BPF_K, valve->salt[0] | 1),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		LOAD(BPF_H, PORT),
		DO(BPF_ADD | BPF_X, 0),
		DO(BPF_MUL | BPF_K, valve->salt[1] | 1),
		DO(BPF_RSH | BPF_K, 32 - WIDTH_BITS),
		DO(BPF_ADD | BPF_K, valve->place),
		DO(BPF_AND | BPF_K, TW_VALVE_OPEN - 1),
		IF(BPF_JGE, valve->width, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, ALL),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = { sizeof code / sizeof *code, code };

	if (setsockopt(valve->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program))
		valve->fd = -1;
}

void tw_valve_init(struct tw_valve *valve, int fd, bool ipv6, const struct tw_random *random,
		   tw_ns now)
{
	uint64_t salt = tw_random_u64(random);

	*valve = (struct tw_valve){ .fd = fd,
				    .ipv6 = ipv6,
				    .salt = { (uint32_t)salt, (uint32_t)(salt >> 32) },
				    .width = TW_VALVE_OPEN,
				    .since = now,
				    .moved_at = now };
	set_filter(valve);
}

unsigned tw_valve_width(unsigned width, double inits_a_second)
{
	double all = inits_a_second * TW_VALVE_OPEN / width, wanted = TW_VALVE_OPEN;

	if (all > TW_VALVE_INITS)
		wanted = TW_VALVE_INITS * TW_VALVE_OPEN / all;
	return wanted > 1 ? (unsigned)wanted : 1;
}

void tw_valve_turn(struct tw_valve *valve, tw_ns now)
{
	tw_ns span = tw_ns_since(now, valve->since);
	bool moves = tw_ns_since(now, valve->moved_at) >= TW_VALVE_WINDOW;
	unsigned wanted;

	if (valve->fd < 0 || span < TW_VALVE_PERIOD)
		return;
	wanted = tw_valve_width(valve->width,
				(double)valve->inits * (double)TW_SECOND / (double)span);
	valve->inits = 0;
	valve->since = now;
	/* It closes at once and opens bit by bit: a flood may have few sources, or pause. */
	if (wanted > valve->width && moves)
		wanted = wanted / 2 < valve->width ? wanted : 2 * valve->width;
	else if (wanted > valve->width - valve->width / 4)
		wanted = valve->width;
	if (wanted == valve->width && (!moves || wanted == TW_VALVE_OPEN))
		return;
	if (moves) {
		valve->place += valve->width;
		valve->moved_at = now;
	}
	valve->width = wanted;
	set_filter(valve);
}
