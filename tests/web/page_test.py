"""The browser's page as a person uses it: opened from a disk in a headless Chromium, clicked, zoomed, given files.

    page_test.py VITRINE VITRINE_VIEWER PAGE FOLDER [--measure RUN.h5]

Leaves 77 (skipped) where there is no Chromium or no page. FOLDER keeps the screenshots. With --measure it prints the sizes and times of
a recording instead.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
SKIPPED = 77
IDS = ",".join(str(i * i % 61) for i in range(40))


def skip(reason):
    print("skipped:", reason)
    sys.exit(SKIPPED)


def run(*command, page=None):
    environment = dict(os.environ, **({"VITRINE_WEB_PAGE": page} if page else {}))
    return subprocess.run([str(each) for each in command], capture_output=True, text=True, env=environment, check=False)


class PageTest(unittest.TestCase):
    vitrine = viewer = page = folder = None

    @classmethod
    def setUpClass(cls):
        model = os.path.join(HERE, "..", "golden", "llama", "model.gguf")
        cls.recording = os.path.join(cls.folder, "tiny.h5")
        if os.path.exists(cls.recording):
            os.remove(cls.recording)
        made = run(cls.vitrine, "record", model, "--ids", IDS, "-o", cls.recording)
        assert made.returncode == 0, made.stderr
        cls.pack, cls.embedded = os.path.join(cls.folder, "tiny.vpack"), os.path.join(cls.folder, "tiny.html")
        for target in (cls.pack, cls.embedded):
            packed = run(cls.viewer, cls.recording, "--pack", target, page=cls.page)
            assert packed.returncode == 0, packed.stderr
        cls.browser = Browser()

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()

    def setUp(self):
        self.browser.errors.clear()

    def tearDown(self):
        self.assertEqual(self.browser.errors, [])

    def state(self):
        return self.browser.evaluate("window.vitrine.state()")

    def middle(self, name):
        """Of a thing on the page, once it has its place: windows find theirs in some pictures."""
        place, before = self.state()["items"][name], None
        while place != before:
            time.sleep(0.3)
            place, before = self.state()["items"][name], place
        left, top, right, bottom = place
        return (left + right) / 2, (top + bottom) / 2

    def open_embedded(self, fragment=""):
        self.browser.open(self.embedded, fragment)
        self.browser.wait("window.vitrine && window.vitrine.state().complete")

    def test_opens_from_a_disk_and_draws(self):
        self.open_embedded()
        state = self.state()
        self.assertEqual(state["head"], "L0H0")
        self.assertGreater(state["queries"], 10)
        picture = os.path.join(self.folder, "page.png")
        self.browser.screenshot(picture)
        pixels = matplotlib.image.imread(picture)[..., :3]
        left, top, right, bottom = (int(each) for each in state["items"]["pack/seen"])
        colors = numpy.unique((pixels[top:bottom, left:right] * 255).round().astype(int).reshape(-1, 3), axis=0)
        self.assertGreater(len(colors), 20, "the map is not drawn")

    def test_a_click_on_a_thumbnail_chooses_its_head(self):
        self.open_embedded()
        self.browser.click(*self.middle("heads/1.2"))
        self.browser.wait("window.vitrine.state().head === 'L1H2'", 20)
        self.assertTrue(self.browser.evaluate("location.hash").endswith("L1H2"))

    def test_the_address_names_a_head(self):
        self.open_embedded("#L1H1")
        self.assertEqual(self.state()["head"], "L1H1")

    def test_map_and_tokens_answer_the_mouse(self):
        self.open_embedded()
        x, y = self.middle("pack/seen")
        self.browser.wheel(x, y, -300)
        self.browser.wait("window.vitrine.state().view.fitted === false", 20)
        self.browser.click(x, y)
        self.browser.wait("window.vitrine.state().query !== null", 20)
        self.browser.key("j")
        after = self.state()["query"]
        self.browser.click(*self.middle(f"pack/token/{after - 1}"))
        self.browser.wait(f"window.vitrine.state().query === {after - 1}", 20)

    def test_heads_are_sorted_by_a_score(self):
        self.open_embedded()
        self.browser.click(*self.middle("heads/sort"))
        self.browser.wait("'pack/sort/sink' in window.vitrine.state().items", 20)
        self.browser.click(*self.middle("pack/sort/sink"))
        self.browser.wait("window.vitrine.state().sort === 'sink'", 20)

    def test_a_file_is_chosen_and_a_broken_one_refused(self):
        self.browser.open(self.page)
        self.browser.wait("window.vitrine && !document.getElementById('ask').hidden")
        self.browser.choose_file("#file", self.pack)
        self.browser.wait("window.vitrine.state().complete")
        broken = os.path.join(self.folder, "broken.vpack")
        with open(broken, "wb") as file:
            file.write(b"VITRPACK\1\0\0\0\xff\xff\xff\x7f{}")
        self.browser.choose_file("#file", broken)
        self.browser.wait("document.getElementById('error').textContent.includes('cut off')", 20)
        self.assertEqual(self.state()["head"], "L0H0", "what was there before stays")

    def test_small_pixels_and_small_windows(self):
        for name, size in {"small-pixels": (1000, 700, 2), "telephone": (420, 860, 2)}.items():
            self.browser.resize(*size)
            self.open_embedded()
            self.assertAlmostEqual(self.state()["scale"], size[2])
            self.browser.click(*self.middle("heads/1.0"))
            self.browser.wait("window.vitrine.state().head === 'L1H0'", 20)
            self.browser.screenshot(os.path.join(self.folder, name + ".png"))
        self.browser.resize(1400, 900, 1)

    def test_fingers_choose_zoom_and_drag(self):
        self.browser.resize(420, 860, 2)
        self.browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
        self.open_embedded()
        self.browser.touch([self.middle("heads/1.1")])
        self.browser.wait("window.vitrine.state().head === 'L1H1'", 20)
        x, y = self.middle("pack/seen")
        self.browser.touch([(x - 20, y), (x + 20, y)], [(x - 50, y), (x + 50, y)], [(x - 80, y), (x + 80, y)])
        self.browser.wait("window.vitrine.state().view.pixels > 0", 20)
        before = self.state()["view"]
        self.browser.touch([(x, y)], [(x - 30, y - 30)], [(x - 60, y - 60)])
        self.browser.wait(f"window.vitrine.state().view.top > {before['top'] + 1}", 20)
        self.assertIsNone(self.state()["query"], "a drag is no click")
        self.browser.call("Emulation.setTouchEmulationEnabled", enabled=False)
        self.browser.resize(1400, 900, 1)

    def test_without_a_page_one_line_says_what_to_build(self):
        answer = run(self.viewer, self.recording, "--pack", os.path.join(self.folder, "none.html"), page=os.path.join(self.folder, "absent.html"))
        self.assertEqual(answer.returncode, 1)
        self.assertIn("scripts/build-web", answer.stderr)
        self.assertEqual(answer.stderr.count("\n"), 1)


def measure(recording):
    """Sizes of a page and a pack, time to the first whole picture, pictures a second."""
    result = {}
    for ending in ("vpack", "html"):
        file = os.path.join(PageTest.folder, "measured." + ending)
        start = time.monotonic()
        packed = run(PageTest.viewer, recording, "--pack", file, page=PageTest.page)
        assert packed.returncode == 0, packed.stderr
        result[ending] = {"bytes": os.path.getsize(file), "seconds to write": round(time.monotonic() - start, 2)}
    browser = Browser()
    try:
        start = time.monotonic()
        browser.open(file)
        browser.wait("window.vitrine && window.vitrine.state().frames > 0")
        result["seconds to first picture"] = round(time.monotonic() - start, 2)
        browser.wait("window.vitrine.state().complete")
        result["seconds to all thumbnails"] = round(time.monotonic() - start, 2)
        browser.evaluate("window.vitrine.drawAlways(true)")
        time.sleep(1)
        before, start = browser.evaluate("window.vitrine.state().frames"), time.monotonic()
        time.sleep(5)
        result["frames per second"] = round((browser.evaluate("window.vitrine.state().frames") - before) / (time.monotonic() - start), 1)
        browser.evaluate("window.vitrine.drawAlways(false)")
        browser.screenshot(os.path.join(PageTest.folder, "measured.png"))
        time.sleep(1)
        before = browser.evaluate("window.vitrine.state().frames")
        time.sleep(2)
        result["frames in 2 s without events"] = browser.evaluate("window.vitrine.state().frames") - before
    finally:
        browser.close()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    if len(sys.argv) not in (5, 7):
        sys.exit(__doc__)
    PageTest.vitrine, PageTest.viewer, PageTest.page, PageTest.folder = sys.argv[1:5]
    if not shutil.which("chromium"):
        skip("no chromium; scripts/test-web installs it")
    if not os.path.exists(PageTest.page):
        skip(f"no {PageTest.page}; scripts/build-web builds it")
    try:
        import matplotlib.image
        import numpy
        from browser import Browser
    except ImportError as missing:
        skip(f"{missing}; scripts/test-web installs it")
    os.makedirs(PageTest.folder, exist_ok=True)
    if len(sys.argv) == 7:
        measure(sys.argv[6])
    else:
        unittest.main(argv=sys.argv[:1], verbosity=2)
