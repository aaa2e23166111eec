/* The file of grants: what is read of any text is names that can be written again. */
#include "auth/grants.h"
#include "base/error.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tw_grants grants;
	int r;

	if (!grants.all)
		CHECK(tw_grants_open(-1, &grants) == 0);
	grants.count = 0;
	r = tw_grants_parse((const char *)data, size, &grants);
	CHECK(r == 0 || r == TW_E_FORMAT);
	CHECK(grants.count <= TW_GRANTS_MAX);
	for (size_t i = 0; i < grants.count; i++) {
		const struct tw_grant *grant = &grants.all[i];

		CHECK(grant->uid != (uid_t)-1 && grant->gid != (gid_t)-1 && grant->name[0]);
		CHECK(!strchr(grant->name, '\n'));
		CHECK(tw_grants_find(&grants, grant->name) == grant);
	}
	return 0;
}
