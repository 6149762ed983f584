/* SPDX-License-Identifier: MIT
 * The rows, the rounds and the verdicts. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"

enum { HOGS = 4, THINKING_USEC = 200 };

/* ---- who serves ---- */

/* What is pinned finds nobody to wait for by looking, as on a machine with one core: its clients
 * see that for themselves, opend is told. */
static struct daemon daemons[] = {
	{ .name = "opend", .pinned = true, .settings = "set poll-usec 0\n" },
	{ .name = "rules",
	  .pinned = true,
	  .settings = "set poll-usec 0\n",
	  .own = 1000,
	  .others = 8990 },
	{ .name = "idle", .pinned = true, .settings = "set poll-usec 0\n", .idle = 10000 },
	{ .name = "crowd",
	  .pinned = true,
	  .needs_root = true,
	  .settings = "set poll-usec 0\n",
	  .crowd = 500 },
	{ .name = "free" },
	{ .name = "asleep", .settings = "set poll-usec 0\n" },
};

static struct daemon *daemon_of(const char *name)
{
	for (size_t i = 0; name && i < sizeof daemons / sizeof *daemons; i++)
		if (!strcmp(daemons[i].name, name))
			return &daemons[i];
	return NULL;
}

/* ---- what is measured ---- */

enum measure { WALL, CPU };

struct row {
	const char *name, *label;
	const struct work *work;
	const char *daemon; /* NULL: it brings its own server, or needs none */
	const char *path; /* below the tree; NULL: data/plain/file; "": the file beside the tree */
	uid_t uid;	  /* 0: CALLER */
	unsigned agents;  /* at once; 0: 1 */
	bool uid_each, needs_root, unpinned, hogs;
	enum measure measure;
	double less_usec;  /* of an operation's time that is not ours */
	unsigned block_ms; /* 0: as long as others; a block is at least one operation */
	bool whole;	   /* how busy the machine is belongs to the figure */
	/* while it runs */
	bool off;
	const char *why_off;
	struct agent agent[AGENTS_MAX];
	pid_t server[AGENTS_MAX + 1];
	size_t n_servers, n, slices;
	struct series usec, cpu; /* of one operation */
};

#define DEEP "data/deep/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/file"

/* clang-format off */
static struct row rows[] = {
	{ "direct", "open(2) and close", &direct_open },
	{ "floor", "bare server", &floor_sync },
	{ "floor-16", "bare server, batches of 16", &floor_batch16 },
	{ "floor-64", "bare server, batches of 64", &floor_batch64 },
	{ "sd-bus", "sd-bus, peer to peer", &bus_peer },
	{ "dbus-daemon", "sd-bus, through dbus-daemon", &bus_daemon },
	{ "echo", "bare echo of a request's frame", &bare_echo },
	{ "sync", "opend", &opend_sync, "opend" },
	{ "async-16", "opend, 16 in flight", &opend_async16, "opend" },
	{ "batch-64", "opend, batches of 64", &opend_batch64, "opend" },
	{ "root-sync", "opend, as root", &opend_sync, "opend", "data/lent/file", LENT, .needs_root = true },
	{ "root-batch", "opend, as root, batches of 64", &opend_batch64, "opend", "data/lent/file", LENT,
	  .needs_root = true },
	{ "direct-create", "open(2) with O_CREAT and close", &direct_create, NULL, "data/new", CREATOR },
	{ "create", "opend, O_CREAT", &opend_create, "opend", "data/created", CREATOR },
	{ "denial", "opend, refused", &opend_denial, "opend", "data/none/file" },
	{ "connect", "opend, connect, open, close, disconnect", &opend_connect, "opend" },
	{ "newcomer", "opend, the same, first of a new identity", &opend_newcomer, "opend",
	  .uid = (uid_t)-1, .needs_root = true, .block_ms = 1 },
	{ "clients-8", "opend, 8 clients of one uid", &opend_sync, "opend", .agents = 8 },
	{ "clients-64", "opend, 64 clients of one uid", &opend_sync, "opend", .agents = 64 },
	{ "uids-64", "opend, 64 clients of 64 uids", &opend_sync, "opend", .uid = CROWD, .agents = 64,
	  .uid_each = true, .needs_root = true },
	{ "rules-sync", "opend, 10,000 rules, 1,000 of them ours", &opend_sync, "rules" },
	{ "rules-batch", "the same, batches of 64", &opend_batch64, "rules" },
	{ "idle-sync", "opend, 10,000 idle connections", &opend_sync, "idle" },
	{ "crowd-sync", "opend, 500 workers", &opend_sync, "crowd", .needs_root = true },
	{ "direct-2", "open(2), path of 2 components", &direct_open, NULL, "" },
	{ "direct-32", "open(2), path of 32 components", &direct_open, NULL, DEEP },
	{ "depth-2", "opend, path of 2 components", &opend_sync, "opend", "" },
	{ "depth-32", "opend, path of 32 components", &opend_sync, "opend", DEEP },
	{ "free-floor", "bare server, not pinned", &floor_sync, .unpinned = true },
	{ "free-asleep", "opend, not pinned, no polling", &opend_asleep, "asleep", .unpinned = true },
	{ "free-sync", "opend, not pinned", &opend_sync, "free", .unpinned = true },
	{ "think-asleep", "CPU with 200 us of thinking, no polling", &opend_think_asleep, "asleep",
	  .unpinned = true, .measure = CPU, .less_usec = THINKING_USEC, .whole = true },
	{ "think", "CPU with 200 us of thinking", &opend_think, "free", .unpinned = true,
	  .measure = CPU, .less_usec = THINKING_USEC, .whole = true },
	{ "hogs-asleep", "opend, not pinned, 4 hogs, no polling", &opend_asleep, "asleep",
	  .unpinned = true, .hogs = true, .block_ms = 300, .whole = true },
	{ "hogs", "opend, not pinned, 4 hogs", &opend_sync, "free", .unpinned = true, .hogs = true,
	  .block_ms = 300, .whole = true },
};

/* A row as a multiple of another, or in a unit of its own; at most `limit`. */
static const struct goal {
	const char *label, *row, *against;
	double limit;
} goals[] = {
	{ "one at a time / bare server", "sync", "floor", 1.15 },
	{ "one at a time / sd-bus", "sync", "sd-bus", 0.75 },
	{ "not pinned / bare server pinned", "free-sync", "floor", 1.3 },
	{ "CPU while thinking: polling / none", "think", "think-asleep", 1.1 },
	{ "four hogs: polling / none", "hogs", "hogs-asleep", 1.1 },
	{ "batch of 64 / bare server's", "batch-64", "floor-64", 1.5 },
	{ "batch of 64 / open(2)", "batch-64", "direct", 2.2 },
	{ "as root / as caller", "root-sync", "sync", 2 },
	{ "as root / as caller, batch", "root-batch", "batch-64", 1.4 },
	{ "refusal / echo", "denial", "echo", 1.1 },
	{ "connect, open, close / bare server", "connect", "floor", 5 },
	{ "first open of an identity, us", "newcomer", NULL, 5000 },
	{ "10,000 rules / 10", "rules-sync", "sync", 1.05 },
	{ "10,000 rules / 10, batch", "rules-batch", "batch-64", 1.05 },
	{ "10,000 idle connections / 1", "idle-sync", "sync", 1.05 },
};
/* clang-format on */

enum { ROWS = sizeof rows / sizeof *rows, GOALS = sizeof goals / sizeof *goals };

static struct row *row_of(const char *name)
{
	for (size_t i = 0; name && i < ROWS; i++)
		if (!strcmp(rows[i].name, name))
			return &rows[i];
	return NULL;
}

/* Memory is weighed once. */
static struct weight {
	const char *name, *label;
	double value, limit; /* limit 0: no goal */
} weights[8];
static size_t n_weights;

static void weigh(const char *name, const char *label, double value, double limit)
{
	weights[n_weights++] = (struct weight){ name, label, value, limit };
}

/* ---- rounds ---- */

static const char *path_of(const struct row *r)
{
	char *path;

	if (r->path && r->path[0])
		return at("%s", r->path);
	if (!r->path)
		return at("data/plain/file");
	if (asprintf(&path, "%s-file", world.tree) < 0)
		die("no memory");
	return path;
}

static unsigned agents_of(const struct row *r)
{
	return r->agents ? r->agents : 1;
}

static void switch_off(struct row *r, const char *why)
{
	r->off = true;
	r->why_off = why;
}

static uid_t uid_of(const struct row *r, unsigned i)
{
	if (r->uid == (uid_t)-1)
		return 0;
	return (r->uid ? r->uid : CALLER) + (r->uid_each ? i : 0);
}

static void row_start(struct row *r)
{
	const struct daemon *d = daemon_of(r->daemon);
	const struct place p = { .socket = d ? d->socket : NULL, .path = path_of(r) };

	for (unsigned i = 0; i < agents_of(r); i++) {
		r->agent[i] = agent_start(r->work, &p, uid_of(r, i), !r->unpinned);
		if (r->agent[i].server)
			r->server[r->n_servers++] = r->agent[i].server;
		else if (d && (i == 0 || r->uid_each) && uid_of(r, i))
			daemon_servers(d, uid_of(r, i), &r->server[r->n_servers++], 1);
	}
}

/* A lender is born at the first request. */
static void find_lender(struct row *r)
{
	const struct daemon *d = daemon_of(r->daemon);

	if (d && r->uid == LENT)
		r->n_servers = daemon_servers(d, LENT, r->server, 2);
}

/* Clients of one uid share a server. */
static double server_cpu(const struct row *r)
{
	double cpu = 0;

	for (size_t i = 0; i < r->n_servers; i++)
		cpu += (double)cpu_ns_of(r->server[i]);
	return cpu;
}

/* One block of every agent at once: nanoseconds until the last was through, and of processor time.
 * One agent alone says itself how long it took, without the way to us. */
static struct sample run_block(const struct row *r)
{
	struct sample sum = { .cpu_ns = -server_cpu(r) };
	uint64_t start = now_ns();

	for (unsigned i = 0; i < agents_of(r); i++)
		agent_go(&r->agent[i], r->n, r->slices);
	for (unsigned i = 0; i < agents_of(r); i++) {
		struct sample s = agent_done(&r->agent[i]);

		sum.cpu_ns += s.cpu_ns;
		sum.wall_ns = agents_of(r) == 1 ? s.wall_ns : (double)(now_ns() - start);
	}
	sum.cpu_ns += server_cpu(r);
	return sum;
}

/* How many operations fill a block, and how many of them a slice. Warms up what there is to warm.
 */
static void calibrate(struct row *r, unsigned block_ms)
{
	size_t granule = r->work->granule;
	double target = (r->block_ms ? r->block_ms : block_ms) * 1e6;

	r->n = granule;
	r->slices = 1;
	for (int i = 0; i < 3 && r->block_ms != 1; i++) {
		double each = run_block(r).wall_ns / (double)r->n;

		r->n = (size_t)(target / (i < 2 ? 4 : 1) / each / (double)granule) * granule;
		if (r->n < granule)
			r->n = granule;
	}
	find_lender(r);
	if (r->whole || agents_of(r) > 1)
		return;
	r->slices = r->n / granule < SLICES_MAX ? r->n / granule : SLICES_MAX;
	r->n -= r->n % (r->slices * granule);
}

static pid_t hogs[HOGS];

static void hogs_start(void)
{
	for (size_t i = 0; i < HOGS; i++) {
		hogs[i] = fork_bound();
		if (hogs[i] == 0) {
			pin(false);
			raise(SIGSTOP);
			for (volatile unsigned long n = 0;; n++)
				;
		}
	}
}

static void hogs_signal(int sig)
{
	for (size_t i = 0; i < HOGS; i++)
		kill(hogs[i], sig);
}

static void measure(struct row *r)
{
	double ops = (double)r->n * agents_of(r);
	struct sample s;

	if (r->hogs)
		hogs_signal(SIGCONT);
	s = run_block(r);
	if (r->hogs)
		hogs_signal(SIGSTOP);
	r->usec.v[r->usec.n++] = s.wall_ns / ops / 1000;
	r->cpu.v[r->cpu.n++] = s.cpu_ns / ops / 1000 - r->less_usec;
}

static void progress(const char *what, unsigned i, unsigned n)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%s %u of %u", what, i, n);
	if (isatty(STDERR_FILENO) && i == n)
		fputs("\r\033[K", stderr);
}

static void run_rounds(unsigned rounds, unsigned block_ms)
{
	hogs_start();
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].off)
			continue;
		progress("row", (unsigned)i + 1, ROWS);
		row_start(&rows[i]);
		calibrate(&rows[i], block_ms);
	}
	for (unsigned round = 0; round < rounds; round++) {
		progress("round", round + 1, rounds);
		for (size_t i = 0; i < ROWS; i++)
			if (!rows[i].off)
				measure(&rows[i]);
	}
}

/* ---- memory ---- */

static double worker_pss(const struct daemon *d)
{
	pid_t worker;

	daemon_servers(d, CALLER, &worker, 1);
	return (double)pss_kib_of(worker);
}

/* One opend with one client: what others share with it is nobody's but the system's. A command name
 * has fifteen bytes. */
static void weigh_opend(const struct daemon *d)
{
	static const char *const parts[] = { "opend", "opend-superviso" };
	double sum = 0;

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		pid_t pid;

		if (descendants(d->pid, parts[i], &pid, 1))
			sum += (double)pss_kib_of(pid);
	}
	weigh("pss-supervisor", "memory of the supervisor, KiB", sum, 2048);
	weigh("pss-worker", "memory of a worker, KiB", worker_pss(d), 800);
}

static void weigh_idle(const struct daemon *d)
{
	double now = worker_pss(d);

	weigh("idle-connection", "worker's memory of an idle connection, bytes",
	      (now - d->pss_before_kib) * 1024 / d->idle, 512);
}

static void weigh_crowd(const struct daemon *d)
{
	static pid_t all[1024];
	size_t n = descendants(d->pid, "opend-worker", all, sizeof all / sizeof *all);
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)pss_kib_of(all[i]);
	weigh("pss-crowd", "memory of each of 500 workers, KiB", sum / (double)n, 800);
}

static void start_daemons(void)
{
	for (size_t i = 0; i < sizeof daemons / sizeof *daemons; i++) {
		struct daemon *d = &daemons[i];
		bool wanted = false;

		for (size_t k = 0; k < ROWS; k++)
			wanted |= !rows[k].off && daemon_of(rows[k].daemon) == d;
		if (!wanted)
			continue;
		daemon_start(d);
		/* Nobody but root may weigh a worker. */
		if (!world.root)
			continue;
		if (i == 0)
			weigh_opend(d);
		if (d->idle)
			weigh_idle(d);
		if (d->crowd)
			weigh_crowd(d);
	}
}

/* ---- what came of it ---- */

static const struct series *series_of(const struct row *r)
{
	return r->measure == CPU ? &r->cpu : &r->usec;
}

/* Within each round. */
static bool ratios(const struct goal *g, struct series *ret)
{
	const struct row *r = row_of(g->row), *against = row_of(g->against);

	*ret = (struct series){ 0 };
	if (r->off || (against && against->off))
		return false;
	for (size_t i = 0; i < r->usec.n; i++)
		ret->v[ret->n++] = series_of(r)->v[i] / (against ? series_of(against)->v[i] : 1);
	return true;
}

static void print_rows(void)
{
	printf("%-42s %9s %19s %9s\n", "microseconds, each operation", "median", "min - max",
	       "CPU");
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *r = &rows[i];
		struct summary s = summarize(series_of(r)), cpu = summarize(&r->cpu);

		if (r->off && r->why_off)
			printf("%-42s %s\n", r->label, r->why_off);
		else if (!r->off)
			printf("%-42s %9.2f %8.2f - %8.2f %9.2f\n", r->label, s.median, s.min,
			       s.max, cpu.median);
	}
}

static const char *verdict(double value, double limit)
{
	return value <= limit ? "met" : value <= limit * 1.15 ? "close" : "MISSED";
}

/* Returns how many are more than 15 % beyond what they should be. */
static unsigned print_goals(void)
{
	unsigned missed = 0;

	printf("\n%-42s %9s %19s %9s\n", "goals", "median", "min - max", "at most");
	for (size_t i = 0; i < GOALS; i++) {
		const struct goal *g = &goals[i];
		struct series all;
		struct summary s;

		if (!ratios(g, &all))
			continue;
		s = summarize(&all);
		missed += s.median > g->limit * 1.15;
		printf("%-42s %9.2f %8.2f - %8.2f %9.2f  %s\n", g->label, s.median, s.min, s.max,
		       g->limit, verdict(s.median, g->limit));
	}
	for (size_t i = 0; i < n_weights; i++) {
		const struct weight *w = &weights[i];

		missed += w->value > w->limit * 1.15;
		printf("%-42s %9.0f %19s %9.0f  %s\n", w->label, w->value, "", w->limit,
		       verdict(w->value, w->limit));
	}
	return missed;
}

static void write_series(FILE *f, const char *name, const struct series *s)
{
	struct summary sum = summarize(s);

	fprintf(f, "\"%s\": {\"median\": %.4f, \"min\": %.4f, \"max\": %.4f, \"rounds\": [", name,
		sum.median, sum.min, sum.max);
	for (size_t i = 0; i < s->n; i++)
		fprintf(f, "%s%.4f", i ? ", " : "", s->v[i]);
	fputs("]}", f);
}

static void write_json(const char *path, const char *machine)
{
	FILE *f = fopen(path, "we");
	const char *comma = "";

	if (!f)
		die("%s: %s", path, strerror(errno));
	fprintf(f, "{\n\"machine\": \"%s\",\n\"rows\": {\n", machine);
	for (size_t i = 0; i < ROWS; i++) {
		if (rows[i].off)
			continue;
		fprintf(f, "%s\"%s\": {\"label\": \"%s\", \"operations\": %zu, ", comma,
			rows[i].name, rows[i].label, rows[i].n);
		write_series(f, "usec", &rows[i].usec);
		fputs(", ", f);
		write_series(f, "cpu_usec", &rows[i].cpu);
		fputc('}', f);
		comma = ",\n";
	}
	fputs("\n},\n\"goals\": {\n", f);
	comma = "";
	for (size_t i = 0; i < GOALS; i++) {
		struct series all;

		if (!ratios(&goals[i], &all))
			continue;
		fprintf(f, "%s\"%s\": {\"row\": \"%s\", \"limit\": %.2f, ", comma, goals[i].label,
			goals[i].row, goals[i].limit);
		write_series(f, "value", &all);
		fputc('}', f);
		comma = ",\n";
	}
	for (size_t i = 0; i < n_weights; i++)
		fprintf(f, "%s\"%s\": {\"label\": \"%s\", \"limit\": %.0f, \"value\": %.1f}",
			i || *comma ? ",\n" : "", weights[i].name, weights[i].label,
			weights[i].limit, weights[i].value);
	fputs("\n}\n}\n", f);
	if (fclose(f))
		die("%s: %s", path, strerror(errno));
}

/* ---- the program ---- */

static void clean_up(void)
{
	char *command;

	if (asprintf(&command, "rm -rf '%s' '%s-file'", world.tree, world.tree) < 0 ||
	    system(command) != 0)
		fprintf(stderr, "bench: %s was left behind\n", world.tree);
}

static pid_t bench_pid;

static void at_end(void)
{
	if (getpid() != bench_pid)
		return;
	/* Whoever was started ends with us, but opend's own children with opend. */
	signal(SIGTERM, SIG_IGN);
	for (size_t i = 0; i < sizeof daemons / sizeof *daemons; i++)
		if (daemons[i].pid)
			kill(daemons[i].pid, SIGTERM);
	for (size_t i = 0; i < sizeof daemons / sizeof *daemons; i++)
		if (daemons[i].pid)
			waitpid(daemons[i].pid, NULL, 0);
	clean_up();
}

static void prepare(const char *stage)
{
	char *command;
	struct rlimit files;

	world.root = geteuid() == 0;
	world.cpu = (int)sysconf(_SC_NPROCESSORS_ONLN) - 1;
	strcpy(world.tree, "/tmp/opend-bench-XXXXXX");
	if (!mkdtemp(world.tree) || chmod(world.tree, 0755) < 0)
		die("%s: %s", world.tree, strerror(errno));
	bench_pid = getpid();
	atexit(at_end);
	umask(022);
	/* Where every uid can reach it. */
	if (asprintf(&command, "cp -R '%s' '%s/programs'", stage, world.tree) < 0 ||
	    system(command) != 0)
		die("%s: cannot be copied", stage);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	data_make();
}

/* Rows that cannot be measured here, and those that nobody wants to see. */
static void choose(char *const *wanted)
{
	for (size_t i = 0; i < ROWS; i++) {
		struct row *r = &rows[i];
		const struct daemon *d = daemon_of(r->daemon);
		bool found = !*wanted;

		for (char *const *w = wanted; *w; w++)
			found |= !strcmp(*w, r->name);
		if (!found)
			switch_off(r, NULL);
		else if (!world.root && (r->needs_root || (d && d->needs_root)))
			switch_off(r, "not measured: needs root");
		else if (r->work == &bus_daemon && system("command -v dbus-daemon >/dev/null"))
			switch_off(r, "not measured: dbus-daemon is not installed");
		else if (r->work == &bus_daemon && !getpwuid(world.root ? CALLER : getuid()))
			switch_off(r, "not measured: dbus-daemon wants a user with an account");
		else if (r->unpinned && sysconf(_SC_NPROCESSORS_ONLN) < 2)
			switch_off(r, "not measured: needs a second CPU");
	}
}

static const char help[] =
	"bench [--rounds N] [--block-ms N] [--json FILE] [--check] STAGE [ROW...]\n\n"
	"  STAGE        where make install put the programs, up to PREFIX\n"
	"  --rounds N   7 to 99 (default 15)\n"
	"  --block-ms N how long a block of one row takes (default 40)\n"
	"  --json FILE  every figure of every round\n"
	"  --check      exit 1 when a figure is more than 15 % beyond its goal\n";

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "rounds", required_argument, NULL, 'r' },
		{ "json", required_argument, NULL, 'j' },
		{ "block-ms", required_argument, NULL, 'b' },
		{ "check", no_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	unsigned rounds = 15, block_ms = 40, missed;
	const char *json = NULL;
	bool check = false;
	char machine[256];
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'r')
			rounds = (unsigned)atoi(optarg);
		else if (c == 'b')
			block_ms = (unsigned)atoi(optarg);
		else if (c == 'j')
			json = optarg;
		else if (c == 'c')
			check = true;
		else if (c == 'h')
			return fputs(help, stdout) < 0;
		else
			return 2;
	}
	if (optind == argc || rounds < 7 || rounds > ROUNDS_MAX || block_ms < 1)
		return fputs(help, stderr), 2;
	for (char **name = argv + optind + 1; *name; name++)
		if (!row_of(*name))
			die("%s: no such row", *name);
	describe_machine(machine, sizeof machine);
	printf("%s\n%u rounds, pinned to CPU %d unless said\n\n", machine, rounds,
	       (int)sysconf(_SC_NPROCESSORS_ONLN) - 1);
	fflush(stdout);
	prepare(argv[optind]);
	choose(argv + optind + 1);
	start_daemons();
	run_rounds(rounds, block_ms);
	print_rows();
	missed = print_goals();
	if (json)
		write_json(json, machine);
	return check && missed ? 1 : 0;
}
