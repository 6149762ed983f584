#!/bin/sh
# SPDX-License-Identifier: MIT
# Socket activation from cold: the first request starts the service and is served; then what runs is
# confined as it should be, read from /proc.
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

main=$(systemctl show -P MainPID opend.service)
user=$(id -u opend)
is "opend runs as opend" "$user $user $user $user" "$(status_of "$main" Uid)"
is "opend has no new privileges" 1 "$(status_of "$main" NoNewPrivs)"
# kill 5, setgid 6, setuid 7; DAC_OVERRIDE 1 and DAC_READ_SEARCH 2 only to hand on.
is "opend may hold no other capability" 00000000000000e6 "$(status_of "$main" CapBnd)"
is "opend uses no DAC capability" 00000000000000e0 "$(status_of "$main" CapEff)"

workers=$(pids opend-worker)
holds "there are workers" test -n "$workers"
real='' effective=''
for pid in $workers; do
	name="worker of $(status_of "$pid" Uid)"
	is "$name: no new privileges" 1 "$(status_of "$pid" NoNewPrivs)"
	is "$name: seccomp filter" 2 "$(status_of "$pid" Seccomp)"
	for set in CapInh CapEff CapAmb; do
		is "$name: $set" 0000000000000000 "$(status_of "$pid" $set)"
	done
	real="$real
$(status_of "$pid" Uid | cut -d' ' -f1)"
	effective="$effective
$(status_of "$pid" Uid | cut -d' ' -f2)"
done
is "a worker is 4242, effectively" 4242 "$(echo "$effective" | grep -x 4242 | sort -u)"
is "no two share a real uid" "" "$(echo "$real" | sort | uniq -d)"

holds "a reload with a good policy" systemctl reload opend.service
is "its generation is told" 2 "$(systemctl show -P StatusText opend.service | grep -o '[0-9]*' | head -n 1)"
echo "allow raed file / to anyone" >/etc/opend/policy.d/99-broken.policy
systemctl reload opend.service 2>/dev/null
is "a reload with a broken policy fails" 1 $?
rm /etc/opend/policy.d/99-broken.policy
is "and the old one serves" "granted by policy" "$(as_user 4242 openc cat /srv/open/granted)"
is "the same process all along" "$main" "$(systemctl show -P MainPID opend.service)"

finish
