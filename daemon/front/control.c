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
#include "front.h"

enum {
	WORD_MAX = 16,
	ANSWER_MS = 180000,
	ASKED_MS = 1000,
	NOTIFY_USEC = 200000,
	SETTLE_USEC = 1000000
};

/* sd_notify(3) blocks while the manager does not read; we do not wait for it for long. */
void notify(const char *state)
{
	notify_with_fds(state, NULL, 0);
}

int notify_with_fds(const char *state, const int *fds, unsigned n)
{
	int r;

	interrupt_after(NOTIFY_USEC);
	r = sd_pid_notify_with_fds(0, 0, state, fds, n);
	interrupt_after(0);
	return r;
}

void notify_status(const struct server *s, const char *prefix)
{
	char state[128];

	if (s->generation)
		snprintf(state, sizeof state, "%sSTATUS=Serving policy generation %u, %u rules.",
			 prefix, s->generation, s->n_rules);
	else
		snprintf(state, sizeof state, "%sSTATUS=No valid policy: everything is refused.",
			 prefix);
	notify(state);
}

/* All or nothing: a policy with an error is not loaded, and what was there stays. */
int policy_reload(struct server *s, int report_fd)
{
	const struct question policy = { .type = ASK_POLICY };
	struct told told;
	int r = ask(s, &policy, &report_fd, 1, &told);

	s->loads[r < 0]++;
	if (r < 0)
		return r;
	s->settings = told.settings;
	s->generation = told.generation;
	s->digest = told.digest;
	s->by_unit = told.by_unit;
	s->n_rules = told.all_rules;
	return 0;
}

int do_reload(struct server *s, FILE *out)
{
	int r;

	notify("STATUS=Reloading the policy.");
	fflush(out);
	r = policy_reload(s, fileno(out));
	if (r == 0)
		workers_policy_changed(s);
	notify_status(s, "");
	if (r < 0)
		say_event(MESSAGE_ID_REJECTED, LOG_ERR,
			  "reload refused; still running policy generation %u", s->generation);
	else
		say_event(MESSAGE_ID_LOADED, LOG_NOTICE, "running policy generation %u, %u rules",
			  s->generation, s->n_rules);
	return r;
}

/* ---- replies ---- */

/* A reload is over when no worker answers by the old policy any more, and those serve who came in
 * their place: so reloads that come one upon the other let everybody be served in between. That is
 * told then, and after SETTLE_USEC even where one does not say so, because it hangs. */
struct reply {
	struct server *server;
	int fd, memfd;
	FILE *out;
	int32_t status;
	sd_event_source *late;
	LIST_ENTRY(reply) all;
};

static const struct {
	const char *word;
	int (*run)(struct server *s, FILE *out);
	bool settles;
} commands[] = { { "reload", do_reload, true }, { "status", do_status, false } };

static void reply_free(struct reply *r)
{
	sd_event_source_disable_unref(r->late);
	/* Which is the stream's, where there is one. */
	if (r->out)
		fclose(r->out);
	else
		close_fd(r->memfd);
	close_fd(r->fd);
	free(r);
}

static struct reply *reply_new(struct server *s, int consume_fd)
{
	struct reply *r = calloc(1, sizeof *r);

	if (!r) {
		close_fd(consume_fd);
		return NULL;
	}
	*r = (struct reply){ .server = s, .fd = consume_fd, .status = -EINVAL };
	r->memfd = memfd_create("opend-answer", MFD_CLOEXEC);
	r->out = r->memfd < 0 ? NULL : fdopen(r->memfd, "w");
	if (!r->out) {
		reply_free(r);
		return NULL;
	}
	return r;
}

static void reply_send(struct reply *r)
{
	fflush(r->out);
	lseek(r->memfd, 0, SEEK_SET);
	fdpass_send(r->fd, &r->status, sizeof r->status, &r->memfd, 1);
	reply_free(r);
}

static int on_late(sd_event_source *source, uint64_t usec, void *data)
{
	struct reply *r = data;

	(void)source;
	(void)usec;
	fprintf(r->out,
		"%u workers do not answer: their clients wait, or are served by the policy "
		"before until those are killed.\n",
		r->server->n_unsettled);
	LIST_REMOVE(r, all);
	reply_send(r);
	return 0;
}

void reload_unsettled(struct server *s, struct worker *w)
{
	s->n_unsettled += w->unsettled++ == 0;
}

void reload_settled(struct server *s, struct worker *w, uint32_t n)
{
	struct reply *r;

	if (!w->unsettled)
		return;
	w->unsettled -= UTIL_MIN(n, w->unsettled);
	if (w->unsettled || --s->n_unsettled > 0)
		return;
	while ((r = LIST_FIRST(&s->replies))) {
		LIST_REMOVE(r, all);
		reply_send(r);
	}
}

static void answer(struct server *s, int consume_fd, const char *word)
{
	struct reply *r = reply_new(s, consume_fd);
	bool waits = false;

	if (!r)
		return;
	for (size_t i = 0; i < ELEMENTSOF(commands); i++)
		if (strcmp(word, commands[i].word) == 0) {
			r->status = commands[i].run(s, r->out);
			waits = commands[i].settles && r->status == 0 && s->n_unsettled > 0;
		}
	if (r->status == -EINVAL)
		fprintf(r->out, "unknown command; there are reload and status\n");
	if (!waits || sd_event_add_time_relative(s->event, &r->late, CLOCK_MONOTONIC, SETTLE_USEC,
						 0, on_late, r) < 0) {
		reply_send(r);
		return;
	}
	LIST_INSERT_HEAD(&s->replies, r, all);
}

static bool may_command(const struct server *s, int fd)
{
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t len = sizeof peer;

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == 0 || (!s->system && peer.uid == s->uid));
}

static int on_control(sd_event_source *source, int fd, uint32_t events, void *data)
{
	_cleanup_close_ int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	struct server *s = data;
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
	answer(s, take_fd(&c), word);
	return 0;
}

int control_serve(struct server *s)
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
