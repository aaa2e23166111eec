/*
 * loss.h - which packets a direction loses.
 *
 * Independent: every packet with the same probability. In bursts (Gilbert-Elliott with a bad state
 * that loses everything): given the mean share lost p and the mean length of a run of losses n, the
 * bad state is left with probability 1/n per packet and entered with p / (n (1 - p)), which makes p
 * the share of time spent in it.
 */
#pragma once

#include "random.h"

struct link_loss {
	double share;
	double enter;
	double leave;
	bool in_bursts;
	bool bad;
	bool last_lost;
	uint64_t runs;                  /* runs of packets lost one after another */
};

/* @burst: mean run length in packets, 0 for independent losses. Keeps the count of runs. */
void link_loss_set(struct link_loss *loss, double share, double burst);

/* True if the next packet is lost. */
bool link_loss_draw(struct link_loss *loss, struct link_random *random);
