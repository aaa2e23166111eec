/*
 * Paths, mounts, targets, accounts and fences that may be anything: texts, each ended by a zero
 * byte, the path first. What comes of the texts keeps its promises; then the path is resolved in a
 * small tree of folders and links, and what is opened lies in that tree.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/temp_dir.h"
#include "auth/sandbox.h"
#include "base/error.h"
#include "content/root.h"

#define TEXTS_MAX 16
#define INODES_MAX 16

static char base[TEMP_PATH_MAX];
static struct tw_root root;
static ino_t inside[INODES_MAX];
static unsigned inside_count;

static void tidy_up(void)
{
	tw_root_close(&root);
	temp_dir_remove(base);
}

static void note(int folder, const char *name)
{
	struct stat st;

	CHECK(!fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW));
	inside[inside_count++] = st.st_ino;
}

static void make_link(int folder, const char *target, const char *name)
{
	CHECK(!symlinkat(target, folder, name));
	note(folder, name);
}

static void make_folder(int folder, const char *name)
{
	CHECK(!mkdirat(folder, name, 0755));
	note(folder, name);
}

/* "r" with "a", "a/b" and links in it; "o" beside it, which nobody may reach. */
static void make_tree(void)
{
	char path[TEMP_PATH_MAX + 8];
	int folder;

	temp_dir_make(base);
	snprintf(path, sizeof(path), "%s/o", base);
	CHECK(!mkdir(path, 0755));
	snprintf(path, sizeof(path), "%s/r", base);
	CHECK(!mkdir(path, 0755));
	folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(folder >= 0);
	note(folder, ".");
	make_folder(folder, "a");
	make_folder(folder, "a/b");
	make_link(folder, "a/b", "c");
	make_link(folder, "../o", "d");
	make_link(folder, "..", "e");
	make_link(folder, "/", "f");
	make_link(folder, "../c/..", "a/g");
	make_link(folder, "h", "h");
	close(folder);
	CHECK(!tw_root_open(path, &root));
	atexit(tidy_up);
}

static void check_opened(int fd)
{
	struct stat st;
	bool known = false;

	CHECK(!fstat(fd, &st));
	for (unsigned i = 0; i < inside_count; i++)
		known = known || inside[i] == st.st_ino;
	CHECK(known);
	close(fd);
}

static void resolve(const char *path)
{
	struct tw_root narrow;
	struct tw_place place;
	int fd;

	if (!tw_root_open_in(&root, path, O_PATH, 0, &fd))
		check_opened(fd);
	if (!tw_root_open_in(&root, path, O_PATH | O_NOFOLLOW, 0, &fd))
		check_opened(fd);
	if (!tw_root_find_place(&root, path, &place)) {
		CHECK(*place.name && !strchr(place.name, '/'));
		CHECK(strcmp(place.name, "..") != 0 && strcmp(place.name, ".") != 0);
		check_opened(place.folder);
	}
	if (!tw_root_narrow(&root, path, &narrow)) {
		if (!tw_root_open_in(&narrow, path, O_PATH, 0, &fd))
			check_opened(fd);
		tw_root_close(&narrow);
	}
}

static void check_normal(const char *path)
{
	while (*path) {
		size_t length = strcspn(path, "/");

		CHECK(length);
		CHECK(!(length == 1 && path[0] == '.'));
		CHECK(!(length == 2 && path[0] == '.' && path[1] == '.'));
		path += length;
		CHECK(*path != '/' || path[1]);
		path += *path == '/';
	}
}

static void check_mounts(const struct tw_mounts *mounts, const char *path)
{
	char normal[TW_SANDBOX_PATH_ROOM], name[256];
	struct tw_sandbox_place place;
	size_t cursor = 0;

	for (size_t i = 0; i < mounts->count; i++) {
		check_normal(mounts->items[i].at);
		check_normal(mounts->items[i].inside);
		CHECK(mounts->items[i].target[0] == '/');
		CHECK(!strstr(mounts->items[i].target, "/../"));
		if (i)
			CHECK(strcmp(mounts->items[i - 1].at, mounts->items[i].at) < 0);
	}
	if (tw_sandbox_normal(path, normal))
		return;
	check_normal(normal);
	resolve(normal);
	if (!tw_sandbox_find(mounts, normal, &place)) {
		check_normal(place.rest);
		if (place.mount)
			resolve(place.rest);
		else
			CHECK(!*normal || tw_sandbox_leads_to_mounts(mounts, normal));
	}
	while (tw_sandbox_next_name(mounts, normal, &cursor, name))
		CHECK(*name && !strchr(name, '/') && strcmp(name, "..") != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tw_sandbox_pair pairs[TEXTS_MAX / 2];
	struct tw_sandbox_account account = { .uid = 7 };
	const char *texts[TEXTS_MAX];
	char bytes[4097], message[TW_SANDBOX_MESSAGE];
	struct tw_mounts mounts;
	unsigned count = 0;

	if (!inside_count)
		make_tree();
	if (size > 4096)
		return 0;
	memcpy(bytes, data, size);
	bytes[size] = '\0';
	for (const char *at = bytes; at <= bytes + size && count < TEXTS_MAX; at += strlen(at) + 1)
		texts[count++] = at;
	for (; count < 4; count++)
		texts[count] = "";
	account.user = texts[1];
	account.home = texts[2];
	resolve(texts[0]);
	for (unsigned i = 4; i + 1 < count; i += 2) {
		pairs[i / 2 - 2] = (struct tw_sandbox_pair){ texts[i], texts[i + 1] };
		tw_sandbox_check(&pairs[i / 2 - 2], message);
	}
	if (tw_sandbox_make(pairs, count > 4 ? (count - 4) / 2 : 0, &account, texts[3], &mounts))
		return 0;
	check_mounts(&mounts, texts[0]);
	tw_mounts_deinit(&mounts);
	return 0;
}
