#include "client/known.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/fault.h"

static const char pin_prefix[] = "sha256//";
#define DIGEST_TEXT 44 /* SHA-256 in base64 */

char *tw_known_path(const char *option)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char *path = NULL;
	int length = -1;

	if (option)
		return strdup(option);
	if (config && *config == '/')
		length = asprintf(&path, "%s/tradewind/known_servers", config);
	else if (home && *home == '/')
		length = asprintf(&path, "%s/.config/tradewind/known_servers", home);
	return length < 0 ? NULL : path;
}

bool tw_known_is_pin(const char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";
	size_t prefix = sizeof pin_prefix - 1;

	return strncmp(text, pin_prefix, prefix) == 0 && strlen(text) == prefix + DIGEST_TEXT &&
	       strspn(text + prefix, digits) == DIGEST_TEXT - 1 && text[strlen(text) - 1] == '=';
}

/* The key of a line for @server, or NULL. Changes the line. */
static const char *match(char *line, const char *server)
{
	char *rest = NULL, *name = strtok_r(line, " \t\r\n", &rest), *pin;

	if (!name || strcasecmp(name, server) != 0)
		return NULL;
	pin = strtok_r(NULL, " \t\r\n", &rest);
	return pin && tw_known_is_pin(pin) ? pin : NULL;
}

int tw_known_find(const char *path, const char *server, char ret_pin[TW_PIN_TEXT],
		  unsigned *ret_line, struct tw_client_error *error)
{
	FILE *file = fopen(path, "re");
	unsigned number = 0;
	char *line = NULL;
	const char *pin = NULL;
	size_t room = 0;
	bool broken;

	if (!file && errno == ENOENT) {
		ret_pin[0] = '\0';
		return 0;
	}
	if (!file)
		return tw_fault(error, TW_CLIENT_INTERNAL, NULL, "cannot read %s: %s", path,
				strerror(errno));
	while (!pin && getline(&line, &room, file) >= 0) {
		number++;
		pin = match(line, server);
	}
	broken = ferror(file);
	if (!broken) {
		snprintf(ret_pin, TW_PIN_TEXT, "%s", pin ? pin : "");
		*ret_line = number;
	}
	free(line);
	fclose(file);
	return broken ? tw_fault(error, TW_CLIENT_INTERNAL, NULL, "cannot read %s", path) : 0;
}

/* Each folder above the file. */
static void make_folders(const char *path)
{
	char *copy = strdup(path);

	for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(copy, 0700);
		*slash = '/';
	}
	free(copy);
}

/* A last line that somebody has left without its end would swallow what is added. */
static bool ends_in_midline(int fd)
{
	struct stat there;
	char last = '\n';

	return !fstat(fd, &there) && there.st_size > 0 &&
	       pread(fd, &last, 1, there.st_size - 1) == 1 && last != '\n';
}

int tw_known_add(const char *path, const char *server, const char *pin,
		 struct tw_client_error *error)
{
	char line[512];
	int length, fd, failed = 0;

	make_folders(path);
	fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	length = snprintf(line, sizeof line, "%s%s %s\n",
			  fd >= 0 && ends_in_midline(fd) ? "\n" : "", server, pin);
	/* One write, so that lines of two programs do not mix. */
	if (fd < 0 || write(fd, line, (size_t)length) != length)
		failed = errno ? errno : EIO;
	if (fd >= 0 && close(fd) && !failed)
		failed = errno;
	if (failed)
		return tw_fault(error, TW_CLIENT_INTERNAL, NULL,
				"cannot remember the key of %s in %s: %s", server, path,
				strerror(failed));
	return 0;
}
