"""One POST to somebody's webhook: where it may go, how it is signed, and how long it may take.

Lives here: `check_address`, `signature`, `post`. Does not live here: which events go, and trying again (`webhooks`).
Source: spec interfaces 4; the addresses are those of the IANA special-purpose registries, as `ipaddress` knows them.

Whoever may name an address must not reach what only this machine can reach (server-side request forgery). A name is
looked up once, every address it has is checked, and the connection goes to one that was checked: a name that means
another machine a moment later leads nowhere. Redirects are not followed, and no proxy of the environment is asked.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from functools import cache
from urllib.parse import SplitResult, urlsplit

from connector.accounts import is_loopback
from connector.errors import BadInput, Refused, Retry

#: Longest wait for the connection and for each answer of the network, and for all of it, in seconds.
_EACH_WAIT = 5.0
_WHOLE_TIME = 10.0

_LONGEST_ADDRESS = 2000

_PORTS = {"https": 443, "http": 80}

#: Addresses of IPv6 that carry one of IPv4 in their last four bytes (RFC 6052; RFC 4291 2.5.5.1).
_CARRYING = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))

#: What was for one site once (RFC 3879), which `ipaddress` takes for public.
_OF_A_SITE = ipaddress.ip_network("fec0::/10")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def check_address(url: str, *, private: bool) -> None:
    """Raise `BadInput` for an address that no webhook may have; what its name means is checked at each delivery.

    `private` allows this machine and private networks.
    """
    if len(url) > _LONGEST_ADDRESS or not url.isascii() or any(letter <= " " or letter == "\\" for letter in url):
        raise BadInput(f"a webhook's address is at most {_LONGEST_ADDRESS} ASCII characters, without spaces")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        parts, port, host = SplitResult("", "", "", "", ""), None, None
    if parts.scheme not in _PORTS or not host or port == 0:
        raise BadInput("that is no address for a webhook: write https://host/path")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise BadInput("a webhook's address has no user, password or fragment: deliveries are signed instead")
    if parts.scheme == "http" and not is_loopback(url):
        raise BadInput("a webhook's address begins with https://: plain http is for this machine only")
    with contextlib.suppress(ValueError):
        _check_place(ipaddress.ip_address(host), private=private)
    if host == "localhost":
        _check_place(ipaddress.ip_address("127.0.0.1"), private=private)


def signature(secret: str, body: bytes, *, at: int) -> str:
    """Return the value of `Connector-Signature`; `at` is in seconds since 1970."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def post(url: str, body: bytes, headers: Mapping[str, str], *, private: bool) -> int:
    """Post once and return the status of the answer, whose body is not read.

    Raises `Refused` for a place where it may not go, and `Retry` when it did not answer in time.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    place = _resolve(host, port, private=private, only_here=parts.scheme == "http")
    connection = _Pinned(host, port, place=place, tls=parts.scheme == "https")
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    # Each wait is bounded below; whoever answers a byte at a time is cut off as a whole.
    alarm = threading.Timer(_WHOLE_TIME, connection.cut)
    alarm.daemon = True
    alarm.start()
    try:
        connection.request("POST", path, body, dict(headers))
        return connection.getresponse().status
    except TimeoutError as error:
        raise Retry("it did not answer in time", code="timeout") from error
    except ssl.SSLError as error:
        raise Retry("its certificate cannot be trusted, or TLS failed", code="tls") from error
    except (OSError, http.client.HTTPException) as error:
        raise Retry("it cannot be reached, or what it answers is not HTTP", code="connection") from error
    finally:
        alarm.cancel()
        connection.close()


class _Pinned(http.client.HTTPConnection):
    """A connection to an address that was checked, under the name it was looked up by."""

    def __init__(self, host: str, port: int, *, place: str, tls: bool) -> None:
        super().__init__(host, port, timeout=_EACH_WAIT)
        self.default_port = _PORTS["https" if tls else "http"]  # left out of the Host header
        self._place = place
        self._tls = tls

    def connect(self) -> None:
        self.sock = socket.create_connection((self._place, self.port), _EACH_WAIT)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls:
            self.sock = _trust().wrap_socket(self.sock, server_hostname=self.host)

    def cut(self) -> None:
        """End it from another thread, whatever it waits for."""
        if self.sock is not None:
            with contextlib.suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


def _resolve(host: str, port: int, *, private: bool, only_here: bool) -> str:
    """Return an address of a host to connect to; raise `Refused` when any of its addresses is none to go to."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Retry("its name cannot be found", code="name") from error
    places = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not places:
        raise Retry("its name has no address", code="name")
    for place in places:
        if only_here and not place.is_loopback:
            raise Refused("plain http is for this machine only", code="plain_http")
        try:
            _check_place(place, private=private)
        except BadInput as error:
            raise Refused(str(error), code="private_address") from error
    return str(places[0])


def _check_place(place: _Address, *, private: bool) -> None:
    """Raise `BadInput` for an address that is not one of the public network, unless private ones are allowed.

    Link-local ones never are: machines of a cloud answer there with their own secrets.
    """
    meant = _meant(place)
    if meant.is_link_local or meant.is_multicast or meant.is_unspecified:
        raise BadInput("the address leads to no machine that a webhook may reach")
    if not private and (not meant.is_global or meant in _OF_A_SITE):
        raise BadInput("the address is of this machine or of a private network: only an admin's webhook may go there")


def _meant(place: _Address) -> _Address:
    """Return the address of IPv4 that one of IPv6 stands for, or the address itself."""
    if isinstance(place, ipaddress.IPv6Address):
        if any(place in network for network in _CARRYING) and int(place) > 1:
            return ipaddress.IPv4Address(place.packed[-4:])
        return place.ipv4_mapped or place.sixtofour or (place.teredo[1] if place.teredo else None) or place
    return place
