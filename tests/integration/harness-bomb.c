/* SPDX-License-Identifier: MIT
 * See harness-bomb.h. */
#include <sys/un.h>
#include "harness-bomb.h"

int bomb_target(struct sockaddr_in *ret)
{
	socklen_t len = sizeof *ret;
	int fd = (int)sys(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	*ret = (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	sys(bind(fd, (struct sockaddr *)ret, sizeof *ret));
	sys(listen(fd, 100));
	sys(getsockname(fd, (struct sockaddr *)ret, &len));
	return fd;
}

/* The peers are in the listener's backlog and never read. */
int bomb_make(const struct sockaddr_in *to)
{
	const struct linger linger = { 1, LINGER_SECONDS };
	static const char fill[65536];
	int fd = (int)sys(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));

	sys(connect(fd, (const struct sockaddr *)to, sizeof *to));
	sys(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
	while (send(fd, fill, sizeof fill, MSG_DONTWAIT) > 0)
		;
	return fd;
}

/* ---- opend on a socket that was there before ---- */

struct opend opend_on(int listener)
{
	const char *args[64], *activated[64];
	size_t n = 0, n_args = opend_args(0, args);
	struct opend o;

	sys(dup2(listener, 3));
	activated[n++] = "sh";
	activated[n++] = "-c";
	activated[n++] = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
	activated[n++] = "sh";
	activated[n++] = args[0];
	for (size_t i = 3; i < n_args; i++)
		activated[n++] = args[i];
	activated[n] = NULL;
	o = opend_spawn(0, activated);
	o.activated = true;
	return o;
}

int listen_unix(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = (int)sys(socket(AF_UNIX, SOCK_STREAM, 0));

	ensure(strlen(path) < sizeof a.sun_path, "%s: too long", path);
	memcpy(a.sun_path, path, strlen(path));
	sys(bind(fd, (struct sockaddr *)&a, sizeof a));
	sys(chmod(path, 0666));
	sys(listen(fd, 511));
	return fd;
}
