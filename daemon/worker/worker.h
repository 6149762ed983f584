/* SPDX-License-Identifier: MIT
 * opend-worker: one process per identity. It *is* its client (ids and groups), holds no
 * capability, sits in a Landlock domain compiled from its client's rules and under a seccomp
 * filter that leaves it only opening. The same program is the lender: a worker whose client is a
 * worker, with a DAC capability raised only while it opens.
 *
 * The rooms: main (birth to service), certificate (who to be), become (identity), landlock, seccomp, openhow (the table of
 * permitted opens), resolve (from a path to a descriptor), answer (from a frame to a reply),
 * conn (bytes in, bytes and descriptors out), lend (the link to the lender), serve (the loop).
 *
 * After confine() no memory can be had from the kernel: everything is allocated before. */
#ifndef OPEND_WORKER_H
#define OPEND_WORKER_H

#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/capability.h>
#include <sys/types.h>
#include "control.h"
#include "policy/policy.h"
#include "stats.h"
#include "util.h"
#include "wire.h"

/* A base of the hull as it stood when we confined ourselves. */
struct pinned_base {
	const struct policy_base *base;
	bool present;
	dev_t dev;
};

/* Output waiting to be sent: replies that belong together, and their descriptors (owned). */
struct outbuf {
	struct outbuf *next;
	uint32_t len, sent, n_fds;
	int fds[WIRE_FDS_MAX];
	char data[WIRE_SEND_MAX];
};

enum { RX_MAX = 16384 };

/* Input read but not answered yet. */
struct inbuf {
	struct inbuf *next;
	uint32_t len;
	char data[RX_MAX];
};

/* What a uid has of this worker, so that nobody uses up what is another's where they share one, the
 * lobby. A worker's clients are all one uid. */
struct account {
	uid_t uid;
	gid_t gid;			/* whose connection was the first */
	uint32_t n_conns;
	uint32_t unread;		/* the sum of its connections' */
	uint64_t tokens_ms;		/* audit.c: when its bucket was last full */
	uint64_t held_back;		/* denials that were not recorded */
};

/* One client. Idle ones hold no buffer. */
struct conn {
	int fd;				/* ours; -1: the slot is free */
	uint32_t flags;			/* enum down_flags */
	uint64_t cookie;
	struct inbuf *in;
	struct outbuf *out, *out_tail;	/* not NULL: blocked, reading has stopped */
	uint32_t generation;		/* of the slot, so that late answers find nobody */
	uint32_t unread;		/* descriptors sent since the client was seen to have read all */
	uint32_t lent;			/* requests that are with the lender */
	uint16_t label;			/* index into labels: via and unit */
	uint16_t account;		/* index into accounts */
	uint8_t spurious;		/* readable, and then nothing to read */
	bool eof, ending, watched_out, retry;
	bool over;			/* shut down; counted until its descriptors are taken */
	bool held;			/* its next request waits for a refresh */
	uint8_t refused;		/* how many predecessors refused its next request already */
	uint64_t deadline_ms;		/* for a started frame; 0: none */
	uint32_t next_free;
};

struct label {
	char via[64], unit[176];
};

enum { LABELS_MAX = 256, ACCOUNTS_MAX = 1024, LENT_MAX = 256, USELESS_MAX = 16 };

/* A request that is with the lender, whole, so that it can be repeated. */
struct lent {
	uint32_t conn, conn_generation;
	uint32_t generation;
	bool used, sent;
	uint8_t repeats;
	uint64_t client_id, serial, order;
	unsigned access;
	struct wire_request req;	/* its path is the next */
	size_t place_len;		/* 0: the path is the place */
	struct lent_paths *paths;	/* apart, so that looking through them all is quick */
};
struct lent_paths {
	char path[PATH_MAX], place[PATH_MAX];
};

struct link {				/* to the lender */
	int fd;				/* -1: none */
	bool wanted, none, watched_out;
	uint32_t n_lent, top;		/* in use, and all of them below this one */
	uint64_t orders;
	struct lent *lent;		/* LENT_MAX */
	struct lent_paths *paths;	/* of each */
	struct outbuf *tx;
	uint32_t rx_len;
	size_t n_fds;
	int fds[2 * WIRE_FDS_MAX];
	char rx[2 * WIRE_SEND_MAX];
};

struct polling {			/* serve.c */
	unsigned waits, period;
	bool hitting;
};

struct worker {
	struct birth birth;
	struct polling polling;
	gid_t *groups;
	struct policy *policy;
	struct policy_base *plan;
	struct pinned_base *bases;
	size_t n_bases;
	uint64_t bases_hash;		/* which inodes they were when we were born */
	unsigned landlock_abi;		/* in force; 0: none */
	unsigned confinement;		/* enum confinement */
	cap_t raised, lowered;		/* lender only */
	struct {
		int fd;			/* -1: none */
		size_t len;
		char path[PATH_MAX];
	} parent;			/* lender only: the directory it looked into last */
	struct stats *stats;		/* shared with opend */
	int rules_fd;			/* sealed memfd: the policy text, for RULES */
	int epoll;
	struct conn *conns;
	uint32_t n_conns, free_conn;	/* in use; head of the free list */
	struct inbuf *in_pool;
	struct outbuf *out_pool;
	struct outbuf *tx;		/* of the burst under way */
	struct label *labels;
	size_t n_labels;
	struct account *accounts;
	size_t n_accounts, n_held;	/* used so far; with denials held back */
	struct link lender;
	uint64_t serial, sweep_at_ms;
	uint32_t n_partial, n_retry;
	dev_t ordinary_dev[16];		/* block devices whose file system is known to be ordinary */
	unsigned n_ordinary;
	bool refresh_wanted, releasing;
	int successor, predecessor;	/* SEQPACKET; -1: none */
	uint64_t release_by_ms;
	uint64_t useless[USELESS_MAX];	/* paths that a refresh did not help, hashed */
	unsigned n_useless;
	char place[PATH_MAX];		/* of the decision under way */
	char rx[RX_MAX];
};

static inline bool is_lender(const struct worker *w)
{
	return w->birth.role == BIRTH_LENDER;
}

/* certificate.c: what is in a birth certificate of `size` bytes; pointers into it. 0 or -EPROTO. */
struct certificate {
	struct birth birth;
	const char *groups, *text;	/* unaligned; not terminated */
	size_t groups_size, text_len;	/* bytes */
};
int certificate_decode(const void *bytes, size_t size, struct certificate *ret);

/* become.c: identity. Both return 0, or -errno with *step saying where. */
int become_client(struct worker *w, enum birth_step *step);
int become_verify(const struct worker *w, enum birth_step *step);
/* Lender: DAC capability up, down; each costs as much as opening, so what is up stays up until the
 * burst is over, see resolve_rest(). Nothing for a worker. Cannot fail once it has worked. */
void lender_raise(const struct worker *w);
void lender_lower(const struct worker *w);

/* landlock.c: pins the bases and restricts this process to them. w->landlock_abi says how far. */
int landlock_confine(struct worker *w);

/* seccomp.c: from here on nothing but opening. */
int seccomp_confine(struct worker *w);

/* resolve.c: from a request to a descriptor. */
enum resolve_result {
	RESOLVE_DONE,		/* out is complete; *fd is open when out->error is 0 */
	RESOLVE_LENDER,		/* this one is the lender's */
	RESOLVE_REFRESH,	/* Landlock refused what policy and rights allow */
};
/* What the journal is told of a decision, besides the outcome. Borrowed memory. */
struct decision {
	unsigned access;
	const char *rule;		/* file:line, or "" */
	bool as_root, log, quiet;
	const char *place;		/* where the name led, if elsewhere; else "" */
	size_t place_len;
};
enum resolve_result resolve_open(struct worker *w, const struct wire_request *req, bool caller_only,
				 struct wire_outcome *out, struct decision *d, int *fd);
/* The burst is over, or is about to be answered: a lender lets go of what it holds only while it
 * opens. */
void resolve_rest(struct worker *w);

/* answer.c: one whole frame to its reply. */
/* False: it cannot be answered before a refresh; it has not been consumed. */
bool answer_frame(struct worker *w, struct conn *c, const struct wire_header *h, const char *frame);
/* Records, tells and sends a decision: the one way out for every OPEN. fd is consumed. */
void answer_decided(struct worker *w, struct conn *c, const struct wire_request *req,
		    struct wire_outcome *out, const struct decision *d, int consume_fd);
/* Answers a request that fails for the server's reasons. */
void answer_unable(struct worker *w, struct conn *c, uint64_t id, int reason, int error);
/* A failure as an outcome. */
struct wire_outcome outcome_failed(const struct worker *w, uint64_t id, int reason, int error);

/* conn.c */
int conn_setup(struct worker *w);
struct conn *conn_adopt(struct worker *w, int consume_fd, const struct down *d);
/* The groups of who connected: their number, SIZE_MAX where they cannot be had; good until the next
 * call. */
size_t conn_groups(int fd, const gid_t **ret);
void conn_readable(struct worker *w, struct conn *c);
void conn_writable(struct worker *w, struct conn *c);
/* Queues a reply; fd (consumed) may be -1. Sent by conn_flush(). */
void conn_reply(struct worker *w, struct conn *c, struct wire_outcome *out, int consume_fd);
/* Queues any other frame. */
void conn_frame(struct worker *w, struct conn *c, uint16_t type, uint64_t id, int consume_fd,
		const void *body, size_t len);
void conn_flush(struct worker *w, struct conn *c);
/* GOODBYE with a reason, then the end as soon as it is sent (or cannot be). */
void conn_goodbye(struct worker *w, struct conn *c, int reason);
void conn_end(struct worker *w, struct conn *c);
/* Starts reading again after an answer of the lender made room. */
void conn_resume(struct worker *w, struct conn *c);
bool conn_blocked(const struct conn *c);
/* Closes our end without a word: the connection goes on elsewhere. */
void conn_forget(struct worker *w, struct conn *c);
/* Puts bytes that were read by the predecessor in front of what is to come. */
void conn_preload(struct worker *w, struct conn *c, const char *data, size_t len);
void outbuf_release(struct worker *w, struct outbuf *b);
struct outbuf *outbuf_acquire(struct worker *w);

/* lend.c */
/* Queues a request for the lender; d->place is what it is to open. False: there is no lender, ever. */
bool lend_forward(struct worker *w, struct conn *c, const struct wire_request *req,
		  const struct decision *d, uint64_t serial);
/* Without a descriptor there is none: not now, or not ever. */
void lend_connected(struct worker *w, int consume_fd, bool not_now);
void lend_ready(struct worker *w, uint32_t events);
void lend_flush(struct worker *w);

/* release.c */
void release_all(struct worker *w, int consume_successor);
/* Gives c back if nothing is pending on it. False: not yet. */
bool release_try(struct worker *w, struct conn *c);
void release_overdue(struct worker *w, uint64_t now);
void release_retire(struct worker *w);
void release_inherit(struct worker *w, struct conn *c);
/* Asks for a refresh on behalf of c's next request; false when that would be of no use. */
bool refresh_ask(struct worker *w, struct conn *c, const char *path, size_t len);
void refresh_refused(struct worker *w);

/* audit.c. Records a decision where the rules demand it; out->serial becomes 0 where it is not
 * recorded. False: it had to be and could not, so nothing may be granted. */
bool audit_decision(struct worker *w, const struct conn *c, const struct wire_request *req,
		    struct wire_outcome *out, const struct decision *d);
/* What was held back since, where it is time to say so. */
void audit_settle(struct worker *w);
/* Whether it would make no difference if this account had never been. */
bool audit_is_settled(const struct worker *w, const struct account *a);

/* serve.c */
enum { EPOLL_DOWN = 0xffffffff, EPOLL_LENDER = 0xfffffffe };
int serve(struct worker *w);
void up_send(uint32_t type, uint32_t a, uint32_t b, uint64_t cookie);
uint64_t now_ms(void);

#endif
