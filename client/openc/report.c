/* SPDX-License-Identifier: MIT
 * Failures, in words: what was asked, why it was refused, what to do next. */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include "cli.h"

#define DEFAULT_SOCKET "/run/opend/socket"

void complain(const char *format, ...)
{
	va_list ap;

	fputs("openc: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

int usage(const char *command, const char *problem)
{
	if (problem)
		complain("%s%s%s", command ? command : "", command ? ": " : "", problem);
	fprintf(stderr, "Try \"openc --help\".\n");
	return EXIT_USAGE;
}

/* The library says only that nobody answers; a shell user wants to know whose fault it is. */
static const char *why_no_server(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? "there is no such socket; is opend running?"
				       : strerror(errno);
	if (!S_ISSOCK(st.st_mode))
		return "this is not a socket";
	if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0)
		return "you may not connect to this socket";
	return "nobody listens on this socket; is opend running?";
}

int cli_connect(const struct cli *cli, struct openc_conn **ret)
{
	const char *address = cli->address, *why;
	int r;

	if (!address)
		address = secure_getenv("OPENC_SOCKET");
	if (!address || !*address)
		address = DEFAULT_SOCKET;
	r = openc_new(ret, cli->address);
	if (r == 0)
		return 0;
	why = strerror(-r);
	if (r == -ENOTCONN)
		why = why_no_server(address);
	else if (r == -ENAMETOOLONG)
		why = "the name of a socket has at most 107 bytes";
	complain("cannot reach opend at %s: %s", address, why);
	if (!cli->address)
		complain("another socket is named with --socket or in $OPENC_SOCKET");
	return r;
}

static const char *purpose(const struct openc_how *how)
{
	if (how->ask & OPENC_DRY_RUN)
		return "ask about";
	if (how->flags & O_CREAT)
		return "create or open";
	switch (how->flags & O_ACCMODE) {
	case O_RDONLY:
		return "read";
	case O_WRONLY:
		return "write";
	default:
		return "read and write";
	}
}

static const char *advice(const struct openc_result *result)
{
	switch (result->reason) {
	case OPENC_R_NO_RULE:
	case OPENC_R_ACCESS:
	case OPENC_R_PLACE:
	case OPENC_R_TYPE:
	case OPENC_R_HARD_LINK:
		return "\"openc rules\" shows the rules that apply to you; an administrator "
		       "can add one, see opend.policy(5)";
	case OPENC_R_DENIED:
		return "\"openc rules\" shows the rules that apply to you; a deny always wins";
	case OPENC_R_NO_POLICY:
		return "an administrator finds the mistake with \"opend --check\"";
	case OPENC_R_KERNEL:
		return result->fd == -EACCES || result->fd == -EPERM
			       ? "the policy allows it, but your own rights on the file do not; "
				 "a rule \"as root\" would not need them"
			       : NULL;
	case OPENC_R_TIMEOUT:
	case OPENC_R_LOST:
		return "\"openc whoami\" shows whether opend answers at all";
	default:
		return NULL;
	}
}

static const char *access_name(unsigned access)
{
	switch (access) {
	case OPENC_READ:
		return "read";
	case OPENC_WRITE:
		return "write";
	case OPENC_CREATE:
		return "create";
	case OPENC_LIST:
		return "list";
	default:
		return NULL;
	}
}

void report_denied(struct openc_conn *c, const char *path, const struct openc_how *how,
		   const struct openc_result *result)
{
	complain("cannot %s %s: %s", purpose(how), path, openc_message(c));
	for (unsigned bit = 1; bit <= OPENC_LIST; bit <<= 1)
		if (result->lacked & bit)
			complain("no rule grants: %s", access_name(bit));
	if (result->serial)
		complain("in the journal: journalctl OPEND_SERIAL=%llu",
			 (unsigned long long)result->serial);
	if (advice(result))
		complain("%s", advice(result));
}

void report_failed(struct openc_conn *c, const char *what, int error)
{
	const char *why = openc_message(c);

	complain("%s: %s", what, *why ? why : strerror(-error));
}
