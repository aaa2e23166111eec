#include "transfer_content.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DESTINATION "in"
#define SOURCE "data"
#define OURS ".tradewind"
#define TOUCH_MAX 300000
#define SPARSE_SLACK (12 * TW_CHUNK_SIZE / SIM_PAGE)
#define DAY (UINT64_C(86400) * TW_SECOND)

static void fill_random(struct sim *sim, void *bytes, size_t length)
{
	struct tw_random random = tw_prng_random(&sim->prng);

	tw_random_fill(&random, bytes, length);
}

static void write_random(struct transfer_world *world, struct sim_node *node, uint64_t start,
			 uint64_t end)
{
	static uint8_t bytes[1 << 16];

	fill_random(&world->sim, bytes, sizeof(bytes));
	while (start < end) {
		size_t length = end - start < sizeof(bytes) ? (size_t)(end - start) : sizeof(bytes);

		/* Cheaper than fresh ones, and no two blocks alike. */
		memcpy(bytes, &start, length < sizeof(start) ? length : sizeof(start));
		sim_node_write(&world->peers[0].disk, node, bytes, length, start);
		start += length;
	}
}

static struct sim_node *make(struct transfer_world *world, const char *path, uint64_t size)
{
	struct sim_node *node = sim_disk_make(&world->peers[0].disk, path);

	sim_node_resize(&world->peers[0].disk, node, size);
	sim_node_set(node, sim_chance(&world->sim, 0.2) ? 0755 : 0644,
		     sim_node_mtime(node) - (int64_t)tw_prng_below(&world->sim.prng, 1000 * DAY));
	world->content_files++;
	world->content_bytes += size;
	return node;
}

static void make_full(struct transfer_world *world, const char *path, uint64_t size)
{
	struct sim_node *node = make(world, path, size);
	uint32_t mode = sim_node_mode(node);
	int64_t mtime = sim_node_mtime(node);

	write_random(world, node, 0, size);
	sim_node_set(node, mode, mtime);
}

static void make_sparse(struct transfer_world *world, uint64_t size)
{
	struct sim_node *node = make(world, SOURCE "/sparse", size);
	int64_t mtime = sim_node_mtime(node);

	for (unsigned i = 0; i < 5; i++) {
		uint64_t at = tw_prng_below(&world->sim.prng, size / 4096) * 4096;
		uint64_t end = at + 4096 + tw_prng_below(&world->sim.prng, 200000);

		write_random(world, node, at, end < size ? end : size);
	}
	sim_node_set(node, 0644, mtime);
}

void transfer_fill(struct transfer_world *world)
{
	const struct sim_content *content = &world->test->content;
	char path[128];

	for (unsigned i = 0; i < content->files; i++) {
		uint64_t size = content->file_bytes;

		if (size)
			size = size / 2 + tw_prng_below(&world->sim.prng, size + 1);
		snprintf(path, sizeof(path), SOURCE "/d%u/f%u", i / 100, i);
		make_full(world, path, size);
	}
	if (content->files) {
		sim_disk_make(&world->peers[0].disk, SOURCE "/empty/");
		make_full(world, SOURCE "/nothing", 0);
	}
	if (content->large_bytes)
		make_full(world, SOURCE "/large", content->large_bytes);
	if (content->sparse_bytes)
		make_sparse(world, content->sparse_bytes);
}

struct pick {
	uint64_t left;
	struct sim_node *node;
	char path[256];
};

static void pick_file(void *context, const char *path, struct sim_node *node)
{
	struct pick *pick = context;

	if (sim_node_is_folder(node) || pick->node || pick->left-- > 0)
		return;
	pick->node = node;
	snprintf(pick->path, sizeof(pick->path), "%s", path);
}

/* Holes stay holes. */
static void copy_node(struct sim_disk *to, const char *path, const struct sim_node *from,
		      struct sim_disk *from_disk)
{
	static uint8_t bytes[1 << 16];
	struct sim_node *node = sim_disk_make(to, path);
	struct tw_fs fs = sim_disk_fs(from_disk);
	struct tw_file *file;
	const char *source = strchr(path, '/') + 1;
	uint64_t start, end;

	sim_node_resize(to, node, sim_node_size(from));
	if (fs.ops->open(fs.context, source, TW_OPEN_READ, &file))
		abort();
	for (uint64_t at = 0; fs.ops->next_data(file, at, &start, &end) == 0; at = start) {
		while (start < end) {
			size_t length =
				end - start < sizeof(bytes) ? (size_t)(end - start) : sizeof(bytes);

			fs.ops->read(file, bytes, length, start);
			sim_node_write(to, node, bytes, length, start);
			start += length;
		}
	}
	fs.ops->close(file);
	sim_node_set(node, sim_node_mode(from), sim_node_mtime(from));
}

void transfer_touch(struct transfer_world *world, uint64_t number)
{
	struct pick pick = { .left = number % world->content_files };
	struct sim_disk *disk = &world->peers[0].disk;
	bool dead = disk->dead;
	uint64_t size;
	char path[300];

	sim_disk_walk(disk, SOURCE, pick_file, &pick);
	if (!pick.node || world->versions == SIM_VERSIONS_MAX)
		return;
	disk->dead = false;
	snprintf(path, sizeof(path), "v%u/%s", world->versions++, pick.path);
	copy_node(&world->archive, path, pick.node, disk);
	disk->dead = dead;
	size = sim_node_size(pick.node);
	if (sim_chance(&world->sim, 0.5)) {
		size = size / 2 + tw_prng_below(&world->sim.prng, size + 2);
		sim_node_resize(disk, pick.node, size);
	}
	if (size) {
		uint64_t start = tw_prng_below(&world->sim.prng, size);

		write_random(world, pick.node, start,
			     size - start < TOUCH_MAX ? size : start + TOUCH_MAX);
	}
	world->touched++;
	sim_note(&world->sim, "%s changes", pick.path);
}

static bool is_ours(const char *path)
{
	const char *name = strrchr(path, '/');

	name = name ? name + 1 : path;
	return !strncmp(path, OURS, strlen(OURS)) || !strncmp(name, OURS, strlen(OURS));
}

/* Some version of its source. */
static bool is_whole(struct transfer_world *world, const char *path, const struct sim_node *node)
{
	const struct sim_node *source;
	char archived[300];

	if (strncmp(path, DESTINATION "/", strlen(DESTINATION) + 1) != 0)
		return false;
	path += strlen(DESTINATION) + 1;
	source = sim_disk_find(&world->peers[0].disk, path);
	if (!source)
		return false;
	if (sim_node_equal(source, node))
		return true;
	for (unsigned i = 0; i < world->versions; i++) {
		snprintf(archived, sizeof(archived), "v%u/%s", i, path);
		source = sim_disk_find(&world->archive, archived);
		if (source && sim_node_equal(source, node))
			return true;
	}
	return false;
}

void transfer_named(void *context, const char *path, struct sim_node *node)
{
	struct transfer_world *world = context;

	if (world->test->overwrite < TW_OVERWRITE_WITH_PARTFILE_NEVER || is_ours(path))
		return;
	if (!is_whole(world, path, node))
		sim_fail(&world->sim, "%s stands under its name and is not whole", path);
	*sim_node_mark(node) = world;
}

void transfer_written(void *context, struct sim_node *node)
{
	struct transfer_world *world = context;

	(void)node;
	sim_fail(&world->sim, "written to a file that has its final name");
}

struct count {
	struct transfer_world *world;
	uint64_t whole;
};

static void count_whole(void *context, const char *path, struct sim_node *node)
{
	struct count *count = context;

	if (sim_node_is_folder(node) || is_ours(path))
		return;
	if (is_whole(count->world, path, node))
		count->whole++;
	else if (count->world->test->overwrite >= TW_OVERWRITE_WITH_PARTFILE_NEVER)
		sim_fail(&count->world->sim, "%s is not whole after a power cut", path);
}

uint64_t transfer_count_whole(struct transfer_world *world)
{
	struct count count = { world, 0 };

	sim_disk_walk(&world->peers[1].disk, DESTINATION, count_whole, &count);
	return count.whole;
}

/*
 * Written in place, a file that was begun and whose source then changed stays as it is, for there
 * may be nothing to bring back; but somebody must have been told.
 */
static bool may_stay_unfinished(const struct transfer_world *world)
{
	return world->touched && world->peers[0].problems_bad &&
	       world->test->overwrite < TW_OVERWRITE_WITH_PARTFILE_NEVER;
}

static void verify_source(void *context, const char *path, struct sim_node *node)
{
	struct transfer_world *world = context;
	const struct sim_node *there;
	char at[300];

	snprintf(at, sizeof(at), DESTINATION "/%s", path);
	there = sim_disk_find(&world->peers[1].disk, at);
	if (!there) {
		if (!world->touched || sim_node_is_folder(node))
			sim_fail(&world->sim, "%s is missing", at);
		else if (!world->peers[0].problems_bad)
			sim_fail(&world->sim, "%s is missing and nobody was told", at);
		return;
	}
	if (sim_node_is_folder(node)) {
		if (!sim_node_is_folder(there))
			sim_fail(&world->sim, "%s is no folder", at);
		return;
	}
	if (!is_whole(world, at, there) && !may_stay_unfinished(world))
		sim_fail(&world->sim, "%s differs from its source", at);
	if (world->touched)
		return;
	if (sim_node_mode(there) != sim_node_mode(node))
		sim_fail(&world->sim, "%s has mode %o, not %o", at, sim_node_mode(there),
			 sim_node_mode(node));
	if (sim_node_mtime(there) != sim_node_mtime(node))
		sim_fail(&world->sim, "%s has another time than its source", at);
	/* Holes are kept by the chunk; what was written before a fault may be written again. */
	if (sim_node_pages(there) > sim_node_pages(node) + SPARSE_SLACK)
		sim_fail(&world->sim, "%s takes %" PRIu64 " pages, its source %" PRIu64, at,
			 sim_node_pages(there), sim_node_pages(node));
}

static void verify_alien(void *context, const char *path, struct sim_node *node)
{
	struct transfer_world *world = context;

	if (is_ours(path)) {
		/* A power cut can bring back what was taken away behind the last flush. */
		if (!sim_node_is_folder(node) && !world->receiver_cut)
			sim_fail(&world->sim, "%s was left behind", path);
		return;
	}
	if (!strcmp(path, DESTINATION))
		return;
	if (strncmp(path, DESTINATION "/", strlen(DESTINATION) + 1) != 0 ||
	    !sim_disk_find(&world->peers[0].disk, path + strlen(DESTINATION) + 1))
		sim_fail(&world->sim, "%s has no source", path);
}

void transfer_verify(struct transfer_world *world)
{
	sim_disk_walk(&world->peers[0].disk, SOURCE, verify_source, world);
	sim_disk_walk(&world->peers[1].disk, "", verify_alien, world);
}
