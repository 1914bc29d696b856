"""What the doctor finds, in good installations and in poor ones."""

import json
import os
import socket
import subprocess
import sys

import pytest

from kit.notebook import doctor


def found(report, what):
    return next(finding for finding in report.findings if finding.what == what)


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path


def test_this_installation_is_sound(runtime):
    report = doctor.examine()
    assert report.healthy, repr(report)
    assert found(report, "packages").state == "good"
    assert all(line[:2] in ("ok", "--", "  ") for line in repr(report).splitlines())
    assert "<table" in report._repr_html_()


def test_what_is_missing_is_told_with_the_command(runtime, monkeypatch):
    looked = doctor.importlib.util.find_spec
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name == "ptars" else looked(name))
    finding = found(doctor.examine(), "extra [fast]")
    assert (finding.state, finding.found) == ("note", "without ptars")
    assert 'pip install "kit-notebook[fast]"' in finding.advice


def test_an_old_package_is_bad(runtime, monkeypatch):
    told = doctor.metadata.version
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "0.1" if name == "httpx" else told(name))
    report = doctor.examine()
    assert not report.healthy
    assert "httpx 0.1 (needs 0.28)" in found(report, "packages").found


def test_labs_left_by_a_crash_are_cleared_away(runtime):
    folder = runtime / "kit"
    folder.mkdir(mode=0o700)
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    stale = folder / f"lab-{child.pid}.json"
    stale.write_text(json.dumps({"pid": child.pid, "services": {}, "version": "0"}))
    report = doctor.examine()
    assert found(report, "labs left by a crash").found == "1 cleared away"
    assert not stale.exists()


def test_a_lab_that_hangs_is_told(runtime):
    folder = runtime / "kit"
    folder.mkdir(mode=0o700)
    with socket.create_server(("127.0.0.1", 0)) as server:
        control = f"http://127.0.0.1:{server.getsockname()[1]}"
        server.close()
        described = {"pid": os.getpid(), "services": {}, "version": "0", "control": control, "token": "t"}
        (folder / f"lab-{os.getpid()}.json").write_text(json.dumps(described))
        report = doctor.examine()
    assert not report.healthy
    assert f"kill {os.getpid()}" in found(report, "lab").advice


def test_certificates_that_are_not_there(runtime, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(runtime / "none.pem"))
    assert found(doctor.examine(), "SSL_CERT_FILE").state == "bad"


def test_a_look_that_fails_does_not_hide_the_others(runtime, monkeypatch):
    def broken():
        raise RuntimeError("no")
        yield

    monkeypatch.setattr(doctor, "_LOOKS", (broken, doctor._python))
    report = doctor.examine()
    assert [finding.what for finding in report.findings] == ["broken", "Python", "kit"]


def test_the_command(runtime):
    done = subprocess.run([sys.executable, "-m", "kit", "doctor"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok  Python" in done.stdout


def test_a_version_without_its_last_zero_is_the_same():
    assert doctor._numbers("3.0") == doctor._numbers("3.0.0") > doctor._numbers("2.9.9")
