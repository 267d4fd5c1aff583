"""`book play`: golden files, files that cannot be read, and the bench."""

import io
from pathlib import Path

import pytest

from nexustrade.matching.play import run_play

GOLDEN = Path(__file__).parents[2] / "golden" / "book_play"


def _play(file: Path, *flags: str, bench: int = 0) -> tuple[int, str]:
    out = io.StringIO()
    code = run_play(
        file,
        events="--events" in flags,
        book="--book" in flags,
        bench=bench,
        replace_requeues="--replace-requeues" in flags,
        out=out,
    )
    return code, out.getvalue()


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.csv")))
def test_golden(name: str) -> None:
    file = GOLDEN / f"{name}.csv"
    with file.open(encoding="utf-8-sig") as lines:
        flags = lines.readline().removeprefix("#").split()
    code, out = _play(file, *flags)
    assert code == 0
    assert out == (GOLDEN / f"{name}.out").read_text(encoding="utf-8")


def test_every_golden_file_is_there() -> None:
    names = {"answers", "ids", "replaces", "requeues", "terms"}
    assert {path.stem for path in GOLDEN.glob("*.csv")} == names


def test_without_events_only_trades_are_told() -> None:
    _, out = _play(GOLDEN / "answers.csv")
    assert out.splitlines() == [
        "T,4,2,4,100,5",
        "T,4,3,4,100,2",
        "T,5,3,5,100,3",
        "T,5,1,5,101,10",
    ]


@pytest.mark.parametrize(
    ("line", "where", "rule"),
    [
        ("N,1,B,L,GTC,1.5,10,a,", "line 3: price '1.5'", "a price is an integer"),
        ("N,1,B,L,GTC,100,ten,a,", "line 3: qty 'ten'", "a qty is an integer"),
        ("N,1,B,M,GTC,1e3,10,a,", "line 3: price '1e3'", "a price is an integer"),
        ("R,1,,,,1_000,", "line 3: price '1_000'", "a price is an integer"),
        ("N,1,B,L,GTC,--1,10,a,", "line 3: price '--1'", "a price is an integer"),
        ("N,1,B,L,GTC,\u0661,10,a,", "line 3: price", "a price is an integer"),
        ("N,1,B,L,GTC,1" + "0" * 18 + ",10,a,", "line 3: price", "at most 18 digits"),
        ("N,1,B,L,GTC,100,10,a,,extra", "line 3", "at most 9 fields"),
    ],
)
def test_a_file_that_cannot_be_read_names_line_field_and_rule(
    line: str, where: str, rule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(f"N,0,B,L,GTC,100,10,a,\n\n{line}\n", encoding="utf-8")
    code, out = _play(file, "--events")
    assert code == 2
    assert not out
    fault = capsys.readouterr().err
    assert fault.startswith(str(file))
    assert where in fault
    assert rule in fault
    assert fault.count("\n") == 1


def test_a_file_that_is_not_there_or_not_text_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _play(tmp_path / "none.csv") == (2, "")
    assert "No such file" in capsys.readouterr().err
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"N,1,\xff\xfe\n")
    assert _play(binary) == (2, "")
    assert "decode" in capsys.readouterr().err


def test_an_empty_file_plays() -> None:
    assert _play(Path("/dev/null"), "--events", "--book") == (0, "")


def test_many_lines_come_in_order(tmp_path: Path) -> None:
    file = tmp_path / "many.csv"
    file.write_text("".join(f"N,{n},B,L,GTC,{1 + n % 7},1,a,\n" for n in range(10_000)), "ascii")
    _, out = _play(file, "--events")
    assert out.splitlines() == [f"A,{n + 1},{n}" for n in range(10_000)]


def test_bench_prints_commands_per_second() -> None:
    code, out = _play(GOLDEN / "answers.csv", bench=3)
    assert code == 0
    rate, unit = out.split()
    assert int(rate) > 0
    assert unit == "commands/s"
