#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/fs.h>

#include "base/error.h"
#include "content/fs.h"
#include "content/fs_posix_path.h"

#define NS_PER_SECOND INT64_C(1000000000)
#define PIECES_MAX 128

struct tw_file {
	int fd;
};

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

static void convert_stat(const struct stat *st, struct tw_file_stat *ret)
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

/*
 * Opening must not wait for a pipe's other end, nor become a terminal, nor pass through a link a
 * stranger planted.
 */
static int open_flags(const struct tw_fs_posix *fs, unsigned flags)
{
	int r = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

	if (flags & TW_OPEN_WRITE)
		r |= flags & TW_OPEN_READ ? O_RDWR : O_WRONLY;
	if (flags & TW_OPEN_CREATE)
		r |= O_CREAT;
	if (flags & TW_OPEN_EXCLUSIVE)
		r |= O_EXCL;
	if (fs->beneath)
		r |= O_NOFOLLOW;
	return r;
}

/*
 * A new file is certainly a plain one; anything else may be a folder or a device, and only then be
 * cut.
 */
static int check_opened(int fd, unsigned flags)
{
	struct stat st;

	if (flags & TW_OPEN_EXCLUSIVE)
		return 0;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	if (flags & TW_OPEN_TRUNCATE && st.st_size && ftruncate(fd, 0))
		return -errno;
	return 0;
}

static int posix_open(void *context, const char *path, unsigned flags, struct tw_file **ret)
{
	struct tw_fs_posix *fs = context;
	struct tw_fs_place place;
	struct tw_file *file;
	int fd, r;

	r = tw_fs_posix_locate(fs, path, &place);
	if (r)
		return r;
	fd = openat(place.folder, place.name, open_flags(fs, flags), 0600);
	r = fd < 0 ? tw_fs_posix_error(fs, errno) : check_opened(fd, flags);
	tw_fs_posix_leave(fs, &place);
	if (fd < 0)
		return r;
	file = r ? NULL : malloc(sizeof(*file));
	if (!file) {
		close(fd);
		return r ? r : -ENOMEM;
	}
	file->fd = fd;
	*ret = file;
	return 0;
}

static void posix_close(struct tw_file *file)
{
	close(file->fd);
	free(file);
}

static int64_t posix_read(struct tw_file *file, void *bytes, size_t length, uint64_t offset)
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

static int posix_write(struct tw_file *file, const struct iovec *pieces, int count, uint64_t offset)
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

static int posix_resize(struct tw_file *file, uint64_t size)
{
	if (size > INT64_MAX)
		return -EFBIG;
	return ftruncate(file->fd, (off_t)size) ? -errno : 0;
}

static int posix_stat_file(struct tw_file *file, struct tw_file_stat *ret)
{
	struct stat st;

	if (fstat(file->fd, &st))
		return -errno;
	convert_stat(&st, ret);
	return 0;
}

static int posix_sync(struct tw_file *file)
{
	/* Not fdatasync: mode and time must be there too before the file takes its name. */
	return fsync(file->fd) ? -errno : 0;
}

static int set_meta(int fd, uint32_t mode, int64_t mtime_ns)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, time_spec(mtime_ns) };

	if (fchmod(fd, mode & 0777) || futimens(fd, times))
		return -errno;
	return 0;
}

static int posix_set_meta(struct tw_file *file, uint32_t mode, int64_t mtime_ns)
{
	return set_meta(file->fd, mode, mtime_ns);
}

static int posix_next_data(struct tw_file *file, uint64_t offset, uint64_t *ret_start,
			   uint64_t *ret_end)
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

static int posix_stat(void *context, const char *path, bool follow, struct tw_file_stat *ret)
{
	struct tw_fs_posix *fs = context;
	struct tw_fs_place place;
	struct stat st;
	int r;

	r = tw_fs_posix_locate(fs, path, &place);
	if (r)
		return r;
	if (fstatat(place.folder, place.name, &st,
		    follow && !fs->beneath ? 0 : AT_SYMLINK_NOFOLLOW))
		r = tw_fs_posix_error(fs, errno);
	else
		convert_stat(&st, ret);
	tw_fs_posix_leave(fs, &place);
	return r;
}

static int posix_mkdir(void *context, const char *path, uint32_t mode)
{
	struct tw_fs_posix *fs = context;
	struct tw_fs_place place;
	int r;

	r = tw_fs_posix_locate(fs, path, &place);
	if (r)
		return r;
	if (mkdirat(place.folder, place.name, mode & 0777))
		r = tw_fs_posix_error(fs, errno);
	tw_fs_posix_leave(fs, &place);
	return r;
}

/*
 * For file systems that cannot refuse to replace: a second name is as atomic, and fails when it is
 * taken.
 */
static int rename_by_link(const struct tw_fs_place *from, const struct tw_fs_place *to)
{
	if (linkat(from->folder, from->name, to->folder, to->name, 0))
		return -errno;
	return unlinkat(from->folder, from->name, 0) ? -errno : 0;
}

static int rename_place(const struct tw_fs_place *from, const struct tw_fs_place *to, bool replace)
{
	if (replace)
		return renameat(from->folder, from->name, to->folder, to->name) ? -errno : 0;
	if (!syscall(SYS_renameat2, from->folder, from->name, to->folder, to->name,
		     RENAME_NOREPLACE))
		return 0;
	if (errno == EINVAL || errno == ENOSYS)
		return rename_by_link(from, to);
	return -errno;
}

static int posix_rename(void *context, const char *from, const char *to, bool replace)
{
	struct tw_fs_posix *fs = context;
	struct tw_fs_place from_place, to_place;
	int r;

	r = tw_fs_posix_locate(fs, from, &from_place);
	if (r)
		return r;
	r = tw_fs_posix_locate(fs, to, &to_place);
	if (!r) {
		r = rename_place(&from_place, &to_place, replace);
		tw_fs_posix_leave(fs, &to_place);
	}
	tw_fs_posix_leave(fs, &from_place);
	return r;
}

static int posix_unlink(void *context, const char *path)
{
	struct tw_fs_posix *fs = context;
	struct tw_fs_place place;
	bool folder = false;
	int r;

	r = tw_fs_posix_locate(fs, path, &place);
	if (r)
		return r;
	if (unlinkat(place.folder, place.name, 0)) {
		folder = errno == EISDIR && !unlinkat(place.folder, place.name, AT_REMOVEDIR);
		r = folder ? 0 : tw_fs_posix_error(fs, errno);
	}
	tw_fs_posix_leave(fs, &place);
	if (folder)
		tw_fs_posix_forget(fs);
	return r;
}

/* A descriptor of the folder at @path itself. */
static int open_directory(struct tw_fs_posix *fs, const char *path, int *ret_fd)
{
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (fs->beneath ? O_NOFOLLOW : 0);
	struct tw_fs_place place;
	struct stat st;
	int fd, r;

	r = tw_fs_posix_locate(fs, path, &place);
	if (r)
		return r;
	fd = openat(place.folder, place.name, flags);
	if (fd < 0) {
		r = tw_fs_posix_error(fs, errno);
		if (fs->beneath && r == -ENOTDIR &&
		    !fstatat(place.folder, place.name, &st, AT_SYMLINK_NOFOLLOW) &&
		    S_ISLNK(st.st_mode))
			r = TW_E_UNSAFE;
	}
	tw_fs_posix_leave(fs, &place);
	if (!r)
		*ret_fd = fd;
	return r;
}

static int posix_set_directory_meta(void *context, const char *path, uint32_t mode,
				    int64_t mtime_ns)
{
	int fd = -1, r;

	r = open_directory(context, path, &fd);
	if (r)
		return r;
	r = set_meta(fd, mode, mtime_ns);
	close(fd);
	return r;
}

static int posix_sync_directory(void *context, const char *path)
{
	int fd = -1, r;

	r = open_directory(context, path, &fd);
	if (r)
		return r;
	if (fsync(fd))
		r = -errno;
	close(fd);
	return r;
}

static int posix_sync_all(void *context)
{
	struct tw_fs_posix *fs = context;

	tw_fs_posix_forget(fs);
	return syncfs(fs->root) ? -errno : 0;
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

static int posix_list(void *context, const char *path, int (*each)(void *context, const char *name),
		      void *each_context)
{
	struct names names = { 0 };
	DIR *directory;
	int fd = -1, r;

	r = open_directory(context, path, &fd);
	if (r)
		return r;
	directory = fdopendir(fd);
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
			r = each(each_context, names.at[i]);
		free(names.at[i]);
	}
	free(names.at);
	return r;
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

/*
 * Where the system does not say, every run of the program counts as another boot: less is trusted,
 * nothing wrongly.
 */
static void find_boot_id(struct tw_fs_posix *fs)
{
	if (read_boot_id(fs->boot_id))
		return;
	while (getrandom(fs->boot_id, sizeof(fs->boot_id), 0) != sizeof(fs->boot_id))
		;
}

static void posix_boot_id(void *context, uint8_t ret[16])
{
	struct tw_fs_posix *fs = context;

	memcpy(ret, fs->boot_id, sizeof(fs->boot_id));
}

static const struct tw_fs_ops posix_ops = {
	.open = posix_open,
	.close = posix_close,
	.read = posix_read,
	.write = posix_write,
	.resize = posix_resize,
	.stat_file = posix_stat_file,
	.sync = posix_sync,
	.set_meta = posix_set_meta,
	.next_data = posix_next_data,
	.stat = posix_stat,
	.mkdir = posix_mkdir,
	.rename = posix_rename,
	.unlink = posix_unlink,
	.set_directory_meta = posix_set_directory_meta,
	.sync_directory = posix_sync_directory,
	.sync_all = posix_sync_all,
	.list = posix_list,
	.boot_id = posix_boot_id,
};

int tw_fs_posix_open(const char *root, bool beneath, struct tw_fs *ret)
{
	struct tw_fs_posix *fs = calloc(1, sizeof(*fs));
	int r;

	if (!fs)
		return -ENOMEM;
	fs->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fs->root < 0) {
		r = -errno;
		free(fs);
		return r;
	}
	r = -pthread_mutex_init(&fs->lock, NULL);
	if (r) {
		close(fs->root);
		free(fs);
		return r;
	}
	fs->beneath = beneath;
	find_boot_id(fs);
	fs->have_openat2 = beneath && tw_fs_posix_probe_openat2(fs->root);
	*ret = (struct tw_fs){ .ops = &posix_ops, .context = fs };
	return 0;
}

void tw_fs_posix_close(struct tw_fs *fs)
{
	struct tw_fs_posix *posix = fs->context;

	if (!posix)
		return;
	tw_fs_posix_forget(posix);
	pthread_mutex_destroy(&posix->lock);
	close(posix->root);
	free(posix);
	*fs = (struct tw_fs){ 0 };
}
