/* SPDX-License-Identifier: MIT
 * See harness-client.h. */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include "fdpass.h"
#include "harness-client.h"

enum { FILES = 4 };

static char directory[64], socket_path[96], files[FILES][96];
static pid_t server;
static int descriptors_before;

/* ---- tests ---- */

static int count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	ck_assert(d != NULL);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

void client_setup(void)
{
	unsetenv("OPENC_SOCKET");
	snprintf(directory, sizeof directory, "/tmp/openc-test.XXXXXX");
	ck_assert(mkdtemp(directory) != NULL);
	chmod(directory, 0755);
	snprintf(socket_path, sizeof socket_path, "%s/socket", directory);
	for (int i = 0; i < FILES; i++) {
		_cleanup_fclose_ FILE *f = NULL;

		snprintf(files[i], sizeof files[i], "%s/file%d", directory, i);
		f = fopen(files[i], "we");
		ck_assert(f != NULL);
		fprintf(f, "content %d\n", i);
	}
	server = 0;
	descriptors_before = count_descriptors();
}

void client_teardown(void)
{
	ck_assert_msg(server == 0, "the test left its server running");
	ck_assert_msg(count_descriptors() == descriptors_before, "%d descriptors leaked",
		      count_descriptors() - descriptors_before);
	for (int i = 0; i < FILES; i++)
		unlink(files[i]);
	unlink(socket_path);
	ck_assert_msg(rmdir(directory) == 0, "the test left files in %s", directory);
}

const char *test_file(int n)
{
	return files[n];
}

ino_t inode_of(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_ino;
}

void is_file(int fd, const char *path)
{
	struct stat st;

	ck_assert_msg(fd >= 3, "no descriptor: %s", fd < 0 ? strerror(-fd) : "too low");
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_ino, inode_of(path));
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
}

static bool says_something(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value;
}

const char *own_system_calls(void)
{
	if (says_something("SANITIZE"))
		return "a sanitizer makes calls of its own";
	return says_something("VALGRIND") ? "valgrind makes calls of its own" : NULL;
}

const char *own_limits(void)
{
	return says_something("VALGRIND") ? "valgrind has a limit of descriptors of its own" : NULL;
}

void sleep_ms(int ms)
{
	poll(NULL, 0, ms);
}

long elapsed_ms(void)
{
	static struct timespec last;
	struct timespec now;
	long ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (now.tv_sec - last.tv_sec) * 1000 + (now.tv_nsec - last.tv_nsec) / 1000000;
	last = now;
	return ms;
}

int run_suite(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- the server's process ---- */

void script_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: the server expected: %s\n", file, line, what);
	_exit(1);
}

/* Returns in the child only. */
static bool fork_server(void)
{
	fflush(NULL);
	server = fork();
	ck_assert(server >= 0);
	if (server == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return server == 0;
}

struct openc_conn *client_of(script_fn script)
{
	struct openc_conn *c;
	char address[16];
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	if (fork_server()) {
		close(pair[0]);
		script(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	snprintf(address, sizeof address, "fd:%d", pair[0]);
	ck_assert_int_eq(openc_new(&c, address), 0);
	return c;
}

static int bind_socket(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof a.sun_path, "%s", socket_path);
	must(sock >= 0 && bind(sock, (struct sockaddr *)&a, sizeof a) == 0);
	must(listen(sock, 8) == 0);
	return sock;
}

void server_listen(const script_fn *scripts, int pause_ms)
{
	int listener = bind_socket();

	if (!fork_server()) {
		close(listener);
		return;
	}
	for (; *scripts; scripts++) {
		int sock = accept(listener, NULL, NULL);

		must(sock >= 0);
		if (pause_ms) {
			close(listener);
			unlink(socket_path);
		}
		(*scripts)(sock);
		close(sock);
		if (pause_ms) {
			sleep_ms(pause_ms);
			listener = bind_socket();
		}
	}
	_exit(0);
}

const char *server_path(void)
{
	return socket_path;
}

void server_end(void)
{
	int status;

	ck_assert_int_eq(waitpid(server, &status, 0), server);
	server = 0;
	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		      "the server was not content: status %d", status);
}

void server_kill(void)
{
	kill(server, SIGKILL);
	ck_assert_int_eq(waitpid(server, NULL, 0), server);
	server = 0;
}

/* ---- scripts ---- */

static bool read_whole(int sock, char *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(sock, buf + got, len - got);

		must(n >= 0 || errno == ECONNRESET);
		must(n > 0 || got == 0);
		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return true;
}

bool read_ask(int sock, struct ask *ret)
{
	size_t rest;

	if (!read_whole(sock, ret->frame, sizeof ret->header))
		return false;
	must(wire_frame(ret->frame, sizeof ret->header, WIRE_REQUEST_MAX, &ret->header) >= 0);
	must(ret->header.nfds == 0 && ret->header.id != 0);
	rest = ret->header.size - sizeof ret->header;
	must(read_whole(sock, ret->frame + sizeof ret->header, rest) || rest == 0);
	if (ret->header.type == WIRE_OPEN) {
		must(wire_decode_open(ret->frame, ret->header.size, &ret->open) == 0);
		memcpy(ret->path, ret->open.path, ret->open.path_len);
		ret->path[ret->open.path_len] = 0;
	}
	return true;
}

void next_ask(int sock, struct ask *ret)
{
	must(read_ask(sock, ret));
}

void wait_for_end(int sock)
{
	char byte;

	must(read(sock, &byte, 1) <= 0);
}

void send_bytes(int sock, const void *buf, size_t len, const int *fds, size_t n)
{
	size_t sent = 0;

	while (sent < len) {
		struct pollfd p = { .fd = sock, .events = POLLOUT };
		int r = fdpass_send(sock, (const char *)buf + sent, len - sent, fds, n);

		if (r == -EAGAIN) {
			poll(&p, 1, -1);
			continue;
		}
		must(r > 0);
		sent += (size_t)r;
		n = 0;
	}
}

size_t grant_frame(void *buf, uint64_t id, int fd)
{
	struct stat st;
	struct wire_outcome out = { .id = id, .nfds = 1, .generation = 7, .serial = 9 };

	must(fstat(fd, &st) == 0);
	out.mode = st.st_mode;
	out.dev = st.st_dev;
	out.ino = st.st_ino;
	out.size = (uint64_t)st.st_size;
	return (size_t)wire_encode_result(buf, sizeof(struct wire_result), &out);
}

void send_grant(int sock, uint64_t id, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	char frame[sizeof(struct wire_result)];

	must(fd >= 0);
	send_bytes(sock, frame, grant_frame(frame, id, fd), &fd, 1);
}

void send_refusal(int sock, uint64_t id, int error, int reason, const char *text)
{
	struct wire_outcome out = { .id = id,
				    .error = error,
				    .reason = (uint16_t)reason,
				    .lacked = WIRE_READ,
				    .generation = 7,
				    .text = text,
				    .text_len = text ? strlen(text) : 0 };
	char frame[WIRE_REPLY_MAX];
	int len = wire_encode_result(frame, sizeof frame, &out);

	must(len > 0);
	send_bytes(sock, frame, (size_t)len, NULL, 0);
}

void send_goodbye(int sock, int reason)
{
	const char body[4] = { (char)reason };
	char frame[sizeof(struct wire_goodbye)];

	must(wire_encode_plain(frame, sizeof frame, WIRE_GOODBYE, 0, 0, body, sizeof body) == 20);
	send_bytes(sock, frame, sizeof frame, NULL, 0);
}

void serve_files(int sock)
{
	struct ask ask;

	while (read_ask(sock, &ask)) {
		must(ask.header.type == WIRE_OPEN);
		if (access(ask.path, F_OK) == 0)
			send_grant(sock, ask.header.id, ask.path);
		else
			send_refusal(sock, ask.header.id, errno, WIRE_KERNEL, NULL);
	}
}
