/*
 * glob.h - patterns over paths: '*' any bytes but '/', '**' any bytes, '?' one byte but '/',
 * "[a-z]" and "[!a-z]" sets, '\' takes the next byte as it is. Bytes, not characters. Time is
 * bounded by pattern times text, squared at most.
 */
#pragma once

#include <stdbool.h>

bool tw_glob_match(const char *pattern, const char *text);
/*
 * Does @pattern name @path? It is tried on the whole path and on its last component. A pattern that
 * ends in '/' is for folders only.
 */
bool tw_glob_match_path(const char *pattern, const char *path, bool folder);
