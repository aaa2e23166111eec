/*
 * commands.h - the commands of the binary: a row each, with its help and its options, in the file
 * of its name.
 */
#pragma once

#include <stdint.h>

#include "cli/options.h"

extern const struct tw_command tw_command_send;
extern const struct tw_command tw_command_receive;
extern const struct tw_command tw_command_server;
extern const struct tw_command tw_command_relay;
extern const struct tw_command tw_command_doctor;
extern const struct tw_command tw_command_bench;
extern const struct tw_command tw_command_keygen;
extern const struct tw_command tw_command_api;
extern const struct tw_command tw_command_status;
extern const struct tw_command tw_command_top;

/* Loads the identity that --identity or the environment names, made when missing; says what is
 * wrong. An exit code. */
struct tw_identity;
int tw_load_identity(const char *option, struct tw_identity *ret);
/* A number that stays the same for a machine: the first 16 bytes of SHA-256 over its public key. */
void tw_server_uid(const struct tw_identity *identity, uint8_t ret[16]);
