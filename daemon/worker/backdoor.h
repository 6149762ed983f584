/* SPDX-License-Identifier: MIT
 * A worker that somebody has taken over: what its back door understands, for the tests that come
 * through it. `make` builds it apart, with OPEND_BACKDOOR, and never installs it; every other build
 * answers this frame as any that it does not know. */
#ifndef OPEND_BACKDOOR_H
#define OPEND_BACKDOOR_H

#include <assert.h>
#include <stdint.h>
#include "wire.h"

/* Stands in a program that has the door, and in no other. */
#define BACKDOOR_MARKER "opend-worker: taken over, for tests only"

enum { BACKDOOR_FRAME = 0x7bd0, BACKDOOR_REPLY = 0xfbd0, BACKDOOR_AREA = 2048 };

enum backdoor_op {
	BACKDOOR_PLACES = 1,	/* where things are: struct backdoor_places */
	BACKDOOR_CALL,		/* system call nr with args */
	BACKDOOR_CALL_32,	/* the same through the 32-bit entry, three args */
	BACKDOOR_POKE,		/* stores args[1] at args[0] */
};

enum backdoor_flags {
	BACKDOOR_TELL = 1,	/* the reply carries the area as it is after the call */
	BACKDOOR_SEND = 2,	/* the result is a descriptor: it goes to the client */
};

/* data is copied to the start of the area: 2 KiB of writable memory, whose address PLACES tells, and
 * which otherwise stays as it is from one frame to the next. */
struct backdoor_request {
	struct wire_header header;
	uint32_t op, flags;
	int64_t nr;
	uint64_t args[6];
	char data[];
};
static_assert(sizeof(struct backdoor_request) == 80, "backdoor request");

struct backdoor_reply {
	struct wire_header header;
	int64_t result;		/* as the kernel returned it: negative is an errno */
	char data[];
};

struct backdoor_places {
	uint64_t area, existing, create, stats;
	int32_t conn, lender, epoll, rules;	/* descriptors */
	char marker[sizeof BACKDOOR_MARKER];
};

#ifdef OPEND_BACKDOOR
struct worker;
struct conn;
bool backdoor_frame(struct worker *w, struct conn *c, const struct wire_header *h,
		    const char *frame);
#endif

#endif
