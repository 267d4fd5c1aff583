"""The OpenAPI document, made from the table of routes and the models, and a page that shows it."""

import html
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import msgspec

from nexustrade import __version__
from nexustrade.gateway import messages as w
from nexustrade.gateway.web import Call, Endpoint, Reply

_REASONS: Final = {
    400: "The body is not JSON",
    401: "No key, an unknown one, a wrong secret, or one that is expired or revoked",
    403: "The key lacks the scope, or the account may not do this",
    404: "Not there, or not the caller's",
    405: "The path has no such method",
    408: "The body did not arrive in time",
    413: "The body is too large",
    422: "The request breaks a rule, which the text names",
    429: "Too many requests: wait for Retry-After",
    500: "A fault of the venue; the outcome of an order is to be queried by client_order_id",
    503: "The venue cannot do it now, nothing was done: try again after Retry-After",
}
_ALWAYS: Final = (405, 500)
_ALWAYS_WITH_KEY: Final = (401, 403, 413, 429)
_RATE_HEADERS: Final = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_PATH_PART: Final = re.compile(r"\{(\w+)(?::path)?\}")
_REF: Final = "#/components/schemas/{name}"

Json = dict[str, Any]


def document(table: Sequence[Endpoint]) -> Json:
    """The OpenAPI 3.1 document of all routes."""
    models = [model for e in table for model in (e.answer, e.body) if model is not None]
    named = [w.Refusal, w.FillActivity, w.CashActivity]
    schemas, components = msgspec.json.schema_components([*models, *named], ref_template=_REF)
    by_model = {repr(model): schema for model, schema in zip(models, schemas, strict=False)}
    paths: Json = {}
    for endpoint in table:
        path = _PATH_PART.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, by_model)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "NexusTrade",
            "version": __version__,
            "description": (
                "Alpaca-API-compatible trading under /v2, the venue's own calls under /v1, and the"
                " WebSocket stream `trade_updates` at /stream."
            ),
        },
        "paths": paths,
        "components": {
            "schemas": {name: _with_numbers(schema) for name, schema in components.items()},
            "securitySchemes": _security_schemes(),
        },
    }


def _security_schemes() -> Json:
    return {
        "keyId": {"type": "apiKey", "in": "header", "name": "APCA-API-KEY-ID"},
        "secretKey": {"type": "apiKey", "in": "header", "name": "APCA-API-SECRET-KEY"},
        "basic": {"type": "http", "scheme": "basic"},
        "bearer": {"type": "http", "scheme": "bearer", "description": "key id, a colon, secret"},
    }


def _operation(e: Endpoint, by_model: dict[str, Any]) -> Json:
    operation: Json = {
        "operationId": f"{e.method.lower()}{re.sub(r'[^A-Za-z0-9]+', '_', e.path).rstrip('_')}",
        "summary": e.summary,
        "tags": [e.tag],
        "parameters": [*_path_parameters(e), *_query_parameters(e)],
        "responses": _responses(e, by_model),
        "security": [],
    }
    if e.scope:
        operation["security"] = [{"keyId": [], "secretKey": []}, {"basic": []}, {"bearer": []}]
        operation["description"] = f"Needs a key with the scope `{e.scope}`."
    if e.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": by_model[repr(e.body)]}},
        }
    return operation


def _path_parameters(e: Endpoint) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PATH_PART.findall(e.path)
    ]


def _query_parameters(e: Endpoint) -> list[Json]:
    if e.query is None:
        return []
    schema = msgspec.json.schema(e.query)
    fields: Json = schema["$defs"][e.query.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": field}
        for name, field in fields.items()
    ]


def _responses(e: Endpoint, by_model: dict[str, Any]) -> Json:
    success: Json = {"description": "Success", "headers": _headers(e, limited=False)}
    if e.answer is not None:
        success["content"] = {"application/json": {"schema": by_model[repr(e.answer)]}}
    responses: Json = {str(e.status): success}
    statuses = {*e.errors, *_ALWAYS, *(_ALWAYS_WITH_KEY if e.scope else ())}
    for status in sorted(statuses):
        responses[str(status)] = {
            "description": _REASONS[status],
            "headers": _headers(e, limited=status in (429, 503)),
            "content": {
                "application/json": {"schema": {"$ref": _REF.format(name="Refusal")}},
            },
        }
    return responses


def _headers(e: Endpoint, *, limited: bool) -> Json:
    names = ["X-Request-ID", *(_RATE_HEADERS if e.scope else ())]
    if limited:
        names.append("Retry-After")
    return {name: {"schema": {"type": "string"}} for name in names}


def _with_numbers(schema: Json) -> Json:
    """Decimals of answers leave as JSON numbers, where the generator would say strings."""
    if schema.get("format") == "decimal":
        return {"type": "number"}
    return {key: _walk(value) for key, value in schema.items()}


def _walk(value: Any) -> Any:
    if isinstance(value, dict):
        return _with_numbers(value)
    if isinstance(value, list):
        return [_walk(item) for item in value]
    return value


# ---------------------------------------------------------------- served


def endpoints(table: Sequence[Endpoint]) -> list[Endpoint]:
    """The routes that show the document: as JSON, and as a page that needs nothing else.

    Both are made when they are first asked for.
    """

    @cache
    def as_json() -> bytes:
        return msgspec.json.encode(document(table))

    @cache
    def as_page() -> bytes:
        return page_html(document(table)).encode()

    async def show_json(call: Call) -> Reply:
        del call
        return Reply(as_json())

    async def show_page(call: Call) -> Reply:
        del call
        return Reply(as_page(), headers=[(b"content-type", b"text/html; charset=utf-8")])

    return [
        Endpoint("GET", "/openapi.json", show_json, "", "This document", "Documents"),
        Endpoint("GET", "/docs", show_page, "", "The document as a page", "Documents"),
        Endpoint("GET", "/", show_page, "", "The document as a page", "Documents"),
    ]


_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1c2430}code{font:13px ui-monospace,monospace}h2{border-bottom:1px solid #d6dce4}"
    "summary{cursor:pointer;padding:.2rem 0}b{display:inline-block;width:4.5rem}"
    "table{border-collapse:collapse;margin:.4rem 0 1rem 1.5rem}td{padding:.1rem .8rem .1rem 0;"
    "vertical-align:top}"
)


def page_html(made: Json) -> str:
    """The document as one self-contained page."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><title>NexusTrade API</title>",
        f"<style>{_STYLE}</style><h1>NexusTrade API</h1>",
        f"<p>{html.escape(made['info']['description'])} Machine-readable:",
        ' <a href="/openapi.json">openapi.json</a>.</p>',
    ]
    by_tag: dict[str, list[str]] = {}
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            text = _operation_html(method, path, operation)
            by_tag.setdefault(operation["tags"][0], []).append(text)
    for tag, operations in by_tag.items():
        parts.append(f"<h2>{html.escape(tag)}</h2>{''.join(operations)}")
    parts.append("<h2>Models</h2>")
    for name, schema in sorted(made["components"]["schemas"].items()):
        parts.append(_model_html(name, schema))
    return "".join(parts)


def _operation_html(method: str, path: str, operation: Json) -> str:
    rows = [
        (f"{p['in']} <code>{html.escape(p['name'])}</code>", _type_html(p["schema"]))
        for p in operation["parameters"]
    ]
    body = operation.get("requestBody")
    if body:
        rows.append(("body", _type_html(body["content"]["application/json"]["schema"])))
    for status, response in operation["responses"].items():
        content = response.get("content", {}).get("application/json", {}).get("schema", {})
        rows.append((status, f"{html.escape(response['description'])} {_type_html(content)}"))
    return (
        f"<details><summary><b>{method.upper()}</b><code>{html.escape(path)}</code>"
        f" {html.escape(operation['summary'])}</summary>{_table(rows)}</details>"
    )


def _model_html(name: str, schema: Json) -> str:
    rows = [
        (f"<code>{html.escape(field)}</code>", _type_html(kind))
        for field, kind in schema.get("properties", {}).items()
    ]
    title = html.escape(name)
    about = html.escape(schema.get("description", ""))
    return (
        f'<details id="{title}"><summary><code>{title}</code></summary>'
        f"<p>{about}</p>{_table(rows)}</details>"
    )


def _table(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td>{left}<td>{right}" for left, right in rows)
    return f"<table>{cells}</table>"


def _type_html(schema: Json) -> str:
    if "$ref" in schema:
        name = html.escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type_html(part) for part in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type_html(schema.get('items', {}))}"
    words = schema.get("enum")
    if words:
        return html.escape(", ".join(str(word) or '""' for word in words))
    return html.escape(str(schema.get("format") or schema.get("type") or ""))
