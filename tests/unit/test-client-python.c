/* SPDX-License-Identifier: MIT
 * openc.py against the same scripted servers as libopenc: a second client of the protocol, written
 * from its page. A line of Python per test; what is not so raises AssertionError. */
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <linux/sockios.h>
#include <sys/wait.h>
#include "harness-client.h"

#define PRELUDE                                                                                    \
	"import errno, os, sys\n"                                                                  \
	"sys.path.insert(0, 'client/python')\n"                                                    \
	"sys.dont_write_bytecode = True\n"                                                         \
	"import openc\n"                                                                           \
	"F = sys.argv[1:]\n"                                                                       \
	"def fds(): return len(os.listdir('/proc/self/fd'))\n"                                     \
	"def refused(call, *args, **more):\n"                                                      \
	"    try: call(*args, **more)\n"                                                           \
	"    except openc.Error as e: return e.errno, e.reason\n"                                  \
	"    assert False, 'not refused'\n"                                                        \
	"before = fds()\n"                                                                         \
	"c = openc.Connection()\n"
#define EPILOGUE                                                                                   \
	"\nc.close()\n"                                                                            \
	"assert fds() == before, 'descriptors leaked'\n"

static bool python_is_missing(const char *test)
{
	if (system("command -v python3 >/dev/null") == 0)
		return false;
	printf("SKIP: %s: there is no python3 here\n", test);
	return true;
}

/* Runs it with the test files as F and the server's address in the environment. */
static void python(const char *program)
{
	_cleanup_free_ char *text = NULL;
	int status;
	pid_t pid;

	ck_assert(asprintf(&text, "%s%s%s", PRELUDE, program, EPILOGUE) > 0);
	pid = fork();
	if (pid == 0) {
		setenv("OPENC_SOCKET", server_path(), 1);
		execlp("python3", "python3", "-c", text, test_file(0), test_file(1), test_file(2),
		       test_file(3), NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg(status == 0, "python3 ended with status %#x", (unsigned)status);
}

static void python_with(const char *test, const script_fn *scripts, const char *program)
{
	if (python_is_missing(test))
		return;
	server_listen(scripts, 0);
	python(program);
	server_end();
}

START_TEST(files_and_refusals)
{
	static const script_fn scripts[] = { serve_files, NULL };

	python_with(__func__, scripts,
		    "for i in range(4):\n"
		    "    with c.open(F[i]) as f: assert f.read() == 'content %d\\n' % i\n"
		    "fd = c.open_fd(F[1])\n"
		    "assert fd > 2 and not os.get_inheritable(fd)\n"
		    "assert os.fstat(fd).st_ino == os.stat(F[1]).st_ino\n"
		    "os.close(fd)\n"
		    "assert refused(c.open, '/nonexistent') == (errno.ENOENT, 40)\n"
		    "try: c.open('/nonexistent')\n"
		    "except FileNotFoundError as e: assert e.filename == '/nonexistent'\n"
		    "assert refused(c.open, '/' + 'x' * 4095) == (errno.ENAMETOOLONG, 21)\n"
		    "assert refused(c.open_fd, '/a', os.O_CREAT, 0o4755) == (errno.EINVAL, 22)\n"
		    "many = c.ask_many([F[0], '/nonexistent', F[2]])\n"
		    "assert [getattr(r, 'errno', 0) for r in many] == [0, errno.ENOENT, 0]\n"
		    "assert many[2].ino == os.stat(F[2]).st_ino and many[2].generation == 7\n"
		    "for r in many[::2]: os.close(r.fd)\n");
}
END_TEST

static void answer_in_bytes(int sock)
{
	struct ask ask;
	char frame[64];

	while (read_ask(sock, &ask)) {
		_cleanup_close_ int fd = open(ask.path, O_RDONLY | O_CLOEXEC);
		size_t len = grant_frame(frame, ask.header.id, fd);

		for (size_t i = 0; i < len; i++)
			send_bytes(sock, frame + i, 1, &fd, i == 0);
	}
}

START_TEST(answers_in_single_bytes)
{
	static const script_fn scripts[] = { answer_in_bytes, NULL };

	python_with(__func__, scripts,
		    "for i in range(4):\n"
		    "    with c.open(F[i]) as f: assert f.read() == 'content %d\\n' % i\n");
}
END_TEST

static void stop_at_253(int sock)
{
	struct ask ask;
	int unread = 0, queued;

	while (read_ask(sock, &ask)) {
		if (unread == WIRE_FDS_MAX) {
			while (ioctl(sock, SIOCOUTQ, &queued) == 0 && queued > 0)
				sleep_ms(1);
			unread = 0;
		}
		send_grant(sock, ask.header.id, test_file(0));
		unread++;
	}
}

START_TEST(a_batch_of_1000_does_not_lock_up)
{
	static const script_fn scripts[] = { stop_at_253, NULL };
	struct rlimit limit = { 4096, 4096 };

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	python_with(__func__, scripts,
		    "many = c.ask_many(['/' + 'x' * 4000] * 1000)\n"
		    "assert all(r.ino == os.stat(F[0]).st_ino for r in many)\n"
		    "for r in many: os.close(r.fd)\n");
}
END_TEST

static void goodbye(int sock)
{
	struct ask ask;

	next_ask(sock, &ask);
	send_grant(sock, ask.header.id, ask.path);
	send_goodbye(sock, WIRE_RESTART);
}

static void end_of_file(int sock)
{
	struct ask ask;

	next_ask(sock, &ask);
}

START_TEST(goodbye_and_end_of_file)
{
	static const script_fn scripts[] = { goodbye, serve_files, end_of_file, serve_files, NULL };

	python_with(__func__, scripts,
		    "many = c.ask_many(F)\n"
		    "for i, r in enumerate(many):\n"
		    "    assert r.ino == os.stat(F[i]).st_ino\n"
		    "    os.close(r.fd)\n"
		    "c.close()\n"
		    "c = openc.Connection()\n"
		    "assert refused(c.open_fd, F[0], os.O_CREAT | os.O_EXCL) =="
		    " (errno.ECONNRESET, 101)\n"
		    "os.close(c.open_fd(F[0]))\n");
}
END_TEST

static void answer_late(int sock)
{
	struct ask first, second;

	next_ask(sock, &first);
	next_ask(sock, &second);
	send_grant(sock, first.header.id, first.path);
	send_grant(sock, second.header.id, second.path);
	wait_for_end(sock);
}

START_TEST(a_late_answer_is_not_taken_for_the_next)
{
	static const script_fn scripts[] = { wait_for_end, answer_late, NULL };

	python_with(__func__, scripts,
		    "import socket\n"
		    "c.close()\n"
		    "s = socket.socket(socket.AF_UNIX)\n"
		    "s.connect(os.environ['OPENC_SOCKET'])\n"
		    "c = openc.Connection('fd:%d' % s.detach(), timeout=0.1)\n"
		    "assert refused(c.open, F[1]) == (errno.ETIMEDOUT, 102)\n"
		    "c.timeout = 10\n"
		    "with c.open(F[2]) as f: assert f.read() == 'content 2\\n'\n");
}
END_TEST

static void answer_wrong(int sock)
{
	struct wire_outcome out = { .id = 99, .error = EACCES };
	char frame[64];
	struct ask ask;

	next_ask(sock, &ask);
	send_bytes(sock, frame, (size_t)wire_encode_result(frame, sizeof frame, &out), NULL, 0);
	wait_for_end(sock);
}

static void answer_huge(int sock)
{
	char frame[64];
	struct ask ask;

	memset(frame, 0xff, sizeof frame);
	next_ask(sock, &ask);
	send_bytes(sock, frame, sizeof frame, NULL, 0);
	wait_for_end(sock);
}

START_TEST(what_is_no_answer_ends_the_connection)
{
	static const script_fn scripts[] = { answer_wrong, answer_huge, NULL };

	python_with(__func__, scripts,
		    "assert refused(c.open, F[1]) == (errno.ECONNRESET, 101)\n"
		    "assert refused(c.open, F[1]) == (errno.ECONNRESET, 101)\n");
}
END_TEST

START_TEST(a_child_cannot_use_the_parents_connection)
{
	static const script_fn scripts[] = { serve_files, NULL };

	python_with(__func__, scripts,
		    "pid = os.fork()\n"
		    "if pid == 0: os._exit(refused(c.open, F[1])[0] != errno.ECHILD)\n"
		    "assert os.waitpid(pid, 0)[1] == 0\n"
		    "with c.open(F[2]) as f: assert f.read() == 'content 2\\n'\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client-python");
	TCase *t = tcase_create("openc.py");

	tcase_add_checked_fixture(t, client_setup, client_teardown);
	tcase_set_timeout(t, 60);
	ADD(t, files_and_refusals);
	ADD(t, answers_in_single_bytes);
	ADD(t, a_batch_of_1000_does_not_lock_up);
	ADD(t, goodbye_and_end_of_file);
	ADD(t, a_late_answer_is_not_taken_for_the_next);
	ADD(t, what_is_no_answer_ends_the_connection);
	ADD(t, a_child_cannot_use_the_parents_connection);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
