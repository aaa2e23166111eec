#include "content/fs_fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"

#define NS_PER_SECOND INT64_C(1000000000)
#define PIECES_MAX 128

static int64_t time_ns(const struct timespec *time)
{
	/* Years beyond 2262 and before 1678 do not fit and are not worth an error. */
	if (time->tv_sec > INT64_MAX / NS_PER_SECOND - 1)
		return INT64_MAX;
	if (time->tv_sec < INT64_MIN / NS_PER_SECOND + 1)
		return INT64_MIN;
	return time->tv_sec * NS_PER_SECOND + time->tv_nsec;
}

static struct timespec time_spec(int64_t ns)
{
	struct timespec time = { .tv_sec = ns / NS_PER_SECOND, .tv_nsec = ns % NS_PER_SECOND };

	if (time.tv_nsec < 0) {
		time.tv_nsec += NS_PER_SECOND;
		time.tv_sec--;
	}
	return time;
}

void tw_fd_stat(const struct stat *st, struct tw_file_stat *ret)
{
	*ret = (struct tw_file_stat){
		.kind = S_ISREG(st->st_mode)   ? TW_KIND_FILE
			: S_ISDIR(st->st_mode) ? TW_KIND_DIRECTORY
			: S_ISLNK(st->st_mode) ? TW_KIND_SYMLINK
					       : TW_KIND_OTHER,
		.size = (uint64_t)st->st_size,
		.allocated = (uint64_t)st->st_blocks * 512,
		.mode = st->st_mode & 0777,
		.mtime_ns = time_ns(&st->st_mtim),
		.ctime_ns = time_ns(&st->st_ctim),
		.device = st->st_dev,
		.inode = st->st_ino,
	};
}

int tw_fd_open_flags(unsigned flags)
{
	/* Opening must not wait for a pipe's other end, nor become a terminal. */
	int r = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	if (flags & TW_OPEN_WRITE)
		r |= flags & TW_OPEN_READ ? O_RDWR : O_WRONLY;
	if (flags & TW_OPEN_CREATE)
		r |= O_CREAT;
	if (flags & TW_OPEN_EXCLUSIVE)
		r |= O_EXCL;
	return r;
}

/*
 * A new file is certainly a plain one; anything else may be a folder or a device, and only then be
 * cut.
 */
int tw_fd_check_opened(int fd, unsigned flags)
{
	const unsigned fresh = TW_OPEN_CREATE | TW_OPEN_EXCLUSIVE;
	struct stat st;

	if ((flags & fresh) == fresh)
		return 0;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (flags & TW_OPEN_TRUNCATE && st.st_size && ftruncate(fd, 0))
		return -errno;
	return 0;
}

int tw_fd_file(int fd, void *context, struct tw_file **ret)
{
	struct tw_file *file = malloc(sizeof(*file));

	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	*file = (struct tw_file){ .fd = fd, .context = context };
	*ret = file;
	return 0;
}

void tw_fd_close(struct tw_file *file)
{
	close(file->fd);
	free(file);
}

int64_t tw_fd_read(struct tw_file *file, void *bytes, size_t length, uint64_t offset)
{
	size_t done = 0;

	while (done < length) {
		ssize_t n = pread(file->fd, (uint8_t *)bytes + done, length - done,
				  (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}

/* The rest of a short write, piece by piece. */
static int write_rest(int fd, const struct iovec *piece, size_t skip, uint64_t offset)
{
	while (skip < piece->iov_len) {
		ssize_t n = pwrite(fd, (uint8_t *)piece->iov_base + skip, piece->iov_len - skip,
				   (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		skip += (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int write_group(int fd, const struct iovec *pieces, int count, uint64_t offset)
{
	size_t skip;
	ssize_t n;

	do
		n = count == 1 ? pwrite(fd, pieces->iov_base, pieces->iov_len, (off_t)offset)
			       : pwritev(fd, pieces, count, (off_t)offset);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	skip = (size_t)n;
	for (int i = 0; i < count; i++) {
		if (skip < pieces[i].iov_len) {
			int r = write_rest(fd, &pieces[i], skip, offset + skip);

			if (r)
				return r;
			skip = 0;
		} else {
			skip -= pieces[i].iov_len;
		}
		offset += pieces[i].iov_len;
	}
	return 0;
}

int tw_fd_write(struct tw_file *file, const struct iovec *pieces, int count, uint64_t offset)
{
	while (count > 0) {
		int n = count < PIECES_MAX ? count : PIECES_MAX;
		int r = write_group(file->fd, pieces, n, offset);

		if (r)
			return r;
		for (int i = 0; i < n; i++)
			offset += pieces[i].iov_len;
		pieces += n;
		count -= n;
	}
	return 0;
}

int tw_fd_resize(struct tw_file *file, uint64_t size)
{
	if (size > INT64_MAX)
		return -EFBIG;
	return ftruncate(file->fd, (off_t)size) ? -errno : 0;
}

int tw_fd_stat_file(struct tw_file *file, struct tw_file_stat *ret)
{
	struct stat st;

	if (fstat(file->fd, &st))
		return -errno;
	tw_fd_stat(&st, ret);
	return 0;
}

int tw_fd_sync(struct tw_file *file)
{
	/* Not fdatasync: mode and time must be there too before the file takes its name. */
	return fsync(file->fd) ? -errno : 0;
}

int tw_fd_set_times(int fd, uint32_t mode, int64_t mtime_ns)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, time_spec(mtime_ns) };

	if (fchmod(fd, mode & 0777) || futimens(fd, times))
		return -errno;
	return 0;
}

int tw_fd_set_meta(struct tw_file *file, uint32_t mode, int64_t mtime_ns)
{
	return tw_fd_set_times(file->fd, mode, mtime_ns);
}

bool tw_fd_in_memory(struct tw_file *file)
{
	struct statfs st;

	if (!file->memory_known) {
		file->memory = !fstatfs(file->fd, &st) &&
			       (st.f_type == TMPFS_MAGIC || st.f_type == RAMFS_MAGIC);
		file->memory_known = true;
	}
	return file->memory;
}

int tw_fd_next_data(struct tw_file *file, uint64_t offset, uint64_t *ret_start, uint64_t *ret_end)
{
	off_t start, end;

	if (offset > INT64_MAX)
		return TW_E_END;
	start = lseek(file->fd, (off_t)offset, SEEK_DATA);
	if (start < 0)
		return errno == ENXIO ? TW_E_END : -errno;
	end = lseek(file->fd, start, SEEK_HOLE);
	if (end < 0)
		return -errno;
	*ret_start = (uint64_t)start;
	*ret_end = (uint64_t)end;
	return 0;
}

struct names {
	char **at;
	size_t count, room;
};

static int add_name(struct names *names, const char *name)
{
	if (names->count == names->room) {
		size_t room = names->room ? names->room * 2 : 64;
		char **at = realloc(names->at, room * sizeof(*at));

		if (!at)
			return -ENOMEM;
		names->at = at;
		names->room = room;
	}
	names->at[names->count] = strdup(name);
	if (!names->at[names->count])
		return -ENOMEM;
	names->count++;
	return 0;
}

static int read_names(DIR *directory, struct names *names)
{
	for (;;) {
		const struct dirent *entry;
		int r;

		errno = 0;
		entry = readdir(directory);
		if (!entry)
			return -errno;
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		r = add_name(names, entry->d_name);
		if (r)
			return r;
	}
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int tw_fd_list(int fd, int (*each)(void *context, const char *name), void *context)
{
	struct names names = { 0 };
	DIR *directory = fdopendir(fd);
	int r;

	if (!directory) {
		r = -errno;
		close(fd);
		return r;
	}
	r = read_names(directory, &names);
	closedir(directory);
	if (names.count)
		qsort(names.at, names.count, sizeof(*names.at), compare_names);
	for (size_t i = 0; i < names.count; i++) {
		if (!r)
			r = each(context, names.at[i]);
		free(names.at[i]);
	}
	free(names.at);
	return r;
}

int tw_fd_listen(int fd, int inotify, uint32_t mask)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return inotify_add_watch(inotify, path, mask | IN_ONLYDIR) < 0 ? -errno : 0;
}

/* Storage that does not know RENAME_NOREPLACE: a second name fails when it is taken. */
static int rename_with_care(int from_folder, const char *from, int to_folder, const char *to)
{
	struct stat st;

	if (fstatat(from_folder, from, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (!S_ISDIR(st.st_mode)) {
		if (linkat(from_folder, from, to_folder, to, 0))
			return -errno;
		return unlinkat(from_folder, from, 0) ? -errno : 0;
	}
	/* Whoever makes one this instant makes an empty folder, or it fails. */
	if (!fstatat(to_folder, to, &st, AT_SYMLINK_NOFOLLOW))
		return -EEXIST;
	return renameat(from_folder, from, to_folder, to) ? -errno : 0;
}

int tw_fd_rename(int from_folder, const char *from, int to_folder, const char *to, bool replace)
{
	if (replace)
		return renameat(from_folder, from, to_folder, to) ? -errno : 0;
	if (!renameat2(from_folder, from, to_folder, to, RENAME_NOREPLACE))
		return 0;
	if (errno == EINVAL || errno == ENOSYS)
		return rename_with_care(from_folder, from, to_folder, to);
	return -errno;
}

static bool read_boot_id(uint8_t ret[16])
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	size_t digits = 0;
	int c;

	if (!file)
		return false;
	memset(ret, 0, 16);
	while (digits < 32 && (c = fgetc(file)) != EOF) {
		int value = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
						   : -1;

		if (value < 0)
			continue;
		ret[digits / 2] = (uint8_t)(ret[digits / 2] << 4 | value);
		digits++;
	}
	fclose(file);
	return digits == 32;
}

void tw_fd_boot_id(uint8_t ret[16])
{
	if (read_boot_id(ret))
		return;
	while (getrandom(ret, 16, 0) != 16)
		;
}
