#include "cli/api_show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "cli/api_values.h"

#define PATH_ROOM 256
#define LINE_ROOM 512

/* The length of the character at @at in well-formed UTF-8, which is all that jansson writes. */
static size_t character_length(const char *at)
{
	unsigned char first = (unsigned char)*at;

	return first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static void put_escape(FILE *to, uint32_t point)
{
	if (point < 0x10000)
		fprintf(to, "\\u%04" PRIx32, point);
	else
		fprintf(to, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xd800 + ((point - 0x10000) >> 10),
			0xdc00 + ((point - 0x10000) & 0x3ff));
}

/* Writes JSON text with each character that is not fit for a terminal as an escape. */
static void put_json(FILE *to, const char *text)
{
	while (*text) {
		size_t length = character_length(text);
		uint32_t point;

		/* Lines end between values; within them jansson has escaped what is a control. */
		if (*text != '\n' && tw_text_unfit(text, length, &point))
			put_escape(to, point);
		else
			fwrite(text, 1, length, to);
		text += length;
	}
}

int tw_api_show_json(FILE *to, const json_t *value, bool compact)
{
	char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15) |
					       (compact ? JSON_COMPACT : JSON_INDENT(2)));

	if (!text)
		return -ENOMEM;
	put_json(to, text);
	fputc('\n', to);
	free(text);
	return 0;
}

static void show_bare(FILE *to, const json_t *value)
{
	const json_t *each;
	size_t at;

	if (json_is_array(value)) {
		json_array_foreach (value, at, each)
			show_bare(to, each);
	} else if (json_is_string(value)) {
		size_t length = json_string_length(value), room = length * 10 + 1;
		char *clean = malloc(room);

		if (clean)
			fprintf(to, "%s\n",
				tw_text_clean(json_string_value(value), length, clean, room));
		free(clean);
	} else {
		tw_api_show_json(to, value, true);
	}
}

/* The first name of @path, which is moved behind it. */
static void next_name(const char **path, char ret[PATH_ROOM])
{
	size_t length = strcspn(*path, ".");

	snprintf(ret, PATH_ROOM, "%.*s", (int)length, *path);
	*path += length + ((*path)[length] == '.');
}

/* New reference to what stands at @path; NULL: nothing. */
static json_t *field_at(const json_t *value, const char *path)
{
	char name[PATH_ROOM];
	const char *rest = path;
	uint64_t index;
	json_t *all;
	const json_t *each;
	size_t at;

	if (!*path)
		return json_incref((json_t *)(uintptr_t)value);
	next_name(&rest, name);
	if (!json_is_array(value)) {
		value = json_object_get(value, name);
		return value ? field_at(value, rest) : NULL;
	}
	if (tw_text_parse_u64(name, 0, UINT32_MAX, &index) == 0) {
		value = json_array_get(value, (size_t)index);
		return value ? field_at(value, rest) : NULL;
	}
	all = json_array();
	json_array_foreach (value, at, each) {
		if (json_array_append_new(all, field_at(each, path))) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

int tw_api_show_field(FILE *to, const json_t *value, const char *path)
{
	json_t *field = field_at(value, path);

	if (!field)
		return TW_E_FORMAT;
	show_bare(to, field);
	json_decref(field);
	return 0;
}

/* A string of a document that a server sent. */
static const char *clean_string(const json_t *value, char ret[LINE_ROOM])
{
	return tw_text_clean(json_is_string(value) ? json_string_value(value) : "",
			     json_string_length(value), ret, LINE_ROOM);
}

static const char *group_of(const char *name)
{
	return strncmp(name, "send.", 5) == 0   ? "send"
	       : strncmp(name, "recv.", 5) == 0 ? "recv"
						: "server";
}

void tw_api_show_methods(FILE *to, const json_t *document)
{
	static const char *const groups[] = { "server", "send", "recv" };
	char name[LINE_ROOM], summary[LINE_ROOM];
	const json_t *method;
	size_t at;

	for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
		fprintf(to, "\nMethods of the group %s:\n", groups[i]);
		json_array_foreach (json_object_get(document, "methods"), at, method) {
			clean_string(json_object_get(method, "name"), name);
			if (strcmp(group_of(name), groups[i]) != 0)
				continue;
			clean_string(json_object_get(method, "summary"), summary);
			fprintf(to, "  %-32s  %s\n", name, summary);
		}
	}
}

static void show_parameter(FILE *to, const json_t *parameter)
{
	const json_t *schema = json_object_get(parameter, "schema");
	const json_t *otherwise = json_object_get(schema, "default");
	const json_t *told = json_object_get(parameter, "summary");
	char name[LINE_ROOM], text[LINE_ROOM], left[LINE_ROOM + 64];
	char *value;

	if (!told)
		told = json_object_get(parameter, "description");
	if (!told)
		told = json_object_get(schema, "description");
	snprintf(left, sizeof left, "--%s=%s",
		 clean_string(json_object_get(parameter, "name"), name),
		 tw_api_value_shape(parameter));
	fprintf(to, "  %-38s  %s", left,
		json_is_true(json_object_get(parameter, "required")) ? "needed"
								     : "may be left out");
	if (json_string_length(told))
		fprintf(to, "; %s", clean_string(told, text));
	value = otherwise ? json_dumps(otherwise, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
	if (value) {
		fputs("; otherwise ", to);
		put_json(to, value);
	}
	fputc('\n', to);
	free(value);
}

void tw_api_show_method(FILE *to, const json_t *method)
{
	const json_t *parameters = json_object_get(method, "params"), *parameter;
	const json_t *more = json_object_get(method, "description");
	char name[LINE_ROOM], text[LINE_ROOM];
	size_t at;

	clean_string(json_object_get(method, "name"), name);
	fprintf(to, "tradewind api %s: %s\n", name,
		clean_string(json_object_get(method, "summary"), text));
	if (json_string_length(more))
		fprintf(to, "\n%s\n", clean_string(more, text));
	fprintf(to, "\n%s\n",
		json_array_size(parameters) ? "Parameters:" : "It takes no parameters.");
	json_array_foreach (parameters, at, parameter)
		show_parameter(to, parameter);
}

/* A name that may stand in a shell script as it is. */
static bool is_word(const char *name)
{
	return *name && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789._") == strlen(name);
}

static void show_case(FILE *to, const json_t *method)
{
	const char *name = json_string_value(json_object_get(method, "name"));
	const char *dot = name ? strrchr(name, '.') : NULL;
	const json_t *parameter;
	size_t at;

	if (!name || !is_word(name))
		return;
	fprintf(to, "\t\t\t%s%s%s) names=- options=\"--help", name, dot ? "|" : "",
		dot ? dot + 1 : "");
	json_array_foreach (json_object_get(method, "params"), at, parameter) {
		const char *here = json_string_value(json_object_get(parameter, "name"));

		if (here && is_word(here))
			fprintf(to, " --%s=", here);
	}
	fprintf(to, "\"; break ;;\n");
}

void tw_api_show_completion(FILE *to, const json_t *document)
{
	const json_t *method;
	size_t at;

	fprintf(to, "\t\tnames=\"");
	json_array_foreach (json_object_get(document, "methods"), at, method) {
		const char *name = json_string_value(json_object_get(method, "name"));

		if (name && is_word(name))
			fprintf(to, "%s ", name);
	}
	fprintf(to, "\"\n\t\tfor given in \"${COMP_WORDS[@]:2:COMP_CWORD-2}\"; do\n"
		    "\t\t\tcase \"$given\" in\n");
	json_array_foreach (json_object_get(document, "methods"), at, method)
		show_case(to, method);
	fprintf(to, "\t\t\tesac\n\t\tdone");
}
