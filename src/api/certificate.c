#include "api/certificate.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/secret.h"
#include "netio/sockaddr.h"

#define FILE_LONGEST 262144
#define LIFE (3653L * 86400)
#define RENEWED_BEFORE (90L * 86400)
#define ADDRESSES 16
#define NAMES_TEXT 2048

struct tw_certificate {
	SSL_CTX *tls;
	X509 *x509; /* owned by @tls */
	char pin[TW_CERTIFICATE_PIN];
};

struct work {
	const struct tw_certificate_options *options;
	char *message;
	char certificate_path[PATH_MAX], key_path[PATH_MAX];
	bool made; /* by us: the files are ours */
	EVP_PKEY *key;
	STACK_OF(X509) * chain; /* the server's own first */
};

static int complain(struct work *work, int r, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int complain(struct work *work, int r, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(work->message, TW_CERTIFICATE_MESSAGE, format, arguments);
	va_end(arguments);
	ERR_clear_error();
	return r;
}

static int no_memory(struct work *work)
{
	return complain(work, -ENOMEM, "no memory for the certificate of the API");
}

/* Who may read a key: ours nobody else, the operator's perhaps a group. */
static bool is_open_to_others(const struct work *work, const struct stat *status)
{
	return status->st_mode & (work->made ? 077 : 007);
}

/* The whole of a file. -ENOENT without a word where it is ours to make. */
static int read_file(struct work *work, const char *path, bool secret, BIO **ret)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (work->made ? O_NOFOLLOW : 0));
	char *bytes = NULL;
	struct stat status;
	ssize_t length = -1;
	int r = 0;

	if (fd < 0 && errno == ENOENT && work->made)
		return -ENOENT;
	if (fd < 0 || fstat(fd, &status)) {
		r = complain(work, -errno, "cannot read %s: %s", path, strerror(errno));
	} else if (!S_ISREG(status.st_mode) || status.st_size > FILE_LONGEST) {
		r = complain(work, -EINVAL, "%s is no PEM file", path);
	} else if (secret && is_open_to_others(work, &status)) {
		r = complain(work, -EACCES,
			     "others than its owner can read the key %s: chmod 600 it, and think "
			     "about a new one",
			     path);
	} else {
		bytes = malloc(FILE_LONGEST);
		length = bytes ? read(fd, bytes, FILE_LONGEST) : -1;
		*ret = length >= 0 ? BIO_new(BIO_s_secmem()) : NULL;
		if (!*ret || (length && BIO_write(*ret, bytes, (int)length) != length))
			r = complain(work, -EIO, "cannot read %s", path);
	}
	if (bytes && length > 0)
		tw_wipe(bytes, (size_t)length);
	free(bytes);
	if (fd >= 0)
		close(fd);
	return r;
}

/* Instead of a question at the terminal. */
static int no_password(char *buffer, int size, int writing, void *context)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)context;
	return -1;
}

static int read_key(struct work *work)
{
	BIO *bio = NULL;
	int r = read_file(work, work->key_path, true, &bio);

	if (!r) {
		work->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
		if (!work->key)
			r = complain(work, -EINVAL,
				     "%s holds no private key without a password in PEM form",
				     work->key_path);
	}
	BIO_free(bio);
	return r;
}

static int read_chain(struct work *work)
{
	BIO *bio = NULL;
	X509 *x509;
	int r = read_file(work, work->certificate_path, false, &bio);

	while (!r && (x509 = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
		if (!sk_X509_push(work->chain, x509)) {
			X509_free(x509);
			r = no_memory(work);
		}
	}
	BIO_free(bio);
	ERR_clear_error();
	if (!r && sk_X509_num(work->chain) == 0)
		r = complain(work, -EINVAL, "%s holds no certificate in PEM form",
			     work->certificate_path);
	return r;
}

/* By way of a file beside it: what is there is whole. */
static int write_file(struct work *work, const char *path, mode_t mode, BIO *content)
{
	char beside[PATH_MAX + 8], *bytes = NULL;
	long length = BIO_get_mem_data(content, &bytes);
	int fd, r = 0;

	snprintf(beside, sizeof beside, "%s.new", path);
	unlink(beside);
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return complain(work, -errno, "cannot make %s: %s", path, strerror(errno));
	errno = EIO;
	if (write(fd, bytes, (size_t)length) != length || fsync(fd) || rename(beside, path))
		r = complain(work, -errno, "cannot write %s: %s", path, strerror(errno));
	close(fd);
	if (r)
		unlink(beside);
	return r;
}

static int make_key(struct work *work)
{
	BIO *bio = BIO_new(BIO_s_secmem());
	int r = 0;

	work->key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	if (!bio || !work->key ||
	    !PEM_write_bio_PrivateKey(bio, work->key, NULL, NULL, 0, NULL, NULL))
		r = no_memory(work);
	if (!r)
		r = write_file(work, work->key_path, 0600, bio);
	BIO_free(bio);
	return r;
}

/* What may stand in a list of alternative names. */
static bool is_name(const char *text)
{
	size_t length = strlen(text);

	for (const char *at = text; *at; at++)
		if (!isalnum((unsigned char)*at) && !strchr(".-_", *at))
			return false;
	return length > 0 && length < 64;
}

static void add_name(char *names, const char *kind, const char *text)
{
	size_t at = strlen(names);

	snprintf(names + at, NAMES_TEXT - at, "%s%s:%s", at ? "," : "", kind, text);
}

/* "DNS:...,IP:...": what this machine is called, as far as it can be known. */
static void list_names(const struct tw_certificate_options *options, const char *host, char *names)
{
	struct tw_address addresses[ADDRESSES], external;
	unsigned count = tw_local_addresses(addresses, ADDRESSES);
	const char *outside = options->external_address;
	char text[TW_ADDRESS_TEXT];

	names[0] = '\0';
	add_name(names, "DNS", "localhost");
	if (is_name(host))
		add_name(names, "DNS", host);
	if (outside && tw_address_parse_ip(outside, &external))
		add_name(names, "IP", tw_address_format_ip(&external, text));
	else if (outside && is_name(outside))
		add_name(names, "DNS", outside);
	add_name(names, "IP", "127.0.0.1");
	add_name(names, "IP", "::1");
	for (unsigned i = 0; i < count; i++)
		if (!strchr(tw_address_format_ip(&addresses[i], text), '%'))
			add_name(names, "IP", text);
}

static bool add_extension(X509 *x509, int kind, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool added;

	X509V3_set_ctx(&context, x509, x509, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
	added = extension && X509_add_ext(x509, extension, -1);
	X509_EXTENSION_free(extension);
	return added;
}

/* A number of its own, so that browsers never meet two certificates of one number. */
static bool set_serial(X509 *x509)
{
	BIGNUM *number = BN_new();
	bool set = number && BN_rand(number, 126, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
		   BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509));

	BN_free(number);
	return set;
}

static bool fill_certificate(const struct work *work, X509 *x509)
{
	X509_NAME *subject = X509_get_subject_name(x509);
	char names[NAMES_TEXT];
	struct utsname system;
	const char *host = work->options->host_name;

	if (!host)
		host = uname(&system) == 0 ? system.nodename : "";
	list_names(work->options, host, names);
	return X509_set_version(x509, 2) && set_serial(x509) &&
	       X509_gmtime_adj(X509_getm_notBefore(x509), -86400) &&
	       X509_gmtime_adj(X509_getm_notAfter(x509), LIFE) &&
	       X509_set_pubkey(x509, work->key) &&
	       X509_NAME_add_entry_by_txt(
		       subject, "CN", MBSTRING_UTF8,
		       (const uint8_t *)(is_name(host) ? host : "tradewind server"), -1, -1, 0) &&
	       X509_set_issuer_name(x509, subject) &&
	       add_extension(x509, NID_subject_alt_name, names) &&
	       add_extension(x509, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(x509, NID_key_usage, "critical,digitalSignature") &&
	       add_extension(x509, NID_ext_key_usage, "serverAuth") &&
	       X509_sign(x509, work->key, EVP_sha256());
}

static int make_certificate(struct work *work)
{
	X509 *x509 = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	int r = 0;

	if (!x509 || !bio || !fill_certificate(work, x509) || !PEM_write_bio_X509(bio, x509) ||
	    !sk_X509_push(work->chain, x509)) {
		X509_free(x509);
		BIO_free(bio);
		return no_memory(work);
	}
	r = write_file(work, work->certificate_path, 0644, bio);
	BIO_free(bio);
	return r;
}

static void drop_chain(struct work *work)
{
	X509 *x509;

	while ((x509 = sk_X509_pop(work->chain)))
		X509_free(x509);
}

/* Whether a certificate of our own making still does. */
static bool is_good(const struct work *work)
{
	const X509 *x509 = sk_X509_value(work->chain, 0);
	time_t soon = time(NULL) + RENEWED_BEFORE;

	return x509 && X509_check_private_key(x509, work->key) == 1 &&
	       X509_cmp_time(X509_get0_notAfter(x509), &soon) > 0;
}

static int find_own(struct work *work)
{
	const char *folder = work->options->folder;
	int r;

	work->made = true;
	if (strlen(folder) + 32 > PATH_MAX)
		return complain(work, -ENAMETOOLONG, "the state folder's path is too long");
	snprintf(work->key_path, sizeof work->key_path, "%.*s/api-key.pem", PATH_MAX - 32, folder);
	snprintf(work->certificate_path, sizeof work->certificate_path, "%.*s/api-certificate.pem",
		 PATH_MAX - 32, folder);
	r = read_key(work);
	if (r == -ENOENT)
		r = make_key(work);
	if (r)
		return r;
	r = read_chain(work);
	if (r && r != -ENOENT && r != -EINVAL)
		return r;
	if (!r && is_good(work))
		return 0;
	ERR_clear_error();
	drop_chain(work);
	return make_certificate(work);
}

static int find_given(struct work *work)
{
	const struct tw_certificate_options *options = work->options;
	int r;

	if (!options->certificate || !options->key)
		return complain(work, -EINVAL,
				"--api-certificate and --api-key go together: one file each");
	if (strlen(options->certificate) >= PATH_MAX || strlen(options->key) >= PATH_MAX)
		return complain(work, -ENAMETOOLONG, "the path of a certificate is too long");
	snprintf(work->certificate_path, PATH_MAX, "%s", options->certificate);
	snprintf(work->key_path, PATH_MAX, "%s", options->key);
	r = read_key(work);
	if (!r)
		r = read_chain(work);
	if (!r && X509_check_private_key(sk_X509_value(work->chain, 0), work->key) != 1)
		r = complain(work, -EINVAL, "the key in %s is not that of the certificate in %s",
			     work->key_path, work->certificate_path);
	return r;
}

static bool compute_pin(EVP_PKEY *key, char ret[TW_CERTIFICATE_PIN])
{
	unsigned char digest[32], *text = NULL;
	int length = i2d_PUBKEY(key, &text);
	bool done = length > 0 &&
		    EVP_Digest(text, (size_t)length, digest, NULL, EVP_sha256(), NULL) == 1;

	OPENSSL_free(text);
	if (!done)
		return false;
	memcpy(ret, "sha256//", 8);
	EVP_EncodeBlock((unsigned char *)ret + 8, digest, sizeof digest);
	return true;
}

/* No tickets and no cache: every connection shows the key anew. libevent wants whole writes. */
static bool set_up(struct tw_certificate *certificate, const struct work *work)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
	STACK_OF(X509) * others;
	bool done;

	certificate->tls = tls;
	if (!tls)
		return false;
	others = sk_X509_dup(work->chain);
	sk_X509_shift(others);
	SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	done = SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) &&
	       SSL_CTX_set_num_tickets(tls, 0) &&
	       SSL_CTX_use_cert_and_key(tls, sk_X509_value(work->chain, 0), work->key, others, 1) ==
		       1 &&
	       compute_pin(work->key, certificate->pin);
	sk_X509_free(others);
	certificate->x509 = SSL_CTX_get0_certificate(tls);
	return done && certificate->x509;
}

int tw_certificate_open(const struct tw_certificate_options *options, struct tw_certificate **ret,
			char ret_message[TW_CERTIFICATE_MESSAGE])
{
	struct work work = { .options = options, .message = ret_message };
	struct tw_certificate *certificate = calloc(1, sizeof *certificate);
	int r;

	if (!certificate)
		return no_memory(&work);
	work.chain = sk_X509_new_null();
	if (!work.chain)
		r = no_memory(&work);
	else if (options->certificate || options->key)
		r = find_given(&work);
	else
		r = find_own(&work);
	if (!r && !set_up(certificate, &work))
		r = complain(&work, -EINVAL, "TLS cannot use the key in %s", work.key_path);
	if (work.chain)
		drop_chain(&work);
	sk_X509_free(work.chain);
	EVP_PKEY_free(work.key);
	if (r)
		tw_certificate_free(certificate);
	else
		*ret = certificate;
	return r;
}

void tw_certificate_free(struct tw_certificate *certificate)
{
	if (!certificate)
		return;
	SSL_CTX_free(certificate->tls);
	free(certificate);
}

const char *tw_certificate_pin(const struct tw_certificate *certificate)
{
	return certificate->pin;
}

int64_t tw_certificate_end_us(const struct tw_certificate *certificate)
{
	struct tm parts = { 0 };

	if (!ASN1_TIME_to_tm(X509_get0_notAfter(certificate->x509), &parts))
		return 0;
	return (int64_t)timegm(&parts) * 1000000;
}

bool tw_certificate_names(const struct tw_certificate *certificate, const char *host)
{
	return X509_check_host(certificate->x509, host, strlen(host), 0, NULL) == 1;
}

struct ssl_ctx_st *tw_certificate_tls(const struct tw_certificate *certificate)
{
	return certificate->tls;
}
