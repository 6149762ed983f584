/* SPDX-License-Identifier: MIT
 * opend.conf: what is accepted is printed and reads back to the same; what is not, has an error and
 * changes nothing. */
#include "fuzz.h"
#include "policy/settings.h"

static int read_settings(const char *text, size_t len, struct settings *ret)
{
	_cleanup_free_ char *shown = NULL;
	struct diags d = { 0 };
	size_t shown_len;
	FILE *f = open_memstream(&shown, &shown_len);
	int r = settings_parse("fuzz", text, len, ret, &d);

	REQUIRE(r == (d.n_errors ? -EBADMSG : 0));
	diags_print(&d, f, false);
	diags_print_summary(&d, f);
	fclose(f);
	for (size_t i = 0; i < shown_len; i++)
		REQUIRE(shown[i] == '\n' || (unsigned char)shown[i] >= ' ');
	diags_deinit(&d);
	return r;
}

static char *print(const struct settings *s, size_t *ret_len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_len);

	REQUIRE(settings_print(s, f) == 0);
	fclose(f);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = exactly(data, size), *once = NULL, *twice = NULL;
	struct settings s, again, untouched;
	size_t len, len2;

	memset(&s, 0xa5, sizeof s);
	memcpy(&untouched, &s, sizeof s);
	if (read_settings(text, size, &s) < 0) {
		REQUIRE(memcmp(&s, &untouched, sizeof s) == 0);
		return 0;
	}
	once = print(&s, &len);
	REQUIRE(read_settings(once, len, &again) == 0);
	twice = print(&again, &len2);
	REQUIRE(len == len2 && memcmp(once, twice, len) == 0);
	return 0;
}
