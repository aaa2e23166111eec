/*
 * Several senders over one connection: whose bytes go next, at which rate, under which number, and
 * how each says good-bye. The connection is a small stand-in that keeps what was said over it.
 */
#include "unit.h"

#define FAKE_ENTRIES_MAX 64
#include "../support/fake_content.h"
#include "fakeconn.h"
#include "session/lane.h"
#include "session/outgoing.h"

#define SENDERS 70
#define SIZE UINT64_C(3000000)

/* The senders: their jobs run as soon as somebody looks. */

static struct {
	struct tw_outgoing *outgoing;
	struct tw_sender *senders[SENDERS];
	struct tw_source *sources[SENDERS];
	unsigned count;
	struct tw_job *jobs[4096];
	size_t job_count;
	struct tw_sender_budget budget;
	tw_ns now;
} world;

static void submit(void *context, struct tw_job *job)
{
	(void)context;
	assert_true(world.job_count < ARRAY_SIZE(world.jobs));
	world.jobs[world.job_count++] = job;
}

static void run_jobs(void)
{
	while (world.job_count) {
		struct tw_job *job = world.jobs[0];

		memmove(world.jobs, world.jobs + 1, --world.job_count * sizeof(world.jobs[0]));
		tw_job_run(job);
		tw_sender_job_done(job->owner, job, world.now);
	}
}

static unsigned add(uint64_t rank, uint64_t max_bps)
{
	struct tw_job_port port = { submit, NULL };
	unsigned number = world.count++;
	struct tw_sender_options options = { .transfer_key = { (uint8_t)number },
					     .destination = "in",
					     .flags = TW_TRANSFER_READ | TW_TRANSFER_WRITE,
					     .budget = &world.budget };

	options.source = world.sources[number] = fake_source_new();
	fake_source_add(options.source, SIZE);
	assert_int_equal(tw_sender_new(&options, &port, world.now, &world.senders[number]), 0);
	assert_int_equal(tw_outgoing_add(world.outgoing, world.senders[number], rank, max_bps), 0);
	run_jobs();
	return number;
}

static void take_away(unsigned number)
{
	tw_outgoing_remove(world.outgoing, world.senders[number]);
	run_jobs();
	tw_sender_free(world.senders[number]);
	world.senders[number] = NULL;
	assert_true(world.sources[number]->freed);
	free(world.sources[number]);
}

static void connect_to(struct tw_conn *conn)
{
	memset(conn, 0, sizeof(*conn));
	conn->room = sizeof(conn->out);
	tw_outgoing_app.established(world.outgoing, conn);
	run_jobs();
}

static void disconnect(struct tw_conn *conn)
{
	tw_outgoing_app.closed(world.outgoing, conn, TW_CONN_TIMEOUT, 0, "");
}

static int up(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	world.now = TW_SECOND;
	world.budget.blocks_max = 40;
	assert_int_equal(tw_outgoing_new(world.now, &world.outgoing), 0);
	return 0;
}

static int down(void **state)
{
	unsigned i;

	(void)state;
	if (tw_outgoing_conn(world.outgoing))
		disconnect(tw_outgoing_conn(world.outgoing));
	for (i = 0; i < world.count; i++) {
		if (world.senders[i])
			take_away(i);
	}
	assert_int_equal(world.budget.blocks_used, 0);
	tw_outgoing_free(world.outgoing);
	return 0;
}

/* What has been said since it was last asked. */
static bool heard(struct tw_conn *conn, struct tw_message *ret)
{
	size_t length;
	int error =
		tw_message_read(conn->out + conn->read, conn->written - conn->read, ret, &length);

	if (error)
		return false;
	conn->read += length;
	return true;
}

/* The next message about something else than totals. */
static void expect(struct tw_conn *conn, enum tw_message_type type, uint64_t transfer)
{
	struct tw_message message;

	do {
		assert_true(heard(conn, &message));
	} while (message.type == TW_MESSAGE_TOTAL);
	assert_int_equal(message.type, type);
	assert_int_equal(message.transfer, transfer);
}

static void tell(struct tw_conn *conn, const struct tw_message *message)
{
	conn->in_at = 0;
	conn->in_length = tw_message_write(message, conn->in, sizeof(conn->in));
	assert_true(conn->in_length > 0);
	tw_outgoing_app.stream_readable(world.outgoing, conn, TW_STREAM_CONTROL);
	run_jobs();
}

static void tell_ready(struct tw_conn *conn, uint64_t transfer)
{
	struct tw_message answer = { .type = TW_MESSAGE_ANSWER, .transfer = transfer };
	struct tw_message ready = { .type = TW_MESSAGE_READY, .transfer = transfer };

	ready.ready.offset = SIZE;
	answer.answer.text.bytes = "";
	tell(conn, &answer);
	tell(conn, &ready);
}

static void tell_done(struct tw_conn *conn, uint64_t transfer)
{
	struct tw_message done = { .type = TW_MESSAGE_DONE, .transfer = transfer };

	done.done.text.bytes = "";
	tell(conn, &done);
}

/* One piece of up to 1000 bytes; the number of its transfer, or -1. */
static int64_t send_piece(struct tw_conn *conn, struct tw_data_ref *ret)
{
	const uint8_t *bytes;
	uint64_t i;

	if (!tw_outgoing_app.data_next(world.outgoing, conn, ret))
		return -1;
	if (ret->length > 1000)
		ret->length = 1000;
	bytes = tw_outgoing_app.data_take(world.outgoing, conn, ret);
	for (i = 0; i < ret->length; i++)
		assert_int_equal(bytes[i], fake_byte(ret->offset + i));
	run_jobs();
	return (int64_t)ret->transfer;
}

static int64_t send_one(struct tw_conn *conn)
{
	struct tw_data_ref piece;

	return send_piece(conn, &piece);
}

static void tick(tw_ns span)
{
	world.now += span;
	tw_outgoing_tick(world.outgoing, world.now);
	run_jobs();
}

/* The offers come in the order of ranks, and so do the bytes. */
static void ranks(void **state)
{
	struct tw_conn *conn = &conns[0];
	unsigned i;

	(void)state;
	add(2, UINT64_MAX);
	add(1, UINT64_MAX);
	add(1, UINT64_MAX);
	connect_to(conn);
	expect(conn, TW_MESSAGE_HELLO, 0);
	for (i = 0; i < 3; i++) {
		expect(conn, TW_MESSAGE_OFFER, i);
		tell_ready(conn, i);
	}
	assert_int_equal(send_one(conn), 0); /* the first of rank 1 */
	/* A better one comes: the next piece is its own, as far as it needs no answer. */
	add(0, UINT64_MAX);
	expect(conn, TW_MESSAGE_OFFER, 3);
	for (i = 0; i < TW_SESSION_EARLY_MAX / 1000; i++)
		assert_int_equal(send_one(conn), 3);
	assert_int_equal(send_one(conn), 3); /* 144 bytes */
	assert_int_equal(send_one(conn), 0);
	tell_ready(conn, 3);
	assert_int_equal(send_one(conn), 3);
	tw_outgoing_change(world.outgoing, world.senders[3], 9, UINT64_MAX);
	assert_int_equal(send_one(conn), 0);
	tw_outgoing_change(world.outgoing, world.senders[0], 0, UINT64_MAX);
	assert_int_equal(send_one(conn), 2);
}

/* What a better one leaves over goes to the next, and comes back when it has something again. */
static void leftovers(void **state)
{
	struct tw_conn *conn = &conns[0];
	struct tw_data_ref piece, first = { 0 };
	uint64_t sent = 0;

	(void)state;
	add(0, UINT64_MAX);
	add(1, UINT64_MAX);
	connect_to(conn);
	tell_ready(conn, 0);
	tell_ready(conn, 1);
	while (send_piece(conn, &piece) == 0) {
		if (!sent)
			first = piece;
		sent += piece.length;
	}
	assert_int_equal(sent, SIZE);
	assert_int_equal(piece.transfer, 1);
	tw_outgoing_app.data_lost(world.outgoing, conn, &first);
	assert_int_equal(send_piece(conn, &piece), 0);
	assert_int_equal(piece.offset, first.offset);
	assert_int_equal(send_one(conn), 1);
}

/* Over any span a sender's own rate is kept, within what goes at once; others are not held up. */
static void own_rates(void **state)
{
	struct tw_conn *conn = &conns[0];
	struct tw_data_ref piece;
	uint64_t sent[2] = { 0 }, after = 0;
	unsigned i;

	(void)state;
	add(0, 8000000); /* 1000 bytes a millisecond */
	add(1, UINT64_MAX);
	connect_to(conn);
	tell_ready(conn, 0);
	tell_ready(conn, 1);
	for (i = 0; i < 1000; i++) {
		unsigned pieces;

		/* As a worker does: at the deadline, and every 20 ms. */
		if (i % 20 == 0 || tw_outgoing_deadline(world.outgoing) <= world.now + TW_MSEC)
			tick(TW_MSEC);
		else
			world.now += TW_MSEC;
		for (pieces = 0; pieces < 3 && send_piece(conn, &piece) >= 0; pieces++)
			sent[piece.transfer] += piece.length;
		if (i == 500)
			after = sent[0];
	}
	assert_in_range(sent[0] - after, 470000, 530000);
	assert_in_range(sent[0], 970000, 1030000);
	assert_true(sent[1] > 1900000);
	/* A change is felt at once. */
	after = sent[0];
	tw_outgoing_change(world.outgoing, world.senders[0], 0, UINT64_MAX);
	for (i = 0; i < 100; i++)
		assert_int_equal(send_one(conn), 0);
	tw_outgoing_change(world.outgoing, world.senders[0], 0, 0);
	tick(20 * TW_MSEC);
	for (i = 0; i < 30 && send_piece(conn, &piece) >= 0; i++)
		after += piece.transfer == 0 ? piece.length : 0;
	assert_true(after - sent[0] < 1000 * 26);
	assert_int_equal(tw_outgoing_deadline(world.outgoing), TW_NEVER);
}

/* A place is taken until the last word is out, and no number comes twice. */
static void numbers(void **state)
{
	struct tw_conn *conn = &conns[0];
	struct tw_job_port port = { submit, NULL };
	struct tw_sender_options options = { .destination = "in" };
	struct tw_sender *sender;
	unsigned i;

	(void)state;
	connect_to(conn);
	expect(conn, TW_MESSAGE_HELLO, 0);
	for (i = 0; i < TW_SESSION_TRANSFERS_MAX; i++) {
		assert_int_equal(add(1 + i, UINT64_MAX), i);
		expect(conn, TW_MESSAGE_OFFER, i);
	}
	options.source = fake_source_new();
	assert_int_equal(tw_sender_new(&options, &port, world.now, &sender), 0);
	assert_int_equal(tw_outgoing_add(world.outgoing, sender, 0, UINT64_MAX), TW_E_FULL);
	run_jobs();
	tw_sender_free(sender);
	free(options.source);
	/* Number 3 ends: 64 to 66 would take places that are in use, 67 does not. */
	tell_ready(conn, 3);
	tell_done(conn, 3);
	expect(conn, TW_MESSAGE_DONE_ACK, 3);
	take_away(3);
	add(0, UINT64_MAX);
	expect(conn, TW_MESSAGE_OFFER, 67);
	tell_ready(conn, 67);
	assert_int_equal(send_one(conn), 67);
	/* Words that crossed the farewell are nobody's. */
	tell_done(conn, 3);
	assert_false(conn->closed);
	/* A connection later they begin at 0 again. */
	disconnect(conn);
	connect_to(&conns[1]);
	expect(&conns[1], TW_MESSAGE_HELLO, 0);
	for (i = 0; i < TW_SESSION_TRANSFERS_MAX; i++)
		expect(&conns[1], TW_MESSAGE_OFFER, i);
}

/* DONE_ACK and CANCEL count as said when they are acknowledged. */
static void farewells(void **state)
{
	struct tw_conn *conn = &conns[0];
	struct tw_sender_status status;
	struct tw_message message;

	(void)state;
	add(0, UINT64_MAX);
	add(1, UINT64_MAX);
	add(2, UINT64_MAX);
	connect_to(conn);
	tell_ready(conn, 0);
	tell_ready(conn, 1);
	tell_ready(conn, 2);
	tw_sender_status(world.senders[0], &status);
	assert_true(status.running && status.piece_bytes > 1400 && status.piece_bytes < 1472);
	assert_true(tw_outgoing_wants(world.outgoing));
	tell_done(conn, 0);
	tw_sender_pause(world.senders[1]);
	conn->room = 2; /* of the CANCEL only this much leaves */
	tw_sender_cancel(world.senders[2]);
	conn->acked = conn->written;
	assert_true(tw_sender_farewell_said(world.senders[0]));
	assert_true(tw_sender_farewell_said(world.senders[1]));
	assert_false(tw_sender_farewell_said(world.senders[2]));
	conn->room = 1000;
	tw_outgoing_app.stream_writable(world.outgoing, conn, TW_STREAM_CONTROL);
	assert_false(tw_sender_farewell_said(world.senders[2]));
	conn->acked = conn->written - 1;
	assert_false(tw_sender_farewell_said(world.senders[2]));
	conn->acked = conn->written;
	assert_true(tw_sender_farewell_said(world.senders[2]));
	assert_int_equal(conn->cuts, 6);
	assert_false(tw_outgoing_wants(world.outgoing));
	assert_int_equal(send_one(conn), -1);

	while (heard(conn, &message) && message.type != TW_MESSAGE_DONE_ACK)
		assert_true(message.type != TW_MESSAGE_CANCEL);
	assert_int_equal(message.transfer, 0);
	assert_true(heard(conn, &message));
	assert_true(message.type == TW_MESSAGE_CANCEL && message.transfer == 1);
	assert_true(message.cancel.paused);
	assert_true(heard(conn, &message));
	assert_true(message.type == TW_MESSAGE_CANCEL && message.transfer == 2);
	assert_false(message.cancel.paused);
	tw_sender_status(world.senders[1], &status);
	assert_true(status.finished && status.paused && !status.running);
	tw_sender_status(world.senders[2], &status);
	assert_true(status.finished && !status.paused);
}

/* One that leaves in the middle is spoken for; its place is free behind that. */
static void orphans(void **state)
{
	struct tw_conn *conn = &conns[0];
	struct tw_message message;
	struct tw_data_ref piece;

	(void)state;
	add(0, UINT64_MAX);
	connect_to(conn);
	tell_ready(conn, 0);
	assert_int_equal(send_piece(conn, &piece), 0);
	conn->read = conn->written;
	take_away(0);
	/* Fates of its pieces are nobody's. */
	tw_outgoing_app.data_acked(world.outgoing, conn, &piece);
	tw_outgoing_app.data_lost(world.outgoing, conn, &piece);
	assert_int_equal(send_one(conn), -1);
	tick(20 * TW_MSEC);
	assert_true(heard(conn, &message));
	assert_true(message.type == TW_MESSAGE_CANCEL && message.transfer == 0 &&
		    message.cancel.paused);
	/* Without a connection there is nobody to tell. */
	disconnect(conn);
	add(0, UINT64_MAX);
	take_away(1);
}

/* A connection that takes over from a silent one: everybody is offered again, nothing is lost. */
static void replaced(void **state)
{
	struct tw_sender_status status;
	struct tw_data_ref piece;

	(void)state;
	add(0, UINT64_MAX);
	add(1, UINT64_MAX);
	connect_to(&conns[0]);
	tell_ready(&conns[0], 0);
	assert_int_equal(send_piece(&conns[0], &piece), 0);
	connect_to(&conns[1]);
	assert_true(conns[0].closed && conns[0].code == TW_SESSION_CLOSE_REPLACED);
	assert_ptr_equal(tw_outgoing_conn(world.outgoing), &conns[1]);
	disconnect(&conns[0]);
	assert_ptr_equal(tw_outgoing_conn(world.outgoing), &conns[1]);
	tw_sender_status(world.senders[0], &status);
	assert_false(status.running || status.finished);
	/* Not before the answer: the receiver may have it all. */
	assert_int_equal(send_one(&conns[1]), -1);
	assert_int_equal(send_one(&conns[0]), -1);
	tell_ready(&conns[1], 1);
	assert_int_equal(send_one(&conns[1]), 1);
	tell_ready(&conns[1], 0);
	assert_int_equal(send_piece(&conns[1], &piece), 0);
	assert_int_equal(piece.offset, 0);
}

/* Who does not get a turn gives back what he read ahead, but for one block, when others need it.
 */
static void budget(void **state)
{
	struct tw_conn *conn = &conns[0];
	struct tw_sender_status status;
	unsigned i;

	(void)state;
	world.budget.blocks_max = 4;
	add(1, UINT64_MAX);
	assert_int_equal(world.budget.blocks_used, 3);
	connect_to(conn);
	tell_ready(conn, 0);
	add(0, UINT64_MAX);
	tell_ready(conn, 1);
	assert_int_equal(world.budget.blocks_used, 5);
	for (i = 0; i < 20; i++) {
		assert_int_equal(send_one(conn), 1);
		tick(20 * TW_MSEC);
	}
	assert_int_equal(world.budget.blocks_used, 4);
	while (send_one(conn) == 1)
		;
	tw_sender_status(world.senders[0], &status);
	assert_int_equal(status.bytes_read, 3000000);
	while (send_one(conn) == 0)
		;
	tw_sender_status(world.senders[0], &status);
	assert_int_equal(status.bytes_sent, SIZE);
	assert_true(status.bytes_read > SIZE);
	take_away(1);
	take_away(0);
}

static void limits(void **state)
{
	struct tw_message limit = { .type = TW_MESSAGE_LIMIT, .limit.max_bps = 5000000 };

	(void)state;
	assert_true(tw_outgoing_peer_max_bps(world.outgoing) == UINT64_MAX);
	connect_to(&conns[0]);
	tell(&conns[0], &limit);
	assert_int_equal(tw_outgoing_peer_max_bps(world.outgoing), 5000000);
	limit.limit.max_bps = 0;
	tell(&conns[0], &limit);
	assert_true(tw_outgoing_peer_max_bps(world.outgoing) == UINT64_MAX);
}

/* What breaks the rules of the connection ends all; of a transfer, that one. */
static void broken(void **state)
{
	struct tw_message ready = { .type = TW_MESSAGE_READY, .transfer = 1 };
	struct tw_message done = { .type = TW_MESSAGE_DONE, .transfer = 77 };
	struct tw_sender_status status;
	unsigned i;

	(void)state;
	add(0, UINT64_MAX);
	add(1, UINT64_MAX);
	connect_to(&conns[0]);
	tell(&conns[0], &ready); /* before its answer */
	assert_true(conns[0].closed && conns[0].code == TW_SESSION_CLOSE_ORDER);
	tw_sender_status(world.senders[1], &status);
	assert_true(status.finished && status.error == TW_TRANSFER_PROTOCOL);
	tw_sender_status(world.senders[0], &status);
	assert_false(status.finished);
	disconnect(&conns[0]);
	connect_to(&conns[1]);
	done.done.text.bytes = "";
	tell(&conns[1], &done); /* never offered */
	assert_true(conns[1].closed && conns[1].code == TW_SESSION_CLOSE_ORDER);
	for (i = 0; i < 2; i++) {
		tw_sender_status(world.senders[i], &status);
		assert_true(status.finished && status.error == TW_TRANSFER_PROTOCOL);
	}
}

/* Lanes: letters go from half to half when the test says so. */

static struct {
	struct tw_lane *lane;
	struct tw_berth *berth;
	struct tw_letter *to_lane[256], *to_berth[256];
	size_t to_lane_count, to_berth_count;
} side;

static void post_to_lane(void *context, struct tw_letter *letter)
{
	(void)context;
	assert_true(side.to_lane_count < ARRAY_SIZE(side.to_lane));
	side.to_lane[side.to_lane_count++] = letter;
}

static void post_to_berth(void *context, struct tw_letter *letter)
{
	(void)context;
	assert_true(side.to_berth_count < ARRAY_SIZE(side.to_berth));
	side.to_berth[side.to_berth_count++] = letter;
}

static void carry_to_berth(void)
{
	while (side.to_berth_count) {
		struct tw_letter *letter = side.to_berth[0];

		memmove(side.to_berth, side.to_berth + 1,
			--side.to_berth_count * sizeof(side.to_berth[0]));
		tw_berth_letter(side.berth, letter, world.now);
	}
	run_jobs();
}

static void carry_to_lane(void)
{
	while (side.to_lane_count) {
		struct tw_letter *letter = side.to_lane[0];

		memmove(side.to_lane, side.to_lane + 1,
			--side.to_lane_count * sizeof(side.to_lane[0]));
		tw_lane_letter(side.lane, letter, world.now);
	}
}

static void carry(void)
{
	while (side.to_berth_count || side.to_lane_count) {
		carry_to_berth();
		carry_to_lane();
	}
}

static void tick_lane(tw_ns span)
{
	tick(span);
	tw_lane_tick(side.lane, world.now);
	tw_berth_tick(side.berth, world.now);
	carry();
}

static void tell_hello(struct tw_conn *conn, unsigned lanes)
{
	struct tw_message hello = { .type = TW_MESSAGE_HELLO,
				    .hello = { .version = TW_SESSION_VERSION,
					       .lanes = lanes,
					       .lane_token = { 4, 5, 6 } } };

	tell(conn, &hello);
}

static int lane_new(void)
{
	const struct tw_letter_port to_berth = { post_to_berth, NULL },
				    to_lane = { post_to_lane, NULL };

	return tw_lane_new_sending(world.outgoing, &to_berth, &to_lane, world.now, &side.lane,
				   &side.berth);
}

/* Beside conns[0], over conns[1], up to where it has work. */
static void lane_up(void)
{
	struct tw_conn *conn = &conns[1];
	struct tw_message message;

	memset(&side, 0, sizeof(side));
	memset(conn, 0, sizeof(*conn));
	conn->room = sizeof(conn->out);
	assert_int_equal(lane_new(), 0);
	tw_lane_app(side.lane)->established(side.lane, conn);
	assert_true(heard(conn, &message));
	assert_int_equal(message.type, TW_MESSAGE_LANE);
	assert_memory_equal(message.lane.token, ((uint8_t[TW_LANE_TOKEN_SIZE]){ 4, 5, 6 }),
			    TW_LANE_TOKEN_SIZE);
	/* No DATA before the peer knows what it is. */
	tick_lane(20 * TW_MSEC);
	assert_false(
		tw_lane_app(side.lane)->data_next(side.lane, conn, &(struct tw_data_ref){ 0 }));
	conn->acked = conn->written;
	tick_lane(20 * TW_MSEC);
}

static void lane_down(void)
{
	tw_berth_close(side.berth, world.now);
	carry();
	assert_true(conns[1].closed);
	tw_lane_app(side.lane)->closed(side.lane, &conns[1], TW_CONN_CLOSED_LOCAL, 0, "");
	tw_lane_flush(side.lane, world.now);
	carry();
	assert_true(tw_lane_is_over(side.lane) && tw_berth_is_over(side.berth));
	tw_lane_free(side.lane);
	tw_berth_free(side.berth);
}

/* As send_piece(), over the lane. */
static int64_t lane_piece(struct tw_data_ref *ret)
{
	const struct tw_conn_app *app = tw_lane_app(side.lane);
	const uint8_t *bytes;
	uint64_t i;

	if (!app->data_next(side.lane, &conns[1], ret))
		return -1;
	if (ret->length > 1000)
		ret->length = 1000;
	bytes = app->data_take(side.lane, &conns[1], ret);
	for (i = 0; i < ret->length; i++)
		assert_int_equal(bytes[i], fake_byte(ret->offset + i));
	return (int64_t)ret->transfer;
}

/* The best one's bytes go over both, none twice; what is lost over one goes over the other. */
static void over_a_lane(void **state)
{
	struct tw_conn *conn = &conns[0];
	struct tw_data_ref piece, lost;
	struct tw_sender_status status;
	struct tw_ranges sent;
	unsigned turns;

	(void)state;
	add(1, UINT64_MAX);
	add(0, UINT64_MAX);
	connect_to(conn);
	assert_int_equal(lane_new(), TW_E_FULL);
	tell_hello(conn, 1);
	lane_up();
	assert_int_equal(lane_new(), TW_E_FULL);
	assert_int_equal(lane_piece(&piece), -1); /* the receiver is not ready */
	assert_int_equal(conns[1].wakes, 0);
	tell_ready(conn, 0);
	carry();
	assert_int_equal(conns[1].wakes, 1);
	tw_ranges_init(&sent, 10000);
	for (turns = 0; turns < 1000; turns++) {
		assert_int_equal(turns & 1 ? lane_piece(&piece) : send_piece(conn, &piece), 0);
		assert_int_equal(
			tw_ranges_overlap(&sent, piece.offset, piece.offset + piece.length), 0);
		assert_int_equal(tw_ranges_add(&sent, piece.offset, piece.offset + piece.length),
				 0);
		if (turns == 11)
			lost = piece;
		else if (turns & 1)
			tw_lane_app(side.lane)->data_acked(side.lane, &conns[1], &piece);
		tw_lane_flush(side.lane, world.now);
		carry();
	}
	tw_sender_status(world.senders[1], &status);
	assert_in_range(status.pieces_acked, 499, 499);
	tw_lane_app(side.lane)->data_lost(side.lane, &conns[1], &lost);
	tw_lane_flush(side.lane, world.now);
	carry_to_berth();
	assert_int_equal(send_piece(conn, &piece), 0);
	assert_int_equal(piece.offset, lost.offset);
	tw_ranges_deinit(&sent);
	lane_down();
}

/* What a lane has in hand or under way is owed when it ends, and keeps its sender alive. */
static void lane_ends(void **state)
{
	struct tw_conn *conn = &conns[0];
	struct tw_data_ref piece;
	uint64_t sent = 0;
	bool free_now;

	(void)state;
	add(0, UINT64_MAX);
	connect_to(conn);
	tell_hello(conn, 1);
	tell_ready(conn, 0);
	lane_up();
	assert_int_equal(lane_piece(&piece), 0);
	free_now = tw_sender_idle(world.senders[0]);
	assert_false(free_now);
	tw_lane_app(side.lane)->closed(side.lane, &conns[1], TW_CONN_TIMEOUT, 0, "");
	tw_lane_flush(side.lane, world.now);
	carry();
	assert_true(tw_lane_is_over(side.lane) && tw_berth_is_over(side.berth));
	tw_lane_free(side.lane);
	tw_berth_free(side.berth);
	assert_true(tw_sender_idle(world.senders[0]));
	while (send_piece(conn, &piece) == 0)
		sent += piece.length;
	assert_int_equal(sent, SIZE);
}

/* A sender that goes takes back what a lane has, and what the lane reads stays until then. */
static void taken_back(void **state)
{
	struct tw_message again = { .type = TW_MESSAGE_AGAIN };
	static const struct tw_range all = { 0, SIZE };
	struct tw_conn *conn = &conns[0];
	struct tw_data_ref piece;
	uint64_t read;
	struct tw_sender_status status;

	(void)state;
	add(0, UINT64_MAX);
	connect_to(conn);
	tell_hello(conn, 1);
	tell_ready(conn, 0);
	lane_up();
	assert_int_equal(lane_piece(&piece), 0);
	tw_sender_status(world.senders[0], &status);
	read = status.bytes_read;
	/* All blocks are thrown away, and what is lent is still right. */
	again.ranges.at = &all;
	again.ranges.count = 1;
	tell(conn, &again);
	assert_int_equal(send_one(conn), 0);
	while (lane_piece(&piece) == 0)
		;
	tw_sender_status(world.senders[0], &status);
	assert_true(status.bytes_read > read);
	tw_lane_flush(side.lane, world.now);
	carry();
	tw_sender_cancel(world.senders[0]);
	assert_false(tw_sender_idle(world.senders[0]));
	tick_lane(20 * TW_MSEC);
	run_jobs();
	assert_true(tw_sender_idle(world.senders[0]));
	assert_int_equal(lane_piece(&piece), -1);
	lane_down();
}

/* A rate of its own holds for all connections together. */
static void own_rate_over_lanes(void **state)
{
	struct tw_data_ref piece;
	uint64_t sent = 0;
	tw_ns started;

	(void)state;
	add(0, 8000000);
	connect_to(&conns[0]);
	tell_hello(&conns[0], 1);
	tell_ready(&conns[0], 0);
	lane_up();
	started = world.now;
	while (world.now < started + TW_SECOND) {
		while (lane_piece(&piece) == 0)
			sent += piece.length;
		while (send_piece(&conns[0], &piece) == 0)
			sent += piece.length;
		tick_lane(10 * TW_MSEC);
	}
	assert_in_range(sent, 950000, 1080000);
	lane_down();
}

/* The connection goes, and its lanes; a silent lane goes alone. */
static void lanes_go(void **state)
{
	struct tw_berth_info info;
	struct tw_data_ref piece;

	(void)state;
	add(0, UINT64_MAX);
	connect_to(&conns[0]);
	tell_hello(&conns[0], 3);
	tell_ready(&conns[0], 0);
	lane_up();
	assert_int_equal(tw_outgoing_lanes(world.outgoing), 3);
	assert_int_equal(tw_outgoing_lanes_used(world.outgoing), 1);
	tw_berth_set_rate(side.berth, TW_RATE_DEFAULT,
			  &(struct tw_rate_limits){ .max_bps = 12345678 });
	carry();
	assert_int_equal(conns[1].limits.max_bps, 12345678);
	tick_lane(100 * TW_MSEC);
	tw_berth_info(side.berth, &info);
	assert_true(info.running && info.conn_known && info.main_conn == &conns[0]);
	disconnect(&conns[0]);
	assert_int_equal(tw_outgoing_lanes(world.outgoing), 0);
	carry();
	assert_true(conns[1].closed);
	lane_down();
	connect_to(&conns[0]);
	tell_hello(&conns[0], 200);
	assert_int_equal(tw_outgoing_lanes(world.outgoing), TW_LANES_MAX);
	tell_ready(&conns[0], 0);
	lane_up();
	assert_int_equal(lane_piece(&piece), 0);
	conns[1].silent_since = world.now;
	tick_lane(900 * TW_MSEC);
	assert_false(conns[1].closed);
	tick_lane(200 * TW_MSEC);
	assert_true(conns[1].closed);
	lane_down();
	/* Ended before it was ever connected, and forgotten at once. */
	memset(&side, 0, sizeof(side));
	assert_int_equal(lane_new(), 0);
	tw_berth_close(side.berth, world.now);
	carry();
	assert_true(tw_berth_is_over(side.berth));
	tw_lane_undialled(side.lane, world.now);
	assert_true(tw_lane_is_over(side.lane));
	tw_lane_free(side.lane);
	tw_berth_free(side.berth);
	lane_up();
	tw_berth_free(side.berth);
	tw_lane_free(side.lane);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ranks, up, down),
		cmocka_unit_test_setup_teardown(leftovers, up, down),
		cmocka_unit_test_setup_teardown(own_rates, up, down),
		cmocka_unit_test_setup_teardown(numbers, up, down),
		cmocka_unit_test_setup_teardown(farewells, up, down),
		cmocka_unit_test_setup_teardown(orphans, up, down),
		cmocka_unit_test_setup_teardown(replaced, up, down),
		cmocka_unit_test_setup_teardown(budget, up, down),
		cmocka_unit_test_setup_teardown(limits, up, down),
		cmocka_unit_test_setup_teardown(broken, up, down),
		cmocka_unit_test_setup_teardown(over_a_lane, up, down),
		cmocka_unit_test_setup_teardown(lane_ends, up, down),
		cmocka_unit_test_setup_teardown(taken_back, up, down),
		cmocka_unit_test_setup_teardown(own_rate_over_lanes, up, down),
		cmocka_unit_test_setup_teardown(lanes_go, up, down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
