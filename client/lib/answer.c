/* SPDX-License-Identifier: MIT
 * What the server says. Each kind of frame is a row: how big, how many descriptors, who reads it.
 * Whatever does not fit ends the connection: there is no telling what would come after it. The
 * descriptors of a frame are taken from the queue before anything else, also for answers that
 * nobody waits for any more. */
#include "internal.h"

struct kind {
	uint16_t type, nfds_max;
	uint32_t min, max;
	int (*handle)(struct openc_conn *c, struct request *r, const char *frame, size_t size,
		      int fd);
};

static int handle_result(struct openc_conn *c, struct request *r, const char *frame, size_t size,
			 int fd)
{
	struct wire_outcome o;

	if (wire_decode_result(frame, size, &o) < 0)
		return -EPROTO;
	/* A grant is a descriptor, except where only the verdict was asked for. */
	if (!o.error && (r->type != WIRE_OPEN || (fd < 0) != !!(r->ask & OPENC_DRY_RUN)))
		return -EPROTO;
	r->result = (struct openc_result){
		.lacked = o.lacked,
		.generation = o.generation,
		.mode = o.mode,
		.dev = o.dev,
		.ino = o.ino,
		.size = o.size,
		.serial = o.serial,
	};
	text_keep(c, r, o.text, o.text_len);
	request_finish(c, r, o.error ? -o.error : fd < 0 ? 0 : fd, o.reason);
	return 0;
}

static int handle_info(struct openc_conn *c, struct request *r, const char *frame, size_t size,
		       int fd)
{
	size_t len = size - sizeof(struct wire_header);

	(void)fd;
	if (r->type != WIRE_INFO)
		return -EPROTO;
	memcpy(r->body, frame + sizeof(struct wire_header), len);
	r->body[len] = 0;
	request_finish(c, r, 0, OPENC_R_NONE);
	return 0;
}

static int handle_rules(struct openc_conn *c, struct request *r, const char *frame, size_t size,
			int fd)
{
	(void)frame, (void)size;
	if (r->type != WIRE_RULES || fd < 0)
		return -EPROTO;
	request_finish(c, r, fd, OPENC_R_NONE);
	return 0;
}

static const struct kind kinds[] = {
	{ WIRE_R_RESULT, 1, sizeof(struct wire_result), WIRE_REPLY_MAX, handle_result },
	{ WIRE_R_INFO, 0, sizeof(struct wire_header), WIRE_REPLY_MAX, handle_info },
	{ WIRE_R_RULES, 1, sizeof(struct wire_header), sizeof(struct wire_header), handle_rules },
};

static const struct kind *find_kind(const struct wire_header *h)
{
	for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
		if (kinds[i].type == h->type && h->nfds <= kinds[i].nfds_max &&
		    h->size >= kinds[i].min && h->size <= kinds[i].max)
			return &kinds[i];
	return NULL;
}

/* The server ends the connection in order. Only a refusal of us (a quota, say) is final. */
static int handle_goodbye(struct openc_conn *c, const struct wire_header *h, const char *frame)
{
	uint16_t reason;

	if (h->id || h->nfds || wire_decode_goodbye(frame, h->size, &reason) < 0)
		return -EPROTO;
	conn_lose(c, -ECONNRESET, reason ? reason : OPENC_R_RESTART, true, NULL);
	return 0;
}

/* One whole frame. Returns 0, or -EPROTO for what cannot be an answer of ours. */
int answer_frame(struct openc_conn *c, const struct wire_header *h, const char *frame)
{
	_cleanup_close_ int fd = -1;
	const struct kind *kind;
	struct request *r;
	int ret;

	if (h->type == WIRE_GOODBYE)
		return handle_goodbye(c, h, frame);
	kind = find_kind(h);
	r = request_find(c, h->id);
	if (!kind || !r || !r->owed || (h->nfds && !c->fds_len))
		return -EPROTO;
	if (h->nfds) {
		fd = fd_raise(stream_take_fd(c));
		if (fd < 0) {
			/* This one only: RLIMIT_NOFILE has no room above 2. */
			request_settle(c, r);
			if (r->state == SLOT_ASKED)
				request_finish(c, r, -EMFILE, OPENC_R_FD_LOST);
			return 0;
		}
	}
	ret = 0;
	if (r->state == SLOT_ASKED)
		ret = kind->handle(c, r, frame, h->size, fd);
	if (ret < 0)
		return ret;
	if (r->state == SLOT_READY && r->result.fd == fd)
		take_fd(&fd);
	request_settle(c, r);
	return 0;
}
