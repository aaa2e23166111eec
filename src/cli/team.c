#include "cli/team.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "cli/exit.h"
#include "session/message.h"

bool tw_team_parse_lanes(const char *text, uint32_t *ret)
{
	uint64_t number;

	if (strcmp(text, "auto") == 0) {
		*ret = TW_WORKER_LANES_AUTO;
		return true;
	}
	if (tw_text_parse_u64(text, 0, TW_LANES_MAX, &number))
		return false;
	*ret = (uint32_t)number;
	return true;
}

int tw_team_parse(const struct tw_arguments *arguments, unsigned *ret_workers, uint32_t *ret_lanes)
{
	const char *workers = tw_argument(arguments, "workers");
	const char *lanes = ret_lanes ? tw_argument(arguments, "lanes") : NULL;
	uint64_t number = 0;

	if (workers && tw_text_parse_u64(workers, 0, TW_CREW_MAX, &number)) {
		tw_say("--workers takes a number from 0 (half the processors, 1 to 8) to %d",
		       TW_CREW_MAX);
		return TW_EXIT_USAGE;
	}
	*ret_workers = (unsigned)number;
	if (!ret_lanes)
		return TW_EXIT_DONE;
	*ret_lanes = TW_WORKER_LANES_AUTO;
	if (!lanes || tw_team_parse_lanes(lanes, ret_lanes))
		return TW_EXIT_DONE;
	tw_say("--lanes takes auto or a number from 0 to %d", TW_LANES_MAX);
	return TW_EXIT_USAGE;
}

/* Where the first one listens all do. */
static void join(const struct tw_worker *first, struct tw_worker_receiving *ret)
{
	const struct tw_udp *udp;

	ret->bind_count = 0;
	while ((udp = tw_worker_socket(first, ret->bind_count)))
		ret->binds[ret->bind_count++] = udp->local;
}

int tw_team_new(struct tw_team *team, unsigned wanted, const struct tw_worker_options *options,
		struct tw_address *ret_failed)
{
	unsigned count = tw_crew_size(wanted);
	struct tw_worker_options all = *options;
	struct tw_worker_receiving receiving;
	int r = 0;

	*team = (struct tw_team){ .count = 0 };
	if (count > 1)
		r = tw_crew_new(count, &team->crew);
	all.crew = team->crew;
	for (unsigned i = 0; i < count && !r; i++) {
		if (i == 1 && options->receiving) {
			/* Who may send is for one each: nobody's list is taken twice. */
			assert(!options->receiving->admission.only_listed);
			receiving = *options->receiving;
			join(team->workers[0], &receiving);
			all.receiving = &receiving;
		}
		all.place = i;
		r = tw_worker_new(&all, &team->workers[i], ret_failed);
		team->count += !r;
	}
	if (r)
		tw_team_free(team);
	return r;
}

int tw_team_start(struct tw_team *team)
{
	int r = 0;

	for (unsigned i = 0; i < team->count && !r; i++)
		r = tw_worker_start(team->workers[i]);
	return r;
}

void tw_team_stop(struct tw_team *team)
{
	for (unsigned i = 0; i < team->count; i++)
		(void)tw_worker_stop(team->workers[i]);
}

void tw_team_free(struct tw_team *team)
{
	while (team->count)
		tw_worker_free(team->workers[--team->count]);
	tw_crew_free(team->crew);
	team->crew = NULL;
}
