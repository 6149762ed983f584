/* SPDX-License-Identifier: MIT
 * What a worker that was taken over may write into its audit pipe. A record is decoded or refused;
 * what is told of it is one line of printable ASCII and fields of our own names, and never of
 * another uid or serial than the pipe's. */
#include "daemon/audit/auditor.h"
#include "fuzz.h"

static void is_ascii(const struct line *l, bool lines)
{
	REQUIRE(l->len < l->size && l->buf[l->len] == 0);
	for (size_t i = 0; i < l->len; i++)
		REQUIRE((l->buf[i] >= ' ' && l->buf[i] < 0x7f) || (lines && l->buf[i] == '\n'));
}

static void are_fields(const char *fields, const struct audit_peer *who)
{
	unsigned n_uid = 0, n_serial = 0;

	while (*fields) {
		const char *end = strchr(fields, '\n');
		unsigned long long n;

		REQUIRE(end && strncmp(fields, "OPEND_", 6) == 0 && strchr(fields, '=') < end);
		if (sscanf(fields, "OPEND_UID=%llu\n", &n) == 1) {
			n_uid++;
			REQUIRE(who->role == BIRTH_LOBBY || n == who->uid);
		}
		if (sscanf(fields, "OPEND_SERIAL=%llu\n", &n) == 1) {
			n_serial++;
			REQUIRE(n >> 32 == who->instance);
		}
		fields = end + 1;
	}
	REQUIRE(n_uid <= 1 && n_serial <= 1);
}

static void tell(const struct record *rec, uint32_t role)
{
	static struct entry e;
	const struct audit_peer who = {
		.version = AUDIT_VERSION, .role = role, .uid = 4711, .gid = 4712, .instance = 99
	};

	entry_record(&e, &who, rec);
	is_ascii(&e.message, false);
	is_ascii(&e.tail, false);
	is_ascii(&e.fields, true);
	are_fields(e.fields.buf, &who);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	while (size) {
		_cleanup_free_ uint8_t *rest = exactly(data, size), *whole = NULL;
		struct record rec;
		int n = record_decode(rest, size, &rec);

		REQUIRE(n <= (int)size && n <= AUDIT_RECORD_MAX);
		REQUIRE(n >= (int)sizeof rec.fixed || n == 0 || n == -EPROTO);
		if (n <= 0)
			break;
		whole = exactly(data, (size_t)n);
		REQUIRE(record_decode(whole, (size_t)n, &rec) == n);
		for (uint32_t role = BIRTH_WORKER; role <= BIRTH_LOBBY; role++)
			tell(&rec, role);
		data += n;
		size -= (size_t)n;
	}
	return 0;
}
