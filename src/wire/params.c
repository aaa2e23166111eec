#include "wire/params.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

/* One row a parameter, in the order in which they are written. */
static const struct row {
	enum tw_param id;
	size_t size;  /* plain bytes; 0: a variable-length integer */
	size_t place; /* in struct tw_params */
	uint64_t min, max;
} rows[] = {
/* clang-format off */
#define NUMBER(param, field, least, most) \
	{ param, 0, offsetof(struct tw_params, field), least, most }
#define BYTES(param, field) \
	{ param, sizeof((struct tw_params *)NULL)->field, offsetof(struct tw_params, field), 0, 0 }
	NUMBER(TW_PARAM_STATUS, status, 0, TW_PARAM_STATUS_MAX),
	NUMBER(TW_PARAM_CIPHER, cipher, 0, TW_PARAM_CIPHER_MAX),
	NUMBER(TW_PARAM_CIPHER_MIN, cipher_min, 0, TW_PARAM_CIPHER_MAX),
	NUMBER(TW_PARAM_AEAD, aead, 0, TW_VARINT_MAX),
	NUMBER(TW_PARAM_DATA_WINDOW, data_window, 0, TW_VARINT_MAX),
	NUMBER(TW_PARAM_STREAM_WINDOW, stream_window, 0, TW_VARINT_MAX),
	NUMBER(TW_PARAM_DATAGRAM_MAX, datagram_max, TW_PARAM_DATAGRAM_LEAST,
	       TW_PARAM_DATAGRAM_MOST),
	BYTES(TW_PARAM_SERVER_ID, server_id),
	BYTES(TW_PARAM_SERVER_UID, server_uid),
	NUMBER(TW_PARAM_ACK_DELAY, ack_delay_us, 0, TW_PARAM_ACK_DELAY_MAX_US),
	NUMBER(TW_PARAM_OBSERVED_PORT, observed_port, 0, UINT16_MAX),
	NUMBER(TW_PARAM_TIME, time_us, 0, TW_VARINT_MAX),
	BYTES(TW_PARAM_OBSERVED_IP, observed_ip),
	BYTES(TW_PARAM_OFFERS, offers),
	NUMBER(TW_PARAM_LANE, lane, 0, TW_PARAM_LANE_MAX),
#undef NUMBER
#undef BYTES
	/* clang-format on */
};

#define ROW_COUNT (sizeof rows / sizeof *rows)

static_assert(ROW_COUNT == TW_PARAM_LANE, "a row for every parameter: the ids have no gaps");
static_assert(TW_PARAMS_SIZE_MAX == 11 * (1 + 1 + 8) + 3 * (1 + 1 + TW_ID_SIZE) +
					    (1 + 2 + TW_OFFERS_MAX * TW_OFFER_SIZE),
	      "the longest form of every row");

static uint64_t number_get(const struct tw_params *params, const struct row *row)
{
	uint64_t value;

	memcpy(&value, (const uint8_t *)params + row->place, sizeof value);
	return value;
}

static void number_set(struct tw_params *params, const struct row *row, uint64_t value)
{
	memcpy((uint8_t *)params + row->place, &value, sizeof value);
}

void tw_params_init(struct tw_params *params)
{
	*params = (struct tw_params){
		.cipher = TW_PARAM_CIPHER_DEFAULT,
		.aead = TW_PARAM_AEAD_DEFAULT,
		.datagram_max = TW_PARAM_DATAGRAM_LEAST,
		.ack_delay_us = TW_PARAM_ACK_DELAY_DEFAULT_US,
	};
}

size_t tw_params_write(const struct tw_params *params, uint8_t *bytes, size_t room)
{
	struct tw_writer writer;

	tw_writer_init(&writer, bytes, room);
	for (const struct row *row = rows; row < rows + ROW_COUNT; row++) {
		tw_write_varint(&writer, row->id);
		if (row->size) {
			tw_write_varint(&writer, row->size);
			tw_write_bytes(&writer, (const uint8_t *)params + row->place, row->size);
		} else {
			uint64_t value = number_get(params, row);

			assert(value >= row->min && value <= row->max);
			tw_write_varint(&writer, tw_varint_size(value));
			tw_write_varint(&writer, value);
		}
	}
	return writer.failed ? 0 : tw_writer_length(&writer);
}

static const struct row *row_find(uint64_t id)
{
	/* The table starts at 1 and has no gaps. */
	return id >= 1 && id <= ROW_COUNT ? &rows[id - 1] : NULL;
}

/* Takes the value of one known parameter, exactly @length bytes. */
static int read_value(const struct row *row, const uint8_t *bytes, size_t length,
		      struct tw_params *params)
{
	struct tw_reader reader;
	uint64_t value;

	if (row->size) {
		if (length != row->size)
			return TW_E_FORMAT;
		memcpy((uint8_t *)params + row->place, bytes, row->size);
		return 0;
	}
	tw_reader_init(&reader, bytes, length);
	value = tw_read_varint(&reader);
	if (reader.failed || tw_reader_left(&reader) > 0 || value < row->min || value > row->max)
		return TW_E_FORMAT;
	number_set(params, row, value);
	return 0;
}

int tw_params_read(const uint8_t *bytes, size_t length, struct tw_params *ret)
{
	struct tw_params params;
	struct tw_reader reader;
	uint32_t seen = 0;

	tw_params_init(&params);
	tw_reader_init(&reader, bytes, length);
	while (tw_reader_left(&reader) > 0) {
		uint64_t id = tw_read_varint(&reader);
		uint64_t value_length = tw_read_varint(&reader);
		const struct row *row = row_find(id);
		const uint8_t *value;
		int error;

		if (reader.failed || value_length > tw_reader_left(&reader))
			return TW_E_FORMAT;
		value = tw_read_bytes(&reader, (size_t)value_length);
		if (!row)
			continue;
		if (seen & UINT32_C(1) << id)
			return TW_E_FORMAT;
		seen |= UINT32_C(1) << id;
		error = read_value(row, value, (size_t)value_length, &params);
		if (error)
			return error;
	}
	*ret = params;
	return 0;
}
