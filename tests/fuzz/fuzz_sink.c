/*
 * A sender without manners, and a machine that falls: orders for a sink over storage in memory.
 * Bytes come in any pieces and order, right or wrong; digests, holes, abandoned entries, kills and
 * power cuts in between. Whatever happened, a file that has its name is the sender's, byte by byte,
 * and a decent attempt at the end delivers all that was not given up.
 */
#include "fuzz.h"

#include "../support/memory_fs.h"
#include "base/bytes.h"
#include "base/error.h"
#include "content/manifest.h"
#include "content/sink.h"

#define FILES 5
#define LAST_SIZE 5000

/* The sparse one ends in a hole. With an order in the first byte it is larger than a chunk. */
#define SPARSE 3
#define SPARSE_HOLE 300

static const uint64_t sizes[FILES] = { 0, 1, 700, 3000, LAST_SIZE };

struct world {
	struct memory_fs memory;
	struct tw_fs fs;
	struct tw_sink *sink;
	struct tw_manifest *manifest;
	enum tw_overwrite overwrite;
	uint64_t tape, hole; /* where the hole begins */
	bool large;
	bool given_up[FILES + 1];
};

static uint8_t contents[2][TW_CHUNK_SIZE + 20000];
static uint8_t *content;
static struct world *watched;

static bool in_place(const struct world *world)
{
	return world->overwrite <= TW_OVERWRITE_IN_PLACE_SAME_SIZE;
}

/* A name appears: with part files, only over content that is right and on storage. */
static void named(struct memory_fs *memory, const char *path, struct memory_node *node)
{
	(void)memory;
	for (unsigned i = 0; i < FILES; i++) {
		const struct tw_entry *entry = tw_manifest_entry(watched->manifest, i + 1);

		if (strcmp(path, (const char[FILES][4]){ "d/0", "d/1", "d/2", "d/3", "d/4" }[i]) !=
		    0)
			continue;
		CHECK(node->stored_size == entry->size);
		CHECK(!entry->size ||
		      !memcmp(node->stored, content + entry->tape_start, entry->size));
	}
}

static void make_manifest(struct world *world)
{
	struct tw_entry entry = { .kind = TW_KIND_DIRECTORY, .mode = 0755 };
	char path[8];

	world->manifest = tw_manifest_new();
	CHECK(!tw_manifest_append(world->manifest, "d", &entry));
	for (unsigned i = 0; i < FILES; i++) {
		entry = (struct tw_entry){
			.kind = TW_KIND_FILE,
			.mode = 0644,
			.size = sizes[i],
			.mtime_ns = i,
		};
		if (i == SPARSE) {
			entry.flags = TW_ENTRY_SPARSE;
			entry.size = world->large ? TW_CHUNK_SIZE + SPARSE_HOLE : sizes[i];
			world->hole =
				tw_manifest_tape_size(world->manifest) + entry.size - SPARSE_HOLE;
		}
		snprintf(path, sizeof(path), "d/%u", i);
		CHECK(!tw_manifest_append(world->manifest, path, &entry));
	}
	world->tape = tw_manifest_tape_size(world->manifest);
	content = contents[world->large];
	if (content[0])
		return;
	for (uint64_t i = 0; i < world->tape; i++)
		content[i] = (uint8_t)(i * 7 + i / 251 + 1);
	memset(content + world->hole, 0, SPARSE_HOLE);
}

static void open_sink(struct world *world)
{
	const struct tw_sink_options options = {
		.destination = "",
		.overwrite = world->overwrite,
		.write_content = true,
		.journal_bytes = 1000,
	};
	static struct wire {
		uint8_t bytes[500];
		size_t length;
	} wires[2];
	struct wire *wire = &wires[world->large];
	struct tw_range held;
	uint64_t ready;

	CHECK(!tw_sink_new(&world->fs, &options, &world->sink));
	/* Making it is what takes the most time: once is enough. */
	if (!wire->length) {
		struct tw_manifest_encoder *encoder = tw_manifest_encoder_new(world->manifest);

		CHECK(tw_manifest_encode(encoder, true, wire->bytes, sizeof(wire->bytes),
					 &wire->length) == TW_E_END);
		tw_manifest_encoder_free(encoder);
	}
	CHECK(tw_sink_manifest(world->sink, wire->bytes, wire->length) == TW_E_END);
	CHECK(tw_sink_prepare(world->sink, 100, &ready) == TW_E_END);
	CHECK(ready == world->tape);
	while (tw_sink_held(world->sink, &held))
		CHECK(held.start < held.end && held.end <= world->tape);
}

static void drop_sink(struct world *world, bool kill)
{
	world->memory.frozen = kill;
	tw_sink_free(world->sink);
	world->memory.frozen = false;
	world->sink = NULL;
}

static void write_piece(struct world *world, uint64_t start, uint64_t length, bool wrong)
{
	static uint8_t bytes[20000];

	if (length > sizeof(bytes))
		length = sizeof(bytes);
	if (start >= world->tape)
		start = world->tape - 1;
	if (length > world->tape - start)
		length = world->tape - start;
	memcpy(bytes, content + start, length);
	if (wrong && length)
		bytes[length / 2] ^= 1;
	CHECK(!tw_sink_write(world->sink, &(struct tw_sink_piece){ start, bytes, length }, 1));
}

static struct tw_digest digest_of(const struct world *world, uint64_t chunk)
{
	uint64_t index = tw_manifest_find_chunk(world->manifest, chunk);
	const struct tw_entry *entry = tw_manifest_entry(world->manifest, index);
	uint64_t start = (chunk - entry->chunk_first) * TW_CHUNK_SIZE;
	uint64_t n = entry->size - start < TW_CHUNK_SIZE ? entry->size - start : TW_CHUNK_SIZE;

	return tw_digest_of(content + entry->tape_start + start, n);
}

static void send_digest(struct world *world, uint64_t chunk)
{
	uint64_t chunks = tw_manifest_chunk_count(world->manifest);
	struct tw_digest digest = digest_of(world, chunk % chunks);

	CHECK(!tw_sink_digests(world->sink, chunk % chunks, &digest, 1));
}

static void obey(struct world *world, struct tw_reader *orders)
{
	uint8_t order = tw_read_u8(orders);
	uint64_t start = (uint64_t)tw_read_u16(orders) * (world->large ? 17 : 1),
		 length = tw_read_u16(orders);
	struct tw_sink_event event;

	switch (order % 12) {
	case 0:
	case 1:
	case 2:
		write_piece(world, start, length % 2000 + 1, order % 12 == 2 && length & 1);
		break;
	case 3:
		/* A long stretch in order. */
		for (unsigned i = 0; i < 200 && start < world->tape; i++, start += 2000)
			write_piece(world, start, 2000, false);
		break;
	case 4:
	case 5:
		send_digest(world, start);
		break;
	case 6:
		/* Only where zeros are. */
		CHECK(!tw_sink_hole(world->sink, world->hole + start % SPARSE_HOLE,
				    world->hole + SPARSE_HOLE));
		break;
	case 7:
		CHECK(!tw_sink_checkpoint(world->sink));
		break;
	case 8:
		CHECK(!tw_sink_settle(world->sink));
		break;
	case 9:
		if (length % 16)
			break;
		world->given_up[1 + start % FILES] = true;
		CHECK(!tw_sink_abandon(world->sink, 1 + start % FILES));
		break;
	default:
		drop_sink(world, length & 1);
		if (length & 2)
			memory_fs_reboot(&world->memory);
		open_sink(world);
		break;
	}
	while (tw_sink_event(world->sink, &event)) {
		CHECK(event.type != TW_SINK_AGAIN || event.range.end <= world->tape);
		if (event.type == TW_SINK_FILE_FAILED)
			world->given_up[event.entry] = true;
	}
}

/* A decent sender, until there is nothing left to do. */
static void deliver(struct world *world)
{
	struct tw_sink_event event;
	bool all_done = false;

	for (unsigned round = 0; round < 6 && !all_done; round++) {
		for (uint64_t at = 0; at < world->tape; at += 20000)
			write_piece(world, at, 20000, false);
		for (uint64_t i = 0; i < tw_manifest_chunk_count(world->manifest); i++)
			send_digest(world, i);
		CHECK(!tw_sink_checkpoint(world->sink));
		while (tw_sink_event(world->sink, &event)) {
			all_done = all_done || event.type == TW_SINK_ALL_DONE;
			if (event.type == TW_SINK_FILE_FAILED)
				world->given_up[event.entry] = true;
		}
	}
	CHECK(all_done);
	for (unsigned i = 0; i < FILES; i++) {
		const struct tw_entry *entry = tw_manifest_entry(world->manifest, i + 1);
		const struct memory_node *node;
		char path[8];

		snprintf(path, sizeof(path), "d/%u", i);
		node = memory_fs_find(&world->memory, path);
		/* Given up, or failed four times: then it is not there at all. */
		if (!node) {
			CHECK(world->given_up[i + 1]);
			continue;
		}
		/* In place, over what was there before, it stays as far as it came. */
		if (world->given_up[i + 1] && in_place(world))
			continue;
		CHECK(node->size == entry->size);
		CHECK(!entry->size ||
		      !memcmp(node->bytes, content + entry->tape_start, entry->size));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world world = { 0 };
	struct tw_reader orders;

	tw_reader_init(&orders, data, size);
	world.overwrite = tw_read_u8(&orders);
	world.large = world.overwrite >= 0xe0;
	world.overwrite %= TW_OVERWRITE_COUNT;
	memory_fs_init(&world.memory);
	world.fs = memory_fs_view(&world.memory);
	make_manifest(&world);
	watched = &world;
	if (!in_place(&world))
		world.memory.named = named;
	open_sink(&world);
	for (unsigned i = 0; i < 200 && tw_reader_left(&orders); i++)
		obey(&world, &orders);
	deliver(&world);
	tw_sink_free(world.sink);
	tw_manifest_free(world.manifest);
	memory_fs_deinit(&world.memory);
	return 0;
}
