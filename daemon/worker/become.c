/* SPDX-License-Identifier: MIT
 * Becoming the client. We were executed with the supervisor's uid and CAP_SETUID, CAP_SETGID (a
 * lender: and its DAC capability) in the ambient set. Only after exec do we take the client's ids:
 * exec copies the effective uid to the saved one, and whose saved uid matches a sender's may be
 * killed by him (kill(2)); a client who spins kill() over the next pids would win every time.
 *
 * Real and saved ids are the slot's, a number that nobody else has: signals, ptrace, prlimit and
 * the count of descriptors in flight go by them. Effective and file-system ids are the client's:
 * the kernel judges opens by them. Nothing is executed afterwards. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include "worker.h"

enum { CAPS_WORDS = 2 };

/* What a lender keeps permitted: the DAC capabilities that the supervisor handed on. */
static int keep_dac(struct worker *w)
{
	static const cap_value_t dac[] = { CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE };
	cap_t now = cap_get_proc();
	int r = 0;

	w->lowered = cap_init();
	w->raised = cap_init();
	if (!now || !w->lowered || !w->raised)
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(dac); i++) {
		cap_flag_value_t held = CAP_CLEAR;

		if (cap_get_flag(now, dac[i], CAP_PERMITTED, &held) < 0)
			r = -errno;
		else if (held == CAP_SET &&
			 (cap_set_flag(w->lowered, CAP_PERMITTED, 1, &dac[i], CAP_SET) < 0 ||
			  cap_set_flag(w->raised, CAP_PERMITTED, 1, &dac[i], CAP_SET) < 0 ||
			  cap_set_flag(w->raised, CAP_EFFECTIVE, 1, &dac[i], CAP_SET) < 0))
			r = -errno;
	}
	if (now)
		cap_free(now);
	return r;
}

static int drop_caps(struct worker *w)
{
	cap_t none;
	int r = 0;

	if (is_lender(w)) {
		r = keep_dac(w);
		if (r < 0)
			return r;
		return cap_set_proc(w->lowered) < 0 ? -errno : 0;
	}
	none = cap_init();
	if (!none)
		return -ENOMEM;
	if (cap_set_proc(none) < 0)
		r = -errno;
	cap_free(none);
	return r;
}

static int switch_ids(struct worker *w, enum birth_step *step)
{
	const struct birth *b = &w->birth;

	*step = STEP_GROUPS;
	if (setgroups(b->n_groups, w->groups) < 0)
		return -errno;
	*step = STEP_GIDS;
	if (setresgid(b->slot, b->gid, b->slot) < 0)
		return -errno;
	*step = STEP_UIDS;
	if (setresuid(b->slot, b->uid, b->slot) < 0)
		return -errno;
	return 0;
}

int become_client(struct worker *w, enum birth_step *step)
{
	const struct rlimit no_core = { 0, 0 };
	struct rlimit files;
	int r;

	*step = STEP_DUMPABLE;
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0)
		return -errno;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		return -errno;
	*step = STEP_AMBIENT;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	if (w->birth.switch_ids) {
		r = switch_ids(w, step);
		if (r < 0)
			return r;
	}
	*step = STEP_CAPS;
	r = drop_caps(w);
	if (r < 0)
		return r;
	/* A change of ids sets it to fs.suid_dumpable, which may be anything. */
	*step = STEP_DUMPABLE;
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

static int by_number(const void *a, const void *b)
{
	gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;

	return x < y ? -1 : x > y;
}

static bool groups_are(const struct worker *w)
{
	_cleanup_free_ gid_t *have = NULL;
	int n = getgroups(0, NULL);

	if (n < 0 || (uint32_t)n != w->birth.n_groups)
		return false;
	have = calloc((size_t)n + 1, sizeof *have);
	if (!have || getgroups(n, have) != n)
		return false;
	/* The kernel keeps them sorted; the certificate's were sorted by the supervisor. */
	qsort(have, (size_t)n, sizeof *have, by_number);
	return n == 0 || memcmp(have, w->groups, (size_t)n * sizeof *have) == 0;
}

static bool ids_are(const struct birth *b)
{
	uid_t ru, eu, su;
	gid_t rg, eg, sg;

	if (getresuid(&ru, &eu, &su) < 0 || getresgid(&rg, &eg, &sg) < 0)
		return false;
	if (eu != b->uid || eg != b->gid)
		return false;
	/* setfsuid(-1) changes nothing and tells the present value (setfsuid(2)). */
	if ((uid_t)setfsuid((uid_t)-1) != b->uid || (gid_t)setfsgid((gid_t)-1) != b->gid)
		return false;
	if (!b->switch_ids)
		return ru == b->uid && su == b->uid;
	return ru == b->slot && su == b->slot && rg == b->slot && sg == b->slot;
}

/* Effective and inheritable: nothing. Permitted: nothing, or a lender's DAC. */
static bool caps_are(const struct worker *w)
{
	const uint32_t dac = 1u << CAP_DAC_READ_SEARCH | 1u << CAP_DAC_OVERRIDE;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[CAPS_WORDS];

	if (capget(&header, data) < 0)
		return false;
	for (int i = 0; i < CAPS_WORDS; i++)
		if (data[i].effective || data[i].inheritable)
			return false;
	if (data[1].permitted)
		return false;
	return is_lender(w) ? !(data[0].permitted & ~dac) : !data[0].permitted;
}

int become_verify(const struct worker *w, enum birth_step *step)
{
	*step = STEP_READ_BACK;
	if (!ids_are(&w->birth) || !caps_are(w) || !groups_are(w))
		return -EPERM;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return -EPERM;
	return 0;
}

static bool raised;

void lender_raise(const struct worker *w)
{
	if (!w->raised || raised)
		return;
	if (cap_set_proc(w->raised) < 0)
		_exit(EXIT_FAILURE);
	raised = true;
}

/* A lender that could not lower it again must not go on. */
void lender_lower(const struct worker *w)
{
	if (raised && cap_set_proc(w->lowered) < 0)
		_exit(EXIT_FAILURE);
	raised = false;
}
