/* SPDX-License-Identifier: MIT
 * The back door: does what the test names, as code that a client had smuggled in would, with the
 * ids, the capabilities, the domain and the filter of a worker that serves. It is in no program
 * that `make install` installs. The lender is the same program, so it has the door too: whoever
 * has a worker has the stream to its lender. */
#ifdef OPEND_BACKDOOR
#include <errno.h>
#include <sys/syscall.h>
#include "backdoor.h"
#include "openhow.h"
#include "worker.h"

/* `used`, or it is taken apart into numbers that nobody finds in the file. */
static const char marker[] __attribute__((used)) = BACKDOOR_MARKER;

/* What an intruder would have: writable memory at a known place. */
static char area[BACKDOOR_AREA] __attribute__((aligned(BACKDOOR_AREA)));

static int64_t call(int64_t nr, const uint64_t *args)
{
	long r = syscall((long)nr, args[0], args[1], args[2], args[3], args[4], args[5]);

	return r < 0 ? -errno : r;
}

/* The door for programs of 32 bits, where numbers mean other calls: 5 is open(2). */
static int64_t call_32(int64_t nr, const uint64_t *args)
{
#ifdef __x86_64__
	int64_t r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(nr), "b"(args[0]), "c"(args[1]), "d"(args[2])
			 : "memory", "r8", "r9", "r10", "r11");
	return (int32_t)r;
#else
	(void)nr;
	(void)args;
	return -ENOSYS;
#endif
}

static int64_t places(const struct worker *w, const struct conn *c)
{
	struct backdoor_places p = { .area = (uintptr_t)area,
				     .existing = (uintptr_t)openhow_existing,
				     .create = (uintptr_t)openhow_create,
				     .stats = (uintptr_t)w->stats,
				     .conn = c->fd,
				     .lender = w->lender.fd,
				     .epoll = w->epoll,
				     .rules = w->rules_fd };

	memcpy(p.marker, marker, sizeof marker);
	memcpy(area, &p, sizeof p);
	return 0;
}

static int64_t run(const struct worker *w, const struct conn *c, const struct backdoor_request *r)
{
	switch (r->op) {
	case BACKDOOR_PLACES:
		return places(w, c);
	case BACKDOOR_CALL:
		return call(r->nr, r->args);
	case BACKDOOR_CALL_32:
		return call_32(r->nr, r->args);
	case BACKDOOR_POKE:
		*(volatile uint64_t *)(uintptr_t)r->args[0] = r->args[1];
		return 0;
	default:
		return -EINVAL;
	}
}

bool backdoor_frame(struct worker *w, struct conn *c, const struct wire_header *h,
		    const char *frame)
{
	char body[sizeof(int64_t) + BACKDOOR_AREA];
	struct backdoor_request r;
	size_t len = h->size - sizeof r;
	int64_t result;

	memcpy(&r, frame, sizeof r);
	memcpy(area, frame + sizeof r, UTIL_MIN(len, sizeof area));
	result = run(w, c, &r);
	memcpy(body, &result, sizeof result);
	memcpy(body + sizeof result, area, sizeof area);
	conn_frame(w, c, BACKDOOR_REPLY, h->id,
		   (r.flags & BACKDOOR_SEND) && result >= 0 ? (int)result : -1, body,
		   r.flags & BACKDOOR_TELL ? sizeof body : sizeof result);
	return true;
}
#endif
