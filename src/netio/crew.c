#include "netio/crew.h"

#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netio/clock.h"
#include "wire/datagram.h"
#include "wire/steer.h"

#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif

#define AUTOMATIC_MAX 8 /* workers */

static_assert(TW_CREW_MAX == TW_STEER_PLACES_MAX, "as many as ids can tell apart");

/* What lies in front of the bytes of a datagram in a box. */
struct entry {
	struct tw_path path;
	size_t length;
	bool vouched;
};
#define ENTRY_ALIGN _Alignof(struct entry)

/* The one is filled while the other is read. */
struct box {
	pthread_mutex_t lock;
	uint8_t *filling; /* owned; both TW_POST_BYTES, untouched until there is post */
	size_t filled;
	int fd;
	/* The worker's own. */
	uint8_t *reading; /* owned */
	size_t left, at;
	bool open; /* it is being read */

	struct tw_mailbox mail;
	atomic_uint load;
};

struct tw_crew {
	unsigned count;
	struct tw_homes *homes;
	struct tw_cid_salt salt;
	bool unsteered; /* a group of sockets has no filter */
	struct box boxes[];
};

unsigned tw_crew_size(unsigned wanted)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (!wanted) {
		wanted = cores >= 4 ? (unsigned)cores / 2 : 1;
		wanted = wanted < AUTOMATIC_MAX ? wanted : AUTOMATIC_MAX;
	}
	return wanted < TW_CREW_MAX ? wanted : TW_CREW_MAX;
}

static int open_box(struct box *box)
{
	box->filling = malloc(TW_POST_BYTES);
	box->reading = malloc(TW_POST_BYTES);
	box->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (box->fd < 0)
		return -errno;
	return box->filling && box->reading ? 0 : -ENOMEM;
}

int tw_crew_new(unsigned count, struct tw_crew **ret)
{
	const struct tw_random random = tw_system_random();
	struct tw_crew *crew = calloc(1, sizeof *crew + count * sizeof(struct box));
	int r = 0;

	assert(count && count <= TW_CREW_MAX);
	if (!crew)
		return -ENOMEM;
	crew->count = count;
	tw_cid_salt_init(&crew->salt, &random);
	for (unsigned i = 0; i < count; i++) {
		int failed;

		pthread_mutex_init(&crew->boxes[i].lock, NULL);
		crew->boxes[i].fd = -1;
		failed = tw_mailbox_init(&crew->boxes[i].mail);
		r = r ? r : failed;
	}
	if (!r)
		r = tw_homes_new(count, &random, &crew->homes);
	for (unsigned i = 0; i < count && !r; i++)
		r = open_box(&crew->boxes[i]);
	if (r) {
		tw_crew_free(crew);
		return r;
	}
	*ret = crew;
	return 0;
}

void tw_crew_free(struct tw_crew *crew)
{
	if (!crew)
		return;
	for (unsigned i = 0; i < crew->count; i++) {
		struct box *box = &crew->boxes[i];

		pthread_mutex_destroy(&box->lock);
		tw_mailbox_deinit(&box->mail);
		free(box->filling);
		free(box->reading);
		if (box->fd >= 0)
			close(box->fd);
	}
	tw_homes_free(crew->homes);
	free(crew);
}

unsigned tw_crew_count(const struct tw_crew *crew)
{
	return crew->count;
}

struct tw_homes *tw_crew_homes(struct tw_crew *crew)
{
	return crew->homes;
}

struct tw_mailbox *tw_crew_mailbox(struct tw_crew *crew, unsigned place)
{
	assert(place < crew->count);
	return &crew->boxes[place].mail;
}

void tw_crew_set_load(struct tw_crew *crew, unsigned place, unsigned load)
{
	atomic_store_explicit(&crew->boxes[place].load, load, memory_order_relaxed);
}

unsigned tw_crew_load(const struct tw_crew *crew, unsigned place)
{
	return atomic_load_explicit(&crew->boxes[place].load, memory_order_relaxed);
}

const struct tw_cid_salt *tw_crew_salt(const struct tw_crew *crew)
{
	return &crew->salt;
}

/* The filter: tw_steer(), said once more in the kernel's language. It sees the UDP payload, and a
 * load from behind its end gives 0. */

#define LOAD(size, at) BPF_STMT(BPF_LD | (size) | BPF_ABS, (uint32_t)(at))
#define IF(test, value, yes, no) BPF_JUMP(BPF_JMP | (test) | BPF_K, value, yes, no)

int tw_crew_steer(struct tw_crew *crew, int fd)
{
	struct sock_filter code[] = {
		LOAD(BPF_B, 0),
		IF(BPF_JEQ, TW_DATAGRAM_PACKET, 9, 0),
		IF(BPF_JEQ, TW_DATAGRAM_PACKET | 1, 8, 0),
		IF(BPF_JEQ, TW_DATAGRAM_VERSIONS, 7, 0),
		IF(BPF_JEQ, TW_DATAGRAM_PROBE, 6, 0),
		IF(BPF_JEQ, TW_DATAGRAM_ECHO, 5, 0),
		IF(BPF_JEQ, TW_DATAGRAM_INIT, 2, 0),
		IF(BPF_JEQ, TW_DATAGRAM_ACCEPT, 1, 0),
		IF(BPF_JEQ, TW_DATAGRAM_RETRY, 0, 5),
		LOAD(BPF_W, TW_STEER_LONG_AT),
		BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
		LOAD(BPF_W, TW_STEER_AT),
		BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, crew->count),
		BPF_STMT(BPF_RET | BPF_A, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog program = { sizeof code / sizeof *code, code };

	if (!setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program))
		return 0;
	crew->unsteered = true;
	return -errno;
}

bool tw_crew_steered(const struct tw_crew *crew)
{
	return !crew->unsteered;
}

/* Post. */

static size_t padded(size_t length)
{
	return (length + ENTRY_ALIGN - 1) & ~(ENTRY_ALIGN - 1);
}

bool tw_crew_post(struct tw_crew *crew, unsigned to, const struct tw_post *post)
{
	struct box *box = &crew->boxes[to];
	const struct entry entry = { post->path, post->length, post->vouched };
	size_t size = sizeof entry + padded(post->length);
	uint64_t one = 1;
	bool fits, first;

	assert(to < crew->count);
	pthread_mutex_lock(&box->lock);
	first = !box->filled;
	fits = size <= TW_POST_BYTES - box->filled;
	if (fits) {
		memcpy(box->filling + box->filled, &entry, sizeof entry);
		memcpy(box->filling + box->filled + sizeof entry, post->bytes, post->length);
		box->filled += size;
	}
	pthread_mutex_unlock(&box->lock);
	/* Fails only when the counter is about to overflow, and then it is readable anyway. */
	if (first && write(box->fd, &one, sizeof one) < 0)
		return fits;
	return fits;
}

int tw_crew_fd(const struct tw_crew *crew, unsigned place)
{
	return crew->boxes[place].fd;
}

/* Nothing is left to read: what has been filled is next. */
static void turn(struct box *box)
{
	uint8_t *read_out = box->reading;
	uint64_t count;

	/* First, so that what is filled from here on rings again. */
	if (read(box->fd, &count, sizeof count) < 0)
		count = 0;
	pthread_mutex_lock(&box->lock);
	box->reading = box->filling;
	box->left = box->filled;
	box->at = 0;
	box->filling = read_out;
	box->filled = 0;
	pthread_mutex_unlock(&box->lock);
}

bool tw_crew_take(struct tw_crew *crew, unsigned place, struct tw_post *ret)
{
	struct box *box = &crew->boxes[place];
	struct entry entry;

	if (!box->open)
		turn(box);
	box->open = box->at < box->left;
	if (!box->open)
		return false;
	memcpy(&entry, box->reading + box->at, sizeof entry);
	*ret = (struct tw_post){ entry.path, box->reading + box->at + sizeof entry, entry.length,
				 entry.vouched };
	box->at += sizeof entry + padded(entry.length);
	return true;
}
