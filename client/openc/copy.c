/* SPDX-License-Identifier: MIT
 * Moving bytes from one descriptor to another, and reading a mode. */
#include "cli.h"

enum { CHUNK = 64 * 1024 };

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Until end of file. Returns 0 or -errno. */
int copy_all(int from, int to)
{
	char buf[CHUNK];
	int r;

	for (;;) {
		ssize_t n = read(from, buf, sizeof buf);

		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		r = write_all(to, buf, (size_t)n);
		if (r < 0)
			return r;
	}
}

/* From the beginning, and without moving the file position: others may share it. */
int print_memory_file(int fd, FILE *to)
{
	char buf[4096];
	off_t at = 0;

	for (;;) {
		ssize_t n = pread(fd, buf, sizeof buf, at);

		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		fwrite(buf, 1, (size_t)n, to);
		at += n;
	}
}

/* Octal permission bits, as chmod(1) takes them. */
int parse_mode_digits(const char *digits, uint32_t *ret)
{
	uint32_t mode = 0;

	if (!*digits)
		return -EINVAL;
	for (; *digits; digits++) {
		if (*digits < '0' || *digits > '7')
			return -EINVAL;
		mode = mode * 8 + (uint32_t)(*digits - '0');
		if (mode > 0777)
			return -EINVAL;
	}
	*ret = mode;
	return 0;
}
