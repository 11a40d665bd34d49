"""Dijkstra's search."""

import heapq


class NoWay(Exception):
    """There is no way between two places."""


def shortest_path(network, start, goal):
    """Return (cost, places) of the cheapest way from start to goal.

    Raises NoWay when the goal cannot be reached.
    """
    if start not in network or goal not in network:
        raise KeyError("unknown place")
    queue = [(0, start, [start])]
    done = set()
    while queue:
        cost, place, path = heapq.heappop(queue)
        if place == goal:
            return cost, path
        if place in done:
            continue
        done.add(place)
        for neighbour, length in network.neighbours(place):
            if neighbour not in done:
                heapq.heappush(queue, (cost + length, neighbour, path + [place]))
    raise NoWay(f"{start} to {goal}")


def reachable(network, start):
    """All places that can be reached, sorted."""
    seen = {start}
    waiting = [start]
    while waiting:
        for neighbour, _ in network.neighbours(waiting.pop()):
            if neighbour not in seen:
                seen.add(neighbour)
                waiting.append(neighbour)
    return sorted(seen)
