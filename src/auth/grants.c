#include "auth/grants.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/random.h"
#include "base/text.h"
#include "netio/clock.h"

#define FIRST_LINE "tradewind grants 1\n"
#define LINE_ROOM (2 * 11 + TW_ACCOUNT_NAME_MAX + 2)
#define FILE_MAX ((size_t)TW_GRANTS_MAX * LINE_ROOM)

static bool is_name(const char *name)
{
	size_t length = strnlen(name, TW_ACCOUNT_NAME_MAX);

	if (!length || length == TW_ACCOUNT_NAME_MAX)
		return false;
	for (size_t i = 0; i < length; i++)
		if ((unsigned char)name[i] < ' ' || name[i] == 0x7f)
			return false;
	return true;
}

/* @text up to @until as an id. */
static bool parse_id(const char **text, uint32_t *ret)
{
	char digits[12];
	const char *end = strchr(*text, ' ');
	uint64_t number;

	if (!end || end - *text >= (ptrdiff_t)sizeof(digits))
		return false;
	snprintf(digits, sizeof(digits), "%.*s", (int)(end - *text), *text);
	if (tw_text_parse_u64(digits, 0, UINT32_MAX - 1, &number))
		return false;
	*ret = (uint32_t)number;
	*text = end + 1;
	return true;
}

static bool parse_line(const char *line, struct tw_grant *ret)
{
	if (!parse_id(&line, &ret->uid) || !parse_id(&line, &ret->gid) || !is_name(line))
		return false;
	snprintf(ret->name, sizeof(ret->name), "%s", line);
	return true;
}

const struct tw_grant *tw_grants_find(const struct tw_grants *grants, const char *name)
{
	for (size_t i = 0; i < grants->count; i++)
		if (strcmp(grants->all[i].name, name) == 0)
			return &grants->all[i];
	return NULL;
}

static void drop(struct tw_grants *grants, size_t index)
{
	grants->count--;
	memmove(&grants->all[index], &grants->all[index + 1],
		(grants->count - index) * sizeof(*grants->all));
}

/* At the end: the newest. */
static void add(struct tw_grants *grants, const struct tw_grant *grant)
{
	const struct tw_grant *old = tw_grants_find(grants, grant->name);

	if (old)
		drop(grants, (size_t)(old - grants->all));
	else if (grants->count == TW_GRANTS_MAX)
		drop(grants, 0);
	grants->all[grants->count++] = *grant;
}

int tw_grants_parse(const char *text, size_t length, struct tw_grants *ret)
{
	const size_t first = strlen(FIRST_LINE);
	const char *at = text + first, *end = text + length;
	char line[LINE_ROOM];

	if (length < first || memcmp(text, FIRST_LINE, first) != 0)
		return TW_E_FORMAT;
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		struct tw_grant grant = { 0 };
		size_t size = stop ? (size_t)(stop - at) : 0;

		if (!stop || size >= sizeof(line) || memchr(at, 0, size))
			return TW_E_FORMAT;
		memcpy(line, at, size);
		line[size] = '\0';
		if (!parse_line(line, &grant))
			return TW_E_FORMAT;
		add(ret, &grant);
		at = stop + 1;
	}
	return 0;
}

/* The whole file in memory of the caller's. */
static int read_all(int fd, char **ret, size_t *ret_length)
{
	char *text = malloc(FILE_MAX + 1);
	size_t length = 0;
	ssize_t n = 0;

	if (!text)
		return -ENOMEM;
	while (length <= FILE_MAX && (n = read(fd, text + length, FILE_MAX + 1 - length)) > 0)
		length += (size_t)n;
	if (n < 0 || length > FILE_MAX) {
		int r = n < 0 ? -errno : TW_E_FORMAT;

		free(text);
		return r;
	}
	*ret = text;
	*ret_length = length;
	return 0;
}

static int read_file(struct tw_grants *grants)
{
	int fd = openat(grants->folder, TW_GRANTS_FILE,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	char *text = NULL;
	size_t length = 0;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : errno == ELOOP ? TW_E_UNSAFE : -errno;
	if (fstat(fd, &st))
		r = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1 ||
		 (st.st_mode & 022))
		r = TW_E_UNSAFE;
	else
		r = read_all(fd, &text, &length);
	close(fd);
	if (!r)
		r = tw_grants_parse(text, length, grants);
	free(text);
	if (r)
		grants->count = 0;
	return r;
}

int tw_grants_open(int folder, struct tw_grants *ret)
{
	struct tw_grants grants = { .folder = folder };
	int r = 0;

	grants.all = calloc(TW_GRANTS_MAX, sizeof(*grants.all));
	if (!grants.all)
		return -ENOMEM;
	if (folder >= 0)
		r = read_file(&grants);
	if (r < 0)
		free(grants.all);
	else
		*ret = grants;
	return r;
}

void tw_grants_close(struct tw_grants *grants)
{
	free(grants->all);
	*grants = (struct tw_grants){ .folder = -1 };
}

static int write_all(int fd, const struct tw_grants *grants)
{
	FILE *file = fdopen(fd, "w");
	int r = 0;

	if (!file) {
		r = -errno;
		close(fd);
		return r;
	}
	fputs(FIRST_LINE, file);
	for (size_t i = 0; i < grants->count; i++)
		fprintf(file, "%u %u %s\n", (unsigned)grants->all[i].uid,
			(unsigned)grants->all[i].gid, grants->all[i].name);
	if (fflush(file) || ferror(file) || fsync(fileno(file)))
		r = errno ? -errno : -EIO;
	if (fclose(file) && !r)
		r = -errno;
	return r;
}

static int save(const struct tw_grants *grants)
{
	struct tw_random random = tw_system_random();
	char aside[64];
	uint64_t number;
	int fd, r;

	if (grants->folder < 0)
		return 0;
	/* A name that nobody can have taken before. */
	tw_random_fill(&random, &number, sizeof(number));
	snprintf(aside, sizeof(aside), TW_GRANTS_FILE ".%016llx", (unsigned long long)number);
	fd = openat(grants->folder, aside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, grants);
	if (!r && renameat(grants->folder, aside, grants->folder, TW_GRANTS_FILE))
		r = -errno;
	if (r)
		unlinkat(grants->folder, aside, 0);
	else if (fsync(grants->folder))
		r = -errno;
	return r;
}

int tw_grants_add(struct tw_grants *grants, const struct tw_account *account)
{
	struct tw_grant grant = { .uid = account->uid, .gid = account->gid };
	const struct tw_grant *old;

	if (!is_name(account->name))
		return -EINVAL;
	memcpy(grant.name, account->name, sizeof(grant.name));
	old = tw_grants_find(grants, grant.name);
	if (old && old->uid == grant.uid && old->gid == grant.gid)
		return 0;
	add(grants, &grant);
	return save(grants);
}

int tw_grants_remove(struct tw_grants *grants, const char *name)
{
	const struct tw_grant *old = tw_grants_find(grants, name);

	if (!old)
		return 0;
	drop(grants, (size_t)(old - grants->all));
	return save(grants);
}
