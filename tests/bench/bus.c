/* SPDX-License-Identifier: MIT
 * What a program would do otherwise: ask a service over D-Bus, with a method that takes a path and
 * returns a descriptor. sd-bus, between the two peers and through a bus daemon. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>
#include "bench.h"

#define NAME	  "bench.Opener"
#define OBJECT	  "/bench/opener"
#define INTERFACE "bench.Opener"

static void must(int r, const char *what)
{
	if (r < 0)
		die("sd-bus: %s: %s", what, strerror(-r));
}

/* ---- the service ---- */

static int on_open(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	const char *path;
	int fd, r;

	(void)userdata;
	r = sd_bus_message_read(m, "s", &path);
	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return sd_bus_error_set_errno(error, errno);
	r = sd_bus_reply_method_return(m, "h", fd);
	close(fd);
	return r;
}

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	SD_BUS_METHOD("Open", "s", "h", on_open, SD_BUS_VTABLE_UNPRIVILEGED),
	SD_BUS_VTABLE_END,
};

static void serve_bus(sd_bus *bus)
{
	must(sd_bus_add_object_vtable(bus, NULL, OBJECT, INTERFACE, vtable, NULL), "vtable");
	for (;;) {
		int r = sd_bus_process(bus, NULL);

		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
		if (r < 0)
			return;
	}
}

static void serve_peer(int fd)
{
	sd_id128_t id;
	sd_bus *bus;

	must(sd_id128_randomize(&id), "id");
	must(sd_bus_new(&bus), "new");
	must(sd_bus_set_fd(bus, fd, fd), "fd");
	must(sd_bus_set_server(bus, 1, id), "server");
	must(sd_bus_negotiate_fds(bus, 1), "descriptors");
	must(sd_bus_start(bus), "start");
	serve_bus(bus);
}

/* ---- its client ---- */

struct peer {
	sd_bus *bus;
	const char *path, *name;
};

static sd_bus *dial(const char *address, bool client)
{
	sd_bus *bus;

	must(sd_bus_new(&bus), "new");
	must(sd_bus_set_address(bus, address), address);
	must(sd_bus_set_bus_client(bus, client), "client");
	must(sd_bus_negotiate_fds(bus, 1), "descriptors");
	must(sd_bus_start(bus), "start");
	return bus;
}

static struct peer *peer_of(sd_bus *bus, const char *path, const char *name)
{
	struct peer *p = malloc(sizeof *p);

	if (!p)
		die("no memory");
	*p = (struct peer){ bus, path, name };
	return p;
}

static void *begin_peer(const struct place *p, pid_t *server)
{
	char *name = at("run/bus-%d", getpid()), address[256] = "unix:path=";

	*server = serve_from(listen_on(name), serve_peer);
	strncat(address, name, sizeof address - strlen(address) - 1);
	return peer_of(dial(address, false), p->path, NULL);
}

/* The bus of a session, as dbus-daemon(1) comes; nobody else is on it. */
static void run_daemon(const char *address)
{
	execlp("dbus-daemon", "dbus-daemon", "--session", "--nofork", "--nopidfile", "--address",
	       address, (char *)NULL);
	die("dbus-daemon: %s", strerror(errno));
}

static void *begin_daemon(const struct place *p, pid_t *server)
{
	char *name = at("run/dbus-%d", getpid()), address[256] = "unix:path=";
	sd_bus *bus;

	*server = 0; /* two of them */
	strncat(address, name, sizeof address - strlen(address) - 1);
	if (fork_bound() == 0)
		run_daemon(address);
	close(connect_to(name));
	if (fork_bound() == 0) {
		bus = dial(address, true);
		must(sd_bus_request_name(bus, NAME, 0), "name");
		serve_bus(bus);
		exit(0);
	}
	bus = dial(address, true);
	for (int i = 0; sd_bus_get_name_creds(bus, NAME, 0, NULL) < 0; i++) {
		if (i == 1000)
			die("the service does not come to the bus");
		sleep_ms(10);
	}
	return peer_of(bus, p->path, NAME);
}

static void block(void *state, size_t n)
{
	const struct peer *p = state;

	for (size_t i = 0; i < n; i++) {
		sd_bus_message *reply;
		int fd;

		must(sd_bus_call_method(p->bus, p->name, OBJECT, INTERFACE, "Open", NULL, &reply,
					"s", p->path),
		     "call");
		must(sd_bus_message_read(reply, "h", &fd), "reply");
		/* Closes the descriptor. */
		sd_bus_message_unref(reply);
	}
}

const struct work bus_peer = { begin_peer, block, NULL, 1 };
const struct work bus_daemon = { begin_daemon, block, NULL, 1 };
