/* SPDX-License-Identifier: MIT
 * A server that lies to libopenc. The first byte says which call is made, the rest what the server
 * sends and when it ends. Every request gets one answer, each descriptor that is handed out is
 * open, none is kept, and messages are clean. */
#include <poll.h>
#include <sys/socket.h>
#include "client/lib/internal.h"
#include "fuzz.h"

enum { REQUESTS = 6 };

struct server {
	struct script script;
	int sock, null_fd;
};

/* One send of the server: so many descriptors, these bytes. */
static void serve(struct server *s)
{
	int fds[4] = { s->null_fd, s->null_fd, s->null_fd, s->null_fd };
	unsigned n = script_byte(&s->script) % 5;
	const uint8_t *bytes;
	size_t len = script_bytes(&s->script, &bytes);

	if (len)
		fdpass_send(s->sock, bytes, len, fds, n);
}

static void is_answer(struct openc_conn *c, const struct openc_result *r, unsigned *seen)
{
	REQUIRE(r->id >= 1 && r->id <= REQUESTS && !(*seen & 1u << r->id));
	*seen |= 1u << r->id;
	REQUIRE(r->fd >= -4095 && (r->fd <= 0 || (r->fd > 2 && fcntl(r->fd, F_GETFD) >= 0)));
	if (r->fd > 0)
		close(r->fd);
	REQUIRE(is_clean_line(openc_message(c)));
}

static void take_all(struct openc_conn *c, unsigned *seen)
{
	struct openc_result r;

	while (openc_take(c, &r, sizeof r) == 1)
		is_answer(c, &r, seen);
}

static void asynchronously(struct openc_conn *c, struct server *s)
{
	struct openc_how how = { .flags = O_RDONLY };
	unsigned seen = 0;
	uint64_t id;

	for (unsigned i = 0; i < REQUESTS; i++) {
		how.flags = i & 1 ? O_RDWR | O_CREAT : O_RDONLY;
		how.ask = i == 2 ? OPENC_DRY_RUN : i == 3 ? OPENC_TEXT : 0;
		REQUIRE(openc_submit(c, "/x", &how, sizeof how, &id) == 0 && id == i + 1);
	}
	if (script_byte(&s->script) & 1) {
		REQUIRE(openc_cancel(c, REQUESTS) == 0);
		seen |= 1u << REQUESTS;
	}
	while (s->script.len) {
		serve(s);
		openc_process(c);
		take_all(c, &seen);
	}
	shutdown(s->sock, SHUT_RDWR);
	while (openc_process(c) >= 0 && seen != (2u << REQUESTS) - 2)
		take_all(c, &seen);
	take_all(c, &seen);
	REQUIRE(seen == (2u << REQUESTS) - 2);
}

static void give_back(int fd)
{
	REQUIRE(fd >= -4095 && (fd <= 0 || (fd > 2 && fcntl(fd, F_GETFD) >= 0)));
	if (fd > 0)
		close(fd);
}

/* What the server has to say lies in the socket before it is asked. */
static void synchronously(struct openc_conn *c, struct server *s, unsigned call)
{
	static const char *const paths[] = { "/a", "/b", "/c" };
	struct openc_result results[ELEMENTSOF(paths)];
	_cleanup_free_ char *info = NULL;
	struct pollfd full = { .fd = s->sock, .events = POLLOUT };
	int r;

	while (s->script.len && poll(&full, 1, 0) == 1)
		serve(s);
	shutdown(s->sock, SHUT_WR);
	switch (call) {
	case 1:
		give_back(openc_open(c, "/a", O_RDONLY, 0));
		break;
	case 2:
		r = openc_whoami(c, &info);
		REQUIRE(r < 0 || (r == 0 && info));
		break;
	case 3:
		give_back(openc_rules(c));
		break;
	default:
		r = openc_open_many(c, paths, 3, NULL, 0, results, sizeof *results, call == 4);
		REQUIRE(r >= -4095 && r <= 3);
		for (size_t i = 0; i < ELEMENTSOF(paths); i++)
			give_back(results[i].fd);
	}
	REQUIRE(is_clean_line(openc_message(c)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct server s = { .script = { data, size } };
	unsigned before = count_fds(), call = script_byte(&s.script) % 6;
	struct openc_conn *c;
	char address[32];
	int sv[2];

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
	s.sock = sv[1];
	s.null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	snprintf(address, sizeof address, "fd:%d", sv[0]);
	REQUIRE(s.null_fd >= 0 && openc_new(&c, address) == 0);
	REQUIRE(openc_set_poll(c, 0) == 0 && openc_set_timeout(c, 2000) == 0);
	if (call == 0)
		asynchronously(c, &s);
	else
		synchronously(c, &s, call);
	openc_free(c);
	close(s.sock);
	close(s.null_fd);
	REQUIRE(count_fds() == before);
	return 0;
}
