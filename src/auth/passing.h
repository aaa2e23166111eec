/*
 * passing.h - messages with descriptors over SOCK_SEQPACKET sockets, and what is asked of a
 * descriptor that somebody else has passed.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define TW_PASSING_MAX 16 /* descriptors of one message */

/* One message, with @fd (borrowed) unless it is -1. Blocks. -EPIPE: nobody is there any more. */
int tw_passing_send(int socket, const void *bytes, size_t length, int fd);
/* The same with up to TW_PASSING_MAX. @flags: MSG_DONTWAIT: -EAGAIN rather than wait. */
int tw_passing_send_all(int socket, int flags, const struct iovec *bytes, const int *fds,
			unsigned count);
/*
 * One message of at most @room bytes with at most TW_PASSING_MAX descriptors, which are the
 * caller's from now on. Blocks, unless @flags has MSG_DONTWAIT. -EPIPE: the other side has closed
 * it. TW_E_FORMAT: longer than @room, or with more descriptors; none is kept.
 */
struct tw_passed {
	size_t length;
	int fds[TW_PASSING_MAX];
	unsigned count;
};
int tw_passing_receive(int socket, void *bytes, size_t room, int flags, struct tw_passed *ret);
void tw_passed_close(struct tw_passed *passed);

/* Who connected a Unix stream socket, as the kernel noted it then. -ENOTSOCK: no such socket. */
int tw_passing_peer(int socket, struct ucred *ret);
/* Buffers of a UDP socket, beyond the system's limit if this process may. See accounts.h. */
int tw_passing_buffers(int socket, size_t receive, size_t send);
