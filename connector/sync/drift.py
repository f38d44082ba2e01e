"""How far people in a campaign are from the campaign's file: versions, what changed since, who is affected.

Lives here: `drifts`. Does not live here: telling two versions apart (`campaigns.versions`), moving people over
(`migration`). Source: spec sequencing 6, interfaces 2 (`campaign diff`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from connector.campaigns.model import Campaign
from connector.campaigns.versions import Change, diff, to_document, version_of
from connector.content.templates import Template
from connector.sequencing.enrollment import Enrollment
from connector.store.campaigns import read_version
from connector.store.enrollments import find_enrollments
from connector.sync.office import Office


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One version that people are still in, beside the file as it is now."""

    version: str
    changes: tuple[Change, ...]
    enrollments: tuple[Enrollment, ...]


def drifts(office: Office, campaign: Campaign, templates: Mapping[str, Template]) -> list[Drift]:
    """Return every version other than the file's that live enrollments are pinned to, in the order of launch."""
    document = to_document(campaign, templates)
    present = version_of(document)
    with office.database.read() as tx:
        live: dict[str, list[Enrollment]] = {}
        for enrollment in find_enrollments(tx, campaign=campaign.name):
            if enrollment.version != present:
                live.setdefault(enrollment.version, []).append(enrollment)
        return [
            Drift(
                version=version,
                changes=diff(read_version(tx, campaign.name, version) or document, document),
                enrollments=tuple(enrollments),
            )
            for version, enrollments in live.items()
        ]
