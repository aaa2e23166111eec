/*
 * board.h - draws an overview as text: a headline, the connections, the transfers. Lines are as
 * wide as the screen at most; colours only where they are asked for.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "cli/overview.h"

#define TW_BOARD_LEFT 32

struct tw_board {
	const struct tw_overview *now, *before; /* @before may be NULL */
	unsigned columns;
	unsigned lines; /* 0: all of it; else no more, and @skip says where the transfers begin */
	size_t skip;
	enum tw_overview_key key;
	bool colours;
};

/* Whether to colour what goes to @fd: a terminal, and NO_COLOR is not set (no-color.org). */
bool tw_board_colours(int fd);
/* Columns of the terminal at @fd, 80 where there is none; lines go to *@ret_lines (may be NULL). */
unsigned tw_board_columns(int fd, unsigned *ret_lines);
/* Returns how many transfers there are in all. */
size_t tw_board_draw(FILE *to, const struct tw_board *board);
enum tw_board_form { TW_BOARD_TEXT, TW_BOARD_JSON, TW_BOARD_JSON_LINE };
/* Once, to standard output. An exit code. */
int tw_board_print(const struct tw_board *board, enum tw_board_form form);
/* "1:05", "2:03:10", "3d04h", "-" for negative ones. Returns @ret. */
const char *tw_board_left(double seconds, char ret[TW_BOARD_LEFT]);
