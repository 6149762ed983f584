/* SPDX-License-Identifier: MIT
 * Bytes and descriptors in, whole frames out. Nothing here blocks but stream_pump(), which waits
 * for both directions at once: a server that holds 253 descriptors for us reads no more until we
 * took some, so whoever only wrote would wait for ever. */
#include <poll.h>
#include "internal.h"

/* Forgets everything of the stream that was: rests of frames, descriptors nobody counted. */
void stream_reset(struct openc_conn *c)
{
	while (c->fds_len)
		close_fd(stream_take_fd(c));
	c->fds_head = 0;
	c->in_len = c->out_head = c->out_len = 0;
	c->queued = c->sent = 0;
	c->broken = false;
}

/* The oldest descriptor that no frame has taken yet, or -1. Out of the queue before anybody
 * else has it, see internal.h. */
int stream_take_fd(struct openc_conn *c)
{
	int fd;

	if (!c->fds_len)
		return -1;
	fd = c->fds[c->fds_head];
	c->fds_head++;
	c->fds_len--;
	return fd;
}

/* Room for a frame of at most len bytes at the end of what is to be sent, or NULL. */
char *stream_reserve(struct openc_conn *c, size_t len)
{
	if (len > OUT_ROOM - c->out_head - c->out_len && c->out_head) {
		memmove(c->out, c->out + c->out_head, c->out_len);
		c->out_head = 0;
	}
	if (len > OUT_ROOM - c->out_len)
		return NULL;
	return c->out + c->out_head + c->out_len;
}

/* Sends what the socket takes. An error here is no end yet: answers and a GOODBYE may still lie
 * in the socket, and they tell what was done and what was not. */
void stream_flush(struct openc_conn *c)
{
	while (c->out_len && !c->lost && !c->broken) {
		int n = fdpass_send(c->sock, c->out + c->out_head, c->out_len, NULL, 0);

		if (n == -EAGAIN)
			return;
		if (n < 0) {
			c->broken = true;
			return;
		}
		c->sent += (uint64_t)n;
		c->out_head += (size_t)n;
		c->out_len -= (size_t)n;
		if (!c->out_len)
			c->out_head = 0;
	}
}

/* Hands every whole frame at hand to its request. */
static int cut_frames(struct openc_conn *c)
{
	size_t at = 0;
	int r = 0;

	for (;;) {
		struct wire_header h;
		int size = wire_frame(c->in + at, c->in_len - at, WIRE_REPLY_MAX, &h);

		if (size == 0)
			break;
		r = size < 0 ? size : answer_frame(c, &h, c->in + at);
		if (r < 0 || c->lost)
			break;
		at += (size_t)size;
	}
	if (c->lost)
		return c->lost;
	if (r < 0) {
		conn_lose(c, -ECONNRESET, OPENC_R_LOST, false,
			  "what the server sent is not opend-protocol(7)");
		return c->lost;
	}
	memmove(c->in, c->in + at, c->in_len - at);
	c->in_len -= at;
	return 0;
}

static void receive_failed(struct openc_conn *c, int error)
{
	if (error == -EMFILE)
		conn_lose(c, -EMFILE, OPENC_R_FD_LOST, false, NULL);
	else
		conn_lose(c, -ECONNRESET, OPENC_R_LOST, false, NULL);
}

/* Receives once. Returns 1 when something came, 0 when there is nothing now, < 0 when the
 * connection is lost. */
int stream_receive(struct openc_conn *c)
{
	size_t came;
	int n, r;

	if (c->lost)
		return c->lost;
	memmove(c->fds, c->fds + c->fds_head, c->fds_len * sizeof *c->fds);
	c->fds_head = 0;
	if (c->fds_len > FDS_ROOM - FDPASS_MAX) {
		conn_lose(c, -ECONNRESET, OPENC_R_LOST, false,
			  "the server sent descriptors that belong to no answer");
		return c->lost;
	}
	n = fdpass_recv(c->sock, c->in + c->in_len, IN_ROOM - c->in_len, c->fds + c->fds_len,
			FDPASS_MAX, &came);
	c->fds_len += came;
	if (n == -EAGAIN && !c->broken)
		return 0;
	if (n <= 0) {
		receive_failed(c, n);
		return c->lost;
	}
	c->in_len += (size_t)n;
	r = cut_frames(c);
	return r < 0 ? r : 1;
}

/* One turn of waiting: until something may be sent or came, or a deadline is over, that of a
 * request or the caller's own. */
void stream_pump(struct openc_conn *c, int64_t deadline)
{
	struct pollfd p = { .events = POLLIN };

	if (c->lost)
		return;
	if (!c->out_len && c->looking.usec && until_msec(deadline) != 0 && look_for_answer(c)) {
		request_expire(c);
		return;
	}
	p.fd = c->sock;
	if (c->out_len && !c->broken)
		p.events |= POLLOUT;
	if (poll(&p, 1, c->broken ? 0 : until_msec(UTIL_MIN(c->wake, deadline))) < 0 &&
	    errno != EINTR)
		conn_lose(c, -ECONNRESET, OPENC_R_LOST, false, "poll(2) failed");
	else if (c->broken || (p.revents & ~POLLOUT))
		stream_receive(c);
	request_expire(c);
}
