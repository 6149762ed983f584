/* SPDX-License-Identifier: MIT
 * libopenc, the calls that wait: what goes over the wire, what comes back, and what is refused
 * before it is sent. */
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "harness-client.h"

/* ---- one file ---- */

START_TEST(a_granted_file_is_the_file_itself)
{
	struct openc_conn *c = client_of(serve_files);
	struct openc_result res;
	int fd;

	is_file(openc_open(c, test_file(1), O_RDONLY, 0), test_file(1));
	ck_assert_str_eq(openc_message(c), "");
	ck_assert_int_eq(openc_reason(c), OPENC_R_NONE);
	fd = openc_open_how(c, test_file(2), NULL, 0, &res, sizeof res);
	ck_assert_int_eq(res.fd, fd);
	ck_assert_uint_eq(res.ino, inode_of(test_file(2)));
	ck_assert(S_ISREG(res.mode) && res.size == 10 && res.dev != 0);
	ck_assert(res.generation == 7 && res.serial == 9 && res.reason == 0);
	is_file(fd, test_file(2));
	openc_free(c);
	server_end();
}
END_TEST

static void refuse(int sock)
{
	struct ask ask;

	next_ask(sock, &ask);
	send_refusal(sock, ask.header.id, EACCES, WIRE_ACCESS, "site.policy:3\nroot# \033[1m");
	next_ask(sock, &ask);
	send_refusal(sock, ask.header.id, EACCES, WIRE_NO_RULE, NULL);
	next_ask(sock, &ask);
	send_refusal(sock, ask.header.id, ENOENT, WIRE_KERNEL, NULL);
	next_ask(sock, &ask);
	send_refusal(sock, ask.header.id, EUSERS, 4711, NULL);
}

START_TEST(a_refusal_says_why_in_one_clean_line)
{
	struct openc_conn *c = client_of(refuse);
	struct openc_result res;

	ck_assert_int_eq(openc_open_how(c, "/x", NULL, 0, &res, sizeof res), -EACCES);
	ck_assert(res.fd == -EACCES && res.reason == OPENC_R_ACCESS && res.lacked == OPENC_READ);
	ck_assert_int_eq(openc_reason(c), OPENC_R_ACCESS);
	ck_assert_str_eq(openc_message(c), "a rule names this path, but not for this access "
					   "(site.policy:3?root# ?[1m)");
	ck_assert_int_eq(openc_open(c, "/x", O_RDONLY, 0), -EACCES);
	ck_assert_str_eq(openc_message(c), openc_strreason(OPENC_R_NO_RULE));
	ck_assert_int_eq(openc_open(c, "/x", O_RDONLY, 0), -ENOENT);
	ck_assert_str_eq(openc_message(c), "No such file or directory");
	ck_assert_int_eq(openc_open(c, "/x", O_RDONLY, 0), -EUSERS);
	ck_assert_str_eq(openc_message(c), openc_strreason(4711));
	openc_free(c);
	server_end();
}
END_TEST

/* ---- what is sent ---- */

static void expect_open(int sock, uint32_t flags, uint16_t mode, uint16_t mask, uint32_t ask_bits,
			const char *path)
{
	struct ask ask;

	next_ask(sock, &ask);
	must(ask.header.type == WIRE_OPEN);
	must(ask.open.flags == flags);
	must(ask.open.mode == mode);
	must(ask.open.umask == mask);
	must(ask.open.ask == ask_bits);
	must(strcmp(ask.path, path) == 0);
	send_refusal(sock, ask.header.id, EACCES, WIRE_DENIED, NULL);
}

static void check_requests(int sock)
{
	expect_open(sock, O_RDONLY, 0, 027, 0, "/a");
	expect_open(sock, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0751, 027, 0, "/b");
	expect_open(sock, O_RDWR | O_APPEND, 0, 027, 0, "/c");
	expect_open(sock, O_RDONLY, 0, 011, WIRE_ASK_DRY_RUN | WIRE_ASK_TEXT, "/d");
	expect_open(sock, O_RDONLY, 0, 027, 0, "/proc/self//../x/.");
	expect_open(sock, O_RDONLY, 0, 027, 0, "/usr/x/../y");
	wait_for_end(sock);
}

START_TEST(flags_mode_umask_and_path_are_sent_as_they_are)
{
	struct openc_how how = { .ask = OPENC_UMASK | OPENC_DRY_RUN | OPENC_TEXT, .umask = 011 };
	struct openc_conn *c;

	umask(027);
	c = client_of(check_requests);
	ck_assert_uint_eq(umask(077), 027); /* as before; and what it is later does not matter */
	ck_assert_int_eq(openc_open(c, "/a", O_RDONLY, 04777), -EACCES);
	ck_assert_int_eq(openc_open(c, "/b", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0751),
			 -EACCES);
	ck_assert_int_eq(openc_open(c, "/c", O_RDWR | O_APPEND, 0), -EACCES);
	ck_assert_int_eq(openc_open_how(c, "/d", &how, sizeof how, NULL, 0), -EACCES);
	ck_assert_int_eq(openc_open(c, "/proc/self//../x/.", O_RDONLY, 0), -EACCES);
	ck_assert_int_eq(chdir("/usr"), 0);
	ck_assert_int_eq(openc_open(c, "x/../y", O_RDONLY, 0), -EACCES);
	openc_free(c);
	server_end();
}
END_TEST

static void check_nothing(int sock)
{
	wait_for_end(sock);
}

START_TEST(what_makes_no_sense_is_refused_before_it_is_sent)
{
	struct openc_conn *c = client_of(check_nothing);
	char path[WIRE_PATH_MAX + 2];
	struct openc_how how = { .flags = O_CREAT, .mode = 04644 };
	struct openc_result res;

	ck_assert_int_eq(openc_open(c, "/a", O_WRONLY | O_CREAT, 04644), -EINVAL);
	ck_assert_int_eq(openc_reason(c), OPENC_R_MODE);
	ck_assert_int_eq(openc_open_how(c, "/a", &how, sizeof how, &res, sizeof res), -EINVAL);
	ck_assert(res.fd == -EINVAL && res.reason == OPENC_R_MODE);
	how = (struct openc_how){ .ask = OPENC_UMASK, .umask = 01000 };
	ck_assert_int_eq(openc_open_how(c, "/a", &how, sizeof how, NULL, 0), -EINVAL);
	how = (struct openc_how){ .ask = 8 };
	ck_assert_int_eq(openc_open_how(c, "/a", &how, sizeof how, NULL, 0), -EINVAL);

	memset(path, 'p', sizeof path);
	path[0] = '/';
	path[sizeof path - 1] = 0;
	ck_assert_int_eq(openc_open(c, path, O_RDONLY, 0), -ENAMETOOLONG);
	ck_assert_int_eq(openc_reason(c), OPENC_R_PATH);
	ck_assert_int_eq(openc_open(c, path + 1, O_RDONLY, 0), -ENAMETOOLONG);
	ck_assert_int_eq(openc_open(c, "", O_RDONLY, 0), -ENOENT);
	ck_assert_int_eq(openc_open(c, NULL, O_RDONLY, 0), -EFAULT);
	ck_assert_int_eq(openc_open(NULL, "/a", O_RDONLY, 0), -EINVAL);
	ck_assert_int_eq(openc_open_many(c, NULL, 1, NULL, 0, &res, sizeof res, 0), -EINVAL);
	ck_assert_int_eq(openc_open_many(c, NULL, 0, NULL, 0, NULL, sizeof res, 0), 0);
	ck_assert_int_eq(openc_set_timeout(c, -2), -EINVAL);
	ck_assert_int_eq(openc_set_poll(c, -1), -EINVAL);
	ck_assert_int_eq(openc_set_poll(c, 1001), -EINVAL);
	ck_assert_int_eq(openc_whoami(c, NULL), -EINVAL);
	ck_assert_ptr_null(openc_fopen(c, "/a", "q"));
	openc_free(c);
	server_end();
}
END_TEST

START_TEST(structs_of_other_versions_are_understood)
{
	struct {
		struct openc_how how;
		uint32_t more;
	} how = { .how = { .flags = O_RDONLY } };
	struct {
		struct openc_result res;
		char more[8];
	} res;
	struct openc_conn *c = client_of(serve_files);
	int fd;

	memset(&res, 0xff, sizeof res);
	fd = openc_open_how(c, test_file(0), &how.how, sizeof how, &res.res, sizeof res);
	is_file(fd, test_file(0));
	for (size_t i = 0; i < sizeof res.more; i++)
		ck_assert_int_eq(res.more[i], 0);
	how.more = 1;
	ck_assert_int_eq(openc_open_how(c, test_file(0), &how.how, sizeof how, NULL, 0), -E2BIG);
	ck_assert_int_eq(openc_open_how(c, test_file(0), &how.how, 12, NULL, 0), -EINVAL);
	ck_assert_int_eq(openc_open_how(c, test_file(0), NULL, 0, &res.res, 12), -EINVAL);
	openc_free(c);
	server_end();
}
END_TEST

static void answer_dry(int sock)
{
	struct wire_outcome out = { .text = "rule 1", .text_len = 6 };
	char frame[128];
	struct ask ask;

	for (int i = 0; i < 3; i++) {
		next_ask(sock, &ask);
		out.id = ask.header.id;
		send_bytes(sock, frame, (size_t)wire_encode_result(frame, sizeof frame, &out), NULL,
			   0);
	}
}

START_TEST(a_dry_run_gives_no_descriptor_and_nothing_else_does_without)
{
	struct openc_conn *c = client_of(answer_dry);
	struct openc_how how = { .ask = OPENC_DRY_RUN | OPENC_TEXT };
	const char *paths[] = { "/a" };
	struct openc_result res;

	ck_assert_int_eq(openc_open_how(c, "/a", &how, sizeof how, &res, sizeof res), 0);
	ck_assert(res.fd == 0 && fcntl(0, F_GETFD) >= 0);
	ck_assert_str_eq(openc_message(c), "rule 1");
	ck_assert_int_eq(openc_open_many(c, paths, 1, &how, sizeof how, &res, sizeof res, 1), 1);
	/* A grant without a descriptor is no answer. */
	ck_assert_int_eq(openc_open(c, "/a", O_RDONLY, 0), -ECONNRESET);
	ck_assert_int_eq(openc_reason(c), OPENC_R_LOST);
	openc_free(c);
	server_end();
}
END_TEST

START_TEST(descriptors_0_to_2_are_never_used)
{
	struct openc_conn *c;
	int saved = fcntl(2, F_DUPFD_CLOEXEC, 10), fd;
	char address[16];

	close(0);
	close(1);
	close(2);
	c = client_of(serve_files); /* its socketpair is 0 and 1 */
	fd = openc_open(c, test_file(0), O_RDONLY, 0);
	ck_assert(openc_get_fd(c) >= 3);
	ck_assert(fcntl(0, F_GETFD) < 0 && fcntl(1, F_GETFD) < 0 && fcntl(2, F_GETFD) < 0);
	is_file(fd, test_file(0));
	openc_free(c);
	snprintf(address, sizeof address, "/dev/null");
	ck_assert_int_eq(open(address, O_RDONLY), 0);
	ck_assert_int_eq(open(address, O_WRONLY), 1);
	ck_assert_int_eq(dup2(saved, 2), 2);
	close(saved);
	server_end();
}
END_TEST

/* ---- many files ---- */

enum { MANY = 1000 };

static const char *paths[MANY];
static struct openc_result results[MANY];

static void free_results(size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (results[i].fd >= 3)
			close(results[i].fd);
}

START_TEST(a_batch_keeps_its_order_and_tells_each_fate)
{
	struct openc_conn *c = client_of(serve_files);

	for (int i = 0; i < 100; i++)
		paths[i] = i % 10 == 7 ? "/nonexistent" : test_file(i % 4);
	ck_assert_int_eq(openc_open_many(c, paths, 100, NULL, 0, results, sizeof *results, 0), 90);
	ck_assert_int_eq(openc_reason(c), OPENC_R_KERNEL);
	for (int i = 0; i < 100; i++) {
		if (i % 10 == 7)
			ck_assert_int_eq(results[i].fd, -ENOENT);
		else
			is_file(results[i].fd, test_file(i % 4));
	}
	openc_free(c);
	server_end();
}
END_TEST

START_TEST(all_or_nothing_leaves_nothing)
{
	struct openc_conn *c = client_of(serve_files);

	for (int i = 0; i < 50; i++)
		paths[i] = test_file(0);
	paths[20] = ""; /* refused at home, and later than: */
	paths[10] = "/nonexistent/a/b";
	ck_assert_int_eq(openc_open_many(c, paths, 50, NULL, 0, results, sizeof *results, 1),
			 -ENOENT);
	for (int i = 0; i < 50; i++)
		ck_assert_msg(results[i].fd < 0, "number %d is open", i);
	ck_assert_int_eq(results[49].fd, -ECANCELED);
	paths[20] = paths[10] = test_file(0);
	ck_assert_int_eq(openc_open_many(c, paths, 50, NULL, 0, results, sizeof *results, 1), 50);
	free_results(50);
	openc_free(c);
	server_end();
}
END_TEST

/* Reads everything there is, and only then answers, the last first. */
static void answer_backwards(int sock)
{
	static struct ask asks[100];

	for (int i = 0; i < 100; i++)
		next_ask(sock, &asks[i]);
	for (int i = 100; i-- > 0;)
		send_grant(sock, asks[i].header.id, asks[i].path);
	wait_for_end(sock);
}

START_TEST(answers_in_any_order_find_their_requests)
{
	struct openc_conn *c = client_of(answer_backwards);

	for (int i = 0; i < 100; i++)
		paths[i] = test_file(i % 4);
	ck_assert_int_eq(openc_open_many(c, paths, 100, NULL, 0, results, sizeof *results, 1), 100);
	for (int i = 0; i < 100; i++)
		is_file(results[i].fd, test_file(i % 4));
	openc_free(c);
	server_end();
}
END_TEST

START_TEST(descriptors_of_a_batch_are_not_more_than_there_is_room_for)
{
	struct rlimit limit, low;
	struct openc_conn *c;
	int n;

	if (own_limits()) {
		printf("SKIP: %s: %s\n", __func__, own_limits());
		return;
	}
	c = client_of(serve_files);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = (struct rlimit){ 64, limit.rlim_max };
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (int i = 0; i < 100; i++)
		paths[i] = test_file(0);
	n = openc_open_many(c, paths, 100, NULL, 0, results, sizeof *results, 0);
	ck_assert_msg(n > 20 && n < 64, "%d opened", n);
	ck_assert_int_eq(results[99].fd, -EMFILE);
	ck_assert_int_eq(results[99].reason, OPENC_R_FD_LOST);
	free_results(100);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	openc_free(c);
	server_kill();
}
END_TEST

/* As the protocol says: stops reading at 253 unread descriptors, until the client took them. */
static void stop_at_253(int sock)
{
	struct ask ask;
	int unread = 0, queued;

	while (read_ask(sock, &ask)) {
		if (unread == WIRE_FDS_MAX) {
			while (ioctl(sock, SIOCOUTQ, &queued) == 0 && queued > 0)
				sleep_ms(1);
			unread = 0;
		}
		send_grant(sock, ask.header.id, test_file(0));
		unread++;
	}
}

START_TEST(a_batch_of_1000_long_paths_does_not_lock_up)
{
	static char path[4001];
	struct openc_conn *c = client_of(stop_at_253);
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = UTIL_MIN(limit.rlim_max, (rlim_t)4096);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	memset(path, 'x', sizeof path - 1);
	path[0] = '/';
	for (int i = 0; i < MANY; i++)
		paths[i] = path;
	ck_assert_int_eq(openc_open_many(c, paths, MANY, NULL, 0, results, sizeof *results, 1),
			 MANY);
	for (int i = 0; i < MANY; i++)
		is_file(results[i].fd, test_file(0));
	openc_free(c);
	server_end();
}
END_TEST

static void read_all_then_answer(int sock)
{
	static uint64_t ids[MANY];
	struct ask ask;

	for (int i = 0; i < MANY; i++) {
		next_ask(sock, &ask);
		ids[i] = ask.header.id;
	}
	for (int i = 0; i < MANY; i++)
		send_refusal(sock, ids[i], EACCES, WIRE_DENIED, NULL);
	wait_for_end(sock);
}

/* Nothing comes that would wake the client; only that there is room to write again. */
START_TEST(a_batch_that_is_read_slowly_is_written_to_the_end)
{
	static char path[4001];
	struct openc_conn *c = client_of(read_all_then_answer);

	memset(path, 'x', sizeof path - 1);
	path[0] = '/';
	for (int i = 0; i < MANY; i++)
		paths[i] = path;
	ck_assert_int_eq(openc_open_many(c, paths, MANY, NULL, 0, results, sizeof *results, 0), 0);
	for (int i = 0; i < MANY; i++)
		ck_assert_int_eq(results[i].fd, -EACCES);
	openc_free(c);
	server_end();
}
END_TEST

static void count_asks(int sock)
{
	struct ask ask;
	int n = 0;

	for (; read_ask(sock, &ask); n++)
		send_refusal(sock, ask.header.id, EACCES, WIRE_DENIED, NULL);
	must(n > 0 && n <= 1024);
}

START_TEST(all_or_nothing_does_not_go_on_asking_in_vain)
{
	static const char *many[5000];
	static struct openc_result fates[5000];
	struct openc_conn *c = client_of(count_asks);

	for (int i = 0; i < 5000; i++)
		many[i] = "/a";
	ck_assert_int_eq(openc_open_many(c, many, 5000, NULL, 0, fates, sizeof *fates, 1), -EACCES);
	ck_assert_int_eq(fates[0].fd, -EACCES);
	ck_assert_int_eq(fates[4999].fd, -ECANCELED);
	openc_free(c);
	server_end();
}
END_TEST

/* ---- who and what ---- */

static void answer_info(int sock)
{
	static const char text[] = "protocol=1\nuid=7\n";
	char frame[128];
	struct ask ask;
	int memfd;

	next_ask(sock, &ask);
	must(ask.header.type == WIRE_INFO);
	send_bytes(sock, frame,
		   (size_t)wire_encode_plain(frame, sizeof frame, WIRE_R_INFO, ask.header.id, 0,
					     text, strlen(text)),
		   NULL, 0);
	next_ask(sock, &ask);
	must(ask.header.type == WIRE_RULES);
	memfd = memfd_create("rules", 0);
	must(memfd >= 0 && write(memfd, "rules\n", 6) == 6);
	send_bytes(sock, frame,
		   (size_t)wire_encode_plain(frame, sizeof frame, WIRE_R_RULES, ask.header.id, 1,
					     NULL, 0),
		   &memfd, 1);
	next_ask(sock, &ask);
	send_refusal(sock, ask.header.id, EOPNOTSUPP, WIRE_UNKNOWN, NULL);
	next_ask(sock, &ask);
	send_refusal(sock, ask.header.id, EOPNOTSUPP, WIRE_UNKNOWN, NULL);
}

START_TEST(whoami_and_rules_are_what_the_server_says)
{
	struct openc_conn *c = client_of(answer_info);
	char *text = NULL, rules[16] = "";
	int fd;

	ck_assert_int_eq(openc_whoami(c, &text), 0);
	ck_assert_str_eq(text, "protocol=1\nuid=7\n");
	free(text);
	fd = openc_rules(c);
	ck_assert(fd >= 3);
	ck_assert_int_eq(pread(fd, rules, sizeof rules, 0), 6);
	ck_assert_str_eq(rules, "rules\n");
	close(fd);
	ck_assert_int_eq(openc_whoami(c, &text), -EOPNOTSUPP);
	ck_assert_int_eq(openc_rules(c), -EOPNOTSUPP);
	ck_assert_int_eq(openc_reason(c), OPENC_R_UNKNOWN);
	openc_free(c);
	server_end();
}
END_TEST

START_TEST(every_reason_has_words)
{
	const char *unknown = openc_strreason(12345);
	static const int known[] = { 1,	 2,  3,	 4,  5,	 6,  7,	 8,  20, 21,  22,  23,	24,
				     40, 41, 42, 43, 60, 61, 62, 63, 64, 100, 101, 102, 103 };

	ck_assert_ptr_nonnull(unknown);
	for (size_t i = 0; i < ELEMENTSOF(known); i++) {
		ck_assert(strlen(openc_strreason(known[i])) > 10);
		ck_assert_str_ne(openc_strreason(known[i]), unknown);
	}
	ck_assert_int_eq(openc_version(), OPENC_VERSION);
	ck_assert_ptr_null(openc_free(NULL));
	ck_assert_ptr_nonnull(openc_message(NULL));
}
END_TEST

/* ---- addresses ---- */

START_TEST(addresses_that_lead_nowhere)
{
	struct openc_conn *c = (void *)"something";
	char path[200], number[16];
	int pair[2], fd;

	ck_assert_int_eq(openc_new(&c, "/nonexistent/socket"), -ENOTCONN);
	ck_assert_ptr_null(c);
	ck_assert_int_eq(openc_new(&c, test_file(0)), -ENOTCONN);
	memset(path, 'p', sizeof path);
	path[0] = '/';
	path[108] = 0;
	ck_assert_int_eq(openc_new(&c, path), -ENAMETOOLONG);
	path[107] = 0;
	ck_assert_int_eq(openc_new(&c, path), -ENOTCONN);
	ck_assert_int_eq(openc_new(&c, ""), -EINVAL);
	ck_assert_int_eq(openc_new(NULL, NULL), -EINVAL);
	ck_assert_int_eq(openc_new(&c, "fd:"), -EINVAL);
	ck_assert_int_eq(openc_new(&c, "fd:3x"), -EINVAL);
	ck_assert_int_eq(openc_new(&c, "fd:-1"), -EINVAL);
	ck_assert_int_eq(openc_new(&c, "fd:99999999999999999999"), -EINVAL);
	ck_assert_int_eq(openc_new(&c, "fd:9999"), -EBADF);

	fd = open(test_file(0), O_RDONLY);
	snprintf(number, sizeof number, "fd:%d", fd);
	ck_assert_int_eq(openc_new(&c, number), -ENOTSOCK);
	ck_assert_int_eq(fcntl(fd, F_GETFD), 0); /* left alone */
	close(fd);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	snprintf(number, sizeof number, "fd:%d", pair[0]);
	ck_assert_int_eq(openc_new(&c, number), -EPROTOTYPE);
	close(pair[0]);
	close(pair[1]);
}
END_TEST

START_TEST(the_environment_names_the_socket)
{
	static const script_fn scripts[] = { serve_files, serve_files, NULL };
	struct openc_conn *c;

	server_listen(scripts, 0);
	setenv("OPENC_SOCKET", server_path(), 1);
	ck_assert_int_eq(openc_new(&c, NULL), 0);
	is_file(openc_open(c, test_file(0), O_RDONLY, 0), test_file(0));
	openc_free(c);
	/* An argument goes first; a relative one is relative to where we are now. */
	setenv("OPENC_SOCKET", "/nonexistent", 1);
	ck_assert_int_eq(openc_new(&c, NULL), -ENOTCONN);
	ck_assert_int_eq(chdir("/tmp"), 0);
	ck_assert_int_eq(openc_new(&c, server_path() + strlen("/tmp/")), 0);
	ck_assert_int_eq(chdir("/"), 0);
	is_file(openc_open(c, test_file(0), O_RDONLY, 0), test_file(0));
	openc_free(c);
	server_end();
}
END_TEST

START_TEST(the_descriptor_in_the_environment_is_taken_over_once)
{
	struct openc_conn *c, *second;
	char number[16];
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	snprintf(number, sizeof number, "fd:%d", pair[0]);
	setenv("OPENC_SOCKET", number, 1);
	ck_assert_int_eq(openc_new(&c, NULL), 0);
	ck_assert_int_eq(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(openc_new(&second, NULL), -EBUSY);
	openc_free(c);
	ck_assert_int_eq(fcntl(pair[0], F_GETFD), -1);
	ck_assert_int_eq(openc_new(&second, NULL), -EBUSY);
	close(pair[1]);
}
END_TEST

/* ---- stdio ---- */

struct stdio_case {
	const char *mode;
	int flags;
};

static const struct stdio_case stdio_cases[] = {
	{ "r", O_RDONLY },
	{ "rb", O_RDONLY },
	{ "r+", O_RDWR },
	{ "rb+e", O_RDWR },
	{ "w", O_WRONLY | O_CREAT | O_TRUNC },
	{ "w+", O_RDWR | O_CREAT | O_TRUNC },
	{ "wx", O_WRONLY | O_CREAT | O_TRUNC | O_EXCL },
	{ "a", O_WRONLY | O_CREAT | O_APPEND },
	{ "a+be", O_RDWR | O_CREAT | O_APPEND },
};

static void check_stdio(int sock)
{
	struct ask ask;

	for (size_t i = 0; i < ELEMENTSOF(stdio_cases); i++) {
		_cleanup_close_ int fd = -1;
		char frame[64];

		next_ask(sock, &ask);
		must(ask.open.flags == (uint32_t)stdio_cases[i].flags);
		must(ask.open.mode == (ask.open.flags & O_CREAT ? 0666 : 0));
		fd = open(ask.path, stdio_cases[i].flags & ~O_EXCL, 0600);
		send_bytes(sock, frame, grant_frame(frame, ask.header.id, fd), &fd, 1);
	}
	wait_for_end(sock);
}

START_TEST(fopen_modes_are_those_of_fopen)
{
	static const char *const bad[] = { "", "z", "r++", "rbb", "rw", "r,ccs=utf8", "b" };
	struct openc_conn *c = client_of(check_stdio);

	for (size_t i = 0; i < ELEMENTSOF(stdio_cases); i++) {
		FILE *f = openc_fopen(c, test_file(0), stdio_cases[i].mode);

		ck_assert_msg(f != NULL, "%s", stdio_cases[i].mode);
		ck_assert_int_eq(fcntl(fileno(f), F_GETFD), FD_CLOEXEC);
		ck_assert_int_eq(fclose(f), 0);
	}
	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		errno = 0;
		ck_assert_ptr_null(openc_fopen(c, test_file(0), bad[i]));
		ck_assert_int_eq(errno, EINVAL);
	}
	openc_free(c);
	server_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client");
	TCase *t = tcase_create("calls that wait");

	tcase_add_checked_fixture(t, client_setup, client_teardown);
	tcase_set_timeout(t, 20);
	ADD(t, a_granted_file_is_the_file_itself);
	ADD(t, a_refusal_says_why_in_one_clean_line);
	ADD(t, flags_mode_umask_and_path_are_sent_as_they_are);
	ADD(t, what_makes_no_sense_is_refused_before_it_is_sent);
	ADD(t, structs_of_other_versions_are_understood);
	ADD(t, a_dry_run_gives_no_descriptor_and_nothing_else_does_without);
	ADD(t, descriptors_0_to_2_are_never_used);
	ADD(t, a_batch_keeps_its_order_and_tells_each_fate);
	ADD(t, all_or_nothing_leaves_nothing);
	ADD(t, answers_in_any_order_find_their_requests);
	ADD(t, descriptors_of_a_batch_are_not_more_than_there_is_room_for);
	ADD(t, a_batch_of_1000_long_paths_does_not_lock_up);
	ADD(t, a_batch_that_is_read_slowly_is_written_to_the_end);
	ADD(t, all_or_nothing_does_not_go_on_asking_in_vain);
	ADD(t, whoami_and_rules_are_what_the_server_says);
	ADD(t, every_reason_has_words);
	ADD(t, addresses_that_lead_nowhere);
	ADD(t, the_environment_names_the_socket);
	ADD(t, the_descriptor_in_the_environment_is_taken_over_once);
	ADD(t, fopen_modes_are_those_of_fopen);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
