/* SPDX-License-Identifier: MIT
 * opend-audit as a process: started as the supervisor starts it, fed through pipes as workers feed
 * it, read where the journal reads it (a datagram socket that speaks its native protocol) or at
 * stderr. Its hostile neighbours are here: who lies, who writes rubbish, who floods, and a journal
 * that takes nothing. */
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include "fdpass.h"
#include "test-audit.h"

enum { UNPRIVILEGED = 61235, WAIT_MS = 10000, TEXT_MAX = 65536 };

/* ---- the program, and what the supervisor does for it ---- */

struct program {
	pid_t pid;
	int peers;   /* the supervisor's end */
	int err;     /* where its stderr is read */
	int journal; /* where the journal reads, or -1 */
	int stats_fd;
	const struct stats *stats; /* what it counts */
	char dir[64], socket[96];
};

/* How it is started; zero is how it should be. */
struct start {
	bool journal, terminal, private, as_root, keep_capability, new_privs, no_socket;
	rlim_t files;
};

static int open_program(void)
{
	const char *build = getenv("BUILD");
	char path[4096];
	int fd;

	snprintf(path, sizeof path, "%s/opend-audit", build ? build : "build");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_msg(fd >= 0, "%s: %s (BUILD names the build directory)", path, strerror(errno));
	return fd;
}

static void make_journal(struct program *p)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(p->dir, sizeof p->dir, "/tmp/opend-audit-test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(p->dir));
	ck_assert_int_eq(chmod(p->dir, 0755), 0);
	snprintf(p->socket, sizeof p->socket, "%s/journal", p->dir);
	memcpy(address.sun_path, p->socket, sizeof p->socket);
	p->journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(p->journal, 0);
	ck_assert_int_eq(bind(p->journal, (struct sockaddr *)&address, sizeof address), 0);
	ck_assert_int_eq(chmod(p->socket, 0666), 0);
}

static bool raise_capability(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = 1 << CAP_KILL,
						    .permitted = 1 << CAP_KILL,
						    .inheritable = 1 << CAP_KILL } };

	return syscall(SYS_capset, &header, data) == 0 &&
	       prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0) == 0;
}

static bool become_nobody(const struct start *how)
{
	if (geteuid() != 0 || how->as_root)
		return true;
	if (how->keep_capability && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return false;
	if (setgroups(0, NULL) < 0 || setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED) < 0 ||
	    setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED) < 0)
		return false;
	return !how->keep_capability || raise_capability();
}

static void run_program(const struct program *p, const struct start *how, int exe, int err,
			int peers)
{
	const struct rlimit files = { how->files, how->files };
	char *args[5] = { (char *)"opend-audit" }, *const env[] = { NULL };
	int null = open("/dev/null", O_RDWR), n = 1;

	/* Above what is assigned below. */
	exe = fcntl(exe, F_DUPFD_CLOEXEC, 10);
	peers = fcntl(peers, F_DUPFD_CLOEXEC, 10);
	if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(err, 2) < 0)
		_exit(99);
	if (dup2(p->stats_fd, AUDIT_FD_STATS) < 0)
		_exit(99);
	close(AUDIT_FD_PEERS);
	if (!how->no_socket && dup2(peers, AUDIT_FD_PEERS) < 0)
		_exit(99);
	if (how->files && setrlimit(RLIMIT_NOFILE, &files) < 0)
		_exit(99);
	if (!how->new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(99);
	if (!become_nobody(how))
		_exit(99);
	if (how->private)
		args[n++] = (char *)"--private";
	if (p->journal >= 0) {
		args[n++] = (char *)"--journal";
		args[n++] = (char *)p->socket;
	}
	fexecve(exe, args, env);
	_exit(99);
}

/* A terminal, as it is at first: poll(2) says that it is writable when some bytes fit, and write(2)
 * of a line waits in the midst of it. */
static void make_terminal(int ends[2])
{
	ends[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(ends[0], 0);
	ck_assert(grantpt(ends[0]) == 0 && unlockpt(ends[0]) == 0);
	ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
	ck_assert_int_ge(ends[1], 0);
}

static struct program start(struct start how)
{
	struct program p = { .journal = -1 };
	_cleanup_close_ int exe = open_program();
	int err[2], peers[2];

	p.stats_fd = memfd_create("stats", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(p.stats_fd, sizeof *p.stats), 0);
	p.stats = mmap(NULL, sizeof *p.stats, PROT_READ, MAP_SHARED, p.stats_fd, 0);
	ck_assert_ptr_ne(p.stats, MAP_FAILED);
	if (how.journal)
		make_journal(&p);
	if (how.terminal)
		make_terminal(err);
	else
		ck_assert_int_eq(pipe2(err, O_CLOEXEC), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, peers), 0);
	p.pid = fork();
	ck_assert_int_ge(p.pid, 0);
	if (p.pid == 0)
		run_program(&p, &how, exe, err[1], peers[1]);
	close(err[1]);
	close(peers[1]);
	p.err = err[0];
	p.peers = peers[0];
	return p;
}

/* Returns the exit status, or -signal. */
static int wait_for_end(struct program *p)
{
	int status;

	for (int ms = 0; ms < WAIT_MS; ms += 10) {
		pid_t pid = waitpid(p->pid, &status, WNOHANG);

		ck_assert_int_ge(pid, 0);
		if (pid > 0)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
		usleep(10000);
	}
	kill(p->pid, SIGKILL);
	ck_abort_msg("opend-audit did not end");
}

static void cleanup(struct program *p)
{
	close_fd(p->err);
	close_fd(p->journal);
	close_fd(p->stats_fd);
	munmap((void *)p->stats, sizeof *p->stats);
	if (p->dir[0]) {
		unlink(p->socket);
		rmdir(p->dir);
	}
}

/* The supervisor goes away, and with it all pipes; the program follows. */
static void finish(struct program *p)
{
	p->peers = close_fd(p->peers);
	ck_assert_int_eq(wait_for_end(p), EXIT_SUCCESS);
	cleanup(p);
}

/* A worker's pipe, its reading end handed over. Returns the writing end. */
static int connect_worker(struct program *p, const struct audit_peer *who)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
	for (int ms = 0;; ms++) {
		int r = fdpass_send(p->peers, who, sizeof *who, &ends[0], 1);

		if (r == sizeof *who)
			break;
		ck_assert_msg((r == -EAGAIN || r == -ETOOMANYREFS) && ms < WAIT_MS, "%s",
			      strerror(-r));
		usleep(1000);
	}
	close(ends[0]);
	return ends[1];
}

static void tell(int fd, const struct sample *s)
{
	char buf[AUDIT_RECORD_MAX];
	size_t size = encode(buf, s);

	ck_assert_int_eq(write(fd, buf, size), (ssize_t)size);
}

static uint64_t now_ms(void)
{
	return clock_usec() / 1000;
}

/* ---- what it wrote ---- */

/* The next datagram; false when none comes within ms. */
static bool read_entry(const struct program *p, char text[TEXT_MAX], int ms)
{
	struct pollfd poll_fd = { .fd = p->journal, .events = POLLIN };
	ssize_t n;

	if (poll(&poll_fd, 1, ms) <= 0)
		return false;
	text[0] = '\n';
	n = recv(p->journal, text + 1, TEXT_MAX - 2, 0);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(text[n], '\n');
	text[n + 1] = 0;
	return true;
}

static bool has(const char *text, const char *name, const char *value)
{
	char line[1024];

	snprintf(line, sizeof line, "\n%s=%s\n", name, value);
	return strstr(text, line) != NULL;
}

#define ck_assert_field(text, name, value)                                                         \
	ck_assert_msg(has(text, name, value), "no %s=%s in:%s", name, value, text)

static uint64_t number(const char *text, const char *name)
{
	char key[64];
	const char *at;

	snprintf(key, sizeof key, "\n%s=", name);
	at = strstr(text, key);
	return at ? strtoull(at + strlen(key), NULL, 10) : 0;
}

/* One line of stderr, without its end; false when none comes within ms. */
static bool read_line(const struct program *p, char line[TEXT_MAX], int ms)
{
	struct pollfd poll_fd = { .fd = p->err, .events = POLLIN };
	size_t n = 0;

	for (;;) {
		if (poll(&poll_fd, 1, ms) <= 0)
			return false;
		if (read(p->err, line + n, 1) != 1)
			return false;
		if (line[n] == '\n')
			break;
		if (line[n] == '\r')
			continue; /* a terminal's */
		ck_assert_uint_lt(++n, TEXT_MAX - 1);
	}
	line[n] = 0;
	return true;
}

/* ---- decisions ---- */

START_TEST(each_decision_reaches_the_journal_field_by_field)
{
	struct program p = start((struct start){ .journal = true });
	const struct audit_peer who = a_worker();
	struct sample denial = a_denial(), grant = a_grant(), suppressed = a_suppressed(5);
	int worker = connect_worker(&p, &who);
	static char text[TEXT_MAX];

	tell(worker, &denial);
	tell(worker, &grant);
	tell(worker, &suppressed);
	ck_assert(read_entry(&p, text, WAIT_MS));
	ck_assert_str_eq(text, "\nMESSAGE=denied: uid 1000 may not read /srv/x: no rule of the "
			       "policy names this path (serial 4294967297)\n"
			       "PRIORITY=5\nSYSLOG_FACILITY=10\nSYSLOG_IDENTIFIER=opend\n"
			       "MESSAGE_ID=" MESSAGE_ID_DENIAL "\n"
			       "OPEND_DECISION=denial\nOPEND_REASON=no-rule\n"
			       "OPEND_SERIAL=4294967297\nOPEND_ACCESS=read\nOPEND_ERRNO=13\n"
			       "OPEND_UID=1000\nOPEND_GID=100\nOPEND_GENERATION=7\n"
			       "OPEND_PATH=/srv/x\nOPEND_VIA=main\nOPEND_WORKER=4711\n");
	ck_assert(read_entry(&p, text, WAIT_MS));
	ck_assert_field(text, "MESSAGE_ID", MESSAGE_ID_GRANT);
	ck_assert_field(text, "PRIORITY", "6");
	ck_assert_field(text, "OPEND_DECISION", "grant");
	ck_assert_field(text, "OPEND_REASON", "granted");
	ck_assert_field(text, "OPEND_ACCESS", "read,write");
	ck_assert_field(text, "OPEND_AS", "root");
	ck_assert_field(text, "OPEND_PATH", "/etc/ssl/site.key");
	ck_assert_field(text, "OPEND_PLACE", "/etc/ssl/private/site.key");
	ck_assert_field(text, "OPEND_RULE", "/etc/opend/policy.d/60-nginx.policy:1");
	ck_assert_field(text, "OPEND_VIA", "nginx");
	ck_assert_field(text, "OPEND_UNIT", "nginx.service");
	ck_assert(read_entry(&p, text, WAIT_MS));
	ck_assert_field(text, "MESSAGE_ID", MESSAGE_ID_SUPPRESSED);
	ck_assert_field(text, "OPEND_DECISION", "suppressed");
	ck_assert_field(text, "OPEND_HELD_BACK", "5");
	ck_assert(!read_entry(&p, text, 50));
	close(worker);
	finish(&p);
}
END_TEST

START_TEST(without_a_journal_each_record_is_a_line_of_stderr)
{
	struct program p = start((struct start){ 0 });
	const struct audit_peer who = a_worker();
	struct sample denial = a_denial(), grant = a_grant(), suppressed = a_suppressed(5);
	int worker = connect_worker(&p, &who);
	static char line[TEXT_MAX];

	denial.path = "/srv/a\nb";
	tell(worker, &denial);
	tell(worker, &grant);
	tell(worker, &suppressed);
	ck_assert(read_line(&p, line, WAIT_MS));
	ck_assert_str_eq(line, "<5>denied: uid 1000 may not read /srv/a\\x0ab: no rule of the "
			       "policy names this path (serial 4294967297) reason=no-rule errno=13 "
			       "gid=100 generation=7 via=main worker=4711");
	ck_assert(read_line(&p, line, WAIT_MS));
	ck_assert_ptr_eq(strstr(line, "<6>granted: uid 1000 may read,write "), line);
	ck_assert(read_line(&p, line, WAIT_MS));
	ck_assert_ptr_eq(strstr(line, "<5>held back: 5 more denials of uid 1000 "), line);
	close(worker);
	finish(&p);
}
END_TEST

/* A record that becomes four times as long, wherever it goes, stays one message. */
START_TEST(the_longest_record_stays_whole)
{
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();
	static char path[AUDIT_RECORD_MAX - sizeof(struct audit_record) - 4], text[TEXT_MAX];

	memset(path, 0x1b, sizeof path);
	s.path = path;
	s.path_len = sizeof path;
	for (int journal = 0; journal < 2; journal++) {
		struct program p = start((struct start){ .journal = journal });
		int worker = connect_worker(&p, &who);

		tell(worker, &s);
		ck_assert(journal ? read_entry(&p, text, WAIT_MS) : read_line(&p, text, WAIT_MS));
		ck_assert_uint_gt(strlen(text), 4 * sizeof path);
		ck_assert_ptr_nonnull(strstr(text, "\\x1b: no rule of the policy"));
		close(worker);
		finish(&p);
	}
}
END_TEST

START_TEST(when_the_journals_socket_goes_stderr_takes_over)
{
	struct program p = start((struct start){ .journal = true });
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();
	int worker = connect_worker(&p, &who);
	static char text[TEXT_MAX];

	tell(worker, &s);
	ck_assert(read_entry(&p, text, WAIT_MS));
	p.journal = close_fd(p.journal);
	tell(worker, &s);
	ck_assert(read_line(&p, text, WAIT_MS));
	ck_assert_str_eq(text, "<4>opend-audit: the journal's socket is gone; records go to stderr "
			       "(ECONNREFUSED)");
	ck_assert(read_line(&p, text, WAIT_MS));
	ck_assert_ptr_eq(strstr(text, "<5>denied: "), text);
	close(worker);
	finish(&p);
}
END_TEST

/* ---- who lies, who writes rubbish, who floods ---- */

START_TEST(nobody_speaks_for_another)
{
	struct program p = start((struct start){ .journal = true });
	struct audit_peer liar = a_worker(), victim = a_worker();
	const struct audit_peer lobby = a_lobby();
	struct sample s = a_denial();
	static char text[TEXT_MAX];
	int fds[3];

	liar.uid = 1001;
	liar.gid = 101;
	liar.instance = 2;
	fds[0] = connect_worker(&p, &victim);
	fds[1] = connect_worker(&p, &liar);
	fds[2] = connect_worker(&p, &lobby);
	tell(fds[1], &s); /* with the victim's uid, gid and serial in it */
	ck_assert(read_entry(&p, text, WAIT_MS));
	ck_assert_field(text, "OPEND_UID", "1001");
	ck_assert_field(text, "OPEND_GID", "101");
	ck_assert_field(text, "OPEND_SERIAL", "8589934593");
	tell(fds[0], &s);
	ck_assert(read_entry(&p, text, WAIT_MS));
	ck_assert_field(text, "OPEND_UID", "1000");
	ck_assert_field(text, "OPEND_SERIAL", "4294967297");
	tell(fds[2], &s);
	ck_assert(read_entry(&p, text, WAIT_MS));
	ck_assert_field(text, "OPEND_UID", "1000");
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	finish(&p);
}
END_TEST

/* Writes these bytes through a pipe of their own, then ends it; in between, a good worker is heard.
 * Returns how many complaints came. */
static int disturb(struct program *p, const char *bytes, size_t len, int good)
{
	struct audit_peer who = a_worker();
	struct sample s = a_denial();
	static char text[TEXT_MAX];
	int bad, complaints = 0;

	who.uid = 666;
	bad = connect_worker(p, &who);
	/* It may be closed already by the time of the last byte. */
	ck_assert(write(bad, bytes, len) == (ssize_t)len || errno == EPIPE);
	close(bad);
	tell(good, &s);
	for (bool heard = false; !heard;) {
		ck_assert(read_entry(p, text, WAIT_MS));
		heard = has(text, "OPEND_UID", "1000");
		complaints += has(text, "MESSAGE_ID", MESSAGE_ID_MALFORMED);
		ck_assert(heard || has(text, "OPEND_UID", "666"));
	}
	return complaints;
}

static int late_complaints(const struct program *p)
{
	static char text[TEXT_MAX];
	int n = 0;

	while (read_entry(p, text, 200))
		n += has(text, "MESSAGE_ID", MESSAGE_ID_MALFORMED);
	return n;
}

START_TEST(malformed_records_close_their_own_pipe_only)
{
	struct program p = start((struct start){ .journal = true });
	const struct audit_peer who = a_worker();
	struct sample s = a_grant();
	char buf[AUDIT_RECORD_MAX];
	size_t size = encode(buf, &s);
	int good, complaints = 0, expected = 0;
	struct record rec;

	signal(SIGPIPE, SIG_IGN);
	good = connect_worker(&p, &who);
	for (size_t bit = 0; bit < sizeof(struct audit_record) * 8; bit++) {
		buf[bit / 8] ^= (char)(1 << bit % 8);
		complaints += disturb(&p, buf, size, good);
		/* Bytes that wait for more end in the midst of a record. */
		expected += record_decode(buf, size, &rec) <= 0;
		buf[bit / 8] ^= (char)(1 << bit % 8);
	}
	for (size_t len = 1; len < size; len++) {
		complaints += disturb(&p, buf, len, good);
		expected++;
	}
	complaints += late_complaints(&p);
	ck_assert_int_gt(expected, 200);
	ck_assert_int_eq(complaints, expected);
	ck_assert_int_eq(disturb(&p, buf, size, good) + late_complaints(&p), 0);
	close(good);
	finish(&p);
}
END_TEST

START_TEST(nothing_is_read_behind_a_malformed_record)
{
	struct program p = start((struct start){ .journal = true });
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();
	char buf[2 * AUDIT_RECORD_MAX] = { 0 };
	size_t size = encode(buf + 8, &s);
	static char text[TEXT_MAX];
	int worker = connect_worker(&p, &who);

	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(write(worker, buf, size + 8), (ssize_t)size + 8);
	ck_assert(read_entry(&p, text, WAIT_MS));
	ck_assert_field(text, "MESSAGE_ID", MESSAGE_ID_MALFORMED);
	ck_assert_field(text, "OPEND_UID", "1000");
	ck_assert_field(text, "PRIORITY", "3");
	ck_assert(!read_entry(&p, text, 100));
	ck_assert(write(worker, buf, 1) < 0 && errno == EPIPE);
	close(worker);
	finish(&p);
}
END_TEST

START_TEST(records_may_come_in_pieces_and_many_at_once)
{
	struct program p = start((struct start){ .journal = true });
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();
	char buf[AUDIT_RECORD_MAX], many[60000];
	size_t size = encode(buf, &s), n = sizeof many / size;
	static char text[TEXT_MAX];
	int worker = connect_worker(&p, &who);

	for (size_t i = 0; i < size; i++) {
		ck_assert_int_eq(write(worker, buf + i, 1), 1);
		usleep(100);
	}
	ck_assert(read_entry(&p, text, WAIT_MS));
	ck_assert_field(text, "OPEND_SERIAL", "4294967297");
	for (size_t i = 0; i < n; i++) {
		s.fixed.serial = 4294967297 + i;
		encode(many + i * size, &s);
	}
	ck_assert_int_eq(write(worker, many, n * size), (ssize_t)(n * size));
	for (size_t i = 0; i < n; i++) {
		ck_assert(read_entry(&p, text, WAIT_MS));
		ck_assert_uint_eq(number(text, "OPEND_SERIAL"), 4294967297 + i);
	}
	close(worker);
	finish(&p);
}
END_TEST

static pid_t start_flood(int fd)
{
	pid_t pid = fork();
	struct sample s = a_denial();
	static char buf[65536];
	size_t n = 0;

	ck_assert_int_ge(pid, 0);
	if (pid)
		return pid;
	signal(SIGPIPE, SIG_DFL);
	while (n + 128 < sizeof buf)
		n += encode(buf + n, &s);
	for (;;)
		if (write(fd, buf, n) < 0)
			_exit(0);
}

START_TEST(a_flood_delays_nobody_else)
{
	struct program p = start((struct start){ .journal = true });
	struct audit_peer who = a_worker(), other = a_worker();
	struct sample s = a_denial();
	static char text[TEXT_MAX];
	int flooded, worker, status;
	uint64_t worst = 0, from_flood = 0;
	pid_t pid;

	other.uid = 2000;
	flooded = connect_worker(&p, &who);
	worker = connect_worker(&p, &other);
	pid = start_flood(flooded);
	while (from_flood < 1000 && read_entry(&p, text, WAIT_MS))
		from_flood++;
	for (int i = 0; i < 20; i++) {
		uint64_t began = now_ms(), before = from_flood;

		tell(worker, &s);
		do {
			ck_assert(read_entry(&p, text, WAIT_MS));
			from_flood++;
		} while (!has(text, "OPEND_UID", "2000"));
		worst = UTIL_MAX(worst, now_ms() - began);
		/* No more than what had left already, one turn of the flood's and one of ours. */
		ck_assert_uint_lt(from_flood - before, 4 * AUDIT_RECORD_MAX / sizeof s.fixed);
	}
	ck_assert_msg(worst < 1000, "%llu ms", (unsigned long long)worst);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(flooded);
	close(worker);
	p.peers = close_fd(p.peers);
	while (read_entry(&p, text, 100))
		;
	ck_assert_int_eq(wait_for_end(&p), EXIT_SUCCESS);
	cleanup(&p);
}
END_TEST

/* ---- a log that takes nothing ---- */

/* What has come out: of each decision how many, and how many were counted. */
struct sum {
	uint64_t grants, denials, held_back;
};

static bool add_next(const struct program *p, struct sum *sum, int ms)
{
	static char text[TEXT_MAX];
	const char *lost;

	if (p->journal >= 0) {
		if (!read_entry(p, text, ms))
			return false;
		sum->grants += has(text, "OPEND_DECISION", "grant");
		sum->denials += has(text, "OPEND_DECISION", "denial");
		sum->held_back += number(text, "OPEND_HELD_BACK");
		return true;
	}
	if (!read_line(p, text, ms))
		return false;
	sum->grants += strncmp(text, "<6>granted: uid 1", 17) == 0;
	sum->denials += strncmp(text, "<5>denied: uid 1", 16) == 0;
	lost = strstr(text, "<4>lost: ") == text ? text + 9 : NULL;
	if (lost)
		sum->held_back += strtoull(lost, NULL, 10);
	return true;
}

/* Writes as a worker does, which never waits. */
static bool offer(int fd, const struct sample *s)
{
	char buf[AUDIT_RECORD_MAX];
	size_t size = encode(buf, s);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (write(fd, buf, size) == (ssize_t)size)
		return true;
	ck_assert_int_eq(errno, EAGAIN);
	return false;
}

static uint64_t cpu_usec(pid_t pid)
{
	struct timespec t;
	clockid_t clock;

	ck_assert_int_eq(clock_getcpuclockid(pid, &clock), 0);
	ck_assert_int_eq(clock_gettime(clock, &t), 0);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Nobody reads what it writes. Denials go on being taken, as many as come; grants as many as fit;
 * in the end nothing is missing: each grant is there, each denial is there or counted. */
static void with_a_stuck_log(struct start how)
{
	struct program p = start(how);
	struct audit_peer who = a_worker(), other = a_worker();
	struct sample denial = a_denial(), grant = a_grant();
	enum { DENIALS = 20000 };
	uint64_t denials = 0, grants = 0, began = now_ms(), cpu;
	int worker, other_worker, refused = 0;
	struct sum sum = { 0 };

	other.uid = 1001;
	worker = connect_worker(&p, &who);
	other_worker = connect_worker(&p, &other);
	while (denials < DENIALS) {
		ck_assert_uint_lt(now_ms() - began, WAIT_MS);
		if (offer(worker, &denial))
			denials++;
		else
			usleep(1000);
	}
	/* A pipe that is full of grants takes no more: they will not be given. */
	while (refused < 100) {
		ck_assert_uint_lt(grants, 5000);
		if (offer(worker, &grant)) {
			grants++;
		} else {
			refused++;
			usleep(1000);
		}
	}
	/* Somebody else is read all the same, and whoever comes now. */
	for (int i = 0; i < 2000; i++) {
		while (!offer(other_worker, &denial))
			usleep(1000);
		denials++;
	}
	close(connect_worker(&p, &who));
	cpu = cpu_usec(p.pid);
	usleep(500000);
	cpu = cpu_usec(p.pid) - cpu;
	ck_assert_msg(cpu < 50000, "spinning: %llu us", (unsigned long long)cpu);

	while (add_next(&p, &sum, 500))
		;
	ck_assert_uint_eq(sum.grants, grants);
	ck_assert_uint_gt(sum.held_back, DENIALS / 2);
	ck_assert_uint_eq(sum.denials + sum.held_back, denials);
	ck_assert_uint_eq(atomic_load(&p.stats->audit_dropped), sum.held_back);
	/* And it is as before. */
	ck_assert(offer(worker, &grant));
	ck_assert(add_next(&p, &sum, WAIT_MS));
	ck_assert_uint_eq(sum.grants, grants + 1);
	close(worker);
	close(other_worker);
	finish(&p);
}

START_TEST(a_stuck_journal_stops_nobody_and_loses_nothing_uncounted)
{
	with_a_stuck_log((struct start){ .journal = true });
}
END_TEST

START_TEST(a_stuck_stderr_stops_nobody_and_loses_nothing_uncounted)
{
	with_a_stuck_log((struct start){ 0 });
}
END_TEST

START_TEST(a_stuck_terminal_stops_nobody_and_loses_nothing_uncounted)
{
	with_a_stuck_log((struct start){ .terminal = true });
}
END_TEST

START_TEST(a_short_pause_of_the_journal_loses_nothing)
{
	struct program p = start((struct start){ .journal = true });
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();
	int worker = connect_worker(&p, &who);
	struct sum sum = { 0 };

	for (int i = 0; i < 400; i++)
		tell(worker, &s);
	usleep(200000);
	while (sum.denials < 400 && add_next(&p, &sum, WAIT_MS))
		;
	ck_assert_uint_eq(sum.denials, 400);
	ck_assert_uint_eq(sum.held_back, 0);
	close(worker);
	finish(&p);
}
END_TEST

/* What dead workers could not tell is told for them. */
START_TEST(the_count_of_a_worker_that_has_ended_is_not_forgotten)
{
	struct program p = start((struct start){ .journal = true });
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();
	struct sum sum = { 0 };
	int denials = 0, worker = connect_worker(&p, &who);

	for (uint64_t began = now_ms(); now_ms() - began < 1000; usleep(1000))
		denials += offer(worker, &s);
	close(worker);
	usleep(100000);
	while (add_next(&p, &sum, 300))
		;
	ck_assert_uint_gt(sum.held_back, 0);
	ck_assert_uint_eq(sum.denials + sum.held_back, (uint64_t)denials);
	finish(&p);
}
END_TEST

/* ---- its end ---- */

START_TEST(it_lives_as_long_as_a_pipe_and_no_longer)
{
	struct program p = start((struct start){ .journal = true });
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();
	int worker = connect_worker(&p, &who);
	static char text[TEXT_MAX];

	p.peers = close_fd(p.peers);
	usleep(100000);
	tell(worker, &s);
	ck_assert(read_entry(&p, text, WAIT_MS));
	ck_assert_int_eq(waitpid(p.pid, NULL, WNOHANG), 0);
	close(worker);
	ck_assert_int_eq(wait_for_end(&p), EXIT_SUCCESS);
	cleanup(&p);
}
END_TEST

START_TEST(told_to_end_it_first_writes_what_is_in_the_pipes)
{
	struct program p = start((struct start){ .journal = true });
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();
	struct sum sum = { 0 };
	static char text[TEXT_MAX];
	int workers[10];

	for (int i = 0; i < 10; i++) {
		workers[i] = connect_worker(&p, &who);
		tell(workers[i], &s);
	}
	for (int i = 0; i < 10; i++)
		ck_assert(read_entry(&p, text, WAIT_MS));
	kill(p.pid, SIGSTOP);
	for (int i = 0; i < 10; i++)
		for (int k = 0; k < 50; k++)
			tell(workers[i], &s);
	kill(p.pid, SIGTERM);
	kill(p.pid, SIGCONT);
	while (sum.denials < 500 && add_next(&p, &sum, WAIT_MS))
		;
	ck_assert_uint_eq(sum.denials, 500);
	ck_assert_int_eq(wait_for_end(&p), EXIT_SUCCESS);
	cleanup(&p);
	for (int i = 0; i < 10; i++)
		close(workers[i]);
}
END_TEST

START_TEST(told_to_end_it_does_not_wait_for_a_stuck_journal)
{
	struct program p = start((struct start){ .journal = true });
	const struct audit_peer who = a_worker();
	struct sample s = a_grant();
	int worker = connect_worker(&p, &who);
	uint64_t began;

	while (offer(worker, &s))
		usleep(1000);
	kill(p.pid, SIGTERM);
	began = now_ms();
	ck_assert_int_eq(wait_for_end(&p), EXIT_FAILURE);
	ck_assert_uint_lt(now_ms() - began, 4000);
	close(worker);
	cleanup(&p);
}
END_TEST

START_TEST(a_terminals_signals_do_not_end_it)
{
	struct program p = start((struct start){ .journal = true });
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();
	int worker = connect_worker(&p, &who);
	static char text[TEXT_MAX];

	tell(worker, &s);
	ck_assert(read_entry(&p, text, WAIT_MS));
	kill(p.pid, SIGINT);
	kill(p.pid, SIGHUP);
	tell(worker, &s);
	ck_assert(read_entry(&p, text, WAIT_MS));
	close(worker);
	finish(&p);
}
END_TEST

/* ---- descriptors ---- */

START_TEST(pipes_that_have_ended_leave_nothing_behind)
{
	struct program p = start((struct start){ .journal = true, .files = 32 });
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();
	static char text[TEXT_MAX];

	for (int i = 0; i < 2000; i++) {
		int worker = connect_worker(&p, &who);

		tell(worker, &s);
		close(worker);
		ck_assert(read_entry(&p, text, WAIT_MS));
		ck_assert_field(text, "MESSAGE_ID", MESSAGE_ID_DENIAL);
	}
	finish(&p);
}
END_TEST

/* More pipes than it may hold: those above are closed, which their workers see; no other is. */
START_TEST(running_out_of_descriptors_costs_the_newest_only)
{
	struct program p = start((struct start){ .journal = true, .files = 32 });
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();
	static char text[TEXT_MAX];
	int workers[64], served = 0;

	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 64; i++)
		workers[i] = connect_worker(&p, &who);
	usleep(300000);
	for (int i = 0; i < 64; i++) {
		char buf[AUDIT_RECORD_MAX];
		size_t size = encode(buf, &s);
		ssize_t n = write(workers[i], buf, size);

		if (i < 16)
			ck_assert_int_eq(n, (ssize_t)size);
		ck_assert(n == (ssize_t)size || errno == EPIPE);
		served += n > 0;
	}
	ck_assert_int_lt(served, 32);
	for (int i = 0; i < served; i++)
		ck_assert(read_entry(&p, text, WAIT_MS));
	for (int i = 0; i < 64; i++)
		close(workers[i]);
	finish(&p);
}
END_TEST

START_TEST(a_supervisor_of_another_build_is_not_served)
{
	struct program p = start((struct start){ 0 });
	struct audit_peer who = a_worker();
	static char line[TEXT_MAX];
	int worker;

	who.version++;
	worker = connect_worker(&p, &who);
	ck_assert(read_line(&p, line, WAIT_MS));
	ck_assert_str_eq(line, "<3>opend-audit: cannot go on (EPROTO)");
	ck_assert_int_eq(wait_for_end(&p), EXIT_FAILURE);
	close(worker);
	close(p.peers);
	cleanup(&p);
}
END_TEST

/* ---- who it is, and what it cannot do ---- */

static void will_not_run(struct start how, const char *why)
{
	struct program p = start(how);
	static char line[TEXT_MAX];

	ck_assert_int_eq(wait_for_end(&p), EXIT_FAILURE);
	ck_assert(read_line(&p, line, WAIT_MS));
	ck_assert_msg(strstr(line, "opend-audit: will not run: ") && strstr(line, why), "%s", line);
	close(p.peers);
	cleanup(&p);
}

static void runs(struct start how)
{
	struct program p = start(how);
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();
	int worker = connect_worker(&p, &who);
	static char line[TEXT_MAX];

	tell(worker, &s);
	ck_assert(read_line(&p, line, WAIT_MS));
	ck_assert_msg(strstr(line, "<5>denied") == line, "%s", line);
	close(worker);
	finish(&p);
}

START_TEST(it_runs_only_as_the_supervisor_should_start_it)
{
	runs((struct start){ 0 });
	will_not_run((struct start){ .new_privs = true }, "no_new_privs is not set");
	will_not_run((struct start){ .no_socket = true }, "descriptor 3");
}
END_TEST

START_TEST(it_runs_neither_with_a_capability_nor_as_root)
{
	if (geteuid() != 0) {
		puts("SKIP: it_runs_neither_with_a_capability_nor_as_root: only root has what is "
		     "refused");
		return;
	}
	will_not_run((struct start){ .keep_capability = true }, "it has capabilities");
	will_not_run((struct start){ .as_root = true }, "it runs as root");
	/* A private opend's may be anybody's, and keeps no capability. */
	runs((struct start){ .private = true, .as_root = true });
	runs((struct start){ .private = true, .keep_capability = true });
}
END_TEST

static void status_says(pid_t pid, const char *name, const char *value)
{
	char path[64], line[256], expected[64];
	_cleanup_fclose_ FILE *f = NULL;
	bool found = false;

	snprintf(path, sizeof path, "/proc/%d/status", pid);
	snprintf(expected, sizeof expected, "%s:\t%s\n", name, value);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof line, f))
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':') {
			ck_assert_str_eq(line, expected);
			found = true;
		}
	ck_assert_msg(found, "%s", name);
}

START_TEST(serving_it_has_no_rights_left)
{
	struct program p = start((struct start){ .journal = true });
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();
	int worker = connect_worker(&p, &who);
	static const char none[] = "0000000000000000";
	static char text[TEXT_MAX];
	struct stat st;

	tell(worker, &s);
	ck_assert(read_entry(&p, text, WAIT_MS));
	status_says(p.pid, "NoNewPrivs", "1");
	status_says(p.pid, "Seccomp", "2");
	status_says(p.pid, "CapPrm", none);
	status_says(p.pid, "CapEff", none);
	status_says(p.pid, "CapAmb", none);
	/* What is in /proc of a process that is not dumpable belongs to root. */
	snprintf(text, sizeof text, "/proc/%d/mem", p.pid);
	ck_assert_int_eq(stat(text, &st), 0);
	ck_assert_uint_eq(st.st_uid, 0);
	close(worker);
	finish(&p);
}
END_TEST

static int dummy[2], journal_end;

static void try_open(void)
{
	open("/etc/passwd", O_RDONLY);
}
static void try_socket(void)
{
	socket(AF_UNIX, SOCK_DGRAM, 0);
}
static void try_connect(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/nowhere" };

	connect(journal_end, (struct sockaddr *)&address, sizeof address);
}
static void try_kill(void)
{
	kill(getppid(), 0);
}
static void try_exec(void)
{
	char *const args[] = { (char *)"true", NULL };

	execve("/bin/true", args, NULL);
}
static void try_fork(void)
{
	syscall(SYS_fork);
}
static void try_write(void)
{
	ck_assert_int_eq(write(dummy[1], "x", 1), 1);
}
static void try_send(void)
{
	send(dummy[1], "x", 1, 0);
}
static void try_mmap(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
static void try_chmod(void)
{
	chmod("/tmp", 01777);
}
static void try_fcntl(void)
{
	fcntl(dummy[0], F_SETOWN, 1);
}
static void try_ioctl(void)
{
	syscall(SYS_ioctl, 0, 0x5412, "x");
}

/* Our own confinement, then one call. Returns what became of the process. */
static int confined(void (*attempt)(void))
{
	static struct auditor a;
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		a.sink = (struct sink){ .fd = journal_end, .journal = true };
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || confine(&a) < 0)
			_exit(99);
		if (attempt)
			attempt();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Where the filter would let it pass, Landlock refuses it. */
static void try_open_refused(void)
{
	_exit(open("/etc/passwd", O_RDONLY) < 0 ? errno : 0);
}

START_TEST(any_call_that_it_never_makes_kills_it)
{
	static void (*const attempts[])(void) = { try_open, try_socket, try_connect, try_kill,
						  try_exec, try_fork,	try_write,   try_send,
						  try_mmap, try_chmod,	try_fcntl,   try_ioctl };

	journal_end = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (getenv("SANITIZE") && *getenv("SANITIZE")) {
		if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) > 0)
			ck_assert_int_eq(confined(try_open_refused), EACCES);
		puts("SKIP: any_call_that_it_never_makes_kills_it: a sanitizer's filter is wide");
		return;
	}
	ck_assert_int_eq(pipe2(dummy, O_CLOEXEC), 0);
	ck_assert_int_eq(confined(NULL), 0);
	for (size_t i = 0; i < ELEMENTSOF(attempts); i++)
		ck_assert_msg(confined(attempts[i]) == -SIGSYS, "attempt %zu", i);
}
END_TEST

#define add(tcase, test) tcase_add_test(tcase, test)

int main(void)
{
	TCase *decisions = tcase_create("decisions"), *hostile = tcase_create("hostile"),
	      *stuck = tcase_create("stuck"), *ends = tcase_create("end"),
	      *descriptors = tcase_create("descriptors"), *rights = tcase_create("rights");
	TCase *const all[] = { decisions, hostile, stuck, ends, descriptors, rights };
	Suite *suite = suite_create("audit-program");
	SRunner *runner;
	int failed;

	add(decisions, each_decision_reaches_the_journal_field_by_field);
	add(decisions, without_a_journal_each_record_is_a_line_of_stderr);
	add(decisions, the_longest_record_stays_whole);
	add(decisions, when_the_journals_socket_goes_stderr_takes_over);
	add(hostile, nobody_speaks_for_another);
	add(hostile, malformed_records_close_their_own_pipe_only);
	add(hostile, nothing_is_read_behind_a_malformed_record);
	add(hostile, records_may_come_in_pieces_and_many_at_once);
	add(hostile, a_flood_delays_nobody_else);
	add(stuck, a_stuck_journal_stops_nobody_and_loses_nothing_uncounted);
	add(stuck, a_stuck_stderr_stops_nobody_and_loses_nothing_uncounted);
	add(stuck, a_stuck_terminal_stops_nobody_and_loses_nothing_uncounted);
	add(stuck, a_short_pause_of_the_journal_loses_nothing);
	add(stuck, the_count_of_a_worker_that_has_ended_is_not_forgotten);
	add(ends, it_lives_as_long_as_a_pipe_and_no_longer);
	add(ends, told_to_end_it_first_writes_what_is_in_the_pipes);
	add(ends, told_to_end_it_does_not_wait_for_a_stuck_journal);
	add(ends, a_terminals_signals_do_not_end_it);
	add(descriptors, pipes_that_have_ended_leave_nothing_behind);
	add(descriptors, running_out_of_descriptors_costs_the_newest_only);
	add(descriptors, a_supervisor_of_another_build_is_not_served);
	add(rights, it_runs_only_as_the_supervisor_should_start_it);
	add(rights, it_runs_neither_with_a_capability_nor_as_root);
	add(rights, serving_it_has_no_rights_left);
	add(rights, any_call_that_it_never_makes_kills_it);
	for (size_t i = 0; i < ELEMENTSOF(all); i++) {
		tcase_set_timeout(all[i], 60);
		suite_add_tcase(suite, all[i]);
	}
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
