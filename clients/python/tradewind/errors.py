"""The errors of the API, as exceptions of the same names."""
from __future__ import annotations

from typing import Any, Dict, Optional, Type


class TradewindError(Exception):
    """What every error of this module is.

    `name`: as in the API's reference. `message`: a sentence. `parameter`: which one is at fault, or
    None. `remedy`: what to do, or None. `code`: JSON-RPC's; 0 for what was found on this side.
    `data`: all that the server told.
    """

    name = "Internal"

    def __init__(self, message: str, *, code: int = 0, parameter: Optional[str] = None,
                 remedy: Optional[str] = None, data: Optional[Dict[str, Any]] = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.parameter = parameter
        self.remedy = remedy
        self.data = data or {}

    def __str__(self) -> str:
        text = self.message
        if self.parameter and self.parameter not in text:
            text = f"{self.parameter}: {text}"
        return f"{text} ({self.remedy})" if self.remedy else text


class InvalidParameter(TradewindError):
    """A parameter is missing, unknown, or not of the right kind."""
    name = "InvalidParameter"


class NotFound(TradewindError):
    """No such object, or not this user's; no such method."""
    name = "NotFound"


class NotAuthenticated(TradewindError):
    """User, password or token are missing or wrong."""
    name = "NotAuthenticated"


class NotPermitted(TradewindError):
    """This user may not do that."""
    name = "NotPermitted"


class Conflict(TradewindError):
    """The object's state forbids it now."""
    name = "Conflict"


class LimitReached(TradewindError):
    """Too many or too large: try less, or later."""
    name = "LimitReached"


class Unavailable(TradewindError):
    """Nobody answers there, or the server is not ready."""
    name = "Unavailable"


class VersionMismatch(TradewindError):
    """The server is too old or too new for this call."""
    name = "VersionMismatch"


class Timeout(TradewindError):
    """No answer in time: it is not known whether the call was carried out."""
    name = "Timeout"


class Internal(TradewindError):
    """A fault of the server, or an answer that makes no sense."""
    name = "Internal"


class KeyChanged(TradewindError):
    """The server shows another key than the one it is known by. Nothing was sent to it."""
    name = "KeyChanged"


NAMED: Dict[str, Type[TradewindError]] = {
    each.name: each
    for each in (InvalidParameter, NotFound, NotAuthenticated, NotPermitted, Conflict, LimitReached,
                 Unavailable, VersionMismatch, Timeout, Internal)
}

# JSON-RPC 2.0, section 5.1: for errors without a name.
CODES: Dict[int, Type[TradewindError]] = {-32601: NotFound, -32602: InvalidParameter}

STATUSES = {
    400: (Internal, "does not understand the request"),
    401: (NotAuthenticated, "wants a user and a password, or a token"),
    403: (NotPermitted, "does not allow this"),
    404: (NotFound, "has nothing by that name; is it a Tradewind server?"),
    405: (NotFound, "is not asked like that; is it a Tradewind server?"),
    413: (LimitReached, "finds the request too large"),
    429: (LimitReached, "gets too many requests; try again later"),
    503: (Unavailable, "is not ready; try again later"),
}


def from_json(error: Any) -> TradewindError:
    """The exception for a JSON-RPC error object, whatever a server put there."""
    error = error if isinstance(error, dict) else {}
    data = error.get("data")
    data = data if isinstance(data, dict) else {}
    code = error.get("code")
    code = code if isinstance(code, int) else 0
    kind = NAMED.get(str(data.get("name")), CODES.get(code, Internal))
    return kind(str(error.get("message") or "the server gives no reason"), code=code,
                parameter=data.get("parameter"), remedy=data.get("remedy"), data=data)


def from_status(status: int, server: str) -> TradewindError:
    """The exception for an HTTP status that came without such an object."""
    kind, text = STATUSES.get(
        status, (Internal, f"answers with HTTP status {status}, not as a Tradewind server does"))
    return kind(f"{server} {text}")
