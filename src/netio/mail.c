#include "netio/mail.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int tw_mailbox_init(struct tw_mailbox *box)
{
	*box = (struct tw_mailbox){ .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	box->last = &box->first;
	pthread_mutex_init(&box->lock, NULL);
	return box->fd < 0 ? -errno : 0;
}

void tw_mailbox_deinit(struct tw_mailbox *box)
{
	assert(!box->first);
	pthread_mutex_destroy(&box->lock);
	if (box->fd >= 0)
		close(box->fd);
}

void tw_mailbox_open(struct tw_mailbox *box)
{
	pthread_mutex_lock(&box->lock);
	box->open = true;
	pthread_mutex_unlock(&box->lock);
}

bool tw_mailbox_put(struct tw_mailbox *box, struct tw_letter *letter)
{
	uint64_t one = 1;
	bool open, first;

	letter->next = NULL;
	pthread_mutex_lock(&box->lock);
	open = box->open;
	first = open && !box->first;
	if (open) {
		*box->last = letter;
		box->last = &letter->next;
	}
	pthread_mutex_unlock(&box->lock);
	/* Fails only when the counter is about to overflow, and then it is readable anyway. */
	if (first && write(box->fd, &one, sizeof one) < 0)
		return open;
	return open;
}

struct tw_letter *tw_mailbox_take(struct tw_mailbox *box)
{
	struct tw_letter *all;
	uint64_t count;

	/* First, so that what is put from here on rings again. */
	if (read(box->fd, &count, sizeof count) < 0)
		count = 0;
	pthread_mutex_lock(&box->lock);
	all = box->first;
	box->first = NULL;
	box->last = &box->first;
	pthread_mutex_unlock(&box->lock);
	return all;
}

bool tw_mailbox_shut(struct tw_mailbox *box)
{
	bool empty;

	pthread_mutex_lock(&box->lock);
	empty = !box->first;
	if (empty)
		box->open = false;
	pthread_mutex_unlock(&box->lock);
	return empty;
}
