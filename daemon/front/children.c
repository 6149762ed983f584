/* SPDX-License-Identifier: MIT
 * The ends of our children. Not by sd-event's own source for them: it looks once, and where the
 * process cannot be reaped just then (a tracer has not let go of it yet) never again; where
 * waitid(2) fails it ends the loop. A pidfd is readable until the process has been reaped, so we
 * look until that is done. */
#include <errno.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include "front.h"

struct watch {
	sd_event_child_handler_t on_end;
	void *data;
};

static int on_readable(sd_event_source *source, int fd, uint32_t events, void *data)
{
	const struct watch *w = data;
	siginfo_t info = { .si_pid = 0 };

	(void)events;
	/* ECHILD: it is gone without a word, and will not come back. */
	if (waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG) < 0 ? errno != ECHILD
								    : info.si_pid == 0)
		return 0;
	sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return w->on_end(source, &info, w->data);
}

int watch_child(struct server *s, sd_event_source **ret, pid_t pid, sd_event_child_handler_t on_end,
		void *data)
{
	_cleanup_close_ int fd = pidfd_open(pid, 0);
	_cleanup_free_ struct watch *w = malloc(sizeof *w);
	int r;

	if (!w)
		return -ENOMEM;
	if (fd < 0)
		return -errno;
	*w = (struct watch){ on_end, data };
	r = sd_event_add_io(s->event, ret, fd, EPOLLIN, on_readable, w);
	if (r < 0)
		return r;
	sd_event_source_set_destroy_callback(*ret, free);
	take_ptr(w);
	sd_event_source_set_io_fd_own(*ret, true);
	take_fd(&fd);
	return 0;
}
