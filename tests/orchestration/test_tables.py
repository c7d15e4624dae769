"""What is printed on a terminal is text, whatever a label says."""

import json

from orchestration.cli.tables import cell, print_rows


def test_a_label_becomes_no_escape_code_and_no_markup(capsys):
    hostile = "\x1b[31mred\x1b]0;title\x07 [bold]loud[/bold] \u202eback"

    print_rows([{"label": hostile, "score": 0.5}], ("label", "score"), as_json=False)

    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert "[bold]loud[/bold]" in printed
    assert "0.500" in printed


def test_null_is_nothing_and_json_is_whole(capsys):
    assert cell(None).plain == ""

    print_rows([{"label": None, "score": 1.25}], ("label",), as_json=True)

    assert json.loads(capsys.readouterr().out) == [{"label": None, "score": 1.25}]
