# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# What the tests of the booted system share.

ok() { echo "ok $*"; }
not_ok() { echo "not ok $*"; }
skip() { echo "SKIP: $*"; }

# is NAME EXPECTED ACTUAL
is() {
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1"
		printf '# expected: %s\n# actual:   %s\n' "$2" "$3"
	fi
}

# holds NAME COMMAND...: it succeeds.
holds() {
	what=$1
	shift
	if output=$("$@" 2>&1); then
		ok "$what"
	else
		not_ok "$what"
		printf '# %s\n' "$output"
	fi
}

# A user with no account, no group but its own and no capability.
as_user() {
	user=$1
	shift
	setpriv --reuid "$user" --regid "$user" --clear-groups --inh-caps=-all --no-new-privs "$@"
}

# status_of PID FIELD: one field of /proc/PID/status, blanks squeezed.
status_of() { sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status" | tr -s '\t ' ' '; }

# all_pids: the unit's processes. pids PROGRAM: those of them that run it.
all_pids() { grep -ls '/opend\.service$' /proc/[0-9]*/cgroup | cut -d/ -f3; }
pids() {
	for pid in $(all_pids); do
		[ "$(basename "$(readlink "/proc/$pid/exe")")" != "$1" ] || echo "$pid"
	done
}

# policy <TEXT: the whole of it, until the test ends.
policy() {
	install -d -m 755 /etc/opend/policy.d
	cat >/etc/opend/policy.d/50-test.policy
}

# The last line of a test: the service is stopped, its policy gone, for the next one.
finish() {
	systemctl stop opend.socket opend.service
	rm -f /etc/opend/policy.d/50-test.policy
	is "nothing is left in its control group" "" "$(all_pids)"
}
