/* SPDX-License-Identifier: MIT
 * The table of permitted opens. seccomp(2) sees pointers, not what they point to; so every struct
 * open_how that this program can ever use stands in read-only memory, 32 bytes apart in a table
 * aligned to its size, and the filter compares the pointer with one mask. What is not in the table
 * (O_PATH, O_TRUNC, O_TMPFILE, access mode 3, set-id bits, a resolve without NO_SYMLINKS) cannot
 * be opened, whoever controls this process. */
#ifndef OPEND_OPENHOW_H
#define OPEND_OPENHOW_H

#include <assert.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdint.h>

struct openhow_entry {
	struct open_how how;
	uint64_t pad;
};

/* Bits of an index: 0-1 access mode, 2 O_APPEND, 3 O_NOFOLLOW, 4-5 none, O_DSYNC, O_SYNC;
 * then for existing files 6 O_DIRECTORY, for creation 6 O_EXCL and 7-15 the mode. */
enum { OPENHOW_EXISTING = 128, OPENHOW_CREATE = 128 * 512 };

extern const struct openhow_entry openhow_existing[OPENHOW_EXISTING];
extern const struct openhow_entry openhow_create[OPENHOW_CREATE];

/* Flags that a request may carry; whatever else is EINVAL. */
enum {
	OPENHOW_ACCEPTED = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |
			   O_DSYNC | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_DIRECT | O_CLOEXEC |
			   O_NOCTTY | 0100000 /* the kernel's O_LARGEFILE; libc's may be 0 */,
	/* Set by F_SETFL after the gate, so they need no place in the table. */
	OPENHOW_AFTERWARDS = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME,
};

/* The entry for these open flags (already accepted) and mode (used with O_CREAT). Flags that are
 * set afterwards or never passed (O_TRUNC) are ignored. */
const struct open_how *openhow_find(uint32_t flags, uint32_t mode);

#endif
