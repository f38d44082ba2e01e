"""Who campaigns are about: people and reps, as values.

Lives here: `Person`, `Rep` and what makes an address well formed. Does not live here: reading people files
(`campaigns.people_file`), matching people with the CRM (`tasks`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

#: One mailbox at a domain with a dot; what a rep may be asked to write to. Not the whole of RFC 5321.
_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)+"
)


def is_address(text: str) -> bool:
    """Tell whether the text is one well-formed mail address."""
    # Some mail servers decode an encoded word even here, and send to another address.
    return len(text) <= 254 and _ADDRESS.fullmatch(text) is not None and ".." not in text and "=?" not in text


@cache
def time_zones() -> frozenset[str]:
    """Return every IANA name of a time zone."""
    return frozenset(available_timezones())


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A prospect. The lower-case email is the identity."""

    email: str
    first_name: str = ""
    last_name: str = ""
    title: str = ""
    company: str = ""
    phone: str = ""
    #: IANA name, or "" when not known.
    time_zone: str = ""
    salesforce_id: str = ""
    linkedin_url: str = ""
    custom: Mapping[str, str] = field(default_factory=dict)

    @property
    def domain(self) -> str:
        """The part after the @, lower case."""
        return self.email.rpartition("@")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rep:
    """A sales rep, as `connector.yaml` lists them."""

    email: str
    name: str
    title: str = ""
    #: IANA name.
    time_zone: str = "UTC"
    #: Name of a mailbox adapter: gmail, outlook, links.
    mailbox: str = "links"
    salesforce_user: str = ""
    #: HTML.
    signature: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def zone(self) -> ZoneInfo:
        """The rep's time zone."""
        return ZoneInfo(self.time_zone)
