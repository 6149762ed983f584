/* SPDX-License-Identifier: MIT
 * Records that no worker of ours would write: alice has taken hers over, and thousands of random
 * ones go up its pipe, by themselves, in runs, and torn. The supervisor may end that worker and
 * turn alice away; it serves everybody else meanwhile, and has lost nothing afterwards. What the
 * worker says to opend-audit in the same way stops at that pipe. */
#include <sys/socket.h>
#include <sys/syscall.h>
#include "control.h"
#include "harness-backdoor.h"

enum { ROUNDS = 400, RECORDS = 64, ROUND_MSEC = 500 };

struct flood {
	const struct opend *o;
	uint64_t state;
	int pipe;
	unsigned written; /* bytes that the worker got rid of */
};

static uint32_t pick(struct flood *f, uint32_t n)
{
	f->state = f->state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(f->state >> 33) % n;
}

/* Mostly types that there are and cookies that may have been given. */
static void make_record(struct flood *f, struct up *u)
{
	*u = (struct up){ .type = pick(f, 8) ? pick(f, UP_SETTLED + 3) : (uint32_t)f->state,
			  .a = pick(f, 4) ? pick(f, 200) : (uint32_t)f->state,
			  .b = pick(f, 4) ? pick(f, 20) : (uint32_t)f->state,
			  .reserved = pick(f, 2) };
	u->cookie = (uint64_t)pick(f, pick(f, 2) ? 4 : 2 * ROUNDS) << 32 | pick(f, 4);
	if (!pick(f, 8))
		u->cookie = f->state;
}

static size_t make_bytes(struct flood *f, char *bytes)
{
	struct up records[RECORDS];
	size_t n = 1 + pick(f, RECORDS);

	for (size_t i = 0; i < n; i++)
		make_record(f, &records[i]);
	memcpy(bytes, records, sizeof records);
	if (f->pipe == WORKER_FD_AUDIT)
		memcpy(bytes, &(uint32_t){ pick(f, 4) ? 64 + pick(f, 200) : pick(f, 9999) }, 4);
	return n * sizeof *records - (pick(f, 16) ? 0 : 1 + pick(f, sizeof *records - 1));
}

/* One frame for the back door, and its reply; -1: the connection has ended. */
static int64_t command(struct raw *r, const struct backdoor_request *request, const char *bytes,
		       size_t len, void *area)
{
	char frame[sizeof *request + BACKDOOR_AREA], reply[WIRE_REPLY_MAX];
	struct backdoor_request q = *request;
	int64_t result;
	int fd = -1;

	q.header = (struct wire_header){ .size = (uint32_t)(sizeof q + len),
					 .type = BACKDOOR_FRAME,
					 .id = 1 };
	memcpy(frame, &q, sizeof q);
	if (len)
		memcpy(frame + sizeof q, bytes, len);
	if (send(r->fd, frame, sizeof q + len, MSG_NOSIGNAL) < 0 ||
	    raw_recv(r, reply, &fd, ROUND_MSEC) < (int)sizeof(struct backdoor_reply))
		return -1;
	memcpy(&result, reply + offsetof(struct backdoor_reply, result), sizeof result);
	if (area)
		memcpy(area, reply + sizeof(struct backdoor_reply), sizeof(struct backdoor_places));
	return result;
}

static void one_round(struct flood *f)
{
	struct backdoor_places at;
	char bytes[RECORDS * sizeof(struct up)];
	struct raw r = raw_connect(f->o->socket);
	const struct backdoor_request look = { .op = BACKDOOR_PLACES, .flags = BACKDOOR_TELL };
	size_t len = make_bytes(f, bytes);
	int64_t n = -1;

	if (command(&r, &look, NULL, 0, &at) >= 0) {
		const struct backdoor_request call = { .op = BACKDOOR_CALL,
						       .nr = SYS_write,
						       .args = { (uint64_t)f->pipe, at.area,
								 len } };

		n = command(&r, &call, bytes, len, NULL);
	}
	f->written += n > 0 ? (unsigned)n : 0;
	raw_close(&r);
}

static void write_at_random(void *arg)
{
	struct flood *f = arg;

	for (int i = 0; i < ROUNDS; i++)
		one_round(f);
}

/* Bob's connection, and nobody else's. */
static bool one_is_left(const struct opend *o)
{
	char *status;

	ok(control(o, "status", &status));
	return strstr(status, "\nopend_connections 1\n");
}

static void flood(int pipe)
{
	char *file = make_file(at("data/file"), 0644, alice.uid, "x\n");
	struct flood *f = shared(sizeof *f);
	struct client c;
	struct opend o;
	struct raw r;

	policy("10", "allow read file %s to user %u,%u\n", file, alice.uid, bob.uid);
	o = opend_taken_over();
	*f = (struct flood){ .o = &o, .state = 1, .pipe = pipe };
	r = raw_connect_as(bob, o.socket);
	raw_works(&r, 1, file);
	c = client_start(alice, write_at_random, f);
	for (uint64_t id = 2; id < 100; id++) {
		raw_works(&r, id, file);
		sleep_msec(10);
	}
	client_wait(&c);
	raw_works(&r, 100, file);
	ensure(within(5000, one_is_left(&o)), "the supervisor lost count of connections");
	raw_close(&r);
	ensure(f->written > ROUNDS * sizeof(struct up), "only %u bytes were written", f->written);
	ask_for(&o, bob, file, O_RDONLY, "x\n");
	opend_stop(&o);
}

START_TEST(records_at_random_are_the_workers_own_trouble)
{
	needs_root("start an opend that becomes other users");
	flood(WORKER_FD_UP);
}
END_TEST

START_TEST(audit_records_at_random_are_the_workers_own_trouble)
{
	needs_root("start an opend that becomes other users");
	flood(WORKER_FD_AUDIT);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("records");

	ADD_ROOT(s, records_at_random_are_the_workers_own_trouble, 120);
	ADD_ROOT(s, audit_records_at_random_are_the_workers_own_trouble, 120);
	return s;
}

int main(void)
{
	return harness_main("records", suite);
}
