/* SPDX-License-Identifier: MIT
 * Memory that is not there: each allocation in turn fails, alone and with all that follow. Whatever
 * was asked for is then refused or right, never half: a policy of which a deny is missing would be
 * worse than none. And nothing is lost on the way. */
#include <sys/stat.h>
#include "policy/explain.h"
#include "policy/hull.h"
#include "policy/text.h"
#include "test-policy.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_ALLOCATOR 0
#else
#define OWN_ALLOCATOR 1
#endif

static long live, countdown = -1;
static bool for_good;
static const char *wrong; /* what did not hold; Check itself needs memory to say so */

#define REQUIRE(x)                                                                                 \
	do {                                                                                       \
		if (!(x) && !wrong)                                                                \
			wrong = #x;                                                                \
	} while (0)

#if OWN_ALLOCATOR
/* For libc too, which finds them only if they are not hidden. */
#pragma GCC visibility push(default)
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void __libc_free(void *p);

static bool fails(void)
{
	if (countdown < 0 || countdown-- > 0)
		return false;
	if (for_good)
		countdown = 0;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	void *p = fails() ? NULL : __libc_malloc(size);

	live += p != NULL;
	return p;
}

void *calloc(size_t n, size_t size)
{
	void *p = fails() ? NULL : __libc_calloc(n, size);

	live += p != NULL;
	return p;
}

void *realloc(void *old, size_t size)
{
	void *p = fails() ? NULL : __libc_realloc(old, size);

	live += p != NULL && old == NULL;
	return p;
}

void free(void *p)
{
	live -= p != NULL;
	__libc_free(p);
}
#pragma GCC visibility pop
#endif

/* No account that NSS would be asked about: its modules have leaks of their own. */
static const char text[] =
	"allow read,list under ~/a \"/b c/*\" file /d[a-f]?/k except ~/a/x to group 1,2 as root\n"
	"allow read,write,create under /srv /srv/b /srv/c/d/e/f/g/h to group 1 and via d log\n"
	"allow read file /k to unit a@*.service and via \"x y\"\n"
	"deny any under /srv/x /srv/b to anyone\n"
	"expect allow read /srv/c for group 1 and via d\n"
	"expect deny read /srv/x for group 1 and via d\n";

static const struct policy_subject subject = { .uid = 1, .gid = 1, .via = "d" };
static const struct policy_query query = { .path = "/srv/c", .len = 6, .access = WIRE_READ };
static const struct policy_query refused = { .path = "/k", .len = 2, .access = WIRE_READ };

/* What is right, made before anything fails. */
static char *right_whole, *right_part, *right_hull, *right_reason;
static struct policy *whole;

static char *in_memory(int (*print)(FILE *f))
{
	char *s = NULL;
	size_t len;
	FILE *f = text_open(&s, &len);
	int r = f ? print(f) : -ENOMEM;

	if (f && text_close(f, &s) < 0)
		return NULL;
	if (r < 0) {
		free(s);
		return NULL;
	}
	return s;
}

static int print_policy(FILE *f)
{
	return policy_print(whole, f);
}

static int print_hull(FILE *f)
{
	struct policy *p = NULL;
	int r = policy_effective(whole, &subject, POLICY_CALLER, "/h/u", &p);

	if (r == 0)
		r = policy_print_hull(p, f);
	policy_free(p);
	return r < 0 ? r : policy_print_hulls(whole, f);
}

static int print_reason(FILE *f)
{
	int r = policy_explain_print(whole, &subject, "/h/u", &query, f);

	return r < 0 ? r : policy_explain_print(whole, &subject, "/h/u", &refused, f);
}

static void same_or_nothing(char *got, const char *right)
{
	REQUIRE(!got || strcmp(got, right) == 0);
	free(got);
}

static void try_parse(void)
{
	struct policy_options o = {
		.resolve_names = true, .units = true, .advice = true, .look = true
	};
	struct policy *p = NULL;
	struct diags d = { 0 };
	int r = policy_parse("p", text, strlen(text), &o, &d, &p);
	long left = countdown;

	countdown = -1;
	REQUIRE(r == 0 || r == -ENOMEM);
	REQUIRE((r == 0) == (p != NULL));
	if (p)
		same_or_nothing(print_whole(p), right_whole);
	countdown = left;
	policy_free(p);
	diags_deinit(&d);
}

static void try_errors(void)
{
	struct policy *p = NULL;
	struct diags d = { 0 };
	char *out = NULL;
	size_t len;
	int r = policy_parse("p", "x\nallow raed file /k to anyone\n", 31, &plain_options, &d, &p);
	FILE *f;

	REQUIRE(r == -EBADMSG || r == -ENOMEM);
	REQUIRE(r == -ENOMEM || d.n_errors == 2);
	REQUIRE(!p);
	f = open_memstream(&out, &len);
	if (f) {
		diags_print(&d, f, false);
		fclose(f);
	}
	free(out);
	diags_deinit(&d);
}

static void try_load(void)
{
	const char *const paths[] = { "d1", "d2", "d2/b.policy", NULL };
	struct policy_options o = { .units = true, .owner = geteuid() };
	struct policy *p = NULL;
	struct diags d = { 0 };
	int r = policy_load(paths, &o, &d, &p);

	REQUIRE(r == 0 || r == -ENOMEM || r == -EBADMSG);
	REQUIRE((r == 0) == (p != NULL));
	REQUIRE(!p || policy_n_rules(p) == 3);
	policy_free(p);
	diags_deinit(&d);
}

static void try_effective(void)
{
	struct policy *p = NULL;
	struct policy_base *bases = NULL;
	char *out = NULL;
	size_t len, n;
	int r = policy_effective(whole, &subject, POLICY_CALLER, "/h/u", &p);

	REQUIRE(r == 0 || r == -ENOMEM);
	REQUIRE((r == 0) == (p != NULL));
	if (p) {
		r = policy_plan(p, false, &bases, &n);
		REQUIRE(r == 0 || r == -ENOMEM);
		free(bases);
	}
	policy_free(p);
	r = policy_print_effective(whole, &subject, POLICY_CALLER, &out, &len, NULL, NULL);
	REQUIRE(r == 0 || r == -ENOMEM);
	REQUIRE((r == 0) == (out != NULL));
	same_or_nothing(out, right_part);
}

static void try_prints(void)
{
	same_or_nothing(in_memory(print_policy), right_whole);
	same_or_nothing(in_memory(print_hull), right_hull);
	same_or_nothing(in_memory(print_reason), right_reason);
}

/* Runs f with the first, the second ... allocation failing, until none does. */
static void exhaust(void (*f)(void), long at_least)
{
	for (int all = 0; all < 2; all++) {
		long n = 0, before;

		do {
			before = live;
			for_good = all;
			countdown = n;
			f();
			/* What is left of the countdown tells whether anything failed. */
			if (countdown > 0)
				n = -n;
			countdown = -1;
			ck_assert_msg(!wrong, "allocation %ld: %s", n, wrong);
			ck_assert_msg(live == before, "allocation %ld: %ld lost", n, live - before);
			n += n >= 0;
		} while (n > 0);
		ck_assert_int_ge(-n, at_least);
	}
}

static void prepare(void)
{
	size_t len;

	whole = parse(text);
	right_whole = print_whole(whole);
	ck_assert_int_eq(policy_print_effective(whole, &subject, POLICY_CALLER, &right_part, &len,
						NULL, NULL),
			 0);
	right_hull = in_memory(print_hull);
	right_reason = in_memory(print_reason);
	ck_assert(right_hull && right_reason);
}

#define NEEDS_OWN_ALLOCATOR(test)                                                                  \
	do {                                                                                       \
		if (!OWN_ALLOCATOR) {                                                              \
			printf("SKIP: %s: the sanitizer has an allocator of its own\n", test);     \
			fflush(stdout);                                                            \
			return;                                                                    \
		}                                                                                  \
		prepare();                                                                         \
	} while (0)

START_TEST(parsing_without_memory)
{
	NEEDS_OWN_ALLOCATOR("parsing_without_memory");
	try_parse();
	exhaust(try_parse, 20);
	exhaust(try_errors, 10);
}
END_TEST

START_TEST(loading_without_memory)
{
	NEEDS_OWN_ALLOCATOR("loading_without_memory");
	ck_assert_int_eq(mkdir("d1", 0755), 0);
	ck_assert_int_eq(mkdir("d2", 0755), 0);
	for (const char *const *n = (const char *const[]){ "d1/a.policy", "d2/b.policy", NULL }; *n;
	     n++) {
		FILE *f = fopen(*n, "w");

		fputs("allow read file /k to user 1\n", f);
		fclose(f);
	}
	exhaust(try_load, 20);
}
END_TEST

START_TEST(selecting_without_memory)
{
	NEEDS_OWN_ALLOCATOR("selecting_without_memory");
	try_effective();
	exhaust(try_effective, 10);
}
END_TEST

START_TEST(printing_without_memory)
{
	NEEDS_OWN_ALLOCATOR("printing_without_memory");
	try_prints();
	exhaust(try_prints, 20);
}
END_TEST

static char top[64];

static void setup(void)
{
	strcpy(top, "/tmp/opend-memory-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
}

static void teardown(void)
{
	char command[96];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof command, "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

int main(void)
{
	const TTest *const tests[] = {
		parsing_without_memory,
		loading_without_memory,
		selecting_without_memory,
		printing_without_memory,
	};

	umask(022);
	return run_case_with("policy-memory", tests, ELEMENTSOF(tests), 120, setup, teardown);
}
