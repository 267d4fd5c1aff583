"""The book under the judgement of PyPI's tracebook-conformance: its own command, our process."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from nexustrade.matching.conformance import converse

CANDIDATE = [sys.executable, "-m", "nexustrade.matching.conformance"]


def _tracebook(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("tracebook-conformance")
    return subprocess.run(
        [program, *arguments, "--candidate", *CANDIDATE],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_book_qualifies_for_fifo_full_v1(tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    ran = _tracebook("qualify", "--profile", "fifo-full-v1", "--output-dir", str(evidence))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = json.loads((evidence / "qualification.json").read_text())
    assert report["qualified"] is True
    assert report["profile"]["name"] == "fifo-full-v1"
    assert report["candidate_engine"]["name"] == "nexustrade"
    checks = report["checks"]
    assert checks["fixed_cases"] == {"complete": True, "passed": 5, "total": 5}
    assert checks["generated_campaign"]["completed_traces"] == 25
    assert checks["semantic_coverage"]["uncovered"] == []


@pytest.mark.parametrize(
    ("case", "policy"),
    [
        ("stp-cancel-resting", "CANCEL_RESTING"),
        ("stp-cancel-resting-deep", "CANCEL_RESTING"),
        ("stp-cancel-incoming", "CANCEL_INCOMING"),
    ],
)
def test_self_trade_prevention_conforms(case: str, policy: str, tmp_path: Path) -> None:
    suite = tmp_path / "suite"
    program = Path(sys.executable).with_name("tracebook-conformance")
    subprocess.run([program, "sample", str(suite)], capture_output=True, check=True)
    ran = _tracebook("run", str(suite / f"{case}.jsonl"), "--self-trade-policy", policy)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def _hello(**changes: object) -> dict[str, object]:
    hello: dict[str, object] = {
        "type": "hello",
        "protocol": "tracebook.conformance",
        "protocol_version": 1,
        "config": {},
    }
    return hello | changes


def _answers(*messages: object) -> tuple[int, list[dict[str, object]]]:
    lines = "".join(f"{json.dumps(message)}\n" for message in messages)
    sink = io.StringIO()
    code = converse(io.StringIO(lines), sink)
    return code, [json.loads(line) for line in sink.getvalue().splitlines()]


def _new(**changes: object) -> dict[str, object]:
    event: dict[str, object] = {
        "op": "new",
        "symbol": "A",
        "order_id": 1,
        "side": "BUY",
        "order_type": "LIMIT",
        "price": 1.5,  # float: refused
        "quantity": 2,
        "owner": 7,
    }
    return {"type": "event", "index": 1, "event": event | changes}


def test_a_conversation() -> None:
    code, answers = _answers(
        _hello(), _new(), {"type": "snapshot", "index": 1}, {"type": "finish", "event_count": 1}
    )
    assert code == 0
    assert [answer["type"] for answer in answers] == [
        "ready",
        "observation",
        "snapshot",
        "complete",
    ]
    order = {
        "order_id": 1,
        "price": "1.5",
        "remaining_quantity": "2",
        "owner": 7,
        "order_type": "LIMIT",
    }
    assert answers[2]["state"] == {"books": [{"symbol": "A", "bids": [order], "asks": []}]}


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ([{"type": "event"}], "hello"),
        ([_hello(protocol_version=2)], "version is 1"),
        ([_hello(config={"matching_algorithm": "pro_rata"})], "fifo"),
        ([_hello(config={"self_trade_policy": "HOPE"})], "self-trade policy"),
        ([_hello(config={"tick_size": 0})], "tick_size"),
        ([_hello(config={"quantity_decimal_places": 19})], "quantity_decimal_places"),
        ([_hello(), {"type": "event", "index": 2, "event": {}}], "after event 0"),
        ([_hello(), {"type": "event", "index": 1, "event": {}}], "symbol' is missing"),
        ([_hello(), _new(price="much")], "price is a number"),
        ([_hello(), _new(op="undo")], "'undo' is not known"),
        ([_hello(), {"type": "finish", "event_count": 1}], "after event 0"),
        ([_hello(), []], "a message is an object"),
        ([_hello()], "ended before its finish"),
    ],
)
def test_a_broken_conversation_ends_with_an_error(messages: list[object], fault: str) -> None:
    code, answers = _answers(*messages)
    assert code == 2
    assert answers[-1]["type"] == "error"
    assert answers[-1]["code"] == "PROTOCOL_ERROR"
    assert fault in str(answers[-1]["message"])
