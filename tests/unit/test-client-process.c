/* SPDX-License-Identifier: MIT
 * libopenc and its process: forks, changes of identity, threads, cancellation, a sandbox. */
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "client/lib/internal.h"
#include "quota.h"
#include "harness-client.h"

/* Runs what follows in a child; the test fails unless the child's last word is 0. */
static void join(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(status == 0, "the child ended with status %#x", (unsigned)status);
}

/* ---- fork ---- */

static int calls_that_say(struct openc_conn *c, int error)
{
	struct openc_result res;
	const char *paths[] = { "/a" };
	char *text;
	int wrong = 0;

	wrong += openc_open(c, "/a", O_RDONLY, 0) != error;
	wrong += openc_open_how(c, "/a", NULL, 0, &res, sizeof res) != error;
	wrong += openc_open_many(c, paths, 1, NULL, 0, &res, sizeof res, 0) != error;
	wrong += openc_submit(c, "/a", NULL, 0, NULL) != error;
	wrong += openc_get_fd(c) != error;
	wrong += openc_get_events(c) != error;
	wrong += openc_get_timeout(c) != error;
	wrong += openc_process(c) != error;
	wrong += openc_take(c, &res, sizeof res) != error;
	wrong += openc_cancel(c, 1) != error;
	wrong += openc_whoami(c, &text) != error;
	wrong += openc_rules(c) != error;
	wrong += openc_set_timeout(c, 1) != error;
	wrong += openc_set_poll(c, 1) != error;
	wrong += openc_fopen(c, "/a", "r") != NULL;
	return wrong;
}

START_TEST(a_child_cannot_use_the_parents_connection)
{
	struct openc_conn *c = client_of(serve_files);
	pid_t pid;

	ck_assert_int_eq(openc_submit(c, test_file(1), NULL, 0, NULL), 0);
	while (openc_process(c) == 0)
		;
	pid = fork();
	if (pid == 0) {
		int wrong = calls_that_say(c, -ECHILD);

		wrong += strstr(openc_message(c), "fork") == NULL;
		openc_free(c);
		_exit(wrong);
	}
	join(pid);
	is_file(openc_open(c, test_file(2), O_RDONLY, 0), test_file(2));
	openc_free(c);
	server_end();
}
END_TEST

/* ---- identity ---- */

START_TEST(a_change_of_identity_makes_a_connection_stale)
{
	static const script_fn scripts[] = { serve_files, NULL };
	struct openc_conn *c, *inherited;

	if (geteuid() != 0) {
		printf("SKIP: %s: only root can change its identity\n", __func__);
		return;
	}
	server_listen(scripts, 0);
	ck_assert_int_eq(openc_new(&c, server_path()), 0);
	ck_assert_int_eq(seteuid(1234), 0);
	ck_assert_int_eq(calls_that_say(c, -ESTALE), 0);
	ck_assert_int_eq(seteuid(0), 0);
	ck_assert_int_eq(setegid(1234), 0);
	ck_assert_int_eq(calls_that_say(c, -ESTALE), 0);
	ck_assert_int_eq(setegid(0), 0);
	is_file(openc_open(c, test_file(0), O_RDONLY, 0), test_file(0));
	openc_free(c);
	server_end();

	inherited = client_of(serve_files);
	ck_assert_int_eq(seteuid(1234), 0);
	is_file(openc_open(inherited, test_file(0), O_RDONLY, 0), test_file(0));
	ck_assert_int_eq(seteuid(0), 0);
	openc_free(inherited);
	server_end();
}
END_TEST

/* ---- openc() ---- */

START_TEST(openc_is_open)
{
	static const script_fn scripts[] = { serve_files, serve_files, serve_files, NULL };
	pid_t pid;
	int fd;

	setenv("OPENC_SOCKET", "/nonexistent/socket", 1);
	errno = 0;
	ck_assert_int_eq(openc(test_file(0), O_RDONLY, 0), -1);
	ck_assert_int_eq(errno, ENOTCONN);
	server_listen(scripts, 0);
	setenv("OPENC_SOCKET", server_path(), 1);
	fd = openc(test_file(0), O_RDONLY, 0);
	is_file(fd, test_file(0));
	ck_assert_int_eq(openc("/nonexistent", O_RDONLY, 0), -1);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(openc("/a", O_WRONLY | O_CREAT, 04600), -1);
	ck_assert_int_eq(errno, EINVAL);
	/* The bits of a type of file are no permissions: open(2) does not mind them either. */
	is_file(openc(test_file(0), O_WRONLY | O_CREAT, S_IFREG | 0600), test_file(0));

	/* A child closes the parent's connection (of which the server then sees the end) and makes
	 * its own; the parent's goes on. */
	pid = fork();
	if (pid == 0) {
		fd = openc(test_file(1), O_RDONLY, 0);
		_exit(fd < 0);
	}
	sleep_ms(100);
	is_file(openc(test_file(2), O_RDONLY, 0), test_file(2));
	kill(pid, SIGKILL); /* it waits: this server serves one after the other */
	waitpid(pid, NULL, 0);
	server_kill();
	errno = 0;
	ck_assert_int_eq(openc(test_file(0), O_RDONLY, 0), -1);
	ck_assert_int_eq(errno, ENOTCONN);
}
END_TEST

enum { THREADS = 8, OPENS = 10000 };

static void *open_many_times(void *arg)
{
	int n = (int)(intptr_t)arg % 4;
	ino_t inode = inode_of(test_file(n));
	intptr_t wrong = 0;

	for (int i = 0; i < OPENS; i++) {
		int fd = openc(test_file(n), O_RDONLY, 0);
		struct stat st;

		wrong += fd < 3 || fstat(fd, &st) < 0 || st.st_ino != inode;
		close(fd);
	}
	return (void *)wrong;
}

START_TEST(openc_may_be_called_by_many_threads)
{
	static const script_fn scripts[] = { serve_files, serve_files, NULL };
	pthread_t threads[THREADS];

	server_listen(scripts, 0);
	setenv("OPENC_SOCKET", server_path(), 1);
	for (intptr_t i = 0; i < THREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, open_many_times, (void *)i), 0);
	for (int i = 0; i < THREADS; i++) {
		void *wrong;

		ck_assert_int_eq(pthread_join(threads[i], &wrong), 0);
		ck_assert_ptr_null(wrong);
	}
	server_kill();
	/* That ends the hidden connection too, which the leak check would find. */
	ck_assert_int_eq(openc(test_file(0), O_RDONLY, 0), -1);
}
END_TEST

static void serve_slowly(int sock)
{
	struct ask ask;

	while (read_ask(sock, &ask)) {
		sleep_ms(300);
		send_grant(sock, ask.header.id, ask.path);
	}
}

static void serve_each_slowly(int sock)
{
	pid_t pid = fork();

	if (pid == 0) {
		serve_slowly(sock);
		_exit(0);
	}
}

static void *open_once(void *arg)
{
	int fd = openc(test_file(0), O_RDONLY, 0);

	(void)arg;
	close(fd);
	return NULL;
}

START_TEST(a_fork_in_the_middle_of_a_call_gives_the_child_a_fresh_start)
{
	static const script_fn scripts[] = { serve_each_slowly, serve_each_slowly, NULL };
	pthread_t thread;
	pid_t pid;

	server_listen(scripts, 0);
	setenv("OPENC_SOCKET", server_path(), 1);
	ck_assert_int_eq(pthread_create(&thread, NULL, open_once, NULL), 0);
	sleep_ms(100); /* it holds the lock and waits */
	pid = fork();
	if (pid == 0) {
		alarm(10);
		_exit(openc(test_file(1), O_RDONLY, 0) < 3);
	}
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	join(pid);
	server_end();
	unlink(server_path());
	/* The server's two children end at our end of file: here is ours. */
	ck_assert_int_eq(setenv("OPENC_SOCKET", "/nonexistent", 1), 0);
	if (geteuid() == 0) {
		ck_assert_int_eq(seteuid(1234), 0);
		ck_assert_int_eq(openc(test_file(0), O_RDONLY, 0), -1);
		ck_assert_int_eq(seteuid(0), 0);
	} else {
		is_file(openc(test_file(0), O_RDONLY, 0), test_file(0));
		/* Who cannot change his ids has no other way to be rid of the hidden connection. */
		for (int fd = 3, type; fd < 64; fd++)
			if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type,
				       &(socklen_t){ sizeof type }) == 0)
				close(fd);
	}
}
END_TEST

/* ---- cancellation ---- */

struct cancelled {
	struct openc_conn *c;
	int fd;
};

static void *open_and_store(void *arg)
{
	struct cancelled *x = arg;

	x->fd = openc_open(x->c, test_file(1), O_RDONLY, 0);
	pthread_testcancel();
	return NULL;
}

START_TEST(no_call_is_a_cancellation_point)
{
	struct cancelled x = { .c = client_of(serve_slowly), .fd = -1 };
	pthread_t thread;
	void *ret;

	ck_assert_int_eq(pthread_create(&thread, NULL, open_and_store, &x), 0);
	sleep_ms(100);
	ck_assert_int_eq(pthread_cancel(thread), 0);
	ck_assert_int_eq(pthread_join(thread, &ret), 0);
	ck_assert(ret == PTHREAD_CANCELED);
	is_file(x.fd, test_file(1)); /* cancelled after the call, not in it */
	is_file(openc_open(x.c, test_file(2), O_RDONLY, 0), test_file(2));
	openc_free(x.c);
	server_end();
}
END_TEST

/* ---- a sandbox ---- */

/* The header's promise, and what the test itself needs to tell of it. All else kills. */
static const unsigned promised[] = {
	SYS_sendmsg,	   SYS_recvmsg,	   SYS_poll,   SYS_fcntl,   SYS_close,
	SYS_clock_gettime, SYS_getcwd,	   SYS_getpid, SYS_geteuid, SYS_getegid,
	SYS_exit_group,	   SYS_newfstatat, SYS_fstat,
};

static void allow_only_what_is_promised(void)
{
	enum { N = ELEMENTSOF(promised) };
	struct sock_filter filter[N + 3];
	struct sock_fprog prog = { .len = N + 3, .filter = filter };

	filter[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						 offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < N; i++)
		filter[i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, promised[i],
							     (uint8_t)(N - i), 0);
	filter[N + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	filter[N + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		_exit(2);
}

static int same_file(int fd, ino_t inode)
{
	struct stat st;

	if (fd < 3 || fstat(fd, &st) < 0 || st.st_ino != inode)
		return 0;
	close(fd);
	return 1;
}

static int work_in_sandbox(struct openc_conn *c, int n)
{
	static struct openc_result results[3000];
	static const char *paths[3000];
	struct openc_result res;
	ino_t inode = inode_of(test_file(1));
	int good = 0, want = 0;

	for (int i = 0; i < n; i++)
		paths[i] = i % 2 ? test_file(1) : "/nonexistent";
	allow_only_what_is_promised();
	good += same_file(openc_open(c, test_file(1), O_RDONLY, 0), inode), want++;
	good += same_file(openc_open(c, "file1", O_RDONLY, 0), inode), want++;
	good += openc_open(c, "/nonexistent", O_RDONLY, 0) == -ENOENT, want++;
	good += openc_open_many(c, paths, (size_t)n, NULL, 0, results, sizeof *results, 0) == n / 2,
		want++;
	for (int i = 1; i < n; i += 2)
		good += same_file(results[i].fd, inode), want++;
	good += openc_submit(c, test_file(1), NULL, 0, NULL) == 0, want++;
	while (openc_process(c) == 0)
		;
	good += openc_take(c, &res, sizeof res) == 1 && same_file(res.fd, inode), want++;
	good += openc_set_timeout(c, 0) == 0, want++;
	good += openc_open(c, test_file(1), O_RDONLY, 0) == -ETIMEDOUT, want++;
	good += strlen(openc_message(c)) > 0, want++;
	return good == want ? 0 : 1;
}

START_TEST(after_connecting_only_the_promised_calls_are_made)
{
	struct openc_conn *c;
	pid_t pid;
	char here[4096];

	if (own_system_calls()) {
		printf("SKIP: %s: %s\n", __func__, own_system_calls());
		return;
	}
	ck_assert_ptr_nonnull(getcwd(here, sizeof here));
	pid = fork();
	if (pid == 0) {
		char directory[256];

		snprintf(directory, sizeof directory, "%s", test_file(1));
		*strrchr(directory, '/') = 0;
		if (chdir(directory) < 0)
			_exit(3);
		c = client_of(serve_files);
		_exit(work_in_sandbox(c, 200));
	}
	join(pid);
}
END_TEST

/* ---- a quota of CPU time ---- */

static void write_file(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ck_assert_msg(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s: %s",
		      path, strerror(errno));
}

static bool rationed(const char *root, const char *group)
{
	char copy[64];

	snprintf(copy, sizeof copy, "%s", group);
	return quota_above(root, copy);
}

START_TEST(a_quota_counts_for_the_groups_below_it)
{
	char root[64], path[160];

	snprintf(root, sizeof root, "%.50s", test_file(0));
	strcpy(strrchr(root, '/'), "/cg");
	for (const char **dir = (const char *[]){ "", "/a", "/a/b", "/c", NULL }; *dir; dir++) {
		snprintf(path, sizeof path, "%s%s", root, *dir);
		ck_assert_int_eq(mkdir(path, 0700), 0);
	}
	snprintf(path, sizeof path, "%s/a/cpu.max", root);
	write_file(path, "50000 100000\n");
	snprintf(path, sizeof path, "%s/a/b/cpu.max", root);
	write_file(path, "max 100000\n");
	snprintf(path, sizeof path, "%s/c/cpu.max", root);
	write_file(path, "max 100000\n");
	ck_assert(rationed(root, "/a"));
	ck_assert(rationed(root, "/a/b"));
	ck_assert(rationed(root, "/a/b/not-there"));
	ck_assert(!rationed(root, "/c"));
	ck_assert(!rationed(root, "/"));
	ck_assert(!rationed(root, ""));
	snprintf(path, sizeof path, "rm -r %s", root);
	ck_assert_int_eq(system(path), 0);
}
END_TEST

/* In a group of this system's with a quota, as a container is. */
static int look_in_a_group(const char *group)
{
	static const script_fn scripts[] = { serve_files, NULL };
	struct openc_conn *c;
	char path[128];
	pid_t pid;
	int status;

	server_listen(scripts, 0);
	pid = fork();
	if (pid == 0) {
		if (group) {
			snprintf(path, sizeof path, "%s/cgroup.procs", group);
			write_file(path, "0");
		}
		if (openc_new(&c, server_path()) < 0)
			_exit(99);
		status = c->looking.usec;
		openc_free(c);
		_exit(status);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	server_end();
	unlink(server_path());
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

START_TEST(who_has_a_quota_of_the_cpu_does_not_look_before_sleeping)
{
	const char *group = "/sys/fs/cgroup/openc-test";
	char path[128];

	snprintf(path, sizeof path, "%s/cpu.max", group);
	if (mkdir(group, 0755) < 0 || access(path, W_OK) < 0) {
		rmdir(group);
		printf("SKIP: %s: no control group with cpu.max can be made here\n", __func__);
		return;
	}
	write_file(path, "50000 100000");
	ck_assert_int_eq(look_in_a_group(group), 0);
	write_file(path, "max 100000");
	ck_assert_int_eq(look_in_a_group(group), look_in_a_group(NULL));
	ck_assert_int_eq(rmdir(group), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client-process");
	TCase *t = tcase_create("processes");

	tcase_add_checked_fixture(t, client_setup, client_teardown);
	tcase_set_timeout(t, 60);
	ADD(t, a_child_cannot_use_the_parents_connection);
	ADD(t, a_change_of_identity_makes_a_connection_stale);
	ADD(t, openc_is_open);
	ADD(t, openc_may_be_called_by_many_threads);
	ADD(t, a_fork_in_the_middle_of_a_call_gives_the_child_a_fresh_start);
	ADD(t, no_call_is_a_cancellation_point);
	ADD(t, after_connecting_only_the_promised_calls_are_made);
	ADD(t, a_quota_counts_for_the_groups_below_it);
	ADD(t, who_has_a_quota_of_the_cpu_does_not_look_before_sleeping);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
