#include "auth/accepted.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/un.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_SECONDS 5 /* the kernel answers at once */

struct question {
	struct nlmsghdr header;
	struct unix_diag_req request;
};

/* What a socket is, and the file that it is bound to. */
struct bound {
	uint8_t state;
	bool has_file;
	struct unix_diag_vfs file;
};

static int ask(int diag, uint32_t inode)
{
	const struct question question = {
		.header = { .nlmsg_len = sizeof(question),
			    .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			    .nlmsg_flags = NLM_F_REQUEST },
		.request = { .sdiag_family = AF_UNIX,
			     .udiag_states = ~0U,
			     .udiag_ino = inode,
			     .udiag_show = UDIAG_SHOW_VFS,
			     .udiag_cookie = { ~0U, ~0U } },
	};
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };

	if (sendto(diag, &question, sizeof(question), MSG_NOSIGNAL, (struct sockaddr *)&kernel,
		   sizeof(kernel)) != (ssize_t)sizeof(question))
		return errno ? -errno : -EIO;
	return 0;
}

/* Attributes, one after the other, each at a multiple of four. */
static void find_file(const uint8_t *at, size_t left, struct bound *ret)
{
	struct nlattr attribute;

	while (left >= sizeof(attribute)) {
		size_t whole;

		memcpy(&attribute, at, sizeof(attribute));
		if (attribute.nla_len < NLA_HDRLEN || attribute.nla_len > left)
			return;
		if (attribute.nla_type == UNIX_DIAG_VFS &&
		    attribute.nla_len >= NLA_HDRLEN + sizeof(ret->file)) {
			memcpy(&ret->file, at + NLA_HDRLEN, sizeof(ret->file));
			ret->has_file = true;
		}
		whole = NLA_ALIGN((size_t)attribute.nla_len);
		if (whole > left)
			return;
		at += whole;
		left -= whole;
	}
}

static int read_answer(int diag, uint32_t inode, struct bound *ret)
{
	union {
		struct nlmsghdr header;
		uint8_t bytes[4096];
	} answer;
	struct sockaddr_nl from = { 0 };
	socklen_t from_length = sizeof(from);
	ssize_t n =
		recvfrom(diag, &answer, sizeof(answer), 0, (struct sockaddr *)&from, &from_length);
	struct unix_diag_msg told;
	const uint8_t *body = (const uint8_t *)NLMSG_DATA(&answer.header);

	if (n < 0)
		return -errno;
	/* By the kernel itself, whole, and about the one that was asked for. */
	if (from.nl_pid != 0 || (size_t)n < sizeof(answer.header) ||
	    answer.header.nlmsg_len > (size_t)n)
		return -EPROTO;
	if (answer.header.nlmsg_type == NLMSG_ERROR) {
		int error = 0;

		if (answer.header.nlmsg_len >= NLMSG_LENGTH(sizeof(error)))
			memcpy(&error, body, sizeof(error));
		return error < 0 ? error : -EPROTO;
	}
	if (answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    answer.header.nlmsg_len < NLMSG_LENGTH(sizeof(told)))
		return -EPROTO;
	memcpy(&told, body, sizeof(told));
	if (told.udiag_ino != inode || told.udiag_type != SOCK_STREAM)
		return -EPROTO;
	*ret = (struct bound){ .state = told.udiag_state };
	find_file(body + NLMSG_ALIGN(sizeof(told)),
		  answer.header.nlmsg_len - NLMSG_LENGTH(NLMSG_ALIGN(sizeof(told))), ret);
	return 0;
}

static int look_at(int diag, int socket, struct bound *ret)
{
	struct stat st;
	int r;

	if (fstat(socket, &st))
		return -errno;
	if (!S_ISSOCK(st.st_mode) || st.st_ino > UINT32_MAX)
		return -ENOTSOCK;
	r = ask(diag, (uint32_t)st.st_ino);
	return r ? r : read_answer(diag, (uint32_t)st.st_ino, ret);
}

/* The file itself, from the kernel; -EPERM without CAP_NET_ADMIN. */
static int file_of(int socket, struct stat *ret)
{
	int fd = ioctl(socket, SIOCUNIXFILE), r = 0;

	/* One that is bound to no file. */
	if (fd < 0)
		return errno == ENOENT ? -EACCES : -errno;
	if (fstat(fd, ret))
		r = -errno;
	close(fd);
	return r;
}

static int compare_files(int socket, int listener)
{
	struct stat one = { 0 }, door = { 0 };
	int r = file_of(listener, &door);

	if (!r)
		r = file_of(socket, &one);
	if (r)
		return r;
	return one.st_dev == door.st_dev && one.st_ino == door.st_ino ? 0 : -EACCES;
}

static int compare_told(int socket_fd, int listener)
{
	const struct timeval limit = { .tv_sec = ANSWER_SECONDS };
	struct bound one = { 0 }, door = { 0 };
	int diag = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG), r;

	if (diag < 0)
		return -errno;
	setsockopt(diag, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	r = look_at(diag, socket_fd, &one);
	if (!r)
		r = look_at(diag, listener, &door);
	close(diag);
	if (r)
		return r;
	if (one.state == TCP_LISTEN || !door.has_file || !one.has_file ||
	    one.file.udiag_vfs_ino != door.file.udiag_vfs_ino ||
	    one.file.udiag_vfs_dev != door.file.udiag_vfs_dev)
		return -EACCES;
	return 0;
}

int tw_accepted_from(int socket, int listener)
{
	int listens = 0, r;
	socklen_t length = sizeof(listens);

	if (getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) || !listens)
		return -EACCES;
	r = compare_files(socket, listener);
	return r && r != -EACCES ? compare_told(socket, listener) : r;
}
