"""The client: every operation of the API, and files sent in pieces."""

from typing import Any, BinaryIO, Self

from sluse_client import uploads
from sluse_client.operations import Operations
from sluse_client.transport import Transport


class Client(Operations):
    """One Sluse, as far as a token reaches. Use it in a `with`.

    >>> with Client("https://sluse.hospital.local", token) as sluse:
    ...     for transfer in every(sluse.list_transfers, project="BICAM"):
    ...         print(transfer.participant, transfer.state)
    """

    def __init__(self, url: str, token: str | None = None, **how: Any) -> None:
        """`how` is what `Transport` takes."""
        super().__init__(Transport(url, token, **how))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.transport.close()

    def send_file(
        self,
        import_id: int,
        file_id: int,
        content: BinaryIO,
        size: int,
        *,
        offset: int = 0,
        max_chunk: int,
        told: uploads.Told = uploads.nobody,
    ) -> None:
        """Send what is missing of a file of an import; see `uploads.send_file`."""
        uploads.send_file(
            self.transport, import_id, file_id, content, size,
            offset=offset, max_chunk=max_chunk, told=told,
        )  # fmt: skip
