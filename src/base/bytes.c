#include "base/bytes.h"

#include <endian.h>
#include <string.h>

void tw_reader_init(struct tw_reader *reader, const void *bytes, size_t length)
{
	/* An empty array may be NULL, to which C allows no addition, not even of 0. */
	*reader = (struct tw_reader){ .at = bytes, .end = bytes };
	if (length)
		reader->end += length;
}

size_t tw_reader_left(const struct tw_reader *reader)
{
	return reader->failed ? 0 : (size_t)(reader->end - reader->at);
}

const uint8_t *tw_read_bytes(struct tw_reader *reader, size_t length)
{
	const uint8_t *bytes = reader->at;

	if (reader->failed || length > (size_t)(reader->end - reader->at)) {
		reader->failed = true;
		return NULL;
	}
	if (length)
		reader->at += length;
	return bytes;
}

static uint64_t read_be(struct tw_reader *reader, size_t length)
{
	const uint8_t *bytes = tw_read_bytes(reader, length);
	uint64_t value = 0;

	if (!bytes)
		return 0;
	for (size_t i = 0; i < length; i++)
		value = value << 8 | bytes[i];
	return value;
}

uint8_t tw_read_u8(struct tw_reader *reader)
{
	return (uint8_t)read_be(reader, 1);
}

uint16_t tw_read_u16(struct tw_reader *reader)
{
	return (uint16_t)read_be(reader, 2);
}

uint32_t tw_read_u32(struct tw_reader *reader)
{
	return (uint32_t)read_be(reader, 4);
}

uint64_t tw_read_u64(struct tw_reader *reader)
{
	return read_be(reader, 8);
}

/*
 * RFC 9000, 16: the two highest bits of the first byte are the logarithm of the length. Several of
 * these stand in front of every packet's content, so they are taken with one load where it is safe.
 */
uint64_t tw_read_varint(struct tw_reader *reader)
{
	static const uint8_t spare_bits[] = { 56, 48, 32, 0 };
	uint64_t value;
	unsigned form;

	if (reader->failed || reader->at == reader->end) {
		reader->failed = true;
		return 0;
	}
	form = *reader->at >> 6;
	if ((size_t)(reader->end - reader->at) >= sizeof value) {
		memcpy(&value, reader->at, sizeof value);
		value = be64toh(value) >> spare_bits[form];
		reader->at += (size_t)1 << form;
	} else {
		value = read_be(reader, (size_t)1 << form);
	}
	return value & (TW_VARINT_MAX >> spare_bits[form]);
}

void tw_read_copy(struct tw_reader *reader, void *ret, size_t length)
{
	const uint8_t *bytes = tw_read_bytes(reader, length);

	if (!length)
		return;
	if (bytes)
		memcpy(ret, bytes, length);
	else
		memset(ret, 0, length);
}

void tw_writer_init(struct tw_writer *writer, void *bytes, size_t room)
{
	*writer = (struct tw_writer){ .start = bytes, .at = bytes, .end = bytes };
	if (room)
		writer->end += room;
}

size_t tw_writer_room(const struct tw_writer *writer)
{
	return writer->failed ? 0 : (size_t)(writer->end - writer->at);
}

size_t tw_writer_length(const struct tw_writer *writer)
{
	return (size_t)(writer->at - writer->start);
}

/* The place of the next @length bytes, or NULL and @failed. */
static uint8_t *claim(struct tw_writer *writer, size_t length)
{
	uint8_t *place = writer->at;

	if (writer->failed || length > (size_t)(writer->end - writer->at)) {
		writer->failed = true;
		return NULL;
	}
	if (length)
		writer->at += length;
	return place;
}

static void write_be(struct tw_writer *writer, uint64_t value, size_t length)
{
	uint8_t *place = claim(writer, length);

	if (!place)
		return;
	for (size_t i = length; i-- > 0; value >>= 8)
		place[i] = (uint8_t)value;
}

void tw_write_u8(struct tw_writer *writer, uint8_t value)
{
	write_be(writer, value, 1);
}

void tw_write_u16(struct tw_writer *writer, uint16_t value)
{
	write_be(writer, value, 2);
}

void tw_write_u32(struct tw_writer *writer, uint32_t value)
{
	write_be(writer, value, 4);
}

void tw_write_u64(struct tw_writer *writer, uint64_t value)
{
	write_be(writer, value, 8);
}

size_t tw_varint_size(uint64_t value)
{
	if (value < UINT64_C(1) << 6)
		return 1;
	if (value < UINT64_C(1) << 14)
		return 2;
	if (value < UINT64_C(1) << 30)
		return 4;
	return 8;
}

void tw_write_varint(struct tw_writer *writer, uint64_t value)
{
	static const uint64_t marks[] = { [1] = 0, [2] = 1, [4] = 2, [8] = 3 };
	size_t size = tw_varint_size(value);
	uint8_t *place;

	if (value > TW_VARINT_MAX) {
		writer->failed = true;
		return;
	}
	place = claim(writer, size);
	if (!place)
		return;
	value = htobe64((value | marks[size] << (8 * size - 2)) << (64 - 8 * size));
	/* Lengths that the compiler knows make single stores. */
	if (size == 1)
		memcpy(place, &value, 1);
	else if (size == 2)
		memcpy(place, &value, 2);
	else if (size == 4)
		memcpy(place, &value, 4);
	else
		memcpy(place, &value, 8);
}

void tw_write_bytes(struct tw_writer *writer, const void *bytes, size_t length)
{
	uint8_t *place = claim(writer, length);

	if (place && length)
		memcpy(place, bytes, length);
}

void tw_write_zeros(struct tw_writer *writer, size_t length)
{
	uint8_t *place = claim(writer, length);

	if (place && length)
		memset(place, 0, length);
}
