/* SPDX-License-Identifier: MIT
 * Stands in the place of a program that opend starts, to have it traced from its first call on: if
 * it is the one that is wanted, it says who it is, stops, and goes on as the program itself once a
 * tracer is there. DIR/NAME is this one, DIR/real/NAME the program, DIR/gate/ROLE the
 * wish, which the first to come takes, and DIR/gate/pid the answer. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void wait_for_tracer(const char *dir, const char *role)
{
	char name[PATH_MAX + 64], pid[32];
	int fd, len;

	snprintf(name, sizeof name, "%s/gate/%s", dir, role);
	if (unlink(name) < 0)
		return;
	snprintf(name, sizeof name, "%s/gate/pid", dir);
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	len = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
	if (fd < 0 || write(fd, pid, (size_t)len) != len)
		_exit(124);
	close(fd);
	kill(getpid(), SIGSTOP);
}

/* argv[0] and, of a worker, its role: "opend-audit", "opend-worker worker". */
int main(int argc, char *argv[])
{
	extern char **environ;
	char self[PATH_MAX], real[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	const char *name;
	char *slash;

	if (n < 0 || argc < 1)
		return 124;
	self[n] = 0;
	slash = strrchr(self, '/');
	*slash = 0;
	name = slash + 1;
	wait_for_tracer(self, strcmp(name, "opend-worker") || argc < 2 ? name + strlen("opend-")
								       : argv[1]);
	snprintf(real, sizeof real, "%s/real/%s", self, name);
	execve(real, argv, environ);
	return 124;
}
