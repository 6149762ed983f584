/* SPDX-License-Identifier: MIT
 * Landlock: the hull. Each base of the plan (the longest literal prefix of a rule's pattern) is
 * pinned by an O_PATH descriptor and becomes one rule; everything else that touches the file
 * system is refused by the kernel, whoever controls this process. Rights are handled as far as the
 * kernel's ABI goes (landlock(7)); Landlock only adds, so deny, except and globs narrow the
 * evaluator, not the hull.
 *
 * A descriptor keeps the opener's right to truncate it (ABI 3) and to use device ioctls (ABI 5)
 * wherever it goes; so both are granted along with writing, or our clients would miss them. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "worker.h"

/* linux/landlock.h of the oldest system that this builds on knows ABI 2, so we have our own. */
enum {
	SYS_create_ruleset = 444,
	SYS_add_rule = 445,
	SYS_restrict_self = 446,
	CREATE_RULESET_VERSION = 1,
	RULE_PATH_BENEATH = 1,
	ABI_NEWEST = 6, /* 7 adds only switches for the kernel's audit log */
};

struct ruleset_attr {
	uint64_t fs, net, scoped;
};
struct path_beneath_attr {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_MAKE_REG = 1 << 8,
	FS_TRUNCATE = 1 << 14,
	FS_IOCTL_DEV = 1 << 15,
	FS_OF_FILES = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV,
};

/* What an ABI can handle: all of it is handled, so all that no rule grants is refused. */
static void abi_rights(unsigned abi, struct ruleset_attr *attr, size_t *size)
{
	attr->fs = (1u << 13) - 1;
	if (abi >= 2)
		attr->fs |= 1u << 13; /* refer */
	if (abi >= 3)
		attr->fs |= FS_TRUNCATE;
	if (abi >= 5)
		attr->fs |= FS_IOCTL_DEV;
	attr->net = abi >= 4 ? 3 : 0;	 /* bind and connect TCP */
	attr->scoped = abi >= 6 ? 3 : 0; /* abstract sockets, signals */
	*size = abi >= 6 ? sizeof *attr : abi >= 4 ? 2 * sizeof attr->fs : sizeof attr->fs;
}

static uint64_t rights_of(const struct policy_base *b, bool directory)
{
	uint64_t r = 0;

	if (b->access & (WIRE_READ | WIRE_CREATE))
		r |= FS_READ_FILE;
	if (b->access & (WIRE_WRITE | WIRE_CREATE))
		r |= FS_WRITE_FILE | FS_TRUNCATE;
	if (b->access & WIRE_CREATE)
		r |= FS_MAKE_REG;
	if (b->access & WIRE_LIST)
		r |= FS_READ_DIR;
	if (b->types & (POLICY_CHAR | POLICY_BLOCK))
		r |= FS_IOCTL_DEV;
	if (!directory)
		r &= FS_OF_FILES;
	else if (b->exact)
		r &= FS_READ_DIR;
	return r;
}

/* So that a successor can tell whether anything has changed. */
static void remember(struct worker *w, const struct stat *st)
{
	const uint64_t id[] = { st->st_dev, st->st_ino };

	for (size_t i = 0; i < ELEMENTSOF(id); i++)
		w->bases_hash = (w->bases_hash ^ id[i]) * 0x100000001b3;
}

/* Pins one base and, with a ruleset, grants it. What is missing now is left out: opening below it
 * later is refused by Landlock, noticed, and answered by a refresh. */
static int pin(struct worker *w, struct pinned_base *p, int ruleset, uint64_t handled)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC,
				      .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	_cleanup_close_ int fd = -1;
	struct path_beneath_attr rule = { 0 };
	struct stat st;

	lender_raise(w);
	/* A dead file server is somebody's base, too. */
	atomic_store_explicit(&w->stats->busy_since_ms, now_ms(), memory_order_relaxed);
	fd = (int)syscall(SYS_openat2, AT_FDCWD, p->base->path, &how, sizeof how);
	atomic_store_explicit(&w->stats->busy_since_ms, 0, memory_order_relaxed);
	lender_lower(w);
	if (fd < 0 || fstat(fd, &st) < 0) {
		remember(w, &(struct stat){ .st_ino = 0 });
		return 0;
	}
	p->present = true;
	p->dev = st.st_dev;
	remember(w, &st);
	if (ruleset < 0 || p->base->covered)
		return 0;
	rule.allowed = rights_of(p->base, S_ISDIR(st.st_mode)) & handled;
	rule.parent_fd = fd;
	if (!rule.allowed)
		return 0;
	return syscall(SYS_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
}

static unsigned abi_usable(const struct worker *w)
{
	long abi = syscall(SYS_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	if (abi < 1)
		return 0;
	if (abi > ABI_NEWEST)
		abi = ABI_NEWEST;
	if ((unsigned long)abi > w->birth.landlock_max)
		abi = w->birth.landlock_max;
	return (unsigned)abi;
}

/* Once restricted, the root directory must not open for reading unless a base is the root. */
static int prove(const struct worker *w)
{
	int fd;

	for (size_t i = 0; i < w->n_bases; i++)
		if (strcmp(w->plan[i].path, "/") == 0)
			return 0;
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == EACCES ? 0 : -errno;
	close_fd(fd);
	return -EPERM;
}

int landlock_confine(struct worker *w)
{
	_cleanup_close_ int ruleset = -1;
	struct ruleset_attr attr = { 0 };
	size_t size;

	w->landlock_abi = abi_usable(w);
	if (w->landlock_abi == 0 && w->birth.require_landlock)
		return -EOPNOTSUPP;
	if (w->landlock_abi) {
		abi_rights(w->landlock_abi, &attr, &size);
		ruleset = (int)syscall(SYS_create_ruleset, &attr, size, 0);
		if (ruleset < 0)
			return -errno;
	}
	for (size_t i = 0; i < w->n_bases; i++) {
		int r = pin(w, &w->bases[i], ruleset, attr.fs);

		if (r < 0)
			return r;
	}
	if (ruleset < 0)
		return 0;
	if (syscall(SYS_restrict_self, ruleset, 0) < 0)
		return -errno;
	w->confinement |= CONFINED_LANDLOCK;
	return prove(w);
}
