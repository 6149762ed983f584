/* SPDX-License-Identifier: MIT
 * The policy, and what of it applies to whom. */
#include <errno.h>
#include <fcntl.h>
#include "supervisor.h"

/* What everybody is told when `set explain full`: the whole policy. */
static void keep_rules(struct supervisor *s)
{
	_cleanup_fclose_ FILE *f = NULL;

	free(take_ptr(s->rules));
	s->rules_len = 0;
	if (!s->settings.explain_full)
		return;
	f = open_memstream(&s->rules, &s->rules_len);
	if (f)
		policy_print(s->policy, f);
}

static int load(struct supervisor *s, FILE *report)
{
	const struct policy_options options = { .resolve_names = true,
						.units = s->units,
						.owner = s->system ? 0 : geteuid() };
	struct settings settings = s->settings;
	struct policy *fresh = NULL;
	struct diags diags = { 0 };
	int r = settings_load(s->config_paths, options.owner, &settings, &diags);

	if (r == 0)
		r = policy_load(s->policy_paths, &options, &diags, &fresh);
	diags_print(&diags, report, false);
	diags_print_summary(&diags, report);
	diags_deinit(&diags);
	if (r < 0)
		return r;
	s->settings = settings;
	policy_free(s->policy);
	s->policy = fresh;
	s->generation++;
	s->digest = policy_digest(fresh);
	keep_rules(s);
	return 0;
}

/* All or nothing: a policy with an error is not loaded, and what was there stays. */
int policy_reload(struct supervisor *s, int report_fd, struct told *told)
{
	_cleanup_close_ int fd = fcntl(report_fd, F_DUPFD_CLOEXEC, 0);
	_cleanup_fclose_ FILE *report = fd < 0 ? NULL : fdopen(fd, "w");
	int r = report ? 0 : -errno;

	if (r == 0) {
		take_fd(&fd);
		r = load(s, report);
	}
	if (r < 0 && report && r != -EBADMSG)
		fprintf(report, "cannot load the policy: %s.", strerror(-r));
	if (r < 0 && report && s->policy)
		fprintf(report, " Policy not loaded; still running generation %u.\n",
			s->generation);
	else if (r < 0 && report)
		fprintf(report, " Policy not loaded; everything is refused.\n");
	else if (report)
		fprintf(report, "Generation %u loaded: %zu rules.\n", s->generation,
			policy_n_rules(s->policy));
	told->settings = s->settings;
	told->generation = s->generation;
	told->digest = s->digest;
	told->by_unit = units_matter(s);
	told->all_rules = s->policy ? (uint32_t)policy_n_rules(s->policy) : 0;
	return r;
}

bool units_matter(const struct supervisor *s)
{
	return s->units && s->policy && policy_uses_units(s->policy);
}

/* A private opend is its user and becomes nobody else; whoever differs gets the lobby. */
static bool can_be(const struct supervisor *s, const struct identity *i)
{
	_cleanup_(credentials_deinit) struct credentials own = { .uid = (uid_t)-1 };

	return s->system || (credentials_own(&own) == 0 && credentials_compare(&own, &i->is) == 0);
}

int part_for(const struct supervisor *s, const struct identity *i, enum policy_part which,
	     struct part *ret)
{
	const struct policy_subject who = { .uid = i->is.uid,
					    .gid = i->is.gid,
					    .groups = i->is.groups,
					    .n_groups = i->is.n_groups,
					    .unit = i->unit[0] ? i->unit : NULL,
					    .via = i->door[0] ? i->door : NULL };

	*ret = (struct part){ 0 };
	if (s->policy && can_be(s, i))
		return policy_print_effective(s->policy, &who, which, &ret->text, &ret->len,
					      &ret->n, &ret->n_root);
	ret->text = strdup("");
	return ret->text ? 0 : -ENOMEM;
}

/* A lobby serves whoever has no rules; a worker, whoever has its rules and its credentials. One
 * born without any policy gives another reason than one with. */
static bool fits(const struct supervisor *s, const struct child *c, const struct identity *i,
		 const struct part *p)
{
	if (c->role == BIRTH_LENDER || c->no_policy != !s->policy || c->text_len != p->len ||
	    memcmp(c->text, p->text, p->len))
		return false;
	if (p->n == 0 || c->role == BIRTH_LOBBY)
		return p->n == 0 && c->role == BIRTH_LOBBY;
	return credentials_compare(&c->is, &i->is) == 0;
}

int policy_fit(const struct supervisor *s, const struct identity *i, uint32_t instance,
	       struct told *told)
{
	struct child *c;
	struct part p;
	int r = part_for(s, i, POLICY_CALLER, &p);

	if (r < 0)
		return r;
	told->rules = (uint32_t)p.n;
	told->root_rules = (uint32_t)p.n_root;
	/* Rules by unit have come, and nobody asked for this one's when it connected. */
	told->anew = !i->unit_asked && units_matter(s);
	LIST_FOREACH (c, &s->children, all)
		if (fits(s, c, i, &p)) {
			if (!told->instance)
				told->instance = c->instance;
			told->fits |= c->instance == instance;
			c->generation = s->generation;
		}
	free(p.text);
	return 0;
}
