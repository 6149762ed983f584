/* SPDX-License-Identifier: MIT
 * The workers' pipes. Each is a queue that the kernel keeps and bounds, so there is none here: what
 * cannot be written yet is left where it is, and a worker whose pipe is full holds back denials,
 * counts them, and grants nothing that is to be logged. All are served in turn, a buffer's worth at
 * a time: who floods, waits behind himself.
 *
 * When the journal has taken nothing for half a second, denials are read all the same and only
 * counted, so that they do not fill the pipes; a grant is never dropped, but waits in its pipe's
 * buffer, and what is behind it in the pipe. */
#include <fcntl.h>
#include <sys/epoll.h>
#include "auditor.h"
#include "fdpass.h"

enum { ACCEPT_AT_ONCE = 64, EVENTS_AT_ONCE = 64 };

static uint32_t index_of(const struct auditor *a, const struct peer *p)
{
	return (uint32_t)(p - a->peers);
}

static int watch(struct auditor *a, const struct peer *p, int operation)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = index_of(a, p) };

	return epoll_ctl(a->epoll, operation, p->fd, &event) < 0 ? -errno : 0;
}

/* ---- coming and going ---- */

int pipes_init(struct auditor *a)
{
	a->epoll = epoll_create1(EPOLL_CLOEXEC);
	return a->epoll < 0 ? -errno : 0;
}

static bool in_debt(const struct peer *p)
{
	return p->lost || p->malformed;
}

/* After each change: keeps the counts, and frees the slot of who has ended and owes nothing. */
static void account(struct auditor *a, struct peer *p)
{
	bool due = p->held || in_debt(p);

	if (due != p->due)
		a->n_due += due ? 1 : -1;
	p->due = due;
	if (p->used && p->fd < 0 && !due) {
		p->used = false;
		a->n_used--;
	}
}

static void end(struct auditor *a, struct peer *p)
{
	/* close(2) is not enough while opend has not closed its own copy (epoll(7)). */
	if (!p->held)
		watch(a, p, EPOLL_CTL_DEL);
	p->fd = close_fd(p->fd);
	p->held = false;
	p->fill = 0;
	a->n_live--;
	account(a, p);
}

static void complain(struct auditor *a, struct peer *p)
{
	a->malformed_total++;
	p->malformed = true;
	end(a, p);
}

/* Slots whose worker has ended, but not its debt, give way: the sum remains, not whose it was. */
static void forget_gone(struct auditor *a)
{
	for (uint32_t i = 0; i < a->n_slots; i++) {
		struct peer *p = &a->peers[i];

		if (!p->used || p->fd >= 0)
			continue;
		a->gone_lost += p->lost;
		a->gone_malformed += p->malformed;
		p->lost = 0;
		p->malformed = false;
		account(a, p);
	}
}

bool pipes_full(struct auditor *a)
{
	if (a->n_used == PEERS_MAX)
		forget_gone(a);
	return a->n_used == PEERS_MAX;
}

static struct peer *free_slot(struct auditor *a)
{
	for (uint32_t i = 0; i < a->n_slots; i++)
		if (!a->peers[i].used)
			return &a->peers[i];
	return &a->peers[a->n_slots++];
}

static void add(struct auditor *a, const struct audit_peer *who, int fd_consumed)
{
	struct peer *p = free_slot(a);

	*p = (struct peer){ .who = *who, .fd = fd_consumed };
	if (fcntl(p->fd, F_SETFL, O_NONBLOCK) < 0 || watch(a, p, EPOLL_CTL_ADD) < 0) {
		p->fd = close_fd(p->fd);
		return;
	}
	p->used = true;
	a->n_used++;
	a->n_live++;
}

int pipes_accept(struct auditor *a)
{
	for (int i = 0; i < ACCEPT_AT_ONCE && !pipes_full(a); i++) {
		struct audit_peer who[2]; /* a packet that is too long shows */
		_cleanup_close_ int fd = -1;
		size_t n = 0;
		int r = fdpass_recv(AUDIT_FD_PEERS, who, sizeof who, &fd, 1, &n);

		if (r == -EAGAIN)
			return 0;
		if (r == 0) {
			a->peers_ended = true;
			return 0;
		}
		/* That pipe is closed, which its worker sees; the next one may fit again. */
		if (r == -EMFILE)
			continue;
		if (r < 0)
			return r;
		if (r != sizeof *who || n != 1 || who->version != AUDIT_VERSION)
			return -EPROTO;
		add(a, who, take_fd(&fd));
	}
	return 0;
}

/* ---- from a buffer to the sink ---- */

static bool journal_stuck(const struct auditor *a)
{
	return a->sink.blocked && clock_usec() - a->sink.blocked_since >= PATIENCE_USEC;
}

bool pipes_readable(const struct auditor *a)
{
	return !a->sink.blocked || journal_stuck(a);
}

static int deliver(struct auditor *a, struct peer *p, const struct record *rec)
{
	int r = -EAGAIN;

	if (!a->sink.blocked) {
		entry_record(&a->entry, &p->who, rec);
		r = sink_put(&a->sink, &a->entry);
	}
	if (r != -EAGAIN || rec->fixed.decision == AUDIT_GRANT || !journal_stuck(a))
		return r;
	/* Those that were held back, their worker has counted. */
	if (rec->fixed.decision != AUDIT_SUPPRESSED)
		stats_count(&a->stats->audit_dropped);
	p->lost += rec->fixed.decision == AUDIT_SUPPRESSED ? rec->fixed.held_back : 1;
	account(a, p);
	return 0;
}

static int hold(struct auditor *a, struct peer *p, bool on)
{
	if (p->held == on)
		return 0;
	p->held = on;
	account(a, p);
	return watch(a, p, on ? EPOLL_CTL_DEL : EPOLL_CTL_ADD);
}

static int process(struct auditor *a, struct peer *p)
{
	char *buf = a->buffers[index_of(a, p)];
	struct record rec;
	uint32_t at = 0;
	int size, r = 0;

	while ((size = record_decode(buf + at, p->fill - at, &rec)) > 0) {
		r = deliver(a, p, &rec);
		if (r < 0)
			break;
		at += (uint32_t)size;
	}
	p->fill -= at;
	memmove(buf, buf + at, p->fill);
	if (r < 0 && r != -EAGAIN)
		return r;
	r = hold(a, p, r == -EAGAIN);
	if (size < 0)
		complain(a, p);
	return r;
}

static int read_pipe(struct auditor *a, struct peer *p)
{
	char *buf = a->buffers[index_of(a, p)];
	ssize_t n = read(p->fd, buf + p->fill, AUDIT_RECORD_MAX - p->fill);

	if (n > 0) {
		p->fill += (uint32_t)n;
		return process(a, p);
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	/* The end; what is still in the buffer is the beginning of a record. */
	if (p->fill)
		complain(a, p);
	else
		end(a, p);
	return 0;
}

int pipes_turn(struct auditor *a)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int n = epoll_wait(a->epoll, events, EVENTS_AT_ONCE, 0);

	for (int i = 0; i < n; i++) {
		struct peer *p = &a->peers[events[i].data.u32];
		int r;

		if (p->fd < 0 || p->held)
			continue;
		if (!pipes_readable(a))
			break;
		r = read_pipe(a, p);
		if (r < 0)
			return r;
	}
	return n < 0 && errno != EINTR ? -errno : 0;
}

/* ---- what had to wait ---- */

static int settle_gone(struct auditor *a)
{
	int r = 0;

	if (a->gone_lost) {
		entry_lost(&a->entry, NULL, a->gone_lost);
		r = sink_put(&a->sink, &a->entry);
		if (r == 0)
			a->gone_lost = 0;
	}
	if (r == 0 && a->gone_malformed) {
		entry_malformed(&a->entry, NULL, a->gone_malformed, a->malformed_total);
		r = sink_put(&a->sink, &a->entry);
		if (r == 0)
			a->gone_malformed = 0;
	}
	return r;
}

static int settle(struct auditor *a, struct peer *p)
{
	int r = 0;

	if (p->held)
		r = process(a, p);
	if (r == 0 && p->lost && !a->sink.blocked) {
		entry_lost(&a->entry, &p->who, p->lost);
		r = sink_put(&a->sink, &a->entry);
		if (r == 0)
			p->lost = 0;
	}
	if (r == 0 && p->malformed && !a->sink.blocked) {
		entry_malformed(&a->entry, &p->who, 1, a->malformed_total);
		r = sink_put(&a->sink, &a->entry);
		if (r == 0)
			p->malformed = false;
	}
	account(a, p);
	return r == -EAGAIN ? 0 : r;
}

/* In any order: who is held is not read again before all of them have been told. */
static int settle_all(struct auditor *a)
{
	for (uint32_t i = 0; i < a->n_slots && a->n_due && pipes_readable(a); i++) {
		int r = a->peers[i].due ? settle(a, &a->peers[i]) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

int pipes_settle(struct auditor *a)
{
	int r;

	/* One pass when it gets stuck, for the denials among what is held. */
	if (a->sink.blocked && (a->swept || !journal_stuck(a)))
		return 0;
	a->swept = a->sink.blocked;
	r = a->sink.blocked ? 0 : settle_gone(a);
	return r < 0 && r != -EAGAIN ? r : settle_all(a);
}

bool pipes_settled(const struct auditor *a)
{
	return !a->sink.blocked && !a->gone_lost && !a->gone_malformed && !a->n_due;
}
