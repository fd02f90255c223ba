"""Which route a request takes: a literal segment before {param} before {proxy+}, then the method before ANY."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from local.stack import Route


@dataclass(slots=True)
class Node:
    """One place in the tree of resources, and what lies below it."""

    literals: dict[str, "Node"] = field(default_factory=dict)
    parameter: "tuple[str, Node] | None" = None
    greedy: "tuple[str, Node] | None" = None
    methods: dict[str, Route] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Match:
    """A resource that a path leads to: its methods, and the path's parameters as sent (percent-encoded)."""

    methods: dict[str, Route]
    parameters: dict[str, str]

    def route(self, method: str) -> Route | None:
        """The route of a method, or of ANY."""
        return self.methods.get(method) or self.methods.get("ANY")


class Router:
    """All resources of the API."""

    def __init__(self, routes: list[Route]) -> None:
        self._root = Node()
        for route in routes:
            self._place(route.resource).methods[route.method] = route

    def match(self, path: str) -> Match | None:
        """The resource of a path below the stage, None where there is none. A trailing slash makes no difference."""
        segments = path.strip("/").split("/") if path.strip("/") else []
        return next(_walk(self._root, segments, {}), None)

    def _place(self, resource: str) -> Node:
        node = self._root
        for segment in filter(None, resource.split("/")):
            node = _child(node, segment)
        return node


def _child(node: Node, segment: str) -> Node:
    if segment.endswith("+}"):
        node.greedy = node.greedy or (segment[1:-2], Node())
        return node.greedy[1]
    if segment.startswith("{"):
        node.parameter = node.parameter or (segment[1:-1], Node())
        return node.parameter[1]
    return node.literals.setdefault(segment, Node())


def _walk(node: Node, segments: list[str], parameters: dict[str, str]) -> Iterator[Match]:
    """All matches, the most specific first."""
    if not segments:
        if node.methods:
            yield Match(node.methods, parameters)
        return
    head, rest = segments[0], segments[1:]
    if head in node.literals:
        yield from _walk(node.literals[head], rest, parameters)
    if node.parameter and head:
        name, child = node.parameter
        yield from _walk(child, rest, {**parameters, name: head})
    if node.greedy:
        name, child = node.greedy
        yield Match(child.methods, {**parameters, name: "/".join(segments)})
