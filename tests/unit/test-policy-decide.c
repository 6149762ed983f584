/* SPDX-License-Identifier: MIT
 * What the rules mean: each row of the language's verdict table and each of its examples, allowed
 * paired with denied. */
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/seccomp.h>
#include "test-policy.h"

enum { R = WIRE_READ, W = WIRE_WRITE, C = WIRE_CREATE, L = WIRE_LIST };

static void reason(const struct policy *p, const char *path, unsigned access, int wanted)
{
	struct policy_verdict v = decide(p, path, access);

	ck_assert_msg(v.reason == wanted, "%s access %u: reason %d, wanted %d", path, access,
		      v.reason, wanted);
	if (v.reason == WIRE_OK || v.reason == WIRE_DENIED || v.reason == WIRE_ACCESS)
		ck_assert_int_ge(v.rule, 0);
}

START_TEST(one_rule_must_cover_the_whole_request)
{
	struct policy *p = parse("allow read under /d to anyone\nallow write under /d to anyone");
	struct policy_verdict v = decide(p, "/d/x", R | W);

	ck_assert_int_eq(v.reason, WIRE_ACCESS);
	ck_assert_uint_eq(v.lacked, R | W);
	reason(p, "/d/x", R, WIRE_OK);
	reason(p, "/d/x", W, WIRE_OK);
	policy_free(p);
	p = parse("allow read,write under /d to anyone");
	reason(p, "/d/x", R | W, WIRE_OK);
	policy_free(p);
}
END_TEST

START_TEST(create_alone_is_a_drop_box)
{
	struct policy *p = parse("allow create under /drop to anyone");

	reason(p, "/drop/new", C, WIRE_OK);
	reason(p, "/drop/new", C | W, WIRE_OK);
	reason(p, "/drop/new", C | R | W, WIRE_OK);
	reason(p, "/drop/old", W, WIRE_ACCESS);
	reason(p, "/drop/old", R, WIRE_ACCESS);
	ck_assert_uint_eq(decide(p, "/drop/old", R | W).lacked, R | W);
	policy_free(p);
	p = parse("allow write under /drop to anyone");
	reason(p, "/drop/old", W, WIRE_OK);
	reason(p, "/drop/new", C | W, WIRE_ACCESS);
	ck_assert_uint_eq(decide(p, "/drop/new", C | W).lacked, C);
	policy_free(p);
}
END_TEST

START_TEST(a_deny_applies_to_any_access_asked)
{
	struct policy *p =
		parse("allow read,create under /s to anyone\ndeny write under /s/ro to anyone");

	reason(p, "/s/ro/n", C | W, WIRE_DENIED);
	reason(p, "/s/ro/n", C | R, WIRE_OK);
	reason(p, "/s/ro/n", R, WIRE_OK);
	reason(p, "/s/n", C | W, WIRE_OK);
	policy_free(p);
}
END_TEST

START_TEST(deny_any_is_all_four)
{
	struct policy *p = parse("allow read,write,create,list under /s to anyone\n"
				 "deny any under /s/x to anyone");

	for (unsigned access = 1; access <= WIRE_ANY; access++) {
		reason(p, "/s/x", access, WIRE_DENIED);
		reason(p, "/s/x/y", access, WIRE_DENIED);
		reason(p, "/s/xy", access, WIRE_OK);
	}
	policy_free(p);
}
END_TEST

START_TEST(order_means_nothing)
{
	struct policy *p = parse("deny any under /s/x to anyone\nallow read under /s to anyone");

	reason(p, "/s/x", R, WIRE_DENIED);
	reason(p, "/s/y", R, WIRE_OK);
	policy_free(p);
	p = parse("allow read under /s to anyone\ndeny any under /s/x to anyone");
	reason(p, "/s/x", R, WIRE_DENIED);
	reason(p, "/s/y", R, WIRE_OK);
	policy_free(p);
}
END_TEST

START_TEST(a_star_matches_a_leading_dot_and_no_slash)
{
	struct policy *p = parse("allow read file /s/* to anyone");

	reason(p, "/s/.hidden", R, WIRE_OK);
	reason(p, "/s/a", R, WIRE_OK);
	reason(p, "/s/a/b", R, WIRE_NO_RULE);
	reason(p, "/s", R, WIRE_NO_RULE);
	policy_free(p);
}
END_TEST

START_TEST(a_deny_of_a_file_is_of_that_name_alone)
{
	struct policy *p = parse("allow read under /s to anyone\ndeny any file /s/dir to anyone");

	reason(p, "/s/dir/a", R, WIRE_OK);
	reason(p, "/s/dir", R, WIRE_DENIED);
	policy_free(p);
}
END_TEST

START_TEST(as_root_wins)
{
	struct policy *p =
		parse("allow read under /s to anyone\nallow read file /s/k to anyone as root");
	struct policy_query q = { .path = "/s/k", .len = 4, .access = R, .caller_only = true };
	struct policy_verdict v = decide(p, "/s/k", R);

	ck_assert_int_eq(v.reason, WIRE_OK);
	ck_assert(v.as_root && v.mixed);
	ck_assert_str_eq(policy_origin(p, (size_t)v.rule), "p:2");
	v = decide(p, "/s/j", R);
	ck_assert(!v.as_root && !v.mixed);
	policy_decide(p, &q, &v);
	ck_assert_int_eq(v.reason, WIRE_OK);
	ck_assert(!v.as_root);
	ck_assert_str_eq(policy_origin(p, (size_t)v.rule), "p:1");
	policy_free(p);
	p = parse("allow read file /s/k to anyone as root");
	policy_decide(p, &q, &v);
	ck_assert_int_eq(v.reason, WIRE_NO_RULE);
	policy_free(p);
}
END_TEST

START_TEST(log_wins_and_quiet_must_be_unanimous)
{
	struct policy *p =
		parse("allow read under /s to anyone\nallow read file /s/k to anyone log\n"
		      "deny any under /q to anyone quiet\ndeny any file /q/k to anyone");

	ck_assert(decide(p, "/s/k", R).log);
	ck_assert(!decide(p, "/s/j", R).log);
	ck_assert(decide(p, "/q/j", R).quiet);
	ck_assert(!decide(p, "/q/k", R).quiet);
	policy_free(p);
}
END_TEST

START_TEST(a_name_is_not_a_prefix)
{
	struct policy *p = parse("allow read under /a to anyone\nallow read file /f to anyone");

	reason(p, "/a", R, WIRE_OK);
	reason(p, "/a/b", R, WIRE_OK);
	reason(p, "/ab", R, WIRE_NO_RULE);
	reason(p, "/ab/b", R, WIRE_NO_RULE);
	reason(p, "/", R, WIRE_NO_RULE);
	reason(p, "/f", R, WIRE_OK);
	reason(p, "/f/x", R, WIRE_NO_RULE);
	policy_free(p);
}
END_TEST

/* FNV-1a gives both names one number, and one is the beginning of the other. */
START_TEST(names_with_one_hash_are_two)
{
	struct policy *p = parse("allow read file /a07uRsg to anyone");

	reason(p, "/a07uRsg", R, WIRE_OK);
	reason(p, "/a", R, WIRE_NO_RULE);
	policy_free(p);
	p = parse("allow read file /a to anyone\nallow read file /a07uRsg/k to anyone");
	reason(p, "/a07uRsg", R, WIRE_NO_RULE);
	reason(p, "/a", R, WIRE_OK);
	reason(p, "/a07uRsg/k", R, WIRE_OK);
	reason(p, "/a/k", R, WIRE_NO_RULE);
	policy_free(p);
}
END_TEST

START_TEST(exceptions_are_and_below_and_for_all_objects)
{
	struct policy *p = parse("allow read under /a /b file /c/* except /a/x /c/k to anyone\n"
				 "deny write under /d except /d/ok to anyone\n"
				 "allow write under /d to anyone");

	reason(p, "/a/x", R, WIRE_NO_RULE);
	reason(p, "/a/x/y", R, WIRE_NO_RULE);
	reason(p, "/a/xy", R, WIRE_OK);
	reason(p, "/b/x", R, WIRE_OK);
	reason(p, "/c/k", R, WIRE_NO_RULE);
	reason(p, "/c/j", R, WIRE_OK);
	reason(p, "/d/x", W, WIRE_DENIED);
	reason(p, "/d/ok", W, WIRE_OK);
	reason(p, "/d/ok/deep", W, WIRE_OK);
	policy_free(p);
}
END_TEST

START_TEST(an_exception_is_of_its_rule_alone)
{
	struct policy *p = parse("allow read under /a except /a/x to anyone\n"
				 "allow read file /a/x/k to anyone");

	reason(p, "/a/x/k", R, WIRE_OK);
	reason(p, "/a/x/j", R, WIRE_NO_RULE);
	policy_free(p);
}
END_TEST

START_TEST(root_is_a_place_too)
{
	struct policy *p = parse("allow list file / to anyone");

	reason(p, "/", L, WIRE_OK);
	reason(p, "/a", L, WIRE_NO_RULE);
	policy_free(p);
	p = parse("allow read under / except /etc to anyone");
	reason(p, "/", R, WIRE_OK);
	reason(p, "/a/b", R, WIRE_OK);
	reason(p, "/etc/passwd", R, WIRE_NO_RULE);
	policy_free(p);
}
END_TEST

START_TEST(a_trailing_slash_is_dropped)
{
	struct policy *p = parse("allow read file /s/ under /t/ ~/ to anyone");

	reason(p, "/s", R, WIRE_OK);
	reason(p, "/s/a", R, WIRE_NO_RULE);
	reason(p, "/t/a", R, WIRE_OK);
	policy_free(p);
}
END_TEST

START_TEST(globs)
{
	static const struct {
		const char *glob, *yes[4], *no[4];
	} cases[] = {
		{ "?", { "a", "\xff" }, { "ab", "\xc3\xbc" } },
		{ "a*b", { "ab", "axb", "abab" }, { "a", "b", "abc" } },
		{ "*a*a*", { "aa", "xaxax" }, { "a", "xax" } },
		{ "[a-c]x", { "ax", "cx" }, { "dx", "x", "-x" } },
		{ "[!a-c]", { "d", "-", "\xff" }, { "a", "b", "dd" } },
		{ "[]a]", { "]", "a" }, { "b", "[]a]" } },
		{ "[!]a]", { "b" }, { "]", "a" } },
		{ "[a-]", { "a", "-" }, { "b" } },
		{ "[-a]", { "a", "-" }, { "b" } },
		{ "[a\\-c]", { "a", "-", "c" }, { "b" } },
		{ "[a\\]b]", { "a", "]", "b" }, { "\\", "c" } },
		{ "[\\!a]", { "!", "a" }, { "b" } },
		{ "[*?[]", { "*", "?", "[" }, { "a" } },
		{ "[\\x41-C]", { "A", "B", "C" }, { "D", "x" } },
		{ "\\*", { "*" }, { "a", "\\*" } },
		{ "\\x2a", { "*" }, { "a" } },
		{ "a\\?*", { "a?", "a?b" }, { "ab" } },
		{ "\\[a]", { "[a]" }, { "a" } },
		{ "*.key", { ".key", "a.key" }, { "key", "a.key2" } },
		{ "\\a\\b", { "ab" }, { "\\a\\b" } },
		{ "{a,b}", { "{a,b}" }, { "a", "b" } },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		char text[128], path[64];
		struct policy *p;

		snprintf(text, sizeof text, "allow read file /%s to anyone", cases[i].glob);
		p = parse(text);
		for (size_t j = 0; j < 4; j++) {
			if (cases[i].yes[j]) {
				snprintf(path, sizeof path, "/%s", cases[i].yes[j]);
				ck_assert_msg(decide(p, path, R).reason == WIRE_OK, "%s: %s",
					      cases[i].glob, path);
			}
			if (cases[i].no[j]) {
				snprintf(path, sizeof path, "/%s", cases[i].no[j]);
				ck_assert_msg(decide(p, path, R).reason == WIRE_NO_RULE, "%s: %s",
					      cases[i].glob, path);
			}
		}
		policy_free(p);
	}
}
END_TEST

START_TEST(quotes_protect_blanks_and_not_globs)
{
	struct policy *p =
		parse("allow read file \"/My Files/*\" /a\\ b \"/q\\\"\" /t\\\tt to anyone");

	reason(p, "/My Files/x", R, WIRE_OK);
	reason(p, "/a b", R, WIRE_OK);
	reason(p, "/q\"", R, WIRE_OK);
	reason(p, "/t\tt", R, WIRE_OK);
	reason(p, "/My", R, WIRE_NO_RULE);
	policy_free(p);
}
END_TEST

START_TEST(a_comma_is_an_ordinary_byte_of_a_path)
{
	struct policy *p = parse("allow read file /a,b to anyone");

	reason(p, "/a,b", R, WIRE_OK);
	reason(p, "/a", R, WIRE_NO_RULE);
	policy_free(p);
}
END_TEST

/* A path that is not normal names no place: the resolver makes it one first. */
START_TEST(only_normal_paths_are_judged)
{
	static const char *const odd[] = { "",	      "s",     "//",	  "/s/",  "/s//a",
					   "/s/./a",  "/s/..", "/s/../a", "/..",  "/.",
					   "/s/a/..", "//s",   "/s/a/.",  "./s/a" };
	struct policy *p =
		parse("allow read,write under / to anyone\nallow read file /s/* to anyone");
	struct policy_query q = { .path = "/s\0a", .len = 4, .access = R };
	struct policy_verdict v;

	for (size_t i = 0; i < ELEMENTSOF(odd); i++) {
		reason(p, odd[i], R, WIRE_NO_RULE);
		ck_assert_int_eq(decide(p, odd[i], R).rule, -1);
		ck_assert(!looks(p, odd[i]));
	}
	policy_decide(p, &q, &v);
	ck_assert_int_eq(v.reason, WIRE_NO_RULE);
	ck_assert(!policy_may_look(p, "/s\0a", 4));
	reason(p, "/s/...", R, WIRE_OK);
	reason(p, "/s/.a", R, WIRE_OK);
	reason(p, "/s/a", 0, WIRE_NO_RULE);
	policy_free(p);
}
END_TEST

START_TEST(home_is_where_it_is_said_to_be)
{
	struct policy_options o = { .resolve_names = true, .units = true, .home = "/h/al*ce" };
	const char *text = "allow read under ~/d file ~ to anyone\n"
			   "allow write under /w ~ except ~/x to anyone";
	struct policy *p = parse_with(text, &o);

	reason(p, "/h/al*ce", R, WIRE_OK);
	reason(p, "/h/al*ce/d/x", R, WIRE_OK);
	reason(p, "/h/al*ce/x", W, WIRE_NO_RULE);
	reason(p, "/h/al*ce/y", W, WIRE_OK);
	reason(p, "/h/alice/d", R, WIRE_NO_RULE);
	reason(p, "/w", W, WIRE_OK);
	ck_assert(looks(p, "/h"));
	policy_free(p);
	/* Not known, or "/": nothing matches, and neither does an allow with an exception there. */
	for (int i = 0; i < 2; i++) {
		o.home = i ? "/" : NULL;
		p = parse_with(text, &o);
		reason(p, "/h/al*ce/d/x", R, WIRE_NO_RULE);
		reason(p, "/d/x", R, WIRE_NO_RULE);
		reason(p, "/w", W, WIRE_NO_RULE);
		policy_free(p);
	}
}
END_TEST

START_TEST(home_must_be_canonical)
{
	static const char *const odd[] = { "h", "/h/", "/h//a", "/h/../a", "//" };
	struct policy *p = NULL;
	struct diags d = { 0 };

	for (size_t i = 0; i < ELEMENTSOF(odd); i++) {
		struct policy_options o = { .home = odd[i] };

		ck_assert_int_eq(policy_parse("p", "", 0, &o, &d, &p), -EINVAL);
		ck_assert_ptr_null(p);
	}
	diags_deinit(&d);
}
END_TEST

START_TEST(a_type_that_is_not_named_is_refused)
{
	struct policy *p = parse("allow read,write,create,list under /a to anyone\n"
				 "allow read file /a/fifo to anyone type fifo\n"
				 "allow write file /dev/x to anyone type char,block");
	struct policy_query q = { .path = "/a/x", .len = 4, .access = R };
	struct policy_verdict v;

	policy_decide(p, &q, &v);
	ck_assert_int_eq(v.reason, WIRE_OK);
	ck_assert_uint_eq(v.types, POLICY_REGULAR);
	ck_assert(!v.mixed);
	q.type = POLICY_FIFO;
	policy_decide(p, &q, &v);
	ck_assert_int_eq(v.reason, WIRE_TYPE);
	q.type = POLICY_DIRECTORY;
	policy_decide(p, &q, &v);
	ck_assert_int_eq(v.reason, WIRE_TYPE);
	q.access = L;
	policy_decide(p, &q, &v);
	ck_assert_int_eq(v.reason, WIRE_OK);
	ck_assert_uint_eq(v.types, POLICY_DIRECTORY);
	q.access = C | W;
	q.type = 0;
	policy_decide(p, &q, &v);
	ck_assert_uint_eq(v.types, POLICY_REGULAR);
	q = (struct policy_query){ .path = "/a/fifo", .len = 7, .access = R };
	policy_decide(p, &q, &v);
	ck_assert(v.mixed);
	ck_assert_uint_eq(v.types, POLICY_REGULAR | POLICY_FIFO);
	q.type = POLICY_FIFO;
	policy_decide(p, &q, &v);
	ck_assert_int_eq(v.reason, WIRE_OK);
	ck_assert_str_eq(policy_origin(p, (size_t)v.rule), "p:2");
	q = (struct policy_query){ .path = "/dev/x", .len = 6, .access = W, .type = POLICY_BLOCK };
	policy_decide(p, &q, &v);
	ck_assert_int_eq(v.reason, WIRE_OK);
	q.type = POLICY_REGULAR;
	policy_decide(p, &q, &v);
	ck_assert_int_eq(v.reason, WIRE_TYPE);
	policy_free(p);
}
END_TEST

START_TEST(a_second_link_is_refused)
{
	struct policy *p = parse("allow read under /a to anyone as root single-link\n"
				 "allow read file /a/k to anyone");
	struct policy_query q = { .path = "/a/x", .len = 4, .access = R };
	struct policy_verdict v;

	policy_decide(p, &q, &v);
	ck_assert(v.reason == WIRE_OK && v.single_link && v.as_root);
	q.links = 1;
	policy_decide(p, &q, &v);
	ck_assert_int_eq(v.reason, WIRE_OK);
	q.links = 2;
	policy_decide(p, &q, &v);
	ck_assert_int_eq(v.reason, WIRE_HARD_LINK);
	ck_assert_int_eq(v.rule, 0);
	q.path = "/a/k";
	policy_decide(p, &q, &v);
	ck_assert(v.reason == WIRE_OK && !v.as_root);
	q.links = 0;
	policy_decide(p, &q, &v);
	ck_assert(v.reason == WIRE_OK && v.mixed && !v.single_link && v.as_root);
	policy_free(p);
}
END_TEST

START_TEST(the_nearest_rule_is_named)
{
	struct policy *p = parse("allow read under /srv/a to anyone\n"
				 "allow read file /srv/b/k to anyone\n"
				 "deny any under /srv/c to anyone\n"
				 "allow write under /srv/a/b to anyone");
	struct policy_verdict v = decide(p, "/srv/b/j", R);

	ck_assert_int_eq(v.reason, WIRE_NO_RULE);
	ck_assert_int_eq(v.rule, 1);
	ck_assert_int_eq(decide(p, "/srv/x", R).rule, 0);
	ck_assert_int_eq(decide(p, "/x", R).rule, -1);
	v = decide(p, "/srv/a/b", R | W);
	ck_assert_int_eq(v.reason, WIRE_ACCESS);
	ck_assert_int_eq(v.rule, 0);
	v = decide(p, "/srv/a/x", W);
	ck_assert_int_eq(v.reason, WIRE_ACCESS);
	ck_assert_uint_eq(v.lacked, W);
	ck_assert_int_eq(v.rule, 0);
	policy_free(p);
}
END_TEST

START_TEST(what_no_rule_comes_near_is_never_looked_at)
{
	struct policy *p = parse("allow read under /a/b/c file /f/* to anyone\n"
				 "deny any under /a/b/c/d to anyone\n"
				 "allow read under /x except /x/y to anyone");

	ck_assert(looks(p, "/"));
	ck_assert(looks(p, "/a"));
	ck_assert(looks(p, "/a/b"));
	ck_assert(looks(p, "/a/b/c"));
	ck_assert(looks(p, "/a/b/c/x"));
	ck_assert(!looks(p, "/a/b/c/d"));
	ck_assert(!looks(p, "/a/b/c/d/e"));
	ck_assert(!looks(p, "/a/c"));
	ck_assert(!looks(p, "/b"));
	ck_assert(looks(p, "/f"));
	ck_assert(looks(p, "/f/k"));
	ck_assert(!looks(p, "/f/k/x"));
	ck_assert(looks(p, "/x/z"));
	ck_assert(!looks(p, "/x/y"));
	policy_free(p);
	p = parse("deny any under /a to anyone");
	ck_assert(!looks(p, "/"));
	ck_assert(!looks(p, "/a"));
	policy_free(p);
}
END_TEST

START_TEST(looking_goes_through_an_exception_of_a_deny)
{
	struct policy *p = parse("allow read under /a to anyone\n"
				 "deny any under /a except /a/b/c to anyone\n"
				 "allow read under /t/u to anyone\ndeny any under /t to anyone");

	ck_assert(looks(p, "/a"));
	ck_assert(looks(p, "/a/b"));
	ck_assert(looks(p, "/a/b/c"));
	ck_assert(!looks(p, "/a/x"));
	ck_assert(!looks(p, "/t"));
	ck_assert(!looks(p, "/t/u"));
	policy_free(p);
}
END_TEST

/* ---- who ------------------------------------------------------------------------------------ */

static size_t n_effective(const struct policy *p, const struct policy_subject *s)
{
	struct policy *e = effective(p, s, NULL);
	size_t n = policy_n_rules(e);

	policy_free(e);
	return n;
}

START_TEST(subjects)
{
	static const struct {
		const char *who;
		uid_t uid;
		gid_t gid, group;
		const char *unit, *via;
		bool applies;
	} cases[] = {
		{ "anyone", 5, 5, 0, NULL, NULL, true },
		{ "user 5", 5, 6, 0, NULL, NULL, true },
		{ "user 5", 6, 5, 5, NULL, NULL, false },
		{ "user 4,5,6", 6, 1, 1, NULL, NULL, true },
		{ "user 0", 0, 1, 1, NULL, NULL, true },
		{ "user 0", 1, 0, 0, NULL, NULL, false },
		{ "group 7", 1, 7, 1, NULL, NULL, true },
		{ "group 7", 1, 1, 7, NULL, NULL, true },
		{ "group 7", 7, 1, 1, NULL, NULL, false },
		{ "user 5 and group 7", 5, 1, 7, NULL, NULL, true },
		{ "user 5 and group 7", 5, 1, 1, NULL, NULL, false },
		{ "user 5 and group 7", 4, 1, 7, NULL, NULL, false },
		{ "unit a.service", 1, 1, 1, "a.service", NULL, true },
		{ "unit a.service", 1, 1, 1, "A.service", NULL, false },
		{ "unit a.service", 1, 1, 1, "aa.service", NULL, false },
		{ "unit a.service", 1, 1, 1, NULL, NULL, false },
		{ "unit a@*.service", 1, 1, 1, "a@1.service", NULL, true },
		{ "unit a@*.service", 1, 1, 1, "b@1.service", NULL, false },
		{ "unit a@*.service", 1, 1, 1, NULL, NULL, false },
		{ "via door", 1, 1, 1, NULL, "door", true },
		{ "via door", 1, 1, 1, NULL, "Door", false },
		{ "via door", 1, 1, 1, "door", NULL, false },
		{ "via back\\ door,x", 1, 1, 1, NULL, "back door", true },
		{ "via a\\,b", 1, 1, 1, NULL, "a,b", true },
		{ "via x,\"back door\",\"y\"", 1, 1, 1, NULL, "back door", true },
		{ "via \"a,b\",\"\\*\"", 1, 1, 1, NULL, "a,b", true },
		{ "via \"a,b\",c", 1, 1, 1, NULL, "b", false },
		{ "via \"a,b\",c", 1, 1, 1, NULL, "c", true },
		{ "via a\\,b", 1, 1, 1, NULL, "a", false },
		{ "via x\\*", 1, 1, 1, NULL, "x*", true },
		{ "user 5 and group 7 and unit a.service and via d", 5, 7, 1, "a.service", "d",
		  true },
		{ "user 5 and group 7 and unit a.service and via d", 5, 7, 1, "a.service", "e",
		  false },
		{ "user 4294967294", (uid_t)-1, (gid_t)-1, 1, NULL, NULL, false },
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct policy_subject s = { .uid = cases[i].uid,
					    .gid = cases[i].gid,
					    .groups = &cases[i].group,
					    .n_groups = 1,
					    .unit = cases[i].unit,
					    .via = cases[i].via };
		char text[128];
		struct policy *p;

		snprintf(text, sizeof text, "allow read file /k to %s", cases[i].who);
		p = parse(text);
		ck_assert_msg(n_effective(p, &s) == cases[i].applies, "case %zu: %s", i, text);
		policy_free(p);
	}
}
END_TEST

START_TEST(a_subject_may_have_65536_groups)
{
	gid_t *groups = calloc(65536, sizeof *groups);
	struct policy_subject s = { .uid = 1, .gid = 1, .groups = groups, .n_groups = 65536 };
	struct policy *p =
		parse("allow read file /k to group 1000000\n"
		      "allow read file /k to group 65537\nallow read file /k to group 2");

	for (gid_t i = 0; i < 65536; i++)
		groups[i] = 65537 - i;
	ck_assert_uint_eq(n_effective(p, &s), 2);
	policy_free(p);
	free(groups);
}
END_TEST

START_TEST(a_lender_has_the_root_rules_and_the_denies)
{
	struct policy *p =
		parse("allow read under /a to user 1\nallow read under /b to user 1 as root\n"
		      "allow read under /c to user 2 as root\ndeny any under /b/x to user 1");
	struct policy_subject s = { .uid = 1, .gid = 1 };
	struct policy *e = NULL;

	ck_assert_int_eq(policy_effective(p, &s, POLICY_LENDER, NULL, &e), 0);
	ck_assert_uint_eq(policy_n_rules(e), 2);
	reason(e, "/a", R, WIRE_NO_RULE);
	reason(e, "/b", R, WIRE_OK);
	reason(e, "/b/x", R, WIRE_DENIED);
	policy_free(e);
	e = effective(p, &s, NULL);
	ck_assert_uint_eq(policy_n_rules(e), 3);
	/* It outlives what it was made from. */
	policy_free(p);
	reason(e, "/a", R, WIRE_OK);
	reason(e, "/c", R, WIRE_NO_RULE);
	policy_free(e);
}
END_TEST

START_TEST(what_is_granted_at_all)
{
	struct policy *p =
		parse("allow read under /a to user 1\nallow write under ~/b to user 1 as root\n"
		      "allow list under /c to user 2 as root\ndeny any under /b/x to user 1");

	ck_assert_uint_eq(policy_granted(p, false), R);
	ck_assert_uint_eq(policy_granted(p, true), W | L);
	policy_free(p);
	p = parse("deny any under /b/x to user 1");
	ck_assert_uint_eq(policy_granted(p, false), 0);
	policy_free(p);
}
END_TEST

START_TEST(units_are_asked_for_or_not)
{
	struct policy *p = parse("allow read under /a to user 1 and unit a.service");

	ck_assert(policy_uses_units(p));
	policy_free(p);
	p = parse("allow read under /a to user 1 and via a.service");
	ck_assert(!policy_uses_units(p));
	policy_free(p);
}
END_TEST

/* ---- the hull ------------------------------------------------------------------------------- */

static void plan_is(const char *text, bool root, const char *wanted)
{
	struct policy_options o = { .resolve_names = true, .units = true, .home = "/h/u" };
	struct policy *p = parse_with(text, &o);
	struct policy_base *bases = NULL;
	char got[1024] = "";
	size_t n = 99;

	ck_assert_int_eq(policy_plan(p, root, &bases, &n), 0);
	for (size_t i = 0; i < n; i++)
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s %u%s%s\n", bases[i].path,
			 bases[i].access, bases[i].exact ? " exact" : "",
			 bases[i].covered ? " covered" : "");
	ck_assert_str_eq(got, wanted);
	free(bases);
	policy_free(p);
}

START_TEST(the_plan)
{
	plan_is("", false, "");
	plan_is("deny any under /s to anyone", false, "");
	plan_is("allow read under /s to anyone", false, "/s 1\n");
	plan_is("allow read under /s to anyone", true, "");
	/* A lender resolves through directories that it opens: it lists what it may reach. */
	plan_is("allow read under /s to anyone as root", true, "/s 9\n");
	plan_is("allow read file /s/k to anyone as root", true, "/s/k 1 exact\n");
	plan_is("allow read,create file /s/k to anyone as root", true, "/s 12\n/s/k 1 exact\n");
	plan_is("allow read under / to anyone", false, "/ 1\n");
	plan_is("allow read file / to anyone", false, "/ 1 exact\n");
	plan_is("allow read file /s/* to anyone", false, "/s 1\n");
	plan_is("allow read file /*/k to anyone", false, "/ 1\n");
	plan_is("allow read under /s/a*/b to anyone", false, "/s 1\n");
	plan_is("allow read file /s/k to anyone", false, "/s/k 1 exact\n");
	plan_is("allow create file /s/k to anyone", false, "/s 4\n");
	plan_is("allow create file /k to anyone", false, "/ 4\n");
	plan_is("allow create file / to anyone", false, "/ 4\n");
	plan_is("allow read,create file /s/k to anyone", false, "/s 4\n/s/k 1 exact\n");
	plan_is("allow read,create file /s/k* to anyone", false, "/s 5\n");
	plan_is("allow read under ~/d to anyone", false, "/h/u/d 1\n");
	plan_is("allow read under /s\\*/a to anyone", false, "/s*/a 1\n");
	plan_is("allow read under \"/a b\" to anyone", false, "/a b 1\n");
	plan_is("allow list file /s to anyone", false, "/s 8 exact\n");
}
END_TEST

START_TEST(bases_are_merged_and_covered)
{
	plan_is("allow read under /s to anyone\nallow write under /s to anyone", false, "/s 3\n");
	plan_is("allow read file /s to anyone\nallow write file /s to anyone", false,
		"/s 3 exact\n");
	plan_is("allow read file /s to anyone\nallow write under /s to anyone", false,
		"/s 2\n/s 1 exact\n");
	plan_is("allow read file /s to anyone\nallow read under /s to anyone", false,
		"/s 1\n/s 1 exact covered\n");
	plan_is("allow read under /a /a/b /a-b /a/b/c to anyone", false,
		"/a 1\n/a-b 1\n/a/b 1 covered\n/a/b/c 1 covered\n");
	plan_is("allow read under /a to anyone\nallow write under /a/b/c to anyone", false,
		"/a 1\n/a/b/c 2\n");
	plan_is("allow read under / to anyone\nallow read file /etc/k to anyone", false,
		"/ 1\n/etc/k 1 exact covered\n");
	plan_is("allow read file /a to anyone\nallow read file /a/b to anyone", false,
		"/a 1 exact\n/a/b 1 exact\n");
	/* Types are rights as well: a device may be asked to do things. */
	plan_is("allow read under /a to anyone\nallow read file /a/d to anyone type char", false,
		"/a 1\n/a/d 1 exact\n");
	plan_is("allow read under /a to anyone as root\nallow read under /a/b to anyone", false,
		"/a/b 1\n");
}
END_TEST

/* ---- purity -----------------------------------------------------------------------------------
 */

/* In strict mode the kernel kills on any system call but read, write, exit. */
static void decide_confined(const struct policy *p, const char *deep)
{
	long ok = 0;

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		syscall(SYS_exit, 2);
	for (int i = 0; i < 1000; i++) {
		ok += decide(p, "/s/a/b", R).reason == WIRE_OK;
		ok += decide(p, "/s/x", R).reason == WIRE_DENIED;
		ok += decide(p, "/q/x", R).reason == WIRE_NO_RULE;
		ok += looks(p, "/g");
	}
	ok += decide(p, deep, R).reason == WIRE_OK;
	ok += looks(p, deep);
	syscall(SYS_exit, ok == 4002 ? 0 : 1);
}

START_TEST(deciding_makes_no_system_call)
{
	char deep[4096], text[8192];
	struct policy *p;
	int status;
	pid_t pid;

	for (size_t i = 0; i < 4094; i += 2)
		memcpy(deep + i, "/a", 3);
	snprintf(text, sizeof text,
		 "allow read under /s file /g/*/k %s except /s/y to anyone\n"
		 "deny any under /s/x to anyone",
		 deep);
	p = parse(text);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		decide_confined(p, deep);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status), "killed by signal %d", WTERMSIG(status));
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	policy_free(p);
}
END_TEST

/* Stars by the dozen and a name that nearly matches: time stays a product, not a power. */
START_TEST(a_glob_takes_no_more_than_a_product_of_time)
{
	char text[1024] = "allow read file /", path[4096] = "/";
	struct policy *p;

	for (int i = 0; i < 100; i++)
		strcat(text, "*a");
	strcat(text, "b to anyone");
	memset(path + 1, 'a', 4000);
	p = parse(text);
	for (int i = 0; i < 100; i++)
		reason(p, path, R, WIRE_NO_RULE);
	policy_free(p);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		one_rule_must_cover_the_whole_request,
		create_alone_is_a_drop_box,
		a_deny_applies_to_any_access_asked,
		deny_any_is_all_four,
		order_means_nothing,
		a_star_matches_a_leading_dot_and_no_slash,
		a_deny_of_a_file_is_of_that_name_alone,
		as_root_wins,
		log_wins_and_quiet_must_be_unanimous,
		a_name_is_not_a_prefix,
		names_with_one_hash_are_two,
		exceptions_are_and_below_and_for_all_objects,
		an_exception_is_of_its_rule_alone,
		root_is_a_place_too,
		a_trailing_slash_is_dropped,
		globs,
		quotes_protect_blanks_and_not_globs,
		a_comma_is_an_ordinary_byte_of_a_path,
		only_normal_paths_are_judged,
		home_is_where_it_is_said_to_be,
		home_must_be_canonical,
		a_type_that_is_not_named_is_refused,
		a_second_link_is_refused,
		the_nearest_rule_is_named,
		what_no_rule_comes_near_is_never_looked_at,
		looking_goes_through_an_exception_of_a_deny,
		subjects,
		a_subject_may_have_65536_groups,
		a_lender_has_the_root_rules_and_the_denies,
		what_is_granted_at_all,
		units_are_asked_for_or_not,
		the_plan,
		bases_are_merged_and_covered,
		deciding_makes_no_system_call,
		a_glob_takes_no_more_than_a_product_of_time,
	};

	return run_case("policy-decide", tests, ELEMENTSOF(tests), 60);
}
