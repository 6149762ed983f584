/* SPDX-License-Identifier: MIT
 * libopenc and the stream: however bytes and descriptors arrive, late, in pieces, wrong or not at
 * all, each request gets its own answer or the right error, and nothing leaks. */
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <signal.h>
#include "harness-client.h"

/* ---- pieces ---- */

static void answer_in_bytes(int sock)
{
	struct ask ask;
	char frame[64];

	while (read_ask(sock, &ask)) {
		_cleanup_close_ int fd = open(ask.path, O_RDONLY | O_CLOEXEC);
		size_t len = grant_frame(frame, ask.header.id, fd);

		for (size_t i = 0; i < len; i++) {
			send_bytes(sock, frame + i, 1, &fd, i == 0);
			if (i % 16 == 0)
				sleep_ms(1);
		}
	}
}

START_TEST(an_answer_in_single_bytes)
{
	struct openc_conn *c = client_of(answer_in_bytes);

	for (int i = 0; i < 4; i++)
		is_file(openc_open(c, test_file(i), O_RDONLY, 0), test_file(i));
	openc_free(c);
	server_end();
}
END_TEST

/* All answers and descriptors in one send, but for the last byte. */
static void answer_at_once(int sock)
{
	enum { N = 200 };
	char frames[N * 64];
	struct ask ask;
	int fds[N];

	for (int i = 0; i < N; i++) {
		next_ask(sock, &ask);
		fds[i] = open(ask.path, O_RDONLY | O_CLOEXEC);
		must(grant_frame(frames + i * 64, ask.header.id, fds[i]) == 64);
	}
	send_bytes(sock, frames, sizeof frames - 1, fds, N);
	sleep_ms(20);
	send_bytes(sock, frames + sizeof frames - 1, 1, NULL, 0);
	wait_for_end(sock);
}

START_TEST(two_hundred_answers_in_one_piece)
{
	struct openc_conn *c = client_of(answer_at_once);
	struct openc_result results[200];
	const char *paths[200];

	for (int i = 0; i < 200; i++)
		paths[i] = test_file(i % 4);
	ck_assert_int_eq(openc_open_many(c, paths, 200, NULL, 0, results, sizeof *results, 1), 200);
	for (int i = 0; i < 200; i++)
		is_file(results[i].fd, test_file(i % 4));
	openc_free(c);
	server_end();
}
END_TEST

/* ---- late ---- */

static void answer_late(int sock)
{
	struct ask first, second;

	next_ask(sock, &first);
	next_ask(sock, &second);
	send_grant(sock, first.header.id, first.path);
	sleep_ms(30);
	send_grant(sock, second.header.id, second.path);
	serve_files(sock);
}

START_TEST(a_late_answer_is_not_taken_for_the_next)
{
	struct openc_conn *c = client_of(answer_late);

	ck_assert_int_eq(openc_set_timeout(c, 60), 0);
	elapsed_ms();
	ck_assert_int_eq(openc_open(c, test_file(1), O_RDONLY, 0), -ETIMEDOUT);
	ck_assert_int_eq(openc_reason(c), OPENC_R_TIMEOUT);
	ck_assert_int_ge(elapsed_ms(), 60);
	ck_assert_int_eq(openc_set_timeout(c, 10000), 0);
	is_file(openc_open(c, test_file(2), O_RDONLY, 0), test_file(2));
	is_file(openc_open(c, test_file(3), O_RDONLY, 0), test_file(3));
	openc_free(c);
	server_end();
}
END_TEST

static void never_answer(int sock)
{
	struct ask ask;

	next_ask(sock, &ask);
	wait_for_end(sock); /* the client gives this connection up */
}

START_TEST(after_a_timeout_a_new_connection_is_made)
{
	static const script_fn scripts[] = { never_answer, serve_files, NULL };
	struct openc_conn *c;

	server_listen(scripts, 0);
	ck_assert_int_eq(openc_new(&c, server_path()), 0);
	ck_assert_int_eq(openc_set_timeout(c, 50), 0);
	ck_assert_int_eq(openc_open(c, test_file(1), O_RDONLY, 0), -ETIMEDOUT);
	ck_assert_int_eq(openc_set_timeout(c, 10000), 0);
	is_file(openc_open(c, test_file(2), O_RDONLY, 0), test_file(2));
	openc_free(c);
	server_end();
}
END_TEST

static void on_alarm(int sig)
{
	(void)sig;
}

static void answer_slowly(int sock)
{
	struct ask ask;

	while (read_ask(sock, &ask)) {
		sleep_ms(50);
		send_grant(sock, ask.header.id, ask.path);
	}
}

START_TEST(a_thousand_signals_a_second_change_nothing)
{
	struct sigaction sa = { .sa_handler = on_alarm }; /* no SA_RESTART */
	struct itimerval fast = { { 0, 1000 }, { 0, 1000 } }, off = { { 0, 0 }, { 0, 0 } };
	struct openc_conn *c = client_of(answer_slowly);

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &fast, NULL);
	for (int i = 0; i < 10; i++)
		is_file(openc_open(c, test_file(i % 4), O_RDONLY, 0), test_file(i % 4));
	openc_set_timeout(c, 30);
	ck_assert_int_eq(openc_open(c, test_file(0), O_RDONLY, 0), -ETIMEDOUT);
	setitimer(ITIMER_REAL, &off, NULL);
	openc_free(c);
	server_kill();
}
END_TEST

/* ---- the end ---- */

static void goodbye_restart(int sock)
{
	struct ask ask;

	next_ask(sock, &ask);
	send_goodbye(sock, WIRE_RESTART);
}

static void goodbye_quota(int sock)
{
	struct ask ask;

	next_ask(sock, &ask);
	send_goodbye(sock, WIRE_QUOTA);
}

static void end_of_file(int sock)
{
	struct ask ask;

	next_ask(sock, &ask);
}

static void end_in_mid_frame(int sock)
{
	struct ask ask;
	char frame[64];
	int fd;

	next_ask(sock, &ask);
	fd = open(ask.path, O_RDONLY | O_CLOEXEC);
	grant_frame(frame, ask.header.id, fd);
	send_bytes(sock, frame, 40, &fd, 1);
	close(fd);
}

/* It must not come a second time. */
static void nobody_comes(int sock)
{
	must(!"a request was repeated that must not be");
	(void)sock;
}

/* Opens with `flags` where the first connection ends with `script`. repeated: it must succeed on
 * the second one. */
static void open_over(script_fn script, int flags, int error, int reason)
{
	const script_fn twice[] = { script, serve_files, NULL };
	const script_fn once[] = { script, nobody_comes, NULL };
	struct openc_conn *c;
	int fd;

	server_listen(error ? once : twice, 0);
	ck_assert_int_eq(openc_new(&c, server_path()), 0);
	fd = openc_open(c, test_file(1), flags, 0600);
	if (error) {
		ck_assert_int_eq(fd, error);
		ck_assert_int_eq(openc_reason(c), reason);
		server_kill();
	} else
		is_file(fd, test_file(1));
	openc_free(c);
	if (!error)
		server_end();
}

START_TEST(after_goodbye_every_request_is_repeated)
{
	open_over(goodbye_restart, O_RDONLY, 0, 0);
}
END_TEST

START_TEST(after_goodbye_also_one_that_must_not_happen_twice)
{
	open_over(goodbye_restart, O_RDWR | O_CREAT | O_EXCL, 0, 0);
}
END_TEST

START_TEST(a_refusal_by_goodbye_is_final)
{
	open_over(goodbye_quota, O_RDONLY, -EAGAIN, OPENC_R_QUOTA);
}
END_TEST

START_TEST(after_an_end_without_goodbye_a_harmless_request_is_repeated)
{
	open_over(end_of_file, O_WRONLY | O_CREAT, 0, 0);
}
END_TEST

START_TEST(after_an_end_without_goodbye_excl_is_not_repeated)
{
	open_over(end_of_file, O_WRONLY | O_CREAT | O_EXCL, -ECONNRESET, OPENC_R_LOST);
}
END_TEST

START_TEST(after_an_end_without_goodbye_trunc_is_not_repeated)
{
	open_over(end_of_file, O_WRONLY | O_TRUNC, -ECONNRESET, OPENC_R_LOST);
}
END_TEST

START_TEST(an_end_in_mid_frame_is_an_end)
{
	open_over(end_in_mid_frame, O_RDONLY, 0, 0);
}
END_TEST

START_TEST(a_server_that_always_ends_is_not_asked_for_ever)
{
	static const script_fn scripts[] = { end_of_file, end_of_file,	end_of_file,
					     end_of_file, nobody_comes, NULL };
	struct openc_conn *c;

	server_listen(scripts, 0);
	ck_assert_int_eq(openc_new(&c, server_path()), 0);
	ck_assert_int_eq(openc_open(c, test_file(0), O_RDONLY, 0), -ECONNRESET);
	server_kill();
	openc_free(c);
}
END_TEST

START_TEST(an_inherited_connection_that_ends_is_over)
{
	struct openc_conn *c = client_of(goodbye_restart);

	ck_assert_int_eq(openc_open(c, "/a", O_RDONLY, 0), -EAGAIN);
	ck_assert_int_eq(openc_reason(c), OPENC_R_RESTART);
	ck_assert_int_eq(openc_open(c, "/a", O_RDONLY, 0), -ECONNRESET);
	openc_free(c);
	server_end();
	c = client_of(end_of_file);
	ck_assert_int_eq(openc_open(c, "/a", O_RDONLY, 0), -ECONNRESET);
	ck_assert_int_eq(openc_reason(c), OPENC_R_LOST);
	openc_free(c);
	server_end();
}
END_TEST

static void read_no_more(int sock)
{
	must(shutdown(sock, SHUT_RD) == 0);
	for (;;)
		sleep_ms(1000);
}

START_TEST(a_server_that_reads_no_more_is_lost_at_once)
{
	struct openc_conn *c = client_of(read_no_more);

	sleep_ms(50);
	elapsed_ms();
	ck_assert_int_eq(openc_open(c, "/a", O_RDONLY, 0), -ECONNRESET);
	ck_assert_int_le(elapsed_ms(), 1000);
	openc_free(c);
	server_kill();
}
END_TEST

static void serve_three(int sock)
{
	struct ask ask;

	for (int i = 0; i < 3; i++) {
		next_ask(sock, &ask);
		send_grant(sock, ask.header.id, ask.path);
	}
	send_goodbye(sock, WIRE_RESTART);
}

START_TEST(a_restart_is_a_pause_not_an_error)
{
	static const script_fn scripts[] = { serve_three, serve_three, serve_files, NULL };
	struct openc_conn *c;
	struct openc_result results[20];
	const char *paths[20];

	server_listen(scripts, 300);
	ck_assert_int_eq(openc_new(&c, server_path()), 0);
	for (int i = 0; i < 20; i++)
		paths[i] = test_file(i % 4);
	ck_assert_int_eq(openc_open_many(c, paths, 20, NULL, 0, results, sizeof *results, 1), 20);
	for (int i = 0; i < 20; i++)
		is_file(results[i].fd, test_file(i % 4));
	openc_free(c);
	server_end();
}
END_TEST

START_TEST(a_server_that_stays_away_is_no_server)
{
	static const script_fn scripts[] = { end_of_file, NULL };
	struct openc_conn *c;

	server_listen(scripts, 0);
	ck_assert_int_eq(openc_new(&c, server_path()), 0);
	openc_set_timeout(c, 300);
	elapsed_ms();
	ck_assert_int_eq(openc_open(c, test_file(0), O_RDONLY, 0), -ENOTCONN);
	ck_assert_int_eq(openc_reason(c), OPENC_R_NO_SERVER);
	ck_assert_int_le(elapsed_ms(), 2000);
	/* The next one does not wait again. */
	openc_set_timeout(c, 10000);
	elapsed_ms();
	ck_assert_int_eq(openc_open(c, test_file(0), O_RDONLY, 0), -ENOTCONN);
	ck_assert_int_le(elapsed_ms(), 100);
	openc_free(c);
	server_end();
}
END_TEST

/* ---- wrong ---- */

/* What is sent to the first request, instead of an answer. */
static struct {
	char bytes[256];
	size_t len, n_fds;
	bool own_id; /* the request's id goes to offset 8 */
} wrong;

static void answer_wrong(int sock)
{
	int fds[2] = { open("/dev/null", O_RDONLY), open("/dev/null", O_RDONLY) };
	struct ask ask;

	next_ask(sock, &ask);
	if (wrong.own_id)
		memcpy(wrong.bytes + 8, &ask.frame[8], 8);
	send_bytes(sock, wrong.bytes, wrong.len, fds, wrong.n_fds);
	wait_for_end(sock);
}

static void expect_over(const char *what)
{
	struct openc_conn *c = client_of(answer_wrong);

	ck_assert_msg(openc_open(c, "/a", O_RDONLY, 0) == -ECONNRESET, "%s", what);
	ck_assert_int_eq(openc_reason(c), OPENC_R_LOST);
	ck_assert_msg(openc_open(c, "/a", O_RDONLY, 0) == -ECONNRESET, "%s", what);
	openc_free(c);
	server_end();
}

static void wrong_result(const struct wire_outcome *out, size_t n_fds)
{
	int len = wire_encode_result(wrong.bytes, sizeof wrong.bytes, out);

	wrong.len = (size_t)len;
	wrong.n_fds = n_fds;
	wrong.own_id = out->id == 0;
}

static void wrong_plain(uint16_t type, uint64_t id, uint16_t nfds, size_t n_fds)
{
	wrong.len =
		(size_t)wire_encode_plain(wrong.bytes, sizeof wrong.bytes, type, id, nfds, NULL, 0);
	wrong.n_fds = n_fds;
	wrong.own_id = id == 0 && type != WIRE_GOODBYE;
}

START_TEST(what_is_no_answer_ends_the_connection)
{
	struct wire_outcome out = { .id = 999, .error = EACCES, .reason = WIRE_DENIED };

	wrong_result(&out, 0);
	expect_over("an id that was never asked");
	out = (struct wire_outcome){ .id = 1025, .nfds = 1 };
	wrong_result(&out, 1);
	expect_over("the id of the future in the same place");
	out = (struct wire_outcome){ .nfds = 1 };
	wrong_result(&out, 0);
	expect_over("a descriptor that did not come");
	out = (struct wire_outcome){ .nfds = 2 };
	wrong_result(&out, 2);
	expect_over("two descriptors for one file");
	out = (struct wire_outcome){ .nfds = 1, .error = EACCES };
	wrong_result(&out, 1);
	expect_over("a refusal with a descriptor");
	out = (struct wire_outcome){ .error = -5 };
	wrong_result(&out, 0);
	expect_over("a negative errno");
	wrong_plain(WIRE_R_INFO, 0, 0, 0);
	expect_over("INFO where a file was asked for");
	wrong_plain(WIRE_R_RULES, 0, 1, 1);
	expect_over("RULES where a file was asked for");
	wrong_plain(0x8123, 0, 0, 0);
	expect_over("an unknown type");
	wrong_plain(WIRE_OPEN, 0, 0, 0);
	expect_over("a request");
	wrong_plain(WIRE_GOODBYE, 0, 0, 0);
	expect_over("a GOODBYE too short");
	memset(wrong.bytes, 0xff, sizeof wrong.bytes);
	wrong.len = sizeof wrong.bytes;
	wrong.own_id = false;
	expect_over("a frame of 4 GiB");
	memset(wrong.bytes, 0, sizeof wrong.bytes);
	expect_over("zeros");
}
END_TEST

static void answer_twice(int sock)
{
	struct ask ask;

	next_ask(sock, &ask);
	send_grant(sock, ask.header.id, ask.path);
	send_grant(sock, ask.header.id, ask.path);
	while (read_ask(sock, &ask))
		;
}

START_TEST(an_answer_that_comes_twice_ends_the_connection)
{
	struct openc_conn *c = client_of(answer_twice);

	is_file(openc_open(c, test_file(0), O_RDONLY, 0), test_file(0));
	ck_assert_int_eq(openc_open(c, test_file(0), O_RDONLY, 0), -ECONNRESET);
	openc_free(c);
	server_end();
}
END_TEST

static void flood_with_descriptors(int sock)
{
	int fds[WIRE_FDS_MAX];
	char frame[64];
	struct ask ask;

	next_ask(sock, &ask);
	for (int i = 0; i < WIRE_FDS_MAX; i++)
		fds[i] = open("/dev/null", O_RDONLY);
	grant_frame(frame, ask.header.id, fds[0]);
	/* Ends when the client has enough of it, with an EPIPE that nobody looks at. */
	for (int i = 0; i < 10; i++)
		send_bytes(sock, frame + i, 1, fds, WIRE_FDS_MAX);
	wait_for_end(sock);
}

START_TEST(descriptors_without_an_answer_are_closed)
{
	struct openc_conn *c = client_of(flood_with_descriptors);

	ck_assert_int_eq(openc_open(c, test_file(0), O_RDONLY, 0), -ECONNRESET);
	openc_free(c);
	server_kill();
}
END_TEST

/* ---- no room ---- */

static int fillers[128], n_fillers;

static void fill_up(int spare)
{
	struct rlimit low = { 128, 128 };
	int fd;

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		fillers[n_fillers++] = fd;
	ck_assert_int_eq(errno, EMFILE);
	for (int i = 0; i < spare; i++)
		close(fillers[--n_fillers]);
}

static void make_room(void)
{
	while (n_fillers)
		close(fillers[--n_fillers]);
}

START_TEST(a_descriptor_without_room_is_emfile_and_the_next_call_connects_again)
{
	static const script_fn scripts[] = { serve_files, serve_files, NULL };
	struct openc_conn *c;

	if (own_limits()) {
		printf("SKIP: %s: %s\n", __func__, own_limits());
		return;
	}
	server_listen(scripts, 0);
	ck_assert_int_eq(openc_new(&c, server_path()), 0);
	fill_up(0);
	ck_assert_int_eq(openc_open(c, test_file(0), O_RDONLY, 0), -EMFILE);
	ck_assert_int_eq(openc_reason(c), OPENC_R_FD_LOST);
	make_room();
	is_file(openc_open(c, test_file(0), O_RDONLY, 0), test_file(0));
	openc_free(c);
	server_end();
}
END_TEST

/* The only room is at 0, where no file of ours may lie: that answer is lost, and no other. */
START_TEST(a_descriptor_that_cannot_leave_the_standard_ones_is_emfile_for_itself)
{
	static const script_fn scripts[] = { serve_files, NULL };
	struct openc_conn *c;

	if (own_limits()) {
		printf("SKIP: %s: %s\n", __func__, own_limits());
		return;
	}
	server_listen(scripts, 0);
	ck_assert_int_eq(openc_new(&c, server_path()), 0);
	fill_up(0);
	close(STDIN_FILENO);
	ck_assert_int_eq(openc_open(c, test_file(0), O_RDONLY, 0), -EMFILE);
	ck_assert_int_eq(openc_reason(c), OPENC_R_FD_LOST);
	ck_assert_int_eq(open("/dev/null", O_RDONLY), STDIN_FILENO);
	make_room();
	is_file(openc_open(c, test_file(0), O_RDONLY, 0), test_file(0));
	openc_free(c);
	server_end();
}
END_TEST

static void grant_eight_at_once(int sock)
{
	char frames[8 * 64];
	struct ask ask;
	int fds[8];

	for (int i = 0; i < 8; i++) {
		next_ask(sock, &ask);
		fds[i] = open(ask.path, O_RDONLY | O_CLOEXEC);
		must(fds[i] >= 0);
		grant_frame(frames + i * 64, ask.header.id, fds[i]);
	}
	send_bytes(sock, frames, sizeof frames, fds, 8);
	wait_for_end(sock);
}

START_TEST(descriptors_that_came_with_a_lost_one_are_closed)
{
	struct openc_result results[8];
	const char *paths[8];
	struct openc_conn *c;

	if (own_limits()) {
		printf("SKIP: %s: %s\n", __func__, own_limits());
		return;
	}
	c = client_of(grant_eight_at_once);
	fill_up(3);
	for (int i = 0; i < 8; i++)
		paths[i] = test_file(0);
	elapsed_ms();
	ck_assert_int_eq(openc_open_many(c, paths, 8, NULL, 0, results, sizeof *results, 0), 0);
	ck_assert_int_le(elapsed_ms(), 1000);
	for (int i = 0; i < 8; i++)
		ck_assert(results[i].fd == -EMFILE && results[i].reason == OPENC_R_FD_LOST);
	for (int i = 0; i < 3; i++)
		ck_assert(fcntl(fillers[n_fillers + i], F_GETFD) < 0);
	make_room();
	openc_free(c);
	server_end();
}
END_TEST

/* ---- connecting ---- */

static void late_server(int sock)
{
	serve_files(sock);
}

START_TEST(a_full_backlog_is_waited_for)
{
	static const script_fn scripts[] = { late_server, late_server, late_server, late_server,
					     late_server, late_server, late_server, late_server,
					     late_server, late_server, late_server, late_server,
					     NULL };
	struct openc_conn *c[12];
	pid_t helper;

	/* The server accepts one after the other; eight wait in the backlog, the rest in connect.
	 */
	server_listen(scripts, 0);
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(openc_new(&c[i], server_path()), 0);
	helper = fork();
	if (helper == 0) {
		sleep_ms(200);
		for (int i = 0; i < 10; i++)
			openc_free(c[i]);
		_exit(0);
	}
	for (int i = 0; i < 10; i++)
		openc_free(c[i]);
	elapsed_ms();
	ck_assert_int_eq(openc_new(&c[10], server_path()), 0);
	ck_assert_int_ge(elapsed_ms(), 50);
	ck_assert_int_eq(openc_new(&c[11], server_path()), 0);
	is_file(openc_open(c[10], test_file(0), O_RDONLY, 0), test_file(0));
	openc_free(c[10]);
	is_file(openc_open(c[11], test_file(0), O_RDONLY, 0), test_file(0));
	openc_free(c[11]);
	ck_assert_int_eq(waitpid(helper, NULL, 0), helper);
	server_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client-stream");
	TCase *t = tcase_create("stream");

	tcase_add_checked_fixture(t, client_setup, client_teardown);
	tcase_set_timeout(t, 20);
	ADD(t, an_answer_in_single_bytes);
	ADD(t, two_hundred_answers_in_one_piece);
	ADD(t, a_late_answer_is_not_taken_for_the_next);
	ADD(t, after_a_timeout_a_new_connection_is_made);
	ADD(t, a_thousand_signals_a_second_change_nothing);
	ADD(t, after_goodbye_every_request_is_repeated);
	ADD(t, after_goodbye_also_one_that_must_not_happen_twice);
	ADD(t, a_refusal_by_goodbye_is_final);
	ADD(t, after_an_end_without_goodbye_a_harmless_request_is_repeated);
	ADD(t, after_an_end_without_goodbye_excl_is_not_repeated);
	ADD(t, after_an_end_without_goodbye_trunc_is_not_repeated);
	ADD(t, an_end_in_mid_frame_is_an_end);
	ADD(t, a_server_that_always_ends_is_not_asked_for_ever);
	ADD(t, an_inherited_connection_that_ends_is_over);
	ADD(t, a_server_that_reads_no_more_is_lost_at_once);
	ADD(t, a_restart_is_a_pause_not_an_error);
	ADD(t, a_server_that_stays_away_is_no_server);
	ADD(t, what_is_no_answer_ends_the_connection);
	ADD(t, an_answer_that_comes_twice_ends_the_connection);
	ADD(t, descriptors_without_an_answer_are_closed);
	ADD(t, a_descriptor_without_room_is_emfile_and_the_next_call_connects_again);
	ADD(t, a_descriptor_that_cannot_leave_the_standard_ones_is_emfile_for_itself);
	ADD(t, descriptors_that_came_with_a_lost_one_are_closed);
	ADD(t, a_full_backlog_is_waited_for);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
