/*
 * fixed.c - holds the rate asked for, whatever the path does. The window lets that rate flow over
 * any path that still acknowledges: it only stops a sender whose acknowledgements fail to come.
 */
#include "rate/fixed.h"

#include "rate/units.h"

/* Acknowledgements that are late or lost for so long do not slow a fixed rate down. */
#define WINDOW_SLACK (200 * TW_MSEC)
#define DEFAULT_BPS UINT64_C(10000000)

static void hold(struct tw_rate_controller *controller, const struct tw_path_model *path)
{
	uint64_t rate = controller->limits.rate_bps > 0 ? controller->limits.rate_bps : DEFAULT_BPS;

	controller->pacing_bps = rate;
	if (rate > controller->limits.max_bps)
		rate = controller->limits.max_bps;
	if (rate < controller->limits.min_bps)
		rate = controller->limits.min_bps;
	controller->window_bytes = tw_rate_bytes(rate, 2 * tw_path_model_pto(path) + WINDOW_SLACK);
}

static void start(struct tw_rate_controller *controller, const struct tw_path_model *path,
		  tw_ns now)
{
	(void)now;
	hold(controller, path);
}

static void limits(struct tw_rate_controller *controller, const struct tw_path_model *path,
		   const struct tw_rate_limits *before, tw_ns now)
{
	(void)before;
	(void)now;
	hold(controller, path);
}

static void sample(struct tw_rate_controller *controller, const struct tw_path_model *path,
		   const struct tw_rate_sample *newest)
{
	(void)newest;
	hold(controller, path);
}

const struct tw_rate_ops tw_rate_fixed_ops = {
	.name = "fixed",
	.init = start,
	.limits = limits,
	.sample = sample,
	.timeout = start,
	.path_changed = start,
};
