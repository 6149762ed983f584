/* SPDX-License-Identifier: MIT
 * opend.conf: what it sets, what it refuses and where it says so, which file counts, and that
 * opend.conf(5) tells names, ranges and defaults as they are. */
#include <fcntl.h>
#include <sys/stat.h>
#include "policy/settings.h"
#include "test-policy.h"

#define PAGE "man/opend.conf.5"

static char top[64], *page;

static void setup(void)
{
	FILE *f = fopen(PAGE, "r");
	size_t room = 0;

	ck_assert_msg(f != NULL, "%s is not here", PAGE);
	ck_assert_int_gt(getdelim(&page, &room, 0, f), 0);
	fclose(f);
	strcpy(top, "/tmp/opend-settings-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	ck_assert_int_eq(mkdir("etc", 0755), 0);
	ck_assert_int_eq(mkdir("run", 0755), 0);
}

static void teardown(void)
{
	char command[96];

	free(page);
	snprintf(command, sizeof command, "rm -rf %s", top);
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(system(command), 0);
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	ck_assert_int_eq(chmod(name, 0644), 0);
}

static const char *const two[] = { "etc/opend.conf", "run/opend.conf", NULL };

/* All settings as one string: also what the padding of the struct cannot spoil. */
static char *shown(const struct settings *s)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(settings_print(s, f), 0);
	ck_assert_int_eq(fclose(f), 0);
	return text;
}

static bool same(const struct settings *a, const struct settings *b)
{
	_cleanup_free_ char *x = shown(a), *y = shown(b);

	return strcmp(x, y) == 0;
}

static struct settings defaults(void)
{
	struct settings s;

	settings_default(&s);
	return s;
}

static struct settings parses(const char *text)
{
	struct settings s = { 0 };
	struct diags d = { 0 };
	int r = settings_parse("c", text, strlen(text), &s, &d);
	_cleanup_free_ char *out = printed(&d);

	ck_assert_msg(r == 0, "%s: %s", text, out);
	ck_assert_str_eq(out, "");
	diags_deinit(&d);
	return s;
}

/* Parses what must fail and leave the settings as they were; returns what is printed. */
static char *fails_len(const char *text, size_t len)
{
	struct settings s = { .connections = 7, .explain_full = true }, before = s;
	struct diags d = { 0 };
	char *out;

	ck_assert_int_eq(settings_parse("c", text, len, &s, &d), -EBADMSG);
	ck_assert_uint_ge(d.n_errors, 1);
	ck_assert(same(&s, &before));
	out = printed(&d);
	diags_deinit(&d);
	return out;
}

static void fails(const char *text, const char *wanted)
{
	_cleanup_free_ char *out = fails_len(text, strlen(text));

	ck_assert_msg(strstr(out, wanted), "%s\nwanted: %s\nsaid: %s", text, wanted, out);
}

START_TEST(the_defaults_are_those_of_the_design)
{
	struct settings s = defaults();

	ck_assert(!s.require_landlock && !s.explain_full);
	ck_assert_uint_eq(s.poll_usec, 20);
	ck_assert_uint_eq(s.connections, 16384);
	ck_assert_uint_eq(s.connections_per_user, 64);
	ck_assert_uint_eq(s.workers_per_user, 8);
	ck_assert_uint_eq(s.stuck_per_user, 4);
	ck_assert_uint_eq(s.frame_seconds, 10);
	ck_assert_uint_eq(s.denials_burst, 20);
	ck_assert_uint_eq(s.denials_per_second, 10);
	ck_assert_uint_eq(s.idle_seconds, 60);
	ck_assert_uint_eq(s.birth_pause_seconds, 10);
}
END_TEST

START_TEST(each_setting_sets_its_own_field)
{
	struct settings s = parses("set require-landlock yes\n"
				   "set explain full # tell all\n"
				   "\tset  poll-usec\t0\n"
				   "\n# a comment\n"
				   "set connections 101\n"
				   "set connections-per-user 102\n"
				   "set workers-per-user 103\n"
				   "set stuck-per-user 104\n"
				   "set frame-seconds 105\n"
				   "set denials-burst 106\n"
				   "set denials-per-second 107\n"
				   "set idle-seconds 108\n"
				   "set birth-pause-seconds 109");

	ck_assert(s.require_landlock && s.explain_full);
	ck_assert_uint_eq(s.poll_usec, 0);
	ck_assert_uint_eq(s.connections, 101);
	ck_assert_uint_eq(s.connections_per_user, 102);
	ck_assert_uint_eq(s.workers_per_user, 103);
	ck_assert_uint_eq(s.stuck_per_user, 104);
	ck_assert_uint_eq(s.frame_seconds, 105);
	ck_assert_uint_eq(s.denials_burst, 106);
	ck_assert_uint_eq(s.denials_per_second, 107);
	ck_assert_uint_eq(s.idle_seconds, 108);
	ck_assert_uint_eq(s.birth_pause_seconds, 109);
}
END_TEST

START_TEST(what_is_not_set_is_the_default)
{
	struct settings s = parses(""), d = defaults();

	ck_assert(same(&s, &d));
	s = parses("set connections 5\nset explain brief\nset require-landlock no\n");
	d.connections = 5;
	ck_assert(same(&s, &d));
}
END_TEST

START_TEST(what_is_printed_reads_back)
{
	struct settings s = defaults(), back;
	_cleanup_free_ char *text = shown(&s), *again = NULL;

	back = parses(text);
	ck_assert(same(&s, &back));
	s = parses("set require-landlock yes\nset explain full\nset poll-usec 1000\n"
		   "set idle-seconds 86400\nset denials-burst 1\n");
	again = shown(&s);
	ck_assert_str_ne(text, again);
	back = parses(again);
	ck_assert(same(&s, &back));
	ck_assert(back.require_landlock && back.explain_full);
	ck_assert_uint_eq(back.idle_seconds, 86400);
}
END_TEST

START_TEST(a_full_disk_is_told)
{
	struct settings s = defaults();
	FILE *f = fopen("/dev/full", "w");

	ck_assert_ptr_nonnull(f);
	setvbuf(f, NULL, _IONBF, 0);
	ck_assert_int_eq(settings_print(&s, f), -EIO);
	fclose(f);
}
END_TEST

START_TEST(both_ends_of_each_range_are_in_it)
{
	const struct setting_info *info;
	size_t n = 0;

	for (; (info = setting_info(n)); n++) {
		char text[128], wanted[128];
		const unsigned ends[] = { info->min, info->max };

		ck_assert(info->reloadable && info->description);
		ck_assert((info->unit == NULL) == (info->words != NULL));
		ck_assert(info->min <= info->normal && info->normal <= info->max);
		for (size_t i = 0; i < 2; i++) {
			snprintf(text, sizeof text, "set %s %u\n", info->name, ends[i]);
			if (info->words)
				snprintf(text, sizeof text, "set %s %s\n", info->name,
					 info->words[ends[i]]);
			parses(text);
		}
		if (info->words)
			continue;
		snprintf(wanted, sizeof wanted, "%s is out of range: %u to %u %s", info->name,
			 info->min, info->max, info->unit);
		snprintf(text, sizeof text, "set %s %u\n", info->name, info->max + 1);
		fails(text, wanted);
		if (info->min == 0)
			continue;
		snprintf(text, sizeof text, "set %s %u\n", info->name, info->min - 1);
		fails(text, wanted);
	}
	ck_assert_uint_eq(n, 12);
}
END_TEST

START_TEST(numbers_are_decimal_digits)
{
	static const char *const bad[] = { "-1",  "+1",	  "1e3",  "010",   "00",     "0x10", "1.0",
					   "1,0", "1k",	  "yes",  "\"1\"", "\\1",    "''",   "\"\"",
					   "1_0", "\xb2", "many", "1,",	   "\"1 0\"" };

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		char text[64];

		snprintf(text, sizeof text, "set connections %s\n", bad[i]);
		fails(text, "c:1:17: error: connections takes a whole number, in decimal digits");
		fails(text, "1 to 65536 connections");
	}
}
END_TEST

START_TEST(numbers_do_not_wrap)
{
	static const char *const bad[] = {
		"65537",      "4294967295",	      "4294967296",
		"4294967297", "18446744073709551617", "10000000000000000000000000000000000000001"
	};

	for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
		char text[96];

		snprintf(text, sizeof text, "set connections %s\n", bad[i]);
		fails(text, "c:1:17: error: connections is out of range: 1 to 65536 connections");
	}
	fails("set connections 0\n", "connections is out of range: 1 to 65536 connections");
}
END_TEST

START_TEST(words_are_known_ones)
{
	fails("set require-landlock true\n",
	      "c:1:22: error: require-landlock does not know the value \"true\"\n");
	fails("set require-landlock true\n", "^~~~ no or yes");
	fails("set require-landlock \"yes\"\n", "does not know the value");
	fails("set require-landlock Yes\n", "does not know the value \"Yes\"");
	fails("set require-landlock 1\n", "does not know the value \"1\"");
	fails("set explain yes\n", "brief or full");
}
END_TEST

START_TEST(unknown_names_are_errors_with_advice)
{
	fails("# all of it\nset conections 500\n",
	      "c:2:5: error: unknown setting \"conections\"\n"
	      "    2 | set conections 500\n"
	      "      |     ^~~~~~~~~~ did you mean \"connections\"?\n");
	fails("set poll_usec 5\n", "did you mean \"poll-usec\"?");
	fails("set Explain full\n", "did you mean \"explain\"?");
	fails("set \"explain\" full\n", "unknown setting");
	fails("set colour blue\n", "c:1:5: error: unknown setting \"colour\"\n");
	fails("sett explain full\n", "c:1:1: error: unknown word \"sett\"");
	fails("sett explain full\n", "did you mean \"set\"?");
	fails("connections 5\n", "\"set\" is missing before a name");
	fails("[limits]\n", "unknown word \"[limits]\"");
}
END_TEST

START_TEST(half_and_overlong_lines_are_errors)
{
	fails("set\n", "c:1:4: error: the setting's name is missing");
	fails("set connections\n", "c:1:16: error: the value of connections is missing");
	fails("set connections\n", "1 to 65536 connections");
	fails("set connections = 5\n", "c:1:17: error: no \"=\" stands in a setting");
	fails("set connections 5 6\n", "c:1:19: error: unexpected word behind the value");
	fails("set connections 5 set explain full\n", "a line sets one value");
}
END_TEST

START_TEST(rules_have_their_own_files)
{
	fails("allow read file /k to anyone\n", "c:1:1: error: rules belong into policy.d");
	fails("deny any file /k to anyone\n", "rules belong into policy.d");
	fails("expect deny read /k for user 1\n", "rules belong into policy.d");
}
END_TEST

START_TEST(a_setting_is_set_once)
{
	fails("set explain full\n\nset explain full\n",
	      "c:3:5: error: explain is set twice, first at c:1");
	/* A value that is wrong is a first place as well. */
	fails("set explain fool\nset explain full\n", "c:2:5: error: explain is set twice");
}
END_TEST

START_TEST(all_mistakes_are_shown)
{
	_cleanup_free_ char *out = NULL;
	const char *text = "set connections 0\nset explain\nset explian full\nset poll-usec 1\n";

	out = fails_len(text, strlen(text));
	ck_assert_ptr_nonnull(strstr(out, "c:1:17: error:"));
	ck_assert_ptr_nonnull(strstr(out, "c:2:12: error:"));
	ck_assert_ptr_nonnull(strstr(out, "c:3:5: error:"));
	ck_assert_ptr_null(strstr(out, "c:4:"));
}
END_TEST

START_TEST(bytes_that_no_text_holds_are_errors)
{
	static const char nul[] = "set connections 5\0\n";
	_cleanup_free_ char *out = fails_len(nul, sizeof nul - 1);

	ck_assert_msg(strstr(out, "c:1:18: error: NUL byte"), "%s", out);
	fails("set connections 5\r\n", "carriage return (CRLF line end)");
	fails("set connections \0335\n", "control byte");
	fails("set connections \"5\n", "unclosed quote");
}
END_TEST

START_TEST(a_line_of_a_mebibyte_is_an_error)
{
	enum { LEN = 1 << 20 };
	char *text = malloc(LEN + 1);

	ck_assert_ptr_nonnull(text);
	memset(text, '5', LEN);
	memcpy(text, "set connections ", 16);
	text[LEN] = 0;
	fails(text, "c:1:65537: error: line longer than 65536 bytes");
	memset(text, ' ', LEN - 1);
	text[0] = '#';
	fails(text, "line longer than 65536 bytes");
	free(text);
}
END_TEST

/* ---- files ---- */

static int load(struct settings *s, char **out)
{
	struct diags d = { 0 };
	int r = settings_load(two, geteuid(), s, &d);

	ck_assert((r == -EBADMSG) == (d.n_errors > 0));
	*out = printed(&d);
	diags_deinit(&d);
	return r;
}

/* How many connections the files allow. */
static unsigned loads(void)
{
	struct settings s = { 0 };
	_cleanup_free_ char *out = NULL;
	int r = load(&s, &out);

	ck_assert_msg(r == 0, "%s", out);
	ck_assert_uint_eq(s.poll_usec, 20);
	return s.connections;
}

static void refuses(const char *wanted)
{
	struct settings s = { .connections = 7 }, before = s;
	_cleanup_free_ char *out = NULL;

	ck_assert_int_eq(load(&s, &out), -EBADMSG);
	ck_assert_msg(strstr(out, wanted), "wanted: %s\nsaid: %s", wanted, out);
	ck_assert(same(&s, &before));
}

START_TEST(the_first_file_that_exists_counts_alone)
{
	ck_assert_uint_eq(loads(), 16384);
	put("run/opend.conf", "set connections 5\n");
	ck_assert_uint_eq(loads(), 5);
	put("etc/opend.conf", "set idle-seconds 9\n");
	ck_assert_uint_eq(loads(), 16384);
	put("etc/opend.conf", "set connections 6\n");
	put("run/opend.conf", "this is never read\n");
	ck_assert_uint_eq(loads(), 6);
	put("etc/opend.conf", "");
	ck_assert_uint_eq(loads(), 16384);
}
END_TEST

START_TEST(a_directory_that_is_missing_holds_no_file)
{
	ck_assert_int_eq(rmdir("etc"), 0);
	put("run/opend.conf", "set connections 5\n");
	ck_assert_uint_eq(loads(), 5);
	put("etc", "a file");
	refuses("etc/opend.conf: error: cannot open: Not a directory");
}
END_TEST

START_TEST(a_path_may_be_bare_or_below_the_root)
{
	static const char *const paths[] = { "/no-such-opend.conf", "opend.conf", NULL };
	struct settings s;
	struct diags d = { 0 };

	put("opend.conf", "set connections 8\n");
	ck_assert_int_eq(settings_load(paths, geteuid(), &s, &d), 0);
	ck_assert_uint_eq(s.connections, 8);
	diags_deinit(&d);
}
END_TEST

START_TEST(a_link_to_dev_null_masks_and_other_links_are_refused)
{
	put("run/opend.conf", "set connections 5\n");
	ck_assert_int_eq(symlink("/dev/null", "etc/opend.conf"), 0);
	ck_assert_uint_eq(loads(), 16384);
	ck_assert_int_eq(unlink("etc/opend.conf"), 0);
	ck_assert_int_eq(symlink("../run/opend.conf", "etc/opend.conf"), 0);
	refuses("etc/opend.conf: error: a symbolic link; only a link to /dev/null");
	ck_assert_int_eq(unlink("etc/opend.conf"), 0);
	ck_assert_int_eq(symlink("nowhere", "etc/opend.conf"), 0);
	refuses("etc/opend.conf: error: a symbolic link");
}
END_TEST

START_TEST(mistakes_name_the_file_and_nothing_below_is_tried)
{
	put("run/opend.conf", "set connections 5\n");
	put("etc/opend.conf", "\nset connections x\n");
	refuses("etc/opend.conf:2:17: error: connections takes a whole number");
}
END_TEST

START_TEST(what_others_may_write_is_refused)
{
	static const struct {
		const char *path;
		mode_t mode;
		bool refused;
	} cases[] = {
		{ "etc/opend.conf", 0600, false },
		{ "etc/opend.conf", 0664, true },
		{ "etc/opend.conf", 0646, true },
		{ "etc/opend.conf", 0666, true },
		{ "etc", 0700, false },
		{ "etc", 0775, true },
		{ "etc", 0757, true },
		{ "etc", 01777, true },
	};

	put("etc/opend.conf", "set connections 5\n");
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		ck_assert_int_eq(chmod("etc", 0755), 0);
		ck_assert_int_eq(chmod("etc/opend.conf", 0644), 0);
		ck_assert_int_eq(chmod(cases[i].path, cases[i].mode), 0);
		if (cases[i].refused)
			refuses(": error: others than its owner may write it; chmod go-w");
		else
			ck_assert_uint_eq(loads(), 5);
	}
}
END_TEST

START_TEST(what_is_no_file_is_refused_and_waits_for_nobody)
{
	ck_assert_int_eq(mkdir("etc/opend.conf", 0755), 0);
	refuses("etc/opend.conf: error: a directory, where a file is wanted");
	ck_assert_int_eq(rmdir("etc/opend.conf"), 0);
	ck_assert_int_eq(mkfifo("etc/opend.conf", 0644), 0);
	refuses("etc/opend.conf: error: not a regular file");
	ck_assert_int_eq(unlink("etc/opend.conf"), 0);
	put("etc/opend.conf", "#");
	ck_assert_int_eq(truncate("etc/opend.conf", 16 * 1024 * 1024 + 1), 0);
	refuses("etc/opend.conf: error: larger than 16 MiB");
}
END_TEST

static bool needs_root(const char *test)
{
	if (geteuid() == 0)
		return false;
	printf("SKIP: %s: it changes owners, which takes root\n", test);
	fflush(stdout);
	return true;
}

START_TEST(a_foreign_owner_is_refused)
{
	if (needs_root("a_foreign_owner_is_refused"))
		return;
	put("etc/opend.conf", "set connections 5\n");
	ck_assert_int_eq(chown("etc/opend.conf", 1, 1), 0);
	refuses("etc/opend.conf: error: its owner could grant himself anything; chown root");
	ck_assert_int_eq(chown("etc/opend.conf", 0, 1), 0);
	ck_assert_uint_eq(loads(), 5);
	ck_assert_int_eq(chown("etc", 1, 1), 0);
	refuses("etc/: error: its owner could grant himself anything");
}
END_TEST

START_TEST(a_private_opend_trusts_its_user_and_root)
{
	if (needs_root("a_private_opend_trusts_its_user_and_root"))
		return;
	ck_assert_int_eq(chmod(top, 0755), 0);
	put("run/opend.conf", "set connections 5\n");
	ck_assert_int_eq(chown("etc", 1, 1), 0);
	ck_assert_int_eq(setresuid(1, 1, 0), 0);
	ck_assert_uint_eq(loads(), 5);
	put("etc/opend.conf", "set connections 6\n");
	ck_assert_uint_eq(loads(), 6);
	ck_assert_int_eq(setresuid(0, 0, 0), 0);
	refuses("error: its owner could grant himself anything");
}
END_TEST

START_TEST(what_cannot_be_read_is_an_error)
{
	bool root = geteuid() == 0;

	put("run/opend.conf", "set connections 5\n");
	put("etc/opend.conf", "set connections 6\n");
	ck_assert_int_eq(chmod("etc/opend.conf", 0), 0);
	ck_assert_int_eq(chmod(top, 0755), 0);
	if (root)
		ck_assert_int_eq(setresuid(1, 1, 0), 0);
	refuses("etc/opend.conf: error: cannot open: Permission denied");
	if (root)
		ck_assert_int_eq(setresuid(0, 0, 0), 0);
	ck_assert_int_eq(chmod("etc", 0600), 0);
	if (root)
		ck_assert_int_eq(setresuid(1, 1, 0), 0);
	refuses("etc/opend.conf: error: cannot open: Permission denied");
	if (root)
		ck_assert_int_eq(setresuid(0, 0, 0), 0);
	ck_assert_int_eq(chmod("etc", 0700), 0);
}
END_TEST

static int count_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

START_TEST(no_descriptor_is_left)
{
	int before = count_descriptors();

	ck_assert_uint_eq(loads(), 16384);
	put("run/opend.conf", "set connections 5\n");
	ck_assert_uint_eq(loads(), 5);
	ck_assert_int_eq(mkdir("etc/opend.conf", 0755), 0);
	refuses("a directory");
	ck_assert_int_eq(chmod("etc", 0777), 0);
	refuses("others than its owner");
	ck_assert_int_eq(count_descriptors(), before);
}
END_TEST

/* ---- the page ---- */

START_TEST(the_page_lists_each_setting_as_it_is)
{
	const char *at = strstr(page, ".Sh SETTINGS\n"), *end, *item;
	const struct setting_info *info;

	ck_assert_ptr_nonnull(at);
	end = strstr(at, ".Sh DIAGNOSTICS\n");
	ck_assert_ptr_nonnull(end);
	for (size_t i = 0; (info = setting_info(i)); i++) {
		char wanted[256], got[256];
		const char *values;

		item = strstr(at, "\n.It Cm ");
		ck_assert_msg(item && item < end, "%s is not there", info->name);
		snprintf(wanted, sizeof wanted, "\n.It Cm %s Ar %s\n", info->name,
			 info->words ? "word" : "number");
		ck_assert_msg(strncmp(item, wanted, strlen(wanted)) == 0, "wanted:%s", wanted);
		if (info->words)
			snprintf(wanted, sizeof wanted, ".br\nValues: %s or %s.\nDefault: %s.\n.",
				 info->words[0], info->words[1], info->words[info->normal]);
		else
			snprintf(wanted, sizeof wanted,
				 ".br\nValues: %u to %u %s.\nDefault: %u.\n.", info->min, info->max,
				 info->unit, info->normal);
		values = strstr(item, "\n.br\nValues: ");
		ck_assert_ptr_nonnull(values);
		snprintf(got, sizeof got, "%.*s", (int)strlen(wanted), values + 1);
		ck_assert_str_eq(got, wanted);
		at = values;
	}
	item = strstr(at, "\n.It Cm ");
	ck_assert_msg(!item, "the page knows more: %.40s", item);
}
END_TEST

/* From behind a .Bd line to its .Ed line. */
static char *display(const char *from)
{
	const char *begin = strstr(from, "\n.Bd "), *end;

	ck_assert_ptr_nonnull(begin);
	begin = strchr(begin + 1, '\n') + 1;
	end = strstr(begin, ".Ed\n");
	ck_assert_ptr_nonnull(end);
	return strndup(begin, (size_t)(end - begin));
}

START_TEST(the_examples_of_the_page_are_true)
{
	_cleanup_free_ char *example = display(page);
	_cleanup_free_ char *message = display(strstr(page, ".Sh DIAGNOSTICS\n"));
	struct settings s = parses(example);
	struct diags d = { 0 };
	static const char bad[] = "\nset conections 500\n";

	ck_assert(s.require_landlock);
	ck_assert_uint_eq(s.connections_per_user, 256);
	ck_assert_int_eq(settings_parse("/etc/opend/opend.conf", bad, strlen(bad), &s, &d),
			 -EBADMSG);
	_cleanup_free_ char *out = printed(&d);
	ck_assert_str_eq(out, message);
	diags_deinit(&d);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		the_defaults_are_those_of_the_design,
		each_setting_sets_its_own_field,
		what_is_not_set_is_the_default,
		what_is_printed_reads_back,
		a_full_disk_is_told,
		both_ends_of_each_range_are_in_it,
		numbers_are_decimal_digits,
		numbers_do_not_wrap,
		words_are_known_ones,
		unknown_names_are_errors_with_advice,
		half_and_overlong_lines_are_errors,
		rules_have_their_own_files,
		a_setting_is_set_once,
		all_mistakes_are_shown,
		bytes_that_no_text_holds_are_errors,
		a_line_of_a_mebibyte_is_an_error,
		the_first_file_that_exists_counts_alone,
		a_directory_that_is_missing_holds_no_file,
		a_path_may_be_bare_or_below_the_root,
		a_link_to_dev_null_masks_and_other_links_are_refused,
		mistakes_name_the_file_and_nothing_below_is_tried,
		what_others_may_write_is_refused,
		what_is_no_file_is_refused_and_waits_for_nobody,
		a_foreign_owner_is_refused,
		a_private_opend_trusts_its_user_and_root,
		what_cannot_be_read_is_an_error,
		no_descriptor_is_left,
		the_page_lists_each_setting_as_it_is,
		the_examples_of_the_page_are_true,
	};

	umask(022);
	return run_case_with("settings", tests, ELEMENTSOF(tests), 20, setup, teardown);
}
