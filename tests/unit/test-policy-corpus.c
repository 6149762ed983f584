/* SPDX-License-Identifier: MIT
 * What the fuzzer learned, replayed: each file of the corpus as it is, and those that were written
 * by hand also cut off at every place and with every byte changed. The fuzz target aborts on
 * anything that it does not like. */
#include <dirent.h>
#include "test-policy.h"
#include "../fuzz/fuzz-policy.c"

#define CORPUS "tests/fuzz/corpus/policy"

static size_t read_file(const char *name, uint8_t *buf, size_t size)
{
	char path[512];
	size_t len;
	FILE *f;

	snprintf(path, sizeof path, CORPUS "/%s", name);
	f = fopen(path, "r");
	ck_assert_msg(f, "%s", path);
	len = fread(buf, 1, size, f);
	ck_assert_int_eq(fclose(f), 0);
	return len;
}

/* libFuzzer calls what it finds by its hash. */
static bool is_found(const char *name)
{
	return strlen(name) == 40 && strspn(name, "0123456789abcdef") == 40;
}

static size_t for_each_file(bool found, void (*run)(const uint8_t *data, size_t len))
{
	static uint8_t buf[65536];
	DIR *d = opendir(CORPUS);
	struct dirent *e;
	size_t n = 0;

	ck_assert_msg(d, CORPUS ": run the tests from the top of the tree");
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.' || is_found(e->d_name) > found)
			continue;
		run(buf, read_file(e->d_name, buf, sizeof buf));
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
	for (size_t i = 0; i < len; i++)
		LLVMFuzzerTestOneInput(data, i);
}

static void changed(const uint8_t *data, size_t len)
{
	static const uint8_t bytes[] = { 0, '\n', '"', '\\', '*', '[', ',', '/', '~', 0xff };
	static uint8_t copy[65536];

	memcpy(copy, data, len);
	for (size_t i = 0; i < len; i++) {
		copy[i] = bytes[i % sizeof bytes];
		LLVMFuzzerTestOneInput(copy, len);
		copy[i] = data[i];
	}
}

START_TEST(the_corpus)
{
	ck_assert_uint_ge(for_each_file(true, whole), 100);
}
END_TEST

START_TEST(the_corpus_cut_off)
{
	for_each_file(false, cut);
}
END_TEST

START_TEST(the_corpus_changed)
{
	for_each_file(false, changed);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { the_corpus, the_corpus_cut_off, the_corpus_changed };

	return run_case("policy-corpus", tests, ELEMENTSOF(tests), 120);
}
