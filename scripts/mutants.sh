#!/bin/sh
# SPDX-License-Identifier: MIT
# A defence that no test would miss is not one that lasts. Each tests/mutants/NAME.patch takes one
# out: its header says which, and names the test that must fail without it,
#
#	Test: KIND/PROGRAM TEST			Test: integration/test-grants deny_over_allow
#
# The tree is copied and built once, and each of those tests must pass in it. Then each mutant gets
# a copy of that copy, the patch, make, and its one test. A mutant lives on, and this fails, when
# that test does not fail; when the patch no longer applies, or what it makes does not compile.
#
#   scripts/mutants.sh [--tenth | NAME...]    default: all; --tenth: those of today
#
# An integration test runs what is staged, so its program is made anew only where the library that
# it is linked with is what the patch changes. As many mutants as there are processors are tried at
# a time; LANES=N says otherwise. KEEP=DIR keeps the logs. At the end a plain "N passed, N failed,
# N skipped"; skipped are mutants whose test skips here, with its reason.
set -eu
umask 022
cd "$(dirname "$0")/.."
here=$PWD
patches=tests/mutants
limit=300
unset MAKEFLAGS MFLAGS MAKELEVEL || true
unset BUILD STAGE SANITIZE CK_RUN_CASE CK_RUN_SUITE OPENC_SOCKET || true
export CK_FORK=yes CK_VERBOSITY=verbose CK_TIMEOUT_MULTIPLIER="${CK_TIMEOUT_MULTIPLIER:-1}"
# Nothing that lies around the scratch directory is a repository of ours to git apply.
export GIT_CEILING_DIRECTORIES=/

# ---- which ----

all() { find "$patches" -name '*.patch' | sed 's|.*/||; s|\.patch$||' | LC_ALL=C sort; }
case ${1:-} in
'') chosen=$(all) ;;
--tenth) chosen=$(all | awk -v day="$(($(date +%s) / 86400))" 'NR % 10 == day % 10') ;;
-*) echo "usage: scripts/mutants.sh [--tenth | NAME...]" >&2 && exit 2 ;;
*) chosen=$(printf '%s\n' "$@" | sed 's|.*/||; s|\.patch$||') ;;
esac

# of NAME: the program and the test that its header names.
of() { sed -nE '/^---/q; s|^Test: ([a-z]+/test-[a-z0-9-]+ [a-z0-9_]+)$|\1|p' "$patches/$1.patch"; }
bad=
for mutant in $chosen; do
	if [ ! -f "$patches/$mutant.patch" ]; then
		bad="$bad $mutant: there is no such patch;"
	elif [ "$(of "$mutant" | wc -l)" -ne 1 ]; then
		bad="$bad $mutant: its header names no one test;"
	fi
done
[ -z "$bad" ] || { echo "scripts/mutants.sh:$bad" >&2 && exit 2; }

# ---- where ----

# Every uid of the tests must be able to search it.
work=$(mktemp -d /tmp/opend-mutants.XXXXXX)
trap 'rm -rf "$work"' EXIT
pids=
trap 'exit 130' INT
trap 'kill $pids 2>/dev/null; exit 143' TERM HUP
chmod 755 "$work"
mkdir "$work/tree"
tar -c --exclude=./build --exclude='./build-*' --exclude=./.git . | tar -x -C "$work/tree"

# make_in TREE LOG GOAL...: plain programs, made quickly.
make_in() {
	tree=$1 log=$2
	shift 2
	make -s -C "$tree" "-j$(nproc)" BUILD=b CC="${CC:-cc}" CFLAGS="-O1 -g0" DEPS=0 "$@" \
		>"$log" 2>&1
}
# run_in TREE LOG PROGRAM [CASE]: what came of it stands in the log.
run_in() (
	cd "$1"
	[ -z "${4:-}" ] || export CK_RUN_CASE="$4"
	BUILD=$1/b timeout -k 10 "$limit" "b/tests/$3" >"$2" 2>&1 </dev/null || true
)
# says LOG LETTERS TEST: how often Check says so of it: P passed, F failed, E died or took too long,
# S failed when its fixture looked what it left.
says() { grep -acE "^[^:]+:[0-9]+:[$2]:[^:]*:$3:[0-9]+:" "$1" || true; }

# tell VERDICT MUTANT WORDS [LOG]: in one piece, since others are writing too.
tell() {
	line=$(printf '%-5s %-36s %s' "$1" "$2" "$3")
	[ -z "${4:-}" ] || line=$(printf '%s\n' "$line" && tail -n 30 "$4" | sed 's/^/      | /')
	echo "$1" >>"$work/verdicts"
	printf '%s\n' "$line"
}
count() { grep -c "^$1\$" "$work/verdicts" 2>/dev/null || true; }

# ---- without a patch ----

# sound PROGRAM TEST: runs it without a patch, once in each lane; sets $sound to the log and $case
# to the case that it is in. A unit program's cases are its own affair, so it is run whole; an
# integration test is a case of its own.
sound() {
	case $1 in
	unit/*) sound=$lane/sound-$(echo "$1" | tr / -) case='' ;;
	*) sound=$lane/sound-$(echo "$1-$2" | tr / -) case=$2 ;;
	esac
	[ -e "$sound" ] || run_in "$work/tree" "$sound" "$1" "$case"
	case=$(sed -nE "s/^[^:]+:[0-9]+:P:([^:]*):$2:[0-9]+:.*/\1/p" "$sound" | head -n 1)
}
# A test that skips returns, which is a pass to Check.
skips() { sed -nE "s/^SKIP: $2(_fn)?: (.*)/\2/p" "$1"; }

# ---- with one ----

# mutate MUTANT PROGRAM: 0, or the reason why it is no mutant in $why
mutate() {
	rm -rf "$lane/tree"
	cp -a "$work/tree" "$lane/tree"
	why="its patch does not apply any more"
	(cd "$lane/tree" && git apply -C1 "$here/$patches/$1.patch") >"$lane/$1" 2>&1 || return 1
	goals=all
	case $2 in
	unit/*) goals="$goals b/tests/$2" ;;
	*) grep -q '^+++ b/client/' "$patches/$1.patch" && goals="$goals b/tests/$2" ;;
	esac
	grep -q harness-backdoor.h "tests/$2.c" && goals="$goals b/backdoor/opend-worker"
	why="it does not compile"
	# shellcheck disable=SC2086 # a list of words
	make_in "$lane/tree" "$lane/$1" $goals
}

# judge MUTANT PROGRAM TEST
judge() {
	began=$(date +%s)
	sound "$2" "$3"
	ran=$(says "$sound" P "$3")
	if [ "$ran" -gt 0 ] && [ "$ran" -le "$(skips "$sound" "$3" | wc -l)" ]; then
		tell SKIP "$1" "$2 $3: $(skips "$sound" "$3" | head -n 1)"
	elif [ "$ran" -eq 0 ] || [ "$(says "$sound" FES "$3")" -ne 0 ]; then
		tell LIVES "$1" "$2 $3 does not pass without it either" "$sound"
	elif ! mutate "$1" "$2"; then
		tell LIVES "$1" "$why" "$lane/$1"
	else
		run_in "$lane/tree" "$lane/$1" "$2" "$case"
		if [ "$(says "$lane/$1" FES "$3")" -eq 0 ]; then
			tell LIVES "$1" "$2 $3 does not notice" "$lane/$1"
		else
			tell dies "$1" "$2 $3, $(($(date +%s) - began)) s"
		fi
	fi
}

# in_lane NUMBER OF: every OF-th mutant
in_lane() {
	lane=$work/lane-$1
	mkdir "$lane"
	# shellcheck disable=SC2046 # judge's three words
	printf '%s\n' "$chosen" | awk -v n="$1" -v of="$2" 'NR % of == n % of' |
		while read -r mutant; do
			judge "$mutant" $(of "$mutant")
		done
}

programs=$(for mutant in $chosen; do of "$mutant"; done | sed 's| .*||; s|^|b/tests/|' | sort -u)
lanes=${LANES:-$(nproc)}
# shellcheck disable=SC2086 # a list of words
if make_in "$work/tree" "$work/build" all $programs; then
	for number in $(seq "$lanes"); do
		in_lane "$number" "$lanes" &
		pids="$pids $!"
	done
	wait
else
	tell LIVES "(no mutant)" "the tree does not compile, or there is no such test" "$work/build"
fi
if [ -n "${KEEP:-}" ]; then
	mkdir -p "$KEEP"
	find "$work" -maxdepth 2 -type f -exec cp {} "$KEEP/" \;
fi
# A lane that broke off counts as well.
missing=$(($(printf '%s\n' "$chosen" | wc -l) - $(count dies) - $(count LIVES) - $(count SKIP)))
[ "$missing" -le 0 ] || echo "$missing mutants were not tried"
echo "$(count dies) passed, $(($(count LIVES) + (missing > 0 ? missing : 0))) failed," \
	"$(count SKIP) skipped"
[ "$(count LIVES)" -eq 0 ] && [ "$missing" -eq 0 ]
