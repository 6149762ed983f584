#!/bin/sh
# SPDX-License-Identifier: MIT
# The unit of the booted system: does what an administrator does after "make install", then runs the
# tests, each with a time limit of its own.
set -u
cd /opend-tests || exit 1
. ./lib.sh

for name in "$@"; do
	set -- "$@" "./test-$name.sh"
	shift
done
[ $# -gt 0 ] || set -- ./test-*.sh

holds "accounts are made" systemd-sysusers
# A user for units, who has a name.
echo "client:x:4242:4242::/:/bin/sh" >>/etc/passwd
echo "client:x:4242:" >>/etc/group
holds "directories are made" systemd-tmpfiles --create opend.conf
holds "units are read" systemctl daemon-reload
for script; do
	timeout -k 5 120 /bin/sh "$script" </dev/null || not_ok "$script: exit status $?"
done
echo "system: all tests ran"
