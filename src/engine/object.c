/* object.c - what all objects share: ids, shelves, being found again by a clientRequestId. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/engine_internal.h"
#include "engine/pool.h"
#include "netio/clock.h"

void tw_shelf_init(struct tw_shelf *shelf, size_t count_max)
{
	*shelf = (struct tw_shelf){ .count_max = count_max };
	tw_index_init(&shelf->by_id);
}

void tw_shelf_deinit(struct tw_shelf *shelf)
{
	free(shelf->items);
	shelf->items = NULL;
	shelf->used = shelf->room = shelf->count = 0;
	tw_index_deinit(&shelf->by_id);
}

struct tw_object *tw_shelf_find(const struct tw_shelf *shelf, const char *id)
{
	struct tw_index_node *node = tw_index_find(&shelf->by_id, id);

	return node ? TW_OWNER(node, struct tw_object, by_id) : NULL;
}

struct tw_object *tw_shelf_next(const struct tw_shelf *shelf, const struct tw_caller *caller,
				size_t *cursor)
{
	while (*cursor < shelf->used) {
		struct tw_object *object = shelf->items[(*cursor)++];

		if (object && tw_caller_sees(caller, object))
			return object;
	}
	return NULL;
}

/* Holes go when they are the larger part, so that walking over a shelf stays cheap. */
static void close_holes(struct tw_shelf *shelf)
{
	size_t to = 0;

	for (size_t from = 0; from < shelf->used; from++)
		if (shelf->items[from]) {
			shelf->items[to] = shelf->items[from];
			shelf->items[to]->place = to;
			to++;
		}
	shelf->used = to;
	shelf->moves++;
}

static uint32_t *owned_by(struct tw_shelf *shelf, const char *owner)
{
	return &shelf->owned[(tw_pool_owner(owner) >> 1) % TW_SHELF_ACCOUNTS];
}

static int shelf_add(struct tw_shelf *shelf, struct tw_object *object)
{
	uint32_t *owned = owned_by(shelf, object->owner);
	int r;

	if (shelf->count >= shelf->count_max || (object->shares && *owned >= shelf->count_max / 2))
		return TW_E_FULL;
	if (shelf->used == shelf->room && shelf->count < shelf->used / 2)
		close_holes(shelf);
	if (shelf->used == shelf->room) {
		size_t room = shelf->room ? shelf->room * 2 : 64;
		struct tw_object **items = realloc(shelf->items, room * sizeof(*items));

		if (!items)
			return -ENOMEM;
		shelf->items = items;
		shelf->room = room;
	}
	r = tw_index_add(&shelf->by_id, &object->by_id, object->id);
	if (r)
		return r;
	object->place = shelf->used;
	shelf->items[shelf->used++] = object;
	shelf->count++;
	++*owned;
	return 0;
}

struct tw_shelf *tw_engine_shelf(struct tw_engine *engine, enum tw_store_kind kind)
{
	switch (kind) {
	case TW_STORE_DESTINATION:
		return &engine->destinations;
	case TW_STORE_MANIFEST:
		return &engine->manifests;
	case TW_STORE_TRANSFER:
		return &engine->transfers;
	case TW_STORE_TOKEN:
		return &engine->tokens;
	default:
		return NULL;
	}
}

void tw_random_id(char ret[TW_OBJECT_ID])
{
	struct tw_random random = tw_system_random();
	uint8_t bytes[(TW_OBJECT_ID - 1) / 2];

	tw_random_fill(&random, bytes, sizeof(bytes));
	tw_text_hex(bytes, sizeof(bytes), ret);
}

bool tw_copy_text(const char *text, char **ret)
{
	*ret = text && *text ? strdup(text) : NULL;
	return *ret || !text || !*text;
}

int tw_no_memory(struct tw_fault *fault)
{
	return tw_fault_set(fault, TW_FAULT_INTERNAL, NULL,
			    "The server has no memory left; try again later.");
}

int tw_object_init(struct tw_engine *engine, struct tw_object *object, enum tw_store_kind kind,
		   const struct tw_caller *caller, json_t *user_data)
{
	object->engine = engine;
	object->kind = kind;
	tw_random_id(object->id);
	object->created_us = (int64_t)tw_clock_wall_us();
	object->shares = !caller->superuser;
	object->owner = strdup(caller->user ? caller->user : "");
	if (!object->owner || !tw_copy_text(caller->token, &object->owner_token) ||
	    !tw_copy_text(caller->token_session, &object->owner_token_session))
		return -ENOMEM;
	if (user_data && json_object_size(user_data)) {
		object->user_data = json_deep_copy(user_data);
		if (!object->user_data)
			return -ENOMEM;
	}
	return 0;
}

void tw_object_deinit(struct tw_object *object)
{
	if (object->dirty)
		TAILQ_REMOVE(&object->engine->dirty, object, dirty_link);
	free(object->owner);
	free(object->owner_token);
	free(object->owner_token_session);
	free(object->request);
	json_decref(object->user_data);
}

static char *request_key(enum tw_store_kind kind, const char *owner, const char *client_request_id)
{
	char *key;

	return asprintf(&key, "%d\n%s\n%s", (int)kind, owner, client_request_id) < 0 ? NULL : key;
}

int tw_object_place(struct tw_object *object, const char *client_request_id)
{
	struct tw_engine *engine = object->engine;
	struct tw_shelf *shelf = tw_engine_shelf(engine, object->kind);
	int r;

	assert(shelf);
	if (client_request_id && *client_request_id && !object->request) {
		object->request = request_key(object->kind, object->owner, client_request_id);
		if (!object->request)
			return -ENOMEM;
	}
	r = shelf_add(shelf, object);
	if (r || !object->request)
		return r;
	return tw_index_add(&engine->by_request, &object->by_request, object->request);
}

struct tw_object *tw_object_requested(struct tw_engine *engine, enum tw_store_kind kind,
				      const struct tw_caller *caller, const char *client_request_id)
{
	struct tw_index_node *node;
	char *key;

	if (!client_request_id || !*client_request_id)
		return NULL;
	key = request_key(kind, caller->user ? caller->user : "", client_request_id);
	node = key ? tw_index_find(&engine->by_request, key) : NULL;
	free(key);
	return node && tw_caller_sees(caller, TW_OWNER(node, struct tw_object, by_request))
		       ? TW_OWNER(node, struct tw_object, by_request)
		       : NULL;
}

int tw_object_full(const struct tw_object *object, const char *what, const char *advice,
		   struct tw_fault *fault)
{
	const struct tw_shelf *shelf = tw_engine_shelf(object->engine, object->kind);

	assert(shelf);
	if (shelf->count < shelf->count_max)
		return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, NULL,
				    "This account has %zu %s, half of what this server holds; %s.",
				    shelf->count_max / 2, what, advice);
	return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, NULL,
			    "There are %zu %s already, and no more fit; %s.", shelf->count_max,
			    what, advice);
}

void tw_object_remove(struct tw_object *object)
{
	struct tw_engine *engine = object->engine;
	struct tw_shelf *shelf = tw_engine_shelf(engine, object->kind);

	assert(shelf);
	tw_index_remove(&shelf->by_id, &object->by_id);
	if (object->request)
		tw_index_remove(&engine->by_request, &object->by_request);
	shelf->items[object->place] = NULL;
	shelf->count--;
	--*owned_by(shelf, object->owner);
	while (shelf->used && !shelf->items[shelf->used - 1])
		shelf->used--;
	if (object->dirty) {
		TAILQ_REMOVE(&engine->dirty, object, dirty_link);
		object->dirty = false;
	}
	if (engine->store && tw_persist_kept(engine, object->kind)) {
		tw_store_remove(engine->store, object->kind, object->id);
		tw_persist_soon(engine);
	}
	tw_waits_wake(engine, object->id);
}

void tw_object_changed(struct tw_object *object)
{
	struct tw_engine *engine = object->engine;

	if (object->dirty || !tw_persist_kept(engine, object->kind))
		return;
	object->dirty = true;
	TAILQ_INSERT_TAIL(&engine->dirty, object, dirty_link);
	tw_persist_soon(engine);
}

void tw_object_ownership(const struct tw_object *object, struct tw_ownership *ret)
{
	ret->owner = object->owner;
	ret->owner_token = object->owner_token;
	ret->owner_token_session = object->owner_token_session;
}
