#include "cli/identity_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "netio/clock.h"

int tw_identity_file_path(const char *option, char ret[PATH_MAX])
{
	const char *named = option ? option : getenv("TRADEWIND_IDENTITY");
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	const char *service = getenv("STATE_DIRECTORY");
	int length;

	if (named && named[0])
		length = snprintf(ret, PATH_MAX, "%s", named);
	else if (service && service[0] == '/')
		length = snprintf(ret, PATH_MAX, "%s/identity", service);
	else if (data && data[0] == '/')
		length = snprintf(ret, PATH_MAX, "%s/tradewind/identity", data);
	else if (geteuid() == 0)
		length = snprintf(ret, PATH_MAX, "/var/lib/tradewind/identity");
	else if (home && home[0] == '/')
		length = snprintf(ret, PATH_MAX, "%s/.local/share/tradewind/identity", home);
	else
		return TW_E_DENIED;
	/* Room for the suffixes of the files beside it. */
	return length + 32 >= PATH_MAX ? TW_E_FULL : 0;
}

/* Makes the folders above @path, for their owner alone. */
static int make_folders(const char *path)
{
	char folder[PATH_MAX];

	snprintf(folder, sizeof folder, "%s", path);
	for (char *at = folder + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		if (mkdir(folder, 0700) && errno != EEXIST)
			return -errno;
		*at = '/';
	}
	return 0;
}

static int write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t written = write(fd, bytes, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		bytes += written;
		length -= (size_t)written;
	}
	return fsync(fd) ? -errno : 0;
}

/* A file beside @path with the text of @identity; its name in @ret. */
static int write_beside(const char *path, const struct tw_identity *identity, char ret[PATH_MAX])
{
	struct tw_random random = tw_system_random();
	char text[TW_IDENTITY_TEXT];
	size_t length = tw_identity_format(identity, text);
	int fd, r;

	snprintf(ret, PATH_MAX, "%.*s.%08x", PATH_MAX - 16, path, (unsigned)tw_random_u64(&random));
	fd = open(ret, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		tw_wipe(text, sizeof text);
		return -errno;
	}
	r = write_all(fd, text, length);
	tw_wipe(text, sizeof text);
	close(fd);
	if (r)
		unlink(ret);
	return r;
}

static int complain(char complaint[TW_COMPLAINT_FILE], const char *path, int error)
{
	snprintf(complaint, TW_COMPLAINT_FILE,
		 "cannot make the identity file %s: %s; name another place with --identity FILE",
		 path, strerror(-error));
	return error;
}

/* -EEXIST: somebody else was faster, and theirs counts. */
static int create(const char *path, struct tw_identity *identity)
{
	struct tw_random random = tw_system_random();
	char beside[PATH_MAX];
	int r = make_folders(path);

	if (!r)
		r = tw_identity_generate(&random, identity);
	if (!r)
		r = write_beside(path, identity, beside);
	if (r)
		return r;
	if (link(beside, path))
		r = -errno;
	unlink(beside);
	return r;
}

static int check_and_read(int fd, const char *path, struct tw_identity *ret, char *complaint)
{
	char text[TW_IDENTITY_TEXT * 4];
	struct stat stat;
	ssize_t length;
	int r;

	if (fstat(fd, &stat))
		return -errno;
	if (!S_ISREG(stat.st_mode) || (stat.st_uid != geteuid() && stat.st_uid != 0)) {
		snprintf(
			complaint, TW_COMPLAINT_FILE,
			"the identity file %s is not an ordinary file of yours; name another with "
			"--identity FILE",
			path);
		return TW_E_DENIED;
	}
	if (stat.st_mode & 077) {
		snprintf(
			complaint, TW_COMPLAINT_FILE,
			"others can read the private key in %s (mode %03o); close it with: chmod "
			"600 %s",
			path, (unsigned)stat.st_mode & 0777, path);
		return TW_E_DENIED;
	}
	length = read(fd, text, sizeof text);
	if (length < 0)
		return -errno;
	r = tw_identity_parse(text, (size_t)length, ret);
	tw_wipe(text, sizeof text);
	if (r)
		snprintf(
			complaint, TW_COMPLAINT_FILE,
			"%s is not an identity file or is damaged; restore it, or make a new one "
			"with: "
			"tradewind keygen --new --identity %s",
			path, path);
	return r;
}

int tw_identity_file_load(const char *path, struct tw_identity *ret,
			  char complaint[TW_COMPLAINT_FILE])
{
	int r = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 && errno == ENOENT) {
		r = create(path, ret);
		if (r == 0)
			return 0;
		if (r != -EEXIST)
			return complain(complaint, path, r);
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	complaint[0] = '\0';
	r = fd < 0 ? -errno : check_and_read(fd, path, ret, complaint);
	if (fd >= 0)
		close(fd);
	if (r && !complaint[0])
		snprintf(complaint, TW_COMPLAINT_FILE,
			 "cannot read the identity file %s: %s; name another with --identity FILE",
			 path, tw_strerror(r));
	return r;
}

int tw_identity_file_renew(const char *path, struct tw_identity *ret,
			   char complaint[TW_COMPLAINT_FILE])
{
	struct tw_random random = tw_system_random();
	char beside[PATH_MAX], old[PATH_MAX];
	int r = make_folders(path);

	if (!r)
		r = tw_identity_generate(&random, ret);
	if (!r)
		r = write_beside(path, ret, beside);
	if (r)
		return complain(complaint, path, r);
	snprintf(old, sizeof old, "%.*s.old", PATH_MAX - 16, path);
	if (rename(path, old) && errno != ENOENT)
		r = -errno;
	if (!r && rename(beside, path))
		r = -errno;
	if (r) {
		unlink(beside);
		return complain(complaint, path, r);
	}
	return 0;
}
