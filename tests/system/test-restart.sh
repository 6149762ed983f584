#!/bin/sh
# SPDX-License-Identifier: MIT
# "systemctl restart", fifty times while clients are at work, and as an upgrade of the programs:
# nobody gets a wrong answer or an error, and connections that stay are the same ones. A client's
# linger bomb freezes neither opend nor systemd.
. ./lib.sh

mkdir -p /srv/restart
for i in 1 2 3 4; do echo "$i" >/srv/restart/$i; done
echo "only root may" >/srv/restart/root
chmod 600 /srv/restart/root
policy <<-POLICY
	allow read under /srv/restart to user 4242
	allow read file /srv/restart/root to user 4242 as root
POLICY
systemctl enable --now opend.socket 2>/dev/null
holds "a first request is served" as_user 4242 openc cat /srv/restart/1

# One connection that never connects anew: any end of it is an error. Through openc.py.
cat >/tmp/stay.py <<-'PYTHON'
	import os, sys, time, openc
	connection, n, until = openc.Connection(), 0, float(sys.argv[1])
	while not os.path.exists("/tmp/enough") and time.time() < until:
	    name = "/srv/restart/%d" % (n % 4 + 1)
	    with connection.open(name) as file:
	        assert file.read() == "%d\n" % (n % 4 + 1), name
	    n += 1
	print(n)
PYTHON
# Through libopenc, by its calls that wait: what fails is counted.
cat >/tmp/load.py <<-'PYTHON'
	import ctypes, os, sys, time
	lib = ctypes.CDLL("libopenc.so.0")
	lib.openc_message.restype = ctypes.c_char_p
	lib.openc_message.argtypes = [ctypes.c_void_p]
	lib.openc_open.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint]
	lib.openc_new.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
	c, n, failed, wrong, longest = ctypes.c_void_p(), 0, 0, 0, 0
	assert lib.openc_new(ctypes.byref(c), None) == 0
	names = [b"/srv/restart/1", b"/srv/restart/2", b"/srv/restart/3", b"/srv/restart/root"]
	said = [b"1\n", b"2\n", b"3\n", b"only root may\n"]
	while not os.path.exists("/tmp/enough") and time.time() < float(sys.argv[1]):
	    began = time.time()
	    fd = lib.openc_open(c, names[n % 4], os.O_RDONLY, 0)
	    longest = max(longest, time.time() - began)
	    if fd < 0:
	        failed += 1
	        print(names[n % 4].decode(), lib.openc_message(c).decode(), file=sys.stderr)
	    else:
	        wrong += os.read(fd, 100) != said[n % 4]
	        os.close(fd)
	    n += 1
	print(n, failed, wrong, int(longest * 1000))
PYTHON
PYTHONPATH=$(dirname "$(find /usr/local/lib -name openc.py | head -n 1)")
export PYTHONPATH

until=$(($(date +%s) + 100))
rm -f /tmp/enough
for i in 1 2; do
	as_user 4242 python3 /tmp/stay.py "$until" >/tmp/stay.$i 2>/tmp/stay.err.$i &
	if [ -z "$SANITIZE" ]; then
		LD_LIBRARY_PATH=/usr/local/lib as_user 4242 \
			python3 /tmp/load.py "$until" >/tmp/load.$i 2>/tmp/load.err.$i &
	fi
done
sleep 0.5
# A sanitizer's start takes as long as ten others.
restarts=50
[ -z "$SANITIZE" ] || restarts=10
done=0
for _ in $(seq $restarts); do
	systemctl restart opend.service && done=$((done + 1))
	sleep 0.05
done
# An upgrade: other files of the same names.
for file in /usr/local/lib/opend/opend-* /usr/local/sbin/opend; do
	cp "$file" "$file.new" && mv "$file.new" "$file"
done
systemctl restart opend.service
sleep 0.2
touch /tmp/enough
wait
is "it was restarted" $restarts "$done"
for i in 1 2; do
	holds "connection $i was served all the while" test "$(cat /tmp/stay.$i)" -gt $restarts
	is "and had no cause to complain" "" "$(cat /tmp/stay.err.$i)"
	if [ -n "$SANITIZE" ]; then
		[ $i = 2 ] || skip "system: no program that has no sanitizer can load libopenc here"
		continue
	fi
	read -r n failed wrong longest </tmp/load.$i
	holds "libopenc $i: opens ($n)" test "$n" -gt $restarts
	is "libopenc $i: failed, wrong" "0 0" "$failed $wrong"
	is "libopenc $i: errors" "" "$(cat /tmp/load.err.$i)"
	echo "# the longest took $longest ms"
done
is "the store is empty" 0 "$(systemctl show -P NFileDescriptorStore opend.service)"

# Killed, opend and its supervisor in turn: connections are lost, and calls that wait are not.
if [ -z "$SANITIZE" ]; then
	rm -f /tmp/enough
	LD_LIBRARY_PATH=/usr/local/lib as_user 4242 \
		python3 /tmp/load.py "$until" >/tmp/load.3 2>/tmp/load.err.3 &
	for i in 1 2 3 4 5 6; do
		sleep 0.3
		main=$(systemctl show -P MainPID opend.service)
		[ $((i % 2)) = 0 ] && main=$(pids opend-supervisor)
		kill -KILL "$main"
		for _ in $(seq 100); do
			[ -d "/proc/$main" ] || break
			sleep 0.1
		done
		is "killed for the ${i}th time, it serves again" 1 \
			"$(as_user 4242 openc cat /srv/restart/1)"
	done
	touch /tmp/enough
	wait
	read -r n failed wrong longest </tmp/load.3
	holds "killed: opens through libopenc ($n)" test "$n" -gt 6
	is "killed: wrong" 0 "$wrong"
	# A lender may end a moment before its worker does, with a request in hand.
	holds "killed: failed at most once each time ($failed)" test "$failed" -le 6
	is "killed: errors" "" "$(grep -v '^/srv/restart/root .*try again$' /tmp/load.err.3)"
	echo "# the longest took $longest ms"
fi

# What is stopped for good keeps nobody's connection.
systemctl stop opend.service 2>/dev/null
is "stopped: the store is empty" 0 "$(systemctl show -P NFileDescriptorStore opend.service)"

# Bombs that were in the backlog before opend could forbid them: neither a restart nor systemd waits
# until they have gone off, which takes 30 s.
cat >/tmp/bomb.py <<-'PYTHON'
	import array, socket, struct, sys, time
	target = socket.socket()
	target.bind(("127.0.0.1", 0))
	target.listen(8)
	bombs = []
	for i in range(8):
	    b = socket.socket()
	    b.connect(target.getsockname())
	    b.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 30))
	    b.setblocking(False)
	    try:
	        while True:
	            b.send(b"x" * 65536)
	    except BlockingIOError:
	        bombs.append(b)
	clients = [socket.socket(socket.AF_UNIX) for b in bombs]
	for c, b in zip(clients, bombs):
	    c.connect("/run/opend/socket")
	    c.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [b.fileno()]))])
	    b.close()
	open("/tmp/thrown", "w").close()
	time.sleep(60)
PYTHON
rm -f /tmp/thrown
# Another listener: the one before knows by now.
systemctl stop opend.socket
systemctl start opend.socket
as_user 4343 python3 /tmp/bomb.py 2>/tmp/bomb.err &
bomber=$!
for _ in $(seq 100); do
	[ ! -e /tmp/thrown ] || break
	sleep 0.1
done
is "bombs are thrown" "yes " "$(test -e /tmp/thrown && echo yes) $(cat /tmp/bomb.err)"
began=$(date +%s)
is "others are served" "1" "$(as_user 4242 openc cat /srv/restart/1)"
holds "a restart" systemctl restart opend.service
is "systemd answers" active "$(systemctl is-active opend.service)"
is "others are served again" "1" "$(as_user 4242 openc cat /srv/restart/1)"
holds "nobody waited for the bombs" test $(($(date +%s) - began)) -lt 15
kill $bomber 2>/dev/null
wait
finish
