"""The routes of requests: a literal segment comes before {param} before {proxy+}, then the method before ANY."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from local.stack import DeployedRoute


@dataclass(slots=True)
class ResourceNode:
    """One node in the tree of resources, with the nodes below it."""

    literals: dict[str, "ResourceNode"] = field(default_factory=dict)
    parameter: "tuple[str, ResourceNode] | None" = None
    greedy: "tuple[str, ResourceNode] | None" = None
    methods: dict[str, DeployedRoute] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """The resource of a path: its methods, and the path's parameters as sent (percent-encoded)."""

    methods: dict[str, DeployedRoute]
    parameters: dict[str, str]

    def find_route(self, method: str) -> DeployedRoute | None:
        """Return the route of a method, or of ANY; None if there is neither."""
        return self.methods.get(method) or self.methods.get("ANY")


class Router:
    """All resources of the API."""

    def __init__(self, routes: list[DeployedRoute]) -> None:
        self._root = ResourceNode()
        for route in routes:
            self._place(route.resource).methods[route.method] = route

    def match(self, path: str) -> RouteMatch | None:
        """Return the resource of a path below the stage, None if there is none. Ignore a trailing slash."""
        segments = path.strip("/").split("/") if path.strip("/") else []
        return next(_find_matches(self._root, segments, {}), None)

    def _place(self, resource: str) -> ResourceNode:
        node = self._root
        for segment in filter(None, resource.split("/")):
            node = _find_child(node, segment)
        return node


def _find_child(node: ResourceNode, segment: str) -> ResourceNode:
    if segment.endswith("+}"):
        node.greedy = node.greedy or (segment[1:-2], ResourceNode())
        return node.greedy[1]
    if segment.startswith("{"):
        node.parameter = node.parameter or (segment[1:-1], ResourceNode())
        return node.parameter[1]
    return node.literals.setdefault(segment, ResourceNode())


def _find_matches(node: ResourceNode, segments: list[str], parameters: dict[str, str]) -> Iterator[RouteMatch]:
    """Yield all matches, the most specific first."""
    if not segments:
        if node.methods:
            yield RouteMatch(node.methods, parameters)
        return
    head, rest = segments[0], segments[1:]
    if head in node.literals:
        yield from _find_matches(node.literals[head], rest, parameters)
    if node.parameter and head:
        name, child = node.parameter
        yield from _find_matches(child, rest, {**parameters, name: head})
    if node.greedy:
        name, child = node.greedy
        yield RouteMatch(child.methods, {**parameters, name: "/".join(segments)})
