/*
 * structure.h - the contract's structures as const tables: each field's name, type, meaning and
 * place in the C struct that carries it. JSON answers, events, triggers' input, the OpenRPC
 * document, `tradewind api --help` and the conformance test all come from these rows.
 *
 * Some structures (event, request, file, ls, du, license, discover) have rows only: their values
 * are made as JSON from the start, and tw_structure_json() must not be called for them.
 *
 * A timestamp of 0, an empty id and a NULL string are `null` where the row says so.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tw_jsontext;

enum tw_field_type {
	TW_FIELD_STRING,  /* const char *; NULL: null */
	TW_FIELD_TEXT,    /* char [], NUL-terminated; "": null where nullable */
	TW_FIELD_BOOL,    /* bool */
	TW_FIELD_UINT,    /* uint64_t; UINT64_MAX: null */
	TW_FIELD_INT,     /* int64_t; INT64_MIN: null */
	TW_FIELD_TIME,    /* int64_t microseconds since 1970; 0: null */
	TW_FIELD_REAL,    /* double; negative or NaN: null */
	TW_FIELD_STRINGS, /* struct tw_strings: list of strings */
	TW_FIELD_JSON,    /* json_t *, borrowed (userData); NULL: {} */
	TW_FIELD_LIST,    /* struct tw_list of @of */
	TW_FIELD_OBJECT,  /* pointer to a struct described by @of; NULL: null */
	TW_FIELD_STRUCT,  /* struct described by @of, in place */
};

struct tw_strings {
	const char *const *items;
	size_t count;
};

struct tw_list {
	const void *items;  /* structs described by the field's @of; NULL there: uint64_t */
	size_t count, size; /* size of one */
};

struct tw_structure;

struct tw_field {
	const char *name;
	enum tw_field_type type;
	size_t offset;
	bool nullable;
	const struct tw_structure *of;
	const char *const *words; /* STRING, TEXT: the only values; NULL-terminated; NULL: any */
	const char *meaning;      /* a sentence: unit, when null */
};

struct tw_structure {
	const char *name; /* "Connection" */
	const struct tw_field *fields;
	size_t field_count;
	/* Its fields come first (Destination: Connection); the C struct begins with that one's. */
	const struct tw_structure *base;
	const char *meaning;
};

/* The @offset of a field that has no place in a C struct. */
#define TW_FIELD_TOLD SIZE_MAX

/* New reference; NULL: no memory. Strings that are not UTF-8 are cleaned. */
json_t *tw_structure_json(const struct tw_structure *structure, const void *object);
/* The same, appended as text. */
void tw_structure_text(const struct tw_structure *structure, const void *object,
		       struct tw_jsontext *text);

extern const struct tw_structure tw_connection_structure, tw_destination_structure,
	tw_manifest_structure, tw_manifest_file_structure, tw_manifest_files_structure,
	tw_transfer_structure, tw_transfer_sample_structure, tw_receive_transfer_structure,
	tw_source_structure, tw_token_structure, tw_watch_structure, tw_event_structure,
	tw_server_structure, tw_bandwidth_structure, tw_receiver_structure, tw_request_structure,
	tw_file_structure, tw_ls_structure, tw_du_structure, tw_license_structure,
	tw_discover_structure;
