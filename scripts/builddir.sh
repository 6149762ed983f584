#!/bin/sh
# SPDX-License-Identifier: MIT
# Prints the directory that make builds in: build/ when it is ours or can become ours. When root
# has built there, or the tree belongs to somebody else, one that is ours alone, so that "make demo"
# as root and "make check" as a user never stand in each other's way. Never a directory in /tmp
# that somebody else prepared for us.
set -eu
uid=$(id -u)

# Ours, or not there yet in a place where we may make it. Root may write anywhere, but what it
# leaves in another's directory is what this script is here to prevent.
usable() {
	if [ -e "$1" ] || [ -L "$1" ]; then
		[ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] && [ -w "$1" ]
	else
		[ -w "$(dirname "$1")" ]
	fi
}

for dir in build "build-$uid"; do
	if usable "$dir"; then
		echo "$dir"
		exit 0
	fi
done
# A tree that we may only read; there may be others.
name=opend-build-$(pwd -P | cksum | cut -d ' ' -f 1)
cache=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}
if mkdir -p "$cache" 2>/dev/null && usable "$cache/$name"; then
	echo "$cache/$name"
else
	dir=${TMPDIR:-/tmp}/$name-$uid
	mkdir -m 700 "$dir" 2>/dev/null || true
	if usable "$dir"; then
		echo "$dir"
	else
		echo "scripts/builddir.sh: $dir is not ours; say make BUILD=DIR" >&2
		exit 1
	fi
fi
