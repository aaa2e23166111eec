#include "api/method.h"

#include <assert.h>
#include <string.h>

#include "engine/engine.h"

#define SLOTS 512 /* a power of two, more than twice all names */

static const struct tw_api_table *const tables[] = {
	&tw_api_session_methods,  &tw_api_server_methods,      &tw_api_file_methods,
	&tw_api_policy_methods,   &tw_api_destination_methods, &tw_api_manifest_methods,
	&tw_api_transfer_methods, &tw_api_token_methods,       &tw_api_watch_methods,
	&tw_api_recv_methods,
};

static struct {
	const char *name;
	const struct tw_api_method *method; /* NULL: a bare name of two */
} slots[SLOTS];
static bool filled;

const struct tw_api_method *tw_api_method(size_t index)
{
	for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
		if (index < tables[i]->count)
			return &tables[i]->rows[index];
		index -= tables[i]->count;
	}
	return NULL;
}

/* FNV-1a. */
static size_t slot_of(const char *name, size_t length)
{
	uint32_t hash = 2166136261U;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (uint8_t)name[i]) * 16777619U;
	return hash & (SLOTS - 1);
}

static size_t probe(const char *name, size_t length)
{
	size_t at = slot_of(name, length);

	while (slots[at].name &&
	       (strlen(slots[at].name) != length || memcmp(slots[at].name, name, length) != 0))
		at = (at + 1) & (SLOTS - 1);
	return at;
}

static void add(const char *name, const struct tw_api_method *method, bool bare)
{
	size_t at = probe(name, strlen(name));

	if (slots[at].name) {
		assert(bare); /* two rows of one name */
		slots[at].method = NULL;
		return;
	}
	slots[at].name = name;
	slots[at].method = method;
}

static void fill(void)
{
	const struct tw_api_method *method;
	size_t count = 0;

	for (size_t i = 0; (method = tw_api_method(i)); i++, count++)
		add(method->name, method, false);
	assert(count * 4 < SLOTS);
	for (size_t i = 0; (method = tw_api_method(i)); i++) {
		const char *dot = strchr(method->name, '.');

		if (dot)
			add(dot + 1, method, true);
	}
	filled = true;
}

const struct tw_api_method *tw_api_method_find(const char *name, size_t length)
{
	if (!filled)
		fill();
	return slots[probe(name, length)].method;
}

const char *tw_api_group_name(enum tw_api_group group)
{
	static const char *const names[] = { "server", "send", "recv" };

	return names[group];
}

const char *tw_api_type_name(enum tw_api_type type)
{
	static const char *const names[] = {
		[TW_API_STRING] = "string",
		[TW_API_BOOL] = "boolean",
		[TW_API_INTEGER] = "integer",
		[TW_API_TIME] = "timestamp",
		[TW_API_STRINGS] = "list of strings",
		[TW_API_OBJECT] = "object",
		[TW_API_LIST] = "list",
	};

	return names[type];
}

const char *tw_api_role_name(enum tw_api_role role)
{
	static const char *const names[] = {
		[TW_API_NOBODY] = "nobody",
		[TW_API_ANYONE] = "anyone",
		[TW_API_AUTHENTICATED] = "authenticated",
		[TW_API_SUPERUSER] = "superuser",
	};

	return names[role];
}

const char *tw_api_token_name(unsigned token)
{
	static const struct {
		unsigned token;
		const char *name;
	} names[] = {
		{ TW_TOKEN_ANY, "any" },         { TW_MAY_UPLOAD, "upload" },
		{ TW_MAY_DOWNLOAD, "download" }, { TW_MAY_MODIFY, "modify" },
		{ TW_MAY_SHARE, "share" },
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].token == token)
			return names[i].name;
	return "never";
}
