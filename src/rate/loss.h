/*
 * loss.h - which part of the loss is there whatever is sent.
 *
 * Seen apart: the share lost of what was sent above the estimate of the path's rate, and of what
 * was sent at or below it. Loss of the path itself is the same in both; where it is higher above,
 * what is seen below is congestion too, for that part.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* A share of packets lost, and how many packets it was seen on (older ones count less). */
struct tw_loss_seen {
	double share, weight;
};

struct tw_loss {
	struct tw_loss_seen down, up; /* below and above the estimate */
	double base;                  /* share lost whatever rate we send at: what the two say */
};

/* @seen: &loss->up or &loss->down. @share of @packets was lost. */
void tw_loss_learn(struct tw_loss *loss, struct tw_loss_seen *seen, uint64_t packets, double share);
/* The path may be another: what is learned next counts for itself. */
void tw_loss_forget(struct tw_loss *loss);
/* Is that loss more than what is always there, by @margin at least and beyond doubt? */
bool tw_loss_is_excess(const struct tw_loss *loss, uint64_t packets, double share, double margin);
