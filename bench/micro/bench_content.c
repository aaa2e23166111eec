/*
 * bench_content - what content costs apart from any network, all on one thread. Seconds are those
 * of the processor, so that other load on the machine disturbs little.
 *
 *   bench_content [FOLDER]          default /dev/shm
 *
 * small   20 000 files of 4 KiB through a sink, packets of 1433 bytes
 * large   1 GiB in one file through a sink, 45 packets a call: in order, and with one in a hundred
 *         packets coming 4000 packets late
 * walk    the files of `small` into a manifest, then its wire form; the manifest's memory
 * read    the file of `large` through a source
 */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "content/sink.h"
#include "content/source.h"

#define PIECE 1433
#define TRAIN 45
#define SMALL_FILES 20000
#define SMALL_SIZE 4096
#define LARGE_SIZE (UINT64_C(1) << 30)
#define LATE 4000

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void must(int result)
{
	if (result && result != TW_E_END && result != TW_E_AGAIN) {
		fprintf(stderr, "bench_content: %s\n", tw_strerror(result));
		exit(1);
	}
}

static struct tw_manifest *small_files(void)
{
	struct tw_manifest *manifest = tw_manifest_new();
	char path[64];

	for (unsigned i = 0; i < SMALL_FILES; i++) {
		const struct tw_entry folder = { .kind = TW_KIND_DIRECTORY, .mode = 0755 };
		const struct tw_entry file = {
			.kind = TW_KIND_FILE,
			.mode = 0644,
			.size = SMALL_SIZE,
			.mtime_ns = i,
		};

		if (i % 1000 == 0) {
			snprintf(path, sizeof(path), "folder-%02u", i / 1000);
			must(tw_manifest_append(manifest, path, &folder));
		}
		snprintf(path, sizeof(path), "folder-%02u/file-%05u.txt", i / 1000, i);
		must(tw_manifest_append(manifest, path, &file));
	}
	return manifest;
}

static struct tw_manifest *large_file(void)
{
	struct tw_manifest *manifest = tw_manifest_new();
	const struct tw_entry file = { .kind = TW_KIND_FILE, .mode = 0644, .size = LARGE_SIZE };

	must(tw_manifest_append(manifest, "large", &file));
	return manifest;
}

static void offer(struct tw_sink *sink, const struct tw_manifest *manifest)
{
	struct tw_manifest_encoder *encoder = tw_manifest_encoder_new(manifest);
	static uint8_t bytes[65536];
	uint64_t ready;
	size_t length;
	int r;

	do {
		r = tw_manifest_encode(encoder, true, bytes, sizeof(bytes), &length);
		must(tw_sink_manifest(sink, bytes, length));
	} while (!r);
	while (!tw_sink_prepare(sink, 1000, &ready))
		;
	tw_manifest_encoder_free(encoder);
}

/* One train to the sink, and the digests of the chunks that end in it. */
static void send_train(struct tw_sink *sink, const struct tw_manifest *manifest,
		       const struct tw_sink_piece *pieces, size_t count)
{
	must(tw_sink_write(sink, pieces, count));
	for (size_t i = 0; i < count; i++) {
		uint64_t end = pieces[i].offset + pieces[i].length;
		uint64_t index = tw_manifest_find(manifest, pieces[i].offset);

		for (; index < tw_manifest_count(manifest); index++) {
			const struct tw_entry *entry = tw_manifest_entry(manifest, index);
			uint64_t at = end - entry->tape_start, chunk;
			struct tw_digest digest;

			if (end <= entry->tape_start)
				break;
			if (!entry->size)
				continue;
			at = at < entry->size ? at : entry->size;
			chunk = (at - 1) / TW_CHUNK_SIZE;
			if (at != entry->size && at % TW_CHUNK_SIZE >= PIECE)
				continue;
			if (at != entry->size && !chunk--)
				continue;
			/* All content is the same byte. */
			static struct tw_digest whole, small;
			static int known;

			if (!known++) {
				static uint8_t same[TW_CHUNK_SIZE];

				memset(same, 'c', TW_CHUNK_SIZE);
				whole = tw_digest_of(same, TW_CHUNK_SIZE);
				small = tw_digest_of(same, SMALL_SIZE);
			}
			digest = entry->size == SMALL_SIZE ? small : whole;
			must(tw_sink_digests(sink, entry->chunk_first + chunk, &digest, 1));
		}
	}
	must(tw_sink_settle(sink));
}

static double deliver(const struct tw_fs *fs, const char *name, const struct tw_manifest *manifest,
		      unsigned late)
{
	const struct tw_sink_options options = {
		.destination = name,
		.overwrite = TW_OVERWRITE_WITH_PARTFILE_ALWAYS,
		.write_content = true,
	};
	uint64_t tape = tw_manifest_tape_size(manifest), at = 0, held_back[LATE / 50], sent = 0;
	size_t first = 0, kept = 0;
	static uint8_t bytes[PIECE];
	struct tw_sink_event event;
	struct tw_sink *sink;
	bool done = false;
	double start = now();

	memset(bytes, 'c', sizeof(bytes));
	must(tw_sink_new(fs, &options, &sink));
	offer(sink, manifest);
	while (at < tape || kept) {
		struct tw_sink_piece pieces[TRAIN];
		size_t count = 0;

		while (count < TRAIN && (at < tape || kept)) {
			uint64_t offset = at;
			bool again = kept &&
				     (at >= tape || held_back[first] + (uint64_t)LATE * PIECE < at);

			if (again) {
				offset = held_back[first];
				first = (first + 1) % (LATE / 50);
				kept--;
			} else {
				at += PIECE;
			}
			if (!again && late && ++sent % late == 0 && kept < LATE / 50) {
				held_back[(first + kept++) % (LATE / 50)] = offset;
				continue;
			}
			pieces[count++] = (struct tw_sink_piece){
				offset,
				bytes,
				tape - offset < PIECE ? tape - offset : PIECE,
			};
		}
		send_train(sink, manifest, pieces, count);
	}
	must(tw_sink_checkpoint(sink));
	while (tw_sink_event(sink, &event))
		done = done || event.type == TW_SINK_ALL_DONE;
	if (!done) {
		fprintf(stderr, "bench_content: %s did not end\n", name);
		exit(1);
	}
	tw_sink_free(sink);
	return now() - start;
}

static void walk(const struct tw_fs *fs, const char *name)
{
	const struct tw_source_mapping mapping = { name, "x" };
	const struct tw_source_options options = { .mappings = &mapping, .mapping_count = 1 };
	size_t before = mallinfo2().uordblks + mallinfo2().hblkhd, length, wire = 0;
	struct tw_manifest_encoder *encoder;
	static uint8_t bytes[65536];
	struct tw_source *source;
	double start = now(), walked;
	int r;

	must(tw_source_new(fs, &options, &source));
	while (!tw_source_walk(source, 1000))
		;
	walked = now();
	encoder = tw_manifest_encoder_new(tw_source_manifest(source));
	do {
		r = tw_manifest_encode(encoder, true, bytes, sizeof(bytes), &length);
		wire += length;
	} while (!r);
	printf("walk   %8.0f entries/s   %5.1f bytes an entry on the wire, encoded in %.1f ms\n",
	       (double)tw_manifest_count(tw_source_manifest(source)) / (walked - start),
	       (double)wire / (double)tw_manifest_count(tw_source_manifest(source)),
	       (now() - walked) * 1e3);
	tw_manifest_encoder_free(encoder);
	printf("       %8.1f bytes of memory an entry\n",
	       (double)(mallinfo2().uordblks + mallinfo2().hblkhd - before) /
		       (double)tw_manifest_count(tw_source_manifest(source)));
	tw_source_free(source);
}

static void read_all(const struct tw_fs *fs, const char *name)
{
	const struct tw_source_mapping mapping = { name, "x" };
	const struct tw_source_options options = {
		.mappings = &mapping,
		.mapping_count = 1,
		.read_content = true,
	};
	static struct tw_digest digests[TW_BLOCK_CHUNKS_MAX];
	struct tw_block block = { .digests = digests };
	uint8_t *bytes = malloc(4 * TW_CHUNK_SIZE);
	struct tw_source *source;
	uint64_t at = 0, tape, entry;
	double start;

	must(tw_source_new(fs, &options, &source));
	while (!tw_source_walk(source, 1000))
		;
	tape = tw_manifest_tape_size(tw_source_manifest(source));
	start = now();
	while (at < tape) {
		must(tw_source_read(source, at, tape, bytes, 4 * TW_CHUNK_SIZE, &block, &entry));
		at = block.end;
	}
	printf("read   %8.0f MB/s         %s\n", (double)tape / 1e6 / (now() - start), name);
	tw_source_free(source);
	free(bytes);
}

static void remove_all(const char *root)
{
	char command[4200];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	if (system(command))
		fprintf(stderr, "bench_content: %s is left behind\n", root);
}

int main(int argc, char **argv)
{
	struct tw_manifest *small = small_files(), *large = large_file();
	char root[4096];
	struct tw_fs into, from;
	double seconds;

	snprintf(root, sizeof(root), "%s/bench-content-XXXXXX", argc > 1 ? argv[1] : "/dev/shm");
	if (!mkdtemp(root)) {
		perror(root);
		return 1;
	}
	must(tw_fs_posix_open(root, true, &into));
	must(tw_fs_posix_open(root, false, &from));
	seconds = deliver(&into, "small", small, 0);
	printf("small  %8.0f files/s\n", SMALL_FILES / seconds);
	seconds = deliver(&into, "large", large, 0);
	printf("large  %8.0f MB/s         in order\n", LARGE_SIZE / 1e6 / seconds);
	seconds = deliver(&into, "late", large, 100);
	printf("large  %8.0f MB/s         1 %% of the packets late\n", LARGE_SIZE / 1e6 / seconds);
	walk(&from, "small");
	read_all(&from, "large");
	read_all(&from, "small");
	tw_fs_posix_close(&into);
	tw_fs_posix_close(&from);
	tw_manifest_free(small);
	tw_manifest_free(large);
	remove_all(root);
	return 0;
}
