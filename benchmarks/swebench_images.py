"""Build local Docker images for SWE-bench instances, with the layout of the published ones.

    python benchmarks/swebench_images.py --rows rows.jsonl [INSTANCE...]
    python benchmarks/swebench_images.py --rows rows.jsonl --repository '/mirrors/{owner}+{name}/repo'

The tree of a row's base commit is in /testbed without its past, under an empty commit as in the published images. Its
Python environment is in /opt/miniconda3/envs/testbed: a plain venv, which `conda activate testbed` activates.
`swebench_pins.yaml` says what is installed. Prints one line per image; existing images are kept.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from envs.basetree import read_base_tree  # noqa: E402
from envs.errors import TaskError  # noqa: E402
from envs.swebench.rows import image_name, read_rows  # noqa: E402

ENV = "/opt/miniconda3/envs/testbed"
CONDA = f"""# Stands in for conda: this image has one environment, a venv, and no network.
export PIP_NO_INDEX=1 PIP_NO_DEPS=1 PIP_NO_BUILD_ISOLATION=0 PIP_DISABLE_PIP_VERSION_CHECK=1
conda() {{
    [ "${{1:-}}" = activate ] || return 0
    . {ENV}/bin/activate
    export CONDA_DEFAULT_ENV=testbed CONDA_PREFIX={ENV}
}}
"""
TOX = f"""#!/bin/sh
# Stands in for tox in its current environment: what an instance's evaluation script asks of it is to run these tests.
while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
shift
exec {ENV}/bin/python -m pytest -rA "$@"
"""
ENVIRONMENT = """FROM {base}
COPY files/ /opt/heats-build/
RUN {ca}mkdir -p /opt/miniconda3/bin /opt/miniconda3/etc/profile.d \\
 && cp /opt/heats-build/conda.sh /opt/miniconda3/bin/activate \\
 && mv /opt/heats-build/conda.sh /opt/miniconda3/etc/profile.d/conda.sh \\
 && echo '. /opt/miniconda3/etc/profile.d/conda.sh && conda activate testbed' >/root/.bashrc \\
 && python3 -m venv {env} \\
 && {env}/bin/pip install --no-cache-dir --disable-pip-version-check -q setuptools==68.0.0 wheel==0.45.1 \\
 && {env}/bin/pip install --no-cache-dir --disable-pip-version-check -q -r /opt/heats-build/requirements.txt \\
 && {{ [ -e {env}/bin/tox ] || install -m 755 /opt/heats-build/tox {env}/bin/tox; }} \\
 && rm -rf /opt/heats-build
WORKDIR /testbed
"""
INSTANCE = """FROM {environment}
COPY files/ /opt/heats-build/
RUN bash /opt/heats-build/put.sh && rm -rf /opt/heats-build
WORKDIR /testbed
"""
PUT = """set -e
mkdir -p /testbed && cd /testbed
git init -q --template= .
git symbolic-ref HEAD refs/heads/main
git config gc.auto 0
git index-pack --stdin </opt/heats-build/base.pack >/dev/null
echo {commit} >.git/shallow
git update-ref refs/heads/main {commit}
git reset -q --hard {commit}
. /root/.bashrc
{install}
# As in the published images: evaluation scripts print the last commit, which must not be the whole tree.
git -c user.name=SWE-bench -c user.email=setup@swebench.config commit -q --allow-empty -m SWE-bench
git status --porcelain
"""


def main() -> None:
    """Build what is missing; exit code 1 if an image could not be built."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instances", nargs="*", help="ids; all rows when none is named")
    parser.add_argument("--rows", required=True, help="data set: anything that heats reads SWE-bench rows from")
    parser.add_argument("--pins", type=Path, default=Path(__file__).with_name("swebench_pins.yaml"))
    parser.add_argument("--repository", action="append", default=[], metavar="[OWNER/NAME=]TEMPLATE",
                        help="directory or URL of the repositories (https://github.com/{owner}/{name})")  # fmt: skip
    parser.add_argument("--image-template", default="swebench/sweb.eval.x86_64.{instance_id}:latest")
    parser.add_argument("--base", default="heats-base:latest", help="image with Python 3.11, venv and git")
    parser.add_argument("--ca", type=Path, help="certificate bundle for pip, used while building only")
    parser.add_argument("--network", default="default", help="network of the builds, as docker build takes it")
    options = parser.parse_args()
    rows = [
        row for row in read_rows(options.rows).rows if not options.instances or row["instance_id"] in options.instances
    ]
    pins = yaml.safe_load(options.pins.read_text(encoding="utf-8"))
    failed = [row["instance_id"] for row in rows if not build(row, pins, options)]
    print(f"{len(rows) - len(failed)} of {len(rows)} images are there", *(["without:", *failed] if failed else []))
    sys.exit(bool(failed))


def build(row: Mapping[str, Any], pins: Mapping[str, Any], options: argparse.Namespace) -> bool:
    """Build one instance's image, and its environment unless another instance has it already.

    Args:
        row: the instance.
        pins: what to install, by repository and version.
        options: command-line options.

    Returns:
        False if it failed.
    """
    image = image_name(row, options.image_template)
    started = time.monotonic()
    if there(image):
        print(f"{row['instance_id']:32} {image} is there")
        return True
    recipe = pins.get(f"{row['repo']}@{row['version']}")
    if recipe is None:
        print(f"{row['instance_id']:32} no pins for {row['repo']}@{row['version']} in {options.pins}")
        return False
    try:
        tree = read_base_tree(repository(row["repo"], options.repository), row["base_commit"])
        environment = build_environment(recipe, options)
        put = PUT.format(commit=tree.commit, install=recipe["install"])
        docker_build(image, INSTANCE.format(environment=environment), {"base.pack": tree.pack, "put.sh": put}, "none")
    except (TaskError, subprocess.CalledProcessError) as error:
        print(f"{row['instance_id']:32} failed: {error} {getattr(error, 'stdout', '')}")
        return False
    print(f"{row['instance_id']:32} {image} built in {time.monotonic() - started:.0f} s", flush=True)
    return True


def build_environment(recipe: Mapping[str, Any], options: argparse.Namespace) -> str:
    """The image with the Python environment, named by a digest of its contents."""
    # Official evaluation scripts install the tree again, so their requirements are set here, too.
    exports = [f"export {word}\n" for word in recipe["install"].split("pip ")[0].split() if "=" in word]
    conda = "".join([CONDA, *exports])
    requirements = "\n".join([*recipe["packages"], ""])
    files: dict[str, bytes | str] = {"requirements.txt": requirements, "conda.sh": conda, "tox": TOX}
    ca = ""
    if options.ca:
        files["ca.pem"] = options.ca.read_bytes()
        ca = "export PIP_CERT=/opt/heats-build/ca.pem && "
    text = ENVIRONMENT.format(base=options.base, env=ENV, ca=ca)
    digest = hashlib.sha256(repr((text, requirements, conda, TOX)).encode()).hexdigest()[:16]
    image = f"heats-swebench-env:{digest}"
    if not there(image):
        docker_build(image, text, files, options.network)
    return image


def docker_build(image: str, dockerfile: str, files: Mapping[str, bytes | str], network: str) -> None:
    """Build from a context of a few files, without BuildKit.

    Args:
        image: name of the image.
        dockerfile: contents of the Dockerfile.
        files: contents of the files, by path.
        network: network of the build.
    """
    with tempfile.TemporaryDirectory(prefix="heats-image-") as name:
        folder = Path(name)
        (folder / "files").mkdir()
        (folder / "Dockerfile").write_text(dockerfile, encoding="utf-8")
        for path, data in files.items():
            (folder / "files" / path).write_bytes(data.encode() if isinstance(data, str) else data)
        command = ["docker", "build", "-q", "--network", network, "--tag", image, "--label", "heats.swebench=1", name]
        subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def repository(repo: str, given: list[str]) -> str:
    """Location of a repository: its own template, else the general one, else GitHub."""
    owner, _, name = repo.partition("/")
    general = [one for one in given if "=" not in one or one.partition("=")[0].count("/") != 1]
    own = [one.partition("=")[2] for one in given if one.startswith(f"{repo}=")]
    template = [*own, *general, "https://github.com/{owner}/{name}"][0]
    return template.format(owner=owner, name=name)


def there(image: str) -> bool:
    """Whether the daemon has the image."""
    return subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    main()
