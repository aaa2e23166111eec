/*
 * clock_shim.c - steps the wall clock that one program sees: preloaded into it, it adds the number
 * of seconds that stands in the file $CLOCK_STEP to CLOCK_REALTIME, and leaves all other clocks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	long step = 0, r = syscall(SYS_clock_gettime, clock, ret);
	const char *path = clock == CLOCK_REALTIME ? getenv("CLOCK_STEP") : NULL;
	FILE *file = path ? fopen(path, "re") : NULL;

	if (file) {
		if (fscanf(file, "%ld", &step) == 1)
			ret->tv_sec += step;
		fclose(file);
	}
	return (int)r;
}
