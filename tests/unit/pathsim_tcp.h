/*
 * pathsim_tcp.h - TCP's two kinds as neighbours on a simulated path: cubic (RFC 9438 with HyStart)
 * and the first bbr (draft-cardwell-iccrg-bbr-congestion-control-00), as far as they matter to
 * those who share a queue with them. Both acknowledge every millisecond.
 */
#pragma once

#include <math.h>
#include <stddef.h>

#include "pathsim.h"

#define TCP_WINDOW_INITIAL (10 * SIM_DATAGRAM)

static inline struct sim_flow *tcp_flow(struct tw_rate_controller *controller)
{
	return (struct sim_flow *)((char *)controller - offsetof(struct sim_flow, controller));
}

/* cubic */

static inline void cubic_publish(struct sim_flow *flow)
{
	struct tw_rate_controller *controller = &flow->controller;
	bool slow_start = flow->tcp.window < flow->tcp.slow_start_max;

	controller->window_bytes = (uint64_t)flow->tcp.window;
	controller->pacing_bps =
		tw_rate_scale(tw_rate_of(controller->window_bytes, flow->path.rtt_smoothed),
			      slow_start ? 2 : 1.2);
}

/* Slow start ends when a round's lowest round trip is an eighth (4 to 16 ms) above the last one's.
 */
static inline void cubic_hystart(struct sim_tcp *tcp, const struct tw_rate_sample *sample)
{
	tw_ns above = tw_ns_min(tw_ns_max(tcp->round_lowest_before / 8, 4 * TW_MSEC), 16 * TW_MSEC);

	if (sample->round_start) {
		tcp->round_lowest_before = tcp->round_lowest;
		tcp->round_lowest = TW_NEVER;
	}
	if (sample->rtt > 0)
		tcp->round_lowest = tw_ns_min(tcp->round_lowest, sample->rtt);
	if (tcp->round_lowest != TW_NEVER && tcp->round_lowest_before != TW_NEVER &&
	    tcp->round_lowest > tcp->round_lowest_before + above)
		tcp->slow_start_max = tcp->window;
}

static inline void cubic_sample(struct tw_rate_controller *controller,
				const struct tw_path_model *path,
				const struct tw_rate_sample *sample)
{
	struct sim_flow *flow = tcp_flow(controller);
	struct sim_tcp *tcp = &flow->tcp;

	if (sample->lost_bytes > 0 && sample->now >= tcp->recovery_until) {
		/* 4.7: the room for others is made larger when the last maximum was not reached. */
		tcp->window_max = tcp->window < tcp->window_max ? tcp->window * 0.85 : tcp->window;
		tcp->window *= 0.7;
		tcp->slow_start_max = tcp->window_epoch = tcp->window;
		tcp->epoch = sample->now;
		tcp->recovery_until = sample->now + path->rtt_smoothed;
	} else if (tcp->window < tcp->slow_start_max) {
		tcp->window += (double)sample->acked_bytes;
		cubic_hystart(tcp, sample);
	} else {
		/* K is where the curve is back at the maximum; all in datagrams and seconds. */
		double rtt = (double)path->rtt_smoothed / (double)TW_SECOND;
		double k = cbrt(tcp->window_max * 0.3 / SIM_DATAGRAM / 0.4);
		double t = (double)(sample->now - tcp->epoch) / (double)TW_SECOND;
		double curve = 0.4 * pow(t + rtt - k, 3) * SIM_DATAGRAM + tcp->window_max;
		double reno = tcp->window_epoch + 0.53 * t / rtt * SIM_DATAGRAM;
		double target = curve > reno ? curve : reno;
		double most = 1.5 * tcp->window;

		target = target < most ? target : most;
		if (target > tcp->window)
			tcp->window +=
				(target - tcp->window) * (double)sample->acked_bytes / tcp->window;
	}
	if (tcp->window < 2 * SIM_DATAGRAM)
		tcp->window = 2 * SIM_DATAGRAM;
	cubic_publish(flow);
}

static inline void cubic_timeout(struct tw_rate_controller *controller,
				 const struct tw_path_model *path, tw_ns now)
{
	struct sim_flow *flow = tcp_flow(controller);

	(void)path;
	/* The first is the tail's probe. */
	if (flow->pto_count == 2) {
		flow->tcp.window_max = flow->tcp.window;
		flow->tcp.slow_start_max = 0.7 * flow->tcp.window;
		flow->tcp.window = 2 * SIM_DATAGRAM;
		flow->tcp.recovery_until = now;
	}
	cubic_publish(flow);
}

static const struct tw_rate_ops cubic_ops = {
	.name = "cubic",
	.sample = cubic_sample,
	.timeout = cubic_timeout,
};

/* bbr */

enum { TCP_BBR_STARTUP, TCP_BBR_DRAIN, TCP_BBR_PROBE_BW, TCP_BBR_PROBE_RTT };

static inline uint64_t tcp_bbr_rate(const struct sim_tcp *tcp)
{
	uint64_t best = 0;

	for (unsigned i = 0; i < 10; i++)
		if (tcp->rates[i] > best)
			best = tcp->rates[i];
	return best;
}

static inline void tcp_bbr_publish(struct sim_flow *flow)
{
	static const double cycle[] = { 1.25, 0.75, 1, 1, 1, 1, 1, 1 };
	struct sim_tcp *tcp = &flow->tcp;
	uint64_t rate = tcp_bbr_rate(tcp);
	double bdp = (double)tw_rate_bytes(rate, tcp->base), gain = 2, pace = 1;

	switch (tcp->mode) {
	case TCP_BBR_STARTUP:
		gain = pace = 2.885;
		break;
	case TCP_BBR_DRAIN:
		gain = 2.885;
		pace = 1 / 2.885;
		break;
	case TCP_BBR_PROBE_BW:
		pace = cycle[tcp->phase];
		break;
	default:
		break;
	}
	if (rate == 0)
		rate = tw_rate_of(TCP_WINDOW_INITIAL, flow->path.rtt_smoothed);
	/* The kernel's is 1 % below what it means. */
	flow->controller.pacing_bps = tw_rate_scale(rate, 0.99 * pace);
	tcp->window = gain * bdp + 3 * SIM_DATAGRAM;
	if (tcp->mode == TCP_BBR_PROBE_RTT)
		tcp->window = 4 * SIM_DATAGRAM;
	else if (tcp->window < TCP_WINDOW_INITIAL)
		tcp->window = TCP_WINDOW_INITIAL;
	flow->controller.window_bytes = (uint64_t)tcp->window;
}

static inline void tcp_bbr_round(struct sim_tcp *tcp)
{
	uint64_t rate = tcp_bbr_rate(tcp);

	tcp->rates[++tcp->round % 10] = 0;
	if (tcp->mode != TCP_BBR_STARTUP)
		return;
	if (rate >= tw_rate_scale(tcp->full_bps, 1.25)) {
		tcp->full_bps = rate;
		tcp->flat = 0;
	} else if (++tcp->flat >= 3) {
		tcp->mode = TCP_BBR_DRAIN;
	}
}

static inline void tcp_bbr_step(struct sim_flow *flow, const struct tw_rate_sample *sample)
{
	struct sim_tcp *tcp = &flow->tcp;
	double bdp = (double)tw_rate_bytes(tcp_bbr_rate(tcp), tcp->base);
	double in_flight = (double)sample->in_flight_bytes;

	if (tcp->mode == TCP_BBR_DRAIN && in_flight <= bdp) {
		tcp->mode = TCP_BBR_PROBE_BW;
		tcp->phase = (uint8_t)(2 + flow->largest_acked % 6);
		tcp->cycle_at = sample->now;
	} else if (tcp->mode == TCP_BBR_PROBE_BW) {
		bool over = sample->now - tcp->cycle_at > tcp->base;

		if (tcp->phase == 0)
			over = over && (sample->lost_bytes > 0 || in_flight >= 1.25 * bdp);
		else if (tcp->phase == 1)
			over = over || in_flight <= bdp;
		if (over) {
			tcp->phase = (uint8_t)((tcp->phase + 1) % 8);
			tcp->cycle_at = sample->now;
		}
	} else if (tcp->mode == TCP_BBR_PROBE_RTT) {
		if (in_flight > 4 * SIM_DATAGRAM && tcp->cycle_at == TW_NEVER)
			return;
		if (tcp->cycle_at == TW_NEVER)
			tcp->cycle_at = sample->now;
		if (sample->now - tcp->cycle_at < 200 * TW_MSEC)
			return;
		tcp->base_at = tcp->cycle_at = sample->now;
		tcp->phase = 2;
		tcp->mode = tcp->full_bps > 0 ? TCP_BBR_PROBE_BW : TCP_BBR_STARTUP;
	}
}

static inline void tcp_bbr_sample(struct tw_rate_controller *controller,
				  const struct tw_path_model *path,
				  const struct tw_rate_sample *sample)
{
	struct sim_flow *flow = tcp_flow(controller);
	struct sim_tcp *tcp = &flow->tcp;

	(void)path;
	if (sample->round_start)
		tcp_bbr_round(tcp);
	if (sample->delivery_rate_bps > tcp->rates[tcp->round % 10])
		tcp->rates[tcp->round % 10] = sample->delivery_rate_bps;
	if (sample->rtt > 0 && sample->rtt <= tcp->base) {
		tcp->base = sample->rtt;
		if (tcp->mode != TCP_BBR_PROBE_RTT)
			tcp->base_at = sample->now;
	}
	if (tcp->mode != TCP_BBR_PROBE_RTT && sample->now - tcp->base_at > 10 * TW_SECOND) {
		tcp->mode = TCP_BBR_PROBE_RTT;
		tcp->cycle_at = TW_NEVER;
		tcp->base = sample->rtt;
	}
	tcp_bbr_step(flow, sample);
	tcp_bbr_publish(flow);
}

static inline void tcp_bbr_timeout(struct tw_rate_controller *controller,
				   const struct tw_path_model *path, tw_ns now)
{
	(void)controller;
	(void)path;
	(void)now;
}

static const struct tw_rate_ops tcp_bbr_ops = {
	.name = "TCP bbr",
	.sample = tcp_bbr_sample,
	.timeout = tcp_bbr_timeout,
};

/* Turns a flow into TCP's that starts at @at. */
static inline void sim_begin_tcp(struct sim *sim, unsigned which, const struct tw_rate_ops *ops,
				 tw_ns at)
{
	static const struct tw_rate_limits none = { .max_bps = UINT64_MAX };
	struct sim_flow *flow = &sim->flows[which];

	sim_begin_flow(sim, which, TW_RATE_FIXED, &none, at);
	flow->controller.ops = ops;
	flow->ack_every = TW_MSEC;
	flow->tcp = (struct sim_tcp){
		.window = TCP_WINDOW_INITIAL,
		.slow_start_max = 1e15,
		.round_lowest = TW_NEVER,
		.round_lowest_before = TW_NEVER,
		.base = flow->path.rtt_smoothed,
		.base_at = at,
		.mode = TCP_BBR_STARTUP,
	};
	if (ops == &cubic_ops)
		cubic_publish(flow);
	else
		tcp_bbr_publish(flow);
}
