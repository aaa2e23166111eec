/* worker_commands.c - the control thread's wishes: in through a ring, carried out a turn later. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "netio/clock.h"
#include "netio/worker_private.h"

/* The control thread's side. */

static int push(struct tw_worker *worker, const struct command *command)
{
	uint64_t one = 1;

	if (!tw_ring_push(&worker->commands, command))
		return TW_E_FULL;
	/* Fails only when the counter is about to overflow, and then it is readable anyway. */
	if (atomic_exchange(&worker->command_asleep, false) &&
	    write(worker->command_fd, &one, sizeof one) < 0)
		return 0;
	return 0;
}

int tw_worker_add_destination(struct tw_worker *worker, const struct tw_worker_destination *added)
{
	struct command command = { .type = COMMAND_ADD_DESTINATION, .id = added->id };
	int r;

	command.destination = tw_worker_destination_new(added, tw_clock_now());
	if (!command.destination)
		return -ENOMEM;
	r = push(worker, &command);
	if (r) {
		tw_outgoing_free(command.destination->outgoing);
		free(command.destination);
	}
	return r;
}

int tw_worker_change_destination(struct tw_worker *worker,
				 const struct tw_worker_destination *changed)
{
	struct command command = { .type = COMMAND_CHANGE_DESTINATION, .id = changed->id };
	int r;

	assert(changed->remote_count <= TW_DIALER_ADDRESSES_MAX);
	command.change = malloc(sizeof *command.change);
	if (!command.change)
		return -ENOMEM;
	*command.change = *changed;
	r = push(worker, &command);
	if (r)
		free(command.change);
	return r;
}

int tw_worker_remove_destination(struct tw_worker *worker, uint64_t destination)
{
	return push(worker,
		    &(struct command){ .type = COMMAND_REMOVE_DESTINATION, .id = destination });
}

int tw_worker_add_transfer(struct tw_worker *worker, const struct tw_worker_transfer *added)
{
	struct command command = { .type = COMMAND_ADD_TRANSFER, .id = added->destination };
	int r;

	command.transfer = tw_worker_transfer_new(added);
	if (!command.transfer)
		return -ENOMEM;
	r = push(worker, &command);
	if (r) {
		command.transfer->options.source = NULL;
		tw_worker_transfer_free(command.transfer);
	}
	return r;
}

int tw_worker_change_transfer(struct tw_worker *worker, uint64_t transfer, uint64_t rank,
			      uint64_t max_bps)
{
	struct command command = { .type = COMMAND_CHANGE_TRANSFER, .id = transfer };

	command.rank = rank;
	command.max_bps = max_bps;
	return push(worker, &command);
}

int tw_worker_end_transfer(struct tw_worker *worker, uint64_t transfer,
			   enum tw_worker_ending ending)
{
	return push(worker, &(struct command){ .type = COMMAND_END_TRANSFER,
					       .id = transfer,
					       .ending = ending });
}

int tw_worker_set_limits(struct tw_worker *worker, uint64_t outgoing_bps, uint64_t incoming_bps)
{
	struct command command = { .type = COMMAND_LIMITS };

	command.outgoing_bps = outgoing_bps;
	command.incoming_bps = incoming_bps;
	return push(worker, &command);
}

int tw_worker_set_admission(struct tw_worker *worker, const struct tw_worker_admission *admission)
{
	return push(worker,
		    &(struct command){ .type = COMMAND_ADMISSION, .admission = *admission });
}

int tw_worker_discover(struct tw_worker *worker, uint64_t id, const struct tw_address *remote)
{
	return push(worker,
		    &(struct command){ .type = COMMAND_DISCOVER, .id = id, .address = *remote });
}

int tw_worker_set_offers(struct tw_worker *worker, const struct tw_address *offers, unsigned count)
{
	struct command command = { .type = COMMAND_OFFERS };
	int r;

	if (!worker->started) {
		tw_endpoint_set_offers(worker->endpoint, offers, count);
		return 0;
	}
	assert(count <= TW_OFFERS_MAX);
	command.offers = malloc(sizeof *command.offers);
	if (!command.offers)
		return -ENOMEM;
	command.offers->count = count;
	memcpy(command.offers->addresses, offers, count * sizeof *offers);
	r = push(worker, &command);
	if (r)
		free(command.offers);
	return r;
}

int tw_worker_stop(struct tw_worker *worker)
{
	return push(worker, &(struct command){ .type = COMMAND_STOP });
}

/* The worker's side. */

static void add_destination(struct tw_worker *worker, struct command *command, tw_ns now)
{
	tw_worker_destination_add(worker, command->destination, now);
}

static void change_destination(struct tw_worker *worker, struct command *command, tw_ns now)
{
	struct destination *destination = tw_worker_destination(worker, command->id);

	if (destination)
		tw_worker_destination_change(worker, destination, command->change, now);
	free(command->change);
}

static void remove_destination(struct tw_worker *worker, struct command *command, tw_ns now)
{
	struct destination *destination = tw_worker_destination(worker, command->id);

	if (destination && !destination->removed)
		tw_worker_destination_remove(worker, destination, now);
}

static void add_transfer(struct tw_worker *worker, struct command *command, tw_ns now)
{
	tw_worker_transfer_add(worker, command->transfer, command->id, now);
}

static void change_transfer(struct tw_worker *worker, struct command *command, tw_ns now)
{
	struct transfer *transfer = tw_table_get(&worker->by_transfer, command->id);

	if (transfer)
		tw_worker_transfer_change(transfer, command->rank, command->max_bps, now);
}

static void end_transfer(struct tw_worker *worker, struct command *command, tw_ns now)
{
	struct transfer *transfer = tw_table_get(&worker->by_transfer, command->id);

	if (transfer)
		tw_worker_transfer_end(transfer, command->ending, now);
}

static void set_limits(struct tw_worker *worker, struct command *command, tw_ns now)
{
	tw_worker_limits_set(worker, command->outgoing_bps, command->incoming_bps, now);
}

static void set_admission(struct tw_worker *worker, struct command *command, tw_ns now)
{
	(void)now;
	tw_worker_admission_set(worker, &command->admission);
}

static void discover(struct tw_worker *worker, struct command *command, tw_ns now)
{
	tw_worker_discover_send(worker, command->id, &command->address, now);
}

static void set_offers(struct tw_worker *worker, struct command *command, tw_ns now)
{
	(void)now;
	tw_endpoint_set_offers(worker->endpoint, command->offers->addresses,
			       command->offers->count);
	free(command->offers);
}

static void stop(struct tw_worker *worker, struct command *command, tw_ns now)
{
	(void)command;
	tw_worker_begin_stop(worker, now);
}

static void (*const carry_out[COMMAND_COUNT])(struct tw_worker *worker, struct command *command,
					      tw_ns now) = {
	[COMMAND_ADD_DESTINATION] = add_destination,
	[COMMAND_CHANGE_DESTINATION] = change_destination,
	[COMMAND_REMOVE_DESTINATION] = remove_destination,
	[COMMAND_ADD_TRANSFER] = add_transfer,
	[COMMAND_CHANGE_TRANSFER] = change_transfer,
	[COMMAND_END_TRANSFER] = end_transfer,
	[COMMAND_LIMITS] = set_limits,
	[COMMAND_ADMISSION] = set_admission,
	[COMMAND_DISCOVER] = discover,
	[COMMAND_OFFERS] = set_offers,
	[COMMAND_STOP] = stop,
};

void tw_worker_commands_take(struct tw_worker *worker, tw_ns now)
{
	struct command command;
	bool full = tw_ring_count(&worker->commands) == worker->commands.capacity;

	while (tw_ring_pop(&worker->commands, &command)) {
		carry_out[command.type](worker, &command, now);
		worker->publish_soon = true;
	}
	/* Somebody may wait for room. */
	if (full)
		tw_worker_ring_bell(worker);
}

void tw_worker_commands_drop(struct tw_worker *worker)
{
	struct command command;

	while (tw_ring_pop(&worker->commands, &command)) {
		switch (command.type) {
		case COMMAND_ADD_DESTINATION:
			tw_outgoing_free(command.destination->outgoing);
			free(command.destination);
			break;
		case COMMAND_CHANGE_DESTINATION:
			free(command.change);
			break;
		case COMMAND_ADD_TRANSFER:
			tw_worker_transfer_free(command.transfer);
			break;
		case COMMAND_OFFERS:
			free(command.offers);
			break;
		case COMMAND_ADMISSION:
			free(command.admission.keys);
			break;
		default:
			break;
		}
	}
}
