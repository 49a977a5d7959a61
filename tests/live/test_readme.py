"""The commands that the README tells to paste do what it says."""

import re
import subprocess
from pathlib import Path


def test_the_flow_works_when_pasted(service):
    """All its blocks, one after the other in one shell, against the running service."""
    blocks = re.findall(r"```bash\n(.*?)```", Path("README.md").read_text(encoding="utf-8"), re.DOTALL)
    script = "\n".join(blocks).replace("http://localhost:8000", service.url)
    ran = subprocess.run(["bash", "-eu", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert '"platform": "Discord Android"' in ran.stdout
    assert '"platform": "Firefox"' in ran.stdout
    assert re.findall(r"^HTTP/1.1 (\d+)", ran.stdout, re.MULTILINE) == ["401", "204", "401"]
    assert '"code":60003' in ran.stdout
    assert '"deviceName": "Firefox on Linux"' in ran.stdout
    assert '{"message":"Session renamed."}\n{"message":"Session revoked."}\n{"error":"401: Unauthorized"}' in ran.stdout
    assert '{"message":"All other sessions have been revoked."}' in ran.stdout
    assert '"explanation": "You signed it out from Firefox on Linux"' in ran.stdout
    assert ran.stdout.endswith("204\n")
