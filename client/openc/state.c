/* SPDX-License-Identifier: MIT
 * What openc status makes of the figures of opend's control socket: a page for people, or JSON. The
 * figures come as OpenMetrics text, of which this reads what opend writes: samples of whole numbers
 * with at most two labels, and a comment for each worker. Figures of a newer opend are left out. */
#include <inttypes.h>
#include "ask.h"
#include "state.h"

enum { LABELS = 2, SAMPLES = 256, DEGRADED_MAX = 8 };

struct sample {
	const char *name, *word[LABELS]; /* the labels' values, in their order */
	uint64_t value;
};

struct state {
	struct sample samples[SAMPLES];
	size_t n;
	const char *workers[SAMPLES]; /* "pid=1 role=worker ..." */
	size_t n_workers;
};

/* name{label="word",label="word"} value */
static bool parse_sample(char *line, struct sample *s)
{
	char *p = line + strcspn(line, "{ "), *end;

	*s = (struct sample){ .name = line };
	for (size_t i = 0; *p == '{' || *p == ','; i++) {
		*p = 0;
		p = strchr(p + 1, '"');
		if (!p || i == LABELS)
			return false;
		s->word[i] = ++p;
		p = strchr(p, '"');
		if (!p)
			return false;
		*p++ = 0;
	}
	if (*p == '}')
		p++;
	if (*p != ' ')
		return false;
	*p++ = 0;
	s->value = strtoull(p, &end, 10);
	return end != p && *end == 0;
}

static void parse(struct state *state, char *text)
{
	char *line;

	while ((line = strsep(&text, "\n"))) {
		if (strncmp(line, "# worker ", 9) == 0 && state->n_workers < SAMPLES)
			state->workers[state->n_workers++] = line + 9;
		else if (*line != '#' && state->n < SAMPLES &&
			 parse_sample(line, &state->samples[state->n]))
			state->n++;
	}
}

/* The sum of the samples of this name, and of this word where one is given. */
static uint64_t sum(const struct state *state, const char *name, const char *word)
{
	uint64_t n = 0;

	for (size_t i = 0; i < state->n; i++) {
		const struct sample *s = &state->samples[i];

		if (strcmp(s->name, name) == 0 &&
		    (!word || (s->word[0] && strcmp(s->word[0], word) == 0)))
			n += s->value;
	}
	return n;
}

/* The word of the first of this name; with `first`, the second word where that is the first. */
static const char *word_of(const struct state *state, const char *name, const char *first)
{
	for (size_t i = 0; i < state->n; i++) {
		const struct sample *s = &state->samples[i];
		const char *word = s->word[first ? 1 : 0];

		if (strcmp(s->name, name) == 0 && word &&
		    (!first || strcmp(s->word[0], first) == 0))
			return word;
	}
	return "unknown";
}

/* ---- what is not as it could be ---- */

struct degraded {
	const char *what, *why;
};

static const char *why_landlock(const char *level)
{
	unsigned long abi = strtoul(level, NULL, 10);

	if (*level < '0' || *level > '9')
		return NULL;
	if (abi == 0)
		return "this kernel does not use it (lsm= on its command line): a worker that was "
		       "taken over could open whatever its client can";
	if (abi < 3)
		return "before Linux 6.2 it knows no truncation; the workers' filter does";
	if (abi < 5)
		return "before Linux 6.10 it knows no ioctl on devices; the workers' filter does";
	if (abi < 6)
		return "before Linux 6.12 it knows no signals; the workers' filter does";
	return NULL;
}

static size_t find_degraded(const struct state *state, struct degraded *ret)
{
	const char *confinement = "opend_confinement";
	size_t n = 0;

	if (sum(state, "opend_policy_generation", NULL) == 0)
		ret[n++] = (struct degraded){ "policy", "none is valid, so everything is refused; "
							"\"opend --check\" shows why" };
	if (why_landlock(word_of(state, confinement, "landlock")))
		ret[n++] =
			(struct degraded){ "landlock",
					   why_landlock(word_of(state, confinement, "landlock")) };
	if (strcmp(word_of(state, confinement, "seccomp"), "wide") == 0)
		ret[n++] = (struct degraded){ "seccomp", "this is a build with sanitizers, whose "
							 "filter is wide: not for service" };
	if (strcmp(word_of(state, confinement, "units"), "no") == 0)
		ret[n++] = (struct degraded){ "units", "before Linux 6.5 no client's unit can be "
						       "told: an allow to a unit matches nobody" };
	if (strcmp(word_of(state, confinement, "passrights"), "guarded") == 0)
		ret[n++] = (struct degraded){ "passrights",
					      "before Linux 6.16 clients can send descriptors, "
					      "which are thrown away under a timer" };
	return n;
}

/* ---- for people ---- */

/* "word 3, word 4": those of this name that are not 0, or all; with something before and after
 * it if there are any. */
static void list(const struct state *state, const char *name, bool all, const char *before,
		 const char *after)
{
	bool any = false;

	for (size_t i = 0; i < state->n; i++) {
		const struct sample *s = &state->samples[i];

		if (strcmp(s->name, name) != 0 || !s->word[0] || (!s->value && !all))
			continue;
		printf("%s%s %" PRIu64, any ? ", " : before, s->word[0], s->value);
		any = true;
	}
	fputs(any ? after : "", stdout);
}

static void line(const struct state *state, const char *title, const char *name)
{
	printf("%-13s%" PRIu64, title, sum(state, name, NULL));
	list(state, name, false, " (", ")");
	putchar('\n');
}

static void show_confinement(const struct state *state)
{
	const char *before = "";

	printf("%-13s", "confinement");
	for (size_t i = 0; i < state->n; i++) {
		const struct sample *s = &state->samples[i];

		if (strcmp(s->name, "opend_confinement") != 0 || !s->word[1])
			continue;
		printf("%s%s %s", before, s->word[0], s->word[1]);
		before = ", ";
	}
	putchar('\n');
}

static void show(const struct state *state)
{
	struct degraded degraded[DEGRADED_MAX];
	size_t n = find_degraded(state, degraded);

	printf("%-13s%s\n", "opend", word_of(state, "opend_build_info", NULL));
	printf("%-13sgeneration %" PRIu64 ", %" PRIu64 " rules", "policy",
	       sum(state, "opend_policy_generation", NULL), sum(state, "opend_policy_rules", NULL));
	list(state, "opend_policy_loads_total", true, " (", ")\n");
	line(state, "connections", "opend_connections");
	line(state, "requests", "opend_requests_total");
	line(state, "grants", "opend_grants_total");
	line(state, "denials", "opend_denials_total");
	line(state, "workers", "opend_workers");
	printf("%-13s", "ended");
	list(state, "opend_worker_exits_total", true, "", "\n");
	if (sum(state, "opend_audit_dropped_total", NULL))
		line(state, "not recorded", "opend_audit_dropped_total");
	show_confinement(state);
	for (size_t i = 0; i < n; i++)
		printf("%-13s%s: %s\n", i ? "" : "degraded", degraded[i].what, degraded[i].why);
}

/* ---- JSON ---- */

static void json_name(const char *name, const char *before)
{
	fputs(before, stdout);
	json_string(stdout, name);
	putchar(':');
}

static void json_number(const struct state *state, const char *member, const char *name)
{
	json_name(member, ",");
	printf("%" PRIu64, sum(state, name, NULL));
}

/* An object of this name's words. */
static void json_words(const struct state *state, const char *member, const char *name)
{
	const char *before = "";

	json_name(member, ",");
	putchar('{');
	for (size_t i = 0; i < state->n; i++) {
		const struct sample *s = &state->samples[i];

		if (strcmp(s->name, name) != 0 || !s->word[0])
			continue;
		json_name(s->word[0], before);
		if (s->word[1])
			json_string(stdout, s->word[1]);
		else
			printf("%" PRIu64, s->value);
		before = ",";
	}
	putchar('}');
}

/* "pid=1 role=worker": numbers where they are. */
static void json_worker(const char *pairs)
{
	_cleanup_free_ char *copy = strdup(pairs);
	char *rest = copy, *pair;
	const char *before = "";

	putchar('{');
	while ((pair = strsep(&rest, " "))) {
		char *value = strchr(pair, '=');

		if (!value)
			continue;
		*value++ = 0;
		json_name(pair, before);
		json_scalar(stdout, value, true);
		before = ",";
	}
	putchar('}');
}

static void show_json(const struct state *state)
{
	struct degraded degraded[DEGRADED_MAX];
	size_t n = find_degraded(state, degraded);

	json_name("version", "{");
	json_string(stdout, word_of(state, "opend_build_info", NULL));
	json_number(state, "generation", "opend_policy_generation");
	json_number(state, "rules", "opend_policy_rules");
	json_words(state, "loads", "opend_policy_loads_total");
	json_number(state, "connections", "opend_connections");
	json_words(state, "requests", "opend_requests_total");
	json_words(state, "grants", "opend_grants_total");
	json_words(state, "denials", "opend_denials_total");
	json_number(state, "audit_dropped", "opend_audit_dropped_total");
	json_words(state, "workers", "opend_workers");
	json_words(state, "worker_exits", "opend_worker_exits_total");
	json_words(state, "confinement", "opend_confinement");
	json_name("degraded", ",");
	putchar('{');
	for (size_t i = 0; i < n; i++) {
		json_name(degraded[i].what, i ? "," : "");
		json_string(stdout, degraded[i].why);
	}
	putchar('}');
	json_name("processes", ",");
	putchar('[');
	for (size_t i = 0; i < state->n_workers; i++) {
		fputs(i ? "," : "", stdout);
		json_worker(state->workers[i]);
	}
	puts("]}");
}

/* Cuts the text up. */
void state_show(char *text, bool json)
{
	static struct state state;

	parse(&state, text);
	if (json)
		show_json(&state);
	else
		show(&state);
}
