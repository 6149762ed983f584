/* SPDX-License-Identifier: MIT
 * Why a call failed, in words. What the server says is shown on terminals, so control bytes do not
 * come through. Texts of answers that nobody has taken yet share one pool; when it is full an
 * answer goes without, which costs words only. */
#include "internal.h"

void message_clear(struct openc_conn *c)
{
	c->reason = OPENC_R_NONE;
	c->message[0] = 0;
}

static const char *own_words(int error)
{
	switch (error) {
	case -ECHILD:
		return "this connection belongs to the parent process; make one after fork(2)";
	case -ESTALE:
		return "the effective user or group changed since this connection was made";
	default:
		return NULL;
	}
}

/* The sentence for a failure: the reason's, or the errno's where the reason adds nothing. */
static const char *sentence(int error, int reason, char *buf, size_t size)
{
	if (own_words(error))
		return own_words(error);
	if (reason != OPENC_R_NONE && reason != OPENC_R_KERNEL)
		return openc_strreason(reason);
	return strerror_r(-error, buf, size);
}

/* Records a failure of the library's own and returns it. */
int message_fail(struct openc_conn *c, int error, int reason)
{
	char buf[128];

	c->reason = reason;
	snprintf(c->message, sizeof c->message, "%s", sentence(error, reason, buf, sizeof buf));
	return error;
}

/* Records what became of a request. */
void message_of(struct openc_conn *c, const struct request *r)
{
	const char *text = c->text + r->text_at;
	int len = (int)r->text_len;
	char buf[128];

	c->reason = r->result.reason;
	c->message[0] = 0;
	if (r->result.fd >= 0) {
		/* Most answers have nothing to say, and printf takes its time to say that. */
		if (len)
			snprintf(c->message, sizeof c->message, "%.*s", len, text);
	} else {
		snprintf(c->message, sizeof c->message, "%s%s%.*s%s",
			 sentence(r->result.fd, c->reason, buf, sizeof buf), len ? " (" : "", len,
			 text, len ? ")" : "");
	}
}

void text_keep(struct openc_conn *c, struct request *r, const char *text, size_t len)
{
	if (!len || len > TEXT_ROOM - c->text_used)
		return;
	for (size_t i = 0; i < len; i++) {
		unsigned char b = (unsigned char)text[i];

		c->text[c->text_used + i] = b < 0x20 || b == 0x7f ? '?' : (char)b;
	}
	r->text_at = (uint32_t)c->text_used;
	r->text_len = (uint32_t)len;
	c->text_used += len;
	c->n_texts++;
}

void text_drop(struct openc_conn *c, struct request *r)
{
	if (!r->text_len)
		return;
	r->text_len = 0;
	if (--c->n_texts == 0)
		c->text_used = 0;
}

const char *openc_message(struct openc_conn *c)
{
	return c ? c->message : "no connection";
}

int openc_reason(struct openc_conn *c)
{
	return c ? c->reason : OPENC_R_NONE;
}

const char *openc_strreason(int reason)
{
	switch (reason) {
	case OPENC_R_NO_SERVER:
		return "no server answers at this address";
	case OPENC_R_LOST:
		return "the connection ended; whether the request was carried out is not known";
	case OPENC_R_TIMEOUT:
		return "no answer in time";
	case OPENC_R_FD_LOST:
		return "the descriptor could not be received: this process has no room for one "
		       "more (RLIMIT_NOFILE), or a security module refused it";
	default:
		return wire_strreason(reason);
	}
}

int openc_version(void)
{
	return OPENC_VERSION;
}
