/*
 * policy.c - sandbox mappings and wranglers: kept here, enforced where files are reached (reach.c)
 * and where sessions are made.
 */
#include <errno.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/reach.h"

#define MAPPINGS "sandboxMappings"
#define WRANGLERS "wranglers"
#define ENTRIES_MAX 10000

int tw_policy_load(struct tw_engine *engine)
{
	engine->mappings = tw_persist_get(engine, MAPPINGS);
	engine->wranglers = tw_persist_get(engine, WRANGLERS);
	if (!json_is_object(engine->mappings)) {
		json_decref(engine->mappings);
		engine->mappings = json_object();
	}
	if (!json_is_array(engine->wranglers)) {
		json_decref(engine->wranglers);
		engine->wranglers = json_array();
	}
	return engine->mappings && engine->wranglers ? 0 : -ENOMEM;
}

json_t *tw_engine_mappings(struct tw_engine *engine)
{
	return json_incref(engine->mappings);
}

/* A changed copy takes the old one's place: whoever holds that goes on seeing it whole. */
static int replace_mappings(struct tw_engine *engine, json_t *mappings, struct tw_fault *fault)
{
	if (!mappings)
		return tw_no_memory(fault);
	json_decref(engine->mappings);
	engine->mappings = mappings;
	tw_reach_forget(engine);
	tw_persist_setting(engine, MAPPINGS, json_incref(mappings));
	return TW_FAULT_NONE;
}

int tw_engine_set_mapping(struct tw_engine *engine, const char *user, json_t *mapping,
			  struct tw_fault *fault)
{
	json_t *all;
	int r;

	if (!json_is_object(mapping))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "mapping",
				    "mapping must be a map of mount paths to targets.");
	if (json_object_size(engine->mappings) >= ENTRIES_MAX)
		return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, "mapping",
				    "At most %d users can be mapped.", ENTRIES_MAX);
	r = tw_reach_check(mapping, fault);
	if (r)
		return r;
	all = json_copy(engine->mappings);
	if (json_object_set_new(all, user, json_deep_copy(mapping))) {
		json_decref(all);
		all = NULL;
	}
	return replace_mappings(engine, all, fault);
}

int tw_engine_delete_mapping(struct tw_engine *engine, const char *user, struct tw_fault *fault)
{
	json_t *all = json_copy(engine->mappings);

	if (all && json_object_del(all, user)) {
		json_decref(all);
		return tw_fault_set(fault, TW_FAULT_NOT_FOUND, "user",
				    "There is no mapping for the user \"%.64s\".", user);
	}
	return replace_mappings(engine, all, fault);
}

json_t *tw_engine_wranglers(struct tw_engine *engine)
{
	return json_incref(engine->wranglers);
}

static size_t wrangler_place(const json_t *list, const char *name, bool group)
{
	size_t i;

	for (i = 0; i < json_array_size(list); i++) {
		const json_t *entry = json_array_get(list, i);
		const char *other = json_string_value(json_object_get(entry, "name"));

		if (other && !strcmp(other, name) &&
		    json_is_true(json_object_get(entry, "isGroup")) == group)
			break;
	}
	return i;
}

static int replace_wranglers(struct tw_engine *engine, json_t *list, struct tw_fault *fault)
{
	if (!list)
		return tw_no_memory(fault);
	json_decref(engine->wranglers);
	engine->wranglers = list;
	tw_persist_setting(engine, WRANGLERS, json_incref(list));
	return TW_FAULT_NONE;
}

int tw_engine_add_wrangler(struct tw_engine *engine, const char *name, bool group,
			   struct tw_fault *fault)
{
	json_t *list;

	if (!name || !*name || strlen(name) > 256)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "name",
				    "name must be the name of an account or a group.");
	if (wrangler_place(engine->wranglers, name, group) < json_array_size(engine->wranglers))
		return TW_FAULT_NONE;
	if (json_array_size(engine->wranglers) >= ENTRIES_MAX)
		return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, "name",
				    "At most %d wranglers can be named.", ENTRIES_MAX);
	list = json_copy(engine->wranglers);
	if (json_array_append_new(list, json_pack("{sssb}", "name", name, "isGroup", group))) {
		json_decref(list);
		list = NULL;
	}
	return replace_wranglers(engine, list, fault);
}

int tw_engine_delete_wrangler(struct tw_engine *engine, const char *name, bool group,
			      struct tw_fault *fault)
{
	size_t place = wrangler_place(engine->wranglers, name ? name : "", group);
	json_t *list;

	if (place == json_array_size(engine->wranglers))
		return tw_fault_set(fault, TW_FAULT_NOT_FOUND, "name", "\"%.64s\" is no wrangler.",
				    name ? name : "");
	list = json_copy(engine->wranglers);
	if (json_array_remove(list, place)) {
		json_decref(list);
		list = NULL;
	}
	return replace_wranglers(engine, list, fault);
}
