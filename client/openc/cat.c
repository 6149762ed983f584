/* SPDX-License-Identifier: MIT
 * openc cat: files to standard output, as cat(1). One that cannot be had does not keep the others
 * from coming. */
#include <fcntl.h>
#include <getopt.h>
#include "cli.h"

static int cat_one(struct openc_conn *c, const char *path)
{
	const struct openc_how how = { .flags = O_RDONLY };
	struct openc_result result;
	_cleanup_close_ int fd = -1;
	int r;

	fd = openc_open_how(c, path, &how, sizeof how, &result, sizeof result);
	if (fd < 0) {
		report_denied(c, path, &how, &result);
		return fd;
	}
	r = copy_all(fd, STDOUT_FILENO);
	if (r < 0)
		complain("%s: %s", path, strerror(-r));
	return r;
}

int command_cat(const struct cli *cli, int argc, char **argv)
{
	static const struct option none[] = { { NULL, 0, NULL, 0 } };
	_cleanup_conn_ struct openc_conn *c = NULL;
	int status = EXIT_DONE;

	if (getopt_long(argc, argv, "", none, NULL) >= 0)
		return usage("cat", NULL);
	if (optind >= argc)
		return usage("cat", "which file?");
	if (cli_connect(cli, &c) < 0)
		return EXIT_FAILED;
	for (int i = optind; i < argc; i++)
		if (cat_one(c, argv[i]) < 0)
			status = EXIT_FAILED;
	return status;
}
