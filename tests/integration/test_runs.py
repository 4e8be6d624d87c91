"""`panelcal import runs` and `panelcal run add|list|show`."""

import csv
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from builders import rows
from conftest import RunsProgram

NothingWritten = Callable[[], AbstractContextManager[None]]

HEADER = "experiment,run,source,begin,detector_id,modules"
XCS = "XcsEndstation.0:Jungfrau.0"
MFX = "MfxEndstation.0:Jungfrau.1"
FB = "171113-154920171025-3d00fb"
TWO = "170505-149520170815-3d00b0_170505-149520170815-3d00f7"
GOOD = f"xcsls3716,631,{XCS},20171205161400,{TWO},"
DEC_5_2017_US = 1_512_519_240_000_000  # 2017-12-06T00:14:00Z: 16:14 in Los Angeles

FACTS = """
    SELECT experiment, run, source, begin_us, detector_id, modules, note FROM run ORDER BY id
"""


@pytest.fixture
def page_csv(tmp_path: Path) -> Path:
    """The runs of the page, as the package carries them."""
    path = tmp_path / "page_runs.csv"
    path.write_bytes(files("panelcal").joinpath("data/page_runs.csv").read_bytes())
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a CSV file of lines."""

    def write_lines(*lines: str, header: str = HEADER) -> Path:
        path = tmp_path / "runs.csv"
        path.write_text("".join(f"{line}\n" for line in (header, *lines)), encoding="utf-8")
        return path

    return write_lines


def report_of(
    panelcal: RunsProgram, path: Path, *options: str, exit_code: int = 0
) -> dict[str, Any]:
    result = panelcal("import", "runs", path, "--json", *options)
    assert result.exit_code == exit_code, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return report


# --- the runs of the page


def test_page_runs_are_all_registered(
    panelcal: RunsProgram, page_csv: Path, store_dir: Path
) -> None:
    report = report_of(panelcal, page_csv)
    with page_csv.open(encoding="utf-8", newline="") as file:
        expected = list(csv.DictReader(file))
    assert len(expected) == 15
    assert report["counts"]["taken"] == 15
    assert [
        (experiment, str(run), source, detector_id or "", modules, note)
        for experiment, run, source, _, detector_id, modules, note in rows(store_dir, FACTS)
    ] == [
        (
            row["experiment"],
            row["run"],
            row["source"],
            row["detector_id"],
            row["modules"],
            row["note"],
        )
        for row in expected
    ]


def test_begin_is_registered_where_it_is_given_and_only_there(
    panelcal: RunsProgram, page_csv: Path, store_dir: Path
) -> None:
    report_of(panelcal, page_csv)
    given = rows(
        store_dir, "SELECT experiment, begin_us FROM run WHERE begin_us IS NOT NULL ORDER BY id"
    )
    assert given == [
        ("mfx05516", 1_524_121_200_000_000),
        ("mfx11116", 1_524_121_200_000_000),
        ("xcsx22015", 1_508_914_800_000_000),
        ("xcsls3716", DEC_5_2017_US),
    ]


def test_second_import_adds_nothing(
    panelcal: RunsProgram, page_csv: Path, nothing_written: NothingWritten
) -> None:
    report_of(panelcal, page_csv)
    with nothing_written():
        report = report_of(panelcal, page_csv)
    assert report["counts"]["already"] == 15
    last = panelcal("import", "runs", page_csv).stdout.splitlines()[-1]
    assert last == "15 already; nothing to add"


def test_dry_run_changes_nothing(
    panelcal: RunsProgram, page_csv: Path, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        report = report_of(panelcal, page_csv, "--dry-run")
    assert report["counts"]["taken"] == 15
    assert (report["dry_run"], report["written"]) == (True, False)


def test_report_names_the_line_and_the_run(
    panelcal: RunsProgram, write: Callable[..., Path]
) -> None:
    report = report_of(panelcal, write(GOOD))
    assert report["entries"] == [
        {
            "name": "line 2",
            "status": "taken",
            "content": f"exp=xcsls3716:run=631 {XCS}",
            "reason": "",
        }
    ]


# --- forms of the file


@pytest.mark.parametrize(
    "content",
    [
        f"\ufeff{HEADER}\n{GOOD}\n",
        f"{HEADER}\r\n{GOOD}\r\n",
        f"{HEADER}\n{GOOD}",
        f"{HEADER}\n\n{GOOD}\n\n",
        f"{HEADER}\n" + ",".join(f'"{field}"' for field in GOOD.split(",")) + "\n",
        " experiment , run , source , begin , detector_id , modules \n"
        + GOOD.replace(",", " , ")
        + "\n",
        f"modules,run,experiment,detector_id,begin,source\n,631,xcsls3716,{TWO},20171205161400,{XCS}\n",
        f"{HEADER},note\n{GOOD},\n",
        f"{HEADER}\n{GOOD.replace(XCS, f'DetInfo({XCS})')}\n",
        f"{HEADER}\n{GOOD.replace(XCS, 'XcsEndstation.0-Jungfrau.0')}\n",
        f"{HEADER}\n{GOOD.replace('20171205161400', '2017-12-06T00:14:00Z')}\n",
        f"{HEADER}\n{GOOD.replace(',631,', ',0631,')}\n",
    ],
    ids=[
        "BOM",
        "CRLF",
        "no final newline",
        "blank lines",
        "quotes",
        "blanks",
        "other order",
        "empty note",
        "DetInfo",
        "dashed source",
        "ISO begin",
        "leading zero",
    ],
)
def test_forms_of_the_same_run_give_the_same_row(
    panelcal: RunsProgram, store_dir: Path, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "runs.csv"
    path.write_bytes(content.encode())
    report_of(panelcal, path)
    assert rows(store_dir, FACTS) == [("xcsls3716", 631, XCS, DEC_5_2017_US, TWO, "", "")]


def test_quoted_note_keeps_its_commas_quotes_and_letters(
    panelcal: RunsProgram, write: Callable[..., Path], store_dir: Path
) -> None:
    path = write(f'{GOOD},"page: ""a"", 7 \N{MICRO SIGN}m"', header=f"{HEADER},note")
    report_of(panelcal, path)
    assert rows(store_dir, "SELECT note FROM run") == [('page: "a", 7 \N{MICRO SIGN}m',)]


def test_declared_modules_are_kept_in_order(
    panelcal: RunsProgram, write: Callable[..., Path], store_dir: Path
) -> None:
    report_of(panelcal, write(f"xcsx22015,555,{XCS},,,M088@2  M068"))
    assert rows(store_dir, "SELECT detector_id, modules FROM run") == [(None, "M088@2 M068")]


# --- refusals of a file


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "no column": (b"experiment,run,source,begin,detector_id\n", "the first line is"),
    "unknown column": (f"{HEADER},colour\n".encode(), "the first line is"),
    "column twice": (f"{HEADER},run\n".encode(), "the first line is"),
    "no header": (f"{GOOD}\n".encode(), "the first line is"),
    "empty": (b"", "the first line is"),
    "semicolons": (HEADER.replace(",", ";").encode(), "the first line is"),
    "too few values": (f"{HEADER}\n{GOOD}\nxcsls3716,632\n".encode(), "line 3: not 6 values"),
    "too many values": (f"{HEADER}\n{GOOD},x,y\n".encode(), "line 2: not 6 values"),
    "open quote": (f'{HEADER}\n"{GOOD}\n'.encode(), "as CSV"),
    "quote inside": (f'{HEADER}\n"xcs"ls3716,631,{XCS},,,\n'.encode(), "as CSV"),
    "no UTF-8": (f"{HEADER}\n".encode() + b"\xff\xfe\n", "cannot read"),
    "1 MB cell": (f"{HEADER}\n{'x' * 1_000_000},631,{XCS},,,\n".encode(), "as CSV"),
    "1 MB header": (("x" * 1_000_000).encode(), "runs.csv"),
}


@pytest.mark.parametrize(("content", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
@pytest.mark.parametrize("options", [[], ["--skip-bad"]])
def test_file_that_is_no_such_csv_is_refused_whole(
    panelcal: RunsProgram,
    tmp_path: Path,
    nothing_written: NothingWritten,
    content: bytes,
    message: str,
    options: list[str],
) -> None:
    path = tmp_path / "runs.csv"
    path.write_bytes(content)
    with nothing_written():
        result = panelcal("import", "runs", path, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "hint: " in result.stderr
    assert len(result.stderr) < 1000
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("name", "code", "said"), [("nowhere.csv", 3, "there is no file"), (".", 2, "cannot read")]
)
def test_file_that_cannot_be_read_is_refused(
    panelcal: RunsProgram,
    tmp_path: Path,
    nothing_written: NothingWritten,
    name: str,
    code: int,
    said: str,
) -> None:
    with nothing_written():
        result = panelcal("import", "runs", tmp_path / name)
    assert result.exit_code == code
    assert said in result.stderr


def test_empty_rows_of_a_spreadsheet_are_passed_over(
    panelcal: RunsProgram, write: Callable[..., Path], store_dir: Path
) -> None:
    report_of(panelcal, write(GOOD, ",,,,,", " , ,,,,"))
    assert rows(store_dir, "SELECT count(*) FROM run") == [(1,)]


# --- refusals of a line


BAD_LINES: dict[str, tuple[str, str]] = {
    "no experiment": (f",631,{XCS},,,", "is not an experiment name"),
    "bad experiment": (f"../x,631,{XCS},,,", "'../x' is not an experiment name"),
    "no run": (f"xcsls3716,,{XCS},,,", "is not a run number"),
    "negative run": (f"xcsls3716,-1,{XCS},,,", "'-1' is not a run number"),
    "range of runs": (f"xcsls3716,1-631,{XCS},,,", "'1-631' is not a run number"),
    "huge run": (f"xcsls3716,{'9' * 10},{XCS},,,", "is not a run number"),
    "no source": ("xcsls3716,631,,,,", "is not a full source name"),
    "half a source": ("xcsls3716,631,Jungfrau.0,,,", "'Jungfrau.0' is not a full source name"),
    "13 digits": (f"xcsls3716,631,{XCS},2017120516140,,", "13 digits, 14 digits expected"),
    "month 13": (f"xcsls3716,631,{XCS},20171305161400,,", "is not a time stamp"),
    "no offset": (f"xcsls3716,631,{XCS},2017-12-05T16:14:00,,", "has no offset"),
    "spring gap": (f"xcsls3716,631,{XCS},20180311023000,,", "does not exist in"),
    "bad id": (f"xcsls3716,631,{XCS},,171113-3d00fb,", "is not a panel id"),
    "upper-case id": (f"xcsls3716,631,{XCS},,{FB.upper()},", "has upper-case letters"),
    "id with an empty part": (f"xcsls3716,631,{XCS},,{FB}_,", "panel 1 is empty"),
    "bad module": (f"xcsls3716,631,{XCS},,,M088 M/68", "'M/68' is not a module name"),
    "bad revision": (f"xcsls3716,631,{XCS},,,M088@0", "positive integer"),
    "both": (f"xcsls3716,631,{XCS},,{FB},M044", "a detector id or declares modules, not both"),
    "nasty": (f'"a\n\x1b]0;b",631,{XCS},,,', "is not an experiment name"),
}


@pytest.mark.parametrize(("line", "reason"), BAD_LINES.values(), ids=BAD_LINES.keys())
def test_bad_line_is_refused_by_its_number_and_keeps_the_others_out(
    panelcal: RunsProgram,
    write: Callable[..., Path],
    store_dir: Path,
    nothing_written: NothingWritten,
    line: str,
    reason: str,
) -> None:
    other = f"mfx11116,697,{MFX},,{FB},"
    path = write(GOOD, other, line)
    with nothing_written():
        text = panelcal("import", "runs", path)
        report = report_of(panelcal, path, exit_code=2)
    (bad,) = (entry for entry in report["entries"] if entry["status"] == "refused")
    assert bad["name"] == f"line {4 + line.count(chr(10))}"
    assert reason in bad["reason"]
    assert "1 entry refused; nothing was written" in text.stderr
    assert reason in text.stdout
    assert all(shown.isprintable() for shown in text.stdout.split("\n"))
    assert len(text.stdout.splitlines()) == 5
    report_of(panelcal, path, "--skip-bad")
    taken = rows(store_dir, "SELECT experiment FROM run ORDER BY id")
    assert taken == [("xcsls3716",), ("mfx11116",)]


@pytest.mark.parametrize("note", ["bell\x07", "x" * 1001, "\u202eabc"])
def test_bad_note_is_refused(
    panelcal: RunsProgram, write: Callable[..., Path], nothing_written: NothingWritten, note: str
) -> None:
    with nothing_written():
        report = report_of(panelcal, write(f"{GOOD},{note}", header=f"{HEADER},note"), exit_code=2)
    assert "the note" in report["entries"][0]["reason"]


def test_same_run_and_source_twice_in_a_file_is_refused(
    panelcal: RunsProgram, write: Callable[..., Path], nothing_written: NothingWritten
) -> None:
    with nothing_written():
        report = report_of(panelcal, write(GOOD, GOOD.replace("20171205161400", "")), exit_code=2)
    assert [entry["status"] for entry in report["entries"]] == ["refused", "refused"]
    assert "twice in this file" in report["entries"][1]["reason"]


def test_contradicting_lines_are_not_decided_between_with_skip_bad(
    panelcal: RunsProgram, write: Callable[..., Path], store_dir: Path
) -> None:
    report_of(panelcal, write(GOOD, GOOD.replace("20171205161400", "")), "--skip-bad")
    assert rows(store_dir, "SELECT count(*) FROM run") == [(0,)]


def test_an_ambiguous_begin_is_its_first_occurrence_and_says_so(
    panelcal: RunsProgram, write: Callable[..., Path]
) -> None:
    report = report_of(panelcal, write(GOOD.replace("20171205161400", "20171105013000")))
    assert "20171105013000 occurred twice" in report["entries"][0]["reason"]
    begin = ("--begin", "20171105013000", "-s", XCS)
    told = panelcal("run", "add", "exp=xcsls3716:run=1", *begin)
    assert "20171105013000 occurred twice" in told.stderr


def test_lines_of_one_run_are_refused_also_where_one_is_registered_already(
    panelcal: RunsProgram, write: Callable[..., Path], nothing_written: NothingWritten
) -> None:
    report_of(panelcal, write(GOOD))
    with nothing_written():
        report = report_of(
            panelcal,
            write(GOOD, GOOD.replace("20171205161400", "")),
            "--supersede",
            exit_code=2,
        )
    assert [entry["status"] for entry in report["entries"]] == ["refused", "refused"]


def test_two_sources_of_a_run_are_two_rows(
    panelcal: RunsProgram, write: Callable[..., Path], store_dir: Path
) -> None:
    report_of(panelcal, write(GOOD, GOOD.replace(XCS, "XcsEndstation.0:Jungfrau.1")))
    assert rows(store_dir, "SELECT count(*) FROM run") == [(2,)]


# --- what is registered otherwise


@pytest.mark.parametrize(
    ("line", "difference"),
    [
        (GOOD.replace("20171205161400", ""), "begin is 20171205161400 there, not given here"),
        (
            GOOD.replace("20171205161400", "20171205000000"),
            "begin is 20171205161400 there, 20171205000000 here",
        ),
        (GOOD.replace(TWO, FB), f"detector_id is {TWO} there, {FB} here"),
        (GOOD.replace(f"{TWO},", ",M088 M068"), "modules is not given there, M088 M068 here"),
    ],
)
def test_run_that_is_registered_otherwise_is_a_conflict(
    panelcal: RunsProgram,
    write: Callable[..., Path],
    store_dir: Path,
    nothing_written: NothingWritten,
    line: str,
    difference: str,
) -> None:
    report_of(panelcal, write(GOOD))
    other = f"mfx11116,697,{MFX},,{FB},"
    path = write(line, other)
    with nothing_written():
        text = panelcal("import", "runs", path)
        report = report_of(panelcal, path, exit_code=4)
    assert text.exit_code == 4
    assert "--supersede" in text.stderr
    assert [entry["status"] for entry in report["entries"]] == ["conflict", "taken"]
    assert difference in report["entries"][0]["reason"]
    report_of(panelcal, path, "--skip-bad")
    taken = rows(store_dir, "SELECT experiment FROM run ORDER BY id")
    assert taken == [("xcsls3716",), ("mfx11116",)]


def test_supersede_keeps_the_old_row_and_shows_the_new(
    panelcal: RunsProgram, write: Callable[..., Path], store_dir: Path
) -> None:
    report_of(panelcal, write(GOOD))
    (old,) = rows(store_dir, FACTS)
    path = write(GOOD.replace(TWO, FB))
    report_of(panelcal, path, "--supersede")
    assert rows(store_dir, FACTS)[0] == old
    assert rows(store_dir, "SELECT count(*) FROM run") == [(2,)]
    (shown,) = json.loads(panelcal("run", "show", "exp=xcsls3716:run=631", "--json").stdout)
    assert shown["detector_id"] == FB
    assert report_of(panelcal, path, "--supersede")["counts"]["already"] == 1


# --- run add


def test_run_add_registers_one_source(panelcal: RunsProgram, store_dir: Path) -> None:
    result = panelcal(
        *("run", "add", "exp=xcsls3716:run=631", "-s", XCS, "--begin", "20171205161400"),
        *("--detector-id", TWO, "--note", "logbook"),
    )
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"registered exp=xcsls3716:run=631 {XCS}" in result.stderr
    expected = ("xcsls3716", 631, XCS, DEC_5_2017_US, TWO, "", "logbook")
    assert rows(store_dir, FACTS) == [expected]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["xcsls3716", "-s", XCS], "'xcsls3716' is not a dataset"),
        (["exp=xcsls3716:run=1-631", "-s", XCS], "'1-631' is not a run number"),
        (["exp=:run=1", "-s", XCS], "'' is not an experiment name"),
        (["exp=xcsls3716:run=1", "-s", "Jungfrau.0"], "is not a full source name"),
        (["exp=xcsls3716:run=1", "-s", XCS, "--begin", "2017"], "4 digits, 14 digits expected"),
        (["exp=xcsls3716:run=1", "-s", XCS, "--detector-id", "abc"], "is not a panel id"),
        (["exp=xcsls3716:run=1", "-s", XCS, "--modules", "M@x"], "positive integer"),
        (
            ["exp=xcsls3716:run=1", "-s", XCS, "--detector-id", FB, "--modules", "M044"],
            "a detector id or declares modules, not both",
        ),
        (["exp=xcsls3716:run=1", "-s", XCS, "--note", "two\nlines"], "the note holds the control"),
    ],
)
def test_run_add_refuses_malformed_fields(
    panelcal: RunsProgram, nothing_written: NothingWritten, arguments: list[str], message: str
) -> None:
    with nothing_written():
        result = panelcal("run", "add", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_run_add_of_a_known_run_is_a_conflict(
    panelcal: RunsProgram, write: Callable[..., Path], nothing_written: NothingWritten
) -> None:
    report_of(panelcal, write(GOOD))
    add = ("run", "add", "exp=xcsls3716:run=631", "-s", XCS, "--begin", "20171205161400")
    with nothing_written():
        same = panelcal(*add, "--detector-id", TWO)
        same_superseding = panelcal(*add, "--detector-id", TWO, "--supersede")
        other = panelcal(*add, "--detector-id", FB)
    assert (same.exit_code, same_superseding.exit_code, other.exit_code) == (4, 4, 4)
    assert "registered just so already" in same.stderr
    assert f"registered otherwise: detector_id is {TWO} there, {FB} here" in other.stderr
    assert "--supersede" in other.stderr
    corrected = panelcal(*add, "--detector-id", FB, "--supersede", "--json")
    assert json.loads(corrected.stdout)["detector_id"] == FB


# --- run list and show


def datasets(panelcal: RunsProgram, *options: str) -> list[str]:
    listed = json.loads(panelcal("run", "list", "--json", *options).stdout)
    return [run["dataset"] for run in listed]


def test_run_list_answers_what_find_detector_runs_did(
    panelcal: RunsProgram, page_csv: Path
) -> None:
    report_of(panelcal, page_csv)
    mfx = [
        "exp=mfx00616:run=8",
        "exp=mfx05516:run=16",
        "exp=mfx11116:run=697",
        "exp=mfx20515:run=2",
        "exp=mfxlrl1716:run=295",
        "exp=mfxlrl5016:run=197",
        "exp=mfxls0816:run=193",
    ]
    assert datasets(panelcal, "--instrument", "MFX", "--detector", "jungfrau") == mfx
    assert datasets(panelcal, "--instrument", "mfx") == mfx
    assert datasets(panelcal, "--instrument", "MFX", "--detector", "Jungfrau.1") == [
        "exp=mfx11116:run=697",
        "exp=mfxls0816:run=193",
    ]
    assert datasets(panelcal, "--detector", "epix") == []
    assert datasets(panelcal, "--instrument", "AMO") == []
    assert len(datasets(panelcal)) == 15


def test_run_list_shows_one_line_for_each_run(panelcal: RunsProgram, page_csv: Path) -> None:
    report_of(panelcal, page_csv)
    heading, *lines = panelcal("run", "list", "--instrument", "XCS").stdout.splitlines()
    assert heading.split()[:3] == ["dataset", "source", "begin"]
    assert [line.split()[0] for line in lines] == [
        "exp=xcs11116:run=18",
        "exp=xcslr6316:run=17",
        "exp=xcsls3716:run=631",
        "exp=xcsx22015:run=555",
    ]
    assert "not given" in lines[0]
    assert f"20171205161400  {TWO}" in lines[2]
    assert "M088 M068" in lines[3]


def test_run_show_gives_every_fact_as_json(
    panelcal: RunsProgram, write: Callable[..., Path]
) -> None:
    report_of(panelcal, write(GOOD))
    (shown,) = json.loads(panelcal("run", "show", "exp=xcsls3716:run=631", "--json").stdout)
    assert shown.pop("recorded_at").endswith("Z")
    assert shown == {
        "dataset": "exp=xcsls3716:run=631",
        "experiment": "xcsls3716",
        "run": 631,
        "source": XCS,
        "begin": "20171205161400",
        "begin_utc": "2017-12-06T00:14:00Z",
        "detector_id": TWO,
        "panels": TWO.split("_"),
        "modules": [],
        "note": "",
        "recorded_by": "tester",
    }


def test_run_show_gives_panels_in_segment_order_as_text(
    panelcal: RunsProgram, page_csv: Path
) -> None:
    report_of(panelcal, page_csv)
    shown = panelcal("run", "show", "xcsls3716:run=631").stdout.splitlines()
    assert shown[0].split() == ["source", XCS]
    assert shown[1].split() == ["begin", "20171205161400"]
    panels = [line.split() for line in shown if line.startswith("panel")]
    assert panels == [["panel", str(i), panel] for i, panel in enumerate(TWO.split("_"))]
    declared = panelcal("run", "show", "exp=xcsx22015:run=555").stdout.splitlines()
    modules = [line.split() for line in declared if line.startswith("module")]
    assert modules == [["module", "0", "M088"], ["module", "1", "M068"]]


@pytest.mark.parametrize(
    ("dataset", "nearest"),
    [
        ("exp=mx11116:run=689", "exp=mfx11116:run=697"),
        ("exp=xcs1s3716:run=631", "exp=xcsls3716:run=631"),
        ("exp=xcsls3716:run=630", "registered runs of xcsls3716 nearby: 631"),
    ],
)
def test_unknown_dataset_is_not_found_and_the_nearest_are_named(
    panelcal: RunsProgram, page_csv: Path, dataset: str, nearest: str
) -> None:
    report_of(panelcal, page_csv)
    result = panelcal("run", "show", dataset)
    assert result.exit_code == 3
    assert f"{dataset} is not registered" in result.stderr
    assert nearest in result.stderr


def test_nearest_run_numbers_are_the_three_closest(
    panelcal: RunsProgram, write: Callable[..., Path]
) -> None:
    runs = (1, 90, 99, 104, 500)
    report_of(panelcal, write(*(GOOD.replace(",631,", f",{run},") for run in runs)))
    result = panelcal("run", "show", "exp=xcsls3716:run=100")
    assert result.exit_code == 3
    assert "nearby: 90, 99, 104\n" in result.stderr


def test_dataset_unlike_any_is_not_found(panelcal: RunsProgram) -> None:
    result = panelcal("run", "show", "exp=qqqqq:run=1")
    assert result.exit_code == 3
    assert "panelcal run list" in result.stderr
