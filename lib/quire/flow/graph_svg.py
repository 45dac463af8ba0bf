"""The graph of a run as a picture: columns by depth, an arrow for every need."""

from html import escape

from quire.flow.graph import Graph

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 128, 36, 48, 16, 4


def draw(graph: Graph) -> str:
    """Return the graph as SVG text, in ``currentColor`` so that it suits light and dark pages."""
    places = _places(graph)
    width = _MARGIN * 2 + max(x for x, _ in places.values()) + _WIDTH
    height = _MARGIN * 2 + max(y for _, y in places.values()) + _HEIGHT
    arrows = [_arrow(places[need], places[task.name]) for task in graph.values() for need in _direct(graph, task.name)]
    boxes = [_box(name, *place) for name, place in places.items()]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-label="Which stage runs after which" fill="none" stroke="currentColor">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="currentColor" stroke="none"/></marker></defs>'
        f"{''.join(arrows)}{''.join(boxes)}</svg>"
    )


def _places(graph: Graph) -> dict[str, tuple[int, int]]:
    depths: dict[str, int] = {}
    for task in graph.values():
        depths[task.name] = 1 + max((depths[need] for need in task.needs), default=-1)
    places: dict[str, tuple[int, int]] = {}
    rows: dict[int, int] = {}
    for name, depth in depths.items():
        row = rows.get(depth, 0)
        rows[depth] = row + 1
        places[name] = (_MARGIN + depth * (_WIDTH + _GAP_X), _MARGIN + row * (_HEIGHT + _GAP_Y))
    return places


def _direct(graph: Graph, name: str) -> list[str]:
    """Return the needs of a task that none of its other needs implies."""
    from quire.flow.graph import above

    needs = graph[name].needs
    return [need for need in needs if not any(need in above(graph, other) for other in needs)]


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + _WIDTH, start[1] + _HEIGHT // 2
    x2, y2 = end[0] - 2, end[1] + _HEIGHT // 2
    bend = _GAP_X // 2
    return (
        f'<path d="M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}" stroke-width="1.2" marker-end="url(#tip)"/>'
    )


def _box(name: str, x: int, y: int) -> str:
    label = name if len(name) <= 16 else name[:15] + "…"
    return (
        f'<g><title>{escape(name)}</title><rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>'
        f'<text x="{x + _WIDTH // 2}" y="{y + _HEIGHT // 2 + 4}" text-anchor="middle" font-size="13" '
        f'font-family="inherit" fill="currentColor" stroke="none">{escape(label)}</text></g>'
    )
