/*
 * The simulator: named cases and random histories of the production core in virtual time. TAP on
 * standard output; a failure prints the command that repeats it.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cases.h"

#define TWICE_EVERY 16

struct options {
	const char *case_name, *group;
	uint64_t seed, histories;
	uint64_t part, parts; /* of the cases meant, every @parts-th from @part on; 0: all */
	bool seed_given, list, verbose;
};

/* How to repeat what runs now: for whoever finds a dead program. */
static char running[160];

static void on_crash(int signal_number)
{
	ssize_t done = write(STDOUT_FILENO, running, strlen(running));

	(void)done;
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static int usage(void)
{
	fprintf(stderr, "sim --list\n"
			"sim [--group PREFIX] [--part N/OF] [--case NAME] [--seed N] [--verbose]\n"
			"sim --histories N [--seed FIRST] [--verbose]\n"
			"sim --seed N [--verbose]\n");
	return 2;
}

static bool parse(int count, char **words, struct options *ret)
{
	for (int i = 1; i < count; i++) {
		const char *word = words[i];
		const char *value = i + 1 < count ? words[i + 1] : NULL;

		if (!strcmp(word, "--list")) {
			ret->list = true;
		} else if (!strcmp(word, "--verbose")) {
			ret->verbose = true;
		} else if (!strcmp(word, "--case") && value) {
			ret->case_name = value;
			i++;
		} else if (!strcmp(word, "--group") && value) {
			ret->group = value;
			i++;
		} else if (!strcmp(word, "--part") && value) {
			if (sscanf(value, "%" SCNu64 "/%" SCNu64, &ret->part, &ret->parts) != 2 ||
			    ret->part < 1 || ret->part > ret->parts)
				return false;
			i++;
		} else if (!strcmp(word, "--seed") && value) {
			ret->seed = strtoull(value, NULL, 0);
			ret->seed_given = true;
			i++;
		} else if (!strcmp(word, "--histories") && value) {
			ret->histories = strtoull(value, NULL, 0);
			i++;
		} else {
			return false;
		}
	}
	return true;
}

static void print_measures(const struct sim_measures *got)
{
	double ratio = got->ideal ? (double)got->took / (double)got->ideal : 0;

	printf("# %.3f s (%.2f x ideal), wire %.4f, needless %.3f %%, return %.3f %%, "
	       "written %.3f, queue 95 %% %.1f ms\n",
	       (double)got->took / 1e9, ratio, got->wire, 100 * got->needless,
	       100 * got->return_share, got->written, (double)got->delay_95 / 1e6);
	printf("# lost %" PRIu64 ", spurious %" PRIu64 ", forged %" PRIu64 ", keys %" PRIu64
	       ", again %" PRIu64 " bytes, digest %016" PRIx64 "\n",
	       got->packets_lost, got->packets_spurious, got->forged, got->key_updates, got->again,
	       got->digest);
}

static bool run(const struct sim_case *test, uint64_t seed, bool verbose, struct sim_measures *ret,
		char *ret_failure)
{
	if (test->run)
		return test->run(test, seed, verbose, ret, ret_failure);
	return test->size ? tape_run(test, seed, verbose, ret, ret_failure)
			  : transfer_run(test, seed, verbose, ret, ret_failure);
}

static bool run_case(const struct sim_case *test, unsigned number, const struct options *options)
{
	struct sim_measures got = { 0 };
	char failure[512] = "";
	uint64_t seed = options->seed_given ? options->seed : 1;
	bool good;

	snprintf(running, sizeof(running), "# crashed: --case '%s' --seed %" PRIu64 "\n",
		 test->name, seed);
	good = run(test, seed, options->verbose, &got, failure);
	printf("%s %u - %s\n", good ? "ok" : "not ok", number, test->name);
	print_measures(&got);
	if (!good)
		printf("# %s\n# again: build/tests/sim/sim --case '%s' --seed %" PRIu64 "\n",
		       failure, test->name, seed);
	fflush(stdout);
	return good;
}

static bool run_history(uint64_t seed, const struct options *options, struct sim_measures *ret)
{
	char failure[512] = "";
	struct sim_case test;
	bool good;

	snprintf(running, sizeof(running), "# crashed: --seed %" PRIu64 "\n", seed);
	history_make(seed, &test);
	if (options->verbose)
		history_describe(&test);
	good = run(&test, seed, options->verbose, ret, failure);
	if (!good)
		printf("# seed %" PRIu64 ": %s\n# again: make sim SEED=%" PRIu64 "\n", seed,
		       failure, seed);
	fflush(stdout);
	return good;
}

/* The same seed must give the same datagrams at the same times. */
static bool run_twice(uint64_t seed, const struct options *options)
{
	struct sim_measures first = { 0 }, second = { 0 };
	bool good = run_history(seed, options, &first);

	good &= run_history(seed, options, &second);
	if (first.digest == second.digest)
		return good;
	printf("# seed %" PRIu64 ": two runs differ: %016" PRIx64 " and %016" PRIx64 "\n", seed,
	       first.digest, second.digest);
	return false;
}

static int run_histories(const struct options *options)
{
	uint64_t bad = 0, slowest = 0, slowest_seed = 0;

	for (uint64_t i = 0; i < options->histories; i++) {
		uint64_t seed = options->seed + i;
		struct sim_measures got = { 0 };

		if (i % TWICE_EVERY == 0) {
			bad += !run_twice(seed, options);
			continue;
		}
		bad += !run_history(seed, options, &got);
		if (got.took > slowest) {
			slowest = got.took;
			slowest_seed = seed;
		}
	}
	printf("%s 1 - histories %" PRIu64 " to %" PRIu64 "\n", bad ? "not ok" : "ok",
	       options->seed, options->seed + options->histories - 1);
	printf("# %" PRIu64 " failed; slowest: seed %" PRIu64 ", %.1f s\n1..1\n", bad, slowest_seed,
	       (double)slowest / 1e9);
	return bad > 0;
}

static int run_one_history(const struct options *options)
{
	struct sim_measures got = { 0 };
	bool good = run_history(options->seed, options, &got);

	print_measures(&got);
	printf("%s 1 - history %" PRIu64 "\n1..1\n", good ? "ok" : "not ok", options->seed);
	return !good;
}

static bool is_meant(const struct sim_case *test, const struct options *options)
{
	if (options->case_name)
		return !strcmp(options->case_name, test->name);
	return !options->group || !strncmp(test->name, options->group, strlen(options->group));
}

static unsigned run_table(const struct sim_case *cases, size_t count, const struct options *options,
			  unsigned *number)
{
	unsigned bad = 0, meant = 0;

	for (size_t i = 0; i < count; i++) {
		if (options->list) {
			printf("%s\n", cases[i].name);
			continue;
		}
		if (!is_meant(&cases[i], options))
			continue;
		if (options->parts && meant++ % options->parts != options->part - 1)
			continue;
		bad += !run_case(&cases[i], ++*number, options);
	}
	return bad;
}

int main(int count, char **words)
{
	struct options options = { 0 };
	unsigned number = 0, bad = 0;

	if (!parse(count, words, &options))
		return usage();
	signal(SIGABRT, on_crash);
	signal(SIGSEGV, on_crash);
	if (options.histories)
		return run_histories(&options);
	if (options.seed_given && !options.case_name && !options.group)
		return run_one_history(&options);
	bad += run_table(core_cases, core_case_count, &options, &number);
	bad += run_table(stranger_cases, stranger_case_count, &options, &number);
	bad += run_table(session_cases, session_case_count, &options, &number);
	bad += run_table(many_cases, many_case_count, &options, &number);
	bad += run_table(lane_cases, lane_case_count, &options, &number);
	if (options.list)
		return 0;
	printf("1..%u\n", number);
	return bad || !number;
}
