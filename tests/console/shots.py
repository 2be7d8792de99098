"""The pictures of docs/use/console.md, of a console that runs: `python -m tests.console.shots URL [--all FOLDER]`.

Without --all it writes docs/images/console-*.png; with it every page, wide and narrow, light and dark, to look at.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from urllib.parse import quote

from tests.console.browser import Page, browsing

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
WIDE, NARROW = (1280, 860), (390, 844)


def pages(customer: str) -> dict[str, str]:
    return {
        "today": "/", "risk": "/risk", "care": "/care", "tiers": "/tiers", "whatif": "/what-if",
        "customer": f"/customer?id={quote(customer)}", "stream": "/stream", "letters": "/dead-letters",
    }  # fmt: skip


async def ready(page: Page) -> None:
    """Until it shows figures, and what it fetches itself is there."""
    await page.until("!document.getElementById('waiting')", 60)
    await page.until("!document.querySelector('[data-load] .empty a, #scenarios .empty')")


async def first_customer(page: Page, base: str) -> str:
    await page.open(f"{base}/risk")
    await ready(page)
    return str(await page.run("document.querySelector('a.id').innerText"))


async def for_docs(base: str) -> None:
    IMAGES.mkdir(exist_ok=True)
    async with browsing() as page:
        await page.size(*WIDE)
        await page.colours("light")
        customer = await first_customer(page, base)
        for name, path in pages(customer).items():
            await page.open(base + path)
            await ready(page)
            if name in ("today", "care", "customer", "stream"):
                await page.shot(IMAGES / f"console-{name}.png", whole=name == "customer", height_max=1_500)
        await page.size(*NARROW, phone=True)
        await page.colours("dark")
        await page.open(base)
        await ready(page)
        await page.shot(IMAGES / "console-phone.png")
    for path in IMAGES.glob("console-*.png"):
        small(path)


def small(path: Path) -> None:
    """With as many colours as it needs: a third of the bytes."""
    from PIL import Image

    with Image.open(path) as picture:
        picture.convert("RGB").quantize(128).save(path, optimize=True)


async def for_eyes(base: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    async with browsing() as page:
        await page.size(*WIDE)
        customer = await first_customer(page, base)
        for size, wide in (("wide", True), ("narrow", False)):
            await page.size(*(WIDE if wide else NARROW), phone=not wide)
            for scheme in ("light", "dark"):
                await page.colours(scheme)
                for name, path in pages(customer).items():
                    await page.open(base + path)
                    await ready(page)
                    await page.shot(folder / f"{name}-{size}-{scheme}.png", whole=True, height_max=3_200)
        print("\n".join(page.errors) or "no error")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--all", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    base = args.url.rstrip("/")
    asyncio.run(for_docs(base) if args.all is None else for_eyes(base, args.all))


if __name__ == "__main__":
    main()
