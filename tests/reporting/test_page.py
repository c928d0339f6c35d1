"""The page in a browser: what is drawn, at the widths of a telephone and of a desk."""

import re

import pytest
from browser import browser

from dbshuf import api

HOSTILE = 'c<i>&"$x$ \u6587.txt'  # a name that HTML, matplotlib and its font would trip over

LOOK = """(() => {
  const all = (where, what) => [...where.querySelectorAll(what)];
  const box = (one) => one.getBoundingClientRect();
  const cells = (name) => all(document, `#figure-${name} tbody td`).map((td) => td.textContent);
  const bars = all(document, '#figure-shards svg path[style*="#3b7dd8"]');
  return {
    beyond: document.documentElement.scrollWidth - innerWidth,
    clipped: all(document, 'svg text').filter((one) => {
      const a = box(one), b = box(one.closest('figure'));
      return a.left < b.left || a.right > b.right || a.bottom > b.bottom;
    }).map((one) => one.textContent),
    smallest: Math.min(...all(document, 'svg text').map((one) => box(one).height)),
    columns: new Set(all(document, 'figure').map((one) => Math.round(box(one).left))).size,
    marks: Object.fromEntries(all(document, 'figure').map((one) =>
      [one.id.slice(7), all(one, 'svg [style*="#3b7dd8"]').length])),
    p: Object.fromEntries(all(document, '[data-p]').map((one) =>
      [one.id.slice(5), Number(one.dataset.p)])),
    verdict: document.querySelector('#verdict').className,
    text: document.body.textContent,
    strange: all(document, 'figure i, script, img, a[href], link[href^="http"]').length,
    shard_rows: cells('shards').filter((_, at) => at % 3 == 1),
    bar_heights: bars.map((one) => box(one).height),
    captions: all(document, 'figure').filter((one) =>
      one.querySelector('figcaption').textContent && one.querySelector('svg[role=img][aria-label]')
      && one.querySelectorAll('table td').length).length,
  };
})()"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What a browser says of the page of a good and of a bad output, by (page, width)."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "in").mkdir()
    for name, rows in (("a.txt", 3000), ("b.txt", 2000), (HOSTILE, 1000)):
        lines = (f"secret of {name} {row} {'x' * (row % 90)}\n" for row in range(rows))
        (folder / "in" / name).write_text("".join(lines))
    same = "".join(path.read_text() for path in sorted((folder / "in").iterdir()))
    (folder / "same.txt").write_text(same)
    api.shuffle([folder / "in"], folder / "out", seed="42", shards=4)
    found, results = {}, {}
    with browser(folder) as page:
        for output in ("out", "same.txt"):
            html = folder / f"{output}.html"
            results[output] = api.report(folder / output, html, inputs=[folder / "in"])
            for width in (400, 1400) if output == "out" else (400,):
                page.open(html, width)
                found[output, width] = page.read(LOOK)
        requests = page.requests
    return found, results, requests, folder


@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_is_readable_at_every_width(seen, width):
    """Nothing reaches beyond the window, no label is cut off, and letters have 9 pixels or more."""
    found = seen[0]["out", width]
    assert found["beyond"] <= 0
    assert found["clipped"] == []
    assert found["smallest"] >= 9
    assert found["columns"] == (1 if width == 400 else 3)


@pytest.mark.parametrize("width", [400, 1400])
def test_every_number_is_drawn(seen, width):
    """The cells, bars and points of the pictures are there, and as high as the numbers say."""
    found = seen[0]["out", width]
    assert found["marks"] == {
        "heat": 24 * 24,
        "sources": 3 * 20,
        "displacement": 30 + 1,  # one more stands in the legend
        "neighbours": 8 + 1,
        "runs": 10 + 1,
        "lengths": found["marks"]["lengths"],
        "shards": 4,
    }
    assert found["marks"]["lengths"] > 10
    rows = [int(text.replace(",", "")) for text in found["shard_rows"]]
    assert sum(rows) == 6000
    scale = found["bar_heights"][0] / rows[0]
    assert found["bar_heights"] == pytest.approx([scale * count for count in rows], rel=0.01)
    assert found["captions"] == len(found["marks"])  # words and a table beside every picture


def test_the_page_says_what_the_library_says(seen):
    found, results = seen[:2]
    for output, verdict in (("out", "verdict good"), ("same.txt", "verdict bad")):
        page, result = found[output, 400], results[output]
        assert page["p"] == pytest.approx(result.p_values)
        assert page["verdict"] == verdict
        assert len(page["p"]) == 5
    assert min(found["out", 400]["p"].values()) > 0.001
    assert max(found["same.txt", 400]["p"].values()) < 1e-100


def test_the_page_stands_alone_and_tells_no_row(seen):
    """No network, under 1 MB; names of files are text and no markup; rows are nobody's business."""
    found, results, requests, folder = seen
    assert {url.partition(":")[0] for url in requests} == {"file"}
    assert len(requests) == 3  # the pages themselves
    for output in ("out", "same.txt"):
        html = (folder / f"{output}.html").read_bytes()
        assert results[output].page_bytes == len(html) < 1_000_000
        assert not re.findall(rb'(?:src|href)="(?!#|data:)[^"]*"|url\((?!#)|@import', html)
        assert b"secret of" not in html
        page = found[output, 400]
        assert HOSTILE in page["text"]
        assert page["strange"] == 0
