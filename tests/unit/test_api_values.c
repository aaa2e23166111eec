#include "unit.h"

#include "base/error.h"
#include "cli/api_show.h"
#include "cli/api_values.h"

static const char document_text[] =
	"{\"methods\":["
	"{\"name\":\"getServerInfo\",\"params\":[]},"
	"{\"name\":\"lsAsync\",\"params\":[{\"name\":\"path\",\"schema\":{\"type\":\"string\"}}]},"
	"{\"name\":\"send.getTransfers\",\"params\":[]},"
	"{\"name\":\"recv.getTransfersAsync\",\"params\":[]},"
	"{\"name\":\"send.getStatus\"},{\"name\":\"recv.getStatus\"},"
	"{\"name\":\"send.make\",\"params\":["
	"{\"name\":\"text\",\"schema\":{\"type\":\"string\"}},"
	"{\"name\":\"orNull\",\"schema\":{\"type\":[\"string\",\"null\"]}},"
	"{\"name\":\"count\",\"schema\":{\"type\":\"integer\"}},"
	"{\"name\":\"rate\",\"schema\":{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"null\"}]}},"
	"{\"name\":\"on\",\"schema\":{\"type\":\"boolean\"}},"
	"{\"name\":\"list\",\"schema\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}},"
	"{\"name\":\"numbers\",\"schema\":{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}},"
	"{\"name\":\"pairs\",\"schema\":{\"type\":\"array\",\"items\":{\"oneOf\":["
	"{\"type\":\"string\"},{\"type\":\"object\"}]}}},"
	"{\"name\":\"map\",\"schema\":{\"type\":\"object\"}},"
	"{\"name\":\"limits\",\"schema\":{\"type\":\"object\","
	"\"additionalProperties\":{\"type\":\"integer\"}}},"
	"{\"name\":\"either\",\"schema\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"object\"}]}},"
	"{\"name\":\"open\",\"schema\":{\"type\":\"array\"}},"
	"{\"name\":\"free\",\"schema\":{}}]}]}";

static const struct {
	const char *words[6];
	const char *becomes; /* NULL: a complaint that holds @says */
	const char *says;
} cases[] = {
	{ { "--text=5" }, "{\"text\":\"5\"}", NULL },
	{ { "--text", "a b" }, "{\"text\":\"a b\"}", NULL },
	{ { "--text=" }, "{\"text\":\"\"}", NULL },
	{ { "--text=a=b" }, "{\"text\":\"a=b\"}", NULL },
	{ { "--text=null" }, "{\"text\":\"null\"}", NULL },
	{ { "--text=true" }, "{\"text\":\"true\"}", NULL },
	{ { "--orNull=null" }, "{\"orNull\":null}", NULL },
	{ { "--or-null=x" }, "{\"orNull\":\"x\"}", NULL },
	{ { "--count=9223372036854775807" }, "{\"count\":9223372036854775807}", NULL },
	{ { "--count=-1", "--rate=null" }, "{\"count\":-1,\"rate\":null}", NULL },
	/* The server knows better what to say about these. */
	{ { "--count=12x" }, "{\"count\":\"12x\"}", NULL },
	{ { "--count=true" }, "{\"count\":\"true\"}", NULL },
	{ { "--count=null" }, "{\"count\":\"null\"}", NULL },
	{ { "--on" }, "{\"on\":true}", NULL },
	{ { "--on", "--count", "1" }, "{\"on\":true,\"count\":1}", NULL },
	{ { "--on=false" }, "{\"on\":false}", NULL },
	{ { "--list=a", "--list=[b]", "--list=3" }, "{\"list\":[\"a\",\"[b]\",\"3\"]}", NULL },
	{ { "--list=[\"a\",\"b\"]" }, "{\"list\":[\"a\",\"b\"]}", NULL },
	{ { "--list=[]" }, "{\"list\":[]}", NULL },
	{ { "--numbers=1", "--numbers=2" }, "{\"numbers\":[1,2]}", NULL },
	{ { "--pairs=/a b:c", "--pairs={\"srcPath\":\"/a\"}" },
	  "{\"pairs\":[\"/a b:c\",{\"srcPath\":\"/a\"}]}",
	  NULL },
	{ { "--open=5", "--open={\"a\":1}", "--open=a:b" },
	  "{\"open\":[\"5\",{\"a\":1},\"a:b\"]}",
	  NULL },
	{ { "--map=a=1", "--map=b=x=y" }, "{\"map\":{\"a\":\"1\",\"b\":\"x=y\"}}", NULL },
	{ { "--map={\"a\":1}" }, "{\"map\":{\"a\":1}}", NULL },
	{ { "--limits=a=1" }, "{\"limits\":{\"a\":1}}", NULL },
	{ { "--either=x=y" }, "{\"either\":\"x=y\"}", NULL },
	{ { "--either={\"x\":1}" }, "{\"either\":{\"x\":1}}", NULL },
	{ { "--free=1", "--free=b" }, "{\"free\":[1,\"b\"]}", NULL },
	{ { "--list=[1" }, NULL, "not a JSON list" },
	{ { "--map=x" }, NULL, "--map=KEY=VALUE" },
	{ { "--map=a=1", "--map={}" }, NULL, "stands alone" },
	{ { "--map={\"a\":1,\"a\":2}" }, NULL, "not a JSON object" },
	{ { "--text=a", "--text=b" }, NULL, "given twice" },
	{ { "--text" }, NULL, "--text=TEXT" },
	{ { "--text", "--on" }, NULL, "--text=TEXT" },
	{ { "--cuont=1" }, NULL, "did you mean --count?" },
	{ { "--zebra\033=1" }, NULL, "options for the connection come before" },
	{ { "text=1" }, NULL, "--name=value" },
	{ { "--=1" }, NULL, "--name=value" },
};

static json_t *document(void)
{
	json_t *all = json_loads(document_text, 0, NULL);

	assert_non_null(all);
	return all;
}

static size_t count_words(const char *const words[6])
{
	size_t count = 0;

	while (count < 6 && words[count])
		count++;
	return count;
}

static void test_values_by_description(void **state)
{
	json_t *all = document();
	bool wait = true;
	const json_t *method = tw_api_find_method(all, "send.make", &wait);

	(void)state;
	assert_non_null(method);
	assert_false(wait);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char complaint[TW_COMPLAINT] = "";
		json_t *got = NULL;
		int r = tw_api_parameters(method, cases[i].words, count_words(cases[i].words), &got,
					  complaint);

		if (cases[i].becomes) {
			char *text;

			assert_int_equal(r, 0);
			text = json_dumps(got, JSON_COMPACT);
			assert_string_equal(text, cases[i].becomes);
			free(text);
			json_decref(got);
		} else {
			assert_int_equal(r, TW_E_FORMAT);
			if (!strstr(complaint, cases[i].says))
				fail_msg("\"%s\" lacks \"%s\"", complaint, cases[i].says);
			assert_null(strchr(complaint, '\033'));
		}
	}
	json_decref(all);
}

static void test_values_without_description(void **state)
{
	const char *words[] = { "--a=1", "--b=x y", "--c", "--d=[1,2]",
				"--e=1", "--e={}",  "--f", "-1" };
	char complaint[TW_COMPLAINT], *text;
	json_t *got = NULL;

	(void)state;
	assert_int_equal(tw_api_parameters(NULL, words, ARRAY_SIZE(words), &got, complaint), 0);
	text = json_dumps(got, JSON_COMPACT);
	assert_string_equal(text,
			    "{\"a\":1,\"b\":\"x y\",\"c\":true,\"d\":[1,2],\"e\":[1,{}],\"f\":-1}");
	free(text);
	json_decref(got);
}

static const struct {
	const char *name, *full; /* NULL: none */
	bool wait;
} names[] = {
	{ "getServerInfo", "getServerInfo", false },
	{ "ls", "lsAsync", true },
	{ "lsAsync", "lsAsync", false },
	{ "make", "send.make", false },
	{ "getTransfers", "send.getTransfers", false },
	{ "recv.getTransfers", "recv.getTransfersAsync", true },
	{ "getTransfersAsync", "recv.getTransfersAsync", false },
	{ "getStatus", NULL, false },
	{ "send.getStatus", "send.getStatus", false },
	{ "ake", NULL, false },
	{ "Async", NULL, false },
	{ "", NULL, false },
	{ "send.", NULL, false },
};

static void test_names_of_methods(void **state)
{
	json_t *all = document();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		bool wait = !names[i].wait;
		const json_t *method = tw_api_find_method(all, names[i].name, &wait);

		if (!names[i].full) {
			assert_null(method);
			continue;
		}
		assert_string_equal(json_string_value(json_object_get(method, "name")),
				    names[i].full);
		assert_int_equal(wait, names[i].wait);
	}
	assert_string_equal(tw_api_suggest_method(all, "getServreInfo"), "getServerInfo");
	assert_string_equal(tw_api_suggest_method(all, "getTransfer"), "getTransfers");
	assert_null(tw_api_suggest_method(all, "zebra"));
	assert_null(tw_api_suggest_method(NULL, "zebra"));
	json_decref(all);
}

static char *shown_field(const char *json, const char *path)
{
	json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);
	int r = tw_api_show_field(file, value, path);

	fclose(file);
	json_decref(value);
	if (r) {
		assert_string_equal(text, "");
		free(text);
		return NULL;
	}
	return text;
}

static const struct {
	const char *json, *path, *shows; /* NULL: no such field */
} fields[] = {
	{ "{\"a\":\"x \\\"y\"}", "a", "x \"y\n" },
	{ "{\"a\":{\"b\":5}}", "a.b", "5\n" },
	{ "{\"a\":{\"b\":5}}", "a", "{\"b\":5}\n" },
	{ "{\"a\":null}", "a", "null\n" },
	{ "[{\"a\":1},{\"a\":2}]", "a", "1\n2\n" },
	{ "[{\"a\":1},{\"a\":2}]", "1.a", "2\n" },
	{ "[]", "a", "" },
	{ "{\"a\":[\"x\",\"y\"]}", "a", "x\ny\n" },
	{ "\"text\"", "", "text\n" },
	{ "{\"a\":\"l1\\nl2\\u001b[31m\"}", "a", "l1\\x0Al2\\x1B[31m\n" },
	{ "{\"a\":1}", "b", NULL },
	{ "{\"a\":1}", "a.b", NULL },
	{ "[{\"a\":1},{}]", "a", NULL },
	{ "[1]", "1", NULL },
};

static void test_fields(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		char *text = shown_field(fields[i].json, fields[i].path);

		if (!fields[i].shows)
			assert_null(text);
		else
			assert_string_equal(text, fields[i].shows);
		free(text);
	}
}

static void test_json_is_fit_for_a_terminal(void **state)
{
	json_t *value =
		json_loads("[\"\\u001b \\u007f \\u009b \\u202e \\u00fc \\ud83d\\udea2\"]", 0, NULL);
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	(void)state;
	assert_int_equal(tw_api_show_json(file, value, true), 0);
	fclose(file);
	assert_string_equal(text, "[\"\\u001B \\u007f \\u009b \\u202e ü 🚢\"]\n");
	free(text);
	json_decref(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_by_description),
		cmocka_unit_test(test_values_without_description),
		cmocka_unit_test(test_names_of_methods),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_json_is_fit_for_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
