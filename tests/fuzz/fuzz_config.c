/* A file of options. What is taken, the command line takes too. */
#include "fuzz.h"

#include "cli/config.h"

static const struct tw_option options[] = {
	{ "port", "N", "", false },
	{ "many", "NAME", "", true },
	{ "quiet", NULL, "", false },
	{ "config", "FILE", "", false },
};

static const struct tw_command command = {
	.name = "thing",
	.words = "",
	.options = options,
	.option_count = sizeof options / sizeof *options,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tw_arguments arguments;
	struct tw_config config;
	char complaint[TW_COMPLAINT] = "";

	if (tw_config_parse(&command, (const char *)data, size, &config, complaint)) {
		CHECK(*complaint && strlen(complaint) < sizeof complaint);
		return 0;
	}
	CHECK(config.count <= TW_CONFIG_LINES_MAX);
	CHECK(!tw_arguments_parse(&command, 0, NULL, &arguments, complaint));
	CHECK(!tw_config_apply(&config, &arguments));
	CHECK(arguments.given_count == config.count && arguments.word_count == 0);
	tw_arguments_free(&arguments);
	tw_config_free(&config);
	return 0;
}
