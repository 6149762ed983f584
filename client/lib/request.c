/* SPDX-License-Identifier: MIT
 * The table of requests. An id picks its place by its low bits; a number whose place is still
 * taken is skipped, so that looking one up costs nothing and no id comes twice. */
#include <fcntl.h>
#include "internal.h"

struct request *request_find(struct openc_conn *c, uint64_t id)
{
	struct request *r = &c->slots[id % SLOTS];

	return r->state != SLOT_FREE && r->id == id ? r : NULL;
}

/* How many places from the first on were ever in use. */
size_t request_slots(const struct openc_conn *c)
{
	return c->last_id < SLOTS ? (size_t)c->last_id + 1 : SLOTS;
}

/* A server that left a whole table of requests without an answer is as good as gone. */
static struct request *request_new(struct openc_conn *c)
{
	for (size_t i = 0; i < SLOTS; i++) {
		struct request *r = &c->slots[++c->last_id % SLOTS];

		if (r->state == SLOT_FREE) {
			*r = (struct request){ .id = c->last_id,
					       .state = SLOT_ASKED,
					       .owed = true };
			return r;
		}
	}
	if (c->n_late == SLOTS)
		conn_lose(c, -ETIMEDOUT, OPENC_R_TIMEOUT, false, NULL);
	return NULL;
}

/* One request less has a deadline; the last one takes the loop's timeout with it. */
static void answered(struct openc_conn *c)
{
	if (--c->n_asked == 0)
		c->wake = FOR_EVER;
}

/* Lets go of a request in whatever state. Its place stays taken while the server owes an answer
 * to it, so that the answer can be told from those to others. */
void request_release(struct openc_conn *c, struct request *r)
{
	if (r->state == SLOT_READY && r->result.fd >= 3)
		close_fd(take_fd(&r->result.fd));
	if (r->state == SLOT_ASKED)
		answered(c);
	text_drop(c, r);
	r->state = r->owed ? SLOT_FORGOTTEN : SLOT_FREE;
}

/* The server owes nothing any more: it answered, or is gone. */
void request_settle(struct openc_conn *c, struct request *r)
{
	r->owed = false;
	if (r->late) {
		r->late = false;
		c->n_late--;
	}
	if (r->state == SLOT_FORGOTTEN)
		r->state = SLOT_FREE;
}

static void ready_push(struct openc_conn *c, struct request *r)
{
	struct ready *q = &c->ready[r->mode];
	uint16_t slot = (uint16_t)(r - c->slots);

	r->state = SLOT_READY;
	r->next = NO_SLOT;
	if (q->head == NO_SLOT)
		q->head = slot;
	else
		c->slots[q->tail].next = slot;
	q->tail = slot;
}

/* The oldest result that waits for `mode`, still in its place: request_release() it. */
struct request *request_pop(struct openc_conn *c, enum mode mode)
{
	struct ready *q = &c->ready[mode];
	struct request *r;

	if (q->head == NO_SLOT)
		return NULL;
	r = &c->slots[q->head];
	q->head = r->next;
	return r;
}

/* Takes a result out of the middle of its queue. */
void request_unready(struct openc_conn *c, struct request *r)
{
	struct ready *q = &c->ready[r->mode];
	uint16_t slot = (uint16_t)(r - c->slots), before = NO_SLOT;

	for (uint16_t i = q->head; i != slot; i = c->slots[i].next)
		before = i;
	if (before == NO_SLOT)
		q->head = r->next;
	else
		c->slots[before].next = r->next;
	if (q->tail == slot)
		q->tail = before;
}

/* An answer, from the server or our own: fd >= 0 or a negative errno. */
void request_finish(struct openc_conn *c, struct request *r, int fd, int reason)
{
	answered(c);
	r->result.id = r->id;
	r->result.fd = fd;
	r->result.reason = (uint16_t)reason;
	ready_push(c, r);
}

/* May it be asked once more after its connection ended? Yes if the server said that it did not do
 * it, if it never had the whole frame, or if doing it twice makes no difference. */
static bool repeatable(const struct openc_conn *c, const struct request *r, int reason)
{
	switch (reason) {
	case OPENC_R_RESTART:
	case OPENC_R_SLOW:
		return true;
	case OPENC_R_LOST:
		return r->end > c->sent || !(r->flags & (O_EXCL | O_TRUNC));
	default:
		return false; /* a refusal of us, or our own limits: it would end the same way */
	}
}

/* The connection is over; every request gets its answer now. `goodbye`: the server said so (and
 * that nothing unanswered was or will be done). */
void conn_lose(struct openc_conn *c, int error, int reason, bool goodbye, const char *why)
{
	int answer = wire_reason_errno(reason) ? -wire_reason_errno(reason) : error;

	if (c->lost)
		return;
	c->lost = error;
	c->goodbye = goodbye;
	for (size_t i = 0; i < request_slots(c); i++) {
		struct request *r = &c->slots[i];

		request_settle(c, r);
		if (r->state != SLOT_ASKED)
			continue;
		r->again = repeatable(c, r, reason);
		if (why)
			text_keep(c, r, why, strlen(why));
		request_finish(c, r, answer, reason);
	}
	stream_reset(c);
	c->wake = FOR_EVER;
	if (conn_may_reconnect(c))
		c->sock = close_fd(take_fd(&c->sock));
}

/* Its time is over, but its place waits for the answer, which is thrown away when it comes. */
static void request_late(struct openc_conn *c, struct request *r)
{
	r->late = true;
	c->n_late++;
	request_finish(c, r, -ETIMEDOUT, OPENC_R_TIMEOUT);
}

void request_expire(struct openc_conn *c)
{
	int64_t now, wake = FOR_EVER;

	if (c->wake == FOR_EVER || c->lost)
		return;
	now = now_usec();
	if (now < c->wake)
		return;
	for (size_t i = 0; i < request_slots(c); i++) {
		struct request *r = &c->slots[i];

		if (r->state != SLOT_ASKED)
			continue;
		if (r->deadline <= now)
			request_late(c, r);
		else
			wake = UTIL_MIN(wake, r->deadline);
	}
	c->wake = wake;
}

/* Puts the working directory in front of a relative path. Returns its length. */
static int put_behind_cwd(char *to, const char *path, size_t path_len)
{
	size_t cwd_len;

	if (!getcwd(to, PATH_MAX))
		return -errno;
	cwd_len = strlen(to);
	if (cwd_len + 1 + path_len > WIRE_PATH_MAX)
		return -ENAMETOOLONG;
	to[cwd_len++] = '/';
	memcpy(to + cwd_len, path, path_len);
	return (int)(cwd_len + path_len);
}

/* The path as the server wants it: the caller's own bytes where they are absolute. `room` is
 * PATH_MAX. */
static int find_path(struct wire_request *req, const char *path, char *room)
{
	int len;

	if (!path)
		return -EFAULT;
	if (!*path)
		return -ENOENT;
	req->path = path;
	req->path_len = strlen(path);
	if (*path != '/') {
		len = put_behind_cwd(room, path, req->path_len);
		if (len < 0)
			return len;
		req->path = room;
		req->path_len = (size_t)len;
	}
	return req->path_len > WIRE_PATH_MAX ? -ENAMETOOLONG : 0;
}

/* What does not fit the wire's fields must not be cut to fit. A mode means something only with
 * O_CREAT, as in open(2). */
static int check_modes(const struct openc_how *how)
{
	if ((how->flags & O_CREAT) && (how->mode & ~0777u))
		return -EINVAL;
	if ((how->ask & OPENC_UMASK) && (how->umask & ~0777u))
		return -EINVAL;
	return 0;
}

static int encode_open(const struct openc_conn *c, char *frame, const struct question *q,
		       uint64_t id, int *reason)
{
	const struct openc_how *how = &q->how;
	char relative[PATH_MAX];
	struct wire_request req = {
		.id = id,
		.flags = how->flags,
		.mode = how->flags & O_CREAT ? (uint16_t)how->mode : 0,
		.umask = (uint16_t)(how->ask & OPENC_UMASK ? how->umask : c->umask),
		.ask = (how->ask & OPENC_DRY_RUN ? WIRE_ASK_DRY_RUN : 0u) |
		       (how->ask & OPENC_TEXT ? WIRE_ASK_TEXT : 0u),
	};
	int r;

	*reason = OPENC_R_MODE;
	r = check_modes(how);
	if (r < 0)
		return r;
	*reason = OPENC_R_PATH;
	r = find_path(&req, q->path, relative);
	if (r < 0)
		return r;
	*reason = OPENC_R_NONE;
	return wire_encode_open(frame, &req);
}

/* Queues one request. -EAGAIN: no room in the table or the buffer, take or send some first. Other
 * errors are this request's alone, unless the connection is lost. */
int request_submit(struct openc_conn *c, const struct question *q, uint64_t *ret_id,
		   int *ret_reason)
{
	struct request *r;
	char *frame;
	int size;

	*ret_reason = OPENC_R_NONE;
	if (c->lost)
		return c->lost;
	frame = stream_reserve(c, WIRE_REQUEST_MAX);
	r = frame ? request_new(c) : NULL;
	if (!r)
		return c->lost ? c->lost : -EAGAIN;
	if (q->type == WIRE_OPEN)
		size = encode_open(c, frame, q, r->id, ret_reason);
	else
		size = wire_encode_plain(frame, WIRE_REQUEST_MAX, q->type, r->id, 0, NULL, 0);
	if (size < 0) {
		r->state = SLOT_FREE;
		return size;
	}
	c->out_len += (size_t)size;
	c->queued += (uint64_t)size;
	r->end = c->queued;
	r->deadline = q->deadline;
	r->index = q->index;
	r->body = q->body;
	r->flags = q->how.flags;
	r->ask = q->how.ask;
	r->type = q->type;
	r->mode = q->mode;
	c->wake = UTIL_MIN(c->wake, r->deadline);
	c->n_asked++;
	*ret_id = r->id;
	return 0;
}
