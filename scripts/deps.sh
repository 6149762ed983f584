#!/bin/sh
# SPDX-License-Identifier: MIT
# The one list of what opend needs from the system, and how to get it on Debian 12.
#
#   scripts/deps.sh [build|check|coverage|kernel|all]    default: all
#
# Nothing missing: does nothing. Else root installs with apt-get, a user through sudo, and whoever
# can do neither gets the exact line and exit status 2. DEPS=0 never installs. Each need is probed
# for by what is used of it, not by package, so that other distributions are asked for nothing.
set -eu

# need PACKAGE COMMAND...: COMMAND says whether it is there.
missing=
need() {
	package=$1
	shift
	"$@" >/dev/null 2>&1 || missing="$missing $package"
}
tool() { command -v "$1"; }
library() { pkg-config --exists "$1"; }

# clang's fuzzer is a library of its own.
fuzzer() {
	set -- "$(clang -print-runtime-dir)"/libclang_rt.fuzzer-*.a && [ -e "$1" ]
}

# To build.
build() {
	need make tool make
	need gcc tool "${CC:-cc}"
	need libc6-dev test -e /usr/include/stdio.h	# only recommended by gcc
	need pkg-config tool pkg-config			# finds Check, and probes the next three
	need libsystemd-dev library libsystemd		# opend: sd-event, sd-daemon; opend-audit: journal
	need libcap-dev library libcap			# opend, opend-worker: capabilities
	need libseccomp-dev library libseccomp		# opend-worker: its system call filter
}
# To run the tests.
check() {
	need check library check			# the unit and integration tests' framework
	need g++ tool c++				# openc.h is for C++ as well
	need strace tool strace				# what a grant costs in system calls is traced
	if [ "$(id -u)" -eq 0 ]; then			# only root can boot a system to test in
		need systemd-container tool systemd-nspawn
		need systemd test -x /lib/systemd/systemd
		need util-linux tool unshare
		need curl tool curl			# the examples of openc(1) are run there
		need openssl tool openssl
		need bubblewrap tool bwrap
		need python3 test -x /usr/bin/python3
	fi
}
# For make coverage.
coverage() {
	need clang tool clang
	need llvm tool llvm-cov				# reads what clang's counters counted
}
# For make check-kernel.
kernel() {
	need qemu-system-x86 tool qemu-system-x86_64	# runs it, in software
	need e2fsprogs tool mke2fs			# makes its disk
	need kmod tool depmod				# knows its modules
}
# To work on it, and for .ci/run.
lint() {
	need clang tool clang				# the second compiler; none of its warnings either
	need libclang-rt-dev fuzzer			# make fuzz
	need clang-format tool clang-format		# make format-check
	need mandoc tool mandoc				# -Tlint for man pages
	need shellcheck tool shellcheck			# for these scripts
	need valgrind tool valgrind			# make check-valgrind
}

case ${1:-all} in
build) build ;;
check) build && check ;;
coverage) build && check && coverage ;;
kernel) build && check && kernel ;;
all) build && check && lint ;;
*) echo "usage: scripts/deps.sh [build|check|coverage|kernel|all]" >&2 && exit 2 ;;
esac
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
refuse() {
	printf '%s\nMissing:%s\nOn Debian and its kin, run as root:\n\n    %s\n\n' \
		"$1" "$missing" "$install" >&2
	exit 2
}
[ "${DEPS:-1}" != 0 ] || refuse "opend needs packages that are not installed."
command -v apt-get >/dev/null || refuse "opend needs packages, and there is no apt-get here."

as_root=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || refuse "opend needs packages, and only root can install them."
	if sudo -n true 2>/dev/null; then
		as_root="sudo -n"
	elif [ -t 0 ] && [ -t 2 ]; then
		as_root=sudo
	else
		refuse "opend needs packages, and sudo wants a password."
	fi
fi

echo "Installing:$missing"
# Package lists are read anew only when those at hand do not do: first try, then update, then insist.
apt() {
	# shellcheck disable=SC2086 # as_root and missing are lists of words
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" </dev/null
}
# shellcheck disable=SC2086
apt install -y --no-install-recommends $missing >/dev/null 2>&1 && exit 0
apt update
# shellcheck disable=SC2086
apt install -y --no-install-recommends $missing
