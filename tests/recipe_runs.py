"""Runs of the scripts of recipes in a folder, as a user runs them: programs of this Python, and stubs of SLURM."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from documentation import ROOT

_SRUN = """#!/usr/bin/env bash
"$@" &
"$@" && wait $!
"""
"""Runs a command twice at the same time, as on two machines."""


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of a process that finds the programs of this Python, and stubs of SLURM in `folder`."""
    stubs = folder / "stubs"
    if not stubs.exists():
        stubs.mkdir()
        for name, text in {"srun": _SRUN, "scontrol": "#!/usr/bin/env bash\necho localhost\n"}.items():
            (stubs / name).write_text(text)
            (stubs / name).chmod(0o755)
    path = f"{stubs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def run_script(
    script: str, arguments: Sequence[object], folder: Path, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `bash SCRIPT ARGUMENTS` in `folder`; `script` is a path in the repository."""
    command = ["bash", str(ROOT / script), *map(str, arguments)]
    full = environment(folder) | dict(variables or {})
    return subprocess.run(command, cwd=folder, env=full, capture_output=True, text=True)
