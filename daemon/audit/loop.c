/* SPDX-License-Identifier: MIT
 * One thread, one poll(2) of three things: opend's socket, the sink while it is full, and
 * the pipes (an epoll of their own, so that all of them are let rest at once). Nothing else waits
 * anywhere, and it is never woken for nothing. */
#include <poll.h>
#include <time.h>
#include "auditor.h"

enum { ENDING_USEC = 2000000 };
enum { SOURCE_PEERS, SOURCE_SINK, SOURCE_PIPES, SOURCES };

static uint64_t sooner(uint64_t a, uint64_t b)
{
	if (!a || !b)
		return a + b;
	return UTIL_MIN(a, b);
}

/* When something is to happen although nothing comes, or 0. */
static uint64_t next_deadline(const struct auditor *a, uint64_t now, uint64_t ending)
{
	uint64_t at = ending;

	if (!a->sink.blocked)
		return at;
	if (a->sink.retry_at > now)
		at = sooner(at, a->sink.retry_at);
	if (!pipes_readable(a))
		at = sooner(at, a->sink.blocked_since + PATIENCE_USEC);
	return at;
}

/* Returns how many of the sources are ready. */
static int wait_for(struct auditor *a, struct pollfd *sources, uint64_t ending,
		    const sigset_t *mask)
{
	uint64_t now = clock_usec(), at = next_deadline(a, now, ending);
	uint64_t left = at > now ? at - now : 0;
	struct timespec t;
	int n;

	/* At the end it is enough that nothing is there now. */
	if (ending && pipes_settled(a))
		left = 0;
	t = (struct timespec){ .tv_sec = (time_t)(left / 1000000),
			       .tv_nsec = (long)(left % 1000000 * 1000) };
	sources[SOURCE_PEERS].fd = a->peers_ended || pipes_full(a) ? -1 : AUDIT_FD_PEERS;
	sources[SOURCE_SINK].fd = sink_wait_fd(&a->sink);
	sources[SOURCE_PIPES].fd = pipes_readable(a) ? a->epoll : -1;
	n = ppoll(sources, SOURCES, at || ending ? &t : NULL, mask);
	if (n < 0 && errno != EINTR)
		return -errno;
	if (n < 0)
		for (int i = 0; i < SOURCES; i++)
			sources[i].revents = 0;
	return UTIL_MAX(n, 0);
}

static int serve_sources(struct auditor *a, const struct pollfd *sources)
{
	int r = 0;

	if (sources[SOURCE_PEERS].revents)
		r = pipes_accept(a);
	if (r == 0 && sources[SOURCE_SINK].revents)
		r = sink_retry(&a->sink);
	if (r == 0 && sources[SOURCE_PIPES].revents)
		r = pipes_turn(a);
	/* Last, so that what waits from here on waits for the sink and for nothing else. */
	return r == 0 ? pipes_settle(a) : r;
}

int auditor_run(struct auditor *a, const volatile sig_atomic_t *stop, const sigset_t *mask)
{
	struct pollfd sources[SOURCES] = { [SOURCE_PEERS] = { .events = POLLIN },
					   [SOURCE_SINK] = { .events = POLLOUT },
					   [SOURCE_PIPES] = { .events = POLLIN } };
	uint64_t ending = 0;

	for (;;) {
		int n, r;

		if (!ending && (*stop || (a->peers_ended && a->n_live == 0)))
			ending = clock_usec() + ENDING_USEC;
		n = wait_for(a, sources, ending, mask);
		if (n < 0)
			return n;
		if (ending && n == 0 && pipes_settled(a))
			return 0;
		if (ending && clock_usec() >= ending)
			return -ETIMEDOUT;
		r = serve_sources(a, sources);
		if (r < 0)
			return r;
	}
}
