#!/bin/sh
# SPDX-License-Identifier: MIT
# Clients as systemd makes them: a user who is only as long as the service runs, a service known by
# its unit, one that is locked in and has a door of its own. As opend(8) tells it, "As a service".
. ./lib.sh

echo "of the unit" >/srv/of-unit
echo "of the door" >/srv/of-door
echo "of all" >/srv/of-all
policy <<-POLICY
	allow read file /srv/of-unit to unit opend-client.service
	allow read file /srv/of-door to user 4242 and via box
	allow read file /srv/of-all to anyone
POLICY
systemctl enable --now opend.socket 2>/dev/null

# in_unit PROPERTY... -- COMMAND...: in a service of its own, opend-client.service.
in_unit() {
	properties=
	while [ "$1" != -- ]; do
		properties="$properties -p $1"
		shift
	done
	shift
	# shellcheck disable=SC2086 # a list of words
	systemd-run --quiet --wait --pipe --collect --unit=opend-client $properties "$@" 2>&1
}

is "a user who is not there yet" "of all" "$(in_unit DynamicUser=yes -- openc cat /srv/of-all)"
is "who he was, opend knew" "unit=opend-client.service via=main" "$(in_unit DynamicUser=yes -- \
	openc whoami | grep -E '^(unit|via)=' | sort | xargs)"
is "a rule for a unit" "of the unit" "$(in_unit User=client -- openc cat /srv/of-unit)"
is "is not for others of that user" "no rule" \
	"$(as_user 4242 openc cat /srv/of-unit 2>&1 | grep -o -m 1 'no rule')"

mkdir -p /etc/systemd/system/opend.socket.d
cat >/etc/systemd/system/opend-box.socket <<-UNIT
	[Socket]
	ListenStream=/run/opend-box/socket
	FileDescriptorName=box
	SocketMode=0660
	SocketGroup=client
	Service=opend.service
	[Install]
	WantedBy=sockets.target
UNIT
# A second place for the same door.
printf '[Socket]\nListenStream=/run/opend-main-2\n' >/etc/systemd/system/opend.socket.d/second.conf
systemctl daemon-reload
systemctl stop opend.service opend.socket 2>/dev/null
holds "a door can be added" systemctl enable --now opend-box.socket opend.socket
box="TemporaryFileSystem=/run TemporaryFileSystem=/srv BindPaths=/run/opend-box User=client"
# shellcheck disable=SC2086 # a list of words
in_box() { in_unit $box -- "$@"; }
is "who is locked in sees no file" "cannot access '/srv/of-door': No such file or directory" \
	"$(in_box ls /srv/of-door | grep -o 'cannot.*')"
is "nor the door of all" "cannot access '/run/opend': No such file or directory" \
	"$(in_box ls /run/opend | grep -o 'cannot.*')"
is "through his own door he is given it" "of the door" \
	"$(in_box openc --socket /run/opend-box/socket cat /srv/of-door)"
is "through another he is not" "no rule" \
	"$(as_user 4242 openc cat /srv/of-door 2>&1 | grep -o -m 1 'no rule')"
is "nobody else may knock at it" \
	"openc: cannot reach opend at /run/opend-box/socket: you may not connect to this socket" \
	"$(as_user 4243 openc --socket /run/opend-box/socket cat /srv/of-door 2>&1)"
is "the second place of a door" "via=main" \
	"$(openc --socket /run/opend-main-2 whoami | grep '^via=')"

rm -r /etc/systemd/system/opend.socket.d
systemctl disable --now opend-box.socket 2>/dev/null
rm /etc/systemd/system/opend-box.socket
systemctl stop opend.service opend.socket 2>/dev/null
systemctl daemon-reload
finish
