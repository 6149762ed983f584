/* SPDX-License-Identifier: MIT
 * Asking: the same question by the library and by the program, and by frames made by hand. */
#include <poll.h>
#include <sys/un.h>
#include "fdpass.h"
#include "harness.h"
#include "harness-private.h"

struct openc_conn *connect_to(const char *socket)
{
	struct openc_conn *c = NULL;

	ok(openc_new(&c, socket));
	return c;
}

int verdict(struct openc_conn *c, const char *path, int flags)
{
	int fd = openc_open(c, path, flags, 0);

	if (fd < 0)
		return -fd;
	ensure(fd >= 3, "descriptor %d", fd);
	close_fd(fd);
	return 0;
}

static void ask_library(const struct ask *a)
{
	struct openc_conn *c = connect_to(a->socket);
	struct openc_how how = { .flags = (uint32_t)a->flags };
	struct openc_result result = { 0 };
	int r = openc_open_how(c, a->path, &how, sizeof how, &result, sizeof result);
	struct stat st;

	ensure(result.fd == r, "%s: %d, but the result says %d", a->path, r, result.fd);
	if (a->error) {
		ensure(r == -a->error && result.reason == a->reason,
		       "%s: %s, reason %u; not %s, reason %d; %s", a->path,
		       r < 0 ? strerror(-r) : "granted", result.reason, strerror(a->error),
		       a->reason, openc_message(c));
		ensure(strlen(openc_message(c)) > 0, "a refusal without a word");
	} else {
		ensure(r >= 3, "%s: %s, reason %u; %s", a->path, strerror(r < 0 ? -r : 0),
		       result.reason, openc_message(c));
		sys(fstat(r, &st));
		ensure(st.st_dev == a->st.st_dev && st.st_ino == a->st.st_ino,
		       "%s: another file came", a->path);
		ensure(result.dev == st.st_dev && result.ino == st.st_ino &&
			       result.mode == st.st_mode && result.size == (uint64_t)st.st_size,
		       "%s: the result describes another file", a->path);
		ensure(fcntl(r, F_GETFD) & FD_CLOEXEC, "%s: not close-on-exec", a->path);
		close_fd(r);
	}
	openc_free(c);
}

static void ask_program(const struct ask *a)
{
	struct program p = RUN(staged("openc"), "--socket", a->socket, "cat", a->path);

	if (a->error) {
		ensure(p.status == 1, "openc cat %s: status %d; %s", a->path, p.status, p.err);
		ensure(p.out_len == 0, "openc cat %s: printed something all the same", a->path);
		ensure(p.err_len > 10, "openc cat %s: no reason given: \"%s\"", a->path, p.err);
	} else {
		ensure(p.status == 0, "openc cat %s: status %d; %s", a->path, p.status, p.err);
		ensure(p.out_len == strlen(a->content) && !memcmp(p.out, a->content, p.out_len),
		       "openc cat %s: printed \"%s\"", a->path, p.out);
		ensure(p.err_len == 0, "openc cat %s: also said \"%s\"", a->path, p.err);
	}
}

static void ask_both(void *arg)
{
	const struct ask *a = arg;

	ask_library(a);
	if ((a->error || a->content) && (a->flags & ~O_CLOEXEC) == O_RDONLY)
		ask_program(a);
}

void ask_for(const struct opend *o, struct who who, const char *path, int flags,
	     const char *content)
{
	struct ask a = { .socket = o->socket, .path = path, .flags = flags, .content = content };

	sys(stat(path, &a.st));
	as(who, ask_both, &a);
}

void ask_refused(const struct opend *o, struct who who, const char *path, int flags, int error,
		 int reason)
{
	struct ask a = {
		.socket = o->socket, .path = path, .flags = flags, .error = error, .reason = reason
	};

	as(who, ask_both, &a);
}

/* ---- raw frames ---- */

struct raw raw_connect(const char *socket_path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct raw r = { .fd = (int)sys(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) };

	ensure(strlen(socket_path) < sizeof a.sun_path, "%s: too long", socket_path);
	memcpy(a.sun_path, socket_path, strlen(socket_path));
	sys(connect(r.fd, (struct sockaddr *)&a, sizeof a));
	return r;
}

void raw_close(struct raw *r)
{
	ensure(r->n_fds == 0, "%zu descriptors came that belong to no reply", r->n_fds);
	r->fd = close_fd(r->fd);
}

void raw_send(struct raw *r, const void *buf, size_t len)
{
	for (size_t done = 0; done < len;)
		done += (size_t)sys(
			send(r->fd, (const char *)buf + done, len - done, MSG_NOSIGNAL));
}

size_t raw_open(void *buf, uint64_t id, const char *path, int flags)
{
	struct wire_request req = { .id = id,
				    .flags = (uint32_t)flags,
				    .mode = 0666,
				    .umask = 022,
				    .path = path,
				    .path_len = strlen(path) };

	return (size_t)ok(wire_encode_open(buf, &req));
}

/* Exactly len bytes. Descriptors come no later than the first byte of their frame: they queue. */
static int raw_read(struct raw *r, char *buf, size_t len, int64_t deadline)
{
	for (size_t done = 0; done < len;) {
		int64_t left = deadline - now_msec();
		struct pollfd p = { .fd = r->fd, .events = POLLIN };
		size_t n;
		int got;

		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return -ETIMEDOUT;
		ensure(r->n_fds <= ELEMENTSOF(r->fds) - FDPASS_MAX, "too many descriptors");
		got = fdpass_recv(r->fd, buf + done, len - done, r->fds + r->n_fds, FDPASS_MAX, &n);
		if (got == -EAGAIN)
			continue;
		if (got <= 0)
			return got;
		r->n_fds += n;
		done += (size_t)got;
	}
	return (int)len;
}

int raw_recv(struct raw *r, void *buf, int *ret_fd, int msec)
{
	int64_t deadline = now_msec() + patience(msec);
	struct wire_header h;
	int got;

	*ret_fd = -1;
	got = raw_read(r, buf, sizeof h, deadline);
	if (got <= 0)
		return got;
	ensure(wire_frame(buf, sizeof h, WIRE_REPLY_MAX, &h) >= 0, "a frame of %u bytes", h.size);
	got = raw_read(r, (char *)buf + sizeof h, h.size - sizeof h, deadline);
	if (got <= 0 && h.size > sizeof h)
		return got;
	ensure(h.nfds <= 1 && h.nfds <= r->n_fds, "%u descriptors promised, %zu came", h.nfds,
	       r->n_fds);
	if (h.nfds) {
		*ret_fd = r->fds[0];
		memmove(r->fds, r->fds + 1, --r->n_fds * sizeof(int));
	}
	return (int)h.size;
}

struct wire_outcome raw_result(struct raw *r, uint64_t id, int *ret_fd)
{
	/* The outcome's text points into it. */
	static char frame[WIRE_REPLY_MAX];
	struct wire_outcome out;
	int size = raw_recv(r, frame, ret_fd, 10000);

	ensure(size > 0, "no reply to request %llu: %s", (unsigned long long)id,
	       size ? strerror(-size) : "end of file");
	ensure(wire_decode_result(frame, (size_t)size, &out) == 0, "not a RESULT");
	ensure(!id || out.id == id, "reply to %llu, not to %llu", (unsigned long long)out.id,
	       (unsigned long long)id);
	ensure((out.error == 0) == (*ret_fd >= 0), "errno %d, descriptor %d", out.error, *ret_fd);
	return out;
}

void raw_works(struct raw *r, uint64_t id, const char *path)
{
	char frame[WIRE_REQUEST_MAX];
	struct wire_outcome out;
	struct stat st;
	int fd;

	raw_send(r, frame, raw_open(frame, id, path, O_RDONLY));
	out = raw_result(r, id, &fd);
	ensure(!out.error, "%s: %s, reason %u: %.*s", path, strerror(out.error), out.reason,
	       (int)out.text_len, out.text);
	sys(fstat(fd, &st));
	ensure(st.st_ino == out.ino && st.st_dev == out.dev, "%s: another file came", path);
	close_fd(fd);
}

bool raw_ended(struct raw *r, int *ret_goodbye, int msec)
{
	char frame[WIRE_REPLY_MAX];
	int64_t deadline = now_msec() + msec;
	int fd, size;

	*ret_goodbye = -1;
	while ((size = raw_recv(r, frame, &fd, (int)(deadline - now_msec()))) > 0) {
		struct wire_goodbye g;

		close_fd(fd);
		memcpy(&g, frame, sizeof g);
		if (g.header.type == WIRE_GOODBYE && size == sizeof g)
			*ret_goodbye = g.reason;
	}
	return size != -ETIMEDOUT;
}
