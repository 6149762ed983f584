/* SPDX-License-Identifier: MIT
 * What the fuzz targets share. A target is a file fuzz-NAME.c with one entry point, its corpus is
 * corpus/NAME and its dictionary, if it has one, fuzz-NAME.dict. `make fuzz` runs it under libFuzzer
 * and sanitizers, replay.c feeds it the corpus in every `make check`. Not to crash is the least: a
 * target states with REQUIRE() what holds whatever the input is. */
#ifndef OPEND_FUZZ_H
#define OPEND_FUZZ_H

#include <fcntl.h>
#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(x)                                                                                 \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			dprintf(STDERR_FILENO, "%s:%d: %s\n", __FILE__, __LINE__, #x);             \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* An input that is read as a script: numbers and runs of bytes, zeros when it is at its end. */
struct script {
	const uint8_t *data;
	size_t len;
};

static inline unsigned script_byte(struct script *s)
{
	if (!s->len)
		return 0;
	s->len--;
	return *s->data++;
}

/* So many bytes as the next two bytes say, if there are. */
static inline size_t script_bytes(struct script *s, const uint8_t **ret)
{
	size_t n = script_byte(s);

	n |= (size_t)script_byte(s) << 8;
	n = UTIL_MIN(n, s->len);
	*ret = s->data;
	s->data += n;
	s->len -= n;
	return n;
}

/* How many of the first descriptors are open: the same before and after, or something leaked. */
static inline unsigned count_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 128; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The bytes in memory of their own, where a sanitizer sees a read beyond their end. */
static inline void *exactly(const void *data, size_t size)
{
	void *copy = malloc(size ? size : 1);

	REQUIRE(copy);
	if (size)
		memcpy(copy, data, size);
	return copy;
}

/* One line for a terminal. */
static inline bool is_clean_line(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	return true;
}

#endif
