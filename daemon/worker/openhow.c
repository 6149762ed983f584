/* SPDX-License-Identifier: MIT
 * Both tables are constants of the program file: read-only, shared by all workers, and no page of
 * the large one is in memory until a rule creates. The assembler counts them out, because 65,536
 * initializers in C take a compiler half a minute. */
#include "openhow.h"

#define TEXT(x)	 #x
#define VALUE(x) "(" TEXT(x) ")"

/* Always: no waiting for a FIFO's other end, a lease or a modem; no controlling terminal; no
 * symlink anywhere (the name matched is the place opened) and no magic link. */
#define ALWAYS	VALUE(O_NONBLOCK) "|" VALUE(O_NOCTTY) "|" VALUE(O_CLOEXEC)
#define RESOLVE VALUE(RESOLVE_NO_SYMLINKS) "|" VALUE(RESOLVE_NO_MAGICLINKS)

/* Bit n of the index, as 0 or 1. */
#define BIT(n) "((i>>" #n ")&1)"

/* What openhow.h says the bits of an index mean. Access mode 3 and the fourth synchronous variant
 * do not exist: their entries get a resolve bit that no kernel knows, so openat2(2) says EINVAL. */
#define FLAGS                                                                                      \
	"(" ALWAYS "|(i&3)|" BIT(2) "*" VALUE(O_APPEND) "|" BIT(3) "*" VALUE(O_NOFOLLOW) "|" BIT(  \
		4) "*" VALUE(O_DSYNC) "|" BIT(5) "*" VALUE(O_SYNC) ")"
#define INVALID "(((" BIT(0) "&" BIT(1) ")|(" BIT(4) "&" BIT(5) "))<<62)"

#define TABLE(name, count, more_flags, mode)                                                       \
	__asm__(".pushsection .rodata." #name ",\"a\"\n"                                           \
		".balign 32*" #count "\n"                                                          \
		".globl " #name "\n.hidden " #name "\n.type " #name ",%object\n" #name             \
		":\n.set i,0\n.rept " #count "\n"                                                  \
		".8byte " FLAGS "|" more_flags "\n.8byte " mode "\n"                               \
		".8byte " RESOLVE "|" INVALID "\n.8byte 0\n"                                       \
		".set i,i+1\n.endr\n.size " #name ",32*" #count "\n.popsection\n")

TABLE(openhow_existing, 128, BIT(6) "*" VALUE(O_DIRECTORY), "0");
TABLE(openhow_create, 65536, VALUE(O_CREAT) "|" BIT(6) "*" VALUE(O_EXCL), "(i>>7)&0777");

static_assert(sizeof(struct openhow_entry) == 32, "the tables count in entries of 32 bytes");
static_assert(OPENHOW_EXISTING == 128 && OPENHOW_CREATE == 65536, "as counted out above");

const struct open_how *openhow_find(uint32_t flags, uint32_t mode)
{
	uint32_t i = flags & 3;

	if (flags & O_APPEND)
		i |= 4;
	if (flags & O_NOFOLLOW)
		i |= 8;
	/* The kernel takes the first half of O_SYNC for all of it (build_open_flags()). */
	if (flags & O_SYNC & ~O_DSYNC)
		i |= 2 << 4;
	else if (flags & O_DSYNC)
		i |= 1 << 4;
	if (!(flags & O_CREAT)) {
		if (flags & O_DIRECTORY)
			i |= 64;
		return &openhow_existing[i].how;
	}
	if (flags & O_EXCL)
		i |= 64;
	return &openhow_create[i | (mode & 0777) << 7].how;
}
