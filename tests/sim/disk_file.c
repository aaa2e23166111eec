#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "disk_internal.h"

#define SECTOR 512

static const uint8_t zeros[SIM_PAGE];

/* Where the group with @index is, or where it belongs. */
static size_t group_place(const struct sim_node *node, uint64_t index)
{
	size_t low = 0, high = node->group_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (node->groups[middle]->index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct page *page_find(const struct sim_node *node, uint64_t number)
{
	size_t place = group_place(node, number / GROUP_PAGES);

	if (place == node->group_count || node->groups[place]->index != number / GROUP_PAGES)
		return NULL;
	return &node->groups[place]->pages[number % GROUP_PAGES];
}

static struct page_group *group_make(struct sim_node *node, uint64_t index)
{
	size_t place = group_place(node, index);

	if (place < node->group_count && node->groups[place]->index == index)
		return node->groups[place];
	if (node->group_count == node->group_room) {
		node->group_room = node->group_room ? node->group_room * 2 : 4;
		node->groups = realloc(node->groups, node->group_room * sizeof(node->groups[0]));
		assert(node->groups);
	}
	memmove(node->groups + place + 1, node->groups + place,
		(node->group_count - place) * sizeof(node->groups[0]));
	node->groups[place] = sim_alloc(sizeof(struct page_group));
	node->groups[place]->index = index;
	node->group_count++;
	return node->groups[place];
}

static void page_soil(struct page_group *group, struct page *page)
{
	if (page->dirty)
		return;
	page->dirty = true;
	group->dirty++;
	page->stored = NULL;
	if (page->now) {
		page->stored = malloc(SIM_PAGE);
		assert(page->stored);
		memcpy(page->stored, page->now, SIM_PAGE);
	}
}

static void page_empty(struct sim_disk *disk, struct sim_node *node, struct page *page)
{
	if (!page->now)
		return;
	free(page->now);
	page->now = NULL;
	node->page_count--;
	disk->used -= SIM_PAGE;
}

static void page_fill(struct sim_disk *disk, struct sim_node *node, struct page *page)
{
	if (page->now)
		return;
	page->now = sim_alloc(SIM_PAGE);
	node->page_count++;
	disk->used += SIM_PAGE;
}

int node_write(struct sim_disk *disk, struct sim_node *node, const uint8_t *bytes, size_t length,
	       uint64_t offset)
{
	while (length > 0) {
		uint64_t number = offset / SIM_PAGE;
		size_t within = offset % SIM_PAGE;
		size_t part = SIM_PAGE - within < length ? SIM_PAGE - within : length;
		struct page_group *group = group_make(node, number / GROUP_PAGES);
		struct page *page = &group->pages[number % GROUP_PAGES];

		if (!page->now && disk->config.capacity &&
		    disk->used + SIM_PAGE > disk->config.capacity)
			return -ENOSPC;
		page_soil(group, page);
		page_fill(disk, node, page);
		memcpy(page->now + within, bytes, part);
		bytes += part;
		offset += part;
		length -= part;
		if (offset > node->size) {
			node->size = offset;
			node->meta_dirty = true;
		}
	}
	node->mtime_ns = node->ctime_ns = disk_clock(disk);
	return 0;
}

void node_resize(struct sim_disk *disk, struct sim_node *node, uint64_t size)
{
	uint64_t first = (size + SIM_PAGE - 1) / SIM_PAGE;

	for (size_t i = group_place(node, first / GROUP_PAGES); i < node->group_count; i++) {
		struct page_group *group = node->groups[i];

		for (unsigned p = 0; p < GROUP_PAGES; p++) {
			struct page *page = &group->pages[p];

			if (group->index * GROUP_PAGES + p < first || !page->now)
				continue;
			page_soil(group, page);
			page_empty(disk, node, page);
		}
	}
	if (size < node->size && size % SIM_PAGE) {
		struct page *page = page_find(node, size / SIM_PAGE);

		if (page && page->now) {
			page_soil(group_make(node, size / SIM_PAGE / GROUP_PAGES), page);
			memset(page->now + size % SIM_PAGE, 0, SIM_PAGE - size % SIM_PAGE);
		}
	}
	node->size = size;
	node->meta_dirty = true;
	node->mtime_ns = node->ctime_ns = disk_clock(disk);
}

void node_sync(struct sim_node *node)
{
	for (size_t i = 0; i < node->group_count; i++) {
		struct page_group *group = node->groups[i];

		for (unsigned p = 0; group->dirty && p < GROUP_PAGES; p++) {
			if (!group->pages[p].dirty)
				continue;
			free(group->pages[p].stored);
			group->pages[p].stored = NULL;
			group->pages[p].dirty = false;
			group->dirty--;
		}
	}
	node->stored_size = node->size;
	node->stored_mode = node->mode;
	node->stored_mtime_ns = node->mtime_ns;
	node->meta_dirty = false;
}

/* Each sector is the old one or the new one. */
static void page_tear(struct sim_disk *disk, struct sim_node *node, struct page *page)
{
	page_fill(disk, node, page);
	for (size_t at = 0; at < SIM_PAGE; at += SECTOR) {
		if (sim_chance(disk->sim, 0.5))
			memcpy(page->now + at, (page->stored ? page->stored : zeros) + at, SECTOR);
	}
}

static void page_revert(struct sim_disk *disk, struct sim_node *node, struct page *page)
{
	if (!page->stored) {
		page_empty(disk, node, page);
		return;
	}
	page_fill(disk, node, page);
	memcpy(page->now, page->stored, SIM_PAGE);
}

void node_cut(struct sim_disk *disk, struct sim_node *node, unsigned style)
{
	for (size_t i = 0; i < node->group_count; i++) {
		struct page_group *group = node->groups[i];

		for (unsigned p = 0; group->dirty && p < GROUP_PAGES; p++) {
			struct page *page = &group->pages[p];
			unsigned fate = style == CUT_MIX
						? (unsigned)tw_prng_below(&disk->sim->prng, 3)
						: style;

			if (!page->dirty)
				continue;
			if (fate == CUT_LOSE)
				page_revert(disk, node, page);
			else if (fate == CUT_MIX)
				page_tear(disk, node, page);
			free(page->stored);
			page->stored = NULL;
			page->dirty = false;
			group->dirty--;
		}
	}
	if (node->meta_dirty && (style == CUT_LOSE || sim_chance(disk->sim, 0.5))) {
		node_resize(disk, node, node->stored_size);
		node->mode = node->stored_mode;
		node->mtime_ns = node->stored_mtime_ns;
	}
	node_sync(node);
}

void node_drop_pages(struct sim_disk *disk, struct sim_node *node)
{
	for (size_t i = 0; i < node->group_count; i++) {
		for (unsigned p = 0; p < GROUP_PAGES; p++) {
			page_empty(disk, node, &node->groups[i]->pages[p]);
			free(node->groups[i]->pages[p].stored);
		}
		free(node->groups[i]);
	}
	free(node->groups);
	node->groups = NULL;
	node->group_count = node->group_room = 0;
}

void node_stat(const struct sim_node *node, struct tw_file_stat *ret)
{
	*ret = (struct tw_file_stat){
		.kind = node->kind,
		.size = node->kind == TW_KIND_FILE ? node->size : SIM_PAGE,
		.allocated = node->page_count * SIM_PAGE,
		.mode = node->mode,
		.mtime_ns = node->mtime_ns,
		.ctime_ns = node->ctime_ns,
		.device = 1,
		.inode = node->inode,
	};
}

void file_close(struct tw_file *file)
{
	free(file);
}

int64_t file_read(struct tw_file *file, void *bytes, size_t length, uint64_t offset)
{
	const struct sim_node *node = file->node;
	uint8_t *to = bytes;
	size_t done = 0;

	if (file->disk->dead)
		return -EIO;
	if (file->disk->read_error)
		return file->disk->read_error;
	if (offset >= node->size)
		return 0;
	if (length > node->size - offset)
		length = (size_t)(node->size - offset);
	while (done < length) {
		uint64_t at = offset + done;
		size_t within = at % SIM_PAGE;
		size_t part = SIM_PAGE - within < length - done ? SIM_PAGE - within : length - done;
		const struct page *page = page_find(node, at / SIM_PAGE);

		memcpy(to + done, (page && page->now ? page->now : zeros) + within, part);
		done += part;
		/* A hole costs nothing. */
		if (page && page->now)
			file->disk->bytes_moved += part;
	}
	return (int64_t)done;
}

int file_write(struct tw_file *file, const struct iovec *pieces, int count, uint64_t offset)
{
	struct sim_disk *disk = file->disk;

	for (int i = 0; i < count; i++) {
		int error = disk_change(disk);

		if (!error)
			error = disk->write_error;
		if (!error)
			error = node_write(disk, file->node, pieces[i].iov_base, pieces[i].iov_len,
					   offset);
		if (error)
			return error;
		offset += pieces[i].iov_len;
		disk->bytes_moved += pieces[i].iov_len;
		disk->bytes_written += pieces[i].iov_len;
	}
	if (disk->written && file->node->mark)
		disk->written(disk->context, file->node);
	return 0;
}

int file_resize(struct tw_file *file, uint64_t size)
{
	int error = disk_change(file->disk);

	if (!error)
		error = file->disk->write_error;
	if (error)
		return error;
	if (size > (UINT64_C(1) << 62))
		return -EFBIG;
	if (size != file->node->size && file->disk->written && file->node->mark)
		file->disk->written(file->disk->context, file->node);
	node_resize(file->disk, file->node, size);
	return 0;
}

int file_stat(struct tw_file *file, struct tw_file_stat *ret)
{
	if (file->disk->dead)
		return -EIO;
	node_stat(file->node, ret);
	return 0;
}

int file_sync(struct tw_file *file)
{
	int error = disk_change(file->disk);

	if (!error)
		error = file->disk->sync_error;
	if (error)
		return error;
	file->disk->flushes++;
	node_sync(file->node);
	return 0;
}

int file_set_meta(struct tw_file *file, uint32_t mode, int64_t mtime_ns)
{
	int error = disk_change(file->disk);

	if (error)
		return error;
	file->node->mode = mode & 0777;
	file->node->mtime_ns = mtime_ns;
	file->node->ctime_ns = disk_clock(file->disk);
	file->node->meta_dirty = true;
	return 0;
}

bool file_in_memory(struct tw_file *file)
{
	return file->disk->config.in_memory;
}

int file_next_data(struct tw_file *file, uint64_t offset, uint64_t *ret_start, uint64_t *ret_end)
{
	const struct sim_node *node = file->node;
	bool found = false;
	uint64_t start = 0, end = 0;

	if (file->disk->dead)
		return -EIO;
	for (size_t i = group_place(node, offset / SIM_PAGE / GROUP_PAGES); i < node->group_count;
	     i++) {
		for (unsigned p = 0; p < GROUP_PAGES; p++) {
			uint64_t at = (node->groups[i]->index * GROUP_PAGES + p) * SIM_PAGE;

			if (at + SIM_PAGE <= offset || !node->groups[i]->pages[p].now)
				continue;
			if (found && at != end)
				goto out;
			if (!found)
				start = at > offset ? at : offset;
			found = true;
			end = at + SIM_PAGE;
		}
	}
out:
	if (!found || start >= node->size)
		return TW_E_END;
	*ret_start = start;
	*ret_end = end < node->size ? end : node->size;
	return 0;
}
