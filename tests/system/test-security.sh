#!/bin/sh
# SPDX-License-Identifier: MIT
# How far the unit confines the service, and that this hides nothing from clients: files wherever
# they are, mounts that come later, devices. Then the same with the drop-in for sites without rules
# "as root".
. ./lib.sh

unit=$(systemctl show -P FragmentPath opend.service)
docs=${unit%/lib/systemd/*}/share/doc/opend
# exposure THRESHOLD FILE...: systemd's own measure, of the files alone.
exposure() {
	threshold=$1
	shift
	cat "$@" >/tmp/opend.service
	systemd-analyze security --offline=true --no-pager --threshold="$threshold" /tmp/opend.service
}
holds "the exposure is at most 2.4" exposure 24 "$unit"
holds "and 2.2 with the drop-in" exposure 22 "$unit" "$docs/no-as-root.conf"

mkdir -p /srv/later /var/tmp/opend-test
echo "in /srv" >/srv/file
echo "in /var/tmp" >/var/tmp/opend-test/file
echo "in /tmp" >/tmp/file
echo "in /root" >/root/file
chmod 711 /root
echo "only root's" >/root/secret
chmod 600 /root/secret
policy <<-POLICY
	allow read under /srv /var/tmp/opend-test to user 4242
	allow read file /tmp/file /root/file /usr/lib/os-release to user 4242
	allow read file /dev/zero to user 4242 type char
	allow read file /root/secret to user 4242 as root
POLICY
systemctl enable --now opend.socket 2>/dev/null
cat4242() { as_user 4242 openc cat "$1" 2>&1; }

for file in /srv/file /var/tmp/opend-test/file /tmp/file /root/file /usr/lib/os-release; do
	is "$file is what all see" "$(cat $file)" "$(cat4242 $file)"
done
mount -t tmpfs tmpfs /srv/later
echo "in a mount that came later" >/srv/later/file
is "mounts come while it serves" "in a mount that came later" "$(cat4242 /srv/later/file)"
umount /srv/later
is "and go" "openc: cannot read /srv/later/file: No such file or directory" \
	"$(cat4242 /srv/later/file | head -n 1)"
is "a device can be had" 4 "$(cat4242 /dev/zero | head -c 4 | wc -c)"
is "as root too" "only root's" "$(cat4242 /root/secret)"

main=$(systemctl show -P MainPID opend.service)
holds "it has no network" test "$(readlink "/proc/$main/ns/net")" != "$(readlink /proc/1/ns/net)"

install -D -m 644 "$docs/no-as-root.conf" /etc/systemd/system/opend.service.d/no-as-root.conf
systemctl daemon-reload
systemctl restart opend.service
is "with the drop-in, others are served" "in /srv" "$(cat4242 /srv/file)"
is "a rule as root gives no more than the user has" "openc: cannot read /root/secret: Permission denied" \
	"$(cat4242 /root/secret | head -n 1)"
caps=$(for pid in $(all_pids); do status_of "$pid" CapBnd; status_of "$pid" CapPrm; done)
is "nobody may have more than ids and kill" "0000000000000000 00000000000000e0" \
	"$(echo "$caps" | sort -u | xargs)"
rm -r /etc/systemd/system/opend.service.d
systemctl daemon-reload
finish
