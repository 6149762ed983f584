/* SPDX-License-Identifier: MIT
 * What the fuzzers learned, replayed without a fuzzer: each file of the corpus as it is, and those
 * that were written by hand also cut off at every place and with every byte changed. A target
 * aborts on anything that it does not like. Linked with each target once; the program's name says
 * whose corpus it is. */
#include <check.h>
#include <dirent.h>
#include "fuzz.h"

enum { FILE_MAX = 65536, LONG = 256 };

/* Every place, but of a long file some hundreds. */
static size_t next(size_t at, size_t len)
{
	return at + (len > LONG ? len / 256 : 1);
}

static size_t read_file(int dir, const char *name, uint8_t *buf)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, buf, FILE_MAX);

	ck_assert_msg(n >= 0 && n < FILE_MAX, "%s", name);
	return (size_t)n;
}

/* libFuzzer calls what it finds by its hash. */
static bool is_found(const char *name)
{
	return strlen(name) == 40 && strspn(name, "0123456789abcdef") == 40;
}

static size_t for_each_file(bool found, void (*run)(const uint8_t *data, size_t len))
{
	static uint8_t buf[FILE_MAX];
	const char *target = strchr(program_invocation_short_name, '-');
	struct dirent *e;
	char path[256];
	size_t n = 0;
	DIR *d;

	ck_assert_ptr_nonnull(target);
	snprintf(path, sizeof path, "tests/fuzz/corpus/%s", target + 1);
	d = opendir(path);
	ck_assert_msg(d, "%s: run the tests from the top of the tree", path);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.' || is_found(e->d_name) > found)
			continue;
		run(buf, read_file(dirfd(d), e->d_name, buf));
		n++;
	}
	closedir(d);
	return n;
}

static void whole(const uint8_t *data, size_t len)
{
	LLVMFuzzerTestOneInput(data, len);
}

static void cut(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i = next(i, len))
		LLVMFuzzerTestOneInput(data, i);
}

static void changed(const uint8_t *data, size_t len)
{
	static const uint8_t bytes[] = { 0, '\n', '"', '\\', '*', '[', ',', '/', '~', 0xff };
	static uint8_t copy[FILE_MAX];

	memcpy(copy, data, len);
	for (size_t i = 0; i < len; i = next(i, len)) {
		copy[i] = bytes[i % sizeof bytes];
		LLVMFuzzerTestOneInput(copy, len);
		copy[i] = data[i];
	}
}

START_TEST(the_corpus)
{
	ck_assert_uint_ge(for_each_file(true, whole), 5);
}
END_TEST

START_TEST(the_corpus_cut_off)
{
	ck_assert_uint_ge(for_each_file(false, cut), 1);
}
END_TEST

START_TEST(the_corpus_changed)
{
	ck_assert_uint_ge(for_each_file(false, changed), 1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { the_corpus, the_corpus_cut_off, the_corpus_changed };
	Suite *suite = suite_create(program_invocation_short_name);
	TCase *tc = tcase_create("replay");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120);
	for (size_t i = 0; i < ELEMENTSOF(tests); i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
