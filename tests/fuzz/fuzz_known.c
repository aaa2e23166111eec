/* The file of known servers, as clients read it and add to it. */
#include "fuzz.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/known.h"

#define SERVER "example.org:8886"
#define PIN "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

static int file = -1;
static char path[64];

static void write_file(const uint8_t *data, size_t size)
{
	if (file < 0) {
		file = memfd_create("known", MFD_CLOEXEC);
		CHECK(file >= 0);
		snprintf(path, sizeof path, "/proc/self/fd/%d", file);
	}
	CHECK(!ftruncate(file, 0) && pwrite(file, data, size, 0) == (ssize_t)size);
}

static void check_found(const uint8_t *data, size_t size, const char *pin, unsigned line)
{
	unsigned lines = 1;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	CHECK(!*pin || tw_known_is_pin(pin));
	CHECK(line <= lines);
	/* Nothing is made up. */
	CHECK(!*pin || memmem(data, size, pin, strlen(pin)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char pin[TW_PIN_TEXT] = "x", again[TW_PIN_TEXT] = "x";
	struct tw_client_error error;
	struct stat before, after;
	unsigned line = 0;

	if (size > 65536)
		return 0;
	write_file(data, size);
	CHECK(!tw_known_find(path, SERVER, pin, &line, &error));
	check_found(data, size, pin, line);
	if (*pin)
		return 0;
	/* What is not known yet is from now on, whatever stood there, and that stays. */
	CHECK(!fstat(file, &before));
	CHECK(!tw_known_add(path, SERVER, PIN, &error));
	CHECK(!tw_known_find(path, SERVER, again, &line, &error) && !strcmp(again, PIN));
	CHECK(!fstat(file, &after) && after.st_size > before.st_size);
	return 0;
}
