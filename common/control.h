/* SPDX-License-Identifier: MIT
 * What opend and workers say to each other; their birth certificates are the supervisor's.
 * Downwards: fixed-size packets on a SOCK_SEQPACKET socketpair whose upper end is shut for reading,
 * some with one descriptor. Upwards: fixed-size records on a *pipe*, because a pipe carries no
 * descriptor: a worker that could push one at opend could hang it for ever in close(2). opend
 * treats every record as hostile; the worker trusts every packet. All are host-endian, one build to
 * one build (the version is checked at birth). */
#ifndef OPEND_CONTROL_H
#define OPEND_CONTROL_H

#include <assert.h>
#include <stdint.h>

enum { CONTROL_VERSION = 1 };

/* Descriptors with which opend-worker is started. */
enum worker_fd {
	WORKER_FD_DOWN = 3,	/* SOCK_SEQPACKET: packets from opend */
	WORKER_FD_UP = 4,	/* pipe: records to opend */
	WORKER_FD_BIRTH = 5,	/* sealed memfd: struct birth, groups, policy text */
	WORKER_FD_STATS = 6,	/* memfd sealed against shrinking: struct stats */
	WORKER_FD_AUDIT = 7,	/* pipe: records to opend-audit */
	WORKER_FDS_END = 8,
};

enum birth_role { BIRTH_WORKER = 0, BIRTH_LENDER = 1, BIRTH_LOBBY = 2 };

/* The birth certificate: who the worker is to become. Groups (u32 each), policy text and, with
 * `set explain full`, the text of all rules follow. */
struct birth {
	uint32_t version, role;
	uint32_t switch_ids;	/* 0: a private opend; be who you are, but prove it */
	uint32_t uid, gid;	/* the client's: effective and file-system ids */
	uint32_t slot;		/* real and saved uid and gid, this worker's alone */
	uint32_t n_groups, policy_len;
	uint32_t generation;
	uint32_t landlock_max;	/* behave as if the kernel had this ABI at most; ~0: as it is */
	uint32_t require_landlock;
	uint32_t poll_usec;
	uint32_t max_conns;
	uint32_t instance;	/* no two workers of one supervisor have the same; serials start here */
	uint32_t no_policy;	/* there is none: refusals say so */
	uint32_t frame_ms;	/* from a frame's first byte to its last */
	uint32_t denials_burst, denials_per_second;
	uint32_t rules_len;	/* `set explain full`: all rules, behind the policy; else 0 */
};
static_assert(sizeof(struct birth) == 76, "birth");

enum down_type {
	DOWN_ADOPT = 1,		/* + connection: serve it */
	DOWN_LENDER,		/* + stream to a lender; without one: there is none to be had */
	DOWN_RELEASE,		/* give all connections back and end. + SEQPACKET to the successor:
				 * what was read and not answered goes there. -> SETTLED */
	DOWN_INHERIT,		/* + SEQPACKET from the predecessor */
	DOWN_NO_REFRESH,	/* there is no successor to be had: answer as you are */
	DOWN_GENERATION,	/* cookie: your policy is also that of this generation. -> SETTLED */
	DOWN_RETIRE,		/* say GOODBYE to everybody and end */
};

enum down_flags {
	DOWN_PEER_WORKER = 1,	/* ADOPT: the peer is a worker, this is a lender */
	DOWN_CARRIED = 2,	/* ADOPT: the predecessor will say what was read already */
	DOWN_NO_RIGHTS = 4,	/* ADOPT: born with SO_PASSRIGHTS=0: no descriptor can be queued on it */
	DOWN_NOT_NOW = 8,	/* LENDER without a stream: none now; else: none ever */
};

struct down {
	uint32_t type, flags;
	uint64_t cookie;
	char via[64], unit[176];	/* NUL-terminated; for INFO and the journal */
};
static_assert(sizeof(struct down) == 256, "down");

enum up_type {
	UP_READY = 1,		/* a: landlock ABI in force, b: enum confinement bits */
	UP_FAILED,		/* a: errno, b: enum birth_step; the worker exits */
	UP_CLOSED,		/* cookie: connection ended and shut down */
	UP_RELEASED,		/* cookie: given back. a: 1 if something was carried to the successor */
	UP_LENDER,		/* a request needs the lender */
	UP_REFRESH,		/* a granted base is new or was replaced */
	UP_SETTLED,		/* what you told me of a new policy is in force here: nothing that is read
				 * from now on is answered by the one before */
};

/* From worker to successor, one packet a connection: what had been read from it, beginning with
 * the request that only the successor can answer, or half a frame. */
struct carry {
	uint64_t cookie;
	uint64_t bases;		/* the predecessor's domain, hashed: the same tells that nothing changed */
	uint32_t len, refused;	/* refused: how often the first request met a stale base */
};
static_assert(sizeof(struct carry) == 24, "carry");

/* What is in force, told in READY and shown by status and INFO. */
enum confinement {
	CONFINED_IDS = 1, CONFINED_CAPS = 2, CONFINED_LANDLOCK = 4, CONFINED_SECCOMP = 8,
	CONFINED_WIDE_FILTER = 16,	/* a sanitizer build: not for production */
};

/* Where a birth failed. */
enum birth_step {
	STEP_CERTIFICATE = 1, STEP_DUMPABLE, STEP_AMBIENT, STEP_GROUPS, STEP_GIDS, STEP_UIDS,
	STEP_CAPS, STEP_READ_BACK, STEP_POLICY, STEP_MEMORY, STEP_OPENAT2, STEP_LANDLOCK,
	STEP_SECCOMP,
};

struct up {
	uint32_t type, a, b, reserved;
	uint64_t cookie;
};
static_assert(sizeof(struct up) == 24, "up");

#endif
