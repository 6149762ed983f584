/* SPDX-License-Identifier: MIT
 * What we may, and as little of it as can be. The supervisor has CAP_SETUID, CAP_SETGID and
 * CAP_KILL in force. The DAC capabilities are merely permitted: they are for lenders, handed on at
 * exec, and never raised here while anybody is served. */
#include <errno.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include "supervisor.h"

static const cap_value_t own[] = { CAP_SETUID, CAP_SETGID, CAP_KILL };
static const cap_value_t handed_on[] = { CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE };

static bool permitted(cap_t now, cap_value_t cap)
{
	cap_flag_value_t v = CAP_CLEAR;

	cap_get_flag(now, cap, CAP_PERMITTED, &v);
	return v == CAP_SET;
}

/* Permitted: own and handed_on. Effective: own only. Inheritable and ambient: nothing. */
int privilege_lower(void)
{
	cap_t now = cap_get_proc(), caps = now ? cap_init() : NULL;
	int r = 0;

	if (!caps) {
		cap_free(now);
		return -ENOMEM;
	}
	cap_set_flag(caps, CAP_PERMITTED, ELEMENTSOF(own), own, CAP_SET);
	cap_set_flag(caps, CAP_EFFECTIVE, ELEMENTSOF(own), own, CAP_SET);
	for (size_t i = 0; i < ELEMENTSOF(handed_on); i++)
		if (permitted(now, handed_on[i]))
			cap_set_flag(caps, CAP_PERMITTED, 1, &handed_on[i], CAP_SET);
	cap_free(now);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || cap_set_proc(caps) < 0)
		r = -errno;
	cap_free(caps);
	return r;
}

/* What a worker needs for becoming its client. */
int privilege_hand_on(bool system, bool read_search, bool override)
{
	const struct {
		cap_value_t cap;
		bool wanted;
	} list[] = { { CAP_SETUID, true },
		     { CAP_SETGID, true },
		     { CAP_DAC_READ_SEARCH, read_search },
		     { CAP_DAC_OVERRIDE, override } };
	cap_t caps;
	int r = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (!system)
		return 0;
	caps = cap_get_proc();
	if (!caps)
		return -ENOMEM;
	for (size_t i = 0; i < ELEMENTSOF(list); i++)
		if (list[i].wanted && permitted(caps, list[i].cap))
			cap_set_flag(caps, CAP_INHERITABLE, 1, &list[i].cap, CAP_SET);
	if (cap_set_proc(caps) < 0)
		r = -errno;
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(list); i++)
		if (list[i].wanted && permitted(caps, list[i].cap) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, list[i].cap, 0, 0) < 0)
			r = -errno;
	cap_free(caps);
	return r;
}

/* Nothing, for good. */
int privilege_drop(void)
{
	cap_t none = cap_init();
	int r = 0;

	if (!none)
		return -ENOMEM;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || cap_set_proc(none) < 0)
		r = -errno;
	cap_free(none);
	return r;
}

void privilege_for_cleanup(void)
{
	const cap_value_t override = CAP_DAC_OVERRIDE;
	cap_t caps = cap_get_proc();

	if (!caps)
		return;
	if (permitted(caps, override)) {
		cap_set_flag(caps, CAP_EFFECTIVE, 1, &override, CAP_SET);
		cap_set_proc(caps);
	}
	cap_free(caps);
}
