/* SPDX-License-Identifier: MIT
 * Explanations and hulls: what is said is what is enforced, and a refusal names the rule that came
 * nearest and what it lacked. */
#include "policy/explain.h"
#include "policy/hull.h"
#include "test-policy.h"

enum { R = WIRE_READ, W = WIRE_WRITE, C = WIRE_CREATE };

static void says(const char *text, const struct policy_subject *s, const char *path,
		 unsigned access, const char *wanted)
{
	struct policy *p = parse(text);
	struct policy_query q = { .path = path, .len = strlen(path), .access = access };
	char *got = NULL;
	size_t len;
	FILE *f = open_memstream(&got, &len);

	ck_assert_int_eq(policy_explain_print(p, s, "/home/alice", &q, f), 0);
	fclose(f);
	ck_assert_str_eq(got, wanted);
	free(got);
	policy_free(p);
}

static const struct policy_subject alice = { .uid = 1000, .gid = 1000, .via = "door" };

START_TEST(a_grant_names_its_rule)
{
	says("allow read under /s to anyone\nallow read file ~/k to user 1000 as root log", &alice,
	     "/home/alice/k", R,
	     "allowed as root, logged\nby p:2\n    allow read file ~/k to user 1000 as root log\n");
	says("allow read under /s to user root,1000 single-link", &alice, "/s", R,
	     "allowed as caller, if it has one link\nby p:1\n"
	     "    allow read under /s to user root,1000 single-link\n");
}
END_TEST

START_TEST(a_deny_names_itself)
{
	says("allow read under /s to anyone\ndeny any under /s/x to anyone", &alice, "/s/x", R,
	     "denied: a deny rule names this path\nby p:2\n    deny any under /s/x to anyone\n");
}
END_TEST

START_TEST(what_a_near_rule_lacks)
{
	says("allow read file /k to user root", &alice, "/k", R,
	     "denied: no rule of the policy names this path for you\nnearest p:1\n"
	     "    allow read file /k to user root\n"
	     "    lacks: it is for user root; the client is 1000\n");
	says("allow read file /k to group 7 and unit a.service and via other", &alice, "/k", R,
	     "denied: no rule of the policy names this path for you\nnearest p:1\n"
	     "    allow read file /k to group 7 and unit a.service and via other\n"
	     "    lacks: it is for group 7\n"
	     "    lacks: it is for unit a.service; the client's is not known\n"
	     "    lacks: it is for via other; the client is door\n");
	says("allow read file /k to user root\nallow write file /k to anyone\n"
	     "allow write file /k to user root",
	     &alice, "/k", R,
	     "denied: a rule names this path, but not for this access\nnearest p:1\n"
	     "    allow read file /k to user root\n"
	     "    lacks: it is for user root; the client is 1000\nnearest p:2\n"
	     "    allow write file /k to anyone\n    lacks: read\n");
}
END_TEST

START_TEST(rules_that_grant_in_part_are_all_named)
{
	says("allow read under /d to anyone\nallow write under /d to anyone", &alice, "/d/x", R | W,
	     "denied: a rule names this path, but not for this access\nnearest p:1\n"
	     "    allow read under /d to anyone\n    lacks: write\nnearest p:2\n"
	     "    allow write under /d to anyone\n    lacks: read\n");
	says("allow read,write under /d to anyone", &alice, "/d/x", C | W,
	     "denied: a rule names this path, but not for this access\nnearest p:1\n"
	     "    allow read,write under /d to anyone\n    lacks: create\n");
}
END_TEST

START_TEST(a_path_that_nothing_names)
{
	says("allow read file /s/k to user root\nallow read file /s/j to anyone", &alice, "/s/x", R,
	     "denied: no rule of the policy names this path for you\nnearest p:2\n"
	     "    allow read file /s/j to anyone\n    lacks: it names another path\n");
	says("allow read file /s/k to user root", &alice, "/s/x", R,
	     "denied: no rule of the policy names this path for you\nnearest p:1\n"
	     "    allow read file /s/k to user root\n"
	     "    lacks: it is for user root; the client is 1000\n"
	     "    lacks: it names another path\n");
	says("allow read under /s except /s/x to anyone", &alice, "/s/x/y", R,
	     "denied: no rule of the policy names this path for you\nnearest p:1\n"
	     "    allow read under /s except /s/x to anyone\n    lacks: it names another path\n");
	says("allow read file /s/k to anyone", &alice, "/t", R,
	     "denied: no rule of the policy names this path for you\n");
	says("", &alice, "/t", R, "denied: no rule of the policy names this path for you\n");
}
END_TEST

START_TEST(types_and_links)
{
	struct policy *p = parse("allow read file /f to anyone\nallow read file /l to anyone "
				 "single-link");
	struct policy_query q = { .path = "/f", .len = 2, .access = R, .type = POLICY_FIFO };
	struct policy_explanation e;

	ck_assert_int_eq(policy_explain(p, &alice, NULL, &q, &e), 0);
	ck_assert_int_eq(e.verdict.reason, WIRE_TYPE);
	ck_assert_uint_eq(e.n_near, 1);
	ck_assert_uint_eq(e.near[0].lacks, LACK_TYPE);
	policy_explanation_deinit(&e);
	q = (struct policy_query){ .path = "/l", .len = 2, .access = R, .links = 2 };
	ck_assert_int_eq(policy_explain(p, &alice, NULL, &q, &e), 0);
	ck_assert_int_eq(e.verdict.reason, WIRE_HARD_LINK);
	ck_assert_int_eq(e.verdict.rule, 1);
	ck_assert_uint_eq(e.near[0].lacks, LACK_LINKS);
	ck_assert_str_eq(e.near[0].origin, "p:2");
	policy_explanation_deinit(&e);
	q.links = 1;
	ck_assert_int_eq(policy_explain(p, &alice, NULL, &q, &e), 0);
	ck_assert_int_eq(e.verdict.reason, WIRE_OK);
	ck_assert_uint_eq(e.n_near, 0);
	ck_assert_str_eq(e.decided.text, "allow read file /l to anyone single-link");
	policy_explanation_deinit(&e);
	policy_free(p);
}
END_TEST

START_TEST(types_and_links_in_words)
{
	struct policy *p = parse("allow read under /f to anyone single-link type regular,fifo");
	struct policy_query q = { .path = "/f", .len = 2, .access = R, .type = POLICY_CHAR };
	char *got = NULL;
	size_t len;
	FILE *f = open_memstream(&got, &len);

	ck_assert_int_eq(policy_explain_print(p, &alice, NULL, &q, f), 0);
	q.type = POLICY_REGULAR;
	q.links = 2;
	ck_assert_int_eq(policy_explain_print(p, &alice, NULL, &q, f), 0);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(got, "    lacks: this type of file\n"));
	ck_assert_ptr_nonnull(strstr(got, "    lacks: the file has more than one link\n"));
	free(got);
	policy_free(p);
}
END_TEST

/* The verdict's rule is counted in the policy that was given, not in what applies. */
START_TEST(a_verdict_counts_in_the_whole_policy)
{
	struct policy *p =
		parse("allow read file /a to user root\nallow read file /b to user root\n"
		      "allow read file /k to user 1000");
	struct policy_query q = { .path = "/k", .len = 2, .access = R };
	struct policy_explanation e;

	ck_assert_int_eq(policy_explain(p, &alice, NULL, &q, &e), 0);
	ck_assert_int_eq(e.verdict.rule, 2);
	ck_assert_str_eq(e.decided.origin, "p:3");
	policy_explanation_deinit(&e);
	policy_free(p);
}
END_TEST

START_TEST(no_more_than_eight_near_rules)
{
	char text[1024] = "";
	struct policy_query q = { .path = "/k", .len = 2, .access = R };
	struct policy_explanation e;
	struct policy *p;

	for (int i = 0; i < 20; i++)
		strcat(text, "allow read file /k to user root\n");
	p = parse(text);
	ck_assert_int_eq(policy_explain(p, &alice, NULL, &q, &e), 0);
	ck_assert_uint_eq(e.n_near, POLICY_NEAR_MAX);
	policy_explanation_deinit(&e);
	policy_free(p);
}
END_TEST

/* A file name cannot smuggle anything into the output. */
START_TEST(what_is_printed_harms_no_terminal)
{
	struct policy_subject s = { .uid = 1, .gid = 1, .via = "\x1b[2J" };
	struct policy *p = NULL;
	struct diags d = { 0 };
	struct policy_query q = { .path = "/k", .len = 2, .access = R };
	const char *text = "allow read file /k /\\x1b to via x";
	char *got = NULL;
	size_t len;
	FILE *f = open_memstream(&got, &len);

	ck_assert_int_eq(policy_parse("\x1b]0;p", text, strlen(text), &plain_options, &d, &p), 0);
	ck_assert_int_eq(policy_explain_print(p, &s, NULL, &q, f), 0);
	fclose(f);
	ck_assert_ptr_null(strchr(got, 0x1b));
	ck_assert_ptr_nonnull(strstr(got,
				     "nearest \\x1b]0;p:1\n    allow read file /k /\\x1b to via x\n"
				     "    lacks: it is for via x; the client is \\x1b[2J\n"));
	free(got);
	policy_free(p);
	diags_deinit(&d);
}
END_TEST

static void hull_is(const char *text, const char *wanted)
{
	struct policy_options o = { .resolve_names = true, .units = true, .home = "/home/alice" };
	struct policy *p = parse_with(text, &o);
	char *got = NULL;
	size_t len;
	FILE *f = open_memstream(&got, &len);

	ck_assert_int_eq(policy_print_hull(p, f), 0);
	fclose(f);
	ck_assert_str_eq(got, wanted);
	free(got);
	policy_free(p);
}

START_TEST(hulls)
{
	hull_is("", "  nothing\n");
	hull_is("deny any under / to anyone", "  nothing\n");
	hull_is("allow read,list under ~/d to anyone\nallow create file /drop/k to anyone\n"
		"allow read file /etc/k to anyone as root\nallow read file /s/*/x /s/y to anyone\n"
		"deny any under /s/z to anyone",
		"  worker, with the client's own rights:\n"
		"    read,write,create under /drop\n"
		"    read,list under /home/alice/d\n"
		"    read under /s\n"
		"  lender, permission bits not consulted:\n"
		"    read file /etc/k\n");
	hull_is("allow read under /etc/x to anyone as root",
		"  lender, permission bits not consulted:\n    read,list under /etc/x\n");
	hull_is("allow read file /\\x1b\\\\ to anyone as root",
		"  lender, permission bits not consulted:\n    read file /\\x1b\\x5c\n");
}
END_TEST

START_TEST(each_identity_has_its_hull)
{
	struct policy *p = parse("allow read file /a to user 4000000001,4000000002 and via d\n"
				 "allow read file /b to user 4000000001\n"
				 "allow read file /c to group 7,8 and unit a@*.service\n"
				 "allow read file /e to user nobody-of-this-name\n"
				 "allow read file /f to user 4000000001\n"
				 "deny read file /d to user 4000000009");
	char *got = NULL;
	size_t len;
	FILE *f = open_memstream(&got, &len);

	ck_assert_int_eq(policy_print_hulls(p, f), 0);
	fclose(f);
	ck_assert_str_eq(got, "user 4000000001 and via d:\n"
			      "  worker, with the client's own rights:\n"
			      "    read file /a\n    read file /b\n    read file /f\n"
			      "user 4000000002 and via d:\n"
			      "  worker, with the client's own rights:\n    read file /a\n"
			      "user 4000000001:\n"
			      "  worker, with the client's own rights:\n"
			      "    read file /b\n    read file /f\n"
			      "group 7 and unit a@*.service:\n"
			      "  worker, with the client's own rights:\n    read file /c\n"
			      "group 8 and unit a@*.service:\n"
			      "  worker, with the client's own rights:\n    read file /c\n");
	free(got);
	policy_free(p);
}
END_TEST

START_TEST(identities_are_shown_up_to_a_thousand)
{
	char *text = NULL, *got = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	struct policy *p;

	fprintf(f, "allow read file /k to anyone\nallow read file /k to user 4000000000");
	for (unsigned i = 1; i < 2000; i++)
		fprintf(f, ",%u", 4000000000u + i);
	fclose(f);
	p = parse(text);
	f = open_memstream(&got, &len);
	ck_assert_int_eq(policy_print_hulls(p, f), 0);
	fclose(f);
	ck_assert_int_eq(strncmp(got, "anyone:\n", 8), 0);
	ck_assert_ptr_nonnull(strstr(got, "user 4000000998:\n"));
	ck_assert_ptr_null(strstr(got, "user 4000000999:\n"));
	ck_assert_ptr_nonnull(strstr(got, "... and more than 1000 identities\n"));
	free(got);
	free(text);
	policy_free(p);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_grant_names_its_rule,
		a_deny_names_itself,
		what_a_near_rule_lacks,
		rules_that_grant_in_part_are_all_named,
		a_path_that_nothing_names,
		types_and_links,
		types_and_links_in_words,
		a_verdict_counts_in_the_whole_policy,
		no_more_than_eight_near_rules,
		what_is_printed_harms_no_terminal,
		hulls,
		each_identity_has_its_hull,
		identities_are_shown_up_to_a_thousand,
	};

	return run_case("policy-explain", tests, ELEMENTSOF(tests), 60);
}
