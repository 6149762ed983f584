/* SPDX-License-Identifier: MIT
 * A worker that dies takes its own connections with it and nothing else; who waited for it is told
 * at once; and the next request finds another one, also when somebody was watching it die. */
#include <sys/ptrace.h>
#include <sys/wait.h>
#include "harness.h"

struct stage {
	const char *socket, *file;
	volatile int step; /* odd: the client's turn is over; even: the test's */
};

static void turn(struct stage *s, int step)
{
	ensure(within(20000, s->step == step), "step %d, not %d", s->step, step);
}

static struct opend start_with_file(struct stage **ret)
{
	struct stage *s = shared(sizeof *s);
	struct opend o;

	s->file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read file %s to anyone\n", s->file);
	o = OPEND();
	s->socket = o.socket;
	*ret = s;
	return o;
}

/* One request that the worker never reads, by a connection that does not reconnect: it is told that
 * nobody knows, and told at once, not when its time is over. */
static void wait_for_an_answer(void *arg)
{
	struct stage *s = arg;
	struct openc_conn *c = connect_to(s->socket);
	struct openc_result r;
	int64_t until;
	uint64_t id;
	int state;

	ensure(verdict(c, s->file, O_RDONLY) == 0, "%s", openc_message(c));
	s->step = 1;
	turn(s, 2);
	ok(openc_submit(c, s->file, NULL, 0, &id));
	ensure(openc_process(c) == 0, "answered by a process that is stopped");
	s->step = 3;
	until = now_msec() + patience(5000);
	while ((state = openc_process(c)) == 0 && now_msec() < until)
		sleep_msec(5);
	ensure(state == -ECONNRESET, "%d, and not at once", state);
	ensure(openc_take(c, &r, sizeof r) == 1 && r.id == id && r.fd == -ECONNRESET &&
		       r.reason == OPENC_R_LOST,
	       "%d, reason %u", r.fd, r.reason);
	openc_free(c);
}

/* The same connection before and after. */
static void stay(void *arg)
{
	struct stage *s = arg;
	struct raw r = raw_connect(s->socket);

	raw_works(&r, 1, s->file);
	s->step = 1;
	turn(s, 2);
	raw_works(&r, 2, s->file);
	raw_close(&r);
}

static void ask_again(void *arg)
{
	const struct stage *s = arg;
	struct openc_conn *c = connect_to(s->socket);

	ok(openc_set_timeout(c, (int)patience(5000)));
	ensure(verdict(c, s->file, O_RDONLY) == 0, "%s", openc_message(c));
	openc_free(c);
}

START_TEST(who_waits_is_told_at_once)
{
	struct client c;
	struct stage *s;
	struct opend o;
	pid_t worker;

	needs_root("stop a worker");
	o = start_with_file(&s);
	c = client_start(alice, wait_for_an_answer, s);
	turn(s, 1);
	worker = only_worker(&o, alice.uid);
	sys(kill(worker, SIGSTOP));
	s->step = 2;
	turn(s, 3);
	sys(kill(worker, SIGKILL));
	client_wait(&c);
	as(alice, ask_again, s);
	opend_stop(&o);
}
END_TEST

START_TEST(nobody_else_notices)
{
	struct stage *s, *bobs;
	struct client c;
	struct opend o;

	needs_root("be two clients");
	o = start_with_file(&s);
	bobs = shared(sizeof *bobs);
	*bobs = *s;
	c = client_start(bob, stay, bobs);
	turn(bobs, 1);
	as(alice, ask_again, s);
	sys(kill(only_worker(&o, alice.uid), SIGKILL));
	as(alice, ask_again, s);
	bobs->step = 2;
	client_wait(&c);
	opend_stop(&o);
}
END_TEST

/* A tracer is told of a death before the parent is, and lets go when it likes. */
START_TEST(a_worker_that_dies_under_a_tracer)
{
	struct stage *s;
	struct opend o;
	pid_t worker;
	int status;

	needs_root("trace a worker");
	o = start_with_file(&s);
	as(alice, ask_again, s);
	worker = only_worker(&o, alice.uid);
	sys(ptrace(PTRACE_SEIZE, worker, NULL, NULL));
	sys(kill(worker, SIGKILL));
	sleep_msec(300);
	ensure(waitpid(worker, &status, __WALL) == worker && WIFSIGNALED(status), "it lives");
	ensure(within(5000, access(text("/proc/%d", worker), F_OK) < 0), "nobody reaps it");
	as(alice, ask_again, s);
	opend_stop(&o);
}
END_TEST

/* ---- births that are of no use ---- */

enum { VISITS = 200, BIRTHS_MAX = 20 };

static void come_often(void *arg)
{
	struct stage *s = arg;

	for (int i = 0; i < VISITS; i++) {
		struct raw r = raw_connect(s->socket);
		int goodbye;

		ensure(raw_ended(&r, &goodbye, 10000), "the connection goes on");
		ensure(goodbye == WIRE_RESOURCES, "goodbye with reason %d", goodbye);
		raw_close(&r);
	}
}

static void come_until_served(void *arg)
{
	const struct stage *s = arg;
	struct openc_conn *c = connect_to(s->socket);

	ensure(within(20000, verdict(c, s->file, O_RDONLY) == 0), "%s", openc_message(c));
	openc_free(c);
}

static uint64_t births(const struct opend *o)
{
	uint64_t n = 0, some;
	char *text, *line;

	ok(control(o, "status", &text));
	for (line = text; (line = strstr(line, "opend_worker_exits_total{")); line++)
		if (sscanf(strchr(line, ' '), "%lu", &some) == 1)
			n += some;
	return n;
}

/* Where no worker can confine itself, not everybody who comes costs a birth; and when it can again
 * it serves. */
START_TEST(births_that_fail_are_apart)
{
	char *config = make_file(at("run/opend.conf"), 0644, 0, "set require-landlock yes\n");
	struct stage *s = shared(sizeof *s);
	struct opend o;

	s->file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read file %s to user %u\n", s->file, alice.uid);
	o = opend_start("--landlock-abi", "0", "--config", config, NULL);
	s->socket = o.socket;
	as(alice, come_often, s);
	ensure(births(&o) > 0, "none was tried");
	ensure(births(&o) <= BIRTHS_MAX, "%lu births for %d visits", births(&o), VISITS);
	sys(unlink(config));
	make_file(config, 0644, 0, "set require-landlock no\n");
	ok(reload(&o));
	as(alice, come_until_served, s);
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("crash");

	ADD_ROOT(s, who_waits_is_told_at_once, 60);
	ADD_ROOT(s, nobody_else_notices, 60);
	ADD_ROOT(s, a_worker_that_dies_under_a_tracer, 60);
	ADD(s, births_that_fail_are_apart, 60);
	return s;
}

int main(void)
{
	return harness_main("crash", suite);
}
