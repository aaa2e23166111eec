/*
 * udp.h - one UDP socket: trains of datagrams out in one system call, merged trains in.
 *
 * Two kinds. A *listening* socket is bound and unconnected; it learns for each datagram which local
 * address it came to, and answers from there. A *connected* one belongs to one remote address:
 * refusals by the network (ICMP) come back as errors, the kernel keeps its route, and the size of a
 * train's segments is a socket option instead of an extra header a call.
 *
 * Datagrams are never fragmented and the kernel's idea of the path MTU is not used
 * (IP_PMTUDISC_PROBE): the core finds it out. Trains leave with UDP_SEGMENT where the kernel can;
 * where a network card cannot, that shows at the first send only, so every send has a way to go out
 * datagram by datagram, and a socket remembers what did not work. A socket belongs to one address
 * family; both families are two sockets.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/address.h"
#include "core/endpoint.h"

#define TW_UDP_BATCH 16 /* merged trains a receive call may bring */
#define TW_UDP_TRAIN_MAX ((size_t)65507)
#define TW_UDP_PIECES_MAX 32
#define TW_UDP_BUFFER_WANTED ((uint32_t)8 << 20) /* socket buffers asked for, each direction */
#define TW_UDP_BUFFER_LEAST \
	((uint32_t)4 << 20) /* granted less than this: worth a word to the operator */
#define TW_UDP_BUFFER_MOST ((uint32_t)64 << 20) /* asked for by itself */

/*
 * Somebody who may set a socket's buffers beyond the system's maximum. Blocks for a moment; called
 * on the thread that opens the socket, and only where this process by itself gets less than asked.
 */
struct tw_udp_helper {
	int (*set_buffers)(void *context, int fd, size_t receive_bytes, size_t send_bytes);
	void *context;
};

/* Several sockets may listen at one address together (SO_REUSEPORT, of one user's programs). */
enum tw_udp_group {
	TW_UDP_ALONE = 0,
	TW_UDP_FOUNDS, /* nobody else is there yet: -EADDRINUSE; others may join it */
	TW_UDP_JOINS,
};

struct tw_udp_options {
	/* listening: where to bind; connected: family NONE for any */
	struct tw_address local;
	struct tw_address remote;           /* connected: to whom; else family NONE */
	uint32_t receive_bytes, send_bytes; /* socket buffers; 0: TW_UDP_BUFFER_WANTED */
	/* The own port named may serve other sockets too, each connected to somebody else; any
	 * connected socket lends its port so. */
	bool shared_port;
	enum tw_udp_group group;            /* of a listening one */
	const struct tw_udp_helper *helper; /* borrowed while it is opened; NULL: none */
	bool no_segmentation;               /* never use UDP_SEGMENT: what an old kernel does */
};

struct tw_udp_counters {
	uint64_t packets_sent, bytes_sent, packets_received, bytes_received;
	uint64_t sends, receives;            /* system calls that moved something */
	uint64_t refused, too_long, dropped; /* dropped: the system would not take a train at all */
};

struct tw_udp {
	int fd;
	bool connected;
	struct tw_address local, remote;        /* as the system has bound them */
	uint32_t receive_granted, send_granted; /* socket buffers as the kernel counts them */
	uint32_t receive_asked, send_asked;     /* half of that, had it been granted */
	uint32_t receive_needed, send_needed;   /* by the paths in use; 0: not known */
	bool receive_told, send_told;           /* sizes by the caller's word */
	unsigned segments_max;                  /* datagrams a train may have; 1: no segmentation */
	uint32_t segment_set;                   /* UDP_SEGMENT in force on a connected socket */
	/* test hook: as if the card could not: every segmented send gives EIO */
	bool fail_segmentation;
	int error; /* errno behind the newest TW_E_UNREACHABLE */
	struct tw_udp_counters counters;
};

/*
 * -errno: -EADDRINUSE, -EADDRNOTAVAIL, -EACCES (a port below 1024), -EAFNOSUPPORT, -ENETUNREACH,
 * ...
 */
int tw_udp_open(const struct tw_udp_options *options, struct tw_udp *ret);
void tw_udp_close(struct tw_udp *udp);
/* A connected socket whose own address has gone: lets the system choose a new one. -errno. */
int tw_udp_reconnect(struct tw_udp *udp);

/*
 * Sends what is left of @train behind *@sent bytes, and moves *@sent on. 0: all gone (or dropped by
 * the system as a congested link would). TW_E_AGAIN: the socket is full, come back when it is
 * writable. TW_E_UNREACHABLE: the network refused an earlier datagram or knows no way; nothing was
 * sent, the caller may try again. -EMSGSIZE: the datagrams are longer than the interface carries;
 * the rest of the train is not sent. Other -errno: as -EMSGSIZE, reason unknown.
 */
int tw_udp_send(struct tw_udp *udp, const struct tw_train *train, size_t *sent);

/*
 * A train whose bytes lie in @count pieces (at most TW_UDP_PIECES_MAX), each of whole datagrams of
 * @segment bytes; only the last of all may be shorter. Together they are no longer than
 * TW_UDP_TRAIN_MAX. What the system does not take is lost, as on any path.
 */
void tw_udp_send_pieces(struct tw_udp *udp, const struct tw_path *path, uint32_t segment,
			const struct iovec *pieces, unsigned count);

/*
 * What one receive brings: a datagram, or several of @segment bytes behind each other, the last
 * maybe shorter.
 */
struct tw_udp_message {
	uint8_t *bytes; /* caller's */
	size_t room;    /* 65536 */
	size_t length;
	uint32_t segment;
	struct tw_path path;
};
/*
 * Fills in up to @count (at most TW_UDP_BATCH) messages. TW_E_AGAIN: nothing there.
 * TW_E_UNREACHABLE: the network refused an earlier datagram of this connected socket; call again.
 * -errno otherwise.
 */
int tw_udp_receive(struct tw_udp *udp, struct tw_udp_message *messages, unsigned count,
		   unsigned *ret_count);

/*
 * How many segments this kernel takes in one send: 128, 64, or 1 without UDP_SEGMENT. Asked once,
 * on loopback.
 */
unsigned tw_udp_segments_probe(void);

/*
 * The paths through a socket hold @receive and @send bytes, rate times round trip: lets its buffers
 * hold that too, at most TW_UDP_BUFFER_MOST, in steps of two. They never shrink, and sizes that
 * were named when it was opened stay. @helper: as there.
 */
void tw_udp_fit(struct tw_udp *udp, uint64_t receive, uint64_t send,
		const struct tw_udp_helper *helper);

/*
 * "sysctl -w net.core.rmem_max=..." when the buffers granted are smaller than the paths in use
 * need, or, where those are not known, than a fast one would; else "". The sizes in it are those
 * that would be asked for then. Returns @ret.
 */
#define TW_UDP_ADVICE 128
const char *tw_udp_advice(const struct tw_udp *udp, char ret[TW_UDP_ADVICE]);
/* The same for the paths in use only: "" before tw_udp_fit() has told of them. */
const char *tw_udp_shortage(const struct tw_udp *udp, char ret[TW_UDP_ADVICE]);
