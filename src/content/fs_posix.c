#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "content/fs_fd.h"
#include "content/fs_posix_path.h"

static int open_flags(const struct tw_fs_posix *fs, unsigned flags)
{
	return tw_fd_open_flags(flags) | (fs->beneath ? O_NOFOLLOW : 0);
}

static int posix_open(void *context, const char *path, unsigned flags, struct tw_file **ret)
{
	struct tw_fs_posix *fs = context;
	struct tw_fs_place place;
	int fd, r;

	r = tw_fs_posix_locate(fs, path, &place);
	if (r)
		return r;
	fd = openat(place.folder, place.name, open_flags(fs, flags), 0600);
	r = fd < 0 ? tw_fs_posix_error(fs, errno) : tw_fd_check_opened(fd, flags);
	tw_fs_posix_leave(fs, &place);
	if (fd < 0)
		return r;
	if (r) {
		close(fd);
		return r;
	}
	return tw_fd_file(fd, NULL, ret);
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
		tw_fd_stat(&st, ret);
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
		r = tw_fd_rename(from_place.folder, from_place.name, to_place.folder, to_place.name,
				 replace);
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
	r = tw_fd_set_times(fd, mode, mtime_ns);
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

static int posix_listen(void *context, const char *path, int inotify, uint32_t mask)
{
	int fd = -1, r;

	r = open_directory(context, path, &fd);
	if (r)
		return r;
	r = tw_fd_listen(fd, inotify, mask);
	close(fd);
	return r;
}

static int posix_sync_all(void *context)
{
	struct tw_fs_posix *fs = context;

	tw_fs_posix_forget(fs);
	return syncfs(fs->root) ? -errno : 0;
}

static int posix_list(void *context, const char *path, int (*each)(void *context, const char *name),
		      void *each_context)
{
	int fd = -1, r;

	r = open_directory(context, path, &fd);
	return r ? r : tw_fd_list(fd, each, each_context);
}

static void posix_boot_id(void *context, uint8_t ret[16])
{
	struct tw_fs_posix *fs = context;

	memcpy(ret, fs->boot_id, sizeof(fs->boot_id));
}

static const struct tw_fs_ops posix_ops = {
	.open = posix_open,
	.close = tw_fd_close,
	.read = tw_fd_read,
	.write = tw_fd_write,
	.resize = tw_fd_resize,
	.stat_file = tw_fd_stat_file,
	.sync = tw_fd_sync,
	.set_meta = tw_fd_set_meta,
	.next_data = tw_fd_next_data,
	.in_memory = tw_fd_in_memory,
	.stat = posix_stat,
	.mkdir = posix_mkdir,
	.rename = posix_rename,
	.unlink = posix_unlink,
	.set_directory_meta = posix_set_directory_meta,
	.sync_directory = posix_sync_directory,
	.sync_all = posix_sync_all,
	.list = posix_list,
	.boot_id = posix_boot_id,
	.listen = posix_listen,
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
	tw_fd_boot_id(fs->boot_id);
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
