"""Stands between two peers on this machine and fails as networks do."""

import asyncio
import threading
from contextlib import suppress

_CHUNK = 1 << 14


class Proxy:
    """Passes connections on to a port of this machine, in a thread of its own.

    `cut_within` breaks connections in the middle of what they say, `hang` keeps them open and
    silent, `refuse` lets nobody in.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._allowance: int | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self.cuts = 0
        """How many connections were broken."""
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut_within(self, count: int) -> None:
        """Break all that is open when so many further bytes have passed, in whichever direction."""
        self._call(lambda: setattr(self, "_allowance", count))

    def cut(self) -> None:
        """Break all that is open, now."""
        self._call(self._cut)

    def hang(self) -> None:
        """Pass nothing on, and close nothing."""
        self._call(self._flowing.clear)

    def refuse(self) -> None:
        """Break what is open; whoever comes anew is thrown out."""
        self._call(lambda: setattr(self, "_refusing", True))
        self.cut()

    def heal(self) -> None:
        """Be a good network again."""
        self._call(self._heal)

    def close(self) -> None:
        """Break everything and end."""
        self.cut()
        self._call(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _do(self, work: object) -> asyncio.Server:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)  # type: ignore[arg-type]

    def _call(self, work: object) -> None:
        async def run() -> None:
            work()  # type: ignore[operator]

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(20)

    def _heal(self) -> None:
        self._refusing, self._allowance = False, None
        self._flowing.set()

    def _cut(self) -> None:
        self._allowance = None
        for writer in list(self._writers):
            self.cuts += 1
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            there, thither = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, thither}
        try:
            await asyncio.gather(self._pass(reader, thither), self._pass(there, writer))
        finally:
            self._writers -= {writer, thither}
            for one in (writer, thither):
                one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while content := await reader.read(_CHUNK):
                await self._flowing.wait()
                if self._allowance is not None:
                    self._allowance -= len(content)
                    if self._allowance < 0:
                        # The rest of a frame, of a PDU, of a row never arrives.
                        writer.write(content[: len(content) // 2])
                        with suppress(OSError):
                            await asyncio.wait_for(writer.drain(), 1)
                        self._cut()
                        return
                writer.write(content)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
