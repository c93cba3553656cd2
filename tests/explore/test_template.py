"""The page's template: nothing can break out of it, and its colours can be told apart."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from hear_edgel3.explore.build import explore
from hear_edgel3.explore.page import as_json
from support.pages import PAGE, contents_of, write_dataset

# --- safety ---


def test_data_cannot_end_its_element_or_look_like_the_template() -> None:
    names = ["a</script><b>.wav", "<!--<script>.wav", "{{scripts}}.wav", "{{data}}.wav", "&amp;\u2028.wav"]
    explore(write_dataset(names), "page.html", title="{{blocks}} {{style}} </title>", tags=False)
    text = Path("page.html").read_text("utf-8")
    assert contents_of("page.html")["names"] == ["script><b>.wav", *names[1:]]
    assert contents_of("page.html")["title"] == "{{blocks}} {{style}} </title>"
    assert "<title>{{blocks}} {{style}} &lt;/title&gt;</title>" in text
    assert text.count("</script>") == text.count("<script")


def test_json_has_no_markup() -> None:
    hostile = {"x": "</script><!-- & \ud800"}
    text = as_json(hostile)
    assert not set("<>&") & set(text)
    assert json.loads(text) == hostile


def test_the_page_names_no_place_in_the_network() -> None:
    explore(write_dataset(["a.wav"]), "page.html", tags=False)
    text = Path("page.html").read_text("utf-8")
    assert not re.findall(r"https?://|@import|url\(", text)
    assert "default-src 'none'" in text


# --- colours ---


def luminance(colour: str) -> float:
    """WCAG's relative luminance of ``#rrggbb``."""
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def nearest_colours(palette: list[str]) -> float:
    """The least distance of two colours in Oklab (0.02 is just seen), without and with missing red or green cones.

    The two matrices are those of Machado et al. 2009 for protanopia and deuteranopia.
    """
    value = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in palette]) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    sights = [
        np.eye(3),
        np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
        np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]),
    ]
    to_cones = np.array(
        [[0.41222147, 0.53633254, 0.05144599], [0.2119035, 0.68069955, 0.10739696], [0.08830246, 0.28171884, 0.6299787]]
    )
    to_lab = np.array(
        [
            [0.21045426, 0.79361779, -0.00407205],
            [1.9779985, -2.42859221, 0.45059371],
            [0.02590404, 0.78277177, -0.80867577],
        ]
    )
    least = np.inf
    for sight in sights:
        lab = np.cbrt(np.clip(linear @ sight.T, 0, 1) @ to_cones.T) @ to_lab.T
        apart = np.linalg.norm(lab[:, None] - lab, axis=2) + np.eye(len(palette))
        least = min(least, float(apart.min()))
    return least


@pytest.mark.parametrize(("theme", "start"), [("light", ":root {"), ("dark", ':root[data-theme="dark"] {')])
def test_text_and_dots_stand_out(theme: str, start: str) -> None:
    style = (PAGE / "page.css").read_text().split(start)[1].split("}")[0]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", style))
    for ground in ("ground", "surface", "wash"):
        for ink in ("text", "muted", "note"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    assert contrast(colours["text"], colours["bar"]) >= 4.5
    assert contrast(colours["accent"], colours["ground"]) >= 3
    script = (PAGE / "colours.js").read_text()
    grounds, palettes = (script.split(f"const {name} = ")[1].split("};")[0] for name in ("GROUNDS", "PALETTES"))
    ground = re.findall(rf'{theme}: "(#\w+)"', grounds)[0]
    assert ground == colours["ground"]
    palette = re.findall(r"#\w{6}", palettes.split(f"{theme}: [")[1].split("]")[0])
    assert len(set(palette)) == 10
    assert min(contrast(colour, ground) for colour in palette) >= 3
    assert nearest_colours(palette) >= 0.07
