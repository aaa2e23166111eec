/*
 * tcpcopy - a plain TCP copy of files and folders: what Tradewind is measured against.
 *
 *     tcpcopy receive PORT FOLDER               takes one connection, then ends
 *     tcpcopy send HOST PORT CONGESTION PATH    CONGESTION: cubic, bbr
 *
 * Files go one behind another over one connection, each as length of name, size, name, contents:
 * what tar through TCP does. It is as fast as such a copy gets: contents leave by sendfile() and
 * never enter this process; they arrive in large pieces and are copied once more, into the file.
 * The sender ends when the receiver has confirmed that all of it is in its files.
 */
#include <endian.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Large enough for few system calls, small enough to stay in the processor's cache. */
#define PIECE_BYTES (256 << 10)

struct head {
	uint32_t name_bytes;            /* 0: the end */
	uint64_t size;
} __attribute__((packed));

/* What came from the connection and is not used yet: small files cost no call of their own. */
struct input {
	int fd;
	size_t start, end;
	char piece[PIECE_BYTES];
};

/* What is there, at most @size bytes of it, and at least one: waits when there is nothing. */
static size_t take_some(struct input *input, uint64_t size, const char **ret_data)
{
	size_t some;

	if (input->start == input->end) {
		ssize_t n = recv(input->fd, input->piece, sizeof(input->piece), 0);

		if (n <= 0)
			errx(1, "the sender stopped in the middle");
		input->start = 0;
		input->end = (size_t)n;
	}
	some = input->end - input->start;
	if (some > size)
		some = (size_t)size;
	*ret_data = input->piece + input->start;
	input->start += some;
	return some;
}

static void take(struct input *input, void *into, size_t size)
{
	for (size_t done = 0; done < size;) {
		const char *data;
		size_t some = take_some(input, size - done, &data);

		memcpy((char *)into + done, data, some);
		done += some;
	}
}

static void write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0)
			err(1, "write");
		data += n;
		size -= (size_t)n;
	}
}

static void make_folders(const char *name)
{
	char path[PATH_MAX];

	for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
		snprintf(path, sizeof(path), "%.*s", (int)(slash - name), name);
		if (mkdir(path, 0755) && errno != EEXIST)
			err(1, "%s", path);
	}
}

static int create(const char *name)
{
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
	int fd = open(name, flags, 0644);

	if (fd < 0 && errno == ENOENT) {
		make_folders(name);
		fd = open(name, flags, 0644);
	}
	if (fd < 0)
		err(1, "%s", name);
	return fd;
}

/* False: that was the end. */
static bool receive_file(struct input *input)
{
	struct head head;
	char name[PATH_MAX];
	uint32_t name_bytes;
	int fd;

	take(input, &head, sizeof(head));
	name_bytes = be32toh(head.name_bytes);
	if (name_bytes == 0)
		return false;
	if (name_bytes >= sizeof(name))
		errx(1, "a name of %u bytes", name_bytes);
	take(input, name, name_bytes);
	name[name_bytes] = '\0';
	fd = create(name);
	for (uint64_t left = be64toh(head.size); left > 0;) {
		const char *data;
		size_t some = take_some(input, left, &data);

		write_all(fd, data, some);
		left -= some;
	}
	close(fd);
	return true;
}

static void receive_files(const char *port, const char *folder)
{
	static struct input input;
	struct sockaddr_in6 address = { .sin6_family = AF_INET6,
					.sin6_port = htons((uint16_t)atoi(port)) };
	int listener = socket(AF_INET6, SOCK_STREAM, 0);

	if (chdir(folder))
		err(1, "%s", folder);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 1))
		err(1, "port %s", port);
	puts("ready");
	fflush(stdout);
	input.fd = accept(listener, NULL, NULL);
	if (input.fd < 0)
		err(1, "accept");
	while (receive_file(&input))
		;
	write_all(input.fd, "k", 1);
}

static int connect_to(const char *host, const char *port, const char *congestion)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	int r = getaddrinfo(host, port, &hints, &found);
	int fd;

	if (r)
		errx(1, "%s: %s", host, gai_strerror(r));
	fd = socket(found->ai_family, SOCK_STREAM, 0);
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, (socklen_t)strlen(congestion)))
		err(1, "%s", congestion);
	if (connect(fd, found->ai_addr, found->ai_addrlen))
		err(1, "%s port %s", host, port);
	freeaddrinfo(found);
	return fd;
}

static void send_part(int connection, const void *data, size_t size)
{
	if (send(connection, data, size, MSG_MORE | MSG_NOSIGNAL) != (ssize_t)size)
		err(1, "send");
}

static void send_file(int connection, const char *path, const char *name)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;
	struct head head;

	if (fd < 0 || fstat(fd, &status))
		err(1, "%s", path);
	head = (struct head){ htobe32((uint32_t)strlen(name)), htobe64((uint64_t)status.st_size) };
	send_part(connection, &head, sizeof(head));
	send_part(connection, name, strlen(name));
	for (off_t left = status.st_size; left > 0;) {
		ssize_t n = sendfile(connection, fd, NULL, (size_t)left);

		if (n <= 0)
			err(1, "%s", path);
		left -= n;
	}
	close(fd);
}

static void send_files(int connection, char *path)
{
	char *roots[] = { path, NULL };
	FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	const char *slash = strrchr(path, '/');
	size_t prefix = slash ? (size_t)(slash + 1 - path) : 0;
	char answer = 0;

	if (!walk)
		err(1, "%s", path);
	for (FTSENT *entry = fts_read(walk); entry; entry = fts_read(walk)) {
		if (entry->fts_info == FTS_F)
			send_file(connection, entry->fts_path, entry->fts_path + prefix);
		else if (entry->fts_info == FTS_ERR || entry->fts_info == FTS_NS)
			errx(1, "%s: %s", entry->fts_path, strerror(entry->fts_errno));
	}
	fts_close(walk);
	write_all(connection, (const char *)&(struct head){ 0 }, sizeof(struct head));
	if (recv(connection, &answer, 1, 0) != 1 || answer != 'k')
		errx(1, "the receiver stopped before it had everything");
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "receive") == 0)
		receive_files(argv[2], argv[3]);
	else if (argc == 6 && strcmp(argv[1], "send") == 0)
		send_files(connect_to(argv[2], argv[3], argv[4]), argv[5]);
	else
		errx(2, "usage: tcpcopy receive PORT FOLDER, or send HOST PORT CONGESTION PATH");
	return 0;
}
