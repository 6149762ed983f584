/* SPDX-License-Identifier: MIT
 * Bind mounts, as /proc/self/mountinfo tells of them. */
#include <limits.h>
#include "mounts.h"

/* Takes the next field off *line, its octal escapes resolved; NULL at the end. */
static char *next_field(char **line)
{
	char *field = *line, *in = field, *out = field;

	if (!*field)
		return NULL;
	while (*in && *in != ' ') {
		if (in[0] == '\\' && in[1] >= '0' && in[1] <= '3' && in[2] >= '0' && in[2] <= '7' &&
		    in[3] >= '0' && in[3] <= '7') {
			*out++ = (char)((in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0'));
			in += 4;
		} else {
			*out++ = *in++;
		}
	}
	*line = in + (*in == ' ');
	*out = 0;
	return field;
}

static int add_line(struct mounts *m, size_t *room, const char *text, size_t len)
{
	char *line = arena_strndup(&m->arena, text, len), *fields[5];
	struct mount *mount;

	if (!line)
		return -ENOMEM;
	for (int i = 0; i < 5; i++)
		if (!(fields[i] = next_field(&line)))
			return 0;
	if (fields[3][0] != '/' || fields[4][0] != '/')
		return 0;
	if (m->n == *room) {
		*room = *room ? *room * 2 : 64;
		mount = reallocarray(m->list, *room, sizeof *mount);
		if (!mount)
			return -ENOMEM;
		m->list = mount;
	}
	m->list[m->n++] = (struct mount){ fields[2], fields[3], fields[4] };
	return 0;
}

static int parse(struct mounts *m, const char *text, size_t len)
{
	size_t room = 0;
	int r = 0;

	while (len && r == 0) {
		const char *end = memchr(text, '\n', len);
		size_t n = end ? (size_t)(end - text) : len;

		r = add_line(m, &room, text, n);
		text += n + (end != NULL);
		len -= n + (end != NULL);
	}
	return r;
}

int mounts_read(struct mounts *m, const char *text, size_t len)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	size_t room = 0, line_room = 0;
	ssize_t n;
	int r = 0;

	*m = (struct mounts){ 0 };
	if (text)
		return parse(m, text, len);
	f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return -errno;
	while (r == 0 && (n = getline(&line, &line_room, f)) > 0)
		r = add_line(m, &room, line, (size_t)n - (line[n - 1] == '\n'));
	return r;
}

void mounts_deinit(struct mounts *m)
{
	arena_deinit(&m->arena);
	free(m->list);
	*m = (struct mounts){ 0 };
}

/* What follows prefix in path, with its slash; NULL when path is not at or below it. */
static const char *below(const char *path, const char *prefix)
{
	size_t n = strcmp(prefix, "/") == 0 ? 0 : strlen(prefix);

	if (strncmp(path, prefix, n) != 0 || (path[n] && path[n] != '/'))
		return NULL;
	return strcmp(path + n, "/") == 0 ? "" : path + n;
}

/* The mount that path is on: the deepest, and of several there the last. */
static const struct mount *find(const struct mounts *m, const char *path)
{
	const struct mount *best = NULL;

	for (size_t i = 0; i < m->n; i++)
		if (below(path, m->list[i].point) &&
		    (!best || strlen(m->list[i].point) >= strlen(best->point)))
			best = &m->list[i];
	return best;
}

static bool join(char *ret, const char *a, const char *b)
{
	int n = snprintf(ret, PATH_MAX, "%s%s", strcmp(a, "/") == 0 ? "" : a, b);

	if (n == 0)
		strcpy(ret, "/");
	return n < PATH_MAX;
}

/* Where `other` shows what is at `inner` in its file system, or a part of it. */
static bool shows(const struct mount *other, const char *inner, char *ret)
{
	const char *rest = below(inner, other->root);

	if (rest)
		return join(ret, other->point, rest);
	return below(other->root, inner) && join(ret, other->point, "");
}

bool mounts_alias(const struct mounts *m, const char *path, size_t i, char *ret)
{
	const struct mount *on = find(m, path);
	char inner[PATH_MAX];

	if (!on || !join(inner, on->root, below(path, on->point)))
		return false;
	for (size_t j = 0; j < m->n; j++) {
		const struct mount *other = &m->list[j];

		if (other == on || strcmp(other->device, on->device) != 0 ||
		    !shows(other, inner, ret) || find(m, ret) != other || below(ret, path))
			continue;
		if (i-- == 0)
			return true;
	}
	return false;
}
