/* SPDX-License-Identifier: MIT
 * The harness of the integration tests: a real opend, staged where every uid can reach it, and
 * real clients, each a process of the identity it claims. Nothing is mocked.
 *
 * A test program is `int main(void) { return harness_main("name", suite); }`. As an ordinary user
 * it runs its tests once, with an opend that serves this user alone. As root it runs them twice:
 * with a root-started opend and numeric uids that need no account, then once more as an ordinary
 * user. A test that needs root begins with needs_root().
 *
 * Every test is forked by Check. Each has a tree of its own:
 *	TREE/run     sockets, control sockets, the daemon's stderr
 *	TREE/policy  policy files
 *	TREE/data    what clients ask for, and nothing else: a descriptor of opend or of a worker
 *	             that still points in there when all clients are gone is a leak
 *
 * ensure(), sys() and ok() work in the test and in its client processes: a failure in a client is
 * carried to the test that started it. */
#ifndef HARNESS_H
#define HARNESS_H

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#include "openc.h"
#include "util.h"
#include "wire.h"

/* ---- programs and tests ---- */

int harness_main(const char *name, Suite *(*suite)(void));
/* A case of one test, with a timeout in seconds, added to the suite. ADD_ROOT is for tests that
 * begin with needs_root(): they are left out of the second run, having been in the first. ADD_USER
 * is for tests of an opend that an ordinary user started: they are left to the second run. */
TCase *harness_case(Suite *s, const char *name, int timeout);
enum harness_for { FOR_ALL, FOR_ROOT, FOR_USER };
void harness_add(Suite *s, const char *name, const TTest *test, int timeout, enum harness_for whom);
#define ADD(suite, test, timeout)      harness_add((suite), #test, (test), (timeout), FOR_ALL)
#define ADD_ROOT(suite, test, timeout) harness_add((suite), #test, (test), (timeout), FOR_ROOT)
#define ADD_USER(suite, test, timeout) harness_add((suite), #test, (test), (timeout), FOR_USER)

bool is_root(void);
/* Prints "SKIP: name: reason". */
void harness_skip(const char *test, const char *reason);
#define skip(reason)                                                                               \
	do {                                                                                       \
		harness_skip(__func__, (reason));                                                  \
		return;                                                                            \
	} while (0)
#define needs_root(to)                                                                             \
	do {                                                                                       \
		if (!is_root())                                                                    \
			skip("needs root to " to);                                                 \
	} while (0)

/* What runs was built with SANITIZE=. */
bool is_sanitized(void);

/* ---- claims ---- */

void harness_fail(const char *file, int line, const char *claim, const char *fmt, ...)
	__attribute__((format(printf, 4, 5), noreturn));
#define ensure(claim, ...)                                                                         \
	((claim) ? (void)0 : harness_fail(__FILE__, __LINE__, #claim, __VA_ARGS__))

/* A call in the style of libc: its result, or the test fails with errno's text. */
long harness_sys(long r, const char *file, int line, const char *call);
#define sys(call) harness_sys((long)(call), __FILE__, __LINE__, #call)
/* A call that returns a negative errno: its result, or the test fails. */
int harness_ok(int r, const char *file, int line, const char *call);
#define ok(call) harness_ok((call), __FILE__, __LINE__, #call)

int64_t now_msec(void);
void sleep_msec(int msec);
/* A deadline, in whatever unit, where everything is slow: times CK_TIMEOUT_MULTIPLIER. */
int64_t patience(int64_t time);
/* Waits until `claim` holds, at most patience(msec); evaluates to whether it did. */
#define within(msec, claim)                                                                        \
	__extension__({                                                                            \
		int64_t until_ = now_msec() + patience(msec);                                              \
		bool held_;                                                                        \
		while (!(held_ = (claim)) && now_msec() < until_)                                  \
			sleep_msec(5);                                                             \
		held_;                                                                             \
	})

/* ---- files ---- */

/* printf into memory that lives as long as the test. */
char *text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A path below this test's tree: at("data/a/%d", i). */
char *at(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Ownership is given only as root: an ordinary user's files are his own. */
char *make_dir(char *path, mode_t mode, uid_t uid);
char *make_file(char *path, mode_t mode, uid_t uid, const char *content);
char *make_link(const char *target, char *path);
void policy(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The whole of fd from its start, NUL-terminated, text()'s memory. */
char *slurp(int fd, size_t *ret_len);

/* ---- processes ---- */

struct who {
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t n_groups;
};
/* As root uid 1000 and 1001 with no groups; as an ordinary user alice is this user and there is
 * no bob: tests that use him need root. */
extern struct who alice, bob;
struct who uid_only(uid_t uid);

typedef void client_fn(void *arg);
struct client {
	pid_t pid;
	int report;
};
/* Runs fn(arg) in a process that is `who`, checked afterwards for descriptors it leaked. */
struct client client_start(struct who who, client_fn *fn, void *arg);
/* Waits for it; its failure is the test's. */
void client_wait(struct client *c);
/* Both. */
void as(struct who who, client_fn *fn, void *arg);
/* Memory that test and clients share; zeroed. */
void *shared(size_t size);

struct program {
	int status; /* exit status; -signal */
	char *out, *err;
	size_t out_len, err_len;
};
/* Runs a program with this process's identity, for at most 20 s. */
struct program run(const char *const argv[]);
/* argv by the piece: RUN("cat", "/x"). */
#define RUN(...) run((const char *const[]){ __VA_ARGS__, NULL })
/* A staged program: "opend", "openc". */
char *staged(const char *name);

int count_fds(pid_t pid); /* -1: not ours to look at */
/* A field of /proc/PID/status ("CapEff"), text()'s memory, or NULL. */
char *proc_status(pid_t pid, const char *field);
uint64_t proc_hex(pid_t pid, const char *field);
/* Milliseconds of processor time it has used. */
int64_t proc_cpu_msec(pid_t pid);
/* Children of a process whose command name is `comm` (NULL: all). */
size_t children(pid_t pid, const char *comm, pid_t *ret, size_t max);
bool alive(pid_t pid);	/* and no zombie */
bool asleep(pid_t pid); /* waits for something */
bool stopped(pid_t pid); /* SIGSTOP takes its time */

/* ---- the daemon ---- */

enum { OPEND_UID = 61000, AUDIT_UID = 61001, SANITIZER_EXIT = 77 };

struct opend {
	pid_t pid;
	char *socket, *control, *log;
	int notify;
	int idle_fds; /* before the first worker was born; -1: not ours to look at */
	int idle_children, idle_supervisor_fds;
	bool activated; /* its sockets are not its own */
	bool traced;	/* a sanitizer cannot look for leaks then, and exits with SANITIZER_EXIT */
};
/* Starts it with --listen TREE/run/socket --control --policy TREE/policy and waits for READY=1.
 * More arguments follow, NULL-terminated. */
struct opend opend_start(const char *arg, ...) __attribute__((sentinel));
#define OPEND() opend_start(NULL, NULL)
/* The same with every argument given, no waiting. instance: 0, 1 ...: names its sockets. */
struct opend opend_spawn(int instance, const char *const argv[]);
void opend_wait_ready(struct opend *o);
/* The two parts of that: whether it has said so since this was last asked; and what it has then. */
bool opend_said_ready(const struct opend *o);
void opend_look_at_rest(struct opend *o);
/* argv of a default opend of this test, into args[32], ending in NULL; returns its length. */
size_t opend_args(int instance, const char **args);
/* Checks that nothing leaked, ends it by SIGTERM, checks that it left within 5 s with status 0,
 * its sockets removed and no process behind. */
void opend_stop(struct opend *o);
/* The first part of that. */
void opend_check_idle(struct opend *o);
/* Connections that anybody still holds, or has in flight. */
size_t opend_connections(const struct opend *o);
/* Somebody listens on this name; that there is a file says only that it was bound. */
bool listens(const char *path);
/* The last part: no process is left of what this test started. */
void no_process_left(void);
/* Workers (no lenders) that run, optionally of one effective uid (-1: all). */
size_t workers(const struct opend *o, uid_t uid, pid_t *ret, size_t max);
size_t lenders(const struct opend *o, uid_t uid, pid_t *ret, size_t max);
/* The process with the capabilities. */
pid_t supervisor_of(const struct opend *o);
pid_t only_worker(const struct opend *o, uid_t uid);
/* One word to the control socket: the status it answers, its text if asked for. */
int control(const struct opend *o, const char *word, char **ret_text);
int reload(const struct opend *o);

/* ---- asking ---- */

/* The calls below are for clients; each connects anew. The path must be granted by the library
 * with the inode that stat(2) shows to the test, and printed by `openc cat` byte for byte; or
 * refused by both, with this errno and reason. */
struct ask {
	const char *socket, *path;
	int flags;
	int error, reason;   /* error 0: granted */
	struct stat st;	     /* when granted: taken by ask_for() */
	const char *content; /* when granted: what `openc cat` must print; NULL: do not cat */
};
void ask_for(const struct opend *o, struct who who, const char *path, int flags,
	     const char *content);
void ask_refused(const struct opend *o, struct who who, const char *path, int flags, int error,
		 int reason);

/* A connection of the library that fails the test if it cannot be had. */
struct openc_conn *connect_to(const char *socket);
/* One request: errno, 0 for granted; the descriptor is closed. */
int verdict(struct openc_conn *c, const char *path, int flags);

/* ---- raw frames ---- */

/* A connection without the library. Descriptors that came and belong to a later frame queue up. */
struct raw {
	int fd;
	size_t n_fds;
	int fds[1024];
};
struct raw raw_connect(const char *socket);
/* No descriptor may be left in the queue. */
void raw_close(struct raw *r);
void raw_send(struct raw *r, const void *buf, size_t len);
/* An OPEN frame into buf (WIRE_REQUEST_MAX); its size. */
size_t raw_open(void *buf, uint64_t id, const char *path, int flags);
/* Receives one whole frame into buf (WIRE_REPLY_MAX) within msec. Returns its size, 0 at end of
 * file, -ETIMEDOUT, -ECONNRESET ... *ret_fd: the descriptor that belongs to it, or -1. */
int raw_recv(struct raw *r, void *buf, int *ret_fd, int msec);
/* The same, which must be the RESULT for id (0: for any). Its text is valid until the next call. */
struct wire_outcome raw_result(struct raw *r, uint64_t id, int *ret_fd);
/* Sends one OPEN and wants its file: the connection works. */
void raw_works(struct raw *r, uint64_t id, const char *path);
/* Whether the server ended the connection within msec, and the reason of its GOODBYE or -1. */
bool raw_ended(struct raw *r, int *ret_goodbye, int msec);

#endif
