/*
 * method.h - the methods of the interface as const tables: a row each with its parameters, result,
 * role and handler. Dispatch, checks, roles, the OpenRPC document, the console's help and
 * completion all come from these rows.
 *
 * A row says who may call it, and with which tokens; one that does not say both is for nobody.
 * Parameters come by name; each is checked against its row before the handler runs, and one that
 * names an object must name one that the caller may see. null for an optional parameter is the same
 * as leaving it out, unless its row says that null means something.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/structure.h"

struct tw_api_call;

enum tw_api_group { TW_API_SERVER, TW_API_SEND, TW_API_RECV };

enum tw_api_role {
	TW_API_NOBODY,
	TW_API_ANYONE,
	TW_API_AUTHENTICATED, /* anyone too where the server demands no accounts */
	TW_API_SUPERUSER,
};

enum tw_api_type {
	TW_API_STRING, /* @max: bytes */
	TW_API_BOOL,
	TW_API_INTEGER, /* within [@min, @max] */
	TW_API_TIME,    /* microseconds since 1970 */
	TW_API_STRINGS, /* list; @max: of its strings */
	TW_API_OBJECT,  /* JSON object of at most TW_API_OBJECT_MAX bytes as text */
	TW_API_LIST,    /* list; its handler looks into it */
};

#define TW_TOKEN_ANY 0x100   /* whatever it allows */
#define TW_TOKEN_NEVER 0x200 /* for accounts alone */

/* What a string names. */
enum tw_api_object {
	TW_API_ANY_TEXT,
	TW_API_DESTINATION,
	TW_API_CONNECTION,
	TW_API_MANIFEST,
	TW_API_TRANSFER,
	TW_API_TOKEN,
	TW_API_SHARED_TOKEN,
	TW_API_SOME_TOKEN, /* either */
	TW_API_WATCH,
	TW_API_REQUEST,
};

#define TW_API_OBJECT_MAX 65536
#define TW_API_LIST_MAX 100000
#define TW_API_PATH_MAX 8192

struct tw_api_parameter {
	const char *name;
	enum tw_api_type type;
	bool required, nullable; /* nullable: null is a value */
	const char *fallback;    /* its default as JSON; NULL: none */
	int64_t min, max;
	const char *const *words; /* the only values; NULL-terminated; NULL: any */
	enum tw_api_object object;
	const char *meaning;
};

/* The fault's code, 0, or: the answer comes later, by tw_api_call_done(). */
#define TW_API_LATER (-1)
/* A list that is made in turns goes on (tw_api_list_in_turns()). */
#define TW_API_MORE (-2)

struct tw_api_method {
	const char *name; /* with its prefix */
	enum tw_api_group group;
	enum tw_api_role role;
	const struct tw_api_parameter *parameters;
	size_t parameter_count;
	const struct tw_structure *result; /* NULL: see @returns */
	bool list;                         /* a list of @result */
	const char *returns; /* of a result without a structure; of an async one: later */
	/* Queues its work: the caller gets {requestId}. */
	bool async;
	bool changes;         /* its answer waits until what it changed is stored */
	/* What an API token must allow: bits of enum tw_permission, or one of TW_TOKEN_... */
	unsigned token;
	bool shared; /* whether the holder of a shared token may call it too */
	const char *summary;
	int (*run)(struct tw_api_call *call);
};

/* All of them in the order of the groups; NULL: no more. */
const struct tw_api_method *tw_api_method(size_t index);
/* By its name, or without its prefix where that is not another one's. NULL: no such. */
const struct tw_api_method *tw_api_method_find(const char *name, size_t length);
const char *tw_api_group_name(enum tw_api_group group);
const char *tw_api_type_name(enum tw_api_type type);
const char *tw_api_role_name(enum tw_api_role role);
/* "any", "never", or the permission. Methods need one at most. */
const char *tw_api_token_name(unsigned token);

/* The document that describes all of them (OpenRPC 1.3), malloc'd. NULL: no memory. */
char *tw_api_openrpc(size_t *ret_length);

/* The groups' tables. */
struct tw_api_table {
	const struct tw_api_method *rows;
	size_t count;
};
extern const struct tw_api_table tw_api_session_methods, tw_api_server_methods, tw_api_file_methods,
	tw_api_policy_methods, tw_api_destination_methods, tw_api_manifest_methods,
	tw_api_transfer_methods, tw_api_token_methods, tw_api_watch_methods, tw_api_recv_methods;
