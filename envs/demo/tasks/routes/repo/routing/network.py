"""Roads between places, with their lengths."""


class Network:
    def __init__(self):
        self._roads = {}

    def add_place(self, name):
        self._roads.setdefault(name, {})

    def add_road(self, start, end, length, one_way=False):
        if length < 0:
            raise ValueError("a road cannot be shorter than nothing")
        self.add_place(start)
        self.add_place(end)
        self._roads[start][end] = length
        if not one_way:
            self._roads[end][start] = length

    def __contains__(self, name):
        return name in self._roads

    def neighbours(self, name):
        return sorted(self._roads[name].items())
