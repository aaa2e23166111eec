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

/*
 * Opens one component. O_DIRECTORY with O_NOFOLLOW calls a link "not a folder", so look closer; a
 * folder by then is one that somebody swaps.
 */
static int open_component(int folder, const char *name, unsigned flags)
{
	struct stat st;

	for (unsigned i = 0; i < TRIES_MAX; i++) {
		int fd = openat(folder, name, FOLDER_FLAGS | O_NOFOLLOW | flags);

		if (fd >= 0 || errno != ENOTDIR)
			return fd;
		if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW))
			return -1;
		if (S_ISDIR(st.st_mode))
			continue;
		errno = S_ISLNK(st.st_mode) ? ELOOP : ENOTDIR;
		return -1;
	}
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

	for (const char *at = path; fd >= 0 && *at;) {
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

/* With the lock held. */
static void let_go(struct tw_fs_folder *folder)
{
	if (--folder->users)
		return;
	close(folder->fd);
	free(folder->path);
	free(folder);
}

void tw_fs_posix_forget(struct tw_fs_posix *fs)
{
	pthread_mutex_lock(&fs->lock);
	for (unsigned i = 0; i < TW_FS_FOLDERS_MAX; i++) {
		if (fs->folders[i])
			let_go(fs->folders[i]);
		fs->folders[i] = NULL;
	}
	pthread_mutex_unlock(&fs->lock);
}

/* Finds the folder @path (@length bytes) among those kept; with the lock held. */
static struct tw_fs_folder *find_kept(struct tw_fs_posix *fs, const char *path, size_t length)
{
	for (unsigned i = 0; i < TW_FS_FOLDERS_MAX; i++) {
		struct tw_fs_folder *folder = fs->folders[i];

		if (folder && !strncmp(folder->path, path, length) && !folder->path[length])
			return folder;
	}
	return NULL;
}

/* Puts it in a free place, or in that of the one that rested longest; with the lock held. */
static void keep(struct tw_fs_posix *fs, struct tw_fs_folder *folder)
{
	struct tw_fs_folder **place = &fs->folders[0];

	for (unsigned i = 1; i < TW_FS_FOLDERS_MAX && *place; i++) {
		if (!fs->folders[i] || fs->folders[i]->used < (*place)->used)
			place = &fs->folders[i];
	}
	if (*place)
		let_go(*place);
	*place = folder;
}

static int make_folder(const struct tw_fs_posix *fs, const char *path, size_t length,
		       struct tw_fs_folder **ret)
{
	struct tw_fs_folder *folder = calloc(1, sizeof(*folder));
	int r = -ENOMEM;

	if (!folder)
		return -ENOMEM;
	folder->path = strndup(path, length);
	if (folder->path)
		r = open_folder(fs, folder->path, &folder->fd);
	if (r) {
		free(folder->path);
		free(folder);
		return r;
	}
	*ret = folder;
	return 0;
}

/* The folder @path (@length bytes, not ""), with one user more. */
static int hold_folder(struct tw_fs_posix *fs, const char *path, size_t length,
		       struct tw_fs_folder **ret)
{
	struct tw_fs_folder *folder;
	int r;

	pthread_mutex_lock(&fs->lock);
	folder = find_kept(fs, path, length);
	if (!folder) {
		/* Opening may wait for the storage, and others must not wait for that. */
		pthread_mutex_unlock(&fs->lock);
		r = make_folder(fs, path, length, &folder);
		if (r)
			return r;
		pthread_mutex_lock(&fs->lock);
		folder->users = 1;
		folder->used = fs->clock + 1;
		keep(fs, folder);
	}
	folder->users++;
	folder->used = ++fs->clock;
	pthread_mutex_unlock(&fs->lock);
	*ret = folder;
	return 0;
}

void tw_fs_posix_leave(struct tw_fs_posix *fs, const struct tw_fs_place *place)
{
	if (!place->held)
		return;
	pthread_mutex_lock(&fs->lock);
	let_go(place->held);
	pthread_mutex_unlock(&fs->lock);
}

/* What no path below a receiving root may hold. */
static int check_beneath(const char *path)
{
	if (*path == '/')
		return TW_E_UNSAFE;
	for (const char *at = path;;) {
		const char *end = strchrnul(at, '/');
		size_t length = (size_t)(end - at);

		if (!length || (at[0] == '.' && (length == 1 || (length == 2 && at[1] == '.'))))
			return TW_E_UNSAFE;
		if (!*end)
			return 0;
		at = end + 1;
	}
}

int tw_fs_posix_locate(struct tw_fs_posix *fs, const char *path, struct tw_fs_place *ret)
{
	struct tw_fs_folder *folder;
	const char *slash;
	int r;

	*ret = (struct tw_fs_place){ .folder = fs->root, .name = path };
	if (!*path || !strcmp(path, ".")) {
		ret->name = ".";
		return 0;
	}
	if (fs->beneath) {
		r = check_beneath(path);
		if (r)
			return r;
	}
	slash = strrchr(path, '/');
	/* A sending view takes what its user wrote: "/", "a/", "/x" go to the system as they are.
	 */
	if (!slash || slash == path || !slash[1])
		return 0;
	r = hold_folder(fs, path, (size_t)(slash - path), &folder);
	if (r)
		return r;
	*ret = (struct tw_fs_place){ folder->fd, slash + 1, folder };
	return 0;
}
