"""Order entry and queries under /v2/orders."""

import msgspec

from nexustrade.gateway import messages as w
from nexustrade.gateway import render, requests
from nexustrade.gateway.auth import READ, TRADE
from nexustrade.gateway.service import Gateway
from nexustrade.gateway.web import NO_CONTENT, Call, Endpoint, Reply, json_reply
from nexustrade.orders.messages import OrderRecord


class OrderRoutes:
    """Order entry and queries."""

    def __init__(self, venue: Gateway) -> None:
        self.venue = venue
        self._replace = msgspec.json.Decoder(w.ReplaceRequest)

    async def post(self, call: Call) -> Reply:
        request = requests.decode_order(await call.body())
        return self._just_now(await self.venue.place(call.account_id, request))

    async def get(self, call: Call) -> Reply:
        call.query(w.OrderParams)
        return await self._whole(await self.venue.order(call.account_id, call.path("order_id")))

    async def delete(self, call: Call) -> Reply:
        await self.venue.cancel(call.account_id, call.path("order_id"))
        return NO_CONTENT

    async def patch(self, call: Call) -> Reply:
        request = await call.model(self._replace)
        record = await self.venue.replace(call.account_id, call.path("order_id"), request)
        return self._just_now(record)

    async def list(self, call: Call) -> Reply:
        asked = call.query(w.OrdersParams)
        records = await self.venue.list_orders(call.account_id, asked)
        legs = await self.venue.legs_of(records) if asked.nested else {}
        return json_reply([render.order(r, legs.get(r.order_id, ())) for r in records])

    async def cancel_all(self, call: Call) -> Reply:
        return json_reply(await self.venue.cancel_all(call.account_id), 207)

    async def by_cl_ord_id(self, call: Call) -> Reply:
        asked = call.query(w.ClientIdParams).client_order_id
        return await self._whole(await self.venue.order_by_cl_ord_id(call.account_id, asked))

    def _just_now(self, record: OrderRecord) -> Reply:
        """An order that was entered or changed a moment ago."""
        return Reply(render.order_json(record, self.venue.legs(record)))

    async def _whole(self, record: OrderRecord) -> Reply:
        """An order of any age."""
        legs = await self.venue.legs_of([record])
        return Reply(render.order_json(record, legs.get(record.order_id, ())))


def endpoints(venue: Gateway) -> list[Endpoint]:
    """The routes of this module."""
    r = OrderRoutes(venue)
    by_id, tag = "/v2/orders/{order_id}", "Orders"
    return [
        Endpoint(
            "POST",
            "/v2/orders",
            r.post,
            TRADE,
            "Submit an order",
            tag,
            w.Order,
            body=w.OrderRequest,
            errors=(400, 403, 404, 408, 413, 422, 503),
        ),
        Endpoint(
            "GET",
            "/v2/orders",
            r.list,
            READ,
            "List orders",
            tag,
            list[w.Order],
            query=w.OrdersParams,
            errors=(404, 422, 503),
        ),
        Endpoint(
            "DELETE",
            "/v2/orders",
            r.cancel_all,
            TRADE,
            "Cancel all open orders",
            tag,
            list[w.CancelResult],
            status=207,
            errors=(404, 422, 503),
        ),
        Endpoint(
            "GET",
            by_id,
            r.get,
            READ,
            "Get an order",
            tag,
            w.Order,
            query=w.OrderParams,
            errors=(404, 422, 503),
        ),
        Endpoint(
            "PATCH",
            by_id,
            r.patch,
            TRADE,
            "Replace an order; answers the new one",
            tag,
            w.Order,
            body=w.ReplaceRequest,
            errors=(400, 403, 404, 408, 413, 422, 503),
        ),
        Endpoint(
            "DELETE",
            by_id,
            r.delete,
            TRADE,
            "Cancel an order",
            tag,
            status=204,
            errors=(404, 422, 503),
        ),
        Endpoint(
            "GET",
            "/v2/orders:by_client_order_id",
            r.by_cl_ord_id,
            READ,
            "Get an order by its client order id",
            tag,
            w.Order,
            query=w.ClientIdParams,
            errors=(404, 422, 503),
        ),
    ]
