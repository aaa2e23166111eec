/*
 * The simulator: named cases and random histories of the production core in virtual time. TAP on
 * standard output; a failure prints the command that repeats it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"

struct options {
	const char *case_name, *group;
	uint64_t seed, histories;
	bool seed_given, list, verbose;
};

static int usage(void)
{
	fprintf(stderr, "sim --list\n"
			"sim [--group PREFIX] [--case NAME] [--seed N] [--verbose]\n"
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
	printf("# %.3f s (%.2f x ideal), wire %.4f, needless %.3f %%, return %.3f %%, queue 95 %% "
	       "%.1f ms, lost %llu, spurious %llu, forged %llu, keys %llu, digest %016llx\n",
	       (double)got->took / 1e9, got->ideal ? (double)got->took / (double)got->ideal : 0,
	       got->wire, 100 * got->needless, 100 * got->return_share,
	       (double)got->delay_95 / 1e6, (unsigned long long)got->packets_lost,
	       (unsigned long long)got->packets_spurious, (unsigned long long)got->forged,
	       (unsigned long long)got->key_updates, (unsigned long long)got->digest);
}

static bool run_case(const struct sim_case *test, unsigned number, const struct options *options)
{
	struct sim_measures got = { 0 };
	char failure[512] = "";
	uint64_t seed = options->seed_given ? options->seed : 1;
	bool good = tape_run(test, seed, options->verbose, &got, failure);

	printf("%s %u - %s\n", good ? "ok" : "not ok", number, test->name);
	print_measures(&got);
	if (!good)
		printf("# %s\n# again: build/tests/sim/sim --case '%s' --seed %llu\n", failure,
		       test->name, (unsigned long long)seed);
	fflush(stdout);
	return good;
}

static bool is_meant(const struct sim_case *test, const struct options *options)
{
	if (options->case_name)
		return !strcmp(options->case_name, test->name);
	return !options->group || !strncmp(test->name, options->group, strlen(options->group));
}

int main(int count, char **words)
{
	struct options options = { 0 };
	unsigned number = 0, bad = 0;

	if (!parse(count, words, &options))
		return usage();
	for (size_t i = 0; i < core_case_count; i++) {
		if (options.list)
			printf("%s\n", core_cases[i].name);
		if (options.list || !is_meant(&core_cases[i], &options))
			continue;
		bad += !run_case(&core_cases[i], ++number, &options);
	}
	if (options.list)
		return 0;
	printf("1..%u\n", number);
	return bad || !number;
}
