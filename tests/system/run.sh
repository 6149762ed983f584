#!/bin/sh
# SPDX-License-Identifier: MIT
# Boots a system to test opend as a service. The system is this machine's own root, under an overlay
# in memory, with $STAGE copied into it: nothing outside the overlay is written. Its systemd starts
# one unit that runs every tests/system/test-*.sh and powers off; results come back through a file in
# the overlay.
#
# All of it happens in a mount and a pid namespace that end with this script, however it ends: no
# mount and no process can be left. Control groups could, so they are looked after.
#
#   tests/system/run.sh [NAME...]     only these tests/system/test-NAME.sh
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
# Sanitizers make it slow.
limit=${SYSTEM_TIMEOUT:-${SANITIZE:+600}}
limit=${limit:-300}

skip() {
	echo "SKIP: system: $1"
	exit 0
}

inside() {
	work=$1
	shift
	root=$work/root
	mount -t tmpfs -o mode=755 tmpfs "$work" || skip "no tmpfs can be mounted here"
	mkdir "$work/upper" "$work/ovl" "$root"
	mount -t overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/ovl" overlay "$root" ||
		skip "no overlay can be mounted here"
	# A machine of its own, booting for the first time, and nothing of the host's that it would run.
	# Over /run and /tmp, which change while we look, nspawn mounts its own.
	: >"$root/etc/machine-id"
	: >"$root/etc/fstab"
	rm -rf "$root/etc/systemd/system" "$root/etc/opend"
	mkdir -p "$root/etc/systemd/system" "$root/opend-tests"
	cp -R "$STAGE/." "$root/"
	cp "$here"/*.sh "$root/opend-tests/"
	cat >"$root/etc/systemd/system/opend-tests.service" <<-UNIT
		[Unit]
		After=basic.target
		Requires=basic.target
		SuccessAction=poweroff-force
		FailureAction=poweroff-force
		[Service]
		Type=oneshot
		Environment="SANITIZE=$SANITIZE" "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
		ExecStart=/bin/sh /opend-tests/inside.sh $*
		StandardOutput=append:/opend-tests/results
		StandardError=inherit
		TimeoutStartSec=$limit
	UNIT
	# What the workers confine themselves with is not on nspawn's list.
	systemd-nspawn --quiet --register=no --keep-unit --private-network --link-journal=no \
		--system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
		--console=pipe --directory="$root" --boot \
		systemd.unit=opend-tests.service systemd.show_status=no \
		</dev/null >"$work/console" 2>&1 || status=$?
	cat "$work/upper/opend-tests/results" 2>/dev/null || true
	if ! grep -qx 'system: all tests ran' "$work/upper/opend-tests/results" 2>/dev/null; then
		echo "not ok system: the system did not boot, or not to the end (${status:-0})"
		sed 's/^/# console: /' "$work/console"
		return 1
	fi
}

if [ "${1:-}" = --inside ]; then
	shift
	inside "$@"
	exit
fi

[ "$(id -u)" -eq 0 ] || skip "only root can boot a system to test in"
for tool in systemd-nspawn unshare setpriv; do
	command -v $tool >/dev/null || skip "no $tool here"
done
[ -x /lib/systemd/systemd ] || skip "no systemd here"
[ -d "${STAGE:-}" ] || skip "nothing is staged; run make check-system"
unshare --mount --pid --fork --mount-proc true 2>/dev/null ||
	skip "namespaces are not permitted here"

work=$(mktemp -d /tmp/opend-system.XXXXXX)
# shellcheck disable=SC2317 # the trap calls it
cgroups() { find /sys/fs/cgroup -type d 2>/dev/null | sort; }
cgroups >"$work.cgroups"
# shellcheck disable=SC2317
# Only those that came during the run, and are empty, deepest first.
cleanup() {
	cgroups | comm -13 "$work.cgroups" - | grep -E '/(payload|supervisor)(/|$)' | sort -r |
		while read -r group; do rmdir "$group" 2>/dev/null || true; done
	rm -f "$work.cgroups"
	rmdir "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
status=0
timeout -k 5 "$limit" unshare --mount --propagation private --pid --fork --kill-child --mount-proc \
	/bin/sh "$0" --inside "$work" "$@" || status=$?
if [ "$status" -ge 124 ]; then
	echo "not ok system: still running after $limit s"
fi
exit "$status"
