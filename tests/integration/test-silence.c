/* SPDX-License-Identifier: MIT
 * A refusal tells nothing: what a deny names, or no rule comes near, looks the same whether it is
 * there or not, by errno, by reason, to the last byte of the reply, and by the time it takes.
 * Directly, and through symbolic links and ".." that lead there. */
#include <time.h>
#include "harness.h"

enum { ROUNDS = 1500 };

struct pair {
	const char *there, *missing;
	int flags, reason;
};

struct silence {
	const char *socket;
	struct pair pairs[16];
	size_t n;
	const char *granted;
};

/* Asks once: microseconds until the whole reply is there; *ret holds it. */
static double ask(struct raw *r, uint64_t id, const char *path, int flags, char *ret)
{
	char frame[WIRE_REQUEST_MAX];
	struct wire_request req = { .id = id,
				    .flags = (uint32_t)flags,
				    .mode = 0600,
				    .ask = WIRE_ASK_TEXT,
				    .path = path,
				    .path_len = strlen(path) };
	size_t size = (size_t)ok(wire_encode_open(frame, &req));
	struct timespec before, after;
	int fd, got;

	clock_gettime(CLOCK_MONOTONIC, &before);
	raw_send(r, frame, size);
	got = raw_recv(r, ret, &fd, 10000);
	clock_gettime(CLOCK_MONOTONIC, &after);
	ensure(got >= (int)sizeof(struct wire_result), "no reply: %d", got);
	ensure(fd < 0, "%s was granted", path);
	return (double)(after.tv_sec - before.tv_sec) * 1e6 +
	       (double)(after.tv_nsec - before.tv_nsec) / 1e3;
}

/* All of a reply but what counts requests, and the path that was asked. */
static char *essence(const char *reply, const char *path)
{
	struct wire_outcome out;
	struct wire_header h;
	char *what;

	memcpy(&h, reply, sizeof h);
	ensure(!wire_decode_result(reply, h.size, &out), "not a RESULT");
	what = text("errno %d, reason %u, lacked %u, mode %o, dev %llu, ino %llu, size %llu: %.*s",
		    out.error, out.reason, out.lacked, out.mode, (unsigned long long)out.dev,
		    (unsigned long long)out.ino, (unsigned long long)out.size, (int)out.text_len,
		    out.text);
	for (char *p; (p = strstr(what, path));)
		memmove(p, p + strlen(path), strlen(p + strlen(path)) + 1);
	return what;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *all)
{
	qsort(all, ROUNDS, sizeof *all, by_size);
	return all[ROUNDS / 2];
}

static void same_answer(struct raw *r, const struct pair *p)
{
	char there[WIRE_REPLY_MAX], missing[WIRE_REPLY_MAX], *a, *b;
	struct wire_outcome out;
	struct wire_header h;

	ask(r, 1, p->there, p->flags, there);
	ask(r, 1, p->missing, p->flags, missing);
	a = essence(there, p->there);
	b = essence(missing, p->missing);
	ensure(!strcmp(a, b), "%s: %s; %s: %s", p->there, a, p->missing, b);
	memcpy(&h, there, sizeof h);
	wire_decode_result(there, h.size, &out);
	ensure(out.reason == p->reason, "%s: %s", p->there, a);
}

/* In turn, so that whatever else the machine does hits both alike. */
static void same_time(struct raw *r, const struct pair *p)
{
	static double there[ROUNDS], missing[ROUNDS];
	char reply[WIRE_REPLY_MAX];
	double a, b;

	for (int i = 0; i < ROUNDS; i++) {
		there[i] = ask(r, 1, p->there, p->flags, reply);
		missing[i] = ask(r, 1, p->missing, p->flags, reply);
	}
	a = median(there);
	b = median(missing);
	ensure(a < 1.5 * b && b < 1.5 * a, "%s: %.1f us; %s: %.1f us", p->there, a, p->missing, b);
}

static void compare_all(void *arg)
{
	const struct silence *s = arg;
	struct raw r = raw_connect(s->socket);

	raw_works(&r, 1, s->granted);
	for (size_t i = 0; i < s->n; i++)
		same_answer(&r, &s->pairs[i]);
	for (size_t i = 0; i < s->n; i++)
		same_time(&r, &s->pairs[i]);
	raw_works(&r, 2, s->granted);
	raw_close(&r);
}

static void add(struct silence *s, const char *there, const char *missing, int flags, int reason)
{
	ensure(s->n < ELEMENTSOF(s->pairs), "too many");
	s->pairs[s->n++] =
		(struct pair){ at("data/%s", there), at("data/%s", missing), flags, reason };
}

START_TEST(what_is_there_looks_like_what_is_not)
{
	struct silence s = { 0 };
	struct opend o;

	make_dir(at("data/in"), 0755, alice.uid);
	s.granted = make_file(at("data/in/file"), 0644, alice.uid, "file\n");
	make_dir(at("data/in/denied"), 0755, alice.uid);
	make_file(at("data/in/denied/is"), 0644, alice.uid, "denied\n");
	make_dir(at("data/out"), 0755, alice.uid);
	make_file(at("data/out/is"), 0644, alice.uid, "out\n");
	make_dir(at("data/out/isdir"), 0755, alice.uid);
	make_file(at("data/out/isdir/is"), 0644, alice.uid, "out\n");
	make_link("is", at("data/out/islink"));
	/* Of equal length, so that only the end of the way differs. */
	make_link("../out/is", at("data/in/to-is"));
	make_link("../out/no", at("data/in/to-no"));
	make_link("../out/isdir", at("data/in/dir-is"));
	make_link("../out/nodir", at("data/in/dir-no"));
	make_link("denied/is", at("data/in/deny-is"));
	make_link("denied/no", at("data/in/deny-no"));
	add(&s, "out/is", "out/no", O_RDONLY, OPENC_R_NO_RULE);
	add(&s, "out/is", "out/no", O_WRONLY | O_CREAT, OPENC_R_NO_RULE);
	add(&s, "out/isdir", "out/nodir", O_RDONLY | O_DIRECTORY, OPENC_R_NO_RULE);
	add(&s, "out/isdir/is", "out/nodir/is", O_RDONLY, OPENC_R_NO_RULE);
	add(&s, "out/islink", "out/nolink", O_RDONLY, OPENC_R_NO_RULE);
	add(&s, "out/is/", "out/no/", O_RDONLY, OPENC_R_NO_RULE);
	add(&s, "in/denied/is", "in/denied/no", O_RDONLY, OPENC_R_DENIED);
	add(&s, "in/denied/is", "in/denied/no", O_WRONLY | O_CREAT | O_EXCL, OPENC_R_DENIED);
	add(&s, "in/to-is", "in/to-no", O_RDONLY, OPENC_R_PLACE);
	add(&s, "in/to-is", "in/to-no", O_WRONLY | O_CREAT, OPENC_R_PLACE);
	add(&s, "in/dir-is/is", "in/dir-no/is", O_RDONLY, OPENC_R_PLACE);
	/* Denied, by a link: what the walk may not look into is a place as any other. */
	add(&s, "in/deny-is", "in/deny-no", O_RDONLY, OPENC_R_PLACE);
	add(&s, "in/../out/is", "in/../out/no", O_RDONLY, OPENC_R_NO_RULE);
	add(&s, "out/isdir/../is", "out/nodir/../is", O_RDONLY, OPENC_R_NO_RULE);
	add(&s, "in/dir-is/../is", "in/dir-no/../is", O_RDONLY, OPENC_R_PLACE);
	policy("10", "allow read,write,create under %s to user %u\ndeny any under %s to anyone\n",
	       at("data/in"), alice.uid, at("data/in/denied"));
	o = OPEND();
	s.socket = o.socket;
	as(alice, compare_all, &s);
	opend_stop(&o);
}
END_TEST

/* A lender looks at a name before it opens it, and may look anywhere: it does so through no link,
 * or a client's link would show him what is in directories that he may not search. */
START_TEST(a_lender_tells_nothing_of_where_links_lead)
{
	struct silence s = { 0 };
	struct opend o;

	needs_root("own a directory that the client cannot search");
	make_dir(at("data/shut"), 0700, 0);
	sys(mkfifo(at("data/shut/fifo"), 0600));
	make_dir(at("data/in"), 0755, alice.uid);
	s.granted = make_file(at("data/in/file"), 0600, 0, "file\n");
	make_link("../shut", at("data/in/link"));
	add(&s, "in/link/fifo", "in/link/miss", O_RDONLY, OPENC_R_PLACE);
	add(&s, "in/link/fifo", "in/link/miss", O_WRONLY | O_CREAT, OPENC_R_PLACE);
	policy("10", "allow read,write,create under %s to user %u as root\n", at("data/in"),
	       alice.uid);
	o = OPEND();
	s.socket = o.socket;
	as(alice, compare_all, &s);
	opend_stop(&o);
}
END_TEST

/* Where a rule lets the client ask, the kernel's own answer is told. */
START_TEST(what_is_granted_is_told)
{
	char *dir = make_dir(at("data/in"), 0755, alice.uid);
	char *file = make_file(at("data/in/file"), 0644, alice.uid, "file\n");
	struct opend o;

	policy("10", "allow read under %s to user %u\n", dir, alice.uid);
	o = OPEND();
	ask_for(&o, alice, file, O_RDONLY, "file\n");
	ask_refused(&o, alice, at("data/in/missing"), O_RDONLY, ENOENT, OPENC_R_KERNEL);
	opend_stop(&o);
}
END_TEST

/* A dry run speaks of policy alone, for what is granted too. */
static void run_dry(void *arg)
{
	const struct silence *s = arg;
	struct openc_conn *c = connect_to(s->socket);
	const struct openc_how how = { .flags = O_RDONLY, .ask = OPENC_DRY_RUN };
	struct openc_result there = { 0 }, missing = { 0 };

	openc_open_how(c, s->granted, &how, sizeof how, &there, sizeof there);
	openc_open_how(c, text("%s-not", s->granted), &how, sizeof how, &missing, sizeof missing);
	ensure(there.reason == 0 && there.reason == missing.reason && there.fd == missing.fd &&
		       there.mode == missing.mode && there.ino == missing.ino &&
		       there.size == missing.size,
	       "%d, reason %u; %d, reason %u", there.fd, there.reason, missing.fd, missing.reason);
	openc_free(c);
}

START_TEST(a_dry_run_tells_nothing_of_files)
{
	struct silence s = { 0 };
	struct opend o;

	make_dir(at("data/in"), 0755, alice.uid);
	s.granted = make_file(at("data/in/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read under %s to user %u\n", at("data/in"), alice.uid);
	o = OPEND();
	s.socket = o.socket;
	as(alice, run_dry, &s);
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("silence");

	ADD(s, what_is_there_looks_like_what_is_not, 60);
	ADD_ROOT(s, a_lender_tells_nothing_of_where_links_lead, 60);
	ADD(s, what_is_granted_is_told, 30);
	ADD(s, a_dry_run_tells_nothing_of_files, 30);
	return s;
}

int main(void)
{
	return harness_main("silence", suite);
}
