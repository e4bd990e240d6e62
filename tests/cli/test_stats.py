"""`context stats`: what the memory holds, in the terminal, for programs, and as a page."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from domain.tallies import Counted, Slice
from mcp_server.cli.stats_page import page
from tests.cli.conftest import Run
from tests.kit.stores import store_of

HOSTILE = '<script>alert("x")</script>&"\'<img src=x onerror=alert(1)>'
NOW_US = 1_795_000_000_000_000


def piece(**more: object) -> Slice:
    said: dict[str, object] = {
        "day": 20_775,
        "kind": "session",
        "project": "pj_1",
        "project_name": "shop",
        "machine_id": "ma_1",
        "machine_name": "desk",
        "person": "ann",
        "client": "",
        "records": 1,
        "raw_tokens": 58_000,
        "digest_tokens": 1_000,
        "newest_us": NOW_US,
    }
    return Slice(**{**said, **more})  # type: ignore[arg-type]


class Page(HTMLParser):
    """What stands in a page: its elements, texts, and the cells of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.cells: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], "every element that is opened is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self._open and self._open[-1] == "td":
            self.cells.append(data)


@pytest.fixture
def filled(person: Run, home: Path) -> Run:
    """A vault with sessions of two machines and two projects, one of them with a hostile name."""
    store = store_of(home)
    at = datetime.now(UTC) - timedelta(days=40)
    names = [(HOSTILE[:60], "ma_1", "desk"), ("bakery", "ma_2", "laptopB"), ("bakery", "ma_2", "laptopB")]
    for number, (project, machine_id, machine) in enumerate(names):
        row: dict[str, object] = dict.fromkeys(
            ("branch", "agent_id", "session_id", "superseded_by", "tags", "files", "commits", "provenance", "digest",
             "terms", "body_person", "body_rest", "outcome", "client", "title"),
            "",
        )  # fmt: skip
        row |= {
            "record_id": f"cx_{number:026d}",
            "session_key": f"k{number}",
            "state": "active",
            "kind": "session",
            "project": f"pj_{project[:3]}",
            "project_name": project,
            "machine_id": machine_id,
            "machine_name": machine,
            "owner_id": "pe_1",
            "owner_name": "ann",
            "created_us": 1,
            "updated_us": int((at + timedelta(days=20 * number)).timestamp() * 1_000_000),
            "raw_tokens": 50_000,
            "digest_tokens": 1_000,
            "struck": json.dumps({"github-pat": number, "vault": 1}),
            **dict.fromkeys(("pinned", "transcript_size", "person_length", "rest_length"), 0),
        }
        store.put("context_records", row)
    return person


def test_the_numbers_are_told_for_programs(filled: Run) -> None:
    said = filled("context", "stats", "--json").json
    assert said["total"]["records"] == 3
    assert said["total"]["raw_tokens"] == 150_000
    assert [(one["name"], one["records"]) for one in said["machines"]] == [("laptopB", 2), ("desk", 1)]
    assert [(one["name"], one["records"]) for one in said["projects"]] == [("bakery", 2), (HOSTILE[:60], 1)]
    assert said["struck"] == {"github-pat": 3, "vault": 3}
    assert len(said["days"]) == 3


def test_since_narrows_everything(filled: Run) -> None:
    said = filled("context", "stats", "--since", "30 days ago", "--json").json
    assert said["total"]["records"] == 2
    assert said["struck"] == {"github-pat": 3, "vault": 2}
    assert filled("context", "stats", "--since", "someday").code == 2


def test_the_terminal_shows_them_with_bars(filled: Run) -> None:
    said = filled("context", "stats").out
    assert "150k raw, 3.0k kept (98.0% saved)" in said
    assert "laptopB" in said
    assert "█" in said
    assert "github-pat" in said
    assert "\x1b" not in said


def test_the_page_is_one_private_file_that_loads_and_runs_nothing(filled: Run, tmp_path: Path) -> None:
    file = tmp_path / "memory.html"
    assert filled("context", "stats", "--html", str(file)).out == f"wrote {file}\n"
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    found = Page(text)
    assert not {"script", "img", "link", "iframe", "object", "form", "a"} & set(found.tags)
    assert not [name for _, name, _ in found.attributes if name.startswith("on") or name in ("src", "href", "style")]
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in found.attributes
    assert "http://" not in text
    assert "https://" not in text
    for cell in ("bakery", HOSTILE[:60], "laptopB", "100,000", "98.0%", "github-pat"):
        assert cell in found.cells, cell


def test_every_plot_is_a_whole_drawing_with_a_name(filled: Run, tmp_path: Path) -> None:
    file = tmp_path / "memory.html"
    filled("context", "stats", "--html", str(file))
    drawings = ["<svg" + rest.partition("</svg>")[0] + "</svg>" for rest in file.read_text().split("<svg")[1:]]
    assert len(drawings) == 5
    for drawing in drawings:
        root = ET.fromstring(drawing)
        assert root.get("aria-label")
        wide, tall = (float(part) for part in str(root.get("viewBox")).split()[2:])
        for bar in root.iter("rect"):
            x, y, width, height = (float(str(bar.get(name))) for name in ("x", "y", "width", "height"))
            assert 0 <= x <= x + width <= wide + 1
            assert 0 <= y <= y + height <= tall
            assert bar.findtext("title")


def test_a_page_that_cannot_be_written_says_so(filled: Run, tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere" / "x.html", Path()):
        said = filled("context", "stats", "--html", str(place), "--json")
        assert said.code == 2
        assert list(said.error["fields"]) == ["--html"]


def test_an_empty_memory_has_a_page_too(person: Run, tmp_path: Path) -> None:
    file = tmp_path / "memory.html"
    assert person("context", "stats", "--html", str(file)).code == 0
    assert "Nothing is remembered yet." in file.read_text()
    assert person("context", "stats").out.startswith("records  0")


def test_years_of_days_and_hundreds_of_projects_fit_on_a_page() -> None:
    slices = [piece(day=20_000 + number, project=f"pj_{number}", project_name=f"p{number}") for number in range(1_000)]
    found = Page(page(Counted(tuple(slices)), made_us=NOW_US))
    assert found.tags.count("rect") < 200
    assert "p999" in found.cells
    assert sum(cell == "58,000" for cell in found.cells) >= 1_000


def test_a_day_without_a_record_is_a_day() -> None:
    one, other = piece(day=1), piece(day=3, records=2)
    assert [(day, tally.records) for day, tally in Counted((one, other)).by_day()] == [(1, 1), (2, 0), (3, 2)]
