/* SPDX-License-Identifier: MIT
 * Policy files. Who may write one of them may grant himself anything, so owner and mode of file
 * and directory are checked on the descriptors that are then read, never on names. Nothing here
 * can be made to wait: a FIFO is opened without blocking and refused. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "parse.h"

struct source {
	char *name; /* in its directory; decides order and precedence */
	char *path; /* for messages */
	int dir;    /* borrowed; AT_FDCWD for a single file */
	char *text;
};

struct loader {
	const struct policy_options *options;
	struct diags *diags;
	struct source *sources;
	size_t n, room, total;
	int *dirs;
	size_t n_dirs;
};

static void loader_deinit(struct loader *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->sources[i].name);
		free(l->sources[i].path);
		free(l->sources[i].text);
	}
	for (size_t i = 0; i < l->n_dirs; i++)
		close_fd(l->dirs[i]);
	free(l->sources);
	free(l->dirs);
}

static int fail(struct loader *l, const char *path, const char *hint, const char *what, int error)
{
	struct diag_place where = { .file = path };

	diags_add(l->diags, DIAG_ERROR, &where, hint, "%s%s%s", what, error ? ": " : "",
		  error ? strerrordesc_np(error) : "");
	return -EBADMSG;
}

static int check_owner(struct loader *l, const char *path, const struct stat *st)
{
	if (st->st_uid != 0 && st->st_uid != l->options->owner)
		return fail(l, path, "chown root", "its owner could grant himself anything", 0);
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return fail(l, path, "chmod go-w", "others than its owner may write it", 0);
	return 0;
}

static int add_source(struct loader *l, const char *dir_path, int dir, const char *name)
{
	struct source s = { .dir = dir, .name = strdup(name) };

	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 16;
		void *p = reallocarray(l->sources, room, sizeof *l->sources);

		if (!p)
			goto no_memory;
		l->sources = p;
		l->room = room;
	}
	if (asprintf(&s.path, "%s%s%s", dir_path, *dir_path ? "/" : "", name) < 0)
		s.path = NULL;
	if (!s.name || !s.path)
		goto no_memory;
	l->sources[l->n++] = s;
	return 0;

no_memory:
	free(s.name);
	free(s.path);
	return -ENOMEM;
}

/* Hidden files and editors' backups are not policy. */
static bool is_policy_name(const char *name)
{
	size_t len = strlen(name), suffix = strlen(".policy");

	return name[0] != '.' && len > suffix && strcmp(name + len - suffix, ".policy") == 0;
}

/* A directory higher up replaces what a lower one calls the same. */
static bool is_replaced(const struct loader *l, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(l->sources[i].name, name) == 0)
			return true;
	return false;
}

static int keep_dir(struct loader *l, int fd)
{
	int *dirs = reallocarray(l->dirs, l->n_dirs + 1, sizeof *dirs);

	if (!dirs)
		return -ENOMEM;
	l->dirs = dirs;
	dirs[l->n_dirs] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return dirs[l->n_dirs] < 0 ? -errno : dirs[l->n_dirs++];
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int read_names(struct loader *l, const char *path, int consume_fd)
{
	_cleanup_close_ int fd = consume_fd;
	_cleanup_(close_dir) DIR *d = NULL;
	size_t above = l->n;
	struct dirent *e;
	int r, dir = keep_dir(l, fd);

	if (dir < 0)
		return dir;
	d = fdopendir(fd);
	if (!d)
		return -errno;
	take_fd(&fd);
	while ((errno = 0, e = readdir(d))) {
		if (!is_policy_name(e->d_name) || is_replaced(l, above, e->d_name))
			continue;
		if ((r = add_source(l, path, dir, e->d_name)) < 0)
			return r;
	}
	return errno ? fail(l, path, NULL, "cannot read this directory", errno) : 0;
}

static int add_dir(struct loader *l, const char *path, int fd)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		r = -errno;
	else
		r = check_owner(l, path, &st);
	if (r < 0) {
		close_fd(fd);
		return r;
	}
	return read_names(l, path, fd);
}

/* A path that the administrator named: a directory, or else a file that is opened later. */
static int add_path(struct loader *l, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0)
		return add_dir(l, path, fd);
	if (errno == ENOENT && !is_policy_name(path))
		return 0;
	if (errno == ENOTDIR)
		return add_source(l, "", AT_FDCWD, path);
	return fail(l, path, NULL, "cannot open", errno);
}

static int read_all(struct loader *l, const struct source *s, int fd, size_t size, char **ret,
		    size_t *ret_len)
{
	_cleanup_free_ char *text = malloc(size + 1);
	size_t len = 0;
	ssize_t n;

	if (!text)
		return -ENOMEM;
	while ((n = read(fd, text + len, size + 1 - len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(l, s->path, NULL, "cannot read", errno);
		len += (size_t)n;
		if (len > size)
			return fail(l, s->path, NULL, "it grew while it was read", 0);
	}
	*ret = take_ptr(text);
	*ret_len = len;
	return 0;
}

static int check_file(struct loader *l, const struct source *s, const struct stat *st)
{
	if (S_ISDIR(st->st_mode))
		return fail(l, s->path, NULL, "a directory, where a file is wanted", 0);
	if (!S_ISREG(st->st_mode))
		return fail(l, s->path, NULL, "not a regular file", 0);
	if (st->st_size > POLICY_FILE_MAX)
		return fail(l, s->path, NULL, "larger than 16 MiB", 0);
	l->total += (size_t)st->st_size;
	if (l->total > POLICY_TOTAL_MAX)
		return fail(l, s->path, NULL, "all files together are larger than 64 MiB", 0);
	return check_owner(l, s->path, st);
}

/* A link masks the name it has, if it leads to /dev/null by that very text. */
static int read_link(struct loader *l, const struct source *s)
{
	char target[16];
	ssize_t n = readlinkat(s->dir, s->name, target, sizeof target);

	if (n == 9 && memcmp(target, "/dev/null", 9) == 0)
		return 0;
	return fail(l, s->path, "only a link to /dev/null is allowed; it masks the name",
		    "a symbolic link", 0);
}

static int read_source(struct loader *l, struct source *s, size_t *ret_len)
{
	_cleanup_close_ int fd =
		openat(s->dir, s->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	int r;

	*ret_len = 0;
	if (fd < 0 && errno == ELOOP)
		return read_link(l, s);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(l, s->path, NULL, "cannot open", errno);
	if ((r = check_file(l, s, &st)) < 0)
		return r;
	return read_all(l, s, fd, (size_t)st.st_size, &s->text, ret_len);
}

/* One file outside of a policy, by its path. Its directory is held to the same as a policy's: who
 * may take the file away may bring the defaults back. */
int policy_read_file(const char *path, uid_t owner, struct diags *diags, char **ret,
		     size_t *ret_len)
{
	const struct policy_options options = { .owner = owner };
	struct loader l = { .options = &options, .diags = diags };
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	_cleanup_free_ char *file = strdup(name), *whole = strdup(path);
	_cleanup_free_ char *above = slash ? strndup(path, (size_t)(name - path)) : strdup(".");
	struct source s = { .name = file, .path = whole };
	_cleanup_close_ int dir = -1;
	struct stat st;
	int r;

	if (!file || !whole || !above)
		return -ENOMEM;
	dir = s.dir = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 || fstat(dir, &st) < 0)
		return errno == ENOENT ? 0 : fail(&l, path, NULL, "cannot open", errno);
	if ((r = check_owner(&l, above, &st)) < 0 || (r = read_source(&l, &s, ret_len)) < 0)
		return r;
	*ret = s.text;
	return 1;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct source *)a)->name, ((const struct source *)b)->name);
}

static int feed_all(struct loader *l, struct parser *p)
{
	int r;

	if (l->n)
		qsort(l->sources, l->n, sizeof *l->sources, by_name);
	for (size_t i = 0; i < l->n; i++) {
		struct source *s = &l->sources[i];
		size_t len;

		r = read_source(l, s, &len);
		if (r == 0 && s->text)
			r = parser_feed(p, s->path, s->text, len);
		if (r < 0 && r != -EBADMSG)
			return r;
	}
	return 0;
}

int policy_load(const char *const *paths, const struct policy_options *opt, struct diags *diags,
		struct policy **ret)
{
	_cleanup_(loader_deinit) struct loader l = { .options = opt, .diags = diags };
	_cleanup_(parser_deinit) struct parser p;
	int r = parser_init(&p, opt, diags);

	for (; *paths && (r == 0 || r == -EBADMSG); paths++)
		r = add_path(&l, *paths);
	if (r == 0 || r == -EBADMSG)
		r = feed_all(&l, &p);
	if (r < 0)
		return r;
	return parser_finish(&p, ret);
}
