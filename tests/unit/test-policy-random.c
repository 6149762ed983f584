/* SPDX-License-Identifier: MIT
 * Random policies, random requests, and a matcher so naive that it can be seen to be right. It
 * knows rules as they were made up, not as they were parsed: no tree, no hash, no index, every
 * rule tried for every request. Seeds are fixed; OPEND_TEST_SEED adds one. */
#include "policy/explain.h"
#include "test-policy.h"

enum { MAX_RULES = 24, MAX_OBJECTS = 3, MAX_DEPTH = 5, POLICIES = 3000, REQUESTS = 25 };

static uint64_t state;

static unsigned pick(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)((state >> 11) % n);
}

struct made_pattern {
	bool home, tree;
	int n;
	const char *segments[MAX_DEPTH];
};

struct made_rule {
	bool allow, as_root, log, single_link, quiet;
	unsigned access, types;
	int n_objects, n_excepts;
	struct made_pattern objects[MAX_OBJECTS], excepts[MAX_OBJECTS];
	unsigned user, group; /* 0: not asked */
	const char *unit, *via;
};

struct made_policy {
	int n;
	struct made_rule rules[MAX_RULES];
};

static const char *const globs[] = { "a",  "b",	   "ab",    ".h", "*",	 "?",  "a*",
				     "*b", "[ab]", "[!ab]", "a?", "c d", "*.*" };
static const char *const names[] = { "a", "b", "ab", ".h", "aab", "c d", "c" };

/* ---- the naive matcher ------------------------------------------------------------------------
 */

static bool naive_glob(const char *g, const char *s)
{
	if (*g == 0)
		return *s == 0;
	if (*g == '*')
		return naive_glob(g + 1, s) || (*s && naive_glob(g, s + 1));
	if (*s == 0)
		return false;
	if (*g == '?')
		return naive_glob(g + 1, s + 1);
	if (*g == '[') {
		bool negated = g[1] == '!', in = false;
		const char *m = g + 1 + negated;

		for (; *m != ']'; m++)
			in |= *m == *s;
		return in != negated && naive_glob(m + 1, s + 1);
	}
	return *g == *s && naive_glob(g + 1, s + 1);
}

struct made_path {
	int n;
	const char *segments[MAX_DEPTH + 4];
	char text[128];
};

static const char *const home_segments[] = { "h", "u" };

/* How many segments the pattern has, and the i-th. */
static int length_of(const struct made_pattern *p)
{
	return p->n + (p->home ? 2 : 0);
}

static const char *segment_of(const struct made_pattern *p, int i)
{
	if (!p->home)
		return p->segments[i];
	return i < 2 ? home_segments[i] : p->segments[i - 2];
}

/* Do the first n segments of both agree? */
static bool agree(const struct made_pattern *p, const struct made_path *path, int n)
{
	for (int i = 0; i < n; i++)
		if (!naive_glob(segment_of(p, i), path->segments[i]))
			return false;
	return true;
}

static bool names_it(const struct made_pattern *p, const struct made_path *path, bool below,
		     bool home_known)
{
	int n = length_of(p);

	if ((p->home && !home_known) || path->n < n || (path->n > n && !below))
		return false;
	return agree(p, path, n);
}

static bool lies_below(const struct made_pattern *p, const struct made_path *path, bool home_known)
{
	return (!p->home || home_known) && length_of(p) > path->n && agree(p, path, path->n);
}

static bool excepted(const struct made_rule *r, const struct made_path *path, bool home_known)
{
	for (int i = 0; i < r->n_excepts; i++)
		if (names_it(&r->excepts[i], path, true, home_known))
			return true;
	return false;
}

static bool dead(const struct made_rule *r, bool home_known)
{
	for (int i = 0; i < r->n_excepts; i++)
		if (r->allow && r->excepts[i].home && !home_known)
			return true;
	return false;
}

static bool matches(const struct made_rule *r, const struct made_path *path, bool home_known)
{
	if (excepted(r, path, home_known) || dead(r, home_known))
		return false;
	for (int i = 0; i < r->n_objects; i++)
		if (names_it(&r->objects[i], path, r->objects[i].tree, home_known))
			return true;
	return false;
}

static bool concerns(const struct made_rule *r, const struct policy_subject *s)
{
	bool in = r->group == 0 || s->gid == r->group;

	for (size_t i = 0; i < s->n_groups; i++)
		in |= s->groups[i] == r->group;
	return in && (r->user == 0 || s->uid == r->user) &&
	       (!r->via || (s->via && strcmp(r->via, s->via) == 0)) &&
	       (!r->unit || (s->unit && naive_glob(r->unit, s->unit)));
}

static unsigned types_for(const struct made_rule *r, unsigned access)
{
	unsigned types = 0;

	for (unsigned bit = POLICY_REGULAR; bit <= POLICY_BLOCK; bit <<= 1) {
		bool can = bit == POLICY_DIRECTORY ? (access & WIRE_LIST) && !(access & WIRE_CREATE)
						   : access != WIRE_LIST;

		if (access & WIRE_CREATE)
			can = bit == POLICY_REGULAR;
		if ((r->types & bit) && can)
			types |= bit;
	}
	return types;
}

static void naive_decide(const struct made_policy *p, const struct policy_subject *s,
			 const struct made_path *path, bool home_known,
			 const struct policy_query *q, struct policy_verdict *v)
{
	unsigned need = q->access & WIRE_CREATE ? (unsigned)WIRE_CREATE : q->access, granted = 0;
	bool type = false, links = false, named = false;
	const struct made_rule *first = NULL;

	*v = (struct policy_verdict){ .reason = WIRE_NO_RULE, .rule = -1, .quiet = true };
	for (int i = 0; i < p->n; i++) {
		const struct made_rule *r = &p->rules[i];

		if (r->allow || !concerns(r, s) || !(r->access & q->access) ||
		    !matches(r, path, home_known))
			continue;
		if (v->rule < 0)
			v->rule = i;
		v->reason = WIRE_DENIED;
		v->quiet = v->quiet && r->quiet;
	}
	if (v->reason == WIRE_DENIED)
		return;
	v->quiet = false;
	for (int i = 0; i < p->n; i++) {
		const struct made_rule *r = &p->rules[i];

		if (!r->allow || !concerns(r, s) || !matches(r, path, home_known) ||
		    (r->as_root && q->caller_only))
			continue;
		named = true;
		granted |= r->access & need;
		if ((r->access & need) != need)
			continue;
		if (q->type && !(types_for(r, q->access) & q->type)) {
			type = true;
			continue;
		}
		if (r->single_link && q->links > 1) {
			links = true;
			continue;
		}
		if (!first) {
			first = r;
			v->single_link = true;
		}
		v->mixed |= r->as_root != first->as_root || r->log != first->log ||
			    r->types != first->types || r->single_link != first->single_link;
		v->types |= types_for(r, q->access);
		v->log |= r->log;
		v->single_link &= r->single_link;
		if (v->rule < 0 || (r->as_root && !v->as_root))
			v->rule = i;
		v->as_root |= r->as_root;
	}
	if (first) {
		v->reason = WIRE_OK;
	} else if (type || links) {
		v->reason = type ? WIRE_TYPE : WIRE_HARD_LINK;
	} else if (named) {
		v->reason = WIRE_ACCESS;
		v->lacked = need & ~granted ? need & ~granted : q->access;
	}
}

/* ---- making things up -------------------------------------------------------------------------
 */

static void make_pattern(struct made_pattern *p)
{
	*p = (struct made_pattern){ .home = pick(6) == 0, .tree = pick(2), .n = (int)pick(4) };
	for (int i = 0; i < p->n; i++)
		p->segments[i] = globs[pick(ELEMENTSOF(globs))];
}

/* Something inside of an object: the same, or deeper where the object is a tree. */
static void make_except(struct made_pattern *e, const struct made_pattern *object)
{
	*e = *object;
	while (object->tree && e->n < MAX_DEPTH && pick(2))
		e->segments[e->n++] = globs[pick(ELEMENTSOF(globs))];
}

static void make_rule(struct made_rule *r)
{
	static const char *const units[] = { "u.service", "w@*.service" };
	static const char *const doors[] = { "d1", "back door" };

	*r = (struct made_rule){ .allow = pick(4) != 0, .access = 1 + pick(15) };
	r->types = POLICY_DEFAULT_TYPES;
	r->n_objects = 1 + (int)pick(MAX_OBJECTS);
	for (int i = 0; i < r->n_objects; i++)
		make_pattern(&r->objects[i]);
	if (pick(3) == 0)
		r->n_excepts = 1 + (int)pick(MAX_OBJECTS);
	for (int i = 0; i < r->n_excepts; i++)
		make_except(&r->excepts[i], &r->objects[pick((unsigned)r->n_objects)]);
	r->user = pick(3) ? 0 : 1 + pick(2);
	r->group = pick(4) ? 0 : 10 + pick(2);
	r->unit = pick(6) ? NULL : units[pick(2)];
	r->via = pick(6) ? NULL : doors[pick(2)];
	if (!r->allow) {
		r->quiet = pick(3) == 0;
		return;
	}
	r->as_root = pick(4) == 0;
	r->log = pick(4) == 0;
	r->single_link = pick(5) == 0;
	if (pick(4) == 0) {
		r->types = (r->access & WIRE_LIST ? POLICY_DIRECTORY : 0) |
			   (r->access & ~(unsigned)WIRE_LIST ? POLICY_REGULAR : 0) |
			   (pick(2) ? POLICY_FIFO : 0) | (pick(2) ? POLICY_CHAR : 0);
	}
}

static void write_pattern(FILE *f, const struct made_pattern *p)
{
	bool quoted = false;

	for (int i = 0; i < p->n; i++)
		quoted |= strchr(p->segments[i], ' ') != NULL;
	fprintf(f, " %s%s", quoted ? "\"" : "", p->home ? "~" : p->n ? "" : "/");
	for (int i = 0; i < p->n; i++)
		fprintf(f, "/%s", p->segments[i]);
	fputs(quoted ? "\"" : "", f);
}

static void write_access(FILE *f, unsigned access)
{
	static const char *const words[] = { "read", "write", "create", "list" };
	const char *comma = " ";

	for (int i = 0; i < 4; i++)
		if (access & 1u << i) {
			fprintf(f, "%s%s", comma, words[i]);
			comma = ",";
		}
}

static void write_types(FILE *f, unsigned types)
{
	static const char *const words[] = { "regular", "directory", "fifo", "char", "block" };
	const char *comma = " type ";

	for (int i = 0; i < 5; i++)
		if (types & 1u << i) {
			fprintf(f, "%s%s", comma, words[i]);
			comma = ",";
		}
}

static void write_rule(FILE *f, const struct made_rule *r)
{
	const char *and = " to ";

	fputs(r->allow ? "allow" : "deny", f);
	if (!r->allow && r->access == WIRE_ANY && pick(2))
		fputs(" any", f);
	else
		write_access(f, r->access);
	for (int i = 0; i < r->n_objects; i++) {
		fputs(r->objects[i].tree ? " under" : " file", f);
		write_pattern(f, &r->objects[i]);
	}
	fputs(r->n_excepts ? " except" : "", f);
	for (int i = 0; i < r->n_excepts; i++)
		write_pattern(f, &r->excepts[i]);
	if (!r->user && !r->group && !r->unit && !r->via)
		fputs(" to anyone", f);
	if (r->user)
		fprintf(f, "%suser %u", and, r->user), and = " and ";
	if (r->group)
		fprintf(f, "%sgroup 99,%u", and, r->group), and = " and ";
	if (r->unit)
		fprintf(f, "%sunit %s", and, r->unit), and = " and ";
	if (r->via)
		fprintf(f, "%svia \"%s\"", and, r->via);
	fputs(r->as_root ? " as root" : "", f);
	fputs(r->log ? " log" : "", f);
	fputs(r->single_link ? " single-link" : "", f);
	if (r->types != POLICY_DEFAULT_TYPES)
		write_types(f, r->types);
	fputs(r->quiet ? " quiet\n" : "\n", f);
}

static char *make_policy(struct made_policy *p)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	p->n = (int)pick(MAX_RULES);
	for (int i = 0; i < p->n; i++) {
		make_rule(&p->rules[i]);
		write_rule(f, &p->rules[i]);
	}
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

static void make_path(struct made_path *path)
{
	char *end = path->text;

	path->n = 0;
	if (pick(5) == 0)
		for (int i = 0; i < 2; i++)
			path->segments[path->n++] = home_segments[i];
	for (unsigned n = pick(5); n; n--)
		path->segments[path->n++] = names[pick(ELEMENTSOF(names))];
	for (int i = 0; i < path->n; i++)
		end += sprintf(end, "/%s", path->segments[i]);
	if (path->n == 0)
		strcpy(path->text, "/");
}

/* ---- comparing --------------------------------------------------------------------------------
 */

/* The number of the rule that wrote this origin. */
static int rule_number(const struct policy *p, int rule)
{
	return rule < 0 ? -1 : atoi(strchr(policy_origin(p, (size_t)rule), ':') + 1) - 1;
}

static void same_verdict(const struct policy *e, const struct policy_verdict *got,
			 const struct policy_verdict *wanted, const struct policy_query *q,
			 const char *text, const char *how)
{
	bool same = got->reason == wanted->reason && got->lacked == wanted->lacked &&
		    got->types == wanted->types && got->as_root == wanted->as_root &&
		    got->log == wanted->log && got->single_link == wanted->single_link &&
		    got->mixed == wanted->mixed && got->quiet == wanted->quiet;

	if (same && (got->reason == WIRE_OK || got->reason == WIRE_DENIED))
		same = rule_number(e, got->rule) == wanted->rule;
	ck_assert_msg(
		same,
		"%s: %s access %u type %u links %u: reason %d lacked %u types %u root %d log %d "
		"single %d mixed %d quiet %d rule %d, wanted %d %u %u %d %d %d %d %d rule %d\n%s",
		how, q->path, q->access, q->type, q->links, got->reason, got->lacked, got->types,
		got->as_root, got->log, got->single_link, got->mixed, got->quiet,
		rule_number(e, got->rule), wanted->reason, wanted->lacked, wanted->types,
		wanted->as_root, wanted->log, wanted->single_link, wanted->mixed, wanted->quiet,
		wanted->rule, text);
}

/* What is granted lies in the hull, by the bases that are not left out. */
static bool in_hull(const struct policy_base *bases, size_t n, const struct policy_query *q)
{
	unsigned need = q->access & WIRE_CREATE ? (unsigned)WIRE_CREATE : q->access;

	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(bases[i].path);
		bool here = len == q->len && memcmp(q->path, bases[i].path, len) == 0;
		bool below = len == 1 || (len < q->len && q->path[len] == '/' &&
					  memcmp(q->path, bases[i].path, len) == 0);

		if (bases[i].covered)
			continue;
		if ((here || (below && !bases[i].exact)) && (bases[i].access & need) == need)
			return true;
	}
	return false;
}

/* Every step on the way to what is granted may be looked at. */
static void way_is_open(const struct policy *e, const struct policy_query *q, const char *text)
{
	for (size_t len = 1; len <= q->len; len++)
		if (len == 1 || len == q->len || q->path[len] == '/')
			ck_assert_msg(policy_may_look(e, q->path, len), "%s up to %zu\n%s", q->path,
				      len, text);
}

/* No more is looked at than lies on the way to something that an allow names. */
static void look_is_justified(const struct policy *e, const struct made_policy *p,
			      const struct policy_subject *s, const struct made_path *path,
			      bool home_known, const char *text)
{
	bool near = false, all_denied = false;

	for (int i = 0; i < p->n; i++) {
		const struct made_rule *r = &p->rules[i];

		if (!concerns(r, s) || dead(r, home_known))
			continue;
		if (r->allow)
			near |= matches(r, path, home_known);
		for (int j = 0; r->allow && j < r->n_objects; j++)
			near |= lies_below(&r->objects[j], path, home_known);
		for (int j = 0;
		     !r->allow && r->access == WIRE_ANY && !r->n_excepts && j < r->n_objects; j++)
			all_denied |= names_it(&r->objects[j], path, true, home_known) &&
				      r->objects[j].tree;
	}
	if (!near || all_denied)
		ck_assert_msg(!policy_may_look(e, path->text, strlen(path->text)), "%s\n%s",
			      path->text, text);
}

/* The one walk says what asking for every access to each directory on the way would. */
static void above_is_what_is_granted(const struct policy *e, const struct made_path *path,
				     const char *text)
{
	size_t len = strlen(path->text);
	bool granted = false;

	for (size_t i = 1; i < len; i++)
		for (unsigned access = WIRE_READ; path->text[i] == '/' && access <= WIRE_LIST;
		     access <<= 1) {
			const struct policy_query q = { .path = path->text,
							.len = i,
							.access = access };
			struct policy_verdict v;

			policy_decide(e, &q, &v);
			granted |= v.reason == WIRE_OK;
		}
	ck_assert_msg(policy_grants_above(e, path->text, len) == granted, "%s: %d\n%s", path->text,
		      granted, text);
}

struct compiled {
	struct policy *whole, *direct, *reread, *lender;
	struct policy_base *bases[2];
	size_t n_bases[2];
};

static void compile(struct policy *whole, const struct policy_subject *s, const char *home,
		    struct compiled *c)
{
	struct policy_options o = { .origins = true, .home = home };
	char *text = NULL;
	size_t len, n, n_root;

	c->whole = whole;
	c->direct = effective(whole, s, home);
	ck_assert_int_eq(policy_print_effective(whole, s, POLICY_CALLER, &text, &len, &n, &n_root),
			 0);
	c->reread = parse_with(text, &o);
	ck_assert_uint_eq(n, policy_n_rules(c->reread));
	free(text);
	ck_assert_int_eq(policy_effective(whole, s, POLICY_LENDER, home, &c->lender), 0);
	for (int root = 0; root < 2; root++)
		ck_assert_int_eq(policy_plan(c->reread, root, &c->bases[root], &c->n_bases[root]),
				 0);
}

static void compiled_free(struct compiled *c)
{
	policy_free(c->whole);
	policy_free(c->direct);
	policy_free(c->reread);
	policy_free(c->lender);
	free(c->bases[0]);
	free(c->bases[1]);
}

/* The explainer decides as the evaluator does, and says of each rule that it shows what is so. */
static void explained(const struct policy *whole, const struct made_policy *made,
		      const struct policy_subject *s, const struct made_path *path, bool home_known,
		      const struct policy_query *q, const struct policy_verdict *wanted,
		      const char *text)
{
	struct policy_explanation e;

	ck_assert_int_eq(policy_explain(whole, s, home_known ? "/h/u" : NULL, q, &e), 0);
	same_verdict(whole, &e.verdict, wanted, q, text, "explain");
	if (e.decided.text)
		ck_assert_int_eq(atoi(strchr(e.decided.origin, ':') + 1) - 1, wanted->rule);
	for (size_t i = 0; i < e.n_near; i++) {
		const struct made_rule *r =
			&made->rules[atoi(strchr(e.near[i].origin, ':') + 1) - 1];
		unsigned lacks = e.near[i].lacks;

		ck_assert(lacks && r->allow);
		ck_assert_int_eq((lacks & LACK_PATH) == 0, matches(r, path, home_known));
		ck_assert_int_eq((lacks & 15) == 0, concerns(r, s));
	}
	policy_explanation_deinit(&e);
}

static void one_request(const struct made_policy *made, const struct policy_subject *s,
			const struct compiled *c, bool home_known, const char *text,
			unsigned *verdicts)
{
	struct made_path path;
	struct policy_query q = { .access = 1 + pick(15) };
	struct policy_verdict wanted, got;

	make_path(&path);
	q.path = path.text;
	q.len = strlen(path.text);
	q.type = pick(2) ? 0 : 1u << pick(5);
	q.links = pick(3);
	q.caller_only = pick(5) == 0;
	naive_decide(made, s, &path, home_known, &q, &wanted);
	policy_decide(c->direct, &q, &got);
	same_verdict(c->direct, &got, &wanted, &q, text, "effective");
	policy_decide(c->reread, &q, &got);
	same_verdict(c->reread, &got, &wanted, &q, text, "printed and read");
	if (!q.caller_only)
		explained(c->whole, made, s, &path, home_known, &q, &wanted, text);
	verdicts[got.reason]++;
	if (got.reason == WIRE_OK) {
		ck_assert_msg(in_hull(c->bases[got.as_root], c->n_bases[got.as_root], &q),
			      "%s outside the hull\n%s", q.path, text);
		way_is_open(c->reread, &q, text);
	}
	/* Where a worker asks its lender, the lender agrees. */
	if (got.reason == WIRE_OK && got.as_root) {
		struct policy_verdict lent;

		policy_decide(c->lender, &q, &lent);
		ck_assert_msg(lent.reason == WIRE_OK && lent.as_root, "%s lent\n%s", q.path, text);
	}
	look_is_justified(c->direct, made, s, &path, home_known, text);
	above_is_what_is_granted(c->direct, &path, text);
}

static void make_subject(struct policy_subject *s, gid_t groups[2])
{
	static const char *const units[] = { NULL, "u.service", "w@1.service", "x.service" };
	static const char *const doors[] = { NULL, "d1", "back door" };

	groups[0] = 10 + pick(3);
	groups[1] = 12;
	*s = (struct policy_subject){ .uid = 1 + pick(3),
				      .gid = 10 + pick(3),
				      .groups = groups,
				      .n_groups = pick(3),
				      .unit = units[pick(4)],
				      .via = doors[pick(3)] };
}

static void run(uint64_t seed, unsigned *verdicts)
{
	static struct made_policy made;

	state = seed * 0x9e3779b97f4a7c15u + 1;
	for (int i = 0; i < POLICIES; i++) {
		bool home_known = pick(4) != 0;
		struct policy_subject s;
		struct compiled c = { 0 };
		gid_t groups[2];
		char *text = make_policy(&made);
		struct policy *whole = parse(text);

		make_subject(&s, groups);
		compile(whole, &s, home_known ? "/h/u" : NULL, &c);
		for (int j = 0; j < REQUESTS; j++)
			one_request(&made, &s, &c, home_known, text, verdicts);
		compiled_free(&c);
		free(text);
	}
}

START_TEST(random_policies_agree_with_the_naive_matcher)
{
	unsigned verdicts[16] = { 0 };
	const char *seed = getenv("OPEND_TEST_SEED");

	run(1, verdicts);
	if (seed)
		run(strtoull(seed, NULL, 0), verdicts);
	/* It is a test only while each verdict is met often. */
	ck_assert_uint_gt(verdicts[WIRE_OK], 3000);
	ck_assert_uint_gt(verdicts[WIRE_NO_RULE], 3000);
	ck_assert_uint_gt(verdicts[WIRE_DENIED], 3000);
	ck_assert_uint_gt(verdicts[WIRE_ACCESS], 3000);
	ck_assert_uint_gt(verdicts[WIRE_TYPE], 300);
	ck_assert_uint_gt(verdicts[WIRE_HARD_LINK], 30);
}
END_TEST

/* print -> parse -> print changes nothing, and neither does who is left out. */
START_TEST(random_policies_are_printed_and_read_back)
{
	static struct made_policy made;
	struct policy_options o = { .resolve_names = true, .units = true, .origins = true };

	state = 77;
	for (int i = 0; i < 1000; i++) {
		char *text = make_policy(&made), *once, *twice;
		struct policy *p = parse(text), *again;

		once = print_whole(p);
		again = parse_with(once, &o);
		twice = print_whole(again);
		ck_assert_str_eq(once, twice);
		ck_assert_uint_eq(policy_n_rules(p), policy_n_rules(again));
		policy_free(p);
		policy_free(again);
		free(once);
		free(twice);
		free(text);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		random_policies_agree_with_the_naive_matcher,
		random_policies_are_printed_and_read_back,
	};

	return run_case("policy-random", tests, ELEMENTSOF(tests), 300);
}
