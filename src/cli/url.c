#include "cli/url.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "crypto/identity.h"

static const char scheme[] = "tw://";

bool tw_url_like(const char *text)
{
	return strncmp(text, scheme, sizeof scheme - 1) == 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Undoes percent-encoding. False: a % without two digits, a NUL, or no room. */
static bool decode(const char *from, size_t length, char *ret, size_t room)
{
	size_t used = 0;

	for (size_t i = 0; i < length; i++) {
		char c = from[i];

		if (c == '%') {
			bool whole = length - i > 2;
			int high = whole ? hex_digit(from[i + 1]) : -1;
			int low = whole ? hex_digit(from[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (c == '\0' || used + 1 >= room)
			return false;
		ret[used++] = c;
	}
	ret[used] = '\0';
	return true;
}

/*
 * A name's letters, or an IPv6 address with its zone. What it means is for the resolver to say;
 * this keeps out what would come back as another text or spoil a terminal.
 */
static bool host_fits(const char *host, bool brackets)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	static const char more[] = "0123456789.-_";

	if (brackets && !strchr(host, ':'))
		return false;
	for (; *host; host++) {
		if (!strchr(letters, *host) && !strchr(more, *host) &&
		    !(brackets && strchr(":%", *host)))
			return false;
	}
	return true;
}

/* HOST[:PORT] in [at, end). Returns a complaint or NULL. */
static const char *parse_authority(const char *at, const char *end, struct tw_url *url)
{
	const char *host = at, *host_end, *port;
	char digits[8];
	uint64_t number;

	if (*at == '[') {
		host = at + 1;
		host_end = memchr(at, ']', (size_t)(end - at));
		if (!host_end)
			return "the bracket of the IPv6 address is not closed";
		port = host_end + 1;
	} else {
		host_end = memchr(at, ':', (size_t)(end - at));
		if (!host_end)
			host_end = end;
		port = host_end;
		if (port < end && memchr(port + 1, ':', (size_t)(end - port - 1)))
			return "an IPv6 address goes into brackets, as in tw://[2001:db8::1]:8886/";
	}
	if (host_end == host)
		return "it names no host";
	if (host_end - host > TW_HOST_MAX)
		return "the host's name is too long";
	memcpy(url->host, host, (size_t)(host_end - host));
	url->host[host_end - host] = '\0';
	if (!host_fits(url->host, *at == '['))
		return "the host is neither a name nor an address";
	url->port = TW_PORT_DEFAULT;
	if (port == end)
		return NULL;
	if (*port != ':' || end - port - 1 < 1 || end - port - 1 > 5)
		return "the port is a number from 1 to 65535";
	memcpy(digits, port + 1, (size_t)(end - port - 1));
	digits[end - port - 1] = '\0';
	if (tw_text_parse_u64(digits, 1, 65535, &number))
		return "the port is a number from 1 to 65535";
	url->port = (uint16_t)number;
	return NULL;
}

static const char *parse_destination(const char *at, const char *end, struct tw_url *url)
{
	if (at < end)
		at++;
	if (end > at && end[-1] == '/')
		end--;
	if (!decode(at, (size_t)(end - at), url->destination, sizeof url->destination))
		return "the destination folder is too long or holds a % that is not followed by "
			"two hexadecimal digits";
	if (url->destination[0] && tw_path_check(url->destination, strlen(url->destination)))
		return "the destination folder must lie below the receiver's folder: no \"..\", "
			"\".\" or empty parts";
	return NULL;
}

static const char *parse(const char *text, struct tw_url *url)
{
	const char *at = text + sizeof scheme - 1, *key, *end, *slash, *complaint;

	if (!tw_url_like(text))
		return "it does not begin with tw://";
	key = strchr(at, '#');
	end = key ? key : at + strlen(at);
	slash = memchr(at, '/', (size_t)(end - at));
	complaint = parse_authority(at, slash ? slash : end, url);
	if (!complaint && slash)
		complaint = parse_destination(slash, end, url);
	if (complaint || !key || !key[1])
		return complaint;
	url->has_key = true;
	if (tw_public_key_parse(key + 1, &url->key))
		return "the key behind # is not one: 43 letters, digits, - and _, as `tradewind "
			"receive` prints it";
	return NULL;
}

int tw_url_parse(const char *text, struct tw_url *ret, char *complaint, size_t complaint_room)
{
	struct tw_url url;
	const char *wrong;

	memset(&url, 0, sizeof url);
	wrong = parse(text, &url);
	if (wrong) {
		snprintf(complaint, complaint_room, "%s", wrong);
		return TW_E_FORMAT;
	}
	*ret = url;
	return 0;
}

const char *tw_url_format(const char *host, uint16_t port, const struct tw_public_key *key,
			  char ret[TW_URL_TEXT])
{
	bool brackets = strchr(host, ':') != NULL;
	char text[TW_KEY_TEXT] = "";

	if (key)
		tw_public_key_format(key, text);
	snprintf(ret, TW_URL_TEXT, "%s%s%s%s:%u/%s%s", scheme, brackets ? "[" : "", host,
		 brackets ? "]" : "", port, key ? "#" : "", text);
	return ret;
}
