/* SPDX-License-Identifier: MIT
 * From start to service: look at who we are, reach for the journal, give everything up, run. The
 * supervisor starts us with a socket on descriptor 3 over which the pipes come, and on 4 a page for
 * what we count; that is all that we ever hold. */
#include <fcntl.h>
#include <getopt.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <syslog.h>
#include "auditor.h"

enum { EXIT_USAGE = 2, OPT_PRIVATE = 256, OPT_JOURNAL, OPT_HELP, OPT_VERSION };

static const char default_journal[] = "/run/systemd/journal/socket";

static const char help[] =
	"opend-audit - writes opend's decisions to the journal\n"
	"\n"
	"  opend-audit [--private] [--journal SOCKET]\n"
	"\n"
	"  --private         belongs to an opend that serves one user, and runs as that user\n"
	"  --journal SOCKET  write there (default: to the journal if stderr is connected to\n"
	"                    it, else to stderr)\n"
	"  --help, --version\n"
	"\n"
	"Started by opend, with a socket on descriptor 3. See opend-audit(8).\n";

static const struct option long_options[] = {
	{ "private", no_argument, NULL, OPT_PRIVATE },
	{ "journal", required_argument, NULL, OPT_JOURNAL },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static volatile sig_atomic_t stop;

static void on_term(int signal_number)
{
	(void)signal_number;
	stop = 1;
}

/* To have interrupted a system call is all that is wanted of it. */
static void on_alarm(int signal_number)
{
	(void)signal_number;
}

/* We end by TERM, or with opend; a terminal's ^C is for him, and his last workers' records
 * are still to be written. */
static void set_signals(sigset_t *ret_waiting)
{
	static const int ignored[] = { SIGPIPE, SIGINT, SIGHUP, SIGQUIT };
	struct sigaction action = { .sa_handler = on_term };
	sigset_t term;

	for (size_t i = 0; i < ELEMENTSOF(ignored); i++)
		signal(ignored[i], SIG_IGN);
	sigaction(SIGTERM, &action, NULL);
	action.sa_handler = on_alarm;
	sigaction(SIGALRM, &action, NULL);
	sigemptyset(ret_waiting);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_SETMASK, &term, NULL);
}

static void complain(const char *what, int error)
{
	fprintf(stderr, "<%d>opend-audit: %s%s%s\n", LOG_ERR, what, error ? ": " : "",
		error ? strerror(error) : "");
}

/* JOURNAL_STREAM= is inherited by whoever a service starts; it speaks of us only if stderr still is
 * what it names (systemd.exec(5)). */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
	       fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

static bool socket_is_there(void)
{
	int type = 0;
	socklen_t len = sizeof type;

	return getsockopt(AUDIT_FD_PEERS, SOL_SOCKET, SO_TYPE, &type, &len) == 0 &&
	       type == SOCK_SEQPACKET;
}

/* The page may be missing; then nobody reads what is counted. */
static void share_stats(struct auditor *a)
{
	static struct stats nobodys;
	void *p = MAP_FAILED;
	struct stat st;

	if (fstat(AUDIT_FD_STATS, &st) == 0 && st.st_size == sizeof nobodys)
		p = mmap(NULL, sizeof nobodys, PROT_READ | PROT_WRITE, MAP_SHARED, AUDIT_FD_STATS,
			 0);
	a->stats = p == MAP_FAILED ? &nobodys : p;
	close(AUDIT_FD_STATS);
}

static int prepare(struct auditor *a, const char *journal)
{
	struct rlimit files;

	share_stats(a);

	if (syscall(SYS_close_range, AUDIT_FDS_END, ~0U, 0) < 0)
		return -errno;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	sink_init(&a->sink, journal);
	return pipes_init(a);
}

static int run(bool private, const char *journal)
{
	static struct auditor a;
	const char *wrong = confine_identity(private);
	sigset_t waiting;
	int r;

	if (!wrong && !socket_is_there())
		wrong = "descriptor 3 is not opend's socket; it is opend that starts this program";
	if (wrong) {
		fprintf(stderr, "<%d>opend-audit: will not run: %s\n", LOG_ERR, wrong);
		return EXIT_FAILURE;
	}
	set_signals(&waiting);
	if (!journal && stderr_is_journal())
		journal = default_journal;
	r = prepare(&a, journal);
	if (r == 0)
		r = confine(&a);
	if (r < 0) {
		complain("cannot start", -r);
		return EXIT_FAILURE;
	}
	r = auditor_run(&a, &stop, &waiting);
	if (r < 0 && r != -ETIMEDOUT) {
		entry_note(&a.entry, LOG_ERR, "cannot go on", -r);
		sink_put(&a.sink, &a.entry);
	}
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	const char *journal = NULL;
	bool private = false;
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case OPT_PRIVATE:
			private
			= true;
			break;
		case OPT_JOURNAL:
			journal = optarg;
			break;
		case OPT_HELP:
			return fputs(help, stdout) < 0;
		case OPT_VERSION:
			return puts("opend-audit " OPEND_VERSION_STRING) < 0;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind < argc)
		return EXIT_USAGE;
	/* Not through exit(3): there is nothing to flush, and the filter knows no more. */
	_exit(run(private, journal));
}
