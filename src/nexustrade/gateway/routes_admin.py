"""What operators may do under /v1, with a key of the scope `admin`."""

from typing import Final

import msgspec

from nexustrade.core import terms
from nexustrade.core.money import parse_signed_usd, parse_usd, price_text, qty_text
from nexustrade.gateway import messages as w
from nexustrade.gateway import render, requests
from nexustrade.gateway.auth import ADMIN, READ, SCOPES, TRADE, ApiKey
from nexustrade.gateway.refusals import invalid, not_found
from nexustrade.gateway.service import Gateway, rate_ppm
from nexustrade.gateway.web import NO_CONTENT, Call, Endpoint, Reply, json_reply
from nexustrade.matching.messages import (
    DefineInstrument,
    InstrumentDefined,
    Refused,
    SplitInstrument,
)
from nexustrade.orders import messages as m

_STATES: Final = {"active": "ACTIVE", "halted": "HALTED", "restricted": "RESTRICTED"}
_ACCOUNT_TYPES: Final = {"cash": terms.CASH, "margin": terms.MARGIN}


class AdminRoutes:
    """What keys with the scope `admin` may do, to any account and to the venue."""

    def __init__(self, venue: Gateway) -> None:
        self.venue = venue
        self._account = msgspec.json.Decoder(w.OpenAccountRequest)
        self._cash = msgspec.json.Decoder(w.CashRequest)
        self._block = msgspec.json.Decoder(w.BlockRequest)
        self._freeze = msgspec.json.Decoder(w.FreezeRequest)
        self._rules = msgspec.json.Decoder(w.InstrumentRequest)
        self._bust = msgspec.json.Decoder(w.BustRequest)
        self._key = msgspec.json.Decoder(w.KeyRequest)
        self._state = msgspec.json.Decoder(w.InstrumentStateRequest)
        self._split = msgspec.json.Decoder(w.SplitRequest)

    async def open_account(self, call: Call) -> Reply:
        r = await call.model(self._account)
        account_id = r.account_id or self.venue.new_id(self.venue.clock.now_us())
        await self.venue.operate(
            m.OpenAccount(
                requests.account_id_text(account_id),
                requests.choice("account_type", r.account_type, _ACCOUNT_TYPES),
                requests.optional("cash", r.cash, parse_usd),
                rate_ppm("maker_fee", r.maker_fee),
                rate_ppm("taker_fee", r.taker_fee),
                r.shorting,
            )
        )
        return json_reply(render.opened_account(self.venue.account(account_id)))

    async def accounts(self, call: Call) -> Reply:
        del call
        records = [self.venue.orders.account(i) for i in self.venue.orders.account_ids()]
        return json_reply([render.opened_account(r) for r in records if r is not None])

    async def adjust_cash(self, call: Call) -> Reply:
        r = await call.model(self._cash)
        amount = requests.optional("amount", r.amount, parse_signed_usd)
        if not amount:
            raise invalid("amount is required and is not 0")
        account_id = self.venue.account(call.path("account_id")).account_id
        text = requests.free_text("description", r.description)
        await self.venue.operate(m.AdjustCash(account_id, amount, text))
        return json_reply(render.opened_account(self.venue.account(account_id)))

    async def block_account(self, call: Call) -> Reply:
        r = await call.model(self._block)
        account_id = self.venue.account(call.path("account_id")).account_id
        reason = requests.free_text("reason", r.reason)
        await self.venue.operate(m.BlockAccount(account_id, r.blocked, reason))
        return json_reply(render.opened_account(self.venue.account(account_id)))

    async def freeze_account(self, call: Call) -> Reply:
        r = await call.model(self._freeze)
        account_id = self.venue.account(call.path("account_id")).account_id
        reason = requests.free_text("reason", r.reason)
        await self.venue.operate(m.FreezeAccount(account_id, r.frozen, reason))
        return json_reply(render.opened_account(self.venue.account(account_id)))

    async def block_venue(self, call: Call) -> Reply:
        r = await call.model(self._block)
        reason = requests.free_text("reason", r.reason)
        await self.venue.operate(m.BlockVenue(r.blocked, reason))
        return json_reply(w.BlockState(r.blocked, reason))

    async def set_state(self, call: Call) -> Reply:
        r = await call.model(self._state)
        symbol = self._instrument(call).symbol
        state = requests.choice("state", r.state, _STATES)
        reason = requests.free_text("reason", r.reason)
        await self.venue.operate(m.RestrictInstrument(symbol, state, reason))
        now = self.venue.orders.instrument_state(symbol)
        return json_reply(w.InstrumentState(symbol, now.lower()))

    async def split(self, call: Call) -> Reply:
        r = await call.model(self._split)
        symbol = self._instrument(call).symbol
        if r.shares_new == r.shares_old:
            raise invalid("invalid shares_new. shares_new and shares_old differ")
        reason = requests.free_text("reason", r.reason)
        command = SplitInstrument(symbol, r.shares_new, r.shares_old, reason)
        for entry in await self.venue.operate(command):
            if isinstance(entry.event, Refused):
                raise invalid(f'asset "{symbol}" must be halted to be split')
        return json_reply(w.InstrumentSplit(symbol, r.shares_new, r.shares_old, reason))

    def _instrument(self, call: Call) -> InstrumentDefined:
        symbol = self.venue.symbol(call.path("symbol"))
        found = self.venue.orders.instrument(symbol)
        if found is None:
            raise not_found(f"asset not found for {requests.shown(symbol)}")
        return found

    async def set_rules(self, call: Call) -> Reply:
        r = await call.model(self._rules)
        old = self._instrument(call)
        rules = DefineInstrument(*msgspec.structs.astuple(old))
        changed = msgspec.structs.replace(
            rules,
            static_band_ppm=_rate_or("static_band", r.static_band, old.static_band_ppm),
            dynamic_band_ppm=_rate_or("dynamic_band", r.dynamic_band, old.dynamic_band_ppm),
            collar_ppm=_rate_or("collar", r.collar, old.collar_ppm),
            call_s=old.call_s if r.call_s is None else r.call_s,
            maintenance_addon_ppm=_rate_or(
                "maintenance_addon", r.maintenance_addon, old.maintenance_addon_ppm
            ),
        )
        await self.venue.operate(changed)
        state = self.venue.orders.instrument_state(old.symbol)
        return json_reply(render.asset(self._instrument(call), state))

    async def bust_trade(self, call: Call) -> Reply:
        r = await call.model(self._bust)
        reason = requests.free_text("reason", r.reason)
        symbol = self._instrument(call).symbol
        trade_id = requests.trade_id(call.path("trade_id"))
        sides = {f.side: f for f in await self.venue.history.trade(symbol, trade_id)}
        if len(sides) != 2:
            raise not_found(f"trade not found for {requests.shown(call.path('trade_id'))}")
        bought, sold = sides[terms.BUY], sides[terms.SELL]
        await self.venue.operate(
            m.BustTrade(
                symbol,
                trade_id,
                bought.last_px,
                bought.last_qty,
                bought.account_id,
                bought.order_id,
                bought.fee,
                sold.account_id,
                sold.order_id,
                sold.fee,
                bought.settle_date,
                reason,
            )
        )
        return json_reply(
            w.BustedTrade(
                symbol,
                trade_id,
                price_text(bought.last_px),
                qty_text(bought.last_qty),
                bought.order_id,
                sold.order_id,
                reason,
            )
        )

    async def create_key(self, call: Call) -> Reply:
        r = await call.model(self._key)
        scopes = [READ, TRADE] if r.scopes is None else r.scopes
        # An operator's key needs no account; every other one belongs to one that is there.
        is_operator = not r.account_id and set(scopes) == {ADMIN}
        account_id = "" if is_operator else self.venue.account(r.account_id).account_id
        if not scopes or any(scope not in SCOPES for scope in scopes):
            raise invalid(f"invalid scopes. scopes are some of {', '.join(SCOPES)}")
        label = requests.free_text("label", r.label)
        expires_us = requests.instant_us("expires_at", r.expires_at or "")
        now_us = self.venue.clock.now_us()
        if expires_us and expires_us <= now_us:
            raise invalid("invalid expires_at. expires_at is in the future")
        key, secret = await self.venue.keys.create(account_id, scopes, label, expires_us, now_us)
        return json_reply(
            w.NewKey(
                key.key_id,
                secret,
                key.account_id,
                sorted(key.scopes),
                key.label,
                render.instant_or_none(key.expires_us),
            )
        )

    async def keys(self, call: Call) -> Reply:
        account_id = requests.free_text("account_id", call.query(w.KeysParams).account_id)
        return json_reply([_key_row(key) for key in await self.venue.keys.list(account_id)])

    async def revoke_key(self, call: Call) -> Reply:
        key_id = call.path("key_id")
        found = key_id.isprintable() and await self.venue.keys.revoke(
            key_id, self.venue.clock.now_us()
        )
        if not found:
            raise not_found(f"key not found for {requests.shown(key_id)}")
        return NO_CONTENT


def _rate_or(field: str, raw: msgspec.Raw, old: int) -> int:
    """A rate of a request in parts per million, or the old one when absent."""
    return rate_ppm(field, raw) if requests.number_text(field, raw) else old


def _key_row(key: ApiKey) -> w.KeyRow:
    return w.KeyRow(
        key.key_id,
        key.account_id,
        sorted(key.scopes),
        key.label,
        render.instant_or_none(key.created_us),
        render.instant_or_none(key.expires_us),
        render.instant_or_none(key.revoked_us),
    )


def endpoints(venue: Gateway) -> list[Endpoint]:
    """The routes of this module."""
    r = AdminRoutes(venue)
    tag, base, one = "Admin", "/v1/accounts", "/v1/accounts/{account_id}"
    write = (400, 403, 404, 408, 413, 422, 503)
    return [
        Endpoint(
            "POST",
            base,
            r.open_account,
            ADMIN,
            "Open an account",
            tag,
            w.OpenedAccount,
            body=w.OpenAccountRequest,
            errors=write,
        ),
        Endpoint(
            "GET",
            base,
            r.accounts,
            ADMIN,
            "List accounts",
            tag,
            list[w.OpenedAccount],
            errors=(503,),
        ),
        Endpoint(
            "POST",
            one + "/cash",
            r.adjust_cash,
            ADMIN,
            "Deposit or withdraw cash",
            tag,
            w.OpenedAccount,
            body=w.CashRequest,
            errors=write,
        ),
        Endpoint(
            "POST",
            one + "/block",
            r.block_account,
            ADMIN,
            "An account's kill switch",
            tag,
            w.OpenedAccount,
            body=w.BlockRequest,
            errors=write,
        ),
        Endpoint(
            "POST",
            one + "/freeze",
            r.freeze_account,
            ADMIN,
            "Take no new orders of an account; its open ones stay",
            tag,
            w.OpenedAccount,
            body=w.FreezeRequest,
            errors=write,
        ),
        Endpoint(
            "POST",
            "/v1/keys",
            r.create_key,
            ADMIN,
            "Make an API key",
            tag,
            w.NewKey,
            body=w.KeyRequest,
            errors=write,
        ),
        Endpoint(
            "GET",
            "/v1/keys",
            r.keys,
            ADMIN,
            "List API keys",
            tag,
            list[w.KeyRow],
            query=w.KeysParams,
            errors=(422, 503),
        ),
        Endpoint(
            "DELETE",
            "/v1/keys/{key_id}",
            r.revoke_key,
            ADMIN,
            "Revoke an API key",
            tag,
            status=204,
            errors=(404, 503),
        ),
        Endpoint(
            "POST",
            "/v1/venue/block",
            r.block_venue,
            ADMIN,
            "The venue's kill switch",
            tag,
            w.BlockState,
            body=w.BlockRequest,
            errors=write,
        ),
        Endpoint(
            "POST",
            "/v1/instruments/{symbol:path}/state",
            r.set_state,
            ADMIN,
            "Halt, restrict or reopen an instrument",
            tag,
            w.InstrumentState,
            body=w.InstrumentStateRequest,
            errors=write,
        ),
        Endpoint(
            "POST",
            "/v1/instruments/{symbol:path}/split",
            r.split,
            ADMIN,
            "Split a halted instrument: orders, groups and positions are scaled",
            tag,
            w.InstrumentSplit,
            body=w.SplitRequest,
            errors=write,
        ),
        Endpoint(
            "POST",
            "/v1/instruments/{symbol:path}/trades/{trade_id}/bust",
            r.bust_trade,
            ADMIN,
            "Undo a trade; orders and groups are not revived",
            tag,
            w.BustedTrade,
            body=w.BustRequest,
            errors=write,
        ),
        Endpoint(
            "PATCH",
            "/v1/instruments/{symbol:path}",
            r.set_rules,
            ADMIN,
            "Change an instrument's bands, collar, auction and margin add-on",
            tag,
            w.Asset,
            body=w.InstrumentRequest,
            errors=write,
        ),
    ]
