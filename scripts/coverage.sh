#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs the tests of a build with counters (make coverage) and says what they reached, room by room
# and file by file: scripts/coverage.sh PROGRAM... TEST.... HTML is left in $BUILD/html. Exit status
# 1: a test failed, or less is reached than the goals below say.
set -eu
: "${BUILD:?}"
profile=$BUILD/profile

# Daemons and tests become other users, who may neither make a file of counters nor write to one
# of root's: so each program is started once to make its own, and then they are everybody's.
rm -rf "$profile"
mkdir -p "$profile"
for program in "$@"; do
	CK_RUN_CASE=none "$program" --version >/dev/null 2>&1 </dev/null || :
done
"$BUILD/backdoor/opend-worker" >/dev/null 2>&1 </dev/null || :
chmod 666 "$profile"/*
if [ "$(id -u)" -eq 0 ] &&
	! setpriv --reuid 65534 --clear-groups ls "$profile" >/dev/null 2>&1; then
	echo "scripts/coverage.sh: other users cannot reach $BUILD; say make BUILD=/tmp/DIR" >&2
	exit 1
fi

tests=
objects=
for program in "$@"; do
	case $program in
	*/tests/*) tests="$tests $program" ;;
	esac
	objects="$objects -object $program"
done
status=0
# shellcheck disable=SC2086 # lists of words
scripts/run-tests.sh $tests || status=1

llvm-profdata merge -o "$BUILD/profdata" "$profile"/*
# shellcheck disable=SC2086
set -- $objects -instr-profile="$BUILD/profdata" -ignore-filename-regex='(^|/)tests/|\.h$'
llvm-cov show -format=html -output-dir="$BUILD/html" -show-branches=count "$@" 2>/dev/null
llvm-cov export -format=lcov "$@" 2>/dev/null >"$BUILD/lcov"
awk -v here="$PWD/" '
function rate(hit, all) { return all ? 100 * hit / all : 100 }
function row(name, k) {
	printf "%-36s %5d lines %6.1f %%   %5d branches %6.1f %%\n", name, lines[k],
		rate(lines_hit[k], lines[k]), branches[k], rate(branches_hit[k], branches[k])
}
function count(k) {
	lines[k] += lf; lines_hit[k] += lh; branches[k] += brf; branches_hit[k] += brh
}
function goal(name, k, what, hit, all, least) {
	ok = all && rate(hit, all) >= least
	printf "%s: %s, %s %.1f %%, at least %d %%\n", ok ? "reached" : "NOT REACHED", name, what,
		rate(hit, all), least
	failed += !ok
}
BEGIN {
	n = split("common/wire.c common/fdpass.c daemon/audit/record.c client/lib/answer.c " \
		"daemon/worker/certificate.c", decoder, " ")
}
/^SF:/ { file = substr($0, 4); if (index(file, here) == 1) file = substr(file, length(here) + 1) }
/^LF:/ { lf = substr($0, 4) }
/^LH:/ { lh = substr($0, 4) }
/^BRF:/ { brf = substr($0, 5) }
/^BRH:/ { brh = substr($0, 5) }
/^end_of_record/ {
	room = file; sub("/[^/]*$", "", room)
	if (!(room in rooms)) order[++n_rooms] = room
	rooms[room] = rooms[room] " " file
	count(file); count(room); count("all")
	lf = lh = brf = brh = 0
}
END {
	for (i = 1; i <= n_rooms; i++) {
		row(order[i], order[i])
		m = split(rooms[order[i]], list, " ")
		for (j = 1; j <= m; j++) row("  " substr(list[j], length(order[i]) + 2), list[j])
	}
	row("all", "all")
	goal("all rooms", "all", "lines", lines_hit["all"], lines["all"], 90)
	p = "common/policy"
	goal(p, p, "lines", lines_hit[p], lines[p], 95)
	goal(p, p, "branches", branches_hit[p], branches[p], 90)
	for (i = 1; i <= n; i++) {
		d = decoder[i]
		goal(d, d, "lines", lines_hit[d], lines[d], 95)
	}
	exit failed > 0
}' "$BUILD/lcov" || status=1
echo "$BUILD/html/index.html"
exit $status
