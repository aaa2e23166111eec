#include <assert.h>
#include <string.h>

#include "content/sink.h"

static const struct {
	const char *name, *number, *brief;
} modes[] = {
	[TW_OVERWRITE_IN_PLACE_NEVER] = { "in-place-never", "0", NULL },
	[TW_OVERWRITE_IN_PLACE_ALWAYS] = { "in-place-always", "1", NULL },
	[TW_OVERWRITE_IN_PLACE_SAME_SIZE] = { "in-place-same-size", "2", NULL },
	[TW_OVERWRITE_WITH_PARTFILE_NEVER] = { "partfile-never", "3", "never" },
	[TW_OVERWRITE_WITH_PARTFILE_ALWAYS] = { "partfile-always", "4", "always" },
	[TW_OVERWRITE_WITH_PARTFILE_BACKUP] = { "partfile-backup", "5", "backup" },
};
static_assert(sizeof(modes) / sizeof(modes[0]) == TW_OVERWRITE_COUNT, "a row for every mode");

bool tw_overwrite_parse(const char *name, enum tw_overwrite *ret)
{
	for (unsigned i = 0; i < TW_OVERWRITE_COUNT; i++) {
		if (!strcmp(name, modes[i].name) || !strcmp(name, modes[i].number) ||
		    (modes[i].brief && !strcmp(name, modes[i].brief))) {
			*ret = (enum tw_overwrite)i;
			return true;
		}
	}
	return false;
}

const char *tw_overwrite_name(enum tw_overwrite overwrite)
{
	return (unsigned)overwrite < TW_OVERWRITE_COUNT ? modes[overwrite].name : "unknown";
}
