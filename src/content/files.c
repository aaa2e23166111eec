#include "content/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "content/fs_fd.h"

#define PATH_ONLY (O_PATH | O_CLOEXEC)
#define FOLDER_TO_READ (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

struct run {
	const struct tw_files_request *request;
	bool (*cancelled)(void *context);
	void *context;
	struct tw_files_result *result;
	size_t entries; /* of all listings */
};

/* What is being measured or removed: where we are in it. */
struct walk {
	struct run *run;
	unsigned depth;
	dev_t device;
	size_t length;
	char path[TW_ROOT_PATH_ROOM];
};

static int64_t nanoseconds(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static bool stopped(const struct run *run)
{
	return run->cancelled && run->cancelled(run->context);
}

static int fail(struct run *run, int error, const char *path)
{
	return tw_files_fail(run->result, error, path);
}

/* Listing. */

static void describe(struct tw_files_entry *entry, const struct stat *st)
{
	entry->is_directory = S_ISDIR(st->st_mode);
	entry->executable = S_ISREG(st->st_mode) && st->st_mode & 0111;
	entry->size = S_ISDIR(st->st_mode) ? 0 : (uint64_t)st->st_size;
	entry->mtime_ns = nanoseconds(&st->st_mtim);
}

/* What the link @name in @path leads to. False: nowhere, or out of the root. */
static bool look_through(const struct run *run, const char *path, const char *name,
			 struct stat *ret)
{
	char whole[TW_ROOT_PATH_ROOM];
	bool found;
	int fd;

	if ((size_t)snprintf(whole, sizeof(whole), "%s/%s", path, name) >= sizeof(whole))
		return false;
	if (tw_root_open_in(run->request->root, whole, PATH_ONLY, 0, &fd))
		return false;
	found = !fstat(fd, ret) && !S_ISLNK(ret->st_mode);
	close(fd);
	return found;
}

static int add_entry(struct run *run, struct tw_files_listing *listing, int folder,
		     const char *name)
{
	struct tw_files_entry entry = { 0 }, *entries;
	struct stat st;

	/* Gone meanwhile: it is not there. */
	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	if (run->entries == TW_FILES_ENTRIES_MAX)
		return TW_E_FULL;
	entry.is_symlink = S_ISLNK(st.st_mode);
	if (entry.is_symlink)
		look_through(run, listing->path, name, &st);
	describe(&entry, &st);
	/* Room is there for a power of two. */
	if (!(listing->entry_count & (listing->entry_count - 1))) {
		size_t room = listing->entry_count ? listing->entry_count * 2 : 1;

		entries = realloc(listing->entries, room * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		listing->entries = entries;
	}
	entry.name = strdup(name);
	if (!entry.name)
		return -ENOMEM;
	listing->entries[listing->entry_count++] = entry;
	run->entries++;
	return 0;
}

/* Takes @fd. */
static int list_folder(struct run *run, struct tw_files_listing *listing, int fd)
{
	DIR *folder = fdopendir(fd);
	const struct dirent *found;
	int r = 0;

	if (!folder) {
		r = -errno;
		close(fd);
		return r;
	}
	while (!r) {
		errno = 0;
		found = readdir(folder);
		if (!found) {
			r = -errno;
			break;
		}
		if (stopped(run))
			r = -ECANCELED;
		else if (!is_dots(found->d_name))
			r = add_entry(run, listing, dirfd(folder), found->d_name);
	}
	closedir(folder);
	if (!r && listing->entry_count)
		qsort(listing->entries, listing->entry_count, sizeof(*listing->entries),
		      tw_files_compare_entries);
	return r;
}

static int list_path(void *context, struct tw_files_listing *listing)
{
	struct tw_files_entry self = { 0 };
	struct run *run = context;
	struct stat st;
	int fd, folder, r;

	if (stopped(run))
		return -ECANCELED;
	r = tw_root_open_in(run->request->root, listing->path, PATH_ONLY, 0, &fd);
	if (r)
		return r;
	if (fstat(fd, &st)) {
		r = -errno;
		close(fd);
		return r;
	}
	describe(&self, &st);
	listing->is_directory = self.is_directory;
	listing->size = self.size;
	listing->mtime_ns = self.mtime_ns;
	if (self.is_directory) {
		folder = openat(fd, ".", FOLDER_TO_READ);
		r = folder < 0 ? -errno : list_folder(run, listing, folder);
	}
	close(fd);
	return r;
}

static int run_ls(struct run *run)
{
	return tw_files_list(run->request, list_path, run, run->result);
}

/* Measuring and removing: both go down folder by folder. */

/* One step down, to @name. */
static int descend(struct walk *walk, const char *name)
{
	size_t length = strlen(name);

	if (walk->depth == TW_FILES_DEPTH_MAX)
		return TW_E_FULL;
	if (walk->length + 1 + length >= sizeof(walk->path))
		return -ENAMETOOLONG;
	if (walk->length)
		walk->path[walk->length++] = '/';
	memcpy(walk->path + walk->length, name, length + 1);
	walk->length += length;
	walk->depth++;
	return 0;
}

static void ascend(struct walk *walk, size_t length)
{
	walk->length = length;
	walk->path[length] = '\0';
	walk->depth--;
}

static int measure_folder(struct walk *walk, int fd);

static int measure_name(struct walk *walk, int folder, const char *name)
{
	struct tw_files_result *result = walk->run->result;
	size_t length = walk->length;
	struct stat st;
	int fd, r;

	if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	if (S_ISREG(st.st_mode)) {
		result->bytes += (uint64_t)st.st_size;
		result->files++;
	}
	if (!S_ISDIR(st.st_mode))
		return 0;
	r = descend(walk, name);
	if (r)
		return fail(walk->run, r, walk->path);
	fd = openat(folder, name, FOLDER_TO_READ | O_NOFOLLOW);
	if (fd < 0)
		result->unreadable++;
	else
		r = measure_folder(walk, fd);
	ascend(walk, length);
	return r;
}

/* Takes @fd. */
static int measure_folder(struct walk *walk, int fd)
{
	DIR *folder = fdopendir(fd);
	const struct dirent *found;
	int r = 0;

	if (!folder) {
		close(fd);
		return fail(walk->run, -ENOMEM, walk->path);
	}
	while (!r) {
		errno = 0;
		found = readdir(folder);
		if (!found) {
			walk->run->result->unreadable += errno != 0;
			break;
		}
		if (stopped(walk->run))
			r = fail(walk->run, -ECANCELED, walk->path);
		else if (!is_dots(found->d_name))
			r = measure_name(walk, dirfd(folder), found->d_name);
	}
	closedir(folder);
	return r;
}

static int run_du(struct run *run)
{
	const char *path = run->request->path;
	struct walk walk = { .run = run };
	struct stat st;
	int fd, folder, r;

	if ((size_t)snprintf(walk.path, sizeof(walk.path), "%s", path) >= sizeof(walk.path))
		return fail(run, -ENAMETOOLONG, path);
	walk.length = strlen(walk.path);
	r = tw_root_open_in(run->request->root, path, PATH_ONLY, 0, &fd);
	if (r)
		return fail(run, r, path);
	if (fstat(fd, &st)) {
		r = fail(run, -errno, path);
	} else if (S_ISDIR(st.st_mode)) {
		folder = openat(fd, ".", FOLDER_TO_READ);
		r = folder < 0 ? fail(run, -errno, path) : measure_folder(&walk, folder);
	} else if (S_ISREG(st.st_mode)) {
		run->result->bytes = (uint64_t)st.st_size;
		run->result->files = 1;
	}
	close(fd);
	return r;
}

static int remove_folder(struct walk *walk, int parent, const char *name);

static int remove_file(struct walk *walk, int folder, const char *name)
{
	char where[TW_ROOT_PATH_ROOM];

	if (!unlinkat(folder, name, 0)) {
		walk->run->result->files++;
		return 0;
	}
	if (errno == ENOENT)
		return 0;
	return fail(walk->run, -errno,
		    (size_t)snprintf(where, sizeof(where), "%s/%s", walk->path, name) <
				    sizeof(where)
			    ? where
			    : walk->path);
}

static int remove_name(struct walk *walk, int folder, const struct dirent *found)
{
	bool is_folder = found->d_type == DT_DIR;
	size_t length = walk->length;
	struct stat st;
	int r;

	if (stopped(walk->run))
		return fail(walk->run, -ECANCELED, walk->path);
	if (found->d_type == DT_UNKNOWN)
		is_folder = !fstatat(folder, found->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
			    S_ISDIR(st.st_mode);
	if (!is_folder)
		return remove_file(walk, folder, found->d_name);
	r = descend(walk, found->d_name);
	if (r)
		return fail(walk->run, r, walk->path);
	r = remove_folder(walk, folder, found->d_name);
	ascend(walk, length);
	return r;
}

/*
 * Once through the folder. Storage may pass over names while others are removed: whoever calls
 * looks again until a look removes nothing.
 */
static int remove_content(struct walk *walk, DIR *folder)
{
	const struct dirent *found;
	int r = 0;

	rewinddir(folder);
	while (!r) {
		errno = 0;
		found = readdir(folder);
		if (!found)
			return errno ? fail(walk->run, -errno, walk->path) : 0;
		if (!is_dots(found->d_name))
			r = remove_name(walk, dirfd(folder), found);
	}
	return r;
}

/* The folder @name in @parent, whose path is the walk's, and all that is in it. */
static int remove_folder(struct walk *walk, int parent, const char *name)
{
	struct tw_files_result *result = walk->run->result;
	DIR *folder = NULL;
	uint64_t before;
	struct stat st;
	int fd, r = 0;

	fd = openat(parent, name, FOLDER_TO_READ | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : fail(walk->run, -errno, walk->path);
	if (fstat(fd, &st) || !(folder = fdopendir(fd))) {
		r = fail(walk->run, -errno, walk->path);
		close(fd);
		return r;
	}
	if (st.st_dev != walk->device)
		r = fail(walk->run, -EXDEV, walk->path);
	do {
		before = result->files;
		if (!r)
			r = remove_content(walk, folder);
	} while (!r && result->files > before);
	closedir(folder);
	if (!r && unlinkat(parent, name, AT_REMOVEDIR) && errno != ENOENT)
		r = fail(walk->run, -errno, walk->path);
	result->files += r == 0;
	return r;
}

static int run_rm(struct run *run)
{
	const char *path = run->request->path;
	struct walk walk = { .run = run };
	struct tw_place place;
	struct stat st;
	int r;

	r = tw_root_find_place(run->request->root, path, &place);
	if (r)
		return fail(run, r, path);
	walk.length = strlen(path);
	while (path[walk.length - 1] == '/')
		walk.length--;
	memcpy(walk.path, path, walk.length);
	if (fstatat(place.folder, place.name, &st, AT_SYMLINK_NOFOLLOW)) {
		r = fail(run, -errno, path);
	} else if (S_ISDIR(st.st_mode) && run->request->recursive) {
		walk.device = st.st_dev;
		r = remove_folder(&walk, place.folder, place.name);
	} else if (unlinkat(place.folder, place.name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0)) {
		r = fail(run, -errno, path);
	} else {
		run->result->files = 1;
	}
	close(place.folder);
	return r;
}

/* Making and moving. */

/* One more component of what is to be there; @folder, in which it is, is replaced. */
static int make_folder(const struct tw_root *root, const char *path, const char *name, int *folder)
{
	int next, r;

	if (*name && mkdirat(*folder, name, 0777) && errno != EEXIST)
		return -errno;
	/* From the root each time: a link on the way may lead up again. */
	r = tw_root_open_in(root, path, PATH_ONLY | O_DIRECTORY, 0, &next);
	if (r)
		return r;
	close(*folder);
	*folder = next;
	return 0;
}

static int run_mkdir(struct run *run)
{
	const struct tw_root *root = run->request->root;
	char path[TW_ROOT_PATH_ROOM];
	int folder, r;

	if ((size_t)snprintf(path, sizeof(path), "%s", run->request->path) >= sizeof(path))
		return fail(run, -ENAMETOOLONG, run->request->path);
	r = tw_root_open_in(root, ".", PATH_ONLY | O_DIRECTORY, 0, &folder);
	if (r)
		return fail(run, r, "");
	for (char *at = path; !r && *at;) {
		char *end = strchrnul(at, '/'), kept = *end;

		*end = '\0';
		r = make_folder(root, path, at, &folder);
		if (r)
			break;
		*end = kept;
		at = kept ? end + 1 : end;
	}
	close(folder);
	return r ? fail(run, r, path) : 0;
}

static int run_mk_file(struct run *run)
{
	struct tw_place place;
	int fd, r;

	r = tw_root_find_place(run->request->root, run->request->path, &place);
	if (r)
		return fail(run, r, run->request->path);
	fd = openat(place.folder, place.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    0666);
	if (fd < 0)
		r = fail(run, -errno, run->request->path);
	else
		close(fd);
	close(place.folder);
	return r;
}

static int run_mv(struct run *run)
{
	const struct tw_files_request *request = run->request;
	struct tw_place from = { .folder = -1 }, to = { .folder = -1 };
	int r;

	r = tw_root_find_place(request->root, request->path, &from);
	if (r)
		return fail(run, r, request->path);
	r = tw_root_find_place(request->to_root ? request->to_root : request->root, request->to,
			       &to);
	if (r) {
		close(from.folder);
		return fail(run, r, request->to);
	}
	r = tw_fd_rename(from.folder, from.name, to.folder, to.name, request->overwrite);
	close(from.folder);
	close(to.folder);
	if (!r)
		return 0;
	return fail(run, r,
		    r == -EEXIST || r == -ENOTEMPTY || r == -EISDIR ? request->to : request->path);
}

static int (*const operations[])(struct run *run) = {
	[TW_FILES_LS] = run_ls,           [TW_FILES_DU] = run_du, [TW_FILES_MKDIR] = run_mkdir,
	[TW_FILES_MK_FILE] = run_mk_file, [TW_FILES_MV] = run_mv, [TW_FILES_RM] = run_rm,
};

void tw_files_run(const struct tw_files_request *request, bool (*cancelled)(void *context),
		  void *context, struct tw_files_result *ret)
{
	struct run run = {
		.request = request,
		.cancelled = cancelled,
		.context = context,
		.result = ret,
	};

	*ret = (struct tw_files_result){ 0 };
	operations[request->operation](&run);
}
