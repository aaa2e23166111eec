"""Structures as the API returns them."""
from __future__ import annotations

import json
from typing import Any, Union


class Record(dict):
    """A dictionary whose entries are attributes too: `transfer.status` is `transfer["status"]`.

    A name that dictionaries have themselves, such as `items`, is reached by brackets alone.
    """

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no {name} here; there are: "
                                 f"{', '.join(map(str, self)) or 'none'}") from None

    def __dir__(self) -> Any:
        return [*super().__dir__(), *self]


def loads(text: Union[str, bytes]) -> Any:
    """JSON with records for objects. ValueError when it is none."""
    return json.loads(text, object_hook=Record)
