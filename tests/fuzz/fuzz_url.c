/* An address somebody pasted. What parses is safe to use, and its own text means the same. */
#include "fuzz.h"

#include "cli/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tw_url url, again;
	char complaint[200] = "", written[TW_URL_TEXT], *text;
	size_t length;

	if (size > 3000)
		return 0;
	text = malloc(size + 1);
	CHECK(text);
	memcpy(text, data, size);
	text[size] = '\0';
	if (tw_url_parse(text, &url, complaint, sizeof complaint)) {
		CHECK(*complaint && strlen(complaint) < sizeof complaint);
		free(text);
		return 0;
	}
	free(text);
	CHECK(*url.host && strlen(url.host) <= TW_HOST_MAX && url.port);
	length = strlen(url.destination);
	CHECK(!length || !tw_path_check(url.destination, length));
	tw_url_format(url.host, url.port, url.has_key ? &url.key : NULL, written);
	CHECK(strlen(written) < sizeof written && tw_url_like(written));
	CHECK(!tw_url_parse(written, &again, complaint, sizeof complaint));
	CHECK(!strcmp(url.host, again.host) && url.port == again.port);
	CHECK(url.has_key == again.has_key && !*again.destination);
	if (url.has_key)
		CHECK(!memcmp(&url.key, &again.key, sizeof url.key));
	return 0;
}
