/* SPDX-License-Identifier: MIT
 * What the policy tests share: reading a text in one line, asking in one line. */
#ifndef TEST_POLICY_H
#define TEST_POLICY_H

#include <check.h>
#include <stdio.h>
#include <string.h>
#include "policy/policy.h"

static const struct policy_options plain_options = { .resolve_names = true, .units = true };

/* The diagnostics as they are printed; free it. */
static inline char *printed(const struct diags *d)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	diags_print(d, f, false);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

static inline struct policy *parse_with(const char *text, const struct policy_options *options)
{
	struct policy *p = NULL;
	struct diags d = { 0 };
	int r = policy_parse("p", text, strlen(text), options, &d, &p);

	if (r != 0) {
		char *why = printed(&d);

		ck_abort_msg("%s: %s", strerror(-r), why);
	}
	diags_deinit(&d);
	return p;
}

static inline struct policy *parse(const char *text)
{
	return parse_with(text, &plain_options);
}

/* Parses what must fail; returns what is printed, to be freed. */
static inline char *parse_fails_len(const char *text, size_t len,
				    const struct policy_options *options)
{
	struct policy *p = NULL;
	struct diags d = { 0 };
	char *out;

	ck_assert_int_eq(policy_parse("p", text, len, options, &d, &p), -EBADMSG);
	ck_assert_ptr_null(p);
	ck_assert_uint_ge(d.n_errors, 1);
	out = printed(&d);
	diags_deinit(&d);
	return out;
}

static inline char *parse_fails(const char *text)
{
	return parse_fails_len(text, strlen(text), &plain_options);
}

static inline struct policy_verdict decide(const struct policy *p, const char *path,
					   unsigned access)
{
	struct policy_query q = { .path = path, .len = strlen(path), .access = access };
	struct policy_verdict v;

	policy_decide(p, &q, &v);
	return v;
}

static inline bool looks(const struct policy *p, const char *path)
{
	return policy_may_look(p, path, strlen(path));
}

static inline struct policy *effective(const struct policy *p, const struct policy_subject *s,
				       const char *home)
{
	struct policy *e = NULL;

	ck_assert_int_eq(policy_effective(p, s, POLICY_CALLER, home, &e), 0);
	return e;
}

static inline char *print_whole(const struct policy *p)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(policy_print(p, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

/* Runs one suite in forked tests with a timeout each; for main(). */
static inline int run_case_with(const char *name, const TTest *const *tests, size_t n,
				double timeout, SFun setup, SFun teardown)
{
	Suite *suite = suite_create(name);
	TCase *tc = tcase_create(name);
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, timeout);
	tcase_add_checked_fixture(tc, setup, teardown);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static inline int run_case(const char *name, const TTest *const *tests, size_t n, double timeout)
{
	return run_case_with(name, tests, n, timeout, NULL, NULL);
}

#endif
