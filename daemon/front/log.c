/* SPDX-License-Identifier: MIT
 * The supervisor's own few lines: to the journal, with a MESSAGE_ID that its catalog explains, or
 * to stderr. A journal that is stuck holds nobody up: what it does not take in time is lost. */
#include <stdarg.h>
#include <stdlib.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include "front.h"

enum { PATIENCE_USEC = 200000 };

static void say_v(const char *id, int priority, const char *format, va_list ap)
{
	char line[1024];

	vsnprintf(line, sizeof line, format, ap);
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
			*p = '?';
	interrupt_after(PATIENCE_USEC);
	if (!getenv("JOURNAL_STREAM"))
		fprintf(stderr, "opend: %s%s\n", priority <= LOG_ERR ? "error: " : "", line);
	else if (!id || sd_journal_send("MESSAGE=%s", line, "PRIORITY=%i", priority,
					"MESSAGE_ID=%s", id, NULL) < 0)
		fprintf(stderr, "<%d>%s\n", priority, line);
	interrupt_after(0);
}

void say(int priority, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say_v(NULL, priority, format, ap);
	va_end(ap);
}

void say_event(const char *id, int priority, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say_v(id, priority, format, ap);
	va_end(ap);
}
