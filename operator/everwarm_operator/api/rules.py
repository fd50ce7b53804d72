"""What every part of a spec is made of: a pydantic base that refuses unknown keys, and CEL rules with their sentences.

The rules stand in the CustomResourceDefinition (`schema.py`) and are checked by the API server itself.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


def rule(expression: str, sentence: str, with_values: str | None = None) -> dict[str, str]:
    """One CEL rule; the sentence is all that the user sees when it is broken.

    Args:
        expression: true for a good value.
        sentence: what to do instead.
        with_values: a CEL expression that gives the sentence with the user's own text in it (of numbers the API server
            refuses it: it estimates their text as endless).
    """
    return {"rule": expression, "message": sentence} | ({"messageExpression": with_values} if with_values else {})


def rules(*of_them: dict[str, str]) -> dict[str, Any]:
    """CEL rules as a JSON schema extension."""
    return {"x-kubernetes-validations": list(of_them)}


class SpecPart(BaseModel):
    """Base of what users write: unknown keys are mistakes."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)
