/* SPDX-License-Identifier: MIT
 * Nothing in this file trusts what it shows: a path in a policy, or a line that failed to parse,
 * may hold terminal commands or characters that reorder what stands around them. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include "text.h"
#include "../util.h"

static bool shows_harmlessly(uint32_t c)
{
	if (c < 0xa0 || c == 0xad) /* C1 controls, soft hyphen */
		return false;
	if (c >= 0x200b && c <= 0x200f) /* zero width, direction marks */
		return false;
	if (c >= 0x2028 && c <= 0x202e) /* line separators, embeddings, overrides */
		return false;
	if (c >= 0x2060 && c <= 0x206f) /* invisible operators, isolates */
		return false;
	if (c >= 0xd800 && c <= 0xf8ff) /* surrogates, private use */
		return false;
	return c != 0xfeff && (c & 0xfffe) != 0xfffe && c < 0xe0000;
}

size_t text_printable(const char *s, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *u = (const unsigned char *)s;
	uint32_t c;
	size_t n;

	if (len == 0)
		return 0;
	if (u[0] < 0x80)
		return u[0] >= 0x20 && u[0] < 0x7f;
	n = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
	if (u[0] < 0xc2 || u[0] > 0xf4 || n > len)
		return 0;
	c = u[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (u[i] & 0x3f);
	}
	return c >= least[n] && c < 0x110000 && shows_harmlessly(c) ? n : 0;
}

void text_write(FILE *f, const char *s, size_t len, int lone)
{
	for (size_t i = 0; i < len;) {
		size_t n = text_printable(s + i, len - i);

		if (n == 0 || (lone && s[i] == '\\')) {
			fprintf(f, "\\x%02x", (unsigned)(unsigned char)s[i]);
			i++;
		} else {
			fwrite(s + i, 1, n, f);
			i += n;
		}
	}
}

struct memory {
	char **text;
	size_t *len, room;
};

static ssize_t write_memory(void *cookie, const char *bytes, size_t n)
{
	struct memory *m = cookie;

	if (*m->len + n + 1 > m->room) {
		size_t room = UTIL_MAX(m->room * 2, *m->len + n + 1);
		char *text = realloc(*m->text, room);

		if (!text)
			return 0;
		*m->text = text;
		m->room = room;
	}
	memcpy(*m->text + *m->len, bytes, n);
	*m->len += n;
	(*m->text)[*m->len] = 0;
	return (ssize_t)n;
}

static int close_memory(void *cookie)
{
	free(cookie);
	return 0;
}

FILE *text_open(char **ret, size_t *ret_len)
{
	static const cookie_io_functions_t functions = { .write = write_memory,
							 .close = close_memory };
	struct memory *m = malloc(sizeof *m);
	FILE *f;

	*ret = calloc(1, 1);
	*ret_len = 0;
	f = m && *ret ? fopencookie(m, "w", functions) : NULL;
	if (f) {
		*m = (struct memory){ ret, ret_len, 1 };
		return f;
	}
	free(m);
	free(*ret);
	*ret = NULL;
	return NULL;
}

int text_close(FILE *f, char **ret)
{
	bool failed = fflush(f) != 0 || ferror(f);

	if (fclose(f) == 0 && !failed)
		return 0;
	free(*ret);
	*ret = NULL;
	return -ENOMEM;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

size_t text_unescape(char *s, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\\' && i + 3 < len && s[i + 1] == 'x' && hex(s[i + 2]) >= 0 &&
		    hex(s[i + 3]) >= 0) {
			s[out++] = (char)(hex(s[i + 2]) << 4 | hex(s[i + 3]));
			i += 3;
		} else if (s[i] == '\\' && i + 1 < len) {
			s[out++] = s[++i];
		} else {
			s[out++] = s[i];
		}
	}
	return out;
}

enum { WORD_MAX_LEN = 24 };

/* Edits (insert, delete, change, swap of neighbours) from a to b; three rows of the usual table
 * are enough for the swap. */
static unsigned distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned rows[3][WORD_MAX_LEN + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= m; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *spare = before;

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned cost = a[i - 1] != b[j - 1];

			now[j] = UTIL_MIN(last[j] + 1, now[j - 1] + 1);
			now[j] = UTIL_MIN(now[j], last[j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				now[j] = UTIL_MIN(now[j], before[j - 2] + 1);
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[m];
}

const char *text_suggest(const char *s, size_t len, const char *const *words)
{
	const char *best = NULL;
	unsigned least = (unsigned)(UTIL_MAX(len, (size_t)3) / 3) + 1;

	if (len == 0 || len > WORD_MAX_LEN)
		return NULL;
	for (; *words; words++) {
		size_t m = strlen(*words);
		unsigned d = m <= WORD_MAX_LEN ? distance(s, len, *words, m) : least;

		if (d < least) {
			least = d;
			best = *words;
		}
	}
	return best;
}
