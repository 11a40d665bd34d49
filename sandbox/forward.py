"""The forwarder: a port on the loopback interface of a sandbox without network, connected to a socket of the host.

Programs in the sandbox speak TCP only. The forwarder is a few lines for whichever interpreter the sandbox has.
"""

import shlex
from collections.abc import Mapping

from sandbox.base import Sandbox
from sandbox.errors import SandboxError

_START_S = 60.0


class NoForwarder(SandboxError):
    """The forwarder cannot run in the sandbox; the message says what its image lacks."""


_PYTHON = """
import asyncio, os, sys

async def pump(reader, writer):
    try:
        while True:
            data = await reader.read(65536)
            if not data:
                break
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except (OSError, RuntimeError):
        writer.close()

async def serve(reader, writer):
    try:
        there, back = await asyncio.open_unix_connection(sys.argv[1])
    except OSError:
        writer.close()
        return
    await asyncio.gather(pump(reader, back), pump(there, writer))
    back.close()
    writer.close()

loop = asyncio.new_event_loop()
asyncio.set_event_loop(loop)
server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", int(sys.argv[3])))
with open(sys.argv[2] + ".new", "w") as file:
    file.write(str(server.sockets[0].getsockname()[1]))
os.rename(sys.argv[2] + ".new", sys.argv[2])
loop.run_forever()
"""

_NODE = """
const [, , socket, file, port] = process.argv, net = require("net"), fs = require("fs");
const server = net.createServer({ allowHalfOpen: true }, (near) => {
  const far = net.connect({ path: socket, allowHalfOpen: true });
  for (const [one, other] of [[near, far], [far, near]]) {
    one.pipe(other);
    one.on("error", () => other.destroy());
    one.on("close", () => other.destroySoon());
  }
});
server.listen(Number(port), "127.0.0.1", () => {
  fs.writeFileSync(file + ".new", String(server.address().port));
  fs.renameSync(file + ".new", file);
});
"""

_PERL = """
use strict; use IO::Socket::INET; use IO::Socket::UNIX;
my ($path, $file, $port) = @ARGV;
$SIG{CHLD} = "IGNORE"; $SIG{PIPE} = "IGNORE";
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port, ReuseAddr => 1, Listen => 64) or die;
open(my $out, ">", "$file.new") or die; print $out $server->sockport; close $out; rename("$file.new", $file);
sub pump { my ($from, $to) = @_; my $data;
  while (sysread($from, $data, 65536)) {
    my $at = 0;
    while ($at < length $data) {
      my $n = syswrite($to, $data, length($data) - $at, $at); return unless $n; $at += $n; } }
  shutdown($to, 1); }
while (1) { my $near = $server->accept or next; next if fork;
  my $far = IO::Socket::UNIX->new(Peer => $path) or exit;
  if (fork) { pump($near, $far); } else { pump($far, $near); }
  exit; }
"""

_SCRIPTS: Mapping[str, str] = {"python3": _PYTHON, "node": _NODE, "perl": _PERL}

_START = """cd "$1" || exit 1
rm -f port
try() {
  command -v "$1" >/dev/null 2>&1 || return 0
  "$@" "$socket" "$folder/port" "$port" </dev/null >/dev/null 2>>"$folder/forward.log" &
  while kill -0 "$!" 2>/dev/null; do
    [ ! -s port ] || { cat port; exit 0; }
    sleep 0.05 2>/dev/null || sleep 1
  done
}
folder=$1 socket=$2 node=$3 python=$4 port=$5
try "${python:-python3}" -I -B forward.python3
try python3 -I -B forward.python3
try "${node:-node}" forward.node
try perl forward.perl
tail -n 3 forward.log >&2
exit 1
"""


async def start_forwarder(
    sandbox: Sandbox, folder: str, socket: str, node: str = "", python: str = "", *, port: int = 0
) -> int:
    """Start the forwarder in a sandbox; it ends with the sandbox's other processes.

    Args:
        sandbox: the sandbox.
        folder: directory in the sandbox for the forwarder's files.
        socket: path of the host's socket in the sandbox.
        node: path of a Node.js program in the sandbox, if it is not on PATH.
        python: path of a Python interpreter in the sandbox, likewise.
        port: the port to listen on; 0 for any.

    Returns:
        The port on 127.0.0.1.

    Raises:
        NoForwarder: the sandbox has no interpreter that can run it.
        SandboxError: the sandbox failed.
    """
    for name, script in _SCRIPTS.items():
        await sandbox.write_file(f"{folder}/forward.{name}", script.encode())
    command = shlex.join(["sh", "-c", _START, "forward", folder, socket, node, python, str(port)])
    result = await sandbox.exec(command, timeout=_START_S)
    listening = result.stdout.decode("ascii", "replace").strip()
    if not result.ok or not listening.isdigit():
        said = " ".join(result.stderr.decode("utf-8", "replace").split())[-200:]
        raise NoForwarder("its image needs python3, node or perl" + (f" ({said})" if said else ""))
    return int(listening)
