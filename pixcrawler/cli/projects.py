"""`pixcrawler projects …`"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from pixcrawler.cli.access import AsJson, Most, User, query_for
from pixcrawler.cli.display import in_json, shown, tell
from pixcrawler.db import projects as stored
from pixcrawler.db.projects import Project
from pixcrawler.errors import UsageError
from pixcrawler.owners import projects

app = typer.Typer(name="projects", help="What jobs are kept in.", no_args_is_help=True)

ProjectId = Annotated[int, typer.Argument(metavar="ID", min=1, max=2**31 - 1, help="The project's number.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A name for people.")]


@app.command(name="list")
def list_(most: Most = 100, user: User = None, as_json: AsJson = False) -> None:
    """List projects, the newest first."""
    rows = query_for(user, lambda connection, owner: stored.page(connection, owner, None, most))
    columns = ("project", "name", "status", "created", "description")
    tell(rows[:most], *columns, as_json=as_json, row=lambda p: (p.id, p.name, p.status, p.created_at, p.description))


@app.command()
def create(
    name: Name,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Make a project."""
    wanted = projects.checked_name(name)
    about = None if description is None else projects.checked_description(description)
    made = query_for(user, lambda connection, owner: projects.create(connection, owner, wanted, about))
    _tell(
        made, f"project {made.id} is there; fill it with: pixcrawler jobs create --project {made.id} …", as_json=as_json
    )


@app.command()
def rename(project: ProjectId, name: Name, user: User = None, as_json: AsJson = False) -> None:
    """Give a project another name."""
    _change(project, user, as_json=as_json, name=projects.checked_name(name))


@app.command()
def describe(
    project: ProjectId,
    description: Annotated[str, typer.Argument(metavar="TEXT", help="What it is for.")],
    user: User = None,
    as_json: AsJson = False,
) -> None:
    """Say what a project is for."""
    _change(project, user, as_json=as_json, description=projects.checked_description(description))


@app.command()
def archive(project: ProjectId, user: User = None, as_json: AsJson = False) -> None:
    """Put a project into the archive."""
    _change(project, user, as_json=as_json, status="archived")


@app.command()
def restore(project: ProjectId, user: User = None, as_json: AsJson = False) -> None:
    """Take a project out of the archive."""
    _change(project, user, as_json=as_json, status="active")


@app.command()
def delete(project: ProjectId, user: User = None, as_json: AsJson = False) -> None:
    """Take a project, with its jobs, out of sight; refused while jobs of it are unfinished."""
    if not query_for(user, lambda connection, owner: projects.delete(connection, project, owner)):
        raise _none(project)
    typer.echo(json.dumps({"id": project}) if as_json else f"project {project} is deleted")


def _change(project: int, user: str | None, *, as_json: bool, **changes: Any) -> None:
    found = query_for(user, lambda connection, owner: projects.change(connection, project, owner, **changes))
    if found is None:
        raise _none(project)
    _tell(found, f"project {project}: {shown(found.name)!r}, {found.status}", as_json=as_json)


def _tell(project: Project, line: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(asdict(project), default=in_json, indent=2) if as_json else line)


def _none(project: int) -> UsageError:
    return UsageError(f"there is no project {project}; see: pixcrawler projects list")
