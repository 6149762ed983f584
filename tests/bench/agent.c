/* SPDX-License-Identifier: MIT
 * Processes: agents, their servers, and what /proc tells of either. Whoever is started here ends
 * with the process that started it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "bench.h"

struct world world;

void die(const char *fmt, ...)
{
	va_list ap;

	fputs("bench: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(2);
}

char *at(const char *fmt, ...)
{
	char *name, *path;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&name, fmt, ap) < 0 || asprintf(&path, "%s/%s", world.tree, name) < 0)
		die("no memory");
	va_end(ap);
	free(name);
	return path;
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void sleep_ms(unsigned ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

void pin(bool to_one)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (!to_one || i == world.cpu)
			CPU_SET(i, &cpus);
	if (sched_setaffinity(0, sizeof cpus, &cpus) < 0)
		die("sched_setaffinity: %s", strerror(errno));
}

void become(uid_t uid)
{
	if (!world.root)
		return;
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		die("cannot become uid %u: %s", uid, strerror(errno));
	/* A change of ids takes it away. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

pid_t fork_bound(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* ---- agents ---- */

struct order {
	size_t n, slices;
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* In slices so short that most of them are not interrupted by whoever else wants the processor: the
 * median slice tells what the work takes, the mean would tell how busy the machine is. */
static double work_through(const struct work *w, void *state, const struct order *o)
{
	size_t each = o->n / o->slices / w->granule * w->granule;
	double slice[SLICES_MAX];

	for (size_t i = 0; i < o->slices; i++) {
		uint64_t start = now_ns();

		w->block(state, each);
		slice[i] = (double)(now_ns() - start);
		if (w->after)
			w->after(state, each);
	}
	qsort(slice, o->slices, sizeof *slice, compare);
	return slice[o->slices / 2] / (double)each * (double)o->n;
}

static void obey(const struct work *w, const struct place *p, int fd)
{
	pid_t server = 0;
	void *state = w->begin(p, &server);
	struct order o;

	if (send(fd, &server, sizeof server, 0) < 0)
		exit(2);
	while (recv(fd, &o, sizeof o, 0) == sizeof o) {
		uint64_t cpu = cpu_ns_of(0);
		struct sample s = { .wall_ns = work_through(w, state, &o) };

		s.cpu_ns = (double)(cpu_ns_of(0) - cpu);
		if (send(fd, &s, sizeof s, 0) < 0)
			break;
	}
	exit(0);
}

struct agent agent_start(const struct work *w, const struct place *p, uid_t uid, bool pinned)
{
	struct agent a;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair: %s", strerror(errno));
	a.pid = fork_bound();
	if (a.pid == 0) {
		close(pair[0]);
		pin(pinned);
		become(uid);
		obey(w, p, pair[1]);
	}
	close(pair[1]);
	a.fd = pair[0];
	if (recv(a.fd, &a.server, sizeof a.server, 0) != sizeof a.server)
		die("an agent ended at its start");
	return a;
}

void agent_go(const struct agent *a, size_t n, size_t slices)
{
	const struct order o = { n, slices };

	if (send(a->fd, &o, sizeof o, MSG_NOSIGNAL) < 0)
		die("an agent ended: %s", strerror(errno));
}

struct sample agent_done(const struct agent *a)
{
	struct sample s;

	if (recv(a->fd, &s, sizeof s, 0) != sizeof s)
		die("an agent ended at its work");
	return s;
}

/* ---- servers of agents ---- */

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof a.sun_path)
		die("%s: too long for a socket", path);
	memcpy(a.sun_path, path, strlen(path));
	return a;
}

int listen_on(const char *path)
{
	struct sockaddr_un a = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 64) < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

int connect_to(const char *path)
{
	struct sockaddr_un a = address_of(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket: %s", strerror(errno));
	for (int i = 0; connect(fd, (struct sockaddr *)&a, sizeof a) < 0; i++) {
		if (i == 1000 || (errno != ENOENT && errno != ECONNREFUSED))
			die("%s: %s", path, strerror(errno));
		sleep_ms(10);
	}
	return fd;
}

pid_t serve_from(int consume_listener, void (*serve)(int fd))
{
	pid_t pid = fork_bound();

	if (pid == 0) {
		serve(accept4(consume_listener, NULL, NULL, SOCK_CLOEXEC));
		exit(0);
	}
	close(consume_listener);
	return pid;
}

/* ---- /proc ---- */

static size_t read_proc(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	if (pid)
		snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	else
		snprintf(path, sizeof path, "/proc/self/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, size - 1);
	if (fd >= 0)
		close(fd);
	buf[n < 0 ? 0 : n] = 0;
	return n < 0 ? 0 : (size_t)n;
}

/* The scheduler's own count: nanoseconds, not ticks. */
uint64_t cpu_ns_of(pid_t pid)
{
	char buf[128];

	if (!pid) {
		struct timespec t;

		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
		return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	}
	return read_proc(pid, "schedstat", buf, sizeof buf) ? strtoull(buf, NULL, 10) : 0;
}

static long field(const char *text, const char *name)
{
	const char *p = strstr(text, name);

	return p ? strtol(p + strlen(name), NULL, 10) : -1;
}

long pss_kib_of(pid_t pid)
{
	char buf[4096];

	return read_proc(pid, "smaps_rollup", buf, sizeof buf) ? field(buf, "\nPss:") : -1;
}

uid_t euid_of(pid_t pid)
{
	char buf[4096], *p;
	unsigned real, effective;

	if (!read_proc(pid, "status", buf, sizeof buf) || !(p = strstr(buf, "\nUid:")) ||
	    sscanf(p + 5, "%u %u", &real, &effective) != 2)
		return (uid_t)-1;
	return effective;
}

static pid_t parent_of(pid_t pid)
{
	char buf[4096];

	return read_proc(pid, "status", buf, sizeof buf) ? (pid_t)field(buf, "\nPPid:") : 0;
}

size_t descendants(pid_t root, const char *comm, pid_t *ret, size_t max)
{
	DIR *d = opendir("/proc");
	size_t n = 0;

	for (struct dirent *e; d && n < max && (e = readdir(d));) {
		pid_t pid = (pid_t)atoi(e->d_name), up = pid;
		char name[32];

		if (pid <= 0 || !read_proc(pid, "comm", name, sizeof name))
			continue;
		name[strcspn(name, "\n")] = 0;
		if (strcmp(name, comm))
			continue;
		while (up > 1 && up != root)
			up = parent_of(up);
		if (up == root)
			ret[n++] = pid;
	}
	if (d)
		closedir(d);
	return n;
}
