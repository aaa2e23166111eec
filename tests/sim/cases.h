/*
 * cases.h - the tables of named cases, and cases made from a seed.
 */
#pragma once

#include "tape.h"
#include "transfer.h"

extern const struct sim_case core_cases[], session_cases[], stranger_cases[], many_cases[];
extern const struct sim_case lane_cases[];
extern const size_t core_case_count, session_case_count, stranger_case_count, many_case_count;
extern const size_t lane_case_count;

/* A random situation, with faults that stop in time: it must finish. */
void history_make(uint64_t seed, struct sim_case *ret);
void history_describe(const struct sim_case *test);
