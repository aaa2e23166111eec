#include "cli/screen.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[0m\033[?25h\033[?1049l"

static const int crashes[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
#define CRASHES (sizeof crashes / sizeof *crashes)

static struct {
	struct termios before;
	sigset_t mask_before;
	int signal_fd;
	volatile sig_atomic_t taken;
	bool gone;      /* nothing can be written any more */
	char typed[64]; /* keys that were read together */
} screen = { .signal_fd = -1 };

/* Safe in a signal handler. */
static void put(const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t count = write(STDOUT_FILENO, bytes, length);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0) {
			screen.gone = true;
			return;
		}
		bytes += count;
		length -= (size_t)count;
	}
}

static void take(void)
{
	struct termios raw = screen.before;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
	put(ENTER, sizeof ENTER - 1);
	screen.taken = 1;
}

static void give_back(void)
{
	if (!screen.taken)
		return;
	screen.taken = 0;
	put(LEAVE, sizeof LEAVE - 1);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &screen.before);
}

/* Its disposition is the default again: the same signal then ends the program as it would have. */
static void on_crash(int number)
{
	give_back();
	raise(number);
}

int tw_screen_open(void)
{
	struct sigaction crash = { .sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND };
	sigset_t signals;

	assert(screen.signal_fd < 0);
	if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &screen.before))
		return -ENOTTY;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGQUIT);
	sigaddset(&signals, SIGTSTP);
	sigaddset(&signals, SIGWINCH);
	screen.signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (screen.signal_fd < 0)
		return -errno;
	sigprocmask(SIG_BLOCK, &signals, &screen.mask_before);
	for (size_t i = 0; i < CRASHES; i++)
		sigaction(crashes[i], &crash, NULL);
	screen.gone = false;
	/* exit() from anywhere below, such as a library's, is an end too. */
	atexit(give_back);
	take();
	return 0;
}

void tw_screen_close(void)
{
	if (screen.signal_fd < 0)
		return;
	give_back();
	close(screen.signal_fd);
	screen.signal_fd = -1;
	sigprocmask(SIG_SETMASK, &screen.mask_before, NULL);
}

void tw_screen_show(const char *text)
{
	char *frame = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&frame, &length);

	if (!to)
		return;
	fputs("\033[H", to);
	while (*text) {
		size_t line = strcspn(text, "\n");

		fwrite(text, 1, line, to);
		/* The rest of the line before is wiped; no break after the last, which would
		 * scroll. */
		fputs("\033[K", to);
		text += line + (text[line] == '\n');
		if (*text)
			fputs("\r\n", to);
	}
	fputs("\033[J", to);
	fclose(to);
	put(frame, length);
	free(frame);
}

/* Ctrl-Z: the terminal is the shell's until the program goes on. */
static void pause_program(void)
{
	give_back();
	raise(SIGSTOP);
	take();
}

static int read_signal(void)
{
	struct signalfd_siginfo info;

	if (read(screen.signal_fd, &info, sizeof info) != sizeof info)
		return TW_KEY_NONE;
	if (info.ssi_signo == SIGTSTP) {
		pause_program();
		return TW_KEY_RESIZED;
	}
	return info.ssi_signo == SIGWINCH ? TW_KEY_RESIZED : TW_KEY_QUIT;
}

static const struct {
	const char *bytes;
	enum tw_screen_key key;
} sequences[] = {
	{ "\033[A", TW_KEY_UP },   { "\033OA", TW_KEY_UP },       { "\033[B", TW_KEY_DOWN },
	{ "\033OB", TW_KEY_DOWN }, { "\033[5~", TW_KEY_PAGE_UP }, { "\033[6~", TW_KEY_PAGE_DOWN },
};

/* Takes one key from the front of what has been typed. An escape sequence that is none of ours is
 * dropped whole. */
static int next_key(void)
{
	size_t length = 1;
	int key = TW_KEY_CHARACTER + (unsigned char)screen.typed[0];

	if (screen.typed[0] == '\033') {
		key = TW_KEY_NONE;
		length = strcspn(screen.typed + 1, "\033") + 1;
		for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++) {
			if (strncmp(screen.typed, sequences[i].bytes, strlen(sequences[i].bytes)) !=
			    0)
				continue;
			key = sequences[i].key;
			length = strlen(sequences[i].bytes);
		}
	}
	memmove(screen.typed, screen.typed + length, strlen(screen.typed + length) + 1);
	return key;
}

static int read_key(void)
{
	ssize_t length = read(STDIN_FILENO, screen.typed, sizeof screen.typed - 1);

	if (length <= 0)
		return TW_KEY_QUIT;
	screen.typed[length] = '\0';
	/* A NUL (Ctrl-Space) would end the text: it is no key of ours. */
	return screen.typed[0] ? next_key() : TW_KEY_NONE;
}

int tw_screen_key(int timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = screen.signal_fd, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
	};

	if (screen.gone)
		return TW_KEY_QUIT;
	if (screen.typed[0])
		return next_key();
	if (poll(fds, 2, timeout_ms) <= 0)
		return TW_KEY_NONE;
	if (fds[0].revents)
		return read_signal();
	return read_key();
}
