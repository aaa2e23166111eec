/*
 * test_escape.c - nothing that is named, linked or swapped leads out of a root: every operation
 * there is, with every way out that is known, in several views; then with somebody who swaps
 * folders for links all the while. ESCAPE_SECONDS: how long that goes (1).
 */
#include "agentworld.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <time.h>

#include <linux/fs.h>

#include "content/fs_fd.h"
#include "content/source.h"

/* Sizes that only files outside have. */
#define OUTSIDE_SIZE 7777
#define CASES_AT_LEAST 500

/* What lies outside, as it must stay. */
struct outside {
	char text[4096];
	ino_t inodes[32];
	unsigned count;
};

/* A view that is tried. */
struct kind {
	const char *name;
	struct tw_sandbox_pair pairs[3]; /* targets below the world's folder */
	size_t count;
	const char *fence;
	const char *prefix; /* before every path that is tried */
	bool receiving;     /* no view: a receive folder */
};

static const struct kind kinds[] = {
	{ "top", { { "/", "in" } }, 1, NULL, "", false },
	{ "alike", { { "/a", "in" }, { "/ab", "spare" } }, 2, NULL, "/a/", false },
	{ "nested", { { "/", "spare" }, { "/far/a", "in" } }, 2, NULL, "/far/a/", false },
	{ "fence", { { "/m", "around" } }, 1, "/m/in", "", false },
	{ "receive", { { NULL, NULL } }, 0, NULL, "", true },
};

/* Links in a root; BASE is the world's folder. */
static const struct {
	const char *name, *target;
} links[] = {
	{ "rel", "../out" },
	{ "relfile", "../out/secret" },
	{ "abs", "BASE/out" },
	{ "absfile", "BASE/out/secret" },
	{ "absself", "BASE/in" },
	{ "up", ".." },
	{ "upup", "../../../../../../../.." },
	{ "top", "/" },
	{ "chain1", "chain2" },
	{ "chain2", "deep/chain3" },
	{ "deep/chain3", "../rel" },
	{ "deep/out", "../../out" },
	{ "deep/er/out", "../../../out/secret" },
	{ "deep/roundabout", "../deep/../../out" },
	{ "inout", "../in/../out" },
	{ "loop", "loop" },
	{ "loop1", "loop2" },
	{ "loop2", "loop1" },
	{ "proc", "/proc/self/root" },
	{ "procout", "/proc/self/root/BASE/out" },
	{ "cwd", "/proc/self/cwd" },
	{ "fds", "/dev/fd" },
	{ "dangling", "../out/new" },
	{ "danglingabs", "BASE/out/new" },
	{ "alike", "../inx" },
	{ "slashes", "..//out//" },
	{ "dotted", "./../out/." },
	{ "alias", "in2" },
	{ "in2", "../in/../inx" },
};

/* Paths that lead out, or would; what stands in a root is behind them. */
static const char *const ways[] = {
	"..",
	"../out",
	"../out/secret",
	"../../etc/passwd",
	"../in/../out",
	"../inx",
	"deep/../../out",
	"deep/er/../../../out/secret",
	"none/../../out",
	"file/../../out",
	"...",
	"../..",
	"../../../../../../../../etc",
	"rel",
	"rel/secret",
	"rel/folder",
	"rel/folder/..",
	"rel/new",
	"relfile",
	"abs",
	"abs/secret",
	"abs/folder/deeper",
	"absfile",
	"absself",
	"absself/file",
	"absself/../out",
	"up",
	"up/out",
	"up/out/secret",
	"upup/etc/passwd",
	"top",
	"top/etc",
	"chain1",
	"chain1/secret",
	"chain2/secret",
	"deep/chain3/secret",
	"deep/out",
	"deep/out/secret",
	"deep/er/out",
	"deep/roundabout/secret",
	"inout/secret",
	"loop",
	"loop/x",
	"loop1/x",
	"proc",
	"proc/etc",
	"procout/secret",
	"cwd",
	"fds",
	"fds/0",
	"dangling",
	"danglingabs",
	"alike",
	"alike/secret",
	"slashes/secret",
	"dotted/secret",
	"alias/secret",
	"in2",
	"/proc/self/root",
	"/proc/self/fd/3",
	"/dev/fd/3",
	"/etc/passwd",
	"\xff\xfe/../../out",
	"..\xc0\xaf..\xc0\xafout",
	"%2e%2e/out",
	"..\\out",
	" ../out",
	"~root",
	".. /out",
	"BASE/out/secret",
};

/* How a way is written: %s is the way. */
static const char *const spellings[] = { "%s", "/%s", "//%s//", "./%s/.", "deep/../%s" };

static void replace_base(const struct agent_world *world, const char *text, char *ret, size_t room)
{
	const char *base = strstr(text, "BASE");

	if (base)
		snprintf(ret, room, "%.*s%s%s", (int)(base - text), text, world->base, base + 4);
	else
		snprintf(ret, room, "%s", text);
}

/* The worlds. */

static void make_outside(const struct agent_world *world)
{
	char filler[OUTSIDE_SIZE + 1];

	memset(filler, 's', OUTSIDE_SIZE);
	filler[OUTSIDE_SIZE] = '\0';
	agent_put(world, "out/secret", filler);
	agent_make(world, "out/folder");
	agent_make(world, "out/folder/deeper");
	agent_put(world, "out/folder/other", filler);
	agent_make(world, "inx");
	agent_put(world, "out/outside", filler);
	agent_put(world, "out/folder/outside", filler);
	agent_put(world, "inx/secret", filler);
	agent_put(world, "inx/outside", filler);
	agent_make(world, "around");
	agent_make(world, "spare");
}

/* Nothing but itself, links not followed. */
static void wipe(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		temp_dir_empty(fd);
	else
		unlink(path);
}

/* @root: "in", or "around/in" for what is behind a fence. */
static void fill(const struct agent_world *world, const char *root)
{
	char path[TEMP_PATH_MAX * 2], target[TEMP_PATH_MAX * 2];

	snprintf(path, sizeof(path), "%s/%s", world->base, root);
	wipe(path);
	mkdir(path, 0755);
	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s/%s", world->base, root,
			 i ? "deep/er" : "deep");
		assert_int_equal(mkdir(path, 0755), 0);
	}
	snprintf(path, sizeof(path), "%s/file", root);
	agent_put(world, path, "inside");
	snprintf(path, sizeof(path), "%s/deep/file", root);
	agent_put(world, path, "inside");
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		replace_base(world, links[i].target, target, sizeof(target));
		snprintf(path, sizeof(path), "%s/%s/%s", world->base, root, links[i].name);
		assert_int_equal(symlink(target, path), 0);
	}
}

static void note_folder(struct outside *outside, const char *path)
{
	struct dirent **names;
	int count = scandir(path, &names, NULL, alphasort);

	assert_true(count >= 0);
	for (int i = 0; i < count; i++) {
		char whole[TEMP_PATH_MAX * 2];
		struct stat st;
		size_t used = strlen(outside->text);

		snprintf(whole, sizeof(whole), "%s/%s", path, names[i]->d_name);
		if (strcmp(names[i]->d_name, "..") != 0 && !lstat(whole, &st)) {
			snprintf(outside->text + used, sizeof(outside->text) - used,
				 "%s %o %lld %lld.%09ld %lld.%09ld\n", names[i]->d_name,
				 st.st_mode, (long long)st.st_size, (long long)st.st_mtim.tv_sec,
				 st.st_mtim.tv_nsec, (long long)st.st_ctim.tv_sec,
				 st.st_ctim.tv_nsec);
			assert_true(outside->count < 32);
			outside->inodes[outside->count++] = st.st_ino;
			if (S_ISDIR(st.st_mode) && strcmp(names[i]->d_name, ".") != 0)
				note_folder(outside, whole);
		}
		free(names[i]);
	}
	free(names);
}

static void note_outside(const struct agent_world *world, struct outside *ret)
{
	memset(ret, 0, sizeof(*ret));
	note_folder(ret, agent_at(world, "out"));
	note_folder(ret, agent_at(world, "inx"));
}

static bool is_outside(const struct outside *outside, uint64_t inode)
{
	for (unsigned i = 0; i < outside->count; i++)
		if (outside->inodes[i] == inode)
			return true;
	return false;
}

/* Trying. */

/* From any thread. */
#define MUST(what) \
	do { \
		if (!(what)) { \
			fprintf(stderr, "line %d: not so: %s\n", __LINE__, #what); \
			abort(); \
		} \
	} while (0)

struct attempt {
	struct agent_world *world;
	const struct outside *outside;
	struct tw_fs fs;
	bool view; /* @world->view too */
	const char *path;
	int queue;
	unsigned in, refused; /* how many calls did something, or not */
};

static void count(struct attempt *attempt, int r)
{
	attempt->in += !r;
	attempt->refused += r != 0;
}

static void try_open(struct attempt *attempt, unsigned flags)
{
	const struct tw_fs_ops *ops = attempt->fs.ops;
	const struct iovec piece = { "x", 1 };
	struct tw_file_stat stat;
	struct tw_file *file;
	int r = ops->open(attempt->fs.context, attempt->path, flags, &file);

	count(attempt, r);
	if (r)
		return;
	MUST(!ops->stat_file(file, &stat));
	MUST(!is_outside(attempt->outside, stat.inode));
	if (flags & TW_OPEN_WRITE)
		MUST(!ops->write(file, &piece, 1, 0));
	ops->close(file);
}

static void try_several(struct attempt *attempt)
{
	const struct tw_fs_ops *ops = attempt->fs.ops;
	const char *const paths[] = { attempt->path, attempt->path };
	struct tw_file *files[2];
	struct tw_file_stat stat;
	unsigned tried = 0;

	if (ops->open_several)
		tried = ops->open_several(attempt->fs.context, paths, 2, files);
	for (unsigned i = 0; i < tried; i++) {
		if (!files[i])
			continue;
		MUST(!ops->stat_file(files[i], &stat));
		MUST(!is_outside(attempt->outside, stat.inode));
		ops->close(files[i]);
	}
}

static void try_stat(struct attempt *attempt, bool follow)
{
	struct tw_file_stat stat;
	int r = attempt->fs.ops->stat(attempt->fs.context, attempt->path, follow, &stat);

	count(attempt, r);
	if (!r)
		MUST(!is_outside(attempt->outside, stat.inode));
}

static int see_name(void *context, const char *name)
{
	(void)context;
	/* A name that only lies outside. */
	MUST(strcmp(name, "outside") != 0);
	MUST(strcmp(name, "passwd") != 0);
	return 0;
}

static void try_file_system(struct attempt *attempt)
{
	const struct tw_fs_ops *ops = attempt->fs.ops;
	void *fs = attempt->fs.context;

	try_open(attempt, TW_OPEN_READ);
	try_several(attempt);
	try_stat(attempt, false);
	try_stat(attempt, true);
	count(attempt, ops->list(fs, attempt->path, see_name, NULL));
	count(attempt, ops->listen(fs, attempt->path, attempt->queue, IN_CREATE | IN_ATTRIB));
	count(attempt, ops->sync_directory(fs, attempt->path));
	count(attempt, ops->set_directory_meta(fs, attempt->path, 0711, 1000000000));
	count(attempt, ops->mkdir(fs, attempt->path, 0700));
	try_open(attempt, TW_OPEN_WRITE | TW_OPEN_CREATE);
	try_open(attempt, TW_OPEN_WRITE | TW_OPEN_CREATE | TW_OPEN_EXCLUSIVE);
	try_open(attempt, TW_OPEN_WRITE | TW_OPEN_TRUNCATE);
	count(attempt, ops->rename(fs, "file", attempt->path, false));
	count(attempt, ops->rename(fs, "deep/file", attempt->path, true));
	count(attempt, ops->rename(fs, attempt->path, "stolen", true));
	count(attempt, ops->unlink(fs, attempt->path));
}

static void try_operation(struct attempt *attempt, enum tw_files_operation operation,
			  const char *path, const char *to)
{
	const struct tw_files_request request = {
		.operation = operation,
		.path = path,
		.to = to,
		.recursive = true,
		.overwrite = true,
	};
	struct tw_files_result result;

	tw_view_files_run(attempt->world->view, &request, NULL, NULL, &result);
	count(attempt, result.error);
	for (size_t i = 0; i < result.listing_count; i++) {
		MUST(result.listings[i].size != OUTSIDE_SIZE);
		for (size_t j = 0; j < result.listings[i].entry_count; j++) {
			see_name(NULL, result.listings[i].entries[j].name);
			MUST(result.listings[i].entries[j].size != OUTSIDE_SIZE);
		}
	}
	MUST(result.bytes < OUTSIDE_SIZE);
	tw_files_result_deinit(&result);
}

static void try_operations(struct attempt *attempt, const struct kind *kind)
{
	char inside[64];

	snprintf(inside, sizeof(inside), "%sdeep/file", kind->prefix);
	try_operation(attempt, TW_FILES_LS, attempt->path, NULL);
	try_operation(attempt, TW_FILES_DU, attempt->path, NULL);
	try_operation(attempt, TW_FILES_MKDIR, attempt->path, NULL);
	try_operation(attempt, TW_FILES_MK_FILE, attempt->path, NULL);
	try_operation(attempt, TW_FILES_MV, inside, attempt->path);
	snprintf(inside, sizeof(inside), "%sstolen", kind->prefix);
	try_operation(attempt, TW_FILES_MV, attempt->path, inside);
	try_operation(attempt, TW_FILES_RM, attempt->path, NULL);
}

/* A manifest of it: nothing that lies outside goes in. */
static void try_manifest(struct attempt *attempt)
{
	const struct tw_source_mapping mapping = { attempt->path, "to" };
	const struct tw_source_options options = { .mappings = &mapping,
						   .mapping_count = 1,
						   .read_content = true };
	const struct tw_manifest *manifest;
	struct tw_source *source;
	struct tw_problem problem;

	assert_int_equal(tw_source_new(&attempt->fs, &options, &source), 0);
	while (!tw_source_walk(source, 1000))
		continue;
	manifest = tw_source_manifest(source);
	for (uint64_t i = 0; i < tw_manifest_count(manifest); i++)
		assert_int_not_equal(tw_manifest_entry(manifest, i)->size, OUTSIDE_SIZE);
	count(attempt, tw_manifest_count(manifest) ? 0 : -ENOENT);
	while (tw_source_problem(source, &problem))
		continue;
	tw_source_free(source);
}

static void try_path(struct attempt *attempt, const struct kind *kind)
{
	const char *root = kind->fence ? "around/in" : "in";
	struct outside after;

	fill(attempt->world, root);
	if (attempt->view) {
		try_manifest(attempt);
		try_operations(attempt, kind);
		fill(attempt->world, root);
	}
	try_file_system(attempt);
	note_outside(attempt->world, &after);
	if (strcmp(after.text, attempt->outside->text) != 0)
		fail_msg("%s: \"%s\" changed what lies outside:\n%s", kind->name, attempt->path,
			 after.text);
}

static void open_kind(struct agent_world *world, const struct kind *kind, struct attempt *attempt)
{
	agent_world_unview(world);
	attempt->view = !kind->receiving;
	if (kind->receiving) {
		assert_int_equal(tw_fs_posix_open(agent_at(world, "in"), true, &attempt->fs), 0);
		return;
	}
	agent_world_view(world, kind->pairs, kind->count, kind->fence);
	attempt->fs = world->fs;
}

static unsigned try_kind(struct agent_world *world, const struct kind *kind,
			 struct attempt *attempt)
{
	char way[TEMP_PATH_MAX * 2], spelt[TEMP_PATH_MAX * 3], path[TEMP_PATH_MAX * 3 + 64];
	unsigned cases = 0;

	open_kind(world, kind, attempt);
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		for (size_t j = 0; j < sizeof(spellings) / sizeof(*spellings); j++) {
			/* All of them in one view, in turns in the others. */
			if (kind != kinds && (i + j) % 3)
				continue;
			replace_base(world, ways[i], way, sizeof(way));
			snprintf(spelt, sizeof(spelt), spellings[j], way);
			snprintf(path, sizeof(path), "%s%s", kind->prefix, spelt);
			attempt->path = path;
			try_path(attempt, kind);
			cases++;
		}
	if (kind->receiving)
		tw_fs_posix_close(&attempt->fs);
	return cases;
}

static void test_ways_out(void **state)
{
	struct agent_world *world = *state;
	struct outside outside;
	struct attempt attempt = { .world = world, .outside = &outside };
	unsigned cases = 0;

	attempt.queue = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	make_outside(world);
	fill(world, "in");
	fill(world, "around/in");
	note_outside(world, &outside);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		attempt.in = attempt.refused = 0;
		cases += try_kind(world, &kinds[i], &attempt);
		/* Both happened, or nothing was tried. What arrives follows no link at all. */
		assert_true(attempt.in >= (kinds[i].receiving ? 10 : 100));
		assert_true(attempt.refused > 100);
	}
	assert_true(cases >= CASES_AT_LEAST);
	close(attempt.queue);
	agent_world_unview(world);
}

/* Lengths, and names of accounts. */

static void test_long_and_empty(void **state)
{
	struct agent_world *world = *state;
	struct outside outside, after;
	struct attempt attempt = { .world = world, .outside = &outside, .view = true };
	static const size_t lengths[] = { 0, 1, 254, 255, 256, 4094, 4095, 4096, 8192 };
	char *path = malloc(20000);

	attempt.queue = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	assert_non_null(path);
	make_outside(world);
	note_outside(world, &outside);
	open_kind(world, &kinds[0], &attempt);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		for (unsigned shape = 0; shape < 4; shape++) {
			memset(path, shape == 1 ? '/' : 'x', lengths[i]);
			strcpy(path + lengths[i], shape == 2 ? "/../../out/secret"
						  : shape == 3 ? "/../rel/secret"
							       : "");
			attempt.path = path;
			try_path(&attempt, &kinds[0]);
		}
	note_outside(world, &after);
	assert_string_equal(after.text, outside.text);
	free(path);
	close(attempt.queue);
	agent_world_unview(world);
}

static void test_names_of_accounts(void **state)
{
	static const char *const users[] = {
		"..", ".", "", "/", "a/b", "../out", "../out/", "/out", "./../out", "in/../../out",
		"{user}", "{home}", "%2e%2e", "..\\out", "out\xff",
	};
	static const char *const homes[] = {
		"", ".", "..", "out", "/..", "/../out", "/./out", "//", "/x//y", "/x/../y",
	};
	struct agent_world *world = *state;
	char target[TEMP_PATH_MAX * 2];
	struct tw_mounts mounts;
	size_t length = strlen(world->base);

	snprintf(target, sizeof(target), "%s/in/{user}", world->base);
	for (size_t i = 0; i < sizeof(users) / sizeof(*users); i++) {
		const struct tw_sandbox_pair pair = { "/", target };
		const struct tw_sandbox_account who = { users[i], "/home/x", 1 };

		if (tw_sandbox_make(&pair, 1, &who, NULL, &mounts))
			continue;
		/* One name more, below what was meant. */
		assert_memory_equal(mounts.items[0].target, target, length + 4);
		assert_null(strchr(mounts.items[0].target + length + 4, '/'));
		assert_string_not_equal(mounts.items[0].target + length + 4, "..");
		tw_mounts_deinit(&mounts);
	}
	for (size_t i = 0; i < sizeof(homes) / sizeof(*homes); i++) {
		const struct tw_sandbox_pair pair = { "/", "{home}/files" };
		const struct tw_sandbox_account who = { "x", homes[i], 1 };

		if (strcmp(homes[i], "//") != 0)
			assert_int_equal(tw_sandbox_make(&pair, 1, &who, NULL, &mounts),
					 TW_E_UNSAFE);
	}
}

/* Somebody who swaps folders for links. */

struct race {
	struct agent_world *world;
	const struct outside *outside;
	char in[TEMP_PATH_MAX * 2];
	atomic_bool stop;
	atomic_uint swaps, done, refused;
	atomic_uint seed; /* each thread takes one */
};

/* "in/place" and "in/other", "in/deep/place" and the link beside it, change places. */
static void *swap(void *context)
{
	struct race *race = context;
	int in = open(race->in, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (!atomic_load(&race->stop)) {
		syscall(SYS_renameat2, in, "place", in, "other", RENAME_EXCHANGE);
		syscall(SYS_renameat2, in, "deep/place", in, "deep/other", RENAME_EXCHANGE);
		/* A folder that wanders out and in again while somebody is in it. */
		syscall(SYS_renameat2, in, "wander", in, "../wandered", RENAME_NOREPLACE);
		syscall(SYS_renameat2, in, "../wandered", in, "wander", RENAME_NOREPLACE);
		atomic_fetch_add(&race->swaps, 1);
	}
	close(in);
	return NULL;
}

static const char *const racing_paths[] = {
	"place/new",           "place/secret",        "place/folder",    "place/folder/deeper",
	"place/folder/x/y",    "deep/place/secret",   "deep/place/new",  "deep/place/folder/other",
	"wander/in/../../out", "wander/in/up/secret", "wander/in/new",   "wander/in/deep/../../../out",
	"place",               "deep/place",          "place/../secret", "wander/in/up/../out/secret",
};
#define RACING_PATHS (sizeof(racing_paths) / sizeof(*racing_paths))

static void race_once(struct attempt *attempt, unsigned random)
{
	const struct tw_fs_ops *ops = attempt->fs.ops;
	void *fs = attempt->fs.context;
	const char *other = racing_paths[random / 16 % RACING_PATHS];

	attempt->path = racing_paths[random % RACING_PATHS];
	switch (random / 256 % 14) {
	case 0:
		try_open(attempt, TW_OPEN_READ);
		try_several(attempt);
		break;
	case 1:
		try_open(attempt, TW_OPEN_WRITE | TW_OPEN_CREATE);
		break;
	case 2:
		try_stat(attempt, random & 4096);
		break;
	case 3:
		count(attempt, ops->list(fs, attempt->path, see_name, NULL));
		break;
	case 4:
		count(attempt, ops->mkdir(fs, attempt->path, 0700));
		break;
	case 5:
		count(attempt, ops->rename(fs, attempt->path, other, random & 4096));
		break;
	case 6:
		count(attempt, ops->unlink(fs, attempt->path));
		break;
	case 7:
		count(attempt, ops->set_directory_meta(fs, attempt->path, 0711, 1000000000));
		break;
	default:
		if (attempt->view)
			try_operation(attempt,
				      (enum tw_files_operation)(TW_FILES_LS + random / 256 % 6),
				      attempt->path, other);
		break;
	}
}

static void *operate(void *context)
{
	struct race *race = context;
	struct attempt attempt = { .world = race->world, .outside = race->outside, .view = true };
	unsigned random = atomic_fetch_add(&race->seed, 1);

	attempt.fs = race->world->fs;
	while (!atomic_load(&race->stop)) {
		random = random * 1664525 + 1013904223;
		race_once(&attempt, random >> 8);
	}
	atomic_fetch_add(&race->done, attempt.in);
	atomic_fetch_add(&race->refused, attempt.refused);
	return NULL;
}

/* The same for what arrives. */
static void *receive(void *context)
{
	struct race *race = context;
	struct attempt attempt = { .world = race->world, .outside = race->outside };
	unsigned random = 77 * atomic_fetch_add(&race->seed, 1);

	assert_int_equal(tw_fs_posix_open(race->in, true, &attempt.fs), 0);
	while (!atomic_load(&race->stop)) {
		random = random * 1664525 + 1013904223;
		race_once(&attempt, random >> 8);
		if (!(random >> 8 & 63))
			attempt.fs.ops->sync_all(attempt.fs.context);
	}
	tw_fs_posix_close(&attempt.fs);
	return NULL;
}

/* Somebody removes what the others need. Never through the links: they are what is tried. */
static void mend(const struct race *race)
{
	static const char *const folders[] = { "place", "deep", "deep/place", "wander",
					       "wander/in" };
	int in = open(race->in, O_RDONLY | O_DIRECTORY | O_CLOEXEC), place;

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		mkdirat(in, folders[i], 0755);
	place = openat(in, "place", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (place >= 0) {
		mkdirat(place, "folder", 0755);
		close(place);
	}
	(void)!symlinkat("../out", in, "other");
	(void)!symlinkat("../../out", in, "deep/other");
	(void)!symlinkat("../../out", in, "wander/in/up");
	close(in);
}

static void test_race(void **state)
{
	const char *seconds = getenv("ESCAPE_SECONDS");
	struct agent_world *world = *state;
	struct outside outside, after;
	struct race race = { .world = world, .outside = &outside, .seed = 1 };
	void *(*const what[])(void *) = { swap, operate, operate, receive };
	pthread_t threads[4];
	time_t end;

	make_outside(world);
	note_outside(world, &outside);
	snprintf(race.in, sizeof(race.in), "%s", agent_at(world, "in"));
	mend(&race);
	open_kind(world, &kinds[0], &(struct attempt){ 0 });
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, what[i], &race), 0);
	end = time(NULL) + (seconds ? atoi(seconds) : 1);
	do {
		const struct timespec pause = { .tv_nsec = 1000000 };

		mend(&race);
		nanosleep(&pause, NULL);
	} while (time(NULL) <= end);
	atomic_store(&race.stop, true);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	note_outside(world, &after);
	assert_string_equal(after.text, outside.text);
	assert_true(race.swaps > 0);
	assert_true(race.done > 0);
	assert_true(race.refused > 0);
	if (seconds)
		print_message("%u swaps, %u calls done, %u refused\n", race.swaps, race.done,
			      race.refused);
	agent_world_unview(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		agent_test(test_ways_out),
		agent_test(test_long_and_empty),
		agent_test(test_names_of_accounts),
		agent_test(test_race),
	};

	return cmocka_run_group_tests_name("escape", tests, NULL, NULL);
}
