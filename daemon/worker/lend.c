/* SPDX-License-Identifier: MIT
 * The link to the lender. It is a connection like a client's, only that we are the client: the
 * same protocol, our own ids. A request is kept whole until its answer is there: when the lender
 * says GOODBYE, what it has not answered was not done, and is sent to the next one. A lender that
 * vanishes without a word may have done it or not, so its requests fail.
 *
 * At the first such request there is no lender yet: opend is asked for one. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "fdpass.h"
#include "worker.h"

enum { RULE_MAX = 512, REPEATS = 3 };

static uint64_t lent_id(const struct worker *w, const struct lent *l)
{
	return (uint64_t)l->generation << 16 | ((uint64_t)(l - w->lender.lent) + 1);
}

static struct lent *lent_find(struct worker *w, uint64_t id)
{
	uint64_t i = (id & 0xffff) - 1;

	if (i >= LENT_MAX || !w->lender.lent[i].used || lent_id(w, &w->lender.lent[i]) != id)
		return NULL;
	return &w->lender.lent[i];
}

static struct lent *lent_new(struct worker *w)
{
	struct link *k = &w->lender;
	uint32_t i = k->n_lent == k->top ? k->top : 0;

	while (i < LENT_MAX && k->lent[i].used)
		i++;
	if (i == LENT_MAX)
		return NULL;
	k->top = UTIL_MAX(k->top, i + 1);
	k->lent[i].paths = &k->paths[i];
	return &k->lent[i];
}

/* The connection that waits for it, or NULL when it is gone. */
static struct conn *lent_conn(struct worker *w, const struct lent *l)
{
	struct conn *c = &w->conns[l->conn];

	return c->fd >= 0 && c->generation == l->conn_generation ? c : NULL;
}

static void lent_free(struct worker *w, struct lent *l)
{
	struct conn *c = lent_conn(w, l);

	if (c)
		c->lent--;
	l->used = false;
	l->generation++;
	if (--w->lender.n_lent == 0)
		w->lender.top = 0;
}

static bool watch(struct worker *w, int op, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.u64 = EPOLL_LENDER };

	return epoll_ctl(w->epoll, op, w->lender.fd, &e) == 0;
}

/* Puts unsent requests into the send buffer, each with the place for a path. */
static void fill(struct worker *w)
{
	struct link *k = &w->lender;

	for (size_t i = 0; i < k->top; i++) {
		struct lent *l = &k->lent[i];
		struct wire_request r;

		if (!l->used || l->sent)
			continue;
		r = l->req;
		if (k->tx->len + WIRE_REQUEST_MAX > sizeof k->tx->data)
			return;
		r.id = lent_id(w, l);
		r.path = l->place_len ? l->paths->place : l->paths->path;
		r.path_len = l->place_len ? l->place_len : l->req.path_len;
		k->tx->len += (uint32_t)wire_encode_open(k->tx->data + k->tx->len, &r);
		l->order = ++k->orders;
		l->sent = true;
	}
}

static void fail(struct worker *w, struct lent *l, int reason, int error)
{
	struct conn *c = lent_conn(w, l);

	if (c) {
		answer_unable(w, c, l->client_id, reason, error);
		conn_flush(w, c);
	}
	lent_free(w, l);
	if (c)
		conn_resume(w, c);
}

/* The first that the lender has not answered: the one for whose sake it said GOODBYE. */
static struct lent *culprit(struct worker *w)
{
	struct lent *first = NULL;

	for (size_t i = 0; i < w->lender.top; i++) {
		struct lent *l = &w->lender.lent[i];

		if (l->used && l->sent && (!first || l->order < first->order))
			first = l;
	}
	return first;
}

/* The link is over. With a GOODBYE the unanswered are repeated, else they fail. The one that made
 * REPEATS lenders end, each born later than the last, has another reason than a stale base. */
static void disconnect(struct worker *w, bool goodbye)
{
	struct link *k = &w->lender;
	struct lent *first = goodbye ? culprit(w) : NULL;

	k->fd = close_fd(k->fd);
	for (size_t i = 0; i < k->n_fds; i++)
		close_fd(k->fds[i]);
	k->n_fds = k->rx_len = 0;
	k->tx->len = k->tx->sent = 0;
	k->wanted = k->watched_out = false;
	if (first && ++first->repeats == REPEATS)
		fail(w, first, WIRE_KERNEL, EACCES);
	for (size_t i = 0; i < k->top; i++) {
		struct lent *l = &k->lent[i];

		if (l->used && l->sent && !goodbye)
			fail(w, l, WIRE_RESOURCES, EAGAIN);
		l->sent = false;
	}
	if (k->n_lent && !k->wanted) {
		k->wanted = true;
		up_send(UP_LENDER, 0, 0, 0);
	}
}

void lend_flush(struct worker *w)
{
	struct link *k = &w->lender;

	if (k->fd < 0)
		return;
	for (;;) {
		int r;

		if (k->tx->len == 0)
			fill(w);
		if (k->tx->len == 0)
			break;
		r = fdpass_send(k->fd, k->tx->data + k->tx->sent, k->tx->len - k->tx->sent, NULL,
				0);
		if (r == -EAGAIN) {
			if (!k->watched_out)
				watch(w, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
			k->watched_out = true;
			return;
		}
		if (r < 0)
			return; /* its end of file comes through the loop */
		k->tx->sent += (uint32_t)r;
		if (k->tx->sent == k->tx->len)
			k->tx->sent = k->tx->len = 0;
	}
	if (k->watched_out)
		watch(w, EPOLL_CTL_MOD, EPOLLIN);
	k->watched_out = false;
}

bool lend_forward(struct worker *w, struct conn *c, const struct wire_request *req,
		  const struct decision *d, uint64_t serial)
{
	struct link *k = &w->lender;
	struct lent *l = k->none ? NULL : lent_new(w);

	if (k->none)
		return false;
	if (!l) {
		answer_unable(w, c, req->id, WIRE_RESOURCES, EAGAIN);
		return true;
	}
	l->conn = (uint32_t)(c - w->conns);
	l->conn_generation = c->generation;
	l->client_id = req->id;
	l->serial = serial;
	l->access = d->access;
	l->used = true;
	l->sent = false;
	l->repeats = 0;
	l->req = *req;
	l->req.path = l->paths->path;
	memcpy(l->paths->path, req->path, req->path_len);
	memcpy(l->paths->place, d->place, d->place_len);
	l->place_len = d->place_len;
	c->lent++;
	k->n_lent++;
	if (k->fd < 0 && !k->wanted) {
		k->wanted = true;
		up_send(UP_LENDER, 0, 0, 0);
	}
	return true;
}

/* The rules of the lender were of no use for this file: the other rules have their turn. A deny is
 * the same for both. */
static bool worth_retrying(const struct wire_outcome *out)
{
	return out->reason >= WIRE_NO_RULE && out->reason <= WIRE_NO_POLICY &&
	       out->reason != WIRE_DENIED;
}

static void retry_as_caller(struct worker *w, const struct wire_request *req,
			    struct wire_outcome *out, struct decision *d, int *fd)
{
	struct wire_outcome again = outcome_failed(w, req->id, WIRE_OK, 0);
	struct decision decided;

	again.serial = out->serial;
	if (resolve_open(w, req, true, &again, &decided, fd) != RESOLVE_DONE || again.error)
		return;
	*out = again;
	*d = decided;
}

static struct wire_request request_of(const struct lent *l)
{
	struct wire_request req = l->req;

	req.id = l->client_id;
	return req;
}

/* Without a lender: what the rules `as caller` say. */
static void deliver_as_caller(struct worker *w, struct conn *c, const struct lent *l)
{
	const struct wire_request req = request_of(l);
	struct wire_outcome out = outcome_failed(w, req.id, WIRE_OK, 0);
	struct decision d;
	int fd = -1;

	out.serial = l->serial;
	if (resolve_open(w, &req, true, &out, &d, &fd) == RESOLVE_DONE)
		answer_decided(w, c, &req, &out, &d, fd);
	else
		answer_unable(w, c, req.id, WIRE_RESOURCES, EAGAIN);
}

/* No lender is to be had, now or ever. In the first case what waits fails, in the second it is
 * answered by the other rules. */
static void answer_without(struct worker *w, bool not_now)
{
	struct link *k = &w->lender;

	k->none = !not_now;
	for (size_t i = 0; i < k->top; i++) {
		struct lent *l = &k->lent[i];
		struct conn *c = l->used ? lent_conn(w, l) : NULL;

		if (!l->used)
			continue;
		if (!c || not_now) {
			fail(w, l, WIRE_RESOURCES, EAGAIN);
			continue;
		}
		deliver_as_caller(w, c, l);
		conn_flush(w, c);
		lent_free(w, l);
		conn_resume(w, c);
	}
}

void lend_connected(struct worker *w, int consume_fd, bool not_now)
{
	struct link *k = &w->lender;

	if (k->fd >= 0)
		disconnect(w, true);
	k->wanted = false;
	if (consume_fd < 0) {
		answer_without(w, not_now);
		return;
	}
	k->fd = consume_fd;
	/* One that we would not hear is none. */
	if (!watch(w, EPOLL_CTL_ADD, EPOLLIN)) {
		k->fd = close_fd(k->fd);
		answer_without(w, true);
		return;
	}
	lend_flush(w);
}

/* What answer.c's confide() wrote. The lender's memory is as good as ours, its texts are cut to
 * size all the same. */
static void confided(struct worker *w, struct wire_outcome *out, struct decision *d, char *rule,
		     size_t size)
{
	const char *text = out->text, *end;
	size_t n;

	*d = (struct decision){ .rule = "", .place = "", .as_root = true };
	if (out->text_len < 2)
		return;
	d->log = text[0] == 'L';
	d->quiet = text[1] == 'Q';
	end = memchr(text + 2, '\n', out->text_len - 2);
	if (!end)
		return;
	n = UTIL_MIN((size_t)(end - text - 2), size - 1);
	memcpy(rule, text + 2, n);
	rule[n] = 0;
	d->rule = rule;
	d->place_len = UTIL_MIN((size_t)(text + out->text_len - end - 1), sizeof w->place);
	memcpy(w->place, end + 1, d->place_len);
	d->place = w->place;
}

static void deliver(struct worker *w, struct wire_outcome *out, int consume_fd)
{
	_cleanup_close_ int fd = consume_fd;
	struct lent *l = lent_find(w, out->id);
	struct conn *c = l ? lent_conn(w, l) : NULL;
	struct wire_request req;
	struct decision d;
	char rule[RULE_MAX];

	if (!l)
		return;
	if (c) {
		req = request_of(l);
		confided(w, out, &d, rule, sizeof rule);
		if (!d.place_len) {
			d.place = l->paths->place;
			d.place_len = l->place_len;
		}
		d.access = l->access;
		out->id = req.id;
		out->text_len = 0;
		out->serial = l->serial;
		out->generation = w->birth.generation;
		if (out->error && worth_retrying(out))
			retry_as_caller(w, &req, out, &d, &fd);
		answer_decided(w, c, &req, out, &d, take_fd(&fd));
	}
	lent_free(w, l);
}

/* Takes the frames in rx. 0, 1 for a GOODBYE, or -EPROTO. */
static int take_frames(struct worker *w)
{
	struct link *k = &w->lender;
	struct conn *burst = NULL;
	struct wire_header h;
	size_t at = 0, used_fds = 0;
	int size, r = 0;

	while ((size = wire_frame(k->rx + at, k->rx_len - at, WIRE_REPLY_MAX, &h)) > 0) {
		struct wire_outcome out;
		struct lent *l = lent_find(w, h.id);
		struct conn *c = l ? lent_conn(w, l) : NULL;

		if (h.type == WIRE_GOODBYE) {
			r = 1;
			break;
		}
		if (wire_decode_result(k->rx + at, (size_t)size, &out) < 0 ||
		    out.nfds > k->n_fds - used_fds) {
			r = -EPROTO;
			break;
		}
		if (burst && burst != c)
			conn_flush(w, burst);
		burst = c;
		deliver(w, &out, out.nfds ? k->fds[used_fds++] : -1);
		at += (size_t)size;
	}
	if (burst)
		conn_flush(w, burst);
	memmove(k->rx, k->rx + at, k->rx_len - at);
	k->rx_len -= (uint32_t)at;
	memmove(k->fds, k->fds + used_fds, (k->n_fds - used_fds) * sizeof *k->fds);
	k->n_fds -= used_fds;
	return size < 0 ? size : r;
}

/* Connections that were waiting for the lender may go on. */
static void resume_all(struct worker *w, const uint32_t *conns, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct conn *c = &w->conns[conns[i]];

		if (c->fd >= 0)
			conn_resume(w, c);
	}
}

static size_t waiting(struct worker *w, uint32_t *conns)
{
	size_t n = 0;

	for (size_t i = 0; i < w->lender.top; i++) {
		struct lent *l = &w->lender.lent[i];

		if (l->used && lent_conn(w, l) && (n == 0 || conns[n - 1] != l->conn))
			conns[n++] = l->conn;
	}
	return n;
}

void lend_ready(struct worker *w, uint32_t events)
{
	struct link *k = &w->lender;
	uint32_t conns[LENT_MAX];
	size_t got_fds = 0, n = waiting(w, conns);
	int r;

	if (k->fd < 0)
		return;
	if (events & EPOLLOUT)
		lend_flush(w);
	r = fdpass_recv(k->fd, k->rx + k->rx_len, sizeof k->rx - k->rx_len, k->fds + k->n_fds,
			ELEMENTSOF(k->fds) - k->n_fds < WIRE_FDS_MAX ? ELEMENTSOF(k->fds) - k->n_fds
								     : WIRE_FDS_MAX,
			&got_fds);
	if (r == -EAGAIN)
		return;
	if (r > 0) {
		k->rx_len += (uint32_t)r;
		k->n_fds += got_fds;
		r = take_frames(w);
		if (r == 0) {
			lend_flush(w);
			resume_all(w, conns, n);
			return;
		}
	} else {
		r = -EPIPE;
	}
	disconnect(w, r > 0);
	resume_all(w, conns, n);
}
