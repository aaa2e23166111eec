#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "session/outgoing_private.h"
#include "session/sender_private.h"

#define WALK_BYTES ((size_t)64 << 10)
/* The first step is short: data starts behind it. */
#define WALK_ENTRIES_FIRST 256
#define WALK_ENTRIES 4096
#define MANIFEST_UNSENT_MIN (UINT64_C(32) << 10)
#define MANIFEST_MOMENT (50 * TW_MSEC)
#define MANIFEST_BEHIND (UINT64_C(16) << 10)

static void submit_walk(struct tw_sender *sender)
{
	struct tw_sender_walk *walk = &sender->walk;

	walk->job.type = TW_JOB_WALK;
	walk->job.source = sender->options.source;
	walk->job.limit = sender->total_entries ? WALK_ENTRIES : WALK_ENTRIES_FIRST;
	walk->job.restart = walk->restart;
	walk->job.bytes = walk->bytes;
	walk->job.room = WALK_BYTES;
	walk->restart = false;
	walk->busy = true;
	tw_sender_submit(sender, &walk->job);
}

/*
 * How much of the manifest may be written now. Streams go before DATA, so what lies in one delays
 * the content of better transfers: no more than leaves in a moment, and behind better ones only the
 * first entries, so that there is something to send as soon as they leave room.
 */
static size_t manifest_room(const struct tw_sender *sender)
{
	const struct tw_sender_walk *walk = &sender->walk;
	uint64_t unsent = tw_conn_stream_unsent(sender->conn, TW_STREAM_MANIFEST(sender->number));
	uint64_t most = MANIFEST_UNSENT_MIN;
	struct tw_conn_info info;

	if (walk->written >= MANIFEST_BEHIND &&
	    tw_outgoing_is_behind(sender->outgoing, sender->place))
		return 0;
	if (unsent < most)
		return (size_t)(most - unsent);
	tw_conn_info(sender->conn, &info);
	most = info.pacing_bps / 8 * MANIFEST_MOMENT / TW_SECOND;
	return unsent < most ? (size_t)(most - unsent) : 0;
}

static void write_manifest(struct tw_sender *sender)
{
	struct tw_sender_walk *walk = &sender->walk;
	uint64_t stream = TW_STREAM_MANIFEST(sender->number);

	while (walk->at < walk->length) {
		size_t room = manifest_room(sender), length = walk->length - walk->at;

		if (length > room)
			length = room;
		length = length ? tw_conn_stream_write(sender->conn, stream, walk->bytes + walk->at,
						       length)
				: 0;
		if (!length)
			break;
		walk->at += length;
		walk->written += length;
	}
	if (walk->over && walk->at == walk->length && !walk->finished) {
		tw_conn_stream_finish(sender->conn, stream);
		walk->finished = true;
	}
}

void tw_sender_walk_pump(struct tw_sender *sender)
{
	struct tw_sender_walk *walk = &sender->walk;

	if (walk->busy || sender->finished)
		return;
	if (walk->restart) {
		walk->at = walk->length = 0;
		walk->over = false;
	} else if (sender->conn && walk->open) {
		write_manifest(sender);
	}
	if (walk->at == walk->length && !walk->over)
		submit_walk(sender);
}

static void take_problems(struct tw_sender *sender, const struct tw_job *job)
{
	size_t i;

	for (i = 0; i < job->problem_count; i++) {
		const struct tw_problem *problem = &job->problems[i];
		char message[sizeof(sender->message)];

		tw_sender_note(sender, problem);
		if (!problem->fatal)
			continue;
		snprintf(message, sizeof(message), "%.180s: %s. Nothing was sent of it.",
			 problem->path, tw_strerror(problem->error));
		tw_sender_finish(sender, TW_TRANSFER_SOURCE, message);
	}
}

static void take_totals(struct tw_sender *sender, const struct tw_job *job)
{
	sender->total_unsaid = true;
	sender->total_bytes = job->total_bytes;
	sender->total_files = job->total_files;
	sender->total_entries = job->total_entries;
	sender->total_chunks = job->total_chunks;
}

void tw_sender_walk_done(struct tw_sender *sender)
{
	struct tw_sender_walk *walk = &sender->walk;
	struct tw_job *job = &walk->job;
	char message[sizeof(sender->message)];

	walk->busy = false;
	if (job->result) {
		snprintf(message, sizeof(message), "The source could not be listed: %s.",
			 tw_strerror(job->result));
		tw_sender_finish(sender, TW_TRANSFER_SOURCE, message);
		return;
	}
	if (!sender->total_known)
		take_totals(sender, job);
	take_problems(sender, job);
	walk->at = 0;
	walk->length = job->length;
	walk->over = job->walk_over;
	/* Problems that did not fit into the job come with the next one, which encodes nothing
	 * more. */
	if (walk->over && job->problem_count == TW_JOB_EVENTS_MAX)
		walk->over = false;
	if (walk->over && !walk->restart)
		sender->total_known = true;
}

void tw_sender_sha_pump(struct tw_sender *sender)
{
	struct tw_sender_sha *sha = &sender->sha;
	uint64_t fresh = tw_sender_fresh_start(sender);

	if (!sender->options.sha256 || sha->busy || sha->ready || sha->over || sha->wait ||
	    sender->finished)
		return;
	if (!sender->conn || !sender->answered || !sender->total_entries)
		return;
	if (sender->abandon_count == TW_SENDER_ABANDONS)
		return;
	sha->job.type = TW_JOB_SHA256;
	sha->job.source = sender->options.source;
	sha->job.entry = sha->entry;
	/* Only what has been sent and is in the system's cache, and what the receiver knows. */
	sha->job.limit = fresh < sender->ready ? fresh : sender->ready;
	sha->busy = true;
	sha->stale = false;
	tw_sender_submit(sender, &sha->job);
}

void tw_sender_sha_done(struct tw_sender *sender)
{
	struct tw_sender_sha *sha = &sender->sha;
	int result = sha->job.result;
	size_t i;

	sha->busy = false;
	for (i = 0; i < sha->job.problem_count; i++)
		tw_sender_note(sender, &sha->job.problems[i]);
	if (sha->stale)
		return;
	if (result == TW_E_AGAIN) {
		sha->wait = true;
	} else if (result == TW_E_END) {
		sha->over = sender->total_known;
		sha->wait = !sha->over;
	} else if (result) {
		tw_sender_abandon(sender, sha->job.entry, result, sha->job.block.start,
				  sha->job.block.end);
		sha->entry = sha->job.entry + 1;
	} else {
		sha->ready = true;
		sha->entry = sha->job.entry + 1;
	}
}
