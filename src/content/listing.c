#include "content/listing.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "content/source_internal.h"

struct tw_listing *tw_listing_new(void)
{
	struct tw_listing *listing = calloc(1, sizeof(*listing));

	if (!listing)
		return NULL;
	listing->manifest = tw_manifest_new();
	if (!listing->manifest) {
		free(listing);
		return NULL;
	}
	atomic_init(&listing->references, 1);
	return listing;
}

struct tw_listing *tw_listing_hold(struct tw_listing *listing)
{
	atomic_fetch_add_explicit(&listing->references, 1, memory_order_relaxed);
	return listing;
}

void tw_listing_drop(struct tw_listing *listing)
{
	if (!listing ||
	    atomic_fetch_sub_explicit(&listing->references, 1, memory_order_acq_rel) > 1)
		return;
	for (size_t i = 0; i < listing->place_count; i++)
		free(listing->places[i].source);
	free(listing->places);
	free(listing->ctimes);
	tw_manifest_free(listing->manifest);
	free(listing);
}

int tw_listing_add_place(struct tw_listing *listing, const char *source, size_t skip)
{
	char *copy;

	if (listing->place_count == listing->place_room) {
		size_t room = listing->place_room * 2 + 4;
		struct source_place *places = realloc(listing->places, room * sizeof(*places));

		if (!places)
			return -ENOMEM;
		listing->places = places;
		listing->place_room = room;
	}
	copy = strdup(source);
	if (!copy)
		return -ENOMEM;
	listing->places[listing->place_count++] = (struct source_place){
		.first = tw_manifest_count(listing->manifest),
		.source = copy,
		.skip = skip,
	};
	return 0;
}

int tw_listing_append(struct tw_listing *listing, const char *path, const struct tw_entry *entry,
		      int64_t ctime_ns)
{
	uint64_t index = tw_manifest_count(listing->manifest);
	int r;

	if (index == listing->ctime_room) {
		uint64_t room = index + index / 2 + 64;
		int64_t *ctimes = realloc(listing->ctimes, room * sizeof(*ctimes));

		if (!ctimes)
			return -ENOMEM;
		listing->ctimes = ctimes;
		listing->ctime_room = room;
	}
	r = tw_manifest_append(listing->manifest, path, entry);
	if (!r)
		listing->ctimes[index] = ctime_ns;
	return r;
}

int tw_listing_from_source(struct tw_source *source, struct tw_listing **ret)
{
	assert(tw_source_walk_over(source));
	*ret = tw_listing_hold(source->listing);
	tw_source_free(source);
	return 0;
}

uint64_t tw_listing_entries(const struct tw_listing *listing)
{
	return tw_manifest_count(listing->manifest);
}

uint64_t tw_listing_files(const struct tw_listing *listing)
{
	return tw_manifest_file_count(listing->manifest);
}

uint64_t tw_listing_bytes(const struct tw_listing *listing)
{
	return tw_manifest_tape_size(listing->manifest);
}

const struct tw_manifest *tw_listing_manifest(const struct tw_listing *listing)
{
	return listing->manifest;
}

static const struct source_place *find_place(const struct tw_listing *listing, uint64_t index)
{
	size_t low = 0, high = listing->place_count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (listing->places[middle].first <= index)
			low = middle;
		else
			high = middle;
	}
	return &listing->places[low];
}

size_t tw_listing_source_path(const struct tw_listing *listing, uint64_t index, char *ret,
			      size_t room)
{
	const struct source_place *place = find_place(listing, index);
	size_t length = strlen(place->source), rest;
	char path[TW_PATH_MAX + 1];

	/* The walk, and whoever decodes, let no longer path in. */
	assert(room > TW_SOURCE_PATH_MAX);
	rest = tw_manifest_path(listing->manifest, index, path) - place->skip;
	memcpy(ret, place->source, length);
	if (!place->skip)
		ret[length++] = '/';
	memcpy(ret + length, path + place->skip, rest + 1);
	return length + rest;
}
