/* SPDX-License-Identifier: MIT
 * What the front asks of the supervisor: one request at a time over a SOCK_SEQPACKET socketpair,
 * each answered before the next. The front has no capability, so the supervisor believes it
 * nothing about who a client is: it is shown the connection and asks the kernel. A front that was
 * taken over could have workers born for those who have connected, with the rules that are theirs,
 * and no more. Host-endian, one build to one build. */
#ifndef OPEND_ASK_H
#define OPEND_ASK_H

#include <stdint.h>
#include "policy/settings.h"

/* Descriptors with which opend-supervisor is started. Programs are opened once: neither an
 * unreachable directory nor an upgrade in between matters. */
enum ask_fd {
	ASK_FD = 3,		/* SOCK_SEQPACKET: struct question in, struct told out */
	ASK_FD_WORKER_EXE = 4,
	ASK_FD_AUDIT_EXE = 5,
	ASK_FD_NULL = 6,	/* /dev/null */
	ASK_FDS_END = 7,
};

enum { ASK_FDS_MAX = 4 };	/* with one request */

enum ask_type {
	ASK_POLICY = 1,	/* + memfd for the report: read policy and settings; all or nothing */
	ASK_IDENTITY,	/* + connection, door: whose it is -> identity, uid, gid, unit, unit_asked */
	ASK_FORGET,	/* identity: it will not be named again */
	ASK_FIT,	/* identity, instance: what its policy is now -> fits, rules, root_rules, and
			 * in instance the youngest process that serves just that, 0: none */
	ASK_BIRTH,	/* role + its ends of down, up, stats, audit -> instance, slot, pid, uid, gid.
			 * Worker: for identity, or, when that is 0, as instance is. Lender: for
			 * identity. Lobby. opend-audit: + its end and its stats */
	ASK_KILL,	/* instance: SIGKILL */
	ASK_BURY,	/* instance: it is dead and has been waited for */
	ASK_TIDY,	/* the end is near: remove the sockets' files, while their locks are held */
};

enum { ASK_ROLE_AUDIT = 3 };	/* beside enum birth_role */

struct question {
	uint32_t type, role;
	uint32_t identity, instance;	/* never 0 when they name something */
	char door[64];			/* NUL-terminated, as the next two */
};

struct told {
	int32_t result;			/* 0 or -errno; with an errno nothing else counts */
	uint32_t identity, instance, slot, uid, gid;
	int32_t pid;
	uint32_t fits;			/* instance has just this policy and these credentials */
	uint32_t anew;			/* nobody knows its unit, which rules name: it must connect anew */
	uint32_t unit_asked;		/* IDENTITY: unit is its unit, or that it has none */
	uint32_t by_unit;		/* POLICY: rules name units, so each connection must be shown */
	uint32_t rules, root_rules;	/* that can apply; those of them that are `as root` */
	uint32_t generation, all_rules;	/* POLICY */
	uint64_t digest;		/* POLICY */
	struct settings settings;	/* POLICY */
	char unit[176];
};

#endif
