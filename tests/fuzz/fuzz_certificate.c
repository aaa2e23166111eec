/*
 * The PEM files that a server is told to use for its interface. The first byte says which of the
 * two is hostile, and where the rest is cut when both are.
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/temp_dir.h"
#include "api/certificate.h"

struct pem {
	int file;
	char path[64];
};

static struct pem certificate, key;
static uint8_t good_certificate[8192], good_key[8192];
static size_t good_certificate_length, good_key_length;

static void fill(struct pem *pem, const uint8_t *data, size_t size)
{
	CHECK(!ftruncate(pem->file, 0) && pwrite(pem->file, data, size, 0) == (ssize_t)size);
}

static void open_pem(struct pem *pem)
{
	pem->file = memfd_create("pem", MFD_CLOEXEC);
	CHECK(pem->file >= 0 && !fchmod(pem->file, 0600));
	snprintf(pem->path, sizeof pem->path, "/proc/self/fd/%d", pem->file);
}

static size_t read_whole(const char *folder, const char *name, uint8_t *ret, size_t room)
{
	char path[TEMP_PATH_MAX + 32];
	size_t length;
	FILE *file;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	file = fopen(path, "re");
	CHECK(file);
	length = fread(ret, 1, room, file);
	fclose(file);
	unlink(path);
	return length;
}

/* A pair that fits. */
static void begin(void)
{
	char folder[TEMP_PATH_MAX], message[TW_CERTIFICATE_MESSAGE];
	struct tw_certificate_options options = { .folder = folder, .host_name = "host" };
	struct tw_certificate *made;

	temp_dir_make(folder);
	CHECK(!tw_certificate_open(&options, &made, message));
	tw_certificate_free(made);
	good_certificate_length = read_whole(folder, "api-certificate.pem", good_certificate,
					     sizeof good_certificate);
	good_key_length = read_whole(folder, "api-key.pem", good_key, sizeof good_key);
	CHECK(!rmdir(folder));
	open_pem(&certificate);
	open_pem(&key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct tw_certificate_options options = { .certificate = certificate.path,
							.key = key.path };
	char message[TW_CERTIFICATE_MESSAGE] = "";
	struct tw_certificate *opened;
	size_t cut;

	if (size < 1 || size > 65536)
		return 0;
	if (!good_key_length)
		begin();
	fill(&certificate, good_certificate, good_certificate_length);
	fill(&key, good_key, good_key_length);
	cut = size > 1 ? data[0] / 3 * (size - 1) / 85 : 0;
	if (data[0] % 3 != 1)
		fill(&certificate, data + 1, data[0] % 3 ? cut : size - 1);
	if (data[0] % 3 == 1)
		fill(&key, data + 1, size - 1);
	else if (data[0] % 3 == 2)
		fill(&key, data + 1 + cut, size - 1 - cut);
	if (tw_certificate_open(&options, &opened, message)) {
		CHECK(*message && strlen(message) < sizeof message);
		return 0;
	}
	CHECK(tw_certificate_tls(opened) && strlen(tw_certificate_pin(opened)) == 8 + 44);
	tw_certificate_names(opened, "host");
	tw_certificate_end_us(opened);
	tw_certificate_free(opened);
	return 0;
}
