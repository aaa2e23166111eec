/*
 * fake_engine.h - stands in for the engine in tests of the interface: a handful of objects in
 * memory, everything else empty or Unavailable. Owners are kept apart as by the real one.
 */
#pragma once

#include "engine/engine.h"

#define FAKE_OBJECTS 640

struct tw_engine {
	struct event_base *base;
	struct tw_requests *requests;
	struct fake_object {
		char id[TW_OBJECT_ID], owner[64], text[512];
		json_t *user_data;
	} destinations[FAKE_OBJECTS], manifests[FAKE_OBJECTS], transfers[FAKE_OBJECTS],
		tokens[FAKE_OBJECTS];
	uint64_t made;
	/* What tests look at or set. */
	unsigned commits;
	int commit_result;
	unsigned commits_walked; /* how many there were when the last walk was asked last */
	bool processing; /* of manifests and transfers */
	bool last_caller_wrangler; /* who listed destinations last */
	const char *wranglers;     /* the group of them; NULL: there is none */
	uint64_t events_oldest, events_newest;
	struct tw_listener *listener;
	struct tw_wait *waiting;
	uint64_t file_requests;
	struct tw_request *open_request; /* of the newest file operation */
	struct tw_destination_options
		created; /* the newest createDestination's; text is not kept */
	uint64_t incoming_limit;
};

struct tw_engine *fake_engine_new(struct event_base *base);
void fake_engine_free(struct tw_engine *engine);
/* One more entry in the log; listeners hear of it. */
void fake_engine_happen(struct tw_engine *engine);
/* Whoever waits is told. */
void fake_engine_finish(struct tw_engine *engine);
