/* SPDX-License-Identifier: MIT
 * The printer: what it writes is the policy, to the byte, whatever bytes there are. */
#include "test-policy.h"

static const struct policy_options origins = { .resolve_names = true,
					       .units = true,
					       .origins = true };

/* Printed, this text is `wanted`; printed again from that, it is the same. */
static void prints(const char *text, const char *wanted)
{
	struct policy *p = parse(text), *again;
	char *once = print_whole(p), *twice;

	ck_assert_str_eq(once, wanted);
	again = parse_with(once, &origins);
	twice = print_whole(again);
	ck_assert_str_eq(twice, once);
	policy_free(p);
	policy_free(again);
	free(once);
	free(twice);
}

START_TEST(a_policy_is_printed_in_one_form)
{
	prints("", "");
	prints("  allow\tread,write  file /k to user root as caller  # why\n",
	       "allow read,write file /k to user root # p:1\n");
	prints("allow list,write,read file /k under /t file /l to anyone as root log",
	       "allow read,write,list file /k under /t file /l to anyone as root log # p:1\n");
	prints("\n\ndeny any file /k/ to group daemon and user root quiet",
	       "deny any file /k to user root and group daemon quiet # p:3\n");
	prints("deny read,write,create,list file /k to anyone",
	       "deny read,write,create,list file /k to anyone # p:1\n");
	prints("allow list,read under / ~ ~/ except ~/x to via d and unit a@*.service type "
	       "fifo,directory single-link",
	       "allow read,list under / ~ ~ except ~/x to unit a@*.service and via d single-link "
	       "type directory,fifo # p:1\n");
	prints("expect deny read / for user 7\nallow read file /k to anyone\n"
	       "expect allow read \"/k\" for user root and group 1,2 and unit a.service and via d",
	       "allow read file /k to anyone # p:2\nexpect deny read / for user 7 # p:1\n"
	       "expect allow read /k for user root and group 1,2 and unit a.service and via d # "
	       "p:3\n");
}
END_TEST

START_TEST(bytes_that_mean_something_are_escaped)
{
	prints("allow read file /a\\ b \"/a b/*\" to anyone",
	       "allow read file \"/a b\" \"/a b/*\" to anyone # p:1\n");
	prints("allow read file /\\* /\\x2a* /[\\]*] /\\\\ /\\\" /*\\\" \"/ \\\"\" to anyone",
	       "allow read file /\\* /\\** /[\\]*] /\\\\ /\\\" /*\\x22 \"/ \\\"\" to anyone # "
	       "p:1\n");
	prints("allow read file /\\x01 /\\x0a* /\\x7f /\\t /\\xff to anyone",
	       "allow read file /\\x01 /\\x0a* /\\x7f /t /\\xff to anyone # p:1\n");
	prints("allow read file /caf\xc3\xa9 /\xc3 /\xc2\x85 /\xe2\x80\xae to anyone",
	       "allow read file /caf\xc3\xa9 /\\xc3 /\\xc2\\x85 /\\xe2\\x80\\xae to anyone # "
	       "p:1\n");
	prints("allow read file /[\\x01-\\x1f] /[!\\xff] to anyone",
	       "allow read file /[\\x01-\\x1f] /[!\\xff] to anyone # p:1\n");
	prints("allow read file /k to via \"a b\",\\#,c\\,d,\"e,f\" and unit \"a b@[1,2].service\"",
	       "allow read file /k to unit a\\ b@[1\\,2].service and via a\\ b,\\#,c\\,d,e\\,f # "
	       "p:1\n");
	prints("allow read file /k to via \\#x,\\*,\\\"",
	       "allow read file /k to via \\#x,\\*,\\x22 # p:1\n");
	prints("allow read file /k to unit a\\*.service",
	       "allow read file /k to unit a\\*.service # p:1\n");
}
END_TEST

START_TEST(an_origin_may_hold_any_bytes)
{
	const char *name = "/a b/\\x\n#\"\xff.policy", *text = "allow read file /k to anyone\n";
	struct policy *p = NULL, *again;
	struct diags d = { 0 };
	char *out;

	ck_assert_int_eq(policy_parse(name, text, strlen(text), &plain_options, &d, &p), 0);
	out = print_whole(p);
	ck_assert_str_eq(out, "allow read file /k to anyone # /a b/\\x5cx\\x0a#\"\\xff.policy:1\n");
	again = parse_with(out, &origins);
	ck_assert_str_eq(policy_origin(again, 0), policy_origin(p, 0));
	policy_free(again);
	/* Escapes of other forms than the printer's are read as well. */
	again = parse_with("allow read file /k to anyone #  /\\a\\x4A\\x4g:1", &origins);
	ck_assert_str_eq(policy_origin(again, 0), "/aJx4g:1");
	policy_free(again);
	/* Only who trusts the text takes its word. */
	again = parse(out);
	ck_assert_str_eq(policy_origin(again, 0), "p:1");
	policy_free(again);
	policy_free(p);
	free(out);
}
END_TEST

static char *print_for(const struct policy *p, const struct policy_subject *s,
		       enum policy_part part, size_t *n, size_t *n_root)
{
	char *text = NULL;
	size_t len;

	ck_assert_int_eq(policy_print_effective(p, s, part, &text, &len, n, n_root), 0);
	ck_assert_uint_eq(strlen(text), len);
	return text;
}

/* A worker's text is handed to its client: it says nothing of others. */
START_TEST(an_effective_policy_names_its_subject_alone)
{
	struct policy *p = parse(
		"allow read file /k to user root,7,8 as root\n"
		"allow read file /l to user 7 and group 1,2,3 and unit a.service,b@*.service\n"
		"allow read file /m to user 8\n"
		"deny any file ~/n to anyone\n"
		"allow read file /o to user nobody-of-this-name,7\n"
		"allow read file /p to via x,d\n");
	gid_t groups[] = { 3 };
	struct policy_subject s = { .uid = 7,
				    .gid = 2,
				    .groups = groups,
				    .n_groups = 1,
				    .unit = "b@1.service",
				    .via = "d" };
	size_t n, n_root;
	char *text = print_for(p, &s, POLICY_CALLER, &n, &n_root), *again;

	ck_assert_str_eq(text,
			 "allow read file /k to user 7 as root # p:1\n"
			 "allow read file /l to user 7 and group 2,3 and unit b@*.service # p:2\n"
			 "deny any file ~/n to anyone # p:4\n"
			 "allow read file /o to user 7 # p:5\n"
			 "allow read file /p to via d # p:6\n");
	ck_assert_uint_eq(n, 5);
	ck_assert_uint_eq(n_root, 1);
	again = print_for(p, &s, POLICY_CALLER, NULL, NULL);
	ck_assert_str_eq(again, text);
	free(again);
	free(text);
	text = print_for(p, &s, POLICY_LENDER, &n, &n_root);
	ck_assert_str_eq(text, "allow read file /k to user 7 as root # p:1\n"
			       "deny any file ~/n to anyone # p:4\n");
	free(text);
	s = (struct policy_subject){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	text = print_for(p, &s, POLICY_CALLER, &n, &n_root);
	ck_assert_str_eq(text, "deny any file ~/n to anyone # p:4\n");
	free(text);
	policy_free(p);
}
END_TEST

START_TEST(an_effective_policy_may_be_empty)
{
	struct policy *p = parse("allow read file /k to user 8\n");
	struct policy_subject s = { .uid = 7, .gid = 7 };
	size_t n, n_root;
	char *text = print_for(p, &s, POLICY_CALLER, &n, &n_root);

	ck_assert_str_eq(text, "");
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(n_root, 0);
	free(text);
	policy_free(p);
}
END_TEST

/* Escapes make a line longer than a file's may be; the worker must still read it. */
START_TEST(a_printed_line_may_be_longer_than_a_written_one)
{
	size_t len = 60000;
	char *text = malloc(len + 64), *out;
	struct policy *p, *again;

	strcpy(text, "allow read file");
	for (size_t i = 15; i < len; i += 60) {
		memset(text + i, 0xff, 60);
		memcpy(text + i, " /", 2);
	}
	strcpy(text + len, " to anyone");
	p = parse(text);
	out = print_whole(p);
	ck_assert_uint_gt(strlen(out), 200000);
	again = parse_with(out, &origins);
	ck_assert_uint_eq(policy_n_rules(again), 1);
	policy_free(again);
	policy_free(p);
	free(out);
	free(text);
}
END_TEST

/* Any byte in a path: written, printed, read, and the very same path is matched. */
START_TEST(every_byte_survives)
{
	for (unsigned c = 1; c < 256; c++) {
		char text[64], path[8] = "/a", *out;
		struct policy *p, *again;

		if (c == '/')
			continue;
		snprintf(text, sizeof text, "allow read file /a\\x%02xb to anyone", c);
		path[2] = (char)c;
		path[3] = 'b';
		p = parse(text);
		ck_assert_int_eq(decide(p, path, WIRE_READ).reason, WIRE_OK);
		out = print_whole(p);
		again = parse_with(out, &origins);
		ck_assert_int_eq(decide(again, path, WIRE_READ).reason, WIRE_OK);
		path[2] = (char)(c == 'z' ? 'y' : 'z');
		ck_assert_int_eq(decide(again, path, WIRE_READ).reason, WIRE_NO_RULE);
		policy_free(p);
		policy_free(again);
		free(out);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_policy_is_printed_in_one_form,
		bytes_that_mean_something_are_escaped,
		an_origin_may_hold_any_bytes,
		an_effective_policy_names_its_subject_alone,
		an_effective_policy_may_be_empty,
		a_printed_line_may_be_longer_than_a_written_one,
		every_byte_survives,
	};

	return run_case("policy-print", tests, ELEMENTSOF(tests), 60);
}
