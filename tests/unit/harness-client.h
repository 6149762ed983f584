/* SPDX-License-Identifier: MIT
 * A server that does what a test says: a script run in a child process on the other end of a real
 * socket. What the script finds wrong ends it with a message and a status that server_end() sees.
 * Every test of the library is checked for leaked descriptors. */
#ifndef TESTS_UNIT_HARNESS_CLIENT_H
#define TESTS_UNIT_HARNESS_CLIENT_H

#include <check.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "openc.h"
#include "util.h"
#include "wire.h"

typedef void (*script_fn)(int sock);

/* Connections over a socketpair, given to the library as "fd:N". */
struct openc_conn *client_of(script_fn script);

/* A listening socket; its path is server_path(). Connection n is served by scripts[n], NULL ends
 * the list. pause_ms: how long after connection n the socket is away, as in a restart. */
void server_listen(const script_fn *scripts, int pause_ms);
const char *server_path(void);

/* Waits for the script's end and fails the test unless it was content. */
void server_end(void);
/* Stops it wherever it is. */
void server_kill(void);

/* ---- for scripts ---- */

#define must(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			script_failed(__FILE__, __LINE__, #condition);                             \
	} while (0)
_Noreturn void script_failed(const char *file, int line, const char *what);

struct ask {
	struct wire_header header;
	struct wire_request open; /* when header.type is WIRE_OPEN */
	char frame[WIRE_REQUEST_MAX];
	char path[WIRE_PATH_MAX + 1];
};

/* Reads one request, not a byte more. False: end of file. */
bool read_ask(int sock, struct ask *ret);
/* The same, and there must be one. */
void next_ask(int sock, struct ask *ret);
/* Until end of file: the client is through. */
void wait_for_end(int sock);

/* One grant of the file at `path`, or a refusal, as a frame in buf (64 bytes). */
size_t grant_frame(void *buf, uint64_t id, int fd);
void send_grant(int sock, uint64_t id, const char *path);
void send_refusal(int sock, uint64_t id, int error, int reason, const char *text);
void send_goodbye(int sock, int reason);
void send_bytes(int sock, const void *buf, size_t len, const int *fds, size_t n);
/* Answers every OPEN with the file itself, until end of file. */
void serve_files(int sock);

/* ---- for tests ---- */

const char *test_file(int n); /* one of a few files with different content */
ino_t inode_of(const char *path);
/* Why a test cannot run in this kind of build or under this tool, or NULL. */
const char *own_system_calls(void); /* a sanitizer or valgrind makes some of its own */
const char *own_limits(void);	    /* valgrind answers RLIMIT_NOFILE itself */
void is_file(int fd, const char *path); /* it is, CLOEXEC and >= 3; closes it */
void sleep_ms(int ms);
long elapsed_ms(void); /* since the last call */

/* As in tcase_add_checked_fixture(): a test directory, and the count of open descriptors. */
void client_setup(void);
void client_teardown(void);

#define ADD(tcase, test) tcase_add_test(tcase, test)
/* Runs one suite; returns main()'s status. */
int run_suite(Suite *suite);

#endif
