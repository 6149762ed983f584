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

# pids PROGRAM: of the unit's processes, those that run it.
pids() {
	for exe in /proc/[0-9]*/exe; do
		pid=${exe%/exe}
		pid=${pid#/proc/}
		if [ "$(basename "$(readlink "$exe")")" = "$1" ] &&
			grep -q '/opend\.service$' "/proc/$pid/cgroup"; then
			echo "$pid"
		fi
	done
}
