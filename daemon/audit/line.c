/* SPDX-License-Identifier: MIT
 * Building one line out of words of ours and bytes of a client's. What a client chose can neither
 * end the line, nor move a terminal's cursor, nor look like a word of ours. */
#include <stdarg.h>
#include "auditor.h"

static void add_bytes(struct line *l, const char *bytes, size_t n)
{
	if (n >= l->size - l->len)
		return;
	memcpy(l->buf + l->len, bytes, n);
	l->len += n;
	l->buf[l->len] = 0;
}

void line_add(struct line *l, const char *text)
{
	add_bytes(l, text, strlen(text));
}

void line_addf(struct line *l, const char *format, ...)
{
	char buf[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(buf, sizeof buf, format, ap);
	va_end(ap);
	line_add(l, buf);
}

static void escape(struct line *l, const char *text, size_t len, char also)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		const char escaped[] = { '\\', 'x', hex[c >> 4], hex[c & 15] };

		if (c < 0x20 || c >= 0x7f || c == '\\' || c == (unsigned char)also)
			add_bytes(l, escaped, sizeof escaped);
		else
			add_bytes(l, text + i, 1);
	}
}

void line_escape(struct line *l, const char *text, size_t len)
{
	escape(l, text, len, '\\');
}

void line_quote(struct line *l, const char *text, size_t len)
{
	if (len && !memchr(text, ' ', len) && !memchr(text, '"', len)) {
		line_escape(l, text, len);
		return;
	}
	line_add(l, "\"");
	escape(l, text, len, '"');
	line_add(l, "\"");
}
