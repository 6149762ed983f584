/* SPDX-License-Identifier: MIT
 * The daemon under test: started as an administrator would start it, told apart from its workers
 * by /proc alone, and at its end held to what it promised: no connection, no descriptor, no socket
 * file, no process left. */
#include <poll.h>
#include <stdarg.h>
#include <dirent.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "fdpass.h"
#include "harness.h"
#include "harness-private.h"

/* ---- start ---- */

static struct sockaddr_un unix_address(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	ensure(strlen(path) < sizeof a.sun_path, "%s: too long for a socket", path);
	memcpy(a.sun_path, path, strlen(path));
	return a;
}

/* World-writable: opend is nobody's uid 0 any more when it is ready. */
static int notify_socket(const char *path)
{
	struct sockaddr_un a = unix_address(path);
	int fd = (int)sys(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

	unlink(path);
	sys(bind(fd, (struct sockaddr *)&a, sizeof a));
	sys(chmod(path, 0666));
	return fd;
}

size_t opend_args(int instance, const char **args)
{
	/* A range for each test that may run at the same time: descriptors in flight and signals
	 * are counted per real uid. */
	unsigned first = 2140000000u + (unsigned)getpid() % 1000 * 2048 + (unsigned)instance * 1024;
	size_t n = 0;

	args[n++] = staged("opend");
	args[n++] = "--listen";
	args[n++] = instance ? at("run/socket%d", instance) : at("run/socket");
	args[n++] = "--control";
	args[n++] = instance ? at("run/control%d", instance) : at("run/control");
	args[n++] = "--policy";
	args[n++] = at("policy");
	if (is_root()) {
		args[n++] = "--user";
		args[n++] = text("%d", OPEND_UID);
		args[n++] = "--audit-user";
		args[n++] = text("%d", AUDIT_UID);
		args[n++] = "--worker-ids";
		args[n++] = text("%u-%u", first, first + 1023);
	}
	args[n] = NULL;
	return n;
}

struct opend opend_spawn(int instance, const char *const argv[])
{
	const char *suffix = instance ? text("%d", instance) : "";
	struct opend o = { .socket = at("run/socket%s", suffix),
			   .control = at("run/control%s", suffix),
			   .log = at("run/opend%s.log", suffix),
			   .idle_fds = -1 };
	char *notify = at("run/notify%s", suffix);

	o.notify = notify_socket(notify);
	fflush(NULL);
	o.pid = (pid_t)sys(fork());
	if (o.pid == 0) {
		int log = open(o.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		int nul = open("/dev/null", O_RDONLY | O_CLOEXEC);

		setenv("NOTIFY_SOCKET", notify, 1);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup2(nul, 0) == 0 && dup2(log, 1) == 1 && dup2(log, 2) == 2)
			execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return o;
}

/* A notification socket that nobody reads is full after ten messages. */
bool opend_said_ready(const struct opend *o)
{
	bool ready = false;
	char message[4096];
	ssize_t len;

	while ((len = recv(o->notify, message, sizeof message - 1, 0)) > 0) {
		message[len] = 0;
		if (!strncmp(message, "READY=1", 7) || strstr(message, "\nREADY=1"))
			ready = true;
	}
	return ready;
}

void opend_wait_ready(struct opend *o)
{
	ensure(within(20000, opend_said_ready(o) || !alive(o->pid)) && alive(o->pid),
	       "opend did not become ready");
	opend_look_at_rest(o);
}

void opend_look_at_rest(struct opend *o)
{
	pid_t all[512];

	/* The socket that told us is closed a moment later. */
	ensure(within(5000, asleep(o->pid)), "opend finds no rest");
	o->idle_fds = count_fds(o->pid);
	o->idle_supervisor_fds = count_fds(supervisor_of(o));
	o->idle_children = (int)children(o->pid, NULL, all, ELEMENTSOF(all));
}

struct opend opend_start(const char *arg, ...)
{
	const char *args[64];
	size_t n = opend_args(0, args);
	struct opend o;
	va_list ap;

	va_start(ap, arg);
	for (const char *a = arg; a; a = va_arg(ap, const char *)) {
		ensure(n < ELEMENTSOF(args) - 1, "too many arguments");
		args[n++] = text("%s", a);
	}
	va_end(ap);
	args[n] = NULL;
	o = opend_spawn(0, args);
	opend_wait_ready(&o);
	return o;
}

/* ---- who works for it ---- */

static size_t of_role(const struct opend *o, uid_t uid, bool lender, pid_t *ret, size_t max)
{
	pid_t all[512];
	size_t n = children(o->pid, "opend-worker", all, ELEMENTSOF(all)), found = 0;

	for (size_t i = 0; i < n; i++) {
		char *caps = proc_status(all[i], "CapPrm"), *ids = proc_status(all[i], "Uid");
		unsigned real, effective;

		if (!caps || !ids || sscanf(ids, "%u %u", &real, &effective) != 2)
			continue;
		if ((strtoull(caps, NULL, 16) != 0) == lender &&
		    (uid == (uid_t)-1 || effective == uid) && found < max)
			ret[found++] = all[i];
	}
	return found;
}

size_t workers(const struct opend *o, uid_t uid, pid_t *ret, size_t max)
{
	return of_role(o, uid, false, ret, max);
}

size_t lenders(const struct opend *o, uid_t uid, pid_t *ret, size_t max)
{
	return of_role(o, uid, true, ret, max);
}

pid_t supervisor_of(const struct opend *o)
{
	pid_t found[64], first = 0;
	/* comm holds so much of the name. Who is being born has it as well, until it is executed.
	 */
	size_t n = children(o->pid, "opend-superviso", found, ELEMENTSOF(found));

	for (size_t i = 0; i < n; i++)
		if (!first || found[i] < first)
			first = found[i];
	ensure(n > 0, "no supervisor");
	return first;
}

pid_t only_worker(const struct opend *o, uid_t uid)
{
	pid_t found[8];
	size_t n = workers(o, uid, found, ELEMENTSOF(found));

	ensure(n == 1, "uid %u has %zu workers", uid, n);
	return found[0];
}

/* ---- the control socket ---- */

int control(const struct opend *o, const char *word, char **ret_text)
{
	struct sockaddr_un a = unix_address(o->control);
	_cleanup_close_ int fd = (int)sys(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	_cleanup_close_ int answer = -1;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int32_t status;
	size_t n_fds;

	sys(connect(fd, (struct sockaddr *)&a, sizeof a));
	sys(send(fd, word, strlen(word), MSG_NOSIGNAL));
	ensure(poll(&p, 1, (int)patience(20000)) == 1, "no answer to %s", word);
	opend_said_ready(o);
	ensure(fdpass_recv(fd, &status, sizeof status, &answer, 1, &n_fds) == sizeof status &&
		       n_fds == 1,
	       "no answer to %s", word);
	if (ret_text)
		*ret_text = slurp(answer, NULL);
	return status;
}

int reload(const struct opend *o)
{
	return control(o, "reload", NULL);
}

/* ---- the end ---- */

/* Sockets that were accepted carry the name of the one that listened, so the kernel's own list
 * shows a connection that anybody still holds, or has in flight. */
static size_t sockets(const char *name, bool listening)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/net/unix", "re");
	size_t n = 0, len = strlen(name);
	char line[512];

	ensure(f, "/proc/net/unix: %s", strerror(errno));
	while (fgets(line, sizeof line, f)) {
		unsigned flags;
		char *path = strchr(line, '/');

		if (!path || strncmp(path, name, len) || path[len] != '\n')
			continue;
		ensure(sscanf(line, "%*s %*x %*x %x", &flags) == 1, "%s", line);
		n += listening == !!(flags & 0x10000 /* listens */);
	}
	return n;
}

size_t opend_connections(const struct opend *o)
{
	return sockets(o->socket, false);
}

bool listens(const char *path)
{
	return sockets(path, true) > 0;
}

/* The name of a file in TREE/data that the process still has open, or NULL. */
static char *open_data(pid_t pid)
{
	DIR *d = opendir(text("/proc/%d/fd", pid));
	char *found = NULL;

	for (struct dirent *e; d && (e = readdir(d));) {
		char name[4096];
		ssize_t len = readlinkat(dirfd(d), e->d_name, name, sizeof name - 1);

		if (len <= 0)
			continue;
		name[len] = 0;
		if (!strncmp(name, at("data"), strlen(at("data"))))
			found = text("%s", name);
	}
	if (d)
		closedir(d);
	return found;
}

static char *any_open_data(const struct opend *o)
{
	pid_t all[512];
	size_t n = children(o->pid, NULL, all, ELEMENTSOF(all));
	char *found = open_data(o->pid);

	for (size_t i = 0; i < n && !found; i++)
		found = open_data(all[i]);
	return found;
}

/* Descriptors of opend beyond those it began with and those of its children: each has a socket
 * downwards, a pipe upwards, the end of its audit pipe and a pidfd. */
static int surplus(const struct opend *o)
{
	pid_t all[512];
	int n = (int)children(o->pid, NULL, all, ELEMENTSOF(all));

	return count_fds(o->pid) - o->idle_fds - 4 * (n - o->idle_children);
}

/* The supervisor has a pidfd of each that it bore. */
static int supervisor_surplus(const struct opend *o)
{
	pid_t all[512];
	int n = (int)children(o->pid, NULL, all, ELEMENTSOF(all));

	return count_fds(supervisor_of(o)) - o->idle_supervisor_fds - (n - o->idle_children);
}

void opend_check_idle(struct opend *o)
{
	char *leaked;

	ensure(alive(o->pid), "opend died");
	ensure(within(5000, opend_connections(o) == 0),
	       "%zu connections stay though no client is left", opend_connections(o));
	ensure(within(5000, !(leaked = any_open_data(o))), "a descriptor of %s leaked", leaked);
	ensure(o->idle_fds < 0 || within(5000, surplus(o) == 0),
	       "opend has %d descriptors more than its workers need", surplus(o));
	ensure(o->idle_fds < 0 || within(5000, supervisor_surplus(o) == 0),
	       "the supervisor has %d descriptors more than its children need",
	       supervisor_surplus(o));
}

/* Nothing must be left of what this test started: orphans are our children. */
void no_process_left(void)
{
	bool gone = within(5000, waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
	pid_t left[8];
	size_t n = children(getpid(), NULL, left, ELEMENTSOF(left));

	ensure(gone, "%zu processes are left, one is %d (%s)", n, n ? left[0] : 0,
	       n ? proc_status(left[0], "Name") : "gone");
}

void opend_stop(struct opend *o)
{
	int64_t began;
	int status;

	opend_check_idle(o);
	began = now_msec();
	sys(kill(o->pid, SIGTERM));
	ensure(within(10000, waitpid(o->pid, &status, WNOHANG) == o->pid),
	       "SIGTERM did not end it");
	ensure(now_msec() - began < patience(5000), "SIGTERM took %lld ms",
	       (long long)(now_msec() - began));
	ensure(WIFEXITED(status) && (WEXITSTATUS(status) == 0 ||
				     (o->traced && WEXITSTATUS(status) == SANITIZER_EXIT)),
	       "it ended with status %#x", (unsigned)status);
	ensure(o->activated || access(o->socket, F_OK) < 0, "%s was left behind", o->socket);
	o->notify = close_fd(o->notify);
	no_process_left();
}
