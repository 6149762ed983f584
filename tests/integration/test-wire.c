/* SPDX-License-Identifier: MIT
 * Bytes on the socket, cut, joined and bent in every way that a client can: the right frames are
 * answered to the byte, the wrong ones cost at most the connection they came on, and nobody else
 * notices. */
#include <poll.h>
#include "fdpass.h"
#include "harness.h"

struct wires {
	const char *socket, *file;
	pid_t worker;
};

/* Every test here: one granted file, one client that is alice, and afterwards a client that wants
 * to be served as if nothing had happened. */
static void with_client(client_fn *fn)
{
	struct wires a = { .file = make_file(at("data/file"), 0644, alice.uid, "file\n") };
	struct opend o;

	policy("10", "allow read file %s %s to user %u\nallow read file /etc/hostname to anyone\n",
	       a.file, at("data/missing"), alice.uid);
	o = OPEND();
	ask_for(&o, alice, a.file, O_RDONLY, "file\n");
	a.socket = o.socket;
	a.worker = only_worker(&o, alice.uid);
	as(alice, fn, &a);
	ask_for(&o, alice, a.file, O_RDONLY, "file\n");
	ensure(alive(a.worker), "the worker died");
	opend_stop(&o);
}

#define WIRE_TEST(name, fn)                                                                        \
	START_TEST(name)                                                                           \
	{                                                                                          \
		with_client(fn);                                                                   \
	}                                                                                          \
	END_TEST

/* ---- to the byte ---- */

/* The vector of opend-protocol(7): id 1, /etc/hostname, O_RDONLY, umask 022. */
static void send_vector(void *arg)
{
	static const unsigned char vector[] = { 0x2d, 0,   0,	0,   1,	   0,	0,   0,	  1,
						0,    0,   0,	0,   0,	   0,	0,   0,	  0,
						0,    0,   0,	0,   0x12, 0,	0,   0,	  0,
						0,    0,   0,	0,   0,	   '/', 'e', 't', 'c',
						'/',  'h', 'o', 's', 't',  'n', 'a', 'm', 'e' };
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket);
	unsigned char frame[WIRE_REPLY_MAX];
	struct stat st, own;
	int fd, size;

	raw_send(&r, vector, sizeof vector);
	size = raw_recv(&r, frame, &fd, 5000);
	ensure(size == 64, "a reply of %d bytes", size);
	ensure(frame[0] == 64 && !frame[1] && frame[4] == 0x01 && frame[5] == 0x80 &&
		       frame[6] == 1 && !frame[7] && frame[8] == 1 && !frame[9],
	       "header");
	ensure(!frame[16] && !frame[17] && !frame[18] && !frame[19] && !frame[20] && !frame[21],
	       "errno %u, reason %u", frame[16], frame[20]);
	sys(fstat(fd, &st));
	sys(stat("/etc/hostname", &own));
	ensure(st.st_ino == own.st_ino && st.st_dev == own.st_dev, "another file came");
	for (int i = 0; i < 8; i++)
		ensure(frame[40 + i] == (unsigned char)((uint64_t)own.st_ino >> 8 * i), "ino");
	close_fd(fd);
	raw_close(&r);
}
START_TEST(vector_of_the_manual)
{
	if (access("/etc/hostname", R_OK))
		skip("there is no /etc/hostname");
	with_client(send_vector);
}
END_TEST

static void send_bytes_one_by_one(void *arg)
{
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket);
	char frame[WIRE_REQUEST_MAX];
	int fd;

	for (uint64_t id = 1; id <= 3; id++) {
		size_t size = raw_open(frame, id, a->file, O_RDONLY);

		for (size_t i = 0; i < size; i++) {
			raw_send(&r, frame + i, 1);
			if (i % 8 == 0)
				sleep_msec(1);
		}
		ensure(raw_result(&r, id, &fd).error == 0, "refused");
		close_fd(fd);
	}
	raw_close(&r);
}
WIRE_TEST(byte_by_byte, send_bytes_one_by_one)

static void send_two_halves(void *arg)
{
	const struct wires *a = arg;
	char frame[WIRE_REQUEST_MAX], reply[WIRE_REPLY_MAX];
	size_t size = raw_open(frame, 1, a->file, O_RDONLY);
	struct raw r = raw_connect(a->socket);
	int fd;

	for (size_t cut = 1; cut < size; cut += 7) {
		raw_send(&r, frame, cut);
		sleep_msec(5);
		raw_send(&r, frame + cut, size - cut);
		ensure(raw_result(&r, 1, &fd).error == 0, "refused, cut at %zu", cut);
		close_fd(fd);
	}
	/* Half a frame is no question. */
	raw_send(&r, frame, size / 2);
	ensure(raw_recv(&r, reply, &fd, 300) == -ETIMEDOUT, "half a frame was answered");
	raw_send(&r, frame + size / 2, size - size / 2);
	ensure(raw_result(&r, 1, &fd).error == 0, "refused");
	close_fd(fd);
	raw_close(&r);
}
WIRE_TEST(half_frames, send_two_halves)

/* n requests, every third for a file that is not there, in one write, plus half of the next. */
static void send_coalesced(void *arg)
{
	enum { N = 64 };
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket);
	static char buf[(N + 1) * WIRE_REQUEST_MAX];
	size_t len = 0, half;
	bool seen[N + 1] = { false };
	struct stat own;
	int fd;

	sys(stat(a->file, &own));
	for (uint64_t id = 1; id <= N; id++)
		len += raw_open(buf + len, id, id % 3 ? a->file : "/nowhere", O_RDONLY);
	half = raw_open(buf + len, N + 1, a->file, O_RDONLY);
	raw_send(&r, buf, len + half / 2);
	for (int i = 0; i < N; i++) {
		struct wire_outcome out = raw_result(&r, 0, &fd);
		struct stat st;

		ensure(out.id >= 1 && out.id <= N && !seen[out.id], "id %llu",
		       (unsigned long long)out.id);
		seen[out.id] = true;
		ensure((out.error == 0) == (out.id % 3 != 0), "id %llu: %s",
		       (unsigned long long)out.id, strerror(out.error));
		if (fd < 0)
			continue;
		sys(fstat(fd, &st));
		ensure(st.st_ino == own.st_ino && st.st_dev == own.st_dev, "another file came");
		close_fd(fd);
	}
	raw_send(&r, buf + len + half / 2, half - half / 2);
	ensure(raw_result(&r, N + 1, &fd).error == 0, "refused");
	close_fd(fd);
	raw_close(&r);
}
WIRE_TEST(many_requests_in_one_write, send_coalesced)

/* ---- wrong frames that cost a request ---- */

static void expect_error(struct raw *r, uint64_t id, int error, int reason)
{
	int fd;
	struct wire_outcome out = raw_result(r, id, &fd);

	close_fd(fd);
	ensure(out.error == error && out.reason == reason, "errno %d, reason %d; not %d, %d",
	       out.error, out.reason, error, reason);
}

static void send_unknown_types(void *arg)
{
	static const uint16_t types[] = { 0, 4, 77, 0x7fff, WIRE_GOODBYE, WIRE_R_RESULT, 0xffff };
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket);
	char frame[256];

	for (size_t i = 0; i < ELEMENTSOF(types); i++) {
		int size =
			ok(wire_encode_plain(frame, sizeof frame, types[i], i + 1, 0, "body", 4));

		raw_send(&r, frame, (size_t)size);
		expect_error(&r, i + 1, EOPNOTSUPP, OPENC_R_UNKNOWN);
		raw_works(&r, 100 + i, a->file);
	}
	raw_close(&r);
}
WIRE_TEST(unknown_types, send_unknown_types)

/* Bends one field of a good OPEN. */
static void send_bent(struct raw *r, const char *file, size_t offset, uint32_t value, int reason)
{
	char frame[WIRE_REQUEST_MAX];
	size_t size = raw_open(frame, 5, file, O_RDONLY);

	memcpy(frame + offset, &value, offset == 20 || offset == 22 || offset == 6 ? 2 : 4);
	raw_send(r, frame, size);
	expect_error(r, 5, EINVAL, reason);
	raw_works(r, 6, file);
}

static void send_bent_fields(void *arg)
{
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket);

	send_bent(&r, a->file, 16, 010000000 /* O_PATH */, OPENC_R_FLAGS);
	send_bent(&r, a->file, 16, 1u << 31, OPENC_R_FLAGS);
	send_bent(&r, a->file, 20, 04644, OPENC_R_MODE);
	send_bent(&r, a->file, 22, 01000, OPENC_R_MODE);
	send_bent(&r, a->file, 24, 1u << 2, OPENC_R_FRAME);
	send_bent(&r, a->file, 24, 1u << 31, OPENC_R_FRAME);
	send_bent(&r, a->file, 28, 1, OPENC_R_FRAME);
	send_bent(&r, a->file, 6, 1, OPENC_R_FRAME);
	raw_close(&r);
}
WIRE_TEST(bent_fields, send_bent_fields)

static void send_path(struct raw *r, const char *path, size_t len, int error, int reason)
{
	char frame[WIRE_REQUEST_MAX];
	struct wire_request req = { .id = 9, .path = path, .path_len = len };

	raw_send(r, frame, (size_t)ok(wire_encode_open(frame, &req)));
	expect_error(r, 9, error, reason);
}

static void send_paths(void *arg)
{
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket);
	char longest[WIRE_PATH_MAX];

	send_path(&r, "", 0, EINVAL, OPENC_R_PATH);
	send_path(&r, "relative", 8, EINVAL, OPENC_R_PATH);
	send_path(&r, "/with\0nul", 9, EINVAL, OPENC_R_PATH);
	memset(longest, 'a', sizeof longest);
	longest[0] = '/';
	send_path(&r, longest, sizeof longest, EACCES, OPENC_R_NO_RULE);
	raw_works(&r, 10, a->file);
	raw_close(&r);
}
WIRE_TEST(bad_paths, send_paths)

static void send_granted_path_with_nul(void *arg)
{
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket);
	size_t len = strlen(a->file);
	char path[256] = "";

	memcpy(path, a->file, len);
	memcpy(path + len + 1, "tail", 4);
	send_path(&r, path, len + 5, EINVAL, OPENC_R_PATH);
	send_path(&r, path, len + 1, EINVAL, OPENC_R_PATH);
	raw_works(&r, 10, a->file);
	raw_close(&r);
}
WIRE_TEST(nul_behind_a_granted_path, send_granted_path_with_nul)

/* INFO and RULES with a body they do not have; an OPEN too short to be one. */
static void send_wrong_sizes(void *arg)
{
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket);
	char frame[64];
	static const uint16_t types[] = { WIRE_INFO, WIRE_RULES, WIRE_OPEN };

	for (size_t i = 0; i < ELEMENTSOF(types); i++) {
		raw_send(&r, frame,
			 (size_t)ok(wire_encode_plain(frame, sizeof frame, types[i], 3, 0,
						      "12345678", 8)));
		expect_error(&r, 3, EINVAL, OPENC_R_FRAME);
	}
	/* An id of zero is the server's own. */
	raw_send(&r, frame,
		 (size_t)ok(wire_encode_plain(frame, sizeof frame, WIRE_INFO, 0, 0, "", 0)));
	expect_error(&r, 0, EINVAL, OPENC_R_FRAME);
	raw_works(&r, 4, a->file);
	raw_close(&r);
}
WIRE_TEST(wrong_sizes, send_wrong_sizes)

/* ---- wrong frames that cost the connection ---- */

static void expect_goodbye(struct raw *r, int reason)
{
	int goodbye;

	ensure(raw_ended(r, &goodbye, 5000), "the connection goes on");
	ensure(goodbye == reason, "GOODBYE with reason %d", goodbye);
	raw_close(r);
}

static void send_impossible_sizes(void *arg)
{
	static const uint32_t sizes[] = { 0,	 1,	     15,	 WIRE_REQUEST_MAX + 1,
					  65536, 0x7fffffff, 0x80000000, 0xffffffff };
	const struct wires *a = arg;

	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		struct raw r = raw_connect(a->socket);
		char frame[WIRE_REQUEST_MAX];
		size_t size = raw_open(frame, 1, a->file, O_RDONLY);

		raw_works(&r, 7, a->file);
		memcpy(frame, &sizes[i], 4);
		raw_send(&r, frame, size);
		expect_goodbye(&r, OPENC_R_FRAME);
	}
}
WIRE_TEST(impossible_sizes, send_impossible_sizes)

static void send_noise(void *arg)
{
	const struct wires *a = arg;
	unsigned seed = 4711;

	for (int round = 0; round < 200; round++) {
		struct raw r = raw_connect(a->socket);
		unsigned char noise[3000];
		int goodbye;

		for (size_t i = 0; i < sizeof noise; i++)
			noise[i] = (unsigned char)(rand_r(&seed) >> 7);
		/* Some of it with a size that is believed. */
		if (round % 2) {
			uint32_t size = 16 + (unsigned)rand_r(&seed) % 500;

			memcpy(noise, &size, sizeof size);
		}
		send(r.fd, noise, sizeof noise, MSG_NOSIGNAL);
		shutdown(r.fd, SHUT_WR);
		ensure(raw_ended(&r, &goodbye, 5000), "round %d: it goes on", round);
		raw_close(&r);
	}
}
WIRE_TEST(noise, send_noise)

/* ---- descriptors from a client ---- */

/* Whether the kernel refuses them for the server (SO_PASSRIGHTS=0) or the server drops them: they
 * arrive nowhere, and the frame they came with does no harm. */
static void send_descriptors(void *arg)
{
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket);
	char frame[WIRE_REQUEST_MAX];
	size_t size = raw_open(frame, 1, a->file, O_RDONLY);
	struct pollfd hangup;
	int ends[2], fds[8], sent, fd;

	sys(pipe2(ends, O_CLOEXEC));
	for (size_t i = 0; i < ELEMENTSOF(fds); i++)
		fds[i] = ends[1];
	sent = fdpass_send(r.fd, frame, size, fds, ELEMENTSOF(fds));
	close_fd(ends[1]);
	ensure(sent == (int)size || sent == -EPERM, "sendmsg: %d", sent);
	if (sent > 0) {
		ensure(raw_result(&r, 1, &fd).error == 0, "refused");
		close_fd(fd);
	}
	raw_works(&r, 2, a->file);
	hangup = (struct pollfd){ .fd = ends[0] };
	ensure(poll(&hangup, 1, 3000) == 1 && hangup.revents == POLLHUP,
	       "somebody still holds the descriptors that were sent");
	close_fd(ends[0]);
	raw_close(&r);
}
WIRE_TEST(descriptors_from_a_client, send_descriptors)

/* ---- out of band, half-closed, never read ---- */

/* It makes a socket readable with nothing to read: neither may the server spin, nor others wait. */
static void send_out_of_band(void *arg)
{
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket), other = raw_connect(a->socket);
	int64_t before;

	raw_works(&r, 1, a->file);
	for (int i = 0; i < 8 && send(r.fd, "x", 1, MSG_OOB | MSG_NOSIGNAL) == 1; i++)
		sleep_msec(20);
	raw_works(&other, 1, a->file);
	before = proc_cpu_msec(a->worker);
	sleep_msec(500);
	ensure(proc_cpu_msec(a->worker) - before < 100, "the worker spins: %lld ms of 500",
	       (long long)(proc_cpu_msec(a->worker) - before));
	raw_works(&other, 2, a->file);
	raw_close(&other);
	raw_close(&r);
}
WIRE_TEST(out_of_band, send_out_of_band)

static void half_close(void *arg)
{
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket);
	char frame[WIRE_REQUEST_MAX];
	int fd, goodbye;

	raw_send(&r, frame, raw_open(frame, 1, a->file, O_RDONLY));
	raw_send(&r, frame, raw_open(frame, 2, a->file, O_RDONLY));
	sys(shutdown(r.fd, SHUT_WR));
	for (uint64_t id = 1; id <= 2; id++) {
		ensure(raw_result(&r, id, &fd).error == 0, "refused");
		close_fd(fd);
	}
	ensure(raw_ended(&r, &goodbye, 3000), "end of file is not answered by the end");
	raw_close(&r);
}
WIRE_TEST(half_closed, half_close)

static void half_close_in_a_frame(void *arg)
{
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket);
	char frame[WIRE_REQUEST_MAX];
	int goodbye;

	raw_send(&r, frame, raw_open(frame, 1, a->file, O_RDONLY) - 1);
	sys(shutdown(r.fd, SHUT_WR));
	ensure(raw_ended(&r, &goodbye, 3000), "it waits for the rest for ever");
	raw_close(&r);
}
WIRE_TEST(half_closed_in_a_frame, half_close_in_a_frame)

/* Sends until the server does not take any more. Returns the requests sent whole; *half: bytes of
 * the next one that went. */
static size_t flood(struct raw *r, const char *frame, size_t size, size_t max, size_t *half)
{
	struct pollfd p = { .fd = r->fd, .events = POLLOUT };
	size_t n = 0;

	*half = 0;
	while (n < max && poll(&p, 1, 1000) == 1) {
		ssize_t sent =
			send(r->fd, frame + *half, size - *half, MSG_DONTWAIT | MSG_NOSIGNAL);

		ensure(sent >= 0 || errno == EAGAIN, "%s", strerror(errno));
		*half += sent < 0 ? 0 : (size_t)sent;
		if (*half == size) {
			*half = 0;
			n++;
		}
	}
	return n;
}

/* A client that does not read is not read: what it can make the server hold is bounded; nobody
 * else waits for it; and when it reads again every answer is there, in full. */
static void never_read(void *arg)
{
	enum { MANY = 100000 };
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket), other = raw_connect(a->socket);
	char frame[WIRE_REQUEST_MAX];
	size_t size = raw_open(frame, 1, a->file, O_RDONLY), half,
	       n = flood(&r, frame, size, MANY, &half);
	int fd;

	ensure(n > 100 && n < MANY, "it took %zu requests without an answer read", n);
	for (uint64_t id = 1; id <= 20; id++)
		raw_works(&other, id, a->file);
	for (size_t i = 0; i < n; i++) {
		ensure(raw_result(&r, 1, &fd).error == 0, "refused");
		close_fd(fd);
	}
	if (half) {
		raw_send(&r, frame + half, size - half);
		ensure(raw_result(&r, 1, &fd).error == 0, "refused");
		close_fd(fd);
	}
	raw_works(&r, 2, a->file);
	raw_close(&other);
	raw_close(&r);
}
WIRE_TEST(client_that_never_reads, never_read)

/* And leaves without ever having read: with all that was in flight to it. */
static void never_read_and_leave(void *arg)
{
	const struct wires *a = arg;
	char frame[WIRE_REQUEST_MAX];
	size_t size = raw_open(frame, 1, a->file, O_RDONLY), half;

	for (int i = 0; i < 3; i++) {
		struct raw r = raw_connect(a->socket);

		flood(&r, frame, size, 1000, &half);
		raw_close(&r);
	}
}
WIRE_TEST(client_that_leaves_without_reading, never_read_and_leave)

/* ---- INFO, RULES, asking without opening ---- */

static void ask_info_and_rules(void *arg)
{
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket);
	char frame[WIRE_REPLY_MAX + 1];
	struct wire_header h;
	int fd, size;

	raw_send(&r, frame, (size_t)ok(wire_encode_plain(frame, 64, WIRE_INFO, 11, 0, NULL, 0)));
	size = raw_recv(&r, frame, &fd, 5000);
	ensure(size > 16 && fd < 0, "INFO: %d", size);
	memcpy(&h, frame, sizeof h);
	ensure(h.type == WIRE_R_INFO && h.id == 11, "type %#x", h.type);
	frame[size] = 0;
	ensure(!strncmp(frame + 16, "protocol=1\n", 11), "%s", frame + 16);
	ensure(strstr(frame + 16, text("\nuid=%u\n", alice.uid)), "%s", frame + 16);
	raw_send(&r, frame, (size_t)ok(wire_encode_plain(frame, 64, WIRE_RULES, 12, 0, NULL, 0)));
	size = raw_recv(&r, frame, &fd, 5000);
	memcpy(&h, frame, sizeof h);
	ensure(size == 16 && h.type == WIRE_R_RULES && h.id == 12 && fd >= 0, "RULES: %d", size);
	ensure(strstr(slurp(fd, NULL), a->file), "%s", slurp(fd, NULL));
	ensure(fcntl(fd, F_GET_SEALS) & F_SEAL_WRITE, "the rules can be written");
	close_fd(fd);
	raw_works(&r, 13, a->file);
	raw_close(&r);
}
WIRE_TEST(info_and_rules, ask_info_and_rules)

static void ask_dry(void *arg)
{
	const struct wires *a = arg;
	struct raw r = raw_connect(a->socket);
	char frame[WIRE_REQUEST_MAX], reply[WIRE_REPLY_MAX];
	static const char *const names[] = { "data/file", "data/missing", "data/other" };

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		struct wire_request req = { .id = i + 1,
					    .ask = WIRE_ASK_DRY_RUN,
					    .path = at("%s", names[i]) };
		struct wire_outcome out;
		int fd, size;

		req.path_len = strlen(req.path);
		raw_send(&r, frame, (size_t)ok(wire_encode_open(frame, &req)));
		size = raw_recv(&r, reply, &fd, 5000);
		ensure(size > 0 && wire_decode_result(reply, (size_t)size, &out) == 0, "%d", size);
		ensure(fd < 0, "a dry run brought a descriptor");
		/* A verdict of the policy, whether the file exists or not. */
		ensure(i == 2 ? out.error == EACCES && out.reason == OPENC_R_NO_RULE
			      : out.error == 0 && out.reason == 0 && out.ino == 0,
		       "%s: errno %d, reason %d", names[i], out.error, out.reason);
	}
	raw_works(&r, 9, a->file);
	raw_close(&r);
}
WIRE_TEST(dry_run, ask_dry)

static Suite *suite(void)
{
	Suite *s = suite_create("wire");

	ADD(s, vector_of_the_manual, 30);
	ADD(s, byte_by_byte, 30);
	ADD(s, half_frames, 30);
	ADD(s, many_requests_in_one_write, 30);
	ADD(s, unknown_types, 30);
	ADD(s, bent_fields, 30);
	ADD(s, bad_paths, 30);
	ADD(s, nul_behind_a_granted_path, 30);
	ADD(s, wrong_sizes, 30);
	ADD(s, impossible_sizes, 30);
	ADD(s, noise, 30);
	ADD(s, descriptors_from_a_client, 30);
	ADD(s, out_of_band, 30);
	ADD(s, half_closed, 30);
	ADD(s, half_closed_in_a_frame, 30);
	ADD(s, client_that_never_reads, 60);
	ADD(s, client_that_leaves_without_reading, 60);
	ADD(s, info_and_rules, 30);
	ADD(s, dry_run, 30);
	return s;
}

int main(void)
{
	return harness_main("wire", suite);
}
