#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs fuzz targets one after the other: scripts/fuzz.sh NAME... Each starts from its corpus in the
# tree and from what it learned in earlier runs, which is kept in $BUILD/corpus/NAME; an input that
# it does not like is left in $BUILD/found. FUZZ_SECONDS for each.
set -eu
: "${BUILD:?}"
mkdir -p "$BUILD/found" "$BUILD/logs"
passed=0 failed=0
for name in "$@"; do
	learned=$BUILD/corpus/$name log=$BUILD/logs/fuzz-$name.log
	mkdir -p "$learned"
	set -- -max_total_time="${FUZZ_SECONDS:-60}" -timeout=120 -max_len=8192 -print_final_stats=1 \
		-artifact_prefix="$BUILD/found/$name-" "$learned" "tests/fuzz/corpus/$name"
	[ ! -e "tests/fuzz/fuzz-$name.dict" ] || set -- -dict="tests/fuzz/fuzz-$name.dict" "$@"
	if "$BUILD/tests/fuzz/fuzz-$name" "$@" >"$log" 2>&1 </dev/null; then
		echo "ok fuzz-$name, $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs," \
			"$(find "$learned" -type f | wc -l) learned"
		passed=$((passed + 1))
	else
		echo "not ok fuzz-$name: $log, $BUILD/found"
		grep -aE 'ERROR: |runtime error: |fuzz-.*\.c:|SUMMARY' "$log" | sed 's/^/     | /'
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
