/* SPDX-License-Identifier: MIT
 * Settings: what an administrator tunes in opend.conf, as opposed to who may open what. The table
 * behind setting_info() is the only place that knows names, ranges and defaults; the parser, the
 * printer and the test of opend.conf(5) go by it. */
#ifndef OPEND_POLICY_SETTINGS_H
#define OPEND_POLICY_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>
#include "diag.h"

/* Each field is the setting of that name; "user" means the uid a connection was made with. */
struct settings {
	bool require_landlock; /* serve nobody whom Landlock does not confine */
	bool explain_full;     /* tell clients of rules that are not theirs */
	unsigned poll_usec;    /* look for so long before sleeping; 0: sleep at once */
	unsigned connections;  /* of all users together */
	unsigned connections_per_user, workers_per_user, stuck_per_user;
	unsigned frame_seconds; /* from a frame's first byte to its last */
	unsigned denials_burst, denials_per_second; /* records of one identity's denials */
	unsigned idle_seconds; /* that a worker without connections lives on */
	unsigned birth_pause_seconds; /* at most, between births of workers that die young */
};

void settings_default(struct settings *s);

/* Reads the first of `paths` (NULL-terminated, highest precedence first) that exists, and only
 * that; a link to /dev/null exists and sets nothing. The file and the directory it is in must
 * belong to root or `owner` and be writable by nobody else. Blocks on file I/O. 0 and *ret, which
 * is the defaults where nothing else is set; -EBADMSG with at least one error in diags, or -errno,
 * and *ret is what it was. */
int settings_load(const char *const *paths, uid_t owner, struct settings *ret, struct diags *diags);

/* The same from text in memory; `name` is what diagnostics call it. */
int settings_parse(const char *name, const char *text, size_t len, struct settings *ret,
		   struct diags *diags);

/* Writes all settings as a file that reads back to the same. 0 or -EIO. */
int settings_print(const struct settings *s, FILE *f);

/* What is to be known of one setting. */
struct setting_info {
	const char *name;	   /* as in `set NAME value` */
	const char *description;   /* a phrase, no period */
	const char *unit;	   /* "seconds", ...; NULL: its values are words */
	const char *const *words;  /* two of them, the values 0 and 1; NULL: a number */
	unsigned min, max, normal; /* normal: the default */
	/* A reload changes it for the workers and connections that begin after it; workers that
	 * live keep the value of their birth. false: only a restart does. */
	bool reloadable;
};

/* Setting i in the order of opend.conf(5), or NULL behind the last. Static memory. */
const struct setting_info *setting_info(size_t i);

#endif
