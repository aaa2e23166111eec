/* test_accounts_local.c - accounts within the process; messages with descriptors. */
#include "unit.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "auth/accounts.h"
#include "auth/lookup.h"
#include "auth/passing.h"
#include "base/error.h"

/* An agent that says how many clients it has had, and goes after @clients_max. */
static atomic_uint clients_max = 1000;

static int run_agent(int control)
{
	struct tw_passed passed;
	char byte;
	uint32_t served = 0;

	while (!tw_passing_receive(control, &byte, 1, 0, &passed)) {
		served++;
		tw_passing_send(passed.fds[0], &served, sizeof(served), -1);
		tw_passed_close(&passed);
		/* What arrived before it is still read. */
		if (served == clients_max)
			shutdown(control, SHUT_RD);
	}
	close(control);
	return 0;
}

static uint32_t ask_agent(struct tw_accounts *accounts, const char *user)
{
	struct tw_passed passed;
	uint32_t served = 0;
	int socket = -1;

	assert_int_equal(accounts->ops->agent(accounts, user, &socket), 0);
	assert_int_equal(tw_passing_receive(socket, &served, sizeof(served), 0, &passed), 0);
	assert_int_equal(passed.length, sizeof(served));
	/* The agent has no other end of its own left. */
	assert_int_equal(tw_passing_receive(socket, &served, sizeof(served), 0, &passed), -EPIPE);
	close(socket);
	return served;
}

static void test_agents(void **state)
{
	struct tw_accounts *accounts;
	struct tw_account own;
	int socket = -1;

	(void)state;
	assert_int_equal(tw_accounts_local_new(NULL, run_agent, &accounts), 0);
	assert_int_equal(accounts->ops->find(accounts, "", &own), 0);
	assert_int_equal(own.uid, geteuid());
	clients_max = 2;
	for (unsigned i = 0; i < 6; i++) {
		uint32_t served = ask_agent(accounts, i % 2 ? own.name : "");

		/* After two it goes; the third comes just in time or finds a fresh one. */
		assert_in_range(served, 1, 3);
	}
	clients_max = 1000;
	assert_int_equal(accounts->ops->agent(accounts, "nobody-of-that-name", &socket), -EACCES);
	assert_int_equal(socket, -1);
	tw_accounts_local_free(accounts);

	assert_int_equal(tw_accounts_local_new(NULL, NULL, &accounts), 0);
	assert_int_equal(accounts->ops->agent(accounts, "", &socket), -ENOSYS);
	tw_accounts_local_free(accounts);
}

static void test_refusals(void **state)
{
	struct tw_trigger_order order = { .user = "", .event = "launch", .input = -1 };
	struct tw_trigger_run run;
	struct tw_accounts *accounts;
	struct tw_account account;

	(void)state;
	assert_int_equal(tw_accounts_local_new(NULL, NULL, &accounts), 0);
	assert_int_equal(accounts->ops->check(accounts, "root", "", &account), -EACCES);
	assert_int_equal(accounts->ops->find(accounts, "no-such-account", &account), -EACCES);
	assert_int_equal(accounts->ops->trigger(accounts, &order, &run), -ENOENT);
	tw_accounts_local_free(accounts);
}

static void test_peers(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t length = sizeof(address);
	int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), server, other;
	struct tw_accounts *accounts;
	struct tw_account account, own;

	(void)state;
	assert_int_equal(tw_accounts_local_new(NULL, NULL, &accounts), 0);
	/* A name of the kernel's choice, in no folder. */
	assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(listening, 1), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &length), 0);
	assert_int_equal(connect(client, (struct sockaddr *)&address, length), 0);
	server = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(accounts->ops->vouch(accounts, server, &account), 0);
	assert_int_equal(accounts->ops->find(accounts, "", &own), 0);
	assert_string_equal(account.name, own.name);
	assert_true(account.superuser_allowed);

	assert_int_equal(accounts->ops->vouch(accounts, listening, &account), -ENOTSOCK);
	other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(accounts->ops->vouch(accounts, other, &account), -ENOTSOCK);
	close(other);
	other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(accounts->ops->vouch(accounts, other, &account), -ENOTSOCK);
	assert_int_equal(accounts->ops->buffers(accounts, other, 1 << 20, 0), -EINVAL);
	close(other);
	other = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(accounts->ops->vouch(accounts, other, &account), -ENOTSOCK);
	close(other);
	close(server);
	close(client);
	close(listening);
	tw_accounts_local_free(accounts);
}

static void test_lookups(void **state)
{
	const char *users[] = { "nobody" }, *groups[] = { "daemon" };
	const struct tw_accounts_rules by_user = { .users = users, .user_count = 1 };
	const struct tw_accounts_rules by_group = { .groups = groups, .group_count = 1 };
	struct tw_account account;

	(void)state;
	assert_int_equal(tw_lookup_name("no-such-account", NULL, 0, &account), -ENOENT);
	assert_int_equal(tw_lookup_name("", NULL, 0, &account), -ENOENT);
	/* A number is a name only where there is no better one. */
	assert_int_equal(tw_lookup_name("0", NULL, 0, &account), -ENOENT);
	assert_int_equal(tw_lookup_name("3999999990", NULL, 0, &account), 0);
	assert_int_equal(account.uid, 3999999990u);
	assert_false(account.superuser_allowed);
	assert_int_equal(tw_lookup_uid(3999999990u, 3999999991u, NULL, 3999999990u, &account), 0);
	assert_string_equal(account.name, "3999999990");
	assert_int_equal(account.gid, 3999999991u);
	assert_true(account.superuser_allowed);

	assert_int_equal(tw_lookup_name("root", NULL, 12345, &account), 0);
	assert_true(account.superuser_allowed);
	assert_int_equal(tw_lookup_name("nobody", NULL, 0, &account), 0);
	assert_false(account.superuser_allowed);
	assert_int_equal(tw_lookup_name("nobody", &by_user, 0, &account), 0);
	assert_true(account.superuser_allowed);
	assert_int_equal(tw_lookup_name("nobody", &by_group, 0, &account), 0);
	assert_false(account.superuser_allowed);
	assert_int_equal(tw_lookup_name("daemon", &by_group, 0, &account), 0);
	assert_true(account.superuser_allowed);
	assert_true(tw_lookup_in_group("daemon", account.gid, "daemon"));
	assert_false(tw_lookup_in_group("daemon", account.gid, "no-such-group"));
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_passing(void **state)
{
	struct tw_passed passed;
	char bytes[8];
	const struct iovec one = { "x", 1 };
	int ends[2], many[TW_PASSING_MAX];
	unsigned before;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	for (unsigned i = 0; i < TW_PASSING_MAX; i++)
		many[i] = ends[0];
	before = open_descriptors();
	assert_int_equal(tw_passing_send_all(ends[0], 0, &one, many, TW_PASSING_MAX), 0);
	assert_int_equal(tw_passing_receive(ends[1], bytes, sizeof(bytes), 0, &passed), 0);
	assert_int_equal(passed.count, TW_PASSING_MAX);
	assert_int_equal(passed.length, 1);
	for (unsigned i = 0; i < TW_PASSING_MAX; i++)
		assert_true(fcntl(passed.fds[i], F_GETFD) & FD_CLOEXEC);
	tw_passed_close(&passed);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(tw_passing_send_all(ends[0], 0, &one, many, TW_PASSING_MAX + 1), -EINVAL);

	/* Too long: refused, and its descriptor does not stay behind. */
	assert_int_equal(tw_passing_send(ends[0], "123456789", 9, ends[0]), 0);
	assert_int_equal(tw_passing_receive(ends[1], bytes, sizeof(bytes), 0, &passed),
			 TW_E_FORMAT);
	assert_int_equal(open_descriptors(), before);
	assert_int_equal(tw_passing_receive(ends[1], bytes, 8, MSG_DONTWAIT, &passed), -EAGAIN);
	close(ends[0]);
	assert_int_equal(tw_passing_receive(ends[1], bytes, 8, 0, &passed), -EPIPE);
	assert_int_equal(tw_passing_send(ends[1], "x", 1, -1), -EPIPE);
	close(ends[1]);
}

/* More descriptors than are allowed in one message, by hand. */
static void test_too_many(void **state)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(20 * sizeof(int))];
	} control = { 0 };
	struct iovec vector = { "x", 1 };
	struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control };
	struct tw_passed passed;
	char bytes[8];
	int ends[2];
	unsigned before;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	before = open_descriptors();
	for (unsigned count = TW_PASSING_MAX + 1; count <= 20; count += 5) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		for (unsigned i = 0; i < count; i++)
			memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &ends[0], sizeof(int));
		assert_int_equal(sendmsg(ends[0], &message, 0), 1);
		assert_int_equal(tw_passing_receive(ends[1], bytes, sizeof(bytes), 0, &passed),
				 TW_E_FORMAT);
		assert_int_equal(open_descriptors(), before);
	}
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agents),  cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_peers),   cmocka_unit_test(test_lookups),
		cmocka_unit_test(test_passing), cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests_name("accounts_local", tests, NULL, NULL);
}
