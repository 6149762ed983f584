/* SPDX-License-Identifier: MIT
 * What is physically possible: open(2) itself, and the least that a server of another process can
 * do. It blocks in recv, opens each path it got, sends all descriptors in one message and closes
 * them; it has one client, no policy, no confinement, no check. Its client is as bare. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "bench.h"
#include "wire.h"

enum { FRAME_MAX = 256, ANSWER = 8 };

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(BATCH * sizeof(int))];
};

/* ---- the server ---- */

/* Paths come NUL-terminated, any number in a message. */
static size_t open_all(char *paths, size_t len, int *fds)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC };
	size_t n = 0;

	for (char *p = paths; p < paths + len; p += strlen(p) + 1)
		fds[n++] = (int)syscall(SYS_openat2, AT_FDCWD, p, &how, sizeof how);
	return n;
}

static void send_all(int sock, const int *fds, size_t n)
{
	static char answer[BATCH * ANSWER];
	union control control;
	struct iovec iov = { answer, n * ANSWER };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
			       .cmsg_type = SCM_RIGHTS,
			       .cmsg_len = CMSG_LEN(n * sizeof(int)) };
	memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0)
		exit(2);
}

static void floor_serve(int sock)
{
	static char paths[BATCH * FRAME_MAX];
	int fds[BATCH];
	ssize_t len;

	while ((len = recv(sock, paths, sizeof paths, 0)) > 0) {
		size_t n = open_all(paths, (size_t)len, fds);

		send_all(sock, fds, n);
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
	}
}

/* Takes a frame and gives it back. */
static void echo_serve(int sock)
{
	char frame[FRAME_MAX];
	ssize_t len;

	while ((len = recv(sock, frame, sizeof frame, 0)) > 0)
		send(sock, frame, (size_t)len, MSG_NOSIGNAL);
}

/* ---- its client ---- */

struct caller {
	int sock;
	size_t len, batch;
	char frames[BATCH * FRAME_MAX];
};

static void *begin(const struct place *p, pid_t *server, size_t batch, void (*serve)(int sock))
{
	struct caller *c = calloc(1, sizeof *c);
	char *name = at("run/floor-%d", getpid());
	int listener = listen_on(name);

	if (!c)
		die("no memory");
	*server = serve_from(listener, serve);
	c->sock = connect_to(name);
	c->batch = batch;
	for (size_t i = 0; i < batch; i++) {
		memcpy(c->frames + c->len, p->path, strlen(p->path) + 1);
		c->len += strlen(p->path) + 1;
	}
	return c;
}

static void *begin_sync(const struct place *p, pid_t *server)
{
	return begin(p, server, 1, floor_serve);
}

static void *begin_batch16(const struct place *p, pid_t *server)
{
	return begin(p, server, 16, floor_serve);
}

static void *begin_batch64(const struct place *p, pid_t *server)
{
	return begin(p, server, BATCH, floor_serve);
}

static void receive(int sock, size_t n)
{
	char answer[BATCH * ANSWER];
	union control control;
	struct iovec iov = { answer, sizeof answer };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
	struct cmsghdr *c;
	int fds[BATCH];

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != (ssize_t)(n * ANSWER))
		die("the bare server: short answer");
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_len != CMSG_LEN(n * sizeof(int)))
		die("the bare server: no descriptors");
	memcpy(fds, CMSG_DATA(c), n * sizeof(int));
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

static void block(void *state, size_t n)
{
	struct caller *c = state;

	for (size_t i = 0; i < n; i += c->batch) {
		if (send(c->sock, c->frames, c->len, MSG_NOSIGNAL) < 0)
			die("the bare server: %s", strerror(errno));
		receive(c->sock, c->batch);
	}
}

/* The frame that opend is asked with. */
static void *begin_echo(const struct place *p, pid_t *server)
{
	struct caller *c = begin(p, server, 1, echo_serve);
	const struct wire_request req = { .id = 1, .path = p->path, .path_len = strlen(p->path) };

	if (sizeof(struct wire_open) + req.path_len > FRAME_MAX)
		die("%s: too long", p->path);
	c->len = (size_t)wire_encode_open(c->frames, &req);
	return c;
}

static void block_echo(void *state, size_t n)
{
	struct caller *c = state;
	char answer[FRAME_MAX];

	for (size_t i = 0; i < n; i++)
		if (send(c->sock, c->frames, c->len, MSG_NOSIGNAL) < 0 ||
		    recv(c->sock, answer, sizeof answer, 0) != (ssize_t)c->len)
			die("the echo: %s", strerror(errno));
}

const struct work floor_sync = { begin_sync, block, NULL, 1 };
const struct work floor_batch16 = { begin_batch16, block, NULL, 16 };
const struct work floor_batch64 = { begin_batch64, block, NULL, BATCH };
const struct work bare_echo = { begin_echo, block_echo, NULL, 1 };

/* ---- without a server ---- */

static void *begin_direct(const struct place *p, pid_t *server)
{
	*server = 0;
	return (void *)p->path;
}

static void block_direct(void *state, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int fd = open(state, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			die("%s: %s", (const char *)state, strerror(errno));
		close(fd);
	}
}

static void block_create(void *state, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char path[FRAME_MAX];
		int fd;

		snprintf(path, sizeof path, "%s/%d-%zu", (const char *)state, getpid(), i);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			die("%s: %s", path, strerror(errno));
		close(fd);
	}
}

static void after_create(void *state, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char path[FRAME_MAX];

		snprintf(path, sizeof path, "%s/%d-%zu", (const char *)state, getpid(), i);
		unlink(path);
	}
}

const struct work direct_open = { begin_direct, block_direct, NULL, 1 };
const struct work direct_create = { begin_direct, block_create, after_create, 1 };
