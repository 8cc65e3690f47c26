"""What every HTML page of ours must be."""

import html.parser
import re


def check_page(text):
    """The page is well formed and fetches nothing."""
    open_tags = []

    class Checker(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            for name, value in attributes:
                if name in ("src", "href", "xlink:href"):
                    assert value.startswith(("data:image/", "#")), (tag, name, value[:60])
            if tag not in {"meta", "input", "br"}:
                open_tags.append(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag

    Checker().feed(text)
    assert not open_tags and "@import" not in text and not re.search(r"url\((?!#)", text)
