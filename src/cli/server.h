/*
 * server.h - what the parts of `tradewind server` share: its options, read and checked; the log
 * that follows the events.
 */
#pragma once

#include <limits.h>

#include "api/api.h"
#include "auth/confine.h"
#include "cli/config.h"
#include "cli/relay_name.h"
#include "crypto/identity.h"
#include "engine/engine.h"

#define TW_SERVER_SUPERS_MAX 64
#define TW_SERVER_STATE_ROOT "/var/lib/tradewind"

struct tw_server_settings {
	struct tw_engine_options engine; /* without base and identity */
	const char *api_host;
	const char *api_certificate, *api_key; /* NULL: of our own making */
	uint16_t api_port;
	char state_dir[PATH_MAX], receive_dir[PATH_MAX], socket_path[PATH_MAX];
	/* The same as the engine reaches them (server_place.h). */
	char reached_state[PATH_MAX], reached_receive[PATH_MAX], reached_socket[PATH_MAX];
	char reached_log[PATH_MAX], trigger_dir[PATH_MAX];
	const char *users[TW_SERVER_SUPERS_MAX], *groups[TW_SERVER_SUPERS_MAX];
	struct tw_accounts_rules superusers;
	bool no_root_files;
	int log_level;
	enum tw_confine_mode confine;
	struct tw_relay_name relay;
};

enum { TW_LOG_ERROR, TW_LOG_WARNING, TW_LOG_INFO, TW_LOG_DEBUG };

#define TW_SERVER_OPTIONS 38
extern const struct tw_option tw_server_options[TW_SERVER_OPTIONS];

/* Reads @arguments, which must outlive @ret. Says what is wrong. An exit code. */
int tw_server_read(const struct tw_arguments *arguments, struct tw_server_settings *ret);

/* The certificate of the interface, read or made, before anything from outside is: its files are
 * opened no more. Owned by the caller; it must outlive the engine. Says what is wrong. An exit
 * code. */
int tw_server_certificate(struct tw_server_settings *settings, struct tw_certificate **ret);

/* Lines on standard error: "tradewind: LEVEL: ...", at most @level. */
void tw_server_log(int level, int most, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Follows the event log from now on. NULL: no memory. */
struct tw_server_journal;
struct tw_server_journal *tw_server_journal_new(struct event_base *base, struct tw_engine *engine,
						int level);
void tw_server_journal_free(struct tw_server_journal *journal);

/* Tells systemd (or whoever set NOTIFY_SOCKET) a state: "READY=1". */
void tw_server_notify(const char *state);
