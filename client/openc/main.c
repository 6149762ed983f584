/* SPDX-License-Identifier: MIT
 * openc(1): opend from a shell. This file finds the command; the commands are in files of their
 * names. */
#include <getopt.h>
#include "cli.h"

static const struct command commands[] = {
	{ "cat", "PATH...", "write files to standard output", command_cat },
	{ "exec",
	  "[[-r|-w|-a] [--create[=MODE]] [--truncate] [--copy] [NAME=]PATH]...\n"
	  "            [--stdin PATH] [--stdout PATH] -- COMMAND [ARG...]",
	  "run a command with files open from descriptor 3 on", command_exec },
	{ "write", "[-a] [--create=MODE|--no-create] PATH", "write standard input into a file",
	  command_write },
	{ "whoami", "[--json]", "who opend takes you for, and what it can do", command_whoami },
	{ "rules", "", "the rules that apply to you", command_rules },
	{ "explain", "[--read] [--write] [--create] [--list] [WHO] [--json] PATH",
	  "what the policy says of a path, by which rule, or what is lacking", command_explain },
	{ "list", "[WHO] [--json]", "the rules, as your worker reads them", command_list },
	{ "hull", "[WHO] [--json]", "what the kernel would let a taken-over worker of yours open",
	  command_hull },
	{ "status", "[--json|--openmetrics] [--control PATH]",
	  "the state of the service (for its administrator)", command_status },
	{ "launch", "--policy PATH -- COMMAND [ARG...]", "run a command with an opend of its own",
	  command_launch },
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static void print_help(void)
{
	printf("Usage: openc [--socket ADDRESS] COMMAND ...\n"
	       "Asks opend(8) for open files.\n\nCommands:\n");
	for (size_t i = 0; i < ELEMENTSOF(commands); i++)
		printf("  %s %s\n            %s\n", commands[i].name, commands[i].arguments,
		       commands[i].summary);
	printf("\nWHO is somebody else, judged by the policy's files: --user USER, --group "
	       "GROUP...,\n"
	       "--unit UNIT, --via DOOR, --policy DIR|FILE..., --control PATH\n");
	printf("\nOptions:\n"
	       "  --socket ADDRESS  socket of opend, or fd:N; else $OPENC_SOCKET, else\n"
	       "                    /run/opend/socket\n"
	       "  --help            this text; openc(1) says more\n"
	       "  --version         the version\n");
}

static const struct option options[] = {
	{ "socket", required_argument, NULL, 's' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'v' },
	{ NULL, 0, NULL, 0 },
};

/* Everything printed must have reached its place: a full disk is a failure. */
static int finish(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	complain("standard output: %s", strerror(errno));
	return status == EXIT_DONE ? EXIT_FAILED : status;
}

int main(int argc, char **argv)
{
	const struct command *command;
	struct cli cli = { 0 };
	int option;

	while ((option = getopt_long(argc, argv, "+h", options, NULL)) >= 0) {
		switch (option) {
		case 's':
			cli.address = optarg;
			break;
		case 'h':
			print_help();
			return finish(EXIT_DONE);
		case 'v':
			printf("openc %s\n", OPEND_VERSION_STRING);
			return finish(EXIT_DONE);
		default:
			return usage(NULL, NULL);
		}
	}
	if (optind >= argc)
		return usage(NULL, "what is to be done?");
	command = find_command(argv[optind]);
	if (!command) {
		complain("there is no command \"%s\"", argv[optind]);
		return usage(NULL, NULL);
	}
	argc -= optind;
	argv += optind;
	optind = 0; /* getopt starts anew */
	return finish(command->run(&cli, argc, argv));
}
