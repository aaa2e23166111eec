#include "netio/valve.h"

#include <assert.h>
#include <linux/filter.h>
#include <sys/socket.h>

#include "wire/datagram.h"

#define PORT 0 /* the filter begins at the UDP header */
#define PAYLOAD 8
#define SOURCE_IPV4 12 /* in the IP header; of IPv6 the last 32 bits */
#define SOURCE_IPV6 20
#define BETWEEN_RELAYS 0x20 /* the first of their types */
#define HIGHEST_TYPE 0x2f
#define ALL UINT32_C(0xffffffff)
#define WIDTH_BITS 10
static_assert(1 << WIDTH_BITS == TW_VALVE_OPEN, "the top bits of the hash");

#define CODE_MAX (100 + 2 * TW_VALVE_SOURCES)
/* Where a test leads: the jump is filled in when the place is known. */
enum label { NEXT, BUT_ONE, TAKE, DROP, ID_AT_1, ID_AT_5, QUESTION, ANSWER, CONNECTED, LABELS };

struct code {
	struct sock_filter lines[CODE_MAX];
	uint8_t yes[CODE_MAX], no[CODE_MAX]; /* labels of jumps */
	unsigned count, at[LABELS];
};

static void add(struct code *code, unsigned operation, uint32_t value)
{
	assert(code->count < CODE_MAX);
	code->lines[code->count++] =
		(struct sock_filter){ .code = (uint16_t)operation, .k = value };
}

static void load(struct code *code, unsigned size, uint32_t at)
{
	add(code, BPF_LD | size | BPF_ABS, at);
}

static void compute(struct code *code, unsigned operation, uint32_t value)
{
	add(code, BPF_ALU | operation, value);
}

static void test(struct code *code, unsigned operation, uint32_t value, enum label yes,
		 enum label no)
{
	code->yes[code->count] = (uint8_t)yes;
	code->no[code->count] = (uint8_t)no;
	add(code, BPF_JMP | operation, value);
}

static void here(struct code *code, enum label label)
{
	code->at[label] = code->count;
}

/* As in core/cid.c. */
static void check_id(struct code *code, const struct tw_cid_salt *ids, uint32_t at)
{
	load(code, BPF_W, PAYLOAD + at + 4);
	compute(code, BPF_MUL | BPF_K, ids->first);
	add(code, BPF_MISC | BPF_TAX, 0);
	compute(code, BPF_RSH | BPF_K, TW_CID_MARK_SHIFT);
	compute(code, BPF_XOR | BPF_X, 0);
	add(code, BPF_ST, 0);
	load(code, BPF_W, PAYLOAD + at);
	compute(code, BPF_AND | BPF_K, (UINT32_C(1) << (32 - TW_CID_MARK_BITS)) - 1);
	add(code, BPF_LDX | BPF_MEM, 0);
	compute(code, BPF_ADD | BPF_X, 0);
	compute(code, BPF_MUL | BPF_K, ids->second);
	compute(code, BPF_RSH | BPF_K, 32 - TW_CID_MARK_BITS);
	add(code, BPF_MISC | BPF_TAX, 0);
	load(code, BPF_W, PAYLOAD + at);
	compute(code, BPF_RSH | BPF_K, 32 - TW_CID_MARK_BITS);
	test(code, BPF_JEQ | BPF_X, 0, TAKE, DROP);
}

/* Address and port of the source, mixed. */
static void mix_source(struct code *code, const struct tw_valve *valve)
{
	load(code, BPF_W, (uint32_t)SKF_NET_OFF + (valve->ipv6 ? SOURCE_IPV6 : SOURCE_IPV4));
	compute(code, BPF_MUL | BPF_K, valve->salt[0] | 1);
	add(code, BPF_MISC | BPF_TAX, 0);
	load(code, BPF_H, PORT);
	compute(code, BPF_ADD | BPF_X, 0);
	compute(code, BPF_MUL | BPF_K, valve->salt[1] | 1);
}

static uint32_t mixed(const struct tw_valve *valve, const struct tw_address *source)
{
	const uint8_t *ip = source->ip + (valve->ipv6 ? 12 : 0);
	uint32_t low = (uint32_t)ip[0] << 24 | (uint32_t)ip[1] << 16 | (uint32_t)ip[2] << 8 | ip[3];

	return (low * (valve->salt[0] | 1) + source->port) * (valve->salt[1] | 1);
}

/* Behind mix_source(). */
static void check_window(struct code *code, const struct tw_valve_window *window)
{
	compute(code, BPF_RSH | BPF_K, 32 - WIDTH_BITS);
	compute(code, BPF_ADD | BPF_K, window->place);
	compute(code, BPF_AND | BPF_K, TW_VALVE_OPEN - 1);
	test(code, BPF_JGE | BPF_K, window->width, NEXT, BUT_ONE);
	add(code, BPF_RET | BPF_K, 0);
	add(code, BPF_RET | BPF_K, ALL);
}

static void check_source(struct code *code, const struct tw_valve *valve, enum tw_valve_class class)
{
	mix_source(code, valve);
	check_window(code, &valve->windows[class]);
}

/* Of ids that others have chosen: whoever is known, and of the rest who is in the window. Not
 * @whole: everybody. */
static void check_known(struct code *code, const struct tw_valve *valve, bool whole)
{
	const struct tw_valve_window *window = &valve->windows[TW_VALVE_CONNECTED];
	enum tw_family family = valve->ipv6 ? TW_FAMILY_IPV6 : TW_FAMILY_IPV4;
	struct tw_address known[TW_VALVE_SOURCES];
	size_t count = 0;

	whole &= window->width < TW_VALVE_OPEN;
	if (whole && valve->known)
		count = valve->known(valve->context, known, TW_VALVE_SOURCES);
	if (!whole || count > TW_VALVE_SOURCES) {
		add(code, BPF_RET | BPF_K, ALL);
		return;
	}
	mix_source(code, valve);
	for (size_t i = 0; i < count; i++) {
		if (known[i].family != family)
			continue;
		test(code, BPF_JEQ | BPF_K, mixed(valve, &known[i]), NEXT, BUT_ONE);
		add(code, BPF_RET | BPF_K, ALL);
	}
	check_window(code, window);
}

static void by_type(struct code *code, bool marked)
{
	enum label at_1 = marked ? ID_AT_1 : CONNECTED, at_5 = marked ? ID_AT_5 : CONNECTED;

	load(code, BPF_B, PAYLOAD);
	test(code, BPF_JGT | BPF_K, HIGHEST_TYPE, DROP, NEXT);
	test(code, BPF_JGE | BPF_K, BETWEEN_RELAYS, ANSWER, NEXT);
	test(code, BPF_JEQ | BPF_K, TW_DATAGRAM_INIT, QUESTION, NEXT);
	test(code, BPF_JEQ | BPF_K, TW_DATAGRAM_DISCOVER, QUESTION, NEXT);
	test(code, BPF_JEQ | BPF_K, TW_DATAGRAM_DISCOVERED, ANSWER, NEXT);
	test(code, BPF_JEQ | BPF_K, TW_DATAGRAM_ACCEPT, at_5, NEXT);
	test(code, BPF_JEQ | BPF_K, TW_DATAGRAM_RETRY, at_5, NEXT);
	test(code, BPF_JEQ | BPF_K, TW_DATAGRAM_VERSIONS, at_1, NEXT);
	test(code, BPF_JEQ | BPF_K, TW_DATAGRAM_PROBE, at_1, NEXT);
	test(code, BPF_JEQ | BPF_K, TW_DATAGRAM_ECHO, at_1, NEXT);
	compute(code, BPF_AND | BPF_K, 0xfe); /* the key phase */
	test(code, BPF_JEQ | BPF_K, TW_DATAGRAM_PACKET, at_1, DROP);
}

static uint8_t distance(const struct code *code, unsigned from, enum label label)
{
	unsigned to = label == NEXT ? from + 1 : label == BUT_ONE ? from + 2 : code->at[label];

	assert(to > from && to - from <= 256);
	return (uint8_t)(to - from - 1);
}

static void link_jumps(struct code *code)
{
	for (unsigned i = 0; i < code->count; i++) {
		if (BPF_CLASS(code->lines[i].code) != BPF_JMP)
			continue;
		code->lines[i].jt = distance(code, i, code->yes[i]);
		code->lines[i].jf = distance(code, i, code->no[i]);
	}
}

/* What is in force stays so when it fails: nothing, or the last windows. */
static bool attach(const struct tw_valve *valve, bool whole)
{
	struct code code;
	struct sock_fprog program;

	code.count = 0;
	by_type(&code, valve->marked);
	if (valve->marked) {
		here(&code, ID_AT_1);
		check_id(&code, &valve->ids, 1);
		here(&code, ID_AT_5);
		check_id(&code, &valve->ids, 5);
	}
	here(&code, QUESTION);
	check_source(&code, valve, TW_VALVE_QUESTIONS);
	here(&code, ANSWER);
	check_source(&code, valve, TW_VALVE_ANSWERS);
	here(&code, TAKE);
	add(&code, BPF_RET | BPF_K, ALL);
	here(&code, DROP);
	add(&code, BPF_RET | BPF_K, 0);
	/* Last, because it can be longer than a jump. */
	here(&code, CONNECTED);
	if (!valve->marked)
		check_known(&code, valve, whole);
	link_jumps(&code);
	program = (struct sock_fprog){ (unsigned short)code.count, code.lines };
	return !setsockopt(valve->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

/*
 * The new filter stands beside the old one for a moment, and the kernel grants a socket so much
 * room for both (net.core.optmem_max, 20 KiB before Linux 6.8). Two that name hundreds of sources
 * have none: a short one goes between them, and stays if even one is too long.
 */
static void set_filter(struct tw_valve *valve)
{
	valve->late = !attach(valve, true);
	if (valve->late && !valve->marked && attach(valve, false))
		valve->late = !attach(valve, true);
}

enum tw_valve_class tw_valve_class(uint8_t type)
{
	if (type == TW_DATAGRAM_INIT || type == TW_DATAGRAM_DISCOVER)
		return TW_VALVE_QUESTIONS;
	if (type == TW_DATAGRAM_DISCOVERED || type >= BETWEEN_RELAYS)
		return TW_VALVE_ANSWERS;
	return TW_VALVE_CONNECTED;
}

void tw_valve_init(struct tw_valve *valve, int fd, bool ipv6, const struct tw_cid_salt *ids,
		   const struct tw_random *random, tw_ns now)
{
	uint64_t salt = tw_random_u64(random);

	*valve = (struct tw_valve){ .fd = fd,
				    .ipv6 = ipv6,
				    .marked = ids,
				    .salt = { (uint32_t)salt, (uint32_t)(salt >> 32) } };
	if (ids)
		valve->ids = *ids;
	for (unsigned i = 0; i < TW_VALVE_CLASSES; i++)
		valve->windows[i] = (struct tw_valve_window){ .width = TW_VALVE_OPEN,
							      .since = now,
							      .moved_at = now };
	if (!attach(valve, true))
		valve->fd = -1;
}

unsigned tw_valve_width(unsigned width, double a_second)
{
	double all = a_second * TW_VALVE_OPEN / width, wanted = TW_VALVE_OPEN;

	if (all > TW_VALVE_MOST)
		wanted = TW_VALVE_MOST * TW_VALVE_OPEN / all;
	return wanted > 1 ? (unsigned)wanted : 1;
}

/* Returns whether it is another one now. */
static bool turn_window(struct tw_valve_window *window, tw_ns now)
{
	tw_ns span = tw_ns_since(now, window->since);
	bool moves = tw_ns_since(now, window->moved_at) >= TW_VALVE_WINDOW;
	unsigned wanted;

	if (span < TW_VALVE_PERIOD)
		return false;
	wanted = tw_valve_width(window->width,
				(double)window->came * (double)TW_SECOND / (double)span);
	window->came = 0;
	window->since = now;
	/* It closes at once and opens bit by bit: a flood may have few sources, or pause. */
	if (wanted > window->width && moves)
		wanted = wanted / 2 < window->width ? wanted : 2 * window->width;
	else if (wanted > window->width - window->width / 4)
		wanted = window->width;
	if (wanted == window->width && (!moves || wanted == TW_VALVE_OPEN))
		return false;
	if (moves) {
		window->place += window->width;
		window->moved_at = now;
	}
	window->width = wanted;
	return true;
}

void tw_valve_turn(struct tw_valve *valve, tw_ns now)
{
	bool turned = valve->late && tw_ns_since(now, valve->tried_at) >= TW_VALVE_WINDOW;

	if (valve->fd < 0)
		return;
	for (unsigned i = 0; i < TW_VALVE_CLASSES; i++)
		turned |= turn_window(&valve->windows[i], now);
	if (!turned)
		return;
	valve->tried_at = now;
	set_filter(valve);
}
