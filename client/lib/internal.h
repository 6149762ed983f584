/* SPDX-License-Identifier: MIT
 * The inside of libopenc. One asynchronous core: requests lie in a table, their frames in one
 * buffer; what arrives is cut into frames, each takes its descriptors from a queue and is laid
 * into the table, from where it is taken. The synchronous calls are the same with a wait.
 *
 * All memory is had in openc_new(), so that a sandboxed caller needs no mmap(2) later. Nothing
 * here logs, exits, touches signals or sets errno for anybody to see. Ids are counted up in 64
 * bits and never used again, so that a late answer can only ever be its own.
 *
 * A child made by fork(2) may find a connection in the middle of a change. So a descriptor leaves
 * its old place before it stands in the new one: a child can lose one, but never close twice. */
#ifndef OPENC_INTERNAL_H
#define OPENC_INTERNAL_H

#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/un.h>
#pragma GCC visibility push(default)
#include "openc.h"
#pragma GCC visibility pop
#include "fdpass.h"
#include "util.h"
#include "wire.h"

enum {
	SLOTS = 1024,		      /* requests without an answer, answers not taken */
	OUT_ROOM = 256 * 1024,	      /* frames not sent yet */
	IN_ROOM = 4 * WIRE_REPLY_MAX, /* more than one send of the server and a rest */
	TEXT_ROOM = 64 * 1024,	      /* texts of answers not taken */
	FDS_ROOM = 2 * FDPASS_MAX,    /* descriptors whose frame is not whole yet */
	TIMEOUT_DEFAULT = 30000,
	NO_SLOT = 0xffff,
};

#define FOR_EVER INT64_MAX

enum slot_state {
	SLOT_FREE,
	SLOT_ASKED,
	SLOT_FORGOTTEN, /* nobody waits any more: its answer is thrown away */
	SLOT_READY,
};

enum mode { ASYNC, SYNC }; /* who takes it: openc_take(), or the call that waits */

struct request {
	uint64_t id;
	uint64_t end;	  /* position in the stream where its frame ends */
	int64_t deadline; /* microseconds, CLOCK_MONOTONIC */
	size_t index;	  /* which path of openc_open_many() */
	char *body;	  /* where an INFO goes, WIRE_REPLY_MAX bytes */
	uint32_t flags, ask;
	uint32_t text_at, text_len; /* in conn.text; text_len 0: none held */
	uint16_t type, next;
	uint8_t state, mode;
	bool owed;  /* the server's answer is still to come */
	bool late;  /* its time was over before */
	bool again; /* lost, but repeating it can do no harm */
	struct openc_result result;
};

struct ready {
	uint16_t head, tail;
};

/* Looking again before sleeping, see look.c. */
struct looking {
	int usec; /* 0: never */
	unsigned waits, period;
	bool hitting;
};

struct openc_conn {
	int sock;
	int lost; /* 0, or the negative errno with which it ended */
	pid_t pid;
	uid_t euid;
	gid_t egid;
	mode_t umask;
	int timeout;	/* ms, -1 for ever */
	bool inherited; /* "fd:N": cannot be made again */
	bool async;	/* its descriptor was given away: must not change */
	bool away;	/* it was waited for, and did not come back */
	bool goodbye;	/* lost, and the server said so */
	bool broken;	/* sending failed; what the server said is still read */
	struct sockaddr_un address;
	socklen_t address_len;

	uint64_t last_id;
	uint64_t queued, sent; /* bytes of this stream */
	int64_t wake;	       /* no deadline is before this */
	unsigned n_asked, n_late, n_texts;
	struct looking looking;
	struct ready ready[2]; /* by enum mode */
	int fds[FDS_ROOM];
	size_t fds_head, fds_len;
	size_t in_len, out_head, out_len, text_used;

	int reason;
	char message[WIRE_REPLY_MAX];
	struct request slots[SLOTS];
	char in[IN_ROOM], out[OUT_ROOM], text[TEXT_ROOM];
};

/* One call's attempts to reach the server again. */
struct attempts {
	int64_t deadline;
	unsigned tries, lost; /* connections made; ends without GOODBYE among them */
};

/* A request on its way into the table. */
struct question {
	uint16_t type;
	uint8_t mode;
	const char *path; /* OPEN only, with how */
	struct openc_how how;
	size_t index;
	char *body;
	int64_t deadline;
};

/* No public call is a cancellation point: a thread cancelled inside would leave a stream that
 * nobody can use. */
static inline int cancel_off(void)
{
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	return state;
}
static inline void cleanup_cancel_(int *state)
{
	pthread_setcancelstate(*state, NULL);
}
#define WITHOUT_CANCELLATION                                                                       \
	_cleanup_(cleanup_cancel_) int cancel_state_ __attribute__((unused)) = cancel_off()

/* connect.c */
int conn_enter(struct openc_conn *c);
int conn_connect(struct openc_conn *c, int64_t deadline);
int conn_ensure(struct openc_conn *c, struct attempts *a);
bool conn_may_reconnect(const struct openc_conn *c);
int conn_reason(int error);
int fd_raise(int fd);

/* stream.c */
void stream_flush(struct openc_conn *c);
int stream_receive(struct openc_conn *c);
void stream_pump(struct openc_conn *c, int64_t deadline);
char *stream_reserve(struct openc_conn *c, size_t len);
int stream_take_fd(struct openc_conn *c);
void stream_reset(struct openc_conn *c);

/* look.c */
void look_init(struct looking *l);
bool look_for_answer(struct openc_conn *c);

/* answer.c */
int answer_frame(struct openc_conn *c, const struct wire_header *h, const char *frame);

/* request.c */
int request_submit(struct openc_conn *c, const struct question *q, uint64_t *ret_id,
		   int *ret_reason);
size_t request_slots(const struct openc_conn *c);
struct request *request_find(struct openc_conn *c, uint64_t id);
void request_finish(struct openc_conn *c, struct request *r, int fd, int reason);
struct request *request_pop(struct openc_conn *c, enum mode mode);
void request_unready(struct openc_conn *c, struct request *r);
void request_release(struct openc_conn *c, struct request *r);
void request_settle(struct openc_conn *c, struct request *r);
void request_expire(struct openc_conn *c);
void conn_lose(struct openc_conn *c, int error, int reason, bool goodbye, const char *why);

/* open.c */
int sync_plain(struct openc_conn *c, uint16_t type, char *body);

/* message.c */
void message_clear(struct openc_conn *c);
int message_fail(struct openc_conn *c, int error, int reason);
void message_of(struct openc_conn *c, const struct request *r);
void text_keep(struct openc_conn *c, struct request *r, const char *text, size_t len);
void text_drop(struct openc_conn *c, struct request *r);

/* how.c */
int how_copy(struct openc_how *ret, const struct openc_how *how, size_t size);
int result_check(size_t size);
void result_copy(void *ret, size_t size, const struct openc_result *from);

/* clock.c */
int64_t now_usec(void);
int64_t deadline_in(int milliseconds);
int until_msec(int64_t deadline);

#endif
