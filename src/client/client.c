#include "tradewind/client.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/fault.h"
#include "client/private.h"
#include "client/quiet.h"

#define TIMEOUT_MS 60000

static int no_memory(struct tw_client_error *error)
{
	return tw_fault(error, TW_CLIENT_NO_MEMORY, NULL, "out of memory");
}

static void free_secret(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

static long limit_ms(uint32_t option, long otherwise)
{
	return option == 0 ? otherwise : option == TW_CLIENT_FOREVER ? 0 : (long)option;
}

int tw_client_open(const struct tw_client_options *options, struct tw_client **ret,
		   struct tw_client_error *error)
{
	static const struct tw_client_options none;
	struct tw_client *client = calloc(1, sizeof *client);
	int r;

	if (!options)
		options = &none;
	if (!client)
		return no_memory(error);
	r = tw_link_init(&client->link, options, error);
	if (r) {
		free(client);
		return r;
	}
	client->timeout_ms = limit_ms(options->timeout_ms, TIMEOUT_MS);
	client->next_id = 1;
	client->curl = curl_easy_init();
	if (options->password) {
		client->user = strdup(options->user ? options->user : "");
		client->password = strdup(options->password);
	}
	if (!client->curl || (options->password && (!client->user || !client->password))) {
		tw_client_close(client);
		return no_memory(error);
	}
	*ret = client;
	return 0;
}

void tw_client_close(struct tw_client *client)
{
	if (!client)
		return;
	curl_easy_cleanup(client->curl);
	tw_link_deinit(&client->link);
	free_secret(client->password);
	free(client->user);
	free(client);
}

const char *tw_client_server(const struct tw_client *client)
{
	return client->link.place.shown;
}

const char *tw_client_token(const struct tw_client *client)
{
	return client->link.bearer;
}

static void set_request(CURL *curl, struct tw_exchange *exchange)
{
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, exchange->timeout_ms);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, tw_body_write);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &exchange->body);
	if (exchange->text) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, exchange->text);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
				 (curl_off_t)strlen(exchange->text));
	}
}

int tw_client_exchange(struct tw_client *client, struct tw_exchange *exchange,
		       struct tw_client_error *error)
{
	static const char *const json[] = { "Content-Type: application/json", NULL };
	struct curl_slist *headers;
	struct tw_quiet quiet;
	CURLcode code;
	int r = tw_link_secure(&client->link, error);

	if (r)
		return r;
	if (tw_link_aim(&client->link, client->curl, exchange->path,
			exchange->text ? json : json + 1, &headers))
		return no_memory(error);
	set_request(client->curl, exchange);
	tw_quiet_begin(&quiet);
	code = curl_easy_perform(client->curl);
	tw_quiet_end(&quiet);
	curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &exchange->status);
	curl_easy_setopt(client->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	if (code == CURLE_WRITE_ERROR && !exchange->body.too_long)
		return no_memory(error);
	return code ? tw_link_fault(&client->link, code, error) : 0;
}

/* {"jsonrpc", "id", "method", "params"}; NULL: no memory. */
static json_t *make_request(struct tw_client *client, const char *method, const json_t *parameters)
{
	json_t *request = json_pack("{s:s, s:I, s:s}", "jsonrpc", "2.0", "id", client->next_id++,
				    "method", method);

	/* jansson counts references inside the value that it borrows. */
	if (request && parameters &&
	    json_object_set(request, "params", (json_t *)(uintptr_t)parameters)) {
		json_decref(request);
		return NULL;
	}
	return request;
}

/* POSTs @request (taken) and returns the answer as JSON of whatever shape. */
static int post(struct tw_client *client, json_t *request, long timeout_ms, json_t **ret_answer,
		struct tw_client_error *error)
{
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	struct tw_exchange exchange = { .path = "/rpc", .text = text, .timeout_ms = timeout_ms };
	json_t *answer = NULL;
	int r;

	json_decref(request);
	if (!text)
		return tw_fault(error, TW_CLIENT_INVALID_PARAMETER, NULL,
				"the parameters cannot be written as JSON: text must be UTF-8");
	r = tw_client_exchange(client, &exchange, error);
	free_secret(text);
	if (!r && exchange.body.length)
		answer =
			json_loadb(exchange.body.bytes, exchange.body.length, JSON_ALLOW_NUL, NULL);
	free(exchange.body.bytes);
	if (r)
		return r;
	if (!answer && exchange.status == 200)
		return tw_fault(error, TW_CLIENT_INTERNAL, NULL,
				"%s answers with something else than JSON",
				client->link.place.shown);
	if (!answer)
		return tw_fault_from_status(error, exchange.status, client->link.place.shown);
	*ret_answer = answer;
	return 0;
}

/* One answer object: its result, a new reference, or its error. */
static int take_answer(const struct tw_client *client, const json_t *answer, json_t **ret_result,
		       struct tw_client_error *error)
{
	const json_t *fault = json_object_get(answer, "error");
	json_t *result = json_object_get(answer, "result");

	if (json_is_object(fault))
		return tw_fault_from_json(error, fault);
	if (!result)
		return tw_fault(error, TW_CLIENT_INTERNAL, NULL,
				"%s answers neither with a result nor with an error",
				client->link.place.shown);
	if (ret_result)
		*ret_result = json_incref(result);
	return 0;
}

static int call_once(struct tw_client *client, const char *method, const json_t *parameters,
		     long timeout_ms, json_t **ret_result, struct tw_client_error *error)
{
	json_t *answer = NULL;
	int r = post(client, make_request(client, method, parameters), timeout_ms, &answer, error);

	if (!r)
		r = take_answer(client, answer, ret_result, error);
	json_decref(answer);
	return r;
}

int tw_client_session(struct tw_client *client, struct tw_client_error *error)
{
	json_t *parameters, *result = NULL;
	const char *token;
	int r;

	if (!client->password || client->link.bearer || client->session_tried)
		return 0;
	client->session_tried = true;
	parameters = json_pack("{s:s, s:s}", "user", client->user, "password", client->password);
	if (!parameters)
		return tw_fault(error, TW_CLIENT_INVALID_PARAMETER, "user",
				"user and password must be UTF-8");
	r = call_once(client, "auth", parameters, client->timeout_ms, &result, error);
	json_decref(parameters);
	token = json_string_value(json_object_get(result, "token"));
	/* On the Unix socket there may be none: the account is known without. */
	if (!r && token)
		r = tw_link_set_bearer(&client->link, token, error);
	json_decref(result);
	if (r)
		client->session_tried = false;
	return r;
}

/* True when the session that was opened here has expired and may be opened once more. */
static bool renew(struct tw_client *client)
{
	if (!client->password || !client->link.bearer)
		return false;
	tw_link_set_bearer(&client->link, NULL, NULL);
	client->session_tried = false;
	return true;
}

static bool waits(const char *method)
{
	const char *name = strrchr(method, '.');

	name = name ? name + 1 : method;
	return strncmp(name, "waitFor", 7) == 0 || strcmp(name, "getRequestResult") == 0 ||
	       strcmp(name, "sleep") == 0;
}

static int call(struct tw_client *client, const char *method, const json_t *parameters,
		long timeout_ms, json_t **ret_result, struct tw_client_error *error)
{
	int r = tw_client_session(client, error);

	if (r)
		return r;
	r = call_once(client, method, parameters, timeout_ms, ret_result, error);
	if (r == TW_CLIENT_NOT_AUTHENTICATED && renew(client)) {
		r = tw_client_session(client, error);
		if (!r)
			r = call_once(client, method, parameters, timeout_ms, ret_result, error);
	}
	return r;
}

int tw_client_call(struct tw_client *client, const char *method, const json_t *parameters,
		   json_t **ret_result, struct tw_client_error *error)
{
	return call(client, method, parameters, waits(method) ? 0 : client->timeout_ms, ret_result,
		    error);
}

int tw_client_call_wait(struct tw_client *client, const char *method, const json_t *parameters,
			uint32_t timeout_ms, json_t **ret_result, struct tw_client_error *error)
{
	size_t length = strlen(method);
	json_t *ticket = NULL;
	int r;

	if (length < 5 || strcmp(method + length - 5, "Async") != 0)
		return tw_client_call(client, method, parameters, ret_result, error);
	r = call(client, method, parameters, client->timeout_ms, &ticket, error);
	if (!r && !json_is_string(json_object_get(ticket, "requestId")))
		r = tw_fault(error, TW_CLIENT_INTERNAL, NULL, "%s answers %s without a requestId",
			     client->link.place.shown, method);
	if (!r) {
		json_t *parameter =
			json_pack("{s:O}", "requestId", json_object_get(ticket, "requestId"));

		r = parameter ? call(client, "getRequestResult", parameter,
				     limit_ms(timeout_ms, TIMEOUT_MS), ret_result, error)
			      : no_memory(error);
		json_decref(parameter);
	}
	json_decref(ticket);
	return r;
}

/* The answer in @answers to request @id, or NULL. */
static const json_t *answer_to(const json_t *answers, json_int_t id)
{
	const json_t *answer;
	size_t at;

	json_array_foreach (answers, at, answer)
		if (json_is_integer(json_object_get(answer, "id")) &&
		    json_integer_value(json_object_get(answer, "id")) == id)
			return answer;
	return NULL;
}

static json_t *make_batch(struct tw_client *client, const struct tw_client_request *requests,
			  size_t count)
{
	json_t *all = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *request = make_request(client, requests[i].method, requests[i].parameters);

		if (json_array_append_new(all, request)) {
			json_decref(all);
			return NULL;
		}
	}
	return all;
}

static int batch_once(struct tw_client *client, struct tw_client_request *requests, size_t count,
		      struct tw_client_error *error)
{
	json_int_t first = client->next_id;
	json_t *answers = NULL;
	int r = post(client, make_batch(client, requests, count), client->timeout_ms, &answers,
		     error);

	if (!r && json_is_object(answers))
		r = take_answer(client, answers, NULL, error);
	if (!r && !json_is_array(answers))
		r = tw_fault(error, TW_CLIENT_INTERNAL, NULL, "%s answers a batch with no list",
			     client->link.place.shown);
	for (size_t i = 0; !r && i < count; i++) {
		const json_t *answer = answer_to(answers, first + (json_int_t)i);

		requests[i].result = NULL;
		memset(&requests[i].error, 0, sizeof requests[i].error);
		take_answer(client, answer, &requests[i].result, &requests[i].error);
	}
	json_decref(answers);
	return r;
}

int tw_client_batch(struct tw_client *client, struct tw_client_request *requests, size_t count,
		    struct tw_client_error *error)
{
	int r = count ? tw_client_session(client, error) : 0;

	if (r || !count)
		return r;
	r = batch_once(client, requests, count, error);
	if (r == TW_CLIENT_NOT_AUTHENTICATED && renew(client)) {
		r = tw_client_session(client, error);
		if (!r)
			r = batch_once(client, requests, count, error);
	}
	return r;
}

int tw_client_get(struct tw_client *client, const char *path, char **ret_text, size_t *ret_length,
		  struct tw_client_error *error)
{
	struct tw_exchange get = { .path = path, .timeout_ms = client->timeout_ms };
	int r = tw_client_session(client, error);

	if (!r)
		r = tw_client_exchange(client, &get, error);
	if (!r && get.status != 200)
		r = tw_fault_from_status(error, get.status, client->link.place.shown);
	if (!r && !get.body.bytes) {
		get.body.bytes = calloc(1, 1);
		r = get.body.bytes ? 0 : no_memory(error);
	}
	if (r) {
		free(get.body.bytes);
		return r;
	}
	*ret_text = get.body.bytes;
	if (ret_length)
		*ret_length = get.body.length;
	/* cppcheck-suppress memleak ; it is the caller's now */
	return 0;
}
