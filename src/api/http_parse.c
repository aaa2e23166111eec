#include "api/http_parse.h"

#include <string.h>
#include <strings.h>

#include "base/error.h"

#define EXTENSION_MAX 256
#define SIZE_DIGITS_MAX 8

bool tw_slice_is(struct tw_slice slice, const char *text)
{
	return slice.at && slice.length == strlen(text) &&
	       strncasecmp(slice.at, text, slice.length) == 0;
}

/* tchar of RFC 9110, 5.6.2. */
static bool is_token(char byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
	       (byte >= '0' && byte <= '9') || (byte && strchr("!#$%&'*+-.^_`|~", byte));
}

static int request_line(struct tw_slice line, struct tw_http_head *head)
{
	static const struct {
		const char *name;
		enum tw_http_verb verb;
	} verbs[] = { { "GET", TW_HTTP_GET }, { "HEAD", TW_HTTP_HEAD }, { "POST", TW_HTTP_POST } };
	const char *end = line.at + line.length, *space = memchr(line.at, ' ', line.length);
	const char *target, *version, *mark;

	if (!space || space == line.at)
		return 400;
	for (const char *at = line.at; at < space; at++)
		if (!is_token(*at))
			return 400;
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if ((size_t)(space - line.at) == strlen(verbs[i].name) &&
		    memcmp(line.at, verbs[i].name, strlen(verbs[i].name)) == 0)
			head->verb = verbs[i].verb;
	target = space + 1;
	version = memchr(target, ' ', (size_t)(end - target));
	if (!version || *target != '/')
		return 400;
	for (const char *at = target; at < version; at++)
		if (*at <= ' ' || *at >= 0x7f || *at == '#')
			return 400;
	mark = memchr(target, '?', (size_t)(version - target));
	head->path = (struct tw_slice){ target, (size_t)((mark ? mark : version) - target) };
	if (mark)
		head->query = (struct tw_slice){ mark + 1, (size_t)(version - mark - 1) };
	version++;
	if (end - version != 8 || memcmp(version, "HTTP/", 5) != 0 || version[6] != '.' ||
	    version[5] < '0' || version[5] > '9' || version[7] < '0' || version[7] > '9')
		return 400;
	if (version[5] != '1' || version[7] > '1')
		return 505;
	head->minor = (unsigned)(version[7] - '0');
	head->keep_alive = head->minor == 1;
	return 0;
}

static int parse_length(struct tw_slice value, struct tw_http_head *head)
{
	uint64_t length = 0;

	if (head->has_length || value.length == 0 || value.length > 15)
		return 400;
	for (size_t i = 0; i < value.length; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return 400;
		length = length * 10 + (uint64_t)(value.at[i] - '0');
	}
	head->length = length;
	head->has_length = true;
	return 0;
}

/* One word of a list that commas part; moves @list behind it. */
static struct tw_slice next_word(struct tw_slice *list)
{
	const char *comma = memchr(list->at, ',', list->length);
	struct tw_slice word = { list->at, comma ? (size_t)(comma - list->at) : list->length };

	list->at += word.length + (comma != NULL);
	list->length -= word.length + (comma != NULL);
	while (word.length && (*word.at == ' ' || *word.at == '\t')) {
		word.at++;
		word.length--;
	}
	while (word.length && (word.at[word.length - 1] == ' ' || word.at[word.length - 1] == '\t'))
		word.length--;
	return word;
}

static void parse_connection(struct tw_slice value, struct tw_http_head *head)
{
	while (value.length) {
		struct tw_slice word = next_word(&value);

		if (tw_slice_is(word, "close"))
			head->keep_alive = false;
	}
}

static int once(struct tw_slice value, struct tw_slice *ret)
{
	if (ret->at)
		return 400;
	*ret = value;
	return 0;
}

static int take_field(struct tw_slice name, struct tw_slice value, struct tw_http_head *head)
{
	const struct {
		const char *name;
		struct tw_slice *to;
	} kept[] = {
		{ "Host", &head->host },
		{ "Content-Type", &head->content_type },
		{ "Authorization", &head->authorization },
		{ "Last-Event-ID", &head->last_event_id },
		{ "Origin", &head->origin },
		{ "Tradewind-Api-Version", &head->api_version },
	};

	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if (tw_slice_is(name, kept[i].name))
			return once(value, kept[i].to);
	if (tw_slice_is(name, "Content-Length"))
		return parse_length(value, head);
	if (tw_slice_is(name, "Connection"))
		parse_connection(value, head);
	if (tw_slice_is(name, "Transfer-Encoding")) {
		if (head->chunked)
			return 400;
		if (!tw_slice_is(value, "chunked"))
			return 501;
		head->chunked = true;
	}
	if (tw_slice_is(name, "Expect")) {
		if (!tw_slice_is(value, "100-continue"))
			return 417;
		head->expect_continue = true;
	}
	return 0;
}

static int header_line(struct tw_slice line, struct tw_http_head *head)
{
	const char *colon = memchr(line.at, ':', line.length);
	struct tw_slice name, value;

	if (!colon || colon == line.at)
		return 400;
	name = (struct tw_slice){ line.at, (size_t)(colon - line.at) };
	for (size_t i = 0; i < name.length; i++)
		if (!is_token(name.at[i]))
			return 400;
	value = (struct tw_slice){ colon + 1, line.length - name.length - 1 };
	for (size_t i = 0; i < value.length; i++)
		if (((unsigned char)value.at[i] < ' ' && value.at[i] != '\t') ||
		    value.at[i] == 0x7f)
			return 400;
	while (value.length && (*value.at == ' ' || *value.at == '\t')) {
		value.at++;
		value.length--;
	}
	while (value.length &&
	       (value.at[value.length - 1] == ' ' || value.at[value.length - 1] == '\t'))
		value.length--;
	return take_field(name, value, head);
}

/* The line at *@at without its CR LF; moves behind it. False: no such line. */
static bool next_line(const char **at, const char *end, struct tw_slice *ret)
{
	const char *feed = memchr(*at, '\n', (size_t)(end - *at));

	if (!feed || feed == *at || feed[-1] != '\r')
		return false;
	*ret = (struct tw_slice){ *at, (size_t)(feed - 1 - *at) };
	*at = feed + 1;
	return true;
}

int tw_http_parse_head(const char *bytes, size_t length, struct tw_http_head *ret)
{
	struct tw_http_head head = { 0 };
	const char *at = bytes, *end = bytes + length;
	struct tw_slice line;
	unsigned fields = 0;
	int status;

	if (!next_line(&at, end, &line))
		return 400;
	status = request_line(line, &head);
	while (!status) {
		if (!next_line(&at, end, &line))
			return 400;
		if (line.length == 0)
			break;
		if (++fields > TW_HTTP_FIELDS_MAX)
			return 431;
		status = header_line(line, &head);
	}
	if (status)
		return status;
	if (at != end || (head.minor == 1 && !head.host.at) || (head.chunked && head.has_length) ||
	    (head.chunked && head.minor == 0))
		return 400;
	*ret = head;
	return 0;
}

enum { SIZE, EXTENSION, SIZE_FEED, DATA, DATA_RETURN, DATA_FEED, END_RETURN, END_FEED };

static int hex_digit(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	if (byte >= 'a' && byte <= 'f')
		return byte - 'a' + 10;
	if (byte >= 'A' && byte <= 'F')
		return byte - 'A' + 10;
	return -1;
}

/* One byte of what frames the chunks. */
static int frame_byte(struct tw_http_chunks *chunks, char byte)
{
	int digit = hex_digit(byte);

	switch (chunks->state) {
	case SIZE:
		if (digit >= 0 && chunks->digits < SIZE_DIGITS_MAX) {
			chunks->left = chunks->left * 16 + (unsigned)digit;
			chunks->digits++;
			return 0;
		}
		if (chunks->digits == 0 || (byte != '\r' && byte != ';' && byte != ' '))
			return TW_E_FORMAT;
		chunks->digits = 0;
		chunks->state = byte == '\r' ? SIZE_FEED : EXTENSION;
		return 0;
	case EXTENSION:
		if (byte == '\r')
			chunks->state = SIZE_FEED;
		else if ((unsigned char)byte < ' ' || ++chunks->digits > EXTENSION_MAX)
			return TW_E_FORMAT;
		return 0;
	case SIZE_FEED:
		chunks->state = chunks->left ? DATA : END_RETURN;
		return byte == '\n' ? 0 : TW_E_FORMAT;
	case DATA_RETURN:
		chunks->state = DATA_FEED;
		return byte == '\r' ? 0 : TW_E_FORMAT;
	case DATA_FEED:
		chunks->state = SIZE;
		chunks->digits = 0;
		return byte == '\n' ? 0 : TW_E_FORMAT;
	case END_RETURN:
		chunks->state = END_FEED;
		return byte == '\r' ? 0 : TW_E_FORMAT;
	default:
		chunks->done = true;
		return byte == '\n' ? 0 : TW_E_FORMAT;
	}
}

int tw_http_chunks_take(struct tw_http_chunks *chunks, const char *bytes, size_t length,
			size_t *ret_taken, char *ret, size_t *ret_length)
{
	size_t at = 0, out = 0;

	while (at < length && !chunks->done) {
		if (chunks->state == DATA) {
			size_t step =
				length - at < chunks->left ? length - at : (size_t)chunks->left;

			memmove(ret + out, bytes + at, step);
			at += step;
			out += step;
			chunks->left -= step;
			if (chunks->left == 0)
				chunks->state = DATA_RETURN;
		} else if (frame_byte(chunks, bytes[at++])) {
			return TW_E_FORMAT;
		}
	}
	*ret_taken = at;
	*ret_length = out;
	return 0;
}
