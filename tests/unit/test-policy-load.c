/* SPDX-License-Identifier: MIT
 * Files: which are read, in which order, and which are refused because somebody else could have
 * written them. */
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "test-policy.h"

static char top[64];

static void setup(void)
{
	strcpy(top, "/tmp/opend-policy-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	for (const char *const *d = (const char *const[]){ "etc", "run", "lib", NULL }; *d; d++)
		ck_assert_int_eq(mkdir(*d, 0755), 0);
}

static void teardown(void)
{
	char command[96];

	snprintf(command, sizeof command, "rm -rf %s", top);
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(system(command), 0);
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	ck_assert_int_eq(chmod(name, 0644), 0);
}

static const char *const three[] = { "etc", "run", "lib", NULL };

static int load(const char *const *paths, struct policy **p, char **out)
{
	struct policy_options o = { .resolve_names = true, .units = true, .owner = geteuid() };
	struct diags d = { 0 };
	int r = policy_load(paths, &o, &d, p);

	ck_assert((r == -EBADMSG) == (d.n_errors > 0));
	*out = printed(&d);
	diags_deinit(&d);
	return r;
}

/* The origins of what is loaded, joined by blanks. */
static void loads(const char *const *paths, const char *wanted)
{
	struct policy *p = NULL;
	char got[1024] = "", *out;
	int r = load(paths, &p, &out);

	ck_assert_msg(r == 0, "%s", out);
	ck_assert_str_eq(out, "");
	free(out);
	for (size_t i = 0; i < policy_n_rules(p); i++)
		snprintf(got + strlen(got), sizeof got - strlen(got), "%s%s", i ? " " : "",
			 policy_origin(p, i));
	ck_assert_str_eq(got, wanted);
	policy_free(p);
}

static void refuses(const char *const *paths, const char *wanted)
{
	struct policy *p = NULL;
	char *out;

	ck_assert_int_eq(load(paths, &p, &out), -EBADMSG);
	ck_assert_ptr_null(p);
	ck_assert_msg(strstr(out, wanted), "wanted: %s\nsaid: %s", wanted, out);
	free(out);
}

#define RULE "allow read file /k to anyone\n"

START_TEST(nothing_is_a_policy_too)
{
	loads(three, "");
	loads((const char *const[]){ "not-there", NULL }, "");
	loads((const char *const[]){ NULL }, "");
}
END_TEST

START_TEST(names_are_in_byte_order_over_all_directories)
{
	put("etc/b.policy", RULE);
	put("run/a.policy", RULE);
	put("lib/B.policy", RULE "\n" RULE);
	put("lib/10.policy", RULE);
	put("lib/9.policy", RULE);
	loads(three, "lib/10.policy:1 lib/9.policy:1 lib/B.policy:1 lib/B.policy:3 run/a.policy:1 "
		     "etc/b.policy:1");
}
END_TEST

START_TEST(the_same_name_replaces)
{
	put("lib/a.policy", RULE);
	put("run/a.policy", RULE);
	put("lib/b.policy", "this is never read");
	put("etc/b.policy", "");
	loads(three, "run/a.policy:1");
	put("etc/a.policy", RULE);
	loads(three, "etc/a.policy:1");
}
END_TEST

START_TEST(a_link_to_dev_null_masks)
{
	put("lib/a.policy", RULE);
	put("lib/b.policy", RULE);
	ck_assert_int_eq(symlink("/dev/null", "etc/a.policy"), 0);
	loads(three, "lib/b.policy:1");
}
END_TEST

START_TEST(other_links_are_refused)
{
	put("lib/a.policy", RULE);
	ck_assert_int_eq(symlink("../lib/a.policy", "etc/b.policy"), 0);
	refuses(three, "etc/b.policy: error: a symbolic link; only a link to /dev/null");
	unlink("etc/b.policy");
	ck_assert_int_eq(symlink("/dev/nulla", "etc/b.policy"), 0);
	refuses(three, "a symbolic link");
	unlink("etc/b.policy");
	ck_assert_int_eq(symlink("/dev/zero", "etc/b.policy"), 0);
	refuses(three, "a symbolic link");
}
END_TEST

START_TEST(backups_are_not_policy)
{
	static const char *const names[] = { "etc/a.policy~",	      "etc/.a.policy.swp",
					     "etc/.a.policy",	      "etc/#a.policy#",
					     "etc/.#a.policy",	      "etc/a.policy.bak",
					     "etc/a.policy.dpkg-new", "etc/README",
					     "etc/.policy",	      "etc/a.POLICY" };

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		put(names[i], "not a policy");
	put("etc/a.policy", RULE);
	loads(three, "etc/a.policy:1");
}
END_TEST

START_TEST(one_file_may_be_named)
{
	put("etc/a.policy", RULE);
	put("run/any-name", RULE);
	loads((const char *const[]){ "etc/a.policy", "run/any-name", NULL },
	      "etc/a.policy:1 run/any-name:1");
	refuses((const char *const[]){ "etc/b.policy", NULL },
		"etc/b.policy: error: cannot open: No such file");
	refuses((const char *const[]){ "etc/a.policy/x", NULL }, "cannot open: Not a directory");
}
END_TEST

START_TEST(all_or_nothing)
{
	put("etc/a.policy", RULE);
	put("etc/b.policy", "allow raed file /k to anyone\n");
	put("etc/c.policy", "\nx\n");
	refuses(three, "etc/b.policy:1:7: error: unknown access");
	refuses(three, "etc/c.policy:2:1: error: unknown word");
}
END_TEST

START_TEST(expectations_are_over_all_files)
{
	put("etc/a.policy", "expect allow read /k for user 7\n");
	refuses(three, "etc/a.policy:1:8: error: expected allow, but the policy denies");
	put("lib/z.policy", RULE);
	loads(three, "lib/z.policy:1");
	put("run/m.policy", "deny any under / to user 7\n");
	refuses(three, "run/m.policy:1 denies it");
}
END_TEST

START_TEST(what_others_may_write_is_refused)
{
	static const struct {
		const char *path;
		mode_t mode;
		bool refused;
	} cases[] = {
		{ "etc/a.policy", 0644, false }, { "etc/a.policy", 0600, false },
		{ "etc/a.policy", 0664, true },	 { "etc/a.policy", 0646, true },
		{ "etc/a.policy", 0666, true },	 { "etc", 0775, true },
		{ "etc", 0757, true },		 { "etc", 01777, true },
		{ "etc", 0700, false },
	};

	put("etc/a.policy", RULE);
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		chmod("etc", 0755);
		chmod("etc/a.policy", 0644);
		ck_assert_int_eq(chmod(cases[i].path, cases[i].mode), 0);
		if (cases[i].refused)
			refuses(three, ": error: others than its owner may write it; chmod go-w");
		else
			loads(three, "etc/a.policy:1");
	}
}
END_TEST

START_TEST(what_is_no_file_is_refused_and_waits_for_nobody)
{
	ck_assert_int_eq(mkdir("etc/a.policy", 0755), 0);
	refuses(three, "etc/a.policy: error: a directory, where a file is wanted");
	rmdir("etc/a.policy");
	ck_assert_int_eq(mkfifo("etc/a.policy", 0644), 0);
	refuses(three, "etc/a.policy: error: not a regular file");
	refuses((const char *const[]){ "etc/a.policy", NULL }, "not a regular file");
	refuses((const char *const[]){ "/dev/null", NULL }, "not a regular file");
}
END_TEST

START_TEST(a_file_has_a_size)
{
	put("etc/a.policy", RULE);
	ck_assert_int_eq(truncate("etc/a.policy", 16 * 1024 * 1024 + 1), 0);
	refuses(three, "etc/a.policy: error: larger than 16 MiB");
}
END_TEST

static bool needs_root(const char *test)
{
	if (geteuid() == 0)
		return false;
	printf("SKIP: %s: it changes owners, which takes root\n", test);
	fflush(stdout);
	return true;
}

START_TEST(all_files_have_a_size)
{
	for (int i = 0; i < 5; i++) {
		char name[32];

		snprintf(name, sizeof name, "etc/%d.policy", i);
		put(name, "#");
		ck_assert_int_eq(truncate(name, 16 * 1024 * 1024), 0);
	}
	refuses(three, "etc/4.policy: error: all files together are larger than 64 MiB");
}
END_TEST

/* Runs f in a child that is uid 1; the parent must be root. */
static void as_other(void (*f)(void))
{
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		if (setgid(1) || setuid(1))
			_exit(2);
		f();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
}

static void unreadable(void)
{
	struct policy_options o = { .owner = 1 };
	struct policy *p = NULL;
	struct diags d = { 0 };
	char *out;

	if (policy_load(three, &o, &d, &p) != -EBADMSG)
		_exit(3);
	out = printed(&d);
	if (!strstr(out, "etc/a.policy: error: cannot open: Permission denied"))
		_exit(4);
	if (!strstr(out, "lib: error: cannot open: Permission denied"))
		_exit(5);
	free(out);
	diags_deinit(&d);
}

static void own_files(void)
{
	struct policy_options o = { .owner = 1 };
	struct policy *p = NULL;
	struct diags d = { 0 };

	if (policy_load(three, &o, &d, &p) != 0)
		_exit(3);
	if (policy_n_rules(p) != 2)
		_exit(4);
	policy_free(p);
	diags_deinit(&d);
}

START_TEST(a_foreign_owner_is_refused)
{
	if (needs_root("a_foreign_owner_is_refused"))
		return;
	put("etc/a.policy", RULE);
	ck_assert_int_eq(chown("etc/a.policy", 1, 1), 0);
	refuses(three, "etc/a.policy: error: its owner could grant himself anything; chown root");
	ck_assert_int_eq(chown("etc/a.policy", 0, 1), 0);
	loads(three, "etc/a.policy:1");
	ck_assert_int_eq(chown("etc", 1, 1), 0);
	refuses(three, "etc: error: its owner could grant himself anything");
}
END_TEST

START_TEST(a_private_opend_trusts_its_user_and_root)
{
	if (needs_root("a_private_opend_trusts_its_user_and_root"))
		return;
	ck_assert_int_eq(chmod(top, 0755), 0);
	put("etc/a.policy", RULE);
	put("lib/b.policy", RULE);
	ck_assert_int_eq(chown("etc/a.policy", 1, 1), 0);
	ck_assert_int_eq(chown("etc", 1, 1), 0);
	as_other(own_files);
}
END_TEST

START_TEST(what_cannot_be_read_is_an_error)
{
	if (needs_root("what_cannot_be_read_is_an_error"))
		return;
	ck_assert_int_eq(chmod(top, 0755), 0);
	put("etc/a.policy", RULE);
	ck_assert_int_eq(chmod("etc/a.policy", 0600), 0);
	ck_assert_int_eq(chmod("lib", 0700), 0);
	as_other(unreadable);
}
END_TEST

static int count_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

START_TEST(no_descriptor_is_left)
{
	int before = count_descriptors();

	put("etc/a.policy", RULE);
	put("etc/b.policy", "x");
	put("run/c.policy", RULE);
	chmod("run/c.policy", 0666);
	mkfifo("lib/d.policy", 0644);
	refuses(three, "etc/b.policy:1:1");
	ck_assert_int_eq(count_descriptors(), before);
	unlink("etc/b.policy");
	chmod("run/c.policy", 0644);
	unlink("lib/d.policy");
	loads(three, "etc/a.policy:1 run/c.policy:1");
	ck_assert_int_eq(count_descriptors(), before);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		nothing_is_a_policy_too,
		names_are_in_byte_order_over_all_directories,
		the_same_name_replaces,
		a_link_to_dev_null_masks,
		other_links_are_refused,
		backups_are_not_policy,
		one_file_may_be_named,
		all_or_nothing,
		expectations_are_over_all_files,
		what_others_may_write_is_refused,
		what_is_no_file_is_refused_and_waits_for_nobody,
		a_file_has_a_size,
		all_files_have_a_size,
		no_descriptor_is_left,
		a_foreign_owner_is_refused,
		a_private_opend_trusts_its_user_and_root,
		what_cannot_be_read_is_an_error,
	};

	umask(022);
	return run_case_with("policy-load", tests, ELEMENTSOF(tests), 30, setup, teardown);
}
