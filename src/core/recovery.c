/*
 * recovery.c - acknowledgements in, losses out (RFC 9002, 6; RFC 8985), and one rate sample for
 * each.
 *
 * A packet is lost when enough later ones have arrived (packets) or long enough ago did one that
 * left after it (time). Both thresholds adapt to the reordering of the path: a "lost" packet that
 * turns up raises them, quiet rounds lower them. Nothing is ever resent by number; the content goes
 * back to its owner.
 */
#include "core/conn_internal.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"

#define TIME_EIGHTHS_MIN 9
#define TIME_EIGHTHS_MAX 24
#define QUIET_ROUNDS 32
#define REORDER_COUNTED \
	256 /* where packets come later than that, only time tells (RFC 8985, 6.2) */
#define US_BITS 48
/* Acknowledgements come as fast as the peer likes. Looking through more packets than this for
 * losses is followed by a pause of so long for each of them: more than ten times what it took, and
 * far less than an honest receiver waits. */
#define SCAN_SHORT 256
#define SCAN_PAUSE 32
#define ECHO_PART 8            /* of a round trip: until a stream's last words go again */
#define ECHO_RTT (8 * TW_MSEC) /* on shorter paths a timeout costs little */
#define ECHO_ROUNDS 8
#define ECHO_BYTES 1024

void tw_recovery_init(struct tw_conn *conn)
{
	conn->recovery = (struct tw_recovery){
		.loss_at = TW_NEVER,
		.reorder_packets = TW_REORDER_PACKETS,
		.reorder_eighths = TIME_EIGHTHS_MIN,
	};
	tw_sent_map_init(&conn->recovery.sent);
}

void tw_recovery_deinit(struct tw_conn *conn)
{
	tw_sent_map_deinit(&conn->recovery.sent);
}

void tw_recovery_sent(struct tw_conn *conn, struct tw_sent *sent, tw_ns now)
{
	struct tw_recovery *recovery = &conn->recovery;
	if (!recovery->in_flight_packets) {
		/* After idleness the interval begins here, not at the last acknowledgement. */
		recovery->first_sent_at = now;
		recovery->delivered_at = now;
	}
	sent->state = TW_SENT_FLIGHT;
	sent->sent_at = now;
	sent->delivered = recovery->delivered;
	sent->delivered_at = recovery->delivered_at;
	sent->first_sent_at = recovery->first_sent_at;
	if (recovery->app_limited_until > recovery->delivered)
		sent->content |= TW_SENT_APP_LIMITED;
	recovery->in_flight += sent->bytes;
	recovery->in_flight_packets++;
	sent->in_flight = recovery->in_flight;
	recovery->last_eliciting_at = now;
	if (conn->silent_since == TW_NEVER)
		conn->silent_since = now;
}

static struct tw_data_ref data_of(const struct tw_sent *sent)
{
	return (struct tw_data_ref){ sent->data_transfer, sent->data_offset, sent->data_length };
}

static void leave_flight(struct tw_conn *conn, const struct tw_sent *sent)
{
	conn->recovery.in_flight -= sent->bytes;
	conn->recovery.in_flight_packets--;
	if (sent->content & TW_SENT_DATA)
		conn->data_in_flight -= sent->data_length;
}

/* What stays the same for all packets of one ACK. */
struct ack_batch {
	struct tw_rate_sample sample;
	const struct tw_sent *newest; /* newest packet acknowledged for the first time */
	uint64_t newest_number;
	struct tw_sent newest_copy;
	tw_ns oldest_sent_at;
};

static int content_acked(struct tw_conn *conn, uint64_t number, const struct tw_sent *sent,
			 tw_ns now)
{
	int error = 0;
	if (sent->content & TW_SENT_DATA) {
		struct tw_data_ref ref = data_of(sent);
		conn->data_acked += sent->data_length;
		if (conn->app && conn->app->data_acked)
			conn->app->data_acked(conn->app_context, conn, &ref);
	}
	if (sent->content & TW_SENT_STREAM) {
		struct tw_send_stream *stream =
			tw_send_stream_find(&conn->send_streams, sent->stream);
		if (stream) {
			error = tw_send_stream_acked(stream, sent->stream_offset,
						     sent->stream_length,
						     sent->content & TW_SENT_STREAM_LAST);
			if (tw_send_stream_done(stream)) {
				tw_send_stream_drop(&conn->send_streams, stream);
			} else if (stream->was_full &&
				   stream->end - stream->base < TW_STREAM_BUFFER / 2) {
				stream->was_full = false;
				if (conn->app && conn->app->stream_writable)
					conn->app->stream_writable(conn->app_context, conn,
								   stream->id);
			}
		}
	}
	if (sent->content & TW_SENT_ACK)
		tw_ack_tracker_confirmed(&conn->acks, sent->ack_largest);
	if (sent->content & TW_SENT_MTU_PROBE) {
		if (tw_mtu_probe_acked(&conn->mtu, sent->bytes, now)) {
			tw_rate_controller_datagram_size(&conn->rate, conn->mtu.current);
			tw_pacer_set_datagram(&conn->pacer, conn->mtu.current);
		}
	} else {
		tw_mtu_packet_acked(&conn->mtu, sent->bytes);
	}
	tw_seal_chain_acked(&conn->seal, number);
	return error;
}

/* A loss that was none: the path reorders more than we allowed for. */
static void spurious(struct tw_conn *conn, uint64_t number, struct ack_batch *batch)
{
	struct tw_recovery *recovery = &conn->recovery;
	uint64_t distance = recovery->largest_acked > number ? recovery->largest_acked - number : 0;
	if (distance + 1 > recovery->reorder_packets)
		recovery->reorder_packets = 2 * distance + 1;
	if (recovery->reorder_packets > TW_REORDER_PACKETS_MAX)
		recovery->reorder_packets = TW_REORDER_PACKETS_MAX;
	if (recovery->reorder_eighths < TIME_EIGHTHS_MAX)
		recovery->reorder_eighths++;
	recovery->quiet_rounds = 0;
	batch->sample.spurious_packets++;
	conn->packets_spurious++;
}

static int packet_acked(struct tw_conn *conn, uint64_t number, struct tw_sent *sent,
			struct ack_batch *batch, tw_ns now)
{
	struct tw_recovery *recovery = &conn->recovery;
	if (sent->state == TW_SENT_LOST)
		spurious(conn, number, batch);
	else
		leave_flight(conn, sent);
	sent->state = TW_SENT_IDLE;
	recovery->delivered += sent->bytes;
	recovery->delivered_at = now;
	batch->sample.acked_bytes += sent->bytes;
	batch->sample.acked_packets++;
	if (sent->sent_at < batch->oldest_sent_at)
		batch->oldest_sent_at = sent->sent_at;
	if (!batch->newest || number > batch->newest_number) {
		batch->newest_copy = *sent;
		batch->newest = &batch->newest_copy;
		batch->newest_number = number;
	}
	return content_acked(conn, number, sent, now);
}

/*
 * A peer may repeat the same ranges as often as it likes: what is IDLE says where to look on, and
 * is passed in a stride.
 */
static int ack_range(struct tw_conn *conn, uint64_t number, uint64_t end, struct ack_batch *batch,
		     tw_ns now)
{
	while (number < end) {
		struct tw_sent *sent = tw_sent_map_get(&conn->recovery.sent, number);
		uint64_t next = number + 1;

		conn->recovery.looked++;
		if (sent->state != TW_SENT_IDLE) {
			int error = packet_acked(conn, number, sent, batch, now);
			if (error)
				return error;
			sent->idle_to = end;
		} else {
			if (sent->idle_to > next)
				next = sent->idle_to;
			if (sent->idle_to < end)
				sent->idle_to = end;
		}
		number = next;
	}
	return 0;
}

static int ack_ranges(struct tw_conn *conn, const struct tw_ack_frame *ack, struct ack_batch *batch,
		      tw_ns now)
{
	struct tw_sent_map *map = &conn->recovery.sent;
	for (size_t i = 0; i < ack->range_count; i++) {
		uint64_t number =
			ack->ranges[i].start > map->base ? ack->ranges[i].start : map->base;
		int error = ack_range(conn, number, ack->ranges[i].end, batch, now);
		if (error)
			return error;
		if (ack->ranges[i].start <= map->base)
			break;
	}
	return 0;
}

static void content_lost(struct tw_conn *conn, const struct tw_sent *sent, tw_ns now)
{
	if (sent->content & TW_SENT_DATA) {
		struct tw_data_ref ref = data_of(sent);
		conn->data_lost += sent->data_length;
		conn->data_ready = true;
		if (conn->app && conn->app->data_lost)
			conn->app->data_lost(conn->app_context, conn, &ref);
	}
	if (sent->content & TW_SENT_STREAM) {
		struct tw_send_stream *stream =
			tw_send_stream_find(&conn->send_streams, sent->stream);
		if (stream && tw_send_stream_lost(stream, sent->stream_offset, sent->stream_length,
						  sent->content & TW_SENT_STREAM_LAST))
			tw_conn_finish(conn, TW_CONN_RESOURCES, 0, "out of memory", true);
		conn->streams_ready = 1;
	}
	if (sent->content & TW_SENT_DATA_WINDOW)
		conn->data_window_owed = true;
	if (sent->content & TW_SENT_STREAM_WINDOW) {
		struct tw_receive_stream *stream =
			tw_receive_stream_find(&conn->receive_streams, sent->stream);
		if (stream && stream->last == UINT64_MAX) {
			stream->window_owed = true;
			conn->windows_owed = true;
		}
	}
	if (sent->content & TW_SENT_MTU_PROBE) {
		tw_mtu_probe_lost(&conn->mtu, sent->bytes, now);
	} else if (tw_mtu_packet_lost(&conn->mtu, sent->bytes, now)) {
		tw_rate_controller_datagram_size(&conn->rate, conn->mtu.current);
		tw_pacer_set_datagram(&conn->pacer, conn->mtu.current);
	}
}

static tw_ns time_threshold(const struct tw_conn *conn)
{
	tw_ns rtt = tw_ns_max(conn->model.rtt_smoothed, conn->model.rtt_latest);
	return tw_ns_max(rtt / 8 * conn->recovery.reorder_eighths, TW_RTT_GRANULARITY);
}

/* Declares lost what the thresholds say; sets when the next one is due by time. */
static void detect_losses(struct tw_conn *conn, struct tw_rate_sample *sample, tw_ns now)
{
	struct tw_recovery *recovery = &conn->recovery;
	struct tw_sent_map *map = &recovery->sent;
	tw_ns wait = time_threshold(conn);
	struct {
		uint64_t number;
		tw_ns sent_at;
	} previous = { .number = UINT64_MAX };
	bool all_gone = true;
	recovery->loss_at = TW_NEVER;
	if (!recovery->any_acked)
		return;
	if (now < recovery->scan_again_at) {
		recovery->loss_at = recovery->scan_again_at;
		return;
	}
	if (recovery->scan < map->base)
		recovery->scan = map->base;
	if (recovery->largest_acked > recovery->scan + SCAN_SHORT)
		recovery->scan_again_at =
			now + (recovery->largest_acked - recovery->scan) * SCAN_PAUSE;
	for (uint64_t number = recovery->scan; number < recovery->largest_acked; number++) {
		struct tw_sent *sent = tw_sent_map_get(map, number);
		recovery->looked++;
		if (sent->state == TW_SENT_FLIGHT) {
			bool by_count =
				recovery->reorder_packets <= REORDER_COUNTED &&
				recovery->largest_acked - number >= recovery->reorder_packets;
			if (!by_count && sent->sent_at + wait > now) {
				recovery->loss_at =
					tw_ns_min(recovery->loss_at, sent->sent_at + wait);
				all_gone = false;
				continue;
			}
			sent->state = TW_SENT_LOST;
			leave_flight(conn, sent);
			conn->packets_lost++;
			if (!(sent->content & TW_SENT_MTU_PROBE)) {
				sample->lost_bytes += sent->bytes;
				sample->lost_packets++;
				recovery->lost_total += sent->bytes;
				recovery->round_lost++;
				recovery->round_pairs += previous.number + 1 == number &&
							 previous.sent_at == sent->sent_at;
				previous.number = number;
				previous.sent_at = sent->sent_at;
			}
			content_lost(conn, sent, now);
		}
		if (all_gone)
			recovery->scan = number + 1;
	}
}

static int64_t forward_delay(const struct tw_ack_frame *ack, tw_ns sent_at)
{
	/* 48 bits of two clocks with an unknown offset: the difference is right modulo 2^48 us,
	 * and 8.9 years are plenty. */
	uint64_t difference = (ack->receive_time_us - sent_at / TW_USEC) << (64 - US_BITS);
	return ((int64_t)difference >> (64 - US_BITS)) * (int64_t)TW_USEC;
}

static void rate_of(const struct tw_recovery *recovery, struct ack_batch *batch)
{
	const struct tw_sent *newest = batch->newest;
	struct tw_rate_sample *sample = &batch->sample;
	tw_ns send_time = newest->sent_at - newest->first_sent_at;
	tw_ns ack_time = tw_ns_since(recovery->delivered_at, newest->delivered_at);
	tw_ns interval = tw_ns_max(send_time, ack_time);
	sample->app_limited = newest->content & TW_SENT_APP_LIMITED;
	sample->in_flight_before = newest->in_flight;
	sample->delivery_interval = interval;
	if (interval)
		sample->delivery_rate_bps =
			(uint64_t)((double)(recovery->delivered - newest->delivered) * 8e9 /
				   (double)interval);
}

static void end_round(struct tw_conn *conn)
{
	struct tw_recovery *recovery = &conn->recovery;
	recovery->round_end = recovery->delivered;
	/* Losses that find each other in one train more often than not, and twice as often as
	 * chance explains, are the train's own. */
	if (2 * recovery->round_pairs > recovery->round_lost &&
	    (double)recovery->round_pairs >
		    2 * conn->model.loss_smoothed * (double)recovery->round_lost)
		tw_pacer_train_lost(&conn->pacer);
	else
		tw_pacer_round_quiet(&conn->pacer);
	recovery->round_lost = recovery->round_pairs = 0;
	if (recovery->reorder_packets == TW_REORDER_PACKETS ||
	    ++recovery->quiet_rounds < QUIET_ROUNDS)
		return;
	recovery->quiet_rounds = 0;
	recovery->reorder_packets -= (recovery->reorder_packets - TW_REORDER_PACKETS + 3) / 4;
	if (recovery->reorder_eighths > TIME_EIGHTHS_MIN)
		recovery->reorder_eighths--;
}

static void finish_sample(struct tw_conn *conn, struct ack_batch *batch, tw_ns now)
{
	struct tw_recovery *recovery = &conn->recovery;
	struct tw_rate_sample *sample = &batch->sample;
	if (!sample->acked_packets && !sample->lost_packets && !sample->rtt)
		return;
	sample->now = now;
	sample->in_flight_bytes = recovery->in_flight;
	sample->delivered_total = recovery->delivered;
	sample->lost_total = recovery->lost_total;
	if (batch->newest) {
		rate_of(recovery, batch);
		sample->burst_span = batch->newest->sent_at - batch->oldest_sent_at;
		recovery->first_sent_at = batch->newest->sent_at;
		if (batch->newest->delivered >= recovery->round_end) {
			sample->round_start = true;
			end_round(conn);
		}
	}
	if (recovery->app_limited_until && recovery->delivered > recovery->app_limited_until)
		recovery->app_limited_until = 0;
	tw_path_model_update(&conn->model, sample);
	tw_rate_controller_sample(&conn->rate, &conn->model, sample);
	tw_rate_controller_pace(&conn->rate, &conn->pacer, now);
}

int tw_recovery_ack(struct tw_conn *conn, const struct tw_ack_frame *ack, tw_ns now)
{
	struct tw_recovery *recovery = &conn->recovery;
	struct tw_sent_map *map = &recovery->sent;
	if (ack->largest >= map->next)
		return TW_E_FORMAT;
	struct ack_batch batch = {
		.sample = { .forward_delay = INT64_MIN },
		.oldest_sent_at = TW_NEVER,
	};
	/*
	 * A packet that asked for no acknowledgement measures as well as any. It has to: a sender
	 * that is held back and answers its peer has such a packet behind each of its own, and
	 * would never learn that the path has become longer.
	 */
	bool largest_is_new = ack->largest >= map->base &&
			      (!recovery->any_acked || ack->largest > recovery->largest_acked);
	tw_ns largest_sent_at = largest_is_new ? tw_sent_map_get(map, ack->largest)->sent_at : 0;
	int error = ack_ranges(conn, ack, &batch, now);
	if (error)
		return error;
	if (!recovery->any_acked || ack->largest > recovery->largest_acked) {
		recovery->largest_acked = ack->largest;
		recovery->any_acked = true;
	}
	if (largest_is_new) {
		tw_ns delay = tw_ns_min(ack->delay_us, UINT32_MAX) * TW_USEC;
		tw_ns elapsed = tw_ns_since(now, largest_sent_at);
		batch.sample.rtt = elapsed > delay ? elapsed - delay : elapsed;
		if (!batch.sample.rtt)
			batch.sample.rtt = 1;
		batch.sample.forward_delay = forward_delay(ack, largest_sent_at);
		batch.sample.sent_at = largest_sent_at;
	}
	if (batch.sample.acked_packets) {
		recovery->pto_count = 0;
		recovery->probes_owed = 0;
	}
	detect_losses(conn, &batch.sample, now);
	finish_sample(conn, &batch, now);
	tw_sent_map_trim(map,
			 tw_ns_since(now, 3 * tw_ns_max(conn->model.rtt_smoothed, 10 * TW_MSEC)));
	return 0;
}

static tw_ns pto_interval(const struct tw_conn *conn)
{
	tw_ns pto = tw_path_model_pto(&conn->model) +
		    tw_ns_min(conn->peer.ack_delay_us, 1000000) * TW_USEC;
	tw_ns cap = tw_ns_max(TW_PTO_MAX, pto);
	/* The second of a pair, so far behind the first that one burst does not take both. */
	if (conn->recovery.pto_count & 1)
		return tw_ns_max(conn->model.rtt_smoothed / 4, TW_RTT_GRANULARITY);
	/* Every second pair: at heavy loss the first silence is chance more often than an outage.
	 */
	unsigned doublings = conn->recovery.pto_count / 4;
	if (doublings > 16)
		doublings = 16;
	return tw_ns_min(pto << doublings, cap);
}

/* A young connection does not know yet what the path loses. */
static bool may_lose(const struct tw_conn *conn)
{
	return conn->packets_lost || conn->acks.received.count > 1 ||
	       tw_ns_since(conn->recovery.last_eliciting_at, conn->established_at) <
		       ECHO_ROUNDS * conn->model.rtt_smoothed;
}

/*
 * What a stream said last, and nobody says more behind it, would be missed for a probe timeout and
 * a round trip. It goes again a moment later, so that one burst does not take both.
 */
static tw_ns echo_at(const struct tw_conn *conn)
{
	const struct tw_recovery *recovery = &conn->recovery;
	if (!recovery->echoes || !recovery->in_flight_packets || !conn->model.rtt_known ||
	    conn->model.rtt_smoothed < ECHO_RTT || !may_lose(conn))
		return TW_NEVER;
	return recovery->last_eliciting_at + conn->model.rtt_smoothed / ECHO_PART;
}

/* The end of each stream that is not acknowledged leaves once more, a packet of it at most. */
static void repeat_streams(struct tw_conn *conn)
{
	for (size_t i = 0; i < conn->send_streams.count; i++) {
		struct tw_send_stream *stream = conn->send_streams.streams[i];
		bool last = stream->last_sent && !stream->last_acked;
		uint64_t start = stream->base;
		if (stream->next - start > ECHO_BYTES)
			start = stream->next - ECHO_BYTES;
		if (start == stream->next && !last)
			continue;
		/* Without memory for it the loss will be noticed, only later. */
		(void)tw_send_stream_lost(stream, start, stream->next - start, last);
		conn->streams_ready = 1;
	}
}

tw_ns tw_recovery_deadline(const struct tw_conn *conn)
{
	const struct tw_recovery *recovery = &conn->recovery;
	tw_ns echo = echo_at(conn);
	if (recovery->loss_at != TW_NEVER)
		return tw_ns_min(recovery->loss_at, echo);
	if (!recovery->in_flight_packets)
		return TW_NEVER;
	return tw_ns_min(recovery->last_eliciting_at + pto_interval(conn), echo);
}

void tw_recovery_timeout(struct tw_conn *conn, tw_ns now)
{
	struct tw_recovery *recovery = &conn->recovery;
	if (echo_at(conn) <= now) {
		recovery->echoes--;
		repeat_streams(conn);
	}
	if (recovery->loss_at != TW_NEVER) {
		if (recovery->loss_at > now)
			return;
		struct ack_batch batch = { .sample = { .forward_delay = INT64_MIN } };
		detect_losses(conn, &batch.sample, now);
		finish_sample(conn, &batch, now);
		return;
	}
	if (!recovery->in_flight_packets || recovery->last_eliciting_at + pto_interval(conn) > now)
		return;
	recovery->pto_count++;
	/* In pairs, because one may be lost as what it asks about (RFC 9002, 6.2.4). */
	recovery->probes_owed = 1;
	repeat_streams(conn);
	/* The first pair only asks about the tail; silence beyond it is news for the controller. */
	if (recovery->pto_count == 3)
		tw_rate_controller_timeout(&conn->rate, &conn->model, now);
	tw_rate_controller_pace(&conn->rate, &conn->pacer, now);
}

void tw_recovery_nudge(struct tw_conn *conn, tw_ns now)
{
	struct tw_recovery *recovery = &conn->recovery;
	tw_ns pto = tw_path_model_pto(&conn->model);
	/* Anybody on the way can say so: no more than one packet a while. */
	if (conn->state != TW_CONN_ESTABLISHED || conn->silent_since == TW_NEVER ||
	    tw_ns_since(now, conn->silent_since) < pto ||
	    tw_ns_since(now, recovery->nudged_at) < tw_ns_max(pto, 100 * TW_MSEC))
		return;
	recovery->nudged_at = now;
	if (!recovery->probes_owed)
		recovery->probes_owed = 1;
}
