#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "engine/watches_private.h"
#include "netio/clock.h"

#define BODY_VERSION 1

static void strings_free(struct tw_strings *strings)
{
	for (size_t i = 0; i < strings->count; i++)
		free((char *)strings->items[i]);
	free((void *)strings->items);
	*strings = (struct tw_strings){ NULL, 0 };
}

static int strings_copy(const struct tw_strings *from, struct tw_strings *ret)
{
	const char **items = calloc(from->count ? from->count : 1, sizeof(const char *));

	*ret = (struct tw_strings){ items, 0 };
	if (!items)
		return -ENOMEM;
	while (ret->count < from->count) {
		items[ret->count] = strdup(from->items[ret->count]);
		if (!items[ret->count])
			return -ENOMEM;
		ret->count++;
	}
	return 0;
}

static char *copy(const char *text)
{
	return strdup(text ? text : "");
}

static char *copy_or_null(const char *text, int *ret_error)
{
	char *copied = text ? strdup(text) : NULL;

	if (text && !copied)
		*ret_error = -ENOMEM;
	return copied;
}

void watch_settings_deinit(struct watch_settings *settings)
{
	free(settings->src_path);
	free(settings->destination_id);
	free(settings->destination_path);
	free(settings->owner);
	free(settings->owner_token);
	free(settings->owner_token_session);
	free(settings->fence);
	free(settings->client_request_id);
	strings_free(&settings->include);
	strings_free(&settings->exclude);
	json_decref(settings->user_data);
	*settings = (struct watch_settings){ .id = "" };
}

static int fill(const struct tw_caller *caller, const struct tw_watch_options *options,
		struct watch_settings *settings)
{
	int r = 0;

	settings->src_path = copy(options->src_path);
	settings->destination_id = copy(options->destination_id);
	settings->destination_path = copy(options->destination_path);
	settings->owner = copy(caller->user);
	settings->owner_token = copy_or_null(caller->token, &r);
	settings->owner_token_session = copy_or_null(caller->token_session, &r);
	settings->fence = copy(caller->token_path);
	settings->client_request_id = copy(options->client_request_id);
	settings->uid = caller->uid;
	settings->gid = caller->gid;
	settings->interval_seconds = options->interval_seconds;
	settings->settle_seconds = options->settle_seconds;
	settings->mirror_deletes = options->mirror_deletes;
	settings->enabled = options->enabled;
	settings->expiry_us = options->expiry_time;
	settings->user_data =
		options->user_data ? json_deep_copy(options->user_data) : json_object();
	if (!settings->src_path || !settings->destination_id || !settings->destination_path ||
	    !settings->owner || !settings->fence || !settings->client_request_id ||
	    !settings->user_data)
		r = -ENOMEM;
	if (!r)
		r = strings_copy(&options->include, &settings->include);
	if (!r)
		r = strings_copy(&options->exclude, &settings->exclude);
	return r;
}

int watch_settings_make(const struct tw_caller *caller, const struct tw_watch_options *options,
			struct watch_settings *ret)
{
	struct tw_random random = tw_system_random();
	struct watch_settings settings = { .created_us = (int64_t)tw_clock_wall_us() };
	uint8_t id[16];
	int r = fill(caller, options, &settings);

	if (r) {
		watch_settings_deinit(&settings);
		return r;
	}
	tw_random_fill(&random, id, sizeof id);
	tw_text_hex(id, sizeof id, settings.id);
	*ret = settings;
	return 0;
}

static bool is_given(const struct tw_strings *given, const char *name)
{
	for (size_t i = 0; i < given->count; i++)
		if (strcmp(given->items[i], name) == 0)
			return true;
	return false;
}

void watch_settings_merge(const struct watch_settings *settings,
			  const struct tw_watch_options *options, const struct tw_strings *given,
			  struct tw_watch_options *ret)
{
	*ret = (struct tw_watch_options){
		.src_path = settings->src_path,
		.destination_id = settings->destination_id,
		.destination_path = settings->destination_path,
		.interval_seconds = settings->interval_seconds,
		.settle_seconds = settings->settle_seconds,
		.include = settings->include,
		.exclude = settings->exclude,
		.mirror_deletes = settings->mirror_deletes,
		.enabled = settings->enabled,
		.expiry_time = settings->expiry_us,
		.user_data = settings->user_data,
		.client_request_id = settings->client_request_id,
	};
	if (is_given(given, "srcPath"))
		ret->src_path = options->src_path;
	if (is_given(given, "destinationId"))
		ret->destination_id = options->destination_id;
	if (is_given(given, "destinationPath"))
		ret->destination_path = options->destination_path;
	if (is_given(given, "intervalSeconds"))
		ret->interval_seconds = options->interval_seconds;
	if (is_given(given, "settleSeconds"))
		ret->settle_seconds = options->settle_seconds;
	if (is_given(given, "include"))
		ret->include = options->include;
	if (is_given(given, "exclude"))
		ret->exclude = options->exclude;
	if (is_given(given, "mirrorDeletes"))
		ret->mirror_deletes = options->mirror_deletes;
	if (is_given(given, "enabled"))
		ret->enabled = options->enabled;
	if (is_given(given, "expiryTime"))
		ret->expiry_time = options->expiry_time;
	if (is_given(given, "userData"))
		ret->user_data = options->user_data;
}

#define SWAP(a, b) \
	do { \
		__typeof__(a) kept_ = (a); \
		(a) = (b); \
		(b) = kept_; \
	} while (0)

void watch_settings_replace(struct watch_settings *settings, struct watch_settings *with)
{
	/* Whoever changes it does not become its owner. */
	SWAP(settings->owner, with->owner);
	SWAP(settings->owner_token, with->owner_token);
	SWAP(settings->owner_token_session, with->owner_token_session);
	SWAP(settings->fence, with->fence);
	memcpy(with->id, settings->id, sizeof with->id);
	with->created_us = settings->created_us;
	with->uid = settings->uid;
	with->gid = settings->gid;
	SWAP(*settings, *with);
}

/* Storing. */

static json_t *json_strings(const struct tw_strings *strings)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < strings->count; i++) {
		if (json_array_append_new(array, json_string(strings->items[i]))) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static char *body(const struct watch_settings *settings, const struct watch_batch *batch)
{
	json_t *object = json_pack(
		"{s:i, s:s, s:s, s:s, s:s*, s:s*, s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:I, s:o, s:o, s:O, s:s, s:s}",
		"version", BODY_VERSION, "srcPath", settings->src_path, "destinationId",
		settings->destination_id, "destinationPath", settings->destination_path,
		"ownerToken", settings->owner_token, "ownerTokenSession",
		settings->owner_token_session, "clientRequestId", settings->client_request_id,
		"uid", (json_int_t)settings->uid, "gid", (json_int_t)settings->gid,
		"intervalSeconds", (json_int_t)settings->interval_seconds, "settleSeconds",
		(json_int_t)settings->settle_seconds, "mirrorDeletes", settings->mirror_deletes,
		"enabled", settings->enabled, "expiryTime", (json_int_t)settings->expiry_us,
		"include", json_strings(&settings->include), "exclude",
		json_strings(&settings->exclude), "userData", settings->user_data, "batch",
		batch->transfer_id, "fence", settings->fence);
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return text;
}

int watch_store(struct watch *watch, bool sent)
{
	const struct watch_settings *settings = &watch->settings;
	struct tw_store_record record = {
		.kind = TW_STORE_WATCH,
		.id = settings->id,
		.owner = settings->owner,
		.state = settings->enabled ? "enabled" : "disabled",
		.created_us = settings->created_us,
	};
	void *blob = NULL;
	char *text = body(settings, &watch->batch);
	int r = text ? 0 : -ENOMEM;

	if (!r && sent)
		r = tw_watch_table_encode(&watch->table, &blob, &record.blob_length);
	record.body = text;
	record.blob = blob;
	if (!r)
		r = tw_store_put(watch->watches->options.store, &record);
	free(blob);
	free(text);
	return r;
}

static int read_strings(const json_t *array, const char ***ret_items, struct tw_strings *ret)
{
	size_t count = json_array_size(array);
	const char **items = calloc(count ? count : 1, sizeof(const char *));

	if (!items)
		return -ENOMEM;
	*ret_items = items;
	for (size_t i = 0; i < count; i++) {
		items[i] = json_string_value(json_array_get(array, i));
		if (!items[i])
			return TW_E_FORMAT;
	}
	*ret = (struct tw_strings){ items, count };
	return 0;
}

static int read_body(json_t *object, const char *owner, struct watch_settings *ret)
{
	struct tw_watch_options options;
	struct tw_caller caller = { .user = owner };
	const char **include = NULL, **exclude = NULL;
	json_int_t uid, gid, interval, settle, expiry;
	json_t *included, *excluded;
	int version, mirror, enabled, r;

	tw_watch_options_init(&options);
	if (json_unpack(
		    object,
		    "{s:i, s:s, s:s, s:s, s?s, s?s, s:s, s:I, s:I, s:I, s:I, s:b, s:b, s:I, s:o, s:o, s:o, s?s}",
		    "version", &version, "srcPath", &options.src_path, "destinationId",
		    &options.destination_id, "destinationPath", &options.destination_path,
		    "ownerToken", &caller.token, "ownerTokenSession", &caller.token_session,
		    "clientRequestId", &options.client_request_id, "uid", &uid, "gid", &gid,
		    "intervalSeconds", &interval, "settleSeconds", &settle, "mirrorDeletes",
		    &mirror, "enabled", &enabled, "expiryTime", &expiry, "include", &included,
		    "exclude", &excluded, "userData", &options.user_data, "fence",
		    &caller.token_path) ||
	    version != BODY_VERSION)
		return TW_E_FORMAT;
	caller.uid = (unsigned)uid;
	caller.gid = (unsigned)gid;
	options.interval_seconds = (uint64_t)interval;
	options.settle_seconds = (uint64_t)settle;
	options.mirror_deletes = mirror;
	options.enabled = enabled;
	options.expiry_time = expiry;
	r = read_strings(included, &include, &options.include);
	if (!r)
		r = read_strings(excluded, &exclude, &options.exclude);
	if (!r)
		r = watch_settings_make(&caller, &options, ret);
	free(include);
	free(exclude);
	return r;
}

int watch_load(const struct tw_store_record *record, struct watch *ret_watch)
{
	struct watch_settings *ret = &ret_watch->settings;
	json_t *object = json_loads(record->body, 0, NULL);
	int r = object ? read_body(object, record->owner, ret) : TW_E_FORMAT;
	const char *batch = json_string_value(json_object_get(object, "batch"));

	if (!r && batch && strlen(batch) < sizeof ret_watch->batch.transfer_id)
		strcpy(ret_watch->batch.transfer_id, batch);
	json_decref(object);
	if (r)
		return r;
	if (strlen(record->id) >= sizeof ret->id) {
		watch_settings_deinit(ret);
		return TW_E_FORMAT;
	}
	strcpy(ret->id, record->id);
	ret->created_us = record->created_us;
	return 0;
}
