#!/bin/sh
# SPDX-License-Identifier: MIT
# What opend does, in a few seconds: every command is shown before it runs, everything happens in one
# directory in /tmp, and nothing is left behind. As root the daemon, its clients and its journal are
# users that exist only as numbers; as anybody else, opend serves that user alone.
#
# A command that ends otherwise than the demo says fails the demo.
set -eu
umask 022
: "${BUILD:?run it with make demo}"

dir=$(mktemp -d /tmp/opend-demo.XXXXXX)
opend_pid=
cleanup() {
	trap - EXIT
	cd /
	if [ -n "$opend_pid" ]; then
		kill "$opend_pid" 2>/dev/null || true
		wait "$opend_pid" 2>/dev/null || true
	fi
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
chmod 755 "$dir"
cd "$dir"

# Where every user can reach them; a source tree is often in a home that others cannot enter.
mkdir bin policy files
for program in opend opend-supervisor opend-worker opend-audit openc examples/locked; do
	[ ! -e "$BUILD/$program" ] || cp "$BUILD/$program" bin/
done
PATH=$dir/bin:$PATH
socket=$dir/socket

say() { printf '\n\033[1m%s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[01]m//g'; fi; }
note() { printf '# %s\n' "$@"; }
fail() {
	echo "The demo failed: $*" >&2
	exit 1
}
# run STATUS TEXT COMMAND...: shows it, runs it, insists on how it ends and on what it says.
run() {
	expected=$1 text=$2
	shift 2
	echo "\$ $*"
	status=0
	"$@" >"$dir/said" 2>&1 || status=$?
	cat "$dir/said"
	[ "$status" -eq "$expected" ] || fail "exit status $status where $expected was expected."
	grep -q "$text" "$dir/said" || fail "it did not say \"$text\"."
}

# ask STATUS TEXT COMMAND...: run, as the client.
ask() {
	expected=$1 text=$2
	shift 2
	[ "$(id -u)" -ne 0 ] || set -- setpriv --reuid="$client" --regid="$client" \
		--clear-groups "$@"
	run "$expected" "$text" "$@"
}

if [ "$(id -u)" -eq 0 ]; then
	client=61002
	accounts="--user 61000 --audit-user 61001"
else
	client=$(id -u)
	accounts=
fi

echo "Hello from a file that you could not open." >files/hello
echo "Nobody is to read this." >files/private
ln -s /etc/passwd files/leads-away
{
	echo "allow read,list under $dir/files to user $client"
	echo "deny  any file $dir/files/private to anyone"
	if [ "$(id -u)" -eq 0 ]; then
		echo "allow read file $dir/files/ledger to user $client as root"
	fi
	echo
	echo "expect allow read $dir/files/hello   for user $client"
	echo "expect deny  read $dir/files/private for user $client"
} >policy/demo.policy
if [ "$(id -u)" -eq 0 ]; then
	echo "Only root can open this." >files/ledger
	echo "Nor this." >files/ledger.old
	chmod 600 files/ledger files/ledger.old
fi

say "1. A policy: who may open what. \"expect\" lines are its tests; it does not load if one fails."
run 0 expect cat "$dir/policy/demo.policy"
# shellcheck disable=SC2086 # lists of words
set -- opend --listen "$socket" --policy "$dir/policy" --control "$dir/control" $accounts
echo "\$ $* &"
"$@" &
opend_pid=$!
tries=0
until [ -S "$socket" ]; do
	tries=$((tries + 1))
	if [ $tries -gt 100 ] || ! kill -0 "$opend_pid" 2>/dev/null; then
		fail "opend does not listen."
	fi
	sleep 0.05
done

say "2. A program that has locked itself out of the file system asks for a file."
ask 0 "that you could not open" env OPENC_SOCKET="$socket" locked "$dir/files/hello"

say "3. Two refusals, with reasons: a deny, and a link that leads where no rule does."
ask 1 "a deny rule" openc --socket "$socket" cat "$dir/files/private"
ask 1 "symbolic link" openc --socket "$socket" cat "$dir/files/leads-away"

say "4. A file that only root can read, for one user, by a rule that says \"as root\"."
if [ "$(id -u)" -eq 0 ]; then
	run 0 ledger ls -ln files/ledger files/ledger.old
	ask 0 "Only root can open this" openc --socket "$socket" cat "$dir/files/ledger"
	note "The other one is granted too, but only with the client's own rights:"
	ask 1 "your own rights" openc --socket "$socket" cat "$dir/files/ledger.old"
else
	note "Skipped: only root can make such a file. To see it: sudo make demo"
fi

say "Next:"
cat <<'NEXT'
  make check                    run all tests
  cat systemd/example.policy    what rules look like
  sudo make install             then see "Quick start" in README.md for the service
NEXT
