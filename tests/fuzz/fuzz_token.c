/*
 * What somebody shows to be let in: a bearer among those that were given out, and the record that a
 * password is kept as. Only what was given out opens anything, and a record that is not whole opens
 * nothing. (That a whole record opens with its password alone is for the unit tests: each check of
 * one takes scrypt's time.)
 */
#include "fuzz.h"

#include "api/session.h"
#include "engine/password.h"

#define GIVEN 3
#define RECORD_LENGTH (7 + 32 + 1 + 64) /* scrypt:SALT:HASH in hexadecimal */

static void show_bearer(const char *bytes, size_t size)
{
	static struct tw_api_sessions *sessions;
	static char given[GIVEN][TW_API_BEARER];
	const struct tw_api_session session = { .user = "alice",
						.authenticated = true,
						.expires_us = INT64_MAX };
	struct tw_api_session *found;
	char shown[TW_API_BEARER];
	bool is_given = false;

	if (!sessions) {
		CHECK(!tw_api_sessions_new(&sessions));
		for (int i = 0; i < GIVEN; i++) {
			tw_api_bearer_make(given[i]);
			CHECK(tw_api_sessions_add(sessions, &session, given[i]));
		}
	}
	found = tw_api_sessions_find(sessions, (struct tw_slice){ bytes, size });
	for (int i = 0; i < GIVEN; i++)
		is_given |= size == TW_API_BEARER - 1 && memcmp(bytes, given[i], size) == 0;
	CHECK(!found == !is_given);

	/* One that was given out, but for what the input makes of it. */
	memcpy(shown, given[size % GIVEN], sizeof shown);
	for (size_t i = 0; i < size && i < TW_API_BEARER - 1; i++)
		shown[i] = (char)(shown[i] ^ (bytes[i] & 0x0f));
	found = tw_api_sessions_find(sessions, (struct tw_slice){ shown, TW_API_BEARER - 1 });
	for (int i = 0; i < GIVEN; i++)
		if (memcmp(shown, given[i], TW_API_BEARER - 1) == 0)
			return;
	CHECK(!found);
}

static void show_record(const char *bytes, size_t size)
{
	char *record = strndup(bytes, size);

	CHECK(record);
	if (strlen(record) != RECORD_LENGTH || strncmp(record, "scrypt:", 7) != 0 ||
	    strspn(record + 7, "0123456789abcdefABCDEF:") != RECORD_LENGTH - 7)
		CHECK(!tw_password_check(record, "password"));
	free(record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	if (data[0] & 1)
		show_record((const char *)data + 1, size - 1);
	else
		show_bearer((const char *)data + 1, size - 1);
	return 0;
}
