#include "cli/options.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

#define SLIPS_MAX 2
#define NAME_MAX_LENGTH 32
#define NAMES_MAX 64

static const struct tw_option *find_option(const struct tw_command *command, const char *name,
					   size_t length)
{
	for (size_t i = 0; i < command->option_count; i++)
		if (strlen(command->options[i].name) == length &&
		    memcmp(command->options[i].name, name, length) == 0)
			return &command->options[i];
	return NULL;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Damerau and Levenshtein's distance; SIZE_MAX for words too long to be worth it. */
static size_t distance(const char *a, const char *b)
{
	size_t rows[3][NAME_MAX_LENGTH + 1], a_length = strlen(a), b_length = strlen(b);

	if (a_length > NAME_MAX_LENGTH || b_length > NAME_MAX_LENGTH)
		return SIZE_MAX;
	for (size_t k = 0; k <= b_length; k++)
		rows[0][k] = k;
	for (size_t i = 1; i <= a_length; i++) {
		size_t *now = rows[i % 3], *before = rows[(i + 2) % 3],
		       *earlier = rows[(i + 1) % 3];

		now[0] = i;
		for (size_t k = 1; k <= b_length; k++) {
			now[k] = smallest(before[k] + 1, now[k - 1] + 1,
					  before[k - 1] + (a[i - 1] != b[k - 1]));
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
			    earlier[k - 2] + 1 < now[k])
				now[k] = earlier[k - 2] + 1;
		}
	}
	return rows[a_length % 3][b_length];
}

const char *tw_suggest(const char *word, const char *const *names, size_t count)
{
	const char *best = NULL;
	size_t best_distance = SLIPS_MAX + 1;

	for (size_t i = 0; i < count; i++) {
		size_t here = distance(word, names[i]);

		/* Half of a short word changed is another word. */
		if (here < best_distance && here * 2 < strlen(names[i])) {
			best = names[i];
			best_distance = here;
		}
	}
	return best;
}

static void complain_unknown(const struct tw_command *command, const char *word, size_t length,
			     char *complaint)
{
	const char *names[NAMES_MAX], *close;
	char clean[128], name[128];
	size_t count = 0;

	snprintf(name, sizeof name, "%.*s", (int)length, word);
	for (; count < command->option_count && count < NAMES_MAX; count++)
		names[count] = command->options[count].name;
	close = tw_suggest(name, names, count);
	tw_text_clean(name, strlen(name), clean, sizeof clean);
	if (close)
		snprintf(complaint, TW_COMPLAINT,
			 "there is no option --%s for `%s`; did you mean --%s?", clean,
			 command->name, close);
	else
		snprintf(complaint, TW_COMPLAINT,
			 "there is no option --%s for `%s`; `tradewind %s --help` lists them",
			 clean, command->name, command->name);
}

/* One option at argv[*at]; moves *at over its value. */
static int parse_option(struct tw_arguments *arguments, int argc, char *const *argv, int *at,
			char *complaint)
{
	const char *word = argv[*at] + 2, *equals = strchr(word, '=');
	size_t length = equals ? (size_t)(equals - word) : strlen(word);
	const struct tw_option *option = find_option(arguments->command, word, length);
	const char *value = equals ? equals + 1 : NULL;

	if (!option) {
		complain_unknown(arguments->command, word, length, complaint);
		return TW_E_FORMAT;
	}
	if (!option->argument && value) {
		snprintf(complaint, TW_COMPLAINT, "--%s is a switch and takes no value",
			 option->name);
		return TW_E_FORMAT;
	}
	if (option->argument && !value) {
		if (*at + 1 >= argc) {
			snprintf(complaint, TW_COMPLAINT, "--%s needs a value: --%s %s",
				 option->name, option->name, option->argument);
			return TW_E_FORMAT;
		}
		value = argv[++*at];
	}
	arguments->given[arguments->given_count++] = (struct tw_given){ option, value };
	return 0;
}

static int parse_words(struct tw_arguments *arguments, int argc, char *const *argv, char *complaint)
{
	bool ended = false;
	char clean[64];
	int r;

	for (int i = 0; i < argc; i++) {
		const char *word = argv[i];

		if (ended || word[0] != '-' || word[1] == '\0') {
			arguments->words[arguments->word_count++] = word;
			ended |= arguments->command->words_end_options;
		} else if (strcmp(word, "--") == 0) {
			ended = true;
		} else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
			arguments->help = true;
		} else if (word[1] != '-') {
			snprintf(
				complaint, TW_COMPLAINT,
				"%s is not an option: all options are long, see `tradewind %s "
				"--help`; a name that "
				"begins with a dash goes behind --",
				tw_text_clean(word, strlen(word), clean, sizeof clean),
				arguments->command->name);
			return TW_E_FORMAT;
		} else {
			r = parse_option(arguments, argc, argv, &i, complaint);
			if (r)
				return r;
		}
	}
	return 0;
}

static int check_words(const struct tw_arguments *arguments, char *complaint)
{
	const struct tw_command *command = arguments->command;

	if (arguments->help)
		return 0;
	if (arguments->word_count < command->words_min) {
		snprintf(complaint, TW_COMPLAINT, "`%s` needs %s; for example: %s", command->name,
			 command->words, command->examples[0].line);
		return TW_E_FORMAT;
	}
	if (arguments->word_count > command->words_max) {
		char clean[128];
		const char *extra = arguments->words[command->words_max];

		snprintf(complaint, TW_COMPLAINT,
			 "`%s` does not know what to do with \"%s\"; usage: tradewind %s %s",
			 command->name, tw_text_clean(extra, strlen(extra), clean, sizeof clean),
			 command->name, command->words);
		return TW_E_FORMAT;
	}
	return 0;
}

int tw_arguments_parse(const struct tw_command *command, int argc, char *const *argv,
		       struct tw_arguments *ret, char complaint[TW_COMPLAINT])
{
	struct tw_arguments arguments = { .command = command };
	int r;

	if (argc > TW_WORDS_MAX) {
		snprintf(complaint, TW_COMPLAINT,
			 "more than %d words; name the folder that holds them instead",
			 TW_WORDS_MAX);
		return TW_E_FORMAT;
	}
	arguments.given = calloc((size_t)argc + 1, sizeof *arguments.given);
	arguments.words = calloc((size_t)argc + 1, sizeof *arguments.words);
	r = arguments.given && arguments.words ? 0 : -ENOMEM;
	if (!r)
		r = parse_words(&arguments, argc, argv, complaint);
	if (!r)
		r = check_words(&arguments, complaint);
	if (r) {
		tw_arguments_free(&arguments);
		return r;
	}
	*ret = arguments;
	return 0;
}

void tw_arguments_free(struct tw_arguments *arguments)
{
	free(arguments->given);
	free(arguments->words);
	*arguments = (struct tw_arguments){ 0 };
}

const char *tw_argument(const struct tw_arguments *arguments, const char *name)
{
	const struct tw_option *option = find_option(arguments->command, name, strlen(name));

	assert(option);
	for (size_t i = arguments->given_count; i-- > 0;)
		if (arguments->given[i].option == option)
			return arguments->given[i].value ? arguments->given[i].value : "";
	return NULL;
}

size_t tw_argument_all(const struct tw_arguments *arguments, const char *name, const char **ret,
		       size_t room)
{
	const struct tw_option *option = find_option(arguments->command, name, strlen(name));
	size_t count = 0;

	assert(option && option->repeats);
	for (size_t i = 0; i < arguments->given_count && count < room; i++)
		if (arguments->given[i].option == option)
			ret[count++] = arguments->given[i].value;
	return count;
}
