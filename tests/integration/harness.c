/* SPDX-License-Identifier: MIT
 * Programs, tests and claims: the stage, the two runs, one tree per test, and how a failure in a
 * client's process becomes the failure of its test. The base directory is the program's; it is
 * removed whatever its tests did. */
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <grp.h>
#include "harness.h"
#include "harness-private.h"

struct who alice, bob;
const char *harness_base;
const char *harness_tree;
int harness_report = -1;

static bool second_run;
static const char *programs; /* where staged */

bool is_root(void)
{
	return geteuid() == 0;
}

struct who uid_only(uid_t uid)
{
	return (struct who){ .uid = uid, .gid = uid };
}

void harness_skip(const char *test, const char *reason)
{
	int len = (int)strlen(test);

	/* Check names the function of a test after it. */
	if (len > 3 && !strcmp(test + len - 3, "_fn"))
		len -= 3;
	dprintf(STDOUT_FILENO, "SKIP: %.*s: %s\n", len, test, reason);
}

/* ---- claims ---- */

/* What the daemon had to say belongs to a failure. */
static void show_logs(void)
{
	struct program p;

	if (!harness_tree)
		return;
	p = RUN("sh", "-c", text("cd %s/run && tail -n 30 -- *.log 2>&1", harness_tree));
	dprintf(STDOUT_FILENO, "%s", p.out);
}

void harness_fail(const char *file, int line, const char *claim, const char *fmt, ...)
{
	char why[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	if (harness_report >= 0) {
		dprintf(harness_report, "%s:%d: %s: %s", file, line, claim, why);
		_exit(EXIT_FAILURE);
	}
	show_logs();
	ck_abort_msg("%s:%d: %s: %s", file, line, claim, why);
	abort();
}

long harness_sys(long r, const char *file, int line, const char *call)
{
	if (r < 0)
		harness_fail(file, line, call, "%s", strerror(errno));
	return r;
}

int harness_ok(int r, const char *file, int line, const char *call)
{
	if (r < 0)
		harness_fail(file, line, call, "%s", strerror(-r));
	return r;
}

int64_t now_msec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000) + ts.tv_nsec / 1000000;
}

bool is_sanitized(void)
{
	const char *value = getenv("SANITIZE");

	return value && *value;
}

int64_t patience(int64_t time)
{
	const char *factor = getenv("CK_TIMEOUT_MULTIPLIER");

	return time * (factor && atoi(factor) > 1 ? atoi(factor) : 1);
}

void sleep_msec(int msec)
{
	struct timespec ts = { .tv_sec = msec / 1000, .tv_nsec = msec % 1000 * 1000000L };

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

/* Reachable until the end, so that a leak checker finds only leaks. */
char *harness_keep(char *p)
{
	static struct kept {
		struct kept *next;
		char *p;
	} * all;
	struct kept *k = malloc(sizeof *k);

	ensure(p && k, "no memory");
	*k = (struct kept){ all, p };
	all = k;
	return p;
}

char *text(const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	ensure(vasprintf(&p, fmt, ap) >= 0, "no memory");
	va_end(ap);
	return harness_keep(p);
}

void *shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ensure(p != MAP_FAILED, "%s", strerror(errno));
	return p;
}

/* ---- tests ---- */

/* Runs in the test's own process. Orphans of the daemon become our children: what it leaves behind
 * cannot hide. */
static void begin(void)
{
	char *tree = text("%s/t-XXXXXX", harness_base);

	umask(022);
	sys(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	ensure(mkdtemp(tree), "%s: %s", tree, strerror(errno));
	sys(chmod(tree, 0755));
	harness_tree = tree;
	for (size_t i = 0; i < 3; i++)
		sys(mkdir(text("%s/%s", tree, (const char *[]){ "run", "policy", "data" }[i]),
			  0755));
}

static void finish(void)
{
	no_process_left();
}

TCase *harness_case(Suite *s, const char *name, int timeout)
{
	TCase *c = tcase_create(name);

	tcase_set_timeout(c, timeout);
	tcase_add_checked_fixture(c, begin, finish);
	suite_add_tcase(s, c);
	return c;
}

void harness_add(Suite *s, const char *name, const TTest *test, int timeout, enum harness_for whom)
{
	if ((whom == FOR_ROOT && second_run) || (whom == FOR_USER && is_root()))
		return;
	tcase_add_test(harness_case(s, name, timeout), test);
}

static int run_suite(Suite *(*suite)(void))
{
	SRunner *r = srunner_create(suite());
	int failed;

	srunner_set_fork_status(r, CK_FORK);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* ---- the program ---- */

/* A file system on which programs run: /tmp may be mounted noexec. */
static char *make_base(const char *name)
{
	struct statvfs fs;
	bool noexec = statvfs("/tmp", &fs) < 0 || (fs.f_flag & ST_NOEXEC);
	char *base = text("%s/opend-%s-XXXXXX", noexec ? "/var/tmp" : "/tmp", name);

	if (!mkdtemp(base) || chmod(base, 0755) < 0) {
		perror(base);
		exit(EXIT_FAILURE);
	}
	return base;
}

/* As make install places them. */
char *staged(const char *name)
{
	const char *dir = !strcmp(name, "opend")   ? "sbin"
			  : !strcmp(name, "openc") ? "bin"
						   : "lib/opend";

	return text("%s/usr/local/%s/%s", programs, dir, name);
}

/* Every uid must reach the programs; a build tree is often in somebody's home. */
static void stage(void)
{
	static const char *const names[] = { "opend", "opend-supervisor", "opend-worker",
					     "opend-audit", "openc" };
	const char *build = getenv("BUILD");

	programs = getenv("STAGE");
	if (programs)
		return;
	if (!build) {
		fprintf(stderr, "BUILD: the build directory is not in the environment\n");
		exit(EXIT_FAILURE);
	}
	programs = text("%s/stage", harness_base);
	ensure(RUN("mkdir", "-p", text("%s/usr/local/bin", programs),
		   text("%s/usr/local/sbin", programs), text("%s/usr/local/lib/opend", programs))
			       .status == 0,
	       "cannot stage");
	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (!access(text("%s/%s", build, names[i]), X_OK))
			ensure(RUN("install", "-m", "755", text("%s/%s", build, names[i]),
				   staged(names[i]))
					       .status == 0,
			       "cannot stage %s", names[i]);
}

/* The same tests as root's uid 1000 would run them. */
static int run_as_user(Suite *(*suite)(void))
{
	int status = EXIT_FAILURE;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		char *base = text("%s/user", harness_base);

		sys(mkdir(base, 0755));
		sys(chown(base, alice.uid, alice.gid));
		sys(setgroups(0, NULL));
		sys(setresgid(alice.gid, alice.gid, alice.gid));
		sys(setresuid(alice.uid, alice.uid, alice.uid));
		sys(chdir("/"));
		harness_base = base;
		second_run = true;
		/* Not _exit(): what Check printed is still in its buffers. */
		exit(run_suite(suite));
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status))
		return EXIT_FAILURE;
	return WEXITSTATUS(status);
}

/* Also what a test that failed has left immutable. */
static void remove_base(void)
{
	if (RUN("rm", "-rf", harness_base).status == 0)
		return;
	RUN("chattr", "-R", "-f", "-i", "-a", harness_base);
	if (RUN("rm", "-rf", harness_base).status)
		fprintf(stderr, "%s: cannot be removed\n", harness_base);
}

int harness_main(const char *name, Suite *(*suite)(void))
{
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	umask(022);
	unsetenv("OPENC_SOCKET");
	harness_base = make_base(name);
	alice = is_root() ? uid_only(1000) : (struct who){ .uid = getuid(), .gid = getgid() };
	bob = uid_only(1001);
	stage();
	failed = run_suite(suite);
	if (is_root())
		failed |= run_as_user(suite);
	remove_base();
	return failed;
}
