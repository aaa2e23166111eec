#include "cli/remote.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/secret.h"
#include "base/text.h"

#define PASSWORD_MAX 512

static const enum tw_exit exits[TW_CLIENT_FAULTS] = {
	[TW_CLIENT_INVALID_PARAMETER] = TW_EXIT_USAGE,
	[TW_CLIENT_NOT_FOUND] = TW_EXIT_FAILED,
	[TW_CLIENT_NOT_AUTHENTICATED] = TW_EXIT_NOT_AUTHORIZED,
	[TW_CLIENT_NOT_PERMITTED] = TW_EXIT_NOT_AUTHORIZED,
	[TW_CLIENT_CONFLICT] = TW_EXIT_FAILED,
	[TW_CLIENT_LIMIT_REACHED] = TW_EXIT_FAILED,
	[TW_CLIENT_UNAVAILABLE] = TW_EXIT_NETWORK,
	[TW_CLIENT_VERSION_MISMATCH] = TW_EXIT_FAILED,
	[TW_CLIENT_TIMEOUT] = TW_EXIT_NETWORK,
	[TW_CLIENT_INTERNAL] = TW_EXIT_FAILED,
	[TW_CLIENT_KEY_CHANGED] = TW_EXIT_NOT_AUTHORIZED,
	[TW_CLIENT_NO_MEMORY] = TW_EXIT_FAILED,
};

enum tw_exit tw_remote_exit(enum tw_client_fault fault)
{
	return exits[fault];
}

const char *tw_remote_sentence(const struct tw_client_error *error, char *ret, size_t room)
{
	char text[sizeof error->name + sizeof error->parameter + sizeof error->message +
		  sizeof error->remedy + 32];
	bool told = strstr(error->message, error->parameter);

	snprintf(text, sizeof text, "%s: %s%s%s%s%s", error->name, told ? "" : error->parameter,
		 told ? "" : ": ", error->message, error->remedy[0] ? "; " : "", error->remedy);
	return tw_text_clean(text, strlen(text), ret, room);
}

int tw_remote_failed(const struct tw_client_error *error)
{
	char line[1536];

	tw_say("%s", tw_remote_sentence(error, line, sizeof line));
	if (error->fault == TW_CLIENT_NOT_AUTHENTICATED)
		tw_say("say who you are with --user NAME, or in TRADEWIND_API_TOKEN");
	return (int)tw_remote_exit(error->fault);
}

/* A line from the terminal without showing it. False: there is no terminal, or nothing came. */
static bool ask_password(const char *user, const char *server, char ret[PASSWORD_MAX])
{
	struct termios shown, hidden;
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	char clean[128];
	ssize_t length;

	if (fd < 0 || tcgetattr(fd, &shown)) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	/* Before the prompt, so that nothing typed at it is shown, or lost. */
	tcsetattr(fd, TCSAFLUSH, &hidden);
	dprintf(fd,
		"password of %s at %s: ", tw_text_clean(user, strlen(user), clean, sizeof clean),
		server);
	length = read(fd, ret, PASSWORD_MAX - 1);
	tcsetattr(fd, TCSAFLUSH, &shown);
	dprintf(fd, "\n");
	close(fd);
	while (length > 0 && (ret[length - 1] == '\n' || ret[length - 1] == '\r'))
		length--;
	ret[length > 0 ? length : 0] = '\0';
	return length > 0;
}

/* A server's first key, when it has been said beforehand that any will do. */
static bool believe(void *context, const char *server, const char *key)
{
	(void)context;
	tw_say("%s is new here: its key is %s, and is remembered", server, key);
	return true;
}

/* Whether to believe a server's first key: people are asked, scripts have to say so before. */
static bool ask(void *context, const char *server, const char *key)
{
	char answer[8] = "";

	(void)context;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		tw_say("%s is new here, and nobody can be asked: its key is %s; if that is what "
		       "the server said at its start, give --server-key or set "
		       "TRADEWIND_API_FINGERPRINT, or believe any first key with --accept-new",
		       server, key);
		return false;
	}
	fprintf(stderr,
		"%s is new here. Its key is\n    %s\nCompare it with what the server said at its "
		"start. Believe and remember it? (yes/no) ",
		server, key);
	return fgets(answer, sizeof answer, stdin) && strcmp(answer, "yes\n") == 0;
}

static const char *own_name(void)
{
	const struct passwd *account = getpwuid(geteuid());

	return account ? account->pw_name : "";
}

/* The address of a server that asks for a password, before there is a client. */
static const char *shown_server(const struct tw_client_options *options)
{
	return options->socket_path ? options->socket_path
	       : options->host      ? options->host
				    : "this machine";
}

static int make(struct tw_client_options *options, struct tw_client **ret)
{
	char password[PASSWORD_MAX] = "";
	struct tw_client_error error;
	int r;

	options->password = getenv("TRADEWIND_API_PASSWORD");
	if (options->password && !options->user)
		options->user = own_name();
	if (options->user && !options->password && !options->token) {
		if (!ask_password(options->user, shown_server(options), password)) {
			tw_say("no password for %s: set TRADEWIND_API_PASSWORD, or run this at a "
			       "terminal to be asked",
			       options->user);
			return TW_EXIT_NOT_AUTHORIZED;
		}
		options->password = password;
	}
	r = tw_client_open(options, ret, &error);
	tw_wipe(password, sizeof password);
	return r ? tw_remote_failed(&error) : TW_EXIT_DONE;
}

int tw_remote_open(const struct tw_arguments *arguments, uint32_t timeout_ms,
		   struct tw_client **ret)
{
	const char *port = tw_argument(arguments, "api-control-port");
	const char *fingerprint = getenv("TRADEWIND_API_FINGERPRINT");
	struct tw_client_options options = {
		.socket_path = tw_argument(arguments, "socket"),
		.host = tw_argument(arguments, "host"),
		.user = tw_argument(arguments, "user"),
		.server_key = tw_argument(arguments, "server-key"),
		.token = getenv("TRADEWIND_API_TOKEN"),
		/* Called while the client lives, so nothing of this function may be lent to it. */
		.trust = tw_argument(arguments, "accept-new") ? believe : ask,
		.timeout_ms = timeout_ms,
	};
	uint64_t number = 0;

	if (port && tw_text_parse_u64(port, 1, 65535, &number)) {
		tw_say("--api-control-port takes a number from 1 to 65535");
		return TW_EXIT_USAGE;
	}
	if (options.socket_path && (options.host || port)) {
		tw_say("--socket and --host name two servers; give one of them");
		return TW_EXIT_USAGE;
	}
	options.port = (unsigned)number;
	if (!options.server_key && fingerprint && fingerprint[0])
		options.server_key = fingerprint;
	if (!options.socket_path && !options.host && !port)
		options.socket_path = getenv("TRADEWIND_API_SOCKET");
	return make(&options, ret);
}
