/*
 * rows.h - short forms for the rows of the methods' tables.
 */
#pragma once

#include "api/call.h"

#define TW_PARAMETERS(array) \
	.parameters = (array), .parameter_count = sizeof(array) / sizeof *(array)
#define TW_METHODS(array) \
	{ \
		(array), sizeof(array) / sizeof *(array) \
	}

#define TW_P_ID(name_, object_, meaning_) \
	{ \
		.name = (name_), .type = TW_API_STRING, .required = true, .min = 1, .max = 256, \
		.object = (object_), .meaning = (meaning_) \
	}
#define TW_P_SOME_ID(name_, object_, meaning_) \
	{ \
		.name = (name_), .type = TW_API_STRING, .min = 1, .max = 256, .object = (object_), \
		.meaning = (meaning_) \
	}
#define TW_P_NEEDED(name_, max_, meaning_) \
	{ \
		.name = (name_), .type = TW_API_STRING, .required = true, .min = 1, .max = (max_), \
		.meaning = (meaning_) \
	}
#define TW_P_TEXT(name_, max_, meaning_) \
	{ \
		.name = (name_), .type = TW_API_STRING, .max = (max_), .meaning = (meaning_) \
	}
#define TW_P_BOOL(name_, fallback_, meaning_) \
	{ \
		.name = (name_), .type = TW_API_BOOL, .fallback = (fallback_), \
		.meaning = (meaning_) \
	}
#define TW_P_INT(name_, min_, max_, fallback_, meaning_) \
	{ \
		.name = (name_), .type = TW_API_INTEGER, .min = (min_), .max = (max_), \
		.fallback = (fallback_), .meaning = (meaning_) \
	}
#define TW_P_TIME(name_, meaning_) \
	{ \
		.name = (name_), .type = TW_API_TIME, .meaning = (meaning_) \
	}
#define TW_P_STRINGS(name_, meaning_) \
	{ \
		.name = (name_), .type = TW_API_STRINGS, .max = TW_API_PATH_MAX, \
		.meaning = (meaning_) \
	}
#define TW_P_USER_DATA \
	{ \
		.name = "userData", .type = TW_API_OBJECT, \
		.meaning = "what you keep with it: any JSON object, up to 64 KiB" \
	}
#define TW_P_CLIENT_REQUEST_ID \
	{ \
		.name = "clientRequestId", .type = TW_API_STRING, .min = 1, .max = 128, \
		.meaning = "a repeat with the same word returns the first result again" \
	}
#define TW_P_TIMEOUT \
	TW_P_INT("timeoutMs", 0, TW_API_WAIT_MAX_MS, NULL, \
		 "gives up with Timeout after so many milliseconds; not given: a day")

#define TW_RATE_MAX 1000000000 /* kbit/s */
