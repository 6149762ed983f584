/* SPDX-License-Identifier: MIT
 * Options, start and end of the supervisor. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include "messages.h"
#include "front.h"

enum {
	EXIT_USAGE = 2,
	HOUSEKEEPING_USEC = 1000000,
	/* From SIGTERM on: so long a client may take to read what he asked for, and a worker to
	 * end. All who wait for the next opend wait for them. */
	HURRY_USEC = 500000,
	STOP_USEC = 3000000,
	SUPERVISOR_MS = 1000,
};

static const char *const default_policy[] = { "/etc/opend/policy.d", "/run/opend/policy.d",
					      "/usr/lib/opend/policy.d", NULL };
static const char *const default_config[] = { "/etc/opend/opend.conf", "/run/opend/opend.conf",
					      "/usr/lib/opend/opend.conf", NULL };
static const char default_control[] = "/run/opend/control";

static const char help[] =
	"opend - opens files for programs that may not, and passes the descriptor\n"
	"\n"
	"  opend [--listen [NAME=]PATH]... [--policy DIR|FILE]... [--control PATH]\n"
	"        [--user USER] [--audit-user USER] [--worker-ids FIRST-LAST]\n"
	"  opend --private-fd N --policy DIR|FILE...\n"
	"  opend --check [--verbose] [--config FILE] [DIR|FILE...]\n"
	"  opend --print-policy [DIR|FILE...]\n"
	"  opend --reload [--control PATH]\n"
	"\n"
	"  --listen [NAME=]PATH   serve on this socket; NAME is the policy's `via`\n"
	"  --policy DIR|FILE      read policy here instead of in /etc/opend/policy.d,\n"
	"                         /run/opend/policy.d and /usr/lib/opend/policy.d\n"
	"  --config FILE          read settings here instead of in /etc/opend/opend.conf,\n"
	"                         /run/opend/opend.conf and /usr/lib/opend/opend.conf\n"
	"  --control PATH         control socket (default, as a service: /run/opend/control)\n"
	"  --user USER            whom to become when started as root (default: opend)\n"
	"  --audit-user USER      who writes the audit records (default: opend-audit)\n"
	"  --worker-ids FIRST-LAST  ids that nobody else uses, one for each worker\n"
	"  --require-landlock     serve nobody whom Landlock cannot confine\n"
	"  --landlock-abi N       behave as on a kernel whose Landlock ABI is N (0: none)\n"
	"  --private-fd N         serve one connected socket, for the user who runs this\n"
	"  --check                judge the policy and the settings; exit 0 when both are\n"
	"                         valid, else 1; DIR|FILE: that policy, and settings only\n"
	"                         with --config\n"
	"  --verbose              with --check: each identity's hull too\n"
	"  --print-policy         print the policy, merged, with origins\n"
	"  --reload               have the running opend load its policy anew; exit status is\n"
	"                         the verdict\n"
	"  --help, --version\n"
	"\n"
	"Started by an ordinary user it serves that user alone. See opend(8).\n";

enum action { SERVE, CHECK, PRINT, RELOAD };

enum {
	OPT_LISTEN = 256,
	OPT_POLICY,
	OPT_CONFIG,
	OPT_CONTROL,
	OPT_USER,
	OPT_AUDIT_USER,
	OPT_WORKER_IDS,
	OPT_LANDLOCK_ABI,
	OPT_REQUIRE_LANDLOCK,
	OPT_PRIVATE_FD,
	OPT_CHECK,
	OPT_PRINT,
	OPT_RELOAD,
	OPT_VERBOSE,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "policy", required_argument, NULL, OPT_POLICY },
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "user", required_argument, NULL, OPT_USER },
	{ "audit-user", required_argument, NULL, OPT_AUDIT_USER },
	{ "worker-ids", required_argument, NULL, OPT_WORKER_IDS },
	{ "landlock-abi", required_argument, NULL, OPT_LANDLOCK_ABI },
	{ "require-landlock", no_argument, NULL, OPT_REQUIRE_LANDLOCK },
	{ "private-fd", required_argument, NULL, OPT_PRIVATE_FD },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "print-policy", no_argument, NULL, OPT_PRINT },
	{ "reload", no_argument, NULL, OPT_RELOAD },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static bool number(const char *text, unsigned max, unsigned *ret)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || n > max) {
		fprintf(stderr, "opend: \"%s\" is not a number from 0 to %u\n", text, max);
		return false;
	}
	*ret = (unsigned)n;
	return true;
}

static bool append(const char **list, const char *item)
{
	for (size_t i = 0; i < PATHS_MAX; i++)
		if (!list[i]) {
			list[i] = item;
			return true;
		}
	fprintf(stderr, "opend: more than %d of these\n", PATHS_MAX);
	return false;
}

static bool take_option(struct options *o, int option, enum action *action)
{
	unsigned n;

	switch (option) {
	case OPT_LISTEN:
		return append(o->listen, optarg);
	case OPT_POLICY:
		return append(o->policy, optarg);
	case OPT_CONFIG:
		return append(o->config, optarg);
	case OPT_CONTROL:
		o->control = optarg;
		return true;
	case OPT_USER:
		o->user = optarg;
		return true;
	case OPT_AUDIT_USER:
		o->audit_user = optarg;
		return true;
	case OPT_WORKER_IDS:
		o->worker_ids = optarg;
		return true;
	case OPT_LANDLOCK_ABI:
		return number(optarg, 1000, &o->landlock_max);
	case OPT_REQUIRE_LANDLOCK:
		o->require_landlock = true;
		return true;
	case OPT_PRIVATE_FD:
		if (!number(optarg, INT32_MAX, &n))
			return false;
		o->private_fd = (int)n;
		return true;
	case OPT_CHECK:
		*action = CHECK;
		return true;
	case OPT_PRINT:
		*action = PRINT;
		return true;
	case OPT_VERBOSE:
		o->verbose = true;
		return true;
	case OPT_RELOAD:
		*action = RELOAD;
		return true;
	default:
		return false;
	}
}

/* ---- serving ---- */

/* Everything stands on openat2(2), so it is tried before anybody is served. */
static int probe_openat2(void)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof how);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* In the initial user namespace every id is itself (user_namespaces(7)). */
static bool initial_userns(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/uid_map", "re");
	unsigned inside, outside, count;

	return f && fscanf(f, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 &&
	       outside == 0 && count == UINT32_MAX;
}

/* SO_PEERPIDFD, Linux 6.5. */
static bool probe_units(void)
{
	int sv[2], pidfd = -1;
	socklen_t len = sizeof pidfd;
	bool known;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return false;
	known = getsockopt(sv[0], SOL_SOCKET, 77, &pidfd, &len) == 0;
	close(sv[0]);
	close(sv[1]);
	if (known)
		close(pidfd);
	return known;
}

static int on_stop_timeout(sd_event_source *source, uint64_t usec, void *data)
{
	struct server *s = data;

	(void)source;
	(void)usec;
	workers_kill(s);
	return sd_event_exit(s->event, 0);
}

static int on_hurry(sd_event_source *source, uint64_t usec, void *data)
{
	(void)source;
	(void)usec;
	workers_hurry(data);
	return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *data)
{
	struct server *s = data;

	(void)source;
	(void)si;
	if (s->stopping)
		return 0;
	notify("STOPPING=1\nSTATUS=Stopping.");
	for (size_t i = 0; i < s->n_doors; i++)
		s->doors[i].source = sd_event_source_disable_unref(s->doors[i].source);
	s->control.source = sd_event_source_disable_unref(s->control.source);
	sd_event_add_time_relative(s->event, NULL, CLOCK_MONOTONIC, HURRY_USEC, 0, on_hurry, s);
	sd_event_add_time_relative(s->event, NULL, CLOCK_MONOTONIC, STOP_USEC, 0, on_stop_timeout,
				   s);
	workers_end(s);
	return 0;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *si, void *data)
{
	struct server *s = data;

	(void)source;
	(void)si;
	if (!s->stopping)
		do_reload(s, stderr);
	return 0;
}

static int on_supervisor_death(sd_event_source *source, const siginfo_t *info, void *data)
{
	struct server *s = data;

	(void)source;
	say(LOG_ERR, "opend-supervisor ended (%s %d)",
	    info->si_code == CLD_EXITED ? "exit" : "signal", info->si_status);
	s->supervisor_pid = 0;
	return sd_event_exit(s->event, -ECHILD);
}

/* Nothing can be done without it. */
static int watch_supervisor(struct server *s)
{
	return watch_child(s, &s->supervisor_child, s->supervisor_pid, on_supervisor_death, s);
}

/* It ends when we close our end. One that hangs is killed: we are of one uid. */
static void wait_for_supervisor(struct server *s)
{
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, s->supervisor_pid, 0);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	if (pidfd >= 0 && poll(&p, 1, SUPERVISOR_MS) == 0)
		syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	else
		waitpid(s->supervisor_pid, NULL, WNOHANG);
}

/* True when it has removed our sockets' files. */
static bool supervisor_end(struct server *s)
{
	const struct question tidy = { .type = ASK_TIDY };
	bool tidied = s->supervisor_pid > 0 && ask(s, &tidy, NULL, 0, NULL) == 0;

	s->supervisor = close_fd(s->supervisor);
	s->supervisor_child = sd_event_source_disable_unref(s->supervisor_child);
	if (s->supervisor_pid > 0)
		wait_for_supervisor(s);
	return tidied;
}

static int on_housekeeping(sd_event_source *source, uint64_t usec, void *data)
{
	workers_keep_house(data);
	sd_event_source_set_time(source, usec + HOUSEKEEPING_USEC);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static int watch_signals(struct server *s)
{
	const struct sigaction interrupt = { .sa_handler = on_alarm }; /* for close_guarded() */
	sigset_t set;
	int r;

	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR || sigaction(SIGALRM, &interrupt, NULL) < 0)
		return -errno;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	r = sd_event_add_signal(s->event, NULL, SIGTERM, on_signal, s);
	if (r >= 0)
		r = sd_event_add_signal(s->event, NULL, SIGINT, on_signal, s);
	if (r >= 0)
		r = sd_event_add_signal(s->event, NULL, SIGHUP, on_hangup, s);
	if (r >= 0)
		r = sd_event_add_time_relative(s->event, &s->housekeeping, CLOCK_MONOTONIC,
					       HOUSEKEEPING_USEC, 0, on_housekeeping, s);
	return r < 0 ? r : 0;
}

static int open_control(struct server *s)
{
	bool by_default = !s->opt.control && geteuid() == 0 && s->opt.private_fd < 0;
	const char *path = by_default ? default_control : s->opt.control;
	int r;

	if (!path)
		return 0;
	if (by_default)
		mkdir("/run/opend", 0755);
	r = door_listen(&s->control, path, SOCK_SEQPACKET, 0600);
	if (r < 0)
		say(LOG_ERR, "cannot listen on %s: %s", path,
		    r == -EADDRINUSE ? "another opend does" : strerror(-r));
	return r;
}

/* The default files need not be there, one that was named has to be. */
static int find_config(const struct options *o)
{
	for (size_t i = 0; o->config[i]; i++)
		if (access(o->config[i], F_OK) < 0) {
			say(LOG_ERR, "cannot read %s: %s", o->config[i], strerror(errno));
			return -ENOENT;
		}
	return 0;
}

static int choose_files(struct server *s)
{
	int r = find_config(&s->opt);

	if (r < 0)
		return r;
	if (!s->opt.policy[0])
		memcpy(s->opt.policy, default_policy, sizeof default_policy);
	if (!s->opt.config[0] && s->opt.private_fd < 0)
		memcpy(s->opt.config, default_config, sizeof default_config);
	return 0;
}

static int load_at_start(struct server *s)
{
	int r;

	settings_default(&s->settings);
	r = policy_reload(s, STDERR_FILENO);
	if (r == 0)
		say_event(MESSAGE_ID_LOADED, LOG_NOTICE, "running policy generation %u, %u rules",
			  s->generation, s->n_rules);
	else if (s->supervisor >= 0)
		say_event(MESSAGE_ID_REJECTED, LOG_ERR,
			  "no valid policy: everything is refused until a reload succeeds");
	return s->supervisor < 0 ? r : 0;
}

static int prepare(struct server *s)
{
	int r = probe_openat2();

	if (r < 0) {
		say(LOG_ERR,
		    "openat2(2) is missing or forbidden (%s): is RestrictSUIDSGID=, "
		    "DynamicUser= or an old container filter in force?",
		    strerror(-r));
		return r;
	}
	s->units = probe_units();
	store_find(s);
	s->in_userns = !initial_userns();
	r = choose_files(s);
	if (r == 0)
		r = doors_open(s);
	if (r == 0)
		r = open_control(s);
	if (r == 0 && s->n_doors == 0 && s->opt.private_fd < 0) {
		say(LOG_ERR, "no socket to serve: give --listen PATH, or start opend.socket");
		r = -EINVAL;
	}
	if (r == 0)
		r = privilege_setup(s);
	return r;
}

/* What this kernel cannot do is said once, where somebody may read it. */
static void tell_what_lacks(const struct server *s)
{
	if (!s->units)
		say_event(MESSAGE_ID_DEGRADED, LOG_WARNING,
			  "this kernel cannot tell a peer's unit (needs Linux 6.5): rules by unit "
			  "match nobody");
	if (s->n_doors && !s->doors[0].no_rights)
		say_event(
			MESSAGE_ID_DEGRADED, LOG_WARNING,
			"this kernel cannot refuse descriptors sent by clients (needs Linux 6.16): "
			"closing is guarded by a timer");
}

static int serve(struct server *s)
{
	int r = prepare(s);

	if (r == 0)
		r = sd_event_new(&s->event);
	if (r >= 0)
		r = watch_signals(s);
	if (r == 0)
		r = sd_event_set_watchdog(s->event, true);
	if (r >= 0)
		r = watch_supervisor(s);
	if (r == 0)
		r = audit_start(s);
	if (r == 0)
		r = load_at_start(s);
	/* When it first arms a timer the loop opens a file; from here on it need not. */
	if (r == 0)
		r = sd_event_run(s->event, 0);
	if (r >= 0)
		r = s->opt.private_fd >= 0 ? door_private(s) : doors_serve(s);
	if (r == 0 && s->control.fd >= 0)
		r = control_serve(s);
	if (r == 0)
		r = front_confine();
	if (r == 0) {
		store_adopt(s);
		s->serving = true;
		tell_what_lacks(s);
		notify_status(s, "READY=1\n");
		r = sd_event_loop(s->event);
		store_clients(s);
	}
	if (r < 0)
		say(LOG_ERR, "%s", strerror(-r));
	audit_end(s);
	doors_close(s, supervisor_end(s));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Descriptors 0 to 2 must be open, or a socket of ours would become one of them. */
static void fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	close_fd(fd);
}

int main(int argc, char **argv)
{
	static struct server s = {
		.opt = { .user = "opend",
			 .audit_user = "opend-audit",
			 .worker_ids = "2147420000-2147424095",
			 .landlock_max = UINT32_MAX,
			 .private_fd = -1 },
		.supervisor = -1,
		.audit = -1,
		.control = { .fd = -1, .lock_fd = -1 },
	};
	enum action action = SERVE;
	const char *const *paths;
	int option, r;

	fill_standard_fds();
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (option == OPT_HELP)
			return fputs(help, stdout) < 0;
		if (option == OPT_VERSION)
			return puts("opend " OPEND_VERSION_STRING) < 0;
		if (!take_option(&s.opt, option, &action)) {
			fputs("Try \"opend --help\".\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc && action != CHECK && action != PRINT) {
		fprintf(stderr, "opend: unexpected \"%s\". Try \"opend --help\".\n", argv[optind]);
		return EXIT_USAGE;
	}
	paths = optind < argc	  ? (const char *const *)argv + optind
		: s.opt.policy[0] ? (const char *const *)s.opt.policy
				  : default_policy;
	switch (action) {
	case CHECK:
		if (find_config(&s.opt) < 0)
			return EXIT_FAILURE;
		/* Whoever names policy files asks about those, not about this system. */
		if (!s.opt.config[0] && optind == argc)
			memcpy(s.opt.config, default_config, sizeof default_config);
		return check_policy(paths, s.opt.config, s.opt.verbose);
	case PRINT:
		return print_policy(paths);
	case RELOAD:
		r = control_ask(s.opt.control ? s.opt.control : default_control, "reload", stdout);
		if (r < 0 && r != -EBADMSG)
			fprintf(stderr, "opend: cannot reload: %s\n", strerror(-r));
		return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
	default:
		return serve(&s);
	}
}
