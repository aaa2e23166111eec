/*
 * files.h - file operations in an account's view, on the threads of a pool: what is asked for is
 * copied, and the answer comes back from the loop.
 */
#pragma once

#include "auth/view.h"
#include "engine/pool.h"

/*
 * On a thread of @pool (borrowed). @view is held, @request copied; its roots do not count. @done is
 * called once, from the loop, also when it was stopped; @result is lent for the call. -ENOMEM.
 */
struct tw_files_work;
int tw_files_start(struct tw_pool *pool, struct tw_view *view,
		   const struct tw_files_request *request,
		   void (*done)(void *context, struct tw_files_result *result), void *context,
		   struct tw_files_work **ret);
/* Asks it to end: done() comes with -ECANCELED unless it was over already. Not after done(). */
void tw_files_stop(struct tw_files_work *work);
