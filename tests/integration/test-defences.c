/* SPDX-License-Identifier: MIT
 * Defences that show only when somebody leans on them: each test here is what would go wrong
 * without one. tests/mutants/ takes each out and looks that its test notices. */
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include "harness.h"

struct visit {
	const char *socket, *file, *other;
	volatile int step;
};

/* Its turn comes when the other has set `step`. */
static void turn(struct visit *v, int step, struct client *c)
{
	if (within(20000, v->step == step || (c && !alive(c->pid))) && v->step == step)
		return;
	if (c)
		client_wait(c);
	ensure(v->step == step, "step %d, not %d", v->step, step);
}

/* ---- which file ---- */

/* What no link, dots or name leads to may not depend on Landlock. */
START_TEST(the_evaluator_alone)
{
	char *dir = make_dir(at("data/d"), 0755, alice.uid), *inside, *outside, *denied;
	struct opend o;

	make_dir(at("data/e"), 0755, alice.uid);
	inside = make_file(at("data/d/inside"), 0644, alice.uid, "inside\n");
	denied = make_file(at("data/d/denied"), 0644, alice.uid, "denied\n");
	outside = make_file(at("data/e/outside"), 0644, alice.uid, "outside\n");
	make_link("inside", at("data/d/in"));
	make_link(outside, at("data/d/out"));
	make_link("denied", at("data/d/to-denied"));
	make_link("../e", at("data/d/dir"));
	policy("10", "allow read under %s to user %u\ndeny any file %s to anyone\n", dir, alice.uid,
	       denied);
	o = opend_start("--landlock-abi", "0", NULL);
	ask_for(&o, alice, inside, O_RDONLY, "inside\n");
	ask_for(&o, alice, at("data/d/in"), O_RDONLY, "inside\n");
	ask_refused(&o, alice, at("data/d/out"), O_RDONLY, EACCES, OPENC_R_PLACE);
	ask_refused(&o, alice, at("data/d/dir/outside"), O_RDONLY, EACCES, OPENC_R_PLACE);
	ask_refused(&o, alice, at("data/d/to-denied"), O_RDONLY, EACCES, OPENC_R_DENIED);
	ask_refused(&o, alice, outside, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_refused(&o, alice, inside, O_RDWR, EACCES, OPENC_R_ACCESS);
	ask_refused(&o, alice, dir, O_RDONLY | O_DIRECTORY, EACCES, OPENC_R_ACCESS);
	ask_refused(&o, alice, dir, O_RDONLY, EACCES, OPENC_R_ACCESS);
	opend_stop(&o);
}
END_TEST

static void ask_promptly(void *arg)
{
	const struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);
	int64_t began = now_msec();

	ok(openc_set_timeout(c, (int)patience(3000)));
	ensure(openc_open(c, v->file, O_RDONLY, 0) < 0, "it was granted");
	ensure(openc_reason(c) != OPENC_R_TIMEOUT && now_msec() - began < patience(2000),
	       "it took %lld ms", (long long)(now_msec() - began));
	ensure(verdict(c, v->other, O_RDONLY) == 0, "%s", openc_message(c));
	openc_free(c);
}

START_TEST(a_fifo_is_answered_at_once)
{
	struct visit v = { .other = make_file(at("data/plain"), 0644, alice.uid, "plain\n"),
			   .file = at("data/fifo") };
	struct opend o;

	sys(mkfifo(v.file, 0666));
	sys(chmod(v.file, 0666));
	policy("10", "allow read under %s to user %u\n", at("data"), alice.uid);
	o = OPEND();
	v.socket = o.socket;
	as(alice, ask_promptly, &v);
	opend_stop(&o);
}
END_TEST

START_TEST(a_loop_of_links_ends)
{
	struct visit v = { .other = make_file(at("data/plain"), 0644, alice.uid, "plain\n") };
	struct opend o;

	v.file = make_link("there", at("data/here"));
	make_link("here", at("data/there"));
	policy("10", "allow read under %s to user %u\n", at("data"), alice.uid);
	o = OPEND();
	v.socket = o.socket;
	as(alice, ask_promptly, &v);
	ask_refused(&o, alice, v.file, O_RDONLY, ELOOP, OPENC_R_KERNEL);
	opend_stop(&o);
}
END_TEST

/* Sets fs.protected_symlinks for this machine until the end that it returns is closed, in whatever
 * way; whoever else does so takes turns by the same lock. -errno where it cannot be set. */
static int protect_symlinks(pid_t *ret)
{
	static const char name[] = "/proc/sys/fs/protected_symlinks";
	_cleanup_close_ int lock = (int)sys(open("/proc/sys/fs/protected_regular", O_RDONLY));
	_cleanup_close_ int fd = open(name, O_RDWR | O_CLOEXEC);
	char before;
	int ends[2];

	if (fd < 0)
		return -errno;
	sys(flock(lock, LOCK_EX));
	ensure(pread(fd, &before, 1, 0) == 1, "%s", name);
	sys(pipe2(ends, O_CLOEXEC));
	*ret = (pid_t)sys(fork());
	if (*ret == 0) {
		char byte;

		setsid();
		close(ends[1]);
		while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
			;
		_exit(pwrite(fd, &before, 1, 0) == 1 ? 0 : 1);
	}
	close_fd(ends[0]);
	ensure(pwrite(fd, "1", 1, 0) == 1, "%s", name);
	return ends[1];
}

static void follow(void *arg)
{
	const struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);
	/* What the kernel says to this very process. */
	_cleanup_close_ int fd = open(v->file, O_RDONLY | O_CLOEXEC);
	int error = fd < 0 ? errno : 0;

	ensure((error == 0) == (v->step == 0), "by itself: %s", strerror(error));
	ensure(verdict(c, v->file, O_RDONLY) == error, "%s", openc_message(c));
	openc_free(c);
}

/* A link of bob's in a directory where everybody may make some is not for alice to follow, nor is
 * one of hers that leads to it, though opend follows both in text. */
START_TEST(a_protected_link_is_not_followed)
{
	char *own, *bobs, *chain;
	pid_t guardian = -1;
	int guarded, status;
	struct opend o;

	needs_root("protect links");
	make_file(at("data/file"), 0644, 0, "file\n");
	make_dir(at("data/all"), 01777, 0);
	own = make_link("../file", at("data/all/own"));
	bobs = make_link("../file", at("data/all/bobs"));
	chain = make_link("all/bobs", at("data/chain"));
	sys(lchown(own, alice.uid, alice.gid));
	sys(lchown(bobs, bob.uid, bob.gid));
	policy("10", "allow read under %s to anyone\n", at("data"));
	guarded = protect_symlinks(&guardian);
	if (guarded < 0)
		skip("fs.protected_symlinks cannot be set here");
	o = OPEND();
	as(alice, follow, &(struct visit){ .socket = o.socket, .file = own });
	as(bob, follow, &(struct visit){ .socket = o.socket, .file = bobs });
	as(alice, follow, &(struct visit){ .socket = o.socket, .file = bobs, .step = 1 });
	as(alice, follow, &(struct visit){ .socket = o.socket, .file = chain, .step = 1 });
	as(bob, follow, &(struct visit){ .socket = o.socket, .file = chain });
	close_fd(guarded);
	sys(waitpid(guardian, &status, 0));
	ensure(status == 0, "fs.protected_symlinks is not what it was");
	opend_stop(&o);
}
END_TEST

/* A worker remembers which file systems are ordinary. One without a device has a number that the
 * next one gets when it has gone. */
START_TEST(a_number_that_is_used_again)
{
	char *mount_at, *file;
	struct stat before, now;
	bool again = false;
	struct opend o;

	needs_root("mount file systems");
	sys(unshare(CLONE_NEWNS));
	sys(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	mount_at = make_dir(at("data/m"), 0755, 0);
	file = at("data/m/uptime");
	sys(mount("tmpfs", mount_at, "tmpfs", 0, "mode=0755"));
	make_file(file, 0644, 0, "not the kernel's\n");
	sys(stat(file, &before));
	policy("10", "allow read under / to user %u\n", alice.uid);
	o = OPEND();
	ask_for(&o, alice, file, O_RDONLY, "not the kernel's\n");
	/* Whoever mounts something just then may get it instead. */
	for (int i = 0; i < 50 && !again; i++) {
		sys(umount(mount_at));
		sys(mount("proc", mount_at, "proc", 0, NULL));
		sys(stat(file, &now));
		again = now.st_dev == before.st_dev;
	}
	ensure(again, "the number %u:%u is not used again", major(before.st_dev),
	       minor(before.st_dev));
	ask_refused(&o, alice, file, O_RDONLY, EACCES, OPENC_R_KERNEL_FS);
	opend_stop(&o);
	sys(umount(mount_at));
}
END_TEST

/* And what is refused for its second name keeps its content. */
START_TEST(hard_links_are_counted)
{
	char *dir = make_dir(at("data/d"), 0755, alice.uid);
	char *single = make_file(at("data/d/single"), 0644, alice.uid, "single\n");
	char *twice = make_file(at("data/d/twice"), 0644, alice.uid, "twice\n");
	struct stat st;
	struct opend o;

	sys(link(twice, at("data/d/again")));
	policy("10", "allow read,write under %s to user %u single-link\n", dir, alice.uid);
	o = OPEND();
	ask_for(&o, alice, single, O_RDONLY, "single\n");
	ask_refused(&o, alice, twice, O_WRONLY | O_TRUNC, EACCES, OPENC_R_HARD_LINK);
	sys(stat(twice, &st));
	ensure(st.st_size == 6, "it was truncated");
	ask_refused(&o, alice, twice, O_RDONLY, EACCES, OPENC_R_HARD_LINK);
	ask_refused(&o, alice, at("data/d/again"), O_RDONLY, EACCES, OPENC_R_HARD_LINK);
	sys(unlink(at("data/d/again")));
	ask_for(&o, alice, twice, O_RDONLY, "twice\n");
	opend_stop(&o);
}
END_TEST

/* Two rules for one name: what one says of links holds for what the other does not mean. */
START_TEST(a_rule_does_not_lend_its_options)
{
	char *dir = make_dir(at("data/d"), 0755, alice.uid), *fifo = at("data/d/fifo.in");
	char *twice = make_file(at("data/d/twice.in"), 0644, alice.uid, "twice\n");
	char *single = make_file(at("data/d/single.in"), 0644, alice.uid, "single\n");
	struct opend o;

	sys(link(twice, at("data/d/again")));
	sys(mkfifo(fifo, 0644));
	sys(chown(fifo, alice.uid, (gid_t)-1));
	policy("10",
	       "allow read under %1$s to user %2$u single-link\n"
	       "allow read file %1$s/*.in to user %2$u type fifo\n",
	       dir, alice.uid);
	o = OPEND();
	ask_for(&o, alice, single, O_RDONLY, "single\n");
	ask_for(&o, alice, fifo, O_RDONLY, NULL);
	ask_refused(&o, alice, twice, O_RDONLY, EACCES, OPENC_R_TYPE);
	opend_stop(&o);
}
END_TEST

/* A refusal that comes after the open would leave the file. */
static void try_to_make(void *arg)
{
	const struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);

	ensure(openc_open(c, v->file, O_WRONLY | O_CREAT, 0644) == -EACCES, "it was made");
	ensure(openc_reason(c) == OPENC_R_DENIED, "%s", openc_message(c));
	close_fd(ok(openc_open(c, v->other, O_WRONLY | O_CREAT, 0644)));
	openc_free(c);
}

START_TEST(what_is_denied_is_not_made)
{
	struct visit v = { .file = at("data/d/denied"), .other = at("data/d/made") };
	struct opend o;

	make_dir(at("data/d"), 0755, alice.uid);
	policy("10", "allow read,create under %s to user %u\ndeny write file %s to anyone\n",
	       at("data/d"), alice.uid, v.file);
	o = OPEND();
	v.socket = o.socket;
	as(alice, try_to_make, &v);
	ensure(access(v.file, F_OK) < 0, "it is there");
	sys(access(v.other, F_OK));
	opend_stop(&o);
}
END_TEST

/* Whoever waits at a FIFO to write goes on when somebody opens it to read, and is killed by SIGPIPE
 * when that was only to refuse it. */
static void wait_at_fifo(void *arg)
{
	struct visit *v = arg;
	int fd = open(v->file, O_WRONLY | O_CLOEXEC);

	v->step = 1;
	close_fd(fd);
}

START_TEST(a_lender_looks_before_it_opens)
{
	struct visit *v = shared(sizeof *v);
	struct client writer;
	char *key;
	struct opend o;

	needs_root("own a directory that the client cannot search");
	make_dir(at("data/vault"), 0700, 0);
	key = make_file(at("data/vault/key"), 0600, 0, "key\n");
	v->file = at("data/vault/fifo");
	sys(mkfifo(v->file, 0600));
	policy("10", "allow read under %s to user %u as root\n", at("data/vault"), alice.uid);
	o = OPEND();
	ask_for(&o, alice, key, O_RDONLY, "key\n");
	writer = client_start(uid_only(0), wait_at_fifo, v);
	ensure(within(5000, asleep(writer.pid)), "nobody waits at the FIFO");
	ask_refused(&o, alice, v->file, O_RDONLY, EACCES, OPENC_R_TYPE);
	ensure(!within(300, v->step), "the FIFO was opened");
	close_fd((int)sys(open(v->file, O_RDONLY | O_NONBLOCK | O_CLOEXEC)));
	client_wait(&writer);
	opend_stop(&o);
}
END_TEST

/* ---- what a worker is ---- */

/* Whether a process has this very file open. */
static bool holds(pid_t pid, const struct stat *file)
{
	for (int fd = 0; fd < 1024; fd++) {
		struct stat st;

		if (stat(text("/proc/%d/fd/%d", pid, fd), &st) == 0 && st.st_ino == file->st_ino &&
		    st.st_dev == file->st_dev)
			return true;
	}
	return false;
}

/* Whoever starts opend may be careless with what he has open, and has secrets in his environment.
 */
START_TEST(workers_inherit_nothing)
{
	char *file, *secret;
	struct stat st;
	pid_t all[16];
	size_t n;
	int fd, high;
	struct opend o;

	needs_root("look into processes that are not dumpable");
#ifdef OPEND_WIDE_FILTER
	skip("sanitizers take their options from the environment");
#endif
	file = make_file(at("data/file"), 0644, 0, "file\n");
	secret = make_file(at("run/secret"), 0600, 0, "secret\n");
	policy("10", "allow read file %s to user %u\n", file, alice.uid);
	fd = (int)sys(open(secret, O_RDONLY)); /* no O_CLOEXEC */
	high = (int)sys(fcntl(fd, F_DUPFD, 100));
	sys(fstat(fd, &st));
	sys(setenv("SECRET", "in the environment", 1));
	o = OPEND();
	close_fd(fd);
	close_fd(high);
	ensure(holds(o.pid, &st), "not even opend has it, so this shows nothing");
	ask_for(&o, alice, file, O_RDONLY, "file\n");
	ask_refused(&o, bob, file, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	n = children(o.pid, NULL, all, ELEMENTSOF(all));
	ensure(n == 4, "a worker, a lobby, opend-audit and the supervisor are %zu", n);
	for (size_t i = 0; i < n; i++) {
		_cleanup_close_ int env =
			(int)sys(open(text("/proc/%d/environ", all[i]), O_RDONLY | O_CLOEXEC));
		size_t len;

		slurp(env, &len);
		ensure(!holds(all[i], &st), "%s has the file", proc_status(all[i], "Name"));
		ensure(len == 0, "%s has an environment", proc_status(all[i], "Name"));
	}
	opend_stop(&o);
}
END_TEST

static unsigned landlock_abi(void)
{
	long abi = syscall(444 /* landlock_create_ruleset */, NULL, 0, 1 /* version */);

	return abi < 0 ? 0 : (unsigned)abi;
}

/* From outside a domain shows by what it does not reach: a file that is newer than it is. */
static void see_another_worker(void *arg)
{
	struct visit *v = arg;
	struct raw r = raw_connect(v->socket);

	raw_works(&r, 1, v->file);
	v->step = 1;
	turn(v, 2, NULL);
	raw_works(&r, 2, v->file);
	v->step = 3;
	turn(v, 4, NULL);
	raw_close(&r);
}

START_TEST(landlock_is_in_force)
{
	struct visit *v = shared(sizeof *v);
	struct client c;
	pid_t before;
	struct opend o;

	if (!landlock_abi())
		skip("this kernel has no Landlock");
	v->file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read file %s to user %u\n", v->file, alice.uid);
	o = OPEND();
	v->socket = o.socket;
	c = client_start(alice, see_another_worker, v);
	turn(v, 1, &c);
	before = only_worker(&o, alice.uid);
	make_file(at("data/newer"), 0644, alice.uid, "newer\n");
	sys(rename(at("data/newer"), v->file));
	v->step = 2;
	turn(v, 3, &c);
	ensure(within(5000, !alive(before)), "the worker opens what was not there at its birth");
	v->step = 4;
	client_wait(&c);
	opend_stop(&o);
}
END_TEST

static void be_turned_away(void *arg)
{
	const struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	char frame[WIRE_REQUEST_MAX], reply[WIRE_REPLY_MAX];
	struct wire_outcome out;
	int fd, size;

	send(r.fd, frame, raw_open(frame, 1, v->file, O_RDONLY), MSG_NOSIGNAL);
	size = raw_recv(&r, reply, &fd, 10000);
	ensure(fd < 0, "it was granted");
	ensure(size <= 0 || wire_decode_result(reply, (size_t)size, &out) < 0 || out.error,
	       "it was granted");
	ensure(size != -ETIMEDOUT, "no answer");
	raw_close(&r);
}

START_TEST(landlock_may_be_required)
{
	struct visit v = { .file = make_file(at("data/file"), 0644, alice.uid, "file\n") };
	struct opend o;

	policy("10", "allow read file %s to user %u\n", v.file, alice.uid);
	o = opend_start("--landlock-abi", "0", "--require-landlock", NULL);
	v.socket = o.socket;
	as(alice, be_turned_away, &v);
	opend_stop(&o);
	if (!landlock_abi())
		return;
	o = opend_start("--require-landlock", NULL);
	ask_for(&o, alice, v.file, O_RDONLY, "file\n");
	opend_stop(&o);
}
END_TEST

/* ---- a private opend ---- */

START_TEST(a_private_opend_refuses_others)
{
	const char *args[40] = { "setpriv", "--reuid=1000", "--regid=1000", "--clear-groups" };
	char *file, *open_to_all;
	struct opend o;

	needs_root("have clients of two uids");
	file = make_file(at("data/file"), 0600, alice.uid, "file\n");
	open_to_all = make_file(at("data/open"), 0644, alice.uid, "open\n");
	policy("10", "allow read file %s %s to anyone\n", file, open_to_all);
	sys(chown(at("run"), alice.uid, alice.gid));
	sys(chown(at("policy"), alice.uid, alice.gid));
	opend_args(0, args + 4);
	args[4 + 7] = NULL; /* no accounts */
	o = opend_spawn(0, args);
	opend_wait_ready(&o);
	ask_for(&o, alice, file, O_RDONLY, "file\n");
	ask_refused(&o, bob, file, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_refused(&o, bob, open_to_all, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	opend_stop(&o);
}
END_TEST

/* ---- records ---- */

/* opend-audit is stopped, so the worker's pipe fills up. What need not be recorded goes on. */
static void fill_the_pipe(void *arg)
{
	const struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);
	int error = 0;

	ok(openc_set_timeout(c, (int)patience(3000)));
	for (int i = 0; i < 5000 && !error; i++)
		error = verdict(c, v->file, O_RDONLY);
	ensure(error == EAGAIN && openc_reason(c) == OPENC_R_AUDIT, "errno %d: %s", error,
	       openc_message(c));
	ensure(verdict(c, v->other, O_RDONLY) == 0, "%s", openc_message(c));
	ensure(verdict(c, v->file, O_RDONLY) == EAGAIN, "a second one is granted");
	openc_free(c);
}

static void ask_until_granted(void *arg)
{
	const struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);

	ensure(within(10000, verdict(c, v->file, O_RDONLY) == 0), "%s", openc_message(c));
	openc_free(c);
}

static pid_t audit_of(const struct opend *o)
{
	pid_t found[2];

	ensure(within(5000, children(o->pid, "opend-audit", found, ELEMENTSOF(found)) == 1),
	       "no opend-audit");
	return found[0];
}

START_TEST(what_cannot_be_recorded_is_not_granted)
{
	struct visit v = { .file = make_file(at("data/logged"), 0644, alice.uid, "logged\n"),
			   .other = make_file(at("data/other"), 0644, alice.uid, "other\n") };
	struct opend o;
	pid_t audit;

	policy("10", "allow read file %s to user %u log\nallow read file %s to user %u\n", v.file,
	       alice.uid, v.other, alice.uid);
	o = OPEND();
	v.socket = o.socket;
	ask_for(&o, alice, v.file, O_RDONLY, "logged\n");
	audit = audit_of(&o);
	sys(kill(audit, SIGSTOP));
	as(alice, fill_the_pipe, &v);
	sys(kill(audit, SIGCONT));
	as(alice, ask_until_granted, &v);
	opend_stop(&o);
}
END_TEST

enum { DENIALS = 300, BURST = 20, PER_SECOND = 10 };

static void be_denied(void *arg)
{
	const struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);

	for (int i = 0; i < DENIALS; i++)
		ensure(verdict(c, v->other, O_RDONLY) == EACCES, "%s", openc_message(c));
	openc_free(c);
}

/* How many denials the log holds, and how many it says were held back. */
static int told(const struct opend *o, int *ret_held_back)
{
	_cleanup_close_ int fd = (int)sys(open(o->log, O_RDONLY | O_CLOEXEC));
	char *log = slurp(fd, NULL);
	int denied = 0;

	*ret_held_back = 0;
	for (char *p = log; (p = strstr(p, "denied: uid ")); p++)
		denied++;
	for (char *p = log; (p = strstr(p, "held back: ")); p++)
		*ret_held_back += atoi(p + strlen("held back: "));
	return denied;
}

START_TEST(denials_are_held_back_and_counted)
{
	struct visit v = { .file = make_file(at("data/file"), 0644, alice.uid, "file\n"),
			   .other = at("data/other") };
	int64_t began = now_msec();
	int denied = 0, held_back = 0;
	struct opend o;

	policy("10", "allow read file %s to user %u\n", v.file, alice.uid);
	o = OPEND();
	v.socket = o.socket;
	as(alice, be_denied, &v);
	ensure(within(10000, (denied = told(&o, &held_back)) + held_back == DENIALS),
	       "%d written and %d held back are not %d", denied, held_back, DENIALS);
	ensure(denied <= BURST + PER_SECOND * (int)((now_msec() - began) / 1000 + 1),
	       "%d are written", denied);
	opend_stop(&o);
}
END_TEST

static void be_denied_on_record(void *arg)
{
	const struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	char frame[WIRE_REQUEST_MAX];
	struct wire_outcome out;
	int fd;

	raw_send(&r, frame, raw_open(frame, 1, v->other, O_RDONLY));
	out = raw_result(&r, 1, &fd);
	ensure(out.error == EACCES && out.serial, "errno %d, serial %llu", out.error,
	       (unsigned long long)out.serial);
	raw_close(&r);
}

/* Both are in the lobby, where nobody has a rule. */
START_TEST(a_flood_of_denials_hides_nobody_elses)
{
	struct visit v = { .other = at("data/other") };
	char *line = text("denied: uid %u ", bob.uid);
	struct opend o;

	needs_root("have clients of two uids");
	policy("10", "allow read file %s to user 7\n", at("data/file"));
	o = OPEND();
	v.socket = o.socket;
	as(alice, be_denied, &v);
	as(bob, be_denied_on_record, &v);
	ensure(within(5000, RUN("grep", "-q", line, o.log).status == 0), "no record of bob's");
	opend_stop(&o);
}
END_TEST

START_TEST(opend_audit_holds_nothing)
{
	static const char *const sets[] = { "CapPrm", "CapEff", "CapInh", "CapAmb" };
	char *file, *ids = text("%d\t%d\t%d\t%d", AUDIT_UID, AUDIT_UID, AUDIT_UID, AUDIT_UID);
	struct opend o;
	pid_t audit;

	needs_root("start an opend that becomes other users");
	file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to user %u log\n", file, alice.uid);
	o = OPEND();
	ask_for(&o, alice, file, O_RDONLY, "file\n");
	audit = audit_of(&o);
	ensure(!strcmp(proc_status(audit, "Uid"), ids), "Uid %s", proc_status(audit, "Uid"));
	ensure(!strcmp(proc_status(audit, "Gid"), ids), "Gid %s", proc_status(audit, "Gid"));
	ensure(strspn(proc_status(audit, "Groups"), " ") == strlen(proc_status(audit, "Groups")),
	       "Groups %s", proc_status(audit, "Groups"));
	for (size_t i = 0; i < ELEMENTSOF(sets); i++)
		ensure(proc_hex(audit, sets[i]) == 0, "%s", sets[i]);
	ensure(!strcmp(proc_status(audit, "NoNewPrivs"), "1"), "it may gain privileges");
	ensure(within(5000, !strcmp(proc_status(audit, "Seccomp"), "2")),
	       "it has no seccomp filter");
	opend_stop(&o);
}
END_TEST

/* ---- the library ---- */

static void ask_by_environment(void *arg)
{
	struct visit *v = arg;
	struct program p;

	sys(setenv("OPENC_SOCKET", v->socket, 1));
	p = RUN(staged("openc"), "cat", v->file);
	ensure(p.status == 0 && !strcmp(p.out, "file\n"), "status %d: %s", p.status, p.err);
	/* The same program, as whoever owns it. */
	p = RUN(v->other, "cat", v->file);
	ensure(p.status != 127, "%s", p.err);
	ensure(p.status != 0 && p.out_len == 0, "it asked where the environment says");
}

START_TEST(a_set_id_program_does_not_ask_its_environment)
{
	struct visit v = { .other = at("data/openc") };
	struct statvfs fs;
	struct opend o;

	needs_root("own a set-id program");
	sys(statvfs(at("data"), &fs));
	if (fs.f_flag & ST_NOSUID)
		skip("set-id bits mean nothing on the file system of /tmp");
	if (!access("/run/opend/socket", F_OK))
		skip("an opend of this system listens where it would ask instead");
	v.file = make_file(at("data/file"), 0644, 0, "file\n");
	ensure(RUN("install", "-o", "1001", "-g", "1001", "-m", "6755", staged("openc"), v.other)
			       .status == 0,
	       "cannot install %s", v.other);
	policy("10", "allow read file %s to anyone\n", v.file);
	o = OPEND();
	v.socket = o.socket;
	as(alice, ask_by_environment, &v);
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("defences");

	ADD(s, the_evaluator_alone, 30);
	ADD(s, a_fifo_is_answered_at_once, 30);
	ADD(s, a_loop_of_links_ends, 30);
	ADD_ROOT(s, a_protected_link_is_not_followed, 150);
	ADD_ROOT(s, a_number_that_is_used_again, 30);
	ADD(s, hard_links_are_counted, 30);
	ADD(s, a_rule_does_not_lend_its_options, 30);
	ADD(s, what_is_denied_is_not_made, 30);
	ADD_ROOT(s, a_lender_looks_before_it_opens, 30);
	ADD_ROOT(s, workers_inherit_nothing, 30);
	ADD(s, landlock_is_in_force, 30);
	ADD(s, landlock_may_be_required, 30);
	ADD_ROOT(s, a_private_opend_refuses_others, 30);
	ADD(s, what_cannot_be_recorded_is_not_granted, 60);
	ADD(s, denials_are_held_back_and_counted, 30);
	ADD_ROOT(s, a_flood_of_denials_hides_nobody_elses, 30);
	ADD_ROOT(s, opend_audit_holds_nothing, 30);
	ADD_ROOT(s, a_set_id_program_does_not_ask_its_environment, 30);
	return s;
}

int main(void)
{
	return harness_main("defences", suite);
}
