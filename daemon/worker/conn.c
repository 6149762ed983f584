/* SPDX-License-Identifier: MIT
 * Clients' connections: bytes in, replies and descriptors out. A connection holds a buffer only
 * while it has half a frame or unsent output; buffers come from pools mapped before we were
 * confined, and touched only when used.
 *
 * Who does not read is not read: at a full socket or WIRE_FDS_MAX unread descriptors the
 * connection is *blocked*: its input stays where it is until the output has gone. */
#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include "fdpass.h"
#include "worker.h"

enum {
	SPURIOUS_MAX = 3,
	UNREAD_MAX = 512, /* of one uid's connections together */
};

/* ---- pools ---- */

static void *reserve(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* The pools are stacks that grow into untouched memory: `next` NULL in a fresh element means the
 * element behind it, so that nothing has to be initialised (and paid for) at start. The last one
 * is a sentinel that is never handed out. */
static void *pool_pop(void **head, size_t size, const void *end)
{
	char *element = *head;
	void *next;

	if (element + size >= (const char *)end)
		return NULL;
	memcpy(&next, element, sizeof next);
	*head = next ? next : element + size;
	memset(element, 0, sizeof next);
	return element;
}

static struct {
	char *in_end, *out_end;
} pools;

struct outbuf *outbuf_acquire(struct worker *w)
{
	struct outbuf *b = pool_pop((void **)&w->out_pool, sizeof *b, pools.out_end);

	if (b)
		b->len = b->sent = b->n_fds = 0;
	return b;
}

/* Descriptors that were not sent are closed. */
void outbuf_release(struct worker *w, struct outbuf *b)
{
	for (uint32_t i = 0; i < b->n_fds; i++)
		close_fd(b->fds[i]);
	b->n_fds = 0;
	b->next = w->out_pool;
	w->out_pool = b;
}

static void inbuf_release(struct worker *w, struct conn *c)
{
	if (!c->in)
		return;
	if (c->deadline_ms) {
		c->deadline_ms = 0;
		w->n_partial--;
	}
	c->in->next = w->in_pool;
	w->in_pool = c->in;
	c->in = NULL;
}

static void on_alarm(int sig)
{
	(void)sig;
}

int conn_setup(struct worker *w)
{
	const struct sigaction interrupt = { .sa_handler = on_alarm }; /* no SA_RESTART */
	const size_t n = w->birth.max_conns;
	const size_t in_size = (n + 1) * sizeof(struct inbuf);
	const size_t out_size = (2 * n + 16) * sizeof(struct outbuf);

	w->conns = reserve(n * sizeof *w->conns);
	w->labels = reserve(LABELS_MAX * sizeof *w->labels);
	w->accounts = reserve(ACCOUNTS_MAX * sizeof *w->accounts);
	w->lender.lent = reserve(LENT_MAX * sizeof *w->lender.lent);
	w->lender.paths = reserve(LENT_MAX * sizeof *w->lender.paths);
	w->in_pool = reserve(in_size);
	w->out_pool = reserve(out_size);
	if (!w->conns || !w->labels || !w->accounts || !w->lender.lent || !w->lender.paths ||
	    !w->in_pool || !w->out_pool)
		return -ENOMEM;
	pools.in_end = (char *)w->in_pool + in_size;
	pools.out_end = (char *)w->out_pool + out_size;
	w->tx = outbuf_acquire(w);
	w->lender.tx = outbuf_acquire(w);
	w->n_labels = 1; /* the first is blank: for more labels than there is room for */
	/* The first is ours; in a lobby, for more uids than there is room for. */
	w->accounts[0] = (struct account){ .uid = w->birth.uid, .gid = w->birth.gid };
	w->n_accounts = 1;
	return sigaction(SIGALRM, &interrupt, NULL) < 0 ? -errno : 0;
}

/* ---- a shared worker defends itself ---- */

/* A client may have queued a socket on this one whose last close lingers for seconds; whoever
 * drops it, in recv or close, sleeps (socket(7), SO_LINGER). The sleep ends at a signal. The lobby
 * is shared, so it never makes such a call without a timer that goes off until it is through. */
static void interrupt_repeatedly(const struct worker *w, const struct conn *c, bool on)
{
	const struct timeval tick = { .tv_usec = on ? 10000 : 0 };
	const struct itimerval timer = { .it_interval = tick, .it_value = tick };

	if (w->birth.role == BIRTH_LOBBY && !(c->flags & DOWN_NO_RIGHTS))
		setitimer(ITIMER_REAL, &timer, NULL);
}

/* ---- connections ---- */

static uint16_t label_of(struct worker *w, const struct down *d)
{
	struct label l;

	memset(&l, 0, sizeof l);
	memcpy(l.via, d->via, sizeof l.via - 1);
	memcpy(l.unit, d->unit, sizeof l.unit - 1);
	for (size_t i = 0; i < w->n_labels; i++)
		if (memcmp(&w->labels[i], &l, sizeof l) == 0)
			return (uint16_t)i;
	if (w->n_labels == LABELS_MAX)
		return 0;
	w->labels[w->n_labels] = l;
	return (uint16_t)w->n_labels++;
}

static int watch(struct worker *w, struct conn *c, int op, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.u64 = (uint64_t)(c - w->conns) };

	return epoll_ctl(w->epoll, op, c->fd, &e) < 0 ? -errno : 0;
}

/* The account of a lobby's client. One that is as good as new is used again. */
static uint16_t account_of(struct worker *w, const struct ucred *peer)
{
	size_t free_one = w->n_accounts;

	for (size_t i = 1; i < w->n_accounts; i++) {
		struct account *a = &w->accounts[i];

		if (a->uid == peer->uid)
			return (uint16_t)i;
		if (!a->n_conns && audit_is_settled(w, a))
			free_one = i;
	}
	if (free_one == ACCOUNTS_MAX)
		return 0;
	if (free_one == w->n_accounts)
		w->n_accounts++;
	w->accounts[free_one] = (struct account){ .uid = peer->uid, .gid = peer->gid };
	return (uint16_t)free_one;
}

size_t conn_groups(int fd, const gid_t **ret)
{
	static gid_t groups[65536]; /* as many as there can be, and a page where there are few */
	socklen_t len = sizeof groups;

	*ret = groups;
	return getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0 ? SIZE_MAX
									   : len / sizeof *groups;
}

/* Both in the kernel's order. */
static bool groups_are_ours(const struct worker *w, int fd)
{
	const gid_t *groups;

	return conn_groups(fd, &groups) == w->birth.n_groups &&
	       (w->birth.n_groups == 0 ||
		!memcmp(groups, w->groups, w->birth.n_groups * sizeof *groups));
}

/* The kernel knows whose connection it is, so we can see for ourselves that opend did not
 * hand us another identity's. The lobby serves anybody; a lender's peer is a worker. */
static bool peer_is_ours(struct worker *w, int fd, const struct down *d, uint16_t *ret_account)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof peer;

	*ret_account = 0;
	if (w->birth.role == BIRTH_LENDER || (d->flags & DOWN_PEER_WORKER))
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return false;
	if (w->birth.role == BIRTH_LOBBY)
		*ret_account = account_of(w, &peer);
	return w->birth.role == BIRTH_LOBBY ||
	       (peer.uid == w->birth.uid && peer.gid == w->birth.gid && groups_are_ours(w, fd));
}

struct conn *conn_adopt(struct worker *w, int consume_fd, const struct down *d)
{
	_cleanup_close_ int fd = consume_fd;
	uint32_t slot = w->free_conn;
	uint16_t account;
	struct conn *c;

	if (slot == w->birth.max_conns || !peer_is_ours(w, fd, d, &account)) {
		shutdown(fd, SHUT_RDWR);
		up_send(UP_CLOSED, 0, 0, d->cookie);
		return NULL;
	}
	c = &w->conns[slot];
	w->free_conn = c->next_free ? c->next_free - 1 : slot + 1;
	*c = (struct conn){ .fd = take_fd(&fd),
			    .flags = d->flags,
			    .cookie = d->cookie,
			    .generation = c->generation + 1,
			    .label = label_of(w, d),
			    .account = account };
	w->n_conns++;
	w->accounts[account].n_conns++;
	if (watch(w, c, EPOLL_CTL_ADD, EPOLLIN) < 0) {
		conn_end(w, c);
		return NULL;
	}
	return c;
}

bool conn_blocked(const struct conn *c)
{
	return c->out != NULL;
}

static void discard(struct worker *w, struct conn *c)
{
	inbuf_release(w, c);
	while (c->out) {
		struct outbuf *b = c->out;

		c->out = b->next;
		outbuf_release(w, b);
	}
	w->n_retry -= c->retry;
	c->retry = false;
}

/* Back to the free list. opend's duplicate keeps the socket alive, and with it its place
 * in our epoll set, so that is taken back by name. */
static void drop(struct worker *w, struct conn *c)
{
	struct account *a = &w->accounts[c->account];

	discard(w, c);
	a->unread -= c->unread;
	a->n_conns--;
	watch(w, c, EPOLL_CTL_DEL, 0);
	interrupt_repeatedly(w, c, true);
	close_fd(c->fd);
	interrupt_repeatedly(w, c, false);
	*c = (struct conn){ .fd = -1,
			    .generation = c->generation + 1,
			    .next_free = w->free_conn + 1 };
	w->free_conn = (uint32_t)(c - w->conns);
	w->n_conns--;
}

/* Descriptors count as unread until the client has drained the socket. One byte may still be
 * counted while the kernel tells us of the last (sock_wfree()); a message is hundreds. */
static bool has_read_all(struct worker *w, struct conn *c)
{
	int queued = 0;

	if (c->unread && (ioctl(c->fd, SIOCOUTQ, &queued) < 0 || queued > 1))
		return false;
	w->accounts[c->account].unread -= c->unread;
	c->unread = 0;
	return true;
}

/* Edge-triggered for output: each time the client takes something, the kernel tells us once. */
static void stop_reading(struct worker *w, struct conn *c)
{
	if (c->watched_out)
		return;
	c->watched_out = true;
	watch(w, c, EPOLL_CTL_MOD, EPOLLOUT | EPOLLET);
}

/* A connection that is over stays his until he has taken the descriptors in it, or closes his end:
 * else as many could be in flight as he makes connections. The second call ends it all the same. */
void conn_end(struct worker *w, struct conn *c)
{
	uint64_t cookie = c->cookie;

	shutdown(c->fd, SHUT_RDWR);
	if (!c->over && !w->releasing && !has_read_all(w, c)) {
		c->over = true;
		c->generation++;
		discard(w, c);
		stop_reading(w, c);
		return;
	}
	drop(w, c);
	up_send(UP_CLOSED, 0, 0, cookie);
}

void conn_forget(struct worker *w, struct conn *c)
{
	drop(w, c);
}

/* ---- output ---- */

static void count_unread(struct worker *w, uint16_t account)
{
	for (uint32_t i = 0; i < w->birth.max_conns; i++)
		if (w->conns[i].fd > 0 && w->conns[i].account == account)
			has_read_all(w, &w->conns[i]);
}

/* May n more descriptors go? -EAGAIN: not before this client reads. -ETOOMANYREFS: not before his
 * uid has fewer unread, on whichever connection; nobody tells us of that. */
static int may_send_fds(struct worker *w, struct conn *c, uint32_t n)
{
	const struct account *a = &w->accounts[c->account];

	if (c->unread + n > WIRE_FDS_MAX && !has_read_all(w, c))
		return -EAGAIN;
	if (a->unread + n > UNREAD_MAX)
		count_unread(w, c->account);
	return a->unread + n > UNREAD_MAX ? -ETOOMANYREFS : 0;
}

/* Sends what it can of b. 0: all gone. -EAGAIN: later. */
static int outbuf_send(struct worker *w, struct conn *c, struct outbuf *b)
{
	while (b->sent < b->len) {
		int r = may_send_fds(w, c, b->n_fds);

		if (r == 0)
			r = fdpass_send(c->fd, b->data + b->sent, b->len - b->sent, b->fds,
					b->n_fds);
		if (r == -ETOOMANYREFS) {
			if (!c->retry)
				w->n_retry++;
			c->retry = true;
			return -EAGAIN;
		}
		if (r < 0)
			return r;
		c->unread += b->n_fds;
		w->accounts[c->account].unread += b->n_fds;
		for (uint32_t i = 0; i < b->n_fds; i++)
			close_fd(b->fds[i]);
		b->n_fds = 0;
		b->sent += (uint32_t)r;
	}
	return 0;
}

/* The burst under way could not be sent whole: from now on this connection is blocked. */
static void block(struct worker *w, struct conn *c)
{
	struct outbuf *fresh = outbuf_acquire(w);

	if (!fresh) {
		outbuf_release(w, w->tx);
		w->tx = outbuf_acquire(w);
		c->ending = true;
		return;
	}
	c->out = c->out_tail = w->tx;
	w->tx = fresh;
	stop_reading(w, c);
}

void conn_flush(struct worker *w, struct conn *c)
{
	int r;

	resolve_rest(w);
	if (conn_blocked(c) || w->tx->len == 0)
		return;
	r = outbuf_send(w, c, w->tx);
	if (r == -EAGAIN) {
		block(w, c);
		return;
	}
	if (r < 0)
		c->ending = true;
	outbuf_release(w, w->tx);
	w->tx = outbuf_acquire(w);
}

/* Where the next frame of this connection goes, with that much room and a place for one fd. */
static struct outbuf *tx_for(struct worker *w, struct conn *c, size_t room)
{
	struct outbuf *b = conn_blocked(c) ? c->out_tail : w->tx;

	if (b->len + room <= sizeof b->data && b->n_fds < WIRE_FDS_MAX)
		return b;
	if (!conn_blocked(c)) {
		conn_flush(w, c);
		if (!conn_blocked(c))
			return w->tx;
	}
	b = outbuf_acquire(w);
	if (!b) {
		c->ending = true;
		return NULL;
	}
	c->out_tail->next = b;
	c->out_tail = b;
	return b;
}

void conn_reply(struct worker *w, struct conn *c, struct wire_outcome *out, int consume_fd)
{
	_cleanup_close_ int fd = consume_fd;
	struct outbuf *b = tx_for(w, c, sizeof(struct wire_result) + out->text_len);
	int n;

	if (!b)
		return;
	out->nfds = fd >= 0;
	n = wire_encode_result(b->data + b->len, sizeof b->data - b->len, out);
	if (n < 0)
		return;
	b->len += (uint32_t)n;
	if (fd >= 0)
		b->fds[b->n_fds++] = take_fd(&fd);
}

void conn_frame(struct worker *w, struct conn *c, uint16_t type, uint64_t id, int consume_fd,
		const void *body, size_t len)
{
	_cleanup_close_ int fd = consume_fd;
	struct outbuf *b = tx_for(w, c, sizeof(struct wire_header) + len);
	int n;

	if (!b)
		return;
	n = wire_encode_plain(b->data + b->len, sizeof b->data - b->len, type, id, fd >= 0, body,
			      len);
	if (n < 0)
		return;
	b->len += (uint32_t)n;
	if (fd >= 0)
		b->fds[b->n_fds++] = take_fd(&fd);
}

void conn_goodbye(struct worker *w, struct conn *c, int reason)
{
	const uint16_t body[2] = { (uint16_t)reason, 0 };

	/* It promises that nothing unanswered was done: what is with the lender may have been. */
	if (!c->lent)
		conn_frame(w, c, WIRE_GOODBYE, 0, -1, body, sizeof body);
	c->ending = true;
}

/* ---- input ---- */

/* Keeps what was read but not answered. */
static bool keep(struct worker *w, struct conn *c, const char *data, size_t len)
{
	if (len == 0) {
		inbuf_release(w, c);
		return true;
	}
	if (!c->in) {
		c->in = pool_pop((void **)&w->in_pool, sizeof *c->in, pools.in_end);
		if (!c->in)
			return false;
	}
	memmove(c->in->data, data, len);
	c->in->len = (uint32_t)len;
	/* The deadline is for a client who dawdles, not for one who waits for us. */
	if (!conn_blocked(c) && !c->lent && !c->deadline_ms) {
		c->deadline_ms = now_ms() + w->birth.frame_ms;
		w->n_partial++;
	}
	return true;
}

/* Who is to be released is not read any more: what comes is for another worker to answer. But where
 * a frame has begun its rest is waited for. */
static bool is_for_others(const struct worker *w, const struct conn *c)
{
	return w->releasing && (!c->in || w->successor >= 0);
}

static bool must_pause(const struct conn *c)
{
	return conn_blocked(c) || c->ending || c->held || c->lent >= LENT_MAX / 4;
}

/* Answers all whole frames in data, as far as the output goes. */
static void process(struct worker *w, struct conn *c, const char *data, size_t len)
{
	struct wire_header h;
	size_t at = 0;
	int size = 0;

	while (!must_pause(c)) {
		size = wire_frame(data + at, len - at, WIRE_REQUEST_MAX, &h);
		if (size <= 0)
			break;
		if (!answer_frame(w, c, &h, data + at)) {
			c->held = true;
			break;
		}
		c->refused = 0;
		at += (size_t)size;
	}
	if (size < 0 && !must_pause(c))
		conn_goodbye(w, c, WIRE_FRAME);
	else if (at > 0 && c->deadline_ms) {
		c->deadline_ms = 0;
		w->n_partial--;
	}
	conn_flush(w, c);
	lend_flush(w);
	if (!c->ending && !keep(w, c, data + at, len - at))
		conn_goodbye(w, c, WIRE_RESOURCES);
}

/* After a burst: is this connection over? */
static void settle(struct worker *w, struct conn *c)
{
	if (c->ending) {
		conn_flush(w, c);
		/* A GOODBYE that cannot be sent at once is not worth waiting for. */
		if (w->tx->len) {
			outbuf_release(w, w->tx);
			w->tx = outbuf_acquire(w);
		}
		conn_end(w, c);
	} else if (c->eof && !conn_blocked(c) && !c->lent) {
		conn_end(w, c);
	} else if (w->releasing && release_try(w, c)) {
		return;
	} else if (c->eof) {
		stop_reading(w, c);
	}
}

/* How much to receive behind what we have. While we leave, no more than the frame that has begun.
 */
static size_t wanted(const struct worker *w, const struct conn *c, size_t have)
{
	uint32_t size = sizeof(struct wire_header);

	if (!w->releasing || !c->in)
		return sizeof w->rx - have;
	if (have >= sizeof(struct wire_header))
		memcpy(&size, c->in->data + offsetof(struct wire_header, size), sizeof size);
	size = UTIL_MIN(size, (uint32_t)WIRE_REQUEST_MAX);
	return size > have ? size - have : 1;
}

void conn_readable(struct worker *w, struct conn *c)
{
	size_t have = c->in ? c->in->len : 0;
	ssize_t n;

	/* Paused, and more comes: only now is it worth telling the kernel. */
	if (must_pause(c) || c->eof || is_for_others(w, c)) {
		stop_reading(w, c);
		settle(w, c);
		return;
	}
	memcpy(w->rx, c->in ? c->in->data : w->rx, have);
	interrupt_repeatedly(w, c, true);
	n = recv(c->fd, w->rx + have, wanted(w, c, have), MSG_DONTWAIT);
	interrupt_repeatedly(w, c, false);
	if (n < 0) {
		/* Out-of-band data makes a socket readable with nothing to read, for ever. */
		if (errno != EAGAIN && errno != EINTR)
			conn_goodbye(w, c, WIRE_RESOURCES);
		else if (++c->spurious > SPURIOUS_MAX)
			conn_goodbye(w, c, WIRE_FRAME);
		settle(w, c);
		return;
	}
	c->spurious = 0;
	if (n == 0)
		c->eof = true;
	else
		process(w, c, w->rx, have + (size_t)n);
	settle(w, c);
}

void conn_resume(struct worker *w, struct conn *c)
{
	if (must_pause(c)) {
		settle(w, c);
		return;
	}
	if (c->in) {
		size_t have = c->in->len;

		memcpy(w->rx, c->in->data, have);
		process(w, c, w->rx, have);
	}
	if (!must_pause(c) && c->watched_out && !c->eof && !is_for_others(w, c)) {
		c->watched_out = false;
		watch(w, c, EPOLL_CTL_MOD, EPOLLIN);
	}
	settle(w, c);
}

void conn_preload(struct worker *w, struct conn *c, const char *data, size_t len)
{
	if (!keep(w, c, data, len))
		conn_goodbye(w, c, WIRE_RESOURCES);
	conn_resume(w, c);
}

void conn_writable(struct worker *w, struct conn *c)
{
	if (c->over) {
		if (has_read_all(w, c))
			conn_end(w, c);
		return;
	}
	if (c->retry) {
		c->retry = false;
		w->n_retry--;
	}
	while (c->out) {
		struct outbuf *b = c->out;
		int r = outbuf_send(w, c, b);

		if (r == -EAGAIN)
			return;
		if (r < 0) {
			c->ending = true;
			break;
		}
		c->out = b->next;
		outbuf_release(w, b);
	}
	conn_resume(w, c);
}
