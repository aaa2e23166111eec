/*
 * bench_parts.h - how fast this machine does each part of a transfer by itself: sealing, digests,
 * UDP over loopback, a disk. Each runs for about the time it is given, on the thread that calls
 * (the network has a child process for its other end), and nothing is left behind.
 *
 * Rates are bits of content per second, of sealing and digests by the processor time that they
 * took. They are what the parts can do one at a time: in a
 * transfer they share processors, memory and caches, so all of it is slower than the slowest of
 * them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/time.h"
#include "crypto/cipher.h"

struct tw_bench_seal {
	uint64_t seal_bps, open_bps;
};
/* Packets of @packet bytes, 16 to 65000. -ENOMEM; -EINVAL: no such cipher here. */
int tw_bench_seal(enum tw_cipher cipher, enum tw_aead aead, size_t packet, tw_ns span,
		  struct tw_bench_seal *ret);

/* The digest of chunks, or with @sha256 that of whole files. -ENOMEM. */
int tw_bench_digest(bool sha256, tw_ns span, uint64_t *ret_bps);

struct tw_bench_network {
	uint64_t bps;                         /* that arrived */
	unsigned segments;                    /* datagrams in a system call, at most */
	double send_seconds, receive_seconds; /* of processor time for 1 GiB; 0: unknown */
};
/*
 * Datagrams of @packet bytes from one process to another over 127.0.0.1, in the trains of a real
 * transfer, never more on the way than the sockets hold. -errno.
 */
int tw_bench_network(size_t packet, tw_ns span, struct tw_bench_network *ret);

struct tw_bench_disk {
	uint64_t write_bps;   /* into the system's memory, as a program sees it */
	uint64_t flushed_bps; /* until it was on the disk */
	uint64_t read_bps;    /* with a cold cache, as far as the system lets go of it */
};
/* A file without a name in @folder, at most 2 GiB. -errno, among them -ENOSPC and -EOPNOTSUPP. */
int tw_bench_disk(const char *folder, tw_ns span, struct tw_bench_disk *ret);
