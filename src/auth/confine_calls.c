#include "auth/confine_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define ENGINE TW_ROLE(TW_CONFINE_ENGINE)
#define AGENT TW_ROLE(TW_CONFINE_AGENT)
#define RESOLVER TW_ROLE(TW_CONFINE_RESOLVER)
#define RELAY TW_ROLE(TW_CONFINE_RELAY)
#define ALL (ENGINE | AGENT | RESOLVER | RELAY)
#define NET (ENGINE | RELAY)
#define STORAGE (ENGINE | AGENT)

const struct tw_call tw_calls[] = {
	/* Memory and the run of a thread. */
	{ "brk", ALL, "malloc()" },
	{ "munmap", ALL, "free(), and the stack of a thread that has ended" },
	{ "mremap", ALL, "realloc() of what is large" },
	{ "madvise", ALL, "free() gives pages back; a thread its stack" },
	{ "futex", ALL, "locks and conditions" },
	{ "exit", ALL, "a thread ends" },
	{ "exit_group", ALL, "the process ends" },
	{ "rt_sigaction", ALL, "the event loop lets its signals go when it stops; abort()" },
	{ "rt_sigprocmask", ALL, "making a thread, and abort()" },
	{ "rt_sigreturn", ALL, "back from a signal's handler" },
	{ "restart_syscall", ALL, "the kernel's own, after a stop" },
	{ "getpid", ALL, "abort(); SQLite asks who holds its locks" },
	{ "gettid", ALL, "abort(), and recursive locks" },
	{ "getrandom", ALL, "keys, ids, cookies" },
	{ "clock_gettime", ALL, "where the kernel's shared page cannot tell the time" },
	{ "clock_nanosleep", ALL, "SQLite and others wait" },
	{ "sysinfo", ALL, "qsort() asks how much memory there is" },
	{ "set_robust_list", STORAGE, "a thread that was made just before begins" },
	{ "rseq", STORAGE, "the same" },
	{ "sched_getaffinity", ALL, "malloc() asks how many processors there are" },

	/* Descriptors. */
	{ "read", ALL, "files, pipes, wake-ups" },
	{ "write", ALL, "files, pipes, wake-ups, the log" },
	{ "readv", ALL, "the control interface, in pieces" },
	{ "writev", ALL, "the control interface, in pieces" },
	{ "close", ALL, "of anything" },
	{ "lseek", ALL, "files" },
	{ "fstat", ALL, "what a descriptor is" },
	{ "fstatfs", ENGINE, "whether a file is in memory" },
	{ "newfstatat", ALL, "the same, by glibc's other way, and names below a folder" },
	{ "poll", ALL, "waiting for one descriptor" },
	{ "ppoll", ALL, "the same, to the nanosecond: the thread of a relay's connection" },

	/* Files: Landlock, or the account's rights, say which. */
	{ "openat", ALL, "below folders that are held" },
	{ "openat2", STORAGE, "the same, with no way out of the folder" },
	{ "pread64", STORAGE | RELAY | RESOLVER, "blocks of files, SQLite's pages" },
	{ "pwrite64", STORAGE, "blocks of files, SQLite's pages" },
	{ "pwritev", STORAGE, "blocks in pieces" },
	{ "ftruncate", STORAGE, "part files get their length; SQLite's log" },
	{ "fsync", STORAGE, "what has been promised is on the disk" },
	{ "fdatasync", STORAGE, "the same" },
	{ "syncfs", STORAGE, "the same, for many files at a time" },
	{ "fadvise64", STORAGE, "reading ahead, dropping what has been read" },
	{ "getdents64", STORAGE | RESOLVER, "listing folders" },
	{ "unlink", STORAGE, "SQLite's files; the socket at the end" },
	{ "unlinkat", STORAGE, "removing" },
	{ "renameat", STORAGE, "a part file gets its name" },
	{ "renameat2", STORAGE, "the same, unless the name is taken" },
	{ "linkat", STORAGE, "the same on file systems without renameat2" },
	{ "mkdirat", STORAGE, "folders" },
	{ "fchmod", STORAGE, "modes" },
	{ "utimensat", STORAGE, "times of files" },
	{ "access", STORAGE | RESOLVER, "SQLite looks for its files; name services" },
	{ "faccessat", STORAGE | RESOLVER, "the same" },
	{ "geteuid", ALL, "SQLite, when it makes a file" },

	/* Waiting. */
	{ "epoll_ctl", NET, "sockets come and go" },
	{ "epoll_wait", NET, "the loops" },
	{ "epoll_pwait", NET, "the same" },
	{ "epoll_pwait2", NET, "the loops, by the nanosecond" },
	{ "eventfd2", ENGINE, "wake-ups of a relay's thread" },
	{ "timerfd_settime", NET, "where there is no epoll_pwait2" },
	{ "inotify_init1", ENGINE, "watch folders" },
	{ "inotify_add_watch", AGENT, "watch folders" },

	/* Sockets: made only as the cases below say. */
	{ "bind", NET | RESOLVER, "UDP sockets; TCP as Landlock says" },
	{ "connect", NET | RESOLVER, "UDP sockets of destinations; the relay" },
	{ "accept4", NET, "the control interface; a relay's servers" },
	{ "getsockname", NET | RESOLVER, "which port it got" },
	{ "getpeername", RESOLVER, "who is there" },
	{ "getsockopt", NET | RESOLVER,
	  "errors, granted buffers, the account behind a Unix socket" },
	{ "shutdown", NET | AGENT, "the last word of a connection; no new clients" },
	{ "sendto", ALL, "datagrams, and bytes to sockets" },
	{ "sendmsg", ALL, "trains of datagrams; descriptors to other processes" },
	{ "sendmmsg", ENGINE | RESOLVER | RELAY, "many datagrams; two questions to a name server" },
	{ "recvfrom", ALL, "datagrams, and bytes from sockets" },
	{ "recvmsg", ALL, "datagrams; descriptors of other processes" },
	{ "recvmmsg", NET, "many datagrams" },

	/* Name services look around more than we do; Landlock says where. */
	{ "uname", RESOLVER, "the machine's name" },
	{ "setsockopt", RESOLVER, "name services set what they like" },
	{ "getuid", RESOLVER, "name services" },
	{ "statfs", RESOLVER, "name services" },
	{ "readlink", RESOLVER, "name services" },
	{ "gettimeofday", RESOLVER, "name services" },
};
const size_t tw_call_count = sizeof tw_calls / sizeof *tw_calls;

const struct tw_call_alternate tw_call_alternates[] = {
	{ "epoll_pwait", "epoll_wait" },
	{ "faccessat", "access" },
};
const size_t tw_call_alternate_count = sizeof tw_call_alternates / sizeof *tw_call_alternates;

/* An int argument: the register's upper half is anybody's. */
#define INT 0xffffffffULL
#define IS(argument, number) \
	{ \
		(argument), INT, (uint64_t)(uint32_t)(number) \
	}
#define HAS_NOT(argument, bits) \
	{ \
		(argument), (uint64_t)(bits), 0 \
	}
#define SOCKET_TYPE (INT & ~(uint64_t)(SOCK_CLOEXEC | SOCK_NONBLOCK))

#define ALLOW_1(name, roles, first) \
	{ \
		name, roles, 0, { first }, 1 \
	}
#define FCNTL(roles, command) ALLOW_1("fcntl", roles, IS(1, command))
#define PRCTL(roles, command) ALLOW_1("prctl", roles, IS(0, command))
#define IOCTL(roles, command) ALLOW_1("ioctl", roles, IS(1, command))
#define OPTION(roles, level, option) \
	{ \
		"setsockopt", roles, 0, { IS(1, level), IS(2, option) }, 2 \
	}
#define SOCKET(roles, family, type) \
	{ \
		"socket", roles, 0, { IS(0, family), { 1, SOCKET_TYPE, type }, IS(2, 0) }, 3 \
	}
#define NO_SOCKET(roles, family) \
	{ \
		"socket", roles, EAFNOSUPPORT, { IS(0, family) }, 1 \
	}

/* What pthread_create() asks for: a thread, no process, no name space. */
#define THREAD_FLAGS \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | \
	 CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

const struct tw_call_case tw_call_cases[] = {
	/* No memory that can be run. A name service's library is mapped from its file: that file
	 * lies where the resolver cannot write. */
	ALLOW_1("mmap", ALL, HAS_NOT(2, PROT_EXEC)),
	ALLOW_1("mmap", RESOLVER, HAS_NOT(3, MAP_ANONYMOUS)),
	ALLOW_1("mprotect", ALL, HAS_NOT(2, PROT_EXEC)),

	/* An engine has a thread for each relay that a destination names, an agent one for each
	 * client. clone3() hides its flags from a filter: glibc then takes clone(). */
	ALLOW_1("clone", STORAGE, IS(0, THREAD_FLAGS)),
	{ "clone3", STORAGE, ENOSYS, { { 0 } }, 0 },
	/* abort() only; no other process. */
	ALLOW_1("tgkill", ALL, IS(0, TW_CALL_OWN_PID)),
	PRCTL(ALL, PR_SET_NAME),
	PRCTL(ENGINE, PR_SET_TIMERSLACK),

	/* F_SETOWN and F_SETSIG would send signals to others. */
	FCNTL(ALL, F_GETFD),
	FCNTL(ALL, F_SETFD),
	FCNTL(ALL, F_GETFL),
	FCNTL(ALL, F_SETFL),
	FCNTL(ALL, F_DUPFD_CLOEXEC),
	/* A trigger's standard input. */
	ALLOW_1("memfd_create", ENGINE, IS(1, MFD_CLOEXEC)),
	FCNTL(STORAGE, F_GETLK),
	FCNTL(STORAGE, F_SETLK),
	FCNTL(STORAGE, F_SETLKW),
	IOCTL(ALL, FIONREAD),
	/* The number of a network interface named in an address, as in fe80::1%eth0. */
	IOCTL(NET | RESOLVER, SIOCGIFINDEX),
	IOCTL(NET | RESOLVER, SIOCGIFNAME),

	/* Neither raw nor packet sockets, and no protocol but the two. */
	SOCKET(NET | RESOLVER, AF_INET, SOCK_DGRAM),
	SOCKET(NET | RESOLVER, AF_INET6, SOCK_DGRAM),
	SOCKET(NET | RESOLVER, AF_INET, SOCK_STREAM),
	SOCKET(NET | RESOLVER, AF_INET6, SOCK_STREAM),
	/* Unix sockets are accepted or inherited. Libraries that try go on without. */
	NO_SOCKET(ENGINE | AGENT | RELAY, AF_UNIX),
	NO_SOCKET(ENGINE | AGENT | RELAY, AF_NETLINK),
	NO_SOCKET(AGENT, AF_INET),
	NO_SOCKET(AGENT, AF_INET6),
	/* Name services on this machine are asked over Unix sockets; addresses of this machine
	 * decide which answers come first. */
	SOCKET(RESOLVER, AF_UNIX, SOCK_STREAM),
	SOCKET(RESOLVER, AF_UNIX, SOCK_DGRAM),
	SOCKET(RESOLVER, AF_NETLINK, SOCK_RAW),

	/* Not SO_ATTACH_BPF, TCP_REPAIR, TCP_ULP and the like. */
	OPTION(NET, SOL_SOCKET, SO_RCVBUF),
	OPTION(NET, SOL_SOCKET, SO_SNDBUF),
	OPTION(NET, SOL_SOCKET, SO_RCVBUFFORCE),
	OPTION(NET, SOL_SOCKET, SO_SNDBUFFORCE),
	OPTION(NET, SOL_SOCKET, SO_REUSEADDR),
	OPTION(NET, IPPROTO_IP, IP_PKTINFO),
	OPTION(NET, IPPROTO_IP, IP_MTU_DISCOVER),
	OPTION(NET, IPPROTO_IPV6, IPV6_V6ONLY),
	OPTION(NET, IPPROTO_IPV6, IPV6_RECVPKTINFO),
	OPTION(NET, IPPROTO_IPV6, IPV6_MTU_DISCOVER),
	OPTION(NET, IPPROTO_UDP, UDP_SEGMENT),
	OPTION(NET, IPPROTO_UDP, UDP_GRO),
	OPTION(NET, IPPROTO_TCP, TCP_NODELAY),
	OPTION(NET, IPPROTO_TCP, TCP_NOTSENT_LOWAT),
	/* The valve against floods of INITs (netio/valve.h), turned while they come. */
	OPTION(NET, SOL_SOCKET, SO_ATTACH_FILTER),
};
const size_t tw_call_case_count = sizeof tw_call_cases / sizeof *tw_call_cases;
