/* SPDX-License-Identifier: MIT
 * The hull, file by file. Whoever has taken over a worker can open what opend says he can (the plan
 * that opend --check prints), with the client's own rights, and nothing else; a lender likewise
 * with the rights of the capabilities that it has. For each of some two hundred files and
 * directories and each permitted entry of the tables, two oracles are asked: an ordinary process
 * of the same ids and capabilities, for the rights; and the plan, for the hull. The kernel must say
 * what both say together. That it also says yes to what deny, except, globs and single files for
 * creation forbid shows that it was really our evaluator that has been left out. */
#include <dirent.h>
#include <ftw.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include "daemon/worker/openhow.h"
#include "harness-backdoor.h"
#include "policy/hull.h"

enum { OVERRIDE = 1 << 1, READ_SEARCH = 1 << 2, PLACES_MAX = 512 };

/* ---- the tree ---- */

/* One directory for each kind of rule, and those that no rule names. */
static const char *const regions[] = {
	"read",	       "write",	    "both",	  "create",	 "list",
	"except",      "deny",	    "glob",	  "exact",	 "single",
	"listed",      "outside",   "readmore",	  "root-read",	 "root-both",
	"root-create", "root-list", "root-exact", "root-single",
};

static void fill(const char *dir)
{
	make_file(text("%s/own", dir), 0600, alice.uid, "own\n");
	make_file(text("%s/own-read", dir), 0400, alice.uid, "own\n");
	make_file(text("%s/own-none", dir), 0000, alice.uid, "own\n");
	make_file(text("%s/all", dir), 0666, 0, "all\n");
	make_file(text("%s/others", dir), 0644, 0, "others\n");
	make_file(text("%s/secret", dir), 0600, 0, "secret\n");
	make_file(text("%s/bobs", dir), 0600, bob.uid, "bob\n");
}

static void make_region(const char *name)
{
	char *dir = make_dir(at("data/%s", name), 0777, 0);

	fill(dir);
	fill(make_dir(text("%s/sub", dir), 0777, alice.uid));
	make_dir(text("%s/closed", dir), 0700, 0);
	make_file(text("%s/closed/others", dir), 0644, 0, "closed\n");
	make_link(text("%s/own", dir), text("%s/link", dir));
	sys(mknod(text("%s/fifo", dir), S_IFIFO | 0666, 0));
	sys(mknod(text("%s/null", dir), S_IFCHR | 0666, makedev(1, 3)));
}

static void make_tree(void)
{
	umask(0);
	for (size_t i = 0; i < ELEMENTSOF(regions); i++)
		make_region(regions[i]);
	umask(022);
	/* The same file by a name that no rule knows. */
	sys(link(at("data/exact/own"), at("data/outside/alias")));
	policy("10",
	       "allow read under %1$s/read to user %2$u\n"
	       "allow write under %1$s/write to user %2$u\n"
	       "allow read,write under %1$s/both to user %2$u\n"
	       "allow create under %1$s/create to user %2$u\n"
	       "allow list under %1$s/list to user %2$u\n"
	       "allow read,list under %1$s/except except %1$s/except/sub to user %2$u\n"
	       "allow read,list under %1$s/deny to user %2$u\n"
	       "deny any under %1$s/deny/sub to user %2$u\n"
	       "allow read file %1$s/glob/*/own to user %2$u\n"
	       "allow read file %1$s/exact/own to user %2$u\n"
	       "allow create file %1$s/single/new to user %2$u\n"
	       "allow list file %1$s/listed to user %2$u\n"
	       "allow read,write,list under %1$s/readmore/sub to user %2$u\n"
	       "allow read under %1$s/readmore to user %2$u\n",
	       at("data"), alice.uid);
	policy("20",
	       "allow read,list under %1$s/root-read to user %2$u as root\n"
	       "deny any under %1$s/root-read/closed to user %2$u\n"
	       "allow read,write file %1$s/root-both/*/secret to user %2$u as root\n"
	       "allow create under %1$s/root-create to user %2$u as root\n"
	       "allow list under %1$s/root-list to user %2$u as root\n"
	       "allow read file %1$s/root-exact/secret to user %2$u as root\n"
	       "allow create file %1$s/root-single/new to user %2$u as root\n",
	       at("data"), alice.uid);
}

struct places {
	size_t n;
	char paths[PLACES_MAX][512];
};

static void collect(struct places *p, const char *dir)
{
	DIR *d = opendir(dir);

	ensure(d, "%s: %s", dir, strerror(errno));
	ensure(p->n < PLACES_MAX, "more places than expected");
	snprintf(p->paths[p->n++], sizeof p->paths[0], "%s", dir);
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		if (e->d_type == DT_DIR) {
			collect(p, text("%s/%s", dir, e->d_name));
			continue;
		}
		ensure(p->n < PLACES_MAX, "more places than expected");
		snprintf(p->paths[p->n++], sizeof p->paths[0], "%s/%s", dir, e->d_name);
	}
	closedir(d);
}

/* ---- the first oracle: the kernel, asked by an ordinary process ---- */

struct oracle {
	uint64_t caps;
	struct places *places;
	bool opens[PLACES_MAX][OPENHOW_EXISTING];
	/* Of a new file in the place, should it be a directory: by the lower bits of an index. */
	bool creates[PLACES_MAX][OPENHOW_EXISTING];
};

/* Alice, with the capabilities that her lender has. */
static void become_alice(uint64_t caps)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { (uint32_t)caps, (uint32_t)caps, 0 } };

	sys(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	sys(setresgid(alice.gid, alice.gid, alice.gid));
	sys(setresuid(alice.uid, alice.uid, alice.uid));
	sys(syscall(SYS_capset, &header, data));
}

static bool opens(const char *path, const struct openhow_entry *e)
{
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &e->how, sizeof e->how);

	return close_fd(fd), fd >= 0;
}

static uint32_t with_mode(uint32_t lower, uint32_t mode)
{
	return lower | mode << 7;
}

static char *new_name(const char *dir, uint32_t k)
{
	return text("%s/new-%u", dir, k);
}

static void ask_oracle(void *arg)
{
	struct oracle *o = arg;

	become_alice(o->caps);
	umask(0);
	for (size_t i = 0; i < o->places->n; i++) {
		const char *path = o->places->paths[i];

		for (uint32_t k = 0; k < OPENHOW_EXISTING; k++) {
			char *name = new_name(path, k);

			o->opens[i][k] = opens(path, &openhow_existing[k]);
			o->creates[i][k] = opens(name, &openhow_create[with_mode(k, 0666)]);
			unlink(name);
		}
	}
}

static struct oracle *oracle_new(struct places *places, uint64_t caps)
{
	struct oracle *o = shared(sizeof *o);

	o->places = places;
	o->caps = caps;
	as(uid_only(0), ask_oracle, o);
	return o;
}

/* ---- the second oracle: the plan ---- */

struct hull {
	struct policy *effective;
	struct policy_base *bases;
	size_t n;
};

static struct hull hull_new(bool root)
{
	const char *const paths[] = { at("policy"), NULL };
	const struct policy_options options = { .resolve_names = true, .units = true };
	const struct policy_subject who = { .uid = alice.uid, .gid = alice.gid };
	struct diags diags = { 0 };
	struct policy *whole;
	struct hull h = { 0 };

	ok(policy_load(paths, &options, &diags, &whole));
	diags_deinit(&diags);
	ok(policy_effective(whole, &who, root ? POLICY_LENDER : POLICY_CALLER, NULL, &h.effective));
	policy_free(whole);
	ok(policy_plan(h.effective, root, &h.bases, &h.n));
	ensure(h.n >= 6, "a plan of %zu bases", h.n);
	return h;
}

static void hull_free(struct hull *h)
{
	free(h->bases);
	policy_free(h->effective);
}

static bool is_directory(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_same_file(const char *a, const char *b)
{
	struct stat x, y;

	return lstat(a, &x) == 0 && lstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

static bool is_below(const char *path, const char *base)
{
	size_t n = strlen(base);

	return !strncmp(path, base, n) && (path[n] == 0 || path[n] == '/');
}

/* The rights that a base gives at a path. A file is granted whatever it is called; a directory is
 * never granted without what is below, Landlock knows no other. */
static unsigned rights_at(const struct policy_base *b, const char *path)
{
	unsigned rights = policy_base_rights(b);

	if (b->exact && !is_directory(b->path))
		return is_same_file(b->path, path) ? rights : 0;
	if (b->exact)
		rights &= WIRE_LIST;
	return is_below(path, b->path) ? rights : 0;
}

/* Does the hull have all that this needs? Several bases may contribute. */
static bool holds(const struct hull *h, const char *path, unsigned need)
{
	unsigned have = 0;

	for (size_t i = 0; i < h->n; i++)
		have |= rights_at(&h->bases[i], path);
	return !(need & ~have);
}

static unsigned need_of(uint32_t index)
{
	static const unsigned by_mode[] = { WIRE_READ, WIRE_WRITE, WIRE_READ | WIRE_WRITE, 0 };

	return by_mode[index & 3];
}

/* ---- the comparison ---- */

struct tally {
	size_t opened, refused; /* of what the rights alone would have opened */
};

/* By each entry for what exists. */
static void open_by_all(struct intruder *i, const char *path, int *ret)
{
	const char *paths[OPENHOW_EXISTING];

	for (uint32_t k = 0; k < OPENHOW_EXISTING; k++)
		paths[k] = path;
	open_each(i, paths, IN_EXISTING(0), 1, ret, OPENHOW_EXISTING);
}

static void must_stay_shut(struct intruder *i, const char *path)
{
	int results[OPENHOW_EXISTING];

	open_by_all(i, path, results);
	for (uint32_t k = 0; k < OPENHOW_EXISTING; k++)
		ensure(results[k] < 0, "%s opened by entry %u", path, k);
}

static void compare_existing(struct intruder *i, const struct hull *h, const struct oracle *o,
			     size_t at, struct tally *t)
{
	const char *path = o->places->paths[at];
	bool directory = is_directory(path);
	int results[OPENHOW_EXISTING];

	open_by_all(i, path, results);
	for (uint32_t k = 0; k < OPENHOW_EXISTING; k++) {
		bool in_hull = holds(h, path, directory ? WIRE_LIST : need_of(k));
		bool expected = o->opens[at][k] && in_hull;
		int r = results[k];

		ensure((r == 0) == expected, "%s by entry %u: %s; the rights say %s, the hull %s",
		       path, k, r ? strerror(-r) : "opened", o->opens[at][k] ? "yes" : "no",
		       in_hull ? "yes" : "no");
		if (o->opens[at][k])
			(*(expected ? &t->opened : &t->refused))++;
	}
}

static void compare_creation(struct intruder *i, const struct hull *h, const struct oracle *o,
			     size_t at, struct tally *t)
{
	const char *dir = o->places->paths[at];
	const char *names[OPENHOW_EXISTING];
	int results[OPENHOW_EXISTING];

	for (uint32_t k = 0; k < OPENHOW_EXISTING; k++)
		names[k] = new_name(dir, k);
	open_each(i, names, IN_CREATE(32 * with_mode(0, 0666)), 1, results, OPENHOW_EXISTING);
	for (uint32_t k = 0; k < OPENHOW_EXISTING; k++) {
		const char *name = names[k];
		bool in_hull = holds(h, dir, WIRE_CREATE | need_of(k));
		bool expected = o->creates[at][k] && in_hull;
		int r = results[k];

		unlink(name);
		ensure((r == 0) == expected, "%s by entry %u: %s; the rights say %s, the hull %s",
		       name, k, r ? strerror(-r) : "made", o->creates[at][k] ? "yes" : "no",
		       in_hull ? "yes" : "no");
		if (o->creates[at][k])
			(*(expected ? &t->opened : &t->refused))++;
	}
}

static void compare(struct intruder *i, bool root, uint64_t caps)
{
	struct places *places = shared(sizeof *places);
	struct tally existing = { 0 }, creation = { 0 };
	struct hull h = hull_new(root);
	struct oracle *o;

	collect(places, at("data"));
	ensure(places->n > 200, "%zu places", places->n);
	o = oracle_new(places, caps);
	CALL(i, SYS_umask, 0);
	for (size_t k = 0; k < places->n; k++) {
		compare_existing(i, &h, o, k, &existing);
		compare_creation(i, &h, o, k, &creation);
	}
	ensure(existing.opened > 500 && existing.refused > 500, "opened %zu, refused %zu",
	       existing.opened, existing.refused);
	ensure(creation.opened > 100 && creation.refused > 500, "made %zu, refused %zu",
	       creation.opened, creation.refused);
	hull_free(&h);
}

/* What the evaluator refuses lies open to who has left it behind. */
static void beyond_evaluator(struct intruder *i, const char *path)
{
	char frame[WIRE_REQUEST_MAX];
	struct wire_outcome out;
	int fd;

	raw_send(&i->raw, frame, raw_open(frame, ++i->id, path, O_RDONLY));
	out = raw_result(&i->raw, i->id, &fd);
	ensure(out.error == EACCES && out.reason < WIRE_FLAGS, "%s: %s, reason %u", path,
	       strerror(out.error), out.reason);
	ensure(open_by(i, path, IN_EXISTING(0)) == 0, "%s is not in the hull", path);
}

static const char key_name[] = "root-exact/secret";

START_TEST(a_worker_opens_its_hull_and_nothing_else)
{
	struct opend o;
	struct intruder i;

	needs_filter();
	make_tree();
	o = opend_taken_over();
	i = intrude(&o, A_WORKER, alice, NULL);
	compare(&i, false, 0);
	beyond_evaluator(&i, at("data/deny/sub/own"));
	beyond_evaluator(&i, at("data/except/sub/own"));
	beyond_evaluator(&i, at("data/glob/others"));
	beyond_evaluator(&i, at("data/single/sub/own"));
	beyond_evaluator(&i, at("data/create/own"));
	intruder_leave(&i);
	opend_stop(&o);
}
END_TEST

START_TEST(a_lender_opens_its_hull_and_nothing_else)
{
	const uint64_t caps = OVERRIDE | READ_SEARCH;
	struct opend o;
	struct intruder i;

	needs_filter();
	make_tree();
	o = opend_taken_over();
	i = intrude(&o, A_LENDER, alice, at("data/%s", key_name));
	ensure(set_caps(&i, caps, caps, 0) == 0, "it cannot raise what it has");
	compare(&i, true, caps);
	ensure(open_by(&i, at("data/root-read/closed/others"), IN_EXISTING(0)) == 0, "the deny");
	ensure(open_by(&i, at("data/root-both/secret"), IN_EXISTING(0)) == 0, "the glob");
	ensure(open_by(&i, at("data/root-single/secret"), IN_EXISTING(0)) == 0, "the single file");
	/* At rest it has the client's rights only. */
	ensure(set_caps(&i, caps, 0, 0) == 0, "it cannot lower them");
	compare(&i, true, 0);
	intruder_end(&i);
	opend_stop(&o);
}
END_TEST

/* Whoever has no rule has no hull. */
START_TEST(the_lobby_opens_nothing)
{
	struct places *places;
	struct opend o;
	struct intruder i;

	needs_filter();
	make_tree();
	places = shared(sizeof *places);
	collect(places, at("data"));
	o = opend_taken_over();
	i = intrude(&o, A_LOBBY, bob, NULL);
	for (size_t k = 0; k < places->n; k++)
		must_stay_shut(&i, places->paths[k]);
	intruder_leave(&i);
	opend_stop(&o);
}
END_TEST

/* ---- everything else ---- */

static const char *const secrets[] = {
	"/",
	"/etc",
	"/etc/passwd",
	"/etc/shadow",
	"/etc/gshadow",
	"/etc/sudoers",
	"/etc/ssl/private",
	"/root",
	"/root/.ssh",
	"/root/.bash_history",
	"/home",
	"/tmp",
	"/run",
	"/var/log",
	"/boot",
	"/proc",
	"/proc/1/mem",
	"/proc/1/maps",
	"/proc/1/environ",
	"/proc/1/fd",
	"/proc/1/root/etc/passwd",
	"/proc/self/mem",
	"/proc/self/maps",
	"/proc/self/environ",
	"/proc/self/status",
	"/proc/self/fd",
	"/proc/self/fd/3",
	"/proc/self/root/etc/passwd",
	"/proc/self/task",
	"/proc/kcore",
	"/proc/kmsg",
	"/proc/net/unix",
	"/proc/sys/kernel/core_pattern",
	"/proc/sysrq-trigger",
	"/sys",
	"/sys/kernel",
	"/sys/fs/cgroup/cgroup.procs",
	"/dev",
	"/dev/mem",
	"/dev/kmsg",
	"/dev/fuse",
	"/dev/null",
	"/dev/tty",
	"/dev/vda",
	"/dev/sda",
	"//etc/passwd",
	"/etc/../etc/passwd",
	"etc/passwd",
	".",
	"..",
	"",
};

/* What the system keeps, what opend keeps, and what the evaluator would have to be asked for. */
static void try_secrets(struct intruder *i)
{
	for (size_t k = 0; k < ELEMENTSOF(secrets); k++)
		must_stay_shut(i, secrets[k]);
	must_stay_shut(i, at("policy"));
	must_stay_shut(i, at("policy/10.policy"));
	must_stay_shut(i, at("run/opend.log"));
	must_stay_shut(i, at("run/control"));
	must_stay_shut(i, at("run/socket"));
	must_stay_shut(i, at("taken/opend-worker"));
	must_stay_shut(i, at("data/read/../outside/others"));
	must_stay_shut(i, at("data/read/link"));
}

/* The memory of another process, its descriptors (its birth certificate would be one) and where
 * they lead to. */
static void try_process(struct intruder *i, pid_t pid)
{
	static const char *const names[] = { "mem",   "maps", "environ",   "cmdline", "status",
					     "stack", "auxv", "map_files", "fd",      "fdinfo",
					     "root",  "cwd",  "syscall",   "stat" };

	for (size_t k = 0; k < ELEMENTSOF(names); k++)
		must_stay_shut(i, text("/proc/%d/%s", pid, names[k]));
	for (int fd = 0; fd < 10; fd++) {
		char *name = text("/proc/%d/fd/%d", pid, fd);

		must_stay_shut(i, name);
		ensure(CALL_WITH(i, name, SYS_readlinkat, (uint32_t)AT_FDCWD, IN_AREA(0),
				 IN_AREA(1024), 512) < 0,
		       "%s can be read", name);
	}
}

static void be_bob_for_a_while(void *arg)
{
	const struct opend *o = arg;
	struct openc_conn *c = connect_to(o->socket);

	ensure(verdict(c, at("data/read/others"), O_RDONLY) == 0, "%s", openc_message(c));
	openc_free(c);
}

/* Whether there was anything to be had: a process with those rights gets it. */
static void open_shadow(void *arg)
{
	become_alice(*(uint64_t *)arg);
	ensure(opens("/etc/passwd", openhow_existing) &&
		       opens("/proc/1/status", openhow_existing) &&
		       opens(at("policy/10.policy"), openhow_existing),
	       "there is nothing to find");
	ensure(opens("/etc/shadow", openhow_existing) == !!(*(uint64_t *)arg & READ_SEARCH),
	       "/etc/shadow");
}

static void try_everything(enum victim which, uint64_t caps)
{
	struct intruder i;
	struct opend o;
	pid_t audit;

	make_tree();
	policy("30", "allow read under %s/read to user %u\n", at("data"), bob.uid);
	as(uid_only(0), open_shadow, &caps);
	o = opend_taken_over();
	ensure(within(5000, children(o.pid, "opend-audit", &audit, 1) == 1), "no opend-audit");
	as(bob, be_bob_for_a_while, &o);
	i = intrude(&o, which, alice, at("data/%s", key_name));
	if (caps)
		ensure(set_caps(&i, caps, caps, 0) == 0, "it cannot raise what it has");
	try_secrets(&i);
	try_process(&i, only_worker(&o, bob.uid));
	try_process(&i, o.pid);
	try_process(&i, audit);
	try_process(&i, getpid());
	intruder_end(&i);
	opend_stop(&o);
}

/* ---- the whole system ---- */

enum { LEVELS = 4 };

static struct sweep {
	struct intruder *i;
	char paths[64][4096];
	size_t n, tried;
} sweep;

/* To read (a directory: to list) and to write. */
static void try_swept(void)
{
	const char *paths[ELEMENTSOF(sweep.paths)];
	int results[ELEMENTSOF(sweep.paths)];

	for (size_t p = 0; p < sweep.n; p++)
		paths[p] = sweep.paths[p];
	for (int k = 0; k < 2; k++) {
		open_each(sweep.i, paths, IN_EXISTING(32 * k), 0, results, sweep.n);
		for (size_t p = 0; p < sweep.n; p++)
			ensure(results[p] < 0, "%s opened by entry %d", paths[p], k);
	}
	sweep.tried += sweep.n;
	sweep.n = 0;
}

/* Where links lead to is swept in its own place. */
static int sweep_up(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	if (is_below(path, at("data")))
		return FTW_SKIP_SUBTREE;
	if (type != FTW_SL && strlen(path) < sizeof sweep.paths[0])
		strcpy(sweep.paths[sweep.n++], path);
	if (sweep.n == ELEMENTSOF(sweep.paths))
		try_swept();
	return ftw->level < LEVELS ? FTW_CONTINUE : FTW_SKIP_SUBTREE;
}

/* Every file and directory that this machine has on disk, in /dev and in /run, as far down as takes
 * seconds. */
static void try_the_system(enum victim which, uint64_t caps)
{
	struct intruder i;
	struct opend o;

	make_tree();
	o = opend_taken_over();
	i = intrude(&o, which, alice, at("data/%s", key_name));
	if (caps)
		ensure(set_caps(&i, caps, caps, 0) == 0, "it cannot raise what it has");
	sweep.i = &i;
	sys(nftw("/", sweep_up, 32, FTW_PHYS | FTW_MOUNT | FTW_ACTIONRETVAL));
	sys(nftw("/dev", sweep_up, 32, FTW_PHYS | FTW_ACTIONRETVAL));
	sys(nftw("/run", sweep_up, 32, FTW_PHYS | FTW_ACTIONRETVAL));
	try_swept();
	ensure(sweep.tried > 2000, "%zu files and directories", sweep.tried);
	intruder_end(&i);
	opend_stop(&o);
}

START_TEST(a_worker_opens_nothing_of_the_system)
{
	needs_filter();
	try_the_system(A_WORKER, 0);
}
END_TEST

START_TEST(a_lender_opens_nothing_of_the_system)
{
	needs_filter();
	try_the_system(A_LENDER, OVERRIDE | READ_SEARCH);
}
END_TEST

START_TEST(a_worker_opens_no_secret)
{
	needs_filter();
	try_everything(A_WORKER, 0);
}
END_TEST

START_TEST(a_lender_opens_no_secret)
{
	needs_filter();
	try_everything(A_LENDER, OVERRIDE | READ_SEARCH);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hull");

	ADD_ROOT(s, a_worker_opens_its_hull_and_nothing_else, 300);
	ADD_ROOT(s, a_lender_opens_its_hull_and_nothing_else, 300);
	ADD_ROOT(s, the_lobby_opens_nothing, 60);
	ADD_ROOT(s, a_worker_opens_nothing_of_the_system, 300);
	ADD_ROOT(s, a_lender_opens_nothing_of_the_system, 300);
	ADD_ROOT(s, a_worker_opens_no_secret, 60);
	ADD_ROOT(s, a_lender_opens_no_secret, 60);
	return s;
}

int main(void)
{
	return harness_main("hull", suite);
}
