/* SPDX-License-Identifier: MIT
 * Processes: clients of any identity, programs, and what /proc tells about either. */
#include <ctype.h>
#include <dirent.h>
#include <grp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "harness.h"
#include "harness-private.h"

/* ---- clients ---- */

/* Real, effective and saved, and the groups: nothing of root stays. */
static void become(const struct who *who)
{
	if (!is_root()) {
		ensure(who->uid == getuid(), "an ordinary user cannot be uid %u", who->uid);
		return;
	}
	sys(setgroups(who->n_groups, who->groups));
	sys(setresgid(who->gid, who->gid, who->gid));
	sys(setresuid(who->uid, who->uid, who->uid));
}

static void run_client(const struct who *who, client_fn *fn, void *arg)
{
	int before;

	become(who);
	before = count_fds(getpid());
	fn(arg);
	ensure(count_fds(getpid()) == before, "the client leaked descriptors: %d, were %d",
	       count_fds(getpid()), before);
	_exit(EXIT_SUCCESS);
}

struct client client_start(struct who who, client_fn *fn, void *arg)
{
	int report[2];
	pid_t pid;

	sys(pipe2(report, O_CLOEXEC));
	fflush(NULL);
	pid = (pid_t)sys(fork());
	if (pid == 0) {
		close_fd(report[0]);
		harness_report = report[1];
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run_client(&who, fn, arg);
	}
	close_fd(report[1]);
	return (struct client){ .pid = pid, .report = report[0] };
}

void client_wait(struct client *c)
{
	char why[4096];
	size_t len = 0;
	ssize_t got;
	int status;

	while (len < sizeof why - 1 && (got = read(c->report, why + len, sizeof why - 1 - len)) > 0)
		len += (size_t)got;
	why[len] = 0;
	c->report = close_fd(c->report);
	sys(waitpid(c->pid, &status, 0));
	ensure(len == 0, "client %d: %s", c->pid, why);
	ensure(WIFEXITED(status) && WEXITSTATUS(status) == 0, "client %d ended with status %#x",
	       c->pid, (unsigned)status);
}

void as(struct who who, client_fn *fn, void *arg)
{
	struct client c = client_start(who, fn, arg);

	client_wait(&c);
}

/* ---- programs ---- */

static int wait_at_most(pid_t pid, int msec)
{
	int status;

	if (!within(msec, waitpid(pid, &status, WNOHANG) == pid)) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

struct program run(const char *const argv[])
{
	_cleanup_close_ int out = (int)sys(memfd_create("stdout", MFD_CLOEXEC));
	_cleanup_close_ int err = (int)sys(memfd_create("stderr", MFD_CLOEXEC));
	struct program p = { 0 };
	pid_t pid;

	fflush(NULL);
	pid = (pid_t)sys(fork());
	if (pid == 0) {
		int nul = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (dup2(nul, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2)
			execvp(argv[0], (char *const *)argv);
		dprintf(2, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	p.status = wait_at_most(pid, 20000);
	p.out = slurp(out, &p.out_len);
	p.err = slurp(err, &p.err_len);
	return p;
}

/* ---- /proc ---- */

int count_fds(pid_t pid)
{
	DIR *d = opendir(text("/proc/%d/fd", pid));
	int n = 0;

	if (!d)
		return -1;
	for (struct dirent *e; (e = readdir(d));)
		n += isdigit((unsigned char)e->d_name[0]) ? 1 : 0;
	closedir(d);
	return pid == getpid() ? n - 1 : n;
}

char *proc_status(pid_t pid, const char *field)
{
	_cleanup_fclose_ FILE *f = fopen(text("/proc/%d/status", pid), "re");
	size_t len = strlen(field);
	char line[4096];

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, field, len) && line[len] == ':') {
			char *value = line + len + 1 + strspn(line + len + 1, " \t");

			value[strcspn(value, "\n")] = 0;
			return text("%s", value);
		}
	return NULL;
}

uint64_t proc_hex(pid_t pid, const char *field)
{
	char *value = proc_status(pid, field);

	ensure(value, "process %d has no %s", pid, field);
	return strtoull(value, NULL, 16);
}

struct stat_line {
	char comm[32], state;
	pid_t parent;
	unsigned long utime, stime;
};

static bool read_stat(pid_t pid, struct stat_line *ret)
{
	_cleanup_fclose_ FILE *f = fopen(text("/proc/%d/stat", pid), "re");
	int ppid;

	*ret = (struct stat_line){ 0 };
	if (!f || fscanf(f, "%*d (%31[^)]) %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
			 ret->comm, &ret->state, &ppid, &ret->utime, &ret->stime) != 5)
		return false;
	ret->parent = ppid;
	return true;
}

int64_t proc_cpu_msec(pid_t pid)
{
	struct stat_line st;

	ensure(read_stat(pid, &st), "process %d is gone", pid);
	return (int64_t)(st.utime + st.stime) * 1000 / sysconf(_SC_CLK_TCK);
}

bool asleep(pid_t pid)
{
	struct stat_line st;

	return read_stat(pid, &st) && st.state == 'S';
}

bool stopped(pid_t pid)
{
	struct stat_line st;

	return read_stat(pid, &st) && st.state == 'T';
}

bool alive(pid_t pid)
{
	struct stat_line st;

	return read_stat(pid, &st) && st.state != 'Z' && st.state != 'X';
}

size_t children(pid_t pid, const char *comm, pid_t *ret, size_t max)
{
	DIR *d = opendir("/proc");
	size_t n = 0;

	ensure(d, "/proc: %s", strerror(errno));
	for (struct dirent *e; (e = readdir(d));) {
		pid_t child = (pid_t)atoi(e->d_name);
		struct stat_line st;

		if (child > 0 && read_stat(child, &st) && st.parent == pid && st.state != 'Z' &&
		    (!comm || !strcmp(comm, st.comm)) && n < max)
			ret[n++] = child;
	}
	closedir(d);
	return n;
}
