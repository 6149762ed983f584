/* SPDX-License-Identifier: MIT
 * The control socket: root (or who runs a private opend) says one word, reload or status, and gets
 * one packet back: a status and a memfd with the text. Nothing else is read, and a peer who does
 * not take his answer at once does without. The same file holds the asking end, for `opend
 * --reload`. */
#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include "fdpass.h"
#include "messages.h"
#include "supervisor.h"

enum { WORD_MAX = 16, ANSWER_MS = 60000, ASKED_MS = 1000, NOTIFY_USEC = 200000 };

/* sd_notify(3) blocks while the manager does not read; we do not wait for it for long. */
void notify(const char *state)
{
	interrupt_after(NOTIFY_USEC);
	sd_notify(0, state);
	interrupt_after(0);
}

void notify_status(const struct supervisor *s, const char *prefix)
{
	char state[128];

	if (s->policy)
		snprintf(state, sizeof state, "%sSTATUS=Serving policy generation %u, %zu rules.",
			 prefix, s->generation, policy_n_rules(s->policy));
	else
		snprintf(state, sizeof state, "%sSTATUS=No valid policy: everything is refused.",
			 prefix);
	notify(state);
}

/* What everybody is told when `set explain full`: the whole policy. */
static void keep_rules(struct supervisor *s)
{
	_cleanup_fclose_ FILE *f = NULL;

	free(take_ptr(s->rules));
	s->rules_len = 0;
	if (!s->settings.explain_full)
		return;
	f = open_memstream(&s->rules, &s->rules_len);
	if (f)
		policy_print(s->policy, f);
}

/* All or nothing: a policy with an error is not loaded, and what was there stays. */
int policy_reload(struct supervisor *s, FILE *report)
{
	const struct policy_options options = { .resolve_names = true,
						.units = s->units,
						.owner = s->system ? 0 : s->uid };
	struct settings settings = s->settings;
	struct policy *fresh = NULL;
	struct diags diags = { 0 };
	int r = settings_load(s->opt.config, options.owner, &settings, &diags);

	if (r == 0)
		r = policy_load(s->opt.policy, &options, &diags, &fresh);

	diags_print(&diags, report, false);
	diags_print_summary(&diags, report);
	diags_deinit(&diags);
	s->loads[r < 0]++;
	if (r < 0) {
		if (r != -EBADMSG)
			fprintf(report, "cannot load the policy: %s.", strerror(-r));
		if (s->policy)
			fprintf(report, " Policy not loaded; still running generation %u.\n",
				s->generation);
		else
			fprintf(report, " Policy not loaded; everything is refused.\n");
		return r;
	}
	s->settings = settings;
	policy_free(s->policy);
	s->policy = fresh;
	s->generation++;
	keep_rules(s);
	fprintf(report, "Generation %u loaded: %zu rules.\n", s->generation, policy_n_rules(fresh));
	return 0;
}

int do_reload(struct supervisor *s, FILE *out)
{
	int r;

	notify("STATUS=Reloading the policy.");
	r = policy_reload(s, out);
	if (r == 0)
		workers_policy_changed(s);
	notify_status(s, "");
	if (r < 0)
		say_event(MESSAGE_ID_REJECTED, LOG_ERR,
			  "reload refused; still running policy generation %u", s->generation);
	else
		say_event(MESSAGE_ID_LOADED, LOG_NOTICE, "running policy generation %u, %zu rules",
			  s->generation, policy_n_rules(s->policy));
	return r;
}

static const struct {
	const char *word;
	int (*run)(struct supervisor *s, FILE *out);
} commands[] = { { "reload", do_reload }, { "status", do_status } };

static void answer(struct supervisor *s, int fd, const char *word)
{
	_cleanup_close_ int memfd = memfd_create("opend-answer", MFD_CLOEXEC);
	_cleanup_fclose_ FILE *out = memfd < 0 ? NULL : fdopen(dup(memfd), "w");
	int32_t status = -EINVAL;

	if (!out)
		return;
	for (size_t i = 0; i < ELEMENTSOF(commands); i++)
		if (strcmp(word, commands[i].word) == 0)
			status = commands[i].run(s, out);
	if (status == -EINVAL)
		fprintf(out, "unknown command; there are reload and status\n");
	fflush(out);
	lseek(memfd, 0, SEEK_SET);
	fdpass_send(fd, &status, sizeof status, &memfd, 1);
}

static bool may_command(const struct supervisor *s, int fd)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof peer;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || (!s->system && peer.uid == s->uid));
}

static int on_control(sd_event_source *source, int fd, uint32_t events, void *data)
{
	_cleanup_close_ int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	struct supervisor *s = data;
	struct pollfd p = { .fd = c, .events = POLLIN };
	char word[WORD_MAX + 1] = "";
	ssize_t n;

	(void)source;
	(void)events;
	if (c < 0 && errno != ECONNABORTED && errno != EINTR)
		pause_accepting(s, errno);
	if (c < 0 || !may_command(s, c))
		return 0;
	/* Root has the word ready, or waits in vain; nobody else gets this far. */
	if (poll(&p, 1, ASKED_MS) <= 0)
		return 0;
	n = recv(c, word, WORD_MAX, MSG_DONTWAIT);
	if (n <= 0)
		return 0;
	word[n] = 0;
	answer(s, c, word);
	return 0;
}

int control_serve(struct supervisor *s)
{
	int r = sd_event_add_io(s->event, &s->control.source, s->control.fd, EPOLLIN, on_control,
				s);

	return r < 0 ? r : 0;
}

int control_ask(const char *path, const char *word, FILE *out)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), memfd = -1;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int32_t status = -EIO;
	char buf[4096];
	ssize_t n;
	size_t fds = 0;
	int r;

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof a.sun_path)
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0 ||
	    send(fd, word, strlen(word), MSG_NOSIGNAL) < 0)
		return -errno;
	r = poll(&p, 1, ANSWER_MS);
	if (r <= 0)
		return r < 0 ? -errno : -ETIMEDOUT;
	r = fdpass_recv(fd, &status, sizeof status, &memfd, 1, &fds);
	if (r != sizeof status || fds != 1)
		return r < 0 ? r : -EACCES;
	while ((n = read(memfd, buf, sizeof buf)) > 0)
		fwrite(buf, 1, (size_t)n, out);
	return status;
}
