#include "cli/api_values.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

#define SCHEMA_DEPTH 8
#define NAME_ROOM 128
#define METHODS_MAX 512
#define PARAMETERS_MAX 64

/* What kinds of value a schema allows. */
enum {
	TEXT = 1 << 0,
	NUMBER = 1 << 1,
	TRUTH = 1 << 2,
	LIST = 1 << 3,
	MAP = 1 << 4,
	NOTHING = 1 << 5,
	ANYTHING = 0, /* the schema does not say */
};

static const struct {
	const char *name;
	unsigned kind;
} kinds[] = {
	{ "string", TEXT }, { "integer", NUMBER }, { "number", NUMBER }, { "boolean", TRUTH },
	{ "array", LIST },  { "object", MAP },     { "null", NOTHING },
};

static unsigned kind_named(const char *name)
{
	for (size_t i = 0; name && i < sizeof kinds / sizeof *kinds; i++)
		if (strcmp(kinds[i].name, name) == 0)
			return kinds[i].kind;
	return ANYTHING;
}

static unsigned kinds_of(const json_t *schema, unsigned depth)
{
	static const char *const choices[] = { "oneOf", "anyOf", "allOf" };
	const json_t *type = json_object_get(schema, "type"), *each;
	unsigned all = kind_named(json_string_value(type));
	size_t at;

	json_array_foreach (type, at, each)
		all |= kind_named(json_string_value(each));
	for (size_t i = 0; i < sizeof choices / sizeof *choices && depth < SCHEMA_DEPTH; i++)
		json_array_foreach (json_object_get(schema, choices[i]), at, each)
			all |= kinds_of(each, depth + 1);
	return all;
}

/* What the elements of a list, or the values of a map, may be. */
static const json_t *inner_schema(const json_t *schema, const char *which, unsigned depth)
{
	static const char *const choices[] = { "oneOf", "anyOf", "allOf" };
	const json_t *found = json_object_get(schema, which), *each;
	size_t at;

	for (size_t i = 0; !found && i < sizeof choices / sizeof *choices && depth < SCHEMA_DEPTH;
	     i++)
		json_array_foreach (json_object_get(schema, choices[i]), at, each)
			if (!found)
				found = inner_schema(each, which, depth + 1);
	return found;
}

static json_t *text_value(const char *text)
{
	/* A file's name need not be UTF-8, JSON has to be: the client refuses it with a sentence.
	 */
	return json_string_nocheck(text);
}

static json_t *json_value(const char *text)
{
	return json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
}

static bool begins_like(const char *text, char bracket)
{
	while (isspace((unsigned char)*text))
		text++;
	return *text == bracket;
}

/* One value that is neither a list of options nor a map of them. */
static json_t *plain_value(const json_t *schema, const char *text)
{
	unsigned allowed = kinds_of(schema, 0);
	json_t *value;

	if (allowed == TEXT)
		return text_value(text);
	value = json_value(text);
	if (value &&
	    ((allowed == ANYTHING) || (json_is_null(value) && allowed & NOTHING) ||
	     (json_is_number(value) && allowed & NUMBER) ||
	     (json_is_boolean(value) && allowed & TRUTH) ||
	     (json_is_array(value) && allowed & LIST) || (json_is_object(value) && allowed & MAP)))
		return value;
	json_decref(value);
	return text_value(text);
}

struct option {
	char name[NAME_ROOM];
	const char *value; /* NULL: a switch */
};

/* "send-rate" to "sendRate". */
static void camel(const char *from, size_t length, char ret[NAME_ROOM])
{
	bool up = false;
	size_t used = 0;

	for (size_t i = 0; i < length && used + 1 < NAME_ROOM; i++) {
		if (from[i] == '-' && used > 0) {
			up = true;
			continue;
		}
		ret[used++] = up ? (char)toupper((unsigned char)from[i]) : from[i];
		up = false;
	}
	ret[used] = '\0';
}

static const json_t *find_parameter(const json_t *method, const char *name)
{
	const json_t *parameter;
	size_t at;

	json_array_foreach (json_object_get(method, "params"), at, parameter) {
		const char *here = json_string_value(json_object_get(parameter, "name"));

		if (here && strcmp(here, name) == 0)
			return parameter;
	}
	return NULL;
}

static const char *method_name(const json_t *method)
{
	const char *name = json_string_value(json_object_get(method, "name"));

	return name ? name : "";
}

static void complain_parameter(const json_t *method, const char *name, char *complaint)
{
	const char *names[PARAMETERS_MAX], *close, *method_is = method_name(method);
	char clean[NAME_ROOM];
	const json_t *parameter;
	size_t count = 0, at;

	json_array_foreach (json_object_get(method, "params"), at, parameter) {
		const char *here = json_string_value(json_object_get(parameter, "name"));

		if (here && count < PARAMETERS_MAX)
			names[count++] = here;
	}
	close = tw_suggest(name, names, count);
	tw_text_clean(name, strlen(name), clean, sizeof clean);
	if (close)
		snprintf(complaint, TW_COMPLAINT, "%s has no parameter --%s; did you mean --%s?",
			 method_is, clean, close);
	else
		snprintf(complaint, TW_COMPLAINT,
			 "%s has no parameter --%s; `tradewind api %s --help` lists them, options "
			 "for the connection come before %s",
			 method_is, clean, method_is, method_is);
}

/* Reads one option at words[*at]; moves *at behind it. */
static int read_option(const json_t *method, const char *const *words, size_t count, size_t *at,
		       struct option *ret, char *complaint)
{
	const char *word = words[(*at)++], *equals;
	const json_t *parameter;
	char clean[NAME_ROOM];
	unsigned allowed;

	if (strncmp(word, "--", 2) != 0 || word[2] == '\0' || word[2] == '=') {
		snprintf(complaint, TW_COMPLAINT,
			 "\"%s\" is no parameter: they are given as --name=value",
			 tw_text_clean(word, strlen(word), clean, sizeof clean));
		return TW_E_FORMAT;
	}
	equals = strchr(word, '=');
	camel(word + 2, equals ? (size_t)(equals - word) - 2 : strlen(word) - 2, ret->name);
	parameter = find_parameter(method, ret->name);
	if (method && !parameter) {
		complain_parameter(method, ret->name, complaint);
		return TW_E_FORMAT;
	}
	ret->value = equals ? equals + 1 : NULL;
	allowed = kinds_of(json_object_get(parameter, "schema"), 0);
	if (equals || (allowed & TRUTH && !(allowed & (TEXT | LIST | MAP))))
		return 0;
	/* "--name value"; what looks like an option is none. */
	if (*at < count && strncmp(words[*at], "--", 2) != 0) {
		ret->value = words[(*at)++];
		return 0;
	}
	if (!method)
		return 0;
	snprintf(complaint, TW_COMPLAINT, "--%s needs a value: --%s=%s", ret->name, ret->name,
		 tw_api_value_shape(parameter));
	return TW_E_FORMAT;
}

/* "key=value" into the map that is there already or a new one. NULL: not of this form. */
static json_t *add_entry(json_t *map, const json_t *schema, const char *text)
{
	const char *equals = strchr(text, '=');
	const json_t *inner = inner_schema(schema, "additionalProperties", 0);
	unsigned allowed = json_is_object(inner) ? kinds_of(inner, 0) : TEXT;
	json_t *value;

	if (!equals || equals == text)
		return NULL;
	if (!map)
		map = json_object();
	/* Strings stay strings unless the description says that they are none. */
	value = allowed & TEXT ? text_value(equals + 1) : plain_value(inner, equals + 1);
	if (json_object_setn_new(map, text, (size_t)(equals - text), value)) {
		json_decref(map);
		return NULL;
	}
	return map;
}

static int put_map(json_t *all, const struct option *option, const json_t *schema, char *complaint)
{
	json_t *before = json_object_get(all, option->name), *map;

	if (begins_like(option->value, '{')) {
		map = json_value(option->value);
		if (json_is_object(map) && !before)
			return json_object_set_new(all, option->name, map) ? -ENOMEM : 0;
		json_decref(map);
		snprintf(complaint, TW_COMPLAINT, "--%s: %s", option->name,
			 before ? "a JSON object stands alone" : "this is not a JSON object");
		return TW_E_FORMAT;
	}
	map = add_entry(before, schema, option->value);
	if (!map) {
		snprintf(complaint, TW_COMPLAINT,
			 "--%s is a map: give --%s=KEY=VALUE, once for each, or a JSON object",
			 option->name, option->name);
		return TW_E_FORMAT;
	}
	return before || !json_object_set_new(all, option->name, map) ? 0 : -ENOMEM;
}

/* One of a list. Where the description leaves open of what kind it is, only an object or a list is
 * taken for JSON: "src:dst" pairs and names of files stand beside objects. */
static json_t *item_value(const json_t *schema, const char *text)
{
	if (kinds_of(schema, 0) == ANYTHING && !begins_like(text, '{') && !begins_like(text, '['))
		return text_value(text);
	return plain_value(schema, text);
}

static int put_list(json_t *all, const struct option *option, const json_t *schema, char *complaint)
{
	json_t *list = json_object_get(all, option->name);

	if (!list && begins_like(option->value, '[')) {
		list = json_value(option->value);
		if (json_is_array(list))
			return json_object_set_new(all, option->name, list) ? -ENOMEM : 0;
		json_decref(list);
		snprintf(complaint, TW_COMPLAINT, "--%s: this is not a JSON list", option->name);
		return TW_E_FORMAT;
	}
	if (!list) {
		list = json_array();
		if (json_object_set_new(all, option->name, list))
			return -ENOMEM;
	}
	return json_array_append_new(list,
				     item_value(inner_schema(schema, "items", 0), option->value))
		       ? -ENOMEM
		       : 0;
}

/* Without a description: the second of a name makes a list. */
static int put_unknown(json_t *all, const struct option *option)
{
	json_t *before = json_object_get(all, option->name);
	json_t *value = option->value ? plain_value(NULL, option->value) : json_true();

	if (!before)
		return json_object_set_new(all, option->name, value) ? -ENOMEM : 0;
	if (!json_is_array(before)) {
		before = json_pack("[O]", before);
		if (json_object_set_new(all, option->name, before)) {
			json_decref(value);
			return -ENOMEM;
		}
	}
	return json_array_append_new(before, value) ? -ENOMEM : 0;
}

static int put(json_t *all, const struct option *option, const json_t *method, char *complaint)
{
	const json_t *schema = json_object_get(find_parameter(method, option->name), "schema");
	unsigned allowed = kinds_of(schema, 0);

	if (allowed == ANYTHING)
		return put_unknown(all, option);
	if (option->value && allowed & NOTHING && strcmp(option->value, "null") == 0)
		return json_object_set_new(all, option->name, json_null()) ? -ENOMEM : 0;
	if (option->value && allowed & LIST)
		return put_list(all, option, schema, complaint);
	if (option->value && allowed & MAP &&
	    (!(allowed & TEXT) || begins_like(option->value, '{')))
		return put_map(all, option, schema, complaint);
	if (json_object_get(all, option->name)) {
		snprintf(complaint, TW_COMPLAINT, "--%s is given twice and takes one value",
			 option->name);
		return TW_E_FORMAT;
	}
	return json_object_set_new(all, option->name,
				   option->value ? plain_value(schema, option->value) : json_true())
		       ? -ENOMEM
		       : 0;
}

int tw_api_parameters(const json_t *method, const char *const *words, size_t count, json_t **ret,
		      char complaint[TW_COMPLAINT])
{
	json_t *all = json_object();
	size_t at = 0;
	int r = all ? 0 : -ENOMEM;

	while (!r && at < count) {
		struct option option;

		r = read_option(method, words, count, &at, &option, complaint);
		if (!r)
			r = put(all, &option, method, complaint);
	}
	if (r)
		json_decref(all);
	else
		*ret = all;
	return r;
}

/* Whether @full is @name, or @name with a group in front, and @tail behind. */
static bool means(const char *full, const char *name, const char *tail)
{
	size_t length = strlen(full), name_length = strlen(name), tail_length = strlen(tail), start;

	if (length < name_length + tail_length)
		return false;
	start = length - name_length - tail_length;
	return strncmp(full + start, name, name_length) == 0 &&
	       strcmp(full + start + name_length, tail) == 0 &&
	       (start == 0 || full[start - 1] == '.');
}

static const json_t *find_with(const json_t *document, const char *name, const char *tail)
{
	const json_t *method, *found = NULL;
	size_t at;
	bool several = false;

	json_array_foreach (json_object_get(document, "methods"), at, method) {
		const char *full = method_name(method);

		if (strncmp(full, name, strlen(name)) == 0 &&
		    strcmp(full + strlen(name), tail) == 0)
			return method;
		if (means(full, name, tail)) {
			several = found;
			found = method;
		}
	}
	return several ? NULL : found;
}

const json_t *tw_api_find_method(const json_t *document, const char *name, bool *ret_wait)
{
	const json_t *method = find_with(document, name, "");

	if (method || !*name) {
		*ret_wait = false;
		return *name ? method : NULL;
	}
	method = find_with(document, name, "Async");
	*ret_wait = method;
	return method;
}

const char *tw_api_suggest_method(const json_t *document, const char *name)
{
	const char *names[2 * METHODS_MAX];
	const json_t *method;
	size_t count = 0, at;

	json_array_foreach (json_object_get(document, "methods"), at, method) {
		const char *full = method_name(method), *dot = strrchr(full, '.');

		if (count + 2 > sizeof names / sizeof *names)
			break;
		names[count++] = full;
		if (dot)
			names[count++] = dot + 1;
	}
	return tw_suggest(name, names, count);
}

const char *tw_api_value_shape(const json_t *parameter)
{
	unsigned allowed = kinds_of(json_object_get(parameter, "schema"), 0) & ~(unsigned)NOTHING;

	if (allowed & LIST)
		return "VALUE (may be repeated)";
	if (allowed & MAP && !(allowed & TEXT))
		return "KEY=VALUE (may be repeated)";
	if (allowed == NUMBER)
		return "NUMBER";
	if (allowed == TRUTH)
		return "true|false";
	return allowed == TEXT ? "TEXT" : "VALUE";
}
