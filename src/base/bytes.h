/*
 * bytes.h - bounded cursors over byte arrays, big-endian integers and the variable-length integers
 * of RFC 9000, 16.
 *
 * A cursor that runs out of room sets @failed and stays there: every later read gives 0, every
 * later write does nothing. Callers do a whole structure, then test @failed once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TW_VARINT_MAX ((UINT64_C(1) << 62) - 1)

struct tw_reader {
	const uint8_t *at, *end; /* borrowed */
	bool failed;
};

struct tw_writer {
	uint8_t *start, *at, *end; /* borrowed */
	bool failed;
};

void tw_reader_init(struct tw_reader *reader, const void *bytes, size_t length);
size_t tw_reader_left(const struct tw_reader *reader);
uint8_t tw_read_u8(struct tw_reader *reader);
uint16_t tw_read_u16(struct tw_reader *reader);
uint32_t tw_read_u32(struct tw_reader *reader);
uint64_t tw_read_u64(struct tw_reader *reader);
uint64_t tw_read_varint(struct tw_reader *reader);
/* The next @length bytes in place (lent: valid as long as the array), or NULL and @failed. */
const uint8_t *tw_read_bytes(struct tw_reader *reader, size_t length);
/* Copies @length bytes to @ret; @ret is zeroed when the cursor fails. */
void tw_read_copy(struct tw_reader *reader, void *ret, size_t length);

void tw_writer_init(struct tw_writer *writer, void *bytes, size_t room);
size_t tw_writer_room(const struct tw_writer *writer);
size_t tw_writer_length(const struct tw_writer *writer);
void tw_write_u8(struct tw_writer *writer, uint8_t value);
void tw_write_u16(struct tw_writer *writer, uint16_t value);
void tw_write_u32(struct tw_writer *writer, uint32_t value);
void tw_write_u64(struct tw_writer *writer, uint64_t value);
/* @value above TW_VARINT_MAX fails the cursor. */
void tw_write_varint(struct tw_writer *writer, uint64_t value);
void tw_write_bytes(struct tw_writer *writer, const void *bytes, size_t length);
void tw_write_zeros(struct tw_writer *writer, size_t length);

/* 1, 2, 4 or 8: how many bytes tw_write_varint() takes for @value. */
size_t tw_varint_size(uint64_t value);
