/* SPDX-License-Identifier: MIT
 * Defences of the library that show only when they are gone, and then at once rather than after a
 * timeout. */
#include <sys/wait.h>
#include "harness-client.h"

/* A child that used its parent's connection would take the answers that the parent waits for. */
START_TEST(a_forked_child_is_told_at_once)
{
	struct openc_conn *c = client_of(serve_files);
	int status;
	pid_t pid;

	is_file(openc_open(c, test_file(0), O_RDONLY, 0), test_file(0));
	ck_assert_int_eq(openc_set_timeout(c, 300), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(openc_open(c, test_file(1), O_RDONLY, 0) == -ECHILD ? 0 : 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(openc_set_timeout(c, 10000), 0);
	is_file(openc_open(c, test_file(2), O_RDONLY, 0), test_file(2));
	openc_free(c);
	server_end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("defences-client");
	TCase *t = tcase_create("defences");

	tcase_add_checked_fixture(t, client_setup, client_teardown);
	tcase_set_timeout(t, 20);
	ADD(t, a_forked_child_is_told_at_once);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
