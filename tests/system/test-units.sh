#!/bin/sh
# SPDX-License-Identifier: MIT
# The units themselves: systemd finds nothing wrong with them, what they make has the right owner,
# and neither a stop nor a crash of the service closes its door.
. ./lib.sh

is "systemd-analyze verify is silent" "" \
	"$(systemd-analyze verify --man=no --recursive-errors=no opend.socket opend.service 2>&1)"
is "the example policy grants nothing" "" "$(grep -v '^#' /etc/opend/policy.d/example.policy)"
holds "and is valid" opend --check /etc/opend/policy.d/example.policy
is "/run/opend is opend's" "opend 755" "$(stat -c '%U %a' /run/opend)"
is "its policy.d is root's" "root 755" "$(stat -c '%U %a' /run/opend/policy.d)"

echo "all of it" >/srv/file
# In a place that only lasts until the next boot, and among files that are none.
echo "allow read file /srv/file to anyone" >/run/opend/policy.d/10-test.policy
echo "nonsense" >/run/opend/policy.d/10-test.policy~
served() { as_user 4242 openc cat /srv/file 2>&1; }

systemctl enable --now opend.socket 2>/dev/null
is "a first request is served" "all of it" "$(served)"
is "policy.d is still root's" "root root" \
	"$(stat -c '%U %G' /run/opend/policy.d/10-test.policy)"

systemctl stop opend.service
is "stopped, the socket is there" socket "$(stat -c %F /run/opend/socket)"
is "and a request starts the service again" "all of it" "$(served)"

before=$(systemctl show -P MainPID opend.service)
kill -KILL "$before"
is "after a crash too" "all of it" "$(sleep 1; served)"
holds "by another process" test "$before" != "$(systemctl show -P MainPID opend.service)"

# More often than systemd's usual limits allow, five times in ten seconds.
for _ in 1 2 3 4 5 6 7 8; do
	systemctl kill --kill-whom=main --signal=KILL opend.service
	sleep 0.6
done
is "after nine" "all of it" "$(served)"
holds "the control socket is there" test -S /run/opend/control

systemctl stop opend.socket opend.service
rm /run/opend/policy.d/10-test.policy*
