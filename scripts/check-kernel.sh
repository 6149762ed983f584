#!/bin/sh
# SPDX-License-Identifier: MIT
# The unit and integration tests under the kernel that Debian 12's users have, 6.1, whatever runs
# here. A machine is booted by qemu in software emulation, so it is slow (an hour), needs no
# virtualisation and touches nothing of this system. Its disk is made of files of this root: the
# tree, what is built, and the packages of Debian that the tests run with.
#
#   BUILD=DIR scripts/check-kernel.sh PROGRAM...    as tests/unit/test-wire, below BUILD
#
# The kernel is the cloud flavour, which has its disk's driver and ext4 built in: no initramfs.
# Downloaded once into $BUILD/kernel; nothing is installed. The last line is run-tests.sh's.
set -eu
umask 022
cd "$(dirname "$0")/.."
: "${BUILD:?run it with make check-kernel}"
image=linux-image-cloud-amd64
limit=${KERNEL_TIMEOUT:-7200}
work=$BUILD/kernel

skip() {
	echo "SKIP: kernel: $1"
	echo "0 passed, 0 failed, 1 skipped"
	exit 0
}
[ "$(uname -m)" = x86_64 ] || skip "its kernel is for x86_64"
[ "$(id -u)" -eq 0 ] || skip "needs root to copy the system's files with their owners"
command -v apt-get >/dev/null || skip "Debian's kernel comes by apt-get, and there is none here"
scripts/deps.sh kernel

mkdir -p "$work"
tree=$work/root
trap 'rm -rf "$tree" "$work/disk"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
rm -rf "$tree"

# ---- the kernel ----

package=$(apt-cache depends "$image" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
[ -n "$package" ] || { echo "not ok kernel: apt-get knows no $image" && exit 1; }
if ! ls "$work/$package"_*.deb >/dev/null 2>&1; then
	(cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$package")
fi
mkdir "$tree"
dpkg-deb -x "$work/$package"_*.deb "$tree"
mv "$tree"/boot/vmlinuz-* "$work/vmlinuz"

# ---- the disk ----

# What the tests run with: what every Debian has, the packages of deps.sh, and a few more programs,
# with what they depend on.
installed() {
	# shellcheck disable=SC2046 # a list of packages
	apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts \
		--no-breaks --no-replaces --no-enhances make gcc libc6-dev pkg-config libsystemd-dev \
		libcap-dev libseccomp-dev check strace systemd util-linux kmod procps iproute2 \
		python3 e2fsprogs $(dpkg-query -W -f \
		'${Package} ${Essential}\n' | sed -n 's/ yes$//p') 2>/dev/null | grep '^[a-z]'
}
# shellcheck disable=SC2046 # a list of packages; those that are only names of others are no loss
dpkg -L $(installed | sort -u) 2>/dev/null | sed -E 's|^/(bin\|sbin\|lib\|lib64)/|/usr&|' |
	grep '^/usr/' | grep -vE '^/usr/share/(doc|man|locale|info|lintian|bug)/' | sort -u \
	>"$work/files"
# Not from packages, but they lead to what is: /usr/bin/awk.
find /usr/bin /usr/sbin -type l -lname '/etc/alternatives/*' >>"$work/files"
rm -rf "$work/modules"
mv "$tree/lib/modules" "$work/modules"
for dir in lib boot usr; do rm -rf "${tree:?}/$dir"; done
tar -c -C / --no-recursion --ignore-failed-read --verbatim-files-from -T "$work/files" 2>/dev/null |
	tar -x -C "$tree"
for dir in bin sbin lib lib64; do
	ln -s "usr/$dir" "$tree/$dir"
done
cp -a /etc "$tree/"
mkdir -p "$tree/opend/build" "$tree/root" "$tree/home" "$tree/var/tmp" \
	"$tree/srv" "$tree/proc" "$tree/sys" "$tree/dev" "$tree/run" "$tree/tmp" "$tree/mnt"
mv "$work/modules" "$tree/lib/"
# Where Debian's Python looks, once it has been set up.
for dir in /usr/local/lib/python3*/dist-packages; do mkdir -p "$tree$dir"; done
chmod 1777 "$tree/tmp" "$tree/var/tmp"
: >"$tree/etc/fstab"

tar -c --exclude=./build --exclude='./build-*' --exclude=./.git . | tar -x -C "$tree/opend"
tar -c -C "$BUILD" --exclude=./obj --exclude=./pic --exclude=./backdoor/obj --exclude=./kernel \
	--exclude=./logs --exclude='*.a' . | tar -x -C "$tree/opend/build"
# The tests that link with the library.
cp "$BUILD/libopenc.a" "$tree/opend/build/"

programs=$*
# shellcheck disable=SC2086 # a list of words
cat >"$tree/init" <<INIT
#!/bin/sh
# The whole of this system: mounts, tests, the end.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root BUILD=/opend/build
export DEPS=0 CC="${CC:-cc}" TEST_TIMEOUT=3600 CK_TIMEOUT_MULTIPLIER=10
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
ln -s /proc/self/fd /dev/fd
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t securityfs security /sys/kernel/security
mount -o remount,rw /
ip link set lo up
depmod
modprobe fuse
cd /opend
echo "Linux \$(uname -r), \$(nproc) processors, LSMs \$(cat /sys/kernel/security/lsm)"
scripts/run-tests.sh $(printf 'build/%s ' $programs)
sync
echo "check-kernel: it ran to the end"
echo o >/proc/sysrq-trigger
sleep 100
INIT
chmod 755 "$tree/init"
rm -f "$work/disk"
mke2fs -q -t ext4 -d "$tree" "$work/disk" "$(($(du -sm "$tree" | cut -f 1) * 5 / 4 + 1024))m"
rm -rf "$tree"

# ---- the run ----

# One processor: an emulated one now and then does not hear that another wakes it.
# No sound, no net, no display, no default device: a serial line for what it says.
timeout -k 10 "$limit" qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
	-accel tcg,thread=multi -machine q35 -cpu max -smp 1 -m 2048 \
	-drive "if=none,id=disk,format=raw,cache=unsafe,file=$work/disk" \
	-device nvme,drive=disk,serial=opend -device virtio-rng-pci \
	-serial stdio -kernel "$work/vmlinuz" \
	-append "root=/dev/nvme0n1 ro init=/init console=ttyS0 quiet panic=-1" </dev/null |
	sed -u 's|\r$||' | tee "$BUILD/kernel.log"
grep -q '^check-kernel: it ran to the end' "$BUILD/kernel.log" || {
	echo "not ok kernel: it did not run to the end; see $BUILD/kernel.log"
	exit 1
}
[ "$(sed -nE 's/^[0-9]+ passed, ([0-9]+) failed, .*/\1/p' "$BUILD/kernel.log" | tail -n 1)" = 0 ]
