/* SPDX-License-Identifier: MIT
 * Start of the supervisor, and what it is asked. Its options are opend's alone; no person gives
 * them. It ends when opend does, which is the end of file on their socket. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include "fdpass.h"
#include "supervisor.h"

static bool append(const char **list, size_t *n, size_t max, const char *item)
{
	if (*n == max)
		return false;
	list[(*n)++] = item;
	return true;
}

static bool take_option(struct supervisor *s, int option, const char *arg)
{
	switch (option) {
	case 'S':
		s->system = true;
		return true;
	case 'U':
		s->units = true;
		return true;
	case 'N':
		s->in_userns = true;
		return true;
	case 'P':
		s->poll = true;
		return true;
	case 'L':
		s->require_landlock = true;
		return true;
	case 'l':
		return sscanf(arg, "%u", &s->landlock_max) == 1;
	case 'i':
		return sscanf(arg, "%u-%u", &s->slot_first, &s->slot_last) == 2;
	case 'a':
		return sscanf(arg, "%u:%u", &s->audit_uid, &s->audit_gid) == 2;
	case 'p':
		return append(s->policy_paths, &s->n_policy, LISTS_MAX, arg);
	case 'c':
		return append(s->config_paths, &s->n_config, LISTS_MAX, arg);
	case 's':
		return append(s->sockets, &s->n_sockets, 2 * LISTS_MAX, arg);
	default:
		return false;
	}
}

/* Not at the end of file: where opend was killed, another may stand in its place by now. */
static int remove_sockets(const struct supervisor *s)
{
	if (s->system)
		privilege_for_cleanup();
	for (size_t i = 0; i < s->n_sockets; i++)
		unlink(s->sockets[i]);
	return s->system ? privilege_lower() : 0;
}

static int handle(struct supervisor *s, struct question *ask, const int *fds, size_t n,
		  struct told *told)
{
	struct identity *i = identity_find(s, ask->identity);
	struct child *c = child_find(s, ask->instance);

	ask->door[sizeof ask->door - 1] = 0;
	switch (ask->type) {
	case ASK_POLICY:
		return n == 1 ? policy_reload(s, fds[0], told) : -EINVAL;
	case ASK_IDENTITY:
		return n == 1 ? peer_identity(s, fds[0], ask->door, told) : -EINVAL;
	case ASK_FORGET:
		if (i)
			identity_forget(s, i);
		return i ? 0 : -ESRCH;
	case ASK_FIT:
		return i ? policy_fit(s, i, ask->instance, told) : -ESRCH;
	case ASK_BIRTH:
		return birth(s, ask, fds, n, told);
	case ASK_KILL:
		return c ? child_kill(c) : -ESRCH;
	case ASK_BURY:
		if (c)
			child_bury(c);
		return c ? 0 : -ESRCH;
	case ASK_TIDY:
		return remove_sockets(s);
	default:
		return -EINVAL;
	}
}

/* 0 until there is no more opend. */
static int serve_one(struct supervisor *s)
{
	struct pollfd p = { .fd = ASK_FD, .events = POLLIN };
	struct told told = { 0 };
	struct question ask = { 0 };
	int fds[ASK_FDS_MAX], n;
	size_t n_fds;

	if (poll(&p, 1, -1) < 0)
		return errno == EINTR ? 0 : -errno;
	n = fdpass_recv(ASK_FD, &ask, sizeof ask, fds, ASK_FDS_MAX, &n_fds);
	if (n == -EMFILE)
		told.result = n;
	else if (n != sizeof ask)
		return n < 0 ? n : -EPIPE;
	else
		told.result = handle(s, &ask, fds, n_fds, &told);
	for (size_t i = 0; i < n_fds; i++)
		close_fd(fds[i]);
	n = fdpass_send(ASK_FD, &told, sizeof told, NULL, 0);
	return n < 0 ? n : 0;
}

int main(int argc, char **argv)
{
	static struct supervisor s = { .landlock_max = UINT32_MAX };
	int option, r = 0;

	/* Whoever ends opend means the two of us; opend says when. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	while ((option = getopt(argc, argv, "SUNPLl:i:a:p:c:s:")) != -1)
		if (!take_option(&s, option, optarg)) {
			fputs("opend-supervisor: is started by opend alone; see opend(8)\n",
			      stderr);
			return 2;
		}
	s.slot_next = s.slot_first;
	settings_default(&s.settings);
	/* Our memory holds what all may do; nobody needs to look at it. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0 && s.system)
		r = privilege_lower();
	if (r == 0)
		r = supervisor_confine();
	if (r < 0)
		fprintf(stderr, "opend: error: cannot confine the supervisor: %s\n", strerror(-r));
	while (r == 0)
		r = serve_one(&s);
	return r == -EPIPE ? EXIT_SUCCESS : EXIT_FAILURE;
}
