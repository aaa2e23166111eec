#include "many.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conn_internal.h"

#define TICK_EVERY (20 * TW_MSEC)
#define BLOCKS 48
#define AFTERMATH (5 * TW_SECOND)

struct planned {
	struct many *many;
	struct many_order order;
};

static void must(const char *what, int error)
{
	if (!error)
		return;
	fprintf(stderr, "many: %s: %d\n", what, error);
	abort();
}

static void submit(void *context, struct tw_job *job)
{
	sim_carrier_submit(&((struct many *)context)->carrier, job);
}

static void job_done(void *context, struct tw_job *job)
{
	struct many *many = context;

	tw_sender_job_done(job->owner, job, many->sim.now);
	sim_host_wake(&many->host);
}

/* Lanes. */

static void lane_add(struct many *many, struct many_lane *lane)
{
	const struct tw_job_port port = { submit, many };
	struct tw_sender_options options = {
		.transfer_key = { 7, (uint8_t)(lane->number >> 8), (uint8_t)lane->number },
		.destination = "in",
		.overwrite = TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
		.flags = TW_TRANSFER_READ | TW_TRANSFER_WRITE,
		.checkpoint_seconds = 1,
		.budget = &many->budget,
	};

	must("source", tw_source_new(&many->fs, &lane->source_options, &options.source));
	must("sender", tw_sender_new(&options, &port, many->sim.now, &lane->sender));
	must("seat", tw_outgoing_add(many->outgoing, lane->sender, lane->rank,
				     lane->max_bps ? lane->max_bps : UINT64_MAX));
	if (!lane->attempts++)
		lane->added_at = many->sim.now;
	lane->seated = true;
	many->live++;
}

static void lane_remove(struct many *many, struct many_lane *lane)
{
	tw_outgoing_remove(many->outgoing, lane->sender);
	lane->seated = false;
	many->live--;
}

static void lane_free(struct many_lane *lane)
{
	tw_sender_status(lane->sender, &lane->last);
	lane->sent_before += lane->last.bytes_sent;
	tw_sender_free(lane->sender);
	lane->sender = NULL;
}

static void lane_ended(struct many *many, struct many_lane *lane)
{
	if (lane->last.paused) {
		sim_note(&many->sim, "lane %u pauses at %" PRIu64, lane->number,
			 lane->last.bytes_acked);
	} else if (lane->last.error) {
		sim_fail(&many->sim, "lane %u ended with error %d: %s", lane->number,
			 lane->last.error, lane->last.message);
	} else {
		lane->over = true;
		lane->over_at = many->sim.now;
		sim_note(&many->sim, "lane %u is over", lane->number);
	}
}

static void look_after(struct many *many, struct many_lane *lane)
{
	struct tw_problem problem;

	if (!lane->sender) {
		if (lane->wanted && !lane->over)
			lane_add(many, lane);
		return;
	}
	while (tw_sender_problem(lane->sender, &problem))
		sim_fail(&many->sim, "a problem out of nothing: %s", problem.path);
	if (lane->seated) {
		tw_sender_status(lane->sender, &lane->last);
		if (!tw_sender_farewell_said(lane->sender))
			return;
		lane_ended(many, lane);
		lane_remove(many, lane);
	}
	if (tw_sender_idle(lane->sender))
		lane_free(lane);
}

/* Those that are not ordered begin when there is room. */
static void begin_next(struct many *many)
{
	while (many->live < many->live_max && many->lane_next < many->lane_count) {
		struct many_lane *lane = &many->lanes[many->lane_next++];

		lane->wanted = true;
		lane_add(many, lane);
	}
}

/* The program. */

static void count_connections(struct many *many)
{
	struct tw_conn *conn = tw_outgoing_conn(many->outgoing);

	if (!conn || conn->cid == many->conn_id)
		return;
	many->conn_id = conn->cid;
	many->connections++;
}

static void count_streams(struct many *many, struct tw_endpoint *endpoint)
{
	for (size_t i = 0; endpoint && i < tw_endpoint_count(endpoint); i++) {
		const struct tw_conn *conn = tw_endpoint_conn(endpoint, i);
		size_t count = conn->send_streams.count + conn->receive_streams.count +
			       conn->send_streams.over.count + conn->receive_streams.over.count;

		if (count > many->streams_most)
			many->streams_most = count;
	}
}

static void keep_to_limit(struct many *many)
{
	uint64_t peer = tw_outgoing_peer_max_bps(many->outgoing);
	struct tw_rate_limits limits = { .max_bps = peer };

	if (many->max_bps == peer)
		return;
	many->max_bps = peer;
	tw_dialer_set_rate(many->dialer, TW_RATE_DEFAULT, &limits, many->sim.now);
}

static void check_dialer(struct many *many)
{
	const char *message;
	enum tw_conn_end end;

	if (tw_dialer_failed(many->dialer, &end, &message))
		sim_fail(&many->sim, "the dialer gave up: %d %s", end, message);
}

static struct tw_connect connect_to(const struct many *many)
{
	return (struct tw_connect){ .remote = many->link.hosts[1]->address,
				    .peer_key = many->receiver.identity.public_key,
				    .cipher = TW_CIPHER_128,
				    .config = { .method = TW_RATE_DEFAULT,
						.limits.max_bps = UINT64_MAX } };
}

static void further_turn(struct many *many, tw_ns now)
{
	const struct tw_connect connect = connect_to(many);

	sim_lanes_open(&many->further, many->outgoing, many->test->lanes, &connect);
	sim_lanes_turn(&many->further, now, now >= many->tick_at);
}

static void turn(void *context, tw_ns now)
{
	struct many *many = context;

	if (many->test->lanes)
		further_turn(many, now);
	if (now >= many->tick_at || now >= tw_outgoing_deadline(many->outgoing)) {
		many->tick_at = now + TICK_EVERY;
		tw_outgoing_tick(many->outgoing, now);
	}
	for (unsigned i = 0; i < many->lane_count; i++)
		look_after(many, &many->lanes[i]);
	begin_next(many);
	tw_dialer_tick(many->dialer, now);
	check_dialer(many);
	keep_to_limit(many);
	count_connections(many);
	count_streams(many, many->host.endpoint);
	count_streams(many, many->receiver.host.endpoint);
	if (many->look)
		many->look(many);
}

static tw_ns deadline(void *context)
{
	struct many *many = context;
	tw_ns at = tw_ns_min(many->tick_at, tw_dialer_deadline(many->dialer));

	return tw_ns_min(at, tw_outgoing_deadline(many->outgoing));
}

static const struct sim_program program = { .turn = turn, .deadline = deadline };

static void start_sender(struct many *many)
{
	const struct tw_endpoint_config config = {
		.identity = &many->identity,
		.server_id = { 1 },
		.random = tw_prng_random(&many->prng),
	};
	const struct tw_dialer_options dialer = {
		.remotes = { many->link.hosts[1]->address },
		.remote_count = 1,
		.connect = connect_to(many),
		.first_timeout = 3600 * TW_SECOND,
		.give_up = TW_NEVER,
		.linger = many->test->idle_timeout,
	};
	struct tw_endpoint *endpoint;

	many->lives++;
	many->disk.dead = false;
	many->tick_at = many->sim.now;
	many->max_bps = UINT64_MAX;
	must("endpoint", tw_endpoint_new(&config, many->sim.now, &endpoint));
	must("outgoing", tw_outgoing_new(many->sim.now, &many->outgoing));
	must("dialer",
	     tw_dialer_new(endpoint, many->outgoing, &dialer, many->sim.now, &many->dialer));
	sim_host_start(&many->host, endpoint, &program, many);
}

static void stop_sender(struct many *many)
{
	if (!many->outgoing)
		return;
	many->disk.dead = true;
	sim_host_stop(&many->host);
	tw_dialer_free(many->dialer);
	many->dialer = NULL;
	for (unsigned i = 0; i < many->lane_count; i++) {
		if (many->lanes[i].seated)
			lane_remove(many, &many->lanes[i]);
	}
	sim_carrier_drain(&many->carrier);
	sim_lanes_drop(&many->further);
	for (unsigned i = 0; i < many->lane_count; i++) {
		if (many->lanes[i].sender)
			lane_free(&many->lanes[i]);
	}
	tw_outgoing_free(many->outgoing);
	many->outgoing = NULL;
	if (many->budget.blocks_used)
		sim_fail(&many->sim, "%zu blocks are lost", many->budget.blocks_used);
}

/* Orders. */

static void plan(struct many *many, tw_ns at, void (*fire)(void *), const struct many_order *order)
{
	struct planned *planned = sim_alloc(sizeof(*planned));

	*planned = (struct planned){ many, *order };
	sim_call(&many->sim, at, fire, free, planned);
}

static void undo(void *context)
{
	struct planned planned = *(struct planned *)context;

	free(context);
	if (planned.order.act == MANY_SILENCE)
		sim_link_silence(&planned.many->link, false);
	else if (planned.order.act == MANY_KILL && !planned.many->receiver.up)
		sim_peer_start(&planned.many->receiver);
	else if (planned.order.act == MANY_KILL_SENDER && !planned.many->outgoing)
		start_sender(planned.many);
}

static void set_limit(struct many *many, uint64_t max_bps)
{
	struct tw_endpoint *endpoint = many->receiver.host.endpoint;

	for (size_t i = 0; endpoint && i < tw_endpoint_count(endpoint); i++)
		tw_receiver_set_limit(many->receiver.hub, tw_endpoint_conn(endpoint, i),
				      max_bps ? max_bps : UINT64_MAX);
	sim_host_wake(&many->receiver.host);
}

static void change(struct many *many, struct many_lane *lane)
{
	if (lane->seated)
		tw_outgoing_change(many->outgoing, lane->sender, lane->rank,
				   lane->max_bps ? lane->max_bps : UINT64_MAX);
}

static void act(void *context)
{
	struct planned planned = *(struct planned *)context;
	struct many *many = planned.many;
	struct many_lane *lane = &many->lanes[planned.order.lane];

	free(context);
	sim_note(&many->sim, "order %d: lane %u, %" PRIu64, planned.order.act, planned.order.lane,
		 planned.order.value);
	switch (planned.order.act) {
	case MANY_ADD:
		lane->wanted = true;
		break;
	case MANY_PAUSE:
		lane->wanted = false;
		if (lane->seated)
			tw_sender_pause(lane->sender);
		break;
	case MANY_RANK:
		lane->rank = planned.order.value;
		change(many, lane);
		break;
	case MANY_RATE:
		lane->max_bps = planned.order.value;
		change(many, lane);
		break;
	case MANY_LIMIT:
		set_limit(many, planned.order.value);
		break;
	case MANY_SILENCE:
		sim_link_silence(&many->link, true);
		break;
	case MANY_KILL:
		sim_peer_kill(&many->receiver);
		break;
	case MANY_KILL_SENDER:
		stop_sender(many);
		break;
	}
	if (planned.order.act >= MANY_SILENCE)
		plan(many, many->sim.now + planned.order.value, undo, &planned.order);
	sim_host_wake(&many->host);
}

void many_order(struct many *many, const struct many_order *order)
{
	plan(many, many->started_at + order->at, act, order);
}

/* Content. */

static void make_file(struct many *many, const char *path, uint64_t size)
{
	static uint8_t bytes[1 << 16];
	struct tw_random random = tw_prng_random(&many->sim.prng);
	struct sim_node *node = sim_disk_make(&many->disk, path);
	int64_t mtime = sim_node_mtime(node);

	tw_random_fill(&random, bytes, size < sizeof(bytes) ? (size_t)size : sizeof(bytes));
	sim_node_resize(&many->disk, node, size);
	for (uint64_t at = 0; at < size; at += sizeof(bytes)) {
		uint64_t left = size - at;

		/* Cheaper than fresh ones, and no two blocks alike. */
		memcpy(bytes, &at, left < sizeof(at) ? (size_t)left : sizeof(at));
		sim_node_write(&many->disk, node, bytes,
			       left < sizeof(bytes) ? (size_t)left : sizeof(bytes), at);
	}
	sim_node_set(node, 0644, mtime);
}

struct many_lane *many_lane(struct many *many, unsigned files, uint64_t file_bytes, uint64_t rank)
{
	struct many_lane *lane = &many->lanes[many->lane_count];
	char path[64];

	lane->many = many;
	lane->number = many->lane_count++;
	lane->files = files;
	lane->rank = rank;
	snprintf(lane->source, sizeof(lane->source), "s%u", lane->number);
	lane->mapping =
		(struct tw_source_mapping){ .source = lane->source, .destination = lane->source };
	lane->source_options = (struct tw_source_options){ .mappings = &lane->mapping,
							   .mapping_count = 1,
							   .read_content = true };
	for (unsigned i = 0; i < files; i++) {
		/* Long lists have names that make them so. */
		snprintf(path, sizeof(path), "%s/f%u", lane->source, i);
		if (files > 1000)
			snprintf(path, sizeof(path), "%s/%016" PRIx64 "%016" PRIx64, lane->source,
				 tw_prng_u64(&many->sim.prng), tw_prng_u64(&many->sim.prng));
		make_file(many, path, file_bytes);
		lane->content_bytes += file_bytes;
	}
	return lane;
}

static void verify(void *context, const char *path, struct sim_node *node)
{
	struct many *many = context;
	const struct sim_node *there;
	char at[300];

	snprintf(at, sizeof(at), "in/%s", path);
	there = sim_disk_find(&many->receiver.disk, at);
	if (!there)
		sim_fail(&many->sim, "%s is missing", at);
	else if (!sim_node_is_folder(node) && !sim_node_equal(node, there))
		sim_fail(&many->sim, "%s differs from its source", at);
}

static void verify_alien(void *context, const char *path, struct sim_node *node)
{
	struct many *many = context;

	if (!sim_node_is_folder(node) && strstr(path, ".tradewind"))
		sim_fail(&many->sim, "%s was left behind", path);
}

/* The run. */

struct many *many_new(const struct sim_case *test, uint64_t seed, bool verbose)
{
	struct many *many = sim_alloc(sizeof(*many));
	struct sim_link_config config;
	struct tw_random random;

	sim_init(&many->sim, seed);
	many->sim.verbose = verbose;
	many->test = test;
	many->budget.blocks_max = BLOCKS;
	sim_case_link(test, &config);
	sim_link_init(&many->link, &many->sim, &config);
	sim_peer_init(&many->receiver, &many->sim, &many->link, 1, &test->disks[1]);
	many->receiver.config =
		(struct tw_conn_config){ .method = TW_RATE_DEFAULT, .limits.max_bps = UINT64_MAX };
	many->receiver.lends_buffers = true;
	tw_prng_init(&many->prng, tw_prng_u64(&many->sim.prng));
	random = tw_prng_random(&many->prng);
	must("identity", tw_identity_generate(&random, &many->identity));
	sim_disk_init(&many->disk, &many->sim, &test->disks[0]);
	many->fs = sim_disk_fs(&many->disk);
	sim_carrier_init(&many->carrier, &many->sim, &many->disk);
	many->carrier.done = job_done;
	many->carrier.context = many;
	sim_host_init(&many->host, &many->sim, &many->link, 0);
	sim_lanes_init(&many->further, &many->host);
	many->receiver.lane_count = test->lanes;
	many->started_at = many->sim.now;
	return many;
}

static bool all_over(void *context)
{
	struct many *many = context;

	for (unsigned i = 0; i < many->lane_count; i++) {
		if (!many->lanes[i].over)
			return false;
	}
	return true;
}

static void judge_all(struct many *many)
{
	for (unsigned i = 0; i < many->lane_count; i++) {
		struct many_lane *lane = &many->lanes[i];

		if (!lane->over)
			sim_fail(&many->sim, "lane %u is not over: %" PRIu64 " of %" PRIu64, i,
				 lane->last.bytes_acked, lane->content_bytes);
		sim_disk_walk(&many->disk, lane->source, verify, many);
	}
	sim_disk_walk(&many->receiver.disk, "", verify_alien, many);
}

bool many_run(struct many *many, struct sim_measures *ret, char *ret_failure,
	      void (*judge)(struct many *many))
{
	tw_ns limit = many->test->limit;
	struct tw_digest digest;
	bool good;

	sim_peer_start(&many->receiver);
	start_sender(many);
	if (many->sim.verbose)
		sim_host_observe(&many->host, 500 * TW_MSEC);
	sim_run(&many->sim, many->started_at + 4 * limit, all_over, many);
	many->finished_at = many->sim.now;
	if (!many->sim.failed)
		sim_run(&many->sim, many->sim.now + AFTERMATH, NULL, NULL);
	judge_all(many);
	*ret = (struct sim_measures){ .took = many->finished_at - many->started_at };
	if (ret->took > limit)
		sim_fail(&many->sim, "took %.3f s, must finish within %.3f s",
			 (double)ret->took / 1e9, (double)limit / 1e9);
	if (judge)
		judge(many);
	stop_sender(many);
	digest = tw_digest_final(many->sim.digest);
	memcpy(&ret->digest, digest.bytes, sizeof(ret->digest));
	good = !many->sim.failed;
	if (!good)
		memcpy(ret_failure, many->sim.failure, sizeof(many->sim.failure));
	sim_peer_deinit(&many->receiver);
	sim_host_deinit(&many->host);
	sim_disk_deinit(&many->disk);
	tw_identity_wipe(&many->identity);
	sim_deinit(&many->sim);
	free(many);
	return good;
}

double many_took(const struct many_lane *lane)
{
	return (double)(lane->over_at - lane->added_at) / 1e9;
}
