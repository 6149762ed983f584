/* SPDX-License-Identifier: MIT
 * Random policies over a small real tree, and random requests: what the running daemon answers, in
 * dry runs and by opening, must be what policy_decide() says of the effective policy, what
 * policy_explain() says of the whole one, what `openc explain` prints, and what a matcher says that
 * knows a rule as the words it was made of and tries every one. Files are everybody's, so that
 * policy alone decides. The seed is fixed; OPEND_TEST_SEED is another. */
#include <grp.h>
#include "harness.h"
#include "policy/explain.h"

enum { POLICIES = 160, REQUESTS = 80, OPENS = 12, RULES_MAX = 8, PATTERNS_MAX = 3 };

struct made_rule {
	bool allow;
	unsigned access;
	size_t n_objects, n_excepts;
	bool tree[PATTERNS_MAX];
	char *objects[PATTERNS_MAX], *excepts[PATTERNS_MAX];
	bool by_user, by_group, by_via;
	uid_t user;
	gid_t group;
	bool as_root;
};

static struct made_rule rules[RULES_MAX];
static size_t n_rules;
static const char *base; /* TREE/data */
static char *policy_text;

/* Who asks, and by which door. */
static struct who client;
static const char *door;

static uint64_t state;

static unsigned pick(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)((state >> 11) % n);
}

/* ---- the naive matcher ------------------------------------------------------------------------
 */

static bool fits(const char *glob, const char *path, bool below)
{
	if (*glob == 0)
		return *path == 0 || (below && *path == '/');
	if (*glob == '*')
		return fits(glob + 1, path, below) ||
		       (*path && *path != '/' && fits(glob, path + 1, below));
	if (*glob == '?')
		return *path && *path != '/' && fits(glob + 1, path + 1, below);
	if (*glob == '[') {
		bool negated = glob[1] == '!', in = false;
		const char *g = glob + 1 + negated;

		for (; *g != ']'; g++)
			in |= *g == *path;
		return *path && *path != '/' && in != negated && fits(g + 1, path + 1, below);
	}
	return *glob == *path && fits(glob + 1, path + 1, below);
}

static bool names_it(const struct made_rule *r, const char *path)
{
	bool named = false;

	for (size_t i = 0; i < r->n_objects; i++)
		named |= fits(r->objects[i], path, r->tree[i]);
	for (size_t i = 0; i < r->n_excepts; i++)
		named = named && !fits(r->excepts[i], path, true);
	return named;
}

static bool concerns(const struct made_rule *r)
{
	bool in = client.gid == r->group;

	for (size_t i = 0; i < client.n_groups; i++)
		in |= client.groups[i] == r->group;
	return (!r->by_user || r->user == client.uid) && (!r->by_group || in) &&
	       (!r->by_via || door);
}

/* The reason, and the rule that decided. */
static int naive(const char *path, unsigned access, int *ret_rule)
{
	unsigned need = access & OPENC_CREATE ? (unsigned)OPENC_CREATE : access;
	int reason = OPENC_R_NO_RULE, as_root = -1;

	*ret_rule = -1;
	for (size_t i = 0; i < n_rules; i++) {
		const struct made_rule *r = &rules[i];

		if (!r->allow && (r->access & access) && concerns(r) && names_it(r, path)) {
			*ret_rule = (int)i;
			return OPENC_R_DENIED;
		}
	}
	for (size_t i = 0; i < n_rules; i++) {
		const struct made_rule *r = &rules[i];

		if (!r->allow || !concerns(r) || !names_it(r, path))
			continue;
		if ((r->access & need) != need) {
			reason = reason ? OPENC_R_ACCESS : 0;
			continue;
		}
		if (reason)
			*ret_rule = (int)i;
		if (r->as_root && as_root < 0)
			as_root = (int)i;
		reason = 0;
	}
	if (as_root >= 0)
		*ret_rule = as_root;
	return reason;
}

/* ---- making things up -------------------------------------------------------------------------
 */

/* Directories a and .h, with directories a and .h in each; beside them, and in those, files. */
static const char *const names[] = { "a", ".h", "b", "ab" };

static void make_tree(const char *dir, int depth)
{
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		char *path = text("%s/%s", dir, names[i]);

		if (i < 2 && depth < 2) {
			make_dir(path, 0777, alice.uid);
			make_tree(path, depth + 1);
		} else {
			make_file(path, 0666, alice.uid, "x\n");
		}
	}
}

static char *some_path(void)
{
	char *path = text("%s", base);

	for (unsigned depth = pick(4); depth; depth--)
		path = text("%s/%s", path, pick(9) ? names[pick(ELEMENTSOF(names))] : "new");
	return path;
}

static char *longer(const char *pattern)
{
	static const char *const globs[] = { "a", "a",	".h", "b",    "ab",    "new", "*",
					     "?", "a*", "*b", "[ab]", "[!.]*", "?[b]" };

	return text("%s/%s", pattern, globs[pick(ELEMENTSOF(globs))]);
}

static char *some_pattern(void)
{
	char *p = text("%s", base);

	for (unsigned depth = pick(8) ? 1 + pick(3) : 0; depth; depth--)
		p = longer(p);
	return p;
}

static struct made_rule some_rule(void)
{
	struct made_rule r = { .allow = pick(4) != 0,
			       .access = 1 + pick(15),
			       .n_objects = 1 + pick(PATTERNS_MAX),
			       .n_excepts = pick(3) ? 0 : 1 + pick(2),
			       .by_user = pick(3) == 0,
			       .by_group = pick(4) == 0,
			       .by_via = pick(5) == 0,
			       .user = pick(2) ? alice.uid : bob.uid,
			       .group = 10 + pick(3) };

	for (size_t i = 0; i < r.n_objects; i++) {
		r.tree[i] = pick(2);
		r.objects[i] = some_pattern();
	}
	for (size_t i = 0; i < r.n_excepts; i++) {
		size_t of = pick((unsigned)r.n_objects);

		r.excepts[i] = r.tree[of] ? longer(r.objects[of]) : r.objects[of];
	}
	r.as_root = is_root() && r.allow && pick(6) == 0;
	return r;
}

static const char *const words[] = { "read", "write", "create", "list" };

static void write_rule(FILE *f, const struct made_rule *r)
{
	const char *comma = " ", *to = " to ";

	fputs(r->allow ? "allow" : "deny", f);
	for (int i = 0; i < 4; i++)
		if (r->access & 1u << i) {
			fprintf(f, "%s%s", comma, words[i]);
			comma = ",";
		}
	for (size_t i = 0; i < r->n_objects; i++)
		fprintf(f, " %s %s", r->tree[i] ? "under" : "file", r->objects[i]);
	for (size_t i = 0; i < r->n_excepts; i++)
		fprintf(f, "%s %s", i ? "" : " except", r->excepts[i]);
	if (r->by_user)
		fprintf(f, "%suser %u", to, r->user), to = " and ";
	if (r->by_group)
		fprintf(f, "%sgroup 99,%u", to, r->group), to = " and ";
	if (r->by_via)
		fprintf(f, "%svia d1", to), to = " and ";
	fprintf(f, "%s%s\n", !strcmp(to, " to ") ? " to anyone" : "",
		r->as_root ? " as root"
		: r->allow ? ""
			   : " quiet");
}

static void make_policy(void)
{
	size_t len;
	FILE *f = open_memstream(&policy_text, &len);

	ensure(f, "no memory");
	n_rules = 1 + pick(RULES_MAX);
	for (size_t i = 0; i < n_rules; i++) {
		rules[i] = some_rule();
		write_rule(f, &rules[i]);
	}
	ensure(fclose(f) == 0, "no memory");
	policy("10", "%s", policy_text);
}

static void make_client(void)
{
	static gid_t groups[64];

	client = pick(2) && is_root() ? bob : alice;
	door = pick(2) ? "d1" : NULL;
	if (is_root()) {
		groups[0] = 10 + pick(3);
		groups[1] = 12;
		client.n_groups = pick(3);
	} else {
		client.n_groups = (size_t)sys(getgroups(ELEMENTSOF(groups), groups));
	}
	client.groups = groups;
}

/* ---- comparing --------------------------------------------------------------------------------
 */

struct round {
	const struct opend *o;
	uint32_t generation;
	struct policy *whole, *effective;
	unsigned *pairs; /* compared, by the daemon's reason */
	unsigned *opens; /* likewise, of files that were opened */
	bool run_explain;
};

static struct policy_subject subject(void)
{
	return (struct policy_subject){ .uid = client.uid,
					.gid = client.gid,
					.groups = client.groups,
					.n_groups = client.n_groups,
					.via = door };
}

static int number_of(const char *origin)
{
	return origin ? atoi(strrchr(origin, ':') + 1) - 1 : -1;
}

/* Did a verdict since this was last cleared say `as root`? */
static bool by_lender;

/* The verdict on which evaluator, explainer and naive matcher agree. */
static int agreed(const struct round *r, const char *path, unsigned access)
{
	const struct policy_query q = { .path = path, .len = strlen(path), .access = access };
	const struct policy_subject s = subject();
	struct policy_explanation e;
	struct policy_verdict v;
	int rule, reason = naive(path, access, &rule);

	policy_decide(r->effective, &q, &v);
	by_lender |= v.as_root;
	ensure(v.reason == reason, "%s, access %u: decide says %d, naive says %d\n%s", path, access,
	       v.reason, reason, policy_text);
	if (rule >= 0)
		ensure(v.rule >= 0 &&
			       number_of(policy_origin(r->effective, (size_t)v.rule)) == rule,
		       "%s, access %u: not rule %d\n%s", path, access, rule + 1, policy_text);
	ok(policy_explain(r->whole, &s, NULL, &q, &e));
	ensure(e.verdict.reason == reason, "%s, access %u: explain says %d, naive says %d\n%s",
	       path, access, e.verdict.reason, reason, policy_text);
	ensure(number_of(e.decided.origin) == rule, "%s, access %u: explain shows %s, not :%d\n%s",
	       path, access, e.decided.origin, rule + 1, policy_text);
	policy_explanation_deinit(&e);
	return reason;
}

/* O_RDONLY alone reads a file and lists a directory; what it is a dry run does not know. */
static int wanted_dry(const struct round *r, const char *path, int flags)
{
	int reason;

	if (flags & O_DIRECTORY)
		return agreed(r, path, OPENC_LIST);
	reason = agreed(r, path,
			(flags & O_CREAT ? OPENC_CREATE : 0u) |
				((flags & O_ACCMODE) == O_RDONLY   ? OPENC_READ
				 : (flags & O_ACCMODE) == O_WRONLY ? OPENC_WRITE
								   : OPENC_READ | OPENC_WRITE));
	if (reason && flags == O_RDONLY && !agreed(r, path, OPENC_LIST))
		return 0;
	return reason;
}

static const int all_flags[] = {
	O_RDONLY,
	O_WRONLY,
	O_RDWR,
	O_RDONLY | O_DIRECTORY,
	O_RDONLY | O_CREAT | O_EXCL,
	O_WRONLY | O_CREAT | O_EXCL,
	O_RDWR | O_CREAT | O_EXCL,
};

static void dry_runs(const struct round *r, struct openc_conn *c)
{
	struct openc_result results[REQUESTS / 8];
	const char *paths[REQUESTS / 8];

	for (int batch = 0; batch < 8; batch++) {
		int flags = all_flags[pick(ELEMENTSOF(all_flags))];
		struct openc_how how = { .flags = (uint32_t)flags, .ask = OPENC_DRY_RUN };

		for (size_t i = 0; i < ELEMENTSOF(paths); i++)
			paths[i] = some_path();
		memset(results, 0, sizeof results);
		ok(openc_open_many(c, paths, ELEMENTSOF(paths), &how, sizeof how, results,
				   sizeof results[0], 0));
		for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
			int reason = wanted_dry(r, paths[i], flags);

			ensure(results[i].reason == reason &&
				       results[i].fd == (reason ? -EACCES : 0) &&
				       results[i].generation == r->generation,
			       "%s, flags %#o, uid %u, door %s: the daemon says %d, reason %u, "
			       "generation %u; it should be %d, %u\n%s",
			       paths[i], (unsigned)flags, client.uid, door, results[i].fd,
			       results[i].reason, results[i].generation, reason, r->generation,
			       policy_text);
			r->pairs[reason]++;
		}
	}
}

/* What open(2) says to the client itself: 0 or errno. What it made is gone again. */
static int own_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600), error = fd < 0 ? errno : 0;

	if (fd >= 0) {
		close_fd(fd);
		if (flags & O_CREAT)
			sys(unlink(path));
	}
	return error;
}

/* What is there decides which access O_RDONLY is. */
static int wanted_open(const struct round *r, const char *path, int flags, bool is_dir, bool found)
{
	int reason;

	by_lender = false;
	reason = wanted_dry(r, path, flags);
	if (flags != O_RDONLY || !found)
		return reason;
	return agreed(r, path, is_dir ? OPENC_LIST : OPENC_READ);
}

struct opening {
	char *path;
	int flags, own; /* errno of open(2) for the client itself */
	bool is_dir, has_parent;
	int reason;
};

/* That O_RDONLY meant to list a directory is found out late, so why it may not be read can be
 * told instead; a way that ends early ends there for everybody. A lender looks before it opens,
 * and calls TYPE what open(2) has other names for. */
static bool is_right(const struct opening *a, int fd, int reason)
{
	bool list = a->flags & O_DIRECTORY;

	if (a->reason && !a->has_parent)
		return fd < 0;
	if (a->reason)
		return fd == -EACCES && (reason == a->reason ||
					 (a->flags == O_RDONLY &&
					  (a->is_dir || (by_lender && reason == OPENC_R_TYPE))));
	if (fd == -EACCES && reason == OPENC_R_TYPE)
		return by_lender && a->has_parent && a->is_dir != list;
	return a->own ? fd == -a->own : fd >= 3;
}

static void one_open(const struct round *r, struct openc_conn *c)
{
	struct opening a = { .path = some_path(), .flags = all_flags[pick(ELEMENTSOF(all_flags))] };
	char *parent = text("%s", a.path);
	struct stat st;
	bool found;
	int fd;

	*strrchr(parent, '/') = 0;
	a.has_parent = stat(parent, &st) == 0 && S_ISDIR(st.st_mode);
	found = stat(a.path, &st) == 0;
	a.is_dir = found && S_ISDIR(st.st_mode);
	a.own = own_open(a.path, a.flags);
	a.reason = wanted_open(r, a.path, a.flags, a.is_dir, found);
	fd = openc_open(c, a.path, a.flags, 0600);
	ensure(is_right(&a, fd, openc_reason(c)),
	       "%s, flags %#o, uid %u, door %s: open says %d, %s; open(2) says %s, policy %d\n%s",
	       a.path, (unsigned)a.flags, client.uid, door, fd, openc_message(c), strerror(a.own),
	       a.reason, policy_text);
	if (fd >= 0) {
		close_fd(fd);
		if (a.flags & O_CREAT)
			sys(unlink(a.path));
	}
	r->opens[a.reason]++;
}

/* The program, from the files as an administrator would run it, and as the client about itself. */
static void explain_program(const struct round *r, bool files)
{
	const char *args[32] = { staged("openc"), "--socket", door ? at("run/door") : r->o->socket,
				 "explain" };
	unsigned access = 1u << pick(4);
	char *path = some_path();
	size_t n = 4;
	struct program p;
	int reason = agreed(r, path, access), rule;

	naive(path, access, &rule);
	for (int i = 0; i < 4; i++)
		if (access & 1u << i)
			args[n++] = text("--%s", words[i]);
	if (files) {
		args[n++] = "--policy";
		args[n++] = at("policy");
		args[n++] = "--user";
		args[n++] = text("%u", client.uid);
		for (size_t i = 0; i < client.n_groups && n < ELEMENTSOF(args) - 8; i++) {
			args[n++] = "--group";
			args[n++] = text("%u", client.groups[i]);
		}
		if (door) {
			args[n++] = "--via";
			args[n++] = door;
		}
	}
	args[n] = path;
	p = run(args);
	ensure(p.status == (reason ? 1 : 0), "explain %s %u: status %d, reason %d\n%s%s\n%s", path,
	       access, p.status, reason, p.out, p.err, policy_text);
	ensure(strstr(p.out, reason ? openc_strreason(reason) : "allowed as "), "%s", p.out);
	ensure(rule < 0 || strstr(p.out, text("/10.policy:%d\n", rule + 1)),
	       "explain %s %u: not rule %d:\n%s\n%s", path, access, rule + 1, p.out, policy_text);
}

static void be_asked(void *arg)
{
	const struct round *r = arg;
	struct openc_conn *c = connect_to(door ? at("run/door") : r->o->socket);

	dry_runs(r, c);
	for (int i = 0; i < OPENS; i++)
		one_open(r, c);
	openc_free(c);
	if (r->run_explain)
		explain_program(r, false);
}

static void one_round(struct round *r)
{
	const char *const paths[] = { at("policy"), NULL };
	const struct policy_options options = { .units = true, .owner = geteuid() };
	const struct policy_subject s = (make_policy(), make_client(), subject());
	struct diags diags = { 0 };

	ok(reload(r->o));
	r->generation++;
	ok(policy_load(paths, &options, &diags, &r->whole));
	ok(policy_effective(r->whole, &s, POLICY_CALLER, NULL, &r->effective));
	diags_deinit(&diags);
	as(client, be_asked, r);
	if (r->run_explain)
		explain_program(r, true);
	/* The client drew from a copy of the state. */
	for (int i = 0; i < 1000; i++)
		pick(2);
	policy_free(r->effective);
	policy_free(r->whole);
	free(policy_text);
}

START_TEST(daemon_evaluator_explainer_and_naive_matcher_agree)
{
	struct opend o = opend_start("--listen", text("d1=%s", at("run/door")), NULL);
	struct round r = { .o = &o, .generation = 1 };
	const char *seed = getenv("OPEND_TEST_SEED");
	unsigned sum = 0, opens = 0;

	r.pairs = shared(128 * sizeof *r.pairs);
	r.opens = shared(128 * sizeof *r.opens);
	state = (seed ? strtoull(seed, NULL, 0) : 1) * 0x9e3779b97f4a7c15u + 1;
	base = at("data");
	sys(chmod(base, 0777));
	make_tree(base, 0);
	for (int i = 0; i < POLICIES; i++) {
		r.run_explain = i % 4 == 0;
		one_round(&r);
	}
	opend_stop(&o);
	for (int i = 0; i < 128; i++) {
		sum += r.pairs[i];
		opens += r.opens[i];
	}
	ensure(sum >= 10000 && opens >= 1000, "%u dry runs, %u opens", sum, opens);
	/* It is a test only while each verdict is met often. */
	for (int i = 0; i <= OPENC_R_ACCESS; i++)
		ensure(r.pairs[i] > 500 && r.opens[i] > 50, "reason %d: %u dry runs, %u opens", i,
		       r.pairs[i], r.opens[i]);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("agreement");

	ADD(s, daemon_evaluator_explainer_and_naive_matcher_agree, 120);
	return s;
}

int main(void)
{
	return harness_main("agreement", suite);
}
