/* SPDX-License-Identifier: MIT
 * The kernel is the oracle of an `as caller` rule: for every combination of a place with its
 * rights, an operation, a umask and a user, opend must say what the user's own open(2) says, and
 * leave the same file behind: owner, group, mode, ACL, size. Each case has two directories made
 * alike, one for either; the user's process opens in both and compares, and then root compares
 * what stands there.
 *
 * fs.protected_* is the whole machine's. A guardian process puts it back when the test ends, in
 * whatever way. */
#include <linux/fs.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include "harness.h"

enum { GROUP_A = 5000, GROUP_B = 5001 };

/* ---- users ---- */

static const gid_t group_a[] = { GROUP_A }, group_b[] = { GROUP_B };
static const struct who users[] = {
	{ .uid = 1000, .gid = 1000 },
	{ .uid = 1001, .gid = 1001, .groups = group_a, .n_groups = 1 },
	{ .uid = 1002, .gid = GROUP_A, .groups = group_b, .n_groups = 1 },
	{ .uid = 1003, .gid = 1003 },
};
enum { USERS = ELEMENTSOF(users) };

/* ---- places ---- */

struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};
struct acl {
	uint32_t version;
	struct acl_entry entries[6];
};
enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32, NO_ID = -1 };

/* u::rwx, one user, the group, one group, mask, others. */
static struct acl acl_of(uint32_t user, uint16_t user_perm, uint32_t group, uint16_t group_perm,
			 uint16_t mask)
{
	return (struct acl){ .version = 2,
			     .entries = { { USER_OBJ, 7, (uint32_t)NO_ID },
					  { USER, user_perm, user },
					  { GROUP_OBJ, 0, (uint32_t)NO_ID },
					  { GROUP, group_perm, group },
					  { MASK, mask, (uint32_t)NO_ID },
					  { OTHER, 0, (uint32_t)NO_ID } } };
}

/* A scene makes the directory `dir` of one case, with an existing file "it", and whatever else
 * belongs to it. false: this file system cannot do it. */
struct scene {
	const char *name;
	bool (*make)(const char *dir);
};

static char *in(const char *dir, const char *name)
{
	return text("%s/%s", dir, name);
}

static void place(const char *dir, uid_t uid, gid_t gid, mode_t dir_mode, mode_t file_mode)
{
	make_dir(text("%s", dir), dir_mode, uid);
	make_file(in(dir, "it"), file_mode, uid, "content");
	sys(chown(dir, uid, gid));
	sys(chown(in(dir, "it"), uid, gid));
	sys(chmod(dir, dir_mode));
	sys(chmod(in(dir, "it"), file_mode));
}

static bool owner(const char *dir)
{
	place(dir, 1000, 1000, 0755, 0600);
	return true;
}

static bool group(const char *dir)
{
	place(dir, 0, GROUP_A, 0775, 0660);
	return true;
}

static bool supplementary_group(const char *dir)
{
	place(dir, 0, GROUP_B, 0770, 0640);
	return true;
}

/* 1003 may all, group A may read, as far as the mask lets them. */
static bool posix_acl(const char *dir)
{
	const struct acl file = acl_of(1003, 6, GROUP_A, 6, 6),
			 dir_acl = acl_of(1003, 7, GROUP_A, 5, 7);

	place(dir, 0, 0, 0700, 0600);
	return !setxattr(dir, "system.posix_acl_access", &dir_acl, sizeof dir_acl, 0) &&
	       !setxattr(in(dir, "it"), "system.posix_acl_access", &file, sizeof file, 0);
}

static bool posix_acl_mask(const char *dir)
{
	const struct acl file = acl_of(1003, 6, GROUP_A, 6, 4),
			 dir_acl = acl_of(1003, 7, GROUP_A, 7, 5);

	place(dir, 0, 0, 0700, 0600);
	return !setxattr(dir, "system.posix_acl_access", &dir_acl, sizeof dir_acl, 0) &&
	       !setxattr(in(dir, "it"), "system.posix_acl_access", &file, sizeof file, 0);
}

/* Everybody may but the group. */
static bool negative_group(const char *dir)
{
	place(dir, 0, GROUP_A, 0707, 0604);
	return true;
}

static bool unsearchable_parent(const char *dir)
{
	make_dir(text("%s", dir), 0700, 0);
	place(in(dir, "below"), 1000, 1000, 0777, 0666);
	return true;
}

static bool roots_own(const char *dir)
{
	place(dir, 0, 0, 0770, 0770);
	return true;
}

/* Made below one directory, which is mounted read-only when all are there. */
static bool read_only_mount(const char *dir)
{
	place(dir, 0, 0, 0777, 0666);
	return true;
}

static bool set_attribute(const char *path, int attribute)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	int now;

	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &now) < 0)
		return false;
	now |= attribute;
	return ioctl(fd, FS_IOC_SETFLAGS, &now) == 0;
}

static bool immutable(const char *dir)
{
	place(dir, 0, 0, 0777, 0666);
	return set_attribute(in(dir, "it"), FS_IMMUTABLE_FL);
}

static bool immutable_directory(const char *dir)
{
	place(dir, 0, 0, 0777, 0666);
	return set_attribute(dir, FS_IMMUTABLE_FL);
}

static bool append_only(const char *dir)
{
	place(dir, 0, 0, 0777, 0666);
	return set_attribute(in(dir, "it"), FS_APPEND_FL);
}

/* fs.protected_regular: O_CREAT on another's file in a directory like /tmp. */
static bool sticky_directory(const char *dir)
{
	place(dir, 1001, GROUP_A, 01777, 0666);
	sys(chown(dir, 0, 0));
	sys(chmod(dir, 01777));
	return true;
}

static bool sticky_group_directory(const char *dir)
{
	place(dir, 1001, GROUP_A, 01775, 0666);
	sys(chown(dir, 0, GROUP_A));
	sys(chmod(dir, 01775));
	return true;
}

static bool setgid_directory(const char *dir)
{
	place(dir, 0, GROUP_B, 02777, 0666);
	return true;
}

/* What is made there gets the ACL, and no umask counts. */
static bool default_acl(const char *dir)
{
	const struct acl acl = acl_of(1003, 6, GROUP_A, 4, 6);

	place(dir, 0, 0, 0777, 0666);
	return !setxattr(dir, "system.posix_acl_default", &acl, sizeof acl, 0);
}

/* "it" is a link to a file beside it. */
static bool symbolic_link(const char *dir)
{
	place(dir, 1000, 1000, 0777, 0666);
	sys(rename(in(dir, "it"), in(dir, "aim")));
	make_link("aim", in(dir, "it"));
	sys(lchown(in(dir, "it"), 1001, 1001));
	return true;
}

static bool dangling_link(const char *dir)
{
	place(dir, 1000, 1000, 0777, 0666);
	sys(unlink(in(dir, "it")));
	make_link("aim", in(dir, "it"));
	sys(lchown(in(dir, "it"), 1000, 1000));
	return true;
}

static bool hard_link(const char *dir)
{
	place(dir, 1000, 1000, 0777, 0640);
	sys(link(in(dir, "it"), in(dir, "aim")));
	return true;
}

static bool a_directory(const char *dir)
{
	place(dir, 1000, 1000, 0777, 0666);
	sys(unlink(in(dir, "it")));
	make_dir(in(dir, "it"), 0755, 1000);
	return true;
}

static bool set_ids_on_the_file(const char *dir)
{
	place(dir, 1000, GROUP_A, 0777, 06777);
	return true;
}

/* fs.protected_symlinks: a link of another's in a directory like /tmp. */
static bool link_in_a_sticky_directory(const char *dir)
{
	place(dir, 1000, 1000, 01777, 0666);
	sys(rename(in(dir, "it"), in(dir, "aim")));
	make_link("aim", in(dir, "it"));
	sys(lchown(in(dir, "it"), 1001, 1001));
	sys(chown(dir, 0, 0));
	sys(chmod(dir, 01777));
	return true;
}

/* fs.protected_fifos: O_CREAT on another's FIFO in a directory like /tmp. */
static bool fifo_in_a_sticky_directory(const char *dir)
{
	place(dir, 1001, GROUP_A, 01777, 0666);
	sys(unlink(in(dir, "it")));
	sys(mkfifo(in(dir, "it"), 0600));
	sys(chmod(in(dir, "it"), 0666));
	sys(chown(in(dir, "it"), 1001, GROUP_A));
	sys(chown(dir, 0, 0));
	sys(chmod(dir, 01777));
	return true;
}

static const struct scene scenes[] = {
	{ "owner", owner },
	{ "group", group },
	{ "supplementary-group", supplementary_group },
	{ "acl", posix_acl },
	{ "acl-mask", posix_acl_mask },
	{ "negative-group", negative_group },
	{ "unsearchable-parent", unsearchable_parent },
	{ "roots-own", roots_own },
	{ "read-only-mount", read_only_mount },
	{ "immutable", immutable },
	{ "immutable-directory", immutable_directory },
	{ "append-only", append_only },
	{ "sticky-directory", sticky_directory },
	{ "sticky-group-directory", sticky_group_directory },
	{ "setgid-directory", setgid_directory },
	{ "default-acl", default_acl },
	{ "symbolic-link", symbolic_link },
	{ "dangling-link", dangling_link },
	{ "hard-link", hard_link },
	{ "directory", a_directory },
	{ "set-ids", set_ids_on_the_file },
	{ "link-in-a-sticky-directory", link_in_a_sticky_directory },
	{ "fifo-in-a-sticky-directory", fifo_in_a_sticky_directory },
};
enum { SCENES = ELEMENTSOF(scenes) };

/* ---- operations ---- */

static const struct operation {
	const char *name, *file;
	int flags;
	mode_t mode;
} operations[] = {
	{ "read", "it", O_RDONLY, 0 },
	{ "write", "it", O_WRONLY, 0 },
	{ "read-write", "it", O_RDWR, 0 },
	{ "truncate", "it", O_WRONLY | O_TRUNC, 0 },
	{ "append", "it", O_WRONLY | O_APPEND, 0 },
	{ "create", "new", O_WRONLY | O_CREAT, 0666 },
	{ "create-excl", "new", O_RDWR | O_CREAT | O_EXCL, 0777 },
	{ "create-existing", "it", O_WRONLY | O_CREAT, 0666 },
	{ "create-truncate", "it", O_RDWR | O_CREAT | O_TRUNC, 0666 },
	{ "create-excl-existing", "it", O_WRONLY | O_CREAT | O_EXCL, 0666 },
};
enum { OPERATIONS = ELEMENTSOF(operations) };

static const mode_t umasks[] = { 022, 077, 0 };
enum { UMASKS = ELEMENTSOF(umasks), CASES = USERS * SCENES * OPERATIONS * UMASKS };

/* Where nothing can be made one umask is as good as another. */
static bool worth_asking(int operation, int mask)
{
	return mask == 0 || (operations[operation].flags & O_CREAT);
}

struct oracle {
	const char *socket;
	bool usable[SCENES];
	int user;
	unsigned granted, refused;
	/* What is told of all differences at once: one fault shows in many cases. */
	unsigned n_differences;
	char differences[1500];
};

static void differ(struct oracle *o, const char *what)
{
	size_t used = strlen(o->differences);

	o->n_differences++;
	snprintf(o->differences + used, sizeof o->differences - used, "\n  %s", what);
}

static char *case_dir(int user, int scene, int operation, int mask, const char *side)
{
	return at("data/%s%d-%s-%s-%03o-%s",
		  scenes[scene].make == read_only_mount ? "read-only/" : "", user,
		  scenes[scene].name, operations[operation].name, umasks[mask], side);
}

static char *case_file(int user, int scene, int operation, int mask, const char *side)
{
	char *dir = case_dir(user, scene, operation, mask, side);

	return text("%s/%s%s", dir, scenes[scene].make == unsearchable_parent ? "below/" : "",
		    operations[operation].file);
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
	       a->st_size == b->st_size && a->st_nlink == b->st_nlink;
}

static bool same_acl(int a, int b)
{
	char of_a[512], of_b[512];
	ssize_t n_a = fgetxattr(a, "system.posix_acl_access", of_a, sizeof of_a);
	ssize_t n_b = fgetxattr(b, "system.posix_acl_access", of_b, sizeof of_b);

	return n_a == n_b && (n_a <= 0 || !memcmp(of_a, of_b, (size_t)n_a));
}

/* One case, by its user. */
static void ask(struct oracle *o, struct openc_conn *c, int scene, int operation, int mask)
{
	const struct operation *op = &operations[operation];
	/* Or open(2) would wait for the other end. */
	int flags = op->flags | (scenes[scene].make == fifo_in_a_sticky_directory ? O_NONBLOCK : 0);
	const struct openc_how how = { .flags = (uint32_t)flags,
				       .mode = op->mode,
				       .umask = umasks[mask],
				       .ask = OPENC_UMASK };
	char *path = case_file(o->user, scene, operation, mask, "opend");
	char *own = case_file(o->user, scene, operation, mask, "own");
	_cleanup_close_ int fd = openc_open_how(c, path, &how, sizeof how, NULL, 0), own_fd = -1;
	struct stat st, own_st;
	int error = fd < 0 ? -fd : 0, own_error;

	umask(umasks[mask]);
	own_fd = open(own, flags | O_CLOEXEC, op->mode);
	own_error = own_fd < 0 ? errno : 0;
	if (error != own_error) {
		differ(o, text("%s: \"%s\" (reason %d), and by open(2) \"%s\"", path,
			       strerror(error), openc_reason(c), strerror(own_error)));
		return;
	}
	if (error) {
		o->refused++;
		return;
	}
	o->granted++;
	sys(fstat(fd, &st));
	sys(fstat(own_fd, &own_st));
	if (!same_stat(&st, &own_st))
		differ(o,
		       text("%s: %o %u:%u, %lld bytes; by open(2) %o %u:%u, %lld bytes", path,
			    st.st_mode, st.st_uid, st.st_gid, (long long)st.st_size, own_st.st_mode,
			    own_st.st_uid, own_st.st_gid, (long long)own_st.st_size));
	else if (!same_acl(fd, own_fd))
		differ(o, text("%s: another ACL", path));
	else if (fcntl(fd, F_GETFL) != fcntl(own_fd, F_GETFL))
		differ(o, text("%s: F_GETFL %#o, by open(2) %#o", path, fcntl(fd, F_GETFL),
			       fcntl(own_fd, F_GETFL)));
}

static void ask_all(void *arg)
{
	struct oracle *o = arg;
	struct openc_conn *c = connect_to(o->socket);

	for (int scene = 0; scene < SCENES; scene++)
		for (int operation = 0; o->usable[scene] && operation < OPERATIONS; operation++)
			for (int mask = 0; mask < UMASKS; mask++)
				if (worth_asking(operation, mask))
					ask(o, c, scene, operation, mask);
	openc_free(c);
}

/* What a refused request must not have done, and a granted one must, as root sees it. */
static void compare_traces(struct oracle *o, int user, int scene, int operation, int mask)
{
	static const char *const names[] = { "it", "new", "aim" };

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		const char *sides[] = { "opend", "own" };
		struct stat st[2];

		for (int side = 0; side < 2; side++) {
			char *dir = case_dir(user, scene, operation, mask, sides[side]);
			const char *below =
				scenes[scene].make == unsearchable_parent ? "below/" : "";

			if (lstat(text("%s/%s%s", dir, below, names[i]), &st[side]) < 0)
				st[side] = (struct stat){ 0 };
		}
		if (!same_stat(&st[0], &st[1]))
			differ(o,
			       text("%s, %s: mode %o, %lld bytes; by open(2) mode %o, %lld bytes",
				    case_dir(user, scene, operation, mask, "opend"), names[i],
				    st[0].st_mode, (long long)st[0].st_size, st[1].st_mode,
				    (long long)st[1].st_size));
	}
}

/* ---- fs.protected_* ---- */

/* The first two know 2 as well: group-writable directories count. */
static const char *const protections[] = { "/proc/sys/fs/protected_regular",
					   "/proc/sys/fs/protected_fifos",
					   "/proc/sys/fs/protected_symlinks",
					   "/proc/sys/fs/protected_hardlinks" };

static bool write_number(const char *path, char digit)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, &digit, 1) == 1;
}

static char read_number(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char digit = '0';

	return fd >= 0 && read(fd, &digit, 1) == 1 ? digit : '0';
}

/* A process outside our process group, which a timeout would kill: it waits until our end of the
 * pipe is closed, in whatever way, and puts everything back. Returns that end. */
static int guard(pid_t *ret)
{
	char before[ELEMENTSOF(protections)];
	int ends[2];
	/* One such test at a time on a machine, until its guardian is through: the next would take
	 * what we have set for what was there before. */
	int lock = (int)sys(open(protections[0], O_RDONLY | O_CLOEXEC));

	sys(flock(lock, LOCK_EX));
	for (size_t i = 0; i < ELEMENTSOF(protections); i++)
		before[i] = read_number(protections[i]);
	sys(pipe2(ends, O_CLOEXEC));
	*ret = (pid_t)sys(fork());
	if (*ret == 0) {
		char byte;

		setsid();
		close(ends[1]);
		while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
			;
		for (size_t i = 0; i < ELEMENTSOF(protections); i++)
			write_number(protections[i], before[i]);
		_exit(0);
	}
	close_fd(ends[0]);
	close_fd(lock);
	return ends[1];
}

/* ---- the test ---- */

/* In a mount namespace of the test's own. */
static void mount_read_only(const char *dir)
{
	sys(mount(dir, dir, NULL, MS_BIND, NULL));
	sys(mount(NULL, dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
}

static void make_cases(struct oracle *o)
{
	make_dir(at("data/read-only"), 0755, 0);
	for (int scene = 0; scene < SCENES; scene++)
		o->usable[scene] = true;
	for (int i = 0; i < CASES; i++) {
		int scene = i / (USERS * OPERATIONS * UMASKS);
		int operation = i / (USERS * UMASKS) % OPERATIONS, user = i / UMASKS % USERS;

		for (int side = worth_asking(operation, i % UMASKS) ? 0 : 2;
		     o->usable[scene] && side < 2; side++)
			if (!scenes[scene].make(case_dir(user, scene, operation, i % UMASKS,
							 side ? "own" : "opend"))) {
				o->usable[scene] = false;
				harness_skip(text("oracle, %s", scenes[scene].name),
					     text("this file system cannot: %s", strerror(errno)));
			}
	}
}

static void consult(char protection)
{
	struct oracle *o = shared(sizeof *o);
	_cleanup_close_ int guarded = -1;
	struct opend d;
	pid_t guardian;

	guarded = guard(&guardian);
	for (size_t i = 0; i < ELEMENTSOF(protections); i++)
		ensure(write_number(protections[i], i >= 2 && protection > '1' ? '1' : protection),
		       "%s: %s", protections[i], strerror(errno));
	sys(unshare(CLONE_NEWNS));
	sys(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	/* In memory: thousands of directories, which go with the namespace. */
	sys(mount("opend-test", at("data"), "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"));
	make_cases(o);
	mount_read_only(at("data/read-only"));
	policy("10",
	       "allow read,write,create,list under %1$s to anyone\n"
	       "allow read,write file %1$s/*-fifo-in-*/it to anyone type fifo\n",
	       at("data"));
	d = OPEND();
	o->socket = d.socket;
	for (o->user = 0; o->user < (int)USERS; o->user++)
		as(users[o->user], ask_all, o);
	for (int i = 0; i < CASES; i++) {
		int scene = i / (USERS * OPERATIONS * UMASKS);

		if (o->usable[scene])
			compare_traces(o, i / UMASKS % USERS, scene,
				       i / (USERS * UMASKS) % OPERATIONS, i % UMASKS);
	}
	guarded = close_fd(guarded);
	sys(waitpid(guardian, NULL, 0));
	ensure(o->n_differences == 0, "%u differences:%s", o->n_differences, o->differences);
	ensure(o->granted > 300 && o->refused > 300, "%u granted, %u refused", o->granted,
	       o->refused);
	opend_stop(&d);
}

START_TEST(as_caller_is_what_open_says)
{
	needs_root("have clients of many uids");
	if (access(protections[0], W_OK))
		skip("fs.protected_regular cannot be set here");
	consult('0');
}
END_TEST

START_TEST(with_protected_links_and_files)
{
	needs_root("have clients of many uids");
	if (access(protections[0], W_OK))
		skip("fs.protected_regular cannot be set here");
	consult('2');
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("oracle");

	ADD_ROOT(s, as_caller_is_what_open_says, 120);
	ADD_ROOT(s, with_protected_links_and_files, 120);
	return s;
}

int main(void)
{
	return harness_main("oracle", suite);
}
