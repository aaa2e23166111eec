/*
 * password.h - passwords of tokens, kept as scrypt hashes (RFC 7914) with a salt of their own.
 * Either function takes some 40 ms and 16 MiB, and may be called on any thread.
 */
#pragma once

#include <stdbool.h>

/* malloc'd text by which tw_password_check() knows @password again; NULL: no memory. */
char *tw_password_make(const char *password);
bool tw_password_check(const char *made, const char *password);
/* One that no password is right for, to take the same time where there is nothing to compare. */
extern const char tw_password_nobody[];
