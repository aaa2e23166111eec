#include "auth/message.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "auth/passing.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/secret.h"

enum {
	RESULT = 1,
	USER = 2,
	TEXT = 4,
	PORT = 8,
	ROOM = 16,
	SIZES = 32,
	ACCOUNT = 64,
	ADDRESSES = 128,
	ARGUMENTS = 256,
};

static const struct {
	unsigned fields, fds_min, fds_max;
} kinds[] = {
	[TW_AUTH_CHECK] = { USER | TEXT, 0, 0 },
	[TW_AUTH_VOUCH] = { 0, 1, 1 },
	[TW_AUTH_FIND] = { USER, 0, 0 },
	[TW_AUTH_IN_GROUP] = { USER | TEXT, 0, 0 },
	[TW_AUTH_AGENT] = { USER, 0, 0 },
	[TW_AUTH_RESOLVE] = { TEXT | PORT | ROOM, 0, 0 },
	[TW_AUTH_BUFFERS] = { SIZES, 1, 1 },
	[TW_AUTH_TRIGGER] = { USER | TEXT | ARGUMENTS, 1, 1 },
	[TW_AUTH_READY] = { 0, 0, 1 },
	[TW_AUTH_STOPPING] = { 0, 0, 0 },
	[TW_AUTH_RESULT] = { RESULT, 0, 0 },
	[TW_AUTH_ACCOUNT] = { ACCOUNT, 0, 0 },
	[TW_AUTH_DESCRIPTORS] = { 0, 1, 2 },
	[TW_AUTH_ADDRESSES] = { ADDRESSES, 0, 0 },
};
static_assert(sizeof(kinds) / sizeof(*kinds) == TW_AUTH_KINDS, "a kind has no row");

static bool known(enum tw_auth_kind kind)
{
	return kind >= TW_AUTH_CHECK && kind < TW_AUTH_KINDS;
}

unsigned tw_auth_descriptors_min(enum tw_auth_kind kind)
{
	return known(kind) ? kinds[kind].fds_min : 0;
}

unsigned tw_auth_descriptors_max(enum tw_auth_kind kind)
{
	return known(kind) ? kinds[kind].fds_max : 0;
}

/* Texts: length and bytes, none of them NUL. */

static void write_text(struct tw_writer *writer, const char *text, size_t room)
{
	size_t length = strnlen(text, room);

	if (length == room)
		writer->failed = true;
	tw_write_u16(writer, (uint16_t)length);
	tw_write_bytes(writer, text, length);
}

static void read_text(struct tw_reader *reader, char *ret, size_t room)
{
	size_t length = tw_read_u16(reader);
	const uint8_t *bytes = length < room ? tw_read_bytes(reader, length) : NULL;

	if (!bytes || memchr(bytes, 0, length)) {
		reader->failed = true;
		return;
	}
	memcpy(ret, bytes, length);
	ret[length] = '\0';
}

static void write_account(struct tw_writer *writer, const struct tw_account *account)
{
	write_text(writer, account->name, sizeof(account->name));
	write_text(writer, account->home, sizeof(account->home));
	tw_write_u32(writer, account->uid);
	tw_write_u32(writer, account->gid);
	tw_write_u8(writer, account->superuser_allowed);
}

static void read_account(struct tw_reader *reader, struct tw_account *ret)
{
	uint8_t allowed;

	read_text(reader, ret->name, sizeof(ret->name));
	read_text(reader, ret->home, sizeof(ret->home));
	ret->uid = tw_read_u32(reader);
	ret->gid = tw_read_u32(reader);
	allowed = tw_read_u8(reader);
	ret->superuser_allowed = allowed == 1;
	/* -1 means "leave it as it is" to the calls that take ids. */
	if (allowed > 1 || !*ret->name || ret->uid == (uid_t)-1 || ret->gid == (gid_t)-1)
		reader->failed = true;
}

static bool is_address(const struct tw_address *address)
{
	static const uint8_t zeros[16];

	if (address->family == TW_FAMILY_IPV4)
		return !address->scope && !memcmp(address->ip + 4, zeros, 12);
	return address->family == TW_FAMILY_IPV6;
}

static void write_addresses(struct tw_writer *writer, const struct tw_auth_message *message)
{
	if (message->address_count > TW_ACCOUNTS_ADDRESSES_MAX) {
		writer->failed = true;
		return;
	}
	tw_write_u16(writer, (uint16_t)message->address_count);
	for (unsigned i = 0; i < message->address_count; i++) {
		const struct tw_address *address = &message->addresses[i];

		if (!is_address(address))
			writer->failed = true;
		tw_write_u8(writer, address->family);
		tw_write_bytes(writer, address->ip, sizeof(address->ip));
		tw_write_u16(writer, address->port);
		tw_write_u32(writer, address->scope);
	}
}

static void read_addresses(struct tw_reader *reader, struct tw_auth_message *ret)
{
	ret->address_count = tw_read_u16(reader);
	if (ret->address_count > TW_ACCOUNTS_ADDRESSES_MAX)
		reader->failed = true;
	for (unsigned i = 0; i < ret->address_count && !reader->failed; i++) {
		struct tw_address *address = &ret->addresses[i];

		address->family = tw_read_u8(reader);
		tw_read_copy(reader, address->ip, sizeof(address->ip));
		address->port = tw_read_u16(reader);
		address->scope = tw_read_u32(reader);
		if (!is_address(address))
			reader->failed = true;
	}
}

/* So many texts as it says, and nothing behind them. */
static bool arguments_hold(const char *bytes, size_t length, unsigned count)
{
	unsigned ends = 0;

	for (size_t i = 0; i < length; i++)
		ends += !bytes[i];
	return count <= TW_TRIGGER_ARGUMENTS_MAX && ends == count &&
	       (length ? !bytes[length - 1] : !count);
}

static void write_arguments(struct tw_writer *writer, const struct tw_auth_message *message)
{
	if (message->arguments_length > sizeof(message->arguments) ||
	    !arguments_hold(message->arguments, message->arguments_length,
			    message->argument_count)) {
		writer->failed = true;
		return;
	}
	tw_write_u16(writer, (uint16_t)message->argument_count);
	tw_write_u16(writer, (uint16_t)message->arguments_length);
	tw_write_bytes(writer, message->arguments, message->arguments_length);
}

static void read_arguments(struct tw_reader *reader, struct tw_auth_message *ret)
{
	const uint8_t *bytes;

	ret->argument_count = tw_read_u16(reader);
	ret->arguments_length = tw_read_u16(reader);
	if (ret->arguments_length > sizeof(ret->arguments))
		reader->failed = true;
	bytes = reader->failed ? NULL : tw_read_bytes(reader, ret->arguments_length);
	if (!bytes ||
	    !arguments_hold((const char *)bytes, ret->arguments_length, ret->argument_count)) {
		reader->failed = true;
		return;
	}
	memcpy(ret->arguments, bytes, ret->arguments_length);
}

static bool is_room(uint32_t room)
{
	return room >= 1 && room <= TW_ACCOUNTS_ADDRESSES_MAX;
}

size_t tw_auth_message_write(const struct tw_auth_message *message,
			     uint8_t ret[TW_AUTH_MESSAGE_ROOM])
{
	struct tw_writer writer;
	unsigned fields;

	if (!known(message->kind))
		return 0;
	fields = kinds[message->kind].fields;
	if ((fields & ROOM) && !is_room(message->room))
		return 0;
	tw_writer_init(&writer, ret, TW_AUTH_MESSAGE_ROOM);
	tw_write_u8(&writer, (uint8_t)message->kind);
	tw_write_u32(&writer, message->serial);
	if (fields & RESULT)
		tw_write_u32(&writer, (uint32_t)message->result);
	if (fields & USER)
		write_text(&writer, message->user, sizeof(message->user));
	if (fields & TEXT)
		write_text(&writer, message->text, sizeof(message->text));
	if (fields & PORT)
		tw_write_u16(&writer, message->port);
	if (fields & ROOM)
		tw_write_u32(&writer, message->room);
	if (fields & SIZES) {
		tw_write_u64(&writer, message->receive);
		tw_write_u64(&writer, message->send);
	}
	if (fields & ACCOUNT)
		write_account(&writer, &message->account);
	if (fields & ADDRESSES)
		write_addresses(&writer, message);
	if (fields & ARGUMENTS)
		write_arguments(&writer, message);
	return writer.failed ? 0 : tw_writer_length(&writer);
}

static void read_fields(struct tw_reader *reader, unsigned fields, struct tw_auth_message *ret)
{
	if (fields & RESULT)
		ret->result = (int32_t)tw_read_u32(reader);
	if (fields & USER)
		read_text(reader, ret->user, sizeof(ret->user));
	if (fields & TEXT)
		read_text(reader, ret->text, sizeof(ret->text));
	if (fields & PORT)
		ret->port = tw_read_u16(reader);
	if (fields & ROOM) {
		ret->room = tw_read_u32(reader);
		if (!is_room(ret->room))
			reader->failed = true;
	}
	if (fields & SIZES) {
		ret->receive = tw_read_u64(reader);
		ret->send = tw_read_u64(reader);
	}
	if (fields & ACCOUNT)
		read_account(reader, &ret->account);
	if (fields & ADDRESSES)
		read_addresses(reader, ret);
	if (fields & ARGUMENTS)
		read_arguments(reader, ret);
}

int tw_auth_message_read(const uint8_t *bytes, size_t length, struct tw_auth_message *ret)
{
	struct tw_reader reader;

	memset(ret, 0, sizeof(*ret));
	tw_reader_init(&reader, bytes, length);
	ret->kind = tw_read_u8(&reader);
	ret->serial = tw_read_u32(&reader);
	if (reader.failed || !known(ret->kind))
		return TW_E_FORMAT;
	read_fields(&reader, kinds[ret->kind].fields, ret);
	if (!reader.failed && tw_reader_left(&reader) == 0)
		return 0;
	memset(ret, 0, sizeof(*ret));
	return TW_E_FORMAT;
}

static bool count_fits(enum tw_auth_kind kind, unsigned count)
{
	return count >= tw_auth_descriptors_min(kind) && count <= tw_auth_descriptors_max(kind);
}

int tw_auth_send(int socket, int flags, const struct tw_auth_message *message, const int *fds,
		 unsigned count)
{
	uint8_t bytes[TW_AUTH_MESSAGE_ROOM];
	size_t length = tw_auth_message_write(message, bytes);
	const struct iovec vector = { bytes, length };
	int r = -EMSGSIZE;

	if (length && count_fits(message->kind, count))
		r = tw_passing_send_all(socket, flags, &vector, fds, count);
	tw_wipe(bytes, length);
	return r;
}

int tw_auth_receive(int socket, int flags, struct tw_auth_message *ret,
		    struct tw_passed *ret_passed)
{
	uint8_t bytes[TW_AUTH_MESSAGE_ROOM];
	struct tw_passed passed = { 0 };
	int r = tw_passing_receive(socket, bytes, sizeof(bytes), flags, &passed);

	if (r)
		return r;
	r = tw_auth_message_read(bytes, passed.length, ret);
	tw_wipe(bytes, passed.length);
	if (!r && !count_fits(ret->kind, passed.count))
		r = TW_E_FORMAT;
	if (r)
		tw_passed_close(&passed);
	else
		*ret_passed = passed;
	return r;
}
