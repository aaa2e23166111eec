#include "units.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *suffix;
	double factor;
};

/*
 * A number and one of the suffixes of @units, which ends with a NULL suffix; "" is the bare number.
 */
static int number_with(const char *text, const struct unit *units, double *ret_value)
{
	char *end;
	double number = strtod(text, &end);

	if (end == text || !isfinite(number) || number < 0.0)
		return -EINVAL;
	for (; units->suffix; units++) {
		if (strcmp(end, units->suffix) == 0) {
			*ret_value = number * units->factor;
			return 0;
		}
	}
	return -EINVAL;
}

int link_units_rate(const char *text, double *ret_value)
{
	static const struct unit units[] = { { "", 1e6 },  { "K", 1e3 }, { "k", 1e3 },
					     { "M", 1e6 }, { "G", 1e9 }, { NULL, 0 } };

	return number_with(text, units, ret_value);
}

int link_units_time(const char *text, double *ret_value)
{
	static const struct unit units[] = {
		{ "", 1e6 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { NULL, 0 }
	};

	return number_with(text, units, ret_value);
}

int link_units_share(const char *text, double *ret_value)
{
	static const struct unit units[] = { { "", 1.0 }, { "%", 0.01 }, { NULL, 0 } };
	double value;
	int r = number_with(text, units, &value);

	if (r)
		return r;
	if (value > 1.0)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

int link_units_number(const char *text, double *ret_value)
{
	static const struct unit units[] = { { "", 1.0 }, { NULL, 0 } };

	return number_with(text, units, ret_value);
}

int link_units_queue(const char *text, double *ret_value, enum link_queue_unit *ret_unit)
{
	static const struct unit bytes[] = {
		{ "", 1 },       { "K", 1e3 },       { "M", 1e6 },
		{ "KiB", 1024 }, { "MiB", 1048576 }, { NULL, 0 },
	};
	static const struct unit times[] = {
		{ "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { NULL, 0 }
	};
	static const struct unit bdps[] = { { "bdp", 1 }, { NULL, 0 } };

	if (number_with(text, bytes, ret_value) == 0)
		*ret_unit = LINK_QUEUE_BYTES;
	else if (number_with(text, times, ret_value) == 0)
		*ret_unit = LINK_QUEUE_NS;
	else if (number_with(text, bdps, ret_value) == 0)
		*ret_unit = LINK_QUEUE_BDP;
	else
		return -EINVAL;
	return 0;
}
