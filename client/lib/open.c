/* SPDX-License-Identifier: MIT
 * The calls that wait. All of them are one batch: ask as many as fit, wait, collect, ask more;
 * when the connection ends, ask again what may be asked again. What has become of each path
 * stands in the caller's own array, so that a batch of any size needs no memory. */
#include "internal.h"

/* In openc_result.fd while the batch runs. */
enum { NOT_ASKED = INT32_MIN, FLYING = INT32_MIN + 1 };

struct batch {
	struct openc_conn *c;
	struct question q; /* all but path and index */
	const char *const *paths;
	size_t n;
	char *ret; /* n results, each of `size` bytes */
	size_t size;
	bool all; /* the first failure ends it */
	bool stop, late;
	struct attempts attempts;
	size_t next; /* nothing before it is left to ask */
	size_t flying, opened;
	size_t failed; /* the first that failed, n for none: has the message */
	int error;     /* its errno */
};

static struct openc_result *result_at(const struct batch *b, size_t i)
{
	return (struct openc_result *)(void *)(b->ret + i * b->size);
}

static void note_failure(struct batch *b, size_t i, int error)
{
	b->failed = i;
	b->error = error;
	b->stop = b->stop || b->all;
}

/* A path that never reached the server. */
static void item_refused(struct batch *b, size_t i, int error, int reason)
{
	struct openc_result none = { .fd = error, .reason = (uint16_t)reason };

	result_copy(result_at(b, i), b->size, &none);
	if (i < b->failed) {
		message_fail(b->c, error, reason);
		note_failure(b, i, error);
	}
}

static void item_answered(struct batch *b, struct request *r)
{
	size_t i = r->index;

	result_copy(result_at(b, i), b->size, &r->result);
	if (r->result.fd >= 0)
		b->opened++;
	if (r->result.fd < 0 ? i < b->failed : b->n == 1)
		message_of(b->c, r);
	if (r->result.fd < 0 && i < b->failed)
		note_failure(b, i, r->result.fd);
	r->result.fd = -1; /* the caller's now */
}

static void collect(struct batch *b, struct request *r)
{
	b->flying--;
	if (r->again && !b->stop && conn_may_reconnect(b->c)) {
		result_at(b, r->index)->fd = NOT_ASKED;
		b->next = UTIL_MIN(b->next, r->index);
	} else {
		b->late = b->late || r->late;
		item_answered(b, r);
	}
	request_release(b->c, r);
}

/* Asks what is left until there is no room. Room that only openc_take() could make is an error,
 * not a wait. */
static void fill(struct batch *b)
{
	for (; b->next < b->n && !b->stop && !b->c->lost; b->next++) {
		struct openc_result *res = result_at(b, b->next);
		uint64_t id;
		int r, reason;

		if (res->fd != NOT_ASKED)
			continue;
		b->q.path = b->paths ? b->paths[b->next] : NULL;
		b->q.index = b->next;
		r = request_submit(b->c, &b->q, &id, &reason);
		if (b->c->lost || (r == -EAGAIN && (b->flying || b->c->out_len)))
			return;
		if (r < 0) {
			item_refused(b, b->next, r, reason);
			continue;
		}
		res->fd = FLYING;
		b->flying++;
	}
}

/* Asks and sends until the paths, the table or the socket says halt. Room that sending made must be
 * used before anybody waits: nothing would come to wake us for it. */
static void fill_and_flush(struct batch *b)
{
	bool full;

	do {
		fill(b);
		full = !stream_reserve(b->c, WIRE_REQUEST_MAX);
		stream_flush(b->c);
	} while (full && stream_reserve(b->c, WIRE_REQUEST_MAX));
}

/* Whatever was not asked will not be. */
static void refuse_rest(struct batch *b, int error)
{
	for (; b->next < b->n; b->next++)
		if (result_at(b, b->next)->fd == NOT_ASKED)
			item_refused(b, b->next, error, conn_reason(error));
}

static void run(struct batch *b)
{
	struct request *r;
	int err;

	for (;;) {
		while ((r = request_pop(b->c, SYNC)))
			collect(b, r);
		if (!b->flying && (b->stop || b->next >= b->n))
			break;
		err = b->flying ? 0 : conn_ensure(b->c, &b->attempts);
		if (!err && !b->flying && until_msec(b->q.deadline) == 0)
			err = -ETIMEDOUT;
		if (err < 0) {
			refuse_rest(b, err);
			break;
		}
		fill_and_flush(b);
		if (b->flying || b->c->out_len)
			stream_pump(b->c, b->q.deadline);
	}
	refuse_rest(b, -ECANCELED);
}

/* All or nothing, and it was nothing. */
static void close_opened(struct batch *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct openc_result *res = result_at(b, i);

		if (res->fd < 0)
			continue;
		if (res->fd >= 3)
			close_fd(take_fd(&res->fd));
		res->fd = -ECANCELED;
	}
}

static int batch(struct batch *b)
{
	struct openc_conn *c = b->c;

	b->q.mode = SYNC;
	b->q.deadline = deadline_in(c->timeout);
	b->attempts.deadline = b->q.deadline;
	b->failed = b->n;
	for (size_t i = 0; i < b->n; i++)
		result_at(b, i)->fd = NOT_ASKED;
	run(b);
	/* A worker that hangs keeps its connections; the next call shall find another one. */
	if (b->late && conn_may_reconnect(c))
		conn_lose(c, -ETIMEDOUT, OPENC_R_TIMEOUT, true, NULL);
	if (b->all && b->failed < b->n) {
		close_opened(b);
		return b->error;
	}
	return (int)b->opened;
}

int openc_open_many(struct openc_conn *c, const char *const *paths, size_t n,
		    const struct openc_how *how, size_t how_size, struct openc_result *ret,
		    size_t ret_size, int all)
{
	WITHOUT_CANCELLATION;
	struct batch b = { .c = c,
			   .q.type = WIRE_OPEN,
			   .paths = paths,
			   .n = n,
			   .ret = (char *)ret,
			   .size = ret_size,
			   .all = all != 0 };
	int r;

	r = conn_enter(c);
	if (r < 0)
		return r;
	r = how_copy(&b.q.how, how, how_size);
	if (r == 0)
		r = result_check(ret_size);
	if (r == 0 && (n > INT_MAX || (n && (!paths || !ret))))
		r = -EINVAL;
	if (r < 0)
		return message_fail(c, r, OPENC_R_NONE);
	return batch(&b);
}

/* One path; the result is whole also when nobody asked for it. */
static int open_one(struct openc_conn *c, const char *path, const struct openc_how *how,
		    struct openc_result *ret)
{
	struct batch b = { .c = c,
			   .q = { .type = WIRE_OPEN, .how = *how },
			   .paths = &path,
			   .n = 1,
			   .ret = (char *)ret,
			   .size = sizeof *ret };

	batch(&b);
	return ret->fd;
}

int openc_open_how(struct openc_conn *c, const char *path, const struct openc_how *how,
		   size_t how_size, struct openc_result *ret, size_t ret_size)
{
	WITHOUT_CANCELLATION;
	struct openc_result result;
	struct openc_how mine;
	int r;

	r = conn_enter(c);
	if (r < 0)
		return r;
	r = how_copy(&mine, how, how_size);
	if (r == 0 && ret)
		r = result_check(ret_size);
	if (r < 0)
		return message_fail(c, r, OPENC_R_NONE);
	r = open_one(c, path, &mine, &result);
	if (ret)
		result_copy(ret, ret_size, &result);
	return r;
}

int openc_open(struct openc_conn *c, const char *path, int flags, unsigned mode)
{
	WITHOUT_CANCELLATION;
	struct openc_how how = { .flags = (uint32_t)flags, .mode = mode };
	struct openc_result result;
	int r;

	r = conn_enter(c);
	return r < 0 ? r : open_one(c, path, &how, &result);
}

/* INFO and RULES. body: where the text of an INFO goes. */
int sync_plain(struct openc_conn *c, uint16_t type, char *body)
{
	struct openc_result result;
	struct batch b = { .c = c,
			   .q = { .type = type, .body = body },
			   .n = 1,
			   .ret = (char *)&result,
			   .size = sizeof result };

	batch(&b);
	return result.fd;
}
