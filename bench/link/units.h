/*
 * units.h - numbers as people write them: 500M, 50ms, 1%, 64KiB. All return 0, or -EINVAL and leave
 * @ret_value alone.
 */
#pragma once

#include "shaper.h"

/* Bits a second: 500M, 1.5G, 64K; a bare number is Mbit/s. */
int link_units_rate(const char *text, double *ret_value);

/* Nanoseconds: 50ms, 1.5s, 200us; a bare number is milliseconds. */
int link_units_time(const char *text, double *ret_value);

/* A share of 1: 1%, 0.01. */
int link_units_share(const char *text, double *ret_value);

/* A plain number that is not negative. */
int link_units_number(const char *text, double *ret_value);

/* 256K (1000), 64KiB (1024), 20ms, 1bdp; a bare number is bytes. */
int link_units_queue(const char *text, double *ret_value, enum link_queue_unit *ret_unit);
