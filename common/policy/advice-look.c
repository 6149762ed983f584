/* SPDX-License-Identifier: MIT
 * Advice that takes a look at the file system: a rule is about the place a name leads to, so a rule
 * on a symlink is about nothing, and a deny on one name says nothing of another name of the same
 * thing. What cannot be seen from here is passed over in silence. */
#include <limits.h>
#include <sys/stat.h>
#include "mounts.h"
#include "parse.h"
#include "pattern.h"

/* The literal beginning of a pattern as a path; false when it is too long or starts at ~. */
static bool literal_prefix(const struct pattern *pattern, char *ret, bool *ret_whole)
{
	size_t len = 0, i;

	for (i = 0; i < pattern->n_segments && !pattern->segments[i].glob; i++) {
		const struct segment *s = &pattern->segments[i];

		if (len + s->len + 2 > PATH_MAX)
			return false;
		ret[len++] = '/';
		memcpy(ret + len, s->text, s->len);
		len += s->len;
	}
	if (len == 0)
		ret[len++] = '/';
	ret[len] = 0;
	*ret_whole = i == pattern->n_segments;
	return !pattern->home;
}

/* Is a name on the way, or the last one, a symlink? What is not there is none. */
static bool has_link(const char *path)
{
	char part[PATH_MAX];
	struct stat st;

	for (size_t len = 1; path[len - 1]; len++) {
		if (path[len] && path[len] != '/')
			continue;
		memcpy(part, path, len);
		part[len] = 0;
		if (lstat(part, &st) < 0)
			return false;
		if (S_ISLNK(st.st_mode))
			return true;
	}
	return false;
}

static int look_for_link(struct parser *p, size_t i, const struct pattern *pattern,
			 const char *path)
{
	const struct rule *rule = p->rules[i];
	char real[PATH_MAX], hint[PATH_MAX + 32];

	if (!has_link(path))
		return 0;
	snprintf(hint, sizeof hint, "it leads %s%s", realpath(path, real) ? "to " : "nowhere",
		 realpath(path, real) ? real : "");
	if (rule->allow) {
		advice_add(p, DIAG_WARNING, i, pattern, hint,
			   "a symbolic link is on this path, so it never matches a place");
		return 0;
	}
	advice_add(p, DIAG_ERROR, i, pattern, hint,
		   "a symbolic link is on this path: the deny would never match");
	return -EBADMSG;
}

static void look_for_directory(struct parser *p, size_t i, const struct pattern *pattern,
			       const char *path)
{
	const struct rule *rule = p->rules[i];
	struct stat st;

	if (pattern->tree || lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return;
	if (!rule->allow)
		advice_add(p, DIAG_WARNING, i, pattern, "\"under\" names what lies below as well",
			   "a directory: what lies in it is not denied");
	else if (rule->access != WIRE_LIST)
		advice_add(p, DIAG_WARNING, i, pattern, "\"under\" names what lies below as well",
			   "a directory: \"file\" does not name what lies in it");
}

/* Does a rule of this kind name the path for somebody? */
static const struct rule *find_rule(const struct parser *p, bool allow, const char *path)
{
	static const struct pattern no_home;
	size_t len = strlen(path);

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct rule *rule = p->rules[i];

		if (rule->allow != allow || rule->nobody)
			continue;
		for (size_t j = 0; j < rule->n_objects; j++)
			if (pattern_matches(&rule->objects[j], &no_home, path, len,
					    rule->objects[j].tree))
				return rule;
	}
	return NULL;
}

static void look_for_aliases(struct parser *p, const struct mounts *mounts, size_t i,
			     const struct pattern *pattern, const char *path)
{
	char alias[PATH_MAX];

	for (size_t k = 0; mounts_alias(mounts, path, k, alias); k++) {
		const struct rule *allow = find_rule(p, true, alias);

		if (allow && !find_rule(p, false, alias))
			advice_add(p, DIAG_WARNING, i, pattern, NULL,
				   "a mount shows it at %s too, where %s grants", alias,
				   allow->origin);
	}
}

static int look_at_rule(struct parser *p, const struct mounts *mounts, size_t i)
{
	const struct rule *rule = p->rules[i];
	int r = 0;

	for (size_t j = 0; j < rule->n_objects + rule->n_excepts; j++) {
		bool object = j < rule->n_objects, whole;
		const struct pattern *pattern =
			object ? &rule->objects[j] : &rule->excepts[j - rule->n_objects];
		char path[PATH_MAX];

		if (!literal_prefix(pattern, path, &whole))
			continue;
		if (look_for_link(p, i, pattern, path) < 0)
			r = -EBADMSG;
		if (object && whole)
			look_for_directory(p, i, pattern, path);
		if (object && !rule->allow)
			look_for_aliases(p, mounts, i, pattern, path);
	}
	return r;
}

int advise_looking(struct parser *p)
{
	_cleanup_(mounts_deinit) struct mounts mounts;
	int r = mounts_read(&mounts, NULL, 0), result = 0;

	if (r == -ENOMEM)
		return r;
	for (size_t i = 0; i < p->n_rules; i++)
		if ((r = look_at_rule(p, &mounts, i)) < 0)
			result = r;
	return result;
}
