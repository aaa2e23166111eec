/*
 * reach.h - which files the owner of an object may reach: the views (auth/view.h) of accounts, by
 * what they are mapped to now.
 *
 * The mapping of an account is its own; else that of everyone (""), else --sandbox-dir at the top,
 * else the whole system. Views are shared by all that is done for an account, forgotten when
 * mappings change (whoever holds one goes on with it) and when nobody has asked for some seconds.
 */
#pragma once

#include "auth/view.h"
#include "base/time.h"
#include "engine/engine.h"

/*
 * @fence: path of the token that the owner came with; NULL or "": none. Nothing is asked of the
 * account or its storage yet. @ret: a reference, the caller's. -ENOMEM.
 */
int tw_reach_view(struct tw_engine *engine, const char *owner, const char *fence,
		  struct tw_view **ret);
/* A file system of its own in that view, to be dropped. */
int tw_reach_fs(struct tw_engine *engine, const char *owner, const char *fence, struct tw_fs *ret);
/* Where the caller's mounts are: an array of texts; "/": the top. */
int tw_reach_roots(struct tw_engine *engine, const struct tw_caller *caller, json_t **ret,
		   struct tw_fault *fault);
/* Whether @mapping ({mount: target}) can be used. */
int tw_reach_check(json_t *mapping, struct tw_fault *fault);

void tw_reach_init(struct tw_engine *engine);
/* The mappings are others now. */
void tw_reach_forget(struct tw_engine *engine);
/* Once a second: lets go of what rests. */
void tw_reach_rest(struct tw_engine *engine, tw_ns now);
void tw_reach_deinit(struct tw_engine *engine);
