/*
 * remote.h - what the commands that steer a server have in common: the options that say which
 * server and who asks, the password, and how a failure is told.
 */
#pragma once

#include "cli/exit.h"
#include "cli/options.h"
#include "tradewind/client.h"

/* The first rows of each such command's options. */
#define TW_REMOTE_OPTIONS \
	{ "socket", "PATH", "the server's Unix socket, below its state folder", false }, \
		{ "host", "HOST", "the server's name or address instead", false }, \
		{ "api-control-port", "PORT", "its TCP port for control, 8886 unless told", \
		  false }, \
		{ "user", "USER", "the account there; asks for its password", false }, \
		{ "server-key", "KEY", "accept this public key of the server alone: sha256//...", \
		  false }, \
	{ \
		"accept-new", NULL, "believe and remember a server's first key unasked", false \
	}

/* A paragraph of help on them. */
#define TW_REMOTE_HELP \
	"Without --socket and --host it is this machine's server: the Unix socket of your own\n" \
	"state folder if there is one, where no password is needed, else 127.0.0.1. Another\n" \
	"host is spoken to by HTTPS alone and known by its key: you are asked whether the first\n" \
	"one is right, it is kept in ~/.config/tradewind/known_servers, and another one later is\n" \
	"refused. Without a terminal a server must be known already, or named by --server-key or\n" \
	"TRADEWIND_API_FINGERPRINT, or --accept-new believes it.\n" \
	"TRADEWIND_API_SOCKET stands for --socket; TRADEWIND_API_PASSWORD, or a session's or\n" \
	"API token in TRADEWIND_API_TOKEN, keeps a script from being asked."

/* Makes a client from the options, asks for a password where one is needed. Says what is wrong. An
 * exit code; the client is owned by the caller. @timeout_ms: for an answer, 0: the library's. */
int tw_remote_open(const struct tw_arguments *arguments, uint32_t timeout_ms,
		   struct tw_client **ret);
/* Says it, and returns the exit code for it. */
int tw_remote_failed(const struct tw_client_error *error);
/* The same sentence without saying it: one line, safe for a terminal. Returns @ret. */
const char *tw_remote_sentence(const struct tw_client_error *error, char *ret, size_t room);
enum tw_exit tw_remote_exit(enum tw_client_fault fault);
