"""What a replica costs, as people say it: a number of dollars, a Fargate task, or a part of an EC2 instance.

0.05              USD for one replica and hour
fargate:1x2       a task of 1 vCPU and 2 GB
g5.xlarge         a node of its own, for example for its only GPU
m5.xlarge/4       a quarter of a node
"""

import math
import re
from dataclasses import dataclass

import typer

from everwarm_planner.cost import servers
from everwarm_planner.cost.prices import US_EAST_1
from everwarm_planner.cost.servers import Nodes, Task

DEFAULT = "fargate:1x2"
_LISTED = f"list price of {US_EAST_1.as_of}, {US_EAST_1.region}"
_TASK = re.compile(r"fargate:(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)", re.ASCII)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_NODE = re.compile(r"([a-z][a-z0-9-]*\.[a-z0-9-]+)(?:/(\d+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Price:
    """Of one replica, starting or ready.

    Attributes:
        usd_per_hour: the price.
        what: where it is from, for a person.
    """

    usd_per_hour: float
    what: str = "as given"

    def __str__(self) -> str:
        return f"${self.usd_per_hour:.4g} an hour ({self.what})"


def price(text: str | float) -> Price:
    """Read a price.

    Raises:
        BadParameter: it is none; the text says what one looks like.
    """
    word = str(text).strip()
    try:
        if (task := _TASK.fullmatch(word)) is not None:
            size = Task(float(task[1]), float(task[2]))
            what = f"Fargate, {task[1]} vCPU and {task[2]} GB, {_LISTED}"
            return Price(servers.replica_usd_per_hour(US_EAST_1, size), what)
        if (node := _NODE.fullmatch(word)) is not None:
            share = Nodes(node[1], int(node[2] or 1))
            part = "a node" if share.replicas_per_node == 1 else f"1/{share.replicas_per_node} of a node"
            return Price(servers.replica_usd_per_hour(US_EAST_1, share), f"{part} {share.kind}, {_LISTED}")
        usd = float(word) if _NUMBER.fullmatch(word) else math.nan
        if not 0 <= usd < math.inf:
            raise ValueError("no number that is 0 or more")
    except ValueError as error:
        examples = "USD per hour (0.05), fargate:1x2, g5.xlarge or m5.xlarge/4"
        raise typer.BadParameter(f"{text!r} is no price of a replica ({error}); write {examples}") from error
    return Price(usd)
