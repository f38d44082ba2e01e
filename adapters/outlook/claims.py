"""What a token says of itself.

Lives here: reading its claims. Does not live here: what follows from them (`checkup`, `signin`).
A token is not verified, for it is not believed: Graph decides what it opens. Its claims only tell people why.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

#: Claims that name the person whose token it is: in Graph's tokens, in those of the newer form, in older ones.
_NAMES = ("upn", "preferred_username", "unique_name")


def claims_of(token: str) -> Mapping[str, Any]:
    """Return the claims of a token; nothing for one that shows none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def person_of(token: str) -> str:
    """Return the name somebody signed in by, in small letters; "" for an application, or when it is not shown."""
    claims = claims_of(token)
    return next((str(claims[name]).lower() for name in _NAMES if claims.get(name)), "")
