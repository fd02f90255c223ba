"""What a newcomer reads first."""

from collections.abc import Mapping

from tools.openapi.story.operation_example import OperationExample

EXAMPLES: Mapping[str, OperationExample] = {
    "documentation.read_description": OperationExample(
        answer={"openapi": "3.1.0", "info": {"title": "Interdomestik API", "version": "2.0.0"}, "paths": {}}
    ),
    "documentation.read_page": OperationExample(answer='<!doctype html>\n<html lang="en">…</html>\n'),
}
