#include "store/store_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"
#include "content/digest.h"

/* The file: the holder's process id as a line of text, then the marks. */
#define PID_ROOM 32
#define MARK_SIZE (8 + 16 + TW_DIGEST_SIZE)
#define PATH_ROOM 4096

static void read_boot_id(uint8_t ret[16])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[64] = { 0 };
	struct tw_digest digest;
	ssize_t n = -1;

	memset(ret, 0, 16);
	if (fd < 0)
		return;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return;
	digest = tw_digest_of(text, (size_t)n);
	memcpy(ret, digest.bytes, 16);
}

static int read_pid(int fd)
{
	char text[PID_ROOM + 1] = { 0 };

	return pread(fd, text, PID_ROOM, 0) > 0 ? atoi(text) : 0;
}

static void write_pid(int fd)
{
	char text[PID_ROOM + 1] = { 0 };

	snprintf(text, sizeof(text), "%d\n", (int)getpid());
	/* It is there for people; a full disk is no reason not to start. */
	if (pwrite(fd, text, PID_ROOM, 0) < 0)
		return;
}

int store_lock_take(const char *path, struct store_lock *ret, int *ret_pid)
{
	char name[PATH_ROOM];
	int fd;

	if ((size_t)snprintf(name, sizeof(name), "%s/tradewind.lock", path) >= sizeof(name))
		return -ENAMETOOLONG;
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		int r = errno == EWOULDBLOCK ? TW_E_EXISTS : -errno;

		*ret_pid = read_pid(fd);
		close(fd);
		return r;
	}
	write_pid(fd);
	ret->fd = fd;
	read_boot_id(ret->boot_id);
	return 0;
}

void store_lock_release(struct store_lock *lock)
{
	close(lock->fd);
	lock->fd = -1;
}

void store_lock_mark(const struct store_lock *lock, enum store_mark mark, uint64_t serial)
{
	uint8_t bytes[MARK_SIZE];
	struct tw_digest digest;
	struct tw_writer writer;

	tw_writer_init(&writer, bytes, sizeof(bytes));
	tw_write_u64(&writer, serial);
	tw_write_bytes(&writer, lock->boot_id, sizeof(lock->boot_id));
	digest = tw_digest_of(bytes, tw_writer_length(&writer));
	tw_write_bytes(&writer, digest.bytes, sizeof(digest.bytes));
	if (pwrite(lock->fd, bytes, sizeof(bytes), PID_ROOM + (off_t)mark * MARK_SIZE) < 0)
		return;
}

/* False: there is none that can be trusted. */
static bool read_mark(const struct store_lock *lock, enum store_mark mark, uint64_t *ret_serial,
		      bool *ret_same_boot)
{
	uint8_t bytes[MARK_SIZE];
	struct tw_digest digest;
	struct tw_reader reader;

	if (pread(lock->fd, bytes, sizeof(bytes), PID_ROOM + (off_t)mark * MARK_SIZE) !=
	    sizeof(bytes))
		return false;
	digest = tw_digest_of(bytes, sizeof(bytes) - TW_DIGEST_SIZE);
	if (memcmp(digest.bytes, bytes + sizeof(bytes) - TW_DIGEST_SIZE, TW_DIGEST_SIZE) != 0)
		return false;
	tw_reader_init(&reader, bytes, sizeof(bytes));
	*ret_serial = tw_read_u64(&reader);
	*ret_same_boot = !memcmp(reader.at, lock->boot_id, sizeof(lock->boot_id));
	return true;
}

uint64_t store_lock_expected(const struct store_lock *lock)
{
	uint64_t committed, flushed, expected = 0;
	bool same_boot;

	if (read_mark(lock, STORE_MARK_FLUSHED, &flushed, &same_boot))
		expected = flushed;
	if (read_mark(lock, STORE_MARK_COMMITTED, &committed, &same_boot) && same_boot &&
	    committed > expected)
		expected = committed;
	return expected;
}

void store_lock_reset(const struct store_lock *lock)
{
	store_lock_mark(lock, STORE_MARK_COMMITTED, 0);
	store_lock_mark(lock, STORE_MARK_FLUSHED, 0);
}
