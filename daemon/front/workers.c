/* SPDX-License-Identifier: MIT
 * Workers: their birth, what they report, their death.
 *
 * Identities with the same credentials and the same effective policy share a worker; those to
 * which no rule can apply share the lobby, which has no rules and no rights. A worker's records are
 * hostile input: a cookie counts only if it is that worker's own. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include "fdpass.h"
#include "front.h"
#include "messages.h"
#include "wire.h"

enum {
	RECORDS_AT_ONCE = 64,
	LAST_READS = 64,      /* a full pipe; whoever inherited its other end may go on writing */
	LEAVE_USEC = 5000000, /* its own deadline is 2 s; it may not keep it */
	STUCK_USEC = 5000000,
	BIRTH_USEC =
		20000000, /* on a machine that has better things to do; in one call: as above */
	STUCK_KILL_USEC = 30000000,
};

/* ---- birth ---- */

static int on_records(sd_event_source *source, int fd, uint32_t events, void *data);
static int on_death(sd_event_source *source, const siginfo_t *info, void *data);

int share_stats(const struct stats **ret)
{
	_cleanup_close_ int fd = memfd_create("opend-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *p;

	if (fd < 0 || ftruncate(fd, sizeof **ret) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return -errno;
	p = mmap(NULL, sizeof **ret, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	*ret = p;
	return take_fd(&fd);
}

static int pipe_to(int *ret_read, int *ret_write)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	*ret_read = p[0];
	*ret_write = p[1];
	return 0;
}

/* Not the loop's, which is that of its last turn. */
uint64_t now_usec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	hand_over(data);
	return 0;
}

/* We may not: it is somebody else. */
static void worker_kill(struct server *s, const struct worker *w)
{
	const struct question kill = { .type = ASK_KILL, .instance = w->instance };

	ask(s, &kill, NULL, 0, NULL);
}

static int watch_worker(struct server *s, struct worker *w)
{
	int r = watch_child(s, &w->child, w->pid, on_death, w);
	if (r >= 0)
		r = sd_event_add_io(s->event, &w->records, w->up, EPOLLIN, on_records, w);
	if (r >= 0)
		r = sd_event_add_io(s->event, &w->writable, w->down, EPOLLOUT, on_writable, w);
	if (r >= 0)
		r = sd_event_source_set_enabled(w->writable, SD_EVENT_OFF);
	return r < 0 ? r : 0;
}

static int start(struct server *s, struct worker *w, uint32_t identity, uint32_t like)
{
	const struct question birth = {
		.type = ASK_BIRTH, .role = w->role, .identity = identity, .instance = like
	};
	_cleanup_close_ int down = -1, up = -1, stats = share_stats(&w->stats), audit = -1;
	struct told told;
	int sv[2], r;

	if (stats < 0)
		return stats;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	w->down = sv[0];
	down = sv[1];
	/* It cannot send us anything this way, least of all a descriptor. */
	shutdown(w->down, SHUT_RD);
	r = pipe_to(&w->up, &up);
	if (r == 0)
		r = pipe_to(&w->audit, &audit);
	if (r < 0)
		return r;
	fcntl(w->up, F_SETFL, O_NONBLOCK);
	fcntl(audit, F_SETFL, O_NONBLOCK);
	r = ask(s, &birth, (int[]){ down, up, stats, audit }, 4, &told);
	if (r < 0)
		return r;
	w->pid = told.pid;
	w->instance = told.instance;
	w->slot = told.slot;
	w->uid = told.uid;
	w->gid = told.gid;
	audit_introduce(s, w);
	r = watch_worker(s, w);
	if (r < 0) {
		worker_kill(s, w);
		waitpid(w->pid, NULL, 0);
	}
	return r;
}

static void worker_free(struct worker *w)
{
	sd_event_source_disable_unref(w->child);
	sd_event_source_disable_unref(w->records);
	sd_event_source_disable_unref(w->writable);
	sd_event_source_disable_unref(w->refresh_later);
	close_fd(w->down);
	close_fd(w->up);
	close_fd(w->audit);
	close_fd(w->lender_end);
	if (w->stats)
		munmap((void *)w->stats, sizeof *w->stats);
	free(w);
}

int down_send(struct worker *w, struct down *d, int fd)
{
	int r = fdpass_send(w->down, d, sizeof *d, &fd, fd >= 0);

	return r < 0 ? r : 0;
}

static void no_longer_awaited(struct server *s, struct worker *w)
{
	if (w->awaited)
		reload_settled(s, w, 1);
	w->awaited = false;
}

/* Its identities look for another worker when they next need one; whoever was waiting for it needs
 * one now. */
void leave(struct server *s, struct worker *w, enum down_type how, int successor_end)
{
	struct down d = { .type = how };
	struct identity *i;
	struct client *c;

	if (w->state == WORKER_LEAVING)
		return;
	w->state = WORKER_LEAVING;
	w->left = now_usec();
	w->heir = w->successor ? w->successor->instance : 0;
	reload_unsettled(s, w);
	no_longer_awaited(s, w);
	if (w->account)
		w->account->n_serving--;
	lender_gone(w);
	while ((i = LIST_FIRST(&w->identities))) {
		identity_serve(i, how == DOWN_RELEASE && successor_end >= 0 ? w->successor : NULL);
		identity_release(s, i);
	}
	/* Where not even that gets through it is stuck: end of file is behind what it has not read.
	 */
	if (down_send(w, &d, successor_end) < 0)
		shutdown(w->down, SHUT_WR);
	while ((c = TAILQ_FIRST(&w->waiting))) {
		client_detach(c);
		client_place(s, c, 0);
	}
}

void stats_add(struct stats *sum, const struct stats *page)
{
	if (!page)
		return;
	sum->opens += page->opens;
	sum->infos += page->infos;
	sum->others += page->others;
	sum->granted += page->granted;
	sum->lent += page->lent;
	sum->audit_dropped += page->audit_dropped;
	for (size_t i = 0; i < STATS_REASONS; i++)
		sum->denied[i] += page->denied[i];
}

/* Everything that must not outlive a worker. Its process is gone or will never have been. */
static void worker_end(struct server *s, struct worker *w)
{
	const struct question bury = { .type = ASK_BURY, .instance = w->instance };
	struct client *c;
	struct identity *i;

	if (w->pid)
		ask(s, &bury, NULL, 0, NULL);
	while ((c = TAILQ_FIRST(&w->clients)))
		client_close(s, c);
	while ((i = LIST_FIRST(&w->identities))) {
		identity_serve(i, NULL);
		identity_release(s, i);
	}
	/* It never saw these. Another may serve them; but where one could not even be born, the
	 * next could not either. */
	while ((c = TAILQ_FIRST(&w->waiting))) {
		if (!w->served || !c->identity) {
			client_turn_away(s, c, WIRE_RESOURCES);
			continue;
		}
		client_detach(c);
		client_place(s, c, 0);
	}
	lender_gone(w);
	if (w->lender)
		leave(s, w->lender, DOWN_RETIRE, -1);
	if (w->predecessor)
		refresh_failed(w->predecessor);
	if (w->successor)
		w->successor->predecessor = NULL;
	if (w->account) {
		w->account->n_workers--;
		w->account->n_serving -= w->state != WORKER_LEAVING;
		w->account->n_stuck -= w->stuck_since != 0;
		account_release(s, w->account);
	}
	stats_add(&s->retired, w->stats);
	LIST_REMOVE(w, all);
	reload_settled(s, w, w->unsettled);
	worker_free(w);
}

int worker_new(struct server *s, enum birth_role role, uid_t payer, uint32_t identity,
	       uint32_t like, struct worker **ret)
{
	struct worker *w = calloc(1, sizeof *w);
	int r = 0;

	if (!w)
		return -ENOMEM;
	w->down = w->up = w->audit = w->lender_end = -1;
	w->role = role;
	w->server = s;
	w->born = w->idle_since = now_usec();
	LIST_INIT(&w->identities);
	TAILQ_INIT(&w->clients);
	TAILQ_INIT(&w->waiting);
	LIST_INSERT_HEAD(&s->workers, w, all);
	if (role != BIRTH_LOBBY) {
		w->account = account_of(s, payer);
		r = w->account ? 0 : -ENOMEM;
	}
	if (w->account) {
		w->account->n_workers++;
		w->account->n_serving++;
	}
	if (r == 0)
		r = start(s, w, identity, like);
	if (r < 0) {
		say(LOG_WARNING, "cannot start a worker: %s", strerror(-r));
		worker_end(s, w);
		return r;
	}
	*ret = w;
	return 0;
}

/* ---- which worker ---- */

/* Is one more worker within this uid's quota? 0, or the reason why not. One that is idle makes room
 * for it. */
static int over_quota(struct server *s, const struct account *a)
{
	struct worker *w;

	if (a->n_stuck >= s->settings.stuck_per_user)
		return WIRE_STUCK;
	if (a->n_serving < s->settings.workers_per_user)
		return 0;
	LIST_FOREACH (w, &s->workers, all)
		if (w->account == a && w->state == WORKER_READY && w->n_clients == 0 &&
		    w->role == BIRTH_WORKER) {
			leave(s, w, DOWN_RELEASE, -1);
			return 0;
		}
	return WIRE_QUOTA;
}

static bool may_serve(const struct worker *w)
{
	return w->state != WORKER_LEAVING && !w->dead;
}

static struct worker *worker_called(struct server *s, uint32_t instance)
{
	struct worker *w;

	LIST_FOREACH (w, &s->workers, all)
		if (instance && w->instance == instance && may_serve(w))
			return w;
	return NULL;
}

static int lobby_born(struct server *s, struct worker **ret)
{
	return backoff_holds(s, (uid_t)-1) ? WIRE_RESOURCES
					   : worker_new(s, BIRTH_LOBBY, 0, 0, 0, ret);
}

static int worker_born(struct server *s, const struct identity *i, struct worker **ret)
{
	int r = backoff_holds(s, i->is.uid) ? WIRE_RESOURCES : over_quota(s, i->account);

	return r ? r : worker_new(s, BIRTH_WORKER, i->is.uid, i->number, 0, ret);
}

int worker_for(struct server *s, struct identity *i, struct worker **ret)
{
	const struct question fit = { .type = ASK_FIT, .identity = i->number };
	struct told told;
	struct worker *w;
	int r;

	if (i->worker && may_serve(i->worker)) {
		*ret = i->worker;
		return 0;
	}
	identity_serve(i, NULL);
	r = ask(s, &fit, NULL, 0, &told);
	if (r < 0)
		return r;
	/* Rules by unit have come since he connected, and nobody asked for his. */
	if (told.anew)
		return WIRE_RESTART;
	w = worker_called(s, told.instance);
	if (!w)
		r = told.rules ? worker_born(s, i, &w) : lobby_born(s, &w);
	if (r != 0)
		return r;
	w->has_root = told.root_rules > 0;
	identity_serve(i, w);
	*ret = w;
	return 0;
}

/* ---- records ---- */

static const char *step_name(uint32_t step)
{
	static const char *const names[] = {
		[STEP_CERTIFICATE] = "reading its certificate",
		[STEP_DUMPABLE] = "becoming non-dumpable",
		[STEP_AMBIENT] = "clearing its ambient capabilities",
		[STEP_GROUPS] = "setgroups",
		[STEP_GIDS] = "setresgid",
		[STEP_UIDS] = "setresuid",
		[STEP_CAPS] = "dropping capabilities",
		[STEP_READ_BACK] = "reading back its identity",
		[STEP_POLICY] = "reading its policy",
		[STEP_MEMORY] = "allocating memory",
		[STEP_OPENAT2] = "openat2 (is RestrictSUIDSGID= or an old filter in the way?)",
		[STEP_LANDLOCK] = "Landlock",
		[STEP_SECCOMP] = "seccomp",
	};

	return step < ELEMENTSOF(names) && names[step] ? names[step] : "an unknown step";
}

static bool is_heir(const struct worker *w, const struct identity *i)
{
	return i && i->worker && may_serve(i->worker) && w->heir && i->worker->instance == w->heir;
}

/* carried: something had been read from it, and has gone to w's heir. */
static void take_back(struct server *s, const struct worker *w, struct client *c, bool carried)
{
	client_detach(c);
	if (!carried)
		client_place(s, c, 0);
	else if (is_heir(w, c->identity))
		client_place(s, c, DOWN_CARRIED);
	else
		client_turn_away(s, c, WIRE_RESTART);
}

static void take_record(struct server *s, struct worker *w, const struct up *u)
{
	struct client *c;

	if (w->dead && u->type != UP_CLOSED && u->type != UP_RELEASED && u->type != UP_FAILED)
		return;
	switch (u->type) {
	case UP_READY:
		if (w->state != WORKER_BORN)
			break;
		w->state = WORKER_READY;
		w->served = now_usec();
		w->landlock_abi = u->a;
		w->confinement = u->b;
		if (w->predecessor)
			succeed(s, w);
		hand_over(w);
		no_longer_awaited(s, w);
		if (w->role == BIRTH_LENDER)
			introduce(w);
		break;
	case UP_FAILED:
		if (w->state != WORKER_BORN)
			break;
		w->state = WORKER_LEAVING;
		w->left = now_usec();
		if (w->account)
			w->account->n_serving--;
		lender_gone(w);
		say(LOG_ERR, "a worker for uid %u could not confine itself, at %s: %s", w->uid,
		    step_name(u->b), u->a < 4096 ? strerror((int)u->a) : "?");
		break;
	case UP_CLOSED:
		c = client_find(s, w, u->cookie);
		if (c && c->handed_over)
			client_close(s, c);
		break;
	case UP_RELEASED:
		c = client_find(s, w, u->cookie);
		if (c && c->handed_over && w->state == WORKER_LEAVING)
			take_back(s, w, c, u->a);
		break;
	case UP_LENDER:
		if (w->state != WORKER_BORN)
			want_lender(s, w);
		break;
	case UP_REFRESH:
		refresh(s, w);
		break;
	case UP_SETTLED:
		reload_settled(s, w, 1);
		break;
	default:
		break;
	}
}

/* Reads a handful. 0: there may be more. -EAGAIN, -EPIPE for its end of file, or -EPROTO for a torn
 * record: no worker of ours writes one. */
static int read_records(struct worker *w)
{
	struct up records[RECORDS_AT_ONCE];
	ssize_t n = read(w->up, records, sizeof records);

	if (n <= 0)
		return n == 0 ? -EPIPE : -errno;
	if (n % (ssize_t)sizeof *records)
		return -EPROTO;
	for (size_t i = 0; i < (size_t)n / sizeof *records; i++)
		take_record(w->server, w, &records[i]);
	return 0;
}

static int on_records(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct worker *w = data;
	int r = read_records(w);

	(void)fd;
	(void)events;
	if (r == 0 || r == -EAGAIN || r == -EINTR)
		return 0;
	/* After its end of file comes its death. */
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	if (r != -EPIPE)
		worker_kill(w->server, w);
	return 0;
}

/* One that hangs may never end, and nobody waits for it. */
static void end_with_the_last(struct server *s)
{
	const struct worker *w;

	if (!s->stopping)
		return;
	LIST_FOREACH (w, &s->workers, all)
		if (!w->stuck_since)
			return;
	workers_kill(s);
	sd_event_exit(s->event, 0);
}

static int on_death(sd_event_source *source, const siginfo_t *info, void *data)
{
	struct worker *w = data;
	struct server *s = w->server;
	bool by_signal = info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED;

	/* What it said before it ended counts, so far as it can still matter: it may have given
	 * back all it had. */
	w->dead = true;
	for (int i = 0; i < LAST_READS && read_records(w) == 0; i++)
		;
	s->exits[!by_signal ? 0 : info->si_status == SIGSYS ? 2 : 1]++;
	if (by_signal && info->si_status != SIGTERM)
		say_event(MESSAGE_ID_CRASHED, LOG_WARNING,
			  "worker %d of uid %u died by signal %d (%s)%s", (int)w->pid, w->uid,
			  info->si_status, strsignal(info->si_status),
			  info->si_status == SIGSYS ? ": it made a call that its filter forbids"
						    : "");
	(void)source;
	backoff_death(s, w, !by_signal && info->si_status == 0);
	worker_end(s, w);
	end_with_the_last(s);
	return 0;
}

/* ---- life ---- */

static struct worker *first(struct server *s)
{
	return LIST_FIRST(&s->workers);
}

static void count_stuck(struct worker *w, uint64_t now)
{
	if (!w->stuck_since && w->account)
		w->account->n_stuck++;
	if (!w->stuck_since)
		w->stuck_since = now;
}

/* A worker that has been in one call for too long may never come back. Whoever comes anew gets
 * another; its own connections follow if it does come back. In the end it is killed, and its
 * connections cut, even where SIGKILL has to wait (D state). */
static void watch_over(struct server *s, struct worker *w, uint64_t now)
{
	uint64_t busy = atomic_load_explicit(&w->stats->busy_since_ms, memory_order_relaxed) * 1000;
	bool stuck = busy && busy < now && now - busy > STUCK_USEC;
	struct client *c;

	stuck |= w->state == WORKER_BORN && now - w->born > BIRTH_USEC;
	if (stuck && !w->stuck_since && w->state != WORKER_LEAVING) {
		say_event(MESSAGE_ID_STUCK, LOG_WARNING,
			  "worker %d of uid %u is stuck; a fresh one serves whoever comes", w->pid,
			  w->uid);
		count_stuck(w, now);
		leave(s, w, DOWN_RELEASE, -1);
	} else if (w->state == WORKER_LEAVING &&
		   now - w->left > (w->stuck_since ? STUCK_KILL_USEC : LEAVE_USEC)) {
		worker_kill(s, w);
		while ((c = TAILQ_FIRST(&w->clients))) {
			shutdown(c->fd, SHUT_RDWR);
			client_close(s, c);
		}
		/* It may hang where SIGKILL has to wait. */
		count_stuck(w, now);
	}
}

void workers_keep_house(struct server *s)
{
	uint64_t now = now_usec();

	for (struct worker *w = first(s), *next; w; w = next) {
		next = LIST_NEXT(w, all);
		hand_over(w);
		if (w->lender_due)
			want_lender(s, w);
		if (w->role == BIRTH_LENDER && w->state == WORKER_READY && w->lender_end >= 0)
			introduce(w);
		watch_over(s, w, now);
		if (w->role != BIRTH_LENDER && w->state == WORKER_READY && w->n_clients == 0 &&
		    now - w->idle_since > (uint64_t)s->settings.idle_seconds * 1000000)
			leave(s, w, DOWN_RELEASE, -1);
	}
}

/* What the rules that are in force now mean for a worker. */
enum fate { STAYS, REPLACED, CLIENTS_CONNECT_ANEW };

static enum fate fate_of(struct server *s, const struct worker *w)
{
	enum fate fate = STAYS;
	struct identity *i;

	if (w->role == BIRTH_LENDER)
		return w->borrower && fate_of(s, w->borrower) == STAYS ? STAYS
								       : CLIENTS_CONNECT_ANEW;
	if (w->predecessor)
		return fate_of(s, w->predecessor);
	LIST_FOREACH (i, &w->identities, same_worker) {
		const struct question fit = { .type = ASK_FIT,
					      .identity = i->number,
					      .instance = w->instance };
		struct told told;

		/* Who has to be asked for his unit must connect anew. */
		if (ask(s, &fit, NULL, 0, &told) == 0 && told.anew)
			return CLIENTS_CONNECT_ANEW;
		if (!told.fits)
			fate = REPLACED;
	}
	return fate;
}

void workers_policy_changed(struct server *s)
{
	for (struct worker *w = first(s), *next; w; w = next) {
		struct down d = { .type = DOWN_GENERATION, .cookie = s->generation };

		next = LIST_NEXT(w, all);
		switch (fate_of(s, w)) {
		case STAYS:
			if (down_send(w, &d, -1) == 0)
				reload_unsettled(s, w);
			break;
		case REPLACED:
			leave(s, w, DOWN_RELEASE, -1);
			break;
		case CLIENTS_CONNECT_ANEW:
			leave(s, w, DOWN_RETIRE, -1);
			break;
		}
	}
}

/* A lender ends with its worker, which may need it until then. */
void workers_end(struct server *s)
{
	const enum down_type how = store_has_room(s) ? DOWN_RELEASE : DOWN_RETIRE;

	s->stopping = true;
	for (struct worker *w = first(s); w; w = LIST_NEXT(w, all))
		if (w->role != BIRTH_LENDER)
			leave(s, w, how, -1);
	end_with_the_last(s);
}

void workers_hurry(struct server *s)
{
	struct down d = { .type = DOWN_RETIRE };

	for (struct worker *w = first(s); w; w = LIST_NEXT(w, all))
		down_send(w, &d, -1);
}

void workers_kill(struct server *s)
{
	for (struct worker *w = first(s); w; w = LIST_NEXT(w, all))
		worker_kill(s, w);
}
