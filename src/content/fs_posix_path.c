#include "content/fs_posix_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "base/error.h"

#define FOLDER_FLAGS (O_DIRECTORY | O_CLOEXEC)
#define COMPONENT_MAX 255
/*
 * openat2 says EAGAIN when something was renamed while it looked; endless renaming must not hold it
 * for ever.
 */
#define TRIES_MAX 32

int tw_fs_posix_error(const struct tw_fs_posix *fs, int error)
{
	if (fs->beneath && (error == ELOOP || error == EXDEV))
		return TW_E_UNSAFE;
	return -error;
}

static int openat2_beneath(int root, const char *path, unsigned flags)
{
	const struct open_how how = {
		.flags = flags,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS,
	};

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

bool tw_fs_posix_probe_openat2(int root)
{
	int fd = openat2_beneath(root, ".", O_PATH | FOLDER_FLAGS);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

/* Opens one component; O_DIRECTORY with O_NOFOLLOW calls a link "not a folder", so look closer. */
static int open_component(int folder, const char *name, unsigned flags)
{
	int fd = openat(folder, name, FOLDER_FLAGS | O_NOFOLLOW | flags);
	struct stat st;

	if (fd >= 0 || errno != ENOTDIR)
		return fd;
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISLNK(st.st_mode))
		errno = ENOTDIR;
	else
		errno = ELOOP;
	return -1;
}

/*
 * The same promise without openat2: one component after the other, none of them a link, none of
 * them "..".
 */
static int walk_beneath(int root, const char *path, unsigned flags)
{
	int fd = fcntl(root, F_DUPFD_CLOEXEC, 0);

	for (const char *at = path; fd >= 0 && *at; ) {
		const char *end = strchrnul(at, '/');
		size_t length = (size_t)(end - at);
		char name[COMPONENT_MAX + 1];
		int next = -1, error = ENAMETOOLONG;

		if (length <= COMPONENT_MAX) {
			memcpy(name, at, length);
			name[length] = '\0';
			next = open_component(fd, name, *end ? O_PATH : flags);
			error = errno;
		}
		close(fd);
		errno = error;
		fd = next;
		at = *end ? end + 1 : end;
	}
	return fd;
}

static int open_beneath(const struct tw_fs_posix *fs, const char *path, unsigned flags)
{
	int fd = -1;

	if (!fs->have_openat2)
		return walk_beneath(fs->root, path, flags);
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		fd = openat2_beneath(fs->root, path, FOLDER_FLAGS | flags);
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd;
}

/* -errno or TW_E_UNSAFE; a descriptor otherwise. */
static int open_folder(const struct tw_fs_posix *fs, const char *path, int *ret_fd)
{
	int fd;

	if (!fs->beneath) {
		fd = openat(fs->root, path, O_RDONLY | FOLDER_FLAGS);
		if (fd < 0 && errno == EACCES)
			fd = openat(fs->root, path, O_PATH | FOLDER_FLAGS);
	} else {
		fd = open_beneath(fs, path, O_RDONLY);
		/* A folder that may be entered and not listed serves as well. */
		if (fd < 0 && errno == EACCES)
			fd = open_beneath(fs, path, O_PATH);
	}
	if (fd < 0)
		return tw_fs_posix_error(fs, errno);
	*ret_fd = fd;
	return 0;
}

static void forget(struct tw_fs_folder *folder)
{
	if (!folder->path)
		return;
	close(folder->fd);
	free(folder->path);
	*folder = (struct tw_fs_folder){ .fd = -1 };
}

void tw_fs_posix_forget(struct tw_fs_posix *fs)
{
	for (unsigned i = 0; i < TW_FS_FOLDERS_MAX; i++)
		forget(&fs->folders[i]);
}

/* A descriptor of the folder @path (@length bytes, not "") out of those kept, or a new one. */
static int keep_folder(struct tw_fs_posix *fs, const char *path, size_t length, int *ret_fd)
{
	struct tw_fs_folder *oldest = &fs->folders[0];
	char *copy;
	int fd = -1, r;

	for (unsigned i = 0; i < TW_FS_FOLDERS_MAX; i++) {
		struct tw_fs_folder *folder = &fs->folders[i];

		if (folder->path && !strncmp(folder->path, path, length) && !folder->path[length]) {
			folder->used = ++fs->clock;
			*ret_fd = folder->fd;
			return 0;
		}
		if (folder->used < oldest->used)
			oldest = folder;
	}
	copy = strndup(path, length);
	if (!copy)
		return -ENOMEM;
	r = open_folder(fs, copy, &fd);
	if (r) {
		free(copy);
		return r;
	}
	forget(oldest);
	*oldest = (struct tw_fs_folder){ .path = copy, .fd = fd, .used = ++fs->clock };
	*ret_fd = fd;
	return 0;
}

/* What no path below a receiving root may hold. */
static int check_beneath(const char *path)
{
	if (*path == '/')
		return TW_E_UNSAFE;
	for (const char *at = path; ; ) {
		const char *end = strchrnul(at, '/');
		size_t length = (size_t)(end - at);

		if (!length || (at[0] == '.' && (length == 1 || (length == 2 && at[1] == '.'))))
			return TW_E_UNSAFE;
		if (!*end)
			return 0;
		at = end + 1;
	}
}

int tw_fs_posix_locate(struct tw_fs_posix *fs, const char *path, int *ret_folder,
		       const char **ret_name)
{
	const char *slash;
	int r;

	if (!*path || !strcmp(path, ".")) {
		*ret_folder = fs->root;
		*ret_name = ".";
		return 0;
	}
	if (fs->beneath) {
		r = check_beneath(path);
		if (r)
			return r;
	}
	slash = strrchr(path, '/');
	/*
	 * A sending view takes what its user wrote: "/", "a/", "/x" go to the system as they are.
	 */
	if (!slash || slash == path || !slash[1]) {
		*ret_folder = fs->root;
		*ret_name = path;
		return 0;
	}
	r = keep_folder(fs, path, (size_t)(slash - path), ret_folder);
	if (r)
		return r;
	*ret_name = slash + 1;
	return 0;
}
