"""Who gets in: the link, the session, where one is led after it, and by which name one came."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace

import pytest

from connector.store.database import Database
from connector.web.guard import HEADERS, is_this_machine
from tests.web.site import Site, Sites

OPEN = "/open/0123456789abcdef0123456789abcdef"


def test_the_link_signs_in_once_and_for_twelve_hours(site: Site) -> None:
    assert site.get("/").status_code == 401
    first = site.get(site.link.path)
    assert (first.status_code, first.headers["location"]) == (303, "/")
    said = first.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"} <= set(re.split("; |, ", said))
    assert "Secure" not in said
    assert site.get("/").headers["location"] == "/tasks"
    # Who opens it again is let through by the session; nobody else is.
    assert site.get(site.link.path).status_code == 303
    site.browser.cookies.clear()
    again = site.get(site.link.path)
    assert (again.status_code, "used already" in again.text, "set-cookie" in again.headers) == (401, True, False)


def test_a_session_outlives_a_restart_and_runs_out(site: Site, serve: Sites) -> None:
    site.sign_in()
    (session,) = site.browser.cookies
    anew = serve(site.world)
    anew.browser.cookies.set(session.name.replace(str(site.port), str(anew.port)), session.value)
    site.world.after(hours=12)
    assert [one.get("/").status_code for one in (site, anew)] == [303, 303]
    site.world.after(seconds=1)
    assert [one.get("/").status_code for one in (site, anew)] == [401, 401]


def test_the_link_works_ten_minutes_and_no_longer(site: Site, serve: Sites) -> None:
    site.world.after(minutes=10)
    late = serve(site.world)
    assert site.get(site.link.path).status_code == 303
    late.world.after(minutes=10, seconds=1)
    assert late.get(late.link.path).status_code == 401


def test_nobody_can_make_a_session(site: Site, serve: Sites) -> None:
    """Nor take one of another project, nor change a bit of one's own, nor guess the link."""
    site.sign_in()
    (session,) = site.browser.cookies
    value = session.value or ""
    middle = len(value) // 2
    changed = value[:middle] + ("A" if value[middle] != "A" else "B") + value[middle + 1 :]
    others = []
    for said in ({"user": ""}, {"user": "", "csrf": "x"}, {"user": "", "csrf": "x", "kept_as": "signing-in"}, [1]):
        sealed = site.sessions._cipher.encrypt_at_time(json.dumps(said).encode(), int(site.world.now.timestamp()))
        others.append(sealed.decode())
    for forged in ("", "ana@acme.example", value[:-4], changed, "gAAAAA" * 30, *others):
        site.browser.cookies.set(session.name, forged, domain=session.domain, path="/")
        assert site.get("/").status_code == 401, forged
    stranger = serve(site.world)
    for token in ("", "x", stranger.link.path[9:-1], stranger.link.path[9:] + "A", site.link.path[9:], "é"):
        assert stranger.get(f"/sign-in/{token}").status_code in (401, 404) or not token, token
    assert stranger.get(stranger.link.path).status_code == 303


def test_over_https_the_session_goes_over_https_alone(site: Site) -> None:
    """As by a proxy of this machine that speaks TLS."""
    answer = site.get(site.link.path, headers={"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["set-cookie"]


def test_after_signing_in_one_is_where_one_wanted_to_go(site: Site) -> None:
    led = {
        OPEN: OPEN,
        f"{OPEN}?in=outlook": f"{OPEN}?in=outlook",
        "/": "/",
        f"{OPEN}?in=elsewhere": f"{OPEN}?in=elsewhere",
        f"{OPEN}?in=gmail&next=https://evil.example": "/",
        "/open/%5Cevil.example?a=%0D%0A": "/open/%5Cevil.example?a=%0D%0A",
        "/nothing": "/",
    }
    site.sign_in()
    (session,) = site.browser.cookies
    for asked, place in led.items():
        site.browser.cookies.clear()
        answer = site.get(asked)
        assert (answer.status_code in (401, 404), "set-cookie" in answer.headers) == (True, asked == place), asked
        site.browser.cookies.set_cookie(session)
        assert site.get(site.link.path).headers["location"] == place, asked


def test_what_a_page_asks_for_by_itself_is_no_place_to_go(site: Site) -> None:
    asked = {
        "the address bar": (OPEN, {"Sec-Fetch-Dest": "document"}, True),
        "a browser that says nothing": (OPEN, {}, True),
        "the feed's stream": ("/feed/stream?after=1", {"Sec-Fetch-Dest": "empty"}, False),
        "a frame": (OPEN, {"Sec-Fetch-Dest": "iframe"}, False),
        "a picture": (OPEN, {"Sec-Fetch-Dest": "image"}, False),
    }
    for name, (path, headers, kept) in asked.items():
        assert ("connector_next" in site.get(path, headers=headers).headers.get("set-cookie", "")) == kept, name


def test_the_place_to_go_is_forgotten_with_the_link(site: Site) -> None:
    site.get(OPEN)
    assert site.sign_in().get(site.link.path).headers["location"] == "/"


def test_a_planted_place_to_go_is_not_gone_to(site: Site) -> None:
    site.sign_in()
    (session,) = site.browser.cookies
    places = {
        "//evil.example": "/",
        "https://evil.example/": "/",
        "/\\evil.example": "/",
        "/..//evil.example": "/",
        "/tasks//evil.example": "/",
        "/tasks?next=//evil.example": "/",
        "%2F": "/",
    }
    places |= {f"{OPEN}#x": "/", "/open/é": "/", f"{OPEN}\n": "/", "": "/", OPEN: OPEN}
    for planted, led in places.items():
        written = "".join(f"%{byte:02X}" for byte in planted.encode())
        cookies = f"{session.name}={session.value}; connector_next_{site.port}={written}"
        answer = site.get(site.link.path, headers={"Cookie": cookies})
        assert (answer.status_code, answer.headers["location"]) == (303, led), planted


# -------------------------------------------------------------------------------------------------- hosts, headers


def test_it_answers_to_the_names_of_this_machine_alone(site: Site) -> None:
    site.sign_in()
    (session,) = site.browser.cookies
    signed_in = {"Cookie": f"{session.name}={session.value}"}
    for name in ("localhost", "LOCALHOST", "127.0.0.1", "[::1]", "127.8.8.8"):
        for host in (name, f"{name}:{site.port}"):
            assert site.get("/", headers={"Host": host, **signed_in}).status_code == 303, host
    foreign = ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example@127.0.0.1")
    for name in (*foreign, "127.0.0.1@evil.example", "127.0.0.1/", "192.168.1.5", "0.0.0.0", "2130706433", "[::2]", ""):
        for path in ("/", "/healthz", OPEN, "/static/style.css"):
            answer = site.get(path, headers={"Host": name, **signed_in})
            assert (answer.status_code, "Not under this name" in answer.text) == (421, True), name
        assert not is_this_machine(name)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One kind of answer."""

    path: str
    status: int
    method: str = "GET"
    signed_in: bool = True
    headers: dict[str, str] = field(default_factory=dict)


ANSWERS = {
    "front": Asked(path="/", status=303),
    "ask to sign in": Asked(path="/sign-in", status=200, signed_in=False),
    "no such way to sign in": Asked(path="/sign-in/with/x", status=404, signed_in=False),
    "a sign-in that nobody began": Asked(path="/sign-in/with/x/callback", status=400, signed_in=False),
    "sign out from elsewhere": Asked(path="/sign-out", status=403, method="POST"),
    "sign in first": Asked(path="/", status=401, signed_in=False),
    "sign in before anything is read": Asked(path=f"{OPEN}?in=x", status=401, signed_in=False),
    "bad link": Asked(path="/sign-in/x", status=401, signed_in=False),
    "used link": Asked(path="/sign-in/x", status=303),
    "unknown task": Asked(path=OPEN, status=404),
    "too little of a key": Asked(path="/open/abc", status=404),
    "no key": Asked(path="/open/a-b%3Cb%3E", status=404),
    "unknown mail program": Asked(path=f"{OPEN}?in=web", status=400),
    "nothing there": Asked(path="/nothing", status=404, signed_in=False),
    "no pages about pages": Asked(path="/docs", status=404),
    "outside the static folder": Asked(path="/static/..%2fapp.py", status=404),
    "no such verb": Asked(path=OPEN, status=405, method="POST"),
    "style": Asked(path="/static/style.css", status=200, signed_in=False),
    "alive": Asked(path="/healthz", status=200, signed_in=False),
    "ready": Asked(path="/readyz", status=200, signed_in=False),
    "ready, asked by a load balancer": Asked(path="/readyz", status=200, method="HEAD", signed_in=False),
    "foreign name": Asked(path="/", status=421, headers={"Host": "evil.example"}),
}


def test_every_answer_carries_the_headers(site: Site) -> None:
    for name, asked in sorted(ANSWERS.items(), key=lambda item: item[1].signed_in):
        if asked.signed_in and not any("session" in cookie.name for cookie in site.browser.cookies):
            site.sign_in()
        answer = site.browser.request(
            asked.method, site.url + asked.path, headers=asked.headers, allow_redirects=False, timeout=10
        )
        assert answer.status_code == asked.status, name
        kept = {"Cache-Control": "private, max-age=31536000, immutable"} if name == "style" else {}
        assert {key: answer.headers.get(key) for key in HEADERS} == HEADERS | kept, name
        assert "server" not in answer.headers, name
        if "html" in answer.headers.get("content-type", ""):
            # What the policy would not let run or load is not there in the first place.
            assert not re.search(r"<style|style=| on\w+=|https?://|src=(?!\"/static/)", answer.text), name
    assert site.get("/nothing").headers["content-type"] == "text/html; charset=utf-8"


def test_the_headers_let_nothing_be_loaded_from_elsewhere() -> None:
    policy = HEADERS["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert {word for rule in policy for word in rule.split()[1:]} == {"'none'", "'self'", "data:"}
    assert HEADERS["Referrer-Policy"] == "no-referrer"
    assert HEADERS["Cache-Control"] == "no-store"


def test_what_nobody_foresaw_is_a_page_too(site: Site, serve: Sites, caplog: pytest.LogCaptureFixture) -> None:
    broken = serve(site.world, replace(site.world.office, database=None)).sign_in()
    answer = broken.get(OPEN)
    assert (answer.status_code, "This did not work" in answer.text) == (500, True)
    assert {key: answer.headers.get(key) for key in HEADERS} == HEADERS
    assert [record.exc_info for record in caplog.records if record.levelname == "ERROR"] == [None]
    assert OPEN not in caplog.text


# ---------------------------------------------------------------------------------------------------------- health


def test_it_is_ready_while_the_database_answers_and_has_the_newest_tables(site: Site, serve: Sites) -> None:
    assert site.get("/readyz").text == "the database answers, and its tables are the newest\n"
    with site.world.database.write() as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    old = site.get("/readyz")
    assert (old.status_code, "tables are of another release" in old.text) == (503, True)
    path = site.world.folder / "broken.db"
    path.write_bytes(b"no database at all" * 100)
    broken = serve(site.world, replace(site.world.office, database=Database(f"sqlite:///{path}")))
    gone = broken.get("/readyz")
    assert (gone.status_code, "does not answer" in gone.text, "broken.db" in gone.text) == (503, True, False)
    assert [one.get("/healthz").status_code for one in (site, broken)] == [200, 200]
