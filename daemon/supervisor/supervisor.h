/* SPDX-License-Identifier: MIT
 * opend-supervisor: the only process that can become somebody else, and so as little code as can
 * be. It serves one peer, opend, which has no capability (common/ask.h): it reads the policy, asks
 * the kernel whose a connection is, and has workers born as what the kernel said, with the rules
 * that the policy gives them. It never reads a byte of a client, and of a worker nothing at all.
 *
 * Rooms: main (start), requests (what it is asked), policy (what applies to whom), peer
 * (identities), birth (workers, lenders, lobbies, opend-audit), privilege (capabilities), confine
 * (its filter), exec. */
#ifndef OPEND_SUPERVISOR_H
#define OPEND_SUPERVISOR_H

#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>
#include "ask.h"
#include "control.h"
#include "peer.h"
#include "policy/policy.h"
#include "util.h"

enum { LISTS_MAX = 32 };

/* Who came, by the kernel's word. Kept until the front forgets it. */
struct identity {
	uint32_t number;
	struct credentials is;
	bool unit_asked;			/* unit is what the kernel said, "" for none */
	char door[64], unit[176];
};

/* A process that was born, until the front has buried it. */
struct child {
	uint32_t instance, slot;
	enum birth_role role;
	int pidfd;
	struct credentials is;
	uint32_t generation;			/* the last that gives it these rules, as far as was asked */
	char *text;				/* its policy */
	size_t text_len;
	bool no_policy;				/* born when there was none */
	LIST_ENTRY(child) all;
};

struct supervisor {
	const char *policy_paths[LISTS_MAX + 1], *config_paths[LISTS_MAX + 1];
	const char *sockets[2 * LISTS_MAX + 1];	/* files to remove at the end */
	const char *doors[LISTS_MAX + 1];	/* their names, as socket_name() tells */
	size_t n_policy, n_config, n_sockets, n_doors;
	bool system;				/* can become others; else a private opend */
	bool in_userns;				/* ids that it cannot name show as 65534 */
	bool units;				/* the kernel can tell a peer's unit */
	bool require_landlock;
	bool poll;				/* looking again before sleeping is worth it here */
	unsigned landlock_max;
	uint32_t slot_first, slot_last, slot_next;
	uid_t audit_uid;
	gid_t audit_gid;
	struct policy *policy;			/* NULL: none is valid */
	struct settings settings;
	char *rules;				/* with `set explain full`: its text; else NULL */
	size_t rules_len;
	uint32_t generation, instances;
	uint64_t digest;			/* of the policy */
	struct identity **identities;		/* by number - 1 */
	uint32_t n_identities;
	void *by_credentials;			/* tsearch(3) */
	LIST_HEAD(, child) children;		/* youngest first */
};

/* Rules for one process: a worker's, or a lender's. */
struct part {
	char *text;
	size_t len, n, n_root;
};

/* requests.c: waits for one and answers it. 0, or -errno: there is no more opend. */
int serve_one(struct supervisor *s);

/* policy.c */
int policy_reload(struct supervisor *s, int report_fd, struct told *told);
int part_for(const struct supervisor *s, const struct identity *i, enum policy_part which,
	     struct part *ret);
int policy_fit(const struct supervisor *s, const struct identity *i, uint32_t instance,
	       struct told *told);

/* Does the policy go by them, and can the kernel tell? */
bool units_matter(const struct supervisor *s);

/* peer.c */
int peer_identity(struct supervisor *s, int fd, const char *door, struct told *told);
struct identity *identity_find(const struct supervisor *s, uint32_t number);
void identity_forget(struct supervisor *s, struct identity *i);

/* birth.c. fds: its ends of down, up, stats and audit; or of peers and stats, for opend-audit. */
int birth(struct supervisor *s, const struct question *ask, const int *fds, size_t n,
	  struct told *told);
struct child *child_find(const struct supervisor *s, uint32_t instance);
int child_kill(const struct child *c);
void child_bury(struct child *c);

/* privilege.c. Each for a child before exec, but lower and for_cleanup, which are ours. */
int privilege_lower(void);
int privilege_hand_on(bool system, bool read_search, bool override);
int privilege_drop(void);
/* For a moment, near the end: socket files stand in directories of root. */
void privilege_for_cleanup(void);

/* confine.c */
int supervisor_confine(void);

/* exec.c, which opend shares. In a child: what becomes of descriptors and signals; does not
 * return. fds[i] becomes descriptor 3 + i; `exe` is executed. */
void child_exec(int exe, int null_fd, const int *fds, size_t n, char *const argv[],
		bool keep_stderr) __attribute__((noreturn));

#endif
