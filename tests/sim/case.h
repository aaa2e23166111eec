/*
 * case.h - one named situation: a link, what is sent over it, what happens on the way, and what
 * must come of it. Bounds are in virtual time, so that a slowdown is a red test.
 */
#pragma once

#include <math.h>

#include "content/sink.h"
#include "core/conn.h"
#include "disk.h"
#include "link.h"

#define MIB (UINT64_C(1) << 20)
#define KIB (UINT64_C(1) << 10)
#define MBIT UINT64_C(1000000)
#define GBIT UINT64_C(1000000000)

/* UDP payload of a 1500-byte IPv4 packet. */
#define SIM_ETHERNET 1472
#define SIM_JUMBO 8972

enum sim_act {
	SIM_SILENCE = 1, /* both roads, from now on */
	SIM_SOUND,
	SIM_RATE,  /* of both roads: @value bits a second */
	SIM_DELAY, /* of both roads */
	SIM_MTU,   /* of both roads, without a word */
	SIM_CLEAN, /* no loss, no corruption any more */
	SIM_CALM,  /* nothing extraordinary any more, and at least a tenth of the rate */
	SIM_REBIND,
	SIM_KILL_SENDER, /* and start it again @value later */
	SIM_KILL_RECEIVER,
	SIM_CUT_SENDER, /* power cut */
	SIM_CUT_RECEIVER,
	SIM_FUSE_SENDER, /* killed when its disk has done @value more changes or reads */
	SIM_FUSE_RECEIVER,
	SIM_TOUCH_SOURCE, /* file number @value changes */
	SIM_DISK_FULL,    /* no room at the receiver for @value */
	SIM_DISK_HANGS,   /* the receiver's disk does nothing for @value */
	SIM_CLOSE_LANE,   /* one ends, at host @value */
};

/* What is sent, below the folder "data" of the sender's disk. */
struct sim_content {
	unsigned files;        /* f0, f1, ... in folders of a hundred */
	uint64_t file_bytes;   /* of each: half to one and a half times that */
	uint64_t large_bytes;  /* one file more, "large" */
	uint64_t sparse_bytes; /* and "sparse": data in a few places */
};

struct sim_change {
	tw_ns at; /* since the start; 0 ends the list */
	enum sim_act act;
	uint64_t value;
};

struct sim_measures;

#define SIM_CHANGES_MAX 12

struct sim_case {
	const char *name;
	/*
	 * The link: @rate_bps, @rtt and @loss are for both roads of @link, where not set there. The
	 * MTU is SIM_ETHERNET where not set.
	 */
	uint64_t rate_bps;
	tw_ns rtt;
	double loss;  /* both ways */
	double queue; /* in bandwidth-delay products; 0: one, at least 64 KiB */
	struct sim_link_config link;
	struct sim_change changes[SIM_CHANGES_MAX];

	uint64_t size; /* of the tape, where there are no files */
	struct sim_content content;
	struct sim_disk_config disks[2];
	enum tw_overwrite overwrite;
	bool sha256, lends_buffers;
	unsigned lanes;      /* beside the connection */
	unsigned checkpoint; /* seconds */
	uint64_t rate_max;
	enum tw_cipher cipher; /* TW_CIPHER_NONE: 128 */
	bool plain;            /* no cipher at all, indeed */
	bool fixed;            /* rate control `fixed` at @rate_bps */
	tw_ns idle_timeout;
	uint32_t datagram_max;
	uint64_t key_packets; /* keys change after so many packets; 0: as in production */

	/* What must come of it; 0: no bound. */
	tw_ns limit;
	double wire_max;     /* UDP payload bytes of the sender over content bytes */
	double needless_max; /* share of content bytes that arrived again; 0: sim_needless_max() */
	uint64_t key_updates_min;
	double return_max;   /* return bytes over content bytes */
	double written_max;  /* bytes written at the receiver over content bytes */
	uint64_t again_max;  /* content bytes sent again because of kills */
	bool may_fail_files; /* a source changed: some files may be reported instead of sent */
	/* Runs it, where it is more than a transfer. */
	bool (*run)(const struct sim_case *test, uint64_t seed, bool verbose,
		    struct sim_measures *ret, char *ret_failure);
};

/* What a run measured. */
struct sim_measures {
	tw_ns took, ideal;
	double wire, needless, return_share, written;
	tw_ns delay_95;
	uint64_t content_bytes, again;
	uint64_t packets_lost, packets_spurious, forged, key_updates;
	uint64_t digest;
};

/*
 * Nobody sends more than a hundredth again that was not lost; where that is next to nothing it
 * hardly matters.
 */
static inline double sim_needless_max(const struct sim_case *test, uint64_t content_bytes)
{
	if (test->needless_max > 0)
		return test->needless_max;
	if (content_bytes < 8 * MIB)
		return INFINITY;
	/* Several flows lose more of a small queue than one does, and are wrong about it more
	 * often.
	 */
	return test->lanes ? 0.1 : 0.01;
}

/* The link of a case with all its short forms filled in. */
void sim_case_link(const struct sim_case *test, struct sim_link_config *ret);
