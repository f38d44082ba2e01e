"""The vault: sealed at rest, one key for all processes, and one renewal at a time."""

import stat
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.fernet import Fernet

from connector.errors import BadInput, Reconnect, Retry
from connector.store.database import Database
from connector.store.lanes import RENEWALS, list_lanes, release, take
from connector.vault import KEY_FILE, KEY_VARIABLE, StoredVault

SECRET = "5Aep861-a-refresh-token"


class TestClock:
    """Time that moves when somebody waits, and lets others work meanwhile."""

    __test__ = False

    def __init__(self, woken=None):
        self.instant = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
        self.woken = woken or (lambda: None)
        self.slept = 0.0

    def now(self):
        return self.instant

    def sleep(self, seconds):
        self.instant += timedelta(seconds=seconds)
        self.slept += seconds
        self.woken()


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture
def vault(database, tmp_path):
    return StoredVault(database, TestClock(), tmp_path)


def at_rest(tmp_path):
    return b"".join(path.read_bytes() for path in tmp_path.glob("connector.db*"))


def test_a_secret_is_kept_changed_and_forgotten(vault):
    assert vault.read("salesforce") is None
    vault.save("salesforce", "one\ntwo")
    vault.save("salesforce", SECRET)
    vault.save("salesforce:ana@acme.example", "hers")
    assert (vault.read("salesforce"), vault.read("salesforce:ana@acme.example")) == (SECRET, "hers")
    vault.forget("salesforce")
    vault.forget("salesforce")
    assert (vault.read("salesforce"), vault.read("salesforce:ana@acme.example")) == (None, "hers")


def test_nothing_lies_in_the_database_in_the_clear(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'connector.db'}")
    database.upgrade()
    vault = StoredVault(database, TestClock(), tmp_path)
    vault.save("salesforce", SECRET)
    vault.renew("salesforce", SECRET, lambda _: SECRET + "-2")
    assert b"salesforce" in at_rest(tmp_path)
    assert SECRET.encode() not in at_rest(tmp_path)
    database.close()


def test_the_vault_shows_nothing_of_itself(vault):
    vault.save("salesforce", SECRET)
    assert repr(vault) == str(vault) == "StoredVault()"


def test_the_first_secret_makes_a_key_that_only_its_owner_reads(vault, tmp_path):
    assert vault.read("salesforce") is None
    assert not (tmp_path / KEY_FILE).exists()
    vault.save("salesforce", SECRET)
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob(".connector-key*")] == []
    Fernet((tmp_path / KEY_FILE).read_text().strip())


def test_the_key_of_the_environment_wins_and_no_file_is_made(vault, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, Fernet.generate_key().decode())
    vault.save("salesforce", SECRET)
    assert not (tmp_path / KEY_FILE).exists()
    assert vault.read("salesforce") == SECRET


def test_another_key_is_told_with_the_next_move(vault, monkeypatch):
    vault.save("salesforce", SECRET)
    monkeypatch.setenv(KEY_VARIABLE, Fernet.generate_key().decode())
    with pytest.raises(BadInput) as caught:
        vault.read("salesforce")
    assert "'salesforce' in the database was sealed with another key than $CONNECTOR_KEY" in str(caught.value)
    assert "sign in again with 'connector auth'" in str(caught.value)
    vault.save("salesforce", "new")  # signing in again mends it
    assert vault.read("salesforce") == "new"


def test_a_key_that_is_none_is_told_without_showing_it(vault, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "hunter2")
    with pytest.raises(BadInput) as caught:
        vault.save("salesforce", SECRET)
    assert "$CONNECTOR_KEY is not a key" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_lost_key_is_told_and_no_second_one_is_made(vault, tmp_path):
    vault.save("salesforce", SECRET)
    (tmp_path / KEY_FILE).unlink()
    for act in (lambda: vault.read("salesforce"), lambda: vault.save("salesforce", "new")):
        with pytest.raises(BadInput, match=r"there is no key to them: set CONNECTOR_KEY, or bring connector\.key"):
            act()
    assert not (tmp_path / KEY_FILE).exists()
    vault.forget("salesforce")  # the way out that the sentence names
    vault.save("salesforce", "new")
    assert vault.read("salesforce") == "new"


def test_a_secret_cannot_be_passed_for_another(vault, database):
    vault.save("salesforce:ana@acme.example", SECRET)
    with database.write() as tx:
        tx.exec_driver_sql("UPDATE secrets SET name = 'salesforce:ben@acme.example'")
    with pytest.raises(BadInput, match="another key"):
        vault.read("salesforce:ben@acme.example")


def test_a_folder_that_cannot_be_written_is_told(database, tmp_path):
    vault = StoredVault(database, TestClock(), tmp_path / "nowhere")
    with pytest.raises(BadInput, match="cannot be written: make the folder writable, or set CONNECTOR_KEY"):
        vault.save("salesforce", SECRET)


def test_processes_that_make_the_key_at_once_agree(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'connector.db'}")
    database.upgrade()
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from connector.app import SystemClock
        from connector.store.database import Database
        from connector.vault import StoredVault, _made_key
        sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
        print(_made_key(Path(sys.argv[1]) / "connector.key"))
    """)
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for one in crowd:
        one.stdout.readline()
    for one in crowd:
        one.stdin.write("go\n")
        one.stdin.flush()
    keys = {one.communicate(timeout=30)[0].strip() for one in crowd}
    assert keys == {(tmp_path / KEY_FILE).read_text().strip()}
    database.close()


# ------------------------------------------------------------------------------------------- renewing


def test_a_renewal_is_saved_before_it_is_returned(vault):
    vault.save("salesforce", "old")
    asked = []

    def renewed(before):
        asked.append(before)
        return "new"

    assert vault.renew("salesforce", "old", renewed) == "new"
    assert (vault.read("salesforce"), asked) == ("new", ["old"])


def test_a_first_renewal_begins_with_nothing(vault):
    assert vault.renew("salesforce", None, lambda before: f"after {before}") == "after None"
    assert vault.read("salesforce") == "after None"


def test_what_another_process_renewed_meanwhile_is_taken_and_nobody_is_called(vault):
    vault.save("salesforce", "newer")
    assert vault.renew("salesforce", "old", lambda _: pytest.fail("called")) == "newer"


def test_a_renewal_that_fails_changes_nothing_and_frees_the_lock(vault):
    vault.save("salesforce", "old")

    def refused(_):
        raise Reconnect("no", account="salesforce")

    with pytest.raises(Reconnect):
        vault.renew("salesforce", "old", refused)
    assert vault.read("salesforce") == "old"
    assert vault.renew("salesforce", "old", lambda _: "new") == "new"


def test_other_work_of_the_database_goes_on_during_a_renewal(vault, database):
    vault.save("salesforce", "old")

    def renewed(_):
        with database.write() as tx:  # would wait a minute for a transaction that is open
            assert take(tx, "gmail:ana@acme.example", "sync") is not None
        return "new"

    assert vault.renew("salesforce", "old", renewed) == "new"


def test_who_comes_second_waits_and_takes_what_the_first_one_got(database, tmp_path):
    first = StoredVault(database, TestClock(), tmp_path)
    first.save("salesforce", "old")
    inside, waited, calls = threading.Event(), threading.Event(), []

    def slow(_):
        calls.append("first")
        inside.set()
        assert waited.wait(20)
        return "new"

    got = []
    worker = threading.Thread(target=lambda: got.append(first.renew("salesforce", "old", slow)))
    worker.start()
    assert inside.wait(20)
    second = StoredVault(database, TestClock(woken=waited.set), tmp_path)
    got.append(second.renew("salesforce", "old", lambda _: calls.append("second") or "other"))
    worker.join()
    assert (got, calls) == (["new", "new"], ["first"])


def test_a_lock_that_is_never_freed_ends_in_a_retry(database, tmp_path):
    clock = TestClock()
    vault = StoredVault(database, clock, tmp_path)
    vault.save("salesforce", "old")
    with database.write() as tx:
        lease = take(tx, f"{RENEWALS}salesforce", "another process")
    with pytest.raises(Retry, match="another process is renewing the sign-in"):
        vault.renew("salesforce", "old", lambda _: pytest.fail("called"))
    assert 60 < clock.slept < 90
    with database.write() as tx:
        release(tx, lease)
    assert vault.renew("salesforce", "old", lambda _: "new") == "new"


@pytest.mark.parametrize("mine", ["succeeds", "fails"])
def test_who_was_frozen_past_the_lease_never_overwrites_what_counts_now(vault, mine):
    vault.save("salesforce", "old")

    def overtaken(_):
        vault.save("salesforce", "theirs")
        if mine == "fails":
            raise Reconnect("spent already", account="salesforce")
        return "mine"

    assert vault.renew("salesforce", "old", overtaken) == "theirs"
    assert vault.read("salesforce") == "theirs"


def test_a_sign_out_during_a_renewal_is_not_undone(vault):
    vault.save("salesforce", "old")

    def signed_out(_):
        vault.forget("salesforce")
        return "new"

    assert vault.renew("salesforce", "old", signed_out) == "new"
    assert vault.read("salesforce") is None


def test_the_lanes_of_renewals_are_not_shown(vault, database):
    vault.renew("salesforce", None, lambda _: "new")
    with database.read() as tx:
        assert list_lanes(tx) == {}
