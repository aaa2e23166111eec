#include "cli/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/text.h"

static bool is_space(char byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r';
}

/* "--name" or "--name=value" from a line; malloc'd. NULL: no memory. */
static char *make_word(const char *line, size_t length)
{
	size_t name = 0, value;
	char *word;

	while (name < length && !is_space(line[name]) && line[name] != '=')
		name++;
	value = name;
	while (value < length && is_space(line[value]))
		value++;
	if (value < length && line[value] == '=') {
		value++;
		while (value < length && is_space(line[value]))
			value++;
	}
	word = malloc(length + 4);
	if (!word)
		return NULL;
	memcpy(word, "--", 2);
	memcpy(word + 2, line, name);
	word[name + 2] = '\0';
	/* An "=" without anything behind is an empty value, which a switch has not. */
	if (value < length || memchr(line + name, '=', length - name)) {
		word[name + 2] = '=';
		memcpy(word + name + 3, line + value, length - value);
		word[name + 3 + length - value] = '\0';
	}
	return word;
}

static int refuse(size_t number, const char *why, char complaint[TW_COMPLAINT])
{
	snprintf(complaint, TW_COMPLAINT, "line %zu: %s", number, why);
	return TW_E_FORMAT;
}

/* As the command line would take it: alone, and nothing but an option. */
static int check_word(const struct tw_command *command, char *word, size_t number,
		      char complaint[TW_COMPLAINT])
{
	struct tw_command alone = *command;
	struct tw_arguments arguments;
	char why[TW_COMPLAINT] = "";
	int r;

	alone.words_min = 0;
	if (strcmp(word, "--") == 0 || strncmp(word, "--=", 3) == 0)
		return refuse(number, "a line begins with the name of an option", complaint);
	if (strcmp(word, "--help") == 0 || strcmp(word, "--config") == 0 ||
	    strncmp(word, "--config=", 9) == 0)
		return refuse(number, "this is for the command line alone", complaint);
	r = tw_arguments_parse(&alone, 1, &word, &arguments, why);
	if (r)
		return r == TW_E_FORMAT ? refuse(number, why, complaint) : r;
	tw_arguments_free(&arguments);
	return 0;
}

static int take_line(const struct tw_command *command, const char *line, size_t number,
		     struct tw_config *config, char complaint[TW_COMPLAINT])
{
	size_t length = strlen(line);
	char *word;

	while (length && is_space(*line)) {
		line++;
		length--;
	}
	while (length && is_space(line[length - 1]))
		length--;
	if (length == 0 || *line == '#')
		return 0;
	if (*line == '-')
		return refuse(number, "names of options stand here without dashes", complaint);
	word = make_word(line, length);
	if (!word)
		return -ENOMEM;
	config->words[config->count++] = word;
	return check_word(command, word, number, complaint);
}

static int take_lines(const struct tw_command *command, char *text, struct tw_config *config,
		      char complaint[TW_COMPLAINT])
{
	size_t number = 0;
	int r = 0;

	for (char *line = text, *next; line && !r; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		if (++number > TW_CONFIG_LINES_MAX)
			return refuse(number, "the file has too many lines", complaint);
		r = take_line(command, line, number, config, complaint);
	}
	return r;
}

int tw_config_parse(const struct tw_command *command, const char *text, size_t length,
		    struct tw_config *ret, char complaint[TW_COMPLAINT])
{
	struct tw_config config = { 0 };
	char *copy;
	int r;

	if (length > TW_CONFIG_MAX)
		return refuse(1, "the file is larger than 64 KiB", complaint);
	if (memchr(text, '\0', length))
		return refuse(1, "the file is not text", complaint);
	copy = strndup(text, length);
	config.words = calloc(TW_CONFIG_LINES_MAX, sizeof *config.words);
	r = copy && config.words ? 0 : -ENOMEM;
	if (!r)
		r = take_lines(command, copy, &config, complaint);
	free(copy);
	if (r) {
		tw_config_free(&config);
		return r;
	}
	*ret = config;
	return 0;
}

static ssize_t read_file(const char *path, char *ret, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t step = fd < 0 ? -1 : 1;

	while (fd >= 0 && length < room && step != 0) {
		step = read(fd, ret + length, room - length);
		if (step < 0 && errno != EINTR)
			break;
		length += step > 0 ? (size_t)step : 0;
	}
	if (step < 0)
		step = -errno;
	if (fd >= 0)
		close(fd);
	return step < 0 ? step : (ssize_t)length;
}

int tw_config_load(const struct tw_command *command, const char *path, struct tw_config *ret,
		   char complaint[TW_COMPLAINT])
{
	char clean[256], why[TW_COMPLAINT] = "";
	char *text = calloc(1, TW_CONFIG_MAX + 1);
	ssize_t length;
	int r = 0;

	if (!text)
		return -ENOMEM;
	tw_text_clean(path, strlen(path), clean, sizeof clean);
	length = read_file(path, text, TW_CONFIG_MAX + 1);
	if (length < 0) {
		r = (int)length;
		snprintf(complaint, TW_COMPLAINT, "cannot read %s: %s", clean, tw_strerror(r));
	} else {
		r = tw_config_parse(command, text, (size_t)length, ret, why);
		if (r)
			snprintf(complaint, TW_COMPLAINT, "%s, %.200s", clean,
				 why[0] ? why : tw_strerror(r));
	}
	free(text);
	return r;
}

void tw_config_free(struct tw_config *config)
{
	for (size_t i = 0; config->words && i < config->count; i++)
		free(config->words[i]);
	free(config->words);
	*config = (struct tw_config){ 0 };
}

static bool is_given(const struct tw_arguments *arguments, size_t count,
		     const struct tw_option *option)
{
	for (size_t i = 0; i < count; i++)
		if (arguments->given[i].option == option)
			return true;
	return false;
}

int tw_config_apply(const struct tw_config *config, struct tw_arguments *arguments)
{
	size_t before = arguments->given_count;
	struct tw_given *given =
		reallocarray(arguments->given, before + config->count + 1, sizeof *given);
	char complaint[TW_COMPLAINT];
	struct tw_command alone = *arguments->command;
	int r = 0;

	if (!given)
		return -ENOMEM;
	arguments->given = given;
	alone.words_min = 0;
	for (size_t i = 0; i < config->count && !r; i++) {
		struct tw_arguments one;

		r = tw_arguments_parse(&alone, 1, &config->words[i], &one, complaint);
		if (r)
			break;
		if (!is_given(arguments, before, one.given[0].option))
			arguments->given[arguments->given_count++] = one.given[0];
		tw_arguments_free(&one);
	}
	return r;
}
