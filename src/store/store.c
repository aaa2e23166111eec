#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/backend.h"

#define BUCKETS 1024
#define SETTING 0 /* the kind of a change that is about a setting */

struct tw_store {
	const struct store_backend *ops;
	void *backend; /* owned */

	/* Changes since the last commit: one for an object, whatever happened to it. */
	struct store_change *first, **last;
	struct store_change *buckets[BUCKETS];
	uint64_t pending_bytes;

	struct tw_store_event *events; /* owned, with their texts */
	size_t event_count, event_room;
	uint64_t event_oldest, event_newest, event_trim; /* as they will be after a commit */
	bool trim_pending;
	bool lending; /* a callback is running */
};

static void free_content(struct store_change *change)
{
	free(change->owner);
	free(change->state);
	free(change->body);
	free(change->blob);
	change->owner = change->state = change->body = NULL;
	change->blob = NULL;
	change->blob_length = 0;
}

static void free_change(struct store_change *change)
{
	free_content(change);
	free(change->id);
	free(change);
}

static void free_event(struct tw_store_event *event)
{
	free((char *)event->name);
	free((char *)event->owner);
	free((char *)event->body);
}

/* FNV-1a: ids are the engine's own, nobody chooses them to collide. */
static struct store_change **bucket_of(struct tw_store *store, unsigned kind, const char *id)
{
	uint64_t hash = UINT64_C(14695981039346656037) + kind;

	for (; *id; id++)
		hash = (hash ^ (uint8_t)*id) * UINT64_C(1099511628211);
	return &store->buckets[(hash ^ hash >> 32) % BUCKETS];
}

static struct store_change *find_change(struct tw_store *store, unsigned kind, const char *id)
{
	struct store_change *change = *bucket_of(store, kind, id);

	while (change && (change->kind != kind || strcmp(change->id, id) != 0))
		change = change->hash_next;
	return change;
}

/* The change about this object, new if it has to be. NULL: no memory. */
static struct store_change *need_change(struct tw_store *store, unsigned kind, const char *id)
{
	struct store_change *change = find_change(store, kind, id), **bucket;

	if (change)
		return change;
	change = calloc(1, sizeof(*change));
	if (!change)
		return NULL;
	change->kind = kind;
	change->id = strdup(id);
	if (!change->id) {
		free(change);
		return NULL;
	}
	bucket = bucket_of(store, kind, id);
	change->hash_next = *bucket;
	*bucket = change;
	*store->last = change;
	store->last = &change->next;
	return change;
}

static void forget_changes(struct tw_store *store)
{
	struct store_change *change = store->first;

	while (change) {
		struct store_change *next = change->next;

		free_change(change);
		change = next;
	}
	for (size_t i = 0; i < store->event_count; i++)
		free_event(&store->events[i]);
	memset(store->buckets, 0, sizeof(store->buckets));
	store->first = NULL;
	store->last = &store->first;
	store->event_count = 0;
	store->pending_bytes = 0;
	store->trim_pending = false;
}

int tw_store_open(const char *path, struct tw_store **ret, char ret_message[TW_STORE_MESSAGE])
{
	struct tw_store *store = calloc(1, sizeof(*store));
	int r;

	ret_message[0] = '\0';
	if (!store) {
		strcpy(ret_message, "there is not enough memory");
		return -ENOMEM;
	}
	store->ops = &store_sqlite;
	store->last = &store->first;
	r = store->ops->open(path, &store->backend, ret_message);
	if (r) {
		free(store);
		return r;
	}
	r = store->ops->event_range(store->backend, &store->event_oldest, &store->event_newest);
	if (r) {
		strcpy(ret_message, "the event log cannot be read");
		store->ops->close(store->backend);
		free(store);
		return r;
	}
	if (!store->event_oldest && store->event_newest)
		store->event_oldest = store->event_newest + 1;
	*ret = store;
	return 0;
}

void tw_store_close(struct tw_store *store)
{
	if (!store)
		return;
	tw_store_commit(store);
	store->ops->close(store->backend);
	forget_changes(store);
	free(store->events);
	free(store);
}

int tw_store_quarantine(const char *path, char ret_message[TW_STORE_MESSAGE])
{
	ret_message[0] = '\0';
	return store_sqlite.quarantine(path, ret_message);
}

bool tw_store_dirty(const struct tw_store *store)
{
	return store->first || store->event_count || store->trim_pending;
}

int tw_store_commit(struct tw_store *store)
{
	const struct store_batch batch = {
		.changes = store->first,
		.events = store->events,
		.event_count = store->event_count,
		.event_trim = store->trim_pending ? store->event_trim : 0,
		.event_newest = store->event_newest,
	};
	int r;

	assert(!store->lending);
	if (!tw_store_dirty(store))
		return 0;
	r = store->ops->apply(store->backend, &batch);
	if (!r)
		forget_changes(store);
	return r;
}

int tw_store_sync(struct tw_store *store)
{
	int r = tw_store_commit(store);

	return r ? r : store->ops->sync(store->backend);
}

/* May @bytes more wait, @before of them being there already in what they replace? */
static int check_room(const struct tw_store *store, uint64_t bytes, uint64_t before)
{
	if (bytes > TW_STORE_BLOB_MAX)
		return -EFBIG;
	return store->pending_bytes - before + bytes > TW_STORE_PENDING_MAX ? TW_E_FULL : 0;
}

static int copy_content(const struct tw_store_record *record, struct store_change *ret)
{
	ret->owner = strdup(record->owner);
	ret->state = strdup(record->state);
	ret->body = strdup(record->body);
	if (record->blob) {
		ret->blob = malloc(record->blob_length + 1);
		ret->blob_length = record->blob_length;
		if (ret->blob && record->blob_length)
			memcpy(ret->blob, record->blob, record->blob_length);
	}
	if (!ret->owner || !ret->state || !ret->body || (record->blob && !ret->blob)) {
		free_content(ret);
		return -ENOMEM;
	}
	return 0;
}

/* @record replaces what the change held. */
static int fill_change(struct tw_store *store, unsigned kind, const struct tw_store_record *record)
{
	struct store_change *change = find_change(store, kind, record->id);
	uint64_t before = change ? change->bytes : 0, texts;
	struct store_change content = { 0 };
	bool keep_blob = change && change->put && change->blob && !record->blob;
	int r;

	texts = sizeof(*change) + strlen(record->id) + strlen(record->owner) +
		strlen(record->state) + strlen(record->body);
	content.bytes = texts + (keep_blob      ? change->blob_length
				 : record->blob ? record->blob_length
						: 0);
	r = check_room(store, content.bytes, before);
	if (!r)
		r = copy_content(record, &content);
	if (r)
		return r;
	change = need_change(store, kind, record->id);
	if (!change) {
		free_content(&content);
		return -ENOMEM;
	}
	if (keep_blob) {
		content.blob = change->blob;
		content.blob_length = change->blob_length;
		change->blob = NULL;
	}
	free_content(change);
	change->owner = content.owner;
	change->state = content.state;
	change->body = content.body;
	change->blob = content.blob;
	change->blob_length = content.blob_length;
	change->created_us = record->created_us;
	change->put = true;
	change->bytes = content.bytes;
	store->pending_bytes += content.bytes - before;
	return 0;
}

/* What is stored under this name goes. */
static int empty_change(struct tw_store *store, unsigned kind, const char *id)
{
	struct store_change *change = need_change(store, kind, id);

	if (!change)
		return -ENOMEM;
	free_content(change);
	store->pending_bytes -= change->bytes;
	change->bytes = 0;
	change->put = false;
	change->removed = true;
	return 0;
}

int tw_store_put(struct tw_store *store, const struct tw_store_record *record)
{
	assert(!store->lending && record->kind > 0 && record->kind < TW_STORE_KIND_COUNT);
	return fill_change(store, record->kind, record);
}

int tw_store_remove(struct tw_store *store, enum tw_store_kind kind, const char *id)
{
	struct store_change *change = find_change(store, kind, id);
	int r = 0;

	assert(!store->lending);
	if (!change)
		r = store->ops->has(store->backend, kind, id);
	else if (!change->put)
		r = TW_E_END;
	return r ? r : empty_change(store, kind, id);
}

/* An ordered load: what is stored, with the changes put in between. */
struct merge {
	struct tw_store *store;
	struct store_change **puts; /* owned, in the order of creation */
	size_t count, next;
	int (*each)(void *context, const struct tw_store_record *record);
	void *context;
};

static int show(struct merge *merge, struct store_change *change)
{
	const struct tw_store_record record = {
		.kind = change->kind,
		.id = change->id,
		.owner = change->owner,
		.state = change->state,
		.created_us = change->created_us,
		.body = change->body,
	};

	change->shown = true;
	return merge->each(merge->context, &record);
}

/* Shows those that were created before @created_us. */
static int show_before(struct merge *merge, int64_t created_us)
{
	int r = 0;

	while (!r && merge->next < merge->count &&
	       merge->puts[merge->next]->created_us < created_us) {
		struct store_change *change = merge->puts[merge->next++];

		if (!change->shown)
			r = show(merge, change);
	}
	return r;
}

static int merge_stored(void *context, const struct tw_store_record *record)
{
	struct merge *merge = context;
	struct store_change *change = find_change(merge->store, record->kind, record->id);
	int r = show_before(merge, record->created_us);

	if (r)
		return r;
	if (!change)
		return merge->each(merge->context, record);
	/* One that was replaced keeps its place. */
	if (change->put && !change->removed && change->created_us == record->created_us)
		return show(merge, change);
	return 0;
}

static int compare_created(const void *a, const void *b)
{
	const struct store_change *one = *(struct store_change *const *)a,
				  *two = *(struct store_change *const *)b;

	return (one->created_us > two->created_us) - (one->created_us < two->created_us);
}

static int gather_puts(struct merge *merge, enum tw_store_kind kind)
{
	size_t count = 0;

	for (struct store_change *change = merge->store->first; change; change = change->next)
		count += change->kind == kind && change->put;
	merge->puts = calloc(count + 1, sizeof(*merge->puts));
	if (!merge->puts)
		return -ENOMEM;
	for (struct store_change *change = merge->store->first; change; change = change->next) {
		change->shown = false;
		if (change->kind == kind && change->put)
			merge->puts[merge->count++] = change;
	}
	/* glibc's is a merge sort: those of the same moment stay in their order. */
	qsort(merge->puts, merge->count, sizeof(struct store_change *), compare_created);
	return 0;
}

int tw_store_load(struct tw_store *store, enum tw_store_kind kind,
		  int (*each)(void *context, const struct tw_store_record *record), void *context)
{
	struct merge merge = { .store = store, .each = each, .context = context };
	int r;

	assert(!store->lending);
	r = gather_puts(&merge, kind);
	if (r)
		return r;
	store->lending = true;
	r = store->ops->load(store->backend, kind, merge_stored, &merge);
	while (!r && merge.next < merge.count) {
		struct store_change *change = merge.puts[merge.next++];

		if (!change->shown)
			r = show(&merge, change);
	}
	store->lending = false;
	free(merge.puts);
	return r;
}

int tw_store_blob(struct tw_store *store, enum tw_store_kind kind, const char *id, void **ret,
		  size_t *ret_length)
{
	const struct store_change *change = find_change(store, kind, id);
	void *copy;

	if (change && !change->blob && change->removed)
		return TW_E_END;
	if (!change || !change->blob)
		return store->ops->blob(store->backend, kind, id, ret, ret_length);
	copy = malloc(change->blob_length + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, change->blob, change->blob_length);
	*ret = copy;
	*ret_length = change->blob_length;
	return 0;
}

int tw_store_set(struct tw_store *store, const char *name, const char *value)
{
	const struct tw_store_record record = {
		.id = name,
		.owner = "",
		.state = "",
		.body = value,
	};

	assert(!store->lending);
	return value ? fill_change(store, SETTING, &record) : empty_change(store, SETTING, name);
}

int tw_store_get(struct tw_store *store, const char *name, char **ret)
{
	const struct store_change *change = find_change(store, SETTING, name);
	char *copy;

	if (!change)
		return store->ops->get(store->backend, name, ret);
	if (!change->put)
		return TW_E_END;
	copy = strdup(change->body);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

static int reserve_event(struct tw_store *store)
{
	struct tw_store_event *events;
	size_t room;

	if (store->event_count < store->event_room)
		return 0;
	room = store->event_room * 2 + 64;
	events = realloc(store->events, room * sizeof(*events));
	if (!events)
		return -ENOMEM;
	store->events = events;
	store->event_room = room;
	return 0;
}

int tw_store_event_add(struct tw_store *store, const struct tw_store_event *event, uint64_t *ret_id)
{
	uint64_t bytes =
		sizeof(*event) + strlen(event->name) + strlen(event->owner) + strlen(event->body);
	struct tw_store_event copy = *event;
	int r;

	assert(!store->lending);
	r = check_room(store, bytes, 0);
	if (!r)
		r = reserve_event(store);
	if (r)
		return r;
	copy.name = strdup(event->name);
	copy.owner = strdup(event->owner);
	copy.body = strdup(event->body);
	if (!copy.name || !copy.owner || !copy.body) {
		free_event(&copy);
		return -ENOMEM;
	}
	copy.id = ++store->event_newest;
	if (!store->event_oldest)
		store->event_oldest = copy.id;
	store->events[store->event_count++] = copy;
	store->pending_bytes += bytes;
	*ret_id = copy.id;
	return 0;
}

/* Passes events on, and counts what is left of the limit. */
struct replay {
	uint64_t left;
	int (*each)(void *context, const struct tw_store_event *event);
	void *context;
};

static int replay_event(void *context, const struct tw_store_event *event)
{
	struct replay *replay = context;

	replay->left--;
	return replay->each(replay->context, event);
}

int tw_store_events(struct tw_store *store, uint64_t after, int64_t since_us, uint64_t limit,
		    int (*each)(void *context, const struct tw_store_event *event), void *context)
{
	struct replay replay = { .left = limit, .each = each, .context = context };
	const struct store_window window = {
		.after = after > store->event_trim ? after : store->event_trim,
		.limit = limit,
		.since_us = since_us,
	};
	int r;

	assert(!store->lending);
	store->lending = true;
	r = store->ops->events(store->backend, &window, replay_event, &replay);
	for (size_t i = 0; !r && i < store->event_count && replay.left; i++) {
		const struct tw_store_event *event = &store->events[i];

		if (event->id > window.after && event->at_us >= since_us)
			r = replay_event(&replay, event);
	}
	store->lending = false;
	return r;
}

int tw_store_event_range(struct tw_store *store, uint64_t *ret_oldest, uint64_t *ret_newest)
{
	*ret_oldest = store->event_oldest;
	*ret_newest = store->event_newest;
	return 0;
}

int tw_store_events_trim(struct tw_store *store, uint64_t keep)
{
	uint64_t trim = store->event_newest > keep ? store->event_newest - keep : 0;

	assert(!store->lending);
	if (!store->event_newest || trim < store->event_oldest)
		return 0;
	store->event_trim = trim;
	store->event_oldest = trim + 1;
	store->trim_pending = true;
	return 0;
}
