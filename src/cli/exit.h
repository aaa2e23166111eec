/*
 * exit.h - how commands end, and how they speak to people: every message is one line on standard
 * error that begins with the program's name.
 */
#pragma once

enum tw_exit {
	TW_EXIT_DONE = 0,
	TW_EXIT_FAILED = 1,
	TW_EXIT_USAGE = 2,
	TW_EXIT_NOT_AUTHORIZED = 4,
	TW_EXIT_NETWORK = 5,
	TW_EXIT_STORAGE = 6,
};

/* Says that buffer_bytes of a snapshot, in KiB, are too few, and by buffer_advice what mends it. */
#define TW_BUFFER_WORDS                                                                        \
	"the system grants %u KiB of socket buffer, less than this path holds in a round trip; " \
	"give it more with: %s"
void tw_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
