/*
 * identity_file.h - the file that holds a machine's identity: one line with the private key,
 * readable by its owner alone.
 *
 * Where: --identity FILE, else $TRADEWIND_IDENTITY, else $STATE_DIRECTORY/identity (a service of
 * systemd's), else $XDG_DATA_HOME/tradewind/identity, else for root /var/lib/tradewind/identity,
 * else $HOME/.local/share/tradewind/identity. It is made at first use, whole or not at all: two
 * programs that start at the same moment end up with the same key. A file that others may read is
 * refused.
 */
#pragma once

#include <limits.h>

#include "crypto/identity.h"

#define TW_COMPLAINT_FILE (PATH_MAX + 256)

/* Writes the path; @option may be NULL. TW_E_FULL: too long; TW_E_DENIED: no home to put it into.
 */
int tw_identity_file_path(const char *option, char ret[PATH_MAX]);
/*
 * Reads the identity at @path, making it first when there is none. A sentence in @complaint and
 * TW_E_DENIED (too open, not ours), TW_E_FORMAT (not an identity file) or -errno.
 */
int tw_identity_file_load(const char *path, struct tw_identity *ret,
			  char complaint[TW_COMPLAINT_FILE]);
/* Makes a new one in place of what is there, which is kept beside it as PATH.old. */
int tw_identity_file_renew(const char *path, struct tw_identity *ret,
			   char complaint[TW_COMPLAINT_FILE]);
