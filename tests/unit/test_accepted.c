/* test_accepted.c - by which door a connection came in, with CAP_NET_ADMIN and without. */
#include "unit.h"

#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/accepted.h"

struct place {
	char path[64];
};

static int place_make(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	snprintf(place->path, sizeof(place->path), "/tmp/test_accepted-XXXXXX");
	assert_non_null(mkdtemp(place->path));
	assert_int_equal(chmod(place->path, 0755), 0);
	*state = place;
	return 0;
}

static void name_socket(const struct place *place, const char *name, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/%s", place->path, name);
}

static int place_free(void **state)
{
	static const char *const names[] = { "door", "service", "moved" };
	struct place *place = *state;
	struct sockaddr_un address;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		name_socket(place, names[i], &address);
		unlink(address.sun_path);
	}
	assert_int_equal(rmdir(place->path), 0);
	free(place);
	return 0;
}

static int listen_at(const struct place *place, const char *name)
{
	struct sockaddr_un address;
	int door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	name_socket(place, name, &address);
	assert_int_equal(bind(door, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(door, 8), 0);
	return door;
}

/* Both ends. @own: the name that the client is bound to, NULL: none. */
static void connect_to(const struct place *place, const char *name, const char *own, int door,
		       int ret[2])
{
	struct sockaddr_un address;

	ret[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (own) {
		name_socket(place, own, &address);
		assert_int_equal(bind(ret[0], (struct sockaddr *)&address, sizeof(address)), 0);
	}
	name_socket(place, name, &address);
	assert_int_equal(connect(ret[0], (struct sockaddr *)&address, sizeof(address)), 0);
	ret[1] = accept4(door, NULL, NULL, SOCK_CLOEXEC);
	assert_true(ret[1] >= 0);
}

struct sockets {
	int door, service, ends[2], others[2], impostor[2], pair[2];
};

/* The number of the first that is wrong; 0: none. */
static int judge(const struct sockets *sockets)
{
	const struct {
		int socket, listener, wanted;
	} cases[] = {
		{ sockets->ends[1], sockets->door, 0 },
		{ sockets->others[1], sockets->service, 0 },
		{ sockets->ends[0], sockets->door, -EACCES },
		{ sockets->ends[1], sockets->service, -EACCES },
		{ sockets->others[0], sockets->door, -EACCES },
		{ sockets->others[1], sockets->door, -EACCES },
		{ sockets->impostor[0], sockets->door, -EACCES },
		{ sockets->pair[0], sockets->door, -EACCES },
		{ sockets->ends[1], sockets->ends[1], -EACCES },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		if (tw_accepted_from(cases[i].socket, cases[i].listener) != cases[i].wanted)
			return (int)i + 1;
	/* What is no Unix socket is none of them, for whatever reason. */
	return tw_accepted_from(0, sockets->door) < 0 ? 0 : 100;
}

static void open_all(const struct place *place, struct sockets *ret)
{
	struct sockaddr_un door, moved;

	ret->door = listen_at(place, "door");
	ret->service = listen_at(place, "service");
	connect_to(place, "door", NULL, ret->door, ret->ends);
	connect_to(place, "service", NULL, ret->service, ret->others);
	/* Bound to the very name of the door, once that is out of the way. */
	name_socket(place, "door", &door);
	name_socket(place, "moved", &moved);
	assert_int_equal(rename(door.sun_path, moved.sun_path), 0);
	connect_to(place, "service", "door", ret->service, ret->impostor);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ret->pair), 0);
}

static int in_child(const struct sockets *sockets, bool as_nobody)
{
	pid_t child = fork();
	int status = -1;

	if (child == 0) {
		if (as_nobody && geteuid() == 0 && setresuid(65534, 65534, 65534))
			_exit(99);
		_exit(judge(sockets));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void close_all(const struct sockets *sockets)
{
	const int *const pairs[] = { sockets->ends, sockets->others, sockets->impostor,
				     sockets->pair };

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		close(pairs[i][0]);
		close(pairs[i][1]);
	}
	close(sockets->door);
	close(sockets->service);
}

static void test_doors(void **state)
{
	struct sockets sockets;

	open_all(*state, &sockets);
	assert_int_equal(in_child(&sockets, false), 0);
	assert_int_equal(in_child(&sockets, true), 0);
	close_all(&sockets);
}

/* One who comes from another network namespace has come in by the door all the same. */
static void test_namespaces(void **state)
{
	const struct place *place = *state;
	int door = listen_at(place, "door"), accepted, status = -1;
	struct sockaddr_un address;
	pid_t child;

	if (geteuid() != 0) {
		close(door);
		skip();
	}
	name_socket(place, "door", &address);
	child = fork();
	if (child == 0) {
		int client;

		if (unshare(CLONE_NEWNET))
			_exit(1);
		client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		_exit(connect(client, (struct sockaddr *)&address, sizeof(address)) ? 2 : 0);
	}
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	accepted = accept4(door, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(tw_accepted_from(accepted, door), 0);
	close(accepted);
	close(door);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_doors, place_make, place_free),
		cmocka_unit_test_setup_teardown(test_namespaces, place_make, place_free),
	};

	return cmocka_run_group_tests_name("accepted", tests, NULL, NULL);
}
