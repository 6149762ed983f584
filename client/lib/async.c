/* SPDX-License-Identifier: MIT
 * The calls for event loops: the core as it is. None waits. Once the descriptor was given away or
 * a request submitted the connection is never made again, because the loop watches that number. */
#include <poll.h>
#include "internal.h"

/* So much is received in one openc_process() at most, that one busy server does not keep the
 * loop from its other work; what is left raises POLLIN again. */
enum { ROUNDS = 8 };

int openc_submit(struct openc_conn *c, const char *path, const struct openc_how *how,
		 size_t how_size, uint64_t *ret_id)
{
	WITHOUT_CANCELLATION;
	struct question q = { .type = WIRE_OPEN, .mode = ASYNC, .path = path };
	int r, reason = OPENC_R_NONE;
	uint64_t id;

	r = conn_enter(c);
	if (r < 0)
		return r;
	r = how_copy(&q.how, how, how_size);
	if (r < 0)
		return message_fail(c, r, OPENC_R_NONE);
	c->async = true;
	q.deadline = deadline_in(c->timeout);
	r = request_submit(c, &q, &id, &reason);
	if (r == -EAGAIN) {
		stream_flush(c);
		r = request_submit(c, &q, &id, &reason);
	}
	if (r < 0)
		return message_fail(c, r, c->lost ? conn_reason(r) : reason);
	if (ret_id)
		*ret_id = id;
	return 0;
}

int openc_get_fd(struct openc_conn *c)
{
	int r = conn_enter(c);

	if (r < 0)
		return r;
	c->async = true;
	return c->sock >= 0 ? c->sock : message_fail(c, c->lost, conn_reason(c->lost));
}

int openc_get_events(struct openc_conn *c)
{
	int r = conn_enter(c);

	if (r < 0)
		return r;
	return c->out_len && !c->broken ? POLLIN | POLLOUT : POLLIN;
}

int openc_get_timeout(struct openc_conn *c)
{
	int r = conn_enter(c);

	if (r < 0)
		return r;
	return c->ready[ASYNC].head != NO_SLOT || c->broken ? 0 : until_msec(c->wake);
}

int openc_process(struct openc_conn *c)
{
	WITHOUT_CANCELLATION;
	int r;

	r = conn_enter(c);
	if (r < 0)
		return r;
	stream_flush(c);
	for (int i = 0; i < ROUNDS; i++)
		if (stream_receive(c) <= 0)
			break;
	stream_flush(c);
	request_expire(c);
	if (c->lost)
		return message_fail(c, c->lost, conn_reason(c->lost));
	return c->ready[ASYNC].head != NO_SLOT;
}

int openc_take(struct openc_conn *c, struct openc_result *ret, size_t ret_size)
{
	WITHOUT_CANCELLATION;
	struct request *r;
	int err;

	err = conn_enter(c);
	if (err < 0)
		return err;
	if (!ret || result_check(ret_size) < 0)
		return message_fail(c, -EINVAL, OPENC_R_NONE);
	r = request_pop(c, ASYNC);
	if (!r)
		return 0;
	result_copy(ret, ret_size, &r->result);
	message_of(c, r);
	r->result.fd = -1; /* the caller's now */
	request_release(c, r);
	return 1;
}

int openc_cancel(struct openc_conn *c, uint64_t id)
{
	WITHOUT_CANCELLATION;
	struct request *r;
	int err;

	err = conn_enter(c);
	if (err < 0)
		return err;
	r = request_find(c, id);
	if (!r || r->state == SLOT_FORGOTTEN || r->mode != ASYNC)
		return message_fail(c, -ENOENT, OPENC_R_NONE);
	if (r->state == SLOT_READY)
		request_unready(c, r);
	request_release(c, r);
	return 0;
}
