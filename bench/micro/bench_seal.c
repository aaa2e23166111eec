/*
 * bench_seal - what sealing and opening one packet costs, by level, algorithm and size.
 *
 *   bench_seal [SECONDS]
 *
 * Packets go through a ring of buffers that fits the second-level cache, as a train does on its
 * way. Each figure is the best of several rounds, so that other load on the machine disturbs least.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/protect.h"

#define HEADER		13
#define RING		32
#define ROUNDS		10
#define PAYLOAD_MAX	8920
#define PACKETS_A_CLOCK 256

static const struct {
	const char *name;
	enum tw_cipher cipher;
	enum tw_aead aead;
} levels[] = {
	{ "none", TW_CIPHER_NONE, TW_AEAD_AES_GCM },
	{ "auth  AES", TW_CIPHER_AUTH, TW_AEAD_AES_GCM },
	{ "128   AES", TW_CIPHER_128, TW_AEAD_AES_GCM },
	{ "256   AES", TW_CIPHER_256, TW_AEAD_AES_GCM },
	{ "auth  ChaCha20", TW_CIPHER_AUTH, TW_AEAD_CHACHA20_POLY1305 },
	{ "256   ChaCha20", TW_CIPHER_256, TW_AEAD_CHACHA20_POLY1305 },
};

static const size_t sizes[] = { 32, 1400, PAYLOAD_MAX };

static uint8_t ring[RING][HEADER + PAYLOAD_MAX + TW_TAG_SIZE];

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Seconds per packet sealed. */
static double seal(struct tw_seal_chain *chain, size_t length, double seconds)
{
	uint64_t first = chain->next_min, number = first;
	double start = now(), end;

	do {
		for (int i = 0; i < PACKETS_A_CLOCK; i++, number++) {
			uint8_t *packet = ring[number % RING];

			tw_seal_chain_phase(chain, number);
			tw_seal(chain, number, packet, HEADER, packet + HEADER, length);
		}
		end = now();
	} while (end - start < seconds);
	return (end - start) / (double)(number - first);
}

/*
 * Seconds per packet opened. Opening in place destroys a packet, so the ring is sealed anew each
 * time around, outside of the clock.
 */
static double open_ring(struct tw_seal_chain *from, struct tw_open_chain *to, size_t length,
			double seconds)
{
	double spent = 0, end = now() + 2 * seconds;
	uint64_t count = 0, failed = 0;

	while (spent < seconds && now() < end) {
		uint64_t first = from->next_min;
		double start;

		for (uint64_t i = 0; i < RING; i++)
			tw_seal(from, first + i, ring[i], HEADER, ring[i] + HEADER, length);
		start = now();
		for (uint64_t i = 0; i < RING; i++)
			failed += tw_open(to, from->phase, first + i, ring[i], HEADER,
					  ring[i] + HEADER,
					  length + tw_cipher_tag_size(to->cipher)) != 0;
		spent += now() - start;
		count += RING;
	}
	if (failed) {
		fprintf(stderr, "bench_seal: %llu packets did not open\n",
			(unsigned long long)failed);
		exit(1);
	}
	return spent / (double)count;
}

static void measure(size_t level, size_t length, double seconds)
{
	const struct tw_secret secret = { { 1 } };
	struct tw_seal_chain from;
	struct tw_open_chain to;
	double sealing = 1, opening = 1;

	if (tw_seal_chain_init(&from, levels[level].cipher, levels[level].aead, &secret) ||
	    tw_open_chain_init(&to, levels[level].cipher, levels[level].aead, &secret)) {
		fprintf(stderr, "bench_seal: no such cipher here: %s\n", levels[level].name);
		exit(1);
	}
	for (int round = 0; round < ROUNDS; round++) {
		double took = seal(&from, length, seconds / ROUNDS);

		sealing = took < sealing ? took : sealing;
		took = open_ring(&from, &to, length, seconds / ROUNDS);
		opening = took < opening ? took : opening;
	}
	printf("%-16s %6zu %10.0f %10.0f %12.1f\n", levels[level].name, length, sealing * 1e9,
	       opening * 1e9, (double)length * 8 / sealing / 1e9);
	tw_seal_chain_deinit(&from);
	tw_open_chain_deinit(&to);
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 0.2;

	printf("%-16s %6s %10s %10s %12s\n", "level", "bytes", "ns sealing", "ns opening",
	       "Gbit/s sealed");
	for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
		for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
			measure(i, sizes[k], seconds);
	}
	return 0;
}
