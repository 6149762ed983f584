/* SPDX-License-Identifier: MIT
 * Descriptor passing. cmsg_len is what the kernel wrote, but the kernel installs as many
 * descriptors as the padded buffer holds: CMSG_SPACE(1 int) has room for two. So every one that
 * came is taken, and more than the caller has room for are closed, not leaked. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "fdpass.h"
#include "util.h"

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(FDPASS_MAX * sizeof(int))];
};

int fdpass_send(int sock, const void *buf, size_t len, const int *fds, size_t n)
{
	union control control;
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (n > FDPASS_MAX)
		return -EINVAL;
	if (n) {
		struct cmsghdr *cmsg;

		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
		cmsg = CMSG_FIRSTHDR(&msg);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
		/* The kernel reads the padding behind an odd number of them as well. */
		memset(control.buf + CMSG_LEN(n * sizeof(int)), 0,
		       CMSG_SPACE(n * sizeof(int)) - CMSG_LEN(n * sizeof(int)));
	}
	do
		sent = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : (int)sent;
}

/* Moves the descriptors of one control message into fds. Returns how many did not fit. */
static size_t collect(const struct cmsghdr *cmsg, int *fds, size_t room, size_t *n)
{
	size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int), lost = 0;

	for (size_t i = 0; i < count; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof fd, sizeof fd);
		if (*n < room)
			fds[(*n)++] = fd;
		else {
			close_fd(fd);
			lost++;
		}
	}
	return lost;
}

int fdpass_recv(int sock, void *buf, size_t len, int *fds, size_t room, size_t *ret_n)
{
	union control control;
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = CMSG_SPACE(UTIL_MIN(room, (size_t)FDPASS_MAX) *
							   sizeof(int)) };
	size_t lost = 0;
	ssize_t got;

	*ret_n = 0;
	do
		got = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			lost += collect(c, fds, room, ret_n);
	if (lost || (msg.msg_flags & MSG_CTRUNC)) {
		for (size_t i = 0; i < *ret_n; i++)
			close_fd(fds[i]);
		*ret_n = 0;
		return -EMFILE;
	}
	return (int)got;
}
