#include "base/error.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

static const char *const sentences[] = {
	[0] = "success",
	[TW_E_AGAIN] = "not ready yet",
	[TW_E_END] = "nothing more will come",
	[TW_E_FORMAT] = "the data is malformed",
	[TW_E_FULL] = "a limit on size or number is reached",
	[TW_E_AUTH] = "authentication failed: a key or tag does not match",
	[TW_E_VERSION] = "the two sides have no protocol version in common",
	[TW_E_WEAK] = "the cipher is weaker than one side demands",
	[TW_E_DENIED] = "not allowed",
	[TW_E_CHANGED] = "the source changed while it was being sent",
	[TW_E_DIGEST] = "the content does not match its digest",
	[TW_E_CLOSED] = "the connection is closed",
	[TW_E_EXISTS] = "the target exists and must not be replaced",
	[TW_E_UNSAFE] = "the path would leave its folder",
	[TW_E_TIMEOUT] = "the other side stayed silent for too long",
	[TW_E_UNREACHABLE] = "nobody listens there",
};

static_assert(sizeof(sentences) / sizeof(sentences[0]) == TW_E_LIMIT, "a sentence for each error");

const char *tw_strerror(int error)
{
	const char *text = NULL;

	if (error >= 0 && error < TW_E_LIMIT)
		text = sentences[error];
	else if (error < 0 && error > -4096)
		text = strerrordesc_np(-error);
	return text ? text : "unknown error";
}
