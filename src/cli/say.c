#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/exit.h"

void tw_say(const char *format, ...)
{
	char line[2048], clean[4096];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	if (length < 0)
		return;
	/* Whatever names came into it: one line, and nothing that a terminal would obey. */
	fprintf(stderr, "tradewind: %s\n", tw_text_clean(line, strlen(line), clean, sizeof clean));
	fflush(stderr);
}
