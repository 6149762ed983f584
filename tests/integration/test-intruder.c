/* SPDX-License-Identifier: MIT
 * A worker that was taken over: what it can do to others. It has a pipe to the supervisor and one
 * to opend-audit, a socket on which it is sent connections, and a page that it shares; and a client
 * who is in league with it. Whatever it does there is alice's harm alone: bob holds a connection
 * all the while, he and others make new ones, and none of them waits. */
#include <sys/syscall.h>
#include <sys/wait.h>
#include "audit.h"
#include "control.h"
#include "harness-backdoor.h"
#include "stats.h"

enum { CAROL = 1002, WAIT_MAX = 2000 };

struct scene {
	struct opend o;
	char *file, *key;
	struct raw bob;
	uint64_t asked;
};

/* Alice has a worker and can have a lender; bob has a worker, and a connection; carol has nothing.
 */
static void begin(struct scene *s)
{
	s->file = make_file(at("data/file"), 0644, 0, "file\n");
	s->key = make_file(at("data/key"), 0600, 0, "key\n");
	policy("10", "allow read file %s to user %u,%u\nallow read file %s to user %u as root\n",
	       s->file, alice.uid, bob.uid, s->key, alice.uid);
	s->o = opend_taken_over();
	s->bob = raw_connect_as(bob, s->o.socket);
	s->asked = 0;
	raw_works(&s->bob, ++s->asked, s->file);
}

static struct intruder enter(const struct scene *s, enum victim which)
{
	return intrude(&s->o, which, which == A_LOBBY ? uid_only(CAROL) : alice, s->key);
}

static void works_for(const struct scene *s, struct who who)
{
	struct raw r = raw_connect_as(who, s->o.socket);

	raw_works(&r, 1, s->file);
	raw_close(&r);
}

/* Bob's connection, and a new one of his, without a wait. */
static void bob_is_well(struct scene *s)
{
	int64_t began = now_msec();

	ensure(alive(s->o.pid), "the supervisor died");
	raw_works(&s->bob, ++s->asked, s->file);
	works_for(s, bob);
	ensure(now_msec() - began < WAIT_MAX, "bob waited for %lld ms",
	       (long long)(now_msec() - began));
}

static void end(struct scene *s)
{
	bob_is_well(s);
	works_for(s, alice);
	raw_close(&s->bob);
	opend_stop(&s->o);
}

static char *log_of(const struct scene *s)
{
	_cleanup_close_ int fd = (int)sys(open(s->o.log, O_RDONLY | O_CLOEXEC));

	return slurp(fd, NULL);
}

/* ---- records ---- */

enum { RECORDS = BACKDOOR_AREA / sizeof(struct up) };

static void send_records(struct intruder *i, const struct up *records, size_t n)
{
	int64_t r = write_through(i, WORKER_FD_UP, records, n * sizeof *records);

	ensure(r == (int64_t)(n * sizeof *records), "records: %lld", (long long)r);
}

/* Known types and others, small numbers and large ones. A cookie is a count of births above and an
 * index below. */
static struct up random_record(unsigned *seed)
{
	static const uint32_t numbers[] = { 0, 1, 7, 13, 4095, 4096, 65535, INT32_MAX, UINT32_MAX };
	struct up u = { .type = (uint32_t)rand_r(seed) % 9,
			.a = numbers[(size_t)rand_r(seed) % ELEMENTSOF(numbers)],
			.b = numbers[(size_t)rand_r(seed) % ELEMENTSOF(numbers)],
			.reserved = (uint32_t)rand_r(seed),
			.cookie = (uint64_t)(rand_r(seed) % 40) << 32 |
				  (uint64_t)(rand_r(seed) % 8) };

	if (rand_r(seed) % 8 == 0)
		u.cookie = (uint64_t)rand_r(seed) << 40 ^ (uint64_t)rand_r(seed);
	return u;
}

START_TEST(records_of_every_kind)
{
	static const enum victim all[] = { A_WORKER, A_LENDER, A_LOBBY };
	unsigned seed = 1;
	struct scene s;

	needs_filter();
	begin(&s);
	for (int round = 0; round < 60; round++) {
		struct intruder i = enter(&s, all[round % 3]);
		struct up records[RECORDS];

		for (size_t k = 0; k < ELEMENTSOF(records); k++)
			records[k] = random_record(&seed);
		send_records(&i, records, ELEMENTSOF(records));
		intruder_end(&i);
		bob_is_well(&s);
		works_for(&s, alice);
	}
	end(&s);
}
END_TEST

/* One of the daemon's figures. */
static int figure(const struct scene *s, const char *name)
{
	char *answer, *line;

	ok(control(&s->o, "status", &answer));
	line = strstr(answer, text("\n%s ", name));
	ensure(line, "no %s in %s", name, answer);
	return atoi(line + strlen(name) + 2);
}

/* Every connection there is, by its cookie: none but its own is its to end or to give back. */
START_TEST(cookies_of_others)
{
	static const enum victim all[] = { A_WORKER, A_LENDER, A_LOBBY };
	struct scene s;

	needs_filter();
	begin(&s);
	for (size_t v = 0; v < ELEMENTSOF(all); v++) {
		struct intruder i = enter(&s, all[v]);
		struct up records[RECORDS];

		for (uint64_t births = 0; births < 32; births++) {
			for (size_t k = 0; k < ELEMENTSOF(records); k++)
				records[k] = (struct up){ .type = k % 2 ? UP_CLOSED : UP_RELEASED,
							  .cookie = births << 32 | k / 2 };
			send_records(&i, records, ELEMENTSOF(records));
		}
		ensure(within(5000, figure(&s, "opend_connections") <= 2),
		       "not even its own ended");
		sleep_msec(100);
		ensure(figure(&s, "opend_connections") >= 1, "bob's connection was ended");
		intruder_end(&i);
		bob_is_well(&s);
	}
	end(&s);
}
END_TEST

/* A flood of each kind. Bob does not wait, no herd of processes is born, the log is not filled. */
START_TEST(floods)
{
	struct scene s;

	needs_filter();
	begin(&s);
	for (uint32_t type = 0; type < 9; type++) {
		struct intruder i = enter(&s, A_WORKER);
		struct up records[RECORDS];
		size_t before = strlen(log_of(&s)), most = 0;
		pid_t found[512];

		for (size_t k = 0; k < ELEMENTSOF(records); k++)
			records[k] = (struct up){ .type = type, .a = 1, .b = 1, .cookie = 1 };
		/* It obeys all the while, so it may be replaced, and then it is no more. */
		for (int round = 0; round < 100 && alive(i.pid); round++) {
			const struct attack a = { .nr = SYS_write,
						  .args = { WORKER_FD_UP, IN_AREA(0),
							    sizeof records },
						  .data = records,
						  .len = sizeof records };
			size_t n;

			post(&i, &a, 1);
			n = children(s.o.pid, NULL, found, ELEMENTSOF(found));
			most = UTIL_MAX(most, n);
			if (round % 10 == 0)
				bob_is_well(&s);
		}
		ensure(most < 12, "record %u: %zu processes", type, most);
		ensure(strlen(log_of(&s)) < before + 2000, "record %u: the log grew by %zu bytes",
		       type, strlen(log_of(&s)) - before);
		intruder_end(&i);
	}
	end(&s);
}
END_TEST

/* ---- its ends of what it shares ---- */

/* A descriptor at the supervisor: whoever drops it might hang for ever. */
START_TEST(nothing_can_be_pushed_upwards)
{
	static const enum victim all[] = { A_WORKER, A_LENDER, A_LOBBY };
	struct scene s;

	needs_filter();
	begin(&s);
	for (size_t v = 0; v < ELEMENTSOF(all); v++) {
		struct intruder i = enter(&s, all[v]);

		ensure(send_message(&i, WORKER_FD_DOWN, NULL, 0, i.at.conn) == -EPIPE, "pushed");
		ensure(send_message(&i, WORKER_FD_DOWN, NULL, 0, -1) == -EPIPE, "a word");
		ensure(send_message(&i, WORKER_FD_UP, NULL, 0, i.at.conn) == -ENOTSOCK, "pushed");
		ensure(send_message(&i, WORKER_FD_AUDIT, NULL, 0, i.at.conn) == -ENOTSOCK,
		       "pushed");
		intruder_end(&i);
	}
	end(&s);
}
END_TEST

/* Closed, or shut: the supervisor must not spin on what is left. */
START_TEST(ends_that_are_closed)
{
	static const struct attack deeds[] = {
		{ "the pipe", SYS_close, { WORKER_FD_UP } },
		{ "the pipe to the journal", SYS_close, { WORKER_FD_AUDIT } },
		{ "its socket, for reading", SYS_shutdown, { WORKER_FD_DOWN, SHUT_RD } },
		{ "its socket", SYS_shutdown, { WORKER_FD_DOWN, SHUT_RDWR } },
		{ "its client", SYS_shutdown, { ITS_CONN, SHUT_RDWR } },
	};
	struct scene s;

	needs_filter();
	begin(&s);
	for (size_t k = 0; k < ELEMENTSOF(deeds); k++) {
		struct intruder i = enter(&s, A_WORKER);
		int64_t before = proc_cpu_msec(s.o.pid);

		post(&i, &deeds[k], 1);
		sleep_msec(500);
		ensure(proc_cpu_msec(s.o.pid) - before < 200, "%s closed: it spins", deeds[k].name);
		bob_is_well(&s);
		intruder_end(&i);
	}
	end(&s);
}
END_TEST

/* The page cannot be cut, not even by root through the worker's memory, or the supervisor would die
 * of it; and nothing that stands in it is believed. */
START_TEST(the_stats_page)
{
	struct scene s;
	struct intruder i;
	_cleanup_close_ int page = -1;

	needs_filter();
	begin(&s);
	i = enter(&s, A_WORKER);
	page = (int)sys(
		open(text("/proc/%d/map_files/%llx-%llx", i.pid, (unsigned long long)i.at.stats,
			  (unsigned long long)i.at.stats + 4096),
		     O_RDWR | O_CLOEXEC));
	ensure(ftruncate(page, 0) < 0 && errno == EPERM, "it can be cut");
	ensure(ftruncate(page, 1 << 20) < 0 && errno == EPERM, "it can grow");
	for (size_t at = sizeof(uint64_t); at < sizeof(struct stats); at += sizeof(uint64_t))
		attack(&i, &(struct attack){ .op = BACKDOOR_POKE, .args = { IN_STATS(at), ~0ull } },
		       NULL, NULL);
	ok(control(&s.o, "status", NULL));
	bob_is_well(&s);
	intruder_end(&i);
	end(&s);
}
END_TEST

/* With nothing in hand, as its page says, it waits for ever: for a byte of its client. */
static void go_deaf(struct intruder *i)
{
	const struct attack deeds[] = {
		{ .nr = SYS_fcntl, .args = { ITS_CONN, F_SETFL, 0 } },
		{ .op = BACKDOOR_POKE, .args = { IN_STATS(0), 0 } },
		{ .nr = SYS_recvfrom, .args = { ITS_CONN, IN_AREA(0), 1, MSG_WAITALL } },
	};

	post(i, deeds, ELEMENTSOF(deeds));
	ensure(within(5000, asleep(i->pid)), "it does not wait");
}

/* Its rules are taken away, and it does not obey. Then it is made to: a hull that nobody grants any
 * more must not stay with anybody. */
START_TEST(who_does_not_leave)
{
	struct intruder i;
	struct scene s;
	int64_t began;

	needs_filter();
	begin(&s);
	i = enter(&s, A_WORKER);
	go_deaf(&i);
	policy("10", "allow read file %s to user %u\n", s.file, bob.uid);
	began = now_msec();
	ok(reload(&s.o));
	bob_is_well(&s);
	ensure(within(15000, !alive(i.pid)), "its rules are in force still");
	ensure(now_msec() - began > 1500, "it was not given the time to leave");
	bob_is_well(&s);
	intruder_end(&i);
	policy("10", "allow read file %s to anyone\n", s.file);
	ok(reload(&s.o));
	end(&s);
}
END_TEST

/* Whoever is sent the worker's end of the pipe can write on when the worker is dead. The supervisor
 * hears the dead out, but not for ever. */
static void write_for_ever(int fd)
{
	static struct up records[2048];

	for (size_t k = 0; k < ELEMENTSOF(records); k++)
		records[k].type = UP_CLOSED;
	signal(SIGPIPE, SIG_IGN);
	while (write(fd, records, sizeof records) > 0)
		;
	_exit(EXIT_SUCCESS);
}

START_TEST(a_pipe_that_outlives_its_worker)
{
	enum { WRITERS = 4 };
	pid_t writers[WRITERS];
	struct intruder i;
	struct scene s;
	int pipe;

	needs_filter();
	begin(&s);
	i = enter(&s, A_WORKER);
	pipe = take_from(&i, WORKER_FD_UP);
	for (int k = 0; k < WRITERS; k++) {
		writers[k] = (pid_t)sys(fork());
		if (writers[k] == 0)
			write_for_ever(pipe);
	}
	close_fd(pipe);
	bob_is_well(&s);
	intruder_end(&i);
	bob_is_well(&s);
	/* Its reader is gone then, and so are they. */
	for (int k = 0; k < WRITERS; k++)
		ensure(within(5000, waitpid(writers[k], NULL, WNOHANG) == writers[k]),
		       "they still write");
	end(&s);
}
END_TEST

/* ---- records of the journal ---- */

/* A record as our own worker would write it, in the name of root. */
static size_t forge(char *buf, uint16_t decision, const char *path)
{
	static const char rule[] = "/etc/opend/policy.d/forged.policy:1", via[] = "forged-door";
	struct audit_record r = { .size = (uint32_t)(sizeof r + strlen(via) + strlen(rule) +
						     strlen(path)),
				  .decision = decision,
				  .flags = decision == AUDIT_GRANT ? AUDIT_AS_ROOT : 0,
				  .reason = decision == AUDIT_GRANT ? WIRE_OK : WIRE_NO_RULE,
				  .access = WIRE_READ,
				  .error = decision == AUDIT_GRANT ? 0 : EACCES,
				  .generation = 1,
				  .serial = 7,
				  .via_len = (uint16_t)strlen(via),
				  .rule_len = (uint16_t)strlen(rule),
				  .path_len = (uint16_t)strlen(path) };

	memcpy(buf, &r, sizeof r);
	snprintf(buf + sizeof r, BACKDOOR_AREA - sizeof r, "%s%s%s", via, rule, path);
	return r.size;
}

/* The line of the log that speaks of this path. */
static char *line_about(const struct scene *s, const char *path)
{
	char *all, *found, *start;

	ensure(within(5000, strstr(log_of(s), path)), "%s is not in the log", path);
	all = log_of(s);
	found = strstr(all, path);
	for (start = found; start > all && start[-1] != '\n'; start--)
		;
	found[strcspn(found, "\n")] = 0;
	return start;
}

/* Whatever it writes is under its own client's name, and in one line. */
START_TEST(records_in_the_name_of_others)
{
	char record[BACKDOOR_AREA];
	struct intruder i;
	struct scene s;
	size_t len;
	char *line;

	needs_filter();
	begin(&s);
	i = enter(&s, A_WORKER);
	len = forge(record, AUDIT_GRANT, "/forged-1\n<5>granted: uid 0 may read /forged-2");
	ensure(write_through(&i, WORKER_FD_AUDIT, record, len) == (int64_t)len, "not written");
	line = line_about(&s, "/forged-1");
	ensure(strstr(line, text("granted: uid %u may read \"/forged-1", alice.uid)), "%s", line);
	ensure(strstr(line, "/forged-2"), "two lines came of one record: %s", line);
	/* Another worker's serial is not to be had either: what the record says is its lower half.
	 */
	ensure(!strstr(line, "serial 7"), "%s", line);
	/* Three bytes that are no record are the last that is heard of it. */
	ensure(write_through(&i, WORKER_FD_AUDIT, "\0\0\0\0", 4) == 4, "not written");
	ensure(within(5000, strstr(log_of(&s), "malformed: ")), "it was not noticed");
	len = forge(record, AUDIT_DENIAL, "/forged-3");
	write_through(&i, WORKER_FD_AUDIT, record, len);
	bob_is_well(&s);
	ensure(!strstr(log_of(&s), "/forged-3"), "it is heard again");
	intruder_end(&i);
	end(&s);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("intruder");

	ADD_ROOT(s, records_of_every_kind, 120);
	ADD_ROOT(s, cookies_of_others, 60);
	ADD_ROOT(s, floods, 120);
	ADD_ROOT(s, nothing_can_be_pushed_upwards, 30);
	ADD_ROOT(s, ends_that_are_closed, 30);
	ADD_ROOT(s, the_stats_page, 30);
	ADD_ROOT(s, who_does_not_leave, 60);
	ADD_ROOT(s, a_pipe_that_outlives_its_worker, 60);
	ADD_ROOT(s, records_in_the_name_of_others, 30);
	return s;
}

int main(void)
{
	return harness_main("intruder", suite);
}
