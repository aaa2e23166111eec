/*
 * storeworld.h - a store in a folder of its own, and what its tests need to fill it and to look at
 * what it holds.
 */
#pragma once

#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "../support/temp_dir.h"
#include "base/error.h"
#include "store/store.h"

static char root[TEMP_PATH_MAX];

static inline int setup(void **state)
{
	(void)state;
	temp_dir_make(root);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	temp_dir_remove(root);
	return 0;
}

static inline const char *at(const char *name)
{
	static char full[TEMP_PATH_MAX * 2];

	snprintf(full, sizeof(full), "%s/%s", root, name);
	return full;
}

static inline struct tw_store *open_store(void)
{
	char message[TW_STORE_MESSAGE];
	struct tw_store *store;
	int r = tw_store_open(root, &store, message);

	if (r)
		fail_msg("open: %d, %s", r, message);
	assert_string_equal(message, "");
	return store;
}

static inline struct tw_store *reopen(struct tw_store *store)
{
	tw_store_close(store);
	return open_store();
}

static inline int put(struct tw_store *store, enum tw_store_kind kind, const char *id,
		      int64_t created_us, const char *body)
{
	const struct tw_store_record record = {
		.kind = kind,
		.id = id,
		.owner = "anna",
		.state = "pending",
		.created_us = created_us,
		.body = body,
	};

	return tw_store_put(store, &record);
}

static inline int put_blob(struct tw_store *store, const char *id, const void *blob, size_t length)
{
	const struct tw_store_record record = {
		.kind = TW_STORE_MANIFEST,
		.id = id,
		.owner = "",
		.state = "complete",
		.body = "{}",
		.blob = blob,
		.blob_length = length,
	};

	return tw_store_put(store, &record);
}

/* Everything in the store, as a text. */
struct text {
	char *bytes;
	size_t length, room;
};

static inline void add(struct text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static inline void add(struct text *text, const char *format, ...)
{
	va_list arguments;
	int n;

	if (text->room - text->length < 4096) {
		text->room = text->room * 2 + 8192;
		text->bytes = realloc(text->bytes, text->room);
		assert_non_null(text->bytes);
	}
	va_start(arguments, format);
	n = vsnprintf(text->bytes + text->length, text->room - text->length, format, arguments);
	va_end(arguments);
	assert_true(n >= 0 && n < 4096);
	text->length += (size_t)n;
}

static inline int add_record(void *context, const struct tw_store_record *record)
{
	assert_null(record->blob);
	add(context, "%d %s %s %s %lld %s\n", (int)record->kind, record->id, record->owner,
	    record->state, (long long)record->created_us, record->body);
	return 0;
}

static inline const char *loaded(struct tw_store *store, enum tw_store_kind kind)
{
	static struct text text;

	text.length = 0;
	add(&text, "%s", "");
	assert_int_equal(tw_store_load(store, kind, add_record, &text), 0);
	return text.bytes;
}

static inline uint64_t event(struct tw_store *store, int64_t at_us)
{
	const struct tw_store_event event = {
		.at_us = at_us,
		.name = "launch",
		.owner = "",
		.body = "{}",
	};
	uint64_t id = 0;

	assert_int_equal(tw_store_event_add(store, &event, &id), 0);
	return id;
}

static inline void assert_range(struct tw_store *store, uint64_t oldest, uint64_t newest)
{
	uint64_t first, last;

	assert_int_equal(tw_store_event_range(store, &first, &last), 0);
	assert_int_equal(first, oldest);
	assert_int_equal(last, newest);
}

static inline int add_id(void *context, const struct tw_store_event *event)
{
	add(context, "%llu ", (unsigned long long)event->id);
	return 0;
}

static inline const char *ids(struct tw_store *store, uint64_t after, int64_t since_us,
			      uint64_t limit)
{
	static struct text text;

	text.length = 0;
	add(&text, "%s", "");
	assert_int_equal(tw_store_events(store, after, since_us, limit, add_id, &text), 0);
	return text.bytes;
}

static inline void assert_blob(struct tw_store *store, const char *id, const char *expected)
{
	size_t length = 0;
	void *blob;
	int r = tw_store_blob(store, TW_STORE_MANIFEST, id, &blob, &length);

	if (!expected) {
		assert_int_equal(r, TW_E_END);
		return;
	}
	assert_int_equal(r, 0);
	assert_int_equal(length, strlen(expected));
	assert_memory_equal(blob, expected, length);
	free(blob);
}

static inline int count_records(void *context, const struct tw_store_record *record)
{
	(void)record;
	++*(unsigned *)context;
	return 0;
}

static inline char *read_file(const char *path, size_t *ret_length)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *bytes;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	bytes = malloc((size_t)st.st_size + 1);
	assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
	bytes[st.st_size] = '\0';
	close(fd);
	*ret_length = (size_t)st.st_size;
	return bytes;
}

static inline void write_file(const char *path, const char *bytes, size_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
	close(fd);
}

/* Someone else's connection to the database. */
static inline sqlite3 *peek(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(at("tradewind.db"), &db), SQLITE_OK);
	if (sql && sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	return db;
}
