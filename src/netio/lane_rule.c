#include "netio/lane_rule.h"

/* From which part of a limit on it is what holds back. */
#define LIMIT_TENTHS 9

bool tw_lane_helps(const struct tw_lane_look *look)
{
	double bps;

	if (!look->span || look->load < TW_LANE_LOAD_FULL || look->own <= look->moved / 2)
		return false;
	bps = (double)look->all * 8 * (double)TW_SECOND / (double)look->span;
	return look->max_bps == UINT64_MAX || bps < (double)look->max_bps / 10 * LIMIT_TENTHS;
}
