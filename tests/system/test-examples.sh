#!/bin/sh
# SPDX-License-Identifier: MIT
# The examples of openc(1) that need more than a shell, taken out of the page as they stand there and
# run by somebody who cannot open the files himself: a client key for curl, with a server that wants
# it; a service that gets at its user's files through a socket unit; a container with only a door in
# it; Python in a sandbox.
. ./lib.sh

page=/usr/local/share/man/man1/openc.1
examples() { sed -n '/^\.Sh EXAMPLES/,/^\.Sh DIAGNOSTICS/{s/\\e/\\/g; s/\\-/-/g; p}' $page; }
# example WORD: the command in which it stands, and what continues it.
example() {
	examples | awk -v word="$1" '
		/^\$ / { text = ""; on = 1 }
		on { text = text $0 "\n" }
		on && !/\\$/ { on = 0; if (index(text, word)) { printf "%s", substr(text, 3); exit } }'
}
# file NAME: the file whose name stands above it.
file() { examples | awk -v name="$1" '$0 == "# " name { on = 1; next } /^(# \/|\.Ed)/ { on = 0 } on'; }
# as_client: the script on standard input, of a user with neither privileges nor a group but his own.
as_client() { as_user 4242 /bin/sh -s 2>&1; }
# missing PROGRAM: says so.
missing() {
	command -v "$1" >/dev/null && return 1
	skip "system: there is no $1 here"
}

mkdir -p /srv/notes /etc/ssl/private /tmp/curl
chmod 711 /etc/ssl/private
echo "Water the plants." >/srv/notes/today
policy <<-POLICY
	allow read file /etc/ssl/private/client.key to user client as root
	allow read under /srv/notes to user client
POLICY
holds "opend serves" systemctl start opend.socket

# ---- curl ----

certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
		-subj "/CN=$1" -addext "subjectAltName=DNS:$1" -keyout "$2" -out "$3" 2>/dev/null
}
if ! missing curl && ! missing openssl; then
	cd /tmp/curl || exit 1
	certificate example.org server.key server.crt
	certificate client /etc/ssl/private/client.key client.crt
	chmod 600 /etc/ssl/private/client.key server.key
	chmod 644 ./*.crt
	echo "127.0.0.1 example.org" >>/etc/hosts
	openssl s_server -accept 127.0.0.1:443 -cert server.crt -key server.key -CAfile client.crt \
		-Verify 1 -verify_return_error -www >/tmp/curl/log 2>&1 &
	server=$!
	tries=0
	until grep -q ACCEPT log || [ $tries -gt 100 ]; do
		tries=$((tries + 1))
		sleep 0.1
	done
	# What the server says of the visitor, who shows a certificate or does not get this far.
	visit() { { echo "export SSL_CERT_FILE=/tmp/curl/server.crt; cd /tmp/curl"; cat; } | as_client |
		tr -d ' ' | grep -o 'Subject:CN=client'; }
	is "curl shows its certificate, and has the key" "Subject:CN=client" "$(example curl | visit)"
	is "it cannot open the key itself" "" "$(visit <<-'SH'
		curl -s --cert client.crt --key /etc/ssl/private/client.key https://example.org/
	SH
	)"
	is "nor by the name of a descriptor" "" "$(example curl | sed 's/--copy//' | visit)"
	is "and without the key the server wants nothing of it" "" \
		"$(echo 'curl -s https://example.org/' | visit)"
	kill $server
	cd /opend-tests || exit 1
fi

# ---- a service and its socket unit ----

for unit in notes.socket notes@.service notes.service; do
	# shellcheck disable=SC2094 # the first is what awk looks for
	file /etc/systemd/system/$unit >/etc/systemd/system/$unit
done
echo "allow read under /srv/notes to user client" >/etc/notes.policy
chown client: /etc/notes.policy
systemctl daemon-reload
is "systemd finds nothing wrong with the units" "" \
	"$(systemd-analyze verify --man=no --recursive-errors=no notes.socket notes.service 2>&1)"
holds "the service ends well" systemctl start notes.service
holds "it has read its note" sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do
	journalctl -b -o cat -u notes.service | grep -qx "Water the plants." && exit; sleep 0.3; done; exit 1'
is "without opend it cannot" "" "$(systemd-run --quiet --wait --pipe -p User=client \
	-p InaccessiblePaths=/srv cat /srv/notes/today 2>/dev/null)"
sed -i 's|cat /srv/notes/today|cat /etc/hostname|' /etc/systemd/system/notes.service
systemctl daemon-reload
systemctl start notes.service 2>/dev/null
is "what its policy does not grant it does not get" 1 "$(systemctl show -P ExecMainStatus notes.service)"
is "nobody else gets through" "" "$(as_user 4243 openc --socket /run/notes cat /srv/notes/today 2>/dev/null)"
systemctl stop notes.socket

# ---- a container ----

if ! missing bwrap; then
	if [ -n "$SANITIZE" ]; then
		skip "system: a sanitizer wants more than a door in a container"
	elif as_user 4242 bwrap --unshare-all --ro-bind / / true 2>/dev/null; then
		is "a note in a container" "Water the plants." "$(example bwrap | as_client)"
		is "in which it is not" 2 "$(example bwrap | sed 's|/usr/local/bin/openc|ls|; s| cat | |' |
			as_client >/dev/null; echo $?)"
	else
		skip "system: bwrap cannot make a container here"
	fi
fi

# ---- Python ----

if ! missing python3; then
	is "Python in its sandbox" "open(): Operation not permitted
Water the plants." "$(example locked.py | as_client)"
fi

finish
