/* SPDX-License-Identifier: MIT
 * The wire: every test vector of opend-protocol(7), read from the page itself, encodes and decodes
 * to what the page says; every single bit flipped and every truncation of one of each frame is
 * decoded without reading outside it, and never to a value that the page forbids. */
#include <check.h>
#include <fcntl.h>
#include "util.h"
#include "wire.h"

#define PAGE "man/opend-protocol.7"

enum { FRAME_MAX = WIRE_REPLY_MAX, VECTORS_MAX = 64 };

struct vector {
	char kind[16], line[256];
	char frame[FRAME_MAX];
	size_t len;
};

static struct vector vectors[VECTORS_MAX];
static size_t n_vectors;

/* ---- the page ---- */

static bool is_kind(const char *line)
{
	static const char *const kinds[] = { "OPEN ",	 "INFO ",	"RULES ",
					     "RESULT ",	 "INFO_REPLY ", "RULES_REPLY ",
					     "GOODBYE ", "REFUSED ",	"BROKEN " };

	for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
		if (strncmp(line, kinds[i], strlen(kinds[i])) == 0)
			return true;
	return false;
}

static void add_hex(struct vector *v, const char *line)
{
	for (const char *p = line; *p; p++) {
		unsigned byte;

		if (*p == ' ')
			continue;
		ck_assert_msg(sscanf(p, "%2x", &byte) == 1 && p[1], "not hexadecimal: %s", line);
		ck_assert(v->len < sizeof v->frame);
		v->frame[v->len++] = (char)byte;
		p++;
	}
}

static void read_page(void)
{
	_cleanup_fclose_ FILE *f = fopen(PAGE, "re");
	struct vector *v = NULL;
	bool section = false;
	char line[256];

	ck_assert_msg(f != NULL, "%s: %s (run in the source directory)", PAGE, strerror(errno));
	n_vectors = 0;
	while (fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, ".Sh ", 4) == 0)
			section = strcmp(line, ".Sh TEST VECTORS") == 0;
		if (!section || line[0] == '.' || !line[0]) {
			v = NULL;
		} else if (v) {
			add_hex(v, line);
		} else if (is_kind(line)) {
			ck_assert(n_vectors < VECTORS_MAX);
			v = &vectors[n_vectors++];
			*v = (struct vector){ 0 };
			sscanf(line, "%15s", v->kind);
			memcpy(v->line, line, sizeof line);
		}
	}
}

/* The value of NAME= in a line of fields, 0 if it is not there. */
static uint64_t field(const struct vector *v, const char *name)
{
	char key[32];
	const char *at;

	snprintf(key, sizeof key, " %s=", name);
	at = strstr(v->line, key);
	return at ? strtoull(at + strlen(key), NULL, 0) : 0;
}

/* A field of bytes, which is the last one. "\en" is how the page writes a newline. */
static size_t field_bytes(const struct vector *v, const char *name, char *ret)
{
	const char *at = strstr(v->line, name);
	size_t len = 0;

	if (!at)
		return 0;
	for (at += strlen(name); *at; at++) {
		bool newline = strncmp(at, "\\en", 3) == 0;

		ret[len++] = newline ? '\n' : *at;
		at += newline ? 2 : 0;
	}
	return len;
}

static const struct vector *first(const char *kind)
{
	for (size_t i = 0; i < n_vectors; i++)
		if (strcmp(vectors[i].kind, kind) == 0)
			return &vectors[i];
	ck_abort_msg("the page has no vector %s", kind);
	return NULL;
}

/* ---- vectors ---- */

static void same(const struct vector *v, const void *frame, int len)
{
	ck_assert_msg(len == (int)v->len, "%s: %d bytes, the page has %zu", v->line, len, v->len);
	ck_assert_msg(memcmp(frame, v->frame, v->len) == 0, "%s: other bytes", v->line);
}

static void whole_frame(const struct vector *v, uint16_t type, size_t max)
{
	struct wire_header h;

	ck_assert_msg(wire_frame(v->frame, v->len, max, &h) == (int)v->len, "%s", v->line);
	ck_assert_uint_eq(h.type, type);
	ck_assert_uint_eq(h.id, field(v, "id"));
	ck_assert_uint_eq(h.nfds, field(v, "nfds"));
}

static void check_open(const struct vector *v)
{
	char path[256], frame[WIRE_REQUEST_MAX];
	struct wire_request made = {
		.id = field(v, "id"),
		.flags = (uint32_t)field(v, "flags"),
		.mode = (uint16_t)field(v, "mode"),
		.umask = (uint16_t)field(v, "umask"),
		.ask = (uint32_t)field(v, "ask"),
		.path = path,
		.path_len = field_bytes(v, " path=", path),
	}, read;

	same(v, frame, wire_encode_open(frame, &made));
	whole_frame(v, WIRE_OPEN, WIRE_REQUEST_MAX);
	ck_assert_int_eq(wire_decode_open(v->frame, v->len, &read), 0);
	ck_assert(read.id == made.id && read.flags == made.flags && read.mode == made.mode &&
		  read.umask == made.umask && read.ask == made.ask);
	ck_assert_uint_eq(read.path_len, made.path_len);
	ck_assert_mem_eq(read.path, path, made.path_len);
}

static void check_result(const struct vector *v)
{
	char text[256], frame[WIRE_REPLY_MAX];
	struct wire_outcome made = {
		.id = field(v, "id"), .dev = field(v, "dev"), .ino = field(v, "ino"),
		.size = field(v, "size"), .serial = field(v, "serial"),
		.error = (int32_t)field(v, "errno"),
		.reason = (uint16_t)field(v, "reason"),
		.lacked = (uint16_t)field(v, "lacked"),
		.nfds = (uint16_t)field(v, "nfds"),
		.generation = (uint32_t)field(v, "generation"),
		.mode = (uint32_t)field(v, "mode"),
		.text = text,
		.text_len = field_bytes(v, " text=", text),
	}, read;

	same(v, frame, wire_encode_result(frame, sizeof frame, &made));
	whole_frame(v, WIRE_R_RESULT, WIRE_REPLY_MAX);
	ck_assert_int_eq(wire_decode_result(v->frame, v->len, &read), 0);
	ck_assert(read.id == made.id && read.dev == made.dev && read.ino == made.ino &&
		  read.size == made.size && read.serial == made.serial &&
		  read.error == made.error && read.reason == made.reason &&
		  read.lacked == made.lacked && read.nfds == made.nfds &&
		  read.generation == made.generation && read.mode == made.mode);
	ck_assert_uint_eq(read.text_len, made.text_len);
	ck_assert_mem_eq(read.text, text, made.text_len);
}

static void check_plain(const struct vector *v, uint16_t type)
{
	char body[256], frame[WIRE_REPLY_MAX];
	size_t len = field_bytes(v, " text=", body);

	same(v, frame,
	     wire_encode_plain(frame, sizeof frame, type, field(v, "id"),
			       (uint16_t)field(v, "nfds"), body, len));
	whole_frame(v, type, WIRE_REPLY_MAX);
}

static void check_goodbye(const struct vector *v)
{
	uint16_t reason;

	whole_frame(v, WIRE_GOODBYE, WIRE_REPLY_MAX);
	ck_assert_int_eq(wire_decode_goodbye(v->frame, v->len, &reason), 0);
	ck_assert_uint_eq(reason, field(v, "reason"));
}

static void check_refused(const struct vector *v)
{
	struct wire_request read;

	ck_assert_int_eq(wire_frame(v->frame, v->len, WIRE_REQUEST_MAX, NULL), (int)v->len);
	ck_assert_msg(wire_decode_open(v->frame, v->len, &read) == (int)field(v, "reason"), "%s",
		      v->line);
	ck_assert_uint_eq(read.id, field(v, "id"));
}

START_TEST(the_page_and_the_code_agree_on_every_vector)
{
	size_t n = 0;

	read_page();
	for (const struct vector *v = vectors; v < vectors + n_vectors; v++, n++) {
		if (strcmp(v->kind, "OPEN") == 0)
			check_open(v);
		else if (strcmp(v->kind, "RESULT") == 0)
			check_result(v);
		else if (strcmp(v->kind, "INFO") == 0)
			check_plain(v, WIRE_INFO);
		else if (strcmp(v->kind, "RULES") == 0)
			check_plain(v, WIRE_RULES);
		else if (strcmp(v->kind, "INFO_REPLY") == 0)
			check_plain(v, WIRE_R_INFO);
		else if (strcmp(v->kind, "RULES_REPLY") == 0)
			check_plain(v, WIRE_R_RULES);
		else if (strcmp(v->kind, "GOODBYE") == 0)
			check_goodbye(v);
		else if (strcmp(v->kind, "REFUSED") == 0)
			check_refused(v);
		else
			ck_assert_int_eq(wire_frame(v->frame, v->len, WIRE_REQUEST_MAX, NULL),
					 -EPROTO);
	}
	ck_assert_msg(n >= 20, "only %zu vectors in the page", n);
}
END_TEST

/* The page's table of reasons: number, errno. Each is one that the code knows, and the reverse. */
START_TEST(the_page_and_the_code_agree_on_every_reason)
{
	static const struct {
		const char *name;
		int number;
	} errors[] = {
		{ "EACCES", EACCES },
		{ "EINVAL", EINVAL },
		{ "EOPNOTSUPP", EOPNOTSUPP },
		{ "EAGAIN", EAGAIN },
	};
	const char *unknown = wire_strreason(9999);
	_cleanup_fclose_ FILE *f = fopen(PAGE, "re");
	bool listed[256] = { false };
	char line[256], name[32], error[32];

	ck_assert(f != NULL);
	while (fgets(line, sizeof line, f)) {
		unsigned number;

		if (sscanf(line, ".It %u Ta %31[A-Z_] Ta Er %31s", &number, name, error) != 3)
			continue;
		ck_assert(number < 256 && !listed[number]);
		listed[number] = true;
		/* FRAME: EINVAL for one request, EPROTO when it ended the connection. */
		for (size_t i = 0; i < ELEMENTSOF(errors) && number != WIRE_FRAME; i++)
			if (strcmp(error, errors[i].name) == 0)
				ck_assert_msg(wire_reason_errno((int)number) == errors[i].number,
					      "%s", name);
	}
	listed[WIRE_OK] = listed[WIRE_KERNEL] = true;
	for (int i = 0; i < 256; i++)
		ck_assert_msg((strcmp(wire_strreason(i), unknown) != 0) == listed[i],
			      "reason %d is in the page or in the code only", i);
	ck_assert_int_eq(wire_reason_errno(WIRE_KERNEL), 0);
	ck_assert_int_eq(wire_reason_errno(WIRE_FRAME), EPROTO);
}
END_TEST

/* ---- hostile bytes ---- */

/* A copy that ends where its memory ends: the sanitizers, and malloc's own checks, see every byte
 * read or written behind it. */
static char *exactly(const void *data, size_t len)
{
	char *copy = malloc(len ? len : 1);

	ck_assert(copy != NULL);
	memcpy(copy, data, len);
	return copy;
}

/* All decoders on any bytes; what they accept must be what the page allows. */
static void decode(const char *frame, size_t len)
{
	struct wire_header h = { 0 };
	struct wire_request req;
	struct wire_outcome out;
	uint16_t reason;
	int size = wire_frame(frame, len, WIRE_REPLY_MAX, &h);

	ck_assert(size <= (int)len && (size == 0 || size == -EPROTO || size >= (int)sizeof h));
	if (wire_decode_open(frame, len, &req) == 0) {
		ck_assert(req.id != 0 && !(req.mode & ~0777) && !(req.umask & ~0777));
		ck_assert(!(req.ask & ~3u) && req.path_len >= 1 && req.path_len <= WIRE_PATH_MAX);
		ck_assert(req.path == frame + 32 && req.path_len == len - 32);
		ck_assert(req.path[0] == '/' && !memchr(req.path, 0, req.path_len));
	}
	if (wire_decode_result(frame, len, &out) == 0) {
		ck_assert(out.error >= 0 && out.error <= 4095 && out.nfds <= 1);
		ck_assert(!(out.error && out.nfds));
		ck_assert(out.text == frame + 64 && out.text_len == len - 64);
	}
	if (wire_decode_goodbye(frame, len, &reason) == 0)
		ck_assert(len == 20);
}

static void flip_and_cut(const struct vector *v)
{
	for (size_t len = 0; len <= v->len; len++) {
		_cleanup_free_ char *cut = exactly(v->frame, len);

		decode(cut, len);
		if (len < v->len)
			ck_assert_int_eq(wire_frame(cut, len, WIRE_REPLY_MAX, NULL), 0);
	}
	for (size_t bit = 0; bit < v->len * 8; bit++) {
		_cleanup_free_ char *flipped = exactly(v->frame, v->len);

		flipped[bit / 8] = (char)(flipped[bit / 8] ^ (1 << bit % 8));
		decode(flipped, v->len);
	}
}

START_TEST(every_flipped_bit_and_every_truncation_is_survived)
{
	read_page();
	for (size_t i = 0; i < n_vectors; i++)
		flip_and_cut(&vectors[i]);
}
END_TEST

/* Which bits of an OPEN's fixed part may be flipped without making it a refusal. */
START_TEST(every_bit_of_an_open_is_judged)
{
	const struct vector *v;
	char frame[FRAME_MAX];

	read_page();
	v = first("OPEN");
	for (size_t bit = 0; bit < 32 * 8; bit++) {
		size_t byte = bit / 8;
		struct wire_request req;
		bool refused;

		memcpy(frame, v->frame, v->len);
		frame[byte] = (char)(frame[byte] ^ (1 << bit % 8));
		refused = wire_decode_open(frame, v->len, &req) != 0;
		if (byte < 6) /* size and type are not this decoder's */
			ck_assert(!refused);
		else if (byte < 8 || byte >= 28) /* nfds, reserved */
			ck_assert(refused);
		else if (byte < 20) /* id (1 with a bit more; bit 64 cleared is 0), flags */
			ck_assert(refused == (bit == 64));
		else if (byte < 24) /* mode, umask */
			ck_assert(refused == ((bit - 160) % 16 >= 9));
		else /* ask */
			ck_assert(refused == (bit - 192 >= 2));
	}
}
END_TEST

START_TEST(a_result_with_an_error_and_a_descriptor_is_no_result)
{
	struct wire_outcome out = { .id = 1, .nfds = 1 }, read;
	char frame[WIRE_REPLY_MAX];
	int size;

	size = wire_encode_result(frame, sizeof frame, &out);
	ck_assert_int_eq(wire_decode_result(frame, (size_t)size, &read), 0);
	out.error = EACCES;
	size = wire_encode_result(frame, sizeof frame, &out);
	ck_assert_int_eq(wire_decode_result(frame, (size_t)size, &read), -EPROTO);
	out.nfds = 0;
	size = wire_encode_result(frame, sizeof frame, &out);
	ck_assert_int_eq(wire_decode_result(frame, (size_t)size, &read), 0);
	out.error = -1;
	size = wire_encode_result(frame, sizeof frame, &out);
	ck_assert_int_eq(wire_decode_result(frame, (size_t)size, &read), -EPROTO);
}
END_TEST

/* ---- limits ---- */

START_TEST(a_path_of_4095_bytes_fits_and_one_more_does_not)
{
	char path[WIRE_PATH_MAX + 1], frame[WIRE_REQUEST_MAX];
	struct wire_request req = { .id = 1, .path = path, .path_len = WIRE_PATH_MAX }, read;

	memset(path, 'a', sizeof path);
	path[0] = '/';
	ck_assert_int_eq(wire_encode_open(frame, &req), WIRE_REQUEST_MAX);
	ck_assert_int_eq(wire_frame(frame, sizeof frame, WIRE_REQUEST_MAX, NULL), WIRE_REQUEST_MAX);
	ck_assert_int_eq(wire_decode_open(frame, sizeof frame, &read), 0);
	ck_assert_uint_eq(read.path_len, WIRE_PATH_MAX);
	req.path_len++;
	ck_assert_int_eq(wire_encode_open(frame, &req), -ENAMETOOLONG);
}
END_TEST

START_TEST(a_text_is_cut_to_what_a_reply_and_the_buffer_hold)
{
	char text[2 * WIRE_REPLY_MAX], frame[2 * WIRE_REPLY_MAX];
	struct wire_outcome out = { .id = 1, .text = text, .text_len = sizeof text }, read;

	memset(text, 't', sizeof text);
	memset(frame, '#', sizeof frame);
	ck_assert_int_eq(wire_encode_result(frame, sizeof frame, &out), WIRE_REPLY_MAX);
	ck_assert_int_eq(frame[WIRE_REPLY_MAX], '#');
	ck_assert_int_eq(wire_decode_result(frame, WIRE_REPLY_MAX, &read), 0);
	ck_assert_uint_eq(read.text_len, WIRE_REPLY_MAX - 64);

	memset(frame, '#', sizeof frame);
	ck_assert_int_eq(wire_encode_result(frame, 100, &out), 100);
	ck_assert_int_eq(frame[100], '#');
	ck_assert_int_eq(wire_encode_result(frame, 63, &out), -ENOBUFS);
	ck_assert_int_eq(wire_encode_plain(frame, 15, WIRE_INFO, 1, 0, NULL, 0), -ENOBUFS);
	ck_assert_int_eq(wire_encode_plain(frame, 20, WIRE_R_INFO, 1, 0, text, 5), -ENOBUFS);
	ck_assert_int_eq(wire_encode_plain(frame, 21, WIRE_R_INFO, 1, 0, text, 5), 21);
}
END_TEST

START_TEST(frames_in_one_buffer_are_told_apart)
{
	char buf[64];
	struct wire_header h;
	int one = wire_encode_plain(buf, sizeof buf, WIRE_INFO, 7, 0, NULL, 0);
	int two = wire_encode_plain(buf + one, sizeof buf - (size_t)one, WIRE_RULES, 8, 0, NULL, 0);

	ck_assert_int_eq(wire_frame(buf, (size_t)(one + two), WIRE_REQUEST_MAX, &h), one);
	ck_assert(h.id == 7 && h.type == WIRE_INFO);
	ck_assert_int_eq(wire_frame(buf + one, (size_t)two, WIRE_REQUEST_MAX, &h), two);
	ck_assert(h.id == 8 && h.type == WIRE_RULES);
	ck_assert_int_eq(wire_frame(buf + one, (size_t)two - 1, WIRE_REQUEST_MAX, &h), 0);
}
END_TEST

int main(void)
{
	TCase *vector_case = tcase_create("vectors"), *hostile = tcase_create("hostile"),
	      *limits = tcase_create("limits");
	Suite *suite = suite_create("wire");
	SRunner *runner;
	int failed;

	tcase_add_test(vector_case, the_page_and_the_code_agree_on_every_vector);
	tcase_add_test(vector_case, the_page_and_the_code_agree_on_every_reason);
	tcase_add_test(hostile, every_flipped_bit_and_every_truncation_is_survived);
	tcase_add_test(hostile, every_bit_of_an_open_is_judged);
	tcase_add_test(hostile, a_result_with_an_error_and_a_descriptor_is_no_result);
	tcase_add_test(limits, a_path_of_4095_bytes_fits_and_one_more_does_not);
	tcase_add_test(limits, a_text_is_cut_to_what_a_reply_and_the_buffer_hold);
	tcase_add_test(limits, frames_in_one_buffer_are_told_apart);
	suite_add_tcase(suite, vector_case);
	suite_add_tcase(suite, hostile);
	suite_add_tcase(suite, limits);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
