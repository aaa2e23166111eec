/*
 * train.h - one read from a device: a packet, or a whole train that the kernel has not cut into
 * packets yet.
 *
 * The devices take segmentation offload as a real card does, so a program's UDP or TCP train
 * arrives here in one piece. The emulator gives every segment its own fate as the packet it is on
 * the wire, headers included, and writes segments that arrive together as one piece again (what a
 * card with receive offload hands up), with the headers put right: lengths, identification,
 * sequence numbers, flags, checksums. Payload is never copied.
 *
 * The port translation stands for a NAT box: it adds `port_shift` to the UDP source port on the way
 * forth and takes it off the destination port on the way back. Changing it while a program runs is
 * a NAT rebinding: what was sent to the old mapping no longer reaches the program.
 */
#pragma once

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Since Linux 6.2; the headers of Debian 12 do not know it yet. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

#define LINK_PACKET_BYTES_MAX 65536u
#define LINK_HEADER_BYTES_MAX 256u

struct link_train {
	uint32_t refs;                  /* segments that still fly */
	uint32_t bytes;                 /* the IP packet as read */
	uint16_t segments;
	uint16_t segment_payload;       /* of every segment but the last */
	/* repeated in front of every segment; 0: a lone packet we do not look into */
	uint16_t header_bytes;
	uint16_t transport_offset;
	uint8_t protocol;               /* IPPROTO_UDP, IPPROTO_TCP, else 0 */
	uint8_t version;                /* 4 or 6 */
	struct virtio_net_hdr vnet;
	uint8_t packet[];
};

struct link_translation {
	uint16_t source_port_add, destination_port_add;
};

/* A write to a device: iov[0] is the offload header. Keep it where it is until written. */
struct link_piece {
	struct virtio_net_hdr vnet;
	uint8_t header[LINK_HEADER_BYTES_MAX];
	struct iovec iov[3];
	int iov_count;
};

/*
 * Looks into a train of which @bytes, the packet's, were read. -EBADMSG: not a packet that can be
 * cut; lose it.
 */
int link_train_parse(struct link_train *train, size_t bytes);

/* Length of one segment as an IP packet. */
size_t link_train_segment_bytes(const struct link_train *train, unsigned segment);

/* Makes the write for @count segments from @first on. Borrows @train until it is written. */
void link_train_piece(const struct link_train *train, unsigned first, unsigned count,
		      const struct link_translation *translation, struct link_piece *ret_piece);

/*
 * Flips one bit (chosen by @dice) of a segment's payload; a second call with the same arguments
 * flips it back. Checksums still look right afterwards: the fault that a transport must notice by
 * itself. A payload of no bytes is left alone.
 */
void link_train_flip(struct link_train *train, unsigned segment, uint64_t dice);
