/* SPDX-License-Identifier: MIT
 * Figures and what they were measured on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "bench.h"

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct summary summarize(const struct series *s)
{
	struct series sorted = *s;

	if (!s->n)
		return (struct summary){ 0, 0, 0 };
	qsort(sorted.v, sorted.n, sizeof *sorted.v, compare);
	return (struct summary){ .median = (sorted.v[(s->n - 1) / 2] + sorted.v[s->n / 2]) / 2,
				 .min = sorted.v[0],
				 .max = sorted.v[s->n - 1] };
}

/* The value of the first line of a file of /proc that begins with name. */
static void first_line(const char *path, const char *name, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");
	char line[512];

	buf[0] = 0;
	while (f && !buf[0] && fgets(line, sizeof line, f))
		if (!strncmp(line, name, strlen(name)))
			snprintf(buf, size, "%.*s", (int)strcspn(line + strlen(name), "\n"),
				 line + strlen(name));
	if (f)
		fclose(f);
}

void describe_machine(char *buf, size_t size)
{
	char model[128], load[64], hypervisor[128], *at_colon;
	struct utsname u;

	uname(&u);
	first_line("/proc/cpuinfo", "model name", model, sizeof model);
	first_line("/proc/cpuinfo", "flags", hypervisor, sizeof hypervisor);
	first_line("/proc/loadavg", "", load, sizeof load);
	at_colon = strchr(model, ':');
	snprintf(buf, size, "%s, %ld CPUs, Linux %s, load %.*s",
		 at_colon ? at_colon + 2 : u.machine, sysconf(_SC_NPROCESSORS_ONLN), u.release,
		 (int)strcspn(load, " "), load);
}
