"""Unsubscribing: the address in a mail by which its recipient says no more, and whom its token stands for.

Lives here: `Tokens`, `Unsubscribe`. Does not live here: headers (`mime`), the page that such an address opens, what
opting out does (`sync`). Source: reference apis 4.1 (RFC 8058: opaque, unguessable, GET changes nothing).

A token is the person's address, encrypted and authenticated with a key of the project's own, which the vault keeps
under the project's key. AES-SIV needs no random part: a person has one token, in every mail and for good, and a mail
composed a second time is the same mail.
"""

from __future__ import annotations

import base64
import binascii
import html
from dataclasses import dataclass
from urllib.parse import quote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from connector.errors import BadInput
from connector.people import is_address
from connector.ports import Vault

#: Placeholders of the setting `unsubscribe.address`: our token, or the address itself for a page of the company's own.
TOKEN, EMAIL = "{token}", "{email}"

#: Name of the key in the vault.
VAULT_NAME = "unsubscribe"

#: Sealed in with each token, so that what the key may one day seal for another purpose is no token.
_PURPOSE = [b"unsubscribe"]
_KEY_BITS = 512
#: More characters than the token of the longest address has.
_LONGEST = 400


class Tokens:
    """Tokens that stand for people."""

    def __init__(self, key: bytes) -> None:
        """Take a key of 64 bytes."""
        self._cipher = AESSIV(key)

    @classmethod
    def kept_in(cls, vault: Vault) -> Tokens:
        """Return the tokens of a project; the first time its key is made. Not to be called within a transaction."""
        key = vault.read(VAULT_NAME) or vault.renew(VAULT_NAME, None, lambda seen: seen or _new_key())
        return cls(base64.b64decode(key))

    def __repr__(self) -> str:
        """Show nothing of what is inside."""
        return "Tokens()"

    def token_of(self, email: str) -> str:
        """Return the one token of a person, of characters that stand in an address as they are."""
        sealed = self._cipher.encrypt(email.lower().encode(), _PURPOSE)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def read_token(self, token: str) -> str:
        """Return the address of the person a token stands for; raise `BadInput` for one that we did not make."""
        try:
            email = self._cipher.decrypt(_decoded(token), _PURPOSE).decode()
        except (InvalidTag, ValueError):
            email = ""
        # The last character of a token has bits that say nothing: only the way we write it counts.
        if not is_address(email) or self.token_of(email) != token:
            raise BadInput("this is no address of ours to unsubscribe at: use the whole link from the mail")
        return email


def _new_key() -> str:
    return base64.b64encode(AESSIV.generate_key(_KEY_BITS)).decode()


def _decoded(token: str) -> bytes:
    """Return the bytes of a token; raise `ValueError` when there can be none."""
    if len(token) > _LONGEST:
        raise ValueError(token[:_LONGEST])
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(token) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribe:
    """How mails say where to unsubscribe (`unsubscribe:` of connector.yaml)."""

    #: https address with `{token}` or `{email}` in it, once.
    address: str
    #: What stands in the mail; the words in [brackets] are the link, or all of it.
    text: str
    tokens: Tokens

    def address_of(self, email: str) -> str:
        """Return the address at which a person unsubscribes."""
        if EMAIL in self.address:
            return self.address.replace(EMAIL, quote(email, safe=""))
        return self.address.replace(TOKEN, self.tokens.token_of(email))

    def html_of(self, email: str) -> str:
        """Return what stands in a mail to a person."""
        before, _, rest = self.text.partition("[")
        words, closed, after = rest.partition("]")
        if not closed:
            before, words, after = "", self.text, ""
        link = f'<a href="{html.escape(self.address_of(email))}">{html.escape(words)}</a>'
        return f"{html.escape(before)}{link}{html.escape(after)}"
