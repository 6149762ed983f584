/* SPDX-License-Identifier: MIT
 * From one whole frame to its reply, by table: type, smallest and largest size, handler. A frame
 * that is not in the table is answered EOPNOTSUPP, so that a client can probe for a feature. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include "worker.h"
#ifdef OPEND_BACKDOOR
#include "backdoor.h"
#endif

enum {
	INFO_MAX = WIRE_REPLY_MAX - sizeof(struct wire_header),
	TEXT_MAX = WIRE_REPLY_MAX - sizeof(struct wire_result),
};

struct wire_outcome outcome_failed(const struct worker *w, uint64_t id, int reason, int error)
{
	return (struct wire_outcome){
		.id = id,
		.error = error,
		.reason = (uint16_t)reason,
		.generation = w->birth.generation,
	};
}

static uint64_t next_serial(struct worker *w)
{
	return (uint64_t)w->birth.instance << 32 | (uint32_t)++w->serial;
}

/* What a client who asked for text is told of a grant; why not, the reason says. */
static size_t describe(char *buf, size_t size, const struct decision *d)
{
	int n = snprintf(buf, size, "granted by %s, as %s", d->rule,
			 d->as_root ? "root" : "caller");

	return n < 0 ? 0 : UTIL_MIN((size_t)n, size - 1);
}

/* A lender tells its worker, who records it, what it alone knows: flags, rule and place. */
static size_t confide(char *buf, size_t size, const struct decision *d)
{
	int n = snprintf(buf, size, "%c%c%s\n%.*s", d->log ? 'L' : '-', d->quiet ? 'Q' : '-',
			 d->rule, (int)d->place_len, d->place);

	return n < 0 ? 0 : UTIL_MIN((size_t)n, size - 1);
}

/* Each request once: what a lender does, its worker counts. */
static void count(struct worker *w, const struct wire_outcome *out, const struct decision *d)
{
	if (out->error)
		stats_count(&w->stats->denied[UTIL_MIN(out->reason, STATS_REASONS - 1)]);
	else
		stats_count(d->as_root ? &w->stats->lent : &w->stats->granted);
}

void answer_decided(struct worker *w, struct conn *c, const struct wire_request *req,
		    struct wire_outcome *out, const struct decision *d, int consume_fd)
{
	_cleanup_close_ int fd = consume_fd;
	char text[TEXT_MAX];

	if (w->birth.no_policy && out->reason == WIRE_NO_RULE)
		out->reason = WIRE_NO_POLICY;
	if (c->flags & DOWN_PEER_WORKER) {
		out->text_len = confide(text, sizeof text, d);
	} else if (req->ask & WIRE_ASK_DRY_RUN) {
		out->serial = 0; /* a question is no event */
		if (!out->error && (req->ask & WIRE_ASK_TEXT))
			out->text_len = describe(text, sizeof text, d);
	} else if (!audit_decision(w, c, req, out, d)) {
		fd = close_fd(fd);
		*out = outcome_failed(w, req->id, WIRE_AUDIT, EAGAIN);
	} else if (!out->error && (req->ask & WIRE_ASK_TEXT)) {
		out->text_len = describe(text, sizeof text, d);
	}
	out->text = text;
	if (!is_lender(w))
		count(w, out, d);
	conn_reply(w, c, out, take_fd(&fd));
}

/* What the client is told when his request cannot be carried out any more. */
void answer_unable(struct worker *w, struct conn *c, uint64_t id, int reason, int error)
{
	struct wire_outcome out = outcome_failed(w, id, reason, error);

	stats_count(&w->stats->denied[reason]);
	conn_reply(w, c, &out, -1);
}

static bool answer_open(struct worker *w, struct conn *c, const struct wire_header *h,
			const char *frame)
{
	struct wire_outcome out = outcome_failed(w, h->id, WIRE_OK, 0);
	struct decision d = { .rule = "", .place = "" };
	struct wire_request req;
	bool caller_only = false;
	int fd = -1, reason = wire_decode_open(frame, h->size, &req);

	if (!is_lender(w))
		stats_count(&w->stats->opens);
	out.serial = next_serial(w);
	if (reason) {
		/* The frame's end is known, so only this request is at fault (not the stream). */
		out.reason = (uint16_t)reason;
		out.error = EINVAL;
		conn_reply(w, c, &out, -1);
		return true;
	}
	for (;;) {
		switch (resolve_open(w, &req, caller_only, &out, &d, &fd)) {
		case RESOLVE_LENDER:
			if (lend_forward(w, c, &req, &d, out.serial))
				return true;
			/* There is no lender to be had: `as root` rules match nobody. */
			caller_only = true;
			continue;
		case RESOLVE_REFRESH:
			if (refresh_ask(w, c, req.path, req.path_len))
				return false;
			out.reason = WIRE_KERNEL;
			out.error = EACCES;
			break;
		case RESOLVE_DONE:
			break;
		}
		break;
	}
	answer_decided(w, c, &req, &out, &d, fd);
	return true;
}

/* Groups as the kernel recorded them at connect; cut where a reply ends. */
static int print_groups(int fd, char *buf, size_t size)
{
	const gid_t *groups;
	size_t at, n = conn_groups(fd, &groups);

	if (n == SIZE_MAX)
		return 0;
	at = (size_t)snprintf(buf, size, "groups=");
	for (size_t i = 0; i < n; i++) {
		if (size - at < 32)
			return (int)at + snprintf(buf + at, size - at, "\ngroups_cut=1\n");
		at += (size_t)snprintf(buf + at, size - at, "%s%u", i ? "," : "", groups[i]);
	}
	return (int)at + snprintf(buf + at, size - at, "\n");
}

static bool answer_info(struct worker *w, struct conn *c, const struct wire_header *h,
			const char *frame)
{
	const struct label *l = &w->labels[c->label];
	struct ucred peer = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t len = sizeof peer;
	char body[INFO_MAX];
	int n;

	(void)frame;
	stats_count(&w->stats->infos);
	getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
	n = snprintf(body, sizeof body,
		     "protocol=1\nserver=opend " OPEND_VERSION_STRING "\n"
		     "features=open,info,rules,dry-run,text\n"
		     "max_request=%d\nmax_reply=%d\nmax_send=%d\nmax_unread_fds=%d\n"
		     "generation=%u\nuid=%u\ngid=%u\nvia=%s\nunit=%s\n"
		     "landlock_abi=%u\nseccomp=%s\n",
		     WIRE_REQUEST_MAX, WIRE_REPLY_MAX, WIRE_SEND_MAX, WIRE_FDS_MAX,
		     w->birth.generation, peer.uid, peer.gid, l->via, l->unit, w->landlock_abi,
		     w->confinement & CONFINED_WIDE_FILTER ? "wide" : "strict");
	n += print_groups(c->fd, body + n, sizeof body - (size_t)n);
	conn_frame(w, c, WIRE_R_INFO, h->id, -1, body, (size_t)n);
	return true;
}

static bool answer_rules(struct worker *w, struct conn *c, const struct wire_header *h,
			 const char *frame)
{
	int fd;

	(void)frame;
	stats_count(&w->stats->others);
	/* All share one file position: readers use pread(2), as opend-protocol(7) says. */
	fd = dup(w->rules_fd);
	if (fd < 0) {
		struct wire_outcome out = outcome_failed(w, h->id, WIRE_RESOURCES, EAGAIN);

		conn_reply(w, c, &out, -1);
		return true;
	}
	conn_frame(w, c, WIRE_R_RULES, h->id, fd, NULL, 0);
	return true;
}

static const struct {
	uint16_t type;
	uint32_t min, max;
	bool (*handler)(struct worker *w, struct conn *c, const struct wire_header *h,
			const char *frame);
} table[] = {
	{ WIRE_OPEN, sizeof(struct wire_header), WIRE_REQUEST_MAX, answer_open },
	{ WIRE_INFO, sizeof(struct wire_header), sizeof(struct wire_header), answer_info },
	{ WIRE_RULES, sizeof(struct wire_header), sizeof(struct wire_header), answer_rules },
#ifdef OPEND_BACKDOOR
	{ BACKDOOR_FRAME, sizeof(struct backdoor_request), WIRE_REQUEST_MAX, backdoor_frame },
#endif
};

bool answer_frame(struct worker *w, struct conn *c, const struct wire_header *h, const char *frame)
{
	struct wire_outcome out = outcome_failed(w, h->id, WIRE_UNKNOWN, EOPNOTSUPP);

	for (size_t i = 0; i < ELEMENTSOF(table); i++) {
		if (table[i].type != h->type)
			continue;
		if (h->size >= table[i].min && h->size <= table[i].max && h->id != 0 && !h->nfds) {
			return table[i].handler(w, c, h, frame);
		}
		out = outcome_failed(w, h->id, WIRE_FRAME, EINVAL);
		break;
	}
	conn_reply(w, c, &out, -1);
	return true;
}
