/* SPDX-License-Identifier: MIT
 * libopenc in an event loop: nothing blocks, what is asked is answered once, and a connection that
 * ends answers everything that was still open. */
#include <poll.h>
#include <sys/socket.h>
#include "harness-client.h"

/* One turn of the loop that the header describes. */
static int turn(struct openc_conn *c)
{
	struct pollfd p = { .fd = openc_get_fd(c), .events = (short)openc_get_events(c) };

	ck_assert(poll(&p, 1, openc_get_timeout(c)) >= 0);
	return openc_process(c);
}

static void take(struct openc_conn *c, struct openc_result *ret)
{
	int r;

	while ((r = openc_take(c, ret, sizeof *ret)) == 0)
		ck_assert(turn(c) >= 0);
	ck_assert_int_eq(r, 1);
}

START_TEST(what_is_submitted_is_taken)
{
	struct openc_conn *c = client_of(serve_files);
	struct openc_result res;
	uint64_t ids[100];
	bool seen[100] = { false };
	int fd = openc_get_fd(c);

	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(openc_submit(c, i == 50 ? "/nonexistent" : test_file(i % 4), NULL,
					      0, &ids[i]),
				 0);
	for (int n = 0; n < 100; n++) {
		int i = 0;

		take(c, &res);
		while (i < 100 && ids[i] != res.id)
			i++;
		ck_assert(i < 100 && !seen[i]);
		seen[i] = true;
		if (i == 50) {
			ck_assert_int_eq(res.fd, -ENOENT);
			ck_assert_str_eq(openc_message(c), "No such file or directory");
		} else
			is_file(res.fd, test_file(i % 4));
	}
	ck_assert_int_eq(openc_take(c, &res, sizeof res), 0);
	ck_assert_int_eq(openc_get_timeout(c), -1);
	ck_assert_int_eq(openc_get_fd(c), fd);
	openc_free(c);
	server_end();
}
END_TEST

static void answer_nothing(int sock)
{
	sleep_ms(300);
	wait_for_end(sock);
}

/* No call waits for a server that neither reads nor answers. */
START_TEST(nothing_blocks_and_there_is_an_end_to_submitting)
{
	static char path[4001];
	struct openc_conn *c = client_of(answer_nothing);
	struct openc_result res;
	int n, r = 0;

	memset(path, 'x', sizeof path - 1);
	path[0] = '/';
	elapsed_ms();
	for (n = 0; n < 2000 && r == 0; n++)
		r = openc_submit(c, path, NULL, 0, NULL);
	ck_assert_int_eq(r, -EAGAIN);
	ck_assert_msg(n > 60 && n < 1024, "%d were taken before the buffer was full", n);
	ck_assert_int_eq(openc_get_events(c), POLLIN | POLLOUT);
	ck_assert_int_eq(openc_process(c), 0);
	ck_assert_int_eq(openc_take(c, &res, sizeof res), 0);
	ck_assert_int_le(elapsed_ms(), 200);
	openc_free(c);
	server_kill();
}
END_TEST

static void answer_all_at_last(int sock)
{
	static struct ask asks[1024];

	for (int i = 0; i < 1024; i++)
		next_ask(sock, &asks[i]);
	for (int i = 0; i < 1024; i++)
		send_refusal(sock, asks[i].header.id, EACCES, WIRE_NO_RULE, "text");
	serve_files(sock);
}

START_TEST(the_1025th_unanswered_request_is_refused)
{
	struct openc_conn *c = client_of(answer_all_at_last);
	struct openc_result res;
	uint64_t id, last = 0;

	for (int i = 0; i < 1024; i++) {
		ck_assert_int_eq(openc_submit(c, "/a", NULL, 0, &id), 0);
		ck_assert(id > last);
		last = id;
	}
	ck_assert_int_eq(openc_submit(c, "/a", NULL, 0, &id), -EAGAIN);
	ck_assert_int_eq(openc_get_events(c) & POLLIN, POLLIN);
	take(c, &res);
	ck_assert_int_eq(res.fd, -EACCES);
	/* One place is free again, and only one. */
	ck_assert_int_eq(openc_submit(c, test_file(1), NULL, 0, &id), 0);
	ck_assert(id > last);
	for (int i = 0; i < 1023; i++) {
		take(c, &res);
		ck_assert_int_eq(res.fd, -EACCES);
		ck_assert(strstr(openc_message(c), "(text)"));
	}
	take(c, &res);
	ck_assert_uint_eq(res.id, id);
	is_file(res.fd, test_file(1));
	openc_free(c);
	server_end();
}
END_TEST

/* ---- deadlines ---- */

static void answer_the_second(int sock)
{
	struct ask first, second;

	next_ask(sock, &first);
	next_ask(sock, &second);
	send_grant(sock, second.header.id, second.path);
	sleep_ms(700);
	send_grant(sock, first.header.id, first.path);
	serve_files(sock);
}

START_TEST(each_request_has_its_own_deadline)
{
	struct openc_conn *c = client_of(answer_the_second);
	struct openc_result res;
	uint64_t hasty, patient;

	elapsed_ms();
	ck_assert_int_eq(openc_set_timeout(c, 400), 0);
	ck_assert_int_eq(openc_submit(c, test_file(1), NULL, 0, &hasty), 0);
	ck_assert_int_eq(openc_set_timeout(c, -1), 0);
	ck_assert_int_eq(openc_submit(c, test_file(2), NULL, 0, &patient), 0);
	ck_assert(openc_get_timeout(c) >= 0 && openc_get_timeout(c) <= 400);
	take(c, &res);
	ck_assert_uint_eq(res.id, patient);
	is_file(res.fd, test_file(2));
	take(c, &res);
	ck_assert(res.id == hasty && res.fd == -ETIMEDOUT && res.reason == OPENC_R_TIMEOUT);
	ck_assert_int_ge(elapsed_ms(), 400);
	/* The late answer comes, is thrown away, and the connection goes on. */
	ck_assert_int_eq(openc_submit(c, test_file(3), NULL, 0, &patient), 0);
	take(c, &res);
	ck_assert_uint_eq(res.id, patient);
	is_file(res.fd, test_file(3));
	openc_free(c);
	server_end();
}
END_TEST

START_TEST(a_server_that_lets_everything_expire_is_lost)
{
	struct openc_conn *c = client_of(answer_nothing);
	struct openc_result res;

	ck_assert_int_eq(openc_set_timeout(c, 50), 0);
	for (int i = 0; i < 1024; i++)
		ck_assert_int_eq(openc_submit(c, "/a", NULL, 0, NULL), 0);
	for (int i = 0; i < 1024; i++) {
		take(c, &res);
		ck_assert_int_eq(res.fd, -ETIMEDOUT);
	}
	ck_assert_int_eq(openc_submit(c, "/a", NULL, 0, NULL), -ETIMEDOUT);
	ck_assert_int_eq(openc_process(c), -ETIMEDOUT);
	openc_free(c);
	server_kill();
}
END_TEST

/* ---- cancel ---- */

START_TEST(a_cancelled_request_yields_nothing)
{
	struct openc_conn *c = client_of(serve_files);
	struct openc_result res;
	uint64_t ids[10];

	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(openc_submit(c, test_file(i % 4), NULL, 0, &ids[i]), 0);
	ck_assert_int_eq(openc_cancel(c, ids[3]), 0); /* on its way */
	ck_assert_int_eq(openc_cancel(c, ids[3]), -ENOENT);
	ck_assert_int_eq(openc_cancel(c, 4711), -ENOENT);
	while (openc_get_timeout(c) != 0)
		turn(c);
	sleep_ms(100);
	ck_assert_int_eq(openc_process(c), 1);
	/* Arrived but not taken: the first, one in the middle, the last. */
	ck_assert_int_eq(openc_cancel(c, ids[0]), 0);
	ck_assert_int_eq(openc_cancel(c, ids[5]), 0);
	ck_assert_int_eq(openc_cancel(c, ids[9]), 0);
	/* One more, behind the place where the last was. */
	ck_assert_int_eq(openc_submit(c, test_file(1), NULL, 0, &ids[9]), 0);
	openc_process(c);
	sleep_ms(100);
	ck_assert_int_eq(openc_process(c), 1);
	for (int i = 0; i < 10; i++) {
		if (i == 0 || i == 3 || i == 5)
			continue;
		take(c, &res);
		ck_assert_uint_eq(res.id, ids[i]);
		is_file(res.fd, test_file(i % 4));
	}
	ck_assert_int_eq(openc_take(c, &res, sizeof res), 0);
	ck_assert_int_eq(openc_cancel(c, ids[1]), -ENOENT);
	ck_assert_int_eq(openc_submit(c, test_file(1), NULL, 0, NULL), 0);
	take(c, &res);
	is_file(res.fd, test_file(1));
	openc_free(c);
	server_end();
}
END_TEST

/* ---- the end ---- */

static void answer_one_then_end(int sock)
{
	struct ask asks[5];

	for (int i = 0; i < 5; i++)
		next_ask(sock, &asks[i]);
	send_grant(sock, asks[2].header.id, asks[2].path);
}

static void answer_one_then_goodbye(int sock)
{
	answer_one_then_end(sock);
	send_goodbye(sock, WIRE_RESTART);
}

/* Five requests, one of which is answered before the connection ends. */
static void five_over(script_fn script, int error, int reason)
{
	struct openc_conn *c = client_of(script);
	struct openc_result res;
	int granted = 0, lost = 0, fd = openc_get_fd(c);

	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(openc_submit(c, test_file(1), NULL, 0, NULL), 0);
	while (turn(c) >= 0)
		;
	ck_assert_int_eq(openc_process(c), -ECONNRESET);
	while (openc_take(c, &res, sizeof res) == 1) {
		if (res.fd >= 0) {
			is_file(res.fd, test_file(1));
			granted++;
			continue;
		}
		ck_assert(res.fd == error && res.reason == reason);
		lost++;
	}
	ck_assert(granted == 1 && lost == 4);
	ck_assert_int_eq(openc_submit(c, test_file(1), NULL, 0, NULL), -ECONNRESET);
	ck_assert_int_eq(openc_open(c, test_file(1), O_RDONLY, 0), -ECONNRESET);
	ck_assert_int_eq(openc_get_fd(c), fd);
	openc_free(c);
	server_end();
}

START_TEST(an_end_of_file_answers_everything)
{
	five_over(answer_one_then_end, -ECONNRESET, OPENC_R_LOST);
}
END_TEST

START_TEST(a_goodbye_answers_everything_as_not_done)
{
	five_over(answer_one_then_goodbye, -EAGAIN, OPENC_R_RESTART);
}
END_TEST

static void nobody_comes(int sock)
{
	(void)sock;
	must(!"an asynchronous connection was made again");
}

START_TEST(an_asynchronous_connection_is_never_made_again)
{
	static const script_fn scripts[] = { answer_one_then_goodbye, nobody_comes, NULL };
	struct openc_conn *c;
	struct openc_result res;
	int fd;

	server_listen(scripts, 0);
	ck_assert_int_eq(openc_new(&c, server_path()), 0);
	fd = openc_get_fd(c);
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(openc_submit(c, test_file(1), NULL, 0, NULL), 0);
	while (turn(c) >= 0)
		;
	ck_assert_int_eq(openc_open(c, test_file(1), O_RDONLY, 0), -ECONNRESET);
	ck_assert_int_eq(openc_get_fd(c), fd);
	ck_assert(fcntl(fd, F_GETFD) >= 0);
	while (openc_take(c, &res, sizeof res) == 1)
		if (res.fd >= 0)
			close(res.fd);
	openc_free(c);
	server_kill();
}
END_TEST

static void answer_twice(int sock)
{
	struct ask ask;

	next_ask(sock, &ask);
	send_grant(sock, ask.header.id, ask.path);
	send_grant(sock, ask.header.id, ask.path);
	wait_for_end(sock);
}

START_TEST(a_second_answer_does_not_replace_the_first)
{
	struct openc_conn *c = client_of(answer_twice);
	struct openc_result res;

	ck_assert_int_eq(openc_submit(c, test_file(1), NULL, 0, NULL), 0);
	while (turn(c) >= 0)
		;
	ck_assert_int_eq(openc_take(c, &res, sizeof res), 1);
	is_file(res.fd, test_file(1));
	ck_assert_int_eq(openc_take(c, &res, sizeof res), 0);
	openc_free(c);
	server_end();
}
END_TEST

static void refuse_with_long_texts(int sock)
{
	static char text[4001];
	struct ask ask;

	memset(text, 't', sizeof text - 1);
	while (read_ask(sock, &ask))
		send_refusal(sock, ask.header.id, EACCES, WIRE_DENIED, text);
}

/* The texts of answers that nobody takes have a limit; later ones are there again. */
START_TEST(more_words_than_there_is_room_for)
{
	struct openc_conn *c = client_of(refuse_with_long_texts);
	const char *sentence = openc_strreason(OPENC_R_DENIED);
	struct openc_result res;
	int with = 0, without = 0;

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 100; i++)
			ck_assert_int_eq(openc_submit(c, "/a", NULL, 0, NULL), 0);
		openc_process(c);
		sleep_ms(200);
		for (int i = 0; i < 20; i++)
			ck_assert_int_eq(openc_process(c), 1);
		for (int i = 0; i < 100; i++) {
			take(c, &res);
			ck_assert_int_eq(res.fd, -EACCES);
			ck_assert(strncmp(openc_message(c), sentence, strlen(sentence)) == 0);
			with += strlen(openc_message(c)) > 4000;
			without += strlen(openc_message(c)) == strlen(sentence);
		}
	}
	ck_assert(with >= 2 * 10 && without >= 2 * 10 && with + without == 200);
	openc_free(c);
	server_end();
}
END_TEST

START_TEST(what_was_not_taken_is_closed_with_the_connection)
{
	struct openc_conn *c = client_of(serve_files);

	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(openc_submit(c, test_file(1), NULL, 0, NULL), 0);
	while (turn(c) == 0)
		;
	openc_free(c);
	server_kill();
}
END_TEST

/* ---- both at once ---- */

START_TEST(a_call_that_waits_leaves_the_others_results_alone)
{
	struct openc_conn *c = client_of(serve_files);
	struct openc_result res;
	uint64_t id;

	ck_assert_int_eq(openc_submit(c, test_file(1), NULL, 0, &id), 0);
	is_file(openc_open(c, test_file(2), O_RDONLY, 0), test_file(2));
	take(c, &res);
	ck_assert_uint_eq(res.id, id);
	is_file(res.fd, test_file(1));
	openc_free(c);
	server_end();
}
END_TEST

START_TEST(a_call_that_waits_finds_no_place_rather_than_wait_for_ever)
{
	struct openc_conn *c = client_of(serve_files);
	struct openc_result res;
	int n = 0;

	for (int i = 0; i < 1024; i++)
		ck_assert_int_eq(openc_submit(c, "/nonexistent", NULL, 0, NULL), 0);
	ck_assert_int_eq(openc_set_timeout(c, 5000), 0);
	elapsed_ms();
	ck_assert_int_eq(openc_open(c, test_file(1), O_RDONLY, 0), -EAGAIN);
	ck_assert_int_le(elapsed_ms(), 2000);
	for (; n < 1024; n++)
		take(c, &res);
	is_file(openc_open(c, test_file(1), O_RDONLY, 0), test_file(1));
	openc_free(c);
	server_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client-async");
	TCase *t = tcase_create("event loops");

	tcase_add_checked_fixture(t, client_setup, client_teardown);
	tcase_set_timeout(t, 20);
	ADD(t, what_is_submitted_is_taken);
	ADD(t, nothing_blocks_and_there_is_an_end_to_submitting);
	ADD(t, the_1025th_unanswered_request_is_refused);
	ADD(t, each_request_has_its_own_deadline);
	ADD(t, a_server_that_lets_everything_expire_is_lost);
	ADD(t, a_cancelled_request_yields_nothing);
	ADD(t, an_end_of_file_answers_everything);
	ADD(t, a_goodbye_answers_everything_as_not_done);
	ADD(t, an_asynchronous_connection_is_never_made_again);
	ADD(t, a_second_answer_does_not_replace_the_first);
	ADD(t, more_words_than_there_is_room_for);
	ADD(t, what_was_not_taken_is_closed_with_the_connection);
	ADD(t, a_call_that_waits_leaves_the_others_results_alone);
	ADD(t, a_call_that_waits_finds_no_place_rather_than_wait_for_ever);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
