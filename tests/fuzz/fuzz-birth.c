/* SPDX-License-Identifier: MIT
 * Birth certificates. One that is accepted is told apart to its last byte, and its policy is read
 * or refused like any text. */
#include "daemon/worker/worker.h"
#include "fuzz.h"

static void read_policy(const struct certificate *c)
{
	const struct policy_options o = { .units = true, .origins = true, .home = "/home/fuzz" };
	_cleanup_free_ char *text = exactly(c->text, c->birth.policy_len);
	_cleanup_free_ struct policy_base *bases = NULL;
	struct policy *p = NULL;
	struct diags d = { 0 };
	size_t n;

	REQUIRE((policy_parse("fuzz", text, c->birth.policy_len, &o, &d, &p) == 0) ==
		(d.n_errors == 0));
	diags_deinit(&d);
	if (p)
		REQUIRE(policy_plan(p, c->birth.role == BIRTH_LENDER, &bases, &n) == 0);
	policy_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *bytes = exactly(data, size), *groups = NULL;
	struct certificate c;
	int r = certificate_decode(bytes, size, &c);

	REQUIRE(r == 0 || r == -EPROTO);
	if (r < 0)
		return 0;
	REQUIRE(c.birth.version == CONTROL_VERSION && c.birth.role <= BIRTH_LOBBY);
	REQUIRE(c.groups == bytes + sizeof c.birth && c.text == c.groups + c.groups_size);
	REQUIRE(c.text + c.text_len == bytes + size);
	REQUIRE(c.groups_size == c.birth.n_groups * sizeof(gid_t));
	groups = exactly(c.groups, c.groups_size);
	read_policy(&c);
	return 0;
}
