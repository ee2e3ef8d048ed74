"""Executes the cells of the notebooks in examples/, as they are committed: without outputs. VITRINE_FIGURES names a folder for their pictures."""
import json
import os
import pathlib
import sys
import unittest

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
FIGURES = os.environ.get("VITRINE_FIGURES")


class Notebooks(unittest.TestCase):
    def test_every_notebook(self):
        try:
            import matplotlib
            import pandas  # noqa: F401
        except ImportError as missing:
            self.skipTest(str(missing))
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        sys.path.insert(0, str(EXAMPLES))
        notebooks = sorted(EXAMPLES.glob("*.ipynb"))
        self.assertGreaterEqual(len(notebooks), 3)
        for path in notebooks:
            with self.subTest(path.stem):
                scope = {"__name__": "__main__"}
                cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
                for i, cell in enumerate(cells):
                    self.assertEqual((cell["outputs"], cell["execution_count"]), ([], None), "outputs are not committed")
                    exec(compile("".join(cell["source"]), f"{path.name}, code cell {i}", "exec"), scope)
                figures = [plt.figure(number) for number in plt.get_fignums()]
                self.assertTrue(figures, "no picture")
                for i, figure in enumerate(figures):
                    if FIGURES:
                        figure.savefig(pathlib.Path(FIGURES) / f"{path.stem}_{i}.png", dpi=90)
                    else:
                        figure.canvas.draw()
                plt.close("all")


if __name__ == "__main__":
    unittest.main()
