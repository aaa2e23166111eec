/*
 * engineworld.h - engines for tests: each with a store, folders and a data worker of its own, all
 * on one loop, sending to each other over loopback.
 */
#pragma once

#include "unit.h"

#include <event2/event.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/any_account.h"
#include "../support/temp_dir.h"
#include "base/error.h"
#include "engine/engine_internal.h"
#include "netio/clock.h"

#define HOSTS_MAX 2
#define PATIENCE (30 * TW_SECOND) /* for anything at all, on a busy machine */

struct host {
	struct tw_identity identity;
	struct tw_engine *engine;
	char place[TEMP_PATH_MAX];
	char state[TEMP_PATH_MAX + 16], received[TEMP_PATH_MAX + 16];
	uint16_t port; /* of the newest start */
	bool stopped;
};

struct world {
	struct event_base *base;
	struct host hosts[HOSTS_MAX];
	struct tw_accounts *accounts;
	struct tw_engine_options options; /* what the next start uses */
	struct tw_fault fault;
};

static const struct tw_caller root_caller = {
	.user = "alice",
	.authenticated = true,
	.permissions = TW_MAY_ALL,
	.local = true,
};

/* The account that runs the test, so that files may be read. */
static inline struct tw_caller alice(void)
{
	struct tw_caller caller = root_caller;

	caller.uid = geteuid();
	return caller;
}

static inline struct tw_caller bob(void)
{
	struct tw_caller caller = alice();

	caller.user = "bob";
	return caller;
}

static inline void host_start(struct world *world, unsigned index)
{
	struct host *host = &world->hosts[index];
	struct tw_engine_options options = world->options;
	char message[512];

	options.base = world->base;
	options.identity = &host->identity;
	options.state_dir = host->state;
	options.receive_dir = host->received;
	/* The same port again after a restart: others know it. */
	options.receive_ports[0] = host->port;
	options.receive_port_count = 1;
	if (tw_engine_new(&options, &host->engine, message))
		fail_msg("%s", message);
	host->port = host->engine->options.receive_ports[0];
	host->stopped = false;
}

static inline void host_stopped(void *context)
{
	((struct host *)context)->stopped = true;
}

/* Away in the middle of everything: no transfer is paused, nobody is told. */
static inline void host_kill(struct world *world, unsigned index)
{
	tw_engine_free(world->hosts[index].engine);
	world->hosts[index].engine = NULL;
}

static inline void turn(struct world *world)
{
	struct timeval wait = { .tv_usec = 2000 };

	event_base_loopexit(world->base, &wait);
	event_base_loop(world->base, 0);
}

/* Turns the loop until @condition holds; fails after PATIENCE. */
#define UNTIL(world, condition) \
	do { \
		tw_ns until_end_ = tw_clock_now() + PATIENCE; \
		while (!(condition)) { \
			if (tw_clock_now() > until_end_) \
				fail_msg("never came true: %s", #condition); \
			turn(world); \
		} \
	} while (0)

static inline void host_stop(struct world *world, unsigned index)
{
	struct host *host = &world->hosts[index];

	tw_engine_stop(host->engine, host_stopped, host);
	UNTIL(world, host->stopped);
	tw_engine_free(host->engine);
	host->engine = NULL;
}

static inline int world_make(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	struct tw_random random = tw_system_random();

	assert_non_null(world);
	world->base = event_base_new();
	assert_non_null(world->base);
	world->accounts = any_account_new();
	assert_non_null(world->accounts);
	world->options = (struct tw_engine_options){
		.accounts = world->accounts,
		.version = "test",
		.receive = true,
		.encryption = true,
		.persistent_destinations = true,
		.persistent_transfers = true,
		.incoming_rate_limit = TW_UNSET,
		.outgoing_rate_limit = TW_UNSET,
		.workers = 1,
		.api_tokens = true,
		.shared_tokens = true,
	};
	for (unsigned i = 0; i < HOSTS_MAX; i++) {
		struct host *host = &world->hosts[i];

		assert_int_equal(tw_identity_generate(&random, &host->identity), 0);
		temp_dir_make(host->place);
		snprintf(host->state, sizeof(host->state), "%s/state", host->place);
		snprintf(host->received, sizeof(host->received), "%s/received", host->place);
	}
	*state = world;
	return 0;
}

static inline int world_free(void **state)
{
	struct world *world = *state;

	for (unsigned i = 0; i < HOSTS_MAX; i++) {
		tw_engine_free(world->hosts[i].engine);
		temp_dir_remove(world->hosts[i].place);
	}
	event_base_free(world->base);
	any_account_free(world->accounts);
	free(world);
	return 0;
}

/* Files and what is made of them. */

static inline const char *place_of(const struct host *host, const char *name)
{
	static char path[2][TEMP_PATH_MAX + 256];
	static unsigned used;

	used = !used;
	snprintf(path[used], sizeof(path[used]), "%s/%s", host->place, name);
	return path[used];
}

static inline void file_make(const struct host *host, const char *name, size_t length,
			     uint64_t seed)
{
	int fd = open(place_of(host, name), O_CREAT | O_WRONLY | O_TRUNC, 0644);
	struct tw_prng prng;
	struct tw_random random;
	uint8_t bytes[65536];

	assert_true(fd >= 0);
	tw_prng_init(&prng, seed);
	random = tw_prng_random(&prng);
	while (length) {
		size_t part = length < sizeof(bytes) ? length : sizeof(bytes);

		tw_random_fill(&random, bytes, part);
		assert_int_equal(write(fd, bytes, part), part);
		length -= part;
	}
	close(fd);
}

static inline bool file_is(const char *path, size_t length, uint64_t seed)
{
	int fd = open(path, O_RDONLY);
	struct tw_prng prng;
	struct tw_random random;
	uint8_t bytes[65536], wanted[65536];
	bool same = fd >= 0;

	tw_prng_init(&prng, seed);
	random = tw_prng_random(&prng);
	while (same && length) {
		size_t part = length < sizeof(bytes) ? length : sizeof(bytes);

		tw_random_fill(&random, wanted, part);
		same = read(fd, bytes, part) == (ssize_t)part && !memcmp(bytes, wanted, part);
		length -= part;
	}
	same = same && read(fd, bytes, 1) == 0;
	if (fd >= 0)
		close(fd);
	return same;
}

static inline const char *destination_make(struct world *world, unsigned from, unsigned to,
					   const struct tw_caller *caller)
{
	struct tw_destination_options options;
	char key[TW_KEY_TEXT];
	const char *id = NULL;

	tw_destination_options_init(&options);
	options.address = "127.0.0.1";
	options.port = world->hosts[to].port;
	options.public_key = tw_public_key_format(&world->hosts[to].identity.public_key, key);
	if (tw_engine_create_destination(world->hosts[from].engine, caller, &options, &id,
					 &world->fault))
		fail_msg("%s", world->fault.message);
	return id;
}

/* Of one file or folder below the host's place; complete when it returns. */
static inline const char *manifest_make(struct world *world, unsigned from,
					const struct tw_caller *caller, const char *name)
{
	struct tw_manifest_mapping mapping = { place_of(&world->hosts[from], name), name };
	struct tw_manifest_options options = { .mappings = &mapping,
					       .mapping_count = 1,
					       .recursive = true };
	struct tw_engine *engine = world->hosts[from].engine;
	const char *id = NULL;

	if (tw_engine_create_manifest(engine, caller, &options, &id, &world->fault))
		fail_msg("%s", world->fault.message);
	UNTIL(world, !tw_engine_manifest(engine, caller, id)->processing);
	assert_string_equal(tw_engine_manifest(engine, caller, id)->status, "complete");
	return id;
}

static inline const char *transfer_make(struct world *world, unsigned from,
					const struct tw_caller *caller,
					const struct tw_transfer_options *options)
{
	const char *id = NULL;

	if (tw_engine_create_transfer(world->hosts[from].engine, caller, options, &id,
				      &world->fault))
		fail_msg("%s", world->fault.message);
	return id;
}

static inline bool has_status(struct world *world, unsigned index, const char *id,
			      const char *status)
{
	const struct tw_caller all = { .superuser = true };
	const struct tw_transfer_view *view =
		tw_engine_transfer(world->hosts[index].engine, &all, id);

	return view && !strcmp(view->status, status);
}
