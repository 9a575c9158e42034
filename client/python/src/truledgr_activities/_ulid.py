"""ULIDs: 48 bits of milliseconds since 1970 and 80 random bits, as 26 characters of Crockford's base 32."""

from __future__ import annotations

import os
import re
import time

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_FORM = re.compile("[0-7][0-9A-HJKMNP-TV-Z]{25}")


def new_ulid() -> str:
    """Return a ULID of now."""
    number = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return "".join(_PAIRS[number >> shift & 0x3FF] for shift in range(120, -1, -10))


def is_ulid(text: str) -> bool:
    """Tell whether a text is a ULID in its canonical form."""
    return _FORM.fullmatch(text) is not None
