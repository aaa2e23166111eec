/* gc.c - what nobody needs any more goes: transfers that ended long ago, manifests, old tokens. */
#include <string.h>

#include "engine/engine_internal.h"
#include "netio/clock.h"

#define GARBAGE "garbage"
#define INTERVAL_MOST (UINT64_C(30) * 86400)
#define EXPIRY_MOST (UINT64_C(100) * 365 * 86400)

static const struct tw_saved rows[] = {
	TW_SAVED(struct tw_garbage_settings, U64, interval_seconds, "interval"),
	TW_SAVED(struct tw_garbage_settings, U64, transfer_expiry_seconds, "transferExpiry"),
	TW_SAVED(struct tw_garbage_settings, U64, manifest_expiry_seconds, "manifestExpiry"),
};
#define ROWS (sizeof(rows) / sizeof(*rows))

void tw_garbage_load(struct tw_engine *engine)
{
	json_t *stored = tw_persist_get(engine, GARBAGE);

	engine->garbage_settings = (struct tw_garbage_settings){ 3600, 172800, 172800 };
	tw_saved_decode(rows, ROWS, stored, &engine->garbage_settings);
	json_decref(stored);
}

void tw_garbage_arm(struct tw_engine *engine)
{
	struct timeval wait = { .tv_sec = (time_t)engine->garbage_settings.interval_seconds };

	event_add(engine->garbage, &wait);
}

void tw_engine_garbage_settings(const struct tw_engine *engine, struct tw_garbage_settings *ret)
{
	*ret = engine->garbage_settings;
}

int tw_engine_set_garbage(struct tw_engine *engine, const struct tw_garbage_settings *settings,
			  struct tw_fault *fault)
{
	json_t *stored;

	if (!settings->interval_seconds || settings->interval_seconds > INTERVAL_MOST)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "intervalSeconds",
				    "intervalSeconds must lie between 1 and %llu.",
				    (unsigned long long)INTERVAL_MOST);
	if (settings->transfer_expiry_seconds > EXPIRY_MOST)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "transferExpirySeconds",
				    "transferExpirySeconds must be at most %llu.",
				    (unsigned long long)EXPIRY_MOST);
	if (settings->manifest_expiry_seconds > EXPIRY_MOST)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "manifestExpirySeconds",
				    "manifestExpirySeconds must be at most %llu.",
				    (unsigned long long)EXPIRY_MOST);
	engine->garbage_settings = *settings;
	stored = json_object();
	if (!stored || tw_saved_encode(rows, ROWS, settings, stored)) {
		json_decref(stored);
		return tw_no_memory(fault);
	}
	tw_persist_setting(engine, GARBAGE, stored);
	tw_garbage_arm(engine);
	return TW_FAULT_NONE;
}

static uint64_t collect_transfers(struct tw_engine *engine)
{
	int64_t kept = (int64_t)engine->garbage_settings.transfer_expiry_seconds * 1000000;
	struct tw_shelf *shelf = &engine->transfers;
	tw_ns now = tw_clock_now();
	uint64_t gone = 0;

	for (size_t i = 0; i < shelf->used; i++) {
		struct tw_transfer *transfer = (struct tw_transfer *)shelf->items[i];

		if (!transfer || !tw_transfer_over(transfer) ||
		    tw_transfer_time(transfer, now) - transfer->end_time < kept)
			continue;
		tw_transfer_remove(transfer);
		gone++;
	}
	return gone;
}

static uint64_t collect_tokens(struct tw_engine *engine, int64_t now_us)
{
	struct tw_shelf *shelf = &engine->tokens;
	uint64_t gone = 0;

	for (size_t i = 0; i < shelf->used; i++) {
		struct tw_token *token = (struct tw_token *)shelf->items[i];

		if (!token || !tw_token_expired(token, now_us))
			continue;
		tw_token_remove(token);
		gone++;
	}
	return gone;
}

/* A manifest expires when nothing uses it: its age counts from its making. */
static uint64_t collect_manifests(struct tw_engine *engine, int64_t now_us)
{
	int64_t kept = (int64_t)engine->garbage_settings.manifest_expiry_seconds * 1000000;
	struct tw_shelf *shelf = &engine->manifests;
	uint64_t gone = 0;

	for (size_t i = 0; i < shelf->used; i++) {
		struct tw_manifest_object *manifest = (struct tw_manifest_object *)shelf->items[i];

		if (!manifest || manifest->uses || manifest->status == TW_MANIFEST_PENDING ||
		    now_us - manifest->object.created_us < kept)
			continue;
		tw_manifest_remove(manifest);
		gone++;
	}
	return gone;
}

uint64_t tw_engine_collect_garbage(struct tw_engine *engine)
{
	int64_t now_us = (int64_t)tw_clock_wall_us();
	uint64_t gone = collect_transfers(engine);

	gone += collect_tokens(engine, now_us);
	return gone + collect_manifests(engine, now_us);
}
