/* SPDX-License-Identifier: MIT
 * The intruder's end of the back door. The test itself connects, with the effective ids of a client
 * for as long as connect(2) takes: the kernel records whose connection it is then. So it is root
 * when it looks at what becomes of the process. */
#include <grp.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "harness-backdoor.h"

enum { ANSWER_MS = 10000 };

/* ---- an opend with such workers ---- */

char *taken_over_worker(void)
{
	const char *build = getenv("BUILD");

	ensure(build, "BUILD: the build directory is not in the environment");
	return text("%s/backdoor/opend-worker", build);
}

static void install(const char *from, const char *name)
{
	ensure(RUN("install", "-m", "755", from, at("taken/%s", name)).status == 0,
	       "cannot install %s", from);
}

struct opend opend_taken_over(void)
{
	const char *args[32];
	struct opend o;
	size_t n;

	make_dir(at("taken"), 0755, 0);
	install(staged("opend"), "opend");
	install(staged("opend-supervisor"), "opend-supervisor");
	install(staged("opend-audit"), "opend-audit");
	install(taken_over_worker(), "opend-worker");
	n = opend_args(0, args);
	args[0] = at("taken/opend");
	/* Workers are to die here by hundreds. */
	args[n++] = "--config";
	args[n++] = make_file(at("taken/opend.conf"), 0644, 0, "set birth-pause-seconds 0\n");
	args[n] = NULL;
	o = opend_spawn(0, args);
	opend_wait_ready(&o);
	return o;
}

/* ---- getting in ---- */

struct raw raw_connect_as(struct who who, const char *socket)
{
	gid_t groups[64];
	int n = (int)sys(getgroups(ELEMENTSOF(groups), groups));
	struct raw r;

	sys(setgroups(who.n_groups, who.groups));
	sys(setegid(who.gid));
	sys(seteuid(who.uid));
	r = raw_connect(socket);
	sys(seteuid(0));
	sys(setegid(0));
	sys(setgroups((size_t)n, groups));
	return r;
}

/* Which of the workers is the lobby, its second argument says. */
static bool is_lobby(pid_t pid)
{
	_cleanup_close_ int fd = open(text("/proc/%d/cmdline", pid), O_RDONLY | O_CLOEXEC);
	char line[256] = "";

	return fd >= 0 && read(fd, line, sizeof line - 1) > 0 &&
	       !strcmp(line + strlen(line) + 1, "lobby");
}

static pid_t find_process(const struct opend *o, enum victim which, struct who who)
{
	pid_t found[64];
	size_t n;

	if (which == A_WORKER)
		return only_worker(o, who.uid);
	n = which == A_LENDER ? lenders(o, who.uid, found, ELEMENTSOF(found))
			      : workers(o, (uid_t)-1, found, ELEMENTSOF(found));
	for (size_t i = 0; i < n; i++)
		if (which == A_LENDER || is_lobby(found[i]))
			return found[i];
	ensure(false, "there is none");
	return -1;
}

static void look_around(struct intruder *i)
{
	char area[BACKDOOR_AREA];

	attack(i, &(struct attack){ .op = BACKDOOR_PLACES }, area, NULL);
	memcpy(&i->at, area, sizeof i->at);
}

/* The worker hands out its stream to the lender, and no longer listens there itself. */
static void go_on_to_lender(struct intruder *i, struct who who, const char *key)
{
	struct intruder lender = { .opend = i->opend, .worker = i->pid };

	raw_works(&i->raw, ++i->id, key);
	look_around(i);
	ensure(CALL(i, SYS_epoll_ctl, (uint64_t)i->at.epoll, 2 /* EPOLL_CTL_DEL */,
		    (uint64_t)i->at.lender) == 0,
	       "the worker still listens");
	lender.raw.fd = take_from(i, i->at.lender);
	lender.pid = find_process(i->opend, A_LENDER, who);
	lender.via = i->raw;
	*i = lender;
}

struct intruder intrude(const struct opend *o, enum victim which, struct who who, const char *key)
{
	struct intruder i = { .opend = o, .raw = raw_connect_as(who, o->socket), .via.fd = -1 };

	look_around(&i);
	i.pid = i.worker = find_process(o, which == A_LOBBY ? A_LOBBY : A_WORKER, who);
	if (which != A_LENDER)
		return i;
	go_on_to_lender(&i, who, key);
	look_around(&i);
	return i;
}

void intruder_leave(struct intruder *i)
{
	if (i->raw.fd >= 0)
		raw_close(&i->raw);
	if (i->via.fd >= 0)
		raw_close(&i->via);
}

/* ---- one frame ---- */

static uint64_t translate(const struct intruder *i, uint64_t arg)
{
	uint64_t offset = (uint64_t)(int32_t)arg;

	switch (arg >> 48) {
	case 0x5a01:
		return i->at.area + offset;
	case 0x5a02:
		return i->at.existing + offset;
	case 0x5a03:
		return i->at.create + offset;
	case 0x5a04:
		return i->at.stats + offset;
	case 0x5a05:
		return (uint64_t)i->at.conn;
	case 0x5a06:
		return (uint64_t)i->at.rules;
	default:
		return arg;
	}
}

static size_t put_frame(struct intruder *i, const struct attack *a, uint32_t flags, char *buf)
{
	struct backdoor_request r = {
		.header = { .size = (uint32_t)(sizeof r + a->len),
			    .type = BACKDOOR_FRAME,
			    .id = ++i->id },
		.op = a->op ? a->op : BACKDOOR_CALL,
		.flags = a->flags | flags,
		.nr = a->nr,
	};

	ensure(a->len <= BACKDOOR_AREA, "%zu bytes", a->len);
	for (size_t k = 0; k < ELEMENTSOF(r.args); k++)
		r.args[k] = translate(i, a->args[k]);
	memcpy(buf, &r, sizeof r);
	if (a->len)
		memcpy(buf + sizeof r, a->data, a->len);
	return sizeof r + a->len;
}

void post(struct intruder *i, const struct attack *list, size_t n)
{
	char buf[4 * WIRE_REQUEST_MAX];
	size_t len = 0;

	for (size_t k = 0; k < n; k++) {
		ensure(len + WIRE_REQUEST_MAX <= sizeof buf, "too many frames");
		len += put_frame(i, &list[k], 0, buf + len);
	}
	raw_send(&i->raw, buf, len);
}

static int64_t take_answer(struct intruder *i, uint64_t id, int64_t nr, void *area, int *ret_fd)
{
	union {
		struct backdoor_reply reply;
		char bytes[WIRE_REPLY_MAX];
	} in;
	int fd, size = raw_recv(&i->raw, in.bytes, &fd, ANSWER_MS);

	ensure(size >= (int)sizeof in.reply && in.reply.header.type == BACKDOOR_REPLY &&
		       in.reply.header.id == id,
	       "call %lld: no answer from the back door, but %d", (long long)nr, size);
	if (area)
		memcpy(area, in.reply.data, BACKDOOR_AREA);
	if (ret_fd)
		*ret_fd = fd;
	else
		close_fd(fd);
	return in.reply.result;
}

int64_t attack(struct intruder *i, const struct attack *a, void *area, int *ret_fd)
{
	char frame[WIRE_REQUEST_MAX];

	raw_send(&i->raw, frame, put_frame(i, a, area ? BACKDOOR_TELL : 0, frame));
	return take_answer(i, i->id, a->nr, area, ret_fd);
}

/* Sends them all, then hears all. Few enough that neither side fills up. */
static void attack_each(struct intruder *i, const struct attack *list, size_t n, int64_t *ret)
{
	char frame[WIRE_REQUEST_MAX];
	uint64_t first = i->id + 1;

	for (size_t k = 0; k < n; k++)
		raw_send(&i->raw, frame, put_frame(i, &list[k], 0, frame));
	for (size_t k = 0; k < n; k++)
		ret[k] = take_answer(i, first + k, list[k].nr, NULL, NULL);
}

int64_t call_with(struct intruder *i, const char *words, const uint64_t nr_and_args[7])
{
	struct attack a = { .nr = (int64_t)nr_and_args[0],
			    .data = words,
			    .len = words ? strlen(words) + 1 : 0 };

	memcpy(a.args, nr_and_args + 1, sizeof a.args);
	return attack(i, &a, NULL, NULL);
}

int64_t write_through(struct intruder *i, int fd, const void *bytes, size_t len)
{
	const struct attack a = { .nr = SYS_write,
				  .args = { (uint64_t)fd, IN_AREA(0), len },
				  .data = bytes,
				  .len = len };

	return attack(i, &a, NULL, NULL);
}

int take_from(struct intruder *i, int fd)
{
	const struct attack a = { .nr = SYS_dup, .args = { (uint64_t)fd }, .flags = BACKDOOR_SEND };
	int ours;
	int64_t r = attack(i, &a, NULL, &ours);

	ensure(r >= 0 && ours >= 0, "descriptor %d: %s", fd, strerror((int)-r));
	return ours;
}

int64_t send_message(struct intruder *i, int fd, const struct sockaddr_un *name, size_t name_len,
		     int push)
{
	struct {
		struct msghdr msg;
		struct iovec iov;
		char byte;
		struct sockaddr_un name;
		union {
			struct cmsghdr align;
			char bytes[CMSG_SPACE(sizeof push)];
		} control;
	} m = { 0 };
	const struct attack a = { .nr = SYS_sendmsg,
				  .args = { (uint64_t)fd, IN_AREA(0), MSG_DONTWAIT | MSG_NOSIGNAL },
				  .data = &m,
				  .len = sizeof m };
	char *area = (char *)(uintptr_t)i->at.area;

	m.iov = (struct iovec){ area + offsetof(__typeof__(m), byte), 1 };
	m.msg.msg_iov = (struct iovec *)(area + offsetof(__typeof__(m), iov));
	m.msg.msg_iovlen = 1;
	if (name) {
		m.name = *name;
		m.msg.msg_name = area + offsetof(__typeof__(m), name);
		m.msg.msg_namelen = (socklen_t)name_len;
	}
	if (push >= 0) {
		m.control.align = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof push),
						    .cmsg_level = SOL_SOCKET,
						    .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&m.control.align), &push, sizeof push);
		m.msg.msg_control = area + offsetof(__typeof__(m), control);
		m.msg.msg_controllen = sizeof m.control;
	}
	return attack(i, &a, NULL, NULL);
}

int64_t set_caps(struct intruder *i, uint64_t permitted, uint64_t effective, uint64_t inheritable)
{
	struct {
		struct __user_cap_header_struct header;
		struct __user_cap_data_struct data[2];
	} caps = { .header.version = _LINUX_CAPABILITY_VERSION_3 };
	const struct attack a = { .nr = SYS_capset,
				  .args = { IN_AREA(0), IN_AREA(sizeof caps.header) },
				  .data = &caps,
				  .len = sizeof caps };

	for (int word = 0; word < 2; word++)
		caps.data[word] = (struct __user_cap_data_struct){
			.permitted = (uint32_t)(permitted >> 32 * word),
			.effective = (uint32_t)(effective >> 32 * word),
			.inheritable = (uint32_t)(inheritable >> 32 * word),
		};
	return attack(i, &a, NULL, NULL);
}

static struct attack an_open(const char *path, uint64_t entry)
{
	return (struct attack){ .nr = SYS_openat2,
				.args = { (uint32_t)AT_FDCWD, IN_AREA(0), entry,
					  sizeof(struct open_how) },
				.data = path,
				.len = strlen(path) + 1 };
}

/* The number that its next descriptor gets. */
static uint64_t next_descriptor(struct intruder *i)
{
	int64_t fd = CALL(i, SYS_dup, 0);

	ensure(fd > 0 && CALL(i, SYS_close, (uint64_t)fd) == 0, "it can open nothing");
	return (uint64_t)fd;
}

/* Each is closed before the next is opened: whether a FIFO opens depends on who has it open. */
void open_each(struct intruder *i, const char *const *paths, uint64_t entry, size_t step, int *ret,
	       size_t n)
{
	enum { AT_A_TIME = 64 };
	const struct attack closing = { .nr = SYS_close, .args = { next_descriptor(i) } };
	struct attack list[2 * AT_A_TIME];
	int64_t results[2 * AT_A_TIME];

	for (size_t at = 0; at < n; at += AT_A_TIME) {
		size_t some = UTIL_MIN(n - at, (size_t)AT_A_TIME);

		for (size_t k = 0; k < some; k++) {
			list[2 * k] = an_open(paths[at + k], entry + 32 * step * (at + k));
			list[2 * k + 1] = closing;
		}
		attack_each(i, list, 2 * some, results);
		for (size_t k = 0; k < some; k++) {
			int64_t fd = results[2 * k];

			ensure((fd >= 0) == (results[2 * k + 1] == 0) &&
				       (fd < 0 || (uint64_t)fd == closing.args[0]),
			       "descriptor %lld was not closed", (long long)fd);
			ret[at + k] = fd < 0 ? (int)fd : 0;
		}
	}
}

int open_by(struct intruder *i, const char *path, uint64_t entry)
{
	const struct attack a = an_open(path, entry);
	int64_t fd = attack(i, &a, NULL, NULL);

	if (fd < 0)
		return (int)fd;
	ensure(CALL(i, SYS_close, (uint64_t)fd) == 0, "cannot close %lld", (long long)fd);
	return 0;
}

/* ---- death ---- */

/* Whom we traced and have not let go, is let go on its way out. */
static bool is_gone(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, __WALL | WNOHANG) == pid && WIFSTOPPED(status))
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return kill(pid, 0) < 0 && errno == ESRCH;
}

/* Gone for good, and so the supervisor has been told: it is the one that reaps. */
static void kill_and_wait(pid_t pid)
{
	int64_t until = now_msec() + ANSWER_MS;

	kill(pid, SIGKILL);
	while (!is_gone(pid)) {
		ensure(now_msec() < until, "process %d stays", pid);
		sleep_msec(1);
	}
}

/* The tracer is told while the process is on its way out, and lets go: its parent must not find
 * that somebody else has waited. Tells the signal, 0 for an exit, or -1 for an answer. */
static int wait_for_end(struct intruder *i)
{
	int64_t until = now_msec() + ANSWER_MS;
	unsigned long end;
	int status;
	char byte;

	for (;;) {
		pid_t r = (pid_t)sys(waitpid(i->pid, &status, __WALL | WNOHANG));

		if (r == i->pid && status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8)) {
			sys(ptrace(PTRACE_GETEVENTMSG, i->pid, NULL, &end));
			sys(ptrace(PTRACE_DETACH, i->pid, NULL, NULL));
			return WIFSIGNALED((int)end) ? WTERMSIG((int)end) : 0;
		}
		ensure(r == 0 || WIFSTOPPED(status), "it ended unseen, with %#x", (unsigned)status);
		if (r == i->pid)
			sys(ptrace(PTRACE_CONT, i->pid, NULL, (void *)(long)WSTOPSIG(status)));
		else if (recv(i->raw.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
			return -1;
		ensure(now_msec() < until, "neither an answer nor an end");
		sleep_msec(1);
	}
}

void intruder_end(struct intruder *i)
{
	kill_and_wait(i->pid);
	if (i->worker != i->pid)
		kill_and_wait(i->worker);
	while (i->raw.n_fds)
		close_fd(i->raw.fds[--i->raw.n_fds]);
	intruder_leave(i);
}

int death_by(struct intruder *i, const struct attack *a)
{
	int end;

	sys(ptrace(PTRACE_SEIZE, i->pid, NULL, PTRACE_O_TRACEEXIT));
	post(i, a, 1);
	end = wait_for_end(i);
	intruder_end(i);
	return end;
}
