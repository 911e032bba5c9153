"""Type a line that serves until Ctrl-C, wait until its address answers, and press Ctrl-C.

    python tests/until_ready.py 'make app'

The first address of this machine that it prints is asked. Exits with 0 if the program was ready and ended well.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

READY_S = 180
END_S = 30
ADDRESS = re.compile(r"http://(?:127\.0\.0\.1|localhost):\d+[^\s'\";,]*")


def answers(address: str) -> bool:
    """Tell whether somebody answers there, if only to ask who it is."""
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status == 200
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)
    except OSError:
        return False


def main(line: str) -> int:
    """Return 0 if the line served and ended."""
    process = subprocess.Popen(
        ["bash", "-c", line], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    said: list[str] = []

    def listen() -> None:
        for each in process.stdout or ():
            said.append(each)
            print(each, end="", flush=True)

    threading.Thread(target=listen, daemon=True).start()
    end = time.monotonic() + READY_S
    ready = False
    while not ready and process.poll() is None and time.monotonic() < end:
        time.sleep(0.2)
        ready = any(answers(address) for address in ADDRESS.findall("".join(said))[:1])
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    try:
        code = process.wait(END_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        print(f"{line}: goes on after Ctrl-C")
        return 1
    if not ready:
        print(f"{line}: never answered")
    # By Ctrl-C programs end as they like; make says that it was interrupted.
    return 0 if ready and code in (0, 1, 2, 130, -signal.SIGINT) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
