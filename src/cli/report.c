#include "cli/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

void tw_report_init(struct tw_report *report, uint64_t wall_us, tw_ns now)
{
	memset(report, 0, sizeof *report);
	report->wall_us = wall_us;
	report->begun = now;
}

uint64_t tw_report_time(const struct tw_report *report, tw_ns at)
{
	if (at < report->begun)
		return report->wall_us - (report->begun - at) / 1000;
	return report->wall_us + (at - report->begun) / 1000;
}

void tw_report_look(struct tw_report_view *view, const struct tw_worker_snapshot *snapshot)
{
	view->at = snapshot->at;
	view->stopped = snapshot->stopped;
	if (snapshot->destination_count)
		view->destination = snapshot->destinations[0];
	/* The same snapshot may be looked at again behind the end. */
	if (snapshot->sending_count && !view->ended)
		view->transfer = snapshot->sending[0];
}

static const struct tw_report_sample *sample(const struct tw_report *report, size_t back)
{
	return &report->samples[(report->sample_count - 1 - back) % TW_REPORT_SAMPLES];
}

void tw_report_sample(struct tw_report *report, const struct tw_report_view *view)
{
	struct tw_report_sample now = {
		.at = view->at,
		.acked = view->transfer.sender.bytes_acked - view->transfer.sender.bytes_held,
		.sent = view->destination.bytes_sent,
		.packets_sent = view->destination.packets_sent,
	};

	/* Snapshots come more often around changes of state, and the ring must reach back over the
	 * window: the newest sample moves on until it is far enough from the one before. */
	if (report->sample_count > 1 && now.at - sample(report, 1)->at < TW_REPORT_WINDOW / 32)
		report->sample_count--;
	report->sample_count++;
	report->samples[(report->sample_count - 1) % TW_REPORT_SAMPLES] = now;
}

/* The youngest sample that is a whole window older than the newest, or the oldest there is; NULL:
 * only one. */
static const struct tw_report_sample *window_start(const struct tw_report *report)
{
	const struct tw_report_sample *newest, *at = NULL;

	if (report->sample_count < 2)
		return NULL;
	newest = sample(report, 0);
	for (size_t back = 1; back < report->sample_count && back < TW_REPORT_SAMPLES; back++) {
		at = sample(report, back);
		if (newest->at - at->at >= TW_REPORT_WINDOW)
			break;
	}
	return at;
}

static uint64_t per_second(uint64_t from, uint64_t to, tw_ns span)
{
	if (to <= from || span == 0)
		return 0;
	return (uint64_t)((double)(to - from) * 8.0 * (double)TW_SECOND / (double)span);
}

uint64_t tw_report_rate(const struct tw_report *report)
{
	const struct tw_report_sample *start = window_start(report);

	return start ? per_second(start->acked, sample(report, 0)->acked,
				  sample(report, 0)->at - start->at)
		     : 0;
}

uint64_t tw_report_send_rate(const struct tw_report *report)
{
	const struct tw_report_sample *start = window_start(report);

	return start ? per_second(start->sent, sample(report, 0)->sent,
				  sample(report, 0)->at - start->at)
		     : 0;
}

tw_ns tw_report_time_left(const struct tw_report *report, const struct tw_report_view *view)
{
	const struct tw_sender_status *sender = &view->transfer.sender;
	uint64_t left = sender->total_bytes - sender->bytes_acked, rate = tw_report_rate(report);
	tw_ns since = sender->started_at ? tw_ns_since(view->at, sender->started_at) : 0;
	uint64_t mean = per_second(sender->bytes_held, sender->bytes_acked, since);

	if (!sender->walk_over || sender->bytes_acked > sender->total_bytes)
		return TW_NEVER;
	/* The mean steadies a rate that jumps; it counts for more the longer it was measured. */
	if (since >= 4 * TW_SECOND && mean > 0)
		rate = (rate + mean) / 2;
	if (rate == 0)
		return left == 0 ? 0 : TW_NEVER;
	return (tw_ns)((double)left * 8.0 / (double)rate * (double)TW_SECOND);
}

const char *tw_report_milliseconds(tw_ns duration, char ret[32])
{
	double ms = (double)duration / (double)TW_MSEC;

	snprintf(ret, 32, "%.*f ms", ms < 1 ? 2 : ms < 10 ? 1 : 0, ms);
	return ret;
}

static void append(char *ret, size_t room, const char *text)
{
	size_t used = strlen(ret);

	snprintf(ret + used, room - used, "%s%s", used ? "  " : "", text);
}

static void append_amount(const struct tw_sender_status *sender, char *ret, size_t room)
{
	char done[TW_TEXT_SHORT], total[TW_TEXT_SHORT], text[2 * TW_TEXT_SHORT + 16];
	/* Never "100 %" before it is true. */
	double share = sender->total_bytes
			       ? (double)sender->bytes_acked * 100.0 / (double)sender->total_bytes
			       : 0;

	tw_text_size(sender->bytes_acked, done);
	tw_text_size(sender->total_bytes, total);
	if (sender->walk_over)
		snprintf(text, sizeof text, "%s of %s, %d %%", done, total, (int)share);
	else
		snprintf(text, sizeof text, "%s of %s so far", done, total);
	append(ret, room, text);
}

const char *tw_report_line(const struct tw_report *report, const struct tw_report_view *view,
			   size_t columns, char ret[TW_REPORT_LINE])
{
	size_t room = columns + 1 < TW_REPORT_LINE ? columns + 1 : TW_REPORT_LINE;
	char text[TW_REPORT_LINE], part[TW_TEXT_SHORT];
	tw_ns left = tw_report_time_left(report, view);

	ret[0] = '\0';
	append_amount(&view->transfer.sender, ret, room);
	if (view->destination.waiting) {
		snprintf(text, sizeof text, "waiting for %.64s since %s", report->url->host,
			 tw_text_duration(tw_ns_since(view->at, view->destination.waiting_since),
					  part));
		append(ret, room, text);
		return ret;
	}
	append(ret, room, tw_text_rate(tw_report_rate(report), part));
	if (left != TW_NEVER) {
		snprintf(text, sizeof text, "%s left", tw_text_duration(left, part));
		append(ret, room, text);
	}
	if (view->destination.connected) {
		snprintf(text, sizeof text, "round trip %s  loss %.1f %%",
			 tw_report_milliseconds(view->destination.conn.rtt_smoothed, part),
			 view->destination.conn.loss * 100.0);
		append(ret, room, text);
	}
	return ret;
}

void tw_report_summary(const struct tw_report *report, const struct tw_report_view *view, char *ret,
		       size_t room)
{
	const struct tw_sender_status *sender = &view->transfer.sender;
	tw_ns end = sender->finished_at ? sender->finished_at : view->at;
	tw_ns span = tw_ns_since(end, report->begun);
	uint64_t moved = sender->bytes_acked - sender->bytes_held;
	char size[TW_TEXT_SHORT], time[TW_TEXT_SHORT], rate[32], digest[2 * TW_DIGEST_SIZE + 1],
		held[80] = "";
	double again = sender->bytes_sent ? (double)sender->bytes_retransmitted * 100.0 /
						    (double)sender->bytes_sent
					  : 0;

	snprintf(rate, sizeof rate, "%.1f", span ? (double)moved * 8000.0 / (double)span : 0.0);
	if (sender->bytes_held)
		snprintf(held, sizeof held, " (%s were there already)",
			 tw_text_size(sender->bytes_held, time));
	snprintf(ret, room,
		 "%" PRIu64 " files, %s%s in %.2f s, %s Mbit/s\n"
		 "round trip %s, retransmitted %.2f %%, path MTU payload %u bytes, cipher %s\n",
		 sender->files_done + sender->files_skipped,
		 tw_text_size(sender->bytes_acked, size), held, (double)span / (double)TW_SECOND,
		 rate,
		 tw_report_milliseconds(view->destination.conn.rtt_min
						? view->destination.conn.rtt_min
						: view->destination.conn.rtt_smoothed,
					time),
		 again, view->destination.conn.datagram_bytes, tw_cipher_name(report->cipher));
	if (sender->finished &&
	    (sender->error == TW_TRANSFER_OK || sender->error == TW_TRANSFER_ENTRIES)) {
		size_t used = strlen(ret);

		snprintf(ret + used, room - used, "digest xxh3-128:%s, checked at the receiver%s\n",
			 tw_text_hex(sender->digest.bytes, TW_DIGEST_SIZE, digest),
			 sender->files_failed ? "; some files were left out" : "");
	}
}
