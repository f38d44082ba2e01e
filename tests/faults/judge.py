"""What the sandbox's log tells of a run: plain functions over its JSON, for a sandbox in this process or another one.

A log is what `GET /sandbox/log` answers (`read_log`), or `log_of(sandbox)` of one in this process, or `log_in(file)` of
a file that `connector sandbox --log FILE` wrote: `{"effects": [...], "faults": [...], "spans": [...]}`.

- An effect: `{"at", "service", "effect", "key", "mailbox", ...}`; `at` is ISO 8601, UTC, by the sandbox's own clock;
  `key` is the intent's stamp, "" or None for what bears none; `mailbox` is there for mail only.
- A fault: `{"at", "service", "trouble", "mailboxes", "method", "path", "acted", "key", "occurrence"}`.
- A span: `{"service", "mailbox", "method", "path", "who", "begun", "ended"}`; seconds of one clock that only runs on.
  `who` tells processes apart as long as each signs in for itself.
"""

from __future__ import annotations

import json
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from itertools import pairwise
from pathlib import Path
from typing import Any

#: A log, as JSON.
Log = Mapping[str, Sequence[Mapping[str, Any]]]

#: What ends a draft: one that was taken back may be made anew.
_ENDS_A_DRAFT = ("draft_purged", "draft_deleted", "mail_sent")


def read_log(url: str) -> Log:
    """Read the log of a sandbox over HTTP; `url` is the sandbox's address."""
    with urllib.request.urlopen(f"{url}/sandbox/log", timeout=30) as answer:
        found: Log = json.load(answer)
    return found


def read_state(url: str) -> Mapping[str, Any]:
    """Read all that the services of a sandbox hold, over HTTP."""
    with urllib.request.urlopen(f"{url}/sandbox/state", timeout=30) as answer:
        found: Mapping[str, Any] = json.load(answer)
    return found


def log_of(sandbox: Any) -> Log:
    """Return the log of a sandbox in this process."""
    return {name: list(getattr(sandbox.log, name)) for name in ("effects", "faults", "spans")}


def log_in(file: Path) -> Log:
    """Read a log that was written line by line; a last line that was cut off is left out."""
    found: dict[str, list[Mapping[str, Any]]] = {"effects": [], "faults": [], "spans": []}
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        found[f"{entry.pop('log')}s"].append(entry)
    return found


# ------------------------------------------------------------------------------------------- effects, once each


def made(log: Log, effect: str) -> Counter[str]:
    """Return intent key -> how often the effect happened: `mail_sent`, `draft_created`, `task_created`."""
    return Counter(str(one["key"]) for one in log["effects"] if one["effect"] == effect and one.get("key"))


def unstamped(log: Log, *effects: str) -> list[Mapping[str, Any]]:
    """Return effects of these names that bear no intent's key: nobody can tell whose they are."""
    return [one for one in log["effects"] if one["effect"] in effects and not one.get("key")]


def duplicates(log: Log) -> dict[str, dict[str, int]]:
    """Return effect -> intent key -> how often, of what happened more often than once; {} is right.

    Mails sent, Tasks created, and drafts that lay in a mailbox beside another of the same intent.
    """
    found = {name: {key: n for key, n in made(log, name).items() if n > 1} for name in ("mail_sent", "task_created")}
    found["draft_created"] = _drafts_at_once(log)
    return {name: keys for name, keys in found.items() if keys}


def _drafts_at_once(log: Log) -> dict[str, int]:
    """Return key -> most drafts that lay there at a time, of those with more than one."""
    lying: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for one in log["effects"]:
        key = str(one.get("key") or "")
        if key and one["effect"] == "draft_created":
            lying[key] += 1
            most[key] = max(most[key], lying[key])
        elif key and one["effect"] in _ENDS_A_DRAFT:
            lying[key] = max(0, lying[key] - 1)
    return {key: n for key, n in most.items() if n > 1}


def lying(state: Mapping[str, Any], place: str) -> Counter[str]:
    """Return intent key -> how many mails lie in `drafts`, `sent`, ... of all mailboxes, by the sandbox's state."""
    boxes = [*state["gmail"].values(), *state["graph"].values()]
    mails = [mail for box in boxes for mail in box["mails"] if mail["place"] == place]
    return Counter(str(mail["key"]) for mail in mails if mail["key"])


# ------------------------------------------------------------------------------------------------ lanes and pace


def overlaps(log: Log, *, within_one: bool = False) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Return pairs of calls for one mailbox that were with the service at the same time; [] is right.

    Only pairs of different callers (`who`) unless `within_one`: one holder of a lane may well make several calls at
    once. The org of Salesforce is the mailbox `salesforce`.
    """
    found = []
    for spans in _by_mailbox(log).values():
        under_way: list[Mapping[str, Any]] = []
        for span in sorted(spans, key=lambda one: one["begun"]):
            under_way = [one for one in under_way if one["ended"] > span["begun"]]
            found += [(one, span) for one in under_way if within_one or one["who"] != span["who"]]
            under_way.append(span)
    return found


def takeovers(log: Log) -> dict[str, int]:
    """Return mailbox -> how often another caller went on with it: that lanes were taken over at all."""
    return {
        mailbox: sum(one["who"] != next_["who"] for one, next_ in pairwise(sorted(spans, key=lambda s: s["begun"])))
        for mailbox, spans in _by_mailbox(log).items()
    }


def _by_mailbox(log: Log) -> Mapping[str, list[Mapping[str, Any]]]:
    found: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for span in log["spans"]:
        found[span["mailbox"]].append(span)
    return found


def sends(log: Log) -> dict[str, list[datetime]]:
    """Return mailbox -> the instants of its mails that went out by the API, in order (a rep's own are left out)."""
    found: defaultdict[str, list[datetime]] = defaultdict(list)
    for one in log["effects"]:
        if one["effect"] == "mail_sent" and one.get("by") == "api":
            found[one["mailbox"]].append(datetime.fromisoformat(one["at"]))
    return {mailbox: sorted(instants) for mailbox, instants in found.items()}


def busiest_day(log: Log, zone: tzinfo) -> dict[str, int]:
    """Return mailbox -> most mails that went out on one calendar day of a zone."""
    counted = {mailbox: Counter(one.astimezone(zone).date() for one in all_) for mailbox, all_ in sends(log).items()}
    return {mailbox: max(days.values()) for mailbox, days in counted.items()}


# ----------------------------------------------------------------------------------------------------- faults


def faults(log: Log) -> Counter[tuple[str, str]]:
    """Return (service, trouble) -> how often it struck: that a run was hostile at all."""
    return Counter((str(one["service"]), str(one["trouble"])) for one in log["faults"])


def drawn(log: Log) -> set[tuple[str, int, str]]:
    """Return (key, occurrence, trouble) of each fault: what a seed decides, whatever the order of calls was."""
    return {(one["key"], one["occurrence"], one["trouble"]) for one in log["faults"]}
