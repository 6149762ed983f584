/* SPDX-License-Identifier: MIT
 * The loop: one thread, one epoll. Clients, the lender and opend's packets. opend's end of file
 * ends us: nobody serves without opend. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include "fdpass.h"
#include "worker.h"

enum { EVENTS = 64, RETRY_MS = 10, SWEEP_MS = 1000 };

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Good enough for a watchdog, and a tenth of the price. */
static uint64_t coarse_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Whole or not at all: a record is smaller than PIPE_BUF. Blocks while opend is behind. What opend
 * has not been told it would wait for; where we end, another takes our place. */
void up_send(uint32_t type, uint32_t a, uint32_t b, uint64_t cookie)
{
	const struct up u = { .type = type, .a = a, .b = b, .cookie = cookie };

	while (write(WORKER_FD_UP, &u, sizeof u) < 0)
		if (errno != EINTR)
			_exit(EXIT_FAILURE);
}

/* One packet of opend. Returns false at its end of file. */
static bool take_packet(struct worker *w)
{
	_cleanup_close_ int fd = -1;
	struct down d;
	size_t n = 0;
	int r = fdpass_recv(WORKER_FD_DOWN, &d, sizeof d, &fd, 1, &n);

	if (r == -EAGAIN)
		return true;
	if (r == -EMFILE) {
		/* The connection is lost, but opend's duplicate must go as well. We do
		 * not know its cookie: it dies with us, and a fresh worker starts. */
		return false;
	}
	if (r != sizeof d)
		return false;
	switch (d.type) {
	case DOWN_ADOPT:
		if (n) {
			struct conn *c = conn_adopt(w, take_fd(&fd), &d);

			if (c && (d.flags & DOWN_CARRIED))
				release_inherit(w, c);
		}
		break;
	case DOWN_LENDER:
		lend_connected(w, take_fd(&fd), d.flags & DOWN_NOT_NOW);
		break;
	case DOWN_GENERATION:
		w->birth.generation = (uint32_t)d.cookie;
		up_send(UP_SETTLED, 0, 0, 0);
		break;
	case DOWN_INHERIT:
		w->predecessor = take_fd(&fd);
		break;
	case DOWN_RELEASE:
		release_all(w, take_fd(&fd));
		up_send(UP_SETTLED, 0, 0, 0);
		break;
	case DOWN_NO_REFRESH:
		refresh_refused(w);
		break;
	case DOWN_RETIRE:
		release_retire(w);
		return false;
	default:
		return false;
	}
	return true;
}

/* Deadlines and second tries. Rare, so everybody is looked at. */
static void sweep(struct worker *w)
{
	uint64_t now = now_ms();

	for (uint32_t i = 0; i < w->birth.max_conns && (w->n_partial || w->n_retry); i++) {
		struct conn *c = &w->conns[i];

		if (c->fd <= 0)
			continue;
		if (c->retry)
			conn_writable(w, c);
		else if (c->deadline_ms && c->deadline_ms < now) {
			conn_goodbye(w, c, w->releasing ? WIRE_RESTART : WIRE_SLOW);
			conn_flush(w, c);
			conn_end(w, c);
		}
	}
	if (w->releasing)
		release_overdue(w, now);
	audit_settle(w);
}

/* How long the loop may sleep. */
static int patience(const struct worker *w)
{
	if (w->n_retry || w->releasing)
		return RETRY_MS;
	return w->n_partial || w->n_held ? SWEEP_MS : -1;
}

static void dispatch(struct worker *w, const struct epoll_event *e)
{
	struct conn *c;

	if (e->data.u64 == EPOLL_LENDER) {
		lend_ready(w, e->events);
		return;
	}
	c = &w->conns[e->data.u64];
	if (c->fd <= 0)
		return; /* ended earlier in this round */
	if (c->watched_out)
		conn_writable(w, c);
	else
		conn_readable(w, c);
}

/* What opend says comes last: so between the packet that brings a connection and the one that takes
 * it away its client has a turn, however soon the one follows upon the other. That there is no
 * opend any more comes first: our lender ends, too, and nobody shall be told of that. */
static bool dispatch_all(struct worker *w, const struct epoll_event *events, int n)
{
	uint32_t down = 0;

	for (int i = 0; i < n; i++)
		if (events[i].data.u64 == EPOLL_DOWN)
			down = events[i].events;
	if (down & EPOLLHUP)
		return false;
	for (int i = 0; i < n; i++)
		if (events[i].data.u64 != EPOLL_DOWN)
			dispatch(w, &events[i]);
	return !down || take_packet(w);
}

/* ---- waiting ---- */

/* Waking an idle core costs 50 to 100 us, several times an open; so while a burst lasts we look
 * again for up to poll_usec before we sleep. With epoll_wait(0), so that no connection waits for
 * another. Whether it pays depends on the other side and on where we run, and both change; so it is
 * probed: a window of PROBES waits every `period` waits, and on for as long as it hits. Windows
 * that miss come half as often each time. A wait that took far longer than it should was
 * interrupted by others who need the CPU more. */
enum { PROBES = 8, PERIOD_MIN = 64, PERIOD_MAX = 4096, PREEMPTED = 4 };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool should_poll(struct worker *w)
{
	struct polling *p = &w->polling;

	if (!w->birth.poll_usec)
		return false;
	if (p->hitting)
		return true;
	if (++p->waits >= p->period) {
		p->waits = 0;
		p->period = UTIL_MIN(UTIL_MAX(2 * p->period, (unsigned)PERIOD_MIN),
				     (unsigned)PERIOD_MAX);
	}
	return p->waits < PROBES;
}

static int poll_events(struct worker *w, struct epoll_event *events)
{
	const uint64_t budget = (uint64_t)w->birth.poll_usec * 1000, start = now_ns();
	uint64_t spent;
	int n;

	do {
		n = epoll_wait(w->epoll, events, EVENTS, 0);
		spent = now_ns() - start;
	} while (n == 0 && spent < budget);
	w->polling.hitting = n > 0 && spent < PREEMPTED * budget;
	if (w->polling.hitting)
		w->polling.period = PERIOD_MIN;
	return n;
}

static int wait_events(struct worker *w, struct epoll_event *events)
{
	int n = should_poll(w) ? poll_events(w, events) : 0;

	return n ? n : epoll_wait(w->epoll, events, EVENTS, patience(w));
}

int serve(struct worker *w)
{
	struct epoll_event down = { .events = EPOLLIN, .data.u64 = EPOLL_DOWN }, events[EVENTS];

	if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, WORKER_FD_DOWN, &down) < 0)
		return -errno;
	for (;;) {
		int n;

		atomic_store_explicit(&w->stats->busy_since_ms, 0, memory_order_relaxed);
		n = wait_events(w, events);
		atomic_store_explicit(&w->stats->busy_since_ms, coarse_ms(), memory_order_relaxed);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (patience(w) >= 0 && now_ms() >= w->sweep_at_ms) {
			sweep(w);
			w->sweep_at_ms = now_ms() + (uint64_t)UTIL_MAX(patience(w), 0);
		}
		if (!dispatch_all(w, events, n))
			return 0;
		if (w->releasing && w->n_conns == 0)
			return 0;
	}
}
