#include "content/manifest.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/error.h"

#define COMPONENT_MAX 255
/*
 * Offsets into the names are 32 bits; the first byte is left unused, so that 0 means "no folder
 * above".
 */
#define NAMES_MAX UINT32_MAX
/* A kept name: u32 place of the folder's name | u8 length | bytes. */
#define NAME_HEAD 5
/* What an entry of a foreign manifest counts: itself, and what a sink keeps of each. */
#define FOREIGN_ENTRY (sizeof(struct tw_entry) + 80)

/*
 * Names are a tree of components, each kept once while paths come in the order of a walk: @chain
 * holds the places of the last path's components, and the next path takes over those that it shares
 * with it.
 */
struct tw_manifest {
	struct tw_entry *entries;       /* owned */
	uint64_t count, room;
	uint64_t tape_size, chunk_count, file_count;

	uint8_t *names;                 /* owned */
	size_t names_length, names_room;
	uint32_t chain[TW_PATH_MAX / 2 + 1];
	unsigned depth;

	bool foreign;
	uint64_t counted; /* of it, in @foreign_bytes */
};

/* All foreign ones of the program. */
static atomic_uint_least64_t foreign_bytes;
uint64_t tw_manifest_foreign_max;

static uint64_t foreign_max(void)
{
	if (tw_manifest_foreign_max)
		return tw_manifest_foreign_max;
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2;
}

/* False: there is no room for @bytes more. */
static bool count_foreign(struct tw_manifest *manifest, uint64_t bytes)
{
	if (!manifest->foreign)
		return true;
	if (atomic_fetch_add(&foreign_bytes, bytes) + bytes > foreign_max()) {
		atomic_fetch_sub(&foreign_bytes, bytes);
		return false;
	}
	manifest->counted += bytes;
	return true;
}

int tw_path_check(const char *path, size_t length)
{
	size_t start = 0;

	if (!length || length > TW_PATH_MAX || memchr(path, '\0', length))
		return TW_E_UNSAFE;
	while (start <= length) {
		const char *slash = memchr(path + start, '/', length - start);
		size_t end = slash ? (size_t)(slash - path) : length;
		size_t n = end - start;

		if (!n || n > COMPONENT_MAX)
			return TW_E_UNSAFE;
		if (path[start] == '.' && (n == 1 || (n == 2 && path[start + 1] == '.')))
			return TW_E_UNSAFE;
		start = end + 1;
	}
	return 0;
}

struct tw_manifest *tw_manifest_new(void)
{
	struct tw_manifest *manifest = calloc(1, sizeof(*manifest));

	if (manifest)
		manifest->names_length = 1;
	return manifest;
}

void tw_manifest_set_foreign(struct tw_manifest *manifest)
{
	assert(!manifest->room && !manifest->names_room);
	manifest->foreign = true;
}

void tw_manifest_free(struct tw_manifest *manifest)
{
	if (!manifest)
		return;
	atomic_fetch_sub(&foreign_bytes, manifest->counted);
	free(manifest->entries);
	free(manifest->names);
	free(manifest);
}

static uint32_t name_folder(const struct tw_manifest *manifest, uint32_t place)
{
	uint32_t folder;

	memcpy(&folder, manifest->names + place, sizeof(folder));
	return folder;
}

static uint8_t name_length(const struct tw_manifest *manifest, uint32_t place)
{
	return manifest->names[place + 4];
}

static const uint8_t *name_bytes(const struct tw_manifest *manifest, uint32_t place)
{
	return manifest->names + place + NAME_HEAD;
}

static int make_room(struct tw_manifest *manifest, size_t path_length)
{
	/*
	 * Each component of n bytes takes NAME_HEAD + n, and the path has n + 1 for all but the
	 * last.
	 */
	size_t names = manifest->names_length + path_length * (NAME_HEAD + 1);

	if (manifest->count == TW_ENTRIES_MAX || names > NAMES_MAX)
		return TW_E_FULL;
	if (manifest->count == manifest->room) {
		uint64_t room = manifest->room ? manifest->room + manifest->room / 2 : 64;
		struct tw_entry *entries;

		if (!count_foreign(manifest, (room - manifest->room) * FOREIGN_ENTRY))
			return TW_E_FULL;
		entries = realloc(manifest->entries, room * sizeof(*entries));
		if (!entries)
			return -ENOMEM;
		manifest->entries = entries;
		manifest->room = room;
	}
	if (names > manifest->names_room) {
		size_t room = names + names / 2 + 1024;
		uint8_t *bytes;

		if (!count_foreign(manifest, room - manifest->names_room))
			return TW_E_FULL;
		bytes = realloc(manifest->names, room);
		if (!bytes)
			return -ENOMEM;
		manifest->names = bytes;
		manifest->names_room = room;
	}
	return 0;
}

static uint32_t add_name(struct tw_manifest *manifest, uint32_t folder, const char *name,
			 size_t length)
{
	uint32_t place = (uint32_t)manifest->names_length;
	uint8_t *at = manifest->names + place;

	memcpy(at, &folder, sizeof(folder));
	at[4] = (uint8_t)length;
	memcpy(at + NAME_HEAD, name, length);
	manifest->names_length += NAME_HEAD + length;
	return place;
}

/* Keeps @path, sharing what it can with the path before. 0: it is the same path. */
static uint32_t keep_path(struct tw_manifest *manifest, const char *path)
{
	uint32_t place = 0;
	unsigned depth = 0;
	bool shared = true;

	for (const char *at = path; ; depth++) {
		const char *end = strchrnul(at, '/');
		size_t length = (size_t)(end - at);

		shared = shared && depth < manifest->depth &&
			 name_length(manifest, manifest->chain[depth]) == length &&
			 !memcmp(name_bytes(manifest, manifest->chain[depth]), at, length);
		if (shared && !*end && depth + 1 == manifest->depth)
			return 0;
		place = shared ? manifest->chain[depth] : add_name(manifest, place, at, length);
		manifest->chain[depth] = place;
		if (!*end)
			break;
		at = end + 1;
	}
	manifest->depth = depth + 1;
	return place;
}

int tw_manifest_append(struct tw_manifest *manifest, const char *path, const struct tw_entry *entry)
{
	size_t length = strlen(path);
	uint64_t size = entry->kind == TW_KIND_FILE ? entry->size : 0;
	uint32_t place;
	int r;

	assert(entry->kind == TW_KIND_FILE || entry->kind == TW_KIND_DIRECTORY ||
	       entry->kind == TW_KIND_REMOVAL);
	r = tw_path_check(path, length);
	if (r)
		return r;
	if (size > TW_VARINT_MAX || manifest->tape_size + size > TW_VARINT_MAX)
		return TW_E_FULL;
	r = make_room(manifest, length);
	if (r)
		return r;
	place = keep_path(manifest, path);
	if (!place)
		return TW_E_UNSAFE;
	manifest->entries[manifest->count] = (struct tw_entry){
		.tape_start = manifest->tape_size,
		.size = size,
		.chunk_first = manifest->chunk_count,
		.mtime_ns = entry->mtime_ns,
		.path = place,
		.mode = entry->mode & 0777,
		.kind = entry->kind,
		.flags = entry->kind == TW_KIND_FILE ? entry->flags & TW_ENTRY_SPARSE : 0,
	};
	manifest->chunk_count += tw_entry_chunks(&manifest->entries[manifest->count]);
	manifest->file_count += entry->kind == TW_KIND_FILE;
	manifest->tape_size += size;
	manifest->count++;
	return 0;
}

uint64_t tw_manifest_count(const struct tw_manifest *manifest)
{
	return manifest->count;
}

uint64_t tw_manifest_tape_size(const struct tw_manifest *manifest)
{
	return manifest->tape_size;
}

uint64_t tw_manifest_chunk_count(const struct tw_manifest *manifest)
{
	return manifest->chunk_count;
}

uint64_t tw_manifest_file_count(const struct tw_manifest *manifest)
{
	return manifest->file_count;
}

const struct tw_entry *tw_manifest_entry(const struct tw_manifest *manifest, uint64_t index)
{
	assert(index < manifest->count);
	return &manifest->entries[index];
}

size_t tw_manifest_path(const struct tw_manifest *manifest, uint64_t index, char *ret)
{
	uint32_t last = tw_manifest_entry(manifest, index)->path;
	size_t length = 0, end;

	for (uint32_t place = last; place; place = name_folder(manifest, place))
		length += name_length(manifest, place) + 1u;
	assert(length && length - 1 <= TW_PATH_MAX);
	end = --length;
	ret[length] = '\0';
	for (uint32_t place = last; place; place = name_folder(manifest, place)) {
		size_t n = name_length(manifest, place);

		memcpy(ret + end - n, name_bytes(manifest, place), n);
		end -= n;
		if (end)
			ret[--end] = '/';
	}
	return length;
}

/*
 * Entries without content share their place with the next one that has some, so the last entry that
 * starts at or before the place is the one that holds it.
 */
uint64_t tw_manifest_find(const struct tw_manifest *manifest, uint64_t offset)
{
	uint64_t low = 0, high = manifest->count;

	assert(offset < manifest->tape_size);
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;

		if (manifest->entries[middle].tape_start <= offset)
			low = middle;
		else
			high = middle;
	}
	return low;
}

uint64_t tw_manifest_find_chunk(const struct tw_manifest *manifest, uint64_t chunk)
{
	uint64_t low = 0, high = manifest->count;

	assert(chunk < manifest->chunk_count);
	while (high - low > 1) {
		uint64_t middle = low + (high - low) / 2;

		if (manifest->entries[middle].chunk_first <= chunk)
			low = middle;
		else
			high = middle;
	}
	return low;
}
