/*
 * agent_message.h - what the engine and a file agent say to each other: one question at a time on a
 * socket, then its answer, each in messages of at most TW_AGENT_MESSAGE_MAX bytes.
 *
 * A question has one layout for all that can be asked, so has the last message of an answer. A
 * listing comes before that one, in messages of as many entries as fit. Lengths, kinds, counts and
 * texts are checked on both sides: the engine may have been taken over, and so may be whoever
 * answers it. Integers are big-endian, texts have their length in front and a NUL behind, which is
 * not in it. Descriptors travel beside the bytes: passing.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/passing.h"
#include "base/bytes.h"
#include "content/files.h"
#include "content/fs.h"

#define TW_AGENT_MESSAGE_MAX 65536
#define TW_AGENT_NAME_MAX 255
#define TW_AGENT_SEVERAL_MAX TW_PASSING_MAX

enum tw_agent_operation {
	/* First on every socket, and once: @to, an absolute path, is opened; then @path below it is
	 * what all others are relative to. Answer: the boot id. */
	TW_AGENT_ROOT = 1,
	TW_AGENT_OPEN, /* @flags: TW_OPEN_...; answer with a descriptor and its stat */
	/* For reading: the names in @to, with '/' between, in the folder @path; at most
	 * TW_AGENT_SEVERAL_MAX. Answer: descriptors of those that could be, whose bits (the first
	 * name's is the lowest) are set in @files. */
	TW_AGENT_OPEN_SEVERAL,
	TW_AGENT_STAT, /* @flags: TW_AGENT_FOLLOW */
	TW_AGENT_MKDIR,
	TW_AGENT_RENAME, /* to @to; @flags: TW_AGENT_REPLACE */
	TW_AGENT_UNLINK,
	TW_AGENT_SET_META, /* of the descriptor that comes along */
	TW_AGENT_SET_DIRECTORY_META,
	TW_AGENT_SYNC_DIRECTORY,
	TW_AGENT_SYNC_ALL,
	TW_AGENT_LIST,   /* entries, then the end */
	TW_AGENT_LISTEN, /* adds the folder to the inotify queue that comes along; @mode: its mask
			  */
	/* tw_files_run(): @files says what. For a move @other and @other_inside name the root of
	 * @to, as ROOT does; "": the same one. LS: entries, then the end. */
	TW_AGENT_FILES,
	TW_AGENT_OPERATIONS_END,
};

enum tw_agent_flags {
	TW_AGENT_FOLLOW = 1,
	TW_AGENT_REPLACE = 2, /* or overwrite */
	TW_AGENT_RECURSIVE = 4,
};

struct tw_agent_question {
	enum tw_agent_operation operation;
	enum tw_files_operation files; /* 0 for others than FILES */
	unsigned flags;
	uint32_t mode;
	int64_t mtime_ns;
	/* Lent; never NULL when decoded. Shorter than TW_ROOT_PATH_ROOM. */
	const char *path, *to, *other, *other_inside;
};

/* The last message of an answer. What it is not about is zero. */
struct tw_agent_answer {
	int error; /* 0, -errno, TW_E_... */
	struct tw_file_stat stat;
	uint8_t boot_id[16];
	uint64_t bytes, files, unreadable; /* as struct tw_files_result */
	const char *path;                  /* lent: where it failed */
};

struct tw_agent_entry {
	char name[TW_AGENT_NAME_MAX + 1];
	bool symlink; /* FILES: @stat is what it leads to */
	/* @stat.kind 0: it could not be looked at; whoever asks for it hears why. */
	struct tw_file_stat stat;
};

/* Returns the length; 0: a text is too long. NULL texts are "". */
size_t tw_agent_question_encode(const struct tw_agent_question *question, uint8_t *bytes,
				size_t room);
/* TW_E_FORMAT. Texts are lent out of @bytes. */
int tw_agent_question_decode(const uint8_t *bytes, size_t length, struct tw_agent_question *ret);

size_t tw_agent_answer_encode(const struct tw_agent_answer *answer, uint8_t *bytes, size_t room);

/* Entries being put into a message. */
struct tw_agent_batch {
	struct tw_writer writer;
	unsigned count;
};
void tw_agent_batch_begin(struct tw_agent_batch *batch, uint8_t *bytes, size_t room);
/* False: no room; send this one and begin another. A name that is too long is left out. */
bool tw_agent_batch_add(struct tw_agent_batch *batch, const char *name, bool symlink,
			const struct tw_file_stat *stat);
/* Its length. */
size_t tw_agent_batch_end(struct tw_agent_batch *batch);

/*
 * A message of an answer. TW_E_END: it is the last one and @ret_answer is filled. 0: it has entries
 * and each went to @each, whose first nonzero result ends it and is returned. TW_E_FORMAT; @each
 * may have been called before that shows.
 */
int tw_agent_answer_decode(const uint8_t *bytes, size_t length, struct tw_agent_answer *ret_answer,
			   int (*each)(void *context, const struct tw_agent_entry *entry),
			   void *context);
