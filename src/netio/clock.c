#include "netio/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

tw_ns tw_clock_now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (tw_ns)time.tv_sec * TW_SECOND + (tw_ns)time.tv_nsec;
}

uint64_t tw_clock_wall_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_REALTIME, &time);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static void fill(void *context, void *ret, size_t length)
{
	uint8_t *at = ret;

	(void)context;
	while (length > 0) {
		ssize_t got = getrandom(at, length, 0);

		if (got < 0) {
			if (errno == EINTR)
				continue;
			fprintf(stderr, "tradewind: the kernel gives no random numbers: %s\n",
				strerror(errno));
			abort();
		}
		at += got;
		length -= (size_t)got;
	}
}

struct tw_random tw_system_random(void)
{
	return (struct tw_random){ .fill = fill };
}
