/* bench_parts.c - sealing, digests and disks; see bench_parts.h. */
#include "cli/bench_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/random.h"
#include "content/digest.h"
#include "crypto/hash.h"
#include "crypto/protect.h"
#include "netio/clock.h"
#include "rate/units.h"

#define HEADER 13
#define RING 32 /* packets that go round: as much as a train is, and it stays in the cache */
#define CHUNK ((size_t)1 << 20)
#define DISK_BLOCK ((size_t)1 << 20)
#define DISK_MOST ((uint64_t)2 << 30)

static uint64_t rate_of(uint64_t bytes, tw_ns took)
{
	return took > 0 ? tw_rate_of(bytes, took) : 0;
}

/* Of this thread's processor: what others take of it meanwhile says nothing about a cipher. */
static tw_ns processor_time(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return (tw_ns)time.tv_sec * TW_SECOND + (tw_ns)time.tv_nsec;
}

/* One time round: sealed, then opened in place. Both are timed. -EIO: what was sealed does not
 * open. */
static int go_round(struct tw_seal_chain *from, struct tw_open_chain *to, uint8_t *ring,
		    size_t packet, tw_ns took[2])
{
	size_t each = HEADER + packet + TW_TAG_SIZE;
	uint64_t first = from->next_min;
	tw_ns start = processor_time(), sealed;
	int r = 0;

	for (size_t i = 0; i < RING; i++)
		tw_seal(from, first + i, ring + i * each, HEADER, ring + i * each + HEADER, packet);
	sealed = processor_time();
	for (size_t i = 0; i < RING && !r; i++)
		if (tw_open(to, from->phase, first + i, ring + i * each, HEADER,
			    ring + i * each + HEADER, packet + tw_cipher_tag_size(to->cipher)))
			r = -EIO;
	took[0] += sealed - start;
	took[1] += processor_time() - sealed;
	return r;
}

int tw_bench_seal(enum tw_cipher cipher, enum tw_aead aead, size_t packet, tw_ns span,
		  struct tw_bench_seal *ret)
{
	const struct tw_secret secret = { { 1 } };
	struct tw_seal_chain from;
	struct tw_open_chain to;
	uint8_t *ring = calloc(RING, HEADER + packet + TW_TAG_SIZE);
	uint64_t bytes = 0;
	tw_ns took[2] = { 0 }, start = tw_clock_now();
	int r;

	if (!ring)
		return -ENOMEM;
	r = tw_seal_chain_init(&from, cipher, aead, &secret);
	if (r)
		goto no_seal;
	r = tw_open_chain_init(&to, cipher, aead, &secret);
	if (r)
		goto no_open;
	do {
		r = go_round(&from, &to, ring, packet, took);
		bytes += RING * (uint64_t)packet;
	} while (!r && tw_ns_since(tw_clock_now(), start) < span);
	*ret = (struct tw_bench_seal){ rate_of(bytes, took[0]), rate_of(bytes, took[1]) };
	tw_open_chain_deinit(&to);
no_open:
	tw_seal_chain_deinit(&from);
no_seal:
	free(ring);
	return r;
}

int tw_bench_digest(bool sha256, tw_ns span, uint64_t *ret_bps)
{
	uint8_t *chunk = calloc(1, CHUNK), sum[TW_HASH_SIZE];
	tw_ns start = tw_clock_now(), took = processor_time();
	struct tw_hash hash;
	uint64_t bytes = 0;

	if (!chunk)
		return -ENOMEM;
	if (sha256)
		tw_hash_init(&hash);
	do {
		/* What was found goes into the next one, so that none can be left out. */
		if (sha256)
			tw_hash_update(&hash, chunk, CHUNK);
		else
			chunk[0] ^= tw_digest_of(chunk, CHUNK).bytes[0];
		bytes += CHUNK;
	} while (tw_ns_since(tw_clock_now(), start) < span);
	took = processor_time() - took;
	if (sha256)
		tw_hash_final(&hash, sum);
	*ret_bps = rate_of(bytes, took);
	free(chunk);
	return 0;
}

/* Until @span is over. Returns the bytes, or -errno. */
static int64_t write_blocks(int fd, uint8_t *block, tw_ns span)
{
	tw_ns start = tw_clock_now();
	uint64_t bytes = 0;

	while (tw_ns_since(tw_clock_now(), start) < span && bytes < DISK_MOST) {
		ssize_t put = write(fd, block, DISK_BLOCK);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		bytes += (uint64_t)put;
	}
	return (int64_t)bytes;
}

static void read_blocks(int fd, uint8_t *block, tw_ns span, struct tw_bench_disk *ret)
{
	tw_ns start;
	uint64_t bytes = 0;

	if (posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) || lseek(fd, 0, SEEK_SET) < 0)
		return;
	start = tw_clock_now();
	while (tw_ns_since(tw_clock_now(), start) < span) {
		ssize_t got = read(fd, block, DISK_BLOCK);

		if (got <= 0)
			break;
		bytes += (uint64_t)got;
	}
	ret->read_bps = rate_of(bytes, tw_ns_since(tw_clock_now(), start));
}

int tw_bench_disk(const char *folder, tw_ns span, struct tw_bench_disk *ret)
{
	struct tw_random random = tw_system_random();
	uint8_t *block = malloc(DISK_BLOCK);
	tw_ns start, written;
	int64_t bytes = 0;
	int fd, r = 0;

	*ret = (struct tw_bench_disk){ 0 };
	if (!block)
		return -ENOMEM;
	fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) {
		r = -errno;
		goto end;
	}
	/* No file system shall find it easy. */
	tw_random_fill(&random, block, DISK_BLOCK);
	start = tw_clock_now();
	bytes = write_blocks(fd, block, span);
	written = tw_clock_now();
	if (bytes < 0)
		r = (int)bytes;
	else if (fsync(fd))
		r = -errno;
	if (!r) {
		ret->write_bps = rate_of((uint64_t)bytes, written - start);
		ret->flushed_bps = rate_of((uint64_t)bytes, tw_clock_now() - start);
		read_blocks(fd, block, span, ret);
	}
	close(fd);
end:
	free(block);
	return r;
}
