/* SPDX-License-Identifier: MIT
 * openc whoami, openc rules: what opend thinks of us. */
#include <getopt.h>
#include "ask.h"

static int begin(const struct cli *cli, int argc, char **argv, const struct option *options,
		 bool *ret_json, struct openc_conn **ret)
{
	int option;

	*ret_json = false;
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option != 'j')
			return usage(argv[0], NULL);
		*ret_json = true;
	}
	if (optind != argc)
		return usage(argv[0], "takes no arguments");
	return cli_connect(cli, ret) < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* ---- whoami as JSON ---- */

static bool is_one_of(const char *const *list, const char *key)
{
	for (; *list; list++)
		if (strcmp(*list, key) == 0)
			return true;
	return false;
}

static void json_list(char *values, bool numbers)
{
	char *rest = values, *value;

	putchar('[');
	while ((value = strsep(&rest, ",")) && *values) {
		json_scalar(stdout, value, numbers);
		if (rest)
			putchar(',');
	}
	putchar(']');
}

/* Keys that are not known here, from a newer server, are strings. */
static void json_info(char *text)
{
	static const char *const numbers[] = { "protocol",     "max_request", "max_reply",
					       "max_send",     "uid",	      "max_unread_fds",
					       "generation",   "gid",	      "groups",
					       "landlock_abi", "groups_cut",  NULL };
	static const char *const lists[] = { "features", "groups", NULL };
	char *rest = text, *line;
	bool first = true;

	putchar('{');
	while ((line = strsep(&rest, "\n"))) {
		char *value = strchr(line, '=');

		if (!value)
			continue;
		*value++ = 0;
		if (!first)
			putchar(',');
		first = false;
		json_string(stdout, line);
		putchar(':');
		if (is_one_of(lists, line))
			json_list(value, is_one_of(numbers, line));
		else
			json_scalar(stdout, value, is_one_of(numbers, line));
	}
	puts("}");
}

int command_whoami(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
						 { NULL, 0, NULL, 0 } };
	_cleanup_conn_ struct openc_conn *c = NULL;
	_cleanup_free_ char *text = NULL;
	bool json;
	int r;

	r = begin(cli, argc, argv, options, &json, &c);
	if (r != EXIT_DONE)
		return r;
	r = openc_whoami(c, &text);
	if (r < 0) {
		report_failed(c, "whoami", r);
		return EXIT_FAILED;
	}
	if (json)
		json_info(text);
	else
		fputs(text, stdout);
	return EXIT_DONE;
}

int command_rules(const struct cli *cli, int argc, char **argv)
{
	_cleanup_conn_ struct openc_conn *c = NULL;
	static const struct option none[] = { { NULL, 0, NULL, 0 } };
	_cleanup_close_ int fd = -1;
	bool json;
	int r;

	r = begin(cli, argc, argv, none, &json, &c);
	if (r != EXIT_DONE)
		return r;
	fd = openc_rules(c);
	if (fd < 0) {
		report_failed(c, "rules", fd);
		return EXIT_FAILED;
	}
	r = print_memory_file(fd, stdout);
	if (r < 0) {
		complain("rules: %s", strerror(-r));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}
