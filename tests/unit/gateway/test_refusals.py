import json

import pytest

from nexustrade.core.errors import DatabaseNewer, Fenced, InputError
from nexustrade.gateway.refusals import RULES, Terms, refusal
from nexustrade.gateway.web import api_error
from nexustrade.orders import messages as m

REASONS = sorted(
    value
    for name, value in vars(m).items()
    if name.isupper() and isinstance(value, str) and value == name
)


def test_every_reason_has_its_row() -> None:
    assert sorted(RULES) == REASONS


@pytest.mark.parametrize(
    ("reason", "facts", "status", "body"),
    [
        (
            m.INSUFFICIENT_BUYING_POWER,
            {"buying_power": "12.5", "cost_basis": "1000.5"},
            403,
            '{"code":40310000,"message":"insufficient buying power",'
            '"buying_power":"12.5","cost_basis":"1000.5"}',
        ),
        (
            m.INSUFFICIENT_QTY,
            {"requested": "5", "available": "2", "existing_qty": "3", "held_for_orders": "1"},
            403,
            '{"code":40310000,"message":"insufficient qty available for order (requested: 5,'
            ' available: 2)","available":"2","existing_qty":"3","held_for_orders":"1",'
            '"symbol":"AAPL"}',
        ),
        (m.INSUFFICIENT_QTY, {}, 403, '{"code":40310000,"message":"own text","symbol":"AAPL"}'),
        (
            m.SUSPENDED_BY_USER,
            {},
            403,
            '{"code":40310000,"message":"new orders are rejected by user request"}',
        ),
        (
            m.DUPLICATE_CL_ORD_ID,
            {"existing_order_id": "o-1"},
            422,
            '{"code":40010001,"message":"client_order_id must be unique",'
            '"existing_order_id":"o-1"}',
        ),
        (
            m.NOT_TRADABLE,
            {},
            422,
            '{"code":42210000,"message":"asset \\"AAPL\\" is not tradable"}',
        ),
        (m.NOT_SHORTABLE, {}, 422, '{"code":42210000,"message":"own text"}'),
        (
            m.ORDER_CLOSED,
            {},
            422,
            '{"code":42210000,"message":"order is already in \\"filled\\" state"}',
        ),
        (m.UNKNOWN_ORDER, {}, 404, '{"code":40410000,"message":"order not found for o-9"}'),
        (m.TICK_SIZE, {}, 422, '{"code":42210000,"message":"own text"}'),
        (m.INVALID_ORDER, {}, 422, '{"code":40010001,"message":"own text"}'),
        ("A_NEW_ONE", {}, 422, '{"code":42210000,"message":"own text"}'),
    ],
)
def test_the_answer_to_a_rejection(
    reason: str, facts: dict[str, str], status: int, body: str
) -> None:
    told = refusal(reason, facts, Terms("AAPL", "o-9", "own text", "filled"))
    assert (told.status, told.body().decode()) == (status, body)


@pytest.mark.parametrize("reason", REASONS)
def test_every_row_makes_a_text_without_any_facts(reason: str) -> None:
    told = refusal(reason, {}, Terms())
    assert 400 <= told.status < 500
    assert told.code // 100_000 == told.status or (told.status, told.code) == (422, 40010001)
    assert told.message
    assert "{" not in told.message
    assert list(json.loads(told.body())) == ["code", "message"]


def test_operating_faults_have_answers_and_bugs_have_none() -> None:
    fenced = api_error(Fenced("another"))
    newer = api_error(DatabaseNewer("newer"))
    wrong = api_error(InputError("qty", "x", "a rule"))
    assert fenced is not None
    assert newer is not None
    assert wrong is not None
    assert (fenced.status, newer.status, wrong.status) == (503, 503, 422)
    assert api_error(KeyError("x")) is None
