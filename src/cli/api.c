/* api.c - `tradewind api`: calls of the control interface, from the command line. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/method.h"
#include "base/error.h"
#include "base/text.h"
#include "cli/api_show.h"
#include "cli/api_values.h"
#include "cli/commands.h"
#include "cli/remote.h"

#define BATCH_MAX 1000 /* calls that are sent together */

static int finish_output(void)
{
	return fflush(stdout) || ferror(stdout) ? TW_EXIT_STORAGE : TW_EXIT_DONE;
}

static int no_memory(void)
{
	tw_say("out of memory");
	return TW_EXIT_FAILED;
}

/* What this version knows of the methods. NULL: no memory. */
static json_t *own_document(void)
{
	size_t length;
	char *text = tw_api_openrpc(&length);
	json_t *document = text ? json_loadb(text, length, 0, NULL) : NULL;

	free(text);
	return document;
}

/* The server's description of its methods: it may be of another version. An exit code. */
static int fetch_document(struct tw_client *client, json_t **ret)
{
	struct tw_client_error error;
	char *text;
	int r = tw_client_get(client, "/openrpc.json", &text, NULL, &error);

	if (r == TW_CLIENT_NOT_FOUND || r == TW_CLIENT_NOT_PERMITTED ||
	    r == TW_CLIENT_NOT_AUTHENTICATED) {
		*ret = own_document();
		return TW_EXIT_DONE;
	}
	if (r)
		return tw_remote_failed(&error);
	*ret = json_loads(text, 0, NULL);
	free(text);
	return TW_EXIT_DONE;
}

static int unknown_method(const json_t *document, const char *name)
{
	const char *close = tw_api_suggest_method(document, name);
	char clean[128], also[128];

	tw_text_clean(name, strlen(name), clean, sizeof clean);
	if (close)
		tw_say("the server has no method %s; did you mean %s?", clean,
		       tw_text_clean(close, strlen(close), also, sizeof also));
	else
		tw_say("there is no method %s, or more than one; `tradewind api --help` lists them",
		       clean);
	return TW_EXIT_USAGE;
}

static int show_result(const struct tw_arguments *arguments, const json_t *result)
{
	const char *field = tw_argument(arguments, "field");
	char clean[128];

	if (!field)
		return tw_api_show_json(stdout, result, tw_argument(arguments, "compact"))
			       ? no_memory()
			       : finish_output();
	if (tw_api_show_field(stdout, result, field) == 0)
		return finish_output();
	tw_say("the result has no field \"%s\"; without --field all of it is shown",
	       tw_text_clean(field, strlen(field), clean, sizeof clean));
	return TW_EXIT_FAILED;
}

struct call {
	const char *method;
	json_t *parameters; /* owned */
	bool wait;
};

/* What the command line asks for, in the server's own terms. An exit code. */
static int read_call(const struct tw_arguments *arguments, const json_t *document, struct call *ret)
{
	const char *name = arguments->words[0];
	const json_t *method = NULL;
	char complaint[TW_COMPLAINT] = "";
	int r;

	ret->method = name;
	ret->wait = false;
	if (document) {
		method = tw_api_find_method(document, name, &ret->wait);
		if (!method)
			return unknown_method(document, name);
		ret->method = json_string_value(json_object_get(method, "name"));
	}
	r = tw_api_parameters(method, arguments->words + 1, arguments->word_count - 1,
			      &ret->parameters, complaint);
	if (r == -ENOMEM)
		return no_memory();
	if (r)
		tw_say("%s", complaint);
	return r ? TW_EXIT_USAGE : TW_EXIT_DONE;
}

static bool asks_help(const struct tw_arguments *arguments)
{
	return arguments->word_count == 2 && (strcmp(arguments->words[1], "--help") == 0 ||
					      strcmp(arguments->words[1], "-h") == 0);
}

/* Works without a server: the method's own words are the same in all servers of this version. */
static int help_method(const char *name)
{
	json_t *document = own_document();
	const json_t *method;
	bool wait;
	int r;

	if (!document)
		return no_memory();
	method = tw_api_find_method(document, name, &wait);
	if (method) {
		tw_api_show_method(stdout, method);
		r = finish_output();
	} else {
		r = unknown_method(document, name);
	}
	json_decref(document);
	return r;
}

static int call_one(const struct tw_arguments *arguments, struct tw_client *client,
		    const json_t *document)
{
	struct tw_client_error error;
	struct call call = { 0 };
	json_t *result = NULL;
	int r = read_call(arguments, document, &call);

	if (r)
		return r;
	if (call.wait)
		r = tw_client_call_wait(client, call.method, call.parameters, TW_CLIENT_FOREVER,
					&result, &error);
	else
		r = tw_client_call(client, call.method, call.parameters, &result, &error);
	r = r ? tw_remote_failed(&error) : show_result(arguments, result);
	json_decref(result);
	json_decref(call.parameters);
	return r;
}

/* One line of --batch; adds to @requests. False: it is not a call. */
static bool read_request(const char *line, struct tw_client_request *ret)
{
	json_t *object = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
	const char *method = json_string_value(json_object_get(object, "method"));
	json_t *parameters = json_object_get(object, "params");

	if (!method || (parameters && !json_is_object(parameters))) {
		json_decref(object);
		return false;
	}
	*ret = (struct tw_client_request){ .method = strdup(method),
					   .parameters = json_incref(parameters) };
	json_decref(object);
	return true;
}

/* {"result": ...} or {"error": {...}}, as a line. Returns whether it went well. */
static bool show_outcome(const struct tw_client_request *request)
{
	const struct tw_client_error *error = &request->error;
	json_t *line = error->fault ? json_pack("{s:{s:s, s:i, s:s, s:s*, s:s*}}", "error", "name",
						error->name, "code", error->code, "message",
						error->message, "parameter",
						error->parameter[0] ? error->parameter : NULL,
						"remedy", error->remedy[0] ? error->remedy : NULL)
				    : json_pack("{s:O}", "result", request->result);

	if (line)
		tw_api_show_json(stdout, line, true);
	json_decref(line);
	return line && !error->fault;
}

/* Sends what was read. The exit code so far is @before. */
static int flush_batch(struct tw_client *client, struct tw_client_request *requests, size_t *count,
		       int before)
{
	struct tw_client_error error;
	int r = before;

	if (tw_client_batch(client, requests, *count, &error))
		r = tw_remote_failed(&error);
	else
		for (size_t i = 0; i < *count; i++)
			if (!show_outcome(&requests[i]))
				r = TW_EXIT_FAILED;
	for (size_t i = 0; i < *count; i++) {
		free((char *)(uintptr_t)requests[i].method);
		json_decref((json_t *)(uintptr_t)requests[i].parameters);
		json_decref(requests[i].result);
	}
	*count = 0;
	return r;
}

static int run_batch(struct tw_client *client)
{
	struct tw_client_request *requests = calloc(BATCH_MAX, sizeof *requests);
	size_t count = 0, room = 0, number = 0;
	char *line = NULL;
	int r = requests ? TW_EXIT_DONE : no_memory();

	while (requests && getline(&line, &room, stdin) >= 0) {
		number++;
		if (line[strspn(line, " \t\r\n")] == '\0')
			continue;
		if (!read_request(line, &requests[count])) {
			tw_say("line %zu of standard input is no call: {\"method\": \"...\", "
			       "\"params\": {...}} in one line",
			       number);
			r = TW_EXIT_USAGE;
			break;
		}
		if (++count == BATCH_MAX)
			r = flush_batch(client, requests, &count, r);
		if (r == TW_EXIT_NETWORK)
			break;
	}
	/* What stands before a line that is none is still done: its answers are told in order. */
	if (count)
		r = flush_batch(client, requests, &count, r);
	free(line);
	free(requests);
	return r ? r : finish_output();
}

static int show_event(const struct tw_client_event *event)
{
	json_t *line = json_pack("{s:I, s:s, s:O}", "id", (json_int_t)event->id, "event",
				 event->name, "data", event->data);
	int r = line ? tw_api_show_json(stdout, line, true) : -ENOMEM;

	json_decref(line);
	return r ? no_memory() : finish_output();
}

static int number_option(const struct tw_arguments *arguments, const char *name, uint64_t otherwise,
			 uint64_t *ret)
{
	const char *text = tw_argument(arguments, name);

	*ret = otherwise;
	if (!text || tw_text_parse_u64(text, 0, UINT64_MAX - 1, ret) == 0)
		return TW_EXIT_DONE;
	tw_say("--%s takes a number", name);
	return TW_EXIT_USAGE;
}

static int run_events(const struct tw_arguments *arguments, struct tw_client *client)
{
	struct tw_client_events *events;
	struct tw_client_event event;
	struct tw_client_error error;
	uint64_t after, limit;
	int r = number_option(arguments, "after", TW_CLIENT_EVENTS_NEW, &after);

	if (!r)
		r = number_option(arguments, "limit", UINT64_MAX, &limit);
	if (r)
		return r;
	if (tw_client_events_open(client, after, &events, &error))
		return tw_remote_failed(&error);
	for (; limit > 0 && r == TW_EXIT_DONE; limit--) {
		if (tw_client_events_next(events, TW_CLIENT_FOREVER, &event, &error))
			r = tw_remote_failed(&error);
		else
			r = show_event(&event);
	}
	tw_client_events_close(events);
	return r;
}

static int run_with(const struct tw_arguments *arguments, struct tw_client *client)
{
	struct tw_client_error error;
	json_t *document = NULL;
	int r;

	if (tw_argument(arguments, "superuser") &&
	    tw_client_call(client, "superuser", NULL, NULL, &error))
		return tw_remote_failed(&error);
	if (tw_argument(arguments, "events"))
		return run_events(arguments, client);
	if (tw_argument(arguments, "batch"))
		return run_batch(client);
	r = fetch_document(client, &document);
	if (r)
		return r;
	r = call_one(arguments, client, document);
	json_decref(document);
	return r;
}

static int run(const struct tw_arguments *arguments)
{
	struct tw_client *client;
	int r;

	if (arguments->word_count &&
	    (tw_argument(arguments, "events") || tw_argument(arguments, "batch"))) {
		tw_say("--events and --batch go without a METHOD");
		return TW_EXIT_USAGE;
	}
	if (asks_help(arguments))
		return help_method(arguments->words[0]);
	if (arguments->word_count == 0 && !tw_argument(arguments, "events") &&
	    !tw_argument(arguments, "batch")) {
		tw_say("`api` needs a METHOD; `tradewind api --help` lists them");
		return TW_EXIT_USAGE;
	}
	signal(SIGPIPE, SIG_DFL);
	r = tw_remote_open(arguments, 0, &client);
	if (r)
		return r;
	r = run_with(arguments, client);
	tw_client_close(client);
	return r;
}

static void list_methods(FILE *to)
{
	json_t *document = own_document();

	tw_api_show_methods(to, document);
	json_decref(document);
}

static void complete_methods(FILE *to)
{
	json_t *document = own_document();

	tw_api_show_completion(to, document);
	json_decref(document);
}

static const struct tw_example examples[] = {
	{ "tradewind api getServerInfo", "asks this machine's server who it is" },
	{ "tradewind api createManifest --fileMappings=/srv/film:film --exclude='*.tmp'",
	  "names what to send, a src:dst pair each" },
	{ "tradewind api --field transferId createTransfer --manifestId=M --destinationId=D",
	  "prints the new transfer's id alone, for scripts" },
	{ "tradewind api setSendRate --destinationId=D --sendRateMax=200000",
	  "at most 200 Mbit/s from now on; waits until it is so" },
	{ "tradewind api --host files.example.org --user ann send.getTransfers --status=active",
	  "asks a server elsewhere" },
	{ "tradewind api --events --after 0", "every event that the log holds, and all to come" },
	{ "tradewind api createTransfer --help", "tells the parameters of a method" },
};

static const struct tw_option options[] = {
	TW_REMOTE_OPTIONS,
	{ "superuser", NULL, "with a superuser's rights, where the account has them", false },
	{ "field", "NAME", "print this field of the result alone: transferId, 0.status", false },
	{ "compact", NULL, "the result in one line", false },
	{ "batch", NULL, "calls from standard input, a JSON object a line, in one go", false },
	{ "events", NULL, "print events as they happen, a JSON object a line", false },
	{ "after", "ID", "with --events: begin after this one; 0: the whole log", false },
	{ "limit", "N", "with --events: end after so many", false },
};

const struct tw_command tw_command_api = {
	.name = "api",
	.words = "METHOD [--PARAMETER=VALUE]...",
	.summary = "call a method of a server's control interface",
	.description =
		"Options for the connection come before METHOD, its parameters behind. METHOD may go\n"
		"without its group where that is clear, and without its ending Async: then the result\n"
		"is waited for. The result is JSON on standard output; an error is told on standard\n"
		"error, and the exit code is not 0.\n"
		"\n"
		"The server says of what kind each parameter is. Text stays as it stands. A list is\n"
		"the option repeated, or a JSON list; a map is --name=KEY=VALUE repeated, or a JSON\n"
		"object. `tradewind api METHOD --help` tells the parameters. Everybody on this machine\n"
		"can see a command line: passwords are better given to --batch.\n"
		"\n" TW_REMOTE_HELP,
	.examples = examples,
	.example_count = sizeof examples / sizeof *examples,
	.options = options,
	.option_count = sizeof options / sizeof *options,
	.words_max = TW_WORDS_MAX,
	.words_end_options = true,
	.help_more = list_methods,
	.completion = complete_methods,
	.run = run,
};
