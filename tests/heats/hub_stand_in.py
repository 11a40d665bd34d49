"""A stand-in of the Hub's interface for data sets: revisions, listings, files, and the Hub's refusals."""

import asyncio
import hashlib
from collections import Counter
from contextlib import contextmanager
from threading import Thread

from aiohttp import web


def commit_of(files):
    """The commit that a version of the files gets."""
    parts = (f"{name}\0".encode() + data for name, data in sorted(files.items()))
    return hashlib.sha1(b"\0".join(parts)).hexdigest()


class StandIn:
    """Data sets by name, each a list of versions; the last is `main`, and `v1`, `v2` ... are their tags.

    `refuse` maps a name to the refusals that its next requests get, such as `(429, {"Retry-After": "1"})`.
    """

    def __init__(self, sets):
        self.sets, self.refuse, self.asked = sets, {}, Counter()

    def files(self, name, revision):
        versions = self.sets[name]
        known = {"main": versions[-1], **{f"v{at}": one for at, one in enumerate(versions, start=1)}}
        return known.get(revision) or {commit_of(one): one for one in versions}.get(revision)

    async def answer(self, request):
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        self.asked[request.method, request.match_info.get("what", "file")] += 1
        if self.refuse.get(name):
            status, headers = self.refuse[name].pop(0)
            return web.json_response({"error": "refused"}, status=status, headers=headers)
        if name not in self.sets:
            return web.json_response({"error": "x"}, status=401, headers={"X-Error-Code": "RepoNotFound"})
        revision = request.match_info.get("revision", "main")
        files = self.files(name, revision)
        if files is None:
            return web.json_response({"error": "x"}, status=404, headers={"X-Error-Code": "RevisionNotFound"})
        commit = commit_of(files)
        what = request.match_info.get("what")
        if what == "revision":
            listed = [{"rfilename": one} for one in files]
            return web.json_response({"_id": "1", "id": name, "sha": commit, "siblings": listed, "tags": []})
        if what == "tree":
            listed = [
                {"type": "file", "oid": hashlib.sha1(data).hexdigest(), "size": len(data), "path": one}
                for one, data in files.items()
            ]
            return web.json_response(listed)
        data = files.get(request.match_info["path"])
        if data is None:
            return web.json_response({"error": "x"}, status=404, headers={"X-Error-Code": "EntryNotFound"})
        return web.Response(body=data, headers={"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": commit})


@contextmanager
def hub(sets):
    """Serve data sets; yields the stand-in, whose `url` is what HF_ENDPOINT has to be."""
    stand_in, loop, started = StandIn(sets), asyncio.new_event_loop(), []
    app = web.Application()
    app.router.add_get("/api/datasets/{owner}/{name}/{what:revision|tree}/{revision}", stand_in.answer)
    app.router.add_get("/datasets/{owner}/{name}/resolve/{revision}/{path:.*}", stand_in.answer)
    runner = web.AppRunner(app)

    async def start():
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        started.append(site._server.sockets[0].getsockname()[1])

    loop.run_until_complete(start())
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    stand_in.url = f"http://127.0.0.1:{started[0]}"
    try:
        yield stand_in
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
