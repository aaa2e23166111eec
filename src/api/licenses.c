/* licenses.c - what is linked in, with the versions in use where the library tells it. */
#include <event2/event.h>
#include <gnu/libc-version.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <zstd.h>

#include "api/private.h"

json_t *tw_api_licenses(void)
{
	const struct {
		const char *name, *version, *license, *url;
	} linked[] = {
		{ "OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING), "Apache-2.0",
		  "https://www.openssl.org/" },
		{ "libevent", event_get_version(), "BSD-3-Clause", "https://libevent.org/" },
		{ "jansson", jansson_version_str(), "MIT", "https://digip.org/jansson/" },
		{ "SQLite", TW_SQLITE_VERSION, "blessing", "https://www.sqlite.org/" },
		{ "xxHash", TW_XXHASH_VERSION, "BSD-2-Clause", "https://xxhash.com/" },
		{ "Zstandard", ZSTD_versionString(), "BSD-3-Clause",
		  "https://facebook.github.io/zstd/" },
		{ "libcurl", TW_CURL_VERSION, "curl", "https://curl.se/" },
		{ "GNU C Library", gnu_get_libc_version(), "LGPL-2.1-or-later",
		  "https://www.gnu.org/software/libc/" },
	};
	json_t *list = json_array();

	for (size_t i = 0; list && i < sizeof linked / sizeof *linked; i++)
		json_array_append_new(list,
				      json_pack("{s:s, s:s, s:s, s:s}", "name", linked[i].name,
						"version", linked[i].version, "license",
						linked[i].license, "url", linked[i].url));
	return list;
}
