/*
 * mail.h - letters from thread to thread: a mailbox that any thread may write to and one reads.
 *
 * A letter (session/lane.h) belongs to whoever has it: the writer until it is put, the reader from
 * the taking on. Letters of one writer come out in the order in which they were put. A mailbox
 * holds as many as its writers have: what they may write is theirs to bound, so that none is ever
 * lost on the way for want of room.
 *
 * A mailbox is shut at first. It is shut again only when it is empty, in one step: what was put
 * has been read, and who comes too late knows it.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "session/lane.h"

struct tw_mailbox {
	pthread_mutex_t lock;
	struct tw_letter *first, **last;
	bool open;
	int fd; /* readable when something may lie in it */
};

/* -errno of eventfd(); tw_mailbox_deinit() may follow all the same. */
int tw_mailbox_init(struct tw_mailbox *box);
/* It is empty. */
void tw_mailbox_deinit(struct tw_mailbox *box);
/* Any thread, as the next. */
void tw_mailbox_open(struct tw_mailbox *box);
/* False: it is shut, and the letter stays the caller's. */
bool tw_mailbox_put(struct tw_mailbox *box, struct tw_letter *letter);
/* The reader's: all that has been put, the first first; NULL: nothing. */
struct tw_letter *tw_mailbox_take(struct tw_mailbox *box);
/* The reader's. False: something lies in it, which has to be taken first. */
bool tw_mailbox_shut(struct tw_mailbox *box);
