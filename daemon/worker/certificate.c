/* SPDX-License-Identifier: MIT
 * The birth certificate: a struct, the groups, the text of the policy and, with `set explain full`,
 * that of all rules. It comes from the supervisor of our own build; that it is whole is looked at
 * all the same, since what we are to become stands in it. */
#include <errno.h>
#include "worker.h"

enum { IDENTITY_GROUPS_MAX = 65536 };

int certificate_decode(const void *bytes, size_t size, struct certificate *ret)
{
	struct birth *b = &ret->birth;

	if (size < sizeof *b)
		return -EPROTO;
	memcpy(b, bytes, sizeof *b);
	if (b->version != CONTROL_VERSION || b->role > BIRTH_LOBBY ||
	    b->n_groups > IDENTITY_GROUPS_MAX || b->denials_per_second == 0)
		return -EPROTO;
	ret->groups = (const char *)bytes + sizeof *b;
	ret->groups_size = b->n_groups * sizeof(gid_t);
	ret->text = ret->groups + ret->groups_size;
	ret->text_len = (size_t)b->policy_len + b->rules_len;
	return size == sizeof *b + ret->groups_size + ret->text_len ? 0 : -EPROTO;
}
