/* A list of reads over the rest of the input: never past the end, and what is read writes back. */
#include "fuzz.h"

#include "base/bytes.h"

static void one(struct tw_reader *reader, struct tw_writer *writer, uint8_t order)
{
	uint8_t copy[64];

	switch (order % 7) {
	case 0:
		tw_write_u8(writer, tw_read_u8(reader));
		break;
	case 1:
		tw_write_u16(writer, tw_read_u16(reader));
		break;
	case 2:
		tw_write_u32(writer, tw_read_u32(reader));
		break;
	case 3:
		tw_write_u64(writer, tw_read_u64(reader));
		break;
	case 4:
		tw_read_copy(reader, copy, order % sizeof(copy));
		tw_write_bytes(writer, copy, order % sizeof(copy));
		break;
	case 5:
		if (tw_read_bytes(reader, order))
			tw_write_bytes(writer, reader->at - order, order);
		break;
	default:
		CHECK(tw_reader_left(reader) <= (size_t)(reader->end - reader->at));
	}
}

static void varint(struct tw_reader *reader)
{
	uint8_t bytes[8];
	struct tw_writer writer;
	struct tw_reader again;
	uint64_t value = tw_read_varint(reader);

	CHECK(value <= TW_VARINT_MAX);
	tw_writer_init(&writer, bytes, sizeof(bytes));
	tw_write_varint(&writer, value);
	CHECK(!writer.failed && tw_writer_length(&writer) == tw_varint_size(value));
	tw_reader_init(&again, bytes, tw_writer_length(&writer));
	CHECK(tw_read_varint(&again) == value && !again.failed && !tw_reader_left(&again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t out[4096];
	size_t orders = size ? data[0] % (size < 64 ? size : 64) : 0;
	struct tw_reader reader, numbers;
	struct tw_writer writer;

	if (size > sizeof(out) || !size)
		return 0;
	tw_reader_init(&reader, data + 1 + orders, size - 1 - orders);
	tw_writer_init(&writer, out, sizeof(out));
	numbers = reader;
	for (size_t i = 0; i < orders; i++) {
		one(&reader, &writer, data[1 + i]);
		if (!reader.failed)
			CHECK(!writer.failed &&
			      !memcmp(out, data + 1 + orders, tw_writer_length(&writer)));
	}
	while (!numbers.failed)
		varint(&numbers);
	return 0;
}
