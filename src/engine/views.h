/*
 * views.h - what the engine shows: one plain struct for each structure of the contract, filled from
 * the newest snapshot. Views are lent: valid until the next call into the engine. Names, units and
 * meanings are the contract's; structure.c has the row of each field.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/structure.h"

#define TW_OBJECT_ID 33 /* 32 hex digits and the NUL */
#define TW_IP_TEXT 64
#define TW_SERVER_ID 33

struct tw_ownership {
	const char *owner, *owner_token, *owner_token_session; /* NULL: none */
};

struct tw_connection_view {
	const char *connection_id;
	char destination_ip[TW_IP_TEXT]; /* "": not resolved yet */
	uint64_t destination_port;
	const char *destination_public_key; /* NULL: none */
	const char *encrypted_connection_state;
	bool encryption_enabled;
	char last_destination_server_id[TW_SERVER_ID], last_destination_server_uid[TW_SERVER_ID];
	const char *last_error; /* a word of the contract; NULL: none */
	char last_error_message[256];
	int64_t last_recv_time, last_send_time;
	uint64_t num_transfers_queued;
	bool rate_controller_active;
	const char *rate_control_method;
	char relay_ip[TW_IP_TEXT];
	uint64_t relay_port;       /* UINT64_MAX: none */
	double round_trip_time_ms; /* negative: unknown */
	char sender_ip[TW_IP_TEXT];
	uint64_t sender_port; /* UINT64_MAX: no socket yet */
	uint64_t send_rate, send_rate_average, send_rate_average_window, send_rate_max,
		send_rate_min; /* kbit/s; UINT64_MAX: null */
	int64_t snapshot_time;
	uint64_t socket_recv_buffer_size, socket_send_buffer_size;
	/* ours */
	uint64_t path_mtu; /* bytes of IP packet; UINT64_MAX: unknown */
	double loss_percent, queue_delay_ms;
	uint64_t bandwidth_estimate; /* kbit/s */
	const char *cipher;          /* "none", "auth", "128", "256"; NULL: not connected */
};

struct tw_destination_view {
	struct tw_connection_view connection; /* first */
	const char *destination_id, *destination_address;
	struct tw_ownership ownership;
	const char *permitted_destination_public_key;
	json_t *user_data;
};

struct tw_manifest_view {
	const char *manifest_id, *status;
	bool processing;
	const char *error_message;
	uint64_t total_files, total_size; /* UINT64_MAX while processing */
	struct tw_ownership ownership;
	json_t *user_data;
	int64_t creation_time;
	/* ours: progress of the walk */
	uint64_t files_so_far, size_so_far;
};

struct tw_manifest_file_view {
	const char *src_path, *dest_path;
	uint64_t file_size;
	bool is_empty_dir, executable;
	int64_t modification_time;
};

struct tw_transfer_view {
	const char *transfer_id, *destination_id, *destination_path, *manifest_id;
	int64_t priority;
	const char *status;
	bool processing;
	const char *error_message;
	int64_t request_time, queue_time, start_time, end_time, snapshot_time;
	uint64_t total_bytes, total_blocks, total_files, block_size, blocks_sent, blocks_acked,
		blocks_retransmitted, bytes_sent, bytes_recv, packets_sent, packets_recv,
		bytes_acked, bytes_durable, files_complete;
	uint64_t throughput;                   /* kbit/s of new content, newest second */
	double estimated_seconds_remaining;    /* negative: unknown */
	uint64_t checkpoint_frequency_seconds; /* UINT64_MAX: null */
	int64_t overwrite_mode, transfer_flags;
	uint64_t send_rate_max;
	const char *digest;
	struct tw_ownership ownership;
	json_t *user_data;
	/* ours: what was left out, newest first */
	struct tw_strings problems;
};

struct tw_transfer_sample_view {
	int64_t time;
	uint64_t bytes_transferred, throughput;
	double retransmit_percent;
	uint64_t send_rate, disk_read_rate, network_send_rate; /* kbit/s */
};

struct tw_receive_transfer_view {
	char transfer_id[TW_OBJECT_ID];
	const char *destination_path, *status;
	uint64_t total_size, bytes_received;
	char source_ip[TW_IP_TEXT];
	uint64_t source_port;
	int64_t last_recv_time, last_send_time, last_error_time;
	char relay_ip[TW_IP_TEXT]; /* "": without a relay */
	uint64_t relay_port;       /* UINT64_MAX: none */
};

struct tw_source_view {
	char source_ip[TW_IP_TEXT];
	uint64_t source_port;
	char destination_public_key[48]; /* of the sending server; "": none */
	const char *encrypted_connection_state;
	bool encryption_enabled;
	uint64_t active_transfer_count, inactive_transfer_count, complete_transfer_count,
		error_transfer_count;
	uint64_t ave_recv_rate, ave_recv_rate_window; /* kbit/s */
	char relay_ip[TW_IP_TEXT];                    /* "": without a relay */
	uint64_t relay_port;                          /* UINT64_MAX: none */
};

struct tw_token_view {
	const char *token;
	int64_t creation_time, expiry_time;
	const char *description;
	bool password_required;
	struct tw_strings permissions;
	struct tw_ownership ownership;
	json_t *user_data;
	bool shared;
	const char *manifest_id;                 /* shared */
	uint64_t download_count, download_limit; /* shared; limit UINT64_MAX: none */
	const char *path;                        /* API */
};

struct tw_watch_view {
	const char *watch_id, *src_path, *destination_id, *destination_path;
	uint64_t interval_seconds, settle_seconds;
	struct tw_strings include, exclude;
	bool mirror_deletes, enabled;
	int64_t expiry_time, creation_time, last_scan_time;
	uint64_t files_sent, files_waiting;
	const char *error_message;
	struct tw_ownership ownership;
	json_t *user_data;
};

struct tw_bandwidth_view {
	uint64_t incoming_rate_limit, outgoing_rate_limit; /* kbit/s; UINT64_MAX: none */
	bool borrow_incoming_rate, borrow_outgoing_rate;
	uint64_t incoming_rate, outgoing_rate; /* measured now (ours) */
};

struct tw_receiver_view {
	struct tw_list ports; /* of uint64_t: rendered as a list of integers */
	const char *relay_ip;
	uint64_t relay_port;
	bool only_authorized_clients_allowed;
};

struct tw_server_view {
	const char *server_name, *server_id, *server_uid, *version, *revision;
	uint64_t api_version;
	const char *host_name, *public_key;
	int64_t min_cipher;
	bool encryption_available, multiplex_available, auth_required, allow_remote_control;
	uint64_t api_control_port;
	bool api_tokens_available, event_log_available;
	const char *server_external_address;
	int64_t certificate_validation;      /* days; INT64_MIN: no certificate */
	const char *certificate_fingerprint; /* ours */
	struct tw_bandwidth_view bandwidth_limits;
	struct tw_receiver_view receiver;
	json_t *license;       /* {"valid": true, "name": "Apache-2.0", ...} */
	json_t *configuration; /* NULL for whoever may not see it */
};
