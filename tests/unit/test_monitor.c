/*
 * test_monitor.c - the monitor with real processes. What runs in the engine's place says in memory
 * that all share what went wrong, and where.
 */
#include "unit.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/become.h"
#include "auth/grants.h"
#include "auth/monitor.h"
#include "auth/passing.h"
#include "netio/clock.h"

#define OTHER 3999999990u /* an id that nobody has */
#define OTHER_NAME "3999999990"
#define ENGINE 3999999980u
#define ENGINE_NAME "3999999980"

static struct {
	int line;
	int64_t value;
	volatile pid_t engine, child;
	volatile unsigned ready, stopping;
} * report;

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			report->line = __LINE__; \
			return 1; \
		} \
	} while (0)

struct place {
	char path[64];
	int folder;
};

static int place_make(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	snprintf(place->path, sizeof(place->path), "/tmp/test_monitor-XXXXXX");
	assert_non_null(mkdtemp(place->path));
	assert_int_equal(chmod(place->path, 0755), 0);
	place->folder = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(place->folder >= 0);
	memset(report, 0, sizeof(*report));
	*state = place;
	return 0;
}

static int place_free(void **state)
{
	struct place *place = *state;

	unlinkat(place->folder, TW_GRANTS_FILE, 0);
	unlinkat(place->folder, "launch", 0);
	unlinkat(place->folder, "door", 0);
	unlinkat(place->folder, "old", 0);
	unlinkat(place->folder, "service", 0);
	close(place->folder);
	assert_int_equal(rmdir(place->path), 0);
	free(place);
	return 0;
}

/* What an agent says of itself to each client. */
struct self {
	pid_t pid;
	uid_t uid[3];
	gid_t gid[3];
	int groups, no_new_privs, dumpable, descriptors;
	uint64_t effective, bounding;
	bool environment;
};

static uint64_t status_field(const char *name)
{
	FILE *file = fopen("/proc/self/status", "re");
	unsigned long long value = UINT64_MAX;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0)
			sscanf(line + strlen(name), "%llx", &value);
	if (file)
		fclose(file);
	return value;
}

static int run_agent(int control)
{
	struct self self = { .pid = getpid() };
	struct tw_passed passed;
	char byte;

	for (int fd = 3; fd < 256; fd++)
		self.descriptors += fcntl(fd, F_GETFD) >= 0;
	getresuid(&self.uid[0], &self.uid[1], &self.uid[2]);
	getresgid(&self.gid[0], &self.gid[1], &self.gid[2]);
	self.groups = getgroups(0, NULL);
	self.no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
	self.dumpable = prctl(PR_GET_DUMPABLE);
	self.effective = status_field("CapEff:");
	self.bounding = status_field("CapBnd:");
	self.environment = getenv("TW_TEST_SECRET") != NULL;
	while (!tw_passing_receive(control, &byte, 1, 0, &passed)) {
		tw_passing_send(passed.fds[0], &self, sizeof(self), -1);
		tw_passed_close(&passed);
	}
	return 0;
}

static int ask_agent(struct tw_accounts *accounts, const char *user, struct self *ret)
{
	struct tw_passed passed;
	int socket = -1, r = accounts->ops->agent(accounts, user, &socket);

	if (!r)
		r = tw_passing_receive(socket, ret, sizeof(*ret), 0, &passed);
	if (socket >= 0)
		close(socket);
	return r;
}

static void name_socket(const struct place *place, const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/%s", place->path, name);
}

static int open_door(const struct place *place, const char *name)
{
	struct sockaddr_un address;
	int door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	name_socket(place, name, &address);
	unlink(address.sun_path);
	if (bind(door, (struct sockaddr *)&address, sizeof(address)) ||
	    chmod(address.sun_path, 0666) || listen(door, 8))
		return -1;
	return door;
}

/* The server's end of a connection that somebody with @uid has made to @door. */
static int let_in(int door, uid_t uid)
{
	struct sockaddr_un address = { 0 };
	socklen_t length = sizeof(address);
	pid_t child;
	int server;

	if (getsockname(door, (struct sockaddr *)&address, &length))
		return -1;
	child = fork();
	if (child == 0) {
		int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (uid != geteuid() && (setresgid(uid, uid, uid) || setresuid(uid, uid, uid)))
			_exit(1);
		_exit(connect(client, (struct sockaddr *)&address, length) ? 1 : 0);
	}
	server = accept4(door, NULL, NULL, SOCK_CLOEXEC);
	waitpid(child, NULL, 0);
	return server;
}

/* Accounts with a door that is open; what comes in by it. */
static int begin(const struct place *place, int socket, struct tw_accounts **ret, int *ret_door)
{
	int r = tw_accounts_monitor_new(socket, ret);

	*ret_door = open_door(place, "door");
	if (!r)
		r = tw_accounts_monitor_ready(*ret, *ret_door);
	return *ret_door < 0 ? -1 : r;
}

/* Somebody has come in and proved himself: by this name. */
static char granted_name[TW_ACCOUNT_NAME_MAX];

static int begin_granted(const struct place *place, int socket, struct tw_accounts **ret)
{
	struct tw_account account;
	int door, client, r = begin(place, socket, ret, &door);

	if (r)
		return r;
	client = let_in(door, geteuid() ? geteuid() : OTHER);
	r = (*ret)->ops->vouch(*ret, client, &account);
	close(client);
	close(door);
	if (!r)
		snprintf(granted_name, sizeof(granted_name), "%s", account.name);
	return r;
}

static void on_state(void *context, enum tw_monitor_state state)
{
	(void)context;
	if (state == TW_MONITOR_READY)
		report->ready++;
	else
		report->stopping++;
}

static bool no_root_files;

static int run_monitor(const struct place *place, int (*engine)(void *context, int socket))
{
	const struct tw_monitor_options options = {
		.state_folder = place->folder,
		.engine_uid = geteuid() ? geteuid() : ENGINE,
		.engine_gid = geteuid() ? getegid() : ENGINE,
		.pam_service = "tradewind",
		.no_root_files = no_root_files,
		.trigger_folder = place->path,
		.engine = engine,
		/* It looks at itself with calls that are on no list. */
		.confine = TW_CONFINE_OFF,
		.agent_run = run_agent,
		.state = on_state,
		.context = (void *)place,
	};
	int status = -1;

	assert_int_equal(tw_monitor_run(&options, &status), 0);
	if (report->line)
		fail_msg("line %d: %lld", report->line, (long long)report->value);
	return status;
}

/* Accounts, and what their agents may. */

static int accounts_engine(void *context, int socket)
{
	bool root = geteuid() == 0;
	uid_t whom = root ? OTHER : geteuid();
	struct tw_accounts *accounts;
	struct tw_account account = { .uid = 1 };
	struct self self = { 0 }, again = { 0 };
	int client, door;

	CHECK(begin(context, socket, &accounts, &door) == 0);
	/* Nobody has proved to be anybody. */
	CHECK(accounts->ops->find(accounts, OTHER_NAME, &account) == -EACCES);
	CHECK(accounts->ops->agent(accounts, OTHER_NAME, &client) == -EACCES);
	CHECK(accounts->ops->agent(accounts, "root", &client) == -EACCES);
	CHECK(accounts->ops->vouch(accounts, 2, &account) == -ENOTSOCK);

	client = let_in(door, whom);
	CHECK(client >= 0);
	CHECK(accounts->ops->vouch(accounts, client, &account) == 0);
	close(client);
	CHECK(account.uid == whom && account.superuser_allowed == !root);
	CHECK(!root || strcmp(account.name, OTHER_NAME) == 0);
	CHECK(accounts->ops->find(accounts, account.name, &account) == 0);
	CHECK(account.uid == whom && (!root || account.gid == OTHER));

	CHECK(ask_agent(accounts, account.name, &self) == 0);
	for (unsigned i = 0; i < 3; i++) {
		CHECK(self.uid[i] == whom);
		CHECK(!root || self.gid[i] == OTHER);
	}
	report->value = self.groups;
	CHECK(!root || self.groups == 1);
	CHECK(self.no_new_privs == 1 && self.dumpable == 0);
	CHECK(self.effective == 0 && (!root || self.bounding == 0));
	CHECK(self.descriptors == 1 && !self.environment);
	CHECK(ask_agent(accounts, account.name, &again) == 0);
	CHECK(again.pid == self.pid);
	/* The engine's own opens more than the engine may: it has to prove itself too, unless it
	 * is the account that has. */
	if (root) {
		CHECK(accounts->ops->agent(accounts, "", &client) == -EACCES);
		CHECK(accounts->ops->agent(accounts, ENGINE_NAME, &client) == -EACCES);
		client = let_in(door, ENGINE);
		CHECK(accounts->ops->vouch(accounts, client, &account) == 0);
		close(client);
	}
	CHECK(ask_agent(accounts, "", &again) == 0);
	CHECK((again.pid == self.pid) == !root);
	CHECK(again.uid[0] == (root ? ENGINE : whom));
	CHECK(again.effective == 0);
	if (root) {
		/* One that is gone is replaced. */
		kill(self.pid, SIGKILL);
		while (ask_agent(accounts, OTHER_NAME, &again) || again.pid == self.pid)
			usleep(1000);
		CHECK(again.uid[0] == whom);
	}
	tw_accounts_monitor_free(accounts);
	return 7;
}

/* Programs run as whoever has proved to be somebody, with what they are given. */
static int trigger_engine(void *context, int socket)
{
	uid_t whom = geteuid() == 0 ? OTHER : geteuid();
	char *arguments[] = { (char *)"one two", NULL }, said[256] = "", wanted[256];
	struct tw_trigger_order order = { .event = "launch", .arguments = arguments };
	int client, door, status = -1;
	struct tw_accounts *accounts;
	struct tw_trigger_run run;
	struct tw_account account;
	size_t length = 0;
	ssize_t n;

	order.input = memfd_create("input", MFD_CLOEXEC);
	CHECK(write(order.input, "given", 5) == 5 && lseek(order.input, 0, SEEK_SET) == 0);
	CHECK(begin(context, socket, &accounts, &door) == 0);
	client = let_in(door, whom);
	order.user = whom == OTHER ? OTHER_NAME : "root";
	CHECK(accounts->ops->trigger(accounts, &order, &run) == -EACCES);
	CHECK(accounts->ops->vouch(accounts, client, &account) == 0);
	order.user = account.name;
	report->value = accounts->ops->trigger(accounts, &order, &run);
	CHECK(report->value == 0);
	while (length < sizeof(said) - 1 &&
	       (n = read(run.output, said + length, sizeof(said) - 1 - length)) > 0)
		length += (size_t)n;
	snprintf(wanted, sizeof(wanted), "%u\none two\ngiven\n", (unsigned)whom);
	CHECK(strcmp(said, wanted) == 0);
	CHECK(read(run.control, &status, sizeof(status)) == sizeof(status));
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9);
	order.event = "missing";
	CHECK(accounts->ops->trigger(accounts, &order, &run) == -ENOENT);
	order.event = "../launch";
	CHECK(accounts->ops->trigger(accounts, &order, &run) == -ENOENT);
	tw_accounts_monitor_free(accounts);
	return 0;
}

static void test_triggers(void **state)
{
	static const char script[] = "#!/bin/sh\nid -u\necho \"$1\"\ncat\necho\nexit 9\n";
	const struct place *place = *state;
	int fd = openat(place->folder, "launch", O_WRONLY | O_CREAT | O_CLOEXEC, 0700);

	assert_int_equal(write(fd, script, sizeof(script) - 1), sizeof(script) - 1);
	assert_int_equal(fchmod(fd, 0755), 0);
	close(fd);
	assert_int_equal(run_monitor(place, trigger_engine), 0);
}

static int resolving_engine(void *context, int socket)
{
	struct tw_address found[2];
	struct tw_accounts *accounts;
	unsigned count = 0;

	(void)context;
	CHECK(tw_accounts_monitor_new(socket, &accounts) == 0);
	report->value = accounts->ops->resolve(accounts, "127.0.0.1", 8886, found, 2, &count);
	CHECK(report->value == 0 && count == 1);
	CHECK(found[0].family == TW_FAMILY_IPV4 && found[0].port == 8886);
	CHECK(accounts->ops->resolve(accounts, "no.such.host.invalid", 1, found, 2, &count) < 0);
	tw_accounts_monitor_free(accounts);
	return 0;
}

static void test_names(void **state)
{
	assert_int_equal(run_monitor(*state, resolving_engine), 0);
}

/* In the next run it is granted still, and nobody else. */
static int later_engine(void *context, int socket)
{
	struct tw_accounts *accounts;
	struct tw_account account = { .uid = 1 };
	struct self self = { 0 };
	bool root = geteuid() == 0;

	(void)context;
	CHECK(tw_accounts_monitor_new(socket, &accounts) == 0);
	if (root) {
		CHECK(accounts->ops->find(accounts, OTHER_NAME, &account) == 0);
		CHECK(account.uid == OTHER && account.gid == OTHER);
		CHECK(ask_agent(accounts, OTHER_NAME, &self) == 0);
		CHECK(self.uid[1] == OTHER && self.gid[1] == OTHER);
	}
	CHECK(accounts->ops->find(accounts, "daemon", &account) == -EACCES);
	CHECK(ask_agent(accounts, "daemon", &self) == -EACCES);
	CHECK(ask_agent(accounts, "no-such-account", &self) == -EACCES);
	CHECK(accounts->ops->in_group(accounts, "root", "root"));
	CHECK(!accounts->ops->in_group(accounts, "root", "no-such-group"));
	CHECK(!accounts->ops->in_group(accounts, "no-such-account", "root"));
	tw_accounts_monitor_free(accounts);
	return 0;
}

static void test_accounts(void **state)
{
	const struct place *place = *state;
	struct stat st;
	int status;

	setenv("TW_TEST_SECRET", "1", 1);
	status = run_monitor(place, accounts_engine);
	unsetenv("TW_TEST_SECRET");
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
	assert_int_equal(report->ready, 1);
	assert_int_equal(fstatat(place->folder, TW_GRANTS_FILE, &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	status = run_monitor(place, later_engine);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	/* Nothing of it is left. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/*
 * An engine that was taken over shows the monitor its own end of a connection to a service of
 * root's. The kernel says "root" of it; the monitor must not.
 */
static int lying_engine(void *context, int socket_fd)
{
	const struct place *place = context;
	struct sockaddr_un service, door_name, old_name;
	struct tw_accounts *accounts;
	struct tw_account account = { .uid = 1 };
	int door, other, client;

	CHECK(begin(place, socket_fd, &accounts, &door) == 0);
	other = open_door(place, "service");
	name_socket(place, "service", &service);
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(client, (struct sockaddr *)&service, sizeof(service)) == 0);
	CHECK(accounts->ops->vouch(accounts, client, &account) == -EACCES);
	close(client);
	/* Let in by another door than its own. */
	client = let_in(other, 0);
	CHECK(accounts->ops->vouch(accounts, client, &account) == -EACCES);
	close(client);
	/* Under the door's own name. */
	name_socket(place, "door", &door_name);
	name_socket(place, "old", &old_name);
	CHECK(rename(door_name.sun_path, old_name.sun_path) == 0);
	client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(client, (struct sockaddr *)&door_name, sizeof(door_name)) == 0);
	CHECK(connect(client, (struct sockaddr *)&service, sizeof(service)) == 0);
	CHECK(accounts->ops->vouch(accounts, client, &account) == -EACCES);
	close(client);
	/* Another door, later. */
	CHECK(tw_accounts_monitor_ready(accounts, other) == 0);
	client = let_in(other, 0);
	CHECK(accounts->ops->vouch(accounts, client, &account) == -EACCES);
	close(client);
	CHECK(accounts->ops->find(accounts, "root", &account) == -EACCES);
	/* And the true one, which had another name meanwhile. */
	CHECK(rename(old_name.sun_path, door_name.sun_path) == 0);
	client = let_in(door, OTHER);
	CHECK(accounts->ops->vouch(accounts, client, &account) == 0 && account.uid == OTHER);
	tw_accounts_monitor_free(accounts);
	return 0;
}

static void test_lies(void **state)
{
	/* An engine of the monitor's own account could do all that by itself. */
	if (geteuid() != 0)
		skip();
	assert_int_equal(run_monitor(*state, lying_engine), 0);
}

/* The agent of root keeps what files need, and nothing else. */
static int root_engine(void *context, int socket)
{
	const uint64_t for_files = 0x1f; /* CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID */
	struct tw_accounts *accounts;
	struct tw_account account;
	struct self self = { 0 };
	int client, door;

	CHECK(begin(context, socket, &accounts, &door) == 0);
	client = let_in(door, 0);
	CHECK(accounts->ops->vouch(accounts, client, &account) == 0);
	CHECK(account.uid == 0 && account.superuser_allowed);
	CHECK(ask_agent(accounts, account.name, &self) == 0);
	report->value = (int64_t)self.effective;
	CHECK(self.uid[0] == 0 && (self.effective & ~for_files) == 0);
	CHECK((self.bounding & ~for_files) == 0);
	tw_accounts_monitor_free(accounts);
	return 0;
}

static int rootless_engine(void *context, int socket)
{
	struct tw_accounts *accounts;
	struct tw_account account = { .uid = 1 };
	struct self self = { 0 };
	int client, door;

	CHECK(begin(context, socket, &accounts, &door) == 0);
	client = let_in(door, 0);
	CHECK(accounts->ops->vouch(accounts, client, &account) == 0);
	CHECK(account.uid == 0 && account.superuser_allowed);
	CHECK(ask_agent(accounts, account.name, &self) == -EACCES);
	client = let_in(door, OTHER);
	CHECK(accounts->ops->vouch(accounts, client, &account) == 0);
	CHECK(ask_agent(accounts, OTHER_NAME, &self) == 0);
	tw_accounts_monitor_free(accounts);
	return 0;
}

static void test_root(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(run_monitor(*state, root_engine), 0);
	/* Not even what it was granted before. */
	no_root_files = true;
	assert_int_equal(run_monitor(*state, rootless_engine), 0);
	no_root_files = false;
}

/* Failed passwords: an unknown account and a known one, side by side. */

struct attempt {
	struct tw_accounts *accounts;
	const char *user;
	int r;
	tw_ns took;
};

static void *attempt(void *argument)
{
	struct attempt *this = argument;
	tw_ns begun = tw_clock_now();
	struct tw_account account;

	this->r = this->accounts->ops->check(this->accounts, this->user, "wrong", &account);
	this->took = tw_clock_now() - begun;
	return NULL;
}

static int password_engine(void *context, int socket)
{
	static const char *const users[] = { "root", "no-such-account", "" };
	struct attempt attempts[3];
	pthread_t threads[3];
	struct tw_accounts *accounts;
	struct tw_account account;
	struct self self;
	char long_password[TW_ACCOUNT_PASSWORD_MAX + 1];

	CHECK(begin_granted(context, socket, &accounts) == 0);
	for (unsigned i = 0; i < 3; i++) {
		attempts[i] = (struct attempt){ .accounts = accounts, .user = users[i] };
		CHECK(!pthread_create(&threads[i], NULL, attempt, &attempts[i]));
	}
	/* Others are not held up. */
	CHECK(ask_agent(accounts, granted_name, &self) == 0);
	for (unsigned i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		report->value = attempts[i].r;
		CHECK(attempts[i].r == -EACCES);
		CHECK(attempts[i].took >= TW_MONITOR_CHECK_NS);
	}
	CHECK(ask_agent(accounts, "root", &self) == -EACCES);
	memset(long_password, 'x', sizeof(long_password) - 1);
	long_password[sizeof(long_password) - 1] = '\0';
	CHECK(accounts->ops->check(accounts, "root", long_password, &account) == -EACCES);
	tw_accounts_monitor_free(accounts);
	return 0;
}

static void test_passwords(void **state)
{
	assert_int_equal(run_monitor(*state, password_engine), 0);
}

/* Many threads at a time, each getting what it asked for. */

static void *ask_much(void *argument)
{
	struct tw_accounts *accounts = argument;
	intptr_t wrong = 0;

	for (unsigned i = 0; i < 200; i++) {
		struct tw_account account;
		struct self self = { 0 };
		int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		int buffers = accounts->ops->buffers(accounts, udp, 300000 + i, 0);

		/* The engine of this test is privileged as the monitor is. */
		wrong += buffers != 0 && buffers != -EPERM;
		wrong += accounts->ops->buffers(accounts, 2, 1, 1) != -EINVAL;
		wrong += accounts->ops->find(accounts, "ungranted", &account) != -EACCES;
		wrong += ask_agent(accounts, granted_name, &self) != 0 || !self.pid;
		close(udp);
	}
	return (void *)wrong;
}

static int busy_engine(void *context, int socket)
{
	pthread_t threads[8];
	struct tw_accounts *accounts;

	CHECK(begin_granted(context, socket, &accounts) == 0);
	for (unsigned i = 0; i < 8; i++)
		CHECK(!pthread_create(&threads[i], NULL, ask_much, accounts));
	for (unsigned i = 0; i < 8; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		report->value = (intptr_t)wrong;
		CHECK(!wrong);
	}
	tw_accounts_monitor_free(accounts);
	return 0;
}

static void test_busy(void **state)
{
	assert_int_equal(run_monitor(*state, busy_engine), 0);
}

/* An engine that does not keep to the rules. */

static int garbage_engine(void *context, int socket)
{
	(void)context;
	tw_passing_send(socket, "\xff\xff\xff\xff\xff\xff", 6, -1);
	pause();
	return 0;
}

static int answering_engine(void *context, int socket)
{
	static const uint8_t result[] = { 11, 0, 0, 0, 1, 0, 0, 0, 0 };

	(void)context;
	tw_passing_send(socket, result, sizeof(result), -1);
	pause();
	return 0;
}

/* Asks and asks, and listens to no answer. */
static int deaf_engine(void *context, int socket)
{
	static const uint8_t question[] = { 5, 0, 0, 0, 1, 0, 1, 'x' };

	(void)context;
	for (;;)
		if (tw_passing_send(socket, question, sizeof(question), -1))
			pause();
	return 0;
}

static void test_rules(void **state)
{
	static int (*const engines[])(void *, int) = { garbage_engine, answering_engine,
						       deaf_engine };

	for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
		int status = run_monitor(*state, engines[i]);

		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGKILL);
	}
}

/* How it ends. */

static volatile sig_atomic_t stops;

static void on_stop(int number)
{
	(void)number;
	stops++;
}

/* Stops in order, but not at SIGTERM of its own. */
static int stopping_engine(void *context, int socket)
{
	struct tw_accounts *accounts;
	sigset_t none;

	(void)context;
	CHECK(tw_accounts_monitor_new(socket, &accounts) == 0);
	signal(TW_MONITOR_STOP, on_stop);
	raise(SIGTERM);
	raise(SIGINT);
	CHECK(!stops);
	kill(getppid(), SIGTERM);
	sigemptyset(&none);
	while (!stops)
		sigsuspend(&none);
	CHECK(stops == 1);
	tw_accounts_monitor_stopping(accounts);
	tw_accounts_monitor_free(accounts);
	return 3;
}

/* Has said its last word while an answer is on its way to it. */
static int leaving_engine(void *context, int socket)
{
	static const uint8_t question[] = { 3, 0, 0, 0, 1, 0, 0 }; /* FIND "" */

	(void)context;
	CHECK(!tw_passing_send(socket, question, sizeof(question), -1));
	close(socket);
	usleep(300000);
	return 3;
}

static int stubborn_engine(void *context, int socket)
{
	sigset_t none;

	(void)context;
	(void)socket;
	signal(TW_MONITOR_STOP, on_stop);
	kill(getppid(), SIGINT);
	sigemptyset(&none);
	while (!stops)
		sigsuspend(&none);
	kill(getppid(), SIGINT);
	pause();
	return 0;
}

static void test_stops(void **state)
{
	int status = run_monitor(*state, stopping_engine);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
	assert_int_equal(report->stopping, 1);
	status = run_monitor(*state, leaving_engine);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
	status = run_monitor(*state, stubborn_engine);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static int waiting_engine(void *context, int socket)
{
	struct tw_accounts *accounts;
	struct self self = { 0 };
	int client = -1;

	CHECK(begin_granted(context, socket, &accounts) == 0);
	/* A client that stays keeps the agent; that does not keep it alive either. */
	CHECK(accounts->ops->agent(accounts, granted_name, &client) == 0);
	CHECK(ask_agent(accounts, granted_name, &self) == 0);
	report->child = self.pid;
	report->engine = getpid();
	for (;;)
		pause();
}

static void assert_ends(pid_t pid)
{
	for (unsigned i = 0; i < 10000 && waitpid(pid, NULL, WNOHANG) != pid; i++)
		usleep(1000);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

/* Killed without a word: nobody goes on alone. */
static void kill_one(const struct place *place, bool the_monitor)
{
	pid_t monitor = fork();

	if (monitor == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run_monitor(place, waiting_engine);
		_exit(0);
	}
	for (unsigned i = 0; i < 10000 && !report->engine && !report->line; i++)
		usleep(1000);
	if (report->line)
		fail_msg("line %d", report->line);
	assert_int_equal(kill(the_monitor ? monitor : report->engine, SIGKILL), 0);
	assert_ends(monitor);
	if (!the_monitor)
		return;
	/* They are this process's now, which is what orphans are given to. */
	assert_ends(report->engine);
	assert_ends(report->child);
}

static void test_killed(void **state)
{
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	kill_one(*state, true);
	memset(report, 0, sizeof(*report));
	kill_one(*state, false);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_accounts, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_lies, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_triggers, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_names, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_root, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_passwords, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_busy, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_rules, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_stops, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_killed, place_make, place_free),
	};

	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (report == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
