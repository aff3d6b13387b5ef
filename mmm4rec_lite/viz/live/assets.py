"""Pages made of the modules in this folder: one HTML file each, whose policy forbids every request."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from mmm4rec_lite.utils.files import atomic
from mmm4rec_lite.utils.typing import Tensor

_IMPORT = re.compile(r'^import \{.*?\} from "\./\w+\.js";\n', re.MULTILINE | re.DOTALL)
_EXPORT = re.compile(r"^export (?=(?:const|let|function|class|async) )", re.MULTILINE)
ICON = '<link rel="icon" href="data:,">'


def read(name: str) -> str:
    """The text of a file in this folder."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def bundle(names: Sequence[str]) -> str:
    """Several modules as one, each before those that import it; no two declare the same name."""
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", read(f"{name}.js"))) for name in names)


def write_page(path: Path, body: str, styles: Sequence[str], modules: Sequence[str], data: Any) -> Path:
    """Write a page, whole or not at all: a body (HTML that we wrote ourselves), style sheets, modules, and the data,
    as JSON in which no title can end the script. Only this very script and style may run, and nothing may be loaded.
    """
    style, script = "\n".join(read(f"{name}.css") for name in styles), bundle(modules)
    told = lambda text: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{told(style)}'; script-src 'sha256-{told(script)}'"
    policy += "; base-uri 'none'; form-action 'none'"
    filled = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n{ICON}\n<style>{style}</style>',
        f'{body}\n<script type="application/json" id="data">{filled}</script>',
        f'<script type="module">{script}</script>\n</body></html>\n',
    ]
    with atomic(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")
    return path


def packed(tensor: Tensor) -> dict[str, Any]:
    """A tensor as shape and base64 of little-endian float32."""
    values = tensor.detach().cpu().numpy().astype(np.dtype("<f4"))
    return dict(shape=list(values.shape), data=base64.b64encode(values.tobytes()).decode())
