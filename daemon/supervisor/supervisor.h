/* SPDX-License-Identifier: MIT
 * opend, the supervisor: the only part that can become somebody else, and so the part that never
 * reads a byte of a client. It accepts, asks the kernel who the peer is, finds or starts that
 * identity's worker and hands the connection over. What it does read: fixed-size records of its
 * workers, over pipes, as hostile input; and one-word commands of root.
 *
 * Rooms: main (options, start and end), privilege (becoming `opend`), doors (listening and
 * accepting), peer (identities), workers (birth, adoption, death), control (reload and status),
 * check (the offline commands), log. */
#ifndef OPEND_SUPERVISOR_H
#define OPEND_SUPERVISOR_H

#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-event.h>
#include "control.h"
#include "policy/policy.h"
#include "policy/settings.h"
#include "stats.h"
#include "util.h"

enum { PATHS_MAX = 16, GROUPS_MAX = 65536 };

struct options {
	const char *listen[PATHS_MAX + 1];	/* [NAME=]PATH */
	const char *policy[PATHS_MAX + 1];
	const char *config[PATHS_MAX + 1];
	const char *control, *user, *audit_user, *worker_ids;
	unsigned landlock_max;
	bool require_landlock, verbose;
	int private_fd;				/* -1: none */
};

struct door {
	int fd;
	char name[64];
	char *path, *lock_path;			/* ours to remove; NULL: socket activation */
	int lock_fd;
	bool no_rights;				/* SO_PASSRIGHTS=0 is in force */
	sd_event_source *source;
};

/* What a uid has of us; kept while any identity is its. */
struct account {
	uid_t uid;
	uint32_t n_identities, n_clients;
	uint32_t n_workers, n_serving, n_stuck;	/* all; not leaving; hanging */
};

/* Who came. Groups are sorted. Kept while a worker or a client refers to it. */
struct identity {
	uid_t uid;
	gid_t gid, *groups;
	uint32_t n_groups;
	const struct door *door;
	char unit[176];
	struct account *account;
	struct worker *worker;			/* who serves it; NULL: to be found */
	uint32_t n_clients;
	bool unit_asked;			/* unit is what the kernel said, "" for none */
	LIST_ENTRY(identity) same_worker;
};

enum worker_state { WORKER_BORN, WORKER_READY, WORKER_LEAVING };

struct worker {
	struct supervisor *supervisor;
	pid_t pid;
	enum birth_role role;
	enum worker_state state;
	uint32_t slot, instance;
	uid_t uid;
	gid_t gid, *groups;
	uint32_t n_groups;
	char *text;				/* its policy */
	size_t text_len;
	bool has_root;				/* `as root` rules: a lender may be asked for */
	bool writes;				/* a lender: with CAP_DAC_OVERRIDE */
	bool no_policy;				/* born when there was none */
	bool dead;				/* only its last records are left */
	int down, up, audit;			/* audit: reading end, for an opend-audit to come */
	const struct stats *stats;		/* its page; a worker's word */
	struct account *account;		/* who pays for it; NULL: everybody (lobby) */
	uint64_t stuck_since;			/* usec; 0: not stuck */
	unsigned landlock_abi, confinement;
	sd_event_source *child, *records, *writable;
	uint32_t n_clients;
	uint64_t idle_since;			/* usec, CLOCK_MONOTONIC; while n_clients is 0 */
	LIST_HEAD(, identity) identities;
	TAILQ_HEAD(, client) clients, waiting;	/* handed over; not yet */
	struct worker *lender, *borrower;	/* a worker's lender; a lender's worker */
	struct worker *successor, *predecessor;	/* while one is refreshed */
	uint64_t born, left;			/* usec; left: since when it is LEAVING */
	uint64_t lender_born;			/* of the last lender it got */
	bool lender_due;			/* it asked too soon after that */
	sd_event_source *refresh_later;		/* it is too young for one */
	int lender_end;				/* stream end for a lender that is being born */
	LIST_ENTRY(worker) all;
};

struct client {
	int fd;					/* our duplicate; -1 once only a lender's stream */
	uint64_t cookie;
	struct worker *worker;
	struct identity *identity;		/* NULL: a worker, whose lender we gave it */
	uint32_t flags;
	bool handed_over;
	TAILQ_ENTRY(client) of_worker;
};

struct supervisor {
	struct options opt;
	sd_event *event;
	struct policy *policy;			/* NULL: none is valid */
	char *rules;				/* with `set explain full`: its text; else NULL */
	size_t rules_len;
	uint32_t generation, instances;
	bool system;				/* can become others; else a private opend */
	bool stopping;
	bool in_userns;				/* ids that it cannot name show as 65534 */
	bool units;				/* the kernel can tell a peer's unit */
	uid_t uid;				/* ours, while serving */
	gid_t gid;
	uint32_t slot_first, slot_count, slot_next;
	struct settings settings;
	bool one_cpu;				/* looking before sleeping is of no use */
	int worker_exe, audit_exe, null_fd;
	struct door doors[PATHS_MAX + 1];	/* the last: the private connection's */
	size_t n_doors;
	struct door control;
	void *identities, *accounts;		/* tsearch(3) */
	struct stats retired;			/* of workers that have ended */
	uint64_t exits[3];			/* clean, by signal, by SIGSYS */
	uint64_t loads[2];			/* of the policy: good, refused */
	pid_t audit_pid;
	int audit;				/* SOCK_SEQPACKET to opend-audit */
	uid_t audit_uid;
	gid_t audit_gid;
	sd_event_source *audit_child, *audit_later;
	LIST_HEAD(, worker) workers;
	struct client **clients;		/* by the lower half of the cookie */
	uint32_t clients_size, clients_free_hint, n_clients;
	sd_event_source *accept_pause, *housekeeping;
	uint64_t last_complaint;
};

/* privilege.c. The accounts are looked up and the step from root to `opend` is taken. */
int privilege_setup(struct supervisor *s);
/* In the child before exec: what becomes of descriptors and signals; does not return. fds[i]
 * becomes descriptor 3 + i, -1 leaves a hole; `exe` is executed. */
void child_exec(const struct supervisor *s, int exe, const int *fds, size_t n, char *const argv[],
		bool keep_stderr) __attribute__((noreturn));
/* In the child before exec: what the worker needs for becoming its client. */
int privilege_hand_on(const struct supervisor *s, bool read_search, bool override);
/* In the child before exec: nothing, for good. */
int privilege_drop(void);
/* At the very end: our socket files stand in directories of root. */
void privilege_for_cleanup(const struct supervisor *s);

/* doors.c */
int doors_open(struct supervisor *s);
int doors_serve(struct supervisor *s);
void doors_close(struct supervisor *s);
int door_listen(struct door *d, const char *path, int type, mode_t mode);
int door_private(struct supervisor *s);
/* Out of descriptors or memory: nobody is accepted for a moment; at most one complaint a second. */
void pause_accepting(struct supervisor *s, int error);

/* peer.c: returns the identity of a connection (s's, cached), or NULL and errno. */
struct identity *peer_identity(struct supervisor *s, int fd, const struct door *door);
struct account *account_of(struct supervisor *s, uid_t uid);
void account_release(struct supervisor *s, struct account *a);
/* Frees it when nothing refers to it any more. */
void identity_release(struct supervisor *s, struct identity *i);
void identity_serve(struct identity *i, struct worker *w);

/* workers.c */
/* Says why in the protocol's own words, then drops it. Nothing is read. */
void turn_away(int consume_fd, bool no_rights, int reason);
/* A new connection for whoever serves i. Consumed in any case. */
void client_welcome(struct supervisor *s, struct identity *i, int consume_fd, bool no_rights);
void workers_policy_changed(struct supervisor *s);
/* All are told to end; when the last has, or STOP_USEC later, so does the loop. */
void workers_end(struct supervisor *s);
void workers_kill(struct supervisor *s);
void stats_add(struct stats *sum, const struct stats *page);
/* Ends workers that nobody uses, and tries again to hand over what could not be. */
void workers_keep_house(struct supervisor *s);
/* Whatever blocks in between is interrupted after usec, again and again, until called with 0. */
void interrupt_after(unsigned usec);
void close_guarded(int fd, bool no_rights);

/* control.c */
int control_serve(struct supervisor *s);
int control_ask(const char *path, const char *word, FILE *out);
int policy_reload(struct supervisor *s, FILE *report);
int do_reload(struct supervisor *s, FILE *out);
/* status.c */
int do_status(struct supervisor *s, FILE *out);
void notify_status(const struct supervisor *s, const char *prefix);
void notify(const char *state);

/* check.c: offline commands; return an exit status. */
int check_policy(const char *const *paths, const char *const *config, bool verbose);
int print_policy(const char *const *paths);

/* audit.c: opend-audit is started, and started again when it dies. */
int audit_start(struct supervisor *s);
/* Tells it whose pipe this is. */
void audit_introduce(struct supervisor *s, const struct worker *w);
void audit_end(struct supervisor *s);

/* log.c: one line on stderr, with a <N> prefix under systemd. Bytes that are not printable ASCII
 * are escaped. */
void say(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* With a MESSAGE_ID of messages.h, for the journal. */
void say_event(const char *id, int priority, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
