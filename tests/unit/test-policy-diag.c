/* SPDX-License-Identifier: MIT
 * How mistakes are shown: in place, in full, and without harm to a terminal. */
#include "test-policy.h"

static void shows(const char *file, const char *line, const char *wanted)
{
	struct policy *p = NULL;
	struct diags d = { 0 };
	char *out;

	ck_assert_int_eq(policy_parse(file, line, strlen(line), &plain_options, &d, &p), -EBADMSG);
	out = printed(&d);
	ck_assert_str_eq(out, wanted);
	free(out);
	diags_deinit(&d);
}

START_TEST(the_example_of_the_manual)
{
	struct policy *p = NULL;
	struct diags d = { 0 };
	const char *line = "allow raed file /etc/ssl/private/site.key to user root";
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_int_eq(policy_parse("/etc/opend/policy.d/60-nginx.policy", line, strlen(line),
				      &plain_options, &d, &p),
			 -EBADMSG);
	diags_print(&d, f, false);
	diags_print_summary(&d, f);
	fputs(" Policy not loaded; still running generation 7.\n", f);
	fclose(f);
	ck_assert_str_eq(
		text, "/etc/opend/policy.d/60-nginx.policy:1:7: error: unknown access \"raed\"\n"
		      "    1 | allow raed file /etc/ssl/private/site.key to user root\n"
		      "      |       ^~~~ did you mean \"read\"?\n"
		      "60-nginx.policy: 1 error. Policy not loaded; still running generation 7.\n");
	free(text);
	diags_deinit(&d);
}
END_TEST

START_TEST(tabs_line_up)
{
	shows("p", "\tallow\traed file /k to anyone",
	      "p:1:8: error: unknown access \"raed\"\n"
	      "    1 |         allow   raed file /k to anyone\n"
	      "      |                 ^~~~ did you mean \"read\"?\n");
}
END_TEST

START_TEST(letters_of_many_bytes_line_up)
{
	shows("p", "allow read file /caf\xc3\xa9/\xe2\x82\xac to user root root",
	      "p:1:41: error: unknown option \"root\"\n"
	      "    1 | allow read file /caf\xc3\xa9/\xe2\x82\xac to user root root\n"
	      "      |                                      ^~~~ did you mean \"root,root\"?\n");
}
END_TEST

START_TEST(a_terminal_is_not_harmed)
{
	shows("a\x1b]0;x\x07", "allow \x1b[31mraed file /k to anyone",
	      "a\\x1b]0;x\\x07:1:7: error: control byte\n"
	      "    1 | allow \\x1b[31mraed file /k to anyone\n"
	      "      |       ^~~~ write it as \\xHH\n");
	shows("p", "allow \xff\xc2\x9b\xe2\x80\xae file /k to anyone",
	      "p:1:7: error: unknown access \"\\xff\\xc2\\x9b\\xe2\\x80\\xae\"\n"
	      "    1 | allow \\xff\\xc2\\x9b\\xe2\\x80\\xae file /k to anyone\n"
	      "      |       ^~~~~~~~~~~~~~~~~~~~~~~~\n");
	shows("p", "x\\x1b[2J",
	      "p:1:1: error: unknown word \"x\\x1b[2J\"\n"
	      "    1 | x\\x1b[2J\n"
	      "      | ^~~~~~~~\n");
}
END_TEST

START_TEST(the_end_of_a_line_can_be_the_place)
{
	shows("p", "allow read file /k",
	      "p:1:19: error: the rule does not say to whom\n"
	      "    1 | allow read file /k\n"
	      "      |                   ^ to user NAME, to group NAME, to anyone\n");
}
END_TEST

START_TEST(a_long_line_is_cut_around_the_place)
{
	char line[4096] = "", *out;
	const struct diag *e;
	struct policy *p = NULL;
	struct diags d = { 0 };

	strcpy(line, "allow read file");
	for (int i = 0; i < 200; i++)
		strcat(line, " /some/path");
	strcat(line, " too anyone");
	ck_assert_int_eq(policy_parse("p", line, strlen(line), &plain_options, &d, &p), -EBADMSG);
	e = &d.list[0];
	ck_assert_uint_le(e->source_len, 200);
	ck_assert_int_eq(memcmp(e->source + e->column - e->source_column, "too", 3), 0);
	out = printed(&d);
	ck_assert_ptr_nonnull(strstr(out, "^~~ did you mean \"to\"?"));
	free(out);
	diags_deinit(&d);
}
END_TEST

START_TEST(color_is_for_terminals)
{
	struct diag_place where = { .file = "f" };
	struct diags d = { 0 };
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	diags_add(&d, DIAG_WARNING, &where, NULL, "m");
	diags_print(&d, f, true);
	fclose(f);
	ck_assert_ptr_nonnull(strstr(text, "\033[35mwarning: \033[0mm\n"));
	free(text);
	diags_deinit(&d);
}
END_TEST

START_TEST(what_concerns_a_whole_file_has_no_line)
{
	struct diag_place where = { .file = "/d/f" }, nowhere = { 0 };
	struct diags d = { 0 };
	char *out;

	diags_add(&d, DIAG_ERROR, &where, "chown root", "bad owner");
	diags_add(&d, DIAG_WARNING, &nowhere, NULL, "odd");
	out = printed(&d);
	ck_assert_str_eq(out, "/d/f: error: bad owner; chown root\nwarning: odd\n");
	free(out);
	diags_deinit(&d);
}
END_TEST

static void summary_is(const struct diags *d, const char *wanted)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	diags_print_summary(d, f);
	fclose(f);
	ck_assert_str_eq(text, wanted);
	free(text);
}

START_TEST(summaries)
{
	struct diag_place a = { .file = "/d/a.policy" }, b = { .file = "b" };
	struct diags d = { 0 };

	summary_is(&d, "");
	diags_add(&d, DIAG_WARNING, &a, NULL, "m");
	summary_is(&d, "a.policy: 1 warning.");
	diags_add(&d, DIAG_ERROR, &a, NULL, "m");
	diags_add(&d, DIAG_ERROR, &a, NULL, "m");
	summary_is(&d, "a.policy: 2 errors, 1 warning.");
	diags_add(&d, DIAG_ERROR, &b, NULL, "m");
	summary_is(&d, "policy: 3 errors, 1 warning.");
	diags_deinit(&d);
	diags_add(&d, DIAG_ERROR, &b, NULL, "m");
	summary_is(&d, "b: 1 error.");
	diags_deinit(&d);
}
END_TEST

START_TEST(a_flood_of_warnings_is_counted)
{
	struct diag_place where = { .file = "f" };
	struct diags d = { 0 };
	char *out;

	for (int i = 0; i < 1000; i++)
		diags_add(&d, DIAG_WARNING, &where, NULL, "m%d", i);
	diags_add(&d, DIAG_ERROR, &where, NULL, "after the flood");
	ck_assert_uint_eq(d.n_warnings, 1000);
	ck_assert_uint_eq(d.n, DIAG_WARNINGS_SHOWN + 1);
	out = printed(&d);
	ck_assert_ptr_nonnull(strstr(out, "after the flood\n... and 900 more warnings\n"));
	free(out);
	diags_deinit(&d);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		the_example_of_the_manual,
		tabs_line_up,
		letters_of_many_bytes_line_up,
		a_terminal_is_not_harmed,
		the_end_of_a_line_can_be_the_place,
		a_long_line_is_cut_around_the_place,
		color_is_for_terminals,
		what_concerns_a_whole_file_has_no_line,
		summaries,
		a_flood_of_warnings_is_counted,
	};

	return run_case("policy-diag", tests, ELEMENTSOF(tests), 30);
}
