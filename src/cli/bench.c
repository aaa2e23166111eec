/* bench.c - `tradewind bench`: what this machine could do, part by part. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "cli/bench_parts.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/json.h"
#include "crypto/cipher.h"

#define PACKET 1400
#define PACKET_MIN 64
#define PACKET_MAX 8900
#define SPAN_MOST 60000 /* ms */
#define SIZES 4

enum part { CRYPTO, DIGEST, NETWORK, DISK, PARTS };

static const char *const part_names[PARTS] = {
	[CRYPTO] = "crypto",
	[DIGEST] = "digest",
	[NETWORK] = "network",
	[DISK] = "disk",
};

static const struct level {
	const char *name;
	enum tw_cipher cipher;
	enum tw_aead aead;
} levels[] = {
	{ "AES-128-GCM", TW_CIPHER_128, TW_AEAD_AES_GCM },
	{ "AES-256-GCM", TW_CIPHER_256, TW_AEAD_AES_GCM },
	{ "ChaCha20-Poly1305", TW_CIPHER_256, TW_AEAD_CHACHA20_POLY1305 },
	{ "none", TW_CIPHER_NONE, TW_AEAD_AES_GCM },
};
#define LEVELS (sizeof levels / sizeof *levels)

struct bench {
	bool wanted[PARTS], json;
	const char *folder;
	size_t packet; /* the size that the limit is told for */
	tw_ns span;
	size_t sizes[SIZES]; /* of packets that are sealed */
	struct tw_bench_seal seals[LEVELS][SIZES];
	uint64_t chunk_bps, sha256_bps;
	struct tw_bench_network network;
	struct tw_bench_disk disk;
	struct limit {
		const char *name; /* the slowest part; NULL: none was measured */
		uint64_t bps;
	} sending, receiving;
};

static int usage(const char *text)
{
	tw_say("%s", text);
	return TW_EXIT_USAGE;
}

static int want_parts(struct bench *bench, const struct tw_arguments *arguments)
{
	const char *names[PARTS + 1];
	size_t count = tw_argument_all(arguments, "only", names, PARTS + 1);

	for (int part = 0; part < PARTS; part++)
		bench->wanted[part] = count == 0;
	for (size_t i = 0; i < count && i <= PARTS; i++) {
		int part = 0;

		while (part < PARTS && strcmp(names[i], part_names[part]) != 0)
			part++;
		if (part == PARTS)
			return usage("--only is crypto, digest, network or disk");
		bench->wanted[part] = true;
	}
	return TW_EXIT_DONE;
}

static int take_arguments(struct bench *bench, const struct tw_arguments *arguments)
{
	const char *packet = tw_argument(arguments, "packet");
	const char *span = tw_argument(arguments, "milliseconds");
	uint64_t number = PACKET, each = 500;

	if (packet && tw_text_parse_u64(packet, PACKET_MIN, PACKET_MAX, &number))
		return usage("--packet is a number of bytes, 64 to 8900");
	if (span && tw_text_parse_u64(span, 1, SPAN_MOST, &each))
		return usage("--milliseconds is a number, 1 to 60000");
	bench->json = tw_argument(arguments, "json") != NULL;
	bench->folder = arguments->word_count ? arguments->words[0] : ".";
	bench->packet = number;
	bench->span = each * TW_MSEC;
	bench->sizes[0] = bench->packet;
	bench->sizes[1] = 256;
	bench->sizes[2] = PACKET;
	bench->sizes[3] = PACKET_MAX;
	return want_parts(bench, arguments);
}

/* The slowest so far. 0: was not measured. */
static void note_limit(struct limit *limit, const char *name, uint64_t bps)
{
	if (bps > 0 && (!limit->name || bps < limit->bps))
		*limit = (struct limit){ name, bps };
}

static void note_both(struct bench *bench, const char *name, uint64_t bps)
{
	note_limit(&bench->sending, name, bps);
	note_limit(&bench->receiving, name, bps);
}

static const struct limit *slower(const struct bench *bench)
{
	if (!bench->sending.name ||
	    (bench->receiving.name && bench->receiving.bps < bench->sending.bps))
		return &bench->receiving;
	return &bench->sending;
}

/* measuring */

static int failed(const char *what, int error, enum tw_exit code)
{
	tw_say("%s: %s", what, strerror(-error));
	return code;
}

static int measure_crypto(struct bench *bench)
{
	for (size_t i = 0; i < LEVELS; i++) {
		for (size_t k = 0; k < SIZES; k++) {
			int r;

			if (k > 0 && bench->sizes[k] == bench->packet) {
				bench->seals[i][k] = bench->seals[i][0];
				continue;
			}
			r = tw_bench_seal(levels[i].cipher, levels[i].aead, bench->sizes[k],
					  bench->span / SIZES, &bench->seals[i][k]);
			if (r)
				return failed(levels[i].name, r, TW_EXIT_FAILED);
		}
	}
	/* The default, at the packets that are asked about. */
	note_limit(&bench->sending, "sealing (AES-128-GCM)", bench->seals[0][0].seal_bps);
	note_limit(&bench->receiving, "opening (AES-128-GCM)", bench->seals[0][0].open_bps);
	return TW_EXIT_DONE;
}

static int measure_digest(struct bench *bench)
{
	int r = tw_bench_digest(false, bench->span / 2, &bench->chunk_bps);

	if (!r)
		r = tw_bench_digest(true, bench->span / 2, &bench->sha256_bps);
	if (r)
		return failed("digest", r, TW_EXIT_FAILED);
	note_both(bench, "digest", bench->chunk_bps);
	return TW_EXIT_DONE;
}

static int measure_network(struct bench *bench)
{
	int r = tw_bench_network(bench->packet, bench->span, &bench->network);

	if (r)
		return failed("network", r, TW_EXIT_NETWORK);
	note_both(bench, "network", bench->network.bps);
	return TW_EXIT_DONE;
}

static int measure_disk(struct bench *bench)
{
	char clean[512];
	int r = tw_bench_disk(bench->folder, bench->span, &bench->disk);

	tw_text_clean(bench->folder, strlen(bench->folder), clean, sizeof clean);
	if (r == -EOPNOTSUPP || r == -EISDIR) {
		tw_say("%s: this file system has no files without a name; name another folder, or "
		       "leave disks out: --only crypto",
		       clean);
		return TW_EXIT_STORAGE;
	}
	if (r)
		return failed(clean, r, TW_EXIT_STORAGE);
	note_limit(&bench->sending, "disk read", bench->disk.read_bps);
	note_limit(&bench->receiving, "disk write", bench->disk.flushed_bps);
	return TW_EXIT_DONE;
}

/* What one core does that seals, digests and sends, or receives, opens and digests; 0: unknown. */
static uint64_t core_bps(const struct bench *bench, bool sends)
{
	double network = sends ? bench->network.send_seconds : bench->network.receive_seconds;
	uint64_t crypto = sends ? bench->seals[0][0].seal_bps : bench->seals[0][0].open_bps;

	if (network <= 0 || crypto == 0 || bench->chunk_bps == 0)
		return 0;
	network /= 8.0 * (double)(1 << 30);
	return (uint64_t)(1 / (network + 1 / (double)crypto + 1 / (double)bench->chunk_bps));
}

/* telling */

static void print_line(const char *name, uint64_t bps, const char *more)
{
	char rate[TW_TEXT_SHORT];

	printf("  %-34s %12s%s%s\n", name, bps ? tw_text_rate(bps, rate) : "-", more[0] ? "  " : "",
	       more);
}

static void print_crypto(const struct bench *bench)
{
	printf("%-36s %12s  %12s\n", "Packets, by their size:", "sealing", "opening");
	for (size_t i = 0; i < LEVELS; i++) {
		for (size_t k = 1; k < SIZES; k++) {
			char name[64], sealed[TW_TEXT_SHORT], opened[TW_TEXT_SHORT];

			snprintf(name, sizeof name, "%s, %zu bytes", levels[i].name,
				 bench->sizes[k]);
			printf("  %-34s %12s  %12s\n", name,
			       tw_text_rate(bench->seals[i][k].seal_bps, sealed),
			       tw_text_rate(bench->seals[i][k].open_bps, opened));
		}
	}
}

static void print_limit(const char *what, const struct limit *limit)
{
	char rate[TW_TEXT_SHORT];

	if (limit->name)
		printf("The slowest part of %s is %s: not faster than %s.\n", what, limit->name,
		       tw_text_rate(limit->bps, rate));
}

static void print_text(const struct bench *bench)
{
	char more[96] = "";

	if (bench->wanted[CRYPTO])
		print_crypto(bench);
	if (bench->wanted[DIGEST]) {
		printf("Digests:\n");
		print_line("of every chunk (XXH3-128)", bench->chunk_bps, "");
		print_line("of whole files (SHA-256)", bench->sha256_bps,
			   "only where it is asked for");
	}
	if (bench->wanted[NETWORK]) {
		printf("Network, over loopback, without anything else:\n");
		snprintf(more, sizeof more, "%.2f + %.2f processor seconds a GiB, %u at a time",
			 bench->network.send_seconds, bench->network.receive_seconds,
			 bench->network.segments);
		print_line("UDP, both ends", bench->network.bps, more);
	}
	if (bench->wanted[DISK]) {
		char clean[512];

		tw_text_clean(bench->folder, strlen(bench->folder), clean, sizeof clean);
		printf("Disk under %s:\n", clean);
		print_line("read", bench->disk.read_bps, "");
		print_line("written", bench->disk.write_bps, "into memory");
		print_line("written and flushed", bench->disk.flushed_bps, "");
	}
	if (core_bps(bench, true) > 0) {
		printf("One core, with all that a transfer asks of it but the files:\n");
		print_line("seals, digests and sends", core_bps(bench, true), "");
		print_line("receives, opens and digests", core_bps(bench, false), "");
	}
	print_limit("sending from here", &bench->sending);
	print_limit("receiving here", &bench->receiving);
}

static void put_crypto(struct tw_json *json, const struct bench *bench)
{
	tw_json_begin_array(json, "crypto");
	for (size_t i = 0; i < LEVELS; i++) {
		for (size_t k = 0; k < SIZES; k++) {
			if (k > 0 && bench->sizes[k] == bench->packet)
				continue;
			tw_json_begin_object(json, NULL);
			tw_json_string(json, "cipher", levels[i].name);
			tw_json_number(json, "packetBytes", bench->sizes[k]);
			tw_json_number(json, "sealBps", bench->seals[i][k].seal_bps);
			tw_json_number(json, "openBps", bench->seals[i][k].open_bps);
			tw_json_end_object(json);
		}
	}
	tw_json_end_array(json);
}

static void put_parts(struct tw_json *json, const struct bench *bench)
{
	if (bench->wanted[CRYPTO])
		put_crypto(json, bench);
	if (bench->wanted[DIGEST]) {
		tw_json_begin_object(json, "digest");
		tw_json_number(json, "chunkBps", bench->chunk_bps);
		tw_json_number(json, "sha256Bps", bench->sha256_bps);
		tw_json_end_object(json);
	}
	if (bench->wanted[NETWORK]) {
		tw_json_begin_object(json, "network");
		tw_json_number(json, "loopbackBps", bench->network.bps);
		tw_json_number(json, "segments", bench->network.segments);
		tw_json_real(json, "sendSecondsPerGiB", bench->network.send_seconds, 3);
		tw_json_real(json, "receiveSecondsPerGiB", bench->network.receive_seconds, 3);
		tw_json_end_object(json);
	}
	if (bench->wanted[DISK]) {
		tw_json_begin_object(json, "disk");
		tw_json_string(json, "folder", bench->folder);
		tw_json_number(json, "readBps", bench->disk.read_bps);
		tw_json_number(json, "writeBps", bench->disk.write_bps);
		tw_json_number(json, "writeFlushedBps", bench->disk.flushed_bps);
		tw_json_end_object(json);
	}
}

static void put_limit(struct tw_json *json, const char *name, const char *rate,
		      const struct limit *limit)
{
	tw_json_string(json, name, limit->name ? limit->name : "");
	tw_json_number(json, rate, limit->bps);
}

static int print_json(const struct bench *bench)
{
	struct tw_json json;
	const char *text;

	tw_json_init(&json);
	tw_json_begin_object(&json, NULL);
	tw_json_number(&json, "packetBytes", bench->packet);
	put_parts(&json, bench);
	if (core_bps(bench, true) > 0) {
		tw_json_begin_object(&json, "oneCore");
		tw_json_number(&json, "sendBps", core_bps(bench, true));
		tw_json_number(&json, "receiveBps", core_bps(bench, false));
		tw_json_end_object(&json);
	}
	put_limit(&json, "limit", "limitBps", slower(bench));
	put_limit(&json, "sendLimit", "sendLimitBps", &bench->sending);
	put_limit(&json, "receiveLimit", "receiveLimitBps", &bench->receiving);
	tw_json_end_object(&json);
	text = tw_json_text(&json);
	if (text)
		puts(text);
	tw_json_deinit(&json);
	return text ? TW_EXIT_DONE : TW_EXIT_FAILED;
}

static int run(const struct tw_arguments *arguments)
{
	static int (*const measure[PARTS])(struct bench * bench) = {
		[CRYPTO] = measure_crypto,
		[DIGEST] = measure_digest,
		[NETWORK] = measure_network,
		[DISK] = measure_disk,
	};
	struct bench bench = { 0 };
	int code = take_arguments(&bench, arguments);

	for (int part = 0; part < PARTS && code == TW_EXIT_DONE; part++)
		if (bench.wanted[part])
			code = measure[part](&bench);
	if (code != TW_EXIT_DONE)
		return code;
	if (bench.json)
		code = print_json(&bench);
	else
		print_text(&bench);
	return fflush(stdout) ? TW_EXIT_STORAGE : code;
}

static const struct tw_example examples[] = {
	{ "tradewind bench /srv/in", "what limits a receiver that writes there" },
	{ "tradewind bench --only disk --json /mnt/nas", "that disk alone, for a program" },
};

static const struct tw_option options[] = {
	{ "only", "PART", "crypto, digest, network or disk; default: all", true },
	{ "packet", "BYTES",
	  "size of a packet on your network; default 1400, 8900 with jumbo frames", false },
	{ "milliseconds", "N", "how long to look at each part; default 500", false },
	{ "json", NULL, "a JSON object on standard output", false },
};

const struct tw_command tw_command_bench = {
	.name = "bench",
	.words = "[DIR]",
	.summary = "measure what this machine can do, part by part",
	.description =
		"Measures sealing and opening packets, digests, UDP over loopback, and reading and\n"
		"writing a file without a name in DIR (this folder), each by itself, and says which\n"
		"is the slowest: whatever the network does, no transfer is faster. Nothing leaves\n"
		"the machine. `tradewind doctor HOST` tries a path.\n\n"
		"Exit codes: 0 measured, 1 failed, 2 usage, 5 no UDP, 6 the folder cannot be tried.",
	.examples = examples,
	.example_count = sizeof examples / sizeof *examples,
	.options = options,
	.option_count = sizeof options / sizeof *options,
	.words_max = 1,
	.run = run,
};
