#include "unit.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/confine_landlock.h"
#include "auth/confine_seccomp.h"
#include "auth/resolver.h"
#include "netio/sockaddr.h"

struct answer {
	int error;
	unsigned count;
	struct tw_address addresses[8];
	bool files_closed, programs_closed; /* to whoever takes it over */
};

static struct answer ask(const char *host, uint16_t port)
{
	struct answer answer = { 0 };
	int pipes[2], status;
	pid_t child;

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	if (child == 0) {
		answer.error = tw_resolver_look_up(TW_CONFINE_AUTO, host, port, answer.addresses, 8,
						   &answer.count);
		answer.files_closed = open("/etc/passwd", O_RDONLY) < 0 &&
				      open("/tmp", O_RDONLY) < 0 &&
				      open("/usr/lib/x", O_WRONLY | O_CREAT, 0600) < 0;
		answer.programs_closed =
			!TW_SECCOMP_SANITIZED && execl("/bin/true", "true", NULL) < 0 && fork() < 0;
		_exit(write(pipes[1], &answer, sizeof answer) != sizeof answer);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(read(pipes[0], &answer, sizeof answer), sizeof answer);
	close(pipes[0]);
	close(pipes[1]);
	return answer;
}

/* The same answer as without the confinement, names of this machine and literals included. */
static void test_answers(void **state)
{
	static const char *const hosts[] = { "localhost", "127.0.0.1", "::1", "host.invalid" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		struct tw_address plain[8];
		unsigned count = 0;
		int error = tw_resolve(hosts[i], 8886, plain, 8, &count);
		struct answer answer = ask(hosts[i], 8886);

		/* How a name that does not exist is told depends on the network. */
		assert_int_equal(answer.error != 0, error != 0);
		assert_int_equal(answer.count, count);
		for (unsigned k = 0; k < count; k++)
			assert_true(tw_address_equal(&plain[k], &answer.addresses[k]));
	}
}

static void test_may_do_nothing_else(void **state)
{
	struct answer answer = ask("localhost", 1);

	(void)state;
	if (!tw_landlock_abi() || !(TW_SECCOMP_SANITIZED || tw_seccomp_available()))
		skip();
	assert_int_equal(answer.error, 0);
	assert_true(answer.files_closed);
	assert_true(TW_SECCOMP_SANITIZED || answer.programs_closed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_may_do_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
