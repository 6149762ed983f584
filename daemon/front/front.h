/* SPDX-License-Identifier: MIT
 * opend itself, the front: everything that needs no privilege, in a process that has none. It
 * accepts, has the supervisor say whose a connection is (common/ask.h), finds that identity's
 * worker or has one born, and hands the connection over. It never reads a byte of a client. What it
 * does read: fixed-size records of its workers, over pipes, as hostile input; and one-word commands
 * of root.
 *
 * Rooms: main (options, start and end), privilege (from root or systemd to a supervisor with
 * capabilities and a front without), doors (listening and accepting), clients (connections and
 * their way to a worker), workers (birth, records, death), children (their ends), lenders, refresh,
 * identities (who has what), backoff, store (connections over a restart), confine (its filter), ask
 * (the supervisor), control (reload and status), check (the offline commands), log. */
#ifndef OPEND_FRONT_H
#define OPEND_FRONT_H

#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include <systemd/sd-event.h>
#include "ask.h"
#include "control.h"
#include "peer.h"
#include "policy/settings.h"
#include "stats.h"
#include "util.h"

enum { PATHS_MAX = 16 };

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

/* A uid whose workers die young. */
struct frail {
	uid_t uid;
	unsigned deaths;			/* in a row; 0: none, the place is free */
	uint64_t until;				/* usec: no birth before */
};

/* A connection that the opend before us left in the manager's descriptor store. */
struct kept {
	int fd;
	char door[64];
	SLIST_ENTRY(kept) next;
};

/* What a uid has of us; kept while any identity is its. */
struct account {
	uid_t uid;
	uint32_t n_identities, n_clients;
	uint32_t n_workers, n_serving, n_stuck;	/* all; not leaving; hanging */
};

/* Who came, as the supervisor told. Kept while a worker or a client refers to it. */
struct identity {
	uint32_t number;			/* its name there */
	struct credentials is;
	bool unit_asked;
	const struct door *door;
	char unit[176];
	struct account *account;
	struct worker *worker;			/* who serves it; NULL: to be found */
	uint32_t n_clients;
	LIST_ENTRY(identity) same_worker;
};

enum worker_state { WORKER_BORN, WORKER_READY, WORKER_LEAVING };

struct worker {
	struct server *server;
	pid_t pid;				/* 0: not born yet */
	enum birth_role role;
	enum worker_state state;
	uint32_t slot, instance;
	uid_t uid;
	gid_t gid;
	bool has_root;				/* `as root` rules: a lender may be asked for */
	uint64_t served;			/* usec: since when; 0: it has never been READY */
	bool dead;				/* only its last records are left */
	uint32_t unsettled;			/* how much it was told of what is in force, and has not answered */
	bool awaited;				/* until it is READY, too: another's clients wait for it */
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
	uint32_t heir;				/* instance of who gets what it had read; 0: nobody */
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
	struct worker *worker;			/* NULL: near the end, it is for the store */
	struct identity *identity;		/* NULL: a worker, whose lender we gave it */
	uint32_t flags;
	bool handed_over;
	TAILQ_ENTRY(client) of_worker;
};

struct server {
	struct options opt;
	sd_event *event;
	int supervisor;				/* SOCK_SEQPACKET to it; -1: it has ended */
	pid_t supervisor_pid;
	sd_event_source *supervisor_child;
	bool system;				/* it can become others; else a private opend */
	bool serving, stopping;
	bool units;				/* the kernel can tell a peer's unit */
	bool in_userns;				/* ids that it cannot name show as 65534 */
	uid_t uid;				/* ours, while serving */
	gid_t gid;
	uint32_t generation, n_rules;		/* of the policy; 0: none is valid */
	uint64_t digest;
	bool by_unit;				/* its rules name units */
	struct settings settings;
	struct door doors[PATHS_MAX + 1];	/* the last: the private connection's */
	size_t n_doors;
	struct door control;
	uint32_t store_room;			/* how many connections the manager will still keep */
	SLIST_HEAD(, kept) kept;
	struct identity **identities;		/* by number - 1 */
	uint32_t n_identities;
	void *by_credentials;			/* tsearch(3): of identities, whose unit nobody asked for */
	void *accounts;				/* tsearch(3) */
	struct frail frail[64];
	struct stats retired;			/* of workers that have ended */
	uint64_t exits[3];			/* clean, by signal, by SIGSYS */
	uint64_t loads[2];			/* of the policy: good, refused */
	int audit;				/* SOCK_SEQPACKET to opend-audit */
	int audit_stats_fd;			/* the page in which every opend-audit counts */
	const struct stats *audit_stats;
	sd_event_source *audit_child, *audit_later;
	LIST_HEAD(, worker) workers;
	uint32_t n_unsettled;			/* of them, that are not settled */
	LIST_HEAD(, reply) replies;		/* to root, that wait for that */
	struct client **clients;		/* by the lower half of the cookie */
	uint32_t clients_size, clients_free_hint, n_clients;
	sd_event_source *accept_pause, *housekeeping;
	uint64_t last_complaint;
};

/* privilege.c. The accounts are looked up, the supervisor is started with what we may, and we keep
 * nothing of it. */
int privilege_setup(struct server *s);

/* confine.c: from here on, only what serving takes. */
int front_confine(void);

/* ask.c. Asks and waits for the answer, whose result this is; told may be NULL. Where there is no
 * answer there is no supervisor any more, and we end. */
int ask(struct server *s, const struct question *ask, const int *fds, size_t n, struct told *told);

/* doors.c */
int doors_open(struct server *s);
int doors_serve(struct server *s);
/* Only then are their locks given up: nobody else stands in our place before the old files are gone.
 * removed: the supervisor has removed them. */
void doors_close(struct server *s, bool removed);
int door_listen(struct door *d, const char *path, int type, mode_t mode);
int door_private(struct server *s);
/* A connection that came through d: consumed in any case. */
void door_welcome(struct server *s, int consume_fd, const struct door *d);
/* Out of descriptors or memory: nobody is accepted for a moment; at most one complaint a second. */
void pause_accepting(struct server *s, int error);
/* Says why in the protocol's own words, then drops it. Nothing is read. */
void turn_away(int consume_fd, bool no_rights, int reason);

/* store.c */
void store_find(struct server *s);
/* Whether anything can be kept over a restart. */
bool store_has_room(const struct server *s);
/* Near the end: may c, which no worker has any more, go into the store? Then a place is taken. */
bool store_keep(struct server *s, const struct client *c);
/* Sends those away, or says GOODBYE where the manager does not listen. */
void store_clients(struct server *s);
/* Is this one of the descriptors we were started with from there? */
bool store_is_kept(int fd, const char *name);
int store_found(struct server *s, int consume_fd, const char *name);
/* All that were found are served, each through the door it came by. */
void store_adopt(struct server *s);

/* identities.c: whose a connection is, or NULL. */
struct identity *identity_of(struct server *s, int fd, const struct door *door);
struct account *account_of(struct server *s, uid_t uid);
void account_release(struct server *s, struct account *a);
/* Frees it when nothing refers to it any more. */
void identity_release(struct server *s, struct identity *i);
void identity_serve(struct identity *i, struct worker *w);

/* clients.c */
/* A new connection for whoever serves i. Consumed in any case. */
void client_welcome(struct server *s, struct identity *i, int consume_fd, bool no_rights);
struct client *client_new(struct server *s);
struct client *client_find(struct server *s, const struct worker *w, uint64_t cookie);
void client_attach(struct worker *w, struct client *c);
/* Takes c from its worker, whichever of its lists it is on. */
void client_detach(struct client *c);
/* Finds c, which has no worker, one. A client who cannot be served is told so. */
void client_place(struct server *s, struct client *c, uint32_t carried);
void client_turn_away(struct server *s, struct client *c, int reason);
/* A WIRE_ reason for whom we cannot serve, as far as it is up to us. */
int reason_to_fail(const struct server *s);
/* Takes c off its worker and out of the table, and closes our duplicate. */
void client_close(struct server *s, struct client *c);
/* Hands over what waits, as far as the worker's socket has room. */
void hand_over(struct worker *w);
/* Whatever blocks in between is interrupted after usec, again and again, until called with 0. */
void interrupt_after(unsigned usec);
void close_guarded(int fd, bool no_rights);

/* workers.c */
uint64_t now_usec(void);
/* Who serves i: 0, a positive wire_reason, or -errno. */
int worker_for(struct server *s, struct identity *i, struct worker **ret);
/* For an identity (number), or like another (instance); the lobby for neither. */
int worker_new(struct server *s, enum birth_role role, uid_t payer, uint32_t identity,
	       uint32_t like, struct worker **ret);
/* It serves nobody new from here on, and ends when it has given back what it has, or said GOODBYE
 * to it. */
void leave(struct server *s, struct worker *w, enum down_type how, int successor_end);
int down_send(struct worker *w, struct down *d, int fd);
void workers_policy_changed(struct server *s);
/* All are told to end, and give back what can be stored; when the last has, or STOP_USEC later, so
 * does the loop. */
void workers_end(struct server *s);
/* Whoever has not given back everything by now says GOODBYE. */
void workers_hurry(struct server *s);
void workers_kill(struct server *s);
/* The page that a child shares with us; returns what it is given. Sealed, or it could be shrunk
 * under our eyes. */
int share_stats(const struct stats **ret);
void stats_add(struct stats *sum, const struct stats *page);
/* Ends workers that nobody uses, and tries again to hand over what could not be. */
void workers_keep_house(struct server *s);

/* children.c */
/* Has its death told, for certain. */
int watch_child(struct server *s, sd_event_source **ret, pid_t pid,
		sd_event_child_handler_t on_end, void *data);

/* backoff.c: of births. uid -1: the lobby. */
void backoff_death(struct server *s, const struct worker *w, bool clean);
bool backoff_holds(struct server *s, uid_t uid);

/* lenders.c */
void want_lender(struct server *s, struct worker *w);
/* The lender is confined and ready: its worker gets the other end of the stream. */
void introduce(struct worker *lender);
/* A lender leaves or is dead. One that was never introduced is still being waited for. */
void lender_gone(struct worker *lender);

/* refresh.c. Not more often than once a second. */
void refresh(struct server *s, struct worker *w);
void refresh_failed(struct worker *w);
/* The successor is confined and ready: the two are joined, and the old one gives everything up. */
void succeed(struct server *s, struct worker *fresh);

/* control.c */
int control_serve(struct server *s);
int control_ask(const char *path, const char *word, FILE *out);
int policy_reload(struct server *s, int report_fd);
int do_reload(struct server *s, FILE *out);
/* A worker has been told of what is in force, to which it will say SETTLED; or is awaited. */
void reload_unsettled(struct server *s, struct worker *w);
/* It has said so n times, or READY; or is no more. */
void reload_settled(struct server *s, struct worker *w, uint32_t n);
/* status.c */
int do_status(struct server *s, FILE *out);
void notify_status(const struct server *s, const char *prefix);
void notify(const char *state);
/* Descriptors too; > 0 when they have been sent. */
int notify_with_fds(const char *state, const int *fds, unsigned n);

/* check.c: offline commands; return an exit status. */
int check_policy(const char *const *paths, const char *const *config, bool verbose);
int print_policy(const char *const *paths);

/* audit.c: opend-audit is started, and started again when it dies. */
int audit_start(struct server *s);
/* Tells it whose pipe this is. */
void audit_introduce(struct server *s, const struct worker *w);
void audit_end(struct server *s);

/* log.c: one line on stderr, with a <N> prefix under systemd. Bytes that are not printable ASCII
 * are escaped. */
void say(int priority, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* With a MESSAGE_ID of messages.h, for the journal. */
void say_event(const char *id, int priority, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
