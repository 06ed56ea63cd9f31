"""The text of an item, and what its caller is told of it: parts that are only added.

A server may change its mind: the final text of a segment is heard with more around it than the text while somebody
speaks. A caller who has been told a word cannot be told that it was another one. The transcript is then the final text,
and no more parts come.
"""


class Captions:
    """The text of an item.

    Attributes:
        text: of the segments that have ended.
    """

    def __init__(self) -> None:
        self.text = ""
        self._stable = ""  # text of the current segment
        self._told = ""

    def partial(self, stable: str) -> None:
        """Take the stable text of the current segment."""
        self._stable = stable

    def final(self, text: str) -> None:
        """Take the final text of the current segment, which ends it."""
        self.text = _joined(self.text, text.strip())
        self._stable = ""

    def news(self) -> str:
        """Return the part of the text that was not told yet; "" if the text does not continue what was told."""
        text = _joined(self.text, self._stable)
        if not text.startswith(self._told):
            return ""
        part = text[len(self._told) :]
        self._told = text
        return part


def _joined(text: str, segment: str) -> str:
    return f"{text} {segment}" if text and segment else text or segment
