/* SPDX-License-Identifier: MIT
 * What the policy allows `as caller` the kernel may still refuse. For root, who may become anybody,
 * explain finds out what is in the way: a process with the client's ids asks access(2) of each
 * directory on the path and then of what is at its end. It opens nothing, and nobody else is told:
 * whether a file exists is not everybody's business. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "obstacle.h"

static bool become(const struct policy_subject *who)
{
	return setgroups(who->n_groups, who->groups) == 0 &&
	       setresgid(who->gid, who->gid, who->gid) == 0 &&
	       setresuid(who->uid, who->uid, who->uid) == 0;
}

static void tell_stat(FILE *f, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0)
		fprintf(f, " (mode %04o, owner %u:%u)", st.st_mode & 07777, st.st_uid, st.st_gid);
}

static bool stops(FILE *f, const char *path, int mode, const char *verb)
{
	if (faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0)
		return false;
	if (errno == EACCES) {
		fprintf(f, "may not %s %s", verb, path);
		tell_stat(f, path);
	} else
		fprintf(f, "cannot %s %s: %s", verb, path, strerror(errno));
	return true;
}

/* In the process that is the client. */
static void look(const char *path, unsigned access, FILE *f)
{
	_cleanup_free_ char *dir = strdup(path);
	size_t last = 0;

	for (size_t i = 1; dir && path[i]; i++) {
		if (path[i] != '/')
			continue;
		dir[i] = 0;
		if (stops(f, dir, X_OK, "search"))
			return;
		dir[i] = '/';
		last = i;
	}
	if (!dir)
		return;
	dir[last ? last : 1] = 0;
	if (!(access & OPENC_CREATE) || faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) == 0) {
		if (!(access & (OPENC_READ | OPENC_LIST)) ||
		    !stops(f, path, R_OK, access & OPENC_LIST ? "list" : "read"))
			if (access & OPENC_WRITE)
				stops(f, path, W_OK, "write");
	} else
		stops(f, dir, W_OK | X_OK, "create in");
}

char *find_obstacle(const struct policy_subject *who, const char *path, unsigned access)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f;
	int p[2];
	pid_t pid;

	if (geteuid() != 0 || pipe2(p, O_CLOEXEC) < 0)
		return NULL;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		f = fdopen(p[1], "w");
		if (f && become(who))
			look(path, access, f);
		_exit(!f || fflush(f) != 0);
	}
	close_fd(p[1]);
	f = fdopen(p[0], "r");
	if (!f || getdelim(&text, &size, 0, f) <= 0)
		free(take_ptr(text));
	if (f)
		fclose(f);
	else
		close_fd(p[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return text;
}
