/* SPDX-License-Identifier: MIT
 * What opend thinks of us: who we are, and which rules apply. */
#include "internal.h"

int openc_whoami(struct openc_conn *c, char **ret)
{
	WITHOUT_CANCELLATION;
	_cleanup_free_ char *body = NULL;
	int r;

	r = conn_enter(c);
	if (r < 0)
		return r;
	if (!ret)
		return message_fail(c, -EINVAL, OPENC_R_NONE);
	body = malloc(WIRE_REPLY_MAX);
	if (!body)
		return message_fail(c, -ENOMEM, OPENC_R_NONE);
	r = sync_plain(c, WIRE_INFO, body);
	if (r < 0)
		return r;
	*ret = take_ptr(body);
	return 0;
}

int openc_rules(struct openc_conn *c)
{
	WITHOUT_CANCELLATION;
	int r = conn_enter(c);

	return r < 0 ? r : sync_plain(c, WIRE_RULES, NULL);
}
