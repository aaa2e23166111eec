/*
 * message.h - what engine and monitor say to each other: one message of a SOCK_SEQPACKET socket
 * each, questions with a serial, and answers that carry the same one. The answers may come in any
 * order.
 *
 * A table says for each kind which fields it has and whether descriptors come with it; a message
 * that has less, more, or a field out of its bounds is refused as a whole (TW_E_FORMAT), on both
 * sides. Whoever hears one that he cannot read ends the conversation.
 */
#pragma once

#include "auth/accounts.h"

#define TW_AUTH_MESSAGE_ROOM 32768 /* bytes of the longest one */
#define TW_AUTH_TEXT_MAX 1024      /* with the NUL */
#define TW_AUTH_ARGUMENTS_ROOM 24576

enum tw_auth_kind {
	/* From the engine. */
	TW_AUTH_CHECK = 1, /* user, text: password */
	TW_AUTH_VOUCH,     /* with a Unix socket */
	TW_AUTH_FIND,      /* user */
	TW_AUTH_IN_GROUP,  /* user, text: group */
	TW_AUTH_AGENT,     /* user */
	TW_AUTH_RESOLVE,   /* text: host, port, room */
	TW_AUTH_BUFFERS,   /* sizes; with a UDP socket */
	TW_AUTH_TRIGGER,   /* user, text: event, arguments; with what it reads */
	TW_AUTH_READY,     /* serves from now on; with the Unix socket it listens on; no answer */
	TW_AUTH_STOPPING,  /* ends by itself; no answer */
	/* From the monitor: a result, and after success what was asked for. */
	TW_AUTH_RESULT,
	TW_AUTH_ACCOUNT,     /* account */
	TW_AUTH_DESCRIPTORS, /* with one (agent) or two (trigger: output, control) */
	TW_AUTH_ADDRESSES,   /* addresses */
	TW_AUTH_KINDS,
};

struct tw_auth_message {
	enum tw_auth_kind kind;
	uint32_t serial;
	int32_t result;
	char user[TW_ACCOUNT_NAME_MAX];
	char text[TW_AUTH_TEXT_MAX];
	uint16_t port;
	uint32_t room; /* addresses wanted, 1 to TW_ACCOUNTS_ADDRESSES_MAX */
	uint64_t receive, send;
	struct tw_account account;
	unsigned address_count;
	struct tw_address addresses[TW_ACCOUNTS_ADDRESSES_MAX];
	unsigned argument_count;
	size_t arguments_length; /* each with its NUL, one after the other */
	char arguments[TW_AUTH_ARGUMENTS_ROOM];
};

/* Bytes written; 0: it does not fit, or is none that could be read. */
size_t tw_auth_message_write(const struct tw_auth_message *message,
			     uint8_t ret[TW_AUTH_MESSAGE_ROOM]);
/* TW_E_FORMAT. @ret is as good as wiped otherwise: nothing of an older one is left in it. */
int tw_auth_message_read(const uint8_t *bytes, size_t length, struct tw_auth_message *ret);
/* How many descriptors come with it: at least and at most. */
unsigned tw_auth_descriptors_min(enum tw_auth_kind kind);
unsigned tw_auth_descriptors_max(enum tw_auth_kind kind);

/*
 * Over @socket, with descriptors (borrowed). What was written is wiped. @flags: MSG_DONTWAIT:
 * -EAGAIN rather than wait, here and below. -EMSGSIZE: cannot be written; -EPIPE.
 */
int tw_auth_send(int socket, int flags, const struct tw_auth_message *message, const int *fds,
		 unsigned count);
/*
 * @ret_passed: the descriptors, the caller's. -EPIPE:
 * the end. TW_E_FORMAT.
 */
struct tw_passed;
int tw_auth_receive(int socket, int flags, struct tw_auth_message *ret,
		    struct tw_passed *ret_passed);
