/*
 * Opening, checking and bringing up to date; closing; putting a damaged database aside.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "store/store_sqlite.h"

#define FILE_NAME "tradewind.db"
#define BUSY_MS 250
/* Up to here all of the file is checked when it is opened, above it all but the blobs. */
#define WHOLE_CHECK_MAX ((off_t)64 << 20)
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/*
 * What brings a schema of the version before to this one. A schema that has been in use is never
 * changed here, only followed by another line.
 */
static const char *const migrations[] = {
	/* 1 */
	"CREATE TABLE object (serial INTEGER PRIMARY KEY, kind INTEGER NOT NULL,"
	" id TEXT NOT NULL, owner TEXT NOT NULL, state TEXT NOT NULL,"
	" created_us INTEGER NOT NULL, body TEXT NOT NULL, digest BLOB NOT NULL,"
	" blob_digest BLOB, UNIQUE (kind, id)) STRICT;"
	"CREATE INDEX object_by_time ON object (kind, created_us);"
	"CREATE TABLE blob (object INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;"
	"CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL,"
	" digest BLOB NOT NULL) STRICT;"
	"CREATE TABLE event (id INTEGER PRIMARY KEY, at_us INTEGER NOT NULL,"
	" name TEXT NOT NULL, owner TEXT NOT NULL, body TEXT NOT NULL,"
	" digest BLOB NOT NULL) STRICT;"
	"CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL,"
	" digest BLOB NOT NULL) STRICT;"
	"CREATE TABLE schema (version INTEGER PRIMARY KEY, at INTEGER NOT NULL) STRICT;"
	"INSERT INTO schema VALUES (1, unixepoch());",
	/* 2: questions by state */
	"CREATE INDEX object_by_state ON object (kind, state);"
	"INSERT INTO schema VALUES (2, unixepoch());",
};

#define SCHEMA ((int)LENGTH(migrations))

static void say(char *ret_message, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(char *ret_message, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(ret_message, TW_STORE_MESSAGE, format, arguments);
	va_end(arguments);
}

static int execute(struct store_sqlite *backend, const char *sql)
{
	return store_sqlite_error(backend->db, sqlite3_exec(backend->db, sql, NULL, NULL, NULL));
}

/* The first column of the only row. */
static int ask_number(struct store_sqlite *backend, const char *sql, int *ret)
{
	sqlite3_stmt *statement = NULL;
	int r;

	r = sqlite3_prepare_v2(backend->db, sql, -1, &statement, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_step(statement);
	if (r == SQLITE_ROW)
		*ret = sqlite3_column_int(statement, 0);
	r = store_sqlite_error(backend->db, r);
	sqlite3_finalize(statement);
	return r;
}

/* A question whose right answer is one row with @expected. Else TW_E_FORMAT, and what it was. */
static int expect_text(struct store_sqlite *backend, const char *sql, const char *expected,
		       char *ret_message)
{
	sqlite3_stmt *statement = NULL;
	const char *text = NULL;
	int r;

	r = sqlite3_prepare_v2(backend->db, sql, -1, &statement, NULL);
	if (r == SQLITE_OK)
		r = sqlite3_step(statement);
	if (r == SQLITE_ROW)
		text = (const char *)sqlite3_column_text(statement, 0);
	r = store_sqlite_error(backend->db, r);
	if (!r && (!text || strcmp(text, expected) != 0))
		r = TW_E_FORMAT;
	if (r)
		say(ret_message, "%s", text ? text : sqlite3_errmsg(backend->db));
	sqlite3_finalize(statement);
	return r;
}

/* 0: there is nothing yet. */
static int read_version(struct store_sqlite *backend, int *ret)
{
	int tables = 0, r;

	r = ask_number(backend, "SELECT count(*) FROM sqlite_schema", &tables);
	if (r || !tables) {
		*ret = 0;
		return r;
	}
	return ask_number(backend, "SELECT max(version) FROM schema", ret);
}

/*
 * Structure: pages, trees, indexes. Longer files hold mostly blobs, whose digests are looked at
 * when they are read.
 */
static int check_structure(struct store_sqlite *backend, char *ret_message)
{
	static const char *const parts[] = {
		"PRAGMA integrity_check('object')", "PRAGMA integrity_check('setting')",
		"PRAGMA integrity_check('event')",  "PRAGMA integrity_check('counter')",
		"PRAGMA integrity_check('schema')",
	};
	struct stat st;
	int r = 0;

	if (stat(backend->file, &st))
		return -errno;
	if (st.st_size <= WHOLE_CHECK_MAX)
		return expect_text(backend, "PRAGMA integrity_check(1)", "ok", ret_message);
	for (size_t i = 0; !r && i < LENGTH(parts); i++)
		r = expect_text(backend, parts[i], "ok", ret_message);
	return r;
}

static int migrate(struct store_sqlite *backend, int version)
{
	int r = execute(backend, "BEGIN IMMEDIATE");

	for (; !r && version < SCHEMA; version++)
		r = execute(backend, migrations[version]);
	if (!r)
		r = execute(backend, "COMMIT");
	if (r && !sqlite3_get_autocommit(backend->db))
		execute(backend, "ROLLBACK");
	return r;
}

/* The names of new files, too, are on the disk. */
static int flush_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd))
		r = -errno;
	close(fd);
	return r;
}

static int bring_up_to_date(struct store_sqlite *backend, const char *path, int version)
{
	int r;

	if (version == SCHEMA)
		return 0;
	r = migrate(backend, version);
	if (!r)
		r = store_sqlite_error(backend->db,
				       sqlite3_wal_checkpoint_v2(backend->db, NULL,
								 SQLITE_CHECKPOINT_TRUNCATE, NULL,
								 NULL));
	return r ? r : flush_folder(path);
}

/* Made here, so that nobody else may ever read it; SQLite's other files follow its mode. */
static int make_file(const char *file)
{
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/*
 * SQLite looks at every folder above a file for links. A server's process may be let into the state
 * folder alone, by a descriptor, and may not see what lies above: the path counts as it is.
 */
static int path_as_it_is(sqlite3_vfs *vfs, const char *path, int room, char *ret)
{
	(void)vfs;
	return snprintf(ret, (size_t)room, "%s", path) < room ? SQLITE_OK : SQLITE_CANTOPEN;
}

static sqlite3_vfs files;

static void make_files(void)
{
	const sqlite3_vfs *usual = sqlite3_vfs_find(NULL);

	if (!usual)
		return;
	files = *usual;
	files.zName = "tradewind";
	files.xFullPathname = path_as_it_is;
	files.pNext = NULL;
	sqlite3_vfs_register(&files, 0);
}

static int open_database(const char *file, sqlite3 **ret)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_files);
	return sqlite3_open_v2(file, ret,
			       SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
			       "tradewind");
}

static int connect_file(struct store_sqlite *backend)
{
	int r;

	r = make_file(backend->file);
	if (r)
		return r;
	r = open_database(backend->file, &backend->db);
	if (r != SQLITE_OK)
		return store_sqlite_error(backend->db, r);
	sqlite3_busy_timeout(backend->db, BUSY_MS);
	sqlite3_db_config(backend->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(backend->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(backend->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return execute(backend, "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY");
}

/* Have the newest commits vanished? */
static int check_serial(struct store_sqlite *backend, char *ret_detail)
{
	uint64_t expected = store_lock_expected(&backend->lock);
	int r = store_sqlite_counter(backend, "commit", &backend->serial);

	if (r == TW_E_END)
		r = 0;
	if (!r && backend->serial < expected) {
		say(ret_detail,
		    "its newest %llu changes are missing; without the file tradewind.lock, what is "
		    "there is taken as it is",
		    (unsigned long long)(expected - backend->serial));
		r = TW_E_FORMAT;
	}
	return r;
}

/* All that can be wrong with what is there. @ret_detail: what it is, in SQLite's words or ours. */
static int check_and_prepare(struct store_sqlite *backend, const char *path, char *ret_detail)
{
	int version = 0, r;

	r = read_version(backend, &version);
	if (!r && version > SCHEMA) {
		say(ret_detail, "its format is %d, this program knows %d", version, SCHEMA);
		return TW_E_VERSION;
	}
	if (!r)
		r = expect_text(backend, "PRAGMA journal_mode = WAL", "wal", ret_detail);
	if (!r)
		r = execute(backend, "PRAGMA synchronous = NORMAL;"
				     "PRAGMA wal_autocheckpoint = 0");
	if (!r)
		r = check_structure(backend, ret_detail);
	if (!r)
		r = bring_up_to_date(backend, path, version);
	if (!r)
		r = store_sqlite_prepare(backend);
	if (!r) {
		r = store_sqlite_check_rows(backend);
		if (r == TW_E_FORMAT)
			say(ret_detail, "something in it has changed by itself");
	}
	return r ? r : check_serial(backend, ret_detail);
}

/* A connection knows of the log once it has read. */
static int start_flusher(struct store_sqlite *backend)
{
	sqlite3 *db = NULL;
	int r;

	r = open_database(backend->file, &db);
	if (r == SQLITE_OK) {
		sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		r = sqlite3_exec(db, "PRAGMA synchronous = NORMAL; SELECT 1 FROM schema", NULL,
				 NULL, NULL);
	}
	r = store_sqlite_error(db, r);
	if (!r)
		r = store_flusher_start(backend->file, &backend->lock, db, &backend->flusher);
	if (r)
		sqlite3_close(db);
	return r;
}

static void explain(const struct store_sqlite *backend, int error, const char *detail, char *ret)
{
	if (!*detail)
		detail = error < 0 ? tw_strerror(error) : sqlite3_errmsg(backend->db);
	if (error == TW_E_VERSION)
		say(ret, "%s was made by a newer Tradewind (%s): start that one", backend->file,
		    detail);
	else if (error == TW_E_FORMAT)
		say(ret, "%s is damaged (%s): restore it from a backup, or set it aside",
		    backend->file, detail);
	else
		say(ret, "%s cannot be opened: %s", backend->file, detail);
}

/* What is missing of @path; nobody else may look inside. */
static int make_folders(const char *path)
{
	char part[STORE_PATH_ROOM];

	if ((size_t)snprintf(part, sizeof(part), "%s", path) >= sizeof(part))
		return -ENAMETOOLONG;
	for (char *at = part; *at;) {
		char *end = strchrnul(at + 1, '/'), kept = *end;

		*end = '\0';
		if (mkdir(part, 0700) && errno != EEXIST)
			return -errno;
		*end = kept;
		at = end;
	}
	return 0;
}

static int take_lock(const char *path, struct store_lock *ret, char *ret_message)
{
	int pid = 0, r = make_folders(path);

	if (!r)
		r = store_lock_take(path, ret, &pid);
	if (r == TW_E_EXISTS)
		say(ret_message, "another server (process %d) uses %s", pid, path);
	else if (r)
		say(ret_message, "%s cannot be used: %s", path, tw_strerror(r));
	return r;
}

int store_sqlite_open(const char *path, void **ret, char ret_message[TW_STORE_MESSAGE])
{
	struct store_sqlite *backend = calloc(1, sizeof(*backend));
	char detail[TW_STORE_MESSAGE / 2] = "";
	int r = -ENOMEM;

	if (!backend) {
		say(ret_message, "there is not enough memory");
		return -ENOMEM;
	}
	if ((size_t)snprintf(backend->file, sizeof(backend->file), "%s/" FILE_NAME, path) >=
	    sizeof(backend->file) - sizeof("-journal")) {
		free(backend);
		say(ret_message, "the path of the state folder is too long");
		return -ENAMETOOLONG;
	}
	r = take_lock(path, &backend->lock, ret_message);
	if (r) {
		free(backend);
		return r;
	}
	backend->digest = tw_digest_new();
	r = backend->digest ? connect_file(backend) : -ENOMEM;
	if (!r)
		r = check_and_prepare(backend, path, detail);
	if (!r)
		r = start_flusher(backend);
	if (r) {
		explain(backend, r, detail, ret_message);
		store_sqlite_close(backend);
		return r;
	}
	/* What a killed server has written may not be on the disk yet. */
	store_flusher_note(backend->flusher, backend->serial, 0);
	*ret = backend;
	return 0;
}

void store_sqlite_close(void *context)
{
	struct store_sqlite *backend = context;
	bool was_open = backend->flusher;

	store_flusher_stop(backend->flusher);
	if (was_open && sqlite3_wal_checkpoint_v2(backend->db, NULL, SQLITE_CHECKPOINT_TRUNCATE,
						  NULL, NULL) == SQLITE_OK)
		store_lock_mark(&backend->lock, STORE_MARK_FLUSHED, backend->serial);
	for (unsigned i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(backend->statements[i]);
	sqlite3_close(backend->db);
	tw_digest_free(backend->digest);
	store_lock_release(&backend->lock);
	free(backend);
}

/* The database and its log, under names that still belong together. -ENOENT: there is none. */
static int put_aside(const char *path, const char *stamp)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	char from[STORE_PATH_ROOM], to[STORE_PATH_ROOM];

	for (size_t i = 0; i < LENGTH(ends); i++) {
		int n = snprintf(to, sizeof(to), "%s/" FILE_NAME ".damaged-%s%s", path, stamp,
				 ends[i]);

		if (n < 0 || (size_t)n >= sizeof(to))
			return -ENAMETOOLONG;
		snprintf(from, sizeof(from), "%s/" FILE_NAME "%s", path, ends[i]);
		if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) &&
		    (errno != ENOENT || i == 0))
			return -errno;
	}
	return flush_folder(path);
}

int store_sqlite_quarantine(const char *path, char ret_message[TW_STORE_MESSAGE])
{
	time_t now = time(NULL);
	struct store_lock lock;
	struct tm broken;
	char stamp[32];
	int r;

	r = take_lock(path, &lock, ret_message);
	if (r)
		return r;
	gmtime_r(&now, &broken);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &broken);
	r = put_aside(path, stamp);
	if (r) {
		say(ret_message, "%s/" FILE_NAME " cannot be set aside: %s", path, tw_strerror(r));
	} else {
		store_lock_reset(&lock);
		say(ret_message, "the damaged database is now %s/" FILE_NAME ".damaged-%s", path,
		    stamp);
	}
	store_lock_release(&lock);
	return r;
}
