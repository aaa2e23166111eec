#include "auth/recent.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	size_t name; /* where, in the listing's names */
	struct tw_file_stat stat;
};

struct tw_recent_listing {
	struct tw_recent_listing *below; /* of the folder further out */
	char *folder;
	tw_ns at;
	struct entry *entries;
	size_t count, room, next; /* next: the one that is asked for next, mostly */
	char *names;
	size_t length, names_room;
};

struct tw_recent_listing *tw_recent_begin(const char *folder, tw_ns now)
{
	struct tw_recent_listing *listing = calloc(1, sizeof(*listing));

	if (!listing)
		return NULL;
	listing->at = now;
	listing->folder = strdup(folder);
	if (listing->folder)
		return listing;
	free(listing);
	return NULL;
}

static bool reserve(struct tw_recent_listing *listing, size_t name)
{
	if (listing->count == TW_RECENT_ENTRIES_MAX)
		return false;
	if (listing->count == listing->room) {
		size_t room = listing->room ? listing->room * 2 : 64;
		struct entry *entries = realloc(listing->entries, room * sizeof(*entries));

		if (!entries)
			return false;
		listing->entries = entries;
		listing->room = room;
	}
	if (listing->length + name > listing->names_room) {
		size_t room = listing->names_room * 2 + name + 1024;
		char *names = realloc(listing->names, room);

		if (!names)
			return false;
		listing->names = names;
		listing->names_room = room;
	}
	return true;
}

void tw_recent_add(struct tw_recent_listing *listing, const char *name,
		   const struct tw_file_stat *stat)
{
	size_t length = strlen(name) + 1;

	if (!reserve(listing, length))
		return;
	listing->entries[listing->count++] = (struct entry){ listing->length, *stat };
	memcpy(listing->names + listing->length, name, length);
	listing->length += length;
}

void tw_recent_listing_free(struct tw_recent_listing *listing)
{
	if (!listing)
		return;
	free(listing->folder);
	free(listing->entries);
	free(listing->names);
	free(listing);
}

static void pop(struct tw_recent *recent)
{
	struct tw_recent_listing *top = recent->top;

	recent->top = top->below;
	tw_recent_listing_free(top);
}

/* What @path is called in @folder, if it lies in or below it; NULL: it does not. */
static const char *within(const char *folder, const char *path)
{
	size_t length = strlen(folder);

	if (!length)
		return *path ? path : NULL;
	return !strncmp(path, folder, length) && path[length] == '/' ? path + length + 1 : NULL;
}

void tw_recent_push(struct tw_recent *recent, struct tw_recent_listing *listing)
{
	while (recent->top && !within(recent->top->folder, listing->folder))
		pop(recent);
	listing->below = recent->top;
	recent->top = listing;
}

static struct entry *find(struct tw_recent_listing *listing, const char *name)
{
	size_t low = 0, high = listing->count;

	if (listing->next < listing->count &&
	    !strcmp(listing->names + listing->entries[listing->next].name, name))
		return &listing->entries[listing->next++];
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(listing->names + listing->entries[middle].name, name);

		if (!order) {
			listing->next = middle + 1;
			return &listing->entries[middle];
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool tw_recent_take(struct tw_recent *recent, const char *path, bool follow, tw_ns now,
		    struct tw_file_stat *ret)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t length = slash ? (size_t)(slash - path) : 0;
	struct tw_recent_listing *listing = recent->top;
	struct entry *entry;

	while (listing && (strncmp(listing->folder, path, length) != 0 || listing->folder[length]))
		listing = listing->below;
	if (!listing)
		return false;
	/* The walk has left those that are further in. */
	while (recent->top != listing)
		pop(recent);
	if (now > listing->at + TW_RECENT_AGE)
		return false;
	entry = find(listing, name);
	if (!entry || !entry->stat.kind || (follow && entry->stat.kind == TW_KIND_SYMLINK))
		return false;
	*ret = entry->stat;
	entry->stat.kind = (enum tw_file_kind)0;
	return true;
}

void tw_recent_deinit(struct tw_recent *recent)
{
	while (recent->top)
		pop(recent);
}
