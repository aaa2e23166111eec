/*
 * controller.h - a rate controller: samples in, a pacing rate and a window out. One file and one
 * const vtable each: `fixed` holds the rate asked for; `bbr` follows a model of the path (delivery
 * rate, minimum round trip) and tolerates loss that comes without queueing; `delay` holds the
 * queueing delay small and shares a path alike; `ledbat` gives way to everybody.
 *
 * Rate first, window second: the pacing rate rules, the window only stops a sender whose
 * acknowledgements fail to come. The limits sit outside the algorithms and always hold: whatever a
 * controller wants, tw_rate_controller_pacing() stays within [min, max], and the window never
 * pushes the rate below min.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"
#include "rate/bbr.h"
#include "rate/delay.h"
#include "rate/ledbat.h"
#include "rate/pacer.h"
#include "rate/path.h"
#include "rate/sample.h"

enum tw_rate_method {
	TW_RATE_FIXED = 0,
	TW_RATE_BBR,
	TW_RATE_DELAY,
	TW_RATE_LEDBAT,
	TW_RATE_METHOD_COUNT,
};

/* Where nobody asks for another: the one that wins the evaluation in docs/rate-control.md. */
#define TW_RATE_DEFAULT TW_RATE_DELAY

struct tw_rate_limits {
	/* `fixed`: the rate to hold. Others: where to start, 0 for the default */
	uint64_t rate_bps;
	uint64_t min_bps; /* 0: no minimum */
	uint64_t max_bps; /* UINT64_MAX: no maximum */
};

struct tw_rate_controller {
	const struct tw_rate_ops *ops;
	enum tw_rate_method method;
	struct tw_rate_limits limits;
	uint32_t datagram_bytes; /* current full datagram, UDP payload */
	uint64_t pacing_bps;     /* what the algorithm wants, before the limits */
	uint64_t window_bytes;
	struct tw_rate_hint hint; /* of an earlier connection; rate 0: none */
	/* the next so many bytes at another rate, see pacer.h; 0: no */
	uint64_t lead_bytes, lead_bps;
	union {
		struct tw_bbr bbr;
		struct tw_delay delay;
		struct tw_ledbat ledbat;
	};
};

struct tw_rate_ops {
	const char *name;
	void (*init)(struct tw_rate_controller *controller, const struct tw_path_model *path,
		     tw_ns now);
	/* controller->limits are new; @before is what they were. */
	void (*limits)(struct tw_rate_controller *controller, const struct tw_path_model *path,
		       const struct tw_rate_limits *before, tw_ns now);
	/* After tw_path_model_update() with the same sample. */
	void (*sample)(struct tw_rate_controller *controller, const struct tw_path_model *path,
		       const struct tw_rate_sample *sample);
	/* A probe timeout: nothing was acknowledged for so long. Must leave a way back up. */
	void (*timeout)(struct tw_rate_controller *controller, const struct tw_path_model *path,
			tw_ns now);
	/* The path's address changed. */
	void (*path_changed)(struct tw_rate_controller *controller,
			     const struct tw_path_model *path, tw_ns now);
};

/* "fixed", "bbr", "delay", "ledbat"; false for an unknown name. */
bool tw_rate_method_parse(const char *name, enum tw_rate_method *ret);
const char *tw_rate_method_name(enum tw_rate_method method);

void tw_rate_controller_init(struct tw_rate_controller *controller, enum tw_rate_method method,
			     const struct tw_rate_limits *limits, const struct tw_path_model *path,
			     tw_ns now);
/* What an earlier connection to the same destination left; right after tw_rate_controller_init(),
 * with the same @path and @now. */
void tw_rate_controller_hint(struct tw_rate_controller *controller, const struct tw_rate_hint *hint,
			     const struct tw_path_model *path, tw_ns now);
/* Live change; in effect with the next datagram. A new method starts from what @path knows. */
void tw_rate_controller_set(struct tw_rate_controller *controller, enum tw_rate_method method,
			    const struct tw_rate_limits *limits, const struct tw_path_model *path,
			    tw_ns now);
void tw_rate_controller_sample(struct tw_rate_controller *controller,
			       const struct tw_path_model *path,
			       const struct tw_rate_sample *sample);
void tw_rate_controller_timeout(struct tw_rate_controller *controller,
				const struct tw_path_model *path, tw_ns now);
void tw_rate_controller_path_changed(struct tw_rate_controller *controller,
				     const struct tw_path_model *path, tw_ns now);
void tw_rate_controller_datagram_size(struct tw_rate_controller *controller,
				      uint32_t datagram_bytes);
/* The rate to pace at, within the limits, in bits of UDP payload per second; never 0. */
uint64_t tw_rate_controller_pacing(const struct tw_rate_controller *controller);
/* Sets the pacer to that rate, and hands it the lead that the algorithm asks for, once. */
void tw_rate_controller_pace(struct tw_rate_controller *controller, struct tw_pacer *pacer,
			     tw_ns now);
/*
 * The most bytes that may be in flight; at least four datagrams and min_bps over two round trips
 * and a quarter, on a near path no more than is worth it (path.h) beyond that.
 */
uint64_t tw_rate_controller_window(const struct tw_rate_controller *controller,
				   const struct tw_path_model *path);
