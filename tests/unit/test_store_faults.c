#include "storeworld.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "base/random.h"

static void test_newer(void **state)
{
	struct tw_store *store = open_store();
	char message[TW_STORE_MESSAGE];

	(void)state;
	assert_int_equal(put(store, TW_STORE_WATCH, "w", 1, "{}"), 0);
	tw_store_close(store);
	sqlite3_close(peek("INSERT INTO schema VALUES (99, 0); CREATE TABLE more (x)"));
	assert_int_equal(tw_store_open(root, &store, message), TW_E_VERSION);
	assert_non_null(strstr(message, "newer"));
	sqlite3_close(peek("DELETE FROM schema WHERE version = 99; DROP TABLE more"));
	store = open_store();
	assert_string_equal(loaded(store, TW_STORE_WATCH), "5 w anna pending 1 {}\n");
	tw_store_close(store);
}

static int count_index(void *context, int columns, char **values, char **names)
{
	(void)columns;
	(void)names;
	*(int *)context = atoi(values[0]);
	return 0;
}

/* A database as the first schema left it. */
static void test_older(void **state)
{
	const char *data = getenv("TEST_DATA");
	char path[1024], *sql, *value;
	struct tw_store *store;
	sqlite3 *db;
	size_t length;
	int indexes = 0;

	(void)state;
	snprintf(path, sizeof(path), "%s/data/store-schema-1.sql", data ? data : "tests/unit");
	sql = read_file(path, &length);
	sqlite3_close(peek(sql));
	free(sql);
	store = open_store();
	for (unsigned i = 0; i < 2; i++) {
		assert_string_equal(loaded(store, TW_STORE_MANIFEST),
				    "2 m1 anna complete 1000 {\"files\":2}\n");
		assert_string_equal(loaded(store, TW_STORE_TRANSFER),
				    "3 t2 bert pending 1500 {\"p\":1}\n"
				    "3 t1 anna active 2000 {\"p\":100}\n");
		assert_blob(store, "m1", "a listing");
		assert_int_equal(tw_store_get(store, "uid", &value), 0);
		assert_string_equal(value, "\"8f\"");
		free(value);
		assert_string_equal(ids(store, 0, 0, 10), "2 3 ");
		assert_range(store, 2, 3);
		assert_int_equal(tw_store_commit(store), 0);
		store = reopen(store);
	}
	assert_int_equal(event(store, 1), 4);
	tw_store_close(store);
	db = peek(NULL);
	assert_int_equal(sqlite3_exec(db,
				      "SELECT count(*) FROM sqlite_schema"
				      " WHERE name = 'object_by_state'",
				      count_index, &indexes, NULL),
			 SQLITE_OK);
	assert_int_equal(indexes, 1);
	sqlite3_close(db);
}

/* Not ours at all. */
static void test_foreign(void **state)
{
	char message[TW_STORE_MESSAGE];
	struct tw_store *store;

	(void)state;
	sqlite3_close(peek("CREATE TABLE something (x)"));
	assert_int_equal(tw_store_open(root, &store, message), TW_E_FORMAT);
	write_file(at("tradewind.db"), "This is a text, and no database, of some length.....", 50);
	assert_int_equal(tw_store_open(root, &store, message), TW_E_FORMAT);
	assert_non_null(strstr(message, "damaged"));
	/* Set aside, the next begins anew. */
	assert_int_equal(tw_store_quarantine(root, message), 0);
	assert_non_null(strstr(message, "tradewind.db.damaged-"));
	store = open_store();
	tw_store_close(store);
	assert_int_equal(access(strrchr(message, ' ') + 1, F_OK), 0);
}

static void test_busy(void **state)
{
	struct tw_store *store = open_store();
	sqlite3 *db = peek("BEGIN IMMEDIATE");

	(void)state;
	assert_int_equal(put(store, TW_STORE_WATCH, "w", 1, "{}"), 0);
	event(store, 5);
	assert_int_equal(tw_store_commit(store), -EBUSY);
	assert_true(tw_store_dirty(store));
	assert_string_equal(loaded(store, TW_STORE_WATCH), "5 w anna pending 1 {}\n");
	assert_string_equal(ids(store, 0, 0, 10), "1 ");
	sqlite3_close(db);
	assert_int_equal(tw_store_commit(store), 0);
	assert_false(tw_store_dirty(store));
	store = reopen(store);
	assert_string_equal(loaded(store, TW_STORE_WATCH), "5 w anna pending 1 {}\n");
	assert_string_equal(ids(store, 0, 0, 10), "1 ");
	tw_store_close(store);
}

/*
 * Fills what there is until a commit fails, lets it go on, and finds everything. @make_room: what
 * lets it go on.
 */
static void fill_and_free(struct tw_store *store, void (*make_room)(void))
{
	enum { BLOB = 100000 };
	unsigned last = 0;
	char *blob = malloc(BLOB);
	int r = 0;

	memset(blob, 'x', BLOB);
	while (!r) {
		char id[16];

		assert_true(++last < 1000);
		snprintf(id, sizeof(id), "m%u", last);
		assert_int_equal(put_blob(store, id, blob, BLOB), 0);
		event(store, last);
		r = tw_store_commit(store);
	}
	assert_true(r == -ENOSPC || r == -EFBIG || r == -EIO);
	/* More changes, more attempts: nothing is lost and nothing done twice. */
	assert_int_equal(put(store, TW_STORE_WATCH, "w", 1, "{}"), 0);
	event(store, 0);
	assert_true(tw_store_commit(store) < 0);
	assert_true(tw_store_dirty(store));
	assert_string_equal(loaded(store, TW_STORE_WATCH), "5 w anna pending 1 {}\n");
	assert_range(store, 1, last + 1);
	make_room();
	assert_int_equal(tw_store_commit(store), 0);
	assert_int_equal(tw_store_sync(store), 0);
	store = reopen(store);
	assert_string_equal(loaded(store, TW_STORE_WATCH), "5 w anna pending 1 {}\n");
	assert_range(store, 1, last + 1);
	for (unsigned i = 1; i <= last; i++) {
		size_t length;
		char id[16];
		void *got;

		snprintf(id, sizeof(id), "m%u", i);
		assert_int_equal(tw_store_blob(store, TW_STORE_MANIFEST, id, &got, &length), 0);
		assert_int_equal(length, BLOB);
		assert_memory_equal(got, blob, BLOB);
		free(got);
	}
	tw_store_close(store);
	free(blob);
}

static void limit_size(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void lift_limit(void)
{
	limit_size(RLIM_INFINITY);
}

static void test_writes_fail(void **state)
{
	struct tw_store *store;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	store = open_store();
	limit_size(1000000);
	fill_and_free(store, lift_limit);
	lift_limit();
}

/* A disk of two megabytes, for this process alone. */
static bool small_disk(void)
{
	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return false;
	return !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("tmpfs", root, "tmpfs", 0, "size=2m,mode=0700");
}

static void enlarge_disk(void)
{
	assert_int_equal(mount("tmpfs", root, "tmpfs", MS_REMOUNT, "size=20m"), 0);
}

#define NOT_HERE 77

static void test_disk_full(void **state)
{
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (!child) {
		if (!small_disk())
			_exit(NOT_HERE);
		fill_and_free(open_store(), enlarge_disk);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_HERE)
		skip();
	assert_int_equal(status, 0);
}

/*
 * One round of a server's life: each commit changes several objects, the settings and the event log
 * together, and is told to the other end of the pipe when it has been answered. After the @last one
 * it waits for its end.
 */
static void live(int told, uint64_t serial, uint64_t last)
{
	struct tw_store *store = open_store();

	while (serial < last) {
		char body[32], blob[3000];

		serial++;
		snprintf(body, sizeof(body), "%llu", (unsigned long long)serial);
		memset(blob, (int)serial, sizeof(blob));
		assert_int_equal(put(store, TW_STORE_TRANSFER, "t", 1, body), 0);
		assert_int_equal(put(store, TW_STORE_WATCH, body, (int64_t)serial, body), 0);
		assert_int_equal(put_blob(store, "m", blob, sizeof(blob)), 0);
		assert_int_equal(tw_store_set(store, "serial", body), 0);
		assert_int_equal(event(store, (int64_t)serial), serial);
		if (serial > 20) {
			snprintf(body, sizeof(body), "%llu", (unsigned long long)serial - 20);
			assert_int_equal(tw_store_remove(store, TW_STORE_WATCH, body), 0);
		}
		if (serial % 64 == 0)
			assert_int_equal(tw_store_sync(store), 0);
		assert_int_equal(tw_store_commit(store), 0);
		if (write(told, &serial, sizeof(serial)) != sizeof(serial))
			_exit(1);
	}
	pause();
}

/* What is stored is the whole of one commit: of which? */
static uint64_t stored_serial(void)
{
	struct tw_store *store = open_store();
	uint64_t serial, oldest, newest;
	unsigned watches = 0;
	char expected[64], *value;
	uint8_t *blob;
	size_t length;

	assert_int_equal(tw_store_event_range(store, &oldest, &serial), 0);
	newest = serial;
	if (!serial) {
		tw_store_close(store);
		return 0;
	}
	assert_int_equal(oldest, 1);
	assert_int_equal(tw_store_get(store, "serial", &value), 0);
	assert_int_equal(strtoull(value, NULL, 10), newest);
	free(value);
	snprintf(expected, sizeof(expected), "3 t anna pending 1 %llu\n",
		 (unsigned long long)serial);
	assert_string_equal(loaded(store, TW_STORE_TRANSFER), expected);
	assert_int_equal(tw_store_load(store, TW_STORE_WATCH, count_records, &watches), 0);
	assert_int_equal(watches, serial < 20 ? serial : 20);
	assert_int_equal(tw_store_blob(store, TW_STORE_MANIFEST, "m", (void **)&blob, &length), 0);
	assert_int_equal(length, 3000);
	assert_int_equal(blob[0], (uint8_t)serial);
	assert_int_equal(blob[2999], (uint8_t)serial);
	free(blob);
	tw_store_close(store);
	return serial;
}

/*
 * Kills it after @commits commits and a while in which it goes on (0: it does not); returns the
 * last one that was answered.
 */
static uint64_t live_and_die(uint64_t serial, unsigned commits, uint64_t nanoseconds)
{
	const struct timespec wait = { .tv_nsec = (long)nanoseconds };
	uint64_t answered = serial;
	int ends[2], status;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		close(ends[0]);
		live(ends[1], serial, nanoseconds ? UINT64_MAX : serial + commits);
	}
	close(ends[1]);
	for (unsigned i = 0; i < commits; i++)
		assert_int_equal(read(ends[0], &answered, sizeof(answered)), sizeof(answered));
	nanosleep(&wait, NULL);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	while (read(ends[0], &answered, sizeof(answered)) == sizeof(answered))
		;
	close(ends[0]);
	return answered;
}

static void test_kill(void **state)
{
	uint64_t serial = 0;
	struct tw_prng prng;

	(void)state;
	tw_prng_init(&prng, 77);
	for (unsigned i = 0; i < 50; i++) {
		uint64_t stored, answered;

		answered = live_and_die(serial, 1 + (unsigned)tw_prng_below(&prng, 60),
					1 + tw_prng_below(&prng, 1000000));
		stored = stored_serial();
		/* The last one may have been written and not answered any more. */
		if (stored != answered && stored != answered + 1)
			fail_msg("round %u: answered %llu, stored %llu", i,
				 (unsigned long long)answered, (unsigned long long)stored);
		serial = stored;
	}
}

/* The log is cut short behind a kill: SQLite alone would not know. */
static void test_lost_log(void **state)
{
	static const char zeros[80]; /* two marks */
	char message[TW_STORE_MESSAGE];
	struct tw_store *store;
	size_t length, lock_length;
	char *log, *lock;

	(void)state;
	live_and_die(0, 30, 0);
	log = read_file(at("tradewind.db-wal"), &length);
	write_file(at("tradewind.db-wal"), log, length / 2);
	assert_int_equal(tw_store_open(root, &store, message), TW_E_FORMAT);
	assert_non_null(strstr(message, "missing"));
	/* Without the marks nobody knows; after a power cut that is no more than a second. */
	lock = read_file(at("tradewind.lock"), &lock_length);
	memcpy(lock + 32, zeros, lock_length - 32);
	write_file(at("tradewind.lock"), lock, lock_length);
	write_file(at("tradewind.db-wal"), log, length / 2);
	store = open_store();
	tw_store_close(store);
	free(log);

	/* The mark of the flush alone: these were on the disk. */
	temp_dir_remove(root);
	temp_dir_make(root);
	live_and_die(0, 70, 0);
	log = read_file(at("tradewind.db-wal"), &length);
	write_file(at("tradewind.db-wal"), log, length / 4);
	free(lock);
	lock = read_file(at("tradewind.lock"), &lock_length);
	memcpy(lock + 32, zeros, sizeof(zeros) / 2);
	write_file(at("tradewind.lock"), lock, lock_length);
	assert_int_equal(tw_store_open(root, &store, message), TW_E_FORMAT);
	assert_int_equal(unlink(at("tradewind.lock")), 0);
	store = open_store();
	tw_store_close(store);
	free(log);
	free(lock);
}

static int add_event(void *context, const struct tw_store_event *event)
{
	add(context, "event %llu %lld %s %s %s\n", (unsigned long long)event->id,
	    (long long)event->at_us, event->name, event->owner, event->body);
	return 0;
}

/* All that is in the store. An error, or 0. */
static int dump(struct tw_store *store, struct text *text)
{
	char *value;
	int r = 0;

	text->length = 0;
	add(text, "%s", "");
	for (int kind = 1; kind < TW_STORE_KIND_COUNT && !r; kind++)
		r = tw_store_load(store, (enum tw_store_kind)kind, add_record, text);
	if (!r)
		r = tw_store_events(store, 0, INT64_MIN, UINT64_MAX, add_event, text);
	if (!r)
		r = tw_store_get(store, "serial", &value);
	if (r)
		return r;
	add(text, "%s\n", value);
	free(value);
	for (unsigned i = 0; i < 6; i++) {
		size_t length, digest = 0;
		char id[16];
		void *blob;

		snprintf(id, sizeof(id), i ? "m%u" : "m", i);
		r = tw_store_blob(store, TW_STORE_MANIFEST, id, &blob, &length);
		if (r)
			return r;
		for (size_t k = 0; k < length; k++)
			digest = digest * 31 + ((uint8_t *)blob)[k];
		free(blob);
		add(text, "%zu %zx\n", length, digest);
	}
	return 0;
}

/* Opens what lies there with one bit turned: an error, or exactly what was stored. */
static bool notices(const struct text *expected)
{
	static struct text text;
	char message[TW_STORE_MESSAGE];
	struct tw_store *store;
	int r = tw_store_open(root, &store, message);

	if (r)
		return strlen(message) > 0;
	r = dump(store, &text);
	tw_store_close(store);
	return r || !strcmp(text.bytes, expected->bytes);
}

static void test_flips(void **state)
{
	static const char *const names[] = { "tradewind.db", "tradewind.db-wal", "tradewind.lock" };
	const char *wanted = getenv("STORE_FLIPS");
	unsigned flips = wanted ? (unsigned)atoi(wanted) : 1500;
	struct text expected = { 0 };
	char blob[20000], *files[3];
	struct tw_store *store;
	size_t lengths[3];
	struct tw_prng prng;

	(void)state;
	tw_prng_init(&prng, 5);
	store = open_store();
	for (unsigned i = 1; i < 6; i++) {
		char id[16];

		memset(blob, (int)i, sizeof(blob));
		snprintf(id, sizeof(id), "m%u", i);
		assert_int_equal(put_blob(store, id, blob, sizeof(blob) / i), 0);
		assert_int_equal(put(store, TW_STORE_DESTINATION, id, i, id), 0);
	}
	tw_store_close(store);
	/* Half of it in the database, half in the log of one that was killed. */
	live_and_die(0, 25, 0);
	for (unsigned i = 0; i < 3; i++)
		files[i] = read_file(at(names[i]), &lengths[i]);
	store = open_store();
	assert_int_equal(dump(store, &expected), 0);
	tw_store_close(store);
	for (unsigned i = 0; i < flips; i++) {
		uint64_t file = tw_prng_below(&prng, 20) ? tw_prng_below(&prng, 2) : 2;
		uint64_t place = tw_prng_below(&prng, lengths[file]);
		char bit = (char)(1 << tw_prng_below(&prng, 8));

		files[file][place] ^= bit;
		unlink(at("tradewind.db-shm"));
		for (unsigned k = 0; k < 3; k++)
			write_file(at(names[k]), files[k], lengths[k]);
		if (!notices(&expected))
			fail_msg("flip %u: %s, byte %llu, bit %d", i, names[file],
				 (unsigned long long)place, bit);
		files[file][place] ^= bit;
	}
	for (unsigned i = 0; i < 3; i++)
		free(files[i]);
	free(expected.bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_newer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_older, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
		cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_writes_fail, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disk_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lost_log, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flips, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
