#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs fuzz targets, LANES of them at a time (default: one): scripts/fuzz.sh NAME... Each starts
# from its corpus in the tree and from what it learned in earlier runs, which is kept in
# $BUILD/corpus/NAME; an input that it does not like is left in $BUILD/found. FUZZ_SECONDS for each.
set -eu
: "${BUILD:?}"

# fuzz_one NAME: it is the line that is counted, so one that ends without a line has failed, too.
fuzz_one() {
	name=$1 learned=$BUILD/corpus/$1 log=$BUILD/logs/fuzz-$1.log
	mkdir -p "$learned"
	set -- -max_total_time="${FUZZ_SECONDS:-60}" -timeout=120 -max_len=8192 -print_final_stats=1 \
		-artifact_prefix="$BUILD/found/$name-" "$learned" "tests/fuzz/corpus/$name"
	[ ! -e "tests/fuzz/fuzz-$name.dict" ] || set -- -dict="tests/fuzz/fuzz-$name.dict" "$@"
	if "$BUILD/tests/fuzz/fuzz-$name" "$@" >"$log" 2>&1 </dev/null; then
		echo "ok fuzz-$name, $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs," \
			"$(find "$learned" -type f | wc -l) learned"
	else
		echo "not ok fuzz-$name: $log, $BUILD/found"
		grep -aE 'ERROR: |runtime error: |fuzz-.*\.c:|SUMMARY' "$log" | sed 's/^/     | /'
	fi
}
if [ "$1" = --one ]; then
	fuzz_one "$2"
	exit
fi

mkdir -p "$BUILD/found" "$BUILD/logs"
printf '%s\0' "$@" | xargs -0 -n 1 -P "${LANES:-1}" "$0" --one | tee "$BUILD/logs/fuzz.log"
passed=$(grep -c '^ok ' "$BUILD/logs/fuzz.log" || :)
echo "$passed passed, $(($# - passed)) failed, 0 skipped"
[ "$passed" -eq $# ]
