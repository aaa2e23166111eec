/*
 * confine.h - takes from a process whatever its work does not need. Whoever takes the process over,
 * by what it parses, gets no more than is left.
 *
 * Two steps, because starting needs more than working does:
 *  1. tw_confine_rights(), while there is one thread and after it has become whom it runs as: every
 *     capability, new privileges, core files, the view that other processes have of its memory,
 *     and by Landlock the file system, TCP ports, abstract sockets and signals.
 *  2. tw_confine_calls(), when all threads and sockets are up and before the first byte from
 *     outside is read: an allow-list of system calls for all threads (confine_calls.h). Anything
 *     else ends the process.
 *
 * Neither can be taken back, and both hold for every thread and child that comes later. Linux
 * before 5.19, and systems that have it switched off, know no Landlock; what is not there is left
 * out and told in the report, or refused, as the mode says. What the first step takes must have
 * been loaded before: both steps load what this program's libraries would otherwise look for later.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tw_confine_role {
	TW_CONFINE_ENGINE,   /* network, database, control interface; its own folders */
	TW_CONFINE_AGENT,    /* one account's files, no network */
	TW_CONFINE_RESOLVER, /* host names */
	TW_CONFINE_RELAY,    /* network; no files but its list of keys */
	TW_CONFINE_ROLES
};

enum tw_confine_mode {
	TW_CONFINE_AUTO,    /* as much as the kernel offers */
	TW_CONFINE_REQUIRE, /* all of it, or -EOPNOTSUPP */
	TW_CONFINE_LOG, /* for developers: calls off the list are allowed, and logged by the kernel
			 */
	TW_CONFINE_OFF, /* capabilities and ids still go, nothing else does */
};

enum {
	TW_PLACE_READ = 1,
	TW_PLACE_WRITE = 2,    /* and read, make, rename, remove */
	TW_PLACE_SOCKETS = 4,  /* and make Unix sockets */
	TW_PLACE_OPTIONAL = 8, /* left out when it is missing */
};

/* A folder with all below it, or a file. */
struct tw_confine_place {
	const char *path;
	unsigned may; /* TW_PLACE_* */
};

#define TW_CONFINE_PORTS_MAX 16

struct tw_confine_options {
	enum tw_confine_role role;
	enum tw_confine_mode mode;
	/* Those that it has by now stay: a file agent of root needs some. */
	bool keep_capabilities;
	/* All that may be opened. @everywhere: the ids alone decide. */
	const struct tw_confine_place *places;
	size_t place_count;
	bool everywhere;
	/* TCP ports it may still bind. 0: one that the system picks; nobody knows it yet: all. */
	uint16_t tcp_ports[TW_CONFINE_PORTS_MAX];
	size_t tcp_port_count;
	/* To which TCP ports it may connect: all, or one, or none. */
	bool tcp_connect_all;
	uint16_t tcp_connect_port; /* 0: none */
};

/* What is in force. */
struct tw_confine_report {
	int landlock;   /* its ABI; 0: the kernel has none */
	unsigned calls; /* system calls on the list; 0: the kernel filters none, or not asked for */
	bool logging;   /* TW_CONFINE_LOG */
	bool off;
};

#define TW_CONFINE_TEXT 160

/* "auto", "require", "log", "off". False: none of them. */
bool tw_confine_mode_parse(const char *text, enum tw_confine_mode *ret);
const char *tw_confine_mode_name(enum tw_confine_mode mode);

/*
 * The first step. Fills its part of @ret. -EOPNOTSUPP: the mode requires what the kernel lacks;
 * -EINVAL: a place is no path; another -errno: a place that cannot be opened. After an error the
 * process must not go on: part of it may be in force.
 */
int tw_confine_rights(const struct tw_confine_options *options, struct tw_confine_report *ret);
/* The second step, by any thread, for all of them. Errors as above. */
int tw_confine_calls(const struct tw_confine_options *options, struct tw_confine_report *ret);

/* One sentence for the log: what is in force, and what is missing. */
const char *tw_confine_describe(const struct tw_confine_report *report, char ret[TW_CONFINE_TEXT]);
/* Whether something that was asked for is missing. */
bool tw_confine_incomplete(const struct tw_confine_report *report);
