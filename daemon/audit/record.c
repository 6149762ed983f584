/* SPDX-License-Identifier: MIT
 * A worker's record. Whoever wrote it may be controlled by a client, so every field is looked at
 * before it is used, and a record that our own worker cannot have written is none at all: there is
 * no guessing where the next one would begin. */
#include "auditor.h"
#include "wire.h"

enum {
	VIA_MAX = sizeof((struct down){ 0 }.via) - 1,
	UNIT_MAX = sizeof((struct down){ 0 }.unit) - 1,
	ERRNO_MAX = 4095,
};

static bool plausible(const struct audit_record *r)
{
	if (r->decision < AUDIT_GRANT || r->decision > AUDIT_SUPPRESSED)
		return false;
	if ((r->flags & ~(AUDIT_AS_ROOT | AUDIT_CUT)) || (r->access & ~WIRE_ANY))
		return false;
	if (r->error > ERRNO_MAX || r->via_len > VIA_MAX || r->unit_len > UNIT_MAX)
		return false;
	return !r->reserved && !r->reserved2[0] && !r->reserved2[1] && !r->reserved2[2];
}

static size_t texts_len(const struct audit_record *r)
{
	return (size_t)r->via_len + r->unit_len + r->rule_len + r->path_len + r->place_len;
}

int record_decode(const void *buf, size_t len, struct record *ret)
{
	struct audit_record *r = &ret->fixed;
	uint32_t size;

	if (len < sizeof size)
		return 0;
	memcpy(&size, buf, sizeof size);
	if (size < sizeof *r || size > AUDIT_RECORD_MAX)
		return -EPROTO;
	if (len < size)
		return 0;
	memcpy(r, buf, sizeof *r);
	if (!plausible(r) || texts_len(r) != size - sizeof *r)
		return -EPROTO;
	ret->via = (const char *)buf + sizeof *r;
	ret->unit = ret->via + r->via_len;
	ret->rule = ret->unit + r->unit_len;
	ret->path = ret->rule + r->rule_len;
	ret->place = ret->path + r->path_len;
	return (int)size;
}
