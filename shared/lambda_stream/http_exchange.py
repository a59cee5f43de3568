"""The part of HTTP/1.1 that a client of the Runtime API needs: one connection, one exchange at a time.

An answer can be read piece by piece, even while its request is still being sent, and 1xx answers are skipped.
`http.client` can do neither: it reads an answer in one call, and mistakes 102 and 103 for the final one.
"""

from __future__ import annotations

import re
import select
import socket
import time
from collections.abc import Callable, Mapping

_ADDRESS = re.compile(r"(?:http://)?(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]?#]+)(?::([0-9]{1,5}))?(/[!-~]*)?")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?")
_LENGTH = re.compile(r"[0-9]{1,15}")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_READ_BYTES = 64 * 1024
MAX_HEAD_BYTES = 256 * 1024  # ample: the largest header is the client context, which Lambda limits to 3583


class MalformedResponseError(ConnectionError):
    """The answer is not valid HTTP, or the connection ended in the middle of it."""


class NoResponseError(ConnectionError):
    """The connection ended before an answer began."""


class HttpAnswer:
    """The answer to one request, parsed from the bytes fed to it.

    `status` is None until the head of the final (not 1xx) answer has been read; the names in `headers` are in
    lower case. `body` holds the body read so far, at most `max_body_bytes` of it. `complete` is true once the
    whole answer has been read.
    """

    def __init__(self, max_body_bytes: int | None = None) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.complete = False
        self._max_body_bytes = max_body_bytes
        self._keeps_alive = True
        self._unread = bytearray()
        self._missing_bytes = 0  # of the body or of one chunk
        self._advance: Callable[[], bool] = self._read_head

    @property
    def accepted(self) -> bool:
        """Whether the status is 2xx."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another exchange.

        It can if the answer is complete, nothing followed it and the server keeps the connection open.
        """
        return self.complete and self._keeps_alive and not self._unread

    def feed(self, data: bytes) -> None:
        """Parse `data` from the connection; b"" means that it ended.

        Raises MalformedResponseError and NoResponseError.
        """
        if not data:
            self._end()
        elif self.complete:
            self._unread[:] = data[:1]  # one byte is enough to make the connection unusable
        else:
            self._unread += data
            while not self.complete and self._advance():
                pass

    def _end(self) -> None:
        self._keeps_alive = False
        if self._advance == self._read_until_close:
            self.complete = True
        elif self.status is None and not self._unread:
            raise NoResponseError("the connection was closed without an answer")
        elif not self.complete:
            raise MalformedResponseError("the answer breaks off")

    def _read_head(self) -> bool:
        end = _END_OF_HEAD.search(self._unread)
        if end is None:
            if len(self._unread) > MAX_HEAD_BYTES:
                raise MalformedResponseError(f"the head of the answer exceeds {MAX_HEAD_BYTES} bytes")
            return False
        status_line, *lines = bytes(self._unread[: end.start()]).splitlines()
        del self._unread[: end.end()]
        parsed = _STATUS_LINE.fullmatch(status_line)
        if parsed is None:
            raise MalformedResponseError(f"the answer is not HTTP/1.1: {status_line[:80]!r}")
        status = int(parsed[2])
        if status >= 200:
            self.status = status
            for line in lines:
                name, _, value = line.decode("latin-1").partition(":")
                self.headers.setdefault(name.strip().lower(), value.strip())
            self._begin_body(keeps_alive=parsed[1] == b"1")
        return True

    def _begin_body(self, *, keeps_alive: bool) -> None:
        length, encoding = self.headers.get("content-length"), self.headers.get("transfer-encoding")
        # With both headers, the two sides may disagree about where the body ends: the connection is not used
        # again (RFC 9112, 6.3).
        self._keeps_alive = (
            keeps_alive
            and "close" not in self.headers.get("connection", "").lower()
            and (length is None or encoding is None)
        )
        if self.status in (204, 304):
            self.complete = True
        elif encoding is not None:
            if encoding.lower() != "chunked":
                raise MalformedResponseError(
                    f"the answer has an unknown transfer encoding: {encoding[:80]!r}"
                )
            self._advance = self._read_chunk_size
        elif length is None:
            self._advance = self._read_until_close
        elif not _LENGTH.fullmatch(length):
            raise MalformedResponseError(f"the answer has an invalid Content-Length: {length[:80]!r}")
        else:
            self._missing_bytes = int(length)
            self.complete = not self._missing_bytes
            self._advance = self._read_sized

    def _read_sized(self) -> bool:
        self._keep(self._missing_bytes)
        self.complete = not self._missing_bytes
        return False

    def _read_until_close(self) -> bool:
        self._keep(len(self._unread))
        return False

    def _read_chunk_size(self) -> bool:
        line = self._take_line()
        if line is None:
            return False
        size = line.partition(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}", size):
            raise MalformedResponseError(f"the answer has no valid chunk size: {size[:80]!r}")
        self._missing_bytes = int(size, 16)
        self._advance = self._read_chunk if self._missing_bytes else self._read_trailer
        return True

    def _read_chunk(self) -> bool:
        self._keep(self._missing_bytes)
        if not self._missing_bytes:
            self._advance = self._read_chunk_end
        return not self._missing_bytes

    def _read_chunk_end(self) -> bool:
        line = self._take_line()
        if line:
            raise MalformedResponseError("the answer has a chunk that is longer than it says")
        self._advance = self._read_chunk_end if line is None else self._read_chunk_size
        return line is not None

    def _read_trailer(self) -> bool:
        line = self._take_line()
        self.complete = line == b""
        return line is not None

    def _take_line(self) -> bytes | None:
        end = self._unread.find(b"\n")
        if end < 0:
            if len(self._unread) > MAX_HEAD_BYTES:
                raise MalformedResponseError(f"a line of the answer exceeds {MAX_HEAD_BYTES} bytes")
            return None
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return line.rstrip(b"\r")

    def _keep(self, size: int) -> None:
        """Move up to `size` bytes from what has been received to the body."""
        taken = self._unread[:size]
        del self._unread[: len(taken)]
        self._missing_bytes = max(0, self._missing_bytes - len(taken))
        room = None if self._max_body_bytes is None else max(0, self._max_body_bytes - len(self.body))
        self.body += taken[:room]


class HttpConnection:
    """A connection to `address`: "host:port" or "host:port/path", with or without http:// before it.

    `sock` is the socket while the connection is open, else None. Raises ValueError for any other address.
    """

    def __init__(self, address: str) -> None:
        parsed = _ADDRESS.fullmatch(address.strip())
        if parsed is None or int(parsed[2] or 80) > 65535:
            raise ValueError(f"{address!r} is not of the form host:port or host:port/path")
        host, port, path = parsed.groups()
        self.sock: socket.socket | None = None
        self._host, self._port = host.strip("[]"), int(port or 80)
        self._host_header = f"{host}:{port}" if port else host
        self._path = (path or "").rstrip("/")

    def open(self) -> socket.socket:
        """Return the connected socket, opening a connection if there is none. Raises OSError.

        An idle connection with something to read (usually its end) is replaced. TCP_NODELAY is set, so that
        small writes are sent at once.
        """
        if self.sock is not None and _is_readable(self.sock):
            self.close()
        if self.sock is None:
            try:
                self.sock = socket.create_connection((self._host, self._port))
            except UnicodeError as error:  # a label that is longer than DNS allows
                raise ConnectionError(f"{self._host!r} is not a valid host name: {error}") from error
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.sock

    def close(self) -> None:
        """Close the connection; `open` opens a new one."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        """Return the head of a request for `path`, which is appended to the path of the address."""
        lines = [f"{method} {self._path}{path} HTTP/1.1", f"Host: {self._host_header}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def receive(
        self, answer: HttpAnswer, give_up_at: float, enough: Callable[[], bool] = lambda: False
    ) -> None:
        """Receive `answer` until it is complete or `enough()` is true.

        Raises TimeoutError at `give_up_at`, a `time.monotonic()` value; MalformedResponseError,
        NoResponseError, other OSErrors.
        """
        assert self.sock is not None
        while not (answer.complete or enough()):
            self.sock.settimeout(timeout_s(give_up_at))
            answer.feed(self.sock.recv(_READ_BYTES))

    def receive_at_hand(self, answer: HttpAnswer) -> bool:
        """Feed `answer` what the non-blocking socket has received. Returns whether the connection has ended.

        Raises MalformedResponseError and OSError; a connection that ends in the middle of the answer raises
        neither.
        """
        assert self.sock is not None
        try:
            data = self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            answer.feed(data)
        return not data


def timeout_s(give_up_at: float) -> float | None:
    """Return the seconds until `give_up_at` (a `time.monotonic()` value) as a socket timeout.

    None means no limit. Raises TimeoutError if the time has passed.
    """
    if give_up_at == float("inf"):
        return None
    remaining_s = give_up_at - time.monotonic()
    if remaining_s <= 0:
        raise TimeoutError("timed out")
    return remaining_s


def _is_readable(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
