import asyncio
import http.client
import io
import json
import re

import matplotlib
import numpy as np
import pytest
from conftest import PROJECT
from drawn_digits import SEVEN, TEN_DIGITS, get_page
from matplotlib.backend_bases import KeyEvent
from own_handwriting import Mouse
from PIL import Image

import recognize

matplotlib.use("agg")  # as if there were no display


def test_ten_digits_drawn_with_the_mouse(network):
    mouse = Mouse(network)
    for drawing in TEN_DIGITS:
        for stroke in drawing["strokes"]:
            mouse.draw(stroke)
        assert mouse.window.verdict.get_text().startswith(f"{drawing['digit']} (output ")
        assert max(bar.get_height() for bar in mouse.window.bars) > 0.5
        mouse.canvas.callbacks.process(
            "key_press_event", KeyEvent("key_press_event", mouse.canvas, "c")
        )
        assert mouse.window.verdict.get_text() == ""


def test_of_several_digits_the_window_shows_the_last(network, monkeypatch):
    predicted = [*get_page(3, 8), *get_page(1, 6)]
    monkeypatch.setattr(recognize, "predict", lambda network, picture: predicted)
    mouse = Mouse(network)
    mouse.draw(*SEVEN)
    last = predicted[1][1]
    heights = [bar.get_height() for bar in mouse.window.bars]
    assert heights == pytest.approx(last.outputs.tolist())
    assert np.array_equal(mouse.window.seen.get_array(), np.full((28, 28, 3), 51, np.uint8))
    assert mouse.window.verdict.get_text().startswith("3 8 / 1 6 (outputs 0.90 0.80 0.90 0.80)")


async def draw_in_browser(address):
    """Send and receive what matplotlib's page does, when a 7 is drawn there and cleared."""
    from tornado.websocket import websocket_connect

    connection = await websocket_connect(f"ws://{address}/1/ws")
    picture = Image.new("RGBA", (1100, 600), "white")

    async def send(kind, **values):
        await connection.write_message(json.dumps({"type": kind, **values}))

    async def wait_until(is_true):
        nonlocal picture
        while not is_true(np.asarray(picture.convert("L")).astype(int)):
            message = await asyncio.wait_for(connection.read_message(), timeout=60)
            if isinstance(message, bytes):  # what has changed; the rest is transparent
                frame = Image.open(io.BytesIO(message)).convert("RGBA")
                picture = Image.alpha_composite(picture, frame)
            elif json.loads(message)["type"] == "draw":
                await send("draw")
        return np.asarray(picture.convert("L")).astype(int)

    await send("supports_binary", value=True)
    await send("refresh")
    bars = np.s_[300:522, 583:1078]
    # The image that the network sees is black.
    empty = (await wait_until(lambda pixels: (pixels < 50).sum() > 5000))[bars]
    mouse = {"button": 0, "buttons": 1, "modifiers": []}
    for stroke in SEVEN:
        points = [{"x": 33 + 4.73 * x, "y": 30 + 4.8 * y, **mouse} for x, y in stroke]
        for kind, point in zip(["button_press", *["motion_notify"] * 9], points, strict=False):
            await send(kind, **point)
        await send("button_release", **points[-1])

    def is_bar_of_seven(pixels):
        # Half a 7 may be taken for another digit: what counts is the bar that is there in the end.
        changed = abs(pixels[bars] - empty) > 60
        if changed.sum() < 2000:
            return False
        return 0.65 < changed.any(axis=0).nonzero()[0].mean() / changed.shape[1] < 0.8

    await wait_until(is_bar_of_seven)
    await send("key_press", key="kc")  # as matplotlib's page spells it
    await wait_until(lambda pixels: (pixels[bars] == empty).all())
    connection.close()


def test_a_digit_is_drawn_in_a_browser_and_another_site_s_page_gets_no_answer(start):
    """By a WebSocket, which Tornado opens to the page's own origin only."""
    pytest.importorskip("tornado", reason="WebAgg needs tornado")
    server = start("-u", PROJECT / "recognize.py", "--browser", env={"MPLBACKEND": None})
    port = int(re.search(r"127\.0\.0\.1:(\d+)", server.stdout.readline())[1])

    def ask(path, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", path, headers=headers)
        status = connection.getresponse().status
        connection.close()
        return status

    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "AAAAAAAAAAAAAAAAAAAAAA=="
    for origin in (f"127.0.0.1:{port}", "evil.example", "localhost:3000", "127.0.0.1:3000"):
        status = 101 if origin.endswith(str(port)) else 403
        assert ask("/1/ws", Origin=f"http://{origin}", **upgrade) == status
    asyncio.run(draw_in_browser(f"127.0.0.1:{port}"))
