#!/bin/sh
# SPDX-License-Identifier: MIT
# What an administrator sees of a reload: exit status, status line, journal; and that a policy with
# an error changes nothing. Then the service recovers from a main process that hangs.
. ./lib.sh

status_line() { systemctl show -P StatusText opend.service; }
# event ID: how often the journal has it, from the service.
event() { journalctl --sync && journalctl -q -o cat _SYSTEMD_UNIT=opend.service MESSAGE_ID="$1" | wc -l; }
loaded=a7eb1f4a754e4b8cb0f4037e9194e843 rejected=5c9a06d8cf7b4ea8bbe4173615cde3bc

echo "all of it" >/srv/file
echo "another" >/srv/other
echo "allow read file /srv/file to user 4242" | policy
systemctl enable --now opend.socket 2>/dev/null
served() { as_user 4242 openc cat "$1" 2>&1 | head -n 1; }

is "a first request is served" "all of it" "$(served /srv/file)"
is "the status line" "Serving policy generation 1, 1 rules." "$(status_line)"
is "the journal knows of it" "running policy generation 1, 1 rules" "$(journalctl --sync
	journalctl -q -n 1 -o cat _SYSTEMD_UNIT=opend.service MESSAGE_ID=$loaded)"
before=$(event $loaded)
printf 'allow read file /srv/%s to user 4242\n' file other | policy
holds "a good policy is loaded" systemctl reload opend.service
is "it serves when reload returns" "another" "$(served /srv/other)"
is "the status line tells" "Serving policy generation 2, 2 rules." "$(status_line)"
is "the journal too" $((before + 1)) "$(event $loaded)"

# broken WHAT: reload fails, and nothing changes.
broken() {
	before=$(event $rejected)
	systemctl reload opend.service 2>/dev/null
	is "$1: reload fails" 1 $?
	is "$1: the status line" "Serving policy generation 2, 2 rules." "$(status_line)"
	is "$1: the journal" $((before + 1)) "$(event $rejected)"
	is "$1: the old policy serves" "another" "$(served /srv/other)"
	is "$1: and the service is what it was" "active $main" \
		"$(systemctl is-active opend.service) $(systemctl show -P MainPID opend.service)"
}
main=$(systemctl show -P MainPID opend.service)
printf 'allow raed file /srv/file to anyone\n' | policy
broken "a word that is none"
holds "where, says the journal" sh -c "journalctl -q -o cat -u opend.service |
	grep -q '50-test.policy:1:7: error: '"
printf 'allow read file /srv/file to user 4242\nexpect deny read /srv/file for user 4242\n' | policy
broken "an expectation that fails"
echo "allow read file /srv/file to user 4242" | policy
chmod 666 /etc/opend/policy.d/50-test.policy
broken "a file that all may write"
chmod 644 /etc/opend/policy.d/50-test.policy
echo "set conections 5" >/etc/opend/opend.conf
broken "a setting that is none"
rm /etc/opend/opend.conf
before=$(event $rejected)
echo "no rule" | policy
systemctl restart opend.service
is "started with a broken policy it refuses everything, and says so" \
	"No valid policy: everything is refused. $((before + 1)) no valid policy loaded; everything is refused" \
	"$(status_line) $(event $rejected) $(served /srv/file | grep -o 'no valid policy.*')"
echo "allow read file /srv/file to user 4242" | policy
holds "corrected, it is loaded" systemctl reload opend.service
holds "and decides" sh -c "openc cat /srv/other 2>&1 | grep -q 'no rule'"

# A main process that hangs is killed, and the next one serves.
mkdir -p /run/systemd/system/opend.service.d
printf '[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n' >/run/systemd/system/opend.service.d/50.conf
systemctl daemon-reload
systemctl restart opend.service
is "restarted, it serves" "all of it" "$(served /srv/file)"
main=$(systemctl show -P MainPID opend.service)
old=$(all_pids)
sleep 3
is "the watchdog is fed" "$main" "$(systemctl show -P MainPID opend.service)"
kill -STOP "$main"
for _ in $(seq 100); do
	[ "$(systemctl show -P MainPID opend.service)" = "$main" ] || break
	sleep 0.1
done
is "a stopped one is killed" "no" "$(test -d "/proc/$main" && echo yes || echo no)"
is "the next serves" "all of it" "$(served /srv/file)"
is "and nothing of the old is left" "" \
	"$(for pid in $old; do all_pids | grep -x "$pid"; done)"
# So is a supervisor that hangs, as soon as somebody comes who needs it: he is not known yet.
supervisor=$(pids opend-supervisor)
kill -STOP "$supervisor"
is "who is known does not notice" "all of it" "$(served /srv/file)"
is "who comes meanwhile waits and is answered" "no rule" "$(as_user 4243 timeout 20 sh -c \
	'until openc cat /srv/file 2>&1 | grep -o "no rule"; do sleep 0.1; done')"
is "a supervisor that hung is gone" "no" "$(test -d "/proc/$supervisor" && echo yes || echo no)"
rm -r /run/systemd/system/opend.service.d
systemctl daemon-reload
finish
