/* SPDX-License-Identifier: MIT
 * libopenc: ask opend(8) for an open file. Needs libc only. See libopenc(3).
 *
 * Returns:  >= 0, or a negative errno; only openc() and openc_fopen() set errno. ENOENT, EACCES
 *           ... speak of the file; a server that is missing, lost or slow is -ENOTCONN,
 *           -ECONNRESET, -ETIMEDOUT; a server that could not just now is -EAGAIN, see
 *           openc_reason(). Arguments that make no sense are -EINVAL. Never -EINTR.
 * Files:    descriptors are the caller's to close, O_CLOEXEC and >= 3.
 * Paths:    absolute, or relative to getcwd(2); they name places as opend sees them.
 * Blocking: only where it says so, and never longer than openc_set_timeout().
 * Threads:  one thread at a time per connection; openc() is thread-safe. Nothing is
 *           async-signal-safe, a cancellation point, logs or touches signals.
 * fork:     in the child the parent's connection answers -ECHILD; only openc_free() works.
 * Identity: fixed at connect; after a change of euid or egid: -ESTALE. "fd:N" keeps the rights of
 *           whoever connected it.
 * Seccomp:  once connected: sendmsg recvmsg poll fcntl close clock_gettime getcwd getpid geteuid
 *           getegid. Beyond that: openc_whoami() and openc_fopen() allocate memory, openc_free()
 *           needs munmap, and reconnecting after a restart of opend needs socket, setsockopt and
 *           connect: a filter that kills for these wants "fd:N" or openc_get_fd(), with which a
 *           connection never reconnects. The first openc_new() in a process, unless of "fd:N", reads
 *           the CPU quota in /proc and /sys/fs/cgroup.
 * Structs:  zero them, pass sizeof; unknown non-zero input is -E2BIG, as in openat2(2). */
#ifndef OPENC_H
#define OPENC_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#define OPENC_VERSION 0x000100 /* major << 16 | minor << 8 | patch */
#ifdef __cplusplus
extern "C" {
#endif
struct openc_conn;

struct openc_how {
	uint32_t flags; /* open(2); O_CLOEXEC, O_NOCTTY implied */
	uint32_t mode;	/* for O_CREAT; set-id bits: -EINVAL */
	uint32_t umask; /* used with OPENC_UMASK */
	uint32_t ask;	/* OPENC_UMASK | OPENC_DRY_RUN | OPENC_TEXT */
};
#define OPENC_UMASK   1u /* else the umask(2) openc_new() found */
#define OPENC_DRY_RUN 2u /* policy's verdict only; no file touched */
#define OPENC_TEXT    4u /* openc_message() also on success */

struct openc_result {
	uint64_t id;		 /* from openc_submit() */
	int32_t fd;		 /* >= 3: yours to close; 0: a dry run's yes; else -errno */
	uint16_t reason, lacked; /* OPENC_R_*; OPENC_READ... no rule granted */
	uint32_t generation;	 /* of the policy that decided */
	uint32_t mode;		 /* st_mode; with the next three, fstat(2) at open */
	uint64_t dev, ino, size;
	uint64_t serial; /* OPEND_SERIAL= in the journal */
};
enum { OPENC_READ = 1, OPENC_WRITE = 2, OPENC_CREATE = 4, OPENC_LIST = 8 };
/* Wire values, opend-protocol(7); more may come. */
enum {
	OPENC_R_NONE = 0,
	OPENC_R_NO_RULE = 1,
	OPENC_R_DENIED,
	OPENC_R_ACCESS,
	OPENC_R_PLACE,
	OPENC_R_TYPE,
	OPENC_R_HARD_LINK,
	OPENC_R_KERNEL_FS,
	OPENC_R_NO_POLICY,
	OPENC_R_FLAGS = 20,
	OPENC_R_PATH,
	OPENC_R_MODE,
	OPENC_R_UNKNOWN,
	OPENC_R_FRAME,
	OPENC_R_KERNEL = 40,
	OPENC_R_CHANGED,
	OPENC_R_BUSY,
	OPENC_R_STUCK,
	OPENC_R_QUOTA = 60,
	OPENC_R_AUDIT,
	OPENC_R_RESOURCES,
	OPENC_R_RESTART,
	OPENC_R_SLOW,
	OPENC_R_NO_SERVER = 100,
	OPENC_R_LOST,
	OPENC_R_TIMEOUT,
	OPENC_R_FD_LOST
};

/* open(2) for a program that may not open(2): -1 and errno. One hidden connection per process,
 * made on first use (so call it before the sandbox forbids connect), remade after fork, identity
 * change or restart. Blocks, and calls of several threads wait for each other. */
int openc(const char *path, int flags, unsigned mode);
#define OPENC_HAVE_OPENC 1

/* address: socket path, "fd:N" (takes N over), or NULL: $OPENC_SOCKET by secure_getenv, else
 * /run/opend/socket. Blocks while the server's backlog is full, 30 s at most. -ENOTCONN: nobody
 * answers there, or not to us; -ENAMETOOLONG: more than 107 bytes; -EBADF, -ENOTSOCK, -EPROTOTYPE:
 * N is no stream socket; -EBUSY: the descriptor that OPENC_SOCKET names was taken over before.
 * Sets the umask(2) for a moment to read it; let no other thread create files meanwhile. On error
 * *ret is NULL and N is left alone. */
int openc_new(struct openc_conn **ret, const char *address);
/* Closes all, undelivered descriptors too. NULL is fine. Returns NULL. */
struct openc_conn *openc_free(struct openc_conn *c);
/* For each call and submitted request from now on; default 30000, -1: for ever. After -ETIMEDOUT
 * the open may still happen, but its descriptor is closed, never taken for another's. */
int openc_set_timeout(struct openc_conn *c, int milliseconds);
/* How long a call that waits looks again and again before it sleeps: 0 to 1000; default 20, or 0
 * with a single CPU or a quota of it (cpu.max, cgroups(7)). It saves the waking of an idle core, and
 * stops where it does not pay. */
int openc_set_poll(struct openc_conn *c, int microseconds);

/* A descriptor. Blocks. After a restart reconnects and repeats, if nothing can happen twice. */
int openc_open(struct openc_conn *c, const char *path, int flags, unsigned mode);
/* The same with everything. how NULL: O_RDONLY. ret may be NULL. A granted dry run returns 0. */
int openc_open_how(struct openc_conn *c, const char *path, const struct openc_how *how,
		   size_t how_size, struct openc_result *ret, size_t ret_size);
/* n paths, n results in order; returns how many opened (or would, in a dry run). all != 0: every
 * one, or the errno of the first that failed and all closed, with -ECANCELED in their results
 * (what was created or truncated stays so). openc_message() speaks of the first that failed. */
int openc_open_many(struct openc_conn *c, const char *const *paths, size_t n,
		    const struct openc_how *how, size_t how_size, struct openc_result *ret,
		    size_t ret_size, int all);
/* fopen(3) modes: r w a, then + x b e; others EINVAL. NULL and errno. Blocks. */
FILE *openc_fopen(struct openc_conn *c, const char *path, const char *mode);

/* Event loops; none of these block. Queues; -EAGAIN: 1024 not answered and taken yet, or 256 KiB
 * not sent yet: process and take some first. Once the connection is lost: its error. */
int openc_submit(struct openc_conn *c, const char *path, const struct openc_how *how,
		 size_t how_size, uint64_t *ret_id);
/* Poll this, never close it, for these events, this long (ms, -1 no limit), then process. It never
 * changes: an asynchronous connection does not reconnect. */
int openc_get_fd(struct openc_conn *c);
int openc_get_events(struct openc_conn *c);
int openc_get_timeout(struct openc_conn *c);
/* Sends and receives what it can. 1: results wait; 0: none yet; < 0: connection lost, and each
 * unanswered request yields a result that says whether it may have been carried out: -EAGAIN with
 * OPENC_R_RESTART: it was not; -ECONNRESET with OPENC_R_LOST: nobody knows. */
int openc_process(struct openc_conn *c);
/* Takes one result, in any order: 1, or 0 for none. */
int openc_take(struct openc_conn *c, struct openc_result *ret, size_t ret_size);
/* Forgets a request; a descriptor that still comes is closed. The open may happen. -ENOENT: it is
 * not known, or taken. */
int openc_cancel(struct openc_conn *c, uint64_t id);

/* Why the last call on c failed: one line without control bytes, c's until the next call, never
 * NULL; empty when it did not fail (but see OPENC_TEXT). */
const char *openc_message(struct openc_conn *c);
int openc_reason(struct openc_conn *c);	 /* OPENC_R_* */
const char *openc_strreason(int reason); /* static, never NULL */
/* "key=value" lines, for the caller to free(3): who opend thinks we are, what it can do. Blocks. */
int openc_whoami(struct openc_conn *c, char **ret);
/* A descriptor of a sealed memfd: the rules that apply to us, in opend.policy(5). Its position is
 * shared with others: pread(2). Blocks. */
int openc_rules(struct openc_conn *c);
int openc_version(void); /* at run time */
#ifdef __cplusplus
}
#endif
#endif
