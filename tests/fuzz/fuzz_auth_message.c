/*
 * Messages between engine and monitor: what is read stays within its bounds, and is written the
 * same again.
 */
#include "auth/message.h"
#include "base/error.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tw_auth_message message;
	static uint8_t bytes[TW_AUTH_MESSAGE_ROOM];
	int r;

	if (size > TW_AUTH_MESSAGE_ROOM)
		return 0;
	r = tw_auth_message_read(data, size, &message);
	CHECK(r == 0 || r == TW_E_FORMAT);
	if (r) {
		CHECK(!message.user[0] && !message.text[0] && !message.account.uid);
		return 0;
	}
	CHECK(memchr(message.user, 0, sizeof(message.user)) != NULL);
	CHECK(memchr(message.text, 0, sizeof(message.text)) != NULL);
	CHECK(memchr(message.account.name, 0, sizeof(message.account.name)) != NULL);
	CHECK(memchr(message.account.home, 0, sizeof(message.account.home)) != NULL);
	CHECK(message.address_count <= TW_ACCOUNTS_ADDRESSES_MAX);
	CHECK(message.argument_count <= TW_TRIGGER_ARGUMENTS_MAX);
	CHECK(message.account.uid != (uid_t)-1 && message.account.gid != (gid_t)-1);
	CHECK(tw_auth_message_write(&message, bytes) == size);
	CHECK(memcmp(bytes, data, size) == 0);
	return 0;
}
