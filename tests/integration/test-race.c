/* SPDX-License-Identifier: MIT
 * Races: while a client asks, its accomplice swaps files and directories of the granted tree with
 * symbolic links that lead out of it, as fast as the kernel can (RENAME_EXCHANGE). Whatever the
 * answer is, it must never be a descriptor of a file outside, and nothing may be made outside.
 *
 * OPEND_RACE_REQUESTS in the environment sets the number of requests of each test (default 5000;
 * `make check-race` makes many more, and shows what came of them). */
#include <dirent.h>
#include <sys/syscall.h>
#include <linux/fs.h>
#include "harness.h"

enum { BATCH = 25, OUTSIDE = 3, DEFAULT_REQUESTS = 5000 };

struct race {
	const char *socket;
	volatile int stop;
	volatile unsigned long swaps;
	long requests;
	struct stat outside[OUTSIDE];
	long granted[2], refused[2]; /* by plain names, by ".." and links */
	int made_in[2];		     /* the directories where files are made */
	char made[BATCH][8];
};

/* Names in the granted tree and what they are swapped with. */
static const struct swap {
	const char *one, *other;
} swaps[] = {
	{ "data/in/leaf", "data/in/.leaf" },	     /* a file and a link to one outside */
	{ "data/in/dir", "data/in/.dir" },	     /* a directory and a link to one outside */
	{ "data/in/sub/deep", "data/in/sub/.deep" }, /* the same, a level below */
	{ "data/in/inner", "data/in/.inner" },	     /* a link within and a link to the outside */
};

static void swap_without_end(void *arg)
{
	struct race *r = arg;
	char *one[ELEMENTSOF(swaps)], *other[ELEMENTSOF(swaps)];

	for (size_t i = 0; i < ELEMENTSOF(swaps); i++) {
		one[i] = at("%s", swaps[i].one);
		other[i] = at("%s", swaps[i].other);
	}
	while (!r->stop) {
		for (size_t i = 0; i < ELEMENTSOF(swaps); i++)
			sys(syscall(SYS_renameat2, AT_FDCWD, one[i], AT_FDCWD, other[i],
				    RENAME_EXCHANGE));
		r->swaps++;
	}
}

static void check_inside(const struct race *r, const char *path, int fd)
{
	struct stat st;

	sys(fstat(fd, &st));
	for (int i = 0; i < OUTSIDE; i++)
		ensure(st.st_ino != r->outside[i].st_ino || st.st_dev != r->outside[i].st_dev,
		       "%s: a file outside came", path);
}

/* Refusals that a tree in motion may meet. Anything else is a fault of the resolution. */
static bool is_race_error(int error)
{
	return error == EACCES || error == ENOENT || error == EAGAIN || error == ELOOP ||
	       error == EEXIST || error == ENOTDIR || error == EPERM;
}

/* What has to be walked: the other names are opened as they stand, unless somebody has put a link
 * there. */
static bool is_slow(const char *path)
{
	return strstr(path, "/../") || strstr(path, "/inner/") || strstr(path, "/chain/");
}

static void ask_batch(struct race *r, struct openc_conn *c, const char *const *paths, int flags)
{
	const struct openc_how how = { .flags = (uint32_t)flags, .mode = 0600 };
	struct openc_result results[BATCH] = { 0 };

	openc_open_many(c, paths, BATCH, &how, sizeof how, results, sizeof *results, 0);
	for (size_t i = 0; i < BATCH; i++) {
		bool slow = is_slow(paths[i]);

		if (results[i].fd >= 0) {
			check_inside(r, paths[i], results[i].fd);
			r->granted[slow]++;
		} else {
			ensure(is_race_error(-results[i].fd), "%s: %s, reason %u", paths[i],
			       strerror(-results[i].fd), results[i].reason);
			r->refused[slow]++;
		}
		close_fd(results[i].fd);
	}
}

/* Fast path (plain names) and slow path ("..", links), in turn. */
static void open_without_end(void *arg)
{
	static const char *const names[] = {
		"leaf",	       "dir/f",	       "sub/deep/f",	      "inner/f",
		"dir/../leaf", "sub/../dir/f", "sub/deep/../../leaf", "chain/f"
	};
	struct race *r = arg;
	struct openc_conn *c = connect_to(r->socket);
	const char *paths[BATCH];

	for (size_t i = 0; i < BATCH; i++)
		paths[i] = at("data/in/%s", names[i % ELEMENTSOF(names)]);
	for (long n = 0; n < r->requests; n += BATCH)
		ask_batch(r, c, paths, n / BATCH % 2 ? O_RDONLY : O_RDWR);
	openc_free(c);
}

/* The same directories by descriptors of their own: a name may lead outside just now. */
static void remove_made(const struct race *r)
{
	for (size_t d = 0; d < ELEMENTSOF(r->made_in); d++)
		for (int i = 0; i < BATCH; i++)
			unlinkat(r->made_in[d], r->made[i], 0);
}

static void create_without_end(void *arg)
{
	struct race *r = arg;
	struct openc_conn *c = connect_to(r->socket);
	const char *paths[BATCH];

	for (size_t i = 0; i < BATCH; i++)
		paths[i] = at("data/in/%s/%s",
			      (const char *[]){ "dir", "sub/deep", "inner", "sub/../dir" }[i % 4],
			      r->made[i]);
	for (long n = 0; n < r->requests; n += BATCH) {
		ask_batch(r, c, paths, O_WRONLY | O_CREAT | (n / BATCH % 2 ? O_EXCL : 0));
		remove_made(r);
	}
	openc_free(c);
}

/* ---- the scene ---- */

/* in/ is granted, out/ is not. Its files are everybody's by their permission bits, or root's alone
 * where the rule is `as root`: it is the policy alone that keeps the client from them. */
static void make_scene(struct race *r, bool as_root)
{
	static const char *const outside[OUTSIDE] = { "data/out", "data/out/leaf", "data/out/f" };
	uid_t owner = as_root ? 0 : alice.uid;
	mode_t mode = as_root ? 0600 : 0666;

	make_dir(at("data/in"), 0755, alice.uid);
	make_dir(at("data/in/sub"), 0755, alice.uid);
	make_dir(at("data/out"), as_root ? 0700 : 0777, owner);
	make_file(at("data/out/leaf"), mode, owner, "outside");
	make_file(at("data/out/f"), mode, owner, "outside");
	make_file(at("data/in/leaf"), 0666, alice.uid, "in");
	make_link("../out/leaf", at("data/in/.leaf"));
	make_dir(at("data/in/dir"), 0755, alice.uid);
	make_file(at("data/in/dir/f"), 0666, alice.uid, "in");
	make_link(at("data/out"), at("data/in/.dir"));
	make_dir(at("data/in/sub/deep"), 0755, alice.uid);
	make_file(at("data/in/sub/deep/f"), 0666, alice.uid, "in");
	make_link("../../out", at("data/in/sub/.deep"));
	make_link("sub/../dir", at("data/in/inner"));
	make_link("../out", at("data/in/.inner"));
	make_link("inner", at("data/in/chain"));
	for (int i = 0; i < OUTSIDE; i++)
		sys(stat(at("%s", outside[i]), &r->outside[i]));
	r->made_in[0] = (int)sys(open(at("data/in/dir"), O_PATH | O_CLOEXEC));
	r->made_in[1] = (int)sys(open(at("data/in/sub/deep"), O_PATH | O_CLOEXEC));
	for (int i = 0; i < BATCH; i++)
		snprintf(r->made[i], sizeof r->made[i], "new%d", i);
}

static int entries(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	ensure(d, "%s: %s", path, strerror(errno));
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void race(const char *name, client_fn *fn, bool as_root)
{
	const char *wanted = getenv("OPEND_RACE_REQUESTS");
	struct race *r = shared(sizeof *r);
	struct client swapper, asker;
	struct stat st;
	struct opend o;

	make_scene(r, as_root);
	r->requests = wanted ? atol(wanted) : DEFAULT_REQUESTS;
	policy("10", "allow read,write,create under %s to user %u%s\n", at("data/in"), alice.uid,
	       as_root ? " as root" : "");
	o = OPEND();
	r->socket = o.socket;
	swapper = client_start(alice, swap_without_end, r);
	ensure(within(5000, r->swaps > 0), "nothing is swapped");
	asker = client_start(alice, fn, r);
	client_wait(&asker);
	r->stop = 1;
	client_wait(&swapper);
	ensure(entries(at("data/out")) == 4, "something was made outside");
	for (int i = 1; i < OUTSIDE; i++) {
		sys(stat(at(i == 1 ? "data/out/leaf" : "data/out/f"), &st));
		ensure(st.st_size == 7, "a file outside was truncated");
	}
	dprintf(STDOUT_FILENO,
		"race: %s: %ld requests; plain names: %ld granted, %ld refused; \"..\" and links: "
		"%ld granted, %ld refused; %lu swaps; nothing outside\n",
		name, r->granted[0] + r->refused[0] + r->granted[1] + r->refused[1], r->granted[0],
		r->refused[0], r->granted[1], r->refused[1], r->swaps);
	/* All must have happened, or there was no race; how often, is up to the scheduler. */
	for (int slow = 0; slow < 2; slow++)
		ensure(r->granted[slow] > r->requests / 1000 &&
			       r->refused[slow] > r->requests / 1000,
		       "%ld granted, %ld refused", r->granted[slow], r->refused[slow]);
	ensure(r->swaps > 100, "%lu swaps", r->swaps);
	close_fd(r->made_in[0]);
	close_fd(r->made_in[1]);
	opend_stop(&o);
}

START_TEST(opening)
{
	race("opening", open_without_end, false);
}
END_TEST

START_TEST(creating)
{
	race("creating", create_without_end, false);
}
END_TEST

START_TEST(opening_as_root)
{
	needs_root("have rules as root");
	race("opening_as_root", open_without_end, true);
}
END_TEST

START_TEST(creating_as_root)
{
	needs_root("have rules as root");
	race("creating_as_root", create_without_end, true);
}
END_TEST

static Suite *suite(void)
{
	/* A request takes some microseconds; with sanitizers on a slow machine a millisecond. */
	const char *wanted = getenv("OPEND_RACE_REQUESTS");
	int timeout = 60 + (wanted ? atoi(wanted) / 1000 : 0);
	Suite *s = suite_create("race");

	ADD(s, opening, timeout);
	ADD(s, creating, timeout);
	ADD_ROOT(s, opening_as_root, timeout);
	ADD_ROOT(s, creating_as_root, timeout);
	return s;
}

int main(void)
{
	return harness_main("race", suite);
}
