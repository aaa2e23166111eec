/*
 * persist.c - objects to and from the store. Bodies are JSON with a version, "v"; rows of
 * struct tw_saved say which member goes under which name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/engine_internal.h"

#define BODY_VERSION 1

static const struct tw_kind *const kinds[TW_STORE_KIND_COUNT] = {
	[TW_STORE_DESTINATION] = &tw_destination_kind,
	[TW_STORE_MANIFEST] = &tw_manifest_kind,
	[TW_STORE_TRANSFER] = &tw_transfer_kind,
	[TW_STORE_TOKEN] = &tw_token_kind,
};

const struct tw_kind *tw_kind_of(enum tw_store_kind kind)
{
	return kinds[kind];
}

static json_t *encode_row(const struct tw_saved *row, const void *object)
{
	const void *at = (const char *)object + row->offset;

	switch (row->type) {
	case TW_SAVED_STRING:
		return *(char *const *)at ? json_string_nocheck(*(char *const *)at) : json_null();
	case TW_SAVED_TEXT:
		return json_string_nocheck(at);
	case TW_SAVED_BOOL:
		return json_boolean(*(const bool *)at);
	case TW_SAVED_U64:
		return json_integer((json_int_t) * (const uint64_t *)at);
	case TW_SAVED_I64:
		return json_integer(*(const int64_t *)at);
	case TW_SAVED_U32:
		return json_integer(*(const uint32_t *)at);
	case TW_SAVED_U16:
		return json_integer(*(const uint16_t *)at);
	}
	return NULL;
}

int tw_saved_encode(const struct tw_saved *rows, size_t count, const void *object, json_t *body)
{
	for (size_t i = 0; i < count; i++) {
		json_t *value = encode_row(&rows[i], object);

		if (json_is_null(value))
			continue;
		if (!value || json_object_set_new_nocheck(body, rows[i].name, value))
			return -ENOMEM;
	}
	return 0;
}

static int decode_text(const struct tw_saved *row, const json_t *value, void *at)
{
	char *copy;

	if (!json_is_string(value))
		return TW_E_FORMAT;
	if (row->type == TW_SAVED_STRING) {
		copy = strdup(json_string_value(value));
		if (!copy)
			return -ENOMEM;
		free(*(char **)at);
		*(char **)at = copy;
		return 0;
	}
	if (json_string_length(value) >= row->size)
		return TW_E_FORMAT;
	memcpy(at, json_string_value(value), json_string_length(value) + 1);
	return 0;
}

static int decode_row(const struct tw_saved *row, const json_t *value, void *at)
{
	json_int_t number = json_integer_value(value);

	if (row->type == TW_SAVED_STRING || row->type == TW_SAVED_TEXT)
		return decode_text(row, value, at);
	if (row->type == TW_SAVED_BOOL) {
		if (!json_is_boolean(value))
			return TW_E_FORMAT;
		*(bool *)at = json_is_true(value);
		return 0;
	}
	if (!json_is_integer(value))
		return TW_E_FORMAT;
	switch (row->type) {
	case TW_SAVED_U64:
		*(uint64_t *)at = (uint64_t)number;
		return 0;
	case TW_SAVED_I64:
		*(int64_t *)at = number;
		return 0;
	case TW_SAVED_U32:
		*(uint32_t *)at = (uint32_t)number;
		return number < 0 || number > UINT32_MAX ? TW_E_FORMAT : 0;
	default:
		*(uint16_t *)at = (uint16_t)number;
		return number < 0 || number > UINT16_MAX ? TW_E_FORMAT : 0;
	}
}

int tw_saved_decode(const struct tw_saved *rows, size_t count, const json_t *body, void *object)
{
	for (size_t i = 0; i < count; i++) {
		const json_t *value = json_object_get(body, rows[i].name);
		int r = value ? decode_row(&rows[i], value, (char *)object + rows[i].offset) : 0;

		if (r)
			return r;
	}
	return 0;
}

bool tw_persist_kept(const struct tw_engine *engine, enum tw_store_kind kind)
{
	switch (kind) {
	case TW_STORE_DESTINATION:
		return engine->options.persistent_destinations;
	case TW_STORE_TRANSFER:
		return engine->options.persistent_transfers;
	default:
		return true;
	}
}

static char *encode(const struct tw_object *object)
{
	json_t *body = tw_kind_of(object->kind)->encode(object);
	char *text = NULL;

	if (body && !json_object_set_new(body, "v", json_integer(BODY_VERSION)) &&
	    (!object->owner_token ||
	     !json_object_set_new(body, "ownerToken", json_string(object->owner_token))) &&
	    (!object->owner_token_session ||
	     !json_object_set_new(body, "ownerTokenSession",
				  json_string(object->owner_token_session))) &&
	    (!object->request ||
	     !json_object_set_new_nocheck(body, "request", json_string_nocheck(object->request))) &&
	    (!object->user_data || !json_object_set(body, "userData", object->user_data)))
		text = json_dumps(body, JSON_COMPACT);
	json_decref(body);
	return text;
}

static int put(struct tw_object *object, const void *blob, size_t length)
{
	const struct tw_kind *kind = tw_kind_of(object->kind);
	char *body = encode(object);
	struct tw_store_record record = {
		.kind = object->kind,
		.id = object->id,
		.owner = object->owner,
		.state = kind->state ? kind->state(object) : "",
		.created_us = object->created_us,
		.body = body,
		.blob = blob,
		.blob_length = length,
	};
	int r;

	if (!body)
		return -ENOMEM;
	r = tw_store_put(object->engine->store, &record);
	free(body);
	return r;
}

int tw_persist_blob(struct tw_object *object, const void *blob, size_t length)
{
	int r = put(object, blob, length);

	tw_persist_soon(object->engine);
	return r;
}

int tw_persist_flush(struct tw_engine *engine)
{
	struct tw_object *object;

	while ((object = TAILQ_FIRST(&engine->dirty))) {
		int r = put(object, NULL, 0);

		if (r)
			return r;
		TAILQ_REMOVE(&engine->dirty, object, dirty_link);
		object->dirty = false;
	}
	return 0;
}

void tw_persist_soon(struct tw_engine *engine)
{
	if (engine->commit && !event_pending(engine->commit, EV_TIMEOUT, NULL))
		event_add(engine->commit, &(struct timeval){ 0 });
}

int tw_persist_setting(struct tw_engine *engine, const char *name, json_t *value)
{
	char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	int r = text ? tw_store_set(engine->store, name, text) : -ENOMEM;

	free(text);
	json_decref(value);
	tw_persist_soon(engine);
	return r;
}

json_t *tw_persist_get(struct tw_engine *engine, const char *name)
{
	json_t *value;
	char *text;

	if (tw_store_get(engine->store, name, &text))
		return NULL;
	value = json_loads(text, JSON_DECODE_ANY, NULL);
	free(text);
	return value;
}

/* Loading. */

struct loading {
	struct tw_engine *engine;
	uint64_t damaged; /* left where they are */
	/* Of a newer program, or orphans that nobody can use any more. */
	char first[TW_OBJECT_ID];
};

static int common(struct tw_object *object, const struct tw_store_record *record, json_t *body)
{
	const char *token = json_string_value(json_object_get(body, "ownerToken"));
	const char *session = json_string_value(json_object_get(body, "ownerTokenSession"));
	const char *request = json_string_value(json_object_get(body, "request"));
	json_t *user_data = json_object_get(body, "userData");

	if (!record->id || strlen(record->id) >= sizeof(object->id))
		return TW_E_FORMAT;
	strcpy(object->id, record->id);
	object->created_us = record->created_us;
	object->owner = strdup(record->owner ? record->owner : "");
	if (!object->owner || !tw_copy_text(token, &object->owner_token) ||
	    !tw_copy_text(session, &object->owner_token_session) ||
	    !tw_copy_text(request, &object->request))
		return -ENOMEM;
	if (json_is_object(user_data))
		object->user_data = json_incref(user_data);
	return 0;
}

static int load_body(struct tw_engine *engine, const struct tw_store_record *record, json_t *body)
{
	const struct tw_kind *kind = tw_kind_of(record->kind);
	struct tw_object *object = calloc(1, kind->size);
	int r;

	if (!object)
		return -ENOMEM;
	object->engine = engine;
	object->kind = record->kind;
	r = common(object, record, body);
	if (!r)
		r = json_integer_value(json_object_get(body, "v")) == BODY_VERSION
			    ? kind->decode(object, body)
			    : TW_E_FORMAT;
	if (!r)
		r = tw_object_place(object, NULL);
	if (r) {
		kind->free(object);
		return r;
	}
	if (kind->loaded)
		kind->loaded(object);
	return 0;
}

/* What cannot be understood stays in the store and is counted: better than to fail or to lose it.
 */
static int load_one(void *context, const struct tw_store_record *record)
{
	struct loading *loading = context;
	json_t *body = json_loads(record->body ? record->body : "", 0, NULL);
	int r = json_is_object(body) ? load_body(loading->engine, record, body) : TW_E_FORMAT;

	json_decref(body);
	if (r <= 0)
		return r;
	if (!loading->damaged++)
		snprintf(loading->first, sizeof(loading->first), "%s", record->id);
	return 0;
}

int tw_persist_load(struct tw_engine *engine, char ret_message[512])
{
	/* Each refers to those before it only. */
	static const enum tw_store_kind order[] = { TW_STORE_DESTINATION, TW_STORE_MANIFEST,
						    TW_STORE_TRANSFER, TW_STORE_TOKEN };
	struct loading loading = { .engine = engine };

	for (size_t i = 0; i < sizeof(order) / sizeof(*order); i++) {
		int r = tw_persist_kept(engine, order[i])
				? tw_store_load(engine->store, order[i], load_one, &loading)
				: 0;

		if (r) {
			snprintf(ret_message, 512,
				 "The state in %.200s cannot be read (%s); check the disk, or "
				 "restore the folder from a backup.",
				 engine->options.state_dir, tw_strerror(r));
			return r;
		}
	}
	if (loading.damaged)
		tw_engine_event(engine, "stateDamaged", "",
				json_pack("{sIss}", "objects", (json_int_t)loading.damaged,
					  "firstId", loading.first));
	return 0;
}
