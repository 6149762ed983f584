/* SPDX-License-Identifier: MIT
 * openc write: standard input into a file, as the shell's ">", or ">>" with -a. */
#include <fcntl.h>
#include <getopt.h>
#include "cli.h"

static const struct option options[] = {
	{ "append", no_argument, NULL, 'a' },
	{ "create", required_argument, NULL, 'c' },
	{ "no-create", no_argument, NULL, 'n' },
	{ NULL, 0, NULL, 0 },
};

static int parse(int argc, char **argv, struct openc_how *how)
{
	int option;

	*how = (struct openc_how){ .flags = O_WRONLY | O_CREAT | O_TRUNC, .mode = 0666 };
	while ((option = getopt_long(argc, argv, "a", options, NULL)) >= 0) {
		switch (option) {
		case 'a':
			how->flags = (how->flags & ~(uint32_t)O_TRUNC) | O_APPEND;
			break;
		case 'c':
			if (parse_mode_digits(optarg, &how->mode) < 0)
				return usage("write", "--create takes permission bits in octal");
			break;
		case 'n':
			how->flags &= ~(uint32_t)O_CREAT;
			break;
		default:
			return usage("write", NULL);
		}
	}
	if (optind != argc - 1)
		return usage("write", "exactly one file is written");
	return EXIT_DONE;
}

int command_write(const struct cli *cli, int argc, char **argv)
{
	_cleanup_conn_ struct openc_conn *c = NULL;
	_cleanup_close_ int fd = -1;
	struct openc_result result;
	struct openc_how how;
	int r;

	r = parse(argc, argv, &how);
	if (r != EXIT_DONE)
		return r;
	if (cli_connect(cli, &c) < 0)
		return EXIT_FAILED;
	fd = openc_open_how(c, argv[optind], &how, sizeof how, &result, sizeof result);
	if (fd < 0) {
		report_denied(c, argv[optind], &how, &result);
		return EXIT_FAILED;
	}
	r = copy_all(STDIN_FILENO, fd);
	/* Some file systems tell only here that it did not fit. */
	if (r == 0 && close(take_fd(&fd)) < 0)
		r = -errno;
	if (r < 0) {
		complain("%s: %s", argv[optind], strerror(-r));
		return EXIT_FAILED;
	}
	return EXIT_DONE;
}
