/* SPDX-License-Identifier: MIT
 * What the manager starts opend with: LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID and FDSTORE, and
 * descriptors from 3 on, which are what the script says: a socket that listens, a connection, or
 * neither. Only what listens becomes a door, only a connection that has the name for it is taken
 * over, and either all of it is understood or opend does not start. */
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include "daemon/front/front.h"
#include "fuzz.h"

enum { OFFERED_MAX = 24, FIRST = SD_LISTEN_FDS_START, HIGH = 100 };
enum kind { LISTENS, CONNECTED, DATAGRAM, A_FILE, KINDS };

static int things[KINDS], listener;
static pid_t pid;
static FILE *said;
static char *said_text;
static size_t said_len;

/* High up, where no script's descriptors are. */
static int keep(int consume_fd)
{
	int fd = fcntl(consume_fd, F_DUPFD_CLOEXEC, HIGH);

	REQUIRE(fd >= HIGH);
	close(consume_fd);
	return fd;
}

static void make_things(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	socklen_t len = sizeof a;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), client;

	/* The kernel finds it a name. */
	REQUIRE(bind(fd, (struct sockaddr *)&a, sizeof a.sun_family) == 0 && listen(fd, 1) == 0);
	REQUIRE(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
	things[LISTENS] = listener = keep(fd);
	client = keep(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	REQUIRE(connect(client, (struct sockaddr *)&a, len) == 0);
	things[CONNECTED] = keep(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	things[DATAGRAM] = keep(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	things[A_FILE] = keep(open("/dev/null", O_RDWR | O_CLOEXEC));
	said = open_memstream(&said_text, &said_len);
	REQUIRE(said);
}

/* Up to the end of the line. */
static char *line(struct script *s)
{
	const uint8_t *end = s->len ? memchr(s->data, '\n', s->len) : NULL;
	size_t n = end ? (size_t)(end - s->data) : s->len;
	char *text = malloc(n + 1);

	REQUIRE(text);
	if (n)
		memcpy(text, s->data, n);
	text[n] = 0;
	s->data += end ? n + 1 : n;
	s->len -= end ? n + 1 : n;
	return text;
}

static void set(const char *name, struct script *s)
{
	_cleanup_free_ char *value = line(s);

	/* setenv(3) takes anything; "" for what is not there. */
	REQUIRE(setenv(name, value, 1) == 0);
	if (!*value)
		unsetenv(name);
}

static void check_doors(const struct server *s, int r, unsigned offered)
{
	REQUIRE(s->n_doors <= PATHS_MAX);
	for (size_t i = 0; r == 0 && i < s->n_doors; i++) {
		const struct door *d = &s->doors[i];

		REQUIRE(d->fd >= FIRST && d->fd < FIRST + (int)offered && !d->path);
		REQUIRE(memchr(d->name, 0, sizeof d->name));
		REQUIRE(sd_is_socket_unix(d->fd, SOCK_STREAM, 1, NULL, 0) > 0);
	}
}

static void check_kept(struct server *s)
{
	struct kept *k;

	while ((k = SLIST_FIRST(&s->kept))) {
		SLIST_REMOVE_HEAD(&s->kept, next);
		REQUIRE(memchr(k->door, 0, sizeof k->door));
		REQUIRE(sd_is_socket_unix(k->fd, SOCK_STREAM, 0, NULL, 0) > 0);
		close(k->fd);
		free(k);
	}
}

static void start(struct script *script)
{
	static struct server s;
	unsigned offered = script_byte(script) % (OFFERED_MAX + 1);
	bool ours = script_byte(script) & 1;
	char listen_pid[16];
	unsigned before;
	int r;

	memset(&s, 0, sizeof s);
	s.control.fd = s.control.lock_fd = -1;
	/* Whatever the replay or the fuzzer has there. */
	for (int fd = FIRST; fd < FIRST + OFFERED_MAX; fd++)
		close(fd);
	before = count_fds();
	for (unsigned i = 0; i < offered; i++)
		REQUIRE(dup2(things[script_byte(script) % KINDS], FIRST + (int)i) >= 0);
	set("LISTEN_FDS", script);
	set("LISTEN_FDNAMES", script);
	set("FDSTORE", script);
	snprintf(listen_pid, sizeof listen_pid, "%d", (int)pid + !ours);
	REQUIRE(setenv("LISTEN_PID", listen_pid, 1) == 0 && setenv("NOTIFY_SOCKET", "/", 1) == 0);

	store_find(&s);
	r = doors_open(&s);
	REQUIRE(r <= 0 && r > -4096);
	/* Nothing of it is for whoever is started from here. */
	REQUIRE(!getenv("LISTEN_FDS") && !getenv("LISTEN_PID") && !getenv("LISTEN_FDNAMES"));
	REQUIRE(ours || (s.n_doors == 0 && SLIST_EMPTY(&s.kept)));
	check_doors(&s, r, offered);
	check_kept(&s);
	doors_close(&s, false);
	for (unsigned i = 0; i < offered; i++)
		close(FIRST + (int)i);
	REQUIRE(count_fds() == before);
}

/* libsystemd asks once in a process who it is, and does not notice vfork(2): so LISTEN_PID is this
 * process for good. */
static void prepare(void)
{
	make_things();
	REQUIRE(setenv("LISTEN_PID", "1", 1) == 0 && setenv("LISTEN_FDS", "1", 1) == 0);
	pid = getpid();
	REQUIRE(sd_listen_fds(1) == 0);
}

/* In a process whose descriptors are its own, and whose memory, for what counts coverage, is not.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script script = { data, size };
	FILE *err = stderr;
	pid_t child;
	int status;

	if (!said)
		prepare();
	rewind(said);
	stderr = said;
	child = vfork();
	REQUIRE(child >= 0);
	if (child == 0) {
		start(&script);
		_exit(0);
	}
	REQUIRE(waitpid(child, &status, 0) == child);
	fflush(said);
	stderr = err;
	/* It has said why. */
	if (status)
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	for (size_t i = 0; i < said_len; i++)
		REQUIRE(said_text[i] == '\n' || (said_text[i] >= ' ' && said_text[i] < 0x7f));
	return 0;
}
