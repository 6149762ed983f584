/* SPDX-License-Identifier: MIT
 * The policy: one parser, one printer, one evaluator, for supervisor, worker, lender, --check,
 * expect and explain alike. opend.policy(5) is the language.
 *
 * Nothing here logs, prints to a terminal, exits, or reads the environment or the locale.
 * Functions return 0 or a negative errno; what is wrong with a *text* is no error of the call but
 * a list of diagnostics (diag.h) and -EBADMSG. */
#ifndef OPEND_POLICY_H
#define OPEND_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>
#include "../util.h"
#include "../wire.h"
#include "diag.h"

/* Types of file, as bits: "type regular,fifo". */
enum policy_type {
	POLICY_REGULAR = 1,
	POLICY_DIRECTORY = 2,
	POLICY_FIFO = 4,
	POLICY_CHAR = 8,
	POLICY_BLOCK = 16,
	POLICY_DEFAULT_TYPES = POLICY_REGULAR | POLICY_DIRECTORY,
};

/* Who asks. Borrowed memory throughout. */
struct policy_subject {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* supplementary, any order; gid need not be among them */
	size_t n_groups;
	const char *unit; /* system unit with suffix, or NULL: not known */
	const char *via;  /* name of the door, or NULL: none */
};

struct policy; /* immutable once loaded */

struct policy_options {
	/* Resolve account names (getpwnam, getgrnam: may block, may allocate). Without it only
	 * numeric ids are accepted, which is what the printer writes for a worker. */
	bool resolve_names;
	/* This kernel can tell a peer's unit (SO_PEERPIDFD, Linux 6.5). Without it an allow by
	 * unit is a warning and matches nobody, a deny by unit is an error. */
	bool units;
	/* Take a rule's origin from the comment that policy_print_effective() writes behind it,
	 * instead of from the place where the text stands. For worker and lender only. */
	bool origins;
	/* What `~` stands for: an absolute, canonical path, taken literally. NULL: patterns with
	 * `~` are kept and match nothing (supervisor), or are expanded by policy_effective(). */
	const char *home;
	/* Who may own policy files besides root, and who must be able to be trusted with them. */
	uid_t owner;
	/* Warn also of rules that say what they say but hardly what was meant (opend --check):
	 * `advice` judges the text alone; `look` goes to the file system for symlinks, directories
	 * and mounts as well, may block there, and finds errors too (a deny behind a symlink). */
	bool advice, look;
};

/* Loads a policy from `paths`, a NULL-terminated list, highest precedence first: directories
 * (their *.policy files: same name replaces, a link to /dev/null masks, byte-wise order; a
 * directory that does not exist is empty) or single files. All or nothing. Blocks on file I/O.
 * 0 and *ret (free with policy_free), -EBADMSG with at least one error in diags, or -errno.
 * Failing `expect` lines are errors. Warnings are in diags either way. */
int policy_load(const char *const *paths, const struct policy_options *opt, struct diags *diags,
		struct policy **ret);

/* The same from text in memory; `name` is what diagnostics call it. No file is touched, but where
 * names are resolved an expectation about a user may ask where `~` leads. */
int policy_parse(const char *name, const char *text, size_t len, const struct policy_options *opt,
		 struct diags *diags, struct policy **ret);

struct policy *policy_free(struct policy *p);
DEFINE_CLEANUP(struct policy *, policy_free)

size_t policy_n_rules(const struct policy *p);
/* Does any rule name a unit? If not, nobody need find out a peer's. */
bool policy_uses_units(const struct policy *p);
/* "file:line" of rule i (0 ... n_rules-1, load order), p's. */
const char *policy_origin(const struct policy *p, size_t i);

enum policy_part {
	POLICY_CALLER = 1, /* what a worker needs: everything that can apply */
	POLICY_LENDER = 2, /* what a lender needs: `as root` allows, and the denies */
};

/* The access that the `as caller` (root false) or the `as root` allows grant, all together and
 * wherever it is; homes need not be known for it. */
unsigned policy_granted(const struct policy *p, bool root);

/* The rules that can apply to subject s, as text that policy_parse() with .origins reads back:
 * ids numeric, one rule a line, origin in a comment. *ret is malloc'ed; *n counts the rules in it,
 * *n_root the `as root` allows among them. n, n_root may be NULL. Deterministic: equal rules give
 * equal bytes. */
int policy_print_effective(const struct policy *p, const struct policy_subject *s,
			   enum policy_part part, char **ret, size_t *ret_len, size_t *n,
			   size_t *n_root);

/* The whole policy as text, merged, with origins in comments; parses back to the same. */
int policy_print(const struct policy *p, FILE *f);

/* A number that two policies with the same text, as printed, share; 0: out of memory. No secret and
 * no proof: it tells an edited policy from the one that runs. */
uint64_t policy_digest(const struct policy *p);

/* The same selection as an object, for explain and expect: no text in between. `home` expands
 * `~`, may be NULL. */
int policy_effective(const struct policy *p, const struct policy_subject *s, enum policy_part part,
		     const char *home, struct policy **ret);

/* What is asked of an *effective* policy: every rule in it applies to the asker. */
struct policy_query {
	const char *path; /* absolute, normal: no ".", "..", "//", trailing "/" ("/" itself ok) */
	size_t len;
	/* Bits of enum wire_access, at least one. With CREATE (a file that is not there yet) the
	 * modes it is to be opened in are named too: a deny of one of them applies, while an allow
	 * needs CREATE alone. LIST is for directories; the others never open one. */
	unsigned access;
	unsigned type;	  /* one bit of enum policy_type; 0: not known yet */
	unsigned links;	  /* st_nlink of a regular file; 0: not known yet */
	bool caller_only; /* leave `as root` rules out */
};

struct policy_verdict {
	int reason;	   /* WIRE_OK, NO_RULE, DENIED, ACCESS, TYPE or HARD_LINK */
	unsigned lacked;   /* with ACCESS: the bits that no allow grants (if each is granted by
			    * some rule but none covers all: all of query.access) */
	unsigned types;	   /* with OK: the types that the matching allows name, together */
	bool as_root, log; /* with OK: among the matching allows */
	bool single_link;  /* with OK: every matching allow demands it */
	bool mixed;	   /* with OK: matching allows differ in as, log, type or single-link:
			    * ask again when type and links are known */
	bool quiet;	   /* with DENIED */
	int rule;	   /* that decided; with NO_RULE and ACCESS the nearest one; or -1 */
};

/* The evaluator. Deny wins, then allow, else denied; one allow must cover the whole access. Pure:
 * no allocation, no system call, any bytes in path. */
void policy_decide(const struct policy *effective, const struct policy_query *q,
		   struct policy_verdict *ret);

/* May the resolver look at what stands at this path (read a symlink, learn that it is a
 * directory)? Only when it is a proper ancestor of something granted, or some access to it would
 * be granted (denies considered). Pure, like policy_decide(). */
bool policy_may_look(const struct policy *effective, const char *path, size_t len);

/* Is any access to any directory above this path granted, the root directory left aside? Pure, like
 * policy_decide(), and where nothing is, one walk: that is what a refusal costs. */
bool policy_grants_above(const struct policy *effective, const char *path, size_t len);

/* One base of the hull: what Landlock is told. */
struct policy_base {
	const char *path; /* NUL-terminated; the longest literal prefix of a pattern */
	unsigned access;  /* bits of enum wire_access that hold at or below path */
	unsigned types;	  /* bits of enum policy_type the rules name */
	bool exact;	  /* the rule names just this object: if it is a directory, only LIST
			   * of it is meant. Never set together with CREATE: a file to be
			   * created has its parent directory as base. */
	bool covered;	  /* another base above has at least these rights */
};

/* The hull of an effective policy: bases of the `as caller` rules (root false) or of the `as root`
 * rules (root true; then with LIST of every directory, because a lender resolves only through
 * directories that it may open), merged by path, in byte-wise order; n may be 0. The array is
 * malloc'ed for the caller (plain free), the paths in it are p's. */
int policy_plan(const struct policy *effective, bool root, struct policy_base **ret, size_t *ret_n);

#endif
