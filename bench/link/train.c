#include "train.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint32_t sum16(const uint8_t *p, size_t bytes, uint32_t sum)
{
	for (size_t i = 0; i + 1 < bytes; i += 2)
		sum += get16(p + i);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

/* Finds the transport header. Fragments and what follows extension headers count as protocol 0. */
static int find_transport(struct link_train *train)
{
	const uint8_t *ip = train->packet;

	train->version = (uint8_t)(ip[0] >> 4);
	if (train->version == 4 && train->bytes >= 20) {
		train->transport_offset = (uint16_t)((ip[0] & 15u) * 4u);
		train->protocol = (get16(ip + 6) & 0x3fff) == 0 ? ip[9] : 0;
	} else if (train->version == 6 && train->bytes >= 40) {
		train->transport_offset = 40;
		train->protocol = ip[6];
	} else {
		return -EBADMSG;
	}
	if (train->protocol != IPPROTO_UDP && train->protocol != IPPROTO_TCP)
		train->protocol = 0;
	if (train->transport_offset < (train->version == 4 ? 20 : 40))
		return -EBADMSG;
	return 0;
}

/* A train as the kernel hands it down: payload of several segments behind one set of headers. */
static int parse_train(struct link_train *train)
{
	unsigned type = train->vnet.gso_type & ~(unsigned)VIRTIO_NET_HDR_GSO_ECN;
	uint32_t payload;

	/* Behind extension headers only the offload header knows where the transport begins. */
	train->transport_offset = train->vnet.csum_start;
	train->protocol = type == VIRTIO_NET_HDR_GSO_UDP_L4 ? IPPROTO_UDP : IPPROTO_TCP;
	if (type != VIRTIO_NET_HDR_GSO_UDP_L4 && type != VIRTIO_NET_HDR_GSO_TCPV4 &&
	    type != VIRTIO_NET_HDR_GSO_TCPV6)
		return -EBADMSG;
	if (!(train->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || train->vnet.gso_size == 0)
		return -EBADMSG;
	if (train->transport_offset + 20u > train->bytes)
		return -EBADMSG;
	train->header_bytes = (uint16_t)(train->transport_offset + 8u);
	if (train->protocol == IPPROTO_TCP)
		train->header_bytes =
			(uint16_t)(train->transport_offset +
				   (train->packet[train->transport_offset + 12] >> 4) * 4u);
	if (train->header_bytes > LINK_HEADER_BYTES_MAX || train->header_bytes >= train->bytes)
		return -EBADMSG;
	payload = train->bytes - train->header_bytes;
	train->segment_payload = train->vnet.gso_size;
	train->segments =
		(uint16_t)((payload + train->segment_payload - 1) / train->segment_payload);
	return 0;
}

int link_train_parse(struct link_train *train, size_t bytes)
{
	int r;

	train->bytes = (uint32_t)bytes;
	train->refs = 0;
	train->segments = 1;
	train->segment_payload = 0;
	train->header_bytes = 0;
	if (bytes < 20 || bytes > LINK_PACKET_BYTES_MAX)
		return -EBADMSG;
	r = find_transport(train);
	if (r)
		return r;
	if (train->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return parse_train(train);
	/* Only the port translation looks into a lone packet. */
	if (train->protocol == IPPROTO_UDP && train->transport_offset + 8u <= bytes)
		train->header_bytes = (uint16_t)(train->transport_offset + 8u);
	return 0;
}

static size_t payload_bytes(const struct link_train *train, unsigned first, unsigned count)
{
	size_t payload = train->bytes - train->header_bytes;

	if (first + count == train->segments)
		return payload - (size_t)first * train->segment_payload;
	return (size_t)count * train->segment_payload;
}

size_t link_train_segment_bytes(const struct link_train *train, unsigned segment)
{
	if (train->segments == 1)
		return train->bytes;
	return train->header_bytes + payload_bytes(train, segment, 1);
}

/*
 * IP length, identification and header checksum of a piece of @bytes that begins with segment
 * @first.
 */
static void put_ip(const struct link_train *train, uint8_t *ip, unsigned first, size_t bytes)
{
	if (train->version == 6) {
		put16(ip + 4, (uint32_t)bytes - 40);
		return;
	}
	put16(ip + 2, (uint32_t)bytes);
	put16(ip + 4, get16(ip + 4) + first);
	put16(ip + 10, 0);
	put16(ip + 10, (uint16_t)~fold(sum16(ip, (ip[0] & 15u) * 4u, 0)));
}

/*
 * The checksum field holds the pseudo header's sum: whoever needs the whole checksum adds the rest.
 */
static void put_pseudo_sum(const struct link_train *train, uint8_t *ip, size_t bytes)
{
	uint32_t sum = train->protocol + (uint32_t)(bytes - train->transport_offset);

	sum = train->version == 4 ? sum16(ip + 12, 8, sum) : sum16(ip + 8, 32, sum);
	put16(ip + train->transport_offset + train->vnet.csum_offset, fold(sum));
}

static void put_tcp(const struct link_train *train, uint8_t *tcp, unsigned first, unsigned count)
{
	put32(tcp + 4, get32(tcp + 4) + first * train->segment_payload);
	if (first + count != train->segments)
		tcp[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
	if (first != 0)
		tcp[13] &= (uint8_t)~TCP_CWR;
}

/* Adds to a port and, where the checksum is a whole one already, to that too (RFC 1624). */
static void shift_port(const struct link_train *train, uint8_t *udp, size_t at, uint16_t add)
{
	uint16_t before = get16(udp + at);
	uint16_t after = (uint16_t)(before + add);
	uint32_t sum = (uint16_t)~get16(udp + 6);

	put16(udp + at, after);
	if ((train->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || get16(udp + 6) == 0)
		return;
	sum = (uint16_t)~fold(sum + (uint16_t)~before + after);
	put16(udp + 6, sum ? sum : 0xffff);
}

static void translate(const struct link_train *train, uint8_t *header,
		      const struct link_translation *translation)
{
	uint8_t *udp = header + train->transport_offset;

	if (train->protocol != IPPROTO_UDP)
		return;
	if (translation->source_port_add)
		shift_port(train, udp, 0, translation->source_port_add);
	if (translation->destination_port_add)
		shift_port(train, udp, 2, translation->destination_port_add);
}

static void put_headers(const struct link_train *train, unsigned first, unsigned count,
			struct link_piece *piece)
{
	size_t bytes = train->header_bytes + payload_bytes(train, first, count);
	uint8_t *transport = piece->header + train->transport_offset;

	put_ip(train, piece->header, first, bytes);
	if (train->protocol == IPPROTO_UDP)
		put16(transport + 4, (uint32_t)(bytes - train->transport_offset));
	else
		put_tcp(train, transport, first, count);
	put_pseudo_sum(train, piece->header, bytes);
	piece->vnet.hdr_len = train->header_bytes;
	if (payload_bytes(train, first, count) <= train->segment_payload) {
		piece->vnet.gso_type = VIRTIO_NET_HDR_GSO_NONE;
		piece->vnet.gso_size = 0;
	}
}

void link_train_piece(const struct link_train *train, unsigned first, unsigned count,
		      const struct link_translation *translation, struct link_piece *ret_piece)
{
	size_t skip = train->header_bytes + (size_t)first * train->segment_payload;

	assert(count > 0 && first + count <= train->segments);
	ret_piece->vnet = train->vnet;
	ret_piece->iov[0] = (struct iovec){ &ret_piece->vnet, sizeof(ret_piece->vnet) };
	if (train->header_bytes == 0) {
		ret_piece->iov[1] =
			(struct iovec){ (void *)(uintptr_t)train->packet, train->bytes };
		ret_piece->iov_count = 2;
		return;
	}
	memcpy(ret_piece->header, train->packet, train->header_bytes);
	if (train->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE)
		put_headers(train, first, count, ret_piece);
	translate(train, ret_piece->header, translation);
	ret_piece->iov[1] = (struct iovec){ ret_piece->header, train->header_bytes };
	ret_piece->iov[2] = (struct iovec){ (void *)(uintptr_t)(train->packet + skip),
					    payload_bytes(train, first, count) };
	ret_piece->iov_count = 3;
}

void link_train_flip(struct link_train *train, unsigned segment, uint64_t dice)
{
	size_t skip = train->header_bytes + (size_t)segment * train->segment_payload;
	size_t bytes = payload_bytes(train, segment, 1);

	/*
	 * Of a packet we do not look into, spare the headers: 60 bytes hold those of TCP without
	 * options and more of UDP.
	 */
	if (train->header_bytes == 0) {
		if (bytes <= 60)
			return;
		skip = 60;
		bytes -= 60;
	}
	if (bytes == 0)
		return;
	train->packet[skip + dice / 8 % bytes] ^= (uint8_t)(1u << dice % 8);
}
