#include "rate/controller.h"

#include <assert.h>
#include <string.h>

#include "rate/bbr.h"
#include "rate/fixed.h"
#include "rate/units.h"

#define WINDOW_DATAGRAMS_MIN 4
#define DATAGRAM_BYTES_INITIAL 1200

static const struct tw_rate_ops *const methods[] = {
	[TW_RATE_FIXED] = &tw_rate_fixed_ops,
	[TW_RATE_BBR] = &tw_rate_bbr_ops,
	[TW_RATE_DELAY] = &tw_rate_delay_ops,
	[TW_RATE_LEDBAT] = &tw_rate_ledbat_ops,
};
static_assert(sizeof(methods) / sizeof(methods[0]) == TW_RATE_METHOD_COUNT,
	      "a row for each method");

bool tw_rate_method_parse(const char *name, enum tw_rate_method *ret)
{
	for (unsigned i = 0; i < TW_RATE_METHOD_COUNT; i++) {
		if (strcmp(name, methods[i]->name) == 0) {
			*ret = (enum tw_rate_method)i;
			return true;
		}
	}
	return false;
}

const char *tw_rate_method_name(enum tw_rate_method method)
{
	assert(method < TW_RATE_METHOD_COUNT);
	return methods[method]->name;
}

static void begin(struct tw_rate_controller *controller, enum tw_rate_method method,
		  uint32_t datagram_bytes, const struct tw_rate_limits *limits)
{
	assert(method < TW_RATE_METHOD_COUNT);
	*controller = (struct tw_rate_controller){
		.ops = methods[method],
		.method = method,
		.limits = *limits,
		.datagram_bytes = datagram_bytes,
	};
}

void tw_rate_controller_init(struct tw_rate_controller *controller, enum tw_rate_method method,
			     const struct tw_rate_limits *limits, const struct tw_path_model *path,
			     tw_ns now)
{
	begin(controller, method, DATAGRAM_BYTES_INITIAL, limits);
	controller->ops->init(controller, path, now);
}

void tw_rate_controller_hint(struct tw_rate_controller *controller, const struct tw_rate_hint *hint,
			     const struct tw_path_model *path, tw_ns now)
{
	controller->hint = *hint;
	if (tw_rate_hint_fits(hint, path))
		controller->ops->init(controller, path, now);
}

void tw_rate_controller_set(struct tw_rate_controller *controller, enum tw_rate_method method,
			    const struct tw_rate_limits *limits, const struct tw_path_model *path,
			    tw_ns now)
{
	struct tw_rate_limits before = controller->limits;

	if (method == controller->method) {
		controller->limits = *limits;
		controller->ops->limits(controller, path, &before, now);
		return;
	}
	begin(controller, method, controller->datagram_bytes, limits);
	controller->ops->init(controller, path, now);
}

void tw_rate_controller_sample(struct tw_rate_controller *controller,
			       const struct tw_path_model *path,
			       const struct tw_rate_sample *sample)
{
	controller->ops->sample(controller, path, sample);
}

void tw_rate_controller_timeout(struct tw_rate_controller *controller,
				const struct tw_path_model *path, tw_ns now)
{
	controller->ops->timeout(controller, path, now);
}

void tw_rate_controller_path_changed(struct tw_rate_controller *controller,
				     const struct tw_path_model *path, tw_ns now)
{
	controller->ops->path_changed(controller, path, now);
}

void tw_rate_controller_datagram_size(struct tw_rate_controller *controller,
				      uint32_t datagram_bytes)
{
	assert(datagram_bytes > 0);
	controller->datagram_bytes = datagram_bytes;
}

/* A minimum above the maximum gives way: the maximum is the promise to others. */
uint64_t tw_rate_controller_pacing(const struct tw_rate_controller *controller)
{
	uint64_t rate = controller->pacing_bps;

	if (rate < controller->limits.min_bps)
		rate = controller->limits.min_bps;
	if (rate > controller->limits.max_bps)
		rate = controller->limits.max_bps;
	return rate > 0 ? rate : 1;
}

void tw_rate_controller_pace(struct tw_rate_controller *controller, struct tw_pacer *pacer,
			     tw_ns now)
{
	uint64_t lead = controller->lead_bps;

	tw_pacer_set_rate(pacer, tw_rate_controller_pacing(controller), now);
	if (lead > controller->limits.max_bps)
		lead = controller->limits.max_bps;
	tw_pacer_lead(pacer, controller->lead_bytes, lead, now);
	controller->lead_bytes = 0;
}

uint64_t tw_rate_controller_window(const struct tw_rate_controller *controller,
				   const struct tw_path_model *path)
{
	uint64_t window = controller->window_bytes;
	uint64_t least = (uint64_t)WINDOW_DATAGRAMS_MIN * controller->datagram_bytes;
	uint64_t floor_bps = controller->limits.min_bps;

	if (path->near && window > TW_PATH_NEAR_BYTES)
		window = TW_PATH_NEAR_BYTES;
	if (window < least)
		window = least;
	if (floor_bps > controller->limits.max_bps)
		floor_bps = controller->limits.max_bps;
	/* What was sent faster a moment ago is on its way, too. */
	least = tw_rate_bytes(floor_bps,
			      2 * path->rtt_smoothed + path->rtt_smoothed / 4 + TW_RTT_GRANULARITY);
	return window > least ? window : least;
}
