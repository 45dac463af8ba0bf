"""How long a viewer of the dashboard waits, in Chromium, on the latest run of a use case.

    python benchmarks/dashboard.py [PARAMS] [--rounds N] [--screenshots FOLDER]

Prints medians: the live page until every chart is drawn, those under the menus included; ten viewers of it at once;
and the first full paint of the latest page while 99 other clients load it again and again, with the memory of the
server. Needs a run (`quire run`), Chromium (`apt-get install chromium`) and playwright (`make setup`).
"""

import argparse
import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, async_playwright

CHROMIUM = "/usr/bin/chromium"
PLOTS = ".quire-plot svg, .quire-plot img"
UNDER_MENUS = ".jupyter-widgets .quire-plot svg"
DRAWN = (
    f"document.querySelectorAll('{UNDER_MENUS}').length >= 2 && document.querySelectorAll('{PLOTS}').length > "
    f"document.querySelectorAll('{UNDER_MENUS}').length"
)
"""On the live page the charts under the menus come last."""


@contextlib.contextmanager
def dashboard(params: str) -> Iterator[tuple[str, int]]:
    """Start `quire dashboard` as people do; yields its address and its process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "quire", "dashboard", params, f"--port={port}"])
    address = f"http://127.0.0.1:{port}/"
    try:
        _wait_for(address + "health")
        yield address, process.pid
    finally:
        process.terminate()
        process.wait(20)


def _wait_for(address: str) -> None:
    for _ in range(600):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(address, timeout=60).status_code == 200:
                return
        time.sleep(0.1)
    raise TimeoutError(f"{address} does not answer.")


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process without its children, in megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def view(browser: Browser, address: str, until: str = "", picture: Path | None = None) -> dict[str, float]:
    """Open ``address`` in a fresh profile; return seconds until ``drawn``, and what the browser says of its paints."""
    context = await browser.new_context(viewport={"width": 1200, "height": 900})
    page: Any = await context.new_page()
    try:
        start = time.perf_counter()
        await page.goto(address, wait_until="commit", timeout=120_000)
        if until:
            await page.wait_for_function(until, timeout=120_000)
        else:
            await page.wait_for_load_state("load")
        drawn = time.perf_counter() - start
        paints = await page.evaluate(
            "new Promise(done => new PerformanceObserver(list => done(list.getEntries().at(-1).startTime))"
            ".observe({type: 'largest-contentful-paint', buffered: true}))"
        )
        if picture:
            await page.screenshot(path=picture)
        return {"drawn": drawn, "painted": paints / 1000}
    finally:
        await context.close()


async def crowd(address: str, clients: int, seconds: float) -> int:
    """Load ``address`` with so many clients, each again as soon as it was answered; return how many pages they got."""
    until = time.perf_counter() + seconds

    async def one(client: httpx.AsyncClient) -> int:
        got = 0
        while time.perf_counter() < until:
            got += (await client.get(address)).status_code == 200
        return got

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:
        return sum(await asyncio.gather(*(one(client) for _ in range(clients))))


async def measure(params: str, rounds: int, pause: float, folder: Path | None) -> None:
    """Measure and print."""
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        with dashboard(params) as (address, pid):
            await asyncio.sleep(pause)  # until kernels are preheated
            live = []
            for number in range(rounds):
                live.append(await view(browser, f"{address}live/", DRAWN, _picture(folder, f"live-{number}")))
                await asyncio.sleep(pause)
            drawn = [one["drawn"] for one in live]
            print(f"live page, preheated: all charts drawn after {statistics.median(drawn):.2f} s "
                  f"(median of {rounds}; {min(drawn):.2f} to {max(drawn):.2f})")  # fmt: skip
            ten = await asyncio.gather(*(view(browser, f"{address}live/", DRAWN) for _ in range(10)))
            drawn = [one["drawn"] for one in ten]
            print(f"live page, ten at once: {statistics.median(drawn):.1f} s (median), the last {max(drawn):.1f} s")
            await asyncio.sleep(pause)
            await alone_in_a_crowd(browser, address, pid, rounds, folder)
        await browser.close()


async def alone_in_a_crowd(browser: Browser, address: str, pid: int, rounds: int, folder: Path | None) -> None:
    """Print when the latest page is painted while 99 others load it."""
    quiet = [await view(browser, address) for _ in range(rounds)]
    # In a process of their own: on the loop that drives the browser they would slow it, not the server.
    script = [sys.executable, __file__, "--crowd", address, "--seconds", str(3 + 2 * rounds)]
    others = subprocess.Popen(script, stdout=subprocess.PIPE, text=True)
    await asyncio.sleep(2)
    seen = []
    for number in range(rounds):
        seen.append(await view(browser, address, picture=_picture(folder, f"latest-{number}")))
        await asyncio.sleep(0.2)
    pages = int(others.communicate()[0])
    for name, found in (("alone", quiet), ("while 99 others load it", seen)):
        painted = [one["painted"] for one in found]
        print(f"latest page, {name}: painted in full after {statistics.median(painted):.2f} s "
              f"(median of {rounds}; at most {max(painted):.2f})")  # fmt: skip
    print(f"the others got {pages:,} pages; the server holds {memory_mb(pid):.0f} MB")


def _picture(folder: Path | None, name: str) -> Path | None:
    return folder / f"{name}.png" if folder else None


def main() -> None:
    """Read the command line, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("params", nargs="?", default="demo")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pause", type=float, default=12.0, help="seconds between views of the live page")
    parser.add_argument("--screenshots", type=Path)
    parser.add_argument("--crowd", metavar="ADDRESS", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=10.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.crowd:
        print(asyncio.run(crowd(options.crowd, 99, options.seconds)))
        return
    asyncio.run(measure(options.params, options.rounds, options.pause, options.screenshots))


if __name__ == "__main__":
    main()
