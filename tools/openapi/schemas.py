"""The schemas of the API's description, made from the models of the operations."""

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from shared.api.operation import NoInput, Operation
from shared.api.problems import Problem
from tools.openapi.enums import build_enum_schema, find_name

REF = "#/components/schemas/{model}"
JSON = dict[str, Any]


class PlainJsonSchema(GenerateJsonSchema):
    """Pydantic's schemas without what says nothing: titles that repeat a field's name, and null as a default."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """Return False: a title that is the field's name in capitals names nothing."""
        return False

    def normalize_name(self, name: str) -> str:
        """Return the name of a component: a page of records, `Page[ClaimView]`, is a `ClaimViewPage`."""
        return super().normalize_name(re.sub(r"^Page\[(\w+)\]$", r"\1Page", name))

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Return the schema of a field with a default. Null only stands for "omitted": clients must not send it."""
        described = super().default_schema(schema)
        if "default" in described and described["default"] is None:
            del described["default"]
        return described


class SchemaRegistry:
    """The schemas of all models of some operations, as components that refer to each other."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        listed = list(operations)
        inputs = {o.input for o in listed if o.is_write and o.input is not NoInput}
        views = {o.answer for o in listed if o.answer is not None} | {Problem}
        asked: list[Any] = [(model, "validation") for model in sorted(inputs, key=_get_model_name)]
        asked += [(model, "serialization") for model in sorted(views, key=_get_model_name)]
        found, top = models_json_schema(asked, ref_template=REF, schema_generator=PlainJsonSchema)
        self._references: Mapping[Any, JSON] = {model: schema for (model, _), schema in found.items()}
        self._enums: set[str] = set()
        self._models: JSON = {name: self._name_enums(schema) for name, schema in top.get("$defs", {}).items()}
        for model in views:
            self._models[self.refer_to(model)["$ref"].rpartition("/")[2]].setdefault(
                "description", read_docstring(model)
            )

    @property
    def components(self) -> JSON:
        """Return every component by its name: the models, and the enums that were used so far."""
        named = {**self._models, **{name: build_enum_schema(name) for name in self._enums}}
        return dict(sorted(named.items()))

    def refer_to(self, model: type[BaseModel]) -> JSON:
        """Return the reference to a model's component."""
        return self._references[model]

    def list_query_fields(self, model: type[BaseModel]) -> Mapping[str, JSON]:
        """Return the schema of each field of a query, without null: a parameter is given or omitted."""
        properties = model.model_json_schema(ref_template=REF, schema_generator=PlainJsonSchema).get("properties", {})
        return {name: self._name_enums(_remove_null(schema)) for name, schema in properties.items()}

    def _name_enums(self, schema: Any) -> Any:
        """Return a schema in which each enum is a reference to its component; what stands beside it stays."""
        if isinstance(schema, list):
            return [self._name_enums(each) for each in schema]
        if not isinstance(schema, dict):
            return schema
        if "enum" not in schema:
            return {key: self._name_enums(value) for key, value in schema.items()}
        name = find_name(schema["enum"])
        self._enums.add(name)
        return {"$ref": REF.format(model=name), **{k: v for k, v in schema.items() if k not in ("enum", "type")}}


def read_docstring(model: type[BaseModel]) -> str:
    """Return what a model's docstring says; that of a page of certain records is the docstring of every page."""
    origin = model.__pydantic_generic_metadata__["origin"]
    return inspect.cleandoc((origin or model).__doc__ or "")


def _get_model_name(model: type[BaseModel]) -> str:
    return model.__name__


def _remove_null(schema: Mapping[str, Any]) -> JSON:
    plain = {key: value for key, value in schema.items() if key != "anyOf"}
    for choice in schema.get("anyOf", ()):
        plain = plain if choice == {"type": "null"} else {**choice, **plain}
    return plain
