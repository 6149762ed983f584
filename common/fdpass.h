/* SPDX-License-Identifier: MIT
 * The one place that calls sendmsg(2) and recvmsg(2) with descriptors. */
#ifndef OPEND_FDPASS_H
#define OPEND_FDPASS_H

#include <stddef.h>

enum { FDPASS_MAX = 253 }; /* SCM_MAX_FD: more in one call is EINVAL */

/* Sends len bytes and n descriptors, never blocking, never raising SIGPIPE. The descriptors stay
 * the caller's. Returns the bytes sent (descriptors went with the first one), or -EAGAIN,
 * -ETOOMANYREFS (too many of this real uid's descriptors in flight, unix(7)), -EPIPE ... */
int fdpass_send(int sock, const void *buf, size_t len, const int *fds, size_t n);

/* Receives up to len bytes and up to `room` descriptors (each close-on-exec and the caller's from
 * here on), never blocking. Returns the bytes received, 0 at end of file, -EAGAIN ...; *ret_n says
 * how many descriptors came. -EMFILE: the kernel dropped descriptors (MSG_CTRUNC: RLIMIT_NOFILE or
 * an LSM); those that did come have been closed, and the stream can no longer be trusted. */
int fdpass_recv(int sock, void *buf, size_t len, int *fds, size_t room, size_t *ret_n);

#endif
