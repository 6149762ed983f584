/* SPDX-License-Identifier: MIT
 * openc(): open(2) for programs that do not want to know. One connection per process behind one
 * lock. A child of fork(2) starts with a fresh lock (another thread may have held the parent's)
 * and its own connection; the parent's, which a thread may have been changing just then, is only
 * closed. */
#include <fcntl.h>
#include "internal.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct openc_conn *hidden;

static void after_fork(void)
{
	lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
}

static void start(void)
{
	pthread_atfork(NULL, NULL, after_fork);
}

static int hidden_open(const char *path, int flags, unsigned mode)
{
	int r;

	if (hidden) {
		r = conn_enter(hidden);
		if (r == -ECHILD || r == -ESTALE)
			hidden = openc_free(hidden);
	}
	if (!hidden) {
		r = openc_new(&hidden, NULL);
		if (r < 0)
			return r;
	}
	/* As in open(2), bits that say nothing about permission are nobody's concern. */
	return openc_open(hidden, path, flags, mode & ~(unsigned)S_IFMT);
}

int openc(const char *path, int flags, unsigned mode)
{
	WITHOUT_CANCELLATION;
	int r;

	pthread_once(&once, start);
	pthread_mutex_lock(&lock);
	r = hidden_open(path, flags, mode);
	pthread_mutex_unlock(&lock);
	if (r < 0) {
		errno = -r;
		return -1;
	}
	return r;
}
