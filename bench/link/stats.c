#include "stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

static void print_direction(FILE *out, const char *name, const struct link_shaper *shaper,
			    const struct link_device *device, int64_t now)
{
	const struct link_counts *counts = &shaper->counts;
	uint64_t device_drops = 0;
	const struct {
		const char *name;
		uint64_t value;
	} fields[] = {
		{ "packetsIn", counts->packets_in },
		{ "bytesIn", counts->bytes_in },
		{ "packetsOut", counts->packets_out },
		{ "bytesOut", counts->bytes_out },
		{ "droppedQueue", counts->dropped_queue },
		{ "droppedLoss", counts->dropped_loss },
		{ "lossRuns", shaper->loss.runs },
		{ "droppedMtu", counts->dropped_mtu },
		{ "droppedDown", counts->dropped_down },
		{ "droppedOverrun", counts->dropped_overrun },
		{ "duplicated", counts->duplicated },
		{ "corrupted", counts->corrupted },
		{ "reordered", counts->reordered },
		{ "queueBytes", link_shaper_queue_bytes(shaper, now) },
		{ "queueBytesMax", counts->queue_bytes_max },
		{ "queueBytesLimit", (uint64_t)shaper->queue_bytes_limit },
		{ "writeErrors", counts->write_errors },
	};

	fprintf(out, ",\"%s\":{", name);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		fprintf(out, "\"%s\":%" PRIu64 ",", fields[i].name, fields[i].value);
	if (link_device_dropped(device, &device_drops) == 0)
		fprintf(out, "\"deviceDrops\":%" PRIu64 "}", device_drops);
	else
		fprintf(out, "\"deviceDrops\":null}");
}

static void print(FILE *out, const struct link_report *report)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	fprintf(out, "{\"event\":\"%s\",\"seconds\":%.6f,\"cpuSeconds\":%.6f", report->event,
		(double)report->elapsed_ns * 1e-9,
		(double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6);
	print_direction(out, "forth", &report->shapers[LINK_FORTH], &report->devices[0],
			report->now);
	print_direction(out, "back", &report->shapers[LINK_BACK], &report->devices[1], report->now);
	fprintf(out, "}\n");
}

int link_stats_print(const struct link_report *report, const char *path)
{
	char temporary[4096];
	FILE *out;

	if (!path) {
		print(stdout, report);
		return fflush(stdout) ? -errno : 0;
	}
	snprintf(temporary, sizeof(temporary), "%s.new", path);
	out = fopen(temporary, "we");
	if (!out)
		return -errno;
	print(out, report);
	if (fclose(out))
		return -errno;
	return rename(temporary, path) ? -errno : 0;
}
