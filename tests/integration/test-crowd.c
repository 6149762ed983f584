/* SPDX-License-Identifier: MIT
 * A thousand clients of twenty uids at once, each opening a hundred files that only its own uid
 * may read: everybody gets the very inodes, and when they have gone nothing of them is left. */
#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include "harness.h"

enum { UIDS = 20, EACH = 50, CLIENTS = UIDS * EACH, FILES = 100, FIRST_UID = 1000 };

struct crowd {
	const char *socket;
	atomic_int connected;
	int go; /* eventfd: a thousand who look whether it is time leave it to nobody else */
	uint64_t dev, ino[UIDS][FILES];
};

struct member {
	struct crowd *crowd;
	int uid; /* index */
};

static char *file_of(int uid, int i)
{
	return at("data/%d/%d", uid, i);
}

static void check_file(const struct member *m, int i, int fd, uint64_t result_ino)
{
	const struct crowd *c = m->crowd;
	struct stat st;

	ensure(fd >= 3, "file %d: %s", i, fd < 0 ? strerror(-fd) : "a strange descriptor");
	sys(fstat(fd, &st));
	ensure(st.st_ino == c->ino[m->uid][i] && st.st_dev == c->dev && result_ino == st.st_ino,
	       "file %d of %d: another file came", i, m->uid);
	close_fd(fd);
}

/* Some by one, the rest in one go. */
static void open_all(const struct member *m, struct openc_conn *conn)
{
	const char *paths[FILES];
	struct openc_result results[FILES] = { 0 };
	const int by_one = FILES / 3;
	int r;

	for (int i = 0; i < FILES; i++)
		paths[i] = file_of(m->uid, i);
	for (int i = 0; i < by_one; i++) {
		r = openc_open_how(conn, paths[i], NULL, 0, results, sizeof *results);
		check_file(m, i, r, results->ino);
	}
	r = openc_open_many(conn, paths + by_one, (size_t)(FILES - by_one), NULL, 0,
			    results + by_one, sizeof *results, 0);
	ensure(r == FILES - by_one, "%d of %d: %s", r, FILES - by_one, openc_message(conn));
	for (int i = by_one; i < FILES; i++)
		check_file(m, i, results[i].fd, results[i].ino);
}

static void join(void *arg)
{
	const struct member *m = arg;
	struct openc_conn *conn = connect_to(m->crowd->socket);
	struct pollfd go = { .fd = m->crowd->go, .events = POLLIN };
	_cleanup_free_ char *answer = NULL;

	ok(openc_set_timeout(conn, 120000));
	/* Served, not merely in the backlog. */
	ok(openc_whoami(conn, &answer));
	atomic_fetch_add(&m->crowd->connected, 1);
	ensure(poll(&go, 1, (int)patience(120000)) == 1, "nobody said go");
	open_all(m, conn);
	openc_free(conn);
}

static struct crowd *make_crowd(int uids)
{
	struct crowd *c = shared(sizeof *c);
	struct rlimit files;

	for (int uid = 0; uid < uids; uid++) {
		make_dir(at("data/%d", uid), 0755, 0);
		for (int i = 0; i < FILES; i++) {
			struct stat st;

			make_file(file_of(uid, i), 0600, (uid_t)(FIRST_UID + uid), text("%d\n", i));
			sys(stat(file_of(uid, i), &st));
			c->ino[uid][i] = st.st_ino;
			c->dev = st.st_dev;
		}
	}
	/* A pipe to each client. */
	sys(getrlimit(RLIMIT_NOFILE, &files));
	files.rlim_cur = files.rlim_max;
	sys(setrlimit(RLIMIT_NOFILE, &files));
	return c;
}

static void run_crowd(struct crowd *c, int uids, int clients)
{
	static struct client running[CLIENTS];
	struct member members[UIDS];

	atomic_store(&c->connected, 0);
	c->go = (int)sys(eventfd(0, EFD_CLOEXEC));
	for (int i = 0; i < clients; i++) {
		struct member *m = &members[i % uids];

		*m = (struct member){ c, i % uids };
		running[i] = client_start(is_root() ? uid_only((uid_t)(FIRST_UID + m->uid)) : alice,
					  join, m);
	}
	ensure(within(120000, atomic_load(&c->connected) == clients), "%d of %d are connected",
	       atomic_load(&c->connected), clients);
	sys(eventfd_write(c->go, 1));
	for (int i = 0; i < clients; i++)
		client_wait(&running[i]);
	close_fd(c->go);
}

struct counts {
	size_t n;
	pid_t pids[64];
	int fds[64];
	int supervisor;
};

static struct counts count_all(const struct opend *o)
{
	struct counts c = { .supervisor = count_fds(o->pid) };

	c.n = children(o->pid, NULL, c.pids, ELEMENTSOF(c.pids));
	for (size_t i = 0; i < c.n; i++)
		c.fds[i] = count_fds(c.pids[i]);
	return c;
}

static bool same(const struct counts *a, const struct counts *b)
{
	return a->n == b->n && a->supervisor == b->supervisor &&
	       !memcmp(a->pids, b->pids, a->n * sizeof *a->pids) &&
	       !memcmp(a->fds, b->fds, a->n * sizeof *a->fds);
}

static bool back_to(const struct opend *o, const struct counts *before)
{
	struct counts now = count_all(o);

	return same(&now, before);
}

/* Where it takes long, workers stay. */
static char *config(void)
{
	return make_file(at("run/opend.conf"), 0644, 0, "set idle-seconds 3600\n");
}

/* Among a thousand on one emulated processor a worker runs so rarely that it is taken for stuck. */
static int as_many_as_can_run(void)
{
	return patience(1) < 10 ? CLIENTS : CLIENTS / 5;
}

START_TEST(a_thousand_clients_of_twenty_uids)
{
	struct crowd *c;
	struct counts before;
	struct opend o;

	needs_root("have clients of many uids");
	c = make_crowd(UIDS);
	policy("10", "allow read under %s to anyone\n", at("data"));
	o = opend_start("--config", config(), NULL);
	c->socket = o.socket;
	/* So that everybody's worker lives. */
	run_crowd(c, UIDS, UIDS);
	opend_check_idle(&o);
	before = count_all(&o);
	ensure(before.n >= UIDS, "%zu processes", before.n);
	run_crowd(c, UIDS, as_many_as_can_run());
	ensure(within(10000, back_to(&o, &before)),
	       "descriptors: %d, were %d; processes: %zu, were %zu", count_fds(o.pid),
	       before.supervisor, count_all(&o).n, before.n);
	/* And none reads what is another's. */
	ask_refused(&o, uid_only(FIRST_UID), file_of(1, 0), O_RDONLY, EACCES, OPENC_R_KERNEL);
	opend_stop(&o);
}
END_TEST

/* One uid may hold so many connections at a time, so the thousand come in waves. */
START_TEST(a_thousand_clients_of_one_uid)
{
	struct crowd *c = make_crowd(1);
	struct counts before;
	struct opend o;

	policy("10", "allow read under %s to anyone\n", at("data"));
	o = opend_start("--config", config(), NULL);
	c->socket = o.socket;
	run_crowd(c, 1, 1);
	opend_check_idle(&o);
	before = count_all(&o);
	for (int wave = 0; wave < CLIENTS / EACH; wave++)
		run_crowd(c, 1, EACH);
	ensure(within(10000, back_to(&o, &before)), "descriptors: %d, were %d", count_fds(o.pid),
	       before.supervisor);
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("crowd");

	ADD_ROOT(s, a_thousand_clients_of_twenty_uids, 180);
	ADD_USER(s, a_thousand_clients_of_one_uid, 180);
	return s;
}

int main(void)
{
	return harness_main("crowd", suite);
}
