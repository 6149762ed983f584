/* SPDX-License-Identifier: MIT
 * What a policy grants is opened, the very file, and what it does not is refused with the reason;
 * each through the library and through `openc cat`. Whether own rights or root's decide, where a
 * name really leads, and what kind of thing stands there. */
#include <sys/sysmacros.h>
#include "harness.h"

/* A file for alice's own eyes, with rules for her alone. */
START_TEST(own_rights_read)
{
	char *mine = make_file(at("data/mine"), 0600, alice.uid, "mine\n");
	char *other = make_file(at("data/other"), 0600, alice.uid, "other\n");
	struct opend o;

	policy("10", "allow read file %s to user %u\n", mine, alice.uid);
	o = OPEND();
	ask_for(&o, alice, mine, O_RDONLY, "mine\n");
	ask_refused(&o, alice, other, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_refused(&o, alice, mine, O_WRONLY, EACCES, OPENC_R_ACCESS);
	opend_stop(&o);
}
END_TEST

/* "as caller" gives back no more than the client's own rights. */
START_TEST(own_rights_are_all_there_is)
{
	char *dir = make_dir(at("data/d"), 0755, alice.uid);
	char *closed = make_file(at("data/d/closed"), 0000, 0, "closed\n");
	char *open_to_all = make_file(at("data/d/open"), 0444, 0, "open\n");
	struct opend o;

	policy("10", "allow read,write under %s to anyone\n", dir);
	o = OPEND();
	ask_for(&o, alice, open_to_all, O_RDONLY, "open\n");
	ask_refused(&o, alice, closed, O_RDONLY, EACCES, OPENC_R_KERNEL);
	ask_refused(&o, alice, open_to_all, O_WRONLY, EACCES, OPENC_R_KERNEL);
	ask_refused(&o, alice, at("data/d/missing"), O_RDONLY, ENOENT, OPENC_R_KERNEL);
	ask_refused(&o, alice, at("data/d/open/below"), O_RDONLY, ENOTDIR, OPENC_R_KERNEL);
	opend_stop(&o);
}
END_TEST

START_TEST(as_root_reads_for_whom_it_says)
{
	char *key, *other;
	struct opend o;

	needs_root("own a file that the client cannot read");
	key = make_file(at("data/key"), 0600, 0, "secret\n");
	other = make_file(at("data/other"), 0600, 0, "other\n");
	policy("10", "allow read file %s to user %u as root\nallow read file %s to user %u\n", key,
	       alice.uid, other, alice.uid);
	o = OPEND();
	ask_for(&o, alice, key, O_RDONLY, "secret\n");
	ask_refused(&o, alice, other, O_RDONLY, EACCES, OPENC_R_KERNEL);
	ask_refused(&o, alice, key, O_RDWR, EACCES, OPENC_R_ACCESS);
	ask_refused(&o, bob, key, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	/* And again, now that a lender lives. */
	ask_for(&o, alice, key, O_RDONLY, "secret\n");
	opend_stop(&o);
}
END_TEST

START_TEST(without_the_rule_root_lends_nothing)
{
	char *key;
	struct opend o;

	needs_root("own a file that the client cannot read");
	key = make_file(at("data/key"), 0600, 0, "secret\n");
	policy("10", "allow read file %s to user %u\n", key, alice.uid);
	o = OPEND();
	ask_refused(&o, alice, key, O_RDONLY, EACCES, OPENC_R_KERNEL);
	policy("10", "allow read file %s to user %u as root\n", key, alice.uid);
	ok(reload(&o));
	ask_for(&o, alice, key, O_RDONLY, "secret\n");
	opend_stop(&o);
}
END_TEST

/* Parents that the client may not search are no obstacle as root, and are one as caller. */
START_TEST(as_root_passes_closed_directories)
{
	char *key;
	struct opend o;

	needs_root("own a directory that the client cannot search");
	make_dir(at("data/vault"), 0700, 0);
	key = make_file(at("data/vault/key"), 0600, 0, "secret\n");
	make_dir(at("data/shut"), 0700, 0);
	make_file(at("data/shut/file"), 0644, 0, "file\n");
	policy("10", "allow read under %s to user %u as root\nallow read under %s to user %u\n",
	       at("data/vault"), alice.uid, at("data/shut"), alice.uid);
	o = OPEND();
	ask_for(&o, alice, key, O_RDONLY, "secret\n");
	ask_refused(&o, alice, at("data/shut/file"), O_RDONLY, EACCES, OPENC_R_KERNEL);
	opend_stop(&o);
}
END_TEST

START_TEST(deny_over_allow)
{
	char *dir = make_dir(at("data/d"), 0755, alice.uid);
	char *plain = make_file(at("data/d/plain"), 0644, alice.uid, "plain\n");
	char *secret = make_file(at("data/d/secret"), 0644, alice.uid, "secret\n");
	char *ro = make_file(at("data/d/ro"), 0644, alice.uid, "ro\n");
	struct opend o;

	policy("10", "deny any file %s to user %u\n", secret, alice.uid);
	policy("20", "allow read,write under %s to anyone\nallow read file %s to user %u\n", dir,
	       secret, alice.uid);
	policy("30", "deny write file %s to anyone\n", ro);
	o = OPEND();
	ask_for(&o, alice, plain, O_RDWR, NULL);
	ask_refused(&o, alice, secret, O_RDONLY, EACCES, OPENC_R_DENIED);
	ask_for(&o, alice, ro, O_RDONLY, "ro\n");
	ask_refused(&o, alice, ro, O_RDWR, EACCES, OPENC_R_DENIED);
	opend_stop(&o);
}
END_TEST

START_TEST(a_name_is_no_prefix)
{
	char *a = make_dir(at("data/a"), 0755, alice.uid);
	char *file = make_file(at("data/a/file"), 0644, alice.uid, "in a\n");
	char *ab = make_dir(at("data/ab"), 0755, alice.uid);
	char *neighbour = make_file(at("data/ab/file"), 0644, alice.uid, "in ab\n");
	char *longer = make_file(at("data/a/file2"), 0644, alice.uid, "file2\n");
	char *other = make_file(at("data/x"), 0644, alice.uid, "x\n");
	char *other2 = make_file(at("data/x2"), 0644, alice.uid, "x2\n");
	struct opend o;

	policy("10", "allow read under %s to user %u\nallow read file %s to user %u\n", a,
	       alice.uid, other, alice.uid);
	o = OPEND();
	ask_for(&o, alice, file, O_RDONLY, "in a\n");
	ask_for(&o, alice, longer, O_RDONLY, "file2\n");
	ask_refused(&o, alice, neighbour, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_refused(&o, alice, ab, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_for(&o, alice, other, O_RDONLY, "x\n");
	ask_refused(&o, alice, other2, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_refused(&o, alice, at("data"), O_RDONLY, EACCES, OPENC_R_NO_RULE);
	opend_stop(&o);
}
END_TEST

START_TEST(symlinks_within_a_granted_tree)
{
	char *dir = make_dir(at("data/d"), 0755, alice.uid), *file;
	struct opend o;

	make_dir(at("data/d/sub"), 0755, alice.uid);
	file = make_file(at("data/d/sub/file"), 0644, alice.uid, "file\n");
	make_link("sub/file", at("data/d/relative"));
	make_link(file, at("data/d/absolute"));
	make_link("../relative", at("data/d/sub/twice"));
	make_link("sub/../sub/./file", at("data/d/dots"));
	make_link("sub", at("data/d/dirlink"));
	policy("10", "allow read under %s to user %u\n", dir, alice.uid);
	o = OPEND();
	ask_for(&o, alice, at("data/d/relative"), O_RDONLY, "file\n");
	ask_for(&o, alice, at("data/d/absolute"), O_RDONLY, "file\n");
	ask_for(&o, alice, at("data/d/sub/twice"), O_RDONLY, "file\n");
	ask_for(&o, alice, at("data/d/dots"), O_RDONLY, "file\n");
	ask_for(&o, alice, at("data/d/dirlink/file"), O_RDONLY, "file\n");
	ask_for(&o, alice, at("data/d/sub/../sub//./file"), O_RDONLY, "file\n");
	ask_for(&o, alice, at("data/d/../d/sub/file"), O_RDONLY, "file\n");
	ask_refused(&o, alice, at("data/d/relative"), O_RDONLY | O_NOFOLLOW, ELOOP, OPENC_R_KERNEL);
	ask_refused(&o, alice, at("data/d/sub/file/../file"), O_RDONLY, ENOTDIR, OPENC_R_KERNEL);
	opend_stop(&o);
}
END_TEST

START_TEST(symlinks_out_of_a_granted_tree)
{
	char *dir = make_dir(at("data/d"), 0755, alice.uid), *out;
	struct opend o;

	make_file(at("data/d/file"), 0644, alice.uid, "file\n");
	make_dir(at("data/e"), 0755, alice.uid);
	out = make_file(at("data/e/out"), 0644, alice.uid, "out\n");
	make_link(out, at("data/d/absolute"));
	make_link("../e/out", at("data/d/relative"));
	make_link("/etc/passwd", at("data/d/passwd"));
	make_link("../e", at("data/d/dirlink"));
	make_link("loop", at("data/d/loop"));
	make_link("file", at("data/d/inside"));
	policy("10", "allow read under %s to user %u\n", dir, alice.uid);
	o = OPEND();
	ask_refused(&o, alice, at("data/d/absolute"), O_RDONLY, EACCES, OPENC_R_PLACE);
	ask_refused(&o, alice, at("data/d/relative"), O_RDONLY, EACCES, OPENC_R_PLACE);
	ask_refused(&o, alice, at("data/d/passwd"), O_RDONLY, EACCES, OPENC_R_PLACE);
	ask_refused(&o, alice, at("data/d/dirlink/out"), O_RDONLY, EACCES, OPENC_R_PLACE);
	ask_refused(&o, alice, at("data/d/../e/out"), O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_refused(&o, alice, at("data/d/loop"), O_RDONLY, ELOOP, OPENC_R_KERNEL);
	ask_for(&o, alice, at("data/d/inside"), O_RDONLY, "file\n");
	opend_stop(&o);
}
END_TEST

/* Granting the place makes the link work: it is the place that counts. */
START_TEST(a_link_to_another_granted_tree)
{
	char *d = make_dir(at("data/d"), 0755, alice.uid);
	char *e = make_dir(at("data/e"), 0755, alice.uid);
	char *secret;
	struct opend o;

	make_file(at("data/e/file"), 0644, alice.uid, "file\n");
	secret = make_file(at("data/e/secret"), 0644, alice.uid, "secret\n");
	make_link("../e/file", at("data/d/link"));
	make_link("../e/secret", at("data/d/to-secret"));
	policy("10", "allow read under %s %s to user %u\ndeny any file %s to anyone\n", d, e,
	       alice.uid, secret);
	o = OPEND();
	ask_for(&o, alice, at("data/d/link"), O_RDONLY, "file\n");
	ask_refused(&o, alice, at("data/d/to-secret"), O_RDONLY, EACCES, OPENC_R_DENIED);
	opend_stop(&o);
}
END_TEST

/* A client that asks for a FIFO that nobody writes to hears so at once, as does the next client. */
START_TEST(fifo_without_a_writer)
{
	char *dir = make_dir(at("data/d"), 0755, alice.uid);
	char *plain = make_file(at("data/d/plain"), 0644, alice.uid, "plain\n");
	char *fifo = at("data/d/fifo");
	int64_t began;
	struct opend o;

	sys(mkfifo(fifo, 0666));
	sys(chmod(fifo, 0666));
	policy("10", "allow read under %s to user %u\n", dir, alice.uid);
	o = OPEND();
	ask_for(&o, alice, plain, O_RDONLY, "plain\n");
	began = now_msec();
	ask_refused(&o, alice, fifo, O_RDONLY, EACCES, OPENC_R_TYPE);
	ensure(now_msec() - began < patience(2000), "it took %lld ms",
	       (long long)(now_msec() - began));
	ask_for(&o, alice, plain, O_RDONLY, "plain\n");
	opend_stop(&o);
}
END_TEST

START_TEST(fifo_that_a_rule_names)
{
	char *fifo = at("data/fifo");
	int64_t began;
	struct opend o;

	sys(mkfifo(fifo, 0666));
	sys(chmod(fifo, 0666));
	policy("10", "allow read file %s to user %u type fifo\n", fifo, alice.uid);
	o = OPEND();
	began = now_msec();
	ask_for(&o, alice, fifo, O_RDONLY, NULL);
	ensure(now_msec() - began < patience(2000), "it took %lld ms",
	       (long long)(now_msec() - began));
	opend_stop(&o);
}
END_TEST

/* The worker's own /proc would come, not the client's. */
START_TEST(kernel_file_systems)
{
	char *plain = make_file(at("data/plain"), 0644, alice.uid, "plain\n");
	struct opend o;

	policy("10", "allow read,list under / to user %u\n", alice.uid);
	o = OPEND();
	ask_for(&o, alice, plain, O_RDONLY, "plain\n");
	ask_refused(&o, alice, "/proc/self/maps", O_RDONLY, EACCES, OPENC_R_KERNEL_FS);
	ask_refused(&o, alice, "/proc/1/status", O_RDONLY, EACCES, OPENC_R_KERNEL_FS);
	ask_refused(&o, alice, "/proc", O_RDONLY | O_DIRECTORY, EACCES, OPENC_R_KERNEL_FS);
	ask_refused(&o, alice, "/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY, EACCES,
		    OPENC_R_KERNEL_FS);
	opend_stop(&o);
}
END_TEST

/* A file of proc for one rule that is on that very mount. */
START_TEST(kernel_file_system_that_a_rule_names)
{
	char *link;
	struct opend o;

	needs_root("start an opend whose client is another uid");
	link = make_link("/proc/loadavg", at("data/link"));
	policy("10",
	       "allow read under /proc/sys/kernel %s to user %u\nallow read under / to user %u\n",
	       at("data"), alice.uid, bob.uid);
	o = OPEND();
	ask_for(&o, alice, "/proc/sys/kernel/ostype", O_RDONLY, "Linux\n");
	ask_refused(&o, alice, "/proc/loadavg", O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_refused(&o, alice, link, O_RDONLY, EACCES, OPENC_R_PLACE);
	ask_refused(&o, bob, "/proc/sys/kernel/ostype", O_RDONLY, EACCES, OPENC_R_KERNEL_FS);
	opend_stop(&o);
}
END_TEST

START_TEST(directories_need_list)
{
	char *d = make_dir(at("data/d"), 0755, alice.uid);
	char *e = make_dir(at("data/e"), 0755, alice.uid);
	struct opend o;

	policy("10", "allow read under %s to user %u\nallow list under %s to user %u\n", d,
	       alice.uid, e, alice.uid);
	make_file(at("data/e/file"), 0644, alice.uid, "file\n");
	o = OPEND();
	ask_refused(&o, alice, d, O_RDONLY | O_DIRECTORY, EACCES, OPENC_R_ACCESS);
	ask_refused(&o, alice, d, O_RDONLY, EACCES, OPENC_R_ACCESS);
	ask_for(&o, alice, e, O_RDONLY | O_DIRECTORY, NULL);
	ask_refused(&o, alice, at("data/e/file"), O_RDONLY, EACCES, OPENC_R_ACCESS);
	opend_stop(&o);
}
END_TEST

START_TEST(globs_and_except)
{
	char *dir = make_dir(at("data/d"), 0755, alice.uid);
	struct opend o;

	make_file(at("data/d/a.txt"), 0644, alice.uid, "a\n");
	make_file(at("data/d/b.key"), 0644, alice.uid, "b\n");
	make_dir(at("data/d/x"), 0755, alice.uid);
	make_file(at("data/d/x/c.txt"), 0644, alice.uid, "c\n");
	make_dir(at("data/e"), 0755, alice.uid);
	make_file(at("data/e/yes"), 0644, alice.uid, "yes\n");
	make_file(at("data/e/no"), 0644, alice.uid, "no\n");
	policy("10",
	       "allow read file %s/*.txt to user %u\nallow read under %s except %s to user %u\n",
	       dir, alice.uid, at("data/e"), at("data/e/n*"), alice.uid);
	o = OPEND();
	ask_for(&o, alice, at("data/d/a.txt"), O_RDONLY, "a\n");
	ask_refused(&o, alice, at("data/d/b.key"), O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_refused(&o, alice, at("data/d/x/c.txt"), O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_for(&o, alice, at("data/e/yes"), O_RDONLY, "yes\n");
	ask_refused(&o, alice, at("data/e/no"), O_RDONLY, EACCES, OPENC_R_NO_RULE);
	opend_stop(&o);
}
END_TEST

static void ask_many(void *arg)
{
	const struct opend *o = arg;
	struct openc_conn *c = connect_to(o->socket);
	const char *paths[64];
	struct openc_result results[64];

	for (size_t i = 0; i < ELEMENTSOF(paths); i++)
		paths[i] = at(i % 2 ? "data/yes/%zu" : "data/no/%zu", i);
	ensure(openc_open_many(c, paths, ELEMENTSOF(paths), NULL, 0, results, sizeof results[0],
			       0) == (int)ELEMENTSOF(paths) / 2,
	       "%s", openc_message(c));
	for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
		struct stat st, file;

		ensure((results[i].fd >= 0) == (i % 2 == 1), "%s: %d", paths[i], results[i].fd);
		if (results[i].fd < 0)
			continue;
		sys(fstat(results[i].fd, &st));
		sys(stat(paths[i], &file));
		ensure(st.st_ino == file.st_ino && st.st_dev == file.st_dev,
		       "%s: another file came", paths[i]);
		close_fd(results[i].fd);
	}
	ensure(openc_open_many(c, paths, ELEMENTSOF(paths), NULL, 0, results, sizeof results[0],
			       1) == -EACCES,
	       "all or nothing");
	openc_free(c);
}

START_TEST(many_at_once)
{
	struct opend o;

	make_dir(at("data/yes"), 0755, alice.uid);
	make_dir(at("data/no"), 0755, alice.uid);
	for (int i = 0; i < 64; i++)
		make_file(at(i % 2 ? "data/yes/%d" : "data/no/%d", i), 0644, alice.uid, "x\n");
	policy("10", "allow read under %s to user %u\n", at("data/yes"), alice.uid);
	o = OPEND();
	as(alice, ask_many, &o);
	opend_stop(&o);
}
END_TEST

/* Bytes are bytes: whatever a file holds is what openc cat prints. */
START_TEST(every_byte_arrives)
{
	char *big = at("data/big");
	char buf[70000];
	struct program p;
	struct opend o;
	int fd = (int)sys(open(big, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));

	for (size_t i = 0; i < sizeof buf; i++)
		buf[i] = (char)(i * 7 + i / 251);
	ensure(write(fd, buf, sizeof buf) == sizeof buf, "%s", strerror(errno));
	close_fd(fd);
	policy("10", "allow read file %s to anyone\n", big);
	o = OPEND();
	p = RUN(staged("openc"), "--socket", o.socket, "cat", big, big);
	ensure(p.status == 0, "%s", p.err);
	ensure(p.out_len == 2 * sizeof buf && !memcmp(p.out, buf, sizeof buf) &&
		       !memcmp(p.out + sizeof buf, buf, sizeof buf),
	       "%zu bytes came", p.out_len);
	opend_stop(&o);
}
END_TEST

/* A device is no regular file: it is refused, unless the rule names the type. */
START_TEST(devices)
{
	struct opend o;

	policy("10",
	       "allow read file /dev/zero to user %u\n"
	       "allow read,write file /dev/null to user %u type char\n",
	       alice.uid, alice.uid);
	o = OPEND();
	ask_refused(&o, alice, "/dev/zero", O_RDONLY, EACCES, OPENC_R_TYPE);
	ask_for(&o, alice, "/dev/null", O_RDWR, NULL);
	ask_for(&o, alice, "/dev/null", O_RDONLY, "");
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("grants");

	ADD(s, own_rights_read, 30);
	ADD(s, own_rights_are_all_there_is, 30);
	ADD_ROOT(s, as_root_reads_for_whom_it_says, 30);
	ADD_ROOT(s, without_the_rule_root_lends_nothing, 30);
	ADD_ROOT(s, as_root_passes_closed_directories, 30);
	ADD(s, deny_over_allow, 30);
	ADD(s, a_name_is_no_prefix, 30);
	ADD(s, symlinks_within_a_granted_tree, 30);
	ADD(s, symlinks_out_of_a_granted_tree, 30);
	ADD(s, a_link_to_another_granted_tree, 30);
	ADD(s, fifo_without_a_writer, 30);
	ADD(s, fifo_that_a_rule_names, 30);
	ADD(s, kernel_file_systems, 30);
	ADD_ROOT(s, kernel_file_system_that_a_rule_names, 30);
	ADD(s, directories_need_list, 30);
	ADD(s, globs_and_except, 30);
	ADD(s, many_at_once, 30);
	ADD(s, every_byte_arrives, 30);
	ADD(s, devices, 30);
	return s;
}

int main(void)
{
	return harness_main("grants", suite);
}
