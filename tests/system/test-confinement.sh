#!/bin/sh
# SPDX-License-Identifier: MIT
# Each process of the service, read from /proc: who it is, what it may, by which filters it is held.
. ./lib.sh

mkdir -p /srv/own
echo "of all" >/srv/own/file
echo "of root" >/srv/own/key
chmod 600 /srv/own/key
policy <<-POLICY
	allow read file /srv/own/file to user 4242,4244
	allow read,write file /srv/own/key to user 4242 as root
	allow read file /srv/own/key to user 4244 as root
POLICY
systemctl enable --now opend.socket 2>/dev/null
for user in 4242 4244; do
	is "$user is served" "of all" "$(as_user $user openc cat /srv/own/file)"
	is "$user is served as root" "of root" "$(as_user $user openc cat /srv/own/key)"
done
as_user 4243 openc cat /srv/own/file 2>/dev/null
is "4243 is not" 1 $?

opend=$(id -u opend) audit=$(id -u opend-audit)
none=0000000000000000
first=2147420000 last=2147424095
main=$(systemctl show -P MainPID opend.service)
is "the main process is opend" opend "$(basename "$(readlink "/proc/$main/exe")")"
filters=$(status_of "$main" Seccomp_filters)

# within NAME MASK VALUE: no capability but those of the mask.
within() { is "$1" 0 "$((0x$3 & ~0x$2))"; }

roles='' real=''
for pid in $(all_pids); do
	program=$(basename "$(readlink "/proc/$pid/exe")")
	role=$(tr '\0' ' ' <"/proc/$pid/cmdline" | cut -d' ' -f2)
	case $program in
	opend-worker) name="$role, uid $(status_of "$pid" Uid | cut -d' ' -f2)" ;;
	*) name=$program ;;
	esac
	roles="$roles
$program $(test "$program" != opend-worker || echo "$role")"
	# shellcheck disable=SC2046 # real, effective, saved, of the file system
	set -- $(status_of "$pid" Uid)
	is "$name: file system uid" "$2" "$4"
	is "$name: real and saved uid" "$1" "$3"
	is "$name: gids are as uids" "$*" "$(status_of "$pid" Gid)"
	is "$name: no other group" "" "$(status_of "$pid" Groups | tr ' ' '\n' | grep -vx "$2")"
	is "$name: no new privileges" 1 "$(status_of "$pid" NoNewPrivs)"
	is "$name: a system call filter" 2 "$(status_of "$pid" Seccomp)"
	is "$name: nothing inheritable" "$none $none" \
		"$(status_of "$pid" CapInh) $(status_of "$pid" CapAmb)"
	within "$name: bounded" e6 "$(status_of "$pid" CapBnd)"
	is "$name: not to be traced, no core" "0 0" "$(stat -c %u "/proc/$pid/environ") \
$(sed -n 's/^Max core file size *\([^ ]*\).*/\1/p' "/proc/$pid/limits")"
	case $program in
	opend | opend-supervisor)
		is "$name: who it is" "$opend $opend" "$1 $2"
		within "$name: ids and kill" e0 "$(status_of "$pid" CapEff)"
		;;
	opend-audit)
		is "$name: who it is" "$audit $audit" "$1 $2"
		is "$name: no capability" "$none $none" \
			"$(status_of "$pid" CapPrm) $(status_of "$pid" CapEff)"
		;;
	opend-worker)
		holds "$name: a real uid of nobody" test "$1" -ge $first -a "$1" -le $last
		is "$name: no capability in force" $none "$(status_of "$pid" CapEff)"
		real="$real
$1"
		;;
	esac
	case $program-$role-$2 in
	opend-worker-lender-4242) mask=6 ;;
	opend-worker-lender-4244) mask=4 ;;
	opend-worker-lobby-"$1") mask=0 ;;
	opend-worker-worker-424[24]) mask=0 ;;
	opend-worker-*) mask='' not_ok "$name: who it is" ;;
	*) mask=e6 ;;
	esac
	[ -z "$mask" ] || within "$name: permitted" "$mask" "$(status_of "$pid" CapPrm)"
	case $program in
	opend-worker | opend-audit)
		holds "$name: a filter of its own" \
			test "$(status_of "$pid" Seccomp_filters)" -gt "$filters"
		;;
	esac
done
is "these there are" "opend-worker lender:2 opend-worker lobby:1 opend-worker worker:2" \
	"$(echo "$roles" | grep opend-worker | sort | uniq -c | sed 's/^ *\([0-9]*\) \(.*\)/\2:\1/' |
		xargs)"
is "no two share a real uid" "" "$(echo "$real" | sort | uniq -d)"
finish
