#include "unit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/certificate.h"

struct place {
	char folder[64], key[96], certificate[96];
	char message[TW_CERTIFICATE_MESSAGE];
};

static int setup(void **state)
{
	struct place *place = calloc(1, sizeof *place);

	assert_non_null(place);
	snprintf(place->folder, sizeof place->folder, "/tmp/test_certificate-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	snprintf(place->key, sizeof place->key, "%s/api-key.pem", place->folder);
	snprintf(place->certificate, sizeof place->certificate, "%s/api-certificate.pem",
		 place->folder);
	*state = place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;

	unlink(place->key);
	unlink(place->certificate);
	assert_int_equal(rmdir(place->folder), 0); /* and nothing else was left there */
	free(place);
	return 0;
}

static struct tw_certificate *open_in(struct place *place)
{
	const struct tw_certificate_options options = {
		.folder = place->folder,
		.host_name = "srv1.example.org",
		.external_address = "files.example.org",
	};
	struct tw_certificate *certificate;

	if (tw_certificate_open(&options, &certificate, place->message))
		fail_msg("%s", place->message);
	return certificate;
}

static void expect_refusal(struct place *place, int r, const char *words)
{
	const struct tw_certificate_options options = { .folder = place->folder };
	struct tw_certificate *certificate;

	assert_int_equal(tw_certificate_open(&options, &certificate, place->message), r);
	if (!strstr(place->message, words))
		fail_msg("no word of %s: %s", words, place->message);
}

static void put(const char *path, const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void test_made_once_and_kept(void **state)
{
	struct place *place = *state;
	struct tw_certificate *first = open_in(place), *again;
	int64_t now_us = (int64_t)time(NULL) * 1000000, year_us = INT64_C(365) * 86400 * 1000000;
	struct stat status;

	assert_int_equal(stat(place->key, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(strlen(tw_certificate_pin(first)), 8 + 44);
	assert_memory_equal(tw_certificate_pin(first), "sha256//", 8);
	assert_true(tw_certificate_end_us(first) > now_us + 9 * year_us);
	assert_true(tw_certificate_names(first, "srv1.example.org"));
	assert_true(tw_certificate_names(first, "FILES.example.org"));
	assert_true(tw_certificate_names(first, "localhost"));
	assert_false(tw_certificate_names(first, "evil.example.org"));
	assert_false(tw_certificate_names(first, "example.org"));
	assert_int_equal(SSL_CTX_get_min_proto_version(tw_certificate_tls(first)), TLS1_3_VERSION);
	again = open_in(place);
	assert_string_equal(tw_certificate_pin(first), tw_certificate_pin(again));
	assert_int_equal(tw_certificate_end_us(first), tw_certificate_end_us(again));
	tw_certificate_free(again);
	tw_certificate_free(first);
}

/* A certificate that ends is made anew over the same key: clients notice nothing. */
static void test_renewed(void **state)
{
	struct place *place = *state;
	struct tw_certificate *first = open_in(place), *again;
	FILE *file = fopen(place->key, "r");
	EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	X509 *old = X509_new();

	fclose(file);
	X509_gmtime_adj(X509_getm_notBefore(old), -86400);
	X509_gmtime_adj(X509_getm_notAfter(old), 86400);
	assert_true(X509_set_pubkey(old, key) && X509_sign(old, key, EVP_sha256()) > 0);
	file = fopen(place->certificate, "w");
	assert_true(PEM_write_X509(file, old));
	fclose(file);
	again = open_in(place);
	assert_string_equal(tw_certificate_pin(first), tw_certificate_pin(again));
	assert_true(tw_certificate_end_us(again) - (int64_t)time(NULL) * 1000000 >
		    INT64_C(365) * 86400 * 1000000);
	tw_certificate_free(again);
	/* So is one that is lost, or is none. */
	put(place->certificate, "rubbish\n", 0644);
	again = open_in(place);
	assert_string_equal(tw_certificate_pin(first), tw_certificate_pin(again));
	tw_certificate_free(again);
	tw_certificate_free(first);
	X509_free(old);
	EVP_PKEY_free(key);
}

/* A key that is there and cannot be used is never replaced. */
static void test_bad_keys(void **state)
{
	struct place *place = *state;
	struct stat status;

	put(place->key, "rubbish\n", 0600);
	expect_refusal(place, -EINVAL, "api-key.pem");
	put(place->key, "", 0600);
	expect_refusal(place, -EINVAL, "api-key.pem");
	assert_int_equal(stat(place->key, &status), 0);
	assert_int_equal(status.st_size, 0);
	unlink(place->key);
	tw_certificate_free(open_in(place));
	assert_int_equal(chmod(place->key, 0640), 0);
	expect_refusal(place, -EACCES, "chmod 600");
	unlink(place->key);
	assert_int_equal(symlink("/etc/hostname", place->key), 0);
	expect_refusal(place, -ELOOP, "cannot read");
	unlink(place->key);
	assert_int_equal(mkfifo(place->key, 0600), 0);
	expect_refusal(place, -EINVAL, "no PEM file");
}

static void write_locked_key(const char *path)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(PEM_write_PKCS8PrivateKey(file, key, EVP_aes_128_cbc(), "word", 4, NULL, NULL));
	fclose(file);
	EVP_PKEY_free(key);
}

/* The operator's own: any key that TLS takes; what does not fit together is told. */
static void test_given(void **state)
{
	struct place *place = *state, other;
	struct tw_certificate *certificate, *ours;
	struct tw_certificate_options options = {
		.folder = "/nonexistent",
		.certificate = place->certificate,
		.key = place->key,
	};
	void *there = NULL;

	ours = open_in(place);
	chmod(place->key, 0640);
	assert_int_equal(tw_certificate_open(&options, &certificate, place->message), 0);
	assert_string_equal(tw_certificate_pin(certificate), tw_certificate_pin(ours));
	tw_certificate_free(certificate);
	tw_certificate_free(ours);
	chmod(place->key, 0644);
	assert_int_equal(tw_certificate_open(&options, &certificate, place->message), -EACCES);
	chmod(place->key, 0600);
	setup(&there);
	other = *(struct place *)there;
	tw_certificate_free(open_in(there));
	options.key = other.key;
	assert_int_equal(tw_certificate_open(&options, &certificate, place->message), -EINVAL);
	assert_non_null(strstr(place->message, "is not that of the certificate"));
	write_locked_key(other.key);
	assert_int_equal(tw_certificate_open(&options, &certificate, place->message), -EINVAL);
	options.key = "/nonexistent/key";
	assert_int_equal(tw_certificate_open(&options, &certificate, place->message), -ENOENT);
	assert_non_null(strstr(place->message, "/nonexistent/key"));
	options.key = NULL;
	assert_int_equal(tw_certificate_open(&options, &certificate, place->message), -EINVAL);
	teardown(&there);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_made_once_and_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_renewed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_keys, setup, teardown),
		cmocka_unit_test_setup_teardown(test_given, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
