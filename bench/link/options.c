#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "units.h"

enum kind { RATE, TIME, SHARE, NUMBER, QUEUE, SWITCH, TEXT, ADDRESS };

struct row {
	const char *name;
	const char *argument;
	enum kind kind;
	/* of a direction: offset is into struct link_shape, else struct link_options */
	bool shape;
	size_t offset;
	const char *help;
};

#define SHAPE(member) true, offsetof(struct link_shape, member)
#define OPTION(member) false, offsetof(struct link_options, member)

static const struct row rows[] = {
	{ "left", "NAMESPACE", TEXT, OPTION(devices[0].namespace),
	  "where the left device goes; default: here" },
	{ "right", "NAMESPACE", TEXT, OPTION(devices[1].namespace), "where the right device goes" },
	{ "left-ip", "ADDRESS/PREFIX", ADDRESS, OPTION(devices[0]),
	  "may be given once for each family" },
	{ "right-ip", "ADDRESS/PREFIX", ADDRESS, OPTION(devices[1]),
	  "may be given once for each family" },
	{ "left-name", "NAME", TEXT, OPTION(devices[0].name), "of the device, default link0" },
	{ "right-name", "NAME", TEXT, OPTION(devices[1].name), "of the device, default link0" },
	{ "mtu", "BYTES", NUMBER, OPTION(mtu), "of both devices, default 1500" },
	{ "rate", "RATE", RATE, SHAPE(rate_bps),
	  "500M, 1.5G; a bare number is Mbit/s; 0, the default: no limit" },
	{ "delay", "TIME", TIME, SHAPE(delay_ns), "one way: 50ms, 200us; a bare number is ms" },
	{ "queue", "SIZE", QUEUE, SHAPE(queue),
	  "before the rate: 256K, 64KiB, 20ms; default 1bdp (at least 64 KiB)" },
	{ "loss", "SHARE", SHARE, SHAPE(loss), "1% or 0.01" },
	{ "burst", "PACKETS", NUMBER, SHAPE(burst), "losses come in runs of this mean length" },
	{ "jitter", "TIME", TIME, SHAPE(jitter_ns),
	  "the delay varies by this much either way, in order" },
	{ "jitter-reorders", NULL, SWITCH, SHAPE(jitter_reorders), "and out of order" },
	{ "reorder", "SHARE", SHARE, SHAPE(reorder), "of packets that are held back" },
	{ "reorder-by", "TIME", TIME, SHAPE(reorder_ns), "for how long, default 2ms" },
	{ "duplicate", "SHARE", SHARE, SHAPE(duplicate), "of packets that arrive twice" },
	{ "corrupt", "SHARE", SHARE, SHAPE(corrupt),
	  "of packets with a flipped bit that checksums do not show" },
	{ "mtu-drop", "BYTES", NUMBER, SHAPE(mtu_drop),
	  "longer packets vanish without a word; 0: none" },
	{ "port-shift", "N", NUMBER, SHAPE(port_shift),
	  "a NAT: added to the left side's UDP ports; change it to rebind" },
	{ "down", "0|1", NUMBER, SHAPE(down), "1: nothing arrives" },
	{ "seed", "N", NUMBER, OPTION(seed), "of all chance, default 1" },
	{ "tick", "TIME", TIME, OPTION(tick_ns),
	  "arrivals within it go together; default: a 400th of the round trip, 50us to 250us" },
	{ "stats", "FILE", TEXT, OPTION(statistics_path),
	  "replaced with each new line; default: standard output" },
	{ "stats-every", "TIME", TIME, OPTION(statistics_every_ns),
	  "default: only on SIGUSR1 and at the end" },
	{ "control", NULL, SWITCH, OPTION(control),
	  "read changes from standard input: loss 5%, rate-back 2M, down 1" },
	{ "help", NULL, SWITCH, OPTION(help), "this text" },
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

void link_options_help(void)
{
	printf("Join two network namespaces with a link that is as bad as you like.\n\n"
	       "  tradewind-link --left a --right b --left-ip 10.77.0.1/24 --right-ip 10.77.0.2/24 \\\n"
	       "                 --rate 500M --delay 50ms --queue 1bdp --loss 1%% --burst 5\n"
	       "  tradewind-link ... -- COMMAND    run COMMAND in the left namespace, stop when it ends\n\n"
	       "It prints {\"event\":\"ready\"} once packets can pass, and its counters as one JSON line on SIGUSR1\n"
	       "and at the end; SIGTERM ends it. A frame counts as IP length + 14 bytes.\n\n");
	for (size_t i = 0; i < ROW_COUNT; i++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s %s", rows[i].name,
			 rows[i].argument ? rows[i].argument : "");
		printf("  %c %-28s %s\n", rows[i].shape ? '*' : ' ', left, rows[i].help);
	}
	printf("\n"
	       "* also with -forth (left to right) or -back (right to left) behind the name, for one direction.\n");
}

/* The row that @name means and the directions it is for (bit set), or NULL. */
static const struct row *find(const char *name, unsigned *ret_directions)
{
	static const struct {
		const char *suffix;
		unsigned directions;
	} suffixes[] = { { "", 3 }, { "-forth", 1 << LINK_FORTH }, { "-back", 1 << LINK_BACK } };

	for (size_t i = 0; i < ROW_COUNT; i++) {
		size_t length = strlen(rows[i].name);

		if (strncmp(name, rows[i].name, length) != 0)
			continue;
		for (size_t s = 0; s < (rows[i].shape ? 3 : 1); s++) {
			if (strcmp(name + length, suffixes[s].suffix) == 0) {
				*ret_directions = suffixes[s].directions;
				return &rows[i];
			}
		}
	}
	return NULL;
}

static int add_address(struct link_device_plan *plan, const char *text)
{
	if (plan->address_count == LINK_ADDRESSES_MAX)
		return -EINVAL;
	plan->addresses[plan->address_count++] = text;
	return 0;
}

static int set_shape(const struct row *row, const char *text, struct link_shape *shape)
{
	double *field = (double *)(void *)((char *)shape + row->offset);

	switch (row->kind) {
	case RATE:
		return link_units_rate(text, field);
	case TIME:
		return link_units_time(text, field);
	case SHARE:
		return link_units_share(text, field);
	case NUMBER:
		return link_units_number(text, field);
	case QUEUE:
		return link_units_queue(text, field, &shape->queue_unit);
	case SWITCH:
		*field = 1.0;
		return 0;
	case TEXT:
	case ADDRESS:
		break;
	}
	return -EINVAL;
}

static int set_option(const struct row *row, const char *text, struct link_options *options)
{
	void *field = (char *)options + row->offset;

	switch (row->kind) {
	case TIME:
		return link_units_time(text, field);
	case NUMBER:
		return link_units_number(text, field);
	case SWITCH:
		*(bool *)field = true;
		return 0;
	case TEXT:
		*(const char **)field = text;
		return 0;
	case ADDRESS:
		return add_address(field, text);
	case RATE:
	case SHARE:
	case QUEUE:
		break;
	}
	return -EINVAL;
}

static int wrong(const char *name, const char *text)
{
	if (text)
		fprintf(stderr, "tradewind-link: %s does not take \"%s\"; see --help\n", name,
			text);
	else
		fprintf(stderr, "tradewind-link: %s is no option, or lacks its value; see --help\n",
			name);
	return -EINVAL;
}

/*
 * One of two readings of the command line: first what is for both directions, then what is for one
 * of them.
 */
static int read_arguments(int count, char **arguments, bool one_direction,
			  struct link_options *options)
{
	for (int i = 1; i < count; i++) {
		unsigned directions;
		const struct row *row;
		const char *value = NULL;
		int r = 0;

		if (strcmp(arguments[i], "--") == 0) {
			options->command = i + 1 < count ? arguments + i + 1 : NULL;
			return 0;
		}
		row = strncmp(arguments[i], "--", 2) == 0 ? find(arguments[i] + 2, &directions)
							  : NULL;
		if (!row || (row->argument && i + 1 == count))
			return wrong(arguments[i], NULL);
		if (row->argument)
			value = arguments[++i];
		if (one_direction != (directions != 3))
			continue;
		for (unsigned d = 0; d < LINK_DIRECTIONS && row->shape; d++) {
			if (!r && (directions & (1u << d)))
				r = set_shape(row, value, &options->shapes[d]);
		}
		if (!row->shape)
			r = set_option(row, value, options);
		if (r)
			return wrong(row->name, value);
	}
	return 0;
}

/*
 * Each tick wakes the emulator once: short enough not to show in the round trip, long enough to
 * cost little.
 */
static double default_tick_ns(const struct link_options *options)
{
	double tick_ns =
		(options->shapes[LINK_FORTH].delay_ns + options->shapes[LINK_BACK].delay_ns) /
		400.0;

	if (tick_ns < 50e3)
		return 50e3;
	return tick_ns > 250e3 ? 250e3 : tick_ns;
}

static int check(const struct link_options *options)
{
	if (options->mtu < 68 || options->mtu > 65535) {
		fprintf(stderr, "tradewind-link: --mtu is between 68 and 65535 bytes\n");
		return -EINVAL;
	}
	for (int d = 0; d < LINK_DIRECTIONS; d++) {
		if (options->shapes[d].burst > 0.0 && options->shapes[d].burst < 1.0) {
			fprintf(stderr, "tradewind-link: --burst is at least 1 packet\n");
			return -EINVAL;
		}
	}
	return 0;
}

int link_options_parse(int count, char **arguments, struct link_options *ret_options)
{
	static const struct link_shape shape = { .queue = 1.0,
						 .queue_unit = LINK_QUEUE_BDP,
						 .reorder_ns = 2e6 };
	struct link_options options = {
		.devices = { { .name = "link0" }, { .name = "link0" } },
		.shapes = { shape, shape },
		.seed = 1,
		.mtu = 1500,
	};
	int r = read_arguments(count, arguments, false, &options);

	if (!r)
		r = read_arguments(count, arguments, true, &options);
	if (!r)
		r = check(&options);
	if (r)
		return r;
	if (options.tick_ns == 0.0)
		options.tick_ns = default_tick_ns(&options);
	options.devices[0].mtu = options.devices[1].mtu = (int)options.mtu;
	*ret_options = options;
	return 0;
}

int link_options_change(char *line, struct link_shape shapes[LINK_DIRECTIONS])
{
	struct link_shape changed[LINK_DIRECTIONS] = { shapes[0], shapes[1] };
	char *place;
	const char *name = strtok_r(line, " \t\r\n", &place);
	const char *value = strtok_r(NULL, " \t\r\n", &place);
	const struct row *row;
	unsigned directions;

	if (!name)
		return 0;
	row = find(name, &directions);
	if (!row || !row->shape || (row->argument && !value))
		return wrong(name, NULL);
	for (unsigned d = 0; d < LINK_DIRECTIONS; d++) {
		if ((directions & (1u << d)) && set_shape(row, value, &changed[d]))
			return wrong(name, value);
	}
	memcpy(shapes, changed, sizeof(changed));
	return 0;
}
