/*
 * columns.h - lines of a table on a terminal: text is cut and filled by the columns that it takes,
 * not by its bytes. Cells must be clean already (tw_text_clean()).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct tw_column {
	const char *title;
	unsigned width; /* at least; one column of the table is wider where there is room */
	bool right;     /* numbers */
	bool grows;
	unsigned needs; /* shown on screens of at least so many columns, 0: always */
};

/* How many columns a text takes. */
size_t tw_columns_of(const char *text);
/* How many bytes of a text take at most @width columns; at least one character. */
size_t tw_columns_prefix(const char *text, size_t width);
/* A text of exactly @width columns: cut with an ellipsis, filled with spaces in front (@right) or
 * behind. Returns @ret, which is cut further if @room does not hold it. */
const char *tw_columns_fit(const char *text, size_t width, bool right, char *ret, size_t room);
/* One line of a table, without a line break, as wide as @screen at most. @cells: one a column. */
void tw_columns_line(FILE *to, const struct tw_column *columns, size_t count,
		     const char *const *cells, unsigned screen);
