/* SPDX-License-Identifier: MIT
 * Time: the monotonic clock in microseconds, and deadlines on it. */
#include <time.h>
#include "internal.h"

int64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t deadline_in(int milliseconds)
{
	return milliseconds < 0 ? FOR_EVER : now_usec() + (int64_t)milliseconds * 1000;
}

/* What is left until then in milliseconds for poll(2): rounded up, so that waking is never too
 * early and never spins; -1 for ever. */
int until_msec(int64_t deadline)
{
	int64_t left;

	if (deadline == FOR_EVER)
		return -1;
	left = deadline - now_usec();
	if (left <= 0)
		return 0;
	left = (left + 999) / 1000;
	return left > INT_MAX ? INT_MAX : (int)left;
}
