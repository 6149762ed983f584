/* SPDX-License-Identifier: MIT
 * A whole worker without its confinement, in this process: clients, supervisor, lender and
 * predecessor do what the input says, byte by byte. It reads and answers for real, with rules on
 * files that any build machine has. Whatever comes in:
 * - what goes out to a client are whole frames, each answer to a frame of the client's, and as many
 *   descriptors as they count;
 * - the supervisor is told of each connection once that it has ended or is given back, and of
 *   nothing else;
 * - every record for the journal is one;
 * - no descriptor, buffer or place is left over. */
#include <sys/epoll.h>
#include <sys/socket.h>
#include "daemon/audit/auditor.h"
#include "fdpass.h"
#include "fuzz.h"
/* For take_packet(), dispatch() and sweep(). */
#include "daemon/worker/serve.c"

enum { CLIENTS = 4, CONNS = 3, COOKIES = 64 };

static const char rules[] = "allow read,list under /usr/include to anyone\n"
			    "allow read file /usr/include/string.h to anyone log\n"
			    "allow read file /usr/include/stdlib.h to anyone as root\n"
			    "deny any file /usr/include/time.h to anyone\n";

struct client {
	int fd;	      /* -1: none */
	bool carried; /* what the predecessor read comes in front of what is sent */
	uint8_t sent[1 << 16], got[1 << 18];
	size_t n_sent, n_got, n_fds;
};

static struct world {
	struct worker w;
	struct stats stats;
	struct client clients[CLIENTS];
	int down, up, audit;		    /* our ends */
	int lender, predecessor, successor; /* our ends, or -1 */
	uint64_t cookies;		    /* handed out so far: 1 ... cookies */
	bool told[COOKIES];		    /* that it is closed or released */
	bool over;
} world;

/* The worker's descriptors have fixed numbers, which nobody else may have taken before main(). */
__attribute__((constructor)) static void reserve_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < WORKER_FDS_END - 1);
}

static void place_fd(int fd, int number)
{
	REQUIRE(dup2(fd, number) == number && close(fd) == 0);
}

static void prepare(struct world *x)
{
	const struct policy_options o = { .origins = true };
	struct worker *w = &x->w;
	struct diags d = { 0 };

	w->birth = (struct birth){ .uid = geteuid(),
				   .gid = getegid(),
				   .slot = geteuid(),
				   .generation = 1,
				   .max_conns = CONNS,
				   .instance = 7,
				   .frame_ms = 10000,
				   .denials_burst = 20,
				   .denials_per_second = 10 };
	w->stats = &x->stats;
	w->rules_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	REQUIRE(policy_parse("fuzz", rules, strlen(rules), &o, &d, &w->policy) == 0);
	signal(SIGPIPE, SIG_IGN);
	REQUIRE(w->rules_fd >= 0 && conn_setup(w) == 0);
}

static void begin(struct world *x, uint32_t role)
{
	struct epoll_event down = { .events = EPOLLIN, .data.u64 = EPOLL_DOWN };
	struct worker *w = &x->w;
	int sv[2], up[2], audit[2];

	REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sv) == 0);
	REQUIRE(pipe2(up, O_NONBLOCK) == 0 && pipe2(audit, O_NONBLOCK) == 0);
	place_fd(sv[1], WORKER_FD_DOWN);
	place_fd(up[1], WORKER_FD_UP);
	place_fd(audit[1], WORKER_FD_AUDIT);
	x->down = sv[0];
	x->up = up[0];
	x->audit = audit[0];
	x->lender = x->predecessor = x->successor = -1;
	x->cookies = 0;
	x->over = false;
	memset(x->told, 0, sizeof x->told);
	for (int i = 0; i < CLIENTS; i++)
		x->clients[i].fd = -1;
	w->birth.role = role;
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->lender.fd = w->parent.fd = w->successor = w->predecessor = -1;
	w->lender.wanted = w->lender.none = false;
	w->releasing = w->refresh_wanted = false;
	w->n_labels = w->n_accounts = 1;
	w->n_held = 0;
	w->accounts[0] = (struct account){ .uid = w->birth.uid, .gid = w->birth.gid };
	REQUIRE(w->epoll >= 0);
	REQUIRE(epoll_ctl(w->epoll, EPOLL_CTL_ADD, WORKER_FD_DOWN, &down) == 0);
}

/* ---- what comes out ---- */

static void read_up(struct world *x)
{
	struct up u;
	ssize_t n;

	while ((n = read(x->up, &u, sizeof u)) > 0) {
		REQUIRE(n == sizeof u && u.type >= UP_CLOSED && u.type <= UP_SETTLED);
		if (u.type != UP_CLOSED && u.type != UP_RELEASED)
			continue;
		REQUIRE(u.cookie >= 1 && u.cookie <= x->cookies && !x->told[u.cookie - 1]);
		x->told[u.cookie - 1] = true;
	}
}

static void read_audit(struct world *x)
{
	char buf[AUDIT_RECORD_MAX];
	struct record rec;
	ssize_t n;

	while ((n = read(x->audit, buf, sizeof rec.fixed)) > 0) {
		uint32_t size;

		REQUIRE(n == sizeof rec.fixed);
		memcpy(&size, buf, sizeof size);
		REQUIRE(size >= sizeof rec.fixed && size <= sizeof buf);
		if (size > sizeof rec.fixed)
			REQUIRE(read(x->audit, buf + n, size - (size_t)n) == (ssize_t)size - n);
		REQUIRE(record_decode(buf, size, &rec) == (int)size);
	}
}

/* How many frames were begun with what a client sent, and how many whole ones he got. */
static void compare(const struct client *c, bool at_end)
{
	size_t at = 0, asked = 0, answered = 0, n_fds = 0;
	struct wire_header h;
	int n;

	while ((n = wire_frame(c->sent + at, c->n_sent - at, WIRE_REQUEST_MAX, &h)) > 0) {
		at += (size_t)n;
		asked++;
	}
	at = 0;
	while ((n = wire_frame(c->got + at, c->n_got - at, WIRE_REPLY_MAX, &h)) > 0) {
		struct wire_outcome out;
		uint16_t reason;

		if (h.type == WIRE_R_RESULT)
			REQUIRE(wire_decode_result(c->got + at, (size_t)n, &out) == 0);
		else if (h.type == WIRE_GOODBYE)
			REQUIRE(wire_decode_goodbye(c->got + at, (size_t)n, &reason) == 0);
		else
			REQUIRE(h.type == WIRE_R_INFO || h.type == WIRE_R_RULES);
		answered += h.type != WIRE_GOODBYE;
		n_fds += h.nfds;
		at += (size_t)n;
	}
	REQUIRE(n == 0 && (c->carried || answered <= asked));
	/* What is cut off is what nobody read: the last send. */
	REQUIRE(!at_end || (at == c->n_got && n_fds == c->n_fds));
}

static void client_reads(struct client *c)
{
	int fds[FDPASS_MAX], r;

	if (c->fd < 0)
		return;
	do {
		size_t n = 0;

		r = fdpass_recv(c->fd, c->got + c->n_got, sizeof c->got - c->n_got, fds, FDPASS_MAX,
				&n);
		c->n_got += r > 0 ? (size_t)r : 0;
		c->n_fds += n;
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
	} while (r > 0 && c->n_got < sizeof c->got);
}

static void client_ends(struct client *c)
{
	if (c->fd < 0)
		return;
	client_reads(c);
	compare(c, true);
	c->fd = close_fd(c->fd);
}

/* ---- what goes in ---- */

static void pump(struct world *x)
{
	struct epoll_event events[16];
	int n;

	for (int rounds = 0; rounds < 64 && !x->over; rounds++) {
		n = epoll_wait(x->w.epoll, events, ELEMENTSOF(events), 0);
		x->over = !dispatch_all(&x->w, events, n);
		x->over |= x->w.releasing && x->w.n_conns == 0;
		if (n <= 0)
			break;
	}
	read_up(x);
	read_audit(x);
}

static void packet(struct world *x, struct down *d, int fd)
{
	fdpass_send(x->down, d, sizeof *d, &fd, fd >= 0);
	pump(x);
}

static int pair(int type, int *ours)
{
	int sv[2];

	REQUIRE(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, sv) == 0);
	close_fd(*ours);
	*ours = sv[0];
	return sv[1];
}

static void adopt(struct world *x, struct script *s)
{
	struct client *c = &x->clients[script_byte(s) % CLIENTS];
	struct down d = { .type = DOWN_ADOPT, .flags = script_byte(s) };
	const uint8_t *name;
	size_t n = script_bytes(s, &name);
	int fd;

	if (x->cookies == COOKIES)
		return;
	client_ends(c);
	c->n_sent = c->n_got = c->n_fds = 0;
	c->carried = d.flags & DOWN_CARRIED;
	memcpy(d.via, name, UTIL_MIN(n, sizeof d.via - 1));
	d.cookie = ++x->cookies;
	fd = pair(SOCK_STREAM, &c->fd);
	packet(x, &d, fd);
	close(fd);
}

static void client_writes(struct world *x, struct script *s)
{
	struct client *c = &x->clients[script_byte(s) % CLIENTS];
	const uint8_t *bytes;
	size_t len = script_bytes(s, &bytes);
	ssize_t n;

	if (c->fd < 0 || len > sizeof c->sent - c->n_sent)
		return;
	n = send(c->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0) {
		memcpy(c->sent + c->n_sent, bytes, (size_t)n);
		c->n_sent += (size_t)n;
	}
}

/* Any packet but those that have a place of their own. */
static void command(struct world *x, struct script *s)
{
	struct down d = { .type = script_byte(s) % (DOWN_RETIRE + 2), .flags = script_byte(s) };
	int fd = -1;

	if (d.type == DOWN_ADOPT)
		return;
	d.cookie = script_byte(s);
	if (d.type == DOWN_LENDER && script_byte(s) % 4)
		fd = pair(SOCK_STREAM, &x->lender);
	if (d.type == DOWN_INHERIT)
		fd = pair(SOCK_SEQPACKET, &x->predecessor);
	if (d.type == DOWN_RELEASE && script_byte(s) % 2)
		fd = pair(SOCK_SEQPACKET, &x->successor);
	/* An end of the worker's is given to it once: so says the supervisor's own code. */
	if (d.type == DOWN_INHERIT && x->w.predecessor >= 0)
		x->w.predecessor = close_fd(x->w.predecessor);
	if (d.type == DOWN_RELEASE && x->w.successor >= 0)
		x->w.successor = close_fd(x->w.successor);
	packet(x, &d, fd);
	close_fd(fd);
}

static void lender_writes(struct world *x, struct script *s)
{
	int fds[3] = { x->w.rules_fd, x->w.rules_fd, x->w.rules_fd };
	unsigned n = script_byte(s) % 4;
	const uint8_t *bytes;
	size_t len = script_bytes(s, &bytes);
	char drained[4096];

	if (x->lender < 0)
		return;
	while (recv(x->lender, drained, sizeof drained, MSG_DONTWAIT) > 0)
		;
	if (len)
		fdpass_send(x->lender, bytes, len, fds, n);
}

static void predecessor_writes(struct world *x, struct script *s)
{
	struct carry head = { .cookie = script_byte(s), .refused = script_byte(s) & 1 };
	char buf[sizeof head + RX_MAX];
	const uint8_t *bytes;
	unsigned wrong = script_byte(s);
	size_t len = script_bytes(s, &bytes);

	if (x->predecessor < 0 || len > RX_MAX)
		return;
	head.len = (uint32_t)len + (wrong > 200);
	memcpy(buf, &head, sizeof head);
	memcpy(buf + sizeof head, bytes, len);
	send(x->predecessor, buf, sizeof head + len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void pass_time(struct world *x)
{
	for (uint32_t i = 0; i < CONNS; i++)
		if (x->w.conns[i].deadline_ms)
			x->w.conns[i].deadline_ms = 1;
	if (x->w.releasing)
		x->w.release_by_ms = 0;
	for (size_t i = 0; i < x->w.n_accounts; i++)
		x->w.accounts[i].tokens_ms = 0;
	sweep(&x->w);
}

static void act(struct world *x, struct script *s)
{
	struct client *c;

	switch (script_byte(s) % 10) {
	case 0:
		adopt(x, s);
		break;
	case 1:
	case 2:
		client_writes(x, s);
		break;
	case 3:
		client_reads(&x->clients[script_byte(s) % CLIENTS]);
		break;
	case 4:
		c = &x->clients[script_byte(s) % CLIENTS];
		if (c->fd >= 0)
			shutdown(c->fd, SHUT_WR);
		break;
	case 5:
		client_ends(&x->clients[script_byte(s) % CLIENTS]);
		break;
	case 6:
		command(x, s);
		break;
	case 7:
		lender_writes(x, s);
		break;
	case 8:
		predecessor_writes(x, s);
		break;
	default:
		pass_time(x);
		break;
	}
	pump(x);
}

/* As at the end of a worker, only that this process goes on. */
static void finish(struct world *x)
{
	struct down retire = { .type = DOWN_RETIRE };
	struct worker *w = &x->w;

	if (!x->over)
		packet(x, &retire, -1);
	/* One that has descriptors unread outlives its end, but only once. */
	release_retire(w);
	release_retire(w);
	read_up(x);
	read_audit(x);
	REQUIRE(w->n_conns == 0 && w->n_partial == 0 && w->n_retry == 0 && w->tx->len == 0);
	for (size_t i = 0; i < w->n_accounts; i++)
		REQUIRE(w->accounts[i].n_conns == 0 && w->accounts[i].unread == 0);
	lend_connected(w, -1, true);
	REQUIRE(w->lender.n_lent == 0);
	w->lender.fd = close_fd(w->lender.fd);
	for (size_t i = 0; i < w->lender.n_fds; i++)
		close(w->lender.fds[i]);
	w->lender.n_fds = w->lender.rx_len = 0;
	w->lender.tx->len = w->lender.tx->sent = 0;
	read_up(x);
	for (uint64_t i = 0; i < x->cookies; i++)
		REQUIRE(x->told[i]);
	for (int i = 0; i < CLIENTS; i++)
		client_ends(&x->clients[i]);
	close_fd(w->successor);
	close_fd(w->predecessor);
	close_fd(x->lender);
	close_fd(x->predecessor);
	close_fd(x->successor);
	close(w->epoll);
	close(x->down);
	close(x->up);
	close(x->audit);
	for (int fd = WORKER_FD_DOWN; fd < WORKER_FDS_END; fd++)
		place_fd(dup(w->rules_fd), fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = { data, size };
	unsigned before;

	if (!world.w.policy)
		prepare(&world);
	before = count_fds();
	begin(&world, script_byte(&s) % 2 ? BIRTH_LOBBY : BIRTH_WORKER);
	while (s.len && !world.over)
		act(&world, &s);
	finish(&world);
	REQUIRE(count_fds() == before);
	return 0;
}
