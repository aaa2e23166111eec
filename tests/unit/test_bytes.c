#include "unit.h"

#include "base/bytes.h"

/* The examples of RFC 9000, A.1, and both ends of each length. */
static const struct {
	uint64_t value;
	size_t size;
	uint8_t bytes[8];
} varints[] = {
	{ 151288809941952652, 8, { 0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c } },
	{ 494878333, 4, { 0x9d, 0x7f, 0x3e, 0x7d } },
	{ 15293, 2, { 0x7b, 0xbd } },
	{ 37, 1, { 0x25 } },
	{ 0, 1, { 0x00 } },
	{ 63, 1, { 0x3f } },
	{ 64, 2, { 0x40, 0x40 } },
	{ 16383, 2, { 0x7f, 0xff } },
	{ 16384, 4, { 0x80, 0x00, 0x40, 0x00 } },
	{ 1073741823, 4, { 0xbf, 0xff, 0xff, 0xff } },
	{ 1073741824, 8, { 0xc0, 0, 0, 0, 0x40, 0, 0, 0 } },
	{ TW_VARINT_MAX, 8, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
};

static void test_varint_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(varints); i++) {
		uint8_t buffer[8];
		struct tw_writer writer;
		struct tw_reader reader;

		tw_writer_init(&writer, buffer, varints[i].size);
		tw_write_varint(&writer, varints[i].value);
		assert_false(writer.failed);
		assert_int_equal(tw_writer_length(&writer), varints[i].size);
		assert_int_equal(tw_varint_size(varints[i].value), varints[i].size);
		assert_memory_equal(buffer, varints[i].bytes, varints[i].size);

		tw_reader_init(&reader, varints[i].bytes, varints[i].size);
		assert_int_equal(tw_read_varint(&reader), varints[i].value);
		assert_false(reader.failed);
		assert_int_equal(tw_reader_left(&reader), 0);

		/* One byte short fails, both ways. */
		tw_reader_init(&reader, varints[i].bytes, varints[i].size - 1);
		assert_int_equal(tw_read_varint(&reader), 0);
		assert_true(reader.failed);
		tw_writer_init(&writer, buffer, varints[i].size - 1);
		tw_write_varint(&writer, varints[i].value);
		assert_true(writer.failed);
	}
}

/* Longer than needed is legal to read (RFC 9000, 16). */
static void test_varint_long_form(void **state)
{
	static const uint8_t bytes[] = { 0x40, 0x25 };
	struct tw_reader reader;

	(void)state;
	tw_reader_init(&reader, bytes, sizeof(bytes));
	assert_int_equal(tw_read_varint(&reader), 37);
}

static void test_varint_too_large(void **state)
{
	uint8_t buffer[16];
	struct tw_writer writer;

	(void)state;
	tw_writer_init(&writer, buffer, sizeof(buffer));
	tw_write_varint(&writer, TW_VARINT_MAX + 1);
	assert_true(writer.failed);
	assert_int_equal(tw_writer_length(&writer), 0);
	assert_int_equal(tw_writer_room(&writer), 0);
}

static void test_integers(void **state)
{
	static const uint8_t expected[] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd,
					    0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
					    0xcd, 'x',  'y',  'z',  0,    0 };
	uint8_t buffer[sizeof(expected)];
	char text[3];
	struct tw_writer writer;
	struct tw_reader reader;

	(void)state;
	memset(buffer, 0xff, sizeof(buffer));
	tw_writer_init(&writer, buffer, sizeof(buffer));
	tw_write_u8(&writer, 0x01);
	tw_write_u16(&writer, 0x2345);
	tw_write_u32(&writer, 0x6789abcd);
	tw_write_u64(&writer, UINT64_C(0xef0123456789abcd));
	tw_write_bytes(&writer, "xyz", 3);
	assert_int_equal(tw_writer_room(&writer), 2);
	tw_write_zeros(&writer, 2);
	assert_false(writer.failed);
	assert_memory_equal(buffer, expected, sizeof(expected));

	tw_reader_init(&reader, buffer, sizeof(buffer));
	assert_int_equal(tw_read_u8(&reader), 0x01);
	assert_int_equal(tw_read_u16(&reader), 0x2345);
	assert_int_equal(tw_read_u32(&reader), 0x6789abcd);
	assert_int_equal(tw_read_u64(&reader), UINT64_C(0xef0123456789abcd));
	tw_read_copy(&reader, text, sizeof(text));
	assert_memory_equal(text, "xyz", 3);
	assert_ptr_equal(tw_read_bytes(&reader, 2), buffer + sizeof(buffer) - 2);
	assert_false(reader.failed);
	assert_int_equal(tw_reader_left(&reader), 0);
}

static void test_failure_sticks(void **state)
{
	uint8_t buffer[4] = { 1, 2, 3, 4 };
	uint8_t copy[8] = { 9, 9, 9, 9, 9, 9, 9, 9 };
	struct tw_writer writer;
	struct tw_reader reader;

	(void)state;
	tw_reader_init(&reader, buffer, sizeof(buffer));
	tw_read_copy(&reader, copy, sizeof(copy));
	assert_true(reader.failed);
	assert_memory_equal(copy, "\0\0\0\0\0\0\0\0", 8);
	assert_int_equal(tw_read_u8(&reader), 0);
	assert_null(tw_read_bytes(&reader, 0));
	assert_int_equal(tw_reader_left(&reader), 0);

	tw_writer_init(&writer, buffer, sizeof(buffer));
	tw_write_u8(&writer, 7);
	tw_write_u32(&writer, 0);
	assert_true(writer.failed);
	tw_write_u8(&writer, 8);
	tw_write_bytes(&writer, "x", 1);
	tw_write_zeros(&writer, 1);
	assert_int_equal(tw_writer_length(&writer), 1);
	assert_memory_equal(buffer, "\7\2\3\4", 4);
}

/* A length from a peer that would wrap a pointer is only too long. */
static void test_huge_length(void **state)
{
	uint8_t buffer[4] = { 0 };
	struct tw_writer writer;
	struct tw_reader reader;

	(void)state;
	tw_reader_init(&reader, buffer, sizeof(buffer));
	assert_null(tw_read_bytes(&reader, SIZE_MAX));
	assert_true(reader.failed);
	tw_writer_init(&writer, buffer, sizeof(buffer));
	tw_write_zeros(&writer, SIZE_MAX - 2);
	assert_true(writer.failed);
}

static void test_nothing(void **state)
{
	struct tw_writer writer;
	struct tw_reader reader;

	(void)state;
	tw_reader_init(&reader, NULL, 0);
	tw_read_copy(&reader, NULL, 0);
	assert_false(reader.failed);
	tw_writer_init(&writer, NULL, 0);
	tw_write_bytes(&writer, NULL, 0);
	tw_write_zeros(&writer, 0);
	assert_false(writer.failed);
	tw_write_u8(&writer, 0);
	assert_true(writer.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_varint_vectors),   cmocka_unit_test(test_varint_long_form),
		cmocka_unit_test(test_varint_too_large), cmocka_unit_test(test_integers),
		cmocka_unit_test(test_failure_sticks),   cmocka_unit_test(test_huge_length),
		cmocka_unit_test(test_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
