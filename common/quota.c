/* SPDX-License-Identifier: MIT
 * See quota.h. A control group with a quota is stopped for the rest of its period when that is used
 * up, so time spent on looking again is taken from the work itself.
 *
 * This is the one place where the library opens files, once in a process and before it connects;
 * not for "fd:N", which may be taken over inside a sandbox that kills for it. What cannot be read
 * is no quota. */
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include "quota.h"
#include "util.h"

/* Reads the beginning of a small file as a string; "" if there is none. */
static void read_text(const char *path, char *buf, size_t size)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

	buf[n < 0 ? 0 : n] = 0;
}

bool quota_above(const char *root, char *group)
{
	char path[PATH_MAX], text[32], *slash;

	for (;;) {
		snprintf(path, sizeof path, "%s%s/cpu.max", root, group);
		read_text(path, text, sizeof text);
		if (*text >= '0' && *text <= '9')
			return true;
		slash = strrchr(group, '/');
		if (!slash)
			return false;
		*slash = 0;
	}
}

static bool find_quota(void)
{
	char text[PATH_MAX], *group;

	read_text("/proc/self/cgroup", text, sizeof text);
	group = strncmp(text, "0::/", 4) == 0 ? text + 1 : strstr(text, "\n0::/");
	if (!group)
		return false;
	group = strchr(group, '/');
	group[strcspn(group, "\n")] = 0;
	return quota_above("/sys/fs/cgroup", group);
}

bool quota_is_set(void)
{
	enum { UNKNOWN, NO, YES };
	static atomic_int known = UNKNOWN;

	if (atomic_load(&known) == UNKNOWN)
		atomic_store(&known, find_quota() ? YES : NO);
	return atomic_load(&known) == YES;
}
