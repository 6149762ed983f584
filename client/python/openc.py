# SPDX-License-Identifier: MIT
"""Ask opend(8) for open files.

    import openc
    with openc.Connection() as opend:
        with opend.open("/etc/ssl/private/site.key") as f:
            key = f.read()

Only the standard library is needed. Connect first and lock the process in then: afterwards
sendmsg, recvmsg, poll, fcntl, close, getcwd, getpid, geteuid and getegid are enough for the
descriptors, and what io.open() itself does for file objects.

Files come as the objects that the built-in open() returns. What is refused raises openc.Error, an
OSError whose class goes by the errno (PermissionError, FileNotFoundError ...) where there is one,
with .reason, .lacked and .text of opend-protocol(7). A connection is not for several threads at
once and not for the child of a fork.
"""

import array
import collections
import errno
import fcntl
import os
import select
import socket
import struct
import time

__all__ = ["Connection", "Error", "Result", "open", "READ", "WRITE", "CREATE", "LIST"]

READ, WRITE, CREATE, LIST = 1, 2, 4, 8

_OPEN, _INFO, _RULES = 1, 2, 3
_GOODBYE, _R_RESULT, _R_INFO, _R_RULES = 0x8000, 0x8001, 0x8002, 0x8003
_DRY_RUN, _TEXT = 1, 2

_HEADER = struct.Struct("<IHHQ")
_OPEN_REST = struct.Struct("<IHHII")
_RESULT_REST = struct.Struct("<iHHIIQQQQ")
_GOODBYE_REST = struct.Struct("<HH")
_PATH_MAX, _REPLY_MAX, _FDS_MAX = 4095, 8192, 253

_RESTART, _SLOW = 63, 64
_NO_SERVER, _LOST, _TIMEOUT, _FD_LOST = 100, 101, 102, 103
REASONS = {
    1: "no rule of the policy names this path for you",
    2: "a deny rule names this path",
    3: "a rule names this path, but not for this access",
    4: "a symbolic link on the path leads to a place that no rule names",
    5: "not a type of file that the rule allows",
    6: "the file has more than one hard link and the rule says single-link",
    7: "kernel file systems are refused unless a rule is on them",
    8: "opend has no valid policy loaded",
    20: "open flags that opend does not accept",
    21: "not an absolute path of at most 4095 bytes without a NUL",
    22: "mode and umask may hold permission bits only",
    23: "the server does not know this kind of request",
    24: "malformed request",
    41: "the path kept changing while it was being opened",
    42: "another process holds a lease on the file",
    43: "earlier opens of yours still hang in the kernel",
    60: "your quota is used up",
    61: "the record that the rule demands could not be written",
    62: "the server is short of resources",
    63: "the server restarts",
    64: "the request took too long to arrive",
    100: "no server answers at this address",
    101: "the connection ended; whether the request was carried out is not known",
    102: "no answer in time",
    103: "the descriptor could not be received",
}

Result = collections.namedtuple(
    "Result", "fd generation mode dev ino size serial text")
Result.__doc__ = "A grant. fd is the caller's to close; None after a dry run."


class Error(OSError):
    """A refusal or a failure: errno, strerror and filename as in OSError, and

    reason   a number of opend-protocol(7)
    lacked   which of READ, WRITE, CREATE, LIST no rule grants
    text     what opend had to add
    serial   number of the decision in the journal
    """

    reason = lacked = serial = 0
    text = ""


def _error(number, path=None, reason=0, lacked=0, serial=0, text=""):
    words = REASONS.get(reason) or os.strerror(number)
    if text:
        words += " (%s)" % text
    # OSError picks PermissionError and the like itself, but only for OSError proper.
    base = type(OSError(number, ""))
    kind = Error if base is OSError else _kinds.setdefault(
        base, type(base.__name__, (Error, base), {"__module__": __name__}))
    error = kind(number, words, path)
    error.reason, error.lacked, error.serial, error.text = reason, lacked, serial, text
    return error


_kinds = {}


class _Over(Exception):
    """The connection is over. repeat: all but what must not happen twice may be asked again;
    undone: the server said that it did nothing of what it did not answer; half: our side ends
    within a frame."""

    half = False

    def __init__(self, number, reason, repeat=False, undone=False):
        super().__init__(number, reason)
        self.number, self.reason, self.repeat, self.undone = number, reason, repeat, undone


def _clean(data):
    """What the server says may hold any bytes; these words are for terminals."""
    text = data.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else "?" for c in text)


class _Stream:
    """Bytes and descriptors in, whole frames out."""

    def __init__(self, sock):
        self.sock = sock
        self.data = bytearray()
        self.fds = collections.deque()
        self.frames = collections.deque()

    def close(self):
        while self.fds:
            os.close(self.fds.popleft())
        for _, _, fd, _ in self.frames:
            if fd is not None:
                os.close(fd)
        self.frames.clear()
        self.sock.close()

    def send(self, data, deadline):
        """Receives while it writes: at 253 unread descriptors the server reads no more."""
        view = memoryview(data)
        while view:
            try:
                events = self._wait(select.POLLIN | select.POLLOUT, deadline)
            except _Over as over:
                over.half = len(view) < len(data)
                raise
            if events & ~select.POLLOUT:
                self._receive()
            if events & select.POLLOUT:
                try:
                    view = view[self.sock.send(view, socket.MSG_NOSIGNAL
                                               | socket.MSG_DONTWAIT):]
                except BlockingIOError:
                    pass
                except OSError:
                    # Answers and a GOODBYE may still lie in the socket.
                    while self._poll(select.POLLIN, 0):
                        self._receive()
                    raise _Over(errno.ECONNRESET, _LOST, repeat=True) from None

    def next(self, deadline):
        """One frame: type, id, descriptor or None, body."""
        while not self.frames:
            self._wait(select.POLLIN, deadline)
            self._receive()
        return self.frames.popleft()

    def _wait(self, events, deadline):
        left = None
        if deadline is not None:
            left = max(0, deadline - time.monotonic()) * 1000
        ready = self._poll(events, left)
        if not ready:
            raise _Over(errno.ETIMEDOUT, _TIMEOUT)
        return ready

    def _poll(self, events, left):
        poll = select.poll()
        poll.register(self.sock, events)
        ready = poll.poll(left)
        return ready[0][1] if ready else 0

    def _receive(self):
        try:
            data, control, flags, _ = self.sock.recvmsg(
                4 * _REPLY_MAX, socket.CMSG_SPACE(4 * _FDS_MAX),
                socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            raise _Over(errno.ECONNRESET, _LOST, repeat=True) from None
        for level, kind, body in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(body[:len(body) - len(body) % fds.itemsize])
                self.fds.extend(fds)
        if flags & socket.MSG_CTRUNC:
            raise _Over(errno.EMFILE, _FD_LOST)
        if not data:
            raise _Over(errno.ECONNRESET, _LOST, repeat=True)
        self.data += data
        self._cut()
        if len(self.fds) > 2 * _FDS_MAX:
            raise _Over(errno.ECONNRESET, _LOST)

    def _cut(self):
        while len(self.data) >= _HEADER.size:
            size, kind, nfds, number = _HEADER.unpack_from(self.data)
            if not _HEADER.size <= size <= _REPLY_MAX or nfds > 1:
                raise _Over(errno.ECONNRESET, _LOST)
            if len(self.data) < size:
                return
            if nfds > len(self.fds):
                raise _Over(errno.ECONNRESET, _LOST)
            body = bytes(self.data[_HEADER.size:size])
            del self.data[:size]
            if kind == _GOODBYE:
                if len(body) != _GOODBYE_REST.size:
                    raise _Over(errno.ECONNRESET, _LOST)
                self._goodbye(_GOODBYE_REST.unpack(body)[0])
            self.frames.append((kind, number, self.fds.popleft() if nfds else None, body))

    def _goodbye(self, reason):
        # What was answered before is still in self.frames.
        raise _Over(errno.EAGAIN, reason or _RESTART,
                    repeat=reason in (0, _RESTART, _SLOW), undone=True)


class Connection:
    """A connection to opend.

    address: the path of its socket, "fd:N" for a connected stream socket that is taken over, or
    None for $OPENC_SOCKET, else /run/opend/socket. timeout: seconds for each call, None for ever.
    """

    def __init__(self, address=None, timeout=30.0):
        address = address or os.environ.get("OPENC_SOCKET") or "/run/opend/socket"
        self.timeout = timeout
        self._path = None
        self._stream = None
        self._id = 0
        self._forgotten = set()
        # There is no call that only reads the umask.
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        if address.startswith("fd:"):
            sock = socket.socket(fileno=int(address[3:]))
            sock.set_inheritable(False)
            self._adopt(sock)
        else:
            self._path = os.path.join(os.getcwd(), address)
            self._connect(self._deadline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Closes the connection. Files that it gave stay open."""
        if self._stream:
            self._stream.close()
        self._stream = None
        self._path = None

    # ---- what can be asked ----

    def open(self, path, mode="r", **options):
        """As the built-in open(): a file object. options: buffering, encoding, errors, newline.

        Modes are r, w, x or a, with b, t and +.
        """
        def opener(name, flags):
            return self.open_fd(name, flags, 0o666)
        return io_open(os.fspath(path), mode, opener=opener, **options)

    def open_fd(self, path, flags=os.O_RDONLY, mode=0o777):
        """As os.open(): a descriptor, close-on-exec, which is the caller's to close."""
        return self.ask(path, flags, mode).fd

    def ask(self, path, flags=os.O_RDONLY, mode=0o777, *, umask=None, dry_run=False, text=False):
        """As open_fd(), with everything: a Result. dry_run: the policy's verdict only."""
        (result,) = self.ask_many([path], flags, mode, umask=umask, dry_run=dry_run, text=text)
        if isinstance(result, Error):
            raise result
        return result

    def ask_many(self, paths, flags=os.O_RDONLY, mode=0o777, *, umask=None, dry_run=False,
                 text=False):
        """Asks for all paths at once. A list in their order: a Result, or an Error (not raised).

        There is one deadline for all of them."""
        paths = [os.fspath(path) for path in paths]
        mode = mode & 0o7777 if flags & os.O_CREAT else 0
        umask = self._umask if umask is None else umask
        bits = (_DRY_RUN if dry_run else 0) | (_TEXT if text else 0)
        if (mode | umask) & ~0o777:
            raise _error(errno.EINVAL, reason=22)
        bodies = [_OPEN_REST.pack(flags, mode, umask, bits, 0) + self._absolute(path)
                  for path in paths]
        once = bool(flags & (os.O_EXCL | os.O_TRUNC))
        answers = self._exchange(_OPEN, bodies, once)
        return [self._judge(path, answer, dry_run) for path, answer in zip(paths, answers)]

    def whoami(self):
        """A dict of what opend says about us and itself, see INFO in opend-protocol(7)."""
        kind, fd, body = self._one(_INFO)
        if kind != _R_INFO or fd is not None:
            raise self._unexpected(fd)
        lines = body.decode("utf-8", "surrogateescape").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def rules(self):
        """The rules that apply to us: bytes, in the language of opend.policy(5)."""
        kind, fd, _ = self._one(_RULES)
        if kind != _R_RULES or fd is None:
            raise self._unexpected(fd)
        try:
            parts = []
            while True:
                # Its position is shared with others.
                part = os.pread(fd, 65536, sum(map(len, parts)))
                if not part:
                    return b"".join(parts)
                parts.append(part)
        finally:
            os.close(fd)

    # ---- requests and answers ----

    def _absolute(self, path):
        path = os.fsencode(path)
        if not path:
            raise _error(errno.ENOENT, "")
        if not path.startswith(b"/"):
            path = os.getcwdb() + b"/" + path
        if len(path) > _PATH_MAX:
            raise _error(errno.ENAMETOOLONG, path, 21)
        if b"\0" in path:
            raise ValueError("embedded null byte")
        return path

    def _judge(self, path, answer, dry_run):
        """A Result or an Error of a request that was answered, or not."""
        if isinstance(answer, _Over):
            return _error(answer.number, path, answer.reason)
        kind, fd, body = answer
        if kind != _R_RESULT or len(body) < _RESULT_REST.size:
            return self._unexpected(fd, path)
        number, reason, lacked, *rest = _RESULT_REST.unpack_from(body)
        text = _clean(body[_RESULT_REST.size:])
        if number:
            return _error(number, path, reason, lacked, rest[-1], text)
        if (fd is None) != dry_run:
            return self._unexpected(fd, path)
        return Result(fd, *rest, text)

    def _unexpected(self, fd, path=None):
        if fd is not None:
            os.close(fd)
        self._lose()
        return _error(errno.ECONNRESET, path, _LOST)

    def _one(self, kind):
        (answer,) = self._exchange(kind, [b""], False)
        if isinstance(answer, _Over):
            raise _error(answer.number, None, answer.reason)
        if answer[0] == _R_RESULT:
            result = self._judge(None, answer, True)
            raise result if isinstance(result, Error) else self._unexpected(None)
        return answer

    def _exchange(self, kind, bodies, once):
        """The answers to all bodies, in their order: (type, descriptor, body), or an _Over.

        Asks again what may be asked again after a connection ended. once: what the server may
        have carried out must not be."""
        answers = [None] * len(bodies)
        deadline = self._deadline()
        lost = 0
        while None in answers:
            todo = [i for i, answer in enumerate(answers) if answer is None]
            try:
                self._connect(deadline)
                self._round(kind, bodies, todo, answers, deadline)
            except Error:
                _close_all(answers)
                raise
            except _Over as over:
                self._end(over)
                lost += not over.undone
                again = over.repeat and self._path and (over.undone or not once) and lost < 4
                if not again:
                    answers = [over if answer is None else answer for answer in answers]
        return answers

    def _round(self, kind, bodies, todo, answers, deadline):
        """Asks what is to do on the connection that there is."""
        where = {}
        frames = []
        for i in todo:
            self._id += 1
            where[self._id] = i
            frames.append(_HEADER.pack(_HEADER.size + len(bodies[i]), kind, 0, self._id)
                          + bodies[i])
        try:
            self._stream.send(b"".join(frames), deadline)
            while where:
                self._take(where, answers, self._stream.next(deadline))
        except _Over:
            while self._stream.frames:
                self._take(where, answers, self._stream.frames.popleft())
            self._forgotten.update(where)
            raise

    def _take(self, where, answers, frame):
        kind, number, fd, body = frame
        if number in where:
            answers[where.pop(number)] = (kind, fd, body)
            return
        if fd is not None:
            os.close(fd)
        if number not in self._forgotten:
            raise _Over(errno.ECONNRESET, _LOST)
        self._forgotten.remove(number)

    # ---- the connection ----

    def _deadline(self):
        return None if self.timeout is None else time.monotonic() + self.timeout

    def _adopt(self, sock):
        self._stream = _Stream(_raise(sock))
        self._who = (os.getpid(), os.geteuid(), os.getegid())
        self._forgotten.clear()

    def _connect(self, deadline):
        """Sees to it that there is a connection, and that it is ours to use."""
        if self._stream:
            self._check()
            return
        if not self._path:
            raise _error(errno.ENOTCONN, reason=_NO_SERVER)
        pause = 0.01
        give_up = time.monotonic() + (3 if self._id else 0)
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                if deadline is not None:
                    sock.settimeout(max(0.001, deadline - time.monotonic()))
                sock.connect(self._path)
                sock.settimeout(None)
                self._adopt(sock)
                return
            except OSError as error:
                sock.close()
                if isinstance(error, (socket.timeout, BlockingIOError)):
                    raise _error(errno.ETIMEDOUT, reason=_TIMEOUT) from None
                now = time.monotonic()
                if now >= give_up or (deadline is not None and now >= deadline):
                    raise _error(errno.ENOTCONN, self._path, _NO_SERVER) from error
            time.sleep(pause)
            pause = min(2 * pause, 0.2)

    def _check(self):
        pid, uid, gid = self._who
        if pid != os.getpid():
            raise _error(errno.ECHILD)
        if self._path and (uid, gid) != (os.geteuid(), os.getegid()):
            raise _error(errno.ESTALE)

    def _end(self, over):
        """After a timeout on a connection that cannot be made again we go on with it: late answers
        are told by their numbers."""
        if over.reason != _TIMEOUT or over.half or self._path:
            self._lose()

    def _lose(self):
        if self._stream:
            self._stream.close()
        self._stream = None


def _close_all(answers):
    for answer in answers:
        if isinstance(answer, tuple) and answer[1] is not None:
            os.close(answer[1])


def _raise(sock):
    """Descriptors 0 to 2 are the program's, also while they are closed."""
    if sock.fileno() > 2:
        return sock
    fd = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
    sock.close()
    return socket.socket(fileno=fd)


io_open = open
_hidden = None


def open(path, mode="r", **options):  # noqa: A001: that is the point of it
    """The built-in open() through a connection of this module's own, made on first use, and anew
    after a fork or a change of identity. Call it once before the process locks itself in."""
    global _hidden
    who = (os.getpid(), os.geteuid(), os.getegid())
    if _hidden is None or (_hidden._stream and _hidden._who != who):
        if _hidden is not None:
            _hidden.close()
        _hidden = Connection()
    return _hidden.open(path, mode, **options)
