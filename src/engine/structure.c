/* structure.c - from rows to JSON; the rows are in structures.c. */
#include "engine/structure.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "engine/jsontext.h"

static void string_value(struct tw_jsontext *text, const char *value, const struct tw_field *field)
{
	bool none = !value || (field->type == TW_FIELD_TEXT && !*value);

	if (none && field->nullable)
		tw_jsontext_literal(text, "null");
	else if (none)
		tw_jsontext_literal(text, "\"\"");
	else
		tw_jsontext_string(text, value, strlen(value));
}

static void uint_value(struct tw_jsontext *text, uint64_t value)
{
	if (value == UINT64_MAX)
		tw_jsontext_literal(text, "null");
	else
		tw_jsontext_integer(text, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

/* To a thousandth: what is measured is not known better. */
static void real_value(struct tw_jsontext *text, double value)
{
	if (!isfinite(value) || value < 0)
		tw_jsontext_literal(text, "null");
	else
		tw_jsontext_real(text, value < 1e12 ? round(value * 1000) / 1000 : value);
}

static void strings_value(struct tw_jsontext *text, const struct tw_strings *strings)
{
	tw_jsontext_literal(text, "[");
	for (size_t i = 0; i < strings->count; i++) {
		if (i)
			tw_jsontext_literal(text, ",");
		tw_jsontext_string(text, strings->items[i], strlen(strings->items[i]));
	}
	tw_jsontext_literal(text, "]");
}

static void list_value(struct tw_jsontext *text, const struct tw_list *list,
		       const struct tw_structure *of)
{
	tw_jsontext_literal(text, "[");
	for (size_t i = 0; i < list->count; i++) {
		if (i)
			tw_jsontext_literal(text, ",");
		if (of)
			tw_structure_text(of, (const char *)list->items + i * list->size, text);
		else
			uint_value(text, ((const uint64_t *)list->items)[i]);
	}
	tw_jsontext_literal(text, "]");
}

static void json_value(struct tw_jsontext *text, json_t *value, bool nullable)
{
	if (value)
		tw_jsontext_value(text, value);
	else if (nullable)
		tw_jsontext_literal(text, "null");
	else
		tw_jsontext_literal(text, "{}");
}

static void integer_or_null(struct tw_jsontext *text, int64_t value, int64_t none)
{
	if (value == none)
		tw_jsontext_literal(text, "null");
	else
		tw_jsontext_integer(text, value);
}

static void field_value(struct tw_jsontext *text, const struct tw_field *field, const void *at)
{
	switch (field->type) {
	case TW_FIELD_STRING:
		string_value(text, *(const char *const *)at, field);
		break;
	case TW_FIELD_TEXT:
		string_value(text, at, field);
		break;
	case TW_FIELD_BOOL:
		if (*(const bool *)at)
			tw_jsontext_literal(text, "true");
		else
			tw_jsontext_literal(text, "false");
		break;
	case TW_FIELD_UINT:
		uint_value(text, *(const uint64_t *)at);
		break;
	case TW_FIELD_INT:
		integer_or_null(text, *(const int64_t *)at, INT64_MIN);
		break;
	case TW_FIELD_TIME:
		integer_or_null(text, *(const int64_t *)at, 0);
		break;
	case TW_FIELD_REAL:
		real_value(text, *(const double *)at);
		break;
	case TW_FIELD_STRINGS:
		strings_value(text, at);
		break;
	case TW_FIELD_JSON:
		json_value(text, *(json_t *const *)at, field->nullable);
		break;
	case TW_FIELD_LIST:
		list_value(text, at, field->of);
		break;
	case TW_FIELD_OBJECT:
		if (*(const void *const *)at)
			tw_structure_text(field->of, *(const void *const *)at, text);
		else
			tw_jsontext_literal(text, "null");
		break;
	case TW_FIELD_STRUCT:
		tw_structure_text(field->of, at, text);
		break;
	}
}

static const char *members(const struct tw_structure *structure, const void *object,
			   const char *before, struct tw_jsontext *text)
{
	if (structure->base)
		before = members(structure->base, object, before, text);
	for (size_t i = 0; i < structure->field_count; i++) {
		const struct tw_field *field = &structure->fields[i];

		assert(field->offset != TW_FIELD_TOLD);
		tw_jsontext_raw(text, before, 1);
		before = ",";
		tw_jsontext_literal(text, "\"");
		tw_jsontext_raw(text, field->name, strlen(field->name));
		tw_jsontext_literal(text, "\":");
		field_value(text, field, (const char *)object + field->offset);
	}
	return before;
}

void tw_structure_text(const struct tw_structure *structure, const void *object,
		       struct tw_jsontext *text)
{
	const char *before = members(structure, object, "{", text);

	if (*before == '{')
		tw_jsontext_literal(text, "{");
	tw_jsontext_literal(text, "}");
}

json_t *tw_structure_json(const struct tw_structure *structure, const void *object)
{
	struct tw_jsontext text;
	json_t *value = NULL;

	tw_jsontext_init(&text);
	tw_structure_text(structure, object, &text);
	if (!text.failed)
		value = json_loadb(text.bytes, text.length, 0, NULL);
	tw_jsontext_deinit(&text);
	return value;
}
