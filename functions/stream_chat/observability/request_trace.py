"""What is known of a request at any moment, for the log and the metrics if it is refused."""

from __future__ import annotations

OTHER_ROUTE = "other"  # stands for every unknown path: a path may hold anything, at any length


class RequestTrace:
    """Filled in while the request is parsed and authorized.

    Attributes:
        route: one of the routes, or OTHER_ROUTE.
        caller: the caller's name, once they are identified.
    """

    __slots__ = ("caller", "route")

    def __init__(self) -> None:
        self.route = OTHER_ROUTE
        self.caller: str | None = None
