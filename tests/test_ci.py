"""What .ci/run does before the tests: it fetches a browser where there is none, and goes on where
it cannot."""

import os
import shutil
import subprocess

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize(
    "tools, status, done",
    [
        (("apt-get",), 0, ["update -q", "install -qy --no-install-recommends chromium", "test"]),
        (("apt-get",), 100, ["update -q", "install -qy --no-install-recommends chromium", "test"]),
        (("apt-get", "chromium"), 0, ["test"]),
        (("apt-get", "google-chrome"), 0, ["test"]),
        ((), 0, ["test"]),
    ],
)
def test_a_browser_is_installed_where_there_is_none_and_its_lack_stops_nothing(
    tmp_path, tools, status, done
):
    """A PATH of stand-ins that write down what they are asked; `status` is apt-get's."""
    for tool in ("bash", "dirname", "env", "id", "timeout"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    for tool, gives in [("make", 3), ("sudo", 0), *((tool, status) for tool in tools)]:
        passes_on = (
            'shift; exec "$@"' if tool == "sudo" else f'echo "$*" >> "{tmp_path}/log"; exit {gives}'
        )
        (tmp_path / tool).write_text(f"#!{shutil.which('bash')}\n{passes_on}\n")
        (tmp_path / tool).chmod(0o755)
    ran = subprocess.run(
        [ROOT / ".ci/run"],
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        timeout=60,
    )
    assert ran.returncode == 3, ran.stderr  # make's own
    assert (tmp_path / "log").read_text().splitlines() == done
