/* SPDX-License-Identifier: MIT
 * Doors: named listening sockets. Their names are the `via` of the policy. They come from systemd
 * (socket activation) or from --listen; a socket file of ours is made with its mode already right,
 * never takes the place of one that somebody listens on, and is removed by the supervisor at the
 * end (its directory may be root's).
 *
 * Accepting: a connection that cannot be taken now (EMFILE) leaves its listener readable, so all
 * doors rest for a moment instead of spinning. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include "front.h"
#include "wire.h"

enum {
	SOCKET_PASSRIGHTS = 83, /* SO_PASSRIGHTS, Linux 6.16: whether descriptors may be queued */
	BACKLOG = 511,
	ACCEPTS_AT_ONCE = 16,
	PAUSE_USEC = 100000,
	COMPLAINT_USEC = 1000000,
};

/* ---- opening ---- */

/* Others must not be able to swap what stands at our socket's name. */
static int check_parent(const char *path)
{
	_cleanup_free_ char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	struct stat st;

	if (!dir)
		return -ENOMEM;
	if (slash)
		slash[slash == dir] = 0;
	if (stat(slash ? dir : ".", &st) < 0)
		return -errno;
	if ((st.st_uid != 0 && st.st_uid != geteuid()) ||
	    ((st.st_mode & 0022) && !(st.st_mode & S_ISVTX))) {
		say(LOG_ERR, "%s: its directory is another's, or writable by others", path);
		return -EPERM;
	}
	return 0;
}

static int bind_at(int fd, const char *path, mode_t mode)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	mode_t before;
	int r;

	if (strlen(path) >= sizeof a.sun_path)
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, strlen(path) + 1);
	before = umask(0777 & ~mode);
	r = bind(fd, (struct sockaddr *)&a, sizeof a) < 0 ? -errno : 0;
	umask(before);
	return r;
}

/* Does anybody listen there who does not know our locks? */
static bool is_live(const char *path, int type)
{
	_cleanup_close_ int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	memcpy(a.sun_path, path, strlen(path) + 1);
	return fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) == 0 || errno != ECONNREFUSED;
}

/* Between open and lock somebody may have ended and taken the file with him. */
static bool is_same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

/* The lock tells a socket in use from one left behind: whoever listens holds it. */
static int lock(struct door *d, const char *path)
{
	int r;

	if (asprintf(&d->lock_path, "%s.lock", path) < 0) {
		d->lock_path = NULL;
		return -ENOMEM;
	}
	for (;;) {
		d->lock_fd = open(d->lock_path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (d->lock_fd < 0 || flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0)
			break;
		if (is_same_file(d->lock_fd, d->lock_path))
			return 0;
		close(d->lock_fd);
	}
	r = errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
	free(take_ptr(d->lock_path)); /* not ours to remove */
	return r;
}

int door_listen(struct door *d, const char *path, int type, mode_t mode)
{
	int r = check_parent(path);

	if (r == 0)
		r = lock(d, path);
	if (r < 0)
		return r;
	d->fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (d->fd < 0)
		return -errno;
	r = bind_at(d->fd, path, mode);
	if (r == -EADDRINUSE) {
		struct stat st;

		if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
			return -EEXIST;
		if (is_live(path, type))
			return -EADDRINUSE;
		if (unlink(path) < 0)
			return -errno;
		r = bind_at(d->fd, path, mode);
	}
	if (r < 0)
		return r;
	d->path = strdup(path);
	return !d->path ? -ENOMEM : listen(d->fd, BACKLOG) < 0 ? -errno : 0;
}

/* Accepted sockets inherit it; it keeps clients from queueing descriptors whose close lingers. */
static void refuse_rights(struct door *d)
{
	int off = 0;

	d->no_rights = setsockopt(d->fd, SOL_SOCKET, SOCKET_PASSRIGHTS, &off, sizeof off) == 0;
}

/* As systemd would have it (FileDescriptorName=, systemd.socket(5)): what is stored has this name.
 */
static bool is_name(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (name[i] < ' ' || name[i] > '~' || name[i] == ':')
			return false;
	return true;
}

static int name_door(struct door *d, const char *name, size_t len)
{
	if (!is_name(name, len)) {
		say(LOG_ERR, "\"%.*s\" is no name for a door: printable ASCII without \":\" is",
		    (int)len, name);
		return -EINVAL;
	}
	if (len >= sizeof d->name) {
		say(LOG_ERR, "the door's name \"%.*s\" is longer than %zu bytes", (int)len, name,
		    sizeof d->name - 1);
		return -ENAMETOOLONG;
	}
	memcpy(d->name, name, len);
	d->name[len] = 0;
	return 0;
}

static struct door *door_new(struct server *s)
{
	struct door *d;

	if (s->n_doors == PATHS_MAX) {
		say(LOG_ERR, "more than %d sockets", PATHS_MAX);
		return NULL;
	}
	d = &s->doors[s->n_doors++];
	*d = (struct door){ .fd = -1, .lock_fd = -1 };
	return d;
}

static int activated_door(struct server *s, int fd, const char *name)
{
	struct door *d;

	if (sd_is_socket_unix(fd, SOCK_STREAM, 1, NULL, 0) <= 0) {
		say(LOG_ERR, "descriptor %d (\"%s\") is not a listening UNIX stream socket", fd,
		    name);
		return -EINVAL;
	}
	d = door_new(s);
	if (!d)
		return -E2BIG;
	d->fd = fd;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	refuse_rights(d);
	return name_door(d, name, strlen(name));
}

static int activated(struct server *s)
{
	char **names = NULL;
	int r = 0, n = sd_listen_fds_with_names(1, &names);

	for (int i = 0; i < n; i++) {
		int fd = SD_LISTEN_FDS_START + i;

		if (r == 0 && store_is_kept(fd, names[i]))
			r = store_found(s, fd, names[i]);
		else if (r == 0)
			r = activated_door(s, fd, names[i]);
		free(names[i]);
	}
	free(names);
	return n < 0 ? n : r;
}

int doors_open(struct server *s)
{
	int r = activated(s);

	for (size_t i = 0; r == 0 && s->opt.listen[i]; i++) {
		const char *arg = s->opt.listen[i], *eq = strchr(arg, '='), *path = arg;
		struct door *d = door_new(s);

		if (!d)
			return -E2BIG;
		if (eq && eq < strchrnul(arg, '/')) {
			path = eq + 1;
			r = name_door(d, arg, (size_t)(eq - arg));
		}
		if (r == 0)
			r = door_listen(d, path, SOCK_STREAM, 0666);
		if (r < 0)
			say(LOG_ERR, "cannot listen on %s: %s", path,
			    r == -EADDRINUSE ? "somebody does already" : strerror(-r));
		else
			refuse_rights(d);
	}
	return r;
}

static void door_close(struct door *d, bool removed)
{
	sd_event_source_unref(d->source);
	d->source = NULL;
	/* Those who were not accepted go with it, and whatever they have queued. */
	if (d->fd >= 0)
		close_guarded(take_fd(&d->fd), d->no_rights);
	if (d->path && !removed)
		unlink(d->path);
	if (d->lock_path && !removed)
		unlink(d->lock_path);
	d->lock_fd = close_fd(d->lock_fd);
	free(take_ptr(d->path));
	free(take_ptr(d->lock_path));
}

void doors_close(struct server *s, bool removed)
{
	for (size_t i = 0; i < s->n_doors; i++)
		door_close(&s->doors[i], removed);
	s->n_doors = 0;
	door_close(&s->control, removed);
}

/* ---- accepting ---- */

void turn_away(int consume_fd, bool no_rights, int reason)
{
	char frame[sizeof(struct wire_goodbye)];
	const uint16_t body[2] = { (uint16_t)reason, 0 };
	int n = wire_encode_plain(frame, sizeof frame, WIRE_GOODBYE, 0, 0, body, sizeof body);

	send(consume_fd, frame, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	/* The manager may have another of it. */
	shutdown(consume_fd, SHUT_RDWR);
	close_guarded(consume_fd, no_rights);
}

static bool born_without_rights(int fd)
{
	int on = 1;
	socklen_t len = sizeof on;

	return getsockopt(fd, SOL_SOCKET, SOCKET_PASSRIGHTS, &on, &len) == 0 && on == 0;
}

void door_welcome(struct server *s, int consume_fd, const struct door *d)
{
	bool no_rights = d->no_rights && born_without_rights(consume_fd);
	struct identity *i = identity_of(s, consume_fd, d);

	if (i)
		client_welcome(s, i, consume_fd, no_rights);
	else
		turn_away(consume_fd, no_rights, reason_to_fail(s));
}

static int resume_accepting(sd_event_source *source, uint64_t usec, void *data)
{
	struct server *s = data;

	(void)source;
	(void)usec;
	for (size_t i = 0; i < s->n_doors; i++)
		if (s->doors[i].source)
			sd_event_source_set_enabled(s->doors[i].source, SD_EVENT_ON);
	if (s->control.source)
		sd_event_source_set_enabled(s->control.source, SD_EVENT_ON);
	return 0;
}

void pause_accepting(struct server *s, int error)
{
	uint64_t now;

	sd_event_now(s->event, CLOCK_MONOTONIC, &now);
	if (now - s->last_complaint >= COMPLAINT_USEC) {
		say(LOG_WARNING, "cannot accept: %s", strerror(error));
		s->last_complaint = now;
	}
	for (size_t i = 0; i < s->n_doors; i++)
		if (s->doors[i].source)
			sd_event_source_set_enabled(s->doors[i].source, SD_EVENT_OFF);
	if (s->control.source)
		sd_event_source_set_enabled(s->control.source, SD_EVENT_OFF);
	s->accept_pause = sd_event_source_unref(s->accept_pause);
	sd_event_add_time(s->event, &s->accept_pause, CLOCK_MONOTONIC, now + PAUSE_USEC, 0,
			  resume_accepting, s);
}

static int on_door(sd_event_source *source, int fd, uint32_t events, void *data)
{
	struct server *s = data;
	const struct door *d = NULL;

	(void)source;
	(void)events;
	for (size_t i = 0; i < s->n_doors; i++)
		if (s->doors[i].fd == fd)
			d = &s->doors[i];
	for (int i = 0; d && i < ACCEPTS_AT_ONCE; i++) {
		int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (c >= 0)
			door_welcome(s, c, d);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			pause_accepting(s, errno);
		if (c < 0 && errno != ECONNABORTED && errno != EINTR)
			break;
	}
	return 0;
}

int doors_serve(struct server *s)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < s->n_doors; i++)
		if (s->doors[i].fd >= 0)
			r = sd_event_add_io(s->event, &s->doors[i].source, s->doors[i].fd, EPOLLIN,
					    on_door, s);
	return r < 0 ? r : 0;
}

/* A private opend for one connection that was handed to us. */
int door_private(struct server *s)
{
	struct door *d = &s->doors[PATHS_MAX];
	int fd = s->opt.private_fd;

	if (sd_is_socket_unix(fd, SOCK_STREAM, 0, NULL, 0) <= 0) {
		say(LOG_ERR, "--private-fd %d is not a connected UNIX stream socket", fd);
		return -EINVAL;
	}
	*d = (struct door){ .fd = -1, .lock_fd = -1, .name = "private" };
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	door_welcome(s, fd, d);
	return s->n_clients ? 0 : -ENOMEM;
}
