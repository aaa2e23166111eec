/*
 * cases.h - the tables of named cases.
 */
#pragma once

#include "tape.h"

extern const struct sim_case core_cases[];
extern const size_t core_case_count;
