/* SPDX-License-Identifier: MIT
 * Files of a test: made below its tree, with the owner and mode that the test needs. */
#include <stdarg.h>
#include "harness.h"
#include "harness-private.h"

char *at(const char *fmt, ...)
{
	_cleanup_free_ char *name = NULL;
	va_list ap;

	va_start(ap, fmt);
	ensure(vasprintf(&name, fmt, ap) >= 0, "no memory");
	va_end(ap);
	return text("%s/%s", harness_tree, name);
}

static void give(const char *path, uid_t uid)
{
	if (is_root())
		sys(lchown(path, uid, uid));
}

/* The mode is exact, whatever the umask; after the owner, because chown takes set-id bits away. */
char *make_dir(char *path, mode_t mode, uid_t uid)
{
	sys(mkdir(path, 0700));
	give(path, uid);
	sys(chmod(path, mode));
	return path;
}

char *make_file(char *path, mode_t mode, uid_t uid, const char *content)
{
	_cleanup_close_ int fd =
		(int)sys(open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	size_t len = strlen(content);

	ensure(write(fd, content, len) == (ssize_t)len, "%s: %s", path, strerror(errno));
	give(path, uid);
	sys(fchmod(fd, mode));
	return path;
}

char *make_link(const char *target, char *path)
{
	sys(symlink(target, path));
	return path;
}

/* In place, as an administrator's editor would not: a policy is read at start and at reload only,
 * so there is nobody to see half of it. */
void policy(const char *name, const char *fmt, ...)
{
	_cleanup_fclose_ FILE *f = fopen(at("policy/%s.policy", name), "we");
	va_list ap;

	ensure(f, "%s: %s", name, strerror(errno));
	va_start(ap, fmt);
	ensure(vfprintf(f, fmt, ap) >= 0, "%s", strerror(errno));
	va_end(ap);
	ensure(!fflush(f), "%s", strerror(errno));
}

char *slurp(int fd, size_t *ret_len)
{
	size_t len = 0, room = 4096;
	char *p = malloc(room);
	ssize_t got;

	while (p && (got = pread(fd, p + len, room - len - 1, (off_t)len)) != 0) {
		ensure(got > 0, "%s", strerror(errno));
		len += (size_t)got;
		if (room - len < 2048)
			p = realloc(p, room *= 2);
	}
	ensure(p, "no memory");
	p[len] = 0;
	if (ret_len)
		*ret_len = len;
	return harness_keep(p);
}
