#include "relay/control.h"

#include <assert.h>

#include "base/error.h"
#include "relay/leg.h"

enum field {
	FIELD_END = 0,
	FIELD_NUMBER, /* u64 */
	FIELD_INDEX,  /* varint below 2^32 */
	FIELD_FLAGS,
	FIELD_REFUSAL,
	FIELD_PORT,
	FIELD_SERVER_CID,
	FIELD_PEER_CID,
	FIELD_ADDRESS,
	FIELD_SEEN,
	FIELD_REST, /* bytes up to the end of the message */
};

/* docs/protocol.md, "Control messages": the fields of each, in order. */
static const enum field layouts[TW_RELAY_MESSAGE_TYPES][6] = {
	[TW_RELAY_HELLO] = { FIELD_INDEX, FIELD_REST },
	[TW_RELAY_WELCOME] = { FIELD_REST },
	[TW_RELAY_REGISTER] = { FIELD_NUMBER, FIELD_FLAGS, FIELD_PORT },
	[TW_RELAY_REGISTERED] = { FIELD_NUMBER, FIELD_PORT, FIELD_ADDRESS, FIELD_SEEN },
	[TW_RELAY_REFUSED] = { FIELD_REFUSAL, FIELD_REST },
	[TW_RELAY_MODE] = { FIELD_FLAGS },
	[TW_RELAY_DESTINATION] = { FIELD_INDEX, FIELD_ADDRESS },
	[TW_RELAY_DESTINATION_ANSWER] = { FIELD_INDEX, FIELD_REFUSAL },
	[TW_RELAY_ROUTE] = { FIELD_FLAGS, FIELD_SERVER_CID, FIELD_PEER_CID, FIELD_ADDRESS },
	[TW_RELAY_ROUTE_GONE] = { FIELD_SERVER_CID },
	[TW_RELAY_DATAGRAM] = { FIELD_REST },
	[TW_RELAY_PING] = { FIELD_NUMBER },
	[TW_RELAY_PONG] = { FIELD_NUMBER },
	[TW_RELAY_SEEN] = { FIELD_SERVER_CID, FIELD_ADDRESS },
};

static void write_field(struct tw_writer *writer, enum field field,
			const struct tw_relay_message *message)
{
	switch (field) {
	case FIELD_NUMBER:
		tw_write_u64(writer, message->number);
		break;
	case FIELD_INDEX:
		tw_write_varint(writer, message->number);
		break;
	case FIELD_FLAGS:
		tw_write_u8(writer, message->flags);
		break;
	case FIELD_REFUSAL:
		tw_write_u8(writer, message->refusal);
		break;
	case FIELD_PORT:
		tw_write_u16(writer, message->port);
		break;
	case FIELD_SERVER_CID:
		tw_write_u64(writer, message->server_cid);
		break;
	case FIELD_PEER_CID:
		tw_write_u64(writer, message->peer_cid);
		break;
	case FIELD_ADDRESS:
		tw_relay_write_address(writer, &message->address);
		break;
	case FIELD_SEEN:
		tw_relay_write_address(writer, &message->seen);
		break;
	case FIELD_REST:
		tw_write_bytes(writer, message->bytes, message->length);
		break;
	case FIELD_END:
		break;
	}
}

size_t tw_relay_message_write(const struct tw_relay_message *message, uint8_t *bytes, size_t room)
{
	/* The length stands in front of what it counts: two bytes are kept for it, four if needed.
	 */
	size_t head = message->length > 16000 ? 4 : 2, length;
	struct tw_writer writer;

	assert(message->type > 0 && message->type < TW_RELAY_MESSAGE_TYPES);
	if (room < head)
		return 0;
	tw_writer_init(&writer, bytes + head, room - head);
	tw_write_varint(&writer, message->type);
	for (const enum field *field = layouts[message->type]; *field; field++)
		write_field(&writer, *field, message);
	length = tw_writer_length(&writer);
	if (writer.failed || length > TW_RELAY_MESSAGE_MAX || (head == 2 && length > 16383))
		return 0;
	tw_writer_init(&writer, bytes, head);
	if (head == 2)
		tw_write_u16(&writer, (uint16_t)(0x4000 | length));
	else
		tw_write_u32(&writer, 0x80000000 | (uint32_t)length);
	return head + length;
}

static bool read_field(struct tw_reader *reader, enum field field, struct tw_relay_message *ret)
{
	switch (field) {
	case FIELD_NUMBER:
		ret->number = tw_read_u64(reader);
		break;
	case FIELD_INDEX:
		ret->number = tw_read_varint(reader);
		return ret->number <= UINT32_MAX;
	case FIELD_FLAGS:
		ret->flags = tw_read_u8(reader);
		break;
	case FIELD_REFUSAL:
		ret->refusal = tw_read_u8(reader);
		break;
	case FIELD_PORT:
		ret->port = tw_read_u16(reader);
		break;
	case FIELD_SERVER_CID:
		ret->server_cid = tw_read_u64(reader);
		break;
	case FIELD_PEER_CID:
		ret->peer_cid = tw_read_u64(reader);
		break;
	case FIELD_ADDRESS:
		return tw_relay_read_address(reader, &ret->address);
	case FIELD_SEEN:
		return tw_relay_read_address(reader, &ret->seen);
	case FIELD_REST:
		ret->length = tw_reader_left(reader);
		ret->bytes = tw_read_bytes(reader, ret->length);
		break;
	case FIELD_END:
		break;
	}
	return true;
}

static int read_body(struct tw_reader *reader, struct tw_relay_message *ret)
{
	struct tw_relay_message message = { 0 };
	uint64_t type = tw_read_varint(reader);

	if (reader->failed)
		return TW_E_FORMAT;
	if (type == 0 || type >= TW_RELAY_MESSAGE_TYPES)
		return TW_E_END;
	message.type = (enum tw_relay_message_type)type;
	for (const enum field *field = layouts[type]; *field; field++)
		if (!read_field(reader, *field, &message) || reader->failed)
			return TW_E_FORMAT;
	if ((type == TW_RELAY_DATAGRAM && (!message.length || message.length > TW_DATAGRAM_MAX)) ||
	    (type == TW_RELAY_REFUSED && message.length > TW_RELAY_TEXT_MAX))
		return TW_E_FORMAT;
	*ret = message;
	return 0;
}

int tw_relay_message_read(const uint8_t *bytes, size_t length, struct tw_relay_message *ret,
			  size_t *ret_taken)
{
	struct tw_reader reader, body;
	uint64_t announced;
	const uint8_t *at;
	int r;

	tw_reader_init(&reader, bytes, length);
	announced = tw_read_varint(&reader);
	if (reader.failed)
		return TW_E_AGAIN;
	if (announced == 0 || announced > TW_RELAY_MESSAGE_MAX)
		return TW_E_FORMAT;
	at = tw_read_bytes(&reader, announced);
	if (!at)
		return TW_E_AGAIN;
	tw_reader_init(&body, at, announced);
	r = read_body(&body, ret);
	if (!r || r == TW_E_END)
		*ret_taken = (size_t)(at - bytes) + announced;
	return r;
}

size_t tw_relay_prologue(const uint8_t binding[TW_RELAY_BINDING], uint8_t ret[TW_RELAY_PROLOGUE])
{
	static const char name[] = "tradewind relay";
	struct tw_writer writer;

	tw_writer_init(&writer, ret, TW_RELAY_PROLOGUE);
	tw_write_bytes(&writer, name, sizeof name - 1);
	tw_write_u32(&writer, TW_RELAY_VERSION);
	tw_write_bytes(&writer, binding, TW_RELAY_BINDING);
	return tw_writer_length(&writer);
}
