/* watches_absent.c - stands in until watch folders are there: says so, and does nothing else. */
#include <stddef.h>

#include "engine/watches.h"

static int absent(struct tw_fault *fault)
{
	return tw_fault_set(fault, TW_FAULT_UNAVAILABLE, NULL,
			    "This server has no watch folders; send the folder with a manifest.");
}

int tw_watches_new(const struct tw_watches_options *options, struct tw_watches **ret)
{
	(void)options;
	*ret = NULL;
	return 0;
}

void tw_watches_free(struct tw_watches *watches)
{
	(void)watches;
}

int tw_watches_create(struct tw_watches *watches, const struct tw_caller *caller,
		      const struct tw_watch_options *options, const char **ret_id,
		      struct tw_fault *fault)
{
	(void)watches, (void)caller, (void)options, (void)ret_id;
	return absent(fault);
}

int tw_watches_update(struct tw_watches *watches, const struct tw_caller *caller, const char *id,
		      const struct tw_watch_options *options, const struct tw_strings *given,
		      struct tw_fault *fault)
{
	(void)watches, (void)caller, (void)id, (void)options, (void)given;
	return absent(fault);
}

int tw_watches_delete(struct tw_watches *watches, const struct tw_caller *caller, const char *id,
		      struct tw_fault *fault)
{
	(void)watches, (void)caller, (void)id;
	return absent(fault);
}

const struct tw_watch_view *tw_watches_get(struct tw_watches *watches,
					   const struct tw_caller *caller, const char *id)
{
	(void)watches, (void)caller, (void)id;
	return NULL;
}

const struct tw_watch_view *tw_watches_next(struct tw_watches *watches,
					    const struct tw_caller *caller, size_t *cursor)
{
	(void)watches, (void)caller, (void)cursor;
	return NULL;
}

void tw_watches_transfer_ended(struct tw_watches *watches, const char *transfer_id, bool complete)
{
	(void)watches, (void)transfer_id, (void)complete;
}
