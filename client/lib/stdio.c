/* SPDX-License-Identifier: MIT
 * fopen(3) for files that opend opens. */
#include <fcntl.h>
#include "internal.h"

/* "r", "w" or "a", then any of + x b e, each at most once. b means nothing on Linux and e is
 * always so; both are accepted because programs pass them. */
static int parse_mode(const char *mode, int *ret_flags, char stdio_mode[3])
{
	static const char options[] = "+xbe";
	bool seen[sizeof options] = { false };
	int flags, access;

	switch (*mode) {
	case 'r':
		access = O_RDONLY, flags = 0;
		break;
	case 'w':
		access = O_WRONLY, flags = O_CREAT | O_TRUNC;
		break;
	case 'a':
		access = O_WRONLY, flags = O_CREAT | O_APPEND;
		break;
	default:
		return -EINVAL;
	}
	stdio_mode[0] = *mode;
	for (const char *p = mode + 1; *p; p++) {
		const char *o = strchr(options, *p);

		if (!o || seen[o - options])
			return -EINVAL;
		seen[o - options] = true;
	}
	if (seen[1])
		flags |= O_EXCL;
	stdio_mode[1] = seen[0] ? '+' : 0;
	stdio_mode[2] = 0;
	*ret_flags = flags | (seen[0] ? O_RDWR : access);
	return 0;
}

static int open_stream(struct openc_conn *c, const char *path, const char *mode, FILE **ret)
{
	_cleanup_close_ int fd = -1;
	char stdio_mode[3];
	int r, flags;

	r = conn_enter(c);
	if (r < 0)
		return r;
	r = mode ? parse_mode(mode, &flags, stdio_mode) : -EINVAL;
	if (r < 0)
		return message_fail(c, r, OPENC_R_NONE);
	fd = openc_open(c, path, flags, 0666);
	if (fd < 0)
		return fd;
	*ret = fdopen(fd, stdio_mode);
	if (!*ret)
		return message_fail(c, -errno, OPENC_R_NONE);
	take_fd(&fd);
	return 0;
}

FILE *openc_fopen(struct openc_conn *c, const char *path, const char *mode)
{
	WITHOUT_CANCELLATION;
	FILE *f = NULL;
	int r;

	r = open_stream(c, path, mode, &f);
	if (r < 0)
		errno = -r;
	return f;
}
