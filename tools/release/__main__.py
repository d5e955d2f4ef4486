"""`python -m tools.release`: what docs/releasing.md and the release workflow run. Only `site` and
`try` need more than Python."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tools.release.files import name_image, notes, problems, with_release, write_version
from tools.release.site import build_site
from tools.release.trial import try_wheel

ROOT = Path(__file__).resolve().parents[2]
CHANGELOG = ROOT / "CHANGELOG.md"


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the exit code."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "prepare":
            changelog = with_release(CHANGELOG.read_text(encoding="utf-8"), given.version)
            write_version(given.version, ROOT)
            CHANGELOG.write_text(changelog, encoding="utf-8")
        elif given.command == "check":
            wrong = problems(given.tag, ROOT)
            print("\n".join(wrong) or f"{given.tag} can be released")
            return bool(wrong)
        elif given.command == "notes":
            print(
                notes(
                    CHANGELOG.read_text(encoding="utf-8"), given.tag.removeprefix("v"), given.url
                ),
                end="",
            )
        elif given.command == "chart":
            name_image(ROOT / "deploy" / "helm" / "values.yaml", given.image)
        elif given.command == "try":
            return int(not try_wheel(given.wheel, lambda text: print(text, flush=True)))
        else:
            build_site(ROOT, given.folder, given.tag)
    except (ValueError, KeyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:  # the program has said what is wrong
        return error.returncode
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.release", description="What a release needs."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser(
        "prepare", help="write the version everywhere, the changelog included"
    )
    prepare.add_argument("version", help="such as 1.2.3")
    check = commands.add_parser("check", help="whether the files fit the tag")
    check.add_argument("tag", help="such as v1.2.3")
    cut = commands.add_parser("notes", help="print the changelog's section")
    cut.add_argument("tag")
    cut.add_argument("--url", required=True, help="where the repository's files are, for links")
    chart = commands.add_parser("chart", help="write the image into the chart's values")
    chart.add_argument("image", help="REPOSITORY@sha256:…")
    trial = commands.add_parser(
        "try", help="install a wheel by pip, pipx and uvx on each supported Python, and run it"
    )
    trial.add_argument("wheel", type=Path)
    site = commands.add_parser("site", help="build the documentation site")
    site.add_argument("folder", type=Path)
    site.add_argument("--tag", help="also into a folder of this name")
    return parser


if __name__ == "__main__":
    sys.exit(main())
