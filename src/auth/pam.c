#include "auth/pam.h"

#include <errno.h>
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct secret {
	const char *password;
	unsigned asked;
};

/* PAM frees what it is given with free(). */
static int answer_one(const struct pam_message *message, struct secret *secret,
		      struct pam_response *ret)
{
	switch (message->msg_style) {
	case PAM_PROMPT_ECHO_OFF:
		/* Who asks a second time wants something else than the password: there is nothing
		 * else. */
		if (secret->asked++)
			return PAM_CONV_ERR;
		ret->resp = strdup(secret->password);
		return ret->resp ? PAM_SUCCESS : PAM_BUF_ERR;
	case PAM_ERROR_MSG:
	case PAM_TEXT_INFO:
		return PAM_SUCCESS;
	default:
		return PAM_CONV_ERR;
	}
}

static int converse(int count, const struct pam_message **messages, struct pam_response **ret,
		    void *context)
{
	struct pam_response *responses;
	int r = PAM_SUCCESS;

	if (count < 1 || count > PAM_MAX_NUM_MSG)
		return PAM_CONV_ERR;
	responses = calloc((size_t)count, sizeof(*responses));
	if (!responses)
		return PAM_BUF_ERR;
	for (int i = 0; i < count && r == PAM_SUCCESS; i++)
		r = answer_one(messages[i], context, &responses[i]);
	if (r == PAM_SUCCESS) {
		*ret = responses;
		return r;
	}
	for (int i = 0; i < count; i++)
		if (responses[i].resp) {
			explicit_bzero(responses[i].resp, strlen(responses[i].resp));
			free(responses[i].resp);
		}
	free(responses);
	return r;
}

static void no_delay(int result, unsigned microseconds, void *context)
{
	(void)result;
	(void)microseconds;
	(void)context;
}

static int set_up(pam_handle_t *pam)
{
	/* PAM's items are untyped: a function goes by way of a union. */
	union {
		void (*function)(int, unsigned, void *);
		const void *item;
	} delay = { .function = no_delay };
	int r = pam_set_item(pam, PAM_FAIL_DELAY, delay.item);

	if (r == PAM_SUCCESS)
		r = pam_set_item(pam, PAM_TTY, "tradewind");
	return r;
}

static int take_name(const pam_handle_t *pam, char *ret_user, size_t room)
{
	const void *name = NULL;

	if (pam_get_item(pam, PAM_USER, &name) != PAM_SUCCESS || !name || strlen(name) >= room)
		return PAM_USER_UNKNOWN;
	snprintf(ret_user, room, "%s", (const char *)name);
	return PAM_SUCCESS;
}

int tw_pam_check(const char *service, const char *user, const char *password, char *ret_user,
		 size_t room)
{
	struct secret secret = { .password = password };
	const struct pam_conv conversation = { converse, &secret };
	pam_handle_t *pam = NULL;
	int r = pam_start(service, user, &conversation, &pam);

	if (r != PAM_SUCCESS)
		return -EACCES;
	r = set_up(pam);
	if (r == PAM_SUCCESS)
		r = pam_authenticate(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	if (r == PAM_SUCCESS)
		r = pam_acct_mgmt(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	if (r == PAM_SUCCESS)
		r = take_name(pam, ret_user, room);
	pam_end(pam, r);
	return r == PAM_SUCCESS ? 0 : -EACCES;
}
