/* SPDX-License-Identifier: MIT
 * The main job in one page: a program that gave up the file system, and reads a file all the same.
 * It connects to opend, locks itself in with Landlock, fails at open(2), asks, and reads.
 *
 *	locked PATH		($OPENC_SOCKET, else /run/opend/socket) */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <openc.h>

/* All rights that this kernel's Landlock knows, none granted: no file can be opened any more. */
static void lock_file_system(void)
{
	static const int rights[] = { 0, 13, 14, 15, 15, 16 }; /* by ABI, landlock(7) */
	struct landlock_ruleset_attr attr = { 0 };
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	long fd;

	if (abi < 1)
		err(1, "this kernel has no Landlock");
	attr.handled_access_fs = (UINT64_C(1) << rights[abi < 5 ? abi : 5]) - 1;
	fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
	if (fd < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		err(1, "Landlock");
	close((int)fd);
}

int main(int argc, char **argv)
{
	struct stat before, after;
	struct openc_conn *c;
	char line[256];
	FILE *file;
	int r;

	if (argc != 2)
		errx(2, "usage: locked PATH");
	if (stat(argv[1], &before) < 0)
		err(1, "%s", argv[1]);
	r = openc_new(&c, NULL);
	if (r < 0)
		errx(1, "no connection to opend: %s", strerror(-r));

	lock_file_system();
	if (open(argv[1], O_RDONLY) >= 0 || errno != EACCES)
		errx(1, "open(2) was to fail with EACCES: not locked in");
	printf("open(2) of %s: %s\n", argv[1], strerror(errno));

	r = openc_open(c, argv[1], O_RDONLY, 0);
	if (r < 0)
		errx(1, "opend says: %s", openc_message(c));
	if (fstat(r, &after) < 0 || before.st_dev != after.st_dev || before.st_ino != after.st_ino)
		errx(1, "this is another file");
	printf("opend gave descriptor %d: device %llu, inode %llu, the same file as before\n", r,
	       (unsigned long long)after.st_dev, (unsigned long long)after.st_ino);
	file = fdopen(r, "r");
	if (!file || !fgets(line, sizeof line, file))
		errx(1, "nothing to read in it");
	printf("its first line: %s", line);
	openc_free(c);
	return 0;
}
