/* SPDX-License-Identifier: MIT
 * The words of the journal. They are an interface: people search for them and write alerts on
 * them, so none of them is ever changed. */
#include <stddef.h>
#include "messages.h"
#include "wire.h"

const char *reason_word(int reason)
{
	static const char *const words[] = {
		[WIRE_OK] = "granted",
		[WIRE_NO_RULE] = "no-rule",
		[WIRE_DENIED] = "denied",
		[WIRE_ACCESS] = "access",
		[WIRE_PLACE] = "place",
		[WIRE_TYPE] = "type",
		[WIRE_HARD_LINK] = "hard-link",
		[WIRE_KERNEL_FS] = "kernel-fs",
		[WIRE_NO_POLICY] = "no-policy",
		[WIRE_FLAGS] = "flags",
		[WIRE_PATH] = "path",
		[WIRE_MODE] = "mode",
		[WIRE_UNKNOWN] = "unknown-request",
		[WIRE_FRAME] = "frame",
		[WIRE_KERNEL] = "kernel",
		[WIRE_CHANGED] = "changed",
		[WIRE_BUSY] = "busy",
		[WIRE_STUCK] = "stuck",
		[WIRE_QUOTA] = "quota",
		[WIRE_AUDIT] = "audit",
		[WIRE_RESOURCES] = "resources",
		[WIRE_RESTART] = "restart",
		[WIRE_SLOW] = "slow",
	};

	if (reason < 0 || (size_t)reason >= sizeof words / sizeof *words || !words[reason])
		return "unknown";
	return words[reason];
}

const char *reason_told(int reason)
{
	switch (reason) {
	case WIRE_NO_RULE:
		return "no rule of the policy names this path";
	case WIRE_KERNEL:
		return "the kernel refused, as it would refuse the client's own open(2)";
	case WIRE_STUCK:
		return "earlier opens of this client still hang in the kernel";
	case WIRE_QUOTA:
		return "this client's quota is used up";
	case WIRE_AUDIT:
		return "the record that the rule demands could not be written";
	default:
		return wire_strreason(reason);
	}
}

const char *access_words(unsigned access)
{
	static const char *const words[] = {
		"",
		"read",
		"write",
		"read,write",
		"create",
		"read,create",
		"write,create",
		"read,write,create",
		"list",
		"read,list",
		"write,list",
		"read,write,list",
		"create,list",
		"read,create,list",
		"write,create,list",
		"read,write,create,list",
	};

	return words[access & WIRE_ANY];
}
