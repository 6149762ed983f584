/* SPDX-License-Identifier: MIT
 * What the tests of opend-audit share: making records as a worker makes them. */
#ifndef TEST_AUDIT_H
#define TEST_AUDIT_H

#include <check.h>
#include "daemon/audit/auditor.h"
#include "messages.h"
#include "wire.h"

/* Texts NULL: none. Lengths 0: strlen(). */
struct sample {
	struct audit_record fixed;
	const char *via, *unit, *rule, *path, *place;
	size_t path_len;
};

static inline size_t put_text(char *to, uint16_t *ret_len, const char *text, size_t len)
{
	if (text && !len)
		len = strlen(text);
	if (len)
		memcpy(to, text, len);
	*ret_len = (uint16_t)len;
	return len;
}

/* Encodes s into buf, which has room for AUDIT_RECORD_MAX; returns its size. */
static inline size_t encode(char *buf, const struct sample *s)
{
	struct audit_record r = s->fixed;
	size_t at = sizeof r;

	at += put_text(buf + at, &r.via_len, s->via, 0);
	at += put_text(buf + at, &r.unit_len, s->unit, 0);
	at += put_text(buf + at, &r.rule_len, s->rule, 0);
	at += put_text(buf + at, &r.path_len, s->path, s->path_len);
	at += put_text(buf + at, &r.place_len, s->place, 0);
	ck_assert_uint_le(at, AUDIT_RECORD_MAX);
	r.size = (uint32_t)at;
	memcpy(buf, &r, sizeof r);
	return at;
}

/* Uid 1000 asks worker number 1 (whose first serial is 4294967297) to read /srv/x. */
static inline struct sample a_denial(void)
{
	return (struct sample){
		.fixed = { .decision = AUDIT_DENIAL,
			   .reason = WIRE_NO_RULE,
			   .access = WIRE_READ,
			   .error = EACCES,
			   .generation = 7,
			   .uid = 1000,
			   .gid = 100,
			   .serial = 4294967297 },
		.via = "main",
		.path = "/srv/x",
	};
}

static inline struct sample a_grant(void)
{
	return (struct sample){
		.fixed = { .decision = AUDIT_GRANT,
			   .flags = AUDIT_AS_ROOT,
			   .access = WIRE_READ | WIRE_WRITE,
			   .generation = 7,
			   .uid = 1000,
			   .gid = 100,
			   .serial = 4294967298 },
		.via = "nginx",
		.unit = "nginx.service",
		.rule = "/etc/opend/policy.d/60-nginx.policy:1",
		.path = "/etc/ssl/site.key",
		.place = "/etc/ssl/private/site.key",
	};
}

static inline struct sample a_suppressed(uint32_t n)
{
	return (struct sample){
		.fixed = { .decision = AUDIT_SUPPRESSED,
			   .generation = 7,
			   .uid = 1000,
			   .gid = 100,
			   .held_back = n,
			   .serial = 4294967299 },
	};
}

static inline struct audit_peer a_worker(void)
{
	return (struct audit_peer){ .version = AUDIT_VERSION,
				    .role = BIRTH_WORKER,
				    .uid = 1000,
				    .gid = 100,
				    .slot = 2147420000,
				    .pid = 4711,
				    .instance = 1 };
}

static inline struct audit_peer a_lobby(void)
{
	struct audit_peer p = a_worker();

	p.role = BIRTH_LOBBY;
	p.uid = p.gid = p.slot;
	return p;
}

#endif
