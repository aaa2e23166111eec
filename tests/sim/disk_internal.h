/*
 * disk_internal.h - what the two halves of the disk share: files (disk_file.c) and names (disk.c).
 */
#pragma once

#include "disk.h"

#define GROUP_PAGES 64

struct page {
	uint8_t *now;    /* NULL: a hole */
	uint8_t *stored; /* on the platter while @dirty; else what is now is there too */
	bool dirty;
};

struct page_group {
	uint64_t index; /* of its first page, over GROUP_PAGES */
	unsigned dirty;
	struct page pages[GROUP_PAGES];
};

struct name {
	char *text;
	struct sim_node *node;
};

struct names {
	struct name *at; /* sorted */
	size_t count, room;
};

/* One change of a folder: @from goes, @to comes; either may be NULL. */
struct change {
	char *from, *to;
	struct sim_node *node;
};

struct sim_node {
	struct sim_node *next; /* of all nodes of the disk */
	enum tw_file_kind kind;
	uint64_t inode;
	uint32_t mode, stored_mode;
	int64_t mtime_ns, ctime_ns, stored_mtime_ns;
	bool meta_dirty;
	void *mark;
	/* a file */
	uint64_t size, stored_size, page_count;
	struct page_group **groups; /* sorted */
	size_t group_count, group_room;
	/* a folder */
	struct names now, stored;
	struct change *changes;
	size_t change_count, change_room;
};

struct tw_file {
	struct sim_disk *disk;
	struct sim_node *node;
	unsigned flags;
};

int64_t disk_clock(const struct sim_disk *disk);
/* 0, or -EIO: the disk is dead, or dies now. For every call that changes something. */
int disk_change(struct sim_disk *disk);
void node_sync(struct sim_node *node);
void node_cut(struct sim_disk *disk, struct sim_node *node, unsigned style);
void node_drop_pages(struct sim_disk *disk, struct sim_node *node);
int node_write(struct sim_disk *disk, struct sim_node *node, const uint8_t *bytes, size_t length,
	       uint64_t offset);
void node_resize(struct sim_disk *disk, struct sim_node *node, uint64_t size);
void node_stat(const struct sim_node *node, struct tw_file_stat *ret);

void file_close(struct tw_file *file);
int64_t file_read(struct tw_file *file, void *bytes, size_t length, uint64_t offset);
int file_write(struct tw_file *file, const struct iovec *pieces, int count, uint64_t offset);
int file_resize(struct tw_file *file, uint64_t size);
int file_stat(struct tw_file *file, struct tw_file_stat *ret);
int file_sync(struct tw_file *file);
int file_set_meta(struct tw_file *file, uint32_t mode, int64_t mtime_ns);
bool file_in_memory(struct tw_file *file);
int file_next_data(struct tw_file *file, uint64_t offset, uint64_t *ret_start, uint64_t *ret_end);

/* What a power cut leaves: everything new, nothing new, or anything in between. */
enum { CUT_KEEP, CUT_LOSE, CUT_MIX, CUT_STYLES };
