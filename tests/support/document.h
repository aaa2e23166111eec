/*
 * document.h - the test vectors of docs/protocol.md, so that page and program cannot drift apart.
 * TEST_DATA is the folder of the unit tests.
 */
#pragma once

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DOCUMENT_LINE_MAX 1024
#define DOCUMENT_VECTOR_MAX 4096

struct document {
	FILE *file;
	char section[DOCUMENT_LINE_MAX]; /* heading that the last vector stands under */
	uint8_t bytes[DOCUMENT_VECTOR_MAX];
	size_t length;
};

static inline void document_open(struct document *document)
{
	const char *folder = getenv("TEST_DATA");
	char path[4096];

	snprintf(path, sizeof path, "%s/../../docs/protocol.md", folder ? folder : "tests/unit");
	document->file = fopen(path, "r");
	if (!document->file) {
		fprintf(stderr, "cannot open %s\n", path);
		abort();
	}
	document->section[0] = '\0';
}

static inline void document_close(struct document *document)
{
	fclose(document->file);
}

static inline void document_add_hex(struct document *document, const char *line)
{
	for (; *line; line++) {
		char digits[3] = { line[0], line[1], '\0' };

		if (isspace((unsigned char)*line))
			continue;
		if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]) ||
		    document->length == DOCUMENT_VECTOR_MAX) {
			fprintf(stderr, "bad vector in section %s: %s", document->section, line);
			abort();
		}
		document->bytes[document->length++] = (uint8_t)strtoul(digits, NULL, 16);
		line++;
	}
}

/* The next vector of the page; false at its end. */
static inline bool document_next(struct document *document)
{
	char line[DOCUMENT_LINE_MAX];
	bool inside = false;

	while (fgets(line, sizeof line, document->file)) {
		if (inside && strcmp(line, "```\n") == 0)
			return true;
		if (inside) {
			document_add_hex(document, line);
		} else if (strcmp(line, "```vector\n") == 0) {
			inside = true;
			document->length = 0;
		} else if (line[0] == '#') {
			line[strcspn(line, "\n")] = '\0';
			strcpy(document->section, line + strspn(line, "# "));
		}
	}
	return false;
}

/* True when @section of the page has a vector of exactly these bytes. */
static inline bool document_has(const char *section, const uint8_t *bytes, size_t length)
{
	struct document document;
	bool found = false;

	document_open(&document);
	while (!found && document_next(&document))
		found = strcmp(document.section, section) == 0 && document.length == length &&
			memcmp(document.bytes, bytes, length) == 0;
	document_close(&document);
	return found;
}

static inline size_t document_count(const char *section)
{
	struct document document;
	size_t count = 0;

	document_open(&document);
	while (document_next(&document))
		count += strcmp(document.section, section) == 0;
	document_close(&document);
	return count;
}
