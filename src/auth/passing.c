#include "auth/passing.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/error.h"

#define BUFFER_MAX ((size_t)1 << 30)

int tw_passing_send_all(int socket, int flags, const struct iovec *bytes, const int *fds,
			unsigned count)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(TW_PASSING_MAX * sizeof(int))];
	} control = { 0 };
	struct msghdr message = { .msg_iov = (struct iovec *)bytes, .msg_iovlen = 1 };
	ssize_t n;

	if (count > TW_PASSING_MAX)
		return -EINVAL;
	if (count) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	}
	do
		n = sendmsg(socket, &message, MSG_NOSIGNAL | flags);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int tw_passing_send(int socket, const void *bytes, size_t length, int fd)
{
	const struct iovec vector = { (void *)bytes, length };

	return tw_passing_send_all(socket, 0, &vector, &fd, fd >= 0 ? 1 : 0);
}

void tw_passed_close(struct tw_passed *passed)
{
	for (unsigned i = 0; i < passed->count; i++)
		close(passed->fds[i]);
	passed->count = 0;
}

/* False: more than are allowed; those are closed. */
static bool take_descriptors(struct msghdr *message, struct tw_passed *passed)
{
	bool fit = true;

	for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
		size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(at) + i * sizeof(int), sizeof(fd));
			if (passed->count < TW_PASSING_MAX) {
				passed->fds[passed->count++] = fd;
				continue;
			}
			close(fd);
			fit = false;
		}
	}
	return fit;
}

int tw_passing_receive(int socket, void *bytes, size_t room, int flags, struct tw_passed *ret)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE((TW_PASSING_MAX + 1) * sizeof(int))];
	} control;
	struct iovec vector = { bytes, room };
	struct msghdr message = { .msg_iov = &vector,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct tw_passed passed = { 0 };
	bool fit;
	ssize_t n;

	do
		n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	fit = take_descriptors(&message, &passed);
	if (!fit || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		tw_passed_close(&passed);
		return TW_E_FORMAT;
	}
	/* Nobody sends an empty message: it is the end. */
	if (n == 0) {
		tw_passed_close(&passed);
		return -EPIPE;
	}
	passed.length = (size_t)n;
	*ret = passed;
	return 0;
}

static int option(int socket, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return getsockopt(socket, SOL_SOCKET, name, &value, &length) ? -1 : value;
}

int tw_passing_peer(int socket, struct ucred *ret)
{
	struct ucred peer = { 0 };
	socklen_t length = sizeof(peer);

	/* Of a datagram socket, or one that listens, the kernel would name somebody else. */
	if (option(socket, SO_DOMAIN) != AF_UNIX || option(socket, SO_TYPE) != SOCK_STREAM ||
	    option(socket, SO_ACCEPTCONN) != 0)
		return -ENOTSOCK;
	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) || length != sizeof(peer) ||
	    peer.uid == (uid_t)-1)
		return -ENOTSOCK;
	*ret = peer;
	return 0;
}

static int set_buffer(int socket, int force, size_t bytes)
{
	int value = (int)bytes;

	if (!bytes)
		return 0;
	return setsockopt(socket, SOL_SOCKET, force, &value, sizeof(value)) ? -errno : 0;
}

int tw_passing_buffers(int socket, size_t receive, size_t send)
{
	int r;

	if (receive > BUFFER_MAX || send > BUFFER_MAX || option(socket, SO_TYPE) != SOCK_DGRAM ||
	    option(socket, SO_PROTOCOL) != IPPROTO_UDP)
		return -EINVAL;
	r = set_buffer(socket, SO_RCVBUFFORCE, receive);
	return r ? r : set_buffer(socket, SO_SNDBUFFORCE, send);
}
