/* SPDX-License-Identifier: MIT
 * Reading the language: what is a rule, what is a mistake, and that a mistake is shown where it
 * stands. Accounts of the tests are root, daemon and nobody, which every system has. */
#include "test-policy.h"

/* One line that must be refused: at this column, with this message and this hint. */
struct bad {
	const char *line;
	unsigned column, span;
	const char *message, *hint;
};

static void expect_bad(const struct bad *b)
{
	struct policy *p = NULL;
	struct diags d = { 0 };

	ck_assert_msg(policy_parse("p", b->line, strlen(b->line), &plain_options, &d, &p) ==
			      -EBADMSG,
		      "accepted: %s", b->line);
	ck_assert_ptr_null(p);
	ck_assert_uint_eq(d.n_errors, 1);
	for (size_t i = 0; i < d.n; i++) {
		const struct diag *e = &d.list[i];

		if (e->severity != DIAG_ERROR)
			continue;
		ck_assert_msg(strstr(e->message, b->message), "%s: \"%s\" wanted, \"%s\" said",
			      b->line, b->message, e->message);
		ck_assert_msg(e->line == 1 && e->column == b->column && e->span == b->span,
			      "%s: at %u+%u, wanted %u+%u", b->line, e->column, e->span, b->column,
			      b->span);
		if (b->hint)
			ck_assert_msg(e->hint && strstr(e->hint, b->hint),
				      "%s: \"%s\" wanted, hint is \"%s\"", b->line, b->hint,
				      e->hint ? e->hint : "none");
	}
	diags_deinit(&d);
}

static void expect_all_bad(const struct bad *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		expect_bad(&b[i]);
}

START_TEST(words_that_are_not_known)
{
	static const struct bad bad[] = {
		{ "alow read under /s to anyone", 1, 4, "unknown word \"alow\"",
		  "did you mean \"allow\"?" },
		{ "grant read under /s to anyone", 1, 5, "unknown word \"grant\"", NULL },
		{ "\"allow\" read under /s to anyone", 1, 7, "unknown word", NULL },
		{ "\\allow read under /s to anyone", 1, 6, "unknown word", NULL },
		{ "set workers 4", 1, 3, "opend.conf", NULL },
		{ "allow raed file /k to user root", 7, 4, "unknown access \"raed\"",
		  "did you mean \"read\"?" },
		{ "allow read,wirte file /k to user root", 12, 5, "unknown access \"wirte\"",
		  "did you mean \"write\"?" },
		{ "allow execute file /k to user root", 7, 7, "unknown access", NULL },
		{ "allow read,read file /k to anyone", 12, 4, "\"read\" twice", NULL },
		{ "allow read,,write file /k to anyone", 12, 1, "nothing between commas", NULL },
		{ "allow read, write file /k to anyone", 7, 5, "nothing between commas",
		  "without blanks" },
		{ "allow \"\" file /k to anyone", 7, 2, "empty name", NULL },
		{ "allow any file /k to anyone", 7, 3, "an allow names each access", NULL },
		{ "deny any,read file /k to anyone", 6, 3, "unknown access", NULL },
		{ "allow file /k to anyone", 7, 4, "an access word is wanted", NULL },
		{ "allow /k to anyone", 7, 2, "an access word is wanted", NULL },
		{ "allow", 6, 1, "an access word is wanted", NULL },
		{ "allow read", 11, 1, "\"file\" or \"under\" is wanted", NULL },
		{ "allow read /k to anyone", 12, 2, "\"file\" or \"under\" is wanted", NULL },
		{ "allow read undr /k to anyone", 12, 4, "is wanted, not \"undr\"",
		  "did you mean \"under\"?" },
		{ "allow read file to anyone", 17, 2, "a path is wanted after \"file\"", NULL },
		{ "allow read file", 16, 1, "a path is wanted after \"file\"", NULL },
		{ "allow read file k to anyone", 17, 1, "a path is wanted after \"file\"", NULL },
		{ "allow read file /k exept /k to anyone", 20, 5, "unknown word \"exept\"",
		  "did you mean \"except\"?" },
		{ "allow read under /k except to anyone", 28, 2, "a path is wanted after", NULL },
		{ "allow read file /k", 19, 1, "does not say to whom", NULL },
		{ "allow read file /k to", 22, 1, "before it says to whom", NULL },
		{ "allow read file /k to alice", 23, 5, "user, group, unit, via or anyone", NULL },
		{ "allow read file /k to usr root", 23, 3, "user, group, unit, via or anyone",
		  "did you mean \"user\"?" },
		{ "allow read file /k to user", 27, 1, "a name is wanted after \"user\"", NULL },
		{ "allow read file /k to user root and", 36, 1, "before it says to whom", NULL },
	};

	expect_all_bad(bad, ELEMENTSOF(bad));
}
END_TEST

START_TEST(subjects_that_are_mistaken)
{
	static const struct bad bad[] = {
		{ "allow read under /s to user root daemon", 34, 6, "unknown option \"daemon\"",
		  "did you mean \"root,daemon\"?" },
		{ "allow read under /s to user root group daemon", 34, 5,
		  "two kinds are joined by \"and\"", NULL },
		{ "allow read under /s to user root and user daemon", 38, 4, "\"user\" twice",
		  "one list" },
		{ "allow read under /s to anyone and user root", 31, 3, "stands alone", NULL },
		{ "allow read under /s to user root,", 29, 5, "nothing between commas", NULL },
		{ "allow read under /s to user ,root", 29, 1, "nothing between commas", NULL },
		{ "allow read under /s to user ro*t", 31, 1, "patterns are for paths", NULL },
		{ "allow read under /s to via web?", 31, 1, "patterns are for paths", NULL },
		{ "allow read under /s to via a:b", 29, 1, "no via has this byte", NULL },
		{ "allow read under /s to via a\\x01", 29, 4, "no via has this byte", NULL },
		{ "allow read under /s to unit cups", 29, 4, "no unit that holds processes",
		  "did you mean \"cups.service\"?" },
		{ "allow read under /s to unit cups.timer", 29, 10, "no unit that holds", NULL },
		{ "allow read under /s to unit cups[.service", 33, 1, "unclosed bracket", NULL },
		{ "allow read under /s to unit a.b", 29, 3, "no unit that holds", NULL },
		{ "deny any under /s/x to user alcie-is-not-here", 29, 17, "no such user", NULL },
		{ "deny any under /s/x to user root,alcie-is-not-here", 34, 17, "no such user",
		  NULL },
		{ "deny any under /s/x to group alcie-is-not-here", 30, 17, "no such group", NULL },
	};

	expect_all_bad(bad, ELEMENTSOF(bad));
}
END_TEST

START_TEST(ids_that_are_none)
{
	static const struct bad bad[] = {
		{ "allow read file /k to user 4294967296", 28, 10, "id out of range", NULL },
		{ "allow read file /k to user 4294967295", 28, 10, "id out of range", NULL },
		{ "allow read file /k to user 99999999999999999999999", 28, 23, "out of range",
		  NULL },
		{ "allow read file /k to user -1", 28, 2, "no id", NULL },
		{ "allow read file /k to user +1", 28, 2, "no id", NULL },
		{ "allow read file /k to user 1e3", 28, 3, "no id", NULL },
		{ "allow read file /k to user 0x10", 28, 4, "no id", NULL },
		{ "allow read file /k to user 010", 28, 3, "no leading zero", NULL },
		{ "allow read file /k to user 00", 28, 2, "no leading zero", NULL },
		{ "allow read file /k to group 1,4294967296", 31, 10, "id out of range", NULL },
		{ "deny any file /k to user 4294967296", 26, 10, "id out of range", NULL },
	};

	expect_all_bad(bad, ELEMENTSOF(bad));
	policy_free(parse("allow read file /k to user 0,1,4294967294 and group 0"));
}
END_TEST

START_TEST(options_that_are_mistaken)
{
	static const struct bad bad[] = {
		{ "allow read under /s to user root singlelink", 34, 10,
		  "unknown option \"singlelink\"", "did you mean \"single-link\"?" },
		{ "allow read under /s to anyone loud", 31, 4, "unknown option \"loud\"", NULL },
		{ "allow read under /s to anyone log log", 35, 3, "\"log\" twice", NULL },
		{ "allow read under /s to anyone as root as root", 39, 2, "\"as\" twice", NULL },
		{ "allow read under /s to anyone as nobody", 34, 6, "as caller", NULL },
		{ "allow read under /s to anyone as", 33, 1, "as caller", NULL },
		{ "allow read under /s to anyone log as root", 35, 2, "before the other", NULL },
		{ "allow read under /s to anyone quiet", 31, 5, "is for deny rules", NULL },
		{ "deny any under /s to anyone log", 29, 3, "is for allow rules", "quiet" },
		{ "deny any under /s to anyone as root", 29, 2, "is for allow rules", NULL },
		{ "deny any under /s to anyone quiet quiet", 35, 5, "\"quiet\" twice", NULL },
		{ "allow read under /s to anyone type", 35, 1, "a type is wanted", NULL },
		{ "allow read under /s to anyone type pipe", 36, 4, "unknown type \"pipe\"", NULL },
		{ "allow read under /s to anyone type fifo,fifo", 41, 4, "\"fifo\" twice", NULL },
		{ "allow list under /s to anyone type regular", 36, 7, "\"list\" needs", NULL },
		{ "allow read under /s to anyone type directory", 36, 9, "needs \"list\"", NULL },
		{ "allow create under /s to anyone type fifo", 38, 4, "\"create\" needs", NULL },
		{ "allow read,list under /s to anyone type directory", 41, 9, "\"read\" and",
		  NULL },
	};

	expect_all_bad(bad, ELEMENTSOF(bad));
}
END_TEST

START_TEST(paths_that_are_none)
{
	static const struct bad bad[] = {
		{ "allow read file /a/../b to anyone", 20, 2, "\".\" or \"..\"", NULL },
		{ "allow read file /a/./b to anyone", 20, 1, "\".\" or \"..\"", NULL },
		{ "allow read file /.. to anyone", 18, 2, "\".\" or \"..\"", NULL },
		{ "allow read file /a/\\.. to anyone", 20, 3, "\".\" or \"..\"", NULL },
		{ "allow read file //a to anyone", 17, 2, "\"//\"", NULL },
		{ "allow read file /a//b to anyone", 19, 2, "\"//\"", NULL },
		{ "allow read file /a// to anyone", 19, 2, "\"//\"", NULL },
		{ "allow read file // to anyone", 17, 2, "\"//\"", NULL },
		{ "allow read file ~// to anyone", 18, 2, "\"//\"", NULL },
		{ "allow read file ~root/x to anyone", 17, 7, "~user", NULL },
		{ "allow read file \"k\" to anyone", 17, 3, "a path is wanted", NULL },
		{ "allow read file /a[b to anyone", 19, 1, "unclosed bracket", NULL },
		{ "allow read file /a[]b to anyone", 19, 1, "unclosed bracket", NULL },
		{ "allow read file /a[^b] to anyone", 19, 1, "[!", NULL },
		{ "allow read file /a[[:alpha:]] to anyone", 19, 1, "locale", NULL },
		{ "allow read file /[z-a] to anyone", 18, 1, "ends before it begins", NULL },
		{ "allow read file /a/** to anyone", 20, 1, "\"**\"", "under" },
		{ "deny any file /home/**/k to anyone", 21, 1, "\"**\"", "under" },
		{ "allow read under /s except /t to anyone", 28, 2, "in none of the rule's", NULL },
		{ "allow read under /s except /s/a /t to anyone", 33, 2, "in none of", NULL },
		{ "allow read under /s except / to anyone", 28, 1, "in none of", NULL },
		{ "allow read file /s except /s/a to anyone", 27, 4, "in none of", NULL },
		{ "allow read under /s/a* except /s/* to anyone", 31, 4, "in none of", NULL },
		{ "allow read under ~ except /home/x to anyone", 27, 7, "in none of", NULL },
	};

	expect_all_bad(bad, ELEMENTSOF(bad));
}
END_TEST

START_TEST(tokens_that_are_mistaken)
{
	static const struct bad bad[] = {
		{ "allow read file \"/k to anyone", 17, 13, "unclosed quote", NULL },
		{ "allow read file \"/k\"x to anyone", 21, 1, "text after a quote", NULL },
		{ "allow read file \"/k\",\"/l\" to anyone", 17, 9, "a list of quoted words",
		  "blanks" },
		{ "allow read file /k,\"/l m\" to anyone", 17, 9, "a list of quoted words",
		  "blanks" },
		{ "allow read file /k to user \"a\",\"b", 32, 2, "unclosed quote", NULL },
		{ "allow read file /k to user \"a\",\"b\"c", 35, 1, "text after a quote", NULL },
		{ "allow read file /k\"x\" to anyone", 19, 1, "quote inside a word", NULL },
		{ "allow read file /k to anyone\\", 29, 1, "backslash at the end", NULL },
		{ "allow read file /\\x0 to anyone", 18, 2, "two hexadecimal digits", NULL },
		{ "allow read file /\\xg0 to anyone", 18, 2, "two hexadecimal digits", NULL },
		{ "allow read file /\\x00 to anyone", 18, 4, "NUL", NULL },
		{ "allow read file /k to anyone\r", 29, 1, "CRLF", "LF alone" },
		{ "allow read\r file /k to anyone", 11, 1, "carriage return", NULL },
		{ "# comment\r", 10, 1, "CRLF", NULL },
		{ "allow read file /\x1b[31m to anyone", 18, 1, "control byte", "\\xHH" },
		{ "allow read file \"/\x7f\" to anyone", 19, 1, "control byte", "\\xHH" },
	};
	char *out;

	expect_all_bad(bad, ELEMENTSOF(bad));
	out = parse_fails_len("allow read file /k\0 to anyone", 29, &plain_options);
	ck_assert_ptr_nonnull(strstr(out, "p:1:19: error: NUL byte"));
	free(out);
}
END_TEST

START_TEST(expectations_that_are_mistaken)
{
	static const struct bad bad[] = {
		{ "expect", 7, 1, "allow or deny is wanted", NULL },
		{ "expect alow read /k for user root", 8, 4, "allow or deny is wanted",
		  "did you mean \"allow\"?" },
		{ "expect allow", 13, 1, "an access word is wanted", NULL },
		{ "expect allow any /k for user root", 14, 3, "\"any\" is for deny", NULL },
		{ "expect allow read", 18, 1, "an absolute path", NULL },
		{ "expect allow read ~/k for user root", 19, 3, "an absolute path", NULL },
		{ "expect allow read /k* for user root", 20, 2, "one path is wanted", NULL },
		{ "expect allow read /k to user root", 22, 2, "\"for\" is wanted", NULL },
		{ "expect allow read /k for anyone", 26, 6, "one identity", NULL },
		{ "expect allow read /k for user root,daemon", 36, 6, "about one user", NULL },
		{ "expect allow read /k for unit a@*.service", 31, 11, "one unit is wanted", NULL },
		{ "expect deny read /k for user nobody-of-this-name", 30, 19, "no such user",
		  NULL },
		{ "expect deny read /k for user root log", 35, 3, "ends behind its identity",
		  NULL },
	};

	expect_all_bad(bad, ELEMENTSOF(bad));
}
END_TEST

START_TEST(an_expectation_that_fails_names_the_rule)
{
	char *out = parse_fails("allow read under /s to user 7\n"
				"deny any under /s/x to anyone\n"
				"expect allow read /s/x/y for user 7\n"
				"expect deny read /s/a for user 7\n"
				"expect allow write /s/a for user 7\n"
				"expect allow read /t for user 7\n"
				"expect allow read /s/a for user 7\n"
				"expect deny read /s/a for user 8\n");

	ck_assert_ptr_nonnull(strstr(out, "p:3:8: error: expected allow, but the policy denies"));
	ck_assert_ptr_nonnull(strstr(out, "^~~~~ p:2 denies it"));
	ck_assert_ptr_nonnull(strstr(out, "p:4:8: error: expected deny, but the policy allows"));
	ck_assert_ptr_nonnull(strstr(out, "^~~~ p:1 allows it"));
	ck_assert_ptr_nonnull(strstr(out, "p:1 names it, but not for this access"));
	ck_assert_ptr_nonnull(strstr(out, "p:6:8"));
	ck_assert_ptr_null(strstr(out, "p:7"));
	ck_assert_ptr_null(strstr(out, "p:8"));
	free(out);
}
END_TEST

START_TEST(an_expectation_spells_the_whole_identity_out)
{
	policy_free(parse(
		"allow read file /k to user 7 and group 8 and unit a@*.service and via d\n"
		"expect allow read /k for user 7 and group 9,8 and unit a@1.service and via d\n"
		"expect deny read /k for user 7 and unit a@1.service and via d\n"
		"expect deny read /k for user 7 and group 8 and via d\n"
		"expect deny read /k for user 7 and group 8 and unit a@1.service\n"
		"expect deny read /k for group 8 and unit a@1.service and via d\n"
		"expect deny read / for via d\n"));
}
END_TEST

/* root is the one account whose home is there on every system. */
START_TEST(an_expectation_knows_the_home)
{
	static const struct policy_options numbers = { .units = true };
	const char *text = "allow read under ~ to anyone\nexpect allow read /root/x for user 0";
	char *out;

	policy_free(
		parse("allow read under ~/x to anyone\nexpect allow read /root/x/y for user root\n"
		      "expect deny read /root/x/y for user 4000000001\n"
		      "expect deny read /root/x/y for via d"));
	policy_free(parse(text));
	out = parse_fails_len(text, strlen(text), &numbers);
	ck_assert_ptr_nonnull(strstr(out, "expected allow"));
	free(out);
}
END_TEST

/* Unknown in an allow: told, and nobody is matched. */
START_TEST(an_unknown_account_in_an_allow_matches_nobody)
{
	const char *text = "allow read file /k to user no-such-account\n"
			   "allow read file /l to user no-such-account,7\n"
			   "allow read file /m to group no-such-account\n";
	struct policy_subject s = { .uid = 0, .gid = 0 };
	struct policy *p = NULL, *e;
	struct diags d = { 0 };

	ck_assert_int_eq(policy_parse("p", text, strlen(text), &plain_options, &d, &p), 0);
	ck_assert_uint_eq(d.n_errors, 0);
	ck_assert_uint_eq(d.n_warnings, 3);
	ck_assert_str_eq(d.list[0].message, "no such user");
	ck_assert_uint_eq(d.list[0].column, 28);
	diags_deinit(&d);
	e = effective(p, &s, NULL);
	ck_assert_uint_eq(policy_n_rules(e), 0);
	policy_free(e);
	s.uid = 7;
	e = effective(p, &s, NULL);
	ck_assert_uint_eq(policy_n_rules(e), 1);
	ck_assert_str_eq(policy_origin(e, 0), "p:2");
	policy_free(e);
	policy_free(p);
}
END_TEST

START_TEST(names_are_not_looked_up_where_ids_are_wanted)
{
	static const struct policy_options options = { .resolve_names = false, .units = true };
	char *out = parse_fails_len("allow read file /k to user root\n", 32, &options);

	ck_assert_ptr_nonnull(strstr(out, "p:1:28: error: a number is wanted"));
	free(out);
	policy_free(parse_with("allow read file /k to user 0", &options));
}
END_TEST

START_TEST(a_unit_needs_a_kernel_that_knows_it)
{
	static const struct policy_options options = { .resolve_names = true, .units = false };
	const char *text = "allow read file /k to unit a.service\nallow read file /l to anyone\n"
			   "expect deny read /k for unit a.service\n";
	struct policy_subject s = { .uid = 1, .gid = 1, .unit = "a.service" };
	struct policy *p = NULL, *e;
	struct diags d = { 0 };
	char *out;

	ck_assert_int_eq(policy_parse("p", text, strlen(text), &options, &d, &p), 0);
	ck_assert_uint_eq(d.n_warnings, 1);
	ck_assert_ptr_nonnull(strstr(d.list[0].message, "matches nobody"));
	diags_deinit(&d);
	ck_assert_int_eq(decide(p, "/k", WIRE_READ).reason, WIRE_NO_RULE);
	e = effective(p, &s, NULL);
	ck_assert_uint_eq(policy_n_rules(e), 1);
	ck_assert_int_eq(decide(e, "/l", WIRE_READ).reason, WIRE_OK);
	policy_free(e);
	policy_free(p);
	out = parse_fails_len("deny any file /k to unit a.service", 34, &options);
	ck_assert_ptr_nonnull(strstr(out, "p:1:26: error: this kernel cannot tell"));
	free(out);
}
END_TEST

START_TEST(what_is_doubtful_is_warned_of)
{
	static const struct {
		const char *line, *message;
		unsigned column;
	} doubtful[] = {
		{ "deny any under ~/.ssh to anyone", "~ protects the caller only", 16 },
		{ "deny any under /s to group 7", "can drop a group", 22 },
		{ "allow read file /a, /b to anyone", "ends with a comma", 17 },
	};

	for (size_t i = 0; i < ELEMENTSOF(doubtful); i++) {
		struct policy *p = NULL;
		struct diags d = { 0 };

		ck_assert_int_eq(policy_parse("p", doubtful[i].line, strlen(doubtful[i].line),
					      &plain_options, &d, &p),
				 0);
		ck_assert_uint_eq(d.n, 1);
		ck_assert_int_eq(d.list[0].severity, DIAG_WARNING);
		ck_assert_ptr_nonnull(strstr(d.list[0].message, doubtful[i].message));
		ck_assert_uint_eq(d.list[0].column, doubtful[i].column);
		diags_deinit(&d);
		policy_free(p);
	}
}
END_TEST

START_TEST(a_line_has_a_length)
{
	size_t len = 1024 * 1024;
	char *text = malloc(len + 64), *out;

	memset(text, 'a', len);
	memcpy(text, "allow read file /", 17);
	out = parse_fails_len(text, len, &plain_options);
	ck_assert_ptr_nonnull(strstr(out, "p:1:65537: error: line longer than 65536 bytes"));
	ck_assert_uint_lt(strlen(out), 1000);
	free(out);
	/* The longest that is one. */
	memset(text, ' ', len);
	memcpy(text, "allow read file /k to anyone", 28);
	text[65536] = '\n';
	memcpy(text + 65537, "allow read file /l to anyone", 29);
	policy_free(parse(text));
	text[65536] = ' ';
	text[65537] = '\n';
	out = parse_fails(text);
	ck_assert_ptr_nonnull(strstr(out, "line longer"));
	free(out);
	free(text);
}
END_TEST

START_TEST(blank_lines_comments_and_a_missing_last_newline)
{
	struct policy *p = parse("\n   \t\n# nothing\n\t# nothing\n"
				 "allow\tread  file /k#1 /#k to user 7 #not-a-name # x\n"
				 "allow read file \"/a b\" /c\\ d /e\\x20f to anyone #1");

	policy_free(p);
}
END_TEST

START_TEST(a_hash_inside_a_word_is_no_comment)
{
	char *out = parse_fails("allow read file /k to anyone#x");

	ck_assert_ptr_nonnull(strstr(out, "p:1:23"));
	free(out);
}
END_TEST

START_TEST(all_errors_are_found_and_twenty_shown)
{
	char text[4096] = "", *out;
	struct policy *p = NULL;
	struct diags d = { 0 };

	for (int i = 0; i < 50; i++)
		strcat(text, i % 2 ? "allow raed file /k to anyone\n" : "x\n");
	ck_assert_int_eq(policy_parse("p", text, strlen(text), &plain_options, &d, &p), -EBADMSG);
	ck_assert_uint_eq(d.n_errors, 50);
	ck_assert_uint_eq(d.n, 20);
	out = printed(&d);
	ck_assert_ptr_nonnull(strstr(out, "p:20:7: error"));
	ck_assert_ptr_null(strstr(out, "p:21"));
	ck_assert_ptr_nonnull(strstr(out, "... and 30 more errors\n"));
	free(out);
	diags_deinit(&d);
}
END_TEST

/* Errors that were there before are not this text's. */
START_TEST(diagnostics_are_added_to)
{
	struct policy *p = NULL;
	struct diags d = { 0 };

	ck_assert_int_eq(policy_parse("p", "x", 1, &plain_options, &d, &p), -EBADMSG);
	ck_assert_int_eq(policy_parse("q", "", 0, &plain_options, &d, &p), 0);
	ck_assert_uint_eq(d.n_errors, 1);
	ck_assert_uint_eq(policy_n_rules(p), 0);
	policy_free(p);
	diags_deinit(&d);
}
END_TEST

START_TEST(a_name_has_a_length)
{
	char text[512] = "allow read file /k to via ", *out;
	size_t len = strlen(text);

	memset(text + len, 'a', 255);
	policy_free(parse(text));
	text[len + 255] = 'a';
	out = parse_fails(text);
	ck_assert_ptr_nonnull(strstr(out, "p:1:27: error: name longer than 255 bytes"));
	free(out);
}
END_TEST

START_TEST(there_is_a_bound_to_everything)
{
	size_t room = 8 * 1024 * 1024, len = 0;
	char *text = malloc(room), *out;

	for (int i = 0; i < 100001; i++)
		len += (size_t)sprintf(text + len, "deny any file / to anyone\n");
	out = parse_fails_len(text, len, &plain_options);
	ck_assert_ptr_nonnull(strstr(out, "p:100001:26: error: more than 100000 rules"));
	free(out);
	len = (size_t)sprintf(text, "allow read file / to anyone\n");
	for (int i = 0; i < 10001; i++)
		len += (size_t)sprintf(text + len, "expect allow read / for user 1\n");
	out = parse_fails_len(text, len, &plain_options);
	ck_assert_ptr_nonnull(strstr(out, "more than 10000 expectations"));
	free(out);
	len = 0;
	for (int i = 0; i < 51; i++) {
		len += (size_t)sprintf(text + len, "allow read file");
		for (int j = 0; j < 20000; j++)
			len += (size_t)sprintf(text + len, " /a");
		len += (size_t)sprintf(text + len, " to anyone\n");
	}
	out = parse_fails_len(text, len, &plain_options);
	ck_assert_ptr_nonnull(strstr(out, "p:51:60026: error: more than 1000000 patterns"));
	free(out);
	free(text);
}
END_TEST

/* The page's own examples. The one account that a system may lack is written as a number. */
START_TEST(examples_of_the_manual_are_policy)
{
	struct policy *p = parse(
		"# /etc/opend/policy.d/60-nginx.policy\n"
		"allow read file /etc/ssl/private/site.key to user 33 and via nginx as root log\n"
		"allow read,list under ~/Documents ~/Downloads to group 44\n"
		"allow read,write,create under /srv/inbox except /srv/inbox/.index to user 7,8\n"
		"allow create under /srv/dropbox to anyone\n"
		"deny  any under /home/*/.ssh /home/*/.gnupg to anyone\n"
		"expect allow read /etc/ssl/private/site.key for user 33 and via nginx\n"
		"expect deny  read /etc/ssl/private/other.key for user 33 and via nginx\n");

	ck_assert_uint_eq(policy_n_rules(p), 5);
	ck_assert_str_eq(policy_origin(p, 0), "p:2");
	ck_assert_str_eq(policy_origin(p, 4), "p:6");
	policy_free(p);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		words_that_are_not_known,
		subjects_that_are_mistaken,
		ids_that_are_none,
		options_that_are_mistaken,
		paths_that_are_none,
		tokens_that_are_mistaken,
		expectations_that_are_mistaken,
		an_expectation_that_fails_names_the_rule,
		an_expectation_spells_the_whole_identity_out,
		an_expectation_knows_the_home,
		an_unknown_account_in_an_allow_matches_nobody,
		names_are_not_looked_up_where_ids_are_wanted,
		a_unit_needs_a_kernel_that_knows_it,
		what_is_doubtful_is_warned_of,
		a_line_has_a_length,
		blank_lines_comments_and_a_missing_last_newline,
		a_hash_inside_a_word_is_no_comment,
		all_errors_are_found_and_twenty_shown,
		diagnostics_are_added_to,
		a_name_has_a_length,
		there_is_a_bound_to_everything,
		examples_of_the_manual_are_policy,
	};

	return run_case("policy-parse", tests, ELEMENTSOF(tests), 60);
}
