/* SPDX-License-Identifier: MIT
 * Reaching the server: whose connection it is, where it leads, and making it again. The kernel
 * fixes at connect(2) who we are, so a connection is of no use to a forked child (two readers on
 * one stream) nor after a change of identity (it would still ask as the old one). */
#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include "internal.h"
#include "quota.h"

#define DEFAULT_ADDRESS "/run/opend/socket"

enum {
	REPEATS_LOST = 3,     /* after that many ends of file our request may be the cause */
	RECONNECT_TRIES = 20, /* with the pauses below: about three seconds */
	PAUSE_FIRST = 10,
	PAUSE_MAX = 200, /* ms */
};

/* Descriptors 0 to 2 belong to the program, even while it has them closed: printf(3) must not
 * reach a socket. Consumes fd. */
int fd_raise(int fd)
{
	int raised;

	if (fd > 2)
		return fd;
	raised = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (raised < 0)
		raised = -errno;
	close_fd(fd);
	return raised;
}

/* Every public call begins here. */
int conn_enter(struct openc_conn *c)
{
	if (!c)
		return -EINVAL;
	message_clear(c);
	if (c->pid != getpid())
		return message_fail(c, -ECHILD, OPENC_R_NONE);
	if (!c->inherited && (c->euid != geteuid() || c->egid != getegid()))
		return message_fail(c, -ESTALE, OPENC_R_NONE);
	return 0;
}

/* The errors of connect(2) would read as if they spoke of the file asked for. */
static int connect_error(int error)
{
	switch (error) {
	case EAGAIN:
	case ETIMEDOUT:
		return -ETIMEDOUT;
	case ENOMEM:
	case ENOBUFS:
		return -ENOMEM;
	default:
		return -ENOTCONN;
	}
}

static int set_send_timeout(int sock, int64_t deadline)
{
	int ms = until_msec(deadline);
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	if (ms < 0)
		return 0;
	if (ms == 0)
		return -ETIMEDOUT;
	return setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv) < 0 ? -errno : 0;
}

/* A blocking connect waits in a full backlog, and for no longer than SO_SNDTIMEO says. */
int conn_connect(struct openc_conn *c, int64_t deadline)
{
	_cleanup_close_ int sock = -1;
	int r;

	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	r = fd_raise(take_fd(&sock));
	if (r < 0)
		return r;
	sock = r;
	for (;;) {
		r = set_send_timeout(sock, deadline);
		if (r < 0)
			return r;
		if (connect(sock, (struct sockaddr *)&c->address, c->address_len) == 0)
			break;
		if (errno != EINTR)
			return connect_error(errno);
	}
	stream_reset(c);
	c->sock = take_fd(&sock);
	c->euid = geteuid();
	c->egid = getegid();
	c->lost = 0;
	return 0;
}

bool conn_may_reconnect(const struct openc_conn *c)
{
	return !c->inherited && !c->async;
}

/* The library's own reason for the end of a connection. */
int conn_reason(int error)
{
	switch (error) {
	case -ENOTCONN:
		return OPENC_R_NO_SERVER;
	case -ECONNRESET:
		return OPENC_R_LOST;
	case -ETIMEDOUT:
		return OPENC_R_TIMEOUT;
	case -EMFILE:
		return OPENC_R_FD_LOST;
	default:
		return OPENC_R_NONE;
	}
}

/* Before try number n: nothing at first, then longer and longer. */
static void pause_before(unsigned tries, int64_t deadline)
{
	int ms = PAUSE_FIRST << UTIL_MIN(tries - 1, 8u), left = until_msec(deadline);

	ms = UTIL_MIN(ms, PAUSE_MAX);
	if (left >= 0)
		ms = UTIL_MIN(ms, left);
	poll(NULL, 0, ms);
}

/* Sees to it that there is a connection. A server that restarts is away for a moment: then a
 * refusal is waited out, up to RECONNECT_TRIES times. If that was in vain, the calls after this
 * one look once and do not wait for it again. */
int conn_ensure(struct openc_conn *c, struct attempts *a)
{
	unsigned tries = c->away ? 1 : RECONNECT_TRIES;
	int r;

	if (!c->lost)
		return 0;
	if (!c->goodbye)
		a->lost++;
	if (!conn_may_reconnect(c) || a->lost > REPEATS_LOST || a->tries >= tries)
		return c->lost;
	r = -ENOTCONN;
	while (r == -ENOTCONN && a->tries < tries) {
		if (a->tries > 0)
			pause_before(a->tries, a->deadline);
		if (a->tries > 0 && until_msec(a->deadline) == 0)
			break;
		a->tries++;
		r = conn_connect(c, a->deadline);
	}
	c->away = r == -ENOTCONN;
	return r;
}

/* An inherited descriptor is taken over: it must be what the protocol is spoken on. */
static int check_inherited(int fd)
{
	int domain, type;
	socklen_t len = sizeof domain;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0)
		return -errno;
	len = sizeof type;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -errno;
	return domain == AF_UNIX && type == SOCK_STREAM ? 0 : -EPROTOTYPE;
}

static int parse_fd(const char *digits)
{
	long n = 0;

	if (!*digits)
		return -EINVAL;
	for (const char *p = digits; *p; p++) {
		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		n = n * 10 + (*p - '0');
		if (n > INT_MAX)
			return -EINVAL;
	}
	return (int)n;
}

static int take_over(struct openc_conn *c, const char *digits)
{
	int fd, r;

	fd = parse_fd(digits);
	if (fd < 0)
		return fd;
	r = check_inherited(fd);
	if (r < 0)
		return r;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	fd = fd_raise(fd);
	if (fd < 0)
		return fd;
	c->sock = fd;
	c->inherited = true;
	return 0;
}

/* Whoever connects again later may have another working directory by then. */
static int set_path(struct openc_conn *c, const char *path)
{
	char cwd[PATH_MAX] = "";
	size_t len;

	if (!*path)
		return -EINVAL;
	if (*path != '/' && !getcwd(cwd, sizeof cwd))
		return -errno;
	len = strlen(cwd) + (*cwd ? 1 : 0) + strlen(path);
	if (len >= sizeof c->address.sun_path)
		return -ENAMETOOLONG;
	c->address.sun_family = AF_UNIX;
	sprintf(c->address.sun_path, "%s%s%s", cwd, *cwd ? "/" : "", path);
	c->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	return 0;
}

/* The descriptor that the environment names is there once; its number may be anybody's later,
 * also in a child. */
static int claim_environment(void)
{
	static atomic_flag taken = ATOMIC_FLAG_INIT;

	return atomic_flag_test_and_set(&taken) ? -EBUSY : 0;
}

static int set_address(struct openc_conn *c, const char *address)
{
	bool from_environment = false;

	if (!address) {
		address = secure_getenv("OPENC_SOCKET");
		from_environment = address && *address;
		if (!from_environment)
			address = DEFAULT_ADDRESS;
	}
	if (strncmp(address, "fd:", 3) == 0) {
		int r = from_environment ? claim_environment() : 0;

		return r < 0 ? r : take_over(c, address + 3);
	}
	return set_path(c, address);
}

/* There is no call that only reads the umask, and a sandboxed process has no /proc. 077 in
 * between: what another thread creates just then is too private, never too open. */
static mode_t find_umask(void)
{
	mode_t mask = umask(077);

	umask(mask);
	return mask;
}

static int conn_start(struct openc_conn *c, const char *address)
{
	int r;

	r = set_address(c, address);
	if (r < 0)
		return r;
	c->umask = find_umask();
	if (c->inherited)
		return 0;
	if (quota_is_set())
		c->looking.usec = 0;
	return conn_connect(c, deadline_in(c->timeout));
}

static void conn_init(struct openc_conn *c)
{
	c->sock = -1;
	c->pid = getpid();
	c->timeout = TIMEOUT_DEFAULT;
	c->wake = FOR_EVER;
	look_init(&c->looking);
	for (size_t i = 0; i < ELEMENTSOF(c->ready); i++)
		c->ready[i] = (struct ready){ NO_SLOT, NO_SLOT };
}

/* Pages that are never touched cost nothing, and most of a connection never is; malloc(3) would
 * clear all of it each time it hands the same memory out again. */
static struct openc_conn *conn_alloc(void)
{
	void *p = mmap(NULL, sizeof(struct openc_conn), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int openc_new(struct openc_conn **ret, const char *address)
{
	WITHOUT_CANCELLATION;
	struct openc_conn *c;
	int r;

	if (!ret)
		return -EINVAL;
	*ret = NULL;
	c = conn_alloc();
	if (!c)
		return -ENOMEM;
	conn_init(c);
	r = conn_start(c, address);
	if (r < 0) {
		openc_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

struct openc_conn *openc_free(struct openc_conn *c)
{
	WITHOUT_CANCELLATION;

	if (!c)
		return NULL;
	stream_reset(c);
	c->sock = close_fd(take_fd(&c->sock));
	for (size_t i = 0; i < request_slots(c); i++)
		request_release(c, &c->slots[i]);
	munmap(c, sizeof *c);
	return NULL;
}

int openc_set_timeout(struct openc_conn *c, int milliseconds)
{
	int r = conn_enter(c);

	if (r < 0)
		return r;
	if (milliseconds < -1)
		return message_fail(c, -EINVAL, OPENC_R_NONE);
	c->timeout = milliseconds;
	return 0;
}
