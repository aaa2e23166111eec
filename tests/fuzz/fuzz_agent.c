/*
 * What the engine and a file agent say to each other, any bytes at all: the first byte says which
 * side hears them. What is understood is said again the same, and no name in it leads elsewhere.
 */
#include "fuzz.h"

#include "auth/agent_message.h"
#include "base/error.h"

static void check_text(const char *text)
{
	CHECK(text && strlen(text) < TW_ROOT_PATH_ROOM);
}

static void hear_question(const uint8_t *data, size_t size)
{
	static uint8_t again[TW_AGENT_MESSAGE_MAX];
	struct tw_agent_question question;
	int r = tw_agent_question_decode(data, size, &question);

	CHECK(r == 0 || r == TW_E_FORMAT);
	if (r)
		return;
	CHECK(question.operation >= TW_AGENT_ROOT && question.operation < TW_AGENT_OPERATIONS_END);
	check_text(question.path);
	check_text(question.to);
	check_text(question.other);
	check_text(question.other_inside);
	CHECK(tw_agent_question_encode(&question, again, sizeof(again)) == size);
	CHECK(!memcmp(again, data, size));
}

static int hear_entry(void *context, const struct tw_agent_entry *entry)
{
	size_t length = strlen(entry->name);

	CHECK(length && length <= TW_AGENT_NAME_MAX && !strchr(entry->name, '/'));
	CHECK(strcmp(entry->name, ".") != 0 && strcmp(entry->name, "..") != 0);
	CHECK(tw_agent_batch_add(context, entry->name, entry->symlink, &entry->stat));
	return 0;
}

static void hear_answer(const uint8_t *data, size_t size)
{
	static uint8_t again[TW_AGENT_MESSAGE_MAX];
	struct tw_agent_answer answer;
	struct tw_agent_batch batch;
	int r;

	tw_agent_batch_begin(&batch, again, sizeof(again));
	r = tw_agent_answer_decode(data, size, &answer, hear_entry, &batch);
	CHECK(r == 0 || r == TW_E_END || r == TW_E_FORMAT);
	if (r == TW_E_END) {
		check_text(answer.path);
		CHECK(tw_agent_answer_encode(&answer, again, sizeof(again)) == size);
		CHECK(!memcmp(again, data, size));
	} else if (!r) {
		CHECK(tw_agent_batch_end(&batch) == size);
		CHECK(!memcmp(again, data, size));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size || size > 4096)
		return 0;
	if (data[0] & 1)
		hear_question(data + 1, size - 1);
	else
		hear_answer(data + 1, size - 1);
	return 0;
}
