#include "unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/netlink.h>

#include "../support/temp_dir.h"
#include "auth/confine.h"
#include "auth/confine_calls.h"
#include "auth/confine_landlock.h"
#include "auth/confine_seccomp.h"
#include "netio/sockaddr.h"

/* A process that is confined as an engine is, in a folder of its own beside one that is not. */
struct cell {
	char folder[TEMP_PATH_MAX], state[TEMP_PATH_MAX + 16], received[TEMP_PATH_MAX + 16],
		outside[TEMP_PATH_MAX + 16], secret[TEMP_PATH_MAX + 32];
	int state_fd, outside_fd; /* opened before */
	int lent;                 /* the secret, opened by somebody who may */
	int listener;
	pid_t bystander; /* another process of the same account */
	struct tw_confine_place places[2];
	struct tw_confine_options options;
};

static void put(const char *folder, const char *name, const char *text)
{
	char path[2 * TEMP_PATH_MAX];
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int set_up(void **state)
{
	struct cell *cell = calloc(1, sizeof *cell);
	char link[TEMP_PATH_MAX + 32];

	temp_dir_make(cell->folder);
	snprintf(cell->state, sizeof cell->state, "%s/state", cell->folder);
	snprintf(cell->received, sizeof cell->received, "%s/received", cell->folder);
	snprintf(cell->outside, sizeof cell->outside, "%s/outside", cell->folder);
	snprintf(cell->secret, sizeof cell->secret, "%s/secret", cell->outside);
	assert_int_equal(chmod(cell->folder, 0755), 0);
	assert_int_equal(mkdir(cell->state, 0755), 0);
	assert_int_equal(mkdir(cell->received, 0755), 0);
	assert_int_equal(mkdir(cell->outside, 0777), 0);
	put(cell->outside, "secret", "nobody's business");
	put(cell->state, "own", "mine");
	snprintf(link, sizeof link, "%s/link", cell->state);
	assert_int_equal(symlink("../outside/secret", link), 0);
	cell->state_fd = open(cell->state, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cell->outside_fd = open(cell->outside, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cell->lent = open(cell->secret, O_RDWR | O_CLOEXEC);
	assert_true(cell->lent >= 0);
	cell->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(cell->listener >= 0);
	cell->bystander = fork();
	if (cell->bystander == 0)
		for (;;)
			pause();
	cell->places[0] = (struct tw_confine_place){ cell->state, TW_PLACE_WRITE };
	cell->places[1] = (struct tw_confine_place){ cell->received, TW_PLACE_WRITE };
	cell->options = (struct tw_confine_options){
		.role = TW_CONFINE_ENGINE,
		.places = cell->places,
		.place_count = 2,
		.tcp_connect_all = true,
	};
	*state = cell;
	return 0;
}

static int tear_down(void **state)
{
	struct cell *cell = *state;

	kill(cell->bystander, SIGKILL);
	waitpid(cell->bystander, NULL, 0);
	close(cell->state_fd);
	close(cell->outside_fd);
	close(cell->lent);
	close(cell->listener);
	temp_dir_remove(cell->folder);
	free(cell);
	return 0;
}

enum { GOT_THROUGH = 10, DENIED, CANNOT_BEGIN };

static int stop_pipe[2], epoll_set;

/* The wait() status of a child that is confined and then does @deed. */
static int confined(const struct cell *cell, int (*deed)(const struct cell *cell))
{
	struct tw_confine_report report;
	int status = 0;
	pid_t child;

	fflush(NULL);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (tw_confine_rights(&cell->options, &report) || pipe(stop_pipe) ||
		    (epoll_set = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
		    tw_confine_calls(&cell->options, &report))
			_exit(CANNOT_BEGIN);
		_exit(deed(cell));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

/* The end of a deed: what a call returned. */
static int outcome(long result)
{
	return result < 0 ? DENIED : GOT_THROUGH;
}

#define ATTACK(name, expression) \
	static int name(const struct cell *cell) \
	{ \
		(void)cell; \
		return outcome((long)(expression)); \
	}

static char *const no_words[] = { NULL };

/* Other programs and processes. */
ATTACK(run_a_program, execve("/bin/true", no_words, no_words))
ATTACK(run_a_descriptor, syscall(SYS_execveat, cell->state_fd, "", no_words, no_words, 0x1000))
ATTACK(become_two, fork())
ATTACK(become_two_anew, syscall(SYS_clone3, NULL, 0))
ATTACK(become_two_sharing, syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0))
ATTACK(thread_in_a_name_space, syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0))
ATTACK(trace, ptrace(PTRACE_ATTACH, cell->bystander, NULL, NULL))
ATTACK(be_traced, ptrace(PTRACE_TRACEME, 0, NULL, NULL))
ATTACK(signal_another, kill(cell->bystander, SIGTERM))
ATTACK(signal_its_thread, syscall(SYS_tgkill, cell->bystander, cell->bystander, SIGTERM))
ATTACK(signal_by_queue, syscall(SYS_rt_sigqueueinfo, cell->bystander, SIGTERM, NULL))
ATTACK(hold_another, syscall(SYS_pidfd_open, cell->bystander, 0))
ATTACK(limit_another, syscall(SYS_prlimit64, cell->bystander, RLIMIT_NOFILE, NULL, NULL))
ATTACK(slow_another, setpriority(PRIO_PROCESS, (id_t)cell->bystander, 19))

static int read_another(const struct cell *cell)
{
	char here[8];
	struct iovec to = { here, sizeof here }, from = { (void *)(uintptr_t)stop_pipe, 8 };

	return outcome(process_vm_readv(cell->bystander, &to, 1, &from, 1, 0));
}

static int write_another(const struct cell *cell)
{
	char here[8] = { 0 };
	struct iovec from = { here, sizeof here }, to = { stop_pipe, 8 };

	return outcome(process_vm_writev(cell->bystander, &from, 1, &to, 1, 0));
}

static int read_its_memory(const struct cell *cell)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/mem", (int)cell->bystander);
	return outcome(open(path, O_RDONLY | O_CLOEXEC));
}

/* Code that was not there. */
static int run_memory(const struct cell *cell)
{
	(void)cell;
	return outcome(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
			       ? -1
			       : 0);
}

static int make_memory_run(const struct cell *cell)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)cell;
	return page == MAP_FAILED ? CANNOT_BEGIN : outcome(mprotect(page, 4096, PROT_EXEC));
}

static int run_a_file_in_memory(const struct cell *cell)
{
	int fd = memfd_create("program", MFD_CLOEXEC);

	(void)cell;
	if (fd < 0 || write(fd, "#!/bin/true\n", 12) != 12)
		return CANNOT_BEGIN;
	return outcome(syscall(SYS_execveat, fd, "", no_words, no_words, 0x1000));
}

static int map_a_program(const struct cell *cell)
{
	int fd = openat(cell->state_fd, "own", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return CANNOT_BEGIN;
	return outcome(
		mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
}

ATTACK(another_personality, personality(READ_IMPLIES_EXEC))

/* Rights. */
ATTACK(set_uid, setuid(0))
ATTACK(set_gid, setgid(0))
ATTACK(set_res_uid, setresuid(0, 0, 0))
ATTACK(set_groups, syscall(SYS_setgroups, 0, NULL))
ATTACK(set_fs_uid, syscall(SYS_setfsuid, 0))
ATTACK(take_privileges, prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0))
ATTACK(show_memory, prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
ATTACK(lift_the_filter, prctl(PR_SET_SECCOMP, 0, 0, 0, 0))

static int take_capabilities(const struct cell *cell)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct all[2];

	(void)cell;
	memset(all, 0xff, sizeof all);
	return outcome(syscall(SYS_capset, &header, all));
}

/* The system. */
ATTACK(mount_something, mount("none", "/tmp", "tmpfs", 0, NULL))
ATTACK(mount_anew, syscall(SYS_fsopen, "tmpfs", 0))
ATTACK(leave_name_spaces, unshare(CLONE_NEWUSER))
ATTACK(enter_name_space, setns(cell->state_fd, 0))
ATTACK(another_root, chroot("/"))
ATTACK(pivot, syscall(SYS_pivot_root, ".", "."))
ATTACK(load_bpf, syscall(SYS_bpf, 0, NULL, 0))
ATTACK(uring, syscall(SYS_io_uring_setup, 4, NULL))
ATTACK(watch_faults, syscall(SYS_userfaultfd, 0))
ATTACK(keys, syscall(SYS_keyctl, 0, 0, 0, 0, 0))
ATTACK(add_a_key, syscall(SYS_add_key, "user", "x", "y", 1, 0))
ATTACK(load_a_module, syscall(SYS_finit_module, cell->state_fd, "", 0))
ATTACK(boot_another, syscall(SYS_kexec_load, 0, 0, NULL, 0))
ATTACK(set_the_clock, syscall(SYS_clock_settime, CLOCK_REALTIME, NULL))
ATTACK(another_host_name, sethostname("x", 1))
ATTACK(open_by_handle, syscall(SYS_open_by_handle_at, cell->state_fd, NULL, 0))
ATTACK(type_for_the_user, ioctl(0, TIOCSTI, "x"))
ATTACK(own_a_terminal, ioctl(0, TIOCSCTTY, 1))

static int measure(const struct cell *cell)
{
	struct perf_event_attr attributes = { .size = sizeof attributes };

	(void)cell;
	return outcome(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

/* Sockets. */
ATTACK(raw_socket, socket(AF_INET, SOCK_RAW, IPPROTO_RAW))
ATTACK(ping_socket, socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP))
ATTACK(packet_socket, socket(AF_PACKET, SOCK_RAW, 0))
ATTACK(netlink_socket, socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE))
ATTACK(vsock_socket, socket(40, SOCK_STREAM, 0))
ATTACK(crypto_socket, socket(38, SOCK_SEQPACKET, 0))
ATTACK(unix_socket, socket(AF_UNIX, SOCK_STREAM, 0))
ATTACK(listen_anew, listen(cell->listener, 5))

static int filter_packets(const struct cell *cell)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)cell;
	return fd < 0 ? CANNOT_BEGIN : outcome(setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, "", 0));
}

static int signals_by_descriptor(const struct cell *cell)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? CANNOT_BEGIN : outcome(fcntl(fd, F_SETOWN, cell->bystander));
}

static int bind_tcp(const struct cell *cell)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)cell;
	return fd < 0 ? CANNOT_BEGIN : outcome(bind(fd, (struct sockaddr *)&name, sizeof name));
}

/* Files: by every way around. */
ATTACK(open_absolute, open(cell->secret, O_RDONLY | O_CLOEXEC))
ATTACK(open_above, openat(cell->state_fd, "../outside/secret", O_RDONLY | O_CLOEXEC))
ATTACK(open_by_link, openat(cell->state_fd, "link", O_RDONLY | O_CLOEXEC))
ATTACK(open_by_old_folder, openat(cell->outside_fd, "secret", O_RDONLY | O_CLOEXEC))
ATTACK(open_passwords, open("/etc/passwd", O_RDONLY | O_CLOEXEC))
ATTACK(open_root, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC))
ATTACK(make_outside, openat(cell->outside_fd, "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0600))
ATTACK(write_outside, openat(cell->outside_fd, "secret", O_WRONLY | O_CLOEXEC))
ATTACK(nameless_outside, openat(cell->outside_fd, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600))
ATTACK(folder_outside, mkdirat(cell->outside_fd, "folder", 0700))
ATTACK(remove_outside, unlinkat(cell->outside_fd, "secret", 0))
ATTACK(move_out, renameat2(cell->state_fd, "own", cell->outside_fd, "own", 0))
ATTACK(move_in, renameat2(cell->outside_fd, "secret", cell->state_fd, "secret", 0))
ATTACK(link_in, linkat(cell->outside_fd, "secret", cell->state_fd, "secret", 0))
ATTACK(cut_outside, truncate(cell->secret, 0))
ATTACK(device, mknodat(cell->state_fd, "device", S_IFCHR | 0600, 0x103))

static int open_by_proc(const struct cell *cell)
{
	char path[2 * TEMP_PATH_MAX];

	snprintf(path, sizeof path, "/proc/self/fd/%d/secret", cell->outside_fd);
	return outcome(open(path, O_RDONLY | O_CLOEXEC));
}

static int open_by_own_root(const struct cell *cell)
{
	char path[2 * TEMP_PATH_MAX];

	snprintf(path, sizeof path, "/proc/self/root%s", cell->secret);
	return outcome(open(path, O_RDONLY | O_CLOEXEC));
}

static int open_by_its_root(const struct cell *cell)
{
	char path[2 * TEMP_PATH_MAX];

	snprintf(path, sizeof path, "/proc/%d/root%s", (int)cell->bystander, cell->secret);
	return outcome(open(path, O_RDONLY | O_CLOEXEC));
}

static const struct {
	const char *name;
	int (*deed)(const struct cell *cell);
} attacks[] = {
#define A(deed) \
	{ \
#deed, deed \
	}
	A(run_a_program),
	A(run_a_descriptor),
	A(become_two),
	A(become_two_anew),
	A(become_two_sharing),
	A(thread_in_a_name_space),
	A(trace),
	A(be_traced),
	A(signal_another),
	A(signal_its_thread),
	A(signal_by_queue),
	A(hold_another),
	A(limit_another),
	A(slow_another),
	A(read_another),
	A(write_another),
	A(read_its_memory),
	A(run_memory),
	A(make_memory_run),
	A(run_a_file_in_memory),
	A(map_a_program),
	A(another_personality),
	A(set_uid),
	A(set_gid),
	A(set_res_uid),
	A(set_groups),
	A(set_fs_uid),
	A(take_privileges),
	A(show_memory),
	A(lift_the_filter),
	A(take_capabilities),
	A(mount_something),
	A(mount_anew),
	A(leave_name_spaces),
	A(enter_name_space),
	A(another_root),
	A(pivot),
	A(load_bpf),
	A(uring),
	A(watch_faults),
	A(keys),
	A(add_a_key),
	A(load_a_module),
	A(boot_another),
	A(set_the_clock),
	A(another_host_name),
	A(open_by_handle),
	A(type_for_the_user),
	A(own_a_terminal),
	A(measure),
	A(raw_socket),
	A(ping_socket),
	A(packet_socket),
	A(netlink_socket),
	A(vsock_socket),
	A(crypto_socket),
	A(unix_socket),
	A(listen_anew),
	A(filter_packets),
	A(signals_by_descriptor),
	A(bind_tcp),
	A(open_absolute),
	A(open_above),
	A(open_by_link),
	A(open_by_old_folder),
	A(open_passwords),
	A(open_root),
	A(make_outside),
	A(write_outside),
	A(nameless_outside),
	A(folder_outside),
	A(remove_outside),
	A(move_out),
	A(move_in),
	A(link_in),
	A(cut_outside),
	A(device),
	A(open_by_proc),
	A(open_by_own_root),
	A(open_by_its_root),
#undef A
};

/* Whether this kernel can all of it; a sanitizer's program at least what Landlock does. */
static bool whole(void)
{
	return tw_landlock_abi() >= 6 && (TW_SECCOMP_SANITIZED || tw_seccomp_available());
}

/* Where the attacks on files begin: those are Landlock's to deny. */
static size_t first_attack(void)
{
	size_t i = 0;

	while (TW_SECCOMP_SANITIZED && attacks[i].deed != open_absolute)
		i++;
	return i;
}

static void test_attacks(void **state)
{
	const struct cell *cell = *state;
	unsigned through = 0;

	if (!whole()) {
		print_message("skipped: no Landlock or no filter here\n");
		skip();
	}
	for (size_t i = first_attack(); i < ARRAY_SIZE(attacks); i++) {
		int status = confined(cell, attacks[i].deed);
		bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
		bool denied = WIFEXITED(status) && WEXITSTATUS(status) == DENIED;

		if (!killed && !denied) {
			print_error("%s: wait status %#x\n", attacks[i].name, (unsigned)status);
			through++;
		}
	}
	assert_int_equal(through, 0);
	assert_int_equal(access(cell->secret, F_OK), 0);
	assert_int_equal(kill(cell->bystander, 0), 0);
}

/* The same deeds, unconfined: enough of them succeed for the test above to mean something. */
static int free_deeds(const struct cell *cell)
{
	static int (*const deeds[])(const struct cell *cell) = {
		be_traced,     hold_another,    make_memory_run,  run_memory,
		open_absolute, open_above,      open_by_link,     open_by_old_folder,
		open_by_proc,  make_outside,    folder_outside,   unix_socket,
		bind_tcp,      read_its_memory, open_by_own_root, write_outside,
	};

	for (size_t i = 0; i < ARRAY_SIZE(deeds); i++)
		if (deeds[i](cell) != GOT_THROUGH)
			return (int)i + 100;
	return GOT_THROUGH;
}

static void test_attacks_would_succeed(void **state)
{
	const struct cell *cell = *state;
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(free_deeds(cell));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), GOT_THROUGH);
}

/* What an engine does all day. */

#define WORKS(condition) \
	do { \
		if (!(condition)) \
			return __LINE__ % 200 + 20; \
	} while (0)

static int files_work(const struct cell *cell)
{
	char path[2 * TEMP_PATH_MAX];
	int fd = openat(cell->state_fd, "part", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct timespec times[2] = { { 1, 0 }, { 2, 0 } };
	struct flock lock = { .l_type = F_WRLCK };
	struct stat st;

	WORKS(fd >= 0);
	WORKS(pwrite(fd, "bytes", 5, 0) == 5 && ftruncate(fd, 100) == 0);
	WORKS(fdatasync(fd) == 0 && fsync(fd) == 0 && futimens(fd, times) == 0);
	WORKS(fchmod(fd, 0644) == 0 && fstat(fd, &st) == 0 && st.st_size == 100);
	WORKS(fcntl(fd, F_SETLK, &lock) == 0);
	WORKS(mmap(NULL, 100, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
	WORKS(renameat2(cell->state_fd, "part", cell->state_fd, "whole", RENAME_NOREPLACE) == 0);
	WORKS(mkdirat(cell->state_fd, "folder", 0755) == 0);
	WORKS(renameat(cell->state_fd, "whole", cell->state_fd, "folder/whole") == 0);
	WORKS(unlinkat(cell->state_fd, "folder/whole", 0) == 0);
	WORKS(unlinkat(cell->state_fd, "folder", AT_REMOVEDIR) == 0);
	snprintf(path, sizeof path, "%s/absolute", cell->received);
	WORKS(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) >= 0 && unlink(path) == 0);
	return 0;
}

/* What somebody else has opened works: that is how file agents lend files. */
static int lent_files_work(const struct cell *cell)
{
	struct stat st;
	char text[8] = "";

	WORKS(fstat(cell->lent, &st) == 0 && st.st_size > 6);
	WORKS(pread(cell->lent, text, 6, 0) == 6 && memcmp(text, "nobody", 6) == 0);
	WORKS(pwrite(cell->lent, "N", 1, 0) == 1 && fdatasync(cell->lent) == 0);
	return 0;
}

static int network_works(const struct cell *cell)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
	socklen_t length = sizeof name;
	struct epoll_event event = { .events = EPOLLIN };
	struct sock_filter pass = BPF_STMT(BPF_RET | BPF_K, ~0U);
	const struct sock_fprog all = { 1, &pass };
	struct tw_address parsed;
	char text[TW_ADDRESS_TEXT], got[8];
	int set = epoll_set;

	(void)cell;
	WORKS(fd >= 0 && set >= 0);
	WORKS(bind(fd, (struct sockaddr *)&name, sizeof name) == 0);
	WORKS(getsockname(fd, (struct sockaddr *)&name, &length) == 0);
	WORKS(setsockopt(fd, IPPROTO_UDP, 104, &one, sizeof one) == 0);
	WORKS(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof all) == 0);
	WORKS(connect(fd, (struct sockaddr *)&name, length) == 0);
	WORKS(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) == 0);
	/* Addresses as text take libraries that look around. */
	WORKS(tw_address_parse_ip("192.0.2.1", &parsed) && tw_address_parse_ip("::1", &parsed));
	WORKS(tw_address_parse_ip("fe80::1%lo", &parsed) && !tw_address_parse_ip("x.y", &parsed));
	WORKS(tw_address_format(&parsed, text));
	(void)tw_local_addresses(&parsed, 1);
	WORKS(send(fd, "hello", 5, 0) == 5);
	WORKS(epoll_wait(set, &event, 1, 5000) == 1);
	WORKS(recv(fd, got, sizeof got, 0) == 5);
	WORKS(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 || errno == EAFNOSUPPORT);
	return 0;
}

/* In the heap of a thread, which grows by mprotect(). */
static int memory_works(const struct cell *cell)
{
	char *memory[64];

	(void)cell;
	for (size_t i = 0; i < ARRAY_SIZE(memory); i++) {
		memory[i] = malloc((i + 1) << 12);
		WORKS(memory[i]);
		memset(memory[i], 1, (i + 1) << 12);
		memory[i] = realloc(memory[i], (i + 1) << 15);
		WORKS(memory[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(memory); i++)
		free(memory[i]);
	return 0;
}

static void *work_in_thread(void *argument)
{
	const struct cell *cell = argument;
	char byte;
	int r;

	if (read(stop_pipe[0], &byte, 1) != 1)
		return (void *)(intptr_t)CANNOT_BEGIN;
	r = prctl(PR_SET_NAME, "worker") || usleep(1000) ? CANNOT_BEGIN : memory_works(cell);
	return (void *)(intptr_t)(r ? r : network_works(cell));
}

static void *some_thread(void *argument)
{
	return argument;
}

static int threads_work(const struct cell *cell)
{
	void *result = NULL;
	pthread_t thread;

	(void)cell;
	WORKS(pthread_create(&thread, NULL, some_thread, &result) == 0);
	WORKS(pthread_join(thread, &result) == 0 && result == &result);
	return 0;
}

/* The port that is named, and no other; all, where the system picks it. */
static int ports_work(const struct cell *cell)
{
	struct sockaddr_in name = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct tw_confine_options options = cell->options;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t length = sizeof name;
	struct tw_confine_report report;

	options.tcp_port_count = 1;
	WORKS(fd >= 0 && other >= 0);
	WORKS(bind(fd, (struct sockaddr *)&name, sizeof name) == 0);
	WORKS(getsockname(fd, (struct sockaddr *)&name, &length) == 0 && close(fd) == 0);
	WORKS(tw_confine_rights(&options, &report) == 0);
	WORKS(bind(other, (struct sockaddr *)&name, sizeof name) == 0 && close(other) == 0);
	options.tcp_ports[0] = ntohs(name.sin_port);
	WORKS(tw_confine_rights(&options, &report) == 0);
	other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	WORKS(bind(other, (struct sockaddr *)&name, sizeof name) == 0);
	return tw_landlock_abi() < 4 || bind_tcp(cell) == DENIED ? 0 : 1;
}

static void test_ports(void **state)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(ports_work(*state));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static int abort_works(const struct cell *cell)
{
	(void)cell;
	abort();
}

static void test_work(void **state)
{
	struct cell *cell = *state;
	int status;

	assert_int_equal(confined(cell, files_work), 0);
	assert_int_equal(confined(cell, lent_files_work), 0);
	assert_int_equal(confined(cell, network_works), 0);
	assert_int_equal(confined(cell, memory_works), 0);
	assert_int_equal(confined(cell, threads_work), 0);
	status = confined(cell, abort_works);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	cell->options.role = TW_CONFINE_AGENT;
	assert_int_equal(confined(cell, threads_work), 0);
	assert_int_equal(confined(cell, files_work), 0);
}

/* Threads that were there before the second step are held to it, and go on working. */

static void *fork_in_thread(void *argument)
{
	char byte;

	(void)argument;
	if (read(stop_pipe[0], &byte, 1) == 1)
		fork();
	return NULL;
}

static int in_older_thread(const struct cell *cell, void *(*deed)(void *))
{
	struct tw_confine_report report;
	void *result = NULL;
	int status = 0;
	pthread_t thread;
	pid_t child = fork();

	if (child == 0) {
		if (pipe(stop_pipe) || (epoll_set = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
		    tw_confine_rights(&cell->options, &report) ||
		    pthread_create(&thread, NULL, deed, (void *)(uintptr_t)cell) ||
		    tw_confine_calls(&cell->options, &report) || write(stop_pipe[1], "x", 1) != 1)
			_exit(CANNOT_BEGIN);
		pthread_join(thread, &result);
		_exit((int)(intptr_t)result);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void test_older_threads(void **state)
{
	struct cell *cell = *state;
	int status;

	assert_int_equal(in_older_thread(cell, work_in_thread), 0);
	if (!whole())
		skip();
	if (TW_SECCOMP_SANITIZED)
		return;
	status = in_older_thread(cell, fork_in_thread);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

/* What is left of rights. */
static int rights_left(const struct cell *cell)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct now[2] = { { 0 } };
	struct tw_confine_report report;
	struct rlimit core;
	bool root = geteuid() == 0;

	WORKS(tw_confine_rights(&cell->options, &report) == 0);
	WORKS(syscall(SYS_capget, &header, now) == 0);
	for (int i = 0; i < 2; i++)
		WORKS(!now[i].effective && !now[i].permitted && !now[i].inheritable);
	for (int i = 0; root && prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
		WORKS(prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 0);
	WORKS(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	WORKS(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
	WORKS(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
	return 0;
}

static void test_rights(void **state)
{
	struct cell *cell = *state;

	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(rights_left(cell));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* "off" leaves files and calls alone; a place that is not there is an error unless it may be. */
static int modes_work(const struct cell *cell)
{
	struct tw_confine_options options = cell->options;
	struct tw_confine_place gone[] = { { "/nowhere/at/all", TW_PLACE_READ },
					   { "/nowhere/at/all", TW_PLACE_OPTIONAL } };
	struct tw_confine_report report;

	options.mode = TW_CONFINE_OFF;
	WORKS(tw_confine_rights(&options, &report) == 0 && report.off);
	WORKS(tw_confine_calls(&options, &report) == 0 && !report.calls);
	WORKS(!tw_confine_incomplete(&report));
	WORKS(open_absolute(cell) == GOT_THROUGH);
	options.mode = TW_CONFINE_AUTO;
	options.places = gone;
	options.place_count = 1;
	WORKS(tw_confine_rights(&options, &report) == (tw_landlock_abi() ? -ENOENT : 0));
	options.places = gone + 1;
	WORKS(tw_confine_rights(&options, &report) == 0);
	WORKS(tw_landlock_abi() == report.landlock);
	return 0;
}

static void test_modes(void **state)
{
	struct tw_confine_report report = { .landlock = 7, .calls = 70 };
	char text[TW_CONFINE_TEXT];
	enum tw_confine_mode mode;
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(modes_work(*state));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	for (int i = TW_CONFINE_AUTO; i <= TW_CONFINE_OFF; i++) {
		assert_true(tw_confine_mode_parse(tw_confine_mode_name(i), &mode));
		assert_int_equal(mode, i);
	}
	assert_false(tw_confine_mode_parse("on", &mode));
	assert_string_equal(tw_confine_describe(&report, text),
			    "confined: no capabilities, Landlock (ABI 7), 70 system calls");
	assert_false(tw_confine_incomplete(&report));
	report.landlock = 0;
	assert_true(tw_confine_incomplete(&report));
	assert_non_null(strstr(tw_confine_describe(&report, text), "no Landlock"));
}

/* A kernel without Landlock, then one without filters: by a filter that says so. */
static bool take_away(const char *call, unsigned argument, uint64_t value)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int number = seccomp_syscall_resolve_name(call);
	const struct scmp_arg_cmp only = { argument, SCMP_CMP_EQ, value, 0 };
	bool done = filter &&
		    !seccomp_rule_add_array(filter, SCMP_ACT_ERRNO(ENOSYS), number, 1, &only) &&
		    !seccomp_load(filter);

	seccomp_release(filter);
	return done;
}

static int lesser_kernels(const struct cell *cell)
{
	struct tw_confine_options options = cell->options;
	struct tw_confine_report report;
	char text[TW_CONFINE_TEXT];

	/* PR_GET_SECCOMP is how its absence shows. */
	WORKS(take_away("prctl", 0, PR_GET_SECCOMP));
	WORKS(!tw_seccomp_available());
	options.everywhere = true;
	WORKS(tw_confine_rights(&options, &report) == 0);
	WORKS(tw_confine_calls(&options, &report) == 0 && !report.calls);
	WORKS(tw_confine_incomplete(&report));
	WORKS(strstr(tw_confine_describe(&report, text), "nothing filters"));
	options.mode = TW_CONFINE_REQUIRE;
	WORKS(tw_confine_calls(&options, &report) == -EOPNOTSUPP);

	WORKS(take_away("landlock_create_ruleset", 2, 1));
	WORKS(tw_landlock_abi() == 0);
	WORKS(tw_confine_rights(&options, &report) == -EOPNOTSUPP);
	options.mode = TW_CONFINE_AUTO;
	WORKS(tw_confine_rights(&options, &report) == 0 && !report.landlock);
	WORKS(open_absolute(cell) == GOT_THROUGH);
	return 0;
}

static void test_lesser_kernels(void **state)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(lesser_kernels(*state));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* For developers: what is not on the list is done, and logged. */
static int logged_work(const struct cell *cell)
{
	(void)cell;
	WORKS(getpgid(0) > 0);
	WORKS(become_two(cell) == GOT_THROUGH);
	return 0;
}

static void test_only_logged(void **state)
{
	struct cell *cell = *state;

	if (!TW_SECCOMP_SANITIZED && !tw_seccomp_available())
		skip();
	cell->options.mode = TW_CONFINE_LOG;
	assert_int_equal(confined(cell, logged_work), 0);
}

/* The list stays short, says why of each, and names no call twice. */
static void test_list(void **state)
{
	(void)state;
	for (int role = 0; role < TW_CONFINE_ROLES; role++) {
		unsigned count = tw_seccomp_count(role);

		print_message("role %d: %u system calls\n", role, count);
		assert_in_range(count, 30, TW_CONFINE_CALLS_MAX);
	}
	for (size_t i = 0; i < tw_call_count; i++) {
		assert_true(strlen(tw_calls[i].why) > 4);
		assert_true(tw_calls[i].roles);
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(tw_calls[k].name, tw_calls[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test_setup_teardown(test_rights, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_modes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_work, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_ports, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_attacks, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_attacks_would_succeed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lesser_kernels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_only_logged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_older_threads, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
