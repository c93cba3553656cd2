"""Makes tests/data/efficientat_hear_configs.json: what the authors' HEAR modules of MobileNetV3 load and give.

    python -m support.make_configs FOLDER    (from the folder tests)

FOLDER has configs_HEAR.json (release 0.0.2), configs_HEAR_001.json (release 0.0.1) and pretrained_urls.json, written
when the original programs ran. Kept are the facts that our names are tested against, one configuration per line.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from support.paths import DATA

TARGET = DATA / "efficientat_hear_configs.json"


def configs(folder: Path) -> str:
    """The text of the file, from the folder with the originals."""
    newer, older = (
        [_config(entry) for entry in json.loads((folder / name).read_text())]
        for name in ("configs_HEAR.json", "configs_HEAR_001.json")
    )
    urls = json.loads((folder / "pretrained_urls.json").read_text())["mn"]
    base = {url.rpartition("/")[0] for url in urls.values()}
    assert len(base) == 1
    parts = {
        "base_url": json.dumps(base.pop()),
        "files": _block("{}", [f"{json.dumps(k)}: {json.dumps(v.rpartition('/')[2])}" for k, v in urls.items()]),
        "HEAR_002": _block("[]", [json.dumps(entry) for entry in newer]),
        "HEAR_001": _block("[]", [json.dumps(entry) for entry in older]),
    }
    return _block("{}", [f"{json.dumps(key)}: {value}" for key, value in parts.items()]) + "\n"


def _block(brackets: str, lines: list[str]) -> str:
    return brackets[0] + "\n" + ",\n".join(lines) + "\n" + brackets[1]


def _config(entry: dict[str, Any]) -> dict[str, Any]:
    """One configuration; what the original does not say, or what did not come about, is left out."""
    loaded = entry["load_model"]
    found: dict[str, Any] = {
        "module": entry["module"].removeprefix("hear_mn."),
        "checkpoint": loaded["model_name"],
        "mode": loaded["mode"],
        "add": [re.fullmatch("add_(.+)", key)[1] for key, on in loaded.items() if key.startswith("add_") and on],
        "se_layers": [int(n) for n in re.findall(r"\d+", entry["get_model_extra"].partition("collect_se_ids=")[2])],
        "pooling": loaded.get("feature_pooling_fn"),
        "hop": entry.get("hop"),
        "n_mels": entry.get("n_mels"),
        "window": entry.get("win"),
    }
    if "declared" in entry:
        scene, timestamps = entry["declared"]
        assert scene == timestamps
        # embeddings of two clips; one that is empty has a shape of [0]
        *clips, measured = entry["scene_shape"]
        assert (clips, measured) == ([], 0) or entry["ts_shape"][-1] == measured
        found |= {"declared": scene, "measured": measured}
    found |= {"ok": entry["ok"], "error": entry.get("error")}
    return {key: value for key, value in found.items() if value not in (None, [])}


if __name__ == "__main__":
    TARGET.write_text(configs(Path(sys.argv[1])))
