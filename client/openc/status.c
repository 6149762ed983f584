/* SPDX-License-Identifier: MIT
 * openc status: the word "status" to the control socket, a memfd with the answer back, which is
 * shown for people, as JSON or as it is. opend speaks with root only. */
#include <getopt.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "cli.h"
#include "fdpass.h"
#include "state.h"

enum { PATIENCE = 10000 }; /* ms */

static int connect_control(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int sock = -1;

	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&address, sizeof address) < 0)
		return -errno;
	return take_fd(&sock);
}

/* One answer: a status, and the memfd that goes with it (-1 for none). */
static int receive_answer(int sock, int *ret_fd)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int32_t status;
	size_t n;
	int r;

	*ret_fd = -1;
	if (poll(&p, 1, PATIENCE) == 0)
		return -ETIMEDOUT;
	r = fdpass_recv(sock, &status, sizeof status, ret_fd, 1, &n);
	if (r < 0)
		return r;
	return r == sizeof status ? status : -EPROTO;
}

/* The whole answer, to be freed; an error may have one, too. */
int control_ask(const char *path, const char *word, char **ret)
{
	_cleanup_close_ int sock = -1, fd = -1;
	_cleanup_fclose_ FILE *f = NULL;
	size_t len;
	int r;

	*ret = NULL;
	sock = connect_control(path);
	if (sock < 0)
		return sock;
	r = fdpass_send(sock, word, strlen(word), NULL, 0);
	if (r < 0)
		return r;
	r = receive_answer(sock, &fd);
	if (fd < 0)
		return r < 0 ? r : -EPROTO;
	f = open_memstream(ret, &len);
	if (!f)
		return -ENOMEM;
	if (print_memory_file(fd, f) < 0 || fflush(f) != 0)
		return -EIO;
	return r;
}

static int failed(const char *control, int error, const char *text)
{
	fputs(text ? text : "", stderr);
	complain("status from %s: %s", control, strerror(-error));
	if (error == -EACCES || error == -EPERM)
		complain("only root may ask; \"openc whoami\" is for everybody");
	else if (error == -ENOENT || error == -ECONNREFUSED)
		complain("is opend running? Another socket is named with --control");
	return EXIT_FAILED;
}

int command_status(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "control", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "openmetrics", no_argument, NULL, 'o' },
		{ NULL, 0, NULL, 0 },
	};
	const char *control = DEFAULT_CONTROL;
	_cleanup_free_ char *text = NULL;
	int option, r, form = 0;

	(void)cli;
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'c')
			control = optarg;
		else if (option == '?' || (form && form != option))
			return usage("status", option == '?' ? NULL : "one of the two forms");
		else
			form = option;
	}
	if (optind != argc)
		return usage("status", "takes no arguments");
	r = control_ask(control, "status", &text);
	if (r < 0)
		return failed(control, r, text);
	if (form == 'o')
		fputs(text, stdout);
	else
		state_show(text, form == 'j');
	return EXIT_DONE;
}
