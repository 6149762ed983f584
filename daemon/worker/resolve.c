/* SPDX-License-Identifier: MIT
 * From a path to a descriptor. Policy first: a path that no rule comes near is not touched by a
 * single system call, so a refusal never tells whether a file exists.
 *
 * Fast path: the text is matched, then opened with RESOLVE_NO_SYMLINKS, by which the kernel
 * guarantees that the name *is* the place. Slow path (".." in the text, or ELOOP): the text is
 * walked. A component is read with readlinkat(2) only where the policy may be looked at, links are
 * spliced in, ".." pops, and the result goes through policy and kernel again like any other. The
 * walk decides nothing, so whatever an attacker swaps meanwhile, the last word is the first rule:
 * the name that was matched is the place that is opened.
 *
 * Held back until the gate has seen the descriptor: truncation (ftruncate), and the flags that
 * F_SETFL can set. Always O_NONBLOCK at first, so that no FIFO, lease or tty stops us. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include "openhow.h"
#include "worker.h"

enum { ROUNDS_MAX = 8, LINKS_MAX = 40 };

/* A path on its way to a verdict. */
struct place {
	size_t len;
	char path[PATH_MAX]; /* NUL-terminated; normal unless dotdot */
	bool dotdot;	     /* holds "..": must be walked */
	bool slash;	     /* ended in "/" or "/.": must be a directory */
	bool walked, linked; /* came out of the walk; a link was followed there */
};

/* One request under way. */
struct asked {
	const struct wire_request *req;
	uint32_t flags; /* without what is always set */
	bool caller_only;
	bool excl;		       /* O_EXCL that policy asks for, not the client */
	bool list_only;		       /* O_DIRECTORY likewise */
	struct policy_verdict as_file; /* with list_only: why it may not be read */
	struct policy_verdict verdict;
	struct wire_outcome *out;
};

static enum resolve_result refuse(struct asked *a, int reason, int error)
{
	a->out->reason = (uint16_t)reason;
	a->out->error = error ? error : wire_reason_errno(reason);
	return RESOLVE_DONE;
}

static enum resolve_result refuse_access(struct asked *a, unsigned lacked)
{
	a->out->lacked = (uint16_t)lacked;
	return refuse(a, WIRE_ACCESS, 0);
}

/* What open(2) said, sorted into the server's troubles and the client's. */
static enum resolve_result refuse_kernel(struct asked *a, int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return refuse(a, WIRE_RESOURCES, EAGAIN);
	case EAGAIN:
		return refuse(a, WIRE_BUSY, EAGAIN);
	default:
		return refuse(a, WIRE_KERNEL, error);
	}
}

/* Copies the request's path, dropping what means nothing in a text: "//", "/./", a trailing "/".
 * Which of these made it end like a directory is remembered. */
static void place_init(struct place *p, const char *path, size_t len)
{
	size_t i = 0;

	/* Not the 4 KiB of the path, which is on every request's way. */
	p->len = 0;
	p->dotdot = p->slash = p->walked = p->linked = false;
	while (i < len) {
		const char *slash;
		size_t start, n;

		while (i < len && path[i] == '/')
			i++;
		start = i;
		slash = memchr(path + i, '/', len - i);
		i = slash ? (size_t)(slash - path) : len;
		n = i - start;
		p->slash = n == 0;
		if (n == 0)
			break;
		if (n == 1 && path[start] == '.') {
			p->slash = true;
			continue;
		}
		if (n == 2 && path[start] == '.' && path[start + 1] == '.')
			p->dotdot = true;
		p->path[p->len++] = '/';
		memcpy(p->path + p->len, path + start, n);
		p->len += n;
	}
	if (p->len == 0)
		p->path[p->len++] = '/';
	p->path[p->len] = 0;
}

static void place_pop(struct place *p)
{
	while (p->len > 1 && p->path[--p->len] != '/')
		;
	if (p->len == 0)
		p->len = 1;
	p->path[p->len] = 0;
}

static bool place_push(struct place *p, const char *name, size_t n)
{
	bool root = p->len == 1;

	if (p->len + n + 2 > sizeof p->path)
		return false;
	if (!root)
		p->path[p->len++] = '/';
	memcpy(p->path + p->len, name, n);
	p->len += n;
	p->path[p->len] = 0;
	return true;
}

static ssize_t read_link(const char *path, char *buf, size_t size)
{
	ssize_t n;

	n = readlinkat(AT_FDCWD, path, buf, size);
	return n < 0 ? -errno : n;
}

/* The directory that holds this place, opened so that the kernel guarantees its name, as Landlock
 * permits. A lender looks at things only through this: its capability, lent to a path whose prefix
 * the client may swap for a symlink, would otherwise tell him what is in other people's
 * directories. */
static int open_parent(const struct worker *w, const struct place *p)
{
	const struct open_how *how = openhow_find(O_RDONLY | O_DIRECTORY, 0);
	struct place parent = *p;
	int fd;

	place_pop(&parent);
	lender_raise(w);
	fd = (int)syscall(SYS_openat2, AT_FDCWD, parent.path, how, sizeof *how);
	if (fd < 0)
		fd = -errno;
	return fd;
}

static const char *last_name(const struct place *p)
{
	return (const char *)memrchr(p->path, '/', p->len) + 1;
}

/* As read_link(), for a lender. Where it may not look, which is above its bases, there is nothing
 * to see: a base that is reached through a symlink matches no place. */
static ssize_t lender_read_link(const struct worker *w, const struct place *p, char *buf,
				size_t size)
{
	_cleanup_close_ int dir = open_parent(w, p);
	ssize_t n;

	if (dir < 0)
		return dir == -EACCES ? -EINVAL : dir;
	n = readlinkat(dir, last_name(p), buf, size);
	if (n < 0)
		n = -errno;
	return n;
}

/* As is_directory(), for a lender. */
static int lender_is_directory(const struct worker *w, const struct place *p)
{
	struct place inside = *p;
	int fd;

	if (!place_push(&inside, ".", 1))
		return -ENAMETOOLONG;
	fd = open_parent(w, &inside);
	if (fd < 0)
		return fd == -EACCES ? 0 : fd;
	close_fd(fd);
	return 0;
}

/* Is this place a directory that we may search? 0, or -errno as the kernel would say on the way
 * through it. readlinkat(2) of "X/." never succeeds, and says EINVAL only where X is a directory.
 */
static int is_directory(const struct worker *w, struct place *p)
{
	char byte;
	ssize_t r;

	if (is_lender(w))
		return lender_is_directory(w, p);
	if (p->len + 2 >= sizeof p->path)
		return -ENAMETOOLONG;
	memcpy(p->path + p->len, "/.", 3);
	r = read_link(p->path, &byte, 1);
	p->path[p->len] = 0;
	return r == -EINVAL ? 0 : r < 0 ? (int)r : -ENOTDIR;
}

/* The rest of a walk: what is still to be read, at the end of a buffer so that a link's text can
 * be put in front of it. */
struct rest {
	size_t at;
	char buf[2 * PATH_MAX];
};

static bool rest_push(struct rest *r, const char *text, size_t len)
{
	if (len + 1 > r->at || sizeof r->buf - r->at + len + 1 > PATH_MAX)
		return false;
	r->buf[--r->at] = '/';
	r->at -= len;
	memcpy(r->buf + r->at, text, len);
	return true;
}

/* Takes the next component; *n is 0 at the end. */
static const char *rest_pop(struct rest *r, size_t *n)
{
	const char *c;

	while (r->at < sizeof r->buf && r->buf[r->at] == '/')
		r->at++;
	c = r->buf + r->at;
	while (r->at < sizeof r->buf && r->buf[r->at] != '/')
		r->at++;
	*n = (size_t)(r->buf + r->at - c);
	return c;
}

static bool rest_empty(const struct rest *r)
{
	for (size_t i = r->at; i < sizeof r->buf; i++)
		if (r->buf[i] != '/')
			return false;
	return true;
}

/* One component of the walk. 0: go on. 1: the place is complete as it stands (nothing may be, or
 * need be, looked at beyond). Negative: errno of the kernel; -EPERM stands for "no rule". */
static int step(const struct worker *w, struct place *p, struct rest *rest, unsigned *links,
		bool follow_last)
{
	char target[PATH_MAX];
	size_t n;
	const char *name = rest_pop(rest, &n);
	bool last;
	ssize_t got;

	if (n == 0)
		return 1;
	if (n == 1 && name[0] == '.')
		return 0;
	if (n == 2 && name[0] == '.' && name[1] == '.') {
		if (!policy_may_look(w->policy, p->path, p->len))
			return -EPERM;
		got = is_directory(w, p);
		place_pop(p);
		return (int)got;
	}
	if (!place_push(p, name, n))
		return -ENAMETOOLONG;
	last = rest_empty(rest);
	if (last && !follow_last)
		return 1;
	if (!policy_may_look(w->policy, p->path, p->len))
		return last ? 1 : -EPERM;
	got = is_lender(w) ? lender_read_link(w, p, target, sizeof target)
			   : read_link(p->path, target, sizeof target);
	if (got == 0)
		return -ENOENT; /* a file system of the client's may say so */
	if (got == -EINVAL)
		return 0;
	if (got < 0)
		return last && got == -ENOENT ? 1 : (int)got;
	if (++*links > LINKS_MAX)
		return -ELOOP;
	p->linked = true;
	p->slash |= last && target[got - 1] == '/';
	if (target[0] == '/')
		p->len = 1, p->path[1] = 0;
	else
		place_pop(p);
	return rest_push(rest, target, (size_t)got) ? 0 : -ENAMETOOLONG;
}

/* Replaces p by the place that its text leads to just now. */
static int walk(const struct worker *w, struct place *p, bool follow_last)
{
	struct rest rest = { .at = sizeof rest.buf };
	unsigned links = 0;
	int r;

	if (!rest_push(&rest, p->path, p->len))
		return -ENAMETOOLONG;
	p->len = 1;
	p->path[1] = 0;
	do
		r = step(w, p, &rest, &links, follow_last || p->slash);
	while (r == 0);
	p->dotdot = false;
	p->walked = true;
	return r < 0 ? r : 0;
}

static void decide(const struct worker *w, const struct asked *a, const struct place *p,
		   unsigned access, struct policy_verdict *v)
{
	const struct policy_query q = {
		.path = p->path, .len = p->len, .access = access, .caller_only = a->caller_only
	};

	policy_decide(w->policy, &q, v);
}

/* What the flags ask of a file that exists. */
static unsigned access_existing(uint32_t flags)
{
	switch (flags & O_ACCMODE) {
	case O_WRONLY:
		return WIRE_WRITE;
	case O_RDWR:
		return WIRE_READ | WIRE_WRITE;
	default:
		return flags & O_DIRECTORY ? WIRE_LIST : WIRE_READ;
	}
}

/* The verdict on a place, and what it makes of the flags. `create` concerns a file that is not
 * there yet and read, write, list one that is; which of the two it is only the open itself can
 * tell. So where just one is allowed, the flags are narrowed until only that can happen. */
static void judge(const struct worker *w, struct asked *a, const struct place *p)
{
	struct policy_verdict there, fresh;

	a->excl = a->list_only = false;
	a->flags = a->req->flags;
	decide(w, a, p, access_existing(a->flags), &there);
	if (!(a->flags & O_CREAT)) {
		a->verdict = there;
		/* A directory may be opened without O_DIRECTORY, and is then listed, not read; but
		 * not where no rule names it for anything. */
		if (there.reason && there.reason != WIRE_NO_RULE &&
		    (a->flags & (O_ACCMODE | O_DIRECTORY)) == O_RDONLY) {
			decide(w, a, p, WIRE_LIST, &fresh);
			if (!fresh.reason) {
				a->verdict = fresh;
				a->flags |= O_DIRECTORY;
				a->list_only = true;
				a->as_file = there;
			}
		}
		return;
	}
	/* A new file is opened in some mode, too: what a deny says of that mode holds for it. */
	decide(w, a, p, WIRE_CREATE, &fresh);
	a->verdict = there.reason == WIRE_DENIED ? there : fresh;
	if ((a->flags & O_EXCL) || there.reason == WIRE_DENIED)
		return;
	if (!there.reason && fresh.reason) {
		a->verdict = there;
		a->flags &= ~(uint32_t)O_CREAT;
	} else if (there.reason && !fresh.reason) {
		a->flags |= O_EXCL;
		a->excl = true;
	} else if (!there.reason) {
		a->verdict.as_root |= there.as_root;
		a->verdict.log |= there.log;
		a->verdict.mixed |= there.mixed;
		a->verdict.types |= there.types;
		a->verdict.single_link &= there.single_link;
	}
}

static enum resolve_result refuse_policy(struct asked *a, const struct place *p)
{
	const struct policy_verdict *v = &a->verdict;

	if (v->reason == WIRE_ACCESS)
		return refuse_access(a, v->lacked);
	if (v->reason == WIRE_NO_RULE && p->linked)
		return refuse(a, WIRE_PLACE, 0);
	return refuse(a, v->reason, 0);
}

static int open_place(const struct worker *w, const struct asked *a, struct place *p)
{
	const struct open_how *how = openhow_find(a->flags, a->req->mode);
	int fd;

	if (p->slash && p->len > 1 && p->len + 1 < sizeof p->path) {
		p->path[p->len] = '/';
		p->path[p->len + 1] = 0;
	}
	if (a->flags & O_CREAT)
		umask(a->req->umask);
	lender_raise(w);
	do
		fd = (int)syscall(SYS_openat2, AT_FDCWD, p->path, how, sizeof *how);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		fd = -errno;
	p->path[p->len] = 0;
	return fd;
}

static int access_mode(uint32_t flags)
{
	switch (flags & O_ACCMODE) {
	case O_WRONLY:
		return W_OK;
	case O_RDWR:
		return R_OK | W_OK;
	default:
		return R_OK;
	}
}

static bool may_access(const char *path, int mode)
{
	return syscall(SYS_faccessat2, AT_FDCWD, path, mode, AT_EACCESS) == 0;
}

/* EACCES though the client's rights suffice: then it was Landlock, whose bases are pinned to
 * inodes, and one is newer than we are. Three other causes are told apart first: a directory where
 * only files are granted, fs.protected_regular (which goes by O_CREAT), and a place where nothing
 * is yet (then the parent directory's rights decide). */
static enum resolve_result refuse_eacces(const struct worker *w, struct asked *a, struct place *p)
{
	if (!w->landlock_abi)
		return refuse(a, WIRE_KERNEL, EACCES);
	/* A lender has every right to files, so it can only have been Landlock; and it does not ask
	 * about paths. */
	if (is_lender(w))
		return RESOLVE_REFRESH;
	if (may_access(p->path, F_OK)) {
		if ((a->flags & (O_ACCMODE | O_DIRECTORY)) == O_RDONLY && is_directory(w, p) == 0)
			return refuse_access(a, WIRE_LIST);
		if (!may_access(p->path, access_mode(a->flags)))
			return refuse(a, WIRE_KERNEL, EACCES);
		if (a->flags & O_CREAT) {
			int fd;

			a->flags &= ~(uint32_t)(O_CREAT | O_EXCL);
			fd = open_place(w, a, p);
			if (fd >= 0) {
				close_fd(fd);
				return refuse(a, WIRE_KERNEL, EACCES);
			}
		}
		return RESOLVE_REFRESH;
	}
	if (a->flags & O_CREAT) {
		struct place parent = *p;

		place_pop(&parent);
		if (may_access(parent.path, W_OK | X_OK))
			return RESOLVE_REFRESH;
	}
	return refuse(a, WIRE_KERNEL, EACCES);
}

static unsigned type_bit(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return POLICY_REGULAR;
	case S_IFDIR:
		return POLICY_DIRECTORY;
	case S_IFIFO:
		return POLICY_FIFO;
	case S_IFCHR:
		return POLICY_CHAR;
	case S_IFBLK:
		return POLICY_BLOCK;
	default:
		return 0;
	}
}

/* File systems whose files are levers of the kernel: what their files do goes by who opened them
 * or who writes, so they are not for handing on. */
static bool is_kernel_fs(uint32_t magic)
{
	static const uint32_t known[] = {
		PROC_SUPER_MAGIC,
		SYSFS_MAGIC,
		CGROUP_SUPER_MAGIC,
		CGROUP2_SUPER_MAGIC,
		DEBUGFS_MAGIC,
		TRACEFS_MAGIC,
		SECURITYFS_MAGIC,
		SELINUX_MAGIC,
		SMACK_MAGIC,
		BPF_FS_MAGIC,
		PSTOREFS_MAGIC,
		EFIVARFS_MAGIC,
		NSFS_MAGIC,
		BINFMTFS_MAGIC,
		RDTGROUP_SUPER_MAGIC,
		XENFS_SUPER_MAGIC,
		AAFS_MAGIC,
		0x62656570 /* configfs */,
		0x65735543 /* fusectl */,
		0x67596969 /* rpc_pipefs */,
		0x6e667364 /* nfsd */,
	};

	for (size_t i = 0; i < ELEMENTSOF(known); i++)
		if (magic == known[i])
			return true;
	return false;
}

/* A rule on the mount itself: some base at or above the place is on the same file system. */
static bool rule_is_on(const struct worker *w, const struct place *p, dev_t dev, unsigned access)
{
	for (size_t i = 0; i < w->n_bases; i++) {
		const struct pinned_base *b = &w->bases[i];
		size_t n = strlen(b->base->path);

		if (!b->present || b->dev != dev || (access & ~b->base->access) || n > p->len ||
		    memcmp(b->base->path, p->path, n))
			continue;
		if (n == 1 || p->path[n] == 0 || p->path[n] == '/')
			return true;
	}
	return false;
}

/* Numbers of block devices are stable, so their answer is remembered; those of anonymous mounts
 * are reused, so they are asked anew each time. 0, 1 for a kernel file system, or -errno. */
static int on_kernel_fs(struct worker *w, int fd, const struct stat *st, const struct place *p,
			unsigned access)
{
	struct statfs fs;

	for (unsigned i = 0; i < w->n_ordinary; i++)
		if (w->ordinary_dev[i] == st->st_dev)
			return 0;
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	if (is_kernel_fs((uint32_t)fs.f_type))
		return !rule_is_on(w, p, st->st_dev, access);
	if (major(st->st_dev) && w->n_ordinary < ELEMENTSOF(w->ordinary_dev))
		w->ordinary_dev[w->n_ordinary++] = st->st_dev;
	return 0;
}

static struct policy_verdict decide_known(const struct worker *w, const struct asked *a,
					  const struct place *p, const struct stat *st,
					  unsigned access)
{
	const struct policy_query q = { .path = p->path,
					.len = p->len,
					.access = access,
					.type = type_bit(st->st_mode),
					.links = (unsigned)st->st_nlink,
					.caller_only = a->caller_only };
	struct policy_verdict v;

	policy_decide(w->policy, &q, &v);
	return v;
}

/* After O_CREAT we cannot tell whether the file is new. So both must hold: what is asked of one
 * that was there (unless the open itself ruled that out), and, if it can be new, that it may be
 * created. A second link, or another type, shows that it was there. */
static enum resolve_result gate_created(const struct worker *w, struct asked *a,
					const struct place *p, const struct stat *st, bool *pass)
{
	struct policy_verdict v = { .rule = -1 };

	if (!(a->flags & O_EXCL)) {
		v = decide_known(w, a, p, st, access_existing(a->flags));
		if (v.reason)
			return refuse(a, v.reason, 0);
	}
	if (S_ISREG(st->st_mode) && st->st_nlink <= 1) {
		struct policy_verdict fresh = decide_known(w, a, p, st, WIRE_CREATE);

		if (fresh.reason)
			return refuse(a, fresh.reason, 0);
		fresh.log |= v.log;
		v = fresh;
	}
	a->verdict = v;
	*pass = true;
	return RESOLVE_DONE;
}

/* With type and links known: is a rule met still? Where the matching rules say different things
 * they are asked again. */
static enum resolve_result gate_rules(const struct worker *w, struct asked *a,
				      const struct place *p, const struct stat *st, bool *pass)
{
	unsigned type = type_bit(st->st_mode);
	struct policy_verdict v = a->verdict;
	unsigned access = access_existing(a->flags);

	*pass = false;
	if (type == POLICY_DIRECTORY && !(a->flags & (O_DIRECTORY | O_ACCMODE))) {
		decide(w, a, p, WIRE_LIST, &v);
		if (v.reason == WIRE_DENIED)
			a->verdict = v;
		if (v.reason)
			return v.reason == WIRE_DENIED ? refuse_policy(a, p)
						       : refuse_access(a, WIRE_LIST);
		if (v.as_root && !is_lender(w))
			return RESOLVE_LENDER;
		access = WIRE_LIST;
	}
	if (a->flags & O_CREAT)
		return gate_created(w, a, p, st, pass);
	if (v.mixed) {
		v = decide_known(w, a, p, st, access);
		if (v.reason)
			return refuse(a, v.reason, 0);
	} else if (!(v.types & type)) {
		return refuse(a, WIRE_TYPE, 0);
	} else if (v.single_link && type == POLICY_REGULAR && st->st_nlink > 1) {
		return refuse(a, WIRE_HARD_LINK, 0);
	}
	a->verdict = v;
	*pass = true;
	return RESOLVE_DONE;
}

/* Gives the descriptor the state that the client's own open(2) would have given it. */
static int finish(const struct asked *a, int fd, const struct stat *st)
{
	const uint32_t wanted = a->req->flags & OPENHOW_AFTERWARDS;

	if ((wanted & ~(uint32_t)O_APPEND) != O_NONBLOCK && fcntl(fd, F_SETFL, wanted) < 0)
		return -errno;
	if ((a->req->flags & O_TRUNC) && S_ISREG(st->st_mode) && ftruncate(fd, 0) < 0)
		return -errno;
	return 0;
}

static enum resolve_result gate(struct worker *w, struct asked *a, const struct place *p,
				int consume_fd, int *ret_fd)
{
	_cleanup_close_ int fd = consume_fd;
	enum resolve_result result;
	struct stat st;
	bool pass;
	int r;

	if (syscall(SYS_fstat, fd, &st) < 0)
		return refuse_kernel(a, errno);
	result = gate_rules(w, a, p, &st, &pass);
	if (!pass)
		return result;
	r = on_kernel_fs(w, fd, &st, p,
			 S_ISDIR(st.st_mode) ? WIRE_LIST : access_existing(a->flags));
	if (r != 0)
		return r < 0 ? refuse_kernel(a, -r) : refuse(a, WIRE_KERNEL_FS, 0);
	r = finish(a, fd, &st);
	if (r < 0)
		return refuse_kernel(a, -r);
	a->out->mode = st.st_mode;
	a->out->dev = st.st_dev;
	a->out->ino = st.st_ino;
	a->out->size = a->req->flags & O_TRUNC && S_ISREG(st.st_mode) ? 0 : (uint64_t)st.st_size;
	a->out->nfds = 1;
	*ret_fd = take_fd(&fd);
	return RESOLVE_DONE;
}

/* The directory that holds p, borrowed. Requests that come together often name one directory. If it
 * was moved since it was opened, what lies in it now is told of: as if we had been slower. */
static int parent_of(struct worker *w, const struct place *p)
{
	size_t len = (size_t)(last_name(p) - p->path);

	if (w->parent.fd >= 0 && w->parent.len == len && !memcmp(w->parent.path, p->path, len))
		return w->parent.fd;
	w->parent.fd = close_fd(w->parent.fd);
	w->parent.fd = open_parent(w, p);
	w->parent.len = len;
	memcpy(w->parent.path, p->path, len);
	return w->parent.fd;
}

void resolve_rest(struct worker *w)
{
	w->parent.fd = close_fd(w->parent.fd);
	lender_lower(w);
}

/* A lender looks before it opens: opening a FIFO only to refuse it kills a writer who waits there,
 * and opening a device may do anything. Its capability would make that its own doing. */
static bool lender_shuns(struct worker *w, struct asked *a, const struct place *p)
{
	struct stat st;
	int dir, r;

	if (!is_lender(w))
		return false;
	dir = parent_of(w, p);
	if (dir < 0 && dir != -EACCES)
		return false; /* the open will say the same */
	/* -EACCES: the parent of a single file's base; that one name is all there is to learn. */
	r = (int)syscall(SYS_newfstatat, dir < 0 ? AT_FDCWD : dir, dir < 0 ? p->path : last_name(p),
			 &st, AT_SYMLINK_NOFOLLOW);
	/* Opening a directory does nothing; the gate tells reading it from listing it. */
	if (r < 0 || S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode) ||
	    (a->verdict.types & type_bit(st.st_mode)))
		return false;
	if (a->list_only) {
		a->verdict = a->as_file;
		refuse_policy(a, p);
	} else {
		refuse(a, WIRE_TYPE, 0);
	}
	return true;
}

/* Sorts what openat2(2) refused. ELOOP comes back here only when walking is of no use any more. */
static enum resolve_result sort_error(const struct worker *w, struct asked *a, struct place *p,
				      int error)
{
	if (error == EEXIST && a->excl)
		return refuse_access(a, access_existing(a->flags));
	if (error == ENOENT && (a->req->flags & O_CREAT) && !(a->flags & O_CREAT))
		return refuse_access(a, WIRE_CREATE);
	if (error == EACCES)
		return refuse_eacces(w, a, p);
	if (error == ENOTDIR && a->list_only && !p->slash) {
		struct place parent = *p;

		place_pop(&parent);
		if (is_directory(w, &parent) == 0) {
			a->verdict = a->as_file;
			return refuse_policy(a, p);
		}
	}
	return refuse_kernel(a, error);
}

/* A link that we followed in text, the kernel might have refused to follow for this client
 * (fs.protected_symlinks): it is asked, now that policy has allowed the place. */
static bool link_is_protected(const struct asked *a, const struct place *p)
{
	char path[PATH_MAX];

	if (!p->linked)
		return false;
	memcpy(path, a->req->path, a->req->path_len);
	path[a->req->path_len] = 0;
	errno = 0;
	(void)syscall(SYS_faccessat2, AT_FDCWD, path, F_OK, AT_EACCESS);
	return errno == EACCES;
}

static enum resolve_result walk_failed(struct asked *a, const struct place *p, int r)
{
	/* What the walk may not look at, the text was refused for already, and with more to say. */
	if (r == -EPERM && !p->linked && a->verdict.reason == WIRE_DENIED)
		return refuse_policy(a, p);
	if (r == -EPERM)
		return refuse(a, p->linked ? WIRE_PLACE : WIRE_NO_RULE, 0);
	return refuse_kernel(a, -r);
}

static enum resolve_result attempt(struct worker *w, struct asked *a, struct place *p, int *ret_fd,
				   bool *again)
{
	bool follow = !(a->req->flags & O_NOFOLLOW) &&
		      (a->req->flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
	int r;

	*again = false;
	if (!p->dotdot) {
		judge(w, a, p);
		/* No symlink that the policy lets us see can be on the way: final. */
		if (a->verdict.reason &&
		    (p->walked || !policy_grants_above(w->policy, p->path, p->len)))
			return refuse_policy(a, p);
	}
	if (p->dotdot && is_lender(w))
		return refuse(a, WIRE_CHANGED, 0); /* its worker has walked that */
	if (p->dotdot || a->verdict.reason) {
		r = walk(w, p, follow);
		if (r < 0)
			return walk_failed(a, p, r);
		*again = true;
		return RESOLVE_DONE;
	}
	if (a->verdict.as_root && !is_lender(w))
		return RESOLVE_LENDER;
	if (lender_shuns(w, a, p))
		return RESOLVE_DONE;
	if (!is_lender(w) && link_is_protected(a, p))
		return refuse(a, WIRE_KERNEL, EACCES);
	r = open_place(w, a, p);
	if (r >= 0)
		return gate(w, a, p, r, ret_fd);
	if (r != -ELOOP)
		return sort_error(w, a, p, -r);
	/* After a walk that followed everything it must not say ELOOP again, unless the last
	 * component is a link and O_NOFOLLOW says not to follow it: as open(2) would. */
	if (p->walked && !follow)
		return refuse(a, WIRE_KERNEL, ELOOP);
	r = walk(w, p, follow);
	if (r < 0)
		return walk_failed(a, p, r);
	*again = true;
	return RESOLVE_DONE;
}

/* Only the policy's verdict on the text as it stands; nothing is touched. */
static enum resolve_result dry_run(struct worker *w, struct asked *a, const struct place *p)
{
	if (p->dotdot)
		return refuse(a, WIRE_PATH, 0);
	judge(w, a, p);
	return a->verdict.reason ? refuse_policy(a, p) : RESOLVE_DONE;
}

/* Which accesses the request comes to, for the journal. */
static unsigned access_asked(uint32_t flags)
{
	return access_existing(flags) | (flags & O_CREAT ? WIRE_CREATE : 0);
}

static void tell(struct worker *w, const struct asked *a, const struct place *p, struct decision *d)
{
	const struct policy_verdict *v = &a->verdict;

	*d = (struct decision){ .access = access_asked(a->req->flags),
				.rule = v->rule >= 0 && v->reason != WIRE_NO_RULE
						? policy_origin(w->policy, (size_t)v->rule)
						: "",
				.as_root = v->as_root,
				.log = v->log,
				.quiet = v->quiet,
				.place = "" };
	if (!p->walked)
		return;
	memcpy(w->place, p->path, p->len);
	d->place = w->place;
	d->place_len = p->len;
}

enum resolve_result resolve_open(struct worker *w, const struct wire_request *req, bool caller_only,
				 struct wire_outcome *out, struct decision *d, int *ret_fd)
{
	struct asked a = { .req = req, .out = out, .caller_only = caller_only };
	const uint32_t unknown = req->flags & ~(uint32_t)OPENHOW_ACCEPTED;
	enum resolve_result result = RESOLVE_DONE;
	bool again = true;
	struct place p;

	*d = (struct decision){ .access = access_asked(req->flags), .rule = "", .place = "" };
	if (unknown || (req->flags & O_ACCMODE) == O_ACCMODE ||
	    ((req->flags & O_TRUNC) && (req->flags & O_ACCMODE) == O_RDONLY) ||
	    ((req->flags & O_CREAT) && (req->flags & O_DIRECTORY)))
		return refuse(&a, WIRE_FLAGS, 0);
	a.verdict.rule = -1;
	place_init(&p, req->path, req->path_len);
	if (req->ask & WIRE_ASK_DRY_RUN) {
		result = dry_run(w, &a, &p);
		tell(w, &a, &p, d);
		return result;
	}
	for (int round = 0; again && round < ROUNDS_MAX; round++)
		result = attempt(w, &a, &p, ret_fd, &again);
	if (again)
		result = refuse(&a, WIRE_CHANGED, 0);
	tell(w, &a, &p, d);
	return result;
}
