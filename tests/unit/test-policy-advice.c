/* SPDX-License-Identifier: MIT
 * What opend --check warns of. Each warning is paired with the rule next to it that deserves none.
 */
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "policy/mounts.h"
#include "test-policy.h"

static char *advice_on(const char *text, bool look, int wanted)
{
	struct policy_options o = {
		.resolve_names = true, .units = true, .advice = !look, .look = look
	};
	struct policy *p = NULL;
	struct diags d = { 0 };
	char *out;
	int r = policy_parse("p", text, strlen(text), &o, &d, &p);

	out = printed(&d);
	ck_assert_msg(r == wanted, "%s: %d\n%s", text, r, out);
	diags_deinit(&d);
	policy_free(p);
	return out;
}

static void warns_looking(const char *text, bool look, const char *wanted)
{
	char *out = advice_on(text, look, 0);

	if (wanted)
		ck_assert_msg(strstr(out, wanted), "%s\nwanted: %s\nsaid: %s", text, wanted, out);
	else
		ck_assert_msg(!*out, "%s\nsaid: %s", text, out);
	free(out);
}

static void warns(const char *text, const char *wanted)
{
	warns_looking(text, false, wanted);
}

START_TEST(an_allow_that_a_deny_shadows)
{
	static const char denied[] = "nothing is allowed here: p:2 denies it";

	warns("allow read under /s/x to user 1\ndeny any under /s to anyone", denied);
	warns("allow read under /s to user 1\ndeny read under /s to user 1,2", denied);
	warns("allow read file /s/k to user 1 and via d\ndeny any file /s/* to via d,e", denied);
	warns("allow read file /s/a* to user 1\ndeny any file /s/* to user 1", denied);
	warns("allow read file /s/a* to unit a@*.service\ndeny any file /s/* to unit a*.service",
	      denied);
	warns("allow read file /s/a* to unit a.service\ndeny any file /s/* to unit a*.service",
	      denied);
	warns("allow read under ~/x to user 1\ndeny any under ~ to anyone", denied);
	warns("allow read under /s/x /t to user 1\ndeny any under /s to anyone",
	      "p:1:18: warning: nothing is allowed here");
	warns("allow read,write under /s to user 1\ndeny read under /s to anyone\n"
	      "deny write under /s to anyone",
	      "nothing is allowed here");
	/* In part, for others, or with an exception: that is what a deny is for. */
	warns("allow read under /s to user 1\ndeny any under /s/x to anyone", NULL);
	warns("allow read under /s/x to user 1\ndeny any under /s to user 2", NULL);
	warns("allow read under /s/x to user 1,2\ndeny any under /s to user 2", NULL);
	warns("allow read under /s/x to user 1\ndeny any under /s to user 1 and via d", NULL);
	warns("allow read under /s/x to user 1\ndeny any under /s except /s/x to anyone", NULL);
	warns("allow read under /s/x to user 1\ndeny write under /s to anyone", NULL);
	warns("allow read under /s/x to user 1\ndeny any file /s /s/x to anyone", NULL);
	warns("allow read file /s/* to user 1\ndeny any file /s/a* to user 1", NULL);
	warns("allow read file /s to unit a*.service\ndeny any file /s to unit a.service", NULL);
	warns("allow read file /s/a/b to user 1\ndeny any file /s/* to user 1", NULL);
}
END_TEST

START_TEST(a_create_that_a_deny_shadows)
{
	warns("allow read,create under /s/d to user 1\ndeny create under /s to anyone",
	      "\"create\" is shadowed: p:2 denies it");
	warns("allow create under /s/d to user 1\ndeny write under /s to anyone",
	      "\"create\" is shadowed: p:2 denies to open a new file for writing");
	warns("allow read,create under /s/d to user 1\ndeny list under /s to anyone", NULL);
}
END_TEST

START_TEST(wide_reach)
{
	warns("allow read under / to user 1", "p:1:18: warning: this is the whole file system");
	warns("allow read under /srv to user 1", NULL);
	warns("allow read file / to user 1", NULL);
	warns("allow read under / to user 1 as root", "\"as root\" with wide reach");
	warns("allow read under /etc to user 1 as root", "p:1:18: warning: \"as root\" with wide");
	warns("allow read file /etc/* to user 1 as root", "\"as root\" with wide reach");
	warns("allow read file /home/*/x/y to user 1 as root", "\"as root\" with wide reach");
	warns("allow read under /etc/ssl to user 1 as root", NULL);
	warns("allow read file /etc to user 1 as root", NULL);
	warns("allow read file /etc/ssl/*.key to user 1 as root", NULL);
	warns("allow read under ~ to user 1 as root", NULL);
	warns("allow read file /etc/k to anyone as root", "\"as root\" for anyone");
}
END_TEST

START_TEST(list_where_a_chroot_may_be)
{
	warns("allow list under /s/t to via container", "a directory leads out of a chroot");
	warns("allow list under /s/t to anyone", "a directory leads out of a chroot");
	warns("allow read,list under /s/t to user 1 and unit a.service", "out of a chroot");
	warns("allow list under /s/t to user 1", NULL);
	warns("allow read under /s/t to via container", NULL);
}
END_TEST

START_TEST(a_deny_where_its_subject_may_write)
{
	static const char inside[] = "inside a tree that p:1 lets the same clients write";

	warns("allow write under /s to user 1\ndeny any under /s/x to anyone", inside);
	warns("allow create under /s to user 1\ndeny read file /s/x/k to user 1", inside);
	warns("allow write under /s to group 1\ndeny any under /s/x to user 1", inside);
	warns("allow write under /s to unit a*.service\ndeny any under /s/x to unit ab.service",
	      inside);
	warns("allow read under /s to user 1\ndeny any under /s/x to anyone", NULL);
	warns("allow write under /s to user 1\ndeny any under /s/x to user 2", NULL);
	warns("allow write under /s to via d\ndeny any under /s/x to via e", NULL);
	warns("allow write under /s to unit a.service\ndeny any under /s/x to unit b.service",
	      NULL);
	warns("allow write under /s to user 1\ndeny any under /t/x to user 1", NULL);
	warns("allow write file /s/* to user 1\ndeny any file /s/x to user 1", NULL);
}
END_TEST

/* ---- with a look at the file system -----------------------------------------------------------
 */

static char top[PATH_MAX];

static void setup(void)
{
	char name[] = "/tmp/opend-advice-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(name));
	ck_assert_ptr_nonnull(realpath(name, top));
	ck_assert_int_eq(chdir(top), 0);
	ck_assert_int_eq(mkdir("dir", 0755), 0);
	ck_assert_int_eq(mkdir("dir/sub", 0755), 0);
	ck_assert_int_eq(symlink("dir", "link"), 0);
	ck_assert_int_eq(symlink("nowhere", "dangling"), 0);
	fclose(fopen("dir/file", "w"));
}

static void teardown(void)
{
	char command[PATH_MAX + 16];

	ck_assert_int_eq(chdir("/"), 0);
	snprintf(command, sizeof command, "rm -rf %s", top);
	ck_assert_int_eq(system(command), 0);
}

/* Replaces each @ of the rule by the test's directory. */
static const char *in_top(const char *rule)
{
	static char text[4 * PATH_MAX];
	char *out = text;

	for (; *rule; rule++)
		if (*rule == '@')
			out = stpcpy(out, top);
		else
			*out++ = *rule;
	*out = 0;
	return text;
}

static void sees(const char *rule, const char *wanted)
{
	char expected[2 * PATH_MAX];

	if (wanted)
		strcpy(expected, in_top(wanted));
	warns_looking(in_top(rule), true, wanted ? expected : NULL);
}

START_TEST(a_symlink_never_matches_a_place)
{
	char *out;

	sees("allow read under @/link to user 1", "it leads to @/dir\n");
	sees("allow read under @/link/sub to user 1", "warning: a symbolic link is on this path");
	sees("allow read under @/link/not-there to user 1", "a symbolic link is on this path");
	sees("allow read file @/link/*.key to user 1", "it leads to @/dir\n");
	sees("allow read file @/dangling to user 1", "it leads nowhere");
	sees("allow read under @/dir to user 1", NULL);
	sees("allow read under @/not-there/at/all to user 1", NULL);
	sees("allow read under ~/link to user 1", NULL);
	sees("allow read under @/dir except @/dir/sub to user 1", NULL);
	out = advice_on(in_top("deny any under @/link to anyone"), true, -EBADMSG);
	ck_assert_ptr_nonnull(strstr(out, "error: a symbolic link is on this path: the deny"));
	free(out);
	sees("deny any under @/dir to anyone", NULL);
}
END_TEST

START_TEST(file_on_a_directory)
{
	sees("allow read file @/dir to user 1", "\"file\" does not name what lies in it");
	sees("allow list file @/dir to user 1", NULL);
	sees("allow read file @/dir/file to user 1", NULL);
	sees("allow read under @/dir to user 1", NULL);
	sees("deny any file @/dir to user 1", "what lies in it is not denied");
	sees("deny any under @/dir to user 1", NULL);
	sees("allow read file @/d*r to user 1", NULL);
}
END_TEST

START_TEST(a_second_mount_of_what_is_denied)
{
	if (geteuid() != 0) {
		printf("SKIP: a_second_mount_of_what_is_denied: it mounts, which takes root\n");
		fflush(stdout);
		return;
	}
	ck_assert_int_eq(mkdir("other", 0755), 0);
	sees("allow read under @/other to user 1\ndeny any under @/dir/sub to user 1", NULL);
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mount("dir", "other", NULL, MS_BIND, NULL), 0);
	sees("allow read under @/other to user 1\ndeny any under @/dir/sub to user 1",
	     "p:2:16: warning: a mount shows it at @/other/sub too, where p:1 grants");
	sees("allow read under @/other to user 1\ndeny any under @/dir/sub @/other/sub to user 1",
	     NULL);
	sees("allow read under @/dir to user 1\ndeny any under @/dir/sub to user 1", NULL);
	ck_assert_int_eq(umount2("other", MNT_DETACH), 0);
}
END_TEST

static void alias_is(const char *mountinfo, const char *path, const char *wanted)
{
	char alias[PATH_MAX], all[3 * PATH_MAX] = "";
	struct mounts m;

	ck_assert_int_eq(mounts_read(&m, mountinfo, strlen(mountinfo)), 0);
	for (size_t i = 0; mounts_alias(&m, path, i, alias); i++) {
		strcat(all, alias);
		strcat(all, " ");
	}
	ck_assert_str_eq(all, wanted);
	mounts_deinit(&m);
}

START_TEST(aliases)
{
	static const char plain[] = "20 1 8:1 / / rw - ext4 /dev/a rw\n"
				    "21 20 8:1 /srv /mnt/srv rw shared:1 - ext4 /dev/a rw\n"
				    "22 20 8:2 / /home rw - ext4 /dev/b rw\n"
				    "23 20 8:2 /a\\040b /mnt/a\\040b rw - ext4 /dev/b rw\n"
				    "this is no mount\n25 20 8:9\n26 20 0:9 x y rw\n";
	static const char hidden[] = "20 1 8:1 / / rw - ext4 /dev/a rw\n"
				     "21 20 8:1 /srv /mnt rw - ext4 /dev/a rw\n"
				     "22 21 8:3 / /mnt rw - ext4 /dev/c rw";

	alias_is(plain, "/srv", "/mnt/srv ");
	alias_is(plain, "/srv/x", "/mnt/srv/x ");
	alias_is(plain, "/srvx", "");
	alias_is(plain, "/mnt/srv/x", "/srv/x ");
	alias_is(plain, "/etc", "");
	alias_is(plain, "/home/a b/c", "/mnt/a b/c ");
	alias_is(plain, "/home/x", "");
	alias_is(plain, "/home", "/mnt/a b ");
	alias_is(plain, "/", "");
	alias_is(hidden, "/srv/x", "");
	alias_is("", "/srv", "");
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		an_allow_that_a_deny_shadows,
		a_create_that_a_deny_shadows,
		wide_reach,
		list_where_a_chroot_may_be,
		a_deny_where_its_subject_may_write,
		a_symlink_never_matches_a_place,
		file_on_a_directory,
		a_second_mount_of_what_is_denied,
		aliases,
	};

	return run_case_with("policy-advice", tests, ELEMENTSOF(tests), 60, setup, teardown);
}
