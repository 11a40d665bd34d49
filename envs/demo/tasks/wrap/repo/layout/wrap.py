"""Breaking paragraphs into lines."""


def wrap(text, width):
    """Break a paragraph into lines of at most `width` characters.

    Words longer than a line stand on a line of their own.
    """
    if width < 1:
        raise ValueError("width must be positive")
    lines = []
    current = ""
    for word in text.split():
        if not current:
            current = word
        elif len(current) + len(word) <= width:
            current = current + " " + word
        else:
            lines.append(current)
            current = word
    if current:
        lines.append(current)
    return lines


def fill(text, width, indent=""):
    """Wrap every paragraph (separated by blank lines) and indent the lines."""
    paragraphs = [part for part in text.split("\n\n") if part.strip()]
    blocks = ["\n".join(indent + line for line in wrap(part, width - len(indent))) for part in paragraphs]
    return "\n\n".join(blocks)
