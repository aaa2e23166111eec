#include "relay/leg.h"

#include <string.h>

#include "base/error.h"
#include "crypto/hash.h"

int tw_relay_keys_make(const struct tw_identity *self, const struct tw_public_key *peer,
		       const struct tw_public_key *relay, struct tw_relay_keys *ret)
{
	static const char leg[] = "tw relay leg", ticket[] = "tw relay ticket";
	struct tw_secret shared;
	uint8_t key[TW_HASH_SIZE];
	int r = tw_x25519(&self->private_key, peer, &shared);

	if (r)
		return r;
	tw_hkdf_extract(relay->bytes, TW_KEY_SIZE, shared.bytes, TW_KEY_SIZE, key);
	tw_hkdf_expand(key, leg, sizeof leg - 1, ret->leg.bytes, TW_KEY_SIZE);
	tw_hkdf_expand(key, ticket, sizeof ticket - 1, ret->ticket.bytes, TW_KEY_SIZE);
	tw_wipe(&shared, sizeof shared);
	tw_wipe(key, sizeof key);
	return 0;
}

void tw_relay_write_address(struct tw_writer *writer, const struct tw_address *address)
{
	tw_write_u8(writer, address->family);
	if (address->family == TW_FAMILY_NONE)
		return;
	tw_write_bytes(writer, address->ip, address->family == TW_FAMILY_IPV4 ? 4 : 16);
	tw_write_u16(writer, address->port);
}

bool tw_relay_read_address(struct tw_reader *reader, struct tw_address *ret)
{
	*ret = (struct tw_address){ .family = tw_read_u8(reader) };
	if (ret->family == TW_FAMILY_NONE)
		return true;
	if (ret->family != TW_FAMILY_IPV4 && ret->family != TW_FAMILY_IPV6)
		return false;
	tw_read_copy(reader, ret->ip, ret->family == TW_FAMILY_IPV4 ? 4 : 16);
	ret->port = tw_read_u16(reader);
	return true;
}

static void make_tag(const struct tw_secret *key, const uint8_t *bytes, size_t length,
		     uint8_t ret[TW_RELAY_TAG])
{
	uint8_t digest[TW_HASH_SIZE];
	struct tw_hmac hmac;

	tw_hmac_init(&hmac, key->bytes, TW_KEY_SIZE);
	tw_hmac_update(&hmac, bytes, length);
	tw_hmac_final(&hmac, digest);
	memcpy(ret, digest, TW_RELAY_TAG);
}

size_t tw_relay_leg_write(const struct tw_relay_leg *leg, const struct tw_secret *key,
			  uint8_t ret[TW_RELAY_LEG_SIZE])
{
	struct tw_writer writer;
	uint8_t tag[TW_RELAY_TAG];

	tw_writer_init(&writer, ret, TW_RELAY_LEG_SIZE);
	tw_write_u8(&writer, leg->type);
	tw_write_u8(&writer, leg->flags);
	tw_write_u64(&writer, leg->handle);
	tw_write_u64(&writer, leg->counter);
	if (leg->type == TW_RELAY_LEG_SEEN)
		tw_relay_write_address(&writer, &leg->seen);
	make_tag(key, ret, tw_writer_length(&writer), tag);
	tw_write_bytes(&writer, tag, sizeof tag);
	if (leg->type == TW_RELAY_LEG)
		tw_write_zeros(&writer, tw_writer_room(&writer));
	return tw_writer_length(&writer);
}

int tw_relay_leg_read(const uint8_t *bytes, size_t length, const struct tw_secret *key,
		      struct tw_relay_leg *ret)
{
	struct tw_relay_leg leg = { 0 };
	struct tw_reader reader;
	uint8_t tag[TW_RELAY_TAG];
	const uint8_t *claimed;

	tw_reader_init(&reader, bytes, length);
	leg.type = tw_read_u8(&reader);
	leg.flags = tw_read_u8(&reader);
	leg.handle = tw_read_u64(&reader);
	leg.counter = tw_read_u64(&reader);
	if (leg.type == TW_RELAY_LEG && length != TW_RELAY_LEG_SIZE)
		return TW_E_FORMAT;
	if (leg.type != TW_RELAY_LEG &&
	    (leg.type != TW_RELAY_LEG_SEEN || !tw_relay_read_address(&reader, &leg.seen)))
		return TW_E_FORMAT;
	claimed = tw_read_bytes(&reader, TW_RELAY_TAG);
	if (reader.failed || (leg.type == TW_RELAY_LEG_SEEN && tw_reader_left(&reader)))
		return TW_E_FORMAT;
	make_tag(key, bytes, (size_t)(claimed - bytes), tag);
	if (!tw_equal_secret(tag, claimed, TW_RELAY_TAG))
		return TW_E_AUTH;
	*ret = leg;
	return 0;
}
