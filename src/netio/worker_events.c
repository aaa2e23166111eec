/*
 * worker_events.c - what happened, told once. Events about single files are left out when much
 * waits already, and counted; all others wait in the worker until there is room.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "netio/worker_private.h"

void tw_worker_ring_bell(struct tw_worker *worker)
{
	uint64_t one = 1;

	/* Fails only when the counter is about to overflow, and then it is readable anyway. */
	if (write(worker->control_fd, &one, sizeof one) < 0)
		return;
}

static bool is_roomy(struct tw_worker *worker)
{
	return !worker->late && tw_ring_count(&worker->events) < TW_WORKER_EVENTS / 4 * 3;
}

static void set_text(struct tw_worker_event *event, const char *text)
{
	snprintf(event->text, sizeof event->text, "%s", text ? text : "");
}

/* Behind those that wait already, so that the order stays. */
static bool emit(struct tw_worker *worker, const struct tw_worker_event *event)
{
	bool told = !worker->late && tw_ring_push(&worker->events, event);

	tw_worker_ring_bell(worker);
	return told;
}

static void emit_file(struct tw_worker *worker, struct tw_worker_event *event, const char *text)
{
	set_text(event, text);
	if (!is_roomy(worker) || !emit(worker, event))
		worker->events_lost++;
}

/* Only want of memory loses it. */
static void emit_surely(struct tw_worker *worker, struct tw_worker_event *event, const char *text)
{
	struct late_event *late;

	set_text(event, text);
	if (emit(worker, event))
		return;
	late = malloc(sizeof *late);
	if (!late) {
		worker->events_lost++;
		return;
	}
	*late = (struct late_event){ .event = *event };
	*worker->late_end = late;
	worker->late_end = &late->next;
}

void tw_worker_tell_discovered(struct tw_worker *worker, struct tw_worker_event *event)
{
	emit_surely(worker, event, "");
}

bool tw_worker_events_flush(struct tw_worker *worker)
{
	while (worker->late) {
		struct late_event *late = worker->late;

		if (!tw_ring_push(&worker->events, &late->event))
			break;
		worker->late = late->next;
		if (!worker->late)
			worker->late_end = &worker->late;
		free(late);
		tw_worker_ring_bell(worker);
	}
	return !worker->late;
}

void tw_worker_events_free(struct tw_worker *worker)
{
	while (worker->late) {
		struct late_event *late = worker->late;

		worker->late = late->next;
		free(late);
	}
}

/* The transfer as it is at the moment: it may be gone from the next snapshot. */
static void add_transfer(const struct tw_worker *worker, struct tw_worker_event *event)
{
	for (size_t i = 0; i < tw_receiver_count(worker->hub); i++)
		if (tw_receiver_status(worker->hub, i, &event->transfer) &&
		    event->transfer.id == event->id)
			return;
	event->transfer = (struct tw_receiver_status){ .id = event->id };
}

static void on_started(void *context, uint64_t id, const char *destination, bool resumed)
{
	struct tw_worker_event event = { .type = resumed ? TW_WORKER_RESUMED : TW_WORKER_STARTED,
					 .id = id };
	struct tw_worker *worker = context;

	add_transfer(worker, &event);
	worker->publish_soon = true;
	emit_surely(worker, &event, destination);
}

static void on_file_done(void *context, uint64_t id, const char *path)
{
	struct tw_worker_event event = { .type = TW_WORKER_FILE_DONE, .id = id };
	struct tw_worker *worker = context;

	if (worker->file_events)
		emit_file(worker, &event, path);
}

static void on_file_failed(void *context, uint64_t id, const char *path, int error)
{
	struct tw_worker_event event = { .type = TW_WORKER_FILE_FAILED, .id = id, .error = error };

	emit_file(context, &event, path);
}

static void on_finished(void *context, uint64_t id, enum tw_transfer_error error,
			const char *message)
{
	struct tw_worker_event event = { .type = TW_WORKER_FINISHED,
					 .id = id,
					 .error = (int)error };
	struct tw_worker *worker = context;

	add_transfer(worker, &event);
	worker->publish_soon = true;
	emit_surely(worker, &event, message);
}

struct tw_receiver_events tw_worker_receiver_events(void)
{
	return (struct tw_receiver_events){
		.started = on_started,
		.file_done = on_file_done,
		.file_failed = on_file_failed,
		.finished = on_finished,
	};
}

bool tw_worker_tell_problems(struct tw_worker *worker, struct transfer *transfer)
{
	while (is_roomy(worker)) {
		struct tw_worker_event event = { .type = TW_WORKER_PROBLEM, .id = transfer->id };
		struct tw_problem problem;

		if (!tw_sender_problem(transfer->sender, &problem))
			return true;
		event.error = problem.error;
		event.harmless = problem.harmless;
		event.fatal = problem.fatal;
		set_text(&event, problem.path);
		emit(worker, &event);
	}
	return false;
}

bool tw_worker_tell_ended(struct tw_worker *worker, const struct transfer *transfer)
{
	struct tw_worker_event event = {
		.type = TW_WORKER_ENDED,
		.id = transfer->id,
		.error = (int)transfer->status.sender.error,
		.sending = transfer->status,
	};

	set_text(&event, transfer->status.sender.message);
	return emit(worker, &event);
}

bool tw_worker_event(struct tw_worker *worker, struct tw_worker_event *ret)
{
	return tw_ring_pop(&worker->events, ret);
}
