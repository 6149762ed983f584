/* SPDX-License-Identifier: MIT
 * A worker's stats page: a memfd that it shares with opend, sealed against shrinking (a
 * page that went away would kill opend by SIGBUS). The worker writes, at no cost worth
 * measuring; opend reads, and believes nothing: the numbers are hints, they add up for
 * status, and the worst a lie can do is to have the liar replaced. Each field is written by one
 * thread and read whole. opend-audit has one too, in which it counts what the journal lost. */
#ifndef OPEND_STATS_H
#define OPEND_STATS_H

#include <stdatomic.h>
#include <stdint.h>

enum { STATS_REASONS = 128 };

struct stats {
	/* CLOCK_MONOTONIC in milliseconds since which a request has been in hand: the next call
	 * may block for ever (FUSE, NFS). 0: between requests. */
	_Atomic uint64_t busy_since_ms;
	_Atomic uint64_t opens, infos, others;	/* requests by kind */
	_Atomic uint64_t granted, lent;		/* opened here; opened by the lender */
	_Atomic uint64_t denied[STATS_REASONS];	/* by reason */
	_Atomic uint64_t audit_dropped;
};

/* One writer: an ordinary increment, that a reader sees whole. */
static inline void stats_count(_Atomic uint64_t *n)
{
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

#endif
