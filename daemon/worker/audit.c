/* SPDX-License-Identifier: MIT
 * Records for opend-audit. One write(2) of at most PIPE_BUF bytes into a pipe that nobody shares
 * with us: whole or not at all, and never waited for. A grant that a rule says to log is given
 * only when its record is in the pipe; denials are recorded as far as a bucket of tokens goes, so
 * that nobody can fill a disk by being refused, and what was held back is counted. */
#include <errno.h>
#include <sys/socket.h>
#include "audit.h"
#include "worker.h"

/* One after the other behind the record; what does not fit is cut. */
static uint16_t append(char *buf, struct audit_record *r, const char *text, size_t len)
{
	size_t room = AUDIT_RECORD_MAX - r->size;

	if (len > room) {
		len = room;
		r->flags |= AUDIT_CUT;
	}
	memcpy(buf + r->size, text, len);
	r->size += (uint32_t)len;
	return (uint16_t)len;
}

static bool submit(struct worker *w, char *buf, const struct audit_record *r)
{
	ssize_t n;

	memcpy(buf, r, sizeof *r);
	do
		n = write(WORKER_FD_AUDIT, buf, r->size);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)r->size)
		return true;
	stats_count(&w->stats->audit_dropped);
	return false;
}

/* The bucket is a point in time: how far it lies back says how many tokens are in it. */
static bool token_take(struct worker *w)
{
	uint64_t now = now_ms(), token = 1000 / w->birth.denials_per_second;
	uint64_t full = w->birth.denials_burst * token;

	if (w->audit_tokens_ms + full < now)
		w->audit_tokens_ms = now - full;
	if (w->audit_tokens_ms + token > now)
		return false;
	w->audit_tokens_ms += token;
	return true;
}

void audit_settle(struct worker *w)
{
	struct audit_record r = { .size = sizeof r,
				  .decision = AUDIT_SUPPRESSED,
				  .generation = w->birth.generation,
				  .uid = w->birth.uid,
				  .gid = w->birth.gid };
	char buf[sizeof r];

	if (!w->held_back || !token_take(w))
		return;
	r.held_back = (uint32_t)UTIL_MIN(w->held_back, UINT32_MAX);
	if (submit(w, buf, &r))
		w->held_back = 0;
}

/* Is it for the journal? A file that is not there is nobody's refusal. */
static bool concerns_journal(const struct wire_outcome *out, const struct decision *d)
{
	if (!out->error)
		return d->log;
	return !d->quiet &&
	       (out->reason != WIRE_KERNEL || out->error == EACCES || out->error == EPERM);
}

bool audit_decision(struct worker *w, const struct conn *c, const struct wire_request *req,
		    struct wire_outcome *out, const struct decision *d)
{
	const struct label *l = &w->labels[c->label];
	struct audit_record r = { .size = sizeof r,
				  .decision = out->error ? AUDIT_DENIAL : AUDIT_GRANT,
				  .flags = d->as_root ? AUDIT_AS_ROOT : 0,
				  .reason = out->reason,
				  .access = (uint16_t)d->access,
				  .error = (uint32_t)out->error,
				  .generation = out->generation,
				  .uid = w->birth.uid,
				  .gid = w->birth.gid,
				  .serial = out->serial };
	struct ucred peer = { 0 };
	socklen_t len = sizeof peer;
	char buf[AUDIT_RECORD_MAX];

	out->serial = 0;
	if (!concerns_journal(out, d))
		return true;
	if (out->error) {
		audit_settle(w);
		if (!token_take(w)) {
			w->held_back++;
			return true;
		}
	}
	if (w->birth.role == BIRTH_LOBBY &&
	    getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0) {
		r.uid = peer.uid;
		r.gid = peer.gid;
	}
	r.via_len = append(buf, &r, l->via, strlen(l->via));
	r.unit_len = append(buf, &r, l->unit, strlen(l->unit));
	r.rule_len = append(buf, &r, d->rule, strlen(d->rule));
	r.path_len = append(buf, &r, req->path, req->path_len);
	r.place_len = append(buf, &r, d->place, d->place_len);
	if (submit(w, buf, &r)) {
		out->serial = r.serial;
		return true;
	}
	w->held_back += out->error != 0;
	return out->error != 0;
}
