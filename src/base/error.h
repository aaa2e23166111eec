/*
 * error.h - how functions report failure.
 *
 * 0 is success. A negative value is -errno from the system: nobody nearby can mend it, forward it.
 * A positive value is one of the codes below: the direct caller must handle it, each header says
 * how. Libraries return, they do not log.
 */
#pragma once

enum tw_error {
	TW_E_AGAIN = 1,   /* not now; the function says what to wait for */
	TW_E_END,         /* nothing more will come */
	TW_E_FORMAT,      /* bytes from a peer or a file break the format */
	TW_E_FULL,        /* a named cap is reached */
	TW_E_AUTH,        /* a tag, a key or a signature does not match */
	TW_E_VERSION,     /* no protocol version in common */
	TW_E_WEAK,        /* the cipher is below what one side demands */
	TW_E_DENIED,      /* policy says no */
	TW_E_CHANGED,     /* a source file is not what the manifest says */
	TW_E_DIGEST,      /* content does not match its digest */
	TW_E_CLOSED,      /* the connection or transfer is over */
	TW_E_EXISTS,      /* the target exists and must not be replaced */
	TW_E_UNSAFE,      /* a path would leave its folder */
	TW_E_TIMEOUT,     /* a peer stayed silent for too long */
	TW_E_UNREACHABLE, /* the network says that nobody listens there */
	TW_E_LIMIT,       /* past the last code */
};

/* A short sentence for 0, -errno and TW_E_* alike. The text is static; never NULL. */
const char *tw_strerror(int error);
