"""The web application: a page, its script, and `POST /predict`, which answers in JSON."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from anyio import to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from artjax.modes.serve.answering import Answering
from artjax.modes.serve.limits import Rate
from artjax.modes.serve.telling import as_json

WAITING = 32
"""Pictures that may be on their way at the same time; more are turned away, and may come again."""

_UPLOAD_SECONDS = 60
_SCRIPT = Path(__file__).with_name("page.js")
# Nothing is loaded from elsewhere, and no other page may show this one in a frame, or keep an answer.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Limits:
    """What may be asked for.

    Attributes:
      megabytes: of one picture file (10^6 bytes).
      per_minute: pictures from one address.
      hosts: names by which the server may be called; `*` for any.
    """

    megabytes: int
    per_minute: int
    hosts: tuple[str, ...]


class _RefusedError(Exception):
    """A request that is not answered: status, the reason in a sentence, and headers."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status, self.headers = status, {k.replace("_", "-"): v for k, v in headers.items()}


def application(
    answering: Answering, classes: Mapping[str, Sequence[str]], page: str, limits: Limits
) -> Starlette:
    """The application.

    Args:
      answering: what looks at pictures.
      classes: of each task, the names in the order of the probabilities.
      page: as HTML.
      limits: what may be asked for.
    """
    rate = Rate(limits.per_minute)
    waiting = asyncio.Semaphore(WAITING)
    script = _SCRIPT.read_bytes()

    async def show_page(request: Request) -> Response:
        return Response(page, headers=_HEADERS, media_type="text/html")

    async def show_script(request: Request) -> Response:
        return Response(script, headers=_HEADERS, media_type="text/javascript")

    async def predict(request: Request) -> Response:
        try:
            _check_same_origin(request)
            _check_rate(request, rate)
            if waiting.locked():
                raise _RefusedError(
                    503, f"{WAITING} pictures are waiting already; try again", Retry_After="2"
                )
            async with waiting:
                said = await _said(await _body(request, limits.megabytes))
            return JSONResponse(said, headers=_HEADERS)
        except _RefusedError as refused:
            return JSONResponse({"error": str(refused)}, refused.status, _HEADERS | refused.headers)

    async def _said(picture: bytes) -> dict[str, Any]:
        try:
            told = await to_thread.run_sync(answering.answer, picture)
        except (
            Exception
        ) as error:  # the next picture may do: the server goes on, and its owner is told
            print(f"artjax: a picture was not answered: {error}", file=sys.stderr, flush=True)
            raise _RefusedError(
                500, "the server failed; its owner sees why on its screen"
            ) from error
        if told.answer.reason:
            raise _RefusedError(422, f"not a usable picture: {told.answer.reason}")
        return as_json(told, classes)

    return Starlette(
        routes=[
            Route("/", show_page),
            Route("/page.js", show_script),
            Route("/predict", predict, methods=["POST"]),
        ],
        # A foreign name that leads here (DNS rebinding) is another way for a foreign page to ask.
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(limits.hosts), www_redirect=False),
        ],
    )


def _check_same_origin(request: Request) -> None:
    """A page from elsewhere, open in the same browser, must not use this server."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise _RefusedError(403, "only the page of this server may ask it")


def _check_rate(request: Request, rate: Rate) -> None:
    address = request.client.host if request.client else ""
    if seconds := rate.seconds_to_wait(address):
        whole = math.ceil(seconds)
        raise _RefusedError(
            429, f"too many pictures in a minute; go on in {whole} s", Retry_After=str(whole)
        )


async def _body(request: Request, megabytes: int) -> bytes:
    """The bytes of the picture.

    Raises:
      _RefusedError: if there are none or too many of them, or they take too long.
    """
    too_large = _RefusedError(413, f"the file is larger than {megabytes:,} MB", Connection="close")
    most = megabytes * 10**6
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_UPLOAD_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise _RefusedError(
            408, f"the file took longer than {_UPLOAD_SECONDS} s to arrive", Connection="close"
        ) from None
    except ClientDisconnect:
        raise _RefusedError(400, "the connection was closed before the file was there") from None
    if not body:
        raise _RefusedError(
            422, "no picture: send the bytes of a file, as curl --data-binary @FILE does"
        )
    return bytes(body)
