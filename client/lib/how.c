/* SPDX-License-Identifier: MIT
 * Structs that may grow: what a caller of another version passes and gets, as in openat2(2). */
#include "internal.h"

enum { HOW_SIZE_0 = 16, RESULT_SIZE_0 = 56 };
static_assert(sizeof(struct openc_how) == HOW_SIZE_0, "how");
static_assert(sizeof(struct openc_result) == RESULT_SIZE_0, "result");

/* A caller newer than this library may pass more, as long as it asks for nothing in it. */
int how_copy(struct openc_how *ret, const struct openc_how *how, size_t size)
{
	*ret = (struct openc_how){ 0 };
	if (!how)
		return 0;
	if (size < HOW_SIZE_0)
		return -EINVAL;
	for (size_t i = sizeof *ret; i < size; i++)
		if (((const char *)how)[i])
			return -E2BIG;
	memcpy(ret, how, UTIL_MIN(size, sizeof *ret));
	if (ret->ask & ~(OPENC_UMASK | OPENC_DRY_RUN | OPENC_TEXT))
		return -EINVAL;
	return 0;
}

int result_check(size_t size)
{
	return size < RESULT_SIZE_0 ? -EINVAL : 0;
}

void result_copy(void *ret, size_t size, const struct openc_result *from)
{
	size_t n = UTIL_MIN(size, sizeof *from);

	memcpy(ret, from, n);
	memset((char *)ret + n, 0, size - n);
}
