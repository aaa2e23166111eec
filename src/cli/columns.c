#include "cli/columns.h"

#include <stdint.h>
#include <string.h>

#define CELL_ROOM 1024

/* Characters that take two columns, or none, on common terminals (Unicode 15, East Asian Width; the
 * ranges are rounded to whole blocks). */
static const struct {
	uint32_t first, last;
	unsigned width;
} odd_widths[] = {
	{ 0x0300, 0x036f, 0 }, { 0x1100, 0x115f, 2 },   { 0x200b, 0x200d, 0 },
	{ 0x2e80, 0xa4cf, 2 }, { 0xac00, 0xd7a3, 2 },   { 0xf900, 0xfaff, 2 },
	{ 0xfe00, 0xfe0f, 0 }, { 0xfe30, 0xfe6f, 2 },   { 0xff00, 0xff60, 2 },
	{ 0xffe0, 0xffe6, 2 }, { 0x1f300, 0x1faff, 2 }, { 0x20000, 0x3fffd, 2 },
};

/* The character at @at: its bytes go to *@ret_length, its columns are returned. */
static unsigned measure(const char *at, size_t *ret_length)
{
	unsigned char first = (unsigned char)*at;
	uint32_t point = first < 0x80 ? first : first < 0xe0 ? first & 0x1f : first & 0x0f;
	size_t length = 1;

	if (first >= 0xf0)
		point = first & 0x07;
	while (first >= 0xc0 && ((unsigned char)at[length] & 0xc0) == 0x80 && length < 4)
		point = point << 6 | ((unsigned char)at[length++] & 0x3f);
	*ret_length = length;
	for (size_t i = 0; i < sizeof odd_widths / sizeof *odd_widths; i++)
		if (point >= odd_widths[i].first && point <= odd_widths[i].last)
			return odd_widths[i].width;
	return 1;
}

size_t tw_columns_of(const char *text)
{
	size_t columns = 0, length;

	for (; *text; text += length)
		columns += measure(text, &length);
	return columns;
}

size_t tw_columns_prefix(const char *text, size_t width)
{
	size_t columns = 0, used = 0, length;

	while (text[used]) {
		columns += measure(text + used, &length);
		if (columns > width && used > 0)
			break;
		used += length;
	}
	return used;
}

static void put(char *ret, size_t room, size_t *used, const char *bytes, size_t length)
{
	if (*used + length + 1 > room)
		return;
	memcpy(ret + *used, bytes, length);
	*used += length;
	ret[*used] = '\0';
}

const char *tw_columns_fit(const char *text, size_t width, bool right, char *ret, size_t room)
{
	static const char ellipsis[] = "\u2026";
	size_t columns = tw_columns_of(text), used = 0, at = 0, length;
	bool cut = columns > width;

	ret[0] = '\0';
	for (size_t i = columns; right && i < width; i++)
		put(ret, room, &used, " ", 1);
	while (*text) {
		unsigned here = measure(text, &length);

		if (at + here > (cut ? width - (width > 0) : width))
			break;
		put(ret, room, &used, text, length);
		at += here;
		text += length;
	}
	if (cut && width > 0) {
		put(ret, room, &used, ellipsis, sizeof ellipsis - 1);
		at++;
	}
	for (; (cut || !right) && at < width; at++)
		put(ret, room, &used, " ", 1);
	return ret;
}

/* What is left of the screen for the column that grows. */
static unsigned spare_columns(const struct tw_column *columns, size_t count, unsigned screen)
{
	unsigned taken = 0;

	for (size_t i = 0; i < count; i++)
		if (columns[i].needs <= screen)
			taken += columns[i].width + (taken > 0);
	return screen > taken ? screen - taken : 0;
}

void tw_columns_line(FILE *to, const struct tw_column *columns, size_t count,
		     const char *const *cells, unsigned screen)
{
	unsigned spare = spare_columns(columns, count, screen), used = 0, gap = 0;
	char cell[CELL_ROOM];

	for (size_t i = 0; i < count; i++) {
		unsigned width = columns[i].width + (columns[i].grows ? spare : 0);
		size_t length;

		if (columns[i].needs > screen || used >= screen)
			continue;
		if (width > screen - used)
			width = screen - used;
		tw_columns_fit(cells[i], width, columns[i].right, cell, sizeof cell);
		/* Spaces are written once something follows them. */
		length = strlen(cell);
		while (length > 0 && cell[length - 1] == ' ')
			length--;
		if (length > 0)
			fprintf(to, "%*s%.*s", (int)gap, "", (int)length, cell);
		gap = (length > 0 ? 0 : gap) + (unsigned)(strlen(cell) - length) + 1;
		used += width + 1;
	}
}
