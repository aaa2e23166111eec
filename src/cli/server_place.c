#include "cli/server_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/become.h"
#include "auth/grants.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/exit.h"
#include "content/names.h"
#include "netio/clock.h"

#define LOCK_WAIT (3 * TW_SECOND) /* for a server that is just ending */
#define LOCK_LOOK_US 10000
#define DEPTH_MAX 256

/* In a user namespace (a container) many ids may be missing: root has another name there for
 * whoever started it, and cannot become anybody. */
static bool is_mapped(uid_t uid)
{
	FILE *file = fopen("/proc/self/uid_map", "re");
	unsigned long first, outside, count;
	bool mapped = !file;

	while (file && !mapped && fscanf(file, "%lu %lu %lu", &first, &outside, &count) == 3)
		mapped = uid >= first && uid - first < count;
	if (file)
		fclose(file);
	return mapped;
}

static void take_account(const struct passwd *account, struct tw_server_place *ret)
{
	ret->uid = account->pw_uid;
	ret->gid = account->pw_gid;
	snprintf(ret->name, sizeof ret->name, "%s", account->pw_name);
	ret->other = ret->uid != geteuid();
}

static int choose_named(const char *name, struct tw_server_place *ret)
{
	const struct passwd *account = getpwnam(name);

	if (!account) {
		tw_say("--engine-user: there is no account %s; make it with: "
		       "useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "
		       "%s",
		       name, name);
		return TW_EXIT_USAGE;
	}
	if (account->pw_uid != geteuid() && geteuid() != 0) {
		tw_say("--engine-user: only a server that root starts can run as %s", name);
		return TW_EXIT_USAGE;
	}
	take_account(account, ret);
	return TW_EXIT_DONE;
}

/* An account that has the spare id after all has another purpose. */
static int choose_spare(struct tw_server_place *ret)
{
	uid_t id = TW_SERVER_SPARE_ID;

	while (getpwuid(id) || getgrgid(id))
		id++;
	if (!is_mapped(id)) {
		ret->alone = true;
		return TW_EXIT_DONE;
	}
	ret->uid = id;
	ret->gid = id;
	ret->other = ret->spare = true;
	return TW_EXIT_DONE;
}

int tw_server_choose_account(const struct tw_arguments *arguments, struct tw_server_place *ret)
{
	const char *name = tw_argument(arguments, "engine-user");
	const struct passwd *usual;

	*ret = (struct tw_server_place){
		.uid = geteuid(), .gid = getegid(), .state = -1, .receive = -1, .log = -1
	};
	if (name)
		return choose_named(name, ret);
	if (geteuid() != 0) {
		usual = getpwuid(geteuid());
		if (usual)
			take_account(usual, ret);
		return TW_EXIT_DONE;
	}
	usual = getpwnam(TW_SERVER_ACCOUNT);
	if (!usual || !is_mapped(usual->pw_uid))
		return choose_spare(ret);
	take_account(usual, ret);
	return TW_EXIT_DONE;
}

/* Giving away. */

static int give(int fd, const struct tw_server_place *place)
{
	return fchownat(fd, "", place->uid, place->gid, AT_EMPTY_PATH) ? -errno : 0;
}

/* Whether something is the server's to give. */
typedef bool wants(const struct tw_server_place *place, const char *name, const struct stat *st);

/*
 * A name in a folder that others may have written to: no link of any kind is followed, and a file
 * that has a second name is somebody else's as well.
 */
static int take_over(int folder, const char *name, const struct tw_server_place *place,
		     wants *wanted, int *ret_folder)
{
	int fd = openat(folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), r = 0;
	struct stat st;

	*ret_folder = -1;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st))
		r = -errno;
	else if (!S_ISDIR(st.st_mode) && (S_ISLNK(st.st_mode) || st.st_nlink != 1))
		r = 0;
	else if (st.st_uid != place->uid && wanted(place, name, &st))
		r = give(fd, place);
	if (!r && S_ISDIR(st.st_mode)) {
		*ret_folder = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (*ret_folder < 0)
			r = -errno;
	}
	close(fd);
	return r;
}

/* @folder is closed. */
static int take_over_all(int folder, const struct tw_server_place *place, wants *wanted,
			 unsigned depth)
{
	DIR *stream = fdopendir(folder);
	struct dirent *entry;
	int r = 0;

	if (!stream) {
		r = -errno;
		close(folder);
		return r;
	}
	while (!r && (entry = readdir(stream))) {
		int below;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		r = take_over(dirfd(stream), entry->d_name, place, wanted, &below);
		if (below >= 0 && depth < DEPTH_MAX && !r)
			r = take_over_all(below, place, wanted, depth + 1);
		else if (below >= 0)
			close(below);
	}
	closedir(stream);
	return r;
}

/* What the monitor keeps for itself stays. */
static bool state_of_engine(const struct tw_server_place *place, const char *name,
			    const struct stat *st)
{
	(void)place;
	(void)st;
	return strncmp(name, TW_GRANTS_FILE, strlen(TW_GRANTS_FILE)) != 0 &&
	       strcmp(name, "api-key.pem") != 0 && strcmp(name, "api-certificate.pem") != 0;
}

static bool left_by_server(const struct tw_server_place *place, const char *name,
			   const struct stat *st)
{
	(void)name;
	return st->st_uid == place->before;
}

static int cannot_give(const char *path, const struct tw_server_place *place, int error)
{
	tw_say("%s cannot be given to the account %s: %s", path,
	       place->name[0] ? place->name : "of the engine", tw_strerror(error));
	return TW_EXIT_FAILED;
}

static int another_descriptor(int folder)
{
	return openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int tw_server_give_state(const struct tw_server_settings *settings,
			 const struct tw_server_place *place)
{
	int r = 0, folder;

	if (!place->other) {
		/* Other accounts reach the socket; what lies beside it stays closed. */
		if (geteuid() == 0)
			fchmod(place->state, 0711);
		return TW_EXIT_DONE;
	}
	folder = another_descriptor(place->state);
	r = folder < 0 ? -errno : take_over_all(folder, place, state_of_engine, 0);
	/* The sticky bit is what keeps the engine from what is not its own. */
	if (!r && fchown(place->state, 0, place->gid))
		r = -errno;
	if (!r && fchmod(place->state, 01771))
		r = -errno;
	return r ? cannot_give(settings->state_dir, place, r) : TW_EXIT_DONE;
}

/* Folders. */

static void make_above(const char *path)
{
	char folder[PATH_MAX];

	snprintf(folder, sizeof folder, "%s", path);
	for (char *at = folder + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		mkdir(folder, 0755);
		*at = '/';
	}
}

static int cannot_use(const char *path, int error)
{
	tw_say("%s cannot be used: %s. Make it, or give another folder.", path, tw_strerror(error));
	return TW_EXIT_FAILED;
}

/* Who has it, for the message. */
static int holder(int folder)
{
	int fd = openat(folder, "tradewind.lock", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[16] = "";
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 ? atoi(text) : 0;
}

/* By its descriptor, which all that is started from here has too. */
static int lock_state(const struct tw_server_settings *settings, int folder)
{
	tw_ns until = tw_clock_now() + LOCK_WAIT;

	while (flock(folder, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return cannot_use(settings->state_dir, -errno);
		if (tw_clock_now() > until) {
			tw_say("another server (process %d) uses %s", holder(folder),
			       settings->state_dir);
			return TW_EXIT_FAILED;
		}
		usleep(LOCK_LOOK_US);
	}
	return TW_EXIT_DONE;
}

static int make_state(const struct tw_server_settings *settings, struct tw_server_place *place)
{
	const char *path = settings->state_dir;
	struct stat st;
	int r;

	make_above(path);
	if (mkdir(path, 0700) && errno != EEXIST)
		return cannot_use(path, -errno);
	place->state = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place->state < 0 || fstat(place->state, &st))
		return cannot_use(path, -errno);
	if (place->other && st.st_uid != 0 && st.st_uid != place->uid) {
		tw_say("the state folder %s belongs to another account: give it to root, or name "
		       "another one with --persistent-state-dir",
		       path);
		return TW_EXIT_FAILED;
	}
	if (geteuid() == 0 && strcmp(path, TW_SERVER_STATE_ROOT "/state") == 0)
		chmod(TW_SERVER_STATE_ROOT, 0711);
	r = lock_state(settings, place->state);
	/* Whom the server before ran as: what was its own is this one's now. */
	if (!r && fstatat(place->state, "tradewind.db", &st, AT_SYMLINK_NOFOLLOW) == 0)
		place->before = st.st_uid;
	return r;
}

static bool is_empty(int folder)
{
	int fd = another_descriptor(folder);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	unsigned count = 0;

	if (!stream)
		return false;
	while (count <= 2 && readdir(stream))
		count++;
	closedir(stream);
	return count <= 2;
}

/* "/", or one of those that a system is made of. */
static bool is_of_the_system(int folder)
{
	struct stat root, above;

	return stat("/", &root) || fstatat(folder, "..", &above, 0) ||
	       (root.st_dev == above.st_dev && root.st_ino == above.st_ino);
}

static int give_received(const char *path, const struct tw_server_place *place, bool made,
			 uid_t owner)
{
	bool ours = owner != 0 || strcmp(path, TW_SERVER_STATE_ROOT "/incoming") == 0 ||
		    faccessat(place->receive, TW_STATE_FOLDER, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	struct tw_server_place taken = *place;
	int folder, r = 0;

	/* Of what is in it, what belongs to whom the folder belongs to. */
	taken.before = owner;
	if (owner == 0 && !made && !is_empty(place->receive) && is_of_the_system(place->receive)) {
		tw_say("%s is not handed to the account that receives: name a folder of its own "
		       "with --recv-dir",
		       path);
		return TW_EXIT_FAILED;
	}
	if (ours) {
		folder = another_descriptor(place->receive);
		r = folder < 0 ? -errno : take_over_all(folder, &taken, left_by_server, 0);
	}
	/* Last: as long as it is another's, this has to be done. */
	if (!r && fchown(place->receive, place->uid, place->gid))
		r = -errno;
	return r ? cannot_give(path, place, r) : TW_EXIT_DONE;
}

static int make_received(const struct tw_server_settings *settings, struct tw_server_place *place)
{
	const char *path = settings->receive_dir;
	bool made;
	struct stat st;

	make_above(path);
	made = mkdir(path, 0755) == 0;
	if (!made && errno != EEXIST)
		return cannot_use(path, -errno);
	place->receive = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place->receive < 0 || fstat(place->receive, &st))
		return cannot_use(path, -errno);
	/* One of another account's is his business: he may have opened it to the engine's. */
	if (place->other && (st.st_uid == 0 || st.st_uid == place->before) &&
	    st.st_uid != place->uid)
		return give_received(path, place, made, st.st_uid);
	return TW_EXIT_DONE;
}

/* What triggers say goes to a file that the engine writes. */
static int open_log(const struct tw_server_settings *settings, struct tw_server_place *place)
{
	const char *path = settings->engine.trigger_log;
	struct stat st;

	if (!path || !place->other)
		return TW_EXIT_DONE;
	place->log = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
			  0640);
	if (place->log >= 0 && fstat(place->log, &st) == 0 && S_ISREG(st.st_mode)) {
		if (st.st_uid == 0 && st.st_nlink == 1 && fchown(place->log, place->uid, -1))
			return cannot_give(path, place, -errno);
		return TW_EXIT_DONE;
	}
	/* A terminal, a pipe, a link: the engine sees for itself. */
	if (place->log >= 0)
		close(place->log);
	place->log = -1;
	return TW_EXIT_DONE;
}

int tw_server_make_folders(const struct tw_server_settings *settings, struct tw_server_place *place)
{
	int r = make_state(settings, place);

	if (!r)
		r = make_received(settings, place);
	return r ? r : open_log(settings, place);
}

/* In the engine. */

static void reach(int folder, const char *path, char *ret, size_t room)
{
	/* To see that it is there takes no right to the folder itself. */
	if (access(path, F_OK) == 0)
		snprintf(ret, room, "%s", path);
	else
		snprintf(ret, room, "/proc/self/fd/%d", folder);
}

int tw_server_become_engine(const struct tw_server_place *place,
			    struct tw_server_settings *settings)
{
	const struct tw_become who = { .uid = place->uid,
				       .gid = place->gid,
				       .name = place->name[0] ? place->name : NULL,
				       .file_rights = true };
	int r = tw_become(&who);

	if (r) {
		tw_say("the engine cannot become %s: %s", place->name, tw_strerror(r));
		return TW_EXIT_FAILED;
	}
	reach(place->state, settings->state_dir, settings->reached_state,
	      sizeof settings->reached_state);
	reach(place->receive, settings->receive_dir, settings->reached_receive,
	      sizeof settings->reached_receive);
	snprintf(settings->reached_socket, sizeof settings->reached_socket, "%.*s/api.sock",
		 PATH_MAX - 16, settings->reached_state);
	if (place->log >= 0) {
		reach(place->log, settings->engine.trigger_log, settings->reached_log,
		      sizeof settings->reached_log);
		settings->engine.trigger_log = settings->reached_log;
	}
	settings->engine.state_dir = settings->reached_state;
	settings->engine.receive_dir = settings->reached_receive;
	return TW_EXIT_DONE;
}
