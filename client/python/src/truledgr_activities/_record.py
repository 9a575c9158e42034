"""From the arguments of a call to the line of JSON that is sent.

Nothing that an application hands in may fail here: a value that does not fit its field is kept in ``details`` under the
field's name, and what JSON cannot say is said as well as it can.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timezone
from datetime import time as time_of_day
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from ._calls import TYPES
from ._ulid import is_ulid, new_ulid

_MAX_DEPTH: Final = 20  # deeper nesting becomes a text, as it would in the agent

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d(?P<time>[T ]\d\d:\d\d:\d\d([.,]\d+)?(Z|[+-]\d\d(:?\d\d)?)?)?", re.ASCII)

_GROUPS: Final = frozenset(name.partition(".")[0] for name in TYPES if "." in name)


class _Misfit(Exception):
    """A value is none of its field's type."""


def encode(kind: str, fields: Mapping[str, object]) -> tuple[str, bytes]:
    """Return the id of a new activity, and its JSON without a newline.

    Fields that are None are left out. Later changes to the values make no difference.
    """
    document: dict[str, object] = {"id": new_ulid(), "@timestamp": _now(), "kind": kind}
    misfits: dict[str, object] = {}
    for name, value in fields.items():
        if value is None:
            continue
        try:
            document[name] = _group(name, value) if name in _GROUPS else _fit(name, value)
        except Exception:  # also what a foreign object raises when it is asked for its text
            misfits[name] = value
    if misfits:
        document["details"] = _with(document.get("details"), misfits)
    return str(document["id"]), _dump(document)


def _now() -> str:
    seconds, nanos = divmod(time.time_ns(), 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


def _with(details: object, more: dict[str, object]) -> dict[str, object]:
    if details is None:
        return more
    if isinstance(details, Mapping):
        return {**more, **details}
    return {**more, "value": details}


# --- what fits which type


def _group(name: str, value: object) -> dict[str, object]:
    if not isinstance(value, Mapping):
        raise _Misfit
    return {str(key): _fit(f"{name}.{key}", member) for key, member in value.items() if member is not None}


def _fit(name: str, value: object) -> object:
    plain = _FITS[TYPES[name]](value) if name in TYPES else value
    if name == "id" and not is_ulid(str(plain)):
        raise _Misfit
    return plain


def _keyword(value: object) -> str:
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, (str, int, float, Decimal, UUID, PurePath, date, IPv4Address, IPv6Address)):
        return str(value)
    raise _Misfit


def _keywords(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise _Misfit
    return [_keyword(element) for element in value]


def _ip(value: object) -> str:
    return str(ip_address(str(value).partition("%")[0]))


def _date(value: object) -> str:
    if isinstance(value, datetime):
        # One without a time zone is local, as everywhere in Python.
        return _ranged(value.astimezone(timezone.utc)).isoformat()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _ranged(datetime.fromtimestamp(value, timezone.utc)).isoformat()
    if isinstance(value, date):
        value = value.isoformat()
    if isinstance(value, str) and (parts := _DATE.fullmatch(value)):
        _ranged(datetime.fromisoformat(value[:19]))
        return value if parts["time"] else value + "T00:00:00Z"
    raise _Misfit


def _ranged(when: datetime) -> datetime:
    """Let no time pass that 64 bits of nanoseconds cannot hold."""
    if not 1678 <= when.year < 2262:
        raise _Misfit
    return when


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _Misfit


def _long(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise _Misfit
    whole = int(value)
    if not -(2**63) <= whole < 2**63 or (not isinstance(value, str) and whole != value):
        raise _Misfit
    return whole


def _double(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise _Misfit
    number = float(value)
    if not math.isfinite(number):
        raise _Misfit
    return number


def _free(value: object) -> object:
    return value


_FITS: Final[Mapping[str, Callable[[object], object]]] = {
    "keyword": _keyword,
    "keywords": _keywords,
    "text": _keyword,
    "ip": _ip,
    "date": _date,
    "bool": _bool,
    "long": _long,
    "double": _double,
    "free": _free,
}


# --- JSON of anything


def _dump(document: Mapping[str, object]) -> bytes:
    try:
        text = json.dumps(document, default=_stand_in, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except Exception:  # keys that are no texts, cycles, infinities, objects that fail when they are asked
        text = json.dumps(_plain(document, 0), ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="replace")


def _stand_in(value: Any) -> object:
    """Say in JSON's types what is none of them. Of what is unknown only the type is named: a repr may hold secrets."""
    if isinstance(value, (datetime, date, time_of_day)):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (UUID, Decimal, PurePath, IPv4Address, IPv6Address)):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).decode(errors="replace")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if callable(dump := getattr(value, "model_dump", None)) and not isinstance(value, type):
        return dump(mode="json")
    return f"<{type(value).__qualname__}>"


def _plain(value: object, depth: int) -> object:
    """Copy a value so that JSON can say it, whatever it is."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value) if value.bit_length() <= 1024 else "<int>"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth >= _MAX_DEPTH:
        return f"<{type(value).__qualname__}>"
    try:
        if isinstance(value, Mapping):
            return {str(key): _plain(member, depth + 1) for key, member in value.items()}
        if isinstance(value, (list, tuple)):
            return [_plain(element, depth + 1) for element in value]
        return _plain(_stand_in(value), depth + 1)
    except Exception:
        return f"<{type(value).__qualname__}>"
