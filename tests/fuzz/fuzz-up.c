/* SPDX-License-Identifier: MIT
 * What workers that were taken over write to opend: the front, without its confinement, in this
 * process, with a real loop, real pipes, and real processes in the workers' places. The input says
 * who comes, what which worker writes, who dies, and what the supervisor answers, which is a thread
 * of ours. Whatever comes in:
 * - a record costs nobody a connection but those whom its worker has;
 * - every list, count and pair of pointers agrees with every other;
 * - nobody is buried alive, and every identity that was told of is forgotten once;
 * - what is said are clean lines, also by status;
 * - no connection, identity, account, worker or descriptor is left over. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include "fuzz.h"
/* For read_records(), worker_end() and what a worker is. */
#include "daemon/front/workers.c"

enum {
	PROCESSES = 8, /* of one input */
	CLIENTS = 12,
	NUMBERS = 16, /* of identities: 1 ... */
	SECONDS = 60, /* for one input */
};

/* What the supervisor does with what it is asked. */
enum mood {
	NO_RULES = 1,
	NO_ROOT_RULES = 2,
	NO_FIT = 4,
	NO_BIRTH = 8,
	NO_IDENTITY = 16,
	ANEW = 32,
	STAYS_FIT = 64, /* after a reload */
	ANOTHER_BUILD = 128,
};

/* In the place of a worker: a process that waits for its end. */
struct process {
	pid_t pid; /* 0: none */
	int pidfd, down, up, stats;
	uint32_t role, instance, identity;
};

static struct world {
	struct server s;
	struct process processes[PROCESSES]; /* by instance - 1 */
	uint32_t n_processes;
	int supervisor; /* the thread's end */
	pthread_t thread;
	unsigned mood, next_number;
	bool told[NUMBERS + 1]; /* of whom the front knows */
	int clients[CLIENTS];	/* our ends */
	size_t n_clients;
	bool over;
	bool left_stuck; /* the front did not wait for somebody */
} world;

static FILE *said;
static char *said_text;
static size_t said_len;
static timer_t deadline;

/* ---- processes ---- */

static sigset_t end_signal;
static char stacks[PROCESSES][16384] __attribute__((aligned(16)));

/* Shares all with us, as a thread does, even errno, so that it costs next to nothing; of its own it
 * has a pid, and the end of one. */
static int wait_for_the_end(void *set)
{
	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	syscall(SYS_rt_sigtimedwait, set, NULL, NULL, sizeof(uint64_t));
	return 0;
}

static bool is_dead(const struct process *p)
{
	struct pollfd end = { .fd = p->pidfd, .events = POLLIN };

	return poll(&end, 1, 0) == 1;
}

/* By SIGUSR1, which it waits for, it ends by itself. */
static void end_process(const struct process *p, int sig)
{
	struct pollfd end = { .fd = p->pidfd, .events = POLLIN };

	if (!p->pid)
		return;
	syscall(SYS_pidfd_send_signal, p->pidfd, sig, NULL, 0);
	while (poll(&end, 1, -1) != 1)
		;
}

static void forget_process(struct process *p)
{
	p->pid = 0;
	p->pidfd = close_fd(p->pidfd);
	p->down = close_fd(p->down);
	p->up = close_fd(p->up);
	p->stats = close_fd(p->stats);
}

static struct process *process_called(struct world *x, uint32_t instance)
{
	REQUIRE(instance >= 1 && instance <= x->n_processes && x->processes[instance - 1].pid);
	return &x->processes[instance - 1];
}

/* ---- the supervisor ---- */

static uid_t uid_of(uint32_t number)
{
	return number < 12 ? 1000 : 1000 + number;
}

static bool knows(const struct world *x, uint32_t number)
{
	return number >= 1 && number <= NUMBERS && x->told[number];
}

static int identify(struct world *x, struct told *told)
{
	if (x->mood & NO_IDENTITY)
		return -EACCES;
	told->identity = x->next_number;
	told->uid = told->gid = uid_of(x->next_number);
	x->told[x->next_number] = true;
	return 0;
}

/* The youngest that serves him. */
static int fit(struct world *x, const struct question *ask, struct told *told)
{
	REQUIRE(knows(x, ask->identity));
	if (x->mood & NO_FIT)
		return -ENOMEM;
	told->rules = !(x->mood & NO_RULES);
	told->root_rules = told->rules && !(x->mood & NO_ROOT_RULES);
	told->anew = (x->mood & ANEW) != 0;
	told->fits = (x->mood & STAYS_FIT) != 0;
	for (uint32_t n = x->n_processes; n >= 1 && !told->instance; n--) {
		const struct process *p = &x->processes[n - 1];

		if (p->pid && (told->rules ? p->role == BIRTH_WORKER && p->identity == ask->identity
					   : p->role == BIRTH_LOBBY))
			told->instance = n;
	}
	return 0;
}

static int bear(struct world *x, const struct question *ask, int *fds, size_t n, struct told *told)
{
	struct process *p = &x->processes[x->n_processes];
	uint32_t identity = ask->identity;

	REQUIRE(n == 4 && ask->role <= BIRTH_LOBBY);
	if (ask->role == BIRTH_WORKER && !identity) {
		const struct process *like = process_called(x, ask->instance);

		REQUIRE(like->role == BIRTH_WORKER);
		identity = like->identity;
	} else
		REQUIRE(ask->role == BIRTH_LOBBY || knows(x, identity));
	if ((x->mood & NO_BIRTH) || x->n_processes == PROCESSES)
		return -EAGAIN;
	p->pid = clone(wait_for_the_end, stacks[x->n_processes] + sizeof stacks[0],
		       CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_PIDFD | SIGCHLD, &end_signal,
		       &p->pidfd);
	REQUIRE(p->pid > 0);
	p->down = take_fd(&fds[0]);
	p->up = take_fd(&fds[1]);
	p->stats = take_fd(&fds[2]);
	fcntl(p->up, F_SETFL, O_NONBLOCK);
	p->role = ask->role;
	p->identity = identity;
	told->pid = p->pid;
	told->instance = ++x->n_processes;
	told->slot = told->instance;
	told->uid = told->gid = uid_of(identity);
	return 0;
}

static int answer(struct world *x, const struct question *ask, int *fds, size_t n,
		  struct told *told)
{
	struct process *p;

	switch (ask->type) {
	case ASK_IDENTITY:
		return identify(x, told);
	case ASK_FORGET:
		REQUIRE(knows(x, ask->identity));
		x->told[ask->identity] = false;
		return 0;
	case ASK_FIT:
		return fit(x, ask, told);
	case ASK_BIRTH:
		return bear(x, ask, fds, n, told);
	case ASK_KILL:
		p = process_called(x, ask->instance);
		syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
		return 0;
	case ASK_BURY:
		p = process_called(x, ask->instance);
		REQUIRE(is_dead(p));
		forget_process(p);
		return 0;
	default:
		REQUIRE(!"a request that the front never makes");
		return 0;
	}
}

/* While it answers, the front waits: so they never look at the same at a time. */
static void *supervise(void *data)
{
	struct world *x = data;

	for (;;) {
		struct pollfd asked = { .fd = x->supervisor, .events = POLLIN };
		int fds[ASK_FDS_MAX], r;
		struct question ask;
		struct told told = { 0 };
		size_t n;

		if (poll(&asked, 1, -1) != 1)
			continue;
		r = fdpass_recv(x->supervisor, &ask, sizeof ask, fds, ASK_FDS_MAX, &n);
		if (r == 0)
			return NULL;
		REQUIRE(r == sizeof ask);
		told.result = answer(x, &ask, fds, n, &told);
		for (size_t i = 0; i < n; i++)
			close_fd(fds[i]);
		fdpass_send(x->supervisor, &told, sizeof told - !!(x->mood & ANOTHER_BUILD), NULL,
			    0);
	}
}

static void start_supervisor(struct world *x)
{
	int sv[2];

	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0);
	x->s.supervisor = sv[0];
	x->supervisor = sv[1];
	REQUIRE(pthread_create(&x->thread, NULL, supervise, x) == 0);
}

static void end_supervisor(struct world *x)
{
	x->s.supervisor = close_fd(x->s.supervisor);
	REQUIRE(pthread_join(x->thread, NULL) == 0);
	close(x->supervisor);
}

/* ---- what must agree ---- */

static bool is_worker(const struct server *s, const struct worker *wanted)
{
	const struct worker *w;

	LIST_FOREACH (w, &s->workers, all)
		if (w == wanted)
			return true;
	return false;
}

static uint32_t count_clients(struct server *s, const struct worker *w)
{
	const struct client *c;
	uint32_t n = 0;

	TAILQ_FOREACH (c, &w->clients, of_worker) {
		REQUIRE(c->handed_over && client_find(s, w, c->cookie) == c);
		n++;
	}
	TAILQ_FOREACH (c, &w->waiting, of_worker) {
		REQUIRE(!c->handed_over && client_find(s, w, c->cookie) == c);
		n++;
	}
	return n;
}

static void relations_agree(const struct server *s, const struct worker *w)
{
	const struct identity *i;

	REQUIRE(!w->successor || (is_worker(s, w->successor) && w->successor->predecessor == w));
	REQUIRE(!w->predecessor ||
		(is_worker(s, w->predecessor) && w->predecessor->successor == w));
	REQUIRE(!w->lender || (is_worker(s, w->lender) && w->lender->borrower == w));
	REQUIRE(!w->borrower || (is_worker(s, w->borrower) && w->borrower->lender == w));
	/* Nobody else would ever end a lender. */
	REQUIRE(w->role != BIRTH_LENDER || w->borrower || w->state == WORKER_LEAVING);
	LIST_FOREACH (i, &w->identities, same_worker)
		REQUIRE(i->worker == w && s->identities[i->number - 1] == i);
}

static void account_agrees(const struct server *s, const struct account *a)
{
	struct account sum = { .uid = a->uid };
	const struct worker *w;

	LIST_FOREACH (w, &s->workers, all)
		if (w->account == a) {
			sum.n_workers++;
			sum.n_serving += w->state != WORKER_LEAVING;
			sum.n_stuck += w->stuck_since != 0;
		}
	for (uint32_t n = 0; n < s->n_identities; n++)
		sum.n_identities += s->identities[n] && s->identities[n]->account == a;
	for (uint32_t n = 0; n < s->clients_size; n++)
		sum.n_clients += s->clients[n] && s->clients[n]->identity &&
				 s->clients[n]->identity->account == a;
	REQUIRE(memcmp(&sum, a, sizeof sum) == 0);
	REQUIRE(a->n_clients <= s->settings.connections_per_user);
}

static void all_agrees(struct server *s)
{
	uint32_t of_workers = 0, in_table = 0;
	const struct worker *w;

	LIST_FOREACH (w, &s->workers, all) {
		uint32_t n = count_clients(s, w);

		REQUIRE(n == w->n_clients);
		of_workers += n;
		relations_agree(s, w);
		REQUIRE(!w->account == (w->role == BIRTH_LOBBY));
		if (w->account)
			account_agrees(s, w->account);
	}
	for (uint32_t n = 0; n < s->clients_size; n++)
		in_table += s->clients[n] != NULL;
	REQUIRE(s->n_clients == in_table && s->n_clients == of_workers);
	REQUIRE(s->n_clients <= s->settings.connections);
}

static void is_clean(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		REQUIRE(text[i] == '\n' || (text[i] >= ' ' && text[i] < 0x7f));
	REQUIRE(len == 0 || text[len - 1] == '\n');
}

/* ---- what happens ---- */

static void pump(struct world *x)
{
	for (int rounds = 0; rounds < 1000 && !x->over; rounds++) {
		int r = sd_event_run(x->s.event, 0);

		REQUIRE(r >= 0);
		x->over = sd_event_get_state(x->s.event) == SD_EVENT_FINISHED;
		if (r == 0)
			break;
	}
	if (!x->over)
		all_agrees(&x->s);
}

static struct worker *pick_worker(struct world *x, struct script *s)
{
	unsigned n = script_byte(s);
	struct worker *w = LIST_FIRST(&x->s.workers);

	for (n %= PROCESSES; w && n && LIST_NEXT(w, all); n--)
		w = LIST_NEXT(w, all);
	return w;
}

/* Whoever's it is: as good a guess as any. */
static uint64_t pick_cookie(struct world *x, struct script *s)
{
	unsigned n = script_byte(s), i = n % 16;
	const struct client *c = i < x->s.clients_size ? x->s.clients[i] : NULL;

	return c ? c->cookie + (n & 128 ? 1ull << 32 : 0) : n;
}

static void somebody_comes(struct world *x, struct script *s)
{
	struct identity *i;
	int sv[2];

	x->next_number = script_byte(s) % NUMBERS + 1;
	if (x->n_clients == CLIENTS)
		return;
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == 0);
	x->clients[x->n_clients++] = sv[1];
	i = identity_of(&x->s, sv[0], &x->s.doors[0]);
	if (i)
		client_welcome(&x->s, i, sv[0], true);
	else
		turn_away(sv[0], true, WIRE_RESOURCES);
}

/* Writes it, and whoever is with another worker still is. */
static void worker_writes(struct world *x, const struct worker *w, const void *bytes, size_t len)
{
	struct {
		uint64_t cookie;
		const struct worker *worker;
	} others[CLIENTS * 2];
	size_t n = 0;

	for (uint32_t i = 0; i < x->s.clients_size && n < ELEMENTSOF(others); i++) {
		const struct client *c = x->s.clients[i];

		if (c && c->handed_over && c->worker != w) {
			others[n].cookie = c->cookie;
			others[n++].worker = c->worker;
		}
	}
	if (write(process_called(x, w->instance)->up, bytes, len) < 0)
		return;
	pump(x);
	for (size_t i = 0; i < n && !x->over; i++)
		REQUIRE(client_find(&x->s, others[i].worker, others[i].cookie));
}

static void record(struct world *x, struct script *s)
{
	const struct worker *w = pick_worker(x, s);
	struct up u = { .type = script_byte(s) % (UP_REFRESH + 2) };

	u.a = script_byte(s);
	u.b = script_byte(s);
	u.cookie = pick_cookie(x, s);
	if (u.a == 255)
		u.a = UINT32_MAX;
	if (w)
		worker_writes(x, w, &u, sizeof u);
}

static void bytes(struct world *x, struct script *s)
{
	const struct worker *w = pick_worker(x, s);
	const uint8_t *data;
	size_t len = script_bytes(s, &data);

	if (w && len)
		worker_writes(x, w, data, len);
}

/* Each of them at once: more than are read at a time. */
static void flood(struct world *x, struct script *s)
{
	const struct worker *w = pick_worker(x, s);
	struct up u[100] = { { .type = script_byte(s) % (UP_REFRESH + 2) } };

	for (size_t i = 0; i < ELEMENTSOF(u); i++) {
		u[i] = u[0];
		u[i].cookie =
			i < x->s.clients_size && x->s.clients[i] ? x->s.clients[i]->cookie : i;
	}
	if (w)
		worker_writes(x, w, u, sizeof u);
}

static void somebody_ends(struct world *x, struct script *s)
{
	const struct worker *w = pick_worker(x, s);
	int how = script_byte(s) % 3;
	struct process *p;

	if (!w)
		return;
	p = process_called(x, w->instance);
	if (how == 2)
		p->up = close_fd(p->up);
	else
		end_process(p, how ? SIGUSR1 : SIGKILL);
}

/* It takes what it was sent, or will not. */
static void worker_reads(struct world *x, struct script *s)
{
	const struct worker *w = pick_worker(x, s);
	struct down d;
	size_t n;
	int fd;

	while (w && fdpass_recv(process_called(x, w->instance)->down, &d, sizeof d, &fd, 1, &n) ==
			    sizeof d) {
		REQUIRE(d.type >= DOWN_ADOPT && d.type <= DOWN_RETIRE && n <= 1);
		REQUIRE(memchr(d.via, 0, sizeof d.via) && memchr(d.unit, 0, sizeof d.unit));
		if (n)
			close(fd);
	}
}

static void scribble(struct world *x, struct script *s)
{
	const struct worker *w = pick_worker(x, s);
	size_t at = script_byte(s) % (sizeof(struct stats) / sizeof(uint64_t));
	uint64_t value = script_byte(s);

	if (value == 255)
		value = UINT64_MAX;
	if (w)
		REQUIRE(pwrite(process_called(x, w->instance)->stats, &value, sizeof value,
			       (off_t)(at * sizeof value)) == sizeof value);
}

static void earlier(uint64_t *when, uint64_t usec)
{
	*when -= UTIL_MIN(*when, usec);
}

static void time_passes(struct world *x, struct script *s)
{
	uint64_t usec = script_byte(s) * 250000ull;
	struct worker *w;

	LIST_FOREACH (w, &x->s.workers, all) {
		earlier(&w->born, usec);
		earlier(&w->left, usec);
		earlier(&w->idle_since, usec);
		earlier(&w->lender_born, usec);
		if (w->refresh_later)
			sd_event_source_set_time(w->refresh_later, 0);
	}
	workers_keep_house(&x->s);
}

static void tell_status(struct world *x)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	REQUIRE(do_status(&x->s, f) == 0 && fclose(f) == 0);
	is_clean(text, len);
	free(text);
}

static void act(struct world *x, struct script *s)
{
	unsigned what = script_byte(s) % 16;

	switch (what) {
	case 0:
		somebody_comes(x, s);
		break;
	case 1:
		somebody_ends(x, s);
		break;
	case 2:
		worker_reads(x, s);
		break;
	case 3:
		time_passes(x, s);
		break;
	case 4:
		x->mood = script_byte(s);
		break;
	case 5:
		bytes(x, s);
		break;
	case 6:
		flood(x, s);
		break;
	case 7:
		scribble(x, s);
		break;
	case 8:
		tell_status(x);
		break;
	case 9:
		x->s.generation++;
		workers_policy_changed(&x->s);
		break;
	case 10:
		workers_end(&x->s);
		break;
	default:
		record(x, s);
	}
	pump(x);
}

/* ---- begin and end ---- */

static void prepare(void)
{
	struct sigevent abort_us = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGABRT };
	sigset_t set;

	unsetenv("JOURNAL_STREAM");
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&end_signal);
	sigaddset(&end_signal, SIGUSR1);
	set = end_signal;
	sigaddset(&set, SIGCHLD);
	REQUIRE(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	said = open_memstream(&said_text, &said_len);
	REQUIRE(said && timer_create(CLOCK_MONOTONIC, &abort_us, &deadline) == 0);
}

static void begin(struct world *x, unsigned how)
{
	struct server *s = &x->s;

	memset(x, 0, sizeof *x);
	s->opt.private_fd = -1;
	s->audit = -1;
	s->serving = true;
	s->system = !(how & 1);
	s->doors[0] = (struct door){ .fd = -1, .lock_fd = -1, .name = "door", .no_rights = true };
	s->n_doors = 1;
	settings_default(&s->settings);
	s->settings.connections = how & 2 ? 4 : 10;
	s->settings.connections_per_user = 6;
	s->settings.workers_per_user = how & 4 ? 1 : 3;
	s->settings.stuck_per_user = 2;
	LIST_INIT(&s->workers);
	REQUIRE(sd_event_new(&s->event) == 0);
	start_supervisor(x);
}

/* All workers die, at once. */
static void end_all(struct world *x)
{
	struct worker *w;

	if (!x->over)
		workers_end(&x->s);
	for (uint32_t i = 0; i < x->n_processes; i++)
		end_process(&x->processes[i], SIGKILL);
	pump(x);
	/* Where the supervisor has ended, the front has as well, and it does not wait for who is
	 * stuck; this process goes on. */
	while ((w = LIST_FIRST(&x->s.workers))) {
		REQUIRE(x->s.supervisor < 0 || w->stuck_since);
		x->left_stuck |= w->stuck_since != 0;
		worker_end(&x->s, w);
	}
}

static void finish(struct world *x)
{
	struct server *s = &x->s;

	x->mood |= NO_BIRTH;
	end_all(x);
	REQUIRE(s->n_clients == 0 && !s->accounts);
	for (uint32_t i = 0; i < s->clients_size; i++)
		REQUIRE(!s->clients[i]);
	for (uint32_t i = 0; i < s->n_identities; i++)
		REQUIRE(!s->identities[i]);
	for (uint32_t i = 1; i <= NUMBERS && s->supervisor >= 0; i++)
		REQUIRE(!x->told[i]);
	for (uint32_t i = 0; i < x->n_processes; i++)
		if (x->processes[i].pid) {
			REQUIRE(s->supervisor < 0 || x->left_stuck);
			forget_process(&x->processes[i]);
		}
	end_supervisor(x);
	while (waitpid(-1, NULL, 0) > 0)
		;
	for (size_t i = 0; i < x->n_clients; i++)
		close(x->clients[i]);
	free(s->clients);
	free(s->identities);
	sd_event_unref(s->event);
	fflush(said);
	is_clean(said_text, said_len);
	rewind(said);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct itimerspec limit = { .it_value.tv_sec = SECONDS }, none = { 0 };
	struct script s = { data, size };
	FILE *std = stderr;
	struct itimerval alarm;
	unsigned before;

	if (!said)
		prepare();
	before = count_fds();
	/* The front uses the one alarm(2) that there is, and what it says is for us. */
	getitimer(ITIMER_REAL, &alarm);
	timer_settime(deadline, 0, &limit, NULL);
	stderr = said;
	begin(&world, script_byte(&s));
	while (s.len && !world.over)
		act(&world, &s);
	finish(&world);
	stderr = std;
	timer_settime(deadline, 0, &none, NULL);
	setitimer(ITIMER_REAL, &alarm, NULL);
	REQUIRE(count_fds() == before);
	return 0;
}
