#include "session/lane.h"

#include <stddef.h>

#include "base/error.h"

int tw_lane_new_sending(struct tw_outgoing *outgoing, const struct tw_letter_port *lane_port,
			const struct tw_letter_port *berth_port, tw_ns now,
			struct tw_lane **ret_lane, struct tw_berth **ret_berth)
{
	(void)outgoing;
	(void)lane_port;
	(void)berth_port;
	(void)now;
	(void)ret_lane;
	(void)ret_berth;
	return TW_E_FULL;
}

int tw_lane_new_receiving(const struct tw_lane_receiving *options, tw_ns now,
			  struct tw_lane **ret_lane, struct tw_berth **ret_berth)
{
	(void)options;
	(void)now;
	(void)ret_lane;
	(void)ret_berth;
	return TW_E_FULL;
}

void tw_receiver_moor(struct tw_receiver_hub *hub, struct tw_berth *berth, tw_ns now)
{
	(void)hub;
	(void)berth;
	(void)now;
}

const struct tw_conn_app *tw_lane_app(const struct tw_lane *lane)
{
	(void)lane;
	return NULL;
}

void tw_lane_letter(struct tw_lane *lane, struct tw_letter *letter, tw_ns now)
{
	(void)lane;
	(void)letter;
	(void)now;
}

void tw_lane_flush(struct tw_lane *lane, tw_ns now)
{
	(void)lane;
	(void)now;
}

void tw_lane_tick(struct tw_lane *lane, tw_ns now)
{
	(void)lane;
	(void)now;
}

void tw_lane_close(struct tw_lane *lane, tw_ns now)
{
	(void)lane;
	(void)now;
}

bool tw_lane_is_over(const struct tw_lane *lane)
{
	(void)lane;
	return true;
}

void tw_lane_free(struct tw_lane *lane)
{
	(void)lane;
}

void tw_berth_letter(struct tw_berth *berth, struct tw_letter *letter, tw_ns now)
{
	(void)berth;
	(void)letter;
	(void)now;
}

void tw_berth_tick(struct tw_berth *berth, tw_ns now)
{
	(void)berth;
	(void)now;
}

void tw_berth_close(struct tw_berth *berth, tw_ns now)
{
	(void)berth;
	(void)now;
}

bool tw_berth_is_over(const struct tw_berth *berth)
{
	(void)berth;
	return true;
}

void tw_berth_free(struct tw_berth *berth)
{
	(void)berth;
}

void tw_berth_set_rate(struct tw_berth *berth, enum tw_rate_method method,
		       const struct tw_rate_limits *limits)
{
	(void)berth;
	(void)method;
	(void)limits;
}

void tw_berth_info(const struct tw_berth *berth, struct tw_berth_info *ret)
{
	(void)berth;
	*ret = (struct tw_berth_info){ .running = false };
}

unsigned tw_outgoing_lanes(const struct tw_outgoing *outgoing)
{
	(void)outgoing;
	return 0;
}

unsigned tw_outgoing_lanes_used(const struct tw_outgoing *outgoing)
{
	(void)outgoing;
	return 0;
}
