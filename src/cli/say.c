#include <stdarg.h>
#include <stdio.h>

#include "cli/exit.h"

void tw_say(const char *format, ...)
{
	char line[2048];
	va_list arguments;
	int length;

	va_start(arguments, format);
	/* clang's analyzer does not see va_start(). */
	length = vsnprintf(line, sizeof line, format,
			   arguments); /* NOLINT(clang-analyzer-valist*) */
	va_end(arguments);
	if (length < 0)
		return;
	fprintf(stderr, "tradewind: %s\n", line);
	fflush(stderr);
}
