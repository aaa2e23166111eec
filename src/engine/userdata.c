/* userdata.c - the map that callers may keep with each object. */
#include <string.h>

#include "engine/engine_internal.h"

static const struct {
	const char *name;
	enum tw_store_kind kind;
} kinds[] = {
	{ "destinationId", TW_STORE_DESTINATION },
	{ "manifestId", TW_STORE_MANIFEST },
	{ "transferId", TW_STORE_TRANSFER },
	{ "token", TW_STORE_TOKEN },
};
#define KINDS (sizeof(kinds) / sizeof(*kinds))

static struct tw_object *find(struct tw_engine *engine, const struct tw_caller *caller,
			      const char *kind, const char *id, struct tw_fault *fault)
{
	for (size_t i = 0; i < KINDS; i++)
		if (!strcmp(kinds[i].name, kind))
			return tw_caller_object(tw_engine_shelf(engine, kinds[i].kind), caller, id,
						kinds[i].name, fault);
	tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, NULL,
		     "Give one of destinationId, manifestId, transferId and token.");
	return NULL;
}

/* A changed copy takes the old one's place: views that were lent stay whole. */
static int replace(struct tw_object *object, json_t *user_data, struct tw_fault *fault)
{
	int r = user_data ? tw_user_data_check(user_data, fault) : tw_no_memory(fault);

	if (r) {
		json_decref(user_data);
		return r;
	}
	json_decref(object->user_data);
	object->user_data = user_data;
	if (!json_object_size(user_data)) {
		json_decref(user_data);
		object->user_data = NULL;
	}
	tw_object_changed(object);
	return TW_FAULT_NONE;
}

int tw_engine_update_user_data(struct tw_engine *engine, const struct tw_caller *caller,
			       const char *kind, const char *id, json_t *user_data,
			       struct tw_fault *fault)
{
	struct tw_object *object = find(engine, caller, kind, id, fault);
	json_t *merged;

	if (!object)
		return (int)fault->code;
	if (!json_is_object(user_data))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "userData",
				    "userData must be a map of names to values.");
	merged = object->user_data ? json_copy(object->user_data) : json_object();
	if (merged && json_object_update(merged, user_data)) {
		json_decref(merged);
		merged = NULL;
	}
	return replace(object, merged, fault);
}

int tw_engine_delete_user_data(struct tw_engine *engine, const struct tw_caller *caller,
			       const char *kind, const char *id, const struct tw_strings *keys,
			       struct tw_fault *fault)
{
	struct tw_object *object = find(engine, caller, kind, id, fault);
	json_t *left;

	if (!object)
		return (int)fault->code;
	left = object->user_data ? json_copy(object->user_data) : json_object();
	for (size_t i = 0; left && i < keys->count; i++)
		json_object_del(left, keys->items[i]);
	return replace(object, left, fault);
}
