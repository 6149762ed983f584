/* SPDX-License-Identifier: MIT
 * A front that was taken over asks the supervisor: any request, with any descriptors, of sockets
 * that three users made where root runs this. Policy, births and deaths are real; what is executed
 * is no program, so that who is born ends at once. Whatever comes in:
 * - what has the right size is answered, once, without a descriptor; anything else ends it;
 * - only those are told, born, killed, buried and forgotten who were shown or born and not
 * forgotten or buried, each with the ids that the kernel said and a slot of its own;
 * - a worker has rules, a lender only rules `as root`, and whoever has none gets neither;
 * - no descriptor is left but the pidfds of those who live.
 * What is born becomes a child of the supervisor's parent. So each input is run by a process that
 * is ours, and shares our memory, or the fuzzer would not see what it reached. */
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "daemon/supervisor/supervisor.h"
#include "fdpass.h"
#include "fuzz.h"

enum {
	BIRTHS = 3,   /* of one input: each is a fork */
	NUMBERS = 64, /* that a script can name */
	USERS = 3,
	MEMFD = 9,
	LISTENS = 12,
	CALLED = 13,
	THINGS = 14,
	SLOT = 2130000000,
	SECONDS = 60, /* for one input */
};

/* Whom the sockets are of, where we can become them; only the last has a rule `as root`. */
static const struct user {
	uid_t uid;
	gid_t gid, groups[3];
	size_t n_groups;
} users[USERS] = { { 0 }, { 4711, 4712, { 0 }, 0 }, { 4713, 4714, { 4720, 4712, 4719 }, 3 } };

static const struct {
	const char *name, *text;
} files[] = {
	{ "rules", "allow read under /usr to user 4711,4713\n"
		   "allow read file /etc/shadow to user 4713 as root\n"
		   "allow write,create under /srv to user 4713 and via door as root\n"
		   "allow list under /srv to group 4712\n" },
	{ "units", "allow read under /usr to unit a.service\n"
		   "deny any under /usr/share to unit b.service\n"
		   "allow read file /etc/shadow to user 4713 as root\n" },
	{ "everybody", "allow read under /usr to anyone\n" },
	{ "broken", "allow read under /usr to nobody at all\n" },
	{ "empty", "" },
	{ "full", "set explain full\n" },
	{ "bad", "set explain\n" },
};
/* The first five and the first two can be loaded, a `deny` by unit only where units are known. */
static const char *const policies[] = { "rules", "units", "everybody", "empty", "none", "broken" };
static const char *const configs[] = { "none", "full", "bad" };
enum { UNITS = 1, GOOD_POLICIES = 5, GOOD_CONFIGS = 2 };

static char tree[] = "/tmp/opend-fuzz-XXXXXX", paths[2][PATH_MAX], socket_path[PATH_MAX];
static struct sockaddr_un door = { .sun_family = AF_UNIX };
static int things[THINGS];

/* What is sent. */
struct sent {
	struct question ask;
	char more;
	int fds[ASK_FDS_MAX + 2];
	size_t size, n;
	bool dead; /* the process that it names */
};

struct born {
	uint32_t role, slot;
	uid_t uid;
	bool lives;
};

static struct world {
	struct supervisor s;
	int front;
	bool over, good; /* good: the files that are named can be loaded */
	unsigned births;
	uint32_t last; /* instance */
	struct {
		bool known;
		uid_t uid;
		gid_t gid;
	} who[NUMBERS];		   /* by number */
	struct born born[NUMBERS]; /* by instance */
} world;

/* The supervisor's descriptors have fixed numbers, which nobody else may have taken before main().
 * What is to be executed is no program. */
__attribute__((constructor)) static void reserve_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < ASK_FDS_END - 1);
}

/* ---- what there is ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static void remove_tree(void)
{
	nftw(tree, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_tree(void)
{
	char path[PATH_MAX];

	REQUIRE(mkdtemp(tree));
	atexit(remove_tree);
	for (size_t i = 0; i < ELEMENTSOF(files); i++) {
		size_t len = strlen(files[i].text);
		int fd;

		snprintf(path, sizeof path, "%s/%s", tree, files[i].name);
		fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		REQUIRE(write(fd, files[i].text, len) == (ssize_t)len && close(fd) == 0);
	}
	snprintf(socket_path, sizeof socket_path, "%s/socket", tree);
}

/* In a process that is given up, since nobody comes back from there. */
static void become(const struct user *u)
{
	REQUIRE(syscall(SYS_setgroups, u->n_groups, u->groups) == 0);
	REQUIRE(syscall(SYS_setresgid, u->gid, u->gid, u->gid) == 0);
	REQUIRE(syscall(SYS_setresuid, u->uid, u->uid, u->uid) == 0);
}

static int listener(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(door.sun_path, sizeof door.sun_path, "%s/door", tree);
	REQUIRE(bind(fd, (struct sockaddr *)&door, sizeof door) == 0 && listen(fd, 1) == 0);
	REQUIRE(chmod(tree, 0711) == 0 && chmod(door.sun_path, 0666) == 0);
	return fd;
}

/* A connection that this user made through the door, and is gone. */
static int socket_of(const struct user *u, int listener_fd)
{
	int fd, status;
	pid_t pid = fork();

	REQUIRE(pid >= 0);
	if (pid == 0) {
		if (geteuid() == 0)
			become(u);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		REQUIRE(connect(fd, (struct sockaddr *)&door, sizeof door) == 0);
		_exit(0);
	}
	REQUIRE(waitpid(pid, &status, 0) == pid && status == 0);
	fd = accept4(listener_fd, NULL, NULL, SOCK_CLOEXEC);
	REQUIRE(fd >= 0);
	return fd;
}

/* Nothing that blocks: what is shown may be written to. */
static void make_things(void)
{
	int sv[2], p[2], n = 0, listening = listener();

	REQUIRE(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sv) == 0);
	for (; n < USERS; n++)
		things[n] = socket_of(&users[n], listening);
	things[n++] = sv[0];
	close(sv[1]);
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == 0);
	things[n++] = sv[0]; /* of a process that lives: us */
	things[n++] = sv[1];
	things[n++] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0);
	things[n++] = p[0];
	things[n++] = p[1];
	things[n++] = memfd_create("thing", MFD_CLOEXEC);
	things[n++] = open("/", O_PATH | O_CLOEXEC);
	things[n++] = epoll_create1(EPOLL_CLOEXEC);
	things[n++] = listening;
	things[n++] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(connect(things[CALLED], (struct sockaddr *)&door, sizeof door) == 0);
	for (int i = 0; i < THINGS; i++)
		REQUIRE(things[i] >= 0);
	REQUIRE(n == THINGS);
}

static void prepare(void)
{
	signal(SIGPIPE, SIG_IGN);
	make_tree();
	make_things();
}

/* ---- what is asked ---- */

static void name_files(struct world *x, size_t policy, size_t config)
{
	policy %= ELEMENTSOF(policies);
	config %= ELEMENTSOF(configs);
	snprintf(paths[0], PATH_MAX, "%s/%s", tree, policies[policy]);
	snprintf(paths[1], PATH_MAX, "%s/%s", tree, configs[config]);
	x->good =
		policy < GOOD_POLICIES && config < GOOD_CONFIGS && (policy != UNITS || x->s.units);
}

static void begin(struct world *x, unsigned how)
{
	struct supervisor *s = &x->s;
	int sv[2];

	memset(x, 0, sizeof *x);
	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) == 0);
	x->front = sv[0];
	REQUIRE(dup2(sv[1], ASK_FD) == ASK_FD && close(sv[1]) == 0);
	s->system = (how & 1) && geteuid() == 0; /* the policy is root's */
	s->units = how & 2;
	s->in_userns = how & 4;
	s->landlock_max = UINT32_MAX;
	s->slot_first = s->slot_next = SLOT;
	s->slot_last = SLOT + (how & 8 ? 1 : 100);
	s->audit_uid = s->audit_gid = SLOT - 1;
	name_files(x, 0, 0);
	s->policy_paths[0] = paths[0];
	s->config_paths[0] = paths[1];
	s->sockets[0] = socket_path;
	s->doors[s->n_doors++] = door.sun_path;
	s->n_policy = s->n_config = s->n_sockets = 1;
	settings_default(&s->settings);
}

static unsigned living(const struct world *x)
{
	unsigned n = 0;

	for (size_t i = 0; i < NUMBERS; i++)
		n += x->born[i].lives;
	return n;
}

static bool is_known(const struct world *x, uint32_t number)
{
	return number < NUMBERS && x->who[number].known;
}

static bool lives(const struct world *x, uint32_t instance)
{
	return instance < NUMBERS && x->born[instance].lives;
}

static void was_identified(struct world *x, int shown, const struct told *told)
{
	struct ucred peer;
	socklen_t len = sizeof peer;

	REQUIRE(getsockopt(shown, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0);
	REQUIRE(told->uid == peer.uid && told->gid == peer.gid && peer.uid != (uid_t)-1);
	/* Of others it tells who listens, or who made a pair. */
	REQUIRE(!x->s.system || shown == things[0] || shown == things[1] || shown == things[2]);
	REQUIRE(told->identity >= 1 && memchr(told->unit, 0, sizeof told->unit));
	if (told->identity >= NUMBERS)
		return;
	REQUIRE(!x->who[told->identity].known || x->who[told->identity].uid == peer.uid);
	x->who[told->identity].known = true;
	x->who[told->identity].uid = peer.uid;
	x->who[told->identity].gid = peer.gid;
}

/* Each line of it that allows anything does so `as root`. */
static bool only_as_root(const char *text)
{
	for (const char *end; *text; text = end + 1) {
		end = strchr(text, '\n');
		REQUIRE(end);
		if (strncmp(text, "allow ", 6) == 0 &&
		    !memmem(text, (size_t)(end - text), " as root", 8))
			return false;
	}
	return true;
}

static void was_born(struct world *x, const struct question *ask, const struct told *told)
{
	const struct child *c = child_find(&x->s, told->instance);
	struct born *b = &x->born[told->instance % NUMBERS];

	REQUIRE(told->pid > 1 && told->pid != getpid());
	if (ask->role == ASK_ROLE_AUDIT)
		return;
	REQUIRE(c && c->role == ask->role && told->instance > x->last);
	REQUIRE(c->is.uid == told->uid && c->is.gid == told->gid && c->slot == told->slot);
	REQUIRE(c->role == BIRTH_LOBBY ? c->text_len == 0 : c->text_len > 0);
	if (c->role == BIRTH_LOBBY)
		REQUIRE(told->uid == geteuid());
	else if (ask->identity)
		REQUIRE(is_known(x, ask->identity) && told->uid == x->who[ask->identity].uid &&
			told->gid == x->who[ask->identity].gid);
	else
		REQUIRE(lives(x, ask->instance) && told->uid == x->born[ask->instance].uid &&
			x->born[ask->instance].role == BIRTH_WORKER);
	if (c->role == BIRTH_LENDER)
		REQUIRE(x->s.system && told->uid == users[2].uid && only_as_root(c->text));
	if (x->s.system)
		REQUIRE(told->slot >= x->s.slot_first && told->slot <= x->s.slot_last);
	for (size_t i = 0; i < NUMBERS && x->s.system; i++)
		REQUIRE(!x->born[i].lives || x->born[i].slot != told->slot);
	x->last = told->instance;
	*b = (struct born){ .role = c->role, .slot = told->slot, .uid = told->uid, .lives = true };
}

static bool is_dead(const struct child *c)
{
	struct pollfd p = { .fd = c ? c->pidfd : -1, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void was_answered(struct world *x, const struct sent *q, const struct told *told)
{
	const struct question *ask = &q->ask;
	int r = told->result;

	switch (ask->type) {
	case ASK_POLICY:
		REQUIRE(r < 0 || (x->good && x->s.policy));
		REQUIRE(r == 0 || !x->good || q->n != 1 || q->fds[0] != things[MEMFD]);
		break;
	case ASK_IDENTITY:
		if (r == 0)
			was_identified(x, q->fds[0], told);
		break;
	case ASK_FORGET:
		REQUIRE((r == 0) == is_known(x, ask->identity));
		if (r == 0)
			x->who[ask->identity].known = false;
		break;
	case ASK_FIT:
		REQUIRE((r == 0) == is_known(x, ask->identity));
		REQUIRE(r < 0 || told->instance == 0 || lives(x, told->instance));
		REQUIRE(r < 0 || told->root_rules <= told->rules);
		REQUIRE(r < 0 || !told->fits || lives(x, ask->instance));
		break;
	case ASK_BIRTH:
		if (r == 0)
			was_born(x, ask, told);
		break;
	case ASK_KILL:
		REQUIRE((r == 0) == lives(x, ask->instance));
		break;
	case ASK_BURY:
		REQUIRE(r == -ESRCH ? !lives(x, ask->instance) : lives(x, ask->instance));
		REQUIRE(r == 0 || r == -ESRCH || !q->dead);
		if (r == 0)
			x->born[ask->instance].lives = false;
		break;
	case ASK_TIDY:
		REQUIRE(access(socket_path, F_OK) < 0);
		break;
	default:
		REQUIRE(r == -EINVAL);
	}
}

static void exchange(struct world *x, struct sent *q)
{
	const bool whole = q->size == sizeof q->ask, fits = q->n <= ASK_FDS_MAX;
	struct told told;
	size_t none;
	int r = fdpass_send(x->front, &q->ask, q->size, q->fds, q->n);

	if (r == -ETOOMANYREFS) /* others of our uid have many in flight */
		return;
	REQUIRE(r == (int)q->size);
	q->dead = is_dead(child_find(&x->s, q->ask.instance));
	r = serve_one(&x->s);
	x->over = r < 0;
	/* Where something did not fit nothing was looked at. */
	REQUIRE(x->over == (fits && !whole));
	r = fdpass_recv(x->front, &told, sizeof told, NULL, 0, &none);
	REQUIRE(x->over ? r == -EAGAIN : r == sizeof told && none == 0);
	if (x->over)
		return;
	REQUIRE(told.result <= 0 && told.result >= -4095);
	if (fits)
		was_answered(x, q, &told);
	else
		REQUIRE(told.result == -EMFILE);
	REQUIRE(fdpass_recv(x->front, &told, sizeof told, NULL, 0, &none) == -EAGAIN);
}

static void ask(struct world *x, struct script *s, size_t size)
{
	struct sent q = { .size = size };
	struct question *ask = &q.ask;
	const uint8_t *name;
	size_t len;

	ask->type = script_byte(s) % (ASK_TIDY + 2);
	ask->role = script_byte(s) % (ASK_ROLE_AUDIT + 2);
	ask->identity = script_byte(s);
	ask->instance = script_byte(s);
	q.n = script_byte(s) % (ELEMENTSOF(q.fds) + 1);
	for (size_t i = 0; i < q.n; i++) {
		unsigned which = script_byte(s) % (THINGS + 1);

		/* A report to where it reads from would be what is asked next. */
		q.fds[i] = which < THINGS	     ? things[which]
			   : ask->type == ASK_POLICY ? ASK_FD_NULL
						     : x->front;
	}
	len = script_bytes(s, &name);
	memcpy(ask->door, name, UTIL_MIN(len, sizeof ask->door));
	if (ask->identity == 255)
		ask->identity = UINT32_MAX;
	if (ask->instance == 255)
		ask->instance = UINT32_MAX;
	if (ask->type == ASK_BIRTH && x->births++ >= BIRTHS)
		return;
	if (ask->type == ASK_TIDY)
		REQUIRE(close(open(socket_path, O_CREAT | O_WRONLY, 0600)) == 0);
	exchange(x, &q);
}

static void act(struct world *x, struct script *s)
{
	unsigned action = script_byte(s), which;

	switch (action % 16) {
	case 0:
		which = script_byte(s);
		name_files(x, which, script_byte(s));
		break;
	case 1:
		ask(x, s, sizeof(struct question) - (action & 16 ? 1 : sizeof(uint32_t)));
		break;
	case 2:
		ask(x, s, sizeof(struct question) + 1);
		break;
	default:
		ask(x, s, sizeof(struct question));
	}
}

static void finish(struct world *x, unsigned before)
{
	struct supervisor *s = &x->s;
	struct child *c;
	unsigned n = 0;

	LIST_FOREACH (c, &s->children, all) {
		REQUIRE(lives(x, c->instance) && c->pidfd >= 0);
		n++;
	}
	REQUIRE(n == living(x));
	REQUIRE(count_fds() == before + 1 + n);
	while ((c = LIST_FIRST(&s->children)))
		child_bury(c);
	for (uint32_t i = 1; i <= s->n_identities; i++) {
		REQUIRE(i >= NUMBERS || is_known(x, i) == (identity_find(s, i) != NULL));
		if (identity_find(s, i))
			identity_forget(s, identity_find(s, i));
	}
	REQUIRE(!s->by_credentials);
	close(x->front);
	free(s->identities);
	free(s->rules);
	policy_free(s->policy);
	REQUIRE(count_fds() == before);
}

static void run(const uint8_t *data, size_t size)
{
	struct script s = { data, size };
	unsigned before = count_fds();

	begin(&world, script_byte(&s));
	while (s.len && !world.over)
		act(&world, &s);
	finish(&world, before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int status;
	pid_t pid;

	if (!things[0])
		prepare();
	pid = vfork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		alarm(SECONDS); /* we sleep, and so does our own */
		run(data, size);
		_exit(0);
	}
	REQUIRE(waitpid(pid, &status, 0) == pid);
	/* It has said why. */
	if (status)
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	while ((pid = wait(&status)) > 0)
		REQUIRE(WIFEXITED(status) ? WEXITSTATUS(status) == 125 || WEXITSTATUS(status) == 126
					  : WTERMSIG(status) == SIGKILL);
	return 0;
}
