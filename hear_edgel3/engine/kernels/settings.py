"""What suits a machine: the sizes and the threshold that a net's layers are compiled with.

``hear-edgel3 tune`` measures them and keeps them in the folder of the compiled kernels.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import llvmlite.binding

from hear_edgel3.compiled.jit import kernels_folder, many_registers, native_lanes
from hear_edgel3.disk.atomic import atomic_write, make_folder
from hear_edgel3.disk.jsons import json_text
from hear_edgel3.engine.kernels.shape import LayerShape
from hear_edgel3.engine.kernels.winograd import GROUP

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What suits a machine.

    Attributes:
        columns: of the tiles of direct layers, which have 2 rows; the one that fits a map best is taken.
        kilobytes: of the patches of input channels that are kept at once, for layers of a density below `sparse` and
            for others. The first level of the cache would be fastest; but the more channels, the fewer times sums have
            to be put away and fetched, which counts where each has few weights.
        sparse: that density.
        dense: the density above which Winograd's algorithm is faster.
        winograd: outputs and tiles at once in registers.
    """

    columns: tuple[int, ...]
    kilobytes: tuple[int, int]
    sparse: float
    dense: float
    winograd: tuple[int, int]

    @classmethod
    def usual(cls) -> Settings:
        """As measured with AVX-512 on a Zen 4; with half the registers tiles are smaller."""
        if many_registers():
            return cls((10, 6), (80, 34), 0.1, 0.2, (16, 1))
        return cls((6,), (80, 34), 0.1, 0.25, (4, 3))

    @classmethod
    def here(cls) -> Settings:
        """What ``hear-edgel3 tune`` found for this machine, else the usual."""
        path = settings_file()
        try:
            content = json.loads(path.read_bytes())["settings"]
            found = cls(
                tuple(int(n) for n in content["columns"]),
                (int(content["kilobytes"][0]), int(content["kilobytes"][1])),
                float(content["sparse"]),
                float(content["dense"]),
                (int(content["winograd"][0]), int(content["winograd"][1])),
            )
            found._check()
        except OSError:
            return cls.usual()
        except (ValueError, KeyError, TypeError, IndexError) as error:
            _log.warning("%s is ignored, it is damaged (%s); `hear-edgel3 tune` writes it again", path, error)
            return cls.usual()
        return found

    def _check(self) -> None:
        """Raises ValueError if kernels cannot be compiled for them."""
        even = all(2 <= c <= 64 and c % 2 == 0 for c in self.columns)
        outputs, tiles = self.winograd
        few = 1 <= tiles <= 16 and outputs >= 1 and GROUP % outputs == 0
        if not (self.columns and even and few and min(self.kilobytes) >= 1 and max(self.kilobytes) <= 1 << 16):
            raise ValueError(f"no such settings: {self}")

    def keep(self) -> Path:
        """Writes them to where :meth:`here` looks.

        Raises:
            OutputError: they cannot be written.
        """
        path = settings_file()
        make_folder(path.parent)
        with atomic_write(path) as file:
            file.write(json_text({"settings": asdict(self), "machine": _machine()}, indent=1).encode())
        return path

    def tile(self, shape: LayerShape, density: float) -> tuple[int, int, int]:
        """Rows and columns of a direct layer's tiles, and channels per block."""
        columns = min(self.columns, key=lambda c: -(-shape.width_out // c) * c)
        patch = 4 * (columns + 2) * shape.lanes * 4
        return 2, columns, max(1, 1024 * self.kilobytes[density >= self.sparse] // patch)


def _machine() -> str:
    return f"{llvmlite.binding.get_host_cpu_name()}, {native_lanes()} lanes"


def settings_file() -> Path:
    """Where the settings of this kind of machine are kept; a home folder may serve several kinds."""
    return kernels_folder() / f"settings-{hashlib.sha256(_machine().encode()).hexdigest()[:16]}.json"
