#include "content/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/openat2.h>

#include "base/error.h"

#define PATH_ONLY (O_PATH | O_CLOEXEC)
/* openat2 says EAGAIN when something was renamed while it looked. */
#define TRIES_MAX 32
#define NAME_ROOM 256

static int openat2_in(const struct tw_root *root, const char *path, int flags, unsigned mode)
{
	const struct open_how how = {
		.flags = (uint64_t)flags,
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_NO_MAGICLINKS | (root->system ? 0u : RESOLVE_BENEATH),
	};
	int fd = -1;

	for (unsigned i = 0; i < TRIES_MAX; i++) {
		fd = (int)syscall(SYS_openat2, root->fd, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd;
}

/* Component by component, none of them a link or "..": the same promise without openat2. */
static int walk_in(const struct tw_root *root, const char *path, int flags, unsigned mode)
{
	int fd = fcntl(root->fd, F_DUPFD_CLOEXEC, 0), next, error;

	for (const char *at = path; fd >= 0 && *at;) {
		const char *end = strchrnul(at, '/');
		size_t length = (size_t)(end - at);
		char name[NAME_ROOM];

		next = -1;
		error = length < sizeof(name) ? EXDEV : ENAMETOOLONG;
		if (length < sizeof(name)) {
			memcpy(name, at, length);
			name[length] = '\0';
			if (strcmp(name, "..") != 0) {
				next = openat(fd, length ? name : ".",
					      (*end ? PATH_ONLY | O_DIRECTORY : flags) | O_NOFOLLOW,
					      mode);
				error = errno;
			}
		}
		close(fd);
		errno = error;
		fd = next;
		at = *end ? end + 1 : end;
	}
	return fd;
}

int tw_root_open_in(const struct tw_root *root, const char *path, int flags, unsigned mode,
		    int *ret_fd)
{
	int fd;

	while (*path == '/')
		path++;
	if (!*path)
		path = ".";
	if (strlen(path) >= TW_ROOT_PATH_ROOM)
		return -ENAMETOOLONG;
	if (root->openat2)
		fd = openat2_in(root, path, flags | O_CLOEXEC, mode);
	else if (root->system)
		fd = openat(root->fd, path, flags | O_CLOEXEC, mode);
	else
		fd = walk_in(root, path, flags | O_CLOEXEC, mode);
	if (fd < 0)
		return errno == EXDEV ? TW_E_UNSAFE : errno > 0 ? -errno : -EIO;
	*ret_fd = fd;
	return 0;
}

/* Takes @fd, a folder. */
static int make_root(int fd, struct tw_root *ret)
{
	struct tw_root root = { .fd = fd, .openat2 = true };
	struct stat st, system;
	int probe;

	if (fstat(fd, &st) || stat("/", &system)) {
		int error = errno;

		close(fd);
		return -error;
	}
	root.system = st.st_dev == system.st_dev && st.st_ino == system.st_ino;
	probe = openat2_in(&root, ".", PATH_ONLY, 0);
	root.openat2 = probe >= 0;
	if (probe >= 0)
		close(probe);
	*ret = root;
	return 0;
}

int tw_root_open(const char *path, struct tw_root *ret)
{
	int fd = open(path, PATH_ONLY | O_DIRECTORY);

	return fd < 0 ? -errno : make_root(fd, ret);
}

int tw_root_narrow(const struct tw_root *root, const char *path, struct tw_root *ret)
{
	int fd, r;

	r = tw_root_open_in(root, path, PATH_ONLY | O_DIRECTORY, 0, &fd);
	return r ? r : make_root(fd, ret);
}

void tw_root_close(struct tw_root *root)
{
	if (root->fd >= 0)
		close(root->fd);
	root->fd = -1;
}

int tw_root_copy(const struct tw_root *root, struct tw_root *ret)
{
	*ret = *root;
	ret->fd = fcntl(root->fd, F_DUPFD_CLOEXEC, 0);
	return ret->fd < 0 ? -errno : 0;
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

int tw_root_find_place(const struct tw_root *root, const char *path, struct tw_place *ret)
{
	size_t length = strlen(path);
	char *slash;

	while (length && path[length - 1] == '/')
		length--;
	if (length >= sizeof(ret->path))
		return -ENAMETOOLONG;
	memcpy(ret->path, path, length);
	ret->path[length] = '\0';
	slash = strrchr(ret->path, '/');
	ret->name = slash ? slash + 1 : ret->path;
	if (!*ret->name || !strcmp(ret->path, "."))
		return -EBUSY;
	if (is_dots(ret->name))
		return -EINVAL;
	if (slash)
		*slash = '\0';
	return tw_root_open_in(root, slash ? ret->path : ".", PATH_ONLY | O_DIRECTORY, 0,
			       &ret->folder);
}
