/*
 * samples.c - a sample of each running transfer every second: what the graphs show.
 *
 * The newest SAMPLES_FINE are kept as they came, an hour of them. What is older is thinned out:
 * when the fine part is full, its older half becomes one sample for each COARSE_SECONDS in the
 * coarse part, which itself is thinned by two when full. A transfer that has ended keeps at most
 * SAMPLES_SETTLED. Sums stay right whatever is thinned: a sample carries counters, not rates.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "netio/clock.h"

#define SAMPLES_FINE 7200
#define SAMPLES_COARSE 2048
#define SAMPLES_SETTLED 256
#define COARSE_SECONDS 60
#define SMOOTH_SHARE 0.2 /* of the newest second in the smoothed rate */

/* Counters at a moment; rates come from the difference to the sample before. */
struct sample {
	int64_t time;
	uint64_t acked, sent, content, again, read, rate_kbps;
};

struct tw_samples {
	struct sample *coarse, *fine;
	size_t coarse_count, fine_count, fine_room;
	struct sample base; /* what the first one is compared with */
	uint64_t throughput_kbps;
	double smooth_bps;
};

void tw_samples_free(struct tw_samples *samples)
{
	if (!samples)
		return;
	free(samples->coarse);
	free(samples->fine);
	free(samples);
}

/* Keeps every @step-th of @count, the last one always; returns how many stay. */
static size_t thin(const struct sample *from, size_t count, size_t step, struct sample *to)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if ((count - 1 - i) % step == 0)
			to[kept++] = from[i];
	return kept;
}

static bool make_coarse_room(struct tw_samples *samples)
{
	size_t half = samples->fine_count / 2;
	size_t wanted = half / COARSE_SECONDS + 1;

	if (!samples->coarse)
		samples->coarse = calloc(SAMPLES_COARSE, sizeof(*samples->coarse));
	if (!samples->coarse)
		return false;
	if (samples->coarse_count + wanted > SAMPLES_COARSE)
		samples->coarse_count =
			thin(samples->coarse, samples->coarse_count, 2, samples->coarse);
	samples->coarse_count +=
		thin(samples->fine, half, COARSE_SECONDS, samples->coarse + samples->coarse_count);
	samples->fine_count -= half;
	memmove(samples->fine, samples->fine + half, samples->fine_count * sizeof(*samples->fine));
	return true;
}

static struct sample *next_sample(struct tw_samples *samples)
{
	if (samples->fine_count == SAMPLES_FINE && !make_coarse_room(samples))
		samples->fine_count = 0;
	if (samples->fine_count == samples->fine_room) {
		size_t room = samples->fine_room ? samples->fine_room * 2 : 8;
		struct sample *fine;

		if (room > SAMPLES_FINE)
			room = SAMPLES_FINE;
		fine = realloc(samples->fine, room * sizeof(*fine));
		if (!fine)
			return NULL;
		samples->fine = fine;
		samples->fine_room = room;
	}
	return &samples->fine[samples->fine_count++];
}

static struct sample take(const struct tw_transfer *transfer, tw_ns at)
{
	struct tw_transfer_figures figures;

	tw_transfer_figures(transfer, &figures);
	return (struct sample){
		.time = tw_transfer_time(transfer, at),
		.acked = figures.bytes_acked,
		.sent = figures.bytes_sent,
		.content = figures.content_sent,
		.again = figures.bytes_retransmitted,
		.read = figures.bytes_read,
	};
}

static uint64_t kbps(uint64_t before, uint64_t after, int64_t us)
{
	return us > 0 && after > before ? (uint64_t)((double)(after - before) * 8000 / (double)us)
					: 0;
}

static uint64_t allowed_kbps(const struct tw_transfer *transfer)
{
	const struct tw_worker_destination_status *live =
		transfer->destination ? tw_destination_live(transfer->destination) : NULL;
	uint64_t rate = live && live->connected ? live->conn.pacing_bps / 1000 : 0;

	return transfer->send_rate_max < rate ? transfer->send_rate_max : rate;
}

void tw_samples_begin(struct tw_transfer *transfer)
{
	if (transfer->samples)
		return;
	transfer->samples = calloc(1, sizeof(*transfer->samples));
	if (transfer->samples)
		transfer->samples->base = take(transfer, tw_clock_now());
}

void tw_samples_add(struct tw_transfer *transfer, tw_ns at)
{
	struct sample now = take(transfer, at), *before, *added;
	struct tw_samples *samples = transfer->samples;

	if (!samples)
		return;
	before = samples->fine_count ? &samples->fine[samples->fine_count - 1] : &samples->base;
	if (now.time <= before->time)
		return;
	now.rate_kbps = allowed_kbps(transfer);
	samples->throughput_kbps = kbps(before->acked, now.acked, now.time - before->time);
	samples->smooth_bps +=
		((double)samples->throughput_kbps * 1000 - samples->smooth_bps) *
		(samples->fine_count < 5 ? 1.0 / (double)(samples->fine_count + 1) : SMOOTH_SHARE);
	added = next_sample(samples);
	if (added)
		*added = now;
}

void tw_samples_settle(struct tw_transfer *transfer)
{
	struct tw_samples *samples = transfer->samples;
	size_t count, step;
	struct sample *all;

	/* The last part of a second counts too. */
	tw_samples_add(transfer, tw_clock_now());
	if (!samples || !samples->fine_count)
		return;
	count = samples->coarse_count + samples->fine_count;
	all = malloc(count * sizeof(*all));
	if (!all)
		return;
	if (samples->coarse_count)
		memcpy(all, samples->coarse, samples->coarse_count * sizeof(*all));
	memcpy(all + samples->coarse_count, samples->fine, samples->fine_count * sizeof(*all));
	step = (count + SAMPLES_SETTLED - 1) / SAMPLES_SETTLED;
	free(samples->coarse);
	free(samples->fine);
	samples->coarse = NULL;
	samples->coarse_count = 0;
	samples->fine_count = thin(all, count, step, all);
	samples->fine = realloc(all, samples->fine_count * sizeof(*all));
	if (!samples->fine)
		samples->fine = all;
	samples->fine_room = samples->fine_count;
}

uint64_t tw_samples_throughput(const struct tw_samples *samples)
{
	return samples ? samples->throughput_kbps : 0;
}

double tw_samples_smooth_bps(const struct tw_samples *samples)
{
	return samples ? samples->smooth_bps : 0;
}

static void show(const struct sample *before, const struct sample *sample,
		 struct tw_transfer_sample_view *ret)
{
	int64_t us = sample->time - before->time;
	uint64_t sent = sample->content - before->content;

	*ret = (struct tw_transfer_sample_view){
		.time = sample->time,
		.bytes_transferred = sample->acked,
		.throughput = kbps(before->acked, sample->acked, us),
		.retransmit_percent =
			sent ? (double)(sample->again - before->again) * 100 / (double)sent : 0,
		.send_rate = sample->rate_kbps,
		.disk_read_rate = kbps(before->read, sample->read, us),
		.network_send_rate = kbps(before->sent, sample->sent, us),
	};
}

int tw_engine_transfer_samples(struct tw_engine *engine, const struct tw_caller *caller,
			       const char *id, int64_t since_us, struct tw_list *ret,
			       struct tw_fault *fault)
{
	struct tw_transfer *transfer = (struct tw_transfer *)tw_caller_object(
		&engine->transfers, caller, id, "transferId", fault);
	const struct tw_samples *samples;
	struct tw_transfer_sample_view *views;
	size_t count, shown = 0;

	if (!transfer)
		return (int)fault->code;
	samples = transfer->samples;
	count = samples ? samples->coarse_count + samples->fine_count : 0;
	views = realloc(engine->sample_views, (count + 1) * sizeof(*views));
	if (!views)
		return tw_no_memory(fault);
	engine->sample_views = views;
	for (size_t i = 0; i < count; i++) {
		bool coarse = i < samples->coarse_count;
		const struct sample *sample =
			coarse ? &samples->coarse[i] : &samples->fine[i - samples->coarse_count];
		const struct sample *before = !i                           ? &samples->base
					      : i <= samples->coarse_count ? &samples->coarse[i - 1]
									   : sample - 1;

		if (sample->time > since_us)
			show(before, sample, &views[shown++]);
	}
	*ret = (struct tw_list){ views, shown, sizeof(*views) };
	return TW_FAULT_NONE;
}
