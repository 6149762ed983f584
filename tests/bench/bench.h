/* SPDX-License-Identifier: MIT
 * The benchmark: what an open through opend costs, beside what a program would do otherwise and
 * what is physically possible, in one run.
 *
 * Each piece of work is done by *agents*, processes of the identity that the work is about, which
 * connect once and then work through a block of operations whenever they are told to. A round is
 * one block of every row, one after the other; so whatever the machine does beside us falls on all
 * rows alike, and a ratio is taken within a round. What is reported is the median of the rounds,
 * with the smallest and the largest.
 *
 * A server is pinned to the core of its clients, unless a row says otherwise. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { ROUNDS_MAX = 99, SLICES_MAX = 64, BATCH = 64, AGENTS_MAX = 64 };

/* Test identities; they need no account. As an ordinary user everybody is this user. */
enum { CALLER = 1000, LENT = 1001, CREATOR = 1002, NEWCOMER = 5000, CROWD = 10000 };

/* Where all of it happens: made before the first fork. */
struct world {
	char tree[64]; /* holds data/, run/, policy of each daemon */
	int cpu;       /* of what is pinned */
	bool root;
};
extern struct world world;

void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
/* A path below the tree; lives for ever. */
char *at(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
uint64_t now_ns(void);
void sleep_ms(unsigned ms);

/* ---- agent.c: processes ---- */

/* What an agent is told to work with. */
struct place {
	const char *socket;	/* of opend; NULL for what brings its own server */
	const char *path;
};

struct work {
	/* In the agent, once: connects. *server: whose processor time belongs to it, or 0. */
	void *(*begin)(const struct place *p, pid_t *server);
	void (*block)(void *state, size_t n);
	void (*after)(void *state, size_t n);	/* NULL, or cleans up, in no figure but CPU */
	size_t granule;				/* n is a multiple of it */
};

struct agent {
	pid_t pid, server;
	int fd;
};

struct sample {
	double wall_ns; /* of a block, from its median slice */
	double cpu_ns;	/* of a block: the agent's own processor time */
};

void pin(bool to_one);
void become(uid_t uid);
struct agent agent_start(const struct work *w, const struct place *p, uid_t uid, bool pinned);
/* n operations in so many slices; both divide well. */
void agent_go(const struct agent *a, size_t n, size_t slices);
struct sample agent_done(const struct agent *a);
/* A child that ends with its parent; 0 in the child. */
pid_t fork_bound(void);
/* In an agent: a server of its own on a socket that is listened on already; its pid. */
pid_t serve_from(int consume_listener, void (*serve)(int fd));
int listen_on(const char *path);
int connect_to(const char *path);
uint64_t cpu_ns_of(pid_t pid);
long pss_kib_of(pid_t pid);
/* Descendants of `root` with this command name, at most max. */
size_t descendants(pid_t root, const char *comm, pid_t *ret, size_t max);
uid_t euid_of(pid_t pid);

/* ---- the work ---- */

extern const struct work direct_open, direct_create;			      /* floor.c */
extern const struct work floor_sync, floor_batch16, floor_batch64, bare_echo; /* floor.c */
extern const struct work bus_peer, bus_daemon;				      /* bus.c */
/* client.c */
extern const struct work opend_sync, opend_async16, opend_batch64, opend_create, opend_denial;
extern const struct work opend_connect, opend_newcomer, opend_think, opend_think_asleep;
extern const struct work opend_asleep;

/* ---- daemon.c: opend ---- */

struct daemon {
	const char *name;
	bool pinned, needs_root;
	const char *settings;
	unsigned others;	/* rules that concern somebody else */
	unsigned own;		/* rules for CALLER that are not used */
	unsigned idle;		/* connections of CALLER that are idle */
	unsigned crowd;		/* other identities with a worker each */
	/* once started */
	pid_t pid;
	const char *socket;
	double pss_before_kib;	/* CALLER's worker, before idle or crowd came */
};
void data_make(void);
void daemon_start(struct daemon *d);
/* Who serves this uid: its worker, and a lender if it has one. */
size_t daemon_servers(const struct daemon *d, uid_t uid, pid_t *ret, size_t max);

/* ---- report.c ---- */

struct series {
	size_t n;
	double v[ROUNDS_MAX];
};
struct summary {
	double median, min, max;
};
struct summary summarize(const struct series *s);
void describe_machine(char *buf, size_t size);

#endif
