"""The words of ssh, and the command that reaches another machine."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from edgeexpo.remote.address import Address
from edgeexpo.remote.transport import SshTransport

CHANGED = [
    "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r",
    "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r",
    "IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r",
    "Host key for camera has changed and you have requested strict checking.\r",
    "Host key verification failed.\r",
]


def transport(text="ssh://pi@camera:2222"):
    return SshTransport(Address.parse(text))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["Host key verification failed.\r"], "not known to ssh: Host key verification failed."),
        (CHANGED, "Host key for camera has changed and you have requested strict checking."),
        (["pi@camera: Permission denied (publickey,password)."], "ssh-copy-id"),
        (["ssh: connect to host camera port 22: Connection refused"], "Connection refused"),
        (["ssh: Could not resolve hostname camera: Name or service not known"], "not resolve"),
        ([], "without a word"),
    ],
)
def test_refusals_keep_the_words_of_ssh_in_one_line(said, words):
    line = transport().refusal(said, 255)
    assert words in line
    assert line.startswith("ssh://pi@camera:2222")
    assert "\n" not in line
    assert "\r" not in line


def test_a_program_that_is_no_python_is_not_blamed_on_ssh():
    line = transport("ssh://pi@camera/bin/true").refusal([], 0)
    assert "/bin/true" in line
    assert "expected a Python" in line


def test_nothing_in_the_command_lets_ssh_ask_or_trust():
    words = transport().command()
    assert "BatchMode=yes" in words
    assert not [w for w in words if "StrictHostKeyChecking" in w or "UserKnownHosts" in w]
    assert words[words.index("--") + 1] == "camera"
    assert words[words.index("-p") + 1] == "2222"


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_there_says_that_there_is_no_python(shell):
    command = transport("ssh://camera/no/python").command()[-1]
    ended = subprocess.run([shell, "-c", command], capture_output=True, text=True, check=True)
    assert ended.stdout == 'edgeexpo-remote {"error": "python"}\n'


def test_the_own_environment_of_an_installation_is_preferred(tmp_path):
    python = tmp_path / "edgeexpo" / "remote" / "python" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho own "$1"\n')
    python.chmod(0o755)
    command = transport().command()[-1]
    ended = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        check=True,
        env={"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": "/"},
    )
    assert ended.stdout == "own -c\n"


def test_a_path_below_the_home_folder_is_found(tmp_path):
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho home\n")
    python.chmod(0o755)
    command = transport("ssh://camera/~/venv/bin/python").command()[-1]
    assert "'" not in shlex.split(command)[-1]
    ended = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        check=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert ended.stdout == "home\n"
