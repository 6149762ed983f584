#!/bin/sh
# SPDX-License-Identifier: MIT
# What administrators find in the journal: every field, what journalctl -x says of it, and how much
# of a flood. Then a denial from end to end, as README.md and opend(8) tell it.
. ./lib.sh

holds "the catalog is read" journalctl --update-catalog
audit=$(id -u opend-audit)
mkdir -p /srv/media /srv/keys
echo "a film" >/srv/media/film
echo "a key" >/srv/keys/key
chmod 700 /srv/keys
ln -s media/film /srv/link
policy <<-POLICY
	allow read file /srv/keys/key to user 4242 as root log
	allow read file /srv/link to user 4242
	allow list under /srv/media to user 4242
	allow read file /nowhere to unit nowhere.service
POLICY
systemctl enable --now opend.socket 2>/dev/null

# entry SERIAL: the OPEND_ fields of the entry, but for those that are numbers of processes.
entry() {
	journalctl --sync
	journalctl -q -n 1 -o export OPEND_SERIAL="$1" _UID="$audit" _SYSTEMD_UNIT=opend.service |
		grep -a '^OPEND_' | grep -av '^OPEND_\(SERIAL\|WORKER\)=' | LC_ALL=C sort
}
in_client() {
	systemd-run --quiet --wait --pipe --collect --unit=opend-client -p User=client -p Group=daemon \
		"$@" 2>&1
}
in_client openc cat /srv/link >/tmp/refused
serial=$(sed -n 's/.*OPEND_SERIAL=//p' /tmp/refused)
is "a denial" "OPEND_ACCESS=read
OPEND_DECISION=denial
OPEND_ERRNO=13
OPEND_GENERATION=1
OPEND_GID=1
OPEND_PATH=/srv/link
OPEND_PLACE=/srv/media/film
OPEND_REASON=access
OPEND_RULE=/etc/opend/policy.d/50-test.policy:3
OPEND_UID=4242
OPEND_UNIT=opend-client.service
OPEND_VIA=main" "$(entry "$serial")"
is "its message" "denied: uid 4242 may not read /srv/link, which leads to /srv/media/film: " \
	"$(journalctl -q -n 1 -o cat OPEND_SERIAL="$serial" | grep -o '^.*film: ')"
is "the key is given" "a key" "$(in_client openc cat /srv/keys/key)"
journalctl --sync
serial=$(journalctl -q -n 1 -o cat --output-fields=OPEND_SERIAL OPEND_DECISION=grant)
is "a grant" "OPEND_ACCESS=read
OPEND_AS=root
OPEND_DECISION=grant
OPEND_GENERATION=1
OPEND_GID=1
OPEND_PATH=/srv/keys/key
OPEND_REASON=granted
OPEND_RULE=/etc/opend/policy.d/50-test.policy:1
OPEND_UID=4242
OPEND_UNIT=opend-client.service
OPEND_VIA=main" "$(entry "$serial")"

# A path that would be a field, a line or another's message.
as_user 4242 openc cat "/x
OPEND_UID=0
é" 2>/dev/null
is "no path makes a field" '/x\x0aOPEND_UID=0\x0a\xc3\xa9' "$(journalctl --sync
	journalctl -q -o cat --output-fields=OPEND_PATH -n 1 OPEND_DECISION=denial)"

# The flood: 10^5 denials of one user, who holds what he is allowed to; of another one.
before=$(date +%s)
number() { openc status --openmetrics | sed -n "s/^opend_$1 //p"; }
seq -f /flood/%.0f 100000 | xargs -n 10000 setpriv --reuid 4250 --regid 4250 --clear-groups \
	openc cat 2>/dev/null
is "100000 are counted" 100000 "$(openc status --openmetrics |
	sed -n 's/^opend_denials_total{reason="no-rule"} //p' | awk '{ print int($1 / 100000) * 100000 }')"
as_user 4251 openc cat /mine 2>/tmp/mine
holds "another's denial is on record" grep -q OPEND_SERIAL= /tmp/mine
# The last count comes when there is a token for it.
sleep 2
took=$(($(date +%s) - before))
journalctl --sync
written=$(journalctl -q -o cat OPEND_DECISION=denial OPEND_UID=4250 | wc -l)
held=$(journalctl -q -o cat --output-fields=OPEND_HELD_BACK OPEND_DECISION=suppressed OPEND_UID=4250 |
	awk '{ n += $1 } END { print n + 0 }')
is "what is written and what is counted are all" 100000 $((written + held))
holds "what is written is what the settings allow" test "$written" -ge 20 -a \
	"$written" -le $((20 + 10 * (took + 1)))
is "the status tells of the rest" "$held" "$(number audit_dropped_total)"

# A journal that takes nothing: nobody waits, nothing is missing in the count.
printf 'set denials-%s 1000\n' burst per-second >/etc/opend/opend.conf
systemctl restart opend.service
journald=$(systemctl show -P MainPID systemd-journald.service)
kill -STOP "$journald"
seq -f /stuck/%.0f 4000 | xargs -n 4000 setpriv --reuid 4252 --regid 4252 --clear-groups \
	openc cat 2>/dev/null
sleep 1
kill -CONT "$journald"
sleep 1.5
journalctl --sync
written=$(journalctl -q -o cat OPEND_DECISION=denial OPEND_UID=4252 | wc -l)
# Those of the journal's own kind, and those that the worker held back.
lost=$(journalctl -q -o cat --output-fields=OPEND_HELD_BACK MESSAGE_ID=d48a9572914d434db2357b2ff8e76ea1 |
	awk '{ n += $1 } END { print n + 0 }')
held=$(journalctl -q -o cat --output-fields=OPEND_HELD_BACK OPEND_DECISION=suppressed OPEND_UID=4252 |
	awk '{ n += $1 } END { print n + 0 }')
holds "a journal that is stuck loses some" test "$lost" -gt 0
is "and none is missing in the count" 4000 $((written + held + lost))
is "nor in the status" $((held + lost)) "$(number audit_dropped_total)"
rm /etc/opend/opend.conf
systemctl reload opend.service

last=$(journalctl -q -o cat -n 1 --output-fields=OPEND_HELD_BACK \
	MESSAGE_ID=4cfe9bc1579e4c13b37ce0a9c4ca956b)

# ---- what journalctl -x says, of each kind there is by now ----
kill -KILL "$(pids opend-worker | sed -n 1p)"
systemctl reload opend.service
echo "no rule" >/etc/opend/policy.d/60-broken.policy
systemctl reload opend.service 2>/dev/null
rm /etc/opend/policy.d/60-broken.policy
sleep 0.2
journalctl --sync
while read -r id subject; do
	is "journalctl -x: $subject" "-- Subject: $subject" "$(journalctl -q -x -n 1 MESSAGE_ID="$id" \
		_SYSTEMD_UNIT=opend.service | grep -a -- '^.. Subject: ' | sed 's/^.. /-- /')"
done <<-IDS
	f1db76ba859e441c9552ba2e08c9b120 uid 4242 was given an open file
	9ee4ce8b8d444c13a4530ef3358afc00 uid 4252 was refused a file
	4cfe9bc1579e4c13b37ce0a9c4ca956b $last refusals were not written one by one
	a7eb1f4a754e4b8cb0f4037e9194e843 A policy was loaded
	5c9a06d8cf7b4ea8bbe4173615cde3bc The policy has errors and was not loaded
	b1c62b30898f46498e0f4ec2ccb0ee46 A process of opend ended in an unexpected way
IDS

# ---- a denial from end to end ----
echo "alice:x:4260:4260::/:/bin/sh" >>/etc/passwd
rm /etc/opend/policy.d/50-test.policy
rule=/etc/opend/policy.d/50-media.policy
echo "allow list under /srv/media to user alice" >$rule
systemctl reload opend.service
as_user 4260 openc cat /srv/media/film >/dev/null 2>/tmp/refused
is "the user is told why" "openc: cannot read /srv/media/film: a rule names this path, but not for this access
openc: no rule grants: read" "$(head -n 2 /tmp/refused)"
serial=$(sed -n 's/^openc: in the journal: journalctl OPEND_SERIAL=//p' /tmp/refused)
journalctl --sync
is "the journal has it under that number" "denied: uid 4260 may not read /srv/media/film: a rule \
names this path, but not for this access (rule $rule:1, serial $serial)" \
	"$(journalctl -q -o cat -n 1 OPEND_SERIAL="$serial")"
is "openc explain says what lacks" "denied: a rule names this path, but not for this access
nearest $rule:1
    allow list under /srv/media to user alice
    lacks: read" "$(openc explain --user alice --read /srv/media/film)"
sed -i 's/^allow list /allow read,list /' $rule
is "opend --check" "1 rules, no errors." "$(opend --check 2>&1)"
is "openc explain, of what is not loaded yet" "allowed as caller" \
	"$(openc explain --user alice --read /srv/media/film | head -n 1)"
holds "systemctl reload opend" systemctl reload opend
is "and alice has it" "a film" "$(as_user 4260 openc cat /srv/media/film)"
rm $rule
finish
