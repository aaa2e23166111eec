#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/secret.h"
#include "cli/commands.h"
#include "cli/exit.h"
#include "cli/identity_file.h"
#include "crypto/hash.h"

void tw_server_uid(const struct tw_identity *identity, uint8_t ret[16])
{
	uint8_t digest[TW_HASH_SIZE];
	struct tw_hash hash;

	tw_hash_init(&hash);
	tw_hash_update(&hash, identity->public_key.bytes, TW_KEY_SIZE);
	tw_hash_final(&hash, digest);
	memcpy(ret, digest, 16);
}

static int find_path(const char *option, char path[PATH_MAX])
{
	int r = tw_identity_file_path(option, path);

	if (r == TW_E_FULL)
		tw_say("the identity file's path is too long; name another with --identity FILE");
	else if (r)
		tw_say("no home folder to keep the identity in; name a file with --identity FILE");
	return r;
}

/* Wrong or too open a file is for the user to mend; everything else is storage. */
static int exit_for(int error)
{
	return error == TW_E_DENIED || error == TW_E_FORMAT ? TW_EXIT_FAILED : TW_EXIT_STORAGE;
}

int tw_load_identity(const char *option, struct tw_identity *ret)
{
	char path[PATH_MAX], complaint[TW_COMPLAINT_FILE];
	int r;

	if (find_path(option, path))
		return TW_EXIT_FAILED;
	r = tw_identity_file_load(path, ret, complaint);
	if (r)
		tw_say("%s", complaint);
	return r ? exit_for(r) : TW_EXIT_DONE;
}

static int run(const struct tw_arguments *arguments)
{
	char path[PATH_MAX], complaint[TW_COMPLAINT_FILE], text[TW_KEY_TEXT];
	struct tw_identity identity;
	int r;

	if (find_path(tw_argument(arguments, "identity"), path))
		return TW_EXIT_FAILED;
	if (tw_argument(arguments, "new"))
		r = tw_identity_file_renew(path, &identity, complaint);
	else
		r = tw_identity_file_load(path, &identity, complaint);
	if (r) {
		tw_say("%s", complaint);
		return exit_for(r);
	}
	fprintf(stderr, "identity file: %s\n", path);
	printf("%s\n", tw_public_key_format(&identity.public_key, text));
	tw_identity_wipe(&identity);
	return fflush(stdout) ? TW_EXIT_STORAGE : TW_EXIT_DONE;
}

static const struct tw_example examples[] = {
	{ "tradewind keygen",
	  "prints this machine's public key, making the identity first if there is none" },
	{ "tradewind keygen --new",
	  "makes a new identity; the old one is kept beside it with the suffix .old" },
};

static const struct tw_option options[] = {
	{ "identity", "FILE", "where the identity is kept", false },
	{ "new", NULL, "replace the identity by a new one", false },
};

const struct tw_command tw_command_keygen = {
	.name = "keygen",
	.words = "",
	.summary = "print this machine's public key",
	.description =
		"The public key goes to standard output: whoever sends to this machine or lets it\n"
		"in needs it. The private key stays in the identity file, readable by its owner\n"
		"alone: $STATE_DIRECTORY/identity (systemd sets it) or\n"
		"$XDG_DATA_HOME/tradewind/identity if one is set, else for root\n"
		"/var/lib/tradewind/identity, else ~/.local/share/tradewind/identity;\n"
		"TRADEWIND_IDENTITY or --identity name another.",
	.examples = examples,
	.example_count = sizeof examples / sizeof *examples,
	.options = options,
	.option_count = sizeof options / sizeof *options,
	.run = run,
};
