/* SPDX-License-Identifier: MIT
 * Where records go: to the journal by its native protocol (a datagram of "NAME=value" lines), else
 * to stderr, a line each. libsystemd's sd_journal_sendv(3) is not used, because it waits when the
 * journal does not read; here nothing may wait.
 *
 * The journal's socket is connected once. Where systemd listens on it, it stays the same when
 * journald restarts; where it does go away, stderr is what remains. stderr is shared with
 * opend, so it is not made non-blocking: a socket is written with MSG_DONTWAIT, anything else
 * only when poll(2) says so, at most PIPE_BUF bytes at once, and under an interval timer that ends
 * the write(2) of whoever lost that race to another writer. */
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include "auditor.h"

enum { GUARD_USEC = 10000, RETRY_USEC = 100000, SNDBUF = 1 << 20 };

uint64_t clock_usec(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int connect_journal(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;
	int size = SNDBUF;

	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return -errno;
	/* A datagram has to fit; as much as net.core.wmem_max permits is more than enough. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	return take_fd(&fd);
}

void sink_init(struct sink *s, const char *journal)
{
	struct stat st;
	int fd = journal ? connect_journal(journal) : -1;

	s->journal = fd >= 0;
	s->fd = s->journal ? fd : STDERR_FILENO;
	s->socket = fstat(STDERR_FILENO, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* retry_after 0: when it is writable. */
static int block(struct sink *s, uint64_t retry_after)
{
	uint64_t now = clock_usec();

	if (!s->blocked_since)
		s->blocked_since = now;
	s->blocked = true;
	s->retry_at = retry_after ? now + retry_after : 0;
	return -EAGAIN;
}

static void unblock(struct sink *s)
{
	s->blocked = false;
	s->blocked_since = 0;
}

/* A full disk and want of memory pass; what else there is, does not. */
static bool passes(int r)
{
	return r == -ENOBUFS || r == -ENOMEM || r == -ENOSPC || r == -EDQUOT || r == -EFBIG;
}

/* ---- the journal ---- */

static int send_journal(struct sink *s, const struct entry *e)
{
	char middle[160];
	int n = snprintf(middle, sizeof middle,
			 "\nPRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_IDENTIFIER=opend%s%s\n",
			 e->priority, LOG_FAC(LOG_AUTHPRIV), e->id ? "\nMESSAGE_ID=" : "",
			 e->id ? e->id : "");
	struct iovec iov[] = {
		{ .iov_base = (char *)"MESSAGE=", .iov_len = 8 },
		{ .iov_base = e->message.buf, .iov_len = e->message.len },
		{ .iov_base = middle, .iov_len = (size_t)n },
		{ .iov_base = e->fields.buf, .iov_len = e->fields.len },
	};
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ELEMENTSOF(iov) };

	if (sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
		unblock(s);
		return 0;
	}
	if (errno == EAGAIN || errno == EINTR)
		return block(s, 0);
	return passes(-errno) ? block(s, RETRY_USEC) : -errno;
}

/* ---- stderr ---- */

static int write_guarded(int fd, const char *buf, size_t len)
{
	const struct itimerval tick = { .it_interval.tv_usec = GUARD_USEC,
					.it_value.tv_usec = GUARD_USEC },
			       off = { .it_value.tv_usec = 0 };
	ssize_t n;
	int r;

	setitimer(ITIMER_REAL, &tick, NULL);
	n = write(fd, buf, len);
	r = n < 0 ? -errno : (int)n;
	setitimer(ITIMER_REAL, &off, NULL);
	return r == -EINTR ? -EAGAIN : r;
}

static int write_some(const struct sink *s, const char *buf, size_t len)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	struct iovec iov = { .iov_base = (char *)buf, .iov_len = len };
	const struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (s->socket) {
		ssize_t n = sendmsg(STDERR_FILENO, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

		return n < 0 ? -errno : (int)n;
	}
	if (poll(&p, 1, 0) <= 0 || !p.revents)
		return -EAGAIN;
	return write_guarded(STDERR_FILENO, buf, UTIL_MIN(len, (size_t)PIPE_BUF));
}

static int flush_stderr(struct sink *s)
{
	while (s->rest_at < s->rest_len) {
		int n = write_some(s, s->rest + s->rest_at, s->rest_len - s->rest_at);

		if (n == -EAGAIN || n == -EINTR)
			return block(s, 0);
		if (passes(n))
			return block(s, RETRY_USEC);
		if (n < 0)
			return n;
		s->rest_at += (size_t)n;
	}
	unblock(s);
	return 0;
}

/* From here on it is written, now or at the next chance. */
static int put_stderr(struct sink *s, const struct entry *e)
{
	struct line l = { .buf = s->rest, .size = sizeof s->rest };
	int r;

	line_addf(&l, "<%d>", e->priority);
	line_add(&l, e->message.buf);
	line_add(&l, e->tail.buf);
	line_add(&l, "\n");
	s->rest_at = 0;
	s->rest_len = l.len;
	r = flush_stderr(s);
	return r == -EAGAIN ? 0 : r;
}

static int abandon_journal(struct sink *s, int error)
{
	static struct entry e;

	s->fd = STDERR_FILENO;
	s->journal = false;
	unblock(s);
	entry_note(&e, LOG_WARNING, "the journal's socket is gone; records go to stderr", error);
	return put_stderr(s, &e);
}

/* ---- either ---- */

int sink_put(struct sink *s, const struct entry *e)
{
	int r;

	if (s->blocked)
		return -EAGAIN;
	if (!s->journal)
		return put_stderr(s, e);
	r = send_journal(s, e);
	if (r == 0 || r == -EAGAIN)
		return r;
	r = abandon_journal(s, -r);
	if (r < 0)
		return r;
	return s->blocked ? -EAGAIN : put_stderr(s, e);
}

int sink_wait_fd(const struct sink *s)
{
	return s->blocked && clock_usec() >= s->retry_at ? s->fd : -1;
}

int sink_retry(struct sink *s)
{
	int r;

	/* Whether it takes the next datagram, only trying tells. */
	if (s->journal) {
		s->blocked = false;
		return 0;
	}
	r = flush_stderr(s);
	return r == -EAGAIN ? 0 : r;
}
