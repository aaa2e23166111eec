/*
 * probe.h - what a path and a disk can do, tried out: for `tradewind doctor` and for destinations
 * that are asked whether they can be reached.
 *
 * UDP is tried with INITs of a version that nobody speaks: every receiver answers them with the
 * versions it knows, to anybody and without remembering anything. They may be of any length, which
 * finds the path's MTU. The handshake needs the receiver's key. All of these block for a bounded
 * time, some seconds.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/time.h"
#include "core/conn.h"
#include "crypto/identity.h"
#include "netio/udp.h"

struct tw_probe_udp {
	int error;               /* errno of the socket, or of the newest refusal; 0: none */
	unsigned sent, answered; /* of the shortest datagrams, evenly spaced */
	tw_ns rtt_min, rtt_mean; /* 0: no answer */
	uint32_t datagram_bytes; /* longest UDP payload that arrived; 0: none */
	struct tw_address local; /* our own end */
	uint32_t receive_granted, send_granted;
	char advice[TW_UDP_ADVICE]; /* about socket buffers */
};

/* 0, or -errno when there is no socket to try with. */
int tw_probe_udp(const struct tw_address *remote, struct tw_probe_udp *ret);

struct tw_probe_handshake {
	bool established;
	enum tw_conn_end end;       /* when it was not */
	struct tw_address observed; /* how the other side sees us; family NONE: it did not say */
	tw_ns took;
};

/* -errno; 0: @ret says what came of it. */
int tw_probe_handshake(const struct tw_address *remote, const struct tw_identity *identity,
		       const struct tw_public_key *key, struct tw_probe_handshake *ret);

struct tw_probe_disk {
	/* bits per second; written and flushed, read with a cold cache; 0: unknown */
	uint64_t write_bps, read_bps;
	uint64_t free_bytes;
};

/* Writes a file without a name into @folder for about a second. -errno. */
int tw_probe_disk(const char *folder, struct tw_probe_disk *ret);
