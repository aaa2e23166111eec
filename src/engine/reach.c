#include "engine/reach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/engine_internal.h"
#include "netio/clock.h"

#define REST_AFTER (10 * TW_SECOND)

struct tw_reach {
	TAILQ_ENTRY(tw_reach) link;
	char *owner, *fence;
	struct tw_view *view; /* a reference */
	tw_ns used_at, rested_at;
};

/* Mappings. */

struct pairs {
	struct tw_sandbox_pair *items; /* owned; the texts are lent */
	size_t count;
};

static const char *target_path(const json_t *target)
{
	return json_string_value(json_is_string(target) ? target : json_object_get(target, "path"));
}

static int pairs_of(json_t *mapping, struct pairs *ret)
{
	const char *mount;
	json_t *target;

	*ret = (struct pairs){ calloc(json_object_size(mapping) + 1, sizeof(*ret->items)), 0 };
	if (!ret->items)
		return -ENOMEM;
	json_object_foreach (mapping, mount, target) {
		const char *path = target_path(target);

		/* One that cannot be understood leads nowhere, and makes the rest unusable. */
		ret->items[ret->count++] = (struct tw_sandbox_pair){ mount, path ? path : "" };
	}
	return 0;
}

/* What @owner is mapped to, or all are. */
static int find_pairs(const struct tw_engine *engine, const char *owner, struct pairs *ret)
{
	const char *sandbox = engine->options.sandbox_dir;
	json_t *mapping = json_object_get(engine->mappings, owner);

	if (!mapping)
		mapping = json_object_get(engine->mappings, "");
	if (mapping)
		return pairs_of(mapping, ret);
	*ret = (struct pairs){ calloc(1, sizeof(*ret->items)), 1 };
	if (!ret->items)
		return -ENOMEM;
	ret->items[0] = (struct tw_sandbox_pair){ "/", sandbox ? sandbox : "/" };
	return 0;
}

static int check_target(const json_t *target, struct tw_fault *fault)
{
	const char *type = json_string_value(json_object_get(target, "type"));

	if (type && !strcmp(type, "S3"))
		return tw_fault_set(fault, TW_FAULT_UNAVAILABLE, "mapping",
				    "This server cannot reach S3 storage yet; map to a folder, as "
				    "{type: \"File\", path}.");
	if (!target_path(target) ||
	    (json_is_object(target) && (!type || strcmp(type, "File") != 0)))
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "mapping",
				    "A target is an absolute path, or {type: \"File\", path}.");
	return TW_FAULT_NONE;
}

/* Somebody, to see whether and where it mounts. */
static const struct tw_sandbox_account somebody = { .user = "user", .home = "/home/user" };

int tw_reach_check(json_t *mapping, struct tw_fault *fault)
{
	char message[TW_SANDBOX_MESSAGE];
	struct tw_mounts mounts = { 0 };
	struct pairs pairs;
	const char *mount;
	json_t *target;
	int r = TW_FAULT_NONE;

	if (json_object_size(mapping) > TW_SANDBOX_MOUNTS_MAX)
		return tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, "mapping",
				    "At most %d mounts fit one mapping.", TW_SANDBOX_MOUNTS_MAX);
	json_object_foreach (mapping, mount, target) {
		const struct tw_sandbox_pair pair = { mount, target_path(target) };

		r = check_target(target, fault);
		if (!r && tw_sandbox_check(&pair, message))
			r = tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "mapping", "%s",
					 message);
		if (r)
			return r;
	}
	if (pairs_of(mapping, &pairs))
		return tw_no_memory(fault);
	if (tw_sandbox_make(pairs.items, pairs.count, &somebody, NULL, &mounts))
		r = tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "mapping",
				 "Every mount may be there once only.");
	tw_mounts_deinit(&mounts);
	free(pairs.items);
	return r;
}

int tw_reach_roots(struct tw_engine *engine, const struct tw_caller *caller, json_t **ret,
		   struct tw_fault *fault)
{
	struct tw_mounts mounts = { 0 };
	struct pairs pairs;
	json_t *list;
	int r = find_pairs(engine, caller->user, &pairs);

	if (r)
		return tw_no_memory(fault);
	r = tw_sandbox_make(pairs.items, pairs.count, &somebody,
			    caller->token ? caller->token_path : NULL, &mounts);
	free(pairs.items);
	if (r)
		return tw_fault_set(fault, TW_FAULT_NOT_PERMITTED, NULL,
				    "What you may reach cannot be told: %s. Ask whoever set your "
				    "mapping, or your token.",
				    tw_strerror(r));
	list = json_array();
	for (size_t i = 0; i < mounts.count; i++)
		json_array_append_new(list, json_sprintf("/%s", mounts.items[i].at));
	tw_mounts_deinit(&mounts);
	if (!list)
		return tw_no_memory(fault);
	*ret = list;
	return TW_FAULT_NONE;
}

/* Views. */

static void let_go(struct tw_engine *engine, struct tw_reach *reach)
{
	TAILQ_REMOVE(&engine->reaches, reach, link);
	tw_view_drop(reach->view);
	free(reach->owner);
	free(reach->fence);
	free(reach);
}

void tw_reach_init(struct tw_engine *engine)
{
	TAILQ_INIT(&engine->reaches);
}

void tw_reach_forget(struct tw_engine *engine)
{
	struct tw_reach *next;

	for (struct tw_reach *reach = TAILQ_FIRST(&engine->reaches); reach; reach = next) {
		next = TAILQ_NEXT(reach, link);
		let_go(engine, reach);
	}
}

void tw_reach_deinit(struct tw_engine *engine)
{
	tw_reach_forget(engine);
}

void tw_reach_rest(struct tw_engine *engine, tw_ns now)
{
	struct tw_reach *reach, *next;

	for (reach = TAILQ_FIRST(&engine->reaches); reach; reach = next) {
		next = TAILQ_NEXT(reach, link);
		if (tw_ns_since(now, reach->used_at) < REST_AFTER)
			continue;
		if (tw_view_is_idle(reach->view)) {
			let_go(engine, reach);
		} else if (tw_ns_since(now, reach->rested_at) >= REST_AFTER) {
			/* A long transfer of few files: its agent has nothing to do. */
			reach->rested_at = now;
			tw_view_rest(reach->view);
		}
	}
}

static int make_view(struct tw_engine *engine, struct tw_reach *reach)
{
	struct tw_view_options options = {
		.accounts = engine->options.accounts,
		.user = reach->owner,
		.fence = reach->fence,
	};
	struct pairs pairs;
	int r = find_pairs(engine, reach->owner, &pairs);

	if (r)
		return r;
	options.pairs = pairs.items;
	options.pair_count = pairs.count;
	r = tw_view_new(&options, &reach->view);
	free(pairs.items);
	return r;
}

static int make_reach(struct tw_engine *engine, const char *owner, const char *fence,
		      struct tw_reach **ret)
{
	struct tw_reach *reach = calloc(1, sizeof(*reach));
	int r = -ENOMEM;

	if (!reach)
		return -ENOMEM;
	reach->owner = strdup(owner);
	reach->fence = strdup(fence);
	if (reach->owner && reach->fence)
		r = make_view(engine, reach);
	if (r) {
		free(reach->owner);
		free(reach->fence);
		free(reach);
		return r;
	}
	TAILQ_INSERT_HEAD(&engine->reaches, reach, link);
	*ret = reach;
	return 0;
}

int tw_reach_view(struct tw_engine *engine, const char *owner, const char *fence,
		  struct tw_view **ret)
{
	struct tw_reach *reach;
	int r;

	if (!fence)
		fence = "";
	TAILQ_FOREACH(reach, &engine->reaches, link)
	if (!strcmp(reach->owner, owner) && !strcmp(reach->fence, fence))
		break;
	if (!reach) {
		r = make_reach(engine, owner, fence, &reach);
		if (r)
			return r;
	}
	reach->used_at = tw_clock_now();
	*ret = tw_view_hold(reach->view);
	return 0;
}

int tw_reach_fs(struct tw_engine *engine, const char *owner, const char *fence, struct tw_fs *ret)
{
	struct tw_view *view;
	int r = tw_reach_view(engine, owner, fence, &view);

	if (r)
		return r;
	r = tw_view_fs(view, ret);
	tw_view_drop(view);
	return r;
}
