/* SPDX-License-Identifier: MIT
 * opend-audit: the pen that writes the journal and can do nothing else.
 *
 * Looks down only: main starts, confines and runs pipes; pipes decodes with record, words with
 * entry, writes with sink. Nothing is allocated once it runs. */
#ifndef OPEND_AUDITOR_H
#define OPEND_AUDITOR_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "audit.h"
#include "control.h"
#include "stats.h"
#include "util.h"

/* ---- record.c: bytes in, struct out ---- */

struct record {
	struct audit_record fixed;
	const char *via, *unit, *rule, *path, *place; /* not terminated; lengths in fixed */
};

/* Looks for one whole record at the start of buf. Returns its size; 0 when more bytes are needed;
 * -EPROTO when what stands there can never become a record. The texts point into buf and hold any
 * bytes. */
int record_decode(const void *buf, size_t len, struct record *ret);

/* ---- line.c: text of a bounded length ---- */

/* What does not fit is left out, and the line stays whole and terminated. */
struct line {
	char *buf;
	size_t size, len;
};

void line_add(struct line *l, const char *text);
__attribute__((format(printf, 2, 3))) void line_addf(struct line *l, const char *format, ...);
/* Everything but printable ASCII, and the backslash, as \xHH. */
void line_escape(struct line *l, const char *text, size_t len);
/* The same, in quotes if it holds a blank, a quote or nothing: one word to whoever reads it. */
void line_quote(struct line *l, const char *text, size_t len);

/* ---- entry.c: what is to be told, in both its forms ---- */

enum {
	/* Each byte of a record may become four; each text is in a line once. */
	LINE_ROOM = 4 * AUDIT_RECORD_MAX + 1024,
	TAIL_ROOM = 2048,
};

struct entry {
	int priority;
	const char *id;	     /* MESSAGE_ID=, or NULL */
	struct line message; /* one line for people */
	struct line fields;  /* "OPEND_NAME=value\n" for the journal */
	struct line tail;    /* " name=value": what message does not say, for stderr */
	char message_buf[LINE_ROOM], fields_buf[LINE_ROOM], tail_buf[TAIL_ROOM];
};

/* A record from the pipe of `who`. Who it was, is who's to say: the record's own uid and gid count
 * in a lobby only, and the upper half of its serial never. */
void entry_record(struct entry *e, const struct audit_peer *who, const struct record *rec);
/* Denials that the journal did not take; who NULL: of workers that have ended. */
void entry_lost(struct entry *e, const struct audit_peer *who, uint64_t n);
/* n pipes were closed because of what was in them, all since the start in `total`; who NULL: their
 * workers have ended. */
void entry_malformed(struct entry *e, const struct audit_peer *who, uint64_t n, uint64_t total);
/* Of ourselves. */
void entry_note(struct entry *e, int priority, const char *what, int error);

/* ---- sink.c: the journal, or stderr ---- */

enum { SINK_ROOM = LINE_ROOM + TAIL_ROOM + 16 };

struct sink {
	int fd;
	bool journal, socket; /* fd is the journal's; stderr is a socket */
	bool blocked;	      /* takes nothing until sink_retry() says so */
	/* Usec, CLOCK_MONOTONIC: since when it took nothing (0: it does), when to try again. */
	uint64_t blocked_since, retry_at;
	size_t rest_at, rest_len; /* of a line on its way to stderr */
	char rest[SINK_ROOM];
};

uint64_t clock_usec(void);

/* Connects to the journal at this path; NULL, or where there is none: stderr. */
void sink_init(struct sink *s, const char *journal);
/* Never blocks longer than some milliseconds. Returns 0 when the entry is written, or as good as;
 * -EAGAIN when it cannot be now, and s->blocked is set; else there is nowhere left to write to. */
int sink_put(struct sink *s, const struct entry *e);
/* The descriptor that poll(2) is to wait for until it is writable, or -1: none, or not yet. */
int sink_wait_fd(const struct sink *s);
/* What was begun goes on; clears s->blocked when all of it is written. */
int sink_retry(struct sink *s);

/* ---- pipes.c: the workers' pipes ---- */

enum {
	PEERS_MAX = 8192,	/* two for each slot */
	PATIENCE_USEC = 500000, /* how long the journal may take nothing */
};

struct peer {
	struct audit_peer who;
	int fd;		/* -1: at its end */
	uint32_t fill;	/* bytes in its buffer */
	bool used;	/* false: this slot is free */
	bool held;	/* what is in its buffer waits for the sink */
	bool due;	/* held, or something is to be told */
	bool malformed; /* to be told */
	uint64_t lost;	/* to be told */
};

struct auditor {
	struct sink sink;
	struct entry entry;
	int epoll; /* of the pipes that are read */
	uint32_t n_slots, n_used, n_live, n_due;
	uint64_t malformed_total;
	uint64_t gone_lost, gone_malformed; /* of slots that were needed */
	bool peers_ended;		    /* no more pipes will come */
	struct stats *stats;		    /* shared with the supervisor */
	bool swept; /* of denials that were held when the journal got stuck */
	struct peer peers[PEERS_MAX];
	char buffers[PEERS_MAX][AUDIT_RECORD_MAX];
};

int pipes_init(struct auditor *a);
/* Takes the pipes that opend has sent. */
int pipes_accept(struct auditor *a);
bool pipes_full(struct auditor *a);
/* One bounded read of each of some pipes that have something. */
int pipes_turn(struct auditor *a);
/* Whether they are to be read now. */
bool pipes_readable(const struct auditor *a);
/* Tells what has waited for the sink, as far as it takes it. */
int pipes_settle(struct auditor *a);
/* Whether nothing waits for the sink. */
bool pipes_settled(const struct auditor *a);

/* ---- loop.c ---- */

/* Until all pipes and the peers' socket are at their end, or *stop is set: then as long as there
 * is something to read, two seconds at most. `mask` is in force while it waits. Returns 0, or
 * -ETIMEDOUT when something stayed unwritten. */
int auditor_run(struct auditor *a, const volatile sig_atomic_t *stop, const sigset_t *mask);

/* ---- confine.c ---- */

/* Looks at who we are. Returns NULL, or what is wrong with it. In a private opend we may be
 * anybody, and what capabilities there are, are dropped. */
const char *confine_identity(bool private);
/* Landlock without a rule, then a filter that leaves reading, writing to the sink, and the end. */
int confine(const struct auditor *a);

#endif
