#include "storeworld.h"

#include <time.h>

#include "base/random.h"

static void test_objects(void **state)
{
	struct tw_store *store = open_store();
	size_t length;
	void *blob;

	(void)state;
	assert_false(tw_store_dirty(store));
	assert_int_equal(put(store, TW_STORE_TRANSFER, "b", 20, "{\"n\":1}"), 0);
	assert_int_equal(put(store, TW_STORE_TRANSFER, "a", 30, "{\"n\":2}"), 0);
	assert_int_equal(put(store, TW_STORE_TRANSFER, "c", 10, "{\"n\":3}"), 0);
	assert_int_equal(put(store, TW_STORE_DESTINATION, "a", 10, "{}"), 0);
	assert_true(tw_store_dirty(store));
	for (unsigned i = 0; i < 3; i++) {
		assert_string_equal(loaded(store, TW_STORE_TRANSFER),
				    "3 c anna pending 10 {\"n\":3}\n3 b anna pending 20 {\"n\":1}\n"
				    "3 a anna pending 30 {\"n\":2}\n");
		assert_string_equal(loaded(store, TW_STORE_DESTINATION),
				    "1 a anna pending 10 {}\n");
		assert_int_equal(tw_store_blob(store, TW_STORE_TRANSFER, "a", &blob, &length),
				 TW_E_END);
		if (i == 0)
			assert_int_equal(tw_store_commit(store), 0);
		if (i == 1)
			store = reopen(store);
	}
	assert_false(tw_store_dirty(store));
	/* Replaced and removed, before and after the commit. */
	assert_int_equal(put(store, TW_STORE_TRANSFER, "b", 20, "new"), 0);
	assert_int_equal(tw_store_remove(store, TW_STORE_TRANSFER, "c"), 0);
	assert_int_equal(tw_store_remove(store, TW_STORE_TRANSFER, "c"), TW_E_END);
	assert_int_equal(tw_store_remove(store, TW_STORE_TRANSFER, "never"), TW_E_END);
	for (unsigned i = 0; i < 3; i++) {
		assert_string_equal(loaded(store, TW_STORE_TRANSFER),
				    "3 b anna pending 20 new\n3 a anna pending 30 {\"n\":2}\n");
		if (i == 0)
			assert_int_equal(tw_store_commit(store), 0);
		if (i == 1)
			store = reopen(store);
	}
	tw_store_close(store);
	tw_store_close(NULL);
}

static void test_blobs(void **state)
{
	struct tw_store *store = open_store();

	(void)state;
	assert_int_equal(put_blob(store, "one", "first", 5), 0);
	assert_int_equal(put_blob(store, "two", "", 0), 0);
	assert_blob(store, "one", "first");
	/* Without a blob, what is there stays: what waits, and what is stored. */
	assert_int_equal(put_blob(store, "one", NULL, 0), 0);
	assert_blob(store, "one", "first");
	assert_int_equal(tw_store_commit(store), 0);
	assert_int_equal(put_blob(store, "one", NULL, 0), 0);
	assert_blob(store, "one", "first");
	assert_int_equal(tw_store_commit(store), 0);
	assert_blob(store, "one", "first");
	assert_blob(store, "two", "");
	assert_int_equal(put_blob(store, "one", "second", 6), 0);
	assert_blob(store, "one", "second");
	store = reopen(store);
	assert_blob(store, "one", "second");
	/* It goes with its object, and does not come back with the next of that name. */
	assert_int_equal(tw_store_remove(store, TW_STORE_MANIFEST, "one"), 0);
	assert_blob(store, "one", NULL);
	assert_int_equal(put_blob(store, "one", NULL, 0), 0);
	assert_blob(store, "one", NULL);
	store = reopen(store);
	assert_blob(store, "one", NULL);
	assert_blob(store, "two", "");
	assert_blob(store, "three", NULL);
	tw_store_close(store);
}

static void test_settings(void **state)
{
	struct tw_store *store = open_store();
	char *value;

	(void)state;
	assert_int_equal(tw_store_get(store, "limits", &value), TW_E_END);
	assert_int_equal(tw_store_set(store, "limits", "{\"out\":1}"), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(tw_store_get(store, "limits", &value), 0);
		assert_string_equal(value, "{\"out\":1}");
		free(value);
		store = reopen(store);
	}
	assert_int_equal(tw_store_set(store, "limits", NULL), 0);
	assert_int_equal(tw_store_get(store, "limits", &value), TW_E_END);
	store = reopen(store);
	assert_int_equal(tw_store_get(store, "limits", &value), TW_E_END);
	tw_store_close(store);
}

static void test_events(void **state)
{
	struct tw_store *store = open_store();

	(void)state;
	assert_range(store, 0, 0);
	assert_string_equal(ids(store, 0, 0, 10), "");
	assert_int_equal(event(store, 100), 1);
	assert_int_equal(event(store, 300), 2);
	assert_int_equal(tw_store_commit(store), 0);
	assert_int_equal(event(store, 200), 3);
	assert_int_equal(event(store, 400), 4);
	for (unsigned i = 0; i < 2; i++) {
		assert_range(store, 1, 4);
		assert_string_equal(ids(store, 0, INT64_MIN, UINT64_MAX), "1 2 3 4 ");
		assert_string_equal(ids(store, 1, 0, 2), "2 3 ");
		assert_string_equal(ids(store, 0, 250, 10), "2 4 ");
		assert_string_equal(ids(store, 0, 0, 0), "");
		assert_string_equal(ids(store, 4, 0, 10), "");
		assert_string_equal(ids(store, UINT64_MAX, 0, 10), "");
		store = reopen(store);
	}
	assert_int_equal(event(store, 500), 5);
	assert_int_equal(tw_store_events_trim(store, 10), 0);
	assert_range(store, 1, 5);
	assert_int_equal(tw_store_events_trim(store, 2), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_range(store, 4, 5);
		assert_string_equal(ids(store, 0, 0, 10), "4 5 ");
		store = reopen(store);
	}
	/* Ids go on where they were although nothing is left. */
	assert_int_equal(tw_store_events_trim(store, 0), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_range(store, 6, 5);
		assert_string_equal(ids(store, 0, 0, 10), "");
		store = reopen(store);
	}
	assert_int_equal(event(store, 600), 6);
	assert_range(store, 6, 6);
	tw_store_close(store);
}

static int stop_at_second(void *context, const struct tw_store_record *record)
{
	(void)record;
	return ++*(unsigned *)context == 2 ? -ECANCELED : 0;
}

static int stop_event(void *context, const struct tw_store_event *event)
{
	(void)event;
	return ++*(unsigned *)context == 2 ? -ECANCELED : 0;
}

static void test_stopping(void **state)
{
	struct tw_store *store = open_store();

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		unsigned seen = 0;

		for (unsigned k = 0; k < 3; k++) {
			char id[16];

			snprintf(id, sizeof(id), "%u", k);
			assert_int_equal(put(store, TW_STORE_WATCH, id, k, ""), 0);
			event(store, k);
		}
		assert_int_equal(tw_store_load(store, TW_STORE_WATCH, stop_at_second, &seen),
				 -ECANCELED);
		assert_int_equal(seen, 2);
		seen = 0;
		assert_int_equal(tw_store_events(store, 0, 0, 9, stop_event, &seen), -ECANCELED);
		assert_int_equal(seen, 2);
		assert_int_equal(tw_store_commit(store), 0);
	}
	tw_store_close(store);
}

/* A small store in the most obvious form, to compare with. */
#define MODEL_IDS 12
#define MODEL_EVENTS 64

struct model {
	struct {
		bool there;
		int64_t created_us, order;
		unsigned body;
		int blob; /* -1: none */
	} objects[MODEL_IDS];
	int64_t order;
	uint64_t event_oldest, event_newest;
};

static void assert_like_model(struct tw_store *store, const struct model *model)
{
	struct text expected = { 0 };
	bool shown[MODEL_IDS] = { false };

	add(&expected, "%s", "");
	for (;;) {
		int best = -1;
		char id[16];

		for (int i = 0; i < MODEL_IDS; i++) {
			if (model->objects[i].there && !shown[i] &&
			    (best < 0 ||
			     model->objects[i].created_us < model->objects[best].created_us))
				best = i;
		}
		if (best < 0)
			break;
		shown[best] = true;
		snprintf(id, sizeof(id), "%d", best);
		add(&expected, "2 %s anna pending %lld %u\n", id,
		    (long long)model->objects[best].created_us, model->objects[best].body);
	}
	assert_string_equal(loaded(store, TW_STORE_MANIFEST), expected.bytes);
	for (int i = 0; i < MODEL_IDS; i++) {
		char id[16], blob[16];

		snprintf(id, sizeof(id), "%d", i);
		snprintf(blob, sizeof(blob), "%d", model->objects[i].blob);
		assert_blob(store, id,
			    model->objects[i].there && model->objects[i].blob >= 0 ? blob : NULL);
	}
	assert_range(store, model->event_oldest, model->event_newest);
	free(expected.bytes);
}

static void change_object(struct tw_store *store, struct model *model, struct tw_prng *prng)
{
	unsigned i = (unsigned)tw_prng_below(prng, MODEL_IDS);
	struct tw_store_record record = {
		.kind = TW_STORE_MANIFEST,
		.owner = "anna",
		.state = "pending",
	};
	char id[16], body[16], blob[16];

	snprintf(id, sizeof(id), "%u", i);
	record.id = id;
	if (tw_prng_below(prng, 4) == 0) {
		assert_int_equal(tw_store_remove(store, TW_STORE_MANIFEST, id),
				 model->objects[i].there ? 0 : TW_E_END);
		model->objects[i].there = false;
		return;
	}
	if (!model->objects[i].there) {
		/* Each its own moment: the order among equals is not promised. */
		model->objects[i].created_us = (int64_t)tw_prng_below(prng, 1000) * MODEL_IDS + i;
		model->objects[i].blob = -1;
	}
	model->objects[i].there = true;
	model->objects[i].body = (unsigned)tw_prng_below(prng, 1000);
	snprintf(body, sizeof(body), "%u", model->objects[i].body);
	record.created_us = model->objects[i].created_us;
	record.body = body;
	if (tw_prng_below(prng, 2)) {
		model->objects[i].blob = (int)tw_prng_below(prng, 1000);
		snprintf(blob, sizeof(blob), "%d", model->objects[i].blob);
		record.blob = blob;
		record.blob_length = strlen(blob);
	}
	assert_int_equal(tw_store_put(store, &record), 0);
}

static void change_events(struct tw_store *store, struct model *model, struct tw_prng *prng)
{
	if (tw_prng_below(prng, 3)) {
		assert_int_equal(event(store, 0), ++model->event_newest);
		if (!model->event_oldest)
			model->event_oldest = 1;
	} else {
		uint64_t keep = tw_prng_below(prng, 6);

		assert_int_equal(tw_store_events_trim(store, keep), 0);
		if (model->event_newest >= keep &&
		    model->event_newest - keep + 1 > model->event_oldest && model->event_newest)
			model->event_oldest = model->event_newest - keep + 1;
	}
}

static void test_like_a_model(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 15; seed++) {
		struct model model = { 0 };
		struct tw_prng prng;
		struct tw_store *store;

		temp_dir_remove(root);
		temp_dir_make(root);
		store = open_store();
		tw_prng_init(&prng, seed);
		for (unsigned i = 0; i < 200; i++) {
			uint64_t what = tw_prng_below(&prng, 20);

			if (what < 14)
				change_object(store, &model, &prng);
			else if (what < 17)
				change_events(store, &model, &prng);
			else if (what < 19)
				assert_int_equal(tw_store_commit(store), 0);
			else
				store = reopen(store);
			assert_like_model(store, &model);
		}
		tw_store_close(store);
	}
}

static void test_one_server(void **state)
{
	struct tw_store *store = open_store(), *other;
	char message[TW_STORE_MESSAGE], pid[32];
	struct stat st;

	(void)state;
	assert_int_equal(tw_store_open(root, &other, message), TW_E_EXISTS);
	snprintf(pid, sizeof(pid), "process %d)", (int)getpid());
	assert_non_null(strstr(message, pid));
	assert_int_equal(tw_store_quarantine(root, message), TW_E_EXISTS);
	assert_int_equal(stat(at("tradewind.db"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(at("tradewind.db-wal"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	store = reopen(store);
	tw_store_close(store);
	assert_int_equal(tw_store_open(at("tradewind.db/state"), &other, message), -ENOTDIR);
	assert_true(strlen(message) > 10);
	/* What is missing is made. */
	assert_int_equal(tw_store_open(at("lib/state/"), &other, message), 0);
	tw_store_close(other);
	assert_int_equal(stat(at("lib/state/tradewind.db"), &st), 0);
	assert_int_equal(stat(at("lib"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
}

static void test_too_much(void **state)
{
	const size_t half = TW_STORE_PENDING_MAX / 2 + 1;
	struct tw_store *store = open_store();
	char *blob = calloc(1, half);

	(void)state;
	assert_int_equal(put_blob(store, "huge", blob, TW_STORE_BLOB_MAX + 1), -EFBIG);
	assert_int_equal(put_blob(store, "a", blob, half), 0);
	assert_int_equal(put_blob(store, "b", blob, half), TW_E_FULL);
	/* In its own place there is room. */
	assert_int_equal(put_blob(store, "a", blob, half), 0);
	assert_int_equal(tw_store_remove(store, TW_STORE_MANIFEST, "a"), 0);
	assert_int_equal(put_blob(store, "b", blob, half), 0);
	assert_int_equal(tw_store_remove(store, TW_STORE_MANIFEST, "b"), 0);
	assert_int_equal(tw_store_commit(store), 0);
	assert_string_equal(loaded(store, TW_STORE_MANIFEST), "");
	free(blob);
	tw_store_close(store);
}

/* Ten thousand transfers: how long a start takes (printed, not judged: machines differ). */
static void test_many(void **state)
{
	struct tw_store *store = open_store();
	struct timespec before, after;
	char body[700];
	unsigned count = 0;

	(void)state;
	memset(body, 'x', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	for (unsigned i = 0; i < 10000; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%08x", i * 2654435761u);
		assert_int_equal(put(store, TW_STORE_TRANSFER, id, i, body), 0);
		if (i % 100 == 0)
			assert_int_equal(tw_store_commit(store), 0);
	}
	tw_store_close(store);
	clock_gettime(CLOCK_MONOTONIC, &before);
	store = open_store();
	assert_int_equal(tw_store_load(store, TW_STORE_TRANSFER, count_records, &count), 0);
	clock_gettime(CLOCK_MONOTONIC, &after);
	assert_int_equal(count, 10000);
	if (getenv("TEST_VERBOSE"))
		fprintf(stderr, "10000 records opened, checked and loaded in %ld ms\n",
			(after.tv_sec - before.tv_sec) * 1000 +
				(after.tv_nsec - before.tv_nsec) / 1000000);
	tw_store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_objects, setup, teardown),
		cmocka_unit_test_setup_teardown(test_blobs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_settings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stopping, setup, teardown),
		cmocka_unit_test_setup_teardown(test_like_a_model, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_server, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_much, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
