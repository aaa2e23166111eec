/*
 * fixed.h - the controller that holds a rate; see fixed.c.
 */
#pragma once

#include "rate/controller.h"

extern const struct tw_rate_ops tw_rate_fixed_ops;
