/* SPDX-License-Identifier: MIT
 * Showing hulls. A base that another one covers adds nothing and is not shown. */
#include "home.h"
#include "hull.h"
#include "parse.h"
#include "print.h"
#include "text.h"

static int print_bases(const struct policy *effective, bool root, FILE *f)
{
	_cleanup_free_ struct policy_base *bases = NULL;
	size_t n;
	int r = policy_plan(effective, root, &bases, &n);

	if (r < 0)
		return r;
	if (n)
		fprintf(f, "  %s:\n",
			root ? "lender, permission bits not consulted"
			     : "worker, with the client's own rights");
	for (size_t i = 0; i < n; i++) {
		if (bases[i].covered)
			continue;
		fputs("    ", f);
		print_access(f, policy_base_rights(&bases[i]));
		fputs(bases[i].exact ? " file " : " under ", f);
		text_write(f, bases[i].path, strlen(bases[i].path), 1);
		fputc('\n', f);
	}
	return n > 0;
}

int policy_print_hull(const struct policy *effective, FILE *f)
{
	int worker = print_bases(effective, false, f);
	int lender = worker < 0 ? worker : print_bases(effective, true, f);

	if (lender < 0)
		return lender;
	if (!worker && !lender)
		fputs("  nothing\n", f);
	return ferror(f) ? -EIO : 0;
}

enum { IDENTITIES_MAX = 1000 };

/* One identity: a name of each kind that a rule asks about. */
struct identity {
	const struct name *names[WHO_KINDS];
};

struct identities {
	struct identity list[IDENTITIES_MAX];
	size_t n;
	bool more;
};

static bool same_name(const struct name *a, const struct name *b)
{
	return a == b || (a && b && a->len == b->len && a->id == b->id &&
			  memcmp(a->text, b->text, a->len) == 0);
}

static void add_identity(struct identities *all, const struct identity *one)
{
	for (size_t i = 0; i < all->n; i++) {
		int kind = 0;

		while (kind < WHO_KINDS && same_name(all->list[i].names[kind], one->names[kind]))
			kind++;
		if (kind == WHO_KINDS)
			return;
	}
	if (all->n < IDENTITIES_MAX)
		all->list[all->n++] = *one;
	else
		all->more = true;
}

/* Each combination of a rule's names, kind by kind. */
static void add_combinations(struct identities *all, const struct who *who, int kind,
			     struct identity *one)
{
	if (all->more)
		return;
	if (kind == WHO_KINDS) {
		add_identity(all, one);
		return;
	}
	one->names[kind] = NULL;
	if (!who->kinds[kind].n)
		add_combinations(all, who, kind + 1, one);
	for (size_t i = 0; i < who->kinds[kind].n; i++) {
		one->names[kind] = &who->kinds[kind].list[i];
		if (one->names[kind]->known)
			add_combinations(all, who, kind + 1, one);
	}
}

static void print_identity(const struct identity *one, FILE *f)
{
	const char *and = "";

	for (int kind = 0; kind < WHO_KINDS; kind++) {
		if (!one->names[kind])
			continue;
		fprintf(f, "%s%s ", and, kind_word((enum who_kind)kind));
		text_write(f, one->names[kind]->text, one->names[kind]->len, 0);
		and = " and ";
	}
	fputs(*and? ":\n" : "anyone:\n", f);
}

static int print_one(const struct policy *whole, const struct identity *one, FILE *f)
{
	struct policy_subject s = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	_cleanup_(policy_freep) struct policy *effective = NULL;
	_cleanup_free_ char *home = NULL;
	int r;

	if (one->names[WHO_USER])
		s.uid = one->names[WHO_USER]->id;
	if (one->names[WHO_GROUP])
		s.gid = one->names[WHO_GROUP]->id;
	/* An instance of a unit pattern is stood for by the pattern, which matches itself. */
	s.unit = one->names[WHO_UNIT] ? one->names[WHO_UNIT]->text : NULL;
	s.via = one->names[WHO_VIA] ? one->names[WHO_VIA]->text : NULL;
	if (s.uid != (uid_t)-1 && (r = policy_home(s.uid, &home)) < 0)
		return r;
	if ((r = policy_effective(whole, &s, POLICY_CALLER, home, &effective)) < 0)
		return r;
	print_identity(one, f);
	return policy_print_hull(effective, f);
}

int policy_print_hulls(const struct policy *whole, FILE *f)
{
	_cleanup_free_ struct identities *all = calloc(1, sizeof *all);
	int r = 0;

	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < whole->n_rules; i++) {
		struct identity one = { 0 };

		if (whole->rules[i]->allow && !whole->rules[i]->nobody)
			add_combinations(all, &whole->rules[i]->who, 0, &one);
	}
	for (size_t i = 0; i < all->n && r == 0; i++)
		r = print_one(whole, &all->list[i], f);
	if (r == 0 && all->more)
		fprintf(f, "... and more than %d identities\n", IDENTITIES_MAX);
	return r;
}
