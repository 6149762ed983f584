/* SPDX-License-Identifier: MIT
 * Workers: their birth, what they are given, what they report, their death.
 *
 * Identities with the same credentials and the same effective policy share a worker; those to
 * which no rule can apply share the lobby, which has no rules and no rights. Nobody ever waits for
 * a worker: what it is given is queued until it has said READY, and its death costs the
 * connections that it had and nothing else. Its records are hostile input: a cookie counts only
 * if it is that worker's own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <search.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <syslog.h>
#include "fdpass.h"
#include "messages.h"
#include "supervisor.h"

enum {
	RECORDS_AT_ONCE = 64,
	LAST_READS = 64, /* a full pipe; whoever inherited its other end may go on writing */
	REFRESH_USEC = 1000000,
	LEAVE_USEC = 5000000, /* its own deadline is 2 s; it may not keep it */
	STUCK_USEC = 5000000,
	STUCK_KILL_USEC = 30000000,
};

static int down_send(struct worker *w, struct down *d, int fd);
static void hand_over(struct worker *w);
static void client_place(struct supervisor *s, struct client *c, uint32_t carried);
static void refresh_failed(struct worker *w);
static void lender_gone(struct worker *lender);
static void client_turn_away(struct supervisor *s, struct client *c, int reason);
static int on_refresh_due(sd_event_source *source, uint64_t usec, void *data);

/* ---- clients ---- */

void interrupt_after(unsigned usec)
{
	const struct timeval t = { .tv_sec = usec / 1000000, .tv_usec = usec % 1000000 };
	const struct itimerval timer = { .it_interval = t, .it_value = t };

	setitimer(ITIMER_REAL, &timer, NULL);
}

/* The last close of a TCP socket with SO_LINGER sleeps, and the sleep ends at a signal (socket(7)):
 * so a socket on which a client may have queued one is closed under a repeating timer. */
void close_guarded(int fd, bool no_rights)
{
	if (!no_rights)
		interrupt_after(10000);
	close(fd);
	if (!no_rights)
		interrupt_after(0);
}

static struct client *client_find(struct supervisor *s, const struct worker *w, uint64_t cookie)
{
	uint32_t i = (uint32_t)cookie;
	struct client *c = i < s->clients_size ? s->clients[i] : NULL;

	return c && c->cookie == cookie && c->worker == w ? c : NULL;
}

static struct client *client_new(struct supervisor *s)
{
	static uint32_t births;
	struct client *c;
	uint32_t i = s->clients_free_hint;

	if (s->n_clients >= s->settings.connections)
		return NULL;

	while (i < s->clients_size && s->clients[i])
		i++;
	if (i == s->clients_size) {
		uint32_t size = s->clients_size ? 2 * s->clients_size : 256;
		struct client **more;

		more = realloc(s->clients, size * sizeof *more);
		if (!more)
			return NULL;
		memset(more + s->clients_size, 0, (size - s->clients_size) * sizeof *more);
		s->clients = more;
		s->clients_size = size;
	}
	c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->fd = -1;
	c->cookie = (uint64_t)++births << 32 | i;
	s->clients[i] = c;
	s->clients_free_hint = i + 1;
	s->n_clients++;
	return c;
}

static uint64_t now_usec(struct supervisor *s)
{
	uint64_t now = 0;

	sd_event_now(s->event, CLOCK_MONOTONIC, &now);
	return now;
}

/* Takes c from its worker, whichever of its lists it is on. */
static void client_detach(struct supervisor *s, struct client *c)
{
	struct worker *w = c->worker;

	if (!w)
		return;
	TAILQ_REMOVE(c->handed_over ? &w->clients : &w->waiting, c, of_worker);
	c->worker = NULL;
	c->handed_over = false;
	if (--w->n_clients == 0)
		w->idle_since = now_usec(s);
}

/* Takes c off its worker and out of the table, and closes our duplicate. */
static void client_close(struct supervisor *s, struct client *c)
{
	uint32_t i = (uint32_t)c->cookie;

	client_detach(s, c);
	if (c->identity) {
		c->identity->n_clients--;
		c->identity->account->n_clients--;
		identity_release(s, c->identity);
	}
	s->clients[i] = NULL;
	if (i < s->clients_free_hint)
		s->clients_free_hint = i;
	s->n_clients--;
	if (c->fd >= 0)
		close_guarded(c->fd, c->flags & DOWN_NO_RIGHTS);
	free(c);
	if (s->opt.private_fd >= 0 && s->n_clients == 0)
		sd_event_exit(s->event, 0);
}

/* ---- birth ---- */

static void __attribute__((noreturn))
be_born(const struct supervisor *s, const struct worker *w, const int *fds, size_t n)
{
	static const char *const roles[] = { "worker", "lender", "lobby" };
	char title[32];
	char *const argv[] = { (char *)"opend-worker", (char *)roles[w->role], title, NULL };

	snprintf(title, sizeof title, "uid=%u", w->role == BIRTH_LOBBY ? w->slot : w->uid);
	if (privilege_hand_on(s, w->role == BIRTH_LENDER, w->writes) < 0)
		_exit(125);
	child_exec(s, s->worker_exe, fds, n, argv, false);
}

static int write_certificate(const struct supervisor *s, const struct worker *w)
{
	const struct birth b = {
		.version = CONTROL_VERSION,
		.role = w->role,
		.switch_ids = s->system,
		.uid = w->role == BIRTH_LOBBY && s->system ? w->slot : w->uid,
		.gid = w->role == BIRTH_LOBBY && s->system ? w->slot : w->gid,
		.slot = w->slot,
		.n_groups = w->n_groups,
		.policy_len = (uint32_t)w->text_len,
		.rules_len = (uint32_t)s->rules_len,
		.generation = s->generation,
		.landlock_max = s->opt.landlock_max,
		.require_landlock = s->opt.require_landlock || s->settings.require_landlock,
		.max_conns = w->role == BIRTH_LOBBY ? s->settings.connections
						    : s->settings.connections_per_user,
		.poll_usec = s->one_cpu ? 0 : s->settings.poll_usec,
		.frame_ms = 1000 * s->settings.frame_seconds,
		.denials_burst = s->settings.denials_burst,
		.denials_per_second = s->settings.denials_per_second,
		.instance = w->instance,
		.no_policy = !s->policy,
	};
	_cleanup_close_ int fd = memfd_create("opend-birth", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t groups = w->n_groups * sizeof *w->groups;

	if (fd < 0)
		return -errno;
	if (write(fd, &b, sizeof b) != sizeof b ||
	    write(fd, w->groups, groups) != (ssize_t)groups ||
	    write(fd, w->text, w->text_len) != (ssize_t)w->text_len ||
	    (s->rules && write(fd, s->rules, s->rules_len) != (ssize_t)s->rules_len))
		return -EIO;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	return take_fd(&fd);
}

static bool slot_in_use(struct supervisor *s, uint32_t slot)
{
	struct worker *w;

	LIST_FOREACH (w, &s->workers, all)
		if (w->slot == slot)
			return true;
	return false;
}

/* Each live worker has a number of its own; the next birth does not reuse the last death's. */
static int slot_take(struct supervisor *s, uint32_t *ret)
{
	for (uint32_t i = 0; i < s->slot_count; i++) {
		uint32_t slot = s->slot_first + (s->slot_next + i) % s->slot_count;

		if (!slot_in_use(s, slot)) {
			s->slot_next = slot - s->slot_first + 1;
			*ret = slot;
			return 0;
		}
	}
	return -EAGAIN;
}

static int on_records(sd_event_source *source, int fd, uint32_t events, void *data);
static int on_writable(sd_event_source *source, int fd, uint32_t events, void *data);
static int on_death(sd_event_source *source, const siginfo_t *info, void *data);

/* The page that the two share. Sealed, or the worker could shrink it under our eyes. */
static int share_stats(struct worker *w)
{
	_cleanup_close_ int fd = memfd_create("opend-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *p;

	if (fd < 0 || ftruncate(fd, sizeof *w->stats) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return -errno;
	p = mmap(NULL, sizeof *w->stats, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	w->stats = p;
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

static int watch_worker(struct supervisor *s, struct worker *w)
{
	int r;

	r = sd_event_add_child(s->event, &w->child, w->pid, WEXITED, on_death, w);
	if (r >= 0)
		r = sd_event_add_io(s->event, &w->records, w->up, EPOLLIN, on_records, w);
	if (r >= 0)
		r = sd_event_add_io(s->event, &w->writable, w->down, EPOLLOUT | EPOLLET,
				    on_writable, w);
	return r < 0 ? r : 0;
}

static int start(struct supervisor *s, struct worker *w)
{
	_cleanup_close_ int certificate = -1, down = -1, up = -1, stats = -1, audit = -1;
	int sv[2], r;

	certificate = write_certificate(s, w);
	stats = certificate < 0 ? certificate : share_stats(w);
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
	w->pid = fork();
	if (w->pid < 0)
		return -errno;
	if (w->pid == 0) {
		const int fds[] = { down, up, certificate, stats, audit };

		be_born(s, w, fds, ELEMENTSOF(fds));
	}
	audit_introduce(s, w);
	r = watch_worker(s, w);
	if (r < 0) {
		kill(w->pid, SIGKILL);
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
	free(w->groups);
	free(w->text);
	free(w);
}

static int down_send(struct worker *w, struct down *d, int fd)
{
	int r = fdpass_send(w->down, d, sizeof *d, &fd, fd >= 0);

	return r < 0 ? r : 0;
}

/* It serves nobody new from here on, and ends when it has given back what it has, or said GOODBYE
 * to it. Its identities look for another worker when they next need one; whoever was waiting for
 * it needs one now. */
static void leave(struct supervisor *s, struct worker *w, enum down_type how, int successor_end)
{
	struct down d = { .type = how };
	struct identity *i;
	struct client *c;

	if (w->state == WORKER_LEAVING)
		return;
	w->state = WORKER_LEAVING;
	w->left = now_usec(s);
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
		client_detach(s, c);
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
static void worker_end(struct supervisor *s, struct worker *w)
{
	struct client *c;
	struct identity *i;

	while ((c = TAILQ_FIRST(&w->clients)))
		client_close(s, c);
	/* It never saw these, so GOODBYE is the truth. */
	while ((c = TAILQ_FIRST(&w->waiting)))
		client_turn_away(s, c, WIRE_RESOURCES);
	while ((i = LIST_FIRST(&w->identities))) {
		identity_serve(i, NULL);
		identity_release(s, i);
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
	worker_free(w);
}

static void *copy_of(const void *p, size_t n)
{
	void *copy = malloc(n + 1);

	if (copy && n)
		memcpy(copy, p, n);
	return copy;
}

static int worker_new(struct supervisor *s, enum birth_role role, const struct identity *i,
		      char *consume_text, size_t text_len, bool writes, struct worker **ret)
{
	struct worker *w = calloc(1, sizeof *w);
	int r;

	if (!w) {
		free(consume_text);
		return -ENOMEM;
	}
	w->down = w->up = w->audit = w->lender_end = -1;
	w->role = role;
	w->text = consume_text;
	w->text_len = text_len;
	w->supervisor = s;
	w->writes = writes;
	w->no_policy = !s->policy;
	w->born = w->idle_since = now_usec(s);
	w->uid = i->uid;
	w->gid = i->gid;
	w->n_groups = i->n_groups;
	w->groups = copy_of(i->groups, i->n_groups * sizeof *i->groups);
	LIST_INIT(&w->identities);
	TAILQ_INIT(&w->clients);
	TAILQ_INIT(&w->waiting);
	r = w->groups ? 0 : -ENOMEM;
	if (r == 0 && s->system)
		r = slot_take(s, &w->slot);
	w->instance = ++s->instances;
	LIST_INSERT_HEAD(&s->workers, w, all);
	if (r == 0 && role != BIRTH_LOBBY) {
		w->account = account_of(s, i->uid);
		r = w->account ? 0 : -ENOMEM;
	}
	if (w->account) {
		w->account->n_workers++;
		w->account->n_serving++;
	}
	if (r == 0)
		r = start(s, w);
	if (r < 0) {
		say(LOG_WARNING, "cannot start a worker: %s", strerror(-r));
		worker_end(s, w);
		return r;
	}
	*ret = w;
	return 0;
}

/* ---- which worker ---- */

/* A private opend is its user and becomes nobody else; whoever differs gets the lobby. */
static bool can_be(const struct supervisor *s, const struct identity *i)
{
	_cleanup_free_ gid_t *groups = NULL;
	int n;

	if (s->system)
		return true;
	n = getgroups(0, NULL);
	if (i->uid != geteuid() || i->gid != getegid() || n != (int)i->n_groups)
		return false;
	groups = calloc((size_t)n + 1, sizeof *groups);
	return groups && getgroups(n, groups) == n &&
	       (n == 0 || memcmp(groups, i->groups, (size_t)n * sizeof *groups) == 0);
}

static struct policy_subject subject_of(const struct identity *i)
{
	return (struct policy_subject){ .uid = i->uid,
					.gid = i->gid,
					.groups = i->groups,
					.n_groups = i->n_groups,
					.unit = i->unit[0] ? i->unit : NULL,
					.via = i->door->name[0] ? i->door->name : NULL };
}

static int effective_text(const struct supervisor *s, const struct identity *i,
			  enum policy_part part, char **ret, size_t *len, size_t *n, size_t *n_root)
{
	const struct policy_subject who = subject_of(i);

	*n = *n_root = *len = 0;
	if (s->policy && can_be(s, i))
		return policy_print_effective(s->policy, &who, part, ret, len, n, n_root);
	*ret = strdup("");
	return *ret ? 0 : -ENOMEM;
}

static bool fits(const struct worker *w, const struct identity *i, const char *text, size_t len,
		 size_t n)
{
	if (w->state == WORKER_LEAVING || w->role == BIRTH_LENDER || w->text_len != len ||
	    memcmp(w->text, text, len))
		return false;
	if (n == 0 || w->role == BIRTH_LOBBY)
		return n == 0 && w->role == BIRTH_LOBBY;
	return w->uid == i->uid && w->gid == i->gid && w->n_groups == i->n_groups &&
	       memcmp(w->groups, i->groups, i->n_groups * sizeof *i->groups) == 0;
}

/* The lobby is nobody: as few rights as an id that owns nothing, or our own in a private opend. */
static int lobby_new(struct supervisor *s, char *consume_text, size_t len, struct worker **ret)
{
	_cleanup_free_ gid_t *groups = NULL;
	struct identity nobody = { .uid = s->uid, .gid = s->gid };
	int n = s->system ? 0 : getgroups(0, NULL);

	groups = calloc((size_t)n + 1, sizeof *groups);
	if (!groups || getgroups(n, groups) < 0) {
		free(consume_text);
		return -ENOMEM;
	}
	nobody.groups = groups;
	nobody.n_groups = (uint32_t)n;
	return worker_new(s, BIRTH_LOBBY, &nobody, consume_text, len, false, ret);
}

/* Is one more worker within this uid's quota? 0, or the reason why not. One that is idle makes room
 * for it. */
static int over_quota(struct supervisor *s, const struct account *a)
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

/* 0, a positive wire_reason, or -errno. */
static int worker_for(struct supervisor *s, struct identity *i, struct worker **ret)
{
	_cleanup_free_ char *text = NULL;
	size_t len, n, n_root;
	struct worker *w;
	int r;

	if (i->worker && i->worker->state != WORKER_LEAVING) {
		*ret = i->worker;
		return 0;
	}
	identity_serve(i, NULL);
	r = effective_text(s, i, POLICY_CALLER, &text, &len, &n, &n_root);
	if (r < 0)
		return r;
	LIST_FOREACH (w, &s->workers, all)
		if (fits(w, i, text, len, n))
			break;
	if (!w && n == 0)
		r = lobby_new(s, take_ptr(text), len, &w);
	else if (!w)
		r = over_quota(s, i->account);
	if (!w && r == 0)
		r = worker_new(s, BIRTH_WORKER, i, take_ptr(text), len, false, &w);
	if (r != 0)
		return r;
	w->has_root = n_root > 0;
	identity_serve(i, w);
	*ret = w;
	return 0;
}

/* ---- giving ---- */

static void put(char *to, size_t size, const char *text)
{
	size_t n = UTIL_MIN(strlen(text), size - 1);

	memcpy(to, text, n);
	to[n] = 0;
}

/* Hands over what waits, as far as the worker's socket has room. */
static void hand_over(struct worker *w)
{
	struct client *c;

	if (w->state != WORKER_READY)
		return;
	while ((c = TAILQ_FIRST(&w->waiting))) {
		struct down d = { .type = DOWN_ADOPT, .flags = c->flags, .cookie = c->cookie };
		int r;

		if (c->identity) {
			put(d.via, sizeof d.via, c->identity->door->name);
			put(d.unit, sizeof d.unit, c->identity->unit);
		}
		r = down_send(w, &d, c->fd);
		/* -EAGAIN: the edge-triggered source tells when it has read some. -ETOOMANYREFS:
		 * housekeeping comes back. Else it is dying, and its death will be told. */
		if (r < 0)
			return;
		TAILQ_REMOVE(&w->waiting, c, of_worker);
		TAILQ_INSERT_TAIL(&w->clients, c, of_worker);
		c->handed_over = true;
		/* A lender's stream is between it and its worker; we keep no end. */
		if (c->flags & DOWN_PEER_WORKER)
			c->fd = close_fd(c->fd);
	}
}

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *data)
{
	(void)source;
	(void)fd;
	(void)events;
	hand_over(data);
	return 0;
}

static void client_attach(struct worker *w, struct client *c)
{
	c->worker = w;
	w->n_clients++;
	TAILQ_INSERT_TAIL(&w->waiting, c, of_worker);
	hand_over(w);
}

static void client_turn_away(struct supervisor *s, struct client *c, int reason)
{
	turn_away(c->fd, c->flags & DOWN_NO_RIGHTS, reason);
	c->fd = -1;
	client_close(s, c);
}

/* Finds c, which has no worker, one. A client who cannot be served is told so. */
static void client_place(struct supervisor *s, struct client *c, uint32_t carried)
{
	int reason = WIRE_RESTART;
	struct worker *w;

	c->flags = (c->flags & ~(uint32_t)DOWN_CARRIED) | carried;
	if (!s->stopping && c->identity)
		reason = worker_for(s, c->identity, &w);
	if (reason != 0) {
		client_turn_away(s, c, reason < 0 ? WIRE_RESOURCES : reason);
		return;
	}
	client_attach(w, c);
}

void client_welcome(struct supervisor *s, struct identity *i, int consume_fd, bool no_rights)
{
	bool within = i->account->n_clients < s->settings.connections_per_user;
	struct client *c = within ? client_new(s) : NULL;

	if (!c) {
		turn_away(consume_fd, no_rights, within ? WIRE_RESOURCES : WIRE_QUOTA);
		identity_release(s, i);
		return;
	}
	c->fd = consume_fd;
	c->identity = i;
	c->flags = no_rights ? DOWN_NO_RIGHTS : 0;
	i->n_clients++;
	i->account->n_clients++;
	client_place(s, c, 0);
}

/* ---- the lender ---- */

static void no_lender(struct worker *w, uint32_t flags)
{
	struct down d = { .type = DOWN_LENDER, .flags = flags };

	down_send(w, &d, -1);
}

/* A lender leaves or is dead. One that was never introduced is still being waited for. */
static void lender_gone(struct worker *lender)
{
	struct worker *w = lender->borrower;

	lender->borrower = NULL;
	if (!w)
		return;
	w->lender = NULL;
	if (lender->lender_end >= 0)
		no_lender(w, DOWN_NOT_NOW);
}

/* Does some `as root` rule of this text write or create? Asked of the compiled text, not of its
 * bytes: the one parser reads it. */
static bool lender_writes(const char *text, size_t len)
{
	const struct policy_options options = { .units = true, .origins = true };
	_cleanup_(policy_freep) struct policy *p = NULL;
	struct diags diags = { 0 };
	bool writes;

	writes = policy_parse("lender", text, len, &options, &diags, &p) == 0 &&
		 (policy_granted(p, true) & (WIRE_WRITE | WIRE_CREATE));
	diags_deinit(&diags);
	return writes;
}

static int lender_new(struct supervisor *s, struct worker *w)
{
	struct identity *i = LIST_FIRST(&w->identities);
	_cleanup_free_ char *text = NULL;
	size_t len, n, n_root;
	struct worker *lender;
	struct client *c;
	bool writes;
	int r, sv[2];

	if (!i)
		return -ESRCH;
	r = effective_text(s, i, POLICY_LENDER, &text, &len, &n, &n_root);
	if (r < 0 || n_root == 0)
		return r < 0 ? r : -ENOENT;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) < 0)
		return -errno;
	writes = lender_writes(text, len);
	r = worker_new(s, BIRTH_LENDER, i, take_ptr(text), len, writes, &lender);
	c = r < 0 ? NULL : client_new(s);
	if (!c) {
		close_fd(sv[0]);
		close_fd(sv[1]);
		return r < 0 ? r : -ENOMEM;
	}
	lender->borrower = w;
	w->lender = lender;
	lender->lender_end = sv[0];
	c->fd = sv[1];
	c->flags = DOWN_PEER_WORKER | DOWN_NO_RIGHTS;
	client_attach(lender, c);
	return 0;
}

static void want_lender(struct supervisor *s, struct worker *w)
{
	uint64_t now = now_usec(s);

	w->lender_due = false;
	if (w->role != BIRTH_WORKER || (w->lender && w->lender->lender_end >= 0))
		return;
	if (!s->system || !w->has_root) {
		no_lender(w, 0);
		return;
	}
	/* Not more than one birth a second, whatever it asks; housekeeping comes back to it. */
	if (now - w->lender_born < REFRESH_USEC) {
		w->lender_due = true;
		return;
	}
	w->lender_born = now;
	/* It asks only when it has none: what we think of as its lender has said GOODBYE. */
	if (w->lender)
		leave(s, w->lender, DOWN_RETIRE, -1);
	if (w->state != WORKER_READY || lender_new(s, w) < 0)
		no_lender(w, DOWN_NOT_NOW);
}

/* The lender is confined and ready: its worker gets the other end of the stream. */
static void introduce(struct worker *lender)
{
	struct down d = { .type = DOWN_LENDER };

	/* Where it does not get through now, housekeeping tries again. */
	if (!lender->borrower || down_send(lender->borrower, &d, lender->lender_end) == 0)
		lender->lender_end = close_fd(lender->lender_end);
}

/* ---- refresh ---- */

/* A worker whose Landlock domain is out of date gets a successor with the same policy. Once that
 * is ready, everything goes over to it. Not more often than once a second. */
static void refresh(struct supervisor *s, struct worker *w)
{
	struct identity who = {
		.uid = w->uid, .gid = w->gid, .groups = w->groups, .n_groups = w->n_groups
	};
	char *text;

	if (w->successor || w->state != WORKER_READY || w->role != BIRTH_WORKER)
		return;
	if (now_usec(s) - w->born < REFRESH_USEC) {
		if (!w->refresh_later)
			sd_event_add_time(s->event, &w->refresh_later, CLOCK_MONOTONIC,
					  w->born + REFRESH_USEC, 1000, on_refresh_due, w);
		return;
	}
	text = copy_of(w->text, w->text_len);
	if (!text ||
	    worker_new(s, BIRTH_WORKER, &who, text, w->text_len, false, &w->successor) < 0) {
		w->successor = NULL;
		refresh_failed(w);
		return;
	}
	w->successor->has_root = w->has_root;
	w->successor->predecessor = w;
}

static int on_refresh_due(sd_event_source *source, uint64_t usec, void *data)
{
	struct worker *w = data;

	(void)source;
	(void)usec;
	w->refresh_later = sd_event_source_unref(w->refresh_later);
	refresh(w->supervisor, w);
	return 0;
}

static void refresh_failed(struct worker *w)
{
	struct down d = { .type = DOWN_NO_REFRESH };

	w->successor = NULL;
	down_send(w, &d, -1);
}

/* The successor is confined and ready: the two are joined, and the old one gives everything up. */
static void succeed(struct supervisor *s, struct worker *fresh)
{
	struct worker *old = fresh->predecessor;
	struct down inherit = { .type = DOWN_INHERIT };
	int sv[2];

	fresh->predecessor = NULL;
	if (old->state == WORKER_LEAVING ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0) {
		refresh_failed(old);
		return;
	}
	/* Ours of the end that the old one can write to is closed before it has the other: nobody
	 * but the successor may be the last to drop what comes through. */
	down_send(fresh, &inherit, sv[0]);
	close(sv[0]);
	leave(s, old, DOWN_RELEASE, sv[1]);
	close(sv[1]);
	old->successor = NULL;
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

static void take_record(struct supervisor *s, struct worker *w, const struct up *u)
{
	struct client *c;

	if (w->dead && u->type != UP_CLOSED && u->type != UP_RELEASED && u->type != UP_FAILED)
		return;
	switch (u->type) {
	case UP_READY:
		if (w->state != WORKER_BORN)
			break;
		w->state = WORKER_READY;
		w->landlock_abi = u->a;
		w->confinement = u->b;
		if (w->predecessor)
			succeed(s, w);
		hand_over(w);
		if (w->role == BIRTH_LENDER)
			introduce(w);
		break;
	case UP_FAILED:
		if (w->state != WORKER_BORN)
			break;
		w->state = WORKER_LEAVING;
		w->left = now_usec(s);
		if (w->account)
			w->account->n_serving--;
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
		if (!c || !c->handed_over || w->state != WORKER_LEAVING)
			break;
		client_detach(s, c);
		client_place(s, c, u->a ? DOWN_CARRIED : 0);
		break;
	case UP_LENDER:
		if (w->state != WORKER_BORN)
			want_lender(s, w);
		break;
	case UP_REFRESH:
		refresh(s, w);
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
		take_record(w->supervisor, w, &records[i]);
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
		kill(w->pid, SIGKILL);
	return 0;
}

static int on_death(sd_event_source *source, const siginfo_t *info, void *data)
{
	struct worker *w = data;
	struct supervisor *s = w->supervisor;
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
	worker_end(s, w);
	if (s->stopping && LIST_EMPTY(&s->workers))
		sd_event_exit(s->event, 0);
	return 0;
}

/* ---- life ---- */

static struct worker *first(struct supervisor *s)
{
	return LIST_FIRST(&s->workers);
}

/* A worker that has been in one call for too long may never come back. Whoever comes anew gets
 * another; its own connections follow if it does come back. In the end it is killed, and its
 * connections cut, even where SIGKILL has to wait (D state). */
static void watch_over(struct supervisor *s, struct worker *w, uint64_t now)
{
	uint64_t busy = atomic_load_explicit(&w->stats->busy_since_ms, memory_order_relaxed) * 1000;
	bool stuck = busy && busy < now && now - busy > STUCK_USEC;
	struct client *c;

	stuck |= w->state == WORKER_BORN && now - w->born > STUCK_USEC;
	if (stuck && !w->stuck_since && w->state != WORKER_LEAVING) {
		say_event(MESSAGE_ID_STUCK, LOG_WARNING,
			  "worker %d of uid %u is stuck; a fresh one serves whoever comes", w->pid,
			  w->uid);
		w->stuck_since = now;
		if (w->account)
			w->account->n_stuck++;
		leave(s, w, DOWN_RELEASE, -1);
	} else if (w->state == WORKER_LEAVING &&
		   now - w->left > (w->stuck_since ? STUCK_KILL_USEC : LEAVE_USEC)) {
		kill(w->pid, SIGKILL);
		while ((c = TAILQ_FIRST(&w->clients))) {
			shutdown(c->fd, SHUT_RDWR);
			client_close(s, c);
		}
	}
}

void workers_keep_house(struct supervisor *s)
{
	uint64_t now = now_usec(s);

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

/* Rules by unit have come, and nobody asked for this identity's when it connected. */
static bool unit_is_missing(const struct supervisor *s, const struct identity *i)
{
	return s->units && s->policy && !i->unit_asked && policy_uses_units(s->policy);
}

/* How a worker whose policy changed is to end. Who has to be asked for his unit must connect anew.
 */
static enum down_type farewell(const struct supervisor *s, const struct worker *w)
{
	const struct identity *i;

	if (w->role == BIRTH_LENDER)
		return DOWN_RETIRE;
	LIST_FOREACH (i, &w->identities, same_worker)
		if (unit_is_missing(s, i))
			return DOWN_RETIRE;
	return DOWN_RELEASE;
}

/* Is its policy still what the rules say for everybody it serves? */
static bool unchanged(struct supervisor *s, struct worker *w)
{
	struct identity *i;

	if (w->role == BIRTH_LENDER)
		return w->borrower && unchanged(s, w->borrower);
	if (w->predecessor)
		return unchanged(s, w->predecessor);
	/* A lobby born without any policy gives another reason than one with. */
	if (w->no_policy != !s->policy)
		return false;
	LIST_FOREACH (i, &w->identities, same_worker) {
		_cleanup_free_ char *text = NULL;
		size_t len, n, n_root;

		if (unit_is_missing(s, i) ||
		    effective_text(s, i, POLICY_CALLER, &text, &len, &n, &n_root) < 0 ||
		    len != w->text_len || memcmp(text, w->text, len))
			return false;
	}
	return true;
}

void workers_policy_changed(struct supervisor *s)
{
	for (struct worker *w = first(s), *next; w; w = next) {
		struct down d = { .type = DOWN_GENERATION, .cookie = s->generation };

		next = LIST_NEXT(w, all);
		if (!unchanged(s, w))
			leave(s, w, farewell(s, w), -1);
		else
			down_send(w, &d, -1);
	}
}

void workers_end(struct supervisor *s)
{
	s->stopping = true;
	for (struct worker *w = first(s); w; w = LIST_NEXT(w, all))
		leave(s, w, DOWN_RETIRE, -1);
	if (LIST_EMPTY(&s->workers))
		sd_event_exit(s->event, 0);
}

void workers_kill(struct supervisor *s)
{
	for (struct worker *w = first(s); w; w = LIST_NEXT(w, all))
		kill(w->pid, SIGKILL);
}
