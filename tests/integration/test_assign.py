"""``assign``, ``withdraw`` and ``panel``: the ledger is added to, or nothing is written."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builders import rows, write_delivery
from panelcal.errors import ConflictError, InvalidInputError, NotFoundError
from panelcal.services.assign import assign, list_panels, show_panel, withdraw
from panelcal.services.modules import deliver
from panelcal.services.resolve import resolve
from panelcal.storage.store import OpenStore, open_store
from servers import copied_store

if TYPE_CHECKING:
    from conftest import RunsProgram

NothingWritten = Callable[[], AbstractContextManager[None]]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PANEL = "171113-154920171025-3d00fb"
OTHER = "171113-154920171025-3d00f7"
START = datetime(2018, 3, 6, 8, tzinfo=UTC)
STAMP = "20180306000000"


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with modules and an empty ledger."""
    directory = tmp_path_factory.mktemp("modules") / "store"
    with copied_store(empty_store, directory):
        with open_store(directory) as store:
            for seed, module in enumerate(("M044", "M044", "M068")):
                files = write_delivery(directory.parent / f"{module}-{seed}", seed)
                deliver(store, module, files, now=NOW, user="tester", reason="delivered")
        yield directory


@pytest.fixture
def store_dir(tmp_path: Path, template: Path) -> Iterator[Path]:
    with copied_store(template, tmp_path / "store") as directory:
        yield directory


def ledger(store_dir: Path) -> list[tuple[object, ...]]:
    return rows(
        store_dir,
        """SELECT panel.name, assignment.valid_from_us, module.name, constant_set.revision,
                  assignment.recorded_by, assignment.reason
           FROM assignment JOIN panel ON panel.id = panel_id
           LEFT JOIN constant_set ON constant_set.id = constant_set_id
           LEFT JOIN module ON module.id = constant_set.module_id
           ORDER BY assignment.id""",
    )


# --- assign ---------------------------------------------------------------------------


def test_an_assignment_is_a_row_with_start_author_and_reason(
    panelcal: "RunsProgram", store_dir: Path
) -> None:
    result = panelcal("assign", PANEL, "M068", "--from", STAMP, "--reason", " swapped ")
    assert result.exit_code == 0
    assert result.stdout == f"{PANEL} M068@1 from {STAMP}\n"
    assert result.stderr == f"first assignment of panel {PANEL}\n"
    us = int(START.timestamp()) * 1_000_000
    assert ledger(store_dir) == [(PANEL, us, "M068", 1, "tester", "swapped")]


def test_an_assignment_from_the_beginning_starts_before_all_stamps(
    panelcal: "RunsProgram", store_dir: Path
) -> None:
    result = panelcal("assign", PANEL, "M068", "--from-beginning", "--reason", "as of old")
    assert (result.exit_code, result.stdout) == (0, f"{PANEL} M068@1 from the beginning\n")
    assert [row[1] for row in ledger(store_dir)] == [-(2**63)]


def test_a_module_without_a_revision_means_its_latest(
    panelcal: "RunsProgram", store_dir: Path
) -> None:
    panelcal("assign", PANEL, "M044", "--from", STAMP, "--reason", "test")
    panelcal("assign", OTHER, "M044@1", "--from", STAMP, "--reason", "test")
    assert [row[2:4] for row in ledger(store_dir)] == [("M044", 2), ("M044", 1)]


def test_a_redelivery_changes_no_answer_until_it_is_assigned(
    store: OpenStore, tmp_path: Path
) -> None:
    assign(store, PANEL, "M068", START, now=NOW, user="tester", reason="test")
    before = resolve(store, PANEL, STAMP, now=NOW)
    files = write_delivery(tmp_path / "again", seed=99)
    delivered, _ = deliver(store, "M068", files, now=NOW, user="tester", reason="better")
    assert delivered.revision == 2
    assert resolve(store, PANEL, STAMP, now=NOW) == before
    assign(store, PANEL, "M068", START, now=NOW, user="tester", reason="take it")
    (panel,) = resolve(store, PANEL, STAMP, now=NOW).panels
    assert (panel.revision, panel.digests) == (2, delivered.digests)


def test_a_correction_names_what_it_corrects_and_keeps_the_former_row(
    panelcal: "RunsProgram", store_dir: Path
) -> None:
    panelcal("assign", PANEL, "M044", "--from", STAMP, "--reason", "first")
    result = panelcal("assign", PANEL, "M068", "--from", STAMP, "--reason", "second")
    assert result.exit_code == 0
    assert result.stderr == "corrects M044@2, recorded by tester: first\n"
    assert [(row[2], row[5]) for row in ledger(store_dir)] == [
        ("M044", "first"),
        ("M068", "second"),
    ]


def test_what_a_correction_undid_can_be_recorded_again(store: OpenStore) -> None:
    for module in ("M044", "M068", "M044"):
        assign(store, PANEL, module, START, now=NOW, user="tester", reason="test")
    (panel,) = resolve(store, PANEL, STAMP, now=NOW).panels
    assert panel.module == "M044"


def test_two_changes_never_share_a_transaction_time(store: OpenStore, store_dir: Path) -> None:
    for step in (0, 0, -3):
        start = START + timedelta(hours=len(ledger(store_dir)))
        now = NOW + timedelta(seconds=step)
        assign(store, PANEL, "M044", start, now=now, user="tester", reason="test")
    recorded = [
        us for (us,) in rows(store_dir, "SELECT recorded_at_us FROM assignment ORDER BY id")
    ]
    assert recorded == sorted(set(recorded))


def test_a_clock_that_runs_backwards_is_refused(store: OpenStore, store_dir: Path) -> None:
    assign(store, PANEL, "M044", START, now=NOW, user="tester", reason="test")
    before = ledger(store_dir)
    with pytest.raises(ConflictError, match="the clock says 2026-02-28T23:00:00Z"):
        earlier = NOW - timedelta(hours=1)
        assign(store, PANEL, "M068", START, now=earlier, user="tester", reason="test")
    assert ledger(store_dir) == before


def test_json_shows_the_row_that_was_recorded(panelcal: "RunsProgram") -> None:
    result = panelcal("assign", PANEL, "M044@1", "--from", STAMP, "--reason", "test", "--json")
    document = json.loads(result.stdout)
    assert datetime.fromisoformat(document.pop("recorded_at")).utcoffset() == timedelta(0)
    assert document == {
        "panel": PANEL,
        "module": "M044",
        "revision": 1,
        "valid_from": STAMP,
        "recorded_by": "tester",
        "reason": "test",
    }


def test_an_ambiguous_start_is_its_first_occurrence_and_says_so(
    panelcal: "RunsProgram", store_dir: Path
) -> None:
    result = panelcal("assign", PANEL, "M044", "--from", "20181104013000", "--reason", "test")
    assert result.exit_code == 0
    assert "taken as the first, 2018-11-04T08:30:00Z" in result.stderr
    first = datetime(2018, 11, 4, 8, 30, tzinfo=UTC)
    assert ledger(store_dir)[0][1] == int(first.timestamp()) * 1_000_000


def test_an_id_typed_with_the_L_of_python_2_is_recorded_without(  # noqa: N802
    panelcal: "RunsProgram", store_dir: Path
) -> None:
    panelcal("assign", f"{PANEL}L", "M044", "--from-beginning", "--reason", "test")
    assert rows(store_dir, "SELECT name, module_version, firmware, serial FROM panel") == [
        (PANEL, "171113", "154920171025", "3d00fb")
    ]


REASON = ("--reason", "test")
FROM = ("--from", STAMP)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(
            (PANEL, "M044", *REASON), 2,
            "say from when: either --from T or --from-beginning", id="no start",
        ),
        pytest.param(
            (PANEL, "M044", *FROM, "--from-beginning", *REASON), 2,
            "say from when: either --from T or --from-beginning", id="two starts",
        ),
        pytest.param((PANEL, "M044", *FROM), 2, "Missing option '--reason'", id="no reason"),
        pytest.param((PANEL, "M044", *FROM, "--reason", ""), 2, "the reason is empty", id="empty"),
        pytest.param(
            (PANEL, "M044", *FROM, "--reason", " \t\n"), 2, "the reason is empty", id="blank"
        ),
        pytest.param(
            (PANEL, "M044", *FROM, "--reason", "two\nlines"), 2,
            "the reason holds the control character '\\n'", id="two lines",
        ),
        pytest.param(
            (PANEL, "M044", *FROM, "--reason", "red \x1b[31m"), 2,
            "the reason holds the control character '\\x1b'", id="escape",
        ),
        pytest.param(
            (PANEL, "M044", *FROM, "--reason", "x" * 1001), 2,
            "the reason has 1001 characters; at most 1000 are kept", id="long reason",
        ),
        pytest.param(
            (PANEL, "M045", *FROM, *REASON), 3,
            "there is no module 'M045'\nhint: did you mean M044?", id="unknown module",
        ),
        pytest.param(
            (PANEL, "zzz", *FROM, *REASON), 3,
            "there is no module 'zzz'\nhint: panelcal module list", id="no such module at all",
        ),
        pytest.param(
            (PANEL, "M044@3", *FROM, *REASON), 3,
            "M044 has no revision 3, its latest is 2\nhint: panelcal module show M044",
            id="unknown revision",
        ),
        *(
            pytest.param(
                (PANEL, reference, *FROM, *REASON), 2,
                f"'{reference}': the revision after @ is a positive integer", id=reference,
            )
            for reference in ("M044@0", "M044@", "M044@-1", "M044@01", "M044@1.0", "M044@1@2")
        ),
        pytest.param(
            (PANEL, "../M044", *FROM, *REASON), 2, "'../M044' is not a module name", id="a path"
        ),
        pytest.param(
            ("171113-1549", "M044", *FROM, *REASON), 2,
            "'171113-1549' is not a panel id: 2 fields", id="two fields",
        ),
        pytest.param(
            (PANEL.upper(), "M044", *FROM, *REASON), 2,
            f"has upper-case letters; ids are compared letter by letter and written in lower case"
            f"\nhint: did you mean '{PANEL}'?", id="upper case",
        ),
        pytest.param(
            (f"{PANEL}_{OTHER}", "M044", *FROM, *REASON), 2,
            "this looks like a detector id", id="a detector id",
        ),
        pytest.param(
            (f"{PANEL}-{STAMP}", "M044", *FROM, *REASON), 2,
            f"looks like the panel, '{STAMP}' like a stamp", id="an entry of the tree",
        ),
        pytest.param(
            (PANEL, "M044", "--from", "2018-03-06T00:00:00.5Z", *REASON), 2,
            "a validity starts at a whole second, not at 2018-03-06T00:00:00.500000+00:00",
            id="fractional seconds",
        ),
        pytest.param(
            (PANEL, "M044", "--from", "2018030600000", *REASON), 2,
            "13 digits, 14 digits expected", id="13 digits",
        ),
        pytest.param(
            (PANEL, "M044", "--from", "2018-03-06", *REASON), 2,
            "has no offset, so its moment is not known", id="no offset",
        ),
        pytest.param(
            (PANEL, "M044", "--from", "20180311023000", *REASON), 2,
            "does not exist in America/Los_Angeles", id="skipped hour",
        ),
        pytest.param((PANEL, "M044", "--from", "", *REASON), 2, "'' is not a time", id="no time"),
    ],
)  # fmt: skip
def test_a_refused_assignment_says_why_and_writes_nothing(
    panelcal: "RunsProgram",
    nothing_written: NothingWritten,
    arguments: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    with nothing_written():
        result = panelcal("assign", *arguments)
    assert result.exit_code == code
    assert says in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("start", [FROM, ("--from-beginning",)])
def test_recording_what_the_ledger_says_already_is_a_conflict(
    panelcal: "RunsProgram", nothing_written: NothingWritten, start: tuple[str, ...]
) -> None:
    panelcal("assign", PANEL, "M068", *start, "--reason", "first")
    with nothing_written():
        result = panelcal("assign", PANEL, "M068@1", *start, "--reason", "again")
    assert result.exit_code == 4
    words = STAMP if start == FROM else "the beginning"
    assert f"already so: {PANEL} uses M068@1 from {words}" in result.stderr
    assert "hint: recorded by tester: first" in result.stderr


def test_the_same_set_from_another_start_is_no_conflict(store: OpenStore) -> None:
    assign(store, PANEL, "M068", START, now=NOW, user="tester", reason="test")
    earlier = START - timedelta(days=1)
    recorded = assign(store, PANEL, "M068", earlier, now=NOW, user="tester", reason="test")
    assert (recorded.superseded, recorded.is_new_panel) == (None, False)


def test_text_that_cannot_be_stored_is_refused_by_the_service(
    store: OpenStore, nothing_written: NothingWritten
) -> None:
    # What Python makes of an argument in Latin-1: b"caf\\xe9".
    with nothing_written(), pytest.raises(InvalidInputError, match="the reason"):
        assign(store, PANEL, "M044", START, now=NOW, user="tester", reason="caf\udce9")


# --- withdraw -------------------------------------------------------------------------


def test_a_withdrawal_is_a_row_that_assigns_nothing(
    panelcal: "RunsProgram", store_dir: Path
) -> None:
    panelcal("assign", PANEL, "M044", "--from-beginning", "--reason", "test")
    result = panelcal("withdraw", PANEL, "--from", STAMP, "--reason", "broken")
    assert (result.exit_code, result.stdout) == (0, f"{PANEL} withdrawn from {STAMP}\n")
    us = int(START.timestamp()) * 1_000_000
    assert ledger(store_dir)[1:] == [(PANEL, us, None, None, "tester", "broken")]


def test_a_withdrawal_of_the_same_start_corrects_an_assignment(panelcal: "RunsProgram") -> None:
    panelcal("assign", PANEL, "M044", "--from", STAMP, "--reason", "wrong panel")
    result = panelcal("withdraw", PANEL, "--from", STAMP, "--reason", "undo")
    assert result.exit_code == 0
    assert result.stderr == "corrects M044@2, recorded by tester: wrong panel\n"
    assert panelcal("resolve", PANEL, "--at", STAMP).exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param(
            (PANEL, "--from", "20200101000000", *REASON), 4,
            f"already so: {PANEL} is withdrawn from 20200101000000\n"
            f"hint: recorded by tester: broken", id="already so",
        ),
        pytest.param(
            (OTHER, *FROM, *REASON), 3,
            f"panel {OTHER} is not registered\nhint: did you mean {PANEL}?", id="near miss",
        ),
        pytest.param(
            ("1-2-3", *FROM, *REASON), 3,
            "panel 1-2-3 is not registered\nhint: panelcal panel list", id="unknown panel",
        ),
        pytest.param((PANEL, *REASON), 2, "Missing option '--from'", id="no start"),
        pytest.param((PANEL, *FROM), 2, "Missing option '--reason'", id="no reason"),
        pytest.param((PANEL, *FROM, "--reason", " "), 2, "the reason is empty", id="blank"),
        pytest.param(
            (PANEL, *FROM, "--reason", "a\x00b"), 2,
            "the reason holds the control character '\\x00'", id="control character",
        ),
        pytest.param(
            ("171113", *FROM, *REASON), 2, "'171113' is not a panel id: 1 fields", id="malformed"
        ),
        pytest.param(
            (PANEL, "--from", "2018-03-06T00:00:00.000001Z", *REASON), 2,
            "a validity starts at a whole second", id="fractional seconds",
        ),
        pytest.param(
            (PANEL, "--from", "20180230000000", *REASON), 2,
            "20180230000000 is not a time stamp", id="Feb 30",
        ),
    ],
)  # fmt: skip
def test_a_refused_withdrawal_says_why_and_writes_nothing(
    panelcal: "RunsProgram",
    nothing_written: NothingWritten,
    arguments: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    panelcal("assign", PANEL, "M044", "--from-beginning", "--reason", "test")
    panelcal("withdraw", PANEL, "--from", "20200101000000", "--reason", "broken")
    with nothing_written():
        result = panelcal("withdraw", *arguments)
    assert result.exit_code == code
    assert says in result.stderr
    assert result.stdout == ""


def test_the_service_refuses_as_the_program_does(
    store: OpenStore, nothing_written: NothingWritten
) -> None:
    late = START + timedelta(microseconds=1)
    with nothing_written():
        with pytest.raises(InvalidInputError, match="a validity starts at a whole second"):
            assign(store, PANEL, "M044", late, now=NOW, user="tester", reason="test")
        with pytest.raises(NotFoundError, match="there is no module 'M045'"):
            assign(store, PANEL, "M045", START, now=NOW, user="tester", reason="test")
        with pytest.raises(NotFoundError, match=f"panel {PANEL} is not registered"):
            withdraw(store, PANEL, START, now=NOW, user="tester", reason="test")
    assign(store, PANEL, "M044", START, now=NOW, user="tester", reason="test")
    with nothing_written(), pytest.raises(ConflictError, match="already so"):
        assign(store, PANEL, "M044", START, now=NOW, user="tester", reason="test")


# --- panel ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        (("1511699", "23403815178277", "3997947"), "171113-154920171025-3d00fb"),
        (("0", "0", "3997947"), "--3d00fb"),
        (("1", "2", str(2**64 - 1)), "1-2-ffffffffffffffff"),
    ],
)
def test_panel_id_prints_the_id_of_three_numbers(
    panelcal: "RunsProgram", numbers: tuple[str, ...], text: str
) -> None:
    result = panelcal("panel", "id", *numbers)
    assert (result.exit_code, result.stdout) == (0, f"{text}\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("1", "2", str(2**64)), f"serialNumber {2**64} is not an unsigned 64-bit integer"),
        (("--", "-1", "2", "3"), "Invalid value for 'MODVER'"),
        (("1", "2", "0x3d00fb"), "Invalid value for 'SERIAL'"),
        (("1", "2"), "Missing argument 'SERIAL'"),
    ],
)
def test_panel_id_refuses_what_is_no_number_of_64_bits(
    panelcal: "RunsProgram", arguments: tuple[str, ...], says: str
) -> None:
    result = panelcal("panel", "id", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


def test_panel_list_shows_what_each_panel_uses_latest_by_start(
    panelcal: "RunsProgram", store: OpenStore
) -> None:
    panelcal("assign", PANEL, "M068", "--from", STAMP, "--reason", "test")
    panelcal("assign", PANEL, "M044", "--from-beginning", "--reason", "backfill")
    panelcal("assign", OTHER, "M044@1", "--from-beginning", "--reason", "test")
    panelcal("withdraw", OTHER, "--from", STAMP, "--reason", "broken")
    shown = panelcal("panel", "list").stdout.splitlines()
    assert [line.split() for line in shown] == [
        ["panel", "serial", "uses", "from"],
        [OTHER, "3d00f7", "withdrawn", STAMP],
        [PANEL, "3d00fb", "M068@1", STAMP],
    ]
    listed = json.loads(panelcal("panel", "list", "--json").stdout)
    assert [(one["panel"], one["latest"]["module"]) for one in listed] == [
        (OTHER, None),
        (PANEL, "M068"),
    ]
    assert [panel.name for panel, _ in list_panels(store)] == [OTHER, PANEL]


def test_panel_show_lists_the_ledger_in_the_order_of_recording(
    panelcal: "RunsProgram", store: OpenStore
) -> None:
    panelcal("assign", PANEL, "M068", "--from", STAMP, "--reason", "swapped")
    panelcal("assign", PANEL, "M044", "--from-beginning", "--reason", "backfill")
    document = json.loads(panelcal("panel", "show", PANEL, "--json").stdout)
    assert (document["panel"], document["serial"]) == (PANEL, "3d00fb")
    assert [(row["module"], row["valid_from"], row["reason"]) for row in document["ledger"]] == [
        ("M068", STAMP, "swapped"),
        ("M044", None, "backfill"),
    ]
    shown = panelcal("panel", "show", PANEL).stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["uses", "M068@1", "M044@2"]
    assert [row.reason for row in show_panel(store, PANEL)[1]] == ["swapped", "backfill"]


@pytest.mark.parametrize(
    ("panel", "code", "says"),
    [
        ("171113-154920171025-3d00fa", 3, f"is not registered\nhint: did you mean {PANEL}?"),
        ("171113", 2, "'171113' is not a panel id"),
    ],
)
def test_panel_show_of_an_unknown_panel_is_refused(
    panelcal: "RunsProgram", panel: str, code: int, says: str
) -> None:
    panelcal("assign", PANEL, "M068", "--from", STAMP, "--reason", "test")
    result = panelcal("panel", "show", panel)
    assert result.exit_code == code
    assert says in result.stderr
