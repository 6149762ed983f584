/* SPDX-License-Identifier: MIT
 * The library as a stranger meets it: the header compiles alone in every language it promises, and
 * what it declares, what the map lists and what the shared library exports are one and the same. */
#include <check.h>
#include <ctype.h>
#include <sys/wait.h>
#include "util.h"

#define HEADER "client/include/openc.h"
#define MAP    "client/lib/libopenc.map"
/* What was released: each symbol's version and prototype. */
#define SYMBOLS "tests/unit/libopenc.symbols"

enum { NAMES_MAX = 128, NAME_LEN = 320 };

struct names {
	char name[NAMES_MAX][NAME_LEN];
	size_t n;
};

/* Also fails when the command prints a warning. */
static int run(const char *command)
{
	FILE *p = popen(command, "re");
	char line[512];
	int noise = 0, status;

	ck_assert(p != NULL);
	while (fgets(line, sizeof line, p)) {
		fputs(line, stderr);
		noise++;
	}
	status = pclose(p);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 && !noise ? 0 : -1;
}

static int compile(const char *compiler, const char *language)
{
	char command[512];

	snprintf(command, sizeof command,
		 "printf '#include \"openc.h\"\\nint main(void) { return openc_version() == 0; "
		 "}\\n' "
		 "| %s -x %s -pedantic-errors -Wall -Wextra -Werror -I client/include "
		 "-fsyntax-only - 2>&1",
		 compiler, language);
	return run(command);
}

static const char *c_compiler(void)
{
	const char *cc = getenv("CC");

	return cc && *cc ? cc : "cc";
}

START_TEST(the_header_compiles_alone_as_c)
{
	static const char *const languages[] = { "c -std=c99", "c -std=c11", "c -std=c17",
						 "c -std=gnu11 -D_FORTIFY_SOURCE=2 -O2" };

	for (size_t i = 0; i < ELEMENTSOF(languages); i++)
		ck_assert_msg(compile(c_compiler(), languages[i]) == 0, "%s", languages[i]);
}
END_TEST

START_TEST(the_header_compiles_alone_as_cxx)
{
	static const char *const languages[] = { "c++ -std=c++11", "c++ -std=c++17" };

	if (system("command -v c++ >/dev/null") != 0) {
		printf("SKIP: %s: there is no C++ compiler here\n", __func__);
		return;
	}
	for (size_t i = 0; i < ELEMENTSOF(languages); i++)
		ck_assert_msg(compile("c++", languages[i]) == 0, "%s", languages[i]);
}
END_TEST

/* ---- symbols ---- */

static void add_name(struct names *names, const char *name, size_t len)
{
	for (size_t i = 0; i < names->n; i++)
		if (strlen(names->name[i]) == len && memcmp(names->name[i], name, len) == 0)
			return;
	ck_assert(names->n < NAMES_MAX && len < NAME_LEN);
	memcpy(names->name[names->n], name, len);
	names->name[names->n++][len] = 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void sort(struct names *names)
{
	qsort(names->name, names->n, NAME_LEN, by_name);
}

static bool starts_a_name(const char *text, const char *p)
{
	return strncmp(p, "openc", 5) == 0 &&
	       (p == text || !(isalnum((unsigned char)p[-1]) || p[-1] == '_'));
}

static size_t name_length(const char *p)
{
	size_t len = 0;

	while (isalnum((unsigned char)p[len]) || p[len] == '_')
		len++;
	return len;
}

/* The header without its comments. */
static char *read_header(void)
{
	static char text[65536];
	_cleanup_fclose_ FILE *f = fopen(HEADER, "re");
	char *comment;

	ck_assert(f != NULL);
	text[fread(text, 1, sizeof text - 1, f)] = 0;
	while ((comment = strstr(text, "/*"))) {
		char *end = strstr(comment, "*/");

		ck_assert(end != NULL);
		memset(comment, ' ', (size_t)(end + 2 - comment));
	}
	return text;
}

/* What stands before "(". */
static void names_of_header(struct names *names)
{
	const char *text = read_header();

	for (const char *p = text; *p; p++) {
		size_t len = name_length(p);

		if (starts_a_name(text, p) && p[len] == '(')
			add_name(names, p, len);
	}
	sort(names);
}

/* A name and ";" on a line of its own. The one pattern is the local rest. */
static void names_of_map(struct names *names)
{
	_cleanup_fclose_ FILE *f = fopen(MAP, "re");
	bool local = false;
	char line[128];

	ck_assert(f != NULL);
	while (fgets(line, sizeof line, f)) {
		const char *p = line + strspn(line, " \t");
		size_t len = name_length(p);

		local = local || strncmp(p, "local:", 6) == 0;
		if (len && p[len] == ';')
			add_name(names, p, len);
		else if (strchr(p, ';') && *p != '}')
			ck_assert_msg(local && strcmp(p, "*;\n") == 0, "a pattern: %s", line);
	}
	sort(names);
}

/* Defined and dynamic, each with its version, which is kept where asked for. */
static void names_of_library(struct names *names, bool versions)
{
	const char *build = getenv("BUILD");
	char command[256], line[256], type;
	FILE *p;

	ck_assert_msg(build != NULL, "BUILD is not set");
	snprintf(command, sizeof command, "nm -D --defined-only %s/libopenc.so.0", build);
	p = popen(command, "re");
	ck_assert(p != NULL);
	while (fgets(line, sizeof line, p)) {
		char name[128];

		ck_assert(sscanf(line, "%*x %c %127s", &type, name) == 2);
		if (type == 'A')
			continue; /* the version itself */
		ck_assert_msg(strstr(name, "@@LIBOPENC_"), "%s has no version", name);
		add_name(names, name, versions ? strlen(name) : strcspn(name, "@"));
	}
	ck_assert_int_eq(pclose(p), 0);
	sort(names);
}

static void same(const struct names *a, const struct names *b, const char *what)
{
	for (size_t i = 0; i < UTIL_MAX(a->n, b->n); i++)
		ck_assert_msg(i < a->n && i < b->n && strcmp(a->name[i], b->name[i]) == 0,
			      "%s differ at %s and %s", what, i < a->n ? a->name[i] : "the end",
			      i < b->n ? b->name[i] : "the end");
}

START_TEST(header_map_and_library_have_the_same_symbols)
{
	struct names header = { .n = 0 }, map = { .n = 0 }, library = { .n = 0 };

	names_of_header(&header);
	names_of_map(&map);
	names_of_library(&library, false);
	ck_assert_uint_ge(header.n, 22);
	same(&header, &map, "header and map");
	same(&map, &library, "map and library");
}
END_TEST

/* The declaration that `name` stands in, with single blanks, behind `version`. */
static void add_prototype(struct names *names, const char *version, const char *text,
			  const char *name)
{
	const char *begin = name, *end = strchr(name, ';');
	char line[NAME_LEN];
	size_t len = (size_t)snprintf(line, sizeof line, "%s ", version);

	ck_assert(end != NULL);
	while (begin > text && !strchr(";{}", begin[-1]) && begin[-1] != '\n')
		begin--;
	for (; begin < end; begin++) {
		ck_assert(len < sizeof line - 1);
		if (!isspace((unsigned char)*begin))
			line[len++] = *begin;
		else if (line[len - 1] != ' ')
			line[len++] = ' ';
	}
	add_name(names, line, len);
}

/* "VERSION PROTOTYPE" of all that the library exports. */
static void prototypes(struct names *names)
{
	const char *text = read_header();
	struct names library = { .n = 0 };

	names_of_library(&library, true);
	for (size_t i = 0; i < library.n; i++) {
		char *version = strstr(library.name[i], "@@");
		const char *p = text;

		*version = 0;
		while ((p = strstr(p, library.name[i])) &&
		       !(starts_a_name(text, p) && p[strlen(library.name[i])] == '('))
			p++;
		ck_assert_msg(p != NULL, "%s is not declared", library.name[i]);
		add_prototype(names, version + 2, text, p);
	}
	sort(names);
}

/* Programs are linked with the version of a symbol, and trust that it stays what it was. */
START_TEST(a_released_symbol_stays_as_it_is)
{
	_cleanup_fclose_ FILE *f = fopen(SYMBOLS, "re");
	struct names released = { .n = 0 }, now = { .n = 0 };
	char line[NAME_LEN];

	ck_assert(f != NULL);
	while (fgets(line, sizeof line, f))
		if (line[0] != '#')
			add_name(&released, line, strcspn(line, "\n"));
	sort(&released);
	prototypes(&now);
	for (size_t i = 0; i < UTIL_MAX(released.n, now.n); i++)
		ck_assert_msg(
			i < released.n && i < now.n && strcmp(released.name[i], now.name[i]) == 0,
			"released: %s\nnow: %s\nA symbol that was released does not change. A "
			"new one, or a changed one under its old name, gets a new version in " MAP
			" and a line in " SYMBOLS ".",
			i < released.n ? released.name[i] : "(the end)",
			i < now.n ? now.name[i] : "(the end)");
}
END_TEST

START_TEST(the_library_needs_libc_only)
{
	char command[512];

	ck_assert_msg(getenv("BUILD") != NULL, "BUILD is not set");
	if (getenv("SANITIZE") && *getenv("SANITIZE")) {
		printf("SKIP: %s: a sanitizer brings libraries of its own\n", __func__);
		return;
	}
	snprintf(command, sizeof command,
		 "readelf -d %s/libopenc.so.0 | grep NEEDED | grep -v 'libc\\.so\\|ld-linux'; "
		 "readelf -d %s/libopenc.so.0 | grep -q 'SONAME.*libopenc\\.so\\.0'",
		 getenv("BUILD"), getenv("BUILD"));
	ck_assert_int_eq(run(command), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("client-header");
	TCase *t = tcase_create("a stranger's view");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, the_header_compiles_alone_as_c);
	tcase_add_test(t, the_header_compiles_alone_as_cxx);
	tcase_add_test(t, header_map_and_library_have_the_same_symbols);
	tcase_add_test(t, a_released_symbol_stays_as_it_is);
	tcase_add_test(t, the_library_needs_libc_only);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
