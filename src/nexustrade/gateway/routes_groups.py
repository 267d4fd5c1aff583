"""Groups of orders under /v1/groups: what belongs together, its one quantity, its cancel.

A group is entered under /v2/orders with an `order_class`, and its orders are found there, too.
"""

import msgspec

from nexustrade.core.money import parse_qty
from nexustrade.gateway import messages as w
from nexustrade.gateway import render, requests
from nexustrade.gateway.auth import READ, TRADE
from nexustrade.gateway.refusals import Terms, refusal
from nexustrade.gateway.service import Gateway
from nexustrade.gateway.web import NO_CONTENT, Call, Endpoint, Reply, json_reply
from nexustrade.orders import messages as m


class GroupRoutes:
    """The groups of the caller's account."""

    def __init__(self, venue: Gateway) -> None:
        self.venue = venue
        self._amend = msgspec.json.Decoder(w.GroupRequest)

    async def list(self, call: Call) -> Reply:
        return json_reply([self._group(g) for g in self.venue.orders.groups(call.account_id)])

    async def get(self, call: Call) -> Reply:
        return json_reply(self._group(self._own(call)))

    async def amend(self, call: Call) -> Reply:
        request = await call.model(self._amend)
        qty = requests.optional("qty", request.qty, parse_qty)
        own = self._own(call)
        group_id = own.group_id
        for entry in await self.venue.commands.submit(m.AmendGroup(call.account_id, group_id, qty)):
            event = entry.event
            if isinstance(event, m.GroupAmendRejected) and event.group_id == group_id:
                asked = Terms(own.symbol, group_id, event.text, "closed")
                raise refusal(event.reason, event.facts, asked)
        return json_reply(self._group(self._own(call)))

    async def cancel(self, call: Call) -> Reply:
        group_id = self._own(call).group_id
        for entry in await self.venue.commands.submit(m.CancelGroup(call.account_id, group_id)):
            event = entry.event
            if isinstance(event, m.CancelRejected):
                raise refusal(event.reason, {}, Terms(order_id=group_id, ord_status="closed"))
        return NO_CONTENT

    def _own(self, call: Call) -> m.GroupRecord:
        """The group of the path; 404 when the caller has none of that id."""
        group_id = call.path("group_id")
        record = self.venue.orders.group(group_id)
        if record is None or record.account_id != call.account_id:
            raise refusal(m.UNKNOWN_GROUP, {}, Terms(order_id=requests.shown(group_id)))
        return record

    def _group(self, record: m.GroupRecord) -> w.Group:
        found = (self.venue.orders.order(order_id) for order_id in record.order_ids)
        return render.group(record, [order for order in found if order is not None])


def endpoints(venue: Gateway) -> list[Endpoint]:
    """The routes of this module."""
    r = GroupRoutes(venue)
    by_id, tag = "/v1/groups/{group_id}", "Groups"
    return [
        Endpoint(
            "GET",
            "/v1/groups",
            r.list,
            READ,
            "List open groups, oldest first",
            tag,
            list[w.Group],
            errors=(503,),
        ),
        Endpoint(
            "GET",
            by_id,
            r.get,
            READ,
            "Get a group that is open or was lately closed",
            tag,
            w.Group,
            errors=(404, 422, 503),
        ),
        Endpoint(
            "PATCH",
            by_id,
            r.amend,
            TRADE,
            "Change the quantity of a group, for all of its orders",
            tag,
            w.Group,
            body=w.GroupRequest,
            errors=(400, 403, 404, 408, 413, 422, 503),
        ),
        Endpoint(
            "DELETE",
            by_id,
            r.cancel,
            TRADE,
            "Cancel whatever of a group is alive",
            tag,
            status=204,
            errors=(404, 422, 503),
        ),
    ]
