"""`heats propose`: turn a run's verified patch into a branch and a pull request."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from heats.cli.options import spread
from heats.cli.session import note_faults, print_json, say
from heats.config import load_config
from heats.errors import UsageError
from heats.propose.config import ProposeConfig
from heats.propose.proposal import Proposal, check, is_bundle, read_bundle, read_run, write_bundle
from heats.propose.steps import ProposeOptions, ProposeResult
from heats.propose.steps import propose as carry_out
from heats.store.files import write_bytes
from heats.store.store import RunStore

COMMIT, PUBLISH, ALLOW, OUTPUT = "Commit", "Publish", "Allow", "Configuration and output"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProposeFlags:
    """Flags of `heats propose`. None keeps the configured value."""

    repo: Annotated[
        Path, typer.Option("--repo", help="Repository that the run started from.", rich_help_panel=COMMIT)
    ] = Path()
    task: Annotated[
        str | None,
        typer.Option("--task", "-i", help="Task to propose, if the run has several.", rich_help_panel=COMMIT),
    ] = None
    rollout: Annotated[
        str | None,
        typer.Option(
            "--rollout",
            help="Propose this candidate, such as heat-0/rollout-03, instead of the selected one.",
            rich_help_panel=COMMIT,
        ),
    ] = None
    branch: Annotated[
        str | None, typer.Option("--branch", "-b", help="Name of the new branch.", rich_help_panel=COMMIT)
    ] = None
    author: Annotated[
        str | None, typer.Option("--author", help="Author, as 'Name <email>'.", rich_help_panel=COMMIT)
    ] = None
    title: Annotated[
        str | None, typer.Option("--title", help="Commit subject and pull-request title.", rich_help_panel=COMMIT)
    ] = None
    message: Annotated[
        str | None, typer.Option("--message", help="Body of the commit message.", rich_help_panel=COMMIT)
    ] = None
    onto: Annotated[
        str | None,
        typer.Option(
            "--onto",
            help="Merge the patch onto this commit, such as HEAD, instead of the run's base.",
            rich_help_panel=COMMIT,
        ),
    ] = None
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing branch of this name.", rich_help_panel=COMMIT)
    ] = False
    push: Annotated[bool, typer.Option("--push", help="Push the branch.", rich_help_panel=PUBLISH)] = False
    remote: Annotated[str | None, typer.Option("--remote", help="Remote to push to.", rich_help_panel=PUBLISH)] = None
    pr: Annotated[
        bool,
        typer.Option("--pr", help="Push and open a GitHub pull request (needs GH_TOKEN).", rich_help_panel=PUBLISH),
    ] = False
    draft: Annotated[
        bool, typer.Option("--draft", help="Open the pull request as a draft.", rich_help_panel=PUBLISH)
    ] = False
    base_branch: Annotated[
        str | None, typer.Option("--base-branch", help="Branch that the pull request targets.", rich_help_panel=PUBLISH)
    ] = None
    github_repo: Annotated[
        str,
        typer.Option(
            "--github-repo",
            help="OWNER/NAME of the repository to open it in, if the remote is a fork.",
            rich_help_panel=PUBLISH,
        ),
    ] = ""
    api_url: Annotated[
        str | None,
        typer.Option(
            "--api-url", help="API address of GitHub Enterprise: https://HOST/api/v3.", rich_help_panel=PUBLISH
        ),
    ] = None
    allow_unverified: Annotated[
        bool,
        typer.Option(
            "--allow-unverified", "--unverified", help="Allow a patch that is not verified.", rich_help_panel=ALLOW
        ),
    ] = False
    allow_ci: Annotated[
        bool, typer.Option("--allow-ci", help="Allow changes to CI files and hooks.", rich_help_panel=ALLOW)
    ] = False
    allow_lock_files: Annotated[
        bool, typer.Option("--allow-lock-files", help="Allow changes to lock files.", rich_help_panel=ALLOW)
    ] = False
    allow_build: Annotated[
        bool,
        typer.Option("--allow-build", help="Allow changes to build files and test settings.", rich_help_panel=ALLOW),
    ] = False
    allow_path: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-path", help="Allow changes to files that match this pattern; repeatable.", rich_help_panel=ALLOW
        ),
    ] = None
    config: Annotated[
        list[str] | None,
        typer.Option("--config", "-c", help="YAML file, preset or key=value; repeatable.", rich_help_panel=OUTPUT),
    ] = None
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            help="Only write the patch and its facts to this directory, to propose them elsewhere.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    text: Annotated[
        Path | None, typer.Option("--text", help="Write the pull-request text to this file.", rich_help_panel=OUTPUT)
    ] = None
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Run all checks and change nothing.", rich_help_panel=OUTPUT)
    ] = False
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as one JSON object.", rich_help_panel=OUTPUT)
    ] = False

    def settings(self) -> ProposeConfig:
        """The configuration's `propose` section, overridden by these flags.

        Raises:
            UsageError
        """
        section = load_config(self.config or ()).propose
        given: dict[str, Any] = {
            "branch": self.branch,
            "author": self.author,
            "title": self.title,
            "message": self.message,
            "remote": self.remote,
            "base_branch": self.base_branch,
            "api_url": self.api_url,
            "draft": self.draft or None,
            "allow_ci": self.allow_ci or None,
            "allow_lock_files": self.allow_lock_files or None,
            "allow_build": self.allow_build or None,
            "allow_paths": (*section.allow_paths, *self.allow_path) if self.allow_path else None,
        }
        values = section.model_dump() | {name: value for name, value in given.items() if value is not None}
        try:
            return ProposeConfig.model_validate(values)
        except ValidationError as error:
            raise UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


@spread
def propose(
    *,
    run: Annotated[Path, typer.Argument(help="Run directory, or bundle.", show_default=False)],
    options: ProposeFlags,
) -> None:
    """Commit a run's verified patch to a new branch; optionally push it and open a pull request.

    Work trees, index and HEAD are left alone. Exit code 4: the patch is refused; the message says what would allow it.
    """
    config = options.settings()
    bundled = is_bundle(run)
    if not bundled:
        note_faults(run)
    proposal, patch = read_bundle(run) if bundled else read_run(RunStore(run), options.task, options.rollout)
    if options.bundle is not None:
        check(patch)
        write_bundle(options.bundle, proposal, patch)
        _tell_bundle(proposal, options)
        return
    wish = ProposeOptions(
        repository=options.repo,
        config=config,
        onto=options.onto,
        force=options.force,
        push=options.push,
        pr=options.pr,
        github_repo=options.github_repo,
        allow_unverified=options.allow_unverified,
        dry_run=options.dry_run,
    )
    made = carry_out(proposal, patch, wish)
    path = options.text or (None if bundled or options.dry_run else run / "pull-request.md")
    if path is not None:
        write_bytes(path, made.text.encode(), mode=0o644)
    for note in made.notes:
        say(f"note: {note}")
    _tell(proposal, made, path, options)


def _tell_bundle(proposal: Proposal, options: ProposeFlags) -> None:
    if options.json:
        print_json(
            {
                "bundle": str(options.bundle),
                "verified": proposal.verified,
                "passes": proposal.passes,
                "patch_sha256": proposal.patch_sha256,
            }
        )
    else:
        typer.echo(f"bundle   {options.bundle}")


def _tell(proposal: Proposal, made: ProposeResult, path: Path | None, options: ProposeFlags) -> None:
    pull = made.pull_request
    if options.json:
        print_json(
            {
                "dry_run": options.dry_run,
                "branch": made.branch,
                "commit": made.commit.id,
                "parent": made.commit.parent,
                "base_commit": proposal.base_commit,
                "files": [change.path.decode("utf-8", "replace") for change in made.commit.changes],
                "verified": proposal.verified,
                "passes": proposal.passes,
                "draft": made.draft,
                "signs_of_tampering": list(made.signs),
                "reused": made.reused,
                "pushed": made.pushed or None,
                "pull_request": dataclasses.asdict(pull) if pull else None,
                "title": made.title,
                "text": made.text,
                "text_path": str(path) if path else None,
                "notes": list(made.notes),
            }
        )
        return
    would = "would be " if options.dry_run else ""
    state = "already existed" if made.reused else f"{would}made"
    typer.echo(f"branch   {made.branch} {state}: commit {made.commit.id[:12]} on {made.commit.parent[:12]}")
    if made.pushed:
        typer.echo(f"pushed   {made.pushed}")
    if pull is not None:
        typer.echo(f"pull     {pull.url}{'' if pull.created else ' (already open)'}")
    if path is not None:
        typer.echo(f"text     {path}")
    elif options.dry_run:
        typer.echo(f"\n{made.text}", nl=False)
