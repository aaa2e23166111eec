/*
 * screen.h - a whole terminal for one program: the alternate screen, keys without a line break, and
 * everything as it was before at the end, whichever end it is: a key, a signal, a crash, a pause
 * with Ctrl-Z.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum tw_screen_key {
	TW_KEY_NONE, /* the time is over */
	TW_KEY_RESIZED,
	TW_KEY_QUIT, /* a signal, or the terminal is gone */
	TW_KEY_UP,
	TW_KEY_DOWN,
	TW_KEY_PAGE_UP,
	TW_KEY_PAGE_DOWN,
	TW_KEY_CHARACTER, /* others are the characters themselves from here on */
};

/* Takes the terminal at standard input and output. One at a time. -errno; -ENOTTY: it is none. */
int tw_screen_open(void);
void tw_screen_close(void);
/* Replaces what the screen shows by @text, lines ended by line breaks. */
void tw_screen_show(const char *text);
/* Waits for a key for @timeout_ms at most. A character is TW_KEY_CHARACTER + the character. */
int tw_screen_key(int timeout_ms);
