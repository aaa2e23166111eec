/*
 * agentworld.h - an account with a file agent of its own in the process, and a folder "in" that it
 * may reach beside one ("out") that it may not.
 */
#pragma once

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../support/temp_dir.h"
#include "auth/accounts.h"
#include "auth/agent.h"
#include "auth/view.h"
#include "base/error.h"

struct agent_world {
	char base[TEMP_PATH_MAX];
	struct tw_accounts *accounts;
	struct tw_account account;
	struct tw_view *view; /* of the newest agent_world_view() */
	struct tw_fs fs;
};

static inline const char *agent_at(const struct agent_world *world, const char *name)
{
	static char paths[4][TEMP_PATH_MAX * 4];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", world->base, name);
	return path;
}

static inline void agent_put(const struct agent_world *world, const char *name, const char *text)
{
	int fd = open(agent_at(world, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static inline void agent_make(const struct agent_world *world, const char *name)
{
	assert_int_equal(mkdir(agent_at(world, name), 0755), 0);
}

static inline bool agent_exists(const struct agent_world *world, const char *name)
{
	struct stat st;

	return !lstat(agent_at(world, name), &st);
}

static inline void agent_world_unview(struct agent_world *world)
{
	if (world->fs.ops)
		tw_fs_drop(&world->fs);
	world->fs.ops = NULL;
	tw_view_drop(world->view);
	world->view = NULL;
}

/* Targets are below the world's folder. */
static inline void agent_world_view(struct agent_world *world, const struct tw_sandbox_pair *pairs,
				    size_t count, const char *fence)
{
	static char targets[8][TEMP_PATH_MAX * 2];
	struct tw_sandbox_pair mine[8];
	const struct tw_view_options options = {
		.accounts = world->accounts,
		.user = world->account.name,
		.pairs = mine,
		.pair_count = count,
		.fence = fence,
	};

	agent_world_unview(world);
	for (size_t i = 0; i < count; i++) {
		snprintf(targets[i], sizeof(targets[i]), "%s/%s", world->base, pairs[i].target);
		mine[i] = (struct tw_sandbox_pair){ pairs[i].mount, targets[i] };
	}
	assert_int_equal(tw_view_new(&options, &world->view), 0);
	assert_int_equal(tw_view_fs(world->view, &world->fs), 0);
}

static inline int agent_world_make(void **state)
{
	static const struct tw_sandbox_pair top = { "/", "in" };
	struct agent_world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	temp_dir_make(world->base);
	agent_make(world, "in");
	agent_make(world, "out");
	agent_put(world, "out/secret", "secret");
	assert_int_equal(tw_accounts_local_new(NULL, tw_agent_run, &world->accounts), 0);
	assert_int_equal(world->accounts->ops->find(world->accounts, "", &world->account), 0);
	agent_world_view(world, &top, 1, NULL);
	*state = world;
	return 0;
}

static inline int agent_world_free(void **state)
{
	struct agent_world *world = *state;

	if (world->fs.ops)
		tw_fs_drop(&world->fs);
	world->fs.ops = NULL;
	/* A test that failed has left something open: its agent would be waited for without end. */
	if (world->view && !tw_view_is_idle(world->view))
		return -1;
	agent_world_unview(world);
	tw_accounts_local_free(world->accounts);
	assert_true(agent_exists(world, "out/secret"));
	temp_dir_remove(world->base);
	free(world);
	return 0;
}

#define agent_test(test) cmocka_unit_test_setup_teardown(test, agent_world_make, agent_world_free)
