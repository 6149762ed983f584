#!/bin/sh
# SPDX-License-Identifier: MIT
# How much code of ours is in the one process that has capabilities: the lines of every file that
# is linked into opend-supervisor except the policy's, without comments and empty lines; the
# headers of those files apart, which hold declarations. Fails above the limit.
#
#   BUILD=DIR scripts/count-supervisor.sh		DIR: where opend-supervisor was built, without SANITIZE
set -eu
cd "$(dirname "$0")/.."
limit=1000
build=${BUILD:-$(scripts/builddir.sh)}
code() { "${CC:-cc}" -fpreprocessed -dD -E -P "$1" 2>/dev/null | grep -c . || true; }

# Which files, the program itself knows.
files=$(readelf --debug-dump=info --dwarf-depth=1 "$build/opend-supervisor" 2>/dev/null |
	sed -nE 's/.*DW_AT_name .*: ((daemon|common)\/.*\.c)$/\1/p' | sort -u)
[ -n "$files" ] || { echo "$build/opend-supervisor: not built, or without -g" >&2 && exit 2; }
total=0
for file in $files; do
	case $file in
	common/policy/*) continue ;;
	esac
	lines=$(code "$file")
	total=$((total + lines))
	printf '%5d  %s\n' "$lines" "$file"
done
printf '%5d  of at most %d\n' "$total" "$limit"
headers=0
for file in daemon/supervisor/supervisor.h common/ask.h common/control.h common/fdpass.h common/util.h; do
	headers=$((headers + $(code "$file")))
done
printf '%5d  in headers\n' "$headers"
[ "$total" -le "$limit" ]
