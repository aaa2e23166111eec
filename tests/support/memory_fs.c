#include "memory_fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

struct tw_file {
	struct memory_fs *fs;
	struct memory_node *node;
};

static void *must(void *at)
{
	if (!at)
		abort();
	return at;
}

/* A call that changes something: may it still? */
static bool alive(struct memory_fs *fs)
{
	if (fs->calls_max && ++fs->calls > fs->calls_max)
		fs->frozen = true;
	return !fs->frozen;
}

static struct memory_name *find_in(struct memory_names *names, const char *path)
{
	for (size_t i = 0; i < names->count; i++) {
		if (!strcmp(names->at[i].path, path))
			return &names->at[i];
	}
	return NULL;
}

static void set_name(struct memory_names *names, const char *path, struct memory_node *node)
{
	struct memory_name *name = find_in(names, path);

	if (name) {
		name->node = node;
		return;
	}
	if (names->count == names->room) {
		names->room = names->room * 2 + 16;
		names->at = must(realloc(names->at, names->room * sizeof(*names->at)));
	}
	names->at[names->count++] = (struct memory_name){ must(strdup(path)), node };
}

static void drop_name(struct memory_names *names, const char *path)
{
	struct memory_name *name = find_in(names, path);

	if (!name)
		return;
	free(name->path);
	*name = names->at[--names->count];
}

static void clear_names(struct memory_names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->at[i].path);
	free(names->at);
	*names = (struct memory_names){ 0 };
}

static bool is_child(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	if (length && (strncmp(path, folder, length) != 0 || path[length++] != '/'))
		return false;
	return !strchr(path + length, '/');
}

struct memory_node *memory_fs_find(struct memory_fs *fs, const char *path)
{
	struct memory_name *name = find_in(&fs->now, path);

	return name ? name->node : NULL;
}

static struct memory_node *make_node(struct memory_fs *fs, enum tw_file_kind kind, uint32_t mode)
{
	struct memory_node *node = must(calloc(1, sizeof(*node)));

	node->kind = kind;
	node->mode = mode;
	node->inode = ++fs->inodes;
	node->next = fs->nodes;
	fs->nodes = node;
	return node;
}

static void store(struct memory_node *node)
{
	free(node->stored);
	node->stored = must(malloc(node->size + 1));
	if (node->size)
		memcpy(node->stored, node->bytes, node->size);
	node->stored_size = node->size;
	node->stored_mode = node->mode;
	node->stored_mtime_ns = node->mtime_ns;
}

/* -ENOENT or -ENOTDIR when there is no folder above @path. */
static int check_parent(struct memory_fs *fs, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct memory_node *parent;
	char *folder;

	if (!slash)
		return 0;
	folder = must(strndup(path, (size_t)(slash - path)));
	parent = memory_fs_find(fs, folder);
	free(folder);
	if (!parent)
		return -ENOENT;
	return parent->kind == TW_KIND_DIRECTORY ? 0 : -ENOTDIR;
}

static int memory_open(void *context, const char *path, unsigned flags, struct tw_file **ret)
{
	struct memory_fs *fs = context;
	struct memory_node *node = memory_fs_find(fs, path);
	int r = check_parent(fs, path);

	if (fs->frozen)
		return -EIO;
	if (fs->open_error && strstr(path, fs->open_error_name))
		return fs->open_error;
	if (r)
		return r;
	if (node && flags & TW_OPEN_EXCLUSIVE)
		return -EEXIST;
	if (!node && !(flags & TW_OPEN_CREATE))
		return -ENOENT;
	if (node && node->kind != TW_KIND_FILE)
		return -EISDIR;
	if (!node) {
		if (!alive(fs))
			return -EIO;
		node = make_node(fs, TW_KIND_FILE, 0600);
		if (fs->named)
			fs->named(fs, path, node);
		set_name(&fs->now, path, node);
	}
	if (flags & TW_OPEN_TRUNCATE)
		node->size = 0;
	*ret = must(malloc(sizeof(**ret)));
	**ret = (struct tw_file){ fs, node };
	return 0;
}

static void memory_close(struct tw_file *file)
{
	free(file);
}

static int64_t memory_read(struct tw_file *file, void *bytes, size_t length, uint64_t offset)
{
	struct memory_node *node = file->node;

	if (file->fs->frozen)
		return -EIO;
	file->fs->reads++;
	if (offset >= node->size)
		return 0;
	if (length > node->size - offset)
		length = node->size - offset;
	memcpy(bytes, node->bytes + offset, length);
	return (int64_t)length;
}

static void grow(struct memory_node *node, size_t size)
{
	if (size > node->room) {
		node->room = size * 2;
		node->bytes = must(realloc(node->bytes, node->room));
	}
	if (size > node->size)
		memset(node->bytes + node->size, 0, size - node->size);
	node->size = size;
}

static int memory_write(struct tw_file *file, const struct iovec *pieces, int count,
			uint64_t offset)
{
	struct memory_fs *fs = file->fs;
	uint64_t left;

	if (!alive(fs))
		return -EIO;
	fs->writes++;
	left = fs->room;
	for (int i = 0; i < count; i++) {
		size_t length = pieces[i].iov_len;

		/* What was written of it before takes no room when it is written again. */
		if (length > left)
			return -ENOSPC;
		left -= length;
		if (offset + length > file->node->size)
			grow(file->node, offset + length);
		memcpy(file->node->bytes + offset, pieces[i].iov_base, length);
		offset += length;
	}
	fs->room = left;
	return 0;
}

static int memory_resize(struct tw_file *file, uint64_t size)
{
	if (!alive(file->fs))
		return -EIO;
	grow(file->node, size);
	return 0;
}

static void fill_stat(const struct memory_node *node, struct tw_file_stat *ret)
{
	*ret = (struct tw_file_stat){
		.kind = node->kind,
		.size = node->size,
		.allocated = node->size,
		.mode = node->mode,
		.mtime_ns = node->mtime_ns,
		.inode = node->inode,
	};
}

static int memory_stat_file(struct tw_file *file, struct tw_file_stat *ret)
{
	if (file->fs->frozen)
		return -EIO;
	fill_stat(file->node, ret);
	return 0;
}

static int memory_sync(struct tw_file *file)
{
	if (!alive(file->fs))
		return -EIO;
	file->fs->syncs++;
	if (file->fs->sync_error)
		return file->fs->sync_error;
	store(file->node);
	return 0;
}

static int memory_set_meta(struct tw_file *file, uint32_t mode, int64_t mtime_ns)
{
	if (!alive(file->fs))
		return -EIO;
	file->node->mode = mode;
	file->node->mtime_ns = mtime_ns;
	return 0;
}

static int memory_next_data(struct tw_file *file, uint64_t offset, uint64_t *ret_start,
			    uint64_t *ret_end)
{
	(void)file;
	(void)offset;
	(void)ret_start;
	(void)ret_end;
	return -EOPNOTSUPP;
}

static int memory_stat(void *context, const char *path, bool follow, struct tw_file_stat *ret)
{
	struct memory_fs *fs = context;
	struct memory_node *node = memory_fs_find(fs, path);
	int r = check_parent(fs, path);

	(void)follow;
	if (fs->frozen)
		return -EIO;
	if (r || !node)
		return r ? r : -ENOENT;
	fill_stat(node, ret);
	return 0;
}

static int memory_mkdir(void *context, const char *path, uint32_t mode)
{
	struct memory_fs *fs = context;
	int r = check_parent(fs, path);

	if (!r && memory_fs_find(fs, path))
		r = -EEXIST;
	if (!r && !alive(fs))
		r = -EIO;
	if (!r)
		set_name(&fs->now, path, make_node(fs, TW_KIND_DIRECTORY, mode));
	return r;
}

static int memory_rename(void *context, const char *from, const char *to, bool replace)
{
	struct memory_fs *fs = context;
	struct memory_node *node = memory_fs_find(fs, from), *old = memory_fs_find(fs, to);

	if (!alive(fs))
		return -EIO;
	if (!node)
		return -ENOENT;
	if (old && !replace)
		return -EEXIST;
	if (old && old->kind == TW_KIND_DIRECTORY)
		return -EISDIR;
	if (fs->named)
		fs->named(fs, to, node);
	drop_name(&fs->now, from);
	set_name(&fs->now, to, node);
	return 0;
}

static int memory_unlink(void *context, const char *path)
{
	struct memory_fs *fs = context;
	struct memory_node *node = memory_fs_find(fs, path);

	if (!alive(fs))
		return -EIO;
	if (!node)
		return -ENOENT;
	for (size_t i = 0; node->kind == TW_KIND_DIRECTORY && i < fs->now.count; i++) {
		if (is_child(fs->now.at[i].path, path))
			return -ENOTEMPTY;
	}
	drop_name(&fs->now, path);
	return 0;
}

static int memory_set_directory_meta(void *context, const char *path, uint32_t mode,
				     int64_t mtime_ns)
{
	struct memory_fs *fs = context;
	struct memory_node *node = memory_fs_find(fs, path);

	if (!alive(fs))
		return -EIO;
	if (!node)
		return -ENOENT;
	node->mode = mode;
	node->mtime_ns = mtime_ns;
	return 0;
}

static int memory_sync_directory(void *context, const char *path)
{
	struct memory_fs *fs = context;

	if (!alive(fs))
		return -EIO;
	if (fs->sync_error)
		return fs->sync_error;
	for (size_t i = fs->stored.count; i-- > 0;) {
		const char *name = fs->stored.at[i].path;

		if (is_child(name, path) && !memory_fs_find(fs, name))
			drop_name(&fs->stored, name);
	}
	for (size_t i = 0; i < fs->now.count; i++) {
		if (is_child(fs->now.at[i].path, path))
			set_name(&fs->stored, fs->now.at[i].path, fs->now.at[i].node);
	}
	return 0;
}

static int memory_sync_all(void *context)
{
	struct memory_fs *fs = context;

	if (!alive(fs))
		return -EIO;
	fs->syncs++;
	if (fs->sync_error)
		return fs->sync_error;
	clear_names(&fs->stored);
	for (size_t i = 0; i < fs->now.count; i++)
		set_name(&fs->stored, fs->now.at[i].path, fs->now.at[i].node);
	for (struct memory_node *node = fs->nodes; node; node = node->next)
		store(node);
	return 0;
}

static int memory_list(void *context, const char *path,
		       int (*each)(void *context, const char *name), void *each_context)
{
	(void)context;
	(void)path;
	(void)each;
	(void)each_context;
	return -EOPNOTSUPP; /* a sink lists nothing */
}

static void memory_boot_id(void *context, uint8_t ret[16])
{
	struct memory_fs *fs = context;

	memset(ret, fs->boot, 16);
}

static const struct tw_fs_ops memory_ops = {
	.open = memory_open,
	.close = memory_close,
	.read = memory_read,
	.write = memory_write,
	.resize = memory_resize,
	.stat_file = memory_stat_file,
	.sync = memory_sync,
	.set_meta = memory_set_meta,
	.next_data = memory_next_data,
	.stat = memory_stat,
	.mkdir = memory_mkdir,
	.rename = memory_rename,
	.unlink = memory_unlink,
	.set_directory_meta = memory_set_directory_meta,
	.sync_directory = memory_sync_directory,
	.sync_all = memory_sync_all,
	.list = memory_list,
	.boot_id = memory_boot_id,
};

void memory_fs_init(struct memory_fs *fs)
{
	*fs = (struct memory_fs){ .room = UINT64_MAX, .boot = 1 };
}

void memory_fs_deinit(struct memory_fs *fs)
{
	while (fs->nodes) {
		struct memory_node *node = fs->nodes;

		fs->nodes = node->next;
		free(node->bytes);
		free(node->stored);
		free(node);
	}
	clear_names(&fs->now);
	clear_names(&fs->stored);
}

struct tw_fs memory_fs_view(struct memory_fs *fs)
{
	return (struct tw_fs){ &memory_ops, fs };
}

void memory_fs_reboot(struct memory_fs *fs)
{
	size_t before;

	clear_names(&fs->now);
	for (size_t i = 0; i < fs->stored.count; i++)
		set_name(&fs->now, fs->stored.at[i].path, fs->stored.at[i].node);
	/* A name in a folder that itself is gone is gone. */
	do {
		before = fs->now.count;
		for (size_t i = fs->now.count; i-- > 0;) {
			if (check_parent(fs, fs->now.at[i].path))
				drop_name(&fs->now, fs->now.at[i].path);
		}
	} while (fs->now.count < before);
	for (struct memory_node *node = fs->nodes; node; node = node->next) {
		node->size = 0;
		grow(node, node->stored_size);
		if (node->size)
			memcpy(node->bytes, node->stored, node->size);
		node->mode = node->stored_mode;
		node->mtime_ns = node->stored_mtime_ns;
	}
	fs->boot++;
	fs->frozen = false;
	fs->calls = fs->calls_max = 0;
}

void memory_fs_put(struct memory_fs *fs, const char *path, const void *bytes, size_t length)
{
	struct memory_node *node = make_node(fs, TW_KIND_FILE, 0644);

	grow(node, length);
	if (length)
		memcpy(node->bytes, bytes, length);
	store(node);
	set_name(&fs->now, path, node);
	set_name(&fs->stored, path, node);
}
