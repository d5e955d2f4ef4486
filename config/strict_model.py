"""What all models of the definitions have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from config.value_types import error_detail


class StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def rules(cls, written: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
        """The violated rules about several keys: the key to point at (None for the whole), and the message."""
        return iter(())

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        """Validates, and adds violated rules to the errors of single keys."""
        details: list[InitErrorDetails] = []
        if isinstance(value, dict):
            written = {key: item for key, item in value.items() if item is not None}
            details.extend(
                error_detail("rule", message, () if key is None else (key,)) for key, message in cls.rules(written)
            )
        model = None
        try:
            model = handler(value)
        except ValidationError as error:
            details.extend(
                error_detail(found["type"], found["msg"], found["loc"], found.get("ctx"))
                for found in error.errors(include_url=False, include_input=False)
            )
        if details:
            raise ValidationError.from_exception_data(cls.__name__, details, hide_input=True)
        return model
