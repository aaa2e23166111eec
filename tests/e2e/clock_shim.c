/*
 * clock_shim.c - steps the wall clock that one program sees: preloaded into it, it adds the number
 * of seconds that stands in the file $CLOCK_STEP to CLOCK_REALTIME, and leaves all other clocks.
 *
 * The file (32 bytes at least) is mapped when the program begins: later it may have no right to it.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char *text;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("CLOCK_STEP");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *mapped = fd < 0 ? MAP_FAILED : mmap(NULL, 32, PROT_READ, MAP_SHARED, fd, 0);

	if (fd >= 0)
		close(fd);
	if (mapped != MAP_FAILED)
		text = mapped;
}

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	long r = syscall(SYS_clock_gettime, clock, ret);

	if (clock == CLOCK_REALTIME && text)
		ret->tv_sec += strtol(text, NULL, 10);
	return (int)r;
}
