/* SPDX-License-Identifier: MIT
 * Records for opend-audit. One write(2) of at most PIPE_BUF bytes into a pipe that nobody shares
 * with us: whole or not at all, and never waited for. A grant that a rule says to log is given
 * only when its record is in the pipe; denials are recorded as far as a bucket of tokens goes, so
 * that nobody can fill a disk by being refused, and what was held back is counted. Each uid has a
 * bucket of its own: in the lobby nobody's refusals keep another's from being recorded. */
#include <errno.h>
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

static bool submit(char *buf, const struct audit_record *r)
{
	ssize_t n;

	memcpy(buf, r, sizeof *r);
	do
		n = write(WORKER_FD_AUDIT, buf, r->size);
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)r->size;
}

/* A bucket is a point in time: how far it lies back says how many tokens are in it. */
static uint64_t token_ms(const struct worker *w)
{
	return 1000 / w->birth.denials_per_second;
}

static uint64_t full_ms(const struct worker *w)
{
	return w->birth.denials_burst * token_ms(w);
}

static bool token_take(const struct worker *w, struct account *a)
{
	uint64_t now = now_ms(), token = token_ms(w), full = full_ms(w);

	if (a->tokens_ms + full < now)
		a->tokens_ms = now - full;
	if (a->tokens_ms + token > now)
		return false;
	a->tokens_ms += token;
	return true;
}

bool audit_is_settled(const struct worker *w, const struct account *a)
{
	return !a->held_back && a->tokens_ms + full_ms(w) < now_ms();
}

static void hold_back(struct worker *w, struct account *a)
{
	w->n_held += a->held_back++ == 0;
}

static void settle(struct worker *w, struct account *a)
{
	struct audit_record r = { .size = sizeof r,
				  .decision = AUDIT_SUPPRESSED,
				  .generation = w->birth.generation,
				  .uid = a->uid,
				  .gid = a->gid };
	char buf[sizeof r];

	if (!a->held_back)
		return;
	r.held_back = (uint32_t)UTIL_MIN(a->held_back, UINT32_MAX);
	if (!submit(buf, &r))
		return;
	a->held_back = 0;
	w->n_held--;
}

void audit_settle(struct worker *w)
{
	for (size_t i = 0; i < w->n_accounts && w->n_held; i++) {
		struct account *a = &w->accounts[i];

		if (a->held_back && token_take(w, a))
			settle(w, a);
	}
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
	struct account *a = &w->accounts[c->account];
	struct audit_record r = { .size = sizeof r,
				  .decision = out->error ? AUDIT_DENIAL : AUDIT_GRANT,
				  .flags = d->as_root ? AUDIT_AS_ROOT : 0,
				  .reason = out->reason,
				  .access = (uint16_t)d->access,
				  .error = (uint32_t)out->error,
				  .generation = out->generation,
				  .uid = a->uid,
				  .gid = a->gid,
				  .serial = out->serial };
	char buf[AUDIT_RECORD_MAX];

	out->serial = 0;
	if (!concerns_journal(out, d))
		return true;
	if (out->error) {
		if (!token_take(w, a)) {
			stats_count(&w->stats->audit_dropped);
			hold_back(w, a);
			return true;
		}
		settle(w, a);
	}
	r.via_len = append(buf, &r, l->via, strlen(l->via));
	r.unit_len = append(buf, &r, l->unit, strlen(l->unit));
	r.rule_len = append(buf, &r, d->rule, strlen(d->rule));
	r.path_len = append(buf, &r, req->path, req->path_len);
	r.place_len = append(buf, &r, d->place, d->place_len);
	if (submit(buf, &r)) {
		out->serial = r.serial;
		return true;
	}
	stats_count(&w->stats->audit_dropped);
	if (!out->error)
		return false;
	hold_back(w, a);
	return true;
}
