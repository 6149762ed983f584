/* SPDX-License-Identifier: MIT
 * Start of the supervisor. Its options are opend's alone; no person gives them. It ends when opend
 * does, which is the end of file on their socket. */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
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
	case 'd':
		return append(s->doors, &s->n_doors, LISTS_MAX, arg);
	case 's':
		return append(s->sockets, &s->n_sockets, 2 * LISTS_MAX, arg);
	default:
		return false;
	}
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
	while ((option = getopt(argc, argv, "SUNPLl:i:a:p:c:d:s:")) != -1)
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
