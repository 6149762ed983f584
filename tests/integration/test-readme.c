/* SPDX-License-Identifier: MIT
 * What a stranger does after "make install": takes the programs out of the README, compiles the one
 * as the README says, and runs both, each locked in its sandbox, with opend as the only way to a
 * file. And then uninstalls. */
#include "harness.h"

enum { LINES_MAX = 60 };

#define needs_stage()                                                                              \
	do {                                                                                       \
		if (!getenv("STAGE"))                                                              \
			skip("nothing is installed to look at; make check does that");             \
	} while (0)

static char *installed(const char *path)
{
	return text("%s/usr/local/%s", getenv("STAGE"), path);
}

static char *read_file(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	ensure(fd >= 0, "%s: %s", path, strerror(errno));
	return slurp(fd, NULL);
}

/* The README's code block in this language that holds `words`. */
static char *block(const char *language, const char *words)
{
	char *readme = read_file(installed("share/doc/opend/README.md"));
	const char *fence = text("\n```%s\n", language);

	for (char *p = readme; (p = strstr(p, fence));) {
		char *begin = p + strlen(fence), *end = strstr(begin, "\n```\n");

		ensure(end != NULL, "a block of %s does not end", language);
		end[1] = 0;
		if (strstr(begin, words))
			return begin;
		end[1] = '`';
		p = end;
	}
	ensure(false, "README.md has no %s with %s", language, words);
	return NULL;
}

/* It is the file that it says it is, and no longer than it says. */
static char *example(const char *language, const char *words, const char *file)
{
	char *program = block(language, words);
	size_t lines = 0;

	for (const char *p = program; *p; p++)
		lines += *p == '\n';
	ensure(lines <= LINES_MAX, "%zu lines", lines);
	ensure(!strcmp(program, read_file(installed(text("share/doc/opend/examples/%s", file)))),
	       "README.md and client/examples/%s differ", file);
	return make_file(at("data/%s", file), 0644, alice.uid, program);
}

static struct opend begin(void)
{
	make_file(at("data/granted"), 0644, alice.uid, "Hello from a file.\n");
	make_file(at("data/other"), 0644, alice.uid, "Not this one.\n");
	policy("10", "allow read file %s to user %u\n", at("data/granted"), alice.uid);
	return OPEND();
}

struct visit {
	const char *command, *says, *refused;
};

static void run_twice(void *arg)
{
	const struct visit *v = arg;
	struct program p = RUN("/bin/sh", "-c", text("%s %s", v->command, at("data/granted")));

	ensure(p.status == 0, "status %d: %s%s", p.status, p.out, p.err);
	ensure(strstr(p.out, v->says) && strstr(p.out, "Hello from a file.\n"), "it says: %s",
	       p.out);
	p = RUN("/bin/sh", "-c", text("%s %s", v->command, at("data/other")));
	ensure(p.status != 0 && strstr(p.err, v->refused), "status %d: %s%s", p.status, p.out,
	       p.err);
	ensure(!strstr(p.out, "Not this one"), "it says: %s", p.out);
}

START_TEST(the_program_in_c)
{
	const char *cc = getenv("CC"), *source, *program = at("data/locked");
	struct visit v = { .says = "open(2) returns -1\n", .refused = "no rule of the policy" };
	struct program p;
	struct opend o;

	needs_stage();
#ifndef __x86_64__
	skip("its filter is for x86-64");
#endif
	if (is_sanitized())
		skip("a sanitizer makes calls of its own");
	source = example("c", "lock_in(", "locked.c");
	p = RUN("/bin/sh", "-c",
		text("PKG_CONFIG_PATH=%s PKG_CONFIG_SYSROOT_DIR=%s; "
		     "export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR; "
		     "%s -Wall -Wextra -Werror -o %s %s $(pkg-config --cflags --libs libopenc)",
		     installed("lib/pkgconfig"), getenv("STAGE"), cc && *cc ? cc : "cc", program,
		     source));
	ensure(p.status == 0, "it does not compile: %s", p.err);
	o = begin();
	v.command =
		text("LD_LIBRARY_PATH=%s OPENC_SOCKET=%s %s", installed("lib"), o.socket, program);
	as(alice, run_twice, &v);
	opend_stop(&o);
}
END_TEST

START_TEST(the_program_in_python)
{
	struct visit v = { .says = "open(): Operation not permitted\n",
			   .refused = "PermissionError: [Errno 13] no rule of the policy" };
	struct program p;
	struct opend o;

	needs_stage();
#ifndef __x86_64__
	skip("its filter is for x86-64");
#endif
	if (RUN("/usr/bin/python3", "-c", "import ctypes").status)
		skip("there is no /usr/bin/python3 with ctypes here");
	example("python", "def lock_in(", "locked.py");
	/* Where make install put the module is where Python will look for it. */
	p = RUN("/bin/sh", "-c", text("find %s -name openc.py", getenv("STAGE")));
	ensure(p.out_len > 0, "openc.py is not installed");
	*strrchr(p.out, '/') = 0;
	ensure(strstr(RUN("/usr/bin/python3", "-c", "import sys; print(sys.path)").out,
		      text("'%s'", p.out + strlen(getenv("STAGE")))),
	       "%s is not where Python looks", p.out);
	o = begin();
	v.command =
		text("PYTHONPATH=%s PYTHONDONTWRITEBYTECODE=1 OPENC_SOCKET=%s /usr/bin/python3 %s",
		     p.out, o.socket, at("data/locked.py"));
	as(alice, run_twice, &v);
	opend_stop(&o);
}
END_TEST

START_TEST(uninstall_leaves_nothing)
{
	struct program p;

	needs_stage();
	ensure(RUN("cp", "-R", getenv("STAGE"), at("data/system")).status == 0, "cannot copy");
	p = RUN("make", "-s", text("BUILD=%s", getenv("BUILD")), "PREFIX=/usr/local",
		text("DESTDIR=%s", at("data/system")), "uninstall");
	ensure(p.status == 0, "%s", p.err);
	p = RUN("find", at("data/system"), "!", "-type", "d");
	ensure(p.out_len == 0, "it leaves:\n%s", p.out);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("readme");

	ADD(s, the_program_in_c, 60);
	ADD(s, the_program_in_python, 60);
	ADD_ROOT(s, uninstall_leaves_nothing, 60); /* once, also without root */
	return s;
}

int main(void)
{
	return harness_main("readme", suite);
}
