"""A headless Chromium, driven over its DevTools protocol by a websocket of aiohttp: no driver, no further package."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_S = 30.0
PATIENCE_S = 20.0
QUIET = frozenset({"net::ERR_ABORTED"})
"""Not errors of a page: a request that ended because the page was left."""


def chromium() -> str | None:
    """The browser on PATH; None: there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """A tab. `errors`: what its console and its requests complained of; `requests`: every address it asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: str) -> None:
        self._socket, self._session = socket, session
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.errors: list[str] = []
        self.requests: list[str] = []

    async def listen(self) -> None:
        """Take what the browser says, until it ends."""
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                waiting = self._answers.pop(told["id"], None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(told)
            elif told.get("sessionId") == self._session:
                self._note(told["method"], told["params"])

    def _note(self, method: str, told: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(told["exceptionDetails"])[:500])
        elif method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"{told['entry']['text']} {told['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.errors.append(json.dumps(told["args"])[:500])
        elif method == "Network.loadingFailed" and told["errorText"] not in QUIET:
            self.errors.append(told["errorText"])

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command and its result. Raises AssertionError with what the browser says against it."""
        self._number += 1
        waiting = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json(
            {"id": self._number, "method": method, "params": parameters, "sessionId": self._session}
        )
        told = await asyncio.wait_for(waiting, PATIENCE_S)
        assert "error" not in told, f"{method}: {told['error']}"
        return told["result"]

    async def open(self, url: str) -> None:
        """Go there, until it is loaded."""
        await self._leaving(self.send("Page.navigate", url=url))

    async def _leaving(self, go: Awaitable[Any]) -> None:
        self._loaded.clear()
        await go
        await asyncio.wait_for(self._loaded.wait(), PATIENCE_S)

    async def leaves(self, go: Callable[[], Awaitable[Any]]) -> None:
        """Do what leads to another page, until that is loaded."""
        await self._leaving(go())

    async def run(self, script: str) -> Any:
        """The value of an expression; promises are waited for."""
        told = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, json.dumps(told["exceptionDetails"])[:2_000]
        return told["result"].get("value")

    async def until(self, script: str, seconds: float = PATIENCE_S) -> None:
        """Until an expression holds."""
        deadline = time.monotonic() + seconds
        while not await self.run(f"Boolean({script})"):
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {script}\n{await self.text()}"
            await asyncio.sleep(0.05)

    async def text(self) -> str:
        """What the page's main part says."""
        return str(await self.run("document.querySelector('main').innerText"))

    async def press(self, key: str, code: int = 0, text: str = "", *, shift: bool = False) -> None:
        """A key, down and up."""
        held = {"key": key, "windowsVirtualKeyCode": code, "code": key, "modifiers": 8 if shift else 0}
        await self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **held)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **held)

    async def tab(self) -> str:
        """Tab once; what has the focus now, as tag#id and its text."""
        await self.press("Tab", 9)
        return str(await self.run(_FOCUSED))

    async def click(self, selector: str) -> None:
        """A mouse click in the middle of an element, as a person would."""
        at = await self.run(
            f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'center'}}); "
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)

    async def size(self, width: int, height: int, *, phone: bool = False) -> None:
        """The window; a phone has touch and two pixels a point."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone
        )

    async def colours(self, scheme: str) -> None:
        """What the device prefers: light or dark."""
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def shot(self, path: Path, *, whole: bool = False, height_max: int = 6_000) -> None:
        """A picture of the window, or of the whole page, as PNG."""
        more: dict[str, Any] = {}
        if whole:
            metrics = (await self.send("Page.getLayoutMetrics"))["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": metrics["width"], "height": min(metrics["height"], height_max), "scale": 1}
            more = {"captureBeyondViewport": True, "clip": clip}
        told = await self.send("Page.captureScreenshot", format="png", **more)
        path.write_bytes(base64.b64decode(told["data"]))


_FOCUSED = (
    "(() => { const e = document.activeElement; const id = e.id ? '#' + e.id : ''; "
    "return e.tagName.toLowerCase() + id + ' ' + (e.ariaLabel || e.innerText || e.name || ''); })()"
)


@asynccontextmanager
async def browsing(language: str = "en-US") -> AsyncIterator[Page]:
    """A tab of a browser of its own, which ends with it. Raises AssertionError where it does not start."""
    binary = chromium()
    assert binary is not None, "there is no chromium on PATH"
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [
                binary, "--headless=new", "--remote-debugging-port=0", f"--user-data-dir={folder}", "--no-first-run",
                "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
                "--disable-component-update", "--disable-sync", "--no-default-browser-check", "--hide-scrollbars",
                f"--lang={language}", f"--accept-lang={language}", "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            port, path = await _address(Path(folder) / "DevToolsActivePort", process)
            url = f"ws://127.0.0.1:{port}{path}"
            async with aiohttp.ClientSession() as http, http.ws_connect(url, max_msg_size=64 << 20) as socket:
                page = await _tab(socket)
                listening = asyncio.create_task(page.listen())
                try:
                    for domain in ("Page", "Network", "Log", "Runtime"):
                        await page.send(f"{domain}.enable")
                    yield page
                finally:
                    listening.cancel()
        finally:
            process.terminate()
            process.wait(timeout=START_S)


async def _address(file: Path, process: subprocess.Popen[bytes]) -> tuple[int, str]:
    deadline = time.monotonic() + START_S
    while True:
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) == 2:
            return int(lines[0]), lines[1]
        assert process.poll() is None, f"chromium ended with {process.returncode}"
        assert time.monotonic() < deadline, f"chromium did not start within {START_S:.0f} s"
        await asyncio.sleep(0.05)


async def _tab(socket: aiohttp.ClientWebSocketResponse) -> Page:
    async def ask(number: int, method: str, **parameters: Any) -> dict[str, Any]:
        await socket.send_json({"id": -number, "method": method, "params": parameters})
        while True:
            told = await socket.receive_json(timeout=START_S)
            if told.get("id") == -number:
                return told["result"]

    target = (await ask(1, "Target.createTarget", url="about:blank"))["targetId"]
    session = (await ask(2, "Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
    return Page(socket, session)
