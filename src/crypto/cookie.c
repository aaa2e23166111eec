#include "crypto/cookie.h"

#include <string.h>

#include "base/bytes.h"
#include "crypto/hash.h"
#include "crypto/siphash.h"

#define COOKIE_SIZE TW_SIPHASH_SIZE

static void renew(const struct tw_random *random, struct tw_secret *key)
{
	tw_random_fill(random, key->bytes, sizeof key->bytes);
}

void tw_cookie_jar_init(struct tw_cookie_jar *jar, const struct tw_random *random, tw_ns now)
{
	renew(random, &jar->current);
	renew(random, &jar->previous);
	jar->born = now;
}

void tw_cookie_jar_wipe(struct tw_cookie_jar *jar)
{
	tw_wipe(jar, sizeof *jar);
}

/* Keys change on a fixed grid, whenever somebody asks: an idle jar needs no timer. */
static void rotate(struct tw_cookie_jar *jar, const struct tw_random *random, tw_ns now)
{
	tw_ns age = tw_ns_since(now, jar->born);

	if (age < TW_COOKIE_KEY_LIFE)
		return;
	if (age < 2 * TW_COOKIE_KEY_LIFE) {
		jar->previous = jar->current;
		renew(random, &jar->current);
		jar->born += TW_COOKIE_KEY_LIFE;
	} else {
		tw_cookie_jar_init(jar, random, now);
	}
}

static void make(const struct tw_secret *key, const struct tw_address *from, uint64_t scid,
		 uint8_t ret[COOKIE_SIZE])
{
	uint8_t who[1 + sizeof from->ip + 2 + 4 + 8];
	struct tw_writer writer;

	tw_writer_init(&writer, who, sizeof who);
	tw_write_u8(&writer, from->family);
	tw_write_bytes(&writer, from->ip, sizeof from->ip);
	tw_write_u16(&writer, from->port);
	tw_write_u32(&writer, from->scope);
	tw_write_u64(&writer, scid);
	tw_siphash(key->bytes, who, sizeof who, ret);
}

void tw_cookie_make(struct tw_cookie_jar *jar, const struct tw_random *random, tw_ns now,
		    const struct tw_address *from, uint64_t scid, uint8_t ret[16])
{
	rotate(jar, random, now);
	make(&jar->current, from, scid, ret);
}

bool tw_cookie_check(struct tw_cookie_jar *jar, const struct tw_random *random, tw_ns now,
		     const struct tw_address *from, uint64_t scid, const uint8_t cookie[16])
{
	uint8_t right[COOKIE_SIZE];
	bool good;

	rotate(jar, random, now);
	make(&jar->current, from, scid, right);
	good = tw_equal_secret(right, cookie, COOKIE_SIZE);
	if (!good) {
		make(&jar->previous, from, scid, right);
		good = tw_equal_secret(right, cookie, COOKIE_SIZE);
	}
	tw_wipe(right, sizeof right);
	return good;
}

void tw_ticket_cookie(const struct tw_ticket *ticket, uint64_t scid, uint8_t ret[16])
{
	uint8_t text[4 + 8], digest[TW_HASH_SIZE];
	struct tw_writer writer;
	struct tw_hmac hmac;

	tw_writer_init(&writer, text, sizeof text);
	tw_write_u32(&writer, ticket->index);
	tw_write_u64(&writer, scid);
	tw_hmac_init(&hmac, ticket->key.bytes, sizeof ticket->key.bytes);
	tw_hmac_update(&hmac, text, sizeof text);
	tw_hmac_final(&hmac, digest);
	memcpy(ret, text, 4);
	memcpy(ret + 4, digest, COOKIE_SIZE - 4);
}

uint32_t tw_ticket_index(const uint8_t cookie[16])
{
	struct tw_reader reader;

	tw_reader_init(&reader, cookie, 4);
	return tw_read_u32(&reader);
}
