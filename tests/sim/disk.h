/*
 * disk.h - storage in memory behind the seam of content/fs.h, with what real storage does at its
 * worst.
 *
 * A file is pages of 4 KiB (a missing one is a hole), each with what is there now and what is on
 * the platter. sync() makes the one the other. A folder has its entries now, those on the platter,
 * and the changes in between in their order. A power cut keeps, drops or tears (in sectors of 512
 * bytes) each page on its own, and keeps of each folder's changes some first part: nothing is
 * promised that was not flushed, and nothing kept that could not be. Names are changed one at a
 * time; a rename is never half done.
 *
 * A disk can die: from then on calls fail and change nothing. That is how a program is killed in
 * the middle of its work: the fuse burns for so many changes, the disk dies, the program goes, the
 * disk comes back.
 */
#pragma once

#include "content/fs.h"
#include "sim.h"

#define SIM_PAGE 4096

struct sim_disk_config {
	tw_ns latency;     /* of a job, and again of each flush */
	uint64_t rate;     /* bytes a second; 0: endless */
	uint64_t capacity; /* bytes; 0: endless */
	bool in_memory;    /* quick jobs are run at once and cost nothing */
};

struct sim_node;

struct sim_disk {
	struct sim *sim;
	struct sim_disk_config config;
	struct sim_node *root, *all;
	uint64_t inodes, used;
	uint8_t boot_id[16];
	bool dead;
	uint64_t fuse; /* changes until the disk dies; 0: never */
	void (*died)(void *context);
	int write_error, sync_error, read_error; /* -errno for every call while set */
	tw_ns hangs_until;
	/* What the calls so far cost. */
	uint64_t bytes_moved, bytes_written, flushes, changes;
	/* A file has taken a name, or one with a name has been written to. May be NULL. */
	void (*named)(void *context, const char *path, struct sim_node *node);
	void (*written)(void *context, struct sim_node *node);
	void *context;
};

void sim_disk_init(struct sim_disk *disk, struct sim *sim, const struct sim_disk_config *config);
void sim_disk_deinit(struct sim_disk *disk);
/* Borrowed from @disk. */
struct tw_fs sim_disk_fs(struct sim_disk *disk);
/* The power goes, and comes back: what was not flushed may be lost. */
void sim_disk_cut(struct sim_disk *disk);

/* Without faults, for those who prepare and check. */
struct sim_node *sim_disk_find(const struct sim_disk *disk, const char *path);
/* Makes a file (or a folder when @path ends with '/') and the folders above it. */
struct sim_node *sim_disk_make(struct sim_disk *disk, const char *path);
uint64_t sim_node_size(const struct sim_node *node);
bool sim_node_is_folder(const struct sim_node *node);
uint32_t sim_node_mode(const struct sim_node *node);
int64_t sim_node_mtime(const struct sim_node *node);
uint64_t sim_node_pages(const struct sim_node *node);
void sim_node_set(struct sim_node *node, uint32_t mode, int64_t mtime_ns);
void sim_node_write(struct sim_disk *disk, struct sim_node *node, const void *bytes, size_t length,
		    uint64_t offset);
void sim_node_resize(struct sim_disk *disk, struct sim_node *node, uint64_t size);
bool sim_node_equal(const struct sim_node *a, const struct sim_node *b);
/* Marks for the owner of @disk->named. */
void **sim_node_mark(struct sim_node *node);
/* Calls @each with the path of everything below @path, folders before what is inside them. */
void sim_disk_walk(const struct sim_disk *disk, const char *path,
		   void (*each)(void *context, const char *path, struct sim_node *node),
		   void *context);
