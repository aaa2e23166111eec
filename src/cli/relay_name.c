#include "cli/relay_name.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "crypto/identity.h"
#include "relay/relay.h"

/* A port stands behind the brackets, or behind the only colon. */
static bool names_port(const char *host)
{
	const char *bracket = strrchr(host, ']'), *colon = strrchr(bracket ? bracket : host, ':');

	return colon != NULL;
}

int tw_relay_name_parse(const char *text, struct tw_relay_name *ret, char *complaint,
			size_t complaint_room)
{
	const char *hash = strchr(text, '#');
	char address[TW_URL_TEXT];
	struct tw_url url;
	int r;

	if (!hash || tw_public_key_parse(hash + 1, &ret->key)) {
		snprintf(complaint, complaint_room,
			 "the relay's public key is missing or damaged: write HOST[:PORT]#KEY as "
			 "`tradewind relay` prints it");
		return TW_E_FORMAT;
	}
	if (hash == text || memchr(text, '/', (size_t)(hash - text)) ||
	    snprintf(address, sizeof address, "tw://%.*s/", (int)(hash - text), text) >=
		    (int)sizeof address) {
		snprintf(complaint, complaint_room, "that is no host: write HOST[:PORT]#KEY");
		return TW_E_FORMAT;
	}
	r = tw_url_parse(address, &url, complaint, complaint_room);
	if (r)
		return r;
	address[strlen(address) - 1] = '\0';
	snprintf(ret->host, sizeof ret->host, "%s", url.host);
	ret->port = names_port(address + strlen("tw://")) ? url.port : TW_RELAY_PORT_CONTROL;
	return 0;
}

const char *tw_relay_name_format(const char *host, uint16_t port, const struct tw_public_key *key,
				 char ret[TW_URL_TEXT])
{
	bool brackets = strchr(host, ':') != NULL;
	char text[TW_KEY_TEXT];

	snprintf(ret, TW_URL_TEXT, "%s%s%s:%u#%s", brackets ? "[" : "", host, brackets ? "]" : "",
		 port, tw_public_key_format(key, text));
	return ret;
}
