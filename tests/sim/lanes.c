#include "lanes.h"

#include <stdio.h>
#include <stdlib.h>

#define LAG_LEAST 2000.0
#define LAG_MOST 300000.0

static void deliver(void *context)
{
	struct sim_letters *letters = context;
	struct sim_host *host = letters->lanes->host;

	while (letters->first) {
		struct tw_letter *letter = letters->first;

		letters->first = letter->next;
		if (letters->to_berth)
			tw_berth_letter(letters->lane->berth, letter, host->sim->now);
		else
			tw_lane_letter(letters->lane->lane, letter, host->sim->now);
	}
	sim_host_wake(host);
}

static void post(void *context, struct tw_letter *letter)
{
	struct sim_letters *letters = context;
	struct sim *sim = letters->lanes->host->sim;

	letter->next = NULL;
	if (letters->first)
		letters->last->next = letter;
	else
		letters->first = letter;
	letters->last = letter;
	if (!letters->event.place)
		sim_set(sim, &letters->event,
			sim->now + (tw_ns)sim_between(sim, LAG_LEAST, LAG_MOST));
}

static void letters_init(struct sim_letters *letters, struct sim_lanes *lanes,
			 struct sim_lane *lane, bool to_berth)
{
	*letters = (struct sim_letters){ .lanes = lanes, .lane = lane, .to_berth = to_berth };
	letters->event = (struct sim_event){ .fire = deliver, .context = letters };
}

void sim_lanes_init(struct sim_lanes *lanes, struct sim_host *host)
{
	lanes->host = host;
	for (unsigned i = 0; i < SIM_LANES_ROOM; i++) {
		struct sim_lane *lane = &lanes->lanes[i];

		letters_init(&lane->to_lane, lanes, lane, false);
		letters_init(&lane->to_berth, lanes, lane, true);
	}
}

static struct sim_lane *free_one(struct sim_lanes *lanes)
{
	for (unsigned i = 0; i < SIM_LANES_ROOM; i++) {
		if (!lanes->lanes[i].lane && !lanes->lanes[i].berth)
			return &lanes->lanes[i];
	}
	return NULL;
}

static void must(const char *what, int error)
{
	if (!error)
		return;
	fprintf(stderr, "lanes: %s: %d\n", what, error);
	abort();
}

void sim_lanes_open(struct sim_lanes *lanes, struct tw_outgoing *outgoing, unsigned count,
		    const struct tw_connect *connect)
{
	struct tw_connect further = *connect;
	struct tw_conn *conn;

	if (count > tw_outgoing_lanes(outgoing))
		count = tw_outgoing_lanes(outgoing);
	while (tw_outgoing_lanes_used(outgoing) < count) {
		struct sim_lane *lane = free_one(lanes);

		if (!lane)
			return;
		const struct tw_letter_port to_berth = { post, &lane->to_berth },
					    to_lane = { post, &lane->to_lane };

		must("sending",
		     tw_lane_new_sending(outgoing, &to_berth, &to_lane, lanes->host->sim->now,
					 &lane->lane, &lane->berth));
		further.config.lane = 1 + lanes->opened % TW_LANES_MAX;
		further.app = tw_lane_app(lane->lane);
		further.app_context = lane->lane;
		must("connect", tw_endpoint_connect(lanes->host->endpoint, &further,
						    lanes->host->sim->now, &conn));
		tw_lane_dialled(lane->lane, conn);
		lanes->opened++;
	}
}

enum tw_verdict sim_lanes_admit(struct sim_lanes *lanes, struct tw_receiver_hub *hub,
				const struct tw_public_key *peer,
				const struct tw_conn_app **ret_app, void **ret_context)
{
	struct sim_lane *lane = free_one(lanes);

	if (!lane)
		return TW_ACCEPT_BUSY;
	const struct tw_lane_receiving options = {
		.peer = *peer,
		.lane_port = { post, &lane->to_berth },
		.berth_port = { post, &lane->to_lane },
		.hold_buffer = lanes->hold_buffer,
		.drop_buffer = lanes->drop_buffer,
		.buffer_context = lanes->buffer_context,
	};

	must("receiving",
	     tw_lane_new_receiving(&options, lanes->host->sim->now, &lane->lane, &lane->berth));
	tw_receiver_moor(hub, lane->berth, lanes->host->sim->now);
	*ret_app = tw_lane_app(lane->lane);
	*ret_context = lane->lane;
	return TW_ACCEPT_YES;
}

static void lane_turn(struct sim_lane *lane, tw_ns now, bool tick)
{
	if (lane->lane) {
		tw_lane_flush(lane->lane, now);
		if (tick)
			tw_lane_tick(lane->lane, now);
	}
	if (lane->berth && tick)
		tw_berth_tick(lane->berth, now);
	if (lane->lane && tw_lane_is_over(lane->lane)) {
		tw_lane_free(lane->lane);
		lane->lane = NULL;
	}
	if (lane->berth && tw_berth_is_over(lane->berth)) {
		tw_berth_free(lane->berth);
		lane->berth = NULL;
	}
}

void sim_lanes_turn(struct sim_lanes *lanes, tw_ns now, bool tick)
{
	for (unsigned i = 0; i < SIM_LANES_ROOM; i++)
		lane_turn(&lanes->lanes[i], now, tick);
}

void sim_lanes_close_one(struct sim_lanes *lanes)
{
	struct tw_berth_info info;

	for (unsigned i = 0; i < SIM_LANES_ROOM; i++) {
		struct sim_lane *lane = &lanes->lanes[i];

		if (!lane->lane || !lane->berth)
			continue;
		tw_berth_info(lane->berth, &info);
		if (!info.running)
			continue;
		sim_note(lanes->host->sim, "lane %u of host %u is closed", i, lanes->host->side);
		tw_lane_close(lane->lane, lanes->host->sim->now);
		sim_host_wake(lanes->host);
		return;
	}
}

void sim_lanes_drop(struct sim_lanes *lanes)
{
	for (unsigned i = 0; i < SIM_LANES_ROOM; i++) {
		struct sim_lane *lane = &lanes->lanes[i];

		sim_set(lanes->host->sim, &lane->to_lane.event, TW_NEVER);
		sim_set(lanes->host->sim, &lane->to_berth.event, TW_NEVER);
		lane->to_lane.first = lane->to_berth.first = NULL;
		tw_berth_free(lane->berth);
		tw_lane_free(lane->lane);
		lane->berth = NULL;
		lane->lane = NULL;
	}
}
