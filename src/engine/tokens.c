/*
 * tokens.c - what lets others in: shared tokens, by which anybody may have a manifest sent, and API
 * tokens, which stand for their owner with some of his rights.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/sandbox.h"
#include "base/error.h"
#include "engine/engine_internal.h"
#include "netio/clock.h"

#define DESCRIPTION_LONGEST 4096

static const struct {
	const char *word;
	enum tw_permission bit;
} permissions[] = {
	{ "upload", TW_MAY_UPLOAD },
	{ "download", TW_MAY_DOWNLOAD },
	{ "modify", TW_MAY_MODIFY },
	{ "share", TW_MAY_SHARE },
};
#define PERMISSIONS (sizeof(permissions) / sizeof(*permissions))

static const struct tw_saved rows[] = {
	TW_SAVED(struct tw_token, BOOL, shared, "shared"),
	TW_SAVED(struct tw_token, I64, expiry_time, "expiryTime"),
	TW_SAVED(struct tw_token, STRING, description, "description"),
	TW_SAVED(struct tw_token, STRING, path, "path"),
	TW_SAVED(struct tw_token, STRING, password, "password"),
	TW_SAVED(struct tw_token, U32, permissions, "permissions"),
	TW_SAVED(struct tw_token, TEXT, manifest_id, "manifestId"),
	TW_SAVED(struct tw_token, U64, download_count, "downloadCount"),
	TW_SAVED(struct tw_token, U64, download_limit, "downloadLimit"),
};
#define ROWS (sizeof(rows) / sizeof(*rows))

static struct tw_token *of(struct tw_object *object)
{
	return (struct tw_token *)object;
}

static void token_free(struct tw_object *object)
{
	struct tw_token *token = of(object);

	if (token->manifest)
		tw_manifest_drop(token->manifest);
	free(token->description);
	free(token->path);
	free(token->password);
	tw_object_deinit(object);
	free(token);
}

void tw_token_remove(struct tw_token *token)
{
	tw_object_remove(&token->object);
	token_free(&token->object);
}

static json_t *token_encode(const struct tw_object *object)
{
	json_t *body = json_object();

	if (tw_saved_encode(rows, ROWS, object, body)) {
		json_decref(body);
		return NULL;
	}
	return body;
}

static void bind_manifest(struct tw_token *token, struct tw_manifest_object *manifest)
{
	token->manifest = manifest;
	tw_manifest_use(manifest);
	memcpy(token->manifest_id, manifest->object.id, sizeof(token->manifest_id));
}

static int token_decode(struct tw_object *object, const json_t *body)
{
	struct tw_token *token = of(object);
	struct tw_object *manifest;
	int r = tw_saved_decode(rows, ROWS, body, token);

	if (r || !token->shared)
		return r;
	manifest = tw_shelf_find(&object->engine->manifests, token->manifest_id);
	if (!manifest)
		return TW_E_FORMAT;
	bind_manifest(token, (struct tw_manifest_object *)manifest);
	return 0;
}

const struct tw_kind tw_token_kind = {
	.size = sizeof(struct tw_token),
	.encode = token_encode,
	.decode = token_decode,
	.free = token_free,
};

/* Creation. */

static int check_permissions(const struct tw_token_options *options, unsigned *ret,
			     struct tw_fault *fault)
{
	*ret = options->permissions.count ? 0 : TW_MAY_DOWNLOAD;
	for (size_t i = 0; i < options->permissions.count; i++) {
		size_t j;

		for (j = 0; j < PERMISSIONS; j++)
			if (!strcmp(options->permissions.items[i], permissions[j].word))
				break;
		if (j == PERMISSIONS)
			return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "permissions",
					    "\"%.40s\" is no permission; there are upload, "
					    "download, modify and share.",
					    options->permissions.items[i]);
		*ret |= permissions[j].bit;
	}
	return TW_FAULT_NONE;
}

static int check(const struct tw_engine *engine, const struct tw_caller *caller,
		 const struct tw_token_options *options, struct tw_fault *fault)
{
	bool off = options->shared ? !engine->options.shared_tokens : !engine->options.api_tokens;
	int r = tw_caller_has(caller, TW_MAY_SHARE, fault);

	if (!r && off)
		r = tw_fault_set(fault, TW_FAULT_NOT_PERMITTED, NULL,
				 "This server was started without %s tokens.",
				 options->shared ? "shared" : "API");
	if (!r && options->description && strlen(options->description) > DESCRIPTION_LONGEST)
		r = tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "description",
				 "A description has at most %d bytes.", DESCRIPTION_LONGEST);
	if (!r && options->expiry_time < 0)
		r = tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "expiryTime",
				 "expiryTime is a time in microseconds since 1970.");
	return r ? r : tw_user_data_check(options->user_data, fault);
}

/*
 * A token's folder, as its owner sees it: whoever came with a token makes others below his own
 * folder only.
 */
static int fill_path(struct tw_token *token, const struct tw_caller *caller, const char *path,
		     struct tw_fault *fault)
{
	const char *fence = caller->token && caller->token_path ? caller->token_path : "";
	char below[TW_SANDBOX_PATH_ROOM], whole[2 * TW_SANDBOX_PATH_ROOM], top[sizeof(below)];

	if (tw_sandbox_normal(path ? path : "", below) || tw_sandbox_normal(fence, top) ||
	    snprintf(whole, sizeof(whole), "/%s%s%s", top, *top && *below ? "/" : "", below) >=
		    TW_SANDBOX_PATH_ROOM)
		return tw_fault_set(fault, TW_FAULT_INVALID_PARAMETER, "path",
				    "\"%.120s\" is no folder that you can reach.",
				    path ? path : "");
	if (!tw_copy_text(whole[1] ? whole : NULL, &token->path))
		return tw_no_memory(fault);
	return TW_FAULT_NONE;
}

static int fill(struct tw_token *token, const struct tw_caller *caller,
		const struct tw_token_options *options, struct tw_fault *fault)
{
	int r = check_permissions(options, &token->permissions, fault);

	if (!r && !options->shared)
		r = fill_path(token, caller, options->path, fault);
	if (r)
		return r;
	token->shared = options->shared;
	token->expiry_time = options->expiry_time;
	token->download_limit = options->shared ? options->download_limit : TW_UNSET;
	if (!tw_copy_text(options->description, &token->description) ||
	    !tw_copy_text(options->password, &token->password))
		return tw_no_memory(fault);
	return TW_FAULT_NONE;
}

static int make(struct tw_engine *engine, const struct tw_caller *caller,
		const struct tw_token_options *options, struct tw_token *token,
		struct tw_fault *fault)
{
	struct tw_object *manifest = NULL;
	int r = check(engine, caller, options, fault);

	if (!r && options->shared) {
		manifest = tw_caller_object(&engine->manifests, caller, options->manifest_id,
					    "manifestId", fault);
		r = manifest ? TW_FAULT_NONE : (int)fault->code;
	}
	if (!r)
		r = fill(token, caller, options, fault);
	if (r)
		return r;
	if (tw_object_init(engine, &token->object, TW_STORE_TOKEN, caller, options->user_data))
		return tw_no_memory(fault);
	r = tw_object_place(&token->object, NULL);
	if (r == TW_E_FULL)
		return tw_object_full(&token->object, "tokens", "delete those that nobody needs",
				      fault);
	if (r)
		return tw_no_memory(fault);
	if (manifest)
		bind_manifest(token, (struct tw_manifest_object *)manifest);
	return TW_FAULT_NONE;
}

int tw_engine_create_token(struct tw_engine *engine, const struct tw_caller *caller,
			   const struct tw_token_options *options, const char **ret_token,
			   struct tw_fault *fault)
{
	struct tw_token *token = calloc(1, sizeof(*token));
	int r = token ? make(engine, caller, options, token, fault) : tw_no_memory(fault);

	if (r) {
		if (token)
			token_free(&token->object);
		return r;
	}
	tw_object_changed(&token->object);
	*ret_token = token->object.id;
	return TW_FAULT_NONE;
}

int tw_engine_delete_token(struct tw_engine *engine, const struct tw_caller *caller, bool shared,
			   const char *id, struct tw_fault *fault)
{
	struct tw_token *token = of(tw_caller_object(&engine->tokens, caller, id, "token", fault));

	if (!token)
		return (int)fault->code;
	if (token->shared != shared)
		return tw_fault_set(fault, TW_FAULT_NOT_FOUND, "token",
				    "That is no %s token; use the method for the other kind.",
				    shared ? "shared" : "API");
	tw_token_remove(token);
	return TW_FAULT_NONE;
}

/* Looking. */

static const struct tw_token_view *show(struct tw_token *token)
{
	struct tw_engine *engine = token->object.engine;
	struct tw_token_view *view = &engine->token_view;
	size_t count = 0;

	for (size_t i = 0; i < PERMISSIONS; i++)
		if (token->permissions & permissions[i].bit)
			engine->permission_words[count++] = permissions[i].word;
	*view = (struct tw_token_view){
		.token = token->object.id,
		.creation_time = token->object.created_us,
		.expiry_time = token->expiry_time,
		.description = token->description,
		.password_required = token->password != NULL,
		.permissions = { engine->permission_words, count },
		.user_data = token->object.user_data,
		.shared = token->shared,
		.manifest_id = token->shared ? token->manifest_id : NULL,
		.download_count = token->shared ? token->download_count : TW_UNSET,
		.download_limit = token->download_limit,
		.path = token->path,
	};
	tw_object_ownership(&token->object, &view->ownership);
	return view;
}

const struct tw_token_view *tw_engine_token(struct tw_engine *engine,
					    const struct tw_caller *caller, bool shared,
					    const char *id)
{
	struct tw_token *token = of(tw_shelf_find(&engine->tokens, id));

	if (!token || token->shared != shared || !tw_caller_sees(caller, &token->object))
		return NULL;
	return show(token);
}

const struct tw_token_view *tw_engine_token_next(struct tw_engine *engine,
						 const struct tw_caller *caller, bool shared,
						 size_t *cursor)
{
	struct tw_object *object;

	while ((object = tw_shelf_next(&engine->tokens, caller, cursor)))
		if (of(object)->shared == shared)
			return show(of(object));
	return NULL;
}

/* Using. */

bool tw_token_expired(const struct tw_token *token, int64_t now_us)
{
	return token->expiry_time && token->expiry_time <= now_us;
}

static struct tw_token *find_valid(struct tw_engine *engine, const char *id)
{
	struct tw_token *token = of(tw_shelf_find(&engine->tokens, id));

	return token && !tw_token_expired(token, (int64_t)tw_clock_wall_us()) ? token : NULL;
}

/* Unknown, expired and a wrong password are answered alike. */
static struct tw_token *enter(struct tw_engine *engine, const char *id, bool right,
			      struct tw_fault *fault)
{
	struct tw_token *token = find_valid(engine, id);

	if (token && (right || !token->password))
		return token;
	tw_fault_set(fault, TW_FAULT_NOT_AUTHENTICATED, "token",
		     "There is no such token, it has expired, or its password is another one.");
	return NULL;
}

struct tw_token *tw_token_redeem(struct tw_engine *engine, const char *id, bool right,
				 struct tw_fault *fault)
{
	struct tw_token *token = enter(engine, id, right, fault);

	if (!token)
		return NULL;
	if (!token->shared || !(token->permissions & TW_MAY_DOWNLOAD)) {
		tw_fault_set(fault, TW_FAULT_NOT_PERMITTED, "token",
			     "This token does not permit to have its manifest sent.");
		return NULL;
	}
	if (token->download_limit != TW_UNSET && token->download_count >= token->download_limit) {
		tw_fault_set(fault, TW_FAULT_LIMIT_REACHED, "token",
			     "This token was for %llu downloads, and they have been made; ask for "
			     "another.",
			     (unsigned long long)token->download_limit);
		return NULL;
	}
	return token;
}

const char *tw_engine_token_password(struct tw_engine *engine, const char *id)
{
	struct tw_token *token = find_valid(engine, id);

	return token ? token->password : tw_password_nobody;
}

int tw_engine_token_login(struct tw_engine *engine, const char *id, bool right,
			  struct tw_caller *ret, struct tw_fault *fault)
{
	struct tw_token *token = enter(engine, id, right, fault);

	if (!token)
		return (int)fault->code;
	tw_random_id(engine->token_session);
	*ret = (struct tw_caller){
		.user = token->object.owner,
		.authenticated = true,
		.token = token->object.id,
		.token_session = engine->token_session,
		.permissions = token->permissions,
		.token_path = token->path,
	};
	return TW_FAULT_NONE;
}
