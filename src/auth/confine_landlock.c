#include "auth/confine_landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The kernel's interface, by its numbers: headers of the year the program is built in may be older
 * than the kernel it runs on. Names as in linux/landlock.h.
 */
#define SYS_CREATE_RULESET 444
#define SYS_ADD_RULE 445
#define SYS_RESTRICT_SELF 446

#define CREATE_RULESET_VERSION 1U
#define RULE_PATH_BENEATH 1
#define RULE_NET_PORT 2

#define FS_EXECUTE (1ULL << 0)
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_REMOVE_DIR (1ULL << 4)
#define FS_REMOVE_FILE (1ULL << 5)
#define FS_MAKE_CHAR (1ULL << 6)
#define FS_MAKE_DIR (1ULL << 7)
#define FS_MAKE_REG (1ULL << 8)
#define FS_MAKE_SOCK (1ULL << 9)
#define FS_MAKE_FIFO (1ULL << 10)
#define FS_MAKE_BLOCK (1ULL << 11)
#define FS_MAKE_SYM (1ULL << 12)
#define FS_REFER (1ULL << 13)
#define FS_TRUNCATE (1ULL << 14)  /* ABI 3 */
#define FS_IOCTL_DEV (1ULL << 15) /* ABI 5 */

#define NET_BIND_TCP (1ULL << 0) /* ABI 4 */
#define NET_CONNECT_TCP (1ULL << 1)

#define SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0) /* ABI 6 */
#define SCOPE_SIGNAL (1ULL << 1)

#define ABI_LEAST 2 /* the first one forbids each rename from one folder to another */
#define ABI_KNOWN 7

#define FS_FIRST (FS_REFER - 1)
#define FS_READ (FS_READ_FILE | FS_READ_DIR)
#define FS_CHANGE \
	(FS_READ | FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | \
	 FS_MAKE_SYM | FS_REFER | FS_TRUNCATE)
#define FS_OF_A_FILE (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

struct ruleset {
	uint64_t fs, net, scoped;
};

struct beneath {
	uint64_t allowed;
	int32_t parent;
} __attribute__((packed));

struct net_port {
	uint64_t allowed, port;
};

int tw_landlock_abi(void)
{
	long abi = syscall(SYS_CREATE_RULESET, NULL, 0, CREATE_RULESET_VERSION);

	if (abi < ABI_LEAST)
		return 0;
	return abi > ABI_KNOWN ? ABI_KNOWN : (int)abi;
}

static uint64_t handled_net(const struct tw_confine_options *options)
{
	uint64_t handled = options->tcp_connect_all ? 0 : NET_CONNECT_TCP;

	for (size_t i = 0; i < options->tcp_port_count; i++)
		if (!options->tcp_ports[i])
			return handled;
	return handled | NET_BIND_TCP;
}

/* All that this ABI can forbid; the rules then allow some of it. */
static struct ruleset everything(const struct tw_confine_options *options, int abi)
{
	struct ruleset all = { 0 };

	if (!options->everywhere) {
		all.fs = FS_FIRST | FS_REFER;
		all.fs |= abi >= 3 ? FS_TRUNCATE : 0;
		all.fs |= abi >= 5 ? FS_IOCTL_DEV : 0;
	}
	if (abi >= 4)
		all.net = handled_net(options);
	if (abi >= 6)
		all.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
	return all;
}

static int add_place(int fd, const struct tw_confine_place *place, uint64_t handled)
{
	struct beneath rule = { .allowed = FS_READ };
	struct stat st;
	int r = 0;

	if (!place->path || !place->path[0])
		return -EINVAL;
	rule.parent = open(place->path, O_PATH | O_CLOEXEC);
	if (rule.parent < 0)
		return errno == ENOENT && (place->may & TW_PLACE_OPTIONAL) ? 0 : -errno;
	if (place->may & TW_PLACE_WRITE)
		rule.allowed = FS_CHANGE;
	if (place->may & TW_PLACE_SOCKETS)
		rule.allowed |= FS_MAKE_SOCK;
	if (fstat(rule.parent, &st))
		r = -errno;
	else if (!S_ISDIR(st.st_mode))
		rule.allowed &= FS_OF_A_FILE;
	rule.allowed &= handled;
	if (!r && syscall(SYS_ADD_RULE, fd, RULE_PATH_BENEATH, &rule, 0))
		r = -errno;
	close(rule.parent);
	return r;
}

static int add_ports(int fd, const struct tw_confine_options *options, uint64_t handled)
{
	struct net_port rule = { .allowed = NET_CONNECT_TCP, .port = options->tcp_connect_port };

	if (options->tcp_connect_port && syscall(SYS_ADD_RULE, fd, RULE_NET_PORT, &rule, 0))
		return -errno;
	rule.allowed = NET_BIND_TCP;
	for (size_t i = 0; (handled & NET_BIND_TCP) && i < options->tcp_port_count; i++) {
		rule.port = options->tcp_ports[i];
		if (syscall(SYS_ADD_RULE, fd, RULE_NET_PORT, &rule, 0))
			return -errno;
	}
	return 0;
}

/* An old ABI refuses a structure with more in it than it knows, unless that is zero. */
static size_t ruleset_size(int abi)
{
	struct ruleset all;

	return abi >= 6 ? sizeof all : abi >= 4 ? sizeof all.fs + sizeof all.net : sizeof all.fs;
}

int tw_landlock_restrict(const struct tw_confine_options *options, int abi)
{
	const struct ruleset all = everything(options, abi);
	int fd, r = 0;

	if (!all.fs && !all.net && !all.scoped)
		return 0;
	fd = (int)syscall(SYS_CREATE_RULESET, &all, ruleset_size(abi), 0);
	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < options->place_count && !options->everywhere && !r; i++)
		r = add_place(fd, &options->places[i], all.fs);
	if (!r && all.net)
		r = add_ports(fd, options, all.net);
	if (!r && syscall(SYS_RESTRICT_SELF, fd, 0))
		r = -errno;
	close(fd);
	return r;
}
