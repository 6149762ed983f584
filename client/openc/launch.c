/* SPDX-License-Identifier: MIT
 * openc launch: a command with an opend of its own, on a socketpair. openc waits for both, because
 * in a container nobody else may; it hands the signals that are meant for the command on, and ends
 * as the command ended. opend ends when the last copy of the command's end is closed. It is in a
 * process group of its own, or ^C for the command would end it too. */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "cli.h"

enum { PATIENCE = 2000 }; /* ms for opend to end after the command */

static const struct option options[] = {
	{ "policy", required_argument, NULL, 'p' },
	{ NULL, 0, NULL, 0 },
};

/* Tries `dir`/rest for the directory that openc itself is in. Returns only when that failed. */
static void exec_beside(const char *rest, char **argv)
{
	char path[PATH_MAX + 32];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);
	char *slash;

	if (n <= 0)
		return;
	path[n] = 0;
	slash = strrchr(path, '/');
	if (!slash)
		return;
	strcpy(slash + 1, rest);
	execv(path, argv);
}

/* The process that becomes opend. Tells its errno through `trouble` when it cannot. */
static void become_opend(int sock, const char *policy, int trouble)
{
	char number[16], name[] = "opend", fd_option[] = "--private-fd", p_option[] = "--policy";
	_cleanup_free_ char *copy = strdup(policy);
	char *argv[] = { name, fd_option, number, p_option, copy, NULL };

	snprintf(number, sizeof number, "%d", sock);
	setpgid(0, 0);
	exec_beside("opend", argv);
	exec_beside("../sbin/opend", argv);
	execvp("opend", argv);
	if (write(trouble, &errno, sizeof errno) < 0)
		complain("cannot start opend");
}

/* Returns its pid once it runs, or -errno. */
static pid_t start_opend(int theirs, int ours, const char *policy)
{
	_cleanup_close_ int hear = -1, tell = -1;
	int ends[2], error = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	hear = ends[0];
	tell = ends[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		close_fd(ours);
		become_opend(theirs, policy, tell);
		_exit(EXIT_OWN);
	}
	tell = close_fd(tell);
	if (read(hear, &error, sizeof error) != sizeof error)
		return pid;
	waitpid(pid, NULL, 0);
	return -error;
}

/* ---- the command ---- */

static const int forwarded[] = { SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
static volatile sig_atomic_t command;

static void forward(int sig)
{
	kill(command, sig);
}

/* The terminal sends SIGINT and SIGQUIT to the command as well: what they mean is its affair. */
static void set_signals(void)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct sigaction pass_on = { .sa_handler = forward, .sa_flags = SA_RESTART };

	sigaction(SIGINT, &ignore, NULL);
	sigaction(SIGQUIT, &ignore, NULL);
	for (size_t i = 0; i < ELEMENTSOF(forwarded); i++)
		sigaction(forwarded[i], &pass_on, NULL);
}

/* Signals wait until there is a command to hand them to. Returns its pid, or -errno. */
static pid_t start_command(char **argv)
{
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		_exit(run_command(argv));
	}
	if (pid > 0) {
		command = pid;
		set_signals();
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return pid < 0 ? -errno : pid;
}

/* Ends as the command did: with its status, or by its signal (without a second core). */
static int end_like(int status)
{
	const struct rlimit no_core = { 0, 0 };

	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	setrlimit(RLIMIT_CORE, &no_core);
	signal(WTERMSIG(status), SIG_DFL);
	raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

/* opend serves on while somebody whom the command left behind holds the connection. */
static void reap_opend(pid_t pid)
{
	_cleanup_close_ int fd = pidfd_open(pid, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd >= 0 && poll(&p, 1, PATIENCE) > 0)
		waitpid(pid, NULL, 0);
}

static const char *parse(int argc, char **argv, const char **ret_policy)
{
	int option;

	*ret_policy = NULL;
	while ((option = getopt_long(argc, argv, "+", options, NULL)) >= 0) {
		if (option != 'p')
			return "unknown option";
		*ret_policy = optarg;
	}
	if (!*ret_policy)
		return "which policy? --policy PATH";
	return optind < argc ? NULL : "which command?";
}

static int run(const char *policy, char **argv)
{
	_cleanup_close_ int theirs = -1, ours = -1;
	char address[16];
	int pair[2], status;
	pid_t opend, pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
		return -errno;
	theirs = pair[0];
	ours = pair[1];
	opend = start_opend(theirs, ours, policy);
	if (opend < 0)
		return opend;
	theirs = close_fd(theirs);
	snprintf(address, sizeof address, "fd:%d", ours);
	if (setenv("OPENC_SOCKET", address, 1) < 0)
		return -errno;
	pid = start_command(argv);
	ours = close_fd(ours);
	if (pid < 0)
		return pid;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	reap_opend(opend);
	return end_like(status);
}

int command_launch(const struct cli *cli, int argc, char **argv)
{
	const char *policy, *problem;
	int r;

	(void)cli;
	problem = parse(argc, argv, &policy);
	if (problem) {
		usage("launch", problem);
		return EXIT_OWN;
	}
	r = run(policy, argv + optind);
	if (r < 0) {
		complain("cannot start opend: %s", strerror(-r));
		return EXIT_OWN;
	}
	return r;
}
