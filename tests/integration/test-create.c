/* SPDX-License-Identifier: MIT
 * Creating, truncating, appending: the file that is made is the one that the client's own open(2)
 * would have made, and the descriptor has the flags that its own would have. */
#include "harness.h"

struct creation {
	const char *socket, *path;
	int flags;
	unsigned mode, umask;
	int error, reason;
};

static void create(void *arg)
{
	const struct creation *a = arg;
	struct openc_conn *c = connect_to(a->socket);
	struct openc_how how = {
		.flags = (uint32_t)a->flags, .mode = a->mode, .umask = a->umask, .ask = OPENC_UMASK
	};
	struct openc_result result = { 0 };
	int fd = openc_open_how(c, a->path, &how, sizeof how, &result, sizeof result);

	ensure((fd < 0 ? -fd : 0) == a->error && result.reason == a->reason,
	       "%s: %s, reason %u; %s", a->path, fd < 0 ? strerror(-fd) : "granted", result.reason,
	       openc_message(c));
	close_fd(fd);
	openc_free(c);
}

static void creates(const struct opend *o, const char *path, int flags, unsigned mode,
		    unsigned mask)
{
	struct creation a = { o->socket, path, O_CREAT | flags, mode, mask, 0, 0 };

	as(alice, create, &a);
}

static void cannot(const struct opend *o, const char *path, int flags, int error, int reason)
{
	struct creation a = { o->socket, path, O_CREAT | flags, 0644, 022, error, reason };

	as(alice, create, &a);
}

static void is_made(const char *path, mode_t mode)
{
	struct stat st;

	sys(lstat(path, &st));
	ensure(st.st_mode == (S_IFREG | mode), "%s has mode %o", path, st.st_mode);
	ensure(st.st_uid == alice.uid && st.st_gid == alice.gid, "%s belongs to %u:%u", path,
	       st.st_uid, st.st_gid);
}

START_TEST(mode_and_umask)
{
	struct opend o;

	make_dir(at("data/box"), 0755, alice.uid);
	policy("10", "allow read,write,create under %s to user %u\n", at("data/box"), alice.uid);
	o = OPEND();
	creates(&o, at("data/box/a"), O_WRONLY, 0666, 027);
	is_made(at("data/box/a"), 0640);
	creates(&o, at("data/box/b"), O_RDWR | O_EXCL, 0777, 0);
	is_made(at("data/box/b"), 0777);
	creates(&o, at("data/box/c"), O_RDONLY, 0600, 077);
	is_made(at("data/box/c"), 0600);
	creates(&o, at("data/box/d"), O_WRONLY | O_TRUNC | O_APPEND, 0444, 0);
	is_made(at("data/box/d"), 0444);
	creates(&o, at("data/box/e"), O_WRONLY, 0, 0);
	is_made(at("data/box/e"), 0);
	opend_stop(&o);
}
END_TEST

/* Without OPENC_UMASK it is the umask that openc_new() found. */
static void create_with_process_umask(void *arg)
{
	const struct creation *a = arg;
	struct openc_conn *c;
	int fd;

	umask(037);
	c = connect_to(a->socket);
	umask(0);
	fd = ok(openc_open(c, a->path, O_WRONLY | O_CREAT, 0666));
	close_fd(fd);
	openc_free(c);
}

START_TEST(umask_of_the_process)
{
	struct creation a = { 0 };
	struct opend o;

	make_dir(at("data/box"), 0755, alice.uid);
	policy("10", "allow create under %s to user %u\n", at("data/box"), alice.uid);
	o = OPEND();
	a.socket = o.socket;
	a.path = at("data/box/file");
	as(alice, create_with_process_umask, &a);
	is_made(a.path, 0640);
	opend_stop(&o);
}
END_TEST

/* In a directory that only root may write: the file is the client's all the same. */
START_TEST(as_root_what_is_made_is_the_clients)
{
	struct opend o;

	needs_root("own a directory that the client cannot write");
	make_dir(at("data/box"), 0755, 0);
	make_dir(at("data/own"), 0755, 0);
	policy("10",
	       "allow read,write,create under %s to user %u as root\n"
	       "allow read,write,create under %s to user %u\n",
	       at("data/box"), alice.uid, at("data/own"), alice.uid);
	o = OPEND();
	creates(&o, at("data/box/a"), O_WRONLY, 0666, 027);
	is_made(at("data/box/a"), 0640);
	creates(&o, at("data/box/b"), O_RDWR | O_EXCL, 0600, 022);
	is_made(at("data/box/b"), 0600);
	cannot(&o, at("data/own/a"), O_WRONLY, EACCES, OPENC_R_KERNEL);
	opend_stop(&o);
}
END_TEST

/* `create` alone: something new may be left, nothing that lies there be touched. */
START_TEST(drop_box)
{
	char *old;
	struct stat before, after;
	struct opend o;

	make_dir(at("data/box"), 0777, alice.uid);
	old = make_file(at("data/box/old"), 0666, alice.uid, "old\n");
	sys(stat(old, &before));
	policy("10", "allow create under %s to user %u\n", at("data/box"), alice.uid);
	o = OPEND();
	creates(&o, at("data/box/new"), O_WRONLY, 0644, 022);
	is_made(at("data/box/new"), 0644);
	creates(&o, at("data/box/new2"), O_WRONLY | O_EXCL, 0644, 022);
	cannot(&o, old, O_WRONLY, EACCES, OPENC_R_ACCESS);
	cannot(&o, old, O_RDONLY, EACCES, OPENC_R_ACCESS);
	cannot(&o, old, O_WRONLY | O_TRUNC, EACCES, OPENC_R_ACCESS);
	cannot(&o, old, O_WRONLY | O_EXCL, EEXIST, OPENC_R_KERNEL);
	ask_refused(&o, alice, old, O_RDONLY, EACCES, OPENC_R_ACCESS);
	sys(stat(old, &after));
	ensure(after.st_size == before.st_size && after.st_mtim.tv_nsec == before.st_mtim.tv_nsec,
	       "it was touched");
	opend_stop(&o);
}
END_TEST

/* O_CREAT on what exists needs no `create`; on what does not, it does. */
START_TEST(create_is_about_new_files)
{
	char *old;
	struct opend o;

	make_dir(at("data/d"), 0755, alice.uid);
	old = make_file(at("data/d/old"), 0644, alice.uid, "old\n");
	policy("10", "allow read,write under %s to user %u\n", at("data/d"), alice.uid);
	o = OPEND();
	creates(&o, old, O_RDWR, 0600, 0);
	is_made(old, 0644);
	cannot(&o, at("data/d/new"), O_RDWR, EACCES, OPENC_R_ACCESS);
	ensure(access(at("data/d/new"), F_OK) < 0, "it was made all the same");
	opend_stop(&o);
}
END_TEST

/* And what is there has a type, and links, as without O_CREAT. */
START_TEST(create_opens_nothing_that_open_would_not)
{
	char *fifo = at("data/d/fifo"), *twice;
	struct opend o;

	make_dir(at("data/d"), 0755, alice.uid);
	sys(mkfifo(fifo, 0600));
	sys(chown(fifo, alice.uid, (gid_t)-1));
	twice = make_file(at("data/d/twice"), 0600, alice.uid, "twice\n");
	sys(link(twice, at("data/d/again")));
	policy("10", "allow read,write,create under %s to user %u single-link\n", at("data/d"),
	       alice.uid);
	o = OPEND();
	creates(&o, at("data/d/new"), O_RDWR, 0600, 022);
	creates(&o, at("data/d/new"), O_RDWR, 0600, 022);
	cannot(&o, fifo, O_RDWR, EACCES, OPENC_R_TYPE);
	cannot(&o, twice, O_RDWR, EACCES, OPENC_R_HARD_LINK);
	opend_stop(&o);
}
END_TEST

/* Read-only islands in a tree where files may be made. */
START_TEST(deny_write_and_create)
{
	struct opend o;

	make_dir(at("data/s"), 0755, alice.uid);
	make_dir(at("data/s/ro"), 0755, alice.uid);
	policy("10", "allow read,create under %s to user %u\ndeny write under %s to user %u\n",
	       at("data/s"), alice.uid, at("data/s/ro"), alice.uid);
	o = OPEND();
	cannot(&o, at("data/s/ro/n"), O_WRONLY, EACCES, OPENC_R_DENIED);
	creates(&o, at("data/s/ro/n"), O_RDONLY, 0644, 022);
	creates(&o, at("data/s/n"), O_WRONLY, 0644, 022);
	opend_stop(&o);
}
END_TEST

/* A single file that may be made, and no other beside it. */
START_TEST(create_one_name)
{
	struct opend o;

	make_dir(at("data/d"), 0755, alice.uid);
	policy("10", "allow read,write,create file %s to user %u\n", at("data/d/lock"), alice.uid);
	o = OPEND();
	creates(&o, at("data/d/lock"), O_RDWR, 0644, 022);
	creates(&o, at("data/d/lock"), O_RDWR, 0644, 022);
	cannot(&o, at("data/d/lock"), O_RDWR | O_EXCL, EEXIST, OPENC_R_KERNEL);
	cannot(&o, at("data/d/other"), O_RDWR, EACCES, OPENC_R_NO_RULE);
	ensure(access(at("data/d/other"), F_OK) < 0, "it was made all the same");
	opend_stop(&o);
}
END_TEST

/* A dangling link makes a file where it leads, as for open(2); not outside, and not with O_EXCL. */
START_TEST(through_a_dangling_link)
{
	struct opend o;

	make_dir(at("data/d"), 0755, alice.uid);
	make_dir(at("data/e"), 0777, alice.uid);
	make_link("made", at("data/d/inside"));
	make_link("../e/made", at("data/d/outside"));
	policy("10", "allow read,write,create under %s to user %u\n", at("data/d"), alice.uid);
	o = OPEND();
	cannot(&o, at("data/d/inside"), O_WRONLY | O_EXCL, EEXIST, OPENC_R_KERNEL);
	cannot(&o, at("data/d/inside"), O_WRONLY | O_NOFOLLOW, ELOOP, OPENC_R_KERNEL);
	creates(&o, at("data/d/inside"), O_WRONLY, 0644, 022);
	is_made(at("data/d/made"), 0644);
	cannot(&o, at("data/d/outside"), O_WRONLY, EACCES, OPENC_R_PLACE);
	ensure(access(at("data/e/made"), F_OK) < 0, "it was made outside");
	opend_stop(&o);
}
END_TEST

/* ---- what flags do ---- */

static void truncate_and_append(void *arg)
{
	const struct creation *a = arg;
	struct openc_conn *c = connect_to(a->socket);
	struct stat st;
	int fd = ok(openc_open(c, a->path, O_WRONLY | O_APPEND, 0));

	ensure(write(fd, "+1", 2) == 2, "%s", strerror(errno));
	sys(lseek(fd, 0, SEEK_SET));
	ensure(write(fd, "+2", 2) == 2, "%s", strerror(errno));
	sys(fstat(fd, &st));
	ensure(st.st_size == 9, "it does not append: %lld bytes", (long long)st.st_size);
	close_fd(fd);
	ensure(openc_open(c, a->path, O_RDONLY | O_TRUNC, 0) == -EINVAL &&
		       openc_reason(c) == OPENC_R_FLAGS,
	       "O_RDONLY with O_TRUNC: %s", openc_message(c));
	sys(stat(a->path, &st));
	ensure(st.st_size == 9, "it was truncated by O_RDONLY");
	fd = ok(openc_open(c, a->path, O_RDWR | O_TRUNC, 0));
	sys(fstat(fd, &st));
	ensure(st.st_size == 0, "it does not truncate");
	close_fd(fd);
	openc_free(c);
}

START_TEST(truncating_and_appending)
{
	struct creation a = { .path = make_file(at("data/file"), 0644, alice.uid, "hello") };
	struct opend o;

	policy("10", "allow read,write file %s to user %u\n", a.path, alice.uid);
	o = OPEND();
	a.socket = o.socket;
	as(alice, truncate_and_append, &a);
	opend_stop(&o);
}
END_TEST

/* What a request that is refused may not do: lose what was in the file. */
START_TEST(refused_truncation_leaves_the_file)
{
	char *denied = make_file(at("data/denied"), 0666, alice.uid, "denied");
	char *readable = make_file(at("data/readable"), 0444, alice.uid, "readable");
	struct stat st;
	struct opend o;

	policy("10", "allow read file %s to user %u\nallow read,write file %s to user %u\n", denied,
	       alice.uid, readable, alice.uid);
	o = OPEND();
	ask_refused(&o, alice, denied, O_WRONLY | O_TRUNC, EACCES, OPENC_R_ACCESS);
	ask_refused(&o, alice, readable, O_WRONLY | O_TRUNC, EACCES, OPENC_R_KERNEL);
	sys(stat(denied, &st));
	ensure(st.st_size == 6, "%lld bytes", (long long)st.st_size);
	sys(stat(readable, &st));
	ensure(st.st_size == 8, "%lld bytes", (long long)st.st_size);
	opend_stop(&o);
}
END_TEST

static void compare_getfl(void *arg)
{
	static const int flags[] = {
		O_RDONLY,
		O_WRONLY,
		O_RDWR,
		O_RDWR | O_APPEND,
		O_RDONLY | O_NONBLOCK,
		O_RDWR | O_NONBLOCK | O_APPEND,
		O_RDWR | O_SYNC,
		O_RDWR | O_DSYNC,
		O_RDONLY | O_NOATIME,
		O_RDONLY | O_NOFOLLOW,
		O_RDWR | O_TRUNC,
		O_RDWR | O_CREAT,
		O_RDONLY | O_NOCTTY,
		O_RDONLY | O_DIRECT,
		O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_DSYNC,
	};
	const struct creation *a = arg;
	struct openc_conn *c = connect_to(a->socket);

	for (size_t i = 0; i < ELEMENTSOF(flags); i++) {
		_cleanup_close_ int own = open(a->path, flags[i] | O_CLOEXEC, 0644);
		int own_error = own < 0 ? errno : 0;
		_cleanup_close_ int fd = openc_open(c, a->path, flags[i], 0644);

		ensure((fd < 0 ? -fd : 0) == own_error, "flags %#o: %s; open(2): %s",
		       (unsigned)flags[i], strerror(fd < 0 ? -fd : 0), strerror(own_error));
		ensure(fd < 0 || fcntl(fd, F_GETFL) == fcntl(own, F_GETFL),
		       "flags %#o: F_GETFL says %#o; of open(2) %#o", (unsigned)flags[i],
		       (unsigned)fcntl(fd, F_GETFL), (unsigned)fcntl(own, F_GETFL));
	}
	openc_free(c);
}

START_TEST(flags_are_those_of_open)
{
	struct creation a = { .path = make_file(at("data/file"), 0644, alice.uid, "hello") };
	struct opend o;

	policy("10", "allow read,write file %s to user %u\n", a.path, alice.uid);
	o = OPEND();
	a.socket = o.socket;
	as(alice, compare_getfl, &a);
	opend_stop(&o);
}
END_TEST

static void ask_bad_flags(void *arg)
{
	static const int bad[] = { O_PATH,
				   O_TMPFILE | O_RDWR,
				   O_ASYNC,
				   O_ACCMODE,
				   O_RDONLY | O_TRUNC,
				   1 << 30,
				   1 << 26,
				   040 };
	const struct creation *a = arg;
	struct openc_conn *c = connect_to(a->socket);
	struct openc_how how = { .flags = O_RDWR | O_CREAT, .mode = 04755 };

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		int fd = openc_open(c, a->path, bad[i], 0);

		ensure(fd == -EINVAL && openc_reason(c) == OPENC_R_FLAGS,
		       "flags %#o: %d, reason %d", (unsigned)bad[i], fd, openc_reason(c));
	}
	ensure(openc_open_how(c, a->path, &how, sizeof how, NULL, 0) == -EINVAL, "a set-id bit");
	ensure(verdict(c, a->path, O_RDWR) == 0, "%s", openc_message(c));
	openc_free(c);
}

START_TEST(unknown_flags)
{
	struct creation a = { .path = make_file(at("data/file"), 0644, alice.uid, "hello") };
	struct opend o;

	policy("10", "allow read,write,create under %s to user %u\n", at("data"), alice.uid);
	o = OPEND();
	a.socket = o.socket;
	as(alice, ask_bad_flags, &a);
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("create");

	ADD(s, mode_and_umask, 30);
	ADD(s, umask_of_the_process, 30);
	ADD_ROOT(s, as_root_what_is_made_is_the_clients, 30);
	ADD(s, drop_box, 30);
	ADD(s, create_is_about_new_files, 30);
	ADD(s, create_opens_nothing_that_open_would_not, 30);
	ADD(s, deny_write_and_create, 30);
	ADD(s, create_one_name, 30);
	ADD(s, through_a_dangling_link, 30);
	ADD(s, truncating_and_appending, 30);
	ADD(s, refused_truncation_leaves_the_file, 30);
	ADD(s, flags_are_those_of_open, 30);
	ADD(s, unknown_flags, 30);
	return s;
}

int main(void)
{
	return harness_main("create", suite);
}
