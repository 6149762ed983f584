/* SPDX-License-Identifier: MIT
 * Looking up a home directory. A verdict is on the place a name leads to, so a home behind a
 * symlink has to be named by its real path or no request would ever match it. */
#include <pwd.h>
#include "home.h"
#include "../util.h"

static int ask(uid_t uid, char *buf, size_t size, char **ret)
{
	struct passwd pw, *found = NULL;
	int r = getpwuid_r(uid, &pw, buf, size, &found);

	if (!found)
		return r == ERANGE || r == ENOMEM ? -r : 0;
	if (pw.pw_dir[0] != '/')
		return 0;
	*ret = realpath(pw.pw_dir, NULL);
	return !*ret && errno == ENOMEM ? -ENOMEM : 0;
}

int policy_home(uid_t uid, char **ret)
{
	int r = -ERANGE;

	*ret = NULL;
	for (size_t size = 4096; r == -ERANGE && size <= 1024 * 1024; size *= 4) {
		_cleanup_free_ char *buf = malloc(size);

		r = buf ? ask(uid, buf, size, ret) : -ENOMEM;
	}
	return r;
}
