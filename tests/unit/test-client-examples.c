/* SPDX-License-Identifier: MIT
 * The programs in the EXAMPLES of the section 3 pages are taken out of the pages, compiled as a
 * stranger would compile them, and run against a server. */
#include <glob.h>
#include <sys/wait.h>
#include "harness-client.h"

enum { OUTPUT = 4096 };

static char work[64];

/* Writes the first literal display in EXAMPLES as a C file. False: the page has none. */
static bool extract(const char *page, const char *to)
{
	_cleanup_fclose_ FILE *in = fopen(page, "re"), *out = NULL;
	bool examples = false, literal = false, any = false;
	char line[256];

	ck_assert(in != NULL);
	while (fgets(line, sizeof line, in)) {
		char *escape;

		if (strncmp(line, ".Sh ", 4) == 0)
			examples = strcmp(line, ".Sh EXAMPLES\n") == 0;
		if (line[0] == '.') {
			literal = examples && strncmp(line, ".Bd -literal", 12) == 0;
			continue;
		}
		if (!literal)
			continue;
		if (!any)
			out = fopen(to, "we");
		any = true;
		ck_assert(out != NULL);
		while ((escape = strstr(line, "\\e"))) /* a backslash, to mdoc(7) */
			memmove(escape + 1, escape + 2, strlen(escape + 2) + 1);
		fputs(line, out);
	}
	return any;
}

static int compile(const char *source, const char *program)
{
	const char *build = getenv("BUILD"), *cc = getenv("CC"), *sanitize = getenv("SANITIZE");
	char command[1024];

	ck_assert_msg(build != NULL, "BUILD is not set");
	snprintf(command, sizeof command,
		 "%s %s%s -std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror "
		 "-I client/include -o %s %s %s/libopenc.a",
		 cc && *cc ? cc : "cc", sanitize && *sanitize ? "-fsanitize=" : "",
		 sanitize ? sanitize : "", program, source, build);
	return system(command);
}

static void run(const char *program, const char *argument, char *output)
{
	char command[256];
	size_t n;
	FILE *p;

	snprintf(command, sizeof command, "OPENC_SOCKET=%s %s %s", server_path(), program,
		 argument);
	p = popen(command, "re");
	ck_assert(p != NULL);
	n = fread(output, 1, OUTPUT - 1, p);
	output[n] = 0;
	ck_assert_msg(pclose(p) == 0, "%s failed: %s", command, output);
}

/* Files, dry runs and INFO. */
static void serve_all(int sock)
{
	static const char text[] = "protocol=1\n";
	struct wire_outcome yes = { .generation = 7 };
	char frame[128];
	struct ask ask;

	while (read_ask(sock, &ask)) {
		yes.id = ask.header.id;
		if (ask.header.type == WIRE_INFO)
			send_bytes(sock, frame,
				   (size_t)wire_encode_plain(frame, sizeof frame, WIRE_R_INFO,
							     yes.id, 0, text, strlen(text)),
				   NULL, 0);
		else if (ask.open.ask & WIRE_ASK_DRY_RUN)
			send_bytes(sock, frame,
				   (size_t)wire_encode_result(frame, sizeof frame, &yes), NULL, 0);
		else
			send_grant(sock, ask.header.id, ask.path);
	}
}

static void example(const char *page, const char *expected)
{
	static const script_fn scripts[] = { serve_all, NULL };
	char source[128], program[128], output[OUTPUT];

	snprintf(source, sizeof source, "%s/example.c", work);
	snprintf(program, sizeof program, "%s/example", work);
	ck_assert_msg(extract(page, source), "%s has no example", page);
	ck_assert_msg(compile(source, program) == 0, "the example of %s does not compile", page);
	server_listen(scripts, 0);
	run(program, test_file(1), output);
	server_end();
	ck_assert_str_eq(output, expected);
	unlink(source);
	unlink(program);
}

static void setup(void)
{
	snprintf(work, sizeof work, "/tmp/openc-example.XXXXXX");
	ck_assert(mkdtemp(work) != NULL);
	client_setup();
}

static void teardown(void)
{
	client_teardown();
	ck_assert_int_eq(rmdir(work), 0);
}

START_TEST(libopenc_3)
{
	example("man/libopenc.3", "content 1\n");
}
END_TEST

START_TEST(openc_open_3)
{
	example("man/openc_open.3", "yes, says generation 7 of the policy\n");
}
END_TEST

START_TEST(openc_submit_3)
{
	example("man/openc_submit.3", "1: open\n");
}
END_TEST

START_TEST(openc_whoami_3)
{
	example("man/openc_whoami.3", "protocol=1\n");
}
END_TEST

/* No page has an example that no test above runs. */
START_TEST(there_are_no_others)
{
	char to[128];
	size_t n = 0;
	glob_t pages;

	snprintf(to, sizeof to, "%s/example.c", work);
	ck_assert_int_eq(glob("man/*.3", 0, NULL, &pages), 0);
	for (size_t i = 0; i < pages.gl_pathc; i++)
		n += extract(pages.gl_pathv[i], to);
	globfree(&pages);
	unlink(to);
	ck_assert_uint_eq(n, 4);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client-examples");
	TCase *t = tcase_create("examples of the manual");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	ADD(t, libopenc_3);
	ADD(t, openc_open_3);
	ADD(t, openc_submit_3);
	ADD(t, openc_whoami_3);
	ADD(t, there_are_no_others);
	suite_add_tcase(suite, t);
	return run_suite(suite);
}
