#include "peer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/conn_internal.h"

#define TICK_EVERY (20 * TW_MSEC)
#define SPARSE 16384 /* less than this does not hold a buffer */

static void buffer_drop(struct sim_buffer *buffer)
{
	if (buffer && !--buffer->references)
		free(buffer);
}

static uint8_t *take_buffer(void *context, size_t length)
{
	struct sim_peer *peer = context;

	if (!peer->lends_buffers || length < SPARSE)
		return NULL;
	peer->current = sim_alloc(sizeof(*peer->current) + length);
	peer->current->references = 1;
	return peer->current->bytes;
}

static void *current_buffer(void *context)
{
	return ((struct sim_peer *)context)->current;
}

static void *lane_hold_buffer(void *context)
{
	struct sim_peer *peer = context;

	if (peer->current)
		peer->current->references++;
	return peer->current;
}

static void lane_drop_buffer(void *context, void *buffer)
{
	(void)context;
	buffer_drop(buffer);
}

static void submit(void *context, struct tw_job *job)
{
	struct sim_peer *peer = context;

	if (peer->hub && job->type == TW_JOB_WRITE && job->buffer)
		((struct sim_buffer *)job->buffer)->references++;
	sim_carrier_submit(&peer->carrier, job);
}

static void job_done(void *context, struct tw_job *job)
{
	struct sim_peer *peer = context;
	tw_ns now = peer->sim->now;
	struct sim_buffer *buffer = peer->hub && job->type == TW_JOB_WRITE ? job->buffer : NULL;

	if (peer->hub)
		tw_receiver_job_done(peer->hub, job, now);
	else
		tw_sender_job_done(peer->sender, job, now);
	buffer_drop(buffer);
	sim_host_wake(&peer->host);
}

static void take_problems(struct sim_peer *peer)
{
	struct tw_problem problem;

	while (tw_sender_problem(peer->sender, &problem)) {
		peer->problems++;
		peer->problems_bad += !problem.harmless;
		snprintf(peer->last_problem, sizeof(peer->last_problem), "%.200s: %d", problem.path,
			 problem.error);
		sim_note(peer->sim, "problem: %s", peer->last_problem);
	}
}

/* Of all connections there are; where one has gone it was more before. */
static void count_received(struct sim_peer *peer)
{
	struct tw_conn_info info;
	uint64_t bytes = 0;

	for (size_t i = 0; peer->hub && i < tw_endpoint_count(peer->host.endpoint); i++) {
		tw_conn_info(tw_endpoint_conn(peer->host.endpoint, i), &info);
		bytes += info.data_bytes_received;
	}
	if (bytes > peer->data_received)
		peer->data_received = bytes;
}

void sim_peer_look(struct sim_peer *peer)
{
	size_t count;

	if (peer->sender) {
		tw_sender_status(peer->sender, &peer->last);
		take_problems(peer);
	}
	count = peer->hub ? tw_receiver_count(peer->hub) : 0;
	if (count)
		tw_receiver_status(peer->hub, count - 1, &peer->last_status);
	count_received(peer);
}

static void say_goodbye(struct sim_peer *peer)
{
	struct tw_endpoint *endpoint = peer->host.endpoint;

	if (peer->finished)
		return;
	peer->finished = true;
	sim_note(peer->sim, "finished: %d %s", peer->last.error, peer->last.message);
	for (size_t i = 0; i < tw_endpoint_count(endpoint); i++)
		tw_conn_close(tw_endpoint_conn(endpoint, i), TW_TRANSFER_OK, "");
}

static void check_sending(struct sim_peer *peer)
{
	const char *message = "";
	enum tw_conn_end end;

	tw_sender_status(peer->sender, &peer->last);
	if (peer->last.finished)
		say_goodbye(peer);
	else if (tw_dialer_failed(peer->dialer, &end, &message))
		sim_fail(peer->sim, "the dialer gave up: %d %s", end, message);
}

static void lower_key_life(struct sim_peer *peer)
{
	for (size_t i = 0; peer->key_packets && i < tw_endpoint_count(peer->host.endpoint); i++)
		tw_endpoint_conn(peer->host.endpoint, i)->seal.key_packets_max = peer->key_packets;
}

static struct tw_connect connect_to(const struct sim_peer *peer)
{
	return (struct tw_connect){ .remote = peer->host.link->hosts[1]->address,
				    .peer_key = peer->peer_key,
				    .cipher = peer->cipher,
				    .config = peer->config };
}

static void lanes_turn(struct sim_peer *peer, tw_ns now)
{
	const struct tw_connect connect = connect_to(peer);

	if (peer->outgoing && !peer->finished)
		sim_lanes_open(&peer->lanes, peer->outgoing, peer->lane_count, &connect);
	sim_lanes_turn(&peer->lanes, now, now >= peer->tick_at);
}

static void turn(void *context, tw_ns now)
{
	struct sim_peer *peer = context;

	lower_key_life(peer);
	if (peer->hub)
		tw_receiver_flush(peer->hub, now);
	if (peer->lane_count)
		lanes_turn(peer, now);
	buffer_drop(peer->current);
	peer->current = NULL;
	if (now >= peer->tick_at) {
		peer->tick_at = now + TICK_EVERY;
		if (peer->outgoing)
			tw_outgoing_tick(peer->outgoing, now);
		if (peer->hub)
			tw_receiver_tick(peer->hub, now);
		sim_peer_look(peer);
	}
	if (peer->dialer && !peer->finished) {
		tw_dialer_tick(peer->dialer, now);
		check_sending(peer);
	}
}

static tw_ns deadline(void *context)
{
	struct sim_peer *peer = context;

	if (peer->dialer && !peer->finished)
		return tw_ns_min(peer->tick_at, tw_dialer_deadline(peer->dialer));
	return peer->tick_at;
}

static const struct sim_program program = {
	.turn = turn,
	.deadline = deadline,
	.buffer = take_buffer,
};

static enum tw_verdict admit(void *context, const struct tw_public_key *key,
			     const struct tw_path *path, struct tw_conn_config *ret_config,
			     const struct tw_conn_app **ret_app, void **ret_context)
{
	struct sim_peer *peer = context;

	unsigned lane = ret_config->lane;

	(void)path;
	*ret_config = peer->config;
	ret_config->data_window = lane ? tw_receiver_lane_room(peer->hub) : 0;
	if (lane)
		return sim_lanes_admit(&peer->lanes, peer->hub, key, ret_app, ret_context);
	return tw_receiver_admit(peer->hub, key, ret_app, ret_context) ? TW_ACCEPT_BUSY
								       : TW_ACCEPT_YES;
}

static void on_started(void *context, uint64_t id, const char *destination, bool resumed)
{
	struct sim_peer *peer = context;

	sim_note(peer->sim, "transfer %llu to \"%s\" %s", (unsigned long long)id, destination,
		 resumed ? "goes on" : "begins");
}

static void on_file_done(void *context, uint64_t id, const char *path)
{
	struct sim_peer *peer = context;

	(void)id;
	(void)path;
	peer->files_done++;
}

static void on_file_failed(void *context, uint64_t id, const char *path, int error)
{
	struct sim_peer *peer = context;

	(void)id;
	sim_note(peer->sim, "file failed: %s: %d", path, error);
}

static void on_finished(void *context, uint64_t id, enum tw_transfer_error error,
			const char *message)
{
	struct sim_peer *peer = context;

	peer->transfers_cancelled += error == TW_TRANSFER_CANCELLED;
	sim_note(peer->sim, "receiver: transfer %llu over: %d %s", (unsigned long long)id, error,
		 message);
}

static void must(struct sim_peer *peer, const char *what, int error)
{
	if (!error)
		return;
	fprintf(stderr, "host %u: %s: %d\n", peer->host.side, what, error);
	abort();
}

static void start_sender(struct sim_peer *peer, struct tw_endpoint *endpoint)
{
	const struct tw_job_port port = { submit, peer };
	struct tw_dialer_options dialer = {
		.remotes = { peer->host.link->hosts[1]->address },
		.remote_count = 1,
		.connect = connect_to(peer),
		.first_timeout = 3600 * TW_SECOND,
		.give_up = TW_NEVER,
	};

	must(peer, "source",
	     tw_source_new(&peer->fs, &peer->source_options, &peer->options.source));
	must(peer, "sender", tw_sender_new(&peer->options, &port, peer->sim->now, &peer->sender));
	must(peer, "outgoing", tw_outgoing_new(peer->sim->now, &peer->outgoing));
	must(peer, "seat", tw_outgoing_add(peer->outgoing, peer->sender, 0, UINT64_MAX));
	must(peer, "dialer",
	     tw_dialer_new(endpoint, peer->outgoing, &dialer, peer->sim->now, &peer->dialer));
}

static void start_receiver(struct sim_peer *peer)
{
	const struct tw_receiver_options options = {
		.fs = &peer->fs,
		.port = { submit, peer },
		.current_buffer = peer->lends_buffers ? current_buffer : NULL,
		.buffer_context = peer,
		.events = { on_started, on_file_done, on_file_failed, on_finished },
		.events_context = peer,
		.lanes = peer->lane_count,
		.random = &peer->random,
		.server_id = { 2 },
	};

	must(peer, "hub", tw_receiver_hub_new(&options, peer->sim->now, &peer->hub));
}

void sim_peer_start(struct sim_peer *peer)
{
	const struct tw_endpoint_config config = {
		.identity = &peer->identity,
		.server_id = { (uint8_t)(peer->host.side + 1) },
		.cipher_min = peer->host.side ? peer->cipher : TW_CIPHER_NONE,
		.random = tw_prng_random(&peer->prng),
		.accept = peer->host.side == 1,
		.admit = admit,
		.context = peer,
	};
	struct tw_endpoint *endpoint;

	assert(!peer->up);
	sim_note(peer->sim, "host %u starts", peer->host.side);
	peer->up = true;
	peer->lives++;
	peer->tick_at = peer->sim->now;
	peer->disk.dead = false;
	peer->disk.fuse = 0;
	must(peer, "endpoint", tw_endpoint_new(&config, peer->sim->now, &endpoint));
	if (peer->host.side)
		start_receiver(peer);
	else
		start_sender(peer, endpoint);
	sim_host_start(&peer->host, endpoint, &program, peer);
}

/* As tw_worker_free(), but the disk does nothing any more. */
void sim_peer_kill(struct sim_peer *peer)
{
	if (!peer->up)
		return;
	sim_peer_look(peer);
	sim_note(peer->sim, "host %u dies", peer->host.side);
	peer->disk.dead = true;
	peer->up = false;
	buffer_drop(peer->current);
	peer->current = NULL;
	sim_host_stop(&peer->host);
	if (peer->dialer)
		tw_dialer_free(peer->dialer);
	peer->dialer = NULL;
	if (peer->hub)
		tw_receiver_hub_stop(peer->hub);
	sim_carrier_drain(&peer->carrier);
	sim_lanes_drop(&peer->lanes);
	if (peer->hub)
		tw_receiver_hub_free(peer->hub);
	peer->hub = NULL;
	if (peer->sender) {
		peer->sent_before += peer->last.bytes_sent;
		tw_outgoing_remove(peer->outgoing, peer->sender);
		tw_sender_free(peer->sender);
	}
	tw_outgoing_free(peer->outgoing);
	peer->outgoing = NULL;
	peer->sender = NULL;
}

void sim_peer_cut(struct sim_peer *peer)
{
	sim_peer_kill(peer);
	sim_note(peer->sim, "host %u: power cut", peer->host.side);
	sim_disk_cut(&peer->disk);
}

void sim_peer_init(struct sim_peer *peer, struct sim *sim, struct sim_link *link, unsigned side,
		   const struct sim_disk_config *disk)
{
	struct tw_random random;

	*peer = (struct sim_peer){ .sim = sim, .cipher = TW_CIPHER_128 };
	tw_prng_init(&peer->prng, tw_prng_u64(&sim->prng));
	random = tw_prng_random(&peer->prng);
	must(peer, "identity", tw_identity_generate(&random, &peer->identity));
	sim_disk_init(&peer->disk, sim, disk);
	peer->fs = sim_disk_fs(&peer->disk);
	sim_carrier_init(&peer->carrier, sim, &peer->disk);
	peer->carrier.done = job_done;
	peer->carrier.context = peer;
	sim_host_init(&peer->host, sim, link, side);
	peer->random = random;
	peer->lanes.hold_buffer = lane_hold_buffer;
	peer->lanes.drop_buffer = lane_drop_buffer;
	peer->lanes.buffer_context = peer;
	sim_lanes_init(&peer->lanes, &peer->host);
}

void sim_peer_deinit(struct sim_peer *peer)
{
	sim_peer_kill(peer);
	sim_host_deinit(&peer->host);
	sim_disk_deinit(&peer->disk);
	tw_identity_wipe(&peer->identity);
}
