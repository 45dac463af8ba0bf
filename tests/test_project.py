"""What a clone and a built wheel hold: the package, one lock in two sizes, no secret and no machine's path."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def tracked():
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout: clone the repository to run this test")
    return [ROOT / line for line in done.stdout.splitlines()]


def pins(name):
    text = (ROOT / name).read_text("utf-8")
    return set(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;]+)", text, re.MULTILINE))


def names(lock):
    return {name for name, _ in pins(lock)}


def test_the_wheel_holds_the_package(tmp_path):
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    held = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    package = [path for path in tracked() if path.is_relative_to(ROOT / "lib") and path.is_file()]
    assert len(package) > 50
    assert {str(path.relative_to(ROOT / "lib")) for path in package} <= held


def test_the_big_lock_has_the_versions_of_the_small_one():
    assert pins("requirements.lock") <= pins("requirements-dev.lock")


def test_every_dependency_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    small = {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in project["dependencies"]}
    assert small <= names("requirements.lock")
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    assert {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in extras} <= names("requirements-dev.lock")


def test_the_packages_that_users_count_on_are_there():
    wanted = "jupyterlab papermill nbconvert scikit-learn pandas mlflow whylogs seaborn boto3 voila nbmake pytest"
    assert set(wanted.split()) <= names("requirements.lock")


def test_the_conda_environment_takes_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    assert pip == ["--require-hashes -r requirements.lock"]


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_names_no_index_and_hashes_everything(name):
    text = (ROOT / name).read_text("utf-8")
    assert "://" not in text
    assert "--index-url" not in text
    entries = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_layout_is_whole():
    for name in ("notebooks", "lib", "params", "outputs", "dashboards", "infra", ".github/workflows"):
        assert (ROOT / name).is_dir(), name
    for name in (
        "Dockerfile",
        "environment.yml",
        "README.md",
        "LICENSE",
        "CONTRIBUTING.md",
        "Makefile",
        "compose.yaml",
    ):
        assert (ROOT / name).is_file(), name


def test_no_file_holds_a_secret_or_a_machine_path():
    secret = re.compile(
        r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|/root/|/home/\w+/|/work/\w+/|pypi\.org/simple|xox[bp]-"
    )
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked()
        if path != Path(__file__) and path.is_file() and path.suffix != ".lock"
        for match in [secret.search(path.read_text("utf-8", errors="ignore"))]
        if match
    ]
    assert found == []


def test_the_package_is_not_ignored_by_git():
    tracked()
    done = subprocess.run(["git", "check-ignore", "lib/quire/data/anything.py"], cwd=ROOT, capture_output=True)
    assert done.returncode == 1
