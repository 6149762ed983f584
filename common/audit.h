/* SPDX-License-Identifier: MIT
 * What opend-audit is told. Each worker has a pipe of its own, so who wrote a record is known by
 * where it was read and cannot be forged: opend tells whose pipe it is (struct
 * audit_peer, a SOCK_SEQPACKET packet with the pipe's reading end). A record is one write(2) of at
 * most PIPE_BUF bytes, so it arrives whole or not at all (pipe(7)). The worker's own words in it
 * are hostile to the reader. */
#ifndef OPEND_AUDIT_H
#define OPEND_AUDIT_H

#include <assert.h>
#include <stdint.h>

enum { AUDIT_VERSION = 1, AUDIT_RECORD_MAX = 4096 };

/* Descriptors with which opend-audit is started. */
enum audit_fd {
	AUDIT_FD_PEERS = 3,
	AUDIT_FD_STATS = 4,	/* memfd: a struct stats, of which it counts audit_dropped */
	AUDIT_FDS_END = 5,
};

/* From opend, with one descriptor. End of file on the socket ends opend-audit as soon as
 * every pipe is at its end too. */
struct audit_peer {
	uint32_t version, role;		/* enum birth_role */
	uint32_t uid, gid, slot;
	int32_t pid;
	uint32_t instance, reserved;
};
static_assert(sizeof(struct audit_peer) == 32, "peer");

enum audit_decision { AUDIT_GRANT = 1, AUDIT_DENIAL, AUDIT_SUPPRESSED };

enum audit_flags { AUDIT_AS_ROOT = 1, AUDIT_CUT = 2 /* a text did not fit and was cut */ };

/* From a worker. The texts follow in this order, not terminated. */
struct audit_record {
	uint32_t size;			/* of all, texts included */
	uint16_t decision, flags;
	uint16_t reason, access;	/* enum wire_reason; bits of enum wire_access */
	uint32_t error;			/* errno, or 0 */
	uint32_t generation;
	uint32_t uid, gid;		/* the client's, as the kernel told the worker. Believed of a
					 * lobby only; else the pipe's owner counts. */
	uint32_t held_back;		/* SUPPRESSED: how many denials were not written */
	uint32_t reserved;
	uint64_t serial;		/* its upper half is the pipe's instance, whatever is here */
	uint16_t via_len, unit_len, rule_len, path_len, place_len, reserved2[3];
};
static_assert(sizeof(struct audit_record) == 64, "record");

#endif
