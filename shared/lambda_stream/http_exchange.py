"""HTTP/1.1 as far as a client of the Runtime API needs it: one connection, one exchange at a time.

An answer is read as it comes, also while its request is still being sent, and 1xx answers are skipped. The
standard library's client reads an answer in one go and takes 102 and 103 for it.
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
MAX_HEAD_BYTES = 256 * 1024  # `next` carries the client context in its head, and Lambda bounds that by 3583


class BadAnswer(ConnectionError):  # noqa: N818
    """What came is no HTTP, or broke off."""


class NoAnswer(ConnectionError):  # noqa: N818
    """The connection ended before an answer began."""


class HttpAnswer:
    """The answer to one request, fed with bytes as they come.

    `status` is None until the head of an answer that is not 1xx is there; `headers` has its names in lower
    case. `body` is complete once `complete`; no more than `max_body_bytes` of it are kept. `reusable` tells
    whether the connection may carry another exchange after a complete answer.
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
        """Whether the answer is a 2xx."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def reusable(self) -> bool:
        """Whether the answer is complete, nothing came behind it and the connection stays open."""
        return self.complete and self._keeps_alive and not self._unread

    def feed(self, data: bytes) -> None:
        """Take in what the connection brought; b"" is its end. Raises BadAnswer and NoAnswer."""
        if not data:
            self._end()
        elif self.complete:
            self._unread[:] = data[:1]  # enough to know that something came
        else:
            self._unread += data
            while not self.complete and self._advance():
                pass

    def _end(self) -> None:
        self._keeps_alive = False
        if self._advance == self._read_until_close:
            self.complete = True
        elif self.status is None and not self._unread:
            raise NoAnswer("the connection was closed without an answer")
        elif not self.complete:
            raise BadAnswer("the answer breaks off")

    def _read_head(self) -> bool:
        end = _END_OF_HEAD.search(self._unread)
        if end is None:
            if len(self._unread) > MAX_HEAD_BYTES:
                raise BadAnswer(f"the head of the answer is longer than {MAX_HEAD_BYTES} bytes")
            return False
        status_line, *lines = bytes(self._unread[: end.start()]).splitlines()
        del self._unread[: end.end()]
        parsed = _STATUS_LINE.fullmatch(status_line)
        if parsed is None:
            raise BadAnswer(f"the answer is no HTTP/1.1: {status_line[:80]!r}")
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
        # With both, who reads which is in doubt (RFC 9112, 6.3): nothing follows on such a connection.
        self._keeps_alive = (
            keeps_alive
            and "close" not in self.headers.get("connection", "").lower()
            and (length is None or encoding is None)
        )
        if self.status in (204, 304):
            self.complete = True
        elif encoding is not None:
            if encoding.lower() != "chunked":
                raise BadAnswer(f"the answer has an unknown transfer encoding: {encoding[:80]!r}")
            self._advance = self._read_chunk_size
        elif length is None:
            self._advance = self._read_until_close
        elif not _LENGTH.fullmatch(length):
            raise BadAnswer(f"the answer has no valid length: {length[:80]!r}")
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
            raise BadAnswer(f"the answer has no valid chunk size: {size[:80]!r}")
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
            raise BadAnswer("the answer has a chunk that is longer than it says")
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
                raise BadAnswer("the answer has a line without end")
            return None
        line = bytes(self._unread[:end])
        del self._unread[: end + 1]
        return line.rstrip(b"\r")

    def _keep(self, size: int) -> None:
        """Move so many bytes to the body, or as many as are there."""
        taken = self._unread[:size]
        del self._unread[: len(taken)]
        self._missing_bytes = max(0, self._missing_bytes - len(taken))
        room = None if self._max_body_bytes is None else max(0, self._max_body_bytes - len(self.body))
        self.body += taken[:room]


class HttpConnection:
    """A connection to `address`: "host:port" or "host:port/path", with or without http:// before it.

    `sock` is its socket while it is open. Raises ValueError for another address.
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
        """The socket, connected: one on which there is something to read, such as its end, is replaced.

        TCP_NODELAY is set: a small write is not held back. Raises OSError.
        """
        if self.sock is not None and _is_readable(self.sock):
            self.close()
        if self.sock is None:
            try:
                self.sock = socket.create_connection((self._host, self._port))
            except UnicodeError as error:  # a host of more letters than a name can have
                raise ConnectionError(f"no host can be called {self._host!r}: {error}") from error
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.sock

    def close(self) -> None:
        """Give up the connection; `open` makes another."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def head(self, method: str, path: str, headers: Mapping[str, str]) -> bytes:
        """The head of a request for `path` below the path of the address."""
        lines = [f"{method} {self._path}{path} HTTP/1.1", f"Host: {self._host_header}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def receive(
        self, answer: HttpAnswer, give_up_at: float, enough: Callable[[], bool] = lambda: False
    ) -> None:
        """Read `answer` to its end, or until `enough`; `give_up_at` is a `time.monotonic()` moment.

        Raises BadAnswer, NoAnswer, TimeoutError and other OSErrors.
        """
        assert self.sock is not None
        while not (answer.complete or enough()):
            self.sock.settimeout(timeout_s(give_up_at))
            answer.feed(self.sock.recv(_READ_BYTES))

    def receive_at_hand(self, answer: HttpAnswer) -> bool:
        """Feed `answer` what the socket, which does not block, has. Gives back whether it had an end.

        Raises BadAnswer and OSError; an end in the middle of an answer is none of both.
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
    """The seconds until a `time.monotonic()` moment, as a socket's timeout; TimeoutError past it."""
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
