#include "netio/buffers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

int tw_buffers_init(struct tw_buffers *buffers, unsigned count)
{
	struct tw_buffer *all = calloc(count, sizeof *all);
	void *memory;

	if (!all)
		return -ENOMEM;
	memory = mmap(NULL, count * TW_BUFFER_SIZE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED) {
		free(all);
		return -ENOMEM;
	}
	*buffers = (struct tw_buffers){
		.memory = memory, .all = all, .count = count, .free_count = count
	};
	for (unsigned i = count; i-- > 0;) {
		all[i].bytes = buffers->memory + i * TW_BUFFER_SIZE;
		all[i].next_free = buffers->free;
		buffers->free = &all[i];
	}
	return 0;
}

void tw_buffers_deinit(struct tw_buffers *buffers)
{
	if (buffers->memory)
		munmap(buffers->memory, buffers->count * TW_BUFFER_SIZE);
	free(buffers->all);
	*buffers = (struct tw_buffers){ 0 };
}

struct tw_buffer *tw_buffers_take(struct tw_buffers *buffers)
{
	struct tw_buffer *buffer = buffers->free;

	if (!buffer)
		return NULL;
	assert(buffer->references == 0);
	buffers->free = buffer->next_free;
	buffers->free_count--;
	buffer->next_free = NULL;
	buffer->references = 1;
	return buffer;
}

void tw_buffer_hold(struct tw_buffer *buffer)
{
	assert(buffer->references > 0);
	buffer->references++;
}

void tw_buffers_drop(struct tw_buffers *buffers, struct tw_buffer *buffer)
{
	assert(buffer->references > 0);
	if (--buffer->references > 0)
		return;
	buffer->next_free = buffers->free;
	buffers->free = buffer;
	buffers->free_count++;
}
