/* SPDX-License-Identifier: MIT
 * Release and adoption. opend keeps a duplicate of each connection, so giving one back is
 * a cookie and closing our end; another worker adopts it, and the client notices nothing. A
 * connection is given back only between a reply and the next request: what the client has written
 * meanwhile waits in the socket. Three uses: our policy was reloaded, the service restarts, or a
 * base of our Landlock domain is out of date (refresh). Only the last needs something carried:
 * the request that we could not serve, and what was read behind it, goes to the successor
 * directly, never through opend. */
#include <errno.h>
#include <sys/socket.h>
#include "worker.h"

enum {
	REFRESH_TRIES = 3,
	DRAIN_MS = 2000,     /* for clients to take their replies */
	HALF_FRAME_MS = 100, /* for the rest of a frame that has begun */
};

static bool carry_send(struct worker *w, const struct conn *c)
{
	char packet[sizeof(struct carry) + RX_MAX];
	const struct carry head = { .cookie = c->cookie,
				    .bases = w->bases_hash,
				    .len = c->in->len,
				    .refused = c->held ? c->refused + 1u : 0 };
	ssize_t n;

	memcpy(packet, &head, sizeof head);
	memcpy(packet + sizeof head, c->in->data, c->in->len);
	/* Blocks while the successor is behind, which reads as connections come to it. */
	do
		n = write(w->successor, packet, sizeof head + c->in->len);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)(sizeof head + c->in->len);
}

bool release_try(struct worker *w, struct conn *c)
{
	uint64_t cookie = c->cookie;
	bool carried = false;

	if (c->over) {
		conn_end(w, c);
		return true;
	}
	if (conn_blocked(c) || c->lent || c->ending || c->eof)
		return false;
	if (c->in && w->successor < 0) {
		/* Half a frame, since every whole one has been answered. */
		uint64_t by = now_ms() + HALF_FRAME_MS;

		if (c->deadline_ms > by)
			c->deadline_ms = by;
		return false;
	}
	if (c->in) {
		if (!carry_send(w, c))
			return false;
		carried = true;
	}
	conn_forget(w, c);
	up_send(UP_RELEASED, carried, 0, cookie);
	return true;
}

static struct conn *conn_at(struct worker *w, uint32_t i)
{
	return w->conns[i].fd > 0 ? &w->conns[i] : NULL;
}

void release_all(struct worker *w, int consume_successor)
{
	w->releasing = true;
	w->release_by_ms = now_ms() + DRAIN_MS;
	w->successor = consume_successor;
	for (uint32_t i = 0; i < w->birth.max_conns && w->n_conns; i++) {
		struct conn *c = conn_at(w, i);

		if (!c || release_try(w, c) || !c->held || w->successor >= 0)
			continue;
		/* It has read what it cannot answer, and nobody to carry it to. */
		conn_goodbye(w, c, WIRE_RESTART);
		conn_flush(w, c);
		conn_end(w, c);
	}
}

void release_retire(struct worker *w)
{
	for (uint32_t i = 0; i < w->birth.max_conns && w->n_conns; i++) {
		struct conn *c = conn_at(w, i);

		if (!c)
			continue;
		conn_goodbye(w, c, WIRE_RESTART);
		conn_flush(w, c);
		conn_end(w, c);
	}
}

void release_overdue(struct worker *w, uint64_t now)
{
	for (uint32_t i = 0; i < w->birth.max_conns && w->n_conns; i++) {
		struct conn *c = conn_at(w, i);

		if (c && !release_try(w, c) && now > w->release_by_ms) {
			release_retire(w);
			return;
		}
	}
}

/* The packet was sent before opend was told of the release, and opend tells us
 * in the same order: so the next one is this connection's. */
void release_inherit(struct worker *w, struct conn *c)
{
	char packet[sizeof(struct carry) + RX_MAX];
	struct carry head;
	ssize_t n = recv(w->predecessor, packet, sizeof packet, MSG_DONTWAIT);

	if (n >= (ssize_t)sizeof head)
		memcpy(&head, packet, sizeof head);
	if (n < (ssize_t)sizeof head || head.cookie != c->cookie ||
	    head.len != (size_t)n - sizeof head) {
		/* Something was read and is lost, so we do not know where a frame begins. */
		conn_end(w, c);
		return;
	}
	c->refused = (uint8_t)UTIL_MIN(head.refused, (uint32_t)REFRESH_TRIES);
	/* We are no other than he was: no refresh helps, something else than Landlock refuses. */
	if (c->refused && head.bases == w->bases_hash)
		c->refused = REFRESH_TRIES;
	conn_preload(w, c, packet + sizeof head, head.len);
}

/* FNV-1a; a collision costs one path its refresh. Never 0. */
static uint64_t hash(const char *path, size_t len)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)path[i]) * 0x100000001b3;
	return h | 1;
}

bool refresh_ask(struct worker *w, struct conn *c, const char *path, size_t len)
{
	uint64_t h = hash(path, len);

	/* What was replaced may be replaced again before its refresh is done. */
	if (c->refused >= REFRESH_TRIES)
		w->useless[w->n_useless++ % USELESS_MAX] = h;
	for (size_t i = 0; i < USELESS_MAX; i++)
		if (w->useless[i] == h)
			return false;
	/* A lender has one client, who repeats what a GOODBYE left unanswered with the next. */
	if (is_lender(w)) {
		conn_goodbye(w, c, WIRE_RESTART);
		return true;
	}
	if (!w->refresh_wanted && !w->releasing)
		up_send(UP_REFRESH, 0, 0, 0);
	w->refresh_wanted = true;
	return true;
}

void refresh_refused(struct worker *w)
{
	w->refresh_wanted = false;
	for (uint32_t i = 0; i < w->birth.max_conns && w->n_conns; i++) {
		struct conn *c = conn_at(w, i);

		if (!c || !c->held)
			continue;
		c->held = false;
		c->refused = REFRESH_TRIES;
		conn_resume(w, c);
	}
}
