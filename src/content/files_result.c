/* files_result.c - what file operations have to tell, whoever carries them out. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "content/files.h"

int tw_files_fail(struct tw_files_result *result, int error, const char *path)
{
	result->error = error;
	snprintf(result->path, sizeof(result->path), "%s", path);
	return error;
}

int tw_files_compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct tw_files_entry *)a)->name,
		      ((const struct tw_files_entry *)b)->name);
}

void tw_files_listing_empty(struct tw_files_listing *listing)
{
	for (size_t i = 0; i < listing->entry_count; i++)
		free(listing->entries[i].name);
	free(listing->entries);
	listing->entries = NULL;
	listing->entry_count = 0;
}

int tw_files_list(const struct tw_files_request *request,
		  int (*list)(void *context, struct tw_files_listing *listing), void *context,
		  struct tw_files_result *result)
{
	const char *const *paths = request->paths ? request->paths : &request->path;
	size_t count = request->paths ? request->path_count : 1;

	result->listings = calloc(count + 1, sizeof(*result->listings));
	if (!result->listings)
		return tw_files_fail(result, -ENOMEM, "");
	for (size_t i = 0; i < count; i++) {
		struct tw_files_listing *listing = &result->listings[i];

		listing->path = strdup(paths[i]);
		if (!listing->path)
			return tw_files_fail(result, -ENOMEM, "");
		result->listing_count++;
		listing->error = list(context, listing);
		if (listing->error)
			tw_files_listing_empty(listing);
		if (listing->error == -ECANCELED || (listing->error && !request->paths))
			return tw_files_fail(result, listing->error, listing->path);
	}
	return 0;
}

void tw_files_result_deinit(struct tw_files_result *result)
{
	for (size_t i = 0; i < result->listing_count; i++) {
		tw_files_listing_empty(&result->listings[i]);
		free(result->listings[i].path);
	}
	free(result->listings);
	*result = (struct tw_files_result){ 0 };
}
