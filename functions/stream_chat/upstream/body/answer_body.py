"""The body of one answer: its first bytes show its kind; then it is read in chunks or as one document."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import httpx

from chat_stream.memory_bound import MAX_PIECE_BYTES
from content_coding import MalformedCompressionError, UnknownCodingError, content_codings, decoded
from errors import UpstreamError
from upstream import failures
from upstream.body.kind import kind_of_body
from upstream.time_limits import TimeLimits

MAX_BLANK_BYTES = 64 * 1024  # of keep-alive white space before the answer's first byte
MAX_ERROR_BODY_BYTES = 64 * 1024
MAX_DOCUMENT_BYTES = MAX_PIECE_BYTES

BROKEN_BODY = (httpx.RequestError, MalformedCompressionError)

logger = logging.getLogger(__name__)


class AnswerBody:
    """The body of an answer, read once.

    Args:
        response: the response, with its body unread.
        limits: the exchange's time limits; they raise the reason for a cut.
        redacted: removes the relay's key from a text.

    Attributes:
        is_document: the body is one JSON document, even if events were requested.
        has_marked_end: the body's end is marked by its transfer coding or length.
    """

    def __init__(self, response: httpx.Response, limits: TimeLimits, redacted: Callable[[str], str]) -> None:
        headers = response.headers
        self.is_document = False
        self.has_marked_end = "content-length" in headers or "transfer-encoding" in headers
        self._limits = limits
        self._content_type = redacted(headers.get("content-type", ""))
        self._content_encoding = redacted(headers.get("content-encoding", ""))
        self._pieces = decoded(response.iter_raw(), content_codings(headers.get("content-encoding", "")))
        self._head = b""

    def error_bytes(self) -> bytes:
        """The whole body of an error; empty if it breaks off or exceeds MAX_ERROR_BODY_BYTES."""
        body = bytearray()
        try:
            for piece in self._pieces:
                body += piece
                if len(body) > MAX_ERROR_BODY_BYTES:
                    return b""
        except BROKEN_BODY as error:
            log_transport_error("broke off in an error", error)
            return b""
        return bytes(body)

    def detect_kind(self, may_be_served: Callable[[], bool]) -> None:
        """Read until the first bytes show what the body is.

        Args:
            may_be_served: whether the upstream has had the request long enough to have worked on an answer.
                Then an empty body is not retried.

        Raises:
            UpstreamError: the body is not an answer, is empty or cannot be read; or the exchange was cut.
        """
        kind, is_whole, head = None, False, bytearray()
        while kind is None and not is_whole and len(head) < MAX_BLANK_BYTES:
            try:
                piece = next(self._pieces)
            except StopIteration:
                piece, is_whole = b"", True
            except BROKEN_BODY as error:
                self._limits.raise_if_cut()
                raise self._ended_before_its_first_byte(error, may_be_served=may_be_served()) from None
            head += piece
            if is_whole or not piece.isspace():  # checking after every blank would take quadratic time
                kind = kind_of_body(bytes(head), self._content_type, is_whole=is_whole)
        self._head = bytes(head)
        self._limits.raise_if_cut()
        if kind is None:
            raise failures.empty(may_be_served=may_be_served())
        self.is_document = kind == "document"
        if kind == "other":
            raise failures.not_an_answer(self._content_type)

    def _ended_before_its_first_byte(self, error: Exception, *, may_be_served: bool) -> UpstreamError:
        if isinstance(error, UnknownCodingError):
            return failures.not_an_answer(f"a body of content-encoding {self._content_encoding}")
        if isinstance(error, MalformedCompressionError) or is_malformed(error):
            return failures.unreadable("The upstream's answer is not encoded as its head says.")
        return failures.closed_before_first_byte(may_be_served=may_be_served)

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives, one item for each read.

        Raises:
            UpstreamError: the body broke off, or the reason for a cut.
        """
        head, self._head = self._head, b""
        if head:
            yield head
        try:
            for piece in self._pieces:
                self._limits.raise_if_cut()  # one read may decompress to 1000 times its size
                yield piece
        except BROKEN_BODY as error:
            self._limits.raise_if_cut()
            log_transport_error("broke off", error)
            raise failures.interrupted() from None
        self._limits.raise_if_cut()  # if the connection's end marks the body's end, a cut looks the same

    def document(self, on_piece: Callable[[], None]) -> bytes:
        """The whole body.

        Args:
            on_piece: called for each chunk: a document has no events, so each chunk counts as activity.

        Raises:
            UpstreamError: as in `chunks`, or the body exceeds MAX_DOCUMENT_BYTES.
        """
        pieces, size = [], 0
        for piece in self.chunks():
            on_piece()
            pieces.append(piece)
            size += len(piece)
            if size > MAX_DOCUMENT_BYTES:
                raise failures.too_large("The upstream's answer is too large.")
        return b"".join(pieces)


def is_malformed(error: Exception) -> bool:
    """Whether the upstream sent invalid HTTP, as opposed to closing the connection.

    httpx has one class for both; only the messages of httpcore and h11 tell them apart.
    """
    closed = ("Server disconnected", "peer closed connection")
    return isinstance(error, httpx.RemoteProtocolError) and not str(error).startswith(closed)


def log_transport_error(what: str, error: Exception) -> None:
    """Log a failed request. Only network errors keep their message: a protocol error may quote data."""
    message = f": {error}" if isinstance(error, httpx.NetworkError) else ""
    logger.warning("upstream %s: %s%s", what, type(error).__name__, message)
