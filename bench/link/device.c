#include "device.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* Since Linux 6.2; the headers of Debian 12 do not know them yet. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* Trains that wait for the emulator's next look, not the emulated queue. */
#define DEVICE_QUEUE_LENGTH 4000

/* How long a new IPv6 address is waited for: two seconds. */
#define USABLE_POLL_NS 1000000
#define USABLE_POLLS 2000

/* <linux/ipv6.h> has this one, but cannot stand beside <netinet/in.h>. */
struct ipv6_address_request {
	struct in6_addr address;
	uint32_t prefix_length;
	int interface_index;
};

static int complain(const struct link_device_plan *plan, const char *what)
{
	int r = -errno;

	fprintf(stderr, "tradewind-link: %s %s: %s: %s\n",
		plan->namespace ? plan->namespace : "this namespace", plan->name, what,
		strerror(-r));
	return r;
}

static int open_namespace(const struct link_device_plan *plan)
{
	char path[512];
	int fd;

	if (!plan->namespace)
		snprintf(path, sizeof(path), "/proc/self/ns/net");
	else if (strchr(plan->namespace, '/'))
		snprintf(path, sizeof(path), "%s", plan->namespace);
	else
		snprintf(path, sizeof(path), "/run/netns/%s", plan->namespace);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno != ENOENT || !plan->namespace)
		return complain(plan, "the namespace cannot be opened");
	fprintf(stderr,
		"tradewind-link: there is no network namespace %s; make it with: ip netns add %s\n",
		plan->namespace, plan->namespace);
	return -ENOENT;
}

static int open_tun(struct link_device *device, const struct link_device_plan *plan)
{
	static const unsigned offloads[] = {
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6,
		TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6,
		0,
	};
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	int header_bytes = sizeof(struct virtio_net_hdr);

	device->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (device->fd < 0)
		return complain(plan, "/dev/net/tun cannot be opened");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", plan->name);
	if (ioctl(device->fd, TUNSETIFF, &request) < 0)
		return complain(plan, "the device cannot be made (root is needed)");
	if (ioctl(device->fd, TUNSETVNETHDRSZ, &header_bytes) < 0)
		return complain(plan, "no offload header");
	memcpy(device->name, request.ifr_name, sizeof(device->name));
	for (size_t i = 0; i < sizeof(offloads) / sizeof(offloads[0]); i++) {
		if (ioctl(device->fd, TUNSETOFFLOAD, offloads[i]) == 0)
			return 0;
	}
	return complain(plan, "no offload setting is accepted");
}

/*
 * Keeps the kernel's own chatter (link-local addresses, router solicitations) off the line. Best
 * effort.
 */
static void quieten(const char *name)
{
	static const char *const settings[][2] = {
		{ "addr_gen_mode", "1" },
		{ "router_solicitations", "0" },
		{ "accept_ra", "0" },
		{ "disable_ipv6", "0" },
	};
	char path[128];

	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		int fd;

		snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", name, settings[i][0]);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (write(fd, settings[i][1], 1) < 0)
			fprintf(stderr,
				"tradewind-link: %s cannot be set; stray packets may be counted\n",
				path);
		close(fd);
	}
}

static int add_ipv4(const struct link_device *device, struct in_addr address, unsigned prefix)
{
	struct ifreq request = { 0 };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = address };

	memcpy(request.ifr_name, device->name, sizeof(device->name));
	memcpy(&request.ifr_addr, &in, sizeof(in));
	if (ioctl(device->control_fd, SIOCSIFADDR, &request) < 0)
		return -errno;
	in.sin_addr.s_addr = prefix ? htonl(~UINT32_C(0) << (32 - prefix)) : 0;
	memcpy(&request.ifr_netmask, &in, sizeof(in));
	if (ioctl(device->control_fd, SIOCSIFNETMASK, &request) < 0)
		return -errno;
	return 0;
}

/*
 * The kernel calls a new address tentative until a thread of its own has looked at it, even on a
 * device like ours without neighbours; on a busy machine that takes a while. Until then nobody can
 * bind it.
 */
static void await_usable(int fd, struct in6_addr address)
{
	const struct timespec pause = { .tv_nsec = USABLE_POLL_NS };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = address };

	for (int i = 0; i < USABLE_POLLS; i++) {
		if (bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0 ||
		    errno != EADDRNOTAVAIL)
			return;
		nanosleep(&pause, NULL);
	}
}

static int add_ipv6(const struct link_device *device, struct in6_addr address, unsigned prefix)
{
	struct ipv6_address_request request = { .address = address, .prefix_length = prefix };
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = 0;

	if (fd < 0)
		return -errno;
	request.interface_index = device->index;
	if (ioctl(fd, SIOCSIFADDR, &request) < 0 && errno != EEXIST)
		r = -errno;
	else
		await_usable(fd, address);
	close(fd);
	return r;
}

static int add_address(const struct link_device *device, const struct link_device_plan *plan,
		       const char *text)
{
	char address[64];
	struct in_addr ipv4;
	struct in6_addr ipv6;
	const char *slash = strchr(text, '/');
	unsigned long prefix;
	char *end;
	int r;

	snprintf(address, sizeof(address), "%.*s", slash ? (int)(slash - text) : (int)strlen(text),
		 text);
	prefix = slash ? strtoul(slash + 1, &end, 10) : strchr(text, ':') ? 128 : 32;
	if (slash && (end == slash + 1 || *end))
		r = -EINVAL;
	else if (inet_pton(AF_INET, address, &ipv4) == 1 && prefix <= 32)
		r = add_ipv4(device, ipv4, (unsigned)prefix);
	else if (inet_pton(AF_INET6, address, &ipv6) == 1 && prefix <= 128)
		r = add_ipv6(device, ipv6, (unsigned)prefix);
	else
		r = -EINVAL;
	if (r == -EINVAL) {
		fprintf(stderr,
			"tradewind-link: %s is not an address; write it as 10.77.0.1/24 or fd77::1/64\n",
			text);
		return r;
	}
	errno = -r;
	return r ? complain(plan, text) : 0;
}

static int configure(struct link_device *device, const struct link_device_plan *plan)
{
	struct ifreq request = { 0 };
	int r;

	memcpy(request.ifr_name, device->name, sizeof(device->name));
	request.ifr_mtu = plan->mtu;
	if (ioctl(device->control_fd, SIOCSIFMTU, &request) < 0)
		return complain(plan, "the MTU cannot be set");
	request.ifr_qlen = DEVICE_QUEUE_LENGTH;
	if (ioctl(device->control_fd, SIOCSIFTXQLEN, &request) < 0)
		return complain(plan, "the device queue cannot be set");
	quieten(device->name);
	if (ioctl(device->control_fd, SIOCGIFFLAGS, &request) < 0)
		return complain(plan, "no device flags");
	request.ifr_flags |= IFF_UP;
	if (ioctl(device->control_fd, SIOCSIFFLAGS, &request) < 0)
		return complain(plan, "the device cannot be brought up");
	for (size_t i = 0; i < plan->address_count; i++) {
		r = add_address(device, plan, plan->addresses[i]);
		if (r)
			return r;
	}
	return 0;
}

/* The counters in the kernel's answer about one device, or -ENODATA. */
static int find_dropped(const struct nlmsghdr *answer, uint64_t *ret_packets)
{
	const struct rtattr *attribute;
	int rest = (int)IFLA_PAYLOAD(answer);

	if (answer->nlmsg_type != RTM_NEWLINK)
		return -ENODATA;
	for (attribute = IFLA_RTA((const struct ifinfomsg *)NLMSG_DATA(answer));
	     RTA_OK(attribute, rest); attribute = RTA_NEXT(attribute, rest)) {
		struct rtnl_link_stats64 stats = { 0 };
		size_t bytes = RTA_PAYLOAD(attribute);

		if (attribute->rta_type != IFLA_STATS64)
			continue;
		memcpy(&stats, RTA_DATA(attribute), bytes < sizeof(stats) ? bytes : sizeof(stats));
		*ret_packets = stats.tx_dropped;
		return 0;
	}
	return -ENODATA;
}

int link_device_dropped(const struct link_device *device, uint64_t *ret_packets)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} question = {
		.header = { sizeof(question), RTM_GETLINK, NLM_F_REQUEST, 1, 0 },
		.info = { .ifi_index = device->index },
	};
	_Alignas(struct nlmsghdr) char answer[8192];
	ssize_t bytes;

	if (send(device->netlink_fd, &question, sizeof(question), 0) < 0)
		return -errno;
	bytes = recv(device->netlink_fd, answer, sizeof(answer), 0);
	if (bytes < 0)
		return -errno;
	if (!NLMSG_OK((const struct nlmsghdr *)answer, (size_t)bytes))
		return -ENODATA;
	return find_dropped((const struct nlmsghdr *)answer, ret_packets);
}

static int open_inside(struct link_device *device, const struct link_device_plan *plan)
{
	int r = open_tun(device, plan);

	if (r)
		return r;
	device->control_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	device->netlink_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (device->control_fd < 0 || device->netlink_fd < 0)
		return complain(plan, "no socket");
	device->index = (int)if_nametoindex(device->name);
	return configure(device, plan);
}

int link_device_open(struct link_device *device, const struct link_device_plan *plan)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int r;

	*device = (struct link_device){
		.fd = -1, .namespace_fd = -1, .control_fd = -1, .netlink_fd = -1
	};
	if (home < 0)
		return complain(plan, "/proc is needed");
	device->namespace_fd = open_namespace(plan);
	r = device->namespace_fd < 0 ? device->namespace_fd : 0;
	if (!r && setns(device->namespace_fd, CLONE_NEWNET) < 0)
		r = complain(plan, "the namespace cannot be entered (root is needed)");
	if (!r) {
		r = open_inside(device, plan);
		if (setns(home, CLONE_NEWNET) < 0 && !r)
			r = complain(plan, "no way back out of the namespace");
	}
	close(home);
	if (r)
		link_device_close(device);
	return r;
}

void link_device_close(struct link_device *device)
{
	if (device->fd >= 0)
		close(device->fd);
	if (device->control_fd >= 0)
		close(device->control_fd);
	if (device->netlink_fd >= 0)
		close(device->netlink_fd);
	if (device->namespace_fd >= 0)
		close(device->namespace_fd);
	*device = (struct link_device){
		.fd = -1, .namespace_fd = -1, .control_fd = -1, .netlink_fd = -1
	};
}

int link_device_enter(const struct link_device *device)
{
	return setns(device->namespace_fd, CLONE_NEWNET) < 0 ? -errno : 0;
}
