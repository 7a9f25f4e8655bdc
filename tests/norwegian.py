"""What is left of English on a page that speaks another language."""

import functools
import re
from collections.abc import Collection

from playwright.async_api import Page

from services.api.web.languages import texts
from services.api.web.words import from_elsewhere
from tests.complaints import complaints
from tests.unit.test_languages import in_templates

# Words that Norwegian does not have, and without which there is hardly a sentence in English.
_ENGLISH = re.compile(
    r"\b(the|is|are|was|were|this|that|these|not|of|and|with|your|you|may|must|can|can't|should|"
    r"there|here|give|least|most|no|yes|none|choose|please|has|have|what|who|where|from)\b",
    re.IGNORECASE,
)
_SHOWN = """() => {
  const found = [document.title];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    if (!walker.currentNode.parentElement.closest("script, style, code, pre")) {
      found.push(walker.currentNode.data);
    }
  }
  for (const one of document.querySelectorAll("*")) {
    for (const name of ["aria-label", "title", "placeholder", "alt", "data-label", "data-sure",
                        "data-on", "data-off"]) {
      if (one.hasAttribute(name)) found.push(one.getAttribute(name));
    }
  }
  return found;
}"""


async def english_on(page: Page, *, entered: Collection[str] = ()) -> list[str]:
    """The texts on a page that are still English.

    Parameters
    ----------
    entered
        What people have entered, or what is a name: the same in every language.
    """
    shown = {re.sub(r"\s+", " ", one).strip() for one in await page.evaluate(_SHOWN)}
    return sorted(one for one in shown if _is_english(one, entered))


def _is_english(text: str, entered: Collection[str]) -> bool:
    for one in entered:
        text = text.replace(one, "")
    text = text.strip()
    if text in _untranslated():
        return True
    return _ENGLISH.search(text) is not None


@functools.cache
def _untranslated() -> set[str]:
    """English texts whose translation is another one."""
    every = complaints() | from_elsewhere() | in_templates()
    catalogue = texts("nb")
    singles = {one for one in every if isinstance(one, str)}
    plurals = {form for one in every if isinstance(one, tuple) for form in one}
    return {one for one in singles if catalogue.gettext(one) != one} | plurals
