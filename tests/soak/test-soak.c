/* SPDX-License-Identifier: MIT
 * Opens without end, by clients of every kind and of several identities, while workers, lenders and
 * opend-audit are killed, the policy is reloaded, good and broken, and opend is stopped or killed
 * and started again. Each client knows what every answer must be: the file of that inode, or that
 * refusal. What a kill may cost is an answer that says "not now" or "lost", to less than one
 * request in a hundred, and never a wrong one; nor may anybody wait for long. In the second half
 * one opend lives on, and what it holds is measured: descriptors, memory and processes must not
 * grow.
 *
 * SOAK_SECONDS, 600 by default. Needs root, to be more than one client. */
#include <poll.h>
#include <stdatomic.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include "tests/integration/harness.h"

enum {
	SECONDS = 600,
	FILES = 256,
	BATCH = 64,
	NAME_SIZE = 160,
	SAMPLES_MAX = 8192,
	PATIENCE_MS = 30000,
};

/* ---- what is asked, and what must come ---- */

/* The first sixteenth of the files is denied, the second comes and goes with reloads. */
enum { DENIED = FILES / 16, FLIPS = FILES / 8 };

struct soak {
	const char *socket;
	char names[FILES][NAME_SIZE], root[NAME_SIZE], made[NAME_SIZE];
	struct stat st[FILES], root_st;
	_Atomic bool over, calm;
};

struct tally {
	_Atomic uint64_t right, opened, not_now;
	_Atomic int64_t longest; /* call, in microseconds */
};

struct client_of_soak {
	const char *name;
	uid_t uid;
	void (*run)(struct client_of_soak *k, struct soak *s);
	struct tally t;
	struct soak *soak;
};

static int64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

static void note_time(struct client_of_soak *k, int64_t began)
{
	k->t.longest = UTIL_MAX(k->t.longest, now_usec() - began);
}

/* Somebody was killed just then. When nobody is, nothing of the kind may be said. */
static bool excused(const struct soak *s, int reason)
{
	return !s->calm &&
	       (reason == OPENC_R_RESOURCES || reason == OPENC_R_RESTART ||
		reason == OPENC_R_LOST || reason == OPENC_R_NO_SERVER || reason == OPENC_R_AUDIT);
}

static void judge(struct client_of_soak *k, const char *path, int fd, int reason, bool granted,
		  bool refused, const struct stat *st)
{
	struct stat got;

	if (fd < 0 && excused(k->soak, reason)) {
		k->t.not_now++;
		return;
	}
	k->t.right++;
	if (fd < 0) {
		ensure(refused && fd == -EACCES, "%s: %s: %s, reason %d (%s)", k->name, path,
		       strerror(-fd), reason, openc_strreason(reason));
		return;
	}
	ensure(granted, "%s: %s was granted", k->name, path);
	sys(fstat(fd, &got));
	ensure(got.st_ino == st->st_ino && got.st_dev == st->st_dev, "%s: another file came", path);
	close_fd(fd);
	k->t.opened++;
}

static void judge_file(struct client_of_soak *k, unsigned i, int fd, int reason)
{
	judge(k, k->soak->names[i], fd, reason, i >= DENIED, i < FLIPS, &k->soak->st[i]);
}

/* ---- the clients ---- */

static struct openc_conn *connected(struct soak *s)
{
	int64_t until = now_msec() + PATIENCE_MS;
	struct openc_conn *c = NULL;
	int r;

	/* A listener is away for a moment when opend starts again. */
	while ((r = openc_new(&c, s->socket)) == -ENOTCONN && !s->calm && now_msec() < until)
		sleep_msec(10);
	ok(r);
	return c;
}

static void by_batches(struct client_of_soak *k, struct soak *s)
{
	struct openc_result results[BATCH] = { 0 };
	struct openc_conn *c = connected(s);
	const char *paths[BATCH];

	for (unsigned first = 0; !s->over; first = (first + 7) % FILES) {
		int64_t began = now_usec();

		for (unsigned i = 0; i < BATCH; i++)
			paths[i] = s->names[(first + i) % FILES];
		openc_open_many(c, paths, BATCH, NULL, 0, results, sizeof *results, 0);
		note_time(k, began);
		for (unsigned i = 0; i < BATCH; i++)
			judge_file(k, (first + i) % FILES, results[i].fd, results[i].reason);
	}
	openc_free(c);
}

static void one_by_one(struct client_of_soak *k, struct soak *s)
{
	struct openc_conn *c = NULL;

	for (unsigned i = 0; !s->over; i++) {
		int64_t began = now_usec();
		int fd;

		if (i % 1000 == 0) {
			openc_free(c);
			c = connected(s);
		}
		fd = openc_open(c, s->names[i % FILES], O_RDONLY, 0);
		note_time(k, began);
		judge_file(k, i % FILES, fd, openc_reason(c));
	}
	openc_free(c);
}

/* A connection that is lost is not made again by itself: whatever was under way gets an answer that
 * says so. */
static void by_events(struct client_of_soak *k, struct soak *s)
{
	struct openc_conn *c = NULL;
	uint64_t first = 0, id;

	while (!s->over) {
		struct openc_result r;
		int flying = 0, state = 0;

		c = c ? c : connected(s);
		while (flying < BATCH && openc_submit(c, s->names[flying], NULL, 0, &id) == 0)
			first = flying++ ? first : id;
		while (flying > 0 && state >= 0) {
			struct pollfd p = { .fd = openc_get_fd(c),
					    .events = (short)openc_get_events(c) };

			poll(&p, 1, openc_get_timeout(c));
			state = openc_process(c);
			for (; openc_take(c, &r, sizeof r) == 1; flying--)
				judge_file(k, (unsigned)(r.id - first), r.fd, r.reason);
		}
		ensure(flying == 0, "%d requests without an answer", flying);
		if (state < 0 || s->over)
			c = openc_free(c);
	}
	openc_free(c);
}

static void as_root(struct client_of_soak *k, struct soak *s)
{
	struct openc_conn *c = connected(s);

	while (!s->over) {
		int64_t began = now_usec();
		int fd = openc_open(c, s->root, O_RDONLY, 0);

		note_time(k, began);
		judge(k, s->root, fd, openc_reason(c), true, false, &s->root_st);
		/* A lender a second, and not more. */
		if (fd < 0)
			sleep_msec(20);
	}
	openc_free(c);
}

/* What is created must be there, ours, and the one that we got. */
static void by_creating(struct client_of_soak *k, struct soak *s)
{
	struct openc_conn *c = connected(s);
	char path[NAME_SIZE + 32];
	struct stat st = { 0 };

	for (unsigned i = 0; !s->over; i++) {
		int fd;

		snprintf(path, sizeof path, "%s/%u", s->made, i);
		fd = openc_open(c, path, O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd >= 0) {
			sys(stat(path, &st));
			ensure(st.st_uid == k->uid && (st.st_mode & 07777) == 0600,
			       "%s: of uid %u, mode %#o", path, st.st_uid, st.st_mode);
		}
		judge(k, path, fd, openc_reason(c), true, false, &st);
		unlink(path);
	}
	openc_free(c);
}

/* No rule is for him: he has the lobby. */
static void in_vain(struct client_of_soak *k, struct soak *s)
{
	struct openc_conn *c = connected(s);

	for (unsigned i = 0; !s->over; i = (i + 1) % FILES) {
		int64_t began = now_usec();
		int fd = openc_open(c, s->names[i], O_RDONLY, 0);

		note_time(k, began);
		judge(k, s->names[i], fd, openc_reason(c), false, true, NULL);
	}
	openc_free(c);
}

/* Asks for a hundred files, reads no answer, and goes. */
static void without_manners(struct client_of_soak *k, struct soak *s)
{
	char frame[WIRE_REQUEST_MAX];

	while (!s->over) {
		struct sockaddr_un a = { .sun_family = AF_UNIX };
		_cleanup_close_ int fd = (int)sys(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

		strcpy(a.sun_path, s->socket);
		if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
			for (unsigned i = 0; i < 100; i++)
				if (send(fd, frame,
					 raw_open(frame, i + 1, s->names[FLIPS + i], O_RDONLY),
					 MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
					k->t.right++;
		sleep_msec(20);
	}
}

static struct client_of_soak kinds[] = {
	{ "batches", 1000, by_batches, { 0 }, NULL },
	{ "batches of another user", 1001, by_batches, { 0 }, NULL },
	{ "one by one", 1000, one_by_one, { 0 }, NULL },
	{ "asynchronous", 1003, by_events, { 0 }, NULL },
	{ "as root", 1000, as_root, { 0 }, NULL },
	{ "creating", 1001, by_creating, { 0 }, NULL },
	{ "refused", 1002, in_vain, { 0 }, NULL },
	{ "without manners", 1003, without_manners, { 0 }, NULL },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void run_client(void *arg)
{
	struct client_of_soak *k = arg;

	k->run(k, k->soak);
}

static void make_files(struct soak *s)
{
	make_dir(at("data/denied"), 0755, 0);
	make_dir(at("data/flips"), 0755, 0);
	make_dir(at("data/files"), 0755, 0);
	for (int i = 0; i < FILES; i++) {
		const char *dir = i < DENIED ? "denied" : i < FLIPS ? "flips" : "files";

		snprintf(s->names[i], NAME_SIZE, "%s/%d", at("data/%s", dir), i);
		make_file(s->names[i], 0644, 0, text("%d\n", i));
		sys(stat(s->names[i], &s->st[i]));
	}
	snprintf(s->made, NAME_SIZE, "%s", make_dir(at("data/made"), 0755, 1001));
	snprintf(s->root, NAME_SIZE, "%s", make_file(at("data/root"), 0600, 0, "root\n"));
	sys(stat(s->root, &s->root_st));
}

/* ---- what happens to them ---- */

static struct {
	unsigned kills, audit, reloads, refused, restarts, crashes;
} events;

/* Written beforehand, and linked into place: good, without the files that flip, and broken. */
static void make_policies(void)
{
	static const char *const more[] = { "1000,1001,1003", "1001", "1003\nallow raed /" };

	make_dir(at("policies"), 0755, 0);
	for (int i = 0; i < 3; i++)
		make_file(at("policies/%d", i), 0644, 0,
			  text("allow read under %s to user 1000,1001,1003\n"
			       "deny any under %s to user 1000,1001,1003\n"
			       "allow read under %s to user 1000,1001,1003\n"
			       "allow read file %s to user 1000 as root\n"
			       "allow read,write,create under %s to user 1001\n"
			       "allow read under %s to user %s\n",
			       at("data/files"), at("data/denied"), at("data/denied"),
			       at("data/root"), at("data/made"), at("data/flips"), more[i]));
}

static void put_policy(int i)
{
	sys(link(at("policies/%d", i), at("policies/next")));
	sys(rename(at("policies/next"), at("policy/10.policy")));
	unlink(at("policies/next"));
}

static bool one_in(unsigned n)
{
	return (unsigned)random() % n == 0;
}

static void kill_one(const pid_t *pids, size_t n, unsigned *count)
{
	if (n && kill(pids[(size_t)random() % n], SIGKILL) == 0)
		++*count;
}

static void harm(const struct opend *o)
{
	pid_t pids[64];

	if (one_in(8))
		kill_one(pids, children(o->pid, "opend-audit", pids, ELEMENTSOF(pids)),
			 &events.audit);
	else if (one_in(4))
		kill_one(pids, lenders(o, (uid_t)-1, pids, ELEMENTSOF(pids)), &events.kills);
	else if (one_in(2))
		kill_one(pids, workers(o, (uid_t)-1, pids, ELEMENTSOF(pids)), &events.kills);
}

static void reload_something(const struct opend *o)
{
	int which = (int)(random() % 3), r;
	char *answer;

	put_policy(which);
	r = control(o, "reload", &answer);
	ensure((r < 0) == (which == 2), "policy %d: %s", which, answer);
	if (r < 0)
		events.refused++;
	events.reloads++;
	put_policy(0);
}

static void start_again(struct opend *o, const char *const *args)
{
	const struct opend first = *o;
	int status;
	bool crash = one_in(3);

	sys(kill(o->pid, crash ? SIGKILL : SIGTERM));
	ensure(within(20000, waitpid(o->pid, &status, WNOHANG) == o->pid), "it does not end");
	ensure(crash || (WIFEXITED(status) && WEXITSTATUS(status) == 0), "it ended with %#x",
	       (unsigned)status);
	close_fd(o->notify);
	*o = opend_spawn(0, args);
	opend_wait_ready(o);
	/* Its clients are there by now; what it has at rest the first one showed. */
	o->idle_fds = first.idle_fds;
	o->idle_children = first.idle_children;
	o->idle_supervisor_fds = first.idle_supervisor_fds;
	events.restarts += !crash;
	events.crashes += crash;
}

/* ---- what it holds ---- */

struct sample {
	double at, fds, memory, processes;
};
static struct sample samples[SAMPLES_MAX];
static size_t n_samples;

static double memory_of(pid_t pid)
{
	char name[64], line[256];
	_cleanup_fclose_ FILE *f = NULL;
	unsigned long kb = 0;

	snprintf(name, sizeof name, "/proc/%d/status", (int)pid);
	f = fopen(name, "re");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "RssAnon: %lu", &kb) == 1)
			break;
	return (double)kb;
}

/* What opend holds for itself; workers and opend-audit, who are killed, only count, and each worker
 * has four descriptors there. */
static void take_sample(const struct opend *o, int64_t began)
{
	pid_t all[128];
	struct sample *p = &samples[n_samples];

	if (n_samples == SAMPLES_MAX)
		return;
	*p = (struct sample){ .at = (double)(now_msec() - began) / 1000,
			      .fds = count_fds(o->pid) -
				     4.0 * (double)children(o->pid, "opend-worker", all, 128),
			      .memory = memory_of(o->pid),
			      .processes = (double)children(o->pid, NULL, all, 128) };
	n_samples++;
}

static double mean(size_t from, size_t to, size_t offset)
{
	double sum = 0;

	for (size_t i = from; i < to; i++)
		sum += *(const double *)(const void *)((const char *)&samples[i] + offset);
	return sum / (double)(to - from);
}

/* The last third beside the third before it: the first is for getting warm. */
static void check_growth(const char *what, size_t offset, double allowed)
{
	double before = mean(n_samples / 3, 2 * n_samples / 3, offset);
	double after = mean(2 * n_samples / 3, n_samples, offset);
	double minutes = (samples[n_samples - 1].at - samples[0].at) / 3 / 60;

	printf("soak: %s: %.1f, a third later %.1f: %+.2f a minute\n", what, before, after,
	       (after - before) / minutes);
	ensure(after - before < allowed, "%s grow: %.1f, then %.1f", what, before, after);
}

/* ---- the run ---- */

static void live_through(struct opend *o, const char *const *args, int seconds, bool restarts)
{
	int64_t began = now_msec(), next_sample = began, next_start = began + 2000;

	while (now_msec() - began < seconds * 1000) {
		harm(o);
		if (one_in(4))
			reload_something(o);
		if (restarts && now_msec() > next_start) {
			start_again(o, args);
			next_start = now_msec() + 1000 + random() % 8000;
		}
		if (!restarts && now_msec() >= next_sample) {
			take_sample(o, began);
			next_sample += 500;
		}
		sleep_msec(20 + (int)(random() % 200));
	}
}

static void report(const struct client_of_soak *k, int seconds, int64_t over_restarts)
{
	uint64_t right = 0, opened = 0, not_now = 0;
	int64_t longest = 0;

	for (size_t i = 0; i < KINDS; i++) {
		printf("soak: %-24s %10llu answers, %10llu files, %6llu told to try again, "
		       "longest %.1f ms\n",
		       k[i].name, (unsigned long long)k[i].t.right,
		       (unsigned long long)k[i].t.opened, (unsigned long long)k[i].t.not_now,
		       (double)k[i].t.longest / 1000);
		longest = UTIL_MAX(longest, k[i].t.longest);
		right += k[i].t.right;
		opened += k[i].t.opened;
		not_now += k[i].t.not_now;
		ensure(k[i].t.right > 0, "%s got no answer", k[i].name);
	}
	printf("soak: %llu answers, all right, %llu files opened, in %d s; %llu told to try "
	       "again\n",
	       (unsigned long long)right, (unsigned long long)opened, seconds,
	       (unsigned long long)not_now);
	printf("soak: killed: %u workers and lenders, %u times opend-audit; %u reloads, of which "
	       "%u "
	       "broken; %u restarts, %u crashes of opend\n",
	       events.kills, events.audit, events.reloads, events.refused, events.restarts,
	       events.crashes);
	printf("soak: longest call, over restarts of opend %.1f ms, else %.1f ms\n",
	       (double)over_restarts / 1000, (double)longest / 1000);
	ensure(not_now * 100 < right, "%llu told to try again", (unsigned long long)not_now);
	ensure(UTIL_MAX(longest, over_restarts) < PATIENCE_MS * 1000, "that is too long");
}

START_TEST(soak)
{
	const char *wanted = getenv("SOAK_SECONDS"), *args[32];
	const int seconds = wanted && atoi(wanted) > 0 ? atoi(wanted) : SECONDS;
	struct client_of_soak *k = shared(sizeof kinds);
	struct soak *s = shared(sizeof *s);
	struct client clients[KINDS];
	int64_t over_restarts = 0;
	struct opend o;

	srandom((unsigned)getpid());
	make_files(s);
	make_policies();
	put_policy(0);
	opend_args(0, args);
	o = opend_spawn(0, args);
	opend_wait_ready(&o);
	s->socket = o.socket;
	memcpy(k, kinds, sizeof kinds);
	for (size_t i = 0; i < KINDS; i++) {
		k[i].soak = s;
		clients[i] = client_start(uid_only(k[i].uid), run_client, &k[i]);
	}
	live_through(&o, args, seconds / 2, true);
	for (size_t i = 0; i < KINDS; i++) {
		over_restarts = UTIL_MAX(over_restarts, k[i].t.longest);
		k[i].t.longest = 0;
	}
	live_through(&o, args, seconds - seconds / 2, false);
	ok(reload(&o));
	/* What was under way when the last one was killed. */
	sleep_msec(3000);
	s->calm = true;
	sleep_msec(3000);
	s->over = true;
	for (size_t i = 0; i < KINDS; i++)
		client_wait(&clients[i]);
	report(k, seconds, over_restarts);
	check_growth("descriptors of opend", offsetof(struct sample, fds), 4);
	check_growth("memory of opend, KiB", offsetof(struct sample, memory), 256);
	check_growth("processes", offsetof(struct sample, processes), 2);
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("soak");

	ADD_ROOT(s, soak, 86000);
	return s;
}

int main(void)
{
	if (!is_root()) {
		harness_skip("soak", "needs root to be several clients");
		return EXIT_SUCCESS;
	}
	return harness_main("soak", suite);
}
