"""``--features``: words that are given apart from the configuration's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from pyarrow import parquet

from hear_edgel3.cli import main
from support.types import Captured


@pytest.fixture
def clip(here: Path) -> Path:
    path = here / "in" / "a.wav"
    path.parent.mkdir()
    soundfile.write(path, 0.1 * np.random.RandomState(0).randn(16000), 16000)
    return path


def test_it_embeds_and_extracts_what_a_name_with_words_does(clip: Path) -> None:
    assert main(["embed", str(clip), "--config", "tiny", "--features", "b5, b11", "--output", "apart"]) == 0
    assert main(["embed", str(clip), "--config", "tiny_b5_b11", "--output", "together"]) == 0
    apart, together = (np.load(next(Path(folder).glob("*.npz"))) for folder in ("apart", "together"))
    np.testing.assert_array_equal(apart["embedding"], together["embedding"])
    assert str(apart["configuration"]) == str(together["configuration"]) == "tiny_b5_b11"
    assert main(["embed", str(clip), "--features", "logits", "--output", "built_in"]) == 0
    assert np.load(next(Path("built_in").glob("*.npz")))["embedding"].shape[1] == 527
    assert main(["extract", "in", "--features", "logits", "--output", "rows", "--workers", "1"]) == 0
    (part,) = Path("rows").glob("*.parquet")
    assert len(parquet.read_table(part)["embedding"][0].as_py()) == 527


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "image_effnet_lite0", "--features", "block99"], "'block99' is no feature of image_effnet_lite0"),
        (["--config", "image_effnet_lite0_head", "--features", "block5"], "names features already"),
        (["--config", "tiny", "--features", "viridis"], "do not fit tiny: 'viridis' is no feature"),
        (["--config", "sea_64", "--features", "b5"], "do not fit sea_64"),
        (["--config", "tiny", "--features", ""], "features must be a list of words"),
        (["--config", "./in", "--features", "b5"], "in"),
        (["--model-type", "sea", "--features", "b5"], "not for the old flags"),
    ],
)
def test_words_that_make_no_sense(options: list[str], message: str, clip: Path, capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        raise SystemExit(main(["embed", str(clip), "--output", "out", *options]))
    assert caught.value.code not in (0, None)
    assert message in capsys.readouterr().err
    assert not Path("out").exists()
