"""The templates of the web pages."""

from datetime import datetime
from pathlib import Path

from fastapi.templating import Jinja2Templates

HERE = Path(__file__).parent

templates = Jinja2Templates(directory=HERE / "templates")


def _local_time(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


templates.env.filters["local_time"] = _local_time
