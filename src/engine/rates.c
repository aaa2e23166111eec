/* rates.c - rates as callers give them: within the server's limits, and with a method that fits. */
#include <stdio.h>
#include <string.h>

#include "engine/engine_internal.h"

static void clamp(uint64_t *rate, uint64_t least, uint64_t most)
{
	if (*rate == TW_UNSET)
		return;
	if (*rate < least)
		*rate = least;
	if (*rate > most)
		*rate = most;
}

/* The server's outgoing limit is a ceiling for all three, and the maximum one for the others. */
void tw_rates_clamp(const struct tw_engine *engine, struct tw_rate_set *set)
{
	uint64_t most = TW_RATE_MAX_KBPS;

	if (engine->outgoing_limit < most)
		most = engine->outgoing_limit;
	clamp(&set->max, 1, most);
	if (set->max < most)
		most = set->max;
	clamp(&set->min, 0, most);
	clamp(&set->rate, set->min == TW_UNSET || !set->min ? 1 : set->min, most);
}

int tw_rates_method(const char *name, bool active, uint64_t rate, struct tw_fault *fault)
{
	enum tw_rate_method method = TW_RATE_DEFAULT;
	char known[128] = "";

	for (int i = 0; i < TW_RATE_METHOD_COUNT; i++) {
		size_t length = strlen(known);

		snprintf(known + length, sizeof(known) - length, "%s%s", i ? ", " : "",
			 tw_rate_method_name((enum tw_rate_method)i));
	}
	if (name && !tw_rate_method_parse(name, &method))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "rateControlMethod",
				    "\"%.40s\" is no method of rate control; choose one of %s.",
				    name, known);
	if ((!active || method == TW_RATE_FIXED) && rate == TW_UNSET)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "sendRate",
				    "A fixed rate needs sendRate, in kbit/s; give it, or let the "
				    "rate controller find the rate.");
	return TW_FAULT_NONE;
}
