/* SPDX-License-Identifier: MIT
 * What opend-audit makes of a record: the sentence and the fields of each decision, whom they name,
 * what becomes of bytes that a client chose, and what is no record. */
#include <fcntl.h>
#include "test-audit.h"

#define CATALOG "systemd/opend.catalog"
#define PAGE	"man/opend-audit.8"

static struct entry entry;

static void make_entry(const struct audit_peer *who, const struct sample *s)
{
	char buf[AUDIT_RECORD_MAX];
	struct record rec;
	size_t size = encode(buf, s);

	ck_assert_int_eq(record_decode(buf, size, &rec), (int)size);
	entry_record(&entry, who, &rec);
}

/* ---- decisions ---- */

START_TEST(a_denial_is_told_in_a_sentence_and_in_fields)
{
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();

	make_entry(&who, &s);
	ck_assert_str_eq(entry.message.buf, "denied: uid 1000 may not read /srv/x: no rule of the "
					    "policy names this path (serial 4294967297)");
	ck_assert_str_eq(entry.fields.buf, "OPEND_DECISION=denial\n"
					   "OPEND_REASON=no-rule\n"
					   "OPEND_SERIAL=4294967297\n"
					   "OPEND_ACCESS=read\n"
					   "OPEND_ERRNO=13\n"
					   "OPEND_UID=1000\n"
					   "OPEND_GID=100\n"
					   "OPEND_GENERATION=7\n"
					   "OPEND_PATH=/srv/x\n"
					   "OPEND_VIA=main\n"
					   "OPEND_WORKER=4711\n");
	ck_assert_str_eq(entry.tail.buf, " reason=no-rule errno=13 gid=100 generation=7 via=main "
					 "worker=4711");
	ck_assert_int_eq(entry.priority, 5);
	ck_assert_str_eq(entry.id, MESSAGE_ID_DENIAL);
}
END_TEST

START_TEST(a_denial_names_the_rule_and_where_the_path_leads)
{
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();

	s.fixed.reason = WIRE_PLACE;
	s.rule = "a.policy:3";
	s.place = "/etc/shadow";
	make_entry(&who, &s);
	ck_assert_str_eq(entry.message.buf,
			 "denied: uid 1000 may not read /srv/x, which leads to /etc/shadow: a "
			 "symbolic link on the path leads to a place that no rule names (rule "
			 "a.policy:3, serial 4294967297)");
	ck_assert_ptr_nonnull(strstr(entry.fields.buf, "\nOPEND_REASON=place\n"));
	ck_assert_ptr_nonnull(strstr(entry.fields.buf, "\nOPEND_PLACE=/etc/shadow\n"));
	ck_assert_ptr_nonnull(strstr(entry.fields.buf, "\nOPEND_RULE=a.policy:3\n"));
}
END_TEST

START_TEST(what_the_kernel_said_is_named)
{
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();

	s.fixed.reason = WIRE_KERNEL;
	s.fixed.error = ENOENT;
	make_entry(&who, &s);
	ck_assert_ptr_nonnull(strstr(entry.message.buf, "(ENOENT, serial "));
	ck_assert_ptr_nonnull(strstr(entry.fields.buf, "\nOPEND_ERRNO=2\n"));
	s.fixed.error = 4000;
	make_entry(&who, &s);
	ck_assert_ptr_nonnull(strstr(entry.message.buf, " (serial "));
	ck_assert_ptr_nonnull(strstr(entry.fields.buf, "\nOPEND_ERRNO=4000\n"));
}
END_TEST

START_TEST(a_grant_is_told_in_a_sentence_and_in_fields)
{
	const struct audit_peer who = a_worker();
	struct sample s = a_grant();

	make_entry(&who, &s);
	ck_assert_str_eq(entry.message.buf,
			 "granted: uid 1000 may read,write /etc/ssl/site.key, which leads to "
			 "/etc/ssl/private/site.key as root (rule "
			 "/etc/opend/policy.d/60-nginx.policy:1, serial 4294967298)");
	ck_assert_str_eq(entry.fields.buf, "OPEND_DECISION=grant\n"
					   "OPEND_REASON=granted\n"
					   "OPEND_SERIAL=4294967298\n"
					   "OPEND_ACCESS=read,write\n"
					   "OPEND_AS=root\n"
					   "OPEND_UID=1000\n"
					   "OPEND_GID=100\n"
					   "OPEND_GENERATION=7\n"
					   "OPEND_PATH=/etc/ssl/site.key\n"
					   "OPEND_PLACE=/etc/ssl/private/site.key\n"
					   "OPEND_RULE=/etc/opend/policy.d/60-nginx.policy:1\n"
					   "OPEND_VIA=nginx\n"
					   "OPEND_UNIT=nginx.service\n"
					   "OPEND_WORKER=4711\n");
	ck_assert_int_eq(entry.priority, 6);
	ck_assert_str_eq(entry.id, MESSAGE_ID_GRANT);
	s.fixed.flags = AUDIT_CUT;
	make_entry(&who, &s);
	ck_assert_ptr_nonnull(strstr(entry.fields.buf, "\nOPEND_AS=caller\n"));
	ck_assert_ptr_nonnull(strstr(entry.fields.buf, "\nOPEND_CUT=1\n"));
	ck_assert_ptr_null(strstr(entry.message.buf, "as root"));
}
END_TEST

START_TEST(what_was_held_back_is_told_with_its_count)
{
	const struct audit_peer who = a_worker(), lobby = a_lobby();
	struct sample s = a_suppressed(98765);

	make_entry(&who, &s);
	ck_assert_str_eq(entry.message.buf,
			 "held back: 98765 more denials of uid 1000 were not written");
	ck_assert_str_eq(entry.fields.buf, "OPEND_DECISION=suppressed\n"
					   "OPEND_HELD_BACK=98765\n"
					   "OPEND_GENERATION=7\n"
					   "OPEND_UID=1000\n"
					   "OPEND_GID=100\n"
					   "OPEND_WORKER=4711\n");
	ck_assert_str_eq(entry.id, MESSAGE_ID_SUPPRESSED);
	/* The lobby counts for each of its clients. */
	s.fixed.uid = 1234;
	make_entry(&lobby, &s);
	ck_assert_str_eq(entry.message.buf,
			 "held back: 98765 more denials of uid 1234 were not written");
	ck_assert_ptr_nonnull(strstr(entry.fields.buf, "\nOPEND_UID=1234\n"));
}
END_TEST

START_TEST(what_was_lost_is_told_with_its_count_and_owner)
{
	const struct audit_peer who = a_worker(), lobby = a_lobby();

	entry_lost(&entry, &who, 12);
	ck_assert_str_eq(entry.message.buf, "lost: 12 denials of uid 1000 could not be written, "
					    "because the log took nothing");
	ck_assert_str_eq(entry.fields.buf, "OPEND_DECISION=suppressed\nOPEND_HELD_BACK=12\n"
					   "OPEND_UID=1000\nOPEND_GID=100\nOPEND_WORKER=4711\n");
	ck_assert_str_eq(entry.id, MESSAGE_ID_LOST);
	entry_lost(&entry, &lobby, 12);
	ck_assert_ptr_null(strstr(entry.fields.buf, "OPEND_UID"));
	entry_lost(&entry, NULL, UINT64_MAX);
	ck_assert_str_eq(entry.fields.buf,
			 "OPEND_DECISION=suppressed\nOPEND_HELD_BACK=18446744073709551615\n");
}
END_TEST

/* ---- whom it is about ---- */

START_TEST(a_worker_cannot_speak_of_another_uid)
{
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();

	s.fixed.uid = s.fixed.gid = 0;
	make_entry(&who, &s);
	ck_assert_ptr_nonnull(strstr(entry.message.buf, "uid 1000 "));
	ck_assert_ptr_nonnull(strstr(entry.fields.buf, "\nOPEND_UID=1000\nOPEND_GID=100\n"));
}
END_TEST

START_TEST(a_lender_cannot_speak_of_another_uid)
{
	struct audit_peer who = a_worker();
	struct sample s = a_grant();

	who.role = BIRTH_LENDER;
	s.fixed.uid = s.fixed.gid = 0;
	make_entry(&who, &s);
	ck_assert_ptr_nonnull(strstr(entry.fields.buf, "\nOPEND_UID=1000\nOPEND_GID=100\n"));
}
END_TEST

START_TEST(the_lobby_says_which_of_its_clients_it_was)
{
	const struct audit_peer who = a_lobby();
	struct sample s = a_denial();

	s.fixed.uid = 1234;
	s.fixed.gid = 4321;
	make_entry(&who, &s);
	ck_assert_ptr_nonnull(strstr(entry.message.buf, "uid 1234 "));
	ck_assert_ptr_nonnull(strstr(entry.fields.buf, "\nOPEND_UID=1234\nOPEND_GID=4321\n"));
}
END_TEST

START_TEST(a_worker_cannot_use_another_workers_serial)
{
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();

	s.fixed.serial = 9ULL << 32 | 5;
	make_entry(&who, &s);
	ck_assert_ptr_nonnull(strstr(entry.fields.buf, "\nOPEND_SERIAL=4294967301\n"));
	ck_assert_ptr_nonnull(strstr(entry.message.buf, "serial 4294967301)"));
}
END_TEST

/* ---- bytes that a client chose ---- */

static void path_becomes(const char *path, size_t len, const char *in_message, const char *in_field)
{
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();
	char expected[256];

	s.path = path;
	s.path_len = len;
	make_entry(&who, &s);
	snprintf(expected, sizeof expected, "may not read %s: no rule", in_message);
	ck_assert_msg(strstr(entry.message.buf, expected), "%s lacks %s", entry.message.buf,
		      expected);
	snprintf(expected, sizeof expected, "\nOPEND_PATH=%s\nOPEND_VIA", in_field);
	ck_assert_msg(strstr(entry.fields.buf, expected), "%s lacks %s", entry.fields.buf,
		      expected);
}

START_TEST(everything_but_printable_ascii_is_escaped)
{
	path_becomes("/a\nOPEND_UID=0", 0, "/a\\x0aOPEND_UID=0", "/a\\x0aOPEND_UID=0");
	path_becomes("/\x1b[2J\r\t\x7f", 0, "/\\x1b[2J\\x0d\\x09\\x7f", "/\\x1b[2J\\x0d\\x09\\x7f");
	path_becomes("/\xc3\xa4\xff\x80", 0, "/\\xc3\\xa4\\xff\\x80", "/\\xc3\\xa4\\xff\\x80");
	path_becomes("/a\\x0a", 0, "/a\\x5cx0a", "/a\\x5cx0a");
	path_becomes("/a\0b", 4, "/a\\x00b", "/a\\x00b");
	path_becomes("/%s%n'~$!", 0, "/%s%n'~$!", "/%s%n'~$!");
}
END_TEST

/* Nothing in a path can be taken for what follows a path. */
START_TEST(a_path_with_blanks_is_quoted_in_the_sentence)
{
	path_becomes("/x: granted (serial 1)", 0, "\"/x: granted (serial 1)\"",
		     "/x: granted (serial 1)");
	path_becomes("/x\": no", 0, "\"/x\\x22: no\"", "/x\": no");
	path_becomes("/x\"", 0, "\"/x\\x22\"", "/x\"");
}
END_TEST

START_TEST(a_text_that_is_not_there_is_no_field)
{
	const struct audit_peer who = a_worker();
	struct sample s = a_denial();

	s.path = s.via = NULL;
	s.fixed.access = 0;
	s.fixed.error = 0;
	make_entry(&who, &s);
	ck_assert_ptr_nonnull(strstr(entry.message.buf, "may not open \"\": no rule"));
	ck_assert_str_eq(entry.fields.buf, "OPEND_DECISION=denial\nOPEND_REASON=no-rule\n"
					   "OPEND_SERIAL=4294967297\nOPEND_UID=1000\n"
					   "OPEND_GID=100\nOPEND_GENERATION=7\n"
					   "OPEND_WORKER=4711\n");
}
END_TEST

/* Every byte of the largest record that four bytes are needed for. */
START_TEST(four_kilobytes_of_escapes_fit)
{
	const struct audit_peer who = a_worker();
	enum {
		FREE = AUDIT_RECORD_MAX - sizeof(struct audit_record),
		VIA = 63,
		UNIT = 175,
		RULE = 1000,
		PLACE = 1000,
		PATH = FREE - VIA - UNIT - RULE - PLACE
	};
	char fill[5][PATH + 1];
	const size_t lens[] = { VIA, UNIT, RULE, PATH, PLACE };
	struct sample s = a_grant();
	size_t backslashes = 0;

	memset(fill, 0, sizeof fill);
	for (size_t i = 0; i < ELEMENTSOF(lens); i++)
		memset(fill[i], 0xff, lens[i]);
	s.via = fill[0], s.unit = fill[1], s.rule = fill[2], s.path = fill[3], s.place = fill[4];
	make_entry(&who, &s);
	for (const char *p = entry.fields.buf; *p; p++)
		backslashes += *p == '\\';
	ck_assert_uint_eq(backslashes, FREE);
	ck_assert_ptr_nonnull(strstr(entry.fields.buf, "\nOPEND_WORKER=4711\n"));
	ck_assert_ptr_nonnull(strstr(entry.message.buf, "serial 4294967298)"));
	ck_assert_ptr_nonnull(strstr(entry.tail.buf, " worker=4711"));
	ck_assert_uint_lt(entry.message.len + entry.tail.len + 16, SINK_ROOM);
}
END_TEST

/* ---- what is no record ---- */

static int decode_exactly(const char *buf, size_t len, struct record *ret)
{
	/* A heap block of that length: a sanitizer sees a read behind it. */
	_cleanup_free_ char *copy = malloc(len ? len : 1);
	int r;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, buf, len);
	r = record_decode(copy, len, ret);
	if (r > 0) {
		ck_assert_uint_le((size_t)r, len);
		ck_assert_ptr_eq(ret->via, copy + sizeof(struct audit_record));
		ck_assert_ptr_eq(ret->place + ret->fixed.place_len, copy + r);
		entry_record(&entry, &(struct audit_peer){ .role = BIRTH_LOBBY }, ret);
		ck_assert_ptr_null(strchr(entry.message.buf, '\n'));
	}
	return r;
}

START_TEST(every_truncation_waits_for_more)
{
	struct sample s = a_grant();
	char buf[AUDIT_RECORD_MAX];
	size_t size = encode(buf, &s);
	struct record rec;

	for (size_t len = 0; len < size; len++)
		ck_assert_int_eq(decode_exactly(buf, len, &rec), 0);
	ck_assert_int_eq(decode_exactly(buf, size, &rec), (int)size);
}
END_TEST

START_TEST(every_flipped_bit_is_survived)
{
	struct sample s = a_grant();
	char buf[AUDIT_RECORD_MAX];
	size_t size = encode(buf, &s), good = 0, bad = 0, wait = 0;
	struct record rec;

	for (size_t bit = 0; bit < size * 8; bit++) {
		int r;

		buf[bit / 8] ^= (char)(1 << bit % 8);
		r = decode_exactly(buf, size, &rec);
		ck_assert(r == -EPROTO || r == 0 || r == (int)size);
		good += r > 0;
		bad += r < 0;
		wait += r == 0;
		buf[bit / 8] ^= (char)(1 << bit % 8);
	}
	/* All texts are free, and so are uid, gid, generation, held_back and serial; reserved
	 * fields and lengths are not. */
	ck_assert_uint_ge(good, (size - sizeof(struct audit_record)) * 8 + 24 * 8);
	ck_assert_uint_ge(bad, (4 + 6 + 10) * 8);
	ck_assert_uint_ge(wait, 1);
}
END_TEST

static void is_no_record(struct sample s, size_t offset, const void *bytes, size_t n)
{
	char buf[AUDIT_RECORD_MAX];
	size_t size = encode(buf, &s);
	struct record rec;

	ck_assert_int_eq(decode_exactly(buf, size, &rec), (int)size);
	memcpy(buf + offset, bytes, n);
	ck_assert_msg(decode_exactly(buf, size, &rec) == -EPROTO, "offset %zu", offset);
}

#define NO_RECORD(field, type, value)                                                              \
	is_no_record(a_grant(), offsetof(struct audit_record, field), &(type){ value },            \
		     sizeof(type))

START_TEST(what_our_worker_cannot_write_is_no_record)
{
	NO_RECORD(size, uint32_t, 0);
	NO_RECORD(size, uint32_t, sizeof(struct audit_record) - 1);
	NO_RECORD(size, uint32_t, sizeof(struct audit_record));
	NO_RECORD(size, uint32_t, AUDIT_RECORD_MAX + 1);
	NO_RECORD(size, uint32_t, UINT32_MAX);
	NO_RECORD(decision, uint16_t, 0);
	NO_RECORD(decision, uint16_t, AUDIT_SUPPRESSED + 1);
	NO_RECORD(decision, uint16_t, UINT16_MAX);
	NO_RECORD(flags, uint16_t, 4);
	NO_RECORD(access, uint16_t, 16);
	NO_RECORD(error, uint32_t, 4096);
	NO_RECORD(error, uint32_t, (uint32_t)-EACCES);
	NO_RECORD(reserved, uint32_t, 1);
	NO_RECORD(reserved2[2], uint16_t, 1);
	NO_RECORD(via_len, uint16_t, 64);
	NO_RECORD(unit_len, uint16_t, 176);
	NO_RECORD(path_len, uint16_t, 0);
	NO_RECORD(place_len, uint16_t, UINT16_MAX);
}
END_TEST

/* ---- words and numbers that stay ---- */

START_TEST(every_reason_has_a_word_of_its_own)
{
	const char *seen[128] = { NULL };
	size_t n = 0;

	for (int reason = -1; reason < 128; reason++) {
		const char *word = reason_word(reason);
		bool known = strcmp(wire_strreason(reason), wire_strreason(127)) != 0;

		ck_assert_msg(known == (strcmp(word, "unknown") != 0), "%d: %s", reason, word);
		if (!known)
			continue;
		ck_assert_uint_eq(strspn(word, "abcdefghijklmnopqrstuvwxyz-"), strlen(word));
		for (size_t i = 0; i < n; i++)
			ck_assert_str_ne(seen[i], word);
		seen[n++] = word;
		ck_assert_msg(!strstr(reason_told(reason), "you"), "%s", reason_told(reason));
	}
	ck_assert_uint_ge(n, 23);
	ck_assert_str_eq(reason_word(WIRE_NO_RULE), "no-rule");
	ck_assert_str_eq(reason_word(WIRE_AUDIT), "audit");
}
END_TEST

START_TEST(accesses_are_the_words_of_the_policy)
{
	ck_assert_str_eq(access_words(0), "");
	ck_assert_str_eq(access_words(WIRE_READ), "read");
	ck_assert_str_eq(access_words(WIRE_LIST | WIRE_CREATE), "create,list");
	ck_assert_str_eq(access_words(WIRE_ANY), "read,write,create,list");
	ck_assert_str_eq(access_words(UINT32_MAX), "read,write,create,list");
	for (unsigned bits = 0; bits < 16; bits++) {
		static const char *const words[] = { "read", "write", "create", "list" };

		for (unsigned i = 0; i < 4; i++)
			ck_assert_int_eq(strstr(access_words(bits), words[i]) != NULL,
					 (bits >> i) & 1);
	}
}
END_TEST

static const char *const ids[] = {
	MESSAGE_ID_GRANT,     MESSAGE_ID_DENIAL,  MESSAGE_ID_SUPPRESSED, MESSAGE_ID_LOST,
	MESSAGE_ID_MALFORMED, MESSAGE_ID_LOADED,  MESSAGE_ID_REJECTED,	 MESSAGE_ID_DEGRADED,
	MESSAGE_ID_STUCK,     MESSAGE_ID_CRASHED,
};

START_TEST(the_catalog_explains_each_message_and_no_other)
{
	_cleanup_fclose_ FILE *f = fopen(CATALOG, "re");
	int found[ELEMENTSOF(ids)] = { 0 };
	char line[512];

	ck_assert_msg(f != NULL, "%s: %s (run in the source directory)", CATALOG, strerror(errno));
	while (fgets(line, sizeof line, f)) {
		bool known = false;

		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "-- ", 3) != 0)
			continue;
		for (size_t i = 0; i < ELEMENTSOF(ids); i++)
			if (strcmp(line + 3, ids[i]) == 0) {
				found[i]++;
				known = true;
			}
		ck_assert_msg(known, "%s", line);
		ck_assert_msg(fgets(line, sizeof line, f) && strncmp(line, "Subject: ", 9) == 0,
			      "%s", line);
	}
	for (size_t i = 0; i < ELEMENTSOF(ids); i++) {
		ck_assert_uint_eq(strspn(ids[i], "0123456789abcdef"), 32);
		ck_assert_msg(found[i] == 1, "%s is there %d times", ids[i], found[i]);
	}
}
END_TEST

START_TEST(the_page_names_each_reason_and_each_message)
{
	_cleanup_close_ int fd = open(PAGE, O_RDONLY | O_CLOEXEC);
	static char page[65536];
	char word[32];

	ck_assert_msg(fd >= 0, "%s: %s (run in the source directory)", PAGE, strerror(errno));
	ck_assert_int_gt(read(fd, page, sizeof page - 1), 0);
	for (int reason = 0; reason < 128; reason++) {
		if (strcmp(reason_word(reason), "unknown") == 0)
			continue;
		snprintf(word, sizeof word, " %s ", reason_word(reason));
		ck_assert_msg(strstr(page, word), "%s", word);
	}
	for (size_t i = 0; i < 5; i++)
		ck_assert_msg(strstr(page, ids[i]), "%s", ids[i]);
}
END_TEST

int main(void)
{
	TCase *decisions = tcase_create("decisions"), *owners = tcase_create("owners"),
	      *bytes = tcase_create("bytes"), *hostile = tcase_create("hostile"),
	      *words = tcase_create("words");
	TCase *const all[] = { decisions, owners, bytes, hostile, words };
	Suite *suite = suite_create("audit");
	SRunner *runner;
	int failed;

	tcase_add_test(decisions, a_denial_is_told_in_a_sentence_and_in_fields);
	tcase_add_test(decisions, a_denial_names_the_rule_and_where_the_path_leads);
	tcase_add_test(decisions, what_the_kernel_said_is_named);
	tcase_add_test(decisions, a_grant_is_told_in_a_sentence_and_in_fields);
	tcase_add_test(decisions, what_was_held_back_is_told_with_its_count);
	tcase_add_test(decisions, what_was_lost_is_told_with_its_count_and_owner);
	tcase_add_test(owners, a_worker_cannot_speak_of_another_uid);
	tcase_add_test(owners, a_lender_cannot_speak_of_another_uid);
	tcase_add_test(owners, the_lobby_says_which_of_its_clients_it_was);
	tcase_add_test(owners, a_worker_cannot_use_another_workers_serial);
	tcase_add_test(bytes, everything_but_printable_ascii_is_escaped);
	tcase_add_test(bytes, a_path_with_blanks_is_quoted_in_the_sentence);
	tcase_add_test(bytes, a_text_that_is_not_there_is_no_field);
	tcase_add_test(bytes, four_kilobytes_of_escapes_fit);
	tcase_add_test(hostile, every_truncation_waits_for_more);
	tcase_add_test(hostile, every_flipped_bit_is_survived);
	tcase_add_test(hostile, what_our_worker_cannot_write_is_no_record);
	tcase_add_test(words, every_reason_has_a_word_of_its_own);
	tcase_add_test(words, accesses_are_the_words_of_the_policy);
	tcase_add_test(words, the_catalog_explains_each_message_and_no_other);
	tcase_add_test(words, the_page_names_each_reason_and_each_message);
	for (size_t i = 0; i < ELEMENTSOF(all); i++)
		suite_add_tcase(suite, all[i]);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
