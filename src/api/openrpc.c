/* openrpc.c - the document that describes the interface (OpenRPC 1.3), from the tables. */
#include <stdlib.h>
#include <string.h>

#include "api/private.h"

static void text_member(struct tw_jsontext *text, const char *before, const char *name,
			const char *value)
{
	tw_jsontext_raw(text, before, strlen(before));
	tw_jsontext_string(text, name, strlen(name));
	tw_jsontext_literal(text, ":");
	tw_jsontext_string(text, value, strlen(value));
}

static void words_member(struct tw_jsontext *text, const char *const *words, bool nullable)
{
	tw_jsontext_literal(text, ",\"enum\":[");
	for (const char *const *word = words; *word; word++) {
		if (word != words)
			tw_jsontext_literal(text, ",");
		tw_jsontext_string(text, *word, strlen(*word));
	}
	if (nullable)
		tw_jsontext_literal(text, ",null");
	tw_jsontext_literal(text, "]");
}

static void reference(struct tw_jsontext *text, const struct tw_structure *structure)
{
	tw_jsontext_literal(text, "{\"$ref\":\"#/components/schemas/");
	tw_jsontext_raw(text, structure->name, strlen(structure->name));
	tw_jsontext_literal(text, "\"}");
}

static void type_member(struct tw_jsontext *text, const char *type, bool nullable)
{
	tw_jsontext_literal(text, "\"type\":");
	if (nullable)
		tw_jsontext_literal(text, "[");
	tw_jsontext_string(text, type, strlen(type));
	if (nullable)
		tw_jsontext_literal(text, ",\"null\"]");
}

static const char *field_type(enum tw_field_type type)
{
	static const char *const names[] = {
		[TW_FIELD_STRING] = "string", [TW_FIELD_TEXT] = "string",
		[TW_FIELD_BOOL] = "boolean",  [TW_FIELD_UINT] = "integer",
		[TW_FIELD_INT] = "integer",   [TW_FIELD_TIME] = "integer",
		[TW_FIELD_REAL] = "number",   [TW_FIELD_STRINGS] = "array",
		[TW_FIELD_JSON] = "object",   [TW_FIELD_LIST] = "array",
		[TW_FIELD_OBJECT] = "object", [TW_FIELD_STRUCT] = "object",
	};

	return names[type];
}

static void field_schema(struct tw_jsontext *text, const struct tw_field *field)
{
	tw_jsontext_string(text, field->name, strlen(field->name));
	tw_jsontext_literal(text, ":{");
	if (field->of && field->type != TW_FIELD_LIST) {
		tw_jsontext_literal(text, "\"allOf\":[");
		reference(text, field->of);
		tw_jsontext_literal(text, "]");
	} else {
		type_member(text, field_type(field->type), field->nullable);
	}
	if (field->type == TW_FIELD_LIST || field->type == TW_FIELD_STRINGS) {
		tw_jsontext_literal(text, ",\"items\":");
		if (field->of)
			reference(text, field->of);
		else if (field->type == TW_FIELD_STRINGS)
			tw_jsontext_literal(text, "{\"type\":\"string\"}");
		else
			tw_jsontext_literal(text, "{\"type\":\"integer\"}");
	}
	if (field->words)
		words_member(text, field->words, field->nullable);
	text_member(text, ",", "description", field->meaning);
	tw_jsontext_literal(text, "}");
}

static void names_of(struct tw_jsontext *text, const struct tw_structure *structure,
		     const char **before,
		     void (*write)(struct tw_jsontext *text, const struct tw_field *field))
{
	if (structure->base)
		names_of(text, structure->base, before, write);
	for (size_t i = 0; i < structure->field_count; i++) {
		tw_jsontext_raw(text, *before, strlen(*before));
		*before = ",";
		write(text, &structure->fields[i]);
	}
}

static void field_name(struct tw_jsontext *text, const struct tw_field *field)
{
	tw_jsontext_string(text, field->name, strlen(field->name));
}

static void structure_schema(struct tw_jsontext *text, const struct tw_structure *structure)
{
	const char *before = "";

	tw_jsontext_string(text, structure->name, strlen(structure->name));
	tw_jsontext_literal(text, ":{\"type\":\"object\"");
	text_member(text, ",", "description", structure->meaning);
	tw_jsontext_literal(text, ",\"required\":[");
	names_of(text, structure, &before, field_name);
	tw_jsontext_literal(text, "],\"properties\":{");
	before = "";
	names_of(text, structure, &before, field_schema);
	tw_jsontext_literal(text, "}}");
}

static void integer_member(struct tw_jsontext *text, const char *name, int64_t value)
{
	tw_jsontext_literal(text, ",");
	tw_jsontext_string(text, name, strlen(name));
	tw_jsontext_literal(text, ":");
	tw_jsontext_integer(text, value);
}

static void parameter_schema(struct tw_jsontext *text, const struct tw_api_parameter *row)
{
	static const char *const names[] = {
		[TW_API_STRING] = "string",   [TW_API_BOOL] = "boolean",
		[TW_API_INTEGER] = "integer", [TW_API_TIME] = "integer",
		[TW_API_STRINGS] = "array",   [TW_API_OBJECT] = "object",
		[TW_API_LIST] = "array",
	};

	tw_jsontext_literal(text, ",\"schema\":{");
	type_member(text, names[row->type], row->nullable);
	if (row->type == TW_API_STRINGS)
		tw_jsontext_literal(text, ",\"items\":{\"type\":\"string\"}");
	if (row->type == TW_API_INTEGER) {
		integer_member(text, "minimum", row->min);
		integer_member(text, "maximum", row->max);
	}
	if (row->type == TW_API_STRING && row->max)
		integer_member(text, "maxLength", row->max);
	if (row->words)
		words_member(text, row->words, row->nullable);
	if (row->fallback) {
		tw_jsontext_literal(text, ",\"default\":");
		tw_jsontext_raw(text, row->fallback, strlen(row->fallback));
	}
	tw_jsontext_literal(text, "}");
}

static void parameter(struct tw_jsontext *text, const struct tw_api_parameter *row)
{
	text_member(text, "{", "name", row->name);
	text_member(text, ",", "description", row->meaning);
	if (row->required)
		tw_jsontext_literal(text, ",\"required\":true");
	parameter_schema(text, row);
	tw_jsontext_literal(text, "}");
}

static void result(struct tw_jsontext *text, const struct tw_api_method *method)
{
	tw_jsontext_literal(text, ",\"result\":{\"name\":\"result\"");
	if (method->returns)
		text_member(text, ",", "description", method->returns);
	tw_jsontext_literal(text, ",\"schema\":");
	if (method->async) {
		tw_jsontext_literal(text, "{\"type\":\"object\",\"required\":[\"requestId\"],"
					  "\"properties\":{\"requestId\":{\"type\":\"string\"}}}");
	} else if (method->result && method->list) {
		tw_jsontext_literal(text, "{\"type\":\"array\",\"items\":");
		reference(text, method->result);
		tw_jsontext_literal(text, "}");
	} else if (method->result) {
		reference(text, method->result);
	} else {
		tw_jsontext_literal(text, "{}");
	}
	tw_jsontext_literal(text, "}");
}

static void method(struct tw_jsontext *text, const struct tw_api_method *row)
{
	text_member(text, "{", "name", row->name);
	text_member(text, ",", "summary", row->summary);
	tw_jsontext_literal(text, ",\"paramStructure\":\"by-name\",\"params\":[");
	for (size_t i = 0; i < row->parameter_count; i++) {
		if (i)
			tw_jsontext_literal(text, ",");
		parameter(text, &row->parameters[i]);
	}
	tw_jsontext_literal(text, "]");
	result(text, row);
	text_member(text, ",", "x-group", tw_api_group_name(row->group));
	text_member(text, ",", "x-role", tw_api_role_name(row->role));
	text_member(text, ",", "x-token", tw_api_token_name(row->token));
	if (row->shared)
		tw_jsontext_literal(text, ",\"x-shared-token\":true");
	else
		tw_jsontext_literal(text, ",\"x-shared-token\":false");
	if (row->async && row->result) {
		tw_jsontext_literal(text, ",\"x-later\":");
		reference(text, row->result);
	}
	tw_jsontext_literal(text, "}");
}

static void errors(struct tw_jsontext *text)
{
	tw_jsontext_literal(text, "\"errors\":{");
	for (enum tw_fault_code code = TW_FAULT_INVALID_PARAMETER; code < TW_FAULT_COUNT; code++) {
		const char *name = tw_fault_name(code);

		if (code != TW_FAULT_INVALID_PARAMETER)
			tw_jsontext_literal(text, ",");
		tw_jsontext_string(text, name, strlen(name));
		tw_jsontext_literal(text, ":{\"code\":");
		tw_jsontext_integer(text, tw_fault_number(code));
		text_member(text, ",", "message", name);
		tw_jsontext_literal(text, "}");
	}
	tw_jsontext_literal(text, "}");
}

char *tw_api_openrpc(size_t *ret_length)
{
	static const struct tw_structure *const structures[] = {
		&tw_connection_structure,
		&tw_destination_structure,
		&tw_manifest_structure,
		&tw_manifest_file_structure,
		&tw_manifest_files_structure,
		&tw_transfer_structure,
		&tw_transfer_sample_structure,
		&tw_receive_transfer_structure,
		&tw_source_structure,
		&tw_token_structure,
		&tw_watch_structure,
		&tw_event_structure,
		&tw_server_structure,
		&tw_bandwidth_structure,
		&tw_receiver_structure,
		&tw_request_structure,
		&tw_file_structure,
		&tw_ls_structure,
		&tw_du_structure,
		&tw_license_structure,
		&tw_discover_structure,
	};
	const struct tw_api_method *row;
	struct tw_jsontext text;

	tw_jsontext_init(&text);
	tw_jsontext_literal(&text, "{\"openrpc\":\"1.3.2\",\"info\":{\"title\":\"Tradewind\","
				   "\"description\":\"The control interface of a Tradewind "
				   "server\",\"version\":\"");
	tw_jsontext_integer(&text, TW_API_VERSION);
	tw_jsontext_literal(&text, ".0.0\",\"license\":{\"name\":\"Apache-2.0\"}},\"methods\":[");
	for (size_t i = 0; (row = tw_api_method(i)); i++) {
		if (i)
			tw_jsontext_literal(&text, ",");
		method(&text, row);
	}
	tw_jsontext_literal(&text, "],\"components\":{\"schemas\":{");
	for (size_t i = 0; i < sizeof structures / sizeof *structures; i++) {
		if (i)
			tw_jsontext_literal(&text, ",");
		structure_schema(&text, structures[i]);
	}
	tw_jsontext_literal(&text, "},");
	errors(&text);
	tw_jsontext_literal(&text, "}}\n");
	if (text.failed) {
		tw_jsontext_deinit(&text);
		return NULL;
	}
	*ret_length = text.length;
	return text.bytes;
}
