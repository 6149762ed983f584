/* SPDX-License-Identifier: MIT
 * What the commands of openc(1) share. Each command is a file with one entry point; what a failure
 * means and what to do about it is said in one place, report.c. Data goes to stdout, everything
 * else to stderr. */
#ifndef OPENC_CLI_H
#define OPENC_CLI_H

#include <stdbool.h>
#include <sys/types.h>
#include "openc.h"
#include "util.h"

enum exit_status {
	EXIT_DONE = 0,
	EXIT_FAILED = 1, /* denied, or anything else that went wrong */
	EXIT_USAGE = 2,
	EXIT_OWN = 125,	       /* exec and launch, as env(1): our own failure, */
	EXIT_CANNOT_RUN = 126, /* found but not to be run, */
	EXIT_NOT_FOUND = 127,  /* not found */
};

struct cli {
	const char *address; /* --socket, or NULL */
};

struct command {
	const char *name, *arguments, *summary;
	int (*run)(const struct cli *cli, int argc, char **argv);
};

/* Each returns an exit status; argv[0] is the command's name. */
int command_cat(const struct cli *cli, int argc, char **argv);
int command_exec(const struct cli *cli, int argc, char **argv);
int command_explain(const struct cli *cli, int argc, char **argv);
int command_hull(const struct cli *cli, int argc, char **argv);
int command_launch(const struct cli *cli, int argc, char **argv);
int command_list(const struct cli *cli, int argc, char **argv);
int command_rules(const struct cli *cli, int argc, char **argv);
int command_status(const struct cli *cli, int argc, char **argv);
int command_whoami(const struct cli *cli, int argc, char **argv);
int command_write(const struct cli *cli, int argc, char **argv);

/* report.c */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
int usage(const char *command, const char *problem);
int cli_connect(const struct cli *cli, struct openc_conn **ret);
void report_denied(struct openc_conn *c, const char *path, const struct openc_how *how,
		   const struct openc_result *result);
void report_failed(struct openc_conn *c, const char *what, int error);

/* copy.c */
int copy_all(int from, int to);
int print_memory_file(int fd, FILE *to);
int parse_mode_digits(const char *digits, uint32_t *ret);

/* status.c: one word to the control socket; the answer, to be freed. 0 or -errno. */
int control_ask(const char *path, const char *word, char **ret);
#define DEFAULT_CONTROL "/run/opend/control"

/* run.c */
int run_command(char **argv);

static inline void cleanup_conn_(struct openc_conn **c)
{
	openc_free(*c);
}
#define _cleanup_conn_ _cleanup_(cleanup_conn_)

#endif
