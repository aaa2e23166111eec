#include "disk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "disk_internal.h"

#define PATH_MAX_BYTES 4096
/* 2026, so that times look like times. */
#define EPOCH_NS (INT64_C(1767225600) * 1000000000)

int64_t disk_clock(const struct sim_disk *disk)
{
	return EPOCH_NS + (int64_t)disk->sim->now;
}

int disk_change(struct sim_disk *disk)
{
	if (disk->dead)
		return -EIO;
	disk->changes++;
	if (!disk->fuse || --disk->fuse)
		return 0;
	disk->dead = true;
	if (disk->died)
		disk->died(disk->context);
	return -EIO;
}

/* Names: sorted, the text owned. */

static size_t name_place(const struct names *names, const char *text, bool *ret_there)
{
	size_t low = 0, high = names->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(names->at[middle].text, text);

		if (!order) {
			*ret_there = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_there = false;
	return low;
}

static struct sim_node *name_get(const struct names *names, const char *text)
{
	bool there;
	size_t place = name_place(names, text, &there);

	return there ? names->at[place].node : NULL;
}

static void name_put(struct names *names, const char *text, struct sim_node *node)
{
	bool there;
	size_t place = name_place(names, text, &there);

	if (there) {
		assert(names->at);
		names->at[place].node = node;
		return;
	}
	if (names->count == names->room) {
		names->room = names->room ? names->room * 2 : 4;
		names->at = realloc(names->at, names->room * sizeof(names->at[0]));
		assert(names->at);
	}
	memmove(names->at + place + 1, names->at + place,
		(names->count - place) * sizeof(names->at[0]));
	names->at[place] = (struct name){ strdup(text), node };
	names->count++;
}

static void name_remove(struct names *names, const char *text)
{
	bool there;
	size_t place = name_place(names, text, &there);

	if (!there)
		return;
	free(names->at[place].text);
	names->count--;
	memmove(names->at + place, names->at + place + 1,
		(names->count - place) * sizeof(names->at[0]));
}

static void names_free(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->at[i].text);
	free(names->at);
	*names = (struct names){ 0 };
}

static void apply(struct names *names, const struct change *change)
{
	if (change->from)
		name_remove(names, change->from);
	if (change->to)
		name_put(names, change->to, change->node);
}

static void note_change(struct sim_node *folder, const char *from, const char *to,
			struct sim_node *node)
{
	struct change change = { from ? strdup(from) : NULL, to ? strdup(to) : NULL, node };

	if (folder->change_count == folder->change_room) {
		folder->change_room = folder->change_room ? folder->change_room * 2 : 4;
		folder->changes =
			realloc(folder->changes, folder->change_room * sizeof(folder->changes[0]));
		assert(folder->changes);
	}
	folder->changes[folder->change_count++] = change;
	apply(&folder->now, &change);
}

/* The first @count changes are stored, the rest never happened. */
static void settle_changes(struct sim_node *folder, size_t count)
{
	for (size_t i = 0; i < folder->change_count; i++) {
		if (i < count)
			apply(&folder->stored, &folder->changes[i]);
		free(folder->changes[i].from);
		free(folder->changes[i].to);
	}
	folder->change_count = 0;
}

static void sync_folder(struct sim_node *folder)
{
	settle_changes(folder, folder->change_count);
	folder->stored_mode = folder->mode;
	folder->stored_mtime_ns = folder->mtime_ns;
}

static struct sim_node *node_new(struct sim_disk *disk, enum tw_file_kind kind)
{
	struct sim_node *node = sim_alloc(sizeof(*node));

	node->kind = kind;
	node->inode = ++disk->inodes;
	node->mode = node->stored_mode = kind == TW_KIND_FILE ? 0600 : 0755;
	node->mtime_ns = node->ctime_ns = node->stored_mtime_ns = disk_clock(disk);
	node->next = disk->all;
	disk->all = node;
	return node;
}

/* The folder that holds the last component of @path, and that component ("": the root itself). */
static int locate(const struct sim_disk *disk, const char *path, struct sim_node **ret_folder,
		  char *ret_name)
{
	struct sim_node *at = disk->root;

	for (;;) {
		size_t length = strcspn(path, "/");

		if (length > 255)
			return -ENAMETOOLONG;
		memcpy(ret_name, path, length);
		ret_name[length] = 0;
		if (!strcmp(ret_name, ".."))
			return TW_E_UNSAFE;
		path += length;
		while (*path == '/')
			path++;
		if (!*path) {
			*ret_folder = at;
			return 0;
		}
		if (!length || !strcmp(ret_name, "."))
			continue;
		at = name_get(&at->now, ret_name);
		if (!at)
			return -ENOENT;
		if (at->kind != TW_KIND_DIRECTORY)
			return -ENOTDIR;
	}
}

static int look_up(const struct sim_disk *disk, const char *path, struct sim_node **ret)
{
	struct sim_node *folder, *node;
	char name[256];
	int error = locate(disk, path, &folder, name);

	if (error)
		return error;
	node = !name[0] || !strcmp(name, ".") ? folder : name_get(&folder->now, name);
	if (!node)
		return -ENOENT;
	*ret = node;
	return 0;
}

static void tell_named(struct sim_disk *disk, const char *path, struct sim_node *node)
{
	if (disk->named && node->kind == TW_KIND_FILE)
		disk->named(disk->context, path, node);
}

static int create(struct sim_disk *disk, const char *path, struct sim_node **ret)
{
	struct sim_node *folder;
	char name[256];
	int error = locate(disk, path, &folder, name);

	if (!error)
		error = disk_change(disk);
	if (!error)
		error = disk->write_error;
	if (error)
		return error;
	*ret = node_new(disk, TW_KIND_FILE);
	note_change(folder, NULL, name, *ret);
	tell_named(disk, path, *ret);
	return 0;
}

static int fs_open(void *context, const char *path, unsigned flags, struct tw_file **ret)
{
	struct sim_disk *disk = context;
	struct sim_node *node = NULL;
	int error = disk->dead ? -EIO : look_up(disk, path, &node);

	if (error == -ENOENT && flags & TW_OPEN_CREATE)
		error = create(disk, path, &node);
	else if (!error && flags & TW_OPEN_EXCLUSIVE)
		error = -EEXIST;
	if (!error && node->kind != TW_KIND_FILE)
		error = -EISDIR;
	if (!error && flags & TW_OPEN_TRUNCATE && node->size) {
		error = disk_change(disk);
		if (!error && disk->written && node->mark)
			disk->written(disk->context, node);
		if (!error)
			node_resize(disk, node, 0);
	}
	if (error)
		return error;
	*ret = sim_alloc(sizeof(**ret));
	**ret = (struct tw_file){ disk, node, flags };
	return 0;
}

static int fs_stat(void *context, const char *path, bool follow, struct tw_file_stat *ret)
{
	struct sim_disk *disk = context;
	struct sim_node *node;
	int error = disk->dead ? -EIO : look_up(disk, path, &node);

	(void)follow;
	if (!error)
		node_stat(node, ret);
	return error;
}

static int fs_mkdir(void *context, const char *path, uint32_t mode)
{
	struct sim_disk *disk = context;
	struct sim_node *folder, *node;
	char name[256];
	int error = locate(disk, path, &folder, name);

	if (!error && (!name[0] || name_get(&folder->now, name)))
		error = -EEXIST;
	if (!error)
		error = disk_change(disk);
	if (!error)
		error = disk->write_error;
	if (error)
		return error;
	node = node_new(disk, TW_KIND_DIRECTORY);
	node->mode = node->stored_mode = mode & 0777;
	note_change(folder, NULL, name, node);
	return 0;
}

static int fs_rename(void *context, const char *from, const char *to, bool replace)
{
	struct sim_disk *disk = context;
	struct sim_node *from_folder, *to_folder, *node, *target;
	char from_name[256], to_name[256];
	int error = locate(disk, from, &from_folder, from_name);

	if (!error)
		error = locate(disk, to, &to_folder, to_name);
	if (error)
		return error;
	node = name_get(&from_folder->now, from_name);
	target = name_get(&to_folder->now, to_name);
	if (!node)
		return -ENOENT;
	if (target && !replace)
		return -EEXIST;
	if (target && target->kind == TW_KIND_DIRECTORY)
		return -EISDIR;
	error = disk_change(disk);
	if (error)
		return error;
	if (from_folder == to_folder) {
		note_change(from_folder, from_name, to_name, node);
	} else {
		/* The name comes before it goes, so that a cut in between leaves two, not none. */
		note_change(to_folder, NULL, to_name, node);
		note_change(from_folder, from_name, NULL, NULL);
	}
	tell_named(disk, to, node);
	return 0;
}

static int fs_unlink(void *context, const char *path)
{
	struct sim_disk *disk = context;
	struct sim_node *folder, *node;
	char name[256];
	int error = locate(disk, path, &folder, name);

	if (error)
		return error;
	node = name_get(&folder->now, name);
	if (!node)
		return -ENOENT;
	if (node->kind == TW_KIND_DIRECTORY && node->now.count)
		return -ENOTEMPTY;
	error = disk_change(disk);
	if (!error)
		note_change(folder, name, NULL, NULL);
	return error;
}

static int fs_set_directory_meta(void *context, const char *path, uint32_t mode, int64_t mtime_ns)
{
	struct sim_disk *disk = context;
	struct sim_node *node;
	int error = look_up(disk, path, &node);

	if (!error && node->kind != TW_KIND_DIRECTORY)
		error = -ENOTDIR;
	if (!error)
		error = disk_change(disk);
	if (error)
		return error;
	node->mode = mode & 0777;
	node->mtime_ns = mtime_ns;
	return 0;
}

static int fs_sync_directory(void *context, const char *path)
{
	struct sim_disk *disk = context;
	struct sim_node *node;
	int error = look_up(disk, path, &node);

	if (!error && node->kind != TW_KIND_DIRECTORY)
		error = -ENOTDIR;
	if (!error)
		error = disk_change(disk);
	if (!error)
		error = disk->sync_error;
	if (error)
		return error;
	disk->flushes++;
	sync_folder(node);
	return 0;
}

static int fs_sync_all(void *context)
{
	struct sim_disk *disk = context;
	int error = disk_change(disk);

	if (!error)
		error = disk->sync_error;
	if (error)
		return error;
	disk->flushes++;
	for (struct sim_node *node = disk->all; node; node = node->next) {
		node_sync(node);
		sync_folder(node);
	}
	return 0;
}

static int fs_list(void *context, const char *path, int (*each)(void *context, const char *name),
		   void *each_context)
{
	struct sim_disk *disk = context;
	struct sim_node *node;
	int error = disk->dead ? -EIO : look_up(disk, path, &node);

	if (!error && node->kind != TW_KIND_DIRECTORY)
		error = -ENOTDIR;
	if (error)
		return error;
	/* A copy: @each may change the folder. */
	size_t count = node->now.count;
	char **names = sim_alloc((count + 1) * sizeof(names[0]));

	for (size_t i = 0; i < count; i++)
		names[i] = strdup(node->now.at[i].text);
	for (size_t i = 0; i < count; i++) {
		if (!error)
			error = each(each_context, names[i]);
		free(names[i]);
	}
	free(names);
	return error;
}

static void fs_boot_id(void *context, uint8_t ret[16])
{
	const struct sim_disk *disk = context;

	memcpy(ret, disk->boot_id, 16);
}

static const struct tw_fs_ops ops = {
	.open = fs_open,
	.close = file_close,
	.read = file_read,
	.write = file_write,
	.resize = file_resize,
	.stat_file = file_stat,
	.sync = file_sync,
	.set_meta = file_set_meta,
	.next_data = file_next_data,
	.in_memory = file_in_memory,
	.stat = fs_stat,
	.mkdir = fs_mkdir,
	.rename = fs_rename,
	.unlink = fs_unlink,
	.set_directory_meta = fs_set_directory_meta,
	.sync_directory = fs_sync_directory,
	.sync_all = fs_sync_all,
	.list = fs_list,
	.boot_id = fs_boot_id,
};

struct tw_fs sim_disk_fs(struct sim_disk *disk)
{
	return (struct tw_fs){ .ops = &ops, .context = disk };
}

static void new_boot(struct sim_disk *disk)
{
	for (size_t i = 0; i < sizeof(disk->boot_id); i++)
		disk->boot_id[i] = (uint8_t)tw_prng_u64(&disk->sim->prng);
}

void sim_disk_init(struct sim_disk *disk, struct sim *sim, const struct sim_disk_config *config)
{
	*disk = (struct sim_disk){ .sim = sim, .config = *config };
	disk->root = node_new(disk, TW_KIND_DIRECTORY);
	new_boot(disk);
}

void sim_disk_deinit(struct sim_disk *disk)
{
	while (disk->all) {
		struct sim_node *node = disk->all;

		disk->all = node->next;
		node_drop_pages(disk, node);
		settle_changes(node, 0);
		free(node->changes);
		names_free(&node->now);
		names_free(&node->stored);
		free(node);
	}
}

static void copy_names(struct names *to, const struct names *from)
{
	names_free(to);
	for (size_t i = 0; i < from->count; i++)
		name_put(to, from->at[i].text, from->at[i].node);
}

void sim_disk_cut(struct sim_disk *disk)
{
	unsigned style = (unsigned)tw_prng_below(&disk->sim->prng, CUT_STYLES);

	for (struct sim_node *node = disk->all; node; node = node->next) {
		size_t kept = node->change_count;

		if (node->kind == TW_KIND_FILE) {
			node_cut(disk, node, style);
			continue;
		}
		if (style == CUT_LOSE)
			kept = 0;
		else if (style == CUT_MIX)
			kept = tw_prng_below(&disk->sim->prng, node->change_count + 1);
		settle_changes(node, kept);
		copy_names(&node->now, &node->stored);
		node->mode = node->stored_mode;
		node->mtime_ns = node->stored_mtime_ns;
	}
	new_boot(disk);
}

struct sim_node *sim_disk_find(const struct sim_disk *disk, const char *path)
{
	struct sim_node *node;

	return look_up(disk, path, &node) ? NULL : node;
}

struct sim_node *sim_disk_make(struct sim_disk *disk, const char *path)
{
	struct sim_node *at = disk->root;

	while (*path) {
		size_t length = strcspn(path, "/");
		bool folder = path[length] == '/';
		char name[256];

		assert(length && length < sizeof(name));
		memcpy(name, path, length);
		name[length] = 0;
		path += length + folder;
		struct sim_node *next = name_get(&at->now, name);
		if (!next) {
			next = node_new(disk, folder ? TW_KIND_DIRECTORY : TW_KIND_FILE);
			note_change(at, NULL, name, next);
			sync_folder(at);
		}
		at = next;
	}
	return at;
}

uint64_t sim_node_size(const struct sim_node *node)
{
	return node->size;
}

bool sim_node_is_folder(const struct sim_node *node)
{
	return node->kind == TW_KIND_DIRECTORY;
}

uint32_t sim_node_mode(const struct sim_node *node)
{
	return node->mode;
}

int64_t sim_node_mtime(const struct sim_node *node)
{
	return node->mtime_ns;
}

uint64_t sim_node_pages(const struct sim_node *node)
{
	return node->page_count;
}

void sim_node_set(struct sim_node *node, uint32_t mode, int64_t mtime_ns)
{
	node->mode = node->stored_mode = mode;
	node->mtime_ns = node->stored_mtime_ns = mtime_ns;
}

void sim_node_write(struct sim_disk *disk, struct sim_node *node, const void *bytes, size_t length,
		    uint64_t offset)
{
	uint64_t capacity = disk->config.capacity;

	disk->config.capacity = 0;
	node_write(disk, node, bytes, length, offset);
	disk->config.capacity = capacity;
	node_sync(node);
}

void sim_node_resize(struct sim_disk *disk, struct sim_node *node, uint64_t size)
{
	node_resize(disk, node, size);
	node_sync(node);
}

bool sim_node_equal(const struct sim_node *a, const struct sim_node *b)
{
	static uint8_t bytes[2][1 << 16];
	struct tw_file files[2] = { { .node = (struct sim_node *)a },
				    { .node = (struct sim_node *)b } };
	struct sim_disk quiet = { 0 };
	uint64_t at = 0;

	if (a->kind != b->kind || a->size != b->size)
		return false;
	files[0].disk = files[1].disk = &quiet;
	while (at < a->size) {
		uint64_t starts[2] = { a->size, a->size }, end;

		for (int i = 0; i < 2; i++)
			file_next_data(&files[i], at, &starts[i], &end);
		at = starts[0] < starts[1] ? starts[0] : starts[1];
		int64_t length = file_read(&files[0], bytes[0], sizeof(bytes[0]), at);

		file_read(&files[1], bytes[1], sizeof(bytes[1]), at);
		if (memcmp(bytes[0], bytes[1], (size_t)length) != 0)
			return false;
		at += (uint64_t)length;
	}
	return true;
}

void **sim_node_mark(struct sim_node *node)
{
	return &node->mark;
}

static void walk(const struct sim_node *folder, char path[PATH_MAX_BYTES],
		 void (*each)(void *context, const char *path, struct sim_node *node),
		 void *context)
{
	size_t length = strlen(path);

	for (size_t i = 0; i < folder->now.count; i++) {
		const struct name *name = &folder->now.at[i];

		snprintf(path + length, PATH_MAX_BYTES - length, "%s%s", length ? "/" : "",
			 name->text);
		each(context, path, name->node);
		if (name->node->kind == TW_KIND_DIRECTORY)
			walk(name->node, path, each, context);
		path[length] = 0;
	}
}

void sim_disk_walk(const struct sim_disk *disk, const char *path,
		   void (*each)(void *context, const char *path, struct sim_node *node),
		   void *context)
{
	struct sim_node *node = sim_disk_find(disk, path);
	char whole[PATH_MAX_BYTES];

	snprintf(whole, sizeof(whole), "%s", path);
	if (node && node->kind == TW_KIND_DIRECTORY)
		walk(node, whole, each, context);
}
