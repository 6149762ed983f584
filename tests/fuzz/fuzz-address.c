/* SPDX-License-Identifier: MIT
 * What the environment or a command line names: a socket's address, the digits of a mode. The first
 * byte says whether it is an argument or OPENC_SOCKET. Only a stream socket that the address names
 * is taken over, and whatever is refused is left alone. */
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "client/openc/cli.h"
#include "fuzz.h"

/* The number that an address names, told the simple way. */
static long number_of(const char *address)
{
	long n = 0;

	if (strncmp(address, "fd:", 3) != 0 || !address[3])
		return -1;
	for (address += 3; *address >= '0' && *address <= '9'; address++)
		n = UTIL_MIN(n * 10 + *address - '0', 1L << 40);
	return *address ? -1 : n;
}

/* An absolute name may be that of a real socket, as the default for an empty one, and a descriptor
 * may be one of whoever runs this. */
static bool is_for_nobody_else(const char *address)
{
	long n = number_of(address);

	return *address && *address != '/' && strlen(address) <= 200 &&
	       (n < 0 || fcntl((int)n, F_GETFD) < 0);
}

static void connect_to(const char *address, bool environment)
{
	struct openc_conn *c = NULL;
	int sv[2], r, by = 1;

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
	if (environment)
		REQUIRE(setenv("OPENC_SOCKET", address, 1) == 0);
	r = openc_new(&c, environment ? NULL : address);
	REQUIRE((r == 0) == (c != NULL) && r >= -4095);
	if (r == 0) {
		/* Nobody listens in an empty directory: so it is one of ours. */
		by = number_of(address) == sv[0] ? 0 : 1;
		REQUIRE(number_of(address) == sv[by] && openc_get_fd(c) > 2);
		openc_free(c);
		REQUIRE(fcntl(sv[by], F_GETFD) < 0);
		sv[by] = -1;
	}
	for (int i = 0; i < 2; i++)
		REQUIRE(sv[i] < 0 || close(sv[i]) == 0);
}

static void read_mode(const char *digits)
{
	uint32_t mode = 0;

	if (parse_mode_digits(digits, &mode) == 0) {
		REQUIRE(mode <= 0777 && strspn(digits, "01234567") == strlen(digits));
		REQUIRE(strtoul(digits, NULL, 8) == mode);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script s = { data, size };
	bool environment = script_byte(&s) & 1;
	_cleanup_free_ char *text = malloc(s.len + 1);
	unsigned before = count_fds();

	REQUIRE(text);
	if (s.len)
		memcpy(text, s.data, s.len);
	text[s.len] = 0;
	if (is_for_nobody_else(text))
		connect_to(text, environment);
	read_mode(text);
	REQUIRE(count_fds() == before);
	return 0;
}
