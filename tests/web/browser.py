"""A headless Chromium driven over its DevTools protocol: what a test needs of it, and no more."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request

import websocket  # Debian: python3-websocket


class Browser:
    """One page. `errors` holds what its scripts complained about."""

    def __init__(self, width=1400, height=900, scale=1):
        program = shutil.which("chromium")
        self.folder = tempfile.mkdtemp(prefix="vitrine-web-")
        flags = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
                 "--remote-debugging-port=0", "--remote-allow-origins=*", "--no-first-run", "--disable-background-networking",
                 f"--user-data-dir={self.folder}", f"--window-size={width},{height}", "about:blank"]
        self.process = subprocess.Popen([program, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.errors, self.events, self.number = [], [], 0
        try:
            port = self._port()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=60) as answer:
                pages = json.load(answer)
            page = next(each for each in pages if each["type"] == "page")
            self.socket = websocket.create_connection(page["webSocketDebuggerUrl"], timeout=120)
            for domain in ("Page", "Runtime", "Log", "DOM"):
                self.call(domain + ".enable")
            self.resize(width, height, scale)
        except BaseException:
            self.close()
            raise

    def _port(self):
        file = os.path.join(self.folder, "DevToolsActivePort")
        for _ in range(600):
            if os.path.exists(file):
                with open(file) as lines:
                    port = lines.readline().strip()
                if port:
                    return port
            if self.process.poll() is not None:
                raise RuntimeError("chromium ended by itself")
            time.sleep(0.1)
        raise RuntimeError("chromium does not answer")

    def call(self, method, **parameters):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            self._note(message)

    def _note(self, message):
        if message.get("method") == "Runtime.exceptionThrown":
            details = message["params"]["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.errors.append(message["params"]["entry"]["text"])

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"].get("exception", {}).get("description", "an exception"))
        return result["result"].get("value")

    def wait(self, expression, seconds=60):
        """Until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.evaluate(f"!!({expression})"):
                return
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds} s: {expression}")

    def resize(self, width, height, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def open(self, path, fragment=""):
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url="file://" + os.path.abspath(path) + fragment)

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)
        time.sleep(0.12)  # some pictures: the program sees an event when it draws the next one

    def click(self, x, y):
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        self.mouse("mouseReleased", x, y, button="left", clickCount=1)

    def wheel(self, x, y, down):
        self.mouse("mouseMoved", x, y)
        self.mouse("mouseWheel", x, y, deltaX=0, deltaY=down)

    def touch(self, *frames):
        """Fingers on the glass, picture by picture: each a list of (x, y); they are lifted at the end."""
        kind = "touchStart"
        for fingers in frames:
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(fingers)])
            kind = "touchMove"
            time.sleep(0.25)
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        time.sleep(0.25)

    def key(self, letter):
        code = "Key" + letter.upper()
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=letter, code=code, windowsVirtualKeyCode=ord(letter.upper()), nativeVirtualKeyCode=ord(letter.upper()))
            time.sleep(0.12)

    def choose_file(self, selector, path):
        """As a person would in the dialog of a file field."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[os.path.abspath(path)])

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        if hasattr(self, "socket"):
            try:
                self.call("Browser.close")
            except Exception:
                pass
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
