#include "cli/failure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

/* {host}, {port} and the peer's own {words} are put in. */
static const struct {
	enum tw_exit exit;
	const char *name, *text;
} connection_failures[] = {
	[TW_CONN_CLOSED_LOCAL] = { TW_EXIT_FAILED, NULL,
				   "stopped; the same command again goes on where this one ended" },
	[TW_CONN_CLOSED_PEER] = { TW_EXIT_NETWORK, NULL,
				  "{host} closed the connection{words}; the same command again "
				  "goes on where this one ended" },
	[TW_CONN_TIMEOUT] = { TW_EXIT_NETWORK, "timeout",
			      "no answer from {host}, UDP port {port}, within 10 s: no receiver "
			      "runs there, or a firewall drops UDP, or the key "
			      "behind # is not this receiver's; compare the address with the line "
			      "that `tradewind receive` prints" },
	[TW_CONN_UNREACHABLE] = { TW_EXIT_NETWORK, "unreachable",
				  "nobody listens on UDP port {port} of {host}; start `tradewind "
				  "receive` there, or correct the port in the address" },
	[TW_CONN_NOT_AUTHORIZED] = { TW_EXIT_NOT_AUTHORIZED, "notAuthorized",
				     "{host} does not let this machine in; its operator "
				     "has to authorise the key that `tradewind keygen` "
				     "prints here" },
	[TW_CONN_CIPHER_TOO_WEAK] = { TW_EXIT_NOT_AUTHORIZED, "cipherTooWeak",
				      "{host} demands a stronger cipher; send with --cipher 128 "
				      "or 256, or lower --min-cipher there" },
	[TW_CONN_VERSION] = { TW_EXIT_NETWORK, "versionMismatch",
			      "{host} speaks another version of the protocol; install the same "
			      "version of tradewind at both ends" },
	[TW_CONN_BUSY] = { TW_EXIT_NETWORK, "destinationFull",
			   "{host} takes no more connections now; try again later" },
	[TW_CONN_PROTOCOL] = { TW_EXIT_NETWORK, NULL,
			       "the connection to {host} broke the protocol{words}; install the "
			       "same version of tradewind at both ends and "
			       "report this if it happens again" },
	[TW_CONN_RESOURCES] = { TW_EXIT_FAILED, NULL, "out of memory; free some and try again" },
};

static const char timeout_without_key[] =
	"no answer from {host}, UDP port {port}, within 10 s: no receiver runs there, or a "
	"firewall drops UDP, or the "
	"receiver demands a key; without one it has to be started with --min-cipher 0";

static void expand(char *ret, size_t room, const char *text, const struct tw_url *url,
		   const char *words)
{
	char port[8];
	const struct {
		const char *mark, *value;
	} marks[] = { { "{host}", url->host }, { "{port}", port }, { "{words}", words } };
	size_t used = 0;

	snprintf(port, sizeof port, "%u", url->port);
	while (*text && used + 1 < room) {
		const char *value = NULL;

		for (size_t i = 0; i < sizeof marks / sizeof *marks && !value; i++) {
			if (strncmp(text, marks[i].mark, strlen(marks[i].mark)) == 0) {
				value = marks[i].value;
				text += strlen(marks[i].mark);
			}
		}
		if (value) {
			int length = snprintf(ret + used, room - used, "%s", value);

			used += (size_t)length < room - used ? (size_t)length : room - used - 1;
		} else {
			ret[used++] = *text++;
		}
	}
	ret[used] = '\0';
}

void tw_failure_connection(struct tw_failure *ret, const struct tw_url *url, enum tw_conn_end end,
			   const char *message, int socket_error)
{
	char words[300] = "";

	if ((size_t)end >= sizeof connection_failures / sizeof *connection_failures)
		end = TW_CONN_PROTOCOL;
	if (message && message[0])
		snprintf(words, sizeof words, " (%s)", message);
	ret->exit = connection_failures[end].exit;
	ret->name = connection_failures[end].name;
	if ((end == TW_CONN_UNREACHABLE || end == TW_CONN_TIMEOUT) && socket_error &&
	    socket_error != ECONNREFUSED) {
		ret->name = "unreachable";
		snprintf(
			ret->text, sizeof ret->text,
			"this machine cannot send to %s: %s; check its address, its routes and "
			"its firewall",
			url->host, strerror(socket_error));
		return;
	}
	if (end == TW_CONN_TIMEOUT && !url->has_key)
		expand(ret->text, sizeof ret->text, timeout_without_key, url, words);
	else
		expand(ret->text, sizeof ret->text, connection_failures[end].text, url, words);
}

static const struct {
	enum tw_exit exit;
	const char *name, *text, *advice;
} transfer_failures[] = {
	[TW_TRANSFER_OK] = { TW_EXIT_DONE, NULL, "", "" },
	[TW_TRANSFER_ENTRIES] = { TW_EXIT_FAILED, NULL, "some files were left out",
				  "mend what is named above and give the same command again: it "
				  "sends only these" },
	[TW_TRANSFER_SOURCE] = { TW_EXIT_FAILED, NULL, "a source is missing or cannot be read",
				 "correct the path and try again" },
	[TW_TRANSFER_STORAGE] = { TW_EXIT_STORAGE, NULL, "the receiver's storage failed",
				  "make room or mend it and give the same command again: what has "
				  "arrived is kept" },
	[TW_TRANSFER_UNSAFE] = { TW_EXIT_FAILED, "destinationDenied",
				 "a path would leave the receiver's folder",
				 "send to a folder below it" },
	[TW_TRANSFER_DENIED] = { TW_EXIT_NOT_AUTHORIZED, "destinationDenied",
				 "the receiver does not accept this transfer", "ask its operator" },
	[TW_TRANSFER_CANCELLED] = { TW_EXIT_FAILED, NULL, "cancelled",
				    "the same command again goes on where this one ended" },
	[TW_TRANSFER_PROTOCOL] = { TW_EXIT_NETWORK, NULL,
				   "the two sides do not understand each other",
				   "install the same version of tradewind at both ends" },
	[TW_TRANSFER_RESOURCES] = { TW_EXIT_FAILED, NULL, "out of memory",
				    "free some and try again" },
};

void tw_failure_transfer(struct tw_failure *ret, enum tw_transfer_error error, const char *message)
{
	const char *text, *advice;
	size_t length;

	if ((size_t)error >= sizeof transfer_failures / sizeof *transfer_failures)
		error = TW_TRANSFER_PROTOCOL;
	ret->exit = transfer_failures[error].exit;
	ret->name = transfer_failures[error].name;
	ret->text[0] = '\0';
	if (error == TW_TRANSFER_OK)
		return;
	text = message && message[0] ? message : transfer_failures[error].text;
	length = strlen(text);
	/* The session's longer sentences say what to do already. */
	advice = strchr(text, ';') ? "" : transfer_failures[error].advice;
	if (length > 0 && text[length - 1] == '.')
		length--;
	snprintf(ret->text, sizeof ret->text, "%.*s%s%s", (int)length, text, advice[0] ? "; " : "",
		 advice);
}

void tw_failure_listen(struct tw_failure *ret, const struct tw_address *address, int error)
{
	char ip[TW_ADDRESS_TEXT];

	ret->exit = TW_EXIT_NETWORK;
	ret->name = NULL;
	tw_address_format_ip(address, ip);
	switch (-error) {
	case EADDRINUSE:
		snprintf(
			ret->text, sizeof ret->text,
			"UDP port %u is in use by another program, maybe another receiver; stop "
			"that one or choose "
			"another port with --port",
			address->port);
		break;
	case EACCES:
	case EPERM:
		snprintf(ret->text, sizeof ret->text,
			 "ports below 1024 are for root; choose another than %u with --port",
			 address->port);
		break;
	case EADDRNOTAVAIL:
		snprintf(
			ret->text, sizeof ret->text,
			"%s is not an address of this machine; --bind takes one that `ip addr` "
			"shows",
			ip);
		break;
	default:
		snprintf(ret->text, sizeof ret->text, "cannot listen on UDP port %u of %s: %s",
			 address->port, ip, tw_strerror(error));
	}
}
