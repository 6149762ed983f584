/* SPDX-License-Identifier: MIT
 * Waking an idle core takes 50 to 100 us, several times what an open does. So a call that waits
 * looks again for some microseconds before it sleeps, as the worker does on its side. Whether that
 * pays depends on the other side and on the machine, and both change; so it is tried in a window
 * of waits every now and then, and goes on while it hits. Windows that miss come half as often
 * each time. A look that took far longer than it should was interrupted: others need the CPU more
 * than we do. */
#include <sched.h>
#include "internal.h"

enum { WINDOW = 8, PERIOD_MIN = 64, PERIOD_MAX = 4096, INTERRUPTED = 4 };
enum { USEC_DEFAULT = 20, USEC_MAX = 1000 };

/* Whoever has but one CPU takes it from the worker by looking. */
void look_init(struct looking *l)
{
	cpu_set_t cpus;

	l->period = PERIOD_MIN;
	if (sched_getaffinity(0, sizeof cpus, &cpus) < 0 || CPU_COUNT(&cpus) > 1)
		l->usec = USEC_DEFAULT;
}

static bool worthwhile(struct looking *l)
{
	if (!l->usec)
		return false;
	if (l->hitting)
		return true;
	if (++l->waits >= l->period) {
		l->waits = 0;
		l->period = UTIL_MIN(2 * l->period, (unsigned)PERIOD_MAX);
	}
	return l->waits < WINDOW;
}

/* Returns whether something came, or the connection ended. */
bool look_for_answer(struct openc_conn *c)
{
	struct looking *l = &c->looking;
	int64_t start, spent;
	int r;

	if (!worthwhile(l))
		return false;
	start = now_usec();
	do {
		r = stream_receive(c);
		spent = now_usec() - start;
	} while (r == 0 && spent < l->usec);
	l->hitting = r > 0 && spent < INTERRUPTED * l->usec;
	if (l->hitting)
		l->period = PERIOD_MIN;
	return r != 0;
}

int openc_set_poll(struct openc_conn *c, int microseconds)
{
	int r = conn_enter(c);

	if (r < 0)
		return r;
	if (microseconds < 0 || microseconds > USEC_MAX)
		return message_fail(c, -EINVAL, OPENC_R_NONE);
	c->looking = (struct looking){ .usec = microseconds, .period = PERIOD_MIN };
	return 0;
}
