/* SPDX-License-Identifier: MIT
 * Becoming another program. */
#include "cli.h"

/* Returns only when it failed, with the exit status that env(1) would have. */
int run_command(char **argv)
{
	int error;

	execvp(argv[0], argv);
	error = errno;
	complain("cannot run %s: %s", argv[0], strerror(error));
	return error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}
