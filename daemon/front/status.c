/* SPDX-License-Identifier: MIT
 * What status tells, as OpenMetrics text, which openc status(1) prints for people or passes on.
 * The sums are of the workers' own pages, so they are hints; who is who is in the comments at the
 * end. No uid is a label: their number is not ours to bound. */
#include <inttypes.h>
#include "messages.h"
#include "front.h"
#include "wire.h"

static void type_of(FILE *out, const char *name, const char *type)
{
	fprintf(out, "# TYPE %s %s\n", name, type);
}

static void gauge(FILE *out, const char *name, uint64_t value)
{
	type_of(out, name, "gauge");
	fprintf(out, "%s %" PRIu64 "\n", name, value);
}

static void labelled(FILE *out, const char *name, const char *label, const char *word,
		     uint64_t value)
{
	fprintf(out, "%s{%s=\"%s\"} %" PRIu64 "\n", name, label, word, value);
}

static void requests(const struct stats *sum, FILE *out)
{
	type_of(out, "opend_requests", "counter");
	labelled(out, "opend_requests_total", "op", "open", sum->opens);
	labelled(out, "opend_requests_total", "op", "info", sum->infos);
	labelled(out, "opend_requests_total", "op", "rules", sum->others);
	type_of(out, "opend_grants", "counter");
	labelled(out, "opend_grants_total", "as", "caller", sum->granted);
	labelled(out, "opend_grants_total", "as", "root", sum->lent);
	type_of(out, "opend_denials", "counter");
	for (int i = 1; i < STATS_REASONS; i++)
		if (sum->denied[i])
			labelled(out, "opend_denials_total", "reason", reason_word(i),
				 sum->denied[i]);
	type_of(out, "opend_audit_dropped", "counter");
	fprintf(out, "opend_audit_dropped_total %" PRIu64 "\n", sum->audit_dropped);
}

static const char *state_of(const struct worker *w)
{
	static const char *const states[] = { "born", "ready", "leaving" };

	return w->stuck_since ? "stuck" : states[w->state];
}

static void processes(const struct server *s, FILE *out)
{
	static const char *const states[] = { "born", "ready", "leaving", "stuck" };
	static const char *const causes[] = { "clean", "signal", "seccomp" };

	type_of(out, "opend_workers", "gauge");
	for (size_t i = 0; i < ELEMENTSOF(states); i++) {
		const struct worker *w;
		uint64_t n = 0;

		LIST_FOREACH (w, &s->workers, all)
			n += strcmp(state_of(w), states[i]) == 0;
		labelled(out, "opend_workers", "state", states[i], n);
	}
	type_of(out, "opend_worker_exits", "counter");
	for (size_t i = 0; i < ELEMENTSOF(causes); i++)
		labelled(out, "opend_worker_exits_total", "cause", causes[i], s->exits[i]);
}

/* What is in force on this kernel, at what level. Landlock and seccomp as the last worker that
 * became ready told; before that nothing is known of them. */
static void confinement(const struct server *s, FILE *out)
{
	const struct worker *w;
	char level[16] = "unknown";
	const char *filter = "unknown";

	LIST_FOREACH (w, &s->workers, all) {
		if (w->state == WORKER_BORN)
			continue;
		snprintf(level, sizeof level, "%u", w->landlock_abi);
		filter = w->confinement & CONFINED_WIDE_FILTER ? "wide" : "strict";
		break;
	}
	type_of(out, "opend_confinement", "gauge");
	fprintf(out, "opend_confinement{mechanism=\"identity\",level=\"%s\"} 1\n",
		s->system ? "all" : "own");
	fprintf(out, "opend_confinement{mechanism=\"landlock\",level=\"%s\"} 1\n", level);
	fprintf(out, "opend_confinement{mechanism=\"seccomp\",level=\"%s\"} 1\n", filter);
	fprintf(out, "opend_confinement{mechanism=\"units\",level=\"%s\"} 1\n",
		s->units ? "yes" : "no");
	fprintf(out, "opend_confinement{mechanism=\"passrights\",level=\"%s\"} 1\n",
		s->n_doors && s->doors[0].no_rights ? "refused" : "guarded");
}

int do_status(struct server *s, FILE *out)
{
	static const char *const roles[] = { "worker", "lender", "lobby" };
	struct stats sum = { 0 };
	const struct worker *w;
	uint32_t links = 0;

	stats_add(&sum, &s->retired);
	stats_add(&sum, s->audit_stats);
	LIST_FOREACH (w, &s->workers, all) {
		stats_add(&sum, w->stats);
		links += w->role == BIRTH_LENDER ? w->n_clients : 0;
	}
	type_of(out, "opend_build", "info");
	fprintf(out, "opend_build_info{version=\"%s\"} 1\n", OPEND_VERSION_STRING);
	gauge(out, "opend_policy_generation", s->generation);
	gauge(out, "opend_policy_rules", s->n_rules);
	type_of(out, "opend_policy", "info");
	fprintf(out, "opend_policy_info{digest=\"%016" PRIx64 "\"} 1\n", s->digest);
	type_of(out, "opend_policy_loads", "counter");
	labelled(out, "opend_policy_loads_total", "result", "loaded", s->loads[0]);
	labelled(out, "opend_policy_loads_total", "result", "rejected", s->loads[1]);
	gauge(out, "opend_connections", s->n_clients - links);
	requests(&sum, out);
	processes(s, out);
	confinement(s, out);
	LIST_FOREACH (w, &s->workers, all)
		fprintf(out,
			"# worker pid=%d role=%s state=%s uid=%u gid=%u slot=%u connections=%u\n",
			(int)w->pid, roles[w->role], state_of(w), w->uid, w->gid, w->slot,
			w->n_clients);
	fprintf(out, "# EOF\n");
	return 0;
}
