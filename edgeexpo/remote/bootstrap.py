"""The first program that runs on another machine. It is sent as text, before anything else.

It also has to run on a Python that is too old for edgeexpo, so that it can say so. It receives
edgeexpo's runtime as a zip, keeps it in the user's cache folder there, and hands over to it.
"""

from typing import Any


def start() -> None:
    """Answer with one marked line, take the runtime if it is not cached, and serve."""
    import json
    import os
    import sys

    stdin: Any = getattr(sys.stdin, "buffer", sys.stdin)
    wanted = json.loads(stdin.readline().decode("ascii"))
    # Whatever a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def say(**facts: Any) -> None:
        facts["python"] = ".".join(str(n) for n in sys.version_info[:3])
        facts["executable"] = sys.executable
        line = "edgeexpo-remote " + json.dumps(facts) + "\n"
        answers.write(line.encode("ascii"))
        answers.flush()

    if list(sys.version_info[:2]) < wanted["python"]:
        say(error="old")
        return
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = os.path.join(base, "edgeexpo", "remote")
    try:
        code = os.path.join(folder, "code", wanted["sha256"])
        if os.path.isdir(code):
            say(need=False)
        else:
            os.makedirs(os.path.dirname(code), mode=0o700, exist_ok=True)
            say(need=True)
            take_code(stdin, wanted, code)
    except (OSError, ValueError) as error:
        say(error="disk", message=getattr(error, "strerror", None) or str(error))
        return
    # The home folder, in which ssh starts programs, may hold anything.
    sys.path[:] = [code] + [path for path in sys.path if path]
    from edgeexpo.remote.serving import serve

    say(ready=True)
    serve(stdin, answers, folder)


def take_code(stdin: Any, wanted: Any, code: str) -> None:
    """Read the zip and unpack it beside its place, into which it is then renamed."""
    import hashlib
    import io
    import os
    import shutil
    import tempfile
    import zipfile

    data = stdin.read(wanted["bytes"])
    if hashlib.sha256(data).hexdigest() != wanted["sha256"]:
        raise ValueError("the runtime arrived damaged")
    place = tempfile.mkdtemp(prefix=".partial-", dir=os.path.dirname(code))
    try:
        zipfile.ZipFile(io.BytesIO(data)).extractall(place)
        try:
            os.rename(place, code)
        except OSError:
            if not os.path.isdir(code):  # else another session was faster
                raise
    finally:
        shutil.rmtree(place, ignore_errors=True)
