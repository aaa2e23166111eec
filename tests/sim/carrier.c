#include "carrier.h"

#include <stdlib.h>

static void begin(struct sim_carrier *carrier)
{
	struct sim_disk *disk = carrier->disk;
	uint64_t moved = disk->bytes_moved, flushes = disk->flushes;
	tw_ns start = tw_ns_max(carrier->sim->now, disk->hangs_until);
	tw_ns cost;

	if (!carrier->first)
		return;
	carrier->running = true;
	carrier->first->job->at_once =
		disk->config.in_memory && tw_job_is_quick(carrier->first->job);
	tw_job_run(carrier->first->job);
	moved = disk->bytes_moved - moved;
	flushes = disk->flushes - flushes;
	cost = disk->config.latency * (1 + flushes);
	if (carrier->first->job->at_once)
		cost = 0;
	else if (disk->config.rate)
		cost += moved * TW_SECOND / disk->config.rate;
	sim_set(carrier->sim, &carrier->event, start + cost);
}

static struct tw_job *take(struct sim_carrier *carrier)
{
	struct sim_carried *carried = carrier->first;
	struct tw_job *job = carried->job;

	carrier->first = carried->next;
	if (!carrier->first)
		carrier->last = NULL;
	free(carried);
	return job;
}

static void ended(void *context)
{
	struct sim_carrier *carrier = context;
	struct tw_job *job = take(carrier);

	/* What done() submits queues up behind. */
	carrier->done(carrier->context, job);
	carrier->running = false;
	begin(carrier);
}

void sim_carrier_submit(struct sim_carrier *carrier, struct tw_job *job)
{
	struct sim_carried *carried = sim_alloc(sizeof(*carried));

	carried->job = job;
	if (carrier->last)
		carrier->last->next = carried;
	else
		carrier->first = carried;
	carrier->last = carried;
	carrier->jobs++;
	if (!carrier->running)
		begin(carrier);
}

void sim_carrier_drain(struct sim_carrier *carrier)
{
	sim_set(carrier->sim, &carrier->event, TW_NEVER);
	while (carrier->first) {
		struct tw_job *job = take(carrier);

		/* The first one had been run already. */
		if (!carrier->running)
			tw_job_run(job);
		carrier->running = true;
		carrier->done(carrier->context, job);
		carrier->running = false;
	}
	carrier->running = false;
}

void sim_carrier_init(struct sim_carrier *carrier, struct sim *sim, struct sim_disk *disk)
{
	*carrier = (struct sim_carrier){ .sim = sim, .disk = disk };
	carrier->event = (struct sim_event){ .fire = ended, .context = carrier };
}
