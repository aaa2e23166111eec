#include "engine/watch_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>

#include "base/bytes.h"
#include "base/error.h"
#include "content/glob.h"
#include "content/names.h"

#define HEARD (IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB)
#define DEPTH_MAX 128
#define PATH_ROOM 4097
#define TABLE_VERSION 1
/* A record of the encoded table beside its path. */
#define RECORD_ROOM (8 + 1 + 32)

/* What a scan finds, before it is put in order. */
struct found {
	struct tw_watch_file *files;
	size_t count, room;
};

struct walk {
	struct tw_watch_scan *scan;
	struct found found;
	size_t bytes;              /* that what was found takes */
	char whole[2 * PATH_ROOM]; /* the folder, and the path in it behind */
	char *path;                /* within @whole */
	unsigned depth;
};

/* The names in one folder, each with its NUL. */
struct names {
	char *at; /* owned */
	size_t length, room;
};

static void free_files(struct tw_watch_file *files, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(files[i].path);
	free(files);
}

void tw_watch_table_deinit(struct tw_watch_table *table)
{
	free_files(table->files, table->count);
	*table = (struct tw_watch_table){ 0 };
}

static size_t bytes_of(const char *path)
{
	return sizeof(struct tw_watch_file) + strlen(path) + 1;
}

size_t tw_watch_table_bytes(const struct tw_watch_table *table)
{
	size_t bytes = 0;

	for (size_t i = 0; i < table->count; i++)
		bytes += bytes_of(table->files[i].path);
	return bytes;
}

static int compare_files(const void *a, const void *b)
{
	return strcmp(((const struct tw_watch_file *)a)->path,
		      ((const struct tw_watch_file *)b)->path);
}

static bool differs(const struct tw_watch_file *file)
{
	return !file->sent || file->size != file->sent_size ||
	       file->mtime_ns != file->sent_mtime_ns;
}

bool tw_watch_file_ready(const struct tw_watch_file *file, tw_ns now, tw_ns settle_ns)
{
	return file->present && !file->busy && differs(file) &&
	       tw_ns_add(file->since, settle_ns) <= now;
}

/* Walking. */

static int reserve(struct found *found)
{
	size_t room = found->room ? found->room * 2 : 256;
	struct tw_watch_file *files;

	if (found->count < found->room)
		return 0;
	files = realloc(found->files, room * sizeof *files);
	if (!files)
		return -ENOMEM;
	found->files = files;
	found->room = room;
	return 0;
}

static bool any_matches(const char *const *patterns, size_t count, const char *path, bool folder)
{
	for (size_t i = 0; i < count; i++)
		if (tw_glob_match_path(patterns[i], path, folder))
			return true;
	return false;
}

static bool wanted(const struct tw_watch_scan *scan, const char *path, bool folder)
{
	if (any_matches(scan->exclude, scan->exclude_count, path, folder))
		return false;
	return folder || !scan->include_count ||
	       any_matches(scan->include, scan->include_count, path, false);
}

/* How long ago the file itself says it last changed; 0 where its clock is ahead of ours. */
static tw_ns age(const struct tw_watch_scan *scan, const struct tw_file_stat *stat)
{
	int64_t changed = stat->mtime_ns, status = stat->ctime_ns;

	if (status > changed)
		changed = status;
	return scan->wall_ns > changed ? (tw_ns)(scan->wall_ns - changed) : 0;
}

static int add_file(struct walk *walk, const struct tw_file_stat *stat)
{
	struct found *found = &walk->found;
	struct tw_watch_file *file;
	int r;

	if (found->count == TW_WATCH_TABLE_MAX ||
	    walk->scan->others + walk->bytes + bytes_of(walk->path) > TW_WATCH_OWNER_BYTES) {
		walk->scan->too_many = true;
		return 0;
	}
	r = reserve(found);
	if (r)
		return r;
	file = &found->files[found->count];
	*file = (struct tw_watch_file){
		.path = strdup(walk->path),
		.size = stat->size,
		.mtime_ns = stat->mtime_ns,
		.present = true,
		.since = tw_ns_since(walk->scan->now, age(walk->scan, stat)),
	};
	if (!file->path)
		return -ENOMEM;
	found->count++;
	walk->bytes += bytes_of(walk->path);
	return 0;
}

static int walk_folder(struct walk *walk, size_t length);

static int walk_name(struct walk *walk, const char *name, size_t length)
{
	const struct tw_fs *fs = walk->scan->fs;
	size_t name_length = strlen(name), slash = length > 0;
	struct tw_file_stat stat;
	int r;

	if (length + slash + name_length >= PATH_ROOM)
		return 0;
	if (slash)
		walk->path[length] = '/';
	memcpy(walk->path + length + slash, name, name_length + 1);
	/* What goes while it is looked at is gone; of anything else nothing is known. */
	r = fs->ops->stat(fs->context, walk->whole, false, &stat);
	if (r) {
		walk->scan->unreadable += r != -ENOENT;
		return 0;
	}
	if (stat.kind == TW_KIND_DIRECTORY)
		return wanted(walk->scan, walk->path, true)
			       ? walk_folder(walk, length + slash + name_length)
			       : 0;
	if (stat.kind != TW_KIND_FILE || !wanted(walk->scan, walk->path, false))
		return 0;
	return add_file(walk, &stat);
}

static int add_name(void *context, const char *name)
{
	struct names *names = context;
	size_t n = strlen(name) + 1;

	if (tw_name_reserved(name, n - 1))
		return 0;
	if (names->length + n > names->room) {
		size_t room = names->room * 2 + n + 256;
		char *at = realloc(names->at, room);

		if (!at)
			return -ENOMEM;
		names->at = at;
		names->room = room;
	}
	memcpy(names->at + names->length, name, n);
	names->length += n;
	return 0;
}

static int walk_names(struct walk *walk, const struct names *names, size_t length)
{
	const struct tw_watch_scan *scan = walk->scan;
	int r = 0;

	for (size_t at = 0; !r && at < names->length; at += strlen(names->at + at) + 1) {
		if (scan->cancelled && scan->cancelled(scan->context))
			return TW_E_CLOSED;
		r = walk_name(walk, names->at + at, length);
		walk->path[length] = '\0';
	}
	return r;
}

/* Watched before it is listed: what comes between the two is heard of. */
static void listen_to(struct walk *walk)
{
	struct tw_watch_scan *scan = walk->scan;
	const struct tw_fs *fs = scan->fs;

	if (scan->inotify_fd < 0)
		return;
	if (!fs->ops->listen || fs->ops->listen(fs->context, walk->whole, scan->inotify_fd, HEARD))
		scan->unwatched = true;
}

/* The folder at the walk's path, which is @length long. */
static int walk_folder(struct walk *walk, size_t length)
{
	struct tw_watch_scan *scan = walk->scan;
	struct names names = { 0 };
	int r;

	if (scan->cancelled && scan->cancelled(scan->context))
		return TW_E_CLOSED;
	if (walk->depth == DEPTH_MAX)
		return 0;
	listen_to(walk);
	r = scan->fs->ops->list(scan->fs->context, walk->whole, add_name, &names);
	if (r) {
		free(names.at);
		if (!walk->depth || r == -ENOMEM)
			return r;
		scan->unreadable += r != -ENOENT;
		return 0;
	}
	walk->depth++;
	r = walk_names(walk, &names, length);
	walk->depth--;
	free(names.at);
	return r;
}

/* Where the paths in the folder begin. */
static int begin(struct walk *walk)
{
	size_t length = strlen(walk->scan->folder);

	while (length && walk->scan->folder[length - 1] == '/')
		length--;
	if (length + 1 >= PATH_ROOM)
		return -ENAMETOOLONG;
	memcpy(walk->whole, walk->scan->folder, length);
	walk->whole[length] = '/';
	walk->path = walk->whole + length + 1;
	return 0;
}

/* Comparing. */

static void note(struct tw_watch_scan *scan, const struct tw_watch_file *file)
{
	tw_ns ready_at = tw_ns_add(file->since, scan->settle_ns);

	if (tw_watch_file_ready(file, scan->now, scan->settle_ns)) {
		scan->ready++;
	} else if (differs(file) && ready_at > scan->now) {
		scan->waiting++;
		scan->settles_in = tw_ns_min(scan->settles_in, ready_at - scan->now);
	}
}

/* A file that was known: its history goes on. Takes nothing from @before but figures. */
static void carry_over(const struct tw_watch_scan *scan, struct tw_watch_file *file,
		       const struct tw_watch_file *before)
{
	bool same = file->size == before->size && file->mtime_ns == before->mtime_ns;

	if (before->present)
		file->since = same ? before->since : scan->now;
	file->sent = before->sent;
	file->sent_size = before->sent_size;
	file->sent_mtime_ns = before->sent_mtime_ns;
	file->busy = before->busy;
	file->busy_removed = before->busy_removed;
	file->busy_size = before->busy_size;
	file->busy_mtime_ns = before->busy_mtime_ns;
}

/* True: @file is gone, but must be remembered still. Where not everything could be looked at it may
 * be there all the same: only a walk that saw everything tells what was removed. */
static bool keep_gone(const struct tw_watch_scan *scan, struct tw_watch_file *file)
{
	file->present = false;
	file->unknown = scan->unreadable || scan->too_many;
	return file->busy || (file->sent && scan->want_removed);
}

/* Both in order; what is kept of the old table and all that was found become the new one. */
static int merge(struct tw_watch_scan *scan, struct found *found, struct tw_watch_table *table)
{
	size_t room = found->count + table->count, at = 0, old = 0, count = 0;
	struct tw_watch_file *files = malloc((room ? room : 1) * sizeof *files);

	if (!files)
		return -ENOMEM;
	while (at < found->count || old < table->count) {
		int order = at == found->count ? 1 : -1;

		if (at < found->count && old < table->count)
			order = compare_files(&found->files[at], &table->files[old]);

		if (order == 0)
			carry_over(scan, &found->files[at], &table->files[old]);
		if (order <= 0) {
			note(scan, &found->files[at]);
			files[count++] = found->files[at++];
		}
		if (order > 0 && keep_gone(scan, &table->files[old])) {
			scan->removed += table->files[old].sent && !table->files[old].busy &&
					 !table->files[old].unknown;
			files[count++] = table->files[old++];
		} else if (order >= 0) {
			free(table->files[old++].path);
		}
	}
	free(table->files);
	free(found->files);
	*found = (struct found){ 0 };
	table->files = files;
	table->count = count;
	return 0;
}

int tw_watch_scan_run(struct tw_watch_scan *scan, struct tw_watch_table *table)
{
	struct walk *walk = calloc(1, sizeof *walk);
	int r;

	if (!walk)
		return -ENOMEM;
	walk->scan = scan;
	scan->ready = scan->waiting = scan->removed = scan->unreadable = 0;
	scan->settles_in = TW_NEVER;
	scan->too_many = scan->unwatched = false;
	r = begin(walk);
	if (!r)
		r = walk_folder(walk, 0);
	if (!r) {
		if (walk->found.count)
			qsort(walk->found.files, walk->found.count, sizeof *walk->found.files,
			      compare_files);
		r = merge(scan, &walk->found, table);
	}
	free_files(walk->found.files, walk->found.count);
	free(walk);
	return r;
}

/* Storing. */

enum record_flags {
	RECORD_SENT = 1,
	RECORD_BUSY = 2,
	RECORD_REMOVED = 4, /* its removal is under way */
};

static void write_file(struct tw_writer *writer, const struct tw_watch_file *file)
{
	size_t length = strlen(file->path);

	tw_write_varint(writer, length);
	tw_write_bytes(writer, file->path, length);
	tw_write_u8(writer,
		    (uint8_t)((file->sent ? RECORD_SENT : 0) | (file->busy ? RECORD_BUSY : 0) |
			      (file->busy_removed ? RECORD_REMOVED : 0)));
	if (file->sent) {
		tw_write_u64(writer, file->sent_size);
		tw_write_u64(writer, (uint64_t)file->sent_mtime_ns);
	}
	if (file->busy) {
		tw_write_u64(writer, file->busy_size);
		tw_write_u64(writer, (uint64_t)file->busy_mtime_ns);
	}
}

int tw_watch_table_encode(const struct tw_watch_table *table, void **ret, size_t *ret_length)
{
	struct tw_writer writer;
	size_t room = 16, count = 0;
	uint8_t *bytes;

	for (size_t i = 0; i < table->count; i++) {
		if (!table->files[i].sent && !table->files[i].busy)
			continue;
		room += RECORD_ROOM + strlen(table->files[i].path);
		count++;
	}
	bytes = malloc(room);
	if (!bytes)
		return -ENOMEM;
	tw_writer_init(&writer, bytes, room);
	tw_write_u8(&writer, TABLE_VERSION);
	tw_write_varint(&writer, count);
	for (size_t i = 0; i < table->count; i++)
		if (table->files[i].sent || table->files[i].busy)
			write_file(&writer, &table->files[i]);
	*ret = bytes;
	*ret_length = tw_writer_length(&writer);
	return 0;
}

static bool read_file(struct tw_reader *reader, struct tw_watch_file *file)
{
	uint64_t length = tw_read_varint(reader);
	const uint8_t *path = length && length < PATH_ROOM ? tw_read_bytes(reader, length) : NULL;
	uint8_t flags = tw_read_u8(reader);

	*file = (struct tw_watch_file){
		.sent = flags & RECORD_SENT,
		.busy = flags & RECORD_BUSY,
		.busy_removed = flags & RECORD_REMOVED,
	};
	if (!path || memchr(path, '\0', length))
		return false;
	file->path = strndup((const char *)path, length);
	if (file->sent) {
		file->sent_size = tw_read_u64(reader);
		file->sent_mtime_ns = (int64_t)tw_read_u64(reader);
	}
	if (file->busy) {
		file->busy_size = tw_read_u64(reader);
		file->busy_mtime_ns = (int64_t)tw_read_u64(reader);
	}
	return file->path && !reader->failed;
}

int tw_watch_table_decode(const void *bytes, size_t length, struct tw_watch_table *ret)
{
	struct tw_watch_table table = { 0 };
	struct tw_reader reader;
	uint64_t count;
	bool right;

	tw_reader_init(&reader, bytes, length);
	right = tw_read_u8(&reader) == TABLE_VERSION;
	count = tw_read_varint(&reader);
	if (!right || reader.failed || count > TW_WATCH_TABLE_MAX)
		return TW_E_FORMAT;
	table.files = calloc(count ? count : 1, sizeof *table.files);
	if (!table.files)
		return -ENOMEM;
	while (right && table.count < count) {
		right = read_file(&reader, &table.files[table.count]);
		/* In order, each once: a search relies on it. */
		if (right && table.count)
			right = compare_files(&table.files[table.count - 1],
					      &table.files[table.count]) < 0;
		table.count++;
	}
	if (!right || tw_reader_left(&reader)) {
		tw_watch_table_deinit(&table);
		return TW_E_FORMAT;
	}
	*ret = table;
	return 0;
}
