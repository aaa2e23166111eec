#include "client/place.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/fault.h"

static int use_socket(struct tw_place *place, const char *path, struct tw_client_error *error)
{
	if (strlen(path) >= sizeof place->socket)
		return tw_fault(error, TW_CLIENT_INVALID_PARAMETER, "socket_path",
				"a socket's path has at most %d bytes: %s", TW_PLACE_SOCKET - 1,
				path);
	snprintf(place->socket, sizeof place->socket, "%s", path);
	snprintf(place->url, sizeof place->url, "http://localhost");
	snprintf(place->shown, sizeof place->shown, "unix:%s", path);
	return 0;
}

bool tw_place_is_loopback(const char *host)
{
	static const char name[] = ".localhost";
	size_t length = strlen(host), tail = sizeof name - 1;
	struct in6_addr six;
	struct in_addr four;

	if (inet_pton(AF_INET, host, &four) == 1)
		return (ntohl(four.s_addr) >> 24) == 127;
	if (inet_pton(AF_INET6, host, &six) == 1)
		return IN6_IS_ADDR_LOOPBACK(&six);
	return strcasecmp(host, name + 1) == 0 ||
	       (length > tail && strcasecmp(host + length - tail, name) == 0);
}

/* What may stand in a host's name, so that nothing else gets into a URL or the file. */
static bool is_name(const char *host)
{
	for (const char *at = host; *at; at++)
		if (!isalnum((unsigned char)*at) && !strchr(".-_", *at))
			return false;
	return *host && *host != '-' && *host != '.';
}

static int use_host(struct tw_place *place, const char *given, unsigned port,
		    struct tw_client_error *error)
{
	char host[TW_PLACE_HOST] = "";
	size_t length = strlen(given);
	struct in6_addr six;
	bool is_six;

	if (length > 1 && given[0] == '[' && given[length - 1] == ']')
		given++, length -= 2;
	if (length < sizeof host)
		snprintf(host, sizeof host, "%.*s", (int)length, given);
	for (char *at = host; *at; at++)
		*at = (char)tolower((unsigned char)*at);
	is_six = inet_pton(AF_INET6, host, &six) == 1;
	if (!is_six && !is_name(host))
		return tw_fault(error, TW_CLIENT_INVALID_PARAMETER, "host",
				"not the name or address of a host: \"%s\"; give the port apart",
				given);
	if (port > 65535)
		return tw_fault(error, TW_CLIENT_INVALID_PARAMETER, "port",
				"a port is a number from 1 to 65535, not %u", port);
	place->secure = !tw_place_is_loopback(host);
	snprintf(place->key_name, sizeof place->key_name, is_six ? "[%s]:%u" : "%s:%u", host,
		 port ? port : TW_CLIENT_PORT);
	snprintf(place->url, sizeof place->url, "%s://%.*s", place->secure ? "https" : "http",
		 (int)sizeof place->url - 9, place->key_name);
	memcpy(place->shown, place->url, sizeof place->shown);
	return 0;
}

#define SYSTEM_SOCKET "/var/lib/tradewind/state/api.sock"

/* Whether there is a server of this user, or one of the machine's. */
static bool default_socket(char path[PATH_MAX])
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	struct stat status;
	int length;

	if (geteuid() == 0)
		length = snprintf(path, PATH_MAX, SYSTEM_SOCKET);
	else if (state && *state == '/')
		length = snprintf(path, PATH_MAX, "%s/tradewind/api.sock", state);
	else if (home && *home == '/')
		length = snprintf(path, PATH_MAX, "%s/.local/state/tradewind/api.sock", home);
	else
		return false;
	if (length < PATH_MAX && stat(path, &status) == 0 && S_ISSOCK(status.st_mode))
		return true;
	/* Else that of the machine, which may serve all its accounts. */
	snprintf(path, PATH_MAX, SYSTEM_SOCKET);
	return stat(path, &status) == 0 && S_ISSOCK(status.st_mode);
}

int tw_place_find(struct tw_place *ret, const struct tw_client_options *options,
		  struct tw_client_error *error)
{
	struct tw_place place = { 0 };
	char path[PATH_MAX];
	int r;

	if (options->socket_path)
		r = use_socket(&place, options->socket_path, error);
	else if (options->host)
		r = use_host(&place, options->host, options->port, error);
	else if (!options->port && default_socket(path))
		r = use_socket(&place, path, error);
	else
		r = use_host(&place, "127.0.0.1", options->port, error);
	if (!r)
		*ret = place;
	return r;
}
