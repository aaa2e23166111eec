"""Steers a Tradewind server from Python; needs nothing but the standard library.

    from tradewind import Tradewind

    with Tradewind("files.example.org", user="ann", password="...").api() as api:
        for connection in api.send.getConnections():
            print(connection.destinationIP, connection.roundTripTimeMs)

`Tradewind` says where a server is and who calls, `Api` is one session with it. The methods, their
parameters and results are those of the API's reference, under the same names.
"""
from .api import Api, Batch, Group, Method, Pending, Tradewind
from .errors import (Conflict, Internal, InvalidParameter, KeyChanged, LimitReached,
                     NotAuthenticated, NotFound, NotPermitted, Timeout, TradewindError,
                     Unavailable, VersionMismatch)
from .events import Event, Events
from .record import Record
from .wire import DEFAULT_PORT, default_socket_path

__version__ = "0.1.0"

__all__ = [
    "Api", "Batch", "Conflict", "DEFAULT_PORT", "Event", "Events", "Group", "Internal",
    "InvalidParameter", "KeyChanged", "LimitReached", "Method", "NotAuthenticated", "NotFound",
    "NotPermitted", "Pending", "Record", "Timeout", "Tradewind", "TradewindError", "Unavailable",
    "VersionMismatch", "default_socket_path",
]
