/* SPDX-License-Identifier: MIT
 * Workers and lenders that somebody has taken over: an opend whose workers have the back door of
 * daemon/worker/backdoor.h, and what can be done through it. An attempt ends in a result, or in the
 * death of the process, of which the test is told because it traces what it attacks. All of this
 * needs root. */
#ifndef HARNESS_BACKDOOR_H
#define HARNESS_BACKDOOR_H

#include "daemon/worker/backdoor.h"
#include "harness.h"

#ifdef OPEND_WIDE_FILTER
enum { FILTER_IS_WIDE = 1 };
#else
enum { FILTER_IS_WIDE = 0 };
#endif
/* First in a test of what the filter of a plain build forbids. */
#define needs_filter()                                                                             \
	do {                                                                                       \
		if (!is_root())                                                                    \
			skip("needs root to start an opend that becomes other users");             \
		if (FILTER_IS_WIDE)                                                                \
			skip("the wide filter is in force");                                       \
	} while (0)

/* Like OPEND(), with such workers. */
struct opend opend_taken_over(void);
char *taken_over_worker(void); /* its program, in the build tree */
/* Connects in the name of `who`. */
struct raw raw_connect_as(struct who who, const char *socket);

enum victim { A_WORKER, A_LOBBY, A_LENDER };

/* A process that has been taken over, and the connection by which it is commanded. */
struct intruder {
	const struct opend *opend;
	pid_t pid, worker;  /* the worker: itself, or whose lender it is */
	struct raw raw, via; /* via: a lender's worker */
	uint64_t id;
	struct backdoor_places at;
};

/* A connection of `who`, and the process that serves it; or its lender, which is started for `key`,
 * a file that the policy lends. Its worker is of no other use then. */
struct intruder intrude(const struct opend *o, enum victim which, struct who who, const char *key);
/* Closes what it holds; the process lives on. */
void intruder_leave(struct intruder *i);
/* Ends the process, and a lender's worker, and waits until the supervisor knows. */
void intruder_end(struct intruder *i);

/* Arguments that are known in the intruder's process only. */
#define IN_AREA(offset)	    (UINT64_C(0x5a01) << 48 | (uint32_t)(offset)) /* 2 KiB, writable */
#define IN_EXISTING(offset) (UINT64_C(0x5a02) << 48 | (uint32_t)(offset)) /* openhow.h's tables */
#define IN_CREATE(offset)   (UINT64_C(0x5a03) << 48 | (uint32_t)(offset))
#define IN_STATS(offset)    (UINT64_C(0x5a04) << 48 | (uint32_t)(offset))
#define ITS_CONN	    (UINT64_C(0x5a05) << 48)
#define ITS_RULES	    (UINT64_C(0x5a06) << 48)

/* One frame for the back door. */
struct attack {
	const char *name;
	int64_t nr;
	uint64_t args[6];
	const void *data; /* to the start of the area; NULL: it stays as it is */
	size_t len;
	uint32_t op, flags; /* op 0: BACKDOOR_CALL */
};

/* What the kernel returned (a negative errno). The process must survive. area (BACKDOOR_AREA) and
 * ret_fd may be NULL; with BACKDOOR_SEND the descriptor is *ret_fd, or -1. */
int64_t attack(struct intruder *i, const struct attack *a, void *area, int *ret_fd);
/* The same in short: CALL(&i, SYS_close, 4), and CALL_WITH(&i, "/path", SYS_readlinkat, ...), whose
 * text is IN_AREA(0). */
#define CALL(i, ...) call_with((i), NULL, (const uint64_t[7]){ __VA_ARGS__ })
#define CALL_WITH(i, text, ...) call_with((i), (text), (const uint64_t[7]){ __VA_ARGS__ })
int64_t call_with(struct intruder *i, const char *text, const uint64_t nr_and_args[7]);
/* Writes into one of its descriptors; what write(2) returned. */
int64_t write_through(struct intruder *i, int fd, const void *bytes, size_t len);
/* A descriptor of the intruder's, ours. */
int take_from(struct intruder *i, int fd);
/* sendmsg(2) of one byte, to a name (NULL: none), with a descriptor (-1: none). */
struct sockaddr_un;
int64_t send_message(struct intruder *i, int fd, const struct sockaddr_un *name, size_t name_len,
		     int push);
/* capset(2) with these capabilities (bits). */
int64_t set_caps(struct intruder *i, uint64_t permitted, uint64_t effective, uint64_t inheritable);

/* How the process ends by this: a signal; 0: it exited; -1: it did not end. Whichever: then it is
 * as after intruder_end(). */
int death_by(struct intruder *i, const struct attack *a);

/* Frames in one write, so that they are read together, and no waiting for an answer: the last may
 * never return. */
void post(struct intruder *i, const struct attack *list, size_t n);

/* What open_by() says of each path, much faster; of the k-th by the entry k * step behind `entry`. */
void open_each(struct intruder *i, const char *const *paths, uint64_t entry, size_t step, int *ret,
	       size_t n);
/* openat2(2) by an entry of the tables (IN_EXISTING(), IN_CREATE()): 0 if it opened, which is then
 * closed, or a negative errno. */
int open_by(struct intruder *i, const char *path, uint64_t entry);

#endif
