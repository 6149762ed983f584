#!/bin/sh
# SPDX-License-Identifier: MIT
# Socket activation from cold: the first request starts the service and is served.
. ./lib.sh

mkdir -p /srv/open
echo "granted by policy" >/srv/open/granted
echo "as only root may" >/srv/open/secret
echo "denied by policy" >/srv/open/denied
chmod 600 /srv/open/secret
policy <<-POLICY
	allow read file /srv/open/granted /srv/open/denied to user 4242
	allow read file /srv/open/secret to user 4242 as root
	deny read file /srv/open/denied to anyone
POLICY

holds "opend.socket can be enabled" systemctl enable --now opend.socket
is "the service is not running" inactive "$(systemctl is-active opend.service)"
is "an unprivileged user is served" "granted by policy" "$(as_user 4242 openc cat /srv/open/granted)"
is "the service is running" active "$(systemctl is-active opend.service)"
is "as root is served" "as only root may" "$(as_user 4242 openc cat /srv/open/secret)"

# refused NAME UID PATH REASON
refused() {
	as_user "$2" openc cat "$3" >/tmp/out 2>/tmp/err
	is "$1: exit status" 1 $?
	is "$1: nothing on stdout" "" "$(cat /tmp/out)"
	holds "$1: the reason" grep -q "$4" /tmp/err
}
refused "a deny" 4242 /srv/open/denied "a deny rule names this path"
refused "no rule" 4242 /etc/hostname "no rule"
refused "another user" 4243 /srv/open/secret "no rule"

finish
