"""Moving the people in a campaign to its present version.

Lives here: who would move and where they would go on, and moving them. Does not live here: what changed between two
versions (`drift`), what the sequencer makes of a move (`sequencing`). Source: spec sequencing 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connector.campaigns.model import Campaign
from connector.campaigns.versions import to_document, version_of
from connector.content.templates import Template
from connector.events import EventKind
from connector.sequencing.enrollment import Enrollment
from connector.store.campaign_numbers import Reps
from connector.store.campaigns import save_version
from connector.store.database import Transaction
from connector.store.enrollments import find_enrollments
from connector.sync.actions import forget_not_carried_out, is_carried_out
from connector.sync.office import Office
from connector.sync.record import enrollment_fact, record


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One enrollment that a migration moves: to which step of the new version."""

    enrollment: Enrollment
    #: Index in the new version's steps; their number means that nothing is left to do.
    position: int
    next_step: str


def plan_migration(
    office: Office, campaign: Campaign, templates: Mapping[str, Template], *, reps: Reps = None
) -> list[Move]:
    """Return who of these reps' people would move to the campaign's present version, and where they would go on."""
    with office.database.read() as tx:
        return _moves(tx, office, campaign, version_of(to_document(campaign, templates)), reps)


def _moves(tx: Transaction, office: Office, campaign: Campaign, version: str, reps: Reps) -> list[Move]:
    moves = []
    for enrollment in find_enrollments(tx, campaign=campaign.name):
        if enrollment.version == version or (reps is not None and enrollment.rep not in reps):
            continue
        old = office.book.pinned(tx, campaign.name, enrollment.version).campaign
        position = _position_in(campaign, old, enrollment)
        step = campaign.steps[position] if position < len(campaign.steps) else None
        label = f"day {step.day}, step {step.step} ({step.type})" if step else "nothing left to do"
        if enrollment.intent is not None and is_carried_out(tx, enrollment.intent):
            label += "; what was given or sent for it already stays as it is"
        moves.append(Move(enrollment=enrollment, position=position, next_step=label))
    return moves


def migrate(office: Office, campaign: Campaign, templates: Mapping[str, Template], *, reps: Reps = None) -> list[Move]:
    """Move every live enrollment of these reps to the campaign's present version."""
    document = to_document(campaign, templates)
    version, now = version_of(document), office.now()
    with office.database.write() as tx:
        save_version(tx, campaign.name, version, document, now)
        # Read in the transaction that moves them: a step that ends in between must not come round again.
        moves = _moves(tx, office, campaign, version, reps)
        facts = []
        for move in moves:
            carried_out = move.enrollment.intent is not None and forget_not_carried_out(tx, move.enrollment)
            fact = enrollment_fact(
                move.enrollment,
                EventKind.MIGRATED,
                now,
                version=version,
                position=move.position,
                carried_out=carried_out,
            )
            facts.append(fact)
        record(tx, office, facts, now)
    return moves


def _position_in(campaign: Campaign, old: Campaign, enrollment: Enrollment) -> int:
    """Return where an enrollment goes on in another version: the same day and step, else the next one after it."""
    if enrollment.position >= len(old.steps):
        return len(campaign.steps)
    here = (old.steps[enrollment.position].day, old.steps[enrollment.position].step)
    later = (index for index, step in enumerate(campaign.steps) if (step.day, step.step) >= here)
    return next(later, len(campaign.steps))
