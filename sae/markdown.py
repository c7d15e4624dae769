"""Text for the pages that are made from the code."""


def table_cell(text: str) -> str:
    """A text inside a Markdown table; angle brackets would be read as markup outside code."""
    outside = text.replace("|", "\\|").split("`")
    outside[::2] = [part.replace("<", "&lt;") for part in outside[::2]]
    return "`".join(outside)
