"""What a service can do, as a record that tests, pages and documents read.

An adapter refuses what its record denies with `errors.Unsupported`; nothing is dropped silently.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxCapabilities:
    """What a kind of mailbox can do."""

    #: Name in `reps[].mailbox`.
    name: str
    #: Name for people.
    title: str
    #: Drafts can be placed in the mailbox through an API.
    drafts: bool
    #: Mail can be sent without the rep.
    sends: bool
    #: Replies, bounces and the fate of drafts can be seen.
    incoming: bool
    #: A follow-up can be threaded to the previous mail.
    threads: bool
    #: HTML bodies reach the compose window.
    html: bool
    #: RFC 8058 one-click unsubscribe headers can be set.
    one_click_unsubscribe: bool
    #: Largest sum of attachments, in bytes; 0 means none.
    attachment_bytes: int
    #: Drafts that are placed by one call at most.
    drafts_at_once: int = 1
    #: Longest compose address in characters, when there is no API; None where drafts exist.
    address_length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrmCapabilities:
    """What a CRM can do."""

    name: str
    title: str
    #: Tasks written in one call at most.
    tasks_per_call: int
    #: Longest subject and description, in characters.
    subject_length: int
    description_length: int
    #: A write can be repeated without a second effect.
    idempotent_writes: bool
    #: Opt-out can be written to the person.
    opt_out: bool
