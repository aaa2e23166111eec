/*
 * Built by test_clients.py the way any other program would be: with the installed header, library
 * and pkg-config file. Asks a server at a Unix socket all that the library can ask.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tradewind/client.h>

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "line %d: %s: %s: %s\n", __LINE__, #condition, error.name, \
				error.message); \
			exit(1); \
		} \
	} while (0)

static struct tw_client_error error;

static void check_calls(struct tw_client *client)
{
	json_t *parameters = json_pack("{s:s}", "text", "hello"), *result = NULL;

	CHECK(!tw_client_call(client, "echo", parameters, &result, &error));
	CHECK(strcmp(json_string_value(result), "hello") == 0);
	json_decref(result);
	json_decref(parameters);
	CHECK(!tw_client_call(client, "getServerInfo", NULL, &result, &error));
	CHECK(json_string_length(json_object_get(result, "serverId")) == 32);
	json_decref(result);
	CHECK(tw_client_call(client, "send.getTransfer", NULL, NULL, &error) ==
	      TW_CLIENT_INVALID_PARAMETER);
	CHECK(strcmp(error.parameter, "transferId") == 0);
	parameters = json_pack("{s:s}", "transferId", "00000000000000000000000000000000");
	CHECK(tw_client_call(client, "send.getTransfer", parameters, NULL, &error) ==
	      TW_CLIENT_NOT_FOUND);
	CHECK(error.code != 0 && error.message[0]);
	json_decref(parameters);
	CHECK(tw_client_call(client, "noSuchMethod", NULL, NULL, &error) == TW_CLIENT_NOT_FOUND);
}

static void check_batch(struct tw_client *client)
{
	struct tw_client_request requests[] = { { .method = "superuser" },
						{ .method = "noSuchMethod" },
						{ .method = "send.getConnections" } };

	CHECK(!tw_client_batch(client, requests, 3, &error));
	CHECK(!requests[0].error.fault && json_is_null(requests[0].result));
	CHECK(requests[1].error.fault == TW_CLIENT_NOT_FOUND && !requests[1].result);
	CHECK(json_is_array(requests[2].result));
	json_decref(requests[2].result);
}

/* As a superuser, after check_batch(). */
static void check_asynchronous(struct tw_client *client)
{
	json_t *result = NULL;

	CHECK(!tw_client_call_wait(client, "recv.getSourcesAsync", NULL, 10000, &result, &error));
	CHECK(json_is_array(result));
	json_decref(result);
}

static void check_get(struct tw_client *client)
{
	size_t length = 0;
	char *text = NULL;

	CHECK(!tw_client_get(client, "/metrics", &text, &length, &error));
	CHECK(strstr(text, "tradewind_") && strlen(text) == length);
	free(text);
	CHECK(tw_client_get(client, "/nothing", &text, NULL, &error) == TW_CLIENT_NOT_FOUND);
}

/* Prints the names of the first @count events of the log. */
static void print_events(struct tw_client *client, int count)
{
	struct tw_client_events *events = NULL;
	struct tw_client_event event;
	uint64_t before = 0;

	CHECK(!tw_client_events_open(client, 0, &events, &error));
	for (int i = 0; i < count; i++) {
		CHECK(!tw_client_events_next(events, 10000, &event, &error));
		CHECK(event.id > before);
		CHECK((uint64_t)json_integer_value(json_object_get(event.data, "_id")) == event.id);
		before = event.id;
		printf("%s\n", event.name);
	}
	tw_client_events_close(events);
}

int main(int argc, char **argv)
{
	struct tw_client_options options = { .socket_path = argc > 1 ? argv[1] : NULL };
	struct tw_client *client = NULL;

	CHECK(argc == 3);
	CHECK(!tw_client_open(&options, &client, &error));
	check_calls(client);
	check_batch(client);
	check_asynchronous(client);
	check_get(client);
	print_events(client, atoi(argv[2]));
	tw_client_close(client);
	return 0;
}
