/*
 * bench_agent - what it costs that files are reached through a file agent, a process of its own:
 * seconds of the clock, the best of five, in the process and through an agent.
 *
 *   bench_agent [FOLDER]            default /dev/shm
 *
 * walk    100 000 empty files in 200 folders into a manifest
 * read    20 000 files of 4 KiB through a source, each opened once
 * large   1 GiB in one file through a source
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "auth/agent.h"
#include "auth/passing.h"
#include "auth/view.h"
#include "base/error.h"
#include "content/source.h"

#define FOLDERS 200
#define FILES_EACH 500
#define SMALL_FOLDERS 40
#define SMALL_SIZE 4096
#define LARGE_SIZE (UINT64_C(1) << 30)
#define TURNS 5

static char base[256];
static int control = -1;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void must(int result)
{
	if (result && result != TW_E_END) {
		fprintf(stderr, "bench_agent: %s\n", tw_strerror(result));
		exit(1);
	}
}

/* Accounts: one, ours, with an agent. */
static int find(struct tw_accounts *accounts, const char *user, struct tw_account *ret)
{
	(void)accounts;
	*ret = (struct tw_account){ .home = "/", .uid = getuid() };
	snprintf(ret->name, sizeof(ret->name), "%s", user);
	return 0;
}

static void start_agent(void)
{
	int ends[2];

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
	if (!fork()) {
		close(ends[0]);
		_exit(tw_agent_run(ends[1]) ? 1 : 0);
	}
	close(ends[1]);
	control = ends[0];
}

static int agent(struct tw_accounts *accounts, const char *user, int *ret_socket)
{
	int ends[2];

	(void)accounts;
	(void)user;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -1;
	must(tw_passing_send(control, "", 1, ends[1]));
	close(ends[1]);
	*ret_socket = ends[0];
	return 0;
}

static void make_file(const char *path, uint64_t size)
{
	static const uint8_t zeros[1 << 20];
	FILE *file = fopen(path, "w");

	must(file ? 0 : TW_E_DENIED);
	for (uint64_t at = 0; at < size; at += sizeof(zeros))
		fwrite(zeros, 1, size - at < sizeof(zeros) ? size - at : sizeof(zeros), file);
	fclose(file);
}

static void make_tree(const char *name, unsigned folders, uint64_t size)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", base, name);
	mkdir(path, 0755);
	for (unsigned i = 0; i < folders; i++) {
		snprintf(path, sizeof(path), "%s/%s/%u", base, name, i);
		mkdir(path, 0755);
		for (unsigned j = 0; j < FILES_EACH; j++) {
			snprintf(path, sizeof(path), "%s/%s/%u/%u", base, name, i, j);
			make_file(path, size);
		}
	}
}

static struct tw_source *walk(const struct tw_fs *fs, const char *name)
{
	const struct tw_source_mapping mapping = { name, "to" };
	const struct tw_source_options options = { .mappings = &mapping,
						   .mapping_count = 1,
						   .read_content = true };
	struct tw_source *source;

	must(tw_source_new(fs, &options, &source));
	while (!tw_source_walk(source, 1000))
		continue;
	return source;
}

static void read_all(struct tw_source *source)
{
	static uint8_t bytes[8 << 20];
	uint64_t tape = tw_manifest_tape_size(tw_source_manifest(source)), entry;
	static struct tw_digest digests[TW_BLOCK_CHUNKS_MAX];
	struct tw_block block = { .digests = digests };

	for (uint64_t at = 0; at < tape; at = block.end)
		must(tw_source_read(source, at, at + sizeof(bytes), bytes, sizeof(bytes), &block,
				    &entry));
}

static double measure(const struct tw_fs *fs, const char *name, bool read)
{
	double start = now(), took;
	struct tw_source *source = walk(fs, name);

	if (read) {
		start = now();
		read_all(source);
	}
	took = now() - start;
	tw_source_free(source);
	return took;
}

/* In turns, so that other work on the machine meets both. */
static void compare(const struct tw_fs *direct, const struct tw_fs *through, const char *name,
		    bool read)
{
	double best[2] = { 1e9, 1e9 };

	for (unsigned i = 0; i < 2 * TURNS; i++) {
		double took = measure(i % 2 ? through : direct, name, read);

		best[i % 2] = took < best[i % 2] ? took : best[i % 2];
	}
	printf("%-6s in the process %.3f s, through an agent %.3f s\n", name, best[0], best[1]);
}

int main(int count, char **arguments)
{
	static const struct tw_accounts_ops ops = { .find = find, .agent = agent };
	static const struct {
		const char *name;
		bool read;
	} what[] = { { "walk", false }, { "read", true }, { "large", true } };
	struct tw_accounts accounts = { &ops };
	const struct tw_sandbox_pair pair = { "/", base };
	const struct tw_view_options options = {
		.accounts = &accounts, .user = "somebody", .pairs = &pair, .pair_count = 1
	};
	struct tw_fs direct, through;
	struct tw_view *view;
	char path[512];

	snprintf(base, sizeof(base), "%s/bench_agent-%d", count > 1 ? arguments[1] : "/dev/shm",
		 (int)getpid());
	must(mkdir(base, 0755));
	/* It is asked something now and then: without clients it would end. */
	start_agent();
	must(tw_view_new(&options, &view));
	must(tw_view_fs(view, &through));
	must(through.ops->sync_directory(through.context, ""));
	make_tree("walk", FOLDERS, 0);
	make_tree("read", SMALL_FOLDERS, SMALL_SIZE);
	snprintf(path, sizeof(path), "%s/large", base);
	make_file(path, LARGE_SIZE);
	must(tw_fs_posix_open(base, false, &direct));
	for (unsigned i = 0; i < sizeof(what) / sizeof(*what); i++)
		compare(&direct, &through, what[i].name, what[i].read);
	tw_fs_drop(&through);
	tw_view_drop(view);
	tw_fs_posix_close(&direct);
	snprintf(path, sizeof(path), "rm -r '%s'", base);
	return system(path);
}
