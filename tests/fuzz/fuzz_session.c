/*
 * Both sides of a session with a peer that says anything, in any order: the input is a list of
 * orders that feed control, manifest and digest streams and DATA, let jobs run, time pass, windows
 * fill and connections end. The connection is a small stand-in; the content asserts what sessions
 * promise (nothing beyond what was prepared, no byte twice, one sink at a time). The receiver may
 * have a lane, over which anything comes as well.
 */
#define FAKE_ENTRIES_MAX 64
#include "../support/fake_content.h"
#include "fuzz.h"
#include "session/lane.h"
#include "session/outgoing.h"
#include "session/receiver.h"

#define STREAMS 7 /* of three transfers */
#define TAPE_MAX UINT64_C(200000)

struct pipe {
	uint8_t bytes[8192];
	size_t at, have;
	bool ended;
};

struct tw_conn {
	struct pipe in[STREAMS];
	uint64_t written; /* to the control stream */
	size_t room; /* what the streams to the peer still take */
	bool closing;
	uint64_t consumed, received;
};

static struct tw_conn conn, lane_conn;

size_t tw_conn_stream_write(struct tw_conn *c, uint64_t stream, const void *bytes, size_t length)
{
	CHECK(bytes || !length);
	if (c->closing)
		return 0;
	if (length > c->room)
		length = c->room;
	c->room -= length;
	if (!stream)
		c->written += length;
	return length;
}

size_t tw_conn_stream_room(struct tw_conn *c, uint64_t stream)
{
	(void)stream;
	return c->closing ? 0 : c->room;
}

void tw_conn_stream_finish(struct tw_conn *c, uint64_t stream)
{
	(void)c, (void)stream;
}

size_t tw_conn_stream_read(struct tw_conn *c, uint64_t stream, void *bytes, size_t room,
			   bool *ret_ended)
{
	struct pipe *pipe = stream < STREAMS ? &c->in[stream] : NULL;
	size_t length = pipe ? pipe->have - pipe->at : 0;

	if (length > room)
		length = room;
	if (length)
		memcpy(bytes, pipe->bytes + pipe->at, length);
	if (pipe)
		pipe->at += length;
	if (ret_ended)
		*ret_ended = pipe && pipe->ended && pipe->at == pipe->have;
	return length;
}

void tw_conn_stream_cut(struct tw_conn *c, uint64_t stream)
{
	(void)c, (void)stream;
}

uint64_t tw_conn_stream_written(const struct tw_conn *c, uint64_t stream)
{
	(void)stream;
	return c->written;
}

uint64_t tw_conn_stream_acked(const struct tw_conn *c, uint64_t stream)
{
	(void)stream;
	return c->written;
}

uint64_t tw_conn_stream_unsent(const struct tw_conn *c, uint64_t stream)
{
	(void)c, (void)stream;
	return 0;
}

bool tw_conn_stream_flushed(struct tw_conn *c, uint64_t stream)
{
	(void)c, (void)stream;
	return true;
}

void tw_conn_set_rate(struct tw_conn *c, enum tw_rate_method method,
		      const struct tw_rate_limits *limits, tw_ns now)
{
	(void)c, (void)method, (void)limits, (void)now;
}

void tw_conn_wake(struct tw_conn *c)
{
	(void)c;
}

void tw_conn_data_consumed(struct tw_conn *c, uint64_t bytes)
{
	c->consumed += bytes;
	CHECK(c->consumed <= c->received);
}

void tw_conn_close(struct tw_conn *c, uint64_t code, const char *reason)
{
	CHECK(reason && code >= 0x100);
	c->closing = true;
}

void tw_conn_info(const struct tw_conn *c, struct tw_conn_info *ret)
{
	(void)c;
	*ret = (struct tw_conn_info){ .rtt_smoothed = 10 * TW_MSEC, .bandwidth_bps = 1000000000 };
}

/* Orders. */

struct input {
	const uint8_t *at, *end;
};

static uint8_t next_byte(struct input *input)
{
	return input->at < input->end ? *input->at++ : 0;
}

static uint64_t next_offset(struct input *input)
{
	uint64_t high = next_byte(input), middle = next_byte(input);

	return (high << 16 | middle << 8 | next_byte(input)) % (TAPE_MAX + 100);
}

struct queue {
	struct tw_job *jobs[4096];
	size_t count;
};

static void submit(void *context, struct tw_job *job)
{
	struct queue *queue = context;

	CHECK(queue->count < 4096);
	queue->jobs[queue->count++] = job;
}

static struct tw_job *run_next(struct queue *queue)
{
	struct tw_job *job = queue->jobs[0];

	memmove(queue->jobs, queue->jobs + 1, --queue->count * sizeof(queue->jobs[0]));
	tw_job_run(job);
	return job;
}

static void feed(struct input *input, struct tw_conn *c, const struct tw_conn_app *app,
		 void *context)
{
	size_t length = next_byte(input);
	uint64_t stream = next_byte(input) % STREAMS;
	size_t left = (size_t)(input->end - input->at);
	struct pipe *pipe = &c->in[stream];

	if (length > left)
		length = left;
	if (pipe->at) {
		memmove(pipe->bytes, pipe->bytes + pipe->at, pipe->have - pipe->at);
		pipe->have -= pipe->at;
		pipe->at = 0;
	}
	if (length > sizeof(pipe->bytes) - pipe->have)
		length = sizeof(pipe->bytes) - pipe->have;
	memcpy(pipe->bytes + pipe->have, input->at, length);
	pipe->have += length;
	input->at += length;
	if (!c->closing)
		app->stream_readable(context, c, stream);
}

static void conn_new(struct tw_conn *c)
{
	memset(c, 0, sizeof(*c));
	c->room = 1 << 20;
}

/* The receiving side. */

struct receiving {
	struct tw_receiver_hub *hub;
	struct queue queue;
	const struct tw_conn_app *app;
	void *context;
	tw_ns now;
	/* A lane, or NULL. */
	struct tw_lane *lane;
	struct tw_berth *berth;
	struct tw_letter *to_lane[64], *to_berth[64];
	size_t to_lane_count, to_berth_count;
	unsigned buffers; /* held */
	bool lane_closed;
};

static const struct tw_public_key peer = { { 1 } };

static void receiver_admit(struct receiving *r)
{
	conn_new(&conn);
	CHECK(!tw_receiver_admit(r->hub, &peer, &r->app, &r->context));
	r->app->established(r->context, &conn);
}

static void receiver_data(struct receiving *r, struct input *input, struct tw_conn *c)
{
	static uint8_t bytes[20000];
	struct tw_data_ref piece = { next_byte(input) % 4, next_offset(input), 0 };
	const struct tw_conn_app *app = c == &conn ? r->app : tw_lane_app(r->lane);

	piece.length = (uint64_t)next_byte(input) << 6;
	if (c->closing)
		return;
	c->received += piece.length;
	if (!app->data_received(c == &conn ? r->context : r->lane, c, &piece, bytes))
		c->received -= piece.length;
}

static void receiver_order(struct receiving *r, struct input *input, unsigned order)
{
	switch (order) {
	case 0:
	case 1:
		feed(input, &conn, r->app, r->context);
		break;
	case 2:
		receiver_data(r, input, &conn);
		break;
	case 3:
		tw_receiver_flush(r->hub, r->now);
		if (r->queue.count)
			tw_receiver_job_done(r->hub, run_next(&r->queue), r->now);
		break;
	case 4:
		r->now += (tw_ns)next_byte(input) * 50 * TW_MSEC;
		tw_receiver_tick(r->hub, r->now);
		break;
	case 5:
		conn.room = (size_t)next_byte(input) * 64;
		r->app->stream_writable(r->context, &conn, 0);
		break;
	case 6:
		conn.in[next_byte(input) % STREAMS].ended = true;
		break;
	default:
		r->app->closed(r->context, &conn, next_byte(input) % 10, next_byte(input), "");
		receiver_admit(r);
	}
}

/* Its lane. */

static void post_to_lane(void *context, struct tw_letter *letter)
{
	struct receiving *r = context;

	CHECK(r->to_lane_count < 64);
	r->to_lane[r->to_lane_count++] = letter;
}

static void post_to_berth(void *context, struct tw_letter *letter)
{
	struct receiving *r = context;

	CHECK(r->to_berth_count < 64);
	r->to_berth[r->to_berth_count++] = letter;
}

static void *hold_buffer(void *context)
{
	struct receiving *r = context;

	/* Every other time there is one. */
	if (r->now & 1)
		return NULL;
	r->buffers++;
	return malloc(1);
}

static void drop_buffer(void *context, void *buffer)
{
	struct receiving *r = context;

	r->buffers--;
	free(buffer);
}

static void lane_new(struct receiving *r)
{
	const struct tw_lane_receiving options = {
		.peer = peer,
		.lane_port = { post_to_berth, r },
		.berth_port = { post_to_lane, r },
		.hold_buffer = hold_buffer,
		.drop_buffer = drop_buffer,
		.buffer_context = r,
	};

	conn_new(&lane_conn);
	r->lane_closed = false;
	CHECK(!tw_lane_new_receiving(&options, r->now, &r->lane, &r->berth));
	tw_receiver_moor(r->hub, r->berth, r->now);
	tw_lane_app(r->lane)->established(r->lane, &lane_conn);
}

static bool carry(struct receiving *r, bool to_lane)
{
	struct tw_letter **queue = to_lane ? r->to_lane : r->to_berth, *letter = queue[0];
	size_t *count = to_lane ? &r->to_lane_count : &r->to_berth_count;

	if (!*count)
		return false;
	memmove(queue, queue + 1, --*count * sizeof(queue[0]));
	if (to_lane)
		tw_lane_letter(r->lane, letter, r->now);
	else
		tw_berth_letter(r->berth, letter, r->now);
	return true;
}

static void lane_end(struct receiving *r)
{
	if (!r->lane_closed)
		tw_lane_app(r->lane)->closed(r->lane, &lane_conn, TW_CONN_TIMEOUT, 0, "");
	r->lane_closed = true;
	tw_lane_flush(r->lane, r->now);
}

/* When everybody has done his part there is nothing of it any more. */
static void lane_over(struct receiving *r)
{
	lane_end(r);
	for (;;) {
		bool any = carry(r, true);

		any |= carry(r, false);
		if (r->queue.count) {
			tw_receiver_flush(r->hub, r->now);
			tw_receiver_job_done(r->hub, run_next(&r->queue), r->now);
			any = true;
		}
		if (!any)
			break;
	}
	CHECK(tw_lane_is_over(r->lane) && tw_berth_is_over(r->berth) && !r->buffers);
	tw_lane_free(r->lane);
	tw_berth_free(r->berth);
	r->lane = NULL;
}

static void lane_message(struct receiving *r, struct input *input)
{
	struct tw_message message = { .type = TW_MESSAGE_LANE };
	struct pipe *pipe = &lane_conn.in[0];

	if (lane_conn.closing || r->lane_closed)
		return;
	memset(message.lane.token, next_byte(input) & 1 ? 7 : 8, sizeof(message.lane.token));
	pipe->at = 0;
	pipe->have = tw_message_write(&message, pipe->bytes, sizeof(pipe->bytes));
	tw_lane_app(r->lane)->stream_readable(r->lane, &lane_conn, 0);
}

static void lane_order(struct receiving *r, struct input *input, unsigned order)
{
	switch (order) {
	case 0:
		if (!lane_conn.closing && !r->lane_closed)
			feed(input, &lane_conn, tw_lane_app(r->lane), r->lane);
		break;
	case 1:
		if (!r->lane_closed)
			receiver_data(r, input, &lane_conn);
		break;
	case 2:
		lane_message(r, input);
		break;
	case 3:
		tw_lane_flush(r->lane, r->now);
		break;
	case 4:
		carry(r, true);
		break;
	case 5:
		carry(r, false);
		break;
	case 6:
		r->now++;
		tw_lane_tick(r->lane, r->now);
		tw_berth_tick(r->berth, r->now);
		break;
	default:
		switch (next_byte(input) % 4) {
		case 0:
			tw_lane_close(r->lane, r->now);
			break;
		case 1:
			tw_berth_close(r->berth, r->now);
			break;
		case 2:
			lane_end(r);
			break;
		default:
			lane_over(r);
			lane_new(r);
		}
	}
}

static void fill(void *context, void *ret, size_t length)
{
	(void)context;
	memset(ret, 7, length);
}

static void fuzz_receiver(struct input *input, bool lanes)
{
	static const struct tw_random random = { fill, NULL };
	static struct receiving r;
	struct fake_storage storage;
	struct tw_fs fs = { .context = &storage };
	struct tw_receiver_options options = {
		.fs = &fs,
		.port = { submit, &r.queue },
		.memory_max = 100000,
		.linger = 20 * TW_SECOND,
		.lanes = lanes,
		.random = &random,
	};

	memset(&r, 0, sizeof(r));
	fake_storage_init(&storage, TAPE_MAX);
	storage.full_at = next_byte(input) % 4 ? 0 : 50000;
	CHECK(!tw_receiver_hub_new(&options, 0, &r.hub));
	receiver_admit(&r);
	if (lanes)
		lane_new(&r);
	while (input->at < input->end) {
		unsigned order = next_byte(input) % (lanes ? 16 : 8);

		if (order < 8)
			receiver_order(&r, input, order);
		else
			lane_order(&r, input, order - 8);
	}
	r.app->closed(r.context, &conn, TW_CONN_TIMEOUT, 0, "");
	tw_receiver_hub_stop(r.hub);
	tw_receiver_flush(r.hub, r.now);
	if (lanes)
		lane_over(&r);
	while (r.queue.count)
		tw_receiver_job_done(r.hub, run_next(&r.queue), r.now);
	CHECK(tw_receiver_hub_idle(r.hub));
	CHECK(tw_receiver_count(r.hub) == 0);
	tw_receiver_hub_free(r.hub);
	CHECK(!storage.sinks_open && !storage.written_twice);
	fake_storage_deinit(&storage);
}

/* The sending side: two senders over one connection. */

#define SENDERS 2

struct sending {
	struct tw_sender *senders[SENDERS];
	struct tw_source *sources[SENDERS];
	struct tw_outgoing *outgoing;
	struct queue queue;
	struct tw_data_ref flying[64];
	size_t flying_count;
	tw_ns now;
	bool seated[SENDERS];
};

static void sender_data(struct sending *s, struct input *input)
{
	struct tw_data_ref piece;
	uint64_t room = 1 + next_byte(input) * UINT64_C(35);

	if (conn.closing || !tw_outgoing_app.data_next(s->outgoing, &conn, &piece))
		return;
	CHECK(piece.length > 0);
	if (piece.length > room)
		piece.length = room;
	CHECK(tw_outgoing_app.data_take(s->outgoing, &conn, &piece));
	if (s->flying_count < 64)
		s->flying[s->flying_count++] = piece;
}

static void sender_fate(struct sending *s, struct input *input)
{
	size_t at = next_byte(input);

	if (at >= s->flying_count)
		return;
	if (next_byte(input) & 1)
		tw_outgoing_app.data_acked(s->outgoing, &conn, &s->flying[at]);
	else
		tw_outgoing_app.data_lost(s->outgoing, &conn, &s->flying[at]);
}

static void reconnect(struct sending *s)
{
	tw_outgoing_app.closed(s->outgoing, &conn, TW_CONN_TIMEOUT, 0, "");
	s->flying_count = 0;
	conn_new(&conn);
	tw_outgoing_app.established(s->outgoing, &conn);
}

static void seat_order(struct sending *s, struct input *input)
{
	unsigned which = next_byte(input) % SENDERS, value = next_byte(input);
	struct tw_sender *sender = s->senders[which];

	switch (next_byte(input) % 4) {
	case 0:
		if (s->seated[which])
			tw_outgoing_remove(s->outgoing, sender);
		else
			CHECK(!tw_outgoing_add(s->outgoing, sender, value, UINT64_MAX));
		s->seated[which] = !s->seated[which];
		break;
	case 1:
		if (s->seated[which])
			tw_outgoing_change(s->outgoing, sender, value % 4, value << 16);
		break;
	case 2:
		if (value & 1)
			tw_sender_pause(sender);
		else
			tw_sender_cancel(sender);
		break;
	default:
		reconnect(s);
	}
}

static void sender_order(struct sending *s, struct input *input)
{
	switch (next_byte(input) % 8) {
	case 0:
	case 1:
		feed(input, &conn, &tw_outgoing_app, s->outgoing);
		break;
	case 2:
		sender_data(s, input);
		break;
	case 3:
		if (s->queue.count) {
			struct tw_job *job = run_next(&s->queue);

			tw_sender_job_done(job->owner, job, s->now);
		}
		break;
	case 4:
		s->now += (tw_ns)next_byte(input) * 50 * TW_MSEC;
		tw_outgoing_tick(s->outgoing, s->now);
		break;
	case 5:
		conn.room = (size_t)next_byte(input) * 64;
		tw_outgoing_app.stream_writable(s->outgoing, &conn, 0);
		break;
	case 6:
		sender_fate(s, input);
		break;
	default:
		seat_order(s, input);
	}
}

static void start_sender(struct sending *s, unsigned which, unsigned traits)
{
	struct tw_source *source = fake_source_new();
	struct tw_sender_options options = { .source = source,
					     .transfer_key = { (uint8_t)which },
					     .destination = "in",
					     .flags = TW_TRANSFER_READ | TW_TRANSFER_WRITE,
					     .sha256 = traits & 4 };
	struct tw_job_port port = { submit, &s->queue };

	fake_source_add(source, 3000);
	fake_source_add(source, 0);
	fake_source_add(source, 90000)->bad = traits & 1;
	fake_source_add(source, 70000)->hole = traits & 2;
	fake_source_add(source, 100);
	source->walk_step = 1 + (traits >> 3) % 5;
	s->sources[which] = source;
	CHECK(!tw_sender_new(&options, &port, 0, &s->senders[which]));
	CHECK(!tw_outgoing_add(s->outgoing, s->senders[which], which, UINT64_MAX));
	s->seated[which] = true;
}

static void end_sender(struct sending *s, unsigned which)
{
	struct tw_sender *sender = s->senders[which];
	struct tw_sender_status status;
	struct tw_problem problem;

	tw_sender_status(sender, &status);
	CHECK(status.bytes_retransmitted <= status.bytes_sent);
	CHECK(status.pieces_retransmitted <= status.pieces_sent);
	CHECK(status.bytes_acked <= status.total_bytes);
	tw_sender_cancel(sender);
	CHECK(tw_sender_farewell_said(sender));
	while (s->queue.count) {
		struct tw_job *job = run_next(&s->queue);

		tw_sender_job_done(job->owner, job, s->now);
	}
	CHECK(tw_sender_idle(sender));
	while (tw_sender_problem(sender, &problem))
		CHECK(memchr(problem.path, 0, sizeof(problem.path)));
	if (s->seated[which])
		tw_outgoing_remove(s->outgoing, sender);
	tw_sender_free(sender);
	CHECK(s->sources[which]->freed);
	free(s->sources[which]);
}

static void fuzz_sender(struct input *input)
{
	static struct sending s;
	unsigned traits = next_byte(input), i;

	memset(&s, 0, sizeof(s));
	CHECK(!tw_outgoing_new(0, &s.outgoing));
	for (i = 0; i < SENDERS; i++)
		start_sender(&s, i, traits >> i);
	conn_new(&conn);
	tw_outgoing_app.established(s.outgoing, &conn);
	while (input->at < input->end)
		sender_order(&s, input);
	tw_outgoing_app.closed(s.outgoing, &conn, TW_CONN_TIMEOUT, 0, "");
	for (i = 0; i < SENDERS; i++)
		end_sender(&s, i);
	CHECK(!tw_outgoing_count(s.outgoing) && !tw_outgoing_wants(s.outgoing));
	tw_outgoing_free(s.outgoing);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { data, data + size };
	uint8_t what = next_byte(&input);

	if (what & 1)
		fuzz_sender(&input);
	else
		fuzz_receiver(&input, what & 2);
	return 0;
}
