/* params.c - parameters: checks against a method's row, and their values. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/text.h"

#define STRINGS_MAX 10000

static const struct tw_api_parameter *find_row(const struct tw_api_method *method, const char *name)
{
	for (size_t i = 0; i < method->parameter_count; i++)
		if (strcmp(method->parameters[i].name, name) == 0)
			return &method->parameters[i];
	return NULL;
}

static int unknown(struct tw_api_call *call, const char *name)
{
	const struct tw_api_method *method = call->method;
	char names[200] = "", clean[64];
	size_t at = 0;

	for (size_t i = 0; i < method->parameter_count && at < sizeof names; i++)
		at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "",
				       method->parameters[i].name);
	tw_text_clean(name, strlen(name), clean, sizeof clean);
	return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, name,
			    "%s has no parameter %s; it takes %s", method->name, clean,
			    method->parameter_count ? names : "none");
}

static int ill_typed(struct tw_api_call *call, const struct tw_api_parameter *row)
{
	return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, row->name, "%s must be %s %s: %s",
			    row->name, strchr("aeiou", tw_api_type_name(row->type)[0]) ? "an" : "a",
			    tw_api_type_name(row->type), row->meaning);
}

static int check_text(struct tw_api_call *call, const struct tw_api_parameter *row, json_t *value)
{
	const char *text = json_string_value(value);
	size_t length = json_string_length(value);
	char words[160] = "";
	size_t at = 0;

	if (row->max && length > (size_t)row->max)
		return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, row->name,
				    "%s is longer than %" PRId64 " bytes", row->name, row->max);
	if (row->min && length < (size_t)row->min)
		return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, row->name,
				    "%s must not be empty: %s", row->name, row->meaning);
	for (const char *const *word = row->words; word && *word; word++) {
		if (strcmp(*word, text) == 0)
			return 0;
		at += (size_t)snprintf(words + at, at < sizeof words ? sizeof words - at : 0,
				       "%s%s", at ? ", " : "", *word);
	}
	if (row->words)
		return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, row->name, "%s is one of: %s",
				    row->name, words);
	return 0;
}

static int check_strings(struct tw_api_call *call, const struct tw_api_parameter *row,
			 json_t *value)
{
	json_t *item;
	size_t i;

	if (json_array_size(value) > STRINGS_MAX)
		return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, row->name,
				    "%s has more than %d items", row->name, STRINGS_MAX);
	json_array_foreach(value, i, item)
	{
		if (!json_is_string(item))
			return ill_typed(call, row);
		if (row->max && json_string_length(item) > (size_t)row->max)
			return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, row->name,
					    "an item of %s is longer than %" PRId64 " bytes",
					    row->name, row->max);
	}
	return 0;
}

static int check_integer(struct tw_api_call *call, const struct tw_api_parameter *row,
			 json_t *value)
{
	int64_t number = json_integer_value(value);

	if (number >= row->min && number <= row->max)
		return 0;
	return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, row->name,
			    "%s must be from %" PRId64 " to %" PRId64 ", not %" PRId64, row->name,
			    row->min, row->max, number);
}

static int check_value(struct tw_api_call *call, const struct tw_api_parameter *row, json_t *value)
{
	static const json_type types[] = {
		[TW_API_STRING] = JSON_STRING,   [TW_API_BOOL] = JSON_TRUE,
		[TW_API_INTEGER] = JSON_INTEGER, [TW_API_TIME] = JSON_INTEGER,
		[TW_API_STRINGS] = JSON_ARRAY,   [TW_API_OBJECT] = JSON_OBJECT,
		[TW_API_LIST] = JSON_ARRAY,
	};
	json_type type = json_typeof(value) == JSON_FALSE ? JSON_TRUE : json_typeof(value);

	if (type != types[row->type])
		return ill_typed(call, row);
	switch (row->type) {
	case TW_API_STRING:
		return check_text(call, row, value);
	case TW_API_INTEGER:
		return check_integer(call, row, value);
	case TW_API_TIME:
		if (json_integer_value(value) < 0)
			return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, row->name,
					    "%s is in microseconds since 1970, not negative",
					    row->name);
		return 0;
	case TW_API_STRINGS:
		return check_strings(call, row, value);
	case TW_API_OBJECT:
		if (json_dumpb(value, NULL, 0, JSON_COMPACT) > TW_API_OBJECT_MAX)
			return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, row->name,
					    "%s is larger than %d bytes of JSON", row->name,
					    TW_API_OBJECT_MAX);
		return 0;
	case TW_API_LIST:
		if (json_array_size(value) > TW_API_LIST_MAX)
			return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, row->name,
					    "%s has more than %d items", row->name,
					    TW_API_LIST_MAX);
		return 0;
	default:
		return 0;
	}
}

/* What the caller may not see is not there. */
static bool there(struct tw_api_call *call, enum tw_api_object object, const char *id)
{
	switch (object) {
	case TW_API_DESTINATION:
	case TW_API_CONNECTION:
		return tw_engine_destination(call->engine, &call->caller, id);
	case TW_API_MANIFEST:
		return tw_engine_manifest(call->engine, &call->caller, id);
	case TW_API_TRANSFER:
		return tw_engine_transfer(call->engine, &call->caller, id);
	case TW_API_TOKEN:
		return tw_engine_token(call->engine, &call->caller, false, id);
	case TW_API_SHARED_TOKEN:
		return tw_engine_token(call->engine, &call->caller, true, id);
	case TW_API_SOME_TOKEN:
		return tw_engine_token(call->engine, &call->caller, false, id) ||
		       tw_engine_token(call->engine, &call->caller, true, id);
	case TW_API_WATCH:
		return tw_engine_watch(call->engine, &call->caller, id);
	default:
		return true;
	}
}

int tw_api_gone(struct tw_api_call *call, const char *parameter)
{
	const char *id = tw_api_string(call, parameter);
	char clean[64];

	tw_text_clean(id ? id : "", id ? strlen(id) : 0, clean, sizeof clean);
	return tw_api_fault(call, TW_FAULT_NOT_FOUND, parameter,
			    "there is no object of yours with the %s %s; the get... methods list "
			    "them",
			    parameter, clean);
}

int tw_api_check(struct tw_api_call *call)
{
	const struct tw_api_method *method = call->method;
	const char *name;
	json_t *value;
	int r;

	json_object_foreach(call->parameters, name, value) {
		if (!find_row(method, name))
			return unknown(call, name);
	}
	for (size_t i = 0; i < method->parameter_count; i++) {
		const struct tw_api_parameter *row = &method->parameters[i];

		value = json_object_get(call->parameters, row->name);
		if (json_is_null(value) && (row->nullable || !row->required))
			continue;
		if (!value && row->required)
			return tw_api_fault(call, TW_FAULT_INVALID_PARAMETER, row->name,
					    "%s needs %s: %s", method->name, row->name,
					    row->meaning);
		r = value ? check_value(call, row, value) : 0;
		if (r)
			return r;
	}
	/* Objects last: what is wrong with a call is wrong for everybody alike. */
	for (size_t i = 0; i < method->parameter_count; i++) {
		const struct tw_api_parameter *row = &method->parameters[i];
		const char *id = row->object ? tw_api_string(call, row->name) : NULL;

		if (id && !there(call, row->object, id))
			return tw_api_gone(call, row->name);
	}
	return 0;
}

json_t *tw_api_value(const struct tw_api_call *call, const char *name)
{
	json_t *value = json_object_get(call->parameters, name);

	return json_is_null(value) ? NULL : value;
}

bool tw_api_given(const struct tw_api_call *call, const char *name)
{
	return json_object_get(call->parameters, name);
}

const char *tw_api_string(const struct tw_api_call *call, const char *name)
{
	return json_string_value(tw_api_value(call, name));
}

bool tw_api_bool(const struct tw_api_call *call, const char *name, bool fallback)
{
	json_t *value = tw_api_value(call, name);

	return value ? json_is_true(value) : fallback;
}

int64_t tw_api_integer(const struct tw_api_call *call, const char *name, int64_t fallback)
{
	json_t *value = tw_api_value(call, name);

	return value ? json_integer_value(value) : fallback;
}

uint64_t tw_api_u64(const struct tw_api_call *call, const char *name, uint64_t fallback)
{
	json_t *value = tw_api_value(call, name);

	return value ? (uint64_t)json_integer_value(value) : fallback;
}

int tw_api_strings(struct tw_api_call *call, const char *name, struct tw_strings *ret)
{
	json_t *list = tw_api_value(call, name);
	size_t count = json_array_size(list);
	const char **items;

	*ret = (struct tw_strings){ 0 };
	if (count == 0)
		return 0;
	items = calloc(count, sizeof *items);
	if (!items)
		return tw_api_fault(call, TW_FAULT_INTERNAL, NULL, "out of memory");
	for (size_t i = 0; i < count; i++)
		items[i] = json_string_value(json_array_get(list, i));
	ret->items = items;
	ret->count = count;
	return 0;
}
