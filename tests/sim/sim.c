#include "sim.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void *sim_alloc(size_t size)
{
	void *bytes = calloc(1, size);

	if (!bytes) {
		fprintf(stderr, "out of memory\n");
		abort();
	}
	return bytes;
}

void sim_init(struct sim *sim, uint64_t seed)
{
	*sim = (struct sim){ .now = SIM_START, .digest = tw_digest_new() };
	assert(sim->digest);
	tw_prng_init(&sim->prng, seed);
}

void sim_deinit(struct sim *sim)
{
	for (size_t i = 0; i < sim->count; i++) {
		struct sim_event *event = sim->heap[i];

		event->place = 0;
		if (event->drop)
			event->drop(event->context);
	}
	free(sim->heap);
	tw_digest_free(sim->digest);
	*sim = (struct sim){ 0 };
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at != b->at ? a->at < b->at : a->sequence < b->sequence;
}

static void put(struct sim *sim, size_t place, struct sim_event *event)
{
	sim->heap[place - 1] = event;
	event->place = place;
}

static void settle(struct sim *sim, size_t place)
{
	struct sim_event *event = sim->heap[place - 1];

	while (place > 1 && before(event, sim->heap[place / 2 - 1])) {
		put(sim, place, sim->heap[place / 2 - 1]);
		place /= 2;
	}
	for (;;) {
		size_t child = place * 2;

		if (child > sim->count)
			break;
		if (child < sim->count && before(sim->heap[child], sim->heap[child - 1]))
			child++;
		if (!before(sim->heap[child - 1], event))
			break;
		put(sim, place, sim->heap[child - 1]);
		place = child;
	}
	put(sim, place, event);
}

static void take_out(struct sim *sim, struct sim_event *event)
{
	size_t place = event->place;
	struct sim_event *last = sim->heap[--sim->count];

	event->place = 0;
	if (last == event)
		return;
	put(sim, place, last);
	settle(sim, place);
}

void sim_set(struct sim *sim, struct sim_event *event, tw_ns at)
{
	if (at == TW_NEVER) {
		if (event->place)
			take_out(sim, event);
		return;
	}
	event->at = tw_ns_max(at, sim->now);
	event->sequence = ++sim->sequence;
	if (!event->place) {
		if (sim->count == sim->room) {
			sim->room = sim->room ? sim->room * 2 : 256;
			sim->heap = realloc(sim->heap, sim->room * sizeof(struct sim_event *));
			assert(sim->heap);
		}
		put(sim, ++sim->count, event);
	}
	settle(sim, event->place);
}

struct call {
	struct sim_event event;
	void (*fire)(void *context);
	void (*drop)(void *context);
	void *context;
};

static void call_fire(void *context)
{
	struct call call = *(struct call *)context;

	free(context);
	call.fire(call.context);
}

static void call_drop(void *context)
{
	struct call call = *(struct call *)context;

	free(context);
	if (call.drop)
		call.drop(call.context);
}

void sim_call(struct sim *sim, tw_ns at, void (*fire)(void *), void (*drop)(void *), void *context)
{
	struct call *call = sim_alloc(sizeof(*call));

	*call = (struct call){
		.event = { .fire = call_fire, .drop = call_drop, .context = call },
		.fire = fire,
		.drop = drop,
		.context = context,
	};
	sim_set(sim, &call->event, at);
}

bool sim_run(struct sim *sim, tw_ns until, bool (*done)(void *), void *context)
{
	if (done && done(context))
		return true;
	while (!sim->failed && sim->count && sim->heap[0]->at <= until) {
		struct sim_event *event = sim->heap[0];

		assert(event->at >= sim->now);
		sim->now = event->at;
		take_out(sim, event);
		event->fire(event->context);
		if (done && done(context))
			return true;
	}
	if (!sim->failed)
		sim->now = tw_ns_max(sim->now, until);
	return false;
}

void sim_fail(struct sim *sim, const char *format, ...)
{
	va_list arguments;

	if (sim->failed)
		return;
	sim->failed = true;
	int length = snprintf(sim->failure, sizeof(sim->failure),
			      "at %.6f s: ", (double)(sim->now - SIM_START) / 1e9);
	va_start(arguments, format);
	vsnprintf(sim->failure + length, sizeof(sim->failure) - (size_t)length, format, arguments);
	va_end(arguments);
}

void sim_note(struct sim *sim, const char *format, ...)
{
	va_list arguments;

	if (!sim->verbose)
		return;
	printf("# %12.6f  ", (double)(sim->now - SIM_START) / 1e9);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
	fflush(stdout);
}

void sim_digest(struct sim *sim, unsigned direction, const uint8_t *bytes, size_t length)
{
	const uint64_t header[3] = { sim->now, direction, length };

	tw_digest_update(sim->digest, header, sizeof(header));
	tw_digest_update(sim->digest, bytes, length);
	sim->datagrams++;
}

bool sim_chance(struct sim *sim, double share)
{
	return share > 0 && tw_prng_unit(&sim->prng) < share;
}

double sim_between(struct sim *sim, double low, double high)
{
	return low + (high - low) * tw_prng_unit(&sim->prng);
}
