/*
 * attackscene.h - two endpoints with a wire between them, and one connection over it: what attacks
 * are played on.
 */
#pragma once

#include <stdio.h>

#include "core/conn_internal.h"
#include "corewire.h"

#define KIB ((size_t)1024)

struct side {
	bool established, closed;
	enum tw_conn_end end;
	uint64_t got;
};

struct scene {
	struct wire wire;
	struct tw_identity identities[2];
	struct side sides[2];
	struct tw_conn *client;
	struct tw_endpoint_config configs[2];
	enum tw_cipher wish;
	size_t size;
	uint64_t flips, accepted;
	bool packets_only;
	/* what came, for replays */
	struct wire_datagram **taken[2];
	size_t taken_count[2];
};

static inline void on_established(void *app, struct tw_conn *conn)
{
	struct side *side = app;

	(void)conn;
	side->established = true;
}

static inline void on_closed(void *app, struct tw_conn *conn, enum tw_conn_end end, uint64_t code,
		      const char *reason)
{
	struct side *side = app;

	(void)conn;
	(void)code;
	(void)reason;
	side->closed = true;
	side->end = end;
}

static inline uint8_t byte_at(uint64_t at)
{
	return (uint8_t)(at * 131 ^ at >> 8);
}

static inline void on_readable(void *app, struct tw_conn *conn, uint64_t stream)
{
	struct side *side = app;
	uint8_t bytes[4096];
	size_t length;

	(void)stream;
	while ((length = tw_conn_stream_read(conn, stream, bytes, sizeof bytes, NULL)) > 0)
		for (size_t i = 0; i < length; i++)
			assert_int_equal(bytes[i], byte_at(side->got++));
}

static inline void on_stream(void *app, struct tw_conn *conn, uint64_t stream)
{
	(void)app;
	(void)conn;
	(void)stream;
}

static const struct tw_conn_app app = {
	.established = on_established,
	.closed = on_closed,
	.stream_readable = on_readable,
	.stream_writable = on_stream,
};

static inline enum tw_verdict on_admit(void *context, const struct tw_public_key *peer,
				const struct tw_path *path, struct tw_conn_config *ret_config,
				const struct tw_conn_app **ret_app, void **ret_context)
{
	struct scene *scene = context;

	(void)peer;
	(void)path;
	*ret_config = (struct tw_conn_config){ .method = TW_RATE_BBR, .datagram_max = 1200 };
	*ret_app = &app;
	*ret_context = &scene->sides[1];
	return TW_ACCEPT_YES;
}

static inline struct scene *scene_new(uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof *scene);
	struct tw_random random;

	assert_non_null(scene);
	wire_init(&scene->wire, seed);
	scene->wire.context = scene;
	scene->wish = TW_CIPHER_128;
	random = tw_prng_random(&scene->wire.prng);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tw_identity_generate(&random, &scene->identities[i]), 0);
		scene->configs[i] = (struct tw_endpoint_config){
			.identity = &scene->identities[i],
			.cipher_min = TW_CIPHER_NONE,
			.random = random,
			.accept = i == 1,
			.admit = on_admit,
			.context = scene,
		};
	}
	return scene;
}

static inline void scene_connect(struct scene *scene)
{
	const struct tw_connect connect = {
		.remote = scene->wire.addresses[1],
		.peer_key = scene->identities[1].public_key,
		.cipher = scene->wish,
		.config = { .method = TW_RATE_BBR, .datagram_max = 1200 },
		.app = &app,
		.app_context = &scene->sides[0],
		.handshake_timeout = TW_SECOND,
	};

	for (int i = 0; i < 2; i++)
		assert_int_equal(tw_endpoint_new(&scene->configs[i], scene->wire.now,
						 &scene->wire.ends[i]),
				 0);
	assert_int_equal(tw_endpoint_connect(scene->wire.ends[0], &connect, scene->wire.now,
					     &scene->client),
			 0);
}

static inline void scene_free(struct scene *scene)
{
	for (int to = 0; to < 2; to++) {
		for (size_t i = 0; i < scene->taken_count[to]; i++)
			free(scene->taken[to][i]);
		free(scene->taken[to]);
	}
	wire_deinit(&scene->wire);
	free(scene);
}

/* The next @size bytes of the stream. */
static inline void fill(struct tw_conn *conn, size_t size)
{
	uint64_t from = tw_conn_stream_written(conn, 0);
	uint8_t bytes[1024];

	for (size_t at = 0; at < size; at += sizeof bytes) {
		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i] = byte_at(from + at + i);
		assert_int_equal(tw_conn_stream_write(conn, 0, bytes, sizeof bytes), sizeof bytes);
	}
}

/* Something both ways, to its end, and a CLOSE. */
static inline void scene_talk(struct scene *scene)
{
	tw_ns until = scene->wire.now + 2 * TW_SECOND;

	while (scene->wire.now < until && !(scene->sides[0].established &&
					    scene->sides[1].established))
		wire_run(&scene->wire, scene->wire.now + TW_MSEC, NULL, NULL);
	assert_true(scene->sides[0].established && scene->sides[1].established);
	fill(scene->client, scene->size);
	fill(tw_endpoint_conn(scene->wire.ends[1], 0), scene->size);
	wire_run(&scene->wire, scene->wire.now + 2 * TW_SECOND, NULL, NULL);
	for (int i = 0; i < 2; i++)
		assert_int_equal(scene->sides[i].got, scene->size);
}
