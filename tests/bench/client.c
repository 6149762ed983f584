/* SPDX-License-Identifier: MIT
 * opend's clients, all through libopenc as a program would. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "bench.h"
#include "openc.h"

enum { DEPTH = 16, THINKING_NS = 200000 };

struct client {
	struct openc_conn *conn;
	const char *socket, *path;
	const char *paths[BATCH];
	struct openc_result results[BATCH];
	uid_t next_uid;
	size_t created;
};

static void check(const struct client *c, int r)
{
	if (r < 0)
		die("%s: %s", c->path,
		    c->conn && *openc_message(c->conn) ? openc_message(c->conn) : strerror(-r));
}

static void *begin(const struct place *p, pid_t *server)
{
	struct client *c = calloc(1, sizeof *c);

	if (!c)
		die("no memory");
	*server = 0; /* whoever started opend looks for its worker */
	c->socket = p->socket;
	c->path = p->path;
	for (size_t i = 0; i < BATCH; i++)
		c->paths[i] = p->path;
	return c;
}

/* Connected, and known to the worker. */
static void *begin_connected(const struct place *p, pid_t *server)
{
	struct client *c = begin(p, server);
	char *who;

	check(c, openc_new(&c->conn, c->socket));
	check(c, openc_whoami(c->conn, &who));
	free(who);
	return c;
}

static void *begin_asleep(const struct place *p, pid_t *server)
{
	struct client *c = begin_connected(p, server);

	check(c, openc_set_poll(c->conn, 0));
	return c;
}

static void block_sync(void *state, size_t n)
{
	struct client *c = state;

	for (size_t i = 0; i < n; i++) {
		int fd = openc_open(c->conn, c->path, O_RDONLY, 0);

		check(c, fd);
		close(fd);
	}
}

static void block_denial(void *state, size_t n)
{
	struct client *c = state;

	for (size_t i = 0; i < n; i++)
		if (openc_open(c->conn, c->path, O_RDONLY, 0) != -EACCES)
			die("%s: not refused", c->path);
}

static void block_batch(void *state, size_t n)
{
	struct client *c = state;

	for (size_t i = 0; i < n; i += BATCH) {
		int r = openc_open_many(c->conn, c->paths, BATCH, NULL, 0, c->results,
					sizeof *c->results, 0);

		check(c, r == BATCH || r < 0 ? r : -EIO);
		for (size_t k = 0; k < BATCH; k++)
			close(c->results[k].fd);
	}
}

static void await(struct client *c)
{
	struct pollfd p = { openc_get_fd(c->conn), (short)openc_get_events(c->conn), 0 };
	int timeout = openc_get_timeout(c->conn);

	if (poll(&p, 1, timeout) < 0)
		die("poll: %s", strerror(errno));
}

/* A loop as a program's own would be, that keeps sixteen requests in flight. */
static void block_async(void *state, size_t n)
{
	struct client *c = state;
	size_t asked = 0, taken = 0;

	while (taken < n) {
		struct openc_result result;
		int r;

		for (; asked < n && asked < taken + DEPTH; asked++)
			check(c, openc_submit(c->conn, c->path, NULL, 0, NULL));
		check(c, openc_process(c->conn));
		while ((r = openc_take(c->conn, &result, sizeof result)) > 0) {
			check(c, result.fd);
			close(result.fd);
			taken++;
		}
		check(c, r);
		if (taken < n && (asked == taken + DEPTH || asked == n))
			await(c);
	}
}

static void name_new(const struct client *c, char *buf, size_t size, size_t i)
{
	snprintf(buf, size, "%s/%d-%zu", c->path, getpid(), i);
}

static void block_create(void *state, size_t n)
{
	struct client *c = state;

	for (size_t i = 0; i < n; i++) {
		char path[256];
		int fd;

		name_new(c, path, sizeof path, i);
		fd = openc_open(c->conn, path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		check(c, fd);
		close(fd);
	}
}

static void after_create(void *state, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char path[256];

		name_new(state, path, sizeof path, i);
		unlink(path);
	}
}

static void block_connect(void *state, size_t n)
{
	struct client *c = state;

	for (size_t i = 0; i < n; i++) {
		check(c, openc_new(&c->conn, c->socket));
		block_sync(c, 1);
		c->conn = openc_free(c->conn);
	}
}

/* Each time somebody whom opend has never seen. The agent stays root, so that it can be all of
 * them; what counts at connect(2) is the effective id. */
static void block_newcomer(void *state, size_t n)
{
	struct client *c = state;

	for (size_t i = 0; i < n; i++) {
		uid_t uid = NEWCOMER + c->next_uid++;

		if (setegid(uid) < 0 || seteuid(uid) < 0)
			die("cannot become uid %u: %s", uid, strerror(errno));
		block_connect(c, 1);
		if (seteuid(0) < 0 || setegid(0) < 0)
			die("cannot become root again: %s", strerror(errno));
	}
}

/* A program that works between two opens, on a processor: what it takes for that is known. */
static void think(void)
{
	uint64_t end = cpu_ns_of(0) + THINKING_NS;

	while (cpu_ns_of(0) < end)
		;
}

static void block_think(void *state, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		block_sync(state, 1);
		think();
	}
}

const struct work opend_sync = { begin_connected, block_sync, NULL, 1 };
const struct work opend_asleep = { begin_asleep, block_sync, NULL, 1 };
const struct work opend_async16 = { begin_connected, block_async, NULL, DEPTH };
const struct work opend_batch64 = { begin_connected, block_batch, NULL, BATCH };
const struct work opend_create = { begin_connected, block_create, after_create, 1 };
const struct work opend_denial = { begin_connected, block_denial, NULL, 1 };
const struct work opend_connect = { begin, block_connect, NULL, 1 };
const struct work opend_newcomer = { begin, block_newcomer, NULL, 1 };
const struct work opend_think = { begin_connected, block_think, NULL, 1 };
const struct work opend_think_asleep = { begin_asleep, block_think, NULL, 1 };
