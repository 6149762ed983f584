/* SPDX-License-Identifier: MIT
 * Ownership that shows on the line: cleanup attributes for descriptors and heap, and the
 * verbs that hand them on. Nothing here logs, exits or allocates. */
#ifndef OPEND_UTIL_H
#define OPEND_UTIL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
#define UTIL_MIN(a, b) ((a) < (b) ? (a) : (b))
#define UTIL_MAX(a, b) ((a) > (b) ? (a) : (b))

/* Closes fd unless it is negative; errno survives. Returns -1, so that "fd = close_fd(fd)"
 * leaves no stale number behind. close(2) is never retried: on Linux the descriptor is gone
 * even when it says EINTR. */
static inline int close_fd(int fd)
{
	if (fd >= 0) {
		int saved = errno;
		close(fd);
		errno = saved;
	}
	return -1;
}

/* Hands the descriptor in *fd to the caller, leaving -1. */
static inline int take_fd(int *fd)
{
	int r = *fd;
	*fd = -1;
	return r;
}

static inline void *take_ptr_(void **p)
{
	void *r = *p;
	*p = NULL;
	return r;
}
/* Hands the heap object in p to the caller, leaving NULL. */
#define take_ptr(p) ((__typeof__(p))take_ptr_((void **)&(p)))

static inline void cleanup_close_(int *fd)
{
	close_fd(*fd);
}
static inline void cleanup_free_(void *p)
{
	free(*(void **)p);
}
static inline void cleanup_fclose_(FILE **f)
{
	if (*f)
		fclose(*f);
}
#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _cleanup_close_ _cleanup_(cleanup_close_)
#define _cleanup_free_ _cleanup_(cleanup_free_)
#define _cleanup_fclose_ _cleanup_(cleanup_fclose_)

/* A destructor usable with _cleanup_(): DEFINE_CLEANUP(struct policy *, policy_free). */
#define DEFINE_CLEANUP(type, func)                                                                 \
	static inline void func##p(type *p)                                                        \
	{                                                                                          \
		if (*p)                                                                            \
			func(*p);                                                                  \
	}

#endif
