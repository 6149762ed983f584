#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs test programs, LANES of them at a time (default: one), and counts. A line per program, the
# whole output of those that failed, every skip with its reason, and at the end a plain "N passed, N
# failed, N skipped".
#
# Programs that run at a time are in each other's way where the kernel counts by user, as descriptors
# in flight. So one that fails beside another is run once more, alone, and that is what counts; both
# are shown.
#
# A program counts its own tests: with Check ("Checks: 5, Failures: 0, Errors: 0"), or with lines
# "ok NAME" and "not ok NAME". A test that cannot run here prints "SKIP: NAME: REASON"; within a
# Check test, which then returns, that is taken off Check's passes. A program that runs and skips
# nothing has failed, and so has one after whose run a sanitizer's report is in its output.
#
# Programs find in the environment: BUILD, the build directory; STAGE, a directory that every user
# can reach, with "make install DESTDIR=$STAGE" done; SANITIZE, empty for a plain build; VALGRIND,
# the command with its options that each program is run by, or empty.
set -eu
umask 022
: "${BUILD:?}"
export BUILD
limit=${TEST_TIMEOUT:-600}
# Not for the make that a test may start: its jobs and goals are its own.
unset MAKEFLAGS MFLAGS MAKELEVEL || true
export CK_FORK=yes CK_VERBOSITY=normal CK_TIMEOUT_MULTIPLIER="${CK_TIMEOUT_MULTIPLIER:-1}"
if [ -n "${SANITIZE:-}" ]; then
	CK_TIMEOUT_MULTIPLIER=4
	export UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
fi
export SANITIZE="${SANITIZE:-}"
[ -z "${VALGRIND:-}" ] || CK_TIMEOUT_MULTIPLIER=10
export VALGRIND="${VALGRIND:-}"

count() { grep -acE "$1" "$log" || true; }
# The sum of one of Check's figures over all suites of the program.
check_sum() {
	grep -aE '^[0-9]+%: Checks: ' "$log" |
		sed -E "s/.*$1: ([0-9]+).*/\1/" | awk '{ n += $1 } END { print n + 0 }'
}

# run_one PROGRAM: its report, and its three numbers into $COUNTS.
run_one() {
	program=$1
	name=$(basename "$(dirname "$program")")/$(basename "$program")
	log=$BUILD/logs/$(echo "$name" | tr / -).log
	status=0
	began=$(date +%s)
	# shellcheck disable=SC2086 # a command and its options
	timeout -k 10 "$limit" $VALGRIND "$program" >"$log" 2>&1 </dev/null || status=$?
	took=$(($(date +%s) - began))

	bad=$(($(check_sum Failures) + $(check_sum Errors) + $(count '^not ok ')))
	skips=$(count '^SKIP: ')
	good=$(($(check_sum Checks) - $(check_sum Failures) - $(check_sum Errors)))
	# Check saw a skipping test return, which is a pass to it.
	[ "$good" -ge "$skips" ] && good=$((good - skips))
	good=$((good + $(count '^ok ')))
	why=
	if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
		why="still running after $limit s"
	elif [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
		why="exit status $status"
	elif [ $((good + bad + skips)) -eq 0 ]; then
		why="it ran no test"
	elif grep -aqE 'ERROR: [A-Za-z]*Sanitizer|: runtime error: |WARNING: ThreadSan' "$log"; then
		why="a sanitizer's report"
	fi
	[ -z "$why" ] || bad=$((bad + 1))

	if [ "$bad" -eq 0 ]; then
		verdict=PASS
		[ "$good" -gt 0 ] || verdict=SKIP
	else
		verdict=FAIL
		[ "$AGAIN" = no ] || verdict=AGAIN
	fi
	report=$log.report
	{
		printf '%s %-34s %4d passed, %d failed, %d skipped, %d s%s\n' \
			"$verdict" "$name" "$good" "$bad" "$skips" "$took" "${why:+ ($why)}"
		if [ "$bad" -eq 0 ]; then
			grep -a '^SKIP: ' "$log" | sed 's/^/     /' || true
		else
			sed 's/^/     | /' "$log"
		fi
	} >"$report"
	if [ "$verdict" = AGAIN ]; then
		echo "$program" >>"$COUNTS.again"
	else
		echo "$good $bad $skips" >>"$COUNTS"
	fi
	flock "$COUNTS" cat "$report"
	rm -f "$report"
}
if [ "$1" = --one ]; then
	run_one "$2"
	exit
fi

STAGE='' counts=$(mktemp)
cleanup() {
	rm -f "$counts" "$counts.again"
	if [ -n "$STAGE" ]; then rm -rf "$STAGE"; fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
if [ -d "$BUILD/stage" ]; then
	STAGE=$(mktemp -d /tmp/opend-stage.XXXXXX)
	chmod 755 "$STAGE"
	cp -R "$BUILD/stage/." "$STAGE/"
	export STAGE
fi

mkdir -p "$BUILD/logs"
export COUNTS="$counts" AGAIN=no
[ "${LANES:-1}" -le 1 ] || AGAIN=yes
: >"$COUNTS.again"
printf '%s\0' "$@" | xargs -0 -n 1 -P "${LANES:-1}" "$0" --one || :
AGAIN=no
while read -r program; do
	"$0" --one "$program" </dev/null || :
done <"$COUNTS.again"
# A program whose numbers are missing has failed as well.
awk -v programs=$# '{ good += $1; bad += $2; skips += $3; n++ }
	END {
		bad += programs - n
		printf "%d passed, %d failed, %d skipped\n", good, bad, skips
		exit bad > 0 || good + skips == 0
	}' "$COUNTS"
