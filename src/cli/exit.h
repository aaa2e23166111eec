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

void tw_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
