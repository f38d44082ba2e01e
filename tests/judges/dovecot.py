"""Dovecot as a judge of mails: what a mail server that nobody here wrote reads in our bytes.

Lives here: starting its IMAP program, its answers as values. Does not live here: what it ought to have read.

The program speaks IMAP through its standard input and output, to whoever started it: no port, no password, no daemon.
It reads no mail as root, so there it runs as nobody.
"""

from __future__ import annotations

import imaplib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.header import decode_header, make_header
from itertools import takewhile
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

#: Where systems keep the programs of Dovecot, which are not for a shell.
_PLACES = ("/usr/lib/dovecot", "/usr/libexec/dovecot", "/usr/local/libexec/dovecot", "/opt/homebrew/libexec/dovecot")

_TOKEN = re.compile(
    rb'\s*(?:(?P<bracket>[()])|"(?P<quoted>(?:[^"\\]|\\.)*)"|~?\{(?P<size>\d+)\}\r\n|(?P<atom>[^\s()]+))'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A part of a mail that holds no others, as BODYSTRUCTURE and BINARY tell it."""

    #: Where it stands: "1.2".
    section: str
    #: "text/plain".
    kind: str
    charset: str
    content_id: str
    #: inline or attachment; "" when the mail does not say.
    shown: str
    name: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What Dovecot reads in a mail."""

    uid: str
    subject: str
    #: Header of ENVELOPE -> (name, address) of each mailbox in it.
    addresses: dict[str, list[tuple[str, str]]]
    in_reply_to: str
    message_id: str
    #: Containers as "mixed(related(alternative(plain html) png) pdf)".
    shape: str
    leaves: tuple[Leaf, ...]
    #: Names of the headers of the whole mail, lower case, in their order.
    headers: tuple[str, ...]
    raw: bytes


class Dovecot:
    """One mailbox."""

    def __init__(self, program: str, folder: Path) -> None:
        """Start the program on an empty mailbox in this folder, which whoever runs it can write."""
        settings = folder / "dovecot.conf"
        settings.write_text(
            f"mail_location = maildir:{folder}/mail\nbase_dir = {folder}\nssl = no\nstats_writer_socket_path =\n"
        )
        self._imap = _Imap([program, "-c", str(settings)], folder)
        self._imap.select("INBOX")

    def close(self) -> None:
        """End the program."""
        self._imap.logout()

    def read(self, raw: bytes) -> Reading:
        """Put the bytes into the mailbox and return what is read in them."""
        answer = _done(self._imap.append("INBOX", None, None, raw))
        uid = re.search(rb"APPENDUID \d+ (\d+)", answer[0])[1].decode()
        self._imap.noop()
        told = self._fetch(uid, "ENVELOPE BODYSTRUCTURE BODY.PEEK[] BODY.PEEK[HEADER]")
        envelope, structure = told[b"ENVELOPE"], told[b"BODYSTRUCTURE"]
        header = told[b"BODY[HEADER]"]
        return Reading(
            uid=uid,
            subject=_decoded(envelope[1]),
            addresses={
                name: [(_decoded(one[0]), f"{one[2].decode()}@{one[3].decode()}") for one in envelope[place] or []]
                for name, place in (("from", 2), ("sender", 3), ("reply-to", 4), ("to", 5), ("cc", 6), ("bcc", 7))
            },
            in_reply_to=(envelope[8] or b"").decode(),
            message_id=(envelope[9] or b"").decode(),
            shape=_shape(structure),
            leaves=tuple(self._leaf(uid, section, part) for section, part in _leaves(structure, "")),
            headers=tuple(name.decode().lower() for name in re.findall(rb"^([^\s:]+):", header, re.MULTILINE)),
            raw=told[b"BODY[]"],
        )

    def _leaf(self, uid: str, section: str, part: Sequence[Any]) -> Leaf:
        told = self._fetch(uid, f"BINARY.PEEK[{section}]")
        # Texts have one field more: how many lines they are.
        shown = part[9 if part[0] == b"text" else 8] or [b"", None]
        return Leaf(
            section=section,
            kind=f"{part[0].decode()}/{part[1].decode()}",
            charset=_parameters(part[2]).get("charset", ""),
            content_id=(part[3] or b"").decode(),
            shown=shown[0].decode(),
            name=_parameters(shown[1]).get("filename", ""),
            content=told[f"BINARY[{section}]".encode()] or b"",
        )

    def _fetch(self, uid: str, what: str) -> dict[bytes, Any]:
        answer = _done(self._imap.uid("FETCH", uid, f"({what})"))
        whole = b"".join(piece[0] + b"\r\n" + piece[1] if isinstance(piece, tuple) else piece for piece in answer)
        pairs = _values(whole)[1]
        return dict(zip(pairs[::2], pairs[1::2], strict=True))

    def search(self, header: str, text: str) -> list[str]:
        """Return the uids of the mails whose header, decoded, has this text."""
        self._imap.literal = text.encode()
        return _done(self._imap.uid("SEARCH", "CHARSET", "UTF-8", header))[0].decode().split()

    def conversations(self) -> list[set[str]]:
        """Return the uids of the mails of each conversation, as Message-ID and References tell it; not the subject."""
        told = _values(_done(self._imap.uid("THREAD", "REFS", "UTF-8", "ALL"))[0])
        return [set(_atoms(thread)) for thread in told]


class _Imap(imaplib.IMAP4_stream):
    """An IMAP client of a program that it starts."""

    def __init__(self, command: list[str], home: Path) -> None:
        self._start = command
        self._home = home
        super().__init__(command[0])

    def open(self, host: str | None = None, port: int | None = None, timeout: float | None = None) -> None:
        self.host = self.port = self.sock = self.file = None
        self.process = subprocess.Popen(
            self._start,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._home,
            env={"HOME": str(self._home), "USER": "judge", "PATH": os.environ.get("PATH", "")},
            **({"user": "nobody", "group": _group(), "extra_groups": []} if os.geteuid() == 0 else {}),
        )
        self.writefile, self.readfile = self.process.stdin, self.process.stdout


def _group() -> int:
    return pwd.getpwnam("nobody").pw_gid


@contextmanager
def run_dovecot() -> Iterator[Dovecot]:
    """Run Dovecot on a new mailbox; skip the test where it is not installed."""
    program = shutil.which("imap", path=os.pathsep.join(_PLACES))
    if program is None:
        pytest.skip("Dovecot, which reads our mails as a judge, is not installed")
    # Not the folder of the tests: nobody may not enter that of root.
    with tempfile.TemporaryDirectory(prefix="dovecot-") as name:
        if os.geteuid() == 0:
            shutil.chown(name, "nobody", _group())
        judge = Dovecot(program, Path(name))
        try:
            yield judge
        finally:
            judge.close()


def _done(answer: tuple[str, list[Any]]) -> list[Any]:
    assert answer[0] == "OK", answer
    return answer[1]


def _values(answer: bytes) -> list[Any]:
    """Return an answer of IMAP as nested lists of bytes; NIL is None."""
    stack: list[list[Any]] = [[]]
    at = 0
    while (found := _TOKEN.match(answer, at)) is not None:
        at = found.end()
        if found["bracket"] == b"(":
            stack.append([])
        elif found["bracket"] == b")":
            inner = stack.pop()
            stack[-1].append(inner)
        elif found["size"] is not None:
            stack[-1].append(answer[at : at + int(found["size"])])
            at += int(found["size"])
        elif found["quoted"] is not None:
            stack[-1].append(re.sub(rb"\\(.)", rb"\1", found["quoted"]))
        else:
            stack[-1].append(None if found["atom"] == b"NIL" else found["atom"])
    assert len(stack) == 1, answer
    assert not answer[at:].strip(), answer
    return stack[0]


def _atoms(nested: Sequence[Any]) -> Iterator[str]:
    for one in nested:
        yield from _atoms(one) if isinstance(one, list) else [one.decode()]


def _decoded(text: bytes | None) -> str:
    """Return a text of ENVELOPE, its encoded words decoded."""
    return str(make_header(decode_header((text or b"").decode("ascii"))))


def _inside(part: Sequence[Any]) -> list[Sequence[Any]]:
    """Return the parts of a container, which stand before its name."""
    return list(takewhile(lambda one: isinstance(one, list), part))


def _shape(part: Sequence[Any]) -> str:
    inner = [_shape(one) for one in _inside(part)]
    return f"{part[len(inner)].decode()}({' '.join(inner)})" if inner else part[1].decode()


def _leaves(part: Sequence[Any], section: str) -> Iterator[tuple[str, Sequence[Any]]]:
    inner = _inside(part)
    if not inner:
        yield section or "1", part
    for number, one in enumerate(inner, start=1):
        yield from _leaves(one, f"{section}.{number}" if section else str(number))


def _parameters(pairs: Sequence[bytes] | None) -> dict[str, str]:
    """Return parameters by name; one in the form of RFC 2231, whose pieces Dovecot has joined, is decoded."""
    found: dict[str, str] = {}
    for name, value in zip((pairs or [])[::2], (pairs or [])[1::2], strict=True):
        plain = name.decode().removesuffix("*")
        found[plain] = unquote(value.decode().split("'", 2)[2]) if name.endswith(b"*") else value.decode()
    return found
