/* SPDX-License-Identifier: MIT
 * From birth to service. The order is the point (opend-security(7)): non-dumpable, ambient set
 * cleared, groups, gids, uids, capabilities; everything read back; then policy and memory; then
 * Landlock, then seccomp; and only then READY, for which opend waits before it hands over
 * a connection. Where a step fails we say which, and end. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "openhow.h"
#include "worker.h"

static int read_certificate(struct worker *w, char **ret_text)
{
	struct certificate c;
	struct stat st;
	void *p;
	int r;

	if (fstat(WORKER_FD_BIRTH, &st) < 0)
		return -errno;
	if (st.st_size == 0)
		return -EPROTO;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, WORKER_FD_BIRTH, 0);
	if (p == MAP_FAILED)
		return -errno;
	r = certificate_decode(p, (size_t)st.st_size, &c);
	if (r < 0)
		return r;
	w->birth = c.birth;
	w->groups = malloc(c.groups_size + 1);
	*ret_text = malloc(c.text_len + 1);
	if (!w->groups || !*ret_text)
		return -ENOMEM;
	memcpy(w->groups, c.groups, c.groups_size);
	memcpy(*ret_text, c.text, c.text_len);
	(*ret_text)[c.text_len] = 0;
	munmap(p, (size_t)st.st_size);
	close(WORKER_FD_BIRTH);
	return 0;
}

/* `~`: the home that the account database names for this uid, made canonical. We are the client
 * already, so what this may touch, the client may. Not knowing it is no error: such a rule then
 * matches nothing. */
static char *canonical_home(uid_t uid)
{
	struct passwd *pw = getpwuid(uid);

	return pw && pw->pw_dir && pw->pw_dir[0] == '/' ? realpath(pw->pw_dir, NULL) : NULL;
}

static int load_policy(struct worker *w, const char *text)
{
	_cleanup_free_ char *home = strchr(text, '~') ? canonical_home(w->birth.uid) : NULL;
	const struct policy_options options = {
		.units = true, .origins = true, .home = home, .owner = w->birth.uid
	};
	struct diags diags = { 0 };
	int r = policy_parse("effective policy", text, w->birth.policy_len, &options, &diags,
			     &w->policy);

	diags_deinit(&diags);
	if (r == 0)
		r = policy_plan(w->policy, is_lender(w), &w->plan, &w->n_bases);
	if (r < 0)
		return r;
	w->bases = calloc(w->n_bases + 1, sizeof *w->bases);
	if (!w->bases)
		return -ENOMEM;
	for (size_t i = 0; i < w->n_bases; i++)
		w->bases[i].base = &w->plan[i];
	return 0;
}

/* What RULES hands out: our part of the policy, or all of it where clients may see that. */
static int seal_rules(struct worker *w, const char *text)
{
	_cleanup_close_ int fd = memfd_create("opend-rules", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t len = w->birth.rules_len ? w->birth.rules_len : w->birth.policy_len;

	if (fd < 0)
		return -errno;
	if (w->birth.rules_len)
		text += w->birth.policy_len;
	if (len && write(fd, text, len) != (ssize_t)len)
		return -EIO;
	if (lseek(fd, 0, SEEK_SET) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	w->rules_fd = take_fd(&fd);
	return 0;
}

/* openat2(2) exists and is not forbidden: a filter in front of us that knows only openat(2)
 * (RestrictSUIDSGID=, old container managers) says ENOSYS or EPERM. There is no fallback. */
static int probe_openat2(void)
{
	const struct open_how *how = openhow_find(O_RDONLY | O_DIRECTORY, 0);
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", how, sizeof *how);

	if (fd < 0)
		return errno == EACCES ? 0 : -errno;
	close(fd);
	return 0;
}

static int live(struct worker *w, enum birth_step *step)
{
	_cleanup_free_ char *text = NULL;
	int r;

	*step = STEP_CERTIFICATE;
	r = read_certificate(w, &text);
	if (r == 0)
		r = become_client(w, step);
	if (r == 0)
		r = become_verify(w, step);
	if (r < 0)
		return r;
	w->confinement = CONFINED_IDS | CONFINED_CAPS;
	*step = STEP_POLICY;
	r = load_policy(w, text);
	if (r == 0)
		r = seal_rules(w, text);
	if (r < 0)
		return r;
	*step = STEP_MEMORY;
	w->stats = mmap(NULL, sizeof *w->stats, PROT_READ | PROT_WRITE, MAP_SHARED, WORKER_FD_STATS,
			0);
	if (w->stats == MAP_FAILED)
		return -errno;
	close(WORKER_FD_STATS);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0)
		return -errno;
	r = conn_setup(w);
	if (r < 0)
		return r;
	*step = STEP_OPENAT2;
	r = probe_openat2();
	if (r < 0)
		return r;
	*step = STEP_LANDLOCK;
	r = landlock_confine(w);
	if (r < 0)
		return r;
	*step = STEP_SECCOMP;
	return seccomp_confine(w);
}

int main(void)
{
	static struct worker w = { .rules_fd = -1,
				   .epoll = -1,
				   .lender.fd = -1,
				   .parent.fd = -1,
				   .successor = -1,
				   .predecessor = -1 };
	enum birth_step step = STEP_CERTIFICATE;
	int r;

	signal(SIGPIPE, SIG_IGN);
	/* Executed by descriptor, older kernels would call us by its number. */
	prctl(PR_SET_NAME, "opend-worker", 0, 0, 0);
	r = live(&w, &step);
	if (r < 0) {
		up_send(UP_FAILED, (uint32_t)-r, step, 0);
		return EXIT_FAILURE;
	}
	up_send(UP_READY, w.landlock_abi, w.confinement, 0);
	r = serve(&w);
	_exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}
