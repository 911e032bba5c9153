"""Print the user data of a machine of cleansat.yaml, as EC2 gets it:

python deploy/aws/user_data.py ServerTemplate Bucket=masks Prefix=cleansat ... AWS::Region=eu-west-1
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).with_name("cleansat.yaml")


class _Loader(yaml.SafeLoader):
    """Reads what CloudFormation writes shorter, such as ``!Ref``, as the function with its argument."""


def _function(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    key = name if name in ("Ref", "Condition") else f"Fn::{name}"
    if isinstance(node, yaml.ScalarNode):
        return {key: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {key: loader.construct_sequence(node, deep=True)}
    raise yaml.YAMLError(f"!{name} of a mapping is not used here")


_Loader.add_multi_constructor("!", _function)  # type: ignore[no-untyped-call]


def read_template() -> dict[str, Any]:
    """Return the template, with functions in their long form."""
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text("utf-8"), _Loader)
    return found


def user_data(machine: str, values: dict[str, str]) -> str:
    """Return the user data of a launch template.

    Parameters
    ----------
    machine
        Name of the launch template.
    values
        What stands for ``${NAME}``. Parameters with a default may be left out.

    Raises
    ------
    KeyError
        If a value is missing.
    """
    template = read_template()
    parameters = template["Parameters"].items()
    known = {name: str(each["Default"]) for name, each in parameters if "Default" in each} | values
    data = template["Resources"][machine]["Properties"]["LaunchTemplateData"]["UserData"]
    text: str = data["Fn::Base64"]["Fn::Sub"]
    return re.sub(r"\$\{([\w:.]+)\}", lambda found: known[found[1]], text)


if __name__ == "__main__":
    pairs = dict(each.split("=", 1) for each in sys.argv[2:])
    print(user_data(sys.argv[1], pairs), end="")
