/* SPDX-License-Identifier: MIT
 * A cache in front of getpwnam_r(3) and getgrnam_r(3): a policy of 10,000 rules names the same few
 * accounts again and again, and each question may open and read /etc/passwd. */
#include <grp.h>
#include <pwd.h>
#include "accounts.h"

struct account {
	struct account *next;
	bool group;
	char *name;
	uint32_t id;
	int found; /* what accounts_find() returns */
};

/* glibc says "not there" in several ways, getpwnam(3) ERRORS. */
static int outcome(int r, bool found)
{
	if (found)
		return 1;
	return r == 0 || r == ENOENT || r == ESRCH || r == EBADF || r == EPERM ? 0 : -r;
}

static int ask(bool group, const char *name, char *buf, size_t size, uint32_t *ret_id)
{
	struct passwd pw, *found_pw = NULL;
	struct group gr, *found_gr = NULL;
	int r;

	if (group) {
		r = getgrnam_r(name, &gr, buf, size, &found_gr);
		*ret_id = found_gr ? found_gr->gr_gid : 0;
	} else {
		r = getpwnam_r(name, &pw, buf, size, &found_pw);
		*ret_id = found_pw ? found_pw->pw_uid : 0;
	}
	return outcome(r, found_gr || found_pw);
}

static int look_up(bool group, const char *name, uint32_t *ret_id)
{
	for (size_t size = 4096; size <= 16 * 1024 * 1024; size *= 4) {
		_cleanup_free_ char *buf = malloc(size);
		int r = buf ? ask(group, name, buf, size, ret_id) : -ENOMEM;

		if (r != -ERANGE)
			return r;
	}
	return -ERANGE;
}

int accounts_find(struct accounts *a, bool group, const char *name, uint32_t *ret_id)
{
	unsigned h = group;
	struct account *e;

	for (const char *s = name; *s; s++)
		h = h * 31 + (unsigned char)*s;
	for (e = a->buckets[h % ACCOUNTS_BUCKETS]; e; e = e->next)
		if (e->group == group && strcmp(e->name, name) == 0)
			break;
	if (!e) {
		e = arena_alloc(&a->arena, sizeof *e);
		if (!e || !(e->name = arena_strndup(&a->arena, name, strlen(name))))
			return -ENOMEM;
		e->group = group;
		e->found = look_up(group, name, &e->id);
		e->next = a->buckets[h % ACCOUNTS_BUCKETS];
		a->buckets[h % ACCOUNTS_BUCKETS] = e;
	}
	*ret_id = e->id;
	return e->found;
}

void accounts_deinit(struct accounts *a)
{
	arena_deinit(&a->arena);
	memset(a->buckets, 0, sizeof a->buckets);
}
