/* SPDX-License-Identifier: MIT
 * opend, as make install makes it, started by its options alone: with the files it gives out, the
 * policies it goes by, and whoever else is there while it is measured. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "bench.h"
#include "openc.h"

enum { WORKER_IDS = 1024, IDS_FIRST = 2140000000 };

/* ---- files ---- */

static void make_dir(const char *path, mode_t mode, uid_t uid)
{
	if (mkdir(path, mode) < 0 || chmod(path, mode) < 0 ||
	    (world.root && chown(path, uid, uid) < 0))
		die("%s: %s", path, strerror(errno));
}

static void make_file(const char *path, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (fd < 0 || write(fd, "content\n", 8) != 8 || fchmod(fd, mode) < 0)
		die("%s: %s", path, strerror(errno));
	close(fd);
}

/* data/plain/file is what is opened wherever a row says nothing else. */
void data_make(void)
{
	char *deep = at("data/deep");

	make_dir(at("data"), 0755, 0);
	make_dir(at("run"), 01777, 0);
	make_dir(at("data/plain"), 0755, 0);
	make_file(at("data/plain/file"), 0644);
	make_dir(at("data/lent"), 0755, 0);
	make_file(at("data/lent/file"), 0600);
	make_dir(at("data/new"), 0755, CREATOR);
	make_dir(at("data/created"), 0755, CREATOR);
	make_dir(at("data/own"), 0755, 0);
	/* TREE is two components, "data/deep" two, the file one. */
	make_dir(deep, 0755, 0);
	for (int i = 0; i < 27; i++) {
		if (asprintf(&deep, "%s/d", deep) < 0)
			die("no memory");
		make_dir(deep, 0755, 0);
	}
	if (asprintf(&deep, "%s/file", deep) < 0)
		die("no memory");
	make_file(deep, 0644);
	free(deep);
	if (asprintf(&deep, "%s-file", world.tree) < 0)
		die("no memory");
	make_file(deep, 0644);
}

/* ---- policy ---- */

/* Ten rules that rows make use of, or nobody; then as many as the daemon is to have. */
static void write_policy(const struct daemon *d, const char *dir)
{
	FILE *f;

	make_dir(dir, 0755, 0);
	f = fopen(at("%s.policy/bench.policy", d->name), "we");
	if (!f)
		die("%s: %s", dir, strerror(errno));
	fprintf(f,
		"allow read under %s/data/plain to anyone\n"
		"allow read under %s/data/deep to anyone\n"
		"allow read file %s-file to anyone\n"
		"allow create under %s/data/created to %s\n"
		"deny any under %s/data/plain/private to anyone\n",
		world.tree, world.tree, world.tree, world.tree, world.root ? "user 1002" : "anyone",
		world.tree);
	if (world.root)
		fprintf(f, "allow read under %s/data/lent to user %d as root\n", world.tree, LENT);
	else
		fprintf(f, "allow read under /srv/bench/lent to anyone\n");
	for (unsigned i = 0; i < 4; i++)
		fprintf(f, "allow read under /srv/bench/%u to anyone\n", i);
	for (unsigned i = 0; i < d->own; i++) {
		make_dir(at("data/own/%u", i), 0755, 0);
		fprintf(f, "allow read under %s/data/own/%u to user %u\n", world.tree, i,
			world.root ? (unsigned)CALLER : (unsigned)getuid());
	}
	for (unsigned i = 0; i < d->others; i++)
		fprintf(f, "allow read under /srv/bench/of/%u/%u to user %u\n", i / 10, i % 10,
			30000 + i / 10);
	if (fclose(f))
		die("%s: %s", dir, strerror(errno));
}

/* ---- start ---- */

static void run(const struct daemon *d, const char *policy, const char *config)
{
	char ids[64];
	const char *argv[20];
	size_t n = 0;
	int log = open(at("run/%s.log", d->name), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	argv[n++] = at("programs/sbin/opend");
	argv[n++] = "--listen", argv[n++] = d->socket;
	argv[n++] = "--control", argv[n++] = at("run/%s.control", d->name);
	argv[n++] = "--policy", argv[n++] = policy;
	argv[n++] = "--config", argv[n++] = config;
	if (world.root) {
		/* Descriptors in flight are counted per real uid. */
		unsigned first = IDS_FIRST + (unsigned)getpid() % 1000 * WORKER_IDS;

		snprintf(ids, sizeof ids, "%u-%u", first, first + WORKER_IDS - 1);
		argv[n++] = "--user", argv[n++] = "61000";
		argv[n++] = "--audit-user", argv[n++] = "61001";
		argv[n++] = "--worker-ids", argv[n++] = ids;
	}
	argv[n] = NULL;
	dup2(log, 1);
	dup2(log, 2);
	execv(argv[0], (char *const *)argv);
	die("%s: %s", argv[0], strerror(errno));
}

static void write_settings(const struct daemon *d, const char *config)
{
	FILE *f = fopen(config, "we");

	if (!f)
		die("%s: %s", config, strerror(errno));
	fprintf(f,
		"set connections 60000\nset connections-per-user 11000\nset idle-seconds 3600\n%s",
		d->settings ? d->settings : "");
	if (fclose(f))
		die("%s: %s", config, strerror(errno));
}

/* ---- who else is there ---- */

static void connect_as(uid_t uid, const char *socket)
{
	struct openc_conn *c;
	char *who;
	int r;

	if (setegid(uid) < 0 || seteuid(uid) < 0)
		die("cannot become uid %u: %s", uid, strerror(errno));
	r = openc_new(&c, socket);
	if (r == 0)
		r = openc_whoami(c, &who);
	if (r < 0)
		die("uid %u: %s", uid, strerror(-r));
	free(who);
	if (seteuid(0) < 0 || setegid(0) < 0)
		die("cannot become root again: %s", strerror(errno));
}

/* Holds connections and does nothing. */
static void hold(const struct daemon *d)
{
	int told[2];
	char done;

	if (pipe(told) < 0)
		die("pipe: %s", strerror(errno));
	if (fork_bound() == 0) {
		for (unsigned i = 0; i < d->crowd; i++)
			connect_as(CROWD + i, d->socket);
		/* A change of ids took it away. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (d->idle)
			become(CALLER);
		for (unsigned i = 0; i < d->idle; i++)
			connect_to(d->socket);
		if (write(told[1], "", 1) != 1)
			exit(2);
		for (;;)
			pause();
	}
	close(told[1]);
	if (read(told[0], &done, 1) != 1)
		die("%s: connections could not be had", d->name);
	close(told[0]);
}

static void await_socket(const struct daemon *d)
{
	char *command;

	for (int i = 0; i < 1000; i++) {
		if (access(d->socket, F_OK) == 0)
			return;
		if (waitpid(d->pid, NULL, WNOHANG) == d->pid)
			break;
		sleep_ms(10);
	}
	if (asprintf(&command, "cat '%s' >&2", at("run/%s.log", d->name)) >= 0 && system(command))
		fputs("bench: no log\n", stderr);
	die("%s: opend did not start", d->name);
}

/* CALLER is the first to come, so that its worker is there. */
static void greet(struct daemon *d)
{
	pid_t pid = fork_bound();

	if (pid == 0) {
		struct openc_conn *c;
		char *who;

		become(CALLER);
		if (openc_new(&c, d->socket) < 0 || openc_whoami(c, &who) < 0)
			die("%s: nobody answers", d->name);
		_exit(0);
	}
	while (waitpid(pid, NULL, 0) < 0)
		;
}

void daemon_start(struct daemon *d)
{
	char *policy = at("%s.policy", d->name), *config = at("%s.conf", d->name);
	pid_t worker;

	d->socket = at("run/%s", d->name);
	write_policy(d, policy);
	write_settings(d, config);
	d->pid = fork_bound();
	if (d->pid == 0) {
		pin(d->pinned);
		run(d, policy, config);
	}
	await_socket(d);
	greet(d);
	if (!d->idle && !d->crowd)
		return;
	daemon_servers(d, CALLER, &worker, 1);
	d->pss_before_kib = (double)pss_kib_of(worker);
	hold(d);
	/* The worker has met the last of them when it sleeps. */
	for (uint64_t cpu = 0; cpu != cpu_ns_of(worker);) {
		cpu = cpu_ns_of(worker);
		sleep_ms(200);
	}
}

size_t daemon_servers(const struct daemon *d, uid_t uid, pid_t *ret, size_t max)
{
	pid_t all[1024];
	size_t n = descendants(d->pid, "opend-worker", all, sizeof all / sizeof *all), found = 0;

	for (size_t i = 0; i < n && found < max; i++)
		if (!world.root || euid_of(all[i]) == uid)
			ret[found++] = all[i];
	if (!found)
		die("%s: uid %u has no worker", d->name, uid);
	return found;
}
