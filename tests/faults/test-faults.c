/* SPDX-License-Identifier: MIT
 * What if a system call fails that never does? Each call of each process, with each of some errors,
 * at its first times: one fault a run, by strace -e inject. Whatever comes of it,
 *   - nothing crashes and nobody waits for long;
 *   - nobody gets a file that he would not get without the fault, nor another one than he asked
 *     for; what is refused in vain is refused;
 *   - afterwards everything is answered as before, and nothing has leaked.
 * Which calls there are, a run without a fault finds out. BUILD/faults.txt tells what came of each.
 *
 * FAULTS=, patterns of PROCESS/CALL/ERROR/TIME, picks some: FAULTS="worker/openat2 library". Most
 * of a run is waiting, so FAULT_LANES processes share the rows, each with ids of its own. Needs
 * root and programs with the wide filter, which lets a failed call live (make check-faults). */
#include <ctype.h>
#include <fnmatch.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "tests/integration/harness.h"
#include "tests/integration/harness-private.h"

enum { TIMES = 3, CALLS_MAX = 128, ROWS_MAX = 16384, CLIENT_MS = 8000, AFTER_MS = 15000 };
/* Ids of lanes: users of opend, and worker ids above all that the harness gives. */
enum { LANES_MAX = 16, LANE_UID = 61100, LANE_IDS = 1024, LANE_FIRST = 2142100000 };

/* The processes, by how they are got hold of: a gate for what opend starts. */
static const struct target {
	const char *name;
	enum { BY_GATE, AT_START, BY_START, BY_STOP } how; /* AT_START: opend starts it at once */
} targets[] = {
	{ "worker", BY_GATE },	{ "lobby", BY_GATE },	    { "lender", BY_GATE },
	{ "audit", AT_START },	{ "supervisor", AT_START }, { "opend", BY_START },
	{ "library", BY_STOP },
};

static const struct {
	const char *name;
} errors[] = { { "EINTR" },  { "EAGAIN" }, { "ENOMEM" }, { "EMFILE" },
	       { "ENFILE" }, { "EIO" },	   { "EPERM" },	 { "ENOSPC" } };

/* Not failed: calls that do not return or never fail (brk(2) tells the old end instead, futex(2)
 * only of mistakes, and libc goes by that), the gate's own, and close(2), which closes whatever it
 * says, but not where it is not carried out. */
static const char *const spared[] = {
	"exit",	    "exit_group",      "rt_sigreturn",	  "restart_syscall", "execve", "kill",
	"brk",	    "futex",	       "close",		  "getpid",	     "gettid", "getppid",
	"getuid",   "geteuid",	       "getgid",	  "getegid",	     "umask",  "setfsuid",
	"setfsgid", "set_tid_address", "set_robust_list",
};

/* With sanitizers, these are theirs, who do not live without. */
static const char *const spared_sanitized[] = { "mmap",	   "munmap",	  "mremap", "mprotect",
						"madvise", "sigaltstack", "open" };

struct row {
	size_t target;
	char call[32];
	size_t error;
	unsigned time;
	unsigned before; /* such calls, that are not counted */
	char outcome[160];
};

/* What an opend at rest has, that nothing happened to. */
static struct rest {
	int fds, children, supervisor_fds;
} * at_rest;		 /* shared */
static struct row *rows; /* shared with the tests, which tell what came of it */
static size_t n_rows;

static int n_lanes = 1, lane;
static unsigned program; /* its pid */
static int failed;	 /* tests */

/* ---- what is asked ---- */

enum { QUESTIONS = 10, BATCH = 3 };

struct question {
	const char *path;
	int flags, error;
};

struct answer {
	int fd, reason;
};

struct guest {
	const char *socket;
	bool stop; /* for the tracer to come and to go */
	struct question questions[QUESTIONS];
	size_t n;
	_Atomic bool ends; /* the library has nothing to do any more */
	_Atomic int step;  /* 1: the client has had its first answers; 2: the policy is another */
	char said[256];	   /* how it went */
	bool strict;	   /* every answer must be as it should */
	bool perfect;
};

static void add_question(struct guest *g, const char *path, int flags, int error)
{
	ensure(g->n < QUESTIONS, "too many questions");
	g->questions[g->n++] = (struct question){ path, flags, error };
}

static void write_policy(unsigned number)
{
	policy("10",
	       "allow read,write,create under %s to user %u\ndeny any file %s to user %u\n"
	       "allow read file %s to user %u as root\nallow read file %s to user %u log\n"
	       "allow read file %s to user %u\n",
	       at("data/d"), alice.uid, at("data/d/denied"), alice.uid, at("data/root"), alice.uid,
	       at("data/logged"), alice.uid, at("data/number-%u", number), alice.uid);
}

static void write_files(void)
{
	make_dir(at("data/d"), 0755, alice.uid);
	make_file(at("data/d/plain"), 0644, alice.uid, "plain\n");
	make_file(at("data/d/denied"), 0644, alice.uid, "denied\n");
	make_file(at("data/d/short"), 0644, alice.uid, "to be made short\n");
	make_file(at("data/root"), 0600, 0, "root\n");
	make_file(at("data/d/shut"), 0600, 0, "shut\n");
	make_file(at("data/logged"), 0644, alice.uid, "logged\n");
	make_file(at("data/beyond"), 0644, alice.uid, "beyond\n");
	make_link(at("data/d/plain"), at("data/d/link"));
}

/* A new one each time: what is created is there afterwards. */
static struct guest *guest_new(const struct opend *o, const char *name, bool strict)
{
	static unsigned number;
	struct guest *g = shared(sizeof *g);

	g->socket = o->socket;
	g->strict = strict;
	add_question(g, at("data/d/plain"), O_RDONLY, name[0] == 'c' ? EACCES : 0);
	add_question(g, at("data/beyond"), O_RDONLY, EACCES);
	if (name[0] == 'c')
		return g;
	add_question(g, at("data/d/denied"), O_RDWR | O_TRUNC, EACCES);
	add_question(g, at("data/root"), O_RDONLY, 0);
	add_question(g, at("data/d/shut"), O_RDONLY, EACCES);
	add_question(g, at("data/d/link"), O_RDONLY, 0);
	add_question(g, at("data/d/short"), O_WRONLY | O_TRUNC, 0);
	add_question(g, at("data/d/new-%d-%u", (int)getpid(), number++), O_RDWR | O_CREAT | O_EXCL,
		     0);
	add_question(g, at("data/logged"), O_RDONLY, 0);
	return g;
}

static void judge(struct guest *g, const struct question *q, const struct answer *a)
{
	struct stat want, got;

	if (a->fd < 0) {
		g->perfect &= a->fd == -q->error;
		if (a->fd != -q->error && !g->said[0])
			snprintf(g->said, sizeof g->said, "%s (%s)", strerror(-a->fd),
				 openc_strreason(a->reason));
		ensure(!g->strict || a->fd == -q->error, "%s: %s, reason %d", q->path,
		       strerror(-a->fd), a->reason);
		ensure(a->reason != OPENC_R_TIMEOUT, "%s: no answer", q->path);
		return;
	}
	ensure(!q->error, "%s was granted", q->path);
	sys(stat(q->path, &want));
	sys(fstat(a->fd, &got));
	ensure(want.st_dev == got.st_dev && want.st_ino == got.st_ino, "%s: another file came",
	       q->path);
	ensure((fcntl(a->fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (q->flags & O_ACCMODE),
	       "%s: opened otherwise, %#x", q->path, (unsigned)fcntl(a->fd, F_GETFL));
	close_fd(a->fd);
}

static struct answer put_question(struct openc_conn *c, const struct question *q)
{
	struct answer a = { .fd = openc_open(c, q->path, q->flags, 0644) };

	a.reason = openc_reason(c);
	return a;
}

/* Nothing but the library's calls between the two stops. */
static void ask_all(void *arg)
{
	struct guest *g = arg;
	struct answer answers[2 * QUESTIONS];
	struct openc_result batch[BATCH] = { 0 };
	const char *paths[BATCH];
	struct openc_conn *c = NULL;
	char *info = NULL;
	int r, n = 0, rules = -1;

	for (size_t i = 0; i < BATCH; i++)
		paths[i] = g->questions[i % 2].path;
	if (g->stop)
		raise(SIGSTOP);
	r = openc_new(&c, g->socket);
	if (r == 0) {
		openc_set_timeout(c, CLIENT_MS);
		for (size_t i = 0; i < g->n; i++)
			answers[i] = put_question(c, &g->questions[i]);
		g->step = 1;
		/* Of the calls that are not failed. */
		while (g->step == 1)
			syscall(SYS_futex, &g->step, FUTEX_WAIT, 1, NULL, NULL, 0);
		for (size_t i = 0; i < g->n; i++)
			answers[g->n + i] = put_question(
				c, &(struct question){ g->questions[i].path,
						       g->questions[i].flags & ~O_EXCL, 0 });
		n = openc_open_many(c, paths, BATCH, NULL, 0, batch, sizeof *batch, 0);
		openc_whoami(c, &info);
		rules = openc_rules(c);
	}
	openc_free(c);
	free(info);
	close_fd(rules);
	g->ends = true;
	if (g->stop)
		raise(SIGSTOP);
	g->perfect = true;
	if (r < 0) {
		g->perfect = false;
		g->step = 3;
		snprintf(g->said, sizeof g->said, "cannot connect: %s", strerror(-r));
		ensure(!g->strict, "%s", g->said);
		return;
	}
	for (size_t i = 0; i < 2 * g->n; i++)
		judge(g, &g->questions[i % g->n], &answers[i]);
	for (size_t i = 0; i < BATCH; i++)
		judge(g, &g->questions[i % 2],
		      &(struct answer){ n < 0 ? n : batch[i].fd, batch[i].reason });
	g->step = 3;
}

/* ---- the programs, and who is traced ---- */

/* The lane's: built once. */
static char *gated(const char *name)
{
	return text("%s/gated-%d/%s", harness_base, lane, name);
}

static void install_as(const char *from, const char *name)
{
	ensure(RUN("install", "-m", "755", from, gated(name)).status == 0, "cannot install %s",
	       from);
}

static void build_gates(void)
{
	static const char *const started[] = { "opend-worker", "opend-audit", "opend-supervisor" };
	char *gate = text("%s/tests/faults/gate", getenv("BUILD"));

	make_dir(gated(""), 0755, 0);
	make_dir(gated("real"), 0755, 0);
	make_dir(gated("gate"), 0777, 0);
	sys(chmod(gated("gate"), 0777));
	install_as(staged("opend"), "opend");
	for (size_t i = 0; i < ELEMENTSOF(started); i++) {
		install_as(staged(started[i]), text("real/%s", started[i]));
		install_as(gate, started[i]);
	}
}

/* What an earlier run wished for and did not get. */
static void close_gates(void)
{
	unlink(gated("gate/pid"));
	for (size_t i = 0; i < ELEMENTSOF(targets); i++)
		unlink(gated(text("gate/%s", targets[i].name)));
}

/* One fault; call NULL: none, but all calls are written down. */
struct fault {
	const struct target *target;
	const char *call, *error;
	unsigned time;
	pid_t tracer, tracee;
};

static char *trace_file(void)
{
	return at("run/trace");
}

/* strace's arguments for it, without those that say whom to trace; returns how many. */
static size_t strace_args(const struct fault *f, const char **args)
{
	size_t n = 0;

	args[n++] = "strace";
	args[n++] = "-qq";
	args[n++] = "-I2"; /* which lets go when told to */
	args[n++] = "-o";
	args[n++] = trace_file();
	if (f->call) {
		args[n++] = "-e";
		args[n++] = text("inject=%s:error=%s:syscall=getpid:when=%u", f->call, f->error,
				 f->time);
		args[n++] = "-e";
		args[n++] = text("trace=%s", f->call);
	}
	args[n] = NULL;
	return n;
}

static bool is_traced(pid_t pid)
{
	char *tracer = proc_status(pid, "TracerPid");

	return tracer && atoi(tracer) != 0;
}

/* Takes hold of a process that has stopped for it. */
static void trace(struct fault *f, pid_t pid)
{
	const char *args[16];
	size_t n = strace_args(f, args);

	f->tracee = pid;
	args[n++] = "-p";
	args[n++] = text("%d", (int)pid);
	args[n] = NULL;
	f->tracer = (pid_t)sys(fork());
	if (f->tracer == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execvp(args[0], (char *const *)args);
		_exit(127);
	}
	ensure(within(10000, is_traced(pid)), "strace does not trace it");
	sys(kill(pid, SIGCONT));
}

static void untrace(struct fault *f)
{
	if (f->tracer <= 0)
		return;
	kill(f->tracer, SIGTERM);
	waitpid(f->tracer, NULL, 0);
	f->tracer = 0;
}

/* opend's is nobody's child. Whoever has had his fault can be looked at for leaks, untraced. */
static void untrace_opend(const struct opend *o)
{
	if (!is_traced(o->pid))
		return;
	kill(atoi(proc_status(o->pid, "TracerPid")), SIGTERM);
	ensure(within(10000, !is_traced(o->pid)), "strace does not let go of it");
}

/* If the process that is to be traced waits at its gate, lets it in. */
static void attend_gate(struct fault *f)
{
	FILE *file;
	int pid;

	if ((f->target->how != BY_GATE && f->target->how != AT_START) || f->tracer)
		return;
	file = fopen(gated("gate/pid"), "re");
	if (!file)
		return;
	if (fscanf(file, "%d", &pid) == 1 && stopped(pid))
		trace(f, pid);
	fclose(file);
}

static const char **opend_command(const char **args)
{
	/* Lanes of two programs shall not meet either. */
	unsigned first = LANE_FIRST + (program % 100 * LANES_MAX + (unsigned)lane) * LANE_IDS;
	size_t n = opend_args(0, args);

	args[0] = gated("opend");
	args[n++] = "--user";
	args[n++] = text("%d", LANE_UID + lane);
	args[n++] = "--worker-ids";
	args[n++] = text("%u-%u", first, first + LANE_IDS - 1);
	args[n] = NULL;
	return args;
}

/* With the fault, if it is one of opend itself. */
static struct opend start_opend(const struct fault *f)
{
	const char *args[48];
	size_t n = 0;

	if (f->target->how == BY_START) {
		n = strace_args(f, args);
		/* opend is our child, and strace nobody's. */
		args[n++] = "-D";
	}
	opend_command(args + n);
	if (f->target->how == BY_GATE || f->target->how == AT_START)
		make_file(gated(text("gate/%s", f->target->name)), 0666, 0, "");
	return opend_spawn(0, args);
}

static bool sanitized(void)
{
	const char *list = getenv("SANITIZE");

	return list && *list;
}

/* Says how the process ended, if it did: a fault may end a worker, but not by a signal. Of leaks
 * nobody can tell as long as he is traced, which he says, too. */
static void check_log(const struct opend *o)
{
	struct program p = RUN("grep", "-aE",
			       "died by signal|(ERROR|WARNING): [A-Za-z]*Sanitizer|"
			       "Sanitizer: CHECK|runtime error|stack smashing",
			       o->log);

	ensure(p.status == 1, "%s", p.out);
}

static char *last_line(const char *file)
{
	return text("%.*s", 100,
		    RUN("sh", "-c", "grep -av '^==' \"$1\" | tail -n 1", "-", file).out);
}

/* It has ended, with a word and not by a signal: that is what opend does when it cannot go on, or
 * not without its supervisor, and then its manager starts it again. */
static bool has_ended(struct opend *o)
{
	int status;

	if (waitpid(o->pid, &status, WNOHANG) != o->pid)
		return false;
	ensure(WIFEXITED(status) && WEXITSTATUS(status) != 0, "it ended with status %#x",
	       (unsigned)status);
	ensure(strlen(last_line(o->log)) > 0, "it ended without a word");
	return true;
}

static bool is_up(const struct opend *o, const struct fault *f)
{
	return access(o->socket, F_OK) == 0 && access(o->control, F_OK) == 0 &&
	       (f->target->how != AT_START || f->tracer) && asleep(o->pid);
}

/* What it cannot start without, it may refuse to start without. */
static bool came_up(struct opend *o, struct fault *f)
{
	/* That it is ready may be what it could not say. */
	bool ready = f->call && f->target->how == BY_START;
	int64_t until = now_msec() + patience(20000);

	while (!ready || !is_up(o, f)) {
		ensure(now_msec() < until, "opend did not become ready");
		attend_gate(f);
		if (has_ended(o)) {
			ensure(f->call, "it does not start: %s", last_line(o->log));
			return false;
		}
		sleep_msec(5);
		ready |= opend_said_ready(o);
	}
	sleep_msec(20);
	if (f->call && has_ended(o))
		return false;
	if (!at_rest->fds) {
		opend_look_at_rest(o);
		*at_rest = (struct rest){ o->idle_fds, o->idle_children, o->idle_supervisor_fds };
	}
	o->idle_fds = at_rest->fds;
	o->idle_children = at_rest->children;
	o->idle_supervisor_fds = at_rest->supervisor_fds;
	return true;
}

/* ---- a run ---- */

static int reload_by_program(const struct opend *o)
{
	return RUN(staged("opend"), "--reload", "--control", o->control).status;
}

static void let_ask(const struct opend *o, struct fault *f, struct guest *g, struct who who)
{
	int64_t until = now_msec() + patience(4 * CLIENT_MS);
	bool by_stop = f->target->how == BY_STOP && !g->strict && who.uid == alice.uid;
	struct client c;

	g->stop = by_stop;
	c = client_start(who, ask_all, g);
	while (alive(c.pid)) {
		ensure(now_msec() < until, "a client waits for ever");
		attend_gate(f);
		if (by_stop && !g->ends && stopped(c.pid) && !f->tracer)
			trace(f, c.pid);
		if (by_stop && g->ends)
			untrace(f);
		if (by_stop && g->ends && stopped(c.pid))
			sys(kill(c.pid, SIGCONT));
		if (g->step == 1) {
			write_policy(2);
			/* With the fault it may fail; then the old one stays. */
			ensure(reload_by_program(o) == 0 || f->call, "cannot reload");
			g->step = 2;
			syscall(SYS_futex, &g->step, FUTEX_WAKE, 1, NULL, NULL, 0);
		}
		sleep_msec(2);
	}
	client_wait(&c);
}

static void tell(struct row *row, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void tell(struct row *row, const char *fmt, ...)
{
	va_list ap;

	if (!row)
		return;
	va_start(ap, fmt);
	vsnprintf(row->outcome, sizeof row->outcome, fmt, ap);
	va_end(ap);
	row->outcome[strcspn(row->outcome, "\n")] = 0;
}

static bool asked_in_vain(const struct opend *o, struct fault *f)
{
	struct guest *g = guest_new(o, "alice", false);

	let_ask(o, f, g, alice);
	return !g->perfect;
}

/* What it calls only at its end can fail there as well: then it ends with a word. */
static void end_traced(struct opend *o)
{
	int status;

	sys(kill(o->pid, SIGTERM));
	ensure(within(10000, waitpid(o->pid, &status, WNOHANG) == o->pid),
	       "SIGTERM did not end it");
	ensure(WIFEXITED(status), "it ended with status %#x", (unsigned)status);
	ensure(WEXITSTATUS(status) == 0 || strlen(last_line(o->log)) > 0,
	       "it ended without a word");
}

/* As its manager does, where it has ended; then with what word. */
static const char *start_again(struct opend *o, bool up)
{
	struct fault none = { .target = &targets[0], .tracer = -1 };
	const char *args[48], *word;

	if (up && !has_ended(o))
		return "";
	word = text("; opend %s: %s", up ? "ended" : "did not go on", last_line(o->log));
	close_fd(o->notify);
	no_process_left();
	write_policy(1);
	*o = opend_spawn(0, opend_command(args));
	ensure(came_up(o, &none), "it does not start again");
	return word;
}

/* The service is as it was: whatever was short for a moment is so no more. */
static const char *check_after(struct opend *o, bool up)
{
	struct fault none = { .target = &targets[0], .tracer = -1 }, over = none;
	const char *word = start_again(o, up);
	int64_t until = now_msec() + patience(AFTER_MS);

	over.call = "";
	while (asked_in_vain(o, &over) && now_msec() < until) {
		sleep_msec(100);
		if (!*word)
			word = start_again(o, true);
	}
	let_ask(o, &none, guest_new(o, "alice", true), alice);
	let_ask(o, &none, guest_new(o, "carol", true), uid_only(1002));
	ensure(!strcmp(slurp(open(at("data/d/denied"), O_RDONLY | O_CLOEXEC), NULL), "denied\n"),
	       "a refused file was written to");
	return word;
}

static bool was_hit(const struct fault *f)
{
	return f->call && RUN("grep", "-qs", "INJECTED", trace_file()).status == 0;
}

static void run_once(struct fault *f, struct row *row)
{
	struct guest *carol, *g;
	bool hit, died, up, to_the_end = false;
	struct opend o;
	const char *word;

	close_gates();
	write_files();
	write_policy(1);
	o = start_opend(f);
	up = came_up(&o, f);
	carol = guest_new(&o, "carol", false);
	g = guest_new(&o, "alice", false);
	if (up) {
		let_ask(&o, f, carol, uid_only(1002));
		let_ask(&o, f, g, alice);
	}
	died = f->tracee && f->target->how != BY_STOP && !alive(f->tracee);
	untrace(f);
	/* opend is traced to its end, unless it has been hit. */
	if (up && f->call && f->target->how == BY_START && !was_hit(f) && alive(o.pid)) {
		asked_in_vain(&o, f);
		to_the_end = !was_hit(f);
	}
	if (to_the_end)
		end_traced(&o);
	else if (was_hit(f))
		untrace_opend(&o);
	o.traced = !to_the_end && is_traced(o.pid);
	ensure(f->call || (carol->perfect && g->perfect), "even without a fault: %s", g->said);
	check_log(&o);
	word = check_after(&o, up && !to_the_end);
	opend_stop(&o);
	check_log(&o);
	hit = was_hit(f);
	tell(row, "%s%s%s%s",
	     !hit			    ? "not reached"
	     : carol->perfect && g->perfect ? "served"
					    : "refused: ",
	     hit ? (carol->said[0] ? carol->said : g->said) : "", died ? "; it ended" : "", word);
}

START_TEST(a_fault)
{
	struct row *row = &rows[_i * n_lanes + lane];
	struct fault f = { .target = &targets[row->target],
			   .call = row->call,
			   .error = errors[row->error].name,
			   .time = row->before + row->time };

	run_once(&f, row);
}
END_TEST

/* ---- the matrix ---- */

static bool wanted(const struct row *row)
{
	char *list = getenv("FAULTS") ? text("%s", getenv("FAULTS")) : NULL;
	char *name = text("%s/%s/%s/%u", targets[row->target].name, row->call,
			  errors[row->error].name, row->time);

	if (!list || !*list)
		return true;
	for (char *p = strtok(list, " "); p; p = strtok(NULL, " "))
		if (!fnmatch(text("%s*", p), name, 0))
			return true;
	return false;
}

static bool is_spared(const char *call)
{
	for (size_t i = 0; i < ELEMENTSOF(spared); i++)
		if (!strcmp(call, spared[i]))
			return true;
	for (size_t i = 0; sanitized() && i < ELEMENTSOF(spared_sanitized); i++)
		if (!strcmp(call, spared_sanitized[i]))
			return true;
	return false;
}

static void add_rows(size_t target, const char *call, unsigned before, unsigned times)
{
	for (size_t error = 0; error < ELEMENTSOF(errors); error++)
		for (unsigned time = 1; time <= UTIL_MIN(times, (unsigned)TIMES); time++) {
			struct row *row = &rows[n_rows];

			*row = (struct row){
				.target = target, .error = error, .time = time, .before = before
			};
			snprintf(row->call, sizeof row->call, "%s", call);
			if (wanted(row) && n_rows < ROWS_MAX - 1)
				n_rows++;
		}
}

/* Which calls it made, from strace's lines "name(...". */
struct census {
	struct {
		char name[32];
		unsigned times;
		unsigned before; /* made by the loader, which is not ours */
	} calls[CALLS_MAX];
	size_t n;
	bool loading;
} * censuses; /* of each target; shared */

/* The loader ends by unmapping the list of libraries, and gcc's sanitizers, which start next, by
 * looking whether the first of them has given signals a stack. */
static void count_call(struct census *c, const char *line)
{
	const char *last = sanitized() ? "sigaltstack(NULL, {ss_sp=0x" : "munmap(";
	size_t len = strspn(line, "abcdefghijklmnopqrstuvwxyz_0123456789"), i;

	if (len == 0 || len >= sizeof c->calls[0].name || line[len] != '(')
		return;
	for (i = 0; i < c->n; i++)
		if (!strncmp(c->calls[i].name, line, len) && !c->calls[i].name[len])
			break;
	ensure(i < CALLS_MAX, "too many calls");
	if (i == c->n)
		memcpy(c->calls[c->n++].name, line, len);
	if (!strncmp(line, "execve(", 7))
		c->loading = true;
	*(c->loading ? &c->calls[i].before : &c->calls[i].times) += 1;
	if (!strncmp(line, last, strlen(last)))
		c->loading = false;
}

START_TEST(a_census)
{
	struct fault f = { .target = &targets[_i] };
	_cleanup_fclose_ FILE *file = NULL;
	char line[512];

	run_once(&f, NULL);
	file = fopen(trace_file(), "re");
	ensure(file, "nothing was traced");
	while (fgets(line, sizeof line, file))
		count_call(&censuses[_i], line);
	ensure(censuses[_i].n > 3, "%zu calls only", censuses[_i].n);
	ensure(!censuses[_i].loading, "where its own calls begin cannot be told");
}
END_TEST

static int run_loop(const char *name, const TTest *test, size_t n)
{
	Suite *s = suite_create(name);
	SRunner *r;
	int n_failed;

	tcase_add_loop_test(harness_case(s, name, 120), test, 0, (int)n);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	n_failed = srunner_ntests_failed(r);
	srunner_free(r);
	return n_failed;
}

/* Before there is a matrix, the calls must be known. */
static void make_rows(void)
{
	failed = run_loop("census", a_census, ELEMENTSOF(targets));
	if (failed) {
		fprintf(stderr, "without a fault it does not go well either\n");
		return;
	}
	for (size_t target = 0; target < ELEMENTSOF(targets); target++)
		for (size_t i = 0; i < censuses[target].n; i++)
			if (!is_spared(censuses[target].calls[i].name))
				add_rows(target, censuses[target].calls[i].name,
					 censuses[target].calls[i].before,
					 censuses[target].calls[i].times);
	for (size_t i = 0; i < n_rows; i++)
		snprintf(rows[i].outcome, sizeof rows[i].outcome, "FAILED");
}

/* Every n_lanes'th row is this one's. */
static pid_t start_lane(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (lane)
			build_gates();
		exit(run_loop("faults", a_fault,
			      (n_rows + (size_t)(n_lanes - lane) - 1) / (size_t)n_lanes) != 0);
	}
	return pid;
}

static void run_lanes(void)
{
	int status;

	for (lane = 0; lane < n_lanes; lane++)
		failed |= start_lane() < 0;
	while (wait(&status) > 0)
		failed |= status;
}

static Suite *suite(void)
{
	if (is_root()) {
		program = (unsigned)getpid();
		n_lanes = getenv("FAULT_LANES") ? atoi(getenv("FAULT_LANES")) : 1;
		n_lanes = UTIL_MAX(1, UTIL_MIN(n_lanes, (int)LANES_MAX));
		rows = shared(ROWS_MAX * sizeof *rows);
		at_rest = shared(sizeof *at_rest);
		censuses = shared(ELEMENTSOF(targets) * sizeof *censuses);
		build_gates();
		make_rows();
		run_lanes();
	}
	return suite_create("faults");
}

/* Outcomes begin with their kind. */
static void write_table(void)
{
	static const char *const kinds[] = { "served", "refused", "not reached", "FAILED" };
	char *name = text("%s/faults.txt", getenv("BUILD"));
	_cleanup_fclose_ FILE *f = fopen(name, "we");
	size_t count[ELEMENTSOF(kinds)] = { 0 };

	for (size_t i = 0; i < n_rows; i++) {
		if (f)
			fprintf(f, "%-10s %-18s %-7s %u  %s\n", targets[rows[i].target].name,
				rows[i].call, errors[rows[i].error].name, rows[i].time,
				rows[i].outcome);
		for (size_t k = 0; k < ELEMENTSOF(kinds); k++)
			count[k] += !strncmp(rows[i].outcome, kinds[k], strlen(kinds[k]));
	}
	printf("faults: %zu, of which", n_rows);
	for (size_t k = 0; k < ELEMENTSOF(kinds); k++)
		printf(" %zu %s,", count[k], kinds[k]);
	printf(" see %s\n", name);
}

int main(void)
{
	int r;

	if (!is_root()) {
		harness_skip("faults", "needs root to trace what runs as others");
		return EXIT_SUCCESS;
	}
	setenv("ASAN_OPTIONS", text("exitcode=%d", SANITIZER_EXIT), 1);
	r = harness_main("faults", suite);
	write_table();
	return r || failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
