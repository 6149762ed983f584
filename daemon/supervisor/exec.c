/* SPDX-License-Identifier: MIT
 * From fork to exec, for opend and opend-supervisor. A child gets the descriptors that it is meant
 * to have, an empty environment and default signals, and nothing else. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include "supervisor.h"

void child_exec(int exe, int null_fd, const int *fds, size_t n, char *const argv[],
		bool keep_stderr)
{
	enum { FIRST = 3, HIGH = 64, FDS_MAX = 16 };
	char stream[64], *const none[] = { NULL }, *const journal[] = { stream, NULL };
	const char *value = getenv("JOURNAL_STREAM");
	char *const *env = none;
	int high[FDS_MAX];
	sigset_t empty;

	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	signal(SIGALRM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	/* Out of the way first, so that no dup2 hits one that is still needed. */
	exe = fcntl(exe, F_DUPFD_CLOEXEC, HIGH);
	null_fd = fcntl(null_fd, F_DUPFD_CLOEXEC, HIGH);
	for (size_t i = 0; i < n; i++)
		high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH);
	for (size_t i = 0; i < n; i++)
		dup2(high[i], FIRST + (int)i);
	dup2(null_fd, STDIN_FILENO);
	dup2(null_fd, STDOUT_FILENO);
#ifdef OPEND_WIDE_FILTER
	keep_stderr = true; /* for what the sanitizers have to say */
	env = environ;
#endif
	if (!keep_stderr)
		dup2(null_fd, STDERR_FILENO);
	else if (value &&
		 snprintf(stream, sizeof stream, "JOURNAL_STREAM=%s", value) < (int)sizeof stream)
		env = env == none ? journal : env;
	exe = dup3(exe, FIRST + (int)n, O_CLOEXEC);
	syscall(SYS_close_range, FIRST + (unsigned)n + 1, ~0u, 0);
	syscall(SYS_execveat, exe, "", argv, env, AT_EMPTY_PATH);
	_exit(126);
}
