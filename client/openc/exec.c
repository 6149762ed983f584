/* SPDX-License-Identifier: MIT
 * openc exec: a command with files open from descriptor 3 on, told of them as sd_listen_fds(3)
 * wants it. All or nothing: the command does not start with a file missing.
 *
 * Options before a path are that path's alone. A program that opens /dev/fd/N asks the kernel for
 * a new open, with its own rights: that is what --copy is for. */
#include <fcntl.h>
#include <sys/mman.h>
#include "cli.h"

enum { FIRST_FD = 3, NAME_LEN = 255 };

struct file {
	const char *path;
	char name[NAME_LEN + 1];
	struct openc_how how;
	bool copy;
	int target; /* descriptor in the command; -1: the next from FIRST_FD on */
	int fd;
};

struct plan {
	struct file *files;
	size_t n, n_listed;
	char **command;
};

/* What stands before a path and is about it. */
struct wish {
	bool read, write, append, truncate, create, copy, any;
	uint32_t mode;
};

static uint32_t wish_flags(const struct wish *w)
{
	uint32_t flags = w->write || w->append ? (w->read ? O_RDWR : O_WRONLY) : O_RDONLY;

	return flags | (w->append ? O_APPEND : 0u) | (w->truncate ? O_TRUNC : 0u) |
	       (w->create ? O_CREAT : 0u);
}

static void set_name(struct file *f, const char *name, size_t len)
{
	len = UTIL_MIN(len, (size_t)NAME_LEN);
	for (size_t i = 0; i < len; i++)
		f->name[i] = name[i] > ' ' && name[i] != ':' && name[i] != 0x7f ? name[i] : '_';
	if (!len)
		strcpy(f->name, "unknown");
}

/* [NAME=]PATH. A name has no slash, so that /a=b is a path. */
static void set_path(struct file *f, const char *arg)
{
	size_t name_len = strcspn(arg, "=/");
	const char *slash;

	f->path = arg;
	if (arg[name_len] == '=') {
		f->path = arg + name_len + 1;
		set_name(f, arg, name_len);
		return;
	}
	slash = strrchr(arg, '/');
	set_name(f, slash ? slash + 1 : arg, strlen(slash ? slash + 1 : arg));
}

static void add_file(struct plan *plan, const char *arg, struct wish *w, int target)
{
	struct file *f = &plan->files[plan->n++];

	*f = (struct file){ .target = target, .fd = -1, .copy = w->copy };
	if (target < 0) {
		set_path(f, arg);
		plan->n_listed++;
	} else
		f->path = arg;
	/* As the shell's ">", unless something else was said. */
	if (target == STDOUT_FILENO && !w->any)
		*w = (struct wish){ .write = true, .create = true, .truncate = true, .mode = 0666 };
	else if (target == STDOUT_FILENO && !w->append)
		w->write = true;
	f->how = (struct openc_how){ .flags = wish_flags(w), .mode = w->create ? w->mode : 0 };
	*w = (struct wish){ .mode = 0666 };
}

/* An option that is about the next path. Returns 1 if it was one, 0 if not, or -EINVAL. */
static int parse_wish(const char *arg, struct wish *w)
{
	if (strcmp(arg, "-r") == 0 || strcmp(arg, "--read") == 0)
		w->read = true;
	else if (strcmp(arg, "-w") == 0 || strcmp(arg, "--write") == 0)
		w->write = true;
	else if (strcmp(arg, "-a") == 0 || strcmp(arg, "--append") == 0)
		w->append = true;
	else if (strcmp(arg, "--truncate") == 0)
		w->write = w->truncate = true;
	else if (strcmp(arg, "--copy") == 0)
		w->copy = true;
	else if (strcmp(arg, "--create") == 0)
		w->create = true;
	else if (strncmp(arg, "--create=", 9) == 0) {
		w->create = true;
		if (parse_mode_digits(arg + 9, &w->mode) < 0)
			return -EINVAL;
	} else
		return 0;
	w->any = true;
	return 1;
}

/* The value of an option in either spelling, or NULL if this is not it. */
static const char *option_value(const char *option, char **argv, int *i)
{
	size_t len = strlen(option);

	if (strncmp(argv[*i], option, len) != 0)
		return NULL;
	if (argv[*i][len] == '=')
		return argv[*i] + len + 1;
	return argv[*i][len] ? NULL : argv[*i + 1] ? argv[++*i] : "";
}

static const char *parse_one(struct plan *plan, char **argv, int *i, struct wish *w)
{
	const char *value;
	int r;

	r = parse_wish(argv[*i], w);
	if (r < 0)
		return "--create takes permission bits in octal";
	if (r > 0)
		return NULL;
	value = option_value("--stdin", argv, i);
	if (value) {
		add_file(plan, value, w, STDIN_FILENO);
		return NULL;
	}
	value = option_value("--stdout", argv, i);
	if (value) {
		add_file(plan, value, w, STDOUT_FILENO);
		return NULL;
	}
	if (argv[*i][0] == '-')
		return "unknown option";
	add_file(plan, argv[*i], w, -1);
	return NULL;
}

/* Returns what is wrong, or NULL. */
static const char *parse(struct plan *plan, int argc, char **argv)
{
	struct wish w = { .mode = 0666 };
	const char *problem;
	int i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		problem = parse_one(plan, argv, &i, &w);
		if (problem)
			return problem;
	}
	if (w.any)
		return "options stand before the path that they are about";
	if (i + 1 >= argc)
		return "which command? It stands after \"--\"";
	plan->command = argv + i + 1;
	for (size_t k = 0; k < plan->n; k++)
		if (plan->files[k].copy && (plan->files[k].how.flags & (O_ACCMODE | O_CREAT)))
			return "--copy is for reading";
	return NULL;
}

/* The content in a memfd that nobody can change: reopening it by name needs no rights on the
 * file. */
static int make_copy(struct file *f)
{
	_cleanup_close_ int fd = f->fd, copy = -1;
	int r;

	f->fd = -1;
	copy = memfd_create(f->name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (copy < 0)
		return -errno;
	r = copy_all(fd, copy);
	if (r < 0)
		return r;
	if (lseek(copy, 0, SEEK_SET) < 0 ||
	    fcntl(copy, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	f->fd = take_fd(&copy);
	return 0;
}

static int open_file(struct openc_conn *c, struct file *f)
{
	struct openc_result result;
	int r;

	f->fd = openc_open_how(c, f->path, &f->how, sizeof f->how, &result, sizeof result);
	if (f->fd < 0) {
		report_denied(c, f->path, &f->how, &result);
		return f->fd;
	}
	r = f->copy ? make_copy(f) : 0;
	if (r < 0)
		complain("cannot copy %s: %s", f->path, strerror(-r));
	return r;
}

/* First all out of the way of the numbers they are to have, then each to its own. */
static int place(struct plan *plan)
{
	int next = FIRST_FD, above = FIRST_FD + (int)plan->n;

	for (size_t i = 0; i < plan->n; i++) {
		int fd = fcntl(plan->files[i].fd, F_DUPFD_CLOEXEC, above);

		if (fd < 0)
			return -errno;
		close_fd(plan->files[i].fd);
		plan->files[i].fd = fd;
	}
	for (size_t i = 0; i < plan->n; i++) {
		struct file *f = &plan->files[i];

		if (dup2(f->fd, f->target < 0 ? next++ : f->target) < 0)
			return -errno;
	}
	return 0;
}

static int set_environment(const struct plan *plan)
{
	char number[24];
	_cleanup_free_ char *names = calloc(plan->n + 1, NAME_LEN + 1);
	char *end = names;

	if (!plan->n_listed)
		return 0;
	if (!names)
		return -ENOMEM;
	for (size_t i = 0; i < plan->n; i++)
		if (plan->files[i].target < 0)
			end += sprintf(end, "%s%s", end > names ? ":" : "", plan->files[i].name);
	snprintf(number, sizeof number, "%zu", plan->n_listed);
	if (setenv("LISTEN_FDS", number, 1) < 0 || setenv("LISTEN_FDNAMES", names, 1) < 0)
		return -errno;
	snprintf(number, sizeof number, "%ld", (long)getpid());
	return setenv("LISTEN_PID", number, 1) < 0 ? -errno : 0;
}

static int open_all(const struct cli *cli, struct plan *plan)
{
	_cleanup_conn_ struct openc_conn *c = NULL;

	if (plan->n && cli_connect(cli, &c) < 0)
		return -1;
	for (size_t i = 0; i < plan->n; i++)
		if (open_file(c, &plan->files[i]) < 0)
			return -1;
	return 0;
}

int command_exec(const struct cli *cli, int argc, char **argv)
{
	_cleanup_free_ struct file *files = calloc((size_t)argc, sizeof *files);
	struct plan plan = { .files = files };
	const char *problem;
	int r;

	problem = files ? parse(&plan, argc, argv) : "no memory";
	if (problem) {
		usage("exec", problem);
		return EXIT_OWN;
	}
	if (open_all(cli, &plan) < 0)
		return EXIT_OWN;
	r = place(&plan);
	if (r == 0)
		r = set_environment(&plan);
	if (r < 0) {
		complain("exec: %s", strerror(-r));
		return EXIT_OWN;
	}
	return run_command(plan.command);
}
