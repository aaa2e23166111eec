/* caller.c - who sees and may do what. */
#include "engine/caller.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"

/*
 * A token is a fence: who came with one sees what was made with it, not the rest of what its owner
 * has.
 */
bool tw_caller_sees(const struct tw_caller *caller, const struct tw_object *object)
{
	if (caller->superuser || caller->wrangler)
		return true;
	if (!caller->user || !*caller->user ||
	    strcmp(caller->user, object->owner) != 0)
		return false;
	return !caller->token ||
	       (object->owner_token && !strcmp(caller->token, object->owner_token));
}

struct tw_object *tw_caller_object(struct tw_shelf *shelf, const struct tw_caller *caller,
				   const char *id, const char *parameter, struct tw_fault *fault)
{
	struct tw_object *object = tw_shelf_find(shelf, id);

	if (object && tw_caller_sees(caller, object))
		return object;
	tw_fault_set(fault, TW_FAULT_NOT_FOUND, parameter,
		     "There is no object with the %s \"%.64s\" that you may see; ask for the list "
		     "to find the right one.",
		     parameter, id ? id : "");
	return NULL;
}

int tw_caller_may_use_files(const struct tw_caller *caller, struct tw_fault *fault)
{
	if (caller->authenticated && caller->user && *caller->user)
		return TW_FAULT_NONE;
	return tw_fault_set(fault, TW_FAULT_NOT_PERMITTED, NULL,
			    "Files are read and written with the rights of an account; log in with "
			    "yours first.");
}

int tw_caller_has(const struct tw_caller *caller, enum tw_permission permission,
		  struct tw_fault *fault)
{
	if (!caller->token || (caller->permissions & permission))
		return TW_FAULT_NONE;
	return tw_fault_set(fault, TW_FAULT_NOT_PERMITTED, NULL,
			    "The token you came with does not permit this; ask its owner for one "
			    "that does.");
}

int tw_user_data_check(json_t *user_data, struct tw_fault *fault)
{
	char *text;
	size_t length;

	if (!user_data)
		return TW_FAULT_NONE;
	if (!json_is_object(user_data))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "userData",
				    "userData must be a map of names to values.");
	text = json_dumps(user_data, JSON_COMPACT);
	if (!text)
		return tw_no_memory(fault);
	length = strlen(text);
	free(text);
	if (length > TW_USER_DATA_MAX)
		return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, "userData",
				    "userData takes %zu bytes as JSON, and at most %d are kept; "
				    "store less.",
				    length, TW_USER_DATA_MAX);
	return TW_FAULT_NONE;
}
