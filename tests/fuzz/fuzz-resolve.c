/* SPDX-License-Identifier: MIT
 * Paths: from a request to a place, in a small tree full of links. The first two bytes are flags,
 * the rest is a path below the tree. Whatever is opened is the place that the kernel itself finds
 * under that name, and a rule grants exactly that place; a plain name that a rule grants and the
 * kernel opens is never refused. */
#include <limits.h>
#include <ftw.h>
#include <sys/stat.h>
#include "daemon/worker/worker.h"
#include "fuzz.h"

static char tree[] = "/tmp/opend-fuzz-XXXXXX";
static struct worker w = { .rules_fd = -1, .epoll = -1, .lender.fd = -1, .parent.fd = -1 };
static struct stats stats;

static const char rules[] = "allow read,list under %1$s/a except %1$s/a/except to anyone\n"
			    "allow read file %1$s/b/one %1$s/b/sta* to anyone\n"
			    "allow read,write,create under %1$s/drop to anyone\n"
			    "deny any under %1$s/a/no to anyone\n"
			    "deny write file %1$s/drop/kept to anyone\n";

static const char *at(const char *name)
{
	static char path[2][PATH_MAX];
	static unsigned turn;

	turn = !turn;
	snprintf(path[turn], sizeof path[turn], "%s/%s", tree, name);
	return path[turn];
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void remove_tree(void)
{
	nftw(tree, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_tree(void)
{
	static const char *const dirs[] = { "a", "a/dir", "a/no", "a/except", "b", "drop", "c" };
	static const char *const files[] = { "a/f",    "a/dir/g",   "a/no/h", "a/except/i",
					     "b/one",  "b/star",    "b/two",  "c/j",
					     "drop/k", "drop/kept", "a/.l" };
	static const char *const links[][2] = {
		{ "../b/one", "a/to-one" },
		{ "../b/two", "a/to-two" },
		{ "..", "a/up" },
		{ "loop", "a/loop" },
		{ "dir", "a/to-dir" },
		{ "/etc/passwd", "a/out" },
		{ "../drop", "a/to-drop" },
		{ "a", "to-a" },
		{ "../a/dir/", "c/to-dir" },
		{ "nothing", "drop/dangle" },
		{ "../../a/no/h", "a/dir/n" },
		{ ".", "a/dot" },
	};

	umask(022);
	REQUIRE(mkdtemp(tree));
	atexit(remove_tree);
	for (size_t i = 0; i < ELEMENTSOF(dirs); i++)
		REQUIRE(mkdir(at(dirs[i]), 0755) == 0);
	for (size_t i = 0; i < ELEMENTSOF(files); i++)
		REQUIRE(close(open(at(files[i]), O_CREAT | O_WRONLY, 0644)) == 0);
	for (size_t i = 0; i < ELEMENTSOF(links); i++)
		REQUIRE(symlink(links[i][0], at(links[i][1])) == 0);
	REQUIRE(symlink(at("a/dir/g"), at("a/absolute")) == 0);
}

static void prepare(void)
{
	const struct policy_options o = { .origins = true };
	struct diags d = { 0 };
	char text[2048];

	make_tree();
	snprintf(text, sizeof text, rules, tree);
	w.birth = (struct birth){ .uid = geteuid(), .gid = getegid(), .generation = 1 };
	w.stats = &stats;
	REQUIRE(policy_parse("fuzz", text, strlen(text), &o, &d, &w.policy) == 0);
}

static bool granted(const char *place, unsigned access)
{
	const struct policy_query q = { .path = place, .len = strlen(place), .access = access };
	struct policy_verdict v;

	policy_decide(w.policy, &q, &v);
	return v.reason == WIRE_OK;
}

static unsigned access_of(uint32_t flags, bool was_there, bool directory)
{
	unsigned access = (flags & O_ACCMODE) == O_RDONLY   ? WIRE_READ
			  : (flags & O_ACCMODE) == O_WRONLY ? WIRE_WRITE
							    : WIRE_READ | WIRE_WRITE;

	if (directory)
		return WIRE_LIST;
	return was_there ? access | (flags & O_TRUNC ? (unsigned)WIRE_WRITE : 0)
			 : access | WIRE_CREATE;
}

static void is_right(const struct wire_request *req, const char *path, int fd, bool was_there)
{
	char link[64], place[PATH_MAX], real[PATH_MAX];
	struct stat st;
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, place, sizeof place - 1);
	REQUIRE(n > 0 && fstat(fd, &st) == 0);
	place[n] = 0;
	REQUIRE(realpath(path, real) && strcmp(real, place) == 0);
	REQUIRE(granted(place, access_of(req->flags, was_there, S_ISDIR(st.st_mode))));
	if (!was_there)
		REQUIRE(unlink(place) == 0);
}

/* No link, no dot and no double slash: then policy and kernel are all there is to ask. */
static void was_refused(const struct wire_request *req, const char *path, int reason)
{
	char real[PATH_MAX];
	struct stat st;

	if (reason == WIRE_FLAGS || !realpath(path, real) || strcmp(real, path) != 0 ||
	    lstat(path, &st) < 0 || !S_ISREG(st.st_mode) || (req->flags & (O_DIRECTORY | O_EXCL)))
		return;
	REQUIRE(!granted(path, access_of(req->flags, true, false)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t modes[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY };
	static const uint32_t more[] = { O_CREAT,  O_EXCL,     O_TRUNC,	  O_DIRECTORY,
					 O_APPEND, O_NOFOLLOW, O_NONBLOCK };
	struct script s = { data, size };
	struct wire_request req = { .id = 1, .mode = 0644, .umask = 022 };
	struct wire_outcome out = { .id = 1 };
	struct decision d;
	char path[PATH_MAX];
	unsigned bits, before;
	struct stat st;
	bool was_there;
	int fd = -1, n;

	if (!w.policy)
		prepare();
	req.flags = modes[script_byte(&s) % 4];
	bits = script_byte(&s);
	for (size_t i = 0; i < ELEMENTSOF(more); i++)
		req.flags |= bits & 1u << i ? more[i] : 0;
	if (s.len > 1000 || memchr(s.data, 0, s.len))
		return 0;
	n = snprintf(path, sizeof path, "%s/%.*s", tree, (int)s.len, (const char *)s.data);
	req.path = path;
	req.path_len = (size_t)n;
	was_there = stat(path, &st) == 0;
	before = count_fds();
	REQUIRE(resolve_open(&w, &req, false, &out, &d, &fd) == RESOLVE_DONE);
	REQUIRE((fd >= 0) == (out.error == 0) && (out.error == 0) == (out.reason == WIRE_OK));
	REQUIRE(out.error >= 0 && out.error < 4096);
	if (fd >= 0)
		is_right(&req, path, fd, was_there);
	else
		was_refused(&req, path, out.reason);
	close_fd(fd);
	REQUIRE(count_fds() == before);
	return 0;
}
