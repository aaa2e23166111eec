/* test_auth_message.c - what engine and monitor say to each other. */
#include "unit.h"

#include <sys/socket.h>
#include <unistd.h>

#include "auth/message.h"
#include "auth/passing.h"
#include "base/error.h"

/* Every kind with every field that it has filled in to its bounds. */
static struct tw_auth_message *full(enum tw_auth_kind kind)
{
	struct tw_auth_message *message = test_calloc(1, sizeof(*message));

	message->kind = kind;
	message->serial = 0xfedcba98;
	message->result = -13;
	memset(message->user, 'u', sizeof(message->user) - 1);
	memset(message->text, 't', sizeof(message->text) - 1);
	message->port = 65535;
	message->room = TW_ACCOUNTS_ADDRESSES_MAX;
	message->receive = UINT64_MAX;
	message->send = 1;
	memset(message->account.name, 'n', sizeof(message->account.name) - 1);
	memset(message->account.home, 'h', sizeof(message->account.home) - 1);
	message->account.uid = 4294967294u;
	message->account.gid = 7;
	message->account.superuser_allowed = true;
	message->address_count = TW_ACCOUNTS_ADDRESSES_MAX;
	for (unsigned i = 0; i < message->address_count; i++) {
		struct tw_address *address = &message->addresses[i];

		address->family = i % 2 ? TW_FAMILY_IPV4 : TW_FAMILY_IPV6;
		memset(address->ip, (int)i, i % 2 ? 4 : 16);
		address->port = (uint16_t)(i + 1);
		address->scope = i % 2 ? 0 : i;
	}
	message->argument_count = TW_TRIGGER_ARGUMENTS_MAX;
	message->arguments_length = sizeof(message->arguments);
	memset(message->arguments, 'a', sizeof(message->arguments));
	for (unsigned i = 1; i <= TW_TRIGGER_ARGUMENTS_MAX; i++)
		message->arguments[i * sizeof(message->arguments) / TW_TRIGGER_ARGUMENTS_MAX - 1] =
			'\0';
	return message;
}

static void assert_same_addresses(const struct tw_auth_message *a, const struct tw_auth_message *b)
{
	assert_int_equal(a->address_count, b->address_count);
	for (unsigned i = 0; i < a->address_count; i++)
		assert_true(tw_address_equal(&a->addresses[i], &b->addresses[i]));
}

static void test_back_and_forth(void **state)
{
	struct tw_auth_message *back = test_calloc(1, sizeof(*back));
	uint8_t *bytes = test_malloc(TW_AUTH_MESSAGE_ROOM);

	(void)state;
	for (int kind = TW_AUTH_CHECK; kind < TW_AUTH_KINDS; kind++) {
		struct tw_auth_message *message = full(kind);
		size_t length = tw_auth_message_write(message, bytes);

		assert_true(length > 0);
		assert_int_equal(tw_auth_message_read(bytes, length, back), 0);
		assert_int_equal(back->kind, kind);
		assert_int_equal(back->serial, message->serial);
		if (kind == TW_AUTH_CHECK) {
			assert_string_equal(back->user, message->user);
			assert_string_equal(back->text, message->text);
		}
		if (kind == TW_AUTH_RESULT)
			assert_int_equal(back->result, -13);
		if (kind == TW_AUTH_BUFFERS)
			assert_true(back->receive == UINT64_MAX && back->send == 1);
		if (kind == TW_AUTH_ACCOUNT)
			assert_memory_equal(&back->account, &message->account,
					    sizeof(back->account));
		if (kind == TW_AUTH_ADDRESSES)
			assert_same_addresses(back, message);
		if (kind == TW_AUTH_TRIGGER)
			assert_memory_equal(back->arguments, message->arguments,
					    sizeof(back->arguments));
		/* No part of one is one, and nothing may follow. */
		for (size_t shorter = 0; shorter < length; shorter += 1 + shorter / 50)
			assert_int_equal(tw_auth_message_read(bytes, shorter, back), TW_E_FORMAT);
		bytes[length] = 0;
		assert_int_equal(tw_auth_message_read(bytes, length + 1, back), TW_E_FORMAT);
		test_free(message);
	}
	test_free(bytes);
	test_free(back);
}

/* What cannot be read is not written. */
static void test_bounds(void **state)
{
	uint8_t *bytes = test_malloc(TW_AUTH_MESSAGE_ROOM);
	struct tw_auth_message *message = full(TW_AUTH_CHECK);

	(void)state;
	message->kind = 0;
	assert_int_equal(tw_auth_message_write(message, bytes), 0);
	message->kind = TW_AUTH_KINDS;
	assert_int_equal(tw_auth_message_write(message, bytes), 0);
	message->kind = TW_AUTH_CHECK;
	memset(message->text, 't', sizeof(message->text));
	assert_int_equal(tw_auth_message_write(message, bytes), 0);
	message->kind = TW_AUTH_ADDRESSES;
	message->address_count = TW_ACCOUNTS_ADDRESSES_MAX + 1;
	assert_int_equal(tw_auth_message_write(message, bytes), 0);
	message->address_count = 1;
	message->addresses[0].family = 5;
	assert_int_equal(tw_auth_message_write(message, bytes), 0);
	message->text[0] = '\0';
	message->kind = TW_AUTH_RESOLVE;
	message->room = 0;
	assert_int_equal(tw_auth_message_write(message, bytes), 0);
	message->room = TW_ACCOUNTS_ADDRESSES_MAX + 1;
	assert_int_equal(tw_auth_message_write(message, bytes), 0);
	message->kind = TW_AUTH_TRIGGER;
	message->argument_count--;
	assert_int_equal(tw_auth_message_write(message, bytes), 0);
	message->argument_count += 2;
	assert_int_equal(tw_auth_message_write(message, bytes), 0);
	test_free(message);
	test_free(bytes);
}

/* An id of all ones would mean "as it is" where ids are taken. */
static void test_ids(void **state)
{
	uint8_t *bytes = test_malloc(TW_AUTH_MESSAGE_ROOM);
	struct tw_auth_message *message = full(TW_AUTH_ACCOUNT);
	struct tw_auth_message *back = test_calloc(1, sizeof(*back));
	size_t length;

	(void)state;
	message->account.uid = (uid_t)-1;
	length = tw_auth_message_write(message, bytes);
	assert_int_equal(tw_auth_message_read(bytes, length, back), TW_E_FORMAT);
	message->account.uid = 1;
	message->account.gid = (gid_t)-1;
	length = tw_auth_message_write(message, bytes);
	assert_int_equal(tw_auth_message_read(bytes, length, back), TW_E_FORMAT);
	message->account.gid = 1;
	message->account.name[0] = '\0';
	length = tw_auth_message_write(message, bytes);
	assert_int_equal(tw_auth_message_read(bytes, length, back), TW_E_FORMAT);
	assert_int_equal(back->account.uid, 0);
	test_free(back);
	test_free(message);
	test_free(bytes);
}

/* Descriptors that do not belong to the kind are refused, and closed. */
static void test_descriptors(void **state)
{
	static struct tw_auth_message message, back;
	struct tw_passed passed;
	static uint8_t bytes[TW_AUTH_MESSAGE_ROOM];
	size_t length;
	int ends[2], extra[2], null = dup(0);

	(void)state;
	close(null);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	extra[0] = extra[1] = ends[0];
	message.kind = TW_AUTH_VOUCH;
	assert_int_equal(tw_auth_send(ends[0], 0, &message, NULL, 0), -EMSGSIZE);
	assert_int_equal(tw_auth_send(ends[0], 0, &message, extra, 2), -EMSGSIZE);
	assert_int_equal(tw_auth_send(ends[0], 0, &message, extra, 1), 0);
	assert_int_equal(tw_auth_receive(ends[1], 0, &back, &passed), 0);
	assert_int_equal(passed.count, 1);
	tw_passed_close(&passed);

	message.kind = TW_AUTH_STOPPING;
	length = tw_auth_message_write(&message, bytes);
	assert_int_equal(tw_passing_send(ends[0], bytes, length, ends[0]), 0);
	assert_int_equal(tw_auth_receive(ends[1], 0, &back, &passed), TW_E_FORMAT);
	message.kind = TW_AUTH_VOUCH;
	length = tw_auth_message_write(&message, bytes);
	assert_int_equal(tw_passing_send(ends[0], bytes, length, -1), 0);
	assert_int_equal(tw_auth_receive(ends[1], 0, &back, &passed), TW_E_FORMAT);
	assert_int_equal(tw_auth_receive(ends[1], MSG_DONTWAIT, &back, &passed), -EAGAIN);
	close(ends[0]);
	assert_int_equal(tw_auth_receive(ends[1], 0, &back, &passed), -EPIPE);
	close(ends[1]);
	/* The lowest free number is the one it was before. */
	assert_int_equal(dup(0), null);
	close(null);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_back_and_forth),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_descriptors),
	};

	return cmocka_run_group_tests_name("auth_message", tests, NULL, NULL);
}
