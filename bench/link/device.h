/*
 * device.h - the emulator's end of a network device that lives in a namespace: a TUN device, one IP
 * packet or train a read.
 *
 * The device takes checksum, TCP and (from Linux 6.2) UDP segmentation offload, so that programs
 * behind it send as over a real card. It exists as long as its descriptor is open.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LINK_ADDRESSES_MAX 8

struct link_device_plan {
	/* a name below /run/netns, or a path when it holds a slash; NULL: the caller's own */
	const char *namespace;
	const char *name;
	/* ADDRESS/PREFIX: one of IPv4, any number of IPv6 */
	const char *addresses[LINK_ADDRESSES_MAX];
	size_t address_count;
	int mtu;
};

struct link_device {
	int fd;
	int namespace_fd;
	/* sockets inside the namespace: the device's settings and counters */
	int control_fd, netlink_fd;
	int index;
	char name[16];
};

/*
 * Makes the device and brings it up. Negative errno after saying on standard error what went wrong.
 */
int link_device_open(struct link_device *device, const struct link_device_plan *plan);
void link_device_close(struct link_device *device);

/*
 * Packets or trains the kernel lost because the emulator did not fetch them in time: above zero, a
 * measurement says more about this machine than about the link. Negative errno when the kernel does
 * not tell.
 */
int link_device_dropped(const struct link_device *device, uint64_t *ret_packets);

/* Moves the calling process into the device's namespace. */
int link_device_enter(const struct link_device *device);
