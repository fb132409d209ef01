from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bogp.analysis import Interval, mean_interval
from bogp.errors import SettingError, UnknownNameError
from bogp.report import (
    Column,
    Section,
    Table,
    Verdict,
    format_cell,
    format_interval,
    render_report,
    scaled,
    verdict_table,
)

TABLE = Table(
    "Accuracy",
    ["method", "s", "ours", "paper"],
    [
        ["Glob5", 0.9, Interval(0.9624, 0.9601, 0.9647, 5), 0.962],
        ["BoGP", 0.9, Interval(0.951, None, None, 1), None],
    ],
    notes=["Protocol: holdout."],
)


def test_markdown_is_exact() -> None:
    assert TABLE.to_markdown() == (
        "**Accuracy**\n\n"
        "| method | s | ours | paper |\n"
        "| :--- | ---: | ---: | ---: |\n"
        "| Glob5 | 0.900 | 0.962 [0.960, 0.965] (n=5) | 0.962 |\n"
        "| BoGP | 0.900 | 0.951 (n=1) | – |\n"
        "\nProtocol: holdout."
    )


def test_a_bar_or_break_does_not_end_a_markdown_cell() -> None:
    text = Table("t", ["a"], [["x | y\nz"]]).to_markdown()
    assert text.splitlines()[-1] == "| x \\| y<br>z |"


def test_csv_has_every_digit_and_the_bounds() -> None:
    rows = list(csv.DictReader(io.StringIO(TABLE.to_csv())))
    assert rows[0] == {
        "method": "Glob5",
        "s": "0.9",
        "ours": "0.9624",
        "ours low": "0.9601",
        "ours high": "0.9647",
        "ours n": "5",
        "paper": "0.962",
    }
    assert (rows[1]["ours low"], rows[1]["ours n"], rows[1]["paper"]) == ("", "1", "")


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.floats(allow_nan=False)), min_size=1, max_size=4))
def test_csv_gives_back_what_it_was_given(rows: list[tuple[str, float]]) -> None:
    text = Table("t", ["name", "value"], rows).to_csv()
    back = list(csv.reader(io.StringIO(text, newline="")))
    assert back[0] == ["name", "value"]
    assert [(name, float(value)) for name, value in back[1:]] == [
        (name.replace("\r\n", "\n").replace("\r", "\n"), value) for name, value in rows
    ]


def test_rich_shows_brackets_as_text() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(Table("[bold]t[/]", ["[red]a"], [["[/red] 1"]], ["[note]"]).to_rich())
    text = console.export_text()
    for word in ("[bold]t[/]", "[red]a", "[/red] 1", "[note]"):
        assert word in text


def page(table: Table) -> str:
    """Return a page that holds the table."""
    return render_report("page", [Section("heading", "", [table])], {})


class _Cells(HTMLParser):
    """Collects the text of cells, so that a test reads what a browser would show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("td", "th", "caption"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def test_html_escapes_and_aligns() -> None:
    evil = '<script>alert("1")</script>'
    text = page(Table(evil, ["a", evil], [[1, evil]], [evil]))
    assert "<script" not in text
    assert text.count('class="number"') == 2  # head and cell of the one numeric column
    cells = _Cells(text).cells
    assert cells[0].strip() == evil
    assert [cell.strip() for cell in cells[1:3]] == ["a", evil]


def test_a_column_says_how_people_read_it_and_leaves_the_values_to_programs() -> None:
    columns = ["method", Column("lead, points", scaled(100, 1)), Column("s", "{:g}".format, "left")]
    lead = Interval(0.0123, 0.0101, 0.0149, 5)
    table = Table("t", columns, [["Glob5", lead, 0.9], ["BoGP", None, 0.5]])
    assert table.texts() == [["Glob5", "1.2 [1.0, 1.5] (n=5)", "0.9"], ["BoGP", "–", "0.5"]]
    assert "| :--- | ---: | :--- |" in table.to_markdown()
    assert table.to_csv().splitlines()[1] == "Glob5,0.0123,0.0101,0.0149,5,0.9"
    first, second = json.loads(table.to_json())
    assert first["lead, points"] == {
        "estimate": 0.0123, "low": 0.0101, "high": 0.0149, "count": 5, "level": 0.95,
    }  # fmt: skip
    assert second == {"method": "BoGP", "lead, points": None, "s": 0.5}
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table.to_rich())
    assert "1.2 [1.0, 1.5] (n=5)" in console.export_text()
    assert "1.2 [1.0, 1.5] (n=5)" in page(table)
    assert [scaled(1, 2)(cell) for cell in (0.123, lead)] == ["0.12", "0.01 [0.01, 0.01] (n=5)"]


def test_long_texts_wrap_on_a_page_and_others_do_not() -> None:
    text = page(Table("t", ["a", Column("b", wrap=True)], [["x", "y"]]))
    assert '<th scope="col">a</th><th scope="col" class="wrap">b</th>' in text
    assert '<td>x</td><td class="wrap">y</td>' in text


def test_columns_are_selected_by_their_headings() -> None:
    table = Table("t", ["a", Column("b", scaled(1, 1)), "c"], [[1, 0.25, 3]], ["note"], digits=5)
    assert table.select("b") == Table("t", [table.columns[1]], [[0.25]], ["note"], digits=5)
    with pytest.raises(SettingError, match="no column 'd'"):
        table.select("a", "d")


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(SettingError, match="row 2 of table 't' has 1 cells for 2 columns"):
        Table("t", ["a", "b"], [[1, 2], [1]])


def test_a_table_cannot_be_changed_from_outside() -> None:
    rows = [["x"]]
    table = Table("t", ["a"], rows)
    rows.append(["y"])
    assert table.rows == (("x",),)


def test_intervals_are_written_in_any_unit() -> None:
    interval = mean_interval([0.95, 0.96, 0.94])
    assert format_interval(interval) == "0.950 [0.925, 0.975] (n=3)"
    assert format_interval(interval, scale=100, digits=1) == "95.0 [92.5, 97.5] (n=3)"
    assert format_interval(interval, scale=-1, digits=2) == "-0.95 [-0.97, -0.93] (n=3)"


def test_small_numbers_are_not_shown_as_zero() -> None:
    assert format_cell(0.0001) == "1.0e-04"
    assert format_cell(-0.0001) == "-1.0e-04"
    assert format_cell(0.0) == "0.000"
    assert format_cell(0.00051) == "0.001"


def test_verdicts_say_it_in_words() -> None:
    verdicts = [
        Verdict("varies", "holds", "F = 4", "[1, 2]", "d"),
        Verdict("beats <L1>", "does not hold", "p", "i", "d"),
        Verdict("monotonic", "inconclusive", "p", "i", "d"),
    ]
    text = page(verdict_table(verdicts))
    assert "<L1>" not in text
    shown = [" ".join(cell.split()) for cell in _Cells(text).cells]
    for words in ("✓ holds", "✗ does not hold", "? inconclusive"):
        assert words in shown
    for name in ("holds", "does-not-hold", "inconclusive"):
        assert f'class="badge {name}"' in text
    assert [row[1] for row in verdict_table(verdicts).rows] == [
        "✓ holds",
        "✗ does not hold",
        "? inconclusive",
    ]


def test_another_word_is_no_verdict() -> None:
    with pytest.raises(UnknownNameError, match="unknown verdict 'hold'"):
        Verdict("c", "hold", "s", "i", "d")  # type: ignore[arg-type]
